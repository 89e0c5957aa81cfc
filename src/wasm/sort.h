/* sort.h: grouping equal things in guaranteed n log n, whatever the input.
 *
 * A hash table can be driven to its quadratic case by whoever picks the names; sorting by hash,
 * then by content where hashes collide, cannot. Used for export names and function types. Pure. */
#ifndef WM_WASM_SORT_H
#define WM_WASM_SORT_H

#include <stddef.h>
#include <stdint.h>

struct wasm_keyed {
    uint64_t hash; /* equal things have equal hashes */
    uint32_t idx;  /* of the thing itself */
};

/* Below, at or above 0: a total order of content, asked only where hashes are equal. */
typedef int wasm_order_fn(const void *self, uint32_t a, uint32_t b);

/* Stable; `spare` has room for `count` items. */
void wasm_sort_keyed(struct wasm_keyed *items, struct wasm_keyed *spare, size_t count,
                     wasm_order_fn *order, const void *self);
/* FNV-1a, continued from `hash` (0 at first). */
uint64_t wasm_hash_bytes(uint64_t hash, const void *bytes, size_t len);

#endif
