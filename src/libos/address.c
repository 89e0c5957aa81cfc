/* Internet addresses. */
#include "libos/address.h"

/* A number of at most `digits` digits; false: none. */
static bool take_number(struct wm_view text, size_t *at, unsigned base, unsigned digits,
                        uint32_t *out)
{
    size_t start = *at;
    *out = 0;
    while (*at < text.len && *at - start < digits) {
        uint8_t c = text.ptr[*at];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit >= base) {
            break;
        }
        *out = *out * base + digit;
        ++*at;
    }
    return *at > start;
}

static bool parse_v4(struct wm_view text, uint8_t out[4])
{
    size_t at = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t number;
        if (i > 0 && (at >= text.len || text.ptr[at++] != '.')) {
            return false;
        }
        size_t start = at;
        /* A leading zero means octal to some: such an address has two meanings. */
        if (!take_number(text, &at, 10, 3, &number) || number > 255 ||
            (at - start > 1 && text.ptr[start] == '0')) {
            return false;
        }
        out[i] = (uint8_t)number;
    }
    return at == text.len;
}

static bool parse_v6(struct wm_view text, uint8_t out[16])
{
    uint8_t bytes[16] = {0};
    size_t used = 0, at = 0, gap = 17; /* where `::` stood */
    struct wm_view rest;
    if (text.len >= 2 && text.ptr[0] == ':' && text.ptr[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < text.len) {
        uint32_t group;
        size_t start = at;
        if (used > 14 || !take_number(text, &at, 16, 4, &group)) {
            return false;
        }
        if (at < text.len && text.ptr[at] == '.') {
            if (used > 12 || !wm_view_slice(text, start, text.len - start, &rest) ||
                !parse_v4(rest, bytes + used)) {
                return false;
            }
            used += 4;
            at = text.len;
            break;
        }
        bytes[used++] = (uint8_t)(group >> 8);
        bytes[used++] = (uint8_t)group;
        if (at == text.len) {
            break;
        }
        if (text.ptr[at++] != ':' || at == text.len) {
            return false;
        }
        if (text.ptr[at] == ':') {
            if (gap <= 16) {
                return false;
            }
            gap = used;
            at++;
        }
    }
    if (gap > 16) {
        __builtin_memcpy(out, bytes, 16);
        return used == 16;
    }
    if (used > 14) {
        return false; /* `::` stands for at least one group */
    }
    __builtin_memset(out, 0, 16);
    __builtin_memcpy(out, bytes, gap);
    __builtin_memcpy(out + 16 - (used - gap), bytes + gap, used - gap);
    return true;
}

bool libos_address_parse(struct wm_view text, struct libos_address *out)
{
    *out = (struct libos_address){.family = LIBOS_INET};
    if (parse_v4(text, out->ip)) {
        return true;
    }
    *out = (struct libos_address){.family = LIBOS_INET6};
    return parse_v6(text, out->ip);
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

struct libos_address libos_address_plain(const struct libos_address *from)
{
    struct libos_address plain = *from;
    if (plain.family == LIBOS_INET6 && is_zero(from->ip, 10) && from->ip[10] == 0xff &&
        from->ip[11] == 0xff) {
        plain = (struct libos_address){.family = LIBOS_INET, .port = from->port};
        __builtin_memcpy(plain.ip, from->ip + 12, 4);
    }
    if (plain.family == LIBOS_INET && is_zero(plain.ip, 4)) {
        plain.ip[0] = 127;
        plain.ip[3] = 1;
    } else if (plain.family == LIBOS_INET6 && is_zero(plain.ip, 16)) {
        plain.ip[15] = 1;
    }
    return plain;
}
