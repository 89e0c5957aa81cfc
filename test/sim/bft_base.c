#include "sim/bft_base.h"

#include <stdio.h>

#include "crypto/hash.h"

static void *must(void *memory)
{
    if (!memory) {
        fprintf(stderr, "sim-bft: out of memory\n");
        exit(2);
    }
    return memory;
}

void *sim_alloc(size_t count, size_t len)
{
    return must(calloc(count ? count : 1, len ? len : 1));
}

void *sim_grow(void *old, size_t count, size_t len)
{
    return must(realloc(old, count * len));
}

uint64_t draw_u64(struct draw *draw)
{
    uint64_t z = (draw->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t draw_below(struct draw *draw, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)draw_u64(draw) * bound) >> 64);
}

uint64_t draw_between(struct draw *draw, uint64_t low, uint64_t high)
{
    return low + draw_below(draw, high - low + 1);
}

bool draw_chance(struct draw *draw, uint32_t per_mille)
{
    return draw_below(draw, 1000) < per_mille;
}

bool draw_coin(struct draw *draw)
{
    return draw_u64(draw) >> 63;
}

uint32_t draw_bit(struct draw *draw, uint64_t mask)
{
    uint64_t which = draw_below(draw, (uint64_t)__builtin_popcountll(mask));
    for (; which > 0; which--) {
        mask &= mask - 1;
    }
    return (uint32_t)__builtin_ctzll(mask);
}

struct key_table {
    bool made[KEYS_MAX];
    struct sign_key keys[KEYS_MAX];
};

static const struct sign_key *key_of(struct key_table *table, const char *whose, uint32_t number)
{
    if (number >= KEYS_MAX) {
        fprintf(stderr, "sim-bft: no key for %s %u\n", whose, number);
        exit(2);
    }
    if (!table->made[number]) {
        char text[64];
        uint8_t seed[SIGN_SEED_BYTES];
        int len = snprintf(text, sizeof text, "sim-bft %s %u", whose, number);
        wm_sha256_once(wm_view_of(text, (size_t)len), seed);
        sign_key_init(&table->keys[number], seed);
        table->made[number] = true;
    }
    return &table->keys[number];
}

const struct sign_key *key_of_replica(uint32_t id)
{
    static struct key_table table;
    return key_of(&table, "replica", id);
}

const struct sign_key *key_of_client(uint32_t number)
{
    static struct key_table table;
    return key_of(&table, "client", number);
}

const struct sign_key *key_of_member(uint32_t number)
{
    static struct key_table table;
    return key_of(&table, "member", number);
}

struct bytes *bytes_new(struct wm_view view)
{
    struct bytes *bytes = must(malloc(sizeof *bytes + view.len));
    bytes->holders = 1;
    bytes->len = view.len;
    if (view.len > 0) {
        memcpy(bytes->at, view.ptr, view.len);
    }
    return bytes;
}

struct bytes *bytes_get(struct bytes *bytes)
{
    if (bytes) {
        bytes->holders++;
    }
    return bytes;
}

void bytes_drop(struct bytes *bytes)
{
    if (bytes && --bytes->holders == 0) {
        free(bytes);
    }
}
