/* Views: leaving one, choosing what the next continues, entering it (IA-CCF section 5, by chain
 * continuation: doc/adr/0016-ledger-protocol.md).
 *
 * The largest certificate by (view, seqno) among a quorum of view-changes wins, and its whole
 * ledger is kept as it is. Why that is safe: what committed was prepared at a quorum, every quorum
 * of view-changes has a correct one of those in it, whose top is not smaller; and whatever is
 * larger extends it, by induction over views. The two halves of that are guards here: a replica
 * names its true top, and backups check the choice before they sign in the new view. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "bft/internal.h"
#include "crypto/hash.h"

static const struct configuration *known_configuration(void *self, uint64_t cfg)
{
    const struct bft *bft = self;
    return cfg <= bft->tip.cfg + 1 ? configuration_of(bft, cfg) : NULL;
}

struct agreement_configurations configurations_known(struct bft *bft)
{
    return (struct agreement_configurations){.self = bft, .get = known_configuration};
}

/* --- Our top --- */

void keep_top(struct bft *bft, struct slot *slot)
{
    const struct configuration *configuration = configuration_of(bft, slot->claims.cfg);
    uint32_t primary = agreement_primary(slot->claims.view, configuration->replica_count);
    uint32_t wanted = ledger_quorum(configuration->replica_count) - 1;
    struct certificate certificate = {.is_there = true};
    /* After a restart, batches below the top are found to be prepared once more. */
    const struct preprepare_claims *top = &bft->top_facts.claims;
    bool is_below =
        bft->top_facts.is_there && (top->view > slot->claims.view ||
                                    (top->view == slot->claims.view && top->seqno >= slot->seqno));
    if (is_below || (BFT_GUARD_IS_OFF(TOP_TRUE) && bft->top.len > 0)) {
        return;
    }
    certificate.preprepare.header = slot->header;
    memcpy(certificate.preprepare.payload, slot->root, sizeof slot->root);
    memcpy(certificate.preprepare.signature, slot->signature, sizeof slot->signature);
    for (uint32_t i = 0; i < configuration->replica_count && certificate.count < wanted; i++) {
        const struct vote *vote = &slot->votes[i];
        if (i == primary || !vote->verified || vote->view != slot->claims.view ||
            memcmp(vote->preprepare, slot->name, sizeof slot->name) != 0) {
            continue;
        }
        struct certificate_prepare *prepare = &certificate.prepares[certificate.count++];
        prepare->replica = i;
        memcpy(prepare->commitment, vote->commitment, sizeof prepare->commitment);
        memcpy(prepare->signature, vote->signature, sizeof prepare->signature);
    }
    uint8_t bytes[CERTIFICATE_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    certificate_put(&writer, &certificate);
    WM_ASSERT(cbor_fits(&writer));
    if (!blob_set(&bft->top, wm_view_of(bytes, writer.len))) {
        halt(bft, -ENOMEM, "agreement: no memory is left for what has to be written down");
        return;
    }
    blob_free(&bft->top_entries);
    bft->top_facts = (struct agreement_top){.is_there = true, .claims = slot->claims};
    memcpy(bft->top_facts.name, slot->name, sizeof slot->name);
    memcpy(bft->top_facts.root, slot->root, sizeof slot->root);
}

/* --- Leaving --- */

/* The configuration that signs after our top: who may ask for a view, and to whom we belong. */
static const struct configuration *configuration_after_top(struct bft *bft)
{
    struct next_batch next;
    uint64_t seqno = bft->top_facts.is_there ? bft->top_facts.claims.seqno : bft->base.seqno;
    const struct slot *slot = slot_have(bft, seqno);
    if (seqno < bft->base.seqno || (seqno > bft->base.seqno && !(slot && slot->executed))) {
        seqno = bft->base.seqno; /* the top's batch is not here as executed */
    }
    next_after(bft, head_at(bft, seqno), &next);
    return configuration_of(bft, next.cfg);
}

static uint64_t view_timeout(const struct bft *bft)
{
    uint64_t shift = bft->failed_views < 16 ? bft->failed_views : 16;
    return bft->timing.view_ns << shift;
}

static struct seen_change *change_of(struct bft *bft, uint32_t replica)
{
    struct seen_change *free_one = NULL;
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX * 2; i++) {
        struct seen_change *change = &bft->changes[i];
        if (change->is_there && change->replica == replica) {
            return change;
        }
        if (!change->is_there && !free_one) {
            free_one = change;
        }
    }
    return free_one;
}

