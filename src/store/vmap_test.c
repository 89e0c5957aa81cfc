/* vmap_test.c: random operations against a model (vmap_test_model.c); larger maps; limits; a
 * snapshot that another thread walks. Where keys lie is SHA-256's choice here; vmap_shape_test.c
 * makes that itself. */
#include "store/vmap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/test.h"
#include "crypto/trie_partial.h"
#include "crypto/trie_test_model.h"
#include "store/vmap_test_model.h"

static uint64_t seed;

static uint64_t draw(uint64_t below) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % below;
}

struct text {
    char bytes[32];
};

static struct wm_view text(struct text *out, const char *what, uint64_t number)
{
    int len = snprintf(out->bytes, sizeof out->bytes, "%s%llu", what, (unsigned long long)number);
    return wm_view_of(out->bytes, (size_t)len);
}

static int put(struct vmap *map, uint64_t key, uint64_t value)
{
    struct text k, v;
    return vmap_put(map, text(&k, "key", key), text(&v, "value", value));
}

static bool holds(const struct vmap *map, uint64_t key, uint64_t value)
{
    struct text k, v;
    struct wm_view got;
    return vmap_get(map, text(&k, "key", key), &got) && wm_view_eq(got, text(&v, "value", value));
}

static bool same(const trie_hash a, const trie_hash b)
{
    return memcmp(a, b, sizeof(trie_hash)) == 0;
}

TEST(any_operations_do_what_the_model_does)
{
    static uint8_t bytes[VMAP_MODEL_KEYS][VMAP_KEY_BYTES_MAX];
    struct wm_view keys[VMAP_MODEL_KEYS];
    uint8_t input[4000];
    for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
        memset(bytes[i], (int)i, sizeof bytes[i]);
        keys[i] = wm_view_of(bytes[i], i < 40 ? 1 + i : VMAP_KEY_BYTES_MAX - i % 3);
    }
    for (uint64_t round = 0; round < 400; round++) {
        seed = round;
        for (size_t i = 0; i < sizeof input; i++) {
            input[i] = (uint8_t)draw(256);
        }
        const char *what = vmap_model_run(keys, wm_view_of(input, 100 + draw(sizeof input - 100)));
        if (!wm_test_check(what == NULL, __FILE__, __LINE__, "as the model")) {
            wm_test_note("seed %llu: %s", (unsigned long long)round, what);
            break;
        }
    }
}

TEST(the_root_does_not_depend_on_the_way_to_it)
{
    enum { COUNT = 3000 };
    static struct trie_model model;
    struct vmap *up = vmap_new(0), *down = vmap_new(0), *churned = vmap_new(0);
    trie_hash want, root, between;
    struct text k, v;
    REQUIRE(up && down && churned);
    model.count = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        trie_hash key_hash, value_hash;
        CHECK(put(up, i, i) == 0 && put(down, COUNT - 1 - i, COUNT - 1 - i) == 0);
        wm_sha256_once(text(&k, "key", i), key_hash);
        wm_sha256_once(text(&v, "value", i), value_hash);
        trie_model_put(&model, key_hash, value_hash);
    }
    trie_model_root(&model, want);
    vmap_root(up, root);
    CHECK(same(root, want));
    vmap_root(down, root);
    CHECK(same(root, want));
    seed = 1;
    for (uint64_t i = 0; i < 4 * COUNT; i++) {
        uint64_t key = draw(2 * COUNT);
        CHECK(put(churned, key, draw(1000)) == 0);
        if (i % 500 == 0) {
            vmap_root(churned, between);
            CHECK(vmap_mark(churned, i + 1) == 0);
            vmap_drop_before(churned, i + 1);
        }
        if (draw(2)) {
            CHECK(vmap_remove(churned, text(&k, "key", draw(2 * COUNT))) == 0);
        }
    }
    for (uint64_t i = 0; i < 2 * COUNT; i++) {
        CHECK((i < COUNT ? put(churned, i, i) : vmap_remove(churned, text(&k, "key", i))) == 0);
    }
    vmap_root(churned, root);
    CHECK(same(root, want));
    CHECK_INT(vmap_count(churned), ==, COUNT);
    vmap_free(up);
    vmap_free(down);
    vmap_free(churned);
}

