/* A linked list of a quarter of a million nodes (4 MiB in wasm, 4 MiB native), followed in random
 * order. Links are indices, so that the data is the same on 32-bit and 64-bit machines. */
#define KERNEL_NAME "pointer-chase"
#include "kernel.h"

#define NODES 262144u
struct node {
    uint32_t next;
    uint32_t value;
    uint64_t other;
};
static struct node nodes[NODES];
static uint32_t order[NODES];
static uint64_t total;

static void kernel_init(void)
{
    uint32_t random = 2463534242u;
    for (uint32_t i = 0; i < NODES; i++) {
        order[i] = i;
    }
    for (uint32_t i = NODES - 1; i > 0; i--) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        uint32_t j = random % (i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[order[i]].next = order[(i + 1) % NODES];
        nodes[order[i]].value = i;
    }
    total = 0;
}

NOINLINE static void kernel_run(void)
{
    uint32_t at = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 4 * NODES; i++) {
        sum += nodes[at].value;
        at = nodes[at].next;
    }
    total = sum + at;
}

static void kernel_sum(struct kernel_sum *sum)
{
    sum_int(sum, total);
}
