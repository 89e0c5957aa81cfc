/* A union of directories.
 *
 *   struct overlay_node   a directory of the union that is open, changed, or above such a one;
 * others are made while a path is walked and freed at the operation's end (`fresh`) struct
 * overlay_item   (directory, name) -> node or whiteout, in one hash table struct overlay_leaf what
 * is no directory: only ever the last one looked up, so there is just one
 *
 * A node knows which lower directories it merges (`mask`) and their path there, which never
 * changes; so renaming a directory moves the node and nothing below it. It has an upper directory
 * once something in it was made or changed. Each directory of the upper file system has its node,
 * hence a name that has a node needs no question to any layer. Whiteouts stay until the reset, also
 * when the name is made anew: what has an upper entry is above them.
 *
 *   lookup(dir, name):  node? -> that.  in the upper directory? -> that.  whiteout? -> nothing.
 *                       else the lower directories of `dir`, from above
 *
 * A changing operation raises directories and copies up first, which nobody sees, then takes the
 * memory it needs, then changes the upper file system, and after that cannot fail. */
#include "libos/overlay.h"

#include "base/assert.h"
#include "libos/overlay_internal.h"

#define DEFAULT_BYTES (UINT64_C(64) << 20)
#define DEFAULT_WHITEOUTS UINT64_C(65536)
#define FIRST_BUCKETS 16u

/* The operations of a directory. Each ends with finish. */

static const struct libos_file_ops overlay_ops;

static int open_node(struct overlay *fs, struct overlay_node *node, uint32_t flags,
                     struct libos_file **out)
{
    struct overlay_handle *handle = libos_alloc(fs->os, sizeof *handle);
    if (!handle) {
        return -LIBOS_ENOMEM;
    }
    libos_file_init(&handle->file, fs->os, &overlay_ops, LIBOS_KIND_DIR, flags);
    handle->fs = fs;
    handle->node = node;
    node->refs++;
    fs->opens++;
    *out = &handle->file;
    return 0;
}

static int create_file(struct overlay *fs, const struct overlay_found *found, uint32_t flags,
                       struct libos_file **out)
{
    int rc = overlay_check_new_name(fs, found);
    if (rc == 0) {
        rc = overlay_raise(fs, found->dir);
    }
    return rc != 0 ? rc
                   : libos_open(found->dir->upper, found->walk.name,
                                flags | LIBOS_CREATE | LIBOS_EXCLUSIVE, out);
}

/* To be cut to nothing at once: its content need not be copied. */
static int open_cut(struct overlay *fs, const struct overlay_found *found, uint32_t flags,
                    struct libos_file **out)
{
    if (found->leaf.stat.kind != LIBOS_KIND_FILE) {
        return -LIBOS_EPERM;
    }
    int rc = overlay_raise(fs, found->dir);
    return rc != 0 ? rc
                   : libos_open(found->dir->upper, found->leaf.name,
                                flags | LIBOS_CREATE | LIBOS_EXCLUSIVE, out);
}

static int open_leaf(struct overlay *fs, struct overlay_found *found, uint32_t flags,
                     struct libos_file **out)
{
    char path[LIBOS_PATH_MAX];
    const struct overlay_leaf *leaf = &found->leaf;
    if (leaf->stat.kind == LIBOS_KIND_SYMLINK) {
        return flags & LIBOS_DIRECTORY ? -LIBOS_ENOTDIR : -LIBOS_ELOOP;
    }
    if (flags & LIBOS_DIRECTORY) {
        return -LIBOS_ENOTDIR;
    }
    flags = (flags & ~(LIBOS_CREATE | LIBOS_EXCLUSIVE)) | LIBOS_NOFOLLOW;
    if (leaf->layer != OVERLAY_UPPER && (flags & LIBOS_TRUNCATE)) {
        return open_cut(fs, found, flags, out);
    }
    if (leaf->layer != OVERLAY_UPPER && (flags & LIBOS_WRITE)) {
        int rc = overlay_copy_up(fs, found);
        if (rc != 0) {
            return rc;
        }
    }
    if (leaf->layer == OVERLAY_UPPER) {
        return libos_open(found->dir->upper, leaf->name, flags, out);
    }
    return overlay_lower_path(leaf->dir, wm_view_str(leaf->name), path)
               ? libos_open(fs->lowers[leaf->layer], path, flags, out)
               : -LIBOS_ENAMETOOLONG;
}

