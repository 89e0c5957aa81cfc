/* Executing, undoing, committing: the same batches give the same roots whatever happened between,
 * and what is refused leaves no trace. */
#include "ledger/executor.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "ledger/ledger_fake.h"

static struct fake_ledger ledger, other;
static struct fake_arguments arguments;

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, sizeof(ledger_hash)) == 0;
}

/* A few transactions of several kinds; `round` makes them differ. */
static void ask_some(struct fake_ledger *to, uint64_t round)
{
    fake_ask(to, 0, "smallbank.create_account",
             fake_array(&arguments, "uii", round, INT64_C(100), INT64_C(50)));
    fake_ask(to, 1, "kv.put",
             fake_array(&arguments, "bb", wm_view_str("k"), wm_view_of(&round, sizeof round)));
    fake_ask(to, 1, "smallbank.deposit_checking", fake_array(&arguments, "uu", round, UINT64_C(5)));
    fake_ask(to, 2, "kv.remove", fake_array(&arguments, "b", wm_view_str("public/none")));
    fake_ask(to, 2, "smallbank.balance", fake_array(&arguments, "u", UINT64_C(99999)));
    fake_ask(to, 3, "unknown", wm_view_str("x"));
}

TEST(equal_batches_have_equal_roots)
{
    fake_start(&ledger, &(struct fake_options){0});
    fake_start(&other, &(struct fake_options){0});
    CHECK(same(executor_service(ledger.executor), executor_service(other.executor)));
    for (uint64_t round = 0; round < 5; round++) {
        struct bft_executed a, b;
        ask_some(&ledger, round);
        ask_some(&other, round);
        REQUIRE(fake_execute(&ledger, &a) == 0 && fake_execute(&other, &b) == 0);
        CHECK(same(a.root, b.root) && same(a.state_root, b.state_root));
        CHECK_INT(a.taken, ==, 6);
        CHECK(!a.governance && !a.reconfigures);
        fake_commit(&ledger, &a);
        fake_commit(&other, &b);
        const struct bft_head *head = executor_head(ledger.executor);
        CHECK(memcmp(head, executor_head(other.executor), sizeof *head) == 0);
        CHECK_INT(head->seqno, ==, round + 1);
        CHECK_INT(head->next_index, ==, 1 + 6 * (round + 1));
        CHECK(same(head->state_root, a.state_root));
    }
    fake_stop(&ledger);
    fake_stop(&other);
}

/* The state does not depend on how requests were cut into batches; G does. */
TEST(the_state_is_the_same_in_other_batches)
{
    struct bft_executed a, b;
    fake_start(&ledger, &(struct fake_options){0});
    fake_start(&other, &(struct fake_options){0});
    ask_some(&ledger, 1);
    ask_some(&ledger, 2);
    REQUIRE(fake_execute(&ledger, &a) == 0);
    ask_some(&other, 1);
    (void)fake_batch(&other);
    ask_some(&other, 2);
    REQUIRE(fake_execute(&other, &b) == 0);
    CHECK(same(a.state_root, b.state_root));
    CHECK(!same(a.root, b.root));
    fake_stop(&ledger);
    fake_stop(&other);
}

TEST(a_batch_of_nothing)
{
    struct bft_executed executed;
    ledger_hash empty;
    fake_start(&ledger, &(struct fake_options){0});
    wm_sha256_once(wm_view_of(NULL, 0), empty);
    REQUIRE(fake_execute(&ledger, &executed) == 0);
    CHECK(same(executed.root, empty));
    CHECK(same(executed.state_root, executor_head(ledger.executor)->state_root));
    CHECK_INT(executed.taken, ==, 0);
    CHECK_INT(fake_commit(&ledger, &executed), ==, 1);
    CHECK_INT(executor_head(ledger.executor)->nonempty_seqno, ==, 0);
    fake_stop(&ledger);
}

/* --- What makes a batch invalid --- */

static void refuses(const char *why)
{
    struct bft_executed executed;
    CHECK_INT(fake_execute(&ledger, &executed), ==, WM_E_INVALID);
    CHECK_STR(wm_diag_text(executor_why(ledger.executor)), why);
    CHECK_INT(executor_tip(ledger.executor), ==, 0);
    CHECK(executor_batch(ledger.executor, 1) == NULL);
    fake_drop_requests(&ledger);
}

