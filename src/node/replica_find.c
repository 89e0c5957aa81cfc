/* What was committed, with its proofs, from memory and from the log. */
#include <string.h>

#include "base/assert.h"
#include "ledger/receipts.h"
#include "node/replica_internal.h"

#define LATER_MAX 256u /* batches in which a quorum for an old one is looked for */

static int claims_of(struct wm_view preprepare, struct preprepare_entry *entry,
                     struct preprepare_claims *claims)
{
    struct cose_statement statement;
    if (!preprepare_entry_get(preprepare, entry, NULL) || !cose_header(entry->header, &statement)) {
        return WM_E_MALFORMED;
    }
    return preprepare_claims_get(statement.claims, claims, NULL);
}

/* The quorum of a committed batch: from agreement, or from the evidence in a later batch. */
static int quorum_of(struct replica *replica, const struct bft_entries *entries,
                     struct wm_arena *arena, struct quorum *out)
{
    if (bft_quorum(replica->bft, entries->seqno, out)) {
        return 0;
    }
    for (uint64_t s = entries->seqno + 1; s <= entries->seqno + 2 * LEDGER_PIPELINE_MAX; s++) {
        const struct configuration *configuration =
            executor_configuration(replica->executor, entries->cfg);
        struct bft_entries later;
        int rc = replica_entries(replica, s, arena, &later, NULL);
        if (rc != 0) {
            return rc;
        }
        if (later.evidence.len > 0 && configuration &&
            receipt_quorum(entries->preprepare, later.evidence, configuration->replica_count, out,
                           NULL) == 0) {
            return 0;
        }
    }
    return WM_E_NOT_FOUND;
}

/* A receipt by a later batch's quorum, whose root covers this one's pre-prepare. */
static int chained(struct replica *replica, const struct kept_batch *batch, uint32_t position,
                   struct wm_view header, struct wm_arena *arena, uint8_t *out, size_t *len)
{
    for (uint64_t s = batch->seqno + 1; s <= batch->seqno + LATER_MAX; s++) {
        struct bft_entries later;
        struct quorum quorum;
        int rc = replica_entries(replica, s, arena, &later, NULL);
        if (rc != 0) {
            return rc;
        }
        if (quorum_of(replica, &later, arena, &quorum) == 0) {
            struct preprepare_entry entry;
            struct preprepare_claims claims;
            rc = claims_of(later.preprepare, &entry, &claims);
            if (rc == 0 && !quorum.has_root) {
                quorum.has_root = true;
                memcpy(quorum.root, entry.root, sizeof quorum.root);
            }
            rc = rc ? rc
                    : receipt_chained(batch, position, header, &quorum, &replica->index.tree, out,
                                      len, NULL);
            return rc;
        }
    }
    return WM_E_NOT_FOUND;
}

/* The receipt of a transaction, with its arguments and result, which stay where `entries` are. */
static int receipt_of(struct replica *replica, uint64_t index, const uint8_t *request,
                      struct kept_batch *batch, struct wm_arena *arena, struct client_receipt *out)
{
    uint64_t seqno = replica_index_batch_of(&replica->index, index);
    struct bft_entries entries;
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    struct transaction_item item;
    struct quorum quorum;
    int rc = replica_entries(replica, seqno, arena, &entries, NULL);
    rc = rc ? rc : claims_of(entries.preprepare, &entry, &claims);
    rc = rc ? rc : kept_read(batch, &claims, entries.transactions, NULL);
    if (rc != 0) {
        return rc;
    }
    uint32_t position = (uint32_t)(index - batch->first_index);
    if (request && memcmp(batch->requests[position], request, sizeof(ledger_hash)) != 0) {
        return WM_E_NOT_FOUND;
    }
    uint8_t *bytes = wm_arena_take(arena, LEDGER_RECEIPT_BYTES_MAX, 1);
    size_t len = 0;
    if (!bytes) {
        return WM_E_LIMIT;
    }
    rc = quorum_of(replica, &entries, arena, &quorum);
    if (rc == 0) {
        receipt_direct(batch, position, &quorum, bytes, &len);
    } else {
        rc = chained(replica, batch, position, entry.header, arena, bytes, &len);
    }
    if (rc != 0) {
        return rc;
    }
    kept_item(batch, position, &item);
    memcpy(out->request, batch->requests[position], sizeof out->request);
    out->receipt = wm_view_of(bytes, len);
    out->has_arguments = item.has_arguments;
    out->arguments = item.arguments;
    out->has_result = item.has_result;
    out->result = item.result;
    return 0;
}

