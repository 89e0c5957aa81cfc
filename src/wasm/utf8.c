/* utf8.c: RFC 3629 section 4. Which lead bytes exist and what the second byte may be decides
 * everything; that is where overlong forms, surrogates and too large code points are excluded. */
#include "wasm/utf8.h"

bool wasm_utf8_ok(struct wm_view text)
{
    struct wm_cursor cursor = wm_cursor_of(text);
    uint8_t lead;
    while (wm_cursor_u8(&cursor, &lead)) {
        if (lead < 0x80) {
            continue;
        }
        if (lead < 0xc2 || lead > 0xf4) {
            return false;
        }
        size_t more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        struct wm_view tail;
        if (!wm_cursor_bytes(&cursor, more, &tail)) {
            return false;
        }
        uint8_t low = 0x80, high = 0xbf; /* of the second byte */
        if (lead == 0xe0) {
            low = 0xa0; /* below: overlong */
        } else if (lead == 0xed) {
            high = 0x9f; /* above: surrogates */
        } else if (lead == 0xf0) {
            low = 0x90; /* below: overlong */
        } else if (lead == 0xf4) {
            high = 0x8f; /* above: beyond U+10FFFF */
        }
        if (tail.ptr[0] < low || tail.ptr[0] > high) {
            return false;
        }
        for (size_t i = 1; i < more; i++) {
            if ((tail.ptr[i] & 0xc0) != 0x80) {
                return false;
            }
        }
    }
    return true;
}
