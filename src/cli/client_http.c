#include "cli/client_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/view.h"
#include "cli/client_json.h"

#define ERROR_BODY_MAX (UINT64_C(1) << 20)
#define CONNECT_S 10L
#define RETRY_AFTER_S_MAX UINT64_C(60) /* what a node may ask us to wait between two tries */

struct client_http {
    CURL *curl;
    char error[CURL_ERROR_SIZE];
};

/* One try of a request. */
struct transfer {
    struct client *client;
    const struct client_request *request;
    struct client_answer *answer;
    CURL *curl;
    uint64_t sent; /* of the body */
    size_t room;
    int sink_fd;       /* -1: not yet asked for */
    int local_error;   /* errno of our own side, which ended the transfer */
    bool too_large;    /* so did an answer over the limit */
    bool sink_failed;  /* has said why */
    bool body_changed; /* the file became shorter */
};

static size_t give_body(char *out, size_t size, size_t count, void *self)
{
    struct transfer *transfer = self;
    const struct client_body *body = &transfer->request->body;
    uint64_t left = body->len - transfer->sent;
    size_t want = size * count < left ? size * count : (size_t)left;
    if (want == 0) {
        return 0;
    }
    if (body->fd < 0) {
        memcpy(out, (const char *)body->bytes + transfer->sent, want);
    } else {
        ssize_t got = pread(body->fd, out, want, (off_t)transfer->sent);
        if (got <= 0) {
            transfer->local_error = got < 0 ? errno : 0;
            transfer->body_changed = got == 0;
            return CURL_READFUNC_ABORT;
        }
        want = (size_t)got;
    }
    transfer->sent += want;
    return want;
}

static int rewind_body(void *self, curl_off_t offset, int origin)
{
    struct transfer *transfer = self;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > transfer->request->body.len) {
        return CURL_SEEKFUNC_FAIL;
    }
    transfer->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t keep_bytes(struct transfer *transfer, const char *bytes, size_t len, uint64_t most)
{
    struct client_answer *answer = transfer->answer;
    if (answer->len + len > most) {
        transfer->too_large = true;
        return 0;
    }
    if (answer->len + len + 1 > transfer->room) {
        size_t room = (answer->len + len + 1) * 2;
        char *larger = wm_realloc(answer->body, room, 1);
        if (!larger) {
            transfer->local_error = ENOMEM;
            return 0;
        }
        answer->body = larger;
        transfer->room = room;
    }
    memcpy(answer->body + answer->len, bytes, len);
    answer->len += len;
    answer->body[answer->len] = 0;
    return len;
}

static size_t take_bytes(char *bytes, size_t size, size_t count, void *self)
{
    struct transfer *transfer = self;
    const struct client_request *request = transfer->request;
    size_t len = size * count;
    long status = 0;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    bool good = status >= 200 && status < 300;
    cli_progress_end();
    if (!good || !request->sink) {
        return keep_bytes(transfer, bytes, len, good ? CLIENT_ANSWER_MAX : ERROR_BODY_MAX);
    }
    if (transfer->sink_fd < 0) {
        transfer->sink_fd = request->sink(request->sink_self);
        if (transfer->sink_fd < 0) {
            transfer->sink_failed = true;
            return 0;
        }
        transfer->answer->sunk = true;
    }
    int error = client_write_all(transfer->sink_fd, bytes, len);
    if (error) {
        transfer->local_error = -error;
        return 0;
    }
    transfer->answer->len += len;
    return len;
}

