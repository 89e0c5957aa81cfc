/* The log: appending and syncing, and the few things that change which segments there are.
 *
 *     FOLDER/0000000000000004-...-....sealed   sealed segments, oldest first
 *     FOLDER/0000000000000005.log              the newest: records go here
 *     FOLDER/spare                             becomes the next one
 *
 * Records are put into a buffer and written when it is full or when somebody wants to read or sync
 * them: a system call for each of a thousand records would cost more than the sync that makes them
 * durable.
 *
 * When the disk fails, nothing is repaired here: the log stops writing, and opening it anew finds
 * out from the disk what there is. Truncation is built on the same: it writes down, in one atomic
 * step, what is to be true, and then loads the folder as if after a crash. */
#include "store/seglog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "store/seglog_internal.h"

#define SEGMENT_BYTES_DEFAULT ((uint64_t)64 << 20)

int seglog_error(const struct seglog *log, int err, struct wm_diag *diag, const char *what)
{
    return wm_diag_set(diag, err, "log %s: %s: %s", log->path, what, wm_error_text(err));
}

int seglog_broke(struct seglog *log, int err, struct wm_diag *diag, const char *what)
{
    log->failed = true;
    return seglog_error(log, err, diag, what);
}

int seglog_damaged(const struct seglog *log, const struct segment *segment, uint64_t offset,
                   const char *what, struct wm_diag *diag)
{
    return wm_diag_set(diag, WM_E_FORGED, "log %s: segment %llu is damaged at byte %llu: %s",
                       log->path, (unsigned long long)segment->number, (unsigned long long)offset,
                       what);
}

static int refused(const struct seglog *log, struct wm_diag *diag)
{
    return wm_diag_set(diag, -EIO,
                       "log %s: the disk failed before, so that what it holds is not known; close "
                       "the log and open it anew",
                       log->path);
}

void seglog_segment_fini(struct segment *segment)
{
    wm_vec_fini(&segment->points);
}

/* --- Opening and closing --- */

int seglog_open(const struct seglog_config *config, struct seglog **out,
                struct seglog_opened *opened, struct wm_diag *diag)
{
    uint64_t segment_bytes = config->segment_bytes ? config->segment_bytes : SEGMENT_BYTES_DEFAULT;
    if (segment_bytes < SEGLOG_SEGMENT_BYTES_LEAST || segment_bytes > SEGLOG_SEGMENT_BYTES_MAX ||
        segment_bytes % SEGLOG_PAGE_BYTES != 0) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "log %s: segments of %llu bytes: 64 KiB to 1 GiB are possible, in whole "
                           "4 KiB",
                           config->path, (unsigned long long)segment_bytes);
    }
    struct seglog *log = wm_alloc_zero(1, sizeof *log);
    if (!log) {
        return wm_diag_set(diag, -ENOMEM, "log %s: %s", config->path, wm_error_text(-ENOMEM));
    }
    log->file = log->spare.file = -1;
    log->segment_bytes = segment_bytes;
    log->seal = config->seal;
    memcpy(log->label, config->label, sizeof log->label);
    log->path = wm_strdup(config->path);
    log->buffer = wm_alloc(SEGLOG_BUFFER_BYTES);
    int err = 0;
    if (!log->path || !log->buffer) {
        err = wm_diag_set(diag, -ENOMEM, "log %s: %s", config->path, wm_error_text(-ENOMEM));
    } else if (config->disk) {
        log->disk = *config->disk;
    } else {
        err = seglog_files_open(config->path, config->no_sync, &log->files, &log->disk, diag);
    }
    uint64_t cut = 0;
    err = err ? err : seglog_load(log, &cut, diag);
    if (err) {
        seglog_close(log);
        return err;
    }
    *opened = (struct seglog_opened){log->segments.items[0].first, log->next, cut};
    *out = log;
    return 0;
}

void seglog_close(struct seglog *log)
{
    if (!log) {
        return;
    }
    WM_ASSERT(!log->syncing);
    seglog_unload(log);
    if (log->spare.file >= 0) {
        log->disk.ops->close(log->disk.self, log->spare.file);
    }
    seglog_files_close(log->files);
    wm_vec_fini(&log->segments);
    wm_free(log->reader.bytes);
    wm_free(log->buffer);
    wm_free(log->path);
    wm_free(log);
}

/* --- Appending --- */

