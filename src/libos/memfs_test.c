/* The memory file system, and with it path resolution, whose rules it shares with host directories.
 */
#include "libos/memfs.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/test.h"
#include "libos/test_os.h"

static struct test_os test;

static struct libos_file *new_root(uint64_t bytes, uint64_t nodes)
{
    struct libos_file *root = NULL;
    struct libos_memfs_limits limits = {bytes, nodes};
    struct libos *os = test_os_init(&test);
    return libos_memfs_new(os, &limits, &root) == 0 ? root : NULL;
}

static int64_t put(struct libos_file *file, const char *text)
{
    struct libos_iov iov = {(void *)text, strlen(text)};
    return libos_file_write(file, &iov, 1);
}

/* Creates or replaces a file. */
static int make(struct libos_file *dir, const char *path, const char *text)
{
    struct libos_file *file;
    int rc = libos_open(dir, path, LIBOS_WRITE | LIBOS_CREATE | LIBOS_TRUNCATE, &file);
    if (rc != 0) {
        return rc;
    }
    int64_t done = put(file, text);
    libos_file_put(file);
    return done == (int64_t)strlen(text) ? 0 : (int)done;
}

/* The content of a small file, or the error as "-N". Static buffer. */
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

TEST(write_read_seek)
{
    struct libos_file *root = new_root(0, 0);
    struct libos_file *file;
    char text[64] = "";
    REQUIRE(root);
    REQUIRE(libos_open(root, "a", LIBOS_READ | LIBOS_WRITE | LIBOS_CREATE, &file) == 0);
    struct libos_iov out[3] = {{"hel", 3}, {NULL, 0}, {"lo", 2}};
    CHECK_INT(libos_file_write(file, out, 3), ==, 5);
    CHECK_INT(libos_file_seek(file, 0, LIBOS_SEEK_CUR), ==, 5);
    CHECK_INT(libos_file_seek(file, -4, LIBOS_SEEK_END), ==, 1);
    struct libos_iov in[2] = {{text, 2}, {text + 2, 60}};
    CHECK_INT(libos_file_read(file, in, 2), ==, 4);
    CHECK_STR(text, "ello");
    CHECK_INT(libos_file_read(file, in, 2), ==, 0);
    CHECK_INT(libos_file_seek(file, -6, LIBOS_SEEK_END), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_file_seek(file, INT64_MAX, LIBOS_SEEK_END), ==, -LIBOS_EOVERFLOW);
    CHECK_INT(libos_file_seek(file, 0, 3), ==, -LIBOS_EINVAL);
    memset(text, 0, sizeof text);
    CHECK_INT(libos_file_pread(file, in, 1, 3), ==, 2);
    CHECK_STR(text, "lo");
    CHECK_INT(libos_file_pread(file, in, 1, UINT64_C(1) << 40), ==, 0);
    CHECK_INT(libos_file_pread(file, in, 1, UINT64_MAX), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_file_seek(file, 0, LIBOS_SEEK_CUR), ==, 5);
    libos_file_put(file);
    /* The access mode holds. */
    REQUIRE(libos_open(root, "a", LIBOS_READ, &file) == 0);
    CHECK_INT(put(file, "x"), ==, -LIBOS_EBADF);
    CHECK_INT(libos_file_truncate(file, 0), ==, -LIBOS_EINVAL);
    libos_file_put(file);
    REQUIRE(libos_open(root, "a", LIBOS_WRITE | LIBOS_APPEND, &file) == 0);
    CHECK_INT(put(file, "!"), ==, 1);
    CHECK_INT(libos_file_read(file, in, 1), ==, -LIBOS_EBADF);
    libos_file_put(file);
    CHECK_STR(content(root, "a"), "hello!");
    libos_file_put(root);
}

