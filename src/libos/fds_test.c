/* Descriptor table, pipes, polling and mounts. */
#include "libos/fds.h"

#include <string.h>

#include "base/fault.h"
#include "base/test.h"
#include "libos/memfs.h"
#include "libos/mount.h"
#include "libos/pipe.h"
#include "libos/poll.h"
#include "libos/test_os.h"

static struct test_os test;

static struct libos_file *new_null(void)
{
    struct libos_file *file = NULL;
    return libos_null_new(&test.os, &file) == 0 ? file : NULL;
}

static int64_t insert(struct libos_fds *fds, uint64_t word)
{
    struct libos_fd fd = {.file = new_null(), .words = {word}};
    int64_t number = libos_fds_insert(fds, &fd);
    if (number < 0) {
        libos_file_put(fd.file);
    }
    return number;
}

TEST(lowest_number_first)
{
    struct libos_fds fds;
    libos_fds_init(&fds, test_os_init(&test), 20);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(insert(&fds, (uint64_t)i), ==, i);
    }
    CHECK_INT(insert(&fds, 0), ==, -LIBOS_EMFILE);
    CHECK_INT(libos_fds_dup(&fds, 3), ==, -LIBOS_EMFILE);
    CHECK_INT(libos_fds_close(&fds, 7), ==, 0);
    CHECK_INT(libos_fds_close(&fds, 7), ==, -LIBOS_EBADF);
    CHECK_INT(libos_fds_close(&fds, 4), ==, 0);
    CHECK_INT(libos_fds_close(&fds, 20), ==, -LIBOS_EBADF);
    CHECK_INT(libos_fds_close(&fds, UINT32_MAX), ==, -LIBOS_EBADF);
    CHECK(!libos_fds_at(&fds, 4) && !libos_fds_at(&fds, UINT32_MAX));
    CHECK_INT(insert(&fds, 1), ==, 4);
    CHECK_INT(insert(&fds, 1), ==, 7);
    CHECK_INT(fds.open_count, ==, 20);
    libos_fds_fini(&fds);
}

TEST(dup_and_renumber)
{
    struct libos_fds fds;
    libos_fds_init(&fds, test_os_init(&test), 0);
    CHECK_INT(insert(&fds, 10), ==, 0);
    CHECK_INT(insert(&fds, 11), ==, 1);
    CHECK_INT(libos_fds_dup(&fds, 0), ==, 2);
    CHECK(libos_fds_at(&fds, 0)->file == libos_fds_at(&fds, 2)->file);
    CHECK_INT(libos_fds_at(&fds, 2)->file->refs, ==, 2);
    CHECK_INT(libos_fds_at(&fds, 2)->words[0], ==, 10);
    CHECK_INT(libos_fds_renumber(&fds, 0, 1), ==, 0);
    CHECK(!libos_fds_at(&fds, 0));
    CHECK_INT(libos_fds_at(&fds, 1)->words[0], ==, 10);
    CHECK_INT(libos_fds_at(&fds, 1)->file->refs, ==, 2);
    CHECK_INT(libos_fds_renumber(&fds, 1, 0), ==, -LIBOS_EBADF); /* target not open */
    CHECK_INT(libos_fds_renumber(&fds, 5, 1), ==, -LIBOS_EBADF);
    CHECK_INT(libos_fds_renumber(&fds, 1, 1), ==, 0);
    CHECK_INT(fds.open_count, ==, 2);
    CHECK_INT(libos_fds_dup(&fds, 9), ==, -LIBOS_EBADF);
    CHECK_INT(insert(&fds, 0), ==, 0);
    libos_fds_fini(&fds);
    /* A dup of a slot in the array that has to grow. */
    libos_fds_init(&fds, &test.os, 0);
    for (int i = 0; i < 16; i++) {
        CHECK_INT(insert(&fds, 77), ==, i);
    }
    CHECK_INT(libos_fds_dup(&fds, 15), ==, 16);
    CHECK_INT(libos_fds_at(&fds, 16)->words[0], ==, 77);
    libos_fds_fini(&fds);
}

static int64_t put(struct libos_file *file, const void *bytes, size_t len)
{
    struct libos_iov iov = {(void *)bytes, len};
    return libos_file_write(file, &iov, 1);
}

static int64_t take(struct libos_file *file, void *bytes, size_t len)
{
    struct libos_iov iov = {bytes, len};
    return libos_file_read(file, &iov, 1);
}

