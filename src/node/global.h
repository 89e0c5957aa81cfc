/* global.h: the global tier as this node was configured to have it.
 *
 *   tier: embedded           in this node's own store; with peers, each key at its master node
 *   tier: redis:ADDR         on a Redis server that all nodes share
 *
 * In the embedded tier each tenant's values are held to its quota (state_bytes) on each node, as
 * the catalogue said a second ago at most; a Redis server has none, and must be limited itself.
 *
 * Opened before workers, closed after them. Loop thread; the tier itself is for any thread. */
#ifndef WM_NODE_GLOBAL_H
#define WM_NODE_GLOBAL_H

#include "base/diag.h"
#include "node/node.h"

struct global;
struct cluster;
/* Sets node->tier. A Redis without persistence is a warning in the log. */
WM_MUST_CHECK int global_open(struct node *node, struct cluster *cluster, struct global **out,
                              struct wm_diag *diag);
void global_close(struct node *node, struct global *global); /* NULL allowed */
/* A worker of this tenant starts: its quota holds from its first change on. */
void global_note_tenant(struct node *node, const char *tenant);

#endif