static bool change_set(struct seen_change *change, uint32_t replica, uint64_t view,
                       const struct viewchange *from)
{
    if (!blob_set(&change->header, from->header) ||
        !blob_set(&change->certificate, from->certificate)) {
        change->is_there = false;
        return false;
    }
    change->is_there = true;
    change->replica = replica;
    change->view = view;
    memcpy(change->signature, from->signature, sizeof change->signature);
    return true;
}

static struct viewchange change_parts(const struct seen_change *change)
{
    struct viewchange parts = {.header = blob_view(&change->header),
                               .certificate = blob_view(&change->certificate)};
    memcpy(parts.signature, change->signature, sizeof parts.signature);
    return parts;
}

static void say_change(struct bft *bft, const struct seen_change *change, uint32_t to)
{
    struct peer_message message = {.kind = PEER_VIEW_CHANGE, .viewchange = change_parts(change)};
    say(bft, to, &message, true);
}

/* Signs and keeps our own view-change to bft->view. */
static struct seen_change *sign_change(struct bft *bft, uint32_t position, uint64_t cfg)
{
    static const uint8_t none[1] = {0xf6}; /* CBOR null: no certificate */
    struct viewchange_claims claims = {
        .cfg = cfg, .view = bft->view, .replica = position, .has_top = bft->top.len > 0};
    uint8_t encoded[VIEWCHANGE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct wm_view certificate = bft->top.len > 0 ? blob_view(&bft->top) : wm_view_of(none, 1);
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    struct statement_parts parts;
    ledger_hash payload;
    memcpy(claims.service, bft->service, sizeof claims.service);
    if (claims.has_top) {
        claims.top_view = bft->top_facts.claims.view;
        claims.top_seqno = bft->top_facts.claims.seqno;
        memcpy(claims.top, bft->top_facts.name, sizeof claims.top);
    }
    viewchange_claims_put(&writer, &claims);
    WM_ASSERT(cbor_fits(&writer));
    wm_sha256_once(certificate, payload);
    agreement_sign(bft->key, false, wm_view_of(encoded, writer.len), payload, header, &parts);
    struct viewchange own = {.header = parts.header, .certificate = certificate};
    memcpy(own.signature, parts.signature, sizeof own.signature);
    struct seen_change *change = change_of(bft, bft->replica);
    if (!change || !change_set(change, bft->replica, bft->view, &own)) {
        return NULL;
    }
    change->top = bft->top_facts;
    return change;
}

static void try_new_view(struct bft *bft);

void leave_view(struct bft *bft, uint64_t view)
{
    if (bft->mode == BFT_SILENT || bft->halted || view < bft->view ||
        (view == bft->view && !bft->in_view)) {
        return;
    }
    bft->failed_views = bft->in_view ? 0 : bft->failed_views + 1;
    bft->view = view;
    bft->in_view = false;
    bft->view_deadline_ns = bft->now_ns + view_timeout(bft);
    const struct configuration *configuration = configuration_after_top(bft);
    uint32_t position = position_in(configuration, bft->replica);
    if (position == NOWHERE) {
        bft->mode = BFT_LEARNER;
        return;
    }
    if (!bft->heard) {
        fall_silent(bft);
        return;
    }
    bft->mode = BFT_VIEW_CHANGE;
    struct seen_change *own = sign_change(bft, position, configuration->number);
    if (own) {
        struct viewchange parts = change_parts(own);
        record_left_view(bft, &parts);
        say_change(bft, own, NOWHERE);
    }
    emit(bft, &(struct bft_effect){.kind = BFT_VIEW, .view = view});
    try_new_view(bft);
}

/* f+1 others are past our view: one of them is correct, and we follow the lowest that f+1 have
 * reached. */
static void follow_others(struct bft *bft)
{
    const struct configuration *configuration = configuration_now(bft);
    uint64_t views[LEDGER_REPLICAS_MAX];
    uint32_t count = 0, wanted = ledger_faulty(configuration->replica_count) + 1;
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX * 2; i++) {
        const struct seen_change *change = &bft->changes[i];
        if (change->is_there && change->view > bft->view && change->replica != bft->replica &&
            position_in(configuration, change->replica) != NOWHERE) {
            uint32_t at = count++;
            for (; at > 0 && views[at - 1] < change->view; at--) {
                views[at] = views[at - 1];
            }
            views[at] = change->view;
        }
    }
    if (count >= wanted) {
        leave_view(bft, views[wanted - 1]);
    }
}