static int open_found(struct overlay *fs, struct overlay_found *found, uint32_t flags,
                      struct libos_file **out)
{
    if ((flags & LIBOS_CREATE) && found->walk.slash && found->walk.last == LIBOS_LAST_NAME) {
        return -LIBOS_EISDIR;
    }
    if (!found->walk.node) {
        return flags & LIBOS_CREATE ? create_file(fs, found, flags, out) : -LIBOS_ENOENT;
    }
    if ((flags & LIBOS_CREATE) && (flags & LIBOS_EXCLUSIVE)) {
        return -LIBOS_EEXIST;
    }
    if (found->is_leaf) {
        return open_leaf(fs, found, flags, out);
    }
    return flags & (LIBOS_WRITE | LIBOS_CREATE | LIBOS_TRUNCATE)
               ? -LIBOS_EISDIR
               : open_node(fs, found->node, flags, out);
}

/* While nothing was changed, what the first lower directory finds on its own is what the union
 * has: each step of the way is uppermost there. Only from the root, as a lower directory would not
 * know that `..` must not leave the one that a path starts at. */
static bool is_plain(const struct overlay *fs, const struct libos_file *dir)
{
    return !fs->changed && ((const struct overlay_handle *)dir)->node == fs->root;
}

static int overlay_open(struct libos_file *dir, const char *path, uint32_t flags,
                        struct libos_file **out)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct overlay_found found;
    const uint32_t changing = LIBOS_WRITE | LIBOS_CREATE | LIBOS_TRUNCATE;
    if (is_plain(fs, dir) && !(flags & (changing | LIBOS_DIRECTORY))) {
        struct libos_file *file;
        if (libos_open(fs->lowers[0], path, flags, &file) == 0) {
            if (file->kind != LIBOS_KIND_DIR) {
                *out = file;
                return 0;
            }
            libos_file_put(file);
        }
    }
    bool exclusive = (flags & LIBOS_CREATE) && (flags & LIBOS_EXCLUSIVE);
    bool follow = !(flags & LIBOS_NOFOLLOW) && !exclusive;
    enum libos_follow last = follow ? LIBOS_FOLLOW_LAST : LIBOS_FOLLOW_SLASH;
    if (flags & LIBOS_CREATE) {
        last = follow ? LIBOS_FOLLOW_CREATE : LIBOS_FOLLOW_NEVER;
    }
    int rc = overlay_walk(dir, path, last, &found);
    return overlay_finish(fs, rc != 0 ? rc : open_found(fs, &found, flags, out));
}

static int stat_node(const struct overlay *fs, const struct overlay_node *node,
                     struct libos_stat *out)
{
    int rc = 0;
    *out = (struct libos_stat){0};
    if (node->upper) {
        rc = libos_file_stat(node->upper, out);
    } else if (overlay_is_there(fs, node)) {
        rc = overlay_stat_lower_dir(fs, node, out);
    }
    out->kind = LIBOS_KIND_DIR;
    out->dev = node->dev;
    out->ino = node->ino;
    return rc;
}

static int overlay_stat_at(struct libos_file *dir, const char *path, bool follow,
                           struct libos_stat *out)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct overlay_found found;
    if (is_plain(fs, dir) && libos_stat(fs->lowers[0], path, follow, out) == 0) {
        return 0;
    }
    int rc =
        overlay_walk_existing(dir, path, follow ? LIBOS_FOLLOW_LAST : LIBOS_FOLLOW_SLASH, &found);
    if (rc == 0 && found.is_leaf) {
        *out = found.leaf.stat;
    } else if (rc == 0) {
        rc = stat_node(fs, found.node, out);
    }
    return overlay_finish(fs, rc);
}

static int set_node_times(struct overlay *fs, struct overlay_node *node,
                          const struct libos_times *times)
{
    int rc = overlay_is_there(fs, node) ? overlay_raise(fs, node) : -LIBOS_ENOENT;
    return rc != 0 ? rc : libos_file_set_times(node->upper, times);
}