TEST(holes_and_cuts_read_as_zero)
{
    struct libos_file *root = new_root(0, 0);
    struct libos_file *file;
    static uint8_t block[3 * LIBOS_MEMFS_CHUNK_BYTES];
    struct libos_iov iov = {block, sizeof block};
    struct libos_memfs_limits before, used;
    REQUIRE(root);
    REQUIRE(libos_open(root, "f", LIBOS_READ | LIBOS_WRITE | LIBOS_CREATE, &file) == 0);
    memset(block, 'x', sizeof block);
    CHECK_INT(libos_file_write(file, &iov, 1), ==, (long long)sizeof block);
    /* What is cut off does not come back. */
    CHECK_INT(libos_file_truncate(file, 5000), ==, 0);
    CHECK_INT(libos_file_truncate(file, sizeof block), ==, 0);
    CHECK_INT(libos_file_pread(file, &iov, 1, 0), ==, (long long)sizeof block);
    bool kept = true, zero = true;
    for (size_t i = 0; i < sizeof block; i++) {
        kept &= i >= 5000 || block[i] == 'x';
        zero &= i < 5000 || block[i] == 0;
    }
    CHECK(kept && zero);
    CHECK_INT(libos_file_truncate(file, 0), ==, 0);
    libos_memfs_usage(root, &before);
    /* A hole of 32 MiB takes one chunk and its table. */
    struct libos_iov one = {"z", 1};
    CHECK_INT(libos_file_pwrite(file, &one, 1, 32u << 20), ==, 1);
    libos_memfs_usage(root, &used);
    CHECK_INT(used.bytes - before.bytes, <, 200000);
    iov.len = 16;
    CHECK_INT(libos_file_pread(file, &iov, 1, (32u << 20) - 8), ==, 9);
    CHECK(memcmp(block, "\0\0\0\0\0\0\0\0z", 9) == 0);
    libos_file_put(file);
    libos_file_put(root);
}

TEST(byte_limit_holds)
{
    struct libos_file *root = new_root(64 << 10, 0);
    struct libos_file *file;
    static uint8_t block[128 << 10];
    struct libos_iov iov = {block, sizeof block};
    struct libos_memfs_limits used;
    REQUIRE(root);
    REQUIRE(libos_open(root, "f", LIBOS_READ | LIBOS_WRITE | LIBOS_CREATE, &file) == 0);
    int64_t done = libos_file_write(file, &iov, 1); /* as much as there is room for */
    CHECK_INT(done, >, 40 << 10);
    CHECK_INT(done, <, 64 << 10);
    CHECK_INT(libos_file_write(file, &iov, 1), ==, -LIBOS_ENOSPC);
    CHECK_INT(libos_file_pwrite(file, &iov, 1, 1 << 20), ==, -LIBOS_EFBIG);
    CHECK_INT(libos_file_truncate(file, 65537), ==, -LIBOS_EFBIG);
    CHECK_INT(libos_file_truncate(file, 65536), ==, 0); /* a hole costs nothing */
    CHECK_INT(libos_file_allocate(file, 0, 65536), ==, -LIBOS_ENOSPC);
    CHECK_INT(libos_file_allocate(file, UINT64_MAX, 2), ==, -LIBOS_EFBIG);
    CHECK_INT(libos_file_allocate(file, 0, 0), ==, -LIBOS_EINVAL);
    libos_memfs_usage(root, &used);
    CHECK_INT(used.bytes, <=, 64 << 10);
    libos_file_put(file);
    CHECK_INT(libos_remove(root, "f", false), ==, 0);
    CHECK_INT(make(root, "g", "room again"), ==, 0);
    libos_file_put(root);
}

TEST(node_limit_holds)
{
    struct libos_file *root = new_root(0, 4); /* the root is one */
    REQUIRE(root);
    CHECK_INT(make(root, "a", ""), ==, 0);
    CHECK_INT(libos_mkdir(root, "b"), ==, 0);
    CHECK_INT(libos_symlink(root, "a", "c"), ==, 0);
    CHECK_INT(make(root, "d", ""), ==, -LIBOS_ENOSPC);
    CHECK_INT(libos_mkdir(root, "d"), ==, -LIBOS_ENOSPC);
    CHECK_INT(libos_link(root, "a", root, "d"), ==, 0); /* a name is not a node */
    CHECK_INT(libos_remove(root, "c", false), ==, 0);
    CHECK_INT(make(root, "e", ""), ==, 0);
    libos_file_put(root);
}

