/* identity_test.c: the key is made once, kept, and refused where others could have read it. */
#include "node/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"

static char folder[64];

static int enter(void)
{
    snprintf(folder, sizeof folder, "/tmp/wm-identity-XXXXXX");
    return mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static void leave(int dir_fd)
{
    (void)unlinkat(dir_fd, IDENTITY_FILE, 0);
    (void)unlinkat(dir_fd, "other", 0);
    close(dir_fd);
    rmdir(folder);
}

TEST(the_key_is_made_once)
{
    int dir_fd = enter();
    struct sign_key first, second;
    struct stat st;
    bool made = false;
    REQUIRE(dir_fd >= 0);
    CHECK_INT(identity_open(dir_fd, IDENTITY_FILE, &first, &made, NULL), ==, 0);
    CHECK(made);
    CHECK(fstatat(dir_fd, IDENTITY_FILE, &st, 0) == 0 && (st.st_mode & 07777) == 0600);
    CHECK_INT(identity_open(dir_fd, IDENTITY_FILE, &second, &made, NULL), ==, 0);
    CHECK(!made);
    CHECK(memcmp(first.public_key, second.public_key, 32) == 0);
    CHECK_INT(identity_open(dir_fd, "other", &second, &made, NULL), ==, 0);
    CHECK(made && memcmp(first.public_key, second.public_key, 32) != 0);
    sign_key_fini(&first);
    sign_key_fini(&second);
    leave(dir_fd);
}

TEST(a_key_that_others_may_read_is_refused)
{
    int dir_fd = enter();
    struct sign_key key;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(dir_fd >= 0 && identity_open(dir_fd, IDENTITY_FILE, &key, NULL, NULL) == 0);
    sign_key_fini(&key);
    static const mode_t modes[] = {0640, 0604, 0620, 0666, 0601};
    for (size_t i = 0; i < WM_COUNT_OF(modes); i++) {
        CHECK(fchmodat(dir_fd, IDENTITY_FILE, modes[i], 0) == 0);
        CHECK_INT(identity_open(dir_fd, IDENTITY_FILE, &key, NULL, &diag), ==, WM_E_DENIED);
    }
    CHECK(strstr(wm_diag_text(&diag), "chmod 600") != NULL);
    CHECK(fchmodat(dir_fd, IDENTITY_FILE, 0600, 0) == 0);
    CHECK_INT(identity_open(dir_fd, IDENTITY_FILE, &key, NULL, NULL), ==, 0);
    sign_key_fini(&key);
    /* A link, even to a good key. */
    CHECK(symlinkat(IDENTITY_FILE, dir_fd, "other") == 0);
    CHECK_INT(identity_open(dir_fd, "other", &key, NULL, NULL), <, 0);
    if (geteuid() == 0) {
        CHECK(fchownat(dir_fd, IDENTITY_FILE, 1, 1, 0) == 0);
        CHECK_INT(identity_open(dir_fd, IDENTITY_FILE, &key, NULL, NULL), ==, WM_E_DENIED);
    }
    leave(dir_fd);
}

TEST(a_damaged_key_is_refused_and_left_alone)
{
    int dir_fd = enter();
    struct sign_key key;
    REQUIRE(dir_fd >= 0);
    int fd = openat(dir_fd, IDENTITY_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(write(fd, "not a key\n", 10) == 10);
    close(fd);
    CHECK_INT(identity_open(dir_fd, IDENTITY_FILE, &key, NULL, NULL), ==, WM_E_MALFORMED);
    struct stat st;
    CHECK(fstatat(dir_fd, IDENTITY_FILE, &st, 0) == 0 && st.st_size == 10);
    leave(dir_fd);
}

TEST(failing_memory_and_files_leave_no_half_key)
{
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        int dir_fd = enter();
        REQUIRE(dir_fd >= 0);
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            struct sign_key key;
            int rc = identity_open(dir_fd, IDENTITY_FILE, &key, NULL, NULL);
            CHECK(rc <= 0 && rc != WM_E_MALFORMED);
            if (rc == 0) {
                sign_key_fini(&key);
            }
        }
        struct sign_key key;
        CHECK_INT(identity_open(dir_fd, IDENTITY_FILE, &key, NULL, NULL), ==, 0);
        sign_key_fini(&key);
        leave(dir_fd);
    }
}

TEST_MAIN(TEST_CASE(the_key_is_made_once), TEST_CASE(a_key_that_others_may_read_is_refused),
          TEST_CASE(a_damaged_key_is_refused_and_left_alone),
          TEST_CASE(failing_memory_and_files_leave_no_half_key))
