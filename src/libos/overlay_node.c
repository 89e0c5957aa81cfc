/* The table of names and the nodes of a union, and the way from a path to a node or leaf. */
#include "libos/overlay_internal.h"

#include "base/assert.h"

/* The table of names. */

static uint32_t hash_name(const struct overlay_node *dir, struct wm_view name)
{
    uint64_t from = (uint64_t)(uintptr_t)dir;
    uint32_t hash = UINT32_C(2166136261) ^ (uint32_t)(from >> 4) ^ (uint32_t)(from >> 36);
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ name.ptr[i]) * UINT32_C(16777619);
    }
    return hash;
}

struct overlay_item *overlay_find_item(const struct overlay *fs, const struct overlay_node *dir,
                                       struct wm_view name, bool whiteout)
{
    if (fs->item_count == 0) {
        return NULL;
    }
    uint32_t hash = hash_name(dir, name);
    struct overlay_item *item = fs->buckets[hash & (fs->bucket_count - 1)];
    while (item && !(item->hash == hash && item->dir == dir && (item->node == NULL) == whiteout &&
                     wm_view_eq(wm_view_of(item->name, item->name_len), name))) {
        item = item->next;
    }
    return item;
}

bool overlay_is_whited(const struct overlay *fs, const struct overlay_node *dir,
                       struct wm_view name)
{
    return dir->whiteouts && overlay_find_item(fs, dir, name, true);
}

/* More buckets where they can be had: without them the chains are longer, and that is all. */
static void widen(struct overlay *fs)
{
    size_t count = fs->bucket_count * 2;
    struct overlay_item **buckets = libos_alloc(fs->os, count * sizeof(struct overlay_item *));
    if (!buckets) {
        return;
    }
    for (size_t i = 0; i < fs->bucket_count; i++) {
        for (struct overlay_item *item = fs->buckets[i], *next; item; item = next) {
            struct overlay_item **bucket = &buckets[item->hash & (count - 1)];
            next = item->next;
            item->next = *bucket;
            *bucket = item;
        }
    }
    libos_free(fs->os, fs->buckets, fs->bucket_count * sizeof(struct overlay_item *));
    fs->buckets = buckets;
    fs->bucket_count = count;
}

void overlay_insert_item(struct overlay *fs, struct overlay_item *item, struct overlay_node *dir)
{
    if (fs->item_count >= fs->bucket_count) {
        widen(fs);
    }
    item->dir = dir;
    item->hash = hash_name(dir, wm_view_of(item->name, item->name_len));
    struct overlay_item **bucket = &fs->buckets[item->hash & (fs->bucket_count - 1)];
    item->next = *bucket;
    *bucket = item;
    fs->item_count++;
}

void overlay_remove_item(struct overlay *fs, struct overlay_item *item)
{
    struct overlay_item **at = &fs->buckets[item->hash & (fs->bucket_count - 1)];
    while (*at != item) {
        at = &(*at)->next;
    }
    *at = item->next;
    item->dir = NULL;
    fs->item_count--;
}

/* Nodes. */

bool overlay_is_there(const struct overlay *fs, const struct overlay_node *node)
{
    return node == fs->root || node->self.dir;
}

/* `path` below the lower directories of `dir`: false when it is too long. */
bool overlay_lower_path(const struct overlay_node *dir, struct wm_view name,
                        char out[LIBOS_PATH_MAX])
{
    size_t joint = dir->lower_len ? 1 : 0;
    if (dir->lower_len + joint + name.len >= LIBOS_PATH_MAX) {
        return false;
    }
    __builtin_memcpy(out, dir->lower, dir->lower_len);
    if (joint) {
        out[dir->lower_len] = '/';
    }
    __builtin_memcpy(out + dir->lower_len + joint, name.ptr, name.len);
    out[dir->lower_len + joint + name.len] = '\0';
    return true;
}

const char *overlay_lower_or_dot(const struct overlay_node *node)
{
    return node->lower_len ? node->lower : ".";
}

void overlay_set_home_name(struct overlay_node *node)
{
    size_t start = node->lower_len;
    while (start > 0 && node->lower[start - 1] != '/') {
        start--;
    }
    node->self.name = node->lower + start;
    node->self.name_len = (uint32_t)(node->lower_len - start);
}

struct overlay_node *overlay_node_new(struct overlay *fs, const char *lower)
{
    size_t len = __builtin_strlen(lower);
    struct overlay_node *node = libos_alloc(fs->os, sizeof *node + len + 1);
    if (!node) {
        return NULL;
    }
    __builtin_memcpy(node->lower, lower, len);
    node->lower_len = len;
    node->vertex.fs = fs;
    node->self.node = node;
    overlay_set_home_name(node);
    node->older = fs->newest;
    if (fs->newest) {
        fs->newest->newer = node;
    }
    fs->newest = node;
    return node;
}

void overlay_free_own_name(struct overlay *fs, struct overlay_node *node)
{
    if (node->own_name) {
        libos_free(fs->os, node->own_name, __builtin_strlen(node->own_name) + 1);
        node->own_name = NULL;
    }
}

