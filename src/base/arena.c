#include "base/arena.h"

#include <string.h>

#include "base/alloc.h"
#include "base/arith.h"

#define BLOCK_BYTES ((size_t)64 << 10)
#define BLOCK_KEPT_BYTES ((size_t)1 << 20) /* by a reset */
#define ALIGNMENT ((size_t)16)

struct wm_arena_block {
    struct wm_arena_block *older;
    size_t room_bytes;
    WM_ALIGNED(16) unsigned char bytes[];
};

void wm_arena_init(struct wm_arena *arena, size_t limit_bytes)
{
    *arena = (struct wm_arena){.limit_bytes = limit_bytes ? limit_bytes : SIZE_MAX};
}

void wm_arena_fini(struct wm_arena *arena)
{
    for (struct wm_arena_block *block = arena->newest, *older; block; block = older) {
        older = block->older;
        wm_free(block);
    }
    wm_arena_init(arena, arena->limit_bytes);
}

void wm_arena_reset(struct wm_arena *arena)
{
    struct wm_arena_block *kept = arena->newest;
    if (!kept || kept->room_bytes > BLOCK_KEPT_BYTES) {
        wm_arena_fini(arena);
        return;
    }
    for (struct wm_arena_block *block = kept->older, *older; block; block = older) {
        older = block->older;
        wm_free(block);
    }
    kept->older = NULL;
    arena->used_bytes = 0;
    arena->total_bytes = 0;
}

/* Makes a block of at least `need` bytes the newest one. */
static struct wm_arena_block *grow(struct wm_arena *arena, size_t need)
{
    /* Doubling keeps the number of blocks logarithmic in what is taken. */
    size_t room = arena->newest ? arena->newest->room_bytes * 2 : BLOCK_BYTES;
    room = room > (BLOCK_BYTES << 8) ? BLOCK_BYTES << 8 : room;
    room = room < need ? need : room;
    size_t total;
    if (!wm_add_size(room, sizeof(struct wm_arena_block), &total)) {
        return NULL;
    }
    struct wm_arena_block *block = wm_alloc(total);
    if (!block) {
        return NULL;
    }
    block->older = arena->newest;
    block->room_bytes = room;
    arena->newest = block;
    arena->used_bytes = 0;
    return block;
}

void *wm_arena_take(struct wm_arena *arena, size_t count, size_t len)
{
    size_t need;
    if (!wm_mul_size(count, len, &need) || need > SIZE_MAX - ALIGNMENT) {
        return NULL;
    }
    need = (need + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (need > arena->limit_bytes - arena->total_bytes) {
        return NULL;
    }
    struct wm_arena_block *block = arena->newest;
    if ((!block || need > block->room_bytes - arena->used_bytes) && !(block = grow(arena, need))) {
        return NULL;
    }
    void *taken = block->bytes + arena->used_bytes;
    arena->used_bytes += need;
    arena->total_bytes += need;
    return memset(taken, 0, need);
}

char *wm_arena_str(struct wm_arena *arena, struct wm_view text)
{
    char *copy = wm_arena_take(arena, text.len + 1, 1);
    if (copy && text.len) {
        memcpy(copy, text.ptr, text.len);
    }
    return copy;
}
