/* lease.c: the list of leases and the thread that goes through it.
 *
 * The thread renews one lease at a time without the list's mutex. A lease that is being given back
 * is not renewed any more; one that is just being renewed when it was given back is freed by the
 * thread. */
#include "faaslet/lease.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "crypto/hash.h"
#include "faaslet/pause.h"

#define TRY_MS 1000u /* of one wait in the tier: between two, a call that is to end is noticed */

struct lease {
    struct lease_keeper *keeper;
    struct lease *next;
    struct tier_lock lock;
    int64_t ends_ns;                       /* by our clock */
    int64_t due_ns;                        /* when it is to be renewed */
    bool lost, ending, renewing, released; /* ending: is being given back; released: was */
    uint8_t tenant_len;
    uint16_t key_len;
    uint8_t name[TIER_TENANT_BYTES_MAX + TIER_KEY_BYTES_MAX];
};

struct lease_keeper {
    struct tier *tier;
    uint32_t ttl_ms;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, stop;
    struct lease *leases;
    uint64_t lost;
};

static struct tier_key name_of(const struct lease *lease)
{
    return (struct tier_key){wm_view_of(lease->name, lease->tenant_len),
                             wm_view_of(lease->name + lease->tenant_len, lease->key_len)};
}

static int64_t ttl_ns(const struct lease_keeper *keeper)
{
    return (int64_t)keeper->ttl_ms * 1000000;
}

/* With the mutex held. */
static void lose(struct lease *lease)
{
    lease->keeper->lost += !lease->lost;
    lease->lost = true;
}

static bool is_lost(struct lease *lease)
{
    if (!lease->lost && pause_clock_ns() >= lease->ends_ns) {
        lose(lease);
    }
    return lease->lost;
}

int lease_keeper_new(struct tier *tier, uint32_t ttl_ms, struct lease_keeper **out,
                     struct wm_diag *diag)
{
    struct lease_keeper *keeper = wm_alloc_zero(1, sizeof *keeper);
    int rc = keeper ? 0 : -ENOMEM;
    if (keeper) {
        keeper->tier = tier;
        keeper->ttl_ms = ttl_ms ? ttl_ms : LEASE_TTL_MS;
        rc = -pthread_mutex_init(&keeper->mutex, NULL);
        if (rc == 0 && (rc = pause_cond_init(&keeper->changed)) != 0) {
            pthread_mutex_destroy(&keeper->mutex);
        }
    }
    if (rc != 0) {
        wm_free(keeper);
        return wm_diag_set(diag, rc, "locks: %s", wm_error_text(rc));
    }
    *out = keeper;
    return 0;
}

void lease_keeper_free(struct lease_keeper *keeper)
{
    if (!keeper) {
        return;
    }
    pthread_mutex_lock(&keeper->mutex);
    keeper->stop = true;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->mutex);
    if (keeper->started) {
        pthread_join(keeper->thread, NULL);
    }
    WM_ASSERT(!keeper->leases);
    pthread_mutex_destroy(&keeper->mutex);
    pthread_cond_destroy(&keeper->changed);
    wm_free(keeper);
}

static void unlink_lease(struct lease *lease)
{
    struct lease **at = &lease->keeper->leases;
    while (*at != lease) {
        at = &(*at)->next;
    }
    *at = lease->next;
}

/* With the mutex held: it lasts from then on. */
static void set_end(struct lease *lease, int64_t asked_ns)
{
    lease->ends_ns = asked_ns + ttl_ns(lease->keeper);
    lease->due_ns = asked_ns + ttl_ns(lease->keeper) / 3;
}

/* With the mutex held, which is given up in between. */
static void renew(struct lease *lease)
{
    struct lease_keeper *keeper = lease->keeper;
    struct tier_lock lock = lease->lock;
    int64_t asked_ns = pause_clock_ns();
    lease->renewing = true;
    pthread_mutex_unlock(&keeper->mutex);
    int rc =
        keeper->tier->ops->renew(keeper->tier->self, name_of(lease), &lock, keeper->ttl_ms, NULL);
    pthread_mutex_lock(&keeper->mutex);
    lease->renewing = false;
    if (rc == 0 && !is_lost(lease)) {
        set_end(lease, asked_ns);
    } else if (rc == WM_E_STALE) {
        lose(lease);
    } else { /* tried again until its end */
        lease->due_ns = pause_clock_ns() + ttl_ns(keeper) / 20;
    }
    if (lease->released) {
        unlink_lease(lease);
        wm_free(lease);
    }
}

/* The one to be renewed next. One that fails comes after others that are due: their masters may be
 * other nodes. */
static struct lease *next_due(struct lease_keeper *keeper)
{
    struct lease *found = NULL;
    for (struct lease *lease = keeper->leases; lease; lease = lease->next) {
        if (!lease->ending && !is_lost(lease) && (!found || lease->due_ns < found->due_ns)) {
            found = lease;
        }
    }
    return found;
}

static void *keep(void *self)
{
    struct lease_keeper *keeper = self;
    pthread_mutex_lock(&keeper->mutex);
    while (!keeper->stop) {
        struct lease *lease = next_due(keeper);
        if (!lease) {
            pthread_cond_wait(&keeper->changed, &keeper->mutex);
        } else if (pause_clock_ns() < lease->due_ns) {
            struct timespec at = {.tv_sec = lease->due_ns / 1000000000,
                                  .tv_nsec = lease->due_ns % 1000000000};
            pthread_cond_timedwait(&keeper->changed, &keeper->mutex, &at);
        } else {
            renew(lease);
        }
    }
    pthread_mutex_unlock(&keeper->mutex);
    return NULL;
}

