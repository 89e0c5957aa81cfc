/* Functions: versions, aliases, environment, secrets. One entry and one document a function.
 *
 * Versions are immutable and counted. A new environment makes new versions of the same numbers, so
 * that running calls keep what they were started with. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/seal.h"
#include "host/file.h"
#include "node/catalogue_internal.h"
#include "node/uri.h"

#define LATEST "latest"
#define SECRET_HEX_MAX (2 * (CATALOGUE_SECRET_BYTES_MAX + WM_SEAL_EXTRA_BYTES))

static const char *const kind_names[] = {"command", "faaslet", "suspended", "library"};

const char *function_kind_text(enum function_kind kind)
{
    return kind_names[kind];
}

static bool kind_parse(const char *text, enum function_kind *out)
{
    for (unsigned i = 0; text && i < WM_COUNT_OF(kind_names); i++) {
        if (strcmp(text, kind_names[i]) == 0) {
            *out = (enum function_kind)i;
            return true;
        }
    }
    return false;
}

void function_version_put(struct function_version *version)
{
    if (!version) {
        return;
    }
    WM_ASSERT(version->refs > 0);
    if (--version->refs == 0) {
        if (version->worker_free) {
            version->worker_free(version);
        }
        strings_free(version->args);
        strings_free(version->env);
        wm_free(version);
    }
}

/* With one reference; worker_data is not copied: workers load it anew. */
static struct function_version *version_copy(const struct function_version *from)
{
    struct function_version *version = wm_alloc_zero(1, sizeof *version);
    if (!version) {
        return NULL;
    }
    *version = *from;
    version->refs = 1;
    version->worker_data = NULL;
    version->worker_free = NULL;
    version->args = strings_copy(from->args);
    version->env = strings_copy(from->env);
    if (!version->args || !version->env) {
        function_version_put(version);
        return NULL;
    }
    return version;
}

struct function_version *version_for(const struct function_version *from, uint32_t number,
                                     const struct function_entry *function)
{
    struct function_version like = *from;
    like.version = number;
    like.env = function->env;
    like.env_revision = function->env_revision;
    return version_copy(&like);
}

static json_t *version_encode(const struct function_version *version)
{
    char module[65], image[65];
    jsonx_hex(module, version->module_sha256, 32);
    jsonx_hex(image, version->image_sha256, 32);
    const struct call_limits *limits = &version->limits;
    json_t *json =
        json_pack("{s:I, s:s, s:s, s:s, s:b, s:b, s:I, s:I, s:I}", "version",
                  (json_int_t)version->version, "kind", function_kind_text(version->kind), "module",
                  module, "image", image, "idempotent", version->idempotent, "fuel", version->fuel,
                  "module_bytes", (json_int_t)version->module_bytes, "image_bytes",
                  (json_int_t)version->image_bytes, "created_ns", (json_int_t)version->created_ns);
    int err = jsonx_set(json, "args", strings_encode(version->args));
    err = err ? err
              : jsonx_set(json, "limits",
                          json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "memory_bytes",
                                    (json_int_t)limits->memory_bytes, "output_bytes",
                                    (json_int_t)limits->output_bytes, "files_bytes",
                                    (json_int_t)limits->files_bytes, "timeout_ms",
                                    (json_int_t)limits->timeout_ms, "cpu_ms",
                                    (json_int_t)limits->cpu_ms, "depth", (json_int_t)limits->depth,
                                    "chained", (json_int_t)limits->chained));
    if (err) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static bool limits_decode(const json_t *json, struct call_limits *limits)
{
    return jsonx_u64(json, "memory_bytes", INT64_MAX, &limits->memory_bytes) &&
           jsonx_u64(json, "output_bytes", INT64_MAX, &limits->output_bytes) &&
           jsonx_u64(json, "files_bytes", INT64_MAX, &limits->files_bytes) &&
           jsonx_u32(json, "timeout_ms", UINT32_MAX, &limits->timeout_ms) &&
           jsonx_u32(json, "cpu_ms", UINT32_MAX, &limits->cpu_ms) &&
           jsonx_u32(json, "depth", CALL_DEPTH_MAX, &limits->depth) &&
           jsonx_u32(json, "chained", CALL_CHAINED_MAX, &limits->chained);
}

static struct function_version *version_decode(const json_t *json,
                                               const struct function_entry *function)
{
    struct function_version *version = wm_alloc_zero(1, sizeof *version);
    if (!version) {
        return NULL;
    }
    const char *module = jsonx_text(json, "module"), *image = jsonx_text(json, "image");
    uint64_t created = 0;
    version->refs = 1;
    memcpy(version->tenant, function->tenant, sizeof version->tenant);
    memcpy(version->name, function->name, sizeof version->name);
    version->env_revision = function->env_revision;
    version->env = strings_copy(function->env);
    version->args = strings_decode(json_object_get(json, "args"), CATALOGUE_STRINGS_MAX);
    if (!version->env || !version->args || !module || !image ||
        !kind_parse(jsonx_text(json, "kind"), &version->kind) ||
        !jsonx_unhex(module, strlen(module), version->module_sha256, 32) ||
        !jsonx_unhex(image, strlen(image), version->image_sha256, 32) ||
        !jsonx_u32(json, "version", UINT32_MAX, &version->version) ||
        !jsonx_bool(json, "idempotent", &version->idempotent) ||
        !jsonx_bool(json, "fuel", &version->fuel) ||
        !jsonx_u64(json, "module_bytes", INT64_MAX, &version->module_bytes) ||
        !jsonx_u64(json, "image_bytes", INT64_MAX, &version->image_bytes) ||
        !jsonx_u64(json, "created_ns", INT64_MAX, &created) ||
        !limits_decode(json_object_get(json, "limits"), &version->limits)) {
        function_version_put(version);
        return NULL;
    }
    version->created_ns = (int64_t)created;
    return version;
}

