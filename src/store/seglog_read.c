/* Reading: records one after the other, a record by its number, and sealed segments as files.
 *
 * There is one reader, and it stays where it was: who reads record after record finds the next one
 * in memory. Every record passed on the way to the wanted one is checked, too, so that a damaged
 * length is noticed where it is and does not lead astray. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "store/seglog_internal.h"

#define READ_BYTES 131072u

void seglog_reader_begin(struct seglog *log, const struct segment *segment, int file, bool own,
                         uint64_t limit)
{
    struct reader *reader = &log->reader;
    seglog_reader_end(log);
    reader->set = true;
    reader->segment = segment->number;
    reader->file = file;
    reader->own = own;
    reader->limit = limit;
    reader->number = segment->first;
    reader->offset = SEGLOG_PAGE_BYTES;
    reader->len = 0;
}

void seglog_reader_end(struct seglog *log)
{
    struct reader *reader = &log->reader;
    if (reader->set && reader->own) {
        log->disk.ops->close(log->disk.self, reader->file);
    }
    reader->set = false;
}

/* The next `len` bytes at the reader's place, or as many as there are before limit and end of file.
 */
static int need(struct seglog *log, uint64_t len, struct wm_view *out)
{
    struct reader *reader = &log->reader;
    uint64_t there = reader->limit - reader->offset;
    uint64_t wanted = wm_min_u64(len, there);
    if (reader->offset < reader->from || reader->offset + wanted > reader->from + reader->len) {
        size_t fill = (size_t)wm_min_u64(wm_max_u64(len, READ_BYTES), there);
        reader->len = 0;
        if (fill > reader->room) {
            uint8_t *grown = wm_realloc(reader->bytes, fill, 1);
            if (!grown) {
                return -ENOMEM;
            }
            reader->bytes = grown;
            reader->room = fill;
        }
        int err = log->disk.ops->read(log->disk.self, reader->file, reader->offset, reader->bytes,
                                      fill, &reader->len);
        if (err) {
            reader->len = 0;
            return err;
        }
        reader->from = reader->offset;
    }
    uint64_t skip = reader->offset - reader->from;
    *out = wm_view_of(reader->bytes + skip, (size_t)wm_min_u64(wanted, reader->len - skip));
    return 0;
}

int seglog_reader_next(struct seglog *log, struct record *out)
{
    struct reader *reader = &log->reader;
    struct wm_view frame;
    int err = need(log, SEGLOG_FRAME_BYTES, &frame);
    if (err) {
        return err;
    }
    if (frame.len < SEGLOG_FRAME_BYTES) {
        return 0;
    }
    uint64_t len = seglog_frame_len(frame.ptr);
    if (len == 0) {
        return 0;
    }
    if (len > SEGLOG_FRAME_BYTES + SEGLOG_RECORD_BYTES_MAX ||
        len > reader->limit - reader->offset) {
        return WM_E_FORGED;
    }
    err = need(log, len, &out->whole);
    if (err) {
        return err;
    }
    if (out->whole.len < len ||
        !seglog_frame_get(reader->number, out->whole, &out->kind, &out->bytes)) {
        return WM_E_FORGED;
    }
    out->number = reader->number++;
    reader->offset += len;
    return 1;
}

int seglog_point_add(struct segment *segment, uint64_t number, uint64_t offset)
{
    uint64_t window = offset / SEGLOG_INDEX_BYTES;
    if (segment->points.count > 0 &&
        segment->points.items[segment->points.count - 1].offset / SEGLOG_INDEX_BYTES == window) {
        return 0;
    }
    return wm_vec_push(&segment->points, (struct seglog_point){number, offset});
}

int seglog_reader_open(struct seglog *log, const struct segment *segment, struct wm_diag *diag)
{
    char name[SEGLOG_NAME_BYTES];
    int file;
    uint64_t bytes;
    seglog_reader_end(log);
    seglog_segment_name(segment, name);
    int err = log->disk.ops->open(log->disk.self, name, SEGLOG_DISK_READ, &file, &bytes);
    if (err) {
        return seglog_error(log, err, diag, name);
    }
    uint64_t after = segment->sealed ? SEGLOG_FOOTER_BYTES : 0;
    seglog_reader_begin(log, segment, file, true,
                        bytes < SEGLOG_PAGE_BYTES + after ? SEGLOG_PAGE_BYTES : bytes - after);
    return 0;
}

