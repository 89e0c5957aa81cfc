/* What a program sees of files, said line by line. Built natively and as a guest, it must say the
 * same: the kernel's own answers are the expectation. Runs in an empty folder; one argument, a
 * number, makes the calls with arguments chosen at random from that seed instead of the fixed list.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* errno has other numbers on either side. */
static const char *name_of(int error)
{
    static const struct {
        int error;
        const char *name;
    } names[] = {{0, "ok"},
                 {ENOENT, "ENOENT"},
                 {EEXIST, "EEXIST"},
                 {ENOTDIR, "ENOTDIR"},
                 {EISDIR, "EISDIR"},
                 {EINVAL, "EINVAL"},
                 {ENOTEMPTY, "ENOTEMPTY"},
                 {EBADF, "EBADF"},
                 {ELOOP, "ELOOP"},
                 {EBUSY, "EBUSY"},
                 {EPERM, "EPERM"},
                 {EACCES, "EACCES"},
                 {EXDEV, "EXDEV"},
                 {ENAMETOOLONG, "ENAMETOOLONG"},
                 {ESPIPE, "ESPIPE"},
                 {EFBIG, "EFBIG"},
                 {ENXIO, "ENXIO"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].error == error) {
            return names[i].name;
        }
    }
    return strerror(error);
}

/* Where each of two paths may be wrong, the order in which that is found out is nobody's promise.
 */
static int only_failure;

static void say(const char *what, const char *a, const char *b, long long result)
{
    printf("%s(%s%s%s) %s", what, a, b ? ", " : "", b ? b : "",
           result >= 0    ? "ok"
           : only_failure ? "fails"
                          : name_of(errno));
    if (result > 0) {
        printf(" %lld", result);
    }
    putchar('\n');
}

