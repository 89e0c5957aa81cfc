/* vmap_tree.h: inside of vmap: how its tree lies in memory. For vmap*.c and their tests.
 *
 * Units. Everything lies in units of 64 bytes, a cache line, which have numbers: a *ref* is the
 * number of something's first unit, with REF_LEAF set where it is a leaf, and 0 where there is
 * nothing. Units do not move and keep their numbers, so a snapshot is read without a lock.
 *
 *     branch, n arms    n units    a unit of refs and sizes, then one for each of n - 1 nodes
 *     leaf              1 to 8     16 bytes of sizes, then the key and the value; what does not fit
 *                                  (LEAF_BYTES_MAX) lies in a block of its own
 *
 * A branch stands for up to three levels of the binary trie: for all its nodes that part at the
 * bits base, base + 1 and base + 2 (base a multiple of 3) and have the bits before in common. Its
 * eight arms are what those three bits choose from. It has two arms at least, else there is nothing
 * that it parts; so branches, too, are left out where all keys agree.
 *
 *     place             1                  bit base       the nodes are numbered as in a heap
 *                   /       \
 *                 2           3            bit base + 1
 *               /   \       /   \
 *              4     5     6     7         bit base + 2
 *             / \   / \   / \   / \
 *             8 9  10 11 12 13 14 15       the arms: 8 + their index
 *
 * A place from 1 to 7 is a node when there are arms on both of its sides; so n arms have n - 1
 * nodes. For each node its unit holds the hashes of its two halves, whatever these are: a node
 * further down, an arm's leaf, or the topmost node of an arm's branch. So each hash lies above what
 * it is of, and a node is hashed by reading one cache line. Halves of which the hash is not known
 * are marked in `stale`, by their place. */
#ifndef WM_STORE_VMAP_TREE_H
#define WM_STORE_VMAP_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/vec.h"
#include "store/vmap.h"

#define UNIT_BYTES 64u
#define LEAF_UNITS_MAX 8u
#define BRANCH_ARMS 8u
#define BRANCH_BITS 3u
#define BRANCHES_MAX (TRIE_PATH_MAX / BRANCH_BITS + 1) /* from the top to a leaf */

#define REF_LEAF (UINT32_C(1) << 31)

/* How a branch and a leaf begin. */
struct head {
    uint64_t birth; /* the epoch in which it was made */
    uint32_t next;  /* in a list of what is free, or of what only snapshots use */
};

struct branch {
    uint64_t birth;
    uint32_t next;
    uint8_t base;
    uint8_t used;   /* bit i: there is arm i */
    uint8_t nodes;  /* bit p: place p is a node */
    uint16_t stale; /* bit p: of a node at p / 2, the hash of the half at p is not known */
    uint32_t arms[BRANCH_ARMS];
    WM_ALIGNED(UNIT_BYTES) trie_hash hashes[][2]; /* of the nodes, in the order of their places */
};

/* A key and a value that are too large for a leaf. */
struct block {
    struct block *newer, *older;
    uint8_t bytes[];
};

struct leaf {
    uint64_t birth;
    uint32_t next;
    uint32_t value_len : 23, key_len : 9;
    union {
        uint8_t bytes[UNIT_BYTES - 16]; /* key, value: of all the leaf's units, not the first's */
        struct block *block;
    };
};

#define LEAF_BYTES_MAX (LEAF_UNITS_MAX * UNIT_BYTES - offsetof(struct leaf, bytes))

_Static_assert(offsetof(struct head, next) == offsetof(struct branch, next), "head of a branch");
_Static_assert(offsetof(struct head, next) == offsetof(struct leaf, next), "head of a leaf");
_Static_assert(offsetof(struct branch, hashes) == UNIT_BYTES, "a unit before the hashes");
_Static_assert(sizeof(trie_hash[2]) == UNIT_BYTES, "a unit for each node");
_Static_assert(sizeof(struct leaf) == UNIT_BYTES, "a unit");
_Static_assert(VMAP_KEY_BYTES_MAX < 1u << 9 && VMAP_VALUE_BYTES_MAX < 1u << 23, "sizes");

struct mark {
    uint64_t version;
    uint64_t epoch; /* what was made in it or before may be in this version */
    uint64_t count;
    uint32_t top;
    bool hashed;
    trie_hash hash;
    WM_VEC(uint32_t) dead; /* refs: not in the newest state since this mark, but in it or before */
};

struct vmap_snapshot {
    const struct vmap *map;
    struct vmap_snapshot *newer, *older; /* in the order in which they were taken */
    uint64_t epoch;
    uint64_t count;
    uint32_t top;
    uint32_t kept; /* a list of what was freed, but may be in this one */
    bool hashed;
    trie_hash hash;
};

/* Part k holds the units with numbers from FIRST_UNIT << k to twice that: what a number names is
 * found without a search, and a part stays where it is. */
#define FIRST_UNIT_LOG2 10u
#define FIRST_UNIT (UINT32_C(1) << FIRST_UNIT_LOG2)
#define PARTS (31u - FIRST_UNIT_LOG2)

struct units {
    uintptr_t bases[32]; /* by the logarithm of a unit's number: address - number * UNIT_BYTES */
    void *parts[PARTS];
    uint32_t part_count;
    uint32_t fresh, fresh_end;         /* units of the newest part that were never used */
    uint32_t free[LEAF_UNITS_MAX + 1]; /* lists of what is free, by how many units each */
    uint64_t bytes;                    /* in use */
};

struct vmap {
    struct units units;
    struct block *newest_block;
    uint64_t bytes_max;

