/* What a change of a union needs before it is made: upper directories, copies, whiteouts in hand.
 */
#include "libos/overlay_internal.h"

#include "base/assert.h"

#define COPY_BYTES (size_t)65536

/* Going up. */

int overlay_stat_lower_dir(const struct overlay *fs, const struct overlay_node *node,
                           struct libos_stat *out)
{
    WM_ASSERT(node->mask);
    return libos_stat(fs->lowers[__builtin_ctz(node->mask)], overlay_lower_or_dot(node), false,
                      out);
}

/* An upper directory for one whose parent has one. */
static int raise_one(struct overlay *fs, struct overlay_node *node)
{
    struct libos_stat stat;
    int rc;
    if (node == fs->root) {
        rc = libos_memfs_new(fs->os, &fs->limits, &node->upper);
        fs->changed = fs->changed || rc == 0;
        return rc;
    }
    struct libos_file *above = node->self.dir->upper;
    rc = overlay_stat_lower_dir(fs, node, &stat);
    if (rc == 0) {
        rc = libos_mkdir(above, node->self.name);
    }
    if (rc != 0) {
        return rc;
    }
    rc = libos_open(above, node->self.name, LIBOS_READ | LIBOS_DIRECTORY, &node->upper);
    if (rc != 0) {
        int undone = libos_remove(above, node->self.name, true);
        WM_ASSERT(undone == 0);
        return rc;
    }
    const struct libos_times times = {stat.atime_ns, stat.mtime_ns};
    return libos_file_set_times(node->upper, &times);
}

