/* tier_redis.h: the global tier on a Redis server that all nodes share (store/redis.h).
 *
 * Redis 5 or later (tested with 7.0). What lies there under which name: doc/format/state.md.
 * Everything that must be atomic is a script or a MULTI, so any number of nodes may use the server
 * at a time. Time is the server's.
 *
 * What lasts is what Redis keeps: with "appendonly yes" an acknowledged change survives the end of
 * the process; with "appendfsync always" also that of the machine (with "everysec" its last second
 * may be lost, fencing tokens included). Without either kind of persistence nothing does, and
 * tier_redis_open says so in `warning`.
 *
 * Differences from tier.h: a value has at most TIER_REDIS_VALUE_BYTES_MAX. A lock that is not free
 * is asked for again every 1 to 32 ms; a waiting writer keeps new readers out, but there is no
 * order among writers. `emit` functions must not call the same tier (they run while a connection is
 * held).
 *
 * Threads: any; as many at a time as there are connections, the others wait for one. */
#ifndef WM_FAASLET_TIER_REDIS_H
#define WM_FAASLET_TIER_REDIS_H

#include "faaslet/tier.h"
#include "store/redis.h"

#define TIER_REDIS_VALUE_BYTES_MAX (UINT64_C(512) << 20)

/* *warning: cleared, or a sentence for the operator (NULL allowed). */
WM_MUST_CHECK int tier_redis_open(const struct redis_config *config, struct tier *out,
                                  struct wm_diag *warning, struct wm_diag *diag);
void tier_redis_stats(const struct tier *tier, struct tier_stats *out);

#endif
