/* A ledger without agreement. Keys and nonces come from counters. */
#include "ledger/ledger_fake.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "proof/agreement.h"
#include "proof/statement.h"

/* --- Keys --- */

static void key_of(struct sign_key *out, uint8_t kind, uint32_t number)
{
    uint8_t seed[SIGN_SEED_BYTES] = {kind, (uint8_t)number, 0x66};
    sign_key_init(out, seed);
}

static const struct sign_key *signer(const struct fake_ledger *ledger, uint32_t who)
{
    WM_ASSERT(who < FAKE_CLIENTS + FAKE_REPLICAS_MAX);
    return who < FAKE_CLIENTS ? &ledger->clients[who] : &ledger->members[who - FAKE_CLIENTS];
}

const uint8_t *fake_key(const struct fake_ledger *ledger, uint32_t who)
{
    return signer(ledger, who)->public_key;
}

static void nonce_of(uint64_t view, uint64_t seqno, uint32_t replica, ledger_nonce out)
{
    const uint64_t numbers[3] = {view, seqno, replica};
    wm_sha256_once(wm_view_of(numbers, sizeof numbers), out);
}

static void commitment_of(uint64_t view, uint64_t seqno, uint32_t replica, ledger_hash out)
{
    ledger_nonce nonce;
    nonce_of(view, seqno, replica, nonce);
    wm_sha256_once(wm_view_of(nonce, sizeof nonce), out);
}

/* --- Genesis --- */

