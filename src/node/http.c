/* libmicrohttpd under libuv.
 *
 * Each daemon is used in "external epoll" mode: its epoll descriptor is readable when a connection
 * has something to do, and MHD_run does it. All results that came within one turn of the loop are
 * sent by one MHD_run in the check phase of that turn.
 *
 * A request that waits for a call is suspended, as libmicrohttpd wants it, but not at once: to
 * suspend and to resume are three system calls (two of epoll, and a wake-up), which is more than
 * all else that we do for a short call. For its first LINGER_MS a request lingers: it is left where
 * it is, and libmicrohttpd asks for its answer in every MHD_run. That costs some 50 ns for each
 * such request and turn, so at most LINGERING_MAX do; and while they do, MHD_get_timeout always
 * says that there is work, so a timer says so instead.
 *
 * libmicrohttpd's own timeout starts anew with every byte, so it does not stop a client that sends
 * a byte now and then. A sweep each second compares each connection with the deadline of what it is
 * doing, and shuts down the socket of those that are late: libmicrohttpd then sees its end. */
#include "node/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/file.h"
#include "node/api.h"
#include "node/calls.h"
#include "node/jsonx.h"
#include "node/log.h"
#include "node/metrics.h"

#define LISTENERS_MAX (CONFIG_LISTEN_MAX + 1)
#define HEAD_BYTES_MAX \
    16384u /* libmicrohttpd clears it after each request: no larger than needed */
#define BACKLOG 1024u
#define SWEEP_MS 1000u
#define RUNS_IN_A_ROW 4
#define NS_PER_S INT64_C(1000000000)
#define BODY_RATE (64u << 10)  /* bytes a second that a client must manage, both ways */
#define BODY_FILES_MAX 64u     /* uploads at once: each may fill 1 GiB of the disk */
#define DISCARD_MAX (1u << 20) /* of a body that is too large, before the connection is closed */
#define LINGER_MS 2
#define LINGERING_MAX 64u
#define TICK_MS 1u
#define FREE_MAX 256u          /* requests kept for reuse */
#define GONE_AFTER_NS NS_PER_S /* calls that run longer are looked after */
#define CONTENT_TYPE_JSON "application/json"

enum phase { PHASE_IDLE, PHASE_BODY, PHASE_RUNNING, PHASE_ANSWER };

struct http_connection {
    struct http_connection *next, **link;
    struct http_listener *listener;
    int fd;
    bool is_loopback, is_shut;
    enum phase phase;
    int64_t deadline_ns; /* of the phase; INT64_MAX: none */
    struct http_request *request;
};

struct http_listener {
    struct http *http;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    bool is_unix;
    char address[96];
};

struct http {
    struct node *node;
    struct http_listener listeners[LISTENERS_MAX];
    unsigned count;
    bool closing;
    struct http_connection *connections;
    struct http_request *free;
    uint32_t free_count, running, lingering;
    uint64_t body_bytes; /* of all bodies in memory */
    uint32_t body_files;
    bool need_run;
    uv_check_t check;
    uv_idle_t idle;
    uv_timer_t sweep, tick;
    unsigned handles; /* of libuv, still open */
    char *cert, *key;
};

/* Requests */

static struct http_request *request_new(struct http *http)
{
    struct http_request *request = http->free;
    if (request) {
        http->free = request->next;
        http->free_count--;
    } else {
        request = wm_alloc(sizeof *request);
        if (!request) {
            return NULL;
        }
    }
    /* All but the buffers. */
    memset(request, 0, offsetof(struct http_request, params));
    request->node = http->node;
    request->body_fd = -1;
    request->diag = (struct wm_diag)WM_DIAG_INIT;
    request->tenant = "";
    request->line = request->line_small;
    request->body = request->body_small;
    request->body_room = HTTP_SMALL_BYTES;
    return request;
}

static void request_free(struct http *http, struct http_request *request)
{
    if (request->data_free) {
        request->data_free(request->data);
    }
    if (request->response) {
        MHD_destroy_response(request->response);
    }
    if (request->line != request->line_small) {
        wm_free(request->line);
    }
    if (request->route && request->route->handle == api_secret_put) {
        explicit_bzero(request->body, request->body_room);
    }
    if (request->body != request->body_small) {
        http->body_bytes -= request->body_room;
        wm_free(request->body);
    }
    http->body_files -= request->body_fd >= 0;
    host_file_close(request->body_fd);
    if (http->free_count < FREE_MAX) {
        request->next = http->free;
        http->free = request;
        http->free_count++;
    } else {
        wm_free(request);
    }
}

static void set_phase(struct http_connection *from, enum phase phase, int64_t seconds)
{
    from->phase = phase;
    from->deadline_ns =
        seconds == INT64_MAX
            ? INT64_MAX
            : (int64_t)uv_now(from->listener->http->node->loop) * 1000000 + seconds * NS_PER_S;
}

