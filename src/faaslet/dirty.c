/* dirty.c: masks of one bit per byte, made when a chunk becomes dirty in part. */
#include "faaslet/dirty.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"

#define MASK_WORDS (DIRTY_CHUNK_BYTES / 64)

/* What stands for a mask whose bits are all set. Never written. */
static uint64_t all_dirty[1];

int dirty_init(struct dirty_set *set, uint64_t bytes)
{
    uint64_t count = (bytes + DIRTY_CHUNK_BYTES - 1) / DIRTY_CHUNK_BYTES;
    *set = (struct dirty_set){.bytes = bytes, .chunk_count = (uint32_t)count};
    set->chunks = wm_alloc_zero(count ? count : 1, sizeof *set->chunks);
    return set->chunks ? 0 : -ENOMEM;
}

static void mask_free(uint64_t *mask)
{
    if (mask != all_dirty) {
        wm_free(mask);
    }
}

void dirty_fini(struct dirty_set *set)
{
    for (uint32_t i = 0; set->dirty_chunks > 0 && i < set->chunk_count; i++) {
        mask_free(set->chunks[i]);
    }
    wm_free(set->chunks);
    *set = (struct dirty_set){0};
}

static uint32_t chunk_bytes(const struct dirty_set *set, uint32_t chunk)
{
    return (uint32_t)wm_min_u64(DIRTY_CHUNK_BYTES,
                                set->bytes - (uint64_t)chunk * DIRTY_CHUNK_BYTES);
}

/* Bits [from, to) of one word, 0 <= from < to <= 64. */
static uint64_t bits(uint32_t from, uint32_t to)
{
    uint64_t upto = to == 64 ? ~UINT64_C(0) : (UINT64_C(1) << to) - 1;
    return upto & ~((UINT64_C(1) << from) - 1);
}

static void mask_set(uint64_t *mask, uint32_t from, uint32_t to)
{
    for (uint32_t word = from / 64; word * 64 < to; word++) {
        uint32_t low = from > word * 64 ? from - word * 64 : 0;
        uint32_t high = to < (word + 1) * 64 ? to - word * 64 : 64;
        mask[word] |= bits(low, high);
    }
}

static bool mask_empty(const uint64_t *mask)
{
    for (uint32_t i = 0; i < MASK_WORDS; i++) {
        if (mask[i]) {
            return false;
        }
    }
    return true;
}

/* The part of [offset, end) that lies in a chunk, as offsets in it. */
static void part_of(const struct dirty_set *set, uint32_t chunk, uint64_t offset, uint64_t end,
                    uint32_t *from, uint32_t *to)
{
    uint64_t start = (uint64_t)chunk * DIRTY_CHUNK_BYTES;
    *from = offset > start ? (uint32_t)(offset - start) : 0;
    *to = (uint32_t)wm_min_u64(chunk_bytes(set, chunk), end - start);
}

int dirty_add(struct dirty_set *set, uint64_t offset, uint64_t len)
{
    WM_ASSERT(wm_range_fits(offset, len, set->bytes));
    if (len == 0) {
        return 0;
    }
    uint64_t end = offset + len;
    uint32_t first = (uint32_t)(offset / DIRTY_CHUNK_BYTES);
    uint32_t last = (uint32_t)((end - 1) / DIRTY_CHUNK_BYTES);
    /* Only the two ends can need masks; both are made before anything changes. */
    uint64_t *made[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        uint32_t chunk = i == 0 ? first : last, from, to;
        part_of(set, chunk, offset, end, &from, &to);
        bool whole = from == 0 && to == chunk_bytes(set, chunk);
        if (!whole && !set->chunks[chunk] && (i == 0 || last != first)) {
            made[i] = wm_alloc_zero(MASK_WORDS, sizeof *made[i]);
            if (!made[i]) {
                wm_free(made[0]);
                return -ENOMEM;
            }
        }
    }
    for (uint32_t chunk = first; chunk <= last; chunk++) {
        uint32_t from, to;
        part_of(set, chunk, offset, end, &from, &to);
        uint64_t *mask = set->chunks[chunk];
        set->dirty_chunks += !mask;
        if (from == 0 && to == chunk_bytes(set, chunk)) {
            mask_free(mask);
            set->chunks[chunk] = all_dirty;
        } else if (mask != all_dirty) {
            mask = mask ? mask : made[chunk == first ? 0 : 1];
            mask_set(mask, from, to);
            set->chunks[chunk] = mask;
        }
    }
    return 0;
}

/* The mask of a chunk cut to [from, to) into `cut`, and the rest into `rest`. */
static void mask_split(const struct dirty_set *set, uint32_t chunk, uint32_t from, uint32_t to,
                       uint64_t *cut, uint64_t *rest)
{
    const uint64_t *mask = set->chunks[chunk];
    mask_set(cut, from, to);
    if (mask == all_dirty) {
        mask_set(rest, 0, chunk_bytes(set, chunk));
    } else {
        memcpy(rest, mask, MASK_WORDS * sizeof *rest);
    }
    for (uint32_t i = 0; i < MASK_WORDS; i++) {
        uint64_t both = cut[i] & rest[i];
        rest[i] &= ~cut[i];
        cut[i] = both;
    }
}

static void put_mask(struct dirty_set *set, uint32_t chunk, uint64_t *mask)
{
    if (mask != all_dirty && mask_empty(mask)) {
        wm_free(mask);
        mask = NULL;
    }
    set->dirty_chunks += (mask != NULL) - (set->chunks[chunk] != NULL);
    set->chunks[chunk] = mask;
}

