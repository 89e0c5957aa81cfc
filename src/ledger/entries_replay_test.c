/* A ledger executed again: what is right goes through, and of what is wrong the place is named. */
#include "ledger/entries_replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "ledger/checkpoint.h"
#include "ledger/ledger_fake.h"

static struct fake_ledger ledger;
static struct fake_arguments arguments;

static void ask_some(uint64_t round)
{
    fake_ask(&ledger, 0, "smallbank.create_account",
             fake_array(&arguments, "uii", round, INT64_C(100), INT64_C(50)));
    fake_ask(&ledger, 1, "kv.put",
             fake_array(&arguments, "bb", wm_view_str("k"), wm_view_of(&round, sizeof round)));
    fake_ask(&ledger, 2, "echo", wm_view_of(&round, sizeof round));
}

static void run_batches(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        ask_some(executor_tip(ledger.executor));
        (void)fake_batch(&ledger);
    }
}

static struct wm_view set_pipeline(uint64_t pipeline, uint8_t room[64])
{
    struct cbor_writer writer = cbor_writer_of(room, 64);
    cbor_put_array(&writer, 1);
    cbor_put_array(&writer, 2);
    cbor_put_uint(&writer, 7);
    cbor_put_array(&writer, 3);
    cbor_put_uint(&writer, pipeline);
    cbor_put_uint(&writer, 16);
    cbor_put_uint(&writer, 100);
    return wm_view_of(room, writer.len);
}

/* With everything that a ledger can have: views, one of them without a batch of its own between, a
 * configuration with another pipeline, batches of nothing. */
static void make_history(void)
{
    uint8_t room[64];
    fake_start(&ledger, &(struct fake_options){.pipeline = 2, .keep = 64});
    fake_view_change(&ledger); /* before the first batch */
    run_batches(5);
    fake_view_change(&ledger);
    run_batches(1);
    fake_view_change(&ledger);
    run_batches(4);
    (void)fake_batch(&ledger);
    fake_govern(&ledger, set_pipeline(3, room));
    for (uint32_t k = 0; k < 4; k++) {
        (void)fake_batch(&ledger);
    }
    fake_view_change(&ledger); /* in the midst of the change */
    for (uint32_t k = 0; k < 2; k++) {
        (void)fake_batch(&ledger);
    }
    run_batches(12);
}

static struct executor *new_executor(void)
{
    struct executor *executor;
    struct executor_config config = fake_config(&ledger);
    int rc = executor_new(&config, ledger.genesis, &executor, NULL);
    WM_ASSERT(rc == 0);
    return executor;
}

/* Replays batches up to `to`; the first code that is not 0. */
static int replay(struct executor *executor, struct entries_replay *run, uint64_t to)
{
    struct wm_diag diag = WM_DIAG_INIT;
    int rc = 0;
    while (rc == 0 && executor_head(executor)->seqno < to) {
        uint64_t seqno = executor_head(executor)->seqno + 1;
        rc = entries_replay_step(run, fake_entries(&ledger, seqno), NULL, &diag);
    }
    if (rc != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
    }
    return rc;
}

static bool same_heads(const struct executor *a, const struct executor *b)
{
    return memcmp(executor_head(a), executor_head(b), sizeof *executor_head(a)) == 0;
}

TEST(a_whole_history_goes_through)
{
    make_history();
    for (uint32_t trusted = 0; trusted < 2; trusted++) {
        struct executor *executor = new_executor();
        struct entries_replay *run;
        REQUIRE(entries_replay_new(executor, trusted, &run) == 0);
        CHECK_INT(replay(executor, run, executor_tip(ledger.executor)), ==, 0);
        CHECK(same_heads(executor, ledger.executor));
        CHECK_INT(executor_head(executor)->cfg, ==, 1);
        entries_replay_free(run);
        executor_free(executor);
    }
    entries_replay_free(NULL);
    fake_stop(&ledger);
}

static int take_item(void *self, struct wm_view item)
{
    struct checkpoint_reader **reader = self;
    struct executor_config config = fake_config(&ledger);
    return *reader ? checkpoint_feed(*reader, item, NULL)
                   : checkpoint_open(&config, ledger.genesis, item, reader, NULL);
}

