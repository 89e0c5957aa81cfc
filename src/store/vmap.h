/* vmap.h: an ordered-by-hash map of keys to values in memory, with versions and a root hash.
 *
 * The state of a ledger. It is crypto/trie.h's compressed binary trie with all of it in memory,
 * persistent in the sense of functional data structures: a version is a root pointer, so that
 * keeping one costs nothing, undoing is taking an older root again, and a snapshot can be walked or
 * written out while the map goes on. What only dropped versions used is freed with them.
 *
 *     vmap_put / vmap_remove     change the newest state in place
 *     vmap_mark                  gives it a number: a version that can be gone back to
 *     vmap_undo_to               the newest state is that version's again; later marks are gone
 *     vmap_drop_before           older versions than this are not needed any more
 *     vmap_root                  hashes what was changed since the last call
 *
 * Hashing is lazy: only nodes on ways to changed keys, once for a batch of changes.
 *
 * Limits: keys of 1 to VMAP_KEY_BYTES_MAX bytes, values up to VMAP_VALUE_BYTES_MAX; bytes_max in
 * all, beyond which put returns WM_E_LIMIT; at most VMAP_VERSIONS_MAX marks. Out of memory is a
 * code, and leaves the map as it was.
 *
 * bytes_max protects a machine and is no rule of a ledger: what is in use depends on the versions
 * and snapshots that are kept, and a change is counted before what it frees. A replica that meets
 * it must stop, because the others do not meet it at the same put. Memory that is free is kept for
 * later puts until vmap_free.
 *
 * One thread; but a snapshot (vmap_snapshot) may be read by one other thread while the first goes
 * on, until it is given back on the first. Nothing here reads a clock or does I/O. */
#ifndef WM_STORE_VMAP_H
#define WM_STORE_VMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "crypto/trie.h"

#define VMAP_KEY_BYTES_MAX 256u
#define VMAP_VALUE_BYTES_MAX 65536u
#define VMAP_VERSIONS_MAX 64u

struct vmap;
struct vmap_snapshot;

/* bytes_max 0: no limit. NULL: out of memory. */
struct vmap *vmap_new(uint64_t bytes_max);
void vmap_free(struct vmap *map); /* no snapshots left */

/* A view until the next change, undo or drop. False: not there. */
WM_MUST_CHECK bool vmap_get(const struct vmap *map, struct wm_view key, struct wm_view *value);
/* 0; WM_E_INVALID: a key's or a value's length; WM_E_LIMIT; -ENOMEM. The key and the value may be
 * views of this map. */
WM_MUST_CHECK int vmap_put(struct vmap *map, struct wm_view key, struct wm_view value);
/* 0 also where it is not there; -ENOMEM. */
WM_MUST_CHECK int vmap_remove(struct vmap *map, struct wm_view key);

void vmap_root(struct vmap *map, trie_hash out);
uint64_t vmap_count(const struct vmap *map); /* pairs */
uint64_t vmap_bytes(const struct vmap *map); /* memory in use, all versions and snapshots */

/* Marks ascend, which is asserted. WM_E_LIMIT: VMAP_VERSIONS_MAX are kept already; drop some. */
WM_MUST_CHECK int vmap_mark(struct vmap *map, uint64_t version);
/* Both assert that this version is marked; it stays so. */
void vmap_undo_to(struct vmap *map, uint64_t version);
void vmap_drop_before(struct vmap *map, uint64_t version);
/* The root hash of a marked version. Asserts that it was made (vmap_root) before the mark, or after
 * it and before the next change. */
void vmap_root_of(const struct vmap *map, uint64_t version, trie_hash out);

/* What the key was at a marked version. */
WM_MUST_CHECK bool vmap_get_at(const struct vmap *map, uint64_t version, struct wm_view key,
                               struct wm_view *value);
/* A proof under vmap_root_of(version). */
void vmap_prove(const struct vmap *map, uint64_t version, struct wm_view key,
                struct trie_proof *out);

/* A marked version to keep and walk, by another thread if need be, also when its mark is dropped or
 * undone. NULL: out of memory. */
WM_MUST_CHECK struct vmap_snapshot *vmap_snapshot(struct vmap *map, uint64_t version);
/* Pairs in the order of their keys' hashes, until emit returns false. */
typedef bool vmap_emit_fn(void *self, struct wm_view key, struct wm_view value);
void vmap_snapshot_walk(const struct vmap_snapshot *snapshot, vmap_emit_fn *emit, void *self);
uint64_t vmap_snapshot_count(const struct vmap_snapshot *snapshot);
void vmap_snapshot_root(const struct vmap_snapshot *snapshot, trie_hash out);
void vmap_snapshot_free(struct vmap *map, struct vmap_snapshot *snapshot);

#endif