TEST(pipe_moves_bytes)
{
    struct libos_file *in, *out;
    static uint8_t block[LIBOS_PIPE_BYTES + 100], got[LIBOS_PIPE_BYTES + 100];
    REQUIRE(libos_pipe_new(test_os_init(&test), &in, &out) == 0);
    CHECK_INT(put(in, "x", 1), ==, -LIBOS_EBADF);
    CHECK_INT(take(out, got, 1), ==, -LIBOS_EBADF);
    CHECK_INT(libos_file_seek(in, 0, LIBOS_SEEK_CUR), ==, -LIBOS_ESPIPE);
    CHECK_INT(put(out, "abc", 3), ==, 3);
    CHECK_INT(take(in, got, 2), ==, 2);
    CHECK_INT(libos_file_readable_bytes(in), ==, 1);
    CHECK_INT(libos_file_set_flags(in, LIBOS_NONBLOCK), ==, 0);
    CHECK_INT(libos_file_set_flags(out, LIBOS_NONBLOCK), ==, 0);
    CHECK_INT(libos_file_set_flags(out, 1u << 30), ==, -LIBOS_EINVAL);
    CHECK_INT(take(in, got, 10), ==, 1);
    CHECK_INT(take(in, got, 10), ==, -LIBOS_EAGAIN);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = (uint8_t)(i * 7);
    }
    /* Around the end of the ring, more than it holds. */
    CHECK_INT(put(out, block, sizeof block), ==, LIBOS_PIPE_BYTES);
    CHECK_INT(put(out, block, 1), ==, -LIBOS_EAGAIN);
    CHECK_INT(take(in, got, 1000), ==, 1000);
    CHECK_INT(put(out, block, 4096), ==, -LIBOS_EAGAIN); /* whole or not at all */
    CHECK_INT(put(out, block, 5000), ==, 1000);
    CHECK_INT(take(in, got, sizeof got), ==, LIBOS_PIPE_BYTES);
    CHECK(memcmp(got, block + 1000, LIBOS_PIPE_BYTES - 1000) == 0 &&
          memcmp(got + LIBOS_PIPE_BYTES - 1000, block, 1000) == 0);
    libos_file_put(out);
    CHECK_INT(take(in, got, 1), ==, 0);
    libos_file_put(in);
    REQUIRE(libos_pipe_new(&test.os, &in, &out) == 0);
    libos_file_put(in);
    CHECK_INT(put(out, "x", 1), ==, -LIBOS_EPIPE);
    libos_file_put(out);
}

TEST(waiting_without_end_is_interrupted)
{
    struct libos_file *in, *out;
    char byte;
    REQUIRE(libos_pipe_new(test_os_init(&test), &in, &out) == 0);
    CHECK_INT(take(in, &byte, 1), ==, -LIBOS_EINTR);
    CHECK(test.sim.stuck);
    libos_file_put(in);
    libos_file_put(out);
}

TEST(poll_finds_what_is_ready)
{
    struct libos_file *in, *out, *root;
    REQUIRE(libos_pipe_new(test_os_init(&test), &in, &out) == 0);
    REQUIRE(libos_memfs_new(&test.os, NULL, &root) == 0);
    struct libos_poll_item items[3] = {{in, LIBOS_POLL_IN, 0, 0}, {out, LIBOS_POLL_OUT, 0, 0}};
    CHECK_INT(libos_poll(&test.os, items, 1, LIBOS_AT_ONCE), ==, 0);
    CHECK_INT(libos_poll(&test.os, items, 2, LIBOS_NEVER), ==, 1);
    CHECK_INT(items[1].ready, ==, LIBOS_POLL_OUT);
    CHECK_INT(put(out, "x", 1), ==, 1);
    CHECK_INT(libos_poll(&test.os, items, 2, LIBOS_NEVER), ==, 2);
    items[2] = (struct libos_poll_item){root, LIBOS_POLL_IN, 0, 0};
    CHECK_INT(libos_poll(&test.os, items, 3, LIBOS_NEVER), ==, 3); /* no poll of its own: ready */
    char byte;
    CHECK_INT(take(in, &byte, 1), ==, 1);
    /* Time passes exactly to the deadline. */
    uint64_t before = test.sim.monotonic_ns;
    CHECK_INT(libos_poll(&test.os, items, 1, before + 5000), ==, 0);
    CHECK_INT(test.sim.monotonic_ns - before, ==, 5000);
    CHECK_INT(libos_poll(&test.os, NULL, 0, before + 6000), ==, 0);
    CHECK_INT(test.sim.realtime_ns - TEST_REALTIME_NS, ==, 6000);
    libos_file_put(out);
    CHECK_INT(libos_poll(&test.os, items, 1, LIBOS_NEVER), ==, 1);
    CHECK_INT(items[0].ready, ==, LIBOS_POLL_HUP);
    libos_file_put(in);
    libos_file_put(root);
}

