/* seglog.h: an append-only log of records in segment files, for what must be on the disk before it
 * is said.
 *
 * doc/format/seglog.md has the bytes. A folder holds segments of one size, numbered from 0. A new
 * segment is written full of zeroes and synced before it is used, so that an append changes no
 * metadata and one fdatasync makes all records since the last one durable (group commit: append as
 * much as there is, then sync once). The zeroes are written ahead, twice as many bytes as records
 * come in, into a spare file, and are on their way to the disk at once: where a segment ends, the
 * next one is there, and the change costs three syncs (two more where segments are sealed) and not
 * the time of writing a whole segment. Making the first one does, when a log is opened that is new.
 * Segments are not recycled: where a record ends, zeroes or another record follow, and never the
 * records of a former life.
 *
 * A record is a length, a CRC-32C, a kind and bytes; where a record would not fit, the segment ends
 * and the next begins with it.
 *
 * Opening walks the segments that are not sealed. What a crash left of records that no sync had
 * covered is cut, and how much was cut is told; damage in what was durable is not a torn tail but a
 * corrupted segment: WM_E_FORGED names segment and offset, and nothing is changed. Which of the two
 * it is follows from a mark: after each successful sync the log notes in the segment, outside of
 * the records, how far the sync reached. The note itself lasts with the next sync (or sooner, as
 * the kernel writes by itself): what rots in the last group alone, after its sync and before the
 * next one, is taken for a torn tail, and shows in cut_bytes. Opening syncs, and notes it durably.
 *
 * A full segment can be sealed: it gets a footer (first number, count, SHA-256 of the file),
 * becomes read-only and is renamed by its hash. Two logs with one label and one segment size that
 * were given the same records and the same cuts have the same sealed segments, byte by byte,
 * whatever was synced, truncated again or lost in a crash in between. Sealed segments are not read
 * when the log is opened; when one is damaged, reading from it says so (WM_E_FORGED), and it can be
 * replaced by a good copy with the same hash while the log goes on.
 *
 * Records are numbered from 0, without gaps. Reading one by its number uses an index in memory of
 * one entry per 64 KiB, made of a sealed segment when it is first read from; reading in order does
 * not look twice. The log is its folder's only user (a lock; -EBUSY).
 *
 * Errors of the disk are returned as errno. After one on append, sync, cut, truncate or remove the
 * log refuses all of these (-EIO) until it is opened anew, since what the disk holds is not known
 * (the lesson of fsync on Linux: a second sync may lie; opening writes anew whatever the mark does
 * not cover). Only what fails while a new segment is made, -ENOSPC above all, leaves the log
 * usable: nothing was appended, and records that fit into the old segment still can be. So does
 * -ENOMEM.
 *
 * One thread; but while a sync is under way (seglog_sync_begin), another one may do the waiting. */
#ifndef WM_STORE_SEGLOG_H
#define WM_STORE_SEGLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"

#define SEGLOG_RECORD_BYTES_MAX (16u * 1024u * 1024u)
#define SEGLOG_SEGMENT_BYTES_LEAST ((uint64_t)64 << 10)
#define SEGLOG_SEGMENT_BYTES_MAX ((uint64_t)1 << 30)
#define SEGLOG_HASH_BYTES 32u

struct seglog;
struct seglog_disk;

struct seglog_config {
    const char *path;       /* folder; made (0700) where it is missing */
    uint64_t segment_bytes; /* 64 KiB to 1 GiB, in whole 4 KiB; 0: 64 MiB. The same each time */
    uint8_t label[SEGLOG_HASH_BYTES]; /* whose log: another one's is refused (WM_E_INVALID) */
    bool seal;                        /* full segments are sealed; else they wait for removal */
    bool no_sync;                     /* for tests and benches */
    const struct seglog_disk *disk;   /* seglog_disk.h; NULL: the folder's files. Else `path` is for
                                         messages alone. Borrowed until the log is closed */
};

struct seglog_opened {
    uint64_t first, next; /* numbers of records that are there, and durable: [first, next) */
    uint64_t cut_bytes;   /* of a torn tail */
};

