/* Host directories: what they do, and above all what must not be possible. */
#include "port/hostfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "libos/overlay.h"
#include "port/machine.h"

/* BASE/inside is given to the guest; BASE/secret and BASE/outside must stay out of its reach. */
static char base[64];
static struct libos os;

static const char *at(const char *name)
{
    static char path[2][PATH_MAX];
    static unsigned turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", base, name);
    return path[turn];
}

static void host_write(const char *name, const char *text)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        perror(name);
    }
    close(fd);
}

/* The content of a host file, or "-". */
static const char *host_read(const char *name)
{
    static char text[256];
    int fd = open(at(name), O_RDONLY);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (len < 0) {
        return "-";
    }
    text[len] = '\0';
    return text;
}

static void clear(void)
{
    char command[128];
    if (base[0]) {
        snprintf(command, sizeof command, "rm -rf '%s'", base);
        if (system(command) != 0) {
            perror("rm");
        }
    }
}

static struct libos_file *new_tree(uint32_t flags)
{
    struct libos_file *root = NULL;
    struct wm_diag diag = WM_DIAG_INIT;
    clear();
    snprintf(base, sizeof base, "/tmp/hostfs-test-XXXXXX");
    if (!mkdtemp(base)) {
        return NULL;
    }
    mkdir(at("inside"), 0700);
    mkdir(at("inside/d"), 0700);
    mkdir(at("outside"), 0700);
    host_write("secret", "secret");
    host_write("outside/o", "outside");
    host_write("inside/f", "f");
    host_write("inside/d/g", "g");
    libos_init(&os, port_machine());
    if (port_hostfs_open(&os, at("inside"), flags, &root, &diag) != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
    }
    return root;
}

static int make(struct libos_file *dir, const char *path, const char *text)
{
    struct libos_file *file;
    int rc = libos_open(dir, path, LIBOS_WRITE | LIBOS_CREATE | LIBOS_TRUNCATE, &file);
    if (rc != 0) {
        return rc;
    }
    struct libos_iov iov = {(void *)text, strlen(text)};
    int64_t done = libos_file_write(file, &iov, 1);
    libos_file_put(file);
    return done == (int64_t)iov.len ? 0 : (int)done;
}

static const char *content(struct libos_file *dir, const char *path)
{
    static char text[256];
    struct libos_file *file;
    struct libos_iov iov = {text, sizeof text - 1};
    int rc = libos_open(dir, path, LIBOS_READ, &file);
    if (rc != 0) {
        snprintf(text, sizeof text, "%d", rc);
        return text;
    }
    int64_t done = libos_file_read(file, &iov, 1);
    text[done < 0 ? 0 : done] = '\0';
    libos_file_put(file);
    return text;
}

static int open_rc(struct libos_file *dir, const char *path, uint32_t flags)
{
    struct libos_file *file;
    int rc = libos_open(dir, path, flags, &file);
    if (rc == 0) {
        libos_file_put(file);
    }
    return rc;
}

static int stat_rc(struct libos_file *dir, const char *path, bool follow, enum libos_kind kind)
{
    struct libos_stat stat;
    int rc = libos_stat(dir, path, follow, &stat);
    return rc != 0 ? rc : stat.kind == kind ? 0 : 1;
}

TEST(files_work)
{
    struct libos_file *root = new_tree(0);
    struct libos_file *file;
    struct libos_stat stat;
    char text[16] = "";
    REQUIRE(root);
    CHECK_STR(content(root, "d/g"), "g");
    CHECK_INT(make(root, "new", "hello"), ==, 0);
    CHECK_STR(host_read("inside/new"), "hello");
    REQUIRE(libos_open(root, "new", LIBOS_READ | LIBOS_WRITE | LIBOS_APPEND, &file) == 0);
    struct libos_iov out[2] = {{" wor", 4}, {"ld", 2}};
    CHECK_INT(libos_file_write(file, out, 2), ==, 6);
    struct libos_iov in = {text, 15};
    CHECK_INT(libos_file_pread(file, &in, 1, 6), ==, 5);
    CHECK_STR(text, "world");
    CHECK_INT(libos_file_seek(file, -5, LIBOS_SEEK_END), ==, 6);
    CHECK_INT(libos_file_readable_bytes(file), ==, 5);
    CHECK_INT(libos_file_truncate(file, 3), ==, 0);
    CHECK_INT(libos_file_set_flags(file, 0), ==, 0); /* no longer appends */
    CHECK_INT(libos_file_pwrite(file, out, 1, 0), ==, 4);
    CHECK_STR(host_read("inside/new"), " wor");
    CHECK_INT(libos_file_set_flags(file, LIBOS_SYNC), ==, -LIBOS_EOPNOTSUPP);
    CHECK_INT(libos_file_allocate(file, 0, 100), ==, 0);
    CHECK_INT(libos_file_advise(file, 0, 100, LIBOS_ADVICE_WILLNEED), ==, 0);
    CHECK_INT(libos_file_advise(file, 0, 100, 6), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_file_sync(file, true), ==, 0);
    struct libos_times times = {.atime_ns = 1500000000, .mtime_ns = -1};
    CHECK_INT(libos_file_set_times(file, &times), ==, 0);
    REQUIRE(libos_file_stat(file, &stat) == 0);
    CHECK_INT(stat.atime_ns, ==, 1500000000);
    CHECK_INT(stat.mtime_ns, ==, -1);
    CHECK_INT(stat.bytes, ==, 100);
    CHECK_INT(stat.kind, ==, LIBOS_KIND_FILE);
    libos_file_put(file);
    times = (struct libos_times){LIBOS_TIME_OMIT, 2000000000};
    CHECK_INT(libos_set_times(root, "new", true, &times), ==, 0);
    REQUIRE(libos_stat(root, "new", false, &stat) == 0);
    CHECK_INT(stat.mtime_ns, ==, 2000000000);
    CHECK_INT(stat.atime_ns, ==, 1500000000);
    libos_file_put(root);
}

