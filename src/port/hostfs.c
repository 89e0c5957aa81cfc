/* Host directories.
 *
 * Cost: one kernel call for operations on a name in the directory itself, three where the path has
 * several components (open the parent beneath, do it, close), two for opening a file (openat2,
 * fstat).
 *
 * The last component. unlinkat, renameat and their like take a directory and a name, and do not
 * follow the name's own symbolic link; but given "link/" some do, and given ".." all of them leave.
 * So a path is split here, trailing slashes are taken off and their meaning is checked by us, and a
 * last component `.` or `..` is answered here with the error that Linux gives, except where opening
 * the whole path with openat2 does the work. */
#include "port/hostfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "port/call.h"
#include "port/file.h"

/* How often openat2 is asked again when it could not be sure that nobody moved the tree under it.
 * An attacker who renames directories in a loop can make one such call fail, not succeed wrongly.
 */
#define RACE_TRIES 64
#define ENTRIES_BYTES 8192

struct host_dir {
    struct port_file port;
    uint64_t dev, ino;
    /* The last piece of getdents64, so that a guest that reads a large directory with small buffers
     * does not make the kernel list it again at each call. */
    uint8_t *entries; /* ENTRIES_BYTES, or NULL */
    size_t entries_len;
    uint64_t entries_cookie; /* where this piece starts */
};

struct entry64 { /* struct linux_dirent64 */
    uint64_t ino;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static int fd_of(struct libos_file *dir)
{
    return port_file_of(dir)->fd;
}

static bool is_frozen(struct libos_file *dir)
{
    return port_file_of(dir)->frozen;
}

static int open_beneath(struct libos_file *dir, const char *path, uint64_t flags, uint32_t mode)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    for (int tries = 0;;) {
        long fd = PORT_CALL(syscall(SYS_openat2, fd_of(dir), path, &how, sizeof how));
        if (fd >= 0) {
            return (int)fd;
        }
        if (errno == EINTR && !libos_interrupted(dir->os)) {
            continue;
        }
        if (errno == EAGAIN && ++tries < RACE_TRIES) {
            continue;
        }
        return errno == EXDEV ? -LIBOS_EESCAPE : -errno;
    }
}

/* Where a path's last component is looked up. */
struct place {
    int fd;     /* of the parent directory */
    bool owned; /* fd is ours to close */
    bool slash; /* the path ended in one */
    enum { NAME, DOT, DOTDOT } last;
    char name[NAME_MAX + 1];
};

static void place_close(struct place *place)
{
    if (place->owned) {
        close(place->fd);
        place->owned = false;
    }
}

static int place_open(struct libos_file *dir, const char *path, struct place *out)
{
    char parent[LIBOS_PATH_MAX];
    size_t len = strlen(path);
    *out = (struct place){.fd = fd_of(dir), .slash = len > 0 && path[len - 1] == '/'};
    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    size_t start = len;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    if (len - start > NAME_MAX) {
        return -LIBOS_ENAMETOOLONG;
    }
    memcpy(out->name, path + start, len - start);
    out->name[len - start] = '\0';
    if (strcmp(out->name, ".") == 0) {
        out->last = DOT;
    } else if (strcmp(out->name, "..") == 0) {
        out->last = DOTDOT;
    }
    if (start == 0) {
        return 0;
    }
    memcpy(parent, path, start);
    parent[start] = '\0';
    int fd = open_beneath(dir, parent, O_PATH | O_DIRECTORY, 0);
    if (fd < 0) {
        return fd;
    }
    out->fd = fd;
    out->owned = true;
    return 0;
}

/* The kind of what the last component names, itself and not what it links to; or negative. */
static int place_kind(const struct place *place, enum libos_kind *kind)
{
    struct stat found;
    if (PORT_CALL(fstatat(place->fd, place->name, &found, AT_SYMLINK_NOFOLLOW)) != 0) {
        return -errno;
    }
    *kind = port_kind(found.st_mode);
    return 0;
}

