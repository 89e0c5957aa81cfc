/* The journal: what must be on the disk before it is said, and what comes back from it.
 *
 *     [1, signed, header, G, signature / null, evidence,
 *      view-changes, new-view, [* request, arguments]]    a batch on the ledger
 *     [2, certificate]                                    our top
 *     [3, view, header, signature, certificate]           we have left the views before
 *     [4, base seqno, view-changes, new-view]             we have entered this view
 *     [5, view, seqno, view]     the newest place that was signed for; the view that we are in
 *     [6, seqno, count, entries] what leads to our top from that batch on, where it was taken back
 *
 * (deterministic CBOR; bytes where nothing else is said). They are read in order, each one
 * replacing what it contradicts, so that a prefix of the journal is a state in which we once were.
 * Nonces need no record: they follow from the secret.
 *
 * Records are our own, so what cannot be read is damage, not an attack; the log below has
 * checksums. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "bft/internal.h"
#include "crypto/hash.h"

enum {
    RECORD_BATCH = 1,
    RECORD_TOP,
    RECORD_LEFT,
    RECORD_ENTERED,
    RECORD_SIGNED,
    RECORD_TOP_ENTRIES
};

/* Writes twice: to count, and into memory of that size. */
typedef void write_fn(struct cbor_writer *writer, struct bft *bft, const void *what);
static void record(struct bft *bft, write_fn *write, const void *what)
{
    struct cbor_writer counter = cbor_writer_of(NULL, 0);
    if (bft->restoring || bft->halted || BFT_GUARD_IS_OFF(AMNESIA_PERSIST)) {
        return;
    }
    write(&counter, bft, what);
    uint8_t *bytes = wm_alloc(counter.len);
    if (!bytes) {
        halt(bft, -ENOMEM, "agreement: no memory is left for what has to be written down");
        return;
    }
    struct cbor_writer writer = cbor_writer_of(bytes, counter.len);
    write(&writer, bft, what);
    emit(bft, &(struct bft_effect){.kind = BFT_PERSIST, .bytes = wm_view_of(bytes, writer.len)});
    wm_free(bytes);
}

static void write_batch(struct cbor_writer *writer, struct bft *bft, const void *what)
{
    const struct slot *slot = what;
    (void)bft;
    cbor_put_array(writer, 9);
    cbor_put_uint(writer, RECORD_BATCH);
    cbor_put_bool(writer, slot->signed_);
    cbor_put_bytes(writer, slot->header);
    cbor_put_bytes(writer, wm_view_of(slot->root, sizeof slot->root));
    if (slot->has_signature) {
        cbor_put_bytes(writer, wm_view_of(slot->signature, sizeof slot->signature));
    } else {
        cbor_put_null(writer);
    }
    cbor_put_bytes(writer, blob_view(&slot->evidence));
    cbor_put_bytes(writer, blob_view(&slot->view_changes));
    cbor_put_bytes(writer, blob_view(&slot->new_view));
    cbor_put_array(writer, 2 * (uint64_t)slot->request_count);
    for (uint32_t i = 0; i < slot->request_count; i++) {
        cbor_put_bytes(writer, slot->requests[i]->request);
        cbor_put_bytes(writer, slot->requests[i]->arguments);
    }
}

void record_batch(struct bft *bft, const struct slot *slot)
{
    record(bft, write_batch, slot);
}

static void write_top(struct cbor_writer *writer, struct bft *bft, const void *what)
{
    (void)what;
    cbor_put_array(writer, 2);
    cbor_put_uint(writer, RECORD_TOP);
    cbor_put_bytes(writer, blob_view(&bft->top));
}

void record_prepared(struct bft *bft)
{
    record(bft, write_top, NULL);
}

