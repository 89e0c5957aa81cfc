#include "isolated.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "bench.h"
#include "host/netns.h"

static int attach(void *self, int pid, struct wm_diag *diag)
{
    struct isolated *isolated = self;
    return host_cgroup_attach(&isolated->groups, &isolated->group, pid, diag);
}

void isolated_start(struct isolated *out, const char *name, uint32_t executors, uint32_t slots)
{
    struct wm_diag diag = WM_DIAG_INIT;
    char prefix[64];
    struct host_cgroup_options options = {.prefix = prefix};
    struct host_cgroup_limits limits = {
        .cpu_weight = 100, .memory_bytes = UINT64_C(8) << 30, .pids = 256};
    *out = (struct isolated){.netns = -1};
    snprintf(prefix, sizeof prefix, "bench-%d", (int)getpid());
    if (host_cgroups_open(&options, &out->groups, &diag) != 0 || out->groups.dir_count == 0 ||
        host_cgroup_make(&out->groups, name, &limits, &out->group, &diag) != 0 ||
        (out->netns = host_net_local(&diag)) < 0) {
        bench_die("isolation: not on this machine, or not as this user: %s", wm_diag_text(&diag));
    }
    struct link_config config = {.executors = executors,
                                 .ready = executors,
                                 .slots = slots,
                                 .netns_fd = out->netns,
                                 .spawned = attach,
                                 .spawned_self = out};
    out->link = test_worker_start(&config);
}

void isolated_end(struct isolated *isolated)
{
    struct wm_diag diag = WM_DIAG_INIT;
    link_close(isolated->link);
    close(isolated->netns);
    if (host_cgroup_remove(&isolated->groups, &isolated->group, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    host_cgroups_close(&isolated->groups);
}

static void describe(struct test_function *function, const char *module, uint32_t handle)
{
    static char name[32];
    snprintf(name, sizeof name, "noop-%" PRIu32, handle);
    *function = (struct test_function){
        .module = module,
        .tenant = "bench",
        .name = name,
        .kind = FUNCTION_FAASLET,
        .handle = handle,
        .limits = {.chained = 1024},
    };
}

void isolated_prepare(const char *module, int fds[2])
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct link_config config = {.executors = 1, .slots = 1};
    struct link *link = test_worker_start(&config);
    struct test_function function;
    describe(&function, module, 1);
    if (test_worker_prepare(link, &function, fds, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    link_close(link);
}

void isolated_load(struct isolated *isolated, const int fds[2], uint32_t first, uint32_t count)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct test_function function;
    for (uint32_t i = 0; i < count; i++) {
        describe(&function, NULL, first + i);
        if (test_worker_add(isolated->link, &function, fds, &diag) != 0) {
            bench_die("function %" PRIu32 ": %s", first + i, wm_diag_text(&diag));
        }
    }
}

static void submit(struct channel *channel, uint32_t handle)
{
    static uint64_t id;
    struct channel_call call = {.id = ++id, .function = handle, .func_idx = UINT32_MAX};
    channel_submit(channel, channel_take_slot(channel), &call);
}

uint32_t isolated_drive(struct isolated *isolated, uint32_t first, uint32_t functions,
                        uint32_t *turn, uint32_t calls, uint32_t in_flight)
{
    struct channel *channel = link_channel(isolated->link);
    uint32_t out = 0, done = 0, cold = 0;
    while (done < calls) {
        while (out < calls && out - done < in_flight) {
            submit(channel, first + (*turn)++ % functions);
            out++;
        }
        channel_ring(channel);
        struct channel_result result;
        struct channel_views views;
        uint32_t slot, before = done;
        int rc;
        while ((rc = channel_next_completion(channel, &slot, &result, &views)) == 1) {
            if (result.end != CALL_END_OK) {
                bench_die("a call ended with %s: %.*s", call_end_text((enum call_end)result.end),
                          (int)views.message.len, (const char *)views.message.ptr);
            }
            cold += result.cold != 0;
            channel_free_slot(channel, slot);
            done++;
        }
        if (rc < 0) {
            bench_die("channel: %s", wm_error_text(rc));
        }
        struct pollfd event = {.fd = link_event_fd(isolated->link), .events = POLLIN};
        if (done == before) {
            if (poll(&event, 1, 60000) != 1) {
                bench_die("the worker gives no answer");
            }
            link_event_clear(isolated->link);
        }
    }
    return cold;
}

int64_t isolated_cpu_ns(const struct isolated *isolated)
{
    clockid_t clock;
    struct timespec now;
    if (clock_getcpuclockid(link_process(isolated->link)->pid, &clock) != 0 ||
        clock_gettime(clock, &now) != 0) {
        bench_die("the worker's processor time cannot be read");
    }
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* "NAME:   123 kB" of a file of /proc. */
static double kib_of(const char *path, const char *name)
{
    char line[256];
    double kib = -1;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        size_t len = strlen(name);
        if (strncmp(line, name, len) == 0 && line[len] == ':' &&
            sscanf(line + len + 1, "%lf kB", &kib) == 1) {
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    if (kib < 0) {
        bench_die("%s: no %s", path, name);
    }
    return kib;
}

void isolated_memory(const struct isolated *isolated, struct isolated_memory *out)
{
    char path[64], line[512];
    int pid = link_process(isolated->link)->pid;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    out->pss = kib_of(path, "Pss");
    out->rss = kib_of(path, "Rss");
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    out->page_tables = kib_of(path, "VmPTE");
    struct host_cgroup_usage usage;
    out->group = host_cgroup_usage(&isolated->groups, &isolated->group, &usage) == 0
                     ? (double)usage.memory_bytes / 1024
                     : 0;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *file = fopen(path, "re");
    out->maps = 0;
    while (file && fgets(line, sizeof line, file)) {
        out->maps++;
    }
    if (file) {
        fclose(file);
    }
}
