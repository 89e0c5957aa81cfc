/* sha512x8.h: SHA-512 (FIPS 180-4) of eight messages at once, one in each lane (lanes8.h).
 *
 * The messages may differ in length: a lane that is through waits for the longest, so it is their
 * maximum that costs. Pure; no memory but the stack. Any thread. Only where lanes8_supported(). */
#ifndef WM_CRYPTO_SHA512X8_H
#define WM_CRYPTO_SHA512X8_H

#include <stdint.h>

#include "base/view.h"

#define SHA512X8_HEAD_BYTES 64u
#define SHA512_BYTES 64u

/* Of `head` and then `bytes`. */
struct sha512x8_message {
    uint8_t head[SHA512X8_HEAD_BYTES];
    struct wm_view bytes;
};

void sha512x8(const struct sha512x8_message messages[8], uint8_t out[8][SHA512_BYTES]);

#endif
