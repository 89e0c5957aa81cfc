/* bft.h: L-PBFT, the agreement of a ledger's replicas, as a pure function of events.
 *
 * IA-CCF (NSDI 2022), sections 3 to 5: PBFT's normal case with early execution, in which a replica
 * signs once a batch and commits by opening a nonce that its signature is bound to; evidence of
 * batch s-P in batch s; view changes; reconfiguration. doc/format/ledger.md has what is signed,
 * doc/adr/0016-ledger-protocol.md what the paper leaves open and how it was decided.
 *
 *     struct bft_effects out;
 *     bft_step(bft, now_ns, &event, &out);      an event in, effects out
 *     ... write BFT_PERSIST records, sync once, then send what waits for it ...
 *     bft_deadline_ns(bft)                      when to step with BFT_EVENT_TICK if nothing comes
 *
 * No I/O, no clock, no randomness: time comes with each event, nonces are derived from a secret. So
 * the same code runs in a replica, in the simulator and under the fuzzers, and a run can be
 * repeated from its events.
 *
 * Speaking only of what is on the disk (the amnesia rule): accountability makes forgetting
 * punishable. Effects are in order; a message with after_sync leaves only when all BFT_PERSIST
 * records before it are durable. After a crash the same records, fed as BFT_EVENT_RECORD, bring
 * back everything that was ever said. Each replica that starts is silent until it has
 * heard from Q replicas, itself counted, what they last heard from it; if anything of that is
 * missing here, it halts for good (BFT_HALT): its disk is older than its word, or was lost.
 *
 * What decides is the application's (struct bft_app): it executes, undoes, keeps the committed
 * ledger, knows configurations. Signatures of clients are checked outside (bft_request.checked) or
 * by the application.
 *
 * Other replicas' and clients' bytes are hostile: nothing they send can stop a replica, make it
 * sign what it should not, or make it take more than the memory that bft_limits names. What
 * convicts somebody comes out as BFT_ALARM. Up to f replicas of each configuration may do anything;
 * with more, correct ones may disagree, but what they signed is then enough to name f+1 of the
 * others (proof/, ledger/audit). One that finds its committed ledger contradicted by a valid quorum
 * halts.
 *
 * Memory: bft_new's, and bounded buffers; one thread at a time. Out of memory: the message or
 * request at hand is dropped, as if it had been lost on the way. */
#ifndef WM_BFT_BFT_H
#define WM_BFT_BFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "crypto/merkle.h"
#include "crypto/sign.h"
#include "wire/genesis.h"
#include "wire/peer.h"
#include "wire/quorum.h"

/* --- The application --- */

/* A request whose bytes are here. Borrowed by the application for the call. */
struct bft_request {
    ledger_hash hash;
    struct wm_view request, arguments;
    bool checked; /* the client's signature is known to be right */
};

struct bft_batch {
    uint64_t cfg, view, seqno;
    uint64_t first_index;
    uint32_t count; /* 0 for the empty batches of the protocol */
    const struct bft_request *requests;
};

struct bft_executed {
    uint32_t taken;   /* requests that are in the batch: the application ends one early after a
                         governance transaction. A backup's must be all. */
    ledger_hash root; /* G */
    ledger_hash state_root;
    bool governance;   /* the last one taken was a governance transaction */
    bool reconfigures; /* and after it configuration cfg + 1 is known and to be installed */
};

/* Entries of a batch for the ledger, in order: views until the call returns. */
struct bft_entries {
    uint64_t seqno, cfg, view;
    struct wm_view view_changes, new_view; /* that lie before the batch; empty: none */
    struct wm_view evidence;               /* empty: none */
    struct wm_view preprepare;
    struct wm_view transactions;
};

