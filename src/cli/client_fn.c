/* client_fn.c: `wardmote fn`: list, show, rm, logs, alias, rollback, env, secret. The larger ones
 * have files of their own: client_put.c, client_call.c, client_trigger.c. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/client_http.h"
#include "cli/client_json.h"
#include "cli/text.h"

#define SECRET_BYTES_MAX (UINT64_C(1) << 20)

enum { OPTION_CLEAR = 256, OPTION_SINCE, OPTION_EXACT, OPTION_RM };

static const struct client_column list_columns[] = {
    {"FUNCTION", "name", CLIENT_TEXT},
    {"LATEST", "latest|version", CLIENT_NUMBER},
    {"KIND", "kind", CLIENT_TEXT},
    {"VERSIONS", "versions", CLIENT_NUMBER},
    {"MODULE", "module_bytes", CLIENT_BYTES},
    {"IMAGE", "image_bytes", CLIENT_BYTES},
    {"MEMORY", "memory_bytes|memory", CLIENT_BYTES},
    {"TIMEOUT", "timeout_ms", CLIENT_MS},
    {"CREATED", "created_ns|created", CLIENT_TIME},
};

static int run_list(const struct cli_verb *verb, int argc, char **argv)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 0, 0);
    if (status >= 0) {
        return status;
    }
    struct client_url url = client_url_begin("/v1/functions");
    struct client_answer answer;
    status = client_send_json(&words.client, "GET", &url, "functions", NULL, &answer);
    if (!status) {
        status = client_print_list(&words.client, &answer, "functions", "functions", list_columns,
                                   WM_COUNT_OF(list_columns),
                                   "no functions yet: wardmote fn put FILE.c puts one there");
    }
    client_answer_free(&answer);
    client_close(&words.client);
    return status;
}

static int run_show(const struct cli_verb *verb, int argc, char **argv)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 1, 1);
    if (status >= 0) {
        return status;
    }
    struct client_url url = client_url_begin("/v1/functions");
    client_url_segment(&url, words.word[0]);
    struct client_answer answer;
    status = client_send_json(&words.client, "GET", &url, words.word[0], NULL, &answer);
    if (!status) {
        status = client_print_page(&words.client, &answer, words.word[0]);
    }
    client_answer_free(&answer);
    client_close(&words.client);
    return status;
}

static int run_rm(const struct cli_verb *verb, int argc, char **argv)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 1, CLIENT_WORDS_MAX);
    if (status >= 0) {
        return status;
    }
    status = 0;
    for (size_t i = 0; i < words.count && !status; i++) {
        const char *name = words.word[i];
        status = client_check_name("function", name);
        if (!status &&
            !client_confirm(words.yes, "remove function %s with all its versions?", name)) {
            status = CLI_FAILED;
        }
        if (!status) {
            struct client_url url = client_url_begin("/v1/functions");
            client_url_segment(&url, name);
            status = client_simple(&words.client, "DELETE", &url, name);
        }
    }
    client_close(&words.client);
    return status;
}

struct alias_request {
    struct client_words words;
    bool remove;
};

static int take_alias(void *self, int id, const char *value)
{
    struct alias_request *request = self;
    if (id == OPTION_RM) {
        request->remove = true;
        return 0;
    }
    return client_words_take(&request->words, id, value);
}

static int set_alias(struct alias_request *request)
{
    struct client_words *words = &request->words;
    uint64_t version = 0;
    char text[64];
    if (!request->remove &&
        (!cli_number(words->word[2], &version) || version == 0 || version > UINT32_MAX)) {
        return cli_error(CLI_USAGE,
                         "fn alias: %s: not usable as a version: expected a number "
                         "that `wardmote fn show %s` lists",
                         words->word[2], words->word[0]);
    }
    struct client_url url = client_url_begin("/v1/functions");
    client_url_segment(&url, words->word[0]);
    client_url_raw(&url, "/aliases");
    client_url_segment(&url, words->word[1]);
    if (request->remove) {
        return client_simple(&words->client, "DELETE", &url, words->word[1]);
    }
    struct client_answer answer;
    snprintf(text, sizeof text, "{\"version\": %" PRIu64 "}", version);
    int status = client_send_json(&words->client, "PUT", &url, words->word[0], text, &answer);
    client_answer_free(&answer);
    return status;
}

static int run_alias(const struct cli_verb *verb, int argc, char **argv)
{
    struct alias_request request = {.words.verb = verb};
    struct client_words *words = &request.words;
    client_init(&words->client);
    int status = cli_parse(verb, argc, argv, take_alias, &request);
    if (status >= 0) {
        return status;
    }
    size_t count = request.remove ? 2 : 3;
    status = client_words_check(words, count, count);
    status = status ? status : client_check_name("function", words->word[0]);
    status = status ? status : client_check_name("alias", words->word[1]);
    status = status ? status : client_open(&words->client);
    status = status ? status : set_alias(&request);
    client_close(&words->client);
    return status;
}

static int run_rollback(const struct cli_verb *verb, int argc, char **argv)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 1, 1);
    if (status >= 0) {
        return status;
    }
    struct client_url url = client_url_begin("/v1/functions");
    client_url_segment(&url, words.word[0]);
    client_url_raw(&url, "/rollback");
    struct client_answer answer;
    status = client_send_json(&words.client, "POST", &url, words.word[0], NULL, &answer);
    if (!status) {
        const char *ignored;
        json_t *document = client_json_parse(answer.body, answer.len, &ignored);
        int64_t version;
        if (words.client.json && document) {
            client_json_dump(document, stdout);
        } else if (client_json_number(document, "version", &version) ||
                   client_json_number(document, "latest", &version)) {
            printf("%s: latest is version %" PRId64 " again\n", words.word[0], version);
        }
        json_decref(document);
        status = client_flush();
    }
    client_answer_free(&answer);
    client_close(&words.client);
    return status;
}

/* {"NAME": "value"} of NAME=VALUE, or of NAME alone with this process's own value. */
static int env_of(const char *const *variables, size_t count, json_t *env)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = variables[i], *equals = strchr(text, '=');
        size_t len = equals ? (size_t)(equals - text) : strlen(text);
        const char *value = equals ? equals + 1 : getenv(text);
        json_t *held = value ? json_string(value) : NULL;
        if (len == 0 || !value) {
            return cli_error(CLI_USAGE,
                             "%s: not usable: expected NAME=VALUE, or the name of a "
                             "variable that is set here",
                             text);
        }
        if (!held || json_object_setn_new(env, text, len, held) != 0) {
            return cli_error(CLI_USAGE, "%.*s: not usable: name and value have to be UTF-8",
                             (int)len, text);
        }
    }
    return 0;
}

