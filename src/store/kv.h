/* kv.h: a durable key-value store in one folder, on LMDB.
 *
 * Keys and values are bytes, in named tables, ordered by bytes. A batch of changes is applied whole
 * or not at all; when kv_commit returns 0 it is on the disk (fdatasync) and visible. Concurrent
 * commits of several threads share one disk write (group commit): whoever waits for the writer is
 * carried along by the next one. Readers see the state of one commit, wait for nobody and copy
 * nothing: a value read is a view into the map, good until the reader ends.
 *
 * LMDB's limits: a key of 1 to KV_KEY_BYTES_MAX bytes, else WM_E_INVALID; bytes_max, which costs
 * address space and nothing else, since the file grows as it is filled: a commit that would go
 * beyond fails with WM_E_LIMIT; removing still works then, and makes room again; 4,096 readers at a
 * time; one process per folder (-EBUSY: a second one is refused by a lock, whose holder diag
 * names). A folder on a network file system is not supported, and one that belongs to others, or
 * that others may write to, is refused (WM_E_DENIED): LMDB believes what its file says. When the
 * disk fails, the store may refuse everything with -EIO until it is opened anew.
 *
 * Large values waste space when they are changed in part: keep them in chunks (tier_embedded.c).
 *
 * Threads: any. A batch and a reader belong to one thread at a time. */
#ifndef WM_STORE_KV_H
#define WM_STORE_KV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"

#define KV_KEY_BYTES_MAX 480u
#define KV_TABLES_MAX 64u
#define KV_TABLE_NAME_BYTES_MAX 32u

struct kv;
struct kv_batch;
struct kv_reader;

struct kv_config {
    const char *path;   /* folder; made (0700) where it is missing */
    uint64_t bytes_max; /* of the map; 0: 64 GiB */
    bool no_sync;       /* for tests and benches: a crash of the machine may lose commits */
};

WM_MUST_CHECK int kv_open(const struct kv_config *config, struct kv **out, struct wm_diag *diag);
void kv_close(struct kv *kv); /* no readers, no batches left */

/* A batch collects changes in memory; nothing is seen before the commit. Tables are made by their
 * first use. put and remove copy their arguments and return 0 or -ENOMEM. Removing what is not
 * there is no error. */
WM_MUST_CHECK int kv_batch_new(struct kv *kv, struct kv_batch **out);
WM_MUST_CHECK int kv_put(struct kv_batch *batch, const char *table, struct wm_view key,
                         struct wm_view value);
WM_MUST_CHECK int kv_remove(struct kv_batch *batch, const char *table, struct wm_view key);
/* The commit fails with WM_E_STALE, and nothing is changed, unless the key has this value
 * (`absent`: is not there) when it is applied. */
WM_MUST_CHECK int kv_expect(struct kv_batch *batch, const char *table, struct wm_view key,
                            struct wm_view value, bool absent);
/* Runs inside the write transaction, after the expectations and before the batch's own changes:
 * what it reads is what the batch changes. May call kv_update_*, must not commit. Returns 0, or a
 * code that makes the whole batch fail with it. Runs on the thread of whichever commit leads the
 * group, and again from the start when the group's commit has to be repeated: it sets its results,
 * and does not add to them. For read-modify-write (counters, locks, list indices). */
struct kv_update;
typedef int kv_update_fn(void *self, struct kv_update *update);
void kv_batch_update(struct kv_batch *batch, kv_update_fn *run, void *self);
WM_MUST_CHECK int
kv_update_get(struct kv_update *update, const char *table, struct wm_view key,
              struct wm_view *value); /* WM_E_NOT_FOUND; a view until the next put */
WM_MUST_CHECK int kv_update_put(struct kv_update *update, const char *table, struct wm_view key,
                                struct wm_view value);
WM_MUST_CHECK int kv_update_remove(struct kv_update *update, const char *table, struct wm_view key);
/* Applies and frees the batch, whatever it returns. */
WM_MUST_CHECK int kv_commit(struct kv_batch *batch, struct wm_diag *diag);
void kv_batch_drop(struct kv_batch *batch);

/* One change, committed. */
WM_MUST_CHECK int kv_put_one(struct kv *kv, const char *table, struct wm_view key,
                             struct wm_view value, struct wm_diag *diag);

WM_MUST_CHECK int kv_read_begin(struct kv *kv, struct kv_reader **out, struct wm_diag *diag);
void kv_read_end(struct kv_reader *reader);
/* WM_E_NOT_FOUND; a view until the reader ends. */
WM_MUST_CHECK int kv_get(struct kv_reader *reader, const char *table, struct wm_view key,
                         struct wm_view *value);
/* Entries whose keys start with `prefix`, from the first key >= `from` on (empty: the first), in
 * order, until emit returns false. */
typedef bool kv_emit_fn(void *self, struct wm_view key, struct wm_view value);
WM_MUST_CHECK int kv_scan(struct kv_reader *reader, const char *table, struct wm_view prefix,
                          struct wm_view from, kv_emit_fn *emit, void *self);

/* A consistent copy into an empty folder, while the store is in use. */
WM_MUST_CHECK int kv_backup(struct kv *kv, const char *path, struct wm_diag *diag);
uint64_t kv_bytes(const struct kv *kv); /* in use on disk */

#endif
