/* C = alpha A A' + beta C, the lower triangle. */
#define KERNEL_NAME "syrk"
#include "kernel.h"

#define N 640
#define M 560
static double a[N][M], at[M][N], c[N][N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < M; j++) {
            a[i][j] = (double)((i * j + 1) % N) / N;
            at[j][i] = a[i][j];
        }
        for (int j = 0; j < N; j++) {
            c[i][j] = (double)((i * j + 2) % M) / M;
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j <= i; j++) {
            c[i][j] *= 1.2;
        }
        for (int k = 0; k < M; k++) {
            for (int j = 0; j <= i; j++) {
                c[i][j] += 1.5 * a[i][k] * at[k][j];
            }
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, &c[0][0], (size_t)N * N);
}
