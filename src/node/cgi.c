/* Headers from guests; see the header. */
#include "node/cgi.h"

#include <string.h>
#include <strings.h>

static bool token_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Up to the newline, without it and a carriage return before it. */
static bool take_line(struct wm_view *lines, struct wm_view *out)
{
    if (lines->len == 0) {
        return false;
    }
    const uint8_t *end = memchr(lines->ptr, '\n', lines->len);
    size_t len = end ? (size_t)(end - lines->ptr) : lines->len;
    size_t skip = end ? len + 1 : len;
    *out = wm_view_of(lines->ptr, len && lines->ptr[len - 1] == '\r' ? len - 1 : len);
    *lines = wm_view_of(lines->ptr + skip, lines->len - skip);
    return true;
}

static bool split(struct wm_view line, struct wm_view *name, struct wm_view *value)
{
    size_t at = 0;
    while (at < line.len && token_char(line.ptr[at])) {
        at++;
    }
    if (at == 0 || at == line.len || line.ptr[at] != ':' || at > CGI_NAME_BYTES_MAX) {
        return false;
    }
    *name = wm_view_of(line.ptr, at);
    size_t from = at + 1, to = line.len;
    while (from < to && (line.ptr[from] == ' ' || line.ptr[from] == '\t')) {
        from++;
    }
    while (to > from && (line.ptr[to - 1] == ' ' || line.ptr[to - 1] == '\t')) {
        to--;
    }
    *value = wm_view_of(line.ptr + from, to - from);
    for (size_t i = 0; i < value->len; i++) {
        if ((value->ptr[i] < 0x20 && value->ptr[i] != '\t') || value->ptr[i] == 0x7f) {
            return false;
        }
    }
    return value->len <= CGI_VALUE_BYTES_MAX;
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {"status",
                                       "connection",
                                       "content-length",
                                       "transfer-encoding",
                                       "keep-alive",
                                       "upgrade",
                                       "trailer",
                                       "te",
                                       "date",
                                       "www-authenticate",
                                       "proxy-authenticate",
                                       "proxy-connection"};
    for (unsigned i = 0; i < WM_COUNT_OF(ours); i++) {
        if (strcasecmp(name, ours[i]) == 0) {
            return true;
        }
    }
    return strncasecmp(name, "wardmote-", 9) == 0;
}

bool cgi_next(struct wm_view *lines, struct cgi_header *out)
{
    struct wm_view line, name, value;
    while (take_line(lines, &line)) {
        if (!split(line, &name, &value)) {
            continue;
        }
        memcpy(out->name, name.ptr, name.len);
        out->name[name.len] = 0;
        if (value.len) {
            memcpy(out->value, value.ptr, value.len);
        }
        out->value[value.len] = 0;
        if (!is_ours(out->name)) {
            return true;
        }
    }
    return false;
}

static bool named(struct wm_view name, const char *text)
{
    return name.len == strlen(text) && strncasecmp((const char *)name.ptr, text, name.len) == 0;
}

/* Three digits, 200 to 599. */
static uint32_t status_of(struct wm_view value)
{
    uint32_t status = 0;
    for (size_t i = 0; i < 3; i++) {
        if (i >= value.len || value.ptr[i] < '0' || value.ptr[i] > '9') {
            return 0;
        }
        status = status * 10 + (uint32_t)(value.ptr[i] - '0');
    }
    return status >= 200 && status <= 599 && (value.len == 3 || value.ptr[3] == ' ') ? status : 0;
}

void cgi_parse(struct wm_view output, struct cgi_answer *out)
{
    struct wm_view rest = output, line, name, value;
    struct cgi_answer found = {0};
    bool redirect = false;
    *out = (struct cgi_answer){.body = output};
    for (unsigned count = 0; take_line(&rest, &line); count++) {
        size_t used = output.len - rest.len;
        if (used > CGI_HEAD_BYTES_MAX || count > CGI_HEADERS_MAX) {
            return;
        }
        if (line.len == 0) {
            if (count == 0) {
                return;
            }
            found.lines = wm_view_of(output.ptr, used);
            found.body = rest;
            found.status = found.status ? found.status : redirect ? 302 : 0;
            *out = found;
            return;
        }
        if (!split(line, &name, &value) ||
            (count == 0 && !named(name, "Status") && !named(name, "Content-Type") &&
             !named(name, "Location"))) {
            return;
        }
        redirect |= named(name, "Location");
        if (named(name, "Status")) {
            found.status = status_of(value);
        }
    }
}
