/* bench.c: processes, clocks, order statistics, and the lines of bench.jsonl. See bench.h.
 *
 * CPU time of a process comes from wait4, which adds up what the process and its waited-for
 * children used: an engine's compiler threads count, as they should, since somebody pays for them.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

void bench_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

int64_t bench_now_ns(enum bench_clock clock)
{
    struct timespec now;
    clock_gettime(clock == BENCH_WALL ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t timeval_ns(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

static const char *stderr_log(void)
{
    const char *log = getenv("BENCH_STDERR");
    return log != NULL ? log : "/dev/null";
}

void bench_process_run(char *const argv[], struct bench_process *result)
{
    int out[2];
    posix_spawn_file_actions_t actions;
    pid_t pid;
    struct rusage usage;

    *result = (struct bench_process){0};
    if (pipe2(out, O_CLOEXEC) != 0 || posix_spawn_file_actions_init(&actions) != 0) {
        bench_die("pipe: %s", strerror(errno));
    }
    if (posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, out[1], 1) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 2, stderr_log(), O_WRONLY | O_CREAT | O_APPEND,
                                         0644) != 0) {
        bench_die("%s: preparing: out of memory", argv[0]);
    }
    int64_t start = bench_now_ns(BENCH_WALL);
    int error = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    if (error != 0) {
        bench_die("%s: cannot start: %s", argv[0], strerror(error));
    }
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    for (;;) {
        char rest[4096];
        size_t room = sizeof result->out - 1 - result->out_len;
        ssize_t n = room > 0 ? read(out[0], result->out + result->out_len, room)
                             : read(out[0], rest, sizeof rest);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        result->out_len += room > 0 ? (size_t)n : 0;
    }
    close(out[0]);
    while (wait4(pid, &result->status, 0, &usage) < 0) {
        if (errno != EINTR) {
            bench_die("wait4: %s", strerror(errno));
        }
    }
    result->wall_ns = bench_now_ns(BENCH_WALL) - start;
    result->cpu_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
    result->peak_bytes = (int64_t)usage.ru_maxrss * 1024;
}

void bench_process_must(char *const argv[], struct bench_process *result)
{
    bench_process_run(argv, result);
    if (!WIFEXITED(result->status) || WEXITSTATUS(result->status) != 0) {
        char line[1024] = "";
        for (int i = 0; argv[i] != NULL; i++) {
            size_t used = strlen(line);
            snprintf(line + used, sizeof line - used, "%s%s", i > 0 ? " " : "", argv[i]);
        }
        bench_die("%s: ended with status %#x; its messages are in %s", line,
                  (unsigned)result->status, stderr_log());
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation between closest ranks. */
static double quantile(const double *sorted, size_t count, double q)
{
    double at = q * (double)(count - 1);
    size_t below = (size_t)at;
    size_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (at - (double)below) * (sorted[above] - sorted[below]);
}

struct bench_stat bench_stat(double *values, size_t count)
{
    if (count == 0) {
        bench_die("a figure without a measurement");
    }
    qsort(values, count, sizeof *values, compare_doubles);
    return (struct bench_stat){
        .median = quantile(values, count, 0.5),
        .q1 = quantile(values, count, 0.25),
        .q3 = quantile(values, count, 0.75),
        .min = values[0],
        .count = count,
    };
}

bool bench_exists(const char *path)
{
    return access(path, R_OK) == 0;
}

struct bench_config bench_start(int argc, char **argv, int default_rounds)
{
    if (argc != 2) {
        bench_die("usage: %s BUILD (started by bench/run)", argv[0]);
    }
    struct bench_config config = {.build = argv[1], .rounds = default_rounds};
    char *command;
    if (asprintf(&command, "%s/wardmote", config.build) < 0) {
        bench_die("out of memory");
    }
    config.wardmote = access(command, X_OK) == 0 ? command : NULL;
    const char *rounds = getenv("BENCH_ROUNDS");
    if (rounds != NULL) {
        config.rounds = atoi(rounds);
        if (config.rounds < 1 || config.rounds > BENCH_ROUNDS_MAX) {
            bench_die("BENCH_ROUNDS=%s: 1 to %d", rounds, BENCH_ROUNDS_MAX);
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    return config;
}

char *bench_path(const struct bench_config *config, const char *format, ...)
{
    char name[512];
    char *path;
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (asprintf(&path, "%s/bench/%s", config->build, name) < 0) {
        bench_die("out of memory");
    }
    return path; /* lives as long as the program: a handful of names */
}

/* The processor's name, how many of them, and the kernel: what a reader needs to place a figure. */
static void describe_machine(char *out, size_t out_bytes)
{
    char line[256], model[128] = "unknown processor", kernel[128] = "unknown kernel";
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "model name : %127[^\n]", model) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    file = fopen("/proc/sys/kernel/osrelease", "re");
    if (file != NULL) {
        if (fscanf(file, "%127s", kernel) != 1) {
            snprintf(kernel, sizeof kernel, "unknown kernel");
        }
        fclose(file);
    }
    snprintf(out, out_bytes, "%s, %ld cores, Linux %s", model, sysconf(_SC_NPROCESSORS_ONLN),
             kernel);
    for (char *c = out; *c != '\0'; c++) { /* it goes between JSON's quotes */
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') {
            *c = ' ';
        }
    }
}

void bench_figure_write(const struct bench_config *config, const struct bench_figure *figure)
{
    char machine[512], date[32], path[1024];
    time_t now = time(NULL);
    struct tm utc;
    bool met =
        figure->goal_at_least ? figure->value >= figure->goal : figure->value <= figure->goal;

    describe_machine(machine, sizeof machine);
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    snprintf(path, sizeof path, "%s/bench.jsonl", config->build);
    FILE *file = fopen(path, "ae");
    if (file == NULL) {
        bench_die("%s: %s", path, strerror(errno));
    }
    fprintf(file, "{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"", figure->name, figure->value,
            figure->unit);
    if (figure->goal != 0) {
        fprintf(file, ",\"goal\":\"%s %g\",\"met\":%s",
                figure->goal_at_least ? ">=" : "<=", figure->goal, met ? "true" : "false");
    } else {
        fputs(",\"goal\":null,\"met\":null", file);
    }
    if (figure->peer != NULL) {
        fprintf(file, ",\"peer\":\"%s\",\"peer_value\":%.6g", figure->peer, figure->peer_value);
    } else {
        fputs(",\"peer\":null,\"peer_value\":null", file);
    }
    fprintf(file, ",\"spread\":%.4g,\"runs\":%zu,\"machine\":\"%s\",\"date\":\"%s\"}\n",
            figure->spread, figure->runs, machine, date);
    if (fclose(file) != 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
    printf("%-38s %10.4g %-8s", figure->name, figure->value, figure->unit);
    if (figure->goal != 0) {
        printf(" goal %s %g: %s", figure->goal_at_least ? ">=" : "<=", figure->goal,
               met ? "met" : "MISSED");
    }
    if (figure->peer != NULL) {
        printf("  (%s: %.4g)", figure->peer, figure->peer_value);
    }
    printf("  spread %.3g, %zu runs\n", figure->spread, figure->runs);
}