    /* The newest state. What has this epoch is its own and is changed in place; what is older may
     * be a mark's, too, and is copied. */
    uint64_t epoch;
    uint64_t count;
    uint32_t top;
    bool stale; /* `hash` is not that of the top */
    trie_hash hash;

    uint32_t mark_count;
    struct mark marks[VMAP_VERSIONS_MAX];
    struct vmap_snapshot *newest_snapshot;
};

static inline void *unit_at(const struct units *units, uint32_t number)
{
    uintptr_t base = units->bases[31 - __builtin_clz(number)];
    return (void *)(base + (uintptr_t)number * UNIT_BYTES);
}

static inline bool is_leaf(uint32_t ref)
{
    return (ref & REF_LEAF) != 0;
}

static inline struct branch *branch_at(const struct vmap *map, uint32_t ref)
{
    return unit_at(&map->units, ref);
}

static inline struct leaf *leaf_at(const struct vmap *map, uint32_t ref)
{
    return unit_at(&map->units, ref & ~REF_LEAF);
}

/* --- Leaves --- */

static inline bool fits_leaf(size_t key_len, size_t value_len)
{
    return key_len + value_len <= LEAF_BYTES_MAX;
}

static inline uint32_t units_for(size_t key_len, size_t value_len)
{
    size_t bytes = offsetof(struct leaf, bytes) + key_len + value_len;
    return fits_leaf(key_len, value_len) ? (uint32_t)((bytes + UNIT_BYTES - 1) / UNIT_BYTES) : 1;
}

static inline const uint8_t *leaf_bytes(const struct leaf *leaf)
{
    return fits_leaf(leaf->key_len, leaf->value_len) ? (const uint8_t *)leaf->bytes
                                                     : leaf->block->bytes;
}

static inline struct wm_view leaf_key(const struct leaf *leaf)
{
    return wm_view_of(leaf_bytes(leaf), leaf->key_len);
}

static inline struct wm_view leaf_value(const struct leaf *leaf)
{
    return wm_view_of(leaf_bytes(leaf) + leaf->key_len, leaf->value_len);
}

/* --- Branches --- */

/* A key's hash, and two bytes of nothing, so that a branch's three bits can be taken at its end. */
struct key_bits {
    uint8_t bytes[TRIE_HASH_BYTES + 2];
};

static inline uint32_t arm_of(const struct key_bits *key, uint32_t base)
{
    uint32_t two = (uint32_t)key->bytes[base / 8] << 8 | key->bytes[base / 8 + 1];
    return two >> (16 - BRANCH_BITS - base % 8) & (BRANCH_ARMS - 1);
}

static inline uint32_t depth_of(uint32_t place)
{
    return 31 - (uint32_t)__builtin_clz(place);
}

/* The mask of the arms below a place. */
static inline uint32_t arms_below(uint32_t place)
{
    uint32_t levels = BRANCH_BITS - depth_of(place);
    return ((1u << (1u << levels)) - 1) << ((place << levels) - BRANCH_ARMS);
}

/* The mask of the places on an arm's way. */
static inline uint16_t way_of(uint32_t arm)
{
    uint32_t place = BRANCH_ARMS + arm;
    return (uint16_t)(1u << place | 1u << place / 2 | 1u << place / 4);
}

static inline bool is_node(const struct branch *branch, uint32_t place)
{
    return place < BRANCH_ARMS && (branch->nodes >> place & 1);
}

/* The topmost node, or the only arm, at or below a place that has arms. */
static inline uint32_t settle(const struct branch *branch, uint32_t place)
{
    while (place < BRANCH_ARMS && !is_node(branch, place)) {
        place = 2 * place + !(branch->used & arms_below(2 * place));
    }
    return place;
}

/* How many bits of eight are set; the processor's own instruction is not in the baseline. */
static inline uint32_t ones(uint32_t mask)
{
    mask = (mask & 0x55) + (mask >> 1 & 0x55);
    mask = (mask & 0x33) + (mask >> 2 & 0x33);
    return (mask & 0x0f) + (mask >> 4);
}

/* The hashes of a node's halves, left and right. */
static inline trie_hash *halves_of(struct branch *branch, uint32_t node)
{
    return branch->hashes[ones(branch->nodes & ((1u << node) - 1))];
}

/* How many units a ref stands for. */
static inline uint32_t units_of(const struct vmap *map, uint32_t ref)
{
    if (is_leaf(ref)) {
        const struct leaf *leaf = leaf_at(map, ref);
        return units_for(leaf->key_len, leaf->value_len);
    }
    return ones(branch_at(map, ref)->used);
}

/* --- vmap_units.c: memory --- */

/* Makes sure that the next units_take calls, of `count` units together, succeed: 0 or -ENOMEM. */
WM_MUST_CHECK int units_reserve(struct units *units, uint32_t count);
/* The number of `count` units, 1 to 8; not zeroed. */
uint32_t units_take(struct units *units, uint32_t count);
void units_free(struct units *units, uint32_t number, uint32_t count);
void units_fini(struct units *units);

/* --- vmap.c --- */

/* Of a marked version; asserts that it is one. */
uint32_t vmap_mark_idx(const struct vmap *map, uint64_t version);
/* Frees what neither the newest state nor a mark uses; a snapshot that may use it, of `snapshot`
 * and the older ones, keeps it meanwhile. */
void vmap_release(struct vmap *map, uint32_t ref, struct vmap_snapshot *snapshot);

/* --- vmap_key.c: by itself, so that tests can give keys hashes of their choice --- */

void vmap_key_hash(struct wm_view key, trie_hash out);
void vmap_key_hash_two(struct wm_view a, struct wm_view b, trie_hash out_a, trie_hash out_b);

#endif
