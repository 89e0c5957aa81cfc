/* Receipts: nothing is decided here, only put together. */
#include "ledger/receipts.h"

#include <string.h>

#include "base/assert.h"
#include "proof/agreement.h"

static void put_transaction(const struct kept_batch *batch, uint32_t position,
                            struct ledger_receipt *out)
{
    struct transaction_item item;
    kept_item(batch, position, &item);
    out->request = item.request;
    out->output = item.output;
    out->index = batch->first_index + position;
    out->position = position;
    out->path_len =
        merkle_path((const merkle_hash *)batch->hashes, batch->count, position, out->path);
}

static void put_receipt(const struct ledger_receipt *receipt, uint8_t out[LEDGER_RECEIPT_BYTES_MAX],
                        size_t *len)
{
    struct cbor_writer writer = cbor_writer_of(out, LEDGER_RECEIPT_BYTES_MAX);
    ledger_receipt_put(&writer, receipt);
    WM_ASSERT(cbor_fits(&writer));
    *len = writer.len;
}

void receipt_direct(const struct kept_batch *batch, uint32_t position, const struct quorum *quorum,
                    uint8_t out[LEDGER_RECEIPT_BYTES_MAX], size_t *len)
{
    struct ledger_receipt receipt = {.quorum = *quorum};
    receipt.quorum.has_root = false; /* it follows from the transaction */
    put_transaction(batch, position, &receipt);
    put_receipt(&receipt, out, len);
}

static int claims_of(struct wm_view header, struct preprepare_claims *out, struct wm_diag *diag)
{
    struct cose_statement statement;
    return cose_header(header, &statement)
               ? preprepare_claims_get(statement.claims, out, diag)
               : wm_diag_set(diag, WM_E_MALFORMED, "receipt: a pre-prepare's header is none");
}

int receipt_chained(const struct kept_batch *batch, uint32_t position, struct wm_view header,
                    const struct quorum *quorum, const struct ledger_tree *tree,
                    uint8_t out[LEDGER_RECEIPT_BYTES_MAX], size_t *len, struct wm_diag *diag)
{
    struct ledger_receipt receipt = {.quorum = *quorum, .chained = true, .header = header};
    struct preprepare_claims own, later;
    int rc = claims_of(header, &own, diag);
    rc = rc == 0 ? claims_of(quorum->header, &later, diag) : rc;
    if (rc != 0) {
        return rc;
    }
    if (own.seqno != batch->seqno || later.ledger_size <= own.ledger_size || !quorum->has_root) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "receipt: the quorum of batch %llu cannot vouch for batch %llu: it must "
                           "be of a later one, with its root",
                           (unsigned long long)later.seqno, (unsigned long long)batch->seqno);
    }
    /* A pre-prepare's entry is the leaf right after the ledger that it names. */
    receipt.leaf = own.ledger_size;
    rc = ledger_tree_path(tree, receipt.leaf, later.ledger_size, receipt.chain, &receipt.chain_len);
    if (rc != 0) {
        return wm_diag_set(diag, rc,
                           "receipt: entry %llu of the ledger: its way to the root of %llu "
                           "entries cannot be had here",
                           (unsigned long long)receipt.leaf, (unsigned long long)later.ledger_size);
    }
    put_transaction(batch, position, &receipt);
    put_receipt(&receipt, out, len);
    return 0;
}

int receipt_quorum(struct wm_view preprepare, struct wm_view evidence, uint32_t replicas,
                   struct quorum *out, struct wm_diag *diag)
{
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    struct evidence shares;
    if (!preprepare_entry_get(preprepare, &entry, diag) || !evidence_get(evidence, &shares, diag)) {
        return WM_E_MALFORMED;
    }
    int rc = claims_of(entry.header, &claims, diag);
    if (rc != 0) {
        return rc;
    }
    uint32_t primary = agreement_primary(claims.view, replicas), at = 0;
    if (shares.seqno != claims.seqno) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "receipt: evidence of batch %llu says nothing about batch %llu",
                           (unsigned long long)shares.seqno, (unsigned long long)claims.seqno);
    }
    *out = (struct quorum){.header = entry.header, .has_root = true};
    memcpy(out->root, entry.root, sizeof out->root);
    memcpy(out->signature, shares.preprepare_signature, sizeof out->signature);
    for (uint32_t position = 0; position < LEDGER_REPLICAS_MAX; position++) {
        if ((shares.bitmap >> position & 1) == 0) {
            continue;
        }
        const struct evidence_share *share = &shares.shares[at++];
        if (share->primary != (position == primary) || position >= replicas) {
            return wm_diag_set(diag, WM_E_MALFORMED,
                               "receipt: evidence of batch %llu: the share of replica %u is not of "
                               "its kind",
                               (unsigned long long)claims.seqno, position);
        }
        if (share->primary) {
            out->has_primary_nonce = true;
            memcpy(out->primary_nonce, share->nonce, sizeof out->primary_nonce);
            continue;
        }
        struct quorum_share *backup = &out->shares[out->count++];
        backup->replica = position;
        memcpy(backup->signature, share->signature, sizeof backup->signature);
        memcpy(backup->nonce, share->nonce, sizeof backup->nonce);
    }
    return 0;
}