static void write_left(struct cbor_writer *writer, struct bft *bft, const void *what)
{
    const struct viewchange *own = what;
    cbor_put_array(writer, 5);
    cbor_put_uint(writer, RECORD_LEFT);
    cbor_put_uint(writer, bft->view);
    cbor_put_bytes(writer, own->header);
    cbor_put_bytes(writer, wm_view_of(own->signature, sizeof own->signature));
    cbor_put_bytes(writer, own->certificate);
}

void record_left_view(struct bft *bft, const struct viewchange *own)
{
    record(bft, write_left, own);
}

static void write_entered(struct cbor_writer *writer, struct bft *bft, const void *what)
{
    (void)what;
    cbor_put_array(writer, 4);
    cbor_put_uint(writer, RECORD_ENTERED);
    cbor_put_uint(writer, bft->new_view_base);
    cbor_put_bytes(writer, blob_view(&bft->view_changes));
    cbor_put_bytes(writer, blob_view(&bft->new_view));
}

void record_new_view(struct bft *bft)
{
    record(bft, write_entered, NULL);
}

static void write_signed(struct cbor_writer *writer, struct bft *bft, const void *what)
{
    (void)what;
    cbor_put_array(writer, 4);
    cbor_put_uint(writer, RECORD_SIGNED);
    cbor_put_uint(writer, bft->signed_view);
    cbor_put_uint(writer, bft->signed_seqno);
    /* The entries of a view whose base is committed are not written down once more. */
    cbor_put_uint(writer, bft->in_view ? bft->view : 0);
}

static void write_top_entries(struct cbor_writer *writer, struct bft *bft, const void *what)
{
    (void)what;
    cbor_put_array(writer, 4);
    cbor_put_uint(writer, RECORD_TOP_ENTRIES);
    cbor_put_uint(writer, bft->top_from);
    cbor_put_uint(writer, bft->top_count);
    cbor_put_bytes(writer, blob_view(&bft->top_entries));
}

void bft_checkpoint_journal(struct bft *bft, struct bft_effects *effects)
{
    bft->effects = effects;
    record(bft, write_signed, NULL);
    /* Batches below the view's first one are of the ledger that the view continues. */
    bool entered = bft->new_view_view == bft->view && bft->in_view && bft->new_view.len > 0;
    for (uint64_t s = bft->base.seqno + 1; s <= bft->tip.seqno; s++) {
        if (entered && s == bft->new_view_base + 1) {
            record_new_view(bft);
        }
        record_batch(bft, slot_have(bft, s));
    }
    if (entered && bft->new_view_base >= bft->tip.seqno) {
        record_new_view(bft);
    }
    if (bft->top.len > 0) {
        record_prepared(bft);
    }
    if (bft->top_entries.len > 0) {
        record(bft, write_top_entries, NULL);
    }
    if (!bft->in_view) {
        for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX * 2; i++) {
            const struct seen_change *own = &bft->changes[i];
            if (own->is_there && own->replica == bft->replica && own->view == bft->view) {
                struct viewchange parts = {.header = blob_view(&own->header),
                                           .certificate = blob_view(&own->certificate)};
                memcpy(parts.signature, own->signature, sizeof parts.signature);
                record_left_view(bft, &parts);
            }
        }
    }
    bft->effects = NULL;
}

/* --- Reading back --- */

static bool read_hash(struct cbor_reader *reader, uint8_t *out, size_t len)
{
    return cbor_bytes_of(reader, out, len);
}

static void damaged(struct bft *bft, const char *what)
{
    halt(bft, WM_E_STALE,
         "journal: %s does not follow from what is on this disk: it is not whole, or not of this "
         "replica; have the replica replaced by governance",
         what);
}

