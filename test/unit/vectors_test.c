/* vectors_test.c FOLDER: the vectors of doc/format/vectors, which tools/vectors made without our
 * code: the good ones are made again here, byte for byte, and read; the bad ones are refused as
 * they say. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/test.h"
#include "crypto/merkle.h"
#include "faaslet/artefact.h"
#include "proof/receipt.h"
#include "proof/statement.h"
#include "store/seglog.h"
#include "store/seglog_format.h"
#include "store/vmap.h"

#define LEAVES_MAX 8u

static const char *folder;

static json_t *load(const char *name)
{
    char path[4096];
    json_error_t error;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    json_t *json = json_load_file(path, 0, &error);
    if (!json) {
        wm_test_note("%s: %s", path, error.text);
    }
    return json;
}

static size_t from_hex(const char *hex, uint8_t *out, size_t room)
{
    size_t len = hex ? strlen(hex) / 2 : 0;
    for (size_t i = 0; i < len && i < room; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return len;
}

static size_t bytes_at(const json_t *object, const char *name, uint8_t *out, size_t room)
{
    return from_hex(json_string_value(json_object_get(object, name)), out, room);
}

static uint64_t number_at(const json_t *object, const char *name)
{
    CHECK(json_is_integer(json_object_get(object, name)));
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static struct wm_view text_at(const json_t *object, const char *name)
{
    return wm_view_str(json_string_value(json_object_get(object, name)));
}

static bool hash_at(const json_t *object, const char *name, uint8_t *out)
{
    return bytes_at(object, name, out, 32) == 32;
}

static size_t put_record(const json_t *from, uint8_t out[RECORD_BYTES_MAX])
{
    struct record record = {
        .call_id = number_at(from, "call_id"),
        .tenant = text_at(from, "tenant"),
        .function = text_at(from, "function"),
        .version = (uint32_t)number_at(from, "version"),
        .end = text_at(from, "end"),
        .return_code = (int32_t)number_at(from, "return_code"),
        .cold = json_is_true(json_object_get(from, "cold")),
        .start_ns = number_at(from, "start_ns"),
        .wall_ns = number_at(from, "wall_ns"),
        .cpu_ns = number_at(from, "cpu_ns"),
        .fuel = number_at(from, "fuel"),
        .memory_peak_bytes = number_at(from, "memory_peak_bytes"),
        .input_bytes = number_at(from, "input_bytes"),
        .output_bytes = number_at(from, "output_bytes"),
        .state_bytes_pulled = number_at(from, "state_bytes_pulled"),
        .state_bytes_pushed = number_at(from, "state_bytes_pushed"),
        .net_bytes_in = number_at(from, "net_bytes_in"),
        .net_bytes_out = number_at(from, "net_bytes_out"),
        .node = text_at(from, "node"),
    };
    CHECK(bytes_at(from, "salt", record.salt, sizeof record.salt) == sizeof record.salt);
    CHECK(hash_at(from, "module_sha256", record.module_sha256));
    CHECK(hash_at(from, "input_sha256", record.input_sha256));
    record.has_image = hash_at(from, "image_sha256", record.image_sha256);
    record.has_output = hash_at(from, "output_sha256", record.output_sha256);
    struct cbor_writer writer = cbor_writer_of(out, RECORD_BYTES_MAX);
    record_put(&writer, &record);
    return writer.len;
}

static struct sign_key key_of(const json_t *file)
{
    uint8_t seed[32] = {0}, public_key[32] = {0};
    struct sign_key key;
    CHECK(hash_at(file, "seed", seed) && hash_at(file, "public_key", public_key));
    sign_key_init(&key, seed);
    CHECK(memcmp(key.public_key, public_key, 32) == 0);
    return key;
}

TEST(good_receipts_are_made_and_read)
{
    json_t *file = load("receipt.json"), *good = json_object_get(file, "good"), *vector;
    size_t at;
    REQUIRE(file && json_array_size(good) >= 8);
    struct sign_key key = key_of(file);
    json_array_foreach(good, at, vector)
    {
        uint8_t wanted[RECEIPT_BYTES_MAX], bytes[RECEIPT_BYTES_MAX], record[RECORD_BYTES_MAX];
        size_t wanted_len = bytes_at(vector, "bytes", wanted, sizeof wanted);
        json_t *root_json = json_object_get(vector, "root");
        struct record_root root = {.node = text_at(root_json, "node"),
                                   .run = number_at(root_json, "run"),
                                   .sequence = number_at(root_json, "sequence"),
                                   .second = number_at(root_json, "second"),
                                   .tree_size = number_at(root_json, "tree_size"),
                                   .lost = number_at(root_json, "lost")};
        struct wm_diag diag = WM_DIAG_INIT;
        struct receipt receipt;
        CHECK(hash_at(root_json, "previous", root.previous));
        size_t record_len = put_record(json_object_get(vector, "record"), record);
        int rc = receipt_verify(wm_view_of(wanted, wanted_len), key.public_key, &receipt, &diag);
        if (!wm_test_check(rc == 0, __FILE__, __LINE__, "a good receipt is accepted")) {
            wm_test_note("%s: %s", json_string_value(json_object_get(vector, "name")),
                         wm_diag_text(&diag));
            continue;
        }
        CHECK_INT(receipt.index, ==, number_at(vector, "index"));
        CHECK_INT(receipt.root.tree_size, ==, number_at(vector, "size"));

        /* The path is taken from the vector: its other records are not in it. */
        struct record_receipt parts, own = {.record = wm_view_of(record, record_len)};
        REQUIRE(record_receipt_get(wm_view_of(wanted, wanted_len), &parts, NULL) == 0);
        merkle_hash leaf, hash;
        merkle_leaf(own.record, leaf);
        CHECK(merkle_path_root(leaf, receipt.index, root.tree_size,
                               (const merkle_hash *)parts.root.inclusion.path,
                               parts.root.inclusion.path_len, hash));
        uint8_t claims[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
        struct cbor_writer writer = cbor_writer_of(claims, sizeof claims);
        record_root_put(&writer, &root);
        statement_sign(&key, true, wm_view_of(claims, writer.len), hash, header, &own.root);
        own.root.attached = false;
        own.root.included = true;
        own.root.inclusion = parts.root.inclusion;
        writer = cbor_writer_of(bytes, sizeof bytes);
        record_receipt_put(&writer, &own);
        CHECK_INT(writer.len, ==, wanted_len);
        CHECK(memcmp(bytes, wanted, wanted_len) == 0);
    }
    json_decref(file);
}

