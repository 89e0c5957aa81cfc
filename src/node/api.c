/* The table of routes, and what all handlers share. */
#include "node/api.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "node/changes.h"
#include "node/jsonx.h"
#include "node/metrics.h"

#define UPLOAD_QUERY \
    "kind memory timeout_ms cpu_ms output files depth chained idempotent fuel arg args library"
#define J API_JSON_BYTES_MAX

/* What is asked for most comes first. */
const struct http_route api_routes[] = {
    {"POST", "/v1/call/{function}", ACCESS_INVOKE, api_call, BODY_MEMORY, CALL_INPUT_BYTES_MAX,
     "call a function: body in, body out", "async timeout_ms"},
    {"*", "/r/{tenant}/{path...}", ACCESS_ROUTE, api_route_call, BODY_MEMORY, CALL_INPUT_BYTES_MAX,
     "call the function that a route leads to", NULL},
    {"GET", "/v1/calls/{id}", ACCESS_INVOKE, api_call_state, BODY_NONE, 0,
     "state of an asynchronous call", "wait_ms"},
    {"GET", "/v1/calls/{id}/output", ACCESS_INVOKE, api_call_output, BODY_NONE, 0,
     "its output; removed once read", "keep"},
    {"GET", "/v1/calls/{id}/receipt", ACCESS_INVOKE, api_call_receipt, BODY_NONE, 0,
     "its record and the path to the signed root", ""},
    {"PUT", "/v1/functions/{name}", ACCESS_DEPLOY, api_function_put, BODY_FILE,
     API_MODULE_BYTES_MAX, "upload a module as a new version", UPLOAD_QUERY},
    {"GET", "/v1/functions", ACCESS_INVOKE, api_function_list, BODY_NONE, 0, "list functions", ""},
    {"GET", "/v1/functions/{name}", ACCESS_INVOKE, api_function_show, BODY_NONE, 0,
     "versions, aliases, limits, names of environment and secrets", ""},
    {"DELETE", "/v1/functions/{name}", ACCESS_DEPLOY, api_function_delete, BODY_NONE, 0,
     "remove a function with all versions", ""},
    {"PUT", "/v1/functions/{name}/aliases/{alias}", ACCESS_DEPLOY, api_alias_put, BODY_MEMORY, J,
     "point an alias at a version", ""},
    {"DELETE", "/v1/functions/{name}/aliases/{alias}", ACCESS_DEPLOY, api_alias_delete, BODY_NONE,
     0, "remove an alias", ""},
    {"POST", "/v1/functions/{name}/rollback", ACCESS_DEPLOY, api_rollback, BODY_MEMORY, J,
     "latest to the version before", ""},
    {"PUT", "/v1/functions/{name}/env", ACCESS_DEPLOY, api_env_put, BODY_MEMORY, J,
     "replace the environment", ""},
    {"PUT", "/v1/functions/{name}/secrets/{secret}", ACCESS_DEPLOY, api_secret_put, BODY_MEMORY,
     CATALOGUE_SECRET_BYTES_MAX, "set a secret", ""},
    {"DELETE", "/v1/functions/{name}/secrets/{secret}", ACCESS_DEPLOY, api_secret_delete, BODY_NONE,
     0, "remove a secret", ""},
    {"GET", "/v1/functions/{name}/logs", ACCESS_DEPLOY, api_logs, BODY_NONE, 0,
     "lines of its calls, newest last", "since limit"},
    {"PUT", "/v1/routes/{name}", ACCESS_DEPLOY, api_route_put, BODY_MEMORY, J, "make a route", ""},
    {"GET", "/v1/routes", ACCESS_INVOKE, api_route_list, BODY_NONE, 0, "list routes", ""},
    {"DELETE", "/v1/routes/{name}", ACCESS_DEPLOY, api_route_delete, BODY_NONE, 0, "remove a route",
     ""},
    {"PUT", "/v1/crons/{name}", ACCESS_DEPLOY, api_cron_put, BODY_MEMORY, J,
     "call a function by schedule (UTC)", ""},
    {"GET", "/v1/crons", ACCESS_INVOKE, api_cron_list, BODY_NONE, 0, "list cron triggers", ""},
    {"DELETE", "/v1/crons/{name}", ACCESS_DEPLOY, api_cron_delete, BODY_NONE, 0,
     "remove a cron trigger", ""},
    {"GET", "/v1/state", ACCESS_INVOKE, api_state_list, BODY_NONE, 0, "keys and sizes",
     "prefix after limit"},
    {"GET", "/v1/state/{key...}", ACCESS_INVOKE, api_state_get, BODY_NONE, 0,
     "bytes of the global copy", "offset len"},
    {"PUT", "/v1/state/{key...}", ACCESS_INVOKE, api_state_put, BODY_MEMORY, API_STATE_BYTES_MAX,
     "write a value, or a part of it", "offset"},
    {"DELETE", "/v1/state/{key...}", ACCESS_INVOKE, api_state_delete, BODY_NONE, 0,
     "remove a value", ""},
    {"GET", "/v1/files/{path...}", ACCESS_DEPLOY, api_file_get, BODY_NONE, 0,
     "a read-global file, or a folder's list", ""},
    {"PUT", "/v1/files/{path...}", ACCESS_DEPLOY, api_file_put, BODY_FILE, API_FILE_BYTES_MAX,
     "write a file", ""},
    {"DELETE", "/v1/files/{path...}", ACCESS_DEPLOY, api_file_delete, BODY_NONE, 0, "remove a file",
     ""},
    {"PUT", "/v1/tenants/{name}", ACCESS_NODE, api_tenant_put, BODY_MEMORY, J,
     "make or change a tenant", ""},
    {"GET", "/v1/tenants", ACCESS_NODE, api_tenant_list, BODY_NONE, 0, "list tenants", ""},
    {"GET", "/v1/tenants/{name}", ACCESS_NODE, api_tenant_show, BODY_NONE, 0,
     "quota and allow-list", ""},
    {"DELETE", "/v1/tenants/{name}", ACCESS_NODE, api_tenant_delete, BODY_NONE, 0,
     "remove a tenant with all it has", ""},
    {"POST", "/v1/tenants/{name}/tokens", ACCESS_ADMIN, api_token_make, BODY_MEMORY, J,
     "make a token; it is shown once", ""},
    {"GET", "/v1/tenants/{name}/tokens", ACCESS_ADMIN, api_token_list, BODY_NONE, 0,
     "ids and roles of tokens", ""},
    {"DELETE", "/v1/tenants/{name}/tokens/{id}", ACCESS_ADMIN, api_token_delete, BODY_NONE, 0,
     "revoke a token", ""},
    {"POST", "/v1/node/tokens", ACCESS_NODE, api_node_token_make, BODY_NONE, 0,
     "make a token of the node's administrator", ""},
    {"GET", "/v1/node/tokens", ACCESS_NODE, api_node_token_list, BODY_NONE, 0, "list them", ""},
    {"DELETE", "/v1/node/tokens/{id}", ACCESS_NODE, api_node_token_delete, BODY_NONE, 0,
     "revoke one", ""},
    {"GET", "/v1/node", ACCESS_NODE, api_node_show, BODY_NONE, 0,
     "isolation in force, workers, peers, scheduler", ""},
    {"POST", "/v1/node/drain", ACCESS_NODE, api_drain, BODY_NONE, 0,
     "no new calls; answers when the running ones have ended", ""},
    {"POST", "/v1/node/backup", ACCESS_NODE, api_backup, BODY_MEMORY, J,
     "a consistent copy on the node's machine", ""},
    {"GET", "/v1/key", ACCESS_KNOWN, api_key, BODY_NONE, 0, "the node's public key", ""},
    {"GET", "/v1/openapi.json", ACCESS_KNOWN, api_openapi_show, BODY_NONE, 0, "this document", ""},
    {"GET", "/metrics", ACCESS_METRICS, api_metrics, BODY_NONE, 0, "counts for Prometheus", ""},
    {"GET", "/healthz", ACCESS_ANYBODY, api_healthz, BODY_NONE, 0, "200 while calls are taken", ""},
};
const size_t api_route_count = WM_COUNT_OF(api_routes);