static void say_stat(const char *path, int follow)
{
    struct stat found;
    int rc = follow ? stat(path, &found) : lstat(path, &found);
    say(follow ? "stat" : "lstat", path, NULL, rc);
    if (rc == 0) {
        printf("  kind %s links %d",
               S_ISDIR(found.st_mode)   ? "dir"
               : S_ISREG(found.st_mode) ? "file"
               : S_ISLNK(found.st_mode) ? "link"
                                        : "other",
               S_ISDIR(found.st_mode) ? 0 : (int)found.st_nlink);
        if (!S_ISDIR(found.st_mode)) {
            printf(" bytes %lld", (long long)found.st_size);
        }
        putchar('\n');
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void say_list(const char *path)
{
    static char names[256][300];
    size_t count = 0;
    DIR *dir = opendir(path);
    say("opendir", path, NULL, dir ? 0 : -1);
    if (!dir) {
        return;
    }
    for (struct dirent *entry; count < 256 && (entry = readdir(dir));) {
        snprintf(names[count++], sizeof names[0], "%s%s", entry->d_name,
                 entry->d_type == DT_DIR   ? "/"
                 : entry->d_type == DT_LNK ? "@"
                                           : "");
    }
    closedir(dir);
    qsort(names, count, sizeof names[0], compare);
    for (size_t i = 0; i < count; i++) {
        printf("  %s\n", names[i]);
    }
}

static void say_content(const char *path)
{
    char bytes[64];
    int fd = open(path, O_RDONLY);
    say("open", path, "r", fd < 0 ? -1 : 0);
    if (fd >= 0) {
        ssize_t len = read(fd, bytes, sizeof bytes);
        say("read", path, NULL, len);
        printf("  %.*s\n", len < 0 ? 0 : (int)len, bytes);
        close(fd);
    }
}

static void save(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | flags, 0644);
    say("open", path, flags & O_EXCL ? "wx" : flags & O_TRUNC ? "wt" : "w", fd < 0 ? -1 : 0);
    if (fd >= 0) {
        say("write", path, NULL, write(fd, text, strlen(text)));
        say("close", path, NULL, close(fd));
    }
}

static void say_link(const char *path)
{
    char target[64];
    ssize_t len = readlink(path, target, sizeof target);
    say("readlink", path, NULL, len);
    if (len > 0) {
        printf("  -> %.*s\n", (int)len, target);
    }
}

/* Without a call between that may use memory itself. */
static void breaks(void)
{
    bool ok[5];
    char *start = sbrk(0);
    char *first = sbrk(100);
    ok[0] = first == start;
    memset(first, 1, 100);
    ok[1] = sbrk(0) == start + 100;
    ok[2] = brk(start + 200000) == 0;
    ok[3] = sbrk(0) == start + 200000;
    memset(first, 2, 200000);
    ok[4] = sbrk(1) == start + 200000;
    void *block = malloc(300000); /* lives with it */
    memset(block, 3, 300000);
    printf("break: %d %d %d %d %d %d\n", ok[0], ok[1], ok[2], ok[3], ok[4], first[99]);
    free(block);
}

static void fixed(void)
{
    breaks();
    save("f", "first", O_CREAT | O_EXCL);
    save("f", "again", O_CREAT | O_EXCL);
    save("f", "2nd", O_CREAT | O_TRUNC);
    save("none/f", "x", O_CREAT);
    save("f/x", "x", O_CREAT);
    save("f/", "x", 0);
    say("mkdir", "d", NULL, mkdir("d", 0755));
    say("mkdir", "d", NULL, mkdir("d", 0755));
    say("mkdir", "d/e/", NULL, mkdir("d/e/", 0755));
    say("mkdir", "no/e", NULL, mkdir("no/e", 0755));
    save("d", "x", 0);
    save("d/g", "gg", O_CREAT);
    say_list(".");
    say_list("d");
    say_list("f");
    say("symlink", "d/g", "s", symlink("d/g", "s"));
    say("symlink", "s", "s2", symlink("s", "s2"));
    say("symlink", "loop", "loop", symlink("loop", "loop"));
    say("symlink", "nowhere", "dangling", symlink("nowhere", "dangling"));
    say("symlink", "d", "sd", symlink("d", "sd"));
    say_content("s2");
    say_content("loop");
    say_content("dangling");
    say_content("sd/../f");
    save("dangling", "now", O_CREAT);
    say_content("nowhere");
    static const char *const paths[] = {"f",  "f/", "d",   "d/", "d/.",  "d/e/..", "s",
                                        "s/", "sd", "sd/", "s2", "loop", "none",   "d/none/.."};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        say_stat(paths[i], 0);
        say_stat(paths[i], 1);
        say_link(paths[i]);
    }
    say("link", "f", "h", link("f", "h"));
    say("link", "f", "d/g", link("f", "d/g"));
    say("link", "d", "dd", link("d", "dd"));
    say("link", "none", "n", link("none", "n"));
    say("rename", "h", "f", rename("h", "f"));
    say("rename", "h", "d/h", rename("h", "d/h"));
    say("rename", "d", "d/e/x", rename("d", "d/e/x"));
    say("rename", "f", "d", rename("f", "d"));
    say("rename", "d", "f", rename("d", "f"));
    say("rename", "none", "x", rename("none", "x"));
    say("rename", "f", "no/x", rename("f", "no/x"));
    say("rename", "f", "x/", rename("f", "x/"));
    say("rmdir", "d", NULL, rmdir("d"));
    say("rmdir", "f", NULL, rmdir("f"));
    say("rmdir", "d/.", NULL, rmdir("d/."));
    say("unlink", "d", NULL, unlink("d"));
    say("unlink", "f/", NULL, unlink("f/"));
    say("unlink", "none", NULL, unlink("none"));
    say("rename", "d/e", "e2", rename("d/e", "e2"));
    say("rename", "e2", "d/e", rename("e2", "d/e"));
    say("unlink", "s", NULL, unlink("s"));
    say_list(".");

    int fd = open("rw", O_RDWR | O_CREAT, 0644);
    char bytes[32] = "";
    say("write", "rw", NULL, write(fd, "0123456789", 10));
    say("lseek", "rw", "-3 end", lseek(fd, -3, SEEK_END));
    say("read", "rw", NULL, read(fd, bytes, 2));
    say("lseek", "rw", "cur", lseek(fd, 0, SEEK_CUR));
    say("lseek", "rw", "-1", lseek(fd, -1, SEEK_SET));
    say("pread", "rw", NULL, pread(fd, bytes, 32, 8));
    say("pwrite", "rw", "20", pwrite(fd, "z", 1, 20));
    say("ftruncate", "rw", "15", ftruncate(fd, 15));
    say("ftruncate", "rw", "-1", ftruncate(fd, -1));
    struct iovec parts[3] = {{"a", 1}, {NULL, 0}, {"bc", 2}};
    say("writev", "rw", NULL, writev(fd, parts, 3));
    say("lseek", "rw", "cur", lseek(fd, 0, SEEK_CUR));
    struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5}, {.tv_sec = 2000, .tv_nsec = 6}};
    struct stat found;
    say("futimens", "rw", NULL, futimens(fd, times));
    say("fstat", "rw", NULL, fstat(fd, &found));
    printf("  %lld %lld %ld\n", (long long)found.st_size, (long long)found.st_mtim.tv_sec,
           (long)found.st_mtim.tv_nsec);
    say("fsync", "rw", NULL, fsync(fd));
    say("unlink", "rw", NULL, unlink("rw"));
    say("pread", "gone", NULL, pread(fd, bytes, 32, 0));
    say("close", "rw", NULL, close(fd));
    say("close", "rw", NULL, close(fd));
    say("read", "closed", NULL, read(fd, bytes, 1));
    fd = open("app", O_WRONLY | O_CREAT | O_APPEND, 0644);
    say("write", "app", NULL, write(fd, "one", 3));
    say("lseek", "app", "0", lseek(fd, 0, SEEK_SET));
    say("write", "app", NULL, write(fd, "two", 3));
    close(fd);
    say_content("app");
    say("truncate", "app", "2", truncate("app", 2));
    say_content("app");
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    say("mkdir", "n*255", NULL, mkdir(name, 0755));
    say("rmdir", "n*255", NULL, rmdir(name));
    name[255] = 'n';
    name[256] = '\0';
    say("mkdir", "n*256", NULL, mkdir(name, 0755));
}

