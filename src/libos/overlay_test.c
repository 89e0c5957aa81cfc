/* The union of directories: by rules, against a plain memory file system under random operations,
 * with failing allocations, and with what a hostile program would try. */
#include "libos/overlay.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "base/test.h"
#include "libos/test_os.h"

static struct test_os test;

/* The upper and the lower of two read-only folders; given to a union they are its own. */
static struct libos_file *low[2];

static int64_t put(struct libos_file *file, const char *text)
{
    struct libos_iov iov = {(void *)text, strlen(text)};
    return libos_file_write(file, &iov, 1);
}

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

static int append(struct libos_file *dir, const char *path, const char *text)
{
    struct libos_file *file;
    int rc = libos_open(dir, path, LIBOS_WRITE | LIBOS_APPEND, &file);
    if (rc != 0) {
        return rc;
    }
    int64_t done = put(file, text);
    libos_file_put(file);
    return done == (int64_t)strlen(text) ? 0 : (int)done;
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

static int stat_rc(struct libos_file *dir, const char *path)
{
    struct libos_stat stat;
    return libos_stat(dir, path, false, &stat);
}

struct names {
    char text[2048];
    uint64_t last;
    unsigned left;
};

static bool take_name(void *arg, const struct libos_dirent *entry)
{
    struct names *names = arg;
    if (names->left == 0) {
        return false;
    }
    names->left--;
    size_t len = strlen(names->text);
    snprintf(names->text + len, sizeof names->text - len, "%.*s%s ", (int)entry->name_len,
             entry->name, entry->kind == LIBOS_KIND_DIR ? "/" : "");
    names->last = entry->next;
    return true;
}

/* "./ ../ a b/ ", `step` entries at a time. */
static const char *listing(struct libos_file *root, const char *path, unsigned step)
{
    static struct names names;
    struct libos_file *dir;
    memset(&names, 0, sizeof names);
    int rc = libos_open(root, path, LIBOS_READ | LIBOS_DIRECTORY, &dir);
    if (rc != 0) {
        snprintf(names.text, sizeof names.text, "%d", rc);
        return names.text;
    }
    do {
        names.left = step;
        if (libos_readdir(dir, names.last, take_name, &names) != 0) {
            snprintf(names.text, sizeof names.text, "failed");
            break;
        }
    } while (names.left == 0);
    libos_file_put(dir);
    return names.text;
}

static struct libos_file *new_union(const struct libos_memfs_limits *upper, uint64_t whiteouts)
{
    struct libos_overlay_config config = {.lowers = low, .lower_count = 2, .whiteouts = whiteouts};
    struct libos_file *root = NULL;
    if (upper) {
        config.upper = *upper;
    }
    int rc = libos_overlay_new(&test.os, &config, &root);
    libos_file_put(low[0]);
    libos_file_put(low[1]);
    return rc == 0 ? root : NULL;
}

/* What all tests start from; false where memory failed. */
static bool fill(struct libos_file *tenant, struct libos_file *common)
{
    int failed = 0;
    failed |= make(tenant, "own", "tenant's");
    failed |= make(tenant, "both", "tenant's both");
    failed |= libos_mkdir(tenant, "dir") | make(tenant, "dir/t", "t") | make(tenant, "dir/x", "tx");
    failed |= libos_mkdir(tenant, "hides") | make(tenant, "as_file", "file over a directory");
    failed |= libos_symlink(tenant, "dir/c", "to_common");
    failed |= libos_symlink(tenant, "../../etc/passwd", "out");
    failed |= make(common, "both", "common both") | make(common, "common", "common's");
    failed |= libos_mkdir(common, "dir") | make(common, "dir/c", "c") | make(common, "dir/x", "cx");
    failed |= libos_mkdir(common, "dir/sub") | make(common, "dir/sub/deep", "deep");
    failed |= make(common, "hides", "hidden file") | libos_mkdir(common, "as_file");
    failed |= make(common, "as_file/unseen", "unseen") | libos_mkdir(common, "empty");
    failed |= libos_symlink(common, "../own", "dir/to_own");
    return failed == 0;
}

static struct libos_file *sample(const struct libos_memfs_limits *upper, uint64_t whiteouts)
{
    struct libos *os = test_os_init(&test);
    low[0] = low[1] = NULL;
    if (libos_memfs_new(os, NULL, &low[0]) != 0) {
        return NULL;
    }
    if (libos_memfs_new(os, NULL, &low[1]) != 0) {
        libos_file_put(low[0]);
        return NULL;
    }
    if (!fill(low[0], low[1])) {
        libos_file_put(low[0]);
        libos_file_put(low[1]);
        return NULL;
    }
    libos_memfs_seal(low[0]);
    libos_memfs_seal(low[1]);
    return new_union(upper, whiteouts);
}

TEST(the_uppermost_counts)
{
    struct libos_file *root = sample(NULL, 0);
    REQUIRE(root);
    CHECK_STR(content(root, "own"), "tenant's");
    CHECK_STR(content(root, "both"), "tenant's both");
    CHECK_STR(content(root, "common"), "common's");
    CHECK_STR(content(root, "dir/t"), "t");
    CHECK_STR(content(root, "dir/c"), "c");
    CHECK_STR(content(root, "dir/x"), "tx");
    CHECK_STR(content(root, "dir/sub/deep"), "deep");
    CHECK_STR(content(root, "as_file"), "file over a directory");
    CHECK_STR(content(root, "as_file/unseen"), "-20");
    CHECK_STR(listing(root, "hides", 9), "./ ../ ");
    CHECK_STR(listing(root, "dir", 99), "./ ../ t x c sub/ to_own ");
    for (unsigned step = 1; step < 9; step++) {
        CHECK_STR(listing(root, "dir", step), "./ ../ t x c sub/ to_own ");
    }
    CHECK(!libos_overlay_changed(root));
    libos_file_put(root);
}

TEST(links_resolve_in_the_union_and_never_lead_out)
{
    struct libos_file *root = sample(NULL, 0);
    struct libos_file *dir;
    REQUIRE(root);
    CHECK_STR(content(root, "to_common"), "c");
    CHECK_STR(content(root, "dir/to_own"), "tenant's");
    char target[32];
    CHECK_INT(libos_readlink(root, "dir/to_own", target, sizeof target), ==, 6);
    for (int changed = 0; changed < 2; changed++) {
        CHECK_INT(stat_rc(root, ".."), ==, -LIBOS_EESCAPE);
        CHECK_INT(stat_rc(root, "dir/../../x"), ==, -LIBOS_EESCAPE);
        CHECK_STR(content(root, "out"), "-600"); /* EESCAPE */
        CHECK_INT(stat_rc(root, "/own"), ==, -LIBOS_EESCAPE);
        REQUIRE(libos_open(root, "dir", LIBOS_READ | LIBOS_DIRECTORY, &dir) == 0);
        CHECK_STR(content(dir, "c"), "c");
        CHECK_INT(stat_rc(dir, "../own"), ==, -LIBOS_EESCAPE);
        CHECK_STR(content(dir, "to_own"), "-600");
        libos_file_put(dir);
        CHECK_INT(make(root, "dir/new", "n"), ==, 0);
    }
    CHECK_INT(libos_symlink(root, "/etc/passwd", "absolute"), ==, 0);
    CHECK_STR(content(root, "absolute"), "-600");
    CHECK_INT(libos_symlink(root, "loop", "loop"), ==, 0);
    CHECK_STR(content(root, "loop"), "-40");
    libos_file_put(root);
}

TEST(writing_copies_up)
{
    struct libos_file *root = sample(NULL, 0);
    struct libos_file *reader;
    struct libos_memfs_limits used;
    uint64_t whiteouts;
    struct libos_stat before, after;
    char text[16] = "";
    struct libos_iov iov = {text, sizeof text - 1};
    REQUIRE(root);
    REQUIRE(libos_open(root, "dir/sub/deep", LIBOS_READ, &reader) == 0);
    REQUIRE(libos_stat(root, "dir/sub/deep", true, &before) == 0);
    test.sim.realtime_ns += 1000000;
    CHECK_INT(append(root, "dir/sub/deep", "er"), ==, 0);
    CHECK_STR(content(root, "dir/sub/deep"), "deeper");
    CHECK_INT(libos_file_read(reader, &iov, 1), ==, 4);
    libos_file_put(reader);
    CHECK(libos_overlay_changed(root));
    libos_overlay_usage(root, &used, &whiteouts);
    CHECK_INT(used.nodes, ==, 4); /* the root, dir, sub, deep */
    CHECK_INT(whiteouts, ==, 0);
    /* Opened for writing and not written: the time of the last change stays. */
    REQUIRE(libos_stat(root, "dir/c", true, &before) == 0);
    CHECK_INT(append(root, "dir/c", ""), ==, 0);
    REQUIRE(libos_stat(root, "dir/c", true, &after) == 0);
    CHECK_INT(before.mtime_ns, ==, after.mtime_ns);
    CHECK_INT(make(root, "dir/x", "mine"), ==, 0);
    CHECK_STR(content(root, "dir/x"), "mine");
    const struct libos_times times = {5, 7};
    CHECK_INT(libos_set_times(root, "common", true, &times), ==, 0);
    REQUIRE(libos_stat(root, "common", true, &after) == 0);
    CHECK_INT(after.mtime_ns, ==, 7);
    CHECK_INT(after.bytes, ==, 8);
    CHECK_STR(listing(root, "dir", 3), "./ ../ t x c sub/ to_own ");
    libos_file_put(root);
}

TEST(removing_leaves_whiteouts)
{
    struct libos_file *root = sample(NULL, 0);
    struct libos_memfs_limits used;
    uint64_t whiteouts;
    REQUIRE(root);
    CHECK_INT(libos_remove(root, "both", false), ==, 0);
    CHECK_INT(stat_rc(root, "both"), ==, -LIBOS_ENOENT);
    CHECK_INT(libos_remove(root, "both", false), ==, -LIBOS_ENOENT);
    libos_overlay_usage(root, &used, &whiteouts);
    CHECK_INT(whiteouts, ==, 1);
    CHECK_INT(used.nodes, ==, 0); /* no upper file system was made */
    CHECK_INT(make(root, "both", "anew"), ==, 0);
    CHECK_STR(content(root, "both"), "anew");
    CHECK_INT(libos_remove(root, "both", false), ==, 0);
    CHECK_INT(stat_rc(root, "both"), ==, -LIBOS_ENOENT);
    CHECK_INT(libos_remove(root, "dir", true), ==, -LIBOS_ENOTEMPTY);
    CHECK_INT(libos_remove(root, "dir", false), ==, -LIBOS_EISDIR);
    CHECK_INT(libos_remove(root, "own", true), ==, -LIBOS_ENOTDIR);
    const char *const inside[] = {"dir/t", "dir/x", "dir/c", "dir/sub/deep", "dir/to_own"};
    for (size_t i = 0; i < WM_COUNT_OF(inside); i++) {
        CHECK_INT(libos_remove(root, inside[i], false), ==, 0);
    }
    CHECK_INT(libos_remove(root, "dir/sub", true), ==, 0);
    CHECK_STR(listing(root, "dir", 9), "./ ../ ");
    CHECK_INT(libos_remove(root, "dir", true), ==, 0);
    CHECK_INT(stat_rc(root, "dir"), ==, -LIBOS_ENOENT);
    /* Opaque. */
    CHECK_INT(libos_mkdir(root, "dir"), ==, 0);
    CHECK_STR(listing(root, "dir", 9), "./ ../ ");
    CHECK_INT(make(root, "dir/c", "new"), ==, 0);
    CHECK_STR(listing(root, "dir", 9), "./ ../ c ");
    CHECK_INT(libos_remove(root, "as_file", false), ==, 0);
    CHECK_INT(stat_rc(root, "as_file/unseen"), ==, -LIBOS_ENOENT);
    CHECK_STR(listing(root, ".", 2), "./ ../ own hides/ to_common out common empty/ dir/ ");
    libos_overlay_reset(root);
    CHECK_STR(content(root, "both"), "tenant's both");
    CHECK_STR(listing(root, "dir", 99), "./ ../ t x c sub/ to_own ");
    libos_overlay_usage(root, &used, &whiteouts);
    CHECK(whiteouts == 0 && used.bytes == 0 && !libos_overlay_changed(root));
    libos_file_put(root);
}

TEST(renames)
{
    struct libos_file *root = sample(NULL, 0);
    REQUIRE(root);
    CHECK_INT(libos_rename(root, "common", root, "dir/moved"), ==, 0);
    CHECK_STR(content(root, "dir/moved"), "common's");
    CHECK_INT(stat_rc(root, "common"), ==, -LIBOS_ENOENT);
    CHECK_INT(libos_rename(root, "own", root, "both"), ==, 0);
    CHECK_STR(content(root, "both"), "tenant's");
    /* A directory moves with what lies below it, which is not copied. */
    CHECK_INT(libos_rename(root, "dir", root, "empty"), ==, 0);
    CHECK_STR(listing(root, "empty", 1), "./ ../ t x c sub/ to_own moved ");
    CHECK_STR(content(root, "empty/sub/deep"), "deep");
    CHECK_STR(content(root, "dir/c"), "-2");
    CHECK_INT(append(root, "empty/sub/deep", "!"), ==, 0);
    CHECK_STR(content(root, "empty/sub/deep"), "deep!");
    CHECK_INT(libos_rename(root, "empty", root, "empty/sub/in"), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_rename(root, "empty/sub", root, "hides"), ==, 0);
    CHECK_STR(listing(root, "hides", 9), "./ ../ deep ");
    CHECK_INT(libos_rename(root, "hides", root, "empty"), ==, -LIBOS_ENOTEMPTY);
    CHECK_INT(libos_mkdir(root, "dir"), ==, 0);
    CHECK_STR(listing(root, "dir", 9), "./ ../ ");
    CHECK_INT(libos_link(root, "empty/c", root, "dir/two"), ==, 0);
    CHECK_INT(append(root, "dir/two", "!"), ==, 0);
    CHECK_STR(content(root, "empty/c"), "c!");
    CHECK_INT(libos_rename(root, "empty/c", root, "dir/two"), ==, 0);
    CHECK_STR(content(root, "empty/c"), "c!"); /* both names stay */
    CHECK_INT(libos_link(root, "dir", root, "d2"), ==, -LIBOS_EPERM);
    libos_overlay_reset(root);
    CHECK_STR(listing(root, "dir", 9), "./ ../ t x c sub/ to_own ");
    CHECK_STR(content(root, "dir/c"), "c");
    libos_file_put(root);
}

TEST(open_directories_over_a_reset)
{
    struct libos_file *root = sample(NULL, 0);
    struct libos_file *sub, *fresh, *removed;
    struct libos_stat stat;
    REQUIRE(root);
    REQUIRE(libos_open(root, "dir/sub", LIBOS_READ | LIBOS_DIRECTORY, &sub) == 0);
    REQUIRE(libos_open(root, "empty", LIBOS_READ | LIBOS_DIRECTORY, &removed) == 0);
    CHECK_INT(libos_mkdir(root, "made"), ==, 0);
    REQUIRE(libos_open(root, "made", LIBOS_READ | LIBOS_DIRECTORY, &fresh) == 0);
    /* One call moves, empties and removes what another was given. */
    CHECK_INT(libos_rename(root, "dir/sub", root, "made/sub"), ==, 0);
    CHECK_INT(libos_remove(sub, "deep", false), ==, 0);
    CHECK_INT(make(sub, "mine", "m"), ==, 0);
    CHECK_STR(content(root, "made/sub/mine"), "m");
    CHECK_INT(libos_remove(root, "empty", true), ==, 0);
    CHECK_INT(make(removed, "f", "x"), ==, -LIBOS_ENOENT);
    CHECK_STR(listing(removed, ".", 9), "");
    struct libos_file *file;
    REQUIRE(libos_open(root, "own", LIBOS_READ | LIBOS_WRITE | LIBOS_APPEND, &file) == 0);
    CHECK_INT(libos_file_stat(removed, &stat), ==, 0);
    libos_overlay_reset(root);
    /* A file goes on, for whoever still has it. */
    CHECK_INT(put(file, "!"), ==, 1);
    CHECK_INT(libos_file_seek(file, 0, LIBOS_SEEK_END), ==, 9);
    CHECK_STR(content(root, "own"), "tenant's");
    libos_file_put(file);
    CHECK_STR(listing(sub, ".", 9), "./ ../ deep ");
    CHECK_STR(content(sub, "deep"), "deep");
    CHECK_INT(append(sub, "deep", "er"), ==, 0);
    CHECK_STR(content(root, "dir/sub/deep"), "deeper");
    CHECK_STR(listing(removed, ".", 9), "./ ../ ");
    CHECK_INT(make(removed, "f", "x"), ==, 0);
    CHECK_STR(content(root, "empty/f"), "x");
    CHECK_INT(make(fresh, "f", "x"), ==, -LIBOS_ENOENT);
    CHECK_STR(listing(fresh, ".", 9), "");
    libos_overlay_reset(fresh);
    libos_file_put(fresh);
    /* The root may go before what is below it. */
    libos_file_put(root);
    CHECK_STR(content(sub, "deep"), "deep");
    libos_file_put(removed);
    libos_file_put(sub);
}

TEST(quota_holds_and_leaves_things_as_they_were)
{
    struct libos_memfs_limits limits = {64 << 10, 0};
    struct libos *os = test_os_init(&test);
    struct libos_file *file;
    static char block[40000];
    struct libos_iov iov = {block, sizeof block};
    REQUIRE(libos_memfs_new(os, NULL, &low[0]) == 0);
    REQUIRE(libos_memfs_new(os, NULL, &low[1]) == 0);
    REQUIRE(libos_open(low[1], "big", LIBOS_WRITE | LIBOS_CREATE, &file) == 0);
    REQUIRE(libos_file_truncate(file, 32 << 20) == 0);
    libos_file_put(file);
    REQUIRE(libos_open(low[1], "half", LIBOS_WRITE | LIBOS_CREATE, &file) == 0);
    REQUIRE(libos_file_write(file, &iov, 1) == (int64_t)sizeof block);
    libos_file_put(file);
    REQUIRE(make(low[1], "a", "a") == 0 && make(low[1], "b", "b") == 0 &&
            make(low[1], "c", "c") == 0);
    struct libos_file *root = new_union(&limits, 2);
    struct libos_stat stat;
    REQUIRE(root);
    CHECK_INT(append(root, "big", "x"), ==, -LIBOS_ENOSPC);
    CHECK_INT(libos_rename(root, "big", root, "other"), ==, -LIBOS_ENOSPC);
    CHECK_INT(libos_link(root, "big", root, "other"), ==, -LIBOS_ENOSPC);
    const struct libos_times times = {1, 1};
    CHECK_INT(libos_set_times(root, "big", true, &times), ==, -LIBOS_ENOSPC);
    REQUIRE(libos_stat(root, "big", true, &stat) == 0);
    CHECK_INT(stat.bytes, ==, 32 << 20);
    CHECK_INT(append(root, "half", "x"), ==, 0);
    REQUIRE(libos_stat(root, "half", true, &stat) == 0);
    CHECK_INT(stat.bytes, ==, sizeof block + 1);
    CHECK_INT(make(root, "big", ""), ==, 0); /* cut to nothing it fits */
    CHECK_INT(libos_remove(root, "a", false), ==, 0);
    CHECK_INT(libos_remove(root, "b", false), ==, 0);
    CHECK_INT(libos_remove(root, "c", false), ==, -LIBOS_ENOSPC);
    CHECK_STR(content(root, "c"), "c");
    libos_overlay_reset(root);
    CHECK_INT(libos_remove(root, "c", false), ==, 0);
    CHECK_STR(content(root, "a"), "a");
    libos_file_put(root);
}

static bool take_and_change(void *arg, const struct libos_dirent *entry)
{
    struct names *names = arg;
    size_t len = strlen(names->text);
    snprintf(names->text + len, sizeof names->text - len, "%.*s ", (int)entry->name_len,
             entry->name);
    names->last = entry->next;
    return --names->left > 0;
}

TEST(what_stays_is_listed_once_whatever_changes)
{
    struct libos_file *root = sample(NULL, 0);
    struct libos_file *dir;
    struct names names = {.left = 3};
    REQUIRE(root);
    CHECK_INT(make(root, "dir/up", "u"), ==, 0);
    REQUIRE(libos_open(root, "dir", LIBOS_READ | LIBOS_DIRECTORY, &dir) == 0);
    CHECK_INT(libos_readdir(dir, 0, take_and_change, &names), ==, 0); /* . .. t */
    CHECK_INT(append(dir, "t", "!"), ==, 0);                          /* copied up: seen */
    CHECK_INT(append(dir, "x", "!"), ==, 0);                          /* not seen yet */
    CHECK_INT(libos_remove(dir, "c", false), ==, 0);
    names.left = 1;
    CHECK_INT(libos_readdir(dir, names.last, take_and_change, &names), ==, 0);
    CHECK_INT(append(dir, "sub/deep", "!"), ==, 0);
    names.left = 99;
    CHECK_INT(libos_readdir(dir, names.last, take_and_change, &names), ==, 0);
    CHECK_STR(names.text, ". .. t x sub to_own up ");
    /* Cookies of a hostile program. */
    const uint64_t odd[] = {UINT64_MAX, 3, UINT64_C(1) << 56, UINT64_C(9) << 56, INT64_MAX};
    for (size_t i = 0; i < WM_COUNT_OF(odd); i++) {
        names.left = 99;
        CHECK_INT(libos_readdir(dir, odd[i], take_and_change, &names), ==, 0);
    }
    libos_file_put(dir);
    libos_file_put(root);
}

TEST(a_reset_of_nothing_costs_nothing)
{
    struct libos_file *root = sample(NULL, 0);
    struct timespec from, to;
    REQUIRE(root);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 1000000; i++) {
        libos_overlay_reset(root);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    wm_test_note("%.1f ns",
                 ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
                     1e6);
    CHECK_STR(content(root, "own"), "tenant's");
    libos_file_put(root);
}

TEST(arguments_are_checked)
{
    struct libos *os = test_os_init(&test);
    struct libos_file *root, *file, *many[LIBOS_OVERLAY_LOWERS_MAX + 1];
    REQUIRE(libos_memfs_new(os, NULL, &root) == 0);
    REQUIRE(libos_open(root, "f", LIBOS_WRITE | LIBOS_CREATE, &file) == 0);
    for (size_t i = 0; i < WM_COUNT_OF(many); i++) {
        many[i] = root;
    }
    struct libos_file *out;
    struct libos_overlay_config config = {.lowers = many, .lower_count = 0};
    CHECK_INT(libos_overlay_new(os, &config, &out), ==, -LIBOS_EINVAL);
    config.lower_count = WM_COUNT_OF(many);
    CHECK_INT(libos_overlay_new(os, &config, &out), ==, -LIBOS_EINVAL);
    config.lower_count = 2;
    many[1] = file;
    CHECK_INT(libos_overlay_new(os, &config, &out), ==, -LIBOS_EINVAL);
    libos_file_put(file);
    libos_file_put(root);
}

/* Everything once, while the n-th allocation fails: no crash, no leak (memory file systems assert
 * that they are empty at the end), and after a reset all is as at first. */
TEST(every_allocation_may_fail)
{
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct libos_file *root = sample(NULL, 0);
        if (!root) {
            continue;
        }
        int failed = 0;
        struct libos_file *sub = NULL;
        failed += libos_open(root, "dir/sub", LIBOS_READ | LIBOS_DIRECTORY, &sub) != 0;
        failed += append(root, "dir/sub/deep", "er") != 0;
        failed += libos_remove(root, "dir/c", false) != 0;
        failed += libos_rename(root, "dir", root, "moved") != 0;
        failed += libos_rename(root, "moved/to_own", root, "l") != 0;
        failed += libos_mkdir(root, "dir") != 0;
        failed += libos_link(root, "common", root, "dir/two") != 0;
        failed += libos_remove(root, "empty", true) != 0;
        failed += strcmp(content(root, "dir/two"), "common's") != 0;
        failed += strcmp(listing(root, "moved", 1), "./ ../ t x sub/ ") != 0;
        if (wm_fault_fired(WM_FAULT_ALLOC)) {
            CHECK_INT(make(root, "after", "ok"), ==, 0);
            CHECK_STR(content(root, "after"), "ok");
        } else {
            CHECK_INT(failed, ==, 0);
        }
        libos_overlay_reset(root);
        if (wm_fault_fired(WM_FAULT_ALLOC)) {
            CHECK_STR(listing(root, "dir", 9), "./ ../ t x c sub/ to_own ");
        }
        libos_file_put(sub);
        libos_file_put(root);
        rounds++;
    }
    CHECK_INT(rounds, >, 40);
}

