/* entries_replay.h: a ledger executed again from its stored entries, every root of it compared.
 *
 * What a replica does when it starts, a learner with what it fetched, and an auditor with what he
 * was given (IA-CCF, sections 5 and 6.2): an executor at some point of the ledger, made from the
 * genesis or a checkpoint, is given the entries of one batch after the other. Each batch must be
 * what the ledger before it demands: its place, kind and configuration, the ledger's root, the
 * checkpoint and the governance transaction that it names, evidence of the batch P before it. Its
 * transactions are executed, and have to give the outputs and results that are stored, G, and the
 * state's root. What is not so is named: which batch, which entry, which transaction, and what
 * about it.
 *
 * Signatures: with `trusted`, none is checked (entries from one's own disk, which were checked
 * before they came there). Else those of clients are, and those of replicas in evidence, under the
 * configuration of the batch that it is about. The last P batches of a ledger have no evidence in
 * it: who needs to know that they were agreed upon asks for a quorum of the last one.
 *
 * Erased arguments or results end it with WM_E_NOT_FOUND: start from a checkpoint behind them.
 *
 * Entries are hostile. Memory: some 64 KiB, and the executor's. One thread. */
#ifndef WM_LEDGER_ENTRIES_REPLAY_H
#define WM_LEDGER_ENTRIES_REPLAY_H

#include "ledger/executor.h"

struct entries_replay;

/* The executor is borrowed; nothing of it may be executed that is not committed. -ENOMEM. */
WM_MUST_CHECK int entries_replay_new(struct executor *executor, bool trusted,
                                     struct entries_replay **out);
void entries_replay_free(struct entries_replay *replay); /* NULL allowed */

/* A batch at or before the executor's head, for its evidence, which comes P batches later: of an
 * executor that was made from a checkpoint, the last 2P, in order, before the first step. Nothing
 * but their form is checked. Without them their evidence is taken unread, when it comes. */
WM_MUST_CHECK int entries_replay_before(struct entries_replay *replay,
                                        const struct bft_entries *entries, struct wm_diag *diag);

/* Where a ledger differs from what it should be. */
struct entries_difference {
    uint64_t seqno;
    enum entry_kind entry;
    uint64_t index; /* of the transaction; 0: it is none */
};

/* The batch after the executor's head; then it is committed there, and the executor's callback has
 * seen it. WM_E_MALFORMED, WM_E_INVALID, WM_E_FORGED: the entries are wrong, diag and *difference
 * (NULL allowed) say where; WM_E_NOT_FOUND: something was erased; or the executor's code (-ENOMEM,
 * WM_E_LIMIT). After a failure the executor is where it was before. */
WM_MUST_CHECK int entries_replay_step(struct entries_replay *replay,
                                      const struct bft_entries *entries,
                                      struct entries_difference *difference, struct wm_diag *diag);

#endif