static struct http_connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The first that is heard of a request: its line, not decoded. */
static void *take_line(void *self, const char *uri, struct MHD_Connection *connection)
{
    struct http_listener *listener = self;
    struct http_request *request = request_new(listener->http);
    size_t len = strlen(uri);
    if (!request) {
        return NULL; /* the handler closes the connection */
    }
    if (len >= sizeof request->line_small && len <= URI_BYTES_MAX) {
        char *line = wm_alloc(len + 1);
        request->line = line ? line : request->line_small;
        len = line ? len : 0;
    }
    if (len > URI_BYTES_MAX) {
        request->too_large = true;
        len = 0;
    }
    memcpy(request->line, uri, len);
    request->line[len] = 0;
    request->connection = connection;
    request->from = connection_of(connection);
    if (request->from) {
        request->from->request = request;
        set_phase(request->from, PHASE_IDLE, listener->http->node->config->header_s);
    }
    return request;
}

/* Percent-encoding is undone by us, after splitting. */
static size_t keep_escapes(void *self, struct MHD_Connection *connection, char *text)
{
    (void)self;
    (void)connection;
    return strlen(text);
}

/* Answers */

static const struct {
    unsigned status;
    const char *code;
} status_codes[] = {
    {400, "bad-request"},  {401, "unauthorized"},       {403, "forbidden"},
    {404, "not-found"},    {405, "method-not-allowed"}, {408, "request-timeout"},
    {409, "conflict"},     {411, "length-required"},    {413, "too-large"},
    {414, "uri-too-long"}, {415, "unsupported-type"},   {422, "refused"},
    {429, "too-many"},     {500, "internal"},           {501, "not-implemented"},
    {502, "died"},         {503, "unavailable"},        {504, "timeout"},
    {507, "limit"},
};

const char *http_status_code(unsigned status)
{
    for (unsigned i = 0; i < WM_COUNT_OF(status_codes); i++) {
        if (status_codes[i].status == status) {
            return status_codes[i].code;
        }
    }
    return "error";
}

static enum MHD_Result send_answer(struct http_request *request)
{
    const struct node *node = request->node;
    struct MHD_Response *response = request->response;
    metrics_http(node->metrics, request->status);
    if (!response) {
        return MHD_NO;
    }
    if (request->from) {
        set_phase(request->from, PHASE_ANSWER,
                  node->config->idle_s + (int64_t)(request->answer_bytes / BODY_RATE));
    }
    enum MHD_Result result = MHD_queue_response(request->connection, request->status, response);
    MHD_destroy_response(response);
    request->response = NULL;
    return result;
}

static void stop_lingering(struct http_request *request)
{
    request->lingers = false;
    request->node->http->lingering--;
}

void http_answer(struct http_request *request, unsigned status, struct MHD_Response *response)
{
    struct http *http = request->node->http;
    WM_ASSERT(request->state != REQUEST_ANSWERED);
    if (request->state == REQUEST_RUNNING) {
        http->running--;
    }
    request->state = REQUEST_ANSWERED;
    request->response = response; /* NULL where there was no memory: the connection is closed */
    request->status = status;
    request->call = 0;
    if (request->orphan) {
        request_free(http, request);
    } else if (request->lingers) {
        stop_lingering(request);
        http->need_run = true;
    } else if (request->suspended) {
        request->suspended = false;
        MHD_resume_connection(request->connection);
        http->need_run = true;
    }
}

struct MHD_Response *http_response_copy(struct wm_view bytes)
{
    return MHD_create_response_from_buffer(bytes.len, (void *)bytes.ptr, MHD_RESPMEM_MUST_COPY);
}

struct MHD_Response *http_response_in_place(struct http_request *request, struct wm_view bytes)
{
    if (bytes.len > request->body_room) {
        return http_response_copy(bytes);
    }
    if (bytes.len != 0) {
        memcpy(request->body, bytes.ptr, bytes.len);
    }
    /* libmicrohttpd reads it for the last time before it says that the request is completed. */
    return MHD_create_response_from_buffer(bytes.len, request->body, MHD_RESPMEM_PERSISTENT);
}

void http_answer_bytes(struct http_request *request, unsigned status, const char *type,
                       struct wm_view bytes)
{
    struct MHD_Response *response = http_response_copy(bytes);
    if (response) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    }
    http_answer(request, status, response);
}

void http_answer_json(struct http_request *request, unsigned status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    struct MHD_Response *response =
        text ? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE) : NULL;
    json_decref(json);
    if (response) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, CONTENT_TYPE_JSON);
    } else {
        free(text);
    }
    http_answer(request, status, response);
}

void http_answer_empty(struct http_request *request)
{
    http_answer(request, 204, http_response_copy((struct wm_view){0}));
}

