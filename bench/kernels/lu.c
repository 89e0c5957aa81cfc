/* LU decomposition in place, without pivoting; the matrix is made diagonally dominant. */
#define KERNEL_NAME "lu"
#include "kernel.h"

#define N 520
static double a[N][N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)((i * 7 + j * 3) % N) / N + (i == j ? N : 0);
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < i; j++) {
            for (int k = 0; k < j; k++) {
                a[i][j] -= a[i][k] * a[k][j];
            }
            a[i][j] /= a[j][j];
        }
        for (int j = i; j < N; j++) {
            for (int k = 0; k < i; k++) {
                a[i][j] -= a[i][k] * a[k][j];
            }
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, &a[0][0], (size_t)N * N);
}