struct env_request {
    struct client_words words;
    bool clear;
};

static int take_env(void *self, int id, const char *value)
{
    struct env_request *request = self;
    if (id == OPTION_CLEAR) {
        request->clear = true;
        return 0;
    }
    return client_words_take(&request->words, id, value);
}

int client_put_env(struct client *client, const char *function, const char *const *variables,
                   size_t count)
{
    json_t *env = json_object();
    int status =
        env ? env_of(variables, count, env) : cli_error(CLI_FAILED, "fn env: out of memory");
    char *text = status ? NULL : json_dumps(env, JSON_COMPACT);
    json_decref(env);
    if (!status && !text) {
        status = cli_error(CLI_FAILED, "fn env: out of memory");
    }
    if (!status) {
        struct client_url url = client_url_begin("/v1/functions");
        client_url_segment(&url, function);
        client_url_raw(&url, "/env");
        struct client_answer answer;
        status = client_send_json(client, "PUT", &url, function, text, &answer);
        client_answer_free(&answer);
    }
    free(text);
    return status;
}

static int run_env(const struct cli_verb *verb, int argc, char **argv)
{
    struct env_request request = {.words.verb = verb};
    client_init(&request.words.client);
    int status = cli_parse(verb, argc, argv, take_env, &request);
    if (status >= 0) {
        return status;
    }
    struct client_words *words = &request.words;
    status = client_words_check(words, request.clear ? 1 : 2, request.clear ? 1 : CLIENT_WORDS_MAX);
    status = status ? status : client_check_name("function", words->word[0]);
    status = status ? status : client_open(&words->client);
    status =
        status ? status
               : client_put_env(&words->client, words->word[0], words->word + 1, words->count - 1);
    client_close(&words->client);
    return status;
}

