/* Uploads, aliases, environment, secrets, logs. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/api.h"
#include "node/jsonx.h"
#include "node/log.h"
#include "node/logs.h"
#include "node/metrics.h"
#include "node/prepare.h"

#define UPLOADS_MAX 8u /* at once; each may run the compiler */

struct upload {
    struct function_version version;
    char *args[CATALOGUE_STRINGS_MAX + 1]; /* borrowed from the request's line, or from tail */
    size_t arg_count;
    char *tail;          /* those at the body's end, each ended by NUL */
    uint64_t tail_bytes; /* 0: none */
    enum prepare_kind kind;
    bool library;
    uint32_t number;
};

static void upload_free(void *data)
{
    struct upload *upload = data;
    catalogue_strings_free(upload->version.env);
    wm_free(upload->tail);
    wm_free(upload);
}

static bool take_limits(struct http_request *request, struct call_limits *limits)
{
    uint64_t timeout_ms = 0, cpu_ms = 0, depth = 0, chained = 0;
    if (!http_number(request, "memory", UINT64_C(4) << 30, &limits->memory_bytes) ||
        !http_number(request, "output", CALL_OUTPUT_BYTES_MAX, &limits->output_bytes) ||
        !http_number(request, "files", INT64_MAX, &limits->files_bytes) ||
        !http_number(request, "timeout_ms", UINT32_MAX, &timeout_ms) ||
        !http_number(request, "cpu_ms", UINT32_MAX, &cpu_ms) ||
        !http_number(request, "depth", CALL_DEPTH_MAX, &depth) ||
        !http_number(request, "chained", CALL_CHAINED_MAX, &chained)) {
        return false;
    }
    limits->timeout_ms = (uint32_t)timeout_ms;
    limits->cpu_ms = (uint32_t)cpu_ms;
    limits->depth = (uint32_t)depth;
    limits->chained = (uint32_t)chained;
    call_limits_default(limits);
    return true;
}

static bool take_kind(struct http_request *request, enum prepare_kind *out)
{
    static const char *const names[] = {"auto", "command", "faaslet", "suspended"};
    const char *text = http_param(request, "kind");
    for (unsigned i = 0; text && i < WM_COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum prepare_kind)i;
            return true;
        }
    }
    if (text) {
        http_error(request, 400, NULL, "kind: one of auto, command, faaslet, suspended");
    }
    return !text;
}

static int hash_file(int fd, uint64_t bytes, uint8_t out[32])
{
    void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        return -errno;
    }
    wm_sha256_once(wm_view_of(map, bytes), out);
    munmap(map, bytes);
    return 0;
}

/* Arguments that are too long for the request's line come behind the module: cut off there, and put
 * before the others. */
static int take_tail(struct http_request *request, struct upload *upload)
{
    struct function_version *version = &upload->version;
    uint64_t len = upload->tail_bytes;
    upload->tail = wm_alloc(len);
    if (!upload->tail) {
        return -ENOMEM;
    }
    ssize_t got = pread(request->body_fd, upload->tail, len, (off_t)version->module_bytes);
    if (got < 0 || (uint64_t)got != len) {
        return got < 0 ? -errno : -EIO;
    }
    if (upload->tail[len - 1] != 0) {
        return wm_diag_set(&request->diag, WM_E_USAGE,
                           "args: the body's last %llu bytes do not end with NUL",
                           (unsigned long long)len);
    }
    size_t count = 0;
    for (uint64_t at = 0; at < len; at += strlen(upload->tail + at) + 1) {
        count++;
    }
    if (count + upload->arg_count > CATALOGUE_STRINGS_MAX) {
        return wm_diag_set(&request->diag, WM_E_LIMIT, "args: more than %u arguments",
                           CATALOGUE_STRINGS_MAX);
    }
    memmove(upload->args + count, upload->args, upload->arg_count * sizeof *upload->args);
    char *at = upload->tail;
    for (size_t i = 0; i < count; i++) {
        upload->args[i] = at;
        at += strlen(at) + 1;
    }
    int err = ftruncate(request->body_fd, (off_t)version->module_bytes) == 0 ? 0 : -errno;
    return err ? err : hash_file(request->body_fd, version->module_bytes, version->module_sha256);
}

