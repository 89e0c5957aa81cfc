/* Executors under true agreement: four replicas in one process whose messages are carried by hand,
 * a change of configuration, a lost primary, a restart from what is stored. What the protocol
 * itself promises is test/sim's business; this shows that the parts fit. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/test.h"
#include "ledger/entries_replay.h"
#include "ledger/ledger_fake.h"
#include "ledger/receipts.h"
#include "proof/ledger_receipt.h"

#define REPLICAS 4u
#define MS UINT64_C(1000000)
#define BATCHES_MAX 2048u
#define RECORDS_MAX 16384u

struct bytes {
    uint8_t *ptr;
    size_t len;
};

struct replica {
    struct bft *bft;
    struct executor *executor;
    struct fake_entries *stored; /* by seqno; outlives a restart, as does: */
    struct bytes *journal;
    uint32_t records;
};

struct mail {
    uint32_t from, to;
    struct bytes bytes;
};

static struct fake_ledger clients; /* whose requests and keys are used; its own ledger is empty */
static struct replica replicas[REPLICAS];
static struct mail *mail;
static size_t mail_first, mail_last, mail_room;
static uint64_t now;

static struct bytes copy_of(struct wm_view bytes)
{
    struct bytes copy = {malloc(bytes.len + 1), bytes.len};
    WM_ASSERT(copy.ptr);
    if (bytes.len > 0) {
        memcpy(copy.ptr, bytes.ptr, bytes.len);
    }
    return copy;
}

/* --- What an application keeps --- */

static void on_committed(void *self, const struct bft_entries *entries)
{
    struct replica *replica = self;
    WM_ASSERT(entries->seqno < BATCHES_MAX);
    struct fake_entries *kept = &replica->stored[entries->seqno];
    if (kept->entries.seqno != 0) {
        return; /* it is being replayed */
    }
    const struct wm_view views[5] = {entries->view_changes, entries->new_view, entries->evidence,
                                     entries->preprepare, entries->transactions};
    size_t len = 0;
    for (uint32_t i = 0; i < 5; i++) {
        len += views[i].len;
    }
    kept->bytes = malloc(len);
    WM_ASSERT(kept->bytes);
    kept->entries = *entries;
    struct wm_view *to[5] = {&kept->entries.view_changes, &kept->entries.new_view,
                             &kept->entries.evidence, &kept->entries.preprepare,
                             &kept->entries.transactions};
    size_t at = 0;
    for (uint32_t i = 0; i < 5; i++) {
        if (views[i].len > 0) {
            memcpy(kept->bytes + at, views[i].ptr, views[i].len);
        }
        *to[i] = wm_view_of(kept->bytes + at, views[i].len);
        at += views[i].len;
    }
}

static bool on_read(void *self, uint64_t seqno, void (*take)(void *, const struct bft_entries *),
                    void *taker)
{
    const struct replica *replica = self;
    if (seqno == 0 || seqno >= BATCHES_MAX || replica->stored[seqno].entries.seqno == 0) {
        return false;
    }
    take(taker, &replica->stored[seqno].entries);
    return true;
}

/* --- Replicas --- */

static void post(uint32_t from, uint32_t to, struct wm_view bytes)
{
    if (mail_last == mail_room) {
        mail_room = mail_room ? mail_room * 2 : 1024;
        mail = realloc(mail, mail_room * sizeof *mail);
        WM_ASSERT(mail);
    }
    mail[mail_last++] = (struct mail){from, to, copy_of(bytes)};
}

static void step(uint32_t r, const struct bft_event *event)
{
    struct replica *replica = &replicas[r];
    struct bft_effects effects;
    bft_effects_init(&effects);
    bft_step(replica->bft, now, event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        const struct bft_effect *effect = &effects.items[i];
        CHECK(effect->kind != BFT_HALT && effect->kind != BFT_ALARM);
        if (effect->kind == BFT_PERSIST) {
            WM_ASSERT(replica->records < RECORDS_MAX);
            replica->journal[replica->records++] = copy_of(effect->bytes);
        } else if (effect->kind == BFT_SEND) {
            post(r, effect->to, effect->bytes);
        } else if (effect->kind == BFT_BROADCAST) {
            for (uint32_t to = 0; to < REPLICAS; to++) {
                if (to != r) {
                    post(r, to, effect->bytes);
                }
            }
        }
    }
    bft_effects_fini(&effects);
}