TEST(versions_keep_their_roots_and_proofs_while_others_come_and_go)
{
    enum { KEYS = 2000, VERSIONS = 200, KEPT = 20 };
    static struct trie_proof proof;
    static trie_hash roots[VERSIONS + 1];
    struct vmap *map = vmap_new(0);
    struct text k;
    REQUIRE(map);
    seed = 2;
    for (uint64_t i = 0; i < KEYS; i++) {
        CHECK(put(map, i, 0) == 0);
    }
    for (uint64_t version = 1; version <= VERSIONS; version++) {
        for (unsigned i = 0; i < 50; i++) {
            CHECK(put(map, draw(KEYS), version) == 0);
        }
        CHECK(put(map, 0, version) == 0);
        vmap_root(map, roots[version]);
        CHECK(vmap_mark(map, version) == 0);
        uint64_t oldest = version > KEPT ? version - KEPT : 1;
        vmap_drop_before(map, oldest);
        for (uint64_t old = oldest; old <= version; old++) {
            trie_hash root, key_hash, value_hash;
            struct text v;
            struct wm_view got;
            vmap_root_of(map, old, root);
            CHECK(same(root, roots[old]));
            struct wm_view key = text(&k, "key", 0), want = text(&v, "value", old);
            CHECK(vmap_get_at(map, old, key, &got) && wm_view_eq(got, want));
            vmap_prove(map, old, key, &proof);
            wm_sha256_once(key, key_hash);
            wm_sha256_once(want, value_hash);
            CHECK(trie_check(&proof, key_hash, roots[old]) == TRIE_PRESENT);
            CHECK(same(proof.value_hash, value_hash));
            key = text(&k, "no key", old);
            wm_sha256_once(key, key_hash);
            vmap_prove(map, old, key, &proof);
            CHECK(trie_check(&proof, key_hash, roots[old]) == TRIE_ABSENT);
        }
    }
    vmap_free(map);
}

TEST(undo_goes_back_and_gives_all_back)
{
    enum { KEYS = 500 };
    struct vmap *map = vmap_new(0);
    trie_hash roots[4], root;
    uint64_t bytes[4];
    struct text k;
    REQUIRE(map);
    seed = 3;
    for (uint64_t version = 0; version < 4; version++) {
        for (uint64_t i = 0; i < KEYS; i++) {
            CHECK(put(map, i + 100 * version, version) == 0);
        }
        vmap_root(map, roots[version]);
        CHECK(vmap_mark(map, version) == 0);
        bytes[version] = vmap_bytes(map);
    }
    for (uint64_t i = 0; i < 2 * KEYS; i += 3) {
        CHECK(vmap_remove(map, text(&k, "key", i)) == 0);
    }
    for (uint64_t version = 4; version-- > 0;) {
        vmap_undo_to(map, version);
        CHECK_INT(vmap_bytes(map), ==, bytes[version]);
        CHECK_INT(vmap_count(map), ==, KEYS + 100 * version);
        vmap_root(map, root);
        CHECK(same(root, roots[version]));
        CHECK(holds(map, 100 * version, version));
        CHECK(put(map, 7, 99) == 0); /* what comes now must not be seen in the version */
        CHECK(vmap_mark(map, version + 50) == 0);
    }
    vmap_undo_to(map, 0);
    vmap_root(map, root);
    CHECK(same(root, roots[0]));
    vmap_free(map);
}