/* Writes at the end of what was written. */
static int write_out(struct seglog *log, struct wm_view bytes, struct wm_diag *diag)
{
    int err = log->disk.ops->write(log->disk.self, log->file, log->written.end, bytes);
    if (err) {
        return seglog_broke(log, err, diag, "appending");
    }
    if (log->seal) {
        wm_sha256_add(&log->hash, bytes);
    }
    log->written.end += bytes.len;
    return 0;
}

int seglog_flush(struct seglog *log, struct wm_diag *diag)
{
    if (log->failed) {
        return refused(log, diag);
    }
    int err = log->buffered > 0 ? write_out(log, wm_view_of(log->buffer, log->buffered), diag) : 0;
    if (!err) {
        log->buffered = 0;
        log->written.next = log->next;
    }
    return err;
}

/* Ends the last segment and begins the next. */
static int change_segment(struct seglog *log, bool by_cut, struct wm_diag *diag)
{
    int old_file = log->file;
    struct wm_sha256 hash;
    int err = seglog_sync(log, diag);
    if (err) {
        return err;
    }
    hash = log->hash;
    err = seglog_start(log, seglog_last(log)->number + 1, log->next, by_cut, diag);
    if (err) {
        return err;
    }
    seglog_reader_end(log); /* it may be using the old file */
    if (log->seal) {
        return seglog_seal(log, &log->segments.items[log->segments.count - 2], old_file, hash,
                           diag);
    }
    log->disk.ops->close(log->disk.self, old_file);
    return 0;
}

int seglog_append(struct seglog *log, uint8_t kind, struct wm_view bytes, uint64_t *number,
                  struct wm_diag *diag)
{
    uint64_t end = seglog_records_end(log->segment_bytes);
    uint64_t most =
        wm_min_u64(SEGLOG_RECORD_BYTES_MAX, end - SEGLOG_PAGE_BYTES - SEGLOG_FRAME_BYTES);
    if (log->failed) {
        return refused(log, diag);
    }
    if (bytes.len > most) {
        return wm_diag_set(diag, WM_E_LIMIT,
                           "log %s: a record of %zu bytes: there is room for %llu at most",
                           log->path, bytes.len, (unsigned long long)most);
    }
    size_t len = SEGLOG_FRAME_BYTES + bytes.len;
    if (len > end - seglog_last(log)->end) {
        if (log->syncing) {
            return wm_diag_set(diag, WM_E_BUSY,
                               "log %s: the segment is full, and a sync is under way that must end "
                               "first",
                               log->path);
        }
        int err = change_segment(log, false, diag);
        if (err) {
            return err;
        }
    }
    struct segment *segment = seglog_last(log);
    if (seglog_point_add(segment, log->next, segment->end) != 0) {
        return seglog_error(log, -ENOMEM, diag, "appending");
    }
    if (log->buffered + len > SEGLOG_BUFFER_BYTES) {
        int err = seglog_flush(log, diag);
        if (err) {
            return err;
        }
    }
    seglog_frame_put(log->next, kind, bytes, log->buffer + log->buffered);
    log->buffered += SEGLOG_FRAME_BYTES;
    if (len <= SEGLOG_BUFFER_BYTES) {
        if (bytes.len > 0) { /* its ptr may be NULL else */
            memcpy(log->buffer + log->buffered, bytes.ptr, bytes.len);
        }
        log->buffered += bytes.len;
    } else { /* past the buffer, which holds its frame alone */
        int err = write_out(log, wm_view_of(log->buffer, log->buffered), diag);
        log->buffered = 0;
        err = err ? err : write_out(log, bytes, diag);
        if (err) {
            return err;
        }
    }
    *number = log->next++;
    segment->end += len;
    segment->count++;
    if (log->buffered == 0) {
        log->written.next = log->next;
    }
    seglog_spare_advance(log);
    return 0;
}

/* --- Syncing --- */

int seglog_note(struct seglog *log, struct wm_diag *diag)
{
    uint8_t bytes[SEGLOG_MARK_BYTES];
    seglog_mark_put(&log->durable, seglog_last(log)->number, bytes);
    int err = log->disk.ops->write(log->disk.self, log->file,
                                   seglog_mark_offset(log->segment_bytes, log->mark),
                                   wm_view_of(bytes, sizeof bytes));
    /* The other one next time: while one is written, the other is whole. */
    log->mark = (log->mark + 1) % SEGLOG_MARKS;
    return err ? seglog_broke(log, err, diag, "noting what is durable") : 0;
}