void overlay_free_whiteouts(struct overlay *fs, struct overlay_node *node)
{
    while (node->whiteouts) {
        struct overlay_whiteout *whiteout = node->whiteouts;
        node->whiteouts = whiteout->older;
        if (whiteout->item.dir) {
            overlay_remove_item(fs, &whiteout->item);
        }
        fs->whiteout_count--;
        libos_free(fs->os, whiteout, sizeof *whiteout + whiteout->item.name_len + 1);
    }
}

bool overlay_is_needed(const struct overlay *fs, const struct overlay_node *node)
{
    bool held = node == fs->root || node->refs > 0 || node->kept > 0;
    return held || (node->self.dir && (node->upper || node->whiteouts));
}

/* Returns the home, which may be needed no more now. */
struct overlay_node *overlay_node_free(struct overlay *fs, struct overlay_node *node)
{
    struct overlay_node *home = node->home;
    if (node->self.dir) {
        overlay_remove_item(fs, &node->self);
    }
    libos_file_put(node->upper);
    overlay_free_whiteouts(fs, node);
    overlay_free_own_name(fs, node);
    if (home) {
        home->kept--;
    }
    if (node->newer) {
        node->newer->older = node->older;
    } else {
        fs->newest = node->older;
    }
    if (node->older) {
        node->older->newer = node->newer;
    }
    libos_free(fs->os, node, sizeof *node + node->lower_len + 1);
    return home;
}

void overlay_free_unneeded(struct overlay *fs, struct overlay_node *node)
{
    while (node && !node->is_fresh && !overlay_is_needed(fs, node)) {
        node = overlay_node_free(fs, node);
    }
}

/* To be looked at when the operation ends. */
void overlay_set_fresh(struct overlay *fs, struct overlay_node *node)
{
    if (!node->is_fresh) {
        node->is_fresh = true;
        node->next_fresh = fs->fresh;
        fs->fresh = node;
    }
}

/* The end of every operation. */
int overlay_finish(struct overlay *fs, int rc)
{
    while (fs->fresh) {
        struct overlay_node *node = fs->fresh;
        fs->fresh = node->next_fresh;
        node->is_fresh = false;
        overlay_free_unneeded(fs, node);
    }
    if (fs->target) {
        libos_free(fs->os, fs->target, LIBOS_PATH_MAX);
        fs->target = NULL;
    }
    fs->failed = 0;
    return rc;
}

/* Lookup. */

bool overlay_is_missing(int rc)
{
    return rc == -LIBOS_ENOENT || rc == -LIBOS_ENOTDIR;
}

/* What those lower directories of `dir` that are in `among` have of this name: in *leaf the
 * uppermost, and when that is a directory, which of them are merged. 0, -ENOENT or what went
 * wrong. */
int overlay_find_lower(const struct overlay *fs, const struct overlay_node *dir, uint32_t among,
                       struct wm_view name, struct overlay_leaf *leaf, uint32_t *mask)
{
    char path[LIBOS_PATH_MAX];
    *mask = 0;
    if (!among) {
        return -LIBOS_ENOENT;
    }
    if (!overlay_lower_path(dir, name, path)) {
        return -LIBOS_ENAMETOOLONG;
    }
    for (size_t i = 0; i < fs->lower_count; i++) {
        struct libos_stat stat;
        if (!(among >> i & 1)) {
            continue;
        }
        int rc = libos_stat(fs->lowers[i], path, false, &stat);
        if (overlay_is_missing(rc)) {
            continue;
        }
        if (rc != 0) {
            return rc;
        }
        bool first = *mask == 0;
        if (first) {
            leaf->stat = stat;
            leaf->layer = i;
        }
        if (stat.kind != LIBOS_KIND_DIR) {
            if (first) {
                return 0;
            }
            break; /* hides what is below it, and is hidden itself */
        }
        *mask |= UINT32_C(1) << i;
    }
    return *mask ? 0 : -LIBOS_ENOENT;
}

static struct overlay_node *enter_lower(struct overlay *fs, struct overlay_node *dir,
                                        struct wm_view name, const struct overlay_leaf *leaf,
                                        uint32_t mask)
{
    char path[LIBOS_PATH_MAX];
    struct overlay_node *node =
        overlay_lower_path(dir, name, path) ? overlay_node_new(fs, path) : NULL;
    if (node) {
        node->mask = mask;
        node->dev = leaf->stat.dev;
        node->ino = leaf->stat.ino;
        node->home = dir;
        dir->kept++;
        overlay_insert_item(fs, &node->self, dir);
        overlay_set_fresh(fs, node);
    }
    return node;
}

static void *fail(struct overlay *fs, int rc)
{
    if (fs->failed == 0) {
        fs->failed = rc;
    }
    return NULL;
}

