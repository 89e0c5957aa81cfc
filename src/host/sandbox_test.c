/* sandbox_test.c: the report as root and as nobody. */
#include "host/sandbox.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"

TEST(every_item_says_how_or_why_not)
{
    struct host_sandbox sandbox;
    char line[700];
    host_sandbox_probe(NULL, &sandbox);
    unsigned missing = 0;
    for (unsigned i = 0; i < HOST_SANDBOX_ITEMS; i++) {
        wm_test_note("%s",
                     host_sandbox_line(&sandbox, (enum host_sandbox_item)i, line, sizeof line));
        CHECK(sandbox.item[i].name && sandbox.item[i].reason[0]);
        CHECK(sandbox.item[i].available == (sandbox.item[i].advice[0] == '\0'));
        missing += sandbox.item[i].required && !sandbox.item[i].available;
    }
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(host_sandbox_require(&sandbox, &diag), ==, missing ? WM_E_MISSING : 0);
}

TEST(groups_that_are_open_already)
{
    char prefix[32];
    struct host_cgroups cgroups;
    struct host_sandbox with, without;
    struct wm_diag diag;
    snprintf(prefix, sizeof prefix, "sandboxtest-%d", (int)getpid());
    REQUIRE(host_cgroups_open(&(struct host_cgroup_options){.prefix = prefix}, &cgroups, &diag) ==
            0);
    host_sandbox_probe(&cgroups, &with);
    host_cgroups_close(&cgroups);
    host_sandbox_probe(NULL, &without);
    for (unsigned i = 0; i < HOST_SANDBOX_ITEMS; i++) {
        CHECK(with.item[i].available == without.item[i].available);
    }
}

/* 0 when a process without rights is told what is missing and what to do. */
static int asks_as_nobody(void)
{
    struct host_sandbox sandbox;
    struct wm_diag diag = WM_DIAG_INIT;
    if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)) {
        return 100;
    }
    host_sandbox_probe(NULL, &sandbox);
    for (unsigned i = 0; i < HOST_SANDBOX_ITEMS; i++) {
        char line[700];
        wm_test_note("%s",
                     host_sandbox_line(&sandbox, (enum host_sandbox_item)i, line, sizeof line));
        if (!sandbox.item[i].available &&
            !(sandbox.item[i].reason[0] && sandbox.item[i].advice[0])) {
            return 1;
        }
    }
    if (sandbox.item[HOST_SANDBOX_ROOT].available || sandbox.item[HOST_SANDBOX_NETWORK].available ||
        !strstr(sandbox.item[HOST_SANDBOX_NETWORK].advice, "as root")) {
        return 2;
    }
    return host_sandbox_require(&sandbox, &diag) == WM_E_MISSING &&
                   strstr(diag.text, "network namespaces") &&
                   strstr(diag.text, "--require-isolation")
               ? 0
               : 3;
}

TEST(nobody_is_told_what_to_do)
{
    if (geteuid() != 0) {
        SKIP("not root, so the test above has shown it");
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int result = asks_as_nobody();
        fflush(stdout);
        _exit(result);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_INT(status, ==, 0);
}

TEST(what_is_missing_is_named)
{
    struct host_sandbox sandbox = {0};
    struct wm_diag diag = WM_DIAG_INIT;
    for (unsigned i = 0; i < HOST_SANDBOX_ITEMS; i++) {
        sandbox.item[i].name = "a rather long name of something that is not there at all";
        sandbox.item[i].required = true;
    }
    CHECK_INT(host_sandbox_require(&sandbox, &diag), ==, WM_E_MISSING);
    sandbox.item[0].required = false;
    for (unsigned i = 1; i < HOST_SANDBOX_ITEMS; i++) {
        sandbox.item[i].available = true;
    }
    CHECK_INT(host_sandbox_require(&sandbox, &diag), ==, 0);
}

TEST_MAIN(TEST_CASE(every_item_says_how_or_why_not), TEST_CASE(groups_that_are_open_already),
          TEST_CASE(nobody_is_told_what_to_do), TEST_CASE(what_is_missing_is_named))
