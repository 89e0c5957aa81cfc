/* merkle.h: Merkle trees as RFC 9162 section 2.1 has them, with SHA-256.
 *
 * A leaf is H(0x00 || entry), a node H(0x01 || left || right); the left part of a tree is the
 * largest full one. Equivalently, and this is how it is built here: each level pairs the hashes of
 * the one below from the left, and one that is left over at the end goes up as it is.
 *
 * Two ways to a root: struct merkle takes leaves one by one and keeps one hash a level;
 * merkle_build makes all levels in one array, from which the path of any leaf is read without
 * hashing.
 *
 * Pure; no memory of its own. What the checking functions take comes from outside and may be
 * anything; the others take our own. Any thread. */
#ifndef WM_CRYPTO_MERKLE_H
#define WM_CRYPTO_MERKLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "crypto/hash.h"

#define MERKLE_HASH_BYTES WM_SHA256_BYTES
#define MERKLE_LEVELS_MAX 48u /* hashes in a path; leaves: 2^48 */
#define MERKLE_LEAVES_MAX (UINT64_C(1) << MERKLE_LEVELS_MAX)

typedef uint8_t merkle_hash[MERKLE_HASH_BYTES];

void merkle_leaf(struct wm_view entry, merkle_hash out);
void merkle_node(const merkle_hash left, const merkle_hash right, merkle_hash out);

/* --- One leaf after the other --- */

struct merkle {
    uint64_t count;
    merkle_hash full[MERKLE_LEVELS_MAX + 1]; /* [k]: of the full tree of 2^k leaves, where bit k of
                                                count is set */
};

void merkle_init(struct merkle *tree);
/* False, and nothing is done, at MERKLE_LEAVES_MAX. */
WM_MUST_CHECK bool merkle_add(struct merkle *tree, const merkle_hash leaf);
void merkle_root(const struct merkle *tree, merkle_hash out); /* no leaves: H("") */

/* --- A whole tree in an array: leaves first, then level by level, the root last --- */

/* Hashes in the array for leaf_count leaves, of 1 to MERKLE_LEAVES_MAX. Less than 2 * leaf_count +
 * MERKLE_LEVELS_MAX. */
uint64_t merkle_hashes(uint64_t leaf_count);
/* Fills in what follows the leaves. The root is hashes[merkle_hashes(leaf_count) - 1]. */
void merkle_build(merkle_hash *hashes, uint64_t leaf_count);
/* The path of a leaf, from below; index < leaf_count. Returns its length, which is at most the
 * number of bits of leaf_count - 1; `path` has room for so many. */
uint32_t merkle_path(const merkle_hash *hashes, uint64_t leaf_count, uint64_t index,
                     merkle_hash *path);

/* --- Checking --- */

/* The root that a tree of leaf_count leaves has when this is the path of this leaf. False when
 * there is no such leaf or its path has another length (RFC 9162 section 2.1.3.2). */
WM_MUST_CHECK bool merkle_path_root(const merkle_hash leaf, uint64_t index, uint64_t leaf_count,
                                    const merkle_hash *path, uint32_t path_len, merkle_hash out);

/* Is a tree of old_count leaves and this root the beginning of that of new_count leaves? The proof
 * is RFC 9162's (section 2.1.4); it is empty where old_count is 0 or new_count. */
WM_MUST_CHECK bool merkle_consistent(uint64_t old_count, const merkle_hash old_root,
                                     uint64_t new_count, const merkle_hash new_root,
                                     const merkle_hash *proof, uint32_t proof_len);

#endif
