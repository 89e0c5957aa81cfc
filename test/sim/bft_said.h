/* bft_said.h: everything that replicas have said, over all their lives.
 *
 * Kept as of the moment when it leaves a machine: what a machine that stopped took with it was
 * never said. Of honest replicas: that no two statements contradict each other. Of all: who signed
 * what and who opened a nonce, so that "prepared" and "committed" can be asked for from outside. */
#ifndef WM_TEST_SIM_BFT_SAID_H
#define WM_TEST_SIM_BFT_SAID_H

#include "sim/bft_world.h"

struct said;

struct said *said_new(struct world *world);
void said_free(struct said *said);

/* Something signed, or a nonce, leaves; by its signer, who is at `position` of a configuration.
 * committed: it is about a batch of the committed ledger, which may be prepared at any time. */
void said_batch(struct said *said, const struct node *node, const struct glance *glance,
                uint32_t position, bool committed);
/* Has it signed for this place? */
bool said_signed(const struct said *said, const struct node *node, uint64_t cfg, uint64_t view,
                 uint64_t seqno);
void said_nonce(struct said *said, const struct node *node, const struct glance *glance,
                uint32_t position, uint64_t liars, uint32_t quorum);
void said_view_change(struct said *said, const struct node *node, const struct glance *glance);
void said_new_view(struct said *said, const struct node *node, const struct glance *glance);
/* Was just this said before? */
bool said_before(const struct said *said, const struct node *node, const struct glance *glance);

/* Positions that signed this pre-prepare, or a prepare of it, and opened a nonce there. */
uint64_t said_signers(const struct said *said, uint64_t cfg, uint64_t view, uint64_t seqno,
                      const ledger_hash name);
uint64_t said_openers(const struct said *said, uint64_t cfg, uint64_t view, uint64_t seqno);

#endif
