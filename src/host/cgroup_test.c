/* cgroup_test.c: on this machine's control groups, where they are to be had, and on a drawing of a
 * version 2 tree made of plain files for what this machine does not have. */
#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"

static char prefix[64];
static struct host_cgroups groups;
static struct wm_diag diag;

static bool open_groups(void)
{
    snprintf(prefix, sizeof prefix, "test-%d", (int)getpid());
    return host_cgroups_open(&(struct host_cgroup_options){.prefix = prefix}, &groups, &diag) == 0;
}

static const char *why_not(enum host_cgroup_part part)
{
    static char line[400];
    return host_cgroups_line(&groups, part, line, sizeof line);
}

static pid_t start(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGSTOP); /* until it has been put into its group */
        _exit(body());
    }
    int status;
    waitpid(pid, &status, WUNTRACED);
    return pid;
}

static int end(pid_t pid)
{
    int status = 0;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return status;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static int spins(void)
{
    for (volatile unsigned i = 0;; i++) {
    }
    return 0;
}

/* As many threads of mind as one processor: all children of a fairness test run on the first. */
static int spins_on_the_first_cpu(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0 ? spins() : 1;
}

static uint64_t cpu_of(pid_t pid)
{
    clockid_t clock;
    struct timespec used = {0};
    if (clock_getcpuclockid(pid, &clock) == 0) {
        clock_gettime(clock, &used);
    }
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

TEST(report_names_every_part)
{
    REQUIRE(open_groups());
    for (unsigned part = 0; part < HOST_CGROUP_PARTS; part++) {
        const char *line = why_not((enum host_cgroup_part)part);
        wm_test_note("%s", line);
        bool has = host_cgroups_has(&groups, (enum host_cgroup_part)part);
        CHECK((strstr(line, "not available: ") == NULL) == has);
        CHECK(has || strlen(line) > 40);
    }
    host_cgroups_close(&groups);
}

TEST(weights_share_a_processor)
{
    REQUIRE(open_groups());
    if (!host_cgroups_has(&groups, HOST_CGROUP_WEIGHT)) {
        host_cgroups_close(&groups);
        SKIP("%s", why_not(HOST_CGROUP_WEIGHT));
    }
    struct host_cgroup group[2];
    pid_t pid[2];
    uint64_t before[2], used[2];
    for (int i = 0; i < 2; i++) {
        struct host_cgroup_limits limits = {.cpu_weight = i == 0 ? 100 : 300};
        char name[] = {'t', (char)('0' + i), '\0'};
        REQUIRE(host_cgroup_make(&groups, name, &limits, &group[i], &diag) == 0);
        pid[i] = start(spins_on_the_first_cpu);
        CHECK_INT(host_cgroup_attach(&groups, &group[i], pid[i], &diag), ==, 0);
    }
    kill(pid[0], SIGCONT);
    kill(pid[1], SIGCONT);
    sleep_ms(100);
    for (int i = 0; i < 2; i++) {
        before[i] = cpu_of(pid[i]);
    }
    sleep_ms(1500);
    for (int i = 0; i < 2; i++) {
        used[i] = cpu_of(pid[i]) - before[i];
    }
    double ratio = (double)used[1] / ((double)used[0] + 1);
    wm_test_note("weights 1:3 got 1:%.2f (%.0f ms and %.0f ms)", ratio, (double)used[0] / 1e6,
                 (double)used[1] / 1e6);
    CHECK(ratio > 2.4 && ratio < 3.7);

    /* The other way round, while they run. */
    CHECK_INT(
        host_cgroup_set(&groups, &group[0], &(struct host_cgroup_limits){.cpu_weight = 400}, &diag),
        ==, 0);
    CHECK_INT(host_cgroup_set(&groups, &group[1], &(struct host_cgroup_limits){0}, &diag), ==, 0);
    for (int i = 0; i < 2; i++) {
        before[i] = cpu_of(pid[i]);
    }
    sleep_ms(1000);
    ratio = (double)(cpu_of(pid[0]) - before[0]) / ((double)(cpu_of(pid[1]) - before[1]) + 1);
    wm_test_note("weights 4:1 got %.2f:1", ratio);
    CHECK(ratio > 3.0 && ratio < 5.2);

    struct host_cgroup_usage usage;
    CHECK_INT(host_cgroup_usage(&groups, &group[1], &usage), ==, 0);
    CHECK_INT(usage.processes, ==, 1);
    CHECK(!host_cgroups_has(&groups, HOST_CGROUP_ACCOUNT) ||
          (usage.cpu_ns > 100000000 && usage.cpu_ns < 5000000000));
    for (int i = 0; i < 2; i++) {
        end(pid[i]);
        CHECK_INT(host_cgroup_remove(&groups, &group[i], &diag), ==, 0);
    }
    host_cgroups_close(&groups);
}

TEST(quota_throttles)
{
    REQUIRE(open_groups());
    if (!host_cgroups_has(&groups, HOST_CGROUP_QUOTA)) {
        host_cgroups_close(&groups);
        SKIP("%s", why_not(HOST_CGROUP_QUOTA));
    }
    struct host_cgroup group;
    struct host_cgroup_usage usage;
    REQUIRE(host_cgroup_make(&groups, "q", &(struct host_cgroup_limits){.cpu_percent = 20}, &group,
                             &diag) == 0);
    if (group.missing) {
        CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, 0);
        host_cgroups_close(&groups);
        SKIP("this kernel has no cpu bandwidth control");
    }
    pid_t pid = start(spins);
    CHECK_INT(host_cgroup_attach(&groups, &group, pid, &diag), ==, 0);
    kill(pid, SIGCONT);
    sleep_ms(1000);
    uint64_t used = cpu_of(pid);
    wm_test_note("20 %% of a second: %.0f ms", (double)used / 1e6);
    CHECK(used < 260000000);
    CHECK_INT(host_cgroup_usage(&groups, &group, &usage), ==, 0);
    CHECK(usage.throttled_count >= 3 && usage.throttled_ns > 0);
    end(pid);
    CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, 0);
    host_cgroups_close(&groups);
}

