/* sort.c: bottom-up merge sort: stable, no recursion, no worst case. (The C library's qsort takes
 * memory behind our back and is quadratic when it gets none.) */
#include "wasm/sort.h"

#include <string.h>

static int compare(const struct wasm_keyed *a, const struct wasm_keyed *b, wasm_order_fn *order,
                   const void *self)
{
    if (a->hash != b->hash) {
        return a->hash < b->hash ? -1 : 1;
    }
    return order(self, a->idx, b->idx);
}

void wasm_sort_keyed(struct wasm_keyed *items, struct wasm_keyed *spare, size_t count,
                     wasm_order_fn *order, const void *self)
{
    struct wasm_keyed *from = items, *to = spare;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t start = 0; start < count; start += 2 * width) {
            size_t left = start, middle = start + width < count ? start + width : count;
            size_t right = middle, end = middle + width < count ? middle + width : count;
            for (size_t at = start; at < end; at++) {
                /* On a tie the left one goes first: that is what makes it stable. */
                if (left < middle &&
                    (right == end || compare(&from[left], &from[right], order, self) <= 0)) {
                    to[at] = from[left++];
                } else {
                    to[at] = from[right++];
                }
            }
        }
        struct wasm_keyed *swap = from;
        from = to;
        to = swap;
    }
    if (from != items) {
        memcpy(items, from, count * sizeof *items);
    }
}

uint64_t wasm_hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    hash ^= UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}
