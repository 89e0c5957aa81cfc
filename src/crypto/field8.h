/* field8.h: arithmetic modulo p = 2^255 - 19, on eight numbers at once (lanes8.h).
 *
 * A number is five limbs of 51 bits, the least first, each limb in a register of its own. The
 * processor multiplies the low 52 bits of two limbs and adds the low or the high 52 bits of the
 * product to a third (IFMA). So a limb that is multiplied must be below 2^52, which leaves one bit
 * of room. Two types keep to it:
 *
 *   struct field8        every limb below 2^51 + 2^17 ("tight"): what may be multiplied. The sum of
 *                        two would not fit 52 bits
 *   struct field8_wide   what products are made as, and added and subtracted as, before one
 *                        field8_carry makes them tight; every limb below 2^63
 *
 * W stands for 2^59, which the limbs of one product are below (why: at field8_mul_wide). Callers
 * that add up wide numbers count in W.
 *
 * A value is a residue: several tight numbers mean the same; field8_canonical gives the one below
 * p. Straight-line code, but never examined for constant time: for public numbers only. */
#ifndef WM_CRYPTO_FIELD8_H
#define WM_CRYPTO_FIELD8_H

#include "crypto/lanes8.h"

#define FIELD8_LIMB_BITS 51
#define FIELD8_LIMB_MASK ((UINT64_C(1) << FIELD8_LIMB_BITS) - 1)

struct field8 {
    __m512i limb[5];
};

struct field8_wide {
    __m512i limb[5];
};

/* The same number in all lanes; its limbs below 2^51. */
LANES8 struct field8 field8_all(const uint64_t limbs[5])
{
    struct field8 a;
    for (int i = 0; i < 5; i++) {
        a.limb[i] = lanes8_all(limbs[i]);
    }
    return a;
}

LANES8 struct field8 field8_small(uint64_t number)
{
    const uint64_t limbs[5] = {number};
    return field8_all(limbs);
}

/* 255 bits of four words, without the highest. */
LANES8 struct field8 field8_of_words(const __m512i words[4])
{
    const __m512i mask = lanes8_all(FIELD8_LIMB_MASK);
    struct field8 a;
    a.limb[0] = words[0];
    a.limb[1] = _mm512_or_si512(_mm512_srli_epi64(words[0], 51), _mm512_slli_epi64(words[1], 13));
    a.limb[2] = _mm512_or_si512(_mm512_srli_epi64(words[1], 38), _mm512_slli_epi64(words[2], 26));
    a.limb[3] = _mm512_or_si512(_mm512_srli_epi64(words[2], 25), _mm512_slli_epi64(words[3], 39));
    a.limb[4] = _mm512_srli_epi64(words[3], 12);
    for (int i = 0; i < 5; i++) {
        a.limb[i] = _mm512_and_si512(a.limb[i], mask);
    }
    return a;
}

/* --- Wide numbers --- */

LANES8 struct field8_wide field8_widen(struct field8 a)
{
    struct field8_wide r;
    for (int i = 0; i < 5; i++) {
        r.limb[i] = a.limb[i];
    }
    return r;
}

LANES8 struct field8_wide field8_wide_add(struct field8_wide a, struct field8_wide b)
{
    for (int i = 0; i < 5; i++) {
        a.limb[i] = _mm512_add_epi64(a.limb[i], b.limb[i]);
    }
    return a;
}

/* 512 p, as limbs. The least of them is 512 * (2^51 - 19) = 2W - 9728. */
LANES8 __m512i field8_bias(int limb)
{
    return lanes8_all(512 * (FIELD8_LIMB_MASK - (limb == 0 ? 18 : 0)));
}

/* a - b + 512 p, whose limbs are below a's and 2W. For b a product, or the sum of two: their limbs
 * are below 2W - 2^14 (field8_mul_wide), so that none of the differences is negative. */
LANES8 struct field8_wide field8_wide_sub(struct field8_wide a, struct field8_wide b)
{
    for (int i = 0; i < 5; i++) {
        a.limb[i] = _mm512_sub_epi64(_mm512_add_epi64(a.limb[i], field8_bias(i)), b.limb[i]);
    }
    return a;
}

