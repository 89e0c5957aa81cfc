/* kernel.h: what all kernels of the bench share: a clock, a checksum, and the main that times them.
 *
 * A kernel is one file that defines KERNEL_NAME, kernel_init, kernel_run and kernel_sum; this
 * header is included once, at its top. The program runs the kernel a few times (argument 1, default
 * 3), each time from freshly initialised data, and prints one line:
 *
 *     NAME cpu_ns exact rounded
 *
 * cpu_ns is the least CPU time of this thread over the repetitions: what the kernel costs once the
 * machine (and an engine's own tiers) are warm. `exact` mixes the bits of every result, so two
 * programs that did the same arithmetic print the same number; `rounded` is the plain sum to six
 * digits, for native code that was allowed to contract a*b+c. */
#ifndef BENCH_KERNEL_H
#define BENCH_KERNEL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline))

static void kernel_init(void);
static void kernel_run(void);
struct kernel_sum;
static void kernel_sum(struct kernel_sum *sum);

struct kernel_sum {
    uint64_t exact;
    double rounded;
};

static inline void sum_int(struct kernel_sum *sum, uint64_t value)
{
    sum->exact = (sum->exact ^ value) * UINT64_C(0x100000001b3);
    sum->exact ^= sum->exact >> 29;
    sum->rounded += (double)(value & 0xffff);
}

static inline void sum_doubles(struct kernel_sum *sum, const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        sum->exact = (sum->exact ^ bits) * UINT64_C(0x100000001b3);
        sum->exact ^= sum->exact >> 29;
        sum->rounded += values[i];
    }
}

#ifdef __wasi__
/* Straight from the system: this wasi-libc offers the CPU clocks only by emulation. Clock 3 is the
 * thread's CPU time, 2 the process's, 1 the monotonic clock. */
__attribute__((import_module("wasi_snapshot_preview1"), import_name("clock_time_get"))) int
kernel_clock_time_get(int id, long long precision, void *time);

static uint64_t cpu_ns(void)
{
    uint64_t ns = 0;
    for (int id = 3; id >= 1; id--) {
        if (kernel_clock_time_get(id, 1, &ns) == 0) {
            return ns;
        }
    }
    return 0;
}
#else
static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
#endif

int main(int argc, char **argv)
{
    int repeats = argc > 1 ? atoi(argv[1]) : 3;
    uint64_t best = UINT64_MAX;
    struct kernel_sum sum;
    for (int i = 0; i < repeats; i++) {
        kernel_init();
        uint64_t start = cpu_ns();
        kernel_run();
        uint64_t used = cpu_ns() - start;
        best = used < best ? used : best;
    }
    sum = (struct kernel_sum){0};
    kernel_sum(&sum);
    printf("%s %llu %016llx %.6g\n", KERNEL_NAME, (unsigned long long)best,
           (unsigned long long)sum.exact, sum.rounded);
    return 0;
}

#endif
