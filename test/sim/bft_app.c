/* The application: versions of its state in a row, the oldest that of the newest committed batch.
 */
#include "sim/bft_app.h"

#include <stdio.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "proof/procedure.h"
#include "proof/statement.h"

#define SALT "sim-bft, a salt "
#define MEMBERS 4u
#define RECENT 64u

/* --- Genesis and configurations --- */

static struct wm_view endorsement_of(uint32_t id)
{
    static uint8_t bytes[KEYS_MAX][ENDORSEMENT_BYTES_MAX];
    static size_t len[KEYS_MAX];
    WM_ASSERT(id < KEYS_MAX);
    if (len[id] == 0) {
        struct endorsement_claims claims = {.replica = id, .member = id % MEMBERS + 1};
        uint8_t encoded[128], header[COSE_PROTECTED_BYTES_MAX];
        struct cose_statement statement;
        struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
        memcpy(claims.salt, SALT, sizeof claims.salt);
        endorsement_claims_put(&writer, &claims);
        WM_ASSERT(cbor_fits(&writer));
        statement_sign(key_of_member(claims.member), false, wm_view_of(encoded, writer.len),
                       key_of_replica(id)->public_key, header, &statement);
        struct cbor_writer out = cbor_writer_of(bytes[id], sizeof bytes[id]);
        cose_put_sign1(&out, &statement);
        WM_ASSERT(cbor_fits(&out));
        len[id] = out.len;
    }
    return wm_view_of(bytes[id], len[id]);
}

static void replica_of(uint32_t id, struct ledger_replica *out)
{
    *out = (struct ledger_replica){.id = id,
                                   .member = id % MEMBERS + 1,
                                   .address = wm_view_str("simulated"),
                                   .endorsement = endorsement_of(id)};
    memcpy(out->key, key_of_replica(id)->public_key, sizeof out->key);
}

static void frame_of(const struct ledger_parameters *parameters, struct configuration *out)
{
    static const char *const names[MEMBERS] = {"ada", "ben", "cleo", "dora"};
    memset(out, 0, sizeof *out);
    out->member_count = MEMBERS;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        out->members[i] =
            (struct ledger_member){.id = i + 1, .name = wm_view_str(names[i]), .weight = 1};
        memcpy(out->members[i].key, key_of_member(i + 1)->public_key, sizeof(ledger_key));
    }
    out->parameters = *parameters;
    out->rules = (struct ledger_rules){50, 50, 50, 50};
}

void app_genesis(uint32_t replicas, const struct ledger_parameters *parameters,
                 struct app_service *service, struct app_state *state)
{
    static uint8_t bytes[GENESIS_BYTES_MAX];
    static struct genesis genesis;
    WM_ASSERT(replicas <= APP_REPLICAS);
    memset(&genesis, 0, sizeof genesis);
    genesis.name = wm_view_str("simulated");
    memcpy(genesis.salt, SALT, sizeof genesis.salt);
    genesis.time_s = 1;
    frame_of(parameters, &genesis.configuration);
    memset(state, 0, sizeof *state);
    state->next_index = 1;
    state->configurations = 1;
    genesis.configuration.replica_count = replicas;
    for (uint32_t i = 0; i < replicas; i++) {
        replica_of(i + 1, &genesis.configuration.replicas[i]);
        state->replicas[0][i] = (uint8_t)(i + 1);
    }
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    genesis_put(&writer, &genesis);
    WM_ASSERT(cbor_fits(&writer));
    service->parameters = *parameters;
    wm_sha256_once(wm_view_of(bytes, writer.len), service->hash);
}

void app_configuration(const struct app_service *service, const struct app_state *state,
                       uint64_t number, struct configuration *out)
{
    WM_ASSERT(number < state->configurations);
    frame_of(&service->parameters, out);
    out->number = number;
    while (out->replica_count < APP_REPLICAS && state->replicas[number][out->replica_count]) {
        uint32_t at = out->replica_count++;
        replica_of(state->replicas[number][at], &out->replicas[at]);
    }
}

/* --- Requests --- */

void app_state_root(const struct app_state *state, ledger_hash out)
{
    wm_sha256_once(wm_view_of(state, sizeof *state), out);
}

uint32_t app_client_of(const ledger_key key)
{
    uint32_t client = 0;
    while (client < APP_CLIENTS &&
           memcmp(key_of_client(client)->public_key, key, sizeof(ledger_key)) != 0) {
        client++;
    }
    return client;
}

