/* Messages between clients of a ledger and its replicas as CBOR; doc/format/ledger.md. */
#include "wire/client.h"

#include "wire/item.h"

/* Items of each kind, the kind itself counted. */
static const uint8_t item_counts[] = {
    [CLIENT_HELLO] = 9,    [CLIENT_SUBMIT] = 4, [CLIENT_REFUSED] = 5, [CLIENT_REPLY] = 9,
    [CLIENT_REPLYX] = 8,   [CLIENT_FIND] = 2,   [CLIENT_RECEIPT] = 6, [CLIENT_CHAIN] = 2,
    [CLIENT_LINKS] = 4,    [CLIENT_READ] = 3,   [CLIENT_VALUE] = 5,   [CLIENT_FOLLOW] = 2,
    [CLIENT_FOLLOWED] = 4, [CLIENT_STATUS] = 1, [CLIENT_STATE] = 16,
};

/* --- Parts --- */

static void hello_put(struct cbor_writer *writer, const struct client_hello *hello)
{
    item_put_hash(writer, hello->service);
    cbor_put_uint(writer, hello->replica);
    cbor_put_uint(writer, hello->cfg);
    cbor_put_uint(writer, hello->view);
    cbor_put_uint(writer, hello->committed_seqno);
    cbor_put_uint(writer, hello->next_index);
    cbor_put_uint(writer, hello->governance);
    cbor_put_uint(writer, hello->primary);
}

static bool hello_get(struct cbor_reader *reader, struct client_hello *out)
{
    return item_hash(reader, out->service) && cbor_uint32(reader, &out->replica) &&
           item_number(reader, &out->cfg) && item_number(reader, &out->view) &&
           item_number(reader, &out->committed_seqno) && item_number(reader, &out->next_index) &&
           item_number(reader, &out->governance) && cbor_uint32(reader, &out->primary);
}

static void reply_put(struct cbor_writer *writer, const struct client_reply *reply)
{
    cbor_put_uint(writer, reply->cfg);
    cbor_put_uint(writer, reply->view);
    cbor_put_uint(writer, reply->seqno);
    cbor_put_uint(writer, reply->position);
    cbor_put_bool(writer, reply->primary);
    item_put_hash(writer, reply->preprepare);
    item_put_signature(writer, reply->signature);
    item_put_hash(writer, reply->nonce);
}

static bool reply_get(struct cbor_reader *reader, struct client_reply *out)
{
    return item_number(reader, &out->cfg) && item_number(reader, &out->view) &&
           item_counted(reader, &out->seqno) && item_position(reader, &out->position) &&
           cbor_bool(reader, &out->primary) && item_hash(reader, out->preprepare) &&
           item_signature(reader, out->signature) && item_hash(reader, out->nonce);
}

static void replyx_put(struct cbor_writer *writer, const struct client_replyx *replyx)
{
    item_put_hash(writer, replyx->request);
    item_put_parts(writer, &replyx->preprepare);
    cbor_put_uint(writer, replyx->index);
    cbor_put_uint(writer, replyx->position);
    item_put_path(writer, replyx->path, replyx->path_len);
    request_output_put(writer, &replyx->output);
    item_put_bytes_or_null(writer, replyx->has_result, replyx->result);
}

static bool replyx_get(struct cbor_reader *reader, struct client_replyx *out)
{
    return item_hash(reader, out->request) && item_parts(reader, &out->preprepare) &&
           item_counted(reader, &out->index) &&
           item_between(reader, 0, LEDGER_BATCH_MAX - 1, &out->position) &&
           item_path(reader, out->path, BATCH_PATH_MAX, &out->path_len) &&
           request_output_get(reader, &out->output) &&
           item_bytes_or_null(reader, REQUEST_RESULT_BYTES_MAX, &out->has_result, &out->result);
}

static void receipt_put(struct cbor_writer *writer, const struct client_receipt *receipt)
{
    item_put_hash(writer, receipt->request);
    cbor_put_bytes(writer, receipt->receipt);
    item_put_bytes_or_null(writer, receipt->has_arguments, receipt->arguments);
    item_put_bytes_or_null(writer, receipt->has_result, receipt->result);
    cbor_put_text(writer, receipt->text);
}

static bool receipt_get(struct cbor_reader *reader, struct client_receipt *out)
{
    return item_hash(reader, out->request) &&
           item_bytes(reader, 0, LEDGER_RECEIPT_BYTES_MAX, &out->receipt) &&
           item_bytes_or_null(reader, REQUEST_ARGUMENTS_BYTES_MAX, &out->has_arguments,
                              &out->arguments) &&
           item_bytes_or_null(reader, REQUEST_RESULT_BYTES_MAX, &out->has_result, &out->result) &&
           item_text(reader, 0, CLIENT_TEXT_BYTES_MAX, &out->text);
}