TEST(paths_stay_beneath)
{
    struct libos_file *root = new_root(0, 0);
    struct libos_file *dir;
    REQUIRE(root);
    REQUIRE(libos_mkdir(root, "d") == 0 && libos_mkdir(root, "d/e") == 0);
    REQUIRE(make(root, "secret", "s") == 0 && make(root, "d/f", "f") == 0);
    REQUIRE(libos_open(root, "d", LIBOS_READ | LIBOS_DIRECTORY, &dir) == 0);
    CHECK_STR(content(dir, "f"), "f");
    CHECK_STR(content(dir, "./e/../f"), "f");
    CHECK_STR(content(dir, "e/.././/f"), "f");
    static const char *const escapes[] = {"..",       "../secret", "e/../../secret", "/secret",
                                          "./../d/f", "/",         "e/../..",        "//d/f"};
    for (size_t i = 0; i < WM_COUNT_OF(escapes); i++) {
        CHECK_INT(open_rc(dir, escapes[i], LIBOS_READ), ==, -LIBOS_EESCAPE);
        CHECK_INT(stat_rc(dir, escapes[i], true, LIBOS_KIND_FILE), ==, -LIBOS_EESCAPE);
        CHECK_INT(libos_remove(dir, escapes[i], false), ==, -LIBOS_EESCAPE);
        CHECK_INT(libos_rename(dir, escapes[i], dir, "x"), ==, -LIBOS_EESCAPE);
        CHECK_INT(libos_rename(dir, "f", dir, escapes[i]), ==, -LIBOS_EESCAPE);
        CHECK_INT(libos_link(dir, escapes[i], dir, "x"), ==, -LIBOS_EESCAPE);
        CHECK_INT(libos_mkdir(dir, escapes[i]), ==, -LIBOS_EESCAPE);
    }
    /* Symbolic links that lead out, at the end and in the middle. */
    static const char *const targets[] = {"../secret", "/secret", "e/../../secret", ".."};
    for (size_t i = 0; i < WM_COUNT_OF(targets); i++) {
        CHECK_INT(libos_symlink(dir, targets[i], "out"), ==, 0);
        CHECK_INT(open_rc(dir, "out", LIBOS_READ), ==, -LIBOS_EESCAPE);
        CHECK_INT(open_rc(dir, "out/x", LIBOS_WRITE | LIBOS_CREATE), ==, -LIBOS_EESCAPE);
        CHECK_INT(stat_rc(dir, "out", false, LIBOS_KIND_SYMLINK), ==, 0);
        CHECK_INT(libos_remove(dir, "out", false), ==, 0);
    }
    CHECK_STR(content(root, "secret"), "s");
    libos_file_put(dir);
    libos_file_put(root);
}

