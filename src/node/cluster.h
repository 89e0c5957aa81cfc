/* cluster.h: this node among others: where calls run, and calls that are handed on.
 *
 * A node that is given peers (config.h: NAME=HOST:PORT each, the same list for all) schedules its
 * calls by faaslet/schedule.h: it runs them, queues them, or hands them on to a node that is warm
 * or has room. What nodes share of each function is in the global tier (sets of warm nodes, with
 * expiry); loads and deaths come by heartbeats (peers.h).
 *
 * Handing on: the call goes to the other node over an encrypted connection, with its hops counted,
 * and its result comes back the same way. Where that node dies first, the call is placed again if
 * its function is declared idempotent, else it ends as NODE_DIED: whether it ran is not known.
 *
 * Threads: the loop's, except where said. Without peers there is no cluster: NULL everywhere. */
#ifndef WM_NODE_CLUSTER_H
#define WM_NODE_CLUSTER_H

#include "node/calls.h"
#include "node/catalogue.h"
#include "node/mailbox.h"
#include "node/node.h"
#include "node/peers.h"

struct cluster;
struct replicate;
struct trust;

/* *out NULL: no peers are configured. Starts to listen, and heartbeats. */
WM_MUST_CHECK int cluster_open(struct node *node, struct cluster **out, struct wm_diag *diag);
/* The parts that serving peers needs are there. */
WM_MUST_CHECK int cluster_start(struct cluster *cluster, struct mailbox *mailbox,
                                struct trust *trust, struct wm_diag *diag);
/* Peers are not served any more, nothing is handed on; calls under way end as NODE_DIED. */
void cluster_stop(struct cluster *cluster);
/* After it, and after all calls have ended: until nobody who serves a peer looks at the mailbox. */
void cluster_wait(struct cluster *cluster);
void cluster_close(struct cluster *cluster); /* NULL allowed */

/* For the global tier (tier_cluster.h): any thread. */
const char *const *cluster_names(const struct cluster *cluster, uint32_t *count, uint32_t *own);
int cluster_peer_get(void *cluster, const char *node, struct rpc_client **out,
                     struct wm_diag *diag);
void cluster_peer_put(void *cluster, const char *node, struct rpc_client *client, bool usable);
/* The tier that peers are served from: this node's own keys. Before cluster_start. */
void cluster_set_local_tier(struct cluster *cluster, const struct tier *tier);

/* A call's way through the scheduler; in its entry. */
struct cluster_ticket {
    uint64_t id, function; /* of the call; of the version */
    uint32_t hops, from;   /* peers' number of who handed it on; PEERS_NOBODY */
    bool counted;          /* the scheduler counts it as here */
};

enum cluster_what { CLUSTER_RUN, CLUSTER_WAIT, CLUSTER_HAND_ON, CLUSTER_REFUSE };
struct cluster_decision {
    enum cluster_what what;
    uint32_t node;
    uint32_t retry_after_ms;
    const char *why;
};
uint64_t cluster_function(const struct function_version *version);
struct cluster_decision cluster_place(struct cluster *cluster, struct cluster_ticket *ticket);
/* Of one that RUN or WAIT was answered for. lost: its worker died. */
void cluster_ended(struct cluster *cluster, struct cluster_ticket *ticket, uint64_t service_ns,
                   bool lost);
void cluster_cancelled(struct cluster *cluster, struct cluster_ticket *ticket);
/* A node that has less to do than a worker of this one, where `waiting` calls wait or run;
 * PEERS_NOBODY. Counted are what it said last and what was handed to it since. */
uint32_t cluster_less_busy(struct cluster *cluster, uint32_t waiting);
/* Told which waiting call is to run now. */
void cluster_on_start(struct cluster *cluster, void (*start)(void *self, uint64_t id), void *self);

/* Hands a call on; `done` is called later with what came of it. Everything is copied. After an
 * error: it did not run there, or, where it was sent, that is not known. */
typedef void cluster_done_fn(void *self, int error, bool sent, const struct call_result *result);
WM_MUST_CHECK int cluster_hand_on(struct cluster *cluster, uint32_t peer,
                                  const struct function_version *version,
                                  const struct call_request *request, cluster_done_fn *done,
                                  void *self);
void cluster_drain(struct cluster *cluster);

/* The catalogue's copies; NULL before cluster_start. Any thread. */
struct replicate *cluster_replicate(struct cluster *cluster);
/* Is it for this node, of all that live and are not being drained, to do what goes by this name?
 * All nodes that see the same nodes agree (rendezvous hashing). While they do not, for the time of
 * a few heartbeats after a node came or went, it may be done twice or not at all. */
bool cluster_owns(struct cluster *cluster, const char *tenant, const char *name);

struct json_t;
void cluster_describe(struct cluster *cluster, struct json_t *object);

#endif
