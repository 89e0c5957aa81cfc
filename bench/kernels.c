/* kernels.c: run speed on small kernels, as time over that of native clang-19 -O3.
 *
 * One ratio a kernel and round; the figure of a round is the geometric mean over the kernels, the
 * figure the median over the rounds. Every variant's checksum is compared with native code's. The
 * guest files are built once with -msimd128 and given to all engines, except wasm2c, which cannot
 * read SIMD and gets the same sources without. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"

static const char *const kernels[] = {
    "gemm",     "mm2",         "mm3",      "atax",    "bicg",  "mvt",      "gesummv",
    "syrk",     "jacobi2d",    "seidel2d", "floyd",   "lu",    "cholesky", "doitgen",
    "nussinov", "correlation", "sieve",    "callind", "chase", "sha256",
};
#define KERNELS (sizeof kernels / sizeof kernels[0])

enum variant { NATIVE, GCC, MARCH, NODE, TURBOFAN, WASM2C, GUARD, CHECK, DET, VARIANTS };

static double ratios[VARIANTS][KERNELS][BENCH_ROUNDS_MAX];

/* In the order of `enum variant`; ours only when there is a wardmote. */
static void variants_of(const struct bench_config *config, const char *kernel,
                        struct bench_compare *compare)
{
    char *wasm = bench_path(config, "kernels/%s.wasm", kernel);
    char *wardmote = (char *)config->wardmote;
    *compare = (struct bench_compare){
        .count = config->wardmote != NULL ? VARIANTS : GUARD,
        .variants = {
            [NATIVE] = {"clang-19 -O3", {bench_path(config, "kernels/%s.clang", kernel)}, false},
            [GCC] = {"gcc -O3", {bench_path(config, "kernels/%s.gcc", kernel)}, false},
            [MARCH] = {"clang-19 -O3 -march=native",
                       {bench_path(config, "kernels/%s.march", kernel)},
                       true},
            [NODE] = {"Node WASI",
                      {"node", "--no-warnings", "--no-wasm-lazy-compilation",
                       bench_path(config, "peers/node_wasi.mjs"), wasm},
                      false},
            [TURBOFAN] = {"Node --no-liftoff",
                          {"node", "--no-warnings", "--no-wasm-lazy-compilation", "--no-liftoff",
                           bench_path(config, "peers/node_wasi.mjs"), wasm},
                          false},
            [WASM2C] = {"wasm2c + gcc -O2",
                        {bench_path(config, "kernels/%s.wasm2c", kernel)},
                        false},
            [GUARD] = {"wardmote guard", {wardmote, "run", wasm}, false},
            [CHECK] = {"wardmote check", {wardmote, "run", "--mode", "check", wasm}, false},
            [DET] = {"wardmote det", {wardmote, "run", "--mode", "det", wasm}, false},
        }};
}

/* The geometric mean over the kernels, for each round, of one variant over another. */
static struct bench_stat over_kernels(enum variant variant, enum variant base, int rounds)
{
    double means[BENCH_ROUNDS_MAX];
    for (int r = 0; r < rounds; r++) {
        double logs = 0;
        for (size_t k = 0; k < KERNELS; k++) {
            logs += log(ratios[variant][k][r] / ratios[base][k][r]);
        }
        means[r] = exp(logs / KERNELS);
    }
    return bench_stat(means, (size_t)rounds);
}

static void write_figure(const struct bench_config *config, const char *name, enum variant variant,
                         enum variant base, double goal, const char *peer, double peer_value)
{
    struct bench_stat stat = over_kernels(variant, base, config->rounds);
    struct bench_figure figure = {.name = name,
                                  .value = stat.median,
                                  .unit = "ratio",
                                  .goal = goal,
                                  .peer = peer,
                                  .peer_value = peer_value,
                                  .spread = stat.q3 - stat.q1,
                                  .runs = stat.count};
    bench_figure_write(config, &figure);
}