TEST(tree_changes_work)
{
    struct libos_file *root = new_tree(0);
    char target[8] = "";
    REQUIRE(root);
    CHECK_INT(libos_mkdir(root, "a"), ==, 0);
    CHECK_INT(libos_mkdir(root, "a/b/"), ==, 0);
    CHECK_INT(libos_mkdir(root, "a/b"), ==, -LIBOS_EEXIST);
    CHECK_INT(libos_mkdir(root, "a/."), ==, -LIBOS_EEXIST);
    CHECK_INT(libos_rename(root, "f", root, "a/b/f"), ==, 0);
    CHECK_STR(content(root, "a/b/f"), "f");
    CHECK_INT(libos_rename(root, "a/b/f/", root, "x"), ==, -LIBOS_ENOTDIR);
    CHECK_INT(libos_rename(root, "a/.", root, "x"), ==, -LIBOS_EBUSY);
    CHECK_INT(libos_rename(root, "a", root, "a/b/c"), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_link(root, "a/b/f", root, "hard"), ==, 0);
    CHECK_INT(libos_link(root, "a", root, "hard2"), ==, -LIBOS_EPERM);
    CHECK_INT(libos_symlink(root, "b/f", "a/soft"), ==, 0);
    CHECK_STR(content(root, "a/soft"), "f");
    CHECK_INT(open_rc(root, "a/soft", LIBOS_READ | LIBOS_NOFOLLOW), ==, -LIBOS_ELOOP);
    CHECK_INT(stat_rc(root, "a/soft", false, LIBOS_KIND_SYMLINK), ==, 0);
    CHECK_INT(stat_rc(root, "a/soft", true, LIBOS_KIND_FILE), ==, 0);
    CHECK_INT(libos_readlink(root, "a/soft", target, 2), ==, 3);
    CHECK_STR(target, "b/");
    CHECK_INT(libos_readlink(root, "a", target, 2), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_remove(root, "a", false), ==, -LIBOS_EISDIR);
    CHECK_INT(libos_remove(root, "a", true), ==, -LIBOS_ENOTEMPTY);
    CHECK_INT(libos_remove(root, "hard/", false), ==, -LIBOS_ENOTDIR);
    CHECK_INT(libos_remove(root, "hard", true), ==, -LIBOS_ENOTDIR);
    CHECK_INT(libos_remove(root, "hard", false), ==, 0);
    CHECK_INT(libos_remove(root, "a/soft", false), ==, 0);
    CHECK_INT(libos_remove(root, "a/b/f", false), ==, 0);
    CHECK_INT(libos_remove(root, "a/b/", true), ==, 0);
    CHECK_INT(libos_remove(root, "a", true), ==, 0);
    libos_file_put(root);
}

