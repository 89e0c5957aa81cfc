/* What is missing here, and what others miss.
 *
 * Messages may be lost, so each replica says from time to time where it stands, and who hears that
 * another has not got further says again what that one may lack. A request that a pre-prepare names
 * is asked for by its hash. A ledger that is missing is asked for in batches: committed ones come
 * with the quorum that committed the last of them, and one that a view change continues is named by
 * its last batch; either way the entries are compared with what was signed before any of them is
 * executed. So it does not matter who answers. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "bft/internal.h"
#include "crypto/hash.h"

struct peer_state *peer_of(struct bft *bft, uint32_t replica)
{
    for (uint32_t i = 0; i < bft->peer_count; i++) {
        if (bft->peers[i].replica == replica) {
            return &bft->peers[i];
        }
    }
    if (bft->peer_count == LEDGER_REPLICAS_MAX * 2 || !is_known(bft, replica)) {
        return NULL;
    }
    struct peer_state *peer = &bft->peers[bft->peer_count++];
    memset(peer, 0, sizeof *peer);
    peer->replica = replica;
    return peer;
}

/* --- Messages before their time --- */

void keep_early(struct bft *bft, uint32_t from, struct wm_view bytes)
{
    struct peer_state *peer = peer_of(bft, from);
    if (!peer || peer->early_bytes + bytes.len > bft->limits.early_bytes) {
        return;
    }
    struct early *early = wm_alloc_zero(1, sizeof *early);
    if (!early || !blob_set(&early->bytes, bytes)) {
        wm_free(early);
        return;
    }
    early->from = from;
    peer->early_bytes += bytes.len;
    *(bft->early_last ? &bft->early_last->next : &bft->early_first) = early;
    bft->early_last = early;
}

void release_early(struct bft *bft)
{
    struct early *early = bft->early_first;
    bft->early_first = bft->early_last = NULL;
    for (struct early *next; early; early = next) {
        struct peer_state *peer = peer_of(bft, early->from);
        next = early->next;
        if (peer) {
            peer->early_bytes -= early->bytes.len;
        }
        handle_message(bft, early->from, blob_view(&early->bytes));
        blob_free(&early->bytes);
        wm_free(early);
    }
}

/* --- Where one stands --- */

/* Up to which batch the shares of a quorum are here, of those whose evidence will be wanted. */
static uint64_t evidenced(struct bft *bft)
{
    uint64_t first = bft->base.seqno > 2 * LEDGER_PIPELINE_MAX
                         ? bft->base.seqno - 2 * LEDGER_PIPELINE_MAX + 1
                         : 1;
    struct quorum quorum;
    for (uint64_t s = first; s <= bft->base.seqno; s++) {
        struct slot *slot = slot_have(bft, s);
        if (slot && slot->executed && slot->claims.view == bft->view &&
            !make_quorum(bft, slot, &quorum)) {
            return s - 1;
        }
    }
    return bft->base.seqno;
}

void say_status(struct bft *bft, uint32_t to)
{
    struct peer_message message = {.kind = PEER_STATUS};
    message.status = (struct peer_status){
        .cfg = bft->base.cfg,
        .view = bft->view,
        .in_view = bft->in_view,
        .prepared_seqno = bft->top_facts.is_there ? bft->top_facts.claims.seqno : 0,
        .committed_seqno = bft->base.seqno,
        .evidenced_seqno = evidenced(bft),
        .checkpoint_seqno = bft->checkpoint_seqno,
    };
    say(bft, to, &message, false);
}

static void ask_entries(struct bft *bft, uint32_t to, const ledger_hash name)
{
    struct peer_message message = {.kind = PEER_FETCH_ENTRIES};
    message.fetch_entries.from_seqno = bft->base.seqno + 1;
    memcpy(message.fetch_entries.name, name, sizeof bft->fetch_name);
    memcpy(bft->fetch_name, name, sizeof bft->fetch_name);
    bft->fetch_deadline_ns = bft->now_ns + bft->timing.fetch_ns;
    say(bft, to, &message, false);
}

void fetch_prefix(struct bft *bft, uint32_t from, const ledger_hash name)
{
    if (bft->now_ns < bft->fetch_deadline_ns &&
        memcmp(name, bft->fetch_name, sizeof bft->fetch_name) == 0) {
        return;
    }
    ask_entries(bft, from, name);
}

