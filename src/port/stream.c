/* Pipes, terminals and other streams of the host.
 *
 * First the call that never waits (RWF_NOWAIT); when there is nothing to do yet, ppoll, which a
 * signal always ends; then once more. Kernels and drivers without RWF_NOWAIT (terminals) get ppoll
 * first and then the plain call. A plain call can still wait when another process takes what was
 * there: the signal ends it too, as its handler has no SA_RESTART. */
#include "port/file.h"

#include <sys/uio.h>

#include "libos/poll.h"
#include "port/call.h"

enum direction { READING, WRITING };

static ssize_t plain(int fd, enum direction direction, const struct iovec *vec, size_t count)
{
    return direction == READING ? PORT_CALL(readv(fd, vec, (int)count))
                                : PORT_CALL(writev(fd, vec, (int)count));
}

static ssize_t try_now(const struct port_file *port, enum direction direction,
                       const struct iovec *vec, size_t count)
{
    if (port->never_waits) {
        return plain(port->fd, direction, vec, count);
    }
    return direction == READING ? PORT_CALL(preadv2(port->fd, vec, (int)count, -1, RWF_NOWAIT))
                                : PORT_CALL(pwritev2(port->fd, vec, (int)count, -1, RWF_NOWAIT));
}

/* 0 when the descriptor is ready, -EAGAIN when it is not and the file does not wait. */
static int wait_ready(struct libos_file *file, enum direction direction)
{
    uint32_t events = direction == READING ? LIBOS_POLL_IN : LIBOS_POLL_OUT;
    if (!(file->flags & LIBOS_NONBLOCK)) {
        return libos_wait_for(file, events);
    }
    struct libos_poll_item item = {.file = file, .events = events};
    int rc = libos_poll(file->os, &item, 1, LIBOS_AT_ONCE);
    return rc == 0 ? -LIBOS_EAGAIN : rc < 0 ? rc : 0;
}

static int64_t move_some(struct libos_file *file, enum direction direction,
                         const struct libos_iov *iov, size_t count)
{
    const struct port_file *port = port_file_of(file);
    const struct iovec *vec = (const struct iovec *)iov;
    bool waited = false;
    for (;;) {
        ssize_t done = try_now(port, direction, vec, count);
        if (done >= 0) {
            return done;
        }
        if (errno == EINTR) {
            if (libos_interrupted(file->os)) {
                return -LIBOS_EINTR;
            }
            continue;
        }
        bool no_such_call = errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL;
        if ((errno != EAGAIN && !no_such_call) || (no_such_call && port->never_waits)) {
            return -errno;
        }
        if (!waited || no_such_call) {
            int rc = wait_ready(file, direction);
            if (rc != 0) {
                return rc;
            }
            waited = true;
            if (!no_such_call) {
                continue;
            }
        }
        /* Ready, says ppoll, yet RWF_NOWAIT does not do it: not here, or not now. */
        done = plain(port->fd, direction, vec, count);
        if (done >= 0) {
            return done;
        }
        if (errno == EINTR && libos_interrupted(file->os)) {
            return -LIBOS_EINTR;
        }
        if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
        waited = false;
    }
}

static int64_t stream_read(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    return move_some(file, READING, iov, count);
}

/* The rest of a write of which `done` bytes went through. Out of line, as the copy is large. */
static WM_NOINLINE int64_t write_rest(struct libos_file *file, const struct libos_iov *iov,
                                      size_t count, int64_t done, uint64_t total)
{
    struct libos_iov left[LIBOS_IOV_MAX];
    __builtin_memcpy(left, iov, count * sizeof *iov);
    size_t left_count = port_iov_advance(left, count, (size_t)done);
    while ((uint64_t)done < total) {
        int64_t more = move_some(file, WRITING, left, left_count);
        if (more <= 0) {
            break; /* what is done is done; the next call meets the error again */
        }
        done += more;
        left_count = port_iov_advance(left, left_count, (size_t)more);
    }
    return done;
}

/* All of it, as a blocking write does, unless the file does not wait. */
static int64_t stream_write(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += iov[i].len;
    }
    int64_t done = move_some(file, WRITING, iov, count);
    if (done < 0 || (uint64_t)done == total || (file->flags & LIBOS_NONBLOCK)) {
        return done;
    }
    return write_rest(file, iov, count, done, total);
}

const struct libos_file_ops port_stream_ops = {
    .close = port_file_close,
    .read = stream_read,
    .write = stream_write,
    .stat = port_file_stat,
    .set_flags = port_stream_set_flags,
    .poll = port_file_poll,
    .readable_bytes = port_stream_readable_bytes,
};