static int check_strings(char *const *strings, const char *what, struct wm_diag *diag)
{
    size_t bytes = 0, count = strings_count(strings);
    for (size_t i = 0; i < count; i++) {
        bytes += strlen(strings[i]) + 1;
        json_t *text = json_string(strings[i]); /* NULL where it is not UTF-8 */
        if (!text) {
            return wm_diag_set(diag, WM_E_USAGE, "%s: not UTF-8", what);
        }
        json_decref(text);
    }
    return count <= CATALOGUE_STRINGS_MAX && bytes <= CATALOGUE_STRINGS_BYTES_MAX
               ? 0
               : wm_diag_set(diag, WM_E_LIMIT, "%s: more than %u, or than %u bytes", what,
                             CATALOGUE_STRINGS_MAX, CATALOGUE_STRINGS_BYTES_MAX);
}

/* [A-Za-z_][A-Za-z0-9_]* */
static bool env_name_ok(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return len > 0 && len <= CATALOGUE_NAME_BYTES_MAX;
}

/* Entries */

static void function_free(struct entry *entry)
{
    struct function_entry *function = (void *)entry;
    for (size_t i = 0; i < function->versions.count; i++) {
        function_version_put(function->versions.items[i]);
    }
    for (size_t i = 0; i < function->secrets.count; i++) {
        wm_free(function->secrets.items[i].box);
    }
    wm_vec_fini(&function->versions);
    wm_vec_fini(&function->aliases);
    wm_vec_fini(&function->secrets);
    strings_free(function->env);
}

static struct function_version *version_of(const struct function_entry *function, uint32_t number)
{
    for (size_t i = 0; i < function->versions.count; i++) {
        if (function->versions.items[i]->version == number) {
            return function->versions.items[i];
        }
    }
    return NULL;
}

static struct function_alias *alias_of(const struct function_entry *function, struct wm_view name)
{
    for (size_t i = 0; i < function->aliases.count; i++) {
        if (wm_view_eq_str(name, function->aliases.items[i].name)) {
            return &function->aliases.items[i];
        }
    }
    return NULL;
}

void function_find_latest(struct function_entry *function)
{
    const struct function_alias *alias = alias_of(function, wm_view_str(LATEST));
    function->latest = alias ? version_of(function, alias->version) : NULL;
}

static json_t *function_describe(const struct function_entry *function, bool for_people)
{
    json_t *json = json_object(), *versions = json_array(), *aliases = json_object();
    json_t *secrets = for_people ? json_array() : json_object();
    int err = json && versions && aliases && secrets ? 0 : -ENOMEM;
    for (size_t i = 0; i < function->versions.count && !err; i++) {
        err = json_array_append_new(versions, version_encode(function->versions.items[i]));
    }
    for (size_t i = 0; i < function->aliases.count && !err; i++) {
        err = jsonx_set(aliases, function->aliases.items[i].name,
                        json_integer(function->aliases.items[i].version));
    }
    for (size_t i = 0; i < function->secrets.count && !err; i++) {
        const struct function_secret *secret = &function->secrets.items[i];
        if (for_people) {
            err = json_array_append_new(secrets, json_string(secret->name));
            continue;
        }
        char *hex = wm_alloc(2 * secret->len + 1);
        if (!hex) {
            err = -ENOMEM;
            break;
        }
        jsonx_hex(hex, secret->box, secret->len);
        err = jsonx_set(secrets, secret->name, json_string(hex));
        wm_free(hex);
    }
    if (err) {
        json_decref(versions);
        json_decref(aliases);
        json_decref(secrets);
        json_decref(json);
        return NULL;
    }
    err = jsonx_set(json, "name", json_string(function->name));
    err |= jsonx_set(json, "versions", versions);
    err |= jsonx_set(json, "aliases", aliases);
    err |= jsonx_set(json, "secrets", secrets);
    err |= jsonx_set(json, "env_revision", json_integer((json_int_t)function->env_revision));
    if (for_people) {
        json_t *names = json_array();
        for (size_t i = 0; names && function->env[i]; i++) {
            err |= json_array_append_new(
                names, json_stringn(function->env[i], strcspn(function->env[i], "=")));
        }
        err |= jsonx_set(json, "env", names);
    } else {
        err |= jsonx_set(json, "env", strings_encode(function->env));
        err |= jsonx_set(json, "next_version", json_integer(function->next_version));
        err |= jsonx_set(json, "since_ns", json_integer((json_int_t)function->since_ns));
    }
    if (err) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *function_encode(const struct entry *entry)
{
    return function_describe((const struct function_entry *)entry, false);
}

static bool secrets_decode(struct function_entry *function, json_t *json)
{
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value)
    {
        struct function_secret secret = {0};
        size_t hex_len = json_string_length(value), len = strlen(name);
        if (len >= sizeof secret.name || hex_len > SECRET_HEX_MAX || hex_len % 2) {
            return false;
        }
        memcpy(secret.name, name, len + 1);
        secret.len = hex_len / 2;
        secret.box = wm_alloc(secret.len);
        if (!secret.box ||
            !jsonx_unhex(json_string_value(value), hex_len, secret.box, secret.len) ||
            wm_vec_push(&function->secrets, secret) != 0) {
            wm_free(secret.box);
            return false;
        }
    }
    return true;
}

