/* hash.h: SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104), and unpredictable bytes.
 *
 * The only folder that includes a crypto library's header. Hashing cannot fail once the inputs are
 * in memory. Any thread. */
#ifndef WM_CRYPTO_HASH_H
#define WM_CRYPTO_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/view.h"

#define WM_SHA256_BYTES 32

struct wm_sha256 { /* the library's state, opaque here */
    uint64_t state[16];
};

void wm_sha256_init(struct wm_sha256 *hash);
void wm_sha256_add(struct wm_sha256 *hash, struct wm_view bytes);
void wm_sha256_end(struct wm_sha256 *hash, uint8_t out[WM_SHA256_BYTES]);
void wm_sha256_once(struct wm_view bytes, uint8_t out[WM_SHA256_BYTES]);
/* Of one byte and then the bytes: how trees tell leaves from nodes. */
void wm_sha256_prefixed(uint8_t prefix, struct wm_view bytes, uint8_t out[WM_SHA256_BYTES]);
/* Of each of two texts; in the time of one where both are short and equally many blocks
 * (hash_two.c). Leaves copies of them on the stack: not for secrets. */
void wm_sha256_two(struct wm_view a, struct wm_view b, uint8_t out_a[WM_SHA256_BYTES],
                   uint8_t out_b[WM_SHA256_BYTES]);

#define WM_MAC_BYTES 32
#define WM_MAC_KEY_BYTES 32
void wm_mac(const uint8_t key[WM_MAC_KEY_BYTES], struct wm_view bytes, uint8_t out[WM_MAC_BYTES]);
/* Constant time in the content. */
bool wm_bytes_equal(const uint8_t *a, const uint8_t *b, size_t len);
/* From the kernel; does not return without having filled `out`. */
void wm_random_bytes(uint8_t *out, size_t len);

#endif