/* The value of header `name` in this line, or NULL. */
static const char *value_of(const char *line, size_t len, const char *name, size_t *value_len)
{
    size_t name_len = strlen(name);
    if (len <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':') {
        return NULL;
    }
    const char *from = line + name_len + 1, *end = line + len;
    while (from < end && (*from == ' ' || *from == '\t')) {
        from++;
    }
    while (end > from && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    *value_len = (size_t)(end - from);
    return from;
}

static bool number_of(const char *line, size_t len, const char *name, uint64_t *out)
{
    size_t value_len;
    char text[24];
    const char *value = value_of(line, len, name, &value_len);
    if (!value || value_len >= sizeof text) {
        return false;
    }
    memcpy(text, value, value_len);
    text[value_len] = 0;
    return cli_number(text, out);
}

static void take_return_code(struct client_answer *answer, const char *value, size_t len)
{
    char text[16];
    uint64_t number;
    bool negative = len > 0 && value[0] == '-';
    if (len - negative >= sizeof text) {
        return;
    }
    memcpy(text, value + negative, len - negative);
    text[len - negative] = 0;
    if (cli_number(text, &number) && number <= UINT64_C(1) << 31) {
        answer->return_code = negative ? -(int64_t)number : (int64_t)number;
        answer->has_return_code = true;
    }
}

static void take_name(char *out, size_t room, const char *value, size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_.:";
    if (len >= room) {
        return;
    }
    memcpy(out, value, len);
    out[len] = 0;
    if (strspn(out, allowed) != len) {
        out[0] = 0;
    }
}

/* "ID; record=SECOND.INDEX; cold=0; time_us=31" */
static void take_call(struct client_answer *answer, const char *value, size_t len)
{
    const char *end = value + len, *next;
    for (const char *at = value; at < end; at = next) {
        const char *stop = memchr(at, ';', (size_t)(end - at));
        stop = stop ? stop : end;
        next = stop + 1;
        while (at < stop && *at == ' ') {
            at++;
        }
        size_t part = (size_t)(stop - at);
        const char *equals = memchr(at, '=', part);
        size_t name = equals ? (size_t)(equals - at) : part;
        struct wm_view key = wm_view_of(at, name);
        const char *text = equals ? equals + 1 : at;
        size_t text_len = (size_t)(stop - text);
        char digits[24] = "";
        uint64_t number;
        if (text_len < sizeof digits) {
            memcpy(digits, text, text_len);
        }
        if (!equals) {
            take_name(answer->call, sizeof answer->call, text, text_len);
        } else if (wm_view_eq_str(key, "record")) {
            take_name(answer->record, sizeof answer->record, text, text_len);
        } else if (wm_view_eq_str(key, "cold") && cli_number(digits, &number)) {
            answer->cold = number != 0;
            answer->has_cold = true;
        } else if (wm_view_eq_str(key, "time_us") && cli_number(digits, &number)) {
            answer->time_us = number;
            answer->has_time = true;
        }
    }
}

static size_t take_header(char *line, size_t size, size_t count, void *self)
{
    struct transfer *transfer = self;
    struct client_answer *answer = transfer->answer;
    size_t len = size * count, value_len;
    uint64_t number;
    const char *value;
    if (number_of(line, len, "Retry-After", &number)) {
        answer->retry_after_s = number;
        answer->has_retry_after = true;
    } else if (number_of(line, len, "Wardmote-Value-Bytes", &number)) {
        answer->value_bytes = number;
        answer->has_value_bytes = true;
    } else if ((value = value_of(line, len, "Wardmote-Return-Code", &value_len))) {
        take_return_code(answer, value, value_len);
    } else if ((value = value_of(line, len, "Wardmote-Call", &value_len))) {
        take_call(answer, value, value_len);
    }
    return len;
}

static int show_progress(void *self, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                         curl_off_t up)
{
    struct transfer *transfer = self;
    const struct client_request *request = transfer->request;
    (void)up_total;
    (void)up;
    if (!request->waiting || down || down_total || transfer->answer->sunk) {
        return 0;
    }
    if (transfer->sent < request->body.len) {
        cli_progress_of(request->what, "uploading", transfer->sent, request->body.len);
    } else {
        cli_progress_of(request->what, request->waiting, 0, 0);
    }
    return 0;
}

static struct client_http *open_http(void)
{
    struct client_http *http = wm_alloc_zero(1, sizeof *http);
    if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        wm_free(http);
        return NULL;
    }
    http->curl = curl_easy_init();
    if (!http->curl) {
        wm_free(http);
        return NULL;
    }
    return http;
}

void client_http_free(struct client_http *http)
{
    if (http) {
        curl_easy_cleanup(http->curl);
        curl_global_cleanup();
        wm_free(http);
    }
}

/* In a header, not in the URL or an argument. */
static struct curl_slist *make_headers(const struct client *client,
                                       const struct client_request *request)
{
    char line[CLIENT_TOKEN_BYTES_MAX + 64];
    struct curl_slist *list = NULL, *longer;
    const char *const names[] = {"Authorization: Bearer ", "Content-Type: "};
    const char *const values[] = {client->token, request->type};
    for (size_t i = 0; i < WM_COUNT_OF(names); i++) {
        if (values[i]) {
            snprintf(line, sizeof line, "%s%s", names[i], values[i]);
            longer = curl_slist_append(list, line);
            explicit_bzero(line, sizeof line);
            if (!longer) {
                curl_slist_free_all(list);
                return NULL;
            }
            list = longer;
        }
    }
    longer = curl_slist_append(list, "Accept: application/json, */*");
    if (!longer) {
        curl_slist_free_all(list);
    }
    return longer;
}

