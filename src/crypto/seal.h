/* seal.h: secrets at rest: authenticated encryption under one 32-byte key (libsodium's secretbox:
 * XSalsa20-Poly1305 with a random nonce, which is 24 bytes and so never repeats).
 *
 *     nonce (24)  tag (16)  ciphertext
 *
 * The name under which a box is kept is bound to it: the key that seals is derived from `key` and
 * the name (BLAKE2b), so a box moved to another name does not open. Any thread. */
#ifndef WM_CRYPTO_SEAL_H
#define WM_CRYPTO_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/view.h"

#define WM_SEAL_KEY_BYTES 32u
#define WM_SEAL_EXTRA_BYTES 40u

/* out: text.len + WM_SEAL_EXTRA_BYTES. */
void wm_seal(const uint8_t key[WM_SEAL_KEY_BYTES], struct wm_view name, struct wm_view text,
             uint8_t *out);
/* out: box.len - WM_SEAL_EXTRA_BYTES. WM_E_FORGED: not sealed under this key and name, or changed;
 * out is then undefined. */
WM_MUST_CHECK int wm_unseal(const uint8_t key[WM_SEAL_KEY_BYTES], struct wm_view name,
                            struct wm_view box, uint8_t *out);
void wm_wipe(void *secret, size_t len);

#endif
