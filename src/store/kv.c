/* The store on LMDB.
 *
 *     DIR/lock       flock of the process that has it open; holds its pid
 *     DIR/data.mdb   LMDB's map; each table is a named database in it
 *     DIR/lock.mdb   LMDB's table of readers
 *
 * The map takes bytes_max of address space from the start (and some more, see below), but no memory
 * and no disk: LMDB extends the file as it needs pages. Growing it later would mean waiting for all
 * readers, because LMDB moves the map.
 *
 * Group commit. A thread that commits puts its batch into the queue. When nobody is writing, it
 * becomes the leader: takes the whole queue, applies each batch in a child transaction of one write
 * transaction, so that a batch that fails takes only itself back, and commits them with one sync.
 * Who comes meanwhile waits; one of them is the next leader. When the common commit fails, each
 * batch is tried again alone, so that one which is too large for the disk does not fail the others;
 * that is why an update function may run twice.
 *
 * Room. Even a removal needs new pages (LMDB never overwrites a page in use), so a map that is full
 * to the last page could not be emptied. Hence puts are counted and, unless they replace something
 * as large, refused before the end of bytes_max, and the map is SLACK larger, for removals and for
 * what the count does not see (inner pages, partly filled ones). */
#include "store/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/vec.h"

#define BYTES_MAX_DEFAULT (UINT64_C(64) << 30)
#define BYTES_MAX_LEAST (UINT64_C(1) << 20)
#define SLACK_BYTES(bytes_max) ((bytes_max) / 8 + (UINT64_C(4) << 20))
#define READERS_MAX 4096u
#define GROUP_MAX 256u /* batches in one transaction */

struct table {
    char name[KV_TABLE_NAME_BYTES_MAX + 1];
    MDB_dbi dbi;
    size_t since; /* id of the transaction that made it */
};

struct kv {
    MDB_env *env;
    char *path;
    int dir_fd, lock_fd;
    uint64_t bytes_max;
    uint32_t page_bytes;

    pthread_mutex_t lock; /* of the queue and `writing` */
    pthread_cond_t done;
    struct kv_batch *first, *last;
    bool writing;

    /* Only grows; written by the leader alone, read by everybody up to the count. */
    struct table tables[KV_TABLES_MAX];
    atomic_uint table_count;
};

enum op_kind { OP_PUT, OP_REMOVE, OP_EXPECT, OP_EXPECT_ABSENT };

struct op {
    enum op_kind kind;
    uint32_t table_len, key_len;
    size_t value_len;
    uint8_t *bytes; /* name with its NUL, key, value */
};

struct kv_batch {
    struct kv *kv;
    WM_VEC(struct op) ops;
    kv_update_fn *update;
    void *update_self;

    struct kv_batch *next; /* in the queue, and in its group */
    bool finished;
    int err;
    struct wm_diag diag;
};

struct kv_update {
    struct kv *kv;
    MDB_txn *txn;
    uint64_t *room; /* bytes that puts may still take; shared by the group */
    char missing[KV_TABLE_NAME_BYTES_MAX + 1]; /* a table that must be made first */
    /* A failed call that the update function did not pass on must fail its batch all the same,
     * because LMDB does not say what it did before it failed. */
    int broken;
};

struct kv_reader {
    struct kv *kv;
    MDB_txn *txn;
};

static int code_of(int mdb)
{
    switch (mdb) {
    case 0: return 0;
    case MDB_NOTFOUND: return WM_E_NOT_FOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case MDB_DBS_FULL:
    case MDB_READERS_FULL: return WM_E_LIMIT;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE: return WM_E_MALFORMED;
    case MDB_BAD_VALSIZE: return WM_E_INVALID;
    default: return mdb > 0 ? -mdb : -EIO;
    }
}

static int failed(const struct kv *kv, struct wm_diag *diag, int mdb, const char *what)
{
    int err = code_of(mdb);
    if (mdb == MDB_READERS_FULL) {
        return wm_diag_set(diag, err, "store: %s: %s: more than %u readers at a time", kv->path,
                           what, READERS_MAX);
    }
    if (err == WM_E_LIMIT) {
        return wm_diag_set(diag, err,
                           "store: %s: %s: it is full (%llu bytes); remove something or allow more",
                           kv->path, what, (unsigned long long)kv->bytes_max);
    }
    return wm_diag_set(diag, err, "store: %s: %s: %s", kv->path, what,
                       mdb > 0 ? wm_error_text(err) : mdb_strerror(mdb));
}

