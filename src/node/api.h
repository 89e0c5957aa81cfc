/* api.h: the routes of the HTTP interface (doc/api.md): one table, from which dispatch,
 * /v1/openapi.json and the tests are made. Handlers are in api_*.c, one file a subject. */
#ifndef WM_NODE_API_H
#define WM_NODE_API_H

#include <jansson.h>

#include "node/http.h"

#define API_DEFAULT_TENANT "default" /* whom the node's administrator means without ?tenant= */
#define API_JSON_BYTES_MAX (1u << 20)
#define API_MODULE_BYTES_MAX (UINT64_C(1) << 30)
#define API_STATE_BYTES_MAX (UINT64_C(64) << 20) /* of one request */
#define API_FILE_BYTES_MAX (UINT64_C(1) << 30)

extern const struct http_route api_routes[];
extern const size_t api_route_count;

/* Cuts `path` at the names; args beyond the route's stay as they are. NULL: none. */
const struct http_route *api_match(const char *method, char *path, char *args[HTTP_ARGS_MAX],
                                   bool *path_known);
void api_allowed(const char *path, char out[128]); /* "GET, PUT" */
json_t *api_openapi(void);

/* The body as a JSON object; NULL: answered. */
json_t *api_json(struct http_request *request);
/* A change of the catalogue: `make` when it is its turn (on the loop thread), commit in another
 * thread, apply, then `done` to answer. Errors are answered here. `make` may answer by itself and
 * return 1. */
void api_change(struct http_request *request, api_make_fn *make, http_handler *done);
/* Goes on with the queue, after a change that was not in it (changes.h). */
void api_changes_go(struct node *node);
/* 404 unless the request's tenant is there. */
bool api_need_tenant(struct http_request *request);
/* An answer of a list or object that may be NULL: not there (404) or no memory. */
void api_show(struct http_request *request, json_t *json, const char *what);

http_handler api_call, api_route_call, api_call_state, api_call_output, api_call_receipt;
http_handler api_function_put, api_function_list, api_function_show, api_function_delete,
    api_alias_put, api_alias_delete, api_rollback, api_env_put, api_secret_put, api_secret_delete,
    api_logs;
http_handler api_tenant_put, api_tenant_list, api_tenant_show, api_tenant_delete, api_token_make,
    api_token_list, api_token_delete, api_node_token_make, api_node_token_list,
    api_node_token_delete;
http_handler api_route_put, api_route_list, api_route_delete, api_cron_put, api_cron_list,
    api_cron_delete;
http_handler api_state_list, api_state_get, api_state_put, api_state_delete;
http_handler api_file_get, api_file_put, api_file_delete;
http_handler api_node_show, api_drain, api_backup, api_key, api_metrics, api_healthz,
    api_openapi_show;

#endif