/* An upper directory for one that is there, and for all above it. */
int overlay_raise(struct overlay *fs, struct overlay_node *node)
{
    while (!node->upper) {
        struct overlay_node *top = node;
        while (top != fs->root && !top->self.dir->upper) {
            top = top->self.dir;
        }
        int rc = raise_one(fs, top);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int copy_bytes(struct overlay *fs, struct libos_file *from, struct libos_file *to)
{
    uint64_t offset = 0;
    uint8_t *buffer = libos_alloc(fs->os, COPY_BYTES);
    int64_t done = buffer ? 0 : -LIBOS_ENOMEM;
    while (done >= 0) {
        struct libos_iov iov = {buffer, COPY_BYTES};
        done = libos_interrupted(fs->os) ? -LIBOS_EINTR : libos_file_pread(from, &iov, 1, offset);
        if (done <= 0) {
            break;
        }
        iov.len = (size_t)done;
        done = libos_file_pwrite(to, &iov, 1, offset);
        if (done >= 0 && (size_t)done < iov.len) {
            done = -LIBOS_ENOSPC;
        }
        offset += iov.len;
    }
    libos_free(fs->os, buffer, COPY_BYTES);
    return (int)done;
}

/* A new upper file of this name with the lower one's content. */
static int copy_file(struct overlay *fs, const struct overlay_leaf *leaf, const char *path)
{
    struct libos_file *upper = leaf->dir->upper;
    struct libos_memfs_limits used;
    struct libos_file *from, *to;
    libos_memfs_usage(upper, &used);
    if (leaf->stat.bytes > fs->limits.bytes - used.bytes) {
        return -LIBOS_ENOSPC;
    }
    int rc = libos_open(fs->lowers[leaf->layer], path, LIBOS_READ | LIBOS_NOFOLLOW, &from);
    if (rc != 0) {
        return rc;
    }
    rc = libos_open(upper, leaf->name, LIBOS_WRITE | LIBOS_CREATE | LIBOS_EXCLUSIVE, &to);
    if (rc == 0) {
        rc = from->kind == LIBOS_KIND_FILE ? copy_bytes(fs, from, to) : -LIBOS_EPERM;
        libos_file_put(to);
        if (rc != 0) {
            int undone = libos_remove(upper, leaf->name, false);
            WM_ASSERT(undone == 0);
        }
    }
    libos_file_put(from);
    return rc == -LIBOS_EFBIG ? -LIBOS_ENOSPC : rc;
}

static int copy_link(struct overlay *fs, const struct overlay_leaf *leaf)
{
    char *target = libos_alloc(fs->os, LIBOS_PATH_MAX);
    if (!target) {
        return -LIBOS_ENOMEM;
    }
    int64_t len = overlay_leaf_readlink(fs, leaf, target, LIBOS_PATH_MAX - 1);
    int rc = len < 0                     ? (int)len
             : len >= LIBOS_PATH_MAX - 1 ? -LIBOS_ENAMETOOLONG
                                         : libos_symlink(leaf->dir->upper, target, leaf->name);
    libos_free(fs->os, target, LIBOS_PATH_MAX);
    return rc;
}

/* Afterwards the leaf, which is in found->dir, is an upper one. 0, or nothing has changed. */
int overlay_copy_up(struct overlay *fs, struct overlay_found *found)
{
    struct overlay_leaf *leaf = &found->leaf;
    char path[LIBOS_PATH_MAX];
    if (leaf->layer == OVERLAY_UPPER) {
        return 0;
    }
    if (leaf->stat.kind != LIBOS_KIND_FILE && leaf->stat.kind != LIBOS_KIND_SYMLINK) {
        return -LIBOS_EPERM;
    }
    if (!overlay_lower_path(leaf->dir, wm_view_str(leaf->name), path)) {
        return -LIBOS_ENAMETOOLONG;
    }
    int rc = overlay_raise(fs, found->dir);
    if (rc == 0) {
        rc = leaf->stat.kind == LIBOS_KIND_FILE ? copy_file(fs, leaf, path) : copy_link(fs, leaf);
    }
    if (rc != 0) {
        return rc;
    }
    const struct libos_times times = {leaf->stat.atime_ns, leaf->stat.mtime_ns};
    leaf->layer = OVERLAY_UPPER;
    rc = libos_set_times(found->dir->upper, leaf->name, false, &times);
    return rc != 0 ? rc : libos_stat(found->dir->upper, leaf->name, false, &leaf->stat);
}

/* A whiteout in hand, for a name that some lower directory has and that is not hidden yet; *out is
 * NULL when none is needed. commit_whiteout cannot fail after this. */
int overlay_prepare_whiteout(struct overlay *fs, const struct overlay_node *dir,
                             struct wm_view name, struct overlay_whiteout **out)
{
    struct overlay_leaf below;
    uint32_t mask;
    *out = NULL;
    if (overlay_is_whited(fs, dir, name)) {
        return 0;
    }
    int rc = overlay_find_lower(fs, dir, dir->mask, name, &below, &mask);
    if (rc != 0) {
        return rc == -LIBOS_ENOENT ? 0 : rc;
    }
    if (fs->whiteout_count >= fs->whiteout_limit) {
        return -LIBOS_ENOSPC;
    }
    struct overlay_whiteout *whiteout = libos_alloc(fs->os, sizeof *whiteout + name.len + 1);
    if (!whiteout) {
        return -LIBOS_ENOMEM;
    }
    __builtin_memcpy(whiteout->name, name.ptr, name.len);
    whiteout->item.name = whiteout->name;
    whiteout->item.name_len = (uint32_t)name.len;
    *out = whiteout;
    return 0;
}

void overlay_commit_whiteout(struct overlay *fs, struct overlay_node *dir,
                             struct overlay_whiteout *whiteout)
{
    if (whiteout) {
        overlay_insert_item(fs, &whiteout->item, dir);
        whiteout->older = dir->whiteouts;
        dir->whiteouts = whiteout;
        fs->whiteout_count++;
        fs->changed = true;
    }
}

void overlay_drop_whiteout(struct overlay *fs, struct overlay_whiteout *whiteout)
{
    if (whiteout) {
        libos_free(fs->os, whiteout, sizeof *whiteout + whiteout->item.name_len + 1);
    }
}

/* Takes a directory's name away; open handles keep the node. */
void overlay_detach(struct overlay *fs, struct overlay_node *node)
{
    overlay_remove_item(fs, &node->self);
    libos_file_put(node->upper);
    node->upper = NULL;
    overlay_set_fresh(fs, node);
}
