#include "base/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct {
    unsigned checks;
    unsigned failures;
    bool skipped;
    char skip_reason[200];
} now;

bool wm_test_check(bool ok, const char *file, int line, const char *text)
{
    now.checks++;
    if (!ok) {
        now.failures++;
        printf("# %s:%d: failed: %s\n", file, line, text);
    }
    return ok;
}

bool wm_test_check_str(const char *a, const char *b, const char *file, int line, const char *text)
{
    bool ok = a && b && strcmp(a, b) == 0;
    if (!wm_test_check(ok, file, line, text)) {
        printf("#   left:  %s\n#   right: %s\n", a ? a : "(null)", b ? b : "(null)");
    }
    return ok;
}

void wm_test_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("# ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

void wm_test_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(now.skip_reason, sizeof now.skip_reason, format, args);
    va_end(args);
    now.skipped = true;
}

static bool selected(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return true;
        }
    }
    return argc <= 1;
}

int wm_test_main(const struct wm_test *tests, size_t count, int argc, char **argv)
{
    size_t run = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < count; i++) {
        if (!selected(tests[i].name, argc, argv)) {
            continue;
        }
        memset(&now, 0, sizeof now);
        tests[i].run();
        run++;
        if (now.skipped) {
            printf("ok %zu %s # SKIP %s\n", run, tests[i].name, now.skip_reason);
            continue;
        }
        if (now.checks == 0) {
            printf("# %s made no check\n", tests[i].name);
        }
        bool ok = now.failures == 0 && now.checks > 0;
        failed += !ok;
        printf("%s %zu %s\n", ok ? "ok" : "not ok", run, tests[i].name);
    }
    printf("1..%zu\n", run);
    return failed || run == 0;
}
