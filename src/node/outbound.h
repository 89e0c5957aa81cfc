/* outbound.h: HTTP on behalf of guests: only to hosts that their tenant's allow-list names.
 *
 * An entry of the list is "host:port", where host is exact, "*.suffix" (any name below it, not
 * itself), or an address. Checked are: the scheme (http, https), the host and port of the URL and
 * of each redirect (at most OUTBOUND_HOPS_MAX), and the address that is really connected to: one
 * that is loopback, private, link-local, multicast or otherwise not public is refused unless the
 * list names that very address, so a name that resolves to an inner address leads nowhere (DNS
 * rebinding). No proxies, no cookies, no credentials of this machine.
 *
 * Everything that a guest says, and what a server answers, is untrusted. Blocks for at most the
 * limit's time. Any thread. */
#ifndef WM_NODE_OUTBOUND_H
#define WM_NODE_OUTBOUND_H

#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "node/catalogue.h"

#define OUTBOUND_HOPS_MAX 5u
#define OUTBOUND_HEADERS_MAX 64u
#define OUTBOUND_HEADERS_BYTES_MAX 32768u /* of a request, and of an answer */
#define OUTBOUND_URL_BYTES_MAX 8192u

struct outbound_limits { /* 0: the default in [] */
    uint64_t body_bytes; /* of the answer [6 MiB] */
    uint32_t timeout_ms; /* of everything [30,000] */
};

struct outbound_answer {
    uint32_t status;
    uint8_t *headers; /* "name: value\n"... names in lower case; of the last hop */
    size_t headers_len;
    uint8_t *body;
    size_t body_len;
};

/* Once in the process, before other threads are made. */
WM_MUST_CHECK int outbound_init(struct wm_diag *diag);
/* `allow`: tenant->allow or a copy of it, so that other threads than the loop's can call this.
 * method: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS. headers: "Name: value\n"...; Host,
 * Content-Length, Connection and the like are left out. 0: there is an answer, whatever its
 * status. WM_E_DENIED: a rule; WM_E_USAGE: the request itself; WM_E_LIMIT: too large or too slow;
 * -EHOSTUNREACH: no connection. */
WM_MUST_CHECK int outbound_fetch(char *const *allow, const char *method, const char *url,
                                 struct wm_view headers, struct wm_view body,
                                 const struct outbound_limits *limits, struct outbound_answer *out,
                                 struct wm_diag *diag);
void outbound_answer_free(struct outbound_answer *answer);

/* Is host:port on the list? Pure. */
bool outbound_allowed(char *const *allow, const char *host, uint16_t port);
/* Is this socket address one that everybody can reach? Pure. */
struct sockaddr;
bool outbound_is_public(const struct sockaddr *address);

#endif