void on_view_change(struct bft *bft, uint32_t from, const struct viewchange *message)
{
    struct agreement_configurations known = configurations_known(bft);
    struct viewchange_claims claims;
    struct agreement_top top;
    int rc = agreement_viewchange(bft->service, &known, message, &claims, &top, NULL);
    if (rc != 0) {
        return; /* of a configuration that is not known here, or nothing */
    }
    if (position_in(configuration_of(bft, claims.cfg), from) != claims.replica) {
        return; /* what it sends is somebody else's */
    }
    struct seen_change *change = change_of(bft, from);
    if (!change || (change->is_there && change->view >= claims.view)) {
        return;
    }
    if (!change_set(change, from, claims.view, message)) {
        return;
    }
    change->top = top;
    change->top.header = wm_view_of(NULL, 0); /* it points into the message */
    if (bft->mode == BFT_SILENT) {
        return;
    }
    follow_others(bft);
    try_new_view(bft);
}

/* --- What a new view continues --- */

/* Is the batch of this name in our ledger, as executed? */
static bool have_batch(const struct bft *bft, const struct agreement_top *top)
{
    if (!top->is_there) {
        return bft->base.seqno == 0;
    }
    uint64_t seqno = top->claims.seqno;
    if (seqno == bft->base.seqno) {
        return memcmp(bft->base.name, top->name, sizeof top->name) == 0;
    }
    const struct slot *slot = slot_have(bft, seqno);
    return slot && slot->executed && memcmp(slot->name, top->name, sizeof top->name) == 0;
}

/* Takes our ledger back to the end of the top's batch. Only above the base. */
static bool stand_on(struct bft *bft, const struct agreement_top *top)
{
    uint64_t seqno = top->is_there ? top->claims.seqno : 0;
    if (!have_batch(bft, top) || seqno < bft->base.seqno) {
        return false;
    }
    undo_above(bft, seqno);
    return true;
}

static uint64_t changes_to(const struct bft *bft, uint64_t view,
                           const struct configuration *configuration, uint32_t *count)
{
    uint64_t bitmap = 0;
    *count = 0;
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX * 2; i++) {
        const struct seen_change *change = &bft->changes[i];
        uint32_t position = change->is_there && change->view == view
                                ? position_in(configuration, change->replica)
                                : NOWHERE;
        if (position != NOWHERE) {
            bitmap |= UINT64_C(1) << position;
            ++*count;
        }
    }
    return bitmap;
}

/* The largest top among those of the configuration who ask for bft->view; NULL: nobody has one. */
static const struct seen_change *largest_change(const struct bft *bft,
                                                const struct configuration *configuration)
{
    const struct seen_change *largest = NULL;
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX * 2; i++) {
        const struct seen_change *change = &bft->changes[i];
        if (!change->is_there || change->view != bft->view || !change->top.is_there ||
            position_in(configuration, change->replica) == NOWHERE) {
            continue;
        }
        if (!largest ||
            (BFT_GUARD_IS_OFF(CHOOSE_LARGEST) ? agreement_top_above(&largest->top, &change->top)
                                              : agreement_top_above(&change->top, &largest->top))) {
            largest = change;
        }
    }
    return largest;
}