static int takes_64_mib(void)
{
    enum { BYTES = 64 << 20 };
    char *block = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < BYTES; i += 4096) {
        block[i] = 1;
    }
    return 0;
}

static int run_limited(const struct host_cgroup_limits *limits, int (*body)(void),
                       struct host_cgroup_usage *usage)
{
    struct host_cgroup group;
    if (host_cgroup_make(&groups, "limited", limits, &group, &diag) != 0) {
        return -1;
    }
    pid_t pid = start(body);
    CHECK_INT(host_cgroup_attach(&groups, &group, pid, &diag), ==, 0);
    kill(pid, SIGCONT);
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK_INT(host_cgroup_usage(&groups, &group, usage), ==, 0);
    CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, 0);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(memory_is_limited)
{
    struct host_cgroup_usage usage;
    REQUIRE(open_groups());
    if (!host_cgroups_has(&groups, HOST_CGROUP_MEMORY)) {
        host_cgroups_close(&groups);
        SKIP("%s", why_not(HOST_CGROUP_MEMORY));
    }
    struct host_cgroup_limits enough = {.memory_bytes = 96 << 20},
                              small = {.memory_bytes = 16 << 20};
    CHECK_INT(run_limited(&enough, takes_64_mib, &usage), ==, 0);
    CHECK_INT(run_limited(&small, takes_64_mib, &usage), ==, 1000 + SIGKILL);
    CHECK_INT(usage.memory_kills, ==, 1);

    /* Up and down again: with memsw each direction has its own order. */
    struct host_cgroup group;
    REQUIRE(host_cgroup_make(&groups, "m", &enough, &group, &diag) == 0);
    CHECK_INT(host_cgroup_set(&groups, &group, &small, &diag), ==, 0);
    CHECK_INT(host_cgroup_set(&groups, &group, &enough, &diag), ==, 0);
    CHECK_INT(host_cgroup_set(&groups, &group, &(struct host_cgroup_limits){0}, &diag), ==, 0);
    CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, 0);
    host_cgroups_close(&groups);
}

static int forks_ten(void)
{
    int failed = 0;
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            sleep_ms(200);
            _exit(0);
        }
        failed += pid < 0 && errno == EAGAIN;
    }
    while (wait(NULL) > 0) {
    }
    return failed;
}