/* --- secrets: from a file, a pipe or the keyboard, never from the command line --- */

static int type_secret(const char *name, char **out, size_t *out_len)
{
    struct termios old, silent;
    char *line = NULL;
    size_t room = 0;
    if (tcgetattr(STDIN_FILENO, &old) != 0) {
        return cli_error(CLI_FAILED, "fn secret: this terminal: %m");
    }
    silent = old;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    fprintf(stderr, "value of %s: ", name);
    ssize_t len = getline(&line, &room, stdin);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    fputc('\n', stderr);
    if (len <= 0) {
        free(line);
        return cli_error(CLI_USAGE, "fn secret: no value was given");
    }
    *out = line;
    *out_len = (size_t)len;
    return 0;
}

/* The bytes, without the line end that editors and `echo` put behind them. */
static int read_secret(const char *name, const char *path, bool exact, char **out, size_t *out_len)
{
    struct client_body body = CLIENT_BODY_NONE;
    bool typed = strcmp(path, "-") == 0 && isatty(STDIN_FILENO) == 1;
    int status =
        typed ? type_secret(name, out, out_len) : client_body_open(&body, path, SECRET_BYTES_MAX);
    if (status) {
        return status;
    }
    if (!typed) {
        *out = malloc(body.len + 1);
        ssize_t got = *out ? pread(body.fd, *out, body.len, 0) : -1;
        client_body_close(&body);
        if (got < 0 || (uint64_t)got != body.len) {
            free(*out);
            return cli_error(CLI_FAILED, "%s: cannot be read: %m", path);
        }
        *out_len = body.len;
    }
    if (!exact && *out_len && (*out)[*out_len - 1] == '\n') {
        (*out_len)--;
    }
    return 0;
}

int client_put_secret(struct client *client, const char *function, const char *name,
                      const char *path, bool exact)
{
    char *value = NULL;
    size_t len = 0;
    int status = read_secret(name, path, exact, &value, &len);
    if (status) {
        return status;
    }
    struct client_url url = client_url_begin("/v1/functions");
    client_url_segment(&url, function);
    client_url_raw(&url, "/secrets");
    client_url_segment(&url, name);
    struct client_answer answer;
    struct client_request request = {
        .method = "PUT",
        .url = &url,
        .type = "application/octet-stream",
        .body = {value, -1, len, false},
        .what = function,
    };
    status = client_send(client, &request, &answer);
    client_answer_free(&answer);
    client_url_free(&url);
    explicit_bzero(value, len);
    free(value);
    return status;
}

struct secret_request {
    struct client_words words;
    bool exact;
};

static int take_secret(void *self, int id, const char *value)
{
    struct secret_request *request = self;
    if (id == OPTION_EXACT) {
        request->exact = true;
        return 0;
    }
    return client_words_take(&request->words, id, value);
}

static int run_secret_set(const struct cli_verb *verb, int argc, char **argv)
{
    struct secret_request request = {.words.verb = verb};
    struct client_words *words = &request.words;
    client_init(&words->client);
    int status = cli_parse(verb, argc, argv, take_secret, &request);
    if (status >= 0) {
        return status;
    }
    if (words->count && words->count < 3 && strchr(words->word[words->count - 1], '=')) {
        return cli_error(CLI_USAGE, "fn secret set: a value on the command line is seen by "
                                    "everybody on this machine: give a file, or - and type it");
    }
    status = client_words_check(words, 2, 3);
    status = status ? status : client_check_name("function", words->word[0]);
    status = status ? status : client_check_name("secret", words->word[1]);
    status = status ? status : client_open(&words->client);
    if (!status) {
        status = client_put_secret(&words->client, words->word[0], words->word[1],
                                   words->count > 2 ? words->word[2] : "-", request.exact);
    }
    client_close(&words->client);
    return status;
}

static int run_secret_rm(const struct cli_verb *verb, int argc, char **argv)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 2, 2);
    if (status >= 0) {
        return status;
    }
    struct client_url url = client_url_begin("/v1/functions");
    client_url_segment(&url, words.word[0]);
    client_url_raw(&url, "/secrets");
    client_url_segment(&url, words.word[1]);
    status = client_simple(&words.client, "DELETE", &url, words.word[1]);
    client_close(&words.client);
    return status;
}

/* --- logs --- */

