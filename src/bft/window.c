/* Slots, and the ends of the ledger that they carry. A slot remembers the whole end of the ledger
 * with its batch (struct bft_head, some 2 KiB), so taking batches back is taking an older one. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "bft/internal.h"
#include "crypto/hash.h"

void blob_free(struct blob *blob)
{
    wm_free(blob->ptr);
    *blob = (struct blob){NULL, 0};
}

bool blob_set(struct blob *blob, struct wm_view bytes)
{
    uint8_t *copy = bytes.len ? wm_alloc(bytes.len) : NULL;
    if (bytes.len && !copy) {
        return false;
    }
    if (bytes.len) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    blob_free(blob);
    *blob = (struct blob){copy, bytes.len};
    return true;
}

/* --- Configurations and positions --- */

const struct configuration *configuration_of(const struct bft *bft, uint64_t cfg)
{
    return bft->app.configuration(bft->app.self, cfg);
}

uint32_t position_in(const struct configuration *configuration, uint32_t replica)
{
    for (uint32_t i = 0; configuration && i < configuration->replica_count; i++) {
        if (configuration->replicas[i].id == replica) {
            return i;
        }
    }
    return NOWHERE;
}

void next_after(const struct bft *bft, const struct bft_head *tip, struct next_batch *out)
{
    *out = (struct next_batch){.seqno = tip->seqno + 1, .cfg = tip->cfg, .kind = BATCH_NORMAL};
    if (tip->reconfigured_at == 0) {
        const struct configuration *configuration = configuration_of(bft, tip->cfg);
        WM_ASSERT(configuration);
        out->pipeline = configuration->parameters.pipeline;
        return;
    }
    /* IA-CCF section 6: 2P batches end a configuration, P begin the next one. */
    uint32_t pipeline = tip->reconfigured_pipeline;
    uint32_t k = (uint32_t)(out->seqno - tip->reconfigured_at);
    out->pipeline = pipeline;
    if (k <= 2 * pipeline) {
        out->kind = BATCH_END;
        out->phase = k;
    } else {
        WM_ASSERT(k <= 3 * pipeline);
        out->kind = BATCH_START;
        out->phase = k - 2 * pipeline;
        if (out->phase == 1) {
            out->cfg++;
        }
    }
}

const struct configuration *configuration_now(const struct bft *bft)
{
    struct next_batch next;
    next_after(bft, &bft->tip, &next);
    const struct configuration *configuration = configuration_of(bft, next.cfg);
    WM_ASSERT(configuration);
    return configuration;
}

uint32_t own_position(const struct bft *bft)
{
    return position_in(configuration_now(bft), bft->replica);
}

bool is_primary(const struct bft *bft)
{
    const struct configuration *configuration = configuration_now(bft);
    uint32_t position = agreement_primary(bft->view, configuration->replica_count);
    return configuration->replicas[position].id == bft->replica;
}

bool is_known(const struct bft *bft, uint32_t replica)
{
    /* Of the configurations that are in force, or about to be. */
    uint64_t first = bft->base.cfg;
    for (uint64_t cfg = first > 0 ? first - 1 : 0;; cfg++) {
        const struct configuration *configuration = configuration_of(bft, cfg);
        if (!configuration) {
            return false;
        }
        if (position_in(configuration, replica) != NOWHERE) {
            return true;
        }
    }
}

/* --- Slots --- */

struct slot *slot_have(const struct bft *bft, uint64_t seqno)
{
    struct slot *slot = (struct slot *)&bft->slots[seqno % WINDOW];
    return seqno != 0 && slot->seqno == seqno ? slot : NULL;
}

static void slot_free_batch(struct slot *slot)
{
    blob_free(&slot->view_changes);
    blob_free(&slot->new_view);
    blob_free(&slot->evidence);
    wm_free(slot->requests);
    wm_free(slot->hashes);
    slot->requests = NULL;
    slot->hashes = NULL;
    slot->request_count = 0;
    slot->has_preprepare = slot->executed = slot->signed_ = slot->prepared = slot->revealed = false;
    slot->carried = slot->committed = slot->has_signature = false;
}

void slot_clear(struct slot *slot)
{
    slot_free_batch(slot);
    memset(slot, 0, sizeof *slot);
}

