/* y = A' (A x), thirty times over. */
#define KERNEL_NAME "atax"
#include "kernel.h"

#define M 1000
#define N 1200
static double a[M][N], x[N], y[N];

static void kernel_init(void)
{
    for (int j = 0; j < N; j++) {
        x[j] = 1 + (double)j / N;
    }
    for (int i = 0; i < M; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)((i + j) % N) / (5 * M);
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int round = 0; round < 30; round++) {
        for (int j = 0; j < N; j++) {
            y[j] = 0;
        }
        for (int i = 0; i < M; i++) {
            double t = 0;
            for (int j = 0; j < N; j++) {
                t += a[i][j] * x[j];
            }
            for (int j = 0; j < N; j++) {
                y[j] += a[i][j] * t;
            }
        }
        for (int j = 0; j < N; j++) {
            x[j] = y[j] / (1 + y[0] * y[0]);
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, y, N);
}