static char *full_url(const struct client *client, const struct client_request *request)
{
    const char *path = client_url_text(request->url);
    char *text = NULL;
    /* A tenant's name needs no encoding: client_check_name. */
    if (!path || asprintf(&text, "%s%s%s%s", client->url, path,
                          !client->tenant       ? ""
                          : request->url->query ? "&tenant="
                                                : "?tenant=",
                          client->tenant ? client->tenant : "") < 0) {
        return NULL;
    }
    return text;
}

static void set_up(struct transfer *transfer, const char *url, struct curl_slist *headers)
{
    CURL *curl = transfer->curl;
    const struct client *client = transfer->client;
    const struct client_request *request = transfer->request;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->http->error);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "wardmote/" WARDMOTE_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)client->wait_s);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    if (client->socket) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    }
    if (client->ca) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca);
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, show_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    if (strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, rewind_body);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, transfer);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static int say_unreachable(const struct client *client, const struct client_answer *answer)
{
    (void)answer;
    if (client->socket) {
        return cli_error(CLI_FAILED,
                         "%s: no node runs there: start one: wardmote node --data DIR; "
                         "or name another with --node",
                         client->place);
    }
    return cli_error(CLI_FAILED,
                     "%s: cannot be reached: %s; start a node: wardmote node --data DIR --listen "
                     "ADDR:PORT; or name another with --node",
                     client->place, client->http->error);
}

/* What ended a transfer that brought no answer. */
static int say_failure(const struct transfer *transfer, CURLcode code)
{
    const struct client *client = transfer->client;
    const struct client_request *request = transfer->request;
    if (transfer->sink_failed) {
        return CLI_FAILED;
    }
    if (transfer->local_error == EPIPE) {
        /* libcurl ignores the signal while it works; who reads our output left as it would have
         * from any other program. */
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    if (transfer->local_error) {
        errno = transfer->local_error;
        return cli_error(CLI_FAILED, "%s: %m", request->what);
    }
    if (transfer->body_changed) {
        return cli_error(CLI_FAILED, "%s: became shorter while it was sent", request->what);
    }
    if (transfer->too_large) {
        return cli_error(CLI_FAILED,
                         "%s: the node's answer is larger than it may be: is %s a node?",
                         request->what, client->place);
    }
    const char *detail = client->http->error[0] ? client->http->error : curl_easy_strerror(code);
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST: return say_unreachable(client, transfer->answer);
    case CURLE_OPERATION_TIMEDOUT:
        return cli_error(CLI_FAILED,
                         "%s: %s has not answered after %" PRIu64
                         " s: look at the node, or wait longer with --wait SECONDS",
                         request->what, client->place, client->wait_s);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return cli_error(CLI_FAILED,
                         "%s: its certificate is not accepted: %s; name who signed it "
                         "with --ca FILE",
                         client->place, detail);
    default:
        return cli_error(CLI_FAILED,
                         "%s: %s: the connection ended without an answer: %s; whether the node did "
                         "it is unknown",
                         request->what, client->place, detail);
    }
}

static void forget(struct client_answer *answer)
{
    wm_free(answer->body);
    *answer = (struct client_answer){0};
}

void client_answer_free(struct client_answer *answer)
{
    forget(answer);
}

static int try_once(struct client *client, const struct client_request *request,
                    struct client_answer *answer)
{
    struct transfer transfer = {client, request, answer, client->http->curl, .sink_fd = -1};
    char *url = full_url(client, request);
    struct curl_slist *headers = make_headers(client, request);
    if (!url || !headers) {
        free(url);
        curl_slist_free_all(headers);
        return cli_error(CLI_FAILED, "%s: out of memory", request->what);
    }
    set_up(&transfer, url, headers);
    client->http->error[0] = 0;
    CURLcode code = curl_easy_perform(transfer.curl);
    cli_progress_end();
    curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_off_t total = 0;
    curl_easy_getinfo(transfer.curl, CURLINFO_TOTAL_TIME_T, &total);
    answer->total_us = (uint64_t)total;
    free(url);
    for (struct curl_slist *at = headers; at; at = at->next) {
        explicit_bzero(at->data, strlen(at->data));
    }
    curl_slist_free_all(headers);
    answer->unreachable = code == CURLE_COULDNT_CONNECT;
    /* A node may refuse a body before it has read all of it, and close: its answer counts. */
    bool refused = answer->status >= 400 && !transfer.too_large && !transfer.local_error &&
                   (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR);
    if (code == CURLE_OK || refused) {
        if (code == CURLE_OK && request->sink && answer->status >= 200 && answer->status < 300 &&
            !answer->sunk) { /* no bytes: an empty file all the same */
            answer->sunk = request->sink(request->sink_self) >= 0;
            return answer->sunk ? 0 : CLI_FAILED;
        }
        return 0;
    }
    if (request->probe && answer->unreachable) {
        return CLI_FAILED;
    }
    return say_failure(&transfer, code);
}