/* One step for all limbs at once. From limbs below 2^63 come carries below 2^12; so the least limb
 * ends below 2^51 + 19 * 2^12, the others below 2^51 + 2^12: tight. */
LANES8 struct field8 field8_carry(struct field8_wide a)
{
    const __m512i mask = lanes8_all(FIELD8_LIMB_MASK);
    struct field8 r;
    __m512i carry[5];
    for (int i = 0; i < 5; i++) {
        carry[i] = _mm512_srli_epi64(a.limb[i], FIELD8_LIMB_BITS);
        r.limb[i] = _mm512_and_si512(a.limb[i], mask);
    }
    r.limb[0] = _mm512_madd52lo_epu64(r.limb[0], carry[4], lanes8_all(19));
    for (int i = 1; i < 5; i++) {
        r.limb[i] = _mm512_add_epi64(r.limb[i], carry[i - 1]);
    }
    return r;
}

/* --- Products ---
 *
 * Limb i of a times limb j of b counts 2^(51 (i + j)). The low 52 bits of it go to column i + j;
 * the high ones count 2^(51 (i + j) + 52), so twice in column i + j + 1. Columns 5 to 9 count 2^255
 * = 19 (modulo p) times as much as those five below.
 *
 * Bounds, in units of 2^52, for tight factors: a low part is below 1. A high part is below (2^51 +
 * 2^17)^2 / 2^52 < 2^50 + 2^18, twice that below 0.51. Column k of 0 to 4 gets k + 1 low and k high
 * parts, and 19 times column k + 5, of 4 - k low and 5 - k high parts:
 *
 *     k + 1 + 0.51 k + 19 (4 - k + 0.51 (5 - k))  =  125.45 - 27.18 k
 *
 * at most 125.45, in column 0. So limbs are below 126 * 2^52 < W = 2^59, and those of the sum of
 * two products below 252 * 2^52 < 2W - 2^14. Columns 5 to 9 by themselves stay below 7 * 2^52. */

LANES8 __m512i field8_twice(__m512i a)
{
    return _mm512_add_epi64(a, a);
}

/* A factor for vpmullq. Were the compiler to know it, gcc 12 would multiply by two shifts and two
 * additions; that made a signature 7 % slower. */
LANES8 __m512i field8_nineteen(void)
{
    __m512i nineteen = lanes8_all(19);
    __asm__("" : "+v"(nineteen));
    return nineteen;
}

#define FIELD8_LOW(sum, i, j) sum = _mm512_madd52lo_epu64(sum, a.limb[i], b.limb[j])
#define FIELD8_HIGH(sum, i, j) sum = _mm512_madd52hi_epu64(sum, a.limb[i], b.limb[j])

LANES8 struct field8_wide field8_mul_wide(struct field8 a, struct field8 b)
{
    const __m512i nineteen = field8_nineteen();
    struct field8_wide r;
    __m512i low[9], high[9]; /* high parts of i + j, before they are counted to a column */
    for (int i = 0; i < 9; i++) {
        high[i] = _mm512_setzero_si512();
    }
    /* Columns 5 to 9 first, then the others on top of 19 times those. */
    for (int i = 0; i < 5; i++) {
        for (int j = 4 - i; j < 5; j++) {
            FIELD8_HIGH(high[i + j], i, j);
        }
    }
    for (int i = 5; i < 9; i++) {
        low[i] = field8_twice(high[i - 1]);
    }
    for (int i = 1; i < 5; i++) {
        for (int j = 5 - i; j < 5; j++) {
            FIELD8_LOW(low[i + j], i, j);
        }
    }
    for (int i = 0; i < 4; i++) {
        r.limb[i] = _mm512_mullo_epi64(low[i + 5], nineteen);
    }
    r.limb[4] = _mm512_mullo_epi64(field8_twice(high[8]), nineteen);
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 5 - i; j++) {
            FIELD8_LOW(r.limb[i + j], i, j);
        }
        for (int j = 0; j < 4 - i; j++) {
            FIELD8_HIGH(high[i + j], i, j);
        }
    }
    for (int i = 1; i < 5; i++) {
        r.limb[i] = _mm512_add_epi64(r.limb[i], field8_twice(high[i - 1]));
    }
    return r;
}