static struct wm_view copy(struct wm_arena *arena, struct wm_view bytes)
{
    uint8_t *to = wm_arena_take(arena, bytes.len, 1);
    if (!to) {
        return wm_view_of(NULL, 0);
    }
    if (bytes.len > 0) {
        memcpy(to, bytes.ptr, bytes.len);
    }
    return wm_view_of(to, bytes.len);
}

static int receipt_in(struct replica *replica, uint64_t index, const uint8_t *request,
                      struct wm_arena *arena, struct client_receipt *out)
{
    struct kept_batch batch;
    kept_init(&batch);
    int rc = receipt_of(replica, index, request, &batch, arena, out);
    if (rc == 0) {
        out->arguments = copy(arena, out->arguments);
        out->result = copy(arena, out->result);
    }
    kept_fini(&batch);
    return rc;
}

void replica_find(struct replica *replica, const struct client_find *find, struct wm_arena *arena,
                  struct client_receipt *out)
{
    uint64_t at = 0, index = find->index;
    int rc = WM_E_NOT_FOUND;
    memset(out, 0, sizeof *out);
    if (find->by_index) {
        rc = receipt_in(replica, index, NULL, arena, out);
    } else {
        while (rc != 0 && replica_index_find(&replica->index, find->request, &at, &index)) {
            rc = receipt_in(replica, index, find->request, arena, out);
        }
    }
    if (rc != 0) {
        *out = (struct client_receipt){.text = wm_view_str("no such transaction is committed here, "
                                                           "or its quorum is not known here yet")};
        memcpy(out->request, find->request, sizeof out->request);
    }
}

/* --- The governance chain: transactions, from the newest back, as each batch names the one before
 * --- */

static int link_of(struct replica *replica, uint64_t index, struct wm_arena *arena,
                   struct wm_view *out)
{
    struct client_receipt receipt;
    int rc = receipt_in(replica, index, NULL, arena, &receipt);
    if (rc != 0) {
        return rc;
    }
    struct chain_link link = {.kind = CHAIN_TRANSACTION,
                              .receipt = receipt.receipt,
                              .arguments = receipt.arguments,
                              .result = receipt.result};
    struct cbor_writer writer = cbor_writer_of(NULL, 0);
    chain_link_put(&writer, &link);
    uint8_t *bytes = wm_arena_take(arena, writer.len, 1);
    if (!bytes) {
        return WM_E_LIMIT;
    }
    *out = wm_view_of(bytes, writer.len);
    writer = cbor_writer_of(bytes, writer.len);
    chain_link_put(&writer, &link);
    return 0;
}

/* The quorum that ended the configuration whose final vote was in this batch. */
static int ended_of(struct replica *replica, uint64_t seqno, struct wm_arena *arena,
                    struct wm_view *out)
{
    struct bft_entries entries;
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    struct chain_link link = {.kind = CHAIN_ENDED};
    for (uint64_t s = seqno + 1; s <= seqno + 2 * LEDGER_PIPELINE_MAX; s++) {
        int rc = replica_entries(replica, s, arena, &entries, NULL);
        rc = rc ? rc : claims_of(entries.preprepare, &entry, &claims);
        if (rc != 0 || claims.kind != BATCH_END) {
            return WM_E_NOT_FOUND;
        }
        const struct configuration *left = executor_configuration(replica->executor, claims.cfg);
        if (!left || claims.phase < left->parameters.pipeline ||
            quorum_of(replica, &entries, arena, &link.quorum) != 0) {
            continue;
        }
        link.quorum.has_root = true;
        memcpy(link.quorum.root, entry.root, sizeof entry.root);
        struct cbor_writer writer = cbor_writer_of(NULL, 0);
        chain_link_put(&writer, &link);
        uint8_t *bytes = wm_arena_take(arena, writer.len, 1);
        if (!bytes) {
            return WM_E_LIMIT;
        }
        *out = wm_view_of(bytes, writer.len);
        writer = cbor_writer_of(bytes, writer.len);
        chain_link_put(&writer, &link);
        return 0;
    }
    return WM_E_NOT_FOUND;
}