/* Starts a replica from what it has stored: its ledger, then its journal. */
static void open_replica(uint32_t r)
{
    struct replica *replica = &replicas[r];
    struct executor_config config = fake_config(&clients);
    struct entries_replay *run;
    config.self = replica;
    config.committed = on_committed;
    config.read = on_read;
    config.keep = 64;
    int rc = executor_new(&config, clients.genesis, &replica->executor, NULL);
    WM_ASSERT(rc == 0 && entries_replay_new(replica->executor, true, &run) == 0);
    for (uint64_t s = 1; replica->stored[s].entries.seqno != 0; s++) {
        CHECK_INT(entries_replay_step(run, &replica->stored[s].entries, NULL, NULL), ==, 0);
    }
    entries_replay_free(run);
    struct bft_config agreement = {
        .replica = r,
        .key = &clients.replicas[r],
        .nonce_secret = {(uint8_t)(r + 1)},
        .timing = {.batch_ns = MS,
                   .request_ns = 100 * MS,
                   .view_ns = 200 * MS,
                   .fetch_ns = 20 * MS,
                   .status_ns = 50 * MS},
        .limits = {.requests = 1000,
                   .request_bytes = 1 << 20,
                   .requests_of_client = 1000,
                   .early_bytes = 1 << 20},
        .app = executor_app(replica->executor),
        .head = *executor_head(replica->executor),
    };
    memcpy(agreement.service, executor_service(replica->executor), sizeof agreement.service);
    rc = bft_new(&agreement, now, &replica->bft, NULL);
    WM_ASSERT(rc == 0);
    for (uint32_t i = 0; i < replica->records; i++) {
        const struct bytes *record = &replica->journal[i];
        struct bft_effects effects;
        bft_effects_init(&effects);
        bft_step(replica->bft, now,
                 &(struct bft_event){.kind = BFT_EVENT_RECORD,
                                     .bytes = wm_view_of(record->ptr, record->len)},
                 &effects);
        bft_effects_fini(&effects);
    }
    step(r, &(struct bft_event){.kind = BFT_EVENT_START});
}

static void close_replica(uint32_t r)
{
    bft_free(replicas[r].bft);
    executor_free(replicas[r].executor);
    replicas[r].bft = NULL;
    replicas[r].executor = NULL;
}

static void start(uint32_t pipeline)
{
    fake_start(&clients, &(struct fake_options){.pipeline = pipeline, .no_entries = true});
    now = MS;
    for (uint32_t r = 0; r < REPLICAS; r++) {
        replicas[r].stored = calloc(BATCHES_MAX, sizeof *replicas[r].stored);
        replicas[r].journal = calloc(RECORDS_MAX, sizeof *replicas[r].journal);
        WM_ASSERT(replicas[r].stored && replicas[r].journal);
    }
    for (uint32_t r = 0; r < REPLICAS; r++) {
        open_replica(r);
    }
}

static void stop(void)
{
    for (uint32_t r = 0; r < REPLICAS; r++) {
        close_replica(r);
        for (uint32_t s = 0; s < BATCHES_MAX; s++) {
            free(replicas[r].stored[s].bytes);
        }
        for (uint32_t i = 0; i < replicas[r].records; i++) {
            free(replicas[r].journal[i].ptr);
        }
        free(replicas[r].stored);
        free(replicas[r].journal);
        replicas[r] = (struct replica){0};
    }
    while (mail_first < mail_last) {
        free(mail[mail_first++].bytes.ptr);
    }
    free(mail);
    mail = NULL;
    mail_first = mail_last = mail_room = 0;
    fake_stop(&clients);
}

static void run(uint64_t ms)
{
    uint64_t end = now + ms * MS;
    while (now < end) {
        while (mail_first < mail_last) {
            struct mail one = mail[mail_first++];
            if (replicas[one.to].bft) {
                step(one.to,
                     &(struct bft_event){.kind = BFT_EVENT_MESSAGE,
                                         .from = one.from,
                                         .bytes = wm_view_of(one.bytes.ptr, one.bytes.len)});
            }
            free(one.bytes.ptr);
        }
        uint64_t next = end;
        for (uint32_t r = 0; r < REPLICAS; r++) {
            uint64_t due = replicas[r].bft ? bft_deadline_ns(replicas[r].bft) : UINT64_MAX;
            next = due < next ? due : next;
        }
        now = next > now ? next : now + MS / 10;
        for (uint32_t r = 0; r < REPLICAS; r++) {
            if (replicas[r].bft) {
                step(r, &(struct bft_event){.kind = BFT_EVENT_TICK});
            }
        }
    }
}

/* Gives what waits at `clients` to all replicas that run. */
static void submit(void)
{
    for (uint32_t i = 0; i < clients.request_count; i++) {
        for (uint32_t r = 0; r < REPLICAS; r++) {
            if (replicas[r].bft) {
                struct bft_request request = clients.requests[i].request;
                request.checked = r != 2; /* one leaves the checking to its executor */
                step(r, &(struct bft_event){.kind = BFT_EVENT_REQUEST, .request = request});
            }
        }
    }
    fake_drop_requests(&clients);
}

static void ask(uint32_t count)
{
    static uint64_t account;
    struct fake_arguments arguments;
    for (uint32_t i = 0; i < count; i++) {
        fake_ask(&clients, i % FAKE_CLIENTS, "smallbank.create_account",
                 fake_array(&arguments, "uii", account++, INT64_C(10), INT64_C(20)));
    }
    submit();
}

