/* From a folder to a log: what is there, what of it counts, and what has to be put right.
 *
 * Only the newest segment may have been under change when the log ended, in one of three ways:
 *
 * Records that no sync had covered. Of each sector either nothing arrived or what was written. The
 * first record that is not whole is where the log ends; what lies after it is removed, as by a
 * truncation. Where the mark says that a sync had covered that place, it is not a crash that was
 * there, and the log is not opened.
 *
 * A change of segments. The newest one is empty, and was begun because the one before it was full
 * for a record that did not arrive. It is taken back, again as by a truncation: the next record may
 * be a smaller one, and which segments come about is not to depend on crashes.
 *
 * A truncation. The last page of the newest segment says that it was decided. It is done (again);
 * each step finds done what was done, and the page goes last.
 *
 * And what a failing sync leaves behind. It told an earlier process, once, that something did not
 * arrive; the kernel takes the pages for clean from then on, shows them, and a sync finds nothing
 * to do and succeeds. So nothing that is seen here is believed to be on the disk but what a mark
 * covers, and what a file contains that was renamed. Records after the mark are written again, the
 * same bytes, before they are synced; and zeroes, which cannot be told from those that were always
 * there, are only ever written over something when that was decided durably before, with the place
 * how far, and all of them are written each time until a sync has succeeded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "store/seglog_internal.h"

/* --- What the folder holds --- */

struct listing {
    struct seglog *log;
    int err;
};

static bool take_name(void *to, const char *text)
{
    struct listing *listing = to;
    struct seglog_name name;
    if (!seglog_name_get(text, &name)) {
        return true; /* the lock, the spare, somebody's notes */
    }
    struct segment segment = {.number = name.segment, .first = name.first, .sealed = name.sealed};
    memcpy(segment.sha256, name.sha256, sizeof segment.sha256);
    listing->err = wm_vec_push(&listing->log->segments, segment);
    return listing->err == 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = ((const struct segment *)a)->number,
             right = ((const struct segment *)b)->number;
    return left < right ? -1 : left > right;
}

static int list(struct seglog *log, struct wm_diag *diag)
{
    struct listing listing = {.log = log};
    int err = log->disk.ops->list(log->disk.self, take_name, &listing);
    err = err ? err : listing.err;
    if (err) {
        return seglog_error(log, err, diag, "listing its folder");
    }
    if (log->segments.count > 0) {
        qsort(log->segments.items, log->segments.count, sizeof *log->segments.items, by_number);
    }
    return 0;
}

/* They follow each other, each is there once, and the newest can be appended to. */
static int check_sequence(const struct seglog *log, struct wm_diag *diag)
{
    const struct segment *segments = log->segments.items;
    size_t count = log->segments.count;
    for (size_t i = 1; i < count; i++) {
        if (segments[i].number != segments[i - 1].number + 1) {
            return wm_diag_set(
                diag, WM_E_FORGED, "log %s: segment %llu is %s; put the folder back as it was",
                log->path,
                (unsigned long long)(segments[i].number == segments[i - 1].number
                                         ? segments[i].number
                                         : segments[i - 1].number + 1),
                segments[i].number == segments[i - 1].number ? "there twice" : "missing");
        }
    }
    if (count > 0 && segments[count - 1].sealed) {
        return wm_diag_set(
            diag, WM_E_FORGED,
            "log %s: segment %llu is missing, the newest one; put the folder back as "
            "it was",
            log->path, (unsigned long long)segments[count - 1].number + 1);
    }
    return 0;
}

int seglog_read_header(struct seglog *log, const struct segment *segment, int file,
                       struct seglog_header *out, struct wm_diag *diag)
{
    uint8_t page[SEGLOG_PAGE_BYTES];
    size_t got;
    uint32_t version;
    int err = log->disk.ops->read(log->disk.self, file, 0, page, sizeof page, &got);
    if (err) {
        return seglog_error(log, err, diag, "reading");
    }
    if (!seglog_header_get(wm_view_of(page, got), out, &version)) {
        return version
                   ? wm_diag_set(diag, WM_E_UNSUPPORTED,
                                 "log %s: segment %llu has version %u of the format; this "
                                 "program knows %u",
                                 log->path, (unsigned long long)segment->number, version,
                                 SEGLOG_VERSION)
                   : seglog_damaged(log, segment, 0, "its header; restore it from a copy", diag);
    }
    if (memcmp(out->label, log->label, sizeof log->label) != 0) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "log %s: segment %llu belongs to another log; name this one's folder",
                           log->path, (unsigned long long)segment->number);
    }
    if (out->segment_bytes != log->segment_bytes) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "log %s: its segments have %llu bytes, not %llu; open it with that size",
                           log->path, (unsigned long long)out->segment_bytes,
                           (unsigned long long)log->segment_bytes);
    }
    if (out->segment != segment->number || (segment->sealed && out->first != segment->first)) {
        return seglog_damaged(log, segment, 0,
                              "its header is another segment's; restore it from a copy", diag);
    }
    return 0;
}

