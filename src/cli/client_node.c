/* client_node.c: `wardmote node` with a node that runs: status, drain, backup, key. Starting one,
 * and restore, are the daemon's own; so is the backup of one that does not run. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client_http.h"
#include "cli/client_json.h"
#include "cli/text.h"

enum { OPTION_DATA = 256 };

struct node_request {
    struct client_words words;
    const char *data;
};

static int take(void *self, int id, const char *value)
{
    struct node_request *request = self;
    if (id == OPTION_DATA) {
        request->data = value;
        return 0;
    }
    return client_words_take(&request->words, id, value);
}

static int run_status(const struct cli_verb *verb, int argc, char **argv)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 0, 0);
    if (status >= 0) {
        return status;
    }
    struct client_url url = client_url_begin("/v1/node");
    struct client_answer answer;
    status = client_send_json(&words.client, "GET", &url, "node", NULL, &answer);
    if (!status) {
        status = client_print_page(&words.client, &answer, "node");
    }
    client_answer_free(&answer);
    client_close(&words.client);
    return status;
}

/* All of it, and nothing else: it goes into a file, or behind --key. */
static int run_key(const struct cli_verb *verb, int argc, char **argv)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 0, 0);
    if (status >= 0) {
        return status;
    }
    struct client_url url = client_url_begin("/v1/key");
    struct client_answer answer;
    status = client_send_json(&words.client, "GET", &url, "node", NULL, &answer);
    json_t *document = status ? NULL : client_json_of(&words.client, &answer, "node");
    const char *key = client_json_text(document, "key");
    if (document && words.client.json) {
        client_json_dump(document, stdout);
    } else if (document && *key) {
        cli_text_put(stdout, key, strlen(key), false);
        putchar('\n');
    } else if (document) {
        status = cli_error(CLI_FAILED, "node: the answer holds no key: is %s a node?",
                           words.client.place);
    } else {
        status = status ? status : CLI_FAILED;
    }
    json_decref(document);
    client_answer_free(&answer);
    client_close(&words.client);
    return status ? status : client_flush();
}

static int run_drain(const struct cli_verb *verb, int argc, char **argv)
{
    struct client_words words;
    int status = client_words(&words, verb, argc, argv, 0, 0);
    if (status >= 0) {
        return status;
    }
    struct client_url url = client_url_begin("/v1/node/drain");
    struct client_answer answer;
    struct client_request request = {.method = "POST",
                                     .url = &url,
                                     .body = CLIENT_BODY_NONE,
                                     .what = "node",
                                     .waiting = "waiting for the running calls"};
    status = client_send(&words.client, &request, &answer);
    if (!status) {
        fputs("no call runs any more; the node takes no new ones and can be stopped\n", stderr);
    }
    client_answer_free(&answer);
    client_url_free(&url);
    client_close(&words.client);
    return status;
}

/* The path as the node, which has a working folder of its own, understands it. */
static int full_path(const char *path, char out[PATH_MAX])
{
    char here[PATH_MAX];
    int len = path[0] == '/'              ? snprintf(out, PATH_MAX, "%s", path)
              : getcwd(here, sizeof here) ? snprintf(out, PATH_MAX, "%s/%s", here, path)
                                          : -1;
    return len > 0 && len < PATH_MAX
               ? 0
               : cli_error(CLI_USAGE, "%s: not usable as a path: too long, or this folder is gone",
                           path);
}

/* Becomes `wardmote-node backup`, which refuses when a node runs on that folder after all. */
static int backup_alone(const struct node_request *request, const char *target)
{
    char program[PATH_MAX], folder[PATH_MAX];
    const char *data = request->data;
    if (!data && client_data_folder(folder, sizeof folder)) {
        data = folder;
    }
    if (!data || access(data, R_OK) != 0) {
        return cli_error(CLI_USAGE,
                         "node backup: no node runs at %s, and %s: name the folder of "
                         "a stopped one with --data DIR, or a running one with --node",
                         request->words.client.place,
                         data ? "its data folder is not there" : "HOME is not set");
    }
    if (!cli_find_program("wardmote-node", "WARDMOTE_NODE", program, sizeof program)) {
        return cli_error(CLI_MISSING, "node backup: wardmote-node is not installed beside this "
                                      "program: `make install` in the source tree does");
    }
    const char *words[] = {program, "backup", target, "--data", data, NULL};
    execv(program, (char *const *)words);
    return cli_error(CLI_FAILED, "%s: not started: %m", program);
}

static int ask_backup(struct node_request *request, const char *target)
{
    struct client *client = &request->words.client;
    json_t *document = json_pack("{s:s}", "path", target);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (!text) {
        return cli_error(CLI_USAGE, "%s: not usable: the path has to be UTF-8", target);
    }
    struct client_url url = client_url_begin("/v1/node/backup");
    struct client_answer answer;
    struct client_request http = {
        .method = "POST",
        .url = &url,
        .type = "application/json",
        .body = {text, -1, strlen(text), false},
        .what = "node",
        .waiting = "writing the backup",
        .probe = !client->node_option && client->socket,
    };
    int status = client_send(client, &http, &answer);
    bool alone = answer.unreachable && http.probe;
    client_answer_free(&answer);
    client_url_free(&url);
    free(text);
    return alone ? backup_alone(request, target) : status;
}

static int run_backup(const struct cli_verb *verb, int argc, char **argv)
{
    struct node_request request = {.words.verb = verb};
    char target[PATH_MAX], socket[PATH_MAX + 16];
    struct client *client = &request.words.client;
    client_init(client);
    int status = cli_parse(verb, argc, argv, take, &request);
    if (status >= 0) {
        return status;
    }
    status = client_words_check(&request.words, 1, 1);
    if (!status && request.data && client->node_option) {
        status = cli_error(CLI_USAGE, "node backup: --data and --node both name a node: give one");
    }
    status = status ? status : full_path(request.words.word[0], target);
    bool of_folder = !status && request.data;
    if (of_folder) {
        snprintf(socket, sizeof socket, "unix:%s/node.sock", request.data);
        client->node_option = socket;
    }
    status = status ? status : client_open(client);
    if (of_folder) {
        client->node_option = NULL; /* found by its folder: where no node runs there, without it */
    }
    status = status ? status : ask_backup(&request, target);
    client_close(client);
    return status;
}

static const struct cli_option backup_options[] = {
    {OPTION_DATA, "data", "DIR", "its data folder, if it may not be running"},
};

static const struct cli_verb node_status = {
    .name = "node status",
    .arguments = "",
    .summary = "isolation in force, workers, peers",
    CLIENT_COMMON,
    .run = run_status,
};
static const struct cli_verb node_drain = {
    .name = "node drain",
    .arguments = "",
    .summary = "takes no new calls; ends when the running ones have",
    CLIENT_COMMON,
    .run = run_drain,
};
static const struct cli_verb node_backup = {
    .name = "node backup",
    .arguments = "DIR",
    .summary = "a consistent copy of all that it keeps, into a new folder",
    .options = backup_options,
    .option_count = WM_COUNT_OF(backup_options),
    CLIENT_COMMON,
    .notes = "DIR is on the node's machine. Back again: wardmote node restore DIR --data NEW\n",
    .run = run_backup,
};
static const struct cli_verb node_key = {
    .name = "node key",
    .arguments = "",
    .summary = "the public key under which it signs the records of calls",
    CLIENT_COMMON,
    .run = run_key,
};

const struct cli_verb *const client_node[] = {&node_status,       &node_drain, &node_backup,
                                              &client_node_token, &node_key,   NULL};
