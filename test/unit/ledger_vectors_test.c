/* ledger_vectors_test.c FILE: the ledger's vectors, doc/format/vectors/ledger.json, which
 * tools/vectors made without our code. The good ones are made here from their fields, byte for
 * byte, then read and written again; as the first way is right, so is the second. The bad ones are
 * refused, each with a sentence. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/test.h"
#include "common/ledger_wire.h"
#include "crypto/merkle.h"
#include "proof/statement.h"
#include "unit/ledger_vectors_make.h"
#include "wire/cose.h"

static json_t *file;

static uint8_t buffer[1 << 19];

static const struct ledger_wire_format *format_of(const char *name)
{
    for (size_t i = 0; i < ledger_wire_format_count; i++) {
        if (strcmp(ledger_wire_formats[i].name, name) == 0) {
            return &ledger_wire_formats[i];
        }
    }
    return NULL;
}

static bool same(const struct cbor_writer *written, struct wm_view wanted)
{
    return written->len <= sizeof buffer && wm_view_eq(wm_view_of(buffer, written->len), wanted);
}

TEST(good_ones_are_made_and_read)
{
    json_t *good = json_object_get(file, "good"), *vector;
    size_t i, seen[64] = {0};
    REQUIRE(json_array_size(good) >= 80 && vector_kind_count <= WM_COUNT_OF(seen));
    json_array_foreach(good, i, vector)
    {
        const char *type = json_string_value(json_object_get(vector, "type"));
        struct wm_diag diag = WM_DIAG_INIT;
        size_t k = 0;
        vector_memory_used = 0;
        REQUIRE(type != NULL);
        while (k < vector_kind_count && strcmp(vector_kinds[k].name, type) != 0) {
            k++;
        }
        REQUIRE(k < vector_kind_count);
        seen[k]++;
        struct wm_view wanted = vector_bytes(json_object_get(vector, "bytes"));
        struct cbor_writer writer = cbor_writer_of(buffer, sizeof buffer);
        vector_kinds[k].put(json_object_get(vector, "fields"), &writer);
        bool ok =
            wm_test_check(same(&writer, wanted), __FILE__, __LINE__, "the fields make these bytes");
        const struct ledger_wire_format *format = format_of(type);
        if (format) { /* nobody reads a leaf */
            writer = cbor_writer_of(buffer, sizeof buffer);
            ok &= wm_test_check(format->again(wanted, &writer, &diag) && same(&writer, wanted),
                                __FILE__, __LINE__, "these bytes are read");
        }
        if (!ok) {
            wm_test_note("%s, %s: %s", type, json_string_value(json_object_get(vector, "name")),
                         wm_diag_text(&diag));
        }
    }
    for (size_t k = 0; k < vector_kind_count; k++) {
        CHECK(seen[k] > 0);
    }
}

/* Hexadecimal, or [before, a byte, how often, after]. */
static struct wm_view unpacked(const json_t *packed)
{
    if (json_is_string(packed)) {
        return vector_bytes(packed);
    }
    size_t start = vector_memory_used;
    size_t times = (size_t)json_integer_value(json_array_get(packed, 2));
    vector_bytes(json_array_get(packed, 0));
    struct wm_view byte = vector_bytes(json_array_get(packed, 1));
    if (byte.len != 1 || times > sizeof vector_memory - vector_memory_used) {
        CHECK(false);
        return wm_view_of(NULL, 0);
    }
    memset(vector_memory + vector_memory_used - 1, *byte.ptr, times);
    vector_memory_used += times - 1;
    vector_bytes(json_array_get(packed, 3));
    return wm_view_of(vector_memory + start, vector_memory_used - start);
}