/* Compares without changing anything; args are set to where each name starts, lens to its length.
 */
static bool match_path(const char *template, const char *path, const char *args[HTTP_ARGS_MAX],
                       size_t lens[HTTP_ARGS_MAX], unsigned *count)
{
    *count = 0;
    while (*template) {
        if (*template != '{') {
            if (*template ++ != *path++) {
                return false;
            }
            continue;
        }
        const char *close = strchr(template, '}');
        WM_ASSERT(close && *count < HTTP_ARGS_MAX);
        bool rest = close[-1] == '.';
        size_t len = rest ? strlen(path) : strcspn(path, "/");
        if (len == 0 && !(rest && strncmp(template, "{path", 5) == 0)) {
            return false;
        }
        args[*count] = path;
        lens[(*count)++] = len;
        path += len;
        template = close + 1;
    }
    return !*path;
}

const struct http_route *api_match(const char *method, char *path, char *args[HTTP_ARGS_MAX],
                                   bool *path_known)
{
    const char *starts[HTTP_ARGS_MAX];
    size_t lens[HTTP_ARGS_MAX];
    unsigned count;
    *path_known = false;
    for (size_t i = 0; i < WM_COUNT_OF(api_routes); i++) {
        const struct http_route *route = &api_routes[i];
        if (!match_path(route->path, path, starts, lens, &count)) {
            continue;
        }
        if (route->method[0] != '*' && strcmp(route->method, method) != 0) {
            *path_known = true;
            continue;
        }
        for (unsigned j = 0; j < count; j++) {
            args[j] = path + (starts[j] - path);
            args[j][lens[j]] = 0;
        }
        return route;
    }
    return NULL;
}

