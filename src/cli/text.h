/* text.h: words of others on this terminal.
 *
 * Names, messages, log lines come from whoever wrote a function, a tenant or a node: a terminal
 * must not obey them. What is written here is UTF-8 with every control character (ASCII, C1, and
 * those that turn the direction of writing) and every byte that is no UTF-8 as \xNN.
 *
 * Inputs are hostile; any bytes are taken. Thread-safe. */
#ifndef WM_CLI_TEXT_H
#define WM_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of the UTF-8 sequence at `at` (RFC 3629, section 4), of which `len` bytes are left; 0:
 * there is none. *point: the character, NULL allowed. */
size_t cli_utf8_at(const void *at, size_t len, uint32_t *point);

/* With lines, line ends pass as they are. */
void cli_text_put(FILE *out, const char *text, size_t len, bool lines);
/* The same as a string of its own, for free(); NULL: no memory. Line ends are escaped. */
char *cli_text_clean(const char *text, size_t len);

/* Columns that a clean text takes on a terminal. */
size_t cli_text_columns(const char *clean);
/* Bytes of the longest beginning of a clean text that takes at most `columns`. */
size_t cli_text_fitting(const char *clean, size_t columns);

#endif
