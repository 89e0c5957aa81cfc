/* executor_internal.h: the executor's parts, for the files that make one (executor.c,
 * checkpoint.c). */
#ifndef WM_LEDGER_EXECUTOR_INTERNAL_H
#define WM_LEDGER_EXECUTOR_INTERNAL_H

#include "base/vec.h"
#include "bft/head.h"
#include "crypto/sign_batch.h"
#include "ledger/executor.h"
#include "proof/statement.h"

#define IN_FLIGHT_MAX 62u /* executed batches that are not committed: versions of the state */
#define SIGN_GROUP 64u    /* signatures that are checked together */

_Static_assert(IN_FLIGHT_MAX + 2 <= VMAP_VERSIONS_MAX, "the committed one, and one being made");
_Static_assert(IN_FLIGHT_MAX >= 2 * LEDGER_PIPELINE_MAX, "what agreement has under way");

/* A batch that was executed, and what the end of the ledger takes from it. */
struct executor_slot {
    struct kept_batch kept; /* seqno 0: none */
    struct bft_executed executed;
};

/* A configuration and the bytes that its views point into. */
struct executor_configuration {
    struct configuration configuration;
    size_t len;
    uint8_t bytes[];
};

struct executor {
    struct executor_config config;
    ledger_hash service;
    struct vmap *state;
    struct bft_head head;
    uint64_t tip;
    struct executor_slot *slots; /* by seqno, in turn */
    uint32_t slot_count;
    /* Ascending numbers, without gaps. */
    WM_VEC(struct executor_configuration *) configurations;
    struct wm_arena scratch; /* of the transaction at hand */
    struct wm_diag why;
    /* Signatures of the batch at hand: what is known of those before `checked_to`. */
    uint32_t checked_to;
    bool valid[LEDGER_BATCH_MAX];
    struct {
        ledger_key key;
        ledger_signature signature;
        struct statement_signed covered;
    } group[SIGN_GROUP];
    /* The newest committed batch as a checkpoint names it. */
    struct merkle before_preprepare;
    size_t preprepare_len;
    uint8_t preprepare[PREPREPARE_ENTRY_BYTES_MAX];
};

/* One without state, configurations and head. NULL: out of memory. */
struct executor *executor_alloc(const struct executor_config *config, const ledger_hash service);
/* Adds a configuration, encoded as wire/genesis.h's; its number must follow. */
WM_MUST_CHECK int executor_add_configuration(struct executor *executor, struct wm_view encoded,
                                             struct wm_diag *diag);
/* How many of them the committed ledger has: a batch under way may have made one more. */
size_t executor_committed_configurations(const struct executor *executor);
/* Adds the configuration that the newest state has. WM_E_INVALID: it has none, or one that does not
 * follow. */
WM_MUST_CHECK int executor_learn_configuration(struct executor *executor, struct wm_diag *diag);

#endif