/* First numbers and counts, from headers and names. */
static int read_headers(struct seglog *log, struct wm_diag *diag)
{
    struct seglog_header header;
    for (size_t i = 0; i < log->segments.count; i++) {
        struct segment *segment = &log->segments.items[i];
        char name[SEGLOG_NAME_BYTES];
        int file;
        seglog_segment_name(segment, name);
        int err =
            log->disk.ops->open(log->disk.self, name, SEGLOG_DISK_READ, &file, &segment->bytes);
        if (err) {
            return seglog_error(log, err, diag, name);
        }
        if (!segment->sealed) {
            err = seglog_read_header(log, segment, file, &header, diag);
            segment->first = header.first;
            segment->by_cut = header.by_cut;
        }
        log->disk.ops->close(log->disk.self, file);
        if (err) {
            return err;
        }
        if (i > 0 && segment->first <= segment[-1].first) {
            return seglog_damaged(log, segment, 0,
                                  "its header does not follow the segment before; restore it from "
                                  "a copy",
                                  diag);
        }
        if (i > 0) {
            segment[-1].count = segment->first - segment[-1].first;
        }
    }
    return 0;
}

/* --- Walking a segment that is not sealed --- */

/* From its first record to `next`, or as far as it goes; makes the index, and the hash where it is
 * wanted. *met: it comes to the place that the mark names, between two records or at either end,
 * with the right number. */
static int walk(struct seglog *log, struct segment *segment, uint64_t next,
                const struct seglog_mark *mark, bool *met, struct wm_diag *diag)
{
    struct reader *reader = &log->reader;
    struct record record;
    int got = 1;
    *met = false;
    while (got == 1 && reader->number < next) {
        if (reader->offset == mark->end) {
            *met = reader->number == mark->next;
        }
        got = seglog_point_add(segment, reader->number, reader->offset);
        got = got ? got : seglog_reader_next(log, &record);
        if (got == 1 && log->seal) {
            wm_sha256_add(&log->hash, record.whole);
        }
    }
    if (reader->offset == mark->end) {
        *met = reader->number == mark->next;
    }
    segment->end = reader->offset;
    return got == 1 || got == 0 || got == WM_E_FORGED ? 0 : seglog_error(log, got, diag, "reading");
}

/* The header's page as it is, into the hash. */
static int begin_hash(struct seglog *log, int file, struct wm_diag *diag)
{
    uint8_t page[SEGLOG_PAGE_BYTES];
    size_t got;
    int err = log->disk.ops->read(log->disk.self, file, 0, page, sizeof page, &got);
    wm_sha256_init(&log->hash);
    wm_sha256_add(&log->hash, wm_view_of(page, err ? 0 : got));
    return err ? seglog_error(log, err, diag, "reading") : 0;
}

/* One that another follows: it was synced whole. */
static int load_full(struct seglog *log, struct segment *segment, struct wm_diag *diag)
{
    static const struct seglog_mark nowhere;
    bool met;
    char name[SEGLOG_NAME_BYTES];
    uint64_t bytes, next = segment->first + segment->count;
    int file;
    seglog_segment_name(segment, name);
    int err = log->disk.ops->open(log->disk.self, name,
                                  log->seal ? SEGLOG_DISK_WRITE : SEGLOG_DISK_READ, &file, &bytes);
    if (err) {
        return seglog_error(log, err, diag, name);
    }
    err = log->seal ? begin_hash(log, file, diag) : 0;
    if (!err) {
        seglog_reader_begin(log, segment, file, false, seglog_records_end(log->segment_bytes));
        err = walk(log, segment, next, &nowhere, &met, diag);
        if (!err && log->reader.number < next) {
            err = seglog_damaged(log, segment, segment->end, "restore it from a copy", diag);
        }
        seglog_reader_end(log);
    }
    if (err || !log->seal) {
        log->disk.ops->close(log->disk.self, file);
        return err;
    }
    return seglog_seal(log, segment, file, log->hash, diag);
}

