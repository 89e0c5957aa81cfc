/* bft_exhaust.h: all schedules, where a run is small enough.
 *
 * Four replicas, one batch under way at a time, two requests, with the primary alive or stopped
 * (then a second view begins). From a place in the run on, every order of the next `depth` events
 * is tried: any message that is on its way may come next, or any clock may run out. Then the run
 * goes on as it would, to its end, with all checks.
 *
 * Two orders that each machine sees alike are one: a state is what each machine has been through,
 * by a hash; one that was met before, with as many choices left, is not gone on with. */
#ifndef WM_TEST_SIM_BFT_EXHAUST_H
#define WM_TEST_SIM_BFT_EXHAUST_H

#include "sim/bft_world.h"

#define EXHAUST_DEPTH_MAX 16u

struct exhaust {
    uint32_t depth;
    uint32_t stride;   /* from every stride-th event on */
    uint64_t runs_max; /* 0: no limit */
    /* Out. */
    uint64_t runs, alike, places;
};
/* False: world->failure, and the choices are printed. */
bool exhaust(struct world *world, struct counts *counts, uint64_t seed, bool stop_primary,
             struct exhaust *exhaust);

#endif
