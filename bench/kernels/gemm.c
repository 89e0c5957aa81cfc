/* C = alpha A B + beta C. */
#define KERNEL_NAME "gemm"
#include "kernel.h"

#define N 512
static double a[N][N], b[N][N], c[N][N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)((i * j + 1) % N) / N;
            b[i][j] = (double)((i * j + 2) % N) / N;
            c[i][j] = (double)((i + j) % N) / N;
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            c[i][j] *= 1.2;
        }
        for (int k = 0; k < N; k++) {
            double aik = 1.5 * a[i][k];
            for (int j = 0; j < N; j++) {
                c[i][j] += aik * b[k][j];
            }
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, &c[0][0], (size_t)N * N);
}