static int overlay_set_times_at(struct libos_file *dir, const char *path, bool follow,
                                const struct libos_times *times)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct overlay_found found;
    int rc =
        overlay_walk_existing(dir, path, follow ? LIBOS_FOLLOW_LAST : LIBOS_FOLLOW_SLASH, &found);
    if (rc == 0 && !found.is_leaf) {
        rc = set_node_times(fs, found.node, times);
    } else if (rc == 0) {
        rc = overlay_copy_up(fs, &found);
        if (rc == 0) {
            rc = libos_set_times(found.dir->upper, found.leaf.name, false, times);
        }
    }
    return overlay_finish(fs, rc);
}

static int make_dir(struct overlay *fs, const struct overlay_found *found)
{
    struct libos_stat stat;
    int rc = overlay_check_new_name(fs, found);
    if (rc == 0) {
        rc = overlay_raise(fs, found->dir);
    }
    if (rc != 0) {
        return rc;
    }
    const char *name = found->walk.name;
    struct overlay_node *node = overlay_node_new(fs, "");
    if (!node) {
        return -LIBOS_ENOMEM;
    }
    overlay_set_fresh(fs, node); /* on a failure it goes with finish */
    node->own_name = libos_alloc(fs->os, found->walk.name_len + 1);
    if (!node->own_name) {
        return -LIBOS_ENOMEM;
    }
    __builtin_memcpy(node->own_name, name, found->walk.name_len);
    rc = libos_mkdir(found->dir->upper, name);
    if (rc != 0) {
        return rc;
    }
    rc = libos_open(found->dir->upper, name, LIBOS_READ | LIBOS_DIRECTORY, &node->upper);
    if (rc == 0) {
        rc = libos_file_stat(node->upper, &stat);
    }
    if (rc != 0) {
        int undone = libos_remove(found->dir->upper, name, true);
        WM_ASSERT(undone == 0);
        return rc;
    }
    node->dev = stat.dev;
    node->ino = stat.ino;
    node->self.name = node->own_name;
    node->self.name_len = found->walk.name_len;
    overlay_insert_item(fs, &node->self, found->dir);
    return 0;
}

static int overlay_mkdir(struct libos_file *dir, const char *path)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct overlay_found found;
    int rc = overlay_walk(dir, path, LIBOS_FOLLOW_NEVER, &found);
    return overlay_finish(fs, rc != 0 ? rc : make_dir(fs, &found));
}

static int overlay_symlink(struct libos_file *dir, const char *target, const char *path)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct overlay_found found;
    int rc = overlay_walk(dir, path, LIBOS_FOLLOW_NEVER, &found);
    if (rc == 0 && !found.walk.node && found.walk.slash) {
        rc = -LIBOS_ENOENT;
    }
    if (rc == 0) {
        rc = overlay_check_new_name(fs, &found);
    }
    if (rc == 0) {
        rc = overlay_raise(fs, found.dir);
    }
    if (rc == 0) {
        rc = libos_symlink(found.dir->upper, target, found.walk.name);
    }
    return overlay_finish(fs, rc);
}

static int remove_dir(struct overlay *fs, const struct overlay_found *found)
{
    struct overlay_whiteout *whiteout;
    if (found->walk.last == LIBOS_LAST_DOT) {
        return -LIBOS_EINVAL;
    }
    if (found->is_leaf) {
        return -LIBOS_ENOTDIR;
    }
    int rc = found->walk.last == LIBOS_LAST_DOTDOT ? -LIBOS_ENOTEMPTY
                                                   : overlay_check_empty(fs, found->node);
    if (rc == 0) {
        rc = overlay_prepare_whiteout(fs, found->dir, overlay_name_of(found), &whiteout);
    }
    if (rc != 0) {
        return rc;
    }
    if (found->node->upper) {
        rc = libos_remove(found->dir->upper, found->walk.name, true);
        if (rc != 0) {
            overlay_drop_whiteout(fs, whiteout);
            return rc;
        }
    }
    overlay_commit_whiteout(fs, found->dir, whiteout);
    overlay_detach(fs, found->node);
    return 0;
}

static int remove_leaf(struct overlay *fs, const struct overlay_found *found)
{
    struct overlay_whiteout *whiteout;
    int rc = !found->is_leaf ? -LIBOS_EISDIR
             : found->walk.slash
                 ? -LIBOS_ENOTDIR
                 : overlay_prepare_whiteout(fs, found->dir, overlay_name_of(found), &whiteout);
    if (rc != 0) {
        return rc;
    }
    if (found->leaf.layer == OVERLAY_UPPER) {
        rc = libos_remove(found->dir->upper, found->walk.name, false);
        if (rc != 0) {
            overlay_drop_whiteout(fs, whiteout);
            return rc;
        }
    }
    overlay_commit_whiteout(fs, found->dir, whiteout);
    return 0;
}

