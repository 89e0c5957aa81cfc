/* A service in the hands of a test. Everything is computed from the ground up each time: speed is
 * no concern here, and what is short is seen to be right. */
#include "proof/test_service.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/trie_test_model.h"
#include "proof/client_window.h"
#include "proof/statement.h"

static void *take(struct test_service *service, size_t len)
{
    void *memory = wm_arena_take(&service->arena, len, 1);
    WM_ASSERT(memory);
    return memory;
}

struct wm_view test_keep(struct test_service *service, struct wm_view bytes)
{
    uint8_t *copy = take(service, bytes.len);
    if (bytes.len > 0) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    return wm_view_of(copy, bytes.len);
}

static struct wm_view written(struct test_service *service, const struct cbor_writer *writer)
{
    WM_ASSERT(cbor_fits(writer));
    return test_keep(service, wm_view_of(writer->out, writer->len));
}

/* --- Keys --- */

static const struct sign_key *key_of(uint8_t kind, uint32_t id)
{
    static struct sign_key keys[3][TEST_IDS_MAX];
    static bool made[3][TEST_IDS_MAX];
    WM_ASSERT(kind < 3 && id < TEST_IDS_MAX);
    if (!made[kind][id]) {
        const uint8_t seed[SIGN_SEED_BYTES] = {0x77, kind, (uint8_t)id};
        sign_key_init(&keys[kind][id], seed);
        made[kind][id] = true;
    }
    return &keys[kind][id];
}

const struct sign_key *test_member_key(uint32_t id)
{
    return key_of(0, id);
}

const struct sign_key *test_replica_key(uint32_t id)
{
    return key_of(1, id);
}

const struct sign_key *test_client_key(uint32_t id)
{
    return key_of(2, id);
}

/* --- The service --- */