static bool function_decode_into(struct function_entry *function, const json_t *json)
{
    const char *name;
    json_t *value;
    size_t i;
    if (!jsonx_u32(json, "next_version", UINT32_MAX, &function->next_version) ||
        !jsonx_u64(json, "env_revision", INT64_MAX, &function->env_revision) ||
        !jsonx_u64(json, "since_ns", INT64_MAX, &function->since_ns)) {
        return false;
    }
    function->env = strings_decode(json_object_get(json, "env"), CATALOGUE_STRINGS_MAX);
    if (!function->env) {
        return false;
    }
    json_array_foreach(json_object_get(json, "versions"), i, value)
    {
        struct function_version *version = version_decode(value, function);
        if (!version || wm_vec_push(&function->versions, version) != 0) {
            function_version_put(version);
            return false;
        }
    }
    json_object_foreach(json_object_get(json, "aliases"), name, value)
    {
        struct function_alias alias = {.version = (uint32_t)json_integer_value(value)};
        size_t len = strlen(name);
        if (len >= sizeof alias.name) {
            return false;
        }
        memcpy(alias.name, name, len + 1);
        if (wm_vec_push(&function->aliases, alias) != 0) {
            return false;
        }
    }
    function_find_latest(function);
    return secrets_decode(function, json_object_get(json, "secrets"));
}

static bool names_from_key(struct function_entry *function)
{
    const uint8_t *zero = memchr(function->entry.key, 0, function->entry.key_len);
    size_t tenant_len = zero ? (size_t)(zero - function->entry.key) : 0;
    size_t name_len = zero ? function->entry.key_len - tenant_len - 1 : 0;
    if (tenant_len == 0 || tenant_len > CATALOGUE_NAME_BYTES_MAX || name_len == 0 ||
        name_len > CATALOGUE_NAME_BYTES_MAX) {
        return false;
    }
    memcpy(function->tenant, function->entry.key, tenant_len);
    memcpy(function->name, zero + 1, name_len);
    return true;
}

static struct entry *function_decode(struct wm_view key, const json_t *json)
{
    struct function_entry *function = (void *)entry_new(ENTRY_FUNCTION, sizeof *function, key);
    if (function && (!names_from_key(function) || !function_decode_into(function, json))) {
        entry_free(&function->entry);
        return NULL;
    }
    return function ? &function->entry : NULL;
}

static bool versions_ok(const struct function_entry *function)
{
    uint32_t before = 0;
    if (function->versions.count > CATALOGUE_VERSIONS_MAX) {
        return false;
    }
    for (size_t i = 0; i < function->versions.count; i++) {
        const struct function_version *version = function->versions.items[i];
        if (version->version <= before || version->version >= function->next_version ||
            check_strings(version->args, "arguments", NULL) != 0) {
            return false;
        }
        before = version->version;
    }
    return true;
}

static bool function_ok(const struct entry *entry)
{
    const struct function_entry *function = (const void *)entry;
    bool ok = uri_name_ok(function->tenant) && uri_name_ok(function->name) &&
              versions_ok(function) && check_strings(function->env, "environment", NULL) == 0 &&
              function->aliases.count <= CATALOGUE_ALIASES_MAX &&
              function->secrets.count <= CATALOGUE_SECRETS_MAX;
    for (size_t i = 0; ok && function->env[i]; i++) {
        size_t len = strcspn(function->env[i], "=");
        ok = function->env[i][len] && env_name_ok(function->env[i], len);
    }
    for (size_t i = 0; ok && i < function->aliases.count; i++) {
        const struct function_alias *alias = &function->aliases.items[i];
        ok = uri_name_ok(alias->name) && version_of(function, alias->version);
    }
    for (size_t i = 0; ok && i < function->secrets.count; i++) {
        const struct function_secret *secret = &function->secrets.items[i];
        ok = env_name_ok(secret->name, strlen(secret->name)) && secret->len >= WM_SEAL_EXTRA_BYTES;
    }
    return ok;
}

const struct entry_ops entry_function_ops = {"functions", function_free, function_encode,
                                             function_decode, function_ok};