int seglog_must_next(struct seglog *log, const struct segment *segment, struct record *out,
                     struct wm_diag *diag)
{
    int got = seglog_reader_next(log, out);
    if (got == 1) {
        return 0;
    }
    uint64_t offset = log->reader.offset;
    seglog_reader_end(log);
    if (got == 0 || got == WM_E_FORGED) {
        return seglog_damaged(log, segment, offset,
                              segment->sealed ? "repair it with another replica's copy"
                                              : "restore it from a copy",
                              diag);
    }
    return seglog_error(log, got, diag, "reading");
}

/* --- By number --- */

/* The reader is in this segment, at any place. */
static int enter(struct seglog *log, const struct segment *segment, struct wm_diag *diag)
{
    struct reader *reader = &log->reader;
    bool there = reader->set && reader->segment == segment->number;
    if (segment != seglog_last(log)) {
        return there ? 0 : seglog_reader_open(log, segment, diag);
    }
    if (!there) {
        seglog_reader_begin(log, segment, log->file, false, log->written.end);
    }
    reader->limit = log->written.end; /* more than last time, perhaps */
    return 0;
}

/* Makes the index of a sealed segment. */
static int walk(struct seglog *log, struct segment *segment, struct wm_diag *diag)
{
    struct reader *reader = &log->reader;
    struct record record;
    int err = 0;
    reader->number = segment->first;
    reader->offset = SEGLOG_PAGE_BYTES;
    segment->points.count = 0;
    for (uint64_t i = 0; !err && i < segment->count; i++) {
        if (seglog_point_add(segment, reader->number, reader->offset) != 0) {
            seglog_reader_end(log);
            return seglog_error(log, -ENOMEM, diag, "reading");
        }
        err = seglog_must_next(log, segment, &record, diag);
    }
    if (!err) {
        segment->end = reader->offset;
    }
    return err;
}

/* The last point at or before a record that is in the segment. */
static const struct seglog_point *point_before(const struct segment *segment, uint64_t number)
{
    size_t low = 0, high = segment->points.count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (segment->points.items[middle].number <= number) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &segment->points.items[low];
}

struct segment *seglog_segment_of(struct seglog *log, uint64_t number)
{
    size_t low = 0, high = log->segments.count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->segments.items[middle].first <= number) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &log->segments.items[low];
}

int seglog_read(struct seglog *log, uint64_t number, uint8_t *kind, struct wm_view *bytes,
                struct wm_diag *diag)
{
    struct reader *reader = &log->reader;
    struct record record;
    int err = 0;
    uint64_t first = log->segments.count > 0 ? log->segments.items[0].first : log->next;
    if (number < first || number >= log->next) {
        return wm_diag_set(diag, WM_E_NOT_FOUND,
                           "log %s: record %llu is not there; the first is %llu, the next will be "
                           "%llu",
                           log->path, (unsigned long long)number, (unsigned long long)first,
                           (unsigned long long)log->next);
    }
    if (number >= log->written.next) {
        err = seglog_flush(log, diag);
    }
    struct segment *segment = seglog_segment_of(log, number);
    err = err ? err : enter(log, segment, diag);
    if (!err && segment->end == 0) {
        err = walk(log, segment, diag);
    }
    if (err) {
        return err;
    }
    const struct seglog_point *point = point_before(segment, number);
    if (reader->number > number || reader->number < point->number) {
        reader->number = point->number;
        reader->offset = point->offset;
    }
    do {
        err = seglog_must_next(log, segment, &record, diag);
    } while (!err && record.number < number);
    if (err) {
        return err;
    }
    *kind = record.kind;
    *bytes = record.bytes;
    return 0;
}

/* --- Sealed segments as files --- */

static int sealed_only(const struct seglog *log, const struct segment *segment,
                       struct wm_diag *diag)
{
    return segment->sealed ? 0
                           : wm_diag_set(diag, WM_E_INVALID,
                                         "log %s: segment %llu is not sealed; it ends when it is "
                                         "full or cut",
                                         log->path, (unsigned long long)segment->number);
}

