/* Routes and cron triggers: one entry and one document for all of a tenant's. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "node/catalogue_internal.h"
#include "node/uri.h"

/* Patterns */

/* "/", "/a/b", "/a/" and a star; no empty segments but the last, no ".", "..", no other star. */
bool route_path_ok(const char *pattern)
{
    size_t len = strlen(pattern);
    if (len == 0 || len > CATALOGUE_PATH_BYTES_MAX || pattern[0] != '/') {
        return false;
    }
    for (const char *at = pattern; *at;) {
        const char *segment = at + 1;
        size_t n = strcspn(segment, "/");
        bool last = !segment[n];
        if ((n == 0 && !last) || (n == 1 && segment[0] == '.') ||
            (n == 2 && memcmp(segment, "..", 2) == 0)) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            uint8_t c = (uint8_t)segment[i];
            if (c <= 0x20 || c >= 0x7f || c == '?' || c == '#' || (c == '*' && !(n == 1 && last))) {
                return false;
            }
        }
        at = segment + n;
    }
    return true;
}

bool route_matches(const char *pattern, const char *path)
{
    size_t len = strlen(pattern);
    if (len >= 2 && strcmp(pattern + len - 2, "/*") == 0) {
        len -= 2;
        return strncmp(pattern, path, len) == 0 && (path[len] == '/' || !path[len]);
    }
    return strcmp(pattern, path) == 0;
}

static bool is_tail(const struct route *route)
{
    size_t len = strlen(route->path);
    return route->path[len - 1] == '*';
}

/* Negative: `a` is tried before `b`. */
static int route_order(const struct route *a, const struct route *b)
{
    if (is_tail(a) != is_tail(b)) {
        return is_tail(a) ? 1 : -1;
    }
    size_t a_len = strlen(a->path), b_len = strlen(b->path);
    if (a_len != b_len) {
        return a_len > b_len ? -1 : 1;
    }
    int order = strcmp(a->path, b->path);
    bool a_any = a->method[0] == '*', b_any = b->method[0] == '*';
    return order ? order : a_any != b_any ? (a_any ? 1 : -1) : strcmp(a->method, b->method);
}

const struct route *catalogue_route(struct catalogue *catalogue, const char *tenant,
                                    const char *method, const char *path, bool *path_known)
{
    const struct routes_entry *entry = entry_find(catalogue, ENTRY_ROUTES, wm_view_str(tenant));
    *path_known = false;
    for (size_t i = 0; entry && i < entry->routes.count; i++) {
        const struct route *route = &entry->routes.items[i];
        if (route_matches(route->path, path)) {
            if (route->method[0] == '*' || strcmp(route->method, method) == 0) {
                return route;
            }
            *path_known = true;
        }
    }
    return NULL;
}

/* Entries */

/* What was removed, and what merging needs to know of items, is in the document and not in what
 * people are shown. */

static int removals_encode(json_t *list, const removal_list *removals)
{
    int err = 0;
    for (size_t i = 0; i < removals->count && !err; i++) {
        err = json_array_append_new(list, json_pack("{s:s, s:I}", "name", removals->items[i].name,
                                                    "removed_ns",
                                                    (json_int_t)removals->items[i].removed_ns));
    }
    return err;
}

/* False: it is a removal, but a wrong one, or there is no memory. *is: it is one. */
static bool removal_decode(const json_t *one, removal_list *removals, bool *is)
{
    struct item_removal removal = {.removed_ns = 0};
    *is = json_object_get(one, "removed_ns") != NULL;
    return !*is || (jsonx_copy(removal.name, sizeof removal.name, jsonx_text(one, "name")) &&
                    jsonx_u64(one, "removed_ns", INT64_MAX, &removal.removed_ns) &&
                    removals->count < REMOVALS_MAX && wm_vec_push(removals, removal) == 0);
}

static bool removals_ok(const removal_list *removals)
{
    for (size_t i = 0; i < removals->count; i++) {
        if (!uri_name_ok(removals->items[i].name)) {
            return false;
        }
    }
    return true;
}

