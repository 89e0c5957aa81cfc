/* bft_scenario.h: runs that were thought of, beside those that are drawn. */
#ifndef WM_TEST_SIM_BFT_SCENARIO_H
#define WM_TEST_SIM_BFT_SCENARIO_H

#include "sim/bft_world.h"

struct scenario {
    const char *name;
    /* Makes worlds and ends them, in the caller's memory. False: world->failure says why. */
    bool (*run)(struct world *world, struct counts *counts, uint64_t seed);
};
extern const struct scenario scenarios[];
extern const uint32_t scenario_count;

#endif
