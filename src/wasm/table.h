/* table.h: a table as the host sees it: for loading a module into a running program (faaslet/dl.h).
 *
 * A table grows and is never shrunk but by its slot's reset, which also undoes what was set. */
#ifndef WM_WASM_TABLE_H
#define WM_WASM_TABLE_H

#include <stdint.h>

#include "base/compiler.h"

struct wasm_table;
struct wasm_func;

uint32_t wasm_table_size(const struct wasm_table *table);
/* Adds null elements. The old size, or UINT32_MAX: over the table's or the store's limit, or no
 * memory. */
uint32_t wasm_table_grow(struct wasm_table *table, uint32_t delta);
/* Of a table of functions; `index` is below its size. `func` lives as long as the table's use. */
void wasm_table_set(struct wasm_table *table, uint32_t index, const struct wasm_func *func);
/* The first element from `from` on that is `func`, or UINT32_MAX. */
uint32_t wasm_table_find(const struct wasm_table *table, uint32_t from,
                         const struct wasm_func *func);

#endif
