/* Quorums, receipts, the governance chain, state proofs and blame as CBOR; doc/format/ledger.md. */
#include "wire/quorum.h"

#include "wire/item.h"

#define RECEIPT_ITEMS 9u
#define BLAME_ITEMS 6u

/* --- Quorums and receipts --- */

void quorum_put(struct cbor_writer *writer, const struct quorum *quorum)
{
    cbor_put_array(writer, 5);
    cbor_put_bytes(writer, quorum->header);
    item_put_hash_or_null(writer, quorum->has_root, quorum->root);
    item_put_signature(writer, quorum->signature);
    item_put_hash_or_null(writer, quorum->has_primary_nonce, quorum->primary_nonce);
    cbor_put_array(writer, quorum->count);
    for (uint32_t i = 0; i < quorum->count; i++) {
        const struct quorum_share *share = &quorum->shares[i];
        cbor_put_array(writer, 3);
        cbor_put_uint(writer, share->replica);
        item_put_signature(writer, share->signature);
        item_put_hash(writer, share->nonce);
    }
}

bool quorum_get(struct cbor_reader *reader, struct quorum *out)
{
    uint64_t count;
    out->count = 0;
    if (!cbor_array_of(reader, 5) || !item_header(reader, &out->header) ||
        !item_hash_or_null(reader, &out->has_root, out->root) ||
        !item_signature(reader, out->signature) ||
        !item_hash_or_null(reader, &out->has_primary_nonce, out->primary_nonce) ||
        !cbor_array(reader, &count)) {
        return false;
    }
    /* One of them is the primary, who has no share. */
    if (count >= LEDGER_REPLICAS_MAX) {
        return cbor_fail(reader, "a quorum has too many shares");
    }
    for (uint64_t i = 0; i < count; i++) {
        struct quorum_share *share = &out->shares[i];
        if (!cbor_array_of(reader, 3) || !item_position(reader, &share->replica) ||
            !item_signature(reader, share->signature) || !item_hash(reader, share->nonce)) {
            return false;
        }
        if (i > 0 && share->replica <= out->shares[i - 1].replica) {
            return cbor_fail(reader, "shares are not in the order of positions");
        }
    }
    out->count = (uint32_t)count;
    return true;
}

void ledger_receipt_put(struct cbor_writer *writer, const struct ledger_receipt *receipt)
{
    item_put_begin(writer, RECEIPT_ITEMS, COSE_TYPE_LEDGER_RECEIPT);
    cbor_put_bytes(writer, receipt->request);
    request_output_put(writer, &receipt->output);
    cbor_put_uint(writer, receipt->index);
    cbor_put_uint(writer, receipt->position);
    item_put_path(writer, receipt->path, receipt->path_len);
    quorum_put(writer, &receipt->quorum);
    if (receipt->chained) {
        cbor_put_array(writer, 3);
        cbor_put_bytes(writer, receipt->header);
        cbor_put_uint(writer, receipt->leaf);
        item_put_path(writer, receipt->chain, receipt->chain_len);
    } else {
        cbor_put_null(writer);
    }
}

int ledger_receipt_get(struct wm_view bytes, struct ledger_receipt *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    if (bytes.len > LEDGER_RECEIPT_BYTES_MAX) {
        cbor_fail(&reader, "it is too long");
    }
    bool ok = item_begin(&reader, RECEIPT_ITEMS, COSE_TYPE_LEDGER_RECEIPT) &&
              item_bytes(&reader, 1, REQUEST_BYTES_MAX, &out->request) &&
              request_output_get(&reader, &out->output) && item_counted(&reader, &out->index) &&
              item_between(&reader, 0, LEDGER_BATCH_MAX - 1, &out->position) &&
              item_path(&reader, out->path, BATCH_PATH_MAX, &out->path_len) &&
              quorum_get(&reader, &out->quorum);
    out->chained = cbor_peek(&reader) == CBOR_ARRAY;
    ok = ok && (out->chained ? cbor_array_of(&reader, 3) && item_header(&reader, &out->header) &&
                                   item_number(&reader, &out->leaf) &&
                                   item_path(&reader, out->chain, LEDGER_PATH_MAX, &out->chain_len)
                             : cbor_null(&reader));
    if (ok && out->chained != out->quorum.has_root) {
        cbor_fail(&reader, "the quorum's G is there although it follows, or lacks");
    }
    return cbor_end(&reader) ? 0 : cbor_diag(&reader, "receipt", diag);
}

/* --- The governance chain --- */

void chain_put_head(struct cbor_writer *writer, uint64_t links)
{
    cbor_put_array(writer, links);
}

void chain_link_put(struct cbor_writer *writer, const struct chain_link *link)
{
    cbor_put_array(writer, link->kind == CHAIN_TRANSACTION ? 4 : 2);
    cbor_put_uint(writer, link->kind);
    switch (link->kind) {
    case CHAIN_TRANSACTION:
        cbor_put_bytes(writer, link->receipt);
        cbor_put_bytes(writer, link->arguments);
        cbor_put_bytes(writer, link->result);
        break;
    case CHAIN_ENDED: quorum_put(writer, &link->quorum); break;
    case CHAIN_ENDED_BY: certificate_put(writer, &link->certificate); break;
    }
}

bool chain_get_head(struct cbor_reader *reader, uint64_t *links)
{
    return cbor_array(reader, links);
}

