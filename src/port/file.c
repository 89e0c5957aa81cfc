/* Regular files of the host, and what all host descriptors have in common. */
#include "port/file.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libos/poll.h"
#include "port/call.h"

/* The most that one kernel call moves: a copy of this size takes a few milliseconds, so that a
 * deadline is seen in time between two of them. */
#define CALL_BYTES (UINT64_C(16) << 20)
#define NS_PER_S INT64_C(1000000000)

_Static_assert(sizeof(struct libos_iov) == sizeof(struct iovec) &&
                   offsetof(struct libos_iov, len) == offsetof(struct iovec, iov_len),
               "struct libos_iov is handed to the kernel as it is");

enum libos_kind port_kind(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG: return LIBOS_KIND_FILE;
    case S_IFDIR: return LIBOS_KIND_DIR;
    case S_IFLNK: return LIBOS_KIND_SYMLINK;
    case S_IFCHR: return LIBOS_KIND_CHAR;
    case S_IFBLK: return LIBOS_KIND_BLOCK;
    case S_IFIFO: return LIBOS_KIND_PIPE;
    case S_IFSOCK: return LIBOS_KIND_SOCKET_STREAM;
    default: return LIBOS_KIND_UNKNOWN;
    }
}

/* Saturates: a file of the year 2300 is late, not negative. */
static int64_t ns_of(const struct timespec *time)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)time->tv_sec, NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, (int64_t)time->tv_nsec, &ns)) {
        return time->tv_sec < 0 ? INT64_MIN : INT64_MAX;
    }
    return ns;
}

static void time_to(int64_t ns, struct timespec *out)
{
    if (ns == LIBOS_TIME_OMIT || ns == LIBOS_TIME_NOW) {
        *out = (struct timespec){.tv_nsec = ns == LIBOS_TIME_NOW ? UTIME_NOW : UTIME_OMIT};
        return;
    }
    out->tv_sec = ns / NS_PER_S;
    out->tv_nsec = ns % NS_PER_S;
    if (out->tv_nsec < 0) {
        out->tv_nsec += NS_PER_S;
        out->tv_sec--;
    }
}

void port_times_to(const struct libos_times *times, struct timespec out[2])
{
    time_to(times->atime_ns, &out[0]);
    time_to(times->mtime_ns, &out[1]);
}

void port_stat_from(const struct stat *from, struct libos_stat *out)
{
    *out = (struct libos_stat){
        .dev = from->st_dev,
        .ino = from->st_ino,
        .kind = port_kind(from->st_mode),
        .mode = from->st_mode & 07777,
        .links = from->st_nlink,
        .bytes = (uint64_t)from->st_size,
        .atime_ns = ns_of(&from->st_atim),
        .mtime_ns = ns_of(&from->st_mtim),
        .ctime_ns = ns_of(&from->st_ctim),
    };
}

int port_file_stat(struct libos_file *file, struct libos_stat *out)
{
    struct stat found;
    if (PORT_CALL(fstat(port_file_of(file)->fd, &found)) != 0) {
        return -errno;
    }
    port_stat_from(&found, out);
    if (out->kind == LIBOS_KIND_SOCKET_STREAM) {
        out->kind = file->kind; /* fstat does not tell streams from datagrams */
    }
    return 0;
}

void port_file_close(struct libos_file *file)
{
    struct port_file *port = port_file_of(file);
    close(port->fd);
    libos_free(file->os, port, sizeof *port);
}

void port_file_poll(struct libos_file *file, struct libos_poll_item *item)
{
    item->source = port_file_of(file)->fd;
}

int port_stream_set_flags(struct libos_file *file, uint32_t status_flags)
{
    /* LIBOS_NONBLOCK is ours, the others mean nothing on a stream. */
    (void)file;
    (void)status_flags;
    return 0;
}

