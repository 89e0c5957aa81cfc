/* A trie of three kinds of parts: pairs, nodes, and what is *closed*, a subtree of which only the
 * hash is known. Each part knows the bits that all keys below it share: of a pair all 256, of a
 * node those before the one it parts at, of something closed those up to its parent's bit. */
#include "crypto/trie_partial.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

#define KEY_BITS (8 * TRIE_HASH_BYTES)

enum part_kind { CLOSED, PAIR, NODE };

struct trie_part {
    enum part_kind kind;
    uint32_t shared; /* how many bits of `bits` hold for all keys below; a node's own bit */
    trie_hash bits;  /* of a pair the key's hash */
    bool stale;      /* the hash is to be made of the halves' */
    trie_hash hash;
    union {
        trie_hash value_hash;        /* of a pair */
        struct trie_part *halves[2]; /* of a node */
    };
};

static struct trie_part *part_new(struct wm_arena *arena, enum part_kind kind, const trie_hash bits,
                                  uint32_t shared)
{
    struct trie_part *made = WM_ARENA_NEW(arena, struct trie_part);
    if (made) {
        made->kind = kind;
        made->shared = shared;
        memcpy(made->bits, bits, sizeof made->bits);
    }
    return made;
}

int trie_partial_init(struct trie_partial *partial, struct wm_arena *arena, const trie_hash root)
{
    static const trie_hash no_pairs;
    *partial = (struct trie_partial){.arena = arena};
    if (memcmp(root, no_pairs, sizeof no_pairs) != 0) {
        partial->top = part_new(arena, CLOSED, no_pairs, 0);
        if (!partial->top) {
            return -ENOMEM;
        }
        memcpy(partial->top->hash, root, sizeof partial->top->hash);
    }
    return 0;
}

/* Does this part's place agree with the key? */
static bool agrees(const struct trie_part *at, const trie_hash key_hash)
{
    return trie_differs(at->bits, key_hash) >= at->shared;
}

/* A closed part turns out to be a node with these halves, closed in turn. */
static int open_node(struct wm_arena *arena, struct trie_part *at, const struct trie_proof *proof,
                     const struct trie_step *step, const trie_hash own)
{
    bool side = trie_bit(proof->key_hash, step->bit);
    trie_hash other;
    memcpy(other, proof->key_hash, sizeof other);
    other[step->bit / 8] ^= (uint8_t)(0x80 >> step->bit % 8);
    struct trie_part *below = part_new(arena, CLOSED, proof->key_hash, step->bit + 1u);
    struct trie_part *beside = part_new(arena, CLOSED, other, step->bit + 1u);
    if (!below || !beside) {
        return -ENOMEM;
    }
    memcpy(below->hash, own, sizeof below->hash);
    memcpy(beside->hash, step->sibling, sizeof beside->hash);
    at->kind = NODE;
    at->shared = step->bit;
    memcpy(at->bits, proof->key_hash, sizeof at->bits);
    at->halves[side] = below;
    at->halves[!side] = beside;
    return 0;
}

static int refuse(struct wm_diag *diag)
{
    return wm_diag_set(diag, WM_E_FORGED,
                       "state proof: it contradicts another one under the same root; the root is "
                       "not one of a state");
}

int trie_partial_add(struct trie_partial *partial, const struct trie_proof *proof,
                     struct wm_diag *diag)
{
    trie_hash hashes[TRIE_PATH_MAX + 1];
    struct trie_part *at = partial->top;
    WM_ASSERT(!partial->changed);
    if (proof->empty && !at) {
        return 0;
    }
    if (!at || !trie_fold(proof, hashes) ||
        memcmp(hashes[proof->path_len], at->hash, TRIE_HASH_BYTES) != 0) {
        return wm_diag_set(diag, WM_E_FORGED, "state proof: it does not lead to the state's root");
    }
    /* The hashes agree from the top, so that all else does as well, if SHA-256 holds and the root
     * was made by the rule; it is compared all the same, because nothing here trusts whoever made
     * the root. */
    for (uint32_t i = proof->path_len;; i--) {
        if (memcmp(at->hash, hashes[i], TRIE_HASH_BYTES) != 0 || !agrees(at, proof->key_hash)) {
            return refuse(diag);
        }
        if (i == 0) {
            break;
        }
        const struct trie_step *step = &proof->path[i - 1];
        bool side = trie_bit(proof->key_hash, step->bit);
        if (at->kind == CLOSED && open_node(partial->arena, at, proof, step, hashes[i - 1]) != 0) {
            return wm_diag_default(diag, -ENOMEM, "state proof");
        }
        if (at->kind != NODE || at->shared != step->bit ||
            memcmp(at->halves[!side]->hash, step->sibling, TRIE_HASH_BYTES) != 0) {
            return refuse(diag);
        }
        at = at->halves[side];
    }
    if (at->kind == NODE) {
        return refuse(diag);
    }
    if (at->kind == CLOSED) {
        at->kind = PAIR;
        at->shared = KEY_BITS;
        memcpy(at->bits, proof->key_hash, sizeof at->bits);
        memcpy(at->value_hash, proof->value_hash, sizeof at->value_hash);
    }
    return 0;
}

