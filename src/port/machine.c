/* The machine as the library OS sees it. */
#include "port/machine.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/random.h>
#include <time.h>

#include "base/alloc.h"
#include "libos/poll.h"
#include "port/call.h"

#define NS_PER_S UINT64_C(1000000000)
/* Without an allocation: what a guest usually waits for. */
#define FEW_ITEMS 32

_Static_assert(LIBOS_POLL_IN == POLLIN && LIBOS_POLL_OUT == POLLOUT && LIBOS_POLL_ERR == POLLERR &&
                   LIBOS_POLL_HUP == POLLHUP && LIBOS_POLL_NVAL == POLLNVAL,
               "poll");
_Static_assert(LIBOS_EAGAIN == EAGAIN && LIBOS_ENOTEMPTY == ENOTEMPTY && LIBOS_ELOOP == ELOOP &&
                   LIBOS_EOVERFLOW == EOVERFLOW && LIBOS_ENOTSOCK == ENOTSOCK &&
                   LIBOS_ENOTRECOVERABLE == ENOTRECOVERABLE && LIBOS_EDQUOT == EDQUOT,
               "errno");

static void *machine_resize(void *self, void *old, size_t old_bytes, size_t new_bytes)
{
    (void)self;
    (void)old_bytes;
    if (new_bytes == 0) {
        wm_free(old);
        return NULL;
    }
    return wm_realloc(old, 1, new_bytes);
}

static clockid_t clock_id(enum libos_clock clock)
{
    switch (clock) {
    case LIBOS_CLOCK_MONOTONIC: return CLOCK_MONOTONIC;
    case LIBOS_CLOCK_PROCESS_CPU: return CLOCK_PROCESS_CPUTIME_ID;
    case LIBOS_CLOCK_THREAD_CPU: return CLOCK_THREAD_CPUTIME_ID;
    case LIBOS_CLOCK_REALTIME:
    case LIBOS_CLOCKS: break;
    }
    return CLOCK_REALTIME;
}

static uint64_t ns_of(const struct timespec *time)
{
    return time->tv_sec < 0 ? 0 : (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

static int machine_clock_read(void *self, enum libos_clock clock, uint64_t *ns)
{
    struct timespec now;
    (void)self;
    if (PORT_CALL(clock_gettime(clock_id(clock), &now)) != 0) {
        return -errno;
    }
    *ns = ns_of(&now);
    return 0;
}

static int machine_clock_resolution(void *self, enum libos_clock clock, uint64_t *ns)
{
    struct timespec step;
    (void)self;
    if (PORT_CALL(clock_getres(clock_id(clock), &step)) != 0) {
        return -errno;
    }
    *ns = ns_of(&step);
    return 0;
}

static int machine_random(void *self, void *out, size_t len)
{
    uint8_t *at = out;
    (void)self;
    while (len > 0) {
        ssize_t got = PORT_CALL(getrandom(at, len, 0));
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -errno;
        }
        at += got;
        len -= (size_t)got;
    }
    return 0;
}

static int machine_wait(void *self, struct libos_poll_item *items, size_t count,
                        uint64_t deadline_ns)
{
    struct pollfd few[FEW_ITEMS];
    struct pollfd *fds = few;
    struct timespec left = {0};
    int rc;
    if (count > FEW_ITEMS) {
        fds = wm_alloc_zero(count, sizeof *fds);
        if (!fds) {
            return -ENOMEM;
        }
    }
    for (size_t i = 0; i < count; i++) {
        /* ppoll skips a negative descriptor: files that know themselves have none. */
        fds[i].fd = items[i].source == LIBOS_NO_SOURCE ? -1 : (int)items[i].source;
        fds[i].events = (short)items[i].events;
        fds[i].revents = 0;
    }
    if (deadline_ns != LIBOS_AT_ONCE && deadline_ns != LIBOS_NEVER) {
        uint64_t now;
        rc = machine_clock_read(self, LIBOS_CLOCK_MONOTONIC, &now);
        if (rc != 0) {
            goto out;
        }
        if (deadline_ns > now) {
            left.tv_sec = (time_t)((deadline_ns - now) / NS_PER_S);
            left.tv_nsec = (long)((deadline_ns - now) % NS_PER_S);
        }
    }
    rc = PORT_CALL(ppoll(fds, count, deadline_ns == LIBOS_NEVER ? NULL : &left, NULL));
    if (rc < 0) {
        rc = -errno;
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        if (fds[i].fd >= 0) {
            items[i].ready |= (uint32_t)fds[i].revents;
        }
    }
out:
    if (fds != few) {
        wm_free(fds);
    }
    return rc;
}

static void machine_yield(void *self)
{
    (void)self;
    sched_yield();
}

static void ignore_if_default(int signal_number)
{
    struct sigaction action;
    if (sigaction(signal_number, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
        action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        sigaction(signal_number, &action, NULL);
    }
}

static void ignore_write_signals(void)
{
    ignore_if_default(SIGPIPE);
    ignore_if_default(SIGXFSZ);
}

const struct libos_backend *port_machine(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const struct libos_backend machine = {
        .resize = machine_resize,
        .clock_read = machine_clock_read,
        .clock_resolution = machine_clock_resolution,
        .random = machine_random,
        .wait = machine_wait,
        .yield = machine_yield,
    };
    pthread_once(&once, ignore_write_signals);
    return &machine;
}