static uint64_t state;

static unsigned pick(unsigned count)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(state >> 33) % count;
}

static const char *pick_path(void)
{
    /* Few names, so that they meet; none leads above the folder, where the two sides must differ.
     */
    static const char *const paths[] = {"a",      "b",      "c",     "a/a",  "a/b", "b/a",
                                        "b/b",    "a/a/a",  "a/a/b", "a/",   "b/",  "a/.",
                                        "a/../b", "a/b/..", "c/a",   "a//b", "./a", "b/./c"};
    return paths[pick(sizeof paths / sizeof paths[0])];
}

static void random_calls(void)
{
    /* None has dots: a link that is moved up must not come to lead out of the folder, where the
     * program may follow it and the guest may not. */
    static const char *const targets[] = {"a", "b", "c", "a/b", "c/c", "b//a/"};
    for (int i = 0; i < 3000; i++) {
        const char *p = pick_path(), *q = pick_path();
        switch (pick(13)) {
        case 0: save(p, q, O_CREAT); break;
        case 1: save(p, q, O_CREAT | O_TRUNC); break;
        case 2: save(p, q, O_CREAT | O_EXCL); break;
        case 3:
        case 4: say("mkdir", p, NULL, mkdir(p, 0755)); break;
        case 5: say("rmdir", p, NULL, rmdir(p)); break;
        case 6: say("unlink", p, NULL, unlink(p)); break;
        case 7:
        case 8:
            only_failure = 1;
            if (pick(2)) {
                say("rename", p, q, rename(p, q));
            } else {
                say("link", p, q, link(p, q));
            }
            only_failure = 0;
            break;
        case 9: {
            const char *target = targets[pick(sizeof targets / sizeof targets[0])];
            say("symlink", target, p, symlink(target, p));
            break;
        }
        case 10:
            say_stat(p, 0);
            say_stat(p, 1);
            break;
        case 11: say_content(p); break;
        default: say_link(p); say_list(p);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        state = strtoull(argv[1], NULL, 10);
        random_calls();
    } else {
        fixed();
    }
    say_list(".");
    return 0;
}