TEST(a_batch_that_breaks_a_rule_is_refused_whole)
{
    struct bft_executed before, after;
    fake_start(&ledger, &(struct fake_options){0});
    ask_some(&ledger, 1);
    REQUIRE(fake_execute(&ledger, &before) == 0);
    executor_undo_to(ledger.executor, 0);
    fake_drop_requests(&ledger);
    memset(ledger.numbers, 0, sizeof ledger.numbers);

    ask_some(&ledger, 1); /* good ones before it */
    struct fake_request *request = fake_ask_as(&ledger, 5, "echo", wm_view_str("abc"), 1, 0);
    request->bytes[REQUEST_BYTES_MAX] ^= 1;
    refuses("batch 1: request 6: its arguments are not those that were signed");

    ask_some(&ledger, 1);
    request = fake_ask_as(&ledger, 5, "echo", wm_view_str("abc"), 1, 0);
    request->request.arguments.len--;
    refuses("batch 1: request 6: its arguments are not those that were signed");

    request = fake_ask_as(&ledger, 5, "echo", wm_view_str("abc"), 1, 0);
    request->bytes[request->request.request.len - 1] ^= 1; /* the signature's last byte */
    refuses("batch 1: request 0: its signature is false");

    request = fake_ask_as(&ledger, 5, "echo", wm_view_str("abc"), 1, 0);
    request->request.request.len--;
    refuses("batch 1: request 0: it is not a request");

    (void)fake_ask_as(&ledger, 5, "echo", wm_view_str("abc"), 1, 1); /* index 1: it may */
    (void)fake_ask_as(&ledger, 5, "echo", wm_view_str("abc"), 2, 3); /* index 2 */
    refuses("batch 1: request 1: its minimum index is larger than its index");

    /* The same request under another genesis. */
    fake_start(&other, &(struct fake_options){.pipeline = 3});
    request = fake_ask_as(&other, 5, "echo", wm_view_str("abc"), 1, 0);
    struct fake_request *stranger = fake_ask_as(&ledger, 5, "echo", wm_view_str("abc"), 1, 0);
    stranger->request.request = request->request.request;
    refuses("batch 1: request 0: it is for another service");
    fake_stop(&other);

    memset(ledger.numbers, 0, sizeof ledger.numbers);
    ask_some(&ledger, 1);
    REQUIRE(fake_execute(&ledger, &after) == 0);
    CHECK(same(before.root, after.root) && same(before.state_root, after.state_root));
    fake_stop(&ledger);
}

TEST(a_false_signature_is_found_wherever_it_stands)
{
    enum { COUNT = 150 };
    struct bft_executed executed;
    fake_start(&ledger, &(struct fake_options){0});
    for (uint32_t bad = 0; bad < COUNT; bad += 37) {
        for (uint64_t i = 0; i < COUNT; i++) {
            struct fake_request *request =
                fake_ask_as(&ledger, 0, "echo", wm_view_of(&i, sizeof i), i + 1, 0);
            request->request.checked = i % 3 == 1 && i != bad; /* a mix, as agreement has it */
            if (i == bad) {
                request->bytes[request->request.request.len - 20] ^= 4;
            }
        }
        CHECK_INT(fake_execute(&ledger, &executed), ==, WM_E_INVALID);
        fake_drop_requests(&ledger);
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        (void)fake_ask_as(&ledger, 0, "echo", wm_view_of(&i, sizeof i), i + 1, 0);
    }
    CHECK_INT(fake_execute(&ledger, &executed), ==, 0);
    CHECK_INT(executed.taken, ==, COUNT);
    struct bft_app app = executor_app(ledger.executor);
    CHECK(app.check(app.self, &ledger.requests[0].request));
    ledger.requests[0].bytes[ledger.requests[0].request.request.len - 20] ^= 4;
    CHECK(!app.check(app.self, &ledger.requests[0].request));
    fake_stop(&ledger);
}