static struct MHD_Response *error_response(struct http_request *request, unsigned status,
                                           const char *code, const char *message, json_t *detail)
{
    json_t *error = json_object();
    json_t *root = json_object();
    int err = jsonx_set(error, "code", json_string(code));
    err |= jsonx_set(error, "message", jsonx_bytes(wm_view_str(message)));
    err |= detail ? json_object_update(error, detail) : 0;
    err |= jsonx_set(root, "error", error);
    char *text = err ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    json_decref(detail);
    struct MHD_Response *response =
        text ? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE) : NULL;
    if (!response) {
        free(text);
        return NULL;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, CONTENT_TYPE_JSON);
    if (status == 401) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    }
    if (status == 429 || status == 503) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    }
    if (status == 405 && request->path) {
        char allow[128];
        api_allowed(request->path, allow);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    }
    return response;
}

void http_error_detail(struct http_request *request, unsigned status, const char *code,
                       const char *message, json_t *detail)
{
    http_answer(request, status, error_response(request, status, code, message, detail));
}

void http_error(struct http_request *request, unsigned status, const char *code, const char *format,
                ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    http_error_detail(request, status, code ? code : http_status_code(status), message, NULL);
}

void http_error_diag(struct http_request *request, int err, const struct wm_diag *diag)
{
    static const struct {
        int err;
        unsigned status;
    } statuses[] = {
        {WM_E_USAGE, 400},       {WM_E_MALFORMED, 422},  {WM_E_INVALID, 422},
        {WM_E_UNSUPPORTED, 422}, {WM_E_UNLINKABLE, 422}, {WM_E_TRAP, 422},
        {WM_E_COMPILER, 422},    {WM_E_EXITED, 422},     {WM_E_NOT_FOUND, 404},
        {WM_E_BUSY, 409},        {WM_E_STALE, 409},      {WM_E_DENIED, 403},
        {WM_E_LIMIT, 413},       {WM_E_MISSING, 501},    {-EHOSTUNREACH, 503},
    };
    for (unsigned i = 0; i < WM_COUNT_OF(statuses); i++) {
        if (statuses[i].err == err) {
            http_error(request, statuses[i].status, NULL, "%s", wm_diag_text(diag));
            return;
        }
    }
    char shown[LOG_TEXT_BYTES];
    log_limited(LOG_ERROR, "http", "route=\"%s %s\" error=%s %s",
                request->route ? request->route->method : "?",
                request->route ? request->route->path : "?", wm_error_name(err),
                log_text(shown, wm_diag_text(diag)));
    bool full = err == -ENOSPC || err == -EDQUOT;
    http_error(request, full ? 507 : 500, NULL,
               full ? "the node has no room left" : "the node failed; its log says why");
}

/* Work in other threads */

static void work_run(uv_work_t *work)
{
    struct http_request *request = work->data;
    request->work_run(request);
}

static void work_after(uv_work_t *work, int status)
{
    struct http_request *request = work->data;
    WM_ASSERT(status == 0);
    request->work_after(request);
}

void http_work(struct http_request *request, void (*run)(struct http_request *request),
               void (*after)(struct http_request *request))
{
    request->work.data = request;
    request->work_run = run;
    request->work_after = after;
    int err = uv_queue_work(request->node->loop, &request->work, work_run, work_after);
    WM_ASSERT(err == 0);
}

/* Reading */

const char *http_param(const struct http_request *request, const char *name)
{
    for (uint32_t i = 0; i < request->param_count; i++) {
        if (strcmp(request->params[i].name, name) == 0) {
            return request->params[i].value;
        }
    }
    return NULL;
}

bool http_flag(const struct http_request *request, const char *name)
{
    const char *value = http_param(request, name);
    return value && (strcmp(value, "1") == 0 || strcmp(value, "true") == 0);
}

bool http_number(struct http_request *request, const char *name, uint64_t max, uint64_t *out)
{
    const char *value = http_param(request, name);
    if (value && !uri_number(value, max, out)) {
        http_error(request, 400, NULL, "%s: not a number of at most %llu", name,
                   (unsigned long long)max);
        return false;
    }
    return true;
}