static struct wm_view endorsement_of(const struct fake_ledger *ledger, uint32_t replica,
                                     uint32_t member, uint8_t out[ENDORSEMENT_BYTES_MAX])
{
    struct endorsement_claims claims = {.replica = replica, .member = member};
    uint8_t encoded[128], header[COSE_PROTECTED_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    struct cose_statement statement;
    memcpy(claims.salt, ledger->salt, sizeof claims.salt);
    endorsement_claims_put(&writer, &claims);
    statement_sign(&ledger->members[member], false, wm_view_of(encoded, writer.len),
                   ledger->replicas[replica].public_key, header, &statement);
    statement.attached = false;
    writer = cbor_writer_of(out, ENDORSEMENT_BYTES_MAX);
    cose_put_sign1(&writer, &statement);
    WM_ASSERT(cbor_fits(&writer));
    return wm_view_of(out, writer.len);
}

struct ledger_replica fake_replica(struct fake_ledger *ledger, uint32_t id, uint32_t member,
                                   uint8_t room[ENDORSEMENT_BYTES_MAX])
{
    struct ledger_replica replica = {.id = id, .member = member, .address = wm_view_str("fake:1")};
    WM_ASSERT(id < FAKE_REPLICAS_MAX);
    key_of(&ledger->replicas[id], 2, id);
    memcpy(replica.key, ledger->replicas[id].public_key, sizeof replica.key);
    replica.endorsement = endorsement_of(ledger, id, member, room);
    return replica;
}

static void make_genesis(struct fake_ledger *ledger)
{
    static const char *const names[FAKE_REPLICAS_MAX] = {"ada",  "ben", "cem", "dora",
                                                         "evin", "fay", "gil", "hana"};
    uint8_t endorsements[FAKE_REPLICAS_MAX][ENDORSEMENT_BYTES_MAX];
    struct genesis *genesis = calloc(1, sizeof *genesis);
    WM_ASSERT(genesis);
    struct configuration *configuration = &genesis->configuration;
    genesis->name = wm_view_str("fake");
    genesis->time_s = 1;
    memset(ledger->salt, 7, sizeof ledger->salt);
    memcpy(genesis->salt, ledger->salt, sizeof genesis->salt);
    configuration->member_count = configuration->replica_count = ledger->options.replicas;
    for (uint32_t i = 0; i < ledger->options.replicas; i++) {
        struct ledger_member *member = &configuration->members[i];
        key_of(&ledger->members[i], 1, i);
        *member = (struct ledger_member){.id = i, .name = wm_view_str(names[i]), .weight = 1};
        memcpy(member->key, ledger->members[i].public_key, sizeof member->key);
        configuration->replicas[i] = fake_replica(ledger, i, i, endorsements[i]);
    }
    configuration->parameters = (struct ledger_parameters){
        .pipeline = ledger->options.pipeline,
        .checkpoint_interval = ledger->options.checkpoint_interval,
        .batch_max = ledger->options.batch_max,
    };
    configuration->rules = (struct ledger_rules){50, 50, 50, 50};
    struct cbor_writer writer = cbor_writer_of(ledger->genesis_bytes, sizeof ledger->genesis_bytes);
    genesis_put(&writer, genesis);
    WM_ASSERT(cbor_fits(&writer));
    ledger->genesis = wm_view_of(ledger->genesis_bytes, writer.len);
    free(genesis);
}

/* --- Keeping --- */

static struct wm_view take(uint8_t **at, struct wm_view bytes)
{
    if (bytes.len > 0) {
        memcpy(*at, bytes.ptr, bytes.len);
    }
    *at += bytes.len;
    return wm_view_of(*at - bytes.len, bytes.len);
}

static void add_leaf(struct fake_ledger *ledger, struct wm_view entry)
{
    merkle_hash leaf;
    merkle_leaf(entry, leaf);
    int rc = ledger_tree_add(&ledger->tree, leaf);
    WM_ASSERT(rc == 0);
}

static void on_committed(void *self, const struct bft_entries *entries)
{
    struct fake_ledger *ledger = self;
    WM_ASSERT(entries->seqno < FAKE_BATCHES_MAX);
    struct fake_entries *kept = &ledger->batches[entries->seqno];
    size_t len = entries->view_changes.len + entries->new_view.len + entries->evidence.len +
                 entries->preprepare.len + entries->transactions.len;
    kept->bytes = malloc(len);
    WM_ASSERT(kept->bytes && !kept->entries.seqno);
    uint8_t *at = kept->bytes;
    kept->entries = *entries;
    kept->entries.view_changes = take(&at, entries->view_changes);
    kept->entries.new_view = take(&at, entries->new_view);
    kept->entries.evidence = take(&at, entries->evidence);
    kept->entries.preprepare = take(&at, entries->preprepare);
    kept->entries.transactions = take(&at, entries->transactions);
    if (entries->new_view.len > 0) {
        add_leaf(ledger, entries->view_changes);
        add_leaf(ledger, entries->new_view);
    }
    if (entries->evidence.len > 0) {
        add_leaf(ledger, entries->evidence);
    }
    add_leaf(ledger, entries->preprepare);
}

static bool on_read(void *self, uint64_t seqno, void (*taker)(void *, const struct bft_entries *),
                    void *to)
{
    const struct fake_ledger *ledger = self;
    if (seqno == 0 || seqno >= FAKE_BATCHES_MAX || ledger->batches[seqno].entries.seqno == 0) {
        return false;
    }
    taker(to, &ledger->batches[seqno].entries);
    return true;
}

const struct bft_entries *fake_entries(const struct fake_ledger *ledger, uint64_t seqno)
{
    WM_ASSERT(seqno > 0 && seqno < FAKE_BATCHES_MAX && ledger->batches[seqno].entries.seqno);
    return &ledger->batches[seqno].entries;
}

/* --- Life --- */

struct executor_config fake_config(struct fake_ledger *ledger)
{
    return (struct executor_config){.procedures = &ledger->procedures,
                                    .no_state_roots = ledger->options.no_state_roots,
                                    .keep = ledger->options.keep};
}

void fake_start(struct fake_ledger *ledger, const struct fake_options *options)
{
    struct wm_diag diag = WM_DIAG_INIT;
    memset(ledger, 0, sizeof *ledger);
    ledger->options = *options;
    struct fake_options *set = &ledger->options;
    set->replicas = set->replicas ? set->replicas : 4;
    set->pipeline = set->pipeline ? set->pipeline : 2;
    set->checkpoint_interval = set->checkpoint_interval ? set->checkpoint_interval : 16;
    set->batch_max = set->batch_max ? set->batch_max : LEDGER_BATCH_MAX;
    set->keep = set->keep ? set->keep : 4;
    WM_ASSERT(set->replicas <= FAKE_REPLICAS_MAX);
    make_genesis(ledger);
    for (uint32_t i = 0; i < FAKE_CLIENTS; i++) {
        key_of(&ledger->clients[i], 3, i);
    }
    ledger->batches = calloc(FAKE_BATCHES_MAX, sizeof *ledger->batches);
    WM_ASSERT(ledger->batches);
    struct ledger_tree_store store = ledger_tree_in(&ledger->hashes);
    ledger_tree_init(&ledger->tree, NULL, &store);
    table_init(&ledger->table, set->modules);
    ledger->procedures = table_procedures(&ledger->table);
    struct executor_config config = fake_config(ledger);
    config.self = ledger;
    config.committed = set->no_entries ? NULL : on_committed;
    config.read = on_read;
    int rc = executor_new(&config, ledger->genesis, &ledger->executor, &diag);
    WM_ASSERT(rc == 0);
}

void fake_drop_requests(struct fake_ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->request_count; i++) {
        free(ledger->requests[i].bytes);
    }
    ledger->request_count = 0;
}

