/* A log's disk: the files of one folder.
 *
 * A change of names lasts when the folder was synced after it, and only with fsync on the folder's
 * own descriptor; so each rename and unlink is followed by one. They are rare: a few for a segment.
 * Zeroes are written, not asked for with fallocate: an extent that the file system only knows to be
 * zero is converted when it is first written, which is the change of metadata that the zeroes are
 * there to avoid. */
#include "store/seglog_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"

#define ZERO_BYTES 65536u

struct seglog_files {
    int dir_fd, lock_fd;
    bool no_sync;
};

static int result(int returned)
{
    return returned == 0 ? 0 : -errno;
}

/* What was changed in the folder lasts. An error here is never -ENOSPC: the change was made. */
static int sync_folder(const struct seglog_files *files)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    return files->no_sync || fsync(files->dir_fd) == 0 ? 0 : -EIO;
}

static int files_list(void *self, seglog_disk_name_fn *each, void *to)
{
    struct seglog_files *files = self;
    int synced = sync_folder(files);
    if (synced) {
        return synced;
    }
    int fd = openat(files->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    DIR *list = fdopendir(fd);
    if (!list) {
        int err = errno;
        close(fd);
        return -err;
    }
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(list);
    } while (entry && each(to, entry->d_name));
    int err = entry ? 0 : errno;
    closedir(list);
    return -err;
}

static int files_open(void *self, const char *name, enum seglog_disk_open how, int *file,
                      uint64_t *bytes)
{
    struct seglog_files *files = self;
    struct stat stat;
    int flags = O_CLOEXEC | O_NOFOLLOW;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    switch (how) {
    case SEGLOG_DISK_READ: flags |= O_RDONLY; break;
    case SEGLOG_DISK_WRITE:
        flags |= O_RDWR;
        if (fchmodat(files->dir_fd, name, 0600, 0) != 0) {
            return -errno;
        }
        break;
    case SEGLOG_DISK_CREATE:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        if (unlinkat(files->dir_fd, name, 0) != 0 && errno != ENOENT) {
            return -errno;
        }
        break;
    }
    int fd = openat(files->dir_fd, name, flags, 0600);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &stat) != 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    *file = fd;
    *bytes = (uint64_t)stat.st_size;
    return 0;
}

static void files_close(void *self, int file)
{
    (void)self;
    close(file);
}

