/* A test double of calls.h, without workers: what a call does is its function's name.
 *
 *     echo           its input
 *     later          its input, in a later turn of the loop, many calls at once (for measuring)
 *     sleep          input: milliseconds; then "slept"
 *     fail           return code 3, "failed"
 *     trap, refuse, busy, limit, died    that end
 *     twice          busy at first, then its input
 *     http           of a route: method, path, query and headers, as text; status 201 and a header
 *     cgi            a CGI answer
 *     log            writes its input to the function's log
 *
 * The function must be in the catalogue, as for the real one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "host/file.h"
#include "node/calls.h"
#include "node/catalogue.h"
#include "node/logs.h"
#include "node/node.h"
#include "node/text.h"

struct sleeper {
    struct sleeper *next;
    struct node_calls *calls;
    uv_timer_t timer;
    uint64_t id;
    call_done_fn *done;
    void *self;
    bool ended;
};

struct later {
    uint64_t id;
    call_done_fn *done;
    void *self;
    struct wm_view input;
};

struct node_calls {
    struct node *node;
    WM_VEC(struct later) later;
    uv_async_t async;
    struct node_calls_stats stats;
    uint64_t next_id;
    struct sleeper *sleepers;
    bool was_asked;
    uint32_t open; /* timers that are not closed yet */
    void (*drained)(void *self);
    void *drained_self;
};

static void end(struct node_calls *calls, uint64_t id, call_done_fn *done, void *self,
                const struct call_result *result)
{
    calls->stats.ended[result->end]++;
    done(self, id, result);
}

static void on_async(uv_async_t *async)
{
    struct node_calls *calls = async->data;
    for (size_t i = 0; i < calls->later.count; i++) {
        struct later *later = &calls->later.items[i];
        end(calls, later->id, later->done, later->self,
            &(struct call_result){.end = CALL_END_OK, .message = "", .output = later->input});
    }
    calls->later.count = 0;
}

static void on_async_closed(uv_handle_t *handle)
{
    struct node_calls *calls = uv_handle_get_data(handle);
    calls->open--;
}

int node_calls_open(struct node *node, struct wm_diag *diag)
{
    struct node_calls *calls = wm_alloc_zero(1, sizeof *calls);
    if (!calls) {
        return wm_diag_default(diag, -ENOMEM, "calls");
    }
    calls->node = node;
    calls->next_id = 1;
    (void)uv_async_init(node->loop, &calls->async, on_async);
    calls->async.data = calls;
    calls->open = 1;
    node->calls = calls;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct sleeper *sleeper = uv_handle_get_data(handle);
    sleeper->calls->open--;
    wm_free(sleeper);
}

static void wake(struct sleeper *sleeper, enum call_end how)
{
    struct node_calls *calls = sleeper->calls;
    struct sleeper **at = &calls->sleepers;
    while (*at != sleeper) {
        at = &(*at)->next;
    }
    *at = sleeper->next;
    calls->stats.running--;
    end(calls, sleeper->id, sleeper->done, sleeper->self,
        &(struct call_result){.end = how,
                              .message = how == CALL_END_OK ? "" : "ended early",
                              .output = wm_view_str(how == CALL_END_OK ? "slept" : "")});
    uv_close((uv_handle_t *)&sleeper->timer, on_closed);
    if (!calls->sleepers && calls->drained) {
        calls->drained(calls->drained_self);
        calls->drained = NULL;
    }
}

static void on_timer(uv_timer_t *timer)
{
    wake(uv_handle_get_data((uv_handle_t *)timer), CALL_END_OK);
}

void node_calls_close(struct node *node)
{
    struct node_calls *calls = node->calls;
    while (calls->sleepers) {
        wake(calls->sleepers, CALL_END_CANCELLED);
    }
    on_async(&calls->async);
    uv_close((uv_handle_t *)&calls->async, on_async_closed);
    while (calls->open) {
        (void)uv_run(node->loop, UV_RUN_ONCE);
    }
    wm_vec_fini(&calls->later);
    wm_free(calls);
    node->calls = NULL;
}

void node_calls_drain(struct node *node, void (*drained)(void *self), void *self)
{
    struct node_calls *calls = node->calls;
    if (calls->sleepers) {
        calls->drained = drained;
        calls->drained_self = self;
    } else {
        drained(self);
    }
}

