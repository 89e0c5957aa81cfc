/* Checkpoints: the same bytes from everybody, and an executor made of them that goes on as if it
 * had been there from the start; everything false about one is refused. */
#include "ledger/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/test.h"
#include "ledger/ledger_fake.h"

static struct fake_ledger ledger;
static struct fake_arguments arguments;

struct items {
    uint32_t count;
    struct {
        uint8_t *bytes;
        size_t len;
    } items[64];
};

static int take_item(void *self, struct wm_view item)
{
    struct items *items = self;
    WM_ASSERT(items->count < 64 && item.len <= CHECKPOINT_ITEM_BYTES_MAX);
    items->items[items->count].bytes = malloc(item.len);
    WM_ASSERT(items->items[items->count].bytes);
    memcpy(items->items[items->count].bytes, item.ptr, item.len);
    items->items[items->count++].len = item.len;
    return 0;
}

static void drop_items(struct items *items)
{
    for (uint32_t i = 0; i < items->count; i++) {
        free(items->items[i].bytes);
    }
    *items = (struct items){0};
}

static void write_items(struct executor *executor, struct items *out)
{
    struct checkpoint *checkpoint;
    *out = (struct items){0};
    REQUIRE(checkpoint_begin(executor, &checkpoint) == 0);
    CHECK_INT(checkpoint_seqno(checkpoint), ==, executor_head(executor)->seqno);
    CHECK_INT(checkpoint_write(checkpoint, take_item, out), ==, 0);
    checkpoint_end(executor, checkpoint);
}

static struct wm_view view_of(const struct items *items, uint32_t which)
{
    return wm_view_of(items->items[which].bytes, items->items[which].len);
}

static int read_items(const struct items *items, struct executor **out, struct wm_diag *diag)
{
    struct checkpoint_reader *reader;
    struct executor_config config = fake_config(&ledger);
    int rc = checkpoint_open(&config, ledger.genesis, view_of(items, 0), &reader, diag);
    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 1; i < items->count; i++) {
        rc = checkpoint_feed(reader, view_of(items, i), diag);
        if (rc != 0) {
            checkpoint_drop(reader);
            return rc;
        }
    }
    return checkpoint_close(reader, out, diag);
}

static bool same_items(const struct items *a, const struct items *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++) {
        same = wm_view_eq(view_of(a, i), view_of(b, i));
    }
    return same;
}

static void run_batches(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t account = executor_tip(ledger.executor) * 1000;
        fake_ask(&ledger, 0, "smallbank.load",
                 fake_array(&arguments, "uui", account, UINT64_C(300), INT64_C(7)));
        fake_ask(&ledger, 1, "kv.put",
                 fake_array(&arguments, "bb", wm_view_str("k"), wm_view_of(&account, 8)));
        (void)fake_batch(&ledger);
    }
}

/* The head of one that was read; the root of the final vote is of no more use once the next
 * configuration signs. */
static void check_heads(const struct executor *made, const struct executor *from)
{
    struct bft_head a = *executor_head(made), b = *executor_head(from);
    if (b.reconfigured_at != 0 && b.seqno > b.reconfigured_at + 2 * b.reconfigured_pipeline) {
        memset(a.committed_root, 0, sizeof a.committed_root);
        memset(b.committed_root, 0, sizeof b.committed_root);
    }
    /* Of the tree, what its count uses. */
    for (uint32_t level = 0; level <= MERKLE_LEVELS_MAX; level++) {
        if ((a.ledger.count >> level & 1) == 0) {
            memset(a.ledger.full[level], 0, sizeof a.ledger.full[level]);
        }
        if ((b.ledger.count >> level & 1) == 0) {
            memset(b.ledger.full[level], 0, sizeof b.ledger.full[level]);
        }
    }
    CHECK(memcmp(&a, &b, sizeof a) == 0);
}

/* Executes what waits on `made` as the ledger will, and compares. */
static void goes_on(struct executor *made)
{
    struct executor *own = ledger.executor;
    struct bft_executed a, b;
    REQUIRE(fake_execute(&ledger, &a) == 0);
    ledger.executor = made;
    REQUIRE(fake_execute(&ledger, &b) == 0);
    ledger.executor = own;
    CHECK(memcmp(a.root, b.root, sizeof a.root) == 0);
    CHECK(memcmp(a.state_root, b.state_root, sizeof a.state_root) == 0);
    uint64_t seqno = fake_commit(&ledger, &a);
    executor_commit(made, fake_entries(&ledger, seqno));
}