/* Asks somebody who has committed more, when nothing comes by itself. */
static void fetch_if_behind(struct bft *bft)
{
    static const ledger_hash none;
    const struct peer_state *best = NULL;
    if (bft->now_ns < bft->fetch_deadline_ns) {
        return;
    }
    for (uint32_t i = 0; i < bft->peer_count; i++) {
        /* In turn, so that one that answers nothing of use does not keep us from the others. */
        const struct peer_state *peer = &bft->peers[(bft->fetch_turn + i) % bft->peer_count];
        if (peer->has_status && peer->status.committed_seqno > bft->base.seqno) {
            bool far = peer->status.committed_seqno > bft->tip.seqno + LEDGER_PIPELINE_MAX;
            bool stuck = bft->progress_ns + bft->timing.fetch_ns <= bft->now_ns;
            if (far || stuck || bft->mode == BFT_LEARNER || bft->mode == BFT_SILENT) {
                best = peer;
                bft->fetch_turn = (bft->fetch_turn + i + 1) % bft->peer_count;
                break;
            }
        }
    }
    if (best) {
        ask_entries(bft, best->replica, none);
    }
}

static void help(struct bft *bft, const struct peer_state *peer)
{
    const struct peer_status *theirs = &peer->status;
    bool theirs_older = theirs->view < bft->view || (theirs->view == bft->view && !theirs->in_view);
    if (theirs_older) {
        say_view_again(bft, peer->replica);
    }
    if (!bft->in_view || theirs->view != bft->view) {
        return;
    }
    uint64_t first = theirs->evidenced_seqno < theirs->committed_seqno ? theirs->evidenced_seqno
                                                                       : theirs->committed_seqno;
    for (uint64_t s = first + 1; s <= bft->tip.seqno && s <= first + WINDOW; s++) {
        const struct slot *slot = slot_have(bft, s);
        if (slot) {
            say_slot_again(bft, slot, peer->replica);
        }
    }
}

void on_status(struct bft *bft, uint32_t from, const struct peer_status *status)
{
    struct peer_state *peer = peer_of(bft, from);
    if (!peer) {
        return;
    }
    const struct peer_status *last = &peer->status;
    bool stands = peer->has_status && last->view == status->view &&
                  last->in_view == status->in_view &&
                  last->committed_seqno == status->committed_seqno &&
                  last->evidenced_seqno == status->evidenced_seqno;
    bool first = !peer->has_status;
    peer->status = *status;
    peer->has_status = true;
    bool lacks = status->view < bft->view || !status->in_view ||
                 status->committed_seqno < bft->tip.seqno ||
                 status->evidenced_seqno < status->committed_seqno;
    if (lacks && (first || stands) &&
        peer->answered_ns + bft->timing.status_ns / 2 <= bft->now_ns && bft->mode != BFT_SILENT) {
        peer->answered_ns = bft->now_ns;
        help(bft, peer);
    }
    fetch_if_behind(bft);
}

void sync_tick(struct bft *bft)
{
    if (bft->now_ns >= bft->status_deadline_ns) {
        bft->status_deadline_ns = bft->now_ns + bft->timing.status_ns;
        if (bft->mode == BFT_SILENT) {
            ask_newest(bft);
        }
        say_status(bft, NOWHERE);
        for (uint64_t s = bft->tip.seqno + 1; s <= bft->base.seqno + WINDOW_AHEAD; s++) {
            struct slot *slot = slot_have(bft, s);
            if (slot && slot->has_preprepare && !slot->executed) {
                fetch_missing_requests(bft, slot, NOWHERE);
            }
        }
    }
    fetch_if_behind(bft);
    bool waits = bft->pending_new_view.len > 0 || bft->mode == BFT_VIEW_CHANGE;
    if (waits && bft->now_ns >= bft->fetch_deadline_ns) {
        try_pending_view(bft);
    }
}

uint64_t sync_deadline(const struct bft *bft)
{
    return bft->restoring ? UINT64_MAX : bft->status_deadline_ns;
}

/* --- Requests --- */

