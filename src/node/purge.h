/* purge.h: what a tenant had outside the catalogue: files and state.
 *
 * Done when a tenant is removed, and again before one is made: the node may have died in between,
 * and a new tenant of an old name must not find what was the old one's. Blocks; any thread. */
#ifndef WM_NODE_PURGE_H
#define WM_NODE_PURGE_H

#include "base/diag.h"
#include "node/node.h"

/* `tenant` is a valid name (uri_name_ok). */
WM_MUST_CHECK int purge_tenant(const struct node *node, const char *tenant, struct wm_diag *diag);

#endif