/* --- The newest segment --- */

/* The further one of the marks that can be read; a blank one says that nothing was durable. While
 * one is written, the other is whole, so that both are damaged only where something rots. */
static int read_marks(struct seglog *log, const struct segment *segment, struct wm_diag *diag)
{
    const struct seglog_mark begin = {SEGLOG_PAGE_BYTES, segment->first};
    unsigned damaged = 0;
    log->durable = begin;
    log->mark = 0;
    for (unsigned i = 0; i < SEGLOG_MARKS; i++) {
        uint8_t bytes[SEGLOG_MARK_BYTES];
        struct seglog_mark mark = {0};
        size_t got;
        int err = log->disk.ops->read(log->disk.self, log->file,
                                      seglog_mark_offset(log->segment_bytes, i), bytes,
                                      sizeof bytes, &got);
        if (err) {
            return seglog_error(log, err, diag, "reading");
        }
        enum seglog_mark_state state =
            seglog_mark_get(wm_view_of(bytes, got), segment->number, &mark);
        damaged += state == SEGLOG_MARK_DAMAGED;
        if (state == SEGLOG_MARK_GOOD && mark.end >= log->durable.end) {
            log->durable = mark;
            log->mark = (i + 1) % SEGLOG_MARKS;
        }
    }
    return damaged < SEGLOG_MARKS
               ? 0
               : seglog_damaged(
                     log, segment, seglog_mark_offset(log->segment_bytes, 0),
                     "its marks: what was durable cannot be told; restore it from a copy", diag);
}

/* *last: the end of the last byte in [from, to) that is not zero, or `from`. */
static int find_last(struct seglog *log, uint64_t from, uint64_t to, uint64_t *last)
{
    const struct seglog_disk *disk = &log->disk;
    *last = from;
    for (uint64_t at = from; at < to; at += SEGLOG_BUFFER_BYTES) {
        size_t len = (size_t)wm_min_u64(SEGLOG_BUFFER_BYTES, to - at), got;
        int err = disk->ops->read(disk->self, log->file, at, log->buffer, len, &got);
        if (err) {
            return err;
        }
        if (seglog_all_zero(log->buffer, got)) {
            continue;
        }
        while (log->buffer[got - 1] == 0) {
            got--;
        }
        *last = at + got;
    }
    return 0;
}

/* Writes [from, to) again as it is. */
static int write_again(struct seglog *log, uint64_t from, uint64_t to)
{
    const struct seglog_disk *disk = &log->disk;
    int err = 0;
    for (uint64_t at = from; !err && at < to; at += SEGLOG_BUFFER_BYTES) {
        size_t len = (size_t)wm_min_u64(SEGLOG_BUFFER_BYTES, to - at), got;
        err = disk->ops->read(disk->self, log->file, at, log->buffer, len, &got);
        err = err ? err
              : got < len
                  ? -EIO /* it was there a moment ago */
                  : disk->ops->write(disk->self, log->file, at, wm_view_of(log->buffer, len));
    }
    return err;
}

/* *again: its tail is to be cut first. */
static int load_newest(struct seglog *log, uint64_t *cut, bool *again, struct wm_diag *diag)
{
    const struct seglog_disk *disk = &log->disk;
    struct segment *segment = seglog_last(log);
    uint64_t records_end = seglog_records_end(log->segment_bytes), bytes, last;
    char name[SEGLOG_NAME_BYTES];
    bool met;
    seglog_segment_name(segment, name);
    int err = disk->ops->open(disk->self, name, SEGLOG_DISK_WRITE, &log->file, &bytes);
    if (err) {
        log->file = -1;
        return seglog_error(log, err, diag, name);
    }
    if (bytes != log->segment_bytes) {
        return seglog_damaged(log, segment, wm_min_u64(bytes, log->segment_bytes),
                              "its file has another length; restore it from a copy", diag);
    }
    err = read_marks(log, segment, diag);
    err = err || !log->seal ? err : begin_hash(log, log->file, diag);
    if (err) {
        return err;
    }
    seglog_reader_begin(log, segment, log->file, false, records_end);
    err = walk(log, segment, UINT64_MAX, &log->durable, &met, diag);
    log->next = log->reader.number;
    seglog_reader_end(log);
    if (err) {
        return err;
    }
    if (!met) {
        return seglog_damaged(log, segment, wm_min_u64(segment->end, log->durable.end),
                              "what was durable there cannot be read; restore it from a copy",
                              diag);
    }
    segment->count = log->next - segment->first;
    log->written = (struct seglog_mark){segment->end, log->next};
    err = find_last(log, segment->end, records_end, &last);
    /* No truncation: what there was to do was done and synced; and when this was written before and
     * its sync failed, it looks done and is not. */
    err = err ? err
              : disk->ops->zero(disk->self, log->file, seglog_truncation_offset(log->segment_bytes),
                                SEGLOG_PAGE_BYTES);
    err = err ? err : write_again(log, log->durable.end, segment->end);
    err = err ? err : disk->ops->sync(disk->self, log->file);
    if (!err && log->durable.end < segment->end) {
        log->durable = log->written;
        err = seglog_note(log, NULL);
        err = err ? err : disk->ops->sync(disk->self, log->file);
    }
    if (err) {
        return seglog_error(log, err, diag, "syncing what was not synced");
    }
    *cut += last - segment->end;
    *again = last > segment->end;
    return *again ? seglog_decide_truncation(log, log->next, segment, last, diag) : 0;
}

