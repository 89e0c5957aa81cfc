/* typeid.h: one number for each function type in the process.
 *
 * call_indirect and linking compare types across modules by comparing these. Counted: a type stays
 * as long as somebody holds it, and its number is used again only after that, so a server that
 * loads hostile modules for years does not fill up. Any thread. */
#ifndef WM_WASM_TYPEID_H
#define WM_WASM_TYPEID_H

#include <stdint.h>

#include "base/compiler.h"
#include "wasm/types.h"

/* Never 0; 0 means that memory is short. Each call is one reference. */
WM_MUST_CHECK uint32_t wasm_typeid_take(const struct wasm_functype *type);
void wasm_typeid_ref(uint32_t id);
void wasm_typeid_put(uint32_t id);
/* Valid while somebody holds the id. */
struct wasm_functype wasm_typeid_type(uint32_t id);
/* Types held now, for tests. */
uint32_t wasm_typeid_count(void);

#endif
