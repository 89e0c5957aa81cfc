/* Cholesky decomposition in place of a symmetric, diagonally dominant matrix. */
#define KERNEL_NAME "cholesky"
#include <math.h>

#include "kernel.h"

#define N 640
static double a[N][N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j <= i; j++) {
            a[i][j] = (double)((i * 5 + j * 5) % N) / N + (i == j ? N : 0);
            a[j][i] = a[i][j];
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < i; j++) {
            for (int k = 0; k < j; k++) {
                a[i][j] -= a[i][k] * a[j][k];
            }
            a[i][j] /= a[j][j];
        }
        for (int k = 0; k < i; k++) {
            a[i][i] -= a[i][k] * a[i][k];
        }
        a[i][i] = sqrt(a[i][i]);
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, &a[0][0], (size_t)N * N);
}
