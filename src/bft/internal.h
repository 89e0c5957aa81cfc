/* internal.h: the state of a replica in agreement, shared by the files of this folder.
 *
 *     bft.c      starting, dispatch of events, deadlines, looking
 *     effects.c  the list of effects
 *     pool.c     requests that wait for their batch (pool.h)
 *     window.c   slots of batches, votes, what the next batch is
 *     normal.c   propose, pre-prepare, prepare, commit
 *     view.c     leaving a view and entering the next
 *     sync.c     where one stands; what is missing here, and what others miss
 *     journal.c  records of what was said, and what a replica that comes back asks its peers
 *
 * IA-CCF's words: a *slot* is a batch under way; the *tip* is the end of the ledger as executed
 * here, committed or not; the *base* is its committed end; the *top* is the newest batch prepared
 * here. */
#ifndef WM_BFT_INTERNAL_H
#define WM_BFT_INTERNAL_H

#include "bft/bft.h"
#include "bft/guard.h"
#include "bft/pool.h"
#include "proof/agreement.h"
#include "proof/statement.h"

#define WINDOW 64u                              /* slots; a power of two */
#define WINDOW_AHEAD (2u * LEDGER_PIPELINE_MAX) /* above the base: what may be under way */
_Static_assert(WINDOW >= WINDOW_AHEAD + 2u * LEDGER_PIPELINE_MAX, "evidence lies 2P below");

#define NOWHERE UINT32_MAX /* no position */

/* Bytes that we own. */
struct blob {
    uint8_t *ptr;
    size_t len;
};
void blob_free(struct blob *blob);
/* Replaces the content by a copy. */
WM_MUST_CHECK bool blob_set(struct blob *blob, struct wm_view bytes);
static inline struct wm_view blob_view(const struct blob *blob)
{
    return wm_view_of(blob->ptr, blob->len);
}

/* What the replica at a position said about a batch. */
struct vote {
    bool has_prepare;
    bool verified; /* the signature is right, for the slot's pre-prepare */
    uint64_t view;
    ledger_hash preprepare, commitment;
    ledger_signature signature;
    bool has_nonce;
    uint64_t nonce_view;
    ledger_nonce nonce;
};

struct slot {
    uint64_t seqno; /* 0: free */
    bool has_preprepare;
    bool executed; /* it is in our ledger; then: */
    bool signed_;  /* by us */
    bool prepared; /* by a certificate seen in its view; or it was carried over by a new view */
    bool revealed; /* our nonce; it is durable with record number revealed_record */
    uint64_t revealed_record;
    bool carried; /* it is of an earlier view than the one that we are in, or came with a quorum */
    bool committed;
    uint8_t header_bytes[COSE_PROTECTED_BYTES_MAX];
    struct wm_view header; /* of the pre-prepare, in header_bytes */
    ledger_hash root;      /* G */
    bool has_signature;    /* of the pre-prepare; not where it came with a fetched ledger */
    ledger_signature signature;
    ledger_hash name;
    struct preprepare_claims claims;
    struct blob view_changes, new_view; /* entries that stand before it */
    struct blob evidence;               /* likewise; the entry */
    uint32_t request_count;
    struct pool_request **requests; /* NULL where not here yet */
    uint8_t *hashes;                /* request_count * LEDGER_HASH_BYTES */
    struct bft_head after;          /* the ledger's end with it */
    struct vote votes[LEDGER_REPLICAS_MAX];
};

/* A message before its time, kept for when its view has begun. */
struct early {
    struct early *next;
    uint32_t from;
    struct blob bytes;
};

/* The newest view-change of a replica, checked. */
struct seen_change {
    bool is_there;
    uint32_t replica; /* id */
    uint64_t view;
    struct blob header, certificate;
    ledger_signature signature;
    struct agreement_top top; /* views into `certificate` */
};

/* What others said of themselves. */
struct peer_state {
    uint32_t replica; /* id; by the order in which they were first heard */
    struct peer_status status;
    bool has_status;
    uint64_t answered_ns; /* when we last sent again what it may have missed */
    uint64_t early_bytes;
    bool newest_answered;
};

struct bft {
    ledger_hash service;
    uint32_t replica;
    const struct sign_key *key;
    uint8_t nonce_secret[32];
    struct bft_timing timing;
    struct bft_limits limits;
    struct bft_app app;
    struct bft_effects *effects; /* of the step at hand */
    uint64_t records_given, records_durable;
    uint64_t now_ns;

    enum bft_mode mode;
    bool restoring; /* records are being read: nothing is said */
    int halted;
    struct wm_diag halt_diag;

