/* trie_partial_test.c: batches executed on what the proofs of their keys show, against the same
 * batches on a whole trie (trie_test_model.c); proofs that lie or are missing. */
#include "crypto/trie_partial.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/test.h"
#include "crypto/trie_test_model.h"

#define KEYS_MAX 40u

static uint64_t seed;

static uint64_t draw(uint64_t below) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % below;
}

static void draw_hash(trie_hash out)
{
    for (unsigned i = 0; i < TRIE_HASH_BYTES; i++) {
        out[i] = (uint8_t)draw(256);
    }
}

/* With few bits in play keys lie close together, so that one's change is beside another. `step`
 * spreads them over the 256. */
static void draw_key(unsigned bits, unsigned step, trie_hash out)
{
    memset(out, 0, TRIE_HASH_BYTES);
    for (unsigned i = 0; i < bits; i++) {
        unsigned bit = i * step % 256;
        out[bit / 8] |= (uint8_t)(draw(2) ? 0x80 >> bit % 8 : 0);
    }
}

struct batch {
    unsigned count;
    trie_hash keys[KEYS_MAX];
};

/* Proofs of exactly the batch's keys. */
static int add_all(struct trie_partial *partial, const struct trie_model *model,
                   const struct batch *batch)
{
    static struct trie_proof proof;
    for (unsigned i = 0; i < batch->count; i++) {
        trie_model_prove(model, batch->keys[i], &proof);
        int rc = trie_partial_add(partial, &proof, NULL);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void check_get(const struct trie_partial *partial, const struct trie_model *model,
                      const trie_hash key)
{
    trie_hash value;
    size_t idx;
    enum trie_known known = trie_partial_get(partial, key, value);
    if (trie_model_find(model, key, &idx)) {
        CHECK(known == TRIE_KNOWN_PRESENT);
        CHECK(memcmp(value, model->pairs[idx].value_hash, sizeof value) == 0);
    } else {
        CHECK(known == TRIE_KNOWN_ABSENT);
    }
}

TEST(a_batch_on_proofs_of_its_keys_gives_the_root_of_the_whole)
{
    static struct trie_model model;
    seed = 1;
    for (unsigned round = 0; round < 600; round++) {
        static const unsigned steps[] = {1, 17, 85, 255};
        unsigned bits = 3 + (unsigned)draw(8), step = steps[draw(4)];
        struct batch batch = {.count = 1 + (unsigned)draw(KEYS_MAX)};
        struct trie_partial partial;
        struct wm_arena arena;
        trie_hash root, other;
        model.count = 0;
        for (uint64_t size = draw(round % 4 == 0 ? 4 : 100), i = 0; i < size; i++) {
            trie_hash key, value;
            draw_key(bits, step, key);
            draw_hash(value);
            trie_model_put(&model, key, value);
        }
        trie_model_root(&model, root);
        for (unsigned i = 0; i < batch.count; i++) {
            draw_key(bits, step, batch.keys[i]);
        }
        wm_arena_init(&arena, 0);
        REQUIRE(trie_partial_init(&partial, &arena, root) == 0);
        REQUIRE(add_all(&partial, &model, &batch) == 0);
        trie_partial_root(&partial, other);
        CHECK(memcmp(root, other, sizeof root) == 0);
        for (unsigned op = 0; op < 100; op++) {
            const uint8_t *key = batch.keys[draw(batch.count)];
            trie_hash value;
            switch (draw(round % 3 == 0 ? 4 : 3)) { /* every third time more goes than comes */
            case 0: check_get(&partial, &model, key); break;
            case 1:
                draw_hash(value);
                REQUIRE(trie_partial_put(&partial, key, value) == 0);
                trie_model_put(&model, key, value);
                break;
            default:
                REQUIRE(trie_partial_remove(&partial, key) == 0);
                trie_model_remove(&model, key);
                break;
            }
            if (op % 10 == 9) {
                trie_model_root(&model, root);
                trie_partial_root(&partial, other);
                CHECK(memcmp(root, other, sizeof root) == 0);
            }
        }
        for (unsigned i = 0; i < batch.count; i++) {
            check_get(&partial, &model, batch.keys[i]);
        }
        wm_arena_fini(&arena);
    }
}

/* What no proof covers is either seen to be impossible by what is proved, or unknown; never wrong.
 */
TEST(keys_that_were_not_proved_are_unknown_or_rightly_absent)
{
    static struct trie_model model;
    unsigned unknown = 0, absent = 0;
    seed = 2;
    for (unsigned round = 0; round < 200; round++) {
        struct batch batch = {.count = 3};
        struct trie_partial partial;
        struct wm_arena arena;
        trie_hash root, key, value;
        model.count = 0;
        for (unsigned i = 0; i < 30; i++) {
            draw_key(9, 5, key);
            draw_hash(value);
            trie_model_put(&model, key, value);
        }
        trie_model_root(&model, root);
        for (unsigned i = 0; i < batch.count; i++) {
            draw_key(9, 5, batch.keys[i]);
        }
        wm_arena_init(&arena, 0);
        REQUIRE(trie_partial_init(&partial, &arena, root) == 0);
        CHECK(trie_partial_get(&partial, batch.keys[0], value) == TRIE_UNKNOWN);
        CHECK(trie_partial_put(&partial, batch.keys[0], value) == WM_E_NOT_FOUND);
        CHECK(trie_partial_remove(&partial, batch.keys[0]) == WM_E_NOT_FOUND);
        REQUIRE(add_all(&partial, &model, &batch) == 0);
        for (unsigned i = 0; i < 100; i++) {
            size_t idx;
            draw_key(9, 5, key);
            bool there = trie_model_find(&model, key, &idx);
            switch (trie_partial_get(&partial, key, value)) {
            case TRIE_KNOWN_PRESENT:
                CHECK(there && memcmp(value, model.pairs[idx].value_hash, sizeof value) == 0);
                break;
            case TRIE_KNOWN_ABSENT:
                CHECK(!there);
                absent++;
                break;
            case TRIE_UNKNOWN:
                unknown++;
                CHECK(trie_partial_put(&partial, key, value) == WM_E_NOT_FOUND);
                CHECK(trie_partial_remove(&partial, key) == WM_E_NOT_FOUND);
                break;
            }
        }
        trie_partial_root(&partial, value);
        CHECK(memcmp(root, value, sizeof root) == 0);
        wm_arena_fini(&arena);
    }
    CHECK(unknown > 1000);
    CHECK(absent > 1000);
}

TEST(a_state_without_pairs_needs_no_proof)
{
    static const trie_hash none, key = {1}, value = {2};
    static struct trie_proof proof;
    struct trie_partial partial;
    struct wm_arena arena;
    trie_hash out, want;
    wm_arena_init(&arena, 0);
    REQUIRE(trie_partial_init(&partial, &arena, none) == 0);
    CHECK(trie_partial_get(&partial, key, out) == TRIE_KNOWN_ABSENT);
    proof.empty = true;
    CHECK_INT(trie_partial_add(&partial, &proof, NULL), ==, 0);
    proof.empty = false;
    CHECK_INT(trie_partial_add(&partial, &proof, NULL), ==, WM_E_FORGED);
    trie_partial_root(&partial, out);
    CHECK(memcmp(out, none, sizeof out) == 0);
    CHECK_INT(trie_partial_remove(&partial, key), ==, 0);
    CHECK_INT(trie_partial_put(&partial, key, value), ==, 0);
    trie_pair(key, value, want);
    trie_partial_root(&partial, out);
    CHECK(memcmp(out, want, sizeof out) == 0);
    CHECK_INT(trie_partial_remove(&partial, key), ==, 0);
    trie_partial_root(&partial, out);
    CHECK(memcmp(out, none, sizeof out) == 0);

    REQUIRE(trie_partial_init(&partial, &arena, key) == 0);
    proof.empty = true;
    CHECK_INT(trie_partial_add(&partial, &proof, NULL), ==, WM_E_FORGED);
    wm_arena_fini(&arena);
}

TEST(wrong_proofs_are_refused_and_leave_nothing_behind)
{
    static struct trie_model model, other;
    static struct trie_proof proof, changed;
    struct trie_partial partial;
    struct wm_arena arena;
    struct wm_diag diag = WM_DIAG_INIT;
    trie_hash root, value;
    seed = 3;
    model.count = 0;
    while (model.count < 20) {
        trie_hash key;
        draw_hash(key), draw_hash(value);
        trie_model_put(&model, key, value);
    }
    other = model;
    draw_hash(other.pairs[7].value_hash);
    trie_model_root(&model, root);
    wm_arena_init(&arena, 0);
    REQUIRE(trie_partial_init(&partial, &arena, root) == 0);
    trie_model_prove(&other, other.pairs[3].key_hash, &proof); /* of another state */
    CHECK_INT(trie_partial_add(&partial, &proof, &diag), ==, WM_E_FORGED);
    CHECK_STR(wm_diag_text(&diag), "state proof: it does not lead to the state's root");
    trie_model_prove(&model, model.pairs[3].key_hash, &proof);
    for (unsigned bit = 0; bit < 256; bit++) {
        uint8_t mask = (uint8_t)(1u << bit % 8);
        changed = proof, changed.key_hash[bit / 8] ^= mask;
        CHECK_INT(trie_partial_add(&partial, &changed, NULL), ==, WM_E_FORGED);
        changed = proof, changed.value_hash[bit / 8] ^= mask;
        CHECK_INT(trie_partial_add(&partial, &changed, NULL), ==, WM_E_FORGED);
        unsigned i = bit % proof.path_len;
        changed = proof, changed.path[i].sibling[bit / 8] ^= mask;
        CHECK_INT(trie_partial_add(&partial, &changed, NULL), ==, WM_E_FORGED);
        changed = proof, changed.path[i].bit ^= mask;
        CHECK_INT(trie_partial_add(&partial, &changed, NULL), ==, WM_E_FORGED);
    }
    changed = proof, changed.path_len = TRIE_PATH_MAX + 1;
    CHECK_INT(trie_partial_add(&partial, &changed, NULL), ==, WM_E_FORGED);
    CHECK(trie_partial_get(&partial, proof.key_hash, value) == TRIE_UNKNOWN);
    CHECK_INT(trie_partial_add(&partial, &proof, NULL), ==, 0);
    CHECK_INT(trie_partial_add(&partial, &proof, NULL), ==, 0); /* again */
    CHECK(trie_partial_get(&partial, proof.key_hash, value) == TRIE_KNOWN_PRESENT);
    wm_arena_fini(&arena);
}

/* Under a root that breaks the rule by which pairs lie: two pairs part at bit 9, and differ in bit
 * 2 already; below the second there may be one more. Each proof is right by itself. */
TEST(proofs_that_contradict_each_other_are_refused)
{
    static struct trie_proof a, b;
    struct trie_partial partial;
    struct wm_arena arena;
    struct wm_diag diag = WM_DIAG_INIT;
    wm_arena_init(&arena, 0);
    for (uint32_t deep = 0; deep < 2; deep++) {
        trie_hash pair, root, below, beside = {7};
        memset(&a, 0, sizeof a), memset(&b, 0, sizeof b);
        b.key_hash[1] = 0x40; /* bit 9 */
        b.key_hash[0] = 0x20; /* bit 2 */
        trie_pair(a.key_hash, a.value_hash, pair);
        trie_pair(b.key_hash, b.value_hash, below);
        if (deep) {
            trie_node(20, below, beside, below);
            b.path[b.path_len].bit = 20;
            memcpy(b.path[b.path_len++].sibling, beside, sizeof beside);
        }
        trie_node(9, pair, below, root);
        a.path[a.path_len].bit = b.path[b.path_len].bit = 9;
        memcpy(a.path[a.path_len++].sibling, below, sizeof below);
        memcpy(b.path[b.path_len++].sibling, pair, sizeof pair);
        REQUIRE(trie_partial_init(&partial, &arena, root) == 0);
        CHECK_INT(trie_partial_add(&partial, &a, NULL), ==, 0);
        CHECK_INT(trie_partial_add(&partial, &b, &diag), ==, WM_E_FORGED);
        CHECK_STR(wm_diag_text(&diag), "state proof: it contradicts another one under the same "
                                       "root; the root is not one of a state");
        REQUIRE(trie_partial_init(&partial, &arena, root) == 0);
        CHECK_INT(trie_partial_add(&partial, &b, NULL), ==, 0);
        CHECK_INT(trie_partial_add(&partial, &a, NULL), ==, WM_E_FORGED);
    }
    wm_arena_fini(&arena);
}

TEST(memory_that_ends_is_a_code_and_changes_no_root)
{
    static struct trie_model model;
    struct batch batch = {.count = 8};
    trie_hash root, value, out;
    seed = 4;
    model.count = 0;
    while (model.count < 30) {
        trie_hash key;
        draw_hash(key), draw_hash(value);
        trie_model_put(&model, key, value);
    }
    trie_model_root(&model, root);
    for (unsigned i = 0; i < batch.count; i++) {
        draw_hash(batch.keys[i]);
    }
    unsigned failed = 0;
    for (size_t limit = 1; limit < 40000; limit += 112) {
        struct trie_partial partial;
        struct wm_arena arena;
        wm_arena_init(&arena, limit);
        int rc = trie_partial_init(&partial, &arena, root);
        rc = rc != 0 ? rc : add_all(&partial, &model, &batch);
        for (unsigned i = 0; rc == 0 && i < batch.count; i++) {
            static struct trie_model changed;
            changed = model;
            for (unsigned k = 0; k < i; k++) {
                trie_model_put(&changed, batch.keys[k], value);
            }
            trie_model_root(&changed, root);
            trie_partial_root(&partial, out);
            CHECK(memcmp(root, out, sizeof root) == 0);
            rc = trie_partial_put(&partial, batch.keys[i], value);
            if (rc != 0) {
                trie_partial_root(&partial, out);
                CHECK(memcmp(root, out, sizeof root) == 0);
            }
        }
        trie_model_root(&model, root);
        CHECK(rc == 0 || rc == -ENOMEM);
        failed += rc != 0;
        wm_arena_fini(&arena);
    }
    CHECK(failed > 50);
    CHECK(failed < 350);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct trie_partial partial;
        struct wm_arena arena;
        wm_arena_init(&arena, 0);
        int rc = trie_partial_init(&partial, &arena, root);
        CHECK(rc == (wm_fault_fired(WM_FAULT_ALLOC) ? -ENOMEM : 0));
        wm_arena_fini(&arena);
    }
}

TEST_MAIN(TEST_CASE(a_batch_on_proofs_of_its_keys_gives_the_root_of_the_whole),
          TEST_CASE(keys_that_were_not_proved_are_unknown_or_rightly_absent),
          TEST_CASE(a_state_without_pairs_needs_no_proof),
          TEST_CASE(wrong_proofs_are_refused_and_leave_nothing_behind),
          TEST_CASE(proofs_that_contradict_each_other_are_refused),
          TEST_CASE(memory_that_ends_is_a_code_and_changes_no_root))