/* A copy that shares the versions. */
struct function_entry *function_copy(const struct function_entry *from)
{
    struct function_entry *to =
        (void *)entry_new(ENTRY_FUNCTION, sizeof *to, entry_key(&from->entry));
    if (!to) {
        return NULL;
    }
    memcpy(to->tenant, from->tenant, sizeof to->tenant);
    memcpy(to->name, from->name, sizeof to->name);
    to->next_version = from->next_version;
    to->env_revision = from->env_revision;
    to->since_ns = from->since_ns;
    to->env = strings_copy(from->env);
    bool ok = to->env != NULL;
    for (size_t i = 0; i < from->versions.count && ok; i++) {
        ok = wm_vec_push(&to->versions, from->versions.items[i]) == 0;
        from->versions.items[i]->refs += ok;
    }
    for (size_t i = 0; i < from->aliases.count && ok; i++) {
        ok = wm_vec_push(&to->aliases, from->aliases.items[i]) == 0;
    }
    for (size_t i = 0; i < from->secrets.count && ok; i++) {
        struct function_secret secret = from->secrets.items[i];
        secret.box = wm_alloc(secret.len);
        ok = secret.box != NULL;
        if (ok) {
            memcpy(secret.box, from->secrets.items[i].box, secret.len);
            ok = wm_vec_push(&to->secrets, secret) == 0;
            if (!ok) {
                wm_free(secret.box);
            }
        }
    }
    if (!ok) {
        entry_free(&to->entry);
        return NULL;
    }
    function_find_latest(to);
    return to;
}

static struct function_entry *find(struct catalogue *catalogue, const char *tenant,
                                   const char *name, size_t len)
{
    uint8_t key[ENTRY_KEY_BYTES_MAX];
    return entry_find(catalogue, ENTRY_FUNCTION, entry_pair(key, tenant, name, len));
}

/* A copy to change, of the function or a new one. */
static int take_copy(struct catalogue *catalogue, const char *tenant, const char *name, bool make,
                     struct function_entry **out, struct wm_diag *diag)
{
    uint8_t key[ENTRY_KEY_BYTES_MAX];
    char shown[80];
    int err = need_tenant(catalogue, tenant, diag);
    if (err) {
        return err;
    }
    const struct function_entry *present = find(catalogue, tenant, name, strlen(name));
    if (!present && !make) {
        return wm_diag_set(diag, WM_E_NOT_FOUND, "function %s: there is none",
                           wm_diag_quote(shown, sizeof shown, name, strlen(name)));
    }
    if (present) {
        *out = function_copy(present);
    } else {
        err = need_name("function", name, diag);
        if (err) {
            return err;
        }
        struct function_entry *fresh = (void *)entry_new(
            ENTRY_FUNCTION, sizeof *fresh, entry_pair(key, tenant, name, strlen(name)));
        *out = fresh;
        if (fresh) {
            memcpy(fresh->tenant, tenant, strlen(tenant) + 1);
            memcpy(fresh->name, name, strlen(name) + 1);
            const struct revision *before =
                revision_find(catalogue, ENTRY_FUNCTION, entry_key(&fresh->entry));
            fresh->next_version = 1;
            fresh->since_ns = before ? before->time_ns + 1 : 0;
            fresh->env = wm_alloc_zero(1, sizeof *fresh->env);
            if (!fresh->env) {
                entry_free(&fresh->entry);
                *out = NULL;
            }
        }
    }
    return *out ? 0 : wm_diag_default(diag, -ENOMEM, "catalogue");
}

/* Look-ups */

bool function_ref_ok(const char *text)
{
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
    uint64_t number;
    size_t len = strcspn(text, ":@");
    if (len >= sizeof name) {
        return false;
    }
    memcpy(name, text, len);
    name[len] = 0;
    return uri_name_ok(name) &&
           (!text[len] || (text[len] == ':' ? uri_name_ok(text + len + 1)
                                            : uri_number(text + len + 1, UINT32_MAX, &number)));
}

struct function_version *catalogue_find(struct catalogue *catalogue, const char *tenant,
                                        const char *function)
{
    size_t len = strcspn(function, ":@");
    const struct function_entry *entry = find(catalogue, tenant, function, len);
    struct function_version *version = NULL;
    uint64_t number;
    if (!entry) {
        return NULL;
    }
    if (!function[len]) {
        version = entry->latest;
    } else if (function[len] == ':') {
        const struct function_alias *alias = alias_of(entry, wm_view_str(function + len + 1));
        version = alias ? version_of(entry, alias->version) : NULL;
    } else if (uri_number(function + len + 1, UINT32_MAX, &number)) {
        version = version_of(entry, (uint32_t)number);
    }
    if (version) {
        version->refs++;
    }
    return version;
}

char **catalogue_env(struct catalogue *catalogue, const char *tenant, const char *function)
{
    const struct function_entry *entry = find(catalogue, tenant, function, strlen(function));
    return entry ? strings_copy(entry->env) : wm_alloc_zero(1, sizeof(char *));
}

void catalogue_strings_free(char **strings)
{
    strings_free(strings);
}

/* What ran before the image was taken may have kept what it read of the environment. Commands run
 * nothing of their own before. */
static bool is_frozen(const struct function_version *version)
{
    return version->kind != FUNCTION_COMMAND;
}

size_t catalogue_frozen(struct catalogue *catalogue, const char *tenant, const char *function,
                        struct function_version *out[CATALOGUE_VERSIONS_MAX])
{
    const struct function_entry *entry = find(catalogue, tenant, function, strlen(function));
    size_t count = 0;
    for (size_t i = 0; entry && i < entry->versions.count; i++) {
        struct function_version *version = entry->versions.items[i];
        if (is_frozen(version) && count < CATALOGUE_VERSIONS_MAX) {
            version->refs++;
            out[count++] = version;
        }
    }
    return count;
}