static bool good_key(struct wm_view key)
{
    return key.len > 0 && key.len <= KV_KEY_BYTES_MAX;
}

static bool good_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= KV_TABLE_NAME_BYTES_MAX;
}

static MDB_val val_of(struct wm_view view)
{
    return (MDB_val){view.len, (void *)(uintptr_t)view.ptr};
}

static struct wm_view view_of(MDB_val val)
{
    return wm_view_of(val.mv_data, val.mv_size);
}

/* --- Tables --- */

static const struct table *find_table(struct kv *kv, const char *name)
{
    unsigned count = atomic_load_explicit(&kv->table_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(kv->tables[i].name, name) == 0) {
            return &kv->tables[i];
        }
    }
    return NULL;
}

static void publish_table(struct kv *kv, const char *name, MDB_dbi dbi, size_t since)
{
    unsigned count = atomic_load_explicit(&kv->table_count, memory_order_relaxed);
    struct table *table = &kv->tables[count];
    memcpy(table->name, name, strnlen(name, KV_TABLE_NAME_BYTES_MAX)); /* the rest is zero */
    table->dbi = dbi;
    table->since = since;
    atomic_store_explicit(&kv->table_count, count + 1, memory_order_release);
}

/* A table is made in a transaction of its own, before the one that uses it: a reader that sees the
 * latter's data then also has its handle, which LMDB gives to readers only after the commit. */
static int make_table(struct kv *kv, const char *name)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    if (atomic_load_explicit(&kv->table_count, memory_order_relaxed) == KV_TABLES_MAX) {
        return MDB_DBS_FULL;
    }
    int err = wm_fault_here(WM_FAULT_IO) ? EIO : mdb_txn_begin(kv->env, NULL, 0, &txn);
    if (err) {
        return err;
    }
    size_t since = mdb_txn_id(txn);
    err = mdb_dbi_open(txn, name, MDB_CREATE, &dbi);
    if (err) {
        mdb_txn_abort(txn);
        return err;
    }
    err = mdb_txn_commit(txn);
    if (!err) {
        publish_table(kv, name, dbi, since);
    }
    return err;
}

