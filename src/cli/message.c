/* message.c: what the command says on standard error: errors and the progress bar. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <wardmote/error.h>

#include "cli/cli.h"
#include "cli/text.h"

int cli_error(int status, const char *format, ...)
{
    va_list args;
    char *text;
    va_start(args, format);
    int len = vasprintf(&text, format, args); /* first of all, as %m may be in it */
    va_end(args);
    cli_progress_end();
    fputs("wardmote: ", stderr);
    /* The name of a file may come from whoever wrote the module; a backtrace has line ends. */
    const char *say = len >= 0 ? text : "out of memory, also for saying what failed";
    cli_text_put(stderr, say, strlen(say), true);
    fputc('\n', stderr);
    if (len >= 0) {
        free(text);
    }
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

void cli_progress_of(const char *name, const char *doing, uint64_t done, uint64_t total)
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
    if (!bar.terminal || waited_ms < 1000) {
        return;
    }
    enum { WIDTH = 30 };
    static const char full[] = "##############################";
    fputs("\r\033[K", stderr);
    cli_text_put(stderr, name, strlen(name), false);
    if (total) {
        unsigned percent =
            (unsigned)(100.0 * (double)(done < total ? done : total) / (double)total);
        fprintf(stderr, ": %s [%-*.*s] %u %%", doing, WIDTH, (int)(percent * WIDTH / 100), full,
                percent);
    } else {
        fprintf(stderr, ": %s", doing);
    }
    fprintf(stderr, ", %u s", (unsigned)(waited_ms / 1000));
    fflush(stderr);
    bar.shown = true;
}

void cli_progress(void *self, uint32_t done, uint32_t total)
{
    if (total) {
        cli_progress_of(self, "compiling", done, total);
    }
}

void cli_progress_end(void)
{
    if (bar.shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    bar.shown = bar.started = false;
}
