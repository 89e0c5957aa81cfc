/* executor.h: a ledger's state, and what happens to it: the application under agreement.
 *
 *     executor_new(&config, genesis, &executor, &diag)      state of a new service
 *     executor_app(executor)                                what bft_config.app gets
 *     ... agreement executes, undoes and commits batches ...
 *     executor_batch(executor, seqno)                       what receipts are made of
 *     executor_checkpoint ...                               ledger/checkpoint.h
 *
 * A batch is executed on the newest state, one transaction after the other: the client's signature
 * (all unchecked ones of a batch together), whether his number was used, the procedure, its writes,
 * the leaf. A batch ends after a governance transaction, so that what that changes is in force from
 * the next batch on, and IA-CCF's receipts can name it (section 6). The state after each batch is a
 * version of a persistent map: taking batches back is taking an older root.
 *
 * Everybody who executes the same batches on the same genesis has the same roots: nothing here
 * reads a clock, a random number, or an order of pointers. There is no I/O either: what is
 * committed goes out through a callback.
 *
 * Kept: the outputs and results of all batches that are not committed, and of the newest `keep`
 * that are; for older ones see kept_read. Memory: the state, and some 700 bytes a kept transaction.
 *
 * Requests are hostile, batches too: one that breaks a rule is refused whole (WM_E_INVALID), one
 * that merely fails is in the batch with its code. Out of memory, or over state_bytes_max, nothing
 * has happened and the code is returned; a replica for which that lasts has to stop, since only its
 * own machine is in the way.
 *
 * One thread, but for what checkpoint.h says. */
#ifndef WM_LEDGER_EXECUTOR_H
#define WM_LEDGER_EXECUTOR_H

#include "bft/bft.h"
#include "ledger/kept.h"
#include "proof/procedure.h"
#include "store/vmap.h"

#define EXECUTOR_KEEP_MAX 4096u /* batches */

struct executor;

struct executor_config {
    const struct procedure_table *procedures; /* borrowed; ledger/table.h makes one */
    uint64_t state_bytes_max;                 /* memory of the state; 0: no limit */
    uint32_t keep;                            /* committed batches; at most EXECUTOR_KEEP_MAX */
    bool no_state_roots; /* for measuring what they cost: all are zeroes, and the ledger binds no
                            state; every replica has to have it so */
    void *self;
    /* A batch is committed; in order, each once. NULL: nobody wants to know. */
    void (*committed)(void *self, const struct bft_entries *entries);
    /* bft_app.read: of what `committed` was given. NULL: nothing can be read. */
    bool (*read)(void *self, uint64_t seqno, void (*take)(void *, const struct bft_entries *),
                 void *taker);
};

/* WM_E_MALFORMED, WM_E_INVALID, WM_E_FORGED (an endorsement): of the genesis; -ENOMEM. */
WM_MUST_CHECK int executor_new(const struct executor_config *config, struct wm_view genesis,
                               struct executor **out, struct wm_diag *diag);
void executor_free(struct executor *executor); /* NULL allowed; no checkpoints left */

/* The service's name: SHA-256 of the genesis. */
const uint8_t *executor_service(const struct executor *executor);
/* What agreement calls; valid as long as the executor. */
struct bft_app executor_app(struct executor *executor);
/* The same by name, for whoever has a ledger without agreement (ledger/entries_replay.h). */
WM_MUST_CHECK int executor_execute(struct executor *executor, const struct bft_batch *batch,
                                   struct bft_executed *executed);
void executor_undo_to(struct executor *executor, uint64_t seqno);
/* Its newest executed batches are those up to entries->seqno at least. */
void executor_commit(struct executor *executor, const struct bft_entries *entries);
const struct configuration *executor_configuration(const struct executor *executor, uint64_t cfg);

/* Why the last executor_execute returned what it did. */
const struct wm_diag *executor_why(const struct executor *executor);

/* The end of the committed ledger. */
const struct bft_head *executor_head(const struct executor *executor);
uint64_t executor_tip(const struct executor *executor); /* newest executed batch; 0: none */
/* The newest state, for looking. */
const struct vmap *executor_state(const struct executor *executor);

/* A batch that is kept, executed at least; valid until it is undone, or committed and `keep` others
 * after it. NULL: not here. */
const struct kept_batch *executor_batch(const struct executor *executor, uint64_t seqno);
/* The same by a transaction. */
const struct kept_batch *executor_batch_of(const struct executor *executor, uint64_t index);
/* By a request's hash: walks what is kept, the newest first. */
const struct kept_batch *executor_batch_with(const struct executor *executor,
                                             const ledger_hash request, uint32_t *position);

#endif
