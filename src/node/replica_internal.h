/* replica_internal.h: the parts of a replica, for the files of this family (replica_*.c).
 *
 *     replica.c          start, the loop's thread, end
 *     replica_folder.c   files and settings
 *     replica_disk.c     journal and group sync, the ledger's log, checkpoints
 *     replica_index.c    which record, batch and transaction is where
 *     replica_app.c      execution, agreement and their effects
 *     replica_find.c     receipts and other answers about what was committed
 *     replica_stream.c   a TCP connection with bounded queues
 *     replica_peers.c    channels between replicas
 *     replica_clients.c  clients' connections
 *     replica_check.c    the thread that checks clients' signatures
 *
 * All is the loop thread's, except where it says otherwise. */
#ifndef WM_NODE_REPLICA_INTERNAL_H
#define WM_NODE_REPLICA_INTERNAL_H

#include <stdatomic.h>
#include <uv.h>

#include "base/vec.h"
#include "ledger/checkpoint.h"
#include "ledger/executor.h"
#include "ledger/ledger_tree.h"
#include "ledger/table.h"
#include "node/replica.h"
#include "node/replica_stream.h"
#include "store/seglog.h"
#include "wire/client.h"

#define REPLICA_ADDRESS_BYTES 80u
#define REPLICA_KEEP 64u /* committed batches in memory */

/* --- replica_folder.c --- */

struct replica_folder {
    char *path;
    int dir_fd;
    uint8_t *genesis;
    size_t genesis_len;
    struct sign_key key;
    uint8_t nonce_secret[32];
    uint32_t id;
    char peer_listen[REPLICA_ADDRESS_BYTES], client_listen[REPLICA_ADDRESS_BYTES];
    struct bft_limits limits;
    uint64_t state_bytes_max;
};
WM_MUST_CHECK int replica_folder_open(struct replica_folder *folder, const char *path,
                                      struct wm_diag *diag);
void replica_folder_close(struct replica_folder *folder);
/* A new file in evidence/. */
void replica_folder_evidence(struct replica *replica, enum blame_kind kind, struct wm_view parts);

/* --- replica_disk.c --- */

/* A log, and the one sync of it that may be under way in libuv's pool. */
struct replica_log {
    struct replica *replica;
    struct seglog *log;
    uint64_t first, next; /* records */
    uint64_t bytes;       /* appended since the last cut */
    uv_work_t work;
    uv_mutex_t mutex;
    uv_cond_t cond;
    bool syncing, told; /* told: the log knows the result already */
    bool finished;      /* under the mutex */
    int fd, result;
    void (*synced)(struct replica *replica);
};

/* What leaves when the records before it are durable. */
struct replica_held {
    struct replica_held *next;
    enum bft_effect_kind kind;
    uint32_t to;
    uint64_t view, seqno;
    size_t len;
    uint8_t bytes[];
};
struct replica_queue {
    struct replica_held *first, **last;
};

struct replica_disk {
    struct replica_log journal, ledger;
    bool journal_dirty;
    struct replica_queue collecting, syncing;
    bool cut_wanted;               /* the journal is to be cut when the ledger's log is durable */
    uint64_t cut_before;           /* records before it go once what follows is durable; 0: none */
    struct checkpoint *checkpoint; /* being written */
    uv_work_t checkpoint_work;
    int checkpoint_result;
    uint64_t checkpoint_seqno; /* newest complete one */
};
WM_MUST_CHECK int replica_disk_open(struct replica *replica, struct wm_diag *diag);
void replica_disk_close(struct replica *replica);
/* Appends; stops the replica where the disk fails. */
void replica_disk_persist(struct replica *replica, struct wm_view record);
void replica_disk_entries(struct replica *replica, const struct bft_entries *entries);
/* Does what the effect says when all records so far are durable. */
void replica_disk_hold(struct replica *replica, const struct bft_effect *effect);
/* The end of a turn: begins a sync where one is due. */
void replica_disk_turn(struct replica *replica);
/* Of the state at the committed head; nothing where one is being written. */
void replica_disk_checkpoint(struct replica *replica);
/* An executor from the newest checkpoint that the ledger confirms. WM_E_NOT_FOUND: there is none.
 */
WM_MUST_CHECK int replica_disk_restore(struct replica *replica,
                                       const struct executor_config *config, struct executor **out,
                                       struct wm_diag *diag);

/* --- replica_index.c --- */

struct replica_batch {
    uint64_t record;      /* of its first entry */
    uint64_t first_index; /* of its transactions */
    uint64_t leaf;        /* of its pre-prepare in M */
};
struct replica_index {
    WM_VEC(struct replica_batch) batches; /* by seqno, from 1 */
    uint64_t next_index;
    /* Transactions by the first 8 bytes of their request's hash; open addressing, index 0: free. */
    struct replica_index_item {
        uint64_t hash, index;
    } * items;
    uint64_t count, room; /* a power of two */
    struct ledger_tree_memory hashes;
    struct ledger_tree tree;
};
void replica_index_init(struct replica_index *index);
void replica_index_fini(struct replica_index *index);
/* The next batch, whose first entry is this record. WM_E_MALFORMED, -ENOMEM. */
WM_MUST_CHECK int replica_index_add(struct replica_index *index, const struct bft_entries *entries,
                                    uint64_t record, struct wm_diag *diag);