void fetch_missing_requests(struct bft *bft, struct slot *slot, uint32_t from)
{
    uint8_t *hashes = wm_alloc(slot->request_count * (size_t)LEDGER_HASH_BYTES);
    uint32_t count = 0;
    if (!hashes) {
        return;
    }
    for (uint32_t i = 0; i < slot->request_count; i++) {
        const uint8_t *hash = slot->hashes + (size_t)i * LEDGER_HASH_BYTES;
        if (!slot->requests[i] && !pool_find(&bft->pool, hash)) {
            memcpy(hashes + (size_t)count++ * LEDGER_HASH_BYTES, hash, LEDGER_HASH_BYTES);
        }
    }
    if (count > 0) {
        struct peer_message message = {.kind = PEER_FETCH_REQUESTS};
        message.fetch_requests.count = count;
        message.fetch_requests.requests = wm_view_of(hashes, (size_t)count * LEDGER_HASH_BYTES);
        say(bft, from, &message, false);
    }
    wm_free(hashes);
}

void on_fetch_requests(struct bft *bft, uint32_t from, const struct peer_fetch_requests *message)
{
    for (uint32_t i = 0; i < message->count; i++) {
        const struct pool_request *request =
            pool_find(&bft->pool, message->requests.ptr + (size_t)i * LEDGER_HASH_BYTES);
        if (request) {
            struct peer_message answer = {.kind = PEER_REQUEST};
            answer.request.request = request->request;
            answer.request.arguments = request->arguments;
            say(bft, from, &answer, false);
        }
    }
}

/* --- Giving entries --- */

struct gathered {
    struct cbor_writer writer; /* entries as byte strings */
    uint8_t *bytes;
    size_t room;
    uint64_t count;
    bool failed;
    uint64_t cfg, seqno;  /* of the last batch */
    struct quorum quorum; /* of batch quorum_seqno, found on the way */
    uint8_t header[COSE_PROTECTED_BYTES_MAX];
    size_t quorum_end; /* bytes up to and with that batch */
    uint64_t quorum_count;
};

static void gather_one(struct gathered *all, struct wm_view entry)
{
    if (entry.len == 0 || all->failed) {
        return;
    }
    size_t needed = all->writer.len + CBOR_HEAD_BYTES_MAX + entry.len;
    if (needed > PEER_MESSAGE_BYTES_MAX - 65536) {
        all->failed = true;
        return;
    }
    if (needed > all->room) {
        size_t room = needed * 2;
        uint8_t *grown = wm_realloc(all->bytes, room, 1);
        if (!grown) {
            all->failed = true;
            return;
        }
        all->bytes = grown;
        all->room = room;
        all->writer.out = grown;
        all->writer.room = room;
    }
    cbor_put_bytes(&all->writer, entry);
    all->count++;
}

static void gather(void *self, const struct bft_entries *entries)
{
    struct gathered *all = self;
    gather_one(all, entries->view_changes);
    gather_one(all, entries->new_view);
    gather_one(all, entries->evidence);
    gather_one(all, entries->preprepare);
    gather_one(all, entries->transactions);
    all->cfg = entries->cfg;
    all->seqno = entries->seqno;
}

struct evidence_search {
    uint64_t seqno;
    bool found;
    struct evidence evidence;
};

static void look_for_evidence(void *self, const struct bft_entries *entries)
{
    struct evidence_search *search = self;
    search->found = entries->evidence.len > 0 &&
                    evidence_get(entries->evidence, &search->evidence, NULL) &&
                    search->evidence.seqno == search->seqno;
}

struct preprepare_search {
    struct wm_view header;
    ledger_hash root;
    uint8_t bytes[COSE_PROTECTED_BYTES_MAX];
    bool found;
};

static void look_for_preprepare(void *self, const struct bft_entries *entries)
{
    struct preprepare_search *search = self;
    struct preprepare_entry entry;
    if (preprepare_entry_get(entries->preprepare, &entry, NULL) &&
        entry.header.len <= sizeof search->bytes) {
        memcpy(search->bytes, entry.header.ptr, entry.header.len);
        search->header = wm_view_of(search->bytes, entry.header.len);
        memcpy(search->root, entry.root, sizeof search->root);
        search->found = true;
    }
}