/* The entry with a quorum of the view-changes, the largest top's among them. */
static bool write_changes(struct bft *bft, const struct configuration *configuration,
                          const struct seen_change *largest, struct blob *out, uint64_t *used)
{
    uint32_t wanted = ledger_quorum(configuration->replica_count);
    const struct seen_change *chosen[LEDGER_REPLICAS_MAX] = {0};
    uint32_t count = 0;
    if (largest) {
        uint32_t position = position_in(configuration, largest->replica);
        if (position == NOWHERE) {
            return false;
        }
        chosen[position] = largest;
        count++;
    }
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX * 2 && count < wanted; i++) {
        const struct seen_change *change = &bft->changes[i];
        uint32_t position = change->is_there && change->view == bft->view
                                ? position_in(configuration, change->replica)
                                : NOWHERE;
        if (position != NOWHERE && !chosen[position]) {
            chosen[position] = change;
            count++;
        }
    }
    if (count < wanted) {
        return false;
    }
    *used = 0;
    uint8_t *bytes = NULL;
    size_t room = 0;
    for (int pass = 0; pass < 2; pass++) { /* the first one counts */
        struct cbor_writer writer = cbor_writer_of(bytes, room);
        viewchanges_put_head(&writer, bft->view, wanted);
        for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX; i++) {
            if (chosen[i]) {
                struct viewchange parts = change_parts(chosen[i]);
                viewchange_put(&writer, &parts);
                *used |= UINT64_C(1) << i;
            }
        }
        if (pass == 0) {
            room = writer.len;
            bytes = wm_alloc(room);
            if (!bytes) {
                return false;
            }
        }
    }
    blob_free(out);
    *out = (struct blob){bytes, room};
    return true;
}

/* As the primary of the view that was asked for in this configuration: states the new view, once a
 * quorum asks for it and the ledger that it continues is here. */