/* Who sends this? False: answered. */
static bool authenticate(struct http_request *request)
{
    struct node *node = request->node;
    const struct http_connection *from = request->from;
    const char *bearer = request->authorization;
    enum http_access access = request->route->access;
    const char *tenant = NULL;
    if (from && from->listener->is_unix) {
        request->role = ROLE_ADMIN;
        tenant = "";
    } else if (bearer && strncasecmp(bearer, "Bearer ", 7) == 0) {
        request->role = catalogue_token(node->catalogue, wm_view_str(bearer + 7), &tenant);
    }
    request->node_admin = request->role == ROLE_ADMIN && tenant && !*tenant;
    bool local = from && from->is_loopback;
    bool open = access == ACCESS_ANYBODY || access == ACCESS_ROUTE ||
                (local && (access == ACCESS_KNOWN || access == ACCESS_METRICS));
    if (request->role == ROLE_NONE) {
        if (!open) {
            http_error(request, 401, NULL,
                       "a token is needed: Authorization: Bearer TOKEN; the tenant's administrator "
                       "makes them");
        }
        return open;
    }
    if (access != ACCESS_ROUTE) {
        const char *asked = http_param(request, "tenant");
        if (asked && !request->node_admin && strcmp(asked, tenant) != 0) {
            http_error(request, 403, NULL, "this token is of another tenant");
            return false;
        }
        tenant = *tenant ? tenant : asked ? asked : API_DEFAULT_TENANT;
    }
    if (strlen(tenant) > CATALOGUE_NAME_BYTES_MAX) {
        http_error(request, 404, NULL, "tenant: there is none of that name");
        return false;
    }
    memcpy(request->tenant_name, tenant, strlen(tenant) + 1);
    request->tenant = request->tenant_name;
    enum role needed = access == ACCESS_INVOKE   ? ROLE_INVOKE
                       : access == ACCESS_DEPLOY ? ROLE_DEPLOY
                       : access == ACCESS_ADMIN  ? ROLE_ADMIN
                                                 : ROLE_NONE;
    bool enough = request->node_admin || open || access == ACCESS_KNOWN ||
                  (needed != ROLE_NONE && request->role >= needed);
    if (!enough) {
        http_error(request, 403, NULL, "this needs %s; the token's role is %s",
                   needed == ROLE_NONE ? "the node's administrator" : role_text(needed),
                   role_text(request->role));
    }
    return enough;
}

/* Is every parameter one that the route knows? "tenant" always is. */
static bool params_known(struct http_request *request)
{
    for (uint32_t i = 0; i < request->param_count; i++) {
        const char *name = request->params[i].name;
        size_t len = strlen(name);
        bool known = strcmp(name, "tenant") == 0;
        for (const char *at = request->route->query; at && *at && !known;) {
            size_t n = strcspn(at, " ");
            known = n == len && memcmp(at, name, n) == 0;
            at += n + (at[n] == ' ');
        }
        if (!known) {
            char shown[80];
            http_error(request, 400, NULL, "parameter %s: there is none here",
                       wm_diag_quote(shown, sizeof shown, name, len));
            return false;
        }
    }
    return true;
}

