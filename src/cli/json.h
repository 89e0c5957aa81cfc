/* json.h: one flat JSON object on one line: all that reports need. */
#ifndef WM_CLI_JSON_H
#define WM_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct cli_json {
    FILE *out;
    bool first;
};

struct cli_json cli_json_begin(FILE *out);
/* text NULL: null. UTF-8 passes as it is; each byte that is none becomes U+FFFD, so that any input
 * gives valid JSON. */
void cli_json_text(struct cli_json *json, const char *key, const char *text);
void cli_json_number(struct cli_json *json, const char *key, uint64_t value);
void cli_json_integer(struct cli_json *json, const char *key, int64_t value);
void cli_json_ms(struct cli_json *json, const char *key, uint64_t ns); /* 3 decimals */
void cli_json_bool(struct cli_json *json, const char *key, bool value);
void cli_json_end(struct cli_json *json); /* and a newline */

#endif