TEST(each_number_of_a_client_counts_once)
{
    static const struct {
        uint64_t number;
        uint32_t code;
    } calls[] = {
        {100, PROCEDURE_DONE},      {100, PROCEDURE_DUPLICATE}, {99, PROCEDURE_DONE},
        {37, PROCEDURE_DONE},       {36, PROCEDURE_DUPLICATE},  {200, PROCEDURE_DONE},
        {136, PROCEDURE_DUPLICATE}, {137, PROCEDURE_DONE},      {200, PROCEDURE_DUPLICATE}};
    struct transaction_item item;
    fake_start(&ledger, &(struct fake_options){0});
    for (size_t i = 0; i < WM_COUNT_OF(calls); i++) {
        (void)fake_ask_as(&ledger, 0, "kv.put",
                          fake_array(&arguments, "bb", wm_view_str("k"), wm_view_str("v")),
                          calls[i].number, 0);
    }
    /* Another client's numbers are his own. */
    (void)fake_ask_as(&ledger, 1, "echo", wm_view_str(""), 100, 0);
    uint64_t seqno = fake_batch(&ledger);
    const struct kept_batch *batch = executor_batch(ledger.executor, seqno);
    REQUIRE(batch && batch->count == WM_COUNT_OF(calls) + 1);
    for (uint32_t i = 0; i < WM_COUNT_OF(calls); i++) {
        kept_item(batch, i, &item);
        CHECK_INT(item.output.code, ==, calls[i].code);
    }
    kept_item(batch, WM_COUNT_OF(calls), &item);
    CHECK_INT(item.output.code, ==, PROCEDURE_DONE);
    fake_stop(&ledger);
}

/* --- Taking back --- */

/* Executes a batch on top of those that are not committed. */
static int execute_next(uint64_t round, struct bft_executed *executed)
{
    struct bft_request requests[8];
    ask_some(&ledger, round);
    for (uint32_t i = 0; i < ledger.request_count; i++) {
        requests[i] = ledger.requests[i].request;
    }
    uint64_t tip = executor_tip(ledger.executor);
    struct bft_batch batch = {.seqno = tip + 1,
                              .first_index = 1 + 6 * tip,
                              .count = ledger.request_count,
                              .requests = requests};
    int rc = executor_execute(ledger.executor, &batch, executed);
    fake_drop_requests(&ledger);
    return rc;
}

TEST(what_is_taken_back_was_never_there)
{
    enum { DEPTH = 20 };
    struct bft_executed first[DEPTH], again;
    fake_start(&ledger, &(struct fake_options){0});
    for (uint32_t i = 0; i < DEPTH; i++) {
        REQUIRE(execute_next(i, &first[i]) == 0);
    }
    for (uint32_t to = DEPTH; to-- > 0;) {
        executor_undo_to(ledger.executor, to);
        CHECK_INT(executor_tip(ledger.executor), ==, to);
        CHECK(executor_batch(ledger.executor, to + 1) == NULL);
        CHECK(to == 0 || executor_batch(ledger.executor, to) != NULL);
        /* Another batch in its place, taken back as well, then the same one. */
        REQUIRE(execute_next(1000 + to, &again) == 0);
        CHECK(!same(again.state_root, first[to].state_root));
        executor_undo_to(ledger.executor, to);
        for (uint32_t k = 0; k < FAKE_CLIENTS; k++) {
            ledger.numbers[k] = 0;
        }
        /* Numbers as they were when it was executed first. */
        for (uint32_t k = 0; k < to; k++) {
            ask_some(&ledger, 0);
        }
        fake_drop_requests(&ledger);
        REQUIRE(execute_next(to, &again) == 0);
        CHECK(same(again.state_root, first[to].state_root) && same(again.root, first[to].root));
        executor_undo_to(ledger.executor, to);
    }
    fake_stop(&ledger);
}

TEST(only_so_many_batches_wait)
{
    struct bft_executed executed;
    int rc = 0;
    uint32_t count = 0;
    fake_start(&ledger, &(struct fake_options){0});
    while (rc == 0 && count < 100) {
        rc = execute_next(count, &executed);
        count += rc == 0;
    }
    CHECK_INT(rc, ==, WM_E_LIMIT);
    CHECK_INT(count, >=, 2 * LEDGER_PIPELINE_MAX);
    CHECK_INT(count, ==, 62);
    executor_undo_to(ledger.executor, count - 1);
    CHECK_INT(execute_next(count, &executed), ==, 0);
    fake_stop(&ledger);
}