static bool read_requests(struct bft *bft, struct slot *slot, struct cbor_reader *reader)
{
    uint64_t count;
    if (!cbor_array(reader, &count) || count > 2 * LEDGER_BATCH_MAX) {
        return false;
    }
    slot->request_count = (uint32_t)(count / 2);
    slot->requests = wm_alloc_zero(slot->request_count, sizeof *slot->requests);
    slot->hashes = wm_alloc_zero(slot->request_count, LEDGER_HASH_BYTES);
    if (!slot->requests || !slot->hashes) {
        return false;
    }
    for (uint32_t i = 0; i < slot->request_count; i++) {
        struct bft_request request = {.checked = true};
        if (!cbor_bytes(reader, &request.request) || !cbor_bytes(reader, &request.arguments)) {
            return false;
        }
        struct pool_request *kept =
            pool_add(&bft->pool, bft->service, &request, bft->now_ns, LEDGER_SEQNO_MAX, true);
        if (!kept) {
            return false;
        }
        pool_hold(&bft->pool, kept);
        slot->requests[i] = kept;
        memcpy(slot->hashes + (size_t)i * LEDGER_HASH_BYTES, kept->hash, LEDGER_HASH_BYTES);
    }
    return true;
}

static void restore_batch(struct bft *bft, struct cbor_reader *reader)
{
    struct wm_view header, evidence, view_changes, new_view;
    struct cose_statement statement;
    struct preprepare_claims claims;
    ledger_hash root;
    ledger_signature signature = {0};
    bool is_signed;
    bool ok = cbor_bool(reader, &is_signed) && cbor_bytes(reader, &header) &&
              read_hash(reader, root, sizeof root);
    bool has_signature = cbor_peek(reader) == CBOR_BYTES;
    ok = ok &&
         (has_signature ? read_hash(reader, signature, sizeof signature) : cbor_null(reader)) &&
         cbor_bytes(reader, &evidence) && cbor_bytes(reader, &view_changes) &&
         cbor_bytes(reader, &new_view) && header.len <= COSE_PROTECTED_BYTES_MAX &&
         cose_header(header, &statement) &&
         preprepare_claims_get(statement.claims, &claims, NULL) == 0;
    if (!ok) {
        damaged(bft, "a batch");
        return;
    }
    if (is_signed) {
        note_signed(bft, claims.view, claims.seqno);
    }
    if (claims.seqno <= bft->base.seqno) {
        return; /* committed since */
    }
    struct slot *same = slot_have(bft, claims.seqno);
    ledger_hash name;
    agreement_name(header, root, name);
    if (same && same->executed && memcmp(same->name, name, sizeof name) == 0) {
        return; /* written down once more, perhaps without those that followed */
    }
    if (claims.seqno <= bft->tip.seqno) {
        undo_above(bft, claims.seqno - 1);
    }
    /* What was committed between may have come from others and, unlike the journal, not have been
     * durable in the ledger: then the batch is not here, but what was signed is known. */
    struct slot *slot = slot_at(bft, claims.seqno);
    if (claims.seqno != bft->tip.seqno + 1 || !slot) {
        return;
    }
    slot_drop_batch(bft, slot);
    memcpy(slot->header_bytes, header.ptr, header.len);
    slot->header = wm_view_of(slot->header_bytes, header.len);
    slot->claims = claims;
    slot->has_signature = has_signature;
    slot->has_preprepare = true;
    memcpy(slot->root, root, sizeof root);
    memcpy(slot->signature, signature, sizeof signature);
    memcpy(slot->name, name, sizeof slot->name);
    struct next_batch next;
    next_after(bft, &bft->tip, &next);
    ok = blob_set(&slot->evidence, evidence) && blob_set(&slot->view_changes, view_changes) &&
         blob_set(&slot->new_view, new_view) && read_requests(bft, slot, reader);
    bft->view_entries_wait = false; /* they are in the record */
    if (!ok) {
        damaged(bft, "a batch");
        return;
    }
    if (execute_slot(bft, slot, &next, NULL) != 0) {
        slot_drop_batch(bft, slot); /* it stands on such ones */
        return;
    }
    if (is_signed) {
        sign_slot(bft, slot);
    } else {
        slot->carried = slot->prepared = true;
    }
    follow_view(bft, slot);
}

