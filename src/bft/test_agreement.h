/* test_agreement.h: four replicas of the agreement in one process, messages carried by hand.
 *
 * For tests that look at one thing (src/bft/bft_test.c) and for the fuzzer of messages; what many
 * seeds find is the simulator's business. Time passes only in agreement_run. The application's
 * state is a hash over all requests; a replica that was closed starts again from its journal alone.
 * Aborts where memory lacks. */
#ifndef WM_BFT_TEST_AGREEMENT_H
#define WM_BFT_TEST_AGREEMENT_H

#include "bft/bft.h"

#define AGREEMENT_REPLICAS 4u
#define AGREEMENT_MS UINT64_C(1000000)

struct agreement;

/* What a message becomes on its way; false: it is lost. Memory from malloc; may be replaced. */
typedef bool agreement_way(void *self, uint32_t from, uint32_t to, uint8_t **bytes, size_t *len);

struct agreement *agreement_new(uint32_t pipeline);
void agreement_free(struct agreement *all);
void agreement_on_way(struct agreement *all, agreement_way *way, void *self);

/* Delivers what is on its way and lets this much time pass. */
void agreement_run(struct agreement *all, uint64_t ms);
/* New requests of one client, to all who run. */
void agreement_submit(struct agreement *all, uint32_t count);
/* Ends a replica at once; its journal stays, unless the disk is lost. */
void agreement_close(struct agreement *all, uint32_t replica, bool lose_disk);
void agreement_open(struct agreement *all, uint32_t replica);

struct bft *agreement_bft(struct agreement *all, uint32_t replica); /* NULL: closed */
uint32_t agreement_replies(const struct agreement *all, uint32_t replica);
/* All who run, `but` excepted, have committed the same, as far as both have. */
bool agreement_holds(struct agreement *all, uint32_t but);

#endif