static void *lookup(struct overlay *fs, struct overlay_node *dir, struct wm_view name)
{
    struct overlay_leaf *leaf = &fs->leaf;
    uint32_t mask;
    if (!overlay_is_there(fs, dir)) {
        return NULL;
    }
    struct overlay_item *item = overlay_find_item(fs, dir, name, false);
    if (item) {
        return item->node;
    }
    leaf->vertex = (struct overlay_vertex){fs, true};
    leaf->dir = dir;
    __builtin_memcpy(leaf->name, name.ptr, name.len);
    leaf->name[name.len] = '\0';
    if (dir->upper) {
        int rc = libos_stat(dir->upper, leaf->name, false, &leaf->stat);
        leaf->layer = OVERLAY_UPPER;
        if (!overlay_is_missing(rc)) {
            WM_ASSERT(rc != 0 || leaf->stat.kind != LIBOS_KIND_DIR);
            return rc == 0 ? leaf : fail(fs, rc);
        }
    }
    if (overlay_is_whited(fs, dir, name)) {
        return NULL;
    }
    int rc = overlay_find_lower(fs, dir, dir->mask, name, leaf, &mask);
    if (rc != 0) {
        return rc == -LIBOS_ENOENT ? NULL : fail(fs, rc);
    }
    if (leaf->stat.kind != LIBOS_KIND_DIR) {
        return leaf;
    }
    struct overlay_node *node = enter_lower(fs, dir, name, leaf, mask);
    return node ? node : fail(fs, -LIBOS_ENOMEM);
}

static void *tree_lookup(void *dir, struct wm_view name)
{
    struct overlay *fs = ((struct overlay_node *)dir)->vertex.fs;
    /* After a failure nothing is found any more: the walk ends, and `failed` says why. */
    return fs->failed == 0 ? lookup(fs, dir, name) : NULL;
}

static void *tree_parent(void *dir)
{
    struct overlay_node *node = dir;
    return node == node->vertex.fs->root ? node : node->self.dir;
}

static enum libos_kind tree_kind(void *node)
{
    const struct overlay_vertex *vertex = node;
    return vertex->is_leaf ? ((const struct overlay_leaf *)node)->stat.kind : LIBOS_KIND_DIR;
}

int64_t overlay_leaf_readlink(struct overlay *fs, const struct overlay_leaf *leaf, char *out,
                              size_t out_bytes)
{
    char path[LIBOS_PATH_MAX];
    if (leaf->layer == OVERLAY_UPPER) {
        return libos_readlink(leaf->dir->upper, leaf->name, out, out_bytes);
    }
    return overlay_lower_path(leaf->dir, wm_view_str(leaf->name), path)
               ? libos_readlink(fs->lowers[leaf->layer], path, out, out_bytes)
               : -LIBOS_ENAMETOOLONG;
}

static struct wm_view tree_target(void *node)
{
    const struct overlay_leaf *leaf = node;
    struct overlay *fs = leaf->vertex.fs;
    if (!fs->target) {
        fs->target = libos_alloc(fs->os, LIBOS_PATH_MAX);
    }
    int64_t len =
        fs->target ? overlay_leaf_readlink(fs, leaf, fs->target, LIBOS_PATH_MAX) : -LIBOS_ENOMEM;
    if (len >= LIBOS_PATH_MAX) {
        len = -LIBOS_ENAMETOOLONG;
    }
    if (len < 0) {
        fail(fs, (int)len);
        return wm_view_of("", 0); /* which ends the walk */
    }
    return wm_view_of(fs->target, (size_t)len);
}

static const struct libos_tree tree = {tree_lookup, tree_parent, tree_kind, tree_target};

int overlay_walk(struct libos_file *start, const char *path, enum libos_follow follow,
                 struct overlay_found *out)
{
    struct overlay *fs = handle_of(start)->fs;
    int rc = libos_path_walk(&tree, handle_of(start)->node, path, follow, &out->walk);
    if (fs->failed != 0) {
        return fs->failed;
    }
    if (rc != 0) {
        return rc;
    }
    struct overlay_vertex *vertex = out->walk.node;
    out->dir = out->walk.dir;
    out->is_leaf = vertex && vertex->is_leaf;
    out->node = vertex && !vertex->is_leaf ? out->walk.node : NULL;
    if (out->is_leaf) {
        out->leaf = fs->leaf;
    }
    return 0;
}

int overlay_walk_existing(struct libos_file *start, const char *path, enum libos_follow follow,
                          struct overlay_found *out)
{
    int rc = overlay_walk(start, path, follow, out);
    return rc == 0 && !out->walk.node ? -LIBOS_ENOENT : rc;
}

struct wm_view overlay_name_of(const struct overlay_found *found)
{
    return wm_view_of(found->walk.name, found->walk.name_len);
}

/* May a name be made where the walk ended? */
int overlay_check_new_name(const struct overlay *fs, const struct overlay_found *found)
{
    if (found->walk.node || found->walk.last != LIBOS_LAST_NAME) {
        return -LIBOS_EEXIST;
    }
    return overlay_is_there(fs, found->dir) ? 0 : -LIBOS_ENOENT;
}
