/* Helpers on jansson; see the header. */
#include "node/jsonx.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

const char *jsonx_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

bool jsonx_copy(char *out, size_t room, const char *text)
{
    size_t len = text ? strlen(text) : room;
    if (len >= room) {
        return false;
    }
    memcpy(out, text, len + 1);
    return true;
}

bool jsonx_u64(const json_t *object, const char *name, uint64_t max, uint64_t *out)
{
    const json_t *value = json_object_get(object, name);
    if (!value) {
        return true;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

bool jsonx_u32(const json_t *object, const char *name, uint32_t max, uint32_t *out)
{
    uint64_t value = *out;
    bool ok = jsonx_u64(object, name, max, &value);
    *out = (uint32_t)value;
    return ok;
}

bool jsonx_bool(const json_t *object, const char *name, bool *out)
{
    const json_t *value = json_object_get(object, name);
    if (value && !json_is_boolean(value)) {
        return false;
    }
    *out = value ? json_is_true(value) : *out;
    return true;
}

int jsonx_set(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0 ? 0 : -ENOMEM;
}

json_t *jsonx_bytes(struct wm_view bytes)
{
    static const char digits[] = "0123456789abcdef";
    const char *text = bytes.len ? (const char *)bytes.ptr : "";
    json_t *plain = memchr(text, 0, bytes.len) ? NULL : json_stringn(text, bytes.len);
    if (plain) {
        return plain;
    }
    char *out = wm_alloc_zero(bytes.len + 1, 4);
    if (!out) {
        return NULL;
    }
    size_t at = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.ptr[i];
        if (c >= 0x80 || c == 0) {
            out[at++] = '\\';
            out[at++] = 'x';
            out[at++] = digits[c >> 4];
            out[at++] = digits[c & 15];
        } else {
            out[at++] = (char)c;
        }
    }
    plain = json_stringn(out, at);
    wm_free(out);
    return plain;
}

const char *jsonx_unknown(const json_t *object, const char *const *known)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        const char *const *at = known;
        while (*at && strcmp(*at, name) != 0) {
            at++;
        }
        if (!*at) {
            return name;
        }
    }
    return "";
}

void jsonx_hex(char *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = 0;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool jsonx_unhex(const char *text, size_t text_len, uint8_t *out, size_t len)
{
    if (text_len != 2 * len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