uint64_t port_stream_readable_bytes(struct libos_file *file)
{
    int bytes = 0;
    return ioctl(port_file_of(file)->fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (uint64_t)bytes : 0;
}

size_t port_iov_advance(struct libos_iov *iov, size_t count, size_t done)
{
    size_t skip = 0;
    while (skip < count && done >= iov[skip].len) {
        done -= iov[skip++].len;
    }
    size_t left = count - skip;
    __builtin_memmove(iov, iov + skip, left * sizeof *iov);
    if (left > 0) {
        iov[0].ptr = (uint8_t *)iov[0].ptr + done;
        iov[0].len -= done;
    }
    return left;
}

enum direction { READING, WRITING };

static ssize_t transfer(int fd, enum direction direction, const struct libos_iov *iov, size_t count,
                        int64_t offset)
{
    const struct iovec *vec = (const struct iovec *)iov;
    if (offset < 0) {
        return direction == READING ? PORT_CALL(readv(fd, vec, (int)count))
                                    : PORT_CALL(writev(fd, vec, (int)count));
    }
    return direction == READING ? PORT_CALL(preadv(fd, vec, (int)count, offset))
                                : PORT_CALL(pwritev(fd, vec, (int)count, offset));
}

/* One kernel call when it is small; else piece by piece, looking for an interruption in between. */
static int64_t move_bytes(struct libos_file *file, enum direction direction,
                          const struct libos_iov *iov, size_t count, int64_t offset)
{
    int fd = port_file_of(file)->fd;
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += iov[i].len;
    }
    if (total <= CALL_BYTES) {
        ssize_t done;
        do {
            done = transfer(fd, direction, iov, count, offset);
        } while (done < 0 && errno == EINTR && !libos_interrupted(file->os));
        return done < 0 ? -errno : done;
    }
    uint64_t moved = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < iov[i].len;) {
            if (libos_interrupted(file->os)) {
                return moved ? (int64_t)moved : -LIBOS_EINTR;
            }
            size_t part = iov[i].len - at < CALL_BYTES ? iov[i].len - at : CALL_BYTES;
            struct libos_iov piece = {(uint8_t *)iov[i].ptr + at, part};
            ssize_t done =
                transfer(fd, direction, &piece, 1, offset < 0 ? offset : offset + (int64_t)moved);
            if (done < 0) {
                if (errno == EINTR) {
                    continue;
                }
                return moved ? (int64_t)moved : -errno;
            }
            moved += (uint64_t)done;
            at += (size_t)done;
            if ((size_t)done < part) {
                return (int64_t)moved;
            }
        }
    }
    return (int64_t)moved;
}

static int64_t file_read(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    return move_bytes(file, READING, iov, count, -1);
}

static int64_t file_write(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    return move_bytes(file, WRITING, iov, count, -1);
}

static int64_t file_pread(struct libos_file *file, const struct libos_iov *iov, size_t count,
                          uint64_t offset)
{
    return move_bytes(file, READING, iov, count, (int64_t)offset);
}

static int64_t file_pwrite(struct libos_file *file, const struct libos_iov *iov, size_t count,
                           uint64_t offset)
{
    return move_bytes(file, WRITING, iov, count, (int64_t)offset);
}

static int64_t file_seek(struct libos_file *file, int64_t offset, enum libos_whence whence)
{
    static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    off_t at = PORT_CALL(lseek(port_file_of(file)->fd, offset, whences[whence]));
    return at < 0 ? -errno : at;
}

static int file_set_times(struct libos_file *file, const struct libos_times *times)
{
    struct timespec both[2];
    if (port_file_of(file)->frozen) {
        return -LIBOS_EROFS;
    }
    port_times_to(times, both);
    return PORT_CALL(futimens(port_file_of(file)->fd, both)) != 0 ? -errno : 0;
}

static int file_truncate(struct libos_file *file, uint64_t bytes)
{
    if (port_file_of(file)->frozen) {
        return -LIBOS_EROFS;
    }
    return PORT_CALL(ftruncate(port_file_of(file)->fd, (off_t)bytes)) != 0 ? -errno : 0;
}

static int file_allocate(struct libos_file *file, uint64_t offset, uint64_t len)
{
    int rc;
    if (port_file_of(file)->frozen) {
        return -LIBOS_EROFS;
    }
    do {
        rc = PORT_CALL(fallocate(port_file_of(file)->fd, 0, (off_t)offset, (off_t)len));
    } while (rc != 0 && errno == EINTR && !libos_interrupted(file->os));
    return rc != 0 ? -errno : 0;
}

static int file_advise(struct libos_file *file, uint64_t offset, uint64_t len,
                       enum libos_advice advice)
{
    static const int advices[] = {POSIX_FADV_NORMAL,   POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
                                  POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED,   POSIX_FADV_NOREUSE};
    return -posix_fadvise(port_file_of(file)->fd, (off_t)offset, (off_t)len, advices[advice]);
}

static int file_sync(struct libos_file *file, bool data_only)
{
    int fd = port_file_of(file)->fd;
    int rc;
    do {
        rc = data_only ? PORT_CALL(fdatasync(fd)) : PORT_CALL(fsync(fd));
    } while (rc != 0 && errno == EINTR && !libos_interrupted(file->os));
    return rc != 0 ? -errno : 0;
}

static int file_set_flags(struct libos_file *file, uint32_t status_flags)
{
    int fd = port_file_of(file)->fd;
    if ((status_flags ^ file->flags) & (LIBOS_DSYNC | LIBOS_SYNC)) {
        return -LIBOS_EOPNOTSUPP; /* Linux takes these at open only, and ignores them silently here
                                   */
    }
    if (!((status_flags ^ file->flags) & LIBOS_APPEND)) {
        return 0;
    }
    int now = PORT_CALL(fcntl(fd, F_GETFL));
    if (now < 0) {
        return -errno;
    }
    int wanted = status_flags & LIBOS_APPEND ? now | O_APPEND : now & ~O_APPEND;
    return PORT_CALL(fcntl(fd, F_SETFL, wanted)) != 0 ? -errno : 0;
}

