/* G = (A B)(C D), rows accumulated. */
#define KERNEL_NAME "3mm"
#include "kernel.h"

#define N 320
static double a[N][N], b[N][N], c[N][N], d[N][N], e[N][N], f[N][N], g[N][N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)((i * j + 1) % N) / (5 * N);
            b[i][j] = (double)((i * (j + 1) + 2) % N) / (5 * N);
            c[i][j] = (double)(i * (j + 3) % N) / (5 * N);
            d[i][j] = (double)((i * (j + 2) + 2) % N) / (5 * N);
        }
    }
}

static inline void product(double (*restrict out)[N], double (*restrict x)[N],
                           double (*restrict y)[N])
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            out[i][j] = 0;
        }
        for (int k = 0; k < N; k++) {
            for (int j = 0; j < N; j++) {
                out[i][j] += x[i][k] * y[k][j];
            }
        }
    }
}

NOINLINE static void kernel_run(void)
{
    product(e, a, b);
    product(f, c, d);
    product(g, e, f);
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, &g[0][0], (size_t)N * N);
}