/* --- Governance --- */

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

TEST(a_governance_transaction_ends_its_batch)
{
    uint8_t room[64];
    struct bft_executed executed;
    fake_start(&ledger, &(struct fake_options){0});
    fake_ask(&ledger, 0, "echo", wm_view_str("before"));
    /* From one who is no member: denied, and no governance transaction. */
    fake_ask(&ledger, 0, "governance.propose", set_pipeline(3, room));
    fake_ask(&ledger, FAKE_CLIENTS, "governance.propose", set_pipeline(3, room));
    fake_ask(&ledger, 0, "echo", wm_view_str("after"));
    REQUIRE(fake_execute(&ledger, &executed) == 0);
    CHECK_INT(executed.taken, ==, 3);
    CHECK(executed.governance);
    CHECK(!executed.reconfigures);
    fake_commit(&ledger, &executed);
    CHECK_INT(executor_head(ledger.executor)->governance, ==, 3);
    REQUIRE(fake_execute(&ledger, &executed) == 0);
    CHECK_INT(executed.taken, ==, 1);
    CHECK(!executed.governance);
    fake_commit(&ledger, &executed);
    CHECK_INT(executor_head(ledger.executor)->governance, ==, 3);
    fake_stop(&ledger);
}

TEST(a_configuration_is_left_and_the_next_one_begins)
{
    uint8_t room[64];
    fake_start(&ledger, &(struct fake_options){.pipeline = 2});
    CHECK(executor_configuration(ledger.executor, 1) == NULL);
    fake_govern(&ledger, set_pipeline(3, room));
    const struct bft_head *head = executor_head(ledger.executor);
    uint64_t vote = head->seqno;
    CHECK_INT(head->reconfigured_at, ==, vote);
    CHECK_INT(head->cfg, ==, 0);
    const struct configuration *next = executor_configuration(ledger.executor, 1);
    REQUIRE(next);
    CHECK_INT(next->parameters.pipeline, ==, 3);
    CHECK_INT(executor_configuration(ledger.executor, 0)->parameters.pipeline, ==, 2);
    fake_ask(&ledger, 0, "echo", wm_view_str("waits"));
    for (uint32_t k = 1; k <= 3 * 2; k++) {
        (void)fake_batch(&ledger);
        CHECK_INT(head->cfg, ==, k <= 2 * 2 ? 0 : 1);
        CHECK_INT(ledger.request_count, ==, 1);
    }
    CHECK_INT(head->reconfigured_at, ==, 0);
    CHECK_INT(fake_batch(&ledger), ==, vote + 7);
    CHECK_INT(ledger.request_count, ==, 0);
    CHECK_INT(head->nonempty_seqno, ==, vote + 7);
    fake_stop(&ledger);
}

TEST(a_vote_that_is_taken_back_leaves_no_configuration)
{
    uint8_t room[64];
    struct bft_executed executed, again;
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(fake_call(&ledger, FAKE_CLIENTS, "governance.propose", set_pipeline(3, room), NULL),
              ==, PROCEDURE_DONE);
    for (uint32_t member = 1; member <= 2; member++) {
        fake_ask(&ledger, FAKE_CLIENTS + member, "governance.vote",
                 fake_array(&arguments, "u", UINT64_C(1)));
        REQUIRE(fake_execute(&ledger, &executed) == 0);
        CHECK(executed.governance);
        CHECK(executed.reconfigures == (member == 2));
        CHECK((executor_configuration(ledger.executor, 1) != NULL) == (member == 2));
        if (member == 1) {
            fake_commit(&ledger, &executed);
        }
    }
    executor_undo_to(ledger.executor, 2);
    CHECK(executor_configuration(ledger.executor, 1) == NULL);
    REQUIRE(fake_execute(&ledger, &again) == 0);
    CHECK(executor_configuration(ledger.executor, 1) != NULL);
    CHECK(same(executed.state_root, again.state_root));
    fake_stop(&ledger);
}

