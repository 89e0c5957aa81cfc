/* The application, the post and the journals of four replicas. */
#include "bft/test_agreement.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "proof/agreement.h"

#define REPLICAS AGREEMENT_REPLICAS
#define MS AGREEMENT_MS
#define BATCHES 4096u

/* An application whose state is a hash over all requests so far. */
struct app {
    ledger_hash states[BATCHES]; /* after batch s */
    struct {
        uint8_t *bytes;
        size_t len;
    } transactions[BATCHES], entries[BATCHES][5];
    uint64_t newest, committed;
    struct bft_entries kept[BATCHES];
    const struct configuration *configuration;
};

static int app_execute(void *self, const struct bft_batch *batch, struct bft_executed *executed)
{
    struct app *app = self;
    struct merkle tree;
    struct wm_sha256 hash;
    merkle_init(&tree);
    wm_sha256_init(&hash);
    wm_sha256_add(&hash, wm_view_of(app->states[batch->seqno - 1], 32));
    struct cbor_writer counter = cbor_writer_of(NULL, 0);
    uint8_t *bytes = malloc(batch->count * 1024 + 64);
    struct cbor_writer writer = cbor_writer_of(bytes, batch->count * 1024 + 64);
    transactions_put_head(&writer, batch->seqno, batch->count);
    (void)counter;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct transaction_item item = {.request = batch->requests[i].request,
                                        .has_arguments = true,
                                        .arguments = batch->requests[i].arguments};
        uint8_t leaf[TRANSACTION_BYTES_MAX];
        struct cbor_writer one = cbor_writer_of(leaf, sizeof leaf);
        merkle_hash hashed;
        transaction_put(&one, batch->first_index + i, batch->requests[i].hash, &item.output);
        merkle_leaf(wm_view_of(leaf, one.len), hashed);
        WM_ASSERT(merkle_add(&tree, hashed));
        wm_sha256_add(&hash, wm_view_of(batch->requests[i].hash, 32));
        transaction_item_put(&writer, &item);
    }
    free(app->transactions[batch->seqno].bytes);
    app->transactions[batch->seqno].bytes = bytes;
    app->transactions[batch->seqno].len = writer.len;
    wm_sha256_end(&hash, app->states[batch->seqno]);
    app->newest = batch->seqno;
    executed->taken = batch->count;
    merkle_root(&tree, executed->root);
    memcpy(executed->state_root, app->states[batch->seqno], 32);
    return 0;
}

static bool app_check(void *self, const struct bft_request *request)
{
    (void)self;
    (void)request;
    return true;
}

static struct wm_view app_transactions(void *self, uint64_t seqno)
{
    struct app *app = self;
    return wm_view_of(app->transactions[seqno].bytes, app->transactions[seqno].len);
}

static void app_undo(void *self, uint64_t seqno)
{
    ((struct app *)self)->newest = seqno;
}

static void keep(struct app *app, uint64_t seqno, int which, struct wm_view *view)
{
    uint8_t *copy = malloc(view->len + 1);
    if (view->len) {
        memcpy(copy, view->ptr, view->len);
    }
    app->entries[seqno][which].bytes = copy;
    view->ptr = copy;
}

static void app_commit(void *self, const struct bft_entries *entries)
{
    struct app *app = self;
    WM_ASSERT(entries->seqno == app->committed + 1);
    app->committed = entries->seqno;
    struct bft_entries *kept = &app->kept[entries->seqno];
    *kept = *entries;
    keep(app, entries->seqno, 0, &kept->view_changes);
    keep(app, entries->seqno, 1, &kept->new_view);
    keep(app, entries->seqno, 2, &kept->evidence);
    keep(app, entries->seqno, 3, &kept->preprepare);
    keep(app, entries->seqno, 4, &kept->transactions);
}

static bool app_read(void *self, uint64_t seqno, void (*take)(void *, const struct bft_entries *),
                     void *taker)
{
    struct app *app = self;
    if (seqno == 0 || seqno > app->committed) {
        return false;
    }
    take(taker, &app->kept[seqno]);
    return true;
}

static const struct configuration *app_configuration(void *self, uint64_t cfg)
{
    return cfg == 0 ? ((struct app *)self)->configuration : NULL;
}

struct replica {
    struct bft *bft;
    struct app *app;
    struct sign_key key;
    bool down;
    struct {
        uint8_t *bytes;
        size_t len;
    } journal[8192];
    uint32_t records, opened_with;
    uint32_t replies;
};

struct mail {
    uint32_t from, to;
    uint8_t *bytes;
    size_t len;
};

