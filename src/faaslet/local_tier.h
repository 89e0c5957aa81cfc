/* local_tier.h: all replicas of a worker process, by tenant and key (Faasm section 4.2).
 *
 * For each key in use there is a struct local_key: its local lock, and its replica once somebody
 * needed one. Keys that nobody uses stay while they have a replica, so that the next call finds it;
 * they are given up, the longest unused first, when a new replica needs the room, but only where
 * the global tier has everything (replica_is_clean). Written state that is not pushed is never
 * dropped; it counts against its tenant's quota until it is pushed or deleted.
 *
 * Limits: bytes of all replicas, bytes of each tenant, number of keys (each replica takes a
 * descriptor and a mapping); over one: WM_E_LIMIT. A replica that was deleted counts for as long as
 * a call still has it.
 *
 * Threads: any. The table's lock is never held across I/O. Tenant and key were checked by the
 * caller: at most TIER_TENANT_BYTES_MAX and TIER_KEY_BYTES_MAX bytes. */
#ifndef WM_FAASLET_LOCAL_TIER_H
#define WM_FAASLET_LOCAL_TIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "faaslet/key_lock.h"
#include "faaslet/lease.h"
#include "faaslet/replica.h"
#include "faaslet/tier.h"

struct local_tier;
struct local_key;

/* Where the global tier is another process that can map replicas, so that their bytes need not be
 * copied to it: it is told of each region, on the thread and through the tier of whoever makes or
 * gives up a replica. share: 0, or an error: this replica's bytes are copied then. unshare: no
 * transfer uses the region any more, and its memory goes only after this returned; -EINTR: is asked
 * again later. Ids are above 0 and not used twice. */
struct local_tier_sharing {
    void *self;
    int (*share)(void *self, struct tier *tier, uint32_t id, int memfd, const void *base,
                 uint64_t bytes);
    int (*unshare)(void *self, struct tier *tier, uint32_t id);
};

struct local_tier_config {     /* 0: the default in [] */
    uint64_t bytes_max;        /* of all replicas [1 GiB] */
    uint64_t tenant_bytes_max; /* of one tenant's [bytes_max] */
    uint32_t keys_max;         /* [4096] */
    struct tier *renewals;     /* for the thread that renews locks alone; NULL: none are renewed */
    uint32_t lock_ttl_ms;      /* [LEASE_TTL_MS] */
    const struct local_tier_sharing *sharing; /* outlives the local tier; NULL: none */
};

/* The config is copied; the tier it names outlives the local tier. */
WM_MUST_CHECK int local_tier_new(const struct local_tier_config *config, struct local_tier **out,
                                 struct wm_diag *diag);
/* No key may be in use. What was not pushed is lost, as it is when the worker dies. */
void local_tier_free(struct local_tier *local);

/* A reference to the key's entry, which is made where there is none. */
WM_MUST_CHECK int local_tier_take(struct local_tier *local, struct tier_key key,
                                  struct local_key **out, struct wm_diag *diag);
void local_tier_put(struct local_key *key);

/* Frees replicas that were given up, which with `sharing` takes a tier. Who makes replicas does
 * this, too. */
void local_tier_tidy(struct local_tier *local, struct tier *tier);

struct tier_key local_key_name(const struct local_key *key); /* as long as the reference */
struct key_lock *local_key_lock(struct local_key *key);
/* The replica of now, with a reference (replica_put), or NULL. */
struct replica *local_key_peek(struct local_key *key);
/* The same, made where there is none: of the global copy's size, or, where there is no such value
 * and create_bytes is not 0, of that many zero bytes. WM_E_NOT_FOUND. */
WM_MUST_CHECK int local_key_open(struct local_key *key, struct replica_io *io,
                                 uint64_t create_bytes, struct replica **out, struct wm_diag *diag);
/* The next to open the key makes a new replica; who has this one keeps it. NULL: any. */
void local_key_forget(struct local_key *key, const struct replica *replica);

struct lease_keeper *local_tier_leases(struct local_tier *local);

struct local_tier_stats {
    uint64_t keys, replicas, replica_bytes; /* now */
    uint64_t bytes_pulled, bytes_pushed, bytes_mapped, evictions, locks_lost;
};
void local_tier_stats(struct local_tier *local, struct local_tier_stats *out);
void local_tier_count(struct local_tier *local, uint64_t pulled, uint64_t pushed, uint64_t mapped);

#endif
