/* pause.h: waiting for another thread of this worker, in a call that may be told to stop.
 *
 * A signal does not end a wait for a condition variable, so waits are cut into slices, between
 * which the call's own end is looked for. Conditions must be made by pause_cond_init (they count
 * CLOCK_MONOTONIC). */
#ifndef WM_FAASLET_PAUSE_H
#define WM_FAASLET_PAUSE_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/compiler.h"

#define PAUSE_SLICE_NS INT64_C(5000000)
#define PAUSE_FOREVER INT64_MAX

static inline int64_t pause_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

WM_MUST_CHECK static inline int pause_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0) {
        return -ENOMEM;
    }
    int rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = rc ? rc : pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return -rc;
}

/* One slice, or less where somebody signals: 0; -ETIMEDOUT when until_ns has passed, -EINTR when
 * `stop` (may be NULL) says so. The condition itself is the caller's to look at again. */
WM_MUST_CHECK static inline int pause_wait(pthread_cond_t *cond, pthread_mutex_t *held,
                                           int64_t until_ns, bool (*stop)(void *self),
                                           void *stop_self)
{
    int64_t now = pause_clock_ns();
    if (now >= until_ns) {
        return -ETIMEDOUT;
    }
    if (stop && stop(stop_self)) {
        return -EINTR;
    }
    int64_t wake = until_ns - now < PAUSE_SLICE_NS ? until_ns : now + PAUSE_SLICE_NS;
    struct timespec at = {.tv_sec = wake / 1000000000, .tv_nsec = wake % 1000000000};
    (void)!pthread_cond_timedwait(cond, held, &at);
    return 0;
}

#endif
