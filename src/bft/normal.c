/* The normal case (IA-CCF section 4): a primary executes and proposes, backups execute, compare and
 * sign, and whoever holds the signatures of a quorum opens his nonce.
 *
 *     request -> pre-prepare (primary) -> prepare (backups) -> commit (all: nonces)
 *
 * Order matters in three places, all for the sake of evidence. A batch is written to the journal
 * before our signature on it leaves (record_batch); the certificate before our nonce does
 * (record_prepared); and nothing of a view is opened once we have asked for a later one. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "bft/internal.h"
#include "crypto/hash.h"

/* --- What a batch refers to --- */

/* The checkpoint that batch seqno names: the newest that is at least C before it. */
static void checkpoint_for(const struct bft *bft, const struct bft_head *before,
                           const struct next_batch *next, uint64_t *seqno, ledger_hash root)
{
    const struct configuration *configuration = configuration_of(bft, next->cfg);
    uint64_t interval = configuration->parameters.checkpoint_interval;
    *seqno = 0;
    memset(root, 0, sizeof(ledger_hash));
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t at = before->checkpoints[i].seqno;
        if (at > 0 && at + interval <= next->seqno) {
            *seqno = at;
            memcpy(root, before->checkpoints[i].state_root, sizeof(ledger_hash));
        }
    }
}

/* The slot whose evidence batch `seqno` of view `view` has to hold; NULL: none. */
static struct slot *evidenced_slot(struct bft *bft, const struct next_batch *next, uint64_t view,
                                   bool *missing)
{
    *missing = false;
    if (next->seqno <= next->pipeline) {
        return NULL;
    }
    struct slot *slot = slot_have(bft, next->seqno - next->pipeline);
    if (!slot || !slot->executed) {
        *missing = true; /* we do not know of which view it was */
        return NULL;
    }
    return slot->claims.view == view ? slot : NULL;
}

/* --- Votes --- */

static uint32_t primary_of(const struct bft *bft, const struct slot *slot)
{
    return agreement_primary(slot->claims.view,
                             configuration_of(bft, slot->claims.cfg)->replica_count);
}

static bool is_for(const struct vote *vote, const struct slot *slot)
{
    return vote->has_prepare && vote->view == slot->claims.view &&
           memcmp(vote->preprepare, slot->name, sizeof slot->name) == 0;
}

/* Is the prepare at this position right for the slot's batch? Checked once. */
static bool vote_is_right(struct bft *bft, struct slot *slot, uint32_t position)
{
    struct vote *vote = &slot->votes[position];
    if (!is_for(vote, slot)) {
        return false;
    }
    if (!vote->verified) {
        vote->verified = agreement_prepared_by(
            bft->service, configuration_of(bft, slot->claims.cfg), &slot->claims, slot->name,
            slot->root, position, vote->commitment, vote->signature);
        if (!vote->verified) {
            vote->has_prepare = false;
            bft->suspicions |= UINT64_C(1) << position;
        }
    }
    return vote->verified;
}

/* Has the replica at this position opened what it committed itself to? */
static bool vote_is_open(struct bft *bft, struct slot *slot, uint32_t position)
{
    struct vote *vote = &slot->votes[position];
    if (!vote->has_nonce || vote->nonce_view != slot->claims.view) {
        return false;
    }
    if (position == primary_of(bft, slot)) {
        return nonce_opens(vote->nonce, slot->claims.commitment);
    }
    return vote_is_right(bft, slot, position) && nonce_opens(vote->nonce, vote->commitment);
}

static uint32_t quorum_for(uint32_t replicas)
{
    uint32_t quorum = ledger_quorum(replicas);
    return BFT_GUARD_IS_OFF(QUORUM_SIZE) && quorum > 1 ? quorum - 1 : quorum;
}

/* Are Q-1 prepares of backups here? Checks no more signatures than it takes. */
static bool has_certificate(struct bft *bft, struct slot *slot)
{
    const struct configuration *configuration = configuration_of(bft, slot->claims.cfg);
    uint32_t primary = primary_of(bft, slot);
    uint32_t wanted = quorum_for(configuration->replica_count) - 1;
    uint32_t named = 0, right = 0;
    for (uint32_t i = 0; i < configuration->replica_count; i++) {
        named += i != primary && is_for(&slot->votes[i], slot);
    }
    if (named < wanted) {
        return false;
    }
    for (uint32_t i = 0; i < configuration->replica_count && right < wanted; i++) {
        right += i != primary && vote_is_right(bft, slot, i);
    }
    return right >= wanted;
}

/* Positions of a quorum that opened, lowest first; 0: not so many are here. For a commit our own
 * counts when it is durable: until then our machine may stop and forget it, and what is committed
 * must be remembered by a quorum. */
static uint64_t open_quorum(struct bft *bft, struct slot *slot, bool durable)
{
    const struct configuration *configuration = configuration_of(bft, slot->claims.cfg);
    uint32_t wanted = quorum_for(configuration->replica_count), count = 0;
    uint64_t bitmap = 0;
    bool waits = durable && slot->revealed && slot->revealed_record > bft->records_durable;
    uint32_t own = waits ? position_in(configuration, bft->replica) : NOWHERE;
    for (uint32_t i = 0; i < configuration->replica_count && count < wanted; i++) {
        if (i != own && vote_is_open(bft, slot, i)) {
            bitmap |= UINT64_C(1) << i;
            count++;
        }
    }
    return count >= wanted ? bitmap : 0;
}

