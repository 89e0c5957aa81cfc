/* guest.c: a function that does nothing, and one that calls it as a chained call, many times.
 *
 * Input: none, or two words: what, and how often. */
#include <faaslet.h>
#include <stdint.h>

enum { CHAIN_HERE = 1, CHAIN_ACROSS = 2, WRITE_PAGES = 3 };

static volatile char pages[16 * 4096];

static int32_t noop(void)
{
    return 0;
}

FAASLET_MAIN
{
    uint32_t words[2];
    if (faaslet_input(words, sizeof words) != sizeof words) {
        return 0;
    }
    if (words[0] == WRITE_PAGES) {
        for (uint32_t i = 0; i < words[1] && i < 16; i++) {
            pages[i * 4096] = 1;
        }
        return 0;
    }
    /* With a limit on its wait a call does not run what it waits for: another thread must. */
    uint32_t timeout_ms = words[0] == CHAIN_ACROSS ? 10000 : UINT32_MAX;
    for (uint32_t i = 0; i < words[1]; i++) {
        int64_t id = faaslet_chain_this(noop, NULL, 0);
        if (id < 0 || faaslet_await(id, timeout_ms) != 0) {
            return 1;
        }
    }
    return 0;
}