void app_request(const ledger_hash service, uint32_t client, uint64_t number,
                 uint64_t minimum_index, const char *procedure, struct wm_view arguments,
                 struct sim_request *out)
{
    struct request_claims claims = {.number = number,
                                    .minimum_index = minimum_index,
                                    .procedure = wm_view_str(procedure),
                                    .arguments_len = (uint32_t)arguments.len};
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    uint8_t bytes[COSE_SIGN1_BYTES_MAX];
    ledger_hash payload;
    struct cose_statement statement;
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    memcpy(claims.service, service, sizeof claims.service);
    request_claims_put(&writer, &claims);
    WM_ASSERT(cbor_fits(&writer));
    wm_sha256_once(arguments, payload);
    statement_sign(key_of_client(client), false, wm_view_of(encoded, writer.len), payload, header,
                   &statement);
    struct cbor_writer whole = cbor_writer_of(bytes, sizeof bytes);
    cose_put_sign1(&whole, &statement);
    WM_ASSERT(cbor_fits(&whole));
    out->request = bytes_new(wm_view_of(bytes, whole.len));
    out->arguments = bytes_new(arguments);
    wm_sha256_once(wm_view_of(bytes, whole.len), out->hash);
}

/* Marks the number as used; false: it was, or is too old to tell. */
static bool take_number(struct app_state *state, uint32_t client, uint64_t number)
{
    uint64_t *highest = &state->numbers[client].highest, *used = &state->numbers[client].used;
    if (number > *highest) {
        uint64_t by = number - *highest;
        *used = by < 64 ? *used << by : 0;
        *used |= 1;
        *highest = number;
        return true;
    }
    uint64_t below = *highest - number;
    if (below >= 64 || (*used >> below & 1)) {
        return false;
    }
    *used |= UINT64_C(1) << below;
    return true;
}

static enum procedure_code add(struct app_state *state, struct wm_view arguments, uint8_t *result)
{
    uint64_t numbers[2];
    if (arguments.len != sizeof numbers) {
        return PROCEDURE_ARGUMENTS;
    }
    memcpy(numbers, arguments.ptr, sizeof numbers);
    if (numbers[0] >= APP_CELLS) {
        return PROCEDURE_ARGUMENTS;
    }
    state->cells[numbers[0]] += numbers[1];
    memcpy(result, &state->cells[numbers[0]], 8);
    return PROCEDURE_DONE;
}

static enum procedure_code replicas(struct app_state *state, struct wm_view arguments)
{
    if (arguments.len < 2 || arguments.len > 1 + APP_REPLICAS) {
        return PROCEDURE_ARGUMENTS;
    }
    for (size_t i = 1; i < arguments.len; i++) {
        if (arguments.ptr[i] == 0 || arguments.ptr[i] >= KEYS_MAX ||
            (i > 1 && arguments.ptr[i] <= arguments.ptr[i - 1])) {
            return PROCEDURE_ARGUMENTS;
        }
    }
    if (arguments.ptr[0] != state->configurations || state->configurations == APP_CONFIGURATIONS) {
        return PROCEDURE_REFUSED;
    }
    memcpy(state->replicas[state->configurations++], arguments.ptr + 1, arguments.len - 1);
    return PROCEDURE_DONE;
}

static enum procedure_code run(struct app_state *state, const struct request *request,
                               uint32_t client, struct wm_view arguments, struct app_outcome *out)
{
    struct wm_view name = request->claims.procedure;
    if (wm_view_eq_str(name, "add")) {
        enum procedure_code code = add(state, arguments, out->result);
        out->output.result_len = code == PROCEDURE_DONE ? 8 : 0;
        return code;
    }
    if (wm_view_eq_str(name, "refuse")) {
        return PROCEDURE_REFUSED;
    }
    if (!wm_view_eq_str(name, "note") && !wm_view_eq_str(name, "replicas")) {
        return PROCEDURE_UNKNOWN;
    }
    if (client != 0) {
        return PROCEDURE_DENIED;
    }
    enum procedure_code code =
        wm_view_eq_str(name, "note") ? PROCEDURE_DONE : replicas(state, arguments);
    out->governance = code == PROCEDURE_DONE;
    out->reconfigures = out->governance && wm_view_eq_str(name, "replicas");
    return code;
}

