/* bft_mutants.h: is the simulator worth anything? Each guard of src/bft/guard.h switched off in
 * turn: a run that fails with it and not without it has found the mutant.
 *
 * Needs the core built with -DBFT_MUTANTS; elsewhere there are no mutants. Runs in processes of
 * their own, since a core without a guard may do anything. */
#ifndef WM_TEST_SIM_BFT_MUTANTS_H
#define WM_TEST_SIM_BFT_MUTANTS_H

#include <stdbool.h>
#include <stdint.h>

uint32_t mutant_count(void);
const char *mutant_name(uint32_t mutant);
/* By drawn runs from `seed` on, at most `budget`, then by scenarios. Prints what found it. */
bool mutant_found(uint32_t mutant, uint64_t seed, uint64_t budget);

#endif
