/* client_state.c: `wardmote state`: the global copies of the values that functions share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client_http.h"
#include "cli/client_json.h"
#include "cli/client_table.h"

#define KEY_BYTES_MAX 256u
#define VALUE_BYTES_MAX (UINT64_C(4) << 30) /* of a pipe; the node has a limit of its own */
#define PAGE 1000u                          /* keys a request */
#define PIECE_BYTES (UINT64_C(32) << 20)    /* of a value a request */

enum { OPTION_OFFSET = 256, OPTION_LEN, OPTION_PREFIX, OPTION_LIMIT };

struct state {
    struct client_words words;
    const char *out, *prefix;
    uint64_t offset, len, limit;
    bool has_offset, has_len;
    struct client_file file;
    bool file_open;
};

static int take(void *self, int id, const char *value)
{
    struct state *state = self;
    const char *name = state->words.verb->name;
    switch (id) {
    case 'o': state->out = value; return 0;
    case OPTION_PREFIX: state->prefix = value; return 0;
    case OPTION_OFFSET:
        state->has_offset = true;
        return cli_bytes(value, &state->offset)
                   ? 0
                   : cli_error(CLI_USAGE, "%s: --offset %s: not usable: expected bytes", name,
                               value);
    case OPTION_LEN:
        state->has_len = true;
        return cli_bytes(value, &state->len)
                   ? 0
                   : cli_error(CLI_USAGE, "%s: --len %s: not usable: expected bytes", name, value);
    case OPTION_LIMIT:
        return cli_number(value, &state->limit) && state->limit > 0
                   ? 0
                   : cli_error(CLI_USAGE, "%s: --limit %s: not usable: expected a number", name,
                               value);
    default: return client_words_take(&state->words, id, value);
    }
}

static int check_key(const char *key)
{
    size_t len = strlen(key);
    return len > 0 && len <= KEY_BYTES_MAX
               ? 0
               : cli_error(CLI_USAGE, "key %s: not usable: expected 1 to %u bytes",
                           len ? key : "''", KEY_BYTES_MAX);
}

/* -1: go on; else the status to leave with. */
static int begin(struct state *state, const struct cli_verb *verb, int argc, char **argv,
                 size_t least, size_t most)
{
    *state = (struct state){.words.verb = verb};
    client_init(&state->words.client);
    int status = cli_parse(verb, argc, argv, take, state);
    if (status >= 0) {
        return status;
    }
    status = client_words_check(&state->words, least, most);
    if (!status && most) {
        status = check_key(state->words.word[0]);
    }
    status = status ? status : client_open(&state->words.client);
    if (status) {
        client_close(&state->words.client);
    }
    return status ? status : -1;
}

static int open_output(void *self)
{
    struct state *state = self;
    if (!state->out || strcmp(state->out, "-") == 0) {
        return STDOUT_FILENO;
    }
    if (!state->file_open && client_file_open(&state->file, state->out, 0666)) {
        return -1;
    }
    state->file_open = true;
    return state->file.fd;
}

/* A piece of the value. *total: its whole size, where the node tells. */
static int get_piece(struct state *state, uint64_t offset, uint64_t len, uint64_t *got,
                     uint64_t *total)
{
    struct client_url url = client_url_begin("/v1/state");
    client_url_segment(&url, state->words.word[0]);
    client_url_number(&url, "offset", offset);
    client_url_number(&url, "len", len);
    struct client_answer answer;
    struct client_request request = {.method = "GET",
                                     .url = &url,
                                     .body = CLIENT_BODY_NONE,
                                     .what = state->words.word[0],
                                     .sink = open_output,
                                     .sink_self = state};
    int status = client_send(&state->words.client, &request, &answer);
    *got = answer.len;
    *total = answer.has_value_bytes ? answer.value_bytes : 0;
    client_answer_free(&answer);
    client_url_free(&url);
    return status;
}

/* In pieces, as a value may be larger than what a node gives at once. */
static int get_value(struct state *state)
{
    uint64_t at = state->offset, left = state->has_len ? state->len : UINT64_MAX;
    uint64_t got, total, first_total = 0;
    do {
        int status = get_piece(state, at, left < PIECE_BYTES ? left : PIECE_BYTES, &got, &total);
        if (status) {
            return status;
        }
        if (first_total && total != first_total) {
            return cli_error(CLI_FAILED, "%s: its size changed while it was read: try again",
                             state->words.word[0]);
        }
        first_total = total;
        at += got;
        left -= got < left ? got : left;
    } while (got && left && at < total);
    return 0;
}

static int run_get(const struct cli_verb *verb, int argc, char **argv)
{
    struct state state;
    int status = begin(&state, verb, argc, argv, 1, 1);
    if (status >= 0) {
        return status;
    }
    status = get_value(&state);
    if (state.file_open && status) {
        client_file_drop(&state.file);
    } else if (state.file_open) {
        status = client_file_keep(&state.file);
    }
    client_close(&state.words.client);
    return status;
}

static int run_put(const struct cli_verb *verb, int argc, char **argv)
{
    struct state state;
    struct client_body body;
    int status = begin(&state, verb, argc, argv, 2, 2);
    if (status >= 0) {
        return status;
    }
    status = client_body_open(&body, state.words.word[1], VALUE_BYTES_MAX);
    if (!status) {
        struct client_url url = client_url_begin("/v1/state");
        client_url_segment(&url, state.words.word[0]);
        if (state.has_offset) {
            client_url_number(&url, "offset", state.offset);
        }
        struct client_answer answer;
        struct client_request request = {.method = "PUT",
                                         .url = &url,
                                         .type = "application/octet-stream",
                                         .body = body,
                                         .what = state.words.word[0],
                                         .waiting = "writing"};
        status = client_send(&state.words.client, &request, &answer);
        client_answer_free(&answer);
        client_url_free(&url);
    }
    client_body_close(&body);
    client_close(&state.words.client);
    return status;
}

