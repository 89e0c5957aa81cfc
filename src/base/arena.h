/* arena.h: memory for one unit of work, released in one call.
 *
 * One arena per module load, per request, per message. Blocks come from wm_alloc and grow; nothing
 * is released before wm_arena_fini. A limit, chosen at init, bounds what hostile input can make us
 * take. One thread at a time. */
#ifndef WM_BASE_ARENA_H
#define WM_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/view.h"

struct wm_arena_block;

struct wm_arena {
    struct wm_arena_block *newest;
    size_t used_bytes; /* in the newest block */
    size_t total_bytes;
    size_t limit_bytes;
};

/* limit_bytes 0: no limit. Takes no memory yet. */
void wm_arena_init(struct wm_arena *arena, size_t limit_bytes);
/* Releases everything; the arena is as after init. */
void wm_arena_fini(struct wm_arena *arena);
/* The same, but the newest block stays, for the next unit of work: where there are many small ones,
 * none of them waits for the C library. A block larger than usual is released. */
void wm_arena_reset(struct wm_arena *arena);

/* Zeroed memory, aligned to 16; NULL when memory or the limit is exhausted, or count * len
 * overflows. A count or len of 0 gives a valid pointer to nothing. */
WM_MUST_CHECK void *wm_arena_take(struct wm_arena *arena, size_t count, size_t len);
/* A NUL-terminated copy. */
WM_MUST_CHECK char *wm_arena_str(struct wm_arena *arena, struct wm_view text);

#define WM_ARENA_NEW(arena, type) ((type *)wm_arena_take((arena), 1, sizeof(type)))
#define WM_ARENA_ARRAY(arena, type, count) ((type *)wm_arena_take((arena), (count), sizeof(type)))

#endif
