/* sign_batch.h: many Ed25519 signatures checked at once, one by one in what is accepted.
 *
 * The rule of acceptance is sign.h's (libsodium's), for each signature by itself: whichever path
 * the machine takes, every checker of a ledger says the same about every input. So there is no
 * random linear combination here (which accepts other sets of torsion components): eight signatures
 * are checked side by side, one in each 64-bit lane of AVX-512 registers with 52-bit integer
 * multiplication (IFMA), where the CPU has it; elsewhere libsodium checks them one after the other.
 *
 * What is checked is public, so nothing here runs in constant time. Messages of eight that are very
 * unlike in length take as long as if all were as long as the longest.
 *
 * Pure, no memory of its own but the stack (some 40 KiB). Any thread. doc/adr/0017 says why. */
#ifndef WM_CRYPTO_SIGN_BATCH_H
#define WM_CRYPTO_SIGN_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"
#include "crypto/sign.h"

/* So many at a time fill the lanes. */
#define SIGN_LANES 8u

struct sign_item {
    const uint8_t *public_key; /* SIGN_PUBLIC_BYTES */
    struct wm_view bytes;
    const uint8_t *signature; /* SIGN_SIGNATURE_BYTES */
    bool valid;               /* out */
};

/* Sets `valid` of each. */
void sign_verify_batch(struct sign_item *items, size_t count);

enum sign_path { SIGN_PATH_BEST, SIGN_PATH_LIBSODIUM, SIGN_PATH_IFMA };
/* For tests and benches: false, and nothing was done, where this machine lacks the path. */
WM_MUST_CHECK bool sign_verify_batch_by(enum sign_path path, struct sign_item *items, size_t count);
/* "ifma" or "libsodium": what SIGN_PATH_BEST is here. */
const char *sign_batch_path(void);

#endif