static bool parse_line(struct http_request *request)
{
    if (request->too_large) {
        http_error(request, 414, NULL, "the request's line is longer than %u bytes", URI_BYTES_MAX);
        return false;
    }
    if (!uri_split(request->line, &request->path, &request->query)) {
        http_error(request, 400, NULL, "the request's target is not a path");
        return false;
    }
    bool path_known;
    request->route = api_match(request->method, request->path, request->args, &path_known);
    if (!request->route) {
        if (path_known && strcmp(request->method, "OPTIONS") == 0) {
            char allow[128];
            struct MHD_Response *response = http_response_copy((struct wm_view){0});
            api_allowed(request->path, allow);
            if (response) {
                (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
            }
            http_answer(request, 204, response);
        } else {
            http_error(request, path_known ? 405 : 404, NULL,
                       path_known
                           ? "this path has other methods: see Allow"
                           : "there is nothing at this path; /v1/openapi.json lists what is");
        }
        return false;
    }
    for (unsigned i = 0; i < HTTP_ARGS_MAX && request->args[i]; i++) {
        if (!uri_decode(request->args[i], false)) {
            http_error(request, 400, NULL, "the path holds a broken percent escape");
            return false;
        }
    }
    if (request->route->access != ACCESS_ROUTE && *request->query) {
        int count = uri_params(request->query, request->params);
        if (count < 0) {
            http_error(request, 400, NULL,
                       count == WM_E_LIMIT ? "more than %u parameters"
                                           : "the query holds a broken percent escape (of %u)",
                       URI_PARAMS_MAX);
            return false;
        }
        request->param_count = (uint32_t)count;
        return params_known(request);
    }
    return true;
}

/* Room for a body of `len` bytes in all: false: answered. */
static bool reserve_body(struct http_request *request, size_t len)
{
    struct http *http = request->node->http;
    if (len <= request->body_room) {
        return true;
    }
    bool small = request->body == request->body_small;
    uint64_t others = http->body_bytes - (small ? 0 : request->body_room);
    if (others + len > http->node->config->body_bytes) {
        return false;
    }
    uint8_t *grown = wm_realloc(small ? NULL : request->body, len, 1);
    if (!grown) {
        return false;
    }
    if (small) {
        memcpy(grown, request->body_small, request->body_len);
    }
    http->body_bytes = others + len;
    request->body = grown;
    request->body_room = len;
    return true;
}

static bool begin_body(struct http_request *request)
{
    struct http *http = request->node->http;
    const struct http_route *route = request->route;
    const char *length = request->content_length;
    uint64_t bytes = 0;
    if (length && !uri_number(length, UINT64_MAX, &bytes)) {
        http_error(request, 400, NULL, "Content-Length is not a number");
        return false;
    }
    uint64_t max = route->body == BODY_NONE ? 0 : route->body_max;
    if (bytes > max) {
        http_error(request, 413, NULL, "the body may have at most %llu bytes here",
                   (unsigned long long)max);
        return false;
    }
    if (route->body == BODY_FILE) {
        request->body_fd =
            openat(request->node->dir_fd, NODE_TEMP, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (request->body_fd < 0) {
            http_error_diag(request, -errno, &request->diag);
            return false;
        }
        http->body_files++;
        wm_sha256_init(&request->body_hash);
    } else if (bytes && !reserve_body(request, (size_t)bytes)) {
        http_error(request, 503, NULL, "too many large requests at once");
        return false;
    }
    if (request->from) {
        set_phase(request->from, PHASE_BODY,
                  request->node->config->header_s + (int64_t)(max / BODY_RATE));
        if (length) {
            set_phase(request->from, PHASE_BODY,
                      request->node->config->header_s + (int64_t)(bytes / BODY_RATE));
        }
    }
    return true;
}

/* False: the connection is closed. */
static bool take_body(struct http_request *request, const char *bytes, size_t len)
{
    const struct http_route *route = request->route;
    uint64_t max = route->body == BODY_NONE ? 0 : route->body_max;
    if (request->err) {
        return (request->body_len += len) < DISCARD_MAX;
    }
    if (request->too_large || len > max - request->body_len) {
        if (!request->too_large) {
            request->too_large = true;
            request->body_len = 0; /* counts what is thrown away from here on */
        }
        return (request->body_len += len) < DISCARD_MAX;
    }
    if (route->body == BODY_FILE) {
        struct wm_view part = wm_view_of(bytes, len);
        request->err = host_file_write_all(request->body_fd, part);
        wm_sha256_add(&request->body_hash, part);
        request->body_len += len;
        return true;
    }
    size_t wanted = request->body_len + len;
    if (wanted > request->body_room) { /* chunked: the size is not known ahead */
        wanted = wanted < max / 2 ? wanted * 2 : (size_t)max;
        if (!reserve_body(request, wanted)) {
            request->err = -ENOMEM;
            request->body_len = 0;
            return true;
        }
    }
    memcpy(request->body + request->body_len, bytes, len);
    request->body_len += len;
    return true;
}

static void on_tick(uv_timer_t *timer)
{
    struct http *http = timer->data;
    http->need_run = true;
    if (!http->lingering) {
        (void)uv_timer_stop(timer);
    }
}

static enum MHD_Result run_request(struct http_request *request)
{
    struct http *http = request->node->http;
    if (request->too_large) {
        http_error(request, 413, NULL, "the body may have at most %llu bytes here",
                   (unsigned long long)request->route->body_max);
        return send_answer(request);
    }
    if (request->err == -ENOMEM) {
        http_error(request, 503, NULL, "too many large requests at once");
        return send_answer(request);
    }
    if (request->err) {
        struct wm_diag diag = WM_DIAG_INIT;
        http_error_diag(request, wm_diag_default(&diag, request->err, "body"), &diag);
        return send_answer(request);
    }
    request->state = REQUEST_RUNNING;
    request->started_ns = (int64_t)uv_now(request->node->loop) * 1000000;
    http->running++;
    if (request->from) {
        set_phase(request->from, PHASE_RUNNING, INT64_MAX);
    }
    request->route->handle(request);
    if (request->state == REQUEST_ANSWERED) {
        return send_answer(request);
    }
    if (http->lingering < LINGERING_MAX) {
        request->lingers = true;
        http->lingering++;
        if (!uv_is_active((uv_handle_t *)&http->tick)) {
            (void)uv_timer_start(&http->tick, on_tick, TICK_MS, TICK_MS);
        }
        return MHD_YES;
    }
    request->suspended = true;
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

/* libmicrohttpd asks whether there is an answer by now. */
static enum MHD_Result ask_again(struct http_request *request)
{
    int64_t now_ms = (int64_t)uv_now(request->node->loop);
    if (request->lingers && now_ms - request->started_ns / 1000000 >= LINGER_MS) {
        stop_lingering(request);
        request->suspended = true;
        MHD_suspend_connection(request->connection);
    }
    return MHD_YES;
}

static bool expects_body(const struct http_request *request)
{
    return request->transfer_encoding ||
           (request->content_length && strcmp(request->content_length, "0") != 0);
}

static enum MHD_Result take_header(void *self, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct http_request *request = self;
    const char **field = NULL;
    (void)kind;
    if (strcasecmp(name, MHD_HTTP_HEADER_AUTHORIZATION) == 0) {
        field = &request->authorization;
    } else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        field = &request->content_length;
    } else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        field = &request->transfer_encoding;
    }
    if (field) {
        request->head_is_wrong |= *field != NULL;
        *field = value ? value : "";
    }
    return MHD_YES;
}

/* Two ideas of where a request ends, or of who sends it, are how requests are smuggled past a proxy
 * that has the other idea. */
static bool take_headers(struct http_request *request)
{
    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, take_header, request);
    if (request->head_is_wrong || (request->content_length && request->transfer_encoding) ||
        (request->transfer_encoding && strcasecmp(request->transfer_encoding, "chunked") != 0)) {
        http_error(request, 400, NULL,
                   "one Authorization at most, and one of Content-Length: N and "
                   "Transfer-Encoding: chunked");
        return false;
    }
    return true;
}

