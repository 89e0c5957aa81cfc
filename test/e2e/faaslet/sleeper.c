/* sleeper.c: a plain program as a function: sleeps, then copies its input. */
#define _GNU_SOURCE /* nanosleep */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    char text[256];
    struct timespec wait = {0, 100000000};
    nanosleep(&wait, NULL);
    size_t len = fread(text, 1, sizeof text, stdin);
    fwrite(text, 1, len, stdout);
    fprintf(stderr, "copied %zu\n", len);
    return len == 0;
}