static int open_tables(struct kv *kv)
{
    MDB_txn *txn;
    MDB_dbi main_dbi;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    char names[KV_TABLES_MAX][KV_TABLE_NAME_BYTES_MAX + 1];
    MDB_dbi dbis[KV_TABLES_MAX];
    unsigned count = 0;
    int err = wm_fault_here(WM_FAULT_IO) ? EIO : mdb_txn_begin(kv->env, NULL, 0, &txn);
    if (err) {
        return err;
    }
    err = mdb_dbi_open(txn, NULL, 0, &main_dbi);
    err = err ? err : mdb_cursor_open(txn, main_dbi, &cursor);
    while (!err && (err = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        if (count == KV_TABLES_MAX || key.mv_size == 0 || key.mv_size > KV_TABLE_NAME_BYTES_MAX) {
            err = MDB_INCOMPATIBLE;
            break;
        }
        memcpy(names[count], key.mv_data, key.mv_size);
        names[count++][key.mv_size] = 0;
    }
    mdb_cursor_close(cursor);
    err = err == MDB_NOTFOUND ? 0 : err;
    for (unsigned i = 0; !err && i < count; i++) {
        err = mdb_dbi_open(txn, names[i], 0, &dbis[i]);
    }
    if (err) {
        mdb_txn_abort(txn);
        return err;
    }
    err = mdb_txn_commit(txn);
    for (unsigned i = 0; !err && i < count; i++) {
        publish_table(kv, names[i], dbis[i], 0);
    }
    return err;
}

/* --- Opening --- */

static int take_lock(struct kv *kv, struct wm_diag *diag)
{
    char text[24] = "";
    kv->lock_fd = openat(kv->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (kv->lock_fd < 0) {
        return wm_diag_set(diag, -errno, "store: opening %s/lock: %s", kv->path,
                           wm_error_text(-errno));
    }
    if (flock(kv->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        int err = errno;
        if (err != EWOULDBLOCK) {
            return wm_diag_set(diag, -err, "store: locking %s/lock: %s", kv->path,
                               wm_error_text(-err));
        }
        ssize_t got = pread(kv->lock_fd, text, sizeof text - 1, 0);
        long pid = got > 0 ? strtol(text, NULL, 10) : 0;
        return wm_diag_set(diag, -EBUSY,
                           "store: %s is in use by process %ld; stop it or choose another folder",
                           kv->path, pid);
    }
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(kv->lock_fd, 0) != 0 || pwrite(kv->lock_fd, text, (size_t)len, 0) != len) {
        return wm_diag_set(diag, -errno, "store: writing %s/lock: %s", kv->path,
                           wm_error_text(-errno));
    }
    return 0;
}

/* The entry of `path` in the folder above it lasts. */
static void sync_above(const char *path)
{
    char above[PATH_MAX];
    snprintf(above, sizeof above, "%s", path);
    size_t len = strlen(above);
    while (len > 1 && above[len - 1] == '/') {
        above[--len] = 0;
    }
    char *slash = strrchr(above, '/');
    if (slash == above) {
        slash[1] = 0;
    } else if (slash) {
        *slash = 0;
    } else {
        snprintf(above, sizeof above, ".");
    }
    int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* not every file system can; the folder itself is ours to make anew */
        close(fd);
    }
}

static int open_folder(struct kv *kv, struct wm_diag *diag)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return wm_diag_set(diag, -EIO, "store: opening %s: %s", kv->path, wm_error_text(-EIO));
    }
    bool made = mkdir(kv->path, 0700) == 0;
    if (!made && errno != EEXIST) {
        return wm_diag_set(diag, -errno, "store: making %s: %s", kv->path, wm_error_text(-errno));
    }
    if (made) {
        sync_above(kv->path);
    }
    kv->dir_fd = open(kv->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (kv->dir_fd < 0) {
        return wm_diag_set(diag, -errno, "store: opening %s: %s", kv->path, wm_error_text(-errno));
    }
    struct stat stat;
    if (fstat(kv->dir_fd, &stat) != 0) {
        return wm_diag_set(diag, -errno, "store: %s: %s", kv->path, wm_error_text(-errno));
    }
    /* LMDB trusts its file: who can write to it could make this process read anywhere. */
    if (stat.st_uid != geteuid() || (stat.st_mode & (S_IWGRP | S_IWOTH))) {
        return wm_diag_set(diag, WM_E_DENIED,
                           "store: others may write to %s; it must belong to this user alone "
                           "(chown, chmod go-w)",
                           kv->path);
    }
    return 0;
}

int kv_open(const struct kv_config *config, struct kv **out, struct wm_diag *diag)
{
    struct kv *kv = wm_alloc_zero(1, sizeof *kv);
    if (!kv) {
        return wm_diag_default(diag, -ENOMEM, "store");
    }
    kv->dir_fd = kv->lock_fd = -1;
    pthread_mutex_init(&kv->lock, NULL);
    pthread_cond_init(&kv->done, NULL);
    kv->bytes_max = config->bytes_max ? config->bytes_max : BYTES_MAX_DEFAULT;
    kv->bytes_max = wm_max_u64(kv->bytes_max, BYTES_MAX_LEAST);
    kv->path = wm_strdup(config->path);
    int err = kv->path ? open_folder(kv, diag) : wm_diag_default(diag, -ENOMEM, "store");
    err = err ? err : take_lock(kv, diag);
    if (err) {
        kv_close(kv);
        return err;
    }
    uint64_t map_bytes = (kv->bytes_max + SLACK_BYTES(kv->bytes_max)) & ~UINT64_C(0xffff);
    unsigned flags = MDB_NOTLS | (config->no_sync ? MDB_NOSYNC : 0);
    int mdb = mdb_env_create(&kv->env);
    mdb = mdb ? mdb : mdb_env_set_mapsize(kv->env, map_bytes);
    mdb = mdb ? mdb : mdb_env_set_maxdbs(kv->env, KV_TABLES_MAX);
    mdb = mdb ? mdb : mdb_env_set_maxreaders(kv->env, READERS_MAX);
    if (!mdb) {
        mdb = wm_fault_here(WM_FAULT_IO) ? EIO : mdb_env_open(kv->env, kv->path, flags, 0600);
    }
    mdb = mdb ? mdb : open_tables(kv);
    if (!mdb && fsync(kv->dir_fd) != 0) {
        mdb = errno;
    }
    if (mdb) {
        err = failed(kv, diag, mdb, "opening");
        kv_close(kv);
        return err;
    }
    MDB_stat stat;
    mdb_env_stat(kv->env, &stat);
    kv->page_bytes = stat.ms_psize;
    *out = kv;
    return 0;
}

