/* range.c: which object's code, which memory an address belongs to.
 *
 * The writer is the thread that owns the store; the only reader that can come in between is a
 * signal handler on that same thread, which runs to its end before the writer goes on. So nothing
 * is ever read while it is half freed: it is enough that each single step leaves an array that can
 * be walked, and that the compiler keeps the steps in order. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "wasm/runtime.h"

#define STEP() atomic_signal_fence(memory_order_seq_cst)

int wasm_ranges_add(struct wasm_ranges *ranges, uintptr_t start, uintptr_t end, const void *owner)
{
    for (uint32_t i = 0; i < ranges->count; i++) {
        if (ranges->items[i].owner == owner) {
            ranges->items[i].refs++;
            return 0;
        }
    }
    if (ranges->count == ranges->room) {
        uint32_t room = ranges->room ? ranges->room * 2 : 4;
        struct wasm_range *grown = wm_alloc_zero(room, sizeof *grown);
        if (!grown) {
            return -ENOMEM;
        }
        struct wasm_range *old = ranges->items;
        if (old) {
            memcpy(grown, old, ranges->count * sizeof *grown);
        }
        STEP();
        ranges->items = grown;
        ranges->room = room;
        STEP();
        wm_free(old);
    }
    ranges->items[ranges->count] = (struct wasm_range){start, end, owner, 1};
    STEP();
    ranges->count++;
    STEP();
    return 0;
}

void wasm_ranges_remove(struct wasm_ranges *ranges, const void *owner)
{
    for (uint32_t i = 0; i < ranges->count; i++) {
        if (ranges->items[i].owner == owner) {
            if (--ranges->items[i].refs == 0) {
                /* Empty first: half of one range and half of another would hold anything. */
                const struct wasm_range *last = &ranges->items[ranges->count - 1];
                struct wasm_range *item = &ranges->items[i];
                uintptr_t end = last->end;
                item->end = 0;
                STEP();
                item->start = last->start;
                item->owner = last->owner;
                item->refs = last->refs;
                STEP();
                if (item != last) {
                    item->end = end;
                }
                STEP();
                ranges->count--;
                STEP();
            }
            return;
        }
    }
}

const struct wasm_range *wasm_ranges_find(const struct wasm_ranges *ranges, uintptr_t addr)
{
    for (uint32_t i = 0; i < ranges->count; i++) {
        if (addr >= ranges->items[i].start && addr < ranges->items[i].end) {
            return &ranges->items[i];
        }
    }
    return NULL;
}

void wasm_ranges_fini(struct wasm_ranges *ranges)
{
    struct wasm_range *old = ranges->items;
    ranges->count = ranges->room = 0;
    STEP();
    ranges->items = NULL;
    STEP();
    wm_free(old);
}