/* A snapshot of what was undone, and older ones given back before newer ones. */
TEST(snapshots_outlive_their_marks_in_any_order)
{
    enum { KEYS = 300, ROUNDS = 60, HELD = 5 };
    struct vmap *map = vmap_new(0);
    struct vmap_snapshot *held[HELD] = {0};
    trie_hash roots[HELD], root;
    uint64_t version = 0, before = 0; /* the newest mark, and the one before it, if there is one */
    REQUIRE(map);
    seed = 4;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned at = (unsigned)draw(HELD);
        for (unsigned i = 0; i < 100; i++) {
            CHECK(put(map, draw(KEYS), draw(1000)) == 0);
        }
        vmap_root(map, root);
        before = version;
        CHECK(vmap_mark(map, ++version) == 0);
        if (held[at]) {
            trie_hash of;
            vmap_snapshot_root(held[at], of);
            CHECK(same(of, roots[at]));
            vmap_snapshot_free(map, held[at]);
            held[at] = NULL;
        } else {
            held[at] = vmap_snapshot(map, version);
            REQUIRE(held[at]);
            memcpy(roots[at], root, sizeof root);
            if (draw(2) && before > 0) {
                vmap_undo_to(map, before);
                version = before;
            }
        }
        if (draw(4) == 0) {
            vmap_drop_before(map, version);
        }
    }
    for (unsigned i = 0; i < HELD; i++) {
        vmap_snapshot_free(map, held[i]);
    }
    struct text k;
    for (uint64_t i = 0; i < KEYS; i++) {
        CHECK(vmap_remove(map, text(&k, "key", i)) == 0);
    }
    CHECK(vmap_mark(map, version + 1) == 0);
    vmap_drop_before(map, version + 1);
    CHECK_INT(vmap_bytes(map), ==, 0);
    vmap_free(map);
}

/* There is always a snapshot, each given back after the next is taken, as who serves the newest
 * checkpoint does it: what is kept must not grow with their number. */
TEST(snapshots_that_overlap_keep_only_what_they_need)
{
    enum { KEYS = 1000, CHECKPOINTS = 40 };
    struct vmap *map = vmap_new(0);
    struct vmap_snapshot *held = NULL;
    uint64_t most = 0, version = 0;
    REQUIRE(map);
    for (uint64_t i = 0; i < KEYS; i++) {
        CHECK(put(map, i, 0) == 0);
    }
    for (uint64_t checkpoint = 1; checkpoint <= CHECKPOINTS; checkpoint++) {
        for (uint64_t i = 0; i < KEYS; i++) {
            CHECK(put(map, i, checkpoint) == 0);
            if (i % 100 == 0) {
                CHECK(vmap_mark(map, ++version) == 0);
                vmap_drop_before(map, version);
            }
        }
        struct vmap_snapshot *next = vmap_snapshot(map, version);
        REQUIRE(next);
        vmap_snapshot_free(map, held);
        held = next;
        if (checkpoint == 3) {
            most = vmap_bytes(map);
        }
        CHECK(checkpoint <= 3 || vmap_bytes(map) <= most + most / 20);
    }
    vmap_snapshot_free(map, held);
    vmap_free(map);
}

/* --- A second thread --- */

struct walker {
    const struct vmap_snapshot *snapshot;
    atomic_bool stop;
    uint64_t walks, wrong;
    uint64_t sum, count;
};

static bool add_pair(void *self, struct wm_view key, struct wm_view value)
{
    struct walker *walker = self;
    for (size_t i = 0; i < value.len; i++) {
        walker->sum += value.ptr[i] * (i + 1);
    }
    walker->sum += key.ptr[key.len - 1];
    walker->count++;
    return true;
}

static void *walk_on(void *self)
{
    struct walker *walker = self;
    uint64_t sum = 0;
    while (!atomic_load(&walker->stop) || walker->walks < 2) {
        walker->sum = walker->count = 0;
        vmap_snapshot_walk(walker->snapshot, add_pair, walker);
        sum = walker->walks == 0 ? walker->sum : sum;
        walker->wrong += walker->sum != sum;
        walker->wrong += walker->count != vmap_snapshot_count(walker->snapshot);
        walker->walks++;
    }
    return NULL;
}