int dirty_take(struct dirty_set *set, uint64_t offset, uint64_t len, struct dirty_set *out)
{
    WM_ASSERT(wm_range_fits(offset, len, set->bytes) && out->bytes == set->bytes);
    WM_ASSERT(out->dirty_chunks == 0);
    if (len == 0 || set->dirty_chunks == 0) {
        return 0;
    }
    uint64_t end = offset + len;
    uint32_t first = (uint32_t)(offset / DIRTY_CHUNK_BYTES);
    uint32_t last = (uint32_t)((end - 1) / DIRTY_CHUNK_BYTES);
    uint64_t *cut[2] = {NULL, NULL}, *rest[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        uint32_t chunk = i == 0 ? first : last, from, to;
        part_of(set, chunk, offset, end, &from, &to);
        bool whole = from == 0 && to == chunk_bytes(set, chunk);
        if (!whole && set->chunks[chunk] && (i == 0 || last != first)) {
            cut[i] = wm_alloc_zero(MASK_WORDS, sizeof *cut[i]);
            rest[i] = wm_alloc_zero(MASK_WORDS, sizeof *rest[i]);
            if (!cut[i] || !rest[i]) {
                for (int k = 0; k <= i; k++) {
                    wm_free(cut[k]);
                    wm_free(rest[k]);
                }
                return -ENOMEM;
            }
        }
    }
    for (uint32_t chunk = first; chunk <= last; chunk++) {
        int i = chunk == first ? 0 : chunk == last ? 1 : -1;
        if (i >= 0 && cut[i]) {
            uint32_t from, to;
            part_of(set, chunk, offset, end, &from, &to);
            mask_split(set, chunk, from, to, cut[i], rest[i]);
            uint64_t *old = set->chunks[chunk];
            put_mask(set, chunk, rest[i]);
            put_mask(out, chunk, cut[i]);
            mask_free(old);
        } else if (set->chunks[chunk]) {
            out->chunks[chunk] = set->chunks[chunk];
            set->chunks[chunk] = NULL;
            out->dirty_chunks++;
            set->dirty_chunks--;
        }
    }
    return 0;
}

void dirty_merge(struct dirty_set *set, struct dirty_set *from)
{
    WM_ASSERT(set->bytes == from->bytes);
    for (uint32_t i = 0; from->dirty_chunks > 0 && i < set->chunk_count; i++) {
        uint64_t *mask = from->chunks[i];
        if (!mask) {
            continue;
        }
        from->chunks[i] = NULL;
        from->dirty_chunks--;
        if (!set->chunks[i]) {
            set->chunks[i] = mask;
            set->dirty_chunks++;
        } else if (set->chunks[i] == all_dirty || mask == all_dirty) {
            mask_free(set->chunks[i]);
            mask_free(mask);
            set->chunks[i] = all_dirty;
        } else {
            for (uint32_t word = 0; word < MASK_WORDS; word++) {
                set->chunks[i][word] |= mask[word];
            }
            mask_free(mask);
        }
    }
}

/* The first offset in the chunk from `at` on whose bit is `wanted`; chunk_bytes where none is. */
static uint32_t find(const struct dirty_set *set, uint32_t chunk, uint32_t at, bool wanted)
{
    uint32_t len = chunk_bytes(set, chunk);
    const uint64_t *mask = set->chunks[chunk];
    if (!mask || mask == all_dirty) {
        return (mask != NULL) == wanted ? at : len;
    }
    while (at < len) {
        uint64_t word = wanted ? mask[at / 64] : ~mask[at / 64];
        word &= ~UINT64_C(0) << at % 64;
        if (word) {
            uint32_t found = at / 64 * 64 + (uint32_t)__builtin_ctzll(word);
            return found < len ? found : len;
        }
        at = (at / 64 + 1) * 64;
    }
    return len;
}

bool dirty_next(const struct dirty_set *set, uint64_t *from, uint64_t *len)
{
    uint64_t start = UINT64_MAX, at = *from;
    if (set->dirty_chunks == 0) {
        return false;
    }
    while (at < set->bytes) {
        uint32_t chunk = (uint32_t)(at / DIRTY_CHUNK_BYTES);
        if (start == UINT64_MAX && !set->chunks[chunk]) {
            at = (uint64_t)(chunk + 1) * DIRTY_CHUNK_BYTES; /* most of a large value */
            continue;
        }
        uint64_t base = (uint64_t)chunk * DIRTY_CHUNK_BYTES;
        uint32_t found = find(set, chunk, (uint32_t)(at - base), start == UINT64_MAX);
        bool at_end = found == chunk_bytes(set, chunk);
        at = base + found;
        if (at_end) {
            continue; /* in the next chunk */
        }
        if (start != UINT64_MAX) {
            break;
        }
        start = at;
    }
    if (start == UINT64_MAX) {
        return false;
    }
    *from = start;
    *len = at - start;
    return true;
}

bool dirty_any(const struct dirty_set *set, uint64_t offset, uint64_t len)
{
    uint64_t at = offset, run;
    return len != 0 && dirty_next(set, &at, &run) && at < offset + len;
}

void dirty_copy_clean(const struct dirty_set *set, uint32_t chunk_idx, const uint8_t *bytes,
                      uint8_t *out, uint32_t len)
{
    uint32_t at = 0;
    while (at < len) {
        at = find(set, chunk_idx, at, false);
        uint32_t end = at < len ? find(set, chunk_idx, at, true) : len;
        end = end < len ? end : len;
        if (at < end) {
            memcpy(out + at, bytes + at, end - at);
        }
        at = end;
    }
}