/* The quorum of a committed batch: from the votes here, or from its evidence in the ledger. */
static bool committed_quorum(struct bft *bft, uint64_t seqno, uint64_t cfg, struct quorum *out,
                             uint8_t header[COSE_PROTECTED_BYTES_MAX])
{
    struct slot *slot = slot_have(bft, seqno);
    const struct configuration *configuration = configuration_of(bft, cfg);
    if (slot && slot->committed && make_quorum(bft, slot, out)) {
        memcpy(header, slot->header.ptr, slot->header.len);
        out->header = wm_view_of(header, slot->header.len);
        return true;
    }
    struct evidence_search search = {.seqno = seqno};
    struct preprepare_search preprepare = {0};
    uint64_t at = seqno + (configuration ? configuration->parameters.pipeline : 1);
    if (!configuration || at > bft->base.seqno ||
        !bft->app.read(bft->app.self, at, look_for_evidence, &search) || !search.found ||
        !bft->app.read(bft->app.self, seqno, look_for_preprepare, &preprepare) ||
        !preprepare.found) {
        return false;
    }
    memcpy(header, preprepare.header.ptr, preprepare.header.len);
    *out = (struct quorum){.header = wm_view_of(header, preprepare.header.len), .has_root = true};
    memcpy(out->root, preprepare.root, sizeof out->root);
    memcpy(out->signature, search.evidence.preprepare_signature, sizeof out->signature);
    uint32_t share_at = 0;
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX; i++) {
        if (!(search.evidence.bitmap >> i & 1)) {
            continue;
        }
        const struct evidence_share *share = &search.evidence.shares[share_at++];
        if (share->primary) {
            out->has_primary_nonce = true;
            memcpy(out->primary_nonce, share->nonce, sizeof out->primary_nonce);
        } else {
            struct quorum_share *to = &out->shares[out->count++];
            to->replica = i;
            memcpy(to->signature, share->signature, sizeof to->signature);
            memcpy(to->nonce, share->nonce, sizeof to->nonce);
        }
    }
    return true;
}

static void slot_entries(struct bft *bft, const struct slot *slot, struct gathered *all)
{
    uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct preprepare_entry entry = {.header = slot->header};
    memcpy(entry.root, slot->root, sizeof entry.root);
    preprepare_entry_put(&writer, &entry);
    const struct bft_entries entries = {
        .seqno = slot->seqno,
        .cfg = slot->claims.cfg,
        .view_changes = blob_view(&slot->view_changes),
        .new_view = blob_view(&slot->new_view),
        .evidence = blob_view(&slot->evidence),
        .preprepare = wm_view_of(bytes, writer.len),
        .transactions = bft->app.transactions(bft->app.self, slot->seqno),
    };
    gather(all, &entries);
}

void keep_top_entries(struct bft *bft, uint64_t seqno)
{
    const struct agreement_top *top = &bft->top_facts;
    const struct slot *slot = top->is_there ? slot_have(bft, top->claims.seqno) : NULL;
    if (!slot || slot->seqno <= seqno || slot->seqno <= bft->base.seqno || !slot->executed ||
        memcmp(slot->name, top->name, sizeof slot->name) != 0) {
        return;
    }
    struct gathered *all = wm_alloc_zero(1, sizeof *all);
    for (uint64_t s = bft->base.seqno + 1; all && s <= slot->seqno; s++) {
        slot_entries(bft, slot_have(bft, s), all);
    }
    if (all && !all->failed) {
        blob_free(&bft->top_entries);
        bft->top_entries = (struct blob){all->bytes, all->writer.len};
        bft->top_from = bft->base.seqno + 1;
        bft->top_count = all->count;
    } else if (all) { /* as if the machine that had it were lost */
        wm_free(all->bytes);
    }
    wm_free(all);
}

/* The same for somebody else. */
static void gather_top(struct bft *bft, uint64_t seqno, struct gathered *all)
{
    for (uint64_t s = seqno; s < bft->top_from && !all->failed; s++) {
        all->failed = !bft->app.read(bft->app.self, s, gather, all);
    }
    struct cbor_reader reader = cbor_reader_of(blob_view(&bft->top_entries));
    struct wm_view entry;
    while (!all->failed && cbor_peek(&reader) == CBOR_BYTES && cbor_bytes(&reader, &entry)) {
        gather_one(all, entry);
    }
}