/* --- Truncations --- */

static int write_truncation(struct seglog *log, int file,
                            const struct seglog_truncation *truncation)
{
    const struct seglog_disk *disk = &log->disk;
    uint8_t bytes[SEGLOG_TRUNCATION_BYTES];
    seglog_truncation_put(truncation, seglog_last(log)->number, bytes);
    int err = disk->ops->write(disk->self, file, seglog_truncation_offset(log->segment_bytes),
                               wm_view_of(bytes, sizeof bytes));
    return err ? err : disk->ops->sync(disk->self, file);
}

int seglog_decide_truncation(struct seglog *log, uint64_t next, const struct segment *segment,
                             uint64_t zero_until, struct wm_diag *diag)
{
    struct seglog_truncation truncation = {next, segment->number, zero_until};
    int err = write_truncation(log, log->file, &truncation);
    return err ? seglog_error(log, err, diag, "deciding on a truncation") : 0;
}

/* Whether the newest segment holds one; what is not whole was not decided: where something was done
 * already, and the page rotted in between, the marks contradict what is there. */
static int read_truncation(struct seglog *log, struct seglog_truncation *out, bool *there,
                           struct wm_diag *diag)
{
    const struct seglog_disk *disk = &log->disk;
    const struct segment *newest = seglog_last(log);
    uint8_t bytes[SEGLOG_TRUNCATION_BYTES];
    size_t got = 0;
    *there = false;
    if (newest->sealed) {
        return 0;
    }
    int err = seglog_reader_open(log, newest, diag);
    if (err) {
        return err;
    }
    err = disk->ops->read(disk->self, log->reader.file,
                          seglog_truncation_offset(log->segment_bytes), bytes, sizeof bytes, &got);
    seglog_reader_end(log);
    *there = !err && seglog_truncation_get(wm_view_of(bytes, got), newest->number, out);
    return err ? seglog_error(log, err, diag, "reading") : 0;
}

/* It was read, but is it on the disk? If not, and there was a crash after a part of it was done,
 * the rest would not be. */
static int decide_again(struct seglog *log, const struct seglog_truncation *truncation,
                        struct wm_diag *diag)
{
    char name[SEGLOG_NAME_BYTES];
    uint64_t bytes;
    int file;
    seglog_segment_name(seglog_last(log), name);
    int err = log->disk.ops->open(log->disk.self, name, SEGLOG_DISK_WRITE, &file, &bytes);
    if (!err) {
        err = write_truncation(log, file, truncation);
        log->disk.ops->close(log->disk.self, file);
    }
    return err ? seglog_error(log, err, diag, "truncating") : 0;
}

/* Makes the segment end there, with room after it again, on the disk. */
static int shorten(struct seglog *log, struct segment *segment, struct seglog_mark end,
                   uint64_t zero_until, struct wm_diag *diag)
{
    const struct seglog_disk *disk = &log->disk;
    char from[SEGLOG_NAME_BYTES], to[SEGLOG_NAME_BYTES];
    uint8_t bytes[SEGLOG_MARK_BYTES];
    uint64_t file_bytes;
    int file, err = 0;
    if (segment->sealed) {
        seglog_segment_name(segment, from);
        segment->sealed = false;
        seglog_segment_name(segment, to);
        err = disk->ops->rename(disk->self, from, to);
    }
    seglog_segment_name(segment, to);
    err = err ? err : disk->ops->open(disk->self, to, SEGLOG_DISK_WRITE, &file, &file_bytes);
    if (err) {
        return seglog_error(log, err, diag, "truncating");
    }
    if (zero_until > end.end) {
        err = disk->ops->zero(disk->self, file, end.end, zero_until - end.end);
    }
    seglog_mark_put(&end, segment->number, bytes);
    /* All of them: an old one would say that more was durable. */
    for (unsigned i = 0; !err && i < SEGLOG_MARKS; i++) {
        err = disk->ops->write(disk->self, file, seglog_mark_offset(log->segment_bytes, i),
                               wm_view_of(bytes, sizeof bytes));
    }
    err = err ? err : disk->ops->sync(disk->self, file);
    disk->ops->close(disk->self, file);
    return err ? seglog_error(log, err, diag, "truncating") : 0;
}