struct bft_app {
    void *self;
    /* Executes on top of the newest state, which becomes that of batch->seqno. 0; WM_E_INVALID:
     * a request breaks a rule that makes a batch invalid (signature, service, format): *executed
     * is not set and the state is as before. A request that merely fails is no such case. */
    int (*execute)(void *self, const struct bft_batch *batch, struct bft_executed *executed);
    /* Is the client's signature right? Of requests that come from other replicas, before they may
     * wait here. */
    bool (*check)(void *self, const struct bft_request *request);
    /* The encoded ENTRY_TRANSACTIONS of an executed batch; a view until the next call. */
    struct wm_view (*transactions)(void *self, uint64_t seqno);
    /* The newest state is that after batch `seqno` again. */
    void (*undo_to)(void *self, uint64_t seqno);
    /* Batch `seqno` can never be undone. Called once for each, in order. */
    void (*commit)(void *self, const struct bft_entries *entries);
    /* The entries of a committed batch, as they were given to commit: what `take` gets, in memory
     * of the application until it returns. False: not here any more (pruned). */
    bool (*read)(void *self, uint64_t seqno, void (*take)(void *, const struct bft_entries *),
                 void *taker);
    /* Configuration cfg, known from the batch on whose execution it followed from; stays valid. */
    const struct configuration *(*configuration)(void *self, uint64_t cfg);
};

/* --- Starting --- */

struct bft_timing {      /* nanoseconds */
    uint64_t batch_ns;   /* a batch that is not full waits as long for more */
    uint64_t request_ns; /* a request that is not ordered after it is forwarded; after twice that,
                            the view is left */
    uint64_t view_ns;   /* a view change that does not end takes the next view; doubles each time */
    uint64_t fetch_ns;  /* something asked for is asked again, elsewhere */
    uint64_t status_ns; /* how often one says where one stands */
};

struct bft_limits {
    uint32_t requests; /* in the pool */
    uint64_t request_bytes;
    uint32_t requests_of_client;
    uint64_t early_bytes; /* of each replica's messages that come before their time */
};

/* Where a ledger ends, and what the next batch follows from. */
struct bft_head {
    uint64_t cfg, view, seqno; /* of the newest batch; 0: none */
    uint64_t next_index;       /* of the next transaction */
    uint64_t governance;       /* index of the newest governance transaction; 0: none */
    uint64_t nonempty_seqno;   /* newest batch with transactions; 0: none */
    /* While a change of configuration is under way: the batch of the final vote and the pipeline
     * depth of the configuration that is left; else 0. */
    uint64_t reconfigured_at;
    uint32_t reconfigured_pipeline;
    ledger_hash committed_root; /* M right after the final vote's pre-prepare */
    ledger_hash name;           /* of the newest batch's pre-prepare */
    ledger_hash state_root;
    struct {
        uint64_t seqno;
        ledger_hash state_root;
    } checkpoints[2];     /* the two newest multiples of C; the older one first; seqno 0: none */
    struct merkle ledger; /* M */
};
void bft_genesis_head(struct bft_head *out);

struct bft_config {
    ledger_hash service;
    uint32_t replica;           /* own id; in no configuration: a learner */
    const struct sign_key *key; /* borrowed */
    uint8_t nonce_secret[32];
    struct bft_timing timing;
    struct bft_limits limits;
    struct bft_app app;
    /* The end of the committed ledger that the application has on its disk; its last 2P batches can
     * be had by app.read, as far as there are so many. */
    struct bft_head head;
};

struct bft;

/* The application's state is that of config->head. -ENOMEM; WM_E_INVALID. */
WM_MUST_CHECK int bft_new(const struct bft_config *config, uint64_t now_ns, struct bft **out,
                          struct wm_diag *diag);
void bft_free(struct bft *bft);

/* --- Events --- */

enum bft_event_kind {
    BFT_EVENT_RECORD,  /* after bft_new, the journal's records in order; no other event before */
    BFT_EVENT_START,   /* they are over */
    BFT_EVENT_SYNCED,  /* so many of the records given since bft_new are durable: only then does
                          the replica's own nonce count towards a commit */
    BFT_EVENT_TICK,    /* time has passed */
    BFT_EVENT_REQUEST, /* from a client */
    BFT_EVENT_MESSAGE, /* from a replica, which the channel has authenticated */
};

