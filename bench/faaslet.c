/* faaslet.c: what Faaslets cost, in a worker as a node has it (isolated.h).
 *
 *   cold start   a call of a function that does nothing and has no slot: from its submission to
 *                its result in the caller's hands, through the channel and back, the worker being
 *                confined, in its control group and network namespace. Each call is of another
 *                function than the last ones were, so that each binds a slot anew. Caller and
 *                worker are on one processor, as for chained calls
 *   .two_cores_us   the same on two: each hand-over wakes an idle processor, which on a virtual
 *                machine takes longer than all the rest. .anywhere_us: as the kernel places them
 *   .engine_us   the same without the hand-over: processor time of the worker for each call, all
 *                in (binding, call, result, reset), while calls are always waiting
 *   .process_ms  a tenant's first call: group, namespace, process, function, call
 *   warm call    of one function, two executors, many on their way: processor time of both sides
 *   cold starts  two executors, as many calls on their way as they can use
 *   idle         12,000 functions of one module that were called once and wait for more, in one
 *                worker: what each adds to its PSS, all in (Proto-Faaslet, slot); to its page
 *                tables, which are not in the PSS; to all that its control group is charged for
 *   chain        chained calls that are awaited, one after the other: on the caller's thread, and
 *                by another executor on another processor
 *
 * Peers: crun (create, start, delete) for a static program that does nothing, and fork and exec of
 * it alone; where threads meet, a round trip between two of them by futex. runsc is not packaged
 * here. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "isolated.h"

#define SLOTS 32u
#define FUNCTIONS 512u /* more than slots, so that each call in turn is cold */
#define STARTS 50u     /* in a round */
#define BURST 4000u
#define IN_FLIGHT 128u
#define PARKED 12000u
#define CHAINED 1000u

static void expect(uint32_t cold, uint32_t wanted)
{
    if (cold != wanted) {
        bench_die("%" PRIu32 " calls were cold and not %" PRIu32, cold, wanted);
    }
}

static void figure(const struct bench_config *config, const char *name, double *values,
                   size_t count, double goal, bool at_least, const char *unit, const char *peer,
                   double peer_value)
{
    struct bench_stat stat = bench_stat(values, count);
    struct bench_figure figure = {.name = name,
                                  .value = stat.median,
                                  .unit = unit,
                                  .goal = goal,
                                  .goal_at_least = at_least,
                                  .peer = peer,
                                  .peer_value = peer_value,
                                  .spread = stat.q3 - stat.q1,
                                  .runs = count};
    bench_figure_write(config, &figure);
}

/* --- Placement --- */

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

enum placement { ANYWHERE, ON_FIRST, ON_SECOND, IN_TURN };

/* A worker's threads; IN_TURN: two executors, which were made one after the other, are on two. */
static void place(const struct isolated *isolated, enum placement placement)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", link_process(isolated->link)->pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        if (entry->d_name[0] != '.') {
            cpu_set_t set;
            CPU_ZERO(&set);
            if (placement == ANYWHERE || placement == ON_FIRST ||
                (placement == IN_TURN && count % 2 == 0)) {
                CPU_SET(0, &set);
            }
            if (placement == ANYWHERE || placement == ON_SECOND ||
                (placement == IN_TURN && count % 2 == 1)) {
                CPU_SET(1, &set);
            }
            count++;
            (void)sched_setaffinity(atoi(entry->d_name), sizeof set, &set);
        }
    }
    if (tasks) {
        closedir(tasks);
    }
}

/* --- Two threads and a futex --- */

struct ping {
    _Alignas(64) _Atomic uint32_t word;
    uint32_t turns;
    int cpu;
};

