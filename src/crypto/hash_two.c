/* Two SHA-256 at a time.
 *
 * The processor's instruction for two rounds of SHA-256 needs the result of the one before, and
 * waits for it: on Zen 4 it takes four cycles, though one could begin every second cycle. A single
 * text cannot use that, two that do not depend on each other can: of the 66 bytes of a trie's node,
 * OpenSSL, which hashes one text at a time, makes one in 82 ns, this makes two in 88. A ledger
 * hashes some 25 nodes for each transaction, so that it is the difference between one and two
 * microseconds.
 *
 * What does not have the instructions, or is longer than two blocks, goes to OpenSSL. */
#include "crypto/hash.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#include <string.h>

#define BLOCK_BYTES 64u
#define BLOCKS_MAX 2u
#define PADDING_BYTES 9u /* at least: a byte 0x80, and the length in bits */

/* FIPS 180-4 section 4.2.2. */
static const WM_ALIGNED(16) uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE inline __attribute__((always_inline))

static bool has_instructions(void)
{
    enum { UNKNOWN, NO, YES };
    static atomic_int known = UNKNOWN;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == UNKNOWN) {
        unsigned a, b, c, d;
        bool sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
        bool sse = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSSE3) && (c & bit_SSE4_1);
        answer = sha && sse ? YES : NO;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == YES;
}

/* The state as the instructions want it: words a, b, e, f and c, d, g, h, the first highest. The
 * schedule's last 16 words are in w, four in each. */
struct lane {
    __m128i abef, cdgh;
    __m128i w[4];
};

SHA_TARGET static INLINE void rounds4(struct lane *lane, __m128i words, __m128i constants)
{
    __m128i sum = _mm_add_epi32(words, constants);
    lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, sum);
    lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

/* Four more words of the schedule (section 6.2.2 step 1) in the place of the oldest four. */
SHA_TARGET static INLINE __m128i schedule(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    return _mm_sha256msg2_epu32(sum, w3);
}

SHA_TARGET static INLINE void load(struct lane *lane, const uint8_t *block)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    lane->w[0] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block), big_endian);
    lane->w[1] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16)), big_endian);
    lane->w[2] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 32)), big_endian);
    lane->w[3] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 48)), big_endian);
}

SHA_TARGET static INLINE void store(const struct lane *lane, uint8_t out[WM_SHA256_BYTES])
{
    const __m128i reversed = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i abcd = _mm_unpackhi_epi64(lane->cdgh, lane->abef);
    __m128i efgh = _mm_unpacklo_epi64(lane->cdgh, lane->abef);
    _mm_storeu_si128((__m128i *)out, _mm_shuffle_epi8(abcd, reversed));
    _mm_storeu_si128((__m128i *)(out + 16), _mm_shuffle_epi8(efgh, reversed));
}

/* Step i of four rounds for both; i is a constant where it is used, so that all stays in registers.
 */
#define BOTH(at, i)                                                            \
    do {                                                                       \
        __m128i constants = _mm_load_si128((const __m128i *)((at) + 4 * (i))); \
        rounds4(&a, a.w[(i)], constants), rounds4(&b, b.w[(i)], constants);    \
    } while (0)
#define BOTH_SCHEDULED(at, i)                                                                  \
    do {                                                                                       \
        a.w[i] = schedule(a.w[i], a.w[((i) + 1) % 4], a.w[((i) + 2) % 4], a.w[((i) + 3) % 4]); \
        b.w[i] = schedule(b.w[i], b.w[((i) + 1) % 4], b.w[((i) + 2) % 4], b.w[((i) + 3) % 4]); \
        BOTH(at, i);                                                                           \
    } while (0)

SHA_TARGET static void blocks_two(const uint8_t *text_a, const uint8_t *text_b, size_t count,
                                  uint8_t out_a[WM_SHA256_BYTES], uint8_t out_b[WM_SHA256_BYTES])
{
    /* Section 5.3.3. */
    struct lane a = {.abef = _mm_set_epi32(0x6a09e667, 0xbb67ae85, 0x510e527f, 0x9b05688c),
                     .cdgh = _mm_set_epi32(0x3c6ef372, 0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
    struct lane b = a;
    for (size_t block = 0; block < count; block++) {
        struct lane a_before = a, b_before = b;
        load(&a, text_a + BLOCK_BYTES * block);
        load(&b, text_b + BLOCK_BYTES * block);
        const uint32_t *at = round_constants;
        BOTH(at, 0);
        BOTH(at, 1);
        BOTH(at, 2);
        BOTH(at, 3);
        for (at += 16; at < round_constants + WM_COUNT_OF(round_constants); at += 16) {
            BOTH_SCHEDULED(at, 0);
            BOTH_SCHEDULED(at, 1);
            BOTH_SCHEDULED(at, 2);
            BOTH_SCHEDULED(at, 3);
        }
        a.abef = _mm_add_epi32(a.abef, a_before.abef);
        a.cdgh = _mm_add_epi32(a.cdgh, a_before.cdgh);
        b.abef = _mm_add_epi32(b.abef, b_before.abef);
        b.cdgh = _mm_add_epi32(b.cdgh, b_before.cdgh);
    }
    store(&a, out_a);
    store(&b, out_b);
}

static size_t blocks_of(size_t len)
{
    return (len + PADDING_BYTES + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

/* Section 5.1.1. */
static void pad(struct wm_view text, size_t blocks, uint8_t out[BLOCKS_MAX * BLOCK_BYTES])
{
    size_t total = blocks * BLOCK_BYTES;
    uint64_t bits = __builtin_bswap64((uint64_t)text.len * 8);
    if (text.len != 0) {
        memcpy(out, text.ptr, text.len);
    }
    out[text.len] = 0x80;
    memset(out + text.len + 1, 0, total - text.len - PADDING_BYTES);
    memcpy(out + total - sizeof bits, &bits, sizeof bits);
}

void wm_sha256_two(struct wm_view a, struct wm_view b, uint8_t out_a[WM_SHA256_BYTES],
                   uint8_t out_b[WM_SHA256_BYTES])
{
    uint8_t text_a[BLOCKS_MAX * BLOCK_BYTES] __attribute__((uninitialized));
    uint8_t text_b[BLOCKS_MAX * BLOCK_BYTES] __attribute__((uninitialized));
    size_t blocks = blocks_of(a.len);
    if (blocks > BLOCKS_MAX || blocks != blocks_of(b.len) || !has_instructions()) {
        wm_sha256_once(a, out_a);
        wm_sha256_once(b, out_b);
        return;
    }
    pad(a, blocks, text_a);
    pad(b, blocks, text_b);
    blocks_two(text_a, text_b, blocks, out_a, out_b);
}
