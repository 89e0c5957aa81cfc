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
 * (SCM_RIGHTS). A client whose wait was interrupted (deadline, kill) first finishes sending and
 * drops the late reply when it makes its next call, which has a new sequence number: sequence
 * numbers of one connection rise, and the other side serves them in order, so nothing is lost by
 * the wait, and the two never both write while nobody reads.
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

/* Whole buffers or nothing: 0, or a negative errno. recv: -EPIPE when the other side has closed
 * before the first byte, -ECONNRESET after it. *passed_fd is set where a descriptor came along and
 * left alone otherwise; with NULL it is closed.
 *
 * Waits that a signal disturbed go on unless `stop` (set by interruptible; NULL: not supported)
 * returns true. Then recv gives -EINTR, and the next recv starts with the bytes that this one had
 * taken; send gives -ECANCELED where it had sent nothing yet, and -EINTR where it had: the rest is
 * kept, and goes out before anything else with the next send (with count 0 it does only that). */
struct rpc_transport {
    void *self;
    int (*send)(void *self, const struct iovec *parts, int count, int pass_fd);
    int (*recv)(void *self, void *out, size_t len, int *passed_fd);
    void (*close)(void *self);
    void (*interruptible)(void *self, bool (*stop)(void *stop_self), void *stop_self);
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
bool rpc_client_usable(const struct rpc_client *client); /* false: the connection is gone */
/* pass_fd -1: none (borrowed otherwise). 0; -EINTR; WM_E_LIMIT (the body is too large, nothing was
 * sent); any other code means that the connection is gone, and -EPIPE follows for ever. The other
 * side's own errors are in the body, whose form is the service's. */
WM_MUST_CHECK int rpc_call(struct rpc_client *client, uint16_t service, const struct iovec *parts,
                           int count, int pass_fd, struct rpc_reply *out, struct wm_diag *diag);

/* Serves one connection until it closes (0), breaks the form or fails (a code, with diag); closes
 * the transport then. To stop it from another thread, shut the socket down through a descriptor of
 * one's own. `handle` fills the reply with rpc_reply_* and returns 0, or a code that ends the
 * connection. */
struct rpc_request {
    uint16_t service;
    struct wm_view body; /* until the handler returns */
    int fd;              /* passed along, -1: none; closed by us afterwards unless set to -1 */
    struct rpc_server *server;
};
/* WM_E_LIMIT: beyond RPC_BODY_BYTES_MAX; -ENOMEM; the reply is as before then. */
WM_MUST_CHECK int rpc_reply_add(struct rpc_request *request, struct wm_view bytes);
/* `len` bytes at the reply's end for the handler to fill; valid until the next rpc_reply_*. */
WM_MUST_CHECK int rpc_reply_room(struct rpc_request *request, size_t len, uint8_t **out);
size_t rpc_reply_bytes(const struct rpc_request *request);
uint8_t *rpc_reply_start(struct rpc_request *request);       /* valid as above */
void rpc_reply_cut(struct rpc_request *request, size_t len); /* back to the first `len` bytes */
void rpc_reply_pass(struct rpc_request *request, int fd);    /* taken over; the last one counts */
typedef int rpc_handle_fn(void *self, struct rpc_request *request);
WM_MUST_CHECK int rpc_serve(const struct rpc_transport *transport, rpc_handle_fn *handle,
                            void *self, struct wm_diag *diag);

/* A transport over a connected stream socket, which it takes over (not on failure: -ENOMEM). */
WM_MUST_CHECK int rpc_socket_transport(int fd, struct rpc_transport *out);

enum rpc_service {
    RPC_TIER = 1,      /* tier_rpc.h */
    RPC_CALL = 2,      /* chained and handed-on calls */
    RPC_HTTP = 3,      /* outbound HTTP */
    RPC_NODE = 4,      /* between nodes: membership */
    RPC_RUN = 5,       /* between nodes: calls that are handed on */
    RPC_CATALOGUE = 6, /* between nodes: what the catalogue says (node/sync_message.h) */
    RPC_FILE = 7,      /* between nodes: modules and Proto-Faaslets, by hash */
};

#endif