static enum MHD_Result take_request(void *self, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *upload,
                                    size_t *upload_len, void **con_cls)
{
    struct http_request *request = *con_cls;
    (void)self;
    (void)connection;
    (void)url;
    (void)version;
    if (!request) {
        return MHD_NO;
    }
    switch (request->state) {
    case REQUEST_HEAD:
        request->method = method;
        if (strcmp(method, "HEAD") == 0) { /* libmicrohttpd leaves the body out */
            request->is_head = true;
            request->method = "GET";
        }
        if (!take_headers(request) || !parse_line(request) || !authenticate(request) ||
            !begin_body(request)) {
            /* An answer now closes the connection, as it must when a body follows that nobody will
             * read; without one there is a second time to give it. */
            return expects_body(request) ? send_answer(request) : MHD_YES;
        }
        request->state = REQUEST_BODY;
        return MHD_YES;
    case REQUEST_BODY:
        if (*upload_len) {
            bool ok = take_body(request, upload, *upload_len);
            *upload_len = 0;
            return ok ? MHD_YES : MHD_NO;
        }
        return run_request(request);
    case REQUEST_ANSWERED: return send_answer(request);
    case REQUEST_RUNNING:
    default: return ask_again(request);
    }
}

static void completed(void *self, struct MHD_Connection *connection, void **con_cls,
                      enum MHD_RequestTerminationCode how)
{
    struct http_listener *listener = self;
    struct http_request *request = *con_cls;
    (void)connection;
    if (!request) {
        return;
    }
    *con_cls = NULL;
    if (request->from) {
        request->from->request = NULL;
        set_phase(request->from, PHASE_IDLE, listener->http->node->config->idle_s);
    }
    if (request->sent && request->state == REQUEST_ANSWERED) {
        request->sent(request, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    }
    if (request->state == REQUEST_RUNNING) {
        request->orphan = true; /* freed by its answer */
        request->suspended = false;
        request->from = NULL;
        if (request->lingers) { /* its client went away meanwhile */
            stop_lingering(request);
        }
        if (request->call) {
            node_calls_cancel(listener->http->node, request->call);
        }
        return;
    }
    request_free(listener->http, request);
}

static void connected(void *self, struct MHD_Connection *connection, void **context,
                      enum MHD_ConnectionNotificationCode what)
{
    struct http_listener *listener = self;
    struct http *http = listener->http;
    struct http_connection *from = *context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (from) {
            *from->link = from->next;
            if (from->next) {
                from->next->link = from->link;
            }
            if (from->request) {
                from->request->from = NULL;
            }
            wm_free(from);
        }
        return;
    }
    from = wm_alloc_zero(1, sizeof *from);
    *context = from;
    if (!from) {
        return;
    }
    from->listener = listener;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    from->fd = info ? info->connect_fd : -1;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    if (address && address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        from->is_loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    } else if (address && address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        from->is_loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    }
    set_phase(from, PHASE_IDLE, http->node->config->header_s);
    from->next = http->connections;
    from->link = &http->connections;
    if (from->next) {
        from->next->link = &from->next;
    }
    http->connections = from;
}

/* The loop */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* only keeps the loop from waiting */
}

