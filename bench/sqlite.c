/* sqlite.c: SQLite in memory (bench/sqlite/driver.c), as CPU time of the work over native gcc
 * -O2's. */
#include <stdio.h>

#include "compare.h"

enum variant { NATIVE, CLANG, NODE, TURBOFAN, WASM2C, GUARD, CHECK, DET, FUEL, VARIANTS };

static double ratios[VARIANTS][BENCH_ROUNDS_MAX];
static double ms[BENCH_ROUNDS_MAX];

static struct bench_stat stat_of(enum variant variant, int rounds)
{
    double copy[BENCH_ROUNDS_MAX];
    for (int r = 0; r < rounds; r++) {
        copy[r] = ratios[variant][r];
    }
    return bench_stat(copy, (size_t)rounds);
}

int main(int argc, char **argv)
{
    struct bench_config config = bench_start(argc, argv, 7);
    char *wasm = bench_path(&config, "sqlite/sqlite.wasm");
    char *wardmote = (char *)config.wardmote;
    struct bench_compare compare = {
        .count = wardmote != NULL ? VARIANTS : GUARD,
        .variants = {
            [NATIVE] = {"gcc -O2", {bench_path(&config, "sqlite/sqlite.gcc")}, false},
            [CLANG] = {"clang-19 -O2", {bench_path(&config, "sqlite/sqlite.clang")}, false},
            [NODE] = {"Node WASI",
                      {"node", "--no-warnings", "--no-wasm-lazy-compilation",
                       bench_path(&config, "peers/node_wasi.mjs"), wasm},
                      false},
            [TURBOFAN] = {"Node --no-liftoff",
                          {"node", "--no-warnings", "--no-wasm-lazy-compilation", "--no-liftoff",
                           bench_path(&config, "peers/node_wasi.mjs"), wasm},
                          false},
            [WASM2C] = {"wasm2c + gcc -O2", {bench_path(&config, "sqlite/sqlite.wasm2c")}, false},
            [GUARD] = {"wardmote guard", {wardmote, "run", wasm}, false},
            [CHECK] = {"wardmote check", {wardmote, "run", "--mode", "check", wasm}, false},
            [DET] = {"wardmote det", {wardmote, "run", "--mode", "det", wasm}, false},
            [FUEL] = {"wardmote guard + fuel",
                      {wardmote, "run", "--fuel", "1000000000000000", wasm},
                      false},
        }};
    if (wardmote != NULL) {
        struct bench_process process;
        char *guard[] = {wardmote, "compile", wasm, NULL};
        char *check[] = {wardmote, "compile", "--mode", "check", wasm, NULL};
        char *det[] = {wardmote, "compile", "--mode", "det", wasm, NULL};
        char *fuel[] = {wardmote, "compile", "--fuel", wasm, NULL};
        bench_process_must(guard, &process);
        bench_process_must(check, &process);
        bench_process_must(det, &process);
        bench_process_must(fuel, &process);
    }
    for (int r = 0; r < config.rounds; r++) {
        bench_compare_round(&compare, r);
        ms[r] = (double)compare.cpu_ns[NATIVE] / 1e6;
        for (size_t v = 0; v < compare.count; v++) {
            ratios[v][r] = compare.ratio[v];
        }
    }
    double node = stat_of(NODE, config.rounds).median;
    double wasm2c = stat_of(WASM2C, config.rounds).median;
    static const struct {
        const char *name;
        enum variant variant;
        double goal;
        const char *peer;
    } figures[] = {
        {"engine.sqlite.native_ratio", GUARD, 1.25, "wasm2c + gcc -O2"},
        {"engine.sqlite.det_ratio", DET, 1.7, "wasm2c + gcc -O2"},
        {"engine.sqlite.check_ratio", CHECK, 0, "wasm2c + gcc -O2"},
        {"engine.sqlite.fuel_ratio", FUEL, 0, "wasm2c + gcc -O2"},
        {"engine.sqlite.peer.node_ratio", NODE, 0, NULL},
        {"engine.sqlite.peer.node_no_liftoff_ratio", TURBOFAN, 0, NULL},
        {"engine.sqlite.peer.wasm2c_ratio", WASM2C, 0, NULL},
        {"engine.sqlite.peer.clang_ratio", CLANG, 0, NULL},
    };
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        if (wardmote == NULL && figures[i].variant >= GUARD) {
            continue;
        }
        struct bench_stat stat = stat_of(figures[i].variant, config.rounds);
        struct bench_figure figure = {.name = figures[i].name,
                                      .value = stat.median,
                                      .unit = "ratio",
                                      .goal = figures[i].goal,
                                      .peer = figures[i].peer,
                                      .peer_value = wasm2c,
                                      .spread = stat.q3 - stat.q1,
                                      .runs = stat.count};
        bench_figure_write(&config, &figure);
    }
    printf("native gcc -O2: %.0f ms; Node %.2f times that\n",
           bench_stat(ms, (size_t)config.rounds).median, node);
    return 0;
}
