/* Goes where its input says (test/hostile).
 *
 *     NAME\nINPUT     calls the function with the rest; its output, or "-ERRNO"
 *     <PATH           the file's content, or "-ERRNO"
 *     *N NAME\nINPUT  starts N calls at once and awaits all: "started N failed N"
 *     !DEPTH NAME     calls NAME, which is this, with DEPTH + 1, without end: "depth N"
 *     @               spins until it is stopped
 *     #               logs without end
 *     $               adds to its output without end: "-ERRNO LEN"
 *     %               takes memory without end: "PAGES" */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <faaslet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char input[8192], output[65536];

static int32_t say(const char *format, long long a, long long b)
{
    char text[128];
    faaslet_output(text, (uint32_t)snprintf(text, sizeof text, format, a, b));
    return 0;
}

static int32_t call(const char *name, const char *rest)
{
    int64_t id = faaslet_chain(name, (uint32_t)strlen(name), rest, (uint32_t)strlen(rest));
    int32_t rc = id < 0 ? (int32_t)id : faaslet_await(id, UINT32_MAX);
    if (rc < 0) {
        return say("%lld", rc, 0);
    }
    int32_t len = faaslet_chained_output(id, 0, output, sizeof output);
    faaslet_output(output, len < 0 ? 0 : (uint32_t)len);
    return 0;
}

static int32_t file(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) {
        return say("-%lld", errno, 0);
    }
    faaslet_output(output, (uint32_t)fread(output, 1, sizeof output, f));
    fclose(f);
    return 0;
}

static int32_t many(long count, const char *name, const char *rest)
{
    static int64_t ids[4096];
    long started = 0, failed = 0;
    for (long i = 0; i < count && i < 4096; i++) {
        int64_t id = faaslet_chain(name, (uint32_t)strlen(name), rest, (uint32_t)strlen(rest));
        if (id < 0) {
            failed++;
        } else {
            ids[started++] = id;
        }
    }
    for (long i = 0; i < started; i++) {
        failed += faaslet_await(ids[i], UINT32_MAX) < 0;
    }
    return say("started %lld failed %lld", started, failed);
}

static int32_t deeper(long depth, const char *name)
{
    char text[128];
    int len = snprintf(text, sizeof text, "!%ld %s", depth + 1, name);
    int64_t id = faaslet_chain(name, (uint32_t)strlen(name), text, (uint32_t)len);
    if (id < 0 || faaslet_await(id, UINT32_MAX) < 0) {
        return say("depth %lld", depth, 0);
    }
    faaslet_output(output, (uint32_t)faaslet_chained_output(id, 0, output, sizeof output));
    return 0;
}

FAASLET_MAIN
{
    int32_t len = faaslet_input(input, sizeof input - 1);
    char name[128] = "", *rest;
    volatile uint32_t spun = 0;
    uint32_t total = 0;
    if (len < 1) {
        return 2;
    }
    input[len] = 0;
    rest = strchr(input, '\n');
    if (rest) {
        *rest++ = 0;
    }
    switch (input[0]) {
    case '<': return file(input + 1);
    case '*': {
        char *at;
        long count = strtol(input + 1, &at, 10);
        return many(count, at + 1, rest ? rest : "");
    }
    case '!':
        sscanf(input + 1, "%*d %127s", name);
        return deeper(strtol(input + 1, NULL, 10), name);
    case '@':
        for (;;) {
            spun++;
        }
    case '#':
        for (;;) {
            faaslet_log(output, sizeof output);
            fwrite("flood flood flood\n", 1, 18, stderr);
        }
    case '$':
        for (;;) {
            int32_t rc = faaslet_output_append(output, sizeof output);
            if (rc < 0) {
                return say("%lld %lld", rc, total);
            }
            total += sizeof output;
        }
    case '%': {
        while (__builtin_wasm_memory_grow(0, 16) != (size_t)-1) {
        }
        uint32_t pages = (uint32_t)__builtin_wasm_memory_size(0);
        for (uint32_t i = 16; i < pages; i++) {
            *(volatile char *)((size_t)i << 16) = 1;
        }
        return say("%lld", pages, 0);
    }
    default: return call(input, rest ? rest : "");
    }
}