/* --- Against a plain memory file system --- */

static uint64_t random_state;

static unsigned pick(unsigned count)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(random_state >> 33) % count;
}

static const char *random_path(char out[64])
{
    static const char *const names[] = {"a", "b", "c", "d", "..", ".", "e"};
    size_t len = 0;
    unsigned parts = 1 + pick(3);
    for (unsigned i = 0; i < parts; i++) {
        len += (size_t)snprintf(out + len, 64 - len, "%s%s", i ? "/" : "",
                                names[pick(i + 1 == parts ? 5 : 7)]);
    }
    if (pick(16) == 0) {
        snprintf(out + len, 64 - len, "/");
    }
    return out;
}

static int step(struct libos_file *dir, unsigned what, const char *path, const char *other,
                const char *text)
{
    const struct libos_times times = {9, 9};
    switch (what) {
    case 0:
    case 1: return make(dir, path, text);
    case 2: return append(dir, path, text);
    case 3:
    case 4: return libos_mkdir(dir, path);
    case 5:
    case 6: return libos_remove(dir, path, false);
    case 7: return libos_remove(dir, path, true);
    case 8:
    case 9:
    case 10: return libos_rename(dir, path, dir, other);
    case 11: return libos_link(dir, path, dir, other);
    case 12: return libos_symlink(dir, other, path);
    case 13: return libos_set_times(dir, path, true, &times);
    default: {
        struct libos_file *file;
        int rc = libos_open(dir, path, LIBOS_WRITE | LIBOS_CREATE | LIBOS_EXCLUSIVE, &file);
        if (rc == 0) {
            libos_file_put(file);
        }
        return rc;
    }
    }
}

