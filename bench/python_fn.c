/* python_fn.c: a Python function's start: from its Proto-Faaslet, and by starting the interpreter.
 *
 * One worker with one slot, so that a call of another function than the one before binds the slot
 * anew: cold. Times are wall times from submitting a call until its result is there, taken while
 * nothing else is asked of the worker. The interpreter without a snapshot is the same module, run
 * from its start by each call (kind command), with the same bootstrap and script; a native python3
 * is a process that starts and ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/diag.h"
#include "bench.h"
#include "common/worker.h"

#define SCRIPT_MAX 32768u
#define REST_NS 3000000 /* between calls: the slot is reset after the result is out */

enum what { NOOP, TEXTSTATS, ORDERS, ORBIT, SCRIPTS };

static const struct {
    const char *name, *input;
} scripts[SCRIPTS] = {
    [NOOP] = {"noop", "x"},
    [TEXTSTATS] = {"textstats", "the cat and the dog and the end of the cat and the dog\n"},
    [ORDERS] = {"orders", "[{\"customer\": \"a\", \"item\": \"pen\", \"count\": 3, \"price\": "
                          "\"1.20\"}, {\"customer\": \"b\", \"item\": \"ink\", \"count\": 1, "
                          "\"price\": \"5\"}]"},
    [ORBIT] = {"orbit", "20"},
};

static struct link *worker;
static double cold[SCRIPTS][BENCH_ROUNDS_MAX], start[SCRIPTS][BENCH_ROUNDS_MAX];
static double gain[SCRIPTS][BENCH_ROUNDS_MAX], warm[BENCH_ROUNDS_MAX], inside[BENCH_ROUNDS_MAX];
static double native[BENCH_ROUNDS_MAX];

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = calloc(1, SCRIPT_MAX);
    if (!file || !text || fread(text, 1, SCRIPT_MAX - 1, file) == 0) {
        bench_die("%s: cannot be read", path);
    }
    fclose(file);
    return text;
}

static char *encode64(const char *from)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t len = strlen(from);
    char *out = calloc(1, len * 2 + 8), *to = out;
    for (size_t at = 0; out && at < len; at += 3) {
        uint32_t word = 0;
        for (size_t i = 0; i < 3; i++) {
            word = word << 8 | (at + i < len ? (uint8_t)from[at + i] : 0u);
        }
        for (size_t i = 0; i < 4; i++) {
            *to++ = at + i <= len ? digits[word >> (18 - 6 * i) & 63] : '=';
        }
    }
    return out;
}

static void load(const struct bench_config *config, uint32_t handle, enum function_kind kind,
                 const char *script, const char *name)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct test_function function = {
        .module = bench_path(config, "python_fn/python.wasm"),
        .cache = bench_path(config, "python_fn/objects"),
        .tenant = "bench",
        .name = name,
        .kind = kind,
        .handle = handle,
        .args = {"-B", "-c", read_text(bench_path(config, "python_fn/bootstrap.py")),
                 encode64(script), name},
    };
    if (test_worker_load(worker, &function, &diag) != 0) {
        bench_die("%s: %s", name, wm_diag_text(&diag));
    }
}

static double call(uint32_t handle, const char *input, bool wants_cold, double *own_ms)
{
    struct test_result result;
    struct timespec rest = {0, REST_NS};
    nanosleep(&rest, NULL);
    int64_t began = bench_now_ns(BENCH_WALL);
    enum call_end end = test_worker_call(worker, handle, input, &result);
    double ms = (double)(bench_now_ns(BENCH_WALL) - began) / 1e6;
    if (end != CALL_END_OK || (result.result.cold != 0) != wants_cold) {
        bench_die("function %u: %s (cold %u): %s", handle, call_end_text(end), result.result.cold,
                  result.message);
    }
    if (own_ms) {
        *own_ms = (double)result.result.usage.wall_ns / 1e6;
    }
    return ms;
}

static void write_figure(const struct bench_config *config, const char *name, const char *unit,
                         double *values, double goal, bool at_least, const char *peer,
                         double peer_value)
{
    struct bench_stat stat = bench_stat(values, (size_t)config->rounds);
    struct bench_figure figure = {.name = name,
                                  .value = stat.median,
                                  .unit = unit,
                                  .goal = goal,
                                  .goal_at_least = at_least,
                                  .peer = peer,
                                  .peer_value = peer_value,
                                  .spread = stat.q3 - stat.q1,
                                  .runs = stat.count};
    bench_figure_write(config, &figure);
}

int main(int argc, char **argv)
{
    static const char noop[] = "def handle(data):\n    return None\n";
    struct bench_config config = bench_start(argc, argv, 21);
    char worker_path[4096];
    snprintf(worker_path, sizeof worker_path, "%s/wardmote-worker", config.build);
    setenv("WARDMOTE_WORKER", worker_path, 0);
    snprintf(worker_path, sizeof worker_path, "%s/wardmote-wasmc", config.build);
    setenv("WARDMOTE_WASMC", worker_path, 0);
    worker = test_worker_start(&(struct link_config){.executors = 1, .ready = 1, .slots = 1});
    for (uint32_t i = 0; i < SCRIPTS; i++) {
        const char *script =
            i == NOOP ? noop : read_text(bench_path(&config, "python_fn/%s.py", scripts[i].name));
        load(&config, 2 * i, FUNCTION_SUSPENDED, script, scripts[i].name);
        load(&config, 2 * i + 1, FUNCTION_COMMAND, script, scripts[i].name);
    }
    char *python3 = bench_exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
    char *native_start[] = {python3, "-B", "-c", "pass", NULL};
    for (int r = -1; r < config.rounds; r++) { /* the first is for the caches */
        int at = r < 0 ? 0 : r;
        struct bench_process process;
        for (uint32_t i = 0; i < SCRIPTS; i++) {
            start[i][at] = call(2 * i + 1, scripts[i].input, true, NULL);
            cold[i][at] = call(2 * i, scripts[i].input, true, i == NOOP ? &inside[at] : NULL);
            gain[i][at] = start[i][at] / cold[i][at];
            if (i == NOOP) {
                warm[at] = call(2 * i, scripts[i].input, false, NULL);
            }
        }
        bench_process_must(native_start, &process);
        native[at] = (double)process.wall_ns / 1e6;
    }
    size_t rounds = (size_t)config.rounds;
    double start_ms = bench_stat(start[NOOP], rounds).median;
    double native_ms = bench_stat(native, rounds).median;
    write_figure(&config, "faaslet.python_cold_ms", "ms", cold[NOOP], 2, false,
                 "the same CPython, started", start_ms);
    write_figure(&config, "faaslet.python_engine_ms", "ms", inside, 0, false, NULL, 0);
    write_figure(&config, "faaslet.python_warm_ms", "ms", warm, 0, false, "python3, a process",
                 native_ms);
    for (uint32_t i = TEXTSTATS; i < SCRIPTS; i++) {
        char name[64];
        snprintf(name, sizeof name, "faaslet.python_%s_gain", scripts[i].name);
        write_figure(&config, name, "ratio", gain[i], 1, true, NULL, 0);
        printf("%s: %.2f ms from the snapshot, %.1f ms with the interpreter's start\n",
               scripts[i].name, bench_stat(cold[i], rounds).median,
               bench_stat(start[i], rounds).median);
    }
    printf("native python3: %.1f ms\n", native_ms);
    link_close(worker);
    return 0;
}