static void check_bad(const json_t *vector, int rc, const struct wm_diag *diag)
{
    const char *wanted = json_string_value(json_object_get(vector, "error"));
    if (!wm_test_check(strcmp(wm_error_name(rc), wanted) == 0 && diag->text[0], __FILE__, __LINE__,
                       "a bad vector is refused as it says")) {
        wm_test_note("%s: %s, wanted %s", json_string_value(json_object_get(vector, "name")),
                     wm_diag_text(diag), wanted);
    }
}

TEST(bad_receipts_are_refused)
{
    json_t *file = load("receipt.json"), *bad = json_object_get(file, "bad"), *vector;
    size_t at;
    REQUIRE(file && json_array_size(bad) >= 30);
    struct sign_key key = key_of(file);
    json_array_foreach(bad, at, vector)
    {
        uint8_t bytes[2 * RECEIPT_BYTES_MAX];
        size_t len = bytes_at(vector, "bytes", bytes, sizeof bytes);
        struct wm_diag diag = WM_DIAG_INIT;
        struct receipt receipt;
        check_bad(vector, receipt_verify(wm_view_of(bytes, len), key.public_key, &receipt, &diag),
                  &diag);
    }
    json_decref(file);
}

TEST(artefacts)
{
    json_t *file = load("artefact.json"), *vector;
    size_t at;
    REQUIRE(file && json_array_size(json_object_get(file, "good")) >= 3);
    REQUIRE(json_array_size(json_object_get(file, "bad")) >= 10);
    struct sign_key key = key_of(file);
    struct artefact_trust trust = {(const uint8_t(*)[SIGN_PUBLIC_BYTES])key.public_key, 1};
    json_array_foreach(json_object_get(file, "good"), at, vector)
    {
        uint8_t wanted[ARTEFACT_MANIFEST_BYTES_MAX], bytes[ARTEFACT_MANIFEST_BYTES_MAX];
        size_t wanted_len = bytes_at(vector, "bytes", wanted, sizeof wanted), len;
        json_t *from = json_object_get(vector, "artefact");
        struct artefact artefact = {.use = {.kind = (enum artefact_kind)number_at(from, "kind"),
                                            .format = (uint32_t)number_at(from, "format"),
                                            .abi = (uint32_t)number_at(from, "abi")},
                                    .file_bytes = number_at(from, "file_bytes"),
                                    .made_s = number_at(from, "made_s")},
                        got;
        struct wm_diag diag = WM_DIAG_INIT;
        CHECK(hash_at(vector, "sha256", artefact.sha256));
        CHECK(hash_at(from, "module_sha256", artefact.use.module_sha256));
        CHECK(hash_at(from, "function_sha256", artefact.use.function_sha256));
        snprintf(artefact.node, sizeof artefact.node, "%s",
                 json_string_value(json_object_get(from, "node")));
        artefact_manifest(&artefact, &key, bytes, &len);
        CHECK_INT(len, ==, wanted_len);
        CHECK(memcmp(bytes, wanted, wanted_len) == 0);
        CHECK_INT(artefact_check(wm_view_of(wanted, wanted_len), &trust, &got, &diag), ==, 0);
        CHECK_INT(artefact_fits(&got, &artefact.use, &diag), ==, 0);
    }
    json_array_foreach(json_object_get(file, "bad"), at, vector)
    {
        uint8_t bytes[ARTEFACT_MANIFEST_BYTES_MAX];
        size_t len = bytes_at(vector, "bytes", bytes, sizeof bytes);
        struct wm_diag diag = WM_DIAG_INIT;
        struct artefact got;
        check_bad(vector, artefact_check(wm_view_of(bytes, len), &trust, &got, &diag), &diag);
    }
    json_decref(file);
}