void app_execute(struct app_state *state, const struct request *request, uint32_t client,
                 const ledger_hash hash, struct wm_view arguments, uint64_t index,
                 struct app_outcome *out)
{
    uint8_t link[2 * sizeof(ledger_hash) + 8];
    memset(out, 0, sizeof *out);
    if (client >= APP_CLIENTS) {
        out->output.code = PROCEDURE_DENIED;
    } else if (!take_number(state, client, request->claims.number)) {
        out->output.code = PROCEDURE_DUPLICATE;
    } else {
        out->output.code = run(state, request, client, arguments, out);
    }
    memcpy(link, state->chain, sizeof state->chain);
    memcpy(link + sizeof state->chain, hash, sizeof(ledger_hash));
    memcpy(link + 2 * sizeof state->chain, &index, 8);
    wm_sha256_once(wm_view_of(link, sizeof link), state->chain);
    state->next_index = index + 1;
    wm_sha256_once(wm_view_of(out->result, out->output.result_len), out->output.result);
    wm_sha256_once(wm_view_str("sim-bft"), out->output.procedure);
}

/* --- Results --- */

struct app_results *app_results_get(struct app_results *results)
{
    if (results) {
        results->holders++;
    }
    return results;
}

void app_results_drop(struct app_results *results)
{
    if (results && --results->holders == 0) {
        free(results);
    }
}

/* --- Versions --- */

struct version {
    uint64_t seqno;
    struct app_state state;
    struct app_results *results;
    struct bytes *transactions; /* encoded entry */
    bool governance, reconfigures;
};

struct app {
    struct sim_app base;
    const struct app_service *service;
    struct app_host host;
    struct bft_head head;
    struct version *versions; /* [0]: of the newest committed batch */
    uint32_t count, room;
    struct app_results *recent[RECENT];
    struct configuration **configurations; /* all that were given out: they stay valid */
    uint32_t configuration_count, configuration_room;
};

static void version_drop(struct version *version)
{
    app_results_drop(version->results);
    bytes_drop(version->transactions);
}

static struct version *version_of(struct app *app, uint64_t seqno)
{
    uint64_t first = app->versions[0].seqno;
    return seqno >= first && seqno - first < app->count ? &app->versions[seqno - first] : NULL;
}

static struct version *version_push(struct app *app)
{
    if (app->count == app->room) {
        app->room = app->room ? 2 * app->room : 8;
        app->versions = sim_grow(app->versions, app->room, sizeof *app->versions);
    }
    struct version *added = &app->versions[app->count++];
    memset(added, 0, sizeof *added);
    return added;
}

/* Does the request make a batch invalid? Fills in what was read of it. */
static bool is_genuine(const struct app *app, const struct bft_request *given, struct request *out)
{
    ledger_hash arguments;
    if (request_get(given->request, out, NULL) != 0 ||
        !hash_equal(out->claims.service, app->service->hash) ||
        out->claims.arguments_len != given->arguments.len) {
        return false;
    }
    wm_sha256_once(given->arguments, arguments);
    return hash_equal(arguments, out->statement.payload) &&
           (given->checked ||
            statement_verify(&out->statement, out->statement.payload, NULL, "request", NULL) == 0);
}

static void put_transaction(struct cbor_writer *writer, const struct bft_request *request,
                            const struct app_outcome *outcome)
{
    struct transaction_item item = {.request = request->request,
                                    .has_arguments = true,
                                    .arguments = request->arguments,
                                    .output = outcome->output,
                                    .has_result = true,
                                    .result =
                                        wm_view_of(outcome->result, outcome->output.result_len)};
    transaction_item_put(writer, &item);
}

