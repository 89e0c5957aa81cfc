/* local_tier.c: a hash table of keys, the list of idle ones, and the accounts of tenants.
 *
 * One mutex for all of it. A key with references is in the table; without, also in the list of idle
 * ones when it has a replica, else it is gone. While a key is being opened (its size is asked for)
 * it is marked, and others who want it wait for that without the mutex. */
#include "faaslet/local_tier.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "crypto/hash.h"
#include "faaslet/pause.h"

#define BUCKETS 4096u

struct tenant_account {
    struct tenant_account *next;
    struct local_tier *local;
    uint64_t bytes;
    uint8_t name_len;
    uint8_t name[TIER_TENANT_BYTES_MAX];
};

/* What is known of a replica until its memory is free again. */
struct account {
    struct account *next; /* of those given up */
    struct tenant_account *tenant;
    struct replica *replica;
    uint64_t region_bytes;
    uint32_t shared_id; /* 0: it is not */
};

struct local_key {
    struct local_tier *local;
    struct tenant_account *tenant;
    struct local_key *chain;         /* of the bucket */
    struct local_key *older, *newer; /* idle ones */
    uint32_t refs;
    bool idle, opening;
    struct key_lock lock;
    struct replica *replica;
    uint64_t hash;
    uint16_t key_len;
    uint8_t key[TIER_KEY_BYTES_MAX];
};

struct local_tier {
    struct local_tier_config config;
    struct lease_keeper *leases;
    pthread_mutex_t mutex;
    pthread_cond_t opened;
    uint64_t seed;
    struct local_key *buckets[BUCKETS];
    struct local_key *oldest, *newest;
    struct tenant_account *tenants;
    struct account *given_up;
    uint32_t last_id;
    uint64_t keys, replicas, bytes, evictions;
    _Atomic uint64_t pulled, pushed, mapped;
};

int local_tier_new(const struct local_tier_config *config, struct local_tier **out,
                   struct wm_diag *diag)
{
    struct local_tier *local = wm_alloc_zero(1, sizeof *local);
    if (!local) {
        return wm_diag_set(diag, -ENOMEM, "local tier: %s", wm_error_text(-ENOMEM));
    }
    local->config = *config;
    local->config.bytes_max = config->bytes_max ? config->bytes_max : UINT64_C(1) << 30;
    local->config.tenant_bytes_max =
        config->tenant_bytes_max ? config->tenant_bytes_max : local->config.bytes_max;
    local->config.keys_max = config->keys_max ? config->keys_max : 4096;
    wm_random_bytes((uint8_t *)&local->seed, sizeof local->seed);
    int rc = lease_keeper_new(config->renewals, config->lock_ttl_ms, &local->leases, diag);
    rc = rc ? rc : -pthread_mutex_init(&local->mutex, NULL);
    if (rc == 0 && (rc = pause_cond_init(&local->opened)) != 0) {
        pthread_mutex_destroy(&local->mutex);
    }
    if (rc != 0) {
        lease_keeper_free(local->leases);
        wm_free(local);
        return wm_diag_default(diag, rc, "local tier");
    }
    *out = local;
    return 0;
}

struct lease_keeper *local_tier_leases(struct local_tier *local)
{
    return local->leases;
}

/* --- Keys --- */

static uint64_t hash_of(const struct local_tier *local, struct tier_key key)
{
    uint64_t hash = local->seed;
    for (size_t i = 0; i < key.tenant.len; i++) {
        hash = (hash ^ key.tenant.ptr[i]) * UINT64_C(0x100000001b3);
    }
    hash = (hash ^ 0x100) * UINT64_C(0x100000001b3); /* where the key begins */
    for (size_t i = 0; i < key.key.len; i++) {
        hash = (hash ^ key.key.ptr[i]) * UINT64_C(0x100000001b3);
    }
    return hash ^ hash >> 29;
}

struct tier_key local_key_name(const struct local_key *key)
{
    return (struct tier_key){wm_view_of(key->tenant->name, key->tenant->name_len),
                             wm_view_of(key->key, key->key_len)};
}

struct key_lock *local_key_lock(struct local_key *key)
{
    return &key->lock;
}

static void idle_remove(struct local_key *key)
{
    struct local_tier *local = key->local;
    *(key->older ? &key->older->newer : &local->oldest) = key->newer;
    *(key->newer ? &key->newer->older : &local->newest) = key->older;
    key->older = key->newer = NULL;
    key->idle = false;
}

static void idle_add(struct local_key *key)
{
    struct local_tier *local = key->local;
    key->older = local->newest;
    *(local->newest ? &local->newest->newer : &local->oldest) = key;
    local->newest = key;
    key->idle = true;
}

