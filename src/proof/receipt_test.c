/* receipt_test.c: receipts that are right, and every bit of them flipped; roots and their chain. */
#include "proof/receipt.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"
#include "crypto/merkle.h"
#include "proof/statement.h"

#define COUNT 11u

static struct sign_key node_key, other_key;
static uint8_t records[COUNT][RECORD_BYTES_MAX];
static size_t record_bytes[COUNT];
static merkle_hash hashes[2 * COUNT + MERKLE_LEVELS_MAX];
static uint8_t root_header[COSE_PROTECTED_BYTES_MAX], root_claims[COSE_CLAIMS_BYTES_MAX];

static void make_record(uint32_t i)
{
    struct record record = {
        .call_id = 1000 + i,
        .tenant = wm_view_str("acme"),
        .function = wm_view_str("resize"),
        .version = 3,
        .has_image = i % 2,
        .has_output = true,
        .end = wm_view_str("ok"),
        .return_code = -(int32_t)i,
        .cold = i % 3 == 0,
        .start_ns = UINT64_C(1700000000123456789) + i,
        .wall_ns = 1500 * i,
        .cpu_ns = 1400 * i,
        .fuel = 77,
        .memory_peak_bytes = 1 << 20,
        .input_bytes = i,
        .output_bytes = 2 * i,
        .node = wm_view_str("node-a"),
    };
    memset(record.salt, (int)i, sizeof record.salt);
    memset(record.module_sha256, 0xa1, 32);
    memset(record.image_sha256, 0xb2, 32);
    memset(record.input_sha256, 0xc3, 32);
    memset(record.output_sha256, 0xd4, 32);
    struct cbor_writer writer = cbor_writer_of(records[i], sizeof records[i]);
    record_put(&writer, &record);
    record_bytes[i] = writer.len;
    merkle_leaf(wm_view_of(records[i], writer.len), hashes[i]);
}

static struct record_root root_of(uint64_t sequence, uint64_t second)
{
    return (struct record_root){.node = wm_view_str("node-a"),
                                .run = 1,
                                .sequence = sequence,
                                .second = second,
                                .tree_size = COUNT};
}

static void sign_root(const struct record_root *root, struct cose_statement *out)
{
    struct cbor_writer writer = cbor_writer_of(root_claims, sizeof root_claims);
    record_root_put(&writer, root);
    statement_sign(&node_key, true, wm_view_of(root_claims, writer.len),
                   hashes[merkle_hashes(COUNT) - 1], root_header, out);
}

static void setup(void)
{
    uint8_t seed[32] = {1};
    sign_key_init(&node_key, seed);
    seed[0] = 2;
    sign_key_init(&other_key, seed);
    for (uint32_t i = 0; i < COUNT; i++) {
        make_record(i);
    }
    merkle_build(hashes, COUNT);
}

static size_t make_receipt(uint32_t index, struct record_root root, uint8_t *out)
{
    struct record_receipt receipt = {.record = wm_view_of(records[index], record_bytes[index])};
    sign_root(&root, &receipt.root);
    receipt.root.attached = false;
    receipt.root.included = true;
    receipt.root.inclusion.tree_size = COUNT;
    receipt.root.inclusion.index = index;
    receipt.root.inclusion.path_len =
        merkle_path((const merkle_hash *)hashes, COUNT, index, receipt.root.inclusion.path);
    struct cbor_writer writer = cbor_writer_of(out, RECEIPT_BYTES_MAX);
    record_receipt_put(&writer, &receipt);
    return cbor_fits(&writer) ? writer.len : 0;
}

