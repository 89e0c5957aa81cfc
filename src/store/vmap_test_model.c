/* The model of a state is one number for each key: 0 where it is absent, else which value it has.
 * Versions and snapshots are copies of it. */
#include "store/vmap_test_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "crypto/trie_partial.h"
#include "crypto/trie_test_model.h"
#include "store/vmap_tree.h"

#define SNAPSHOTS 3u

struct state {
    uint8_t values[VMAP_MODEL_KEYS];
    bool hashed;
    uint64_t version;
};

struct run {
    const struct wm_view *keys;
    trie_hash key_hashes[VMAP_MODEL_KEYS];
    uint8_t by_hash[VMAP_MODEL_KEYS]; /* keys in the order of their hashes */
    struct wm_cursor input;
    struct vmap *map;
    struct state now;
    uint32_t mark_count;
    struct state marks[VMAP_VERSIONS_MAX];
    struct vmap_snapshot *snapshots[SNAPSHOTS];
    struct state snapped[SNAPSHOTS];
};

static char failure[256];

#define EXPECT(condition)                                                           \
    do {                                                                            \
        if (!(condition)) {                                                         \
            snprintf(failure, sizeof failure, "line %d: %s", __LINE__, #condition); \
            return failure;                                                         \
        }                                                                           \
    } while (0)
#define PASS_ON(call)            \
    do {                         \
        const char *what = call; \
        if (what) {              \
            return what;         \
        }                        \
    } while (0)

static uint8_t next(struct run *run)
{
    uint8_t byte = 0;
    return wm_cursor_u8(&run->input, &byte) ? byte : 0;
}

/* Of lengths around where something changes: units, leaves and blocks, the limit. */
static struct wm_view value_of(uint8_t value)
{
    static const uint32_t lens[] = {0, 1, 8, 12, 16, 17, 40, 100, 462, 600, VMAP_VALUE_BYTES_MAX};
    static uint8_t bytes[256][600];
    static uint8_t largest[VMAP_VALUE_BYTES_MAX];
    uint32_t len = lens[value % WM_COUNT_OF(lens)];
    if (len > sizeof bytes[0]) {
        memset(largest, value, 64); /* the rest is the same for all */
        return wm_view_of(largest, len);
    }
    memset(bytes[value], value, sizeof bytes[value]);
    return wm_view_of(bytes[value], len);
}

static const uint8_t *value_hash(uint8_t value)
{
    static trie_hash hashes[256];
    static bool made[256];
    if (!made[value]) {
        wm_sha256_once(value_of(value), hashes[value]);
        made[value] = true;
    }
    return hashes[value];
}

static void trie_of(const struct run *run, const struct state *state, struct trie_model *out)
{
    out->count = 0;
    for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
        uint32_t key = run->by_hash[i];
        if (state->values[key] != 0) {
            struct trie_model_pair *pair = &out->pairs[out->count++];
            memcpy(pair->key_hash, run->key_hashes[key], TRIE_HASH_BYTES);
            memcpy(pair->value_hash, value_hash(state->values[key]), TRIE_HASH_BYTES);
        }
    }
}

static const char *check_value(const struct state *state, uint32_t key, bool there,
                               struct wm_view value)
{
    EXPECT(there == (state->values[key] != 0));
    EXPECT(!there || wm_view_eq(value, value_of(state->values[key])));
    return NULL;
}

static const char *check_root(const struct run *run, const struct state *state,
                              const trie_hash root)
{
    static struct trie_model trie;
    trie_hash want;
    trie_of(run, state, &trie);
    trie_model_root(&trie, want);
    EXPECT(memcmp(root, want, sizeof want) == 0);
    return NULL;
}

static const char *check_proof(const struct run *run, const struct state *state, uint32_t key)
{
    static struct trie_model trie;
    static struct trie_proof proof, want;
    trie_hash root;
    trie_of(run, state, &trie);
    trie_model_prove(&trie, run->key_hashes[key], &want);
    vmap_prove(run->map, state->version, run->keys[key], &proof);
    vmap_root_of(run->map, state->version, root);
    EXPECT(trie_check(&proof, run->key_hashes[key], root) ==
           (state->values[key] ? TRIE_PRESENT : TRIE_ABSENT));
    EXPECT(proof.empty == want.empty);
    if (!want.empty) {
        EXPECT(memcmp(proof.key_hash, want.key_hash, TRIE_HASH_BYTES) == 0);
        EXPECT(memcmp(proof.value_hash, want.value_hash, TRIE_HASH_BYTES) == 0);
        EXPECT(proof.path_len == want.path_len);
        EXPECT(memcmp(proof.path, want.path, want.path_len * sizeof *want.path) == 0);
    }
    return check_root(run, state, root);
}

/* --- What lies in memory --- */