TEST(processes_are_limited)
{
    struct host_cgroup_usage usage;
    REQUIRE(open_groups());
    if (!host_cgroups_has(&groups, HOST_CGROUP_PIDS)) {
        host_cgroups_close(&groups);
        SKIP("%s", why_not(HOST_CGROUP_PIDS));
    }
    CHECK_INT(run_limited(&(struct host_cgroup_limits){.pids = 4}, forks_ten, &usage), ==, 7);
    CHECK_INT(run_limited(&(struct host_cgroup_limits){0}, forks_ten, &usage), ==, 0);
    host_cgroups_close(&groups);
}

static int sleeps(void)
{
    sleep_ms(20000);
    return 0;
}

TEST(groups_in_use_and_left_over)
{
    REQUIRE(open_groups());
    if (groups.dir_count == 0) {
        host_cgroups_close(&groups);
        SKIP("%s", why_not(HOST_CGROUP_WEIGHT));
    }
    struct host_cgroup group, again;
    const struct host_cgroup_limits none = {0};
    REQUIRE(host_cgroup_make(&groups, "a", &none, &group, &diag) == 0);
    pid_t pid = start(sleeps);
    CHECK_INT(host_cgroup_attach(&groups, &group, pid, &diag), ==, 0);
    CHECK_INT(host_cgroup_make(&groups, "a", &none, &again, &diag), ==, WM_E_BUSY);
    CHECK(strstr(diag.text, "has processes"));
    CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, WM_E_BUSY);
    end(pid);
    CHECK_INT(host_cgroup_attach(&groups, &group, pid, &diag), ==, -ESRCH);
    CHECK(strstr(diag.text, "taking process"));

    /* As if this node had died here: the next one sweeps. */
    struct host_cgroups next;
    CHECK_INT(host_cgroups_open(&(struct host_cgroup_options){.prefix = prefix}, &next, &diag), ==,
              0);
    CHECK(faccessat(groups.dir[0].fd, "a", F_OK, 0) != 0);
    CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, 0);
    host_cgroups_close(&next);
    CHECK(access(groups.dir[0].path, F_OK) != 0);
    host_cgroups_close(&groups);
}

/* A node that was killed, and a worker of its that goes on, with a child. */
TEST(workers_that_outlive_their_node)
{
    REQUIRE(open_groups());
    if (groups.dir_count == 0) {
        host_cgroups_close(&groups);
        SKIP("%s", why_not(HOST_CGROUP_WEIGHT));
    }
    struct host_cgroup group, again;
    struct host_cgroups next;
    const struct host_cgroup_limits none = {0};
    struct host_cgroup_options options = {.prefix = prefix};
    for (int killing = 0; killing < 2; killing++) {
        REQUIRE(host_cgroup_make(&groups, "o", &none, &group, &diag) == 0);
        pid_t pid = start(forks_ten);
        CHECK_INT(host_cgroup_attach(&groups, &group, pid, &diag), ==, 0);
        kill(pid, SIGCONT);
        sleep_ms(20);
        options.kill_leftovers = killing;
        CHECK_INT(host_cgroups_open(&options, &next, &diag), ==, 0);
        int err = host_cgroup_make(&next, "o", &none, &again, &diag);
        if (killing) {
            CHECK_INT(err, ==, 0);
            CHECK_INT(host_cgroup_remove(&next, &again, &diag), ==, 0);
        } else {
            CHECK_INT(err, ==, WM_E_BUSY);
            CHECK_INT(host_cgroup_kill(&group), ==, 0);
        }
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
              WTERMSIG(status) == SIGKILL);
        CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, 0);
        for (unsigned i = 0; i < next.dir_count; i++) {
            close(next.dir[i].fd); /* the folders are groups's too */
        }
    }
    host_cgroups_close(&groups);
}

TEST(bad_names_are_refused)
{
    static const char *const bad[] = {"", ".", "..", "a/b", "../up", "a b", "a\n", "\xc3\xa4"};
    struct host_cgroup group;
    struct host_cgroups none;
    REQUIRE(open_groups());
    for (size_t i = 0; i < WM_COUNT_OF(bad); i++) {
        CHECK_INT(host_cgroup_make(&groups, bad[i], &(struct host_cgroup_limits){0}, &group, &diag),
                  ==, WM_E_USAGE);
        CHECK_INT(host_cgroups_open(&(struct host_cgroup_options){.prefix = bad[i]}, &none, &diag),
                  ==, WM_E_USAGE);
    }
    CHECK_INT(host_cgroup_make(&groups, "w", &(struct host_cgroup_limits){.cpu_weight = 10001},
                               &group, &diag),
              ==, WM_E_USAGE);
    host_cgroups_close(&groups);
}