bool make_evidence(struct bft *bft, struct slot *slot, struct evidence *out)
{
    uint64_t bitmap = slot->has_signature ? open_quorum(bft, slot, false) : 0;
    uint32_t primary = primary_of(bft, slot);
    if (bitmap == 0) {
        return false;
    }
    *out = (struct evidence){.seqno = slot->seqno, .bitmap = bitmap};
    memcpy(out->preprepare_signature, slot->signature, sizeof slot->signature);
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX; i++) {
        const struct vote *vote = &slot->votes[i];
        if (!(bitmap >> i & 1)) {
            continue;
        }
        struct evidence_share *share = &out->shares[out->count++];
        share->primary = i == primary;
        memcpy(share->nonce, vote->nonce, sizeof share->nonce);
        if (!share->primary) {
            memcpy(share->commitment, vote->commitment, sizeof share->commitment);
            memcpy(share->signature, vote->signature, sizeof share->signature);
        }
    }
    return true;
}

bool make_quorum(struct bft *bft, struct slot *slot, struct quorum *out)
{
    uint64_t bitmap = slot->executed && slot->has_signature ? open_quorum(bft, slot, true) : 0;
    uint32_t primary = primary_of(bft, slot);
    if (bitmap == 0) {
        return false;
    }
    *out = (struct quorum){.header = slot->header, .has_root = true};
    memcpy(out->root, slot->root, sizeof out->root);
    memcpy(out->signature, slot->signature, sizeof out->signature);
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX; i++) {
        const struct vote *vote = &slot->votes[i];
        if (!(bitmap >> i & 1)) {
            continue;
        }
        if (i == primary) {
            out->has_primary_nonce = true;
            memcpy(out->primary_nonce, vote->nonce, sizeof out->primary_nonce);
            continue;
        }
        struct quorum_share *share = &out->shares[out->count++];
        share->replica = i;
        memcpy(share->signature, vote->signature, sizeof share->signature);
        memcpy(share->nonce, vote->nonce, sizeof share->nonce);
    }
    return true;
}

/* --- Executing --- */

static int run_batch(struct bft *bft, const struct slot *slot, const struct next_batch *next,
                     uint64_t view, uint64_t first_index, struct bft_executed *executed)
{
    struct bft_batch batch = {.cfg = next->cfg,
                              .view = view,
                              .seqno = next->seqno,
                              .first_index = first_index,
                              .count = slot->request_count};
    struct bft_request *requests = wm_alloc_zero(slot->request_count, sizeof *requests);
    if (!requests) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < slot->request_count; i++) {
        const struct pool_request *from = slot->requests[i];
        requests[i] = (struct bft_request){
            .request = from->request, .arguments = from->arguments, .checked = from->checked};
        memcpy(requests[i].hash, from->hash, sizeof requests[i].hash);
    }
    batch.requests = requests;
    int rc = bft->app.execute(bft->app.self, &batch, executed);
    wm_free(requests);
    return rc;
}

/* All but the results is as it has to be. */
static int check_claims(struct bft *bft, const struct slot *slot, const struct next_batch *next,
                        const struct merkle *ledger, struct wm_diag *diag)
{
    const struct preprepare_claims *claims = &slot->claims;
    const struct configuration *configuration = configuration_of(bft, next->cfg);
    uint64_t checkpoint;
    ledger_hash checkpoint_root, ledger_root;
    checkpoint_for(bft, &bft->tip, next, &checkpoint, checkpoint_root);
    merkle_root(ledger, ledger_root);
    const char *why = NULL;
    if (claims->cfg != next->cfg || claims->kind != next->kind || claims->phase != next->phase) {
        why = "it is of another configuration or kind";
    } else if (claims->first_index != bft->tip.next_index) {
        why = "its first index does not follow";
    } else if (claims->count != slot->request_count ||
               claims->count > configuration->parameters.batch_max ||
               (claims->kind != BATCH_NORMAL && claims->count > 0)) {
        why = "it has more transactions than it may";
    } else if (claims->governance != bft->tip.governance) {
        why = "it names another governance transaction before it";
    } else if (claims->checkpoint_seqno != checkpoint ||
               memcmp(claims->checkpoint_root, checkpoint_root, sizeof checkpoint_root) != 0) {
        why = "it names another checkpoint";
    } else if (claims->kind == BATCH_END &&
               memcmp(claims->committed_root, bft->tip.committed_root, sizeof(ledger_hash)) != 0) {
        why = "it names another root of the final vote";
    } else if (!BFT_GUARD(LEDGER_COMPARED,
                          claims->ledger_size == ledger->count &&
                              memcmp(claims->ledger_root, ledger_root, sizeof ledger_root) == 0)) {
        why = "it stands on another ledger";
    }
    for (uint32_t i = 0; i < slot->request_count && !why; i++) {
        if (!BFT_GUARD(INDEX_RULE, slot->requests[i]->minimum_index <= claims->first_index + i)) {
            why = "a request has a larger minimum index";
        }
    }
    return why ? wm_diag_set(diag, WM_E_INVALID, "batch %llu: %s", (unsigned long long)next->seqno,
                             why)
               : 0;
}

/* The evidence entry is what the batch has to hold: for the right batch, a quorum, all of it true.
 */