/* --- States --- */

static void proof_at(const json_t *from, struct trie_proof *out)
{
    const json_t *path = json_object_get(from, "path");
    memset(out, 0, sizeof *out);
    out->empty = json_is_null(from);
    if (!out->empty) {
        CHECK(hash_at(from, "key_hash", out->key_hash));
        CHECK(hash_at(from, "value_hash", out->value_hash));
        CHECK(json_array_size(path) <= TRIE_PATH_MAX);
        out->path_len = (uint32_t)json_array_size(path);
        for (uint32_t i = 0; i < out->path_len; i++) {
            const json_t *step = json_array_get(path, i);
            out->path[i].bit = (uint8_t)json_integer_value(json_array_get(step, 0));
            CHECK(from_hex(json_string_value(json_array_get(step, 1)), out->path[i].sibling, 32) ==
                  32);
        }
    }
}

static void check_state(const json_t *vector)
{
    static struct trie_proof wanted, proof;
    uint8_t key[VMAP_KEY_BYTES_MAX], value[64];
    trie_hash root, wanted_root, key_hash;
    json_t *item;
    size_t at;
    struct vmap *map = vmap_new(0);
    REQUIRE(map);
    json_array_foreach(json_object_get(vector, "pairs"), at, item)
    {
        size_t len = from_hex(json_string_value(json_array_get(item, 0)), key, sizeof key);
        size_t value_len =
            from_hex(json_string_value(json_array_get(item, 1)), value, sizeof value);
        CHECK(vmap_put(map, wm_view_of(key, len), wm_view_of(value, value_len)) == 0);
    }
    vmap_root(map, root);
    CHECK(hash_at(vector, "root", wanted_root));
    CHECK(memcmp(root, wanted_root, sizeof root) == 0);
    CHECK(vmap_mark(map, 1) == 0);
    json_array_foreach(json_object_get(vector, "proofs"), at, item)
    {
        size_t len = bytes_at(item, "key", key, sizeof key);
        bool present = json_is_true(json_object_get(item, "present"));
        proof_at(json_object_get(item, "proof"), &wanted);
        vmap_prove(map, 1, wm_view_of(key, len), &proof);
        CHECK(proof.empty == wanted.empty && proof.path_len == wanted.path_len);
        if (!proof.empty) {
            CHECK(memcmp(proof.key_hash, wanted.key_hash, sizeof proof.key_hash) == 0);
            CHECK(memcmp(proof.value_hash, wanted.value_hash, sizeof proof.value_hash) == 0);
            CHECK(memcmp(proof.path, wanted.path, proof.path_len * sizeof *proof.path) == 0);
        }
        wm_sha256_once(wm_view_of(key, len), key_hash);
        CHECK(trie_check(&wanted, key_hash, root) == (present ? TRIE_PRESENT : TRIE_ABSENT));
    }
    vmap_free(map);
}

