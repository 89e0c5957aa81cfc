/* What is on the disk before it is said.
 *
 * One sync of the journal is under way at most. What is to leave after records that it does not
 * cover is collected for the next one, so that a slow disk makes larger groups and not more of
 * them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/file.h"
#include "ledger/entries_replay.h"
#include "node/replica_internal.h"

#define JOURNAL_RECORD 1u
#define JOURNAL_BYTES_MAX (UINT64_C(128) << 20) /* then it is cut */

/* --- Syncing --- */

static void on_work(uv_work_t *work) /* a thread of libuv's pool */
{
    struct replica_log *log = work->data;
    int result = fdatasync(log->fd) == 0 ? 0 : -errno;
    uv_mutex_lock(&log->mutex);
    log->result = result;
    log->finished = true;
    uv_cond_signal(&log->cond);
    uv_mutex_unlock(&log->mutex);
}

static void tell(struct replica_log *log)
{
    struct wm_diag diag = WM_DIAG_INIT;
    if (!log->told) {
        log->told = true;
        int rc = seglog_synced(log->log, log->result, &diag);
        if (rc != 0) {
            replica_fail(log->replica, rc, &diag);
        }
    }
}

static void on_worked(uv_work_t *work, int status)
{
    struct replica_log *log = work->data;
    (void)status;
    tell(log);
    log->syncing = false;
    if (log->replica->code == 0) {
        log->synced(log->replica);
    }
}

static void begin_sync(struct replica_log *log)
{
    struct wm_diag diag = WM_DIAG_INIT;
    int rc = seglog_sync_begin(log->log, &log->fd, &diag);
    if (rc != 0) {
        replica_fail(log->replica, rc, &diag);
        return;
    }
    log->syncing = true;
    log->told = log->finished = false;
    log->work.data = log;
    if (log->replica->config.no_sync) {
        log->result = 0;
        tell(log);
        log->syncing = false;
        log->synced(log->replica);
        return;
    }
    rc = uv_queue_work(&log->replica->loop, &log->work, on_work, on_worked);
    WM_ASSERT(rc == 0);
}

/* Where a segment ends while a sync is under way: it has to end first. */
static void wait_for_sync(struct replica_log *log)
{
    uv_mutex_lock(&log->mutex);
    while (!log->finished) {
        uv_cond_wait(&log->cond, &log->mutex);
    }
    uv_mutex_unlock(&log->mutex);
    tell(log);
}

static void append(struct replica_log *log, uint8_t kind, struct wm_view bytes)
{
    struct wm_diag diag = WM_DIAG_INIT;
    uint64_t number;
    if (log->replica->code != 0) {
        return;
    }
    int rc = seglog_append(log->log, kind, bytes, &number, &diag);
    if (rc == WM_E_BUSY) {
        wait_for_sync(log);
        rc = seglog_append(log->log, kind, bytes, &number, &diag);
    }
    if (rc != 0) {
        replica_fail(log->replica, rc, &diag);
        return;
    }
    log->next = number + 1;
    log->bytes += bytes.len;
}

/* --- Holding back --- */

