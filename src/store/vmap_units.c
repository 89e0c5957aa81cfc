/* Memory in units of 64 bytes, which never move. It grows by parts, each twice as large as the one
 * before, so that there are few and the number of a unit says in which it lies. What is freed is
 * kept for things of the same size; nothing goes back to the system before the map does. */
#include <errno.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "store/vmap_tree.h"

#define HUGE_PAGE_BYTES ((uintptr_t)2 << 20)

/* Ways through the tree miss the processor's table of pages, too, where pages are small: with large
 * ones a walk through 8 MiB takes 17 ns a step in place of 117. A wish; where it is not granted,
 * all is slower. */
static void wish_huge_pages(uintptr_t from, uintptr_t to)
{
    from = (from + HUGE_PAGE_BYTES - 1) & ~(HUGE_PAGE_BYTES - 1);
    to &= ~(HUGE_PAGE_BYTES - 1);
    if (from < to) {
        (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
    }
}

static void push(struct units *units, uint32_t number, uint32_t count)
{
    struct head *head = unit_at(units, number);
    head->next = units->free[count];
    units->free[count] = number;
}

int units_reserve(struct units *units, uint32_t count)
{
    WM_ASSERT(count <= FIRST_UNIT);
    if (units->fresh_end - units->fresh >= count) {
        return 0;
    }
    uint32_t part = units->part_count;
    uint32_t first = FIRST_UNIT << part; /* and how many it has */
    size_t bytes = (size_t)first * UNIT_BYTES;
    void *memory = part < PARTS ? wm_alloc(bytes + UNIT_BYTES) : NULL;
    if (!memory) {
        return -ENOMEM;
    }
    uintptr_t from = ((uintptr_t)memory + UNIT_BYTES - 1) & ~(uintptr_t)(UNIT_BYTES - 1);
    wish_huge_pages(from, from + bytes);
    while (units->fresh < units->fresh_end) { /* the rest of the part before */
        uint32_t left = units->fresh_end - units->fresh;
        uint32_t some = left < LEAF_UNITS_MAX ? left : LEAF_UNITS_MAX;
        push(units, units->fresh, some);
        units->fresh += some;
    }
    units->parts[part] = memory;
    units->bases[FIRST_UNIT_LOG2 + part] = from - bytes; /* first * UNIT_BYTES is `bytes` as well */
    units->part_count++;
    units->fresh = first;
    units->fresh_end = 2 * first;
    return 0;
}

uint32_t units_take(struct units *units, uint32_t count)
{
    uint32_t number = units->free[count];
    if (number != 0) {
        const struct head *head = unit_at(units, number);
        units->free[count] = head->next;
        if (head->next != 0) { /* what will be written to the next time */
            const uint8_t *next = unit_at(units, head->next);
            for (uint32_t i = 0; i < count; i++) {
                __builtin_prefetch(next + (size_t)i * UNIT_BYTES, 1);
            }
        }
    } else {
        WM_ASSERT(units->fresh_end - units->fresh >= count);
        number = units->fresh;
        units->fresh += count;
    }
    units->bytes += (uint64_t)count * UNIT_BYTES;
    return number;
}

void units_free(struct units *units, uint32_t number, uint32_t count)
{
    push(units, number, count);
    units->bytes -= (uint64_t)count * UNIT_BYTES;
}

void units_fini(struct units *units)
{
    for (uint32_t i = 0; i < units->part_count; i++) {
        wm_free(units->parts[i]);
    }
}
