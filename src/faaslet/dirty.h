/* dirty.h: which bytes of a replica were written and not yet pushed.
 *
 * Exact to the byte: a push must not carry a byte that nobody wrote here, because another node may
 * have written it. Kept in chunks of DIRTY_CHUNK_BYTES, each clean, wholly dirty, or with a mask of
 * one bit per byte that exists only then; so a set takes 8 bytes for each 64 KiB of value, and an
 * eighth of the chunks that are dirty in part.
 *
 * Pure, but for memory. Ranges lie inside [0, bytes): the caller has checked. One thread at a time.
 */
#ifndef WM_FAASLET_DIRTY_H
#define WM_FAASLET_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define DIRTY_CHUNK_BYTES 65536u

struct dirty_set {
    uint64_t bytes;
    uint32_t chunk_count;
    uint32_t dirty_chunks; /* not clean */
    uint64_t **chunks;     /* NULL: clean */
};

WM_MUST_CHECK int dirty_init(struct dirty_set *set, uint64_t bytes); /* 0 or -ENOMEM */
void dirty_fini(struct dirty_set *set);

/* 0, or -ENOMEM with the set as it was. */
WM_MUST_CHECK int dirty_add(struct dirty_set *set, uint64_t offset, uint64_t len);
/* Moves what is dirty in the range into *out, an empty set of the same size. 0, or -ENOMEM with
 * both as they were. */
WM_MUST_CHECK int dirty_take(struct dirty_set *set, uint64_t offset, uint64_t len,
                             struct dirty_set *out);
/* Everything of `from`, which is empty then, into `set`. */
void dirty_merge(struct dirty_set *set, struct dirty_set *from);
bool dirty_any(const struct dirty_set *set, uint64_t offset, uint64_t len);
/* The first run of dirty bytes that starts at *from or later: its start in *from, its length in
 * *len. False: there is none. */
bool dirty_next(const struct dirty_set *set, uint64_t *from, uint64_t *len);
/* Copies from `bytes`, the content of chunk `chunk_idx`, into `out` what is not dirty. */
void dirty_copy_clean(const struct dirty_set *set, uint32_t chunk_idx, const uint8_t *bytes,
                      uint8_t *out, uint32_t len);

#endif
