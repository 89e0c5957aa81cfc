/* A list of keys under one mutex. */
#include "faaslet/tier_fake.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/error.h"
#include "faaslet/pause.h"

#define READERS_MAX 64

struct grant {
    struct tier_lock lock;
    int64_t ends_ns;
};

struct fake_key {
    struct fake_key *next;
    uint8_t *tenant, *key;
    size_t tenant_len, key_len;
    uint8_t *value;
    uint64_t bytes;
    bool has_value;
    struct wm_view *elements;
    uint64_t element_count;
    int64_t counter;
    uint64_t last_token;
    struct grant grants[READERS_MAX];
    uint32_t grant_count;
};

struct tier_fake {
    pthread_mutex_t mutex;
    struct fake_key *keys;
    struct tier_stats stats;
    uint64_t ops, fail_at, ranges, renewals;
    int fail_code, refuse_renewals;
    const char *refuse_key; /* NULL: all */
    bool failed;
    uint32_t op_us;
};

struct tier_fake *tier_fake_new(void)
{
    struct tier_fake *fake = calloc(1, sizeof *fake);
    if (fake && pthread_mutex_init(&fake->mutex, NULL) != 0) {
        free(fake);
        return NULL;
    }
    return fake;
}

static void clear_elements(struct fake_key *key)
{
    for (uint64_t i = 0; i < key->element_count; i++) {
        free((void *)key->elements[i].ptr);
    }
    free(key->elements);
    key->elements = NULL;
    key->element_count = 0;
}

void tier_fake_free(struct tier_fake *fake)
{
    while (fake && fake->keys) {
        struct fake_key *key = fake->keys;
        fake->keys = key->next;
        clear_elements(key);
        free(key->value);
        free(key->tenant);
        free(key->key);
        free(key);
    }
    if (fake) {
        pthread_mutex_destroy(&fake->mutex);
        free(fake);
    }
}

static void must(const void *made)
{
    if (!made) {
        abort(); /* a test that has no memory has no result */
    }
}

static uint8_t *copy(struct wm_view bytes)
{
    uint8_t *made = malloc(bytes.len + 1);
    must(made);
    memcpy(made, bytes.ptr ? bytes.ptr : (const uint8_t *)"", bytes.len);
    return made;
}

static struct fake_key *find(struct tier_fake *fake, struct tier_key name, bool make)
{
    struct fake_key *key = fake->keys;
    while (key && !(wm_view_eq(wm_view_of(key->tenant, key->tenant_len), name.tenant) &&
                    wm_view_eq(wm_view_of(key->key, key->key_len), name.key))) {
        key = key->next;
    }
    if (!key && make) {
        key = calloc(1, sizeof *key);
        must(key);
        key->tenant = copy(name.tenant);
        key->key = copy(name.key);
        key->tenant_len = name.tenant.len;
        key->key_len = name.key.len;
        key->next = fake->keys;
        fake->keys = key;
    }
    return key;
}

/* Begins an operation: 0 with the mutex held, or what was to be injected. */
static int enter(struct tier_fake *fake, struct wm_diag *diag)
{
    pthread_mutex_lock(&fake->mutex);
    uint32_t op_us = fake->op_us;
    bool fail = ++fake->ops == fake->fail_at;
    int code = fake->fail_code;
    fake->failed = fake->failed || fail;
    fake->stats.errors += fail;
    pthread_mutex_unlock(&fake->mutex);
    if (op_us) {
        usleep(op_us);
    }
    if (fail) {
        return wm_diag_set(diag, code, "fake tier: told to fail");
    }
    pthread_mutex_lock(&fake->mutex);
    return 0;
}

static int leave(struct tier_fake *fake, int rc, struct wm_diag *diag)
{
    fake->stats.errors += rc != 0;
    pthread_mutex_unlock(&fake->mutex);
    return rc == 0 ? 0 : wm_diag_default(diag, rc, "fake tier");
}

static int fake_size(void *self, struct tier_key name, uint64_t *bytes, struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, false);
    rc = key && key->has_value ? 0 : WM_E_NOT_FOUND;
    *bytes = rc == 0 ? key->bytes : 0;
    return leave(fake, rc, diag);
}

static int make_value(struct fake_key *key, uint64_t bytes)
{
    if (key->has_value) {
        return key->bytes == bytes ? 0 : WM_E_INVALID;
    }
    key->value = calloc(1, bytes + 1);
    must(key->value);
    key->bytes = bytes;
    key->has_value = true;
    return 0;
}

static int fake_create(void *self, struct tier_key name, uint64_t bytes, struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    return rc ? rc : leave(fake, make_value(find(fake, name, true), bytes), diag);
}

