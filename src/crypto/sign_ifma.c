/* Eight signatures at once, each by itself: R is to be the encoding of S*B - k*A, with k = H(R, A,
 * M) mod L, as in libsodium's crypto_sign_ed25519_verify_detached of version 1.0.18. */
#include "crypto/sign_ifma.h"

#include <sodium/crypto_core_ed25519.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/point8.h"
#include "crypto/sha512x8.h"
#include "crypto/sign_tables.h"

#define A_DIGITS_MAX 8      /* of four bits, from -8 to 7 */
#define BASE_DIGITS_MAX 128 /* of eight bits, from -128 to 127 */
#define A_WORDS 24          /* of an addend: four times five limbs, and room */
#define BASE_WORDS 16       /* of an affine addend: three times five limbs, and room */

_Static_assert(sizeof curve_base == (BASE_DIGITS_MAX + 1) * BASE_WORDS * sizeof(uint64_t),
               "multiples of the base");

bool sign_ifma_supported(void)
{
    return lanes8_supported();
}

/* --- What needs no arithmetic on the curve --- */

static bool below(const uint64_t a[4], const uint64_t b[4])
{
    for (int i = 3; i >= 0; i--) {
        if (a[i] != b[i]) {
            return a[i] < b[i];
        }
    }
    return false;
}

