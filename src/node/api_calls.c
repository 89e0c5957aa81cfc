/* Calls and routes: the paths on which the node's speed depends.
 *
 * A synchronous call costs, on our side: the token's hash and look-up, the request's own memory
 * (reused), one answer with two headers. */
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "node/api.h"
#include "node/async.h"
#include "node/calls.h"
#include "node/cgi.h"
#include "node/jsonx.h"
#include "node/metrics.h"
#include "node/text.h"

#define WAIT_MS_MAX 60000u
#define BACKTRACE_BYTES_MAX 16384u
#define OCTETS "application/octet-stream"

static char *decimal(char out[24], uint64_t value)
{
    char *at = out + 23;
    *at = 0;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return at;
}

struct line {
    char text[128], *at;
};

/* The caller knows that there is room. */
static void line_add(struct line *line, const char *text)
{
    size_t len = strlen(text);
    memcpy(line->at, text, len + 1);
    line->at += len;
}

/* One header for all: each costs libmicrohttpd three allocations, as much as hashing the answer. */
static void add_call_header(struct MHD_Response *response, uint64_t id,
                            const struct call_result *result)
{
    char number[24];
    uint8_t bytes[8];
    struct line line; /* at most 16 + 9 + 20 + 1 + 10 + 8 + 10 + 20 and the NUL */
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    }
    jsonx_hex(line.text, bytes, sizeof bytes);
    line.at = line.text + 16;
    if (result->record_second) {
        line_add(&line, "; record=");
        line_add(&line, decimal(number, result->record_second));
        line_add(&line, ".");
        line_add(&line, decimal(number, result->record_index));
    }
    line_add(&line, result->cold ? "; cold=1" : "; cold=0");
    line_add(&line, "; time_us=");
    line_add(&line, decimal(number, result->usage.wall_ns / 1000));
    (void)MHD_add_response_header(response, "Wardmote-Call", line.text);
    if (result->return_code) {
        snprintf(number, sizeof number, "%d", result->return_code);
        (void)MHD_add_response_header(response, "Wardmote-Return-Code", number);
    }
}

static unsigned status_of_end(const struct node *node, enum call_end end)
{
    switch (end) {
    case CALL_END_OK:
    case CALL_END_FAILED: return 200;
    case CALL_END_TRAP: return 500;
    case CALL_END_TIMEOUT: return 504;
    case CALL_END_LIMIT: return 507;
    case CALL_END_NOT_FOUND: return 404;
    case CALL_END_OVERLOADED: return 429;
    case CALL_END_CANCELLED: return 503;
    case CALL_END_WORKER_DIED:
    case CALL_END_NODE_DIED: return 502;
    case CALL_END_REFUSED: return node->state == NODE_RUNNING ? 422 : 503;
    case CALL_ENDS:
    default: return 500;
    }
}

/* `open`: for somebody without a token, who learns nothing of the inside. */
static void answer_end(struct http_request *request, uint64_t id, const struct call_result *result,
                       bool open)
{
    unsigned status = status_of_end(request->node, result->end);
    json_t *detail = json_object();
    char hex[17];
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    }
    jsonx_hex(hex, bytes, sizeof bytes);
    jsonx_set(detail, "call", json_string(hex));
    if (!open) {
        struct wm_view trace = result->backtrace;
        trace.len = trace.len > BACKTRACE_BYTES_MAX ? BACKTRACE_BYTES_MAX : trace.len;
        if (trace.len) {
            jsonx_set(detail, "detail", jsonx_bytes(trace));
        }
        if (*result->node) {
            jsonx_set(detail, "node", json_string(result->node));
        }
    }
    if (result->end == CALL_END_OVERLOADED) {
        jsonx_set(detail, "retry_after_ms", json_integer(result->retry_after_ms));
    }
    const char *message = open || !result->message || !*result->message ? call_end_text(result->end)
                                                                        : result->message;
    http_error_detail(request, status, call_end_text(result->end), message, detail);
}

static void count(struct http_request *request, const char *function,
                  const struct call_result *result)
{
    metrics_call(request->node->metrics, request->tenant, function, result->end, result->cold,
                 result->usage.wall_ns);
}

