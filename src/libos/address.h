/* address.h: internet addresses: as text, and as what they reach.
 *
 * Pure; freestanding. Text is untrusted. */
#ifndef WM_LIBOS_ADDRESS_H
#define WM_LIBOS_ADDRESS_H

#include "base/view.h"
#include "libos/file.h"

/* "192.0.2.1" (four decimal numbers, without leading zeros) or "2001:db8::1" (RFC 4291, 2.2; also
 * with the last 32 bits as an IPv4 address; no zone, no brackets). Port and scope become 0. */
WM_MUST_CHECK bool libos_address_parse(struct wm_view text, struct libos_address *out);
/* What a connection to `from` really goes to, so that a rule that is asked about an address cannot
 * be passed by writing it otherwise: IPv4 addresses mapped into IPv6 (::ffff:192.0.2.1) become
 * IPv4, and the unspecified address, by which Linux reaches this machine, the loopback one. */
struct libos_address libos_address_plain(const struct libos_address *from);

#endif
