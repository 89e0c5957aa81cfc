/* Making blame files: the head, the parts. Nothing is checked; whoever makes one has it checked
 * before he shows it. */
#include <string.h>

#include "crypto/hash.h"
#include "proof/blame.h"

void blame_put_equivocation(struct cbor_writer *writer, const ledger_hash service,
                            struct wm_view chain, const struct statement_parts *a,
                            const struct statement_parts *b)
{
    blame_put_head(writer, service, chain, BLAME_EQUIVOCATION, 2);
    blame_statement_put(writer, a);
    blame_statement_put(writer, b);
}

void blame_put_two(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                   enum blame_kind kind, const struct certificate *a, const struct certificate *b)
{
    blame_put_head(writer, service, chain, kind, 2);
    certificate_put(writer, a);
    certificate_put(writer, b);
}

void blame_put_implicit(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                        const struct certificate *a, const struct certificate *b,
                        const struct blame_below *below)
{
    blame_put_head(writer, service, chain, BLAME_IMPLICIT, 3);
    certificate_put(writer, a);
    certificate_put(writer, b);
    blame_below_put(writer, below);
}

void blame_put_rollback(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                        const struct statement_parts *statement, const ledger_nonce nonce,
                        const struct statement_parts *viewchange)
{
    blame_put_head(writer, service, chain, BLAME_ROLLBACK, 3);
    blame_statement_put(writer, statement);
    cbor_put_bytes(writer, wm_view_of(nonce, LEDGER_NONCE_BYTES));
    blame_statement_put(writer, viewchange);
}

static void put_anchor(struct cbor_writer *writer, const struct blame_place *anchor)
{
    if (anchor) {
        blame_place_put(writer, anchor);
    } else {
        cbor_put_null(writer);
    }
}

void blame_put_new_view(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                        struct wm_view newview, struct wm_view viewchanges,
                        const struct blame_place *anchor)
{
    blame_put_head(writer, service, chain, BLAME_NEW_VIEW, 3);
    cbor_put_bytes(writer, newview);
    cbor_put_bytes(writer, viewchanges);
    put_anchor(writer, anchor);
}

void blame_put_view_tail(struct cbor_writer *writer, const ledger_hash service,
                         struct wm_view chain, const struct blame_vouched *batch,
                         const struct blame_entry *tail, uint32_t count)
{
    blame_put_head(writer, service, chain, BLAME_NEW_VIEW, 2);
    blame_vouched_put(writer, batch);
    cbor_put_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        blame_entry_put(writer, &tail[i]);
    }
}

void blame_put_index(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                     struct wm_view receipt, const struct blame_place *anchor)
{
    blame_put_head(writer, service, chain, BLAME_INDEX, 2);
    cbor_put_bytes(writer, receipt);
    put_anchor(writer, anchor);
}

void blame_put_execution(struct cbor_writer *writer, const ledger_hash service,
                         struct wm_view chain, const struct blame_vouched *batch,
                         const struct blame_below *before, const struct blame_last *last,
                         struct wm_view transactions, uint32_t pair_count)
{
    blame_put_head(writer, service, chain, BLAME_EXECUTION, 6);
    blame_vouched_put(writer, batch);
    if (before) {
        blame_below_put(writer, before);
    } else {
        cbor_put_null(writer);
    }
    if (last) {
        blame_last_put(writer, last);
    } else {
        cbor_put_null(writer);
    }
    cbor_put_bytes(writer, transactions);
    cbor_put_array(writer, pair_count);
}

void blame_signatures_of_quorum(const struct quorum *quorum, const ledger_hash root,
                                struct certificate *out)
{
    memset(out, 0, sizeof *out);
    out->is_there = true;
    out->preprepare.header = quorum->header;
    memcpy(out->preprepare.payload, root, sizeof out->preprepare.payload);
    memcpy(out->preprepare.signature, quorum->signature, sizeof out->preprepare.signature);
    for (uint32_t i = 0; i < quorum->count; i++) {
        const struct quorum_share *share = &quorum->shares[i];
        struct certificate_prepare *prepare = &out->prepares[out->count++];
        prepare->replica = share->replica;
        wm_sha256_once(wm_view_of(share->nonce, sizeof share->nonce), prepare->commitment);
        memcpy(prepare->signature, share->signature, sizeof prepare->signature);
    }
}

bool blame_signatures_of_evidence(const struct preprepare_entry *entry,
                                  const struct evidence *evidence, struct certificate *out)
{
    uint32_t at = 0;
    memset(out, 0, sizeof *out);
    out->is_there = true;
    out->preprepare.header = entry->header;
    memcpy(out->preprepare.payload, entry->root, sizeof out->preprepare.payload);
    memcpy(out->preprepare.signature, evidence->preprepare_signature,
           sizeof out->preprepare.signature);
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX; i++) {
        if (!(evidence->bitmap >> i & 1)) {
            continue;
        }
        if (at == evidence->count) {
            return false;
        }
        const struct evidence_share *share = &evidence->shares[at++];
        if (!share->primary) {
            struct certificate_prepare *prepare = &out->prepares[out->count++];
            prepare->replica = i;
            memcpy(prepare->commitment, share->commitment, sizeof prepare->commitment);
            memcpy(prepare->signature, share->signature, sizeof prepare->signature);
        }
    }
    return at == evidence->count;
}