static void run_daemons(struct http *http)
{
    if (http->closing) {
        return;
    }
    bool more = false;
    for (unsigned i = 0; i < http->count; i++) {
        MHD_UNSIGNED_LONG_LONG timeout = 1;
        int runs = 0;
        do {
            (void)MHD_run(http->listeners[i].daemon);
            more = !http->lingering &&
                   MHD_get_timeout(http->listeners[i].daemon, &timeout) == MHD_YES && timeout == 0;
        } while (more && ++runs < RUNS_IN_A_ROW);
        http->need_run = false;
        if (more) {
            break;
        }
    }
    if (more) {
        http->need_run = true;
        (void)uv_idle_start(&http->idle, on_idle);
    } else {
        (void)uv_idle_stop(&http->idle);
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct http_listener *listener = poll->data;
    (void)status;
    (void)events;
    listener->http->need_run = true;
}

static void on_check(uv_check_t *check)
{
    struct http *http = check->data;
    if (http->need_run) {
        run_daemons(http);
    }
}

static void shut(struct http_connection *from)
{
    if (!from->is_shut && from->fd >= 0) {
        from->is_shut = true;
        (void)shutdown(from->fd, SHUT_RDWR);
    }
}

static bool is_gone(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLRDHUP};
    return poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void on_sweep(uv_timer_t *timer)
{
    struct http *http = timer->data;
    int64_t now = (int64_t)uv_now(http->node->loop) * 1000000;
    for (struct http_connection *from = http->connections; from; from = from->next) {
        struct http_request *request = from->request;
        if (from->deadline_ns <= now) {
            shut(from);
        } else if (from->phase == PHASE_RUNNING && request && request->call &&
                   now - request->started_ns > GONE_AFTER_NS && is_gone(from->fd)) {
            uint64_t call = request->call;
            request->call = 0;
            node_calls_cancel(http->node, call);
        }
    }
    http->need_run = true; /* libmicrohttpd's own timeouts */
}

/* Opening */

static void on_closed(uv_handle_t *handle)
{
    struct http *http = uv_handle_get_data(handle);
    http->handles--;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_listener *listener = uv_handle_get_data(handle);
    listener->http->handles--;
}

static void mhd_log(void *self, const char *format, va_list args)
{
    char text[200], shown[LOG_TEXT_BYTES];
    (void)self;
    (void)vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = 0;
    log_limited(LOG_DEBUG, "mhd", "text=%s", log_text(shown, text));
}

static int open_unix(struct node *node, int *out, struct wm_diag *diag)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* Through /proc, so that the folder's path may be as long as it likes. */
    int len = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" NODE_SOCKET,
                       node->dir_fd);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || len < 0) {
        return wm_diag_default(diag, -errno, NODE_SOCKET);
    }
    (void)unlinkat(node->dir_fd, NODE_SOCKET,
                   0); /* left by a node that was killed; we hold the lock */
    mode_t mask = umask(0177);
    int err = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : -errno;
    umask(mask);
    if (!err && listen(fd, (int)BACKLOG) != 0) {
        err = -errno;
    }
    if (err) {
        (void)close(fd);
        return wm_diag_set(diag, err, "%s: %s", NODE_SOCKET, wm_error_text(err));
    }
    *out = fd;
    return 0;
}

static int open_tcp(const char *text, char address[96], const char *scheme, int *out,
                    struct wm_diag *diag)
{
    char host[64], service[8], shown[INET6_ADDRSTRLEN + 2];
    uint16_t port;
    struct addrinfo *list = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    if (config_split_address(text, host, &port) != 0) {
        return wm_diag_set(diag, WM_E_USAGE, "listen: %s: not ADDR:PORT", text);
    }
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(*host ? host : NULL, service, &hints, &list);
    if (failed) {
        return wm_diag_set(diag, WM_E_USAGE, "listen: %s: %s", text, gai_strerror(failed));
    }
    int one = 1, err = 0;
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        err = -errno;
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        struct sockaddr_storage bound = {0};
        socklen_t len = sizeof bound;
        if (bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, (int)BACKLOG) != 0 ||
            getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
            err = -errno;
        } else if (bound.ss_family == AF_INET6) {
            const struct sockaddr_in6 *v6 = (const void *)&bound;
            shown[0] = '[';
            inet_ntop(AF_INET6, &v6->sin6_addr, shown + 1, sizeof shown - 2);
            strncat(shown, "]", 2);
            port = ntohs(v6->sin6_port);
        } else {
            const struct sockaddr_in *v4 = (const void *)&bound;
            inet_ntop(AF_INET, &v4->sin_addr, shown, sizeof shown);
            port = ntohs(v4->sin_port);
        }
    }
    freeaddrinfo(list);
    if (err) {
        host_file_close(fd);
        return wm_diag_set(diag, err, "listen: %s: %s", text, wm_error_text(err));
    }
    snprintf(address, 96, "%s://%s:%u", scheme, shown, port);
    *out = fd;
    return 0;
}