void kv_close(struct kv *kv)
{
    if (!kv) {
        return;
    }
    WM_ASSERT(!kv->first && !kv->writing);
    if (kv->env) {
        mdb_env_close(kv->env);
    }
    if (kv->lock_fd >= 0) {
        close(kv->lock_fd);
    }
    if (kv->dir_fd >= 0) {
        close(kv->dir_fd);
    }
    pthread_cond_destroy(&kv->done);
    pthread_mutex_destroy(&kv->lock);
    wm_free(kv->path);
    wm_free(kv);
}

uint64_t kv_bytes(const struct kv *kv)
{
    MDB_envinfo info;
    mdb_env_info(kv->env, &info);
    return ((uint64_t)info.me_last_pgno + 1) * kv->page_bytes;
}

/* --- Batches --- */

int kv_batch_new(struct kv *kv, struct kv_batch **out)
{
    struct kv_batch *batch = wm_alloc_zero(1, sizeof *batch);
    if (!batch) {
        return -ENOMEM;
    }
    batch->kv = kv;
    *out = batch;
    return 0;
}

void kv_batch_drop(struct kv_batch *batch)
{
    if (!batch) {
        return;
    }
    for (size_t i = 0; i < batch->ops.count; i++) {
        wm_free(batch->ops.items[i].bytes);
    }
    wm_vec_fini(&batch->ops);
    wm_free(batch);
}

static int add_op(struct kv_batch *batch, enum op_kind kind, const char *table, struct wm_view key,
                  struct wm_view value)
{
    if (!good_name(table) || !good_key(key) || value.len > UINT32_MAX) {
        return WM_E_INVALID;
    }
    size_t name_bytes = strlen(table) + 1;
    struct op op = {kind, (uint32_t)name_bytes, (uint32_t)key.len, value.len, NULL};
    op.bytes = wm_alloc(name_bytes + key.len + value.len);
    if (!op.bytes) {
        return -ENOMEM;
    }
    memcpy(op.bytes, table, name_bytes);
    memcpy(op.bytes + name_bytes, key.ptr, key.len);
    if (value.len > 0) {
        memcpy(op.bytes + name_bytes + key.len, value.ptr, value.len);
    }
    if (wm_vec_push(&batch->ops, op) != 0) {
        wm_free(op.bytes);
        return -ENOMEM;
    }
    return 0;
}

int kv_put(struct kv_batch *batch, const char *table, struct wm_view key, struct wm_view value)
{
    return add_op(batch, OP_PUT, table, key, value);
}

int kv_remove(struct kv_batch *batch, const char *table, struct wm_view key)
{
    return add_op(batch, OP_REMOVE, table, key, (struct wm_view){0});
}

int kv_expect(struct kv_batch *batch, const char *table, struct wm_view key, struct wm_view value,
              bool absent)
{
    return absent ? add_op(batch, OP_EXPECT_ABSENT, table, key, (struct wm_view){0})
                  : add_op(batch, OP_EXPECT, table, key, value);
}

void kv_batch_update(struct kv_batch *batch, kv_update_fn *run, void *self)
{
    batch->update = run;
    batch->update_self = self;
}

static const char *op_table(const struct op *op)
{
    return (const char *)op->bytes;
}

