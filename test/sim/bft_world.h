/* bft_world.h: one run of the simulator: machines, links, clients and faults in virtual time.
 *
 * One queue of timed events, one source of random numbers, one thread: a seed is a run. The code
 * under test is src/bft/ as it is, driven through bft_step; everything around it is modelled here.
 *
 * Modelled:
 *   links       delay with a long tail, loss, duplicates, reordering, cuts in one or both
 *               directions. A message's sender is authentic (crypto/channel.h sees to that).
 *   disks       bft_disk.h: what is not synced may be lost. A message with after_sync leaves when
 *               the records before it are durable, and not earlier; several steps may share a sync.
 *   machines    stopped between two events, between two effects of a step, before and after a
 *               sync; slow ones; clocks that run fast, slow, and jump forwards.
 *   operators   journals replaced by their newest records, old entries removed, checkpoints
 *               installed where BFT_BEHIND asks for one, lost disks and old ones.
 *   clients     requests to all or some, sent again, with minimum_index from receipts; receipts put
 *               together from shares and checked.
 *   liars       a real core whose messages are spoiled on the way out, with forgeries of its key;
 *               or twins, two real cores with one key.
 *
 * Not modelled: a liar's bytes inside the channel or the store, signatures broken, requests too
 * large for a message, two changes of configuration at once, checkpoints that lie (ledger/ checks
 * them), audit of what more than f liars left behind. */
#ifndef WM_TEST_SIM_BFT_WORLD_H
#define WM_TEST_SIM_BFT_WORLD_H

#include "sim/bft_app.h"
#include "sim/bft_disk.h"
#include "sim/bft_plan.h"
#include "wire/peer.h"

#define NODES_MAX 24u   /* machines: twins are two */
#define INBOX_MAX 1024u /* what does not fit is lost */
#define TRACE_LINES 8192u

struct world;
struct check;
struct liar;

/* --- Messages --- */

/* What a message says, as far as anybody can see from outside. */
struct glance {
    uint32_t kind; /* of enum peer_kind; 0: unreadable */
    uint64_t cfg, view, seqno;
    uint32_t position; /* where it names one */
    bool has_name;     /* of a pre-prepare: its own, or the prepared one's */
    ledger_hash name, commitment;
    bool has_top;
    uint64_t top_view, top_seqno;
    ledger_hash statement; /* its own name */
    ledger_key signer;     /* who signed it; a message may pass on another's */
    bool has_nonce;
    ledger_nonce nonce;
};
void glance_at(struct wm_view message, struct glance *out);

struct packet {
    uint32_t holders;
    uint32_t from; /* node */
    struct glance glance;
    struct bytes *bytes;
};
struct packet *packet_new(uint32_t from, struct wm_view message);
struct packet *packet_get(struct packet *packet);
void packet_drop(struct packet *packet); /* NULL allowed */

/* --- Machines --- */

enum node_state {
    NODE_DOWN,
    NODE_UP,
    NODE_HALTED, /* its core did */
    NODE_DEAD,   /* for good */
};

/* A reply to a client: this replica's share in a batch. */
struct reply {
    uint32_t holders;
    uint32_t node;
    uint64_t view, seqno;
    uint32_t position;
    bool primary;
    struct bytes *header; /* of the pre-prepare */
    ledger_hash root;
    ledger_signature preprepare_signature, signature;
    ledger_nonce nonce;
    struct app_results *results;
};
void reply_drop(struct reply *reply);

struct waiting { /* leaves when the journal is durable up to here */
    uint64_t journal_end;
    uint32_t to; /* id; 0: all */
    struct packet *packet;
    struct reply *reply;
};

