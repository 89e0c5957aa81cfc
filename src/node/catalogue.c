/* Entries, changes, tenants and tokens; functions are in catalogue_function.c, routes and crons in
 * catalogue_route.c. */
#include "node/catalogue.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/seal.h"
#include "host/file.h"
#include "node/catalogue_internal.h"
#include "node/uri.h"
#include "store/kv.h"

static const struct entry_ops *const ops_of[ENTRY_KINDS] = {
    [ENTRY_TENANT] = &entry_tenant_ops,     [ENTRY_TOKEN] = &entry_token_ops,
    [ENTRY_FUNCTION] = &entry_function_ops, [ENTRY_ROUTES] = &entry_routes_ops,
    [ENTRY_CRONS] = &entry_crons_ops,
};

const struct entry_ops *entry_ops_of(enum entry_kind kind)
{
    return ops_of[kind];
}

uint64_t revision_now(const struct catalogue *catalogue)
{
    return revision_next(catalogue->last_ns, host_realtime_ns());
}

/* Entries */

struct entry *entry_new(enum entry_kind kind, size_t bytes, struct wm_view key)
{
    WM_ASSERT(key.len > 0 && key.len <= ENTRY_KEY_BYTES_MAX);
    struct entry *entry = wm_alloc_zero(1, bytes);
    if (entry) {
        entry->kind = kind;
        entry->key_len = (uint32_t)key.len;
        memcpy(entry->key, key.ptr, key.len);
    }
    return entry;
}

void entry_free(struct entry *entry)
{
    if (entry) {
        ops_of[entry->kind]->free(entry);
        wm_free(entry);
    }
}

struct wm_view entry_key(const struct entry *entry)
{
    return wm_view_of(entry->key, entry->key_len);
}

void *entry_find(const struct catalogue *catalogue, enum entry_kind kind, struct wm_view key)
{
    return map_get(&catalogue->maps[kind], key);
}

struct wm_view entry_pair(uint8_t out[ENTRY_KEY_BYTES_MAX], const char *tenant, const char *name,
                          size_t name_len)
{
    size_t tenant_len = strlen(tenant);
    if (tenant_len > CATALOGUE_NAME_BYTES_MAX || name_len > CATALOGUE_NAME_BYTES_MAX) {
        out[0] = 0;
        return wm_view_of(out, 1);
    }
    memcpy(out, tenant, tenant_len + 1);
    memcpy(out + tenant_len + 1, name, name_len);
    return wm_view_of(out, tenant_len + 1 + name_len);
}

void strings_free(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++) {
        wm_free(strings[i]);
    }
    wm_free(strings);
}

size_t strings_count(char *const *strings)
{
    size_t count = 0;
    while (strings && strings[count]) {
        count++;
    }
    return count;
}

char **strings_copy(char *const *strings)
{
    size_t count = strings_count(strings);
    char **copy = wm_alloc_zero(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = wm_strdup(strings[i]);
        if (!copy[i]) {
            strings_free(copy);
            return NULL;
        }
    }
    return copy;
}