bool chain_link_get(struct cbor_reader *reader, struct chain_link *out)
{
    uint64_t items, kind;
    if (!cbor_array(reader, &items) || !cbor_uint(reader, &kind)) {
        return false;
    }
    if (kind > CHAIN_ENDED_BY || items != (kind == CHAIN_TRANSACTION ? 4 : 2)) {
        return cbor_fail(reader, "this is not a link of a governance chain");
    }
    out->kind = (enum chain_link_kind)kind;
    switch (out->kind) {
    case CHAIN_TRANSACTION:
        return item_bytes(reader, 1, LEDGER_RECEIPT_BYTES_MAX, &out->receipt) &&
               item_bytes(reader, 0, REQUEST_ARGUMENTS_BYTES_MAX, &out->arguments) &&
               item_bytes(reader, 0, REQUEST_RESULT_BYTES_MAX, &out->result);
    case CHAIN_ENDED: return quorum_get(reader, &out->quorum);
    case CHAIN_ENDED_BY:
        return certificate_get(reader, &out->certificate) &&
               (out->certificate.is_there || cbor_fail(reader, "a certificate is missing"));
    }
    return false;
}

/* --- State proofs --- */

void state_proof_put(struct cbor_writer *writer, const struct state_proof *proof)
{
    if (proof->empty) {
        cbor_put_null(writer);
        return;
    }
    cbor_put_array(writer, 3);
    item_put_hash(writer, proof->key_hash);
    item_put_hash(writer, proof->value_hash);
    cbor_put_array(writer, proof->path_len);
    for (uint32_t i = 0; i < proof->path_len; i++) {
        cbor_put_array(writer, 2);
        cbor_put_uint(writer, proof->path[i].bit);
        item_put_hash(writer, proof->path[i].sibling);
    }
}

bool state_proof_get(struct cbor_reader *reader, struct state_proof *out)
{
    uint64_t count;
    out->path_len = 0;
    out->empty = cbor_peek(reader) != CBOR_ARRAY;
    if (out->empty) {
        return cbor_null(reader);
    }
    if (!cbor_array_of(reader, 3) || !item_hash(reader, out->key_hash) ||
        !item_hash(reader, out->value_hash) || !cbor_array(reader, &count)) {
        return false;
    }
    if (count > STATE_PATH_MAX) {
        return cbor_fail(reader, "a path is too long");
    }
    for (uint64_t i = 0; i < count; i++) {
        uint32_t bit;
        if (!cbor_array_of(reader, 2) || !item_between(reader, 0, 255, &bit) ||
            !item_hash(reader, out->path[i].sibling)) {
            return false;
        }
        if (i > 0 && bit >= out->path[i - 1].bit) {
            return cbor_fail(reader, "the bits of a path do not descend");
        }
        out->path[i].bit = (uint8_t)bit;
    }
    out->path_len = (uint32_t)count;
    return true;
}

/* --- Blame --- */

static const char *const blame_texts[] = {
    [BLAME_EQUIVOCATION] = "equivocation",
    [BLAME_FORK] = "fork",
    [BLAME_IMPLICIT] = "implicit",
    [BLAME_ROLLBACK] = "rollback",
    [BLAME_NEW_VIEW] = "new-view",
    [BLAME_EXECUTION] = "execution",
    [BLAME_INDEX] = "index",
    [BLAME_GOVERNANCE] = "governance",
};
#define BLAME_KINDS (sizeof blame_texts / sizeof *blame_texts)

const char *blame_kind_text(enum blame_kind kind)
{
    return (size_t)kind < BLAME_KINDS ? blame_texts[kind] : NULL;
}

void blame_put_head(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                    enum blame_kind kind, uint64_t parts)
{
    item_put_begin(writer, BLAME_ITEMS, COSE_TYPE_BLAME);
    item_put_hash(writer, service);
    cbor_put_raw(writer, chain);
    cbor_put_text(writer, wm_view_str(blame_kind_text(kind)));
    cbor_put_array(writer, parts);
}

static bool kind_get(struct cbor_reader *reader, enum blame_kind *out)
{
    struct wm_view text;
    if (!cbor_text(reader, &text)) {
        return false;
    }
    for (size_t i = BLAME_EQUIVOCATION; i < BLAME_KINDS; i++) {
        if (wm_view_eq_str(text, blame_texts[i])) {
            *out = (enum blame_kind)i;
            return true;
        }
    }
    return cbor_fail(reader, "there is no such kind of blame");
}

int blame_get(struct wm_view bytes, struct blame *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    bool ok =
        item_begin(&reader, BLAME_ITEMS, COSE_TYPE_BLAME) && item_hash(&reader, out->service) &&
        (cbor_peek(&reader) == CBOR_ARRAY || cbor_fail(&reader, "its chain is not an array")) &&
        cbor_skip(&reader, &out->chain) && kind_get(&reader, &out->kind) &&
        cbor_array(&reader, &out->parts);
    const uint8_t *start = reader.cursor.at;
    for (uint64_t i = 0; ok && i < out->parts; i++) {
        ok = cbor_skip(&reader, NULL);
    }
    if (!ok || !cbor_end(&reader)) {
        return cbor_diag(&reader, "blame", diag);
    }
    out->encoded = wm_view_of(start, (size_t)(reader.cursor.at - start));
    return 0;
}
