/* kept.h: a batch as its receipts need it: what went in, what came out, and the tree over it.
 *
 * An executor fills one for each batch that it runs; for batches of long ago it is read back from
 * the ledger. The encoded transactions entry (wire/batch.h) is the store: a request, its arguments,
 * its output and its result are views into it.
 *
 * A struct kept_batch keeps its memory when it is begun anew, so that one that goes round costs no
 * allocation. One thread at a time. */
#ifndef WM_LEDGER_KEPT_H
#define WM_LEDGER_KEPT_H

#include <stdint.h>

#include "base/diag.h"
#include "crypto/merkle.h"
#include "wire/batch.h"

struct kept_batch {
    uint64_t cfg, view, seqno;
    uint64_t first_index;
    uint32_t count;
    ledger_hash *requests; /* their hashes */
    merkle_hash *hashes;   /* merkle_build's array: the leaves, and what is above them */
    ledger_hash root;      /* G */
    /* How they lie in memory. */
    uint32_t room; /* transactions */
    size_t *items; /* where in `bytes` each begins; room + 1 */
    uint8_t *bytes;
    size_t bytes_room, entry_at;
};

void kept_init(struct kept_batch *batch);
void kept_fini(struct kept_batch *batch);
/* Gives memory back that an unusually large batch took. */
void kept_trim(struct kept_batch *batch);

/* Begins a batch without transactions, with room for `room` of them. -ENOMEM. */
WM_MUST_CHECK int kept_begin(struct kept_batch *batch, uint64_t cfg, uint64_t view, uint64_t seqno,
                             uint64_t first_index, uint32_t room);
/* The next transaction; its leaf is made of its index, this hash and the output. Copies. -ENOMEM.
 */
WM_MUST_CHECK int kept_add(struct kept_batch *batch, const ledger_hash request,
                           const struct transaction_item *item);
/* After the last one: makes the tree. */
void kept_end(struct kept_batch *batch);

/* Of a stored transactions entry of at most LEDGER_BATCH_MAX transactions: cfg, view and index of
 * the first come from its pre-prepare. WM_E_MALFORMED; -ENOMEM. */
WM_MUST_CHECK int kept_read(struct kept_batch *batch, const struct preprepare_claims *claims,
                            struct wm_view transactions, struct wm_diag *diag);

/* Of a batch that was ended; views until it is begun anew. */
struct wm_view kept_entry(const struct kept_batch *batch);
void kept_item(const struct kept_batch *batch, uint32_t position, struct transaction_item *out);

#endif
