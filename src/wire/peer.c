/* Messages between replicas as CBOR; doc/format/ledger.md, section Messages. */
#include "wire/peer.h"

#include "base/assert.h"
#include "wire/item.h"

/* Items of each kind, the kind itself counted; 0: there is no such message. */
static const uint8_t item_counts[] = {
    [PEER_REQUEST] = 3,          [PEER_PREPREPARE] = 4,    [PEER_PREPARE] = 2,
    [PEER_COMMIT] = 6,           [PEER_VIEW_CHANGE] = 2,   [PEER_NEW_VIEW] = 4,
    [PEER_FETCH_REQUESTS] = 2,   [PEER_FETCH_ENTRIES] = 3, [PEER_ENTRIES] = 5,
    [PEER_STATUS] = 8,           [PEER_ASK_NEWEST] = 2,    [PEER_NEWEST] = 4,
    [PEER_FETCH_CHECKPOINT] = 0, [PEER_CHECKPOINT] = 0,
};

/* --- Parts --- */

static void parts_or_null_put(struct cbor_writer *writer, const struct statement_parts *parts)
{
    if (parts->header.len == 0) {
        cbor_put_null(writer);
    } else {
        item_put_parts(writer, parts);
    }
}

static bool parts_or_null(struct cbor_reader *reader, struct statement_parts *out)
{
    out->header = wm_view_of(NULL, 0);
    return cbor_peek(reader) == CBOR_ARRAY ? item_parts(reader, out) : cbor_null(reader);
}

static bool hashes(struct cbor_reader *reader, uint32_t *count, struct wm_view *out)
{
    if (!item_bytes(reader, 0, LEDGER_BATCH_MAX * LEDGER_HASH_BYTES, out)) {
        return false;
    }
    *count = (uint32_t)(out->len / LEDGER_HASH_BYTES);
    return out->len % LEDGER_HASH_BYTES == 0 || cbor_fail(reader, "a hash is cut off");
}

static void entries_put(struct cbor_writer *writer, const struct peer_entries *entries)
{
    cbor_put_uint(writer, entries->from_seqno);
    item_put_hash(writer, entries->name);
    if (entries->has_quorum) {
        quorum_put(writer, &entries->quorum);
    } else {
        cbor_put_null(writer);
    }
    cbor_put_array(writer, entries->count);
    cbor_put_raw(writer, entries->entries);
}

static bool entries_get(struct cbor_reader *reader, struct peer_entries *out)
{
    struct wm_view entry;
    if (!item_counted(reader, &out->from_seqno) || !item_hash(reader, out->name)) {
        return false;
    }
    out->has_quorum = cbor_peek(reader) == CBOR_ARRAY;
    if (!(out->has_quorum ? quorum_get(reader, &out->quorum) : cbor_null(reader)) ||
        !cbor_array(reader, &out->count)) {
        return false;
    }
    const uint8_t *start = reader->cursor.at;
    for (uint64_t i = 0; i < out->count; i++) {
        if (!cbor_bytes(reader, &entry)) {
            return false;
        }
    }
    out->entries = wm_view_of(start, (size_t)(reader->cursor.at - start));
    return true;
}

static bool commit_get(struct cbor_reader *reader, struct peer_commit *out)
{
    return item_number(reader, &out->cfg) && item_number(reader, &out->view) &&
           item_counted(reader, &out->seqno) && item_position(reader, &out->replica) &&
           item_hash(reader, out->nonce);
}

static bool status_get(struct cbor_reader *reader, struct peer_status *out)
{
    return item_number(reader, &out->cfg) && item_number(reader, &out->view) &&
           cbor_bool(reader, &out->in_view) && item_number(reader, &out->prepared_seqno) &&
           item_number(reader, &out->committed_seqno) &&
           item_number(reader, &out->evidenced_seqno) &&
           item_number(reader, &out->checkpoint_seqno);
}

/* --- Messages --- */

