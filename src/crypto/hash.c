/* SHA-256 by OpenSSL's low-level functions, which use the processor's SHA instructions.
 *
 * The low-level functions are marked deprecated in OpenSSL 3 in favour of EVP. We use them on
 * purpose and linked statically: EVP fetches its algorithms from providers, which costs a third of
 * a millisecond at the first use, and mapping libcrypto costs a further half; a whole `wardmote
 * run` has three. libsodium, the other library at hand, does not use the SHA instructions and
 * is 4.5 times slower on bulk data. The low-level context holds no pointer, so it may be copied and
 * dropped. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/hash.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"

_Static_assert(sizeof(struct wm_sha256) >= sizeof(SHA256_CTX), "room for the library's state");
_Static_assert(_Alignof(struct wm_sha256) >= _Alignof(SHA256_CTX), "alignment of the state");
_Static_assert(WM_SHA256_BYTES == SHA256_DIGEST_LENGTH, "size of a hash");

#define SHA256_BLOCK_BYTES 64
#define SHORT_BLOCKS 6

static SHA256_CTX *context(struct wm_sha256 *hash)
{
    return (SHA256_CTX *)(void *)hash->state;
}

void wm_sha256_init(struct wm_sha256 *hash)
{
    int ok = SHA256_Init(context(hash));
    WM_ASSERT(ok == 1);
}

void wm_sha256_add(struct wm_sha256 *hash, struct wm_view bytes)
{
    if (bytes.len) {
        int ok = SHA256_Update(context(hash), bytes.ptr, bytes.len);
        WM_ASSERT(ok == 1);
    }
}

void wm_sha256_end(struct wm_sha256 *hash, uint8_t out[WM_SHA256_BYTES])
{
    int ok = SHA256_Final(out, context(hash));
    WM_ASSERT(ok == 1);
    OPENSSL_cleanse(hash, sizeof *hash);
}

/* For what fits a few blocks, the usual way copies the text twice and cleans more than it hashes:
 * here it is padded in one place (FIPS 180-4 section 5.1.1), and whole blocks go to the library,
 * which then copies nothing. A record of a call is hashed five times, so it counts. */
static void hash_short(const uint8_t *prefix, size_t prefix_len, struct wm_view bytes,
                       uint8_t out[WM_SHA256_BYTES])
{
    uint8_t text[SHORT_BLOCKS * SHA256_BLOCK_BYTES] __attribute__((uninitialized));
    SHA256_CTX state;
    size_t len = prefix_len + bytes.len;
    size_t total = (len + 9 + SHA256_BLOCK_BYTES - 1) / SHA256_BLOCK_BYTES * SHA256_BLOCK_BYTES;
    uint64_t bits = __builtin_bswap64((uint64_t)len * 8);
    WM_ASSERT(total <= sizeof text);
    memset(text + total - SHA256_BLOCK_BYTES, 0, SHA256_BLOCK_BYTES); /* the padding's place */
    if (total > SHA256_BLOCK_BYTES) { /* which may begin in the block before */
        memset(text + total - 2 * SHA256_BLOCK_BYTES, 0, SHA256_BLOCK_BYTES);
    }
    if (prefix_len != 0) {
        memcpy(text, prefix, prefix_len);
    }
    if (bytes.len != 0) {
        memcpy(text + prefix_len, bytes.ptr, bytes.len);
    }
    text[len] = 0x80;
    memcpy(text + total - sizeof bits, &bits, sizeof bits);
    int ok = SHA256_Init(&state) & SHA256_Update(&state, text, total);
    WM_ASSERT(ok == 1);
    for (unsigned i = 0; i < 8; i++) {
        uint32_t word = __builtin_bswap32(state.h[i]);
        memcpy(out + 4 * i, &word, sizeof word);
    }
    OPENSSL_cleanse(text, total);
}

static bool is_short(size_t len)
{
    return len <= SHORT_BLOCKS * SHA256_BLOCK_BYTES - 9;
}

void wm_sha256_prefixed(uint8_t prefix, struct wm_view bytes, uint8_t out[WM_SHA256_BYTES])
{
    if (is_short(bytes.len) && is_short(1 + bytes.len)) {
        hash_short(&prefix, 1, bytes, out);
        return;
    }
    struct wm_sha256 hash;
    wm_sha256_init(&hash);
    wm_sha256_add(&hash, wm_view_of(&prefix, 1));
    wm_sha256_add(&hash, bytes);
    wm_sha256_end(&hash, out);
}

void wm_sha256_once(struct wm_view bytes, uint8_t out[WM_SHA256_BYTES])
{
    if (is_short(bytes.len)) {
        hash_short(NULL, 0, bytes, out);
        return;
    }
    struct wm_sha256 hash;
    wm_sha256_init(&hash);
    wm_sha256_add(&hash, bytes);
    wm_sha256_end(&hash, out);
}

/* RFC 2104 section 2, with a key shorter than a block: H(key ^ opad, H(key ^ ipad, text)). */
void wm_mac(const uint8_t key[WM_MAC_KEY_BYTES], struct wm_view bytes, uint8_t out[WM_MAC_BYTES])
{
    uint8_t block[SHA256_BLOCK_BYTES], inner[WM_SHA256_BYTES];
    struct wm_sha256 hash;
    memset(block, 0x36, sizeof block);
    for (size_t i = 0; i < WM_MAC_KEY_BYTES; i++) {
        block[i] ^= key[i];
    }
    wm_sha256_init(&hash);
    wm_sha256_add(&hash, wm_view_of(block, sizeof block));
    wm_sha256_add(&hash, bytes);
    wm_sha256_end(&hash, inner);

    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= 0x36 ^ 0x5c;
    }
    wm_sha256_init(&hash);
    wm_sha256_add(&hash, wm_view_of(block, sizeof block));
    wm_sha256_add(&hash, wm_view_of(inner, sizeof inner));
    wm_sha256_end(&hash, out);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(inner, sizeof inner);
}

bool wm_bytes_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}

void wm_random_bytes(uint8_t *out, size_t len)
{
    while (len) {
        ssize_t got = getrandom(out, len, 0);
        if (got < 0) {
            /* With a valid buffer the kernel's only other answer is "no such call", and Wardmote
             * needs a kernel that has it (3.17). */
            WM_ASSERT(errno == EINTR);
            continue;
        }
        out += got;
        len -= (size_t)got;
    }
}