struct tree_names {
    unsigned count;
    char names[64][16];
    enum libos_kind kinds[64];
};

static bool take_tree_name(void *arg, const struct libos_dirent *entry)
{
    struct tree_names *all = arg;
    if (entry->name[0] != '.' && all->count < 64) {
        unsigned at = all->count++;
        /* In order of names, so that two listings compare. */
        while (at > 0 && strncmp(all->names[at - 1], entry->name, entry->name_len) > 0) {
            memcpy(all->names[at], all->names[at - 1], sizeof all->names[at]);
            all->kinds[at] = all->kinds[at - 1];
            at--;
        }
        snprintf(all->names[at], sizeof all->names[at], "%.*s", (int)entry->name_len, entry->name);
        all->kinds[at] = entry->kind;
    }
    return true;
}

/* Same names, kinds, contents and targets, all the way down. */
static bool same_tree(struct libos_file *a, struct libos_file *b, unsigned depth)
{
    struct tree_names names[2] = {{0}, {0}};
    if (libos_readdir(a, 0, take_tree_name, &names[0]) != 0 ||
        libos_readdir(b, 0, take_tree_name, &names[1]) != 0 || names[0].count != names[1].count) {
        return false;
    }
    for (unsigned i = 0; i < names[0].count; i++) {
        const char *name = names[0].names[i];
        struct libos_stat stat[2];
        char text[300];
        if (strcmp(name, names[1].names[i]) != 0 || names[0].kinds[i] != names[1].kinds[i] ||
            libos_stat(a, name, false, &stat[0]) != 0 ||
            libos_stat(b, name, false, &stat[1]) != 0 || stat[0].kind != names[0].kinds[i] ||
            stat[0].kind != stat[1].kind) {
            wm_test_note("%s", name);
            return false;
        }
        if (stat[0].kind == LIBOS_KIND_FILE) {
            snprintf(text, sizeof text, "%s", content(a, name));
            if (stat[0].bytes != stat[1].bytes || strcmp(text, content(b, name)) != 0) {
                wm_test_note("%s: %s, %s", name, text, content(b, name));
                return false;
            }
        } else if (stat[0].kind == LIBOS_KIND_SYMLINK) {
            char other[300];
            int64_t len = libos_readlink(a, name, text, sizeof text);
            if (len != libos_readlink(b, name, other, sizeof other) ||
                memcmp(text, other, (size_t)len) != 0) {
                return false;
            }
        } else {
            struct libos_file *in[2] = {NULL, NULL};
            bool ok = depth < 40 &&
                      libos_open(a, name, LIBOS_READ | LIBOS_DIRECTORY, &in[0]) == 0 &&
                      libos_open(b, name, LIBOS_READ | LIBOS_DIRECTORY, &in[1]) == 0 &&
                      same_tree(in[0], in[1], depth + 1);
            libos_file_put(in[0]);
            libos_file_put(in[1]);
            if (!ok) {
                wm_test_note("in %s", name);
                return false;
            }
        }
    }
    return true;
}