void peer_message_put(struct cbor_writer *writer, const struct peer_message *message)
{
    cbor_put_array(writer, item_counts[message->kind]);
    cbor_put_uint(writer, message->kind);
    switch (message->kind) {
    case PEER_REQUEST:
        cbor_put_bytes(writer, message->request.request);
        cbor_put_bytes(writer, message->request.arguments);
        break;
    case PEER_PREPREPARE:
        item_put_parts(writer, &message->preprepare.statement);
        cbor_put_bytes(writer, message->preprepare.evidence);
        cbor_put_bytes(writer, message->preprepare.requests);
        break;
    case PEER_PREPARE: item_put_parts(writer, &message->prepare.statement); break;
    case PEER_COMMIT:
        cbor_put_uint(writer, message->commit.cfg);
        cbor_put_uint(writer, message->commit.view);
        cbor_put_uint(writer, message->commit.seqno);
        cbor_put_uint(writer, message->commit.replica);
        item_put_hash(writer, message->commit.nonce);
        break;
    case PEER_VIEW_CHANGE: viewchange_put(writer, &message->viewchange); break;
    case PEER_NEW_VIEW:
        cbor_put_bytes(writer, message->newview.entry.header);
        item_put_signature(writer, message->newview.entry.signature);
        cbor_put_bytes(writer, message->newview.viewchanges);
        break;
    case PEER_FETCH_REQUESTS: cbor_put_bytes(writer, message->fetch_requests.requests); break;
    case PEER_FETCH_ENTRIES:
        cbor_put_uint(writer, message->fetch_entries.from_seqno);
        item_put_hash(writer, message->fetch_entries.name);
        break;
    case PEER_ENTRIES: entries_put(writer, &message->entries); break;
    case PEER_STATUS:
        cbor_put_uint(writer, message->status.cfg);
        cbor_put_uint(writer, message->status.view);
        cbor_put_bool(writer, message->status.in_view);
        cbor_put_uint(writer, message->status.prepared_seqno);
        cbor_put_uint(writer, message->status.committed_seqno);
        cbor_put_uint(writer, message->status.evidenced_seqno);
        cbor_put_uint(writer, message->status.checkpoint_seqno);
        break;
    case PEER_ASK_NEWEST: item_put_hash(writer, message->ask_newest.challenge); break;
    case PEER_NEWEST:
        item_put_hash(writer, message->newest.challenge);
        parts_or_null_put(writer, &message->newest.batch);
        parts_or_null_put(writer, &message->newest.view);
        break;
    case PEER_FETCH_CHECKPOINT:
    case PEER_CHECKPOINT: WM_ASSERT(false); /* reserved */
    }
}

static bool body_get(struct cbor_reader *reader, struct peer_message *out)
{
    switch (out->kind) {
    case PEER_REQUEST:
        return item_bytes(reader, 1, REQUEST_BYTES_MAX, &out->request.request) &&
               item_bytes(reader, 0, REQUEST_ARGUMENTS_BYTES_MAX, &out->request.arguments);
    case PEER_PREPREPARE:
        return item_parts(reader, &out->preprepare.statement) &&
               item_bytes(reader, 0, EVIDENCE_BYTES_MAX, &out->preprepare.evidence) &&
               hashes(reader, &out->preprepare.count, &out->preprepare.requests);
    case PEER_PREPARE: return item_parts(reader, &out->prepare.statement);
    case PEER_COMMIT: return commit_get(reader, &out->commit);
    case PEER_VIEW_CHANGE: return viewchange_get(reader, &out->viewchange);
    case PEER_NEW_VIEW:
        return item_header(reader, &out->newview.entry.header) &&
               item_signature(reader, out->newview.entry.signature) &&
               item_bytes(reader, 1, VIEWCHANGES_BYTES_MAX, &out->newview.viewchanges);
    case PEER_FETCH_REQUESTS:
        return hashes(reader, &out->fetch_requests.count, &out->fetch_requests.requests);
    case PEER_FETCH_ENTRIES:
        return item_counted(reader, &out->fetch_entries.from_seqno) &&
               item_hash(reader, out->fetch_entries.name);
    case PEER_ENTRIES: return entries_get(reader, &out->entries);
    case PEER_STATUS: return status_get(reader, &out->status);
    case PEER_ASK_NEWEST: return item_hash(reader, out->ask_newest.challenge);
    case PEER_NEWEST:
        return item_hash(reader, out->newest.challenge) &&
               parts_or_null(reader, &out->newest.batch) &&
               parts_or_null(reader, &out->newest.view);
    case PEER_FETCH_CHECKPOINT:
    case PEER_CHECKPOINT: break;
    }
    return cbor_fail(reader, "there is no such message between replicas");
}

int peer_message_get(struct wm_view bytes, struct peer_message *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    uint64_t items = 0;
    uint32_t kind = 0;
    if (bytes.len > PEER_MESSAGE_BYTES_MAX) {
        cbor_fail(&reader, "it is too long");
    }
    bool ok = cbor_array(&reader, &items) && cbor_uint32(&reader, &kind);
    if (ok &&
        (kind >= sizeof item_counts || item_counts[kind] == 0 || items != item_counts[kind])) {
        ok = cbor_fail(&reader, "there is no such message between replicas");
    }
    out->kind = (enum peer_kind)kind;
    return ok && body_get(&reader, out) && cbor_end(&reader) ? 0
                                                             : cbor_diag(&reader, "message", diag);
}
