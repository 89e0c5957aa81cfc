/* Receipts that are made here, checked by proof/ledger_receipt.h, which knows nothing of how. */
#include "ledger/receipts.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "ledger/ledger_fake.h"
#include "proof/ledger_receipt.h"

static struct fake_ledger ledger;
static uint8_t bytes[LEDGER_RECEIPT_BYTES_MAX];

static const struct configuration *configuration_of(void *self, uint64_t cfg)
{
    return executor_configuration(self, cfg);
}

static int verify(size_t len, struct ledger_receipt_facts *out)
{
    struct agreement_configurations known = {ledger.executor, configuration_of};
    struct wm_diag diag = WM_DIAG_INIT;
    int rc = ledger_receipt_verify(wm_view_of(bytes, len), executor_service(ledger.executor),
                                   &known, out, &diag);
    if (rc != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
    }
    return rc;
}

/* Batches of 1, 2, 3... transactions, so that their trees have every shape. */
static void run_batches(uint32_t count)
{
    for (uint32_t s = 1; s <= count; s++) {
        for (uint64_t i = 0; i < s; i++) {
            fake_ask(&ledger, (uint32_t)i % FAKE_CLIENTS, "echo", wm_view_of(&i, sizeof i));
        }
        (void)fake_batch(&ledger);
    }
}

static struct preprepare_claims claims_of(uint64_t seqno)
{
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    struct cose_statement statement;
    CHECK(preprepare_entry_get(fake_entries(&ledger, seqno)->preprepare, &entry, NULL) &&
          cose_header(entry.header, &statement) &&
          preprepare_claims_get(statement.claims, &claims, NULL) == 0);
    return claims;
}

static void check_facts(const struct ledger_receipt_facts *facts, const struct kept_batch *batch,
                        uint32_t position)
{
    CHECK_INT(facts->receipt.index, ==, batch->first_index + position);
    CHECK_INT(facts->batch.seqno, ==, batch->seqno);
    CHECK(memcmp(facts->request_hash, batch->requests[position], sizeof(ledger_hash)) == 0);
    CHECK(memcmp(facts->batch_root, batch->root, sizeof(ledger_hash)) == 0);
    CHECK_INT(__builtin_popcountll(facts->who), ==, 3);
}

TEST(direct_receipts_of_every_position)
{
    struct quorum quorum;
    struct ledger_receipt_facts facts;
    size_t len;
    fake_start(&ledger, &(struct fake_options){.keep = 12});
    run_batches(9);
    for (uint64_t s = 1; s <= 9; s++) {
        const struct kept_batch *batch = executor_batch(ledger.executor, s);
        REQUIRE(batch && batch->count == s);
        fake_quorum(&ledger, s, &quorum);
        for (uint32_t i = 0; i < batch->count; i++) {
            receipt_direct(batch, i, &quorum, bytes, &len);
            REQUIRE(verify(len, &facts) == 0);
            CHECK(!facts.receipt.chained);
            check_facts(&facts, batch, i);
        }
    }
    fake_stop(&ledger);
}

/* From what lies in the ledger alone: entries of a batch, and the evidence P batches later. */
TEST(receipts_of_long_ago)
{
    struct quorum quorum;
    struct ledger_receipt_facts facts;
    struct kept_batch batch;
    size_t len;
    fake_start(&ledger, &(struct fake_options){.keep = 1, .pipeline = 2});
    run_batches(7);
    kept_init(&batch);
    for (uint64_t s = 1; s <= 5; s++) {
        const struct bft_entries *entries = fake_entries(&ledger, s);
        struct preprepare_claims claims = claims_of(s);
        CHECK(executor_batch(ledger.executor, s) == NULL);
        REQUIRE(kept_read(&batch, &claims, entries->transactions, NULL) == 0);
        CHECK(wm_view_eq(kept_entry(&batch), entries->transactions));
        REQUIRE(receipt_quorum(entries->preprepare, fake_entries(&ledger, s + 2)->evidence, 4,
                               &quorum, NULL) == 0);
        for (uint32_t i = 0; i < batch.count; i++) {
            receipt_direct(&batch, i, &quorum, bytes, &len);
            REQUIRE(verify(len, &facts) == 0);
            check_facts(&facts, &batch, i);
        }
        CHECK_INT(receipt_quorum(entries->preprepare, fake_entries(&ledger, s + 1)->evidence, 4,
                                 &quorum, NULL),
                  ==, s == 1 ? WM_E_MALFORMED : WM_E_INVALID);
    }
    kept_fini(&batch);
    fake_stop(&ledger);
}

