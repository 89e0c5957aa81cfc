/* Listings of a union: each name once, with cookies that stay good. */
#include "libos/overlay_internal.h"

/* Cookies: `.` and `..` first; then (pass + 1) << COOKIE_SHIFT | position. Pass n lists the n-th
 * lower directory, positions are ordinals; the last lists the upper, positions are its cookies. */
#define COOKIE_SHIFT 56
#define POSITION_MASK ((UINT64_C(1) << COOKIE_SHIFT) - 1)

/* What path.h walks over. */
/* Listing. */

static bool is_dots(const struct libos_dirent *entry)
{
    return entry->name[0] == '.' &&
           (entry->name_len == 1 || (entry->name_len == 2 && entry->name[1] == '.'));
}

/* What the union has under this name, when not what the layer being listed says. */
static int look_above(const struct overlay_listing *list, struct libos_dirent *entry)
{
    const struct overlay_item *item =
        overlay_find_item(list->fs, list->node, wm_view_of(entry->name, entry->name_len), false);
    char name[LIBOS_NAME_MAX + 1];
    struct libos_stat stat;
    if (item) {
        entry->kind = LIBOS_KIND_DIR;
        entry->ino = item->node->ino;
        return 0;
    }
    if (!list->node->upper) {
        return 0;
    }
    __builtin_memcpy(name, entry->name, entry->name_len);
    name[entry->name_len] = '\0';
    int rc = libos_stat(list->node->upper, name, false, &stat);
    if (rc == 0) {
        entry->kind = stat.kind;
        entry->ino = stat.ino;
    }
    return overlay_is_missing(rc) ? 0 : rc;
}

static bool pass_on(struct overlay_listing *list, struct libos_dirent *entry, uint64_t position)
{
    entry->next = (list->pass + 1) << COOKIE_SHIFT | position;
    list->stopped = !list->emit(list->arg, entry);
    return !list->stopped;
}

/* Lower entries come first, whatever lies above them, as long as they are not hidden: so one that
 * is copied up in the middle of a listing is still seen once. */
static bool list_lower(void *arg, const struct libos_dirent *found)
{
    struct overlay_listing *list = arg;
    struct libos_dirent entry = *found;
    struct wm_view name = wm_view_of(entry.name, entry.name_len);
    struct overlay_place before = list->at;
    list->at = (struct overlay_place){before.ordinal + 1, found->next};
    if (list->at.ordinal <= list->skip_to || is_dots(found) || name.len > LIBOS_NAME_MAX ||
        overlay_is_whited(list->fs, list->node, name)) {
        return true;
    }
    uint32_t above = list->node->mask & ((UINT32_C(1) << list->layer) - 1);
    if (above) {
        struct overlay_leaf leaf;
        uint32_t mask;
        int rc = overlay_find_lower(list->fs, list->node, above, name, &leaf, &mask);
        if (rc != -LIBOS_ENOENT) {
            list->rc = rc;
            return rc == 0; /* it was listed already */
        }
    }
    list->rc = look_above(list, &entry);
    if (list->rc != 0) {
        return false;
    }
    if (list->handle) {
        list->handle->listed = list->layer;
        list->handle->before = before;
        list->handle->after = list->at;
    }
    return pass_on(list, &entry, list->at.ordinal);
}

static int list_lower_pass(struct overlay_listing *list, uint64_t position)
{
    const struct overlay_handle *handle = list->handle;
    struct libos_file *dir;
    list->skip_to = position;
    list->at = (struct overlay_place){0, 0};
    if (handle && handle->listed == list->layer && position > 0) {
        if (handle->after.ordinal == position) {
            list->at = handle->after;
        } else if (handle->before.ordinal == position) {
            list->at = handle->before;
        }
    }
    int rc = libos_open(list->fs->lowers[list->layer], overlay_lower_or_dot(list->node),
                        LIBOS_READ | LIBOS_DIRECTORY | LIBOS_NOFOLLOW, &dir);
    if (rc != 0) {
        return overlay_is_missing(rc) ? 0 : rc;
    }
    rc = libos_readdir(dir, list->at.native, list_lower, list);
    libos_file_put(dir);
    return rc != 0 ? rc : list->rc;
}

static bool list_upper(void *arg, const struct libos_dirent *found)
{
    struct overlay_listing *list = arg;
    struct libos_dirent entry = *found;
    struct wm_view name = wm_view_of(entry.name, entry.name_len);
    struct overlay_leaf leaf;
    uint32_t mask;
    if (is_dots(found)) {
        return true;
    }
    if (!overlay_is_whited(list->fs, list->node, name)) {
        int rc = overlay_find_lower(list->fs, list->node, list->node->mask, name, &leaf, &mask);
        if (rc != -LIBOS_ENOENT) {
            list->rc = rc;
            return rc == 0; /* it was listed already */
        }
    }
    const struct overlay_item *item = overlay_find_item(list->fs, list->node, name, false);
    if (item) {
        entry.ino = item->node->ino;
    }
    return pass_on(list, &entry, found->next & POSITION_MASK);
}

static int list_dots(struct overlay_listing *list, uint64_t cookie)
{
    for (uint64_t i = cookie; i < 2 && !list->stopped; i++) {
        /* Above the directory one holds is nothing one may know of: both are itself. */
        struct libos_dirent entry = {"..", (uint32_t)i + 1, list->node->ino, LIBOS_KIND_DIR, i + 1};
        list->stopped = !list->emit(list->arg, &entry);
    }
    return 0;
}

int overlay_list(struct overlay_listing *list, uint64_t cookie)
{
    const struct overlay *fs = list->fs;
    uint64_t first = cookie >> COOKIE_SHIFT;
    uint64_t position = cookie & POSITION_MASK;
    int rc = 0;
    if (!overlay_is_there(fs, list->node)) {
        return 0; /* removed: as Linux, no entries at all */
    }
    if (first == 0) {
        rc = list_dots(list, position);
        position = 0;
    } else {
        first--;
    }
    for (uint64_t pass = first; pass <= fs->lower_count && !list->stopped && rc == 0; pass++) {
        list->pass = pass;
        list->layer = (size_t)pass;
        if (pass < fs->lower_count && (list->node->mask >> pass & 1)) {
            rc = list_lower_pass(list, position);
        } else if (pass == fs->lower_count && list->node->upper) {
            rc = libos_readdir(list->node->upper, position, list_upper, list);
            rc = rc != 0 ? rc : list->rc;
        }
        position = 0;
    }
    return rc;
}

static bool see_any(void *arg, const struct libos_dirent *entry)
{
    bool *any = arg;
    *any = !is_dots(entry);
    return !*any;
}

int overlay_check_empty(struct overlay *fs, struct overlay_node *node)
{
    bool any = false;
    struct overlay_listing empty = {.fs = fs, .node = node, .emit = see_any, .arg = &any};
    int rc = overlay_list(&empty, 0);
    return rc == 0 && any ? -LIBOS_ENOTEMPTY : rc;
}
