/* neighbour_guest.c: the guest of neighbours.c: it counts, or misbehaves in one of several ways. */
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name))) uint32_t name(uint32_t x)
EXPORT(count);
EXPORT(read_far);
EXPORT(write_far);
EXPORT(divide);
EXPORT(forge);
EXPORT(recurse);
EXPORT(loop);

static uint32_t counter;

uint32_t count(uint32_t by)
{
    counter += by;
    return counter;
}

uint32_t read_far(uint32_t x)
{
    return *(volatile uint32_t *)(0xfffffff0u + x);
}

uint32_t write_far(uint32_t x)
{
    *(volatile uint32_t *)(0xfffffff0u + x) = 1;
    return x;
}

uint32_t divide(uint32_t zero)
{
    volatile uint32_t one = 1;
    __asm__ volatile("local.get %1\n\tlocal.get %2\n\ti32.div_u\n\tlocal.set %0"
                     : "=r"(zero)
                     : "r"(one), "r"(zero));
    return zero;
}

uint32_t forge(uint32_t x)
{
    uint32_t (*volatile forged)(uint32_t) = (uint32_t(*)(uint32_t))(0x1234 + x);
    return forged(x);
}

uint32_t recurse(uint32_t x)
{
    volatile uint32_t keep = x;
    return keep == UINT32_MAX ? 0 : recurse(x + 1) + keep;
}

uint32_t loop(uint32_t x)
{
    for (volatile uint32_t i = x;; i++) {
    }
}