/* 0 when the whole path, followed to its end, is a directory; or why it is not one. */
static int check_is_dir(struct libos_file *dir, const char *path)
{
    int fd = open_beneath(dir, path, O_PATH | O_DIRECTORY, 0);
    if (fd < 0) {
        return fd;
    }
    close(fd);
    return 0;
}

/* Opening. */

static const struct libos_file_ops dir_ops;

/* Files of proc are no files: among them is our own memory (self/mem), which page protection does
 * not keep anybody from writing to, and that of each process of the same user. A folder that
 * contains a mounted proc, "/" for one, must not be a way there. */
static int refuse_proc(int fd)
{
    struct statfs system;
    if (PORT_CALL(fstatfs(fd, &system)) != 0) {
        return -errno;
    }
    return system.f_type == PROC_SUPER_MAGIC ? -LIBOS_EACCES : 0;
}

static int adopt_dir(struct libos *os, int fd, const struct stat *found, bool frozen,
                     struct libos_file **out)
{
    struct host_dir *dir = libos_alloc(os, sizeof *dir);
    if (!dir) {
        close(fd);
        return -LIBOS_ENOMEM;
    }
    libos_file_init(&dir->port.file, os, &dir_ops, LIBOS_KIND_DIR, LIBOS_READ);
    dir->port.fd = fd;
    dir->port.frozen = frozen;
    dir->dev = found->st_dev;
    dir->ino = found->st_ino;
    *out = &dir->port.file;
    return 0;
}

static uint64_t open_flags(uint32_t flags)
{
    /* O_NONBLOCK so that opening a FIFO does not wait; it means nothing to regular files. O_NOCTTY:
     * a terminal in the tree does not become the process' own. */
    uint64_t how = O_NOCTTY | O_NONBLOCK;
    if (flags & LIBOS_WRITE) {
        how |= flags & LIBOS_READ ? O_RDWR : O_WRONLY;
    }
    how |= flags & LIBOS_APPEND ? O_APPEND : 0;
    how |= flags & LIBOS_DSYNC ? O_DSYNC : 0;
    how |= flags & LIBOS_SYNC ? O_SYNC : 0;
    how |= flags & LIBOS_CREATE ? O_CREAT : 0;
    how |= flags & LIBOS_EXCLUSIVE && flags & LIBOS_CREATE ? O_EXCL : 0;
    how |= flags & LIBOS_TRUNCATE ? O_TRUNC : 0;
    how |= flags & LIBOS_DIRECTORY ? O_DIRECTORY : 0;
    how |= flags & LIBOS_NOFOLLOW ? O_NOFOLLOW : 0;
    return how;
}

/* Opening with LIBOS_CREATE in a read-only tree: fine when the file is there already. */
static int open_existing_only(struct libos_file *dir, const char *path, uint32_t flags)
{
    bool exclusive = flags & LIBOS_EXCLUSIVE;
    int fd = exclusive ? open_beneath(dir, path, O_PATH | O_NOFOLLOW, 0)
                       : open_beneath(dir, path, open_flags(flags & ~LIBOS_CREATE), 0);
    if (fd == -LIBOS_ENOENT) {
        return -LIBOS_EROFS;
    }
    if (fd >= 0 && exclusive) {
        close(fd);
        return -LIBOS_EEXIST;
    }
    return fd;
}