static bool all_fit(const struct tier_range *ranges, uint32_t count, uint64_t bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!wm_range_fits(ranges[i].offset, ranges[i].len, bytes)) {
            return false;
        }
    }
    return count <= TIER_RANGES_MAX;
}

static int fake_read(void *self, struct tier_key name, const struct tier_range *ranges,
                     uint32_t count, struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, false);
    rc = !key || !key->has_value               ? WM_E_NOT_FOUND
         : !all_fit(ranges, count, key->bytes) ? WM_E_INVALID
                                               : 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        memcpy(ranges[i].bytes, key->value + ranges[i].offset, ranges[i].len);
        fake->stats.bytes_read += ranges[i].len;
    }
    fake->stats.reads++;
    return leave(fake, rc, diag);
}

static void expire(struct fake_key *key)
{
    int64_t now = pause_clock_ns();
    for (uint32_t i = 0; i < key->grant_count;) {
        if (key->grants[i].ends_ns <= now) {
            key->grants[i] = key->grants[--key->grant_count];
        } else {
            i++;
        }
    }
}

static struct grant *find_grant(struct fake_key *key, uint64_t token)
{
    expire(key);
    for (uint32_t i = 0; i < key->grant_count; i++) {
        if (key->grants[i].lock.token == token) {
            return &key->grants[i];
        }
    }
    return NULL;
}

static int fake_write(void *self, struct tier_key name, uint64_t bytes,
                      const struct tier_range *ranges, uint32_t count, uint64_t token,
                      struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, true);
    if (token && (!find_grant(key, token) || token != key->last_token)) {
        rc = WM_E_STALE;
    }
    rc = rc ? rc : all_fit(ranges, count, bytes) ? make_value(key, bytes) : WM_E_INVALID;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        memcpy(key->value + ranges[i].offset, ranges[i].bytes, ranges[i].len);
        fake->stats.bytes_written += ranges[i].len;
        fake->ranges++;
    }
    fake->stats.writes++;
    return leave(fake, rc, diag);
}

static int fake_remove(void *self, struct tier_key name, struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, false);
    if (key) {
        free(key->value);
        key->value = NULL;
        key->has_value = false;
        key->counter = 0;
        clear_elements(key);
    }
    return leave(fake, 0, diag);
}

static int fake_list(void *self, struct wm_view tenant, struct wm_view prefix, struct wm_view after,
                     tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    (void)self, (void)tenant, (void)prefix, (void)after, (void)emit, (void)emit_self;
    return wm_diag_set(diag, WM_E_UNSUPPORTED, "fake tier: no listing");
}

static int fake_append(void *self, struct tier_key name, struct wm_view element, uint64_t *index,
                       struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, true);
    key->elements = realloc(key->elements, (key->element_count + 1) * sizeof *key->elements);
    must(key->elements);
    key->elements[key->element_count] = wm_view_of(copy(element), element.len);
    *index = key->element_count++;
    fake->stats.bytes_written += element.len;
    return leave(fake, 0, diag);
}

static int fake_appended(void *self, struct tier_key name, uint64_t first, uint64_t count,
                         tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, false);
    for (uint64_t i = first; key && i < key->element_count && i - first < count; i++) {
        fake->stats.bytes_read += key->elements[i].len;
        if (!emit(emit_self, key->elements[i], i)) {
            break;
        }
    }
    return leave(fake, 0, diag);
}

static int fake_appended_count(void *self, struct tier_key name, uint64_t *count,
                               struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, false);
    *count = key ? key->element_count : 0;
    return leave(fake, 0, diag);
}

static int fake_clear_appended(void *self, struct tier_key name, struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, false);
    if (key) {
        clear_elements(key);
    }
    return leave(fake, 0, diag);
}

static int fake_add(void *self, struct tier_key name, int64_t delta, int64_t *now,
                    struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, true);
    key->counter = (int64_t)((uint64_t)key->counter + (uint64_t)delta);
    *now = key->counter;
    return leave(fake, 0, diag);
}

static bool grant(struct fake_key *key, struct tier_lock *lock, uint32_t ttl_ms)
{
    expire(key);
    for (uint32_t i = 0; i < key->grant_count; i++) {
        if (lock->mode == TIER_LOCK_WRITE || key->grants[i].lock.mode == TIER_LOCK_WRITE) {
            return false;
        }
    }
    if (key->grant_count == READERS_MAX) {
        return false;
    }
    lock->token = ++key->last_token;
    key->grants[key->grant_count++] =
        (struct grant){*lock, pause_clock_ns() + (int64_t)ttl_ms * 1000000};
    return true;
}