struct agreement {
    struct configuration configuration;
    ledger_hash service;
    struct replica replicas[REPLICAS];
    struct mail *mail;
    size_t first, last, room;
    uint64_t now;
    uint64_t numbers;
    struct sign_key client;
    agreement_way *way;
    void *way_self;
};

static void post(struct agreement *all, uint32_t from, uint32_t to, struct wm_view bytes)
{
    uint8_t *copy = malloc(bytes.len + 1);
    size_t len = bytes.len;
    memcpy(copy, bytes.ptr, bytes.len);
    if (all->way && !all->way(all->way_self, from, to, &copy, &len)) {
        free(copy);
        return;
    }
    if (all->last == all->room) {
        all->room = all->room ? all->room * 2 : 1024;
        all->mail = realloc(all->mail, all->room * sizeof *all->mail);
    }
    all->mail[all->last++] = (struct mail){from, to, copy, len};
}

static void step(struct agreement *all, uint32_t r, const struct bft_event *event)
{
    struct replica *replica = &all->replicas[r];
    struct bft_effects effects;
    uint32_t before = replica->records;
    bft_effects_init(&effects);
    bft_step(replica->bft, all->now, event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        const struct bft_effect *effect = &effects.items[i];
        switch (effect->kind) {
        case BFT_PERSIST: {
            uint8_t *copy = malloc(effect->bytes.len);
            memcpy(copy, effect->bytes.ptr, effect->bytes.len);
            replica->journal[replica->records].bytes = copy;
            replica->journal[replica->records++].len = effect->bytes.len;
            break;
        }
        case BFT_SEND: post(all, r, effect->to, effect->bytes); break;
        case BFT_BROADCAST:
            for (uint32_t to = 0; to < REPLICAS; to++) {
                if (to != r) {
                    post(all, r, to, effect->bytes);
                }
            }
            break;
        case BFT_REPLY: replica->replies++; break;
        case BFT_COMMITTED:
        case BFT_VIEW:
        case BFT_ALARM:
        case BFT_BEHIND:
        case BFT_HALT: break;
        }
    }
    bft_effects_fini(&effects);
    if (replica->records > before) { /* this disk is always in time */
        step(all, r,
             &(struct bft_event){.kind = BFT_EVENT_SYNCED,
                                 .records = replica->records - replica->opened_with});
    }
}

void agreement_open(struct agreement *all, uint32_t r)
{
    struct replica *replica = &all->replicas[r];
    struct app *app = replica->app;
    struct bft_config config = {
        .replica = r,
        .key = &replica->key,
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
        .app = {.self = app,
                .execute = app_execute,
                .check = app_check,
                .transactions = app_transactions,
                .undo_to = app_undo,
                .commit = app_commit,
                .read = app_read,
                .configuration = app_configuration},
    };
    memcpy(config.service, all->service, 32);
    bft_genesis_head(&config.head);
    WM_ASSERT(bft_new(&config, all->now, &replica->bft, NULL) == 0);
    for (uint32_t i = 0; i < replica->records; i++) {
        struct bft_event event = {
            .kind = BFT_EVENT_RECORD,
            .bytes = wm_view_of(replica->journal[i].bytes, replica->journal[i].len)};
        struct bft_effects effects;
        bft_effects_init(&effects);
        bft_step(replica->bft, all->now, &event, &effects);
        bft_effects_fini(&effects);
    }
    replica->down = false;
    replica->opened_with = replica->records;
    step(all, r, &(struct bft_event){.kind = BFT_EVENT_START});
}

void agreement_close(struct agreement *all, uint32_t r, bool lose_disk)
{
    struct replica *replica = &all->replicas[r];
    bft_free(replica->bft);
    replica->bft = NULL;
    replica->down = true;
    /* The application starts from nothing: everything comes from the journal, or from others. */
    const struct configuration *configuration = replica->app->configuration;
    for (uint32_t s = 0; s < BATCHES; s++) {
        free(replica->app->transactions[s].bytes);
        for (int k = 0; k < 5; k++) {
            free(replica->app->entries[s][k].bytes);
        }
    }
    memset(replica->app, 0, sizeof *replica->app);
    replica->app->configuration = configuration;
    if (lose_disk) {
        for (uint32_t i = 0; i < replica->records; i++) {
            free(replica->journal[i].bytes);
        }
        replica->records = 0;
    }
}

