/* field8_test.c: the eightfold arithmetic against 128-bit numbers, one at a time, with random limbs
 * and with the greatest that each type allows; the bounds that its comments claim. */
#include "crypto/field8.h"

#include <string.h>

#include "base/test.h"

#define MASK FIELD8_LIMB_MASK
#define TIGHT ((UINT64_C(1) << 51) + (UINT64_C(1) << 17)) /* limbs are below */
#define W (UINT64_C(1) << 59)
#define ROUNDS 3000

typedef unsigned __int128 u128;

static uint64_t state = 25519;

static uint64_t random_word(void) /* splitmix64 */
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* --- One number: five limbs of any size below 2^120, made canonical by school's arithmetic --- */

struct number {
    uint64_t limb[5];
};

static struct number reduced(const u128 from[5])
{
    u128 t[5];
    memcpy(t, from, sizeof t);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 5; i++) {
            u128 carry = t[i] >> 51;
            t[i] &= MASK;
            t[(i + 1) % 5] += i == 4 ? carry * 19 : carry;
        }
    }
    struct number r;
    bool top = t[0] >= MASK - 18; /* of p's limbs, the least is 2^51 - 19, the others are full */
    for (int i = 1; i < 5; i++) {
        top = top && t[i] == MASK;
    }
    for (int i = 0; i < 5; i++) {
        r.limb[i] = (uint64_t)t[i];
        if (top) {
            r.limb[i] = i == 0 ? (uint64_t)t[0] - (MASK - 18) : 0;
        }
    }
    return r;
}

static struct number of_limbs(struct number a)
{
    u128 t[5];
    for (int i = 0; i < 5; i++) {
        t[i] = a.limb[i];
    }
    return reduced(t);
}

static struct number times(struct number a, struct number b)
{
    u128 t[5] = {0};
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 5; j++) { /* below 19 * 5 * 2^104 */
            u128 product = (u128)a.limb[i] * b.limb[j];
            t[(i + j) % 5] += i + j >= 5 ? product * 19 : product;
        }
    }
    return reduced(t);
}

static struct number plus(struct number a, struct number b, bool minus)
{
    u128 t[5];
    b = of_limbs(b);
    for (int i = 0; i < 5; i++) {
        uint64_t p = MASK - (i == 0 ? 18 : 0);
        t[i] = (u128)a.limb[i] + (minus ? 2 * p - b.limb[i] : b.limb[i]);
    }
    return reduced(t);
}