static struct wm_view op_key(const struct op *op)
{
    return wm_view_of(op->bytes + op->table_len, op->key_len);
}

static struct wm_view op_value(const struct op *op)
{
    return wm_view_of(op->bytes + op->table_len + op->key_len, op->value_len);
}

/* --- Inside the write transaction --- */

static int note(struct kv_update *update, int err)
{
    if (err && err != WM_E_NOT_FOUND && !update->broken) {
        update->broken = err;
    }
    return err;
}

int kv_update_get(struct kv_update *update, const char *name, struct wm_view key,
                  struct wm_view *value)
{
    const struct table *table = find_table(update->kv, name);
    MDB_val mdb_key = val_of(key), mdb_value;
    if (!good_key(key)) {
        return WM_E_INVALID;
    }
    if (!table) {
        return WM_E_NOT_FOUND;
    }
    int err = note(update, wm_fault_here(WM_FAULT_IO)
                               ? -EIO
                               : code_of(mdb_get(update->txn, table->dbi, &mdb_key, &mdb_value)));
    if (!err) {
        *value = view_of(mdb_value);
    }
    return err;
}

/* What a value takes in the file: LMDB keeps large ones on pages of their own. */
static uint64_t cost_of(const struct kv *kv, uint64_t key_bytes, uint64_t value_bytes)
{
    uint64_t bytes = key_bytes + value_bytes + 32, page = kv->page_bytes;
    return bytes <= page / 2 ? bytes : (bytes + page - 1) / page * page;
}

/* Is there a value already, as large as the new one? Then the file does not grow for good. */
static bool replaces(struct kv_update *update, const struct table *table, struct wm_view key,
                     size_t value_bytes)
{
    MDB_val mdb_key = val_of(key), present;
    return mdb_get(update->txn, table->dbi, &mdb_key, &present) == 0 &&
           present.mv_size >= value_bytes;
}

int kv_update_put(struct kv_update *update, const char *name, struct wm_view key,
                  struct wm_view value)
{
    const struct table *table = find_table(update->kv, name);
    MDB_val mdb_key = val_of(key), mdb_value = val_of(value);
    if (!good_key(key) || !good_name(name) || value.len > UINT32_MAX) {
        return WM_E_INVALID;
    }
    if (!table) {
        /* Cannot be made now, within this transaction (see make_table): the batch is taken back,
         * the table made, and the batch applied again. */
        snprintf(update->missing, sizeof update->missing, "%s", name);
        return note(update, -EAGAIN);
    }
    uint64_t bytes = cost_of(update->kv, key.len, value.len);
    if (bytes <= *update->room) {
        *update->room -= bytes;
    } else if (!replaces(update, table, key, value.len)) {
        return note(update, WM_E_LIMIT);
    }
    return note(update, wm_fault_here(WM_FAULT_IO)
                            ? -EIO
                            : code_of(mdb_put(update->txn, table->dbi, &mdb_key, &mdb_value, 0)));
}

int kv_update_remove(struct kv_update *update, const char *name, struct wm_view key)
{
    const struct table *table = find_table(update->kv, name);
    MDB_val mdb_key = val_of(key);
    if (!good_key(key)) {
        return WM_E_INVALID;
    }
    if (!table) {
        return 0;
    }
    int err = wm_fault_here(WM_FAULT_IO)
                  ? -EIO
                  : code_of(mdb_del(update->txn, table->dbi, &mdb_key, NULL));
    return err == WM_E_NOT_FOUND ? 0 : note(update, err);
}

static int check_expected(struct kv_update *update, const struct op *op)
{
    struct wm_view found = {0};
    int err = kv_update_get(update, op_table(op), op_key(op), &found);
    if (err && err != WM_E_NOT_FOUND) {
        return err;
    }
    bool as_expected = op->kind == OP_EXPECT_ABSENT ? err == WM_E_NOT_FOUND
                                                    : !err && wm_view_eq(found, op_value(op));
    return as_expected ? 0 : WM_E_STALE;
}

static bool is_expectation(const struct op *op)
{
    return op->kind == OP_EXPECT || op->kind == OP_EXPECT_ABSENT;
}