/* Out of the table and away; its replica was taken. */
static void drop_key(struct local_key *key)
{
    struct local_key **at = &key->local->buckets[key->hash % BUCKETS];
    while (*at != key) {
        at = &(*at)->chain;
    }
    *at = key->chain;
    key->local->keys--;
    key_lock_fini(&key->lock);
    wm_free(key);
}

/* The replica's memory, where it has one, is free, and so are its bytes. Called without the mutex.
 */
static void close_account(struct account *account)
{
    struct tenant_account *tenant = account->tenant;
    struct local_tier *local = tenant->local;
    if (account->replica) {
        replica_free(account->replica);
    }
    pthread_mutex_lock(&local->mutex);
    tenant->bytes -= account->region_bytes;
    local->bytes -= account->region_bytes;
    local->replicas--;
    pthread_mutex_unlock(&local->mutex);
    wm_free(account);
}

static void give_up(struct local_tier *local, struct account *account)
{
    pthread_mutex_lock(&local->mutex);
    account->next = local->given_up;
    local->given_up = account;
    pthread_mutex_unlock(&local->mutex);
}

/* The replica's last reference is gone. What another process knows by its address must not become
 * other memory before that one was told. Called without the mutex. */
static void replica_gone(void *self, struct replica *replica)
{
    struct account *account = self;
    account->replica = replica;
    if (account->shared_id == 0) {
        close_account(account);
    } else {
        give_up(account->tenant->local, account);
    }
}

static struct account *take_given_up(struct local_tier *local)
{
    pthread_mutex_lock(&local->mutex);
    struct account *account = local->given_up;
    local->given_up = NULL;
    pthread_mutex_unlock(&local->mutex);
    return account;
}

void local_tier_tidy(struct local_tier *local, struct tier *tier)
{
    const struct local_tier_sharing *sharing = local->config.sharing;
    struct account *account = sharing ? take_given_up(local) : NULL;
    while (account) {
        struct account *next = account->next;
        if (sharing->unshare(sharing->self, tier, account->shared_id) == -EINTR) {
            give_up(local, account);
        } else {
            close_account(account);
        }
        account = next;
    }
}

/* Gives the longest unused clean replica up, of this tenant or (NULL) of any; false: there is none.
 * With the mutex held, which is given up in between. */
static bool evict_one(struct local_tier *local, const struct tenant_account *tenant)
{
    for (struct local_key *key = local->oldest; key; key = key->newer) {
        if ((tenant && key->tenant != tenant) || !replica_is_clean(key->replica)) {
            continue;
        }
        struct replica *replica = key->replica;
        idle_remove(key);
        drop_key(key);
        local->evictions++;
        pthread_mutex_unlock(&local->mutex);
        replica_put(replica);
        pthread_mutex_lock(&local->mutex);
        return true;
    }
    return false;
}

static struct tenant_account *account_of(struct local_tier *local, struct wm_view name)
{
    struct tenant_account *tenant = local->tenants;
    while (tenant && !wm_view_eq(wm_view_of(tenant->name, tenant->name_len), name)) {
        tenant = tenant->next;
    }
    if (!tenant && (tenant = wm_alloc_zero(1, sizeof *tenant))) {
        tenant->local = local;
        tenant->name_len = (uint8_t)name.len;
        memcpy(tenant->name, name.ptr, name.len);
        tenant->next = local->tenants;
        local->tenants = tenant;
    }
    return tenant;
}

static struct local_key *find_key(struct local_tier *local, struct tier_key name, uint64_t hash)
{
    struct local_key *key = local->buckets[hash % BUCKETS];
    while (key && !(key->hash == hash && wm_view_eq(local_key_name(key).key, name.key) &&
                    wm_view_eq(local_key_name(key).tenant, name.tenant))) {
        key = key->chain;
    }
    return key;
}

static int make_key(struct local_tier *local, struct tier_key name, uint64_t hash,
                    struct local_key **out)
{
    struct tenant_account *tenant = account_of(local, name.tenant);
    struct local_key *key = tenant ? wm_alloc_zero(1, sizeof *key) : NULL;
    int rc = key ? key_lock_init(&key->lock) : -ENOMEM;
    if (rc != 0) {
        wm_free(key);
        return rc;
    }
    key->local = local;
    key->tenant = tenant;
    key->hash = hash;
    key->key_len = (uint16_t)name.key.len;
    memcpy(key->key, name.key.ptr, name.key.len);
    key->chain = local->buckets[hash % BUCKETS];
    local->buckets[hash % BUCKETS] = key;
    local->keys++;
    *out = key;
    return 0;
}

