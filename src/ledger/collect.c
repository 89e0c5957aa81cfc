/* Batches by their pre-prepare's name, requests by their hash. A batch whose quorum was checked
 * keeps it, and later REPLYX of it are done at once. */
#include "ledger/collect.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"

struct share {
    bool is_there;
    ledger_signature signature;
    ledger_nonce nonce;
};

/* A REPLYX that waits for its batch's quorum. */
struct waiting {
    struct waiting *next;
    struct client_replyx replyx; /* `result` points behind */
    size_t result_len;
    uint8_t result[];
};

struct batch {
    bool used;
    uint64_t cfg, view, seqno;
    ledger_hash name; /* of the pre-prepare */
    struct share shares[LEDGER_REPLICAS_MAX];
    bool primary_opened;
    ledger_nonce primary_nonce;
    bool has_header;
    uint8_t header[COSE_PROTECTED_BYTES_MAX];
    size_t header_len;
    ledger_hash root;
    ledger_signature signature;
    bool whole; /* `quorum` was checked, and these are its claims */
    struct preprepare_claims claims;
    struct quorum quorum;
    struct waiting *waiting;
};

struct expected {
    struct expected *next;
    ledger_hash hash;
    size_t len;
    uint8_t bytes[];
};

struct collect {
    struct collect_config config;
    struct expected **by_hash;
    uint32_t buckets; /* a power of two */
    uint32_t count;
    struct batch *batches; /* the oldest is replaced */
    uint32_t next_batch;
};

struct collect *collect_new(const struct collect_config *config)
{
    struct collect *collect = wm_alloc_zero(1, sizeof *collect);
    if (!collect) {
        return NULL;
    }
    collect->config = *config;
    collect->buckets = 64;
    while (collect->buckets < config->requests_max) {
        collect->buckets *= 2;
    }
    collect->by_hash = wm_alloc_zero(collect->buckets, sizeof(struct expected *));
    collect->batches = wm_alloc_zero(COLLECT_BATCHES, sizeof *collect->batches);
    if (!collect->by_hash || !collect->batches) {
        collect_free(collect);
        return NULL;
    }
    return collect;
}

static void batch_clear(struct batch *batch)
{
    for (struct waiting *waiting = batch->waiting, *next; waiting; waiting = next) {
        next = waiting->next;
        wm_free(waiting);
    }
    memset(batch, 0, sizeof *batch);
}

void collect_free(struct collect *collect)
{
    if (!collect) {
        return;
    }
    for (uint32_t i = 0; collect->by_hash && i < collect->buckets; i++) {
        for (struct expected *expected = collect->by_hash[i], *next; expected; expected = next) {
            next = expected->next;
            wm_free(expected);
        }
    }
    for (uint32_t i = 0; collect->batches && i < COLLECT_BATCHES; i++) {
        batch_clear(&collect->batches[i]);
    }
    wm_free(collect->by_hash);
    wm_free(collect->batches);
    wm_free(collect);
}

/* --- Requests --- */

static struct expected **place_of(const struct collect *collect, const ledger_hash hash)
{
    uint32_t bucket;
    memcpy(&bucket, hash, sizeof bucket);
    struct expected **place = &collect->by_hash[bucket & (collect->buckets - 1)];
    while (*place && memcmp((*place)->hash, hash, sizeof(ledger_hash)) != 0) {
        place = &(*place)->next;
    }
    return place;
}

int collect_expect(struct collect *collect, struct wm_view request)
{
    ledger_hash hash;
    wm_sha256_once(request, hash);
    struct expected **place = place_of(collect, hash);
    if (*place) {
        return 0;
    }
    if (collect->count == collect->config.requests_max) {
        return WM_E_LIMIT;
    }
    struct expected *expected = wm_alloc(sizeof *expected + request.len);
    if (!expected) {
        return -ENOMEM;
    }
    expected->next = NULL;
    expected->len = request.len;
    memcpy(expected->hash, hash, sizeof hash);
    memcpy(expected->bytes, request.ptr, request.len);
    *place = expected;
    collect->count++;
    return 0;
}

void collect_forget(struct collect *collect, const ledger_hash request)
{
    struct expected **place = place_of(collect, request);
    struct expected *expected = *place;
    if (expected) {
        *place = expected->next;
        wm_free(expected);
        collect->count--;
    }
}