void slot_drop_batch(struct bft *bft, struct slot *slot)
{
    for (uint32_t i = 0; i < slot->request_count && slot->requests; i++) {
        if (slot->requests[i]) {
            pool_release(&bft->pool, slot->requests[i]);
        }
    }
    slot_free_batch(slot);
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX; i++) {
        slot->votes[i].verified = false;
    }
}

struct slot *slot_at(struct bft *bft, uint64_t seqno)
{
    uint64_t lowest = bft->base.seqno >= WINDOW - WINDOW_AHEAD
                          ? bft->base.seqno - (WINDOW - WINDOW_AHEAD) + 1
                          : 1;
    if (seqno < lowest || seqno > bft->base.seqno + WINDOW_AHEAD) {
        return NULL;
    }
    struct slot *slot = &bft->slots[seqno % WINDOW];
    if (slot->seqno != seqno) {
        WM_ASSERT(slot->seqno < seqno);
        slot_clear(slot);
        slot->seqno = seqno;
    }
    return slot;
}

const struct bft_head *head_at(const struct bft *bft, uint64_t seqno)
{
    if (seqno == bft->base.seqno) {
        return &bft->base;
    }
    const struct slot *slot = slot_have(bft, seqno);
    WM_ASSERT(slot && slot->executed);
    return &slot->after;
}

void undo_above(struct bft *bft, uint64_t seqno)
{
    WM_ASSERT(seqno >= bft->base.seqno && seqno <= bft->tip.seqno);
    bool undo = seqno < bft->tip.seqno;
    keep_top_entries(bft, seqno);
    for (uint64_t s = bft->tip.seqno; s > seqno; s--) {
        struct slot *slot = slot_have(bft, s);
        WM_ASSERT(slot && slot->executed && !slot->committed);
        slot_drop_batch(bft, slot);
    }
    bft->tip = *head_at(bft, seqno);
    bft->view_entries_wait = false;
    if (undo) {
        bft->app.undo_to(bft->app.self, seqno);
    }
}

/* --- Nonces and trees --- */

/* From the secret and the place: a replica that was restarted opens the same commitment. */
void own_nonce(const struct bft *bft, uint64_t cfg, uint64_t view, uint64_t seqno, ledger_nonce out)
{
    uint8_t text[16 + 3 * 8] = "wardmote nonce 1";
    const uint64_t numbers[3] = {cfg, view, seqno};
    memcpy(text + 16, numbers, sizeof numbers);
    wm_mac(bft->nonce_secret, wm_view_of(text, sizeof text), out);
}

bool nonce_opens(const ledger_nonce nonce, const ledger_hash commitment)
{
    ledger_hash hash;
    wm_sha256_once(wm_view_of(nonce, LEDGER_NONCE_BYTES), hash);
    return BFT_GUARD(NONCE_OPENS, memcmp(hash, commitment, sizeof hash) == 0);
}

bool tree_add(struct merkle *tree, struct wm_view entry)
{
    merkle_hash leaf;
    merkle_leaf(entry, leaf);
    return merkle_add(tree, leaf);
}

void head_add(const struct bft *bft, struct bft_head *head, const struct preprepare_claims *claims,
              const struct next_batch *next, const ledger_hash name, struct wm_view header,
              const ledger_hash root, const struct bft_executed *executed)
{
    uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct preprepare_entry entry = {.header = header};
    memcpy(entry.root, root, sizeof entry.root);
    preprepare_entry_put(&writer, &entry);
    WM_ASSERT(cbor_fits(&writer) && writer.len <= sizeof bytes);
    bool fits = tree_add(&head->ledger, wm_view_of(bytes, writer.len));
    WM_ASSERT(fits); /* LEDGER_SEQNO_MAX comes first */

    const struct configuration *configuration = configuration_of(bft, claims->cfg);
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
    }
    if (next->kind == BATCH_START && next->phase == next->pipeline) {
        head->reconfigured_at = 0;
        head->reconfigured_pipeline = 0;
        memset(head->committed_root, 0, sizeof head->committed_root);
    }
    memcpy(head->name, name, sizeof head->name);
    memcpy(head->state_root, executed->state_root, sizeof head->state_root);
    if (claims->seqno % configuration->parameters.checkpoint_interval == 0) {
        head->checkpoints[0] = head->checkpoints[1];
        head->checkpoints[1].seqno = claims->seqno;
        memcpy(head->checkpoints[1].state_root, executed->state_root, sizeof(ledger_hash));
    }
}