TEST(mounts_serve_the_longest_prefix)
{
    static struct libos_mounts mounts;
    struct libos_file *root, *tmp, *deep, *found;
    struct libos *os = test_os_init(&test);
    char rest[LIBOS_PATH_MAX];
    libos_mounts_init(&mounts, os);
    REQUIRE(libos_memfs_new(os, NULL, &root) == 0 && libos_memfs_new(os, NULL, &tmp) == 0 &&
            libos_memfs_new(os, NULL, &deep) == 0);
    CHECK_INT(libos_mount_find(&mounts, "/x", &found, rest), ==, -LIBOS_ENOENT);
    CHECK_INT(libos_mount_add(&mounts, "/tmp/", tmp), ==, 0);
    CHECK_INT(libos_mount_find(&mounts, "/x", &found, rest), ==, -LIBOS_ENOENT);
    CHECK_INT(libos_mount_add(&mounts, "/", root), ==, 0);
    CHECK_INT(libos_mount_add(&mounts, "/tmp/./a/../deep", deep), ==, 0);
    CHECK_INT(libos_mount_add(&mounts, "//tmp", tmp), ==, -LIBOS_EEXIST);
    CHECK_INT(libos_mount_add(&mounts, "tmp", tmp), ==, -LIBOS_EINVAL);
    static const struct {
        const char *path;
        int mount;
        const char *rest;
    } cases[] = {
        {"/", 0, "."},
        {"/a/b", 0, "a/b"},
        {"/tmp", 1, "."},
        {"/tmp/", 1, "."},
        {"/tmpx", 0, "tmpx"},
        {"/tmp/x/", 1, "x/"},
        {"/tmp/deep", 2, "."},
        {"/tmp/deeper", 1, "deeper"},
        {"/../../tmp/y", 1, "y"},
        {"/tmp/../etc", 0, "etc"},
        {"/tmp/deep/../z", 1, "z"},
        {"//tmp//deep//q", 2, "q"},
    };
    struct libos_file *dirs[] = {root, tmp, deep};
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        CHECK_INT(libos_mount_find(&mounts, cases[i].path, &found, rest), ==, 0);
        CHECK(found == dirs[cases[i].mount]);
        CHECK_STR(rest, cases[i].rest);
    }
    CHECK_INT(libos_mount_find(&mounts, "relative", &found, rest), ==, -LIBOS_EINVAL);
    libos_file_put(root);
    libos_file_put(tmp);
    libos_file_put(deep);
    libos_mounts_fini(&mounts);
}

TEST(sim_is_repeatable)
{
    uint8_t a[33], b[33];
    CHECK_INT(libos_random(test_os_init(&test), a, sizeof a), ==, 0);
    CHECK_INT(libos_random(test_os_init(&test), b, sizeof b), ==, 0);
    CHECK(memcmp(a, b, sizeof a) == 0);
    CHECK_INT(libos_random(&test.os, b, sizeof b), ==, 0);
    CHECK(memcmp(a, b, sizeof a) != 0);
    uint64_t ns;
    CHECK_INT(libos_clock_read(&test.os, LIBOS_CLOCKS, &ns), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_clock_read(&test.os, LIBOS_CLOCK_REALTIME, &ns), ==, 0);
    CHECK_INT(ns, ==, TEST_REALTIME_NS);
}

TEST(every_allocation_may_fail)
{
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n); rounds++) {
        struct libos_file *in = NULL, *out = NULL;
        struct libos_fds fds;
        libos_fds_init(&fds, test_os_init(&test), 0);
        if (libos_pipe_new(&test.os, &in, &out) == 0) {
            struct libos_fd fd = {.file = in};
            if (libos_fds_insert(&fds, &fd) < 0) {
                libos_file_put(in);
            }
            libos_file_put(out);
        }
        libos_fds_fini(&fds);
    }
    CHECK_INT(rounds, ==, 5); /* four allocations, and the round without a failure */
}

TEST_MAIN(TEST_CASE(lowest_number_first), TEST_CASE(dup_and_renumber), TEST_CASE(pipe_moves_bytes),
          TEST_CASE(waiting_without_end_is_interrupted), TEST_CASE(poll_finds_what_is_ready),
          TEST_CASE(mounts_serve_the_longest_prefix), TEST_CASE(sim_is_repeatable),
          TEST_CASE(every_allocation_may_fail))
