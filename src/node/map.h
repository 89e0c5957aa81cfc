/* map.h: a hash table from bytes to pointers.
 *
 * Keys are chosen by clients, so the hash is keyed (SipHash-1-3 under a random key of each map):
 * nobody can make all his names collide. Keys are borrowed from the values: they live as long as
 * their entry. map_reserve makes room ahead, after which map_put cannot fail. One thread. */
#ifndef WM_NODE_MAP_H
#define WM_NODE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

struct map_slot {
    struct wm_view key; /* ptr NULL: free */
    uint64_t hash;
    void *value;
};

struct map {
    struct map_slot *slots; /* a power of two, linear probing, at most 3/4 full */
    size_t room, count;
    uint64_t key[2];
};

void map_init(struct map *map);
void map_fini(struct map *map); /* not the values */
void *map_get(const struct map *map, struct wm_view key);
/* 0 or -ENOMEM. */
WM_MUST_CHECK int map_reserve(struct map *map, size_t more);
/* Needs room (map_reserve). The former value of that key, or NULL. */
void *map_put(struct map *map, struct wm_view key, void *value);
void *map_remove(struct map *map, struct wm_view key);
/* Walks: *at from 0 on; NULL at the end. Nothing may change meanwhile. */
void *map_next(const struct map *map, size_t *at);

#endif
