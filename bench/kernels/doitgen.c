/* Multi-resolution kernel: each row of a cube times a matrix. */
#define KERNEL_NAME "doitgen"
#include "kernel.h"

#define R 64
#define Q 64
#define P 160
static double a[R][Q][P], c4[P][P], sums[P];

static void kernel_init(void)
{
    for (int r = 0; r < R; r++) {
        for (int q = 0; q < Q; q++) {
            for (int p = 0; p < P; p++) {
                a[r][q][p] = (double)((r * q + p) % P) / P;
            }
        }
    }
    for (int s = 0; s < P; s++) {
        for (int p = 0; p < P; p++) {
            c4[s][p] = (double)(s * p % P) / P;
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int r = 0; r < R; r++) {
        for (int q = 0; q < Q; q++) {
            for (int p = 0; p < P; p++) {
                sums[p] = 0;
            }
            for (int s = 0; s < P; s++) {
                for (int p = 0; p < P; p++) {
                    sums[p] += a[r][q][s] * c4[s][p];
                }
            }
            for (int p = 0; p < P; p++) {
                a[r][q][p] = sums[p];
            }
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, &a[0][0][0], (size_t)R * Q * P);
}
