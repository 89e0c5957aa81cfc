/* sign_batch_test.c: both paths against sign_verify, which is libsodium's, on what an enemy may
 * send: changed signatures, scalars beyond the order, points of small order, points with a part of
 * small order (where it is also computed who is right), encodings that are not canonical, or no
 * points. Seeds are fixed. */
#include "crypto/sign_batch.h"

#include <sodium/crypto_core_ed25519.h>
#include <sodium/crypto_hash_sha512.h>
#include <sodium/crypto_scalarmult_ed25519.h>
#include <string.h>

#include "base/test.h"

#define BYTES_MAX 6000u
#define BATCH_MAX 20u
#define CASES 20000u

static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                  0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
/* The multiples of a point of order 8, by their factor. */
static uint8_t torsion[8][32];
/* All encodings of those, also of y + p, and with a sign for x = 0. */
static uint8_t small_order[14][32];
static struct sign_key keys[8];

static uint64_t state;

static uint64_t random_word(void) /* splitmix64 */
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t random_below(size_t bound)
{
    return (size_t)(random_word() % bound);
}

static void random_fill(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)random_word();
    }
}

/* --- What is to be checked --- */

struct input {
    uint8_t public_key[32], signature[64], bytes[BYTES_MAX];
    size_t len;
};

static struct input inputs[BATCH_MAX];
static bool valid[BATCH_MAX]; /* of the inputs of the last check_batch, as sign_verify says */

static struct sign_item item_of(const struct input *input)
{
    return (struct sign_item){input->public_key, wm_view_of(input->bytes, input->len),
                              input->signature, false};
}

/* Checks inputs[0 .. count - 1] on each path; what is to be set is the contrary before. Returns how
 * many of them are accepted. */
static size_t check_batch(size_t count)
{
    static const enum sign_path paths[] = {SIGN_PATH_BEST, SIGN_PATH_LIBSODIUM, SIGN_PATH_IFMA};
    struct sign_item items[BATCH_MAX];
    size_t accepted = 0;
    for (size_t i = 0; i < count; i++) {
        items[i] = item_of(&inputs[i]);
        valid[i] = sign_verify(items[i].public_key, items[i].bytes, items[i].signature);
        accepted += valid[i];
    }
    for (size_t path = 0; path < WM_COUNT_OF(paths); path++) {
        for (size_t i = 0; i < count; i++) {
            items[i].valid = !valid[i];
        }
        bool done = sign_verify_batch_by(paths[path], items, count);
        CHECK(done == (path < 2 || strcmp(sign_batch_path(), "ifma") == 0));
        for (size_t i = 0; done && i < count; i++) {
            if (items[i].valid != valid[i]) {
                wm_test_note("path %zu, %zu of %zu, %zu bytes", path, i, count, inputs[i].len);
            }
            CHECK(items[i].valid == valid[i]);
        }
    }
    return accepted;
}

static void make_valid(struct input *input, size_t len)
{
    const struct sign_key *key = &keys[random_below(WM_COUNT_OF(keys))];
    input->len = len;
    random_fill(input->bytes, len);
    memcpy(input->public_key, key->public_key, 32);
    sign_bytes(key, wm_view_of(input->bytes, len), input->signature);
}

static void flip(struct input *input, size_t bit)
{
    uint8_t *at = bit < 512   ? &input->signature[bit / 8]
                  : bit < 768 ? &input->public_key[bit / 8 - 64]
                              : &input->bytes[bit / 8 - 96];
    *at ^= (uint8_t)(1u << bit % 8);
}

/* H(R, A, M) mod L. */
static void challenge(const struct input *input, uint8_t k[32])
{
    crypto_hash_sha512_state hash;
    uint8_t wide[64];
    crypto_hash_sha512_init(&hash);
    crypto_hash_sha512_update(&hash, input->signature, 32);
    crypto_hash_sha512_update(&hash, input->public_key, 32);
    crypto_hash_sha512_update(&hash, input->bytes, input->len);
    crypto_hash_sha512_final(&hash, wide);
    crypto_core_ed25519_scalar_reduce(k, wide);
}

static void random_scalar(uint8_t out[32])
{
    uint8_t wide[64];
    random_fill(wide, sizeof wide);
    crypto_core_ed25519_scalar_reduce(out, wide);
}

