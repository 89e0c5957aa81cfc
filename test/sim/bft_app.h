/* bft_app.h: the application under the replicas of the simulator: small, deterministic, undoable.
 *
 * Its state is a few cells that requests add to, a chain of hashes over all requests in their
 * order, the numbers that each client has used, and who the replicas of each configuration are. It
 * is one plain struct, so a version is a copy and the state root its hash. Nobody shall take it for
 * the ledger's executor; it has that one's contract (struct bft_app) and the same kinds of
 * requests:
 *
 *     add         [cell, amount]: result is the cell's new value
 *     refuse      fails without a trace
 *     note        governance that changes nothing: ends its batch
 *     replicas    [cfg, id...]: governance; the replicas of configuration cfg, which must be next
 *
 * Requests of others than client 0 to govern are DENIED. app_execute is also the checker's: it runs
 * once more over what was committed, outside of any replica.
 *
 * Nodes know an application by struct sim_app, so that the real executor can take this one's
 * place. */
#ifndef WM_TEST_SIM_BFT_APP_H
#define WM_TEST_SIM_BFT_APP_H

#include "bft/bft.h"
#include "sim/bft_base.h"

#define APP_CELLS 16u
#define APP_CLIENTS 8u
#define APP_REPLICAS 12u /* in a configuration */
#define APP_CONFIGURATIONS 24u

struct app_state {
    uint64_t next_index;
    uint64_t cells[APP_CELLS];
    ledger_hash chain;
    struct {
        uint64_t highest, used; /* bit k: highest - k */
    } numbers[APP_CLIENTS];
    uint64_t configurations;                            /* known ones: 0 to configurations - 1 */
    uint8_t replicas[APP_CONFIGURATIONS][APP_REPLICAS]; /* ids, ascending; 0: no more */
};

/* What the run fixes: how configurations look that are not in the state. */
struct app_service {
    ledger_hash hash;
    struct ledger_parameters parameters;
};
/* The genesis with replicas 1 to `replicas`; fills in the service's hash and the first state. */
void app_genesis(uint32_t replicas, const struct ledger_parameters *parameters,
                 struct app_service *service, struct app_state *state);
/* Configuration `number` of a state that knows it. */
void app_configuration(const struct app_service *service, const struct app_state *state,
                       uint64_t number, struct configuration *out);

void app_state_root(const struct app_state *state, ledger_hash out);

struct app_outcome {
    struct request_output output;
    uint8_t result[8];
    bool governance, reconfigures;
};
/* One request on the state. The request is genuine; `client` is APP_CLIENTS for nobody known. */
void app_execute(struct app_state *state, const struct request *request, uint32_t client,
                 const ledger_hash hash, struct wm_view arguments, uint64_t index,
                 struct app_outcome *out);
uint32_t app_client_of(const ledger_key key);

/* Makes a request of a client; counted bytes. */
struct sim_request {
    struct bytes *request, *arguments;
    ledger_hash hash;
};
void app_request(const ledger_hash service, uint32_t client, uint64_t number,
                 uint64_t minimum_index, const char *procedure, struct wm_view arguments,
                 struct sim_request *out);

/* --- What was executed, for replies; counted --- */

struct app_result {
    ledger_hash request;
    uint32_t client;
    uint64_t number, index;
    struct request_output output;
};
struct app_results {
    uint32_t holders;
    uint64_t seqno;
    ledger_hash root; /* G */
    uint32_t count;
    struct app_result items[];
};
struct app_results *app_results_get(struct app_results *results);
void app_results_drop(struct app_results *results);

/* --- What a node asks of its application --- */

struct sim_app {
    struct bft_app calls;
    void (*close)(struct sim_app *app);
    /* Of the newest execution of batch seqno, while it is not long ago; counted; NULL. */
    struct app_results *(*results)(struct sim_app *app, uint64_t seqno);
    /* Executes batch seqno, which was executed, in another way: without its request number `skip`,
     * or where there are fewer, in the reverse order; and with `extra` (or NULL) behind the others;
     * for liars. The hashes of what was executed are written to `requests` (room for one more than
     * there were). */
    bool (*otherwise)(struct sim_app *app, uint64_t seqno, uint32_t skip,
                      const struct sim_request *extra, struct bft_executed *executed,
                      uint8_t *requests);
};

/* Where a node keeps what its application commits; see bft_disk.h. */
struct app_commit {
    const struct bft_entries *entries;
    const struct bft_head *head;   /* of the ledger with it */
    const struct app_state *state; /* after it */
};
struct app_host {
    void *self;
    void (*committed)(void *self, const struct app_commit *commit);
    bool (*read)(void *self, uint64_t seqno, void (*take)(void *, const struct bft_entries *),
                 void *taker);
    /* The core broke its word: a sentence. */
    void (*broken)(void *self, const char *what);
};
/* From the end of a committed ledger and the state there. */
struct sim_app *app_open(const struct app_service *service, const struct app_state *state,
                         const struct bft_head *head, const struct app_host *host);

#endif
