/* Tenants, tokens, routes and cron triggers: changes of the catalogue. */
#include <string.h>

#include "base/alloc.h"
#include "node/api.h"
#include "node/async.h"
#include "node/jsonx.h"
#include "node/purge.h"
#include "node/triggers.h"

static void json_free(void *data)
{
    json_decref(data);
}

/* The body, kept with the request until the change's turn; NULL: answered. */
static json_t *keep_json(struct http_request *request, const char *const *known)
{
    json_t *json = api_json(request);
    if (!json) {
        return NULL;
    }
    const char *unknown = jsonx_unknown(json, known);
    if (*unknown) {
        char shown[80];
        http_error(request, 400, NULL, "member %s: there is none here",
                   wm_diag_quote(shown, sizeof shown, unknown, strlen(unknown)));
        json_decref(json);
        return NULL;
    }
    request->data = json;
    request->data_free = json_free;
    return json;
}

static void answer_ok(struct http_request *request)
{
    http_answer_empty(request);
}

/* Tenants */

static int make_tenant(struct http_request *request, struct catalogue_change **out,
                       struct wm_diag *diag)
{
    const json_t *json = request->data;
    const struct tenant *present = catalogue_tenant(request->node->catalogue, request->args[0]);
    struct tenant tenant = {.name = ""};
    char *allow[CATALOGUE_ALLOW_MAX + 2] = {0};
    const char *wrong = "", *trust_class = jsonx_text(json, "trust_class");
    if (present) {
        tenant = *present;
    }
    if (!jsonx_copy(tenant.name, sizeof tenant.name, request->args[0]) ||
        (trust_class && !jsonx_copy(tenant.trust_class, sizeof tenant.trust_class, trust_class))) {
        return wm_diag_set(diag, WM_E_USAGE, "tenant: a name has at most %u characters",
                           CATALOGUE_NAME_BYTES_MAX);
    }
    if (!tenant_quota_decode(json_object_get(json, "quota"), &tenant.quota, &wrong)) {
        char shown[64];
        return wm_diag_set(diag, WM_E_USAGE, "quota: %s: not a quota, or out of range",
                           wm_diag_quote(shown, sizeof shown, wrong, strlen(wrong)));
    }
    const json_t *list = json_object_get(json, "allow");
    if (list) {
        size_t count = json_array_size(list);
        if (!json_is_array(list) || count > CATALOGUE_ALLOW_MAX) {
            return wm_diag_set(diag, WM_E_USAGE, "allow: a list of at most %u host:port",
                               CATALOGUE_ALLOW_MAX);
        }
        for (size_t i = 0; i < count; i++) {
            allow[i] = (char *)json_string_value(json_array_get(list, i));
            if (!allow[i]) {
                return wm_diag_set(diag, WM_E_USAGE, "allow: not a list of strings");
            }
        }
        tenant.allow = allow;
    }
    return catalogue_set_tenant(request->node->catalogue, &tenant, out, diag);
}

static void show_tenant(struct http_request *request)
{
    http_answer_json(request, 200,
                     catalogue_show_tenant(request->node->catalogue, request->args[0]));
}

static void run_purge(struct http_request *request)
{
    request->err = purge_tenant(request->node, request->args[0], &request->diag);
}

/* Before a tenant is made: nothing may be left of another one of its name. */
static void after_first_purge(struct http_request *request)
{
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
    } else {
        api_change(request, make_tenant, show_tenant);
    }
}

static void after_last_purge(struct http_request *request)
{
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
    } else {
        http_answer_empty(request);
    }
}

static void tenant_removed(struct http_request *request)
{
    async_forget_tenant(request->node->async, request->args[0]);
    triggers_changed(request->node->triggers);
    http_work(request, run_purge, after_last_purge);
}

void api_tenant_put(struct http_request *request)
{
    static const char *const known[] = {"trust_class", "quota", "allow", "name", NULL};
    if (!keep_json(request, known)) {
        return;
    }
    if (uri_name_ok(request->args[0]) &&
        !catalogue_tenant(request->node->catalogue, request->args[0])) {
        http_work(request, run_purge, after_first_purge);
    } else {
        api_change(request, make_tenant, show_tenant);
    }
}

void api_tenant_list(struct http_request *request)
{
    http_answer_json(
        request, 200,
        json_pack("{s:o}", "tenants", catalogue_show_tenants(request->node->catalogue)));
}

void api_tenant_show(struct http_request *request)
{
    api_show(request, catalogue_show_tenant(request->node->catalogue, request->args[0]), "tenant");
}

static int make_removal(struct http_request *request, struct catalogue_change **out,
                        struct wm_diag *diag)
{
    return catalogue_remove_tenant(request->node->catalogue, request->args[0], out, diag);
}

void api_tenant_delete(struct http_request *request)
{
    api_change(request, make_removal, tenant_removed);
}

/* Tokens: of the tenant in the path, which must be the token's own but for the node's
 * administrator; "" is the node's administrator himself. */

struct new_token {
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    enum role role;
    char text[CATALOGUE_TOKEN_BYTES + 1], id[CATALOGUE_ID_BYTES + 1];
};

static void new_token_free(void *data)
{
    explicit_bzero(data, sizeof(struct new_token));
    wm_free(data);
}

static bool own_tenant(struct http_request *request)
{
    if (request->node_admin || strcmp(request->args[0], request->tenant) == 0) {
        return true;
    }
    http_error(request, 403, NULL, "this token is of another tenant");
    return false;
}

