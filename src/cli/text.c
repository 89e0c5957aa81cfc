#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

size_t cli_utf8_at(const void *at, size_t len, uint32_t *point)
{
    const unsigned char *bytes = at;
    uint32_t scratch = 0;
    uint32_t *out = point ? point : &scratch;
    if (len == 0) {
        return 0;
    }
    unsigned first = bytes[0], low = 0x80, high = 0xbf;
    if (first < 0x80) {
        *out = first;
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    size_t need = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    /* Against overlong forms, surrogates, and what lies above U+10FFFF. */
    low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : low;
    high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : high;
    if (len < need || bytes[1] < low || bytes[1] > high) {
        return 0;
    }
    uint32_t value = first & (0xffu >> (need + 1));
    for (size_t i = 1; i < need; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (bytes[i] & 0x3fu);
    }
    *out = value;
    return need;
}

struct range {
    uint32_t first, last;
};

static bool is_in(uint32_t point, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (point >= ranges[i].first && point <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* Obeyed by a terminal, or by what lays text out: control characters of ASCII and C1, marks that
 * turn the direction of writing, line and paragraph separators, the byte order mark. */
static const struct range escaped[] = {
    {0, 0x1f},        {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200e, 0x200f},
    {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff}, {0xe0000, 0xe007f},
};
static const struct range narrow[] = {{0x300, 0x36f}, {0x200b, 0x200d}, {0xfe00, 0xfe0f}};
static const struct range wide[] = {
    {0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},
    {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd},
};

void cli_text_put(FILE *out, const char *text, size_t len, bool lines)
{
    for (size_t at = 0; at < len;) {
        uint32_t point = 0;
        size_t bytes = cli_utf8_at(text + at, len - at, &point);
        if (bytes && ((lines && point == '\n') || !is_in(point, escaped, WM_COUNT_OF(escaped)))) {
            fwrite(text + at, 1, bytes, out);
            at += bytes;
            continue;
        }
        bytes = bytes ? bytes : 1;
        for (size_t i = 0; i < bytes; i++) {
            fprintf(out, "\\x%02x", (unsigned char)text[at + i]);
        }
        at += bytes;
    }
}

char *cli_text_clean(const char *text, size_t len)
{
    char *clean = NULL;
    size_t clean_len = 0;
    FILE *out = open_memstream(&clean, &clean_len);
    if (!out) {
        return NULL;
    }
    cli_text_put(out, text, len, false);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(clean);
        return NULL;
    }
    return clean;
}

static size_t columns_of(uint32_t point)
{
    return is_in(point, narrow, WM_COUNT_OF(narrow)) ? 0
           : is_in(point, wide, WM_COUNT_OF(wide))   ? 2
                                                     : 1;
}

size_t cli_text_fitting(const char *clean, size_t columns)
{
    size_t len = strlen(clean), at = 0, used = 0;
    while (at < len) {
        uint32_t point = 0;
        size_t bytes = cli_utf8_at(clean + at, len - at, &point);
        size_t need = columns_of(point);
        if (used + need > columns) {
            break;
        }
        used += need;
        at += bytes ? bytes : 1;
    }
    return at;
}

size_t cli_text_columns(const char *clean)
{
    size_t len = strlen(clean), at = 0, used = 0;
    while (at < len) {
        uint32_t point = 0;
        size_t bytes = cli_utf8_at(clean + at, len - at, &point);
        used += columns_of(point);
        at += bytes ? bytes : 1;
    }
    return used;
}
