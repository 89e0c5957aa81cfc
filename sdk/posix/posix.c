/* What POSIX programs expect and Debian's wasi-libc (of May 2022) leaves out.
 *
 * Linked into a guest by `wardmote build`; the linker drops what is not used. Each function either
 * does what it says, or fails with the error that makes a program take its other way; the few that
 * succeed without effect (locks, permission bits) say so in the header, and only where nothing that
 * the caller can observe from inside its one process is wrong.
 *
 * fcntl replaces wasi-libc's, which knows no locks. It stands in this file with everything else, so
 * the linker never meets both.
 *
 * Compiled with the flags of the program it goes into, so it must not depend on them. */
#pragma clang diagnostic ignored "-Weverything" /* whatever those ask for */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wasi/api.h>

#define THE_USER 1000

static int fail(int error)
{
    errno = error;
    return -1;
}

/* Descriptors and locks. */

static int get_lock(int cmd, struct flock *lock)
{
    if (lock->l_type != F_RDLCK && lock->l_type != F_WRLCK && lock->l_type != F_UNLCK) {
        return fail(EINVAL);
    }
    if (cmd == F_GETLK || cmd == F_OFD_GETLK) {
        lock->l_type = F_UNLCK; /* nobody else: nothing in the way */
    }
    return 0;
}

int fcntl(int fd, int cmd, ...)
{
    __wasi_fdstat_t stat;
    __wasi_errno_t error = __wasi_fd_fdstat_get((__wasi_fd_t)fd, &stat);
    va_list rest;
    int result;
    if (error) {
        return fail(error);
    }
    va_start(rest, cmd);
    switch (cmd) {
    case F_GETFD: result = FD_CLOEXEC; break; /* as wasi-libc: there is no exec */
    case F_SETFD: result = 0; break;
    case F_GETFL:
        result = stat.fs_flags;
        if (stat.fs_rights_base & (__WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_READDIR)) {
            result |= O_RDONLY;
        }
        if (stat.fs_rights_base & __WASI_RIGHTS_FD_WRITE) {
            result |= O_WRONLY;
        }
        break;
    case F_SETFL:
        error = __wasi_fd_fdstat_set_flags((__wasi_fd_t)fd,
                                           (__wasi_fdflags_t)(va_arg(rest, int) & 0xfff));
        result = error ? fail(error) : 0;
        break;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: result = get_lock(cmd, va_arg(rest, struct flock *)); break;
    default: result = fail(EINVAL);
    }
    va_end(rest);
    return result;
}

static int check_fd(int fd)
{
    __wasi_fdstat_t stat;
    __wasi_errno_t error = __wasi_fd_fdstat_get((__wasi_fd_t)fd, &stat);
    return error ? fail(error) : 0;
}

int flock(int fd, int operation)
{
    int kind = operation & ~LOCK_NB;
    if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN) {
        return fail(EINVAL);
    }
    return check_fd(fd);
}

int lockf(int fd, int operation, off_t len)
{
    (void)len;
    if (operation < F_ULOCK || operation > F_TEST) {
        return fail(EINVAL);
    }
    return check_fd(fd);
}

int dup(int fd)
{
    (void)fd;
    return fail(ENOSYS);
}

int dup2(int fd, int wanted)
{
    /* One open file has one number here; but a number that stays itself is no change. */
    return fd == wanted ? (check_fd(fd) ? -1 : fd) : fail(ENOSYS);
}

int pipe(int fds[2])
{
    (void)fds;
    return fail(ENOSYS);
}

void sync(void)
{
}

char *ttyname(int fd)
{
    (void)fd;
    errno = ENOTTY;
    return NULL;
}

/* Permissions and owners. */

int chmod(const char *path, mode_t mode)
{
    (void)mode;
    return access(path, F_OK);
}

int fchmod(int fd, mode_t mode)
{
    (void)mode;
    return check_fd(fd);
}

int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
    (void)mode;
    (void)flags;
    return faccessat(dir, path, F_OK, 0);
}

mode_t umask(mode_t mask)
{
    static mode_t current = 022;
    mode_t old = current;
    current = mask & 0777;
    return old;
}

static int check_owner(uid_t uid, gid_t gid)
{
    int changes = (uid != (uid_t)-1 && uid != THE_USER) || (gid != (gid_t)-1 && gid != THE_USER);
    return changes ? fail(EPERM) : 0;
}

int chown(const char *path, uid_t uid, gid_t gid)
{
    return access(path, F_OK) ? -1 : check_owner(uid, gid);
}

int lchown(const char *path, uid_t uid, gid_t gid)
{
    struct stat found;
    return lstat(path, &found) ? -1 : check_owner(uid, gid);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    return check_fd(fd) ? -1 : check_owner(uid, gid);
}

int fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
    struct stat found;
    return fstatat(dir, path, &found, flags) ? -1 : check_owner(uid, gid);
}

/* Who the guest is. */

uid_t getuid(void)
{
    return THE_USER;
}

uid_t geteuid(void)
{
    return THE_USER;
}

gid_t getgid(void)
{
    return THE_USER;
}

gid_t getegid(void)
{
    return THE_USER;
}

int getgroups(int room, gid_t groups[])
{
    if (room < 0) {
        return fail(EINVAL);
    }
    if (room > 0) {
        groups[0] = THE_USER;
    }
    return 1;
}

int setuid(uid_t uid)
{
    return uid == THE_USER ? 0 : fail(EPERM);
}

int seteuid(uid_t uid)
{
    return setuid(uid);
}

int setgid(gid_t gid)
{
    return gid == THE_USER ? 0 : fail(EPERM);
}

int setegid(gid_t gid)
{
    return setgid(gid);
}

pid_t getppid(void)
{
    return 1;
}

pid_t getpgrp(void)
{
    return 42; /* what wasi-libc's getpid gives */
}

char *getlogin(void)
{
    errno = ENOENT;
    return NULL;
}

struct passwd *getpwuid(uid_t uid)
{
    (void)uid;
    return NULL;
}

struct passwd *getpwnam(const char *name)
{
    (void)name;
    return NULL;
}

struct group *getgrgid(gid_t gid)
{
    (void)gid;
    return NULL;
}

struct group *getgrnam(const char *name)
{
    (void)name;
    return NULL;
}

int gethostname(char *name, size_t room)
{
    static const char host[] = "localhost";
    if (room < sizeof host) {
        return fail(ENAMETOOLONG);
    }
    memcpy(name, host, sizeof host);
    return 0;
}

int getpagesize(void)
{
    return 65536; /* WebAssembly's */
}

/* Memory that only grows. wasi-libc's sbrk knows whole pages of 64 KiB only and aborts otherwise;
 * malloc uses this one too. Where somebody else has grown the memory (a library, a shared region),
 * the break goes on behind that. */

#define WASM_PAGE 65536u

static uintptr_t break_at, break_end;

void *sbrk(intptr_t increment)
{
    uintptr_t size = __builtin_wasm_memory_size(0) * (uintptr_t)WASM_PAGE;
    uintptr_t start = break_end == size ? break_at : size;
    uintptr_t room = size - start;
    if (increment < 0) {
        errno = ENOMEM;
        return (void *)-1;
    }
    if ((uintptr_t)increment > room) {
        uintptr_t missing = (uintptr_t)increment - room;
        uintptr_t pages = missing / WASM_PAGE + (missing % WASM_PAGE != 0);
        if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) {
            errno = ENOMEM;
            return (void *)-1;
        }
        size += pages * WASM_PAGE;
    }
    break_end = size;
    break_at = start + (uintptr_t)increment;
    return (void *)start;
}

int brk(void *end)
{
    uintptr_t now = (uintptr_t)sbrk(0);
    if ((uintptr_t)end < now) {
        return fail(ENOMEM); /* nothing is given back */
    }
    return sbrk((intptr_t)((uintptr_t)end - now)) == (void *)-1 ? -1 : 0;
}

/* Other processes: none. */

pid_t fork(void)
{
    return fail(ENOSYS);
}

pid_t vfork(void)
{
    return fail(ENOSYS);
}

int execve(const char *path, char *const args[], char *const env[])
{
    (void)path;
    (void)args;
    (void)env;
    return fail(ENOSYS);
}

int execv(const char *path, char *const args[])
{
    return execve(path, args, NULL);
}

int execvp(const char *path, char *const args[])
{
    return execve(path, args, NULL);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    (void)pid;
    (void)status;
    (void)options;
    return fail(ECHILD);
}

pid_t wait(int *status)
{
    return waitpid(-1, status, 0);
}

int system(const char *command)
{
    return command ? fail(ENOSYS) : 0;
}

FILE *popen(const char *command, const char *mode)
{
    (void)command;
    (void)mode;
    errno = ENOSYS;
    return NULL;
}

int pclose(FILE *stream)
{
    (void)stream;
    return fail(ECHILD);
}

/* Temporary files. */

/* The six X before the suffix, or NULL. */
static char *find_blanks(char *name, int suffix_len)
{
    size_t len = strlen(name);
    if (suffix_len < 0 || len < 6 || (size_t)suffix_len > len - 6) {
        return NULL;
    }
    char *blanks = name + len - 6 - (size_t)suffix_len;
    return memcmp(blanks, "XXXXXX", 6) == 0 ? blanks : NULL;
}

