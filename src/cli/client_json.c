#include "cli/client_json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/client_http.h"
#include "cli/client_table.h"
#include "cli/text.h"

#define INNER_TEXT_MAX 64u

json_t *client_json_parse(const char *text, size_t len, const char **message)
{
    json_error_t error;
    json_t *value = text ? json_loadb(text, len, JSON_ALLOW_NUL, &error) : NULL;
    *message = value ? "" : text ? "no valid JSON" : "empty";
    return value;
}

json_t *client_json_of(const struct client *client, const struct client_answer *answer,
                       const char *what)
{
    const char *message;
    json_t *value = client_json_parse(answer->body, answer->len, &message);
    if (!value) {
        cli_error(CLI_FAILED, "%s: the answer is %s: is %s a node?", what, message, client->place);
    }
    return value;
}

const char *client_json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

bool client_json_number(const json_t *object, const char *key, int64_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) {
        return false;
    }
    *out = json_integer_value(value);
    return true;
}

/* A backtrace: a text of several lines, or an array of them. */
static void put_detail(FILE *out, const json_t *detail, const char **sep)
{
    if (json_is_array(detail)) {
        for (size_t i = 0; i < json_array_size(detail) && i < 256; i++) {
            const json_t *item = json_array_get(detail, i);
            if (json_is_string(item)) {
                put_detail(out, item, sep);
            }
        }
        return;
    }
    const char *at = json_string_value(detail);
    while (at && *at) {
        size_t len = strcspn(at, "\n");
        size_t blank = strspn(at, " \t");
        if (blank < len) {
            fprintf(out, "%s  ", *sep);
            cli_text_put(out, at + blank, len - blank, false);
            *sep = "\n";
        }
        at += len + (at[len] == '\n');
    }
}

bool client_json_error(const char *text, size_t len, struct client_error *out)
{
    const char *ignored;
    *out = (struct client_error){0};
    json_t *document = client_json_parse(text, len, &ignored);
    const json_t *error = json_object_get(document, "error");
    const json_t *message = json_object_get(error, "message");
    if (!json_is_string(message) || json_string_length(message) == 0) {
        json_decref(document);
        return false;
    }
    snprintf(out->code, sizeof out->code, "%s", client_json_text(error, "code"));
    out->message = cli_text_clean(json_string_value(message), json_string_length(message));
    size_t detail_len = 0;
    FILE *stream = open_memstream(&out->detail, &detail_len);
    if (stream) {
        const char *sep = "";
        put_detail(stream, json_object_get(error, "detail"), &sep);
        fclose(stream);
    }
    if (detail_len == 0) {
        free(out->detail);
        out->detail = NULL;
    }
    json_decref(document);
    if (!out->message) {
        client_error_free(out);
        return false;
    }
    return true;
}

void client_error_free(struct client_error *error)
{
    free(error->message);
    free(error->detail);
    *error = (struct client_error){0};
}

static int put_json(const char *bytes, size_t len, void *self)
{
    FILE *out = self;
    /* jansson escapes all else, but not this one. */
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == 0x7f) {
            fputs("\\u007f", out);
        } else {
            fputc(bytes[i], out);
        }
    }
    return ferror(out) ? -1 : 0;
}

int client_json_dump(const json_t *value, FILE *out)
{
    if (json_dump_callback(value, put_json, out,
                           JSON_ENSURE_ASCII | JSON_ENCODE_ANY | JSON_INDENT(2)) != 0) {
        return -1;
    }
    fputc('\n', out);
    return 0;
}

const json_t *client_json_list(const json_t *document, const char *field)
{
    if (json_is_array(document)) {
        return document;
    }
    const json_t *inner = json_object_get(document, field);
    return json_is_array(inner) ? inner : NULL;
}

static void put_bytes(FILE *out, int64_t bytes)
{
    static const char units[] = "kmgtp";
    double value = (double)bytes;
    size_t unit = 0;
    if (bytes < 10000 && bytes % 1024) {
        fprintf(out, "%" PRId64, bytes);
        return;
    }
    while ((value >= 1024 || unit == 0) && unit < sizeof units - 1 && bytes >= 1024) {
        value /= 1024;
        unit++;
    }
    if (unit == 0) {
        fprintf(out, "%" PRId64, bytes);
    } else if (value < 100 && value != (double)(int64_t)value) {
        fprintf(out, "%.1f%c", value, units[unit - 1]);
    } else {
        fprintf(out, "%.0f%c", value, units[unit - 1]);
    }
}

static void put_time(FILE *out, int64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm parts;
    char text[64];
    if (!localtime_r(&seconds, &parts) ||
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) == 0) {
        fprintf(out, "%" PRId64, ns);
        return;
    }
    fputs(text, out);
}

static void put_number(FILE *out, int64_t number, enum client_format format)
{
    switch (format) {
    case CLIENT_BYTES: put_bytes(out, number); break;
    case CLIENT_MS: fprintf(out, "%" PRId64 " ms", number); break;
    case CLIENT_TIME: put_time(out, number); break;
    case CLIENT_TEXT:
    case CLIENT_NUMBER: fprintf(out, "%" PRId64, number); break;
    }
}

