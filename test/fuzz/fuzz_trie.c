/* fuzz_trie.c: hostile proofs about a state, and what is executed on them.
 *
 * Either the state is known, and proofs about it are changed in any way: nobody who does not break
 * SHA-256 may show anything that is not so. Or the root is a liar's, of a tree of any bits and
 * keys, with right proofs of all in it: anything may be shown, but in order. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/trie_partial.h"
#include "crypto/trie_test_model.h"

#define PAIRS 12u
#define PROOFS_MAX 8u
#define OPS_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static uint8_t next(struct wm_cursor *input)
{
    uint8_t byte = 0;
    return wm_cursor_u8(input, &byte) ? byte : 0;
}

/* Of few bits, so that ways are shared. */
static void key_of(uint8_t number, trie_hash out)
{
    memset(out, 0, TRIE_HASH_BYTES);
    out[0] = (uint8_t)(number & 0xf0);
    out[31] = (uint8_t)(number & 0x0f);
}

static void make_state(struct trie_model *model)
{
    static const uint8_t numbers[PAIRS] = {0x00, 0x01, 0x03, 0x0f, 0x10, 0x12,
                                           0x31, 0x70, 0x71, 0x80, 0xf0, 0xff};
    for (unsigned i = 0; i < PAIRS; i++) {
        trie_hash key, value = {1};
        key_of(numbers[i], key);
        value[1] = numbers[i];
        trie_model_put(model, key, value);
    }
}

/* A right one of some key, with some bytes of it changed; or one of the input's own. */
static void make_proof(const struct trie_model *model, struct wm_cursor *input,
                       struct trie_proof *out)
{
    uint8_t kind = next(input);
    trie_hash key;
    key_of(next(input), key);
    trie_model_prove(model, key, out);
    if (kind & 1) {
        size_t used = offsetof(struct trie_proof, path) + out->path_len * sizeof *out->path;
        uint8_t *raw = (uint8_t *)out;
        for (unsigned changes = kind >> 6; changes > 0; changes--) {
            size_t at = ((size_t)next(input) << 8 | next(input)) % used;
            if (at != offsetof(struct trie_proof, empty)) { /* a bool, which has two values only */
                raw[at] ^= next(input);
            }
        }
        out->empty = kind & 2;
    } else if (kind & 2) {
        out->path_len = next(input);
        for (uint32_t i = 0; i < out->path_len; i++) {
            out->path[i].bit = next(input);
            memset(out->path[i].sibling, next(input), TRIE_HASH_BYTES);
        }
    }
}

static void check_known(const struct trie_model *model, const trie_hash key, bool there,
                        const trie_hash value)
{
    size_t idx;
    if (trie_model_find(model, key, &idx) != there ||
        (there && memcmp(model->pairs[idx].value_hash, value, TRIE_HASH_BYTES) != 0)) {
        abort();
    }
}

/* A tree of any shape, of the pairs from `from` up to `to`, and their proofs. */
static void make_tree(struct wm_cursor *input, struct trie_proof *proofs, unsigned from,
                      unsigned to, trie_hash out)
{
    if (to - from == 1) {
        trie_pair(proofs[from].key_hash, proofs[from].value_hash, out);
        return;
    }
    uint8_t bit = next(input);
    unsigned middle = from + 1 + next(input) % (to - from - 1);
    trie_hash halves[2];
    for (unsigned i = from; i < to; i++) { /* a proof tells its side by its key */
        uint8_t mask = (uint8_t)(0x80 >> bit % 8), *byte = &proofs[i].key_hash[bit / 8];
        *byte = (uint8_t)(i < middle ? *byte & ~mask : *byte | mask);
    }
    make_tree(input, proofs, from, middle, halves[0]);
    make_tree(input, proofs, middle, to, halves[1]);
    trie_node(bit, halves[0], halves[1], out);
    for (unsigned i = from; i < to; i++) {
        struct trie_step *step = &proofs[i].path[proofs[i].path_len++];
        step->bit = bit;
        memcpy(step->sibling, halves[i < middle], TRIE_HASH_BYTES);
    }
}

/* Without a model: a liar's root. */
static void execute(struct trie_partial *partial, struct trie_model *model, struct wm_cursor *input)
{
    trie_hash root, want, key, value = {0}, got;
    for (unsigned op = 0; op < OPS_MAX && !wm_cursor_done(input); op++) {
        uint8_t kind = next(input) % 4;
        key_of(next(input), key);
        enum trie_known known = trie_partial_get(partial, key, value);
        if (model && known != TRIE_UNKNOWN) {
            check_known(model, key, known == TRIE_KNOWN_PRESENT, value);
        }
        int rc = 0;
        memset(value, next(input), sizeof value);
        if (kind == 1 || kind == 2) {
            rc = trie_partial_put(partial, key, value);
        } else if (kind == 3) {
            rc = trie_partial_remove(partial, key);
        } else {
            continue;
        }
        if (rc == -ENOMEM) {
            return;
        }
        if ((rc == 0) != (known != TRIE_UNKNOWN)) {
            abort();
        }
        if (rc == 0 && (trie_partial_get(partial, key, got) !=
                            (kind == 3 ? TRIE_KNOWN_ABSENT : TRIE_KNOWN_PRESENT) ||
                        (kind != 3 && memcmp(got, value, sizeof got) != 0))) {
            abort();
        }
        if (model && rc == 0 && kind == 3) {
            trie_model_remove(model, key);
        } else if (model && rc == 0) {
            trie_model_put(model, key, value);
        }
    }
    trie_partial_root(partial, root);
    if (model) {
        trie_model_root(model, want);
        if (memcmp(root, want, sizeof root) != 0) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct trie_model state;
    static struct trie_proof proofs[PROOFS_MAX];
    struct wm_cursor input = wm_cursor_of(wm_view_of(bytes, len));
    struct trie_partial partial;
    struct wm_arena arena;
    trie_hash root;
    uint8_t head = next(&input);
    struct trie_model *model = head & 0x40 ? NULL : &state;
    unsigned count = 1 + head % PROOFS_MAX;
    state.count = 0;
    make_state(&state);
    trie_model_root(&state, root);
    for (unsigned i = 0; i < count; i++) {
        if (model) {
            make_proof(model, &input, &proofs[i]);
        } else {
            memset(&proofs[i], 0, sizeof proofs[i]);
            key_of(next(&input), proofs[i].key_hash);
        }
    }
    if (!model) {
        make_tree(&input, proofs, 0, count, root);
    }

    wm_arena_init(&arena, head & 0x80 ? 4096 : 0);
    if (trie_partial_init(&partial, &arena, root) == 0) {
        for (unsigned i = 0; i < count; i++) {
            trie_hash key;
            struct wm_diag diag;
            key_of(next(&input), key);
            enum trie_finding finding = trie_check(&proofs[i], key, root);
            int rc = trie_partial_add(&partial, &proofs[i], &diag);
            if (model && finding != TRIE_WRONG) {
                check_known(model, key, finding == TRIE_PRESENT, proofs[i].value_hash);
                if (rc == WM_E_FORGED) {
                    abort();
                }
            }
        }
        execute(&partial, model, &input);
    }
    wm_arena_fini(&arena);
    return 0;
}
