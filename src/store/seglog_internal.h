/* seglog_internal.h: what the files of the log share.
 *
 *   seglog.c          appending, syncing, cutting, removing, truncating
 *   seglog_load.c     from a folder to a log: torn tails, truncations that a crash interrupted
 *   seglog_segment.c  the spare file, a segment's begin, its sealing
 *   seglog_read.c     records one after the other; by number; sealed segments checked and repaired
 *   seglog_format.c   bytes (pure)
 *   seglog_files.c    the disk: a real folder
 *
 * Invariants, in memory: segments follow each other by number, records by number; the last segment
 * is not sealed and is the one in `file`; what is at [page, end - buffered) of it was written, the
 * rest of its records is in `buffer`; durable.end <= end - buffered. On the disk: a segment is
 * whole and synced before the next one has its name, so that only the newest can have a torn tail.
 */
#ifndef WM_STORE_SEGLOG_INTERNAL_H
#define WM_STORE_SEGLOG_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/vec.h"
#include "base/view.h"
#include "crypto/hash.h"
#include "store/seglog.h"
#include "store/seglog_disk.h"
#include "store/seglog_format.h"

#define SEGLOG_BUFFER_BYTES 262144u
#define SEGLOG_INDEX_BYTES 65536u /* one point for each so many */

struct seglog_point { /* where a record begins */
    uint64_t number, offset;
};

struct segment {
    uint64_t number;       /* of the segment */
    uint64_t first, count; /* records */
    uint64_t end;   /* offset after its last record; 0: a sealed one that was not walked yet */
    uint64_t bytes; /* of the file of a sealed one */
    bool sealed;
    bool by_cut; /* known where it is not sealed */
    uint8_t sha256[SEGLOG_HASH_BYTES];
    WM_VEC(struct seglog_point) points; /* the first record that begins in each 64 KiB */
};

/* A place in a segment, and the part of its file that is in memory. */
struct reader {
    bool set;
    uint64_t segment; /* its number */
    int file;
    bool own;                /* the file is closed with it */
    uint64_t limit;          /* records end here at the latest */
    uint64_t number, offset; /* of the next record */
    uint8_t *bytes;          /* of the file at `from` */
    uint64_t from;
    size_t len, room;
};

struct record {
    uint64_t number;
    uint8_t kind;
    struct wm_view bytes, whole; /* without and with its frame; until the next one is read */
};

struct seglog {
    struct seglog_disk disk;
    struct seglog_files *files; /* NULL: the disk is somebody else's */
    char *path;
    uint8_t label[SEGLOG_HASH_BYTES];
    uint64_t segment_bytes;
    bool seal;

    WM_VEC(struct segment) segments; /* oldest first; records go to the last */
    uint64_t next;                   /* number of the next record */
    bool failed;                     /* nothing is written any more */

    /* The last segment. */
    int file;
    uint8_t *buffer;
    size_t buffered;
    struct seglog_mark written; /* what is not in the buffer */
    struct seglog_mark durable;
    unsigned mark;         /* which of the marks is written next */
    struct wm_sha256 hash; /* of what was written; kept where segments are sealed */
    bool syncing;
    struct seglog_mark syncing_to;

    /* The next one's file. */
    struct {
        int file; /* -1: none */
        uint64_t bytes;
        bool given_up; /* not tried again before it is needed */
    } spare;

    struct reader reader;
};

static inline struct segment *seglog_last(struct seglog *log)
{
    return &log->segments.items[log->segments.count - 1];
}

/* --- seglog.c: what failed --- */

/* Fills in diag ("log PATH: what: text of err") and returns err. */
int seglog_error(const struct seglog *log, int err, struct wm_diag *diag, const char *what);
/* The same; and the log writes nothing any more. */
int seglog_broke(struct seglog *log, int err, struct wm_diag *diag, const char *what);
/* WM_E_FORGED, with segment and offset. */
int seglog_damaged(const struct seglog *log, const struct segment *segment, uint64_t offset,
                   const char *what, struct wm_diag *diag);
/* Writes what is in the buffer. */
int seglog_flush(struct seglog *log, struct wm_diag *diag);
/* Notes in the last segment that `durable` is durable; the note itself is not, yet. */
int seglog_note(struct seglog *log, struct wm_diag *diag);
void seglog_segment_fini(struct segment *segment);

/* --- seglog_load.c --- */

/* What the folder has; *cut: bytes of a torn tail. On failure the log is as unload leaves it. */
int seglog_load(struct seglog *log, uint64_t *cut, struct wm_diag *diag);
/* Closes files and forgets segments; the spare stays. */
void seglog_unload(struct seglog *log);
/* From here on the log has no records from `next` on, and goes on with `segment`, even after a
 * crash; loading does what there is to do. What lies in the segment from `zero_until` to its marks
 * must be zero on the disk. After a failure nobody knows whether it is decided. */
int seglog_decide_truncation(struct seglog *log, uint64_t next, const struct segment *segment,
                             uint64_t zero_until, struct wm_diag *diag);

/* Of a segment's open file, if it is this log's and this segment's. */
int seglog_read_header(struct seglog *log, const struct segment *segment, int file,
                       struct seglog_header *out, struct wm_diag *diag);

/* --- seglog_segment.c --- */

/* A new, empty, last segment with its name on the disk; the file before it is the caller's to
 * close. */
int seglog_start(struct seglog *log, uint64_t number, uint64_t first, bool by_cut,
                 struct wm_diag *diag);
/* Seals a segment whose file is open for writing, and closes that. `hash` is of all before its end.
 */
int seglog_seal(struct seglog *log, struct segment *segment, int file, struct wm_sha256 hash,
                struct wm_diag *diag);
/* Writes the spare's zeroes as far as they should be by now. Failing is no error, yet. */
void seglog_spare_advance(struct seglog *log);
void seglog_spare_drop(struct seglog *log);
void seglog_segment_name(const struct segment *segment, char out[SEGLOG_NAME_BYTES]);

/* --- seglog_read.c --- */

/* Begins with the segment's first record. */
void seglog_reader_begin(struct seglog *log, const struct segment *segment, int file, bool own,
                         uint64_t limit);
void seglog_reader_end(struct seglog *log);
/* The next record and 1; 0: zeroes, or too little room for a record; WM_E_FORGED: something else;
 * or a negative errno. No diag. */
int seglog_reader_next(struct seglog *log, struct record *out);
/* Adds the record's place to the index, if it is the first in its 64 KiB. 0 or -ENOMEM. */
int seglog_point_add(struct segment *segment, uint64_t number, uint64_t offset);
/* The same by the segment's name, with a file of the reader's own. */
int seglog_reader_open(struct seglog *log, const struct segment *segment, struct wm_diag *diag);
/* The record at the reader's place, which must be there: 0, or an error and the reader is ended. */
int seglog_must_next(struct seglog *log, const struct segment *segment, struct record *out,
                     struct wm_diag *diag);
/* The segment of a record that is there. */
struct segment *seglog_segment_of(struct seglog *log, uint64_t number);

#endif