struct node {
    struct world *world;
    uint32_t index, id;
    uint8_t side; /* of twins: 1 or 2; who hears both: 3 */
    bool is_liar;
    bool is_excused; /* lost its disk: it may be blamed, it need not take part */
    struct liar *liar;
    enum node_state state;
    uint32_t life; /* counts starts */
    uint64_t told; /* replicas, by id, that have told it in this life what it said last */
    struct bft *core;
    struct sim_app *app;
    struct disk disk, backup;
    bool has_backup;
    struct bft_effects effects;
    struct bft_status status;
    /* Its clock. */
    uint64_t clock_ns, clock_set_ns; /* what it showed, when */
    uint32_t clock_pm;               /* speed: 1000 is right */
    uint64_t timer_ns;               /* when the next tick is due; UINT64_MAX: none */
    uint32_t ticks_at_once;
    /* Work. */
    uint64_t busy_until_ns, step_ns; /* a step takes so long; messages wait in the inbox */
    struct packet **inbox;
    uint32_t inbox_first, inbox_count;
    bool turn_open; /* effects wait for the end of the turn */
    bool journal_syncing, ledger_syncing;
    uint64_t journal_begun; /* records that were there when it started */
    struct waiting *outbox;
    uint32_t outbox_count, outbox_room;
    bool behind; /* a checkpoint has to be installed */
    /* Stops at its n-th effect, or sync, from now; 0: does not. */
    uint64_t crash_at_effect, crash_at_sync;
    uint64_t effects_done, syncs_done;
    uint64_t core_bytes; /* memory that the core holds */
    uint64_t history;    /* a hash of all that it has been given, in order */
};

void node_init(struct node *node, struct world *world, uint32_t index, uint32_t id);
void node_fini(struct node *node);
void node_boot(struct node *node);
/* Stops at once. What is durable stays. */
void node_crash(struct node *node);
void node_step(struct node *node, const struct bft_event *event);
void node_request(struct node *node, const struct sim_request *request);
void node_message(struct node *node, struct packet *packet);
void node_timer(struct node *node, uint64_t number);
void node_turn_end(struct node *node);
void node_journal_synced(struct node *node, uint64_t end);
void node_ledger_synced(struct node *node, uint64_t end);
/* What operators do. */
void node_trim_journal(struct node *node);
void node_prune(struct node *node);
void node_install_checkpoint(struct node *node);
uint64_t node_clock(const struct node *node);
void node_nonce_secret(const struct node *node, uint8_t secret[32]);
/* Leaves when the records so far are durable, or at once. */
void node_say(struct node *node, uint32_t to, struct wm_view bytes, bool after_sync);
static inline bool node_is_twin(const struct node *node)
{
    return node->is_liar && node->side != 3;
}
static inline bool node_is_correct(const struct node *node)
{
    return !node->is_liar && !node->is_excused;
}

/* --- Links --- */

struct link {
    bool cut;
    uint32_t loss_pm, lag; /* delays are multiplied by it */
};
/* To replica `to`, all its machines; 0: to all that the sender's configurations name. */
void net_send(struct node *from, uint32_t to, struct packet *packet);
void net_heal(struct world *world);
/* Cuts what leads from one set of nodes (bits) to another, and back if `both`. */
void net_cut(struct world *world, uint32_t from, uint32_t to, bool both);
/* What a link does to one message of those who speak to clients, or to a client's. */
uint64_t net_delay(struct world *world);

/* --- Clients --- */

struct share {
    uint32_t replica; /* position */
    bool primary;
    ledger_signature signature;
    ledger_nonce nonce;
};
struct gathering { /* shares of one pre-prepare */
    ledger_hash name;
    struct reply *first; /* whose pre-prepare it is */
    uint64_t have;       /* bitmap of positions */
    struct share shares[APP_REPLICAS];
};
struct asked { /* one request on its way */
    struct sim_request request;
    uint64_t number, minimum_index, sent_ns;
    uint32_t tries;
    bool is_naughty; /* never to be answered */
    bool done;
};
struct client {
    uint32_t number;
    uint64_t next_number, submitted, answered;
    uint64_t seen_index;              /* the largest in its receipts */
    uint32_t notes, reconfigurations; /* still to be asked for */
    struct asked *asked;
    uint32_t asked_count, asked_room;
    struct gathering *gatherings;
    uint32_t gathering_count, gathering_room;
};
void client_init(struct client *client, const struct plan *plan, uint32_t number);
void client_fini(struct client *client);
void client_act(struct world *world, uint32_t number); /* submits and sends again */
void client_reply(struct world *world, uint32_t number, const struct reply *reply);
/* One more request at once, whatever the plan says. */
void client_submit(struct world *world, uint32_t number, const char *procedure,
                   struct wm_view arguments);
