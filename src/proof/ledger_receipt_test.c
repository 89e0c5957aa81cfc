/* ledger_receipt_test.c: receipts that are right, direct and chained; every bit of them flipped;
 * and parts of genuine ones put together wrongly. */
#include "proof/ledger_receipt.h"

#include <string.h>

#include "base/alloc.h"
#include "base/test.h"
#include "proof/chain.h"
#include "proof/test_service.h"

static struct test_service *service;
static struct test_ledger *ledger;
static struct chain chain;
static struct wm_diag diag;

/* Three batches of three, two and one transactions. */
static void begin(uint32_t replicas)
{
    service = test_service_new(replicas, replicas, 2);
    ledger = test_ledger_new(service);
    for (uint32_t i = 0; i < 3; i++) {
        struct test_call calls[3];
        for (uint32_t k = 0; k < 3; k++) {
            calls[k] = test_put(service, 1 + k, i + 1, "t/key", "value");
        }
        test_batch(ledger, calls, 3 - i, NULL);
    }
    test_empty(ledger, 2);
    CHECK_INT(chain_begin(&chain, service->genesis_bytes, 0, &diag), ==, 0);
}

static void end(void)
{
    chain_fini(&chain);
    test_service_free(service);
}

static int verify(struct wm_view bytes, struct ledger_receipt_facts *facts)
{
    struct agreement_configurations configurations = chain_configurations(&chain);
    diag = (struct wm_diag)WM_DIAG_INIT;
    return ledger_receipt_verify(bytes, service->service, &configurations, facts, &diag);
}

TEST(a_receipt_says_what_was_executed_and_who_stands_behind_it)
{
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 7, 10};
    for (size_t size = 0; size < WM_COUNT_OF(sizes); size++) {
        begin(sizes[size]);
        for (uint32_t s = 0; s < 3; s++) {
            const struct test_batch *batch = ledger->batches[s];
            for (uint32_t i = 0; i < batch->claims.count; i++) {
                struct ledger_receipt_facts facts;
                uint64_t who = test_quorum_who(batch);
                REQUIRE(verify(test_receipt(batch, i, who), &facts) == 0);
                CHECK_INT(diag.code, ==, 0);
                CHECK_INT(facts.receipt.index, ==, batch->claims.first_index + i);
                CHECK_INT(facts.receipt.output.code, ==, PROCEDURE_DONE);
                CHECK_INT(facts.who, ==, who);
                CHECK(memcmp(facts.batch_name, batch->name, sizeof batch->name) == 0);
                CHECK(memcmp(facts.request_hash, batch->transactions[i].hash, 32) == 0);
                CHECK(memcmp(facts.request.statement.key, test_client_key(1 + i)->public_key, 32) ==
                      0);
                CHECK_INT(chain_receipt(&chain, test_receipt(batch, i, who), &facts, NULL), ==, 0);
                const struct test_batch *later = ledger->batches[4];
                who = test_lowest(later, sizes[size]); /* all of them */
                REQUIRE(verify(test_receipt_chained(ledger, batch, i, later, who), &facts) == 0);
                CHECK_INT(facts.who, ==, who);
                CHECK_INT(facts.batch.seqno, ==, s + 1);
                CHECK_INT(facts.quorum.seqno, ==, 5);
                CHECK(memcmp(facts.batch_name, batch->name, sizeof batch->name) == 0);
            }
        }
        end();
    }
}