static int overlay_remove(struct libos_file *dir, const char *path, bool is_dir)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct overlay_found found;
    int rc = overlay_walk_existing(dir, path, LIBOS_FOLLOW_NEVER, &found);
    if (rc == 0) {
        rc = is_dir ? remove_dir(fs, &found) : remove_leaf(fs, &found);
    }
    return overlay_finish(fs, rc);
}

static bool lies_within(const struct overlay_node *dir, const struct overlay_node *ancestor)
{
    while (dir && dir != ancestor) {
        dir = dir->self.dir;
    }
    return dir != NULL;
}

/* As memfs' rules. */
static int check_rename(struct overlay *fs, const struct overlay_found *from,
                        const struct overlay_found *to)
{
    const struct overlay_node *moved = from->node;
    struct overlay_node *target = to->node;
    if (from->walk.last != LIBOS_LAST_NAME || to->walk.last != LIBOS_LAST_NAME) {
        return -LIBOS_EBUSY;
    }
    if (!from->walk.node) {
        return -LIBOS_ENOENT;
    }
    if (!moved && (from->walk.slash || to->walk.slash)) {
        return -LIBOS_ENOTDIR;
    }
    if (moved && lies_within(to->dir, moved)) {
        return -LIBOS_EINVAL;
    }
    if (target && target != moved && lies_within(from->dir, target)) {
        return -LIBOS_ENOTEMPTY; /* whatever is moved onto a directory that it is in */
    }
    if (moved && to->is_leaf) {
        return -LIBOS_ENOTDIR;
    }
    if (moved && target && target != moved) {
        int rc = overlay_check_empty(fs, target);
        if (rc != 0) {
            return rc;
        }
    }
    if (!moved && target) {
        return -LIBOS_EISDIR;
    }
    return overlay_is_there(fs, to->dir) ? 0 : -LIBOS_ENOENT;
}

static int rename_leaf(struct overlay *fs, struct overlay_found *from,
                       const struct overlay_found *to)
{
    struct overlay_whiteout *whiteout;
    int rc = overlay_raise(fs, to->dir);
    if (rc == 0) {
        rc = overlay_copy_up(fs, from);
    }
    if (rc == 0) {
        rc = overlay_prepare_whiteout(fs, from->dir, overlay_name_of(from), &whiteout);
    }
    if (rc != 0) {
        return rc;
    }
    rc = libos_rename(from->dir->upper, from->walk.name, to->dir->upper, to->walk.name);
    if (rc != 0) {
        overlay_drop_whiteout(fs, whiteout);
        return rc;
    }
    overlay_commit_whiteout(fs, from->dir, whiteout);
    return 0;
}

static int rename_dir(struct overlay *fs, const struct overlay_found *from,
                      const struct overlay_found *to)
{
    struct overlay_whiteout *whiteout;
    struct overlay_node *node = from->node;
    int rc = overlay_raise(fs, to->dir);
    if (rc == 0) {
        rc = overlay_raise(fs, node);
    }
    if (rc == 0) {
        rc = overlay_prepare_whiteout(fs, from->dir, overlay_name_of(from), &whiteout);
    }
    if (rc != 0) {
        return rc;
    }
    char *name = libos_alloc(fs->os, to->walk.name_len + 1);
    rc = name ? libos_rename(from->dir->upper, from->walk.name, to->dir->upper, to->walk.name)
              : -LIBOS_ENOMEM;
    if (rc != 0) {
        libos_free(fs->os, name, to->walk.name_len + 1);
        overlay_drop_whiteout(fs, whiteout);
        return rc;
    }
    overlay_commit_whiteout(fs, from->dir, whiteout);
    if (to->node) {
        overlay_detach(fs, to->node);
    }
    overlay_remove_item(fs, &node->self);
    overlay_free_own_name(fs, node);
    __builtin_memcpy(name, to->walk.name, to->walk.name_len);
    node->own_name = name;
    node->self.name = name;
    node->self.name_len = to->walk.name_len;
    overlay_insert_item(fs, &node->self, to->dir);
    return 0;
}