struct logs_request {
    struct client_words words;
    uint64_t lines, since;
    bool follow, has_since;
};

static int take_logs(void *self, int id, const char *value)
{
    struct logs_request *request = self;
    switch (id) {
    case 'f': request->follow = true; return 0;
    case 'n':
        return cli_number(value, &request->lines) && request->lines > 0 && request->lines <= 100000
                   ? 0
                   : cli_error(CLI_USAGE, "fn logs: -n %s: not usable: expected 1 to 100000",
                               value);
    case OPTION_SINCE:
        request->has_since = true;
        return cli_number(value, &request->since)
                   ? 0
                   : cli_error(CLI_USAGE, "fn logs: --since %s: not usable: expected a number",
                               value);
    default: return client_words_take(&request->words, id, value);
    }
}

static void print_line(const json_t *line)
{
    int64_t ns;
    char when[32] = "";
    if (json_is_string(line)) {
        cli_text_put(stdout, json_string_value(line), json_string_length(line), false);
        putchar('\n');
        return;
    }
    if (client_json_number(line, "time_ns", &ns)) {
        time_t seconds = (time_t)(ns / 1000000000);
        struct tm parts;
        if (localtime_r(&seconds, &parts)) {
            strftime(when, sizeof when, "%H:%M:%S", &parts);
            printf("%s.%03d ", when, (int)(ns / 1000000 % 1000));
        }
    }
    const json_t *call = json_object_get(line, "call"), *text = json_object_get(line, "text");
    if (json_is_integer(call)) {
        printf("%" JSON_INTEGER_FORMAT " ", json_integer_value(call));
    } else if (json_is_string(call)) {
        cli_text_put(stdout, json_string_value(call), json_string_length(call), false);
        putchar(' ');
    }
    size_t len = json_string_length(text);
    const char *bytes = json_string_value(text);
    while (len && bytes[len - 1] == '\n') {
        len--;
    }
    if (bytes) {
        cli_text_put(stdout, bytes, len, false);
    }
    putchar('\n');
}

/* One page of lines; *since moves on. */
static int print_logs(struct logs_request *request, size_t *printed)
{
    struct client *client = &request->words.client;
    const char *name = request->words.word[0];
    struct client_url url = client_url_begin("/v1/functions");
    client_url_segment(&url, name);
    client_url_raw(&url, "/logs");
    if (request->has_since) {
        client_url_number(&url, "since", request->since);
    }
    client_url_number(&url, "limit", request->lines);
    struct client_answer answer;
    *printed = 0;
    int status = client_send_json(client, "GET", &url, name, NULL, &answer);
    json_t *document = status ? NULL : client_json_of(client, &answer, name);
    client_answer_free(&answer);
    if (!document) {
        return CLI_FAILED;
    }
    const json_t *lines = client_json_list(document, "lines"), *line;
    size_t i;
    if (client->json && !request->follow) {
        client_json_dump(document, stdout);
        lines = NULL;
    }
    json_array_foreach(lines, i, line)
    {
        int64_t seq;
        bool has_seq = client_json_number(line, "seq", &seq) && seq >= 0;
        if (has_seq && request->has_since && (uint64_t)seq <= request->since) {
            continue; /* shown already */
        }
        if (has_seq) {
            request->since = (uint64_t)seq;
            request->has_since = true;
        }
        if (client->json && request->follow) {
            json_dumpf(line, stdout, JSON_ENSURE_ASCII | JSON_ENCODE_ANY | JSON_COMPACT);
            putchar('\n');
        } else if (!client->json) {
            print_line(line);
        }
        (*printed)++;
    }
    json_decref(document);
    return client_flush();
}

static int run_logs(const struct cli_verb *verb, int argc, char **argv)
{
    struct logs_request request = {.words.verb = verb, .lines = 100};
    client_init(&request.words.client);
    int status = cli_parse(verb, argc, argv, take_logs, &request);
    if (status >= 0) {
        return status;
    }
    status = client_words_check(&request.words, 1, 1);
    status = status ? status : client_open(&request.words.client);
    size_t printed;
    status = status ? status : print_logs(&request, &printed);
    while (!status && request.follow) {
        /* Without numbers new lines cannot be told from old ones, except where there were none. */
        struct timespec pause = {0, 400 * 1000 * 1000};
        nanosleep(&pause, NULL);
        request.since = request.has_since ? request.since : 0;
        request.has_since = true;
        status = print_logs(&request, &printed);
    }
    client_close(&request.words.client);
    return status;
}

