/* lanes8.h: eight 64-bit numbers side by side in an AVX-512 register, one for each of eight
 * independent computations.
 *
 * The code that uses these instructions is confined to functions marked LANES8: everything else, in
 * the same file too, is compiled for any x86-64. Only call them where lanes8_supported() says so.
 * No LANES8 function calls one of another file: registers of 512 bits are passed between inlined
 * functions alone. */
#ifndef WM_CRYPTO_LANES8_H
#define WM_CRYPTO_LANES8_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define LANES8_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512ifma")))
/* Inlined always, for speed; but not into what a sanitizer checks, which would take minutes to
 * compile. */
#if defined(__SANITIZE_ADDRESS__)
#define LANES8_INLINE inline
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LANES8_INLINE inline
#endif
#endif
#ifndef LANES8_INLINE
#define LANES8_INLINE inline __attribute__((always_inline))
#endif
#define LANES8 LANES8_TARGET static LANES8_INLINE

/* Whether the processor has the instructions and the kernel saves their registers: this asks for
 * both. */
static inline bool lanes8_supported(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512ifma");
}

/* The same number in all lanes. */
LANES8 __m512i lanes8_all(uint64_t number)
{
    return _mm512_set1_epi64((long long)number);
}

/* A matrix of 8 by 8: what was word w of row r becomes word r of row w. So eight lanes' data, each
 * 64 bytes in one place, become eight registers that have a word of every lane; and back. */
LANES8 void lanes8_transpose(__m512i rows[8])
{
    __m512i pairs[8], quads[8];
    for (int i = 0; i < 8; i += 2) { /* words of neighbours: 2 by 2 */
        pairs[i] = _mm512_unpacklo_epi64(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi64(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) { /* quarters: 0 and 2, 1 and 3 of each register */
        for (int j = 0; j < 2; j++) {
            quads[i + j] = _mm512_shuffle_i64x2(pairs[i + j], pairs[i + j + 2], 0x88);
            quads[i + j + 2] = _mm512_shuffle_i64x2(pairs[i + j], pairs[i + j + 2], 0xdd);
        }
    }
    for (int i = 0; i < 4; i++) {
        rows[i] = _mm512_shuffle_i64x2(quads[i], quads[i + 4], 0x88);
        rows[i + 4] = _mm512_shuffle_i64x2(quads[i], quads[i + 4], 0xdd);
    }
}

#endif
