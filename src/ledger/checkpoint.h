/* checkpoint.h: the state after a batch as a stream of bytes, and a state from one.
 *
 * A replica that is new, or too far behind, starts from the newest checkpoint instead of from the
 * genesis; so does an auditor (IA-CCF, section 3.4). doc/format/ledger.md, section Checkpoints, has
 * the bytes: a head, then pieces of some 64 KiB with the pairs in the order of their keys' hashes.
 * Replicas with the same ledger write the same bytes.
 *
 *     checkpoint_begin(executor, &checkpoint)      after a batch was committed: costs nothing
 *     checkpoint_write(checkpoint, write, self)    any thread, while batches go on
 *     checkpoint_end(executor, checkpoint)
 *
 *     checkpoint_open(&opening, head, &reader)     elsewhere: the items in order
 *     checkpoint_feed(reader, piece)
 *     checkpoint_close(reader, &executor)          0: the pairs have the root that the head names
 *
 * What makes a checkpoint genuine is a quorum for the pre-prepare in its head
 * (checkpoint_preprepare), which the reader of it has to check, with the configuration that the
 * governance chain gives him for it: that pre-prepare binds the state's root, the ledger's tree and
 * the place in the ledger. Everything else in the head is derived from it and from the state, or is
 * such that a false value makes its reader disagree with the next batch.
 *
 * Pieces are hostile. Memory: the new state, within state_bytes_max. */
#ifndef WM_LEDGER_CHECKPOINT_H
#define WM_LEDGER_CHECKPOINT_H

#include "ledger/executor.h"

#define CHECKPOINT_PIECE_BYTES 65536u     /* a piece ends with the pair that reaches so many */
#define CHECKPOINT_ITEM_BYTES_MAX 262144u /* of a head or a piece */

struct checkpoint;
struct checkpoint_reader;

/* Of the state at the executor's committed head, which must be after batch 1 at least. -ENOMEM. */
WM_MUST_CHECK int checkpoint_begin(struct executor *executor, struct checkpoint **out);
/* Gives the head and each piece to `write`, until it returns something else than 0, which is then
 * returned. -ENOMEM. */
typedef int checkpoint_write_fn(void *self, struct wm_view item);
WM_MUST_CHECK int checkpoint_write(const struct checkpoint *checkpoint, checkpoint_write_fn *write,
                                   void *self);
uint64_t checkpoint_seqno(const struct checkpoint *checkpoint);
/* On the executor's thread. */
void checkpoint_end(struct executor *executor, struct checkpoint *checkpoint);

/* `config` and `genesis` are those of the executor that is to be made; `head` is the first item.
 * WM_E_MALFORMED; WM_E_INVALID; WM_E_FORGED: of another service; -ENOMEM. */
WM_MUST_CHECK int checkpoint_open(const struct executor_config *config, struct wm_view genesis,
                                  struct wm_view head, struct checkpoint_reader **out,
                                  struct wm_diag *diag);
/* What has to be committed for it to be genuine: views into the reader. */
void checkpoint_preprepare(const struct checkpoint_reader *reader, struct preprepare_entry *entry,
                           struct preprepare_claims *claims);
/* Pairs that are missing yet. 0: to be closed. */
uint64_t checkpoint_missing(const struct checkpoint_reader *reader);
/* WM_E_MALFORMED: the piece does not follow; WM_E_LIMIT; -ENOMEM. After a failure: only drop. */
WM_MUST_CHECK int checkpoint_feed(struct checkpoint_reader *reader, struct wm_view piece,
                                  struct wm_diag *diag);
/* Frees the reader, whatever it returns. WM_E_FORGED: the pairs have another root, or some are
 * missing; WM_E_INVALID: head and state contradict each other; -ENOMEM. */
WM_MUST_CHECK int checkpoint_close(struct checkpoint_reader *reader, struct executor **out,
                                   struct wm_diag *diag);
void checkpoint_drop(struct checkpoint_reader *reader); /* NULL allowed */

#endif
