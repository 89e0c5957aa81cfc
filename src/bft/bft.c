/* A replica's beginning and end, and the dispatch of what reaches it. */
#include "bft/bft.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "bft/internal.h"
#include "crypto/hash.h"

#ifdef BFT_MUTANTS
int bft_guard_off = -1;
#endif

void bft_genesis_head(struct bft_head *out)
{
    memset(out, 0, sizeof *out);
    out->next_index = 1;
    merkle_init(&out->ledger);
}

/* --- Starting --- */

static void load_batch(void *self, const struct bft_entries *entries)
{
    struct bft *bft = self;
    struct slot *slot = slot_at(bft, entries->seqno);
    struct preprepare_entry entry;
    struct cose_statement statement;
    struct evidence evidence;
    if (!slot || !preprepare_entry_get(entries->preprepare, &entry, NULL) ||
        !cose_header(entry.header, &statement) ||
        preprepare_claims_get(statement.claims, &slot->claims, NULL) != 0) {
        return;
    }
    memcpy(slot->header_bytes, entry.header.ptr, entry.header.len);
    slot->header = wm_view_of(slot->header_bytes, entry.header.len);
    memcpy(slot->root, entry.root, sizeof slot->root);
    agreement_name(slot->header, slot->root, slot->name);
    slot->has_preprepare = slot->executed = slot->prepared = slot->committed = true;
    /* The evidence of an earlier batch, which stands in this one, gives that one its votes back. */
    struct slot *about;
    if (entries->evidence.len == 0 || !evidence_get(entries->evidence, &evidence, NULL) ||
        !(about = slot_have(bft, evidence.seqno)) || !about->has_preprepare) {
        return;
    }
    uint32_t at = 0;
    about->has_signature = true;
    memcpy(about->signature, evidence.preprepare_signature, sizeof about->signature);
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX; i++) {
        if (!(evidence.bitmap >> i & 1)) {
            continue;
        }
        const struct evidence_share *share = &evidence.shares[at++];
        struct vote *vote = &about->votes[i];
        vote->has_nonce = true;
        vote->nonce_view = about->claims.view;
        memcpy(vote->nonce, share->nonce, sizeof vote->nonce);
        if (!share->primary) {
            vote->has_prepare = true;
            vote->view = about->claims.view;
            memcpy(vote->preprepare, about->name, sizeof vote->preprepare);
            memcpy(vote->commitment, share->commitment, sizeof vote->commitment);
            memcpy(vote->signature, share->signature, sizeof vote->signature);
        }
    }
}

int bft_new(const struct bft_config *config, uint64_t now_ns, struct bft **out,
            struct wm_diag *diag)
{
    struct bft *bft = wm_alloc_zero(1, sizeof *bft);
    if (!bft || !pool_init(&bft->pool, &config->limits)) {
        wm_free(bft);
        return wm_diag_set(diag, -ENOMEM, "agreement: no memory for a replica's state");
    }
    memcpy(bft->service, config->service, sizeof bft->service);
    memcpy(bft->nonce_secret, config->nonce_secret, sizeof bft->nonce_secret);
    bft->replica = config->replica;
    bft->key = config->key;
    bft->timing = config->timing;
    bft->limits = config->limits;
    bft->app = config->app;
    bft->base = bft->tip = config->head;
    bft->view = config->head.view;
    bft->in_view = true;
    bft->now_ns = now_ns;
    bft->mode = BFT_SILENT;
    bft->restoring = true;
    bft->view_deadline_ns = UINT64_MAX;
    /* Who has committed a batch may have signed up to it. */
    bft->signed_view = config->head.view;
    bft->signed_seqno = config->head.seqno;
    /* It only tells answers to this start from older ones. */
    uint8_t seed[40];
    memcpy(seed, config->nonce_secret, 32);
    memcpy(seed + 32, &now_ns, sizeof now_ns);
    wm_sha256_once(wm_view_of(seed, sizeof seed), bft->challenge);
    const struct configuration *configuration = configuration_of(bft, bft->base.cfg);
    if (!configuration) {
        bft_free(bft);
        return wm_diag_set(diag, WM_E_INVALID, "agreement: configuration %llu is not known",
                           (unsigned long long)config->head.cfg);
    }
    uint64_t first = bft->base.seqno > 2 * LEDGER_PIPELINE_MAX
                         ? bft->base.seqno - 2 * LEDGER_PIPELINE_MAX + 1
                         : 1;
    for (uint64_t s = first; s <= bft->base.seqno; s++) {
        (void)bft->app.read(bft->app.self, s, load_batch, bft);
    }
    *out = bft;
    return 0;
}

void bft_free(struct bft *bft)
{
    if (!bft) {
        return;
    }
    for (uint32_t i = 0; i < WINDOW; i++) {
        slot_drop_batch(bft, &bft->slots[i]);
    }
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX * 2; i++) {
        blob_free(&bft->changes[i].header);
        blob_free(&bft->changes[i].certificate);
    }
    for (struct early *early = bft->early_first, *next; early; early = next) {
        next = early->next;
        blob_free(&early->bytes);
        wm_free(early);
    }
    blob_free(&bft->view_changes);
    blob_free(&bft->new_view);
    blob_free(&bft->top);
    blob_free(&bft->top_entries);
    blob_free(&bft->pending_view_changes);
    blob_free(&bft->pending_new_view);
    pool_fini(&bft->pool);
    sign_wipe(bft->nonce_secret, sizeof bft->nonce_secret);
    wm_free(bft);
}