struct seen {
    bool at[1u << 17]; /* by a unit's number */
    uint64_t bytes;
};

/* Adds what is at and below a ref, if it is not there yet. */
static const char *see(const struct vmap *map, uint32_t ref, uint32_t base_least,
                       uint64_t birth_most, struct seen *seen)
{
    const struct head *head = unit_at(&map->units, ref & ~REF_LEAF);
    EXPECT(head->birth <= birth_most);
    uint32_t number = ref & ~REF_LEAF;
    EXPECT(number < WM_COUNT_OF(seen->at));
    if (seen->at[number]) {
        return NULL;
    }
    seen->at[number] = true;
    seen->bytes += (uint64_t)units_of(map, ref) * UNIT_BYTES;
    if (is_leaf(ref)) {
        const struct leaf *leaf = leaf_at(map, ref);
        if (!fits_leaf(leaf->key_len, leaf->value_len)) {
            seen->bytes += leaf->key_len + leaf->value_len;
        }
        return NULL;
    }
    struct branch *branch = branch_at(map, ref);
    EXPECT(branch->base % BRANCH_BITS == 0 && branch->base >= base_least);
    EXPECT(ones(branch->used) >= 2 && ones(branch->nodes) == ones(branch->used) - 1);
    for (uint32_t arm = 0; arm < BRANCH_ARMS; arm++) {
        EXPECT((branch->arms[arm] != 0) == (branch->used >> arm & 1));
        if (branch->arms[arm] != 0) {
            PASS_ON(see(map, branch->arms[arm], branch->base + BRANCH_BITS, head->birth, seen));
        }
    }
    return NULL;
}

/* Nothing is in use that no version can reach, and nothing that one reaches is free. */
static const char *check_memory(const struct run *run)
{
    static struct seen seen;
    const struct vmap *map = run->map;
    bool held = false;
    memset(&seen, 0, sizeof seen);
    if (map->top != 0) {
        PASS_ON(see(map, map->top, 0, map->epoch, &seen));
    }
    for (uint32_t i = 0; i < map->mark_count; i++) {
        if (map->marks[i].top != 0) {
            PASS_ON(see(map, map->marks[i].top, 0, map->marks[i].epoch, &seen));
        }
    }
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        if (run->snapshots[i]) {
            held = true;
            if (run->snapshots[i]->top != 0) {
                PASS_ON(see(map, run->snapshots[i]->top, 0, run->snapshots[i]->epoch, &seen));
            }
        }
    }
    for (uint32_t count = 1; count <= LEAF_UNITS_MAX; count++) {
        for (uint32_t at = map->units.free[count]; at != 0;) {
            const struct head *head = unit_at(&map->units, at);
            EXPECT(at < WM_COUNT_OF(seen.at) && !seen.at[at]);
            at = head->next;
        }
    }
    EXPECT(held ? vmap_bytes(map) >= seen.bytes : vmap_bytes(map) == seen.bytes);
    return NULL;
}

/* --- Operations --- */

static const char *put(struct run *run, uint32_t key, uint8_t value)
{
    EXPECT(vmap_put(run->map, run->keys[key], value_of(value)) == 0);
    run->now.values[key] = value;
    return NULL;
}

/* Puts or removes with the n-th allocation failing: either it did not need one, or nothing is
 * changed. */
static const char *change_without_memory(struct run *run, uint32_t key, uint8_t value, uint64_t n)
{
    uint64_t bytes = vmap_bytes(run->map);
    wm_fault_arm(WM_FAULT_ALLOC, n);
    int rc = value ? vmap_put(run->map, run->keys[key], value_of(value))
                   : vmap_remove(run->map, run->keys[key]);
    bool fired = wm_fault_fired(WM_FAULT_ALLOC);
    wm_fault_arm(WM_FAULT_ALLOC, 0);
    EXPECT(rc == (fired ? -ENOMEM : 0));
    if (fired) {
        EXPECT(vmap_bytes(run->map) == bytes);
    } else {
        run->now.values[key] = value;
    }
    return NULL;
}

static const char *mark(struct run *run, uint64_t step)
{
    uint64_t version = run->now.version + step;
    int rc = vmap_mark(run->map, version);
    EXPECT(rc == (run->mark_count == VMAP_VERSIONS_MAX ? WM_E_LIMIT : 0));
    if (rc == 0) {
        run->now.version = version;
        run->marks[run->mark_count++] = run->now;
    }
    return NULL;
}

static void drop_before(struct run *run, uint32_t idx)
{
    vmap_drop_before(run->map, run->marks[idx].version);
    run->mark_count -= idx;
    memmove(run->marks, run->marks + idx, run->mark_count * sizeof *run->marks);
}

