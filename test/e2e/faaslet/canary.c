/* Leaves a secret wherever a call can, or looks for one wherever it may have stayed
 * (test/hostile/canary.py). As a Faaslet, as a program, and suspended when it reads its input.
 *
 *     W MODE PATTERN   writes the 16 bytes; then MODE r returns, t traps, l loops
 *     S PATTERN        the pattern with all bits inverted, so that the search does not find itself:
 *                      "clean", or where it was
 *
 * All is searched: memory up to where it may grow, files, descriptors, environment, arguments,
 * what is past the input, others' outputs and state. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <errno.h>
#include <faaslet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATTERN 16u
#define KEY "canary"

extern char **environ;
static unsigned char globals[1 << 20] __attribute__((aligned(16)));
static unsigned char head[64] __attribute__((aligned(16)));
static char found[256];

static void fill(volatile unsigned char *at, size_t len, const unsigned char *pattern)
{
    for (size_t i = 0; i + PATTERN <= len; i += PATTERN) {
        for (size_t j = 0; j < PATTERN; j++) {
            at[i + j] = pattern[j];
        }
    }
}

__attribute__((noinline)) static void fill_stack(const unsigned char *pattern)
{
    volatile unsigned char local[24 * 1024] __attribute__((aligned(16)));
    fill(local, sizeof local, pattern);
}

static void name_of(char *out, const unsigned char *pattern)
{
    for (size_t i = 0; i < PATTERN; i++) {
        snprintf(out + 2 * i, 3, "%02x", pattern[i]);
    }
}

static void write_files(const unsigned char *pattern)
{
    static const char *const places[] = {"", "/", "/tmp/", "./"};
    char hex[2 * PATTERN + 1], path[128];
    name_of(hex, pattern);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%scanary-%s", places[i], hex);
        int fd = open(path, O_CREAT | O_RDWR, 0600);
        if (fd >= 0) {
            (void)!write(fd, globals, 65536); /* stays open */
        }
        snprintf(path, sizeof path, "%sdir-%s", places[i], hex);
        (void)mkdir(path, 0700);
    }
}

static int32_t leave(char mode, const unsigned char *pattern)
{
    char hex[2 * PATTERN + 1];
    name_of(hex, pattern);
    fill(globals, sizeof globals, pattern);
    fill_stack(pattern);
    for (size_t len = 4u << 20; len >= 4096; len /= 2) {
        unsigned char *heap = malloc(len);
        if (heap) {
            fill(heap, len, pattern);
        }
    }
    for (size_t pages = 64; pages > 0; pages /= 2) {
        size_t at = __builtin_wasm_memory_grow(0, pages);
        if (at != (size_t)-1) {
            fill((unsigned char *)(at << 16), pages << 16, pattern);
        }
    }
    write_files(pattern);
    faaslet_output(globals, sizeof globals);
    faaslet_log((const char *)hex, 2 * PATTERN);
    fprintf(stderr, "%s\n", hex);
    faaslet_response_header("x-canary", 8, hex, 2 * PATTERN);
    faaslet_response_status(299);
    setenv("CANARY", hex, 1);
    faaslet_state_write(KEY, sizeof KEY - 1, 0, globals, 3 * 65536);
    unsigned char *map = faaslet_state_map(KEY, sizeof KEY - 1, 0, 0, 0);
    if (map) {
        fill(map, 3 * 65536, pattern);
        faaslet_state_dirty(KEY, sizeof KEY - 1, 0, 0);
    }
    faaslet_state_push(KEY, sizeof KEY - 1, 0, 0);
    faaslet_state_append("canaries", 8, globals, 1024);
    if (mode == 't') {
        __builtin_trap();
    }
    while (mode == 'l') {
        fill(globals, sizeof globals, pattern);
    }
    return 0;
}

static uint32_t word(const unsigned char *inverted, size_t i)
{
    uint32_t value;
    memcpy(&value, inverted + 4 * i, 4);
    return ~value;
}

/* Where it is among [from, to), which is aligned; 0: nowhere. */
static size_t search(size_t from, size_t to, const unsigned char *inverted)
{
    const uint32_t first = word(inverted, 0), second = word(inverted, 1);
    for (size_t at = from; at + 8 <= to; at += 4) {
        const volatile uint32_t *p = (const volatile uint32_t *)at;
        if (p[0] == first && p[1] == second) {
            return at;
        }
    }
    return 0;
}

static void tell(const char *what, size_t at)
{
    if (!found[0]) {
        snprintf(found, sizeof found, "%s %zu", what, at);
    }
}

static void search_folder(const char *path, int depth)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (strstr(entry->d_name, "canary") || strstr(entry->d_name, "dir-")) {
            tell("file", 0);
        }
        char below[512];
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (depth < 3 && entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            search_folder(below, depth + 1);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static int32_t look(const unsigned char *inverted, int own)
{
    static unsigned char buffer[4096];
    struct stat about;
    size_t at = search(16, __builtin_wasm_memory_size(0) << 16, inverted);
    if (at) {
        tell("memory", at);
    }
    for (size_t pages = 1024; pages > 0; pages /= 2) {
        size_t grown;
        while ((grown = __builtin_wasm_memory_grow(0, pages)) != (size_t)-1) {
            at = search(grown << 16, (grown + pages) << 16, inverted);
            if (at) {
                tell("grown memory", at);
            }
        }
    }
    search_folder("/", 0);
    search_folder(".", 0);
    search_folder("/tmp", 0);
    for (int fd = 4; fd < 2000; fd++) {
        if (fstat(fd, &about) == 0) {
            tell("descriptor", (size_t)fd);
        }
    }
    for (char **env = environ; env && *env; env++) {
        if (strstr(*env, "CANARY")) {
            tell("environment", 0);
        }
    }
    for (uint32_t offset = faaslet_input_size(), i = 0; i < 30; i++, offset += 1u << i) {
        if (faaslet_input_read(offset, buffer, sizeof buffer) > 0) {
            tell("past the input", offset);
        }
    }
    for (int64_t id = 1; id < 64; id++) {
        if (faaslet_chained_output_size(id) >= 0 ||
            faaslet_chained_output(id, 0, buffer, sizeof buffer) >= 0) {
            tell("another's chained call", (size_t)id);
        }
    }
    if (!own && (faaslet_state_size(KEY, sizeof KEY - 1) >= 0 ||
                 faaslet_state_appended_count("canaries", 8) > 0)) {
        tell("another's state", 0);
    }
    if (!found[0]) {
        strcpy(found, "clean");
    }
    faaslet_output(found, (uint32_t)strlen(found));
    return 0;
}

static int32_t run(int32_t len)
{
    if (len >= 4 + (int32_t)PATTERN && head[0] == 'W') {
        return leave((char)head[2], head + 4);
    }
    if (len >= 4 + (int32_t)PATTERN && head[0] == 'S') {
        return look(head + 4, head[2] == 'o');
    }
    return 2;
}

#ifdef PROGRAM
int main(void)
{
    return run((int32_t)read(0, head, sizeof head));
}
#else
static unsigned char *warm;

FAASLET_INIT
{
    warm = calloc(1, 1 << 20);
    if (!warm) {
        return 1;
    }
    for (size_t i = 0; i < 1 << 20; i += 64) {
        warm[i] = (unsigned char)i | 1;
    }
    return 0;
}

FAASLET_MAIN
{
    return run(faaslet_input(head, sizeof head));
}
#endif
