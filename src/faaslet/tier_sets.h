/* tier_sets.h: sets of short strings whose members expire, in memory: what the scheduler shares.
 *
 * Members and set names may come from other nodes and from workers. All sets together hold at most
 * SETS_MEMBERS_MAX members, one set SETS_MEMBERS_OF_ONE_MAX. Threads: one at a time (the owner
 * locks); time is an argument. */
#ifndef WM_FAASLET_TIER_SETS_H
#define WM_FAASLET_TIER_SETS_H

#include "faaslet/tier.h"

#define SETS_MEMBERS_MAX 262144u
#define SETS_MEMBERS_OF_ONE_MAX 16384u

struct sets;
WM_MUST_CHECK int sets_new(struct sets **out);
void sets_free(struct sets *sets);

/* Adds it, or renews it: 0, -ENOMEM, WM_E_LIMIT. */
WM_MUST_CHECK int sets_add(struct sets *sets, struct wm_view name, struct wm_view member,
                           int64_t expires_ms, int64_t now_ms);
void sets_remove(struct sets *sets, struct wm_view name, struct wm_view member);
/* The unexpired members in the order of bytes, each as a u16 length and its bytes, in one block
 * from wm_alloc; so that the owner can let go of its lock before it shows them to anybody. */
WM_MUST_CHECK int sets_members(struct sets *sets, struct wm_view name, int64_t now_ms,
                               uint8_t **out, size_t *len);

#endif
