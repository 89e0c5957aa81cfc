/* trie_test_model.h: the trie as doc/format/ledger.md defines it, for tests: a sorted array of
 * pairs, of which everything is made from scratch each time. */
#ifndef WM_CRYPTO_TRIE_TEST_MODEL_H
#define WM_CRYPTO_TRIE_TEST_MODEL_H

#include <stddef.h>

#include "crypto/trie.h"

#define TRIE_MODEL_MAX 4096u

struct trie_model_pair {
    trie_hash key_hash, value_hash;
};
struct trie_model {
    size_t count;
    struct trie_model_pair pairs[TRIE_MODEL_MAX];
};

/* Index of the pair, or of where it would be. */
bool trie_model_find(const struct trie_model *model, const trie_hash key_hash, size_t *idx);
/* At most TRIE_MODEL_MAX pairs: aborts beyond. */
void trie_model_put(struct trie_model *model, const trie_hash key_hash, const trie_hash value_hash);
void trie_model_remove(struct trie_model *model, const trie_hash key_hash);
void trie_model_root(const struct trie_model *model, trie_hash out);
void trie_model_prove(const struct trie_model *model, const trie_hash key_hash,
                      struct trie_proof *out);

#endif
