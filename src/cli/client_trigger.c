/* client_trigger.c: `wardmote fn route` and `fn cron`: what calls a function by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client_http.h"
#include "cli/client_json.h"

enum { OPTION_METHOD = 256, OPTION_PUBLIC, OPTION_INPUT };

struct trigger {
    struct client_words words;
    const char *method, *input;
    bool public;
};

static int take(void *self, int id, const char *value)
{
    struct trigger *trigger = self;
    switch (id) {
    case OPTION_METHOD: trigger->method = value; return 0;
    case OPTION_INPUT: trigger->input = value; return 0;
    case OPTION_PUBLIC: trigger->public = true; return 0;
    default: return client_words_take(&trigger->words, id, value);
    }
}

static int begin(struct trigger *trigger, const struct cli_verb *verb, int argc, char **argv)
{
    *trigger = (struct trigger){.words.verb = verb, .method = "*"};
    client_init(&trigger->words.client);
    int status = cli_parse(verb, argc, argv, take, trigger);
    if (status >= 0) {
        return status;
    }
    status = client_words_check(&trigger->words, 3, 3);
    status = status ? status : client_check_name("name", trigger->words.word[0]);
    status = status ? status : client_open(&trigger->words.client);
    return status ? status : -1;
}

static int put(struct client *client, const char *path, const char *name, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (!text) {
        return cli_error(CLI_USAGE, "%s: not usable: its texts have to be UTF-8", name);
    }
    struct client_url url = client_url_begin(path);
    client_url_segment(&url, name);
    struct client_answer answer;
    int status = client_send_json(client, "PUT", &url, name, text, &answer);
    client_answer_free(&answer);
    free(text);
    return status;
}

static int run_route_add(const struct cli_verb *verb, int argc, char **argv)
{
    struct trigger trigger;
    int status = begin(&trigger, verb, argc, argv);
    if (status >= 0) {
        client_close(&trigger.words.client);
        return status;
    }
    const char *const *word = trigger.words.word;
    status = word[2][0] == '/' ? 0
                               : cli_error(CLI_USAGE,
                                           "fn route add: %s: not usable: expected a "
                                           "path that begins with /",
                                           word[2]);
    if (!status) {
        status = put(&trigger.words.client, "/v1/routes", word[0],
                     json_pack("{s:s, s:s, s:s, s:b}", "method", trigger.method, "path", word[2],
                               "function", word[1], "public", (int)trigger.public));
    }
    client_close(&trigger.words.client);
    return status;
}

static int run_cron_add(const struct cli_verb *verb, int argc, char **argv)
{
    struct trigger trigger;
    int status = begin(&trigger, verb, argc, argv);
    if (status >= 0) {
        client_close(&trigger.words.client);
        return status;
    }
    const char *const *word = trigger.words.word;
    status = put(&trigger.words.client, "/v1/crons", word[0],
                 json_pack("{s:s, s:s, s:s}", "schedule", word[2], "function", word[1], "input",
                           trigger.input ? trigger.input : ""));
    client_close(&trigger.words.client);
    return status;
}

static int list(const struct cli_verb *verb, int argc, char **argv, const char *path,
                const char *field, const struct client_column *columns, size_t count,
                const char *none)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 0, 0);
    if (status >= 0) {
        return status;
    }
    struct client_url url = client_url_begin(path);
    struct client_answer answer;
    status = client_send_json(&words.client, "GET", &url, field, NULL, &answer);
    if (!status) {
        status = client_print_list(&words.client, &answer, field, field, columns, count, none);
    }
    client_answer_free(&answer);
    client_close(&words.client);
    return status;
}

static int run_route_list(const struct cli_verb *verb, int argc, char **argv)
{
    static const struct client_column columns[] = {
        {"ROUTE", "name", CLIENT_TEXT},    {"METHOD", "method", CLIENT_TEXT},
        {"PATH", "path", CLIENT_TEXT},     {"FUNCTION", "function", CLIENT_TEXT},
        {"PUBLIC", "public", CLIENT_TEXT},
    };
    return list(verb, argc, argv, "/v1/routes", "routes", columns, WM_COUNT_OF(columns),
                "no routes: wardmote fn route add NAME FUNCTION /PATH makes one");
}

static int run_cron_list(const struct cli_verb *verb, int argc, char **argv)
{
    static const struct client_column columns[] = {
        {"CRON", "name", CLIENT_TEXT},
        {"SCHEDULE", "schedule", CLIENT_TEXT},
        {"FUNCTION", "function", CLIENT_TEXT},
        {"INPUT", "input", CLIENT_TEXT},
    };
    return list(verb, argc, argv, "/v1/crons", "crons", columns, WM_COUNT_OF(columns),
                "no crons: wardmote fn cron add NAME FUNCTION '*/5 * * * *' makes one");
}

static int remove_one(const struct cli_verb *verb, int argc, char **argv, const char *path)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 1, 1);
    if (status >= 0) {
        return status;
    }
    status = client_check_name("name", words.word[0]);
    if (!status) {
        struct client_url url = client_url_begin(path);
        client_url_segment(&url, words.word[0]);
        status = client_simple(&words.client, "DELETE", &url, words.word[0]);
    }
    client_close(&words.client);
    return status;
}

static int run_route_rm(const struct cli_verb *verb, int argc, char **argv)
{
    return remove_one(verb, argc, argv, "/v1/routes");
}

static int run_cron_rm(const struct cli_verb *verb, int argc, char **argv)
{
    return remove_one(verb, argc, argv, "/v1/crons");
}

static const struct cli_option route_options[] = {
    {OPTION_METHOD, "method", "METHOD", "GET, POST, ...; default: any"},
    {OPTION_PUBLIC, "public", NULL, "for everybody, without a token"},
};

static const struct cli_option cron_options[] = {
    {OPTION_INPUT, "input", "TEXT", "the input of each call; default: none"},
};

const struct cli_verb client_fn_route_add = {
    .name = "fn route add",
    .arguments = "NAME FUNCTION PATH",
    .summary = "lets requests for a path call a function",
    .options = route_options,
    .option_count = WM_COUNT_OF(route_options),
    CLIENT_COMMON,
    .notes = "The node serves it as /r/TENANT/PATH. A PATH may end in /* for all below it.\n",
    .run = run_route_add,
};
const struct cli_verb client_fn_route_list = {
    .name = "fn route list",
    .arguments = "",
    .summary = "the routes of a tenant",
    CLIENT_COMMON,
    .run = run_route_list,
};
const struct cli_verb client_fn_route_rm = {
    .name = "fn route rm",
    .arguments = "NAME",
    .summary = "removes a route",
    CLIENT_COMMON,
    .run = run_route_rm,
};
const struct cli_verb client_fn_cron_add = {
    .name = "fn cron add",
    .arguments = "NAME FUNCTION SCHEDULE",
    .summary = "calls a function again and again",
    .options = cron_options,
    .option_count = WM_COUNT_OF(cron_options),
    CLIENT_COMMON,
    .notes = "SCHEDULE is five fields (minute hour day month weekday), in UTC: '*/5 * * * *'\n",
    .run = run_cron_add,
};
const struct cli_verb client_fn_cron_list = {
    .name = "fn cron list",
    .arguments = "",
    .summary = "what is called again and again",
    CLIENT_COMMON,
    .run = run_cron_list,
};
const struct cli_verb client_fn_cron_rm = {
    .name = "fn cron rm",
    .arguments = "NAME",
    .summary = "ends that",
    CLIENT_COMMON,
    .run = run_cron_rm,
};
