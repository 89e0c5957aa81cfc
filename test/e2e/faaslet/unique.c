/* unique.c: two generators seeded by init; one of them again before each call. By the first byte of
 * the input: the numbers of both, and of the host; or what getenv gave in init and gives now. */
#define _GNU_SOURCE /* getentropy, clock_gettime */
#include <faaslet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t frozen, fresh;
static char variable[64];

static uint64_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *state >> 16;
}

static void seed(uint64_t *state)
{
    if (getentropy(state, sizeof *state) != 0) {
        abort();
    }
}

FAASLET_INIT
{
    const char *value = getenv("VARIABLE");
    snprintf(variable, sizeof variable, "%s", value ? value : "none");
    seed(&frozen);
    fresh = frozen;
    return value && strcmp(value, "refused") == 0;
}

FAASLET_RESTORED
{
    seed(&fresh);
}

FAASLET_MAIN
{
    char first = 0, text[256];
    uint64_t host;
    faaslet_input(&first, 1);
    if (first == 'e') {
        const char *value = getenv("VARIABLE");
        snprintf(text, sizeof text, "%s %s", variable, value ? value : "none");
    } else {
        struct timespec now;
        seed(&host);
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(text, sizeof text, "%llx %llx %llx %lld%09ld", (unsigned long long)draw(&frozen),
                 (unsigned long long)draw(&fresh), (unsigned long long)host, (long long)now.tv_sec,
                 now.tv_nsec);
    }
    return faaslet_output(text, (uint32_t)strlen(text));
}