/* All but `name`'s, and those that are old. */
static bool removals_copy(removal_list *to, const removal_list *from, const char *name,
                          uint64_t now_ns)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct item_removal *removal = &from->items[i];
        if (strcmp(removal->name, name) != 0 &&
            removal->removed_ns + (uint64_t)TOMBSTONE_NS > now_ns &&
            wm_vec_push(to, *removal) != 0) {
            return false;
        }
    }
    return true;
}

static int removals_add(removal_list *removals, const char *name, uint64_t now_ns)
{
    struct item_removal removal = {.removed_ns = now_ns};
    if (removals->count == REMOVALS_MAX) { /* the oldest makes room */
        removals->count--;
        memmove(removals->items, removals->items + 1, removals->count * sizeof *removals->items);
    }
    memcpy(removal.name, name, strlen(name) + 1);
    return wm_vec_push(removals, removal);
}

static json_t *for_people(json_t *list)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *one = json_array_get(list, i);
        if (json_object_get(one, "removed_ns")) {
            json_array_remove(list, i);
        } else {
            json_object_del(one, "changed_ns");
        }
    }
    return list;
}

static void routes_free(struct entry *entry)
{
    struct routes_entry *routes = (void *)entry;
    wm_vec_fini(&routes->removals);
    wm_vec_fini(&routes->routes);
}