TEST(symlinks_resolve)
{
    struct libos_file *root = new_root(0, 0);
    char target[8];
    REQUIRE(root);
    REQUIRE(libos_mkdir(root, "a") == 0 && libos_mkdir(root, "a/b") == 0);
    REQUIRE(make(root, "a/b/f", "deep") == 0);
    CHECK_INT(libos_symlink(root, "a/b", "l"), ==, 0);
    CHECK_INT(libos_symlink(root, "../../l/f", "a/b/m"), ==, 0);
    CHECK_STR(content(root, "l/f"), "deep");
    CHECK_STR(content(root, "l/m"), "deep");
    CHECK_STR(content(root, "a/b/m"), "deep");
    CHECK_INT(open_rc(root, "l/m", LIBOS_READ | LIBOS_NOFOLLOW), ==, -LIBOS_ELOOP);
    CHECK_INT(stat_rc(root, "l/", false, LIBOS_KIND_DIR), ==, 0);
    CHECK_INT(stat_rc(root, "l/f/", false, LIBOS_KIND_DIR), ==, -LIBOS_ENOTDIR);
    CHECK_INT(libos_readlink(root, "l", target, sizeof target), ==, 3);
    CHECK(memcmp(target, "a/b", 3) == 0);
    CHECK_INT(libos_readlink(root, "l", target, 1), ==, 3);
    CHECK_INT(libos_readlink(root, "a", target, 1), ==, -LIBOS_EINVAL);
    /* Loops end. */
    CHECK_INT(libos_symlink(root, "y", "x"), ==, 0);
    CHECK_INT(libos_symlink(root, "x", "y"), ==, 0);
    CHECK_INT(open_rc(root, "x", LIBOS_READ), ==, -LIBOS_ELOOP);
    CHECK_INT(libos_symlink(root, "self/self", "self"), ==, 0);
    CHECK_INT(open_rc(root, "self", LIBOS_READ), ==, -LIBOS_ELOOP);
    /* A dangling link is made real by creating through it, but not exclusively. */
    CHECK_INT(libos_symlink(root, "a/new", "dangling"), ==, 0);
    CHECK_INT(open_rc(root, "dangling", LIBOS_READ), ==, -LIBOS_ENOENT);
    CHECK_INT(open_rc(root, "dangling", LIBOS_WRITE | LIBOS_CREATE | LIBOS_EXCLUSIVE), ==,
              -LIBOS_EEXIST);
    CHECK_INT(make(root, "dangling", "made"), ==, 0);
    CHECK_STR(content(root, "a/new"), "made");
    libos_file_put(root);
}

TEST(long_paths_are_bounded)
{
    struct libos_file *root = new_root(0, 0);
    char path[LIBOS_PATH_MAX + 8], name[LIBOS_NAME_MAX + 2];
    REQUIRE(root);
    memset(name, 'n', sizeof name);
    name[LIBOS_NAME_MAX + 1] = '\0';
    CHECK_INT(make(root, name, ""), ==, -LIBOS_ENAMETOOLONG);
    name[LIBOS_NAME_MAX] = '\0';
    CHECK_INT(make(root, name, ""), ==, 0);
    memset(path, '/', sizeof path);
    memcpy(path, ".", 1);
    path[LIBOS_PATH_MAX] = '\0';
    CHECK_INT(stat_rc(root, path, true, LIBOS_KIND_DIR), ==, -LIBOS_ENAMETOOLONG);
    path[LIBOS_PATH_MAX - 1] = '\0';
    CHECK_INT(stat_rc(root, path, true, LIBOS_KIND_DIR), ==, 0);
    /* A link whose target and the rest together are too long. */
    memset(path, 'a', 3000);
    path[3000] = '\0';
    for (size_t i = 200; i < 3000; i += 200) {
        path[i] = '/';
    }
    CHECK_INT(libos_symlink(root, path, "long"), ==, 0);
    char twice[2000] = "long/";
    memset(twice + 5, 'b', 1500);
    for (size_t i = 205; i < 1505; i += 200) {
        twice[i] = '/';
    }
    CHECK_INT(stat_rc(root, twice, true, LIBOS_KIND_DIR), ==, -LIBOS_ENAMETOOLONG);
    CHECK_INT(stat_rc(root, "", true, LIBOS_KIND_DIR), ==, -LIBOS_ENOENT);
    libos_file_put(root);
}

