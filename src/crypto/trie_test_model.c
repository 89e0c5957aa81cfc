#include "crypto/trie_test_model.h"

#include <stdlib.h>
#include <string.h>

bool trie_model_find(const struct trie_model *model, const trie_hash key_hash, size_t *idx)
{
    size_t i = 0;
    while (i < model->count && memcmp(model->pairs[i].key_hash, key_hash, TRIE_HASH_BYTES) < 0) {
        i++;
    }
    *idx = i;
    return i < model->count && memcmp(model->pairs[i].key_hash, key_hash, TRIE_HASH_BYTES) == 0;
}

void trie_model_put(struct trie_model *model, const trie_hash key_hash, const trie_hash value_hash)
{
    size_t i;
    if (!trie_model_find(model, key_hash, &i)) {
        if (model->count == TRIE_MODEL_MAX) {
            abort();
        }
        memmove(&model->pairs[i + 1], &model->pairs[i],
                (model->count++ - i) * sizeof *model->pairs);
    }
    memcpy(model->pairs[i].key_hash, key_hash, TRIE_HASH_BYTES);
    memcpy(model->pairs[i].value_hash, value_hash, TRIE_HASH_BYTES);
}

void trie_model_remove(struct trie_model *model, const trie_hash key_hash)
{
    size_t i;
    if (trie_model_find(model, key_hash, &i)) {
        memmove(&model->pairs[i], &model->pairs[i + 1],
                (--model->count - i) * sizeof *model->pairs);
    }
}

static bool bit_of(const trie_hash hash, unsigned bit)
{
    return hash[bit / 8] & (0x80 >> bit % 8);
}

/* Where pairs from `from` up to `to`, two at least, part: the first bit that is not the same in
 * all, and the first pair in which it is set. */
static size_t part(const struct trie_model *model, size_t from, size_t to, unsigned *bit)
{
    for (*bit = 0;; (*bit)++) {
        size_t i = from;
        while (i < to && !bit_of(model->pairs[i].key_hash, *bit)) {
            i++;
        }
        if (i > from && i < to) {
            return i;
        }
    }
}

static void hash_of(const struct trie_model *model, size_t from, size_t to, trie_hash out)
{
    struct wm_sha256 hash;
    wm_sha256_init(&hash);
    if (to - from == 1) {
        wm_sha256_add(&hash, wm_view_of("\0", 1));
        wm_sha256_add(&hash, wm_view_of(model->pairs[from].key_hash, TRIE_HASH_BYTES));
        wm_sha256_add(&hash, wm_view_of(model->pairs[from].value_hash, TRIE_HASH_BYTES));
    } else {
        trie_hash left, right;
        unsigned bit;
        size_t middle = part(model, from, to, &bit);
        hash_of(model, from, middle, left);
        hash_of(model, middle, to, right);
        uint8_t byte = (uint8_t)bit;
        wm_sha256_add(&hash, wm_view_of("\1", 1));
        wm_sha256_add(&hash, wm_view_of(&byte, 1));
        wm_sha256_add(&hash, wm_view_of(left, sizeof left));
        wm_sha256_add(&hash, wm_view_of(right, sizeof right));
    }
    wm_sha256_end(&hash, out);
}

void trie_model_root(const struct trie_model *model, trie_hash out)
{
    memset(out, 0, TRIE_HASH_BYTES);
    if (model->count > 0) {
        hash_of(model, 0, model->count, out);
    }
}

/* Appends the way up from the pair that is found to the part from `from` to `to`. */
static void prove(const struct trie_model *model, const trie_hash key_hash, size_t from, size_t to,
                  struct trie_proof *out)
{
    if (to - from == 1) {
        memcpy(out->key_hash, model->pairs[from].key_hash, TRIE_HASH_BYTES);
        memcpy(out->value_hash, model->pairs[from].value_hash, TRIE_HASH_BYTES);
        return;
    }
    struct trie_step step;
    unsigned bit;
    size_t middle = part(model, from, to, &bit);
    step.bit = (uint8_t)bit;
    if (bit_of(key_hash, bit)) {
        hash_of(model, from, middle, step.sibling);
        prove(model, key_hash, middle, to, out);
    } else {
        hash_of(model, middle, to, step.sibling);
        prove(model, key_hash, from, middle, out);
    }
    out->path[out->path_len++] = step;
}

void trie_model_prove(const struct trie_model *model, const trie_hash key_hash,
                      struct trie_proof *out)
{
    memset(out, 0, sizeof *out);
    out->empty = model->count == 0;
    if (!out->empty) {
        prove(model, key_hash, 0, model->count, out);
    }
}