TEST(a_second_thread_walks_a_snapshot_while_the_map_goes_on)
{
    enum { KEYS = 3000, BATCHES = 60 };
    struct vmap *map = vmap_new(0);
    trie_hash root;
    struct text k;
    REQUIRE(map);
    seed = 5;
    for (uint64_t i = 0; i < KEYS; i++) {
        CHECK(put(map, i, 1) == 0);
    }
    /* The first time its hashes are made while it is walked. */
    for (unsigned hashed = 0; hashed < 2; hashed++) {
        if (hashed) {
            vmap_root(map, root);
        }
        CHECK(vmap_mark(map, 1000 * (hashed + 1)) == 0);
        struct vmap_snapshot *snapshot = vmap_snapshot(map, 1000 * (hashed + 1));
        struct walker walker = {.snapshot = snapshot};
        pthread_t thread;
        REQUIRE(snapshot && pthread_create(&thread, NULL, walk_on, &walker) == 0);
        for (uint64_t batch = 1; batch <= BATCHES; batch++) {
            for (unsigned i = 0; i < 200; i++) {
                CHECK(put(map, draw(KEYS + KEYS / 2), batch) == 0);
                CHECK(vmap_remove(map, text(&k, "key", draw(2 * KEYS))) == 0);
            }
            vmap_root(map, root);
            uint64_t version = 1000 * (hashed + 1) + batch;
            CHECK(vmap_mark(map, version) == 0);
            if (batch % 5 == 0) {
                vmap_undo_to(map, version - 2);
                CHECK(vmap_mark(map, version) == 0);
            }
            if (batch % 5 == 0) {
                vmap_drop_before(map, version - 2);
            }
        }
        atomic_store(&walker.stop, true);
        pthread_join(thread, NULL);
        CHECK_INT(walker.wrong, ==, 0);
        CHECK_INT(walker.walks, >=, 2);
        vmap_snapshot_free(map, snapshot);
    }
    vmap_free(map);
}

/* --- Executing a batch again on proofs --- */

TEST(a_batch_on_proofs_gives_the_map_s_root)
{
    enum { KEYS = 400, TOUCHED = 60 };
    static struct trie_proof proof;
    struct vmap *map = vmap_new(0);
    REQUIRE(map);
    seed = 6;
    for (uint64_t version = 1; version <= 60; version++) {
        struct trie_partial partial;
        struct wm_arena arena;
        trie_hash root, ours;
        struct text k, v;
        uint64_t touched[TOUCHED];
        vmap_root(map, root);
        CHECK(vmap_mark(map, version) == 0);
        vmap_drop_before(map, version);
        wm_arena_init(&arena, 0);
        REQUIRE(trie_partial_init(&partial, &arena, root) == 0);
        for (unsigned i = 0; i < TOUCHED; i++) {
            touched[i] = draw(KEYS);
            vmap_prove(map, version, text(&k, "key", touched[i]), &proof);
            REQUIRE(trie_partial_add(&partial, &proof, NULL) == 0);
        }
        for (unsigned op = 0; op < 3 * TOUCHED; op++) {
            trie_hash key_hash, value_hash, known;
            struct wm_view got, key = text(&k, "key", touched[draw(TOUCHED)]);
            wm_sha256_once(key, key_hash);
            bool there = vmap_get(map, key, &got);
            CHECK(trie_partial_get(&partial, key_hash, known) ==
                  (there ? TRIE_KNOWN_PRESENT : TRIE_KNOWN_ABSENT));
            if (there) {
                wm_sha256_once(got, value_hash);
                CHECK(same(known, value_hash));
            }
            if (draw(5) < (version % 20 < 10 ? 3 : 1)) {
                struct wm_view value = text(&v, "value", draw(1u << 30));
                wm_sha256_once(value, value_hash);
                CHECK(vmap_put(map, key, value) == 0);
                CHECK(trie_partial_put(&partial, key_hash, value_hash) == 0);
            } else if (draw(2)) {
                CHECK(vmap_remove(map, key) == 0);
                CHECK(trie_partial_remove(&partial, key_hash) == 0);
            }
        }
        vmap_root(map, root);
        trie_partial_root(&partial, ours);
        CHECK(same(root, ours));
        wm_arena_fini(&arena);
    }
    vmap_free(map);
}