/* A random tree in both. Without hard links: those of a lower directory end at a copy (overlay.h).
 */
static void random_lowers(void)
{
    struct libos_file *tenant = low[0], *common = low[1];
    for (int i = 0; i < 30; i++) {
        char path[64], other[64], text[16];
        unsigned what = pick(13);
        random_path(path);
        random_path(other);
        snprintf(text, sizeof text, "%u", pick(1000));
        if (what >= 8 && what <= 11) {
            continue;
        }
        bool both = pick(2) == 0;
        if (both && step(common, what, path, other, text) != 0) {
            continue;
        }
        /* In both: the tenant's hides the common one, or they merge. */
        (void)step(tenant, both && what < 3 ? 0 : what, path, other, text);
    }
}

/* Copies what the union shows into a plain file system. */
static bool copy_tree(struct libos_file *from, struct libos_file *to, unsigned depth)
{
    struct tree_names names = {0};
    if (libos_readdir(from, 0, take_tree_name, &names) != 0 || depth > 40) {
        return false;
    }
    for (unsigned i = 0; i < names.count; i++) {
        const char *name = names.names[i];
        char text[300] = "";
        bool ok;
        if (names.kinds[i] == LIBOS_KIND_FILE) {
            snprintf(text, sizeof text, "%s", content(from, name));
            ok = make(to, name, text) == 0;
        } else if (names.kinds[i] == LIBOS_KIND_SYMLINK) {
            ok = libos_readlink(from, name, text, sizeof text - 1) > 0 &&
                 libos_symlink(to, text, name) == 0;
        } else {
            struct libos_file *in[2] = {NULL, NULL};
            ok = libos_mkdir(to, name) == 0 &&
                 libos_open(from, name, LIBOS_READ | LIBOS_DIRECTORY, &in[0]) == 0 &&
                 libos_open(to, name, LIBOS_READ | LIBOS_DIRECTORY, &in[1]) == 0 &&
                 copy_tree(in[0], in[1], depth + 1);
            libos_file_put(in[0]);
            libos_file_put(in[1]);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

TEST(agrees_with_a_plain_file_system)
{
    unsigned done = 0, worked = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct libos *os = test_os_init(&test);
        struct libos_file *model, *first;
        random_state = seed;
        REQUIRE(libos_memfs_new(os, NULL, &low[0]) == 0 && libos_memfs_new(os, NULL, &low[1]) == 0);
        REQUIRE(libos_memfs_new(os, NULL, &model) == 0 && libos_memfs_new(os, NULL, &first) == 0);
        random_lowers();
        libos_memfs_seal(low[0]);
        libos_memfs_seal(low[1]);
        struct libos_file *root = new_union(NULL, 0);
        REQUIRE(root);
        CHECK(copy_tree(root, model, 0) && copy_tree(root, first, 0));
        for (int i = 0; i < 120; i++) {
            char path[64], other[64], text[16];
            unsigned what = pick(15);
            random_path(path);
            random_path(other);
            snprintf(text, sizeof text, "%u", pick(1000));
            int a = step(root, what, path, other, text);
            int b = step(model, what, path, other, text);
            done++;
            worked += b == 0;
            if (a != b || !same_tree(root, model, 0)) {
                wm_test_note("seed %llu, step %d: operation %u %s %s gave %d, not %d",
                             (unsigned long long)seed, i, what, path, other, a, b);
                CHECK(false);
                break;
            }
        }
        libos_overlay_reset(root);
        CHECK(same_tree(root, first, 0));
        libos_file_put(root);
        libos_file_put(model);
        libos_file_put(first);
    }
    wm_test_note("%u operations, %u changed something", done, worked);
    CHECK_INT(worked, >, done / 10);
}

TEST_MAIN(TEST_CASE(the_uppermost_counts), TEST_CASE(links_resolve_in_the_union_and_never_lead_out),
          TEST_CASE(writing_copies_up), TEST_CASE(removing_leaves_whiteouts), TEST_CASE(renames),
          TEST_CASE(open_directories_over_a_reset),
          TEST_CASE(quota_holds_and_leaves_things_as_they_were),
          TEST_CASE(what_stays_is_listed_once_whatever_changes),
          TEST_CASE(a_reset_of_nothing_costs_nothing), TEST_CASE(arguments_are_checked),
          TEST_CASE(every_allocation_may_fail), TEST_CASE(agrees_with_a_plain_file_system))