static int check_evidence(struct bft *bft, struct slot *slot, const struct next_batch *next,
                          struct wm_diag *diag)
{
    bool missing;
    struct evidence evidence;
    struct slot *about = evidenced_slot(bft, next, slot->claims.view, &missing);
    if (missing) {
        return wm_diag_set(diag, WM_E_NOT_FOUND, "batch %llu is not here",
                           (unsigned long long)(next->seqno - next->pipeline));
    }
    if (!about) {
        return slot->evidence.len == 0 && slot->claims.evidence == 0
                   ? 0
                   : wm_diag_set(diag, WM_E_INVALID, "batch %llu: it has evidence of nothing",
                                 (unsigned long long)next->seqno);
    }
    if (slot->evidence.len == 0 || !evidence_get(blob_view(&slot->evidence), &evidence, NULL)) {
        return wm_diag_set(diag, WM_E_INVALID, "batch %llu: it has no evidence of batch %llu",
                           (unsigned long long)next->seqno, (unsigned long long)about->seqno);
    }
    const struct configuration *configuration = configuration_of(bft, about->claims.cfg);
    uint32_t primary = primary_of(bft, about);
    bool ok = evidence.seqno == about->seqno && evidence.bitmap == slot->claims.evidence &&
              evidence.count == ledger_quorum(configuration->replica_count) &&
              evidence.bitmap >> (configuration->replica_count - 1) <= 1;
    if (ok && !(about->has_signature && memcmp(about->signature, evidence.preprepare_signature,
                                               sizeof about->signature) == 0)) {
        struct preprepare_claims claims;
        ledger_hash name;
        ok = agreement_preprepare(bft->service, configuration, about->header, about->root,
                                  evidence.preprepare_signature, &claims, name, NULL) == 0;
        if (ok) {
            about->has_signature = true;
            memcpy(about->signature, evidence.preprepare_signature, sizeof about->signature);
        }
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < configuration->replica_count && ok; i++) {
        if (!(evidence.bitmap >> i & 1)) {
            continue;
        }
        const struct evidence_share *share = &evidence.shares[at++];
        struct vote *vote = &about->votes[i];
        ok = share->primary == (i == primary);
        if (ok && !share->primary) {
            bool same = vote_is_right(bft, about, i) &&
                        memcmp(vote->commitment, share->commitment, sizeof vote->commitment) == 0 &&
                        memcmp(vote->signature, share->signature, sizeof vote->signature) == 0;
            ok = same ||
                 agreement_prepared_by(bft->service, configuration, &about->claims, about->name,
                                       about->root, i, share->commitment, share->signature);
            if (ok && !same) { /* ours was another one, or none */
                vote->has_prepare = vote->verified = true;
                vote->view = about->claims.view;
                memcpy(vote->preprepare, about->name, sizeof vote->preprepare);
                memcpy(vote->commitment, share->commitment, sizeof vote->commitment);
                memcpy(vote->signature, share->signature, sizeof vote->signature);
            }
        }
        ok = ok && nonce_opens(share->nonce,
                               share->primary ? about->claims.commitment : share->commitment);
        if (ok) {
            vote->has_nonce = true;
            vote->nonce_view = about->claims.view;
            memcpy(vote->nonce, share->nonce, sizeof vote->nonce);
        }
    }
    return ok ? 0
              : wm_diag_set(diag, WM_E_FORGED, "batch %llu: its evidence of batch %llu is false",
                            (unsigned long long)next->seqno, (unsigned long long)about->seqno);
}

/* The first batch of a view carries the view's entries: they come before it in the ledger. */
static bool take_view_entries(struct bft *bft, struct slot *slot, struct merkle *ledger)
{
    if (bft->view_entries_wait && slot->claims.view == bft->new_view_view &&
        (!blob_set(&slot->view_changes, blob_view(&bft->view_changes)) ||
         !blob_set(&slot->new_view, blob_view(&bft->new_view)))) {
        return false;
    }
    return slot->new_view.len == 0 || (tree_add(ledger, blob_view(&slot->view_changes)) &&
                                       tree_add(ledger, blob_view(&slot->new_view)));
}

int execute_slot(struct bft *bft, struct slot *slot, const struct next_batch *next,
                 struct wm_diag *diag)
{
    struct bft_executed executed = {0};
    struct bft_head after = bft->tip;
    if (!take_view_entries(bft, slot, &after.ledger)) {
        return -ENOMEM;
    }
    int rc = BFT_GUARD_IS_OFF(EVIDENCE_CHECKED) ? 0 : check_evidence(bft, slot, next, diag);
    if (rc == 0 && slot->evidence.len > 0 && !tree_add(&after.ledger, blob_view(&slot->evidence))) {
        rc = wm_diag_set(diag, WM_E_LIMIT, "the ledger is full");
    }
    if (rc == 0) {
        rc = check_claims(bft, slot, next, &after.ledger, diag);
    }
    if (rc != 0) {
        return rc;
    }
    rc = run_batch(bft, slot, next, slot->claims.view, bft->tip.next_index, &executed);
    if (rc == 0 &&
        !BFT_GUARD(ROOT_COMPARED, executed.taken == slot->request_count &&
                                      memcmp(executed.root, slot->root, sizeof slot->root) == 0 &&
                                      memcmp(executed.state_root, slot->claims.state_root,
                                             sizeof(ledger_hash)) == 0)) {
        bft->app.undo_to(bft->app.self, bft->tip.seqno);
        rc = wm_diag_set(diag, WM_E_INVALID, "batch %llu: its execution has another result here",
                         (unsigned long long)next->seqno);
    } else if (rc != 0) {
        (void)wm_diag_set(diag, rc, "batch %llu: a request in it is not one",
                          (unsigned long long)next->seqno);
    }
    if (rc != 0) {
        return rc;
    }
    head_add(bft, &after, &slot->claims, next, slot->name, slot->header, slot->root, &executed);
    slot->after = after;
    slot->executed = true;
    bft->view_entries_wait &= slot->claims.view != bft->new_view_view;
    bft->tip = after;
    return 0;
}