static void undo_to(struct run *run, uint32_t idx)
{
    vmap_undo_to(run->map, run->marks[idx].version);
    run->now = run->marks[idx];
    run->mark_count = idx + 1;
}

static const char *check_mark(const struct run *run, const struct state *state, uint32_t proved)
{
    for (uint32_t key = 0; key < VMAP_MODEL_KEYS; key++) {
        struct wm_view value = {0};
        bool there = vmap_get_at(run->map, state->version, run->keys[key], &value);
        PASS_ON(check_value(state, key, there, value));
    }
    return state->hashed ? check_proof(run, state, proved) : NULL;
}

struct walked {
    struct run *run;
    const struct state *state;
    uint32_t at;
    const char *failure;
};

static const char *check_walked(struct walked *walked, struct wm_view key, struct wm_view value)
{
    uint32_t idx;
    do {
        EXPECT(walked->at < VMAP_MODEL_KEYS);
        idx = walked->run->by_hash[walked->at++];
    } while (walked->state->values[idx] == 0);
    EXPECT(wm_view_eq(key, walked->run->keys[idx]));
    return check_value(walked->state, idx, true, value);
}

static bool emit(void *self, struct wm_view key, struct wm_view value)
{
    struct walked *walked = self;
    walked->failure = check_walked(walked, key, value);
    return walked->failure == NULL;
}

static const char *check_snapshot(struct run *run, uint32_t idx)
{
    const struct state *state = &run->snapped[idx];
    struct walked walked = {.run = run, .state = state};
    uint64_t count = 0;
    vmap_snapshot_walk(run->snapshots[idx], emit, &walked);
    PASS_ON(walked.failure);
    for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
        count += state->values[i] != 0;
        EXPECT(walked.at > i || state->values[run->by_hash[i]] == 0);
    }
    EXPECT(vmap_snapshot_count(run->snapshots[idx]) == count);
    if (state->hashed) {
        trie_hash root;
        vmap_snapshot_root(run->snapshots[idx], root);
        return check_root(run, state, root);
    }
    return NULL;
}

static const char *hold(struct run *run, uint32_t idx, uint32_t of)
{
    if (run->snapshots[idx]) {
        PASS_ON(check_snapshot(run, idx));
        vmap_snapshot_free(run->map, run->snapshots[idx]);
        run->snapshots[idx] = NULL;
    } else if (run->mark_count > 0) {
        run->snapped[idx] = run->marks[of % run->mark_count];
        run->snapshots[idx] = vmap_snapshot(run->map, run->snapped[idx].version);
        EXPECT(run->snapshots[idx]);
    }
    return NULL;
}

static const char *make_root(struct run *run)
{
    trie_hash root;
    bool changed_since =
        run->mark_count == 0 || memcmp(run->marks[run->mark_count - 1].values, run->now.values,
                                       sizeof run->now.values) != 0;
    vmap_root(run->map, root);
    PASS_ON(check_root(run, &run->now, root));
    run->now.hashed = true;
    /* A mark of just this state has its root by now, if it had none before; where it was changed
     * and changed back, that is not promised. */
    if (!changed_since && run->map->top == run->map->marks[run->mark_count - 1].top) {
        run->marks[run->mark_count - 1].hashed = true;
    }
    return NULL;
}

/* A batch of what comes next in the input, on the map and on proofs of just its keys. */
static const char *check_partial(struct run *run, const struct state *state, uint32_t count)
{
    static struct trie_proof proof;
    struct trie_partial partial;
    struct wm_arena arena;
    uint8_t keys[8] = {0}, values[8] = {0};
    trie_hash root, want;
    const char *what = NULL;
    static struct trie_model trie;
    trie_of(run, state, &trie);
    vmap_root_of(run->map, state->version, root);
    wm_arena_init(&arena, 0);
    int rc = trie_partial_init(&partial, &arena, root);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        keys[i] = next(run) % VMAP_MODEL_KEYS;
        values[i] = next(run);
        vmap_prove(run->map, state->version, run->keys[keys[i]], &proof);
        rc = trie_partial_add(&partial, &proof, NULL);
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        const uint8_t *key_hash = run->key_hashes[keys[i]];
        trie_hash known_hash;
        size_t idx;
        enum trie_known known = trie_partial_get(&partial, key_hash, known_hash);
        if (known == TRIE_UNKNOWN ||
            (known == TRIE_KNOWN_PRESENT) != trie_model_find(&trie, key_hash, &idx)) {
            what = "a partial trie does not know a proved key";
        }
        if (values[i] != 0) {
            rc = trie_partial_put(&partial, key_hash, value_hash(values[i]));
            trie_model_put(&trie, key_hash, value_hash(values[i]));
        } else {
            rc = trie_partial_remove(&partial, key_hash);
            trie_model_remove(&trie, key_hash);
        }
    }
    if (rc == 0) {
        trie_partial_root(&partial, root);
        trie_model_root(&trie, want);
        what = memcmp(root, want, sizeof want) != 0 ? "a partial trie has another root" : what;
    }
    wm_arena_fini(&arena);
    return rc != 0 ? "a partial trie refuses proofs or changes" : what;
}

