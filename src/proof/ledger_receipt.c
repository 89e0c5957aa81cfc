/* Receipts, from the transaction upwards: leaf, batch, quorum. */
#include "proof/ledger_receipt.h"

#include <string.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/merkle.h"
#include "proof/statement.h"

static int check_request(struct ledger_receipt_facts *facts, const ledger_hash service,
                         struct wm_diag *diag)
{
    struct request *request = &facts->request;
    int rc = request_get(facts->receipt.request, request, diag);
    if (rc != 0) {
        return rc;
    }
    if (memcmp(request->claims.service, service, sizeof(ledger_hash)) != 0) {
        return wm_diag_set(diag, WM_E_INVALID, "request: it is of another service");
    }
    rc = statement_verify(&request->statement, request->statement.payload, NULL, "request", diag);
    if (rc != 0) {
        return rc;
    }
    if (request->claims.minimum_index > facts->receipt.index) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "request: it asks for an index of at least %llu, and was given %llu",
                           (unsigned long long)request->claims.minimum_index,
                           (unsigned long long)facts->receipt.index);
    }
    return 0;
}

/* The root of the batch's transactions, from this one. `claims`: of its batch. */
static int fold_batch(struct ledger_receipt_facts *facts, const struct preprepare_claims *claims,
                      struct wm_diag *diag)
{
    const struct ledger_receipt *receipt = &facts->receipt;
    uint8_t bytes[TRANSACTION_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    merkle_hash leaf;
    transaction_put(&writer, receipt->index, facts->request_hash, &receipt->output);
    WM_ASSERT(cbor_fits(&writer));
    merkle_leaf(wm_view_of(bytes, writer.len), leaf);
    if (receipt->index != claims->first_index + receipt->position ||
        !merkle_path_root(leaf, receipt->position, claims->count,
                          (const merkle_hash *)receipt->path, receipt->path_len,
                          facts->batch_root)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "transaction %llu: its path does not lead into batch %llu",
                           (unsigned long long)receipt->index, (unsigned long long)claims->seqno);
    }
    return 0;
}

static int claims_of(struct wm_view header, struct preprepare_claims *out, struct wm_diag *diag)
{
    struct cose_statement statement;
    if (!cose_header(header, &statement) || !statement.tree) {
        return wm_diag_set(diag, WM_E_MALFORMED, "pre-prepare: its header is not one");
    }
    return preprepare_claims_get(statement.claims, out, diag);
}

/* The transaction's own batch is an entry of the ledger on which the quorum's batch stands. */
static int fold_chain(struct ledger_receipt_facts *facts, const ledger_hash service,
                      const struct preprepare_claims *later, struct wm_diag *diag)
{
    const struct ledger_receipt *receipt = &facts->receipt;
    uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct preprepare_entry entry = {.header = receipt->header};
    merkle_hash leaf, root;
    memcpy(entry.root, facts->batch_root, sizeof entry.root);
    preprepare_entry_put(&writer, &entry);
    WM_ASSERT(cbor_fits(&writer));
    merkle_leaf(wm_view_of(bytes, writer.len), leaf);
    if (memcmp(facts->batch.service, service, sizeof(ledger_hash)) != 0 ||
        facts->batch.seqno >= later->seqno || facts->batch.cfg > later->cfg ||
        facts->batch.ledger_size != receipt->leaf ||
        !merkle_path_root(leaf, receipt->leaf, later->ledger_size,
                          (const merkle_hash *)receipt->chain, receipt->chain_len, root) ||
        memcmp(root, later->ledger_root, sizeof root) != 0) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "batch %llu: its path does not lead into the ledger below batch %llu",
                           (unsigned long long)facts->batch.seqno,
                           (unsigned long long)later->seqno);
    }
    return 0;
}

/* Who committed to the batch that the transaction leads to. */
static int check_quorum(struct ledger_receipt_facts *facts, const ledger_hash service,
                        const struct agreement_configurations *configurations,
                        const struct preprepare_claims *later, struct wm_diag *diag)
{
    const struct configuration *configuration =
        configurations->get(configurations->self, later->cfg);
    if (!configuration) {
        return wm_diag_set(diag, WM_E_NOT_FOUND,
                           "it is of configuration %llu, which this governance chain does not "
                           "reach; fetch the rest of it",
                           (unsigned long long)later->cfg);
    }
    return agreement_quorum(service, configuration, &facts->receipt.quorum, facts->batch_root,
                            &facts->quorum, facts->quorum_name, &facts->who, diag);
}

static int committed(struct wm_view bytes, const ledger_hash service,
                     const struct agreement_configurations *configurations,
                     struct ledger_receipt_facts *facts, struct wm_diag *diag)
{
    struct ledger_receipt *receipt = &facts->receipt;
    struct preprepare_claims later;
    int rc = ledger_receipt_get(bytes, receipt, diag);
    if (rc != 0) {
        return rc;
    }
    wm_sha256_once(receipt->request, facts->request_hash);
    rc = claims_of(receipt->quorum.header, &later, diag);
    if (rc == 0) {
        rc = receipt->chained ? claims_of(receipt->header, &facts->batch, diag) : 0;
    }
    if (rc == 0) {
        rc = fold_batch(facts, receipt->chained ? &facts->batch : &later, diag);
    }
    if (rc == 0 && receipt->chained) {
        rc = fold_chain(facts, service, &later, diag);
    }
    if (rc == 0) {
        rc = check_quorum(facts, service, configurations, &later, diag);
    }
    if (rc != 0) {
        wm_diag_prefix(diag, "receipt");
        return rc;
    }
    if (receipt->chained) {
        agreement_name(receipt->header, facts->batch_root, facts->batch_name);
    } else {
        facts->batch = facts->quorum;
        memcpy(facts->batch_name, facts->quorum_name, sizeof facts->batch_name);
    }
    return 0;
}

int ledger_receipt_committed(struct wm_view bytes, const ledger_hash service,
                             const struct agreement_configurations *configurations,
                             struct ledger_receipt_facts *out, struct wm_diag *diag)
{
    struct ledger_receipt_facts facts = {0};
    int rc = committed(bytes, service, configurations, &facts, diag);
    if (rc == 0) {
        *out = facts;
    }
    return rc;
}

int ledger_receipt_verify(struct wm_view bytes, const ledger_hash service,
                          const struct agreement_configurations *configurations,
                          struct ledger_receipt_facts *out, struct wm_diag *diag)
{
    struct ledger_receipt_facts facts = {0};
    int rc = committed(bytes, service, configurations, &facts, diag);
    if (rc != 0) {
        return rc;
    }
    rc = check_request(&facts, service, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "receipt");
        return rc;
    }
    *out = facts;
    return 0;
}