static int overlay_rename(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                          const char *new_path)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct overlay_found from, to;
    if (handle_of(new_dir)->fs != fs) {
        return -LIBOS_EXDEV;
    }
    int rc = overlay_walk(dir, path, LIBOS_FOLLOW_NEVER, &from);
    if (rc == 0) {
        rc = overlay_walk(new_dir, new_path, LIBOS_FOLLOW_NEVER, &to);
    }
    if (rc == 0) {
        rc = check_rename(fs, &from, &to);
    }
    if (rc != 0) {
        return overlay_finish(fs, rc);
    }
    bool same = from.node ? from.node == to.node
                          : to.is_leaf && from.leaf.stat.dev == to.leaf.stat.dev &&
                                from.leaf.stat.ino == to.leaf.stat.ino;
    if (same) {
        return overlay_finish(fs, 0); /* two names of one file: POSIX has both stay */
    }
    return overlay_finish(fs, from.node ? rename_dir(fs, &from, &to) : rename_leaf(fs, &from, &to));
}

static int overlay_link(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                        const char *new_path)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct overlay_found from, to;
    if (handle_of(new_dir)->fs != fs) {
        return -LIBOS_EXDEV;
    }
    int rc = overlay_walk_existing(dir, path, LIBOS_FOLLOW_SLASH, &from);
    if (rc == 0) {
        rc = overlay_walk(new_dir, new_path, LIBOS_FOLLOW_NEVER, &to);
    }
    if (rc == 0 && !to.walk.node && to.walk.slash) {
        rc = -LIBOS_ENOENT;
    }
    if (rc == 0) {
        rc = overlay_check_new_name(fs, &to);
    }
    if (rc == 0) {
        rc = from.node ? -LIBOS_EPERM : overlay_raise(fs, to.dir);
    }
    if (rc == 0) {
        rc = overlay_copy_up(fs, &from);
    }
    if (rc == 0) {
        rc = libos_link(from.dir->upper, from.leaf.name, to.dir->upper, to.walk.name);
    }
    return overlay_finish(fs, rc);
}

static int64_t overlay_readlink(struct libos_file *dir, const char *path, char *out,
                                size_t out_bytes)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct overlay_found found;
    int64_t rc = overlay_walk_existing(dir, path, LIBOS_FOLLOW_SLASH, &found);
    if (rc == 0) {
        rc = found.is_leaf && found.leaf.stat.kind == LIBOS_KIND_SYMLINK
                 ? overlay_leaf_readlink(fs, &found.leaf, out, out_bytes)
                 : -LIBOS_EINVAL;
    }
    (void)overlay_finish(fs, 0);
    return rc;
}

static int overlay_readdir(struct libos_file *dir, uint64_t cookie, libos_dirent_fn *emit,
                           void *arg)
{
    struct overlay_handle *handle = handle_of(dir);
    struct overlay_listing all = {
        .fs = handle->fs, .node = handle->node, .handle = handle, .emit = emit, .arg = arg};
    return overlay_list(&all, cookie);
}

static int overlay_stat(struct libos_file *file, struct libos_stat *out)
{
    const struct overlay_handle *handle = handle_of(file);
    return stat_node(handle->fs, handle->node, out);
}

static int overlay_set_times(struct libos_file *file, const struct libos_times *times)
{
    struct overlay *fs = handle_of(file)->fs;
    return overlay_finish(fs, set_node_times(fs, handle_of(file)->node, times));
}

static void overlay_free(struct overlay *fs)
{
    while (fs->newest) {
        overlay_node_free(fs, fs->newest);
    }
    WM_ASSERT(fs->item_count == 0 && fs->whiteout_count == 0);
    for (size_t i = 0; i < fs->lower_count; i++) {
        libos_file_put(fs->lowers[i]);
    }
    libos_free(fs->os, fs->buckets, fs->bucket_count * sizeof(struct overlay_item *));
    libos_free(fs->os, fs, sizeof *fs);
}

static void overlay_close(struct libos_file *file)
{
    struct overlay_handle *handle = handle_of(file);
    struct overlay *fs = handle->fs;
    handle->node->refs--;
    overlay_free_unneeded(fs, handle->node);
    libos_free(fs->os, handle, sizeof *handle);
    if (--fs->opens == 0) {
        overlay_free(fs);
    }
}

