/* catalogue_sync.c: revisions, merging, and changes that other nodes have made. */
#include "node/catalogue_sync.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/catalogue_internal.h"
#include "node/log.h"
#include "node/uri.h"
#include "store/kv.h"

#define NS_PER_S 1000000000
/* Nodes that came together may have more than one may make, but not without end. */
#define TENANTS_MAX (2u * CATALOGUE_TENANTS_MAX)
#define ENTRIES_MAX (1u << 20)

/* Revisions */

int revision_compare(const struct revision *a, const struct revision *b)
{
    if (a->time_ns != b->time_ns) {
        return a->time_ns < b->time_ns ? -1 : 1;
    }
    return strcmp(a->node, b->node);
}

size_t revision_encode(const struct revision *revision, uint8_t out[REVISION_BYTES_MAX])
{
    size_t len = strnlen(revision->node, CATALOGUE_NAME_BYTES_MAX);
    memcpy(out, &revision->time_ns, 8);
    out[8] = revision->removed;
    memcpy(out + 9, revision->node, len);
    return 9 + len;
}

bool revision_decode(struct wm_view bytes, struct revision *out)
{
    struct wm_cursor cursor = wm_cursor_of(bytes);
    struct wm_view node;
    uint8_t removed;
    *out = (struct revision){0};
    if (!wm_cursor_u64(&cursor, &out->time_ns) || !wm_cursor_u8(&cursor, &removed) || removed > 1 ||
        out->time_ns == 0 || out->time_ns > INT64_MAX ||
        wm_cursor_left(&cursor) > CATALOGUE_NAME_BYTES_MAX ||
        !wm_cursor_bytes(&cursor, wm_cursor_left(&cursor), &node) ||
        (node.len && memchr(node.ptr, 0, node.len))) {
        return false;
    }
    out->removed = removed == 1;
    if (node.len) {
        memcpy(out->node, node.ptr, node.len);
    }
    return true;
}

uint64_t revision_next(uint64_t last, int64_t now_ns)
{
    return now_ns > 0 && (uint64_t)now_ns > last ? (uint64_t)now_ns : last + 1;
}

static struct wm_view slot_key(uint8_t out[1 + ENTRY_KEY_BYTES_MAX], enum entry_kind kind,
                               struct wm_view key)
{
    WM_ASSERT(key.len <= ENTRY_KEY_BYTES_MAX);
    out[0] = (uint8_t)kind;
    if (key.len) {
        memcpy(out + 1, key.ptr, key.len);
    }
    return wm_view_of(out, 1 + key.len);
}

const struct revision *revision_find(const struct catalogue *catalogue, enum entry_kind kind,
                                     struct wm_view key)
{
    uint8_t bytes[1 + ENTRY_KEY_BYTES_MAX];
    const struct revision_slot *slot = map_get(&catalogue->revisions, slot_key(bytes, kind, key));
    return slot ? &slot->revision : NULL;
}

struct loading {
    struct catalogue *catalogue;
    int err;
};

static bool load_one(void *self, struct wm_view key, struct wm_view value)
{
    struct loading *loading = self;
    struct catalogue *catalogue = loading->catalogue;
    struct revision revision;
    if (key.len < 2 || key.len > 1 + ENTRY_KEY_BYTES_MAX || key.ptr[0] >= ENTRY_KINDS ||
        !revision_decode(value, &revision)) {
        loading->err = WM_E_MALFORMED;
        return false;
    }
    struct revision_slot *slot = wm_alloc_zero(1, sizeof *slot);
    loading->err = slot ? map_reserve(&catalogue->revisions, 1) : -ENOMEM;
    if (loading->err) {
        wm_free(slot);
        return false;
    }
    slot->revision = revision;
    slot->key_len = (uint32_t)key.len;
    memcpy(slot->key, key.ptr, key.len);
    if (revision.time_ns > catalogue->last_ns) {
        catalogue->last_ns = revision.time_ns;
    }
    wm_free(map_put(&catalogue->revisions, wm_view_of(slot->key, slot->key_len), slot));
    return true;
}

int revisions_load(struct catalogue *catalogue, struct kv_reader *reader)
{
    struct loading loading = {catalogue, 0};
    int err = kv_scan(reader, REVISIONS_TABLE, (struct wm_view){0}, (struct wm_view){0}, load_one,
                      &loading);
    return err == WM_E_NOT_FOUND ? 0 : err ? err : loading.err;
}

