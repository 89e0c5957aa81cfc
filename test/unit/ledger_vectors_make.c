/* From the fields of a vector to the bytes of its format. */
#include "unit/ledger_vectors_make.h"

#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "wire/client.h"
#include "wire/genesis.h"
#include "wire/peer.h"

/* What the views of one vector point into. */
uint8_t vector_memory[1 << 20];
size_t vector_memory_used;

static struct wm_view hex(const char *text)
{
    size_t len = text ? strlen(text) / 2 : 0;
    uint8_t *out = vector_memory + vector_memory_used;
    CHECK(len <= sizeof vector_memory - vector_memory_used);
    if (len > sizeof vector_memory - vector_memory_used) {
        return wm_view_of(NULL, 0);
    }
    for (size_t i = 0; i < len; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *high = strchr(digits, text[2 * i]), *low = strchr(digits, text[2 * i + 1]);
        CHECK(high && low && *high && *low);
        out[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    vector_memory_used += len;
    return wm_view_of(out, len);
}

/* --- Fields --- */

static const json_t *at(const json_t *fields, const char *name)
{
    const json_t *value = json_object_get(fields, name);
    if (!wm_test_check(value != NULL, __FILE__, __LINE__, "the field is there")) {
        wm_test_note("%s", name);
    }
    return value;
}

static bool is_null(const json_t *fields, const char *name)
{
    return json_is_null(at(fields, name));
}

struct wm_view vector_bytes(const json_t *value)
{
    return hex(json_string_value(value));
}

static struct wm_view view_at(const json_t *fields, const char *name)
{
    return vector_bytes(at(fields, name));
}

static struct wm_view text_at(const json_t *fields, const char *name)
{
    return wm_view_str(json_string_value(at(fields, name)));
}

static uint64_t number_of(const json_t *value)
{
    CHECK(json_is_integer(value) || json_is_string(value));
    return json_is_string(value) ? strtoull(json_string_value(value), NULL, 10)
                                 : (uint64_t)json_integer_value(value);
}

static uint64_t number_at(const json_t *fields, const char *name)
{
    return number_of(at(fields, name));
}

static uint32_t u32_at(const json_t *fields, const char *name)
{
    return (uint32_t)number_at(fields, name);
}

static bool true_at(const json_t *fields, const char *name)
{
    CHECK(json_is_boolean(at(fields, name)));
    return json_is_true(at(fields, name));
}

static void copy_of(const json_t *value, uint8_t *out, size_t len)
{
    struct wm_view bytes = vector_bytes(value);
    CHECK_INT(bytes.len, ==, len);
    if (bytes.len == len) {
        memcpy(out, bytes.ptr, len);
    }
}

static void copy_at(const json_t *fields, const char *name, uint8_t *out, size_t len)
{
    copy_of(at(fields, name), out, len);
}

static void hash_at(const json_t *fields, const char *name, uint8_t *out)
{
    copy_at(fields, name, out, LEDGER_HASH_BYTES);
}

static bool maybe_hash_at(const json_t *fields, const char *name, uint8_t *out)
{
    if (is_null(fields, name)) {
        return false;
    }
    hash_at(fields, name, out);
    return true;
}

static bool maybe_view_at(const json_t *fields, const char *name, struct wm_view *out)
{
    *out = is_null(fields, name) ? wm_view_of(NULL, 0) : view_at(fields, name);
    return !is_null(fields, name);
}

/* Byte strings of an array, one after the other. */
static struct wm_view joined(const json_t *array)
{
    size_t i, start = vector_memory_used;
    const json_t *item;
    json_array_foreach((json_t *)array, i, item)
    {
        vector_bytes(item);
    }
    return wm_view_of(vector_memory + start, vector_memory_used - start);
}

static uint32_t path_of(const json_t *array, ledger_hash *out)
{
    size_t i;
    const json_t *item;
    json_array_foreach((json_t *)array, i, item)
    {
        copy_of(item, out[i], LEDGER_HASH_BYTES);
    }
    return (uint32_t)json_array_size(array);
}

static struct statement_parts parts_of(const json_t *array)
{
    struct statement_parts parts = {.header = wm_view_of(NULL, 0)};
    if (!json_is_null(array)) {
        parts.header = vector_bytes(json_array_get(array, 0));
        copy_of(json_array_get(array, 1), parts.payload, sizeof parts.payload);
        copy_of(json_array_get(array, 2), parts.signature, sizeof parts.signature);
    }
    return parts;
}

static struct request_output output_of(const json_t *fields)
{
    struct request_output output = {.code = u32_at(fields, "code"),
                                    .result_len = u32_at(fields, "result_len"),
                                    .fuel_version = u32_at(fields, "fuel_version")};
    hash_at(fields, "result", output.result);
    hash_at(fields, "procedure", output.procedure);
    hash_at(fields, "reads", output.reads);
    hash_at(fields, "writes", output.writes);
    return output;
}

static struct quorum quorum_of(const json_t *fields)
{
    const json_t *shares = at(fields, "shares"), *item;
    struct quorum quorum = {.header = view_at(fields, "header"),
                            .count = (uint32_t)json_array_size(shares)};
    size_t i;
    quorum.has_root = maybe_hash_at(fields, "root", quorum.root);
    copy_at(fields, "signature", quorum.signature, sizeof quorum.signature);
    quorum.has_primary_nonce = maybe_hash_at(fields, "primary_nonce", quorum.primary_nonce);
    json_array_foreach((json_t *)shares, i, item)
    {
        quorum.shares[i].replica = u32_at(item, "replica");
        copy_at(item, "signature", quorum.shares[i].signature, LEDGER_SIGNATURE_BYTES);
        hash_at(item, "nonce", quorum.shares[i].nonce);
    }
    return quorum;
}

static struct certificate certificate_of(const json_t *fields)
{
    struct certificate certificate = {.is_there = !json_is_null(fields)};
    const json_t *prepares = json_object_get(fields, "prepares"), *item;
    size_t i;
    if (!certificate.is_there) {
        return certificate;
    }
    certificate.preprepare = parts_of(at(fields, "preprepare"));
    certificate.count = (uint32_t)json_array_size(prepares);
    json_array_foreach((json_t *)prepares, i, item)
    {
        certificate.prepares[i].replica = u32_at(item, "replica");
        hash_at(item, "commitment", certificate.prepares[i].commitment);
        copy_at(item, "signature", certificate.prepares[i].signature, LEDGER_SIGNATURE_BYTES);
    }
    return certificate;
}

static void configuration_of(const json_t *fields, struct configuration *out)
{
    const json_t *members = at(fields, "members"), *replicas = at(fields, "replicas"), *item;
    const json_t *parameters = at(fields, "parameters"), *rules = at(fields, "rules");
    size_t i;
    out->member_count = (uint32_t)json_array_size(members);
    json_array_foreach((json_t *)members, i, item)
    {
        out->members[i] = (struct ledger_member){.id = u32_at(item, "id"),
                                                 .name = text_at(item, "name"),
                                                 .weight = u32_at(item, "weight")};
        hash_at(item, "key", out->members[i].key);
    }
    out->replica_count = (uint32_t)json_array_size(replicas);
    json_array_foreach((json_t *)replicas, i, item)
    {
        out->replicas[i] = (struct ledger_replica){.id = u32_at(item, "id"),
                                                   .member = u32_at(item, "member"),
                                                   .address = text_at(item, "address"),
                                                   .endorsement = view_at(item, "endorsement")};
        hash_at(item, "key", out->replicas[i].key);
    }
    out->parameters =
        (struct ledger_parameters){.pipeline = u32_at(parameters, "pipeline"),
                                   .checkpoint_interval = u32_at(parameters, "checkpoint_interval"),
                                   .batch_max = u32_at(parameters, "batch_max")};
    out->rules = (struct ledger_rules){.members = u32_at(rules, "members"),
                                       .replicas = u32_at(rules, "replicas"),
                                       .parameters = u32_at(rules, "parameters"),
                                       .procedures = u32_at(rules, "procedures")};
}

/* --- Formats from their fields --- */

static void put_genesis(const json_t *fields, struct cbor_writer *out)
{
    static struct genesis genesis;
    genesis.name = text_at(fields, "name");
    genesis.time_s = number_at(fields, "time");
    copy_at(fields, "salt", genesis.salt, sizeof genesis.salt);
    configuration_of(fields, &genesis.configuration);
    genesis_put(out, &genesis);
}

static void put_configuration(const json_t *fields, struct cbor_writer *out)
{
    static struct configuration configuration;
    configuration.number = number_at(fields, "number");
    configuration_of(fields, &configuration);
    configuration_put(out, &configuration);
}

static void put_sign1(const json_t *fields, struct wm_view claims, struct cbor_writer *out)
{
    uint8_t key[LEDGER_KEY_BYTES], header[COSE_PROTECTED_BYTES_MAX];
    struct cose_statement statement = {0};
    struct cbor_writer writer = cbor_writer_of(header, sizeof header);
    hash_at(fields, "key", key);
    cose_put_protected(&writer, key, false, claims);
    statement.protected_header = wm_view_of(header, writer.len);
    statement.attached = json_object_get(fields, "payload") != NULL;
    if (statement.attached) {
        hash_at(fields, "payload", statement.payload);
    }
    copy_at(fields, "signature", statement.signature, sizeof statement.signature);
    cose_put_sign1(out, &statement);
}

static void put_endorsement(const json_t *fields, struct cbor_writer *out)
{
    struct endorsement_claims claims = {.replica = u32_at(fields, "replica"),
                                        .member = u32_at(fields, "member")};
    uint8_t bytes[COSE_CLAIMS_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    copy_at(fields, "salt", claims.salt, sizeof claims.salt);
    endorsement_claims_put(&writer, &claims);
    put_sign1(fields, wm_view_of(bytes, writer.len), out);
}

static void put_request(const json_t *fields, struct cbor_writer *out)
{
    struct request_claims claims = {.number = number_at(fields, "number"),
                                    .minimum_index = number_at(fields, "minimum_index"),
                                    .procedure = text_at(fields, "procedure"),
                                    .arguments_len = u32_at(fields, "arguments_len")};
    uint8_t bytes[COSE_CLAIMS_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    hash_at(fields, "service", claims.service);
    request_claims_put(&writer, &claims);
    put_sign1(fields, wm_view_of(bytes, writer.len), out);
    CHECK(out->len <= REQUEST_BYTES_MAX);
}

static void put_header(const json_t *fields, struct cbor_writer *out)
{
    uint8_t key[LEDGER_KEY_BYTES];
    hash_at(fields, "key", key);
    cose_put_protected(out, key, true_at(fields, "tree"), view_at(fields, "claims"));
}

static void put_preprepare(const json_t *fields, struct cbor_writer *out)
{
    const json_t *checkpoint = at(fields, "checkpoint");
    struct preprepare_claims claims = {
        .cfg = number_at(fields, "cfg"),
        .view = number_at(fields, "view"),
        .seqno = number_at(fields, "seqno"),
        .kind = (enum batch_kind)number_at(fields, "kind"),
        .phase = u32_at(fields, "phase"),
        .first_index = number_at(fields, "first_index"),
        .count = u32_at(fields, "count"),
        .ledger_size = number_at(fields, "ledger_size"),
        .evidence = number_at(fields, "evidence"),
        .governance = number_at(fields, "governance"),
        .checkpoint_seqno = number_of(json_array_get(checkpoint, 0)),
    };
    hash_at(fields, "service", claims.service);
    hash_at(fields, "ledger_root", claims.ledger_root);
    hash_at(fields, "state_root", claims.state_root);
    hash_at(fields, "commitment", claims.commitment);
    copy_of(json_array_get(checkpoint, 1), claims.checkpoint_root, LEDGER_HASH_BYTES);
    claims.has_committed_root = maybe_hash_at(fields, "committed_root", claims.committed_root);
    preprepare_claims_put(out, &claims);
    CHECK(out->len <= PREPREPARE_CLAIMS_BYTES_MAX);
}

static void put_prepare(const json_t *fields, struct cbor_writer *out)
{
    struct prepare_claims claims = {.cfg = number_at(fields, "cfg"),
                                    .view = number_at(fields, "view"),
                                    .seqno = number_at(fields, "seqno"),
                                    .replica = u32_at(fields, "replica")};
    hash_at(fields, "service", claims.service);
    hash_at(fields, "preprepare", claims.preprepare);
    hash_at(fields, "commitment", claims.commitment);
    prepare_claims_put(out, &claims);
    CHECK(out->len <= PREPARE_CLAIMS_BYTES_MAX);
}

static void put_viewchange_claims(const json_t *fields, struct cbor_writer *out)
{
    const json_t *top = at(fields, "top");
    struct viewchange_claims claims = {.cfg = number_at(fields, "cfg"),
                                       .view = number_at(fields, "view"),
                                       .replica = u32_at(fields, "replica"),
                                       .has_top = !json_is_null(top)};
    hash_at(fields, "service", claims.service);
    if (claims.has_top) {
        claims.top_view = number_of(json_array_get(top, 0));
        claims.top_seqno = number_of(json_array_get(top, 1));
        copy_of(json_array_get(top, 2), claims.top, sizeof claims.top);
    }
    viewchange_claims_put(out, &claims);
    CHECK(out->len <= VIEWCHANGE_CLAIMS_BYTES_MAX);
}

static void put_newview_claims(const json_t *fields, struct cbor_writer *out)
{
    struct newview_claims claims = {.cfg = number_at(fields, "cfg"),
                                    .view = number_at(fields, "view"),
                                    .ledger_size = number_at(fields, "ledger_size"),
                                    .base_seqno = number_at(fields, "base_seqno"),
                                    .used = number_at(fields, "used")};
    hash_at(fields, "service", claims.service);
    hash_at(fields, "ledger_root", claims.ledger_root);
    newview_claims_put(out, &claims);
    CHECK(out->len <= NEWVIEW_CLAIMS_BYTES_MAX);
}

static void put_transaction(const json_t *fields, struct cbor_writer *out)
{
    struct request_output output = output_of(at(fields, "output"));
    ledger_hash request;
    hash_at(fields, "request", request);
    transaction_put(out, number_at(fields, "index"), request, &output);
    CHECK(out->len <= TRANSACTION_BYTES_MAX);
}

static void put_evidence(const json_t *fields, struct cbor_writer *out)
{
    const json_t *shares = at(fields, "shares"), *item;
    struct evidence evidence = {.seqno = number_at(fields, "seqno"),
                                .bitmap = number_at(fields, "bitmap"),
                                .count = (uint32_t)json_array_size(shares)};
    size_t i;
    copy_at(fields, "preprepare_signature", evidence.preprepare_signature, LEDGER_SIGNATURE_BYTES);
    json_array_foreach((json_t *)shares, i, item)
    {
        struct evidence_share *share = &evidence.shares[i];
        share->primary = !maybe_hash_at(item, "commitment", share->commitment);
        if (!share->primary) {
            copy_at(item, "signature", share->signature, sizeof share->signature);
        }
        hash_at(item, "nonce", share->nonce);
    }
    evidence_put(out, &evidence);
}

static void put_preprepare_entry(const json_t *fields, struct cbor_writer *out)
{
    struct preprepare_entry entry = {.header = view_at(fields, "header")};
    hash_at(fields, "root", entry.root);
    preprepare_entry_put(out, &entry);
    CHECK(out->len <= PREPREPARE_ENTRY_BYTES_MAX);
}

static void put_newview_entry(const json_t *fields, struct cbor_writer *out)
{
    struct newview_entry entry = {.header = view_at(fields, "header")};
    copy_at(fields, "signature", entry.signature, sizeof entry.signature);
    newview_entry_put(out, &entry);
    CHECK(out->len <= NEWVIEW_ENTRY_BYTES_MAX);
}

static void put_transactions(const json_t *fields, struct cbor_writer *out)
{
    const json_t *items = at(fields, "items"), *item;
    size_t i;
    transactions_put_head(out, number_at(fields, "seqno"), (uint32_t)json_array_size(items));
    json_array_foreach((json_t *)items, i, item)
    {
        struct transaction_item one = {.request = view_at(item, "request"),
                                       .output = output_of(at(item, "output"))};
        one.has_arguments = maybe_view_at(item, "arguments", &one.arguments);
        one.has_result = maybe_view_at(item, "result", &one.result);
        transaction_item_put(out, &one);
    }
}

static void put_certificate(const json_t *fields, struct cbor_writer *out)
{
    struct certificate certificate = certificate_of(fields);
    certificate_put(out, &certificate);
}

static void put_viewchange(const json_t *fields, struct cbor_writer *out)
{
    struct viewchange viewchange = {.header = view_at(fields, "header"),
                                    .certificate = view_at(fields, "certificate")};
    copy_at(fields, "signature", viewchange.signature, sizeof viewchange.signature);
    viewchange_put(out, &viewchange);
}

static void put_viewchanges(const json_t *fields, struct cbor_writer *out)
{
    const json_t *changes = at(fields, "viewchanges");
    viewchanges_put_head(out, number_at(fields, "view"), (uint32_t)json_array_size(changes));
    cbor_put_raw(out, joined(changes));
}

static void put_quorum(const json_t *fields, struct cbor_writer *out)
{
    struct quorum quorum = quorum_of(fields);
    quorum_put(out, &quorum);
}

static void put_receipt(const json_t *fields, struct cbor_writer *out)
{
    const json_t *chained = at(fields, "chained");
    struct ledger_receipt receipt = {.request = view_at(fields, "request"),
                                     .output = output_of(at(fields, "output")),
                                     .index = number_at(fields, "index"),
                                     .position = u32_at(fields, "position"),
                                     .quorum = quorum_of(at(fields, "quorum")),
                                     .chained = !json_is_null(chained)};
    receipt.path_len = path_of(at(fields, "path"), receipt.path);
    if (receipt.chained) {
        receipt.header = view_at(chained, "header");
        receipt.leaf = number_at(chained, "leaf");
        receipt.chain_len = path_of(at(chained, "path"), receipt.chain);
    }
    ledger_receipt_put(out, &receipt);
}

static void put_chain(const json_t *fields, struct cbor_writer *out)
{
    const json_t *links = at(fields, "links"), *item;
    size_t i;
    chain_put_head(out, json_array_size(links));
    json_array_foreach((json_t *)links, i, item)
    {
        struct chain_link link = {.kind = (enum chain_link_kind)number_at(item, "kind")};
        switch (link.kind) {
        case CHAIN_TRANSACTION:
            link.receipt = view_at(item, "receipt");
            link.arguments = view_at(item, "arguments");
            link.result = view_at(item, "result");
            break;
        case CHAIN_ENDED: link.quorum = quorum_of(at(item, "quorum")); break;
        case CHAIN_ENDED_BY: link.certificate = certificate_of(at(item, "certificate")); break;
        }
        chain_link_put(out, &link);
    }
}

static void put_state_proof(const json_t *fields, struct cbor_writer *out)
{
    struct state_proof proof = {.empty = json_is_null(fields)};
    if (!proof.empty) {
        const json_t *path = at(fields, "path"), *item;
        size_t i;
        hash_at(fields, "key_hash", proof.key_hash);
        hash_at(fields, "value_hash", proof.value_hash);
        proof.path_len = (uint32_t)json_array_size(path);
        json_array_foreach((json_t *)path, i, item)
        {
            proof.path[i].bit = (uint8_t)number_of(json_array_get(item, 0));
            copy_of(json_array_get(item, 1), proof.path[i].sibling, LEDGER_HASH_BYTES);
        }
    }
    state_proof_put(out, &proof);
}

static void put_blame(const json_t *fields, struct cbor_writer *out)
{
    ledger_hash service;
    struct wm_view kind = text_at(fields, "kind");
    unsigned number = BLAME_EQUIVOCATION;
    while (blame_kind_text((enum blame_kind)number) &&
           !wm_view_eq_str(kind, blame_kind_text((enum blame_kind)number))) {
        number++;
    }
    hash_at(fields, "service", service);
    blame_put_head(out, service, view_at(fields, "chain"), (enum blame_kind)number,
                   json_array_size(at(fields, "parts")));
    cbor_put_raw(out, joined(at(fields, "parts")));
}

static void put_peer(const json_t *fields, struct cbor_writer *out)
{
    static struct peer_message message;
    memset(&message, 0, sizeof message);
    message.kind = (enum peer_kind)number_at(fields, "kind");
    switch (message.kind) {
    case PEER_REQUEST:
        message.request.request = view_at(fields, "request");
        message.request.arguments = view_at(fields, "arguments");
        break;
    case PEER_PREPREPARE:
        message.preprepare.statement = parts_of(at(fields, "statement"));
        message.preprepare.evidence = view_at(fields, "evidence");
        message.preprepare.requests = view_at(fields, "requests");
        break;
    case PEER_PREPARE: message.prepare.statement = parts_of(at(fields, "statement")); break;
    case PEER_COMMIT:
        message.commit = (struct peer_commit){.cfg = number_at(fields, "cfg"),
                                              .view = number_at(fields, "view"),
                                              .seqno = number_at(fields, "seqno"),
                                              .replica = u32_at(fields, "replica")};
        hash_at(fields, "nonce", message.commit.nonce);
        break;
    case PEER_VIEW_CHANGE: {
        struct cbor_reader reader = cbor_reader_of(view_at(fields, "viewchange"));
        CHECK(viewchange_get(&reader, &message.viewchange) && cbor_end(&reader));
        break;
    }
    case PEER_NEW_VIEW:
        message.newview.entry.header = view_at(fields, "header");
        copy_at(fields, "signature", message.newview.entry.signature, LEDGER_SIGNATURE_BYTES);
        message.newview.viewchanges = view_at(fields, "viewchanges");
        break;
    case PEER_FETCH_REQUESTS: message.fetch_requests.requests = view_at(fields, "requests"); break;
    case PEER_FETCH_ENTRIES:
        message.fetch_entries.from_seqno = number_at(fields, "from_seqno");
        hash_at(fields, "name", message.fetch_entries.name);
        break;
    case PEER_ENTRIES:
        message.entries.from_seqno = number_at(fields, "from_seqno");
        hash_at(fields, "name", message.entries.name);
        message.entries.has_quorum = !is_null(fields, "quorum");
        if (message.entries.has_quorum) {
            message.entries.quorum = quorum_of(at(fields, "quorum"));
        }
        message.entries.count = json_array_size(at(fields, "entries"));
        message.entries.entries = joined(at(fields, "entries"));
        break;
    case PEER_STATUS:
        message.status =
            (struct peer_status){.cfg = number_at(fields, "cfg"),
                                 .view = number_at(fields, "view"),
                                 .in_view = true_at(fields, "in_view"),
                                 .prepared_seqno = number_at(fields, "prepared_seqno"),
                                 .committed_seqno = number_at(fields, "committed_seqno"),
                                 .evidenced_seqno = number_at(fields, "evidenced_seqno"),
                                 .checkpoint_seqno = number_at(fields, "checkpoint_seqno")};
        break;
    case PEER_ASK_NEWEST: hash_at(fields, "challenge", message.ask_newest.challenge); break;
    case PEER_NEWEST:
        hash_at(fields, "challenge", message.newest.challenge);
        message.newest.batch = parts_of(at(fields, "batch"));
        message.newest.view = parts_of(at(fields, "view"));
        break;
    case PEER_FETCH_CHECKPOINT:
    case PEER_CHECKPOINT: CHECK(false); return;
    }
    peer_message_put(out, &message);
}

static void client_state_of(const json_t *fields, struct client_state *out)
{
    const json_t *peers = at(fields, "peers"), *item;
    size_t i;
    *out = (struct client_state){.mode = u32_at(fields, "mode"),
                                 .mode_text = text_at(fields, "mode_text"),
                                 .cfg = number_at(fields, "cfg"),
                                 .view = number_at(fields, "view"),
                                 .head_seqno = number_at(fields, "head_seqno"),
                                 .committed_seqno = number_at(fields, "committed_seqno"),
                                 .next_index = number_at(fields, "next_index"),
                                 .governance = number_at(fields, "governance"),
                                 .primary = u32_at(fields, "primary"),
                                 .pool_requests = u32_at(fields, "pool_requests"),
                                 .checkpoint_seqno = number_at(fields, "checkpoint_seqno"),
                                 .ledger_bytes = number_at(fields, "ledger_bytes"),
                                 .state_pairs = number_at(fields, "state_pairs"),
                                 .state_bytes = number_at(fields, "state_bytes"),
                                 .peer_count = (uint32_t)json_array_size(peers)};
    json_array_foreach((json_t *)peers, i, item)
    {
        out->peers[i] = (struct client_peer_state){
            .replica = (uint32_t)number_of(json_array_get(item, 0)),
            .connected = json_is_true(json_array_get(item, 1)),
            .suspected = json_is_true(json_array_get(item, 2)),
            .view = number_of(json_array_get(item, 3)),
            .committed_seqno = number_of(json_array_get(item, 4)),
        };
    }
}

static void put_client(const json_t *fields, struct cbor_writer *out)
{
    static struct client_message message;
    memset(&message, 0, sizeof message);
    message.kind = (enum client_kind)number_at(fields, "kind");
    switch (message.kind) {
    case CLIENT_HELLO:
        message.hello =
            (struct client_hello){.replica = u32_at(fields, "replica"),
                                  .cfg = number_at(fields, "cfg"),
                                  .view = number_at(fields, "view"),
                                  .committed_seqno = number_at(fields, "committed_seqno"),
                                  .next_index = number_at(fields, "next_index"),
                                  .governance = number_at(fields, "governance"),
                                  .primary = u32_at(fields, "primary")};
        hash_at(fields, "service", message.hello.service);
        break;
    case CLIENT_SUBMIT:
        message.submit = (struct client_submit){.request = view_at(fields, "request"),
                                                .arguments = view_at(fields, "arguments"),
                                                .wants_replyx = true_at(fields, "wants_replyx")};
        break;
    case CLIENT_REFUSED:
        message.refused = (struct client_refused){.code = u32_at(fields, "code"),
                                                  .retry_ms = u32_at(fields, "retry_ms"),
                                                  .text = text_at(fields, "text")};
        hash_at(fields, "request", message.refused.request);
        break;
    case CLIENT_REPLY:
        message.reply = (struct client_reply){.cfg = number_at(fields, "cfg"),
                                              .view = number_at(fields, "view"),
                                              .seqno = number_at(fields, "seqno"),
                                              .position = u32_at(fields, "position"),
                                              .primary = true_at(fields, "primary")};
        hash_at(fields, "preprepare", message.reply.preprepare);
        copy_at(fields, "signature", message.reply.signature, LEDGER_SIGNATURE_BYTES);
        hash_at(fields, "nonce", message.reply.nonce);
        break;
    case CLIENT_REPLYX:
        message.replyx = (struct client_replyx){.preprepare = parts_of(at(fields, "preprepare")),
                                                .index = number_at(fields, "index"),
                                                .position = u32_at(fields, "position"),
                                                .output = output_of(at(fields, "output"))};
        hash_at(fields, "request", message.replyx.request);
        message.replyx.path_len = path_of(at(fields, "path"), message.replyx.path);
        message.replyx.has_result = maybe_view_at(fields, "result", &message.replyx.result);
        break;
    case CLIENT_FIND:
        message.find.by_index = json_object_get(fields, "index") != NULL;
        if (message.find.by_index) {
            message.find.index = number_at(fields, "index");
        } else {
            hash_at(fields, "request", message.find.request);
        }
        break;
    case CLIENT_RECEIPT:
        hash_at(fields, "request", message.receipt.request);
        message.receipt.receipt = view_at(fields, "receipt");
        message.receipt.has_arguments =
            maybe_view_at(fields, "arguments", &message.receipt.arguments);
        message.receipt.has_result = maybe_view_at(fields, "result", &message.receipt.result);
        message.receipt.text = text_at(fields, "text");
        break;
    case CLIENT_CHAIN: message.chain.have = number_at(fields, "have"); break;
    case CLIENT_LINKS:
        message.links = (struct client_links){.have = number_at(fields, "have"),
                                              .total = number_at(fields, "total"),
                                              .count = json_array_size(at(fields, "links")),
                                              .links = joined(at(fields, "links"))};
        break;
    case CLIENT_READ:
        message.read = (struct client_read){.number = number_at(fields, "number"),
                                            .key = view_at(fields, "key")};
        break;
    case CLIENT_VALUE:
        message.value.number = number_at(fields, "number");
        message.value.present = maybe_view_at(fields, "value", &message.value.value);
        message.value.proof = view_at(fields, "proof");
        message.value.quorum = view_at(fields, "quorum");
        break;
    case CLIENT_FOLLOW: message.follow.from_index = number_at(fields, "from_index"); break;
    case CLIENT_FOLLOWED:
        message.followed =
            (struct client_followed){.seqno = number_at(fields, "seqno"),
                                     .preprepare = view_at(fields, "preprepare"),
                                     .transactions = view_at(fields, "transactions")};
        break;
    case CLIENT_STATUS: break;
    case CLIENT_STATE: client_state_of(fields, &message.state); break;
    }
    client_message_put(out, &message);
}

const struct vector_kind vector_kinds[] = {
    {"genesis", put_genesis},
    {"configuration", put_configuration},
    {"endorsement", put_endorsement},
    {"request", put_request},
    {"header", put_header},
    {"preprepare", put_preprepare},
    {"prepare", put_prepare},
    {"viewchange_claims", put_viewchange_claims},
    {"newview_claims", put_newview_claims},
    {"transaction", put_transaction},
    {"evidence", put_evidence},
    {"preprepare_entry", put_preprepare_entry},
    {"transactions", put_transactions},
    {"certificate", put_certificate},
    {"viewchange", put_viewchange},
    {"viewchanges", put_viewchanges},
    {"newview_entry", put_newview_entry},
    {"quorum", put_quorum},
    {"receipt", put_receipt},
    {"chain", put_chain},
    {"state_proof", put_state_proof},
    {"blame", put_blame},
    {"peer", put_peer},
    {"client", put_client},
};
const size_t vector_kind_count = WM_COUNT_OF(vector_kinds);