/* Each of three processes makes and removes the folder that all of them share. */
TEST(nodes_come_and_go_together)
{
    pid_t pid[3];
    REQUIRE(open_groups());
    bool any = groups.dir_count > 0;
    unsigned dirs = groups.dir_count;
    host_cgroups_close(&groups);
    if (!any) {
        SKIP("%s", why_not(HOST_CGROUP_WEIGHT));
    }
    for (int i = 0; i < 3; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            for (int round = 0; round < 100; round++) {
                if (!open_groups() || groups.dir_count != dirs) {
                    _exit(1);
                }
                host_cgroups_close(&groups);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) {
        int status = -1;
        CHECK(waitpid(pid[i], &status, 0) == pid[i] && status == 0);
    }
}

TEST(every_kernel_call_can_fail)
{
    struct host_cgroup group;
    struct host_cgroup_usage usage;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        if (!open_groups()) {
            continue;
        }
        struct host_cgroup_limits limits = {200, 50, 1 << 24, 9};
        if (host_cgroup_make(&groups, "f", &limits, &group, &diag) == 0) {
            if (host_cgroup_usage(&groups, &group, &usage) != 0 ||
                host_cgroup_remove(&groups, &group, &diag) != 0) {
                CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, 0);
            }
        }
        host_cgroups_close(&groups);
    }
    /* Nothing is left behind that the next one could trip over. */
    REQUIRE(open_groups());
    CHECK_INT(host_cgroup_make(&groups, "f", &(struct host_cgroup_limits){0}, &group, &diag), ==,
              0);
    CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, 0);
    host_cgroups_close(&groups);
}

/* --- version 2, drawn with plain files --- */

static char tree[256];

static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", tree, path);
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static const char *content(const char *path)
{
    static char text[256];
    char full[512];
    snprintf(full, sizeof full, "%s/%s", tree, path);
    int fd = open(full, O_RDONLY);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[len > 0 ? len : 0] = '\0';
    return text;
}

static void folder(const char *path)
{
    static const char *const files[] = {
        "cgroup.procs", "cgroup.subtree_control", "cpu.weight", "cpu.max",
        "memory.max",   "memory.swap.max",        "pids.max"};
    char full[512];
    snprintf(full, sizeof full, "%s/%s", tree, path);
    CHECK(mkdir(full, 0700) == 0);
    for (size_t i = 0; i < WM_COUNT_OF(files); i++) {
        snprintf(full, sizeof full, "%s/%s", path, files[i]);
        put(full, "");
    }
    snprintf(full, sizeof full, "%s/cgroup.controllers", path);
    put(full, "cpuset cpu io memory pids\n");
}

static void draw_v2(const char *controllers)
{
    char text[512];
    snprintf(tree, sizeof tree, "/tmp/wm-cgroup-test-XXXXXX");
    CHECK(mkdtemp(tree) != NULL);
    folder("unit.service");
    put("unit.service/cgroup.controllers", controllers);
    folder("unit.service/wardmote");
    folder("unit.service/wardmote/n1");
    folder("unit.service/wardmote/n1/alice");
    put("membership", "1:name=systemd:/elsewhere\n0::/unit.service/wardmote-node\n");
    snprintf(text, sizeof text,
             "30 25 0:26 / /proc rw - proc proc rw\n"
             "42 32 0:39 / %s rw,nosuid shared:9 - cgroup2 cgroup rw,nsdelegate\n",
             tree);
    put("mountinfo", text);
}

static int open_drawing(struct host_cgroups *out)
{
    static char mountinfo[512], membership[512];
    snprintf(mountinfo, sizeof mountinfo, "%s/mountinfo", tree);
    snprintf(membership, sizeof membership, "%s/membership", tree);
    return host_cgroups_open(&(struct host_cgroup_options){.prefix = "n1",
                                                           .mountinfo_path = mountinfo,
                                                           .membership_path = membership},
                             out, &diag);
}

static void erase(const char *path)
{
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", path, (char *)NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
}