static bool small_order(const uint64_t y[4])
{
    for (size_t i = 0; i < WM_COUNT_OF(curve_small_order_y); i++) {
        if (memcmp(y, curve_small_order_y[i], sizeof curve_small_order_y[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* S below the order, A canonical, A and R not of small order. libsodium's list of small orders has
 * p and p + 1, too: as A they are not canonical, and as R no encoding is equal to them. */
static bool admissible(const struct sign_item *item)
{
    static const uint64_t p[4] = {-UINT64_C(19), UINT64_MAX, UINT64_MAX, INT64_MAX};
    uint64_t r[4], s[4], a[4];
    memcpy(r, item->signature, sizeof r);
    memcpy(s, item->signature + sizeof r, sizeof s);
    memcpy(a, item->public_key, sizeof a);
    r[3] &= INT64_MAX; /* without the sign of x */
    a[3] &= INT64_MAX;
    return below(s, curve_order) && below(a, p) && !small_order(a) && !small_order(r);
}

/* --- Scalars ---
 *
 * A scalar's digits of w bits are taken from -2^(w-1) to 2^(w-1) - 1: they are the bits of the
 * scalar plus 2^(w-1) in each place, less 2^(w-1). Below 2^253, as k is, and S where it counts,
 * this sum stays below 2^256, so no digit is lost. The sum of the digits is k itself, and not k
 * plus a multiple of L: when A has a part of small order, that would be another point. */

static void add_half_digits(uint64_t k[4], uint64_t halves)
{
    unsigned carry = 0;
    for (int i = 0; i < 4; i++) {
        unsigned __int128 sum = (unsigned __int128)k[i] + halves + carry;
        k[i] = (uint64_t)sum;
        carry = (unsigned)(sum >> 64);
    }
}

/* Digit `number` of each lane. */
LANES8 __m512i digit_at(const __m512i words[4], int number, int bits)
{
    int at = number * bits;
    __m512i digit = _mm512_srl_epi64(words[at / 64], _mm_cvtsi32_si128(at % 64));
    digit = _mm512_and_si512(digit, lanes8_all((UINT64_C(1) << bits) - 1));
    return _mm512_sub_epi64(digit, lanes8_all(UINT64_C(1) << (bits - 1)));
}

/* --- Multiples ---
 *
 * A multiple lies in memory as its limbs, one after the other, for each lane by itself; so the
 * eight lanes' multiples are eight rows, to be transposed. */

/* Sets limbs to `words` (a multiple of eight) words of each lane's multiple. */
LANES8 void limbs_at(const uint64_t *const rows[8], int words, __m512i *limbs)
{
    for (int word = 0; word < words; word += 8) {
        for (int lane = 0; lane < 8; lane++) {
            limbs[word + lane] = _mm512_load_si512(rows[lane] + word);
        }
        lanes8_transpose(limbs + word);
    }
}

LANES8 struct field8 field_at(const __m512i *limbs)
{
    return (struct field8){{limbs[0], limbs[1], limbs[2], limbs[3], limbs[4]}};
}

struct a_multiples {
    uint64_t words[8][A_DIGITS_MAX + 1][A_WORDS] WM_ALIGNED(64); /* by lane */
};

LANES8 void multiple_put(struct a_multiples *multiples, int number, const struct point8_addend *q)
{
    const struct field8 *fields[4] = {&q->y_plus_x, &q->y_minus_x, &q->t2d, &q->z};
    __m512i limbs[A_WORDS];
    for (int i = 0; i < A_WORDS; i++) {
        limbs[i] = i < 20 ? fields[i / 5]->limb[i % 5] : _mm512_setzero_si512();
    }
    for (int word = 0; word < A_WORDS; word += 8) {
        lanes8_transpose(limbs + word);
        for (int lane = 0; lane < 8; lane++) {
            _mm512_store_si512(&multiples->words[lane][number][word], limbs[word + lane]);
        }
    }
}

/* 0 to A_DIGITS_MAX times a point. */
LANES8_TARGET static void multiples_init(struct a_multiples *multiples, const struct field8 *x,
                                         const struct field8 *y)
{
    const struct field8 zero = field8_small(0), one = field8_small(1);
    const struct field8 d2 = field8_all(curve_2d);
    const struct point8_addend none = {one, one, zero, one};
    const struct point8_affine first = {field8_add(*y, *x), field8_sub(*y, *x),
                                        field8_mul(field8_mul(*x, *y), d2)};
    struct point8_addend multiple = {first.y_plus_x, first.y_minus_x, first.t2d, one};
    struct point8_coordinates sum = {first.y_plus_x, first.y_minus_x, field8_mul(*x, *y), one};
    multiple_put(multiples, 0, &none);
    multiple_put(multiples, 1, &multiple);
    for (int i = 2; i <= A_DIGITS_MAX; i++) {
        sum = point8_coordinates(point8_add_affine(sum, first));
        multiple =
            (struct point8_addend){sum.y_plus_x, sum.y_minus_x, field8_mul(sum.t, d2), sum.z};
        multiple_put(multiples, i, &multiple);
    }
}

/* The points of which the limbs are, and their opposites in the lanes of `negative`: x and T change
 * their sign, so y + x and y - x change places. */
LANES8 struct point8_affine points_of(const __m512i *limbs, __mmask8 negative)
{
    struct field8 plus = field_at(limbs), minus = field_at(limbs + 5);
    return (struct point8_affine){field8_select(negative, minus, plus),
                                  field8_select(negative, plus, minus),
                                  field8_negate_if(negative, field_at(limbs + 10))};
}

LANES8 struct point8_addend multiple_at(const struct a_multiples *multiples, __m512i digit)
{
    uint64_t numbers[8] WM_ALIGNED(64);
    const uint64_t *rows[8];
    __m512i limbs[A_WORDS];
    _mm512_store_si512(numbers, _mm512_abs_epi64(digit));
    for (int lane = 0; lane < 8; lane++) {
        rows[lane] = multiples->words[lane][numbers[lane]];
    }
    limbs_at(rows, A_WORDS, limbs);
    struct point8_affine q = points_of(limbs, _mm512_movepi64_mask(digit));
    return (struct point8_addend){q.y_plus_x, q.y_minus_x, q.t2d, field_at(limbs + 15)};
}

LANES8 struct point8_affine base_multiple_at(__m512i digit)
{
    uint64_t numbers[8] WM_ALIGNED(64);
    const uint64_t *rows[8];
    __m512i limbs[BASE_WORDS];
    _mm512_store_si512(numbers, _mm512_abs_epi64(digit));
    for (int lane = 0; lane < 8; lane++) {
        rows[lane] = curve_base[numbers[lane]];
    }
    limbs_at(rows, BASE_WORDS, limbs);
    return points_of(limbs, _mm512_movepi64_mask(digit));
}

/* --- The equation --- */

/* The x of the point with this y that is odd where `odd` says so. Returns in which lanes there is
 * one (RFC 8032 section 5.1.3; u/v = x^2). That x = 0 has no odd counterpart is not looked at: it
 * is of points of small order, which are not admissible. */
LANES8_TARGET static __mmask8 decompress(const struct field8 *y, __mmask8 odd, struct field8 *x)
{
    const struct field8 one = field8_small(1);
    struct field8 yy = field8_sqr(*y);
    struct field8 u = field8_sub(yy, one), v = field8_add(field8_mul(yy, field8_all(curve_d)), one);
    struct field8 v3 = field8_mul(field8_sqr(v), v);
    struct field8 uv7 = field8_mul(field8_mul(field8_sqr(v3), v), u);
    struct field8 root = field8_mul(field8_mul(field8_pow_p58(uv7), v3), u);

    struct field8 found = field8_canonical(field8_mul(field8_sqr(root), v));
    __mmask8 direct = field8_same(found, field8_canonical(u));
    __mmask8 turned = field8_same(found, field8_canonical(field8_sub(field8_small(0), u)));
    root = field8_select(direct, root, field8_mul(root, field8_all(curve_sqrt_m1)));
    __mmask8 wrong = field8_odd(field8_canonical(root)) ^ odd;
    *x = field8_select(wrong, field8_sub(field8_small(0), root), root);
    return direct | turned;
}

/* S*B + k*A, from the most significant digit on: four doublings for each digit of k, two of which
 * make one of S. Both have half digits added. */
LANES8_TARGET static struct point8 combine(const __m512i s[4], const __m512i k[4],
                                           const struct a_multiples *multiples)
{
    struct point8 sum = point8_neutral();
    for (int i = 63; i >= 0; i--) {
        for (int j = 0; i < 63 && j < 4; j++) {
            sum = point8_double(sum);
        }
        sum = point8_add(point8_coordinates(sum), multiple_at(multiples, digit_at(k, i, 4)));
        if (i % 2 == 0) {
            sum =
                point8_add_affine(point8_coordinates(sum), base_multiple_at(digit_at(s, i / 2, 8)));
        }
    }
    return sum;
}

LANES8_TARGET static unsigned verify(const struct sign_item *const items[8])
{
    struct sha512x8_message messages[8] __attribute__((uninitialized));
    uint8_t hashes[8][SHA512_BYTES] __attribute__((uninitialized));
    struct a_multiples multiples __attribute__((uninitialized));
    uint64_t scalars[8][8] WM_ALIGNED(64) __attribute__((uninitialized));
    __m512i points[8], numbers[8];
    for (int i = 0; i < 8; i++) {
        memcpy(messages[i].head, items[i]->signature, 32);
        memcpy(messages[i].head + 32, items[i]->public_key, 32);
        messages[i].bytes = items[i]->bytes;
        points[i] = _mm512_loadu_si512(messages[i].head);
    }
    sha512x8(messages, hashes);
    for (int i = 0; i < 8; i++) {
        crypto_core_ed25519_scalar_reduce((uint8_t *)scalars[i], hashes[i]);
        memcpy(&scalars[i][4], items[i]->signature + 32, 32);
        add_half_digits(&scalars[i][0], UINT64_C(0x8888888888888888));
        add_half_digits(&scalars[i][4], UINT64_C(0x8080808080808080));
        numbers[i] = _mm512_load_si512(scalars[i]);
    }
    lanes8_transpose(points);
    lanes8_transpose(numbers);

    /* -A: the other sign of x. */
    struct field8 y = field8_of_words(points + 4), x;
    __mmask8 on_curve = decompress(&y, (__mmask8)~_mm512_movepi64_mask(points[7]), &x);
    multiples_init(&multiples, &x, &y);
    struct point8 sum = combine(numbers + 4, numbers, &multiples);

    /* R, if it is an encoding: y, and whether x is odd. */
    struct field8 inverse = field8_invert(field8_mul(sum.f, sum.g));
    x = field8_canonical(field8_mul(field8_mul(sum.e, sum.f), inverse));
    y = field8_canonical(field8_mul(field8_mul(sum.g, sum.h), inverse));
    __mmask8 odd = _mm512_movepi64_mask(points[3]);
    return on_curve & field8_same(y, field8_of_words(points)) & (__mmask8) ~(field8_odd(x) ^ odd);
}

void sign_ifma_verify(struct sign_item *items, size_t count)
{
    const struct sign_item *lanes[SIGN_LANES];
    WM_ASSERT(count >= 1 && count <= SIGN_LANES);
    for (size_t i = 0; i < SIGN_LANES; i++) {
        lanes[i] = &items[i < count ? i : 0];
    }
    unsigned valid = verify(lanes);
    for (size_t i = 0; i < count; i++) {
        items[i].valid = admissible(&items[i]) && (valid >> i & 1) != 0;
    }
}
