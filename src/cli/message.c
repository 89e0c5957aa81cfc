/* message.c: what the command says on standard error: errors and the progress bar. */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <wardmote/error.h>

#include "cli/cli.h"

int cli_error(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    cli_progress_end();
    fputs("wardmote: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return status;
}

int cli_status_of(int code)
{
    switch (code) {
    case WM_E_MISSING: return CLI_MISSING;
    case WM_E_MALFORMED:
    case WM_E_INVALID:
    case WM_E_UNSUPPORTED:
    case WM_E_USAGE: return CLI_USAGE;
    default: return CLI_FAILED;
    }
}

/* Only a terminal gets a bar, and only work of over a second: a script's log stays clean, and quick
 * things do not flicker. One compilation at a time is shown. */
static struct {
    bool started, shown, terminal;
    struct timespec since;
} bar;

void cli_progress(void *self, uint32_t done, uint32_t total)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!bar.started) {
        bar.started = true;
        bar.since = now;
        bar.terminal = isatty(STDERR_FILENO) == 1;
    }
    int64_t waited_ms = (int64_t)(now.tv_sec - bar.since.tv_sec) * 1000 +
                        (now.tv_nsec - bar.since.tv_nsec) / 1000000;
    if (!bar.terminal || waited_ms < 1000 || total == 0) {
        return;
    }
    enum { WIDTH = 30 };
    static const char full[] = "##############################";
    unsigned percent = (unsigned)((uint64_t)100 * (done < total ? done : total) / total);
    fprintf(stderr, "\r\033[K%s: compiling [%-*.*s] %u %%, %u s", (const char *)self, WIDTH,
            (int)(percent * WIDTH / 100), full, percent, (unsigned)(waited_ms / 1000));
    fflush(stderr);
    bar.shown = true;
}

void cli_progress_end(void)
{
    if (bar.shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    bar.shown = bar.started = false;
}