static void turn_to(_Atomic uint32_t *word, uint32_t wanted, uint32_t next)
{
    uint32_t now;
    while ((now = atomic_load(word)) != wanted) {
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
    }
    atomic_store(word, next);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *ping_main(void *arg)
{
    struct ping *ping = arg;
    pin(ping->cpu);
    for (uint32_t i = 0; i < ping->turns; i++) {
        turn_to(&ping->word, 1, 0);
    }
    return NULL;
}

/* A round trip between two threads, on processors 0 and `other`. */
static double futex_us(int other)
{
    struct ping ping = {.turns = 500, .cpu = other};
    cpu_set_t before;
    pthread_t thread;
    (void)sched_getaffinity(0, sizeof before, &before);
    pin(0);
    if (pthread_create(&thread, NULL, ping_main, &ping) != 0) {
        bench_die("a thread cannot be made");
    }
    int64_t began_ns = bench_now_ns(BENCH_WALL);
    for (uint32_t i = 0; i < ping.turns; i++) {
        turn_to(&ping.word, 0, 1);
    }
    pthread_join(thread, NULL);
    double us = (double)(bench_now_ns(BENCH_WALL) - began_ns) / 1e3 / ping.turns;
    (void)sched_setaffinity(0, sizeof before, &before);
    return us;
}

/* --- Cold starts --- */

/* crun refuses machines whose version 2 hierarchy has controllers beside version 1 (hybrid): in
 * this process's own view there is then no version 2. */
static void hide_hybrid(void)
{
    const char *unified = "/sys/fs/cgroup/unified";
    if (access(unified, F_OK) == 0 && unshare(CLONE_NEWNS) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
        (void)umount2(unified, MNT_DETACH);
    }
}

/* A process whose output nobody reads: a container that it leaves behind would hold a pipe open. */
static void must(char *const argv[])
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    if (posix_spawn_file_actions_init(&actions) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, 0, 1) != 0 ||
        posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) != 0 ||
        waitpid(pid, &status, 0) != pid || status != 0) {
        bench_die("%s %s: failed", argv[0], argv[1]);
    }
    posix_spawn_file_actions_destroy(&actions);
}

/* One container, from nothing to nothing, in microseconds. */
static double crun_us(const struct bench_config *config)
{
    static char *bundle;
    char id[48];
    bundle = bundle ? bundle : bench_path(config, "faaslet/bundle");
    snprintf(id, sizeof id, "wardmote-bench-%d", (int)getpid());
    char *create[] = {"crun", "create", "--bundle", bundle, id, NULL};
    char *start[] = {"crun", "start", id, NULL}, *delete[] = {"crun", "delete", "-f", id, NULL};
    int64_t began_ns = bench_now_ns(BENCH_WALL);
    must(create);
    must(start);
    must(delete);
    return (double)(bench_now_ns(BENCH_WALL) - began_ns) / 1e3;
}

static double exec_us(const struct bench_config *config)
{
    struct bench_process process;
    char *argv[] = {bench_path(config, "faaslet/bundle/rootfs/noop"), NULL};
    bench_process_must(argv, &process);
    return (double)process.wall_ns / 1e3;
}

static double process_ms(const int fds[2])
{
    struct isolated isolated;
    uint32_t turn = 0;
    int64_t began_ns = bench_now_ns(BENCH_WALL);
    isolated_start(&isolated, "first", 2, SLOTS);
    isolated_load(&isolated, fds, 1, 1);
    expect(isolated_drive(&isolated, 1, 1, &turn, 1, 1), 1);
    double ms = (double)(bench_now_ns(BENCH_WALL) - began_ns) / 1e6;
    isolated_end(&isolated);
    return ms;
}

/* The median of STARTS calls, one at a time. */
static double start_us(struct isolated *isolated, uint32_t first, uint32_t functions,
                       uint32_t *turn, bool cold)
{
    double samples[STARTS];
    for (uint32_t i = 0; i < STARTS; i++) {
        int64_t began_ns = bench_now_ns(BENCH_WALL);
        expect(isolated_drive(isolated, first, functions, turn, 1, 1), cold ? 1 : 0);
        samples[i] = (double)(bench_now_ns(BENCH_WALL) - began_ns) / 1e3;
    }
    return bench_stat(samples, STARTS).median;
}

/* The same with the caller on one processor and the worker on that or another one. */
static double start_placed_us(struct isolated *isolated, enum placement placement, uint32_t *turn)
{
    cpu_set_t before;
    (void)sched_getaffinity(0, sizeof before, &before);
    pin(0);
    place(isolated, placement);
    double us = start_us(isolated, 2, FUNCTIONS - 1, turn, true);
    place(isolated, ANYWHERE);
    (void)sched_setaffinity(0, sizeof before, &before);
    return us;
}

