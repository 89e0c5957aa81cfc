/* tier.h: the global tier: values of (tenant, key) that last, behind one interface.
 *
 * Implementations:
 *   tier_embedded.h  this node's own store (store/kv.h)
 *   tier_redis.h     a Redis server that all nodes share (store/redis.h)
 *   tier_cluster.h   sends each key to its master node; there the embedded one serves it
 *
 * A value is a string of bytes of fixed size (made by the first write, or by create), kept in
 * chunks of TIER_CHUNK_BYTES so that ranges of large values move alone. Beside values, under names
 * of their own (a key may have all of them): lists that only grow, 64-bit counters, sets of strings
 * with expiry (what the scheduler shares), and locks.
 *
 * When a function that changes something returns 0, the change lasts: it is on the disk of the
 * master (embedded), or acknowledged by Redis (whose own persistence must then be on).
 *
 * Locks (Faasm section 4.2, with what the original lacks). A lock is held for ttl_ms and renewed by
 * its holder. Each grant gets a fencing token larger than all before it for this key, also across
 * restarts. A write that names a token is refused with WM_E_STALE when that token's lock has
 * expired or another one was granted since: a holder that slept through its expiry cannot overwrite
 * what its successor wrote.
 *
 * Calls block; any thread may make them. Errors: WM_E_NOT_FOUND, WM_E_STALE, WM_E_LIMIT, WM_E_BUSY
 * (a lock that was not free within wait_ms), WM_E_INVALID (a range beyond the value's end), or a
 * negative errno of disk or network (-EHOSTUNREACH: the master does not answer), with a sentence in
 * diag. */
#ifndef WM_FAASLET_TIER_H
#define WM_FAASLET_TIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"

#define TIER_TENANT_BYTES_MAX 64u
#define TIER_KEY_BYTES_MAX 256u
#define TIER_VALUE_BYTES_MAX (UINT64_C(1) << 31)
#define TIER_CHUNK_BYTES 65536u
#define TIER_ELEMENT_BYTES_MAX (UINT32_C(1) << 20) /* of a list */
#define TIER_RANGES_MAX 65536u                     /* of one read or write */

struct tier_key {
    struct wm_view tenant, key;
};

struct tier_range {
    uint64_t offset;
    uint64_t len;
    uint8_t *bytes; /* read into, or written from; len of them */
};

enum tier_lock_mode { TIER_LOCK_READ, TIER_LOCK_WRITE };

struct tier_lock {
    uint64_t token;    /* fencing token, > 0 */
    uint8_t owner[16]; /* random; names this holder among readers */
    enum tier_lock_mode mode;
};

/* Called once for each entry, in order; false stops. Views are borrowed for the call. */
typedef bool tier_emit_fn(void *self, struct wm_view name, uint64_t bytes);

struct tier_ops {
    /* Size of a value. */
    int (*size)(void *self, struct tier_key key, uint64_t *bytes, struct wm_diag *diag);
    /* `bytes` zero bytes where there is none: 0; WM_E_INVALID when there is one of another size. */
    int (*create)(void *self, struct tier_key key, uint64_t bytes, struct wm_diag *diag);
    /* All ranges, which lie inside the value, or none. One moment's content for the whole call on
     * the embedded tier; for each range on Redis. */
    int (*read)(void *self, struct tier_key key, const struct tier_range *ranges, uint32_t count,
                struct wm_diag *diag);
    /* All ranges or none, at one moment. `bytes`: the value's size, made where there is none.
     * token 0: no fence. */
    int (*write)(void *self, struct tier_key key, uint64_t bytes, const struct tier_range *ranges,
                 uint32_t count, uint64_t token, struct wm_diag *diag);
    /* Value, list and counter of that key. */
    int (*remove)(void *self, struct tier_key key, struct wm_diag *diag);
    /* Keys of a tenant that start with `prefix` and come after `after`, in the order of bytes. */
    int (*list)(void *self, struct wm_view tenant, struct wm_view prefix, struct wm_view after,
                tier_emit_fn *emit, void *emit_self, struct wm_diag *diag);

    int (*append)(void *self, struct tier_key key, struct wm_view element, uint64_t *index,
                  struct wm_diag *diag);
    /* Elements from `first` on: emit's name is the element, its bytes the index. */
    int (*appended)(void *self, struct tier_key key, uint64_t first, uint64_t count,
                    tier_emit_fn *emit, void *emit_self, struct wm_diag *diag);
    int (*appended_count)(void *self, struct tier_key key, uint64_t *count, struct wm_diag *diag);
    int (*clear_appended)(void *self, struct tier_key key, struct wm_diag *diag);
    int (*add)(void *self, struct tier_key key, int64_t delta, int64_t *now, struct wm_diag *diag);

    /* owner and mode are filled in by the caller, token by a grant. */
    int (*lock)(void *self, struct tier_key key, struct tier_lock *lock, uint32_t ttl_ms,
                uint32_t wait_ms, struct wm_diag *diag);
    /* WM_E_STALE: it is lost. */
    int (*renew)(void *self, struct tier_key key, const struct tier_lock *lock, uint32_t ttl_ms,
                 struct wm_diag *diag);
    int (*unlock)(void *self, struct tier_key key, const struct tier_lock *lock,
                  struct wm_diag *diag);

    /* Sets of short strings; a member vanishes ttl_ms after it was last added. Soft state: it may
     * be lost with its master, and is then added again by the next renewal. */
    int (*set_add)(void *self, struct tier_key key, struct wm_view member, uint32_t ttl_ms,
                   struct wm_diag *diag);
    int (*set_remove)(void *self, struct tier_key key, struct wm_view member, struct wm_diag *diag);
    int (*set_members)(void *self, struct tier_key key, tier_emit_fn *emit, void *emit_self,
                       struct wm_diag *diag);
    void (*close)(void *self);
};

struct tier {
    const struct tier_ops *ops;
    void *self;
};

/* Bytes moved and operations, for metrics; every implementation counts them. */
struct tier_stats {
    uint64_t reads, writes, bytes_read, bytes_written, locks, errors;
};

#endif