/* In lists: --json has all of a script that is an argument. */
static void put_cut(FILE *out, const json_t *string)
{
    const char *text = json_string_value(string);
    size_t shown = INNER_TEXT_MAX - 3;
    while (shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80) {
        shown--; /* not within a character */
    }
    cli_text_put(out, text, shown, false);
    fputs("...", out);
}

/* Whole units only where the name tells them. */
static enum client_format format_of_key(const char *key)
{
    static const struct {
        const char *end;
        enum client_format format;
    } ends[] = {{"_bytes", CLIENT_BYTES}, {"_ms", CLIENT_MS}};
    size_t len = strlen(key);
    static const char *const times[] = {"created_ns", "started_ns", "ended_ns", "time_ns"};
    if (cli_choice(key, times, WM_COUNT_OF(times)) >= 0) {
        return CLIENT_TIME;
    }
    for (size_t i = 0; i < WM_COUNT_OF(ends); i++) {
        size_t end_len = strlen(ends[i].end);
        if (len > end_len && strcmp(key + len - end_len, ends[i].end) == 0) {
            return ends[i].format;
        }
    }
    return strcmp(key, "bytes") == 0 ? CLIENT_BYTES : CLIENT_TEXT;
}

/* A digest is told by its beginning; all of it is in --json. None is all zeros. */
static bool put_digest(FILE *out, const json_t *value)
{
    static const char digits[] = "0123456789abcdef";
    const char *text = json_string_value(value);
    if (json_string_length(value) != 64 || strspn(text, digits) != 64) {
        return false;
    }
    if (strspn(text, "0") != 64) {
        fprintf(out, "%.12s", text);
    }
    return true;
}

/* One value on one line. */
static void put_value(FILE *out, const json_t *value, enum client_format format, unsigned depth)
{
    const char *key, *sep = "";
    json_t *item;
    size_t i;
    if (!value) {
        return;
    }
    switch (json_typeof(value)) {
    case JSON_STRING:
        if (!put_digest(out, value)) {
            cli_text_put(out, json_string_value(value), json_string_length(value), false);
        }
        break;
    case JSON_INTEGER: put_number(out, json_integer_value(value), format); break;
    case JSON_REAL: fprintf(out, "%.6g", json_real_value(value)); break;
    case JSON_TRUE: fputs("yes", out); break;
    case JSON_FALSE: fputs("no", out); break;
    case JSON_NULL: break;
    case JSON_ARRAY:
        if (depth >= CLIENT_JSON_DEPTH) {
            fputs("...", out);
            break;
        }
        json_array_foreach(value, i, item)
        {
            fputs(sep, out);
            if (json_string_length(item) > INNER_TEXT_MAX) {
                put_cut(out, item);
            } else {
                put_value(out, item, format, depth + 1);
            }
            sep = ", ";
        }
        break;
    case JSON_OBJECT:
        if (depth >= CLIENT_JSON_DEPTH) {
            fputs("...", out);
            break;
        }
        json_object_foreach((json_t *)value, key, item)
        {
            fputs(sep, out);
            cli_text_put(out, key, strlen(key), false);
            fputc('=', out);
            put_value(out, item, format_of_key(key), depth + 1);
            sep = ", ";
        }
        break;
    }
}

/* NULL: no memory. */
static char *value_text(const json_t *value, enum client_format format)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out) {
        return NULL;
    }
    put_value(out, value, format, 0);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

static const json_t *first_of(const json_t *object, const char *keys)
{
    while (*keys) {
        char key[64];
        size_t len = strcspn(keys, "|");
        snprintf(key, sizeof key, "%.*s", (int)len, keys);
        const json_t *value = json_object_get(object, key);
        if (value) {
            return value;
        }
        keys += len + (keys[len] == '|');
    }
    return NULL;
}

int client_json_table(const json_t *array, const struct client_column *columns, size_t count,
                      FILE *out, size_t width)
{
    struct client_table table = {0};
    for (size_t i = 0; i < count; i++) {
        client_table_column(&table, columns[i].head,
                            columns[i].format != CLIENT_TEXT && columns[i].format != CLIENT_TIME);
    }
    const json_t *item;
    size_t at;
    json_array_foreach(array, at, item)
    {
        char *cells[CLIENT_COLUMNS_MAX] = {0};
        for (size_t i = 0; i < count; i++) {
            const json_t *value = json_is_object(item) ? first_of(item, columns[i].keys)
                                  : i == 0             ? item
                                                       : NULL;
            cells[i] = value ? value_text(value, columns[i].format) : NULL;
            table.failed = table.failed || (value && !cells[i]);
        }
        client_table_row(&table, (const char *const *)cells, count);
        for (size_t i = 0; i < count; i++) {
            free(cells[i]);
        }
    }
    int status = client_table_print(&table, out, width);
    client_table_free(&table);
    return status;
}