int seglog_sync(struct seglog *log, struct wm_diag *diag)
{
    WM_ASSERT(!log->syncing);
    int err = seglog_flush(log, diag);
    if (err || log->durable.end == log->written.end) {
        return err;
    }
    err = log->disk.ops->sync(log->disk.self, log->file);
    if (err) {
        return seglog_broke(log, err, diag, "syncing");
    }
    log->durable = log->written;
    return seglog_note(log, diag);
}

int seglog_sync_begin(struct seglog *log, int *fd, struct wm_diag *diag)
{
    WM_ASSERT(!log->syncing);
    int err = seglog_flush(log, diag);
    if (err) {
        return err;
    }
    log->syncing = true;
    log->syncing_to = log->written;
    *fd = log->file;
    return 0;
}

int seglog_synced(struct seglog *log, int result, struct wm_diag *diag)
{
    WM_ASSERT(log->syncing && result <= 0);
    log->syncing = false;
    if (result != 0) {
        return seglog_broke(log, result, diag, "syncing");
    }
    if (log->failed) { /* by something else, in the meantime */
        return refused(log, diag);
    }
    log->durable = log->syncing_to;
    return seglog_note(log, diag);
}

int seglog_cut(struct seglog *log, struct wm_diag *diag)
{
    WM_ASSERT(!log->syncing);
    if (log->failed) {
        return refused(log, diag);
    }
    return seglog_last(log)->count > 0 ? change_segment(log, true, diag) : 0;
}

/* --- Removing --- */

/* One at a time, each durable before the next: in whatever state a crash leaves the folder, those
 * that are left follow each other, and a missing one is never mistaken for a removed one. */
int seglog_remove_before(struct seglog *log, uint64_t number, struct wm_diag *diag)
{
    char name[SEGLOG_NAME_BYTES];
    if (log->failed) {
        return refused(log, diag);
    }
    while (log->segments.count > 1 && log->segments.items[1].first <= number) {
        struct segment *oldest = &log->segments.items[0];
        seglog_segment_name(oldest, name);
        if (log->reader.set && log->reader.segment == oldest->number) {
            seglog_reader_end(log);
        }
        int err = log->disk.ops->unlink(log->disk.self, name);
        if (err) {
            return seglog_broke(log, err, diag, name);
        }
        seglog_segment_fini(oldest);
        log->segments.count--;
        memmove(oldest, oldest + 1, log->segments.count * sizeof *oldest);
    }
    return 0;
}

/* Where the last segment is empty then, and began because the one before it was full, loading goes
 * back to that one. */
int seglog_truncate(struct seglog *log, uint64_t number, struct wm_diag *diag)
{
    struct seglog_header header;
    struct record record;
    uint64_t cut;
    WM_ASSERT(!log->syncing);
    if (log->failed) {
        return refused(log, diag);
    }
    if (number < log->segments.items[0].first || number > log->next) {
        return wm_diag_set(
            diag, WM_E_INVALID, "log %s: truncating at record %llu: there are %llu to %llu",
            log->path, (unsigned long long)number, (unsigned long long)log->segments.items[0].first,
            (unsigned long long)log->next);
    }
    if (number == log->next) {
        return 0;
    }
    /* What stays is to be durable when the rest goes, and readable: once it is decided, there is no
     * way back. */
    int err = seglog_sync(log, diag);
    if (err) {
        return err;
    }
    struct segment *segment = seglog_segment_of(log, number);
    err = seglog_reader_open(log, segment, diag);
    err = err ? err : seglog_read_header(log, segment, log->reader.file, &header, diag);
    while (!err && log->reader.number < number) {
        err = seglog_must_next(log, segment, &record, diag);
    }
    if (err) {
        return err;
    }
    seglog_reader_end(log);
    err = seglog_decide_truncation(log, number, segment,
                                   segment == seglog_last(log) ? segment->end : log->segment_bytes,
                                   diag);
    if (!err) {
        seglog_unload(log);
        err = seglog_load(log, &cut, diag);
    }
    log->failed = err != 0;
    return err;
}

/* --- Segments --- */

uint64_t seglog_segments(const struct seglog *log)
{
    return log->segments.count;
}

void seglog_segment(const struct seglog *log, uint64_t which, struct seglog_segment *out)
{
    WM_ASSERT(which < log->segments.count);
    const struct segment *segment = &log->segments.items[which];
    *out = (struct seglog_segment){.first = segment->first,
                                   .count = segment->count,
                                   .bytes = segment->sealed ? segment->bytes : segment->end,
                                   .sealed = segment->sealed};
    memcpy(out->sha256, segment->sha256, sizeof out->sha256);
}
