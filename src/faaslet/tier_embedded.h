/* tier_embedded.h: the global tier in this node's own store (store/kv.h), for keys it is master of.
 *
 * Layout on disk: doc/format/state.md. What changes is on the disk when a call returns 0; calls of
 * several threads share disk writes. Reads show one commit's state and wait for nobody.
 *
 * Locks are granted in the order of the requests, readers together, so that a writer among readers
 * gets its turn. A grant is a disk write; a renewal, a release and a try that fails are not. After
 * a restart those who may still hold a lock hold it for its time to live again: until then a lock
 * that was released just before the end seems held. A holder that asks again with the same owner
 * and mode gets its token again, so a request whose answer was lost may be repeated.
 *
 * Limits: tier.h's; TIER_LOCKS_MAX locks that are held or waited for at a time and tier_sets.h's
 * for sets, beyond which WM_E_LIMIT. There is no quota per tenant here: callers keep that.
 *
 * Threads: any; a call may wait for a lock as long as wait_ms. */
#ifndef WM_FAASLET_TIER_EMBEDDED_H
#define WM_FAASLET_TIER_EMBEDDED_H

#include "faaslet/tier.h"
#include "store/kv.h"

#define TIER_LOCKS_MAX 262144u

struct tier_embedded_config {
    struct kv *kv; /* borrowed; tables of names that start with "state." are this tier's */
    /* Milliseconds of a clock that never goes back and never stops; NULL: CLOCK_BOOTTIME. */
    int64_t (*now_ms)(void *self);
    void *now_self;
    /* How many bytes this tenant may use; 0: no limit. NULL: nobody has one. Called while a change
     * is committed, on any thread: must neither wait nor call this tier. */
    uint64_t (*quota)(void *self, struct wm_view tenant);
    void *quota_self;
};

WM_MUST_CHECK int tier_embedded_new(const struct tier_embedded_config *config, struct tier *out,
                                    struct wm_diag *diag);
/* `tier` must be one of tier_embedded_new. */
void tier_embedded_stats(const struct tier *tier, struct tier_stats *out);
/* What counts towards the quota. */
WM_MUST_CHECK int tier_embedded_usage(const struct tier *tier, struct wm_view tenant,
                                      uint64_t *bytes, struct wm_diag *diag);
/* Lets waiting lockers look at the clock again: for a clock that does not run by itself. */
void tier_embedded_wake(const struct tier *tier);

#endif
