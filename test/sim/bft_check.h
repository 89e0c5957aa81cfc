/* bft_check.h: what must hold at every moment of a run, whatever the core thinks.
 *
 * Nothing here asks src/bft/ or src/proof/ whether something is right: names, roots, quorums,
 * evidence, the order of configurations and the results are computed again from the bytes, by code
 * of its own (bft_truth.h). Only encodings are shared, and the application's function.
 *
 *   agreement     honest replicas commit the same entries, byte for byte, one after the other
 *   validity      each committed batch is one that the format allows and whose results are right
 *   at once       a number of a client is executed once; minimum_index is kept
 *   receipts      what a client put together is of a batch in the ledger
 *   word          over all its lives, a replica says one thing at one (cfg, view, seqno); a
 * view-change names a top that is not below a nonce that it opened; in a view that it has left it
 *                 says nothing new; what it says is on its disk
 *   quorums       a nonce is opened when Q signed; a batch commits when Q opened
 *   blame         no alarm names an honest replica; nobody honest is suspected, or halts
 *   bounds        memory, effects of a step
 *
 * With more than f liars agreement, validity across replicas and receipts are not asked for. */
#ifndef WM_TEST_SIM_BFT_CHECK_H
#define WM_TEST_SIM_BFT_CHECK_H

#include "sim/bft_world.h"

struct check *check_new(struct world *world);
void check_free(struct check *check);
void check_count(const struct check *check, struct counts *counts);

/* --- What nodes do --- */

void check_booted(struct check *check, const struct node *node);
void check_committed(struct check *check, const struct node *node, const struct app_commit *commit);
void check_installed(struct check *check, const struct node *node, uint64_t seqno);
/* A message leaves the machine. */
void check_said(struct check *check, const struct node *node, const struct packet *packet);
/* A message is made; covered: it leaves after a sync, or all is durable. */
void check_uncovered(struct check *check, const struct node *node, const struct packet *packet,
                     bool covered);
void check_shared(struct check *check, const struct node *node, const struct reply *reply);
void check_no_share(struct check *check, const struct node *node, const struct bft_effect *effect);
void check_quorum(struct check *check, const struct node *node, uint64_t seqno);
void check_alarm(struct check *check, const struct node *node, const struct bft_effect *effect);
void check_halted(struct check *check, const struct node *node, int code, const char *text);
void check_status(struct check *check, const struct node *node, const struct bft_status *before,
                  const struct bft_status *now);
void check_effects(struct check *check, const struct node *node);
void check_memory(struct check *check, const struct node *node);

/* --- What clients find --- */

bool check_request(const struct sim_request *request); /* is its signature right? */
/* Is the share genuine? Sets the name of the pre-prepare that it is of. */
bool check_share(const struct check *check, const struct reply *reply, ledger_hash name);
/* A client has Q shares of one batch. */
void check_gathered(struct check *check, const struct gathering *gathering);
/* And believes by them what became of its request. */
void check_receipt(struct check *check, const struct app_result *result, uint64_t minimum_index);
/* In the committed ledger? */
bool check_has(const struct check *check, const ledger_hash request);

/* --- The committed ledger --- */

const struct app_state *check_state(const struct check *check);
uint64_t check_end(const struct check *check); /* the newest batch that is known to be committed */
/* Replicas of configuration cfg whose entries are known; false: not committed yet. */
bool check_configuration(const struct check *check, uint64_t cfg, struct configuration *out);
/* Everything is over: what could not be checked before. */
void check_ended(struct check *check);

#endif
