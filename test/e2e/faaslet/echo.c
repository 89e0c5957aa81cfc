/* echo.c: a function that answers with its input, and a few that misbehave, by the first byte. */
#include <errno.h>
#include <faaslet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int initialised;
static char note[64] = "clean";

FAASLET_INIT
{
    initialised = 42;
    return 0;
}

static int32_t half(void)
{
    int32_t value = 0;
    faaslet_input(&value, sizeof value);
    value /= 2;
    return faaslet_output(&value, sizeof value);
}

/* fib by chained calls: as many as there are leaves. */
static int32_t fib(void)
{
    int32_t n = 0, a = 0, b = 0;
    faaslet_input(&n, sizeof n);
    if (n >= 2) {
        int32_t one = n - 1, two = n - 2;
        int64_t first = faaslet_chain_this(fib, &one, sizeof one);
        int64_t second = faaslet_chain_this(fib, &two, sizeof two);
        if (first < 0 || second < 0 || faaslet_await(first, UINT32_MAX) != 0 ||
            faaslet_await(second, UINT32_MAX) != 0) {
            return 1;
        }
        faaslet_chained_output(first, 0, &a, sizeof a);
        faaslet_chained_output(second, 0, &b, sizeof b);
        n = a + b;
    }
    return faaslet_output(&n, sizeof n);
}

FAASLET_MAIN
{
    static char text[65536];
    int32_t len = faaslet_input(text, sizeof text);
    if (initialised != 42) {
        return 99;
    }
    switch (len > 0 ? text[0] : 0) {
    case 'T': __builtin_trap();
    case 'L':
        for (volatile int i = 0;; i++) {
        }
    case 'R': return 7;
    case 'O':
        for (;;) {
            if (faaslet_output_append(text, sizeof text) != 0) {
                return 0;
            }
        }
    case 'N': /* what the last call left */
        faaslet_output(note, (uint32_t)strlen(note));
        strcpy(note, "dirty");
        return 0;
    case 'C': {
        int32_t value = 84, result = 0;
        int64_t id = faaslet_chain_this(half, &value, sizeof value);
        int32_t code = id > 0 ? faaslet_await(id, UINT32_MAX) : (int32_t)id;
        faaslet_chained_output(id, 0, &result, sizeof result);
        len = snprintf(text, sizeof text, "%d %d", (int)code, (int)result);
        break;
    }
    case 'F': {
        int32_t n = atoi(text + 1), result = -1;
        int64_t id = faaslet_chain_this(fib, &n, sizeof n);
        int32_t code = id > 0 ? faaslet_await(id, UINT32_MAX) : (int32_t)id;
        faaslet_chained_output(id, 0, &result, sizeof result);
        len = snprintf(text, sizeof text, "%d %d", (int)code, (int)result);
        break;
    }
    case 'S': {
        int64_t id = faaslet_chain("sleeper", 7, text, 1);
        int32_t first = faaslet_await(id, 20);
        int32_t second = faaslet_await(id, UINT32_MAX);
        len = snprintf(text, sizeof text, "%d %d", (int)first == -ETIMEDOUT, (int)second);
        break;
    }
    case 'X': { /* secrets */
        char secret[32] = "";
        int32_t got = faaslet_secret("KEY", 3, secret, sizeof secret - 1);
        len = snprintf(text, sizeof text, "%d %s", (int)got, secret);
        break;
    }
    }
    return faaslet_output(text, (uint32_t)len);
}
