#include "sim/bft_wrap.h"

#include <malloc.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "sim/bft_base.h"

/* --- Memory --- */

void *__real_wm_alloc(size_t len);
void *__real_wm_alloc_zero(size_t count, size_t len);
void *__real_wm_realloc(void *old, size_t count, size_t len);
void __real_wm_free(void *ptr);
void *__wrap_wm_alloc(size_t len);
void *__wrap_wm_alloc_zero(size_t count, size_t len);
void *__wrap_wm_realloc(void *old, size_t count, size_t len);
void __wrap_wm_free(void *ptr);

static int64_t held_bytes;

int64_t wrap_held_bytes(void)
{
    return held_bytes;
}

static void *count_in(void *block)
{
    held_bytes += (int64_t)malloc_usable_size(block);
    return block;
}

void *__wrap_wm_alloc(size_t len)
{
    return count_in(__real_wm_alloc(len));
}

void *__wrap_wm_alloc_zero(size_t count, size_t len)
{
    return count_in(__real_wm_alloc_zero(count, len));
}

void *__wrap_wm_realloc(void *old, size_t count, size_t len)
{
    int64_t before = (int64_t)malloc_usable_size(old);
    void *block = __real_wm_realloc(old, count, len);
    if (block) {
        held_bytes -= before;
        count_in(block);
    }
    return block;
}

void __wrap_wm_free(void *ptr)
{
    held_bytes -= (int64_t)malloc_usable_size(ptr);
    __real_wm_free(ptr);
}

/* --- Signatures --- */

void __real_sign_bytes(const struct sign_key *key, struct wm_view bytes,
                       uint8_t signature[SIGN_SIGNATURE_BYTES]);
bool __real_sign_verify(const uint8_t public_key[SIGN_PUBLIC_BYTES], struct wm_view bytes,
                        const uint8_t signature[SIGN_SIGNATURE_BYTES]);
void __wrap_sign_bytes(const struct sign_key *key, struct wm_view bytes,
                       uint8_t signature[SIGN_SIGNATURE_BYTES]);
bool __wrap_sign_verify(const uint8_t public_key[SIGN_PUBLIC_BYTES], struct wm_view bytes,
                        const uint8_t signature[SIGN_SIGNATURE_BYTES]);

/* A cache with one place for each hash: what comes later takes it. */
#define PLACES (1u << 16)
struct place {
    bool used;
    uint8_t hash[WM_SHA256_BYTES]; /* of key and bytes */
    uint8_t signature[SIGN_SIGNATURE_BYTES];
};
static struct place *places;
static struct wrap_counts counts;

void wrap_counts(struct wrap_counts *out)
{
    *out = counts;
}

static struct place *place_of(const uint8_t public_key[SIGN_PUBLIC_BYTES], struct wm_view bytes,
                              uint8_t hash[WM_SHA256_BYTES])
{
    struct wm_sha256 state;
    uint32_t at;
    wm_sha256_init(&state);
    wm_sha256_add(&state, wm_view_of(public_key, SIGN_PUBLIC_BYTES));
    wm_sha256_add(&state, bytes);
    wm_sha256_end(&state, hash);
    memcpy(&at, hash, sizeof at);
    if (!places) {
        places = sim_alloc(PLACES, sizeof *places);
    }
    return &places[at % PLACES];
}

static void remember(struct place *place, const uint8_t hash[WM_SHA256_BYTES],
                     const uint8_t signature[SIGN_SIGNATURE_BYTES])
{
    place->used = true;
    memcpy(place->hash, hash, sizeof place->hash);
    memcpy(place->signature, signature, sizeof place->signature);
}

void __wrap_sign_bytes(const struct sign_key *key, struct wm_view bytes,
                       uint8_t signature[SIGN_SIGNATURE_BYTES])
{
    uint8_t hash[WM_SHA256_BYTES];
    struct place *place = place_of(key->public_key, bytes, hash);
    if (place->used && memcmp(place->hash, hash, sizeof hash) == 0) {
        counts.remembered++;
        memcpy(signature, place->signature, SIGN_SIGNATURE_BYTES);
        return;
    }
    counts.signed_++;
    __real_sign_bytes(key, bytes, signature);
    remember(place, hash, signature);
}

bool __wrap_sign_verify(const uint8_t public_key[SIGN_PUBLIC_BYTES], struct wm_view bytes,
                        const uint8_t signature[SIGN_SIGNATURE_BYTES])
{
    uint8_t hash[WM_SHA256_BYTES];
    struct place *place = place_of(public_key, bytes, hash);
    bool same = place->used && memcmp(place->hash, hash, sizeof hash) == 0;
    if (same && memcmp(place->signature, signature, SIGN_SIGNATURE_BYTES) == 0) {
        counts.remembered++;
        return true;
    }
    counts.checked++;
    bool valid = __real_sign_verify(public_key, bytes, signature);
    if (valid &&
        !same) { /* Ed25519 has one valid signature that is made; others do not push it out */
        remember(place, hash, signature);
    }
    return valid;
}
