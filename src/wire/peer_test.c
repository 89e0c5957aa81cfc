/* Messages between replicas, and with clients: limits and messages; the bytes are compared by
 * ledger_vectors_test.c. */
#include "wire/peer.h"

#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "wire/client.h"

static uint8_t header[COSE_PROTECTED_BYTES_MAX];

TEST(the_largest_pre_prepare)
{
    static uint8_t bytes[262144], hashes[LEDGER_BATCH_MAX * LEDGER_HASH_BYTES];
    static uint8_t evidence[EVIDENCE_BYTES_MAX];
    static struct peer_message message, read;
    message.kind = PEER_PREPREPARE;
    message.preprepare = (struct peer_preprepare){
        .statement = {.header = wm_view_of(header, sizeof header)},
        .evidence = wm_view_of(evidence, sizeof evidence),
        .requests = wm_view_of(hashes, sizeof hashes),
    };
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    peer_message_put(&writer, &message);
    REQUIRE(cbor_fits(&writer));
    REQUIRE(peer_message_get(wm_view_of(bytes, writer.len), &read, NULL) == 0);
    CHECK_INT(read.preprepare.count, ==, LEDGER_BATCH_MAX);
    CHECK(wm_view_eq(read.preprepare.evidence, message.preprepare.evidence));
    CHECK(read.preprepare.requests.ptr > bytes); /* a view, no copy */
}

TEST(messages_have_an_end)
{
    struct wm_diag diag = WM_DIAG_INIT;
    uint8_t *bytes = calloc(1, PEER_MESSAGE_BYTES_MAX + 1);
    static struct peer_message message;
    static struct client_message from_client;
    REQUIRE(bytes != NULL);
    /* [7, h'']: what follows is one byte too many, and so would the whole be. */
    memcpy(bytes, "\x82\x07\x40", 3);
    CHECK_INT(peer_message_get(wm_view_of(bytes, 3), &message, &diag), ==, 0);
    CHECK(message.kind == PEER_FETCH_REQUESTS && message.fetch_requests.count == 0);
    CHECK_INT(peer_message_get(wm_view_of(bytes, 4), &message, &diag), ==, WM_E_MALFORMED);
    CHECK_STR(wm_diag_text(&diag), "message: offset 3: something follows the end");
    CHECK_INT(peer_message_get(wm_view_of(bytes, PEER_MESSAGE_BYTES_MAX + 1), &message, &diag), ==,
              WM_E_MALFORMED);
    CHECK_STR(wm_diag_text(&diag), "message: offset 0: it is too long");
    CHECK_INT(
        client_message_get(wm_view_of(bytes, CLIENT_MESSAGE_BYTES_MAX + 1), &from_client, &diag),
        ==, WM_E_MALFORMED);
    CHECK_STR(wm_diag_text(&diag), "message: offset 0: it is too long");
    free(bytes);
}

TEST(kinds_that_do_not_exist)
{
    static struct peer_message message;
    static struct client_message from_client;
    for (unsigned kind = 0; kind < 24; kind++) {
        for (unsigned items = 1; items < 24; items++) {
            uint8_t bytes[24] = {(uint8_t)(0x80 + items), (uint8_t)kind};
            memset(bytes + 2, 0xf7, items - 1); /* undefined: of no message */
            struct wm_view view = wm_view_of(bytes, 1 + items);
            bool status = kind == CLIENT_STATUS && items == 1;
            CHECK(peer_message_get(view, &message, NULL) != 0);
            CHECK((client_message_get(view, &from_client, NULL) == 0) == status);
        }
    }
}

TEST(entries_are_views)
{
    static uint8_t bytes[16384];
    static struct peer_message message, read;
    message.kind = PEER_ENTRIES;
    message.entries = (struct peer_entries){
        .from_seqno = 1, .count = 2, .entries = wm_view_str("\x41x\x42yz"), .has_quorum = true};
    message.entries.quorum =
        (struct quorum){.header = wm_view_of(header, sizeof header), .has_primary_nonce = true};
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    peer_message_put(&writer, &message);
    REQUIRE(cbor_fits(&writer));
    REQUIRE(peer_message_get(wm_view_of(bytes, writer.len), &read, NULL) == 0);
    CHECK(read.entries.count == 2 && read.entries.has_quorum);
    CHECK(wm_view_eq_str(read.entries.entries, "\x41x\x42yz"));
    /* A count that is larger than what is there. */
    bytes[writer.len - 6] = 0x83;
    CHECK(peer_message_get(wm_view_of(bytes, writer.len), &read, NULL) != 0);
}

TEST_MAIN(TEST_CASE(the_largest_pre_prepare), TEST_CASE(messages_have_an_end),
          TEST_CASE(kinds_that_do_not_exist), TEST_CASE(entries_are_views))
