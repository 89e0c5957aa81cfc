/* Pre-prepares, prepares and the entries of a batch as CBOR; doc/format/ledger.md. */
#include "wire/batch.h"

#include <string.h>

#include "wire/item.h"

#define PREPREPARE_ITEMS 18u
#define PREPARE_ITEMS 9u

/* --- Statements --- */

void preprepare_claims_put(struct cbor_writer *writer, const struct preprepare_claims *claims)
{
    item_put_begin(writer, PREPREPARE_ITEMS, COSE_TYPE_PREPREPARE);
    item_put_hash(writer, claims->service);
    cbor_put_uint(writer, claims->cfg);
    cbor_put_uint(writer, claims->view);
    cbor_put_uint(writer, claims->seqno);
    cbor_put_uint(writer, claims->kind);
    cbor_put_uint(writer, claims->phase);
    cbor_put_uint(writer, claims->first_index);
    cbor_put_uint(writer, claims->count);
    cbor_put_uint(writer, claims->ledger_size);
    item_put_hash(writer, claims->ledger_root);
    item_put_hash(writer, claims->state_root);
    item_put_hash(writer, claims->commitment);
    cbor_put_uint(writer, claims->evidence);
    cbor_put_uint(writer, claims->governance);
    cbor_put_array(writer, 2);
    cbor_put_uint(writer, claims->checkpoint_seqno);
    item_put_hash(writer, claims->checkpoint_root);
    item_put_hash_or_null(writer, claims->has_committed_root, claims->committed_root);
}

static bool kind_and_phase(struct cbor_reader *reader, struct preprepare_claims *out)
{
    /* How many batches of a kind there are: of the normal one, as many as one likes. */
    static const uint32_t phases[] = {[BATCH_NORMAL] = 0,
                                      [BATCH_END] = 2 * LEDGER_PIPELINE_MAX,
                                      [BATCH_START] = LEDGER_PIPELINE_MAX};
    uint32_t kind;
    if (!item_between(reader, BATCH_NORMAL, BATCH_START, &kind)) {
        return false;
    }
    out->kind = (enum batch_kind)kind;
    return item_between(reader, kind == BATCH_NORMAL ? 0 : 1, phases[kind], &out->phase);
}

/* What must hold between the claims; NULL, or why it does not. */
static const char *preprepare_broken(const struct preprepare_claims *claims)
{
    static const ledger_hash none;
    if (claims->has_committed_root != (claims->kind == BATCH_END)) {
        return "a committed root is there without need, or lacks: it is of kind 1 only";
    }
    if (claims->kind != BATCH_NORMAL && claims->count != 0) {
        return "a batch that changes the configuration has transactions";
    }
    if (claims->evidence != 0 && claims->seqno == 1) {
        return "the first batch has evidence of one before it";
    }
    if (claims->governance >= claims->first_index) {
        return "the governance transaction that it names does not lie before it";
    }
    if (claims->checkpoint_seqno >= claims->seqno ||
        (claims->checkpoint_seqno == 0 &&
         memcmp(claims->checkpoint_root, none, sizeof none) != 0)) {
        return "its checkpoint does not lie before it, or is none and has a root";
    }
    return NULL;
}

int preprepare_claims_get(struct wm_view claims, struct preprepare_claims *out,
                          struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(claims);
    bool ok = item_begin(&reader, PREPREPARE_ITEMS, COSE_TYPE_PREPREPARE) &&
              item_hash(&reader, out->service) && item_number(&reader, &out->cfg) &&
              item_number(&reader, &out->view) && item_counted(&reader, &out->seqno) &&
              kind_and_phase(&reader, out) && item_counted(&reader, &out->first_index) &&
              item_between(&reader, 0, LEDGER_BATCH_MAX, &out->count) &&
              item_number(&reader, &out->ledger_size) && item_hash(&reader, out->ledger_root) &&
              item_hash(&reader, out->state_root) && item_hash(&reader, out->commitment) &&
              cbor_uint(&reader, &out->evidence) && item_number(&reader, &out->governance) &&
              cbor_array_of(&reader, 2) && item_number(&reader, &out->checkpoint_seqno) &&
              item_hash(&reader, out->checkpoint_root) &&
              item_hash_or_null(&reader, &out->has_committed_root, out->committed_root);
    const char *broken = ok ? preprepare_broken(out) : NULL;
    if (broken) {
        cbor_fail(&reader, broken);
    }
    return cbor_end(&reader) ? 0 : cbor_diag(&reader, "pre-prepare", diag);
}

void prepare_claims_put(struct cbor_writer *writer, const struct prepare_claims *claims)
{
    item_put_begin(writer, PREPARE_ITEMS, COSE_TYPE_PREPARE);
    item_put_hash(writer, claims->service);
    cbor_put_uint(writer, claims->cfg);
    cbor_put_uint(writer, claims->view);
    cbor_put_uint(writer, claims->seqno);
    cbor_put_uint(writer, claims->replica);
    item_put_hash(writer, claims->preprepare);
    item_put_hash(writer, claims->commitment);
}

int prepare_claims_get(struct wm_view claims, struct prepare_claims *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(claims);
    bool ok = item_begin(&reader, PREPARE_ITEMS, COSE_TYPE_PREPARE) &&
              item_hash(&reader, out->service) && item_number(&reader, &out->cfg) &&
              item_number(&reader, &out->view) && item_counted(&reader, &out->seqno) &&
              item_position(&reader, &out->replica) && item_hash(&reader, out->preprepare) &&
              item_hash(&reader, out->commitment);
    return ok && cbor_end(&reader) ? 0 : cbor_diag(&reader, "prepare", diag);
}

