/* Checkpoints. The head repeats nothing that follows from its pre-prepare or from the state:
 * whoever makes one up has little to choose. */
#include "ledger/checkpoint.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"
#include "ledger/executor_internal.h"
#include "proof/agreement.h"

#define PIECE_HEAD 16u /* room in front, for the head of the array */
#define PIECE_ROOM \
    (PIECE_HEAD + CHECKPOINT_PIECE_BYTES + VMAP_KEY_BYTES_MAX + VMAP_VALUE_BYTES_MAX + 16u)
_Static_assert(PIECE_ROOM <= CHECKPOINT_ITEM_BYTES_MAX, "of a piece");
_Static_assert(2 * GENESIS_BYTES_MAX + PREPREPARE_ENTRY_BYTES_MAX <= CHECKPOINT_ITEM_BYTES_MAX,
               "of a head: a configuration, the tree's hashes and less");

struct checkpoint {
    uint64_t seqno;
    struct vmap_snapshot *snapshot;
    size_t head_len;
    uint8_t head[];
};

struct checkpoint_reader {
    struct executor *executor; /* whose state grows */
    struct preprepare_entry preprepare;
    struct preprepare_claims claims;
    uint64_t governance, nonempty_seqno;
    uint64_t pairs, taken;
    trie_hash last; /* hash of the newest pair's key */
};

/* --- Writing --- */

static void put_ledger(struct cbor_writer *writer, const struct merkle *ledger)
{
    cbor_put_array(writer, 2);
    cbor_put_uint(writer, ledger->count);
    cbor_put_array(writer, (uint64_t)__builtin_popcountll(ledger->count));
    for (uint32_t level = MERKLE_LEVELS_MAX + 1; level-- > 0;) {
        if (ledger->count >> level & 1) {
            cbor_put_bytes(writer, wm_view_of(ledger->full[level], MERKLE_HASH_BYTES));
        }
    }
}

static void put_head(struct cbor_writer *writer, const struct executor *executor, uint64_t pairs)
{
    const struct bft_head *head = &executor->head;
    cbor_put_array(writer, 10);
    cbor_put_uint(writer, COSE_TYPE_CHECKPOINT);
    cbor_put_uint(writer, LEDGER_VERSION);
    cbor_put_bytes(writer, wm_view_of(executor->service, sizeof executor->service));
    cbor_put_bytes(writer, wm_view_of(executor->preprepare, executor->preprepare_len));
    put_ledger(writer, &executor->before_preprepare);
    cbor_put_uint(writer, head->governance);
    cbor_put_uint(writer, head->nonempty_seqno);
    cbor_put_array(writer, 2);
    for (uint32_t i = 0; i < 2; i++) {
        cbor_put_array(writer, 2);
        cbor_put_uint(writer, head->checkpoints[i].seqno);
        cbor_put_bytes(writer, wm_view_of(head->checkpoints[i].state_root, sizeof(ledger_hash)));
    }
    /* The newest configuration is in the state; the one before it may still be in force, or be
     * what evidence is about. */
    size_t configurations = executor_committed_configurations(executor);
    if (configurations > 1) {
        const struct executor_configuration *previous =
            executor->configurations.items[configurations - 2];
        cbor_put_bytes(writer, wm_view_of(previous->bytes, previous->len));
    } else {
        cbor_put_null(writer);
    }
    cbor_put_uint(writer, pairs);
}

int checkpoint_begin(struct executor *executor, struct checkpoint **out)
{
    WM_ASSERT(executor->head.seqno > 0);
    struct vmap_snapshot *snapshot = vmap_snapshot(executor->state, executor->head.seqno);
    if (!snapshot) {
        return -ENOMEM;
    }
    uint64_t pairs = vmap_snapshot_count(snapshot);
    struct cbor_writer writer = cbor_writer_of(NULL, 0);
    put_head(&writer, executor, pairs);
    struct checkpoint *checkpoint = wm_alloc(sizeof *checkpoint + writer.len);
    if (!checkpoint) {
        vmap_snapshot_free(executor->state, snapshot);
        return -ENOMEM;
    }
    checkpoint->seqno = executor->head.seqno;
    checkpoint->snapshot = snapshot;
    checkpoint->head_len = writer.len;
    writer = cbor_writer_of(checkpoint->head, writer.len);
    put_head(&writer, executor, pairs);
    *out = checkpoint;
    return 0;
}

void checkpoint_end(struct executor *executor, struct checkpoint *checkpoint)
{
    vmap_snapshot_free(executor->state, checkpoint->snapshot);
    wm_free(checkpoint);
}

