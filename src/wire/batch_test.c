/* Statements and entries of batches: limits; the bytes are compared by ledger_vectors_test.c. */
#include "wire/batch.h"

#include <string.h>

#include "base/test.h"

static struct preprepare_claims largest_claims(void)
{
    struct preprepare_claims claims = {.cfg = LEDGER_SEQNO_MAX,
                                       .view = LEDGER_SEQNO_MAX,
                                       .seqno = LEDGER_SEQNO_MAX,
                                       .kind = BATCH_END,
                                       .phase = 2 * LEDGER_PIPELINE_MAX,
                                       .first_index = LEDGER_SEQNO_MAX,
                                       .ledger_size = LEDGER_SEQNO_MAX,
                                       .evidence = UINT64_MAX,
                                       .governance = LEDGER_SEQNO_MAX - 1,
                                       .checkpoint_seqno = LEDGER_SEQNO_MAX - 1,
                                       .has_committed_root = true};
    memset(claims.service, 1, sizeof claims.service);
    memset(claims.ledger_root, 2, sizeof claims.ledger_root);
    memset(claims.state_root, 3, sizeof claims.state_root);
    memset(claims.commitment, 4, sizeof claims.commitment);
    memset(claims.checkpoint_root, 5, sizeof claims.checkpoint_root);
    memset(claims.committed_root, 6, sizeof claims.committed_root);
    return claims;
}

TEST(the_largest_statements_fit)
{
    uint8_t bytes[PREPREPARE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    uint8_t entry[PREPREPARE_ENTRY_BYTES_MAX];
    static const uint8_t key[LEDGER_KEY_BYTES] = {7};
    struct preprepare_claims claims = largest_claims(), read;
    struct cose_statement statement;
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    preprepare_claims_put(&writer, &claims);
    REQUIRE(cbor_fits(&writer));
    REQUIRE(preprepare_claims_get(wm_view_of(bytes, writer.len), &read, NULL) == 0);
    CHECK(read.seqno == claims.seqno && read.evidence == UINT64_MAX && read.kind == BATCH_END);
    CHECK(memcmp(read.committed_root, claims.committed_root, sizeof read.committed_root) == 0);

    struct cbor_writer around = cbor_writer_of(header, sizeof header);
    cose_put_protected(&around, key, true, wm_view_of(bytes, writer.len));
    REQUIRE(cbor_fits(&around));
    REQUIRE(cose_header(wm_view_of(header, around.len), &statement));
    CHECK(statement.tree && statement.key[0] == 7);
    CHECK(wm_view_eq(statement.claims, wm_view_of(bytes, writer.len)));
    struct preprepare_entry whole = {.header = wm_view_of(header, around.len)}, again;
    struct cbor_writer out = cbor_writer_of(entry, sizeof entry);
    preprepare_entry_put(&out, &whole);
    REQUIRE(cbor_fits(&out));
    REQUIRE(preprepare_entry_get(wm_view_of(entry, out.len), &again, NULL));
    CHECK(wm_view_eq(again.header, whole.header));

    struct prepare_claims prepare = {.cfg = LEDGER_SEQNO_MAX,
                                     .view = LEDGER_SEQNO_MAX,
                                     .seqno = LEDGER_SEQNO_MAX,
                                     .replica = LEDGER_REPLICAS_MAX - 1};
    struct cbor_writer small = cbor_writer_of(bytes, PREPARE_CLAIMS_BYTES_MAX);
    prepare_claims_put(&small, &prepare);
    CHECK(cbor_fits(&small));
}

TEST(numbers_end_where_they_must)
{
    uint8_t bytes[2 * PREPREPARE_CLAIMS_BYTES_MAX];
    struct preprepare_claims read;
    uint64_t *const fields[] = {
        &read.cfg,         &read.view,       &read.seqno,           &read.first_index,
        &read.ledger_size, &read.governance, &read.checkpoint_seqno};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct wm_diag diag = WM_DIAG_INIT;
        struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
        read = largest_claims();
        *fields[i] = LEDGER_SEQNO_MAX + 1;
        preprepare_claims_put(&writer, &read);
        CHECK_INT(preprepare_claims_get(wm_view_of(bytes, writer.len), &read, &diag), ==,
                  WM_E_MALFORMED);
        CHECK(strstr(wm_diag_text(&diag), "larger than 2^48"));
    }
}

TEST(the_largest_evidence_fits)
{
    static uint8_t bytes[EVIDENCE_BYTES_MAX], again[EVIDENCE_BYTES_MAX];
    static struct evidence evidence, read;
    evidence.seqno = LEDGER_SEQNO_MAX;
    evidence.bitmap = UINT64_MAX;
    evidence.count = LEDGER_REPLICAS_MAX;
    evidence.shares[9].primary = true;
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX; i++) {
        evidence.shares[i].nonce[0] = (uint8_t)i;
    }
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    evidence_put(&writer, &evidence);
    REQUIRE(cbor_fits(&writer));
    REQUIRE(evidence_get(wm_view_of(bytes, writer.len), &read, NULL));
    CHECK_INT(read.count, ==, LEDGER_REPLICAS_MAX);
    CHECK(read.shares[9].primary && !read.shares[10].primary && read.shares[63].nonce[0] == 63);
    struct cbor_writer writer_again = cbor_writer_of(again, sizeof again);
    evidence_put(&writer_again, &read);
    CHECK(writer_again.len == writer.len && memcmp(again, bytes, writer.len) == 0);
}

TEST(kinds_of_entries)
{
    for (uint8_t kind = 0; kind <= 6; kind++) {
        const uint8_t entry[] = {0x82, kind, 0x00};
        CHECK_INT(entry_kind_of(wm_view_of(entry, sizeof entry)), ==, kind <= 5 ? kind : 0);
    }
    CHECK_INT(entry_kind_of(wm_view_of(NULL, 0)), ==, 0);
    CHECK_INT(entry_kind_of(wm_view_str("\xa1\x01\x01")), ==, 0);
    CHECK_INT(entry_kind_of(wm_view_str("\x82\x18\x01\x01")), ==, 0);
}

TEST(transactions_are_views)
{
    uint8_t bytes[1024];
    struct transaction_item item = {.request = wm_view_str("request"),
                                    .has_arguments = true,
                                    .arguments = wm_view_str("arguments"),
                                    .has_result = true,
                                    .result = wm_view_str("result"),
                                    .output = {.result_len = 6}},
                            read;
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    transactions_put_head(&writer, 7, 1);
    transaction_item_put(&writer, &item);
    REQUIRE(cbor_fits(&writer));
    struct cbor_reader reader = cbor_reader_of(wm_view_of(bytes, writer.len));
    uint64_t seqno;
    uint32_t count;
    REQUIRE(transactions_get_head(&reader, &seqno, &count) && seqno == 7 && count == 1);
    REQUIRE(transaction_item_get(&reader, &read) && cbor_end(&reader));
    CHECK(wm_view_eq_str(read.result, "result") && wm_view_eq_str(read.request, "request"));
    CHECK(read.arguments.ptr > bytes && read.arguments.ptr < bytes + writer.len);
}

TEST_MAIN(TEST_CASE(the_largest_statements_fit), TEST_CASE(numbers_end_where_they_must),
          TEST_CASE(the_largest_evidence_fits), TEST_CASE(kinds_of_entries),
          TEST_CASE(transactions_are_views))
