/* trust.c: a list under a lock, and its table. */
#include "node/trust.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "store/kv.h"

#define TABLE "trusted" /* key -> name of the node that told of it */

struct trust {
    struct kv *kv;
    pthread_mutex_t lock;
    size_t count;
    uint8_t keys[TRUST_KEYS_MAX][SIGN_PUBLIC_BYTES];
};

static bool knows(const struct trust *trust, const uint8_t key[SIGN_PUBLIC_BYTES])
{
    for (size_t i = 0; i < trust->count; i++) {
        if (memcmp(trust->keys[i], key, SIGN_PUBLIC_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static bool load_one(void *self, struct wm_view key, struct wm_view value)
{
    struct trust *trust = self;
    (void)value;
    if (key.len == SIGN_PUBLIC_BYTES && trust->count < TRUST_KEYS_MAX && !knows(trust, key.ptr)) {
        memcpy(trust->keys[trust->count++], key.ptr, key.len);
    }
    return true;
}

int trust_open(struct kv *kv, const uint8_t own[SIGN_PUBLIC_BYTES], struct trust **out,
               struct wm_diag *diag)
{
    struct kv_reader *reader;
    struct trust *trust = wm_alloc_zero(1, sizeof *trust);
    if (!trust) {
        return wm_diag_default(diag, -ENOMEM, "trusted keys");
    }
    trust->kv = kv;
    memcpy(trust->keys[trust->count++], own, SIGN_PUBLIC_BYTES);
    int err = kv_read_begin(kv, &reader, diag);
    if (!err) {
        err = kv_scan(reader, TABLE, (struct wm_view){0}, (struct wm_view){0}, load_one, trust);
        err = err == WM_E_NOT_FOUND ? 0 : err;
        kv_read_end(reader);
    }
    if (err) {
        wm_free(trust);
        return wm_diag_default(diag, err, "trusted keys");
    }
    pthread_mutex_init(&trust->lock, NULL);
    *out = trust;
    return 0;
}

void trust_close(struct trust *trust)
{
    if (trust) {
        pthread_mutex_destroy(&trust->lock);
        wm_free(trust);
    }
}

int trust_add(struct trust *trust, const uint8_t (*keys)[SIGN_PUBLIC_BYTES], size_t count,
              const char *from, struct wm_diag *diag)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++) {
        pthread_mutex_lock(&trust->lock);
        bool known = knows(trust, keys[i]), full = trust->count >= TRUST_KEYS_MAX;
        pthread_mutex_unlock(&trust->lock);
        if (known) {
            continue;
        }
        if (full) {
            return wm_diag_set(diag, WM_E_LIMIT, "trusted keys: there are %u already",
                               TRUST_KEYS_MAX);
        }
        err = kv_put_one(trust->kv, TABLE, wm_view_of(keys[i], SIGN_PUBLIC_BYTES),
                         wm_view_str(from), diag);
        pthread_mutex_lock(&trust->lock);
        if (!err && trust->count < TRUST_KEYS_MAX && !knows(trust, keys[i])) {
            memcpy(trust->keys[trust->count++], keys[i], SIGN_PUBLIC_BYTES);
        }
        pthread_mutex_unlock(&trust->lock);
    }
    return err;
}

uint8_t (*trust_keys(struct trust *trust, size_t *count))[SIGN_PUBLIC_BYTES]
{
    uint8_t(*copy)[SIGN_PUBLIC_BYTES] = wm_alloc(sizeof trust->keys);
    if (copy) {
        pthread_mutex_lock(&trust->lock);
        *count = trust->count;
        memcpy(copy, trust->keys, trust->count * sizeof *copy);
        pthread_mutex_unlock(&trust->lock);
    }
    return copy;
}
