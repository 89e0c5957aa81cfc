/* y = alpha A x + beta B x. */
#define KERNEL_NAME "gesummv"
#include "kernel.h"

#define N 1000
static double a[N][N], b[N][N], x[N], y[N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        x[i] = (double)(i % N) / N;
        y[i] = 0;
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)((i * j + 1) % N) / N;
            b[i][j] = (double)((i * j + 2) % N) / N;
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < N; i++) {
            double t = 0, u = 0;
            for (int j = 0; j < N; j++) {
                t += a[i][j] * x[j];
                u += b[i][j] * x[j];
            }
            y[i] += 1.5 * t + 1.2 * u;
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, y, N);
}
