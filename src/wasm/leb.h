/* leb.h: LEB128 numbers of a module, with the one sentence for each way they can be wrong.
 *
 * Internal to the decoders of src/wasm. Messages use the wording of the reference implementation,
 * which the official test suite expects, after the offset. Freestanding but for diag. */
#ifndef WM_WASM_LEB_H
#define WM_WASM_LEB_H

#include "base/diag.h"
#include "base/error.h"
#include "base/view.h"

/* Writes "offset 0xN: reason". */
WM_COLD void wasm_malformed_text(const struct wm_cursor *cursor, struct wm_diag *diag,
                                 const char *reason);
const char *wasm_leb_text(enum wm_leb why);

/* Inline, so that the compiler sees that the result is never 0. */
static inline int wasm_malformed(const struct wm_cursor *cursor, struct wm_diag *diag,
                                 const char *reason)
{
    wasm_malformed_text(cursor, diag, reason);
    return WM_E_MALFORMED;
}

WM_MUST_CHECK static inline int wasm_read_u32(struct wm_cursor *cursor, uint32_t *out,
                                              struct wm_diag *diag)
{
    if (WM_LIKELY(cursor->at != cursor->end && *cursor->at < 0x80)) {
        *out = *cursor->at++;
        return 0;
    }
    uint64_t value;
    enum wm_leb leb = wm_cursor_uleb(cursor, 32, &value);
    if (WM_UNLIKELY(leb != WM_LEB_OK)) {
        return wasm_malformed(cursor, diag, wasm_leb_text(leb));
    }
    *out = (uint32_t)value;
    return 0;
}

WM_MUST_CHECK static inline int wasm_read_sleb(struct wm_cursor *cursor, unsigned bits,
                                               int64_t *out, struct wm_diag *diag)
{
    enum wm_leb leb = wm_cursor_sleb(cursor, bits, out);
    if (WM_UNLIKELY(leb != WM_LEB_OK)) {
        return wasm_malformed(cursor, diag, wasm_leb_text(leb));
    }
    return 0;
}

WM_MUST_CHECK static inline int wasm_read_u8(struct wm_cursor *cursor, uint8_t *out,
                                             struct wm_diag *diag)
{
    if (WM_UNLIKELY(!wm_cursor_u8(cursor, out))) {
        return wasm_malformed(cursor, diag, "unexpected end");
    }
    return 0;
}

static inline bool wasm_is_valtype(uint8_t byte)
{
    return (byte >= 0x7b && byte <= 0x7f) || byte == 0x70 || byte == 0x6f;
}

#endif
