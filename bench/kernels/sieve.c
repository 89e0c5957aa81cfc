/* Primes below eight million, one byte a number. */
#define KERNEL_NAME "sieve"
#include "kernel.h"

#define N 8000000
static unsigned char composite[N];
static unsigned primes;

static void kernel_init(void)
{
    memset(composite, 0, sizeof composite);
    primes = 0;
}

NOINLINE static void kernel_run(void)
{
    for (unsigned i = 2; i < N; i++) {
        if (!composite[i]) {
            primes++;
            for (unsigned j = 2 * i; j < N; j += i) {
                composite[j] = 1;
            }
        }
    }
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_int(sum, primes);
}