/* --- Limits --- */

TEST(limits_are_codes)
{
    static uint8_t large[VMAP_VALUE_BYTES_MAX + 1];
    struct vmap *map = vmap_new(0);
    struct wm_view got, key = wm_view_str("k");
    trie_hash root;
    REQUIRE(map);
    CHECK_INT(vmap_put(map, wm_view_of(large, 0), key), ==, WM_E_INVALID);
    CHECK_INT(vmap_put(map, wm_view_of(large, VMAP_KEY_BYTES_MAX + 1), key), ==, WM_E_INVALID);
    CHECK_INT(vmap_put(map, key, wm_view_of(large, sizeof large)), ==, WM_E_INVALID);
    CHECK_INT(vmap_put(map, wm_view_of(large, VMAP_KEY_BYTES_MAX),
                       wm_view_of(large, VMAP_VALUE_BYTES_MAX)),
              ==, 0);
    CHECK_INT(vmap_put(map, key, wm_view_of(NULL, 0)), ==, 0);
    CHECK(vmap_get(map, key, &got) && got.len == 0);
    CHECK(!vmap_get(map, wm_view_of(NULL, 0), &got));
    CHECK(vmap_remove(map, wm_view_of(NULL, 0)) == 0);
    for (uint64_t i = 0; i < VMAP_VERSIONS_MAX; i++) {
        CHECK_INT(vmap_mark(map, 2 * i), ==, 0);
    }
    CHECK_INT(vmap_mark(map, 1000), ==, WM_E_LIMIT);
    vmap_drop_before(map, 2);
    CHECK_INT(vmap_mark(map, 1000), ==, 0);
    vmap_root(map, root); /* of an unchanged mark, made afterwards */
    trie_hash of;
    vmap_root_of(map, 1000, of);
    CHECK(same(root, of));
    vmap_free(map);

    map = vmap_new(10000);
    REQUIRE(map);
    uint64_t count = 0;
    while (put(map, count, 5) == 0) {
        count++;
    }
    CHECK_INT(put(map, count, 5), ==, WM_E_LIMIT);
    CHECK(count > 50 && count < 80);
    CHECK(vmap_bytes(map) <= 10000);
    CHECK_INT(vmap_put(map, wm_view_str("key0"), wm_view_of(large, 20000)), ==, WM_E_LIMIT);
    CHECK_INT(put(map, 1, 6), ==, 0); /* in place */
    struct text k;
    for (uint64_t i = 20; i < 30; i++) {
        CHECK_INT(vmap_remove(map, text(&k, "key", i)), ==, 0);
    }
    CHECK_INT(put(map, count, 5), ==, 0);
    while (put(map, count, 5) == 0) {
        count++;
    }
    CHECK_INT(vmap_mark(map, 1), ==, 0);
    CHECK_INT(put(map, 1, 7), ==, WM_E_LIMIT); /* would need a copy */
    CHECK(holds(map, 1, 6));
    vmap_free(map);
}

TEST(a_put_of_the_same_value_changes_nothing)
{
    struct vmap *map = vmap_new(0);
    trie_hash root, of;
    REQUIRE(map);
    for (uint64_t i = 0; i < 100; i++) {
        CHECK(put(map, i, i) == 0);
    }
    vmap_root(map, root);
    CHECK(vmap_mark(map, 1) == 0);
    uint64_t bytes = vmap_bytes(map);
    for (uint64_t i = 0; i < 100; i++) {
        CHECK(put(map, i, i) == 0);
    }
    CHECK_INT(vmap_bytes(map), ==, bytes);
    CHECK(vmap_mark(map, 2) == 0);
    vmap_root_of(map, 2, of); /* is known without hashing */
    CHECK(same(root, of));
    vmap_free(map);
}

