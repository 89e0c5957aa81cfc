/* seglog_format.h: the bytes of a log's files, as doc/format/seglog.md draws them; pure.
 *
 * The _get functions take bytes that nobody vouches for and return false where they are not what
 * the page says; they check all there is to check in those bytes alone. What they do not know (is
 * this label ours, does that number follow) is the caller's to compare. */
#ifndef WM_STORE_SEGLOG_FORMAT_H
#define WM_STORE_SEGLOG_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "store/seglog.h"

#define SEGLOG_VERSION 1u
#define SEGLOG_PAGE_BYTES                                                  \
    4096u /* of the header, and of each mark: what is written in one piece \
           */
#define SEGLOG_MARKS 2u
#define SEGLOG_FRAME_BYTES 9u /* before the bytes of a record */
#define SEGLOG_MARK_BYTES 32u
#define SEGLOG_FOOTER_BYTES 64u
#define SEGLOG_TRUNCATION_BYTES 32u
#define SEGLOG_NAME_BYTES 112u
/* Of records and of segments: no sum of two overflows. */
#define SEGLOG_NUMBER_MAX ((uint64_t)1 << 62)

#define SEGLOG_SPARE_NAME "spare"
#define SEGLOG_REPAIR_NAME "repair" /* a good copy that is being written */

/* Where records may lie in a segment that is not sealed; the marks follow, and the truncation. */
static inline uint64_t seglog_records_end(uint64_t segment_bytes)
{
    return segment_bytes - (SEGLOG_MARKS + 1) * SEGLOG_PAGE_BYTES;
}

static inline uint64_t seglog_mark_offset(uint64_t segment_bytes, unsigned which)
{
    return seglog_records_end(segment_bytes) + which * SEGLOG_PAGE_BYTES;
}

static inline uint64_t seglog_truncation_offset(uint64_t segment_bytes)
{
    return segment_bytes - SEGLOG_PAGE_BYTES;
}

bool seglog_all_zero(const uint8_t *bytes, size_t len);

struct seglog_header {
    uint8_t label[SEGLOG_HASH_BYTES];
    uint64_t segment_bytes;
    uint64_t segment; /* its number */
    uint64_t first;   /* number of its first record */
    bool by_cut; /* it begins here by request (or is the log's first), not because the one before it
                    was full */
};
void seglog_header_put(const struct seglog_header *header, uint8_t out[SEGLOG_PAGE_BYTES]);
/* Of another version (*version, else 0) when it is a header all the same. */
WM_MUST_CHECK bool seglog_header_get(struct wm_view page, struct seglog_header *out,
                                     uint32_t *version);

/* The frame of record `number`; the record's bytes follow it. */
void seglog_frame_put(uint64_t number, uint8_t kind, struct wm_view bytes,
                      uint8_t out[SEGLOG_FRAME_BYTES]);
/* The length of a record with its frame by the first four bytes; 0: no record. May be any number
 * up to 2^32 + 7. */
uint64_t seglog_frame_len(const uint8_t frame[SEGLOG_FRAME_BYTES]);
/* Of a whole record, as long as seglog_frame_len said. */
WM_MUST_CHECK bool seglog_frame_get(uint64_t number, struct wm_view record, uint8_t *kind,
                                    struct wm_view *bytes);

struct seglog_mark {
    uint64_t end;  /* offset: what lies before it has been durable */
    uint64_t next; /* number of the record there */
};
enum seglog_mark_state { SEGLOG_MARK_BLANK, SEGLOG_MARK_GOOD, SEGLOG_MARK_DAMAGED };
void seglog_mark_put(const struct seglog_mark *mark, uint64_t segment,
                     uint8_t out[SEGLOG_MARK_BYTES]);
enum seglog_mark_state seglog_mark_get(struct wm_view bytes, uint64_t segment,
                                       struct seglog_mark *out);

/* Without the hash, its last 32 bytes, which is of all that lies before it in the file. */
void seglog_footer_put(uint64_t first, uint64_t count, uint64_t offset,
                       uint8_t out[SEGLOG_FOOTER_BYTES]);

struct seglog_truncation { /* decided, and not done yet */
    uint64_t next;         /* records from this number on are removed */
    uint64_t segment;      /* which goes on with that number */
    uint64_t zero_until;   /* offset in it: from there to the marks it was zero all the time */
};
void seglog_truncation_put(const struct seglog_truncation *truncation, uint64_t holder,
                           uint8_t out[SEGLOG_TRUNCATION_BYTES]);
/* False: there is none in segment `holder`. */
WM_MUST_CHECK bool seglog_truncation_get(struct wm_view bytes, uint64_t holder,
                                         struct seglog_truncation *out);

struct seglog_name {
    uint64_t segment;
    bool sealed;
    uint64_t first;                    /* of a sealed one */
    uint8_t sha256[SEGLOG_HASH_BYTES]; /* of a sealed one */
};
void seglog_name_put(const struct seglog_name *name, char out[SEGLOG_NAME_BYTES]);
/* False: not the name of a segment. */
WM_MUST_CHECK bool seglog_name_get(const char *text, struct seglog_name *out);

#endif