static bool may_retry(const struct client_answer *answer)
{
    return answer->status == 429 || (answer->status == 503 && answer->has_retry_after);
}

static void wait_for_retry(const struct client_answer *answer, const char *what)
{
    uint64_t wait_s = answer->has_retry_after ? answer->retry_after_s : 1;
    wait_s = wait_s < RETRY_AFTER_S_MAX ? wait_s : RETRY_AFTER_S_MAX;
    struct timespec tenth = {0, 100 * 1000 * 1000};
    for (uint64_t i = 0; i < wait_s * 10; i++) {
        cli_progress_of(what, "refused for now, waiting to try again", 0, 0);
        nanosleep(&tenth, NULL);
    }
    cli_progress_end();
}

int client_send(struct client *client, const struct client_request *request,
                struct client_answer *answer)
{
    *answer = (struct client_answer){0};
    if (!client->http) {
        client->http = open_http();
        if (!client->http) {
            return cli_error(CLI_FAILED, "%s: out of memory", request->what);
        }
    }
    for (uint64_t tries = 0;; tries++) {
        int status = try_once(client, request, answer);
        if (status) {
            return status;
        }
        if (answer->status >= 200 && answer->status < 300) {
            return 0;
        }
        if (!may_retry(answer) || tries >= client->retries) {
            break;
        }
        wait_for_retry(answer, request->what);
        forget(answer);
    }
    return request->quiet ? 0 : client_say_error(client, request, answer);
}

/* The node's own sentence names the object and the next step; where it is missing, what the status
 * means is told instead. */
int client_say_error(const struct client *client, const struct client_request *request,
                     const struct client_answer *answer)
{
    static const struct {
        long status;
        int leave;
        const char *text, *next;
    } known[] = {
        {400, CLI_USAGE, "the request is refused as malformed", NULL},
        {401, CLI_FAILED, "the node wants a token",
         "give one with --token-file FILE or in WARDMOTE_TOKEN"},
        {403, CLI_FAILED, "the token's role does not permit this", NULL},
        {404, CLI_FAILED, "there is none", NULL},
        {405, CLI_FAILED, "the node does not know this request: is it of another version?", NULL},
        {409, CLI_FAILED, "it conflicts with what is there", NULL},
        {413, CLI_USAGE, "larger than the node takes", NULL},
        {415, CLI_USAGE, "of a type that the node does not take", NULL},
        {422, CLI_USAGE, "refused by the node", NULL},
        {429, CLI_FAILED, "the node is busy", "try again later, or with --retry N"},
        {503, CLI_FAILED, "the node takes no new work now", "try again later, or with --retry N"},
        {504, CLI_FAILED, "the deadline passed", NULL},
        {507, CLI_FAILED, "a limit was reached", NULL},
    };
    struct client_error error;
    int leave = CLI_FAILED;
    const char *text = "the node failed", *next = NULL;
    for (size_t i = 0; i < WM_COUNT_OF(known); i++) {
        if (known[i].status == answer->status) {
            leave = known[i].leave;
            text = known[i].text;
            next = known[i].next;
        }
    }
    char *message = client_json_error(answer->body, answer->len, &error) ? error.message : NULL;
    if (message) {
        bool named = strstr(message, request->what) != NULL;
        leave = cli_error(leave, "%s%s%s%s%s%s%s", named ? "" : request->what, named ? "" : ": ",
                          message, next ? "; " : "", next ? next : "", error.detail ? "\n" : "",
                          error.detail ? error.detail : "");
        client_error_free(&error);
        return leave;
    }
    return cli_error(leave, "%s: %s: %s%s%s (HTTP %ld from %s, with no readable message)",
                     request->what, request->method, text, next ? "; " : "", next ? next : "",
                     answer->status, client->place);
}

int client_simple(struct client *client, const char *method, struct client_url *url,
                  const char *what)
{
    struct client_answer answer;
    struct client_request request = {
        .method = method, .url = url, .body = CLIENT_BODY_NONE, .what = what};
    int status = client_send(client, &request, &answer);
    client_answer_free(&answer);
    client_url_free(url);
    return status;
}

int client_send_json(struct client *client, const char *method, struct client_url *url,
                     const char *what, const char *text, struct client_answer *answer)
{
    struct client_request request = {
        .method = method,
        .url = url,
        .type = text ? "application/json" : NULL,
        .body = {text, -1, text ? strlen(text) : 0, false},
        .what = what,
    };
    int status = client_send(client, &request, answer);
    client_url_free(url);
    return status;
}
