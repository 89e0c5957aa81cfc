/* hostile.c: a guest that tries to get out. Each way ends the guest and nothing else.
 *
 *     wardmote build examples/hostile.c -o hostile.wasm
 *     wardmote run hostile.wasm read     reads far beyond its memory
 *     wardmote run hostile.wasm jump     calls a forged function pointer
 *     wardmote run hostile.wasm stack    recurses for ever
 *     wardmote run hostile.wasm file     opens a file that it was not given
 *     wardmote run --timeout 200 hostile.wasm loop   never stops by itself */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static volatile int deepest = INT32_MAX;

static int recurse(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    return depth < deepest ? recurse(depth + 1) + frame[0] : 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "read";
    printf("hostile: trying: %s\n", what);
    fflush(stdout);
    if (strcmp(what, "read") == 0) {
        volatile unsigned char *far = (volatile unsigned char *)0xfffffff0u;
        printf("hostile: read %d\n", *far);
    } else if (strcmp(what, "jump") == 0) {
        int (*volatile forged)(int) = (int (*)(int))0x1234;
        printf("hostile: came back with %d\n", forged(1));
    } else if (strcmp(what, "stack") == 0) {
        printf("hostile: %d\n", recurse(0));
    } else if (strcmp(what, "file") == 0) {
        FILE *file = fopen("/etc/passwd", "r");
        if (file == NULL) {
            fprintf(stderr, "hostile: /etc/passwd: %s\n", strerror(errno));
            return 1;
        }
        puts("hostile: opened it");
    } else if (strcmp(what, "loop") == 0) {
        for (volatile uint64_t i = 0;; i++) {
        }
    } else {
        fprintf(stderr, "usage: hostile read|jump|stack|file|loop\n");
        return 2;
    }
    return 0;
}