TEST(nothing_leads_out)
{
    struct libos_file *root = new_tree(0);
    struct libos_file *dir;
    struct libos_times times = {1, 1};
    char target[8];
    REQUIRE(root);
    REQUIRE(libos_open(root, "d", LIBOS_READ | LIBOS_DIRECTORY, &dir) == 0);
    static const char *const escapes[] = {
        "..",      "../",      "../secret",   "/etc/passwd",     "d/../../secret", "./..",
        "d/../..", "d/../../", "../inside/f", "/proc/self/root", "/proc/1/cwd"};
    for (size_t i = 0; i < WM_COUNT_OF(escapes); i++) {
        const char *path = escapes[i];
        CHECK_INT(open_rc(root, path, LIBOS_READ), ==, -LIBOS_EESCAPE);
        CHECK_INT(open_rc(root, path, LIBOS_WRITE | LIBOS_CREATE), ==, -LIBOS_EESCAPE);
        CHECK_INT(stat_rc(root, path, true, LIBOS_KIND_DIR), ==, -LIBOS_EESCAPE);
        CHECK_INT(stat_rc(root, path, false, LIBOS_KIND_DIR), ==, -LIBOS_EESCAPE);
        CHECK_INT(libos_set_times(root, path, false, &times), ==, -LIBOS_EESCAPE);
        CHECK_INT(libos_readlink(root, path, target, sizeof target), <, 0);
        CHECK_INT(libos_mkdir(root, path), <, 0);
        CHECK_INT(libos_symlink(root, "x", path), <, 0);
        CHECK_INT(libos_remove(root, path, false), <, 0);
        CHECK_INT(libos_remove(root, path, true), <, 0);
        CHECK_INT(libos_rename(root, "f", root, path), <, 0);
        CHECK_INT(libos_rename(root, path, root, "stolen"), <, 0);
        CHECK_INT(libos_link(root, path, root, "stolen"), <, 0);
        CHECK_INT(libos_link(root, "f", root, path), <, 0);
        CHECK_INT(open_rc(dir, path, LIBOS_READ), <, 0);
    }
    CHECK_STR(content(dir, "../f"),
              "-600"); /* beneath the directory it was asked of, not the root */
    CHECK_STR(host_read("secret"), "secret");
    CHECK_STR(host_read("inside/f"), "f");
    CHECK_STR(host_read("inside/stolen"), "-");
    libos_file_put(dir);
    libos_file_put(root);
}

TEST(symlinks_do_not_lead_out)
{
    struct libos_file *root = new_tree(0);
    struct libos_times times = {1, 1};
    struct stat before, after;
    REQUIRE(root);
    /* Put there by somebody else; the guest itself may not make absolute ones. */
    static const char *const targets[] = {"../secret", "/etc/passwd", "d/../../secret",
                                          "/proc/self/root/etc/passwd", "../inside/../secret"};
    for (size_t i = 0; i < WM_COUNT_OF(targets); i++) {
        CHECK_INT(symlink(targets[i], at("inside/out")), ==, 0);
        CHECK_INT(open_rc(root, "out", LIBOS_READ), ==, -LIBOS_EESCAPE);
        CHECK_INT(open_rc(root, "out", LIBOS_WRITE | LIBOS_TRUNCATE), ==, -LIBOS_EESCAPE);
        CHECK_INT(open_rc(root, "out", LIBOS_WRITE | LIBOS_CREATE), ==, -LIBOS_EESCAPE);
        CHECK_INT(stat_rc(root, "out", true, LIBOS_KIND_FILE), ==, -LIBOS_EESCAPE);
        CHECK_INT(libos_set_times(root, "out", true, &times), ==, -LIBOS_EESCAPE);
        CHECK_INT(libos_set_times(root, "out", false, &times), ==, 0); /* the link itself */
        CHECK_INT(libos_remove(root, "out", false), ==, 0);
    }
    CHECK_INT(symlink("../outside", at("inside/dirlink")), ==, 0);
    stat(at("outside"), &before);
    CHECK_INT(open_rc(root, "dirlink", LIBOS_READ | LIBOS_DIRECTORY), ==, -LIBOS_EESCAPE);
    CHECK_INT(open_rc(root, "dirlink/", LIBOS_READ), ==, -LIBOS_EESCAPE);
    CHECK_INT(stat_rc(root, "dirlink/", false, LIBOS_KIND_DIR), ==, -LIBOS_EESCAPE);
    CHECK_INT(stat_rc(root, "dirlink/o", false, LIBOS_KIND_FILE), ==, -LIBOS_EESCAPE);
    CHECK_INT(libos_set_times(root, "dirlink/", false, &times), ==, -LIBOS_EESCAPE);
    CHECK_INT(make(root, "dirlink/new", "x"), ==, -LIBOS_EESCAPE);
    CHECK_INT(libos_mkdir(root, "dirlink/new"), ==, -LIBOS_EESCAPE);
    CHECK_INT(libos_remove(root, "dirlink/o", false), ==, -LIBOS_EESCAPE);
    CHECK_INT(libos_remove(root, "dirlink/", false), <, 0);
    CHECK_INT(libos_remove(root, "dirlink/", true), <, 0);
    CHECK_INT(libos_rename(root, "f", root, "dirlink/f"), ==, -LIBOS_EESCAPE);
    CHECK_INT(libos_rename(root, "dirlink/o", root, "o"), ==, -LIBOS_EESCAPE);
    CHECK_INT(libos_rename(root, "dirlink/", root, "o"), <, 0);
    CHECK_INT(libos_rename(root, "d", root, "dirlink/"), <, 0);
    CHECK_INT(libos_link(root, "dirlink/o", root, "o"), ==, -LIBOS_EESCAPE);
    CHECK_INT(libos_symlink(root, "x", "dirlink/s"), ==, -LIBOS_EESCAPE);
    CHECK_INT(libos_symlink(root, "x", "dirlink/"), <, 0);
    CHECK_INT(libos_mkdir(root, "dirlink/"), <, 0);
    stat(at("outside"), &after);
    CHECK(before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
          before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    CHECK_STR(host_read("outside/o"), "outside");
    /* A hard link to a symbolic link is one to the link: what it leads to stays out of reach. */
    CHECK_INT(symlink("../secret", at("inside/out")), ==, 0);
    CHECK_INT(libos_link(root, "out", root, "out2"), ==, 0);
    CHECK_INT(open_rc(root, "out2", LIBOS_READ), ==, -LIBOS_EESCAPE);
    CHECK_INT(libos_symlink(root, "/etc/passwd", "abs"), ==, -LIBOS_EPERM);
    CHECK_INT(libos_symlink(root, "../secret", "rel"), ==, 0);
    CHECK_INT(open_rc(root, "rel", LIBOS_READ), ==, -LIBOS_EESCAPE);
    libos_file_put(root);
}

TEST(proc_magic_links_do_not_lead_out)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct libos_file *proc;
    libos_init(&os, port_machine());
    if (access("/proc/self/root", F_OK) != 0) {
        SKIP("no /proc here");
    }
    REQUIRE(port_hostfs_open(&os, "/", PORT_READ_ONLY, &proc, &diag) == 0);
    static const char *const paths[] = {"proc/self/root", "proc/self/cwd",
                                        "proc/self/root/etc/passwd", "proc/self/exe",
                                        "proc/self/cwd/."};
    for (size_t i = 0; i < WM_COUNT_OF(paths); i++) {
        CHECK_INT(open_rc(proc, paths[i], LIBOS_READ), ==, -LIBOS_ELOOP);
        CHECK_INT(stat_rc(proc, paths[i], true, LIBOS_KIND_DIR), ==, -LIBOS_ELOOP);
    }
    char link[32];
    int fd = open("/etc/passwd", O_RDONLY);
    snprintf(link, sizeof link, "proc/self/fd/%d", fd);
    CHECK_INT(open_rc(proc, link, LIBOS_READ), ==, -LIBOS_ELOOP);
    close(fd);
    libos_file_put(proc);
}