/* From a checkpoint after any batch, with and without what lies before it. */
TEST(every_batch_is_a_place_to_start)
{
    make_history();
    struct executor *walker = new_executor();
    struct entries_replay *walk;
    uint64_t end = executor_tip(ledger.executor);
    REQUIRE(entries_replay_new(walker, true, &walk) == 0);
    for (uint64_t start = 1; start < end; start++) {
        struct checkpoint *checkpoint;
        struct checkpoint_reader *reader = NULL;
        struct executor *executor;
        struct entries_replay *run;
        REQUIRE(replay(walker, walk, start) == 0);
        REQUIRE(checkpoint_begin(walker, &checkpoint) == 0);
        REQUIRE(checkpoint_write(checkpoint, take_item, &reader) == 0);
        checkpoint_end(walker, checkpoint);
        REQUIRE(checkpoint_close(reader, &executor, NULL) == 0);
        REQUIRE(entries_replay_new(executor, false, &run) == 0);
        if (start % 3 != 0) {
            for (uint64_t s = start > 32 ? start - 31 : 1; s <= start; s++) {
                CHECK_INT(entries_replay_before(run, fake_entries(&ledger, s), NULL), ==, 0);
            }
        }
        CHECK_INT(replay(executor, run, end), ==, 0);
        CHECK(memcmp(executor_head(executor)->state_root,
                     executor_head(ledger.executor)->state_root, sizeof(ledger_hash)) == 0);
        CHECK(memcmp(executor_head(executor)->name, executor_head(ledger.executor)->name,
                     sizeof(ledger_hash)) == 0);
        entries_replay_free(run);
        executor_free(executor);
    }
    entries_replay_free(walk);
    executor_free(walker);
    fake_stop(&ledger);
}

/* --- What is wrong is named --- */

struct trial {
    struct executor *executor;
    struct entries_replay *run;
    uint64_t seqno; /* of the batch that is next */
};

static void begin_trial(struct trial *trial, bool trusted, uint64_t seqno)
{
    trial->executor = new_executor();
    trial->seqno = seqno;
    int rc = entries_replay_new(trial->executor, trusted, &trial->run);
    WM_ASSERT(rc == 0);
    CHECK_INT(replay(trial->executor, trial->run, seqno - 1), ==, 0);
}

static void end_trial(struct trial *trial)
{
    /* Nothing stuck: the right batch still goes through. */
    CHECK_INT(executor_head(trial->executor)->seqno, ==, trial->seqno - 1);
    CHECK_INT(executor_tip(trial->executor), ==, trial->seqno - 1);
    CHECK_INT(replay(trial->executor, trial->run, trial->seqno), ==, 0);
    entries_replay_free(trial->run);
    executor_free(trial->executor);
}

static void fails(struct trial *trial, const struct bft_entries *entries, int code,
                  enum entry_kind entry, uint64_t index, const char *text)
{
    struct entries_difference difference = {0};
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(entries_replay_step(trial->run, entries, &difference, &diag), ==, code);
    CHECK_INT(difference.seqno, ==, trial->seqno);
    CHECK_INT(difference.entry, ==, entry);
    CHECK_INT(difference.index, ==, index);
    CHECK_STR(wm_diag_text(&diag), text);
    CHECK_INT(entries_replay_step(trial->run, entries, NULL, NULL), ==, code);
}

/* The transactions of batch `seqno` with one changed. */
static struct wm_view change_item(uint64_t seqno, uint32_t which,
                                  void (*change)(struct transaction_item *))
{
    static uint8_t bytes[65536];
    struct cbor_reader reader = cbor_reader_of(fake_entries(&ledger, seqno)->transactions);
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    uint64_t read;
    uint32_t count;
    CHECK(transactions_get_head(&reader, &read, &count));
    transactions_put_head(&writer, read, count);
    for (uint32_t i = 0; i < count; i++) {
        struct transaction_item item;
        CHECK(transaction_item_get(&reader, &item));
        if (i == which) {
            change(&item);
        }
        transaction_item_put(&writer, &item);
    }
    return wm_view_of(bytes, writer.len);
}

static void change_code(struct transaction_item *item)
{
    item->output.code = PROCEDURE_REFUSED;
}

static void change_procedure(struct transaction_item *item)
{
    item->output.procedure[3] ^= 1;
}

static void change_result(struct transaction_item *item)
{
    item->output.result[0] ^= 1;
}

static void change_result_bytes(struct transaction_item *item)
{
    item->result = wm_view_str("01234567");
}

static void change_reads(struct transaction_item *item)
{
    item->output.reads[31] ^= 1;
}

static void change_writes(struct transaction_item *item)
{
    item->output.writes[0] ^= 1;
}

