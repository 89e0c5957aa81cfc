/* client_call.c: `wardmote fn call` and `fn result`: one call, from its input to its output.
 *
 * The output is bytes and goes where it is asked for as it is. The exit status is 0 where the
 * function returned 0; 1 where it returned anything else, trapped, or was refused: its return code
 * is in the message, and in --json, as exit statuses of 2 and 3 are the command's own. */
#include "cli/client_call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/client_http.h"
#include "cli/client_json.h"
#include "cli/text.h"

#define INPUT_BYTES_MAX (UINT64_C(64) << 20) /* the node has a limit of its own */
#define TIMEOUT_MS_MAX UINT64_C(86400000)
#define SLACK_S 30u /* beyond a call's own time: queueing, a cold start, the way */

enum { OPTION_ASYNC = 256, OPTION_RECEIPT, OPTION_TIMEOUT, OPTION_TIME, OPTION_KEEP, OPTION_STATE };

struct call {
    struct client_words words;
    const char *receipt, *out;
    uint64_t timeout_ms;
    bool async, time, keep, state;
    struct client_file file; /* -o, while it is written */
    bool file_open;
};

static int take(void *self, int id, const char *value)
{
    struct call *call = self;
    switch (id) {
    case OPTION_ASYNC: call->async = true; return 0;
    case OPTION_TIME: call->time = true; return 0;
    case OPTION_KEEP: call->keep = true; return 0;
    case OPTION_STATE: call->state = true; return 0;
    case OPTION_RECEIPT: call->receipt = value; return 0;
    case 'o': call->out = value; return 0;
    case OPTION_TIMEOUT:
        return cli_number(value, &call->timeout_ms) && call->timeout_ms > 0 &&
                       call->timeout_ms <= TIMEOUT_MS_MAX
                   ? 0
                   : cli_error(CLI_USAGE,
                               "fn call: --timeout %s: not usable: expected "
                               "milliseconds, from 1 to %" PRIu64,
                               value, TIMEOUT_MS_MAX);
    default: return client_words_take(&call->words, id, value);
    }
}

/* NAME, NAME:ALIAS or NAME@VERSION. */
static int check_function(const char *function)
{
    char name[CLIENT_NAME_BYTES_MAX + 2];
    size_t len = strcspn(function, ":@");
    if (function[len]) {
        int status = client_check_name("function", function + len + 1);
        if (status) {
            return status;
        }
    }
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), function);
    return client_check_name("function", name);
}

static int open_input(const char *text, struct client_body *body)
{
    *body = CLIENT_BODY_NONE;
    if (!text) {
        return 0;
    }
    if (strcmp(text, "-") == 0 || text[0] == '@') {
        return client_body_open(body, text[0] == '@' ? text + 1 : text, INPUT_BYTES_MAX);
    }
    body->bytes = text;
    body->len = strlen(text);
    return 0;
}

static int open_output(void *self)
{
    struct call *call = self;
    if (!call->out || strcmp(call->out, "-") == 0) {
        return STDOUT_FILENO;
    }
    if (!call->file_open) {
        if (client_file_open(&call->file, call->out, 0666)) {
            return -1;
        }
        call->file_open = true;
    }
    return call->file.fd;
}

static int end_output(struct call *call, int status)
{
    if (!call->file_open) {
        return status;
    }
    call->file_open = false;
    if (status) {
        client_file_drop(&call->file);
        return status;
    }
    return client_file_keep(&call->file);
}

static json_t *output_as_json(json_t *report, const char *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    json_t *text = json_stringn(bytes ? bytes : "", len);
    if (text) {
        json_object_set_new(report, "output", text);
        return report;
    }
    char *coded = malloc((len + 2) / 3 * 4 + 1), *at = coded;
    for (size_t i = 0; coded && i < len; i += 3) {
        uint32_t group = 0;
        for (size_t j = 0; j < 3; j++) {
            group = group << 8 | (i + j < len ? (unsigned char)bytes[i + j] : 0);
        }
        for (size_t j = 0; j < 4; j++) {
            *at++ = i + j <= len ? digits[group >> (18 - 6 * j) & 63] : '=';
        }
    }
    if (coded) {
        json_object_set_new(report, "output_base64", json_stringn(coded, (size_t)(at - coded)));
    }
    free(coded);
    return report;
}

static int print_report(const struct client_answer *answer, const char *function)
{
    json_t *report = json_object();
    json_object_set_new(report, "function", json_string(function));
    json_object_set_new(report, "call", answer->call[0] ? json_string(answer->call) : json_null());
    json_object_set_new(report, "return_code", json_integer(answer->return_code));
    json_object_set_new(report, "cold",
                        answer->has_cold ? json_boolean(answer->cold) : json_null());
    json_object_set_new(report, "time_us",
                        answer->has_time ? json_integer((json_int_t)answer->time_us) : json_null());
    json_object_set_new(report, "total_us", json_integer((json_int_t)answer->total_us));
    output_as_json(report, answer->body, answer->len);
    int status = client_json_dump(report, stdout) == 0
                     ? client_flush()
                     : cli_error(CLI_FAILED, "%s: standard output: %m", function);
    json_decref(report);
    return status;
}