/* A neighbour swaps a directory and a symbolic link to the outside, all the time. */
struct swapper {
    atomic_bool stop;
    unsigned swaps;
};

static void *swap(void *arg)
{
    struct swapper *swapper = arg;
    char real[PATH_MAX], link[PATH_MAX], aside[PATH_MAX];
    snprintf(real, sizeof real, "%s/inside/race", base);
    snprintf(link, sizeof link, "%s/inside/race-link", base);
    snprintf(aside, sizeof aside, "%s/aside", base); /* moves a directory out and back, too */
    while (!atomic_load(&swapper->stop)) {
        if (syscall(SYS_renameat2, AT_FDCWD, real, AT_FDCWD, link, 2 /* RENAME_EXCHANGE */) != 0) {
            break;
        }
        swapper->swaps++;
        if (rename(real, aside) == 0) {
            rename(aside, real);
        }
    }
    return NULL;
}

TEST(rename_races_do_not_lead_out)
{
    struct libos_file *root = new_tree(0);
    struct swapper swapper = {0};
    pthread_t thread;
    REQUIRE(root);
    mkdir(at("inside/race"), 0700);
    mkdir(at("inside/race/sub"), 0700);
    host_write("inside/race/o", "inside");
    mkdir(at("outside/sub"), 0700);
    CHECK_INT(symlink("../outside", at("inside/race-link")), ==, 0);
    REQUIRE(pthread_create(&thread, NULL, swap, &swapper) == 0);
    unsigned leaked = 0, fine = 0;
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (int i = 0; i < 200; i++) {
            static const char *const paths[] = {"race/o", "race/sub/../o", "race/sub/../../race/o"};
            const char *text = content(root, paths[i % 3]);
            leaked += strcmp(text, "outside") == 0;
            fine += strcmp(text, "inside") == 0;
            if (make(root, "race/guest", "x") == 0) {
                fine++;
            }
            leaked += libos_stat(root, "race/../../secret", true, &(struct libos_stat){0}) == 0;
            (void)!libos_mkdir(root, "race/made");
            (void)!libos_rename(root, "race/guest", root, "race/renamed");
            (void)!libos_remove(root, "race/made", true);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - start.tv_sec < 2);
    atomic_store(&swapper.stop, true);
    pthread_join(thread, NULL);
    CHECK_INT(leaked, ==, 0);
    CHECK_INT(fine, >, 0);
    CHECK_INT(swapper.swaps, >, 100);
    CHECK_STR(host_read("outside/o"), "outside");
    CHECK_STR(host_read("outside/guest"), "-");
    CHECK_STR(host_read("outside/renamed"), "-");
    CHECK_INT(access(at("outside/made"), F_OK), ==, -1);
    libos_file_put(root);
}

