/* test_service.h: a service of which the test holds all keys, and ledgers of it: honest ones, and
 * any others.
 *
 * Builds, consistently and to the byte, what replicas would have signed: batches with their
 * evidence, quorums, certificates, receipts, governance, reconfigurations, changes of view. A
 * ledger is a value: it can be forked at any batch and go on another way, so two histories that
 * contradict each other are two ledgers, and whoever is to be a liar signs in both. A lie inside a
 * batch is a twist: a change of the outputs or the claims just before they are signed.
 *
 *     struct test_service *service = test_service_new(4, 4, 2);
 *     struct test_ledger *ledger = test_ledger_new(service);
 *     const struct test_batch *batch = test_batch(ledger, &call, 1, NULL);
 *     test_quorum(batch, 0x7, &quorum);             positions 0, 1 and 2 committed to it
 *     struct test_ledger *other = test_ledger_fork(ledger, 0);
 *
 * Replicas have the ids 1 to N, members 1 to M, and replica i belongs to member (i - 1) % M + 1.
 * Every key follows from what it is for and its id. Member's weights are 1, all rules ask for more
 * than 50 percent, C is 16.
 *
 * Memory: all of the service's arena; nothing is freed before it. Aborts on misuse and where memory
 * lacks. For tests only. */
#ifndef WM_PROOF_TEST_SERVICE_H
#define WM_PROOF_TEST_SERVICE_H

#include "crypto/merkle.h"
#include "proof/blame.h"
#include "proof/governance.h"

#define TEST_IDS_MAX 64u
#define TEST_BATCHES_MAX 256u
#define TEST_ENTRIES_MAX 1024u
#define TEST_INTERVAL 16u /* C */

const struct sign_key *test_member_key(uint32_t id);
const struct sign_key *test_replica_key(uint32_t id);
const struct sign_key *test_client_key(uint32_t id);

struct test_service {
    struct wm_arena arena;
    struct genesis genesis; /* views into its bytes */
    struct wm_view genesis_bytes;
    ledger_hash service;
};

struct test_service *test_service_new(uint32_t replicas, uint32_t members, uint32_t pipeline);
void test_service_free(struct test_service *service);
/* By the member's key over the replica's. */
struct wm_view test_endorsement(struct test_service *service, uint32_t replica, uint32_t member);
/* Copies; the bytes stay as long as the service. */
struct wm_view test_keep(struct test_service *service, struct wm_view bytes);

/* --- Requests --- */

struct test_call {
    struct wm_view request, arguments;
};
struct test_call test_request(struct test_service *service, const struct sign_key *key,
                              uint64_t number, uint64_t minimum_index, const char *procedure,
                              struct wm_view arguments);
/* "test.put" of a client: [key, value]; and "test.get": [key]. */
struct test_call test_put(struct test_service *service, uint32_t client, uint64_t number,
                          const char *key, const char *value);
/* "governance.propose" and "governance.vote" of a member. */
struct test_call test_propose(struct test_service *service, uint32_t member, uint64_t number,
                              struct wm_view actions);
struct test_call test_vote(struct test_service *service, uint32_t member, uint64_t number,
                           uint32_t proposal);
/* Actions of one proposal: the head, then each. */
struct wm_view test_add_replica(struct test_service *service, uint32_t replica, uint32_t member);
struct wm_view test_remove_replica(struct test_service *service, uint32_t replica);
/* The procedures that ledgers here have: test.put, test.get and those of governance. */
extern const struct procedure_table test_procedures;

/* --- Ledgers --- */

struct test_pair {
    struct wm_view key, value;
};
struct test_state {
    uint32_t count;
    const struct test_pair *pairs;
    ledger_hash root;
};
/* NULL: it is not there. */
const struct test_pair *test_state_find(const struct test_state *state, struct wm_view key);
void test_state_prove(const struct test_state *state, struct wm_view key, struct state_proof *out);

struct test_transaction {
    struct wm_view request, arguments, result;
    ledger_hash hash;
    struct request_output output; /* as it was signed */
    uint32_t touched_count;       /* keys that were read or written, the client's own among them */
    const struct wm_view *touched;
};

/* The end of a ledger. */
struct test_head {
    uint64_t view, next_index, governance;
    uint64_t reconfigured_at; /* batch of the final vote, while configurations change; else 0 */
    uint32_t reconfigured_pipeline;
    uint32_t batch_count, entry_count, configuration_count;
    uint64_t cfg; /* of the newest batch */
    ledger_hash committed_root;
    struct merkle tree; /* M */
    const struct test_state *state;
};

struct test_batch {
    struct test_service *service;
    const struct configuration *configuration;
    struct preprepare_claims claims;
    struct wm_view header, entry;
    ledger_hash root, name;
    ledger_signature signature;
    const struct test_transaction *transactions; /* claims.count */
    bool governance, reconfigures;
    const struct test_state *before;
    struct test_head after;
};

struct test_ledger {
    struct test_service *service;
    struct test_head head;
    struct wm_view entries[TEST_ENTRIES_MAX];           /* of M */
    const struct test_batch *batches[TEST_BATCHES_MAX]; /* batch s is [s - 1] */
    const struct configuration *configurations[16];
};

