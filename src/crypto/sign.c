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
