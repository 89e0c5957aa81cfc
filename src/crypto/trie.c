/* The rules of the compressed binary trie. What makes a proof of absence one: a trie's nodes are
 * found by the bits that they part at and nothing else, so a key that takes the same side as the
 * proved pair at each of them is led to this pair, and is another. */
#include "crypto/trie.h"

#include <string.h>

#define PAIR 0x00
#define NODE 0x01
#define PAIR_BYTES (1 + 2 * TRIE_HASH_BYTES)
#define NODE_BYTES (2 + 2 * TRIE_HASH_BYTES)

static void pair_text(const trie_hash key_hash, const trie_hash value_hash, uint8_t out[PAIR_BYTES])
{
    out[0] = PAIR;
    memcpy(out + 1, key_hash, TRIE_HASH_BYTES);
    memcpy(out + 1 + TRIE_HASH_BYTES, value_hash, TRIE_HASH_BYTES);
}

static void node_text(uint8_t bit, const trie_hash left, const trie_hash right,
                      uint8_t out[NODE_BYTES])
{
    out[0] = NODE;
    out[1] = bit;
    memcpy(out + 2, left, TRIE_HASH_BYTES);
    memcpy(out + 2 + TRIE_HASH_BYTES, right, TRIE_HASH_BYTES);
}

void trie_pair(const trie_hash key_hash, const trie_hash value_hash, trie_hash out)
{
    uint8_t text[PAIR_BYTES];
    pair_text(key_hash, value_hash, text);
    wm_sha256_once(wm_view_of(text, sizeof text), out);
}

void trie_node(uint8_t bit, const trie_hash left, const trie_hash right, trie_hash out)
{
    uint8_t text[NODE_BYTES];
    node_text(bit, left, right, text);
    wm_sha256_once(wm_view_of(text, sizeof text), out);
}

void trie_pair_two(const struct trie_pair_parts *a, const struct trie_pair_parts *b,
                   trie_hash out_a, trie_hash out_b)
{
    uint8_t text_a[PAIR_BYTES], text_b[PAIR_BYTES];
    pair_text(a->key_hash, a->value_hash, text_a);
    pair_text(b->key_hash, b->value_hash, text_b);
    wm_sha256_two(wm_view_of(text_a, sizeof text_a), wm_view_of(text_b, sizeof text_b), out_a,
                  out_b);
}

void trie_node_two(struct trie_node_parts a, struct trie_node_parts b, trie_hash out_a,
                   trie_hash out_b)
{
    uint8_t text_a[NODE_BYTES], text_b[NODE_BYTES];
    node_text(a.bit, a.halves[0], a.halves[1], text_a);
    node_text(b.bit, b.halves[0], b.halves[1], text_b);
    wm_sha256_two(wm_view_of(text_a, sizeof text_a), wm_view_of(text_b, sizeof text_b), out_a,
                  out_b);
}

uint32_t trie_differs(const trie_hash a, const trie_hash b)
{
    for (uint32_t byte = 0; byte < TRIE_HASH_BYTES; byte += sizeof(uint64_t)) {
        uint64_t word_a, word_b;
        memcpy(&word_a, a + byte, sizeof word_a);
        memcpy(&word_b, b + byte, sizeof word_b);
        if (word_a != word_b) {
            return byte * 8 + (uint32_t)__builtin_clzll(__builtin_bswap64(word_a ^ word_b));
        }
    }
    return TRIE_HASH_BYTES * 8;
}

bool trie_fold(const struct trie_proof *proof, trie_hash hashes[TRIE_PATH_MAX + 1])
{
    if (proof->empty || proof->path_len > TRIE_PATH_MAX) {
        return false;
    }
    trie_pair(proof->key_hash, proof->value_hash, hashes[0]);
    for (uint32_t i = 0; i < proof->path_len; i++) {
        const struct trie_step *step = &proof->path[i];
        if (i > 0 && step->bit >= step[-1].bit) {
            return false;
        }
        if (trie_bit(proof->key_hash, step->bit)) {
            trie_node(step->bit, step->sibling, hashes[i], hashes[i + 1]);
        } else {
            trie_node(step->bit, hashes[i], step->sibling, hashes[i + 1]);
        }
    }
    return true;
}

enum trie_finding trie_check(const struct trie_proof *proof, const trie_hash key_hash,
                             const trie_hash root)
{
    static const trie_hash no_pairs;
    trie_hash hashes[TRIE_PATH_MAX + 1];
    if (proof->empty) {
        return memcmp(root, no_pairs, sizeof no_pairs) == 0 ? TRIE_ABSENT : TRIE_WRONG;
    }
    if (!trie_fold(proof, hashes) || memcmp(hashes[proof->path_len], root, TRIE_HASH_BYTES) != 0) {
        return TRIE_WRONG;
    }
    if (memcmp(proof->key_hash, key_hash, TRIE_HASH_BYTES) == 0) {
        return TRIE_PRESENT;
    }
    for (uint32_t i = 0; i < proof->path_len; i++) {
        uint8_t bit = proof->path[i].bit;
        if (trie_bit(proof->key_hash, bit) != trie_bit(key_hash, bit)) {
            return TRIE_WRONG; /* it is about another place */
        }
    }
    return TRIE_ABSENT;
}