static void links_put(struct cbor_writer *writer, const struct client_links *links)
{
    cbor_put_uint(writer, links->have);
    cbor_put_uint(writer, links->total);
    cbor_put_array(writer, links->count);
    cbor_put_raw(writer, links->links);
}

static bool links_get(struct cbor_reader *reader, struct client_links *out)
{
    if (!item_number(reader, &out->have) || !item_number(reader, &out->total) ||
        !cbor_array(reader, &out->count)) {
        return false;
    }
    struct chain_link link;
    const uint8_t *start = reader->cursor.at;
    for (uint64_t i = 0; i < out->count; i++) {
        if (!chain_link_get(reader, &link)) {
            return false;
        }
    }
    out->links = wm_view_of(start, (size_t)(reader->cursor.at - start));
    return true;
}

/* Proof and quorum are checked in form, and stay encoded: who believes them reads them himself. */
static bool value_get(struct cbor_reader *reader, struct client_value *out)
{
    struct state_proof proof;
    struct quorum quorum;
    if (!cbor_uint(reader, &out->number) ||
        !item_bytes_or_null(reader, STATE_VALUE_BYTES_MAX, &out->present, &out->value)) {
        return false;
    }
    const uint8_t *start = reader->cursor.at;
    if (!state_proof_get(reader, &proof)) {
        return false;
    }
    const uint8_t *middle = reader->cursor.at;
    if (!quorum_get(reader, &quorum)) {
        return false;
    }
    out->proof = wm_view_of(start, (size_t)(middle - start));
    out->quorum = wm_view_of(middle, (size_t)(reader->cursor.at - middle));
    return true;
}

static void state_put(struct cbor_writer *writer, const struct client_state *state)
{
    const uint64_t numbers[] = {state->cfg,
                                state->view,
                                state->head_seqno,
                                state->committed_seqno,
                                state->next_index,
                                state->governance,
                                state->primary,
                                state->pool_requests,
                                state->checkpoint_seqno,
                                state->ledger_bytes,
                                state->state_pairs,
                                state->state_bytes};
    cbor_put_uint(writer, state->mode);
    cbor_put_text(writer, state->mode_text);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        cbor_put_uint(writer, numbers[i]);
    }
    cbor_put_array(writer, state->peer_count);
    for (uint32_t i = 0; i < state->peer_count; i++) {
        const struct client_peer_state *peer = &state->peers[i];
        cbor_put_array(writer, 5);
        cbor_put_uint(writer, peer->replica);
        cbor_put_bool(writer, peer->connected);
        cbor_put_bool(writer, peer->suspected);
        cbor_put_uint(writer, peer->view);
        cbor_put_uint(writer, peer->committed_seqno);
    }
}

static bool state_get(struct cbor_reader *reader, struct client_state *out)
{
    uint64_t count;
    bool ok = cbor_uint32(reader, &out->mode) &&
              item_text(reader, 0, CLIENT_TEXT_BYTES_MAX, &out->mode_text) &&
              item_number(reader, &out->cfg) && item_number(reader, &out->view) &&
              item_number(reader, &out->head_seqno) && item_number(reader, &out->committed_seqno) &&
              item_number(reader, &out->next_index) && item_number(reader, &out->governance) &&
              cbor_uint32(reader, &out->primary) && cbor_uint32(reader, &out->pool_requests) &&
              item_number(reader, &out->checkpoint_seqno) &&
              cbor_uint(reader, &out->ledger_bytes) && cbor_uint(reader, &out->state_pairs) &&
              cbor_uint(reader, &out->state_bytes) && cbor_array(reader, &count);
    if (ok && count > LEDGER_REPLICAS_MAX) {
        ok = cbor_fail(reader, "there are more than 64 replicas");
    }
    out->peer_count = ok ? (uint32_t)count : 0;
    for (uint32_t i = 0; ok && i < out->peer_count; i++) {
        struct client_peer_state *peer = &out->peers[i];
        ok = cbor_array_of(reader, 5) && cbor_uint32(reader, &peer->replica) &&
             cbor_bool(reader, &peer->connected) && cbor_bool(reader, &peer->suspected) &&
             item_number(reader, &peer->view) && item_number(reader, &peer->committed_seqno);
    }
    return ok;
}

/* --- Messages --- */