int local_tier_take(struct local_tier *local, struct tier_key name, struct local_key **out,
                    struct wm_diag *diag)
{
    WM_ASSERT(name.tenant.len <= TIER_TENANT_BYTES_MAX && name.key.len <= TIER_KEY_BYTES_MAX);
    uint64_t hash = hash_of(local, name);
    int rc = 0;
    struct local_key *key;
    pthread_mutex_lock(&local->mutex);
    /* Evicting gives the mutex up: what was not there may be there afterwards. */
    while (!(key = find_key(local, name, hash)) && local->keys >= local->config.keys_max) {
        if (!evict_one(local, NULL)) {
            rc = wm_diag_set(diag, WM_E_LIMIT,
                             "state: %u keys are in use here or wait for a push: push or delete "
                             "some",
                             local->config.keys_max);
            break;
        }
    }
    if (!key && rc == 0) {
        rc = make_key(local, name, hash, &key);
        if (rc != 0) {
            (void)wm_diag_set(diag, rc, "state: a key: %s", wm_error_text(rc));
        }
    }
    if (rc == 0) {
        if (key->idle) {
            idle_remove(key);
        }
        key->refs++;
        *out = key;
    }
    pthread_mutex_unlock(&local->mutex);
    return rc;
}

void local_tier_put(struct local_key *key)
{
    struct local_tier *local = key->local;
    pthread_mutex_lock(&local->mutex);
    WM_ASSERT(key->refs > 0 && !key->idle);
    if (--key->refs == 0) {
        if (key->replica) {
            idle_add(key);
        } else {
            drop_key(key);
        }
    }
    pthread_mutex_unlock(&local->mutex);
}

void local_tier_free(struct local_tier *local)
{
    if (!local) {
        return;
    }
    lease_keeper_free(local->leases);
    while (local->oldest) {
        struct local_key *key = local->oldest;
        struct replica *replica = key->replica;
        idle_remove(key);
        drop_key(key);
        replica_put(replica);
    }
    /* Whom they are shared with learns of the end by the end of the process. */
    for (struct account *account = take_given_up(local); account;) {
        struct account *next = account->next;
        close_account(account);
        account = next;
    }
    WM_ASSERT(local->keys == 0 && local->replicas == 0);
    while (local->tenants) {
        struct tenant_account *tenant = local->tenants;
        local->tenants = tenant->next;
        wm_free(tenant);
    }
    pthread_mutex_destroy(&local->mutex);
    pthread_cond_destroy(&local->opened);
    wm_free(local);
}

/* --- Replicas --- */

struct replica *local_key_peek(struct local_key *key)
{
    pthread_mutex_lock(&key->local->mutex);
    struct replica *replica = key->replica ? replica_ref(key->replica) : NULL;
    pthread_mutex_unlock(&key->local->mutex);
    return replica;
}

/* Room for a region, counted as used on 0. */
static int reserve(struct local_key *key, struct tier *tier, uint64_t region_bytes,
                   struct wm_diag *diag)
{
    struct local_tier *local = key->local;
    struct tenant_account *tenant = key->tenant;
    int rc = 0;
    pthread_mutex_lock(&local->mutex);
    while (rc == 0) {
        bool tenant_full = region_bytes > local->config.tenant_bytes_max - tenant->bytes;
        bool full = region_bytes > local->config.bytes_max - local->bytes;
        if (!tenant_full && !full) {
            tenant->bytes += region_bytes;
            local->bytes += region_bytes;
            local->replicas++;
            break;
        }
        if (!evict_one(local, tenant_full ? tenant : NULL)) {
            rc = wm_diag_set(diag, WM_E_LIMIT,
                             "state: %llu bytes more are over %s limit of %llu here: push or "
                             "delete values, or raise it",
                             (unsigned long long)region_bytes,
                             tenant_full ? "the tenant's" : "the worker's",
                             (unsigned long long)(tenant_full ? local->config.tenant_bytes_max
                                                              : local->config.bytes_max));
        } else if (local->given_up) {
            pthread_mutex_unlock(&local->mutex);
            local_tier_tidy(local, tier);
            pthread_mutex_lock(&local->mutex);
        }
    }
    pthread_mutex_unlock(&local->mutex);
    return rc;
}

