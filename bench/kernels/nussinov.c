/* Folding of a base sequence by dynamic programming: integer maxima over a triangle. */
#define KERNEL_NAME "nussinov"
#include "kernel.h"

#define N 520
static signed char seq[N];
static int table[N][N];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        seq[i] = (signed char)((i * i + i / 3 + 1) % 4);
    }
    memset(table, 0, sizeof table);
}

static inline int max_of(int a, int b)
{
    return a > b ? a : b;
}

NOINLINE static void kernel_run(void)
{
    for (int i = N - 1; i >= 0; i--) {
        for (int j = i + 1; j < N; j++) {
            int best = max_of(table[i][j], table[i][j - 1]);
            if (i + 1 < N) {
                best = max_of(best, table[i + 1][j]);
                int pair = i < j - 1 && seq[i] + seq[j] == 3 ? 1 : 0;
                best = max_of(best, table[i + 1][j - 1] + pair);
            }
            for (int k = i + 1; k < j; k++) {
                best = max_of(best, table[i][k] + table[k + 1][j]);
            }
            table[i][j] = best;
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            sum_int(sum, (uint64_t)table[i][j]);
        }
    }
}
