/* Ten million calls through a table of sixteen functions, in an order that no branch predictor
 * knows by heart. */
#define KERNEL_NAME "call-indirect"
#include "kernel.h"

#define CALLS 10000000u
typedef uint32_t step_fn(uint32_t x);
#define STEP(n, expr)                   \
    static uint32_t step##n(uint32_t x) \
    {                                   \
        return expr;                    \
    }
STEP(0, x * 3 + 1)
STEP(1, x ^ (x >> 7))
STEP(2, x + 0x9e3779b9u)
STEP(3, (x << 5) | (x >> 27))
STEP(4, x * 5 + 7)
STEP(5, x ^ (x << 9))
STEP(6, x - 0x61c88647u)
STEP(7, (x << 13) | (x >> 19))
STEP(8, x * 9 + 11)
STEP(9, x ^ (x >> 13))
STEP(10, x + 12345u)
STEP(11, (x << 3) | (x >> 29))
STEP(12, x * 17 + 3)
STEP(13, x ^ (x << 3))
STEP(14, ~x)
STEP(15, (x << 17) | (x >> 15))

static step_fn *volatile table_source[16] = {step0,  step1,  step2,  step3, step4,  step5,
                                             step6,  step7,  step8,  step9, step10, step11,
                                             step12, step13, step14, step15};
static step_fn *table[16];
static uint32_t state;

static void kernel_init(void)
{
    for (int i = 0; i < 16; i++) {
        table[i] = table_source[i];
    }
    state = 1;
}

NOINLINE static void kernel_run(void)
{
    uint32_t x = state, pick = 0x2545f491u;
    for (uint32_t i = 0; i < CALLS; i++) {
        pick ^= pick << 13;
        pick ^= pick >> 17;
        pick ^= pick << 5;
        x = table[pick & 15](x);
    }
    state = x;
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_int(sum, state);
}