/* scalar * B + T, for a scalar that is not 0. */
static void point(const uint8_t scalar[32], const uint8_t part[32], uint8_t out[32])
{
    uint8_t multiple[32];
    CHECK_INT(crypto_scalarmult_ed25519_base_noclamp(multiple, scalar), ==, 0);
    CHECK_INT(crypto_core_ed25519_add(out, multiple, part), ==, 0);
}

/* S so that S*B = R + k*A, but for what R and A have of small order: S = r + k*a. */
static void close_equation(struct input *input, const uint8_t r[32], const uint8_t a[32])
{
    uint8_t k[32], product[32];
    challenge(input, k);
    crypto_core_ed25519_scalar_mul(product, k, a);
    crypto_core_ed25519_scalar_add(input->signature + 32, product, r);
}

/* A has the part i*T, R the part j*T. Then R is S*B - k*A when j = -k*i modulo 8. Returns whether.
 */
static bool make_mixed(struct input *input, unsigned i, unsigned j)
{
    uint8_t a[32], r[32], k[32];
    random_scalar(a);
    random_scalar(r);
    point(a, torsion[i], input->public_key);
    point(r, torsion[j], input->signature);
    input->len = random_below(300);
    random_fill(input->bytes, input->len);
    close_equation(input, r, a);
    challenge(input, k);
    return (k[0] * i + j) % 8 == 0;
}

/* n*L + offset, for n below 16. */
static void order_times(uint8_t out[32], unsigned n, int offset)
{
    int carry = offset;
    for (int i = 0; i < 32; i++) {
        carry += (int)(n * order[i]);
        out[i] = (uint8_t)carry;
        carry = carry >> 8; /* also of a negative one: rounds down */
    }
}

