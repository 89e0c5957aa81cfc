/* View-changes and new-views: limits; the bytes are compared by ledger_vectors_test.c. */
#include "wire/viewchange.h"

#include <string.h>

#include "base/test.h"

static uint8_t header[COSE_PROTECTED_BYTES_MAX];

static void largest_certificate(struct certificate *out)
{
    *out = (struct certificate){.is_there = true, .count = LEDGER_REPLICAS_MAX - 1};
    out->preprepare.header = wm_view_of(header, sizeof header);
    for (uint32_t i = 0; i < out->count; i++) {
        out->prepares[i].replica = i + 1;
    }
}

TEST(the_largest_certificate_fits)
{
    static uint8_t bytes[CERTIFICATE_BYTES_MAX], whole[VIEWCHANGE_BYTES_MAX];
    static struct certificate certificate, read;
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    largest_certificate(&certificate);
    certificate_put(&writer, &certificate);
    REQUIRE(cbor_fits(&writer));
    struct cbor_reader reader = cbor_reader_of(wm_view_of(bytes, writer.len));
    REQUIRE(certificate_get(&reader, &read) && cbor_end(&reader));
    CHECK_INT(read.count, ==, LEDGER_REPLICAS_MAX - 1);
    CHECK_INT(read.prepares[62].replica, ==, 63);

    struct viewchange change = {.header = wm_view_of(header, sizeof header),
                                .certificate = wm_view_of(bytes, writer.len)},
                      again;
    struct cbor_writer around = cbor_writer_of(whole, sizeof whole);
    viewchange_put(&around, &change);
    REQUIRE(cbor_fits(&around));
    reader = cbor_reader_of(wm_view_of(whole, around.len));
    REQUIRE(viewchange_get(&reader, &again) && cbor_end(&reader));
    CHECK(wm_view_eq(again.certificate, change.certificate));
    CHECK(VIEWCHANGES_BYTES_MAX >= 16 + (uint64_t)LEDGER_REPLICAS_MAX * around.len);
}

TEST(none_is_null)
{
    static struct certificate certificate;
    struct cbor_reader reader = cbor_reader_of(wm_view_str("\xf6"));
    REQUIRE(certificate_get(&reader, &certificate) && cbor_end(&reader));
    CHECK(!certificate.is_there && certificate.count == 0);
}

TEST(the_largest_claims_fit)
{
    uint8_t bytes[VIEWCHANGE_CLAIMS_BYTES_MAX];
    struct viewchange_claims change = {.cfg = LEDGER_SEQNO_MAX,
                                       .view = LEDGER_SEQNO_MAX,
                                       .replica = 63,
                                       .has_top = true,
                                       .top_view = LEDGER_SEQNO_MAX - 1,
                                       .top_seqno = LEDGER_SEQNO_MAX},
                             read;
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    viewchange_claims_put(&writer, &change);
    REQUIRE(cbor_fits(&writer));
    CHECK_INT(viewchange_claims_get(wm_view_of(bytes, writer.len), &read, NULL), ==, 0);
    CHECK(read.has_top && read.top_seqno == LEDGER_SEQNO_MAX);
    struct newview_claims newview = {.cfg = LEDGER_SEQNO_MAX,
                                     .view = LEDGER_SEQNO_MAX,
                                     .ledger_size = LEDGER_SEQNO_MAX,
                                     .base_seqno = LEDGER_SEQNO_MAX,
                                     .used = UINT64_MAX};
    writer = cbor_writer_of(bytes, NEWVIEW_CLAIMS_BYTES_MAX);
    newview_claims_put(&writer, &newview);
    CHECK(cbor_fits(&writer));
}

TEST(heads_count)
{
    uint8_t bytes[32];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    uint64_t view;
    uint32_t count;
    viewchanges_put_head(&writer, 5, LEDGER_REPLICAS_MAX);
    struct cbor_reader reader = cbor_reader_of(wm_view_of(bytes, sizeof bytes));
    /* More view-changes than bytes are left. */
    CHECK(!viewchanges_get_head(&reader, &view, &count) && count == 0);
    writer = cbor_writer_of(bytes, sizeof bytes);
    viewchanges_put_head(&writer, 5, 1);
    reader = cbor_reader_of(wm_view_of(bytes, sizeof bytes));
    CHECK(viewchanges_get_head(&reader, &view, &count) && view == 5 && count == 1);
}

TEST_MAIN(TEST_CASE(the_largest_certificate_fits), TEST_CASE(none_is_null),
          TEST_CASE(the_largest_claims_fit), TEST_CASE(heads_count))
