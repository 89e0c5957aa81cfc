#include "common/ledger_wire.h"

#include "base/compiler.h"
#include "wire/client.h"
#include "wire/genesis.h"
#include "wire/peer.h"
#include "wire/quorum.h"
#include "wire/viewchange.h"

/* Of readers that leave the end to their caller. */
static bool ended(struct cbor_reader *reader, const char *what, struct wm_diag *diag)
{
    if (cbor_end(reader)) {
        return true;
    }
    (void)cbor_diag(reader, what, diag);
    return false;
}

/* Writes the claims anew, and the statement around them. */
static void sign1_again(struct cbor_writer *out, const struct cose_statement *read,
                        void (*put)(struct cbor_writer *, const void *), const void *claims)
{
    uint8_t bytes[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct cose_statement statement = *read;
    struct cbor_writer inner = cbor_writer_of(bytes, sizeof bytes);
    struct cbor_writer around = cbor_writer_of(header, sizeof header);
    put(&inner, claims);
    cose_put_protected(&around, read->key, read->tree, wm_view_of(bytes, inner.len));
    statement.protected_header = wm_view_of(header, around.len);
    cose_put_sign1(out, &statement);
}

static bool genesis_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct genesis genesis;
    if (genesis_get(bytes, &genesis, diag) != 0) {
        return false;
    }
    genesis_put(out, &genesis);
    return true;
}

static bool configuration_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct configuration configuration;
    if (configuration_get(bytes, &configuration, diag) != 0) {
        return false;
    }
    configuration_put(out, &configuration);
    return true;
}

static void put_endorsement(struct cbor_writer *writer, const void *claims)
{
    endorsement_claims_put(writer, claims);
}

static bool endorsement_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct cose_statement statement;
    struct endorsement_claims claims;
    if (endorsement_get(bytes, &statement, &claims, diag) != 0) {
        return false;
    }
    sign1_again(out, &statement, put_endorsement, &claims);
    return true;
}

static void put_request(struct cbor_writer *writer, const void *claims)
{
    request_claims_put(writer, claims);
}

static bool request_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct request request;
    if (request_get(bytes, &request, diag) != 0) {
        return false;
    }
    sign1_again(out, &request.statement, put_request, &request.claims);
    return true;
}

static bool header_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct cose_statement statement;
    if (!cose_header(bytes, &statement)) {
        (void)wm_diag_set(diag, WM_E_MALFORMED, "header: it is not one");
        return false;
    }
    cose_put_protected(out, statement.key, statement.tree, statement.claims);
    return true;
}

static bool preprepare_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct preprepare_claims claims;
    if (preprepare_claims_get(bytes, &claims, diag) != 0) {
        return false;
    }
    preprepare_claims_put(out, &claims);
    return true;
}

static bool prepare_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct prepare_claims claims;
    if (prepare_claims_get(bytes, &claims, diag) != 0) {
        return false;
    }
    prepare_claims_put(out, &claims);
    return true;
}

static bool viewchange_claims_again(struct wm_view bytes, struct cbor_writer *out,
                                    struct wm_diag *diag)
{
    struct viewchange_claims claims;
    if (viewchange_claims_get(bytes, &claims, diag) != 0) {
        return false;
    }
    viewchange_claims_put(out, &claims);
    return true;
}

static bool newview_claims_again(struct wm_view bytes, struct cbor_writer *out,
                                 struct wm_diag *diag)
{
    struct newview_claims claims;
    if (newview_claims_get(bytes, &claims, diag) != 0) {
        return false;
    }
    newview_claims_put(out, &claims);
    return true;
}

static bool evidence_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct evidence evidence;
    if (!evidence_get(bytes, &evidence, diag)) {
        return false;
    }
    evidence_put(out, &evidence);
    return true;
}

static bool preprepare_entry_again(struct wm_view bytes, struct cbor_writer *out,
                                   struct wm_diag *diag)
{
    struct preprepare_entry entry;
    if (!preprepare_entry_get(bytes, &entry, diag)) {
        return false;
    }
    preprepare_entry_put(out, &entry);
    return true;
}

