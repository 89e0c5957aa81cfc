/* compile.c: CPU seconds to compile a megabyte of wasm code, in both tiers, for SQLite and CPython.
 *
 * CPU time of `wardmote compile` and all the processes below it, into an empty cache, over the size
 * of the module's code section (1 MB = 1,000,000 bytes). Peers: for the fast tier Node's fast tier,
 * which compiles on start; for the optimised tier clang -O2 on the C source of the same program. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static uint32_t leb(FILE *file)
{
    uint32_t value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        int byte = getc(file);
        if (byte == EOF) {
            bench_die("a module ends too early");
        }
        value |= (uint32_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return value;
        }
    }
    bench_die("a module with a section of impossible size");
}

/* Size of the code section (id 10), in megabytes. */
static double code_mb(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL || fseek(file, 8, SEEK_SET) != 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
    for (;;) {
        int id = getc(file);
        if (id == EOF) {
            bench_die("%s: no code section", path);
        }
        uint32_t bytes = leb(file);
        if (id == 10) {
            fclose(file);
            return bytes / 1e6;
        }
        if (fseek(file, (long)bytes, SEEK_CUR) != 0) {
            bench_die("%s: %s", path, strerror(errno));
        }
    }
}

/* Compiles into a fresh cache and throws it away; CPU seconds, and the compiler's peak memory. */
static double compile(const struct bench_config *config, char *wasm, char *tier, double *peak_mb,
                      double *wall)
{
    char cache[] = "/tmp/wardmote-bench-XXXXXX";
    struct bench_process process;
    if (mkdtemp(cache) == NULL) {
        bench_die("%s: %s", cache, strerror(errno));
    }
    char *argv[] = {
        (char *)config->wardmote, "compile", "--tier", tier, "--cache", cache, wasm, NULL};
    char *clean[] = {"rm", "-rf", cache, NULL};
    bench_process_must(argv, &process);
    double seconds = (double)process.cpu_ns / 1e9;
    *peak_mb = (double)process.peak_bytes / 1e6;
    *wall = (double)process.wall_ns / 1e9;
    bench_process_must(clean, &process);
    return seconds;
}

int main(int argc, char **argv)
{
    static char *tiers[] = {"O0", "optimised"};
    static const double goals[] = {1, 10};
    struct bench_config config = bench_start(argc, argv, 3);
    if (config.wardmote == NULL) {
        bench_die("%s/wardmote: not built", config.build);
    }
    char *modules[] = {bench_path(&config, "sqlite/sqlite.wasm"),
                       bench_path(&config, "python/python.wasm")};
    const char *names[] = {"sqlite", "python"};
    const char *guests = getenv("WARDMOTE_GUESTS");
    char *source, *include;
    struct bench_process process;
    if (guests != NULL
            ? asprintf(&source, "%s/sqlite/sqlite3.c", guests) < 0
            : asprintf(&source, "%s/../.cache/guests/sqlite/sqlite3.c", config.build) < 0) {
        bench_die("out of memory");
    }
    if (asprintf(&include, "-DSQLITE_THREADSAFE=0") < 0) {
        bench_die("out of memory");
    }
    char *clang[] = {"clang-19",
                     "-O2",
                     "-w",
                     include,
                     "-DSQLITE_OMIT_WAL",
                     "-DSQLITE_OMIT_LOAD_EXTENSION",
                     "-DSQLITE_TEMP_STORE=3",
                     "-c",
                     source,
                     "-o",
                     "/dev/null",
                     NULL};
    char *node[] = {"node",
                    "--no-warnings",
                    "--no-wasm-lazy-compilation",
                    "--liftoff-only",
                    "-e",
                    "WebAssembly.compile(require('fs').readFileSync(process.argv[1]))",
                    modules[0],
                    NULL};
    char *node_empty[] = {"node", "--no-warnings", "-e", "0", NULL};
    bench_process_must(clang, &process);
    double clang_s = (double)process.cpu_ns / 1e9;
    bench_process_must(node_empty, &process);
    double node_s = -(double)process.cpu_ns / 1e9;
    bench_process_must(node, &process);
    node_s += (double)process.cpu_ns / 1e9;
    double sqlite_mb = code_mb(modules[0]);

    for (size_t t = 0; t < 2; t++) {
        double worst = 0, worst_spread = 0;
        size_t runs = 0;
        for (size_t m = 0; m < 2; m++) {
            double values[BENCH_ROUNDS_MAX], peak_mb = 0, wall = 0;
            double mb = code_mb(modules[m]);
            /* CPython's optimised tier takes a minute of CPU: once is enough to tell. */
            int rounds = t == 1 && m == 1 ? 1 : config.rounds;
            for (int r = 0; r < rounds; r++) {
                values[r] = compile(&config, modules[m], tiers[t], &peak_mb, &wall) / mb;
            }
            struct bench_stat stat = bench_stat(values, (size_t)rounds);
            char name[64];
            snprintf(name, sizeof name, "engine.compile_s_per_mb.%s.%s", tiers[t], names[m]);
            struct bench_figure figure = {.name = name,
                                          .value = stat.median,
                                          .unit = "s/MB",
                                          .spread = stat.q3 - stat.q1,
                                          .runs = stat.count};
            bench_figure_write(&config, &figure);
            printf("%s, %s: %.2f MB of code, %.2f s wall, one process's peak %.0f MB\n", names[m],
                   tiers[t], mb, wall, peak_mb);
            if (stat.median > worst) {
                worst = stat.median;
                worst_spread = stat.q3 - stat.q1;
                runs = stat.count;
            }
        }
        char name[64];
        snprintf(name, sizeof name, "engine.compile_s_per_mb.%s", tiers[t]);
        struct bench_figure figure = {.name = name,
                                      .value = worst,
                                      .unit = "s/MB",
                                      .goal = goals[t],
                                      .peer = t == 0 ? "Node's fast tier, SQLite"
                                                     : "clang-19 -O2 on sqlite3.c",
                                      .peer_value = (t == 0 ? node_s : clang_s) / sqlite_mb,
                                      .spread = worst_spread,
                                      .runs = runs};
        bench_figure_write(&config, &figure);
    }
    return 0;
}