static int host_open(struct libos_file *dir, const char *path, uint32_t flags,
                     struct libos_file **out)
{
    int fd;
    struct stat found;
    if (is_frozen(dir) && (flags & (LIBOS_WRITE | LIBOS_TRUNCATE))) {
        return -LIBOS_EROFS;
    }
    if (is_frozen(dir) && (flags & LIBOS_CREATE)) {
        fd = open_existing_only(dir, path, flags);
    } else {
        fd = open_beneath(dir, path, open_flags(flags), flags & LIBOS_CREATE ? 0666 : 0);
    }
    if (fd < 0) {
        return fd;
    }
    int rc = PORT_CALL(fstat(fd, &found)) != 0 ? -errno : 0;
    /* No directory of proc is ever adopted, so on the directory's own device there is none. */
    if (rc == 0 && found.st_dev != ((struct host_dir *)dir)->dev) {
        rc = refuse_proc(fd);
    }
    if (rc != 0) {
        close(fd);
        return rc;
    }
    if (S_ISDIR(found.st_mode)) {
        return adopt_dir(dir->os, fd, &found, is_frozen(dir), out);
    }
    return port_file_adopt(dir->os, fd, &found, flags, is_frozen(dir), out);
}

static int host_stat(struct libos_file *dir, const char *path, bool follow, struct libos_stat *out)
{
    struct stat found;
    bool simple = !strchr(path, '/') && strcmp(path, "..") != 0;
    if (simple) {
        /* One call, unless it turns out to be a link that must be followed. */
        if (PORT_CALL(fstatat(fd_of(dir), path, &found, AT_SYMLINK_NOFOLLOW)) != 0) {
            return -errno;
        }
        if (!follow || !S_ISLNK(found.st_mode)) {
            port_stat_from(&found, out);
            return 0;
        }
    }
    int fd = open_beneath(dir, path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    if (fd < 0) {
        return fd;
    }
    int rc = PORT_CALL(fstat(fd, &found)) != 0 ? -errno : 0;
    close(fd);
    if (rc == 0) {
        port_stat_from(&found, out);
    }
    return rc;
}

static int host_set_times(struct libos_file *dir, const char *path, bool follow,
                          const struct libos_times *times)
{
    struct timespec both[2];
    if (is_frozen(dir)) {
        return -LIBOS_EROFS;
    }
    port_times_to(times, both);
    int fd = open_beneath(dir, path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    if (fd < 0) {
        return fd;
    }
    /* On the object itself, found beneath: no name is resolved again. */
    int rc = PORT_CALL(utimensat(fd, "", both, AT_EMPTY_PATH)) != 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int host_dir_stat(struct libos_file *file, struct libos_stat *out)
{
    return port_file_stat(file, out);
}

static int host_dir_set_times(struct libos_file *file, const struct libos_times *times)
{
    struct timespec both[2];
    if (is_frozen(file)) {
        return -LIBOS_EROFS;
    }
    port_times_to(times, both);
    return PORT_CALL(futimens(fd_of(file), both)) != 0 ? -errno : 0;
}

/* Changing the tree. */

static int host_mkdir(struct libos_file *dir, const char *path)
{
    struct place place;
    int rc = place_open(dir, path, &place);
    if (rc != 0) {
        return rc;
    }
    if (place.last != NAME) {
        rc = place.last == DOTDOT && !place.owned ? -LIBOS_EESCAPE : -LIBOS_EEXIST;
    } else if (is_frozen(dir)) {
        enum libos_kind kind;
        rc = place_kind(&place, &kind) == 0 ? -LIBOS_EEXIST : -LIBOS_EROFS;
    } else if (PORT_CALL(mkdirat(place.fd, place.name, 0777)) != 0) {
        rc = -errno;
    }
    place_close(&place);
    return rc;
}

static int host_remove(struct libos_file *dir, const char *path, bool is_dir)
{
    struct place place;
    enum libos_kind kind;
    int rc = place_open(dir, path, &place);
    if (rc != 0) {
        return rc;
    }
    if (place.last == DOTDOT && !place.owned) {
        rc = -LIBOS_EESCAPE;
    } else if (place.last != NAME) {
        rc = !is_dir ? -LIBOS_EISDIR : place.last == DOT ? -LIBOS_EINVAL : -LIBOS_ENOTEMPTY;
    } else if (is_frozen(dir)) {
        rc = place_kind(&place, &kind);
        rc = rc != 0 ? rc : -LIBOS_EROFS;
    } else if (!is_dir && place.slash) {
        rc = place_kind(&place, &kind);
        rc = rc != 0 ? rc : kind == LIBOS_KIND_DIR ? -LIBOS_EISDIR : -LIBOS_ENOTDIR;
    } else if (PORT_CALL(unlinkat(place.fd, place.name, is_dir ? AT_REMOVEDIR : 0)) != 0) {
        rc = -errno;
    }
    place_close(&place);
    return rc;
}

static int check_two_places(struct libos_file *dir, struct libos_file *new_dir,
                            const struct place *from, const struct place *to)
{
    if ((from->last == DOTDOT && !from->owned) || (to->last == DOTDOT && !to->owned)) {
        return -LIBOS_EESCAPE;
    }
    return is_frozen(dir) || is_frozen(new_dir) ? -LIBOS_EROFS : 0;
}

static int host_rename(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                       const char *new_path)
{
    struct place from = {0}, to = {0};
    int rc = place_open(dir, path, &from);
    if (rc != 0) {
        return rc;
    }
    rc = place_open(new_dir, new_path, &to);
    if (rc == 0) {
        rc = check_two_places(dir, new_dir, &from, &to);
    }
    if (rc == 0 && (from.last != NAME || to.last != NAME)) {
        rc = -LIBOS_EBUSY;
    }
    if (rc == 0 && (from.slash || to.slash)) {
        enum libos_kind kind;
        rc = place_kind(&from, &kind);
        if (rc == 0 && kind != LIBOS_KIND_DIR) {
            rc = -LIBOS_ENOTDIR;
        }
    }
    if (rc == 0 && PORT_CALL(renameat(from.fd, from.name, to.fd, to.name)) != 0) {
        rc = -errno;
    }
    place_close(&to);
    place_close(&from);
    return rc;
}

static int host_link(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                     const char *new_path)
{
    struct place from = {0}, to = {0};
    int rc = place_open(dir, path, &from);
    if (rc != 0) {
        return rc;
    }
    rc = place_open(new_dir, new_path, &to);
    if (rc == 0) {
        rc = check_two_places(dir, new_dir, &from, &to);
    }
    /* In the kernel's order: what is linked must be there, the new name must not be, and only then
     * does it matter that a directory (all that `.` or a slash at the end can name) is never
     * linked. */
    bool source_is_dir = from.last != NAME || from.slash;
    enum libos_kind kind;
    if (rc == 0 && source_is_dir) {
        rc = check_is_dir(dir, path);
    } else if (rc == 0 && (to.last != NAME || to.slash)) {
        rc = place_kind(&from, &kind);
    }
    if (rc == 0 && to.last != NAME) {
        rc = -LIBOS_EEXIST;
    }
    if (rc == 0 && (to.slash || source_is_dir)) {
        rc = place_kind(&to, &kind) == 0 ? -LIBOS_EEXIST : to.slash ? -LIBOS_ENOENT : -LIBOS_EPERM;
    }
    /* No AT_SYMLINK_FOLLOW: it would resolve the link past our directory. */
    if (rc == 0 && PORT_CALL(linkat(from.fd, from.name, to.fd, to.name, 0)) != 0) {
        rc = -errno;
    }
    place_close(&to);
    place_close(&from);
    return rc;
}

static int host_symlink(struct libos_file *dir, const char *target, const char *path)
{
    struct place place;
    if (target[0] == '/') {
        return -LIBOS_EPERM;
    }
    int rc = place_open(dir, path, &place);
    if (rc != 0) {
        return rc;
    }
    enum libos_kind kind;
    if (place.last == DOTDOT && !place.owned) {
        rc = -LIBOS_EESCAPE;
    } else if (place.last != NAME) {
        rc = -LIBOS_EEXIST;
    } else if (is_frozen(dir)) {
        rc = -LIBOS_EROFS;
    } else if (place.slash) {
        rc = place_kind(&place, &kind) == 0 ? -LIBOS_EEXIST : -LIBOS_ENOENT;
    } else if (PORT_CALL(symlinkat(target, place.fd, place.name)) != 0) {
        rc = -errno;
    }
    place_close(&place);
    return rc;
}

static int64_t host_readlink(struct libos_file *dir, const char *path, char *out, size_t out_bytes)
{
    struct place place;
    char target[LIBOS_PATH_MAX];
    int rc = place_open(dir, path, &place);
    if (rc != 0) {
        return rc;
    }
    ssize_t len = -LIBOS_EINVAL;
    if (place.last == DOTDOT && !place.owned) {
        len = -LIBOS_EESCAPE;
    } else if (place.last == NAME && !place.slash) {
        /* Into our own buffer: the kernel refuses an empty one, and does not tell the whole length.
         */
        len = PORT_CALL(readlinkat(place.fd, place.name, target, sizeof target));
        len = len < 0 ? -errno : len;
    } else {
        /* What a path that ends so leads to is a directory, and no link. */
        rc = check_is_dir(dir, path);
        len = rc != 0 ? rc : -LIBOS_EINVAL;
    }
    place_close(&place);
    if (len > 0) {
        memcpy(out, target, (size_t)len < out_bytes ? (size_t)len : out_bytes);
    }
    return len;
}

/* Listing. */

static enum libos_kind entry_kind(struct libos_file *dir, const struct entry64 *entry)
{
    switch (entry->type) {
    case DT_REG: return LIBOS_KIND_FILE;
    case DT_DIR: return LIBOS_KIND_DIR;
    case DT_LNK: return LIBOS_KIND_SYMLINK;
    case DT_CHR: return LIBOS_KIND_CHAR;
    case DT_BLK: return LIBOS_KIND_BLOCK;
    case DT_FIFO: return LIBOS_KIND_PIPE;
    case DT_SOCK: return LIBOS_KIND_SOCKET_STREAM;
    default: break;
    }
    struct stat found; /* a file system that does not say */
    return fstatat(fd_of(dir), entry->name, &found, AT_SYMLINK_NOFOLLOW) == 0
               ? port_kind(found.st_mode)
               : LIBOS_KIND_UNKNOWN;
}

/* The piece of the listing that starts at `cookie`: its length, 0 at the end, or negative. */
static int64_t load_entries(struct host_dir *dir, uint64_t cookie)
{
    int fd = dir->port.fd;
    dir->entries_len = 0;
    if (!dir->entries) {
        dir->entries = libos_alloc(dir->port.file.os, ENTRIES_BYTES);
        if (!dir->entries) {
            return -LIBOS_ENOMEM;
        }
    }
    /* The cookie is the guest's, so any number: the kernel takes it as a position in this directory
     * and nothing more. */
    if (cookie > INT64_MAX || PORT_CALL(lseek(fd, (off_t)cookie, SEEK_SET)) < 0) {
        return -LIBOS_EINVAL;
    }
    long len = PORT_CALL(syscall(SYS_getdents64, fd, dir->entries, ENTRIES_BYTES));
    if (len < 0) {
        return -errno;
    }
    dir->entries_len = (size_t)len;
    dir->entries_cookie = cookie;
    return len;
}

/* Where in the loaded piece the entry after `cookie` starts; false: not in it. */
static bool find_cookie(const struct host_dir *dir, uint64_t cookie, size_t *at)
{
    if (dir->entries_len == 0 || cookie == 0) {
        return false; /* 0: the guest starts anew and wants to see the present state */
    }
    *at = 0;
    if (cookie == dir->entries_cookie) {
        return true;
    }
    while (*at < dir->entries_len) {
        const struct entry64 *entry = (const struct entry64 *)(dir->entries + *at);
        *at += entry->bytes;
        if ((uint64_t)entry->next == cookie) {
            return *at < dir->entries_len;
        }
    }
    return false;
}

static int host_readdir(struct libos_file *file, uint64_t cookie, libos_dirent_fn *emit, void *arg)
{
    struct host_dir *dir = (struct host_dir *)file;
    size_t at;
    for (;;) {
        if (!find_cookie(dir, cookie, &at)) {
            int64_t len = load_entries(dir, cookie);
            if (len <= 0) {
                return (int)len;
            }
            at = 0;
        }
        while (at < dir->entries_len) {
            const struct entry64 *entry = (const struct entry64 *)(dir->entries + at);
            struct libos_dirent item = {
                .name = entry->name,
                .name_len = (uint32_t)strlen(entry->name),
                /* Above the directory one holds is nothing one may know of. */
                .ino = strcmp(entry->name, "..") == 0 ? dir->ino : entry->ino,
                .kind = entry_kind(file, entry),
                .next = (uint64_t)entry->next,
            };
            if (!emit(arg, &item)) {
                return 0;
            }
            cookie = item.next;
            at += entry->bytes;
        }
        if (libos_interrupted(file->os)) {
            return -LIBOS_EINTR;
        }
    }
}

static void host_dir_close(struct libos_file *file)
{
    struct host_dir *dir = (struct host_dir *)file;
    close(dir->port.fd);
    libos_free(file->os, dir->entries, ENTRIES_BYTES);
    libos_free(file->os, dir, sizeof *dir);
}

static int host_dir_sync(struct libos_file *file, bool data_only)
{
    int rc = data_only ? PORT_CALL(fdatasync(fd_of(file))) : PORT_CALL(fsync(fd_of(file)));
    return rc != 0 ? -errno : 0;
}

static const struct libos_dir_ops tree_ops = {
    .open = host_open,
    .stat = host_stat,
    .set_times = host_set_times,
    .mkdir = host_mkdir,
    .remove = host_remove,
    .rename = host_rename,
    .link = host_link,
    .symlink = host_symlink,
    .readlink = host_readlink,
    .readdir = host_readdir,
};

static const struct libos_file_ops dir_ops = {
    .close = host_dir_close,
    .stat = host_dir_stat,
    .set_times = host_dir_set_times,
    .sync = host_dir_sync,
    .dir = &tree_ops,
};

int port_hostfs_open(struct libos *os, const char *path, uint32_t flags, struct libos_file **out,
                     struct wm_diag *diag)
{
    struct stat found;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = PORT_CALL(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0 || PORT_CALL(fstat(fd, &found)) != 0) {
        int code = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return wm_diag_set(diag, code, "%s: cannot open the directory: %s", path,
                           wm_error_text(code));
    }
    long probe = PORT_CALL(syscall(SYS_openat2, fd, ".", &how, sizeof how));
    if (probe < 0) {
        int code = -errno;
        close(fd);
        if (code == -ENOSYS || code == -EPERM) {
            return wm_diag_set(
                diag, WM_E_MISSING,
                "%s: cannot be given to a guest: the system call openat2 is missing: "
                "it takes Linux 5.6 or newer, and a container must allow it",
                path);
        }
        return wm_diag_set(diag, code, "%s: cannot open the directory: %s", path,
                           wm_error_text(code));
    }
    close((int)probe);
    int rc = refuse_proc(fd);
    if (rc != 0) {
        close(fd);
        return wm_diag_set(diag, rc, "%s: cannot be given to a guest: %s", path,
                           rc == -LIBOS_EACCES ? "the memory of processes is among its files"
                                               : wm_error_text(rc));
    }
    rc = adopt_dir(os, fd, &found, (flags & PORT_READ_ONLY) != 0, out);
    return rc != 0 ? wm_diag_set(diag, rc, "%s: %s", path, wm_error_text(rc)) : 0;
}