TEST(a_receipt_says_what_was_recorded)
{
    setup();
    for (uint32_t i = 0; i < COUNT; i++) {
        uint8_t bytes[RECEIPT_BYTES_MAX];
        size_t len = make_receipt(i, root_of(5, 1700000001), bytes);
        struct receipt receipt = {.index = 99};
        struct wm_diag diag = WM_DIAG_INIT;
        REQUIRE(len > 0);
        CHECK_INT(receipt_verify(wm_view_of(bytes, len), node_key.public_key, &receipt, &diag), ==,
                  0);
        CHECK_INT(diag.code, ==, 0);
        CHECK_INT(receipt.index, ==, i);
        CHECK_INT(receipt.record.call_id, ==, 1000 + i);
        CHECK_INT(receipt.record.return_code, ==, -(int)i);
        CHECK_INT(receipt.record.has_image, ==, i % 2);
        CHECK(wm_view_eq_str(receipt.record.tenant, "acme"));
        CHECK(wm_view_eq_str(receipt.record.end, "ok"));
        CHECK_INT(receipt.root.second, ==, 1700000001);
        CHECK_INT(receipt.root.sequence, ==, 5);
        memset(&receipt, 0, sizeof receipt);
        CHECK_INT(receipt_verify(wm_view_of(bytes, len), NULL, &receipt, NULL), ==, 0);
        CHECK(memcmp(receipt.key, node_key.public_key, 32) == 0);
        CHECK_INT(receipt_verify(wm_view_of(bytes, len), other_key.public_key, &receipt, &diag), ==,
                  WM_E_DENIED);
    }
}

TEST(every_flipped_bit_is_refused_with_a_reason)
{
    setup();
    unsigned malformed = 0, forged = 0;
    for (uint32_t index = 0; index < COUNT; index += 5) {
        uint8_t bytes[RECEIPT_BYTES_MAX];
        size_t len = make_receipt(index, root_of(5, 1700000001), bytes);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            struct receipt receipt = {.index = 99};
            struct wm_diag diag = WM_DIAG_INIT;
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int rc = receipt_verify(wm_view_of(bytes, len), NULL, &receipt, &diag);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(rc == WM_E_MALFORMED || rc == WM_E_FORGED);
            CHECK(strlen(diag.text) > 20 && strncmp(diag.text, "receipt: ", 9) == 0);
            CHECK_INT(receipt.index, ==, 99);
            malformed += rc == WM_E_MALFORMED;
            forged += rc == WM_E_FORGED;
        }
        for (size_t cut = 0; cut < len; cut++) {
            struct receipt receipt;
            CHECK_INT(receipt_verify(wm_view_of(bytes, cut), NULL, &receipt, NULL), ==,
                      WM_E_MALFORMED);
        }
    }
    wm_test_note("%u bits made it malformed, %u forged", malformed, forged);
    CHECK(malformed > 100 && forged > 1000);
}