static void restore_top(struct bft *bft, struct cbor_reader *reader)
{
    struct wm_view encoded;
    struct certificate certificate;
    struct cose_statement statement;
    struct preprepare_claims claims;
    ledger_hash name;
    if (!cbor_bytes(reader, &encoded) || !blob_set(&bft->top, encoded)) {
        damaged(bft, "a certificate");
        return;
    }
    struct cbor_reader inner = cbor_reader_of(encoded);
    if (!certificate_get(&inner, &certificate) || !certificate.is_there ||
        !cose_header(certificate.preprepare.header, &statement) ||
        preprepare_claims_get(statement.claims, &claims, NULL) != 0) {
        damaged(bft, "a certificate");
        return;
    }
    struct agreement_top *top = &bft->top_facts;
    agreement_name(certificate.preprepare.header, certificate.preprepare.payload, name);
    if (memcmp(name, top->name, sizeof name) != 0) {
        blob_free(&bft->top_entries);
    }
    *top = (struct agreement_top){.is_there = true, .claims = claims};
    memcpy(top->name, name, sizeof name);
    memcpy(top->root, certificate.preprepare.payload, sizeof top->root);
    struct slot *slot = slot_have(bft, claims.seqno);
    if (!slot || !slot->executed || memcmp(slot->name, top->name, sizeof top->name) != 0) {
        return;
    }
    slot->prepared = true;
    for (uint32_t i = 0; i < certificate.count; i++) {
        const struct certificate_prepare *prepare = &certificate.prepares[i];
        struct vote *vote = &slot->votes[prepare->replica % LEDGER_REPLICAS_MAX];
        vote->has_prepare = vote->verified = true;
        vote->view = claims.view;
        memcpy(vote->preprepare, slot->name, sizeof vote->preprepare);
        memcpy(vote->commitment, prepare->commitment, sizeof vote->commitment);
        memcpy(vote->signature, prepare->signature, sizeof vote->signature);
    }
    uint32_t position = position_in(configuration_of(bft, claims.cfg), bft->replica);
    if (slot->signed_ && position != NOWHERE) {
        struct vote *own = &slot->votes[position];
        slot->revealed = own->has_nonce = true;
        own->nonce_view = claims.view;
        own_nonce(bft, claims.cfg, claims.view, claims.seqno, own->nonce);
    }
}

static void restore_left(struct bft *bft, struct cbor_reader *reader)
{
    struct viewchange own;
    uint64_t view;
    bool ok = cbor_uint(reader, &view) && cbor_bytes(reader, &own.header) &&
              read_hash(reader, own.signature, sizeof own.signature) &&
              cbor_bytes(reader, &own.certificate);
    struct seen_change *change = &bft->changes[0];
    ok = ok && blob_set(&change->header, own.header) &&
         blob_set(&change->certificate, own.certificate);
    if (!ok) {
        damaged(bft, "a view-change");
        return;
    }
    change->is_there = true;
    change->replica = bft->replica;
    change->view = view;
    change->top = bft->top_facts;
    memcpy(change->signature, own.signature, sizeof change->signature);
    if (view > bft->view) { /* else the ledger shows that it, or a later one, has begun */
        bft->view = view;
        bft->in_view = false;
    }
}

static void restore_entered(struct bft *bft, struct cbor_reader *reader)
{
    struct wm_view view_changes, new_view;
    struct newview_entry entry;
    struct cose_statement statement;
    struct newview_claims claims;
    uint64_t base;
    bool ok = cbor_uint(reader, &base) && cbor_bytes(reader, &view_changes) &&
              cbor_bytes(reader, &new_view) && newview_entry_get(new_view, &entry, NULL) &&
              cose_header(entry.header, &statement) &&
              newview_claims_get(statement.claims, &claims, NULL) == 0;
    if (!ok) {
        damaged(bft, "a new-view");
        return;
    }
    if (base < bft->base.seqno) { /* batches of this view, or a later one, are committed */
        if (claims.view > bft->view) {
            bft->view = claims.view;
        }
        bft->in_view = true;
        return;
    }
    if (base > bft->tip.seqno) { /* what it continues is not here: it has to be heard of again */
        bft->view = claims.view;
        bft->in_view = false;
        return;
    }
    undo_above(bft, base);
    enter_view(bft, &claims, view_changes, new_view);
}