static int make_token(struct http_request *request, struct catalogue_change **out,
                      struct wm_diag *diag)
{
    struct new_token *token = request->data;
    return catalogue_add_token(request->node->catalogue, token->tenant, token->role, token->text,
                               token->id, out, diag);
}

static void show_token(struct http_request *request)
{
    const struct new_token *token = request->data;
    http_answer_json(request, 201,
                     json_pack("{s:s, s:s, s:s}", "token", token->text, "id", token->id, "role",
                               role_text(token->role)));
}

static void start_token(struct http_request *request, const char *tenant, enum role role)
{
    struct new_token *token = wm_alloc_zero(1, sizeof *token);
    if (!token || !jsonx_copy(token->tenant, sizeof token->tenant, tenant)) {
        wm_free(token);
        http_error(request, 404, NULL, "tenant: there is none of that name");
        return;
    }
    token->role = role;
    request->data = token;
    request->data_free = new_token_free;
    api_change(request, make_token, show_token);
}

void api_token_make(struct http_request *request)
{
    enum role role;
    if (!own_tenant(request)) {
        return;
    }
    json_t *json = api_json(request);
    if (!json) {
        return;
    }
    bool ok = role_parse(jsonx_text(json, "role"), &role);
    json_decref(json);
    if (!ok) {
        http_error(request, 400, NULL, "role: one of invoke, deploy, admin");
        return;
    }
    start_token(request, request->args[0], role);
}

static void list_tokens(struct http_request *request, const char *tenant)
{
    http_answer_json(
        request, 200,
        json_pack("{s:o}", "tokens", catalogue_show_tokens(request->node->catalogue, tenant)));
}

void api_token_list(struct http_request *request)
{
    if (own_tenant(request)) {
        list_tokens(request, request->args[0]);
    }
}

static int make_token_removal(struct http_request *request, struct catalogue_change **out,
                              struct wm_diag *diag)
{
    bool of_node = !request->args[1];
    return catalogue_remove_token(request->node->catalogue, of_node ? "" : request->args[0],
                                  request->args[of_node ? 0 : 1], out, diag);
}

void api_token_delete(struct http_request *request)
{
    if (own_tenant(request)) {
        api_change(request, make_token_removal, answer_ok);
    }
}

void api_node_token_make(struct http_request *request)
{
    start_token(request, "", ROLE_ADMIN);
}

void api_node_token_list(struct http_request *request)
{
    list_tokens(request, "");
}

void api_node_token_delete(struct http_request *request)
{
    api_change(request, make_token_removal, answer_ok);
}

/* Routes */

static int make_route(struct http_request *request, struct catalogue_change **out,
                      struct wm_diag *diag)
{
    const json_t *json = request->data;
    struct route route = {.method = "*"};
    const char *method = jsonx_text(json, "method");
    if (!jsonx_copy(route.name, sizeof route.name, request->args[0]) ||
        (method && !jsonx_copy(route.method, sizeof route.method, method)) ||
        !jsonx_copy(route.path, sizeof route.path, jsonx_text(json, "path")) ||
        !jsonx_copy(route.function, sizeof route.function, jsonx_text(json, "function")) ||
        !jsonx_bool(json, "public", &route.is_public)) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "route: needs path and function, may have method and public");
    }
    return catalogue_set_route(request->node->catalogue, request->tenant, &route, out, diag);
}

void api_route_put(struct http_request *request)
{
    static const char *const known[] = {"method", "path", "function", "public", "name", NULL};
    if (keep_json(request, known)) {
        api_change(request, make_route, answer_ok);
    }
}

void api_route_list(struct http_request *request)
{
    http_answer_json(request, 200,
                     json_pack("{s:o}", "routes",
                               catalogue_show_routes(request->node->catalogue, request->tenant)));
}

static int make_route_removal(struct http_request *request, struct catalogue_change **out,
                              struct wm_diag *diag)
{
    return catalogue_remove_route(request->node->catalogue, request->tenant, request->args[0], out,
                                  diag);
}

void api_route_delete(struct http_request *request)
{
    api_change(request, make_route_removal, answer_ok);
}

/* Cron triggers */

static int make_cron(struct http_request *request, struct catalogue_change **out,
                     struct wm_diag *diag)
{
    const json_t *json = request->data;
    struct cron_trigger cron = {.input = (char *)""};
    const char *input = jsonx_text(json, "input");
    if (!jsonx_copy(cron.name, sizeof cron.name, request->args[0]) ||
        !jsonx_copy(cron.schedule, sizeof cron.schedule, jsonx_text(json, "schedule")) ||
        !jsonx_copy(cron.function, sizeof cron.function, jsonx_text(json, "function"))) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "cron: needs schedule and function, may have input, all texts");
    }
    cron.input = input ? (char *)input : cron.input;
    int err = triggers_check(cron.schedule, diag);
    return err ? err
               : catalogue_set_cron(request->node->catalogue, request->tenant, &cron, out, diag);
}

void api_cron_put(struct http_request *request)
{
    static const char *const known[] = {"schedule", "function", "input", "name", NULL};
    if (keep_json(request, known)) {
        api_change(request, make_cron, answer_ok);
    }
}

void api_cron_list(struct http_request *request)
{
    http_answer_json(request, 200,
                     json_pack("{s:o}", "crons",
                               catalogue_show_crons(request->node->catalogue, request->tenant)));
}

static int make_cron_removal(struct http_request *request, struct catalogue_change **out,
                             struct wm_diag *diag)
{
    return catalogue_remove_cron(request->node->catalogue, request->tenant, request->args[0], out,
                                 diag);
}

void api_cron_delete(struct http_request *request)
{
    api_change(request, make_cron_removal, answer_ok);
}