TEST(open_flags)
{
    struct libos_file *root = new_root(0, 0);
    REQUIRE(root);
    REQUIRE(libos_mkdir(root, "d") == 0 && make(root, "f", "1234") == 0);
    CHECK_INT(open_rc(root, "none", LIBOS_READ), ==, -LIBOS_ENOENT);
    CHECK_INT(open_rc(root, "none/x", LIBOS_WRITE | LIBOS_CREATE), ==, -LIBOS_ENOENT);
    CHECK_INT(open_rc(root, "f/x", LIBOS_WRITE | LIBOS_CREATE), ==, -LIBOS_ENOTDIR);
    CHECK_INT(open_rc(root, "f", LIBOS_READ | LIBOS_DIRECTORY), ==, -LIBOS_ENOTDIR);
    CHECK_INT(open_rc(root, "f/", LIBOS_READ), ==, -LIBOS_ENOTDIR);
    CHECK_INT(open_rc(root, "d", LIBOS_WRITE), ==, -LIBOS_EISDIR);
    CHECK_INT(open_rc(root, "d", LIBOS_READ), ==, 0);
    CHECK_INT(open_rc(root, "new/", LIBOS_WRITE | LIBOS_CREATE), ==, -LIBOS_EISDIR);
    CHECK_INT(open_rc(root, "f", LIBOS_WRITE | LIBOS_CREATE | LIBOS_EXCLUSIVE), ==, -LIBOS_EEXIST);
    CHECK_INT(open_rc(root, "x", LIBOS_READ | LIBOS_CREATE | LIBOS_DIRECTORY), ==, -LIBOS_EINVAL);
    CHECK_STR(content(root, "f"), "1234");
    CHECK_INT(open_rc(root, "f", LIBOS_WRITE | LIBOS_TRUNCATE), ==, 0);
    CHECK_STR(content(root, "f"), "");
    libos_file_put(root);
}

TEST(remove_rules)
{
    struct libos_file *root = new_root(0, 0);
    struct libos_file *open, *dir;
    char text[8] = "";
    struct libos_iov iov = {text, 4};
    REQUIRE(root);
    REQUIRE(libos_mkdir(root, "d") == 0 && make(root, "d/f", "kept") == 0);
    CHECK_INT(libos_remove(root, "d", false), ==, -LIBOS_EISDIR);
    CHECK_INT(libos_remove(root, "d", true), ==, -LIBOS_ENOTEMPTY);
    CHECK_INT(libos_remove(root, "d/f", true), ==, -LIBOS_ENOTDIR);
    CHECK_INT(libos_remove(root, "d/.", true), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_remove(root, "d/..", true), ==, -LIBOS_ENOTEMPTY);
    CHECK_INT(libos_remove(root, ".", true), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_remove(root, "none", false), ==, -LIBOS_ENOENT);
    /* An open file outlives its name. */
    REQUIRE(libos_open(root, "d/f", LIBOS_READ, &open) == 0);
    CHECK_INT(libos_remove(root, "d/f", false), ==, 0);
    CHECK_INT(libos_file_read(open, &iov, 1), ==, 4);
    CHECK_STR(text, "kept");
    struct libos_stat stat;
    CHECK_INT(libos_file_stat(open, &stat), ==, 0);
    CHECK_INT(stat.links, ==, 0);
    libos_file_put(open);
    /* So does an open directory, but nothing new goes in. */
    REQUIRE(libos_open(root, "d", LIBOS_READ, &dir) == 0);
    CHECK_INT(libos_remove(root, "d/", true), ==, 0);
    CHECK_INT(make(dir, "x", ""), ==, -LIBOS_ENOENT);
    CHECK_INT(libos_mkdir(dir, "x"), ==, -LIBOS_ENOENT);
    CHECK_INT(stat_rc(dir, ".", true, LIBOS_KIND_DIR), ==, 0);
    libos_file_put(dir);
    libos_file_put(root);
}

