/* head.h: how the end of a ledger follows from its batches: the rules that are the same for whoever
 * adds a batch, checks one, or reads one again.
 *
 * A replica, an auditor and a replica that starts again walk one ledger, and must agree on what the
 * next batch is (IA-CCF section 6: 2P batches end a configuration, P begin the next), on what it
 * refers to and on what follows from it. Pure; no memory. */
#ifndef WM_BFT_HEAD_H
#define WM_BFT_HEAD_H

#include "bft/bft.h"

/* What the batch after this end is, whatever its transactions. */
struct bft_next {
    uint64_t seqno, cfg;
    enum batch_kind kind;
    uint32_t phase;
    uint32_t pipeline; /* P: of the configuration that is left, while one is */
};
/* `configuration`: of head->cfg. */
void bft_head_next(const struct bft_head *head, const struct configuration *configuration,
                   struct bft_next *out);

/* The checkpoint that the next batch names: the newest that is at least C batches before it; [0,
 * zeroes] where there is none. `interval`: C of next->cfg. */
void bft_head_checkpoint(const struct bft_head *head, const struct bft_next *next,
                         uint32_t interval, uint64_t *seqno, ledger_hash root);

/* Adds a leaf; false: the tree is full. */
WM_MUST_CHECK bool bft_head_entry(struct bft_head *head, struct wm_view entry);

/* The batch, whose entries before the pre-prepare were added, with its pre-prepare. `interval` as
 * above. */
void bft_head_add(struct bft_head *head, const struct bft_next *next,
                  const struct preprepare_claims *claims, struct wm_view header,
                  const ledger_hash root, const ledger_hash name,
                  const struct bft_executed *executed, uint32_t interval);

#endif