uint64_t checkpoint_seqno(const struct checkpoint *checkpoint)
{
    return checkpoint->seqno;
}

/* The piece that is being filled: pairs from PIECE_HEAD on. */
struct piece {
    checkpoint_write_fn *write;
    void *self;
    int result;
    uint64_t count;
    size_t len;
    uint8_t *bytes;
};

static bool flush_piece(struct piece *piece)
{
    uint8_t head[PIECE_HEAD];
    struct cbor_writer writer = cbor_writer_of(head, sizeof head);
    cbor_put_array(&writer, 2 * piece->count);
    uint8_t *start = piece->bytes + PIECE_HEAD - writer.len;
    memcpy(start, head, writer.len);
    piece->result = piece->write(piece->self, wm_view_of(start, writer.len + piece->len));
    piece->count = 0;
    piece->len = 0;
    return piece->result == 0;
}

static bool emit_pair(void *self, struct wm_view key, struct wm_view value)
{
    struct piece *piece = self;
    size_t room = PIECE_ROOM - PIECE_HEAD - piece->len;
    struct cbor_writer writer = cbor_writer_of(piece->bytes + PIECE_HEAD + piece->len, room);
    cbor_put_bytes(&writer, key);
    cbor_put_bytes(&writer, value);
    WM_ASSERT(cbor_fits(&writer));
    piece->len += writer.len;
    piece->count++;
    return piece->len < CHECKPOINT_PIECE_BYTES || flush_piece(piece);
}

int checkpoint_write(const struct checkpoint *checkpoint, checkpoint_write_fn *write, void *self)
{
    struct piece piece = {.write = write, .self = self, .bytes = wm_alloc(PIECE_ROOM)};
    if (!piece.bytes) {
        return -ENOMEM;
    }
    piece.result = write(self, wm_view_of(checkpoint->head, checkpoint->head_len));
    if (piece.result == 0) {
        vmap_snapshot_walk(checkpoint->snapshot, emit_pair, &piece);
    }
    if (piece.result == 0 && piece.count > 0) {
        (void)flush_piece(&piece);
    }
    wm_free(piece.bytes);
    return piece.result;
}

/* --- Reading --- */

static bool get_ledger(struct cbor_reader *reader, const struct preprepare_claims *claims,
                       struct merkle *out)
{
    merkle_hash root;
    merkle_init(out);
    if (!cbor_array_of(reader, 2) || !cbor_uint(reader, &out->count) ||
        (out->count > MERKLE_LEAVES_MAX && !cbor_fail(reader, "a ledger of so many entries")) ||
        !cbor_array_of(reader, (uint64_t)__builtin_popcountll(out->count))) {
        return false;
    }
    for (uint32_t level = MERKLE_LEVELS_MAX + 1; level-- > 0;) {
        if ((out->count >> level & 1) &&
            !cbor_bytes_of(reader, out->full[level], MERKLE_HASH_BYTES)) {
            return false;
        }
    }
    merkle_root(out, root);
    return (out->count == claims->ledger_size &&
            memcmp(root, claims->ledger_root, sizeof root) == 0) ||
           cbor_fail(reader, "the ledger's tree is not that of the pre-prepare");
}

static bool get_preprepare(struct cbor_reader *reader, struct checkpoint_reader *out)
{
    struct wm_view entry;
    struct cose_statement statement;
    struct executor *executor = out->executor;
    if (!cbor_bytes(reader, &entry)) {
        return false;
    }
    if (entry.len > sizeof executor->preprepare) {
        return cbor_fail(reader, "a pre-prepare of this length");
    }
    memcpy(executor->preprepare, entry.ptr, entry.len);
    executor->preprepare_len = entry.len;
    return (preprepare_entry_get(wm_view_of(executor->preprepare, executor->preprepare_len),
                                 &out->preprepare, NULL) &&
            cose_header(out->preprepare.header, &statement) &&
            preprepare_claims_get(statement.claims, &out->claims, NULL) == 0 &&
            memcmp(out->claims.service, executor->service, sizeof executor->service) == 0) ||
           cbor_fail(reader, "a pre-prepare of this service");
}

