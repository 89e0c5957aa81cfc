/* The node itself: health, metrics, drain, backup, key. */
#include <string.h>

#include "base/alloc.h"
#include "host/file.h"
#include "node/api.h"
#include "node/async.h"
#include "node/backup.h"
#include "node/calls.h"
#include "node/jsonx.h"
#include "node/log.h"
#include "node/metrics.h"

void api_healthz(struct http_request *request)
{
    bool up = request->node->state == NODE_RUNNING;
    http_answer_bytes(request, up ? 200 : 503, "text/plain",
                      wm_view_str(up                                      ? "ok\n"
                                  : request->node->state == NODE_STARTING ? "starting\n"
                                                                          : "draining\n"));
}

void api_metrics(struct http_request *request)
{
    size_t len = 0;
    char *text = metrics_text(request->node, &len);
    if (!text) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    http_answer_bytes(request, 200, "text/plain; version=0.0.4", wm_view_of(text, len));
    wm_free(text);
}

void api_key(struct http_request *request)
{
    const struct node_hooks *hooks = &request->node->hooks;
    if (!hooks->public_key) {
        http_error(request, 501, NULL, "this node signs nothing");
        return;
    }
    http_answer_json(request, 200, json_pack("{s:s}", "key", hooks->public_key(hooks->self)));
}

void api_node_show(struct http_request *request)
{
    static const char *const states[] = {"starting", "running", "draining", "drained"};
    struct node *node = request->node;
    struct node_calls_stats stats = {0};
    node_calls_stats(node, &stats);
    json_t *calls =
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "started", (json_int_t)stats.started, "running",
                  (json_int_t)stats.running, "queued", (json_int_t)stats.queued, "cold",
                  (json_int_t)stats.cold, "handed_on", (json_int_t)stats.handed_on);
    json_t *listen = json_array();
    for (unsigned i = 0; http_address(node->http, i); i++) {
        (void)json_array_append_new(listen, json_string(http_address(node->http, i)));
    }
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:I, s:I}", "name", node->config->name, "version",
        WARDMOTE_VERSION, "state", states[node->state], "tier", node->config->tier, "started_ns",
        (json_int_t)node->started_ns, "listen", listen, "calls", calls, "async_pending",
        (json_int_t)async_pending(node->async), "async_kept", (json_int_t)async_kept(node->async));
    if (json && node->hooks.describe) {
        node->hooks.describe(node->hooks.self, json);
    }
    http_answer_json(request, 200, json);
}

/* Draining */

struct drain {
    struct node_waiter waiter;
    struct http_request *request;
};

static void drained(struct node_waiter *waiter)
{
    struct drain *drain = (void *)waiter;
    http_answer_json(drain->request, 200, json_pack("{s:s}", "state", "drained"));
}

void api_drain(struct http_request *request)
{
    struct drain *drain = wm_alloc_zero(1, sizeof *drain);
    if (!drain) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    drain->waiter.drained = drained;
    drain->request = request;
    request->data = drain;
    request->data_free = wm_free;
    node_drain(request->node, &drain->waiter);
}

/* Backup */

static void run_backup(struct http_request *request)
{
    const json_t *json = request->data;
    request->err = backup_write(request->node->dir_fd, request->node->kv, jsonx_text(json, "path"),
                                &request->diag);
}

static void json_free(void *data)
{
    json_decref(data);
}

/* The node's administrator chose the path, and may read it in an error. */
static void after_backup(struct http_request *request)
{
    if (request->err) {
        http_error(request, request->err == WM_E_BUSY ? 409 : 500, NULL, "%s",
                   wm_diag_text(&request->diag));
        return;
    }
    http_answer_json(request, 200, json_pack("{s:s}", "path", jsonx_text(request->data, "path")));
}

void api_backup(struct http_request *request)
{
    json_t *json = api_json(request);
    const char *path = jsonx_text(json, "path");
    if (!json) {
        return;
    }
    request->data = json;
    request->data_free = json_free;
    if (!path || path[0] != '/') {
        http_error(request, 400, NULL, "path: a full path on the node's machine");
        return;
    }
    http_work(request, run_backup, after_backup);
}
