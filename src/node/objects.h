/* objects.h: compiled code of functions as open files.
 *
 * The second phase of code generation (Faasm section 3.4): a module that was uploaded is validated
 * and compiled by wardmote-wasmc, and its object enters the node's own cache, which authenticates
 * it (wasm/cache.h). A node that finds no object (another processor, a trimmed cache) compiles
 * again, from modules/; a module that is not there either is fetched from another node (fetch.h).
 *
 * Threads: any; each has a cache handle of its own. Blocks. */
#ifndef WM_NODE_OBJECTS_H
#define WM_NODE_OBJECTS_H

#include "base/diag.h"
#include "node/catalogue.h"
#include "node/node.h"
#include "wasm/options.h"

void objects_options(bool fuel, struct wasm_options *out);
/* The object of a module in modules/; only_cached: WM_E_NOT_FOUND rather than compile. */
WM_MUST_CHECK int objects_open(const struct node *node, const uint8_t module_sha256[32], bool fuel,
                               bool only_cached, int *fd, struct wm_diag *diag);
/* The module itself. */
WM_MUST_CHECK int objects_open_module(const struct node *node, const uint8_t module_sha256[32],
                                      int *fd, struct wm_diag *diag);

#endif