void catalogue_set_node(struct catalogue *catalogue, const char *name)
{
    size_t len = strnlen(name, sizeof catalogue->node - 1);
    memcpy(catalogue->node, name, len);
    catalogue->node[len] = 0;
}

void catalogue_defaults(struct catalogue *catalogue, bool on)
{
    catalogue->defaults = on;
}

void catalogue_on_change(struct catalogue *catalogue,
                         void (*changed)(void *self, const struct catalogue_changed *changed),
                         void *self)
{
    catalogue->changed = changed;
    catalogue->changed_self = self;
}

/* Reading what is committed */

int catalogue_export(struct kv_reader *reader, enum entry_kind kind, struct wm_view key,
                     struct revision *revision, struct wm_view *text)
{
    uint8_t bytes[1 + ENTRY_KEY_BYTES_MAX];
    struct wm_view value;
    *text = (struct wm_view){0};
    int err = kv_get(reader, REVISIONS_TABLE, slot_key(bytes, kind, key), &value);
    if (err) {
        return err;
    }
    if (!revision_decode(value, revision)) {
        return WM_E_MALFORMED;
    }
    return revision->removed ? 0 : kv_get(reader, entry_ops_of(kind)->table, key, text);
}

struct walking {
    enum entry_kind kind;
    struct wm_view after;
    uint64_t oldest;
    catalogue_revision_fn *emit;
    void *self;
};

static bool walk_one(void *self, struct wm_view key, struct wm_view value)
{
    struct walking *walking = self;
    struct revision revision;
    struct wm_view own;
    if (!wm_view_slice(key, 1, key.len - 1, &own) || !revision_decode(value, &revision) ||
        wm_view_eq(own, walking->after) ||
        (revision.removed && revision.time_ns < walking->oldest)) {
        return true;
    }
    return walking->emit(walking->self, own, &revision);
}

static uint64_t oldest_tombstone(int64_t now_ns)
{
    return now_ns > TOMBSTONE_NS ? (uint64_t)(now_ns - TOMBSTONE_NS) : 0;
}

int catalogue_each_revision(struct kv_reader *reader, enum entry_kind kind, struct wm_view after,
                            int64_t now_ns, catalogue_revision_fn *emit, void *self)
{
    uint8_t from[1 + ENTRY_KEY_BYTES_MAX], prefix = (uint8_t)kind;
    struct walking walking = {kind, after, oldest_tombstone(now_ns), emit, self};
    int err = kv_scan(reader, REVISIONS_TABLE, wm_view_of(&prefix, 1), slot_key(from, kind, after),
                      walk_one, &walking);
    return err == WM_E_NOT_FOUND ? 0 : err;
}

/* Merging two states of a function */

static bool same_version(const struct function_version *a, const struct function_version *b)
{
    return a->created_ns == b->created_ns && memcmp(a->module_sha256, b->module_sha256, 32) == 0 &&
           memcmp(a->image_sha256, b->image_sha256, 32) == 0;
}

/* Which of two was uploaded first; the same answer on every node. */
static bool is_earlier(const struct function_version *a, const struct function_version *b)
{
    if (a->created_ns != b->created_ns) {
        return a->created_ns < b->created_ns;
    }
    int order = memcmp(a->module_sha256, b->module_sha256, 32);
    return order ? order < 0 : memcmp(a->image_sha256, b->image_sha256, 32) < 0;
}

/* One version of the merged function, with the aliases that mean it by their index. */
struct merging {
    const struct function_version *version; /* borrowed from either */
    uint32_t number;
    uint64_t aliases; /* bits */
};
_Static_assert(CATALOGUE_ALIASES_MAX <= 64, "aliases are bits of a word");

static size_t collect(const struct function_entry *winner, const struct function_entry *loser,
                      uint64_t since_ns, struct merging out[2 * CATALOGUE_VERSIONS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < winner->versions.count; i++) {
        const struct function_version *version = winner->versions.items[i];
        struct merging one = {version, version->version, 0};
        for (size_t j = 0; j < winner->aliases.count; j++) {
            one.aliases |= (uint64_t)(winner->aliases.items[j].version == version->version) << j;
        }
        if ((uint64_t)version->created_ns >= since_ns) {
            out[count++] = one;
        }
    }
    size_t own = count;
    for (size_t i = 0; i < loser->versions.count; i++) {
        const struct function_version *version = loser->versions.items[i];
        size_t at = 0;
        while (at < own && !same_version(out[at].version, version)) {
            at++;
        }
        if (at < own) {
            out[at].number = version->version > out[at].number ? version->version : out[at].number;
        } else if ((uint64_t)version->created_ns >= since_ns) {
            out[count++] = (struct merging){version, version->version, 0};
        }
    }
    return count;
}