static void call_done(void *self, uint64_t id, const struct call_result *result)
{
    struct http_request *request = self;
    count(request, request->args[0], result);
    if (result->end != CALL_END_OK && result->end != CALL_END_FAILED) {
        answer_end(request, id, result, false);
        return;
    }
    struct MHD_Response *response = http_response_in_place(request, result->output);
    if (response) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, OCTETS);
        add_call_header(response, id, result);
    }
    request->answer_bytes = result->output.len;
    http_answer(request, 200, response);
}

static void start(struct http_request *request, const struct call_request *call)
{
    uint64_t id = node_calls_start(request->node, call);
    if (request->state == REQUEST_RUNNING) {
        request->call = id;
    }
}

static void async_accepted(void *self, const char *id, int err, const struct wm_diag *diag)
{
    struct http_request *request = self;
    if (err == WM_E_LIMIT) {
        http_error(request, 429, NULL, "%s", wm_diag_text(diag));
    } else if (err) {
        http_error_diag(request, err, diag);
    } else {
        http_answer_json(request, 202, json_pack("{s:s}", "id", id));
    }
}

void api_call(struct http_request *request)
{
    uint64_t timeout_ms = 0;
    if (request->param_count && !http_number(request, "timeout_ms", UINT32_MAX, &timeout_ms)) {
        return;
    }
    struct call_request call = {
        .tenant = request->tenant,
        .function = request->args[0],
        .input = wm_view_of(request->body, request->body_len),
        .timeout_ms = (uint32_t)timeout_ms,
        .func_idx = UINT32_MAX,
        .done = call_done,
        .self = request,
    };
    if (request->param_count && http_flag(request, "async")) {
        if (request->node->state != NODE_RUNNING) {
            http_error(request, 503, NULL, "the node is draining");
            return;
        }
        async_start(request->node->async, &call, async_accepted, request);
        return;
    }
    start(request, &call);
}

/* Routes */