WM_MUST_CHECK int seglog_open(const struct seglog_config *config, struct seglog **out,
                              struct seglog_opened *opened, struct wm_diag *diag);
/* Does not sync: what was not synced before is lost. NULL allowed. */
void seglog_close(struct seglog *log);

/* Gives the record's number. Not durable before the next sync. WM_E_LIMIT: it is larger than
 * SEGLOG_RECORD_BYTES_MAX or than a segment has room. WM_E_BUSY: it needs a new segment while a
 * sync is under way; nothing was appended, say synced first. */
WM_MUST_CHECK int seglog_append(struct seglog *log, uint8_t kind, struct wm_view bytes,
                                uint64_t *number, struct wm_diag *diag);
/* All records so far are on the disk when it returns 0. */
WM_MUST_CHECK int seglog_sync(struct seglog *log, struct wm_diag *diag);
/* The same in two halves: begin gives a descriptor, borrowed, whose fdatasync, which any thread may
 * do, makes the records before it durable; then tell the result (0 or a negative errno). Until then
 * appending, reading and removing go on; another sync, a cut, a truncation or closing do not
 * (asserted). */
WM_MUST_CHECK int seglog_sync_begin(struct seglog *log, int *fd, struct wm_diag *diag);
WM_MUST_CHECK int seglog_synced(struct seglog *log, int result, struct wm_diag *diag);
/* Ends the segment here, whatever is in it; nothing, if nothing is. What was appended before, and
 * the cut itself, are durable when it returns 0. */
WM_MUST_CHECK int seglog_cut(struct seglog *log, struct wm_diag *diag);

/* Copies a record to *bytes, memory of the log until its next call. WM_E_NOT_FOUND; WM_E_FORGED. */
WM_MUST_CHECK int seglog_read(struct seglog *log, uint64_t number, uint8_t *kind,
                              struct wm_view *bytes, struct wm_diag *diag);

/* Removes whole segments all of whose records are before this number, oldest first; never the
 * newest (cut before, where that is to go). After a crash in between, some of them are removed. */
WM_MUST_CHECK int seglog_remove_before(struct seglog *log, uint64_t number, struct wm_diag *diag);
/* Removes the records from this number on: for what was never agreed upon. Durable when it returns;
 * after a crash in between, all of them are there or none. WM_E_INVALID: a number that is not in
 * [first, next]. It may reach into sealed segments, which are opened again (then -ENOSPC is
 * possible: the records are gone, and the log goes on when it is opened anew with room on the
 * disk). A cut at this very number stays, one after it goes. Takes the time of opening the log. */
WM_MUST_CHECK int seglog_truncate(struct seglog *log, uint64_t number, struct wm_diag *diag);

struct seglog_segment {
    uint64_t first, count; /* records */
    uint64_t bytes;        /* of a sealed one the file's; else up to the end of its records */
    bool sealed;
    uint8_t sha256[SEGLOG_HASH_BYTES]; /* of a sealed one */
};
/* How many there are; the oldest is the first. At least one, but none after a truncation failed. */
uint64_t seglog_segments(const struct seglog *log);
void seglog_segment(const struct seglog *log, uint64_t which, struct seglog_segment *out);
/* Copies bytes of a sealed segment's file, for a replica whose own is damaged. WM_E_INVALID: it is
 * not sealed, or has no such bytes. */
WM_MUST_CHECK int seglog_segment_read(struct seglog *log, uint64_t which, uint64_t offset,
                                      uint8_t *out, size_t len, struct wm_diag *diag);
/* Reads a sealed segment whole and compares. WM_E_FORGED: it is damaged. WM_E_INVALID: it is not
 * sealed. */
WM_MUST_CHECK int seglog_check(struct seglog *log, uint64_t which, struct wm_diag *diag);
/* Puts `bytes`, a sealed segment from elsewhere with the same hash, in place of a damaged one, all
 * or nothing. WM_E_FORGED: they have another hash, and nothing was changed. */
WM_MUST_CHECK int seglog_repair(struct seglog *log, uint64_t which, struct wm_view bytes,
                                struct wm_diag *diag);

#endif