static void print_time(const struct client_answer *answer, const char *function)
{
    fprintf(stderr, "%s: %.3f ms in all", function, (double)answer->total_us / 1000);
    if (answer->has_time) {
        fprintf(stderr, ", %.3f ms in the worker", (double)answer->time_us / 1000);
    }
    if (answer->has_cold) {
        fprintf(stderr, ", %s", answer->cold ? "cold" : "warm");
    }
    fputc('\n', stderr);
}

static int say_return_code(const char *function, int64_t code)
{
    return code == 0 ? CLI_DONE
                     : cli_error(CLI_FAILED, "%s: returned %" PRId64 ", which means that it failed",
                                 function, code);
}

static int call_async(struct call *call, struct client_request *request)
{
    struct client *client = &call->words.client;
    struct client_answer answer;
    client_url_query(request->url, "async", "1");
    int status = client_send(client, request, &answer);
    if (!status) {
        json_t *document = client_json_of(client, &answer, request->what);
        const char *id = client_json_text(document, "id");
        if (!document) {
            status = CLI_FAILED;
        } else if (!*id) {
            status = cli_error(CLI_FAILED, "%s: the node took the call but told no ID for it",
                               request->what);
        } else if (client->json) {
            client_json_dump(document, stdout);
        } else {
            cli_text_put(stdout, id, strlen(id), false);
            putchar('\n');
        }
        json_decref(document);
        status = status ? status : client_flush();
    }
    client_answer_free(&answer);
    return status;
}

static int call_sync(struct call *call, struct client_request *request)
{
    struct client *client = &call->words.client;
    struct client_answer answer;
    request->sink = client->json ? NULL : open_output;
    request->sink_self = call;
    int status = client_send(client, request, &answer);
    if (!status && client->json) {
        status = print_report(&answer, request->what);
    }
    status = end_output(call, status);
    if (!status && call->time) {
        print_time(&answer, request->what);
    }
    if (!status && call->receipt) {
        /* Of a call that was waited for, the node remembers only where its record is. */
        status = client_fetch_receipt(client, answer.record[0] ? answer.record : answer.call,
                                      call->receipt);
    }
    if (!status) {
        status = say_return_code(request->what, answer.return_code);
    }
    client_answer_free(&answer);
    return status;
}

static int run_call(const struct cli_verb *verb, int argc, char **argv)
{
    struct call call = {.words.verb = verb};
    struct client *client = &call.words.client;
    client_init(client);
    int status = cli_parse(verb, argc, argv, take, &call);
    if (status >= 0) {
        return status;
    }
    status = client_words_check(&call.words, 1, 2);
    if (!status && call.async && (call.receipt || call.out || call.time)) {
        status = cli_error(CLI_USAGE, "fn call: --async gives an ID and nothing else: "
                                      "`wardmote fn result` has the rest later");
    }
    if (!status && call.out && client->json) {
        status = cli_error(CLI_USAGE, "fn call: --json holds the output: leave out -o");
    }
    if (call.timeout_ms && !client->wait_s) {
        client->wait_s = call.timeout_ms / 1000 + SLACK_S;
    }
    status = status ? status : check_function(call.words.word[0]);
    status = status ? status : client_open(client);
    struct client_url url = client_url_begin("/v1/call");
    struct client_request request = {.method = "POST",
                                     .url = &url,
                                     .type = "application/octet-stream",
                                     .what = call.words.word[0],
                                     .body = CLIENT_BODY_NONE};
    if (!status) {
        status = open_input(call.words.count > 1 ? call.words.word[1] : NULL, &request.body);
    }
    if (!status) {
        client_url_segment(&url, call.words.word[0]);
        if (call.timeout_ms) {
            client_url_number(&url, "timeout_ms", call.timeout_ms);
        }
        status = call.async ? call_async(&call, &request) : call_sync(&call, &request);
    }
    client_body_close(&request.body);
    client_url_free(&url);
    client_close(client);
    return status;
}

/* --- fn result --- */

/* One look at the call, for which the node waits a while. *done: it has ended, and how. */
static int look(struct call *call, const char *id, uint64_t wait_ms, json_t **document)
{
    struct client *client = &call->words.client;
    struct client_url url = client_url_begin("/v1/calls");
    struct client_answer answer;
    client_url_segment(&url, id);
    if (wait_ms) {
        client_url_number(&url, "wait_ms", wait_ms);
    }
    int status = client_send_json(client, "GET", &url, id, NULL, &answer);
    *document = status ? NULL : client_json_of(client, &answer, id);
    client_answer_free(&answer);
    return status ? status : *document ? 0 : CLI_FAILED;
}

