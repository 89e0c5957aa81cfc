/* load.c: from a module's path to its mapped machine code: what a start pays before it makes an
 * instance.
 *
 * Measured in one process with the cache folder open: the module's hash (from its stamp), the
 * object looked up, authenticated and mapped, the first byte of its code read, and all of it
 * released again. The peer is the C library's loader on a shared object made from the same SQLite:
 * dlopen with all symbols bound, and dlclose. Wall time; the median of many. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "wasm/cache.h"

static double once_us(struct wasm_cache *cache, const char *path)
{
    struct wm_diag diag = {0};
    uint8_t sha256[32];
    struct wasm_object *object;
    struct wasm_options options = {.mode = WASM_MODE_GUARD,
                                   .tier = WASM_TIER_OPTIMISED,
                                   .cpu = wasm_cpu_of_this_machine(),
                                   .lines = true}; /* as the library asks for it */
    int64_t start = bench_now_ns(BENCH_WALL);
    if (wasm_cache_module_hash(cache, path, sha256, &diag) != 0 ||
        wasm_cache_find(cache, sha256, &options, &object, &diag) != 0) {
        bench_die("%s: %s", path, wm_diag_text(&diag));
    }
    *(volatile const uint8_t *)object->text;
    wasm_object_close(object);
    return (double)(bench_now_ns(BENCH_WALL) - start) / 1e3;
}

static double dlopen_us(const char *path)
{
    int64_t start = bench_now_ns(BENCH_WALL);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        bench_die("%s", dlerror());
    }
    dlclose(library);
    return (double)(bench_now_ns(BENCH_WALL) - start) / 1e3;
}

int main(int argc, char **argv)
{
    struct bench_config config = bench_start(argc, argv, 1001);
    static const char *const names[] = {"sqlite", "python"};
    static const double goals[] = {50, 150};
    static double ours[BENCH_ROUNDS_MAX], peer[BENCH_ROUNDS_MAX];
    struct bench_process process;
    struct wasm_cache *cache;
    struct wm_diag diag = {0};
    char *library = bench_path(&config, "sqlite/sqlite.so");

    if (config.wardmote == NULL) {
        bench_die("%s/wardmote: not built", config.build);
    }
    for (size_t m = 0; m < 2; m++) {
        char *wasm = bench_path(&config, "%s/%s.wasm", names[m], names[m]);
        char *compile[] = {(char *)config.wardmote, "compile", wasm, NULL};
        bench_process_must(compile, &process);
    }
    /* The compiler has left its results in the default cache, which bench/run made one of its own.
     */
    if (wasm_cache_open(NULL, &cache, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    for (size_t m = 0; m < 2; m++) {
        char *wasm = bench_path(&config, "%s/%s.wasm", names[m], names[m]);
        for (int r = -10; r < config.rounds; r++) {
            double a = once_us(cache, wasm), b = m == 0 ? dlopen_us(library) : 0;
            if (r >= 0) {
                ours[r] = a;
                peer[r] = b;
            }
        }
        struct bench_stat stat = bench_stat(ours, (size_t)config.rounds);
        char name[64];
        snprintf(name, sizeof name, "engine.load_us.%s", names[m]);
        struct bench_figure figure = {.name = name,
                                      .value = stat.median,
                                      .unit = "us",
                                      .goal = goals[m],
                                      .spread = stat.q3 - stat.q1,
                                      .runs = stat.count};
        if (m == 0) {
            figure.peer = "dlopen of native SQLite";
            figure.peer_value = bench_stat(peer, (size_t)config.rounds).median;
        }
        bench_figure_write(&config, &figure);
    }
    wasm_cache_close(cache);
    return 0;
}