TEST(every_flipped_bit_is_refused_with_a_reason)
{
    begin(4);
    const struct test_batch *batch = ledger->batches[0], *later = ledger->batches[3];
    const struct wm_view receipts[] = {test_receipt(batch, 1, 0x7), test_receipt(batch, 2, 0xf),
                                       test_receipt(batch, 0, 0xd),
                                       test_receipt_chained(ledger, batch, 1, later, 0xb)};
    for (size_t r = 0; r < WM_COUNT_OF(receipts); r++) {
        uint8_t bytes[LEDGER_RECEIPT_BYTES_MAX];
        size_t len = receipts[r].len;
        struct ledger_receipt_facts facts = {.who = 99};
        unsigned malformed = 0, forged = 0;
        memcpy(bytes, receipts[r].ptr, len);
        REQUIRE(chain_receipt(&chain, wm_view_of(bytes, len), &facts, &diag) == 0);
        facts.who = 99;
        for (size_t bit = 0; bit < 8 * len; bit++) {
            diag = (struct wm_diag)WM_DIAG_INIT;
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int rc = chain_receipt(&chain, wm_view_of(bytes, len), &facts, &diag);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(rc == WM_E_MALFORMED || rc == WM_E_FORGED || rc == WM_E_INVALID ||
                  rc == WM_E_NOT_FOUND);
            CHECK(strlen(diag.text) > 20 && strncmp(diag.text, "receipt: ", 9) == 0);
            CHECK_INT(facts.who, ==, 99);
            malformed += rc == WM_E_MALFORMED;
            forged += rc == WM_E_FORGED;
        }
        for (size_t cut = 0; cut < len; cut++) {
            CHECK_INT(verify(wm_view_of(bytes, cut), &facts), ==, WM_E_MALFORMED);
        }
        wm_test_note("%zu bytes: %u bits made it malformed, %u forged", len, malformed, forged);
        CHECK(malformed > 100 && forged > 5000);
    }
    end();
}

/* --- Parts of genuine receipts --- */

static struct ledger_receipt parts;

static void read_parts(struct wm_view bytes)
{
    CHECK_INT(ledger_receipt_get(bytes, &parts, NULL), ==, 0);
}

static int verify_parts(void)
{
    static uint8_t bytes[LEDGER_RECEIPT_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct ledger_receipt_facts facts;
    ledger_receipt_put(&writer, &parts);
    CHECK(cbor_fits(&writer));
    return verify(wm_view_of(bytes, writer.len), &facts);
}

TEST(too_few_or_the_wrong_ones_are_no_quorum)
{
    begin(4);
    const struct test_batch *batch = ledger->batches[0];
    struct ledger_receipt_facts facts;
    CHECK_INT(test_primary(batch), ==, 0);
    /* Q is 3. The primary's signature is always there, and counts with its nonce only. */
    CHECK_INT(verify(test_receipt(batch, 0, 0xe), &facts), ==, 0);
    CHECK_INT(verify(test_receipt(batch, 0, 0x6), &facts), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "2 of 4 replicas stand behind it, it takes 3") != NULL);
    CHECK_INT(verify(test_receipt(batch, 0, 0x5), &facts), ==, WM_E_FORGED);
    CHECK_INT(verify(test_receipt(batch, 0, 0x0), &facts), ==, WM_E_FORGED);
    /* A share twice is not read; the primary's as a backup's; a position that there is not. */
    read_parts(test_receipt(batch, 0, 0x7));
    parts.quorum.shares[1] = parts.quorum.shares[0];
    CHECK_INT(verify_parts(), ==, WM_E_MALFORMED);
    read_parts(test_receipt(batch, 0, 0x7));
    parts.quorum.shares[0].replica = 0;
    CHECK_INT(verify_parts(), ==, WM_E_FORGED);
    read_parts(test_receipt(batch, 0, 0x7));
    parts.quorum.shares[1].replica = 4;
    CHECK_INT(verify_parts(), ==, WM_E_FORGED);
    read_parts(test_receipt(batch, 0, 0x7));
    parts.quorum.shares[1].replica = 3; /* another's share under this name */
    CHECK_INT(verify_parts(), ==, WM_E_FORGED);
    /* One false share among enough true ones. */
    read_parts(test_receipt(batch, 0, 0xf));
    CHECK_INT(verify_parts(), ==, 0);
    memcpy(parts.quorum.shares[2].nonce, parts.quorum.shares[1].nonce, LEDGER_NONCE_BYTES);
    CHECK_INT(verify_parts(), ==, WM_E_FORGED);
    /* Shares for another batch, all of it genuine. */
    struct quorum other;
    test_quorum(ledger->batches[1], 0x7, &other);
    read_parts(test_receipt(batch, 0, 0x7));
    memcpy(parts.quorum.shares, other.shares, sizeof other.shares);
    CHECK_INT(verify_parts(), ==, WM_E_FORGED);
    read_parts(test_receipt(batch, 0, 0x7));
    memcpy(parts.quorum.primary_nonce, other.primary_nonce, sizeof other.primary_nonce);
    CHECK_INT(verify_parts(), ==, WM_E_FORGED);
    end();
}