static const char *step(struct run *run)
{
    uint8_t op = next(run), a = next(run);
    uint32_t key = a % VMAP_MODEL_KEYS;
    uint32_t of = run->mark_count ? a % run->mark_count : 0;
    struct wm_view value = {0};
    run->now.hashed = run->now.hashed && op % 16 > 6;
    switch (op % 16) {
    case 0:
    case 1:
    case 2:
    case 3: return put(run, key, (uint8_t)(1 + next(run) % 255));
    case 4:
    case 5:
        EXPECT(vmap_remove(run->map, run->keys[key]) == 0);
        run->now.values[key] = 0;
        return NULL;
    case 6: return change_without_memory(run, key, next(run), 1 + op / 64);
    case 7: return check_value(&run->now, key, vmap_get(run->map, run->keys[key], &value), value);
    case 8: return make_root(run);
    case 9: return mark(run, 1 + a % 3);
    case 10:
        if (run->mark_count > 0) {
            undo_to(run, of);
        }
        return NULL;
    case 11:
        if (run->mark_count > 0) {
            drop_before(run, of);
        }
        return NULL;
    case 12:
        return run->mark_count ? check_mark(run, &run->marks[of], next(run) % VMAP_MODEL_KEYS)
                               : NULL;
    case 13: return hold(run, a % SNAPSHOTS, a / SNAPSHOTS);
    case 14: return run->snapshots[a % SNAPSHOTS] ? check_snapshot(run, a % SNAPSHOTS) : NULL;
    default:
        return run->mark_count && run->marks[of].hashed
                   ? check_partial(run, &run->marks[of], 1 + op / 32)
                   : NULL;
    }
}

static const char *check_all(struct run *run)
{
    uint64_t count = 0;
    for (uint32_t key = 0; key < VMAP_MODEL_KEYS; key++) {
        struct wm_view value = {0};
        bool there = vmap_get(run->map, run->keys[key], &value);
        PASS_ON(check_value(&run->now, key, there, value));
        count += there;
    }
    EXPECT(vmap_count(run->map) == count);
    for (uint32_t i = 0; i < run->mark_count; i++) {
        PASS_ON(check_mark(run, &run->marks[i], i * 7 % VMAP_MODEL_KEYS));
    }
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        if (run->snapshots[i]) {
            PASS_ON(check_snapshot(run, i));
        }
    }
    return make_root(run);
}

/* All versions are dropped and all pairs removed: nothing is in use. */
static const char *take_down(struct run *run)
{
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        vmap_snapshot_free(run->map, run->snapshots[i]);
        run->snapshots[i] = NULL;
    }
    PASS_ON(check_memory(run));
    for (uint32_t key = 0; key < VMAP_MODEL_KEYS; key++) {
        EXPECT(vmap_remove(run->map, run->keys[key]) == 0);
    }
    if (run->mark_count > 0) {
        drop_before(run, run->mark_count - 1);
        EXPECT(vmap_mark(run->map, run->now.version + 1) == 0);
        vmap_drop_before(run->map, run->now.version + 1);
    }
    EXPECT(vmap_count(run->map) == 0);
    EXPECT(vmap_bytes(run->map) == 0);
    return NULL;
}

static const char *drive(struct run *run)
{
    for (uint32_t steps = 0; !wm_cursor_done(&run->input); steps++) {
        PASS_ON(step(run));
        if (steps % 16 == 0) {
            PASS_ON(check_memory(run));
        }
    }
    PASS_ON(check_memory(run));
    PASS_ON(check_all(run));
    return take_down(run);
}

const char *vmap_model_run(const struct wm_view keys[VMAP_MODEL_KEYS], struct wm_view input)
{
    static struct run run;
    run = (struct run){.keys = keys, .input = wm_cursor_of(input), .map = vmap_new(0)};
    EXPECT(run.map);
    run.now.hashed = true;
    for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
        uint32_t at = i;
        vmap_key_hash(keys[i], run.key_hashes[i]);
        for (; at > 0 &&
               memcmp(run.key_hashes[run.by_hash[at - 1]], run.key_hashes[i], TRIE_HASH_BYTES) > 0;
             at--) {
            run.by_hash[at] = run.by_hash[at - 1];
        }
        run.by_hash[at] = (uint8_t)i;
    }
    const char *what = drive(&run);
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        vmap_snapshot_free(run.map, run.snapshots[i]);
    }
    vmap_free(run.map);
    return what;
}