/* --- Proposing --- */

/* One statement for a place: what was signed there, or above it in the same view, is not signed
 * again, whatever became of it since. */
static bool may_sign(const struct bft *bft, uint64_t view, uint64_t seqno)
{
    return BFT_GUARD(SIGN_ONCE, view > bft->signed_view ||
                                    (view == bft->signed_view && seqno > bft->signed_seqno));
}

void note_signed(struct bft *bft, uint64_t view, uint64_t seqno)
{
    /* While records are read, batches that were written down once more follow the newest place. */
    if (view > bft->signed_view || (view == bft->signed_view && seqno > bft->signed_seqno)) {
        bft->signed_view = view;
        bft->signed_seqno = seqno;
    }
}

/* May the primary put another batch on its tip? */
static bool may_propose(struct bft *bft, struct next_batch *next)
{
    if (bft->mode != BFT_NORMAL || !is_primary(bft)) {
        return false;
    }
    next_after(bft, &bft->tip, next);
    if (next->seqno > bft->base.seqno + WINDOW_AHEAD) {
        return false;
    }
    bool missing;
    struct slot *about = evidenced_slot(bft, next, bft->view, &missing);
    if (missing) {
        return false;
    }
    /* So at most P batches of a view are under way. One that committed by what came after it may
     * lack shares yet. */
    return (!about ||
            (about->committed && about->has_signature && open_quorum(bft, about, false) != 0)) &&
           may_sign(bft, bft->view, next->seqno);
}

/* Does the ledger need a batch although nobody asks for one? While configurations change; until
 * the evidence of the last transactions lies in it; and to commit what a view change carried
 * over. */
static bool needs_empty(const struct bft *bft, const struct next_batch *next)
{
    return next->kind != BATCH_NORMAL ||
           (bft->tip.nonempty_seqno > 0 &&
            next->seqno <= bft->tip.nonempty_seqno + next->pipeline) ||
           (bft->tip.seqno > bft->base.seqno && bft->tip.view < bft->view);
}

uint64_t propose_deadline_ns(const struct bft *bft)
{
    struct next_batch next;
    if (!may_propose((struct bft *)bft, &next)) {
        return UINT64_MAX;
    }
    const struct configuration *configuration = configuration_of(bft, next.cfg);
    if (next.kind != BATCH_NORMAL) {
        return 0;
    }
    bool has = pool_has(&bft->pool, bft->tip.next_index);
    if (has && bft->pool.waiting >= configuration->parameters.batch_max) {
        return 0;
    }
    if (has) {
        return bft->pool.waits_since_ns + bft->timing.batch_ns;
    }
    if (needs_empty(bft, &next)) {
        return bft->proposed_ns + bft->timing.batch_ns;
    }
    return UINT64_MAX;
}

/* Takes requests for a batch out of the pool. */
static bool take_requests(struct bft *bft, struct slot *slot, uint32_t count_max)
{
    uint32_t room = bft->pool.waiting < count_max ? bft->pool.waiting : count_max;
    slot->requests = wm_alloc_zero(room, sizeof *slot->requests);
    slot->hashes = wm_alloc_zero(room, LEDGER_HASH_BYTES);
    if (!slot->requests || !slot->hashes) {
        return false;
    }
    while (slot->request_count < room) {
        struct pool_request *request =
            pool_take(&bft->pool, bft->tip.next_index + slot->request_count);
        if (!request) {
            break;
        }
        pool_hold(&bft->pool, request);
        memcpy(slot->hashes + (size_t)slot->request_count * LEDGER_HASH_BYTES, request->hash,
               LEDGER_HASH_BYTES);
        slot->requests[slot->request_count++] = request;
    }
    return true;
}

/* Requests that the application left out, from `taken` on, wait again. */
static void give_back(struct bft *bft, struct slot *slot, uint32_t taken)
{
    while (slot->request_count > taken) {
        pool_release(&bft->pool, slot->requests[--slot->request_count]);
    }
}

/* A request that makes a batch invalid is found by halves; it is dropped. */
static int run_without_bad(struct bft *bft, struct slot *slot, const struct next_batch *next,
                           struct bft_executed *executed)
{
    int rc = run_batch(bft, slot, next, bft->view, bft->tip.next_index, executed);
    if (rc != WM_E_INVALID) {
        return rc;
    }
    for (uint32_t i = 0; i < slot->request_count;) {
        struct slot one = {.request_count = 1, .requests = &slot->requests[i]};
        struct pool_request *bad = slot->requests[i];
        /* Where some before it were dropped, it would get an index that may be too small. */
        bool is_early = bad->minimum_index > bft->tip.next_index + i;
        rc = is_early ? 0 : run_batch(bft, &one, next, bft->view, bft->tip.next_index, executed);
        if (rc == 0 && !is_early) {
            bft->app.undo_to(bft->app.self, bft->tip.seqno);
            i++;
            continue;
        }
        if (rc != 0 && rc != WM_E_INVALID) {
            return rc;
        }
        memmove(&slot->requests[i], &slot->requests[i + 1],
                (slot->request_count - i - 1) * sizeof *slot->requests);
        memmove(slot->hashes + (size_t)i * LEDGER_HASH_BYTES,
                slot->hashes + (size_t)(i + 1) * LEDGER_HASH_BYTES,
                (size_t)(slot->request_count - i - 1) * LEDGER_HASH_BYTES);
        slot->request_count--;
        if (is_early) {
            pool_release(&bft->pool, bad);
        } else if (--bad->batches == 0) {
            pool_drop(&bft->pool, bad);
        }
    }
    return run_batch(bft, slot, next, bft->view, bft->tip.next_index, executed);
}

