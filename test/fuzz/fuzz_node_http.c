/* fuzz_node_http.c: what the node takes apart by itself of an HTTP exchange: request lines, routes,
 * guests' headers, allow-lists. The first byte chooses. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "node/catalogue.h"
#include "node/cgi.h"
#include "node/config.h"
#include "node/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void line(char *text)
{
    char *path, *query;
    struct uri_param params[URI_PARAMS_MAX];
    if (!uri_split(text, &path, &query)) {
        return;
    }
    int count = uri_params(query, params);
    for (int i = 0; i < count; i++) {
        uint64_t number;
        WM_ASSERT(params[i].name && params[i].value);
        (void)uri_name_ok(params[i].value);
        (void)!uri_number(params[i].value, UINT64_MAX, &number);
    }
    size_t before = strlen(path);
    if (uri_decode(path, false)) {
        WM_ASSERT(strlen(path) <= before);
    }
}

static void answer(const uint8_t *bytes, size_t len)
{
    struct cgi_answer out;
    struct cgi_header header;
    cgi_parse(wm_view_of(bytes, len), &out);
    WM_ASSERT(out.lines.len + out.body.len == len);
    struct wm_view lines = out.lines.len ? out.lines : wm_view_of(bytes, len);
    while (cgi_next(&lines, &header)) {
        /* Nothing that could split an answer, whatever the guest wrote. */
        WM_ASSERT(*header.name && !strpbrk(header.name, "\r\n: ") &&
                  !strpbrk(header.value, "\r\n"));
    }
}

static void route(char *text)
{
    char *path = strchr(text, ' ');
    if (path) {
        *path++ = 0;
        if (route_path_ok(text)) {
            (void)route_matches(text, path);
            WM_ASSERT(strchr(text, '*') || route_matches(text, text));
        }
    }
}

static void address(const char *text)
{
    char host[64];
    uint16_t port;
    if (config_split_address(text, host, &port) == 0) {
        (void)config_is_loopback(host);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0) {
        return 0;
    }
    char *text = malloc(len); /* without the first byte, with a NUL */
    if (!text) {
        return 0;
    }
    memcpy(text, bytes + 1, len - 1);
    text[len - 1] = 0;
    switch (bytes[0] % 4) {
    case 0: line(text); break;
    case 1: answer(bytes + 1, len - 1); break;
    case 2: route(text); break;
    default: address(text); break;
    }
    free(text);
    return 0;
}
