/* Quorums, receipts, chain, state proofs, blame: limits; the bytes are compared by
 * ledger_vectors_test.c. */
#include "wire/quorum.h"

#include <string.h>

#include "base/test.h"

static uint8_t header[COSE_PROTECTED_BYTES_MAX], request[REQUEST_BYTES_MAX];

static void largest_quorum(struct quorum *out)
{
    *out = (struct quorum){.header = wm_view_of(header, sizeof header),
                           .has_root = true,
                           .has_primary_nonce = true,
                           .count = LEDGER_REPLICAS_MAX - 1};
    for (uint32_t i = 0; i < out->count; i++) {
        out->shares[i].replica = i;
    }
}

TEST(the_largest_receipt_fits)
{
    static uint8_t bytes[LEDGER_RECEIPT_BYTES_MAX], again[LEDGER_RECEIPT_BYTES_MAX];
    static struct ledger_receipt receipt, read;
    receipt = (struct ledger_receipt){.request = wm_view_of(request, sizeof request),
                                      .index = LEDGER_SEQNO_MAX,
                                      .position = LEDGER_BATCH_MAX - 1,
                                      .path_len = BATCH_PATH_MAX,
                                      .chained = true,
                                      .header = wm_view_of(header, sizeof header),
                                      .leaf = LEDGER_SEQNO_MAX,
                                      .chain_len = LEDGER_PATH_MAX};
    largest_quorum(&receipt.quorum);
    struct cbor_writer quorum = cbor_writer_of(bytes, QUORUM_BYTES_MAX);
    quorum_put(&quorum, &receipt.quorum);
    CHECK(cbor_fits(&quorum));
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    ledger_receipt_put(&writer, &receipt);
    REQUIRE(cbor_fits(&writer));
    CHECK_INT(ledger_receipt_get(wm_view_of(bytes, writer.len), &read, NULL), ==, 0);
    struct cbor_writer writer_again = cbor_writer_of(again, sizeof again);
    ledger_receipt_put(&writer_again, &read);
    CHECK(writer_again.len == writer.len && memcmp(again, bytes, writer.len) == 0);
}

TEST(links_of_each_kind)
{
    static uint8_t bytes[32768];
    static struct chain_link link, read;
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    chain_put_head(&writer, 3);
    link = (struct chain_link){.kind = CHAIN_TRANSACTION,
                               .receipt = wm_view_str("receipt"),
                               .arguments = wm_view_str("arguments"),
                               .result = wm_view_str("")};
    chain_link_put(&writer, &link);
    link.kind = CHAIN_ENDED;
    largest_quorum(&link.quorum);
    chain_link_put(&writer, &link);
    link.kind = CHAIN_ENDED_BY;
    link.certificate.is_there = true;
    link.certificate.preprepare.header = wm_view_of(header, sizeof header);
    chain_link_put(&writer, &link);
    REQUIRE(cbor_fits(&writer));
    struct cbor_reader reader = cbor_reader_of(wm_view_of(bytes, writer.len));
    uint64_t links;
    REQUIRE(chain_get_head(&reader, &links) && links == 3);
    CHECK(chain_link_get(&reader, &read) && read.kind == CHAIN_TRANSACTION);
    CHECK(wm_view_eq_str(read.arguments, "arguments") && read.result.len == 0);
    CHECK(chain_link_get(&reader, &read) && read.kind == CHAIN_ENDED);
    CHECK_INT(read.quorum.count, ==, LEDGER_REPLICAS_MAX - 1);
    CHECK(chain_link_get(&reader, &read) && read.kind == CHAIN_ENDED_BY);
    CHECK(read.certificate.is_there && cbor_end(&reader));
}

TEST(an_empty_state)
{
    static struct state_proof proof;
    struct cbor_reader reader = cbor_reader_of(wm_view_str("\xf6"));
    REQUIRE(state_proof_get(&reader, &proof) && cbor_end(&reader));
    CHECK(proof.empty && proof.path_len == 0);
    reader = cbor_reader_of(wm_view_str("\xf5"));
    CHECK(!state_proof_get(&reader, &proof));
}

TEST(kinds_of_blame)
{
    static const ledger_hash service = {1};
    for (unsigned kind = BLAME_EQUIVOCATION; kind <= BLAME_GOVERNANCE; kind++) {
        uint8_t bytes[128];
        struct blame blame;
        struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
        blame_put_head(&writer, service, wm_view_str("\x80"), (enum blame_kind)kind, 2);
        cbor_put_uint(&writer, 7);
        cbor_put_text(&writer, wm_view_str("part"));
        REQUIRE(cbor_fits(&writer));
        REQUIRE(blame_get(wm_view_of(bytes, writer.len), &blame, NULL) == 0);
        CHECK_INT(blame.kind, ==, kind);
        CHECK(blame.parts == 2 && wm_view_eq_str(blame.encoded, "\x07\x64part"));
        CHECK(wm_view_eq_str(blame.chain, "\x80") && blame.service[0] == 1);
    }
    CHECK_STR(blame_kind_text(BLAME_NEW_VIEW), "new-view");
    CHECK(!blame_kind_text((enum blame_kind)0) && !blame_kind_text((enum blame_kind)9));
}

TEST_MAIN(TEST_CASE(the_largest_receipt_fits), TEST_CASE(links_of_each_kind),
          TEST_CASE(an_empty_state), TEST_CASE(kinds_of_blame))