static void upload_run(struct http_request *request)
{
    struct upload *upload = request->data;
    if (upload->tail_bytes) {
        request->err =
            wm_diag_default(&request->diag, take_tail(request, upload), upload->version.name);
        if (request->err) {
            return;
        }
    }
    request->err = prepare_module(request->node, request->body_fd, upload->kind, upload->library,
                                  &upload->version, &request->diag);
}

static int make_version(struct http_request *request, struct catalogue_change **out,
                        struct wm_diag *diag)
{
    struct upload *upload = request->data;
    return catalogue_add_version(request->node->catalogue, &upload->version, upload->library,
                                 &upload->number, out, diag);
}

static void upload_done(struct http_request *request)
{
    const struct upload *upload = request->data;
    metrics_add(request->node->metrics, METRICS_UPLOADS, 1);
    log_line(LOG_INFO, "functions", "tenant=%s function=%s version=%u kind=%s bytes=%llu",
             upload->version.tenant, upload->version.name, upload->number,
             function_kind_text(upload->version.kind),
             (unsigned long long)upload->version.module_bytes);
    char module[65];
    jsonx_hex(module, upload->version.module_sha256, 32);
    http_answer_json(request, 201,
                     json_pack("{s:s, s:I, s:s, s:s, s:I, s:I}", "name", upload->version.name,
                               "version", (json_int_t)upload->number, "kind",
                               function_kind_text(upload->version.kind), "module", module,
                               "module_bytes", (json_int_t)upload->version.module_bytes,
                               "image_bytes", (json_int_t)upload->version.image_bytes));
}

static void upload_prepared(struct http_request *request)
{
    request->node->uploads--;
    if (request->err) {
        metrics_add(request->node->metrics, METRICS_UPLOADS_FAILED, 1);
        if (request->err == WM_E_LIMIT || request->err == WM_E_DENIED) {
            http_error(request, 422, NULL, "%s", wm_diag_text(&request->diag));
        } else {
            http_error_diag(request, request->err, &request->diag);
        }
        return;
    }
    api_change(request, make_version, upload_done);
}

void api_function_put(struct http_request *request)
{
    struct node *node = request->node;
    char shown[80];
    if (!api_need_tenant(request)) {
        return;
    }
    const char *name = request->args[0];
    if (!uri_name_ok(name)) {
        http_error(request, 400, NULL,
                   "function %s: a name is 1 to 64 of a-z A-Z 0-9 - _ . and starts with a letter "
                   "or digit",
                   wm_diag_quote(shown, sizeof shown, name, strlen(name)));
        return;
    }
    if (request->body_len == 0) {
        http_error(request, 400, NULL, "the body is the module; it is empty");
        return;
    }
    if (node->state != NODE_RUNNING) {
        http_error(request, 503, NULL, "the node is draining");
        return;
    }
    if (node->uploads >= UPLOADS_MAX) {
        http_error(request, 429, NULL, "%u modules are being compiled already", node->uploads);
        return;
    }
    struct upload *upload = wm_alloc_zero(1, sizeof *upload);
    if (!upload) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    request->data = upload;
    request->data_free = upload_free;
    struct function_version *version = &upload->version;
    version->env = catalogue_env(node->catalogue, request->tenant, name);
    if (!version->env) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    if (!take_kind(request, &upload->kind) || !take_limits(request, &version->limits) ||
        !http_number(request, "args", CATALOGUE_STRINGS_BYTES_MAX, &upload->tail_bytes)) {
        return;
    }
    if (upload->tail_bytes >= request->body_len) {
        http_error(request, 400, NULL, "args: more bytes than the body has beside a module");
        return;
    }
    for (uint32_t i = 0; i < request->param_count; i++) {
        if (strcmp(request->params[i].name, "arg") == 0 &&
            upload->arg_count < CATALOGUE_STRINGS_MAX) {
            upload->args[upload->arg_count++] = (char *)request->params[i].value;
        }
    }
    memcpy(version->tenant, request->tenant, strlen(request->tenant) + 1);
    memcpy(version->name, name, strlen(name) + 1);
    version->args = upload->args;
    version->idempotent = http_flag(request, "idempotent");
    version->fuel = http_flag(request, "fuel");
    version->module_bytes = request->body_len - upload->tail_bytes;
    upload->library = http_flag(request, "library");
    wm_sha256_end(&request->body_hash, version->module_sha256);
    node->uploads++;
    http_work(request, upload_run, upload_prepared);
}