static bool same(struct number a, struct number b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* --- Eight --- */

struct eight {
    struct number lane[8];
};

LANES8_TARGET static void load(const struct eight *from, __m512i limb[5])
{
    for (int i = 0; i < 5; i++) {
        uint64_t words[8];
        for (int lane = 0; lane < 8; lane++) {
            words[lane] = from->lane[lane].limb[i];
        }
        limb[i] = _mm512_loadu_si512(words);
    }
}

LANES8_TARGET static void store(const __m512i limb[5], struct eight *to)
{
    for (int i = 0; i < 5; i++) {
        uint64_t words[8];
        _mm512_storeu_si512(words, limb[i]);
        for (int lane = 0; lane < 8; lane++) {
            to->lane[lane].limb[i] = words[lane];
        }
    }
}

static bool below(const struct eight *a, uint64_t bound)
{
    for (int i = 0; i < 40; i++) {
        if (a->lane[i / 5].limb[i % 5] >= bound) {
            return false;
        }
    }
    return true;
}

/* Every limb below `bound`; a part of them at the ends of the range or near 2^51. */
static struct eight some(uint64_t bound)
{
    struct eight r;
    for (int i = 0; i < 40; i++) {
        uint64_t word = random_word(), limb = random_word() % bound;
        const uint64_t edges[] = {0, 1, 18, 19, MASK - 19, MASK - 18, MASK, MASK + 1, bound - 1};
        if (word & 1) {
            limb = edges[(word >> 8) % WM_COUNT_OF(edges)];
        }
        r.lane[i / 5].limb[i % 5] = limb < bound ? limb : bound - 1;
    }
    return r;
}

static struct eight full(uint64_t limb)
{
    struct eight r;
    for (int i = 0; i < 40; i++) {
        r.lane[i / 5].limb[i % 5] = limb;
    }
    return r;
}

/* As many as there are, the first of them the greatest, then zero. */
static struct eight input(int round, uint64_t bound)
{
    return round == 0 ? full(bound - 1) : round == 1 ? full(0) : some(bound);
}

LANES8_TARGET static void check_products(int round)
{
    struct eight a = input(round, TIGHT), b = input(round % 3 ? round : 0, TIGHT), r, t;
    struct field8 x, y, z;
    struct field8_wide wide;
    load(&a, x.limb);
    load(&b, y.limb);
    wide = field8_mul_wide(x, y);
    store(wide.limb, &r);
    z = field8_carry(wide);
    store(z.limb, &t);
    CHECK(below(&r, 126 * (UINT64_C(1) << 52)) && below(&t, TIGHT));
    for (int i = 0; i < 8; i++) {
        struct number wanted = times(a.lane[i], b.lane[i]);
        CHECK(same(of_limbs(r.lane[i]), wanted) && same(of_limbs(t.lane[i]), wanted));
    }
    wide = field8_sqr_wide(x);
    store(wide.limb, &r);
    z = field8_carry(wide);
    store(z.limb, &t);
    CHECK(below(&r, 126 * (UINT64_C(1) << 52)) && below(&t, TIGHT));
    for (int i = 0; i < 8; i++) {
        struct number wanted = times(a.lane[i], a.lane[i]);
        CHECK(same(of_limbs(r.lane[i]), wanted) && same(of_limbs(t.lane[i]), wanted));
    }
}

LANES8_TARGET static void check_sums(int round)
{
    struct eight a = input(round, TIGHT), b = input(round % 3 ? round : 0, TIGHT), r;
    struct field8 x, y, z;
    const __mmask8 which = (__mmask8)random_word();
    load(&a, x.limb);
    load(&b, y.limb);
    for (int minus = 0; minus < 2; minus++) {
        z = minus ? field8_sub(x, y) : field8_add(x, y);
        store(z.limb, &r);
        CHECK(below(&r, TIGHT));
        for (int i = 0; i < 8; i++) {
            CHECK(same(of_limbs(r.lane[i]), plus(a.lane[i], b.lane[i], minus)));
        }
    }
    z = field8_negate_if(which, x);
    store(z.limb, &r);
    CHECK(below(&r, TIGHT));
    for (int i = 0; i < 8; i++) {
        struct number zero = {{0}}, minus = plus(zero, a.lane[i], true);
        CHECK(same(of_limbs(r.lane[i]), which >> i & 1 ? minus : of_limbs(a.lane[i])));
    }
    z = field8_select(which, x, y);
    store(z.limb, &r);
    for (int i = 0; i < 8; i++) {
        CHECK(same(r.lane[i], which >> i & 1 ? a.lane[i] : b.lane[i]));
    }
}

/* Differences of wide numbers: the greatest that is added to, the greatest that is taken away. */
LANES8_TARGET static void check_wide(int round)
{
    struct eight a = input(round, 3 * W), b = input(round % 2 ? round : 0, 252 * (W / 128) + 1), r;
    struct field8_wide x, y, z;
    struct field8 tight;
    load(&a, x.limb);
    load(&b, y.limb);
    z = field8_wide_sub(x, y);
    store(z.limb, &r);
    CHECK(below(&r, 5 * W));
    for (int i = 0; i < 8; i++) {
        CHECK(same(of_limbs(r.lane[i]), plus(a.lane[i], b.lane[i], true)));
    }
    a = input(round, UINT64_C(1) << 63);
    load(&a, x.limb);
    tight = field8_carry(x);
    store(tight.limb, &r);
    CHECK(below(&r, TIGHT));
    for (int i = 0; i < 8; i++) {
        CHECK(same(of_limbs(r.lane[i]), of_limbs(a.lane[i])));
    }
}

LANES8_TARGET static void check_canonical(int round)
{
    struct eight a = input(round, TIGHT), r;
    struct field8 x, y;
    if (round % 4 == 2) { /* p and its neighbours, and 2^255 and its: one limb off */
        a = full(MASK);
        for (int i = 0; i < 8; i++) {
            uint64_t *least = &a.lane[i].limb[0], *limb = &a.lane[i].limb[random_word() % 5];
            *least = MASK - 18 - 4 + (uint64_t)i;
            *limb = random_word() % 3 ? *limb : *limb + random_word() % 3 - 1;
        }
    }
    load(&a, x.limb);
    x = field8_canonical(x);
    store(x.limb, &r);
    uint64_t words[8][8] = {{0}};
    __m512i rows[8];
    for (int i = 0; i < 8; i++) {
        const uint64_t *limb = r.lane[i].limb;
        CHECK(same(r.lane[i], of_limbs(a.lane[i])));
        CHECK_INT(field8_odd(x) >> i & 1, ==, limb[0] & 1);
        words[i][0] = limb[0] | limb[1] << 51;
        words[i][1] = limb[1] >> 13 | limb[2] << 38;
        words[i][2] = limb[2] >> 26 | limb[3] << 25;
        words[i][3] = limb[3] >> 39 | limb[4] << 12 | random_word() << 63; /* which is left out */
        rows[i] = _mm512_loadu_si512(words[i]);
    }
    lanes8_transpose(rows);
    y = field8_of_words(rows);
    store(y.limb, &a);
    CHECK(memcmp(&a, &r, sizeof a) == 0);
    CHECK_INT(field8_same(x, y), ==, 0xff);
    int lane = (int)(random_word() % 8);
    a.lane[lane].limb[random_word() % 5] ^= UINT64_C(1) << random_word() % 51;
    load(&a, y.limb);
    CHECK_INT(field8_same(x, y), ==, 0xff ^ 1 << lane);
}

static struct number power(struct number a, const uint8_t exponent[32])
{
    struct number r = {{1}};
    for (int bit = 255; bit >= 0; bit--) {
        r = times(r, r);
        if (exponent[bit / 8] >> bit % 8 & 1) {
            r = times(r, a);
        }
    }
    return r;
}

LANES8_TARGET static void check_powers(int round)
{
    static const uint8_t invert[32] = {0xeb, [1 ... 30] = 0xff, [31] = 0x7f};
    static const uint8_t p58[32] = {0xfd, [1 ... 30] = 0xff, [31] = 0x0f};
    struct eight a = input(round, TIGHT), r;
    struct field8 x, y;
    load(&a, x.limb);
    y = field8_invert(x);
    store(y.limb, &r);
    for (int i = 0; i < 8; i++) {
        CHECK(same(of_limbs(r.lane[i]), power(a.lane[i], invert)));
    }
    y = field8_pow_p58(x);
    store(y.limb, &r);
    for (int i = 0; i < 8; i++) {
        CHECK(same(of_limbs(r.lane[i]), power(a.lane[i], p58)));
    }
}

static void rounds(int count, void (*check)(int round))
{
    for (int i = 0; i < count; i++) {
        check(i);
    }
}

#define NEEDS_LANES8()                                                     \
    if (!lanes8_supported()) {                                             \
        SKIP("this processor has no AVX-512 IFMA: the path is not taken"); \
    }

TEST(products_and_squares)
{
    NEEDS_LANES8();
    rounds(ROUNDS, check_products);
}

TEST(sums_and_opposites)
{
    NEEDS_LANES8();
    rounds(ROUNDS, check_sums);
}

TEST(wide_differences_and_carries)
{
    NEEDS_LANES8();
    rounds(ROUNDS, check_wide);
}

TEST(the_one_below_p)
{
    NEEDS_LANES8();
    rounds(ROUNDS, check_canonical);
}

TEST(powers)
{
    NEEDS_LANES8();
    rounds(40, check_powers);
}

TEST_MAIN(TEST_CASE(products_and_squares), TEST_CASE(sums_and_opposites),
          TEST_CASE(wide_differences_and_carries), TEST_CASE(the_one_below_p), TEST_CASE(powers))
