/* Whole files in, whole files out.
 *
 * A replacement is made under no name at all (O_TMPFILE), so that a crash leaves nothing behind,
 * then linked. linkat cannot replace, so where the name is taken a second, random name carries the
 * file to rename(2), which can. A file system without O_TMPFILE takes the random name from the
 * start. */
#include "host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/fault.h"

#define NS_PER_S INT64_C(1000000000)
#define NAME_TRIES 16
#define FIRST_READ_BYTES 65536
#define TEMP_NAME_BYTES 32

int host_file_info(int fd, struct host_file_info *out)
{
    struct stat st;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    if (fstat(fd, &st) != 0) {
        return -errno;
    }
    *out = (struct host_file_info){
        .id = {.dev = st.st_dev,
               .ino = st.st_ino,
               .bytes = (uint64_t)st.st_size,
               .mtime_ns = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec,
               .ctime_ns = st.st_ctim.tv_sec * NS_PER_S + st.st_ctim.tv_nsec},
        .mode = st.st_mode,
        .uid = st.st_uid,
        .links = st.st_nlink,
    };
    return 0;
}

bool host_file_same(const struct host_file_id *a, const struct host_file_id *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

bool host_file_id_equal(const struct host_file_id *a, const struct host_file_id *b)
{
    return host_file_same(a, b) && a->bytes == b->bytes && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns;
}

int host_file_open(int dir_fd, const char *path)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void host_file_close(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* One read, repeated when a signal came first. The count, 0 at the end, or a negative errno. */
static ssize_t read_some(int fd, uint8_t *out, size_t len)
{
    ssize_t got;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    do {
        got = read(fd, out, len);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

int host_file_read_all(int fd, uint64_t limit, uint8_t **bytes, size_t *len)
{
    struct host_file_info info = {0};
    int err = host_file_info(fd, &info);
    if (err) {
        return err;
    }
    if (S_ISDIR(info.mode)) {
        return -EISDIR;
    }
    if (S_ISREG(info.mode) && info.id.bytes > limit) {
        return WM_E_LIMIT;
    }
    /* One byte more than the size, so that a regular file is read and its end seen in two calls. */
    size_t room = S_ISREG(info.mode) ? (size_t)info.id.bytes + 1 : FIRST_READ_BYTES;
    size_t used = 0;
    uint8_t *data = wm_alloc(room);
    if (!data) {
        return -ENOMEM;
    }
    for (;;) {
        if (used == room) {
            uint8_t *grown = wm_realloc(data, room, 2);
            if (!grown) {
                err = -ENOMEM;
                break;
            }
            data = grown;
            room *= 2;
        }
        ssize_t got = read_some(fd, data + used, room - used);
        if (got < 0) {
            err = (int)got;
            break;
        }
        if (got == 0) {
            *bytes = data;
            *len = used;
            return 0;
        }
        used += (size_t)got;
        if (used > limit) {
            err = WM_E_LIMIT;
            break;
        }
    }
    wm_free(data);
    return err;
}

int host_file_read_at(int fd, uint64_t offset, void *out, size_t len)
{
    uint8_t *at = out;
    while (len) {
        if (wm_fault_here(WM_FAULT_IO)) {
            return -EIO;
        }
        ssize_t got = pread(fd, at, len, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? -errno : -EIO;
        }
        at += got;
        offset += (uint64_t)got;
        len -= (size_t)got;
    }
    return 0;
}

int host_file_write_all(int fd, struct wm_view bytes)
{
    while (bytes.len) {
        if (wm_fault_here(WM_FAULT_IO)) {
            return -EIO;
        }
        ssize_t put = write(fd, bytes.ptr, bytes.len);
        if (put < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -errno;
        }
        bytes.ptr += put;
        bytes.len -= (size_t)put;
    }
    return 0;
}

static void temp_name(char out[TEMP_NAME_BYTES])
{
    uint64_t salt = 0;
    while (getrandom(&salt, sizeof salt, 0) != sizeof salt) {
        WM_ASSERT(errno == EINTR);
    }
    snprintf(out, TEMP_NAME_BYTES, ".tmp-%016llx", (unsigned long long)salt);
}

/* A new file open for reading and writing: nameless (name[0] == 0), or under a random name. */
static int open_temp(int dir_fd, mode_t mode, char name[TEMP_NAME_BYTES])
{
    name[0] = 0;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (fd >= 0) {
        return fd;
    }
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT) {
        return -errno;
    }
    for (int i = 0; i < NAME_TRIES; i++) {
        temp_name(name);
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd >= 0) {
            return fd;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    name[0] = 0;
    return -errno;
}

/* Gives the nameless file in fd a name. linkat by descriptor alone (AT_EMPTY_PATH) asks for a
 * capability; the way through /proc does not. */
static int link_fd(int fd, int dir_fd, const char *name)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    return linkat(AT_FDCWD, path, dir_fd, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
}

static int rename_in(int dir_fd, const char *from, const char *to, bool exclusive)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    return renameat2(dir_fd, from, dir_fd, to, exclusive ? RENAME_NOREPLACE : 0) == 0 ? 0 : -errno;
}

static int put_file(int dir_fd, const char *name, struct wm_view bytes, mode_t mode, bool sync,
                    bool exclusive, int *out_fd)
{
    char temp[TEMP_NAME_BYTES];
    int fd = open_temp(dir_fd, mode, temp);
    if (fd < 0) {
        return fd;
    }
    int err = host_file_write_all(fd, bytes);
    if (!err && sync) {
        err = wm_fault_here(WM_FAULT_IO) ? -EIO : fdatasync(fd) == 0 ? 0 : -errno;
    }
    if (!err && !temp[0]) {
        err = link_fd(fd, dir_fd, name);
        if (err != -EEXIST || exclusive) {
            goto done; /* linked, or failed for good */
        }
        for (int i = 0; i < NAME_TRIES && err == -EEXIST; i++) {
            temp_name(temp);
            err = link_fd(fd, dir_fd, temp);
        }
        if (err) {
            temp[0] = 0;
        }
    }
    if (!err) {
        err = rename_in(dir_fd, temp, name, exclusive);
    }
    if (err && temp[0]) {
        (void)unlinkat(dir_fd, temp, 0);
    }
done:
    if (err || !out_fd) {
        host_file_close(fd);
    } else {
        *out_fd = fd;
    }
    return err;
}

int host_file_replace(int dir_fd, const char *name, struct wm_view bytes, mode_t mode, bool sync,
                      int *fd)
{
    return put_file(dir_fd, name, bytes, mode, sync, false, fd);
}

int host_file_create(int dir_fd, const char *name, struct wm_view bytes, mode_t mode, bool sync,
                     int *fd)
{
    return put_file(dir_fd, name, bytes, mode, sync, true, fd);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    int err = clock_gettime(clock, &now);
    WM_ASSERT(err == 0);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t host_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t host_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}
