/* ledger_fake.h: a ledger whose replicas are all in the caller's hand, for tests, fuzzing and
 * benches: it makes requests, runs batches without agreement, and signs what replicas would have.
 *
 *     fake_start(&ledger, &(struct fake_options){0});
 *     fake_ask(&ledger, 0, "kv.put", arguments);     in the next batch
 *     fake_batch(&ledger);                           executed, signed, committed, kept
 *
 * What it keeps of each batch are true entries, with true evidence P batches later, so that they
 * can be replayed, audited and receipted. Everything is made of seeds: the same calls give the same
 * bytes. It stops on what does not work, except where a function says otherwise; not for
 * production. */
#ifndef WM_LEDGER_LEDGER_FAKE_H
#define WM_LEDGER_LEDGER_FAKE_H

#include "bft/head.h"
#include "ledger/executor.h"
#include "ledger/ledger_tree.h"
#include "ledger/table.h"
#include "wire/genesis.h"

#define FAKE_REPLICAS_MAX 8u
#define FAKE_CLIENTS 8u
#define FAKE_BATCHES_MAX 8192u

struct fake_options {             /* 0: the default */
    uint32_t replicas;            /* 4; as many members, one replica each */
    uint32_t pipeline;            /* 2 */
    uint32_t checkpoint_interval; /* 16 */
    uint32_t batch_max;           /* LEDGER_BATCH_MAX */
    uint32_t keep;                /* 4 */
    bool unsigned_requests;       /* clients' requests have false signatures and count as checked */
    bool no_entries;     /* none are kept, nor signed by replicas: for measuring execution */
    bool no_state_roots; /* executor_config's */
    const struct table_modules *modules;
};

struct fake_entries {
    uint8_t *bytes;
    struct bft_entries entries;
};

struct fake_request {
    uint8_t *bytes; /* request and arguments */
    struct bft_request request;
};

struct fake_ledger {
    struct fake_options options;
    struct sign_key members[FAKE_REPLICAS_MAX], replicas[FAKE_REPLICAS_MAX], clients[FAKE_CLIENTS];
    uint64_t numbers[FAKE_CLIENTS + FAKE_REPLICAS_MAX];
    uint8_t salt[GENESIS_SALT_BYTES];
    struct wm_view genesis;
    uint8_t genesis_bytes[16384];
    struct table table;
    struct procedure_table procedures;
    struct executor *executor;
    uint64_t view;
    /* What the next batch gets. */
    struct fake_request *requests;
    uint32_t request_count, request_room;
    bool requests_checked;
    struct wm_view view_changes, new_view;
    uint8_t view_changes_bytes[65536], new_view_bytes[NEWVIEW_ENTRY_BYTES_MAX];
    /* By seqno. */
    struct fake_entries *batches;
    struct ledger_tree_memory hashes;
    struct ledger_tree tree; /* with all committed entries */
};

void fake_start(struct fake_ledger *ledger, const struct fake_options *options);
void fake_stop(struct fake_ledger *ledger);
/* The executor's configuration, for another one with the same ledger; nothing goes to callbacks. */
struct executor_config fake_config(struct fake_ledger *ledger);

/* A request by client 0 to FAKE_CLIENTS - 1, or by member (who - FAKE_CLIENTS); numbers count up by
 * themselves. */
void fake_ask(struct fake_ledger *ledger, uint32_t who, const char *procedure,
              struct wm_view arguments);
/* The same with a number and a minimum index; and with bytes to be changed before it is signed
 * away: returns the request as it waits. */
struct fake_request *fake_ask_as(struct fake_ledger *ledger, uint32_t who, const char *procedure,
                                 struct wm_view arguments, uint64_t number, uint64_t minimum_index);
void fake_drop_requests(struct fake_ledger *ledger);
const uint8_t *fake_key(const struct fake_ledger *ledger, uint32_t who);

/* Executes what waits, as the next batch, and does not commit it: 0 or executor_execute's code. */
WM_MUST_CHECK int fake_execute(struct fake_ledger *ledger, struct bft_executed *executed);
/* Commits and keeps it. Returns its seqno. */
uint64_t fake_commit(struct fake_ledger *ledger, const struct bft_executed *executed);
/* Both. */
uint64_t fake_batch(struct fake_ledger *ledger);
/* One request in a batch of its own; its code, and its result, a view until the next batch. */
uint32_t fake_call(struct fake_ledger *ledger, uint32_t who, const char *procedure,
                   struct wm_view arguments, struct wm_view *result);
/* Member 0 proposes these encoded actions, the others vote until they pass. */
void fake_govern(struct fake_ledger *ledger, struct wm_view actions);
/* A replica of this id and member, with its endorsement in `room`. */
struct ledger_replica fake_replica(struct fake_ledger *ledger, uint32_t id, uint32_t member,
                                   uint8_t room[ENDORSEMENT_BYTES_MAX]);
/* The next batch is of a later view. */
void fake_view_change(struct fake_ledger *ledger);

const struct bft_entries *fake_entries(const struct fake_ledger *ledger, uint64_t seqno);
/* The quorum of a committed batch: without evidence it is signed anew. Views into the ledger. */
void fake_quorum(const struct fake_ledger *ledger, uint64_t seqno, struct quorum *out);

/* --- Arguments --- */

struct fake_arguments {
    struct cbor_writer writer;
    uint8_t bytes[4096];
};
/* "b": view; "u": uint64_t; "i": int64_t; "n": null; one array of them. */
struct wm_view fake_array(struct fake_arguments *out, const char *kinds, ...);

#endif
