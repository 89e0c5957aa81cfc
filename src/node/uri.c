/* Request lines; see the header. */
#include "node/uri.h"

#include <string.h>

#include "base/error.h"

#define NAME_BYTES_MAX 64u

bool uri_split(char *line, char **path, char **query)
{
    static char none[1];
    if (line[0] != '/') {
        return false;
    }
    char *end = strchr(line, '#');
    if (end) {
        *end = 0;
    }
    char *mark = strchr(line, '?');
    *path = line;
    *query = none;
    if (mark) {
        *mark = 0;
        *query = mark + 1;
    }
    return true;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool uri_decode(char *text, bool plus)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        char c = *from;
        if (c == '%') {
            int high = digit(from[1]);
            int low = high < 0 ? -1 : digit(from[2]);
            if (low < 0 || high * 16 + low == 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            from += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        *to++ = c;
    }
    *to = 0;
    return true;
}

int uri_params(char *query, struct uri_param out[URI_PARAMS_MAX])
{
    unsigned count = 0;
    for (char *at = query; *at;) {
        char *next = strchr(at, '&');
        if (next) {
            *next = 0;
        }
        char *value = strchr(at, '=');
        if (value) {
            *value++ = 0;
        } else {
            value = at + strlen(at);
        }
        if (*at || *value) {
            if (count == URI_PARAMS_MAX) {
                return WM_E_LIMIT;
            }
            if (!uri_decode(at, true) || !uri_decode(value, true)) {
                return WM_E_MALFORMED;
            }
            out[count++] = (struct uri_param){at, value};
        }
        if (!next) {
            break;
        }
        at = next + 1;
    }
    return (int)count;
}

bool uri_name_ok(const char *text)
{
    size_t len = 0;
    for (; text[len]; len++) {
        char c = text[len];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (len == NAME_BYTES_MAX || !(alnum || (len && (c == '-' || c == '_' || c == '.')))) {
            return false;
        }
    }
    return len > 0;
}

bool uri_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (!*text) {
        return false;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return value <= max;
}