TEST(chained_receipts_over_every_distance)
{
    struct quorum quorum;
    struct ledger_receipt_facts facts;
    struct preprepare_entry own;
    struct wm_diag diag = WM_DIAG_INIT;
    size_t len;
    fake_start(&ledger, &(struct fake_options){.keep = 16});
    run_batches(4);
    fake_view_change(&ledger); /* its entries are leaves as well */
    run_batches(6);
    uint64_t last = executor_tip(ledger.executor);
    for (uint64_t s = 1; s < last; s++) {
        const struct kept_batch *batch = executor_batch(ledger.executor, s);
        REQUIRE(preprepare_entry_get(fake_entries(&ledger, s)->preprepare, &own, NULL));
        for (uint64_t later = s + 1; later <= last; later++) {
            fake_quorum(&ledger, later, &quorum);
            REQUIRE(receipt_chained(batch, batch->count - 1, own.header, &quorum, &ledger.tree,
                                    bytes, &len, NULL) == 0);
            REQUIRE(verify(len, &facts) == 0);
            CHECK(facts.receipt.chained);
            check_facts(&facts, batch, batch->count - 1);
            CHECK_INT(facts.quorum.seqno, ==, later);
        }
        /* Not by itself, nor by what came before. */
        for (uint64_t earlier = 1; earlier <= s; earlier++) {
            fake_quorum(&ledger, earlier, &quorum);
            CHECK_INT(
                receipt_chained(batch, 0, own.header, &quorum, &ledger.tree, bytes, &len, &diag),
                ==, WM_E_INVALID);
        }
    }
    /* A batch's header that is another one's. */
    fake_quorum(&ledger, last, &quorum);
    REQUIRE(preprepare_entry_get(fake_entries(&ledger, 2)->preprepare, &own, NULL));
    CHECK_INT(receipt_chained(executor_batch(ledger.executor, 3), 0, own.header, &quorum,
                              &ledger.tree, bytes, &len, NULL),
              ==, WM_E_INVALID);
    CHECK_INT(receipt_chained(executor_batch(ledger.executor, 2), 0, wm_view_str("x"), &quorum,
                              &ledger.tree, bytes, &len, NULL),
              ==, WM_E_MALFORMED);
    quorum.has_root = false;
    CHECK_INT(receipt_chained(executor_batch(ledger.executor, 2), 0, own.header, &quorum,
                              &ledger.tree, bytes, &len, NULL),
              ==, WM_E_INVALID);
    /* A tree that begins later. */
    struct ledger_tree young;
    struct ledger_tree_memory memory = {0};
    struct ledger_tree_store store = ledger_tree_in(&memory);
    ledger_tree_init(&young, &ledger.tree.now, &store);
    quorum.has_root = true;
    CHECK_INT(receipt_chained(executor_batch(ledger.executor, 2), 0, own.header, &quorum, &young,
                              bytes, &len, &diag),
              ==, WM_E_NOT_FOUND);
    fake_stop(&ledger);
}