/* Parts of genuine receipts, put together wrongly. */
TEST(parts_of_different_receipts_do_not_fit)
{
    setup();
    uint8_t bytes[RECEIPT_BYTES_MAX];
    struct record_receipt a, mixed;
    struct receipt receipt;
    struct wm_diag diag;
    size_t len = make_receipt(4, root_of(5, 1700000001), bytes);
    REQUIRE(record_receipt_get(wm_view_of(bytes, len), &a, NULL) == 0);
    uint8_t out[RECEIPT_BYTES_MAX];

#define REFUSED(wanted)                                                                            \
    do {                                                                                           \
        struct cbor_writer writer = cbor_writer_of(out, sizeof out);                               \
        record_receipt_put(&writer, &mixed);                                                       \
        diag = (struct wm_diag)WM_DIAG_INIT;                                                       \
        CHECK_INT(receipt_verify(wm_view_of(out, writer.len), NULL, &receipt, &diag), ==, wanted); \
        CHECK((diag.code == 0) == ((wanted) == 0));                                                \
    } while (0)
    mixed = a;
    mixed.record = wm_view_of(records[6], record_bytes[6]); /* a neighbour's record */
    REFUSED(WM_E_FORGED);
    mixed = a;
    mixed.root.inclusion.index = 5;
    REFUSED(WM_E_FORGED);
    mixed.root.inclusion.index = COUNT;
    REFUSED(WM_E_FORGED);
    mixed = a;
    mixed.root.inclusion.tree_size++;
    REFUSED(WM_E_FORGED);
    mixed = a;
    mixed.root.inclusion.path_len--;
    REFUSED(WM_E_FORGED);
    mixed = a;
    memcpy(mixed.root.key, other_key.public_key, 32); /* not what is written: header decides */
    struct cose_statement forged;
    uint8_t header[COSE_PROTECTED_BYTES_MAX];
    statement_sign(&other_key, true, a.root.claims, hashes[merkle_hashes(COUNT) - 1], header,
                   &forged);
    memcpy(mixed.root.signature, forged.signature, 64);
    REFUSED(WM_E_FORGED);
    mixed.root.protected_header =
        forged.protected_header; /* all of the other's: genuine, not ours */
    REFUSED(0);
    /* Not under a tree; another type; a payload; no proof. */
    mixed = a;
    statement_sign(&node_key, false, a.root.claims, hashes[merkle_hashes(COUNT) - 1], header,
                   &forged);
    mixed.root.protected_header = forged.protected_header;
    memcpy(mixed.root.signature, forged.signature, 64);
    REFUSED(WM_E_MALFORMED);
    static const uint8_t artefact_claims[] = {0x82, 0x04, 0x01};
    statement_sign(&node_key, true, wm_view_of(artefact_claims, 3),
                   hashes[merkle_hashes(COUNT) - 1], header, &forged);
    mixed.root.protected_header = forged.protected_header;
    memcpy(mixed.root.signature, forged.signature, 64);
    REFUSED(WM_E_MALFORMED);
    mixed = a;
    mixed.root.attached = true;
    REFUSED(WM_E_MALFORMED);
    mixed = a;
    mixed.root.included = false;
    REFUSED(WM_E_MALFORMED);
#undef REFUSED
}

TEST(a_record_under_another_nodes_root_is_refused)
{
    setup();
    uint8_t bytes[RECEIPT_BYTES_MAX];
    struct record_root root = root_of(0, 1700000001);
    struct receipt receipt;
    root.node = wm_view_str("node-b");
    size_t len = make_receipt(1, root, bytes);
    CHECK_INT(receipt_verify(wm_view_of(bytes, len), NULL, &receipt, NULL), ==, WM_E_FORGED);
}

