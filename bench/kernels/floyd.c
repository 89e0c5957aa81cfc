/* All shortest paths, in integers. */
#define KERNEL_NAME "floyd-warshall"
#include "kernel.h"

#define N 400
static int path[N][N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            path[i][j] = i * j % 7 + 1;
            if ((i + j) % 13 == 0 || (i + j) % 7 == 0 || (i + j) % 11 == 0) {
                path[i][j] = 999;
            }
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int k = 0; k < N; k++) {
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) {
                int through = path[i][k] + path[k][j];
                path[i][j] = path[i][j] < through ? path[i][j] : through;
            }
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            sum_int(sum, (uint64_t)path[i][j]);
        }
    }
}
