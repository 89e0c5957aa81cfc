#include "cli/json.h"

#include <inttypes.h>

static void write_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\') {
            fprintf(out, "\\%c", *at);
        } else if (*at < 0x20 || *at > 0x7e) {
            /* A byte of unknown encoding becomes the code point of its number. */
            fprintf(out, "\\u%04x", *at);
        } else {
            fputc(*at, out);
        }
    }
    fputc('"', out);
}

static void write_key(struct cli_json *json, const char *key)
{
    fputs(json->first ? "{" : ", ", json->out);
    json->first = false;
    write_string(json->out, key);
    fputs(": ", json->out);
}

struct cli_json cli_json_begin(FILE *out)
{
    return (struct cli_json){out, true};
}

void cli_json_text(struct cli_json *json, const char *key, const char *text)
{
    write_key(json, key);
    if (text) {
        write_string(json->out, text);
    } else {
        fputs("null", json->out);
    }
}

void cli_json_number(struct cli_json *json, const char *key, uint64_t value)
{
    write_key(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void cli_json_ms(struct cli_json *json, const char *key, uint64_t ns)
{
    write_key(json, key);
    fprintf(json->out, "%" PRIu64 ".%03u", ns / 1000000, (unsigned)(ns / 1000 % 1000));
}

void cli_json_bool(struct cli_json *json, const char *key, bool value)
{
    write_key(json, key);
    fputs(value ? "true" : "false", json->out);
}

void cli_json_end(struct cli_json *json)
{
    fputs(json->first ? "{}\n" : "}\n", json->out);
    fflush(json->out);
}
