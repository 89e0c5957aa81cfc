/* tier_rpc.h: the global tier of somebody else, over rpc (service RPC_TIER).
 *
 * Worker to node: the client is the worker's struct tier; the node executes each request against
 * its own. Node to node: the same, against the other node's embedded tier.
 *
 * Client. One tier for each connection, used by one thread at a time, like the connection, which
 * stays its owner's and may be used for other services in between. Ranges whose buffers lie in a
 * shared region (tier_rpc_share) move no bytes through the socket. Of other ranges, requests of
 * more than TIER_RPC_INLINE_BYTES are sent in parts: a read then shows one moment for each part,
 * and a write is all or nothing in each part (with a token each part is checked against it). An
 * interrupted wait gives -EINTR; a lock may have been granted nevertheless, and then ends by its
 * time to live; asking again with the same owner finds it.
 *
 * Server. Trusts nothing in a request: names a tenant that the connection may not name:
 * WM_E_DENIED; anything out of form ends the connection. A wait for a lock takes TIER_RPC_WAIT_MS
 * at most (the client asks again), so that a thread never hangs long on behalf of a worker that has
 * died. */
#ifndef WM_FAASLET_TIER_RPC_H
#define WM_FAASLET_TIER_RPC_H

#include "faaslet/rpc.h"
#include "faaslet/tier.h"
#include "faaslet/tier_regions.h"

#define TIER_RPC_INLINE_BYTES (UINT32_C(32) << 20)
#define TIER_RPC_WAIT_MS 5000u

/* Storage of a client; its fields are private. */
struct tier_rpc_client {
    struct rpc_client *rpc;
    struct tier_shares *shares;
    struct tier_stats stats;
};

/* Both borrowed; shares: NULL for none (not a unix socket). *out is good as long as *client stays
 * where it is; its close does nothing. */
void tier_rpc_client_init(struct tier_rpc_client *client, struct rpc_client *rpc,
                          struct tier_shares *shares, struct tier *out);
/* Makes [base, base + bytes), which maps `memfd` from its start, known to the node and, through
 * `shares`, to all clients of this worker. id > 0 is this worker's choice. */
WM_MUST_CHECK int tier_rpc_share(struct tier_rpc_client *client, uint32_t id, int memfd,
                                 const void *base, uint64_t bytes, struct wm_diag *diag);
/* No request that uses it may be under way. */
WM_MUST_CHECK int tier_rpc_unshare(struct tier_rpc_client *client, uint32_t id,
                                   struct wm_diag *diag);

struct tier_rpc_server {
    const struct tier *tier;
    /* Whether requests may name this tenant; NULL: any (another node). Threads: its handler's. */
    bool (*serves)(void *self, struct wm_view tenant);
    void *self;
    struct tier_regions *regions; /* NULL: none may be shared */
};

/* Executes request->body (of service RPC_TIER) and fills the reply: 0, also where the operation
 * failed; or a code that should end the connection. An rpc_handle_fn may return its result. */
WM_MUST_CHECK int tier_rpc_handle(const struct tier_rpc_server *server,
                                  struct rpc_request *request);

#endif