static void queue_init(struct replica_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_free(struct replica_queue *queue)
{
    while (queue->first) {
        struct replica_held *held = queue->first;
        queue->first = held->next;
        wm_free(held);
    }
    queue_init(queue);
}

void replica_disk_hold(struct replica *replica, const struct bft_effect *effect)
{
    struct replica_disk *disk = &replica->disk;
    struct replica_held *held = wm_alloc(sizeof *held + effect->bytes.len);
    if (!held) {
        return; /* as if it had been lost on the way */
    }
    *held = (struct replica_held){.kind = effect->kind,
                                  .to = effect->to,
                                  .view = effect->view,
                                  .seqno = effect->seqno,
                                  .len = effect->bytes.len};
    if (effect->bytes.len > 0) {
        memcpy(held->bytes, effect->bytes.ptr, effect->bytes.len);
    }
    if (!disk->journal_dirty && !disk->journal.syncing) {
        replica_let_go(replica, held);
        wm_free(held);
        return;
    }
    struct replica_queue *queue = disk->journal_dirty ? &disk->collecting : &disk->syncing;
    *queue->last = held;
    queue->last = &held->next;
}

void replica_disk_persist(struct replica *replica, struct wm_view record)
{
    append(&replica->disk.journal, JOURNAL_RECORD, record);
    replica->disk.journal_dirty = true;
    atomic_fetch_add_explicit(&replica->figures.journal_records, 1, memory_order_relaxed);
}

static void on_journal_synced(struct replica *replica)
{
    struct replica_disk *disk = &replica->disk;
    struct wm_diag diag = WM_DIAG_INIT;
    atomic_fetch_add_explicit(&replica->figures.journal_syncs, 1, memory_order_relaxed);
    struct replica_held *held = disk->syncing.first;
    queue_init(&disk->syncing);
    while (held) {
        struct replica_held *next = held->next;
        replica_let_go(replica, held);
        wm_free(held);
        held = next;
    }
    if (disk->cut_before != 0 && !disk->journal_dirty) {
        int rc = seglog_remove_before(disk->journal.log, disk->cut_before, &diag);
        disk->cut_before = 0;
        if (rc != 0) {
            replica_fail(replica, rc, &diag);
        }
    }
}

/* The committed ledger is durable: the journal need not bring it back any more. */
static void on_ledger_synced(struct replica *replica)
{
    struct replica_disk *disk = &replica->disk;
    uint64_t before = disk->journal.next;
    struct bft_effects effects;
    bft_effects_init(&effects);
    bft_checkpoint_journal(replica->bft, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        if (effects.items[i].kind == BFT_PERSIST) {
            replica_disk_persist(replica, effects.items[i].bytes);
        }
    }
    bft_effects_fini(&effects);
    disk->journal.bytes = 0;
    disk->cut_before = before;
}

void replica_disk_turn(struct replica *replica)
{
    struct replica_disk *disk = &replica->disk;
    if (replica->code != 0) {
        return;
    }
    if (disk->journal.bytes > JOURNAL_BYTES_MAX) {
        disk->cut_wanted = true;
    }
    if (disk->cut_wanted && !disk->ledger.syncing && disk->cut_before == 0) {
        disk->cut_wanted = false;
        disk->journal.bytes = 0;
        begin_sync(&disk->ledger);
    }
    if (disk->journal_dirty && !disk->journal.syncing) {
        WM_ASSERT(!disk->syncing.first);
        if (disk->collecting.first) {
            disk->syncing = disk->collecting;
        }
        queue_init(&disk->collecting);
        disk->journal_dirty = false;
        begin_sync(&disk->journal);
    }
}

/* --- The ledger's log --- */

static void append_entry(struct replica *replica, uint8_t kind, struct wm_view entry)
{
    if (entry.len > 0) {
        append(&replica->disk.ledger, kind, entry);
    }
}

void replica_disk_entries(struct replica *replica, const struct bft_entries *entries)
{
    struct wm_diag diag = WM_DIAG_INIT;
    uint64_t record = replica->disk.ledger.next;
    append_entry(replica, ENTRY_VIEW_CHANGES, entries->view_changes);
    append_entry(replica, ENTRY_NEW_VIEW, entries->new_view);
    append_entry(replica, ENTRY_EVIDENCE, entries->evidence);
    append_entry(replica, ENTRY_PREPREPARE, entries->preprepare);
    append_entry(replica, ENTRY_TRANSACTIONS, entries->transactions);
    int rc = replica->code ? 0 : replica_index_add(&replica->index, entries, record, &diag);
    if (rc != 0) {
        replica_fail(replica, rc, &diag);
    }
}

/* --- Checkpoints: files of items, each behind its length (u32, little-endian) --- */

static void checkpoint_name(uint64_t seqno, const char *end, char out[64])
{
    (void)snprintf(out, 64, "checkpoints/%020llu%s", (unsigned long long)seqno, end);
}

static int write_item(void *self, struct wm_view item)
{
    int fd = *(int *)self;
    uint32_t len = (uint32_t)item.len;
    int rc = host_file_write_all(fd, wm_view_of(&len, sizeof len));
    return rc ? rc : host_file_write_all(fd, item);
}

static void on_checkpoint_work(uv_work_t *work) /* a thread of libuv's pool */
{
    struct replica *replica = work->data;
    struct replica_disk *disk = &replica->disk;
    char part[64], whole[64];
    uint64_t seqno = checkpoint_seqno(disk->checkpoint);
    checkpoint_name(seqno, ".part", part);
    checkpoint_name(seqno, "", whole);
    int fd = openat(replica->folder.dir_fd, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : checkpoint_write(disk->checkpoint, write_item, &fd);
    if (rc == 0 && fdatasync(fd) != 0) {
        rc = -errno;
    }
    host_file_close(fd);
    if (rc == 0 && renameat(replica->folder.dir_fd, part, replica->folder.dir_fd, whole) != 0) {
        rc = -errno;
    }
    disk->checkpoint_result = rc;
}

/* Their numbers, descending. Returns how many, at most `most`. */
static uint32_t list_checkpoints(const struct replica_folder *folder, uint64_t *out, uint32_t most)
{
    int fd = openat(folder->dir_fd, "checkpoints", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    uint32_t count = 0;
    const struct dirent *item;
    if (!dir) {
        host_file_close(fd);
        return 0;
    }
    while ((item = readdir(dir))) {
        char *end;
        uint64_t seqno = strtoull(item->d_name, &end, 10);
        if (*end || seqno == 0) {
            continue;
        }
        uint32_t at = count < most ? count++ : most;
        for (; at > 0 && out[at - 1] < seqno; at--) {
            if (at < most) {
                out[at] = out[at - 1];
            }
        }
        if (at < most) {
            out[at] = seqno;
        }
    }
    (void)closedir(dir);
    return count;
}

static void on_checkpoint_worked(uv_work_t *work, int status)
{
    struct replica *replica = work->data;
    struct replica_disk *disk = &replica->disk;
    uint64_t seqno = checkpoint_seqno(disk->checkpoint), kept[16];
    (void)status;
    checkpoint_end(replica->executor, disk->checkpoint);
    disk->checkpoint = NULL;
    if (disk->checkpoint_result != 0) { /* the older ones, and the ledger, are still there */
        replica_log_line(replica, "checkpoint %llu: %s", (unsigned long long)seqno,
                         wm_error_text(disk->checkpoint_result));
        return;
    }
    disk->checkpoint_seqno = seqno;
    atomic_fetch_add_explicit(&replica->figures.checkpoints, 1, memory_order_relaxed);
    bft_set_checkpoint(replica->bft, seqno);
    disk->cut_wanted = true;
    uint32_t count = list_checkpoints(&replica->folder, kept, 16);
    for (uint32_t i = 2; i < count; i++) {
        char name[64];
        checkpoint_name(kept[i], "", name);
        (void)unlinkat(replica->folder.dir_fd, name, 0);
    }
    replica_log_line(replica, "checkpoint %llu", (unsigned long long)seqno);
}

void replica_disk_checkpoint(struct replica *replica)
{
    struct replica_disk *disk = &replica->disk;
    if (disk->checkpoint || replica->code != 0 ||
        checkpoint_begin(replica->executor, &disk->checkpoint) != 0) {
        return;
    }
    disk->checkpoint_work.data = replica;
    int rc = uv_queue_work(&replica->loop, &disk->checkpoint_work, on_checkpoint_work,
                           on_checkpoint_worked);
    WM_ASSERT(rc == 0);
}

/* --- Starting from one --- */

static int read_item(int fd, uint8_t *room, size_t *len)
{
    uint32_t count;
    ssize_t got = read(fd, &count, sizeof count);
    if (got != (ssize_t)sizeof count || count > CHECKPOINT_ITEM_BYTES_MAX) {
        return WM_E_MALFORMED;
    }
    for (*len = 0; *len < count; *len += (size_t)got) {
        got = read(fd, room + *len, count - *len);
        if (got <= 0) {
            return got < 0 ? -errno : WM_E_MALFORMED;
        }
    }
    return 0;
}

/* Is its pre-prepare that of the ledger here? */
static int confirm(struct replica *replica, const struct checkpoint_reader *reader,
                   struct wm_diag *diag)
{
    struct preprepare_entry entry, own;
    struct preprepare_claims claims;
    struct bft_entries entries;
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    checkpoint_preprepare(reader, &entry, &claims);
    int rc = replica_entries(replica, claims.seqno, &arena, &entries, diag);
    if (rc == 0 && !(preprepare_entry_get(entries.preprepare, &own, diag) &&
                     wm_view_eq(own.header, entry.header) &&
                     memcmp(own.root, entry.root, sizeof own.root) == 0)) {
        rc = wm_diag_set(diag, WM_E_FORGED, "checkpoint %llu: is not of this ledger",
                         (unsigned long long)claims.seqno);
    }
    wm_arena_fini(&arena);
    return rc;
}

static int restore_from(struct replica *replica, const struct executor_config *config,
                        uint64_t seqno, uint8_t *room, struct executor **out, struct wm_diag *diag)
{
    struct checkpoint_reader *reader = NULL;
    char name[64];
    size_t len = 0;
    checkpoint_name(seqno, "", name);
    int fd = host_file_open(replica->folder.dir_fd, name);
    int rc = fd < 0 ? fd : read_item(fd, room, &len);
    struct wm_view genesis = wm_view_of(replica->folder.genesis, replica->folder.genesis_len);
    rc = rc ? rc : checkpoint_open(config, genesis, wm_view_of(room, len), &reader, diag);
    rc = rc ? rc : confirm(replica, reader, diag);
    while (rc == 0 && checkpoint_missing(reader) > 0) {
        rc = read_item(fd, room, &len);
        rc = rc ? rc : checkpoint_feed(reader, wm_view_of(room, len), diag);
    }
    host_file_close(fd);
    if (rc != 0) {
        checkpoint_drop(reader);
        return rc;
    }
    return checkpoint_close(reader, out, diag);
}

int replica_disk_restore(struct replica *replica, const struct executor_config *config,
                         struct executor **out, struct wm_diag *diag)
{
    uint64_t seqnos[16];
    uint32_t count = list_checkpoints(&replica->folder, seqnos, 16);
    uint8_t *room = wm_alloc(CHECKPOINT_ITEM_BYTES_MAX);
    int rc = WM_E_NOT_FOUND;
    if (!room) {
        return wm_diag_default(diag, -ENOMEM, "checkpoints");
    }
    for (uint32_t i = 0; i < count && rc != 0 && rc != -ENOMEM; i++) {
        /* One that the crash made worthless is no loss: the ledger is there. */
        if (seqnos[i] <= replica_index_seqno(&replica->index)) {
            rc = restore_from(replica, config, seqnos[i], room, out, diag);
            replica->disk.checkpoint_seqno = rc == 0 ? seqnos[i] : 0;
        }
    }
    wm_free(room);
    return rc == 0 || rc == -ENOMEM ? rc : WM_E_NOT_FOUND;
}

/* --- Opening --- */

static int open_log(struct replica *replica, struct replica_log *log, const char *name, bool seal,
                    struct wm_diag *diag)
{
    char path[4096];
    struct seglog_config config = {.path = path, .seal = seal, .no_sync = replica->config.no_sync};
    struct seglog_opened opened;
    if (snprintf(path, sizeof path, "%s/%s", replica->folder.path, name) >= (int)sizeof path) {
        return wm_diag_default(diag, -ENAMETOOLONG, replica->folder.path);
    }
    wm_sha256_once(wm_view_of(replica->folder.genesis, replica->folder.genesis_len), config.label);
    log->replica = replica;
    int rc = seglog_open(&config, &log->log, &opened, diag);
    if (rc != 0) {
        return rc;
    }
    log->first = opened.first;
    log->next = opened.next;
    if (opened.cut_bytes > 0) {
        replica_log_line(replica, "%s: %llu bytes that no sync had covered were cut", name,
                         (unsigned long long)opened.cut_bytes);
    }
    return 0;
}

int replica_disk_open(struct replica *replica, struct wm_diag *diag)
{
    struct replica_disk *disk = &replica->disk;
    queue_init(&disk->collecting);
    queue_init(&disk->syncing);
    disk->journal.synced = on_journal_synced;
    disk->ledger.synced = on_ledger_synced;
    for (uint32_t i = 0; i < 2; i++) {
        struct replica_log *log = i == 0 ? &disk->journal : &disk->ledger;
        int rc = uv_mutex_init(&log->mutex);
        rc = rc ? rc : uv_cond_init(&log->cond);
        WM_ASSERT(rc == 0);
    }
    int rc = open_log(replica, &disk->journal, "journal", false, diag);
    return rc ? rc : open_log(replica, &disk->ledger, "ledger", true, diag);
}

void replica_disk_close(struct replica *replica)
{
    struct replica_disk *disk = &replica->disk;
    queue_free(&disk->collecting);
    queue_free(&disk->syncing);
    seglog_close(disk->journal.log);
    seglog_close(disk->ledger.log);
    disk->journal.log = disk->ledger.log = NULL;
}
