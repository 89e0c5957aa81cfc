/* fuzz_client.c: what a node answers, as the client shows it: an error, a table, a page, JSON. No
 * byte of it may be one that a terminal obeys. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/client_json.h"
#include "cli/text.h"

static void check(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        uint32_t point = 0;
        size_t bytes = cli_utf8_at(text + at, len - at, &point);
        WM_ASSERT(bytes > 0);
        WM_ASSERT(point == '\n' || (point >= 0x20 && point != 0x7f));
        WM_ASSERT(point < 0x80 || point > 0x9f);
        WM_ASSERT(point < 0x202a || point > 0x202e);
        at += bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct client_column columns[] = {{"NAME", "name|key", CLIENT_TEXT},
                                                   {"BYTES", "bytes", CLIENT_BYTES},
                                                   {"TIME", "created_ns", CLIENT_TIME}};
    const char *text = (const char *)bytes, *message;
    struct client_error error;
    char *shown = NULL;
    size_t shown_len = 0;
    if (client_json_error(text, len, &error)) {
        check(error.message, strlen(error.message));
        check(error.detail ? error.detail : "", error.detail ? strlen(error.detail) : 0);
        client_error_free(&error);
    }
    json_t *document = client_json_parse(text, len, &message);
    FILE *out = document ? open_memstream(&shown, &shown_len) : NULL;
    if (!out) {
        json_decref(document);
        return 0;
    }
    client_json_page(document, out, len ? bytes[len - 1] : 0);
    const json_t *list = client_json_list(document, "functions");
    if (list) {
        (void)client_json_table(list, columns, WM_COUNT_OF(columns), out, 40);
    }
    client_json_dump(document, out);
    fclose(out);
    check(shown, shown_len);
    free(shown);
    json_decref(document);
    return 0;
}