json_t *strings_encode(char *const *strings)
{
    json_t *list = json_array();
    for (size_t i = 0; list && strings && strings[i]; i++) {
        if (json_array_append_new(list, json_string(strings[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

char **strings_decode(const json_t *json, size_t max)
{
    size_t count = json_array_size(json);
    char **strings = count <= max ? wm_alloc_zero(count + 1, sizeof *strings) : NULL;
    for (size_t i = 0; strings && i < count; i++) {
        const char *text = json_string_value(json_array_get(json, i));
        strings[i] = text ? wm_strdup(text) : NULL;
        if (!strings[i]) {
            strings_free(strings);
            return NULL;
        }
    }
    return strings;
}

int need_name(const char *what, const char *name, struct wm_diag *diag)
{
    char shown[80];
    if (uri_name_ok(name)) {
        return 0;
    }
    return wm_diag_set(diag, WM_E_USAGE,
                       "%s %s: a name is 1 to 64 of a-z A-Z 0-9 - _ . and starts with a letter or "
                       "digit",
                       what, wm_diag_quote(shown, sizeof shown, name, strlen(name)));
}

int need_tenant(struct catalogue *catalogue, const char *tenant, struct wm_diag *diag)
{
    char shown[80];
    if (catalogue_tenant(catalogue, tenant)) {
        return 0;
    }
    return wm_diag_set(diag, WM_E_NOT_FOUND, "tenant %s: there is none",
                       wm_diag_quote(shown, sizeof shown, tenant, strlen(tenant)));
}

/* Changes */

int change_new(struct catalogue *catalogue, struct catalogue_change **out, struct wm_diag *diag)
{
    WM_ASSERT(!catalogue->changing);
    struct catalogue_change *change = wm_alloc_zero(1, sizeof *change);
    if (!change) {
        return wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    change->catalogue = catalogue;
    int err = kv_batch_new(catalogue->kv, &change->batch);
    if (err) {
        wm_free(change);
        return wm_diag_default(diag, err, "catalogue");
    }
    catalogue->changing = true;
    *out = change;
    return 0;
}

static void change_free(struct catalogue_change *change)
{
    change->catalogue->changing = false;
    wm_vec_fini(&change->ops);
    wm_free(change);
}

void change_drop(struct catalogue_change *change)
{
    if (!change) {
        return;
    }
    for (size_t i = 0; i < change->ops.count; i++) {
        entry_free(change->ops.items[i].next);
        wm_free(change->ops.items[i].slot);
    }
    if (change->batch) {
        kv_batch_drop(change->batch);
    }
    change_free(change);
}

/* The slot that the map will hold, and the revision's row in the batch. */
static int stamp(struct catalogue_change *change, struct change_op *op,
                 const struct revision *revision)
{
    uint8_t bytes[REVISION_BYTES_MAX];
    struct revision_slot *slot = wm_alloc_zero(1, sizeof *slot);
    if (!slot) {
        return -ENOMEM;
    }
    slot->revision = *revision;
    slot->key_len = 1 + op->key_len;
    slot->key[0] = (uint8_t)op->kind;
    memcpy(slot->key + 1, op->key, op->key_len);
    size_t len = revision_encode(revision, bytes);
    int err = kv_put(change->batch, REVISIONS_TABLE, wm_view_of(slot->key, slot->key_len),
                     wm_view_of(bytes, len));
    err = err ? err : map_reserve(&change->catalogue->revisions, change->ops.count + 1);
    if (err) {
        wm_free(slot);
        return err;
    }
    op->slot = slot;
    return 0;
}

/* given NULL: a change of this node's, now. foreign: as another node made it. */
static int add_op(struct catalogue_change *change, enum entry_kind kind, struct wm_view key,
                  struct entry *next, const struct revision *given, bool foreign)
{
    struct catalogue *catalogue = change->catalogue;
    struct change_op op = {
        .kind = kind, .next = next, .foreign = foreign, .key_len = (uint32_t)key.len};
    struct revision revision = {.removed = next == NULL};
    WM_ASSERT(key.len > 0 && key.len <= sizeof op.key);
    memcpy(op.key, key.ptr, key.len);
    if (given) {
        revision = *given;
    } else {
        revision.time_ns = catalogue->defaults ? 1 : revision_now(catalogue);
        memcpy(revision.node, catalogue->node, sizeof revision.node);
    }
    if (revision.time_ns > catalogue->last_ns) {
        catalogue->last_ns = revision.time_ns;
    }
    int err = stamp(change, &op, &revision);
    err = err ? err : wm_vec_push(&change->ops, op);
    if (err) {
        wm_free(op.slot);
    }
    return err;
}

static int add_entry(struct catalogue_change *change, struct entry *next,
                     const struct revision *given, bool foreign)
{
    const struct entry_ops *ops = ops_of[next->kind];
    json_t *json = ops->encode(next);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    int err =
        text ? kv_put(change->batch, ops->table, entry_key(next), wm_view_str(text)) : -ENOMEM;
    size_t puts = 1;
    for (size_t i = 0; i < change->ops.count; i++) {
        puts += change->ops.items[i].kind == next->kind;
    }
    err = err ? err : map_reserve(&change->catalogue->maps[next->kind], puts);
    err = err ? err : add_op(change, next->kind, entry_key(next), next, given, foreign);
    if (err) {
        entry_free(next);
    }
    json_decref(json);
    free(text); /* jansson's, from the C library */
    return err;
}

int change_add(struct catalogue_change *change, struct entry *next)
{
    return add_entry(change, next, NULL, false);
}

int change_add_foreign(struct catalogue_change *change, struct entry *next,
                       const struct revision *revision)
{
    return add_entry(change, next, revision, true);
}

int change_add_removal(struct catalogue_change *change, const struct entry *entry)
{
    int err = kv_remove(change->batch, ops_of[entry->kind]->table, entry_key(entry));
    return err ? err : add_op(change, entry->kind, entry_key(entry), NULL, NULL, false);
}

int change_add_merged(struct catalogue_change *change, struct entry *next, const struct revision *a,
                      const struct revision *b)
{
    /* The least that is greater than both: what somebody has changed since still wins. */
    struct revision revision = {.time_ns = (a->time_ns > b->time_ns ? a->time_ns : b->time_ns) + 1};
    memcpy(revision.node, change->catalogue->node, sizeof revision.node);
    return add_entry(change, next, &revision, false);
}

int change_add_tombstone(struct catalogue_change *change, enum entry_kind kind, struct wm_view key,
                         const struct revision *revision)
{
    int err = kv_remove(change->batch, ops_of[kind]->table, key);
    return err ? err : add_op(change, kind, key, NULL, revision, true);
}

int change_add_forget(struct catalogue_change *change, const struct revision_slot *slot)
{
    struct change_op op = {
        .kind = (enum entry_kind)slot->key[0], .foreign = true, .key_len = slot->key_len - 1};
    memcpy(op.key, slot->key + 1, op.key_len);
    int err = kv_remove(change->batch, REVISIONS_TABLE, wm_view_of(slot->key, slot->key_len));
    return err ? err : wm_vec_push(&change->ops, op);
}

int change_put(struct catalogue *catalogue, struct entry *next, struct catalogue_change **out,
               struct wm_diag *diag)
{
    struct catalogue_change *change = NULL;
    int err = change_new(catalogue, &change, diag);
    if (err) {
        entry_free(next);
        return err;
    }
    err = change_add(change, next);
    if (err) {
        change_drop(change);
        return wm_diag_default(diag, err, "catalogue");
    }
    *out = change;
    return 0;
}

int catalogue_change_commit(struct catalogue_change *change, struct wm_diag *diag)
{
    struct kv_batch *batch = change->batch;
    change->batch = NULL;
    int err = kv_commit(batch, diag);
    if (err) {
        wm_diag_prefix(diag, "catalogue");
    }
    return err;
}

/* Keys begin with the tenant's name, but those of tokens. */
static void tell_changed(struct catalogue *catalogue, const struct change_op *op)
{
    struct catalogue_changed changed = {
        .kind = op->kind, .key = wm_view_of(op->key, op->key_len), .foreign = op->foreign};
    if (op->kind != ENTRY_TOKEN) {
        size_t len = strnlen((const char *)op->key, op->key_len);
        memcpy(changed.tenant, op->key,
               len < sizeof changed.tenant ? len : sizeof changed.tenant - 1);
    }
    if (op->slot) {
        catalogue->changed(catalogue->changed_self, &changed);
    }
}

void catalogue_change_apply(struct catalogue_change *change, bool committed)
{
    if (!committed) {
        change_drop(change);
        return;
    }
    struct catalogue *catalogue = change->catalogue;
    for (size_t i = 0; i < change->ops.count; i++) {
        struct change_op *op = &change->ops.items[i];
        struct map *map = &catalogue->maps[op->kind];
        if (op->slot) {
            wm_free(map_put(&catalogue->revisions, wm_view_of(op->slot->key, op->slot->key_len),
                            op->slot));
            struct entry *before = op->next ? map_put(map, entry_key(op->next), op->next)
                                            : map_remove(map, wm_view_of(op->key, op->key_len));
            entry_free(before);
        } else {
            uint8_t key[1 + ENTRY_KEY_BYTES_MAX] = {(uint8_t)op->kind};
            memcpy(key + 1, op->key, op->key_len);
            wm_free(map_remove(&catalogue->revisions, wm_view_of(key, 1 + op->key_len)));
        }
    }
    for (size_t i = 0; catalogue->changed && i < change->ops.count; i++) {
        tell_changed(catalogue, &change->ops.items[i]);
    }
    change_free(change);
}

int catalogue_change_now(struct catalogue_change *change, struct wm_diag *diag)
{
    int err = catalogue_change_commit(change, diag);
    catalogue_change_apply(change, err == 0);
    return err;
}

/* Opening */

struct loading {
    struct catalogue *catalogue;
    enum entry_kind kind;
    int err;
};

static bool load_one(void *self, struct wm_view key, struct wm_view value)
{
    struct loading *loading = self;
    const struct entry_ops *ops = ops_of[loading->kind];
    json_t *json = json_loadb((const char *)value.ptr, value.len, 0, NULL);
    struct entry *entry =
        json && key.len && key.len <= ENTRY_KEY_BYTES_MAX ? ops->decode(key, json) : NULL;
    json_decref(json);
    struct map *map = &loading->catalogue->maps[loading->kind];
    loading->err = !entry ? WM_E_MALFORMED : map_reserve(map, 1);
    if (loading->err) {
        entry_free(entry);
        return false;
    }
    struct entry *before = map_put(map, entry_key(entry), entry);
    WM_ASSERT(!before);
    return true;
}

int catalogue_open(struct kv *kv, const uint8_t secret_key[32], struct catalogue **out,
                   struct wm_diag *diag)
{
    struct kv_reader *reader = NULL;
    struct catalogue *catalogue = wm_alloc_zero(1, sizeof *catalogue);
    if (!catalogue) {
        return wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    catalogue->kv = kv;
    memcpy(catalogue->key, secret_key, sizeof catalogue->key);
    for (unsigned kind = 0; kind < ENTRY_KINDS; kind++) {
        map_init(&catalogue->maps[kind]);
    }
    map_init(&catalogue->revisions);
    int err = kv_read_begin(kv, &reader, diag);
    for (unsigned kind = 0; kind < ENTRY_KINDS && !err; kind++) {
        struct loading loading = {catalogue, (enum entry_kind)kind, 0};
        err = kv_scan(reader, ops_of[kind]->table, (struct wm_view){0}, (struct wm_view){0},
                      load_one, &loading);
        err = err == WM_E_NOT_FOUND ? 0 : err;
        err = err ? err : loading.err;
        if (err) {
            wm_diag_set(diag, err, "catalogue: table %s of the store: %s", ops_of[kind]->table,
                        wm_error_text(err));
        }
    }
    err = err ? err
              : wm_diag_default(diag, revisions_load(catalogue, reader),
                                "catalogue: table " REVISIONS_TABLE " of the store");
    if (reader) {
        kv_read_end(reader);
    }
    if (err) {
        catalogue_close(catalogue);
        return err;
    }
    *out = catalogue;
    return 0;
}

void catalogue_close(struct catalogue *catalogue)
{
    if (!catalogue) {
        return;
    }
    WM_ASSERT(!catalogue->changing);
    for (unsigned kind = 0; kind < ENTRY_KINDS; kind++) {
        size_t at = 0;
        for (struct entry *entry; (entry = map_next(&catalogue->maps[kind], &at));) {
            entry_free(entry);
        }
        map_fini(&catalogue->maps[kind]);
    }
    size_t at = 0;
    for (struct revision_slot *slot; (slot = map_next(&catalogue->revisions, &at));) {
        wm_free(slot);
    }
    map_fini(&catalogue->revisions);
    wm_wipe(catalogue->key, sizeof catalogue->key);
    wm_free(catalogue);
}

/* Tenants */

#define QUOTA_FIELDS(X)                          \
    X(u32, cpu_weight, 10000, 100)               \
    X(u32, cpu_percent, 100000, 0)               \
    X(u64, memory_bytes, INT64_MAX, 2 * GIB)     \
    X(u64, net_bits_per_s, INT64_MAX, 100000000) \
    X(u32, calls_running, 1000000, 256)          \
    X(u32, calls_queued, 1000000, 1024)          \
    X(u32, calls_per_s, 100000000, 0)            \
    X(u64, state_bytes, INT64_MAX, GIB)          \
    X(u64, modules_bytes, INT64_MAX, GIB)        \
    X(u64, results_bytes, INT64_MAX, 256 * MIB)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void tenant_quota_default(struct tenant_quota *quota)
{
#define QUOTA_DEFAULT(type, name, max, value)         \
    if (quota->name == 0) {                           \
        quota->name = (__typeof__(quota->name))value; \
    }
    QUOTA_FIELDS(QUOTA_DEFAULT)
#undef QUOTA_DEFAULT
}

static json_t *tenant_quota_encode(const struct tenant_quota *quota)
{
    json_t *json = json_object();
    int err = json ? 0 : -ENOMEM;
#define QUOTA_ENCODE(type, name, max, value) \
    err = err ? err : jsonx_set(json, #name, json_integer((json_int_t)quota->name));
    QUOTA_FIELDS(QUOTA_ENCODE)
#undef QUOTA_ENCODE
    if (err) {
        json_decref(json);
        return NULL;
    }
    return json;
}

bool tenant_quota_decode(const json_t *json, struct tenant_quota *quota, const char **wrong)
{
    static const char *const names[] = {
#define QUOTA_NAME(type, name, max, value) #name,
        QUOTA_FIELDS(QUOTA_NAME)
#undef QUOTA_NAME
            NULL};
    if (json && !json_is_object(json)) {
        *wrong = "quota";
        return false;
    }
    *wrong = jsonx_unknown(json, names);
    if (**wrong) {
        return false;
    }
#define QUOTA_DECODE(type, name, max, value)             \
    if (!jsonx_##type(json, #name, max, &quota->name)) { \
        *wrong = #name;                                  \
        return false;                                    \
    }
    QUOTA_FIELDS(QUOTA_DECODE)
#undef QUOTA_DECODE
    return true;
}

static void tenant_free(struct entry *entry)
{
    strings_free(((struct tenant_entry *)entry)->tenant.allow);
}

static json_t *tenant_encode(const struct entry *entry)
{
    const struct tenant *tenant = &((const struct tenant_entry *)entry)->tenant;
    json_t *json = json_object();
    int err = jsonx_set(json, "name", json_string(tenant->name));
    err = err ? err : jsonx_set(json, "trust_class", json_string(tenant->trust_class));
    err = err ? err : jsonx_set(json, "quota", tenant_quota_encode(&tenant->quota));
    err = err ? err : jsonx_set(json, "allow", strings_encode(tenant->allow));
    if (err) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static struct entry *tenant_decode(struct wm_view key, const json_t *json)
{
    const char *wrong;
    struct tenant_entry *entry = (void *)entry_new(ENTRY_TENANT, sizeof *entry, key);
    struct tenant *tenant = entry ? &entry->tenant : NULL;
    if (!entry) {
        return NULL;
    }
    tenant->allow = strings_decode(json_object_get(json, "allow"), CATALOGUE_ALLOW_MAX);
    if (!tenant->allow ||
        !jsonx_copy(tenant->name, sizeof tenant->name, jsonx_text(json, "name")) ||
        !jsonx_copy(tenant->trust_class, sizeof tenant->trust_class,
                    jsonx_text(json, "trust_class")) ||
        !tenant_quota_decode(json_object_get(json, "quota"), &tenant->quota, &wrong) ||
        !wm_view_eq_str(key, tenant->name)) {
        entry_free(&entry->entry);
        return NULL;
    }
    tenant_quota_default(&tenant->quota);
    return &entry->entry;
}

const struct tenant *catalogue_tenant(struct catalogue *catalogue, const char *name)
{
    struct tenant_entry *entry = entry_find(catalogue, ENTRY_TENANT, wm_view_str(name));
    return entry ? &entry->tenant : NULL;
}

/* "host:port", "*.suffix:port"; an IPv6 address in brackets. */
static bool allow_ok(const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || colon == text || colon - text > 255 || !uri_number(colon + 1, 65535, &port) ||
        port == 0) {
        return false;
    }
    for (const char *at = text; at < colon; at++) {
        bool first = at == text;
        bool alnum = (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9');
        bool bracket = text[0] == '[' && (*at == '[' || *at == ']' || *at == ':');
        if (!alnum && !bracket && *at != '-' && *at != '.' &&
            !(first && *at == '*' && at[1] == '.')) {
            return false;
        }
    }
    return true;
}

static bool tenant_ok(const struct entry *entry)
{
    const struct tenant *tenant = &((const struct tenant_entry *)entry)->tenant;
    for (size_t i = 0; tenant->allow[i]; i++) {
        if (!allow_ok(tenant->allow[i])) {
            return false;
        }
    }
    return uri_name_ok(tenant->name) && uri_name_ok(tenant->trust_class);
}

const struct entry_ops entry_tenant_ops = {"tenants", tenant_free, tenant_encode, tenant_decode,
                                           tenant_ok};

int catalogue_set_tenant(struct catalogue *catalogue, const struct tenant *tenant,
                         struct catalogue_change **out, struct wm_diag *diag)
{
    int err = need_name("tenant", tenant->name, diag);
    const char *trust_class = tenant->trust_class[0] ? tenant->trust_class : tenant->name;
    err = err ? err : need_name("trust class", trust_class, diag);
    if (err) {
        return err;
    }
    if (strings_count(tenant->allow) > CATALOGUE_ALLOW_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "tenant %s: more than %u hosts", tenant->name,
                           CATALOGUE_ALLOW_MAX);
    }
    for (size_t i = 0; tenant->allow && tenant->allow[i]; i++) {
        char shown[64];
        if (!allow_ok(tenant->allow[i])) {
            return wm_diag_set(
                diag, WM_E_USAGE,
                "tenant %s: allow: %s: not host:port or *.suffix:port in lower case", tenant->name,
                wm_diag_quote(shown, sizeof shown, tenant->allow[i], strlen(tenant->allow[i])));
        }
    }
    if (tenant->quota.cpu_weight > 10000) {
        return wm_diag_set(diag, WM_E_USAGE, "tenant %s: cpu_weight: 1 to 10000", tenant->name);
    }
    if (!catalogue_tenant(catalogue, tenant->name) &&
        catalogue->maps[ENTRY_TENANT].count >= CATALOGUE_TENANTS_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "tenant %s: there are %u already", tenant->name,
                           CATALOGUE_TENANTS_MAX);
    }
    struct tenant_entry *entry =
        (void *)entry_new(ENTRY_TENANT, sizeof *entry, wm_view_str(tenant->name));
    if (!entry) {
        return wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    entry->tenant = *tenant;
    memmove(entry->tenant.trust_class, trust_class, strlen(trust_class) + 1);
    entry->tenant.allow = strings_copy(tenant->allow);
    if (!entry->tenant.allow) {
        entry_free(&entry->entry);
        return wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    tenant_quota_default(&entry->tenant.quota);
    return change_put(catalogue, &entry->entry, out, diag);
}

/* Does the entry belong to this tenant? */
static bool is_of(const struct entry *entry, const char *tenant)
{
    struct wm_view key = entry_key(entry), first;
    if (entry->kind == ENTRY_TOKEN) {
        return strcmp(((const struct token_entry *)entry)->tenant, tenant) == 0;
    }
    if (entry->kind == ENTRY_FUNCTION) {
        return strcmp(((const struct function_entry *)entry)->tenant, tenant) == 0;
    }
    return wm_view_slice(key, 0, strlen(tenant), &first) && wm_view_eq(key, wm_view_str(tenant));
}

int catalogue_remove_tenant(struct catalogue *catalogue, const char *name,
                            struct catalogue_change **out, struct wm_diag *diag)
{
    struct catalogue_change *change = NULL;
    int err = need_tenant(catalogue, name, diag);
    err = err ? err : change_new(catalogue, &change, diag);
    if (err) {
        return err;
    }
    for (unsigned kind = 0; kind < ENTRY_KINDS && !err; kind++) {
        size_t at = 0;
        for (struct entry *entry; !err && (entry = map_next(&catalogue->maps[kind], &at));) {
            err = is_of(entry, name) ? change_add_removal(change, entry) : 0;
        }
    }
    if (err) {
        change_drop(change);
        return wm_diag_default(diag, err, "catalogue");
    }
    *out = change;
    return 0;
}

json_t *catalogue_show_tenant(struct catalogue *catalogue, const char *name)
{
    const struct entry *entry = entry_find(catalogue, ENTRY_TENANT, wm_view_str(name));
    return entry ? tenant_encode(entry) : NULL;
}

static uint32_t functions_of(const struct catalogue *catalogue, const char *tenant)
{
    uint32_t count = 0;
    size_t at = 0;
    for (struct entry *entry; (entry = map_next(&catalogue->maps[ENTRY_FUNCTION], &at));) {
        count += is_of(entry, tenant);
    }
    return count;
}

json_t *catalogue_show_tenants(struct catalogue *catalogue)
{
    json_t *list = json_array();
    size_t at = 0;
    for (struct tenant_entry *entry;
         list && (entry = map_next(&catalogue->maps[ENTRY_TENANT], &at));) {
        json_t *one = tenant_encode(&entry->entry);
        jsonx_set(one, "functions", json_integer(functions_of(catalogue, entry->tenant.name)));
        if (json_array_append_new(list, one) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Tokens */

static const char *const role_names[] = {"none", "invoke", "deploy", "admin"};

const char *role_text(enum role role)
{
    return role_names[role];
}

bool role_parse(const char *text, enum role *out)
{
    for (unsigned i = ROLE_INVOKE; text && i <= ROLE_ADMIN; i++) {
        if (strcmp(text, role_names[i]) == 0) {
            *out = (enum role)i;
            return true;
        }
    }
    return false;
}

static void token_free(struct entry *entry)
{
    (void)entry;
}

static json_t *token_encode(const struct entry *entry)
{
    const struct token_entry *token = (const void *)entry;
    return json_pack("{s:s, s:s, s:s, s:I}", "tenant", token->tenant, "id", token->id, "role",
                     role_text(token->role), "created_ns", (json_int_t)token->created_ns);
}

static struct entry *token_decode(struct wm_view key, const json_t *json)
{
    struct token_entry *token = (void *)entry_new(ENTRY_TOKEN, sizeof *token, key);
    uint64_t created = 0;
    if (!token) {
        return NULL;
    }
    if (key.len != 32 ||
        !jsonx_copy(token->tenant, sizeof token->tenant, jsonx_text(json, "tenant")) ||
        !jsonx_copy(token->id, sizeof token->id, jsonx_text(json, "id")) ||
        !role_parse(jsonx_text(json, "role"), &token->role) ||
        !jsonx_u64(json, "created_ns", INT64_MAX, &created)) {
        entry_free(&token->entry);
        return NULL;
    }
    token->created_ns = (int64_t)created;
    return &token->entry;
}

static bool token_ok(const struct entry *entry)
{
    const struct token_entry *token = (const void *)entry;
    uint8_t id[CATALOGUE_ID_BYTES / 2];
    return (!token->tenant[0] || uri_name_ok(token->tenant)) &&
           jsonx_unhex(token->id, strlen(token->id), id, sizeof id);
}

const struct entry_ops entry_token_ops = {"tokens", token_free, token_encode, token_decode,
                                          token_ok};

/* The same work for good and bad tokens: one hash and one look-up. What the look-up's time tells is
 * about a hash that its sender cannot choose. */
enum role catalogue_token(struct catalogue *catalogue, struct wm_view token, const char **tenant)
{
    uint8_t hash[WM_SHA256_BYTES];
    token.len = token.len > 4 * CATALOGUE_TOKEN_BYTES ? 0 : token.len;
    wm_sha256_once(token, hash);
    struct token_entry *entry = entry_find(catalogue, ENTRY_TOKEN, wm_view_of(hash, sizeof hash));
    if (!entry) {
        return ROLE_NONE;
    }
    *tenant = entry->tenant;
    return entry->role;
}

int catalogue_add_token(struct catalogue *catalogue, const char *tenant, enum role role,
                        char text[CATALOGUE_TOKEN_BYTES + 1], char id[CATALOGUE_ID_BYTES + 1],
                        struct catalogue_change **out, struct wm_diag *diag)
{
    uint8_t secret[32], hash[WM_SHA256_BYTES], name[CATALOGUE_ID_BYTES / 2];
    int err = *tenant ? need_tenant(catalogue, tenant, diag) : 0;
    if (err) {
        return err;
    }
    uint32_t count = 0;
    size_t at = 0;
    for (struct entry *entry; (entry = map_next(&catalogue->maps[ENTRY_TOKEN], &at));) {
        count += is_of(entry, tenant);
    }
    if (count >= CATALOGUE_TOKENS_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "tenant %s: has %u tokens already; remove some",
                           tenant, count);
    }
    wm_random_bytes(secret, sizeof secret);
    wm_random_bytes(name, sizeof name);
    memcpy(text, "wmt_", 4);
    jsonx_hex(text + 4, secret, sizeof secret);
    jsonx_hex(id, name, sizeof name);
    wm_wipe(secret, sizeof secret);
    wm_sha256_once(wm_view_of(text, CATALOGUE_TOKEN_BYTES), hash);
    struct token_entry *token =
        (void *)entry_new(ENTRY_TOKEN, sizeof *token, wm_view_of(hash, sizeof hash));
    if (!token) {
        return wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    memcpy(token->tenant, tenant, strlen(tenant) + 1);
    memcpy(token->id, id, sizeof token->id);
    token->role = role;
    token->created_ns = host_realtime_ns();
    return change_put(catalogue, &token->entry, out, diag);
}

int catalogue_remove_token(struct catalogue *catalogue, const char *tenant, const char *id,
                           struct catalogue_change **out, struct wm_diag *diag)
{
    size_t at = 0;
    struct catalogue_change *change = NULL;
    for (struct token_entry *token; (token = map_next(&catalogue->maps[ENTRY_TOKEN], &at));) {
        if (strcmp(token->tenant, tenant) == 0 && strcmp(token->id, id) == 0) {
            int err = change_new(catalogue, &change, diag);
            if (!err && (err = change_add_removal(change, &token->entry)) != 0) {
                change_drop(change);
                return wm_diag_default(diag, err, "catalogue");
            }
            *out = err ? NULL : change;
            return err;
        }
    }
    char shown[40];
    return wm_diag_set(diag, WM_E_NOT_FOUND, "token %s: there is none of that id",
                       wm_diag_quote(shown, sizeof shown, id, strlen(id)));
}

json_t *catalogue_show_tokens(struct catalogue *catalogue, const char *tenant)
{
    json_t *list = json_array();
    size_t at = 0;
    for (struct entry *entry; list && (entry = map_next(&catalogue->maps[ENTRY_TOKEN], &at));) {
        if (is_of(entry, tenant) && json_array_append_new(list, token_encode(entry)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
