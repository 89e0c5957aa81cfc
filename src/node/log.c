/* One write(2) for each line, so that lines of several threads do not mix. */
#include "node/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/diag.h"

#define LINE_BYTES 2048
#define SUBSYSTEMS_MAX 16

static enum log_level level_now = LOG_INFO;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct limit {
    const char *subsystem;
    time_t second;
    unsigned lines, left_out;
} limits[SUBSYSTEMS_MAX];

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set_level(enum log_level level)
{
    __atomic_store_n(&level_now, level, __ATOMIC_RELAXED);
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (unsigned i = 0; i < WM_COUNT_OF(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_text(enum log_level level)
{
    return level_names[level];
}

WM_PRINTF(3, 0)
static void write_line(enum log_level level, const char *subsystem, const char *format,
                       va_list args)
{
    char line[LINE_BYTES];
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t at = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &parts);
    at += (size_t)snprintf(line + at, sizeof line - at, ".%03ldZ %s %s ", now.tv_nsec / 1000000,
                           level_names[level], subsystem);
    int len = vsnprintf(line + at, sizeof line - at, format, args);
    at = len < 0 ? at : (size_t)len >= sizeof line - at ? sizeof line - 1 : at + (size_t)len;
    for (size_t i = 0; i < at; i++) { /* a second net under log_text */
        if ((uint8_t)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[at++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, at);
    (void)written; /* nobody to tell */
}

void log_line(enum log_level level, const char *subsystem, const char *format, ...)
{
    if (level > __atomic_load_n(&level_now, __ATOMIC_RELAXED)) {
        return;
    }
    va_list args;
    va_start(args, format);
    write_line(level, subsystem, format, args);
    va_end(args);
}

/* May this subsystem write one more in this second? *left_out: how many it could not before. */
static bool allowed(const char *subsystem, unsigned *left_out)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    *left_out = 0;
    bool ok = false;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < SUBSYSTEMS_MAX; i++) {
        struct limit *limit = &limits[i];
        if (!limit->subsystem) {
            limit->subsystem = subsystem;
        }
        if (strcmp(limit->subsystem, subsystem) == 0) {
            if (limit->second != now.tv_sec) {
                *left_out = limit->left_out;
                *limit = (struct limit){subsystem, now.tv_sec, 0, 0};
            }
            ok = limit->lines < LOG_LIMITED_PER_S;
            limit->lines += ok;
            limit->left_out += !ok;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return ok;
}

void log_limited(enum log_level level, const char *subsystem, const char *format, ...)
{
    unsigned left_out;
    if (level > __atomic_load_n(&level_now, __ATOMIC_RELAXED) || !allowed(subsystem, &left_out)) {
        return;
    }
    if (left_out) {
        log_line(level, subsystem, "left_out=%u", left_out);
    }
    va_list args;
    va_start(args, format);
    write_line(level, subsystem, format, args);
    va_end(args);
}

char *log_text(char out[LOG_TEXT_BYTES], const char *text)
{
    size_t len = strlen(text);
    bool plain = len > 0;
    for (size_t i = 0; i < len && plain; i++) {
        plain = text[i] > 0x20 && text[i] < 0x7f && text[i] != '"' && text[i] != '=';
    }
    if (plain) {
        return wm_diag_quote(out, LOG_TEXT_BYTES, text, len);
    }
    out[0] = '"';
    wm_diag_quote(out + 1, LOG_TEXT_BYTES - 2, text, len);
    size_t end = strlen(out);
    for (size_t i = 1; i < end; i++) {
        if (out[i] == '"') {
            out[i] = '\'';
        }
    }
    out[end] = '"';
    out[end + 1] = 0;
    return out;
}