TEST(rename_rules)
{
    struct libos_file *root = new_root(0, 0);
    REQUIRE(root);
    REQUIRE(libos_mkdir(root, "a") == 0 && libos_mkdir(root, "a/b") == 0 &&
            libos_mkdir(root, "c") == 0);
    REQUIRE(make(root, "f", "f") == 0 && make(root, "g", "g") == 0);
    CHECK_INT(libos_rename(root, "a", root, "a/b/x"), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_rename(root, "a", root, "a/x"), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_rename(root, "c", root, "a"), ==, -LIBOS_ENOTEMPTY);
    CHECK_INT(libos_rename(root, "a", root, "f"), ==, -LIBOS_ENOTDIR);
    CHECK_INT(libos_rename(root, "f", root, "a"), ==, -LIBOS_EISDIR);
    CHECK_INT(libos_rename(root, "f", root, "h/"), ==, -LIBOS_ENOTDIR);
    CHECK_INT(libos_rename(root, "a/.", root, "h"), ==, -LIBOS_EBUSY);
    CHECK_INT(libos_rename(root, "none", root, "h"), ==, -LIBOS_ENOENT);
    CHECK_INT(libos_rename(root, "f", root, "none/h"), ==, -LIBOS_ENOENT);
    CHECK_INT(libos_rename(root, "f", root, "f"), ==, 0);
    CHECK_INT(libos_rename(root, "f", root, "g"), ==, 0);
    CHECK_STR(content(root, "g"), "f");
    CHECK_INT(open_rc(root, "f", LIBOS_READ), ==, -LIBOS_ENOENT);
    CHECK_INT(libos_rename(root, "g", root, "a/b/g"), ==, 0);
    CHECK_INT(libos_rename(root, "a/b", root, "c/"), ==, 0); /* over an empty directory */
    CHECK_STR(content(root, "c/g"), "f");
    CHECK_INT(stat_rc(root, "c/../a", true, LIBOS_KIND_DIR), ==, 0); /* .. follows the move */
    CHECK_INT(libos_link(root, "c/g", root, "two"), ==, 0);
    CHECK_INT(libos_rename(root, "two", root, "c/g"), ==, 0); /* names of one file: both stay */
    CHECK_STR(content(root, "two"), "f");
    /* Another file system is another device. */
    struct libos_file *other;
    REQUIRE(libos_memfs_new(&test.os, NULL, &other) == 0);
    CHECK_INT(libos_rename(root, "two", other, "two"), ==, -LIBOS_EXDEV);
    CHECK_INT(libos_link(root, "two", other, "two"), ==, -LIBOS_EXDEV);
    struct libos_stat here, there;
    CHECK(libos_file_stat(root, &here) == 0 && libos_file_stat(other, &there) == 0 &&
          here.dev != there.dev);
    libos_file_put(other);
    libos_file_put(root);
}

TEST(links_and_times)
{
    struct libos_file *root = new_root(0, 0);
    struct libos_stat stat;
    REQUIRE(root);
    REQUIRE(make(root, "f", "text") == 0 && libos_mkdir(root, "d") == 0);
    CHECK_INT(libos_link(root, "f", root, "d/g"), ==, 0);
    CHECK_INT(libos_link(root, "f", root, "d/g"), ==, -LIBOS_EEXIST);
    CHECK_INT(libos_link(root, "d", root, "e"), ==, -LIBOS_EPERM);
    REQUIRE(libos_stat(root, "d/g", true, &stat) == 0);
    CHECK_INT(stat.links, ==, 2);
    CHECK_INT(stat.bytes, ==, 4);
    CHECK_INT(stat.mtime_ns, ==, TEST_REALTIME_NS);
    test.sim.realtime_ns += 1000;
    REQUIRE(make(root, "f", "longer") == 0);
    CHECK_STR(content(root, "d/g"), "longer");
    REQUIRE(libos_stat(root, "f", true, &stat) == 0);
    CHECK_INT(stat.mtime_ns, ==, TEST_REALTIME_NS + 1000);
    struct libos_times times = {.atime_ns = 7, .mtime_ns = LIBOS_TIME_OMIT};
    CHECK_INT(libos_set_times(root, "f", true, &times), ==, 0);
    times = (struct libos_times){LIBOS_TIME_OMIT, LIBOS_TIME_NOW};
    test.sim.realtime_ns += 1000;
    CHECK_INT(libos_set_times(root, "f", true, &times), ==, 0);
    REQUIRE(libos_stat(root, "f", true, &stat) == 0);
    CHECK_INT(stat.atime_ns, ==, 7);
    CHECK_INT(stat.mtime_ns, ==, TEST_REALTIME_NS + 2000);
    CHECK_INT(libos_remove(root, "f", false), ==, 0);
    CHECK_STR(content(root, "d/g"), "longer");
    libos_file_put(root);
}

