/* x1 += A y1 by rows and x2 += A' y2 by columns. */
#define KERNEL_NAME "mvt"
#include "kernel.h"

#define N 1100
static double a[N][N], x1[N], x2[N], y1[N], y2[N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        x1[i] = (double)(i % N) / N;
        x2[i] = (double)((i + 1) % N) / N;
        y1[i] = (double)((i + 3) % N) / N;
        y2[i] = (double)((i + 4) % N) / N;
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)(i * j % N) / N;
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) {
                x1[i] += a[i][j] * y1[j];
            }
        }
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) {
                x2[i] += a[j][i] * y2[j];
            }
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, x1, N);
    sum_doubles(sum, x2, N);
}
