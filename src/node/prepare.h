/* prepare.h: from an uploaded module to something that can run: phase one of Faasm's trusted code
 * generation (validate and compile in wardmote-wasmc, which is confined), then the Proto-Faaslet.
 *
 * The module is a stranger's. This process never parses it: what it exports is read from the
 * compiled object, which was checked when it entered the cache. Blocks; any thread. */
#ifndef WM_NODE_PREPARE_H
#define WM_NODE_PREPARE_H

#include "base/diag.h"
#include "node/catalogue.h"
#include "node/node.h"
#include "wasm/options.h"

enum prepare_kind { PREPARE_AUTO, PREPARE_COMMAND, PREPARE_FAASLET, PREPARE_SUSPENDED };

/* How a version's module is compiled; workers look its object up by the same. */
void prepare_options(const struct function_version *version, struct wasm_options *out);

/* `module_fd`: the module, in a file without a name; it gets the name modules/HEX.wasm, compiled
 * objects go to cache/. Fills in kind and what a snapshot gives. WM_E_MALFORMED, WM_E_INVALID,
 * WM_E_UNSUPPORTED, WM_E_LIMIT: of the module, and diag says where; others: of the machine.
 * `library`: needs no entry. */
WM_MUST_CHECK int prepare_module(struct node *node, int module_fd, enum prepare_kind kind,
                                 bool library, struct function_version *version,
                                 struct wm_diag *diag);

#endif
