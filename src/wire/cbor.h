/* cbor.h: deterministic CBOR: RFC 8949 with the rules of its section 4.2.1, and nothing besides.
 *
 * Everything that is hashed or signed is written in it, so one value has one encoding: heads are
 * the shortest that hold their number, lengths are definite, the keys of a map are in the bytewise
 * order of their encodings and differ, text is UTF-8. There are no floats and no simple values but
 * false, true and null: what this project signs has none. Tags are carried, not interpreted.
 *
 * The writer fills the caller's buffer. It goes on counting when the buffer is full, so that a
 * first pass without one gives the size. The order of map keys is the caller's duty (the reader
 * refuses a wrong one, so a test of any writer sees it).
 *
 * The reader walks untrusted bytes through a cursor and copies nothing: strings are views of the
 * input. A read that fails stores why and where, and every later read of this reader fails too: so
 * a decoder may read all fields and ask once at the end (cbor_end).
 *
 * Pure: no I/O, no memory of its own, no globals; freestanding, but for cbor_diag. Any thread. */
#ifndef WM_WIRE_CBOR_H
#define WM_WIRE_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

struct wm_diag;

/* How deep arrays, maps and tags may be nested in one item that cbor_skip walks. */
#define CBOR_DEPTH_MAX 16u
/* The longest head: an initial byte and eight more. */
#define CBOR_HEAD_BYTES_MAX 9u

/* The major types, RFC 8949 section 3.1. */
enum cbor_type {
    CBOR_UINT = 0,
    CBOR_NINT = 1,
    CBOR_BYTES = 2,
    CBOR_TEXT = 3,
    CBOR_ARRAY = 4,
    CBOR_MAP = 5,
    CBOR_TAG = 6,
    CBOR_SIMPLE = 7,
};

/* --- Writing --- */

struct cbor_writer {
    uint8_t *out; /* NULL: only count */
    size_t room;
    size_t len; /* of all that was put, whether it fitted or not */
};

static inline struct cbor_writer cbor_writer_of(void *out, size_t room)
{
    return (struct cbor_writer){(uint8_t *)out, out ? room : 0, 0};
}

/* All of it is in the buffer. */
static inline bool cbor_fits(const struct cbor_writer *writer)
{
    return writer->len <= writer->room;
}

void cbor_put_head(struct cbor_writer *writer, enum cbor_type type, uint64_t argument);
void cbor_put_uint(struct cbor_writer *writer, uint64_t value);
void cbor_put_int(struct cbor_writer *writer, int64_t value);
void cbor_put_bytes(struct cbor_writer *writer, struct wm_view bytes);
void cbor_put_text(struct cbor_writer *writer, struct wm_view text); /* must be UTF-8 */
void cbor_put_bool(struct cbor_writer *writer, bool value);
void cbor_put_null(struct cbor_writer *writer);
/* The head; the items follow: `count` of them, twice as many in a map. One follows a tag. */
void cbor_put_array(struct cbor_writer *writer, uint64_t count);
void cbor_put_map(struct cbor_writer *writer, uint64_t count);
void cbor_put_tag(struct cbor_writer *writer, uint64_t tag);
/* Items that are encoded already. */
void cbor_put_raw(struct cbor_writer *writer, struct wm_view items);

/* --- Reading --- */

struct cbor_reader {
    struct wm_cursor cursor;
    const char *why; /* NULL while nothing failed; static text */
    size_t where;    /* offset in the input of what failed */
    /* It was a number that must be another one (cbor_uint_is): cbor_diag says both. */
    bool other;
    uint64_t found, wanted;
};

static inline struct cbor_reader cbor_reader_of(struct wm_view input)
{
    return (struct cbor_reader){.cursor = wm_cursor_of(input)};
}

/* The type of the next item, without reading it; -1 at the end and after a failure. */
int cbor_peek(const struct cbor_reader *reader);

/* One item of that type. False when it is another one or malformed; *out is then unchanged. */
WM_MUST_CHECK bool cbor_uint(struct cbor_reader *reader, uint64_t *out);
WM_MUST_CHECK bool cbor_uint32(struct cbor_reader *reader, uint32_t *out); /* no larger one */
WM_MUST_CHECK bool cbor_int(struct cbor_reader *reader, int64_t *out);
WM_MUST_CHECK bool cbor_bytes(struct cbor_reader *reader, struct wm_view *out);
WM_MUST_CHECK bool cbor_text(struct cbor_reader *reader, struct wm_view *out);
WM_MUST_CHECK bool cbor_bool(struct cbor_reader *reader, bool *out);
WM_MUST_CHECK bool cbor_null(struct cbor_reader *reader);
WM_MUST_CHECK bool cbor_array(struct cbor_reader *reader, uint64_t *count);
WM_MUST_CHECK bool cbor_tag(struct cbor_reader *reader, uint64_t *tag);

/* Fixed forms, for what can only be so. */
WM_MUST_CHECK bool cbor_uint_is(struct cbor_reader *reader, uint64_t value, const char *why);
WM_MUST_CHECK bool cbor_array_of(struct cbor_reader *reader, uint64_t count);
/* A byte string of exactly `len` bytes, copied out. */
WM_MUST_CHECK bool cbor_bytes_of(struct cbor_reader *reader, uint8_t *out, size_t len);

/* A map: cbor_map, then for each entry cbor_map_next, the key and the value. cbor_map_next checks
 * that the key comes after the one before it, and returns false at the end of the map, too. */
struct cbor_map {
    uint64_t left;
    struct wm_view last; /* the encoding of the key before */
};
WM_MUST_CHECK bool cbor_map(struct cbor_reader *reader, struct cbor_map *map);
WM_MUST_CHECK bool cbor_map_next(struct cbor_reader *reader, struct cbor_map *map);

/* One item of any type, checked in full; *item (NULL allowed) becomes its encoding. */
WM_MUST_CHECK bool cbor_skip(struct cbor_reader *reader, struct wm_view *item);

/* Makes the reader fail, where nothing did before: for rules above CBOR's. `why` is kept. Returns
 * false. */
bool cbor_fail(struct cbor_reader *reader, const char *why);
/* A reader of what lies encoded in a part of the input (a byte string's content): it counts offsets
 * from the start of the whole. At its end, its failure becomes the outer one's. */
struct cbor_reader cbor_inner(const struct cbor_reader *outer, struct wm_view content);
WM_MUST_CHECK bool cbor_inner_end(struct cbor_reader *outer, struct cbor_reader *inner);
/* True when nothing failed and the input is at its end. */
WM_MUST_CHECK bool cbor_end(struct cbor_reader *reader);

/* "WHAT: offset N: WHY" as WM_E_MALFORMED; of a reader that failed. Of cbor_uint_is, which number
 * is there and which must be follows: " (2, not 1)". */
int cbor_diag(const struct cbor_reader *reader, const char *what, struct wm_diag *diag);

#endif