static void fill_claims(struct bft *bft, const struct slot *slot, const struct next_batch *next,
                        const struct bft_executed *executed, const struct evidence *evidence,
                        const struct merkle *ledger, struct preprepare_claims *claims)
{
    ledger_nonce nonce;
    *claims = (struct preprepare_claims){.cfg = next->cfg,
                                         .view = bft->view,
                                         .seqno = next->seqno,
                                         .kind = next->kind,
                                         .phase = next->phase,
                                         .first_index = bft->tip.next_index,
                                         .count = slot->request_count,
                                         .ledger_size = ledger->count,
                                         .evidence = evidence ? evidence->bitmap : 0,
                                         .governance = bft->tip.governance,
                                         .has_committed_root = next->kind == BATCH_END};
    memcpy(claims->service, bft->service, sizeof claims->service);
    memcpy(claims->state_root, executed->state_root, sizeof claims->state_root);
    memcpy(claims->committed_root, bft->tip.committed_root, sizeof claims->committed_root);
    if (!claims->has_committed_root) {
        memset(claims->committed_root, 0, sizeof claims->committed_root);
    }
    merkle_root(ledger, claims->ledger_root);
    own_nonce(bft, next->cfg, bft->view, next->seqno, nonce);
    wm_sha256_once(wm_view_of(nonce, sizeof nonce), claims->commitment);
    checkpoint_for(bft, &bft->tip, next, &claims->checkpoint_seqno, claims->checkpoint_root);
}