static inline uint64_t replica_index_seqno(const struct replica_index *index)
{
    return index->batches.count;
}
/* The batch with this transaction; 0: none. */
uint64_t replica_index_batch_of(const struct replica_index *index, uint64_t transaction);
/* The next transaction whose request's hash begins so; *at goes from 0. False: no more. */
WM_MUST_CHECK bool replica_index_find(const struct replica_index *index, const ledger_hash request,
                                      uint64_t *at, uint64_t *transaction);
/* The entries of a committed batch from the log, in memory of `arena`. */
WM_MUST_CHECK int replica_entries(struct replica *replica, uint64_t seqno, struct wm_arena *arena,
                                  struct bft_entries *out, struct wm_diag *diag);
/* Makes the index of the whole log; what a crash left of a batch is cut. */
WM_MUST_CHECK int replica_index_load(struct replica *replica, struct wm_diag *diag);

/* --- replica_app.c --- */

WM_MUST_CHECK int replica_app_open(struct replica *replica, struct wm_diag *diag);
void replica_app_close(struct replica *replica);
void replica_step(struct replica *replica, const struct bft_event *event);
void replica_app_turn(struct replica *replica); /* ticks, and sets the timer */
/* What was held until it may leave. */
void replica_let_go(struct replica *replica, const struct replica_held *held);

/* --- replica_find.c --- */

/* The answers to FIND, CHAIN and READ; what they point to is in `arena`. */
void replica_find(struct replica *replica, const struct client_find *find, struct wm_arena *arena,
                  struct client_receipt *out);
void replica_chain(struct replica *replica, const struct client_chain *ask, struct wm_arena *arena,
                   struct client_links *out);
void replica_read_state(struct replica *replica, const struct client_read *ask,
                        struct wm_arena *arena, struct client_value *out);

/* --- replica_peers.c --- */

struct peers;
WM_MUST_CHECK int replica_peers_open(struct replica *replica, struct wm_diag *diag);
void replica_peers_shut(struct replica *replica); /* closes handles; the loop has to turn */
void replica_peers_free(struct replica *replica);
void replica_peers_send(struct replica *replica, uint32_t to, struct wm_view message);
void replica_peers_broadcast(struct replica *replica, struct wm_view message);
void replica_peers_tick(struct replica *replica); /* configurations, and who is to be dialled */
uint32_t replica_peers_state(struct replica *replica,
                             struct client_peer_state out[LEDGER_REPLICAS_MAX]);

/* --- replica_clients.c --- */

struct clients;
WM_MUST_CHECK int replica_clients_open(struct replica *replica, struct wm_diag *diag);
void replica_clients_shut(struct replica *replica);
void replica_clients_free(struct replica *replica);
/* Our share in a batch is durable. */
void replica_clients_reply(struct replica *replica, uint64_t view, uint64_t seqno);
void replica_clients_committed(struct replica *replica, uint64_t seqno);
void replica_clients_tick(struct replica *replica); /* followers */

/* --- replica_check.c --- */

struct check_item {
    struct check_item *next;
    uint64_t connection; /* its number: it may be gone meanwhile */
    ledger_hash hash;
    ledger_key client;
    bool wants_replyx, valid;
    uint64_t number;
    size_t request_len, arguments_len;
    uint8_t bytes[]; /* request, arguments */
};
struct checker;
WM_MUST_CHECK int replica_check_open(struct replica *replica, struct wm_diag *diag);
void replica_check_shut(struct replica *replica);
void replica_check_free(struct replica *replica);
/* Takes the item; `replica_checked` gets it back. */
void replica_check(struct replica *replica, struct check_item *item);
void replica_checked(struct replica *replica, struct check_item *item); /* replica_clients.c */

/* --- replica.c --- */

struct replica_figures { /* read by any thread */
    _Atomic uint64_t committed, transactions, view, mode, head, pool, clients, peers, refused,
        journal_syncs, journal_records, checkpoints;
};

struct replica {
    struct replica_config config;
    struct replica_folder folder;
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t wake;
    uv_prepare_t turn;
    uv_timer_t timer, tick;
    atomic_bool stopping;
    bool shut; /* its handles are closed */
    int code;  /* why it stops */
    struct wm_diag why;
    struct table table;
    struct procedure_table procedures;
    struct executor *executor;
    struct bft *bft;
    struct bft_effects effects;
    struct bft_app app;
    bool restoring; /* what is committed is in the log already */
    struct replica_disk disk;
    struct replica_index index;
    struct streams streams;
    struct peers *peers;
    struct clients *clients;
    struct checker *checker;
    char peer_address[REPLICA_ADDRESS_BYTES], client_address[REPLICA_ADDRESS_BYTES];
    struct replica_figures figures;
};

/* It must not go on. The first reason counts. */
void replica_fail(struct replica *replica, int code, const struct wm_diag *why);
void replica_log_line(struct replica *replica, const char *format, ...) WM_PRINTF(2, 3);

#endif