void api_function_list(struct http_request *request)
{
    http_answer_json(
        request, 200,
        json_pack("{s:o}", "functions",
                  catalogue_show_functions(request->node->catalogue, request->tenant)));
}

void api_function_show(struct http_request *request)
{
    api_show(request,
             catalogue_show_function(request->node->catalogue, request->tenant, request->args[0]),
             "function");
}

static void answer_ok(struct http_request *request)
{
    http_answer_empty(request);
}

static int make_removal(struct http_request *request, struct catalogue_change **out,
                        struct wm_diag *diag)
{
    return catalogue_remove_function(request->node->catalogue, request->tenant, request->args[0],
                                     out, diag);
}

static void removed(struct http_request *request)
{
    logs_remove(request->node->logs, request->tenant, request->args[0]);
    http_answer_empty(request);
}

void api_function_delete(struct http_request *request)
{
    api_change(request, make_removal, removed);
}

/* Aliases. request->call holds the version meanwhile: no call runs. */

struct alias {
    uint32_t version;
};

static int make_alias(struct http_request *request, struct catalogue_change **out,
                      struct wm_diag *diag)
{
    const struct alias *alias = request->data;
    return catalogue_set_alias(request->node->catalogue, request->tenant, request->args[0],
                               request->args[1], alias->version, out, diag);
}

static void start_alias(struct http_request *request, uint32_t version)
{
    struct alias *alias = wm_alloc_zero(1, sizeof *alias);
    if (!alias) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    alias->version = version;
    request->data = alias;
    request->data_free = wm_free;
    api_change(request, make_alias, answer_ok);
}

void api_alias_put(struct http_request *request)
{
    uint32_t version = 0;
    json_t *json = api_json(request);
    if (!json) {
        return;
    }
    bool ok = jsonx_u32(json, "version", UINT32_MAX, &version) && version > 0;
    json_decref(json);
    if (ok) {
        start_alias(request, version);
    } else {
        http_error(request, 400, NULL, "version: a number from 1 on");
    }
}

void api_alias_delete(struct http_request *request)
{
    start_alias(request, 0);
}

static int make_rollback(struct http_request *request, struct catalogue_change **out,
                         struct wm_diag *diag)
{
    struct alias *alias = request->data;
    return catalogue_rollback(request->node->catalogue, request->tenant, request->args[0],
                              &alias->version, out, diag);
}

static void rolled_back(struct http_request *request)
{
    const struct alias *alias = request->data;
    http_answer_json(request, 200, json_pack("{s:I}", "version", (json_int_t)alias->version));
}

void api_rollback(struct http_request *request)
{
    request->data = wm_alloc_zero(1, sizeof(struct alias));
    request->data_free = wm_free;
    if (!request->data) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    api_change(request, make_rollback, rolled_back);
}

/* Environment and secrets */

struct env {
    json_t *json;
    char **list;
    /* Those that have to be initialised anew, and what came of it. */
    struct function_version *versions[CATALOGUE_VERSIONS_MAX];
    struct catalogue_image images[CATALOGUE_VERSIONS_MAX];
    bool named[CATALOGUE_VERSIONS_MAX];
    size_t count;
};

static void env_free(void *data)
{
    struct env *env = data;
    for (size_t i = 0; env->list && env->list[i]; i++) {
        wm_free(env->list[i]);
    }
    wm_free(env->list);
    for (size_t i = 0; i < env->count; i++) {
        function_version_put(env->versions[i]);
    }
    json_decref(env->json);
    wm_free(env);
}

static int make_env(struct http_request *request, struct catalogue_change **out,
                    struct wm_diag *diag)
{
    const struct env *env = request->data;
    request->node->uploads--;
    return catalogue_set_env(request->node->catalogue, request->tenant, request->args[0], env->list,
                             env->images, env->count, out, diag);
}

/* What init read of the environment is in the Proto-Faaslets: each is made anew. Where that fails,
 * the old environment stays, unless no alias names the version: then only it cannot be called until
 * the environment suits it. */
