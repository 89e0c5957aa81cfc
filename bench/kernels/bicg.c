/* s = A' r and q = A p in one pass over A, thirty times over. */
#define KERNEL_NAME "bicg"
#include "kernel.h"

#define M 1000
#define N 1200
static double a[N][M], s[M], q[N], p[M], r[N];

static void kernel_init(void)
{
    for (int i = 0; i < M; i++) {
        p[i] = (double)(i % M) / M;
    }
    for (int i = 0; i < N; i++) {
        r[i] = (double)(i % N) / N;
        for (int j = 0; j < M; j++) {
            a[i][j] = (double)(i * (j + 1) % N) / N;
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int round = 0; round < 30; round++) {
        for (int j = 0; j < M; j++) {
            s[j] = 0;
        }
        for (int i = 0; i < N; i++) {
            q[i] = 0;
            for (int j = 0; j < M; j++) {
                s[j] += r[i] * a[i][j];
                q[i] += a[i][j] * p[j];
            }
        }
        for (int j = 0; j < M; j++) {
            p[j] = s[j] / (1 + s[0]);
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, s, M);
    sum_doubles(sum, q, N);
}