struct route_call {
    struct call_http http;
    struct text headers;
    bool is_command, is_public;
    char function[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    char method[16];
};

static void route_call_free(void *data)
{
    struct route_call *call = data;
    text_fini(&call->headers);
    wm_free(call);
}

/* What is between the client and us, and our tokens, is not the guest's. */
static bool header_is_ours(const char *name, const char *value)
{
    static const char *const ours[] = {"connection",       "keep-alive", "te",
                                       "trailer",          "upgrade",    "transfer-encoding",
                                       "proxy-connection", "expect",     "proxy-authorization"};
    for (unsigned i = 0; i < WM_COUNT_OF(ours); i++) {
        if (strcasecmp(name, ours[i]) == 0) {
            return true;
        }
    }
    return strcasecmp(name, "authorization") == 0 && strstr(value, "wmt_") != NULL;
}

static enum MHD_Result add_header(void *self, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    struct route_call *call = self;
    (void)kind;
    if (!value || header_is_ours(name, value) || value[strcspn(value, "\r\n")] ||
        name[strcspn(name, "\r\n:")]) {
        return MHD_YES;
    }
    size_t from = call->headers.len;
    text_str(&call->headers, name);
    for (size_t i = from; i < call->headers.len; i++) {
        char c = call->headers.at[i];
        call->headers.at[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    text_str(&call->headers, ": ");
    text_str(&call->headers, value);
    text_str(&call->headers, "\n");
    return MHD_YES;
}

static void route_done(void *self, uint64_t id, const struct call_result *result)
{
    struct http_request *request = self;
    struct route_call *call = request->data;
    struct cgi_answer answer = {
        .status = result->status, .lines = result->headers, .body = result->output};
    struct cgi_header header;
    bool typed = false;
    count(request, call->function, result);
    if (result->end != CALL_END_OK && result->end != CALL_END_FAILED) {
        answer_end(request, id, result, call->is_public);
        return;
    }
    if (call->is_command && !result->status && !result->headers.len) {
        cgi_parse(result->output, &answer);
    }
    unsigned status = answer.status >= 200 && answer.status <= 599 ? answer.status
                      : result->end == CALL_END_OK                 ? 200
                                                                   : 500;
    if (status == 204 || status == 304) { /* have no body by definition */
        answer.body = (struct wm_view){0};
    }
    struct MHD_Response *response = http_response_copy(answer.body);
    for (unsigned i = 0; response && i < CGI_HEADERS_MAX && cgi_next(&answer.lines, &header); i++) {
        typed |= strcasecmp(header.name, "content-type") == 0;
        (void)MHD_add_response_header(response, header.name, header.value);
    }
    if (response && !typed && answer.body.len) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, OCTETS);
    }
    if (response) { /* a guest's page must not be taken for another type than it says */
        (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    }
    request->answer_bytes = answer.body.len;
    http_answer(request, status, response);
}

/* The route, when this request may take it; NULL: answered. */
static const struct route *find_route(struct http_request *request, const char *tenant,
                                      const char *path)
{
    bool known;
    const struct route *route = catalogue_route(
        request->node->catalogue, tenant, request->is_head ? "GET" : request->method, path, &known);
    bool own = request->node_admin ||
               (request->role >= ROLE_INVOKE && strcmp(request->tenant, tenant) == 0);
    if (route && (route->is_public || own)) {
        return route;
    }
    if (!own && request->role == ROLE_NONE) {
        http_error(request, 401, NULL, "a token is needed: Authorization: Bearer TOKEN");
    } else if (own && known) {
        http_error(request, 405, NULL, "no route at this path has this method");
    } else {
        http_error(request, 404, NULL, "no route of the tenant has this path");
    }
    return NULL;
}

void api_route_call(struct http_request *request)
{
    const char *tenant = request->args[0];
    char *path = request->args[1] - 1;
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    size_t len = strlen(tenant);
    if (len >= sizeof name) {
        http_error(request, request->role == ROLE_NONE ? 401 : 404, NULL, "no such tenant");
        return;
    }
    memcpy(name, tenant, len + 1);
    *path = '/'; /* was cut off between the two names */
    const struct route *route = find_route(request, name, path);
    if (!route) {
        return;
    }
    memcpy(request->tenant_name, name, len + 1);
    request->tenant = request->tenant_name;
    struct route_call *call = wm_alloc_zero(1, sizeof *call);
    if (!call) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    request->data = call;
    request->data_free = route_call_free;
    struct function_version *version =
        catalogue_find(request->node->catalogue, request->tenant, route->function);
    call->is_command = version && version->kind != FUNCTION_FAASLET;
    call->is_public = route->is_public;
    function_version_put(version);
    memcpy(call->function, route->function, sizeof call->function);
    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_header, call);
    call->http = (struct call_http){
        .method = request->is_head ? "HEAD" : request->method,
        .path = path,
        .query = request->query,
        .headers = wm_view_of(call->headers.at, call->headers.len),
    };
    start(request, &(struct call_request){
                       .tenant = request->tenant,
                       .function = call->function,
                       .input = wm_view_of(request->body, request->body_len),
                       .http = &call->http,
                       .func_idx = UINT32_MAX,
                       .done = route_done,
                       .self = request,
                   });
}

/* Asynchronous calls */

static bool known(struct http_request *request, uint8_t id[ASYNC_ID_BYTES])
{
    if (async_id_parse(request->args[0], id) &&
        async_state(request->node->async, request->tenant, id) != ASYNC_UNKNOWN) {
        return true;
    }
    http_error(request, 404, NULL,
               "call: node %s has none of this id; its result may have been read, or have expired; "
               "of several nodes, the one that took the call has it",
               request->node->config->name);
    return false;
}

static void show_state(void *self)
{
    struct http_request *request = self;
    uint8_t id[ASYNC_ID_BYTES];
    if (known(request, id)) {
        http_answer_json(request, 200, async_show(request->node->async, request->tenant, id));
    }
}

void api_call_state(struct http_request *request)
{
    uint8_t id[ASYNC_ID_BYTES];
    uint64_t wait_ms = 0;
    if (!http_number(request, "wait_ms", UINT32_MAX, &wait_ms) || !known(request, id)) {
        return;
    }
    wait_ms = wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX : wait_ms;
    if (!wait_ms || async_state(request->node->async, request->tenant, id) == ASYNC_DONE ||
        async_wait(request->node->async, id, (uint32_t)wait_ms, show_state, request) != 0) {
        show_state(request);
    }
}

struct output {
    uint8_t id[ASYNC_ID_BYTES];
    uint8_t *bytes;
    size_t len;
};

static void output_free(void *data)
{
    struct output *output = data;
    wm_free(output->bytes);
    wm_free(output);
}

static void read_output(struct http_request *request)
{
    struct output *output = request->data;
    request->err = async_output(request->node->async, output->id, &output->bytes, &output->len,
                                &request->diag);
}

static void output_sent(struct http_request *request, bool whole)
{
    struct output *output = request->data;
    if (whole) {
        async_forget(request->node->async, output->id);
    }
}

static void have_output(struct http_request *request)
{
    struct output *output = request->data;
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
        return;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(output->len, output->bytes, MHD_RESPMEM_PERSISTENT);
    if (response) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, OCTETS);
    }
    if (!http_flag(request, "keep") && !request->is_head) {
        request->sent = output_sent;
    }
    request->answer_bytes = output->len;
    http_answer(request, 200, response);
}

