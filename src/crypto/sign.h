/* sign.h: Ed25519 signatures (RFC 8032), by libsodium.
 *
 * One rule of acceptance, libsodium's: S below the group's order, A canonical and A and R not of
 * small order, and R the encoding of S*B - H(R, A, M)*A. Signing is deterministic: no randomness is
 * needed, and none can fail.
 *
 * In a library of its own (crypto_sign_dep), so that what only hashes does not link libsodium. None
 * of these functions needs sodium_init: they use nothing that it chooses.
 *
 * The secret is expanded in struct sign_key: keep it in one place and wipe it by sign_key_fini. Any
 * thread; a key may be used by several at once. */
#ifndef WM_CRYPTO_SIGN_H
#define WM_CRYPTO_SIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/view.h"

#define SIGN_SEED_BYTES 32
#define SIGN_PUBLIC_BYTES 32
#define SIGN_SIGNATURE_BYTES 64

struct sign_key {
    uint8_t secret[64]; /* the seed and the public key: libsodium's form */
    uint8_t public_key[SIGN_PUBLIC_BYTES];
};

/* Locks the key in memory, where the process may: it then never goes to swap. */
void sign_key_init(struct sign_key *key, const uint8_t seed[SIGN_SEED_BYTES]);
void sign_key_fini(struct sign_key *key); /* wipes */
void sign_wipe(void *secret, size_t len); /* not removed by a compiler */

void sign_bytes(const struct sign_key *key, struct wm_view bytes,
                uint8_t signature[SIGN_SIGNATURE_BYTES]);
/* All three may be hostile. */
WM_MUST_CHECK bool sign_verify(const uint8_t public_key[SIGN_PUBLIC_BYTES], struct wm_view bytes,
                               const uint8_t signature[SIGN_SIGNATURE_BYTES]);

/* A private key as text: PEM of PKCS #8 (RFC 8410), in the one form that `openssl genpkey
 * -algorithm ed25519` writes; so `openssl pkey -pubout` reads it, too. Constant time in the key. */
#define SIGN_PEM_BYTES 119u
void sign_seed_to_pem(const uint8_t seed[SIGN_SEED_BYTES], char pem[SIGN_PEM_BYTES]); /* no NUL */
WM_MUST_CHECK bool sign_seed_of_pem(struct wm_view pem, uint8_t seed[SIGN_SEED_BYTES]);

/* A public key as text: 64 hexadecimal digits, in lower case when written. */
#define SIGN_PUBLIC_TEXT_BYTES 65u
void sign_public_to_text(const uint8_t public_key[SIGN_PUBLIC_BYTES],
                         char text[SIGN_PUBLIC_TEXT_BYTES]);
WM_MUST_CHECK bool sign_public_of_text(struct wm_view text, uint8_t public_key[SIGN_PUBLIC_BYTES]);

#endif