    uint64_t view; /* that we are in, or asked for */
    bool in_view;
    uint64_t signed_view, signed_seqno; /* the newest place that we signed for */
    struct bft_head base, tip;
    struct slot slots[WINDOW];
    /* Entries of the view that we are in, until its first batch carries them; and kept for those
     * who missed them. */
    struct blob view_changes, new_view;
    uint64_t new_view_view; /* of `new_view`; 0: none */
    uint64_t new_view_base; /* the batch that it continues */
    bool view_entries_wait; /* for the first batch of their view */

    /* The newest prepared certificate: what a view-change names. */
    struct blob top;
    struct agreement_top top_facts;
    /* The ledger that leads to the top, from batch top_from on, where it was taken back for a view
     * that continues less: whoever names a top must have it. As PEER_ENTRIES carries it. */
    struct blob top_entries;
    uint64_t top_from, top_count;

    struct seen_change changes[LEDGER_REPLICAS_MAX * 2];
    uint64_t failed_views;     /* in a row */
    uint64_t entered_ns;       /* when the view that we are in began */
    uint64_t view_deadline_ns; /* when the view that we asked for has taken too long */

    struct pool pool;
    struct peer_state peers[LEDGER_REPLICAS_MAX * 2];
    uint32_t peer_count;
    struct early *early_first, *early_last;

    /* A new-view that waits for the ledger which it continues, and what was asked for. */
    struct blob pending_view_changes, pending_new_view;
    uint32_t pending_from;
    uint64_t fetch_deadline_ns; /* nothing more is asked for before */
    uint32_t fetch_turn;
    uint64_t checkpoint_seqno; /* newest that can be had of the application */
    ledger_hash fetch_name;    /* of the batch whose ledger was asked for; zeroes: committed ones */
    uint64_t status_deadline_ns;
    uint64_t proposed_ns; /* when the newest batch was proposed or accepted */
    uint64_t progress_ns; /* when something last committed */
    uint64_t suspicions;

    uint8_t challenge[LEDGER_NONCE_BYTES];
    uint32_t newest_answers;
    bool heard; /* from a quorum what we said before this start */
};

/* --- effects.c --- */

void emit(struct bft *bft, const struct bft_effect *effect); /* bytes are copied */
/* Writes the message and sends it; to all: `to` NOWHERE. */
void say(struct bft *bft, uint32_t to, const struct peer_message *message, bool after_sync);
void halt(struct bft *bft, int code, const char *format, ...) WM_PRINTF(3, 4);

/* --- window.c --- */

struct next_batch {
    uint64_t seqno, cfg;
    enum batch_kind kind;
    uint32_t phase;
    uint32_t pipeline;
};
void next_after(const struct bft *bft, const struct bft_head *tip, struct next_batch *out);
const struct configuration *configuration_of(const struct bft *bft, uint64_t cfg);
/* The configuration that signs what follows the tip. */
const struct configuration *configuration_now(const struct bft *bft);
uint32_t position_in(const struct configuration *configuration, uint32_t replica); /* or NOWHERE */
uint32_t own_position(const struct bft *bft); /* in configuration_now; NOWHERE */
bool is_primary(const struct bft *bft);       /* of what follows the tip */

/* The slot of a batch; NULL: outside the window. A free one is made its. */
struct slot *slot_at(struct bft *bft, uint64_t seqno);
/* The slot, if it is that batch's already; NULL. */
struct slot *slot_have(const struct bft *bft, uint64_t seqno);
void slot_clear(struct slot *slot);
/* Forgets the pre-prepare, keeps the votes. */
void slot_drop_batch(struct bft *bft, struct slot *slot);
/* The tip as it is after batch seqno, which is base or in the window. */
const struct bft_head *head_at(const struct bft *bft, uint64_t seqno);
/* Takes back what is above batch seqno. */
void undo_above(struct bft *bft, uint64_t seqno);
void own_nonce(const struct bft *bft, uint64_t cfg, uint64_t view, uint64_t seqno,
               ledger_nonce out);
bool nonce_opens(const ledger_nonce nonce, const ledger_hash commitment);
/* What follows from a batch that was executed on `before`, for the next one. */
void head_add(const struct bft *bft, struct bft_head *head, const struct preprepare_claims *claims,
              const struct next_batch *next, const ledger_hash name, struct wm_view header,
              const ledger_hash root, const struct bft_executed *executed);
/* Adds an entry to a tree; false: full. */
bool tree_add(struct merkle *tree, struct wm_view entry);

/* --- normal.c --- */

