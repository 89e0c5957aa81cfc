/* Nine-point averaging in place: each point needs its left neighbour's new value. */
#define KERNEL_NAME "seidel-2d"
#include "kernel.h"

#define N 400
#define STEPS 12
static double a[N][N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = ((double)i * (j + 2) + 2) / N;
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int t = 0; t < STEPS; t++) {
        for (int i = 1; i < N - 1; i++) {
            for (int j = 1; j < N - 1; j++) {
                a[i][j] = (a[i - 1][j - 1] + a[i - 1][j] + a[i - 1][j + 1] + a[i][j - 1] + a[i][j] +
                           a[i][j + 1] + a[i + 1][j - 1] + a[i + 1][j] + a[i + 1][j + 1]) /
                          9.0;
            }
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, &a[0][0], (size_t)N * N);
}