static bool newview_entry_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct newview_entry entry;
    if (!newview_entry_get(bytes, &entry, diag)) {
        return false;
    }
    newview_entry_put(out, &entry);
    return true;
}

static bool transactions_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct transaction_item item;
    uint64_t seqno;
    uint32_t count;
    if (transactions_get_head(&reader, &seqno, &count)) {
        transactions_put_head(out, seqno, count);
        for (uint32_t i = 0; i < count && transaction_item_get(&reader, &item); i++) {
            transaction_item_put(out, &item);
        }
    }
    return ended(&reader, "transactions", diag);
}

static bool certificate_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct certificate certificate;
    if (certificate_get(&reader, &certificate)) {
        certificate_put(out, &certificate);
    }
    return ended(&reader, "certificate", diag);
}

static bool viewchange_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct viewchange viewchange;
    if (viewchange_get(&reader, &viewchange)) {
        viewchange_put(out, &viewchange);
    }
    return ended(&reader, "view-change", diag);
}

static bool viewchanges_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct viewchange viewchange;
    uint64_t view;
    uint32_t count;
    if (viewchanges_get_head(&reader, &view, &count)) {
        viewchanges_put_head(out, view, count);
        for (uint32_t i = 0; i < count && viewchange_get(&reader, &viewchange); i++) {
            viewchange_put(out, &viewchange);
        }
    }
    return ended(&reader, "view-changes", diag);
}

static bool quorum_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct quorum quorum;
    if (quorum_get(&reader, &quorum)) {
        quorum_put(out, &quorum);
    }
    return ended(&reader, "quorum", diag);
}

static bool receipt_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct ledger_receipt receipt;
    if (ledger_receipt_get(bytes, &receipt, diag) != 0) {
        return false;
    }
    ledger_receipt_put(out, &receipt);
    return true;
}

static bool chain_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct chain_link link;
    uint64_t links;
    if (chain_get_head(&reader, &links)) {
        chain_put_head(out, links);
        for (uint64_t i = 0; i < links && chain_link_get(&reader, &link); i++) {
            chain_link_put(out, &link);
        }
    }
    return ended(&reader, "chain", diag);
}

static bool state_proof_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct state_proof proof;
    if (state_proof_get(&reader, &proof)) {
        state_proof_put(out, &proof);
    }
    return ended(&reader, "state proof", diag);
}

static bool blame_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct blame blame;
    if (blame_get(bytes, &blame, diag) != 0) {
        return false;
    }
    blame_put_head(out, blame.service, blame.chain, blame.kind, blame.parts);
    cbor_put_raw(out, blame.encoded);
    return true;
}

static bool peer_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct peer_message message;
    if (peer_message_get(bytes, &message, diag) != 0) {
        return false;
    }
    peer_message_put(out, &message);
    return true;
}

static bool client_again(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag)
{
    struct client_message message;
    if (client_message_get(bytes, &message, diag) != 0) {
        return false;
    }
    client_message_put(out, &message);
    return true;
}

/* The fuzzer's corpus names them by their place: new ones go to the end. */
const struct ledger_wire_format ledger_wire_formats[] = {
    {"genesis", genesis_again},
    {"configuration", configuration_again},
    {"endorsement", endorsement_again},
    {"request", request_again},
    {"header", header_again},
    {"preprepare", preprepare_again},
    {"prepare", prepare_again},
    {"viewchange_claims", viewchange_claims_again},
    {"newview_claims", newview_claims_again},
    {"evidence", evidence_again},
    {"preprepare_entry", preprepare_entry_again},
    {"transactions", transactions_again},
    {"certificate", certificate_again},
    {"viewchange", viewchange_again},
    {"viewchanges", viewchanges_again},
    {"newview_entry", newview_entry_again},
    {"quorum", quorum_again},
    {"receipt", receipt_again},
    {"chain", chain_again},
    {"state_proof", state_proof_again},
    {"blame", blame_again},
    {"peer", peer_again},
    {"client", client_again},
};
const size_t ledger_wire_format_count = WM_COUNT_OF(ledger_wire_formats);