struct test_ledger *test_ledger_new(struct test_service *service);
/* As it was after batch seqno; 0: empty. */
struct test_ledger *test_ledger_fork(const struct test_ledger *ledger, uint64_t seqno);
/* The configuration that signs the next batch. */
const struct configuration *test_configuration(const struct test_ledger *ledger);

/* What is signed in place of the truth; either may be NULL. */
struct test_twist {
    void *self;
    void (*output)(void *self, uint32_t position, struct request_output *output);
    void (*claims)(void *self, struct preprepare_claims *claims);
};
/* The next batch: executed, signed by the primary of the ledger's view, and appended. Its kind
 * follows from the ledger, its evidence is of the Q lowest positions. */
const struct test_batch *test_batch(struct test_ledger *ledger, const struct test_call *calls,
                                    uint32_t count, const struct test_twist *twist);
/* One without transactions, `count` times. The newest. */
const struct test_batch *test_empty(struct test_ledger *ledger, uint32_t count);
/* What there is between a final vote and normal service: 3P batches. */
void test_reconfigure(struct test_ledger *ledger);

/* --- What replicas say of a batch --- */

/* Of positions in its configuration; a bitmap. */
uint64_t test_lowest(const struct test_batch *batch, uint32_t count);
uint64_t test_quorum_who(const struct test_batch *batch); /* the Q lowest */
uint32_t test_primary(const struct test_batch *batch);
void test_nonce(const struct test_batch *batch, uint32_t position, ledger_nonce out);
/* The primary's pre-prepare or a backup's prepare. */
void test_statement(const struct test_batch *batch, uint32_t position, struct statement_parts *out);
/* `who` in bits: the primary's says that its nonce is opened. */
void test_quorum(const struct test_batch *batch, uint64_t who, struct quorum *out);
/* The pre-prepare and the prepares of those in `who` but the primary. */
void test_signatures(const struct test_batch *batch, uint64_t who, struct certificate *out);

/* Of the transaction at `position`, with this quorum; and by way of a later batch. */
struct wm_view test_receipt(const struct test_batch *batch, uint32_t position, uint64_t who);
struct wm_view test_receipt_chained(const struct test_ledger *ledger,
                                    const struct test_batch *batch, uint32_t position,
                                    const struct test_batch *later, uint64_t who);
/* The way of leaf `leaf` in M when it had `size` entries. */
uint32_t test_path(const struct test_ledger *ledger, uint64_t leaf, uint64_t size,
                   ledger_hash path[LEDGER_PATH_MAX]);
/* The encoded transactions entry, without results that were lied about. */
struct wm_view test_transactions(const struct test_batch *batch);
/* The governance chain of the ledger's batches up to seqno: encoded links in an array. */
struct wm_view test_chain(const struct test_ledger *ledger, uint64_t seqno);

/* --- Changes of view --- */

struct test_change {
    uint32_t position;              /* in the configuration that signs next */
    const struct test_batch *top;   /* NULL: none */
    uint64_t who;                   /* whose prepares are in its certificate; 0: Q-1, the lowest */
    const struct configuration *as; /* that it is signed for; NULL: the one that signs next */
};
struct test_view {
    struct wm_view changes, entry; /* the two entries */
    uint64_t leaf;                 /* of the new-view */
    struct newview_claims claims;
};
/* The view-change of a replica in a configuration; views into the service's memory. */
void test_view_change(struct test_service *service, const struct configuration *configuration,
                      uint64_t view, const struct test_change *change, struct viewchange *out);
/* Entries of a view that continues the ledger as it is, and that the next batch is in. twist NULL:
 * what is true is stated. */
struct test_view test_new_view(struct test_ledger *ledger, uint64_t view,
                               const struct test_change *changes, uint32_t count,
                               void (*twist)(struct newview_claims *claims));
/* The same with the newest batch as everybody's top, by the Q lowest positions. */
struct test_view test_next_view(struct test_ledger *ledger, uint64_t view);

/* --- Blame --- */

/* Puts an entry into M that no batch brings. */
void test_add_entry(struct test_ledger *ledger, struct wm_view entry);
struct blame_place test_place(const struct test_ledger *ledger, uint64_t leaf, uint64_t size);
struct blame_below test_below(const struct test_ledger *ledger, const struct test_batch *batch,
                              const struct test_batch *above);
/* The last transaction of a batch that has some. */
struct blame_last test_last(const struct test_batch *batch);
/* The final vote that made configuration cfg, in the ledger below a batch. */
struct blame_place test_anchor(const struct test_ledger *ledger, uint64_t cfg,
                               const struct test_batch *above);

/* What blame_verify says of a file; `ids`: of the replicas that are blamed, as bits. */
struct test_judgement {
    int rc;
    uint64_t ids;
    struct wm_diag diag; /* where nobody is */
    char reason[WM_DIAG_TEXT_BYTES];
};
struct test_judgement test_judge(const struct test_service *service, struct wm_view bytes);

#endif
