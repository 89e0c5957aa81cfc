/* isolated.h: for benches: a worker process as a node has it: confined, in a control group and a
 * network namespace of its own, with functions in it; and calls made to it through its channel.
 *
 * Stops the program where this machine has no control groups or namespaces: a figure of isolation
 * is not taken without it. */
#ifndef BENCH_ISOLATED_H
#define BENCH_ISOLATED_H

#include "common/worker.h"
#include "host/cgroup.h"

struct isolated {
    struct host_cgroups groups;
    struct host_cgroup group;
    int netns;
    struct link *link;
};

/* `name`: of the group; executors and slots as in link.h. */
void isolated_start(struct isolated *out, const char *name, uint32_t executors, uint32_t slots);
void isolated_end(struct isolated *isolated);
/* Loads one prepared function (test_worker_prepare) under the handles first, first + 1, ... */
void isolated_load(struct isolated *isolated, const int fds[2], uint32_t first, uint32_t count);
/* Compiles `module` and makes its Proto-Faaslet in some worker. */
void isolated_prepare(const char *module, int fds[2]);

/* Makes `calls` calls to the handles first to first + functions - 1 in turn, from *turn on,
 * at most `in_flight` at a time. How many of them were cold; dies unless each ended well. */
uint32_t isolated_drive(struct isolated *isolated, uint32_t first, uint32_t functions,
                        uint32_t *turn, uint32_t calls, uint32_t in_flight);

/* Processor time of all its threads so far. */
int64_t isolated_cpu_ns(const struct isolated *isolated);
/* KiB. */
struct isolated_memory {
    double rss, pss, page_tables;
    double group; /* charged to its control group, with the kernel's memory for it */
    uint64_t maps;
};
void isolated_memory(const struct isolated *isolated, struct isolated_memory *out);

#endif
