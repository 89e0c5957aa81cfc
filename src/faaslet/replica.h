/* replica.h: the local copy of one value, in memory that Faaslets map (Faasm section 4.1).
 *
 * A replica has a shared region of its own, so no two keys and no two tenants lie in one page. Its
 * size is fixed when it is made. What was pulled is known by chunk (64 KiB), what was written and
 * not pushed by byte (dirty.h).
 *
 *     lazy pull   chunks that are touched for the first time; bytes that are dirty stay
 *     push        dirty bytes, in one write of up to TIER_RANGES_MAX runs: more runs go in several,
 *                 each of them at one moment
 *     pull        a range of the global copy replaces that of the replica, dirty or not
 *
 * After a push of a complete replica nothing is pulled (Faasm's code did): a value that changes
 * under a reader who did not ask for it is a surprise, and the bytes cost.
 *
 * Order. One transfer runs on a replica at a time, others wait for it; so a later push never
 * arrives before an earlier one. Bytes stop being dirty before they are read for a push: what is
 * written meanwhile is dirty again, and goes with the next one. replica_write waits while its range
 * is being pulled; a write through a mapping cannot be made to wait, nor told from any other: it
 * must be told by replica_dirty, and until then a pull, lazy ones of its chunk included, may undo
 * it. Reads and writes of this file are whole towards each other; a pull or a push may see half of
 * what is written through a mapping, or be seen in part.
 *
 * A mapping that is to be written whole is not pulled first; what keeps a lazy pull for somebody
 * else from undoing what is being written there is replica_adopt.
 *
 * A transfer that failed leaves everything dirty that was dirty, and nothing pulled that was not.
 *
 * Errors: those of tier.h; WM_E_INVALID: a range beyond the end; -ENOMEM; -EINTR: io->stop said so
 * while waiting.
 *
 * Threads: any, but for one io, which is one call's. Replicas are reference-counted. */
#ifndef WM_FAASLET_REPLICA_H
#define WM_FAASLET_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "faaslet/tier.h"
#include "wasm/slot.h"

struct replica;

/* Who asks, and through what. */
struct replica_io {
    struct tier *tier; /* the asking thread's own */
    struct tier_key key;
    uint64_t token; /* fencing token of writes; 0: none */
    /* Asked every few milliseconds while waiting: true gives up with -EINTR. NULL: never.
     */
    bool (*stop)(void *self);
    void *stop_self;
    uint64_t pulled_bytes, pushed_bytes; /* counted up */
};

/* The last reference is gone: replica_free is this function's to call, now or later. */
typedef void replica_gone_fn(void *self, struct replica *replica);

/* `local`: there is no global copy yet; the replica's zero bytes are the value, and the first push
 * makes the global copy, dirty or not. Otherwise all of it is still to be pulled. bytes up to
 * TIER_VALUE_BYTES_MAX. `gone` NULL: freed with the last reference. */
WM_MUST_CHECK int replica_new(uint64_t bytes, bool local, replica_gone_fn *gone, void *gone_self,
                              struct replica **out, struct wm_diag *diag);
struct replica *replica_ref(struct replica *replica);
void replica_put(struct replica *replica); /* NULL allowed */
void replica_free(struct replica *replica);
/* What a replica of so many bytes takes of memory. */
uint64_t replica_region_bytes(uint64_t bytes);

uint64_t replica_bytes(const struct replica *replica);
struct wasm_region *replica_region(struct replica *replica); /* borrowed */
/* Nothing in it that the global tier does not have. */
bool replica_is_clean(struct replica *replica);

/* Lazy pull of the range. */
WM_MUST_CHECK int replica_ensure(struct replica *replica, struct replica_io *io, uint64_t offset,
                                 uint64_t len, struct wm_diag *diag);
/* For a mapping whose holder will write all of the range: chunks that lie in it count as pulled,
 * though nothing was, until the holder is done; those at its ends that it covers in part are
 * pulled. replica_release, with the same range, ends that: chunks that were not written whole by
 * then (as told by replica_dirty) are to be pulled again. */
WM_MUST_CHECK int replica_adopt(struct replica *replica, struct replica_io *io, uint64_t offset,
                                uint64_t len, struct wm_diag *diag);
void replica_release(struct replica *replica, uint64_t offset, uint64_t len);
WM_MUST_CHECK int replica_read(struct replica *replica, struct replica_io *io, uint64_t offset,
                               uint8_t *out, uint64_t len, struct wm_diag *diag);
WM_MUST_CHECK int replica_write(struct replica *replica, struct replica_io *io, uint64_t offset,
                                const uint8_t *bytes, uint64_t len, struct wm_diag *diag);
WM_MUST_CHECK int replica_dirty(struct replica *replica, struct replica_io *io, uint64_t offset,
                                uint64_t len, struct wm_diag *diag);
WM_MUST_CHECK int replica_push(struct replica *replica, struct replica_io *io, uint64_t offset,
                               uint64_t len, struct wm_diag *diag);
/* Pushes the units of `unit` bytes (4, or 1) in which `mask`, of the same size, is not 0, and
 * clears them there. A unit is cleared by an atomic exchange (pairs of 4-byte units that lie in 8
 * aligned bytes by one) before its bytes are read, so that
 * who writes the value first and the mask after is never lost, without any lock. After a failed
 * push the units that did not arrive are set again, to all ones. What is dirty stays dirty. */
WM_MUST_CHECK int replica_push_masked(struct replica *replica, struct replica *mask,
                                      struct replica_io *io, uint32_t unit, struct wm_diag *diag);
WM_MUST_CHECK int replica_pull(struct replica *replica, struct replica_io *io, uint64_t offset,
                               uint64_t len, struct wm_diag *diag);

#endif