int seglog_segment_read(struct seglog *log, uint64_t which, uint64_t offset, uint8_t *out,
                        size_t len, struct wm_diag *diag)
{
    WM_ASSERT(which < log->segments.count);
    struct segment *segment = &log->segments.items[which];
    size_t got = 0;
    int err = sealed_only(log, segment, diag);
    if (err) {
        return err;
    }
    if (!wm_range_fits(offset, len, segment->bytes)) {
        return wm_diag_set(diag, WM_E_INVALID, "log %s: segment %llu has %llu bytes, and no more",
                           log->path, (unsigned long long)segment->number,
                           (unsigned long long)segment->bytes);
    }
    err = enter(log, segment, diag);
    if (err) {
        return err;
    }
    err = log->disk.ops->read(log->disk.self, log->reader.file, offset, out, len, &got);
    if (!err && got < len) {
        return seglog_damaged(log, segment, offset + got, "its file became shorter", diag);
    }
    return err ? seglog_error(log, err, diag, "reading") : 0;
}

int seglog_check(struct seglog *log, uint64_t which, struct wm_diag *diag)
{
    WM_ASSERT(which < log->segments.count);
    struct segment *segment = &log->segments.items[which];
    struct wm_sha256 hash;
    uint8_t sha256[SEGLOG_HASH_BYTES], footer[SEGLOG_HASH_BYTES] = {0};
    int err = sealed_only(log, segment, diag);
    if (err) {
        return err;
    }
    wm_sha256_init(&hash);
    uint64_t hashed = segment->bytes < SEGLOG_HASH_BYTES ? 0 : segment->bytes - SEGLOG_HASH_BYTES;
    uint8_t *chunk = wm_alloc(READ_BYTES);
    err = chunk ? 0 : seglog_error(log, -ENOMEM, diag, "checking");
    for (uint64_t at = 0; !err && at < hashed; at += READ_BYTES) {
        size_t len = (size_t)wm_min_u64(READ_BYTES, hashed - at);
        err = seglog_segment_read(log, which, at, chunk, len, diag);
        wm_sha256_add(&hash, wm_view_of(chunk, len));
    }
    wm_free(chunk);
    wm_sha256_end(&hash, sha256);
    if (!err && segment->bytes > hashed) {
        err = seglog_segment_read(log, which, hashed, footer, (size_t)(segment->bytes - hashed),
                                  diag);
    }
    if (!err && (memcmp(sha256, segment->sha256, sizeof sha256) != 0 ||
                 memcmp(footer, segment->sha256, sizeof footer) != 0)) {
        err = wm_diag_set(diag, WM_E_FORGED,
                          "log %s: segment %llu is damaged: it has not the hash that it is named "
                          "by; repair it with another replica's copy",
                          log->path, (unsigned long long)segment->number);
    }
    return err;
}

int seglog_repair(struct seglog *log, uint64_t which, struct wm_view bytes, struct wm_diag *diag)
{
    WM_ASSERT(which < log->segments.count);
    struct segment *segment = &log->segments.items[which];
    const struct seglog_disk *disk = &log->disk;
    char name[SEGLOG_NAME_BYTES];
    uint8_t sha256[SEGLOG_HASH_BYTES] = {0};
    struct wm_view hashed, footer;
    uint64_t old_bytes;
    int file;
    int err = sealed_only(log, segment, diag);
    if (err) {
        return err;
    }
    bool good = bytes.len >= SEGLOG_PAGE_BYTES + SEGLOG_FOOTER_BYTES &&
                wm_view_slice(bytes, 0, bytes.len - SEGLOG_HASH_BYTES, &hashed) &&
                wm_view_slice(bytes, bytes.len - SEGLOG_HASH_BYTES, SEGLOG_HASH_BYTES, &footer);
    if (good) {
        wm_sha256_once(hashed, sha256);
        good = memcmp(sha256, segment->sha256, sizeof sha256) == 0 &&
               memcmp(footer.ptr, segment->sha256, sizeof sha256) == 0;
    }
    if (!good) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "log %s: segment %llu: these %zu bytes are not a copy of it; ask "
                           "another replica",
                           log->path, (unsigned long long)segment->number, bytes.len);
    }
    seglog_reader_end(log);
    err = disk->ops->open(disk->self, SEGLOG_REPAIR_NAME, SEGLOG_DISK_CREATE, &file, &old_bytes);
    if (!err) {
        err = disk->ops->write(disk->self, file, 0, bytes);
        err = err ? err : disk->ops->finish(disk->self, file, bytes.len);
        disk->ops->close(disk->self, file);
    }
    seglog_segment_name(segment, name);
    err = err ? err : disk->ops->rename(disk->self, SEGLOG_REPAIR_NAME, name);
    if (err) {
        return seglog_error(log, err, diag, "repairing a segment");
    }
    segment->bytes = bytes.len;
    segment->end = 0; /* to be walked */
    return 0;
}