void client_message_put(struct cbor_writer *writer, const struct client_message *message)
{
    cbor_put_array(writer, item_counts[message->kind]);
    cbor_put_uint(writer, message->kind);
    switch (message->kind) {
    case CLIENT_HELLO: hello_put(writer, &message->hello); break;
    case CLIENT_SUBMIT:
        cbor_put_bytes(writer, message->submit.request);
        cbor_put_bytes(writer, message->submit.arguments);
        cbor_put_bool(writer, message->submit.wants_replyx);
        break;
    case CLIENT_REFUSED:
        item_put_hash(writer, message->refused.request);
        cbor_put_uint(writer, message->refused.code);
        cbor_put_uint(writer, message->refused.retry_ms);
        cbor_put_text(writer, message->refused.text);
        break;
    case CLIENT_REPLY: reply_put(writer, &message->reply); break;
    case CLIENT_REPLYX: replyx_put(writer, &message->replyx); break;
    case CLIENT_FIND:
        if (message->find.by_index) {
            cbor_put_uint(writer, message->find.index);
        } else {
            item_put_hash(writer, message->find.request);
        }
        break;
    case CLIENT_RECEIPT: receipt_put(writer, &message->receipt); break;
    case CLIENT_CHAIN: cbor_put_uint(writer, message->chain.have); break;
    case CLIENT_LINKS: links_put(writer, &message->links); break;
    case CLIENT_READ:
        cbor_put_uint(writer, message->read.number);
        cbor_put_bytes(writer, message->read.key);
        break;
    case CLIENT_VALUE:
        cbor_put_uint(writer, message->value.number);
        item_put_bytes_or_null(writer, message->value.present, message->value.value);
        cbor_put_raw(writer, message->value.proof);
        cbor_put_raw(writer, message->value.quorum);
        break;
    case CLIENT_FOLLOW: cbor_put_uint(writer, message->follow.from_index); break;
    case CLIENT_FOLLOWED:
        cbor_put_uint(writer, message->followed.seqno);
        cbor_put_bytes(writer, message->followed.preprepare);
        cbor_put_bytes(writer, message->followed.transactions);
        break;
    case CLIENT_STATUS: break;
    case CLIENT_STATE: state_put(writer, &message->state); break;
    }
}

static bool body_get(struct cbor_reader *reader, struct client_message *out)
{
    switch (out->kind) {
    case CLIENT_HELLO: return hello_get(reader, &out->hello);
    case CLIENT_SUBMIT:
        return item_bytes(reader, 1, REQUEST_BYTES_MAX, &out->submit.request) &&
               item_bytes(reader, 0, REQUEST_ARGUMENTS_BYTES_MAX, &out->submit.arguments) &&
               cbor_bool(reader, &out->submit.wants_replyx);
    case CLIENT_REFUSED:
        return item_hash(reader, out->refused.request) && cbor_uint32(reader, &out->refused.code) &&
               cbor_uint32(reader, &out->refused.retry_ms) &&
               item_text(reader, 0, CLIENT_TEXT_BYTES_MAX, &out->refused.text);
    case CLIENT_REPLY: return reply_get(reader, &out->reply);
    case CLIENT_REPLYX: return replyx_get(reader, &out->replyx);
    case CLIENT_FIND:
        out->find.by_index = cbor_peek(reader) == CBOR_UINT;
        return out->find.by_index ? item_counted(reader, &out->find.index)
                                  : item_hash(reader, out->find.request);
    case CLIENT_RECEIPT: return receipt_get(reader, &out->receipt);
    case CLIENT_CHAIN: return item_number(reader, &out->chain.have);
    case CLIENT_LINKS: return links_get(reader, &out->links);
    case CLIENT_READ:
        return cbor_uint(reader, &out->read.number) &&
               item_bytes(reader, 1, STATE_KEY_BYTES_MAX, &out->read.key);
    case CLIENT_VALUE: return value_get(reader, &out->value);
    case CLIENT_FOLLOW: return item_number(reader, &out->follow.from_index);
    case CLIENT_FOLLOWED:
        return item_counted(reader, &out->followed.seqno) &&
               item_bytes(reader, 1, PREPREPARE_ENTRY_BYTES_MAX, &out->followed.preprepare) &&
               item_bytes(reader, 1, CLIENT_MESSAGE_BYTES_MAX, &out->followed.transactions);
    case CLIENT_STATUS: return true;
    case CLIENT_STATE: return state_get(reader, &out->state);
    }
    return false;
}

int client_message_get(struct wm_view bytes, struct client_message *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    uint64_t items = 0;
    uint32_t kind = 0;
    if (bytes.len > CLIENT_MESSAGE_BYTES_MAX) {
        cbor_fail(&reader, "it is too long");
    }
    bool ok = cbor_array(&reader, &items) && cbor_uint32(&reader, &kind);
    if (ok && (kind < CLIENT_HELLO || kind > CLIENT_STATE || items != item_counts[kind])) {
        ok = cbor_fail(&reader, "there is no such message between client and replica");
    }
    out->kind = (enum client_kind)kind;
    return ok && body_get(&reader, out) && cbor_end(&reader) ? 0
                                                             : cbor_diag(&reader, "message", diag);
}
