/* dirty_test.c: a set against an array of one byte per byte. */
#include "faaslet/dirty.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/test.h"

#define BYTES (3 * DIRTY_CHUNK_BYTES + 12345)

static uint64_t seed = 88172645463325252u;
static uint32_t draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16) % below;
}

static void draw_range(uint64_t *offset, uint64_t *len)
{
    static const uint32_t edges[] = {0,
                                     1,
                                     63,
                                     64,
                                     65,
                                     DIRTY_CHUNK_BYTES - 1,
                                     DIRTY_CHUNK_BYTES,
                                     DIRTY_CHUNK_BYTES + 1,
                                     2 * DIRTY_CHUNK_BYTES,
                                     BYTES};
    *offset = draw(2) ? draw(BYTES + 1) : edges[draw(WM_COUNT_OF(edges))];
    uint64_t room = BYTES - *offset;
    *len = draw(3) == 0 ? room : draw(2) ? draw(200) : edges[draw(WM_COUNT_OF(edges))];
    *len = *len < room ? *len : room;
}

/* The runs of the set are those of the array, neither more nor less. */
static bool same(const struct dirty_set *set, const uint8_t *model)
{
    uint64_t at = 0, from = 0, len;
    while (dirty_next(set, &from, &len)) {
        for (; at < from; at++) {
            if (model[at]) {
                return false;
            }
        }
        for (; at < from + len; at++) {
            if (!model[at]) {
                return false;
            }
        }
        if (len == 0 || (at < BYTES && model[at])) {
            return false; /* empty, or not joined with the next */
        }
        from = at;
    }
    for (; at < BYTES; at++) {
        if (model[at]) {
            return false;
        }
    }
    uint32_t dirty_chunks = 0;
    for (uint32_t i = 0; i < set->chunk_count; i++) {
        dirty_chunks += set->chunks[i] != NULL;
    }
    return dirty_chunks == set->dirty_chunks;
}

TEST(a_set_is_exact_to_the_byte)
{
    static uint8_t model[BYTES], taken_model[BYTES];
    struct dirty_set set, taken;
    REQUIRE(dirty_init(&set, BYTES) == 0 && dirty_init(&taken, BYTES) == 0);
    for (int round = 0; round < 3000; round++) {
        uint64_t offset, len;
        draw_range(&offset, &len);
        /* One operation in four meets an allocation that fails, and then changes nothing. */
        wm_fault_arm(WM_FAULT_ALLOC, draw(4) == 0 ? 1 + draw(4) : 0);
        uint32_t kind = draw(8);
        if (kind < 5) {
            if (dirty_add(&set, offset, len) == 0) {
                memset(model + offset, 1, len);
            }
        } else if (kind < 7) {
            if (dirty_take(&set, offset, len, &taken) == 0) {
                memcpy(taken_model + offset, model + offset, len);
                memset(model + offset, 0, len);
            }
            wm_fault_arm(WM_FAULT_ALLOC, 0);
            REQUIRE(same(&taken, taken_model));
            if (draw(2)) {
                dirty_merge(&set, &taken);
                for (uint32_t i = 0; i < BYTES; i++) {
                    model[i] |= taken_model[i];
                }
            } else {
                dirty_fini(&taken);
                REQUIRE(dirty_init(&taken, BYTES) == 0);
            }
            memset(taken_model, 0, sizeof taken_model);
            CHECK_INT(taken.dirty_chunks, ==, 0);
        } else {
            bool any = false;
            for (uint64_t i = offset; i < offset + len; i++) {
                any = any || model[i];
            }
            REQUIRE(dirty_any(&set, offset, len) == any);
        }
        wm_fault_arm(WM_FAULT_ALLOC, 0);
        REQUIRE(same(&set, model));
    }
    dirty_fini(&set);
    dirty_fini(&taken);
}

TEST(clean_bytes_are_copied_and_dirty_ones_are_not)
{
    static uint8_t from[DIRTY_CHUNK_BYTES], to[DIRTY_CHUNK_BYTES];
    struct dirty_set set;
    REQUIRE(dirty_init(&set, 2 * DIRTY_CHUNK_BYTES) == 0);
    memset(from, 7, sizeof from);
    REQUIRE(dirty_add(&set, DIRTY_CHUNK_BYTES + 3, 70) == 0);
    REQUIRE(dirty_add(&set, DIRTY_CHUNK_BYTES + 1000, 1) == 0);
    dirty_copy_clean(&set, 1, from, to, sizeof to);
    for (uint32_t i = 0; i < sizeof to; i++) {
        bool dirty = (i >= 3 && i < 73) || i == 1000;
        REQUIRE(to[i] == (dirty ? 0 : 7));
    }
    memset(to, 0, sizeof to);
    REQUIRE(dirty_add(&set, DIRTY_CHUNK_BYTES, DIRTY_CHUNK_BYTES) == 0);
    dirty_copy_clean(&set, 1, from, to, sizeof to);
    CHECK(to[0] == 0 && to[sizeof to - 1] == 0);
    dirty_copy_clean(&set, 0, from, to, sizeof to);
    CHECK(to[0] == 7 && to[sizeof to - 1] == 7);
    dirty_fini(&set);
}

TEST_MAIN(TEST_CASE(a_set_is_exact_to_the_byte),
          TEST_CASE(clean_bytes_are_copied_and_dirty_ones_are_not))