/* Committed batches from `seqno` on, up to one whose quorum is here, all of one configuration. */
static void gather_committed(struct bft *bft, uint64_t seqno, struct gathered *all)
{
    uint64_t cfg = 0;
    for (uint64_t s = seqno; s <= bft->base.seqno; s++) {
        size_t before = all->writer.len;
        uint64_t count_before = all->count;
        if (before > PEER_FETCH_BYTES_MAX && all->quorum_count > 0) {
            break;
        }
        if (!bft->app.read(bft->app.self, s, gather, all) || all->failed ||
            (s > seqno && all->cfg != cfg)) {
            all->writer.len = before;
            all->count = count_before;
            break;
        }
        cfg = all->cfg;
        /* The last one's quorum is what counts, so only near the end of what is sent. */
        bool near_end = all->writer.len + 65536 > PEER_FETCH_BYTES_MAX ||
                        s + 3 * LEDGER_PIPELINE_MAX > bft->base.seqno || all->quorum_count == 0;
        if (near_end && committed_quorum(bft, s, cfg, &all->quorum, all->header)) {
            all->quorum_end = all->writer.len;
            all->quorum_count = all->count;
        }
    }
    all->count = all->quorum_count;
    all->writer.len = all->quorum_end;
}

void on_fetch_entries(struct bft *bft, uint32_t from, const struct peer_fetch_entries *message)
{
    static const ledger_hash none;
    struct gathered *all = wm_alloc_zero(1, sizeof *all);
    struct peer_message answer = {.kind = PEER_ENTRIES};
    if (!all || message->from_seqno == 0) {
        wm_free(all);
        return;
    }
    answer.entries.from_seqno = message->from_seqno;
    memcpy(answer.entries.name, message->name, sizeof message->name);
    bool committed = memcmp(message->name, none, sizeof none) == 0;
    if (committed && message->from_seqno <= bft->base.seqno) {
        gather_committed(bft, message->from_seqno, all);
        answer.entries.has_quorum = all->quorum_count > 0;
        answer.entries.quorum = all->quorum;
    } else if (!committed) {
        uint64_t end = 0;
        for (uint64_t s = bft->base.seqno + 1; s <= bft->tip.seqno; s++) {
            if (memcmp(slot_have(bft, s)->name, message->name, sizeof message->name) == 0) {
                end = s;
            }
        }
        if (memcmp(bft->base.name, message->name, sizeof message->name) == 0) {
            end = bft->base.seqno;
        }
        for (uint64_t s = message->from_seqno; s <= end && !all->failed; s++) {
            if (s > bft->base.seqno) {
                slot_entries(bft, slot_have(bft, s), all);
            } else if (!bft->app.read(bft->app.self, s, gather, all)) {
                all->failed = true;
            }
        }
        if (end == 0 && bft->top_entries.len > 0 &&
            memcmp(bft->top_facts.name, message->name, sizeof message->name) == 0) {
            uint64_t first =
                message->from_seqno < bft->top_from ? message->from_seqno : bft->top_from;
            answer.entries.from_seqno = first;
            gather_top(bft, first, all);
        }
        if (all->failed) {
            all->count = 0;
            all->writer.len = 0;
        }
    }
    bool has_it = !committed || message->from_seqno <= bft->base.seqno;
    if (has_it && (all->count > 0 || committed)) {
        answer.entries.count = all->count;
        answer.entries.entries = wm_view_of(all->bytes, all->writer.len);
        say(bft, from, &answer, true); /* our own shares are in it */
    }
    wm_free(all->bytes);
    wm_free(all);
}

/* --- Taking entries --- */

/* One batch of an answer: views into it. */
struct fetched {
    struct wm_view view_changes, new_view, evidence, transactions;
    struct preprepare_entry preprepare;
    struct wm_view preprepare_bytes;
    struct preprepare_claims claims;
    ledger_hash name;
};