static void change_arguments(struct transaction_item *item)
{
    item->arguments.len--;
}

static void erase_arguments(struct transaction_item *item)
{
    item->has_arguments = false;
    item->arguments = wm_view_of(NULL, 0);
}

static void erase_result(struct transaction_item *item)
{
    item->has_result = false;
    item->result = wm_view_of(NULL, 0);
}

TEST(a_wrong_transaction_is_named)
{
    static const struct {
        void (*change)(struct transaction_item *);
        int code;
        const char *text;
    } cases[] = {
        {change_code, WM_E_FORGED, "batch 4: transaction 12: it ended with another code"},
        {change_procedure, WM_E_FORGED, "batch 4: transaction 12: another procedure was executed"},
        {change_result, WM_E_FORGED, "batch 4: transaction 12: its result is another one"},
        {change_result_bytes, WM_E_FORGED, "batch 4: transaction 12: its result is another one"},
        {change_reads, WM_E_FORGED, "batch 4: transaction 12: it read something else"},
        {change_writes, WM_E_FORGED, "batch 4: transaction 12: it wrote something else"},
        {erase_arguments, WM_E_NOT_FOUND,
         "batch 4: transaction 12: its arguments were erased, so it cannot be executed again; "
         "start from a checkpoint after it"},
    };
    struct trial trial;
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(6);
    begin_trial(&trial, false, 4);
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct bft_entries entries = *fake_entries(&ledger, 4);
        entries.transactions = change_item(4, 2, cases[i].change);
        fails(&trial, &entries, cases[i].code, ENTRY_TRANSACTIONS, 12, cases[i].text);
    }
    struct bft_entries entries = *fake_entries(&ledger, 4);
    entries.transactions = change_item(4, 2, change_arguments);
    fails(&trial, &entries, WM_E_INVALID, ENTRY_TRANSACTIONS, 0,
          "batch 4: transactions: batch 4: request 2: its arguments are not those that were "
          "signed");
    entries.transactions = fake_entries(&ledger, 5)->transactions;
    fails(&trial, &entries, WM_E_INVALID, ENTRY_TRANSACTIONS, 0,
          "batch 4: transactions: they are of another batch, or not as many as its pre-prepare "
          "says");
    entries.transactions = wm_view_str("x");
    CHECK_INT(entries_replay_step(trial.run, &entries, NULL, NULL), ==, WM_E_MALFORMED);
    end_trial(&trial);
    fake_stop(&ledger);
}

/* An erased result takes nothing from the check: its hash is there. */
TEST(erased_results_are_no_difference)
{
    struct trial trial;
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(3);
    begin_trial(&trial, false, 3);
    struct bft_entries entries = *fake_entries(&ledger, 3);
    entries.transactions = change_item(3, 2, erase_result);
    CHECK_INT(entries_replay_step(trial.run, &entries, NULL, NULL), ==, 0);
    entries_replay_free(trial.run);
    executor_free(trial.executor);
    fake_stop(&ledger);
}

TEST(a_false_signature_is_named_unless_it_is_trusted)
{
    struct trial trial;
    fake_start(&ledger, &(struct fake_options){.unsigned_requests = true});
    run_batches(3);
    begin_trial(&trial, true, 3);
    end_trial(&trial);
    struct executor *executor = new_executor();
    struct entries_replay *run;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(entries_replay_new(executor, false, &run) == 0);
    CHECK_INT(entries_replay_step(run, fake_entries(&ledger, 1), NULL, &diag), ==, WM_E_INVALID);
    CHECK_STR(wm_diag_text(&diag),
              "batch 1: transactions: batch 1: request 0: its signature is false");
    entries_replay_free(run);
    executor_free(executor);
    fake_stop(&ledger);
}

/* A primary whose ledger says another state than execution gives. */
TEST(a_wrong_state_is_named)
{
    struct trial trial;
    struct bft_executed executed;
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(3);
    ask_some(77);
    REQUIRE(fake_execute(&ledger, &executed) == 0);
    executed.state_root[7] ^= 1;
    (void)fake_commit(&ledger, &executed);
    struct executor *executor = new_executor();
    REQUIRE(entries_replay_new(executor, false, &trial.run) == 0);
    CHECK_INT(replay(executor, trial.run, 3), ==, 0);
    trial.executor = executor;
    trial.seqno = 4;
    fails(&trial, fake_entries(&ledger, 4), WM_E_FORGED, ENTRY_PREPREPARE, 0,
          "batch 4: pre-prepare: executing the batch gives another state than it says");
    CHECK_INT(executor_tip(executor), ==, 3);
    entries_replay_free(trial.run);
    executor_free(executor);
    fake_stop(&ledger);
}