static int start_daemon(struct http *http, int fd, bool is_unix, struct wm_diag *diag)
{
    struct http_listener *listener = &http->listeners[http->count];
    const struct config *config = http->node->config;
    bool tls = !is_unix && http->cert;
    listener->http = http;
    listener->is_unix = is_unix;
    struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, http->cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, http->key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem no_options[] = {{MHD_OPTION_END, 0, NULL}};
    /* The logger comes first, so that it gets what the others have to say. */
    listener->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0), 0,
        NULL, NULL, take_request, listener, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)(is_unix ? 0 : config->connections_per_address), MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)config->idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES_MAX,
        MHD_OPTION_NOTIFY_COMPLETED, completed, listener, MHD_OPTION_NOTIFY_CONNECTION, connected,
        listener, MHD_OPTION_URI_LOG_CALLBACK, take_line, listener, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_ARRAY, tls ? tls_options : no_options, MHD_OPTION_END);
    if (!listener->daemon) {
        (void)close(fd);
        return wm_diag_set(
            diag, tls ? WM_E_USAGE : -EIO,
            tls ? "tls-cert, tls-key: the certificate and key cannot be used together"
                : "http: libmicrohttpd does not start");
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int err = info ? uv_poll_init(http->node->loop, &listener->poll, info->epoll_fd) : -EIO;
    if (err) {
        MHD_stop_daemon(listener->daemon);
        return wm_diag_default(diag, err, "http");
    }
    http->count++;
    http->handles++;
    listener->poll.data = listener;
    (void)uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    return 0;
}

static int read_pem(const char *path, char **out, struct wm_diag *diag)
{
    uint8_t *bytes;
    size_t len;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int err = fd < 0 ? -errno : host_file_read_all(fd, 1 << 20, &bytes, &len);
    host_file_close(fd);
    if (err) {
        return wm_diag_set(diag, err, "%s: %s", path, wm_error_text(err));
    }
    char *text = wm_realloc(bytes, len + 1, 1);
    if (!text) {
        wm_free(bytes);
        return wm_diag_default(diag, -ENOMEM, path);
    }
    text[len] = 0;
    *out = text;
    return 0;
}

int http_open(struct node *node, struct wm_diag *diag)
{
    const struct config *config = node->config;
    struct http *http = wm_alloc_zero(1, sizeof *http);
    int err = http ? 0 : wm_diag_default(diag, -ENOMEM, "http"), fd;
    if (err) {
        return err;
    }
    http->node = node;
    node->http = http; /* requests may come before this returns: on the way out of a failure */
    if (config->tls_cert) {
        err = read_pem(config->tls_cert, &http->cert, diag);
        err = err ? err : read_pem(config->tls_key, &http->key, diag);
    }
    (void)uv_check_init(node->loop, &http->check);
    (void)uv_idle_init(node->loop, &http->idle);
    (void)uv_timer_init(node->loop, &http->sweep);
    (void)uv_timer_init(node->loop, &http->tick);
    http->check.data = http->idle.data = http->sweep.data = http->tick.data = http;
    http->handles = 4;
    (void)uv_check_start(&http->check, on_check);
    (void)uv_timer_start(&http->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    for (uint32_t i = 0; i < config->listen.count && !err; i++) {
        err = open_tcp(config->listen.items[i], http->listeners[http->count].address,
                       http->cert ? "https" : "http", &fd, diag);
        err = err ? err : start_daemon(http, fd, false, diag);
    }
    if (!err) {
        err = open_unix(node, &fd, diag);
        err = err ? err : start_daemon(http, fd, true, diag);
    }
    if (err) {
        http_close(http);
        node->http = NULL;
    }
    return err;
}

void http_close(struct http *http)
{
    if (!http) {
        return;
    }
    WM_ASSERT(http->running == 0);
    if (http->count) {
        run_daemons(http); /* what was resumed last is still to be sent */
    }
    http->closing = true;
    (void)unlinkat(http->node->dir_fd, NODE_SOCKET, 0);
    for (unsigned i = 0; i < http->count; i++) {
        (void)uv_poll_stop(&http->listeners[i].poll);
        uv_close((uv_handle_t *)&http->listeners[i].poll, on_listener_closed);
    }
    uv_close((uv_handle_t *)&http->check, on_closed);
    uv_close((uv_handle_t *)&http->idle, on_closed);
    uv_close((uv_handle_t *)&http->sweep, on_closed);
    uv_close((uv_handle_t *)&http->tick, on_closed);
    while (http->handles) {
        (void)uv_run(http->node->loop, UV_RUN_ONCE);
    }
    for (unsigned i = 0; i < http->count; i++) {
        MHD_stop_daemon(http->listeners[i].daemon);
    }
    while (http->free) {
        struct http_request *request = http->free;
        http->free = request->next;
        wm_free(request);
    }
    wm_free(http->cert);
    if (http->key) {
        explicit_bzero(http->key, strlen(http->key));
    }
    wm_free(http->key);
    wm_free(http);
}

uint32_t http_running(const struct http *http)
{
    return http->running;
}

const char *http_address(const struct http *http, unsigned idx)
{
    return idx < http->count && !http->listeners[idx].is_unix ? http->listeners[idx].address : NULL;
}