static const struct cli_option env_options[] = {
    {OPTION_CLEAR, "clear", NULL, "no variables at all"}};
static const struct cli_option secret_options[] = {
    {OPTION_EXACT, "exact", NULL, "keep the line end at the value's end"}};
static const struct cli_option alias_options[] = {
    {OPTION_RM, "rm", NULL, "removes the alias instead"}};
static const struct cli_option logs_options[] = {
    {'f', "follow", NULL, "go on until interrupted"},
    {'n', "lines", "N", "the last N; default 100"},
    {OPTION_SINCE, "since", "SEQ", "those after this line's number"},
};

static const struct cli_verb fn_list = {
    .name = "fn list",
    .arguments = "",
    .summary = "the functions of a tenant",
    CLIENT_COMMON,
    .run = run_list,
};
static const struct cli_verb fn_show = {
    .name = "fn show",
    .arguments = "NAME",
    .summary = "its versions, aliases, limits; names of variables and secrets",
    CLIENT_COMMON,
    .run = run_show,
};
static const struct cli_verb fn_rm = {
    .name = "fn rm",
    .arguments = "NAME...",
    .summary = "removes a function with all its versions",
    .options = client_yes,
    .option_count = 1,
    CLIENT_COMMON,
    .run = run_rm,
};
static const struct cli_verb fn_alias = {
    .name = "fn alias",
    .arguments = "NAME ALIAS [VERSION]",
    .summary = "lets NAME:ALIAS mean a version; alias `latest` is what NAME means",
    .options = alias_options,
    .option_count = WM_COUNT_OF(alias_options),
    CLIENT_COMMON,
    .run = run_alias,
};
static const struct cli_verb fn_rollback = {
    .name = "fn rollback",
    .arguments = "NAME",
    .summary = "lets NAME mean the version before",
    CLIENT_COMMON,
    .run = run_rollback,
};
static const struct cli_verb fn_env = {
    .name = "fn env",
    .arguments = "NAME VARIABLE[=VALUE]...",
    .summary = "replaces a function's environment",
    .options = env_options,
    .option_count = WM_COUNT_OF(env_options),
    CLIENT_COMMON,
    .notes = "All variables are replaced by these. VARIABLE alone takes its value from here.\n",
    .run = run_env,
};
static const struct cli_verb fn_secret_set = {
    .name = "fn secret set",
    .arguments = "NAME SECRET [FILE|-]",
    .summary = "gives a function a secret, from a file, a pipe or the keyboard",
    .options = secret_options,
    .option_count = WM_COUNT_OF(secret_options),
    CLIENT_COMMON,
    .notes = "A program sees it as variable SECRET, a Faaslet by faaslet_secret(), a Python\n"
             "function (all that are frozen in the middle) as file /run/secrets/SECRET.\n"
             "Nobody gets it out of the node again.\n",
    .run = run_secret_set,
};
static const struct cli_verb fn_secret_rm = {
    .name = "fn secret rm",
    .arguments = "NAME SECRET",
    .summary = "takes a secret away",
    CLIENT_COMMON,
    .run = run_secret_rm,
};
static const struct cli_verb fn_logs = {
    .name = "fn logs",
    .arguments = "NAME",
    .summary = "what its calls wrote to standard error; newest last",
    .options = logs_options,
    .option_count = WM_COUNT_OF(logs_options),
    CLIENT_COMMON,
    .run = run_logs,
};

const struct cli_verb *const client_fn[] = {
    &client_fn_put,
    &client_fn_call,
    &client_fn_result,
    &fn_list,
    &fn_show,
    &fn_rm,
    &fn_logs,
    &fn_alias,
    &fn_rollback,
    &fn_env,
    &fn_secret_set,
    &fn_secret_rm,
    &client_fn_route_add,
    &client_fn_route_list,
    &client_fn_route_rm,
    &client_fn_cron_add,
    &client_fn_cron_list,
    &client_fn_cron_rm,
#ifdef CLIENT_VERIFIES
    &client_fn_receipt_verify,
#endif
    NULL,
};