TEST(the_largest_of_everything_fits)
{
    static uint8_t text[RECORD_NAME_BYTES_MAX + 1];
    memset(text, 'x', sizeof text);
    struct record record = {
        .tenant = wm_view_of(text, RECORD_NAME_BYTES_MAX),
        .function = wm_view_of(text, RECORD_NAME_BYTES_MAX),
        .node = wm_view_of(text, RECORD_NAME_BYTES_MAX),
        .end = wm_view_of(text, RECORD_END_BYTES_MAX),
        .call_id = UINT64_MAX,
        .version = UINT32_MAX,
        .has_image = true,
        .has_output = true,
        .return_code = INT32_MIN,
        .start_ns = UINT64_MAX,
        .wall_ns = UINT64_MAX,
        .cpu_ns = UINT64_MAX,
        .fuel = UINT64_MAX,
        .memory_peak_bytes = UINT64_MAX,
        .input_bytes = UINT64_MAX,
        .output_bytes = UINT64_MAX,
        .state_bytes_pulled = UINT64_MAX,
        .state_bytes_pushed = UINT64_MAX,
        .net_bytes_in = UINT64_MAX,
        .net_bytes_out = UINT64_MAX,
    };
    uint8_t bytes[RECORD_BYTES_MAX], receipt_bytes[RECEIPT_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    record_put(&writer, &record);
    wm_test_note("largest record: %zu bytes", writer.len);
    CHECK(cbor_fits(&writer));
    struct record back;
    struct cbor_reader reader = cbor_reader_of(wm_view_of(bytes, writer.len));
    CHECK(record_get(&reader, &back) && cbor_end(&reader));
    CHECK(back.return_code == INT32_MIN && back.net_bytes_out == UINT64_MAX);

    struct record_root root = {wm_view_of(text, RECORD_NAME_BYTES_MAX),
                               UINT64_MAX,
                               UINT64_MAX,
                               UINT64_MAX,
                               RECORD_SECOND_MAX,
                               UINT64_MAX,
                               {0}};
    struct record_receipt receipt = {.record = wm_view_of(bytes, writer.len)};
    sign_root(&root, &receipt.root);
    receipt.root.attached = false;
    receipt.root.included = true;
    receipt.root.inclusion =
        (struct cose_inclusion){RECORD_SECOND_MAX, RECORD_SECOND_MAX - 1, COSE_PATH_MAX, {{0}}};
    struct cbor_writer whole = cbor_writer_of(receipt_bytes, sizeof receipt_bytes);
    record_receipt_put(&whole, &receipt);
    wm_test_note("largest receipt: %zu bytes", whole.len);
    CHECK(cbor_fits(&whole));
    struct record_receipt parts;
    CHECK_INT(record_receipt_get(wm_view_of(receipt_bytes, whole.len), &parts, NULL), ==, 0);

    /* And one byte more does not. */
    record.tenant.len++;
    writer = cbor_writer_of(bytes, sizeof bytes);
    record_put(&writer, &record);
    reader = cbor_reader_of(wm_view_of(bytes, writer.len));
    CHECK(!record_get(&reader, &back));
    record.tenant.len = 0;
    writer = cbor_writer_of(bytes, sizeof bytes);
    record_put(&writer, &record);
    reader = cbor_reader_of(wm_view_of(bytes, writer.len));
    CHECK(!record_get(&reader, &back));
}

static void make_signed_root(const struct record_root *root, uint8_t *bytes, size_t *len)
{
    struct cose_statement statement;
    sign_root(root, &statement);
    struct cbor_writer writer = cbor_writer_of(bytes, COSE_SIGN1_BYTES_MAX);
    cose_put_sign1(&writer, &statement);
    *len = writer.len;
}

TEST(roots_make_a_chain)
{
    setup();
    uint8_t a_bytes[COSE_SIGN1_BYTES_MAX], b_bytes[COSE_SIGN1_BYTES_MAX];
    size_t a_len, b_len;
    struct signed_root a, b;
    struct record_root root = root_of(0, 1700000001);
    make_signed_root(&root, a_bytes, &a_len);
    REQUIRE(signed_root_verify(wm_view_of(a_bytes, a_len), node_key.public_key, &a, NULL) == 0);
    for (size_t bit = 0; bit < 8 * a_len; bit++) {
        struct wm_diag diag = WM_DIAG_INIT;
        a_bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = signed_root_verify(wm_view_of(a_bytes, a_len), NULL, &b, &diag);
        a_bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(rc == WM_E_FORGED || rc == WM_E_MALFORMED);
    }

    struct record_root next = root_of(1, 1700000002);
    memcpy(next.previous, a.signed_sha256, 32);
    struct {
        struct record_root root;
        int rc;
    } cases[] = {{next, 0},
                 {next, WM_E_FORGED},
                 {next, WM_E_FORGED},
                 {next, WM_E_FORGED},
                 {next, WM_E_FORGED}};
    cases[1].root.sequence = 2;
    cases[2].root.previous[0] ^= 1;
    cases[3].root.second = 1700000001;
    cases[4].root.run = 0;
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        make_signed_root(&cases[i].root, b_bytes, &b_len);
        REQUIRE(signed_root_verify(wm_view_of(b_bytes, b_len), NULL, &b, NULL) == 0);
        CHECK_INT(signed_root_follows(&a, &b, NULL), ==, cases[i].rc);
    }
}

TEST_MAIN(TEST_CASE(a_receipt_says_what_was_recorded),
          TEST_CASE(every_flipped_bit_is_refused_with_a_reason),
          TEST_CASE(parts_of_different_receipts_do_not_fit),
          TEST_CASE(a_record_under_another_nodes_root_is_refused),
          TEST_CASE(the_largest_of_everything_fits), TEST_CASE(roots_make_a_chain))
