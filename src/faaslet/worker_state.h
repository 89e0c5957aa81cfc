/* worker_state.h: state in a worker: the local tier, and each executor's way to the global one.
 *
 * The node serves the global tier over the executors' streams (tier_rpc.h). Replicas are memory
 * files of this process, whose descriptors the node gets once: bytes of state then move between
 * them and the disk or the network without passing through a socket. One more stream is for the
 * thread that renews global locks.
 *
 * Threads: worker_state_new before executors start; each struct state_way is one executor's. */
#ifndef WM_FAASLET_WORKER_STATE_H
#define WM_FAASLET_WORKER_STATE_H

#include "base/diag.h"
#include "faaslet/local_tier.h"
#include "faaslet/rpc.h"
#include "faaslet/tier_rpc.h"

struct worker_state;

struct state_way {
    struct tier_rpc_client client;
    struct tier tier;
};

/* socket: for renewals; taken over. bytes_max: of all replicas, 0: the local tier's default. */
WM_MUST_CHECK int worker_state_new(int socket, uint64_t bytes_max, struct worker_state **out,
                                   struct wm_diag *diag);
struct local_tier *worker_state_local(struct worker_state *state);
/* rpc is borrowed, and used by nobody else at the same time. */
void worker_state_way(struct worker_state *state, struct rpc_client *rpc, struct state_way *out);

#endif