/* Numbers that are taken go to the version that was first; then by number. */
static void number(struct merging *list, size_t count, uint32_t *next)
{
    for (size_t i = 1; i < count; i++) { /* by insertion: at most 128 */
        struct merging one = list[i];
        size_t at = i;
        for (; at > 0 && is_earlier(one.version, list[at - 1].version); at--) {
            list[at] = list[at - 1];
        }
        list[at] = one;
    }
    for (size_t i = 0; i < count; i++) {
        *next = list[i].number >= *next ? list[i].number + 1 : *next;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (list[j].number == list[i].number) {
                list[i].number = (*next)++;
                break;
            }
        }
    }
    for (size_t i = 1; i < count; i++) {
        struct merging one = list[i];
        size_t at = i;
        for (; at > 0 && one.number < list[at - 1].number; at--) {
            list[at] = list[at - 1];
        }
        list[at] = one;
    }
}

static void clear_versions(struct function_entry *function)
{
    for (size_t i = 0; i < function->versions.count; i++) {
        function_version_put(function->versions.items[i]);
    }
    function->versions.count = 0;
}

static int rebuild(struct function_entry *to, const struct merging *list, size_t count)
{
    WM_VEC(struct function_alias) aliases = {0};
    int err = 0;
    clear_versions(to);
    for (size_t i = 0; i < count && !err; i++) {
        struct function_version *version = version_for(list[i].version, list[i].number, to);
        err = version ? wm_vec_push(&to->versions, version) : -ENOMEM;
        if (err) {
            function_version_put(version);
        }
        for (size_t j = 0; j < to->aliases.count && !err; j++) {
            if (list[i].aliases >> j & 1) {
                struct function_alias alias = to->aliases.items[j];
                alias.version = list[i].number;
                err = wm_vec_push(&aliases, alias);
            }
        }
    }
    if (err) {
        wm_vec_fini(&aliases);
        return err;
    }
    wm_free(to->aliases.items);
    to->aliases.items = aliases.items;
    to->aliases.count = aliases.count;
    to->aliases.room = aliases.room;
    while (to->versions.count > CATALOGUE_VERSIONS_MAX && function_make_room(to)) {
    }
    function_find_latest(to);
    return 0;
}

static bool same_versions(const struct function_entry *a, const struct function_entry *b)
{
    bool same = a->versions.count == b->versions.count && a->next_version == b->next_version &&
                a->since_ns == b->since_ns;
    for (size_t i = 0; same && i < a->versions.count; i++) {
        same = same_version(a->versions.items[i], b->versions.items[i]) &&
               a->versions.items[i]->version == b->versions.items[i]->version;
    }
    return same;
}

/* *out NULL: the winner has all there is. */
static int merge(const struct function_entry *winner, const struct function_entry *loser,
                 struct function_entry **out)
{
    struct merging list[2 * CATALOGUE_VERSIONS_MAX];
    *out = NULL;
    struct function_entry *to = function_copy(winner);
    if (!to) {
        return -ENOMEM;
    }
    to->since_ns = winner->since_ns > loser->since_ns ? winner->since_ns : loser->since_ns;
    to->next_version =
        winner->next_version > loser->next_version ? winner->next_version : loser->next_version;
    size_t count = collect(winner, loser, to->since_ns, list);
    number(list, count, &to->next_version);
    int err = rebuild(to, list, count);
    if (err || same_versions(to, winner)) {
        entry_free(&to->entry);
        return err;
    }
    *out = to;
    return 0;
}

static bool same_strings(char *const *a, char *const *b)
{
    size_t i = 0;
    while (a[i] && b[i] && strcmp(a[i], b[i]) == 0) {
        i++;
    }
    return !a[i] && !b[i];
}

static bool same_surroundings(const struct function_entry *a, const struct function_entry *b)
{
    bool same = a->env_revision == b->env_revision && a->secrets.count == b->secrets.count &&
                same_strings(a->env, b->env);
    for (size_t i = 0; same && i < a->secrets.count; i++) {
        const struct function_secret *x = &a->secrets.items[i], *y = &b->secrets.items[i];
        same = strcmp(x->name, y->name) == 0 && x->len == y->len &&
               memcmp(x->box, y->box, x->len) == 0;
    }
    return same;
}

