/* bench.h: how a figure is taken.
 *
 * A figure compares programs on the same input in the same run: one round runs every variant once,
 * one after the other, and the ratio is taken within the round, so that a neighbour's load hits
 * both sides. Reported is the median over the rounds, with the quartiles as its spread. Times are
 * CPU times except where a figure says otherwise (starting a process is wall time).
 *
 * Each figure is appended as one JSON object a line to build/bench.jsonl; bench/report makes
 * bench/RESULTS.md of them. For use by the programs in bench/ only: they stop on the first thing
 * that does not work, since a benchmark that goes on after an error measures something else. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_VARIANTS_MAX 16
#define BENCH_ROUNDS_MAX 2001

/* Prints "bench: ..." to stderr and exits 1. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum bench_clock { BENCH_WALL, BENCH_THREAD_CPU };
int64_t bench_now_ns(enum bench_clock clock);

/* One process, run to its end with its output captured (its stderr goes to build/bench/stderr.log).
 */
struct bench_process {
    int64_t wall_ns;
    int64_t cpu_ns; /* user and system, of the process and the children it waited for */
    int64_t peak_bytes;
    int status; /* as waitpid gives it */
    size_t out_len;
    char out[4096]; /* the start of its output, NUL-terminated */
};
void bench_process_run(char *const argv[], struct bench_process *result);
/* The same; dies unless it exited with 0. */
void bench_process_must(char *const argv[], struct bench_process *result);

/* Order statistics. Sorts `values` in place. */
struct bench_stat {
    double median, q1, q3, min;
    size_t count;
};
struct bench_stat bench_stat(double *values, size_t count);

/* argv[1] and what follows: common to all programs. */
struct bench_config {
    const char *build;    /* the build folder: build/wardmote, build/bench/... */
    const char *wardmote; /* the command; NULL: not built, figures of ours are left out */
    int rounds;           /* BENCH_ROUNDS overrides the program's default */
};
struct bench_config bench_start(int argc, char **argv, int default_rounds);
/* "BUILD/bench/..." in static memory that lasts; printf-like. */
char *bench_path(const struct bench_config *config, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool bench_exists(const char *path);

struct bench_figure {
    const char *name;
    double value;
    const char *unit;
    double goal;        /* 0: none */
    bool goal_at_least; /* else: at most */
    const char *peer;   /* NULL: none */
    double peer_value;  /* the same measure, taken on the peer */
    double spread;      /* q3 - q1 of `value` */
    size_t runs;
};
/* Appends it to BUILD/bench.jsonl and prints a line for people. */
void bench_figure_write(const struct bench_config *config, const struct bench_figure *figure);

#endif
