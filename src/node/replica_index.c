/* What of the ledger is where: made by walking the log once, kept as batches are committed. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/replica_internal.h"

void replica_index_init(struct replica_index *index)
{
    *index = (struct replica_index){.next_index = 1};
    struct ledger_tree_store store = ledger_tree_in(&index->hashes);
    ledger_tree_init(&index->tree, NULL, &store);
}

void replica_index_fini(struct replica_index *index)
{
    wm_vec_fini(&index->batches);
    wm_free(index->items);
    ledger_tree_memory_fini(&index->hashes);
}

/* --- By hash --- */

static uint64_t head_of(const ledger_hash hash)
{
    uint64_t head;
    memcpy(&head, hash, sizeof head);
    return head;
}

static void put(struct replica_index_item *items, uint64_t room, uint64_t hash, uint64_t index)
{
    uint64_t at = hash & (room - 1);
    while (items[at].index != 0) {
        at = (at + 1) & (room - 1);
    }
    items[at].hash = hash;
    items[at].index = index;
}

static int make_room(struct replica_index *index, uint64_t more)
{
    uint64_t room = index->room ? index->room : 4096;
    while (room / 4 * 3 < index->count + more) {
        room *= 2;
    }
    if (room == index->room) {
        return 0;
    }
    struct replica_index_item *items = wm_alloc_zero(room, sizeof *items);
    if (!items) {
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < index->room; i++) {
        if (index->items[i].index != 0) {
            put(items, room, index->items[i].hash, index->items[i].index);
        }
    }
    wm_free(index->items);
    index->items = items;
    index->room = room;
    return 0;
}

bool replica_index_find(const struct replica_index *index, const ledger_hash request, uint64_t *at,
                        uint64_t *transaction)
{
    uint64_t hash = head_of(request);
    for (; *at < index->room; ++*at) {
        const struct replica_index_item *item = &index->items[(hash + *at) & (index->room - 1)];
        if (item->index == 0) {
            return false;
        }
        if (item->hash == hash) {
            *transaction = item->index;
            ++*at;
            return true;
        }
    }
    return false;
}