TEST(version_2_files)
{
    struct host_cgroup group;
    struct host_cgroup_usage usage;
    struct host_cgroups drawn;
    draw_v2("cpuset cpu io memory pids\n");
    REQUIRE(open_drawing(&drawn) == 0);
    CHECK_INT(drawn.dir_count, ==, 1);
    for (unsigned part = 0; part < HOST_CGROUP_PARTS; part++) {
        CHECK(host_cgroups_has(&drawn, (enum host_cgroup_part)part));
    }
    char line[300];
    CHECK_STR(host_cgroups_line(&drawn, HOST_CGROUP_MEMORY, line, sizeof line),
              "memory limit: cgroup v2");
    CHECK(content("unit.service/cgroup.subtree_control")[0] == '+');
    CHECK(content("unit.service/wardmote/n1/cgroup.subtree_control")[0] == '+');

    struct host_cgroup_limits limits = {250, 150, 1 << 25, 7};
    REQUIRE(host_cgroup_make(&drawn, "alice", &limits, &group, &diag) == 0);
    CHECK_STR(content("unit.service/wardmote/n1/alice/cpu.weight"), "250");
    CHECK_STR(content("unit.service/wardmote/n1/alice/cpu.max"), "150000 100000");
    CHECK_STR(content("unit.service/wardmote/n1/alice/memory.max"), "33554432");
    CHECK_STR(content("unit.service/wardmote/n1/alice/memory.swap.max"), "0");
    CHECK_STR(content("unit.service/wardmote/n1/alice/pids.max"), "7");
    CHECK_INT(host_cgroup_set(&drawn, &group, &(struct host_cgroup_limits){0}, &diag), ==, 0);
    CHECK_STR(content("unit.service/wardmote/n1/alice/cpu.weight"), "100");
    CHECK_STR(content("unit.service/wardmote/n1/alice/cpu.max"), "max 100000");
    CHECK_STR(content("unit.service/wardmote/n1/alice/memory.max"), "max");
    CHECK_STR(content("unit.service/wardmote/n1/alice/pids.max"), "max");
    CHECK_INT(host_cgroup_attach(&drawn, &group, 4711, &diag), ==, 0);
    CHECK_STR(content("unit.service/wardmote/n1/alice/cgroup.procs"), "4711");

    put("unit.service/wardmote/n1/alice/cpu.stat",
        "usage_usec 1500\nuser_usec 1\nnr_throttled 3\nthrottled_usec 20\n");
    put("unit.service/wardmote/n1/alice/memory.current", "8192\n");
    put("unit.service/wardmote/n1/alice/memory.events", "low 0\nmax 5\noom 2\noom_kill 1\n");
    CHECK_INT(host_cgroup_usage(&drawn, &group, &usage), ==, 0);
    CHECK_INT(usage.cpu_ns, ==, 1500000);
    CHECK_INT(usage.throttled_count, ==, 3);
    CHECK_INT(usage.throttled_ns, ==, 20000);
    CHECK_INT(usage.memory_bytes, ==, 8192);
    CHECK_INT(usage.memory_kills, ==, 1);
    erase(tree);
    CHECK_INT(host_cgroup_remove(&drawn, &group, &diag), ==, 0);
    host_cgroups_close(&drawn);
}

TEST(version_2_without_controllers)
{
    struct host_cgroup group;
    struct host_cgroups drawn;
    draw_v2("hugetlb\n");
    REQUIRE(open_drawing(&drawn) == 0);
    CHECK(!host_cgroups_has(&drawn, HOST_CGROUP_WEIGHT));
    CHECK(host_cgroups_has(&drawn, HOST_CGROUP_ACCOUNT));
    char line[400];
    host_cgroups_line(&drawn, HOST_CGROUP_MEMORY, line, sizeof line);
    wm_test_note("%s", line);
    CHECK(strstr(line, "memory limit: not available: the controller 'memory'"));
    CHECK(strstr(line, "Delegate=memory"));
    struct host_cgroup_limits limits = {.memory_bytes = 1 << 25, .pids = 7};
    REQUIRE(host_cgroup_make(&drawn, "alice", &limits, &group, &diag) == 0);
    CHECK_INT(group.missing, ==, 1 << HOST_CGROUP_MEMORY | 1 << HOST_CGROUP_PIDS);
    erase(tree);
    CHECK_INT(host_cgroup_remove(&drawn, &group, &diag), ==, 0);
    host_cgroups_close(&drawn);
}