struct seen {
    char names[4096]; /* "a/b/c/" */
    uint64_t last;
    unsigned count, stop_after;
};

static bool see(void *arg, const struct libos_dirent *entry)
{
    struct seen *seen = arg;
    strncat(seen->names, entry->name, entry->name_len);
    strcat(seen->names, "/");
    seen->last = entry->next;
    return ++seen->count != seen->stop_after;
}

TEST(readdir_survives_changes)
{
    struct libos_file *root = new_root(0, 0);
    char name[16];
    REQUIRE(root);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "%d", i);
        REQUIRE(make(root, name, "") == 0);
    }
    struct seen seen = {.stop_after = 5};
    CHECK_INT(libos_readdir(root, 0, see, &seen), ==, 0);
    CHECK_STR(seen.names, "./../0/1/2/");
    /* Remove one already seen, one not seen, add new ones: those that stay are seen once. */
    CHECK_INT(libos_remove(root, "1", false), ==, 0);
    CHECK_INT(libos_remove(root, "4", false), ==, 0);
    CHECK_INT(libos_remove(root, "2", false), ==, 0); /* the cookie's own entry */
    for (int i = 100; i < 200; i++) {
        snprintf(name, sizeof name, "%d", i);
        REQUIRE(make(root, name, "") == 0);
        if (i < 190) {
            REQUIRE(libos_remove(root, name, false) == 0); /* forces a compaction */
        }
    }
    struct seen rest = {.stop_after = 0};
    CHECK_INT(libos_readdir(root, seen.last, see, &rest), ==, 0);
    CHECK_STR(rest.names, "3/5/6/7/190/191/192/193/194/195/196/197/198/199/");
    struct seen none = {.stop_after = 0};
    CHECK_INT(libos_readdir(root, rest.last, see, &none), ==, 0);
    CHECK_INT(libos_readdir(root, UINT64_MAX, see, &none), ==, 0);
    CHECK_INT(none.count, ==, 0);
    libos_file_put(root);
}

TEST(many_names_and_depth)
{
    struct libos_file *root = new_root(UINT64_C(1) << 30, 300000);
    struct libos_file *dir, *next;
    char name[16];
    REQUIRE(root);
    unsigned wrong = 0;
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        wrong += libos_mkdir(root, name) != 0;
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        wrong += stat_rc(root, name, false, LIBOS_KIND_DIR) != 0;
        if (i % 2) {
            wrong += libos_remove(root, name, true) != 0;
            wrong += stat_rc(root, name, false, LIBOS_KIND_DIR) != -LIBOS_ENOENT;
        }
    }
    CHECK_INT(wrong, ==, 0);
    /* A hundred thousand levels: freeing them takes no stack. */
    dir = libos_file_get(root);
    for (int i = 0; i < 100000; i++) {
        wrong += libos_mkdir(dir, "d") != 0;
        wrong += libos_open(dir, "d", LIBOS_READ, &next) != 0;
        libos_file_put(dir);
        dir = next;
    }
    CHECK_INT(wrong, ==, 0);
    libos_file_put(root);
    libos_file_put(dir);
}