void fall_silent(struct bft *bft)
{
    bft->mode = BFT_SILENT;
    bft->newest_answers = 0;
    for (uint32_t i = 0; i < bft->peer_count; i++) {
        bft->peers[i].newest_answered = false;
    }
    ask_newest(bft);
}

const struct configuration *speaks_in(const struct bft *bft)
{
    const struct configuration *now = configuration_now(bft);
    if (position_in(now, bft->replica) != NOWHERE) {
        return now;
    }
    /* It may be on its way out, with batches that it has signed. */
    struct next_batch next;
    next_after(bft, &bft->base, &next);
    const struct configuration *before = configuration_of(bft, next.cfg);
    return position_in(before, bft->replica) != NOWHERE ? before : NULL;
}

void refresh_mode(struct bft *bft)
{
    if (bft->mode != BFT_NORMAL && bft->mode != BFT_LEARNER) {
        return;
    }
    if (!bft->heard && speaks_in(bft)) {
        /* It learned that it belongs to those who speak, and may have spoken among them before. */
        fall_silent(bft);
    } else {
        bft->mode = own_position(bft) == NOWHERE ? BFT_LEARNER : BFT_NORMAL;
    }
}

void end_silence_if_heard(struct bft *bft)
{
    const struct configuration *among = speaks_in(bft);
    if (bft->mode != BFT_SILENT || bft->restoring ||
        (among && bft->newest_answers + 1 < ledger_quorum(among->replica_count) &&
         !BFT_GUARD_IS_OFF(AMNESIA_SILENCE))) {
        return;
    }
    bft->heard = among != NULL;
    bft->mode = bft->in_view || !bft->heard ? BFT_NORMAL : BFT_VIEW_CHANGE;
    refresh_mode(bft);
    if (bft->mode == BFT_VIEW_CHANGE) {
        bft->view_deadline_ns = bft->now_ns + bft->timing.view_ns;
        say_view_again(bft, NOWHERE);
    }
    bft->entered_ns = bft->progress_ns = bft->proposed_ns = bft->now_ns;
    say_status(bft, NOWHERE);
    for (uint64_t s = bft->base.seqno + 1; bft->in_view && s <= bft->tip.seqno; s++) {
        say_slot_again(bft, slot_have(bft, s), NOWHERE);
    }
    release_early(bft);
    advance(bft);
}

static void on_start(struct bft *bft)
{
    bft->restoring = false;
    bft->progress_ns = bft->now_ns;
    bft->status_deadline_ns = bft->now_ns + bft->timing.status_ns;
    end_silence_if_heard(bft);
    if (bft->mode == BFT_SILENT) {
        ask_newest(bft);
        say_status(bft, NOWHERE);
    }
}

/* --- What reaches a replica --- */

static uint64_t index_max(const struct bft *bft)
{
    const struct ledger_parameters *parameters = &configuration_now(bft)->parameters;
    return bft->tip.next_index + 2 * (uint64_t)parameters->pipeline * parameters->batch_max;
}

static void on_request(struct bft *bft, const struct bft_request *request)
{
    /* One that a pre-prepare waits for is taken even from a client who has too many. */
    if (pool_add(&bft->pool, bft->service, request, bft->now_ns, index_max(bft), false)) {
        advance(bft);
    }
}

static bool is_wanted(const struct bft *bft, const ledger_hash hash)
{
    for (uint64_t s = bft->tip.seqno + 1; s <= bft->base.seqno + WINDOW_AHEAD; s++) {
        const struct slot *slot = slot_have(bft, s);
        for (uint32_t i = 0; slot && slot->has_preprepare && i < slot->request_count; i++) {
            if (memcmp(slot->hashes + (size_t)i * LEDGER_HASH_BYTES, hash, LEDGER_HASH_BYTES) ==
                0) {
                return true;
            }
        }
    }
    return false;
}

static void on_peer_request(struct bft *bft, const struct peer_request *message)
{
    struct bft_request request = {.request = message->request, .arguments = message->arguments};
    ledger_hash hash;
    wm_sha256_once(message->request, hash);
    if (pool_find(&bft->pool, hash)) {
        return;
    }
    memcpy(request.hash, hash, sizeof request.hash);
    request.checked = bft->app.check(bft->app.self, &request);
    if (request.checked && pool_add(&bft->pool, bft->service, &request, bft->now_ns, index_max(bft),
                                    is_wanted(bft, hash))) {
        advance(bft);
    }
}