TEST(fifos_never_wait)
{
    struct libos_file *root = new_tree(0);
    struct libos_file *reader, *writer;
    char byte;
    struct libos_iov iov = {&byte, 1};
    REQUIRE(root);
    REQUIRE(mkfifo(at("inside/fifo"), 0600) == 0);
    CHECK_INT(open_rc(root, "fifo", LIBOS_WRITE), ==, -LIBOS_ENXIO);
    REQUIRE(libos_open(root, "fifo", LIBOS_READ, &reader) == 0);
    CHECK_INT(reader->kind, ==, LIBOS_KIND_PIPE);
    CHECK_INT(libos_file_read(reader, &iov, 1), ==, 0); /* no writer */
    REQUIRE(libos_open(root, "fifo", LIBOS_WRITE, &writer) == 0);
    CHECK_INT(libos_file_set_flags(reader, LIBOS_NONBLOCK), ==, 0);
    CHECK_INT(libos_file_read(reader, &iov, 1), ==, -LIBOS_EAGAIN);
    byte = 'z';
    CHECK_INT(libos_file_write(writer, &iov, 1), ==, 1);
    byte = 0;
    CHECK_INT(libos_file_read(reader, &iov, 1), ==, 1);
    CHECK_INT(byte, ==, 'z');
    CHECK_INT(libos_file_pread(reader, &iov, 1, 0), ==, -LIBOS_ESPIPE);
    CHECK_INT(libos_file_seek(reader, 0, LIBOS_SEEK_SET), ==, -LIBOS_ESPIPE);
    libos_file_put(reader);
    CHECK_INT(libos_file_write(writer, &iov, 1), ==, -LIBOS_EPIPE); /* and no signal */
    libos_file_put(writer);
    libos_file_put(root);
}

TEST(devices_are_chosen)
{
    struct libos_file *root = new_tree(0);
    struct libos_file *file;
    uint8_t bytes[4] = {1, 1, 1, 1};
    struct libos_iov iov = {bytes, 4};
    REQUIRE(root);
    if (mknod(at("inside/zero"), S_IFCHR | 0600, makedev(1, 5)) != 0) {
        libos_file_put(root);
        SKIP("device files can be made by root only");
    }
    REQUIRE(mknod(at("inside/mem"), S_IFCHR | 0600, makedev(1, 1)) == 0);
    REQUIRE(mknod(at("inside/block"), S_IFBLK | 0600, makedev(7, 0)) == 0);
    int rc = libos_open(root, "zero", LIBOS_READ, &file);
    if (rc == -LIBOS_EACCES || rc == -LIBOS_EPERM) {
        libos_file_put(root);
        SKIP("the folder is mounted without devices");
    }
    REQUIRE(rc == 0);
    CHECK_INT(libos_file_read(file, &iov, 1), ==, 4);
    CHECK_INT(bytes[0] | bytes[3], ==, 0);
    CHECK(!file->terminal);
    libos_file_put(file);
    CHECK_INT(open_rc(root, "mem", LIBOS_READ), <, 0);
    CHECK_INT(open_rc(root, "block", LIBOS_READ), <, 0);
    libos_file_put(root);
}