/* With the mutex held. Signals are for the executors. */
static int start(struct lease_keeper *keeper)
{
    if (keeper->started || !keeper->tier) {
        return 0;
    }
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&keeper->thread, NULL, keep, keeper);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    keeper->started = rc == 0;
    return -rc;
}

int lease_take(struct lease_keeper *keeper, struct tier *tier, struct tier_key key,
               enum tier_lock_mode mode, uint32_t timeout_ms, bool (*stop)(void *self),
               void *stop_self, struct lease **out, struct wm_diag *diag)
{
    WM_ASSERT(key.tenant.len <= TIER_TENANT_BYTES_MAX && key.key.len <= TIER_KEY_BYTES_MAX);
    struct lease *lease = wm_alloc_zero(1, sizeof *lease);
    if (!lease) {
        return wm_diag_set(diag, -ENOMEM, "lock: %s", wm_error_text(-ENOMEM));
    }
    lease->keeper = keeper;
    lease->tenant_len = (uint8_t)key.tenant.len;
    lease->key_len = (uint16_t)key.key.len;
    memcpy(lease->name, key.tenant.ptr, key.tenant.len);
    memcpy(lease->name + key.tenant.len, key.key.ptr, key.key.len);
    lease->lock.mode = mode;
    wm_random_bytes(lease->lock.owner, sizeof lease->lock.owner);
    pthread_mutex_lock(&keeper->mutex);
    int rc = start(keeper);
    pthread_mutex_unlock(&keeper->mutex);
    if (rc != 0) {
        wm_free(lease);
        return wm_diag_set(diag, rc, "lock: starting the thread that renews: %s",
                           wm_error_text(rc));
    }
    uint32_t try_ms = keeper->ttl_ms / 4 < TRY_MS ? keeper->ttl_ms / 4 : TRY_MS;
    int64_t asked_ns, until_ns = timeout_ms == UINT32_MAX
                                     ? PAUSE_FOREVER
                                     : pause_clock_ns() + (int64_t)timeout_ms * 1000000;
    do {
        asked_ns = pause_clock_ns();
        int64_t left_ms = asked_ns < until_ns ? (until_ns - asked_ns + 999999) / 1000000 : 0;
        uint32_t wait_ms = left_ms < try_ms ? (uint32_t)left_ms : try_ms;
        if (stop && stop(stop_self)) {
            rc = wm_diag_set(diag, -EINTR, "lock: the call is to end");
            break;
        }
        rc = tier->ops->lock(tier->self, name_of(lease), &lease->lock, keeper->ttl_ms, wait_ms,
                             diag);
        if (rc == WM_E_BUSY && pause_clock_ns() >= until_ns) {
            rc = wm_diag_set(diag, -ETIMEDOUT, "lock: not free within %u ms", timeout_ms);
        }
    } while (rc == WM_E_BUSY);
    if (rc != 0) {
        wm_free(lease);
        return wm_diag_default(diag, rc, "lock");
    }
    /* It was granted some time after it was asked for: when exactly, nobody tells. The wait in the
     * tier is not part of its time, so this ends early by up to a quarter at first. */
    pthread_mutex_lock(&keeper->mutex);
    set_end(lease, asked_ns);
    lease->next = keeper->leases;
    keeper->leases = lease;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->mutex);
    *out = lease;
    return 0;
}

uint64_t lease_token(const struct lease *lease)
{
    return lease->lock.token;
}

enum tier_lock_mode lease_mode(const struct lease *lease)
{
    return lease->lock.mode;
}

bool lease_is_lost(struct lease *lease)
{
    pthread_mutex_lock(&lease->keeper->mutex);
    bool lost = is_lost(lease);
    pthread_mutex_unlock(&lease->keeper->mutex);
    return lost;
}

void lease_lose(struct lease *lease)
{
    pthread_mutex_lock(&lease->keeper->mutex);
    lose(lease);
    pthread_mutex_unlock(&lease->keeper->mutex);
}

int lease_release(struct lease *lease, struct tier *tier, struct wm_diag *diag)
{
    struct lease_keeper *keeper = lease->keeper;
    pthread_mutex_lock(&keeper->mutex);
    bool lost = is_lost(lease);
    lease->ending = true;
    pthread_mutex_unlock(&keeper->mutex);
    int rc = tier->ops->unlock(tier->self, name_of(lease), &lease->lock, diag);
    pthread_mutex_lock(&keeper->mutex);
    if (rc == WM_E_STALE) {
        lose(lease);
    } else if (rc != 0) { /* it may have ended while nobody answered */
        lost = is_lost(lease);
    }
    if (lease->renewing) {
        lease->released = true;
    } else {
        unlink_lease(lease);
        wm_free(lease);
    }
    pthread_mutex_unlock(&keeper->mutex);
    if (lost) {
        return wm_diag_set(diag, WM_E_STALE, "lock: it was lost before it was given back");
    }
    return rc;
}

uint64_t lease_lost_count(struct lease_keeper *keeper)
{
    pthread_mutex_lock(&keeper->mutex);
    uint64_t lost = keeper->lost;
    pthread_mutex_unlock(&keeper->mutex);
    return lost;
}
