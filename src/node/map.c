/* Linear probing with backward-shift deletion; see the header. */
#include "node/map.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"

#define FIRST_ROOM 16u

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein 2012, with fewer rounds as hash tables use it). */
static uint64_t hash_of(const struct map *map, struct wm_view key)
{
    uint64_t v[4] = {
        map->key[0] ^ UINT64_C(0x736f6d6570736575), map->key[1] ^ UINT64_C(0x646f72616e646f6d),
        map->key[0] ^ UINT64_C(0x6c7967656e657261), map->key[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t word;
    size_t at = 0;
    for (; key.len - at >= 8; at += 8) {
        memcpy(&word, key.ptr + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)key.len << 56;
    for (size_t i = 0; at + i < key.len; i++) {
        word |= (uint64_t)key.ptr[at + i] << (8 * i);
    }
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *map)
{
    *map = (struct map){0};
    wm_random_bytes((uint8_t *)map->key, sizeof map->key);
}

void map_fini(struct map *map)
{
    wm_free(map->slots);
    map->slots = NULL;
    map->room = map->count = 0;
}

/* The slot that holds `key`, or the free one where it belongs. */
static struct map_slot *find(const struct map *map, struct wm_view key, uint64_t hash)
{
    for (size_t at = hash & (map->room - 1);; at = (at + 1) & (map->room - 1)) {
        struct map_slot *slot = &map->slots[at];
        if (!slot->key.ptr || (slot->hash == hash && wm_view_eq(slot->key, key))) {
            return slot;
        }
    }
}

void *map_get(const struct map *map, struct wm_view key)
{
    if (map->count == 0) {
        return NULL;
    }
    struct map_slot *slot = find(map, key, hash_of(map, key));
    return slot->key.ptr ? slot->value : NULL;
}

int map_reserve(struct map *map, size_t more)
{
    size_t room = map->room ? map->room : FIRST_ROOM;
    while (map->count + more > room / 4 * 3) {
        room *= 2;
    }
    if (room == map->room) {
        return 0;
    }
    struct map_slot *slots = wm_alloc_zero(room, sizeof *slots);
    if (!slots) {
        return -ENOMEM;
    }
    struct map old = *map;
    map->slots = slots;
    map->room = room;
    for (size_t i = 0; i < old.room; i++) {
        if (old.slots[i].key.ptr) {
            *find(map, old.slots[i].key, old.slots[i].hash) = old.slots[i];
        }
    }
    wm_free(old.slots);
    return 0;
}

void *map_put(struct map *map, struct wm_view key, void *value)
{
    WM_ASSERT(key.ptr && map->room);
    uint64_t hash = hash_of(map, key);
    struct map_slot *slot = find(map, key, hash);
    void *before = slot->key.ptr ? slot->value : NULL;
    if (!before) {
        map->count++;
        WM_ASSERT(map->count <= map->room / 4 * 3);
    }
    *slot = (struct map_slot){key, hash, value};
    return before;
}

void *map_remove(struct map *map, struct wm_view key)
{
    if (map->count == 0) {
        return NULL;
    }
    struct map_slot *slot = find(map, key, hash_of(map, key));
    if (!slot->key.ptr) {
        return NULL;
    }
    void *value = slot->value;
    size_t mask = map->room - 1;
    size_t hole = (size_t)(slot - map->slots);
    for (size_t at = (hole + 1) & mask; map->slots[at].key.ptr; at = (at + 1) & mask) {
        /* An entry may move into the hole unless its home lies behind it. */
        size_t home = map->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = (struct map_slot){0};
    map->count--;
    return value;
}

void *map_next(const struct map *map, size_t *at)
{
    while (*at < map->room) {
        struct map_slot *slot = &map->slots[(*at)++];
        if (slot->key.ptr) {
            return slot->value;
        }
    }
    return NULL;
}
