/* state.h: the local tier as one call sees it: what it has mapped, what it has locked.
 *
 * A session belongs to a guest (struct faaslet_guest.state) and serves its calls one after the
 * other: state_session_begin, the functions below (through the imports of state_calls.c), then
 * state_session_end, which gives back every lock and reference, however the call ended. After the
 * end comes the slot's reset, which takes the mappings out of the guest's memory.
 *
 * Semantics are those of sdk/faaslet.h, "State"; replica.h and lease.h say the rest. Errors are our
 * codes: WM_E_NOT_FOUND (-ENOENT to the guest), WM_E_INVALID (-EINVAL), WM_E_LIMIT (-EDQUOT),
 * WM_E_STALE (-ESTALE), -ETIMEDOUT, -EDEADLK, -EFBIG (over 2 GiB), -EINTR (the call is to end), and
 * whatever the global tier says, which the guest sees as -EIO.
 *
 * Limits per call: STATE_MAPPINGS_MAX mappings, STATE_LOCKS_MAX keys locked; over one: WM_E_LIMIT.
 *
 * Threads: the one that runs the call. Keys and lengths come from the guest: keys were copied and
 * measured by the caller, everything else is checked here. */
#ifndef WM_FAASLET_STATE_H
#define WM_FAASLET_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "faaslet/call.h"
#include "faaslet/local_tier.h"
#include "faaslet/tier.h"
#include "wasm/memory.h"

#define STATE_MAPPINGS_MAX 1024u
#define STATE_LOCKS_MAX 64u

/* As in sdk/faaslet.h. */
#define STATE_MAP_READ_ONLY 1u
#define STATE_MAP_NO_PULL 2u
#define STATE_MASK_BYTES 1u
#define STATE_LOCK_READ 0u
#define STATE_LOCK_WRITE 1u

struct state_session;

/* The local tier outlives the session. */
WM_MUST_CHECK int state_session_new(struct local_tier *local, struct state_session **out,
                                    struct wm_diag *diag);
void state_session_free(struct state_session *session); /* between calls; NULL allowed */
/* `tier` is this thread's own, `usage` (may be NULL) counts bytes; both until the end. tenant of 1
 * to TIER_TENANT_BYTES_MAX bytes is copied. `stop` is asked while something is waited for: true
 * ends the wait with -EINTR. */
void state_session_begin(struct state_session *session, struct tier *tier, struct wm_view tenant,
                         struct call_usage *usage, bool (*stop)(void *self), void *stop_self);
/* Gives global locks back through the tier: whoever interrupted the call lets its connection work
 * again before, or the locks stay until they expire. */
void state_session_end(struct state_session *session);
/* The sentence of the last failure, "" before. */
const char *state_session_error(const struct state_session *session);

WM_MUST_CHECK int state_size(struct state_session *session, struct wm_view key, uint64_t *bytes);
WM_MUST_CHECK int state_create(struct state_session *session, struct wm_view key, uint64_t bytes);
/* Value, list and counter; 0 also where there was nothing. */
WM_MUST_CHECK int state_delete(struct state_session *session, struct wm_view key);
/* What lies in a mapping of this call already, of the same kind, is not mapped again. len 0: to the
 * end. *at is a guest address, never 0. */
WM_MUST_CHECK int state_map(struct state_session *session, struct wm_view key,
                            struct wasm_memory *memory, uint64_t offset, uint64_t len,
                            uint32_t flags, uint32_t *at);
WM_MUST_CHECK int state_dirty(struct state_session *session, struct wm_view key, uint64_t offset,
                              uint64_t len);
/* *done: fewer than len only at the end. */
WM_MUST_CHECK int state_read(struct state_session *session, struct wm_view key, uint64_t offset,
                             uint8_t *out, uint64_t len, uint64_t *done);
WM_MUST_CHECK int state_write(struct state_session *session, struct wm_view key, uint64_t offset,
                              const uint8_t *bytes, uint64_t len);
WM_MUST_CHECK int state_push(struct state_session *session, struct wm_view key, uint64_t offset,
                             uint64_t len);
WM_MUST_CHECK int state_push_masked(struct state_session *session, struct wm_view key,
                                    struct wm_view mask, uint32_t flags);
WM_MUST_CHECK int state_pull(struct state_session *session, struct wm_view key, uint64_t offset,
                             uint64_t len);

WM_MUST_CHECK int state_append(struct state_session *session, struct wm_view key,
                               struct wm_view element, uint64_t *index);
/* Copies at most `room` bytes of the element; its length in *len. */
WM_MUST_CHECK int state_appended(struct state_session *session, struct wm_view key, uint64_t index,
                                 uint8_t *out, uint64_t room, uint64_t *len);
WM_MUST_CHECK int state_appended_count(struct state_session *session, struct wm_view key,
                                       uint64_t *count);
WM_MUST_CHECK int state_clear_appended(struct state_session *session, struct wm_view key);
WM_MUST_CHECK int state_add(struct state_session *session, struct wm_view key, int64_t delta,
                            int64_t *now);

/* WM_E_USAGE of an unlock: this call does not hold it. */
WM_MUST_CHECK int state_lock(struct state_session *session, struct wm_view key, uint32_t mode,
                             uint32_t timeout_ms);
WM_MUST_CHECK int state_unlock(struct state_session *session, struct wm_view key);
WM_MUST_CHECK int state_lock_global(struct state_session *session, struct wm_view key,
                                    uint32_t mode, uint32_t timeout_ms, uint64_t *token);
WM_MUST_CHECK int state_unlock_global(struct state_session *session, struct wm_view key);

/* Of the last state_map that failed, minus a WASI errno; 0 after one that did not. */
int32_t state_map_error(const struct state_session *session);
void state_set_map_error(struct state_session *session, int32_t error);

#endif