void handle_message(struct bft *bft, uint32_t from, struct wm_view bytes)
{
    struct peer_message message;
    if (from == bft->replica || !is_known(bft, from) ||
        peer_message_get(bytes, &message, NULL) != 0) {
        return;
    }
    switch (message.kind) {
    case PEER_REQUEST: on_peer_request(bft, &message.request); break;
    case PEER_PREPREPARE: on_preprepare(bft, from, &message.preprepare); break;
    case PEER_PREPARE: on_prepare(bft, from, &message.prepare); break;
    case PEER_COMMIT: on_commit(bft, from, &message.commit); break;
    case PEER_VIEW_CHANGE: on_view_change(bft, from, &message.viewchange); break;
    case PEER_NEW_VIEW: on_new_view(bft, from, &message.newview); break;
    case PEER_FETCH_REQUESTS: on_fetch_requests(bft, from, &message.fetch_requests); break;
    case PEER_FETCH_ENTRIES: on_fetch_entries(bft, from, &message.fetch_entries); break;
    case PEER_ENTRIES: on_entries(bft, from, &message.entries); break;
    case PEER_STATUS: on_status(bft, from, &message.status); break;
    case PEER_ASK_NEWEST: on_ask_newest(bft, from, &message.ask_newest); break;
    case PEER_NEWEST: on_newest(bft, from, &message.newest); break;
    case PEER_FETCH_CHECKPOINT:
    case PEER_CHECKPOINT: break; /* between applications */
    }
}

void bft_step(struct bft *bft, uint64_t now_ns, const struct bft_event *event,
              struct bft_effects *effects)
{
    if (bft->halted) {
        return;
    }
    bft->effects = effects;
    bft->now_ns = now_ns > bft->now_ns ? now_ns : bft->now_ns; /* a clock may go backwards */
    switch (event->kind) {
    case BFT_EVENT_RECORD: restore_record(bft, event->bytes); break;
    case BFT_EVENT_START: on_start(bft); break;
    case BFT_EVENT_REQUEST: on_request(bft, &event->request); break;
    case BFT_EVENT_MESSAGE: handle_message(bft, event->from, event->bytes); break;
    case BFT_EVENT_SYNCED:
        if (event->records > bft->records_durable) {
            bft->records_durable = event->records;
            advance(bft);
        }
        break;
    case BFT_EVENT_TICK: break;
    }
    if (event->kind != BFT_EVENT_RECORD && !bft->halted) {
        sync_tick(bft);
        view_tick(bft);
        propose_if_due(bft);
    }
    bft->effects = NULL;
}

uint64_t bft_deadline_ns(const struct bft *bft)
{
    if (bft->halted) {
        return UINT64_MAX;
    }
    uint64_t deadline = sync_deadline(bft);
    uint64_t others[2] = {view_deadline(bft), propose_deadline_ns(bft)};
    for (uint32_t i = 0; i < 2; i++) {
        deadline = others[i] < deadline ? others[i] : deadline;
    }
    return deadline;
}

void bft_set_checkpoint(struct bft *bft, uint64_t seqno)
{
    bft->checkpoint_seqno = seqno;
}

/* --- Looking --- */

void bft_status(const struct bft *bft, struct bft_status *out)
{
    const struct configuration *configuration = configuration_now(bft);
    uint32_t primary = agreement_primary(bft->view, configuration->replica_count);
    *out = (struct bft_status){
        .mode = bft->mode,
        .cfg = configuration->number,
        .view = bft->view,
        .head_seqno = bft->tip.seqno,
        .prepared_seqno = bft->top_facts.is_there ? bft->top_facts.claims.seqno : 0,
        .committed_seqno = bft->base.seqno,
        .next_index = bft->tip.next_index,
        .primary = configuration->replicas[primary].id,
        .pool_requests = bft->pool.count,
        .suspicions = bft->suspicions,
    };
}

int bft_halted(const struct bft *bft, struct wm_diag *diag)
{
    if (bft->halted && diag) {
        *diag = bft->halt_diag;
    }
    return bft->halted;
}

bool bft_share(const struct bft *bft, uint64_t view, uint64_t seqno, struct bft_share *out)
{
    const struct slot *slot = slot_have(bft, seqno);
    if (!slot || !slot->executed || !slot->revealed || slot->claims.view != view ||
        !slot->has_signature) {
        return false;
    }
    const struct configuration *configuration = configuration_of(bft, slot->claims.cfg);
    uint32_t position = position_in(configuration, bft->replica);
    WM_ASSERT(position != NOWHERE);
    *out = (struct bft_share){.position = position};
    out->primary = position == agreement_primary(view, configuration->replica_count);
    out->preprepare.header = slot->header;
    memcpy(out->preprepare.payload, slot->root, sizeof slot->root);
    memcpy(out->preprepare.signature, slot->signature, sizeof slot->signature);
    memcpy(out->signature, out->primary ? slot->signature : slot->votes[position].signature,
           sizeof out->signature);
    own_nonce(bft, slot->claims.cfg, view, seqno, out->nonce);
    return true;
}

bool bft_quorum(const struct bft *bft, uint64_t seqno, struct quorum *out)
{
    struct slot *slot = slot_have(bft, seqno);
    return slot && slot->committed && make_quorum((struct bft *)bft, slot, out);
}
