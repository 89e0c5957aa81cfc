/* sign_test.c: vectors of RFC 8032 section 7.1, changed signatures, keys that must not count. */
#include "crypto/sign.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return len;
}

TEST(signs_as_rfc_8032_does)
{
    static const struct {
        const char *seed, *public_key, *message, *signature;
    } vectors[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
         "cf9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
         "0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760"
         "984dc6594a7c15e9716ed28dc027beceea1ec40a"},
    };
    for (size_t i = 0; i < WM_COUNT_OF(vectors); i++) {
        uint8_t seed[32], public_key[32], message[8], wanted[64], signature[64];
        struct sign_key key;
        from_hex(vectors[i].seed, seed);
        from_hex(vectors[i].public_key, public_key);
        from_hex(vectors[i].signature, wanted);
        struct wm_view text = wm_view_of(message, from_hex(vectors[i].message, message));
        sign_key_init(&key, seed);
        CHECK(memcmp(key.public_key, public_key, 32) == 0);
        sign_bytes(&key, text, signature);
        CHECK(memcmp(signature, wanted, 64) == 0);
        CHECK(sign_verify(public_key, text, signature));
        for (unsigned bit = 0; bit < 512; bit++) {
            signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(!sign_verify(public_key, text, signature));
            signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (unsigned bit = 0; bit < 256; bit++) {
            public_key[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(!sign_verify(public_key, text, signature));
            public_key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        CHECK(!sign_verify(public_key, wm_view_str("other"), signature));
        sign_key_fini(&key);
        static const struct sign_key wiped;
        CHECK(memcmp(&key, &wiped, sizeof key) == 0);
    }
}

TEST(a_key_of_small_order_signs_nothing)
{
    /* With A = the neutral element, R = neutral and S = 0 satisfy the bare equation for every
     * message. */
    uint8_t neutral[32] = {1}, signature[64] = {1};
    CHECK(!sign_verify(neutral, wm_view_str("anything"), signature));
    uint8_t zero[32] = {0}, order_2[32];
    CHECK(!sign_verify(zero, wm_view_str("anything"), signature));
    memset(order_2, 0xff, sizeof order_2);
    order_2[0] = 0xec;
    order_2[31] = 0x7f;
    CHECK(!sign_verify(order_2, wm_view_str("anything"), signature));
}

TEST(s_beyond_the_order_is_refused)
{
    /* S + L gives the same point; accepting it would make a second signature out of each. */
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                      0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    uint8_t seed[32] = {1}, signature[64];
    struct sign_key key;
    sign_key_init(&key, seed);
    sign_bytes(&key, wm_view_str("x"), signature);
    CHECK(sign_verify(key.public_key, wm_view_str("x"), signature));
    unsigned carry = 0;
    for (unsigned i = 0; i < 32; i++) {
        carry += signature[32 + i] + order[i];
        signature[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    CHECK(!sign_verify(key.public_key, wm_view_str("x"), signature));
    sign_key_fini(&key);
}

TEST(keys_as_text)
{
    uint8_t seed[32], back[32] = {0};
    char pem[SIGN_PEM_BYTES], public_text[SIGN_PUBLIC_TEXT_BYTES];
    /* The private key of RFC 8410 section 10.3, as published. */
    static const char published[] =
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
        "-----END PRIVATE KEY-----\n";
    CHECK(sign_seed_of_pem(wm_view_str(published), seed));
    CHECK(seed[0] == 0xd4 && seed[31] == 0x42);
    sign_seed_to_pem(seed, pem);
    CHECK(memcmp(pem, published, sizeof pem) == 0);
    for (size_t i = 0; i < sizeof pem; i++) {
        char changed[SIGN_PEM_BYTES];
        memcpy(changed, pem, sizeof pem);
        changed[i] = '!';
        CHECK(!sign_seed_of_pem(wm_view_of(changed, sizeof changed), back));
        CHECK(!sign_seed_of_pem(wm_view_of(pem, i), back));
    }
    static const uint8_t zeroes[32];
    CHECK(memcmp(back, zeroes, 32) == 0);

    sign_public_to_text(seed, public_text);
    CHECK_INT(strlen(public_text), ==, 64);
    CHECK(sign_public_of_text(wm_view_str(public_text), back) && memcmp(back, seed, 32) == 0);
    CHECK(!sign_public_of_text(wm_view_of(public_text, 63), back));
    CHECK(!sign_public_of_text(wm_view_of(public_text, 62), back));
    public_text[63] = 'g';
    CHECK(!sign_public_of_text(wm_view_str(public_text), back));
}

TEST_MAIN(TEST_CASE(keys_as_text), TEST_CASE(signs_as_rfc_8032_does),
          TEST_CASE(a_key_of_small_order_signs_nothing), TEST_CASE(s_beyond_the_order_is_refused))
