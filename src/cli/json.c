#include "cli/json.h"

#include <inttypes.h>
#include <string.h>

#include "cli/text.h"

/* Control characters, those of C1 too, are escaped: the object may be shown on a terminal. */
static void write_string(FILE *out, const char *text)
{
    fputc('"', out);
    const unsigned char *end = (const unsigned char *)text + strlen(text);
    for (const unsigned char *at = (const unsigned char *)text; at < end;) {
        size_t len = cli_utf8_at(at, (size_t)(end - at), NULL);
        if (len == 0) {
            fputs("\\ufffd", out);
            len = 1;
        } else if (*at == '"' || *at == '\\') {
            fprintf(out, "\\%c", *at);
        } else if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0)) {
            fprintf(out, "\\u%04x", at[len - 1]);
        } else {
            fwrite(at, 1, len, out);
        }
        at += len;
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

void cli_json_integer(struct cli_json *json, const char *key, int64_t value)
{
    write_key(json, key);
    fprintf(json->out, "%" PRId64, value);
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