static json_t *routes_encode(const struct entry *entry)
{
    const struct routes_entry *routes = (const void *)entry;
    json_t *list = json_array();
    for (size_t i = 0; list && i < routes->routes.count; i++) {
        const struct route *route = &routes->routes.items[i];
        json_t *one =
            json_pack("{s:s, s:s, s:s, s:s, s:b, s:I}", "name", route->name, "method",
                      route->method, "path", route->path, "function", route->function, "public",
                      route->is_public, "changed_ns", (json_int_t)route->changed_ns);
        if (json_array_append_new(list, one) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    if (list && removals_encode(list, &routes->removals) != 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static struct entry *routes_decode(struct wm_view key, const json_t *json)
{
    struct routes_entry *routes = (void *)entry_new(ENTRY_ROUTES, sizeof *routes, key);
    size_t i;
    json_t *one;
    if (!routes) {
        return NULL;
    }
    json_array_foreach(json, i, one)
    {
        struct route route = {0};
        bool removal;
        if (!removal_decode(one, &routes->removals, &removal)) {
            entry_free(&routes->entry);
            return NULL;
        }
        if (removal) {
            continue;
        }
        if (!jsonx_copy(route.name, sizeof route.name, jsonx_text(one, "name")) ||
            !jsonx_copy(route.method, sizeof route.method, jsonx_text(one, "method")) ||
            !jsonx_copy(route.path, sizeof route.path, jsonx_text(one, "path")) ||
            !jsonx_copy(route.function, sizeof route.function, jsonx_text(one, "function")) ||
            !jsonx_bool(one, "public", &route.is_public) || !route_path_ok(route.path) ||
            !jsonx_u64(one, "changed_ns", INT64_MAX, &route.changed_ns) ||
            wm_vec_push(&routes->routes, route) != 0) {
            entry_free(&routes->entry);
            return NULL;
        }
        /* In order, also where two lists were merged. */
        for (size_t at = routes->routes.count - 1;
             at > 0 && route_order(&routes->routes.items[at - 1], &route) > 0; at--) {
            routes->routes.items[at] = routes->routes.items[at - 1];
            routes->routes.items[at - 1] = route;
        }
    }
    return &routes->entry;
}

static bool tenant_key_ok(const struct entry *entry)
{
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1] = {0};
    if (entry->key_len >= sizeof tenant || memchr(entry->key, 0, entry->key_len)) {
        return false;
    }
    memcpy(tenant, entry->key, entry->key_len);
    return uri_name_ok(tenant);
}

static bool routes_ok(const struct entry *entry)
{
    const struct routes_entry *routes = (const void *)entry;
    if (!tenant_key_ok(entry) || routes->routes.count > CATALOGUE_ROUTES_MAX ||
        !removals_ok(&routes->removals)) {
        return false;
    }
    for (size_t i = 0; i < routes->routes.count; i++) {
        const struct route *route = &routes->routes.items[i];
        if (!uri_name_ok(route->name) || !route->method[0] || !route_path_ok(route->path) ||
            !function_ref_ok(route->function) ||
            (i && route_order(&routes->routes.items[i - 1], route) >= 0)) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(routes->routes.items[j].name, route->name) == 0) {
                return false;
            }
        }
    }
    return true;
}

const struct entry_ops entry_routes_ops = {"routes", routes_free, routes_encode, routes_decode,
                                           routes_ok};

static void crons_free(struct entry *entry)
{
    struct crons_entry *crons = (void *)entry;
    for (size_t i = 0; i < crons->crons.count; i++) {
        wm_free(crons->crons.items[i].input);
    }
    wm_vec_fini(&crons->removals);
    wm_vec_fini(&crons->crons);
}

static json_t *crons_encode(const struct entry *entry)
{
    const struct crons_entry *crons = (const void *)entry;
    json_t *list = json_array();
    for (size_t i = 0; list && i < crons->crons.count; i++) {
        const struct cron_trigger *cron = &crons->crons.items[i];
        json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", cron->name, "schedule",
                                cron->schedule, "function", cron->function, "input", cron->input,
                                "changed_ns", (json_int_t)cron->changed_ns);
        if (json_array_append_new(list, one) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    if (list && removals_encode(list, &crons->removals) != 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static int push_cron(struct crons_entry *crons, const struct cron_trigger *like)
{
    struct cron_trigger cron = *like;
    cron.input = wm_strdup(like->input);
    int err = cron.input ? wm_vec_push(&crons->crons, cron) : -ENOMEM;
    if (err) {
        wm_free(cron.input);
    }
    return err;
}

static struct entry *crons_decode(struct wm_view key, const json_t *json)
{
    struct crons_entry *crons = (void *)entry_new(ENTRY_CRONS, sizeof *crons, key);
    size_t i;
    json_t *one;
    if (!crons) {
        return NULL;
    }
    json_array_foreach(json, i, one)
    {
        struct cron_trigger cron = {.input = (char *)jsonx_text(one, "input")};
        bool removal;
        if (!removal_decode(one, &crons->removals, &removal)) {
            entry_free(&crons->entry);
            return NULL;
        }
        if (removal) {
            continue;
        }
        if (!cron.input || !jsonx_u64(one, "changed_ns", INT64_MAX, &cron.changed_ns) ||
            !jsonx_copy(cron.name, sizeof cron.name, jsonx_text(one, "name")) ||
            !jsonx_copy(cron.schedule, sizeof cron.schedule, jsonx_text(one, "schedule")) ||
            !jsonx_copy(cron.function, sizeof cron.function, jsonx_text(one, "function")) ||
            push_cron(crons, &cron) != 0) {
            entry_free(&crons->entry);
            return NULL;
        }
    }
    return &crons->entry;
}

static bool crons_ok(const struct entry *entry)
{
    const struct crons_entry *crons = (const void *)entry;
    if (!tenant_key_ok(entry) || crons->crons.count > CATALOGUE_CRONS_MAX ||
        !removals_ok(&crons->removals)) {
        return false;
    }
    for (size_t i = 0; i < crons->crons.count; i++) {
        const struct cron_trigger *cron = &crons->crons.items[i];
        if (!uri_name_ok(cron->name) || !function_ref_ok(cron->function) ||
            strlen(cron->input) > CATALOGUE_CRON_INPUT_MAX) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(crons->crons.items[j].name, cron->name) == 0) {
                return false;
            }
        }
    }
    return true;
}

const struct entry_ops entry_crons_ops = {"crons", crons_free, crons_encode, crons_decode,
                                          crons_ok};

json_t *catalogue_show_routes(struct catalogue *catalogue, const char *tenant)
{
    const struct entry *entry = entry_find(catalogue, ENTRY_ROUTES, wm_view_str(tenant));
    return entry ? for_people(routes_encode(entry)) : json_array();
}

json_t *catalogue_show_crons(struct catalogue *catalogue, const char *tenant)
{
    const struct entry *entry = entry_find(catalogue, ENTRY_CRONS, wm_view_str(tenant));
    return entry ? for_people(crons_encode(entry)) : json_array();
}

void catalogue_each_cron(struct catalogue *catalogue,
                         void (*each)(void *self, const char *tenant,
                                      const struct cron_trigger *trigger),
                         void *self)
{
    size_t at = 0;
    for (struct crons_entry *entry; (entry = map_next(&catalogue->maps[ENTRY_CRONS], &at));) {
        char tenant[CATALOGUE_NAME_BYTES_MAX + 1] = {0};
        memcpy(tenant, entry->entry.key,
               entry->entry.key_len < sizeof tenant ? entry->entry.key_len : sizeof tenant - 1);
        for (size_t i = 0; i < entry->crons.count; i++) {
            each(self, tenant, &entry->crons.items[i]);
        }
    }
}

/* Changes */

/* A copy without the one of that name; *had tells whether it was there. */
static struct routes_entry *routes_without(struct catalogue *catalogue, const char *tenant,
                                           const char *name, bool *had)
{
    struct wm_view key = wm_view_str(tenant);
    const struct routes_entry *present = entry_find(catalogue, ENTRY_ROUTES, key);
    struct routes_entry *copy = (void *)entry_new(ENTRY_ROUTES, sizeof *copy, key);
    *had = false;
    for (size_t i = 0; copy && present && i < present->routes.count; i++) {
        if (strcmp(present->routes.items[i].name, name) == 0) {
            *had = true;
        } else if (wm_vec_push(&copy->routes, present->routes.items[i]) != 0) {
            entry_free(&copy->entry);
            copy = NULL;
        }
    }
    if (copy && present &&
        !removals_copy(&copy->removals, &present->removals, name, revision_now(catalogue))) {
        entry_free(&copy->entry);
        copy = NULL;
    }
    return copy;
}

static bool method_ok(const char *method)
{
    static const char *const methods[] = {"*",   "GET",    "HEAD",  "POST",
                                          "PUT", "DELETE", "PATCH", "OPTIONS"};
    for (unsigned i = 0; i < WM_COUNT_OF(methods); i++) {
        if (strcmp(method, methods[i]) == 0) {
            return true;
        }
    }
    return false;
}

int catalogue_set_route(struct catalogue *catalogue, const char *tenant, const struct route *route,
                        struct catalogue_change **out, struct wm_diag *diag)
{
    bool had;
    int err = need_tenant(catalogue, tenant, diag);
    err = err ? err : need_name("route", route->name, diag);
    if (err) {
        return err;
    }
    if (!method_ok(route->method)) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "route %s: method: one of GET HEAD POST PUT DELETE PATCH OPTIONS *",
                           route->name);
    }
    if (!route_path_ok(route->path)) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "route %s: path: starts with a slash, may end in /*, and has no empty "
                           "segments, no dots alone, no other star",
                           route->name);
    }
    if (!function_ref_ok(route->function)) {
        return wm_diag_set(diag, WM_E_USAGE, "route %s: function: NAME, NAME:ALIAS or NAME@VERSION",
                           route->name);
    }
    struct routes_entry *entry = routes_without(catalogue, tenant, route->name, &had);
    if (!entry) {
        return wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    size_t at = 0;
    while (at < entry->routes.count && route_order(&entry->routes.items[at], route) < 0) {
        at++;
    }
    if (at < entry->routes.count && route_order(&entry->routes.items[at], route) == 0) {
        err = wm_diag_set(diag, WM_E_BUSY, "route %s: route %s has the same method and path",
                          route->name, entry->routes.items[at].name);
    } else if (entry->routes.count >= CATALOGUE_ROUTES_MAX) {
        err = wm_diag_set(diag, WM_E_LIMIT, "route %s: there are %u already", route->name,
                          CATALOGUE_ROUTES_MAX);
    } else if (wm_vec_push(&entry->routes, *route) != 0) {
        err = wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    if (err) {
        entry_free(&entry->entry);
        return err;
    }
    memmove(&entry->routes.items[at + 1], &entry->routes.items[at],
            (entry->routes.count - 1 - at) * sizeof *entry->routes.items);
    entry->routes.items[at] = *route;
    entry->routes.items[at].changed_ns = revision_now(catalogue);
    return change_put(catalogue, &entry->entry, out, diag);
}

int catalogue_remove_route(struct catalogue *catalogue, const char *tenant, const char *name,
                           struct catalogue_change **out, struct wm_diag *diag)
{
    bool had;
    char shown[80];
    int err = need_tenant(catalogue, tenant, diag);
    if (err) {
        return err;
    }
    struct routes_entry *entry = routes_without(catalogue, tenant, name, &had);
    if (!entry || !had) {
        entry_free(entry ? &entry->entry : NULL);
        return entry ? wm_diag_set(diag, WM_E_NOT_FOUND, "route %s: there is none",
                                   wm_diag_quote(shown, sizeof shown, name, strlen(name)))
                     : wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    if (removals_add(&entry->removals, name, revision_now(catalogue)) != 0) {
        entry_free(&entry->entry);
        return wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    return change_put(catalogue, &entry->entry, out, diag);
}

static struct crons_entry *crons_without(struct catalogue *catalogue, const char *tenant,
                                         const char *name, bool *had)
{
    struct wm_view key = wm_view_str(tenant);
    const struct crons_entry *present = entry_find(catalogue, ENTRY_CRONS, key);
    struct crons_entry *copy = (void *)entry_new(ENTRY_CRONS, sizeof *copy, key);
    *had = false;
    for (size_t i = 0; copy && present && i < present->crons.count; i++) {
        if (strcmp(present->crons.items[i].name, name) == 0) {
            *had = true;
        } else if (push_cron(copy, &present->crons.items[i]) != 0) {
            entry_free(&copy->entry);
            copy = NULL;
        }
    }
    if (copy && present &&
        !removals_copy(&copy->removals, &present->removals, name, revision_now(catalogue))) {
        entry_free(&copy->entry);
        copy = NULL;
    }
    return copy;
}

int catalogue_set_cron(struct catalogue *catalogue, const char *tenant,
                       const struct cron_trigger *trigger, struct catalogue_change **out,
                       struct wm_diag *diag)
{
    bool had;
    int err = need_tenant(catalogue, tenant, diag);
    err = err ? err : need_name("cron", trigger->name, diag);
    if (err) {
        return err;
    }
    if (!function_ref_ok(trigger->function)) {
        return wm_diag_set(diag, WM_E_USAGE, "cron %s: function: NAME, NAME:ALIAS or NAME@VERSION",
                           trigger->name);
    }
    if (strlen(trigger->input) > CATALOGUE_CRON_INPUT_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "cron %s: input of more than %u bytes", trigger->name,
                           CATALOGUE_CRON_INPUT_MAX);
    }
    struct crons_entry *entry = crons_without(catalogue, tenant, trigger->name, &had);
    if (!entry) {
        return wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    err = entry->crons.count >= CATALOGUE_CRONS_MAX ? WM_E_LIMIT : push_cron(entry, trigger);
    if (!err) {
        entry->crons.items[entry->crons.count - 1].changed_ns = revision_now(catalogue);
    }
    if (err) {
        entry_free(&entry->entry);
        return wm_diag_set(diag, err, "cron %s: %s", trigger->name,
                           err == WM_E_LIMIT ? "there are as many as there may be" : "no memory");
    }
    return change_put(catalogue, &entry->entry, out, diag);
}

int catalogue_remove_cron(struct catalogue *catalogue, const char *tenant, const char *name,
                          struct catalogue_change **out, struct wm_diag *diag)
{
    bool had;
    char shown[80];
    int err = need_tenant(catalogue, tenant, diag);
    if (err) {
        return err;
    }
    struct crons_entry *entry = crons_without(catalogue, tenant, name, &had);
    if (!entry || !had) {
        entry_free(entry ? &entry->entry : NULL);
        return entry ? wm_diag_set(diag, WM_E_NOT_FOUND, "cron %s: there is none",
                                   wm_diag_quote(shown, sizeof shown, name, strlen(name)))
                     : wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    if (removals_add(&entry->removals, name, revision_now(catalogue)) != 0) {
        entry_free(&entry->entry);
        return wm_diag_default(diag, -ENOMEM, "catalogue");
    }
    return change_put(catalogue, &entry->entry, out, diag);
}
