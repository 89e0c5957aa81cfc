/* edit.h: what an input makes of bytes that were right: a list of changes of four bytes each, what
 * to do, where (little-endian, counted round), and with what. For targets whose valid inputs have
 * signatures, which no fuzzer finds. */
#ifndef WM_TEST_FUZZ_EDIT_H
#define WM_TEST_FUZZ_EDIT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Memory from malloc. */
static inline uint8_t *fuzz_edit(const uint8_t *script, size_t script_len, const uint8_t *bytes,
                                 size_t len, size_t *out_len)
{
    size_t changes = script_len / 4;
    uint8_t *out = (uint8_t *)malloc(len + 256 * changes + 1);
    memcpy(out, bytes, len);
    for (; changes > 0 && len > 0; changes--, script += 4) {
        size_t at = (size_t)(script[1] | script[2] << 8) % len, count = script[3];
        switch (script[0] % 4) {
        case 0: out[at] ^= script[3]; break;
        case 1: out[at] = script[3]; break;
        case 2: /* a piece less */
            count = count < len - at ? count : len - at;
            memmove(out + at, out + at + count, len - at - count);
            len -= count;
            break;
        case 3: /* a piece twice */
            count = count < len - at ? count : len - at;
            memmove(out + at + count, out + at, len - at);
            len += count;
            break;
        }
    }
    *out_len = len;
    return out;
}

#endif