/* A table whose columns are the members of the objects in it, in their order of appearance. */
static void put_objects(const json_t *array, FILE *out, size_t width)
{
    struct client_column columns[CLIENT_COLUMNS_MAX];
    char *heads[CLIENT_COLUMNS_MAX] = {0};
    size_t count = 0, at;
    const json_t *item;
    json_array_foreach(array, at, item)
    {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)item, key, value)
        {
            size_t i = 0;
            while (i < count && strcmp(columns[i].keys, key) != 0) {
                i++;
            }
            if (i < count || count == WM_COUNT_OF(columns) || strchr(key, '|')) {
                continue;
            }
            heads[count] = cli_text_clean(key, strlen(key));
            if (heads[count]) {
                enum client_format format = format_of_key(key);
                format = format == CLIENT_TEXT && json_is_integer(value) ? CLIENT_NUMBER : format;
                columns[count] = (struct client_column){heads[count], key, format};
                count++;
            }
        }
    }
    if (count && client_json_table(array, columns, count, out, width) != 0) {
        fputs("(out of memory)\n", out);
    }
    for (size_t i = 0; i < count; i++) {
        free(heads[i]);
    }
}

static bool is_plain(const json_t *value)
{
    if (json_is_object(value)) {
        return json_object_size(value) == 0;
    }
    return !json_is_array(value) || !json_is_object(json_array_get(value, 0));
}

/* Plain members as "name  value", one below the other; then what has parts. */
static void put_object(const json_t *object, FILE *out, size_t width, unsigned depth)
{
    const char *key;
    json_t *value;
    size_t widest = 0;
    int indent = (int)depth * 2;
    json_object_foreach((json_t *)object, key, value)
    {
        char *clean = cli_text_clean(key, strlen(key));
        size_t columns = clean && is_plain(value) ? cli_text_columns(clean) : 0;
        widest = columns > widest && columns < 40 ? columns : widest;
        free(clean);
    }
    json_object_foreach((json_t *)object, key, value)
    {
        if (is_plain(value)) {
            char *clean = cli_text_clean(key, strlen(key));
            size_t columns = clean ? cli_text_columns(clean) : 0;
            fprintf(out, "%*s%s%*s", indent, "", clean ? clean : "",
                    (int)(columns < widest ? widest - columns + 2 : 2), "");
            put_value(out, value, format_of_key(key), 0);
            fputc('\n', out);
            free(clean);
        }
    }
    json_object_foreach((json_t *)object, key, value)
    {
        if (is_plain(value)) {
            continue;
        }
        fprintf(out, "%s%*s", depth ? "" : "\n", indent, "");
        cli_text_put(out, key, strlen(key), false);
        fputs(":\n", out);
        if (json_is_array(value)) {
            put_objects(value, out, width);
        } else if (depth + 1 < CLIENT_JSON_DEPTH) {
            put_object(value, out, width, depth + 1);
        } else {
            fprintf(out, "%*s...\n", indent + 2, "");
        }
    }
}

void client_json_page(const json_t *value, FILE *out, size_t width)
{
    if (json_is_object(value)) {
        put_object(value, out, width, 0);
    } else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
        put_objects(value, out, width);
    } else {
        put_value(out, value, CLIENT_TEXT, 0);
        fputc('\n', out);
    }
}

int client_flush(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return cli_error(CLI_FAILED, "standard output: %m");
    }
    return CLI_DONE;
}

int client_print_list(const struct client *client, struct client_answer *answer, const char *what,
                      const char *field, const struct client_column *columns, size_t count,
                      const char *none)
{
    json_t *document = client_json_of(client, answer, what);
    client_answer_free(answer);
    if (!document) {
        return CLI_FAILED;
    }
    int status = CLI_DONE;
    const json_t *array = client_json_list(document, field);
    if (client->json) {
        status = client_json_dump(document, stdout) == 0
                     ? CLI_DONE
                     : cli_error(CLI_FAILED, "%s: standard output: %m", what);
    } else if (!array) {
        status =
            cli_error(CLI_FAILED, "%s: the answer is no list: is %s a node?", what, client->place);
    } else if (json_array_size(array) == 0) {
        fprintf(stderr, "%s\n", none);
    } else if (client_json_table(array, columns, count, stdout, client_terminal_width()) != 0) {
        status = cli_error(CLI_FAILED, "%s: out of memory", what);
    }
    json_decref(document);
    return status ? status : client_flush();
}

int client_print_page(const struct client *client, struct client_answer *answer, const char *what)
{
    json_t *document = client_json_of(client, answer, what);
    client_answer_free(answer);
    if (!document) {
        return CLI_FAILED;
    }
    int status = CLI_DONE;
    if (client->json) {
        status = client_json_dump(document, stdout) == 0
                     ? CLI_DONE
                     : cli_error(CLI_FAILED, "%s: standard output: %m", what);
    } else {
        client_json_page(document, stdout, client_terminal_width());
    }
    json_decref(document);
    return status ? status : client_flush();
}