static void cold_starts(const struct bench_config *config, const int fds[2])
{
    static double start[BENCH_ROUNDS_MAX], warm[BENCH_ROUNDS_MAX], engine[BENCH_ROUNDS_MAX];
    static double rate[BENCH_ROUNDS_MAX], crun[BENCH_ROUNDS_MAX], exec[BENCH_ROUNDS_MAX];
    static double process[BENCH_ROUNDS_MAX], both[BENCH_ROUNDS_MAX];
    static double one_core[BENCH_ROUNDS_MAX], two_cores[BENCH_ROUNDS_MAX];
    static double futex[BENCH_ROUNDS_MAX];
    bool has_crun = bench_exists("/usr/bin/crun");
    struct isolated one, two;
    uint32_t turn = 0, zero = 0;
    cpu_set_t everywhere;
    (void)sched_getaffinity(0, sizeof everywhere, &everywhere);
    isolated_start(&one, "one", 1, SLOTS);
    isolated_start(&two, "two", 2, SLOTS);
    isolated_load(&one, fds, 1, FUNCTIONS);
    isolated_load(&two, fds, 1, FUNCTIONS);
    for (int r = -2; r < config->rounds; r++) { /* the first rounds only warm up */
        int at = r < 0 ? 0 : r;
        start[at] = start_us(&one, 2, FUNCTIONS - 1, &turn, true);
        one_core[at] = start_placed_us(&one, ON_FIRST, &turn);
        futex[at] = futex_us(1);
        two_cores[at] = start_placed_us(&one, ON_SECOND, &turn);
        exec[at] = exec_us(config);
        (void)isolated_drive(&one, 1, 1, &zero, 1, 1);
        place(&one, ON_FIRST);
        pin(0);
        warm[at] = start_us(&one, 1, 1, &zero, false);
        (void)sched_setaffinity(0, sizeof everywhere, &everywhere);
        place(&one, ANYWHERE);
        crun[at] = has_crun ? crun_us(config) : 0;

        int64_t began_ns = isolated_cpu_ns(&one);
        expect(isolated_drive(&one, 2, FUNCTIONS - 1, &turn, BURST, IN_FLIGHT), BURST);
        engine[at] = (double)(isolated_cpu_ns(&one) - began_ns) / 1e3 / BURST;
        began_ns = bench_now_ns(BENCH_WALL);
        /* Which executor takes which is not ours to say: some find theirs warm. */
        uint32_t cold = isolated_drive(&two, 2, FUNCTIONS - 1, &turn, BURST, IN_FLIGHT);
        rate[at] = cold * 1e9 / (double)(bench_now_ns(BENCH_WALL) - began_ns);
        (void)isolated_drive(&two, 1, 1, &zero, IN_FLIGHT, IN_FLIGHT);
        began_ns = bench_now_ns(BENCH_THREAD_CPU) + isolated_cpu_ns(&two);
        (void)isolated_drive(&two, 1, 1, &zero, 5 * BURST, IN_FLIGHT);
        both[at] = (double)(bench_now_ns(BENCH_THREAD_CPU) + isolated_cpu_ns(&two) - began_ns) /
                   1e3 / (5 * BURST);
        process[at] = process_ms(fds);
    }
    isolated_end(&one);
    isolated_end(&two);
    size_t count = (size_t)config->rounds;
    double crun_median_us = has_crun ? bench_stat(crun, count).median : 0;
    const char *peer = has_crun ? "crun create, start, delete" : NULL;
    figure(config, "faaslet.cold_start.p50_us", one_core, count, 30, false, "us", peer,
           crun_median_us);
    figure(config, "faaslet.cold_start.engine_us", engine, count, 10, false, "us",
           "fork, exec, wait", bench_stat(exec, count).median);
    figure(config, "faaslet.cold_start.two_cores_us", two_cores, count, 0, false, "us",
           "futex round trip, two cores", bench_stat(futex, count).median);
    figure(config, "faaslet.cold_start.anywhere_us", start, count, 0, false, "us", NULL, 0);
    figure(config, "faaslet.cold_start.warm_us", warm, count, 0, false, "us", NULL, 0);
    figure(config, "faaslet.warm_call_us", both, count, 0, false, "us", NULL, 0);
    figure(config, "faaslet.cold_start.process_ms", process, count, 0, false, "ms", peer,
           crun_median_us / 1e3);
    figure(config, "faaslet.cold_starts_per_s", rate, count, 20000, true, "1/s", peer,
           has_crun ? 1e6 / crun_median_us : 0);
}

/* --- Idle Faaslets --- */

