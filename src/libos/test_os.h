/* test_os.h: a library OS for unit tests: simulated machine, memory through base/alloc.h so that
 * every allocation can be made to fail. */
#ifndef WM_LIBOS_TEST_OS_H
#define WM_LIBOS_TEST_OS_H

#include "base/alloc.h"
#include "libos/libos.h"
#include "libos/sim.h"

#define TEST_REALTIME_NS UINT64_C(1700000000000000000)

struct test_os {
    struct libos os;
    struct libos_sim sim;
};

static inline void *test_os_resize(void *self, void *old, size_t old_bytes, size_t new_bytes)
{
    (void)self;
    (void)old_bytes;
    if (new_bytes == 0) {
        wm_free(old);
        return NULL;
    }
    return wm_realloc(old, 1, new_bytes);
}

/* Returns &test->os. */
static inline struct libos *test_os_init(struct test_os *test)
{
    static const struct libos_backend memory = {.resize = test_os_resize};
    libos_sim_init(&test->sim, &memory, 1, TEST_REALTIME_NS);
    libos_init(&test->os, &test->sim.backend);
    test->os.interrupted = libos_sim_stuck;
    test->os.interrupted_arg = &test->sim;
    return &test->os;
}

#endif