/* --- Entries --- */

uint32_t entry_kind_of(struct wm_view entry)
{
    struct cbor_reader reader = cbor_reader_of(entry);
    uint64_t items;
    uint32_t kind;
    return cbor_array(&reader, &items) &&
                   item_between(&reader, ENTRY_EVIDENCE, ENTRY_TRANSACTIONS, &kind)
               ? kind
               : 0;
}

void evidence_put(struct cbor_writer *writer, const struct evidence *evidence)
{
    cbor_put_array(writer, 5);
    cbor_put_uint(writer, ENTRY_EVIDENCE);
    cbor_put_uint(writer, evidence->seqno);
    cbor_put_uint(writer, evidence->bitmap);
    item_put_signature(writer, evidence->preprepare_signature);
    cbor_put_array(writer, evidence->count);
    for (uint32_t i = 0; i < evidence->count; i++) {
        const struct evidence_share *share = &evidence->shares[i];
        cbor_put_array(writer, 3);
        if (share->primary) {
            cbor_put_null(writer);
            cbor_put_null(writer);
        } else {
            item_put_hash(writer, share->commitment);
            item_put_signature(writer, share->signature);
        }
        item_put_hash(writer, share->nonce);
    }
}

static bool share_get(struct cbor_reader *reader, struct evidence_share *out)
{
    if (!cbor_array_of(reader, 3)) {
        return false;
    }
    out->primary = cbor_peek(reader) != CBOR_BYTES;
    bool ok = out->primary
                  ? cbor_null(reader) && cbor_null(reader)
                  : item_hash(reader, out->commitment) && item_signature(reader, out->signature);
    return ok && item_hash(reader, out->nonce);
}

bool evidence_get(struct wm_view entry, struct evidence *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(entry);
    uint64_t count = 0;
    uint32_t primaries = 0;
    out->count = 0;
    bool ok = cbor_array_of(&reader, 5) &&
              cbor_uint_is(&reader, ENTRY_EVIDENCE, "it is an entry of another kind") &&
              item_counted(&reader, &out->seqno) && cbor_uint(&reader, &out->bitmap) &&
              item_signature(&reader, out->preprepare_signature) && cbor_array(&reader, &count);
    if (ok && (count == 0 || count != (uint64_t)__builtin_popcountll(out->bitmap))) {
        ok = cbor_fail(&reader, "there are not as many shares as bits, or none at all");
    }
    for (uint64_t i = 0; ok && i < count; i++) {
        ok = share_get(&reader, &out->shares[i]);
        primaries += ok && out->shares[i].primary;
    }
    if (ok && primaries > 1) {
        cbor_fail(&reader, "two shares are the primary's");
    }
    if (!cbor_end(&reader)) {
        (void)cbor_diag(&reader, "evidence", diag);
        return false;
    }
    out->count = (uint32_t)count;
    return true;
}

void preprepare_entry_put(struct cbor_writer *writer, const struct preprepare_entry *entry)
{
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, ENTRY_PREPREPARE);
    cbor_put_bytes(writer, entry->header);
    item_put_hash(writer, entry->root);
}

bool preprepare_entry_get(struct wm_view bytes, struct preprepare_entry *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    bool ok = cbor_array_of(&reader, 3) &&
              cbor_uint_is(&reader, ENTRY_PREPREPARE, "it is an entry of another kind") &&
              item_header(&reader, &out->header) && item_hash(&reader, out->root);
    if (!ok || !cbor_end(&reader)) {
        (void)cbor_diag(&reader, "pre-prepare entry", diag);
        return false;
    }
    return true;
}

void transactions_put_head(struct cbor_writer *writer, uint64_t seqno, uint32_t count)
{
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, ENTRY_TRANSACTIONS);
    cbor_put_uint(writer, seqno);
    cbor_put_array(writer, count);
}

void transaction_item_put(struct cbor_writer *writer, const struct transaction_item *item)
{
    cbor_put_array(writer, 4);
    cbor_put_bytes(writer, item->request);
    item_put_bytes_or_null(writer, item->has_arguments, item->arguments);
    request_output_put(writer, &item->output);
    item_put_bytes_or_null(writer, item->has_result, item->result);
}

bool transactions_get_head(struct cbor_reader *reader, uint64_t *seqno, uint32_t *count)
{
    uint64_t items;
    *count = 0;
    if (!cbor_array_of(reader, 3) ||
        !cbor_uint_is(reader, ENTRY_TRANSACTIONS, "it is an entry of another kind") ||
        !item_counted(reader, seqno) || !cbor_array(reader, &items)) {
        return false;
    }
    if (items > LEDGER_BATCH_MAX) {
        return cbor_fail(reader, "a batch has too many transactions");
    }
    *count = (uint32_t)items;
    return true;
}

bool transaction_item_get(struct cbor_reader *reader, struct transaction_item *out)
{
    return cbor_array_of(reader, 4) && item_bytes(reader, 1, REQUEST_BYTES_MAX, &out->request) &&
           item_bytes_or_null(reader, REQUEST_ARGUMENTS_BYTES_MAX, &out->has_arguments,
                              &out->arguments) &&
           request_output_get(reader, &out->output) &&
           item_bytes_or_null(reader, REQUEST_RESULT_BYTES_MAX, &out->has_result, &out->result) &&
           (!out->has_result || out->result.len == out->output.result_len ||
            cbor_fail(reader, "a result has another length than its output says"));
}