static bool sleep_for(struct node_calls *calls, uint64_t id, const struct call_request *request)
{
    char text[16] = {0};
    struct sleeper *sleeper = wm_alloc_zero(1, sizeof *sleeper);
    if (!sleeper) {
        return false;
    }
    memcpy(text, request->input.ptr ? request->input.ptr : (const uint8_t *)"",
           request->input.len < sizeof text ? request->input.len : sizeof text - 1);
    *sleeper = (struct sleeper){.next = calls->sleepers,
                                .calls = calls,
                                .id = id,
                                .done = request->done,
                                .self = request->self};
    calls->sleepers = sleeper;
    calls->open++;
    calls->stats.running++;
    (void)uv_timer_init(calls->node->loop, &sleeper->timer);
    sleeper->timer.data = sleeper;
    (void)uv_timer_start(&sleeper->timer, on_timer, strtoul(text, NULL, 10), 0);
    return true;
}

static void answer_http(const struct call_request *request, struct text *out,
                        struct call_result *result)
{
    const struct call_http *http = request->http;
    if (http) {
        text_format(out, "%s %s ?%s\n%.*s\n%.*s", http->method, http->path, http->query,
                    (int)http->headers.len, (const char *)http->headers.ptr,
                    (int)request->input.len, (const char *)request->input.ptr);
        result->status = 201;
        result->headers = wm_view_str("X-Guest: yes\nContent-Type: text/plain\nWardmote-Call: no\n"
                                      "Bad Name: x\nConnection: close\n");
    }
    result->output = wm_view_of(out->at, out->len);
}

uint64_t node_calls_start(struct node *node, const struct call_request *request)
{
    static const struct {
        const char *name;
        enum call_end end;
    } ends[] = {{"trap", CALL_END_TRAP},        {"refuse", CALL_END_REFUSED},
                {"busy", CALL_END_OVERLOADED},  {"limit", CALL_END_LIMIT},
                {"died", CALL_END_WORKER_DIED}, {"late", CALL_END_TIMEOUT}};
    struct node_calls *calls = node->calls;
    uint64_t id = calls->next_id++;
    struct call_result result = {.end = CALL_END_OK, .message = "", .cold = id == 1};
    struct text text = {0};
    struct function_version *version =
        catalogue_find(node->catalogue, request->tenant, request->function);
    const char *name = version ? version->name : "";
    calls->stats.started++;
    (void)snprintf(result.node, sizeof result.node, "%s", node->config->name);
    if (node->state != NODE_RUNNING) {
        result.end = CALL_END_REFUSED;
        result.message = "the node is draining";
    } else if (!version) {
        result.end = CALL_END_NOT_FOUND;
        result.message = "function: there is none of this name";
    } else if (strcmp(name, "sleep") == 0 && sleep_for(calls, id, request)) {
        function_version_put(version);
        return id;
    } else if (strcmp(name, "later") == 0 &&
               wm_vec_push(&calls->later,
                           (struct later){id, request->done, request->self, request->input}) == 0) {
        (void)uv_async_send(&calls->async);
        function_version_put(version);
        return id;
    } else if (strcmp(name, "fail") == 0) {
        result.end = CALL_END_FAILED;
        result.return_code = 3;
        result.output = wm_view_str("failed");
    } else if (strcmp(name, "twice") == 0 && !calls->was_asked) {
        calls->was_asked = true;
        result.end = CALL_END_OVERLOADED;
        result.message = "the first time";
        result.retry_after_ms = 700;
    } else if (strcmp(name, "http") == 0) {
        answer_http(request, &text, &result);
    } else if (strcmp(name, "cgi") == 0) {
        result.output = wm_view_str("Status: 202 Fine\r\nContent-Type: text/html\r\n\r\n<p>hello");
    } else if (strcmp(name, "log") == 0) {
        logs_add(node->logs, request->tenant, name, id, host_realtime_ns(), request->input);
    } else {
        result.output = request->input;
        for (unsigned i = 0; i < WM_COUNT_OF(ends); i++) {
            if (strcmp(name, ends[i].name) == 0) {
                result.end = ends[i].end;
                result.output = (struct wm_view){0};
                result.message = "as asked";
                result.backtrace = wm_view_str("0: f\n");
                result.retry_after_ms = 100;
            }
        }
    }
    function_version_put(version);
    end(calls, id, request->done, request->self, &result);
    text_fini(&text);
    return id;
}

void node_calls_cancel(struct node *node, uint64_t id)
{
    for (struct sleeper *sleeper = node->calls->sleepers; sleeper; sleeper = sleeper->next) {
        if (sleeper->id == id) {
            wake(sleeper, CALL_END_CANCELLED);
            return;
        }
    }
}

void node_calls_stats(struct node *node, struct node_calls_stats *out)
{
    *out = node->calls->stats;
}
