/* client_json.h: the node's JSON, read without trust and shown to people.
 *
 * Documents are hostile: any type may stand anywhere, strings hold anything. What is missing or of
 * a wrong type is shown as empty, nesting is followed to a depth of CLIENT_JSON_DEPTH, and texts
 * pass through cli/text.h. */
#ifndef WM_CLI_CLIENT_JSON_H
#define WM_CLI_CLIENT_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/client.h"

#define CLIENT_JSON_DEPTH 8u

struct client_answer;

/* {"error": {"code", "message", "detail"}}; the texts are clean, a detail's lines are indented. */
struct client_error {
    char code[32];
    char *message;
    char *detail; /* NULL: none */
};
/* False: this is no such document (nothing to free). */
bool client_json_error(const char *text, size_t len, struct client_error *out);
void client_error_free(struct client_error *error);

/* NULL: it is no JSON, or memory ran out; *message says which (static). */
json_t *client_json_parse(const char *text, size_t len, const char **message);
/* The same of an answer; the message is printed. */
json_t *client_json_of(const struct client *client, const struct client_answer *answer,
                       const char *what);

/* As the document that --json prints: pure ASCII, so that no terminal obeys it. 0 or -1. */
int client_json_dump(const json_t *value, FILE *out);

/* The text of a member, "" where there is none or it is no text. Borrowed. */
const char *client_json_text(const json_t *object, const char *key);
bool client_json_number(const json_t *object, const char *key, int64_t *out);

enum client_format {
    CLIENT_TEXT,
    CLIENT_NUMBER,
    CLIENT_BYTES, /* "12.5m" */
    CLIENT_MS,    /* "1,500 ms" */
    CLIENT_TIME,  /* nanoseconds of the wall clock, as local time */
};

struct client_column {
    const char *head;
    const char *keys; /* "latest|version": the first that is there */
    enum client_format format;
};

/* The array itself, or member `field` of an object that wraps it; NULL: neither. Borrowed. */
const json_t *client_json_list(const json_t *document, const char *field);
/* 0 or -1 (no memory). Items that are no objects are rows of one cell. */
int client_json_table(const json_t *array, const struct client_column *columns, size_t count,
                      FILE *out, size_t width);
/* Anything, as a page: "name  value" lines, tables of what is in arrays, indented. */
void client_json_page(const json_t *value, FILE *out, size_t width);

/* What `list` commands do with an answer: --json, or a table, or (on a terminal) `none`. Gives the
 * exit status; frees the answer. */
int client_print_list(const struct client *client, struct client_answer *answer, const char *what,
                      const char *field, const struct client_column *columns, size_t count,
                      const char *none);
/* What `show` commands do. */
int client_print_page(const struct client *client, struct client_answer *answer, const char *what);
/* Flushes standard output; the exit status is CLI_FAILED, with a message, when it took not all. */
int client_flush(void);

#endif
