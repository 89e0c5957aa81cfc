/* A node is opened and closed while memory fails at every place in turn: nothing is left behind. */
#include "node/node.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"
#include "node/log.h"

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static unsigned open_files(void)
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

TEST(opens_and_closes_without_memory)
{
    char folder[] = "/tmp/node_test.XXXXXX";
    uv_loop_t loop;
    struct config config;
    struct wm_diag diag = WM_DIAG_INIT;
    enum config_action action;
    unsigned rounds = 0, failures = 0, files = 0;
    REQUIRE(mkdtemp(folder) != NULL);
    REQUIRE(uv_loop_init(&loop) == 0);
    log_set_level(LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    config_init(&config);
    char *args[] = {"wardmote-node", "--data", folder, "--listen", "127.0.0.1:0"};
    REQUIRE(config_args(&config, (int)WM_COUNT_OF(args), args, &action, &diag) == 0);
    REQUIRE(config_check(&config, &diag) == 0);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n); rounds++) {
        struct node *node = NULL;
        diag = (struct wm_diag)WM_DIAG_INIT;
        int err = node_open(&config, &loop, &node, &diag);
        if (err) {
            failures++;
            CHECK(wm_fault_fired(WM_FAULT_ALLOC));
            CHECK(diag.text[0] != 0);
        } else {
            node_close(node);
        }
        if (rounds == 0) {
            files = open_files(); /* the loop's own are there by now */
        }
        CHECK_INT(open_files(), <=, files + 2);
    }
    wm_test_note("%u rounds, %u of them failed", rounds, failures);
    CHECK(failures > 10);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), ==, 0);
    config_fini(&config);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TEST(refuses_folders_of_others)
{
    char folder[] = "/tmp/node_test.XXXXXX", path[64];
    uint8_t key[32], again[32];
    int fd, second;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(mkdtemp(folder) != NULL);
    REQUIRE(node_folder_open(folder, &fd, key, &diag) == 0);
    CHECK_INT(node_folder_open(folder, &second, again, &diag), ==, -EBUSY);
    close(fd);
    REQUIRE(node_folder_open(folder, &fd, again, &diag) == 0);
    CHECK(memcmp(key, again, sizeof key) == 0);
    close(fd);
    snprintf(path, sizeof path, "%s/" NODE_KEY, folder);
    CHECK(chmod(path, 0640) == 0);
    CHECK_INT(node_folder_open(folder, &fd, again, &diag), ==, WM_E_DENIED);
    CHECK(chmod(path, 0600) == 0 && truncate(path, 31) == 0);
    CHECK_INT(node_folder_open(folder, &fd, again, &diag), ==, WM_E_DENIED);
    CHECK(chmod(folder, 0777) == 0);
    CHECK_INT(node_folder_open(folder, &fd, again, &diag), ==, WM_E_DENIED);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TEST_MAIN(TEST_CASE(opens_and_closes_without_memory), TEST_CASE(refuses_folders_of_others))
