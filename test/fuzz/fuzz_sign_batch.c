/* fuzz_sign_batch.c: up to twenty signatures, checked by each path of sign_batch and one by one:
 * all must say the same. Those of an input follow each other:
 *
 *     u8 how  u8 bytes of the message  message  and then, by how % 4,
 *         0   nothing: the signature is genuine
 *         1   96 bytes: signature and public key as they are
 *         2   96 bytes, laid over a genuine signature and its key by XOR
 *         3   u16 position, u8: laid over a byte of signature, key and message, as one
 *
 * Where the input ends, zeros follow. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/sign_batch.h"

#define ITEMS_MAX 20u
#define BOTH_BYTES (SIGN_SIGNATURE_BYTES + SIGN_PUBLIC_BYTES)

struct signed_bytes { /* as positions count */
    uint8_t signature[SIGN_SIGNATURE_BYTES], public_key[SIGN_PUBLIC_BYTES], message[255];
};

static void take(struct wm_view *input, uint8_t *out, size_t len)
{
    size_t have = input->len < len ? input->len : len;
    memset(out, 0, len);
    if (have) {
        memcpy(out, input->ptr, have);
    }
    *input = wm_view_of(input->ptr + have, input->len - have);
}

static size_t make(struct wm_view *input, const struct sign_key *key, struct signed_bytes *out)
{
    uint8_t *all = (uint8_t *)out, head[2], lay[BOTH_BYTES];
    take(input, head, sizeof head);
    take(input, out->message, head[1]);
    sign_bytes(key, wm_view_of(out->message, head[1]), out->signature);
    memcpy(out->public_key, key->public_key, SIGN_PUBLIC_BYTES);
    switch (head[0] % 4) {
    case 1: take(input, all, BOTH_BYTES); break;
    case 2:
        take(input, lay, BOTH_BYTES);
        for (size_t i = 0; i < BOTH_BYTES; i++) {
            all[i] ^= lay[i];
        }
        break;
    case 3:
        take(input, lay, 3);
        all[(lay[0] | (size_t)lay[1] << 8) % (BOTH_BYTES + head[1])] ^= lay[2];
        break;
    default: break;
    }
    return head[1];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const uint8_t seed[SIGN_SEED_BYTES] = {1};
    static const enum sign_path paths[] = {SIGN_PATH_BEST, SIGN_PATH_IFMA};
    static struct sign_key key;
    static bool ready;
    struct signed_bytes all[ITEMS_MAX];
    struct sign_item items[ITEMS_MAX];
    struct wm_view input = wm_view_of(bytes, len);
    size_t count = 0;
    if (!ready) {
        sign_key_init(&key, seed);
        ready = true;
    }
    while (input.len && count < ITEMS_MAX) {
        struct signed_bytes *made = &all[count];
        size_t message_len = make(&input, &key, made);
        items[count++] = (struct sign_item){
            made->public_key, wm_view_of(made->message, message_len), made->signature, false};
    }
    for (size_t path = 0; path < WM_COUNT_OF(paths); path++) {
        bool done = sign_verify_batch_by(paths[path], items, count);
        for (size_t i = 0; done && i < count; i++) {
            WM_ASSERT(items[i].valid ==
                      sign_verify(items[i].public_key, items[i].bytes, items[i].signature));
        }
    }
    return 0;
}