void replica_chain(struct replica *replica, const struct client_chain *ask, struct wm_arena *arena,
                   struct client_links *out)
{
    WM_VEC(uint64_t) indices = {0};
    WM_VEC(struct wm_view) links = {0};
    uint64_t index = executor_head(replica->executor)->governance;
    int rc = 0;
    while (index != 0 && rc == 0) {
        struct bft_entries entries;
        struct preprepare_entry entry;
        struct preprepare_claims claims;
        rc = wm_vec_push(&indices, index);
        rc = rc ? rc
                : replica_entries(replica, replica_index_batch_of(&replica->index, index), arena,
                                  &entries, NULL);
        rc = rc ? rc : claims_of(entries.preprepare, &entry, &claims);
        index = claims.governance;
    }
    for (size_t i = indices.count; rc == 0 && i-- > 0;) {
        struct wm_view link;
        rc = link_of(replica, indices.items[i], arena, &link);
        rc = rc ? rc : wm_vec_push(&links, link);
        uint64_t seqno = replica_index_batch_of(&replica->index, indices.items[i]);
        if (rc == 0 && ended_of(replica, seqno, arena, &link) == 0) {
            rc = wm_vec_push(&links, link);
        }
    }
    size_t len = 0, room = CLIENT_MESSAGE_BYTES_MAX - 64u;
    uint8_t *bytes = wm_arena_take(arena, room, 1);
    *out = (struct client_links){.have = ask->have, .total = links.count};
    for (uint64_t i = ask->have; bytes && i < links.count; i++) {
        if (links.items[i].len > room - len) {
            break; /* the client asks for the rest */
        }
        memcpy(bytes + len, links.items[i].ptr, links.items[i].len);
        len += links.items[i].len;
        out->count++;
    }
    out->links = wm_view_of(bytes, len);
    wm_vec_fini(&indices);
    wm_vec_fini(&links);
}

/* --- The state --- */

void replica_read_state(struct replica *replica, const struct client_read *ask,
                        struct wm_arena *arena, struct client_value *out)
{
    const struct vmap *state = executor_state(replica->executor);
    uint64_t seqno = executor_head(replica->executor)->seqno;
    struct bft_entries entries;
    struct quorum quorum;
    struct trie_proof found;
    struct state_proof proof = {.path_len = 0};
    *out = (struct client_value){.number = ask->number};
    if (replica_entries(replica, seqno, arena, &entries, NULL) != 0 ||
        quorum_of(replica, &entries, arena, &quorum) != 0) {
        return; /* no quorum is known: nothing that could be believed */
    }
    if (!quorum.has_root) {
        struct preprepare_entry entry;
        quorum.has_root = preprepare_entry_get(entries.preprepare, &entry, NULL);
        memcpy(quorum.root, entry.root, sizeof quorum.root);
    }
    out->present = vmap_get_at(state, seqno, ask->key, &out->value);
    vmap_prove(state, seqno, ask->key, &found);
    proof.empty = found.empty;
    memcpy(proof.key_hash, found.key_hash, sizeof proof.key_hash);
    memcpy(proof.value_hash, found.value_hash, sizeof proof.value_hash);
    proof.path_len = found.path_len;
    for (uint32_t i = 0; i < found.path_len; i++) {
        proof.path[i].bit = found.path[i].bit;
        memcpy(proof.path[i].sibling, found.path[i].sibling, sizeof(ledger_hash));
    }
    struct cbor_writer writer = cbor_writer_of(NULL, 0);
    state_proof_put(&writer, &proof);
    size_t room = writer.len + QUORUM_BYTES_MAX;
    uint8_t *bytes = wm_arena_take(arena, room, 1);
    if (!bytes) {
        return;
    }
    writer = cbor_writer_of(bytes, room);
    state_proof_put(&writer, &proof);
    out->proof = wm_view_of(bytes, writer.len);
    size_t at = writer.len;
    quorum_put(&writer, &quorum);
    WM_ASSERT(cbor_fits(&writer));
    out->quorum = wm_view_of(bytes + at, writer.len - at);
}