TEST(parts_of_different_receipts_do_not_fit)
{
    begin(4);
    const struct test_batch *batch = ledger->batches[0], *next = ledger->batches[1];
    struct ledger_receipt other;
    read_parts(test_receipt(next, 1, 0x7));
    other = parts;
    read_parts(test_receipt(batch, 1, 0x7));
    const struct ledger_receipt right = parts;
#define REFUSED(change)                             \
    do {                                            \
        parts = right;                              \
        change;                                     \
        CHECK_INT(verify_parts(), ==, WM_E_FORGED); \
    } while (0)
    CHECK_INT(verify_parts(), ==, 0);
    REFUSED(parts.request = other.request);
    REFUSED(parts.index++);
    REFUSED(parts.position--; parts.index--);
    REFUSED(parts.position = 3; parts.index += 2); /* of three */
    REFUSED(parts.path_len--);
    REFUSED(parts.output.code = PROCEDURE_REFUSED);
    REFUSED(parts.quorum = other.quorum);

    const struct test_batch *later = ledger->batches[3];
    read_parts(test_receipt_chained(ledger, batch, 1, later, 0x7));
    const struct ledger_receipt right_chained = parts;
#undef REFUSED
#define REFUSED(change)                             \
    do {                                            \
        parts = right_chained;                      \
        change;                                     \
        CHECK_INT(verify_parts(), ==, WM_E_FORGED); \
    } while (0)
    CHECK_INT(verify_parts(), ==, 0);
    REFUSED(parts.header = next->header);
    REFUSED(parts.leaf++);
    REFUSED(parts.chain_len--);
    /* A later batch's transaction by way of an earlier quorum; of the batch itself. */
    read_parts(test_receipt_chained(ledger, batch, 1, later, 0x7));
    struct quorum quorum;
    test_quorum(batch, 0x7, &quorum);
    REFUSED(parts.quorum = quorum);
    test_quorum(ledger->batches[4], 0x7, &quorum); /* the path is for another size */
    REFUSED(parts.quorum = quorum);
#undef REFUSED
    end();
}

TEST(rules_of_requests_are_those_of_receipts)
{
    begin(4);
    struct test_service *other = test_service_new(4, 3, 2);
    struct ledger_receipt_facts facts;
    uint8_t bytes[REQUEST_BYTES_MAX];
    struct test_call late = test_request(service, test_client_key(1), 50, 8, "test.put",
                                         wm_view_str("")), /* at index 7 */
        elsewhere = test_request(other, test_client_key(1), 51, 0, "test.put", wm_view_str("")),
                     unsigned_ = test_put(service, 1, 52, "t/key", "v");
    memcpy(bytes, unsigned_.request.ptr, unsigned_.request.len);
    bytes[unsigned_.request.len - 1] ^= 1; /* in the signature */
    unsigned_.request = wm_view_of(bytes, unsigned_.request.len);
    const struct test_batch *batch = test_batch(ledger, &late, 1, NULL);
    CHECK_INT(batch->claims.first_index, ==, 7);
    CHECK_INT(verify(test_receipt(batch, 0, 0x7), &facts), ==, WM_E_INVALID);
    CHECK(strstr(diag.text, "at least 8, and was given 7") != NULL);
    batch = test_batch(ledger, &elsewhere, 1, NULL);
    CHECK_INT(verify(test_receipt(batch, 0, 0x7), &facts), ==, WM_E_INVALID);
    batch = test_batch(ledger, &unsigned_, 1, NULL);
    CHECK_INT(verify(test_receipt(batch, 0, 0x7), &facts), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "receipt: request: the signature") != NULL);
    test_service_free(other);
    end();
}

