/* view.h: borrowed bytes, and the cursor through which every untrusted byte is read.
 *
 * A view borrows: it is valid as long as what it points into. A cursor walks a view from the front
 * and never past its end; a read that does not fit returns false, moves nothing and stores nothing.
 * Nothing else in the tree does pointer arithmetic on input. Little-endian where a width is named.
 * Freestanding. */
#ifndef WM_BASE_VIEW_H
#define WM_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct wm_view {
    const uint8_t *ptr; /* NULL only when len is 0 */
    size_t len;
};

static inline struct wm_view wm_view_of(const void *ptr, size_t len)
{
    return (struct wm_view){ptr, len};
}

/* The characters of a C string, without its NUL. */
static inline struct wm_view wm_view_str(const char *text)
{
    return (struct wm_view){(const uint8_t *)text, __builtin_strlen(text)};
}

static inline bool wm_view_eq(struct wm_view a, struct wm_view b)
{
    return a.len == b.len && (a.len == 0 || __builtin_memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool wm_view_eq_str(struct wm_view a, const char *text)
{
    return wm_view_eq(a, wm_view_str(text));
}

/* [offset, offset + len) of `view`; false when it does not lie inside. */
WM_MUST_CHECK static inline bool wm_view_slice(struct wm_view view, size_t offset, size_t len,
                                               struct wm_view *out)
{
    if (offset > view.len || len > view.len - offset) {
        return false;
    }
    *out = (struct wm_view){view.ptr ? view.ptr + offset : NULL, len};
    return true;
}

struct wm_cursor {
    const uint8_t *start; /* of the whole input: offsets in messages count from here */
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct wm_cursor wm_cursor_of(struct wm_view view)
{
    const uint8_t *end = view.ptr ? view.ptr + view.len : NULL; /* NULL + 0 is undefined in C */
    return (struct wm_cursor){view.ptr, view.ptr, end};
}

static inline size_t wm_cursor_left(const struct wm_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static inline size_t wm_cursor_offset(const struct wm_cursor *cursor)
{
    return (size_t)(cursor->at - cursor->start);
}

static inline bool wm_cursor_done(const struct wm_cursor *cursor)
{
    return cursor->at == cursor->end;
}

WM_MUST_CHECK static inline bool wm_cursor_u8(struct wm_cursor *cursor, uint8_t *out)
{
    if (cursor->at == cursor->end) {
        return false;
    }
    *out = *cursor->at++;
    return true;
}

WM_MUST_CHECK static inline bool wm_cursor_bytes(struct wm_cursor *cursor, size_t len,
                                                 struct wm_view *out)
{
    if (len > wm_cursor_left(cursor)) {
        return false;
    }
    *out = (struct wm_view){cursor->at, len};
    cursor->at += len;
    return true;
}

WM_MUST_CHECK static inline bool wm_cursor_u32(struct wm_cursor *cursor, uint32_t *out)
{
    if (wm_cursor_left(cursor) < 4) {
        return false;
    }
    __builtin_memcpy(out, cursor->at, 4);
    cursor->at += 4;
    return true;
}

WM_MUST_CHECK static inline bool wm_cursor_u64(struct wm_cursor *cursor, uint64_t *out)
{
    if (wm_cursor_left(cursor) < 8) {
        return false;
    }
    __builtin_memcpy(out, cursor->at, 8);
    cursor->at += 8;
    return true;
}

/* Why a LEB128 number (WebAssembly core specification 5.2.2) could not be read. */
enum wm_leb {
    WM_LEB_OK,
    WM_LEB_END,       /* the input ends inside the number */
    WM_LEB_TOO_LONG,  /* more bytes than the width allows */
    WM_LEB_TOO_LARGE, /* unused bits of the last byte are set against the rule */
};

/* Unsigned, `bits` of 1 to 64. On failure the cursor stays where it was. */
WM_MUST_CHECK static inline enum wm_leb wm_cursor_uleb(struct wm_cursor *cursor, unsigned bits,
                                                       uint64_t *out)
{
    uint64_t value = 0;
    const uint8_t *at = cursor->at;
    for (unsigned shift = 0;; shift += 7) {
        if (at == cursor->end) {
            return WM_LEB_END;
        }
        uint8_t byte = *at++;
        unsigned left = bits - shift;
        if (left < 7 && (byte & 0x7f) >> left) {
            return (byte & 0x80) ? WM_LEB_TOO_LONG : WM_LEB_TOO_LARGE;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            break;
        }
        if (left <= 7) {
            return WM_LEB_TOO_LONG;
        }
    }
    cursor->at = at;
    *out = value;
    return WM_LEB_OK;
}

/* Signed, `bits` of 2 to 64, sign-extended to 64. On failure the cursor stays where it was. */
WM_MUST_CHECK static inline enum wm_leb wm_cursor_sleb(struct wm_cursor *cursor, unsigned bits,
                                                       int64_t *out)
{
    uint64_t value = 0;
    const uint8_t *at = cursor->at;
    for (unsigned shift = 0;; shift += 7) {
        if (at == cursor->end) {
            return WM_LEB_END;
        }
        uint8_t byte = *at++;
        unsigned left = bits - shift;
        if (left < 7) {
            /* The bits from the sign bit upwards must all be equal. */
            int8_t sign = (int8_t)((int8_t)(uint8_t)(byte << 1) >> left);
            if (byte & 0x80) {
                return WM_LEB_TOO_LONG;
            }
            if (sign != 0 && sign != -1) {
                return WM_LEB_TOO_LARGE;
            }
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            if (shift + 7 < 64 && (byte & 0x40)) {
                value |= ~(uint64_t)0 << (shift + 7);
            }
            break;
        }
        if (left <= 7) {
            return WM_LEB_TOO_LONG;
        }
    }
    cursor->at = at;
    *out = (int64_t)value;
    return WM_LEB_OK;
}

#endif