static void add_leaf(struct merkle *tree, uint64_t index, const ledger_hash request,
                     const struct request_output *output)
{
    uint8_t bytes[TRANSACTION_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    merkle_hash leaf;
    transaction_put(&writer, index, request, output);
    WM_ASSERT(cbor_fits(&writer));
    merkle_leaf(wm_view_of(bytes, writer.len), leaf);
    bool fits = merkle_add(tree, leaf);
    WM_ASSERT(fits);
}

/* The encoded entry, from items that were put one after the other. */
static struct bytes *transactions_of(uint64_t seqno, uint32_t count, struct wm_view items)
{
    uint8_t head[32];
    struct cbor_writer writer = cbor_writer_of(head, sizeof head);
    transactions_put_head(&writer, seqno, count);
    WM_ASSERT(cbor_fits(&writer));
    struct bytes *whole = malloc(sizeof *whole + writer.len + items.len);
    WM_ASSERT(whole);
    whole->holders = 1;
    whole->len = writer.len + items.len;
    memcpy(whole->at, head, writer.len);
    if (items.len > 0) {
        memcpy(whole->at + writer.len, items.ptr, items.len);
    }
    return whole;
}

static size_t items_room(const struct bft_batch *batch)
{
    size_t room = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        room += batch->requests[i].request.len + batch->requests[i].arguments.len + 320;
    }
    return room;
}

/* Executes on a copy of `before`. False: a request makes it invalid. */
static bool execute_on(struct app *app, const struct app_state *before,
                       const struct bft_batch *batch, struct version *out,
                       struct bft_executed *executed)
{
    struct merkle tree;
    size_t room = items_room(batch);
    uint8_t *items = room ? sim_alloc(1, room) : NULL;
    struct cbor_writer writer = cbor_writer_of(items, room);
    bool ok = true;
    memset(executed, 0, sizeof *executed);
    memset(out, 0, sizeof *out);
    out->seqno = batch->seqno;
    out->state = *before;
    out->results =
        sim_alloc(1, sizeof *out->results + batch->count * sizeof out->results->items[0]);
    out->results->holders = 1;
    out->results->seqno = batch->seqno;
    merkle_init(&tree);
    for (uint32_t i = 0; ok && i < batch->count && !executed->governance; i++) {
        const struct bft_request *given = &batch->requests[i];
        struct app_result *result = &out->results->items[i];
        struct request request;
        struct app_outcome outcome;
        uint64_t index = batch->first_index + i;
        ok = is_genuine(app, given, &request);
        if (!ok) {
            break;
        }
        wm_sha256_once(given->request, result->request);
        if (!hash_equal(result->request, given->hash)) {
            app->host.broken(app->host.self, "execute: a request comes with another one's hash");
        }
        result->client = app_client_of(request.statement.key);
        result->number = request.claims.number;
        result->index = index;
        app_execute(&out->state, &request, result->client, result->request, given->arguments, index,
                    &outcome);
        result->output = outcome.output;
        put_transaction(&writer, given, &outcome);
        add_leaf(&tree, index, result->request, &outcome.output);
        executed->governance = outcome.governance;
        executed->reconfigures = outcome.reconfigures;
        executed->taken = i + 1;
    }
    WM_ASSERT(writer.len <= room);
    if (ok) {
        merkle_root(&tree, executed->root);
        memcpy(out->results->root, executed->root, sizeof executed->root);
        app_state_root(&out->state, executed->state_root);
        out->results->count = executed->taken;
        out->governance = executed->governance;
        out->reconfigures = executed->reconfigures;
        out->transactions =
            transactions_of(batch->seqno, executed->taken, wm_view_of(items, writer.len));
    } else {
        version_drop(out);
    }
    free(items);
    return ok;
}

/* --- The core's calls --- */

static int app_execute_batch(void *self, const struct bft_batch *batch,
                             struct bft_executed *executed)
{
    struct app *app = self;
    struct version made, *newest = &app->versions[app->count - 1];
    struct bft_executed done;
    if (batch->seqno != newest->seqno + 1 || batch->first_index != newest->state.next_index) {
        app->host.broken(app->host.self, "execute: it is not the batch that follows");
        return WM_E_INVALID;
    }
    if (!execute_on(app, &newest->state, batch, &made, &done)) {
        return WM_E_INVALID;
    }
    *version_push(app) = made;
    app_results_drop(app->recent[made.seqno % RECENT]);
    app->recent[made.seqno % RECENT] = app_results_get(made.results);
    *executed = done;
    return 0;
}

static bool app_check(void *self, const struct bft_request *given)
{
    struct request request;
    return is_genuine(self, given, &request);
}

static struct wm_view app_transactions(void *self, uint64_t seqno)
{
    struct app *app = self;
    struct version *version = version_of(app, seqno);
    if (!version || !version->transactions) {
        app->host.broken(app->host.self, "transactions: of a batch that is not executed");
        return wm_view_of(NULL, 0);
    }
    return bytes_view(version->transactions);
}