TEST(an_executor_goes_on_from_a_checkpoint)
{
    struct items items, again;
    struct executor *made;
    struct wm_diag diag = WM_DIAG_INIT;
    fake_start(&ledger, &(struct fake_options){.checkpoint_interval = 16});
    run_batches(35);
    write_items(ledger.executor, &items);
    CHECK_INT(items.count, >, 5);
    int rc = read_items(&items, &made, &diag);
    if (rc != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
    }
    REQUIRE(rc == 0);
    CHECK_INT(executor_tip(made), ==, 35);
    CHECK_INT(vmap_count(executor_state(made)), ==, vmap_count(executor_state(ledger.executor)));
    check_heads(made, ledger.executor);
    /* The same bytes, from another history of memory. */
    write_items(made, &again);
    CHECK(same_items(&items, &again));
    for (uint32_t i = 0; i < 20; i++) {
        fake_ask(&ledger, 0, "echo", wm_view_str("x"));
        fake_ask(&ledger, 1, "smallbank.balance", fake_array(&arguments, "u", UINT64_C(1010)));
        goes_on(made);
        check_heads(made, ledger.executor);
    }
    executor_free(made);
    drop_items(&items);
    drop_items(&again);
    fake_stop(&ledger);
}

TEST(pieces_are_cut_by_their_bytes_alone)
{
    struct items items;
    uint8_t value[60000] = {0}, bytes[60100];
    fake_start(&ledger, &(struct fake_options){0});
    for (uint64_t i = 0; i < 6; i++) { /* values of about a piece's size */
        struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
        cbor_put_array(&writer, 2);
        cbor_put_bytes(&writer, wm_view_of(&i, sizeof i));
        cbor_put_bytes(&writer, wm_view_of(value, sizeof value));
        fake_ask(&ledger, 0, "kv.put", wm_view_of(bytes, writer.len));
    }
    (void)fake_batch(&ledger);
    run_batches(3);
    write_items(ledger.executor, &items);
    for (uint32_t i = 1; i < items.count; i++) {
        struct cbor_reader reader = cbor_reader_of(view_of(&items, i));
        uint64_t count;
        REQUIRE(cbor_array(&reader, &count));
        size_t len = wm_cursor_left(&reader.cursor);
        CHECK(len >= CHECKPOINT_PIECE_BYTES || i == items.count - 1);
        /* Without its last pair it would not be full. */
        for (uint64_t k = 0; k + 2 < count; k++) {
            CHECK(cbor_skip(&reader, NULL));
        }
        CHECK(len - wm_cursor_left(&reader.cursor) < CHECKPOINT_PIECE_BYTES);
    }
    drop_items(&items);
    fake_stop(&ledger);
}

