/* trie.h: the compressed binary trie whose root is a ledger's state root: how it hashes, and what a
 * proof about one key folds to.
 *
 * doc/format/ledger.md, section State. Pairs lie by the SHA-256 of their key. A pair is
 * H(0x00 || H(key) || H(value)); a node that parts the keys below it at bit b (bit 0: the highest
 * of the first byte) is H(0x01 || b || left || right), left where bit b is 0. The root of no pairs
 * is 32 zero bytes. One set of pairs has one root, whatever the order in which it was made.
 *
 * A proof is the pair that is found by following a key's bits, and the way up from it: so it shows
 * either the key's value or, by another key that lies on the same way, that the key is not there.
 * What several proofs show together, and what becomes of the root when their keys change, is in
 * trie_partial.h.
 *
 * Pure; no memory of its own. Proofs are hostile. Any thread. */
#ifndef WM_CRYPTO_TRIE_H
#define WM_CRYPTO_TRIE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "crypto/hash.h"

#define TRIE_HASH_BYTES WM_SHA256_BYTES
#define TRIE_PATH_MAX 256u

typedef uint8_t trie_hash[TRIE_HASH_BYTES];

void trie_pair(const trie_hash key_hash, const trie_hash value_hash, trie_hash out);
void trie_node(uint8_t bit, const trie_hash left, const trie_hash right, trie_hash out);

/* Two at once, which takes about as long as one (wm_sha256_two). `out` may be what is hashed. */
struct trie_node_parts {
    uint8_t bit;
    const trie_hash *halves; /* left, right */
};
void trie_node_two(struct trie_node_parts a, struct trie_node_parts b, trie_hash out_a,
                   trie_hash out_b);
struct trie_pair_parts {
    trie_hash key_hash, value_hash;
};
void trie_pair_two(const struct trie_pair_parts *a, const struct trie_pair_parts *b,
                   trie_hash out_a, trie_hash out_b);

static inline bool trie_bit(const trie_hash key_hash, uint32_t bit)
{
    return (key_hash[bit / 8] >> (7 - bit % 8)) & 1;
}
/* The first bit in which two differ; 256: none. */
uint32_t trie_differs(const trie_hash a, const trie_hash b);

struct trie_step {
    uint8_t bit;
    trie_hash sibling;
};
struct trie_proof {
    bool empty; /* there is no pair at all; the rest means nothing */
    trie_hash key_hash, value_hash;
    uint32_t path_len;
    struct trie_step path[TRIE_PATH_MAX]; /* from the pair upwards: bits descend strictly */
};

enum trie_finding { TRIE_PRESENT, TRIE_ABSENT, TRIE_WRONG };
/* What `proof` shows about the key under this root. TRIE_WRONG: nothing. The value's hash of a key
 * that is present is proof->value_hash. */
enum trie_finding trie_check(const struct trie_proof *proof, const trie_hash key_hash,
                             const trie_hash root);
/* The hashes on a proof's way up: [0] the pair's, [i + 1] that of the node with path[i]; the last,
 * of path_len, is the root that the proof is for. False: the way breaks the rule. Not for an empty
 * one. */
WM_MUST_CHECK bool trie_fold(const struct trie_proof *proof, trie_hash hashes[TRIE_PATH_MAX + 1]);

#endif
