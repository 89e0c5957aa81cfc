/* A backend without a machine: time is a variable, randomness a counter through a mixing function
 * (SplitMix64). */
#include "libos/sim.h"

#include "libos/errno.h"
#include "libos/poll.h"

static void *sim_resize(void *self, void *old, size_t old_bytes, size_t new_bytes)
{
    const struct libos_backend *memory = ((struct libos_sim *)self)->memory;
    return memory->resize(memory->self, old, old_bytes, new_bytes);
}

static int sim_clock_read(void *self, enum libos_clock clock, uint64_t *ns)
{
    const struct libos_sim *sim = self;
    *ns = clock == LIBOS_CLOCK_REALTIME ? sim->realtime_ns : sim->monotonic_ns;
    return 0;
}

static int sim_clock_resolution(void *self, enum libos_clock clock, uint64_t *ns)
{
    (void)self;
    (void)clock;
    *ns = 1;
    return 0;
}

static int sim_random(void *self, void *out, size_t len)
{
    struct libos_sim *sim = self;
    uint8_t *at = out;
    while (len > 0) {
        uint64_t z = sim->random_state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
        size_t part = len < 8 ? len : 8;
        __builtin_memcpy(at, &z, part);
        at += part;
        len -= part;
    }
    return 0;
}

static int sim_wait(void *self, struct libos_poll_item *items, size_t count, uint64_t deadline_ns)
{
    struct libos_sim *sim = self;
    (void)items; /* no file of a simulated machine has a source outside */
    (void)count;
    if (deadline_ns == LIBOS_NEVER) {
        sim->stuck = true;
        return -LIBOS_EINTR;
    }
    if (deadline_ns > sim->monotonic_ns) {
        sim->realtime_ns += deadline_ns - sim->monotonic_ns;
        sim->monotonic_ns = deadline_ns;
    }
    return 0;
}

static void sim_yield(void *self)
{
    (void)self;
}

void libos_sim_init(struct libos_sim *sim, const struct libos_backend *memory, uint64_t seed,
                    uint64_t realtime_ns)
{
    *sim = (struct libos_sim){
        .backend = {.self = sim,
                    .resize = sim_resize,
                    .clock_read = sim_clock_read,
                    .clock_resolution = sim_clock_resolution,
                    .random = sim_random,
                    .wait = sim_wait,
                    .yield = sim_yield},
        .memory = memory,
        .realtime_ns = realtime_ns,
        .monotonic_ns = 1,
        .random_state = seed,
    };
}

bool libos_sim_stuck(void *sim)
{
    return ((const struct libos_sim *)sim)->stuck;
}
