/* guest.c: a function with 16 MiB of initialised state, for the cost of an instance. */
#include <stdint.h>

#define STATE_BYTES (16u << 20)
static uint8_t state[STATE_BYTES];

/* The host's no-op, to time one call out of the guest. */
__attribute__((import_module("bench"), import_name("host"))) int32_t bench_host(int32_t x);

/* Fills the state, so that the image has 16 MiB of pages that are not zero. */
__attribute__((export_name("init"))) void init(void)
{
    for (uint32_t i = 0; i < STATE_BYTES; i++) {
        state[i] = (uint8_t)(i * 31 + (i >> 12) + 1);
    }
}

__attribute__((export_name("noop"))) int32_t noop(int32_t x)
{
    return x + 1;
}

/* Writes one byte on each of `pages` pages. */
__attribute__((export_name("touch"))) int32_t touch(int32_t pages)
{
    for (int32_t i = 0; i < pages; i++) {
        state[(uint32_t)i * 4096u] ^= 0x5a;
    }
    return pages;
}

__attribute__((export_name("calls"))) int32_t calls(int32_t count)
{
    int32_t x = 0;
    for (int32_t i = 0; i < count; i++) {
        x = bench_host(x);
    }
    return x;
}