void fake_stop(struct fake_ledger *ledger)
{
    fake_drop_requests(ledger);
    free(ledger->requests);
    for (uint64_t s = 0; s < FAKE_BATCHES_MAX; s++) {
        free(ledger->batches[s].bytes);
    }
    free(ledger->batches);
    ledger_tree_memory_fini(&ledger->hashes);
    executor_free(ledger->executor);
    memset(ledger, 0, sizeof *ledger);
}

/* --- Requests --- */

struct fake_request *fake_ask_as(struct fake_ledger *ledger, uint32_t who, const char *procedure,
                                 struct wm_view arguments, uint64_t number, uint64_t minimum_index)
{
    struct request_claims claims = {.number = number,
                                    .minimum_index = minimum_index,
                                    .procedure = wm_view_str(procedure),
                                    .arguments_len = (uint32_t)arguments.len};
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    struct cose_statement statement = {.attached = true};
    memcpy(claims.service, executor_service(ledger->executor), sizeof claims.service);
    request_claims_put(&writer, &claims);
    WM_ASSERT(cbor_fits(&writer));
    struct wm_view view = wm_view_of(encoded, writer.len);
    wm_sha256_once(arguments, statement.payload);
    if (ledger->options.unsigned_requests) {
        writer = cbor_writer_of(header, sizeof header);
        cose_put_protected(&writer, fake_key(ledger, who), false, view);
        statement.protected_header = wm_view_of(header, writer.len);
    } else {
        ledger_hash payload;
        memcpy(payload, statement.payload, sizeof payload);
        statement_sign(signer(ledger, who), false, view, payload, header, &statement);
    }
    if (ledger->request_count == ledger->request_room) {
        ledger->request_room = ledger->request_room ? ledger->request_room * 2 : 64;
        ledger->requests =
            realloc(ledger->requests, ledger->request_room * sizeof *ledger->requests);
        WM_ASSERT(ledger->requests);
    }
    struct fake_request *request = &ledger->requests[ledger->request_count++];
    request->bytes = malloc(REQUEST_BYTES_MAX + arguments.len);
    WM_ASSERT(request->bytes);
    writer = cbor_writer_of(request->bytes, REQUEST_BYTES_MAX);
    cose_put_sign1(&writer, &statement);
    WM_ASSERT(cbor_fits(&writer));
    uint8_t *after = request->bytes + REQUEST_BYTES_MAX;
    if (arguments.len > 0) {
        memcpy(after, arguments.ptr, arguments.len);
    }
    request->request = (struct bft_request){.request = wm_view_of(request->bytes, writer.len),
                                            .arguments = wm_view_of(after, arguments.len),
                                            .checked = ledger->options.unsigned_requests};
    wm_sha256_once(request->request.request, request->request.hash);
    return request;
}

