/* sha512x8_test.c: against libsodium's SHA-512: every length up to five blocks in every lane,
 * beside others of any length. */
#include "crypto/sha512x8.h"

#include <sodium/crypto_hash_sha512.h>
#include <string.h>

#include "base/test.h"
#include "crypto/lanes8.h"

#define BYTES_MAX 5000u

static uint8_t text[8][BYTES_MAX];

static bool agrees(const size_t lens[8])
{
    struct sha512x8_message messages[8];
    uint8_t out[8][SHA512_BYTES], wanted[SHA512_BYTES];
    bool all = true;
    for (size_t i = 0; i < 8; i++) {
        memset(messages[i].head, (int)(lens[i] + i), sizeof messages[i].head);
        messages[i].bytes = lens[i] ? wm_view_of(text[i], lens[i]) : wm_view_of(NULL, 0);
    }
    sha512x8(messages, out);
    for (size_t i = 0; i < 8; i++) {
        crypto_hash_sha512_state state;
        crypto_hash_sha512_init(&state);
        crypto_hash_sha512_update(&state, messages[i].head, sizeof messages[i].head);
        crypto_hash_sha512_update(&state, text[i], lens[i]);
        crypto_hash_sha512_final(&state, wanted);
        all = all && memcmp(out[i], wanted, sizeof wanted) == 0;
    }
    return all;
}

TEST(says_what_libsodium_says)
{
    if (!lanes8_supported()) {
        SKIP("this processor has no AVX-512 IFMA: the path is not taken");
    }
    for (size_t i = 0; i < 8 * BYTES_MAX; i++) {
        text[i / BYTES_MAX][i % BYTES_MAX] = (uint8_t)(i * 31 + (i >> 8));
    }
    size_t lens[8];
    for (size_t len = 0; len <= 600; len++) {
        for (size_t i = 0; i < 8; i++) {
            lens[i] = len; /* all end together */
        }
        CHECK(agrees(lens));
        for (size_t i = 0; i < 8; i++) {
            lens[i] = (len * (2 * i + 1) + 37 * i) % (i == 7 ? BYTES_MAX : 400);
        }
        lens[len % 8] = len;
        CHECK(agrees(lens));
    }
}

TEST_MAIN(TEST_CASE(says_what_libsodium_says))