TEST(states)
{
    json_t *file = load("trie.json"), *vector;
    size_t at;
    REQUIRE(file && json_array_size(json_object_get(file, "good")) >= 6);
    REQUIRE(json_array_size(json_object_get(file, "bad")) >= 10);
    json_array_foreach(json_object_get(file, "good"), at, vector)
    {
        check_state(vector);
    }
    json_array_foreach(json_object_get(file, "bad"), at, vector)
    {
        static struct trie_proof proof;
        uint8_t key[VMAP_KEY_BYTES_MAX];
        trie_hash root, key_hash;
        size_t len = bytes_at(vector, "key", key, sizeof key);
        CHECK(hash_at(vector, "root", root));
        proof_at(json_object_get(vector, "proof"), &proof);
        wm_sha256_once(wm_view_of(key, len), key_hash);
        if (!wm_test_check(trie_check(&proof, key_hash, root) == TRIE_WRONG, __FILE__, __LINE__,
                           "a bad proof shows nothing")) {
            wm_test_note("%s", json_string_value(json_object_get(vector, "name")));
        }
    }
    json_decref(file);
}

/* --- Segments of a log --- */

/* A record's bytes: as they are, or one byte so often. */
static struct wm_view record_bytes(const json_t *record)
{
    static uint8_t bytes[32768];
    uint8_t one;
    if (!json_object_get(record, "repeat")) {
        return wm_view_of(bytes, bytes_at(record, "bytes", bytes, sizeof bytes));
    }
    size_t len = (size_t)number_at(record, "length");
    CHECK(bytes_at(record, "repeat", &one, 1) == 1 && len <= sizeof bytes);
    memset(bytes, one, len);
    return wm_view_of(bytes, len);
}

static bool has_bytes(const json_t *object, const char *name, struct wm_view there)
{
    uint8_t wanted[1024];
    size_t len = bytes_at(object, name, wanted, sizeof wanted);
    return len <= sizeof wanted && wm_view_eq(there, wm_view_of(wanted, len));
}

