/* The correlation matrix of M columns over N rows. */
#define KERNEL_NAME "correlation"
#include <math.h>

#include "kernel.h"

#define N 640
#define M 520
static double data[N][M], corr[M][M], mean[M], deviation[M];

static void kernel_init(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < M; j++) {
            data[i][j] = (double)(i * j) / M + (double)(i * 3 % 17) + (double)(j % 5);
        }
    }
}

NOINLINE static void kernel_run(void)
{
    for (int j = 0; j < M; j++) {
        mean[j] = 0;
        deviation[j] = 0;
    }
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < M; j++) {
            mean[j] += data[i][j];
        }
    }
    for (int j = 0; j < M; j++) {
        mean[j] /= N;
    }
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < M; j++) {
            deviation[j] += (data[i][j] - mean[j]) * (data[i][j] - mean[j]);
        }
    }
    for (int j = 0; j < M; j++) {
        deviation[j] = sqrt(deviation[j] / N);
        deviation[j] = deviation[j] <= 0.1 ? 1.0 : deviation[j];
    }
    double root = sqrt((double)N);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < M; j++) {
            data[i][j] = (data[i][j] - mean[j]) / (root * deviation[j]);
        }
    }
    for (int i = 0; i < M; i++) {
        for (int j = i; j < M; j++) {
            corr[i][j] = 0;
        }
        for (int k = 0; k < N; k++) {
            for (int j = i; j < M; j++) {
                corr[i][j] += data[k][i] * data[k][j];
            }
        }
        for (int j = i; j < M; j++) {
            corr[j][i] = corr[i][j];
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_doubles(sum, &corr[0][0], (size_t)M * M);
}
