#include "cli/client_url.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static void put(struct client_url *url, const char *text, size_t len)
{
    if (url->failed) {
        return;
    }
    if (len >= url->room - url->len) {
        size_t room = (url->room + len + 64) * 2;
        char *larger = wm_realloc(url->text, room, 1);
        if (!larger) {
            url->failed = true;
            return;
        }
        url->text = larger;
        url->room = room;
    }
    memcpy(url->text + url->len, text, len);
    url->len += len;
    url->text[url->len] = 0;
}

struct client_url client_url_begin(const char *start)
{
    struct client_url url = {0};
    put(&url, start, strlen(start));
    return url;
}

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void put_encoded(struct client_url *url, const void *piece, size_t len, bool dots_too)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *bytes = piece;
    for (size_t i = 0; i < len; i++) {
        if (is_plain(bytes[i]) && !(dots_too && bytes[i] == '.')) {
            put(url, (const char *)&bytes[i], 1);
        } else {
            put(url, (const char[]){'%', hex[bytes[i] >> 4], hex[bytes[i] & 15]}, 3);
        }
    }
}

void client_url_raw(struct client_url *url, const char *ours)
{
    put(url, ours, strlen(ours));
}

void client_url_segment_bytes(struct client_url *url, const void *piece, size_t len)
{
    bool dots = (len == 1 || len == 2) && memcmp(piece, "..", len) == 0;
    put(url, "/", 1);
    put_encoded(url, piece, len, dots);
}

void client_url_segment(struct client_url *url, const char *piece)
{
    client_url_segment_bytes(url, piece, strlen(piece));
}

void client_url_query_bytes(struct client_url *url, const char *name, const void *value, size_t len)
{
    put(url, url->query ? "&" : "?", 1);
    url->query = true;
    put(url, name, strlen(name));
    put(url, "=", 1);
    put_encoded(url, value, len, false);
}

void client_url_query(struct client_url *url, const char *name, const char *value)
{
    client_url_query_bytes(url, name, value, strlen(value));
}

void client_url_number(struct client_url *url, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    client_url_query(url, name, text);
}

const char *client_url_text(const struct client_url *url)
{
    return url->failed ? NULL : url->text;
}

void client_url_free(struct client_url *url)
{
    wm_free(url->text);
    *url = (struct client_url){0};
}