static void sign_preprepare(struct bft *bft, struct slot *slot)
{
    uint8_t claims[PREPREPARE_CLAIMS_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(claims, sizeof claims);
    struct statement_parts parts;
    preprepare_claims_put(&writer, &slot->claims);
    WM_ASSERT(cbor_fits(&writer));
    agreement_sign(bft->key, true, wm_view_of(claims, writer.len), slot->root, slot->header_bytes,
                   &parts);
    slot->header = parts.header;
    slot->has_signature = true;
    memcpy(slot->signature, parts.signature, sizeof slot->signature);
    agreement_name(slot->header, slot->root, slot->name);
}

static void say_preprepare(struct bft *bft, const struct slot *slot, uint32_t to)
{
    struct peer_message message = {.kind = PEER_PREPREPARE};
    message.preprepare.statement.header = slot->header;
    memcpy(message.preprepare.statement.payload, slot->root, sizeof slot->root);
    memcpy(message.preprepare.statement.signature, slot->signature, sizeof slot->signature);
    message.preprepare.evidence = blob_view(&slot->evidence);
    message.preprepare.count = slot->request_count;
    message.preprepare.requests =
        wm_view_of(slot->hashes, (size_t)slot->request_count * LEDGER_HASH_BYTES);
    say(bft, to, &message, true);
}

static void say_prepare(struct bft *bft, const struct slot *slot, uint32_t position, uint32_t to)
{
    const struct vote *vote = &slot->votes[position];
    uint8_t header[COSE_PROTECTED_BYTES_MAX];
    struct peer_message message = {.kind = PEER_PREPARE};
    agreement_prepare_header(bft->service, &slot->claims, slot->name, position,
                             bft->key->public_key, vote->commitment, header,
                             &message.prepare.statement.header);
    memcpy(message.prepare.statement.payload, slot->root, sizeof slot->root);
    memcpy(message.prepare.statement.signature, vote->signature, sizeof vote->signature);
    say(bft, to, &message, true);
}

static void say_commit(struct bft *bft, const struct slot *slot, uint32_t position, uint32_t to)
{
    struct peer_message message = {.kind = PEER_COMMIT};
    message.commit = (struct peer_commit){.cfg = slot->claims.cfg,
                                          .view = slot->claims.view,
                                          .seqno = slot->seqno,
                                          .replica = position};
    own_nonce(bft, slot->claims.cfg, slot->claims.view, slot->seqno, message.commit.nonce);
    say(bft, to, &message, true);
}

void say_slot_again(struct bft *bft, const struct slot *slot, uint32_t to)
{
    const struct configuration *configuration = configuration_of(bft, slot->claims.cfg);
    uint32_t position = position_in(configuration, bft->replica);
    if (!slot->executed || !slot->signed_ || position == NOWHERE) {
        return;
    }
    if (position == primary_of(bft, slot)) {
        if (!slot->committed) { /* whoever lacks a committed one takes it from the ledger */
            say_preprepare(bft, slot, to);
        }
    } else {
        say_prepare(bft, slot, position, to);
    }
    if (slot->revealed) {
        say_commit(bft, slot, position, to);
    }
}

static bool propose(struct bft *bft)
{
    struct next_batch next;
    struct evidence evidence;
    struct bft_executed executed = {0};
    bool missing;
    if (!may_propose(bft, &next)) {
        return false;
    }
    struct slot *slot = slot_at(bft, next.seqno);
    struct slot *about = evidenced_slot(bft, &next, bft->view, &missing);
    const struct configuration *configuration = configuration_of(bft, next.cfg);
    if (!slot || (about && !make_evidence(bft, about, &evidence))) {
        return false;
    }
    slot_drop_batch(bft, slot);
    struct bft_head after = bft->tip;
    slot->claims.view = bft->view;
    bool ok = take_view_entries(bft, slot, &after.ledger);
    if (ok && about) {
        uint8_t entry[EVIDENCE_BYTES_MAX];
        struct cbor_writer writer = cbor_writer_of(entry, sizeof entry);
        evidence_put(&writer, &evidence);
        WM_ASSERT(cbor_fits(&writer));
        ok = blob_set(&slot->evidence, wm_view_of(entry, writer.len)) &&
             tree_add(&after.ledger, wm_view_of(entry, writer.len));
    }
    uint32_t count_max = next.kind == BATCH_NORMAL ? configuration->parameters.batch_max : 0;
    ok = ok && take_requests(bft, slot, count_max);
    if (ok && slot->request_count == 0 && !needs_empty(bft, &next)) {
        ok = false; /* those that wait may not have this index yet */
        bft->pool.waits_since_ns = bft->now_ns;
    }
    if (ok && run_without_bad(bft, slot, &next, &executed) == 0) {
        give_back(bft, slot, executed.taken);
    } else {
        ok = false;
    }
    if (!ok) {
        slot_drop_batch(bft, slot);
        return false;
    }
    fill_claims(bft, slot, &next, &executed, about ? &evidence : NULL, &after.ledger,
                &slot->claims);
    memcpy(slot->root, executed.root, sizeof slot->root);
    sign_preprepare(bft, slot);
    head_add(bft, &after, &slot->claims, &next, slot->name, slot->header, slot->root, &executed);
    bft->view_entries_wait = false;
    slot->after = after;
    slot->has_preprepare = slot->executed = slot->signed_ = true;
    note_signed(bft, slot->claims.view, slot->seqno);
    bft->tip = after;
    bft->proposed_ns = bft->pool.waits_since_ns = bft->now_ns;
    record_batch(bft, slot);
    say_preprepare(bft, slot, NOWHERE);
    return true;
}

void propose_if_due(struct bft *bft)
{
    while (propose_deadline_ns(bft) <= bft->now_ns && propose(bft)) {
        advance(bft);
    }
}

/* --- Receiving --- */

/* The position of who sent this, in the configuration that his statement names; NOWHERE. */
static uint32_t sender_in(const struct bft *bft, uint64_t cfg, uint32_t from)
{
    /* Numbers from outside may not reach far: configurations are asked for one by one. */
    return cfg <= bft->tip.cfg + 1 ? position_in(configuration_of(bft, cfg), from) : NOWHERE;
}

static void alarm_pair(struct bft *bft, enum blame_kind kind, const struct statement_parts *a,
                       const struct statement_parts *b)
{
    uint8_t bytes[2 * (COSE_PROTECTED_BYTES_MAX + 128)];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    const struct statement_parts *both[2] = {a, b};
    for (uint32_t i = 0; i < 2; i++) {
        cbor_put_array(&writer, 3);
        cbor_put_bytes(&writer, both[i]->header);
        cbor_put_bytes(&writer, wm_view_of(both[i]->payload, sizeof both[i]->payload));
        cbor_put_bytes(&writer, wm_view_of(both[i]->signature, sizeof both[i]->signature));
    }
    WM_ASSERT(cbor_fits(&writer));
    emit(bft, &(struct bft_effect){
                  .kind = BFT_ALARM, .blame = kind, .bytes = wm_view_of(bytes, writer.len)});
}

static bool equals(const ledger_hash a, const ledger_hash b)
{
    return memcmp(a, b, sizeof(ledger_hash)) == 0;
}

/* Keeps the batch that a pre-prepare describes in its slot. */
static bool take_preprepare(struct bft *bft, struct slot *slot,
                            const struct peer_preprepare *message,
                            const struct preprepare_claims *claims, const ledger_hash name)
{
    const struct statement_parts *statement = &message->statement;
    slot_drop_batch(bft, slot);
    slot->requests = wm_alloc_zero(message->count, sizeof *slot->requests);
    slot->hashes = wm_alloc(message->requests.len);
    if (!slot->requests || !slot->hashes || !blob_set(&slot->evidence, message->evidence)) {
        slot_drop_batch(bft, slot);
        return false;
    }
    if (message->requests.len > 0) {
        memcpy(slot->hashes, message->requests.ptr, message->requests.len);
    }
    slot->request_count = message->count;
    memcpy(slot->header_bytes, statement->header.ptr, statement->header.len);
    slot->header = wm_view_of(slot->header_bytes, statement->header.len);
    memcpy(slot->root, statement->payload, sizeof slot->root);
    memcpy(slot->signature, statement->signature, sizeof slot->signature);
    memcpy(slot->name, name, sizeof slot->name);
    slot->claims = *claims;
    slot->has_preprepare = slot->has_signature = true;
    return true;
}

void on_preprepare(struct bft *bft, uint32_t from, const struct peer_preprepare *message)
{
    struct cose_statement statement;
    struct preprepare_claims claims;
    ledger_hash name;
    const struct statement_parts *parts = &message->statement;
    if (!cose_header(parts->header, &statement) ||
        preprepare_claims_get(statement.claims, &claims, NULL) != 0) {
        return;
    }
    uint32_t position = sender_in(bft, claims.cfg, from);
    if (position == NOWHERE) {
        return;
    }
    if (claims.view > bft->view || (claims.view == bft->view && !bft->in_view)) {
        struct peer_message whole = {.kind = PEER_PREPREPARE, .preprepare = *message};
        struct cbor_writer counter = cbor_writer_of(NULL, 0);
        peer_message_put(&counter, &whole);
        uint8_t *bytes = wm_alloc(counter.len);
        if (bytes) {
            struct cbor_writer writer = cbor_writer_of(bytes, counter.len);
            peer_message_put(&writer, &whole);
            keep_early(bft, from, wm_view_of(bytes, writer.len));
            wm_free(bytes);
        }
        return;
    }
    struct slot *slot = slot_at(bft, claims.seqno);
    if (!slot || claims.view < bft->view) {
        return;
    }
    const struct configuration *configuration = configuration_of(bft, claims.cfg);
    if (agreement_preprepare(bft->service, configuration, parts->header, parts->payload,
                             parts->signature, &claims, name, NULL) != 0) {
        bft->suspicions |= UINT64_C(1) << position;
        return;
    }
    if (slot->has_preprepare && slot->claims.view == claims.view &&
        slot->claims.cfg == claims.cfg) {
        if (!equals(slot->name, name) && slot->has_signature) {
            struct statement_parts ours = {.header = slot->header};
            memcpy(ours.payload, slot->root, sizeof ours.payload);
            memcpy(ours.signature, slot->signature, sizeof ours.signature);
            bft->suspicions |= UINT64_C(1) << position;
            alarm_pair(bft, BLAME_EQUIVOCATION, &ours, parts);
        }
        if (!BFT_GUARD_IS_OFF(SIGN_ONCE) || slot->committed) {
            return;
        }
        if (slot->executed) {
            undo_above(bft, slot->seqno - 1);
        }
    }
    if (slot->executed) {
        return; /* carried into this view */
    }
    if (!take_preprepare(bft, slot, message, &claims, name)) {
        return;
    }
    fetch_missing_requests(bft, slot, from);
    advance(bft);
}

void on_prepare(struct bft *bft, uint32_t from, const struct peer_prepare *message)
{
    struct cose_statement statement;
    struct prepare_claims claims;
    if (!cose_header(message->statement.header, &statement) ||
        prepare_claims_get(statement.claims, &claims, NULL) != 0 ||
        !equals(claims.service, bft->service)) {
        return;
    }
    uint32_t position = sender_in(bft, claims.cfg, from);
    struct slot *slot = slot_at(bft, claims.seqno);
    if (position == NOWHERE || position != claims.replica || !slot) {
        return;
    }
    struct vote *vote = &slot->votes[position];
    if (vote->has_prepare && vote->view > claims.view) {
        return; /* it has said something newer */
    }
    if (vote->has_prepare && vote->view == claims.view) {
        if (equals(vote->preprepare, claims.preprepare)) {
            return;
        }
        if (vote->verified || (slot->executed && is_for(vote, slot))) {
            /* A second one: it may be proof against him; it counts for nothing. */
            bft->suspicions |= UINT64_C(1) << position;
            return;
        }
    }
    vote->has_prepare = true;
    vote->verified = false;
    vote->view = claims.view;
    memcpy(vote->preprepare, claims.preprepare, sizeof vote->preprepare);
    memcpy(vote->commitment, claims.commitment, sizeof vote->commitment);
    memcpy(vote->signature, message->statement.signature, sizeof vote->signature);
    advance(bft);
}

void on_commit(struct bft *bft, uint32_t from, const struct peer_commit *message)
{
    uint32_t position = sender_in(bft, message->cfg, from);
    struct slot *slot = slot_at(bft, message->seqno);
    if (position == NOWHERE || position != message->replica || !slot) {
        return;
    }
    struct vote *vote = &slot->votes[position];
    if (vote->has_nonce && vote->nonce_view > message->view) {
        return;
    }
    vote->has_nonce = true;
    vote->nonce_view = message->view;
    memcpy(vote->nonce, message->nonce, sizeof vote->nonce);
    advance(bft);
}

/* --- Going on --- */

void sign_slot(struct bft *bft, struct slot *slot)
{
    const struct configuration *configuration = configuration_of(bft, slot->claims.cfg);
    uint32_t position = position_in(configuration, bft->replica);
    if (position == NOWHERE) {
        return; /* a learner */
    }
    slot->signed_ = true;
    note_signed(bft, slot->claims.view, slot->seqno);
    if (position == primary_of(bft, slot)) {
        return; /* its signature is the pre-prepare's */
    }
    struct vote *vote = &slot->votes[position];
    uint8_t bytes[COSE_PROTECTED_BYTES_MAX];
    struct wm_view header;
    struct statement_signed covered;
    ledger_nonce nonce;
    own_nonce(bft, slot->claims.cfg, slot->claims.view, slot->seqno, nonce);
    wm_sha256_once(wm_view_of(nonce, sizeof nonce), vote->commitment);
    agreement_prepare_header(bft->service, &slot->claims, slot->name, position,
                             bft->key->public_key, vote->commitment, bytes, &header);
    statement_signed_bytes(header, slot->root, &covered);
    sign_bytes(bft->key, wm_view_of(covered.bytes, covered.len), vote->signature);
    vote->has_prepare = vote->verified = true;
    vote->view = slot->claims.view;
    memcpy(vote->preprepare, slot->name, sizeof vote->preprepare);
}

static bool requests_here(struct bft *bft, struct slot *slot)
{
    bool all = true;
    for (uint32_t i = 0; i < slot->request_count; i++) {
        if (!slot->requests[i]) {
            struct pool_request *request =
                pool_find(&bft->pool, slot->hashes + (size_t)i * LEDGER_HASH_BYTES);
            if (request) {
                pool_hold(&bft->pool, request);
                slot->requests[i] = request;
            } else {
                all = false;
            }
        }
    }
    return all;
}

/* The batch that follows the tip, when it is here whole. */
static bool accept_next(struct bft *bft)
{
    struct next_batch next;
    struct wm_diag diag = WM_DIAG_INIT;
    if (bft->mode != BFT_NORMAL && bft->mode != BFT_LEARNER) {
        return false;
    }
    next_after(bft, &bft->tip, &next);
    struct slot *slot = slot_have(bft, next.seqno);
    if (!slot || !slot->has_preprepare || slot->executed || slot->claims.view != bft->view ||
        !requests_here(bft, slot)) {
        return false;
    }
    int rc = execute_slot(bft, slot, &next, &diag);
    if (rc == WM_E_NOT_FOUND || rc == -ENOMEM) {
        return false; /* later, or after catching up */
    }
    if (rc != 0) {
        /* The primary proposes what no correct one would. */
        bft->suspicions |= UINT64_C(1) << primary_of(bft, slot);
        slot_drop_batch(bft, slot);
        leave_view(bft, bft->view + 1);
        return false;
    }
    uint32_t position = position_in(configuration_of(bft, slot->claims.cfg), bft->replica);
    if (position != NOWHERE && bft->mode == BFT_NORMAL &&
        may_sign(bft, slot->claims.view, slot->seqno)) {
        sign_slot(bft, slot);
        record_batch(bft, slot);
        say_prepare(bft, slot, position, NOWHERE);
    } else {
        record_batch(bft, slot);
    }
    bft->proposed_ns = bft->now_ns;
    return true;
}

static bool is_prepared_below(const struct bft *bft, const struct slot *slot)
{
    if (slot->seqno - 1 <= bft->base.seqno) {
        return true;
    }
    const struct slot *below = slot_have(bft, slot->seqno - 1);
    return below && below->prepared;
}

static bool try_prepare(struct bft *bft, struct slot *slot)
{
    if (!slot->executed || slot->prepared || bft->mode == BFT_SILENT ||
        !BFT_GUARD(REVEAL_IN_VIEW, bft->in_view && slot->claims.view == bft->view) ||
        !BFT_GUARD(REVEAL_PREPARED, is_prepared_below(bft, slot) && has_certificate(bft, slot))) {
        return false;
    }
    slot->prepared = true;
    if (has_certificate(bft, slot)) { /* always, but for a mutant */
        keep_top(bft, slot);
    }
    uint32_t position = position_in(configuration_of(bft, slot->claims.cfg), bft->replica);
    if (!slot->signed_ || position == NOWHERE) {
        return true; /* a learner, or it came to us prepared */
    }
    record_prepared(bft);
    struct vote *vote = &slot->votes[position];
    vote->has_nonce = true;
    vote->nonce_view = slot->claims.view;
    own_nonce(bft, slot->claims.cfg, slot->claims.view, slot->seqno, vote->nonce);
    slot->revealed = true;
    slot->revealed_record = bft->records_given;
    say_commit(bft, slot, position, NOWHERE);
    emit(bft, &(struct bft_effect){.kind = BFT_REPLY,
                                   .after_sync = true,
                                   .view = slot->claims.view,
                                   .seqno = slot->seqno});
    return true;
}

void commit_slot(struct bft *bft, struct slot *slot)
{
    uint8_t entry[PREPREPARE_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(entry, sizeof entry);
    struct preprepare_entry preprepare = {.header = slot->header};
    WM_ASSERT(slot->executed && !slot->committed && slot->seqno == bft->base.seqno + 1);
    memcpy(preprepare.root, slot->root, sizeof preprepare.root);
    preprepare_entry_put(&writer, &preprepare);
    WM_ASSERT(cbor_fits(&writer));
    struct bft_entries entries = {
        .seqno = slot->seqno,
        .cfg = slot->claims.cfg,
        .view = slot->claims.view,
        .view_changes = blob_view(&slot->view_changes),
        .new_view = blob_view(&slot->new_view),
        .evidence = blob_view(&slot->evidence),
        .preprepare = wm_view_of(entry, writer.len),
        .transactions = bft->app.transactions(bft->app.self, slot->seqno),
    };
    bft->app.commit(bft->app.self, &entries);
    slot->committed = slot->prepared = true;
    bft->base = slot->after;
    if (bft->top_facts.is_there && bft->base.seqno >= bft->top_facts.claims.seqno) {
        blob_free(&bft->top_entries); /* nobody continues less than what is committed */
    }
    bft->progress_ns = bft->now_ns;
    for (uint32_t i = 0; i < slot->request_count; i++) {
        pool_done(&bft->pool, slot->requests[i]);
        slot->requests[i] = NULL;
    }
    wm_free(slot->requests);
    slot->requests = NULL;
    emit(bft, &(struct bft_effect){
                  .kind = BFT_COMMITTED, .view = slot->claims.view, .seqno = slot->seqno});
}

/* A quorum that opened for a batch commits it and all below it: who signed it vouched for the
 * ledger that it stands on. */
static bool try_commit(struct bft *bft, struct slot *slot)
{
    if (!slot->executed || slot->committed || !slot->prepared || slot->carried ||
        open_quorum(bft, slot, true) == 0) {
        return false;
    }
    for (uint64_t s = bft->base.seqno + 1; s <= slot->seqno; s++) {
        commit_slot(bft, slot_have(bft, s));
    }
    return true;
}

void advance(struct bft *bft)
{
    bool again = true;
    while (again && !bft->halted) {
        refresh_mode(bft);
        again = accept_next(bft);
        for (uint64_t s = bft->base.seqno + 1; s <= bft->tip.seqno && !bft->halted; s++) {
            struct slot *slot = slot_have(bft, s);
            again |= try_prepare(bft, slot);
            again |= try_commit(bft, slot);
        }
    }
}
