/* What the built-in procedures share. */
#include "ledger/builtin.h"

#include <string.h>

#include "base/assert.h"
#include "crypto/hash.h"

#define DIGITS 10u /* of a version */

void builtin_digest(const struct builtin *builtin, ledger_hash out)
{
    uint8_t text[sizeof "wardmote::" + LEDGER_NAME_BYTES_MAX + DIGITS];
    size_t name_len = strlen(builtin->name), len = 0;
    char digits[DIGITS];
    uint32_t count = 0;
    WM_ASSERT(name_len <= LEDGER_NAME_BYTES_MAX);
    memcpy(text, "wardmote:", 9);
    len = 9;
    memcpy(text + len, builtin->name, name_len);
    len += name_len;
    text[len++] = ':';
    for (uint32_t rest = builtin->version; rest > 0 || count == 0; rest /= 10) {
        digits[count++] = (char)('0' + rest % 10);
    }
    while (count > 0) {
        text[len++] = (uint8_t)digits[--count];
    }
    wm_sha256_once(wm_view_of(text, len), out);
}

bool builtin_result(struct procedure_call *call, struct wm_view encoded, struct wm_view *result)
{
    uint8_t *copy = procedure_memory(call, encoded.len);
    if (!copy) {
        return false;
    }
    memcpy(copy, encoded.ptr, encoded.len);
    *result = wm_view_of(copy, encoded.len);
    return true;
}