/* Versions that have not changed stay the same objects, so that workers keep what they have loaded.
 */
static void reuse(struct function_entry *next, const struct function_entry *present)
{
    if (!same_surroundings(next, present)) {
        return;
    }
    for (size_t i = 0; i < next->versions.count; i++) {
        for (size_t j = 0; j < present->versions.count; j++) {
            struct function_version *have = present->versions.items[j];
            struct function_version *version = next->versions.items[i];
            if (have != version && have->version == version->version &&
                same_version(have, version)) {
                have->refs++;
                function_version_put(version);
                next->versions.items[i] = have;
            }
        }
    }
    function_find_latest(next);
}

/* Merging two lists: routes or crons of a tenant, by name; each item, or its removal, has its time.
 */

static uint64_t item_time(const json_t *item)
{
    const json_t *removed = json_object_get(item, "removed_ns");
    return (uint64_t)json_integer_value(removed ? removed : json_object_get(item, "changed_ns"));
}

static size_t item_find(const json_t *list, const char *name)
{
    size_t i = 0;
    while (i < json_array_size(list)) {
        const char *have = jsonx_text(json_array_get(list, i), "name");
        if (have && strcmp(have, name) == 0) {
            break;
        }
        i++;
    }
    return i;
}

/* The list's entry, if it is one that may be. */
static struct entry *list_decode(enum entry_kind kind, struct wm_view key, const json_t *list)
{
    struct entry *entry = entry_ops_of(kind)->decode(key, list);
    if (entry && !entry_ops_of(kind)->ok(entry)) {
        entry_free(entry);
        entry = NULL;
    }
    return entry;
}

/* *out NULL: the winner has all there is. An item that cannot be beside the others (two routes of
 * one path, one more than there may be) is left out. */
static int merge_lists(const struct entry *winner, const struct entry *loser, uint64_t oldest,
                       struct entry **out)
{
    const struct entry_ops *ops = entry_ops_of(winner->kind);
    json_t *list = ops->encode(winner), *other = ops->encode(loser);
    struct entry *best = NULL;
    size_t i;
    json_t *item;
    *out = NULL;
    json_array_foreach(other, i, item)
    {
        const char *name = jsonx_text(item, "name");
        size_t at = name && list ? item_find(list, name) : 0;
        bool fresh = list && at == json_array_size(list);
        bool old = json_object_get(item, "removed_ns") && item_time(item) < oldest;
        if (!name || !list || old ||
            (!fresh && item_time(json_array_get(list, at)) >= item_time(item))) {
            continue;
        }
        json_t *longer = json_copy(list);
        int err = !longer ? -1
                  : fresh ? json_array_append(longer, item)
                          : json_array_set(longer, at, item);
        struct entry *entry = err ? NULL : list_decode(winner->kind, entry_key(winner), longer);
        if (entry) {
            entry_free(best);
            best = entry;
            json_decref(list);
            list = longer;
        } else {
            json_decref(longer);
        }
    }
    int rc = list && other ? 0 : -ENOMEM;
    json_decref(list);
    json_decref(other);
    *out = best;
    return rc;
}

/* Entries on their way in */

struct import_item {
    enum entry_kind kind;
    struct revision revision;
    struct entry *entry; /* NULL: removed */
    uint32_t key_len;
    uint8_t key[ENTRY_KEY_BYTES_MAX];
};

struct catalogue_import {
    WM_VEC(struct import_item) items;
};

struct catalogue_import *catalogue_import_new(void)
{
    return wm_alloc_zero(1, sizeof(struct catalogue_import));
}

void catalogue_import_free(struct catalogue_import *import)
{
    if (import) {
        for (size_t i = 0; i < import->items.count; i++) {
            entry_free(import->items.items[i].entry);
        }
        wm_vec_fini(&import->items);
        wm_free(import);
    }
}

