/* A segment's begin and end.
 *
 * The spare. Its zeroes are written while the segment before it is filled, two bytes for each byte
 * of records, a piece at a time, and each piece is on its way to the disk at once: the sync at the
 * segment's change then waits for little more than the file system's own bookkeeping. A thread
 * would take the writing (a copy into the page cache) off the caller, too, but the disk would have
 * the same to do, and the order of things would no longer be one that a test can repeat.
 *
 * The order of a change: the old segment is synced (seglog.c); the spare gets a header and is
 * synced; it gets its name. So where a segment has its name, it is whole, and so is every segment
 * before it. */
#include <errno.h>
#include <string.h>

#include "base/arith.h"
#include "base/error.h"
#include "store/seglog_internal.h"

#define SPARE_STEP_BYTES 262144u

void seglog_segment_name(const struct segment *segment, char out[SEGLOG_NAME_BYTES])
{
    struct seglog_name name = {segment->number, segment->sealed, segment->first, {0}};
    memcpy(name.sha256, segment->sha256, sizeof name.sha256);
    seglog_name_put(&name, out);
}

/* --- The spare --- */

void seglog_spare_drop(struct seglog *log)
{
    if (log->spare.file >= 0) {
        log->disk.ops->close(log->disk.self, log->spare.file);
        /* For the room; should it fail, the next one takes the name anyway. */
        (void)log->disk.ops->unlink(log->disk.self, SEGLOG_SPARE_NAME);
    }
    log->spare.file = -1;
    log->spare.bytes = 0;
}

/* At least four for a segment. */
static uint64_t spare_step(const struct seglog *log)
{
    return wm_min_u64(SPARE_STEP_BYTES, log->segment_bytes / 4);
}

/* Writes zeroes, in steps, while a whole step is missing to `target`. */
static int spare_to(struct seglog *log, uint64_t target)
{
    const struct seglog_disk *disk = &log->disk;
    uint64_t bytes;
    int err = 0;
    if (log->spare.file < 0) {
        err = disk->ops->open(disk->self, SEGLOG_SPARE_NAME, SEGLOG_DISK_CREATE, &log->spare.file,
                              &bytes);
        log->spare.file = err ? -1 : log->spare.file;
        log->spare.bytes = 0;
    }
    while (!err && log->spare.bytes < log->segment_bytes) {
        uint64_t step = wm_min_u64(spare_step(log), log->segment_bytes - log->spare.bytes);
        if (log->spare.bytes + step > target) {
            break;
        }
        err = disk->ops->zero(disk->self, log->spare.file, log->spare.bytes, step);
        log->spare.bytes += step;
    }
    if (err) {
        seglog_spare_drop(log);
    }
    return err;
}

void seglog_spare_advance(struct seglog *log)
{
    uint64_t target = 2 * (seglog_last(log)->end - SEGLOG_PAGE_BYTES);
    if (!log->spare.given_up && log->spare.bytes < log->segment_bytes &&
        target >= log->spare.bytes + spare_step(log)) {
        log->spare.given_up = spare_to(log, target) != 0;
    }
}

/* --- A segment's begin --- */

int seglog_start(struct seglog *log, uint64_t number, uint64_t first, bool by_cut,
                 struct wm_diag *diag)
{
    const struct seglog_disk *disk = &log->disk;
    struct segment segment = {
        .number = number, .first = first, .end = SEGLOG_PAGE_BYTES, .by_cut = by_cut};
    struct seglog_header header = {
        .segment_bytes = log->segment_bytes, .segment = number, .first = first, .by_cut = by_cut};
    char name[SEGLOG_NAME_BYTES];
    uint8_t page[SEGLOG_PAGE_BYTES];
    memcpy(header.label, log->label, sizeof header.label);
    seglog_header_put(&header, page);
    seglog_segment_name(&segment, name);
    /* For its first record, too: once there is a new segment, that must not fail for want of
     * memory.
     */
    int err = wm_vec_reserve_one(&log->segments);
    err = err ? err : wm_vec_reserve_one(&segment.points);
    if (err) {
        return seglog_error(log, err, diag, "a new segment");
    }
    err = spare_to(log, UINT64_MAX);
    err =
        err ? err : disk->ops->write(disk->self, log->spare.file, 0, wm_view_of(page, sizeof page));
    err = err ? err : disk->ops->sync(disk->self, log->spare.file);
    if (!err) {
        err = disk->ops->rename(disk->self, SEGLOG_SPARE_NAME, name);
        if (err && err != -ENOSPC) { /* it may have its name */
            disk->ops->close(disk->self, log->spare.file);
            log->spare.file = -1;
            log->failed = true;
        }
    }
    if (err) {
        seglog_segment_fini(&segment);
        seglog_spare_drop(log);
        return seglog_error(log, err, diag,
                            err == -ENOSPC ? "a new segment; make room on the disk"
                                           : "a new segment");
    }
    log->segments.items[log->segments.count++] = segment;
    log->file = log->spare.file;
    log->spare.file = -1;
    log->spare.bytes = 0;
    log->spare.given_up = false;
    log->written = log->durable = (struct seglog_mark){SEGLOG_PAGE_BYTES, first};
    log->mark = 0;
    wm_sha256_init(&log->hash);
    wm_sha256_add(&log->hash, wm_view_of(page, sizeof page));
    return 0;
}

/* --- Its end --- */

/* The footer lies where the records end, so it may come to lie over the marks; they mean nothing
 * any more: that the next segment is there says that this one is whole. */
int seglog_seal(struct seglog *log, struct segment *segment, int file, struct wm_sha256 hash,
                struct wm_diag *diag)
{
    const struct seglog_disk *disk = &log->disk;
    char from[SEGLOG_NAME_BYTES], to[SEGLOG_NAME_BYTES];
    uint8_t footer[SEGLOG_FOOTER_BYTES];
    seglog_segment_name(segment, from);
    seglog_footer_put(segment->first, segment->count, segment->end, footer);
    wm_sha256_add(&hash, wm_view_of(footer, sizeof footer - SEGLOG_HASH_BYTES));
    wm_sha256_end(&hash, segment->sha256);
    memcpy(footer + sizeof footer - SEGLOG_HASH_BYTES, segment->sha256, SEGLOG_HASH_BYTES);
    segment->bytes = segment->end + sizeof footer;
    int err = disk->ops->write(disk->self, file, segment->end, wm_view_of(footer, sizeof footer));
    err = err ? err : disk->ops->finish(disk->self, file, segment->bytes);
    disk->ops->close(disk->self, file);
    if (err) {
        return seglog_broke(log, err, diag, "sealing a segment");
    }
    segment->sealed = true;
    seglog_segment_name(segment, to);
    err = disk->ops->rename(disk->self, from, to);
    return err ? seglog_broke(log, err, diag, "naming a sealed segment") : 0;
}
