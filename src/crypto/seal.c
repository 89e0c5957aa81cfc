/* secretbox under a key of the box's own name; see the header. */
#include "crypto/seal.h"

#include <sodium.h>

#include "base/assert.h"
#include "base/error.h"

_Static_assert(WM_SEAL_KEY_BYTES == crypto_secretbox_KEYBYTES, "size of a key");
_Static_assert(WM_SEAL_EXTRA_BYTES == crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES,
               "what a box adds");

static void derive(const uint8_t key[WM_SEAL_KEY_BYTES], struct wm_view name,
                   uint8_t out[WM_SEAL_KEY_BYTES])
{
    int err = sodium_init(); /* 1 where it is done already */
    WM_ASSERT(err >= 0);
    err = crypto_generichash(out, WM_SEAL_KEY_BYTES, name.ptr, name.len, key, WM_SEAL_KEY_BYTES);
    WM_ASSERT(err == 0);
}

void wm_seal(const uint8_t key[WM_SEAL_KEY_BYTES], struct wm_view name, struct wm_view text,
             uint8_t *out)
{
    static const uint8_t nothing[1];
    uint8_t own[WM_SEAL_KEY_BYTES];
    derive(key, name, own);
    randombytes_buf(out, crypto_secretbox_NONCEBYTES);
    int err = crypto_secretbox_easy(out + crypto_secretbox_NONCEBYTES,
                                    text.len ? text.ptr : nothing, text.len, out, own);
    WM_ASSERT(err == 0);
    sodium_memzero(own, sizeof own);
}

int wm_unseal(const uint8_t key[WM_SEAL_KEY_BYTES], struct wm_view name, struct wm_view box,
              uint8_t *out)
{
    uint8_t own[WM_SEAL_KEY_BYTES];
    if (box.len < WM_SEAL_EXTRA_BYTES) {
        return WM_E_FORGED;
    }
    derive(key, name, own);
    int err = crypto_secretbox_open_easy(out, box.ptr + crypto_secretbox_NONCEBYTES,
                                         box.len - crypto_secretbox_NONCEBYTES, box.ptr, own);
    sodium_memzero(own, sizeof own);
    return err == 0 ? 0 : WM_E_FORGED;
}

void wm_wipe(void *secret, size_t len)
{
    sodium_memzero(secret, len);
}