static void share(struct local_tier *local, struct tier *tier, struct account *account,
                  struct replica *replica)
{
    const struct local_tier_sharing *sharing = local->config.sharing;
    if (!sharing) {
        return;
    }
    struct wasm_region *region = replica_region(replica);
    uint64_t bytes;
    const uint8_t *base = wasm_region_bytes(region, &bytes);
    pthread_mutex_lock(&local->mutex);
    uint32_t id = ++local->last_id;
    pthread_mutex_unlock(&local->mutex);
    if (sharing->share(sharing->self, tier, id, wasm_region_fd(region), base, bytes) == 0) {
        account->shared_id = id;
    }
}

static int make_replica(struct local_key *key, struct replica_io *io, uint64_t create_bytes,
                        struct replica **out, struct wm_diag *diag)
{
    uint64_t bytes = 0;
    struct wm_diag found = WM_DIAG_INIT;
    int rc = io->tier->ops->size(io->tier->self, io->key, &bytes, &found);
    bool create = rc == WM_E_NOT_FOUND && create_bytes != 0;
    if (create) {
        bytes = create_bytes;
    } else if (rc != 0) {
        if (diag) {
            *diag = found;
        }
        return wm_diag_default(diag, rc, "state");
    }
    if (bytes > TIER_VALUE_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "state: a value of %llu bytes: at most 2 GiB",
                           (unsigned long long)bytes);
    }
    struct account *account = wm_alloc_zero(1, sizeof *account);
    if (!account) {
        return wm_diag_set(diag, -ENOMEM, "state: %s", wm_error_text(-ENOMEM));
    }
    account->tenant = key->tenant;
    account->region_bytes = replica_region_bytes(bytes);
    local_tier_tidy(key->local, io->tier);
    rc = reserve(key, io->tier, account->region_bytes, diag);
    if (rc != 0) {
        wm_free(account);
        return rc;
    }
    rc = replica_new(bytes, create, replica_gone, account, out, diag);
    if (rc != 0) {
        close_account(account);
        return rc;
    }
    share(key->local, io->tier, account, *out);
    return 0;
}

int local_key_open(struct local_key *key, struct replica_io *io, uint64_t create_bytes,
                   struct replica **out, struct wm_diag *diag)
{
    struct local_tier *local = key->local;
    int rc = 0;
    pthread_mutex_lock(&local->mutex);
    while (rc == 0 && key->opening && !key->replica) {
        rc = pause_wait(&local->opened, &local->mutex, PAUSE_FOREVER, io->stop, io->stop_self);
    }
    if (rc != 0 || key->replica) {
        *out = rc == 0 ? replica_ref(key->replica) : NULL;
        pthread_mutex_unlock(&local->mutex);
        return rc == 0 ? 0
                       : wm_diag_set(diag, rc, "state: waiting for a value: %s", wm_error_text(rc));
    }
    key->opening = true;
    pthread_mutex_unlock(&local->mutex);
    struct replica *made = NULL;
    rc = make_replica(key, io, create_bytes, &made, diag);
    pthread_mutex_lock(&local->mutex);
    key->opening = false;
    if (rc == 0) {
        key->replica = made;
        *out = replica_ref(made);
    }
    pthread_cond_broadcast(&local->opened);
    pthread_mutex_unlock(&local->mutex);
    return rc;
}

void local_key_forget(struct local_key *key, const struct replica *replica)
{
    pthread_mutex_lock(&key->local->mutex);
    struct replica *old = key->replica;
    if (old && (!replica || old == replica)) {
        key->replica = NULL;
    } else {
        old = NULL;
    }
    pthread_mutex_unlock(&key->local->mutex);
    replica_put(old);
}

/* --- Counters --- */

void local_tier_count(struct local_tier *local, uint64_t pulled, uint64_t pushed, uint64_t mapped)
{
    atomic_fetch_add_explicit(&local->pulled, pulled, memory_order_relaxed);
    atomic_fetch_add_explicit(&local->pushed, pushed, memory_order_relaxed);
    atomic_fetch_add_explicit(&local->mapped, mapped, memory_order_relaxed);
}

void local_tier_stats(struct local_tier *local, struct local_tier_stats *out)
{
    pthread_mutex_lock(&local->mutex);
    *out = (struct local_tier_stats){.keys = local->keys,
                                     .replicas = local->replicas,
                                     .replica_bytes = local->bytes,
                                     .evictions = local->evictions};
    pthread_mutex_unlock(&local->mutex);
    out->bytes_pulled = atomic_load_explicit(&local->pulled, memory_order_relaxed);
    out->bytes_pushed = atomic_load_explicit(&local->pushed, memory_order_relaxed);
    out->bytes_mapped = atomic_load_explicit(&local->mapped, memory_order_relaxed);
    out->locks_lost = lease_lost_count(local->leases);
}