static int fake_lock(void *self, struct tier_key name, struct tier_lock *lock, uint32_t ttl_ms,
                     uint32_t wait_ms, struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int64_t until_ns = pause_clock_ns() + (int64_t)wait_ms * 1000000;
    for (;;) {
        int rc = enter(fake, diag);
        if (rc != 0) {
            return rc;
        }
        bool granted = grant(find(fake, name, true), lock, ttl_ms);
        fake->stats.locks += granted;
        if (granted || pause_clock_ns() >= until_ns) {
            return leave(fake, granted ? 0 : WM_E_BUSY, diag);
        }
        (void)leave(fake, 0, diag);
        usleep(500);
    }
}

static int fake_renew(void *self, struct tier_key name, const struct tier_lock *lock,
                      uint32_t ttl_ms, struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, true);
    struct grant *found = find_grant(key, lock->token);
    bool refused = fake->refuse_renewals &&
                   (!fake->refuse_key || wm_view_eq(name.key, wm_view_str(fake->refuse_key)));
    rc = refused ? fake->refuse_renewals : found ? 0 : WM_E_STALE;
    if (rc == 0) {
        found->ends_ns = pause_clock_ns() + (int64_t)ttl_ms * 1000000;
    }
    fake->renewals++;
    return leave(fake, rc, diag);
}

static int fake_unlock(void *self, struct tier_key name, const struct tier_lock *lock,
                       struct wm_diag *diag)
{
    struct tier_fake *fake = self;
    int rc = enter(fake, diag);
    if (rc != 0) {
        return rc;
    }
    struct fake_key *key = find(fake, name, true);
    struct grant *found = find_grant(key, lock->token);
    if (found) {
        *found = key->grants[--key->grant_count];
    }
    return leave(fake, found ? 0 : WM_E_STALE, diag);
}

static int fake_set_change(void *self, struct tier_key name, struct wm_view member, uint32_t ttl_ms,
                           struct wm_diag *diag)
{
    (void)self, (void)name, (void)member, (void)ttl_ms;
    return wm_diag_set(diag, WM_E_UNSUPPORTED, "fake tier: no sets");
}

static int fake_set_remove(void *self, struct tier_key name, struct wm_view member,
                           struct wm_diag *diag)
{
    return fake_set_change(self, name, member, 0, diag);
}

static int fake_set_members(void *self, struct tier_key name, tier_emit_fn *emit, void *emit_self,
                            struct wm_diag *diag)
{
    (void)emit, (void)emit_self;
    return fake_set_change(self, name, wm_view_of(NULL, 0), 0, diag);
}

static void fake_close(void *self)
{
    (void)self;
}

static const struct tier_ops ops = {
    .size = fake_size,
    .create = fake_create,
    .read = fake_read,
    .write = fake_write,
    .remove = fake_remove,
    .list = fake_list,
    .append = fake_append,
    .appended = fake_appended,
    .appended_count = fake_appended_count,
    .clear_appended = fake_clear_appended,
    .add = fake_add,
    .lock = fake_lock,
    .renew = fake_renew,
    .unlock = fake_unlock,
    .set_add = fake_set_change,
    .set_remove = fake_set_remove,
    .set_members = fake_set_members,
    .close = fake_close,
};

struct tier tier_fake_tier(struct tier_fake *fake)
{
    return (struct tier){&ops, fake};
}

void tier_fake_fail(struct tier_fake *fake, uint64_t n, int code)
{
    pthread_mutex_lock(&fake->mutex);
    fake->fail_at = n ? fake->ops + n : 0;
    fake->fail_code = code;
    fake->failed = false;
    pthread_mutex_unlock(&fake->mutex);
}

bool tier_fake_failed(struct tier_fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    bool failed = fake->failed;
    pthread_mutex_unlock(&fake->mutex);
    return failed;
}

void tier_fake_delay(struct tier_fake *fake, uint32_t op_us)
{
    pthread_mutex_lock(&fake->mutex);
    fake->op_us = op_us;
    pthread_mutex_unlock(&fake->mutex);
}

void tier_fake_refuse_renewals(struct tier_fake *fake, const char *key, int code)
{
    pthread_mutex_lock(&fake->mutex);
    fake->refuse_key = key;
    fake->refuse_renewals = code;
    pthread_mutex_unlock(&fake->mutex);
}

void tier_fake_drop_locks(struct tier_fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    for (struct fake_key *key = fake->keys; key; key = key->next) {
        key->grant_count = 0;
    }
    pthread_mutex_unlock(&fake->mutex);
}

struct tier_stats tier_fake_stats(struct tier_fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    struct tier_stats stats = fake->stats;
    pthread_mutex_unlock(&fake->mutex);
    return stats;
}

uint64_t tier_fake_ranges_written(struct tier_fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    uint64_t ranges = fake->ranges;
    pthread_mutex_unlock(&fake->mutex);
    return ranges;
}

uint64_t tier_fake_renewals(struct tier_fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    uint64_t renewals = fake->renewals;
    pthread_mutex_unlock(&fake->mutex);
    return renewals;
}