static void app_undo_to(void *self, uint64_t seqno)
{
    struct app *app = self;
    if (!version_of(app, seqno)) {
        app->host.broken(app->host.self, "undo: to a batch that is not there or is committed");
        return;
    }
    while (app->versions[app->count - 1].seqno > seqno) {
        version_drop(&app->versions[--app->count]);
    }
}

static void add_entry(struct merkle *tree, struct wm_view entry)
{
    merkle_hash leaf;
    if (entry.len == 0) {
        return;
    }
    merkle_leaf(entry, leaf);
    bool fits = merkle_add(tree, leaf);
    WM_ASSERT(fits);
}

/* The end of the ledger with one more batch, from its entries as doc/format/ledger.md has them. */
static bool head_follow(struct app *app, const struct bft_entries *entries,
                        const struct version *version)
{
    struct bft_head *head = &app->head;
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    struct cose_statement statement;
    struct statement_signed bytes;
    if (!preprepare_entry_get(entries->preprepare, &entry, NULL) ||
        !cose_header(entry.header, &statement) ||
        preprepare_claims_get(statement.claims, &claims, NULL) != 0) {
        return false;
    }
    add_entry(&head->ledger, entries->view_changes);
    add_entry(&head->ledger, entries->new_view);
    add_entry(&head->ledger, entries->evidence);
    add_entry(&head->ledger, entries->preprepare);
    statement_signed_bytes(entry.header, entry.root, &bytes);
    wm_sha256_once(wm_view_of(bytes.bytes, bytes.len), head->name);
    const uint32_t pipeline = app->service->parameters.pipeline;
    head->cfg = claims.cfg;
    head->view = claims.view;
    head->seqno = claims.seqno;
    head->next_index = claims.first_index + claims.count;
    if (claims.count > 0) {
        head->nonempty_seqno = claims.seqno;
    }
    if (version->governance) {
        head->governance = head->next_index - 1;
    }
    if (version->reconfigures) {
        head->reconfigured_at = claims.seqno;
        head->reconfigured_pipeline = pipeline;
        merkle_root(&head->ledger, head->committed_root);
    }
    if (claims.kind == BATCH_START && claims.phase == pipeline) {
        head->reconfigured_at = 0;
        head->reconfigured_pipeline = 0;
        memset(head->committed_root, 0, sizeof head->committed_root);
    }
    memcpy(head->state_root, claims.state_root, sizeof head->state_root);
    if (claims.seqno % app->service->parameters.checkpoint_interval == 0) {
        head->checkpoints[0] = head->checkpoints[1];
        head->checkpoints[1].seqno = claims.seqno;
        memcpy(head->checkpoints[1].state_root, claims.state_root, sizeof(ledger_hash));
    }
    return true;
}

static void app_commit(void *self, const struct bft_entries *entries)
{
    struct app *app = self;
    if (app->count < 2 || entries->seqno != app->versions[1].seqno) {
        app->host.broken(app->host.self, "commit: it is not the oldest batch that is executed");
        return;
    }
    struct version *version = &app->versions[1];
    if (!wm_view_eq(entries->transactions, bytes_view(version->transactions))) {
        app->host.broken(app->host.self, "commit: other transactions than were executed");
    }
    if (!head_follow(app, entries, version) || app->head.seqno != entries->seqno ||
        app->head.cfg != entries->cfg || app->head.view != entries->view) {
        app->host.broken(app->host.self, "commit: a pre-prepare entry that is not the batch's");
        return;
    }
    struct app_commit commit = {entries, &app->head, &version->state};
    app->host.committed(app->host.self, &commit);
    version_drop(&app->versions[0]);
    app->count--;
    memmove(app->versions, app->versions + 1, app->count * sizeof *app->versions);
    bytes_drop(app->versions[0].transactions);
    app->versions[0].transactions = NULL;
}

static bool app_read(void *self, uint64_t seqno, void (*take)(void *, const struct bft_entries *),
                     void *taker)
{
    struct app *app = self;
    return app->host.read(app->host.self, seqno, take, taker);
}