void api_allowed(const char *path, char out[128])
{
    const char *starts[HTTP_ARGS_MAX];
    size_t lens[HTTP_ARGS_MAX];
    unsigned count;
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < WM_COUNT_OF(api_routes); i++) {
        if (match_path(api_routes[i].path, path, starts, lens, &count) && at < 100) {
            bool get = strcmp(api_routes[i].method, "GET") == 0;
            at += (size_t)snprintf(out + at, 128 - at, "%s%s%s", at ? ", " : "",
                                   api_routes[i].method, get ? ", HEAD" : "");
        }
    }
    snprintf(out + at, 128 - at, "%sOPTIONS", at ? ", " : "");
}

/* Shared by the handlers */

json_t *api_json(struct http_request *request)
{
    json_error_t error;
    json_t *json =
        json_loadb((const char *)request->body, request->body_len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(json)) {
        http_error(request, 400, NULL,
                   json ? "the body is not a JSON object%s (line %d, column %d)"
                        : "the body is not JSON: %s (line %d, column %d)",
                   json ? "" : error.text, json ? 1 : error.line, json ? 1 : error.column);
        json_decref(json);
        return NULL;
    }
    return json;
}

bool api_need_tenant(struct http_request *request)
{
    if (catalogue_tenant(request->node->catalogue, request->tenant)) {
        return true;
    }
    char shown[80];
    http_error(request, 404, NULL, "tenant %s: there is none",
               wm_diag_quote(shown, sizeof shown, request->tenant, strlen(request->tenant)));
    return false;
}

void api_show(struct http_request *request, json_t *json, const char *what)
{
    char shown[80];
    if (json) {
        http_answer_json(request, 200, json);
    } else {
        http_error(request, 404, NULL, "%s %s: there is none", what,
                   wm_diag_quote(shown, sizeof shown, request->args[0] ? request->args[0] : "",
                                 request->args[0] ? strlen(request->args[0]) : 0));
    }
}

/* Changes of the catalogue, one after the other. */

static void change_next(struct node *node);

static void change_commit(struct http_request *request)
{
    request->err = catalogue_change_commit(request->node->change, &request->diag);
}

static void change_leave(struct node *node)
{
    struct http_request *request = node->change_first;
    node->change_first = request->next;
    request->next = NULL;
    if (!node->change_first) {
        node->change_last = NULL;
    }
}

static void change_after(struct http_request *request)
{
    struct node *node = request->node;
    catalogue_change_apply(node->change, request->err == 0);
    change_leave(node);
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
    } else {
        metrics_add(node->metrics, METRICS_CHANGES, 1);
        request->change_done(request);
    }
    change_next(node);
}

/* Starts the first that has something to commit. Changes of other nodes (changes.h) take turns. */
static void change_next(struct node *node)
{
    if (node->turn_working || (!node->turn_was_ours && changes_start(node))) {
        return;
    }
    node->turn_was_ours = false;
    while (node->change_first) {
        struct http_request *request = node->change_first;
        struct wm_diag diag = WM_DIAG_INIT;
        int err = request->change_make(request, &node->change, &diag);
        if (err == 0) {
            http_work(request, change_commit, change_after);
            return;
        }
        change_leave(node);
        if (err < 0) {
            http_error_diag(request, err, &diag);
        }
    }
    (void)changes_start(node);
}