static int files_read(void *self, int file, uint64_t offset, uint8_t *out, size_t len, size_t *got)
{
    (void)self;
    *got = 0;
    while (*got < len) {
        if (wm_fault_here(WM_FAULT_IO)) {
            return -EIO;
        }
        ssize_t n = pread(file, out + *got, len - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        *got += (size_t)n;
    }
    return 0;
}

static int files_write(void *self, int file, uint64_t offset, struct wm_view bytes)
{
    (void)self;
    while (bytes.len > 0) {
        if (wm_fault_here(WM_FAULT_IO)) {
            return -EIO;
        }
        ssize_t n = pwrite(file, bytes.ptr, bytes.len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        bytes = wm_view_of(bytes.ptr + n, bytes.len - (size_t)n);
        offset += (uint64_t)n;
    }
    return 0;
}

static int files_zero(void *self, int file, uint64_t offset, uint64_t len)
{
    static uint8_t zeroes[ZERO_BYTES]; /* never written: the kernel's own page of zeroes */
    struct seglog_files *files = self;
    int err = 0;
    for (uint64_t done = 0; !err && done < len; done += ZERO_BYTES) {
        size_t part = len - done < ZERO_BYTES ? (size_t)(len - done) : ZERO_BYTES;
        err = files_write(self, file, offset + done, wm_view_of(zeroes, part));
    }
    if (!err && !files->no_sync) {
        /* A hint alone; the sync that counts comes later. */
        (void)sync_file_range(file, (off_t)offset, (off_t)len, SYNC_FILE_RANGE_WRITE);
    }
    return err;
}

static int files_sync(void *self, int file)
{
    struct seglog_files *files = self;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    return files->no_sync ? 0 : result(fdatasync(file));
}

static int files_finish(void *self, int file, uint64_t bytes)
{
    struct seglog_files *files = self;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    if (ftruncate(file, (off_t)bytes) != 0 || fchmod(file, 0400) != 0) {
        return -errno;
    }
    return files->no_sync ? 0 : result(fsync(file));
}

static int files_rename(void *self, const char *from, const char *to)
{
    struct seglog_files *files = self;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int err = result(renameat(files->dir_fd, from, files->dir_fd, to));
    return err ? err : sync_folder(files);
}

static int files_unlink(void *self, const char *name)
{
    struct seglog_files *files = self;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int err = result(unlinkat(files->dir_fd, name, 0));
    return err ? err : sync_folder(files);
}

static const struct seglog_disk_ops files_ops = {
    .list = files_list,
    .open = files_open,
    .close = files_close,
    .read = files_read,
    .write = files_write,
    .zero = files_zero,
    .sync = files_sync,
    .finish = files_finish,
    .rename = files_rename,
    .unlink = files_unlink,
};

/* --- The folder --- */

static int failed(struct wm_diag *diag, int err, const char *path, const char *what)
{
    return wm_diag_set(diag, err, "log %s: %s: %s", path, what, wm_error_text(err));
}

/* The folder's own name, in the folder above it, lasts: also where another process made it and died
 * before it came to this. Not every file system can do it, and not doing it is no reason to stop: a
 * folder that is gone altogether is not mistaken for an older state of it. */
static void sync_above(const struct seglog_files *files)
{
    int fd = openat(files->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

static int open_folder(struct seglog_files *files, const char *path, struct wm_diag *diag)
{
    struct stat stat;
    if (wm_fault_here(WM_FAULT_IO)) {
        return failed(diag, -EIO, path, "opening the folder");
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return failed(diag, -errno, path, "making the folder");
    }
    files->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->dir_fd < 0 || fstat(files->dir_fd, &stat) != 0) {
        return failed(diag, -errno, path, "opening the folder");
    }
    if (!files->no_sync) {
        sync_above(files);
    }
    /* The checksums find damage, not malice: who may write here may say what this log holds. */
    if (stat.st_uid != geteuid() || (stat.st_mode & (S_IWGRP | S_IWOTH))) {
        return wm_diag_set(diag, WM_E_DENIED,
                           "log %s: others may write to the folder; it must belong to this user "
                           "alone (chmod go-w)",
                           path);
    }
    return 0;
}

static int take_lock(struct seglog_files *files, const char *path, struct wm_diag *diag)
{
    char text[24] = "";
    if (wm_fault_here(WM_FAULT_IO)) {
        return failed(diag, -EIO, path, "locking it");
    }
    files->lock_fd = openat(files->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (files->lock_fd < 0) {
        return failed(diag, -errno, path, "opening its lock");
    }
    if (flock(files->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return failed(diag, -errno, path, "locking it");
        }
        ssize_t got = pread(files->lock_fd, text, sizeof text - 1, 0);
        return wm_diag_set(diag, -EBUSY,
                           "log %s: in use by process %ld; stop it or choose another folder", path,
                           got > 0 ? strtol(text, NULL, 10) : 0);
    }
    /* For the message above alone, so that a full disk is no reason to fail. */
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(files->lock_fd, 0) == 0) {
        (void)!pwrite(files->lock_fd, text, (size_t)len, 0);
    }
    return 0;
}

int seglog_files_open(const char *path, bool no_sync, struct seglog_files **out,
                      struct seglog_disk *disk, struct wm_diag *diag)
{
    struct seglog_files *files = wm_alloc(sizeof *files);
    if (!files) {
        return failed(diag, -ENOMEM, path, "opening");
    }
    *files = (struct seglog_files){.dir_fd = -1, .lock_fd = -1, .no_sync = no_sync};
    int err = open_folder(files, path, diag);
    err = err ? err : take_lock(files, path, diag);
    if (err) {
        seglog_files_close(files);
        return err;
    }
    *disk = (struct seglog_disk){&files_ops, files};
    *out = files;
    return 0;
}

void seglog_files_close(struct seglog_files *files)
{
    if (!files) {
        return;
    }
    if (files->lock_fd >= 0) {
        close(files->lock_fd);
    }
    if (files->dir_fd >= 0) {
        close(files->dir_fd);
    }
    wm_free(files);
}
