/* rpc.h: requests and replies over a connected stream socket, one at a time.
 *
 * What a worker's executor thread asks of its node (state, chained calls, outbound HTTP), and what
 * nodes ask of each other. A connection belongs to one thread at a time, which sends a request and
 * waits for its reply; the other side serves requests in their order. Frames, little-endian:
 *
 *     u32 bytes of the body   u16 service   u16 flags (1: a descriptor comes with it; 2: reply)
 *     u64 sequence number     body
 *
 * A body is at most RPC_BODY_BYTES_MAX. Whatever breaks the form closes the connection: the other
 * side is not trusted by this code. Over unix sockets a request may carry one descriptor
 * (SCM_RIGHTS). A client whose wait was interrupted (deadline, kill) sends its next request with a
 * new sequence number, and drops replies to older ones.
 *
 * The transport is a pair of functions, so that the same code runs over an encrypted connection
 * between nodes. */
#ifndef WM_FAASLET_RPC_H
#define WM_FAASLET_RPC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/diag.h"
#include "base/view.h"

#define RPC_BODY_BYTES_MAX (UINT32_C(64) << 20)

/* Whole buffers or nothing: 0, or a negative errno (-EPIPE: closed). -EINTR only where `stop`
 * returned true; then nothing or only a part was moved, which the transport remembers. */
struct rpc_transport {
    void *self;
    int (*send)(void *self, const struct iovec *parts, int count, int pass_fd);
    int (*recv)(void *self, void *out, size_t len, int *passed_fd);
    void (*close)(void *self);
};

struct rpc_reply {
    struct wm_view body; /* in the client's buffer, until its next call */
    int fd;              /* passed along; -1: none; the caller's to close */
};

struct rpc_client;
/* Takes the transport over. */
WM_MUST_CHECK int rpc_client_new(const struct rpc_transport *transport, struct rpc_client **out,
                                 struct wm_diag *diag);
void rpc_client_free(struct rpc_client *client);
/* Asked whenever a wait was disturbed by a signal: true gives up with -EINTR. NULL: never. */
void rpc_client_interrupted(struct rpc_client *client, bool (*stop)(void *self), void *self);
/* pass_fd -1: none (borrowed otherwise). 0; a negative errno; the other side's own errors are in
 * the body, whose form is the service's. */
WM_MUST_CHECK int rpc_call(struct rpc_client *client, uint16_t service, const struct iovec *parts,
                           int count, int pass_fd, struct rpc_reply *out, struct wm_diag *diag);

/* Serves one connection until it closes or breaks the form (a code, with diag). `handle` fills the
 * reply with rpc_reply_add and returns 0, or a code that ends the connection. */
struct rpc_request {
    uint16_t service;
    struct wm_view body; /* until the handler returns */
    int fd;              /* passed along, -1: none; closed by us afterwards unless set to -1 */
    struct rpc_server *server;
};
WM_MUST_CHECK int rpc_reply_add(struct rpc_request *request, struct wm_view bytes);
typedef int rpc_handle_fn(void *self, struct rpc_request *request);
WM_MUST_CHECK int rpc_serve(const struct rpc_transport *transport, rpc_handle_fn *handle,
                            void *self, struct wm_diag *diag);

/* A transport over a connected stream socket, which it takes over. */
WM_MUST_CHECK int rpc_socket_transport(int fd, struct rpc_transport *out);

enum rpc_service {
    RPC_TIER = 1, /* tier_rpc.h */
    RPC_CALL = 2, /* chained and handed-on calls */
    RPC_HTTP = 3, /* outbound HTTP */
    RPC_NODE = 4, /* between nodes: membership */
};

#endif