static bool next_fetched(struct cbor_reader *reader, uint64_t *left, struct fetched *out)
{
    struct cose_statement statement;
    memset(out, 0, sizeof *out);
    for (;;) {
        struct wm_view entry;
        if (*left == 0 || !cbor_bytes(reader, &entry)) {
            return false;
        }
        --*left;
        switch (entry_kind_of(entry)) {
        case ENTRY_VIEW_CHANGES: out->view_changes = entry; break;
        case ENTRY_NEW_VIEW: out->new_view = entry; break;
        case ENTRY_EVIDENCE: out->evidence = entry; break;
        case ENTRY_PREPREPARE:
            if (out->preprepare_bytes.len > 0 ||
                !preprepare_entry_get(entry, &out->preprepare, NULL) ||
                !cose_header(out->preprepare.header, &statement) ||
                preprepare_claims_get(statement.claims, &out->claims, NULL) != 0) {
                return false;
            }
            out->preprepare_bytes = entry;
            agreement_name(out->preprepare.header, out->preprepare.root, out->name);
            break;
        case ENTRY_TRANSACTIONS:
            out->transactions = entry;
            return out->preprepare_bytes.len > 0 &&
                   (out->view_changes.len > 0) == (out->new_view.len > 0);
        default: return false;
        }
    }
}

/* Do these entries lead from our base to the batch of this name? By hashes alone. */
static bool leads_to(const struct bft *bft, const struct peer_entries *message,
                     const ledger_hash name)
{
    struct cbor_reader reader = cbor_reader_of(message->entries);
    struct merkle ledger = bft->base.ledger;
    struct fetched batch = {0};
    uint64_t left = message->count, seqno = message->from_seqno;
    while (left > 0) {
        ledger_hash root;
        if (!next_fetched(&reader, &left, &batch) || batch.claims.seqno != seqno++) {
            return false;
        }
        if (batch.claims.seqno <= bft->base.seqno) {
            continue;
        }
        bool added = (batch.view_changes.len == 0 || tree_add(&ledger, batch.view_changes)) &&
                     (batch.new_view.len == 0 || tree_add(&ledger, batch.new_view)) &&
                     (batch.evidence.len == 0 || tree_add(&ledger, batch.evidence));
        merkle_root(&ledger, root);
        if (!added || ledger.count != batch.claims.ledger_size ||
            memcmp(root, batch.claims.ledger_root, sizeof root) != 0 ||
            !tree_add(&ledger, batch.preprepare_bytes)) {
            return false;
        }
    }
    return cbor_end(&reader) && seqno > message->from_seqno &&
           memcmp(batch.name, name, sizeof batch.name) == 0;
}

/* Is the quorum one of the configuration that follows our base? */
static bool is_quorum(const struct bft *bft, const struct quorum *quorum,
                      struct preprepare_claims *claims, ledger_hash name)
{
    struct next_batch next;
    next_after(bft, &bft->base, &next);
    uint64_t who;
    return quorum->has_root && agreement_quorum(bft->service, configuration_of(bft, next.cfg),
                                                quorum, NULL, claims, name, &who, NULL) == 0;
}

/* A view that begins in a ledger which we take over: before we sign on top of it, its choice is
 * checked as if it had been sent to us. */
static bool is_right_view(struct bft *bft, const struct fetched *batch,
                          const struct next_batch *next)
{
    if (batch->new_view.len == 0) {
        return batch->claims.view == bft->tip.view;
    }
    struct newview_entry entry;
    struct newview_claims claims;
    struct agreement_top tops[LEDGER_REPLICAS_MAX];
    uint32_t top_count = 0;
    struct agreement_configurations known = configurations_known(bft);
    if (!newview_entry_get(batch->new_view, &entry, NULL) ||
        agreement_newview(bft->service, &known, configuration_of(bft, next->cfg), &entry,
                          batch->view_changes, &claims, tops, &top_count, NULL) != 0 ||
        claims.view != batch->claims.view || claims.base_seqno != bft->tip.seqno) {
        return false;
    }
    struct merkle ledger = bft->tip.ledger;
    ledger_hash root;
    if (!tree_add(&ledger, batch->view_changes)) {
        return false;
    }
    merkle_root(&ledger, root);
    bool chosen = false;
    for (uint32_t i = 0; i < top_count; i++) {
        chosen |= tops[i].is_there ? memcmp(tops[i].name, bft->tip.name, sizeof tops[i].name) == 0
                                   : bft->tip.seqno == 0;
    }
    return chosen && ledger.count == claims.ledger_size &&
           memcmp(root, claims.ledger_root, sizeof root) == 0;
}