static int apply(struct kv_batch *batch, struct kv_update *update)
{
    int err = 0;
    for (size_t i = 0; !err && i < batch->ops.count; i++) {
        if (is_expectation(&batch->ops.items[i])) {
            err = check_expected(update, &batch->ops.items[i]);
        }
    }
    if (!err && batch->update) {
        err = batch->update(batch->update_self, update);
    }
    for (size_t i = 0; !err && !update->broken && i < batch->ops.count; i++) {
        const struct op *op = &batch->ops.items[i];
        if (op->kind == OP_PUT) {
            err = kv_update_put(update, op_table(op), op_key(op), op_value(op));
        } else if (op->kind == OP_REMOVE) {
            err = kv_update_remove(update, op_table(op), op_key(op));
        }
    }
    return update->broken ? update->broken : err;
}

/* --- Commit --- */

/* Bytes that puts may take until the file has bytes_max: what it has not grown to yet, and, counted
 * only when that gets short, the free pages in it (LMDB keeps lists of them in database 0, each a
 * count and so many page numbers; they can be read in a reading transaction only). */
static uint64_t room_of(struct kv *kv)
{
    uint64_t used = kv_bytes(kv);
    uint64_t room = used < kv->bytes_max ? kv->bytes_max - used : 0;
    if (room > kv->bytes_max / 4) {
        return room;
    }
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t free_pages = 0, over = used > kv->bytes_max ? used - kv->bytes_max : 0;
    if (mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn) != 0) {
        return room;
    }
    if (mdb_cursor_open(txn, 0, &cursor) != 0) {
        mdb_txn_abort(txn);
        return room;
    }
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        size_t count = 0;
        if (value.mv_size >= sizeof count) {
            memcpy(&count, value.mv_data, sizeof count);
        }
        free_pages += count;
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    uint64_t free_bytes = free_pages * kv->page_bytes;
    return free_bytes > over ? room + free_bytes - over : 0;
}

static int make_tables_of(struct kv *kv, const struct kv_batch *batch)
{
    int mdb = 0;
    for (size_t i = 0; !mdb && i < batch->ops.count; i++) {
        const struct op *op = &batch->ops.items[i];
        if (op->kind == OP_PUT && !find_table(kv, op_table(op))) {
            mdb = make_table(kv, op_table(op));
        }
    }
    return mdb;
}

static int begin(struct kv *kv, MDB_txn *parent, MDB_txn **out)
{
    return wm_fault_here(WM_FAULT_IO) ? EIO : mdb_txn_begin(kv->env, parent, 0, out);
}

static int end(MDB_txn *txn)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        mdb_txn_abort(txn);
        return EIO;
    }
    return mdb_txn_commit(txn);
}

static void fail_batch(struct kv_batch *batch, int err, int mdb)
{
    batch->err = err;
    batch->diag = (struct wm_diag)WM_DIAG_INIT;
    if (mdb) {
        batch->err = failed(batch->kv, &batch->diag, mdb, "committing");
    } else if (err == WM_E_LIMIT) {
        failed(batch->kv, &batch->diag, MDB_MAP_FULL, "committing");
    } else if (err == WM_E_STALE) {
        wm_diag_set(&batch->diag, err, "store: %s: the key has another value by now",
                    batch->kv->path);
    } else if (err) {
        wm_diag_set(&batch->diag, err, "store: %s: committing: %s", batch->kv->path,
                    wm_error_text(err));
    }
}

static void commit_alone(struct kv *kv, struct kv_batch *batch)
{
    for (;;) {
        MDB_txn *txn;
        int mdb = make_tables_of(kv, batch);
        mdb = mdb ? mdb : begin(kv, NULL, &txn);
        if (mdb) {
            fail_batch(batch, 0, mdb);
            return;
        }
        uint64_t room = room_of(kv);
        struct kv_update update = {.kv = kv, .txn = txn, .room = &room};
        int err = apply(batch, &update);
        if (!err) {
            fail_batch(batch, 0, end(txn));
            return;
        }
        mdb_txn_abort(txn);
        if (!update.missing[0]) {
            fail_batch(batch, err, 0);
            return;
        }
        mdb = make_table(kv, update.missing);
        if (mdb) {
            fail_batch(batch, 0, mdb);
            return;
        }
    }
}