void api_changes_go(struct node *node)
{
    change_next(node);
}

void api_change(struct http_request *request, api_make_fn *make, http_handler *done)
{
    struct node *node = request->node;
    bool idle = !node->change_first;
    request->change_make = make;
    request->change_done = done;
    request->next = NULL;
    if (node->change_last) {
        node->change_last->next = request;
    } else {
        node->change_first = request;
    }
    node->change_last = request;
    if (idle) {
        change_next(node);
    }
}

/* The OpenAPI document, from the table. */

static json_t *parameters_of(const struct http_route *route)
{
    json_t *list = json_array();
    for (const char *at = strchr(route->path, '{'); at; at = strchr(at + 1, '{')) {
        size_t len = strcspn(at + 1, ".}");
        json_t *one = json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", at + 1, len, "in", "path",
                                "required", 1, "schema", "type", "string");
        (void)json_array_append_new(list, one);
    }
    for (const char *at = route->query; at && *at;) {
        size_t len = strcspn(at, " ");
        json_t *one = json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", at, len, "in", "query",
                                "required", 0, "schema", "type", "string");
        (void)json_array_append_new(list, one);
        at += len + (at[len] == ' ');
    }
    return list;
}

static const char *access_text(enum http_access access)
{
    static const char *const texts[] = {[ACCESS_ANYBODY] = "anybody",
                                        [ACCESS_KNOWN] = "loopback or any token",
                                        [ACCESS_METRICS] = "loopback or node",
                                        [ACCESS_ROUTE] = "as the route says",
                                        [ACCESS_INVOKE] = "invoke",
                                        [ACCESS_DEPLOY] = "deploy",
                                        [ACCESS_ADMIN] = "admin",
                                        [ACCESS_NODE] = "node"};
    return texts[access];
}

static json_t *operation_of(const struct http_route *route)
{
    json_t *operation =
        json_pack("{s:s, s:s, s:o, s:{s:{s:s}, s:{s:s}}}", "summary", route->summary,
                  "x-wardmote-access", access_text(route->access), "parameters",
                  parameters_of(route), "responses", "default", "description",
                  "an error: {\"error\": {\"code\", \"message\"}}", "2XX", "description", "done");
    if (operation && route->body != BODY_NONE) {
        jsonx_set(operation, "requestBody",
                  json_pack("{s:{s:{s:{s:s, s:I}}}}", "content", "*/*", "schema", "type", "string",
                            "maxLength", (json_int_t)route->body_max));
    }
    if (operation && route->access != ACCESS_ANYBODY) {
        jsonx_set(operation, "security", json_pack("[{s:[]}]", "token"));
    }
    return operation;
}

json_t *api_openapi(void)
{
    static const char *const any[] = {"get", "post", "put", "delete", "patch"};
    json_t *paths = json_object();
    for (size_t i = 0; i < WM_COUNT_OF(api_routes); i++) {
        const struct http_route *route = &api_routes[i];
        char path[128], method[8];
        size_t at = 0;
        bool inside = false; /* OpenAPI has no word for a rest with slashes */
        for (const char *c = route->path; *c && at < sizeof path - 1; c++) {
            inside = *c == '{' || (inside && *c != '}');
            if (!inside || *c != '.') {
                path[at++] = *c;
            }
        }
        path[at] = 0;
        json_t *item = json_object_get(paths, path);
        if (!item) {
            item = json_object();
            (void)json_object_set_new(paths, path, item);
        }
        if (route->method[0] == '*') {
            for (unsigned j = 0; j < WM_COUNT_OF(any); j++) {
                jsonx_set(item, any[j], operation_of(route));
            }
            continue;
        }
        for (at = 0; route->method[at]; at++) {
            method[at] = (char)(route->method[at] | 0x20);
        }
        method[at] = 0;
        jsonx_set(item, method, operation_of(route));
    }
    return json_pack("{s:s, s:{s:s, s:s}, s:o, s:{s:{s:{s:s, s:s}}}}", "openapi", "3.0.3", "info",
                     "title", "Wardmote node", "version", "1", "paths", paths, "components",
                     "securitySchemes", "token", "type", "http", "scheme", "bearer");
}

void api_openapi_show(struct http_request *request)
{
    http_answer_json(request, 200, api_openapi());
}