/* The pair, or what is closed, to which a key's bits lead. */
static struct trie_part *follow(const struct trie_partial *partial, const trie_hash key_hash)
{
    struct trie_part *at = partial->top;
    while (at && at->kind == NODE) {
        at = at->halves[trie_bit(key_hash, at->shared)];
    }
    return at;
}

enum trie_known trie_partial_get(const struct trie_partial *partial, const trie_hash key_hash,
                                 trie_hash value_hash)
{
    const struct trie_part *at = follow(partial, key_hash);
    if (!at || !agrees(at, key_hash)) {
        return TRIE_KNOWN_ABSENT;
    }
    if (at->kind == CLOSED) {
        return TRIE_UNKNOWN;
    }
    memcpy(value_hash, at->value_hash, TRIE_HASH_BYTES);
    return TRIE_KNOWN_PRESENT;
}

/* Marks the nodes on the key's way that part at a bit before `bit`. Returns where the part below
 * them hangs. */
static struct trie_part **change_above(struct trie_partial *partial, const trie_hash key_hash,
                                       uint32_t bit)
{
    struct trie_part **at = &partial->top;
    while (*at && (*at)->kind == NODE && (*at)->shared < bit) {
        (*at)->stale = true;
        at = &(*at)->halves[trie_bit(key_hash, (*at)->shared)];
    }
    partial->changed = true;
    return at;
}

int trie_partial_put(struct trie_partial *partial, const trie_hash key_hash,
                     const trie_hash value_hash)
{
    struct trie_part *found = follow(partial, key_hash);
    if (found && agrees(found, key_hash)) {
        if (found->kind == CLOSED) {
            return WM_E_NOT_FOUND;
        }
        memcpy(found->value_hash, value_hash, sizeof found->value_hash);
        trie_pair(key_hash, value_hash, found->hash);
        (void)change_above(partial, key_hash, KEY_BITS);
        return 0;
    }
    struct trie_part *pair = part_new(partial->arena, PAIR, key_hash, KEY_BITS);
    if (!pair) {
        return -ENOMEM;
    }
    memcpy(pair->value_hash, value_hash, sizeof pair->value_hash);
    trie_pair(key_hash, value_hash, pair->hash);
    if (!found) {
        partial->top = pair;
        partial->changed = true;
        return 0;
    }
    /* All keys below one part differ from this one at the same bit, which is found at any of them
     * and belongs between the part's own and its parent's. */
    uint32_t bit = trie_differs(found->bits, key_hash);
    struct trie_part *node = part_new(partial->arena, NODE, key_hash, bit);
    if (!node) {
        return -ENOMEM;
    }
    struct trie_part **at = change_above(partial, key_hash, bit);
    node->stale = true;
    node->halves[trie_bit(key_hash, bit)] = pair;
    node->halves[!trie_bit(key_hash, bit)] = *at;
    *at = node;
    return 0;
}

int trie_partial_remove(struct trie_partial *partial, const trie_hash key_hash)
{
    const struct trie_part *found = follow(partial, key_hash);
    if (!found || !agrees(found, key_hash)) {
        return 0;
    }
    if (found->kind == CLOSED) {
        return WM_E_NOT_FOUND;
    }
    (void)change_above(partial, key_hash, KEY_BITS);
    struct trie_part **above = NULL, **at = &partial->top;
    while (*at != found) {
        above = at;
        at = &(*at)->halves[trie_bit(key_hash, (*at)->shared)];
    }
    if (above) {
        *above = (*above)->halves[!trie_bit(key_hash, (*above)->shared)];
    } else {
        partial->top = NULL;
    }
    return 0;
}

/* As deep as bits ascend on the way down: TRIE_PATH_MAX at most. */
static void make_hash(struct trie_part *at)
{
    if (at->stale) {
        make_hash(at->halves[0]);
        make_hash(at->halves[1]);
        trie_node((uint8_t)at->shared, at->halves[0]->hash, at->halves[1]->hash, at->hash);
        at->stale = false;
    }
}

void trie_partial_root(struct trie_partial *partial, trie_hash out)
{
    if (partial->top) {
        make_hash(partial->top);
        memcpy(out, partial->top->hash, TRIE_HASH_BYTES);
    } else {
        memset(out, 0, TRIE_HASH_BYTES);
    }
}
