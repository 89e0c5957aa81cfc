/* hello.c: the whole process for a hello world that was compiled before: from spawn to exit, wall
 * time.
 *
 * Peers are the same program native and in Node. The dynamic linker, the option parser, the object
 * cache and the guest's set-up are all in it: what a user at a shell waits for. */
#include <stdio.h>
#include <string.h>

#include "bench.h"

enum { OURS, NATIVE, NODE, PROGRAMS };

int main(int argc, char **argv)
{
    static double ms[PROGRAMS][BENCH_ROUNDS_MAX], cpu[BENCH_ROUNDS_MAX];
    struct bench_config config = bench_start(argc, argv, 101);
    char *wasm = bench_path(&config, "hello/hello.wasm");
    struct bench_process process;
    if (config.wardmote == NULL) {
        bench_die("%s/wardmote: not built", config.build);
    }
    char *wardmote = (char *)config.wardmote;
    char *programs[PROGRAMS][6] = {
        [OURS] = {wardmote, "run", wasm},
        [NATIVE] = {bench_path(&config, "hello/hello.native")},
        [NODE] = {"node", "--no-warnings", bench_path(&config, "peers/node_wasi.mjs"), wasm},
    };
    char *compile[] = {wardmote, "compile", wasm, NULL};
    bench_process_must(compile, &process);
    for (int r = -1; r < config.rounds; r++) { /* round -1 only warms up */
        for (int i = 0; i < PROGRAMS; i++) {
            bench_process_must(programs[i], &process);
            if (strncmp(process.out, "hello", 5) != 0) {
                bench_die("%s printed \"%.100s\"", programs[i][0], process.out);
            }
            if (r >= 0) {
                ms[i][r] = (double)process.wall_ns / 1e6;
                cpu[r] = i == OURS ? (double)process.cpu_ns / 1e6 : cpu[r];
            }
        }
    }
    struct bench_stat ours = bench_stat(ms[OURS], (size_t)config.rounds);
    struct bench_stat native = bench_stat(ms[NATIVE], (size_t)config.rounds);
    struct bench_stat node = bench_stat(ms[NODE], (size_t)config.rounds);
    struct bench_figure figure = {.name = "run.hello_ms",
                                  .value = ours.median,
                                  .unit = "ms",
                                  .goal = 3,
                                  .peer = "Node WASI",
                                  .peer_value = node.median,
                                  .spread = ours.q3 - ours.q1,
                                  .runs = ours.count};
    bench_figure_write(&config, &figure);
    figure = (struct bench_figure){.name = "run.hello_over_native_ms",
                                   .value = ours.median - native.median,
                                   .unit = "ms",
                                   .peer = "native process",
                                   .peer_value = native.median,
                                   .spread = ours.q3 - ours.q1,
                                   .runs = ours.count};
    bench_figure_write(&config, &figure);
    printf("CPU of the process: %.2f ms\n", bench_stat(cpu, (size_t)config.rounds).median);
    return 0;
}