static bool get_checkpoints(struct cbor_reader *reader, const struct preprepare_claims *claims,
                            struct bft_head *head)
{
    if (!cbor_array_of(reader, 2)) {
        return false;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (!cbor_array_of(reader, 2) || !cbor_uint(reader, &head->checkpoints[i].seqno) ||
            !cbor_bytes_of(reader, head->checkpoints[i].state_root, sizeof(ledger_hash))) {
            return false;
        }
    }
    uint64_t older = head->checkpoints[0].seqno, newer = head->checkpoints[1].seqno;
    if (newer > claims->seqno || (older >= newer && older != 0) ||
        (newer == claims->seqno &&
         memcmp(head->checkpoints[1].state_root, claims->state_root, sizeof(ledger_hash)) != 0)) {
        return cbor_fail(reader, "checkpoints before the batch, in order");
    }
    return true;
}

/* The number of the transaction that the batch may have ended with, as a governance one. */
static uint64_t last_index(const struct preprepare_claims *claims)
{
    return claims->count > 0 ? claims->first_index + claims->count - 1 : 0;
}

static int get_head(struct checkpoint_reader *out, struct wm_view bytes, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct executor *executor = out->executor;
    ledger_hash service;
    struct wm_view previous = {NULL, 0};
    bool ok = cbor_array_of(&reader, 10) &&
              cbor_uint_is(&reader, COSE_TYPE_CHECKPOINT, "not a checkpoint") &&
              cbor_uint_is(&reader, LEDGER_VERSION, "another version") &&
              cbor_bytes_of(&reader, service, sizeof service);
    if (ok && memcmp(service, executor->service, sizeof service) != 0) {
        return wm_diag_set(diag, WM_E_FORGED, "checkpoint: it is of another service");
    }
    ok = ok && get_preprepare(&reader, out) &&
         get_ledger(&reader, &out->claims, &executor->before_preprepare) &&
         cbor_uint(&reader, &out->governance) && cbor_uint(&reader, &out->nonempty_seqno) &&
         get_checkpoints(&reader, &out->claims, &executor->head) &&
         (cbor_peek(&reader) == CBOR_BYTES ? cbor_bytes(&reader, &previous) : cbor_null(&reader)) &&
         cbor_uint(&reader, &out->pairs);
    const struct preprepare_claims *claims = &out->claims;
    if (ok && out->governance != claims->governance &&
        (claims->count == 0 || out->governance != last_index(claims))) {
        ok = cbor_fail(&reader, "a governance transaction that the pre-prepare does not name");
    }
    if (ok && (out->nonempty_seqno > claims->seqno ||
               (claims->count > 0) != (out->nonempty_seqno == claims->seqno))) {
        ok = cbor_fail(&reader, "another newest batch with transactions than this one");
    }
    if (!ok || !cbor_end(&reader)) {
        return cbor_diag(&reader, "checkpoint", diag);
    }
    return previous.len == 0 ? 0 : executor_add_configuration(executor, previous, diag);
}

int checkpoint_open(const struct executor_config *config, struct wm_view genesis,
                    struct wm_view head, struct checkpoint_reader **out, struct wm_diag *diag)
{
    ledger_hash service;
    wm_sha256_once(genesis, service);
    struct checkpoint_reader *reader = wm_alloc_zero(1, sizeof *reader);
    int rc = -ENOMEM;
    if (reader && (reader->executor = executor_alloc(config, service)) != NULL) {
        reader->executor->state = vmap_new(config->state_bytes_max);
        rc = reader->executor->state ? get_head(reader, head, diag) : -ENOMEM;
    }
    if (rc != 0) {
        checkpoint_drop(reader);
        return wm_diag_default(diag, rc, "checkpoint");
    }
    *out = reader;
    return 0;
}

void checkpoint_drop(struct checkpoint_reader *reader)
{
    if (reader) {
        executor_free(reader->executor);
        wm_free(reader);
    }
}

void checkpoint_preprepare(const struct checkpoint_reader *reader, struct preprepare_entry *entry,
                           struct preprepare_claims *claims)
{
    *entry = reader->preprepare;
    *claims = reader->claims;
}

uint64_t checkpoint_missing(const struct checkpoint_reader *reader)
{
    return reader->pairs - reader->taken;
}