int catalogue_import_add(struct catalogue_import *import, unsigned kind, struct wm_view key,
                         const struct revision *revision, struct wm_view text, struct wm_diag *diag)
{
    struct import_item item = {.revision = *revision, .key_len = (uint32_t)key.len};
    if (kind >= ENTRY_KINDS || key.len == 0 || key.len > sizeof item.key ||
        revision->time_ns == 0 || revision->time_ns > INT64_MAX || !revision->node[0]) {
        return wm_diag_set(diag, WM_E_MALFORMED,
                           "entry of another node: key or revision: not of "
                           "the form");
    }
    item.kind = (enum entry_kind)kind;
    memcpy(item.key, key.ptr, key.len);
    if (!revision->removed) {
        json_t *json =
            text.len && text.len <= ENTRY_TEXT_BYTES_MAX
                ? json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL)
                : NULL;
        item.entry = json ? entry_ops_of(item.kind)->decode(key, json) : NULL;
        json_decref(json);
        if (!item.entry || !entry_ops_of(item.kind)->ok(item.entry)) {
            entry_free(item.entry);
            return wm_diag_set(diag, WM_E_MALFORMED,
                               "entry of another node: table %s: its document is none",
                               entry_ops_of(item.kind)->table);
        }
    }
    int err = wm_vec_push(&import->items, item);
    if (err) {
        entry_free(item.entry);
        return wm_diag_default(diag, err, "catalogue");
    }
    return 0;
}

static bool in_change(const struct catalogue_change *change, const struct import_item *item)
{
    for (size_t i = 0; change && i < change->ops.count; i++) {
        const struct change_op *op = &change->ops.items[i];
        if (op->kind == item->kind &&
            wm_view_eq(wm_view_of(op->key, op->key_len), wm_view_of(item->key, item->key_len))) {
            return true;
        }
    }
    return false;
}

static int need_change(struct catalogue *catalogue, struct catalogue_change **change,
                       struct wm_diag *diag)
{
    return *change ? 0 : change_new(catalogue, change, diag);
}

static int import_removal(struct catalogue *catalogue, const struct import_item *item, bool present,
                          int64_t now_ns, struct catalogue_change **change, struct wm_diag *diag)
{
    if (!present && item->revision.time_ns < oldest_tombstone(now_ns)) {
        return 0;
    }
    int err = need_change(catalogue, change, diag);
    return err ? err
               : change_add_tombstone(*change, item->kind, wm_view_of(item->key, item->key_len),
                                      &item->revision);
}

/* Both have it: newer says whether the other one's revision is. */
static int import_function(struct catalogue *catalogue, struct import_item *item,
                           const struct function_entry *present, const struct revision *known,
                           bool newer, struct catalogue_change **change, struct wm_diag *diag)
{
    struct function_entry *theirs = (void *)item->entry, *merged = NULL;
    int err = newer ? merge(theirs, present, &merged) : merge(present, theirs, &merged);
    if (err || (!merged && !newer)) {
        return err;
    }
    err = need_change(catalogue, change, diag);
    if (err) {
        if (merged) {
            entry_free(&merged->entry);
        }
        return err;
    }
    if (merged) {
        reuse(merged, present);
        return change_add_merged(*change, &merged->entry, &item->revision, known);
    }
    reuse(theirs, present);
    item->entry = NULL;
    return change_add_foreign(*change, &theirs->entry, &item->revision);
}

/* The same for lists. */
static int import_list(struct catalogue *catalogue, struct import_item *item,
                       const struct entry *present, const struct revision *known, bool newer,
                       uint64_t oldest, struct catalogue_change **change, struct wm_diag *diag)
{
    struct entry *merged = NULL, *theirs = item->entry;
    int err = newer ? merge_lists(theirs, present, oldest, &merged)
                    : merge_lists(present, theirs, oldest, &merged);
    err = err || (!merged && !newer) ? err : need_change(catalogue, change, diag);
    if (err || (!merged && !newer)) {
        entry_free(merged);
        return err;
    }
    if (merged) {
        return change_add_merged(*change, merged, &item->revision, known);
    }
    item->entry = NULL;
    return change_add_foreign(*change, theirs, &item->revision);
}