TEST(who_may_sign_is_the_chains_to_say)
{
    begin(4);
    struct ledger_receipt_facts facts;
    struct test_call calls[] = {test_propose(service, 1, 1, test_add_replica(service, 5, 1))};
    uint64_t old = ledger->head.batch_count;
    test_batch(ledger, calls, 1, NULL);
    calls[0] = test_vote(service, 2, 1, 1);
    test_batch(ledger, calls, 1, NULL);
    calls[0] = test_vote(service, 3, 1, 1);
    const struct test_batch *final = test_batch(ledger, calls, 1, NULL);
    test_reconfigure(ledger);
    calls[0] = test_put(service, 1, 90, "t/key", "new");
    const struct test_batch *after = test_batch(ledger, calls, 1, NULL);
    CHECK_INT(after->claims.cfg, ==, 1);
    CHECK_INT(ledger_quorum(after->configuration->replica_count), ==, 4);
    struct wm_view receipt = test_receipt(after, 0, test_quorum_who(after));
    CHECK_INT(chain_receipt(&chain, receipt, &facts, &diag), ==, WM_E_NOT_FOUND);
    CHECK(strstr(diag.text, "fetch the rest of it") != NULL);
    CHECK_INT(chain_receipt(&chain, test_receipt(final, 0, 0x7), &facts, &diag), ==,
              WM_E_NOT_FOUND);
    CHECK(strstr(diag.text, "it ends at index 0") != NULL);
    CHECK_INT(chain_add_all(&chain, test_chain(ledger, ledger->head.batch_count), &diag), ==, 0);
    CHECK_INT(chain_receipt(&chain, receipt, &facts, &diag), ==, 0);
    CHECK_INT(facts.quorum.cfg, ==, 1);
    CHECK_INT(chain_receipt(&chain, test_receipt(final, 0, 0x7), &facts, &diag), ==, 0);
    /* An old transaction by a new quorum, across the change; and not the other way round. */
    struct wm_view chained = test_receipt_chained(ledger, ledger->batches[0], 0, after, 0xf);
    CHECK_INT(chain_receipt(&chain, chained, &facts, &diag), ==, 0);
    CHECK(facts.batch.cfg == 0 && facts.quorum.cfg == 1);
    struct test_ledger *fork = test_ledger_fork(ledger, old);
    memcpy(fork->entries, ledger->entries, sizeof fork->entries);
    fork->head.entry_count = ledger->head.entry_count;
    fork->head.tree = ledger->head.tree;
    const struct test_batch *false_later = NULL;
    for (uint64_t s = old; s <= ledger->head.batch_count; s++) {
        false_later = test_empty(fork, 1); /* of configuration 0, with the other ledger below it */
    }
    CHECK(false_later->claims.seqno > after->claims.seqno && false_later->claims.cfg == 0);
    chained = test_receipt_chained(fork, after, 0, false_later, 0xf);
    CHECK_INT(chain_receipt(&chain, chained, &facts, &diag), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "does not lead into the ledger below") != NULL);
    end();
}

TEST_MAIN(TEST_CASE(a_receipt_says_what_was_executed_and_who_stands_behind_it),
          TEST_CASE(every_flipped_bit_is_refused_with_a_reason),
          TEST_CASE(too_few_or_the_wrong_ones_are_no_quorum),
          TEST_CASE(parts_of_different_receipts_do_not_fit),
          TEST_CASE(rules_of_requests_are_those_of_receipts),
          TEST_CASE(who_may_sign_is_the_chains_to_say))