static struct wm_view change_root(uint64_t seqno)
{
    static uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct preprepare_entry entry;
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    CHECK(preprepare_entry_get(fake_entries(&ledger, seqno)->preprepare, &entry, NULL));
    entry.root[0] ^= 1;
    preprepare_entry_put(&writer, &entry);
    return wm_view_of(bytes, writer.len);
}

TEST(entries_out_of_their_place_are_named)
{
    struct trial trial;
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(8);
    begin_trial(&trial, false, 5);
    struct bft_entries entries = *fake_entries(&ledger, 6);
    fails(&trial, &entries, WM_E_INVALID, ENTRY_PREPREPARE, 0,
          "batch 5: pre-prepare: it is of another batch");
    entries = *fake_entries(&ledger, 5);
    entries.preprepare = change_root(5);
    fails(&trial, &entries, WM_E_FORGED, ENTRY_PREPREPARE, 0,
          "batch 5: pre-prepare: its root is not that of the transactions that are stored");
    entries = *fake_entries(&ledger, 5);
    entries.evidence = wm_view_of(NULL, 0);
    fails(&trial, &entries, WM_E_INVALID, ENTRY_EVIDENCE, 0, "batch 5: evidence: it is missing");
    entries.evidence = fake_entries(&ledger, 6)->evidence;
    fails(&trial, &entries, WM_E_INVALID, ENTRY_EVIDENCE, 0,
          "batch 5: evidence: it is not what the pre-prepare says, or of a batch that needs none "
          "here");
    entries = *fake_entries(&ledger, 5);
    entries.new_view = wm_view_str("x");
    fails(&trial, &entries, WM_E_INVALID, ENTRY_NEW_VIEW, 0,
          "batch 5: new view: no view begins here");
    entries = *fake_entries(&ledger, 5);
    entries.preprepare = wm_view_str("x");
    CHECK_INT(entries_replay_step(trial.run, &entries, NULL, NULL), ==, WM_E_MALFORMED);
    end_trial(&trial);
    fake_stop(&ledger);
}

/* Every bit of evidence counts for who trusts nobody. */
TEST(no_bit_of_evidence_is_free)
{
    struct trial trial;
    uint8_t copy[EVIDENCE_BYTES_MAX];
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(5);
    begin_trial(&trial, false, 4);
    struct bft_entries entries = *fake_entries(&ledger, 4);
    struct wm_view evidence = entries.evidence;
    memcpy(copy, evidence.ptr, evidence.len);
    entries.evidence = wm_view_of(copy, evidence.len);
    for (size_t bit = 0; bit < evidence.len * 8; bit += 11) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(entries_replay_step(trial.run, &entries, NULL, NULL) != 0);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    end_trial(&trial);
    /* For who trusts his own disk, the ledger's root says that much. */
    begin_trial(&trial, true, 4);
    entries = *fake_entries(&ledger, 4);
    entries.evidence = wm_view_of(copy, evidence.len);
    copy[40] ^= 1; /* in a signature */
    fails(&trial, &entries, WM_E_FORGED, ENTRY_PREPREPARE, 0,
          "batch 4: pre-prepare: it stands on another ledger");
    end_trial(&trial);
    fake_stop(&ledger);
}

