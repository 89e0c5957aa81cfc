/* sim.h: a backend without a machine, for repeatable runs, tests and fuzzing.
 *
 * Time stands still except when somebody waits: then it jumps to the deadline. A wait without an
 * end can never be satisfied here: it sets `stuck` and returns -EINTR, and libos_sim_stuck, set as
 * the library OS' `interrupted`, makes the waiting call give up. CPU clocks follow the monotonic
 * one. Randomness is a function of the seed and worth nothing as a secret. Freestanding. */
#ifndef WM_LIBOS_SIM_H
#define WM_LIBOS_SIM_H

#include "libos/backend.h"

struct libos_sim {
    struct libos_backend backend;
    const struct libos_backend *memory; /* whose resize is used; borrowed */
    uint64_t realtime_ns;
    uint64_t monotonic_ns;
    uint64_t random_state;
    bool stuck; /* a wait without an end was asked for */
};

void libos_sim_init(struct libos_sim *sim, const struct libos_backend *memory, uint64_t seed,
                    uint64_t realtime_ns);
/* For struct libos.interrupted with the sim as argument: true once stuck. */
bool libos_sim_stuck(void *sim);

#endif