static void check_agreed(void)
{
    const struct bft_head *head = executor_head(replicas[1].executor);
    for (uint32_t r = 0; r < REPLICAS; r++) {
        const struct bft_head *other = executor_head(replicas[r].executor);
        CHECK_INT(other->seqno, ==, head->seqno);
        CHECK_INT(other->next_index, ==, head->next_index);
        CHECK_INT(other->cfg, ==, head->cfg);
        CHECK(memcmp(other->name, head->name, sizeof head->name) == 0);
        CHECK(memcmp(other->state_root, head->state_root, sizeof head->state_root) == 0);
        struct bft_status status;
        bft_status(replicas[r].bft, &status);
        CHECK_INT(status.committed_seqno, ==, head->seqno);
    }
}

/* Somebody who trusts none of them reads a replica's ledger. */
static void check_replays(uint32_t r)
{
    struct executor_config config = fake_config(&clients);
    struct executor *executor;
    struct entries_replay *audit;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(executor_new(&config, clients.genesis, &executor, NULL) == 0);
    REQUIRE(entries_replay_new(executor, false, &audit) == 0);
    for (uint64_t s = 1; replicas[r].stored[s].entries.seqno != 0; s++) {
        int rc = entries_replay_step(audit, &replicas[r].stored[s].entries, NULL, &diag);
        if (rc != 0) {
            wm_test_note("%s", wm_diag_text(&diag));
        }
        REQUIRE(rc == 0);
    }
    CHECK(memcmp(executor_head(executor)->name, executor_head(replicas[r].executor)->name,
                 sizeof(ledger_hash)) == 0);
    entries_replay_free(audit);
    executor_free(executor);
}

static const struct configuration *configuration_of(void *self, uint64_t cfg)
{
    return executor_configuration(self, cfg);
}

TEST(replicas_execute_the_same)
{
    uint8_t bytes[LEDGER_RECEIPT_BYTES_MAX];
    size_t len;
    start(2);
    for (uint32_t i = 0; i < 10; i++) {
        ask(20);
        run(20);
    }
    run(500);
    check_agreed();
    CHECK_INT(executor_head(replicas[0].executor)->next_index, ==, 201);
    CHECK_INT(vmap_count(executor_state(replicas[3].executor)), >=, 400);
    check_replays(3);
    /* A receipt, from the shares that agreement holds. */
    struct quorum quorum;
    struct ledger_receipt_facts facts;
    struct agreement_configurations known = {replicas[3].executor, configuration_of};
    const struct kept_batch *batch = executor_batch_of(replicas[3].executor, 200);
    REQUIRE(batch && bft_quorum(replicas[3].bft, batch->seqno, &quorum));
    receipt_direct(batch, 0, &quorum, bytes, &len);
    CHECK_INT(ledger_receipt_verify(wm_view_of(bytes, len), executor_service(replicas[3].executor),
                                    &known, &facts, NULL),
              ==, 0);
    stop();
}

TEST(a_lost_primary_comes_back_from_its_disk)
{
    start(2);
    ask(50);
    run(30);
    ask(50);
    run(1); /* in the midst of it */
    close_replica(0);
    ask(50);
    run(2000);
    ask(50);
    run(500);
    open_replica(0);
    run(2000);
    ask(10);
    run(500);
    check_agreed();
    CHECK_INT(executor_head(replicas[0].executor)->next_index, ==, 211);
    CHECK(executor_head(replicas[0].executor)->view > 0);
    for (uint32_t r = 0; r < REPLICAS; r++) {
        check_replays(r);
    }
    stop();
}

TEST(a_configuration_changes_under_way)
{
    struct fake_arguments arguments;
    uint8_t bytes[64];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    start(2);
    ask(20);
    run(20);
    cbor_put_array(&writer, 1);
    cbor_put_array(&writer, 2);
    cbor_put_uint(&writer, 7);
    cbor_put_array(&writer, 3);
    cbor_put_uint(&writer, 4);
    cbor_put_uint(&writer, 16);
    cbor_put_uint(&writer, 50);
    fake_ask(&clients, FAKE_CLIENTS, "governance.propose", wm_view_of(bytes, writer.len));
    submit();
    ask(20);
    run(50);
    for (uint32_t member = 1; member <= 2; member++) {
        fake_ask(&clients, FAKE_CLIENTS + member, "governance.vote",
                 fake_array(&arguments, "u", UINT64_C(1)));
        submit();
        ask(20);
        run(50);
    }
    run(1000);
    check_agreed();
    const struct bft_head *head = executor_head(replicas[0].executor);
    CHECK_INT(head->cfg, ==, 1);
    CHECK_INT(head->next_index, ==, 1 + 4 * 20 + 3);
    CHECK_INT(head->reconfigured_at, ==, 0);
    ask(30);
    run(500);
    check_agreed();
    CHECK_INT(head->next_index, ==, 1 + 4 * 20 + 3 + 30);
    check_replays(2);
    stop();
}

TEST_MAIN(TEST_CASE(replicas_execute_the_same), TEST_CASE(a_lost_primary_comes_back_from_its_disk),
          TEST_CASE(a_configuration_changes_under_way))
