/* poll.h: waiting for files and for time.
 *
 * Each file says itself whether it is ready (a pipe of ours, a file in memory) or names a source
 * that the backend can wait on. What waits here ends early when the library OS is interrupted
 * (libos.h), so a deadline or a kill reaches a sleeping guest.
 *
 * Threads: the owner thread. Freestanding. */
#ifndef WM_LIBOS_POLL_H
#define WM_LIBOS_POLL_H

#include "libos/file.h"

/* Numbers of Linux' poll. */
#define LIBOS_POLL_IN 0x01u
#define LIBOS_POLL_OUT 0x04u
#define LIBOS_POLL_ERR 0x08u  /* always reported */
#define LIBOS_POLL_HUP 0x10u  /* always reported */
#define LIBOS_POLL_NVAL 0x20u /* always reported */

#define LIBOS_NO_SOURCE INT64_C(-1)

struct libos_poll_item {
    struct libos_file *file; /* borrowed */
    uint32_t events;         /* wanted: IN, OUT */
    uint32_t ready;          /* found */
    int64_t source;          /* what the backend waits on, its own number; set by the file */
};

/* Until at least one item is ready or the monotonic clock reaches deadline_ns (LIBOS_AT_ONCE: only
 * look; LIBOS_NEVER: no end). The number of ready items, 0 at the deadline, -EINTR when
 * interrupted. With no items it sleeps. */
WM_MUST_CHECK int libos_poll(struct libos *os, struct libos_poll_item *items, size_t count,
                             uint64_t deadline_ns);
/* For drivers whose call would have to wait: 0 when one of `events` is worth another try, or
 * -EINTR. */
WM_MUST_CHECK int libos_wait_for(struct libos_file *file, uint32_t events);

#endif