static const struct libos_dir_ops overlay_tree_ops = {
    .open = overlay_open,
    .stat = overlay_stat_at,
    .set_times = overlay_set_times_at,
    .mkdir = overlay_mkdir,
    .remove = overlay_remove,
    .rename = overlay_rename,
    .link = overlay_link,
    .symlink = overlay_symlink,
    .readlink = overlay_readlink,
    .readdir = overlay_readdir,
};

static const struct libos_file_ops overlay_ops = {
    .close = overlay_close,
    .stat = overlay_stat,
    .set_times = overlay_set_times,
    .dir = &overlay_tree_ops,
};

static int check_lowers(const struct libos_overlay_config *config)
{
    if (config->lower_count == 0 || config->lower_count > LIBOS_OVERLAY_LOWERS_MAX) {
        return -LIBOS_EINVAL;
    }
    for (size_t i = 0; i < config->lower_count; i++) {
        if (config->lowers[i]->kind != LIBOS_KIND_DIR) {
            return -LIBOS_EINVAL;
        }
    }
    return 0;
}

int libos_overlay_new(struct libos *os, const struct libos_overlay_config *config,
                      struct libos_file **root)
{
    struct libos_stat stat;
    int rc = check_lowers(config);
    if (rc != 0) {
        return rc;
    }
    struct overlay *fs = libos_alloc(os, sizeof *fs);
    if (!fs) {
        return -LIBOS_ENOMEM;
    }
    fs->os = os;
    fs->limits = config->upper;
    fs->limits.bytes = fs->limits.bytes ? fs->limits.bytes : DEFAULT_BYTES;
    fs->whiteout_limit = config->whiteouts ? config->whiteouts : DEFAULT_WHITEOUTS;
    fs->bucket_count = FIRST_BUCKETS;
    fs->buckets = libos_alloc(os, FIRST_BUCKETS * sizeof(struct overlay_item *));
    for (; fs->lower_count < config->lower_count; fs->lower_count++) {
        fs->lowers[fs->lower_count] = libos_file_get(config->lowers[fs->lower_count]);
    }
    fs->root = fs->buckets ? overlay_node_new(fs, "") : NULL;
    rc = fs->root ? libos_file_stat(fs->lowers[0], &stat) : -LIBOS_ENOMEM;
    if (rc == 0) {
        fs->root->mask = (UINT32_C(1) << fs->lower_count) - 1;
        fs->root->dev = stat.dev;
        fs->root->ino = stat.ino;
        rc = open_node(fs, fs->root, LIBOS_READ, root);
    }
    if (rc != 0) {
        overlay_free(fs);
    }
    return rc;
}

static struct overlay *fs_of(struct libos_file *dir)
{
    WM_ASSERT(dir->ops == &overlay_ops);
    return handle_of(dir)->fs;
}

static WM_NOINLINE void forget(struct overlay *fs)
{
    for (struct overlay_node *node = fs->newest; node; node = node->older) {
        if (node->self.dir) {
            overlay_remove_item(fs, &node->self);
        }
        libos_file_put(node->upper);
        node->upper = NULL;
        overlay_free_whiteouts(fs, node);
    }
    WM_ASSERT(fs->item_count == 0 && fs->whiteout_count == 0);
    /* The newest first: a home is older than what was found in it. */
    for (struct overlay_node *node = fs->newest, *older; node; node = older) {
        older = node->older;
        if (!overlay_is_needed(fs, node)) {
            overlay_node_free(fs, node);
        } else if (node->home) {
            overlay_free_own_name(fs, node);
            overlay_set_home_name(node);
            overlay_insert_item(fs, &node->self, node->home);
        }
    }
    fs->changed = false;
}

void libos_overlay_reset(struct libos_file *dir)
{
    struct overlay *fs = fs_of(dir);
    if (fs->changed) {
        forget(fs);
    }
}

bool libos_overlay_changed(struct libos_file *dir)
{
    return fs_of(dir)->changed;
}

void libos_overlay_usage(struct libos_file *dir, struct libos_memfs_limits *upper,
                         uint64_t *whiteouts)
{
    const struct overlay *fs = fs_of(dir);
    *upper = (struct libos_memfs_limits){0, 0};
    if (fs->root->upper) {
        libos_memfs_usage(fs->root->upper, upper);
    }
    *whiteouts = fs->whiteout_count;
}