struct bft_event {
    enum bft_event_kind kind;
    struct wm_view bytes;       /* RECORD, MESSAGE */
    uint32_t from;              /* MESSAGE: the replica's id */
    uint64_t records;           /* SYNCED */
    struct bft_request request; /* REQUEST; `hash` need not be set */
};

/* --- Effects --- */

enum bft_effect_kind {
    BFT_PERSIST,   /* bytes: a record for the journal */
    BFT_SEND,      /* bytes to replica `to`; after_sync */
    BFT_BROADCAST, /* to all others of the configuration and of the next one; after_sync */
    BFT_REPLY, /* batch (view, seqno) is prepared here: clients may have our share; after_sync */
    BFT_COMMITTED, /* batch seqno is committed; view: of its quorum. Not waiting for anything. */
    BFT_VIEW,      /* view `view` begins here (mode NORMAL) or is asked for */
    BFT_ALARM,     /* somebody convicted himself: bytes is a blame file's parts, see bft_alarm */
    BFT_BEHIND, /* others have removed what follows our ledger: a checkpoint (seqno: of the newest
                   one seen) has to be installed and a new bft made of it */
    BFT_HALT,   /* code and diag of bft_halted: no effects will follow */
};

struct bft_effect {
    enum bft_effect_kind kind;
    bool after_sync;
    uint32_t to;
    uint64_t view, seqno;
    enum blame_kind blame; /* ALARM */
    struct wm_view bytes;  /* in effects->arena */
};

/* Filled by a step; the caller empties it (bft_effects_clear) before the next one or lets several
 * steps add to it. */
struct bft_effects {
    struct wm_arena arena;
    struct bft_effect *items;
    uint32_t count, room;
};
void bft_effects_init(struct bft_effects *effects);
void bft_effects_clear(struct bft_effects *effects);
void bft_effects_fini(struct bft_effects *effects);

void bft_step(struct bft *bft, uint64_t now_ns, const struct bft_event *event,
              struct bft_effects *effects);
/* When to step with BFT_EVENT_TICK; UINT64_MAX: not needed. */
uint64_t bft_deadline_ns(const struct bft *bft);

/* Records that alone bring back what now matters: after they are durable, and the committed ledger
 * up to the newest committed batch is, all older ones can be removed. */
void bft_checkpoint_journal(struct bft *bft, struct bft_effects *effects);

/* The newest checkpoint that other replicas can have from the application: said in our status. */
void bft_set_checkpoint(struct bft *bft, uint64_t seqno);

/* --- Looking --- */

enum bft_mode {
    BFT_SILENT, /* has just started; asks what it said */
    BFT_NORMAL,
    BFT_VIEW_CHANGE, /* has left a view, and not entered the next */
    BFT_LEARNER,     /* in no configuration that is in force */
    BFT_HALTED,
};

struct bft_status {
    enum bft_mode mode;
    uint64_t cfg, view, head_seqno, prepared_seqno, committed_seqno;
    uint64_t next_index; /* after head_seqno */
    uint32_t primary;    /* id */
    uint32_t pool_requests;
    uint64_t suspicions; /* bitmap of positions that sent what a correct one would not */
};
void bft_status(const struct bft *bft, struct bft_status *out);
/* Why it halted: WM_E_STALE (disk older than its word), WM_E_FORGED (a valid quorum contradicts the
 * committed ledger). */
int bft_halted(const struct bft *bft, struct wm_diag *diag);

/* Our share in a batch that is prepared here, for a reply; false: not in the window any more. */
struct bft_share {
    uint32_t position;
    bool primary;
    struct statement_parts preprepare; /* with the primary's signature */
    ledger_signature signature;        /* of our prepare; the primary: the pre-prepare's */
    ledger_nonce nonce;
};
WM_MUST_CHECK bool bft_share(const struct bft *bft, uint64_t view, uint64_t seqno,
                             struct bft_share *out);
/* All shares that are here of a committed batch in the window; views into bft until the next step.
 * False: not in the window, or no quorum was seen (it was carried over by a view change). */
WM_MUST_CHECK bool bft_quorum(const struct bft *bft, uint64_t seqno, struct quorum *out);

#endif