/* --- Keeping --- */

TEST(newest_batches_are_kept_and_found)
{
    uint32_t position;
    fake_start(&ledger, &(struct fake_options){.keep = 3});
    ledger_hash hashes[8];
    for (uint64_t s = 1; s <= 8; s++) {
        ask_some(&ledger, s);
        memcpy(hashes[s - 1], ledger.requests[2].request.hash, sizeof hashes[0]);
        CHECK_INT(fake_batch(&ledger), ==, s);
    }
    for (uint64_t s = 1; s <= 8; s++) {
        const struct kept_batch *batch = executor_batch(ledger.executor, s);
        CHECK((batch != NULL) == (s > 5));
        CHECK(executor_batch_of(ledger.executor, (s - 1) * 6 + 3) == batch);
        CHECK(executor_batch_with(ledger.executor, hashes[s - 1], &position) == batch);
        CHECK(!batch || position == 2);
        CHECK(!batch || wm_view_eq(kept_entry(batch), fake_entries(&ledger, s)->transactions));
    }
    CHECK(executor_batch_of(ledger.executor, 49) == NULL);
    CHECK(executor_batch_of(ledger.executor, 0) == NULL);
    CHECK(executor_batch(ledger.executor, 0) == NULL);
    CHECK(executor_batch(ledger.executor, 9) == NULL);
    fake_stop(&ledger);
}

static void count_entries(void *self, const struct bft_entries *entries)
{
    *(uint64_t *)self += entries->seqno;
}

TEST(agreement_gets_an_application)
{
    struct bft_executed executed;
    uint64_t seen = 0;
    fake_start(&ledger, &(struct fake_options){0});
    struct bft_app app = executor_app(ledger.executor);
    ask_some(&ledger, 1);
    REQUIRE(fake_execute(&ledger, &executed) == 0);
    CHECK(wm_view_eq(app.transactions(app.self, 1), kept_entry(executor_batch(app.self, 1))));
    app.undo_to(app.self, 0);
    CHECK_INT(executor_tip(ledger.executor), ==, 0);
    REQUIRE(fake_execute(&ledger, &executed) == 0);
    fake_commit(&ledger, &executed);
    CHECK(app.read(app.self, 1, count_entries, &seen));
    CHECK(!app.read(app.self, 2, count_entries, &seen));
    CHECK_INT(seen, ==, 1);
    CHECK(app.configuration(app.self, 0) == executor_configuration(ledger.executor, 0));
    CHECK(app.configuration(app.self, 1) == NULL);
    fake_stop(&ledger);
}

/* --- Genesis, and memory --- */

TEST(a_genesis_must_be_whole)
{
    struct executor *executor;
    struct wm_diag diag = WM_DIAG_INIT;
    uint8_t bytes[16384];
    fake_start(&ledger, &(struct fake_options){0});
    struct executor_config config = fake_config(&ledger);
    memcpy(bytes, ledger.genesis.ptr, ledger.genesis.len);
    CHECK_INT(executor_new(&config, wm_view_of(bytes, ledger.genesis.len - 1), &executor, &diag),
              ==, WM_E_MALFORMED);
    /* Another salt: no endorsement is for this service. */
    bool found = false;
    for (size_t i = 0; i + 16 <= ledger.genesis.len && !found; i++) {
        found = memcmp(bytes + i, ledger.salt, 16) == 0;
        bytes[i] ^= found;
    }
    diag = (struct wm_diag)WM_DIAG_INIT;
    CHECK(found);
    CHECK_INT(executor_new(&config, wm_view_of(bytes, ledger.genesis.len), &executor, &diag), ==,
              WM_E_FORGED);
    CHECK(strstr(wm_diag_text(&diag), "replica 0") != NULL);
    fake_stop(&ledger);
}