static const struct configuration *app_configuration_of(void *self, uint64_t cfg)
{
    struct app *app = self;
    const struct app_state *state = &app->versions[app->count - 1].state;
    if (cfg >= state->configurations) {
        return NULL;
    }
    for (uint32_t i = app->configuration_count; i-- > 0;) {
        const struct configuration *known = app->configurations[i];
        bool same = known->number == cfg;
        for (uint32_t k = 0; same && k < APP_REPLICAS; k++) {
            uint32_t id = k < known->replica_count ? known->replicas[k].id : 0;
            same = id == state->replicas[cfg][k];
        }
        if (same) {
            return known;
        }
    }
    if (app->configuration_count == app->configuration_room) {
        app->configuration_room = app->configuration_room ? 2 * app->configuration_room : 4;
        app->configurations =
            sim_grow(app->configurations, app->configuration_room, sizeof *app->configurations);
    }
    struct configuration *made = sim_alloc(1, sizeof *made);
    app_configuration(app->service, state, cfg, made);
    app->configurations[app->configuration_count++] = made;
    return made;
}

/* --- The node's calls --- */

static struct app_results *app_results_of(struct sim_app *base, uint64_t seqno)
{
    struct app *app = (struct app *)base;
    struct app_results *results = app->recent[seqno % RECENT];
    return results && results->seqno == seqno ? app_results_get(results) : NULL;
}

static bool app_otherwise(struct sim_app *base, uint64_t seqno, uint32_t skip,
                          const struct sim_request *extra, struct bft_executed *executed,
                          uint8_t *requests)
{
    struct app *app = (struct app *)base;
    struct version *version = version_of(app, seqno), *before = version_of(app, seqno - 1);
    uint64_t read_seqno;
    uint32_t count, kept = 0;
    if (!version || !version->transactions || !before) {
        return false;
    }
    struct cbor_reader reader = cbor_reader_of(bytes_view(version->transactions));
    bool ok = transactions_get_head(&reader, &read_seqno, &count);
    WM_ASSERT(ok);
    struct bft_request *list = sim_alloc(count + 1, sizeof *list);
    for (uint32_t i = 0; i < count; i++) {
        struct transaction_item item;
        ok = transaction_item_get(&reader, &item);
        WM_ASSERT(ok);
        if (i == skip) {
            continue;
        }
        struct bft_request *request = &list[skip < count ? kept : count - 1 - kept];
        kept++;
        request->request = item.request;
        request->arguments = item.arguments;
        wm_sha256_once(item.request, request->hash);
    }
    if (extra) {
        list[kept].request = bytes_view(extra->request);
        list[kept].arguments = bytes_view(extra->arguments);
        memcpy(list[kept++].hash, extra->hash, sizeof(ledger_hash));
    }
    struct bft_batch batch = {
        .seqno = seqno, .first_index = before->state.next_index, .count = kept, .requests = list};
    struct version made;
    ok = execute_on(app, &before->state, &batch, &made, executed);
    for (uint32_t i = 0; ok && i < executed->taken; i++) {
        memcpy(requests + (size_t)i * LEDGER_HASH_BYTES, list[i].hash, LEDGER_HASH_BYTES);
    }
    if (ok) {
        version_drop(&made);
    }
    free(list);
    return ok;
}

static void app_close(struct sim_app *base)
{
    struct app *app = (struct app *)base;
    for (uint32_t i = 0; i < app->count; i++) {
        version_drop(&app->versions[i]);
    }
    for (uint32_t i = 0; i < RECENT; i++) {
        app_results_drop(app->recent[i]);
    }
    for (uint32_t i = 0; i < app->configuration_count; i++) {
        free(app->configurations[i]);
    }
    free(app->versions);
    free(app->configurations);
    free(app);
}

struct sim_app *app_open(const struct app_service *service, const struct app_state *state,
                         const struct bft_head *head, const struct app_host *host)
{
    struct app *app = sim_alloc(1, sizeof *app);
    app->service = service;
    app->host = *host;
    app->head = *head;
    app->base.calls = (struct bft_app){.self = app,
                                       .execute = app_execute_batch,
                                       .check = app_check,
                                       .transactions = app_transactions,
                                       .undo_to = app_undo_to,
                                       .commit = app_commit,
                                       .read = app_read,
                                       .configuration = app_configuration_of};
    app->base.close = app_close;
    app->base.results = app_results_of;
    app->base.otherwise = app_otherwise;
    struct version *version = version_push(app);
    version->seqno = head->seqno;
    version->state = *state;
    return &app->base;
}
