/* Kept batches. The entry's head holds the count, which is known last: so it is written last, into
 * room that was left for it in front of the items. */
#include "ledger/kept.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"

#define HEAD_ROOM 32u                        /* [5, seqno, [* of them */
#define ITEM_OVERHEAD 256u                   /* heads, and an output */
#define TRIM_BYTES ((size_t)4 * 1024 * 1024) /* more than this is given back */

void kept_init(struct kept_batch *batch)
{
    memset(batch, 0, sizeof *batch);
}

void kept_fini(struct kept_batch *batch)
{
    wm_free(batch->requests);
    wm_free(batch->hashes);
    wm_free(batch->items);
    wm_free(batch->bytes);
    kept_init(batch);
}

void kept_trim(struct kept_batch *batch)
{
    if (batch->bytes_room > TRIM_BYTES) {
        kept_fini(batch);
    }
}

static bool reserve_bytes(struct kept_batch *batch, size_t more)
{
    size_t used = batch->items[batch->count];
    if (more <= batch->bytes_room - used) {
        return true;
    }
    size_t room = batch->bytes_room * 2 > used + more ? batch->bytes_room * 2 : used + more;
    uint8_t *grown = wm_realloc(batch->bytes, room, 1);
    if (!grown) {
        return false;
    }
    batch->bytes = grown;
    batch->bytes_room = room;
    return true;
}

static bool reserve_room(struct kept_batch *batch, uint32_t room)
{
    if (room <= batch->room && batch->items) {
        return true;
    }
    kept_fini(batch);
    batch->requests = wm_alloc((room + 1) * sizeof *batch->requests);
    batch->hashes = wm_alloc((2 * (size_t)room + MERKLE_LEVELS_MAX) * sizeof *batch->hashes);
    batch->items = wm_alloc_zero(room + 1, sizeof *batch->items);
    batch->bytes_room = HEAD_ROOM + (size_t)room * ITEM_OVERHEAD;
    batch->bytes = wm_alloc(batch->bytes_room);
    batch->room = room;
    if (!batch->requests || !batch->hashes || !batch->items || !batch->bytes) {
        kept_fini(batch);
        return false;
    }
    return true;
}

int kept_begin(struct kept_batch *batch, uint64_t cfg, uint64_t view, uint64_t seqno,
               uint64_t first_index, uint32_t room)
{
    if (!reserve_room(batch, room)) {
        return -ENOMEM;
    }
    batch->cfg = cfg;
    batch->view = view;
    batch->seqno = seqno;
    batch->first_index = first_index;
    batch->count = 0;
    batch->items[0] = HEAD_ROOM;
    return 0;
}

int kept_add(struct kept_batch *batch, const ledger_hash request,
             const struct transaction_item *item)
{
    uint8_t leaf[TRANSACTION_BYTES_MAX] __attribute__((uninitialized));
    size_t at = batch->items[batch->count];
    WM_ASSERT(batch->count < batch->room);
    if (!reserve_bytes(batch, item->request.len + item->arguments.len + item->result.len +
                                  ITEM_OVERHEAD)) {
        return -ENOMEM;
    }
    struct cbor_writer writer = cbor_writer_of(batch->bytes + at, batch->bytes_room - at);
    transaction_item_put(&writer, item);
    WM_ASSERT(cbor_fits(&writer));
    memcpy(batch->requests[batch->count], request, sizeof(ledger_hash));
    batch->items[batch->count + 1] = at + writer.len;

    writer = cbor_writer_of(leaf, sizeof leaf);
    transaction_put(&writer, batch->first_index + batch->count, request, &item->output);
    WM_ASSERT(cbor_fits(&writer));
    merkle_leaf(wm_view_of(leaf, writer.len), batch->hashes[batch->count]);
    batch->count++;
    return 0;
}

void kept_end(struct kept_batch *batch)
{
    uint8_t head[HEAD_ROOM];
    struct cbor_writer writer = cbor_writer_of(head, sizeof head);
    transactions_put_head(&writer, batch->seqno, batch->count);
    WM_ASSERT(cbor_fits(&writer));
    batch->entry_at = HEAD_ROOM - writer.len;
    memcpy(batch->bytes + batch->entry_at, head, writer.len);
    if (batch->count == 0) {
        wm_sha256_once(wm_view_of(NULL, 0), batch->root);
        return;
    }
    merkle_build(batch->hashes, batch->count);
    memcpy(batch->root, batch->hashes[merkle_hashes(batch->count) - 1], sizeof batch->root);
}

int kept_read(struct kept_batch *batch, const struct preprepare_claims *claims,
              struct wm_view transactions, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(transactions);
    uint64_t seqno;
    uint32_t count;
    if (!transactions_get_head(&reader, &seqno, &count)) {
        return cbor_diag(&reader, "transactions", diag);
    }
    if (seqno != claims->seqno || count != claims->count || count > LEDGER_BATCH_MAX) {
        return wm_diag_set(
            diag, WM_E_MALFORMED, "transactions: %u of batch %llu, where batch %llu has %u", count,
            (unsigned long long)seqno, (unsigned long long)claims->seqno, claims->count);
    }
    int rc = kept_begin(batch, claims->cfg, claims->view, seqno, claims->first_index, count);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct transaction_item item;
        ledger_hash request;
        if (!transaction_item_get(&reader, &item)) {
            return cbor_diag(&reader, "transactions", diag);
        }
        wm_sha256_once(item.request, request);
        rc = kept_add(batch, request, &item);
    }
    if (rc != 0) {
        return wm_diag_default(diag, rc, "transactions");
    }
    if (!cbor_end(&reader)) {
        return cbor_diag(&reader, "transactions", diag);
    }
    kept_end(batch);
    return 0;
}

struct wm_view kept_entry(const struct kept_batch *batch)
{
    return wm_view_of(batch->bytes + batch->entry_at, batch->items[batch->count] - batch->entry_at);
}

void kept_item(const struct kept_batch *batch, uint32_t position, struct transaction_item *out)
{
    WM_ASSERT(position < batch->count);
    size_t at = batch->items[position];
    struct cbor_reader reader =
        cbor_reader_of(wm_view_of(batch->bytes + at, batch->items[position + 1] - at));
    bool is_item = transaction_item_get(&reader, out);
    WM_ASSERT(is_item && cbor_end(&reader)); /* we wrote it */
}