bool clients_done(const struct world *world);

/* --- The run --- */

enum event_kind {
    EVENT_BOOT,
    EVENT_DELIVER,
    EVENT_REQUEST,
    EVENT_REPLY,
    EVENT_WORK,
    EVENT_TIMER,
    EVENT_TURN_END,
    EVENT_JOURNAL_SYNCED,
    EVENT_LEDGER_SYNCED,
    EVENT_CHECKPOINT,
    EVENT_CLIENT,
    EVENT_FAULT,
    EVENT_LIAR,
    EVENT_HEAL,
    EVENT_LOOK,
};

struct event {
    uint64_t at_ns, order;
    uint64_t number;
    void *what; /* a packet, a reply, a request */
    enum event_kind kind;
    uint32_t to, life;
};

struct trace_line {
    uint64_t at_ns;
    const char *text; /* static; numbers a, b, c */
    uint32_t node, other;
    uint64_t a, b, c;
    uint8_t name[4];
};

struct counts {
    uint64_t runs, events, messages, batches, transactions, views, reconfigurations, receipts;
    uint64_t faults[FAULT_COUNT], tricks[TRICK_COUNT];
    uint64_t blamed[BLAME_GOVERNANCE + 1], halted, checkpoints_installed, disagreements;
    uint64_t excused_contradictions, largest_core_bytes;
};

struct world {
    struct plan plan;
    struct draw draw;
    uint64_t now_ns, order;
    struct event *heap;
    uint32_t heap_count, heap_room;
    struct app_service service;
    struct app_state genesis_state;
    struct bft_head genesis_head;
    struct node nodes[NODES_MAX];
    uint32_t node_count;
    struct link links[NODES_MAX][NODES_MAX];
    struct client clients[APP_CLIENTS];
    struct check *check;
    struct counts *counts;
    bool calm;  /* trouble is over */
    bool ended; /* all that was to be seen was seen */
    uint64_t calm_since_ns;
    uint64_t events, events_max;
    /* A scenario's hand on the links: false: the message is lost. NULL: none. */
    bool (*let_pass)(void *self, const struct packet *packet, uint32_t to);
    void *let_pass_self;
    char failure[512]; /* "": nothing failed */
    struct trace_line *trace;
    uint64_t trace_count;
    bool print_trace;
    bool remembers; /* histories are kept */
};

void world_init(struct world *world, const struct plan *plan, struct counts *counts);
void world_fini(struct world *world);
/* To the end: everything ended, or a rule was broken. */
bool world_run(struct world *world);
/* A scenario's steps: until the time, or until something fails. */
bool world_run_for(struct world *world, uint64_t ns);
/* Until all requests are answered and all are at the ledger's end; false: not within ns. */
bool world_run_calm(struct world *world, uint64_t ns);
/* All up, links healed, no more faults. */
void world_calm(struct world *world);
void world_push(struct world *world, uint64_t in_ns, enum event_kind kind, uint32_t to,
                uint64_t number, void *what);
/* One event; false: something failed. */
bool world_step(struct world *world);
/* Places in the queue of what may come next: messages, requests, and clocks that run out. In an
 * order that depends on the run only. */
uint32_t world_choices(struct world *world, uint32_t *places, uint32_t room);
bool world_take(struct world *world, uint32_t place);
/* A rule is broken: the run ends. The first one counts. */
void world_fail(struct world *world, const char *format, ...) WM_PRINTF(2, 3);
void world_trace(struct world *world, uint32_t node, uint32_t other, const char *text, uint64_t a,
                 uint64_t b, uint64_t c, const uint8_t *name);
/* Where each machine stands. */
void world_print_state(const struct world *world);
void world_print_trace(const struct world *world, uint32_t lines);
struct node *world_node_of(struct world *world, uint32_t id); /* the first one; NULL */
uint32_t world_up(const struct world *world);                 /* bits of nodes */
void world_fault(struct world *world, enum fault_kind kind);  /* somewhere, drawn */
/* The machines that the newest committed configuration has. */
uint32_t world_members(const struct world *world);

#endif