void fake_ask(struct fake_ledger *ledger, uint32_t who, const char *procedure,
              struct wm_view arguments)
{
    (void)fake_ask_as(ledger, who, procedure, arguments, ++ledger->numbers[who], 0);
}

/* --- Batches --- */

static void next_of(const struct fake_ledger *ledger, struct bft_next *out)
{
    const struct bft_head *head = executor_head(ledger->executor);
    bft_head_next(head, executor_configuration(ledger->executor, head->cfg), out);
}

int fake_execute(struct fake_ledger *ledger, struct bft_executed *executed)
{
    struct bft_next next;
    next_of(ledger, &next);
    uint32_t count = next.kind == BATCH_NORMAL ? ledger->request_count : 0;
    struct bft_request *requests = calloc(count + 1, sizeof *requests);
    WM_ASSERT(requests);
    for (uint32_t i = 0; i < count; i++) {
        requests[i] = ledger->requests[i].request;
    }
    struct bft_batch batch = {.cfg = next.cfg,
                              .view = ledger->view,
                              .seqno = next.seqno,
                              .first_index = executor_head(ledger->executor)->next_index,
                              .count = count,
                              .requests = requests};
    int rc = executor_execute(ledger->executor, &batch, executed);
    free(requests);
    return rc;
}

static const struct sign_key *replica_key(const struct fake_ledger *ledger,
                                          const struct configuration *configuration,
                                          uint32_t position)
{
    uint32_t id = configuration->replicas[position].id;
    WM_ASSERT(id < FAKE_REPLICAS_MAX);
    return &ledger->replicas[id];
}

struct parsed {
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    ledger_hash name;
    const struct configuration *configuration;
    uint32_t primary;
};

static void parse(const struct fake_ledger *ledger, uint64_t seqno, struct parsed *out)
{
    struct cose_statement statement;
    bool ok = preprepare_entry_get(fake_entries(ledger, seqno)->preprepare, &out->entry, NULL) &&
              cose_header(out->entry.header, &statement) &&
              preprepare_claims_get(statement.claims, &out->claims, NULL) == 0;
    WM_ASSERT(ok);
    agreement_name(out->entry.header, out->entry.root, out->name);
    out->configuration = executor_configuration(ledger->executor, out->claims.cfg);
    out->primary = agreement_primary(out->claims.view, out->configuration->replica_count);
}

/* The primary's signature of a batch, and a backup's prepare. */
static void sign_preprepare(const struct fake_ledger *ledger, const struct parsed *batch,
                            ledger_signature out)
{
    struct statement_signed covered;
    statement_signed_bytes(batch->entry.header, batch->entry.root, &covered);
    sign_bytes(replica_key(ledger, batch->configuration, batch->primary),
               wm_view_of(covered.bytes, covered.len), out);
}

static void sign_prepare(const struct fake_ledger *ledger, const struct parsed *batch,
                         uint32_t position, ledger_hash commitment, ledger_signature out)
{
    uint8_t header[COSE_PROTECTED_BYTES_MAX];
    struct wm_view view;
    struct statement_signed covered;
    const struct sign_key *key = replica_key(ledger, batch->configuration, position);
    commitment_of(batch->claims.view, batch->claims.seqno, position, commitment);
    agreement_prepare_header(executor_service(ledger->executor), &batch->claims, batch->name,
                             position, key->public_key, commitment, header, &view);
    statement_signed_bytes(view, batch->entry.root, &covered);
    sign_bytes(key, wm_view_of(covered.bytes, covered.len), out);
}

static void make_evidence(const struct fake_ledger *ledger, uint64_t seqno, struct evidence *out)
{
    struct parsed batch;
    parse(ledger, seqno, &batch);
    /* The first Q positions: now with the primary, now without. */
    *out = (struct evidence){.seqno = seqno,
                             .count = ledger_quorum(batch.configuration->replica_count)};
    out->bitmap = (UINT64_C(1) << out->count) - 1;
    sign_preprepare(ledger, &batch, out->preprepare_signature);
    for (uint32_t i = 0; i < out->count; i++) {
        struct evidence_share *share = &out->shares[i];
        share->primary = i == batch.primary;
        nonce_of(batch.claims.view, seqno, i, share->nonce);
        if (!share->primary) {
            sign_prepare(ledger, &batch, i, share->commitment, share->signature);
        }
    }
}