/* The same number in each column as field8_mul_wide(a, a), so the same bounds, by 30 products of
 * limbs in place of 50: those of unlike limbs are made once and doubled. Each c is a column. */
LANES8 struct field8_wide field8_sqr_wide(struct field8 a)
{
    const struct field8 b = a;
    const __m512i nineteen = field8_nineteen(), zero = _mm512_setzero_si512();
    __m512i c1 = zero, c2 = zero, c3 = zero, c4 = zero;
    __m512i c5 = zero, c6 = zero, c7 = zero, c8 = zero, c9 = zero;
    struct field8_wide r;

    FIELD8_HIGH(c5, 0, 4), FIELD8_HIGH(c6, 1, 4), FIELD8_HIGH(c7, 2, 4), FIELD8_HIGH(c8, 3, 4);
    FIELD8_HIGH(c5, 1, 3), FIELD8_HIGH(c6, 2, 3);
    c5 = field8_twice(c5), c6 = field8_twice(c6), c7 = field8_twice(c7), c8 = field8_twice(c8);
    FIELD8_HIGH(c5, 2, 2), FIELD8_LOW(c6, 2, 4), FIELD8_HIGH(c7, 3, 3), FIELD8_HIGH(c9, 4, 4);
    FIELD8_LOW(c5, 1, 4), FIELD8_LOW(c7, 3, 4);
    FIELD8_LOW(c5, 2, 3);
    c5 = field8_twice(c5), c6 = field8_twice(c6), c7 = field8_twice(c7), c8 = field8_twice(c8);
    FIELD8_LOW(c6, 3, 3), FIELD8_LOW(c8, 4, 4);
    c9 = field8_twice(c9);

    r.limb[0] = _mm512_mullo_epi64(c5, nineteen);
    r.limb[1] = _mm512_mullo_epi64(c6, nineteen);
    r.limb[2] = _mm512_mullo_epi64(c7, nineteen);
    r.limb[3] = _mm512_mullo_epi64(c8, nineteen);
    r.limb[4] = _mm512_mullo_epi64(c9, nineteen);

    FIELD8_HIGH(c1, 0, 0), FIELD8_HIGH(c2, 0, 1), FIELD8_HIGH(c3, 0, 2), FIELD8_HIGH(c4, 0, 3);
    FIELD8_HIGH(c4, 1, 2);
    c2 = field8_twice(c2), c3 = field8_twice(c3), c4 = field8_twice(c4);
    FIELD8_LOW(c1, 0, 1), FIELD8_LOW(c2, 0, 2), FIELD8_HIGH(c3, 1, 1), FIELD8_LOW(c4, 0, 4);
    FIELD8_LOW(c3, 0, 3), FIELD8_LOW(c4, 1, 3);
    FIELD8_LOW(c3, 1, 2);
    c1 = field8_twice(c1), c2 = field8_twice(c2), c3 = field8_twice(c3), c4 = field8_twice(c4);
    FIELD8_LOW(r.limb[0], 0, 0), FIELD8_LOW(r.limb[2], 1, 1), FIELD8_LOW(r.limb[4], 2, 2);
    r.limb[1] = _mm512_add_epi64(r.limb[1], c1);
    r.limb[2] = _mm512_add_epi64(r.limb[2], c2);
    r.limb[3] = _mm512_add_epi64(r.limb[3], c3);
    r.limb[4] = _mm512_add_epi64(r.limb[4], c4);
    return r;
}

#undef FIELD8_LOW
#undef FIELD8_HIGH

/* --- Tight in, tight out --- */

LANES8 struct field8 field8_mul(struct field8 a, struct field8 b)
{
    return field8_carry(field8_mul_wide(a, b));
}

LANES8 struct field8 field8_sqr(struct field8 a)
{
    return field8_carry(field8_sqr_wide(a));
}

LANES8 struct field8 field8_add(struct field8 a, struct field8 b)
{
    return field8_carry(field8_wide_add(field8_widen(a), field8_widen(b)));
}

LANES8 struct field8 field8_sub(struct field8 a, struct field8 b)
{
    return field8_carry(field8_wide_sub(field8_widen(a), field8_widen(b)));
}