static void add_order(uint8_t s[32], unsigned n)
{
    uint8_t multiple[32];
    unsigned carry = 0;
    order_times(multiple, n, 0);
    for (int i = 0; i < 32; i++) {
        carry += s[i] + multiple[i];
        s[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

/* y from p - 2 to 2^255 - 1, and a sign. */
static void edge_point(uint8_t out[32])
{
    memset(out, 0xff, 32);
    out[0] = (uint8_t)(0xeb + random_below(21));
    out[31] = random_word() & 1 ? 0xff : 0x7f;
}

enum kind {
    VALID,
    BIT,       /* changed */
    SCALAR,    /* S beyond the order, or at an edge */
    SMALL_KEY, /* A of small order */
    SMALL_R,   /* R of small order, and else right */
    OPPOSITE,  /* R with the other sign, and else right */
    MIXED,     /* both with a part of small order */
    NOT_CANONICAL,
    NO_POINT,
    GARBAGE,
    KINDS
};

static void make(struct input *input, enum kind kind)
{
    uint8_t a[32], r[32];
    size_t len = random_word() % 50 ? random_below(301) : random_below(BYTES_MAX);
    make_valid(input, len);
    switch (kind) {
    case VALID: break;
    case BIT: flip(input, random_below(768 + 8 * len)); break;
    case SCALAR:
        if (random_word() & 1) {
            add_order(input->signature + 32, 1 + (unsigned)random_below(14));
        } else {
            order_times(input->signature + 32, (unsigned)random_below(3), (int)random_below(5) - 2);
        }
        break;
    case SMALL_KEY: /* R is S*B and something of small order: often the bare equation holds */
        random_scalar(r);
        memcpy(input->public_key, small_order[random_below(14)], 32);
        memcpy(input->signature + 32, r, 32);
        point(r, torsion[random_below(8)], input->signature);
        break;
    case SMALL_R:
        random_scalar(a);
        point(a, torsion[random_below(8)], input->public_key);
        memcpy(input->signature, small_order[random_below(14)], 32);
        close_equation(input, (const uint8_t[32]){0}, a);
        break;
    case OPPOSITE:
        random_scalar(a);
        random_scalar(r);
        point(a, torsion[0], input->public_key);
        point(r, torsion[0], input->signature);
        input->signature[31] ^= 0x80;
        close_equation(input, r, a);
        break;
    case MIXED:
        (void)make_mixed(input, (unsigned)random_below(8), (unsigned)random_below(8));
        break;
    case NOT_CANONICAL: edge_point(random_word() & 1 ? input->public_key : input->signature); break;
    case NO_POINT: random_fill(random_word() & 1 ? input->public_key : input->signature, 32); break;
    case GARBAGE:
        random_fill(input->public_key, 32);
        random_fill(input->signature, 64);
        break;
    case KINDS: break;
    }
}

static void set_up(void)
{
    uint8_t neutral[32] = {1};
    /* One of order 8: four times it has y = -1. */
    static const uint8_t eighth[32] = {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0,
                                       0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
                                       0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39,
                                       0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05};
    state = 1;
    memcpy(torsion[0], neutral, 32);
    for (int i = 1; i < 8; i++) {
        CHECK_INT(crypto_core_ed25519_add(torsion[i], torsion[i - 1], eighth), ==, 0);
    }
    CHECK(torsion[4][0] == 0xec && torsion[4][31] == 0x7f);
    size_t count = 0;
    for (int i = 0; i < 5; i++) { /* y: 5 and 6 have those of 3 and 2 */
        for (int sign = 0; sign < 2; sign++) {
            memcpy(small_order[count], torsion[i], 32);
            small_order[count][31] = (uint8_t)((torsion[i][31] & 0x7f) | sign << 7);
            count++;
        }
    }
    for (int i = 0; i < 4; i++) { /* y = 0 and 1, and p */
        memset(small_order[count], 0xff, 32);
        small_order[count][0] = (uint8_t)(0xed + i / 2);
        small_order[count][31] = i % 2 ? 0xff : 0x7f;
        count++;
    }
    CHECK_INT(count, ==, WM_COUNT_OF(small_order));
    for (size_t i = 0; i < WM_COUNT_OF(keys); i++) {
        uint8_t seed[32] = {(uint8_t)i, 's'};
        sign_key_init(&keys[i], seed);
    }
}

/* --- Tests --- */

TEST(paths_of_this_machine)
{
    bool ifma = sign_verify_batch_by(SIGN_PATH_IFMA, NULL, 0);
    CHECK_STR(sign_batch_path(), ifma ? "ifma" : "libsodium");
    CHECK(sign_verify_batch_by(SIGN_PATH_BEST, NULL, 0));
    CHECK(sign_verify_batch_by(SIGN_PATH_LIBSODIUM, NULL, 0));
    sign_verify_batch(NULL, 0);
    set_up();
    make_valid(&inputs[0], 10);
    struct sign_item item = item_of(&inputs[0]);
    sign_verify_batch(&item, 1);
    CHECK(item.valid);
    if (!ifma) {
        SKIP("this processor has no AVX-512 IFMA: libsodium is compared with itself");
    }
}

TEST(cases_of_all_kinds)
{
    size_t accepted[KINDS] = {0}, refused[KINDS] = {0}, made = 0;
    set_up();
    while (made < CASES) {
        size_t count = 1 + random_below(BATCH_MAX);
        enum kind kinds[BATCH_MAX];
        for (size_t i = 0; i < count; i++) {
            /* Sometimes all of a kind, so that a lane's neighbours do not always differ. */
            kinds[i] = i && random_word() % 4 == 0 ? kinds[0] : (enum kind)random_below(KINDS);
            make(&inputs[i], kinds[i]);
        }
        (void)check_batch(count);
        for (size_t i = 0; i < count; i++) {
            accepted[kinds[i]] += valid[i];
            refused[kinds[i]] += !valid[i];
        }
        made += count;
    }
    for (int kind = 0; kind < KINDS; kind++) {
        CHECK((accepted[kind] > 0) == (kind == VALID || kind == MIXED));
        CHECK((refused[kind] > 0) == (kind != VALID));
        CHECK(accepted[kind] + refused[kind] > CASES / KINDS / 2);
    }
}

TEST(every_bit_counts)
{
    set_up();
    for (size_t len = 0; len <= 40; len += 20) {
        struct input whole;
        make_valid(&whole, len);
        size_t bits = 768 + 8 * len;
        for (size_t bit = 0; bit < bits; bit += 7) { /* one of eight, in turn, is not changed */
            for (size_t i = 0; i < 8; i++) {
                inputs[i] = whole;
                size_t which = (i + bit) % 8;
                if (which < 7 && bit + which < bits) {
                    flip(&inputs[i], bit + which);
                }
            }
            size_t left = bits - bit < 7 ? bits - bit : 7;
            CHECK_INT(check_batch(8), ==, 8 - left);
        }
    }
}

TEST(every_length)
{
    set_up();
    for (size_t len = 0; len <= 300; len++) {
        for (size_t i = 0; i < 8; i++) { /* beside any others */
            make_valid(&inputs[i], i == len % 8 ? len : random_below(i == 7 ? BYTES_MAX : 400));
        }
        CHECK_INT(check_batch(8), ==, 8);
    }
}

TEST(every_count_and_lane)
{
    set_up();
    for (size_t count = 1; count <= BATCH_MAX; count++) {
        for (size_t odd = 0; odd < count; odd++) {
            for (int good = 0; good < 2; good++) { /* one that is good, or one that is not */
                for (size_t i = 0; i < count; i++) {
                    make_valid(&inputs[i], 50);
                    if ((i == odd) != good) {
                        flip(&inputs[i], random_below(768 + 400));
                    }
                }
                CHECK_INT(check_batch(count), ==, good ? 1 : count - 1);
            }
        }
    }
}

/* The bare equation holds for many of these: libsodium refuses them for their order. */
TEST(all_pairs_of_small_order)
{
    set_up();
    for (size_t a = 0; a < WM_COUNT_OF(small_order); a++) {
        for (size_t r = 0; r < WM_COUNT_OF(small_order); r++) {
            for (size_t i = 0; i < 8; i++) {
                memset(&inputs[i], 0, 96);
                memcpy(inputs[i].public_key, small_order[a], 32);
                memcpy(inputs[i].signature, small_order[r], 32);
                inputs[i].len = 1;
                inputs[i].bytes[0] = (uint8_t)i;
            }
            CHECK_INT(check_batch(8), ==, 0);
        }
    }
}

TEST(parts_of_small_order)
{
    size_t accepted[8] = {0};
    set_up();
    for (unsigned i = 0; i < 8; i++) { /* A's part */
        for (unsigned round = 0; round < 16; round++) {
            size_t right = 0;
            for (unsigned j = 0; j < 8; j++) { /* R's part */
                right += make_mixed(&inputs[j], i, j);
            }
            CHECK_INT(check_batch(8), ==, right);
            accepted[i] += right;
        }
        CHECK(accepted[i] > 0);
    }
}

/* S counts below the order only; and as A, a point of y + p is not the point of y. */
TEST(edges_of_scalars_and_encodings)
{
    set_up();
    size_t count = 0;
    for (unsigned n = 1; n < 15; n++) {
        make_valid(&inputs[count], 20);
        add_order(inputs[count++].signature + 32, n);
    }
    CHECK_INT(check_batch(count), ==, 0);
    for (unsigned n = 0; n < 3; n++) {
        for (int offset = -2; offset <= 2; offset++) {
            count = (size_t)(offset + 2);
            make_valid(&inputs[count], 20);
            order_times(inputs[count].signature + 32, n, offset);
        }
        CHECK_INT(check_batch(5), ==, 0);
    }
    for (unsigned sign = 0; sign < 2; sign++) {
        for (unsigned of_key = 0; of_key < 2; of_key++) {
            for (count = 0; count < 20; count++) { /* p - 1 to 2^255 - 1 */
                make_valid(&inputs[count], 20);
                uint8_t *out = of_key ? inputs[count].public_key : inputs[count].signature;
                memset(out, 0xff, 32);
                out[0] = (uint8_t)(0xec + count);
                out[31] = sign ? 0xff : 0x7f;
            }
            CHECK_INT(check_batch(count), ==, 0);
        }
    }
}

TEST_MAIN(TEST_CASE(paths_of_this_machine), TEST_CASE(cases_of_all_kinds),
          TEST_CASE(every_bit_counts), TEST_CASE(every_length), TEST_CASE(every_count_and_lane),
          TEST_CASE(all_pairs_of_small_order), TEST_CASE(parts_of_small_order),
          TEST_CASE(edges_of_scalars_and_encodings))