TEST(a_snapshot_is_of_its_batch_whatever_follows)
{
    struct items before, after;
    struct checkpoint *checkpoint;
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(3);
    write_items(ledger.executor, &before);
    REQUIRE(checkpoint_begin(ledger.executor, &checkpoint) == 0);
    run_batches(10);
    after = (struct items){0};
    CHECK_INT(checkpoint_write(checkpoint, take_item, &after), ==, 0);
    checkpoint_end(ledger.executor, checkpoint);
    CHECK(same_items(&before, &after));
    drop_items(&before);
    drop_items(&after);
    fake_stop(&ledger);
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

/* At each batch of a change of configuration: the one that starts there is at the same point. */
TEST(checkpoints_in_the_middle_of_a_change)
{
    uint8_t room[64];
    fake_start(&ledger, &(struct fake_options){.pipeline = 3});
    run_batches(2);
    fake_govern(&ledger, set_pipeline(2, room));
    for (uint32_t k = 0; k <= 3 * 3 + 2; k++) {
        struct items items;
        struct executor *made;
        struct wm_diag diag = WM_DIAG_INIT;
        write_items(ledger.executor, &items);
        int rc = read_items(&items, &made, &diag);
        if (rc != 0) {
            wm_test_note("%u: %s", k, wm_diag_text(&diag));
        }
        REQUIRE(rc == 0);
        check_heads(made, ledger.executor);
        CHECK(executor_configuration(made, 0) != NULL);
        CHECK_INT(executor_configuration(made, 1)->parameters.pipeline, ==, 2);
        goes_on(made);
        check_heads(made, ledger.executor);
        executor_free(made);
        drop_items(&items);
    }
    fake_stop(&ledger);
}

/* A final vote that is executed and not committed is no part of the checkpoint before it. */
TEST(a_configuration_to_come_is_not_in_it)
{
    uint8_t room[64];
    struct bft_executed executed;
    struct items before, after;
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(fake_call(&ledger, FAKE_CLIENTS, "governance.propose", set_pipeline(3, room), NULL),
              ==, PROCEDURE_DONE);
    CHECK_INT(fake_call(&ledger, FAKE_CLIENTS + 1, "governance.vote",
                        fake_array(&arguments, "u", UINT64_C(1)), NULL),
              ==, PROCEDURE_DONE);
    write_items(ledger.executor, &before);
    fake_ask(&ledger, FAKE_CLIENTS + 2, "governance.vote",
             fake_array(&arguments, "u", UINT64_C(1)));
    REQUIRE(fake_execute(&ledger, &executed) == 0);
    CHECK(executed.reconfigures);
    write_items(ledger.executor, &after);
    CHECK(same_items(&before, &after));
    drop_items(&before);
    drop_items(&after);
    fake_stop(&ledger);
}

TEST(who_reads_knows_what_must_be_committed)
{
    struct items items;
    struct checkpoint_reader *reader;
    struct preprepare_entry entry, wanted;
    struct preprepare_claims claims;
    fake_start(&ledger, &(struct fake_options){0});
    struct executor_config config = fake_config(&ledger);
    run_batches(4);
    write_items(ledger.executor, &items);
    REQUIRE(checkpoint_open(&config, ledger.genesis, view_of(&items, 0), &reader, NULL) == 0);
    checkpoint_preprepare(reader, &entry, &claims);
    REQUIRE(preprepare_entry_get(fake_entries(&ledger, 4)->preprepare, &wanted, NULL));
    CHECK(wm_view_eq(entry.header, wanted.header));
    CHECK(memcmp(entry.root, wanted.root, sizeof entry.root) == 0);
    CHECK_INT(claims.seqno, ==, 4);
    CHECK_INT(checkpoint_missing(reader), ==, vmap_count(executor_state(ledger.executor)));
    checkpoint_drop(reader);
    checkpoint_drop(NULL);
    drop_items(&items);
    fake_stop(&ledger);
}

/* --- Refusals --- */

TEST(a_changed_byte_is_refused)
{
    struct items items;
    struct executor *made;
    fake_start(&ledger, &(struct fake_options){0});
    fake_ask(&ledger, 0, "smallbank.load",
             fake_array(&arguments, "uui", UINT64_C(0), UINT64_C(5), INT64_C(7)));
    (void)fake_batch(&ledger);
    write_items(ledger.executor, &items);
    REQUIRE(items.count == 2);
    /* The head: its pre-prepare's signature is not in it, so what a quorum did not sign may be
     * another batch; then it must not be taken for this one. */
    struct checkpoint_reader *reader;
    struct preprepare_entry entry, wanted;
    struct preprepare_claims claims;
    struct executor_config config = fake_config(&ledger);
    REQUIRE(preprepare_entry_get(fake_entries(&ledger, 1)->preprepare, &wanted, NULL));
    for (size_t bit = 0; bit < items.items[0].len * 8; bit++) {
        items.items[0].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = checkpoint_open(&config, ledger.genesis, view_of(&items, 0), &reader, NULL);
        if (rc == 0) {
            checkpoint_preprepare(reader, &entry, &claims);
            bool is_wanted = wm_view_eq(entry.header, wanted.header) &&
                             memcmp(entry.root, wanted.root, sizeof entry.root) == 0;
            checkpoint_drop(reader);
            if (is_wanted) {
                /* Then the pairs do not fit, or it is one of the few that nothing binds here. */
                rc = read_items(&items, &made, NULL);
                if (rc == 0) {
                    const struct bft_head *a = executor_head(made);
                    const struct bft_head *b = executor_head(ledger.executor);
                    CHECK(a->governance != b->governance ||
                          memcmp(a->checkpoints, b->checkpoints, sizeof a->checkpoints) != 0);
                    executor_free(made);
                }
            }
        }
        items.items[0].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < items.items[1].len * 8; bit += 5) {
        items.items[1].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(read_items(&items, &made, NULL) != 0);
        items.items[1].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    drop_items(&items);
    fake_stop(&ledger);
}

TEST(pieces_come_in_order_and_once)
{
    struct items items;
    struct checkpoint_reader *reader;
    struct executor *made;
    struct wm_diag diag = WM_DIAG_INIT;
    fake_start(&ledger, &(struct fake_options){0});
    struct executor_config config = fake_config(&ledger);
    run_batches(35);
    write_items(ledger.executor, &items);
    REQUIRE(items.count > 3);
    /* One left out. */
    REQUIRE(checkpoint_open(&config, ledger.genesis, view_of(&items, 0), &reader, NULL) == 0);
    for (uint32_t i = 1; i < items.count; i++) {
        CHECK(i == 2 || checkpoint_feed(reader, view_of(&items, i), NULL) == 0);
    }
    CHECK_INT(checkpoint_missing(reader), >, 0);
    CHECK_INT(checkpoint_close(reader, &made, &diag), ==, WM_E_FORGED);
    CHECK(strstr(wm_diag_text(&diag), "are not the state that was signed") != NULL);
    /* One twice, two in another order, one too many. */
    REQUIRE(checkpoint_open(&config, ledger.genesis, view_of(&items, 0), &reader, NULL) == 0);
    CHECK_INT(checkpoint_feed(reader, view_of(&items, 1), NULL), ==, 0);
    CHECK_INT(checkpoint_feed(reader, view_of(&items, 1), NULL), ==, WM_E_MALFORMED);
    checkpoint_drop(reader);
    REQUIRE(checkpoint_open(&config, ledger.genesis, view_of(&items, 0), &reader, NULL) == 0);
    CHECK_INT(checkpoint_feed(reader, view_of(&items, 2), NULL), ==, 0);
    CHECK_INT(checkpoint_feed(reader, view_of(&items, 1), NULL), ==, WM_E_MALFORMED);
    checkpoint_drop(reader);
    REQUIRE(checkpoint_open(&config, ledger.genesis, view_of(&items, 0), &reader, NULL) == 0);
    for (uint32_t i = 1; i < items.count; i++) {
        CHECK_INT(checkpoint_feed(reader, view_of(&items, i), NULL), ==, 0);
    }
    CHECK_INT(checkpoint_missing(reader), ==, 0);
    CHECK_INT(checkpoint_feed(reader, view_of(&items, 1), NULL), ==, WM_E_MALFORMED);
    checkpoint_drop(reader);
    /* Of another service. */
    diag = (struct wm_diag)WM_DIAG_INIT;
    CHECK_INT(checkpoint_open(&config, wm_view_str("another"), view_of(&items, 0), &reader, &diag),
              ==, WM_E_FORGED);
    CHECK_STR(wm_diag_text(&diag), "checkpoint: it is of another service");
    /* Larger than there is room for. */
    config.state_bytes_max = 300000;
    REQUIRE(checkpoint_open(&config, ledger.genesis, view_of(&items, 0), &reader, NULL) == 0);
    int rc = 0;
    for (uint32_t i = 1; i < items.count && rc == 0; i++) {
        rc = checkpoint_feed(reader, view_of(&items, i), &diag);
    }
    CHECK_INT(rc, ==, WM_E_LIMIT);
    checkpoint_drop(reader);
    drop_items(&items);
    fake_stop(&ledger);
}

static int stop_at(void *self, struct wm_view item)
{
    uint32_t *left = self;
    (void)item;
    return (*left)-- == 0 ? -EIO : 0;
}

TEST(a_writer_that_fails_ends_it)
{
    struct checkpoint *checkpoint;
    fake_start(&ledger, &(struct fake_options){0});
    run_batches(35);
    REQUIRE(checkpoint_begin(ledger.executor, &checkpoint) == 0);
    for (uint32_t n = 0; n < 4; n++) {
        uint32_t left = n;
        CHECK_INT(checkpoint_write(checkpoint, stop_at, &left), ==, -EIO);
        CHECK_INT(left, ==, UINT32_MAX);
    }
    checkpoint_end(ledger.executor, checkpoint);
    fake_stop(&ledger);
}

TEST(failed_allocations_are_told)
{
    struct items items;
    struct executor *made;
    fake_start(&ledger, &(struct fake_options){0});
    fake_ask(&ledger, 0, "smallbank.load",
             fake_array(&arguments, "uui", UINT64_C(0), UINT64_C(5), INT64_C(7)));
    (void)fake_batch(&ledger);
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n); rounds++) {
        struct checkpoint *checkpoint;
        int rc = checkpoint_begin(ledger.executor, &checkpoint);
        items = (struct items){0};
        if (rc == 0) {
            rc = checkpoint_write(checkpoint, take_item, &items);
            checkpoint_end(ledger.executor, checkpoint);
        }
        if (rc == 0) {
            rc = read_items(&items, &made, NULL);
        }
        CHECK(rc == 0 || (rc == -ENOMEM && wm_fault_fired(WM_FAULT_ALLOC)));
        if (rc == 0) {
            check_heads(made, ledger.executor);
            executor_free(made);
        }
        drop_items(&items);
    }
    CHECK_INT(rounds, >, 8);
    fake_stop(&ledger);
}

TEST_MAIN(TEST_CASE(an_executor_goes_on_from_a_checkpoint),
          TEST_CASE(pieces_are_cut_by_their_bytes_alone),
          TEST_CASE(a_snapshot_is_of_its_batch_whatever_follows),
          TEST_CASE(checkpoints_in_the_middle_of_a_change),
          TEST_CASE(a_configuration_to_come_is_not_in_it),
          TEST_CASE(who_reads_knows_what_must_be_committed), TEST_CASE(a_changed_byte_is_refused),
          TEST_CASE(pieces_come_in_order_and_once), TEST_CASE(a_writer_that_fails_ends_it),
          TEST_CASE(failed_allocations_are_told))