int main(int argc, char **argv)
{
    struct bench_config config = bench_start(argc, argv, 5);
    size_t count = config.wardmote != NULL ? VARIANTS : GUARD;
    struct bench_compare compare;

    if (config.wardmote != NULL) { /* compiled before, so that no run competes with a compiler */
        for (size_t k = 0; k < KERNELS; k++) {
            static char *modes[] = {"guard", "check", "det"};
            for (int m = 0; m < 3; m++) {
                struct bench_process process;
                char *wasm = bench_path(&config, "kernels/%s.wasm", kernels[k]);
                char *compile[] = {
                    (char *)config.wardmote, "compile", "--mode", modes[m], wasm, NULL};
                bench_process_must(compile, &process);
            }
        }
    }
    for (int r = 0; r < config.rounds; r++) {
        for (size_t k = 0; k < KERNELS; k++) {
            variants_of(&config, kernels[k], &compare);
            bench_compare_round(&compare, r);
            for (size_t v = 0; v < count; v++) {
                ratios[v][k][r] = compare.ratio[v];
            }
            if (r == 0 && k == 0) {
                printf("%-12s %9s", "first round", "ms");
                for (size_t v = 1; v < count; v++) {
                    printf("  %.16s", compare.variants[v].name);
                }
                printf("\n");
            }
            if (r == 0) {
                printf("%-12s %9.2f", kernels[k], (double)compare.cpu_ns[NATIVE] / 1e6);
                for (size_t v = 1; v < count; v++) {
                    size_t width = strlen(compare.variants[v].name);
                    printf("  %*.2f", (int)(width < 16 ? width : 16), compare.ratio[v]);
                }
                printf("\n");
            }
        }
    }
    /* Node as it comes runs kernels that are called but a few times in its fast tier; its
     * optimising tier alone (--no-liftoff) is the harder peer, and the one that figures are
     * compared with. */
    double node = over_kernels(TURBOFAN, NATIVE, config.rounds).median;
    if (count == VARIANTS) {
        write_figure(&config, "engine.kernels.native_ratio", GUARD, NATIVE, 1.10,
                     "Node --no-liftoff", node);
        write_figure(&config, "engine.kernels.march_native_ratio", GUARD, MARCH, 0,
                     "Node --no-liftoff", over_kernels(TURBOFAN, MARCH, config.rounds).median);
        write_figure(&config, "engine.kernels.check_ratio", CHECK, NATIVE, 0, "Node --no-liftoff",
                     node);
        write_figure(&config, "engine.kernels.det_ratio", DET, NATIVE, 0, "Node --no-liftoff",
                     node);
    }
    write_figure(&config, "engine.kernels.peer.node_ratio", NODE, NATIVE, 0, NULL, 0);
    write_figure(&config, "engine.kernels.peer.node_no_liftoff_ratio", TURBOFAN, NATIVE, 0, NULL,
                 0);
    write_figure(&config, "engine.kernels.peer.wasm2c_ratio", WASM2C, NATIVE, 0, NULL, 0);
    write_figure(&config, "engine.kernels.peer.gcc_ratio", GCC, NATIVE, 0, NULL, 0);
    write_figure(&config, "engine.kernels.peer.march_native_ratio", MARCH, NATIVE, 0, NULL, 0);
    for (size_t k = 0; k < KERNELS && count == VARIANTS; k++) {
        char name[64];
        struct bench_stat ours = bench_stat(ratios[GUARD][k], (size_t)config.rounds);
        struct bench_stat peer = bench_stat(ratios[TURBOFAN][k], (size_t)config.rounds);
        snprintf(name, sizeof name, "engine.kernel.%s.native_ratio", kernels[k]);
        struct bench_figure figure = {.name = name,
                                      .value = ours.median,
                                      .unit = "ratio",
                                      .peer = "Node --no-liftoff",
                                      .peer_value = peer.median,
                                      .spread = ours.q3 - ours.q1,
                                      .runs = ours.count};
        bench_figure_write(&config, &figure);
    }
    return 0;
}