static int import_one(struct catalogue *catalogue, struct import_item *item, int64_t now_ns,
                      struct catalogue_change **change, struct wm_diag *diag)
{
    struct wm_view key = wm_view_of(item->key, item->key_len);
    const struct revision *known = revision_find(catalogue, item->kind, key);
    const struct entry *present = entry_find(catalogue, item->kind, key);
    int order = known ? revision_compare(&item->revision, known) : 1;
    uint64_t limit_ns = (uint64_t)(now_ns > 0 ? now_ns : 0) + (uint64_t)REVISION_AHEAD_NS;
    if (order == 0 || in_change(*change, item)) {
        return 0;
    }
    if (item->revision.time_ns > limit_ns) {
        log_limited(LOG_ERROR, "catalogue",
                    "event=refused node=%s why=\"its clock is more than an hour ahead of this "
                    "node's: set both right\"",
                    uri_name_ok(item->revision.node) ? item->revision.node : "?");
        return 0;
    }
    if (item->revision.time_ns > catalogue->last_ns) {
        catalogue->last_ns = item->revision.time_ns;
    }
    if (!item->entry) {
        return order > 0 ? import_removal(catalogue, item, present != NULL, now_ns, change, diag)
                         : 0;
    }
    if (item->kind == ENTRY_FUNCTION && present && known) {
        return import_function(catalogue, item, (const void *)present, known, order > 0, change,
                               diag);
    }
    if ((item->kind == ENTRY_ROUTES || item->kind == ENTRY_CRONS) && present && known) {
        return import_list(catalogue, item, present, known, order > 0, oldest_tombstone(now_ns),
                           change, diag);
    }
    size_t most = item->kind == ENTRY_TENANT ? TENANTS_MAX : ENTRIES_MAX;
    if (order < 0 || (!present && catalogue->maps[item->kind].count >= most)) {
        return 0;
    }
    int err = need_change(catalogue, change, diag);
    if (!err) {
        struct entry *entry = item->entry;
        item->entry = NULL;
        err = change_add_foreign(*change, entry, &item->revision);
    }
    return err;
}

int catalogue_import_change(struct catalogue *catalogue, struct catalogue_import *import,
                            int64_t now_ns, struct catalogue_change **out, struct wm_diag *diag)
{
    struct catalogue_change *change = NULL;
    int err = 0;
    *out = NULL;
    for (size_t i = 0; i < import->items.count && !err; i++) {
        err = import_one(catalogue, &import->items.items[i], now_ns, &change, diag);
    }
    for (size_t i = 0; i < import->items.count; i++) {
        entry_free(import->items.items[i].entry);
    }
    import->items.count = 0;
    if (err) {
        change_drop(change);
        return wm_diag_default(diag, err, "catalogue");
    }
    *out = change;
    return 0;
}

int catalogue_forget(struct catalogue *catalogue, int64_t now_ns, struct catalogue_change **out,
                     struct wm_diag *diag)
{
    struct catalogue_change *change = NULL;
    uint64_t oldest = oldest_tombstone(now_ns);
    size_t at = 0;
    int err = 0;
    *out = NULL;
    for (struct revision_slot *slot; !err && (slot = map_next(&catalogue->revisions, &at));) {
        if (slot->revision.removed && slot->revision.time_ns < oldest) {
            err = need_change(catalogue, &change, diag);
            err = err ? err : change_add_forget(change, slot);
        }
    }
    if (err) {
        change_drop(change);
        return wm_diag_default(diag, err, "catalogue");
    }
    *out = change;
    return 0;
}

int catalogue_reseal(struct catalogue *catalogue, const uint8_t before[32],
                     struct catalogue_change **out, struct wm_diag *diag)
{
    struct catalogue_change *change = NULL;
    size_t at = 0;
    int err = 0;
    *out = NULL;
    for (struct function_entry *entry;
         !err && (entry = map_next(&catalogue->maps[ENTRY_FUNCTION], &at));) {
        bool changed = false;
        struct function_entry *copy = entry->secrets.count ? function_copy(entry) : NULL;
        if (!copy) {
            err = entry->secrets.count ? -ENOMEM : 0;
            continue;
        }
        err = function_reseal(catalogue, copy, before, &changed);
        err = err || !changed ? err : need_change(catalogue, &change, diag);
        if (err || !changed) {
            entry_free(&copy->entry);
        } else {
            err = change_add(change, &copy->entry);
        }
    }
    if (err) {
        change_drop(change);
        return wm_diag_default(diag, err, "catalogue");
    }
    *out = change;
    return 0;
}

void catalogue_each_version(struct catalogue *catalogue, struct wm_view key,
                            void (*each)(void *self, const struct function_version *version),
                            void *self)
{
    const struct function_entry *entry = entry_find(catalogue, ENTRY_FUNCTION, key);
    for (size_t i = 0; entry && i < entry->versions.count; i++) {
        each(self, entry->versions.items[i]);
    }
}
