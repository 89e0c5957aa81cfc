/* lease.h: global locks that calls of this worker hold, renewed while they do.
 *
 * A global lock lasts LEASE_TTL_MS (tier.h). One thread renews all of them, well before they end,
 * through a tier of its own (tier.h: calls block, and an executor's connection is busy with its
 * call). A lease that the tier calls stale, or that could not be renewed before its end by our own
 * clock, counted from before the request was sent, is lost: it never comes back, and its holder is
 * told by the next thing it does (-ESTALE).
 * Renewals go one after another: a round trip to the tier for each lock of the worker has to fit
 * into a lock's time. One that fails is tried again behind those that are due.
 *
 * Threads: any; the thread is started by the first lease. */
#ifndef WM_FAASLET_LEASE_H
#define WM_FAASLET_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "faaslet/tier.h"

#define LEASE_TTL_MS 5000u

struct lease;
struct lease_keeper;

/* `tier` is for the keeper's thread alone until lease_keeper_free; NULL: nothing is renewed, so
 * locks are lost after their time. ttl_ms 0: LEASE_TTL_MS. */
WM_MUST_CHECK int lease_keeper_new(struct tier *tier, uint32_t ttl_ms, struct lease_keeper **out,
                                   struct wm_diag *diag);
void lease_keeper_free(struct lease_keeper *keeper); /* no leases left; NULL allowed */

/* Takes the lock through `tier`, the caller's own. 0; -ETIMEDOUT; -EINTR when `stop` says so
 * between two tries; the tier's errors. A try that was cut off in the middle may leave a lock that
 * nobody renews: it ends by itself. */
WM_MUST_CHECK int lease_take(struct lease_keeper *keeper, struct tier *tier, struct tier_key key,
                             enum tier_lock_mode mode, uint32_t timeout_ms,
                             bool (*stop)(void *self), void *stop_self, struct lease **out,
                             struct wm_diag *diag);
uint64_t lease_token(const struct lease *lease);
enum tier_lock_mode lease_mode(const struct lease *lease);
bool lease_is_lost(struct lease *lease);
/* Somebody else learned that it is (a push was refused). */
void lease_lose(struct lease *lease);
/* Gives it back and frees it, whatever it returns: 0; WM_E_STALE: it was lost before. */
int lease_release(struct lease *lease, struct tier *tier, struct wm_diag *diag);
/* How many were lost so far. */
uint64_t lease_lost_count(struct lease_keeper *keeper);

#endif