/* A value may be a view of the map's own. */
TEST(values_may_come_from_the_map)
{
    struct vmap *map = vmap_new(0);
    struct wm_view key = wm_view_str("key"), got;
    REQUIRE(map);
    CHECK(vmap_put(map, key, wm_view_str("0123456789")) == 0);
    CHECK(vmap_get(map, key, &got));
    CHECK(vmap_put(map, key, wm_view_of(got.ptr + 2, 8)) == 0);
    CHECK(vmap_get(map, key, &got) && wm_view_eq_str(got, "23456789"));
    CHECK(vmap_mark(map, 1) == 0);
    CHECK(vmap_put(map, key, wm_view_of(got.ptr + 1, 3)) == 0);
    CHECK(vmap_get(map, key, &got) && wm_view_eq_str(got, "345"));
    CHECK(vmap_put(map, wm_view_of(got.ptr, 3), got) == 0);
    CHECK(vmap_get(map, wm_view_str("345"), &got) && wm_view_eq_str(got, "345"));
    vmap_free(map);
}

/* Each allocation fails once, at each place where it can. */
TEST(without_memory_the_map_stays_as_it_was)
{
    enum { KEYS = 700 };
    unsigned failures = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct vmap *map = vmap_new(0);
        if (!map) {
            failures++;
            CHECK(wm_fault_fired(WM_FAULT_ALLOC));
            continue;
        }
        static uint8_t large[3000];
        struct text k;
        trie_hash before, after;
        uint64_t i = 0;
        bool went_on = false;
        for (; i < KEYS; i++) {
            if (i % 100 == 50 && vmap_mark(map, i) != 0) {
                break;
            }
            struct wm_view value = wm_view_of(large, i % 70 == 69 ? sizeof large : i % 50);
            struct wm_view key = text(&k, "key", i);
            bool remove = i % 10 == 9;
            uint64_t count = vmap_count(map), bytes = vmap_bytes(map);
            int rc = remove ? vmap_remove(map, text(&k, "key", i / 2)) : vmap_put(map, key, value);
            if (rc != 0) {
                struct wm_view got;
                failures++;
                CHECK_INT(rc, ==, -ENOMEM);
                CHECK(wm_fault_fired(WM_FAULT_ALLOC));
                CHECK(!vmap_get(map, text(&k, "key", i), &got));
                CHECK_INT(vmap_count(map), ==, count);
                CHECK_INT(vmap_bytes(map), ==, bytes);
                vmap_root(map, before);
                rc = remove ? vmap_remove(map, text(&k, "key", i / 2))
                            : vmap_put(map, text(&k, "key", i), value); /* again */
                CHECK_INT(rc, ==, 0);
                vmap_root(map, after);
                CHECK(!same(before, after) || vmap_count(map) == count);
                went_on = true;
            }
        }
        CHECK_INT(i, ==, KEYS);
        struct vmap_snapshot *snapshot = vmap_snapshot(map, 650);
        CHECK(snapshot || wm_fault_fired(WM_FAULT_ALLOC));
        CHECK(!(went_on && !snapshot));
        failures += !snapshot;
        vmap_snapshot_free(map, snapshot);
        vmap_free(map);
    }
    CHECK(failures > 8);
}

TEST_MAIN(TEST_CASE(any_operations_do_what_the_model_does),
          TEST_CASE(the_root_does_not_depend_on_the_way_to_it),
          TEST_CASE(versions_keep_their_roots_and_proofs_while_others_come_and_go),
          TEST_CASE(undo_goes_back_and_gives_all_back),
          TEST_CASE(snapshots_outlive_their_marks_in_any_order),
          TEST_CASE(snapshots_that_overlap_keep_only_what_they_need),
          TEST_CASE(a_second_thread_walks_a_snapshot_while_the_map_goes_on),
          TEST_CASE(a_batch_on_proofs_gives_the_map_s_root), TEST_CASE(limits_are_codes),
          TEST_CASE(a_put_of_the_same_value_changes_nothing),
          TEST_CASE(values_may_come_from_the_map),
          TEST_CASE(without_memory_the_map_stays_as_it_was))