TEST(read_only_changes_nothing)
{
    struct libos_file *root = new_tree(PORT_READ_ONLY);
    struct libos_file *dir, *file;
    struct libos_times times = {1, 1};
    REQUIRE(root);
    REQUIRE(libos_open(root, "d", LIBOS_READ | LIBOS_DIRECTORY, &dir) == 0);
    CHECK_INT(make(root, "f", "x"), ==, -LIBOS_EROFS);
    CHECK_INT(make(dir, "g", "x"), ==, -LIBOS_EROFS);
    CHECK_INT(open_rc(root, "f", LIBOS_READ | LIBOS_WRITE), ==, -LIBOS_EROFS);
    CHECK_INT(open_rc(root, "f", LIBOS_READ | LIBOS_TRUNCATE), ==, -LIBOS_EROFS);
    CHECK_INT(open_rc(root, "n", LIBOS_READ | LIBOS_CREATE), ==, -LIBOS_EROFS);
    CHECK_INT(open_rc(root, "f", LIBOS_READ | LIBOS_CREATE), ==, 0);
    CHECK_INT(open_rc(root, "f", LIBOS_READ | LIBOS_CREATE | LIBOS_EXCLUSIVE), ==, -LIBOS_EEXIST);
    CHECK_INT(libos_mkdir(root, "n"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_mkdir(root, "d"), ==, -LIBOS_EEXIST);
    CHECK_INT(libos_remove(root, "f", false), ==, -LIBOS_EROFS);
    CHECK_INT(libos_remove(dir, "g", false), ==, -LIBOS_EROFS);
    CHECK_INT(libos_remove(root, "d", true), ==, -LIBOS_EROFS);
    CHECK_INT(libos_rename(root, "f", root, "n"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_link(root, "f", root, "n"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_symlink(root, "f", "n"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_set_times(root, "f", true, &times), ==, -LIBOS_EROFS);
    CHECK_INT(libos_file_set_times(dir, &times), ==, -LIBOS_EROFS);
    REQUIRE(libos_open(root, "f", LIBOS_READ, &file) == 0);
    CHECK_INT(libos_file_set_times(file, &times), ==, -LIBOS_EROFS);
    CHECK_INT(libos_file_truncate(file, 0), ==, -LIBOS_EINVAL);
    libos_file_put(file);
    /* From a writable tree into a read-only one. */
    struct libos_file *writable;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(port_hostfs_open(&os, at("outside"), 0, &writable, &diag) == 0);
    CHECK_INT(libos_rename(writable, "o", root, "o"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_link(root, "f", writable, "f"), ==, -LIBOS_EROFS);
    libos_file_put(writable);
    CHECK_STR(host_read("inside/f"), "f");
    libos_file_put(dir);
    libos_file_put(root);
}

struct seen {
    unsigned count, stop_after, dots;
    uint64_t last;
    uint8_t found[3000];
};

static bool see(void *arg, const struct libos_dirent *entry)
{
    struct seen *seen = arg;
    char name[32] = "";
    if (entry->name_len < sizeof name) {
        memcpy(name, entry->name, entry->name_len);
    }
    if (name[0] == 'n') {
        seen->found[atoi(name + 1)]++;
    } else if (name[0] == '.') {
        seen->dots++;
    }
    seen->last = entry->next;
    return ++seen->count % seen->stop_after != 0;
}

TEST(readdir_in_pieces)
{
    struct libos_file *root = new_tree(0);
    struct libos_file *dir;
    char name[32];
    static struct seen seen;
    REQUIRE(root);
    REQUIRE(libos_mkdir(root, "many") == 0);
    REQUIRE(libos_open(root, "many", LIBOS_READ, &dir) == 0);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        REQUIRE(make(dir, name, "") == 0);
    }
    seen = (struct seen){.stop_after = 37};
    unsigned before;
    do {
        before = seen.count;
        REQUIRE(libos_readdir(dir, seen.last, see, &seen) == 0);
    } while (seen.count != before);
    CHECK_INT(seen.count, ==, 3002);
    CHECK_INT(seen.dots, ==, 2);
    unsigned wrong = 0;
    for (int i = 0; i < 3000; i++) {
        wrong += seen.found[i] != 1;
    }
    CHECK_INT(wrong, ==, 0);
    /* Nonsense cookies end or fail, nothing else. */
    static const uint64_t cookies[] = {UINT64_MAX, INT64_MAX, 12345, UINT64_C(1) << 63};
    for (size_t i = 0; i < WM_COUNT_OF(cookies); i++) {
        int rc = libos_readdir(dir, cookies[i], see, &seen);
        CHECK(rc == 0 || rc == -LIBOS_EINVAL || rc == -LIBOS_ENOENT);
    }
    libos_file_put(dir);
    libos_file_put(root);
}

TEST(names_are_bounded)
{
    struct libos_file *root = new_tree(0);
    char name[300], path[LIBOS_PATH_MAX + 1];
    REQUIRE(root);
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    CHECK_INT(make(root, name, ""), ==, -LIBOS_ENAMETOOLONG);
    CHECK_INT(libos_mkdir(root, name), ==, -LIBOS_ENAMETOOLONG);
    name[255] = '\0';
    CHECK_INT(libos_mkdir(root, name), ==, 0);
    memset(path, '/', sizeof path);
    path[0] = '.';
    path[LIBOS_PATH_MAX] = '\0';
    CHECK_INT(libos_mkdir(root, path), ==, -LIBOS_ENAMETOOLONG);
    path[LIBOS_PATH_MAX - 1] = '\0';
    CHECK_INT(libos_mkdir(root, path), ==, -LIBOS_EEXIST);
    libos_file_put(root);
}

/* In a child whose kernel has no openat2 (a filter says so). */
TEST(without_openat2_there_is_no_directory)
{
    struct libos_file *root = new_tree(0);
    REQUIRE(root);
    libos_file_put(root);
    pid_t child = fork();
    if (child == 0) {
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {WM_COUNT_OF(code), code};
        struct wm_diag diag = WM_DIAG_INIT;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
            _exit(77);
        }
        int rc = port_hostfs_open(&os, at("inside"), 0, &root, &diag);
        _exit(rc == WM_E_MISSING && strstr(wm_diag_text(&diag), "openat2") ? 0 : 1);
    }
    int status;
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        SKIP("seccomp filters are not allowed here");
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

static int everything_once(struct libos_file *root)
{
    struct libos_file *file;
    struct libos_stat stat;
    struct libos_times times = {1, LIBOS_TIME_NOW};
    char text[8];
    static struct seen seen;
    int failed = 0;
    failed += libos_mkdir(root, "a") != 0;
    failed += libos_mkdir(root, "a/b") != 0;
    failed += make(root, "a/b/f", "text") != 0;
    failed += libos_stat(root, "a/b/f", true, &stat) != 0;
    failed += libos_stat(root, "a", true, &stat) != 0;
    failed += libos_set_times(root, "a/b/f", true, &times) != 0;
    failed += libos_symlink(root, "b/f", "a/s") != 0;
    failed += libos_readlink(root, "a/s", text, 8) != 3;
    failed += libos_link(root, "a/b/f", root, "a/h") != 0;
    failed += libos_rename(root, "a/h", root, "a/b/h/") != -LIBOS_ENOTDIR;
    failed += libos_rename(root, "a/h", root, "a/b/h") != 0;
    seen = (struct seen){.stop_after = 10000};
    failed += libos_readdir(root, 0, see, &seen) != 0;
    if (libos_open(root, "a/s", LIBOS_READ | LIBOS_WRITE, &file) == 0) {
        failed += libos_file_truncate(file, 2) != 0;
        failed += libos_file_sync(file, false) != 0;
        failed += libos_file_set_times(file, &times) != 0;
        failed += libos_file_set_flags(file, LIBOS_APPEND) != 0;
        failed += libos_file_seek(file, 0, LIBOS_SEEK_END) != 2;
        libos_file_put(file);
    } else {
        failed++;
    }
    failed += libos_remove(root, "a/b/h", false) != 0;
    failed += libos_remove(root, "a/b/f", false) != 0;
    failed += libos_remove(root, "a/s", false) != 0;
    failed += libos_remove(root, "a/b", true) != 0;
    failed += libos_remove(root, "a", true) != 0;
    return failed;
}

/* proc/self/mem is an ordinary file by its kind; who writes to it writes to us. */
TEST(proc_is_closed)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct libos_file *root;
    libos_init(&os, port_machine());
    if (access("/proc/self/mem", R_OK | W_OK) != 0) {
        SKIP("no /proc here");
    }
    CHECK_INT(port_hostfs_open(&os, "/proc", 0, &root, &diag), ==, -EACCES);
    CHECK_INT(port_hostfs_open(&os, "/proc/self", PORT_READ_ONLY, &root, &diag), ==, -EACCES);
    REQUIRE(port_hostfs_open(&os, "/", 0, &root, &diag) == 0);
    unsigned before = open_descriptors();
    static const char *const paths[] = {"proc",           "proc/self/mem",
                                        "proc/self",      "proc/self/environ",
                                        "proc/./version", "proc/thread-self/mem"};
    for (size_t i = 0; i < WM_COUNT_OF(paths); i++) {
        CHECK_INT(open_rc(root, paths[i], LIBOS_READ), ==, -LIBOS_EACCES);
    }
    CHECK_INT(open_rc(root, "proc/self/mem", LIBOS_READ | LIBOS_WRITE), ==, -LIBOS_EACCES);
    CHECK_INT(open_rc(root, "tmp", LIBOS_READ | LIBOS_DIRECTORY), ==, 0);
    CHECK_INT(open_descriptors(), ==, before);
    libos_file_put(root);
}

static void fail_each(enum wm_fault_kind kind, unsigned at_least)
{
    struct libos_file *root = new_tree(0);
    unsigned rounds = 0;
    REQUIRE(root);
    unsigned before = open_descriptors();
    for (uint64_t n = 0; wm_fault_next(kind, &n); rounds++) {
        int failed = everything_once(root);
        if (!wm_fault_fired(kind)) {
            CHECK_INT(failed, ==, 0);
        }
        if (wm_fault_fired(kind)) {
            char command[160];
            snprintf(command, sizeof command, "rm -rf '%s/inside/a'", base);
            CHECK_INT(system(command), ==, 0);
        }
    }
    CHECK_INT(rounds, >, at_least);
    CHECK_INT(open_descriptors(), ==, before); /* no failure leaks a descriptor */
    libos_file_put(root);
}

TEST(every_io_call_may_fail)
{
    fail_each(WM_FAULT_IO, 40);
}

TEST(every_allocation_may_fail)
{
    fail_each(WM_FAULT_ALLOC, 2);
}

TEST(opening_may_fail)
{
    struct libos_file *root = new_tree(0);
    REQUIRE(root);
    libos_file_put(root);
    unsigned before = open_descriptors();
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        struct wm_diag diag = WM_DIAG_INIT;
        if (port_hostfs_open(&os, at("inside"), 0, &root, &diag) == 0) {
            libos_file_put(root);
        } else {
            CHECK(strstr(wm_diag_text(&diag), "inside"));
        }
    }
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(port_hostfs_open(&os, at("none"), 0, &root, &diag), ==, -ENOENT);
    CHECK_INT(port_hostfs_open(&os, at("secret"), 0, &root, &diag), ==, -ENOTDIR);
    CHECK_INT(open_descriptors(), ==, before);
    clear();
}

struct union_seen {
    unsigned count, wanted;
    uint64_t cookie;
    bool twice;
    bool names[600];
};

static bool see_number(void *arg, const struct libos_dirent *entry)
{
    struct union_seen *seen = arg;
    if (seen->wanted == 0) {
        return false;
    }
    seen->wanted--;
    seen->cookie = entry->next;
    if (entry->name[0] == 'n') {
        unsigned number = (unsigned)strtoul(entry->name + 1, NULL, 10);
        seen->twice |= seen->names[number];
        seen->names[number] = true;
        seen->count++;
    }
    return true;
}

/* As a function has it: two folders of the host below, its own files above. */
TEST(folders_under_an_overlay_stay_as_they_are)
{
    struct libos_file *lowers[2], *root, *dir;
    struct wm_diag diag = WM_DIAG_INIT;
    char name[32];
    lowers[0] = new_tree(PORT_READ_ONLY);
    REQUIRE(lowers[0]);
    mkdir(at("common"), 0700);
    mkdir(at("common/d"), 0700);
    host_write("common/d/h", "h");
    host_write("common/d/g", "hidden");
    if (symlink("../../secret", at("common/d/out")) || symlink("/etc", at("common/etc"))) {
        perror("symlink");
    }
    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "%s/d/n%d", i % 2 ? "common" : "inside", i);
        host_write(name, "x");
    }
    REQUIRE(port_hostfs_open(&os, at("common"), PORT_READ_ONLY, &lowers[1], &diag) == 0);
    struct libos_overlay_config config = {.lowers = lowers, .lower_count = 2};
    REQUIRE(libos_overlay_new(&os, &config, &root) == 0);
    libos_file_put(lowers[0]);
    libos_file_put(lowers[1]);
    for (int round = 0; round < 2; round++) {
        CHECK_STR(content(root, "d/g"), "g");
        CHECK_STR(content(root, "d/h"), "h");
        CHECK_INT(make(root, "../secret", "x"), ==, -LIBOS_EESCAPE);
        CHECK_STR(content(root, "d/out"), "-600");
        CHECK_STR(content(root, "etc/passwd"), "-600");
        CHECK_INT(make(root, "d/h", "mine"), ==, 0);
        CHECK_INT(make(root, "new", "new"), ==, 0);
        CHECK_INT(libos_remove(root, "f", false), ==, 0);
        CHECK_INT(libos_rename(root, "d", root, "e"), ==, 0);
        CHECK_STR(content(root, "e/h"), "mine");
        CHECK_STR(content(root, "e/n7"), "x");
        /* In pieces, while what was seen and what was not is written to. */
        struct union_seen seen = {0};
        REQUIRE(libos_open(root, "e", LIBOS_READ | LIBOS_DIRECTORY, &dir) == 0);
        do {
            seen.wanted = 7;
            CHECK_INT(libos_readdir(dir, seen.cookie, see_number, &seen), ==, 0);
            snprintf(name, sizeof name, "n%u", seen.count * 5 % 600);
            CHECK_INT(make(dir, name, "longer"), ==, 0);
        } while (seen.wanted == 0);
        CHECK_INT(seen.count, ==, 600);
        CHECK(!seen.twice);
        libos_file_put(dir);
        libos_overlay_reset(root);
    }
    CHECK_STR(host_read("inside/f"), "f");
    CHECK_STR(host_read("common/d/h"), "h");
    CHECK_STR(host_read("secret"), "secret");
    CHECK_STR(host_read("inside/new"), "-");
    libos_file_put(root);
    clear();
}

TEST_MAIN(TEST_CASE(folders_under_an_overlay_stay_as_they_are), TEST_CASE(files_work),
          TEST_CASE(tree_changes_work), TEST_CASE(nothing_leads_out),
          TEST_CASE(symlinks_do_not_lead_out), TEST_CASE(proc_magic_links_do_not_lead_out),
          TEST_CASE(proc_is_closed), TEST_CASE(rename_races_do_not_lead_out),
          TEST_CASE(fifos_never_wait), TEST_CASE(devices_are_chosen),
          TEST_CASE(read_only_changes_nothing), TEST_CASE(readdir_in_pieces),
          TEST_CASE(names_are_bounded), TEST_CASE(without_openat2_there_is_no_directory),
          TEST_CASE(every_io_call_may_fail), TEST_CASE(every_allocation_may_fail),
          TEST_CASE(opening_may_fail))