static bool try_new_view_in(struct bft *bft, const struct configuration *configuration)
{
    uint32_t primary = agreement_primary(bft->view, configuration->replica_count), count;
    (void)changes_to(bft, bft->view, configuration, &count);
    if (configuration->replicas[primary].id != bft->replica ||
        count < ledger_quorum(configuration->replica_count)) {
        return false;
    }
    const struct seen_change *largest = largest_change(bft, configuration);
    struct agreement_top none = {0};
    const struct agreement_top *top = largest ? &largest->top : &none;
    uint64_t seqno = top->is_there ? top->claims.seqno : 0, used;
    struct next_batch next;
    struct blob entry = {NULL, 0};
    if (seqno < bft->base.seqno) {
        return false; /* not with correct ones only: what we committed would be lost */
    }
    if (!have_batch(bft, top) && !take_top_entries(bft, top)) {
        fetch_prefix(bft, largest->replica, top->name);
        return false;
    }
    next_after(bft, head_at(bft, seqno), &next);
    if (next.cfg != configuration->number ||
        !write_changes(bft, configuration, largest, &entry, &used)) {
        return false;
    }
    if (!stand_on(bft, top)) {
        blob_free(&entry);
        return false;
    }
    struct merkle ledger = bft->tip.ledger;
    struct newview_claims claims = {.cfg = configuration->number,
                                    .view = bft->view,
                                    .base_seqno = bft->tip.seqno,
                                    .used = used};
    uint8_t encoded[NEWVIEW_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    uint8_t bytes[NEWVIEW_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    struct statement_parts parts;
    ledger_hash payload;
    if (!tree_add(&ledger, blob_view(&entry))) {
        blob_free(&entry);
        return false;
    }
    memcpy(claims.service, bft->service, sizeof claims.service);
    claims.ledger_size = ledger.count;
    merkle_root(&ledger, claims.ledger_root);
    newview_claims_put(&writer, &claims);
    WM_ASSERT(cbor_fits(&writer));
    wm_sha256_once(blob_view(&entry), payload);
    agreement_sign(bft->key, false, wm_view_of(encoded, writer.len), payload, header, &parts);
    struct newview_entry newview = {.header = parts.header};
    memcpy(newview.signature, parts.signature, sizeof newview.signature);
    struct cbor_writer around = cbor_writer_of(bytes, sizeof bytes);
    newview_entry_put(&around, &newview);
    WM_ASSERT(cbor_fits(&around));
    enter_view(bft, &claims, blob_view(&entry), wm_view_of(bytes, around.len));
    blob_free(&entry);
    return true;
}

static void try_new_view(struct bft *bft)
{
    /* At the end of a configuration it depends on the top whose turn it is. */
    for (uint64_t cfg = bft->base.cfg; cfg <= bft->tip.cfg + 1; cfg++) {
        const struct configuration *configuration = configuration_of(bft, cfg);
        if (bft->mode != BFT_VIEW_CHANGE || !configuration || try_new_view_in(bft, configuration)) {
            return;
        }
    }
}

/* --- Entering --- */

void enter_view(struct bft *bft, const struct newview_claims *claims, struct wm_view view_changes,
                struct wm_view new_view)
{
    WM_ASSERT(bft->tip.seqno == claims->base_seqno);
    if (!blob_set(&bft->view_changes, view_changes) || !blob_set(&bft->new_view, new_view)) {
        return;
    }
    bft->view_entries_wait = true;
    bft->view = bft->new_view_view = claims->view;
    bft->new_view_base = claims->base_seqno;
    bft->in_view = true;
    bft->failed_views = 0;
    for (uint64_t s = bft->base.seqno + 1; s <= bft->tip.seqno; s++) {
        struct slot *slot = slot_have(bft, s);
        slot->carried = slot->prepared = true;
    }
    for (uint64_t s = bft->tip.seqno + 1; s <= bft->base.seqno + WINDOW_AHEAD; s++) {
        struct slot *slot = slot_have(bft, s);
        if (slot) {
            slot_drop_batch(bft, slot);
        }
    }
    blob_free(&bft->pending_view_changes);
    blob_free(&bft->pending_new_view);
    if (!bft->restoring) { /* else it is silent until it has asked what it said */
        bft->mode = BFT_NORMAL;
        refresh_mode(bft);
    }
    bft->proposed_ns = bft->progress_ns = bft->now_ns;
    bft->view_deadline_ns = UINT64_MAX;
    bft->entered_ns = bft->now_ns;
    record_new_view(bft);
    emit(bft, &(struct bft_effect){.kind = BFT_VIEW, .view = bft->view});
    if (bft->restoring) {
        return;
    }
    if (is_primary(bft)) {
        say_view_again(bft, NOWHERE);
    }
    release_early(bft);
    advance(bft);
}

/* Does this statement continue our ledger as it is at this place? */
static bool continues(const struct bft_head *head, const struct newview_claims *claims,
                      struct wm_view view_changes)
{
    struct merkle ledger = head->ledger;
    ledger_hash root;
    if (head->seqno != claims->base_seqno || !tree_add(&ledger, view_changes)) {
        return false;
    }
    merkle_root(&ledger, root);
    return ledger.count == claims->ledger_size &&
           memcmp(root, claims->ledger_root, sizeof root) == 0;
}

static int enter_if_here(struct bft *bft, uint32_t from, const struct newview_entry *entry,
                         struct wm_view view_changes, struct wm_view new_view)
{
    struct agreement_configurations known = configurations_known(bft);
    struct agreement_top tops[LEDGER_REPLICAS_MAX];
    struct newview_claims claims;
    struct cose_statement statement;
    uint32_t top_count = 0;
    int rc = WM_E_NOT_FOUND;
    if (!cose_header(entry->header, &statement) ||
        newview_claims_get(statement.claims, &claims, NULL) != 0) {
        return WM_E_MALFORMED;
    }
    const struct configuration *configuration = known_configuration(bft, claims.cfg);
    if (configuration) {
        rc = agreement_newview(bft->service, &known, configuration, entry, view_changes, &claims,
                               tops, &top_count, NULL);
    }
    if (rc != 0 && !BFT_GUARD_IS_OFF(NEW_VIEW_CHECKED)) {
        return rc;
    }
    if (claims.view < bft->view || (claims.view == bft->view && bft->in_view)) {
        return WM_E_STALE;
    }
    if (BFT_GUARD_IS_OFF(NEW_VIEW_CHECKED) && claims.base_seqno >= bft->base.seqno &&
        claims.base_seqno <= bft->tip.seqno &&
        continues(head_at(bft, claims.base_seqno), &claims, view_changes)) {
        undo_above(bft, claims.base_seqno);
        enter_view(bft, &claims, view_changes, new_view);
        return 0;
    }
    for (uint32_t i = 0; i < top_count; i++) {
        struct next_batch next;
        uint64_t seqno = tops[i].is_there ? tops[i].claims.seqno : 0;
        if (!have_batch(bft, &tops[i]) || seqno < bft->base.seqno) {
            continue;
        }
        /* Nothing is taken back for a statement that does not hold. */
        const struct bft_head *head = head_at(bft, seqno);
        next_after(bft, head, &next);
        if (next.cfg == claims.cfg && continues(head, &claims, view_changes) &&
            stand_on(bft, &tops[i])) {
            enter_view(bft, &claims, view_changes, new_view);
            return 0;
        }
    }
    /* Not here yet: the primary that states it has it. Until it is, the view that we are in is
     * left: what is fetched replaces the ledger that we sign in. */
    for (uint32_t i = 0; i < top_count; i++) {
        if (tops[i].is_there && !have_batch(bft, &tops[i]) &&
            tops[i].claims.seqno > bft->base.seqno) {
            leave_view(bft, claims.view);
            if (take_top_entries(bft, &tops[i])) {
                return WM_E_NOT_FOUND; /* it is here now: the next try finds it */
            }
            fetch_prefix(bft, from, tops[i].name);
            return WM_E_NOT_FOUND;
        }
    }
    return top_count > 0 && tops[0].is_there && tops[0].claims.seqno > bft->tip.seqno
               ? WM_E_NOT_FOUND
               : WM_E_FORGED;
}

void on_new_view(struct bft *bft, uint32_t from, const struct peer_newview *message)
{
    uint8_t bytes[NEWVIEW_ENTRY_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    newview_entry_put(&writer, &message->entry);
    if (!cbor_fits(&writer) || bft->mode == BFT_SILENT) {
        return;
    }
    struct wm_view new_view = wm_view_of(bytes, writer.len);
    int rc = enter_if_here(bft, from, &message->entry, message->viewchanges, new_view);
    if (rc == WM_E_NOT_FOUND && blob_set(&bft->pending_view_changes, message->viewchanges) &&
        blob_set(&bft->pending_new_view, new_view)) {
        bft->pending_from = from;
    }
}

void try_pending_view(struct bft *bft)
{
    struct newview_entry entry;
    if (bft->pending_new_view.len > 0 &&
        newview_entry_get(blob_view(&bft->pending_new_view), &entry, NULL)) {
        struct blob changes = bft->pending_view_changes, view = bft->pending_new_view;
        bft->pending_view_changes = bft->pending_new_view = (struct blob){NULL, 0};
        int rc =
            enter_if_here(bft, bft->pending_from, &entry, blob_view(&changes), blob_view(&view));
        if (rc == WM_E_NOT_FOUND) {
            bft->pending_view_changes = changes;
            bft->pending_new_view = view;
        } else {
            blob_free(&changes);
            blob_free(&view);
        }
    }
    try_new_view(bft);
}

void say_view_again(struct bft *bft, uint32_t to)
{
    if (!bft->in_view) {
        const struct seen_change *own = change_of(bft, bft->replica);
        if (own && own->is_there && own->view == bft->view) {
            say_change(bft, own, to);
        }
        return;
    }
    struct peer_message message = {.kind = PEER_NEW_VIEW};
    if (bft->new_view_view == bft->view && bft->new_view.len > 0 &&
        newview_entry_get(blob_view(&bft->new_view), &message.newview.entry, NULL)) {
        message.newview.viewchanges = blob_view(&bft->view_changes);
        say(bft, to, &message, true);
    }
}

/* --- Time --- */

/* How many have asked for our view or a later one, ourselves counted. */
static uint32_t asked_for(const struct bft *bft)
{
    const struct configuration *configuration = configuration_now(bft);
    uint32_t count = 0;
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX * 2; i++) {
        const struct seen_change *change = &bft->changes[i];
        count += change->is_there && change->view >= bft->view &&
                 position_in(configuration, change->replica) != NOWHERE;
    }
    return count;
}

/* Requests that are not ordered although they could be: the primary is told of them, and then
 * left. */
static uint64_t request_deadline(const struct bft *bft)
{
    const struct pool_request *oldest = bft->pool.oldest;
    while (oldest && oldest->minimum_index > bft->tip.next_index) {
        oldest = oldest->newer;
    }
    if (!oldest || bft->mode != BFT_NORMAL) {
        return UINT64_MAX;
    }
    uint64_t since = oldest->arrived_ns > bft->entered_ns ? oldest->arrived_ns : bft->entered_ns;
    uint64_t patience = bft->timing.request_ns;
    return since +
           (oldest->forwarded_ns >= since && oldest->forwarded_ns > 0 ? 2 * patience : patience);
}

uint64_t view_deadline(const struct bft *bft)
{
    uint64_t deadline = bft->mode == BFT_VIEW_CHANGE ? bft->view_deadline_ns : UINT64_MAX;
    uint64_t request = request_deadline(bft);
    return request < deadline ? request : deadline;
}

static void forward(struct bft *bft, struct pool_request *request)
{
    const struct configuration *configuration = configuration_now(bft);
    uint32_t primary = agreement_primary(bft->view, configuration->replica_count);
    struct peer_message message = {.kind = PEER_REQUEST};
    message.request.request = request->request;
    message.request.arguments = request->arguments;
    request->forwarded_ns = bft->now_ns;
    if (configuration->replicas[primary].id != bft->replica) {
        say(bft, configuration->replicas[primary].id, &message, false);
    }
}

void view_tick(struct bft *bft)
{
    if (bft->mode == BFT_VIEW_CHANGE && bft->now_ns >= bft->view_deadline_ns) {
        /* Only where a quorum is on its way can it be the new primary's fault; alone, one would run
         * away from the others. */
        if (asked_for(bft) >= ledger_quorum(configuration_now(bft)->replica_count)) {
            leave_view(bft, bft->view + 1);
        } else {
            bft->view_deadline_ns = bft->now_ns + view_timeout(bft);
            say_view_again(bft, NOWHERE);
        }
        return;
    }
    if (request_deadline(bft) > bft->now_ns) {
        return;
    }
    uint64_t patience = bft->timing.request_ns;
    for (struct pool_request *request = bft->pool.oldest, *newer; request; request = newer) {
        newer = request->newer;
        uint64_t since =
            request->arrived_ns > bft->entered_ns ? request->arrived_ns : bft->entered_ns;
        if (request->minimum_index > bft->tip.next_index) {
            if (request->waits && since + 8 * patience <= bft->now_ns) {
                pool_drop(&bft->pool, request); /* nobody will ever bring the index up to it */
            }
            continue;
        }
        if (since + 2 * patience <= bft->now_ns && request->forwarded_ns >= since &&
            request->forwarded_ns > 0) {
            leave_view(bft, bft->view + 1);
            return;
        }
        if (since + patience > bft->now_ns) {
            break;
        }
        if (request->forwarded_ns < since || request->forwarded_ns == 0) {
            forward(bft, request);
        }
    }
}
