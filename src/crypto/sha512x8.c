/* SHA-512, eight messages at once. Names are those of FIPS 180-4 section 6.4. */
#include "crypto/sha512x8.h"

#include <string.h>

#include "crypto/lanes8.h"
#include "crypto/sign_tables.h"

#define BLOCK_BYTES 128u
#define PADDING_BYTES_MIN 17u /* a bit, and a length of 128 bits */

static uint64_t block_count(const struct sha512x8_message *message)
{
    return (SHA512X8_HEAD_BYTES + (uint64_t)message->bytes.len + PADDING_BYTES_MIN + BLOCK_BYTES -
            1) /
           BLOCK_BYTES;
}

/* Block `number` of the padded message: in the message, where it lies there in one piece, else put
 * together in `block`. */
static const uint8_t *block_at(const struct sha512x8_message *message, uint64_t number,
                               uint8_t block[BLOCK_BYTES])
{
    struct wm_view bytes = message->bytes;
    uint64_t first = number * BLOCK_BYTES, at = 0, length = SHA512X8_HEAD_BYTES + bytes.len;
    if (number != 0 && first + BLOCK_BYTES <= length) {
        return bytes.ptr + (first - SHA512X8_HEAD_BYTES);
    }
    if (number == 0) {
        memcpy(block, message->head, SHA512X8_HEAD_BYTES);
        at = SHA512X8_HEAD_BYTES;
    }
    if (first + at < length) {
        uint64_t rest = length - first - at;
        uint64_t count = rest < BLOCK_BYTES - at ? rest : BLOCK_BYTES - at;
        memcpy(block + at, bytes.ptr + (first + at - SHA512X8_HEAD_BYTES), count);
        at += count;
    }
    memset(block + at, 0, BLOCK_BYTES - at);
    if (length >= first && length - first < BLOCK_BYTES) {
        block[length - first] = 0x80;
    }
    if (number + 1 == block_count(message)) {
        uint64_t high = __builtin_bswap64(length >> 61), low = __builtin_bswap64(length << 3);
        memcpy(block + BLOCK_BYTES - 16, &high, sizeof high);
        memcpy(block + BLOCK_BYTES - 8, &low, sizeof low);
    }
    return block;
}

/* Sets words to the 16 words of each lane's block. */
LANES8 void load(const uint8_t *const blocks[8], __m512i words[16])
{
    const __m512i swap = _mm512_set4_epi32(0x08090a0b, 0x0c0d0e0f, 0x00010203, 0x04050607);
    for (int half = 0; half < 2; half++) {
        for (int lane = 0; lane < 8; lane++) {
            words[8 * half + lane] =
                _mm512_shuffle_epi8(_mm512_loadu_si512(blocks[lane] + 64 * half), swap);
        }
        lanes8_transpose(words + 8 * half);
    }
}

LANES8 __m512i xor3(__m512i a, __m512i b, __m512i c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

/* State of the lanes in `running`, after one more block each. */
LANES8 void compress(__m512i state[8], const uint8_t *const blocks[8], __mmask8 running)
{
    __m512i w[16], v[8];
    load(blocks, w);
    for (int i = 0; i < 8; i++) {
        v[i] = state[i];
    }
    for (int i = 0; i < 80; i += 16) {
        for (int j = 0; j < 16; j++) {
            /* The variables stay in place and their names move: a is v[-j mod 8]. */
            __m512i a = v[(16 - j) % 8], b = v[(17 - j) % 8], c = v[(18 - j) % 8];
            __m512i e = v[(20 - j) % 8], f = v[(21 - j) % 8], g = v[(22 - j) % 8];
            __m512i ch = _mm512_ternarylogic_epi64(e, f, g, 0xca);
            __m512i maj = _mm512_ternarylogic_epi64(a, b, c, 0xe8);
            __m512i sum0 =
                xor3(_mm512_ror_epi64(a, 28), _mm512_ror_epi64(a, 34), _mm512_ror_epi64(a, 39));
            __m512i sum1 =
                xor3(_mm512_ror_epi64(e, 14), _mm512_ror_epi64(e, 18), _mm512_ror_epi64(e, 41));
            __m512i *d = &v[(19 - j) % 8], *h = &v[(23 - j) % 8];
            __m512i kw = _mm512_add_epi64(lanes8_all(sha512_round[i + j]), w[j]);
            __m512i t1 = _mm512_add_epi64(_mm512_add_epi64(*h, kw), _mm512_add_epi64(sum1, ch));
            *d = _mm512_add_epi64(*d, t1);
            *h = _mm512_add_epi64(t1, _mm512_add_epi64(sum0, maj));
        }
        for (int j = 0; i < 64 && j < 16; j++) { /* the next sixteen words, in place */
            __m512i w1 = w[(j + 1) % 16], w14 = w[(j + 14) % 16];
            __m512i sigma0 =
                xor3(_mm512_ror_epi64(w1, 1), _mm512_ror_epi64(w1, 8), _mm512_srli_epi64(w1, 7));
            __m512i sigma1 = xor3(_mm512_ror_epi64(w14, 19), _mm512_ror_epi64(w14, 61),
                                  _mm512_srli_epi64(w14, 6));
            w[j] = _mm512_add_epi64(_mm512_add_epi64(w[j], sigma0),
                                    _mm512_add_epi64(w[(j + 9) % 16], sigma1));
        }
    }
    for (int i = 0; i < 8; i++) {
        state[i] = _mm512_mask_add_epi64(state[i], running, state[i], v[i]);
    }
}

LANES8_TARGET void sha512x8(const struct sha512x8_message messages[8], uint8_t out[8][SHA512_BYTES])
{
    uint8_t buffers[8][BLOCK_BYTES] __attribute__((uninitialized));
    const __m512i swap = _mm512_set4_epi32(0x08090a0b, 0x0c0d0e0f, 0x00010203, 0x04050607);
    __m512i state[8];
    uint64_t counts[8], most = 0;
    for (int i = 0; i < 8; i++) {
        state[i] = lanes8_all(sha512_initial[i]);
        counts[i] = block_count(&messages[i]);
        most = counts[i] > most ? counts[i] : most;
    }
    for (uint64_t number = 0; number < most; number++) {
        const uint8_t *blocks[8];
        unsigned running = 0;
        for (int i = 0; i < 8; i++) {
            bool runs = number < counts[i];
            /* The last block, which has padding, was put together: a buffer that has any. */
            blocks[i] = runs ? block_at(&messages[i], number, buffers[i]) : buffers[i];
            running |= (unsigned)runs << i;
        }
        compress(state, blocks, (__mmask8)running);
    }
    lanes8_transpose(state);
    for (int i = 0; i < 8; i++) {
        _mm512_storeu_si512(out[i], _mm512_shuffle_epi8(state[i], swap));
    }
}
