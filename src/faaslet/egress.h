/* egress.h: where a tenant's calls may connect to by sockets of their own.
 *
 * The tenant's allow-list (catalogue.h) as far as it names addresses: "192.0.2.7:5432",
 * "[2001:db8::1]:443", "192.0.2.7:*" for every port. Names are for outbound HTTP, which the node
 * does and where it can check what a name means at that moment; here they allow nothing. The list
 * is checked at each connect against the address that is really reached; the network namespace and
 * its shaping lie beneath. Immutable once made; any thread. */
#ifndef WM_FAASLET_EGRESS_H
#define WM_FAASLET_EGRESS_H

#include "base/view.h"
#include "libos/address.h"

#define EGRESS_RULES_MAX 256u

struct egress {
    uint32_t count;
    struct {
        struct libos_address address;
        bool any_port;
    } rules[EGRESS_RULES_MAX];
};

/* Adds a rule where the text is one; false: it is not (a name, say), or there is no room. */
bool egress_add(struct egress *egress, struct wm_view text);
/* For struct wasi_net.allow: self is the struct egress. */
bool egress_allows(void *self, const struct libos_address *address, bool datagram);

#endif