static bool take_requests(struct bft *bft, struct slot *slot, struct wm_view transactions)
{
    struct cbor_reader reader = cbor_reader_of(transactions);
    uint64_t seqno;
    uint32_t count;
    if (!transactions_get_head(&reader, &seqno, &count) || seqno != slot->seqno) {
        return false;
    }
    slot->requests = wm_alloc_zero(count, sizeof *slot->requests);
    slot->hashes = wm_alloc_zero(count, LEDGER_HASH_BYTES);
    if (!slot->requests || !slot->hashes) {
        return false;
    }
    slot->request_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct transaction_item item;
        if (!transaction_item_get(&reader, &item) || !item.has_arguments) {
            return false;
        }
        struct bft_request request = {.request = item.request, .arguments = item.arguments};
        struct pool_request *kept =
            pool_add(&bft->pool, bft->service, &request, bft->now_ns, LEDGER_SEQNO_MAX, true);
        if (!kept) {
            return false;
        }
        pool_hold(&bft->pool, kept);
        slot->requests[i] = kept;
        memcpy(slot->hashes + (size_t)i * LEDGER_HASH_BYTES, kept->hash, LEDGER_HASH_BYTES);
    }
    return cbor_end(&reader);
}

/* Executes a fetched batch on our tip. Its entries were compared with what was signed. */
static bool take_batch(struct bft *bft, const struct fetched *batch)
{
    struct next_batch next;
    next_after(bft, &bft->tip, &next);
    struct slot *slot = slot_at(bft, next.seqno);
    if (!slot || !is_right_view(bft, batch, &next) ||
        agreement_preprepare(bft->service, configuration_of(bft, next.cfg),
                             batch->preprepare.header, batch->preprepare.root, NULL,
                             &(struct preprepare_claims){0}, (ledger_hash){0}, NULL) != 0) {
        return false;
    }
    bool same = slot->has_preprepare && memcmp(slot->name, batch->name, sizeof slot->name) == 0;
    bool has_signature = same && slot->has_signature;
    slot_drop_batch(bft, slot);
    slot->has_signature = has_signature;
    memcpy(slot->header_bytes, batch->preprepare.header.ptr, batch->preprepare.header.len);
    slot->header = wm_view_of(slot->header_bytes, batch->preprepare.header.len);
    memcpy(slot->root, batch->preprepare.root, sizeof slot->root);
    memcpy(slot->name, batch->name, sizeof slot->name);
    slot->claims = batch->claims;
    slot->has_preprepare = true;
    bool wait = bft->view_entries_wait;
    bft->view_entries_wait = false; /* the batch has its own */
    bool ok = blob_set(&slot->evidence, batch->evidence) &&
              blob_set(&slot->view_changes, batch->view_changes) &&
              blob_set(&slot->new_view, batch->new_view) &&
              take_requests(bft, slot, batch->transactions) &&
              execute_slot(bft, slot, &next, NULL) == 0;
    if (!ok) {
        bft->view_entries_wait = wait;
        slot_drop_batch(bft, slot);
        return false;
    }
    bft->view_entries_wait = wait && slot->claims.view != bft->new_view_view;
    slot->carried = slot->prepared = true;
    return true;
}

void follow_view(struct bft *bft, const struct slot *slot)
{
    uint64_t view = slot->claims.view;
    if (view < bft->view || (view == bft->view && bft->in_view)) {
        return;
    }
    bft->view = view;
    bft->in_view = true;
    bft->failed_views = 0;
    bft->entered_ns = bft->now_ns;
    bft->view_entries_wait = false;
    if (slot->new_view.len > 0 && blob_set(&bft->view_changes, blob_view(&slot->view_changes)) &&
        blob_set(&bft->new_view, blob_view(&slot->new_view))) {
        bft->new_view_view = view;
        bft->new_view_base = slot->seqno - 1;
    }
    if (bft->mode != BFT_SILENT) {
        bft->mode = BFT_NORMAL;
        refresh_mode(bft);
    }
    emit(bft, &(struct bft_effect){.kind = BFT_VIEW, .view = view});
}

/* Executes what is fetched above what is here already, and commits it if it comes with a quorum.
 * Entries lead to where they should. */