/* --- list: page after page, as each names the last key of the one before --- */

/* Adds what the page has. *last: its last key, owned by `all`; NULL: this was the last page. */
static int add_page(struct state *state, json_t *all, const json_t *page, uint64_t wanted,
                    const char **last, size_t *last_len)
{
    const json_t *keys = client_json_list(page, "keys");
    size_t count = json_array_size(keys), i;
    const char *before = *last;
    size_t before_len = *last_len;
    json_t *item;
    if (!keys) {
        return cli_error(CLI_FAILED, "state: the answer is no list of keys: is %s a node?",
                         state->words.client.place);
    }
    *last = NULL;
    json_array_foreach((json_t *)keys, i, item)
    {
        const json_t *key = json_is_string(item) ? item : json_object_get(item, "key");
        if (json_array_append(all, item) != 0) {
            return cli_error(CLI_FAILED, "state: out of memory");
        }
        *last = json_string_value(key);
        *last_len = json_string_length(key);
    }
    bool moved =
        *last && (!before || *last_len != before_len || memcmp(*last, before, before_len) != 0);
    if (count < wanted || !moved) {
        *last = NULL;
    }
    return 0;
}

static int fetch_keys(struct state *state, json_t *all)
{
    const char *last = NULL;
    size_t last_len = 0;
    do {
        uint64_t left = state->limit ? state->limit - json_array_size(all) : PAGE;
        uint64_t wanted = left < PAGE ? left : PAGE;
        struct client_url url = client_url_begin("/v1/state");
        struct client_answer answer;
        if (state->prefix) {
            client_url_query(&url, "prefix", state->prefix);
        }
        if (last) {
            client_url_query_bytes(&url, "after", last, last_len);
        }
        client_url_number(&url, "limit", wanted);
        int status = client_send_json(&state->words.client, "GET", &url, "state", NULL, &answer);
        json_t *page = status ? NULL : client_json_of(&state->words.client, &answer, "state");
        client_answer_free(&answer);
        if (!page) {
            return CLI_FAILED;
        }
        status = add_page(state, all, page, wanted, &last, &last_len);
        json_decref(page);
        if (status) {
            return status;
        }
    } while (last && (!state->limit || json_array_size(all) < state->limit));
    return 0;
}

static int run_list(const struct cli_verb *verb, int argc, char **argv)
{
    static const struct client_column columns[] = {
        {"KEY", "key", CLIENT_TEXT},
        {"BYTES", "bytes|size|len", CLIENT_BYTES},
        {"NODE", "master|node", CLIENT_TEXT},
    };
    struct state state;
    int status = begin(&state, verb, argc, argv, 0, 0);
    if (status >= 0) {
        return status;
    }
    json_t *all = json_array();
    status = all ? fetch_keys(&state, all) : cli_error(CLI_FAILED, "state: out of memory");
    if (!status && state.words.client.json) {
        client_json_dump(all, stdout);
        status = client_flush();
    } else if (!status && json_array_size(all) == 0) {
        fputs("no keys\n", stderr);
    } else if (!status) {
        status = client_json_table(all, columns, WM_COUNT_OF(columns), stdout,
                                   client_terminal_width()) == 0
                     ? client_flush()
                     : cli_error(CLI_FAILED, "state: out of memory");
    }
    json_decref(all);
    client_close(&state.words.client);
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
        status = check_key(words.word[i]);
        if (!status && !client_confirm(words.yes, "remove the value of %s?", words.word[i])) {
            status = CLI_FAILED;
        }
        if (!status) {
            struct client_url url = client_url_begin("/v1/state");
            client_url_segment(&url, words.word[i]);
            status = client_simple(&words.client, "DELETE", &url, words.word[i]);
        }
    }
    client_close(&words.client);
    return status;
}

static const struct cli_option get_options[] = {
    {OPTION_OFFSET, "offset", "BYTES", "from where; default 0"},
    {OPTION_LEN, "len", "BYTES", "how many; default all"},
    {'o', "output", "FILE", "instead of standard output"},
};
static const struct cli_option put_options[] = {
    {OPTION_OFFSET, "offset", "BYTES", "write there; default: the bytes replace the value"},
};
static const struct cli_option list_options[] = {
    {OPTION_PREFIX, "prefix", "TEXT", "keys that begin with it"},
    {OPTION_LIMIT, "limit", "N", "no more than these; default all"},
};

static const struct cli_verb state_get = {
    .name = "state get",
    .arguments = "KEY",
    .summary = "the bytes of a value, to standard output as they are",
    .options = get_options,
    .option_count = WM_COUNT_OF(get_options),
    CLIENT_COMMON,
    .run = run_get,
};
static const struct cli_verb state_put = {
    .name = "state put",
    .arguments = "KEY FILE|-",
    .summary = "writes a value; it is durable when the command ends",
    .options = put_options,
    .option_count = WM_COUNT_OF(put_options),
    CLIENT_COMMON,
    .run = run_put,
};
static const struct cli_verb state_list = {
    .name = "state list",
    .arguments = "",
    .summary = "keys and sizes",
    .options = list_options,
    .option_count = WM_COUNT_OF(list_options),
    CLIENT_COMMON,
    .run = run_list,
};
static const struct cli_verb state_rm = {
    .name = "state rm",
    .arguments = "KEY...",
    .summary = "removes values",
    .options = client_yes,
    .option_count = 1,
    CLIENT_COMMON,
    .run = run_rm,
};

const struct cli_verb *const client_state[] = {&state_get, &state_put, &state_list, &state_rm,
                                               NULL};