static int fill_blanks(char *blanks)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    uint8_t random[6];
    __wasi_errno_t error = __wasi_random_get(random, sizeof random);
    if (error) {
        return fail(error);
    }
    for (int i = 0; i < 6; i++) {
        blanks[i] = letters[random[i] % 64];
    }
    return 0;
}

#define TRIES 100

static int make_file(char *name, int suffix_len, int flags)
{
    char *blanks = find_blanks(name, suffix_len);
    if (!blanks) {
        return fail(EINVAL);
    }
    for (int i = 0; i < TRIES; i++) {
        if (fill_blanks(blanks)) {
            break;
        }
        int fd = open(name, flags | O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

int mkstemp(char *name)
{
    return make_file(name, 0, 0);
}

int mkostemp(char *name, int flags)
{
    return make_file(name, 0, flags);
}

int mkstemps(char *name, int suffix_len)
{
    return make_file(name, suffix_len, 0);
}

char *mkdtemp(char *name)
{
    char *blanks = find_blanks(name, 0);
    if (!blanks) {
        errno = EINVAL;
        return NULL;
    }
    for (int i = 0; i < TRIES; i++) {
        if (fill_blanks(blanks)) {
            break;
        }
        if (mkdir(name, 0700) == 0) {
            return name;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return NULL;
}

FILE *tmpfile(void)
{
    const char *folders[] = {getenv("TMPDIR"), "/tmp", "."};
    char name[PATH_MAX];
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        int len = folders[i] ? snprintf(name, sizeof name, "%s/tmpXXXXXX", folders[i]) : 0;
        if (len <= 0 || (size_t)len >= sizeof name) {
            continue;
        }
        int fd = mkstemp(name);
        if (fd >= 0) {
            unlink(name); /* the open file lives on */
            FILE *stream = fdopen(fd, "w+");
            if (!stream) {
                close(fd);
            }
            return stream;
        }
    }
    return NULL;
}

/* Absolute paths: the present folder of wasi-libc is a string, and links are read one by one. */

struct path_work {
    char done[PATH_MAX]; /* resolved: "" or "/a/b" */
    size_t done_len;
    char rest[PATH_MAX];
};

/* `front`, a slash, and what is left to do. */
static int put_in_front(struct path_work *work, const char *front)
{
    size_t front_len = strlen(front), rest_len = strlen(work->rest);
    if (front_len + rest_len + 2 > sizeof work->rest) {
        return fail(ENAMETOOLONG);
    }
    memmove(work->rest + front_len + 1, work->rest, rest_len + 1);
    memcpy(work->rest, front, front_len);
    work->rest[front_len] = '/';
    return 0;
}

/* Takes the next name off the rest and adds it; *is_link: it was a symbolic link, now in the rest.
 */
static int resolve_step(struct path_work *work, int *links)
{
    char target[PATH_MAX];
    char *name = work->rest + strspn(work->rest, "/");
    size_t len = strcspn(name, "/");
    size_t before = work->done_len;
    if (len == 2 && memcmp(name, "..", 2) == 0) {
        while (work->done_len > 0 && work->done[--work->done_len] != '/') {
        }
    } else if (len > 0 && !(len == 1 && name[0] == '.')) {
        if (work->done_len + 1 + len >= sizeof work->done) {
            return fail(ENAMETOOLONG);
        }
        work->done[work->done_len++] = '/';
        memcpy(work->done + work->done_len, name, len);
        work->done_len += len;
    }
    work->done[work->done_len] = '\0';
    memmove(work->rest, name + len, strlen(name + len) + 1);
    if (work->done_len <= before) {
        return 0;
    }
    ssize_t target_len = readlink(work->done, target, sizeof target - 1);
    if (target_len < 0) {
        return errno == EINVAL ? 0 : -1; /* EINVAL: not a link */
    }
    if (++*links > 40) {
        return fail(ELOOP);
    }
    target[target_len] = '\0';
    work->done_len = target[0] == '/' ? 0 : before;
    work->done[work->done_len] = '\0';
    return put_in_front(work, target);
}

char *realpath(const char *__restrict path, char *__restrict out)
{
    struct path_work work = {.done_len = 0};
    char folder[PATH_MAX];
    int links = 0;
    if (path[0] == '\0') {
        errno = ENOENT;
        return NULL;
    }
    if (strlen(path) >= sizeof work.rest) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    strcpy(work.rest, path);
    if (path[0] != '/' && (!getcwd(folder, sizeof folder) || put_in_front(&work, folder))) {
        return NULL;
    }
    while (work.rest[strspn(work.rest, "/")]) {
        if (resolve_step(&work, &links)) {
            return NULL;
        }
    }
    if (work.done_len == 0) {
        strcpy(work.done, "/");
    } else if (access(work.done, F_OK)) {
        return NULL;
    }
    return out ? strcpy(out, work.done) : strdup(work.done);
}
