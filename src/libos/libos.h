/* libos.h: one library OS: what all its files share.
 *
 * A library OS has a backend (the machine) and an answer to one question: must a call that is
 * waiting give up? Everything else hangs on its files (file.h), of which the descriptor table
 * (fds.h) of a face is one holder. There is one task per library OS so far: the caller.
 *
 * Threads: one owner thread. Memory: from the backend. Freestanding. */
#ifndef WM_LIBOS_LIBOS_H
#define WM_LIBOS_LIBOS_H

#include "libos/backend.h"

struct libos {
    const struct libos_backend *backend; /* borrowed; outlives this */
    /* Asked before and after each wait: true makes the waiting call return -EINTR. NULL: never.
     * Whoever runs a guest on this library OS sets it (a deadline, a kill). */
    bool (*interrupted)(void *arg);
    void *interrupted_arg;
    uint64_t last_dev; /* device numbers given to file systems of our own */
};

void libos_init(struct libos *os, const struct libos_backend *backend);

static inline bool libos_interrupted(const struct libos *os)
{
    return os->interrupted && os->interrupted(os->interrupted_arg);
}

/* Zeroed memory, or NULL. */
WM_MUST_CHECK void *libos_alloc(struct libos *os, size_t bytes);
WM_MUST_CHECK void *libos_resize(struct libos *os, void *old, size_t old_bytes, size_t new_bytes);
void libos_free(struct libos *os, void *ptr, size_t bytes); /* NULL allowed */

/* 0 or negative. -EINVAL for a number that is no clock. */
WM_MUST_CHECK int libos_clock_read(struct libos *os, unsigned clock, uint64_t *ns);
WM_MUST_CHECK int libos_clock_resolution(struct libos *os, unsigned clock, uint64_t *ns);
/* The wall clock for time stamps; 0 where the machine has none. */
int64_t libos_now(struct libos *os);
WM_MUST_CHECK int libos_random(struct libos *os, void *out, size_t len);
void libos_yield(struct libos *os);

#endif