static void freeze_env(struct http_request *request)
{
    struct env *env = request->data;
    const struct node_hooks *hooks = &request->node->hooks;
    for (size_t i = 0; i < env->count && !request->err; i++) {
        struct function_version like = *env->versions[i];
        like.env = env->list;
        env->images[i].version = like.version;
        int err = hooks->snapshot(hooks->self, &like, &request->diag);
        if (!err) {
            memcpy(env->images[i].sha256, like.image_sha256, sizeof like.image_sha256);
            env->images[i].bytes = like.image_bytes;
        } else if (env->named[i]) {
            request->err = err;
            wm_diag_prefix(&request->diag, "version %u under this environment", like.version);
        } else {
            request->diag = (struct wm_diag)WM_DIAG_INIT;
        }
    }
}

static void env_frozen(struct http_request *request)
{
    if (request->err) {
        request->node->uploads--;
        if (request->err == WM_E_LIMIT || request->err == WM_E_DENIED) {
            http_error(request, 422, NULL, "%s", wm_diag_text(&request->diag));
        } else {
            http_error_diag(request, request->err, &request->diag);
        }
        return;
    }
    api_change(request, make_env, answer_ok);
}

void api_env_put(struct http_request *request)
{
    struct env *env = wm_alloc_zero(1, sizeof *env);
    if (!env) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    request->data = env;
    request->data_free = env_free;
    env->json = api_json(request);
    if (!env->json) {
        return;
    }
    env->list = wm_alloc_zero(json_object_size(env->json) + 1, sizeof *env->list);
    const char *name;
    json_t *value;
    size_t count = 0;
    json_object_foreach(env->json, name, value)
    {
        const char *text = json_string_value(value);
        size_t len = text ? strlen(name) + strlen(text) + 2 : 0;
        char *both = text && env->list ? wm_alloc(len) : NULL;
        if (!both) {
            http_error(request, text ? 503 : 400, NULL,
                       text ? "no memory" : "environment: values are strings");
            return;
        }
        (void)snprintf(both, len, "%s=%s", name, text);
        env->list[count++] = both;
    }
    struct node *node = request->node;
    if (!env->list) {
        http_error(request, 503, NULL, "no memory");
        return;
    }
    if (node->uploads >= UPLOADS_MAX) {
        http_error(request, 429, NULL, "%u functions are being initialised already", node->uploads);
        return;
    }
    if (node->hooks.snapshot) {
        env->count =
            catalogue_frozen(node->catalogue, request->tenant, request->args[0], env->versions);
    }
    for (size_t i = 0; i < env->count; i++) {
        env->named[i] = catalogue_is_named(node->catalogue, env->versions[i]);
    }
    node->uploads++;
    if (env->count) {
        http_work(request, freeze_env, env_frozen);
    } else {
        api_change(request, make_env, answer_ok);
    }
}

static int make_secret(struct http_request *request, struct catalogue_change **out,
                       struct wm_diag *diag)
{
    /* An empty body still is a value: body is never NULL. */
    return catalogue_set_secret(request->node->catalogue, request->tenant, request->args[0],
                                request->args[1], wm_view_of(request->body, request->body_len), out,
                                diag);
}

void api_secret_put(struct http_request *request)
{
    api_change(request, make_secret, answer_ok); /* http.c wipes the body */
}

static int make_secret_removal(struct http_request *request, struct catalogue_change **out,
                               struct wm_diag *diag)
{
    return catalogue_set_secret(request->node->catalogue, request->tenant, request->args[0],
                                request->args[1], (struct wm_view){0}, out, diag);
}

void api_secret_delete(struct http_request *request)
{
    api_change(request, make_secret_removal, answer_ok);
}

/* Logs */

void api_logs(struct http_request *request)
{
    uint64_t since = 0, limit = LOGS_LINES_MAX;
    if (!http_number(request, "since", INT64_MAX, &since) ||
        !http_number(request, "limit", LOGS_LINES_MAX, &limit)) {
        return;
    }
    struct function_version *version =
        catalogue_find(request->node->catalogue, request->tenant, request->args[0]);
    json_t *known = version ? NULL
                            : catalogue_show_function(request->node->catalogue, request->tenant,
                                                      request->args[0]);
    if (!version && !known) {
        api_show(request, NULL, "function");
        return;
    }
    function_version_put(version);
    json_decref(known);
    http_answer_json(
        request, 200,
        logs_show(request->node->logs, request->tenant, request->args[0], since, (uint32_t)limit));
}