void fake_quorum(const struct fake_ledger *ledger, uint64_t seqno, struct quorum *out)
{
    struct parsed batch;
    struct evidence evidence;
    parse(ledger, seqno, &batch);
    make_evidence(ledger, seqno, &evidence);
    *out = (struct quorum){.header = batch.entry.header, .has_root = true};
    memcpy(out->root, batch.entry.root, sizeof out->root);
    memcpy(out->signature, evidence.preprepare_signature, sizeof out->signature);
    for (uint32_t i = 0; i < evidence.count; i++) {
        if (evidence.shares[i].primary) {
            out->has_primary_nonce = true;
            memcpy(out->primary_nonce, evidence.shares[i].nonce, sizeof out->primary_nonce);
            continue;
        }
        struct quorum_share *share = &out->shares[out->count++];
        share->replica = i;
        memcpy(share->signature, evidence.shares[i].signature, sizeof share->signature);
        memcpy(share->nonce, evidence.shares[i].nonce, sizeof share->nonce);
    }
}

static void merkle_entry(struct merkle *ledger, struct wm_view entry)
{
    merkle_hash leaf;
    merkle_leaf(entry, leaf);
    bool fits = merkle_add(ledger, leaf);
    WM_ASSERT(fits);
}

static void forget_taken(struct fake_ledger *ledger, uint32_t taken)
{
    for (uint32_t i = 0; i < taken; i++) {
        free(ledger->requests[i].bytes);
    }
    ledger->request_count -= taken;
    if (taken > 0 && ledger->request_count > 0) {
        memmove(ledger->requests, ledger->requests + taken,
                ledger->request_count * sizeof *ledger->requests);
    }
}