static bool has_alias(const struct function_entry *function, uint32_t version)
{
    for (size_t i = 0; i < function->aliases.count; i++) {
        if (function->aliases.items[i].version == version) {
            return true;
        }
    }
    return false;
}

bool catalogue_is_named(struct catalogue *catalogue, const struct function_version *version)
{
    const struct function_entry *entry =
        find(catalogue, version->tenant, version->name, strlen(version->name));
    return entry && has_alias(entry, version->version);
}

json_t *catalogue_show_function(struct catalogue *catalogue, const char *tenant,
                                const char *function)
{
    const struct function_entry *entry = find(catalogue, tenant, function, strlen(function));
    return entry ? function_describe(entry, true) : NULL;
}

json_t *catalogue_show_functions(struct catalogue *catalogue, const char *tenant)
{
    json_t *list = json_array();
    size_t at = 0;
    for (struct function_entry *entry;
         list && (entry = map_next(&catalogue->maps[ENTRY_FUNCTION], &at));) {
        if (strcmp(entry->tenant, tenant) != 0) {
            continue;
        }
        json_t *one = json_pack("{s:s, s:I, s:I}", "name", entry->name, "latest",
                                (json_int_t)(entry->latest ? entry->latest->version : 0),
                                "versions", (json_int_t)entry->versions.count);
        if (one && entry->latest) { /* of the version that the name alone means */
            const struct function_version *latest = entry->latest;
            jsonx_set(one, "kind", json_string(function_kind_text(latest->kind)));
            jsonx_set(one, "module_bytes", json_integer((json_int_t)latest->module_bytes));
            jsonx_set(one, "image_bytes", json_integer((json_int_t)latest->image_bytes));
            jsonx_set(one, "memory_bytes", json_integer((json_int_t)latest->limits.memory_bytes));
            jsonx_set(one, "timeout_ms", json_integer(latest->limits.timeout_ms));
            jsonx_set(one, "created_ns", json_integer((json_int_t)latest->created_ns));
        }
        if (json_array_append_new(list, one) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

bool catalogue_uses_file(struct catalogue *catalogue, const uint8_t sha256[32])
{
    size_t at = 0;
    for (struct function_entry *entry; (entry = map_next(&catalogue->maps[ENTRY_FUNCTION], &at));) {
        for (size_t i = 0; i < entry->versions.count; i++) {
            const struct function_version *version = entry->versions.items[i];
            if (memcmp(version->module_sha256, sha256, 32) == 0 ||
                memcmp(version->image_sha256, sha256, 32) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Changes */

static int set_alias(struct function_entry *function, const char *name, uint32_t version)
{
    struct function_alias *alias = alias_of(function, wm_view_str(name));
    if (alias) {
        alias->version = version;
    } else {
        struct function_alias fresh = {.version = version};
        memcpy(fresh.name, name, strlen(name) + 1);
        int err = wm_vec_push(&function->aliases, fresh);
        if (err) {
            return err;
        }
    }
    function_find_latest(function);
    return 0;
}

static void drop_version(struct function_entry *function, size_t idx)
{
    function_version_put(function->versions.items[idx]);
    function->versions.count--;
    memmove(&function->versions.items[idx], &function->versions.items[idx + 1],
            (function->versions.count - idx) * sizeof *function->versions.items);
}

/* The oldest version that no alias names makes room for a new one. */
bool function_make_room(struct function_entry *function)
{
    for (size_t i = 0; i < function->versions.count; i++) {
        if (!has_alias(function, function->versions.items[i]->version)) {
            drop_version(function, i);
            return true;
        }
    }
    return false;
}

/* Files of a tenant's versions, for summing them up: what has the same content is one file. */
struct kept_file {
    uint8_t sha256[32];
    uint64_t bytes;
};

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, sizeof((struct kept_file *)0)->sha256);
}

/* With `fresh`, which is not in the catalogue yet. */
static int bytes_of_tenant(struct catalogue *catalogue, const struct function_version *fresh,
                           uint32_t *functions, uint64_t *out)
{
    WM_VEC(struct kept_file) files = {0};
    const struct function_version *version = fresh;
    size_t at = 0, i = 0;
    int err = 0;
    struct function_entry *entry = NULL;
    while (version && !err) {
        struct kept_file module = {.bytes = version->module_bytes};
        struct kept_file image = {.bytes = version->image_bytes};
        memcpy(module.sha256, version->module_sha256, sizeof module.sha256);
        memcpy(image.sha256, version->image_sha256, sizeof image.sha256);
        err = wm_vec_push(&files, module);
        err = err ? err : wm_vec_push(&files, image);
        while ((!entry || i == entry->versions.count) &&
               (entry = map_next(&catalogue->maps[ENTRY_FUNCTION], &at))) {
            bool own = strcmp(entry->tenant, fresh->tenant) == 0;
            *functions += own;
            i = own ? 0 : entry->versions.count;
        }
        version = entry ? entry->versions.items[i++] : NULL;
    }
    if (files.count != 0) {
        qsort(files.items, files.count, sizeof *files.items, by_hash);
    }
    *out = 0;
    for (i = 0; i < files.count; i++) {
        if (i == 0 || by_hash(&files.items[i - 1], &files.items[i]) != 0) {
            *out += files.items[i].bytes;
        }
    }
    wm_vec_fini(&files);
    return err;
}

static bool strings_equal(char *const *a, char *const *b)
{
    size_t i = 0;
    while (a[i] && b[i] && strcmp(a[i], b[i]) == 0) {
        i++;
    }
    return !a[i] && !b[i];
}

int catalogue_add_version(struct catalogue *catalogue, const struct function_version *version,
                          bool library, uint32_t *number, struct catalogue_change **out,
                          struct wm_diag *diag)
{
    struct function_entry *function;
    struct function_version *fresh = NULL;
    uint32_t functions = 0;
    int err = check_strings(version->args, "arguments", diag);
    err = err ? err : take_copy(catalogue, version->tenant, version->name, true, &function, diag);
    if (err) {
        return err;
    }
    const struct tenant *tenant = catalogue_tenant(catalogue, version->tenant);
    uint64_t bytes = 0;
    err =
        wm_diag_default(diag, bytes_of_tenant(catalogue, version, &functions, &bytes), "catalogue");
    if (err) {
        entry_free(&function->entry);
        return err;
    }
    if (function->versions.count == 0 && functions >= CATALOGUE_FUNCTIONS_MAX) {
        err = wm_diag_set(diag, WM_E_LIMIT, "tenant %s: has %u functions already", tenant->name,
                          functions);
    } else if (bytes > tenant->quota.modules_bytes) {
        err = wm_diag_set(diag, WM_E_LIMIT,
                          "tenant %s: its modules would take more than its quota of %llu bytes; "
                          "remove functions, or have modules_bytes raised",
                          tenant->name, (unsigned long long)tenant->quota.modules_bytes);
    } else if (function->versions.count >= CATALOGUE_VERSIONS_MAX &&
               !function_make_room(function)) {
        err = wm_diag_set(diag, WM_E_LIMIT, "function %s: has %u versions, each with an alias",
                          function->name, CATALOGUE_VERSIONS_MAX);
    } else if (version->env && !strings_equal(version->env, function->env)) {
        err = wm_diag_set(diag, WM_E_BUSY,
                          "function %s: its environment was changed while this version was being "
                          "initialised under the old one; put it again",
                          function->name);
    }
    if (err) {
        entry_free(&function->entry);
        return err;
    }
    struct function_version like = *version;
    like.env = function->env;
    like.env_revision = function->env_revision;
    like.version = function->next_version++;
    /* By the clock of revisions: it tells versions of one function apart, also on several nodes. */
    like.created_ns = (int64_t)revision_now(catalogue);
    fresh = version_copy(&like);
    err = fresh ? wm_vec_push(&function->versions, fresh) : -ENOMEM;
    if (err) {
        function_version_put(fresh);
    }
    (void)library; /* its kind says so; `latest` is what dl_open means by its name */
    err = err ? err : set_alias(function, LATEST, like.version);
    if (err) {
        entry_free(&function->entry);
        return wm_diag_default(diag, err, "catalogue");
    }
    *number = like.version;
    return change_put(catalogue, &function->entry, out, diag);
}

int catalogue_remove_function(struct catalogue *catalogue, const char *tenant, const char *function,
                              struct catalogue_change **out, struct wm_diag *diag)
{
    struct catalogue_change *change = NULL;
    char shown[80];
    const struct function_entry *entry = find(catalogue, tenant, function, strlen(function));
    if (!entry) {
        return wm_diag_set(diag, WM_E_NOT_FOUND, "function %s: there is none",
                           wm_diag_quote(shown, sizeof shown, function, strlen(function)));
    }
    int err = change_new(catalogue, &change, diag);
    if (!err && (err = change_add_removal(change, &entry->entry)) != 0) {
        change_drop(change);
        return wm_diag_default(diag, err, "catalogue");
    }
    *out = err ? NULL : change;
    return err;
}

int catalogue_set_alias(struct catalogue *catalogue, const char *tenant, const char *function,
                        const char *alias, uint32_t version, struct catalogue_change **out,
                        struct wm_diag *diag)
{
    struct function_entry *entry;
    int err = need_name("alias", alias, diag);
    err = err ? err : take_copy(catalogue, tenant, function, false, &entry, diag);
    if (err) {
        return err;
    }
    struct function_alias *present = alias_of(entry, wm_view_str(alias));
    if (version && !version_of(entry, version)) {
        err = wm_diag_set(diag, WM_E_NOT_FOUND, "function %s: has no version %u", entry->name,
                          version);
    } else if (!version && !present) {
        err = wm_diag_set(diag, WM_E_NOT_FOUND, "function %s: has no alias %s", entry->name, alias);
    } else if (!version) {
        *present = entry->aliases.items[--entry->aliases.count];
        function_find_latest(entry);
    } else if (!present && entry->aliases.count >= CATALOGUE_ALIASES_MAX) {
        err = wm_diag_set(diag, WM_E_LIMIT, "function %s: has %u aliases already", entry->name,
                          CATALOGUE_ALIASES_MAX);
    } else {
        err = wm_diag_default(diag, set_alias(entry, alias, version), "catalogue");
    }
    if (err) {
        entry_free(&entry->entry);
        return err;
    }
    return change_put(catalogue, &entry->entry, out, diag);
}

int catalogue_rollback(struct catalogue *catalogue, const char *tenant, const char *function,
                       uint32_t *number, struct catalogue_change **out, struct wm_diag *diag)
{
    struct function_entry *entry;
    int err = take_copy(catalogue, tenant, function, false, &entry, diag);
    if (err) {
        return err;
    }
    uint32_t best = 0;
    for (size_t i = 0; entry->latest && i < entry->versions.count; i++) {
        uint32_t version = entry->versions.items[i]->version;
        best = version < entry->latest->version && version > best ? version : best;
    }
    if (!best) {
        err = wm_diag_set(diag, WM_E_BUSY,
                          "function %s: there is no version before the present one", entry->name);
    } else {
        err = wm_diag_default(diag, set_alias(entry, LATEST, best), "catalogue");
    }
    if (err) {
        entry_free(&entry->entry);
        return err;
    }
    *number = best;
    return change_put(catalogue, &entry->entry, out, diag);
}

/* All versions anew, under the entry's environment; workers load them anew. */
static int renew_versions(struct function_entry *entry)
{
    entry->env_revision++;
    for (size_t i = 0; i < entry->versions.count; i++) {
        struct function_version like = *entry->versions.items[i];
        like.env = entry->env;
        like.env_revision = entry->env_revision;
        struct function_version *fresh = version_copy(&like);
        if (!fresh) {
            return -ENOMEM;
        }
        function_version_put(entry->versions.items[i]);
        entry->versions.items[i] = fresh;
    }
    function_find_latest(entry);
    return 0;
}

/* Into versions that nobody else has seen yet. */
static int set_images(struct function_entry *entry, const struct catalogue_image *images,
                      size_t count, struct wm_diag *diag)
{
    static const uint8_t none[32]; /* what libraries have */
    for (size_t i = 0; i < entry->versions.count; i++) {
        struct function_version *version = entry->versions.items[i];
        const struct catalogue_image *found = NULL;
        for (size_t j = 0; j < count; j++) {
            found = images[j].version == version->version ? &images[j] : found;
        }
        if (found) {
            memcpy(version->image_sha256, found->sha256, sizeof version->image_sha256);
            version->image_bytes = found->bytes;
        } else if (is_frozen(version) && memcmp(version->image_sha256, none, sizeof none) != 0) {
            return wm_diag_set(diag, WM_E_BUSY,
                               "function %s: version %u came while its environment was being "
                               "changed; set it again",
                               entry->name, version->version);
        }
    }
    return 0;
}

int catalogue_set_env(struct catalogue *catalogue, const char *tenant, const char *function,
                      char *const *env, const struct catalogue_image *images, size_t image_count,
                      struct catalogue_change **out, struct wm_diag *diag)
{
    struct function_entry *entry;
    char shown[80];
    int err = check_strings(env, "environment", diag);
    for (size_t i = 0; env[i] && !err; i++) {
        size_t len = strcspn(env[i], "=");
        if (!env[i][len] || !env_name_ok(env[i], len)) {
            err = wm_diag_set(diag, WM_E_USAGE,
                              "environment: %s: a name is of letters, digits and _, and does not "
                              "start with a digit",
                              wm_diag_quote(shown, sizeof shown, env[i], len));
        }
    }
    err = err ? err : take_copy(catalogue, tenant, function, false, &entry, diag);
    if (err) {
        return err;
    }
    char **copy = strings_copy(env);
    if (copy) {
        strings_free(entry->env);
        entry->env = copy;
    }
    err = wm_diag_default(diag, copy ? renew_versions(entry) : -ENOMEM, "catalogue");
    err = err ? err : set_images(entry, images, image_count, diag);
    if (err) {
        entry_free(&entry->entry);
        return err;
    }
    return change_put(catalogue, &entry->entry, out, diag);
}

/* Names are bound to their boxes: tenant, function and secret, each ended by NUL. */
static struct wm_view secret_name(uint8_t out[3 * (CATALOGUE_NAME_BYTES_MAX + 1)],
                                  const struct function_entry *function, const char *secret)
{
    const char *parts[3] = {function->tenant, function->name, secret};
    size_t at = 0;
    for (unsigned i = 0; i < 3; i++) {
        size_t len = strlen(parts[i]) + 1;
        memcpy(out + at, parts[i], len);
        at += len;
    }
    return wm_view_of(out, at);
}

static int put_secret(struct catalogue *catalogue, struct function_entry *entry,
                      struct function_secret *present, const char *name, struct wm_view value)
{
    uint8_t bound[3 * (CATALOGUE_NAME_BYTES_MAX + 1)];
    struct function_secret secret = {.len = value.len + WM_SEAL_EXTRA_BYTES};
    memcpy(secret.name, name, strlen(name) + 1);
    secret.box = wm_alloc(secret.len);
    if (!secret.box) {
        return -ENOMEM;
    }
    wm_seal(catalogue->key, secret_name(bound, entry, name), value, secret.box);
    if (present) {
        wm_free(present->box);
        *present = secret;
        return 0;
    }
    int err = wm_vec_push(&entry->secrets, secret);
    if (err) {
        wm_free(secret.box);
    }
    return err;
}

int catalogue_set_secret(struct catalogue *catalogue, const char *tenant, const char *function,
                         const char *secret, struct wm_view value, struct catalogue_change **out,
                         struct wm_diag *diag)
{
    struct function_entry *entry;
    struct function_secret *present = NULL;
    char shown[80];
    if (!env_name_ok(secret, strlen(secret))) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "secret %s: a name is of letters, digits and _, and does not start with "
                           "a digit",
                           wm_diag_quote(shown, sizeof shown, secret, strlen(secret)));
    }
    if (value.len > CATALOGUE_SECRET_BYTES_MAX || (value.len && memchr(value.ptr, 0, value.len))) {
        return wm_diag_set(diag, value.len > CATALOGUE_SECRET_BYTES_MAX ? WM_E_LIMIT : WM_E_USAGE,
                           "secret %s: at most %u bytes, and no NUL", secret,
                           CATALOGUE_SECRET_BYTES_MAX);
    }
    int err = take_copy(catalogue, tenant, function, false, &entry, diag);
    if (err) {
        return err;
    }
    for (size_t i = 0; i < entry->secrets.count; i++) {
        if (strcmp(entry->secrets.items[i].name, secret) == 0) {
            present = &entry->secrets.items[i];
        }
    }
    if (!value.ptr && !present) {
        err =
            wm_diag_set(diag, WM_E_NOT_FOUND, "function %s: has no secret %s", entry->name, secret);
    } else if (!value.ptr) {
        wm_free(present->box);
        *present = entry->secrets.items[--entry->secrets.count];
    } else if (!present && entry->secrets.count >= CATALOGUE_SECRETS_MAX) {
        err = wm_diag_set(diag, WM_E_LIMIT, "function %s: has %u secrets already", entry->name,
                          CATALOGUE_SECRETS_MAX);
    } else {
        err = wm_diag_default(diag, put_secret(catalogue, entry, present, secret, value),
                              "catalogue");
    }
    err = err ? err : wm_diag_default(diag, renew_versions(entry), "catalogue");
    if (err) {
        entry_free(&entry->entry);
        return err;
    }
    return change_put(catalogue, &entry->entry, out, diag);
}

int catalogue_secrets(struct catalogue *catalogue, const char *tenant, const char *function,
                      char ***out, struct wm_diag *diag)
{
    uint8_t bound[3 * (CATALOGUE_NAME_BYTES_MAX + 1)];
    const struct function_entry *entry = find(catalogue, tenant, function, strlen(function));
    size_t count = entry ? entry->secrets.count : 0;
    char **list = wm_alloc_zero(count + 1, sizeof *list);
    int err = list ? 0 : wm_diag_default(diag, -ENOMEM, "secrets");
    for (size_t i = 0; i < count && !err; i++) {
        const struct function_secret *secret = &entry->secrets.items[i];
        size_t name_len = strlen(secret->name);
        list[i] = wm_alloc_zero(1, name_len + 1 + secret->len); /* room for the box's extra bytes */
        if (!list[i]) {
            err = wm_diag_default(diag, -ENOMEM, "secrets");
            break;
        }
        memcpy(list[i], secret->name, name_len);
        list[i][name_len] = '=';
        err = wm_unseal(catalogue->key, secret_name(bound, entry, secret->name),
                        wm_view_of(secret->box, secret->len), (uint8_t *)list[i] + name_len + 1);
        if (err) {
            wm_diag_set(diag, err,
                        "function %s: secret %s does not open under this node's key; set it again",
                        entry->name, secret->name);
        }
    }
    if (err) {
        catalogue_secrets_free(list);
        return err;
    }
    *out = list;
    return 0;
}

int function_reseal(struct catalogue *catalogue, struct function_entry *function,
                    const uint8_t before[32], bool *changed)
{
    uint8_t bound[3 * (CATALOGUE_NAME_BYTES_MAX + 1)];
    *changed = false;
    for (size_t i = 0; i < function->secrets.count; i++) {
        struct function_secret *secret = &function->secrets.items[i];
        struct wm_view name = secret_name(bound, function, secret->name);
        struct wm_view box = wm_view_of(secret->box, secret->len);
        uint8_t *text = wm_alloc(secret->len);
        if (!text) {
            return -ENOMEM;
        }
        /* What opens under the present key stays; what opens under neither is said by who uses it.
         */
        if (wm_unseal(catalogue->key, name, box, text) != 0 &&
            wm_unseal(before, name, box, text) == 0) {
            wm_seal(catalogue->key, name, wm_view_of(text, secret->len - WM_SEAL_EXTRA_BYTES),
                    secret->box);
            *changed = true;
        }
        wm_wipe(text, secret->len);
        wm_free(text);
    }
    return *changed ? renew_versions(function) : 0;
}

void catalogue_secrets_free(char **secrets)
{
    for (size_t i = 0; secrets && secrets[i]; i++) {
        wm_wipe(secrets[i], strlen(secrets[i]));
    }
    strings_free(secrets);
}
