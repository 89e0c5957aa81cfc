/* Promise: below --dir, nothing leads out of the folder: no "..", no absolute path, no symbolic
 * link (found there or made here), no magic link of /proc, no hard link, no rename.
 *
 *     escape            tries the whole list on the first folder given; prints each success
 *     escape race N     opens a/file N times while somebody outside swaps a with a link to
 * elsewhere
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#define DIR 3 /* the first preopened folder */
#define ALL UINT64_MAX

__attribute__((import_module("wasi_snapshot_preview1"), import_name("path_open"))) extern int32_t
raw_path_open(int32_t fd, int32_t dirflags, const char *path, int32_t len, int32_t oflags,
              int64_t base, int64_t inheriting, int32_t fdflags, __wasi_fd_t *out);

static unsigned escaped, tried;

static int open_len(const char *path, size_t len, int follow, int oflags, __wasi_fd_t *out)
{
    __wasi_fdstat_t stat;
    if (__wasi_fd_fdstat_get(DIR, &stat) != 0) {
        exit(3);
    }
    return raw_path_open(DIR, follow, path, (int32_t)len, oflags,
                         (int64_t)stat.fs_rights_inheriting, (int64_t)stat.fs_rights_inheriting, 0,
                         out);
}

static void got(const char *what, const char *path)
{
    printf("escaped: %s %s\n", what, path);
    escaped++;
}

/* The secret outside starts with this word; reading it is an escape, whatever the path was. */
static int holds_secret(__wasi_fd_t fd)
{
    uint8_t bytes[16] = {0};
    __wasi_iovec_t iov = {bytes, sizeof bytes - 1};
    __wasi_size_t n = 0;
    return __wasi_fd_read(fd, &iov, 1, &n) == 0 && strncmp((char *)bytes, "SECRET", 6) == 0;
}

static void try_open(const char *path)
{
    for (int oflags = 0; oflags < 4; oflags++) { /* creat, directory */
        for (int follow = 0; follow < 2; follow++) {
            __wasi_fd_t fd;
            tried++;
            if (open_len(path, strlen(path), follow, oflags, &fd) == 0) {
                got("open", path);
                (void)!__wasi_fd_close(fd);
            }
        }
    }
    __wasi_filestat_t stat;
    tried++;
    if (__wasi_path_filestat_get(DIR, 1, path, &stat) == 0) {
        got("stat", path);
    }
}

static void try_change(const char *path)
{
    struct {
        const char *what;
        int error;
    } calls[] = {
        {"mkdir", __wasi_path_create_directory(DIR, path)},
        {"unlink", __wasi_path_unlink_file(DIR, path)},
        {"rmdir", __wasi_path_remove_directory(DIR, path)},
        {"rename to", __wasi_path_rename(DIR, "inside", DIR, path)},
        {"rename from", __wasi_path_rename(DIR, path, DIR, "stolen")},
        {"link to", __wasi_path_link(DIR, 0, "inside", DIR, path)},
        {"link from", __wasi_path_link(DIR, 1, path, DIR, "stolen")},
        {"symlink at", __wasi_path_symlink("inside", DIR, path)},
        {"utimes", __wasi_path_filestat_set_times(DIR, 1, path, 0, 0, 10)},
    };
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        tried++;
        if (calls[i].error == 0) {
            got(calls[i].what, path);
        }
    }
}

/* Links that the guest makes itself may exist; following them out may not work. */
static void try_own_links(void)
{
    static const char *const targets[] = {"..",          "../secret",       "/",
                                          "/etc/passwd", "../../../../..",  "/proc/self/root",
                                          "../.",        "./../secret/file"};
    for (unsigned i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        char through[128];
        (void)__wasi_path_unlink_file(DIR, "own");
        if (__wasi_path_symlink(targets[i], DIR, "own") != 0) {
            continue; /* refusing to make it is as good */
        }
        static const char *const below[] = {"own/file", "own/secret/file", "own/etc/passwd",
                                            "own/../../secret/file"};
        for (unsigned j = 0; j < sizeof below / sizeof below[0]; j++) {
            __wasi_fd_t fd;
            tried++;
            if (open_len(below[j], strlen(below[j]), 1, 0, &fd) == 0) {
                snprintf(through, sizeof through, "%s -> %s", below[j], targets[i]);
                got("open", through);
            }
        }
        __wasi_fd_t fd;
        tried++;
        if (open_len("own", 3, 1, 0, &fd) == 0) {
            got("open own ->", targets[i]);
        }
    }
    (void)__wasi_path_unlink_file(DIR, "own");
}

static int race(unsigned count)
{
    unsigned inside = 0, refused = 0;
    for (unsigned i = 0; i < count; i++) {
        static const char *const paths[] = {"a/file", "a/x/../file", "./a/./file", "b/../a/file"};
        const char *path = paths[i % 4];
        __wasi_fd_t fd;
        if (open_len(path, strlen(path), 1, 0, &fd) != 0) {
            refused++;
            continue;
        }
        if (holds_secret(fd)) {
            got("race", path);
            return 1;
        }
        inside++;
        (void)!__wasi_fd_close(fd);
    }
    printf("contained: %u inside, %u refused\n", inside, refused);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "race") == 0) {
        return race((unsigned)atoi(argv[2]));
    }
    static const char *const outside[] = {"..",
                                          "../",
                                          "../secret",
                                          "../secret/file",
                                          "./../secret/file",
                                          "sub/../../secret/file",
                                          "sub/./.././../secret/file",
                                          "sub//..//..//secret/file",
                                          "/",
                                          "//",
                                          "/etc/passwd",
                                          "//etc/passwd",
                                          "/proc/self/root/etc/passwd",
                                          "link_parent/secret/file",
                                          "link_secret",
                                          "link_secret_dir/file",
                                          "link_abs",
                                          "link_root/etc/passwd",
                                          "link_proc_root/etc/passwd",
                                          "link_proc_cwd/file",
                                          "link_chain",
                                          "link_loop",
                                          "sub/link_up/../../secret/file"};
    for (unsigned i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        try_open(outside[i]);
        if (strncmp(outside[i], "link_", 5) != 0 || strchr(outside[i], '/')) {
            try_change(outside[i]);
        }
    }
    try_own_links();
    /* Names with a NUL inside, no name, and a very long one. */
    __wasi_fd_t fd;
    tried += 3;
    if (open_len("inside\0/../../secret/file", 25, 1, 0, &fd) == 0) {
        got("open", "with NUL");
    }
    if (open_len("", 0, 1, 0, &fd) == 0) {
        got("open", "of nothing");
    }
    static char longer[1 << 16];
    for (size_t i = 0; i + 3 < sizeof longer; i += 3) {
        memcpy(longer + i, "../", 3);
    }
    if (open_len(longer, sizeof longer - 1, 1, 0, &fd) == 0) {
        got("open", "of a long path");
    }
    /* What is inside works, or the list above proves nothing. */
    if (open_len("inside", 6, 1, 0, &fd) != 0) {
        puts("the file inside cannot be opened");
        return 4;
    }
    printf("%s: %u of %u\n", escaped ? "escaped" : "contained", escaped, tried);
    return escaped != 0;
}
