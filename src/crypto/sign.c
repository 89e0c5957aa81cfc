/* Ed25519 by libsodium. */
#include "crypto/sign.h"

#include <sodium/core.h>
#include <sodium/crypto_sign_ed25519.h>
#include <sodium/utils.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

_Static_assert(SIGN_SEED_BYTES == crypto_sign_ed25519_SEEDBYTES, "size of a seed");
_Static_assert(SIGN_PUBLIC_BYTES == crypto_sign_ed25519_PUBLICKEYBYTES, "size of a public key");
_Static_assert(SIGN_SIGNATURE_BYTES == crypto_sign_ed25519_BYTES, "size of a signature");
_Static_assert(sizeof((struct sign_key *)0)->secret == crypto_sign_ed25519_SECRETKEYBYTES,
               "size of a secret key");

void sign_key_init(struct sign_key *key, const uint8_t seed[SIGN_SEED_BYTES])
{
    /* Refused beyond RLIMIT_MEMLOCK; the key then is as safe as the process's other memory. */
    (void)mlock(key, sizeof *key);
    int rc = crypto_sign_ed25519_seed_keypair(key->public_key, key->secret, seed);
    WM_ASSERT(rc == 0);
}

void sign_key_fini(struct sign_key *key)
{
    sodium_memzero(key, sizeof *key);
    (void)munlock(key, sizeof *key);
}

void sign_wipe(void *secret, size_t len)
{
    sodium_memzero(secret, len);
}

void sign_bytes(const struct sign_key *key, struct wm_view bytes,
                uint8_t signature[SIGN_SIGNATURE_BYTES])
{
    int rc = crypto_sign_ed25519_detached(signature, NULL, bytes.ptr, bytes.len, key->secret);
    WM_ASSERT(rc == 0);
}

bool sign_verify(const uint8_t public_key[SIGN_PUBLIC_BYTES], struct wm_view bytes,
                 const uint8_t signature[SIGN_SIGNATURE_BYTES])
{
    return crypto_sign_ed25519_verify_detached(signature, bytes.ptr, bytes.len, public_key) == 0;
}

/* --- Text --- */

#define PEM_BEGIN "-----BEGIN PRIVATE KEY-----\n"
#define PEM_END "\n-----END PRIVATE KEY-----\n"
#define DER_BYTES 48u
#define BASE64_BYTES 64u
_Static_assert(sizeof PEM_BEGIN - 1 + BASE64_BYTES + sizeof PEM_END - 1 == SIGN_PEM_BYTES,
               "size of the text");

/* OneAsymmetricKey: version 0, algorithm 1.3.101.112, and the seed as an OCTET STRING in one. */
static const uint8_t der_begin[DER_BYTES - SIGN_SEED_BYTES] = {
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};

void sign_seed_to_pem(const uint8_t seed[SIGN_SEED_BYTES], char pem[SIGN_PEM_BYTES])
{
    uint8_t der[DER_BYTES];
    char base64[BASE64_BYTES + 1];
    memcpy(der, der_begin, sizeof der_begin);
    memcpy(der + sizeof der_begin, seed, SIGN_SEED_BYTES);
    sodium_bin2base64(base64, sizeof base64, der, sizeof der, sodium_base64_VARIANT_ORIGINAL);
    memcpy(pem, PEM_BEGIN, sizeof PEM_BEGIN - 1);
    memcpy(pem + sizeof PEM_BEGIN - 1, base64, BASE64_BYTES);
    memcpy(pem + sizeof PEM_BEGIN - 1 + BASE64_BYTES, PEM_END, sizeof PEM_END - 1);
    sodium_memzero(der, sizeof der);
    sodium_memzero(base64, sizeof base64);
}

bool sign_seed_of_pem(struct wm_view pem, uint8_t seed[SIGN_SEED_BYTES])
{
    uint8_t der[DER_BYTES];
    size_t len = 0;
    bool ok =
        pem.len == SIGN_PEM_BYTES && memcmp(pem.ptr, PEM_BEGIN, sizeof PEM_BEGIN - 1) == 0 &&
        memcmp(pem.ptr + SIGN_PEM_BYTES - (sizeof PEM_END - 1), PEM_END, sizeof PEM_END - 1) == 0 &&
        sodium_base642bin(der, sizeof der, (const char *)pem.ptr + sizeof PEM_BEGIN - 1,
                          BASE64_BYTES, NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
        len == DER_BYTES && memcmp(der, der_begin, sizeof der_begin) == 0;
    if (ok) {
        memcpy(seed, der + sizeof der_begin, SIGN_SEED_BYTES);
    }
    sodium_memzero(der, sizeof der);
    return ok;
}

void sign_public_to_text(const uint8_t public_key[SIGN_PUBLIC_BYTES],
                         char text[SIGN_PUBLIC_TEXT_BYTES])
{
    sodium_bin2hex(text, SIGN_PUBLIC_TEXT_BYTES, public_key, SIGN_PUBLIC_BYTES);
}

bool sign_public_of_text(struct wm_view text, uint8_t public_key[SIGN_PUBLIC_BYTES])
{
    uint8_t bytes[SIGN_PUBLIC_BYTES];
    size_t len = 0;
    if (text.len != SIGN_PUBLIC_TEXT_BYTES - 1 ||
        sodium_hex2bin(bytes, sizeof bytes, (const char *)text.ptr, text.len, NULL, &len, NULL) !=
            0 ||
        len != sizeof bytes) {
        return false;
    }
    memcpy(public_key, bytes, sizeof bytes);
    return true;
}
