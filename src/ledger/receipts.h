/* receipts.h: makes receipts (wire/quorum.h) of transactions in a batch.
 *
 * A receipt is what a client keeps: his request, its output, the way to the batch's root, and the
 * quorum that committed to it (IA-CCF, section 4.2; doc/format/ledger.md, section Receipts). Any
 * batch can give one at any time: one that is here still, with the shares that agreement holds
 * (bft_quorum), or one of long ago, read from the ledger, with those in its evidence; and where a
 * batch has no evidence of its own (the last ones before a change of view), by the way of its
 * pre-prepare in the ledger's tree to the root that a later quorum signed.
 *
 * What is given must belong together; a receipt that does not hold is refused by whoever checks it.
 *
 * Pure; no memory of its own. One thread for one batch or tree. */
#ifndef WM_LEDGER_RECEIPTS_H
#define WM_LEDGER_RECEIPTS_H

#include "base/diag.h"
#include "ledger/kept.h"
#include "ledger/ledger_tree.h"
#include "wire/quorum.h"

/* The bytes of a receipt; at most LEDGER_RECEIPT_BYTES_MAX. `quorum`: of this batch. */
void receipt_direct(const struct kept_batch *batch, uint32_t position, const struct quorum *quorum,
                    uint8_t out[LEDGER_RECEIPT_BYTES_MAX], size_t *len);

/* `header`: of the batch's own pre-prepare; `quorum`: of a later batch, with its root. 0;
 * WM_E_INVALID: it is not later, or lacks its root; WM_E_NOT_FOUND: the tree begins after this
 * batch; WM_E_MALFORMED: a header is none; or the code of the tree's store. */
WM_MUST_CHECK int receipt_chained(const struct kept_batch *batch, uint32_t position,
                                  struct wm_view header, const struct quorum *quorum,
                                  const struct ledger_tree *tree,
                                  uint8_t out[LEDGER_RECEIPT_BYTES_MAX], size_t *len,
                                  struct wm_diag *diag);

/* The quorum that an evidence entry holds about the batch whose pre-prepare entry this is; views
 * into that. `replicas`: how many the configuration of that batch has. WM_E_MALFORMED;
 * WM_E_INVALID: it is about another batch. */
WM_MUST_CHECK int receipt_quorum(struct wm_view preprepare, struct wm_view evidence,
                                 uint32_t replicas, struct quorum *out, struct wm_diag *diag);

#endif
