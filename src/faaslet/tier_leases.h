/* tier_leases.h: who holds one lock of the embedded tier, until when; and its record on disk.
 *
 * Decides only: time is an argument, waiting and storing are tier_embedded.c's. One lock, one
 * thread at a time.
 *
 * Only grants are written to the disk (they have to be: a fencing token must never be given twice).
 * A renewal is not, unless it asks for more time than the record says, nor is a release. So after a
 * restart the record says who may hold the lock and for how long at most, and its holders get that
 * long again from the start of the new process: a lock is never granted twice across a restart, at
 * the price that one which was released just before seems held for its time to live. `boot` tells
 * the records of this process, for which memory knows better, from older ones. */
#ifndef WM_FAASLET_TIER_LEASES_H
#define WM_FAASLET_TIER_LEASES_H

#include "base/vec.h"
#include "faaslet/tier.h"

#define LEASES_MAX 1024u /* readers of one lock */
#define LEASES_HEADER_BYTES 20u
#define LEASE_BYTES 29u

struct lease {
    uint8_t owner[16];
    uint64_t token;
    int64_t expires_ms;
    uint32_t ttl_ms; /* the longest that the record knows of */
    uint8_t mode;    /* enum tier_lock_mode */
};

struct leases {
    uint64_t token; /* last one granted; 0: none yet */
    WM_VEC(struct lease) held;
};

void leases_fini(struct leases *leases);
void leases_drop_expired(struct leases *leases, int64_t now_ms);
/* May one more of this mode be granted now? The expired must have been dropped. */
bool leases_allow(const struct leases *leases, enum tier_lock_mode mode);
/* The unexpired lease of this owner (and token, where not 0); NULL: lost. Borrowed until the next
 * change. */
struct lease *leases_find(struct leases *leases, const uint8_t owner[16], uint64_t token,
                          int64_t now_ms);
/* Is this the token of a writer whose lease runs? */
bool leases_may_write(const struct leases *leases, uint64_t token, int64_t now_ms);
/* Takes it out; false: it was not there. */
bool leases_release(struct leases *leases, const uint8_t owner[16], uint64_t token);
/* When the first of them expires; INT64_MAX: none is held. */
int64_t leases_first_expiry_ms(const struct leases *leases);

/* The record (doc/format/state.md). leases_encode: from wm_alloc, `extra` (NULL: none) as one more
 * lease; -ENOMEM. leases_decode gives each lease `start_ms` plus its time to live; a record out of
 * form is WM_E_MALFORMED, and *leases untouched. */
WM_MUST_CHECK int leases_encode(const struct leases *leases, uint64_t token, uint64_t boot,
                                const struct lease *extra, uint8_t **out, size_t *len);
WM_MUST_CHECK int leases_decode(struct wm_view record, int64_t start_ms, struct leases *leases,
                                uint64_t *boot);

#endif