void propose_if_due(struct bft *bft);
uint64_t propose_deadline_ns(const struct bft *bft);
void on_preprepare(struct bft *bft, uint32_t from, const struct peer_preprepare *message);
void on_prepare(struct bft *bft, uint32_t from, const struct peer_prepare *message);
void on_commit(struct bft *bft, uint32_t from, const struct peer_commit *message);
/* Whatever can be done with what is there: execute, prepare, commit. */
void advance(struct bft *bft);
/* Executes the slot's batch on the tip, all of whose requests are here. 0, or why it is wrong. */
WM_MUST_CHECK int execute_slot(struct bft *bft, struct slot *slot, const struct next_batch *next,
                               struct wm_diag *diag);
void commit_slot(struct bft *bft, struct slot *slot);
/* Evidence of a committed batch in our own votes: its entry. False: not Q of them are here. */
bool make_evidence(struct bft *bft, struct slot *slot, struct evidence *out);
bool make_quorum(struct bft *bft, struct slot *slot, struct quorum *out);
/* Sends again what we said about a batch. */
void say_slot_again(struct bft *bft, const struct slot *slot, uint32_t to);
void note_signed(struct bft *bft, uint64_t view, uint64_t seqno);
/* Our prepare of the slot's batch, as a vote. */
void sign_slot(struct bft *bft, struct slot *slot);

/* --- view.c --- */

void leave_view(struct bft *bft, uint64_t view);
struct agreement_configurations configurations_known(struct bft *bft);
void on_view_change(struct bft *bft, uint32_t from, const struct viewchange *message);
void on_new_view(struct bft *bft, uint32_t from, const struct peer_newview *message);
void try_pending_view(struct bft *bft); /* after something was fetched */
void view_tick(struct bft *bft);
uint64_t view_deadline(const struct bft *bft);
void keep_top(struct bft *bft, struct slot *slot);
void say_view_again(struct bft *bft, uint32_t to);
/* Enters a view whose entries are checked and whose base is our tip. */
void enter_view(struct bft *bft, const struct newview_claims *claims, struct wm_view view_changes,
                struct wm_view new_view);

/* --- sync.c --- */

void on_status(struct bft *bft, uint32_t from, const struct peer_status *message);
void on_fetch_requests(struct bft *bft, uint32_t from, const struct peer_fetch_requests *message);
void on_fetch_entries(struct bft *bft, uint32_t from, const struct peer_fetch_entries *message);
void on_entries(struct bft *bft, uint32_t from, const struct peer_entries *message);
void say_status(struct bft *bft, uint32_t to);
void sync_tick(struct bft *bft);
uint64_t sync_deadline(const struct bft *bft);
struct peer_state *peer_of(struct bft *bft, uint32_t replica); /* NULL: too many */
void fetch_missing_requests(struct bft *bft, struct slot *slot, uint32_t from);
/* The ledger shows that a view has begun in which we are not yet. */
void follow_view(struct bft *bft, const struct slot *slot);
/* Keeps what leads to the top, if it lies above batch seqno and is to be taken back. */
void keep_top_entries(struct bft *bft, uint64_t seqno);
/* Our ledger is the top's again, if it is ours and was kept. */
bool take_top_entries(struct bft *bft, const struct agreement_top *top);
void fetch_prefix(struct bft *bft, uint32_t from, const ledger_hash name);
/* May the messages of this replica be listened to? It is in a configuration that is known. */
bool is_known(const struct bft *bft, uint32_t replica);
void keep_early(struct bft *bft, uint32_t from, struct wm_view bytes);
void release_early(struct bft *bft);

/* --- journal.c --- */

void record_batch(struct bft *bft, const struct slot *slot);
void record_prepared(struct bft *bft);
void record_left_view(struct bft *bft, const struct viewchange *own);
void record_new_view(struct bft *bft);
void restore_record(struct bft *bft, struct wm_view bytes);
void on_ask_newest(struct bft *bft, uint32_t from, const struct peer_ask_newest *message);
void on_newest(struct bft *bft, uint32_t from, const struct peer_newest *message);
void ask_newest(struct bft *bft);
/* Whoever is alone in his quorum, or has heard from one, may speak. */
void end_silence_if_heard(struct bft *bft);

/* NORMAL or LEARNER, by whether we are in the configuration that signs next. */
void refresh_mode(struct bft *bft);
/* The configuration in which it may speak; NULL: none that it knows to be in force. */
const struct configuration *speaks_in(const struct bft *bft);
/* Stops speaking until it has asked (again) what it said. */
void fall_silent(struct bft *bft);
/* Dispatch; also for messages that waited. */
void handle_message(struct bft *bft, uint32_t from, struct wm_view bytes);

#endif