int checkpoint_feed(struct checkpoint_reader *reader, struct wm_view piece, struct wm_diag *diag)
{
    struct cbor_reader items = cbor_reader_of(piece);
    uint64_t count;
    bool ok = cbor_array(&items, &count) &&
              ((count % 2 == 0 && count > 0 && count / 2 <= checkpoint_missing(reader)) ||
               cbor_fail(&items, "pairs, and no more than the head says"));
    for (uint64_t i = 0; ok && i < count / 2; i++) {
        struct wm_view key, value;
        trie_hash hash;
        ok = cbor_bytes(&items, &key) && cbor_bytes(&items, &value);
        if (!ok) {
            break;
        }
        /* In one order only: so no pair comes twice, and equal states are equal bytes. */
        wm_sha256_once(key, hash);
        if (reader->taken > 0 && memcmp(hash, reader->last, sizeof hash) <= 0) {
            ok = cbor_fail(&items, "a pair that is not in the order of the keys' hashes");
            break;
        }
        int rc = vmap_put(reader->executor->state, key, value);
        if (rc != 0) {
            return wm_diag_set(diag, rc, "checkpoint: pair %llu: %s",
                               (unsigned long long)reader->taken, wm_error_text(rc));
        }
        memcpy(reader->last, hash, sizeof hash);
        reader->taken++;
    }
    return ok && cbor_end(&items) ? 0 : cbor_diag(&items, "checkpoint", diag);
}

/* Where a change of configuration stands after the batch: from its kind, and from what the state
 * has already. */
static bool derive_change(const struct executor *executor, const struct preprepare_claims *claims,
                          struct bft_head *head)
{
    const struct configuration *newest =
        &executor->configurations.items[executor->configurations.count - 1]->configuration;
    const struct configuration *left = executor_configuration(
        executor, claims->kind == BATCH_START ? claims->cfg - 1 : claims->cfg);
    bool is_next = newest->number == claims->cfg + 1;
    if (claims->kind == BATCH_NORMAL && newest->number == claims->cfg) {
        return true;
    }
    if (!left || is_next != (claims->kind != BATCH_START)) {
        return false;
    }
    uint32_t pipeline = left->parameters.pipeline, since = claims->phase;
    if (claims->kind == BATCH_NORMAL) { /* the final vote's own */
        if (head->governance != last_index(claims)) {
            return false;
        }
        merkle_root(&head->ledger, head->committed_root);
    } else if (claims->kind == BATCH_END) {
        memcpy(head->committed_root, claims->committed_root, sizeof head->committed_root);
        if (claims->phase > 2 * pipeline) {
            return false;
        }
    } else if (claims->phase >= pipeline) { /* the change ends with this batch */
        return claims->phase == pipeline;
    } else {
        since += 2 * pipeline;
    }
    if (since >= claims->seqno) {
        return false;
    }
    head->reconfigured_at = claims->seqno - since;
    head->reconfigured_pipeline = pipeline;
    return true;
}

static int derive_head(struct checkpoint_reader *reader, struct wm_diag *diag)
{
    struct executor *executor = reader->executor;
    const struct preprepare_claims *claims = &reader->claims;
    struct bft_head *head = &executor->head; /* its checkpoints are set */
    head->cfg = claims->cfg;
    head->view = claims->view;
    head->seqno = executor->tip = claims->seqno;
    head->next_index = claims->first_index + claims->count;
    head->governance = reader->governance;
    head->nonempty_seqno = reader->nonempty_seqno;
    agreement_name(reader->preprepare.header, reader->preprepare.root, head->name);
    memcpy(head->state_root, claims->state_root, sizeof head->state_root);
    head->ledger = executor->before_preprepare;
    if (!bft_head_entry(head, wm_view_of(executor->preprepare, executor->preprepare_len)) ||
        !executor_configuration(executor, claims->cfg) || !derive_change(executor, claims, head)) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "checkpoint: batch %llu is not of a configuration that the state has",
                           (unsigned long long)claims->seqno);
    }
    return 0;
}

int checkpoint_close(struct checkpoint_reader *reader, struct executor **out, struct wm_diag *diag)
{
    struct executor *executor = reader->executor;
    trie_hash root;
    vmap_root(executor->state, root);
    int rc = 0;
    if (checkpoint_missing(reader) > 0 ||
        memcmp(root, reader->claims.state_root, sizeof root) != 0) {
        rc = wm_diag_set(diag, WM_E_FORGED,
                         "checkpoint: batch %llu: its %llu pairs are not the state that was signed",
                         (unsigned long long)reader->claims.seqno,
                         (unsigned long long)reader->pairs);
    }
    rc = rc == 0 ? executor_learn_configuration(executor, diag) : rc;
    rc = rc == 0 ? derive_head(reader, diag) : rc;
    rc = rc == 0 ? vmap_mark(executor->state, executor->head.seqno) : rc;
    if (rc != 0) {
        checkpoint_drop(reader);
        return wm_diag_default(diag, rc, "checkpoint");
    }
    *out = executor;
    wm_free(reader);
    return 0;
}
