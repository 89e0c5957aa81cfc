/* D = A B C, the textbook loop order: two products one after the other, columns of the right
 * operand walked with a stride. */
#define KERNEL_NAME "2mm"
#include "kernel.h"

#define N 256
static double a[N][N], b[N][N], c[N][N], t[N][N], d[N][N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)((i * j + 1) % N) / N;
            b[i][j] = (double)((i * (j + 1)) % N) / N;
            c[i][j] = (double)((i * (j + 3) + 1) % N) / N;
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++) {
                sum += a[i][k] * b[k][j];
            }
            t[i][j] = sum;
        }
    }
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++) {
                sum += t[i][k] * c[k][j];
            }
            d[i][j] = sum;
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, &d[0][0], (size_t)N * N);
}