void api_call_output(struct http_request *request)
{
    uint8_t id[ASYNC_ID_BYTES];
    if (!known(request, id)) {
        return;
    }
    if (async_state(request->node->async, request->tenant, id) != ASYNC_DONE) {
        http_error(request, 409, NULL, "call: not done yet; ask for its state with wait_ms");
        return;
    }
    struct output *output = wm_alloc_zero(1, sizeof *output);
    if (!output) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    memcpy(output->id, id, sizeof output->id);
    request->data = output;
    request->data_free = output_free;
    http_work(request, read_output, have_output);
}

struct receipt {
    uint64_t second;
    uint32_t index;
    uint8_t *bytes;
    size_t len;
};

static void receipt_free(void *data)
{
    struct receipt *receipt = data;
    wm_free(receipt->bytes);
    wm_free(receipt);
}

static void make_receipt(struct http_request *request)
{
    struct receipt *receipt = request->data;
    const struct node_hooks *hooks = &request->node->hooks;
    request->err = hooks->receipt(hooks->self, request->tenant, receipt->second, receipt->index,
                                  &receipt->bytes, &receipt->len, &request->diag);
}

static void have_receipt(struct http_request *request)
{
    struct receipt *receipt = request->data;
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
    } else {
        http_answer_bytes(request, 200, "application/cbor",
                          wm_view_of(receipt->bytes, receipt->len));
    }
}

/* "SECOND.INDEX", what Wardmote-Call tells of a call that was waited for. */
static bool record_parse(char *text, uint64_t *second, uint32_t *index)
{
    uint64_t number;
    char *dot = strchr(text, '.');
    if (!dot) {
        return false;
    }
    *dot = 0;
    bool ok = uri_number(text, INT64_MAX, second) && uri_number(dot + 1, UINT32_MAX, &number);
    *dot = '.';
    *index = ok ? (uint32_t)number : 0;
    return ok;
}

void api_call_receipt(struct http_request *request)
{
    uint8_t id[ASYNC_ID_BYTES];
    struct receipt *receipt;
    uint64_t second = 0;
    uint32_t index = 0;
    if (!request->node->hooks.receipt) {
        http_error(request, 501, NULL, "this node keeps no records of calls");
        return;
    }
    if (!record_parse(request->args[0], &second, &index)) {
        if (!known(request, id)) {
            return;
        }
        if (!async_record(request->node->async, id, &second, &index)) {
            http_error(request, 409, NULL, "call: not done yet");
            return;
        }
    }
    receipt = wm_alloc_zero(1, sizeof *receipt);
    if (!receipt) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    receipt->second = second;
    receipt->index = index;
    request->data = receipt;
    request->data_free = receipt_free;
    http_work(request, make_receipt, have_receipt);
}
