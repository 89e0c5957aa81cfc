#include "api/invoke.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Accepts what the type holds under either reading: i32 from -2^31 to 2^32-1. */
static bool parse_integer(const char *text, unsigned bits, uint64_t *out)
{
    bool negative = text[0] == '-';
    const char *digits = text + negative;
    if (digits[0] < '0' || digits[0] > '9') {
        return false; /* strtoull would take spaces and a second sign */
    }
    char *end;
    errno = 0;
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    unsigned long long value = strtoull(digits, &end, hex ? 16 : 10);
    if (errno || *end) {
        return false;
    }
    uint64_t limit = negative ? UINT64_C(1) << (bits - 1)
                              : (bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1);
    if (value > limit) {
        return false;
    }
    *out = negative ? 0 - (uint64_t)value : (uint64_t)value;
    return true;
}

int invoke_parse(char letter, const char *text, union wm_value *out, struct wm_diag *diag)
{
    uint64_t bits;
    char *end;
    *out = (union wm_value){.v128 = {0, 0}};
    switch (letter) {
    case 'i':
        if (!parse_integer(text, 32, &bits)) {
            return wm_diag_set(diag, WM_E_USAGE, "%s: not an i32", text);
        }
        out->i32 = (uint32_t)bits;
        return 0;
    case 'I':
        if (!parse_integer(text, 64, &bits)) {
            return wm_diag_set(diag, WM_E_USAGE, "%s: not an i64", text);
        }
        out->i64 = bits;
        return 0;
    case 'f': out->f32 = strtof(text, &end); break;
    case 'F': out->f64 = strtod(text, &end); break;
    default:
        return wm_diag_set(diag, WM_E_UNSUPPORTED,
                           "%s: vectors and references cannot be given as text", text);
    }
    if (end == text || *end) {
        return wm_diag_set(diag, WM_E_USAGE, "%s: not a number", text);
    }
    return 0;
}

int invoke_print(char letter, const union wm_value *value, char *out, size_t out_bytes)
{
    switch (letter) {
    case 'i': return snprintf(out, out_bytes, "%" PRId32, (int32_t)value->i32);
    case 'I': return snprintf(out, out_bytes, "%" PRId64, (int64_t)value->i64);
    /* Enough digits that the same number comes back. */
    case 'f': return snprintf(out, out_bytes, "%.9g", (double)value->f32);
    case 'F': return snprintf(out, out_bytes, "%.17g", value->f64);
    case 'v':
        return snprintf(out, out_bytes, "0x%016" PRIx64 "%016" PRIx64, value->v128[1],
                        value->v128[0]);
    default: return snprintf(out, out_bytes, value->ref ? "ref" : "null");
    }
}