TEST(sealed_changes_nothing)
{
    struct libos_file *root = new_root(0, 0);
    struct libos_file *file;
    struct libos_times times = {1, 1};
    REQUIRE(root);
    REQUIRE(make(root, "f", "text") == 0 && libos_mkdir(root, "d") == 0);
    REQUIRE(libos_open(root, "f", LIBOS_READ | LIBOS_WRITE, &file) == 0);
    libos_memfs_seal(root);
    CHECK_INT(put(file, "x"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_file_truncate(file, 0), ==, -LIBOS_EROFS);
    CHECK_INT(libos_file_allocate(file, 0, 10), ==, -LIBOS_EROFS);
    CHECK_INT(libos_file_set_times(file, &times), ==, -LIBOS_EROFS);
    CHECK_INT(open_rc(root, "f", LIBOS_WRITE), ==, -LIBOS_EROFS);
    CHECK_INT(open_rc(root, "f", LIBOS_READ | LIBOS_TRUNCATE), ==, -LIBOS_EROFS);
    CHECK_INT(open_rc(root, "n", LIBOS_READ | LIBOS_CREATE), ==, -LIBOS_EROFS);
    CHECK_INT(open_rc(root, "f", LIBOS_READ | LIBOS_CREATE), ==, 0);
    CHECK_INT(libos_mkdir(root, "n"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_symlink(root, "f", "n"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_link(root, "f", root, "n"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_rename(root, "f", root, "n"), ==, -LIBOS_EROFS);
    CHECK_INT(libos_remove(root, "f", false), ==, -LIBOS_EROFS);
    CHECK_INT(libos_remove(root, "d", true), ==, -LIBOS_EROFS);
    CHECK_INT(libos_set_times(root, "f", true, &times), ==, -LIBOS_EROFS);
    CHECK_STR(content(root, "f"), "text");
    libos_file_put(file);
    libos_file_put(root);
}

TEST(too_many_buffers_are_refused)
{
    struct libos_file *root = new_root(0, 0);
    struct libos_file *file;
    static struct libos_iov iov[LIBOS_IOV_MAX + 1];
    REQUIRE(root);
    REQUIRE(libos_open(root, "f", LIBOS_READ | LIBOS_WRITE | LIBOS_CREATE, &file) == 0);
    CHECK_INT(libos_file_write(file, iov, LIBOS_IOV_MAX + 1), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_file_write(file, iov, LIBOS_IOV_MAX), ==, 0);
    iov[0].len = iov[1].len = SIZE_MAX / 2 + 1; /* the sum overflows */
    CHECK_INT(libos_file_read(file, iov, 2), ==, -LIBOS_EINVAL);
    libos_file_put(file);
    libos_file_put(root);
}

/* Everything once, while the n-th allocation fails: no crash, no leak (the file system asserts that
 * its usage is zero at the end), and what failed has changed nothing that the limits count. */
TEST(every_allocation_may_fail)
{
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct libos_file *root = new_root(0, 0);
        struct libos_file *file;
        if (!root) {
            continue;
        }
        int failed = 0;
        failed += libos_mkdir(root, "d") != 0;
        failed += make(root, "d/f", "some text") != 0;
        failed += libos_symlink(root, "d/f", "l") != 0;
        failed += libos_link(root, "d/f", root, "two") != 0;
        failed += libos_rename(root, "two", root, "d/three") != 0;
        for (int i = 0; i < 6; i++) {
            char name[2] = {(char)('p' + i), 0};
            failed += libos_mkdir(root, name) != 0;
        }
        if (libos_open(root, "d/f", LIBOS_READ | LIBOS_WRITE, &file) == 0) {
            failed += libos_file_allocate(file, 0, 40000) != 0;
            failed += libos_file_truncate(file, 100000) != 0;
            libos_file_put(file);
        }
        if (wm_fault_fired(WM_FAULT_ALLOC)) {
            /* It still works. */
            CHECK_INT(make(root, "after", "ok"), ==, 0);
            CHECK_STR(content(root, "after"), "ok");
        } else {
            CHECK_INT(failed, ==, 0);
        }
        libos_file_put(root);
        rounds++;
    }
    CHECK_INT(rounds, >, 20);
}

TEST_MAIN(TEST_CASE(write_read_seek), TEST_CASE(holes_and_cuts_read_as_zero),
          TEST_CASE(byte_limit_holds), TEST_CASE(node_limit_holds), TEST_CASE(paths_stay_beneath),
          TEST_CASE(symlinks_resolve), TEST_CASE(long_paths_are_bounded), TEST_CASE(open_flags),
          TEST_CASE(remove_rules), TEST_CASE(rename_rules), TEST_CASE(links_and_times),
          TEST_CASE(readdir_survives_changes), TEST_CASE(many_names_and_depth),
          TEST_CASE(sealed_changes_nothing), TEST_CASE(too_many_buffers_are_refused),
          TEST_CASE(every_allocation_may_fail))