void restore_record(struct bft *bft, struct wm_view bytes)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    uint64_t items, kind, view, seqno, now;
    struct wm_view entries;
    if (!cbor_array(&reader, &items) || !cbor_uint(&reader, &kind)) {
        damaged(bft, "a record");
        return;
    }
    switch (kind) {
    case RECORD_BATCH: restore_batch(bft, &reader); break;
    case RECORD_TOP: restore_top(bft, &reader); break;
    case RECORD_LEFT: restore_left(bft, &reader); break;
    case RECORD_ENTERED: restore_entered(bft, &reader); break;
    case RECORD_TOP_ENTRIES:
        if (cbor_uint(&reader, &bft->top_from) && cbor_uint(&reader, &bft->top_count) &&
            cbor_bytes(&reader, &entries) && blob_set(&bft->top_entries, entries)) {
            break;
        }
        damaged(bft, "a record");
        break;
    case RECORD_SIGNED:
        if (cbor_uint(&reader, &view) && cbor_uint(&reader, &seqno) && cbor_uint(&reader, &now)) {
            note_signed(bft, view, seqno);
            if (now > bft->view) {
                bft->view = now;
                bft->in_view = true;
            }
            break;
        }
        /* fall through */
    default: damaged(bft, "a record"); break;
    }
}

/* --- What did I say? --- */

void ask_newest(struct bft *bft)
{
    struct peer_message message = {.kind = PEER_ASK_NEWEST};
    memcpy(message.ask_newest.challenge, bft->challenge, sizeof bft->challenge);
    say(bft, NOWHERE, &message, false);
}

/* The newest pre-prepare or prepare of a replica among what is in the window. */
static void newest_batch(struct bft *bft, uint32_t replica, struct statement_parts *out,
                         uint8_t header[COSE_PROTECTED_BYTES_MAX])
{
    uint64_t view = 0, seqno = 0;
    for (uint32_t i = 0; i < WINDOW; i++) {
        struct slot *slot = &bft->slots[i];
        if (slot->seqno == 0 || !slot->has_preprepare || slot->claims.view < view ||
            (slot->claims.view == view && slot->seqno <= seqno)) {
            continue;
        }
        const struct configuration *configuration = configuration_of(bft, slot->claims.cfg);
        uint32_t position = position_in(configuration, replica);
        if (position == NOWHERE) {
            continue;
        }
        const struct vote *vote = &slot->votes[position];
        if (position == agreement_primary(slot->claims.view, configuration->replica_count)) {
            if (!slot->has_signature) {
                continue;
            }
            out->header = slot->header;
            memcpy(out->signature, slot->signature, sizeof out->signature);
        } else if (vote->has_prepare && vote->view == slot->claims.view &&
                   memcmp(vote->preprepare, slot->name, sizeof slot->name) == 0) {
            agreement_prepare_header(bft->service, &slot->claims, slot->name, position,
                                     configuration->replicas[position].key, vote->commitment,
                                     header, &out->header);
            memcpy(out->signature, vote->signature, sizeof out->signature);
        } else {
            continue;
        }
        memcpy(out->payload, slot->root, sizeof out->payload);
        view = slot->claims.view;
        seqno = slot->seqno;
    }
}