TEST(a_failed_allocation_undoes_the_batch)
{
    struct bft_executed wanted, executed;
    fake_start(&ledger, &(struct fake_options){0});
    ask_some(&ledger, 1);
    REQUIRE(fake_execute(&ledger, &wanted) == 0);
    executor_free(ledger.executor);
    struct executor_config config = fake_config(&ledger);
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n); rounds++) {
        struct executor *executor = NULL;
        struct wm_diag diag = WM_DIAG_INIT;
        int rc = executor_new(&config, ledger.genesis, &executor, &diag);
        if (rc != 0) {
            CHECK_INT(rc, ==, -ENOMEM);
            CHECK(wm_fault_fired(WM_FAULT_ALLOC));
            continue;
        }
        struct bft_request requests[8];
        for (uint32_t i = 0; i < ledger.request_count; i++) {
            requests[i] = ledger.requests[i].request;
        }
        struct bft_batch batch = {
            .seqno = 1, .first_index = 1, .count = ledger.request_count, .requests = requests};
        rc = executor_execute(executor, &batch, &executed);
        if (rc != 0) {
            CHECK_INT(rc, ==, -ENOMEM);
            CHECK_INT(executor_tip(executor), ==, 0);
            rc = executor_execute(executor, &batch, &executed);
        }
        CHECK_INT(rc, ==, 0);
        CHECK(same(executed.root, wanted.root) && same(executed.state_root, wanted.state_root));
        executor_free(executor);
    }
    CHECK_INT(rounds, >, 10);
    ledger.executor = NULL;
    fake_stop(&ledger);
}

TEST(a_full_state_refuses_and_goes_on)
{
    struct executor *executor;
    struct bft_executed executed;
    uint8_t value[60000] = {0};
    fake_start(&ledger, &(struct fake_options){0});
    struct executor_config config = fake_config(&ledger);
    config.state_bytes_max = 2 << 20;
    REQUIRE(executor_new(&config, ledger.genesis, &executor, NULL) == 0);
    int rc = 0;
    uint64_t seqno = 0;
    while (rc == 0 && seqno < 1000) {
        uint8_t bytes[60100], key[8];
        struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
        memcpy(key, &seqno, sizeof key);
        cbor_put_array(&writer, 2);
        cbor_put_bytes(&writer, wm_view_of(key, sizeof key));
        cbor_put_bytes(&writer, wm_view_of(value, sizeof value));
        fake_ask(&ledger, 0, "kv.put", wm_view_of(bytes, writer.len));
        struct bft_batch batch = {.seqno = executor_tip(executor) + 1,
                                  .first_index = executor_tip(executor) + 1,
                                  .count = 1,
                                  .requests = &ledger.requests[0].request};
        rc = executor_execute(executor, &batch, &executed);
        seqno += rc == 0;
        fake_drop_requests(&ledger);
    }
    CHECK_INT(rc, ==, WM_E_LIMIT);
    CHECK_INT(seqno, >, 20);
    CHECK_INT(seqno, <, 62);
    CHECK_INT(executor_tip(executor), ==, seqno);
    executor_undo_to(executor, seqno - 2);
    fake_ask(&ledger, 1, "echo", wm_view_str("goes on"));
    struct bft_batch batch = {.seqno = seqno - 1,
                              .first_index = seqno - 1,
                              .count = 1,
                              .requests = &ledger.requests[0].request};
    CHECK_INT(executor_execute(executor, &batch, &executed), ==, 0);
    executor_free(executor);
    fake_stop(&ledger);
}

TEST_MAIN(TEST_CASE(equal_batches_have_equal_roots),
          TEST_CASE(the_state_is_the_same_in_other_batches), TEST_CASE(a_batch_of_nothing),
          TEST_CASE(a_batch_that_breaks_a_rule_is_refused_whole),
          TEST_CASE(a_false_signature_is_found_wherever_it_stands),
          TEST_CASE(each_number_of_a_client_counts_once),
          TEST_CASE(what_is_taken_back_was_never_there), TEST_CASE(only_so_many_batches_wait),
          TEST_CASE(a_governance_transaction_ends_its_batch),
          TEST_CASE(a_configuration_is_left_and_the_next_one_begins),
          TEST_CASE(a_vote_that_is_taken_back_leaves_no_configuration),
          TEST_CASE(newest_batches_are_kept_and_found), TEST_CASE(agreement_gets_an_application),
          TEST_CASE(a_genesis_must_be_whole), TEST_CASE(a_failed_allocation_undoes_the_batch),
          TEST_CASE(a_full_state_refuses_and_goes_on))