/* False: nothing was committed, because of something that is no single batch's fault. */
static bool commit_together(struct kv *kv, struct kv_batch *group)
{
    MDB_txn *txn;
    for (struct kv_batch *batch = group; batch; batch = batch->next) {
        if (make_tables_of(kv, batch) != 0) {
            return false;
        }
    }
    if (begin(kv, NULL, &txn) != 0) {
        return false;
    }
    uint64_t room = room_of(kv);
    for (struct kv_batch *batch = group; batch; batch = batch->next) {
        uint64_t room_before = room;
        struct kv_update update = {.kv = kv, .room = &room};
        if (begin(kv, txn, &update.txn) != 0) {
            mdb_txn_abort(txn);
            return false;
        }
        int err = apply(batch, &update);
        if (update.missing[0]) {
            mdb_txn_abort(update.txn);
            mdb_txn_abort(txn);
            return false;
        }
        if (err) {
            mdb_txn_abort(update.txn);
            room = room_before;
        } else if (mdb_txn_commit(update.txn) != 0) {
            mdb_txn_abort(txn);
            return false;
        }
        fail_batch(batch, err, 0);
    }
    return end(txn) == 0;
}

/* Takes the queue, or its first GROUP_MAX; the lock is held. */
static struct kv_batch *take_group(struct kv *kv)
{
    struct kv_batch *group = kv->first, *last = group;
    for (unsigned i = 1; i < GROUP_MAX && last->next; i++) {
        last = last->next;
    }
    kv->first = last->next;
    if (!kv->first) {
        kv->last = NULL;
    }
    last->next = NULL;
    return group;
}

int kv_commit(struct kv_batch *batch, struct wm_diag *diag)
{
    struct kv *kv = batch->kv;
    pthread_mutex_lock(&kv->lock);
    batch->next = NULL;
    if (kv->last) {
        kv->last->next = batch;
    } else {
        kv->first = batch;
    }
    kv->last = batch;
    while (!batch->finished) {
        if (kv->writing) {
            pthread_cond_wait(&kv->done, &kv->lock);
            continue;
        }
        kv->writing = true;
        struct kv_batch *group = take_group(kv);
        pthread_mutex_unlock(&kv->lock);
        if (!group->next) {
            commit_alone(kv, group);
        } else if (!commit_together(kv, group)) {
            for (struct kv_batch *each = group; each; each = each->next) {
                commit_alone(kv, each);
            }
        }
        pthread_mutex_lock(&kv->lock);
        while (group) {
            struct kv_batch *next = group->next;
            group->finished = true; /* its thread may free it as soon as the lock is free */
            group = next;
        }
        kv->writing = false;
        pthread_cond_broadcast(&kv->done);
    }
    pthread_mutex_unlock(&kv->lock);
    int err = batch->err;
    if (err && diag) {
        *diag = batch->diag;
    }
    kv_batch_drop(batch);
    return err;
}

int kv_put_one(struct kv *kv, const char *table, struct wm_view key, struct wm_view value,
               struct wm_diag *diag)
{
    struct kv_batch *batch;
    int err = kv_batch_new(kv, &batch);
    if (err) {
        return wm_diag_default(diag, err, "store");
    }
    err = kv_put(batch, table, key, value);
    if (err) {
        kv_batch_drop(batch);
        return wm_diag_default(diag, err, "store: putting a value");
    }
    return kv_commit(batch, diag);
}

/* --- Readers --- */

int kv_read_begin(struct kv *kv, struct kv_reader **out, struct wm_diag *diag)
{
    struct kv_reader *reader = wm_alloc_zero(1, sizeof *reader);
    if (!reader) {
        return wm_diag_default(diag, -ENOMEM, "store: reading");
    }
    reader->kv = kv;
    int mdb =
        wm_fault_here(WM_FAULT_IO) ? EIO : mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &reader->txn);
    if (mdb) {
        wm_free(reader);
        return failed(kv, diag, mdb, "reading");
    }
    *out = reader;
    return 0;
}