/* Whatever bit of a receipt is another one, it is refused. */
TEST(no_bit_is_free)
{
    struct quorum quorum;
    struct ledger_receipt_facts facts;
    struct agreement_configurations known;
    size_t len;
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(3);
    known = (struct agreement_configurations){ledger.executor, configuration_of};
    fake_quorum(&ledger, 3, &quorum);
    receipt_direct(executor_batch(ledger.executor, 3), 1, &quorum, bytes, &len);
    for (size_t bit = 0; bit < len * 8; bit += 3) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(ledger_receipt_verify(wm_view_of(bytes, len), executor_service(ledger.executor),
                                    &known, &facts, NULL) != 0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK_INT(verify(len, &facts), ==, 0);
    fake_stop(&ledger);
}

/* --- Kept batches --- */

TEST(kept_items_are_what_was_added)
{
    struct transaction_item item;
    fake_start(&ledger, &(struct fake_options){0});
    fake_ask(&ledger, 0, "echo", wm_view_str("first"));
    fake_ask(&ledger, 1, "unknown", wm_view_str("second"));
    uint64_t seqno = fake_batch(&ledger);
    const struct kept_batch *batch = executor_batch(ledger.executor, seqno);
    REQUIRE(batch && batch->count == 2);
    kept_item(batch, 0, &item);
    CHECK(item.has_arguments && wm_view_eq_str(item.arguments, "first"));
    CHECK(item.has_result && wm_view_eq_str(item.result, "first"));
    kept_item(batch, 1, &item);
    CHECK_INT(item.output.code, ==, PROCEDURE_UNKNOWN);
    CHECK(item.has_result && item.result.len == 0);
    fake_stop(&ledger);
}

TEST(kept_read_refuses_what_is_not_the_batch)
{
    struct kept_batch batch;
    struct wm_diag diag = WM_DIAG_INIT;
    uint8_t copy[8192];
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(3);
    struct wm_view stored = fake_entries(&ledger, 3)->transactions;
    struct preprepare_claims claims = claims_of(3);
    REQUIRE(stored.len < sizeof copy);
    memcpy(copy, stored.ptr, stored.len);
    kept_init(&batch);
    CHECK_INT(kept_read(&batch, &claims, stored, &diag), ==, 0);
    for (size_t len = 0; len < stored.len; len += 7) {
        CHECK_INT(kept_read(&batch, &claims, wm_view_of(copy, len), NULL), ==, WM_E_MALFORMED);
    }
    copy[stored.len] = 0;
    CHECK_INT(kept_read(&batch, &claims, wm_view_of(copy, stored.len + 1), NULL), ==,
              WM_E_MALFORMED);
    claims.count++;
    CHECK_INT(kept_read(&batch, &claims, stored, &diag), ==, WM_E_MALFORMED);
    CHECK_STR(wm_diag_text(&diag), "transactions: 3 of batch 3, where batch 3 has 4");
    claims.count--;
    claims.seqno++;
    CHECK_INT(kept_read(&batch, &claims, stored, NULL), ==, WM_E_MALFORMED);
    kept_fini(&batch);
    fake_stop(&ledger);
}

/* Erased arguments and results stay out, and the leaf stays the same. */
TEST(erased_transactions_have_receipts)
{
    struct kept_batch batch, erased;
    struct transaction_item item;
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(3);
    struct preprepare_claims claims = claims_of(3);
    kept_init(&batch);
    kept_init(&erased);
    REQUIRE(kept_read(&batch, &claims, fake_entries(&ledger, 3)->transactions, NULL) == 0);
    REQUIRE(kept_begin(&erased, 0, 0, 3, claims.first_index, 3) == 0);
    for (uint32_t i = 0; i < 3; i++) {
        kept_item(&batch, i, &item);
        item.has_arguments = item.has_result = false;
        item.arguments = item.result = wm_view_of(NULL, 0);
        REQUIRE(kept_add(&erased, batch.requests[i], &item) == 0);
    }
    kept_end(&erased);
    CHECK(memcmp(batch.root, erased.root, sizeof batch.root) == 0);
    kept_item(&erased, 1, &item);
    CHECK(!item.has_arguments && !item.has_result);
    REQUIRE(kept_read(&batch, &claims, kept_entry(&erased), NULL) == 0);
    kept_item(&batch, 2, &item);
    CHECK(!item.has_arguments && !item.has_result);
    CHECK(memcmp(batch.root, erased.root, sizeof batch.root) == 0);
    kept_fini(&batch);
    kept_fini(&erased);
    fake_stop(&ledger);
}

TEST(kept_batches_survive_failed_allocations)
{
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(20);
    struct preprepare_claims claims = claims_of(20);
    struct wm_view stored = fake_entries(&ledger, 20)->transactions;
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n); rounds++) {
        struct kept_batch batch;
        kept_init(&batch);
        int rc = kept_read(&batch, &claims, stored, NULL);
        CHECK(rc == 0 || (rc == -ENOMEM && wm_fault_fired(WM_FAULT_ALLOC)));
        rc = kept_read(&batch, &claims, stored, NULL);
        CHECK(rc == 0 || wm_fault_fired(WM_FAULT_ALLOC));
        if (rc == 0) {
            CHECK(wm_view_eq(kept_entry(&batch), stored));
        }
        kept_fini(&batch);
    }
    CHECK_INT(rounds, >, 3);
    fake_stop(&ledger);
}

TEST_MAIN(TEST_CASE(direct_receipts_of_every_position), TEST_CASE(receipts_of_long_ago),
          TEST_CASE(chained_receipts_over_every_distance), TEST_CASE(no_bit_is_free),
          TEST_CASE(kept_items_are_what_was_added),
          TEST_CASE(kept_read_refuses_what_is_not_the_batch),
          TEST_CASE(erased_transactions_have_receipts),
          TEST_CASE(kept_batches_survive_failed_allocations))