uint64_t replica_index_batch_of(const struct replica_index *index, uint64_t transaction)
{
    size_t low = 0, high = index->batches.count;
    if (transaction == 0 || transaction >= index->next_index) {
        return 0;
    }
    while (high - low > 1) { /* the last batch that begins at or before it */
        size_t middle = low + (high - low) / 2;
        if (index->batches.items[middle].first_index <= transaction) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low + 1;
}

/* --- Adding --- */

static int add_leaf(struct replica_index *index, struct wm_view entry)
{
    merkle_hash leaf;
    if (entry.len == 0) {
        return 0;
    }
    merkle_leaf(entry, leaf);
    return ledger_tree_add(&index->tree, leaf);
}

static int add_requests(struct replica_index *index, struct wm_view transactions,
                        struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(transactions);
    struct transaction_item item;
    uint64_t seqno;
    uint32_t count;
    if (!transactions_get_head(&reader, &seqno, &count)) {
        return cbor_diag(&reader, "transactions", diag);
    }
    int rc = make_room(index, count);
    if (rc != 0) {
        return wm_diag_default(diag, rc, "index of the ledger");
    }
    for (uint32_t i = 0; i < count; i++) {
        ledger_hash hash;
        if (!transaction_item_get(&reader, &item)) {
            return cbor_diag(&reader, "transactions", diag);
        }
        wm_sha256_once(item.request, hash);
        put(index->items, index->room, head_of(hash), index->next_index++);
        index->count++;
    }
    return 0;
}

int replica_index_add(struct replica_index *index, const struct bft_entries *entries,
                      uint64_t record, struct wm_diag *diag)
{
    struct replica_batch batch = {.record = record, .first_index = index->next_index};
    int rc = add_leaf(index, entries->view_changes);
    rc = rc ? rc : add_leaf(index, entries->new_view);
    rc = rc ? rc : add_leaf(index, entries->evidence);
    batch.leaf = index->tree.now.count;
    rc = rc ? rc : add_leaf(index, entries->preprepare);
    rc = rc ? rc : wm_vec_push(&index->batches, batch);
    return rc ? wm_diag_default(diag, rc, "index of the ledger")
              : add_requests(index, entries->transactions, diag);
}

/* --- Reading a batch back --- */

static struct wm_view *place_of(struct bft_entries *entries, uint8_t kind)
{
    switch (kind) {
    case ENTRY_VIEW_CHANGES: return &entries->view_changes;
    case ENTRY_NEW_VIEW: return &entries->new_view;
    case ENTRY_EVIDENCE: return &entries->evidence;
    case ENTRY_PREPREPARE: return &entries->preprepare;
    case ENTRY_TRANSACTIONS: return &entries->transactions;
    default: return NULL;
    }
}

/* Where the batch stands, from its pre-prepare. */
static int place_batch(struct bft_entries *entries, struct wm_diag *diag)
{
    struct preprepare_entry entry;
    struct preprepare_claims claims;
    struct cose_statement statement;
    if (!preprepare_entry_get(entries->preprepare, &entry, diag)) {
        return WM_E_MALFORMED;
    }
    if (!cose_header(entry.header, &statement)) {
        return wm_diag_set(diag, WM_E_MALFORMED, "pre-prepare: its header is none");
    }
    int rc = preprepare_claims_get(statement.claims, &claims, diag);
    if (rc == 0) {
        entries->seqno = claims.seqno;
        entries->cfg = claims.cfg;
        entries->view = claims.view;
    }
    return rc;
}

/* The batch whose entries begin with record *at, which becomes that after it. WM_E_NOT_FOUND: the
 * log ends before. */
static int read_batch(struct seglog *log, uint64_t *at, struct wm_arena *arena,
                      struct bft_entries *out, struct wm_diag *diag)
{
    memset(out, 0, sizeof *out);
    for (;;) {
        struct wm_view bytes;
        uint8_t kind;
        int rc = seglog_read(log, *at, &kind, &bytes, diag);
        if (rc != 0) {
            return rc;
        }
        struct wm_view *place = place_of(out, kind);
        uint8_t *copy = wm_arena_take(arena, bytes.len, 1);
        if (!place || place->len > 0) {
            return wm_diag_set(diag, WM_E_MALFORMED,
                               "ledger: record %llu: of kind %u, out of order",
                               (unsigned long long)*at, kind);
        }
        if (!copy) {
            return wm_diag_default(diag, -ENOMEM, "ledger");
        }
        memcpy(copy, bytes.ptr, bytes.len);
        *place = wm_view_of(copy, bytes.len);
        ++*at;
        if (kind == ENTRY_TRANSACTIONS) {
            return place_batch(out, diag);
        }
    }
}

int replica_entries(struct replica *replica, uint64_t seqno, struct wm_arena *arena,
                    struct bft_entries *out, struct wm_diag *diag)
{
    const struct replica_index *index = &replica->index;
    if (seqno == 0 || seqno > replica_index_seqno(index)) {
        return wm_diag_set(diag, WM_E_NOT_FOUND, "batch %llu: is not in the ledger here",
                           (unsigned long long)seqno);
    }
    uint64_t at = index->batches.items[seqno - 1].record;
    return read_batch(replica->disk.ledger.log, &at, arena, out, diag);
}

int replica_index_load(struct replica *replica, struct wm_diag *diag)
{
    struct replica_log *ledger = &replica->disk.ledger;
    uint64_t at = ledger->first;
    if (at != 0) {
        return wm_diag_set(diag, WM_E_UNSUPPORTED, "%s/ledger: does not begin with the genesis",
                           replica->folder.path);
    }
    for (uint64_t record = at; at < ledger->next; record = at) {
        struct bft_entries entries;
        struct wm_arena arena;
        wm_arena_init(&arena, 0);
        int rc = read_batch(ledger->log, &at, &arena, &entries, diag);
        if (rc == WM_E_NOT_FOUND && at == ledger->next) { /* the crash came within a batch */
            rc = seglog_truncate(ledger->log, record, diag);
            ledger->next = at = record;
        } else if (rc == 0) {
            rc = replica_index_add(&replica->index, &entries, record, diag);
        }
        wm_arena_fini(&arena);
        if (rc != 0) {
            wm_diag_prefix(diag, "%s/ledger", replica->folder.path);
            return rc;
        }
    }
    return 0;
}