static int fetch_output(struct call *call, const char *id)
{
    struct client_url url = client_url_begin("/v1/calls");
    struct client_answer answer;
    client_url_segment(&url, id);
    client_url_raw(&url, "/output");
    if (call->keep) {
        client_url_query(&url, "keep", "1");
    }
    struct client_request request = {.method = "GET",
                                     .url = &url,
                                     .body = CLIENT_BODY_NONE,
                                     .what = id,
                                     .sink = open_output,
                                     .sink_self = call};
    int status = end_output(call, client_send(&call->words.client, &request, &answer));
    client_answer_free(&answer);
    client_url_free(&url);
    return status;
}

static int end_of_call(struct call *call, const char *id, const json_t *document)
{
    const char *end = client_json_text(document, "end");
    const char *message = client_json_text(document, "message");
    int64_t code = 0;
    client_json_number(document, "return_code", &code);
    if (*end && strcmp(end, "ok") != 0 && strcmp(end, "failed") != 0) {
        return cli_error(CLI_FAILED, "%s: ended as %s%s%s", id, end, *message ? ": " : "", message);
    }
    /* The receipt first: with its output, the node forgets the call. */
    int status = call->receipt ? client_fetch_receipt(&call->words.client, id, call->receipt) : 0;
    status = status ? status : fetch_output(call, id);
    return status ? status : say_return_code(id, code);
}

static int await_result(struct call *call, const char *id)
{
    struct client *client = &call->words.client;
    struct timespec begun, now;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (;;) {
        json_t *document;
        int status = look(call, id, call->state ? 0 : 5000, &document);
        if (status) {
            return status;
        }
        bool done = strcmp(client_json_text(document, "state"), "done") == 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t waited_s = (uint64_t)(now.tv_sec - begun.tv_sec);
        if (call->state) {
            if (client->json) {
                client_json_dump(document, stdout);
            } else {
                client_json_page(document, stdout, 0);
            }
            status = client_flush();
        } else if (done) {
            status = end_of_call(call, id, document);
        } else if (waited_s >= client->wait_s) {
            status = cli_error(CLI_FAILED, "%s: has not ended after %" PRIu64 " s; ask again later",
                               id, client->wait_s);
        } else {
            status = -1;
        }
        json_decref(document);
        if (status >= 0) {
            return status;
        }
        cli_progress_of(id, "waiting for its end", 0, 0);
        struct timespec pause = {0, 50 * 1000 * 1000}; /* where the node does not wait for us */
        nanosleep(&pause, NULL);
    }
}

static int run_result(const struct cli_verb *verb, int argc, char **argv)
{
    struct call call = {.words.verb = verb};
    client_init(&call.words.client);
    int status = cli_parse(verb, argc, argv, take, &call);
    if (status >= 0) {
        return status;
    }
    status = client_words_check(&call.words, 1, 1);
    if (!status && call.words.client.json && !call.state) {
        status = cli_error(CLI_USAGE, "fn result: --json goes with --state: the output is bytes");
    }
    status = status ? status : client_open(&call.words.client);
    status = status ? status : await_result(&call, call.words.word[0]);
    client_close(&call.words.client);
    return status;
}

static const struct cli_option call_options[] = {
    {OPTION_ASYNC, "async", NULL, "do not wait: prints an ID for `fn result`"},
    {'o', "output", "FILE", "for the output, instead of standard output"},
    {OPTION_RECEIPT, "receipt", "FILE", "keep the proof that the call was made"},
    {OPTION_TIMEOUT, "timeout", "MS", "less time than the function is given"},
    {OPTION_TIME, "time", NULL, "tell the time, on standard error"},
};

static const struct cli_option result_options[] = {
    {'o', "output", "FILE", "for the output, instead of standard output"},
    {OPTION_STATE, "state", NULL, "only tell how the call stands"},
    {OPTION_KEEP, "keep", NULL, "let the node keep the output, to be read again"},
    {OPTION_RECEIPT, "receipt", "FILE", "keep the proof that the call was made"},
};

const struct cli_verb client_fn_call = {
    .name = "fn call",
    .arguments = "NAME[:ALIAS|@VERSION] [INPUT|-|@FILE]",
    .summary = "calls a function; its output goes to standard output as it is",
    .options = call_options,
    .option_count = WM_COUNT_OF(call_options),
    CLIENT_COMMON,
    .notes = "Exit status: 0 the function returned 0; 1 it returned anything else, trapped, or\n"
             "was refused: why is on standard error. An INPUT that begins with @ goes by -.\n",
    .run = run_call,
};

const struct cli_verb client_fn_result = {
    .name = "fn result",
    .arguments = "ID",
    .summary = "waits for a call of --async, and gives its output",
    .options = result_options,
    .option_count = WM_COUNT_OF(result_options),
    CLIENT_COMMON,
    .run = run_result,
};