/* Delivers what is on its way and lets time pass, until `ms` are over. */
void agreement_run(struct agreement *all, uint64_t ms)
{
    uint64_t end = all->now + ms * MS;
    while (all->now < end) {
        while (all->first < all->last) {
            struct mail mail = all->mail[all->first++];
            if (!all->replicas[mail.to].down) {
                step(all, mail.to,
                     &(struct bft_event){.kind = BFT_EVENT_MESSAGE,
                                         .from = mail.from,
                                         .bytes = wm_view_of(mail.bytes, mail.len)});
            }
            free(mail.bytes);
        }
        uint64_t next = end;
        for (uint32_t r = 0; r < REPLICAS; r++) {
            uint64_t due =
                all->replicas[r].down ? UINT64_MAX : bft_deadline_ns(all->replicas[r].bft);
            next = due < next ? due : next;
        }
        all->now = next > all->now ? next : all->now + MS / 10;
        for (uint32_t r = 0; r < REPLICAS; r++) {
            if (!all->replicas[r].down) {
                step(all, r, &(struct bft_event){.kind = BFT_EVENT_TICK});
            }
        }
    }
}

void agreement_submit(struct agreement *all, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct request_claims claims = {.number = ++all->numbers, .minimum_index = 0};
        claims.procedure = wm_view_str("echo");
        memcpy(claims.service, all->service, 32);
        uint8_t encoded[256], header[COSE_PROTECTED_BYTES_MAX], bytes[REQUEST_BYTES_MAX];
        struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
        struct statement_parts parts;
        ledger_hash payload;
        wm_sha256_once(wm_view_of(NULL, 0), payload);
        request_claims_put(&writer, &claims);
        agreement_sign(&all->client, false, wm_view_of(encoded, writer.len), payload, header,
                       &parts);
        struct cose_statement statement = {.protected_header = parts.header, .attached = true};
        memcpy(statement.payload, payload, 32);
        memcpy(statement.signature, parts.signature, 64);
        struct cbor_writer whole = cbor_writer_of(bytes, sizeof bytes);
        cose_put_sign1(&whole, &statement);
        for (uint32_t r = 0; r < REPLICAS; r++) {
            if (!all->replicas[r].down) {
                step(all, r,
                     &(struct bft_event){
                         .kind = BFT_EVENT_REQUEST,
                         .request = {.request = wm_view_of(bytes, whole.len), .checked = true}});
            }
        }
    }
}

struct agreement *agreement_new(uint32_t pipeline)
{
    struct agreement *all = calloc(1, sizeof *all);
    uint8_t seed[32] = {9};
    sign_key_init(&all->client, seed);
    all->service[0] = 7;
    all->now = 1000 * MS;
    struct configuration *configuration = &all->configuration;
    configuration->replica_count = REPLICAS;
    configuration->parameters = (struct ledger_parameters){pipeline, 16, 10};
    for (uint32_t r = 0; r < REPLICAS; r++) {
        seed[0] = (uint8_t)(r + 1);
        sign_key_init(&all->replicas[r].key, seed);
        configuration->replicas[r].id = r;
        memcpy(configuration->replicas[r].key, all->replicas[r].key.public_key, 32);
        all->replicas[r].app = calloc(1, sizeof *all->replicas[r].app);
        all->replicas[r].app->configuration = configuration;
    }
    for (uint32_t r = 0; r < REPLICAS; r++) {
        agreement_open(all, r);
    }
    agreement_run(all, 10);
    return all;
}

void agreement_free(struct agreement *all)
{
    for (uint32_t r = 0; r < REPLICAS; r++) {
        agreement_close(all, r, true);
        free(all->replicas[r].app);
    }
    while (all->first < all->last) {
        free(all->mail[all->first++].bytes);
    }
    free(all->mail);
    free(all);
}

/* All who run have committed the same batches, as far as both have. */
bool agreement_holds(struct agreement *all, uint32_t but)
{
    for (uint32_t a = 0; a < REPLICAS; a++) {
        for (uint32_t b = 0; b < a && a != but; b++) {
            if (b == but) {
                continue;
            }
            struct app *x = all->replicas[a].app, *y = all->replicas[b].app;
            for (uint64_t s = 1; s <= x->committed && s <= y->committed; s++) {
                if (!wm_view_eq(x->kept[s].preprepare, y->kept[s].preprepare) ||
                    !wm_view_eq(x->kept[s].evidence, y->kept[s].evidence) ||
                    !wm_view_eq(x->kept[s].transactions, y->kept[s].transactions) ||
                    !wm_view_eq(x->kept[s].new_view, y->kept[s].new_view)) {
                    return false;
                }
            }
        }
    }
    return true;
}

void agreement_on_way(struct agreement *all, agreement_way *way, void *self)
{
    all->way = way;
    all->way_self = self;
}

struct bft *agreement_bft(struct agreement *all, uint32_t replica)
{
    return all->replicas[replica].bft;
}

uint32_t agreement_replies(const struct agreement *all, uint32_t replica)
{
    return all->replicas[replica].replies;
}
