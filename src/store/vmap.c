/* The map's newest state and its versions. How the tree lies in memory is told in vmap_tree.h; its
 * hashes are made in vmap_hash.c.
 *
 * A sketch of what it costs: a million pairs, batches of 300 transactions with two writes each, on
 * a Zen 4 where what is in no cache is 110 to 160 ns away. bench/state.c measures it.
 *
 * - Reading. The binary trie is 20 nodes deep, of which the lower six or more are in no cache. With
 *   three levels in one cache line a key is seven lines and its leaf away; three of these are in no
 *   cache. Together with the hash of the key (60 ns): 0.5 to 0.8 us.
 * - Writing. The 600 keys of a batch have 7,500 nodes above them, all but the topmost 1,000 above
 *   one of them only. A branch that a version has, too, is copied with its hashes: four or five
 *   for each key, 1.7 KB; so a batch takes 1 MB until the version before it is dropped. Where the
 *   key was not read before, the way to it is to be added.
 * - Hashing. 7,500 nodes of 66 bytes, which are two blocks, two nodes at a time in 88 ns: 330 us,
 *   or 1.1 us for each transaction. Four blocks for each leaf: 0.2 us. The rest is looking for
 *   what is to be hashed.
 * - Memory. A unit of 64 bytes for a leaf with up to 48 bytes of key and value, one for each node,
 *   and one for each branch, of which there are 0.45 for each pair: 157 bytes for a pair.
 *
 * An index from keys to leaves beside the tree would make a read two lines, but a write after it
 * would find the way above the leaf in no cache then.
 *
 * Versions. Each branch and leaf carries the epoch in which it was made; a mark ends an epoch. What
 * was made in the present one is in no version, and is changed in place. What is older is copied,
 * and the old one listed with the newest mark as *dead*: used by that mark, or older ones, only. No
 * counts of references are kept: they would touch every sibling of every node that is copied.
 *
 * - Drop. The marks dropped are the oldest: what is in their lists is used by nobody, and is freed.
 * - Undo. Everything made since the mark is freed: it is in the newest tree, where a branch that is
 *   older than the mark has only older ones below, or in a later mark's list. The rest of these
 *   lists is alive again. The epoch stays: nothing that was made in it is left.
 * - Snapshot. What would be freed and was made early enough to be in a snapshot is kept with it (of
 *   several with the one taken last), and is looked at again when that one is given back. */
#include "store/vmap.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "store/vmap_tree.h"

#define AHEAD 8u /* of the dead, how many are fetched before they are looked at */

/* The branches from the top to where a key's bits lead. */
struct path {
    uint32_t count;
    struct step {
        uint32_t ref, arm;
    } steps[BRANCHES_MAX];
};

static void hash_key(struct wm_view key, struct key_bits *out)
{
    vmap_key_hash(key, out->bytes);
    memset(out->bytes + TRIE_HASH_BYTES, 0, sizeof out->bytes - TRIE_HASH_BYTES);
}

/* --- Life --- */

struct vmap *vmap_new(uint64_t bytes_max)
{
    struct vmap *map = wm_alloc_zero(1, sizeof *map);
    if (map) {
        map->bytes_max = bytes_max ? bytes_max : UINT64_MAX;
        map->epoch = 1;
    }
    return map;
}

void vmap_free(struct vmap *map)
{
    if (!map) {
        return;
    }
    WM_ASSERT(!map->newest_snapshot);
    for (struct block *block = map->newest_block, *older; block; block = older) {
        older = block->older;
        wm_free(block);
    }
    for (uint32_t i = 0; i < map->mark_count; i++) {
        wm_vec_fini(&map->marks[i].dead);
    }
    units_fini(&map->units);
    wm_free(map);
}

uint64_t vmap_count(const struct vmap *map)
{
    return map->count;
}

uint64_t vmap_bytes(const struct vmap *map)
{
    return map->units.bytes;
}

/* --- Freeing --- */

static void really_free(struct vmap *map, uint32_t ref)
{
    uint32_t count = units_of(map, ref);
    if (is_leaf(ref)) {
        struct leaf *leaf = leaf_at(map, ref);
        if (!fits_leaf(leaf->key_len, leaf->value_len)) {
            struct block *block = leaf->block;
            *(block->newer ? &block->newer->older : &map->newest_block) = block->older;
            if (block->older) {
                block->older->newer = block->newer;
            }
            map->units.bytes -= (uint64_t)leaf->key_len + leaf->value_len;
            wm_free(block);
        }
    }
    units_free(&map->units, ref & ~REF_LEAF, count);
}

