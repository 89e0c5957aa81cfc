/* fuzz_vmap.c: any operations on a ledger's state, in a tree of any shape, against a naive model of
 * it. The first byte says how keys share bits, the rest what is done (store/vmap_test_model.c).
 * Keys are their own hashes here, as in store/vmap_shape_test.c. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/vmap_test_model.h"
#include "store/vmap_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

void vmap_key_hash(struct wm_view key, trie_hash out)
{
    memset(out, 0, TRIE_HASH_BYTES);
    memcpy(out, key.ptr, key.len < TRIE_HASH_BYTES ? key.len : TRIE_HASH_BYTES);
}

void vmap_key_hash_two(struct wm_view a, struct wm_view b, trie_hash out_a, trie_hash out_b)
{
    vmap_key_hash(a, out_a);
    vmap_key_hash(b, out_b);
}

/* Key i has the bits of the number i, each `step` bits from the one before it. */
static void make_keys(uint32_t step, uint8_t keys[VMAP_MODEL_KEYS][TRIE_HASH_BYTES])
{
    memset(keys, 0, (size_t)VMAP_MODEL_KEYS * TRIE_HASH_BYTES);
    for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
        for (uint32_t k = 0; k < 6; k++) {
            uint32_t bit = (k + 1) * step % 256;
            keys[i][bit / 8] |= (uint8_t)(i >> k & 1 ? 0x80 >> bit % 8 : 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static uint8_t keys[VMAP_MODEL_KEYS][TRIE_HASH_BYTES];
    struct wm_view views[VMAP_MODEL_KEYS];
    if (len == 0) {
        return 0;
    }
    make_keys(1 + bytes[0] % 42, keys); /* six steps of 42 or less: no two keys are the same */
    for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
        views[i] = wm_view_of(keys[i], TRIE_HASH_BYTES);
    }
    const char *what = vmap_model_run(views, wm_view_of(bytes + 1, len - 1));
    if (what) {
        fprintf(stderr, "fuzz_vmap: %s\n", what);
        abort();
    }
    return 0;
}
