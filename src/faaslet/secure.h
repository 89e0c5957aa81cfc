/* secure.h: the request transport (rpc.h) between nodes: crypto/channel.h over a TCP socket.
 *
 * The other side is trusted with nothing before the handshake is over, and afterwards only with
 * what the services allow a node: it cannot exhaust memory (records of 64 KiB), and whatever breaks
 * the form ends the connection. A handshake that is not over in time ends too, however slowly the
 * bytes drip.
 *
 * The socket is taken over, also by calls that fail. Descriptors cannot be passed (send gives
 * -EOPNOTSUPP, before anything is sent). Signals do not disturb: who wants to end a wait
 * shuts the socket down from another thread, through a duplicate of its own, upon which both
 * directions fail with -EPIPE or -ECONNRESET.
 * After any error the connection is broken and may only be closed.
 *
 * A peer that is gone without a word (power, cable) is noticed by TCP: unacknowledged data after
 * user_timeout_ms, and a silent connection by keep-alive probes in about the same time.
 *
 * Memory: about 200 KiB for each connection. Threads: one at a time. */
#ifndef WM_FAASLET_SECURE_H
#define WM_FAASLET_SECURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "faaslet/rpc.h"

#define SECURE_KEY_BYTES 32u
#define SECURE_NAME_BYTES_MAX 64u

struct secure_config {
    const uint8_t *key;    /* SECURE_KEY_BYTES, the cluster's */
    const char *name;      /* this node's */
    const char *peer;      /* who is to be reached; NULL: take the part of the one that is called */
    uint32_t handshake_ms; /* for all of the handshake; 0: 2,000 */
    uint32_t user_timeout_ms; /* 0: 10,000 */
    uint32_t io_ms;           /* for each send or receive; 0: no limit (a reply may take long) */
};

/* peer_name may be NULL. Errors: WM_E_FORGED, WM_E_MALFORMED, -ETIMEDOUT, or the socket's own. */
WM_MUST_CHECK int secure_transport(int fd, const struct secure_config *config,
                                   struct rpc_transport *out,
                                   char peer_name[SECURE_NAME_BYTES_MAX + 1], struct wm_diag *diag);
/* True: nothing has come and the other side has not closed, as far as is known here. */
bool secure_is_quiet(const struct rpc_transport *transport);

/* Reads the cluster's key: a file of exactly 32 bytes that nobody but its owner may read. */
WM_MUST_CHECK int secure_key_read(const char *path, uint8_t key[SECURE_KEY_BYTES],
                                  struct wm_diag *diag);

#endif