struct wm_view test_endorsement(struct test_service *service, uint32_t replica, uint32_t member)
{
    struct endorsement_claims claims = {.replica = replica, .member = member};
    struct cose_statement statement;
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    uint8_t bytes[COSE_SIGN1_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    memcpy(claims.salt, service->genesis.salt, sizeof claims.salt);
    endorsement_claims_put(&writer, &claims);
    statement_sign(test_member_key(member), false, wm_view_of(encoded, writer.len),
                   test_replica_key(replica)->public_key, header, &statement);
    statement.attached = false;
    struct cbor_writer whole = cbor_writer_of(bytes, sizeof bytes);
    cose_put_sign1(&whole, &statement);
    return written(service, &whole);
}

static struct ledger_replica replica_of(struct test_service *service, uint32_t id, uint32_t member)
{
    struct ledger_replica replica = {.id = id,
                                     .member = member,
                                     .address = wm_view_str("127.0.0.1:7000"),
                                     .endorsement = test_endorsement(service, id, member)};
    memcpy(replica.key, test_replica_key(id)->public_key, sizeof replica.key);
    return replica;
}

struct test_service *test_service_new(uint32_t replicas, uint32_t members, uint32_t pipeline)
{
    struct test_service *service = wm_alloc_zero(1, sizeof *service);
    WM_ASSERT(service);
    wm_arena_init(&service->arena, 0);
    struct genesis *genesis = &service->genesis;
    struct configuration *configuration = &genesis->configuration;
    genesis->name = wm_view_str("test");
    memset(genesis->salt, 0x5a, sizeof genesis->salt);
    genesis->time_s = 1700000000;
    configuration->member_count = members;
    configuration->replica_count = replicas;
    for (uint32_t i = 0; i < members; i++) {
        struct ledger_member *member = &configuration->members[i];
        *member = (struct ledger_member){.id = i + 1, .name = wm_view_str("member"), .weight = 1};
        memcpy(member->key, test_member_key(i + 1)->public_key, sizeof member->key);
    }
    for (uint32_t i = 0; i < replicas; i++) {
        configuration->replicas[i] = replica_of(service, i + 1, i % members + 1);
    }
    configuration->parameters = (struct ledger_parameters){pipeline, TEST_INTERVAL, 100};
    configuration->rules = (struct ledger_rules){50, 50, 50, 50};
    uint8_t *bytes = take(service, GENESIS_BYTES_MAX);
    struct cbor_writer writer = cbor_writer_of(bytes, GENESIS_BYTES_MAX);
    genesis_put(&writer, genesis);
    service->genesis_bytes = written(service, &writer);
    wm_sha256_once(service->genesis_bytes, service->service);
    return service;
}

void test_service_free(struct test_service *service)
{
    wm_arena_fini(&service->arena);
    wm_free(service);
}

/* --- Requests --- */

struct test_call test_request(struct test_service *service, const struct sign_key *key,
                              uint64_t number, uint64_t minimum_index, const char *procedure,
                              struct wm_view arguments)
{
    struct request_claims claims = {.number = number,
                                    .minimum_index = minimum_index,
                                    .procedure = wm_view_str(procedure),
                                    .arguments_len = (uint32_t)arguments.len};
    struct cose_statement statement;
    ledger_hash payload;
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    uint8_t bytes[REQUEST_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    memcpy(claims.service, service->service, sizeof claims.service);
    request_claims_put(&writer, &claims);
    wm_sha256_once(arguments, payload);
    statement_sign(key, false, wm_view_of(encoded, writer.len), payload, header, &statement);
    struct cbor_writer whole = cbor_writer_of(bytes, sizeof bytes);
    cose_put_sign1(&whole, &statement);
    return (struct test_call){written(service, &whole), test_keep(service, arguments)};
}

struct test_call test_put(struct test_service *service, uint32_t client, uint64_t number,
                          const char *key, const char *value)
{
    uint8_t bytes[512];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    cbor_put_array(&writer, 2);
    cbor_put_bytes(&writer, wm_view_str(key));
    cbor_put_bytes(&writer, wm_view_str(value));
    WM_ASSERT(cbor_fits(&writer));
    return test_request(service, test_client_key(client), number, 0, "test.put",
                        wm_view_of(bytes, writer.len));
}

struct test_call test_propose(struct test_service *service, uint32_t member, uint64_t number,
                              struct wm_view actions)
{
    return test_request(service, test_member_key(member), number, 0, "governance.propose", actions);
}

struct test_call test_vote(struct test_service *service, uint32_t member, uint64_t number,
                           uint32_t proposal)
{
    uint8_t bytes[16];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    cbor_put_array(&writer, 1);
    cbor_put_uint(&writer, proposal);
    return test_request(service, test_member_key(member), number, 0, "governance.vote",
                        wm_view_of(bytes, writer.len));
}

struct wm_view test_add_replica(struct test_service *service, uint32_t replica, uint32_t member)
{
    uint8_t bytes[1024];
    struct ledger_replica added = replica_of(service, replica, member);
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    cbor_put_array(&writer, 1);
    cbor_put_array(&writer, 2);
    cbor_put_uint(&writer, GOVERNANCE_ADD_REPLICA);
    ledger_replica_put(&writer, &added);
    return written(service, &writer);
}

struct wm_view test_remove_replica(struct test_service *service, uint32_t replica)
{
    uint8_t bytes[64];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    cbor_put_array(&writer, 1);
    cbor_put_array(&writer, 2);
    cbor_put_uint(&writer, GOVERNANCE_REMOVE_REPLICA);
    cbor_put_uint(&writer, replica);
    return written(service, &writer);
}

/* --- Procedures --- */

static enum procedure_code put(void *self, struct procedure_call *call, struct wm_view *result)
{
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct wm_view key, value;
    (void)self;
    (void)result;
    if (!cbor_array_of(&reader, 2) || !cbor_bytes(&reader, &key) || !cbor_bytes(&reader, &value) ||
        !cbor_end(&reader)) {
        return PROCEDURE_ARGUMENTS;
    }
    return procedure_put(call, key, value) == 0 ? PROCEDURE_DONE : PROCEDURE_LIMIT;
}

static enum procedure_code get(void *self, struct procedure_call *call, struct wm_view *result)
{
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct wm_view key;
    (void)self;
    if (!cbor_array_of(&reader, 1) || !cbor_bytes(&reader, &key) || !cbor_end(&reader)) {
        return PROCEDURE_ARGUMENTS;
    }
    int there = procedure_get(call, key, result);
    return there < 0 ? PROCEDURE_LIMIT : there ? PROCEDURE_DONE : PROCEDURE_REFUSED;
}

static int find(void *self, struct procedure_call *call, struct wm_view name, struct procedure *out)
{
    (void)self;
    bool is_put = wm_view_eq_str(name, "test.put");
    if (is_put || wm_view_eq_str(name, "test.get")) {
        *out = (struct procedure){.run = is_put ? put : get};
        wm_sha256_once(wm_view_str(is_put ? "wardmote:test.put:1" : "wardmote:test.get:1"),
                       out->digest);
        return 1;
    }
    return governance_find(call, name, out);
}

const struct procedure_table test_procedures = {.find = find};

/* --- States --- */

const struct test_pair *test_state_find(const struct test_state *state, struct wm_view key)
{
    for (uint32_t i = 0; i < state->count; i++) {
        if (wm_view_eq(state->pairs[i].key, key)) {
            return &state->pairs[i];
        }
    }
    return NULL;
}

static struct trie_model *model_of(const struct test_state *state)
{
    struct trie_model *model = wm_alloc_zero(1, sizeof *model);
    WM_ASSERT(model);
    for (uint32_t i = 0; i < state->count; i++) {
        trie_hash key, value;
        wm_sha256_once(state->pairs[i].key, key);
        wm_sha256_once(state->pairs[i].value, value);
        trie_model_put(model, key, value);
    }
    return model;
}

void test_state_prove(const struct test_state *state, struct wm_view key, struct state_proof *out)
{
    struct trie_model *model = model_of(state);
    struct trie_proof *proof = wm_alloc_zero(1, sizeof *proof);
    trie_hash hash;
    WM_ASSERT(proof);
    wm_sha256_once(key, hash);
    trie_model_prove(model, hash, proof);
    *out = (struct state_proof){.empty = proof->empty, .path_len = proof->path_len};
    memcpy(out->key_hash, proof->key_hash, sizeof out->key_hash);
    memcpy(out->value_hash, proof->value_hash, sizeof out->value_hash);
    for (uint32_t i = 0; i < proof->path_len; i++) {
        out->path[i].bit = proof->path[i].bit;
        memcpy(out->path[i].sibling, proof->path[i].sibling, sizeof out->path[i].sibling);
    }
    wm_free(proof);
    wm_free(model);
}

/* A state that changes while a batch is executed. */
struct changing {
    struct test_service *service;
    uint32_t count;
    struct test_pair pairs[512];
};

static int changing_get(void *self, struct wm_view key, struct wm_view *value)
{
    const struct changing *state = self;
    for (uint32_t i = 0; i < state->count; i++) {
        if (wm_view_eq(state->pairs[i].key, key)) {
            *value = state->pairs[i].value;
            return 1;
        }
    }
    return 0;
}

static void changing_remove(struct changing *state, struct wm_view key)
{
    for (uint32_t i = 0; i < state->count; i++) {
        if (wm_view_eq(state->pairs[i].key, key)) {
            state->pairs[i] = state->pairs[--state->count];
            return;
        }
    }
}

static int changing_put(void *self, struct wm_view key, struct wm_view value)
{
    struct changing *state = self;
    changing_remove(state, key);
    WM_ASSERT(state->count < WM_COUNT_OF(state->pairs));
    state->pairs[state->count++] =
        (struct test_pair){test_keep(state->service, key), test_keep(state->service, value)};
    return 0;
}

static struct changing *changing_of(struct test_service *service, const struct test_state *state)
{
    struct changing *changing = wm_alloc_zero(1, sizeof *changing);
    WM_ASSERT(changing);
    changing->service = service;
    changing->count = state ? state->count : 0;
    if (changing->count > 0) {
        memcpy(changing->pairs, state->pairs, changing->count * sizeof *changing->pairs);
    }
    return changing;
}

/* Ends it. */
static const struct test_state *kept_state(struct changing *changing)
{
    struct test_service *service = changing->service;
    struct test_state *state = take(service, sizeof *state);
    state->count = changing->count;
    state->pairs = (const struct test_pair *)test_keep(
                       service, wm_view_of(changing->pairs, changing->count * sizeof *state->pairs))
                       .ptr;
    struct trie_model *model = model_of(state);
    trie_model_root(model, state->root);
    wm_free(model);
    wm_free(changing);
    return state;
}

/* --- Ledgers --- */

struct test_ledger *test_ledger_new(struct test_service *service)
{
    struct test_ledger *ledger = take(service, sizeof *ledger);
    struct changing *begun = changing_of(service, NULL);
    ledger->service = service;
    ledger->head.next_index = 1;
    ledger->configurations[ledger->head.configuration_count++] = &service->genesis.configuration;
    int rc = governance_begin(&service->genesis, changing_put, begun);
    WM_ASSERT(rc == 0);
    ledger->head.state = kept_state(begun);
    return ledger;
}

struct test_ledger *test_ledger_fork(const struct test_ledger *ledger, uint64_t seqno)
{
    struct test_ledger *fork = test_ledger_new(ledger->service);
    const struct test_head begun = fork->head;
    *fork = *ledger;
    WM_ASSERT(seqno <= ledger->head.batch_count);
    fork->head = seqno > 0 ? ledger->batches[seqno - 1]->after : begun;
    return fork;
}

struct next {
    uint64_t seqno, cfg;
    enum batch_kind kind;
    uint32_t phase, pipeline;
};

static struct next next_of(const struct test_ledger *ledger)
{
    const struct test_head *head = &ledger->head;
    struct next next = {.seqno = head->batch_count + 1u, .cfg = head->cfg};
    if (head->reconfigured_at == 0) {
        next.pipeline = ledger->configurations[head->cfg]->parameters.pipeline;
        return next;
    }
    uint32_t k = (uint32_t)(next.seqno - head->reconfigured_at);
    next.pipeline = head->reconfigured_pipeline;
    next.kind = k <= 2 * next.pipeline ? BATCH_END : BATCH_START;
    next.phase = next.kind == BATCH_END ? k : k - 2 * next.pipeline;
    next.cfg += next.kind == BATCH_START && next.phase == 1;
    return next;
}

const struct configuration *test_configuration(const struct test_ledger *ledger)
{
    return ledger->configurations[next_of(ledger).cfg];
}

void test_add_entry(struct test_ledger *ledger, struct wm_view entry)
{
    merkle_hash leaf;
    WM_ASSERT(ledger->head.entry_count < TEST_ENTRIES_MAX);
    ledger->entries[ledger->head.entry_count++] = entry;
    merkle_leaf(entry, leaf);
    bool added = merkle_add(&ledger->head.tree, leaf);
    WM_ASSERT(added);
}

uint32_t test_path(const struct test_ledger *ledger, uint64_t leaf, uint64_t size,
                   ledger_hash path[LEDGER_PATH_MAX])
{
    merkle_hash *hashes = wm_alloc_zero(merkle_hashes(size), sizeof *hashes);
    WM_ASSERT(hashes && size <= ledger->head.entry_count && leaf < size);
    for (uint64_t i = 0; i < size; i++) {
        merkle_leaf(ledger->entries[i], hashes[i]);
    }
    merkle_build(hashes, size);
    uint32_t len = merkle_path((const merkle_hash *)hashes, size, leaf, path);
    wm_free(hashes);
    return len;
}

/* --- Executing --- */

static void execute(struct test_ledger *ledger, struct changing *state, struct test_batch *batch,
                    uint32_t position, const struct test_call *call, const struct test_twist *twist)
{
    struct test_service *service = ledger->service;
    struct test_transaction *transaction = (void *)&batch->transactions[position];
    const struct procedure_state reads = {.self = state, .get = changing_get};
    struct procedure_done done;
    struct request request;
    struct wm_view window = wm_view_of(NULL, 0), made;
    uint8_t key[CLIENT_WINDOW_KEY_BYTES], value[CLIENT_WINDOW_BYTES];
    int rc = request_get(call->request, &request, NULL);
    WM_ASSERT(rc == 0);
    transaction->request = call->request;
    transaction->arguments = call->arguments;
    wm_sha256_once(call->request, transaction->hash);
    client_window_key(request.statement.key, key);
    (void)changing_get(state, wm_view_of(key, sizeof key), &window);
    bool duplicate = !client_window_use(window, request.claims.number, value);
    rc = procedure_execute(&test_procedures, &reads, &request, transaction->hash, call->arguments,
                           ledger->head.next_index + position, duplicate, &service->arena, &done);
    WM_ASSERT(rc == 0);
    struct wm_view *touched =
        take(service, (done.read_count + done.write_count + 1) * sizeof *touched);
    transaction->touched = touched;
    touched[transaction->touched_count++] = test_keep(service, wm_view_of(key, sizeof key));
    for (uint32_t i = 0; i < done.read_count; i++) {
        touched[transaction->touched_count++] = done.reads[i];
    }
    for (uint32_t i = 0; i < done.write_count; i++) {
        touched[transaction->touched_count++] = done.writes[i].key;
        if (done.writes[i].removed) {
            changing_remove(state, done.writes[i].key);
        } else {
            changing_put(state, done.writes[i].key, done.writes[i].value);
        }
    }
    if (!duplicate) {
        changing_put(state, wm_view_of(key, sizeof key), wm_view_of(value, sizeof value));
    }
    transaction->output = done.output;
    transaction->result = done.result;
    if (governance_is_link(&request.claims, &done.output)) {
        batch->governance = true;
        batch->reconfigures = governance_made(&done, &made);
    }
    if (batch->reconfigures) {
        struct configuration *configuration = take(service, sizeof *configuration);
        rc = configuration_get(test_keep(service, made), configuration, NULL);
        WM_ASSERT(rc == 0);
        ledger->configurations[ledger->head.configuration_count++] = configuration;
    }
    if (twist && twist->output) {
        twist->output(twist->self, position, &transaction->output);
    }
}

static void leaves_of(const struct test_batch *batch, merkle_hash *hashes)
{
    for (uint32_t i = 0; i < batch->claims.count; i++) {
        uint8_t bytes[TRANSACTION_BYTES_MAX];
        struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
        transaction_put(&writer, batch->claims.first_index + i, batch->transactions[i].hash,
                        &batch->transactions[i].output);
        WM_ASSERT(cbor_fits(&writer));
        merkle_leaf(wm_view_of(bytes, writer.len), hashes[i]);
    }
    if (batch->claims.count > 0) {
        merkle_build(hashes, batch->claims.count);
    }
}

static void root_of(struct test_batch *batch)
{
    merkle_hash hashes[2 * LEDGER_BATCH_MAX / 16];
    WM_ASSERT(merkle_hashes(batch->claims.count) <= WM_COUNT_OF(hashes));
    leaves_of(batch, hashes);
    if (batch->claims.count == 0) {
        wm_sha256_once(wm_view_of(NULL, 0), batch->root);
    } else {
        memcpy(batch->root, hashes[merkle_hashes(batch->claims.count) - 1], sizeof batch->root);
    }
}

/* --- Batches --- */

static void nonce_of(const struct configuration *configuration, uint32_t position,
                     const struct preprepare_claims *claims, ledger_nonce out)
{
    const uint64_t numbers[] = {configuration->replicas[position].id, claims->cfg, claims->view,
                                claims->seqno};
    wm_sha256_once(wm_view_of(numbers, sizeof numbers), out);
}

void test_nonce(const struct test_batch *batch, uint32_t position, ledger_nonce out)
{
    nonce_of(batch->configuration, position, &batch->claims, out);
}

static void commitment_of(const struct test_batch *batch, uint32_t position, ledger_hash out)
{
    ledger_nonce nonce;
    test_nonce(batch, position, nonce);
    wm_sha256_once(wm_view_of(nonce, sizeof nonce), out);
}

uint32_t test_primary(const struct test_batch *batch)
{
    return agreement_primary(batch->claims.view, batch->configuration->replica_count);
}

uint64_t test_lowest(const struct test_batch *batch, uint32_t count)
{
    WM_ASSERT(count <= batch->configuration->replica_count && count < 64);
    return (UINT64_C(1) << count) - 1;
}

uint64_t test_quorum_who(const struct test_batch *batch)
{
    return test_lowest(batch, ledger_quorum(batch->configuration->replica_count));
}

static void prepare_of(const struct test_batch *batch, uint32_t position, ledger_hash commitment,
                       struct statement_parts *out)
{
    const struct sign_key *key = test_replica_key(batch->configuration->replicas[position].id);
    struct statement_signed covered;
    uint8_t *header = take(batch->service, COSE_PROTECTED_BYTES_MAX);
    commitment_of(batch, position, commitment);
    agreement_prepare_header(batch->service->service, &batch->claims, batch->name, position,
                             key->public_key, commitment, header, &out->header);
    memcpy(out->payload, batch->root, sizeof out->payload);
    statement_signed_bytes(out->header, out->payload, &covered);
    sign_bytes(key, wm_view_of(covered.bytes, covered.len), out->signature);
}

void test_statement(const struct test_batch *batch, uint32_t position, struct statement_parts *out)
{
    ledger_hash commitment;
    if (position != test_primary(batch)) {
        prepare_of(batch, position, commitment, out);
        return;
    }
    out->header = batch->header;
    memcpy(out->payload, batch->root, sizeof out->payload);
    memcpy(out->signature, batch->signature, sizeof out->signature);
}

/* The evidence entry that batch `next` has to hold; empty: none. */
static struct wm_view evidence_for(struct test_ledger *ledger, const struct next *next,
                                   uint64_t *bitmap)
{
    *bitmap = 0;
    if (next->seqno <= next->pipeline) {
        return wm_view_of(NULL, 0);
    }
    const struct test_batch *about = ledger->batches[next->seqno - next->pipeline - 1];
    if (about->claims.view != ledger->head.view) {
        return wm_view_of(NULL, 0);
    }
    struct evidence evidence = {.seqno = about->claims.seqno, .bitmap = test_quorum_who(about)};
    uint8_t bytes[EVIDENCE_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    memcpy(evidence.preprepare_signature, about->signature, sizeof about->signature);
    for (uint32_t i = 0; i < about->configuration->replica_count; i++) {
        if (!(evidence.bitmap >> i & 1)) {
            continue;
        }
        struct evidence_share *share = &evidence.shares[evidence.count++];
        share->primary = i == test_primary(about);
        test_nonce(about, i, share->nonce);
        if (!share->primary) {
            struct statement_parts prepare;
            prepare_of(about, i, share->commitment, &prepare);
            memcpy(share->signature, prepare.signature, sizeof share->signature);
        }
    }
    evidence_put(&writer, &evidence);
    *bitmap = evidence.bitmap;
    return written(ledger->service, &writer);
}

static void fill_claims(struct test_ledger *ledger, const struct next *next,
                        const struct test_state *after, struct test_batch *batch)
{
    struct preprepare_claims *claims = &batch->claims;
    const struct test_head *head = &ledger->head;
    uint64_t interval = batch->configuration->parameters.checkpoint_interval;
    ledger_nonce nonce;
    memcpy(claims->service, ledger->service->service, sizeof claims->service);
    claims->cfg = next->cfg;
    claims->view = head->view;
    claims->seqno = next->seqno;
    claims->kind = next->kind;
    claims->phase = next->phase;
    claims->first_index = head->next_index;
    claims->ledger_size = head->entry_count;
    merkle_root(&head->tree, claims->ledger_root);
    memcpy(claims->state_root, after->root, sizeof claims->state_root);
    nonce_of(batch->configuration, test_primary(batch), claims, nonce);
    wm_sha256_once(wm_view_of(nonce, sizeof nonce), claims->commitment);
    claims->governance = head->governance;
    if (next->seqno >= 2 * interval) {
        claims->checkpoint_seqno = (next->seqno - interval) / interval * interval;
        memcpy(claims->checkpoint_root,
               ledger->batches[claims->checkpoint_seqno - 1]->after.state->root,
               sizeof claims->checkpoint_root);
    }
    claims->has_committed_root = next->kind == BATCH_END;
    if (claims->has_committed_root) {
        memcpy(claims->committed_root, head->committed_root, sizeof claims->committed_root);
    }
}

static void sign_preprepare(struct test_batch *batch)
{
    const struct configuration *configuration = batch->configuration;
    uint8_t claims[PREPREPARE_CLAIMS_BYTES_MAX], entry[PREPREPARE_ENTRY_BYTES_MAX];
    uint8_t *header = take(batch->service, COSE_PROTECTED_BYTES_MAX);
    struct cbor_writer writer = cbor_writer_of(claims, sizeof claims);
    struct cbor_writer whole = cbor_writer_of(entry, sizeof entry);
    struct statement_parts parts;
    preprepare_claims_put(&writer, &batch->claims);
    WM_ASSERT(cbor_fits(&writer));
    agreement_sign(test_replica_key(configuration->replicas[test_primary(batch)].id), true,
                   wm_view_of(claims, writer.len), batch->root, header, &parts);
    batch->header = parts.header;
    memcpy(batch->signature, parts.signature, sizeof batch->signature);
    agreement_name(batch->header, batch->root, batch->name);
    struct preprepare_entry parts_of_entry = {.header = batch->header};
    memcpy(parts_of_entry.root, batch->root, sizeof parts_of_entry.root);
    preprepare_entry_put(&whole, &parts_of_entry);
    batch->entry = written(batch->service, &whole);
}

static void end_batch(struct test_ledger *ledger, const struct next *next,
                      const struct test_state *after, struct test_batch *batch)
{
    struct test_head *head = &ledger->head;
    head->state = after;
    head->cfg = next->cfg;
    head->next_index += batch->claims.count;
    if (batch->governance) {
        head->governance = head->next_index - 1;
    }
    if (batch->reconfigures) {
        head->reconfigured_at = next->seqno;
        head->reconfigured_pipeline = next->pipeline;
        merkle_root(&head->tree, head->committed_root);
    }
    if (next->kind == BATCH_START && next->phase == next->pipeline) {
        head->reconfigured_at = 0;
    }
    ledger->batches[head->batch_count++] = batch;
    batch->after = *head;
}

const struct test_batch *test_batch(struct test_ledger *ledger, const struct test_call *calls,
                                    uint32_t count, const struct test_twist *twist)
{
    struct test_service *service = ledger->service;
    const struct next next = next_of(ledger);
    struct test_batch *batch = take(service, sizeof *batch);
    struct changing *state = changing_of(service, ledger->head.state);
    uint64_t bitmap;
    WM_ASSERT(ledger->head.batch_count < TEST_BATCHES_MAX);
    batch->service = service;
    batch->configuration = ledger->configurations[next.cfg];
    batch->before = ledger->head.state;
    batch->claims.view = ledger->head.view;
    batch->claims.count = count;
    batch->transactions = take(service, count * sizeof *batch->transactions);
    for (uint32_t i = 0; i < count; i++) {
        execute(ledger, state, batch, i, &calls[i], twist);
    }
    struct wm_view evidence = evidence_for(ledger, &next, &bitmap);
    if (evidence.len > 0) {
        test_add_entry(ledger, evidence);
    }
    const struct test_state *after = kept_state(state);
    fill_claims(ledger, &next, after, batch);
    batch->claims.evidence = bitmap;
    if (twist && twist->claims) {
        twist->claims(twist->self, &batch->claims);
    }
    root_of(batch);
    sign_preprepare(batch);
    test_add_entry(ledger, batch->entry);
    end_batch(ledger, &next, after, batch);
    return batch;
}

const struct test_batch *test_empty(struct test_ledger *ledger, uint32_t count)
{
    const struct test_batch *newest = NULL;
    for (uint32_t i = 0; i < count; i++) {
        newest = test_batch(ledger, NULL, 0, NULL);
    }
    return newest;
}

void test_reconfigure(struct test_ledger *ledger)
{
    while (ledger->head.reconfigured_at > 0) {
        test_empty(ledger, 1);
    }
}

/* --- What replicas say --- */

void test_quorum(const struct test_batch *batch, uint64_t who, struct quorum *out)
{
    *out = (struct quorum){.header = batch->header, .has_root = true};
    memcpy(out->root, batch->root, sizeof out->root);
    memcpy(out->signature, batch->signature, sizeof out->signature);
    for (uint32_t i = 0; i < batch->configuration->replica_count; i++) {
        ledger_hash commitment;
        struct statement_parts prepare;
        if (!(who >> i & 1)) {
            continue;
        }
        if (i == test_primary(batch)) {
            out->has_primary_nonce = true;
            test_nonce(batch, i, out->primary_nonce);
            continue;
        }
        struct quorum_share *share = &out->shares[out->count++];
        prepare_of(batch, i, commitment, &prepare);
        share->replica = i;
        memcpy(share->signature, prepare.signature, sizeof share->signature);
        test_nonce(batch, i, share->nonce);
    }
}

void test_signatures(const struct test_batch *batch, uint64_t who, struct certificate *out)
{
    *out = (struct certificate){.is_there = true};
    out->preprepare.header = batch->header;
    memcpy(out->preprepare.payload, batch->root, sizeof out->preprepare.payload);
    memcpy(out->preprepare.signature, batch->signature, sizeof out->preprepare.signature);
    for (uint32_t i = 0; i < batch->configuration->replica_count; i++) {
        struct statement_parts parts;
        if (!(who >> i & 1) || i == test_primary(batch)) {
            continue;
        }
        struct certificate_prepare *prepare = &out->prepares[out->count++];
        prepare_of(batch, i, prepare->commitment, &parts);
        prepare->replica = i;
        memcpy(prepare->signature, parts.signature, sizeof prepare->signature);
    }
}

/* --- Receipts --- */

static struct ledger_receipt *receipt_of(const struct test_batch *batch, uint32_t position)
{
    merkle_hash hashes[2 * LEDGER_BATCH_MAX / 16];
    struct ledger_receipt *receipt = take(batch->service, sizeof *receipt);
    leaves_of(batch, hashes);
    receipt->request = batch->transactions[position].request;
    receipt->output = batch->transactions[position].output;
    receipt->index = batch->claims.first_index + position;
    receipt->position = position;
    receipt->path_len =
        merkle_path((const merkle_hash *)hashes, batch->claims.count, position, receipt->path);
    return receipt;
}

static struct wm_view receipt_bytes(struct test_service *service,
                                    const struct ledger_receipt *receipt)
{
    uint8_t bytes[LEDGER_RECEIPT_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    ledger_receipt_put(&writer, receipt);
    return written(service, &writer);
}

struct wm_view test_receipt(const struct test_batch *batch, uint32_t position, uint64_t who)
{
    struct ledger_receipt *receipt = receipt_of(batch, position);
    test_quorum(batch, who, &receipt->quorum);
    receipt->quorum.has_root = false;
    return receipt_bytes(batch->service, receipt);
}

struct wm_view test_receipt_chained(const struct test_ledger *ledger,
                                    const struct test_batch *batch, uint32_t position,
                                    const struct test_batch *later, uint64_t who)
{
    struct ledger_receipt *receipt = receipt_of(batch, position);
    test_quorum(later, who, &receipt->quorum);
    receipt->chained = true;
    receipt->header = batch->header;
    receipt->leaf = batch->claims.ledger_size;
    receipt->chain_len =
        test_path(ledger, receipt->leaf, later->claims.ledger_size, receipt->chain);
    return receipt_bytes(batch->service, receipt);
}

struct wm_view test_transactions(const struct test_batch *batch)
{
    struct test_service *service = batch->service;
    size_t room = 1u << 20;
    struct cbor_writer writer = cbor_writer_of(take(service, room), room);
    transactions_put_head(&writer, batch->claims.seqno, batch->claims.count);
    for (uint32_t i = 0; i < batch->claims.count; i++) {
        const struct test_transaction *from = &batch->transactions[i];
        const struct transaction_item item = {.request = from->request,
                                              .has_arguments = true,
                                              .arguments = from->arguments,
                                              .output = from->output,
                                              .has_result =
                                                  from->result.len == from->output.result_len,
                                              .result = from->result};
        transaction_item_put(&writer, &item);
    }
    return written(service, &writer);
}

struct wm_view test_chain(const struct test_ledger *ledger, uint64_t seqno)
{
    struct test_service *service = ledger->service;
    size_t room = 1u << 20;
    uint64_t links = 0;
    struct cbor_writer writer = cbor_writer_of(take(service, room), room), whole;
    struct chain_link link;
    for (uint64_t s = 1; s <= seqno; s++) {
        const struct test_batch *batch = ledger->batches[s - 1];
        if (batch->governance) {
            uint32_t last = batch->claims.count - 1;
            link = (struct chain_link){.kind = CHAIN_TRANSACTION,
                                       .receipt = test_receipt(batch, last, test_quorum_who(batch)),
                                       .arguments = batch->transactions[last].arguments,
                                       .result = batch->transactions[last].result};
            chain_link_put(&writer, &link);
            links++;
        }
        if (batch->claims.kind == BATCH_END &&
            batch->claims.phase == batch->configuration->parameters.pipeline) {
            link = (struct chain_link){.kind = CHAIN_ENDED};
            test_quorum(batch, test_quorum_who(batch), &link.quorum);
            chain_link_put(&writer, &link);
            links++;
        }
    }
    WM_ASSERT(cbor_fits(&writer));
    whole = cbor_writer_of(take(service, room), room);
    chain_put_head(&whole, links);
    cbor_put_raw(&whole, wm_view_of(writer.out, writer.len));
    return written(service, &whole);
}

/* --- Changes of view --- */

/* Q-1 of others than the primary, the lowest. */
static uint64_t certificate_who(const struct test_batch *top)
{
    uint32_t wanted = ledger_quorum(top->configuration->replica_count) - 1;
    uint64_t who = 0;
    for (uint32_t i = 0; wanted > 0; i++) {
        if (i != test_primary(top)) {
            who |= UINT64_C(1) << i;
            wanted--;
        }
    }
    return who;
}

void test_view_change(struct test_service *service, const struct configuration *configuration,
                      uint64_t view, const struct test_change *change, struct viewchange *out)
{
    struct certificate *certificate = take(service, sizeof *certificate);
    struct viewchange_claims claims = {
        .cfg = configuration->number, .view = view, .replica = change->position};
    uint8_t bytes[CERTIFICATE_BYTES_MAX], encoded[VIEWCHANGE_CLAIMS_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct cbor_writer claims_writer = cbor_writer_of(encoded, sizeof encoded);
    struct statement_parts parts;
    ledger_hash payload;
    memcpy(claims.service, service->service, sizeof claims.service);
    if (change->top) {
        claims.has_top = true;
        claims.top_view = change->top->claims.view;
        claims.top_seqno = change->top->claims.seqno;
        memcpy(claims.top, change->top->name, sizeof claims.top);
        test_signatures(change->top, change->who ? change->who : certificate_who(change->top),
                        certificate);
    }
    certificate_put(&writer, certificate);
    out->certificate = written(service, &writer);
    viewchange_claims_put(&claims_writer, &claims);
    WM_ASSERT(cbor_fits(&claims_writer));
    wm_sha256_once(out->certificate, payload);
    agreement_sign(test_replica_key(configuration->replicas[change->position].id), false,
                   wm_view_of(encoded, claims_writer.len), payload,
                   take(service, COSE_PROTECTED_BYTES_MAX), &parts);
    out->header = parts.header;
    memcpy(out->signature, parts.signature, sizeof out->signature);
}

struct test_view test_new_view(struct test_ledger *ledger, uint64_t view,
                               const struct test_change *changes, uint32_t count,
                               void (*twist)(struct newview_claims *claims))
{
    struct test_service *service = ledger->service;
    const struct configuration *configuration = test_configuration(ledger);
    struct test_view out = {.claims = {.cfg = configuration->number,
                                       .view = view,
                                       .base_seqno = ledger->head.batch_count}};
    size_t room = 4096 + count * (size_t)VIEWCHANGE_BYTES_MAX;
    struct cbor_writer writer = cbor_writer_of(take(service, room), room);
    viewchanges_put_head(&writer, view, count);
    for (uint32_t i = 0; i < count; i++) {
        struct viewchange change;
        test_view_change(service, changes[i].as ? changes[i].as : configuration, view, &changes[i],
                         &change);
        viewchange_put(&writer, &change);
        out.claims.used |= UINT64_C(1) << changes[i].position;
    }
    out.changes = written(service, &writer);
    test_add_entry(ledger, out.changes);
    memcpy(out.claims.service, service->service, sizeof out.claims.service);
    out.claims.ledger_size = ledger->head.entry_count;
    merkle_root(&ledger->head.tree, out.claims.ledger_root);
    if (twist) {
        twist(&out.claims);
    }
    uint8_t encoded[NEWVIEW_CLAIMS_BYTES_MAX], bytes[NEWVIEW_ENTRY_BYTES_MAX];
    struct cbor_writer claims_writer = cbor_writer_of(encoded, sizeof encoded);
    struct cbor_writer whole = cbor_writer_of(bytes, sizeof bytes);
    struct statement_parts parts;
    struct newview_entry entry;
    ledger_hash payload;
    uint32_t primary = agreement_primary(view, configuration->replica_count);
    newview_claims_put(&claims_writer, &out.claims);
    WM_ASSERT(cbor_fits(&claims_writer));
    wm_sha256_once(out.changes, payload);
    agreement_sign(test_replica_key(configuration->replicas[primary].id), false,
                   wm_view_of(encoded, claims_writer.len), payload,
                   take(service, COSE_PROTECTED_BYTES_MAX), &parts);
    entry.header = parts.header;
    memcpy(entry.signature, parts.signature, sizeof entry.signature);
    newview_entry_put(&whole, &entry);
    out.entry = written(service, &whole);
    out.leaf = ledger->head.entry_count;
    test_add_entry(ledger, out.entry);
    ledger->head.view = view;
    return out;
}

struct test_view test_next_view(struct test_ledger *ledger, uint64_t view)
{
    struct test_change changes[LEDGER_REPLICAS_MAX];
    uint32_t count = ledger_quorum(test_configuration(ledger)->replica_count);
    const struct test_batch *top =
        ledger->head.batch_count > 0 ? ledger->batches[ledger->head.batch_count - 1] : NULL;
    for (uint32_t i = 0; i < count; i++) {
        changes[i] = (struct test_change){.position = i, .top = top};
    }
    return test_new_view(ledger, view, changes, count, NULL);
}

/* --- Blame --- */

struct blame_place test_place(const struct test_ledger *ledger, uint64_t leaf, uint64_t size)
{
    struct blame_place place = {.leaf = leaf};
    place.path_len = test_path(ledger, leaf, size, place.path);
    return place;
}

struct blame_below test_below(const struct test_ledger *ledger, const struct test_batch *batch,
                              const struct test_batch *above)
{
    struct blame_below below = {
        .header = batch->header,
        .place = test_place(ledger, batch->claims.ledger_size, above->claims.ledger_size)};
    memcpy(below.root, batch->root, sizeof below.root);
    return below;
}

struct blame_last test_last(const struct test_batch *batch)
{
    const struct ledger_receipt *receipt = receipt_of(batch, batch->claims.count - 1);
    struct blame_last last = {.request = receipt->request,
                              .result = batch->transactions[receipt->position].result,
                              .output = receipt->output,
                              .path_len = receipt->path_len};
    memcpy(last.path, receipt->path, sizeof last.path);
    return last;
}

struct blame_place test_anchor(const struct test_ledger *ledger, uint64_t cfg,
                               const struct test_batch *above)
{
    for (uint32_t i = 0; i < ledger->head.batch_count; i++) {
        const struct test_batch *batch = ledger->batches[i];
        if (batch->reconfigures && batch->claims.cfg + 1 == cfg) {
            return test_below(ledger, batch, above).place;
        }
    }
    WM_UNREACHABLE();
}

struct test_judgement test_judge(const struct test_service *service, struct wm_view bytes)
{
    struct test_judgement judgement = {0};
    struct blame_verdict *verdict = wm_alloc_zero(1, sizeof *verdict);
    WM_ASSERT(verdict);
    judgement.rc =
        blame_verify(bytes, service->genesis_bytes, &test_procedures, 0, verdict, &judgement.diag);
    if (judgement.rc == 0) {
        for (uint32_t i = 0; i < verdict->count; i++) {
            const struct blamed *blamed = &verdict->blamed[i];
            WM_ASSERT(blamed->replica->member == blamed->member->id);
            judgement.ids |= UINT64_C(1) << blamed->replica->id;
        }
        memcpy(judgement.reason, verdict->reason.text, sizeof judgement.reason);
        blame_fini(verdict);
    }
    wm_free(verdict);
    return judgement;
}