/* -a in the lanes of `which`, a in the others. */
LANES8 struct field8 field8_negate_if(__mmask8 which, struct field8 a)
{
    struct field8_wide r;
    for (int i = 0; i < 5; i++) {
        r.limb[i] = _mm512_mask_sub_epi64(a.limb[i], which, field8_bias(i), a.limb[i]);
    }
    return field8_carry(r);
}

/* `yes` in the lanes of `which`, `no` in the others. */
LANES8 struct field8 field8_select(__mmask8 which, struct field8 yes, struct field8 no)
{
    for (int i = 0; i < 5; i++) {
        no.limb[i] = _mm512_mask_mov_epi64(no.limb[i], which, yes.limb[i]);
    }
    return no;
}

LANES8 struct field8 field8_sqr_times(struct field8 a, int times)
{
    for (int i = 0; i < times; i++) {
        a = field8_sqr(a);
    }
    return a;
}

/* a^(2^250 - 1), on the way to both powers that a curve needs; *a11 is set to a^11. */
LANES8 struct field8 field8_pow_250(struct field8 a, struct field8 *a11)
{
    struct field8 a2 = field8_sqr(a);
    struct field8 a9 = field8_mul(field8_sqr_times(a2, 2), a);
    *a11 = field8_mul(a9, a2);
    struct field8 n5 = field8_mul(field8_sqr(*a11), a9); /* 2^5 - 1 = 22 + 9 */
    struct field8 n10 = field8_mul(field8_sqr_times(n5, 5), n5);
    struct field8 n20 = field8_mul(field8_sqr_times(n10, 10), n10);
    struct field8 n40 = field8_mul(field8_sqr_times(n20, 20), n20);
    struct field8 n50 = field8_mul(field8_sqr_times(n40, 10), n10);
    struct field8 n100 = field8_mul(field8_sqr_times(n50, 50), n50);
    struct field8 n200 = field8_mul(field8_sqr_times(n100, 100), n100);
    return field8_mul(field8_sqr_times(n200, 50), n50);
}

/* 1 / a; of 0: 0. (2^250 - 1) * 2^5 + 11 = p - 2. */
LANES8 struct field8 field8_invert(struct field8 a)
{
    struct field8 a11, high = field8_pow_250(a, &a11);
    return field8_mul(field8_sqr_times(high, 5), a11);
}

/* a^((p - 5) / 8): (2^250 - 1) * 2^2 + 1. */
LANES8 struct field8 field8_pow_p58(struct field8 a)
{
    struct field8 a11, high = field8_pow_250(a, &a11);
    return field8_mul(field8_sqr_times(high, 2), a);
}

/* --- The one representation below p --- */

/* Limbs below 2^51, together below p. */
LANES8 struct field8 field8_canonical(struct field8 a)
{
    const __m512i mask = lanes8_all(FIELD8_LIMB_MASK);
    /* Tight numbers are below 2^255 + 2^222 < 2p: p is to be subtracted once or not. It is when a +
     * 19 reaches 2^255; that a - p is a + 19 without this bit. */
    __m512i carry = lanes8_all(19);
    for (int i = 0; i < 5; i++) {
        carry = _mm512_srli_epi64(_mm512_add_epi64(a.limb[i], carry), FIELD8_LIMB_BITS);
    }
    carry = _mm512_madd52lo_epu64(_mm512_setzero_si512(), carry, lanes8_all(19));
    for (int i = 0; i < 5; i++) {
        a.limb[i] = _mm512_add_epi64(a.limb[i], carry);
        carry = _mm512_srli_epi64(a.limb[i], FIELD8_LIMB_BITS);
        a.limb[i] = _mm512_and_si512(a.limb[i], mask);
    }
    return a;
}

/* In which lanes two canonical numbers are the same. */
LANES8 __mmask8 field8_same(struct field8 a, struct field8 b)
{
    __mmask8 same = 0xff;
    for (int i = 0; i < 5; i++) {
        same = _mm512_mask_cmpeq_epi64_mask(same, a.limb[i], b.limb[i]);
    }
    return same;
}

/* In which lanes a canonical number is odd ("negative" in RFC 8032's encoding). */
LANES8 __mmask8 field8_odd(struct field8 a)
{
    return _mm512_test_epi64_mask(a.limb[0], lanes8_all(1));
}

#endif