static uint64_t file_readable_bytes(struct libos_file *file)
{
    struct stat found;
    int fd = port_file_of(file)->fd;
    off_t at = lseek(fd, 0, SEEK_CUR);
    return at >= 0 && fstat(fd, &found) == 0 && found.st_size > at ? (uint64_t)(found.st_size - at)
                                                                   : 0;
}

static const struct libos_file_ops regular_ops = {
    .close = port_file_close,
    .read = file_read,
    .write = file_write,
    .pread = file_pread,
    .pwrite = file_pwrite,
    .seek = file_seek,
    .stat = port_file_stat,
    .set_times = file_set_times,
    .truncate = file_truncate,
    .allocate = file_allocate,
    .advise = file_advise,
    .sync = file_sync,
    .set_flags = file_set_flags,
    .readable_bytes = file_readable_bytes,
};

/* Devices whose reading and writing concern nobody else. Memory devices have major number 1; among
 * them 1:1 is the machine's own memory, so each is named (Linux' list of allocated devices). */
static bool is_harmless_device(int fd, dev_t device)
{
    if (major(device) == 1) {
        switch (minor(device)) {
        case 3: /* null */
        case 5: /* zero */
        case 7: /* full */
        case 8: /* random */
        case 9: /* urandom */ return true;
        default: return false;
        }
    }
    return isatty(fd) == 1;
}

/* The kind and operations for a descriptor, or negative. */
static int classify(int fd, const struct stat *found, enum libos_kind *kind,
                    const struct libos_file_ops **ops)
{
    *kind = port_kind(found->st_mode);
    switch (*kind) {
    case LIBOS_KIND_FILE: *ops = &regular_ops; return 0;
    case LIBOS_KIND_PIPE:
    case LIBOS_KIND_UNKNOWN: /* eventfd and other descriptors without a type */
        *ops = &port_stream_ops;
        return 0;
    case LIBOS_KIND_CHAR:
        *ops = &port_stream_ops;
        return is_harmless_device(fd, found->st_rdev) ? 0 : -LIBOS_EACCES;
    case LIBOS_KIND_SOCKET_STREAM:
    case LIBOS_KIND_SOCKET_DGRAM: {
        int listening = 0, type = SOCK_STREAM;
        socklen_t len = sizeof listening;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 ||
            getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0) {
            return -errno;
        }
        *kind = type == SOCK_STREAM ? LIBOS_KIND_SOCKET_STREAM : LIBOS_KIND_SOCKET_DGRAM;
        *ops = listening ? &port_listener_ops : &port_socket_ops;
        /* accept has no flag against waiting, unlike recv and send. */
        return listening && PORT_CALL(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK)) != 0 ? -errno : 0;
    }
    case LIBOS_KIND_DIR: return -LIBOS_EISDIR;
    case LIBOS_KIND_SYMLINK:
    case LIBOS_KIND_BLOCK: break;
    }
    return -LIBOS_EACCES;
}

int port_file_adopt(struct libos *os, int fd, const struct stat *found, uint32_t flags, bool frozen,
                    struct libos_file **out)
{
    const struct libos_file_ops *ops;
    enum libos_kind kind;
    int rc = classify(fd, found, &kind, &ops);
    struct port_file *port = NULL;
    if (rc == 0) {
        port = libos_alloc(os, sizeof *port);
        rc = port ? 0 : -LIBOS_ENOMEM;
    }
    if (rc != 0) {
        close(fd);
        return rc;
    }
    libos_file_init(&port->file, os, ops, kind, flags);
    port->file.terminal = kind == LIBOS_KIND_CHAR && isatty(fd) == 1;
    port->fd = fd;
    port->frozen = frozen;
    port->never_waits = ops == &port_stream_ops && (fcntl(fd, F_GETFL) & O_NONBLOCK);
    *out = &port->file;
    return 0;
}

int port_file_share(struct libos *os, int fd, uint32_t flags, struct libos_file **out)
{
    int own = PORT_CALL(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (own < 0) {
        return -errno;
    }
    struct stat found;
    if (PORT_CALL(fstat(own, &found)) != 0) {
        int rc = -errno;
        close(own);
        return rc;
    }
    int status = fcntl(own, F_GETFL);
    if (status >= 0 && (status & O_APPEND)) {
        flags |= LIBOS_APPEND;
    }
    int rc = port_file_adopt(os, own, &found, flags, !(flags & LIBOS_WRITE), out);
    if (rc == 0) {
        port_file_of(*out)->shared = true;
        port_file_of(*out)->never_waits = false; /* others may change that at any time */
    }
    return rc;
}