/* Of `writes` 0: the function does nothing; else its calls write so many pages. */
static void idle(const struct bench_config *config, const int fds[2], uint32_t writes)
{
    struct isolated isolated;
    struct isolated_memory empty, loaded, parked;
    const uint32_t words[2] = {3, writes};
    struct wm_view input = wm_view_of(words, writes == 0 ? 0 : sizeof words);
    uint32_t turn = 0;
    isolated_start(&isolated, "idle", 1, PARKED);
    isolated_load(&isolated, fds, 1, 1);
    (void)isolated_drive(&isolated, 1, 1, &turn, 2, 1); /* the executor itself is warm */
    isolated_memory(&isolated, &empty);
    isolated_load(&isolated, fds, 2, PARKED - 1);
    isolated_memory(&isolated, &loaded);
    for (uint32_t i = 2; i <= PARKED; i++) {
        struct test_result result;
        test_worker_submit(isolated.link, i, input, 0);
        test_worker_wait(isolated.link, &result);
        if (result.result.end != CALL_END_OK || !result.result.cold) {
            bench_die("%s", result.message);
        }
    }
    isolated_memory(&isolated, &parked);
    turn = 0; /* and they are there */
    expect(isolated_drive(&isolated, 2, PARKED - 1, &turn, PARKED - 1, 64), 0);
    isolated_end(&isolated);
    double each = PARKED - 1, pss = (parked.pss - empty.pss) / each;
    double rss = (parked.rss - empty.rss) / each;
    double tables = (parked.page_tables - empty.page_tables) / each;
    double group = (parked.group - empty.group) / each;
    printf("%u parked: PSS %.0f MiB; of each %.1f KiB before its first call; %" PRIu64
           " mappings; %.1f KiB of page tables, %.1f KiB in all to the control group\n",
           PARKED, parked.pss / 1024, (loaded.pss - empty.pss) / each, parked.maps, tables, group);
    if (writes != 0) {
        figure(config, "faaslet.idle_written4_pss_kb", &pss, 1, 0, false, "KiB", NULL, 0);
        return;
    }
    figure(config, "faaslet.idle_pss_kb", &pss, 1, 40, false, "KiB", NULL, 0);
    figure(config, "faaslet.idle_rss_kb", &rss, 1, 0, false, "KiB", NULL, 0);
    figure(config, "faaslet.idle_page_tables_kb", &tables, 1, 0, false, "KiB", NULL, 0);
    figure(config, "faaslet.idle_group_kb", &group, 1, 0, false, "KiB", NULL, 0);
}

/* --- Chained calls --- */

static double chain_us(struct isolated *isolated, uint32_t what, uint32_t count)
{
    struct test_result result;
    uint32_t words[2] = {what, count};
    test_worker_submit(isolated->link, 1, wm_view_of(words, sizeof words), 0);
    test_worker_wait(isolated->link, &result);
    if (result.result.end != CALL_END_OK) {
        bench_die("chained calls: %s: %s", call_end_text((enum call_end)result.result.end),
                  result.message);
    }
    return (double)result.result.usage.wall_ns / 1e3 / count;
}

static void chains(const struct bench_config *config, const int fds[2])
{
    static double here[BENCH_ROUNDS_MAX], across[BENCH_ROUNDS_MAX], futex_here[BENCH_ROUNDS_MAX],
        futex_across[BENCH_ROUNDS_MAX];
    struct isolated isolated;
    isolated_start(&isolated, "chain", 2, SLOTS);
    isolated_load(&isolated, fds, 1, 1);
    place(&isolated, IN_TURN);
    for (int r = -1; r < config->rounds; r++) {
        int at = r < 0 ? 0 : r;
        here[at] = chain_us(&isolated, 1, CHAINED);
        futex_here[at] = futex_us(0);
        across[at] = chain_us(&isolated, 2, CHAINED / 10);
        futex_across[at] = futex_us(1);
    }
    isolated_end(&isolated);
    size_t count = (size_t)config->rounds;
    figure(config, "faaslet.chain_us", here, count, 10, false, "us", "futex round trip, same core",
           bench_stat(futex_here, count).median);
    figure(config, "faaslet.chain_across_us", across, count, 0, false, "us",
           "futex round trip, two cores", bench_stat(futex_across, count).median);
}

int main(int argc, char **argv)
{
    struct bench_config config = bench_start(argc, argv, 41);
    int fds[2];
    hide_hybrid();
    isolated_prepare(bench_path(&config, "faaslet/guest.wasm"), fds);
    if (!getenv("ONLY_IDLE"))
        cold_starts(&config, fds);
    chains(&config, fds);
    idle(&config, fds, 0);
    idle(&config, fds, 4);
    return 0;
}