uint32_t collect_waiting(const struct collect *collect)
{
    return collect->count;
}

/* --- Batches --- */

static struct batch *batch_of(struct collect *collect, uint64_t cfg, uint64_t view, uint64_t seqno,
                              const ledger_hash name)
{
    for (uint32_t i = 0; i < COLLECT_BATCHES; i++) {
        struct batch *batch =
            &collect->batches[(collect->next_batch + COLLECT_BATCHES - 1 - i) % COLLECT_BATCHES];
        if (batch->used && memcmp(batch->name, name, sizeof batch->name) == 0 &&
            batch->cfg == cfg && batch->view == view && batch->seqno == seqno) {
            return batch;
        }
    }
    struct batch *batch = &collect->batches[collect->next_batch];
    collect->next_batch = (collect->next_batch + 1) % COLLECT_BATCHES;
    batch_clear(batch);
    batch->used = true;
    batch->cfg = cfg;
    batch->view = view;
    batch->seqno = seqno;
    memcpy(batch->name, name, sizeof batch->name);
    return batch;
}

/* Does the transaction lie in the batch where this says? */
static bool is_in_batch(const struct batch *batch, const struct preprepare_claims *claims,
                        const struct client_replyx *replyx)
{
    uint8_t bytes[TRANSACTION_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    merkle_hash leaf, root;
    transaction_put(&writer, replyx->index, replyx->request, &replyx->output);
    WM_ASSERT(cbor_fits(&writer));
    merkle_leaf(wm_view_of(bytes, writer.len), leaf);
    return replyx->index == claims->first_index + replyx->position &&
           merkle_path_root(leaf, replyx->position, claims->count,
                            (const merkle_hash *)replyx->path, replyx->path_len, root) &&
           memcmp(root, batch->root, sizeof root) == 0;
}

/* Gives the receipt of a request that waits for one. */
static void finish(struct collect *collect, const struct batch *batch,
                   const struct client_replyx *replyx)
{
    struct expected *expected = *place_of(collect, replyx->request);
    uint8_t bytes[LEDGER_RECEIPT_BYTES_MAX];
    if (!expected || !is_in_batch(batch, &batch->claims, replyx)) {
        return; /* whoever sent it does not know the batch; another one may */
    }
    struct ledger_receipt receipt = {.request = wm_view_of(expected->bytes, expected->len),
                                     .output = replyx->output,
                                     .index = replyx->index,
                                     .position = replyx->position,
                                     .path_len = replyx->path_len,
                                     .quorum = batch->quorum};
    receipt.quorum.has_root = false;
    memcpy(receipt.path, replyx->path, replyx->path_len * sizeof *replyx->path);
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    ledger_receipt_put(&writer, &receipt);
    WM_ASSERT(cbor_fits(&writer));
    struct collect_done done = {.request = replyx->request,
                                .receipt = wm_view_of(bytes, writer.len),
                                .index = replyx->index,
                                .seqno = batch->seqno,
                                .output = &replyx->output,
                                .result = replyx->result};
    if (replyx->has_result && replyx->result.len == replyx->output.result_len) {
        ledger_hash result;
        wm_sha256_once(replyx->result, result);
        done.has_result = memcmp(result, replyx->output.result, sizeof result) == 0;
    }
    collect->config.done(collect->config.self, &done);
    collect_forget(collect, replyx->request);
}

/* Shares that are right, as a quorum; those that are not are dropped. */
static bool make_quorum(struct collect *collect, struct batch *batch,
                        const struct configuration *configuration)
{
    struct preprepare_claims *claims = &batch->claims;
    ledger_hash name, commitment;
    struct wm_view header = wm_view_of(batch->header, batch->header_len);
    if (agreement_preprepare(collect->config.service, configuration, header, batch->root,
                             batch->signature, claims, name, NULL) != 0) {
        batch->has_header = false; /* another replica may send a right one */
        return false;
    }
    uint32_t primary = agreement_primary(claims->view, configuration->replica_count);
    uint32_t wanted = ledger_quorum(configuration->replica_count), opened = 0;
    struct quorum *quorum = &batch->quorum;
    *quorum = (struct quorum){.header = header, .has_root = true};
    memcpy(quorum->root, batch->root, sizeof quorum->root);
    memcpy(quorum->signature, batch->signature, sizeof quorum->signature);
    for (uint32_t i = 0; i < configuration->replica_count && opened < wanted; i++) {
        struct share *share = &batch->shares[i];
        if (!share->is_there) {
            continue;
        }
        wm_sha256_once(wm_view_of(share->nonce, sizeof share->nonce), commitment);
        bool right = i == primary ? memcmp(commitment, claims->commitment, sizeof commitment) == 0
                                  : agreement_prepared_by(collect->config.service, configuration,
                                                          claims, name, batch->root, i, commitment,
                                                          share->signature);
        if (!right) {
            share->is_there = false;
            continue;
        }
        opened++;
        if (i == primary) {
            quorum->has_primary_nonce = true;
            memcpy(quorum->primary_nonce, share->nonce, sizeof quorum->primary_nonce);
        } else {
            struct quorum_share *kept = &quorum->shares[quorum->count++];
            kept->replica = i;
            memcpy(kept->signature, share->signature, sizeof kept->signature);
            memcpy(kept->nonce, share->nonce, sizeof kept->nonce);
        }
    }
    return opened >= wanted;
}

static void try_batch(struct collect *collect, struct batch *batch)
{
    const struct configuration *configuration =
        collect->config.configurations.get(collect->config.configurations.self, batch->cfg);
    if (!batch->whole) {
        uint32_t shares = 0;
        for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX; i++) {
            shares += batch->shares[i].is_there;
        }
        if (!batch->has_header || !configuration ||
            shares < ledger_quorum(configuration->replica_count) ||
            !make_quorum(collect, batch, configuration)) {
            return;
        }
        batch->whole = true;
    }
    struct waiting *waiting = batch->waiting;
    batch->waiting = NULL;
    for (struct waiting *next; waiting; waiting = next) {
        next = waiting->next;
        finish(collect, batch, &waiting->replyx);
        wm_free(waiting);
    }
}