static void check_sealed(const char *path, const json_t *wanted)
{
    static uint8_t file[65536];
    char name[512];
    uint8_t sha256[32];
    snprintf(name, sizeof name, "%s/%s", path, json_string_value(json_object_get(wanted, "name")));
    FILE *in = fopen(name, "rb");
    CHECK(in != NULL);
    if (!in) {
        return;
    }
    size_t len = fread(file, 1, sizeof file, in);
    fclose(in);
    REQUIRE(len > 4096 + 64);
    CHECK(has_bytes(wanted, "header", wm_view_of(file, 76)));
    CHECK(has_bytes(wanted, "header_crc", wm_view_of(file + 4092, 4)));
    CHECK(has_bytes(wanted, "footer", wm_view_of(file + len - 64, 64)));
    struct wm_view body = wm_view_of(file + 4096, len - 4096 - 64);
    wm_sha256_once(body, sha256);
    CHECK(json_object_get(wanted, "body")
              ? has_bytes(wanted, "body", body)
              : has_bytes(wanted, "body_sha256", wm_view_of(sha256, 32)));
    unlink(name);
}

TEST(logs)
{
    json_t *json = load("seglog.json");
    REQUIRE(json != NULL);
    char path[] = "/tmp/wm-vectors-XXXXXX";
    REQUIRE(mkdtemp(path) != NULL);
    struct seglog_config config = {.path = path,
                                   .segment_bytes = number_at(json, "segment_bytes"),
                                   .seal = true,
                                   .no_sync = true};
    CHECK(hash_at(json, "label", config.label));
    struct seglog *log;
    struct seglog_opened opened;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(seglog_open(&config, &log, &opened, &diag) == 0);
    json_t *segments = json_object_get(json, "segments"), *segment, *record;
    size_t i, k;
    uint64_t number;
    json_array_foreach(segments, i, segment)
    {
        if (i > 0 && json_is_true(json_object_get(segment, "by_cut"))) {
            CHECK_INT(seglog_cut(log, &diag), ==, 0);
        }
        json_array_foreach(json_object_get(segment, "records"), k, record)
        {
            CHECK_INT(seglog_append(log, (uint8_t)number_at(record, "kind"), record_bytes(record),
                                    &number, &diag),
                      ==, 0);
        }
    }
    CHECK_INT(seglog_cut(log, &diag), ==, 0);
    seglog_close(log);
    json_array_foreach(segments, i, segment)
    {
        check_sealed(path, segment);
    }
    char name[64];
    snprintf(name, sizeof name, "%s/%016zx.log", path, i);
    CHECK_INT(unlink(name), ==, 0);
    snprintf(name, sizeof name, "%s/spare", path);
    (void)unlink(name);
    snprintf(name, sizeof name, "%s/lock", path);
    CHECK_INT(unlink(name), ==, 0);
    CHECK_INT(rmdir(path), ==, 0);

    const json_t *part = json_object_get(json, "mark");
    struct seglog_mark mark = {number_at(part, "end"), number_at(part, "next")}, mark_again;
    uint8_t bytes[64];
    seglog_mark_put(&mark, number_at(part, "segment"), bytes);
    CHECK(has_bytes(part, "bytes", wm_view_of(bytes, SEGLOG_MARK_BYTES)));
    CHECK_INT(seglog_mark_get(wm_view_of(bytes, SEGLOG_MARK_BYTES), number_at(part, "segment"),
                              &mark_again),
              ==, SEGLOG_MARK_GOOD);
    CHECK(mark_again.end == mark.end && mark_again.next == mark.next);

    part = json_object_get(json, "truncation");
    struct seglog_truncation truncation = {number_at(part, "next"), number_at(part, "segment"),
                                           number_at(part, "zero_until")};
    seglog_truncation_put(&truncation, number_at(part, "holder"), bytes);
    CHECK(has_bytes(part, "bytes", wm_view_of(bytes, SEGLOG_TRUNCATION_BYTES)));
    json_decref(json);
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {
        TEST_CASE(good_receipts_are_made_and_read), TEST_CASE(bad_receipts_are_refused),
        TEST_CASE(artefacts), TEST_CASE(states), TEST_CASE(logs)};
    if (argc < 2) {
        fprintf(stderr, "usage: vectors_test FOLDER [TEST...]\n");
        return 2;
    }
    folder = argv[1];
    return wm_test_main(tests, WM_COUNT_OF(tests), argc - 1, argv + 1);
}