void on_ask_newest(struct bft *bft, uint32_t from, const struct peer_ask_newest *message)
{
    struct peer_message answer = {.kind = PEER_NEWEST};
    uint8_t header[COSE_PROTECTED_BYTES_MAX];
    memcpy(answer.newest.challenge, message->challenge, sizeof message->challenge);
    newest_batch(bft, from, &answer.newest.batch, header);
    for (uint32_t i = 0; i < LEDGER_REPLICAS_MAX * 2; i++) {
        const struct seen_change *change = &bft->changes[i];
        if (change->is_there && change->replica == from) {
            answer.newest.view.header = blob_view(&change->header);
            wm_sha256_once(blob_view(&change->certificate), answer.newest.view.payload);
            memcpy(answer.newest.view.signature, change->signature, sizeof change->signature);
        }
    }
    say(bft, from, &answer, false);
}

static bool is_own(const struct bft *bft, const struct statement_parts *parts, bool tree,
                   struct cose_statement *statement)
{
    struct statement_signed covered;
    if (!cose_header(parts->header, statement) || statement->tree != tree ||
        memcmp(statement->key, bft->key->public_key, sizeof(ledger_key)) != 0) {
        return false;
    }
    statement_signed_bytes(parts->header, parts->payload, &covered);
    return sign_verify(statement->key, wm_view_of(covered.bytes, covered.len), parts->signature);
}

/* Is it a statement of ours that this disk does not know? */
static bool is_newer_batch(const struct bft *bft, const struct statement_parts *parts)
{
    struct cose_statement statement;
    struct preprepare_claims preprepare;
    struct prepare_claims prepare;
    uint64_t view, seqno;
    ledger_hash name;
    if (!is_own(bft, parts, true, &statement)) {
        return false;
    }
    if (preprepare_claims_get(statement.claims, &preprepare, NULL) == 0 &&
        memcmp(preprepare.service, bft->service, sizeof bft->service) == 0) {
        view = preprepare.view;
        seqno = preprepare.seqno;
        agreement_name(parts->header, parts->payload, name);
    } else if (prepare_claims_get(statement.claims, &prepare, NULL) == 0 &&
               memcmp(prepare.service, bft->service, sizeof bft->service) == 0) {
        view = prepare.view;
        seqno = prepare.seqno;
        memcpy(name, prepare.preprepare, sizeof name);
    } else {
        return false;
    }
    if (view != bft->signed_view || seqno != bft->signed_seqno) {
        return view > bft->signed_view || (view == bft->signed_view && seqno > bft->signed_seqno);
    }
    const struct slot *slot = slot_have(bft, seqno);
    return slot && slot->has_preprepare && slot->claims.view == view && slot->signed_ &&
           memcmp(slot->name, name, sizeof name) != 0;
}

static bool is_newer_view(const struct bft *bft, const struct statement_parts *parts)
{
    struct cose_statement statement;
    struct viewchange_claims claims;
    return is_own(bft, parts, false, &statement) &&
           viewchange_claims_get(statement.claims, &claims, NULL) == 0 &&
           memcmp(claims.service, bft->service, sizeof bft->service) == 0 &&
           claims.view > bft->view;
}

void on_newest(struct bft *bft, uint32_t from, const struct peer_newest *message)
{
    struct peer_state *peer = peer_of(bft, from);
    const struct configuration *configuration = speaks_in(bft);
    if (bft->mode != BFT_SILENT || !peer || peer->newest_answered ||
        memcmp(message->challenge, bft->challenge, sizeof bft->challenge) != 0 ||
        position_in(configuration, from) == NOWHERE) {
        return;
    }
    if (!BFT_GUARD_IS_OFF(AMNESIA_SILENCE) &&
        (is_newer_batch(bft, &message->batch) || is_newer_view(bft, &message->view))) {
        halt(bft, WM_E_STALE,
             "replica %u: others hold a newer statement of this replica than its disk does: the "
             "disk is an old copy, or was emptied. It must not speak again; have it replaced by "
             "governance, under a new key",
             bft->replica);
        return;
    }
    peer->newest_answered = true;
    bft->newest_answers++;
    end_silence_if_heard(bft);
}