static bool is_known(const struct collect *collect, uint64_t cfg)
{
    return collect->config.configurations.get(collect->config.configurations.self, cfg) != NULL;
}

bool collect_reply(struct collect *collect, const struct client_reply *reply)
{
    struct batch *batch =
        batch_of(collect, reply->cfg, reply->view, reply->seqno, reply->preprepare);
    struct share *share = &batch->shares[reply->position];
    if (batch->whole) {
        return true;
    }
    share->is_there = true;
    memcpy(share->signature, reply->signature, sizeof share->signature);
    memcpy(share->nonce, reply->nonce, sizeof share->nonce);
    try_batch(collect, batch);
    return is_known(collect, reply->cfg);
}

bool collect_replyx(struct collect *collect, const struct client_replyx *replyx)
{
    const struct statement_parts *parts = &replyx->preprepare;
    struct cose_statement statement;
    struct preprepare_claims claims;
    ledger_hash name;
    if (!*place_of(collect, replyx->request) || !cose_header(parts->header, &statement) ||
        preprepare_claims_get(statement.claims, &claims, NULL) != 0) {
        return true;
    }
    agreement_name(parts->header, parts->payload, name);
    struct batch *batch = batch_of(collect, claims.cfg, claims.view, claims.seqno, name);
    if (!batch->has_header) {
        memcpy(batch->header, parts->header.ptr, parts->header.len);
        batch->header_len = parts->header.len;
        memcpy(batch->root, parts->payload, sizeof batch->root);
        memcpy(batch->signature, parts->signature, sizeof batch->signature);
        batch->has_header = true;
    }
    size_t len = replyx->has_result ? replyx->result.len : 0;
    struct waiting *waiting = wm_alloc(sizeof *waiting + len);
    if (!waiting) {
        return true; /* as if it had been lost on the way */
    }
    waiting->replyx = *replyx;
    waiting->result_len = len;
    if (len > 0) {
        memcpy(waiting->result, replyx->result.ptr, len);
    }
    waiting->replyx.result = wm_view_of(waiting->result, len);
    waiting->next = batch->waiting;
    batch->waiting = waiting;
    try_batch(collect, batch);
    return is_known(collect, claims.cfg);
}
