/* hash_test.c: published vectors of FIPS 180-4 and RFC 4231, pieces against the whole, randomness.
 */
#include "crypto/hash.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"

static const char *hex(const uint8_t *bytes, size_t len)
{
    static char text[129];
    for (size_t i = 0; i < len; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return text;
}

static const char *hash_of(struct wm_view bytes)
{
    uint8_t out[WM_SHA256_BYTES];
    wm_sha256_once(bytes, out);
    return hex(out, sizeof out);
}

TEST(sha256_gives_the_published_values)
{
    CHECK_STR(hash_of(wm_view_str("")),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_STR(hash_of(wm_view_str("abc")),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_STR(hash_of(wm_view_str("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(sha256_of_a_million_letters_in_uneven_pieces)
{
    char piece[997];
    memset(piece, 'a', sizeof piece);
    struct wm_sha256 hash;
    wm_sha256_init(&hash);
    for (size_t done = 0; done < 1000000;) {
        size_t len = done % 2 ? sizeof piece : 640;
        len = len < 1000000 - done ? len : 1000000 - done;
        wm_sha256_add(&hash, wm_view_of(piece, len));
        done += len;
    }
    uint8_t out[WM_SHA256_BYTES];
    wm_sha256_end(&hash, out);
    CHECK_STR(hex(out, sizeof out),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Short texts go another way than long ones: every length around the ends of blocks. */
TEST(sha256_at_once_is_that_of_pieces_at_every_length)
{
    uint8_t text[1100], once[WM_SHA256_BYTES], pieces[WM_SHA256_BYTES];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)(i * 7 + i / 251 + 0x81);
    }
    for (size_t len = 0; len < sizeof text - 1; len++) {
        struct wm_sha256 hash;
        wm_sha256_init(&hash);
        wm_sha256_add(&hash, wm_view_of(text, len / 3));
        wm_sha256_add(&hash, wm_view_of(text + len / 3, len - len / 3));
        wm_sha256_end(&hash, pieces);
        wm_sha256_once(wm_view_of(text, len), once);
        CHECK(memcmp(once, pieces, sizeof once) == 0);
        wm_sha256_once(wm_view_of(text, len + 1), once);
        wm_sha256_prefixed(text[0], wm_view_of(text + 1, len), pieces);
        CHECK(memcmp(once, pieces, sizeof once) == 0);
    }
}

/* Two at once, and one after the other: every pair of lengths around the ends of blocks. */
TEST(sha256_of_two_is_that_of_each)
{
    uint8_t text[400], want[WM_SHA256_BYTES], out[2][WM_SHA256_BYTES];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)(i * 11 + i / 253 + 0x35);
    }
    for (size_t len_a = 0; len_a < 200; len_a++) {
        for (size_t len_b = 0; len_b < 200; len_b++) {
            struct wm_view a = wm_view_of(text + len_b % 7, len_a);
            struct wm_view b = wm_view_of(text + 200 - len_a % 5, len_b);
            wm_sha256_two(a, b, out[0], out[1]);
            wm_sha256_once(a, want);
            CHECK(memcmp(out[0], want, sizeof want) == 0);
            wm_sha256_once(b, want);
            CHECK(memcmp(out[1], want, sizeof want) == 0);
        }
    }
    wm_sha256_two(wm_view_of(NULL, 0), wm_view_str("abc"), out[0], out[1]);
    CHECK_STR(hex(out[0], sizeof out[0]),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_STR(hex(out[1], sizeof out[1]),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* The output may be where a text was. */
TEST(sha256_of_two_in_place)
{
    uint8_t a[64], b[64], want[2][WM_SHA256_BYTES];
    for (unsigned round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < sizeof a; i++) {
            a[i] = (uint8_t)(i * round);
            b[i] = (uint8_t)(i + round * 3);
        }
        wm_sha256_once(wm_view_of(a, sizeof a), want[0]);
        wm_sha256_once(wm_view_of(b, sizeof b), want[1]);
        wm_sha256_two(wm_view_of(a, sizeof a), wm_view_of(b, sizeof b), b, a);
        CHECK(memcmp(b, want[0], WM_SHA256_BYTES) == 0 && memcmp(a, want[1], WM_SHA256_BYTES) == 0);
    }
}

TEST(mac_gives_the_values_of_rfc_4231)
{
    uint8_t key[WM_MAC_KEY_BYTES] = {0}, out[WM_MAC_BYTES];
    /* Test case 1. HMAC pads a shorter key with zeroes, so zero-filled keys are the same keys. */
    memset(key, 0x0b, 20);
    wm_mac(key, wm_view_str("Hi There"), out);
    CHECK_STR(hex(out, sizeof out),
              "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    /* Test case 2. */
    memset(key, 0, sizeof key);
    memcpy(key, "Jefe", 4);
    wm_mac(key, wm_view_str("what do ya want for nothing?"), out);
    CHECK_STR(hex(out, sizeof out),
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    /* Test case 3. */
    uint8_t text[50];
    memset(key, 0, sizeof key);
    memset(key, 0xaa, 20);
    memset(text, 0xdd, sizeof text);
    wm_mac(key, wm_view_of(text, sizeof text), out);
    CHECK_STR(hex(out, sizeof out),
              "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
}

TEST(bytes_equal_sees_every_bit)
{
    uint8_t a[WM_SHA256_BYTES] = {0}, b[WM_SHA256_BYTES] = {0};
    CHECK(wm_bytes_equal(a, b, sizeof a));
    CHECK(wm_bytes_equal(a, b, 0));
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        b[bit / 8] = (uint8_t)(1u << bit % 8);
        CHECK(!wm_bytes_equal(a, b, sizeof a));
        b[bit / 8] = 0;
    }
}

TEST(random_bytes_differ_and_fill_the_buffer)
{
    uint8_t a[64] = {0}, b[64] = {0};
    wm_random_bytes(a, sizeof a);
    wm_random_bytes(b, sizeof b);
    CHECK(!wm_bytes_equal(a, b, sizeof a));
    /* 16 zero bytes at the end by chance: 2^-128. */
    static const uint8_t zeroes[16];
    CHECK(!wm_bytes_equal(a + 48, zeroes, 16));
    uint8_t large[1000] = {0};
    wm_random_bytes(large, sizeof large);
    CHECK(!wm_bytes_equal(large + sizeof large - 16, zeroes, 16));
}

TEST_MAIN(TEST_CASE(sha256_gives_the_published_values),
          TEST_CASE(sha256_of_a_million_letters_in_uneven_pieces),
          TEST_CASE(sha256_at_once_is_that_of_pieces_at_every_length),
          TEST_CASE(sha256_of_two_is_that_of_each), TEST_CASE(sha256_of_two_in_place),
          TEST_CASE(mac_gives_the_values_of_rfc_4231), TEST_CASE(bytes_equal_sees_every_bit),
          TEST_CASE(random_bytes_differ_and_fill_the_buffer))