void kv_read_end(struct kv_reader *reader)
{
    if (reader) {
        mdb_txn_abort(reader->txn);
        wm_free(reader);
    }
}

/* The table as this reader's snapshot has it; NULL: it had none, or an empty one that LMDB does not
 * let this reader use yet (EINVAL below, for the same reason). */
static const struct table *table_for(struct kv_reader *reader, const char *name)
{
    const struct table *table = find_table(reader->kv, name);
    return table && table->since <= mdb_txn_id(reader->txn) ? table : NULL;
}

int kv_get(struct kv_reader *reader, const char *name, struct wm_view key, struct wm_view *value)
{
    const struct table *table = table_for(reader, name);
    MDB_val mdb_key = val_of(key), mdb_value;
    if (!good_key(key)) {
        return WM_E_INVALID;
    }
    if (!table) {
        return WM_E_NOT_FOUND;
    }
    int mdb =
        wm_fault_here(WM_FAULT_IO) ? EIO : mdb_get(reader->txn, table->dbi, &mdb_key, &mdb_value);
    if (mdb == EINVAL || mdb == MDB_BAD_DBI) {
        return WM_E_NOT_FOUND;
    }
    if (!mdb) {
        *value = view_of(mdb_value);
    }
    return code_of(mdb);
}

static bool starts_with(struct wm_view key, struct wm_view prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.ptr, prefix.ptr, prefix.len) == 0);
}

static bool comes_before(struct wm_view a, struct wm_view b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order < 0 || (order == 0 && a.len < b.len);
}

int kv_scan(struct kv_reader *reader, const char *name, struct wm_view prefix, struct wm_view from,
            kv_emit_fn *emit, void *self)
{
    const struct table *table = table_for(reader, name);
    MDB_cursor *cursor;
    MDB_val key, value;
    if (!table) {
        return 0;
    }
    struct wm_view start = comes_before(prefix, from) ? from : prefix;
    if (start.len > KV_KEY_BYTES_MAX) {
        return WM_E_INVALID;
    }
    int mdb = wm_fault_here(WM_FAULT_IO) ? EIO : mdb_cursor_open(reader->txn, table->dbi, &cursor);
    if (mdb) {
        return mdb == EINVAL || mdb == MDB_BAD_DBI ? 0 : code_of(mdb);
    }
    key = val_of(start);
    mdb = mdb_cursor_get(cursor, &key, &value, start.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
    while (!mdb && starts_with(view_of(key), prefix) && emit(self, view_of(key), view_of(value))) {
        mdb = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return mdb == MDB_NOTFOUND ? 0 : code_of(mdb);
}

/* --- Backup --- */

int kv_backup(struct kv *kv, const char *path, struct wm_diag *diag)
{
    int dir_fd = -1, fd = -1, mdb = 0;
    if (mkdir(path, 0700) == 0) {
        sync_above(path);
    } else if (errno != EEXIST) {
        return wm_diag_set(diag, -errno, "store: backup: making %s: %s", path,
                           wm_error_text(-errno));
    }
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return wm_diag_set(diag, -errno, "store: backup: opening %s: %s", path,
                           wm_error_text(-errno));
    }
    /* Under its own name only when it is whole. */
    fd = openat(dir_fd, "data.part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    mdb = fd < 0 ? errno : 0;
    mdb = mdb ? mdb : wm_fault_here(WM_FAULT_IO) ? EIO : mdb_env_copyfd2(kv->env, fd, 0);
    if (!mdb && fsync(fd) != 0) {
        mdb = errno;
    }
    if (!mdb && renameat2(dir_fd, "data.part", dir_fd, "data.mdb", RENAME_NOREPLACE) != 0) {
        mdb = errno;
    }
    if (!mdb && fsync(dir_fd) != 0) {
        mdb = errno;
    }
    if (fd >= 0) {
        close(fd);
        if (mdb) {
            (void)unlinkat(dir_fd, "data.part", 0);
        }
    }
    close(dir_fd);
    if (mdb == EEXIST) {
        return wm_diag_set(diag, -EEXIST,
                           "store: backup: %s holds a store already; name an empty folder", path);
    }
    return mdb ? failed(kv, diag, mdb, "backup") : 0;
}
