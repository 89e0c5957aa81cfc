/* The end of a ledger. head.h has what it is for. */
#include "bft/head.h"

#include <string.h>

#include "base/assert.h"

void bft_head_next(const struct bft_head *head, const struct configuration *configuration,
                   struct bft_next *out)
{
    *out = (struct bft_next){.seqno = head->seqno + 1,
                             .cfg = head->cfg,
                             .kind = BATCH_NORMAL,
                             .pipeline = configuration->parameters.pipeline};
    WM_ASSERT(configuration->number == head->cfg);
    if (head->reconfigured_at == 0) {
        return;
    }
    uint32_t pipeline = head->reconfigured_pipeline;
    uint32_t k = (uint32_t)(out->seqno - head->reconfigured_at);
    WM_ASSERT(k >= 1 && k <= 3 * pipeline);
    out->pipeline = pipeline;
    if (k <= 2 * pipeline) {
        out->kind = BATCH_END;
        out->phase = k;
    } else {
        out->kind = BATCH_START;
        out->phase = k - 2 * pipeline;
        out->cfg += out->phase == 1;
    }
}

void bft_head_checkpoint(const struct bft_head *head, const struct bft_next *next,
                         uint32_t interval, uint64_t *seqno, ledger_hash root)
{
    *seqno = 0;
    memset(root, 0, sizeof(ledger_hash));
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t at = head->checkpoints[i].seqno;
        if (at > 0 && at + interval <= next->seqno) {
            *seqno = at;
            memcpy(root, head->checkpoints[i].state_root, sizeof(ledger_hash));
        }
    }
}

bool bft_head_entry(struct bft_head *head, struct wm_view entry)
{
    merkle_hash leaf;
    merkle_leaf(entry, leaf);
    return merkle_add(&head->ledger, leaf);
}

void bft_head_add(struct bft_head *head, const struct bft_next *next,
                  const struct preprepare_claims *claims, struct wm_view header,
                  const ledger_hash root, const ledger_hash name,
                  const struct bft_executed *executed, uint32_t interval)
{
    uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct preprepare_entry entry = {.header = header};
    memcpy(entry.root, root, sizeof entry.root);
    preprepare_entry_put(&writer, &entry);
    WM_ASSERT(cbor_fits(&writer));
    bool fits = bft_head_entry(head, wm_view_of(bytes, writer.len));
    WM_ASSERT(fits); /* LEDGER_SEQNO_MAX comes first */

    head->cfg = claims->cfg;
    head->view = claims->view;
    head->seqno = claims->seqno;
    head->next_index = claims->first_index + claims->count;
    if (claims->count > 0) {
        head->nonempty_seqno = claims->seqno;
    }
    if (executed->governance) {
        head->governance = head->next_index - 1;
    }
    if (executed->reconfigures) {
        head->reconfigured_at = claims->seqno;
        head->reconfigured_pipeline = next->pipeline;
        merkle_root(&head->ledger, head->committed_root);
    } else if (next->kind == BATCH_START && next->phase == next->pipeline) {
        head->reconfigured_at = 0;
        head->reconfigured_pipeline = 0;
        memset(head->committed_root, 0, sizeof head->committed_root);
    }
    memcpy(head->name, name, sizeof head->name);
    memcpy(head->state_root, executed->state_root, sizeof head->state_root);
    if (claims->seqno % interval == 0) {
        head->checkpoints[0] = head->checkpoints[1];
        head->checkpoints[1].seqno = claims->seqno;
        memcpy(head->checkpoints[1].state_root, executed->state_root, sizeof(ledger_hash));
    }
}