TEST(a_view_begins_with_its_entries)
{
    struct trial trial;
    uint8_t copy[65536];
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(3);
    fake_view_change(&ledger);
    run_batches(3);
    for (uint32_t trusted = 0; trusted < 2; trusted++) {
        begin_trial(&trial, trusted, 4);
        struct bft_entries entries = *fake_entries(&ledger, 4);
        entries.new_view = entries.view_changes = wm_view_of(NULL, 0);
        CHECK_INT(entries_replay_step(trial.run, &entries, NULL, NULL), ==, WM_E_MALFORMED);
        entries = *fake_entries(&ledger, 4);
        struct wm_view changes = entries.view_changes;
        memcpy(copy, changes.ptr, changes.len);
        entries.view_changes = wm_view_of(copy, changes.len);
        for (size_t bit = 0; bit < changes.len * 8; bit += 997) {
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(entries_replay_step(trial.run, &entries, NULL, NULL) != 0);
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        end_trial(&trial);
    }
    fake_stop(&ledger);
}

TEST(a_batch_goes_on_after_a_governance_transaction_nowhere)
{
    struct trial trial;
    uint8_t room[64];
    struct bft_executed executed;
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(1);
    fake_ask(&ledger, FAKE_CLIENTS, "governance.propose", set_pipeline(3, room));
    REQUIRE(fake_execute(&ledger, &executed) == 0);
    (void)fake_commit(&ledger, &executed);
    /* One more behind it, and a pre-prepare that says so. */
    struct bft_entries entries = *fake_entries(&ledger, 2);
    uint8_t transactions[8192], encoded[PREPREPARE_CLAIMS_BYTES_MAX],
        header[COSE_PROTECTED_BYTES_MAX], entry_bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct cbor_reader first = cbor_reader_of(entries.transactions),
                       second = cbor_reader_of(fake_entries(&ledger, 1)->transactions);
    struct transaction_item item;
    uint64_t seqno;
    uint32_t count;
    struct cbor_writer writer = cbor_writer_of(transactions, sizeof transactions);
    CHECK(transactions_get_head(&first, &seqno, &count) && transaction_item_get(&first, &item));
    transactions_put_head(&writer, 2, 2);
    transaction_item_put(&writer, &item);
    CHECK(transactions_get_head(&second, &seqno, &count) && transaction_item_get(&second, &item));
    transaction_item_put(&writer, &item);
    entries.transactions = wm_view_of(transactions, writer.len);
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    struct cose_statement statement;
    REQUIRE(preprepare_entry_get(entries.preprepare, &entry, NULL) &&
            cose_header(entry.header, &statement) &&
            preprepare_claims_get(statement.claims, &claims, NULL) == 0);
    claims.count = 2;
    writer = cbor_writer_of(encoded, sizeof encoded);
    preprepare_claims_put(&writer, &claims);
    struct wm_view view = wm_view_of(encoded, writer.len);
    writer = cbor_writer_of(header, sizeof header);
    cose_put_protected(&writer, statement.key, true, view);
    entry.header = wm_view_of(header, writer.len);
    writer = cbor_writer_of(entry_bytes, sizeof entry_bytes);
    preprepare_entry_put(&writer, &entry);
    entries.preprepare = wm_view_of(entry_bytes, writer.len);
    begin_trial(&trial, true, 2);
    fails(&trial, &entries, WM_E_INVALID, ENTRY_TRANSACTIONS, 5,
          "batch 2: transaction 5: it comes after a governance transaction, which ends its batch");
    end_trial(&trial);
    fake_stop(&ledger);
}

TEST(failed_allocations_leave_the_head_where_it_was)
{
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(3);
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n); rounds++) {
        struct executor *executor;
        struct executor_config config = fake_config(&ledger);
        struct entries_replay *run;
        int rc = executor_new(&config, ledger.genesis, &executor, NULL);
        if (rc != 0) {
            CHECK_INT(rc, ==, -ENOMEM);
            continue;
        }
        rc = entries_replay_new(executor, false, &run);
        CHECK(rc == 0 || rc == -ENOMEM);
        for (uint64_t s = 1; rc == 0 && s <= 3;) {
            int step = entries_replay_step(run, fake_entries(&ledger, s), NULL, NULL);
            CHECK(step == 0 || (step == -ENOMEM && wm_fault_fired(WM_FAULT_ALLOC)));
            CHECK_INT(executor_head(executor)->seqno, ==, s - (step != 0));
            CHECK_INT(executor_tip(executor), ==, s - (step != 0));
            s += step == 0;
        }
        if (rc == 0) {
            CHECK(same_heads(executor, ledger.executor));
            entries_replay_free(run);
        }
        executor_free(executor);
    }
    CHECK_INT(rounds, >, 15);
    fake_stop(&ledger);
}

TEST_MAIN(TEST_CASE(a_whole_history_goes_through), TEST_CASE(every_batch_is_a_place_to_start),
          TEST_CASE(a_wrong_transaction_is_named), TEST_CASE(erased_results_are_no_difference),
          TEST_CASE(a_false_signature_is_named_unless_it_is_trusted),
          TEST_CASE(a_wrong_state_is_named), TEST_CASE(entries_out_of_their_place_are_named),
          TEST_CASE(no_bit_of_evidence_is_free), TEST_CASE(a_view_begins_with_its_entries),
          TEST_CASE(a_batch_goes_on_after_a_governance_transaction_nowhere),
          TEST_CASE(failed_allocations_leave_the_head_where_it_was))
