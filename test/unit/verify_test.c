/* verify_test.c FILE: wardmote/verify.h from outside, on the vectors of receipts. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include <wardmote/verify.h>

#include "base/test.h"

static const char *path;

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return len;
}

static const char *string_at(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

TEST(receipts)
{
    json_t *file = json_load_file(path, 0, NULL), *vector;
    uint8_t key[WM_PROOF_KEY_BYTES], other[WM_PROOF_KEY_BYTES] = {0}, bytes[4096];
    struct wm_receipt_info info;
    struct wm_diag diag = WM_DIAG_INIT;
    size_t at;
    REQUIRE(file != NULL);
    CHECK(wm_key_parse(string_at(file, "public_key"), key));
    CHECK(!wm_key_parse("12ab", key) && !wm_key_parse("", key));
    json_array_foreach(json_object_get(file, "good"), at, vector)
    {
        size_t len = from_hex(string_at(vector, "bytes"), bytes);
        const json_t *record = json_object_get(vector, "record");
        memset(&info, 0xff, sizeof info);
        CHECK_INT(wm_receipt_verify(bytes, len, key, &info, &diag), ==, 0);
        CHECK_STR(info.tenant, string_at(record, "tenant"));
        CHECK_STR(info.function, string_at(record, "function"));
        CHECK_STR(info.end, string_at(record, "end"));
        CHECK_STR(info.node, string_at(record, "node"));
        CHECK_INT(info.call_id, ==, json_integer_value(json_object_get(record, "call_id")));
        CHECK_INT(info.net_bytes_out, ==, 256);
        CHECK_INT(info.lost, ==, 1);
        CHECK_INT(info.index, ==, json_integer_value(json_object_get(vector, "index")));
        CHECK(memcmp(info.key, key, sizeof key) == 0);
        CHECK_INT(wm_receipt_verify(bytes, len, NULL, &info, NULL), ==, 0);
        CHECK_INT(wm_receipt_verify(bytes, len, other, &info, NULL), ==, WM_E_DENIED);
    }
    json_array_foreach(json_object_get(file, "bad"), at, vector)
    {
        size_t len = from_hex(string_at(vector, "bytes"), bytes);
        diag = (struct wm_diag)WM_DIAG_INIT;
        memset(&info, 0x55, sizeof info);
        int rc = wm_receipt_verify(bytes, len, key, &info, &diag);
        CHECK_STR(wm_error_name(rc), string_at(vector, "error"));
        CHECK(diag.text[0] != 0 && info.call_id == UINT64_C(0x5555555555555555));
    }
    CHECK_INT(wm_receipt_verify(NULL, 0, NULL, &info, NULL), ==, WM_E_MALFORMED);
    json_decref(file);
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {TEST_CASE(receipts)};
    if (argc < 2) {
        fprintf(stderr, "usage: verify_test FILE\n");
        return 2;
    }
    path = argv[1];
    return wm_test_main(tests, WM_COUNT_OF(tests), argc - 1, argv + 1);
}
