/* file_test.c: whole files in and out, and what is left behind when something fails. */
#include "host/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"

static char root[64];

static int enter(void)
{
    strcpy(root, "/tmp/wm-file-XXXXXX");
    return mkdtemp(root) ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* Removes what lies in the folder, and it; how many files there were. */
static unsigned leave(int dir)
{
    unsigned count = 0;
    DIR *list = fdopendir(dir);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
            unlinkat(dirfd(list), entry->d_name, 0);
        }
    }
    closedir(list);
    rmdir(root);
    return count;
}

static bool holds(int dir, const char *name, const char *text)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int fd = host_file_open(dir, name);
    int err = fd < 0 ? fd : host_file_read_all(fd, 1000, &bytes, &len);
    bool same = !err && wm_view_eq_str(wm_view_of(bytes, len), text);
    wm_free(bytes);
    host_file_close(fd);
    return same;
}

TEST(replace_is_all_or_nothing)
{
    int dir = enter();
    REQUIRE(dir >= 0);
    CHECK_INT(host_file_replace(dir, "a", wm_view_str("one"), 0600, false, NULL), ==, 0);
    CHECK(holds(dir, "a", "one"));
    int fd = -1;
    CHECK_INT(host_file_replace(dir, "a", wm_view_str("second"), 0640, true, &fd), ==, 0);
    CHECK(holds(dir, "a", "second"));
    struct host_file_info info = {0}, other = {0};
    CHECK_INT(host_file_info(fd, &info), ==, 0);
    CHECK_INT(info.id.bytes, ==, 6);
    CHECK_INT(info.mode & 0777, ==, 0640);
    host_file_close(fd);
    fd = host_file_open(dir, "a");
    CHECK_INT(host_file_info(fd, &other), ==, 0);
    CHECK(host_file_id_equal(&info.id, &other.id));
    host_file_close(fd);

    CHECK_INT(host_file_create(dir, "a", wm_view_str("third"), 0600, false, NULL), ==, -EEXIST);
    CHECK(holds(dir, "a", "second"));
    CHECK_INT(host_file_create(dir, "b", wm_view_str(""), 0600, false, NULL), ==, 0);
    CHECK(holds(dir, "b", ""));
    CHECK_INT(leave(dir), ==, 2); /* no temporary file remains */
}

TEST(a_failed_replace_changes_nothing)
{
    int dir = enter();
    REQUIRE(dir >= 0);
    REQUIRE(host_file_replace(dir, "a", wm_view_str("old"), 0600, false, NULL) == 0);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        int err = host_file_replace(dir, "a", wm_view_str("new"), 0600, true, NULL);
        CHECK_INT(err, ==, wm_fault_fired(WM_FAULT_IO) ? -EIO : 0);
        bool fired = wm_fault_fired(WM_FAULT_IO);
        uint64_t at = n;
        wm_fault_arm(WM_FAULT_IO, 0);
        CHECK(holds(dir, "a", fired ? "old" : "new"));
        if (!fired) {
            break;
        }
        n = at;
        wm_fault_arm(WM_FAULT_IO, 1);
        (void)wm_fault_here(WM_FAULT_IO);
    }
    CHECK_INT(leave(dir), ==, 1);
}

TEST(links_are_not_followed)
{
    int dir = enter();
    REQUIRE(dir >= 0);
    REQUIRE(symlinkat("/etc/passwd", dir, "link") == 0);
    CHECK_INT(host_file_open(dir, "link"), ==, -ELOOP);
    CHECK_INT(host_file_open(dir, "none"), ==, -ENOENT);
    /* Replacing a link replaces the link. */
    CHECK_INT(host_file_replace(dir, "link", wm_view_str("x"), 0600, false, NULL), ==, 0);
    CHECK(holds(dir, "link", "x"));
    leave(dir);
}

TEST(reading_keeps_to_its_limit)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int fd = memfd_create("file", MFD_CLOEXEC), ends[2];
    REQUIRE(fd >= 0 && ftruncate(fd, 100000) == 0);
    CHECK_INT(host_file_read_all(fd, 99999, &bytes, &len), ==, WM_E_LIMIT);
    CHECK_INT(host_file_read_all(fd, 100000, &bytes, &len), ==, 0);
    CHECK_INT(len, ==, 100000);
    wm_free(bytes);
    uint8_t byte[2];
    CHECK_INT(host_file_read_at(fd, 99999, byte, 1), ==, 0);
    CHECK_INT(host_file_read_at(fd, 99999, byte, 2), ==, -EIO);
    close(fd);
    /* A pipe does not tell its length. */
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    CHECK_INT(host_file_write_all(ends[1], wm_view_str("0123456789")), ==, 0);
    close(ends[1]);
    CHECK_INT(host_file_read_all(ends[0], 9, &bytes, &len), ==, WM_E_LIMIT);
    close(ends[0]);
}

TEST(reading_survives_every_failure)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && ftruncate(fd, 5000) == 0);
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            uint8_t *bytes = NULL;
            size_t len = 0;
            lseek(fd, 0, SEEK_SET);
            int err = host_file_read_all(fd, 5000, &bytes, &len);
            CHECK(err == 0 || wm_fault_fired((enum wm_fault_kind)kind));
            CHECK(err ? bytes == NULL : len == 5000);
            wm_free(bytes);
        }
    }
    close(fd);
}

TEST_MAIN(TEST_CASE(replace_is_all_or_nothing), TEST_CASE(a_failed_replace_changes_nothing),
          TEST_CASE(links_are_not_followed), TEST_CASE(reading_keeps_to_its_limit),
          TEST_CASE(reading_survives_every_failure))
