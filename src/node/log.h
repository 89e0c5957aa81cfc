/* log.h: the daemon's own log: one line an event on standard error.
 *
 *     2026-03-01T12:00:00.123Z info http listen=127.0.0.1:8080
 *
 * `time level subsystem key=value...`: values with blanks or control characters are quoted and
 * escaped (log_text), so that what a guest or a client chose cannot forge a line. Events that
 * strangers can cause go through log_limited: at most LOG_LIMITED_PER_S of a subsystem in a second;
 * how many were left out is said when the second ends. Any thread. */
#ifndef WM_NODE_LOG_H
#define WM_NODE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
#define LOG_LIMITED_PER_S 10u
#define LOG_TEXT_BYTES 256u

void log_set_level(enum log_level level);
bool log_level_parse(const char *text, enum log_level *out);
const char *log_level_text(enum log_level level);

/* format: "key=value key=value". subsystem is a literal. */
void log_line(enum log_level level, const char *subsystem, const char *format, ...) WM_PRINTF(3, 4);
void log_limited(enum log_level level, const char *subsystem, const char *format, ...)
    WM_PRINTF(3, 4);
/* `text` as one value of a line, in `out`: as it is, or quoted. Returns out. */
char *log_text(char out[LOG_TEXT_BYTES], const char *text);

#endif