uint64_t fake_commit(struct fake_ledger *ledger, const struct bft_executed *executed)
{
    const struct bft_head *head = executor_head(ledger->executor);
    uint8_t evidence_bytes[EVIDENCE_BYTES_MAX], entry_bytes[PREPREPARE_ENTRY_BYTES_MAX],
        encoded[PREPREPARE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct bft_next next;
    next_of(ledger, &next);
    const struct configuration *configuration = executor_configuration(ledger->executor, next.cfg);
    struct merkle tree = head->ledger;
    struct bft_entries entries = {.seqno = next.seqno, .cfg = next.cfg, .view = ledger->view};
    entries.view_changes = ledger->view_changes;
    entries.new_view = ledger->new_view;
    if (entries.new_view.len > 0) {
        merkle_entry(&tree, entries.view_changes);
        merkle_entry(&tree, entries.new_view);
    }
    struct preprepare_claims claims = {.cfg = next.cfg,
                                       .view = ledger->view,
                                       .seqno = next.seqno,
                                       .kind = next.kind,
                                       .phase = next.phase,
                                       .first_index = head->next_index,
                                       .count = executed->taken,
                                       .governance = head->governance,
                                       .has_committed_root = next.kind == BATCH_END};
    uint64_t about = next.seqno > next.pipeline ? next.seqno - next.pipeline : 0;
    if (!ledger->options.no_entries && about > 0 &&
        fake_entries(ledger, about)->view == ledger->view) {
        struct evidence evidence;
        struct cbor_writer writer = cbor_writer_of(evidence_bytes, sizeof evidence_bytes);
        make_evidence(ledger, about, &evidence);
        evidence_put(&writer, &evidence);
        entries.evidence = wm_view_of(evidence_bytes, writer.len);
        merkle_entry(&tree, entries.evidence);
        claims.evidence = evidence.bitmap;
    }
    uint32_t primary = agreement_primary(ledger->view, configuration->replica_count);
    memcpy(claims.service, executor_service(ledger->executor), sizeof claims.service);
    claims.ledger_size = tree.count;
    merkle_root(&tree, claims.ledger_root);
    memcpy(claims.state_root, executed->state_root, sizeof claims.state_root);
    commitment_of(ledger->view, next.seqno, primary, claims.commitment);
    memcpy(claims.committed_root, head->committed_root, sizeof claims.committed_root);
    bft_head_checkpoint(head, &next, configuration->parameters.checkpoint_interval,
                        &claims.checkpoint_seqno, claims.checkpoint_root);
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    preprepare_claims_put(&writer, &claims);
    WM_ASSERT(cbor_fits(&writer));
    struct wm_view view = wm_view_of(encoded, writer.len);
    writer = cbor_writer_of(header, sizeof header);
    cose_put_protected(&writer, replica_key(ledger, configuration, primary)->public_key, true,
                       view);
    struct preprepare_entry entry = {.header = wm_view_of(header, writer.len)};
    memcpy(entry.root, executed->root, sizeof entry.root);
    writer = cbor_writer_of(entry_bytes, sizeof entry_bytes);
    preprepare_entry_put(&writer, &entry);
    entries.preprepare = wm_view_of(entry_bytes, writer.len);
    entries.transactions = kept_entry(executor_batch(ledger->executor, next.seqno));
    executor_commit(ledger->executor, &entries);

    forget_taken(ledger, executed->taken);
    ledger->view_changes = ledger->new_view = wm_view_of(NULL, 0);
    return next.seqno;
}

uint64_t fake_batch(struct fake_ledger *ledger)
{
    struct bft_executed executed;
    int rc = fake_execute(ledger, &executed);
    WM_ASSERT(rc == 0);
    return fake_commit(ledger, &executed);
}

uint32_t fake_call(struct fake_ledger *ledger, uint32_t who, const char *procedure,
                   struct wm_view arguments, struct wm_view *result)
{
    struct transaction_item item;
    fake_drop_requests(ledger);
    fake_ask(ledger, who, procedure, arguments);
    uint64_t seqno = fake_batch(ledger);
    kept_item(executor_batch(ledger->executor, seqno), 0, &item);
    if (result) {
        *result = item.result;
    }
    return item.output.code;
}

void fake_govern(struct fake_ledger *ledger, struct wm_view actions)
{
    struct fake_arguments arguments;
    struct governance_answer answer;
    struct wm_view result;
    uint32_t code = fake_call(ledger, FAKE_CLIENTS, "governance.propose", actions, &result);
    for (uint32_t member = 1;; member++) {
        bool ok = code == PROCEDURE_DONE && governance_answer_get(result, &answer);
        WM_ASSERT(ok && member < FAKE_REPLICAS_MAX);
        if (answer.passed) {
            return;
        }
        code = fake_call(ledger, FAKE_CLIENTS + member, "governance.vote",
                         fake_array(&arguments, "u", (uint64_t)answer.proposal), &result);
    }
}

/* --- View changes --- */

void fake_view_change(struct fake_ledger *ledger)
{
    const struct bft_head *head = executor_head(ledger->executor);
    struct bft_next next;
    next_of(ledger, &next);
    const struct configuration *configuration = executor_configuration(ledger->executor, next.cfg);
    uint32_t quorum = ledger_quorum(configuration->replica_count);
    uint64_t view = ledger->view + 1;
    static uint8_t certificate_bytes[CERTIFICATE_BYTES_MAX];
    struct certificate certificate = {.is_there = head->seqno > 0};
    struct parsed top = {0};
    if (head->seqno > 0) {
        parse(ledger, head->seqno, &top);
        certificate.preprepare.header = top.entry.header;
        memcpy(certificate.preprepare.payload, top.entry.root, sizeof(ledger_hash));
        sign_preprepare(ledger, &top, certificate.preprepare.signature);
        uint32_t wanted = ledger_quorum(top.configuration->replica_count) - 1;
        for (uint32_t i = 0; certificate.count < wanted; i++) {
            if (i != top.primary) {
                struct certificate_prepare *prepare = &certificate.prepares[certificate.count++];
                prepare->replica = i;
                sign_prepare(ledger, &top, i, prepare->commitment, prepare->signature);
            }
        }
    }
    struct cbor_writer writer = cbor_writer_of(certificate_bytes, sizeof certificate_bytes);
    certificate_put(&writer, &certificate);
    WM_ASSERT(cbor_fits(&writer));
    struct wm_view encoded_certificate = wm_view_of(certificate_bytes, writer.len);
    ledger_hash payload;
    wm_sha256_once(encoded_certificate, payload);

    struct cbor_writer entry =
        cbor_writer_of(ledger->view_changes_bytes, sizeof ledger->view_changes_bytes);
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct statement_parts parts;
    viewchanges_put_head(&entry, view, quorum);
    for (uint32_t i = 0; i < quorum; i++) {
        struct viewchange_claims claims = {.cfg = next.cfg,
                                           .view = view,
                                           .replica = i,
                                           .has_top = head->seqno > 0,
                                           .top_view = top.claims.view,
                                           .top_seqno = top.claims.seqno};
        memcpy(claims.service, executor_service(ledger->executor), sizeof claims.service);
        memcpy(claims.top, top.name, sizeof claims.top);
        writer = cbor_writer_of(encoded, sizeof encoded);
        viewchange_claims_put(&writer, &claims);
        agreement_sign(replica_key(ledger, configuration, i), false,
                       wm_view_of(encoded, writer.len), payload, header, &parts);
        struct viewchange viewchange = {.header = parts.header, .certificate = encoded_certificate};
        memcpy(viewchange.signature, parts.signature, sizeof viewchange.signature);
        viewchange_put(&entry, &viewchange);
    }
    WM_ASSERT(cbor_fits(&entry));
    ledger->view = view;
    ledger->view_changes = wm_view_of(ledger->view_changes_bytes, entry.len);

    struct merkle tree = head->ledger;
    merkle_entry(&tree, ledger->view_changes);
    struct newview_claims claims = {.cfg = next.cfg,
                                    .view = view,
                                    .ledger_size = tree.count,
                                    .base_seqno = head->seqno,
                                    .used = (UINT64_C(1) << quorum) - 1};
    memcpy(claims.service, executor_service(ledger->executor), sizeof claims.service);
    merkle_root(&tree, claims.ledger_root);
    writer = cbor_writer_of(encoded, sizeof encoded);
    newview_claims_put(&writer, &claims);
    wm_sha256_once(ledger->view_changes, payload);
    uint32_t primary = agreement_primary(view, configuration->replica_count);
    agreement_sign(replica_key(ledger, configuration, primary), false,
                   wm_view_of(encoded, writer.len), payload, header, &parts);
    struct newview_entry new_view = {.header = parts.header};
    memcpy(new_view.signature, parts.signature, sizeof new_view.signature);
    writer = cbor_writer_of(ledger->new_view_bytes, sizeof ledger->new_view_bytes);
    newview_entry_put(&writer, &new_view);
    WM_ASSERT(cbor_fits(&writer));
    ledger->new_view = wm_view_of(ledger->new_view_bytes, writer.len);
}

/* --- Arguments --- */

struct wm_view fake_array(struct fake_arguments *out, const char *kinds, ...)
{
    va_list list;
    va_start(list, kinds);
    out->writer = cbor_writer_of(out->bytes, sizeof out->bytes);
    cbor_put_array(&out->writer, strlen(kinds));
    for (const char *kind = kinds; *kind; kind++) {
        switch (*kind) {
        case 'b': cbor_put_bytes(&out->writer, va_arg(list, struct wm_view)); break;
        case 'u': cbor_put_uint(&out->writer, va_arg(list, uint64_t)); break;
        case 'i': cbor_put_int(&out->writer, va_arg(list, int64_t)); break;
        default: cbor_put_null(&out->writer); break;
        }
    }
    va_end(list);
    WM_ASSERT(cbor_fits(&out->writer));
    return wm_view_of(out->bytes, out->writer.len);
}