/* The version 2 hierarchy of this machine, as if there were no other. It counts time at least. */
TEST(version_2_of_this_machine)
{
    char mounts[16384], line[512], path[300];
    snprintf(tree, sizeof tree, "/tmp/wm-cgroup-test-XXXXXX");
    REQUIRE(mkdtemp(tree) != NULL);
    FILE *file = fopen("/proc/self/mountinfo", "re");
    mounts[0] = '\0';
    while (file && fgets(line, sizeof line, file)) {
        if (strstr(line, " - cgroup2 ")) {
            snprintf(mounts, sizeof mounts, "%s", line);
        }
    }
    if (file) {
        fclose(file);
    }
    put("mountinfo", mounts);
    snprintf(path, sizeof path, "%s/mountinfo", tree);
    snprintf(prefix, sizeof prefix, "test2-%d", (int)getpid());
    int err = host_cgroups_open(
        &(struct host_cgroup_options){.prefix = prefix, .mountinfo_path = path}, &groups, &diag);
    erase(tree);
    REQUIRE(err == 0);
    if (!host_cgroups_has(&groups, HOST_CGROUP_ACCOUNT)) {
        host_cgroups_close(&groups);
        SKIP("%s", why_not(HOST_CGROUP_ACCOUNT));
    }
    CHECK_INT(groups.dir[0].version, ==, 2);
    struct host_cgroup group;
    struct host_cgroup_usage usage;
    REQUIRE(host_cgroup_make(&groups, "v2", &(struct host_cgroup_limits){.cpu_weight = 200}, &group,
                             &diag) == 0);
    CHECK((group.missing == 0) == host_cgroups_has(&groups, HOST_CGROUP_WEIGHT));
    pid_t pid = start(spins);
    CHECK_INT(host_cgroup_attach(&groups, &group, pid, &diag), ==, 0);
    kill(pid, SIGCONT);
    sleep_ms(200);
    end(pid);
    CHECK_INT(host_cgroup_usage(&groups, &group, &usage), ==, 0);
    wm_test_note("version 2 counts %.0f ms", (double)usage.cpu_ns / 1e6);
    CHECK(usage.cpu_ns > 20000000 && usage.cpu_ns < 1000000000);
    CHECK_INT(host_cgroup_remove(&groups, &group, &diag), ==, 0);
    host_cgroups_close(&groups);
}

/* Mounts as other machines write them, and lines that no kernel writes. */
TEST(mount_tables_of_others)
{
    static const char *const tables[] = {
        "",
        "\n\n\n",
        "42\n42 32 0:39\n42 32 0:39 / /x rw - \n42 32 0:39 / /x rw - cgroup2\n",
        "42 32 0:39 / /x rw - cgroup2 cgroup\n",
        "31 24 0:27 / /nowhere\\040here rw shared:1 - cgroup cgroup rw,cpu,memory,pids\n",
        "31 24 0:27 /docker/a /nowhere rw - cgroup2 none rw",
    };
    struct host_cgroups drawn;
    char line[400];
    draw_v2("cpu\n");
    for (size_t i = 0; i < WM_COUNT_OF(tables); i++) {
        put("mountinfo", tables[i]);
        CHECK_INT(open_drawing(&drawn), ==, 0);
        CHECK_INT(drawn.dir_count, ==, 0);
        host_cgroups_line(&drawn, HOST_CGROUP_WEIGHT, line, sizeof line);
        CHECK(strstr(line, i == 4 ? "/nowhere here" : "not available: "));
        host_cgroups_close(&drawn);
    }
    erase(tree);
}

TEST_MAIN(TEST_CASE(report_names_every_part), TEST_CASE(weights_share_a_processor),
          TEST_CASE(quota_throttles), TEST_CASE(memory_is_limited),
          TEST_CASE(processes_are_limited), TEST_CASE(groups_in_use_and_left_over),
          TEST_CASE(workers_that_outlive_their_node), TEST_CASE(bad_names_are_refused),
          TEST_CASE(nodes_come_and_go_together), TEST_CASE(every_kernel_call_can_fail),
          TEST_CASE(version_2_files), TEST_CASE(version_2_of_this_machine),
          TEST_CASE(version_2_without_controllers), TEST_CASE(mount_tables_of_others))