/* Does what the newest segment says, if it does. Nothing is changed before it is known to be
 * possible; and the newest segment, if it is to go, goes last. */
static int truncate_now(struct seglog *log, struct wm_diag *diag)
{
    struct seglog_truncation truncation;
    struct seglog_header header;
    struct record record;
    size_t which = 0;
    bool there;
    int err = read_truncation(log, &truncation, &there, diag);
    if (err || !there) {
        return err;
    }
    while (which < log->segments.count && log->segments.items[which].number != truncation.segment) {
        which++;
    }
    if (truncation.zero_until > log->segment_bytes) {
        return seglog_damaged(log, seglog_last(log), seglog_truncation_offset(log->segment_bytes),
                              "a truncation of larger segments; restore it from a copy", diag);
    }
    if (which == log->segments.count) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "log %s: segment %llu is missing, which a truncation goes back to; put "
                           "the folder back as it was",
                           log->path, (unsigned long long)truncation.segment);
    }
    struct segment *segment = &log->segments.items[which];
    err = seglog_reader_open(log, segment, diag);
    err = err ? err : seglog_read_header(log, segment, log->reader.file, &header, diag);
    if (err) {
        return err;
    }
    segment->first = log->reader.number = header.first;
    while (!err && log->reader.number < truncation.next) {
        err = seglog_must_next(log, segment, &record, diag);
    }
    struct seglog_mark end = {log->reader.offset, truncation.next};
    seglog_reader_end(log);
    err = err ? err : decide_again(log, &truncation, diag);
    err = err ? err : shorten(log, segment, end, truncation.zero_until, diag);
    for (size_t i = which + 1; !err && i < log->segments.count; i++) {
        char name[SEGLOG_NAME_BYTES];
        seglog_segment_name(&log->segments.items[i], name);
        err = log->disk.ops->unlink(log->disk.self, name);
        err = err ? seglog_error(log, err, diag, name) : 0;
    }
    log->segments.count = which + 1;
    return err;
}

/* --- All of it --- */

/* *again: something is to be taken back; that was decided and not yet done. */
static int load_once(struct seglog *log, uint64_t *cut, bool *again, struct wm_diag *diag)
{
    *again = false;
    int err = list(log, diag);
    if (err) {
        return err;
    }
    if (log->segments.count == 0) {
        log->next = 0;
        return seglog_start(log, 0, 0, true, diag);
    }
    err = truncate_now(log, diag);
    err = err ? err : check_sequence(log, diag);
    err = err ? err : read_headers(log, diag);
    for (size_t i = 0; !err && i + 1 < log->segments.count; i++) {
        if (!log->segments.items[i].sealed) {
            err = load_full(log, &log->segments.items[i], diag);
        }
    }
    err = err ? err : load_newest(log, cut, again, diag);
    if (err || *again) {
        return err;
    }
    const struct segment *newest = seglog_last(log);
    if (newest->count > 0 || newest->by_cut || log->segments.count == 1) {
        return 0;
    }
    *again = true;
    return seglog_decide_truncation(log, newest->first, newest - 1, log->segment_bytes, diag);
}

int seglog_load(struct seglog *log, uint64_t *cut, struct wm_diag *diag)
{
    bool again = true;
    int err = 0;
    *cut = 0;
    while (!err && again) {
        err = load_once(log, cut, &again, diag);
        if (err || again) {
            seglog_unload(log);
        }
    }
    return err;
}

void seglog_unload(struct seglog *log)
{
    seglog_reader_end(log);
    if (log->file >= 0) {
        log->disk.ops->close(log->disk.self, log->file);
        log->file = -1;
    }
    for (size_t i = 0; i < log->segments.count; i++) {
        seglog_segment_fini(&log->segments.items[i]);
    }
    log->segments.count = 0;
    log->buffered = 0;
}
