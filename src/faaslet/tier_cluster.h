/* tier_cluster.h: the global tier of several nodes: each key is served by its master's embedded
 * tier.
 *
 * The master is chosen by rendezvous hashing over the list of node names: the node with the highest
 * hash of (its name, tenant, key). Everybody who has the same list agrees without asking, and a
 * node more or less moves only the keys that it masters. Nothing is moved here: the list is part of
 * a cluster's configuration, and changing it is for state that is empty or restored from a backup.
 *
 * A master that does not answer makes its keys unavailable (-EHOSTUNREACH, the node named), not
 * wrong. list() asks all nodes, and fails when one does not answer.
 *
 * Threads: any, as far as `peer` gives each its own connection. */
#ifndef WM_FAASLET_TIER_CLUSTER_H
#define WM_FAASLET_TIER_CLUSTER_H

#include "faaslet/rpc.h"
#include "faaslet/tier.h"

#define TIER_NODES_MAX 256u
#define TIER_NODE_NAME_BYTES_MAX 64u

struct tier_cluster_config {
    const char *const *nodes; /* names, in any order, each once; copied */
    uint32_t count;
    uint32_t own;             /* which of them this node is */
    const struct tier *local; /* its embedded tier; borrowed */
    /* A connection to the node for one request; 0, or a code with diag. Its transport must give up
     * on a node that is silent for too long. release gives it back; `usable`: nothing broke. */
    int (*peer)(void *self, const char *node, struct rpc_client **out, struct wm_diag *diag);
    void (*release)(void *self, const char *node, struct rpc_client *client, bool usable);
    void *self;
};

WM_MUST_CHECK int tier_cluster_new(const struct tier_cluster_config *config, struct tier *out,
                                   struct wm_diag *diag);
/* The index of a key's master. Pure. */
uint32_t tier_cluster_master(const char *const *nodes, uint32_t count, struct tier_key key);
void tier_cluster_stats(const struct tier *tier, struct tier_stats *out);

#endif
