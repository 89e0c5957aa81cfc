/* python.c: a CPython script (bench/python/script.py) in Node and in ours: Node's time over ours.
 *
 * The time is the one that the script itself measures, so that neither side is charged for its
 * start: wall time, so that Node is not charged for the compiler threads that work beside the
 * script. The script runs its work once, as a user's script does; a second figure, "steady", takes
 * the best of five passes in one process, when Node's optimising tier has come in; a third compares
 * with Node's optimising tier alone (which then needs seconds to start). The wasm file is one that
 * nobody here built: CPython 3.12 for WASI. */
#include <stdio.h>

#include "compare.h"

enum variant { NODE, GUARD, DET, NODE_STEADY, GUARD_STEADY, TURBOFAN, VARIANTS };

static double gain[BENCH_ROUNDS_MAX], det_gain[BENCH_ROUNDS_MAX], steady_gain[BENCH_ROUNDS_MAX];
static double turbofan_gain[BENCH_ROUNDS_MAX];
static double node_ms[BENCH_ROUNDS_MAX], our_ms[BENCH_ROUNDS_MAX];

int main(int argc, char **argv)
{
    struct bench_config config = bench_start(argc, argv, 5);
    char *wasm = bench_path(&config, "python/python.wasm");
    char *dir = bench_path(&config, "python");
    char *mapped;
    char *wardmote = (char *)config.wardmote;
    if (wardmote == NULL) {
        bench_die("%s/wardmote: not built: this figure has no other side", config.build);
    }
    if (asprintf(&mapped, "%s::/", dir) < 0) {
        bench_die("out of memory");
    }
    struct bench_compare compare = {
        .count = VARIANTS,
        .variants = {
            [NODE] = {"Node WASI",
                      {"env", NULL, "node", "--no-warnings", "--no-wasm-lazy-compilation",
                       bench_path(&config, "peers/node_wasi.mjs"), wasm, "/script.py"},
                      false},
            [NODE_STEADY] = {"Node WASI",
                             {"env", NULL, "node", "--no-warnings", "--no-wasm-lazy-compilation",
                              bench_path(&config, "peers/node_wasi.mjs"), wasm, "/script.py", "5"},
                             false},
            [TURBOFAN] = {"Node --no-liftoff",
                          {"env", NULL, "node", "--no-warnings", "--no-wasm-lazy-compilation",
                           "--no-liftoff", bench_path(&config, "peers/node_wasi.mjs"), wasm,
                           "/script.py"},
                          false},
            [GUARD_STEADY] = {"wardmote guard",
                              {wardmote, "run", "--dir", mapped, wasm, "/script.py", "5"},
                              false},
            [GUARD] = {"wardmote guard",
                       {wardmote, "run", "--dir", mapped, wasm, "/script.py"},
                       false},
            [DET] = {"wardmote det",
                     {wardmote, "run", "--mode", "det", "--dir", mapped, wasm, "/script.py"},
                     false},
        }};
    char *variable;
    if (asprintf(&variable, "BENCH_DIR=%s", dir) < 0) {
        bench_die("out of memory");
    }
    compare.variants[NODE].argv[1] = variable;
    compare.variants[NODE_STEADY].argv[1] = variable;
    compare.variants[TURBOFAN].argv[1] = variable;

    struct bench_process process;
    char *guard[] = {wardmote, "compile", wasm, NULL};
    char *det[] = {wardmote, "compile", "--mode", "det", wasm, NULL};
    bench_process_must(guard, &process);
    bench_process_must(det, &process);
    for (int r = 0; r < config.rounds; r++) {
        bench_compare_round(&compare, r);
        gain[r] = 1 / compare.ratio[GUARD];
        det_gain[r] = 1 / compare.ratio[DET];
        turbofan_gain[r] = (double)compare.cpu_ns[TURBOFAN] / (double)compare.cpu_ns[GUARD];
        steady_gain[r] = (double)compare.cpu_ns[NODE_STEADY] / (double)compare.cpu_ns[GUARD_STEADY];
        node_ms[r] = (double)compare.cpu_ns[NODE] / 1e6;
        our_ms[r] = (double)compare.cpu_ns[GUARD] / 1e6;
    }
    struct bench_stat guard_stat = bench_stat(gain, (size_t)config.rounds);
    struct bench_stat det_stat = bench_stat(det_gain, (size_t)config.rounds);
    struct bench_figure figure = {.name = "engine.python.node_ratio",
                                  .value = guard_stat.median,
                                  .unit = "ratio",
                                  .goal = 3,
                                  .goal_at_least = true,
                                  .peer = "Node WASI",
                                  .peer_value = 1,
                                  .spread = guard_stat.q3 - guard_stat.q1,
                                  .runs = guard_stat.count};
    bench_figure_write(&config, &figure);
    figure = (struct bench_figure){.name = "engine.python.det_node_ratio",
                                   .value = det_stat.median,
                                   .unit = "ratio",
                                   .peer = "Node WASI",
                                   .peer_value = 1,
                                   .spread = det_stat.q3 - det_stat.q1,
                                   .runs = det_stat.count};
    bench_figure_write(&config, &figure);
    struct bench_stat steady_stat = bench_stat(steady_gain, (size_t)config.rounds);
    figure = (struct bench_figure){.name = "engine.python.steady_node_ratio",
                                   .value = steady_stat.median,
                                   .unit = "ratio",
                                   .peer = "Node WASI",
                                   .peer_value = 1,
                                   .spread = steady_stat.q3 - steady_stat.q1,
                                   .runs = steady_stat.count};
    bench_figure_write(&config, &figure);
    struct bench_stat turbofan_stat = bench_stat(turbofan_gain, (size_t)config.rounds);
    figure = (struct bench_figure){.name = "engine.python.node_no_liftoff_ratio",
                                   .value = turbofan_stat.median,
                                   .unit = "ratio",
                                   .peer = "Node --no-liftoff",
                                   .peer_value = 1,
                                   .spread = turbofan_stat.q3 - turbofan_stat.q1,
                                   .runs = turbofan_stat.count};
    bench_figure_write(&config, &figure);
    printf("script: Node %.0f ms, wardmote %.0f ms\n",
           bench_stat(node_ms, (size_t)config.rounds).median,
           bench_stat(our_ms, (size_t)config.rounds).median);
    return 0;
}
