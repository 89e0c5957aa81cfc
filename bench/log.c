/* log.c: appending to the log (store/seglog.h), in records a second, for groups of 1, 10, 100 and
 * 1,000 records of 256 bytes, each group synced, against the same bytes written to a file that
 * grows, with the same fdatasync. Both lie in the build folder, on the disk that it is on.
 *
 * One round takes a stretch of groups of either, in turn; wall time. A figure is the median of the
 * rounds, the ratio that of the rounds' ratios. At the end, how long the longest append took over a
 * whole segment of 64 MiB, which contains the change to the next. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "store/seglog.h"

#define RECORD_BYTES 256u
#define FRAME_BYTES 9u
#define STRETCH_NS INT64_C(100000000)
#define SEGMENT_BYTES ((uint64_t)64 << 20)

static char root[4096];
static uint8_t record[RECORD_BYTES];
static struct seglog *log_;
static int grown = -1;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void clean(void)
{
    (void)nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void append_group(unsigned size)
{
    struct wm_diag diag = WM_DIAG_INIT;
    uint64_t number;
    for (unsigned i = 0; i < size; i++) {
        record[0]++;
        if (seglog_append(log_, 1, wm_view_of(record, sizeof record), &number, &diag) != 0) {
            bench_die("%s", wm_diag_text(&diag));
        }
    }
    if (seglog_sync(log_, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
}

static void grow_group(unsigned size)
{
    static uint8_t bytes[1000 * (FRAME_BYTES + RECORD_BYTES)];
    size_t len = size * (FRAME_BYTES + RECORD_BYTES);
    for (unsigned i = 0; i < size; i++) {
        record[0]++;
        memcpy(bytes + i * (FRAME_BYTES + RECORD_BYTES) + FRAME_BYTES, record, sizeof record);
    }
    if (write(grown, bytes, len) != (ssize_t)len || fdatasync(grown) != 0) {
        bench_die("a file that grows: %s", strerror(errno));
    }
}

/* Records a second over a stretch of groups. */
static double rate(void (*group)(unsigned), unsigned size)
{
    int64_t start = bench_now_ns(BENCH_WALL), now;
    uint64_t records = 0;
    do {
        group(size);
        records += size;
        now = bench_now_ns(BENCH_WALL);
    } while (now - start < STRETCH_NS);
    return (double)records * 1e9 / (double)(now - start);
}

static void figure(const struct bench_config *config, const char *name, double *values,
                   const char *unit, const char *peer, double peer_value)
{
    struct bench_stat stat = bench_stat(values, (size_t)config->rounds);
    struct bench_figure line = {.name = name,
                                .value = stat.median,
                                .unit = unit,
                                .peer = peer,
                                .peer_value = peer_value,
                                .spread = stat.q3 - stat.q1,
                                .runs = stat.count};
    bench_figure_write(config, &line);
}

static void groups(const struct bench_config *config, unsigned size)
{
    static double ours[BENCH_ROUNDS_MAX], theirs[BENCH_ROUNDS_MAX], ratios[BENCH_ROUNDS_MAX];
    char name[64], path[4200];
    snprintf(path, sizeof path, "%s/grown", root);
    for (int i = -1; i < config->rounds; i++) {
        double rates[2];
        grown = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        if (grown < 0) {
            bench_die("%s: %s", path, strerror(errno));
        }
        for (int turn = 0; turn < 2; turn++) { /* who comes first changes from round to round */
            bool own = turn == (i & 1);
            rates[own] = rate(own ? append_group : grow_group, size);
        }
        close(grown);
        if (i >= 0) {
            ours[i] = rates[1];
            theirs[i] = rates[0];
            ratios[i] = rates[1] / rates[0];
        }
    }
    snprintf(name, sizeof name, "ledger.log_append_%u", size);
    figure(config, name, ours, "records/s", "growing file",
           bench_stat(theirs, (size_t)config->rounds).median);
    snprintf(name, sizeof name, "ledger.log_append_%u_ratio", size);
    figure(config, name, ratios, "ratio", NULL, 0);
}

/* The longest of all groups of 100 in a segment. */
static void change_of_segments(const struct bench_config *config)
{
    static double longest[BENCH_ROUNDS_MAX];
    struct bench_config few = *config;
    struct wm_diag diag = WM_DIAG_INIT;
    few.rounds = few.rounds < 5 ? few.rounds : 5;
    for (int i = 0; i < few.rounds; i++) {
        if (seglog_cut(log_, &diag) != 0) {
            bench_die("%s", wm_diag_text(&diag));
        }
        longest[i] = 0;
        for (uint64_t bytes = 0; bytes < SEGMENT_BYTES;
             bytes += 1000 * (FRAME_BYTES + RECORD_BYTES)) {
            int64_t start = bench_now_ns(BENCH_WALL);
            append_group(1000);
            double ms = (double)(bench_now_ns(BENCH_WALL) - start) / 1e6;
            longest[i] = ms > longest[i] ? ms : longest[i];
        }
    }
    figure(&few, "ledger.log_append_longest", longest, "ms", NULL, 0);
}

int main(int argc, char **argv)
{
    struct bench_config config = bench_start(argc, argv, 11);
    struct seglog_opened opened;
    struct wm_diag diag = WM_DIAG_INIT;
    char path[4200];
    snprintf(root, sizeof root, "%s", bench_path(&config, "log-XXXXXX"));
    if (!mkdtemp(root)) {
        bench_die("%s: %s", root, strerror(errno));
    }
    atexit(clean);
    snprintf(path, sizeof path, "%s/log", root);
    struct seglog_config log_config = {.path = path, .segment_bytes = SEGMENT_BYTES, .label = {1}};
    if (seglog_open(&log_config, &log_, &opened, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    static const unsigned sizes[] = {1, 10, 100, 1000};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        groups(&config, sizes[i]);
    }
    change_of_segments(&config);
    seglog_close(log_);
    return 0;
}
