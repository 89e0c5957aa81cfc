/* replicate.h: one catalogue on all nodes of a cluster.
 *
 * Each change that is made here goes to all peers that live, at once; what they miss they ask for:
 * every few seconds, and when a peer comes alive, a node compares digests of revisions with it, and
 * pulls what is newer there (catalogue_sync.h). So every node that lives long enough to be asked
 * once has handed on everything that it acknowledged. Files that entries name are fetched in the
 * background (fetch.h), so that they are on more than one node soon; a call that needs one
 * before that fetches it itself.
 *
 * Threads: one for each peer, one that fetches; functions: as each says. The loop is never waited
 * for with a lock, and waits for nobody, but in replicate_stop. */
#ifndef WM_NODE_REPLICATE_H
#define WM_NODE_REPLICATE_H

#include "base/diag.h"
#include "faaslet/rpc.h"
#include "node/catalogue_sync.h"
#include "node/mailbox.h"
#include "node/node.h"
#include "node/peers.h"

struct replicate;
struct trust;

/* Loop thread. All is borrowed. */
WM_MUST_CHECK int replicate_open(struct node *node, struct peers *peers, struct trust *trust,
                                 struct mailbox *mailbox, struct replicate **out,
                                 struct wm_diag *diag);
/* Loop thread. Nothing is begun any more; runs the loop until nothing is under way. The peers'
 * connections are to be shut down before (peers_abort). */
void replicate_stop(struct replicate *replicate);
void replicate_close(struct replicate *replicate); /* NULL allowed; stopped */

/* An entry has changed; loop thread. */
void replicate_changed(struct replicate *replicate, const struct catalogue_changed *changed);
/* A peer's state may be another one now; any thread. */
void replicate_look(struct replicate *replicate);
/* Answers RPC_CATALOGUE and RPC_FILE; a peer's thread. */
WM_MUST_CHECK int replicate_serve(struct replicate *replicate, uint32_t peer,
                                  struct rpc_request *request);

struct replicate_stats {
    uint64_t pushed, pulled, taken, failed, fetched; /* entries, entries, entries, tries, files */
};
void replicate_stats(struct replicate *replicate, struct replicate_stats *out); /* any thread */

/* For fetch.c; any thread. Between enter (false: stopping) and leave nothing goes away. */
bool replicate_enter(struct replicate *replicate);
void replicate_leave(struct replicate *replicate);
bool replicate_stopping(struct replicate *replicate);
uint32_t replicate_count(const struct replicate *replicate);
const char *replicate_name(const struct replicate *replicate, uint32_t peer);
/* WM_E_NOT_FOUND: it is this node, or does not live. */
WM_MUST_CHECK int replicate_get(struct replicate *replicate, uint32_t peer, struct rpc_client **out,
                                struct wm_diag *diag);
void replicate_put(struct replicate *replicate, uint32_t peer, struct rpc_client *client,
                   bool broken);
WM_MUST_CHECK int replicate_learn_keys(struct replicate *replicate, uint32_t peer,
                                       struct rpc_client *client, struct wm_diag *diag);
struct trust *replicate_trust(struct replicate *replicate);
const struct node *replicate_node(const struct replicate *replicate);

#endif