static bool take_entries(struct bft *bft, const struct peer_entries *message, bool commit)
{
    struct cbor_reader reader = cbor_reader_of(message->entries);
    uint64_t left = message->count;
    struct fetched batch;
    while (left > 0 && next_fetched(&reader, &left, &batch)) {
        uint64_t seqno = batch.claims.seqno;
        if (seqno <= bft->base.seqno) {
            continue;
        }
        struct slot *slot = slot_have(bft, seqno);
        bool same =
            slot && slot->executed && memcmp(slot->name, batch.name, sizeof batch.name) == 0;
        if (!same) {
            if (seqno <= bft->tip.seqno) {
                undo_above(bft, seqno - 1);
            }
            if (!take_batch(bft, &batch)) {
                return false;
            }
            slot = slot_have(bft, seqno);
            /* Also where it is committed at once: the ledger is synced by itself, and what we sign
             * next must not stand on what only others have. */
            record_batch(bft, slot);
        }
        if (commit) {
            commit_slot(bft, slot);
            follow_view(bft, slot);
        }
    }
    return true;
}

bool take_top_entries(struct bft *bft, const struct agreement_top *top)
{
    if (bft->top_entries.len == 0 || bft->top_from > bft->base.seqno + 1 ||
        memcmp(top->name, bft->top_facts.name, sizeof top->name) != 0) {
        return false;
    }
    struct blob kept = bft->top_entries;
    bft->top_entries = (struct blob){NULL, 0};
    struct peer_entries *own = wm_alloc_zero(1, sizeof *own);
    bool ok = own != NULL;
    if (ok) {
        own->from_seqno = bft->top_from;
        own->count = bft->top_count;
        own->entries = blob_view(&kept);
        ok = leads_to(bft, own, top->name) && take_entries(bft, own, false);
    }
    wm_free(own);
    if (bft->top_entries.len > 0) { /* it was kept again on the way */
        blob_free(&kept);
    } else {
        bft->top_entries = kept;
    }
    return ok;
}

void on_entries(struct bft *bft, uint32_t from, const struct peer_entries *message)
{
    static const ledger_hash none;
    struct preprepare_claims claims;
    ledger_hash name;
    bool committed = memcmp(message->name, none, sizeof none) == 0;
    if (committed && message->count == 0) {
        struct peer_state *peer = peer_of(bft, from);
        if (peer && peer->has_status && peer->status.checkpoint_seqno > bft->base.seqno &&
            message->from_seqno == bft->base.seqno + 1) {
            emit(bft, &(struct bft_effect){
                          .kind = BFT_BEHIND, .to = from, .seqno = peer->status.checkpoint_seqno});
        }
        return;
    }
    if (message->from_seqno > bft->base.seqno + 1 || message->from_seqno == 0) {
        return;
    }
    if (!committed) {
        /* Late answers would take back what was signed in the view that began since. */
        bool wanted = !bft->in_view && memcmp(message->name, bft->fetch_name, sizeof none) == 0;
        if (wanted && leads_to(bft, message, message->name) && take_entries(bft, message, false)) {
            bft->fetch_deadline_ns = 0;
            try_pending_view(bft);
        }
        return;
    }
    if (BFT_GUARD_IS_OFF(CATCH_UP_CHECKED)) {
        (void)take_entries(bft, message, true);
        return;
    }
    if (!message->has_quorum || !is_quorum(bft, &message->quorum, &claims, name)) {
        return;
    }
    if (claims.seqno <= bft->base.seqno) {
        const struct slot *ours = slot_have(bft, claims.seqno);
        if (ours && ours->committed && memcmp(ours->name, name, sizeof name) != 0) {
            halt(bft, WM_E_FORGED,
                 "batch %llu: a quorum has committed another one than this ledger has: more "
                 "replicas lie than the configuration can bear; keep this disk for the audit",
                 (unsigned long long)claims.seqno);
        }
        return;
    }
    if (!leads_to(bft, message, name) || !take_entries(bft, message, true)) {
        return;
    }
    bft->fetch_deadline_ns = 0; /* only what was of use may be followed by the next at once */
    if (bft->mode == BFT_NORMAL || bft->mode == BFT_LEARNER) {
        release_early(bft);
        advance(bft);
    }
    fetch_if_behind(bft);
    try_pending_view(bft);
}
