#include "sim/bft_forge.h"

#include "base/assert.h"
#include "crypto/hash.h"
#include "proof/statement.h"

#define MESSAGE_BYTES (2u * 1024 * 1024)

struct wm_view forge_message(const struct peer_message *message)
{
    static uint8_t *bytes;
    if (!bytes) {
        bytes = sim_alloc(1, MESSAGE_BYTES);
    }
    struct cbor_writer writer = cbor_writer_of(bytes, MESSAGE_BYTES);
    peer_message_put(&writer, message);
    WM_ASSERT(cbor_fits(&writer));
    return wm_view_of(bytes, writer.len);
}

void forge_statement(const struct sign_key *key, bool tree, struct wm_view claims,
                     const ledger_hash payload, uint8_t header[COSE_PROTECTED_BYTES_MAX],
                     struct statement_parts *out)
{
    struct cose_statement statement;
    statement_sign(key, tree, claims, payload, header, &statement);
    out->header = statement.protected_header;
    memcpy(out->payload, payload, sizeof out->payload);
    memcpy(out->signature, statement.signature, sizeof out->signature);
}

struct wm_view forge_preprepare(const struct sign_key *key, const struct forged_preprepare *what)
{
    uint8_t claims[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(claims, sizeof claims);
    struct peer_message message = {.kind = PEER_PREPREPARE};
    preprepare_claims_put(&writer, &what->claims);
    WM_ASSERT(cbor_fits(&writer));
    forge_statement(key, true, wm_view_of(claims, writer.len), what->root, header,
                    &message.preprepare.statement);
    message.preprepare.evidence = what->evidence;
    message.preprepare.count = what->count;
    message.preprepare.requests = what->requests;
    return forge_message(&message);
}

struct wm_view forge_prepare(const struct sign_key *key, const struct prepare_claims *claims,
                             const ledger_hash root)
{
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    struct peer_message message = {.kind = PEER_PREPARE};
    prepare_claims_put(&writer, claims);
    WM_ASSERT(cbor_fits(&writer));
    forge_statement(key, true, wm_view_of(encoded, writer.len), root, header,
                    &message.prepare.statement);
    return forge_message(&message);
}

struct wm_view forge_commit(uint64_t cfg, uint64_t view, uint64_t seqno, uint32_t position,
                            const ledger_nonce nonce)
{
    struct peer_message message = {.kind = PEER_COMMIT};
    message.commit = (struct peer_commit){cfg, view, seqno, position, {0}};
    memcpy(message.commit.nonce, nonce, sizeof message.commit.nonce);
    return forge_message(&message);
}

struct wm_view forge_view_change(const struct sign_key *key, const struct viewchange_claims *claims,
                                 struct wm_view certificate)
{
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    struct peer_message message = {.kind = PEER_VIEW_CHANGE};
    struct statement_parts parts;
    ledger_hash payload;
    viewchange_claims_put(&writer, claims);
    WM_ASSERT(cbor_fits(&writer));
    wm_sha256_once(certificate, payload);
    forge_statement(key, false, wm_view_of(encoded, writer.len), payload, header, &parts);
    message.viewchange.header = parts.header;
    message.viewchange.certificate = certificate;
    memcpy(message.viewchange.signature, parts.signature, sizeof parts.signature);
    return forge_message(&message);
}

struct wm_view forge_new_view(const struct sign_key *key, const struct newview_claims *claims,
                              struct wm_view viewchanges)
{
    uint8_t encoded[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    struct peer_message message = {.kind = PEER_NEW_VIEW};
    struct statement_parts parts;
    ledger_hash payload;
    newview_claims_put(&writer, claims);
    WM_ASSERT(cbor_fits(&writer));
    wm_sha256_once(viewchanges, payload);
    forge_statement(key, false, wm_view_of(encoded, writer.len), payload, header, &parts);
    message.newview.entry.header = parts.header;
    memcpy(message.newview.entry.signature, parts.signature, sizeof parts.signature);
    message.newview.viewchanges = viewchanges;
    return forge_message(&message);
}

bool forge_read_preprepare(struct wm_view bytes, struct forged_preprepare *out,
                           struct statement_parts *statement)
{
    struct peer_message message;
    struct cose_statement read;
    if (peer_message_get(bytes, &message, NULL) != 0 || message.kind != PEER_PREPREPARE ||
        !cose_header(message.preprepare.statement.header, &read) ||
        preprepare_claims_get(read.claims, &out->claims, NULL) != 0) {
        return false;
    }
    *statement = message.preprepare.statement;
    memcpy(out->root, statement->payload, sizeof out->root);
    out->evidence = message.preprepare.evidence;
    out->count = message.preprepare.count;
    out->requests = message.preprepare.requests;
    return true;
}