TEST(bad_ones_are_refused)
{
    json_t *bad = json_object_get(file, "bad"), *vector;
    size_t i;
    REQUIRE(json_array_size(bad) >= 200);
    json_array_foreach(bad, i, vector)
    {
        const char *type = json_string_value(json_object_get(vector, "type"));
        const char *why = json_string_value(json_object_get(vector, "why"));
        struct wm_diag diag = WM_DIAG_INIT;
        vector_memory_used = 0;
        REQUIRE(type && why && format_of(type));
        struct wm_view bytes = unpacked(json_object_get(vector, "bytes"));
        struct cbor_writer writer = cbor_writer_of(buffer, sizeof buffer);
        bool refused = !format_of(type)->again(bytes, &writer, &diag);
        /* A reader that stops for another reason would not know of the version. */
        bool version = strncmp(why, "version 2", 9) != 0 || strstr(diag.text, "(2, not 1)");
        if (!wm_test_check(refused && diag.text[0] && diag.code == WM_E_MALFORMED && version,
                           __FILE__, __LINE__, "a bad vector is refused")) {
            wm_test_note("%s, %s: %s", type, why, wm_diag_text(&diag));
        }
    }
}

/* A bit that is flipped changes what was read, or is refused; and no beginning is a whole. */
TEST(flipped_and_cut)
{
    json_t *good = json_object_get(file, "good"), *vector;
    size_t i;
    json_array_foreach(good, i, vector)
    {
        const struct ledger_wire_format *format =
            format_of(json_string_value(json_object_get(vector, "type")));
        vector_memory_used = 0;
        struct wm_view view = vector_bytes(json_object_get(vector, "bytes"));
        size_t step = view.len > 2000 ? view.len / 400 : 1;
        for (size_t k = 0; format && k < view.len; k += step) {
            struct cbor_writer writer = cbor_writer_of(buffer, sizeof buffer);
            CHECK(!format->again(wm_view_of(view.ptr, k), &writer, NULL));
            vector_memory[k] ^= (uint8_t)(1u << k % 8);
            writer = cbor_writer_of(buffer, sizeof buffer);
            CHECK(!format->again(view, &writer, NULL) || same(&writer, view));
            vector_memory[k] ^= (uint8_t)(1u << k % 8);
        }
    }
}

/* Statements of replicas as COSE Receipts: the leaf and the path give the root, which is signed. */
TEST(receipts_of_replicas)
{
    json_t *receipts = json_object_get(file, "cose"), *vector;
    size_t i;
    REQUIRE(json_array_size(receipts) == 4);
    json_array_foreach(receipts, i, vector)
    {
        vector_memory_used = 0;
        struct wm_view bytes = vector_bytes(json_object_get(vector, "receipt"));
        struct cbor_reader reader = cbor_reader_of(bytes);
        struct cose_statement statement;
        struct wm_view wanted = vector_bytes(json_object_get(vector, "root"));
        struct wm_view key = vector_bytes(json_object_get(vector, "key"));
        merkle_hash leaf, root;
        REQUIRE(cose_sign1(&reader, &statement) && cbor_end(&reader));
        REQUIRE(statement.tree && statement.included && !statement.attached);
        merkle_leaf(vector_bytes(json_object_get(vector, "leaf")), leaf);
        CHECK(merkle_path_root(leaf, statement.inclusion.index, statement.inclusion.tree_size,
                               (const merkle_hash *)statement.inclusion.path,
                               statement.inclusion.path_len, root));
        CHECK(wm_view_eq(wm_view_of(root, sizeof root), wanted));
        REQUIRE(key.len == COSE_KEY_BYTES);
        CHECK_INT(statement_verify(&statement, root, key.ptr, "statement", NULL), ==, 0);
    }
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {
        TEST_CASE(good_ones_are_made_and_read), TEST_CASE(bad_ones_are_refused),
        TEST_CASE(flipped_and_cut), TEST_CASE(receipts_of_replicas)};
    json_error_t error;
    if (argc < 2) {
        fprintf(stderr, "usage: ledger_vectors_test FILE [TEST...]\n");
        return 2;
    }
    file = json_load_file(argv[1], 0, &error);
    if (!file) {
        fprintf(stderr, "%s: %s\n", argv[1], error.text);
        return 1;
    }
    int rc = wm_test_main(tests, WM_COUNT_OF(tests), argc - 1, argv + 1);
    json_decref(file);
    return rc;
}