void vmap_release(struct vmap *map, uint32_t ref, struct vmap_snapshot *snapshot)
{
    struct head *head = unit_at(&map->units, ref & ~REF_LEAF);
    for (; snapshot; snapshot = snapshot->older) {
        if (head->birth <= snapshot->epoch) {
            head->next = snapshot->kept;
            snapshot->kept = ref;
            return;
        }
    }
    really_free(map, ref);
}

/* The newest state uses this no longer. */
static void retire(struct vmap *map, uint32_t ref)
{
    const struct head *head = unit_at(&map->units, ref & ~REF_LEAF);
    if (head->birth == map->epoch) {
        really_free(map, ref);
    } else {
        struct mark *mark = &map->marks[map->mark_count - 1];
        WM_ASSERT(mark->dead.count < mark->dead.room);
        mark->dead.items[mark->dead.count++] = ref;
    }
}

/* Room in the newest mark's list for `count` more. */
static int reserve_dead(struct vmap *map, uint32_t count)
{
    if (map->mark_count == 0) {
        return 0;
    }
    struct mark *mark = &map->marks[map->mark_count - 1];
    while (mark->dead.room - mark->dead.count < count) {
        int rc =
            wm_vec_grow((void **)&mark->dead.items, &mark->dead.room, sizeof *mark->dead.items);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* --- Finding --- */

static const struct leaf *find(const struct vmap *map, uint32_t top, struct wm_view key)
{
    struct key_bits bits;
    uint32_t at = top;
    hash_key(key, &bits);
    while (at != 0 && !is_leaf(at)) {
        const struct branch *branch = branch_at(map, at);
        at = branch->arms[arm_of(&bits, branch->base)];
    }
    if (at == 0) {
        return NULL;
    }
    const struct leaf *leaf = leaf_at(map, at);
    return wm_view_eq(leaf_key(leaf), key) ? leaf : NULL;
}

static bool get(const struct vmap *map, uint32_t top, struct wm_view key, struct wm_view *value)
{
    const struct leaf *leaf = find(map, top, key);
    if (leaf) {
        *value = leaf_value(leaf);
    }
    return leaf != NULL;
}

bool vmap_get(const struct vmap *map, struct wm_view key, struct wm_view *value)
{
    return get(map, map->top, key, value);
}

bool vmap_get_at(const struct vmap *map, uint64_t version, struct wm_view key,
                 struct wm_view *value)
{
    return get(map, map->marks[vmap_mark_idx(map, version)].top, key, value);
}

/* The way of a key in the newest state, for changing it. Returns the ref that it ends at: 0 or a
 * leaf's. */
static uint32_t descend(const struct vmap *map, const struct key_bits *key, struct path *path)
{
    uint32_t at = map->top;
    path->count = 0;
    while (at != 0 && !is_leaf(at)) {
        const struct branch *branch = branch_at(map, at);
        uint32_t arm = arm_of(key, branch->base);
        if (branch->birth != map->epoch) { /* its hashes will be copied */
            for (uint32_t i = 0; i + 1 < ones(branch->used); i++) {
                __builtin_prefetch(branch->hashes[i]);
            }
        }
        path->steps[path->count++] = (struct step){at, arm};
        at = branch->arms[arm];
    }
    return at;
}

static uint32_t any_leaf(const struct vmap *map, uint32_t ref)
{
    while (!is_leaf(ref)) {
        const struct branch *branch = branch_at(map, ref);
        ref = branch->arms[__builtin_ctz(branch->used)];
    }
    return ref;
}

/* --- Changing: pieces that do not fail, after everything was reserved --- */

/* How many units it takes to make the first `count` branches of the path the newest state's own. */
static uint32_t units_to_own(const struct vmap *map, const struct path *path, uint32_t count)
{
    uint32_t units = 0;
    for (uint32_t i = count; i > 0; i--) {
        const struct branch *branch = branch_at(map, path->steps[i - 1].ref);
        if (branch->birth == map->epoch) {
            break; /* and so are all above */
        }
        units += ones(branch->used);
    }
    return units;
}

/* One by one, each of a size that the compiler knows: it makes something slower of a size that it
 * does not. */
static void copy_units(void *to, const void *from, uint32_t units)
{
    for (uint32_t i = 0; i < units; i++) {
        memcpy((uint8_t *)to + (size_t)i * UNIT_BYTES,
               (const uint8_t *)from + (size_t)i * UNIT_BYTES, UNIT_BYTES);
    }
}

/* Makes them its own, with stale hashes along the path. Returns where the ref below them is. */
static uint32_t *own(struct vmap *map, const struct path *path, uint32_t count)
{
    uint32_t *at = &map->top;
    map->stale = true;
    for (uint32_t i = 0; i < count; i++) {
        struct branch *branch = branch_at(map, *at);
        if (branch->birth != map->epoch) {
            uint32_t old = *at, units = ones(branch->used);
            uint32_t copy = units_take(&map->units, units);
            struct branch *from = branch;
            branch = branch_at(map, copy);
            copy_units(branch, from, units);
            branch->birth = map->epoch;
            *at = copy;
            retire(map, old);
        }
        branch->stale |= way_of(path->steps[i].arm);
        at = &branch->arms[path->steps[i].arm];
    }
    return at;
}

static uint32_t nodes_of(uint32_t used)
{
    uint32_t nodes = 0;
    for (uint32_t place = 1; place < BRANCH_ARMS; place++) {
        bool both = (used & arms_below(2 * place)) && (used & arms_below(2 * place + 1));
        nodes |= (uint32_t)both << place;
    }
    return nodes;
}

/* A branch like `from`, of the newest state's own, with one arm more or (`ref` 0) less. */
static uint32_t reshape(struct vmap *map, uint32_t from, uint32_t arm, uint32_t ref)
{
    struct branch *old = branch_at(map, from);
    uint32_t used = old->used ^ 1u << arm;
    uint32_t made = units_take(&map->units, ones(used));
    struct branch *branch = branch_at(map, made);
    memcpy(branch, old, UNIT_BYTES);
    branch->birth = map->epoch;
    branch->used = (uint8_t)used;
    branch->nodes = (uint8_t)nodes_of(used);
    branch->stale = 0;
    branch->arms[arm] = ref;
    for (uint32_t half = 2; half < 2 * BRANCH_ARMS; half++) {
        if (!is_node(branch, half / 2)) {
            continue;
        }
        /* What is below this half was below the same place before, if not the arm in question; its
         * hash lay with the nearest node above. None: it was all of the branch, and is the
         * parent's to know. */
        uint32_t before = half;
        while (before > 1 && !is_node(old, before / 2)) {
            before /= 2;
        }
        if (before == 1 || (arms_below(half) >> arm & 1) || (old->stale >> before & 1)) {
            branch->stale |= (uint16_t)(1u << half);
        } else {
            memcpy(halves_of(branch, half / 2)[half % 2], halves_of(old, before / 2)[before % 2],
                   TRIE_HASH_BYTES);
        }
    }
    return made;
}

/* A branch with two arms, which part at `bit`. */
static uint32_t new_branch(struct vmap *map, const struct key_bits *key, uint32_t bit,
                           uint32_t leaf, const struct key_bits *other, uint32_t beside)
{
    uint32_t made = units_take(&map->units, 2);
    struct branch *branch = branch_at(map, made);
    uint32_t base = bit - bit % BRANCH_BITS;
    uint32_t arm = arm_of(key, base), other_arm = arm_of(other, base);
    memset(branch, 0, UNIT_BYTES);
    branch->birth = map->epoch;
    branch->base = (uint8_t)base;
    branch->used = (uint8_t)(1u << arm | 1u << other_arm);
    branch->nodes = (uint8_t)nodes_of(branch->used);
    branch->stale = UINT16_MAX;
    branch->arms[arm] = leaf;
    branch->arms[other_arm] = beside;
    return made;
}

static void write_leaf(const struct vmap *map, struct leaf *leaf, struct wm_view key,
                       struct wm_view value)
{
    uint8_t *bytes = fits_leaf(key.len, value.len) ? (uint8_t *)leaf->bytes : leaf->block->bytes;
    leaf->birth = map->epoch;
    leaf->key_len = (uint32_t)key.len & 0x1ff;
    leaf->value_len = (uint32_t)value.len & 0x7fffff;
    memmove(bytes, key.ptr, key.len); /* they may be views of this very leaf */
    if (value.len != 0) {
        memmove(bytes + key.len, value.ptr, value.len);
    }
}

static uint32_t new_leaf(struct vmap *map, struct wm_view key, struct wm_view value,
                         struct block *block)
{
    uint32_t made = units_take(&map->units, units_for(key.len, value.len));
    struct leaf *leaf = leaf_at(map, made);
    if (block) {
        leaf->block = block;
        block->newer = NULL;
        block->older = map->newest_block;
        if (block->older) {
            block->older->newer = block;
        }
        map->newest_block = block;
        map->units.bytes += key.len + value.len;
    }
    write_leaf(map, leaf, key, value);
    return made | REF_LEAF;
}

/* --- Changing --- */

/* Where a leaf belongs. */
struct spot {
    enum {
        FIRST,   /* of all */
        REPLACE, /* the leaf at the end of the path */
        JOIN,    /* as a new arm of a branch of the path */
        PART     /* in a new branch, with what is there now */
    } how;
    uint32_t above;        /* so many branches of the path lie above */
    uint32_t bit;          /* at which it parts from what is there */
    struct key_bits other; /* of a key that is there */
};

static void find_spot(const struct vmap *map, const struct key_bits *key, const struct path *path,
                      uint32_t end, struct spot *out)
{
    if (map->top == 0) {
        out->how = FIRST;
        out->above = 0;
        return;
    }
    /* All keys below a branch have the bits before it in common, so that any tells where this one
     * parts from them. */
    uint32_t beside = end ? end : any_leaf(map, path->steps[path->count - 1].ref);
    hash_key(leaf_key(leaf_at(map, beside)), &out->other);
    out->bit = trie_differs(key->bytes, out->other.bytes);
    WM_ASSERT(out->bit < TRIE_PATH_MAX); /* else two keys have one SHA-256 */
    uint32_t base = out->bit - out->bit % BRANCH_BITS;
    out->above = path->count;
    while (out->above > 0 && branch_at(map, path->steps[out->above - 1].ref)->base >= base) {
        out->above--;
    }
    bool joins =
        out->above < path->count && branch_at(map, path->steps[out->above].ref)->base == base;
    out->how = joins ? JOIN : PART;
}

/* How many units a leaf at this spot takes, but for its own. */
static uint32_t units_at_spot(const struct vmap *map, const struct path *path,
                              const struct spot *spot)
{
    uint32_t units = units_to_own(map, path, spot->above);
    switch (spot->how) {
    case FIRST:
    case REPLACE: break;
    case JOIN: units += ones(branch_at(map, path->steps[spot->above].ref)->used) + 1; break;
    case PART: units += 2; break;
    }
    return units;
}

/* Does a value fit into the place of a leaf's own, which no version has? */
static bool fits_in_place(const struct vmap *map, const struct leaf *leaf, size_t value_len)
{
    return leaf->birth == map->epoch && fits_leaf(leaf->key_len, value_len) &&
           fits_leaf(leaf->key_len, leaf->value_len) &&
           units_for(leaf->key_len, value_len) == units_for(leaf->key_len, leaf->value_len);
}

int vmap_put(struct vmap *map, struct wm_view key, struct wm_view value)
{
    struct path path __attribute__((uninitialized));
    struct spot spot __attribute__((uninitialized));
    struct key_bits bits;
    if (key.len == 0 || key.len > VMAP_KEY_BYTES_MAX || value.len > VMAP_VALUE_BYTES_MAX) {
        return WM_E_INVALID;
    }
    hash_key(key, &bits);
    uint32_t end = descend(map, &bits, &path);
    struct leaf *leaf = end ? leaf_at(map, end) : NULL;
    if (leaf && wm_view_eq(leaf_key(leaf), key)) {
        if (wm_view_eq(leaf_value(leaf), value)) {
            return 0;
        }
        if (fits_in_place(map, leaf, value.len)) {
            write_leaf(map, leaf, key, value);
            (void)own(map, &path, path.count);
            return 0;
        }
        spot.how = REPLACE;
        spot.above = path.count;
    } else {
        find_spot(map, &bits, &path, end, &spot);
    }

    size_t block_bytes = fits_leaf(key.len, value.len) ? 0 : key.len + value.len;
    uint32_t units = units_at_spot(map, &path, &spot) + units_for(key.len, value.len);
    uint64_t bytes = (uint64_t)units * UNIT_BYTES + block_bytes;
    if (bytes > map->bytes_max || map->units.bytes > map->bytes_max - bytes) {
        return WM_E_LIMIT;
    }
    struct block *block = NULL;
    if (units_reserve(&map->units, units) != 0 || reserve_dead(map, spot.above + 1) != 0 ||
        (block_bytes > 0 && !(block = wm_alloc(sizeof *block + block_bytes)))) {
        return -ENOMEM;
    }

    uint32_t made = new_leaf(map, key, value, block);
    uint32_t *at = own(map, &path, spot.above);
    uint32_t old = *at;
    switch (spot.how) {
    case FIRST: *at = made; break;
    case REPLACE:
        *at = made;
        retire(map, old);
        break;
    case JOIN:
        *at = reshape(map, old, path.steps[spot.above].arm, made);
        retire(map, old);
        break;
    case PART: *at = new_branch(map, &bits, spot.bit, made, &spot.other, old); break;
    }
    map->count += spot.how != REPLACE;
    return 0;
}

int vmap_remove(struct vmap *map, struct wm_view key)
{
    struct path path __attribute__((uninitialized));
    struct key_bits bits;
    hash_key(key, &bits);
    uint32_t end = descend(map, &bits, &path);
    if (end == 0 || !wm_view_eq(leaf_key(leaf_at(map, end)), key)) {
        return 0;
    }
    uint32_t above = path.count > 0 ? path.count - 1 : 0;
    const struct step *last = path.count > 0 ? &path.steps[above] : NULL;
    uint32_t used = last ? branch_at(map, last->ref)->used : 0;
    uint32_t left = ones(used) - (last ? 1 : 0); /* arms */
    uint32_t units = units_to_own(map, &path, above) + (left > 1 ? left : 0);
    if (units_reserve(&map->units, units) != 0 || reserve_dead(map, above + 2) != 0) {
        return -ENOMEM;
    }
    uint32_t *at = own(map, &path, above);
    if (left > 1) {
        *at = reshape(map, last->ref, last->arm, 0);
    } else if (left == 1) { /* the branch parts nothing any more */
        *at = branch_at(map, last->ref)->arms[__builtin_ctz(used ^ 1u << last->arm)];
    } else {
        *at = 0;
    }
    if (last) {
        retire(map, last->ref);
    }
    retire(map, end);
    map->count--;
    return 0;
}

/* --- Versions --- */

int vmap_mark(struct vmap *map, uint64_t version)
{
    if (map->mark_count == VMAP_VERSIONS_MAX) {
        return WM_E_LIMIT;
    }
    WM_ASSERT(map->mark_count == 0 || version > map->marks[map->mark_count - 1].version);
    struct mark *mark = &map->marks[map->mark_count++];
    *mark = (struct mark){.version = version,
                          .epoch = map->epoch++,
                          .count = map->count,
                          .top = map->top,
                          .hashed = !map->stale};
    memcpy(mark->hash, map->hash, sizeof mark->hash);
    return 0;
}

uint32_t vmap_mark_idx(const struct vmap *map, uint64_t version)
{
    uint32_t idx = map->mark_count;
    while (idx > 0 && map->marks[idx - 1].version > version) {
        idx--;
    }
    WM_ASSERT(idx > 0 && map->marks[idx - 1].version == version);
    return idx - 1;
}

/* What was made after this epoch, at and below a ref. */
static void release_newer(struct vmap *map, uint32_t ref, uint64_t epoch)
{
    const struct head *head = unit_at(&map->units, ref & ~REF_LEAF);
    if (head->birth <= epoch) {
        return;
    }
    for (uint32_t arm = 0; arm < BRANCH_ARMS && !is_leaf(ref); arm++) {
        uint32_t below = branch_at(map, ref)->arms[arm];
        if (below != 0) {
            release_newer(map, below, epoch);
        }
    }
    vmap_release(map, ref, map->newest_snapshot);
}

/* The dead of a mark that goes, as far as they were made after `epoch`. */
static void release_dead(struct vmap *map, struct mark *mark, uint64_t epoch)
{
    for (size_t i = 0; i < mark->dead.count; i++) {
        if (i + AHEAD < mark->dead.count) {
            __builtin_prefetch(unit_at(&map->units, mark->dead.items[i + AHEAD] & ~REF_LEAF), 1);
        }
        uint32_t ref = mark->dead.items[i];
        const struct head *head = unit_at(&map->units, ref & ~REF_LEAF);
        if (head->birth > epoch) {
            vmap_release(map, ref, map->newest_snapshot);
        }
    }
    wm_vec_fini(&mark->dead);
}

void vmap_undo_to(struct vmap *map, uint64_t version)
{
    uint32_t idx = vmap_mark_idx(map, version);
    struct mark *mark = &map->marks[idx];
    if (map->top != 0) {
        release_newer(map, map->top, mark->epoch);
    }
    for (uint32_t i = idx; i < map->mark_count; i++) {
        release_dead(map, &map->marks[i], mark->epoch);
    }
    map->mark_count = idx + 1;
    map->top = mark->top;
    map->count = mark->count;
    map->stale = !mark->hashed;
    memcpy(map->hash, mark->hash, sizeof map->hash);
}

void vmap_drop_before(struct vmap *map, uint64_t version)
{
    uint32_t idx = vmap_mark_idx(map, version);
    for (uint32_t i = 0; i < idx; i++) {
        release_dead(map, &map->marks[i], 0);
    }
    map->mark_count -= idx;
    memmove(map->marks, map->marks + idx, map->mark_count * sizeof *map->marks);
}
