/* fetch.h: modules and Proto-Faaslets from other nodes, by their hash (RPC_FILE).
 *
 * A file comes in parts of at most SYNC_FILE_BYTES and is hashed as it comes; what does not have
 * the hash that was asked for is thrown away. A Proto-Faaslet also needs a manifest, signed by a
 * node of this cluster, for the very function (faaslet/artefact.h), which is checked before
 * its bytes are asked for.
 *
 * Threads: any but the loop's; blocks until a peer has given it or none has it. */
#ifndef WM_NODE_FETCH_H
#define WM_NODE_FETCH_H

#include "base/diag.h"
#include "faaslet/artefact.h"
#include "node/cluster.h"
#include "node/node.h"

struct rpc_request;

/* Into modules/. WM_E_NOT_FOUND: no node that lives has it. */
WM_MUST_CHECK int fetch_module(struct cluster *cluster, const uint8_t sha256[32],
                               struct wm_diag *diag);
/* Into the folder of `dir`, its manifest as `name`. */
WM_MUST_CHECK int fetch_image(struct cluster *cluster, int dir, const char *name,
                              const struct artefact_use *use, const uint8_t sha256[32],
                              struct wm_diag *diag);
/* Answers a peer. */
WM_MUST_CHECK int fetch_serve(const struct node *node, struct rpc_request *request);

#endif
