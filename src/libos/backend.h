/* backend.h: all that the library OS asks of the machine.
 *
 * The library OS is built for plain Linux, for the inside of an enclave (freestanding) and to
 * WebAssembly. Whatever differs between them is behind this table; drivers that reach further (host
 * directories, sockets) live with the machine, above this folder, and implement file.h.
 *
 * Implementations: port/machine.c (Linux) and libos/sim.c (no machine at all: time moves only when
 * somebody waits, randomness comes from a seed).
 *
 * Threads: one thread owns a library OS and everything in it for now; no function here is called
 * from two threads at once. Freestanding: the compiler's headers only. */
#ifndef WM_LIBOS_BACKEND_H
#define WM_LIBOS_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct libos_poll_item; /* poll.h */

enum libos_clock {
    LIBOS_CLOCK_REALTIME,    /* nanoseconds since 1970 */
    LIBOS_CLOCK_MONOTONIC,   /* since some fixed moment; never goes back */
    LIBOS_CLOCK_PROCESS_CPU, /* CPU time of the process */
    LIBOS_CLOCK_THREAD_CPU,  /* CPU time of the calling thread */
    LIBOS_CLOCKS,
};

/* Moments of the monotonic clock with a meaning of their own. */
#define LIBOS_AT_ONCE UINT64_C(0)
#define LIBOS_NEVER UINT64_MAX

struct libos_backend {
    void *self; /* passed as the first argument */
    /* As realloc: new_bytes 0 releases; NULL leaves the old block as it was. Gives alignment 16. */
    void *(*resize)(void *self, void *old, size_t old_bytes, size_t new_bytes);
    /* 0 or a negative error number. */
    int (*clock_read)(void *self, enum libos_clock clock, uint64_t *ns);
    int (*clock_resolution)(void *self, enum libos_clock clock, uint64_t *ns);
    /* Fills out with bytes fit for keys; 0 or negative; never less than all of them. */
    int (*random)(void *self, void *out, size_t len);
    /* Waits until one of the items with a source (poll.h) is ready, or the monotonic clock reaches
     * deadline_ns, whatever comes first; sets `ready` of those that are. With LIBOS_AT_ONCE it only
     * looks. Returns the number of ready items, 0 at the deadline, -EINTR when something asked for
     * attention (a signal; the caller decides whether to go on), or another negative error. */
    int (*wait)(void *self, struct libos_poll_item *items, size_t count, uint64_t deadline_ns);
    /* Lets others run. */
    void (*yield)(void *self);
};

#endif
