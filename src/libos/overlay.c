/* A union of directories.
 *
 *   struct node   a directory of the union that is open, changed, or above such a one; others are
 *                 made while a path is walked and freed at the operation's end (`fresh`)
 *   struct item   (directory, name) -> node or whiteout, in one hash table
 *   struct leaf   what is no directory: only ever the last one looked up, so there is just one
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
#include "libos/path.h"

#define DEFAULT_BYTES (UINT64_C(64) << 20)
#define DEFAULT_WHITEOUTS UINT64_C(65536)
#define COPY_BYTES (size_t)65536
#define FIRST_BUCKETS 16u
/* Cookies: `.` and `..` first; then (pass + 1) << COOKIE_SHIFT | position. Pass n lists the n-th
 * lower directory, positions are ordinals; the last lists the upper, positions are its cookies. */
#define COOKIE_SHIFT 56
#define POSITION_MASK ((UINT64_C(1) << COOKIE_SHIFT) - 1)

/* What path.h walks over. */
struct vertex {
    struct overlay *fs;
    bool is_leaf;
};

struct item {
    struct item *next; /* in its hash chain */
    struct node *dir;
    struct node *node; /* NULL: a whiteout */
    const char *name;  /* with NUL */
    uint32_t name_len;
    uint32_t hash;
};

struct whiteout {
    struct item item;
    struct whiteout *older; /* of the same directory */
    char name[];
};

struct node {
    struct vertex vertex;
    struct item self;           /* its present name; self.dir NULL: removed, or the root */
    struct node *home;          /* the directory it was found in, NULL when it was made above */
    struct node *newer, *older; /* all nodes */
    struct node *next_fresh;
    struct libos_file *upper; /* NULL: none yet */
    struct whiteout *whiteouts;
    char *own_name; /* allocated, after a rename or for one that was made above */
    uint64_t dev, ino;
    uint32_t refs; /* open handles */
    uint32_t kept; /* nodes whose home this is */
    uint32_t mask; /* lower directories that it merges */
    bool is_fresh;
    size_t lower_len;
    char lower[]; /* its path in each of them; "" for the root */
};

#define UPPER LIBOS_OVERLAY_LOWERS_MAX
struct leaf {
    struct vertex vertex;
    struct libos_stat stat;
    size_t layer; /* UPPER or the number of a lower one */
    const struct node *dir;
    char name[LIBOS_NAME_MAX + 1];
};

struct overlay {
    struct libos *os;
    struct libos_file *lowers[LIBOS_OVERLAY_LOWERS_MAX];
    size_t lower_count;
    struct libos_memfs_limits limits;
    uint64_t whiteout_limit, whiteout_count;
    struct node *root;
    struct node *newest;
    struct node *fresh;
    struct item **buckets;
    size_t bucket_count; /* a power of two */
    size_t item_count;
    uint64_t opens; /* directory handles; the union goes with the last */
    bool changed;
    /* Of the operation that runs now. */
    int failed; /* why a lookup could not be made */
    char *target;
    struct leaf leaf;
};

/* A place in a lower directory's listing, by its ordinal and by its driver's cookie. */
struct place {
    uint64_t ordinal;
    uint64_t native;
};

struct handle {
    struct libos_file file;
    struct overlay *fs;
    struct node *node;
    size_t listed; /* the lower directory that `before` and `after` are places of */
    struct place before, after;
};

static struct handle *handle_of(struct libos_file *file)
{
    return (struct handle *)file;
}

/* The table of names. */

static uint32_t hash_name(const struct node *dir, struct wm_view name)
{
    uint64_t from = (uint64_t)(uintptr_t)dir;
    uint32_t hash = UINT32_C(2166136261) ^ (uint32_t)(from >> 4) ^ (uint32_t)(from >> 36);
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ name.ptr[i]) * UINT32_C(16777619);
    }
    return hash;
}

static struct item *find_item(const struct overlay *fs, const struct node *dir, struct wm_view name,
                              bool whiteout)
{
    if (fs->item_count == 0) {
        return NULL;
    }
    uint32_t hash = hash_name(dir, name);
    struct item *item = fs->buckets[hash & (fs->bucket_count - 1)];
    while (item && !(item->hash == hash && item->dir == dir && (item->node == NULL) == whiteout &&
                     wm_view_eq(wm_view_of(item->name, item->name_len), name))) {
        item = item->next;
    }
    return item;
}

static bool is_whited(const struct overlay *fs, const struct node *dir, struct wm_view name)
{
    return dir->whiteouts && find_item(fs, dir, name, true);
}

/* More buckets where they can be had: without them the chains are longer, and that is all. */
static void widen(struct overlay *fs)
{
    size_t count = fs->bucket_count * 2;
    struct item **buckets = libos_alloc(fs->os, count * sizeof(struct item *));
    if (!buckets) {
        return;
    }
    for (size_t i = 0; i < fs->bucket_count; i++) {
        for (struct item *item = fs->buckets[i], *next; item; item = next) {
            struct item **bucket = &buckets[item->hash & (count - 1)];
            next = item->next;
            item->next = *bucket;
            *bucket = item;
        }
    }
    libos_free(fs->os, fs->buckets, fs->bucket_count * sizeof(struct item *));
    fs->buckets = buckets;
    fs->bucket_count = count;
}

static void insert_item(struct overlay *fs, struct item *item, struct node *dir)
{
    if (fs->item_count >= fs->bucket_count) {
        widen(fs);
    }
    item->dir = dir;
    item->hash = hash_name(dir, wm_view_of(item->name, item->name_len));
    struct item **bucket = &fs->buckets[item->hash & (fs->bucket_count - 1)];
    item->next = *bucket;
    *bucket = item;
    fs->item_count++;
}

static void remove_item(struct overlay *fs, struct item *item)
{
    struct item **at = &fs->buckets[item->hash & (fs->bucket_count - 1)];
    while (*at != item) {
        at = &(*at)->next;
    }
    *at = item->next;
    item->dir = NULL;
    fs->item_count--;
}

/* Nodes. */

static bool is_there(const struct overlay *fs, const struct node *node)
{
    return node == fs->root || node->self.dir;
}

/* `path` below the lower directories of `dir`: false when it is too long. */
static bool lower_path(const struct node *dir, struct wm_view name, char out[LIBOS_PATH_MAX])
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

static const char *lower_or_dot(const struct node *node)
{
    return node->lower_len ? node->lower : ".";
}

static void set_home_name(struct node *node)
{
    size_t start = node->lower_len;
    while (start > 0 && node->lower[start - 1] != '/') {
        start--;
    }
    node->self.name = node->lower + start;
    node->self.name_len = (uint32_t)(node->lower_len - start);
}

static struct node *node_new(struct overlay *fs, const char *lower)
{
    size_t len = __builtin_strlen(lower);
    struct node *node = libos_alloc(fs->os, sizeof *node + len + 1);
    if (!node) {
        return NULL;
    }
    __builtin_memcpy(node->lower, lower, len);
    node->lower_len = len;
    node->vertex.fs = fs;
    node->self.node = node;
    set_home_name(node);
    node->older = fs->newest;
    if (fs->newest) {
        fs->newest->newer = node;
    }
    fs->newest = node;
    return node;
}

static void free_own_name(struct overlay *fs, struct node *node)
{
    if (node->own_name) {
        libos_free(fs->os, node->own_name, __builtin_strlen(node->own_name) + 1);
        node->own_name = NULL;
    }
}

static void free_whiteouts(struct overlay *fs, struct node *node)
{
    while (node->whiteouts) {
        struct whiteout *whiteout = node->whiteouts;
        node->whiteouts = whiteout->older;
        if (whiteout->item.dir) {
            remove_item(fs, &whiteout->item);
        }
        fs->whiteout_count--;
        libos_free(fs->os, whiteout, sizeof *whiteout + whiteout->item.name_len + 1);
    }
}

static bool is_needed(const struct overlay *fs, const struct node *node)
{
    bool held = node == fs->root || node->refs > 0 || node->kept > 0;
    return held || (node->self.dir && (node->upper || node->whiteouts));
}

/* Returns the home, which may be needed no more now. */
static struct node *node_free(struct overlay *fs, struct node *node)
{
    struct node *home = node->home;
    if (node->self.dir) {
        remove_item(fs, &node->self);
    }
    libos_file_put(node->upper);
    free_whiteouts(fs, node);
    free_own_name(fs, node);
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

static void free_unneeded(struct overlay *fs, struct node *node)
{
    while (node && !node->is_fresh && !is_needed(fs, node)) {
        node = node_free(fs, node);
    }
}

/* To be looked at when the operation ends. */
static void set_fresh(struct overlay *fs, struct node *node)
{
    if (!node->is_fresh) {
        node->is_fresh = true;
        node->next_fresh = fs->fresh;
        fs->fresh = node;
    }
}

/* The end of every operation. */
static int finish(struct overlay *fs, int rc)
{
    while (fs->fresh) {
        struct node *node = fs->fresh;
        fs->fresh = node->next_fresh;
        node->is_fresh = false;
        free_unneeded(fs, node);
    }
    if (fs->target) {
        libos_free(fs->os, fs->target, LIBOS_PATH_MAX);
        fs->target = NULL;
    }
    fs->failed = 0;
    return rc;
}

/* Lookup. */

static bool is_missing(int rc)
{
    return rc == -LIBOS_ENOENT || rc == -LIBOS_ENOTDIR;
}

/* What those lower directories of `dir` that are in `among` have of this name: in *leaf the
 * uppermost, and when that is a directory, which of them are merged. 0, -ENOENT or what went
 * wrong. */
static int find_lower(const struct overlay *fs, const struct node *dir, uint32_t among,
                      struct wm_view name, struct leaf *leaf, uint32_t *mask)
{
    char path[LIBOS_PATH_MAX];
    *mask = 0;
    if (!among) {
        return -LIBOS_ENOENT;
    }
    if (!lower_path(dir, name, path)) {
        return -LIBOS_ENAMETOOLONG;
    }
    for (size_t i = 0; i < fs->lower_count; i++) {
        struct libos_stat stat;
        if (!(among >> i & 1)) {
            continue;
        }
        int rc = libos_stat(fs->lowers[i], path, false, &stat);
        if (is_missing(rc)) {
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

static struct node *enter_lower(struct overlay *fs, struct node *dir, struct wm_view name,
                                const struct leaf *leaf, uint32_t mask)
{
    char path[LIBOS_PATH_MAX];
    struct node *node = lower_path(dir, name, path) ? node_new(fs, path) : NULL;
    if (node) {
        node->mask = mask;
        node->dev = leaf->stat.dev;
        node->ino = leaf->stat.ino;
        node->home = dir;
        dir->kept++;
        insert_item(fs, &node->self, dir);
        set_fresh(fs, node);
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

static void *lookup(struct overlay *fs, struct node *dir, struct wm_view name)
{
    struct leaf *leaf = &fs->leaf;
    uint32_t mask;
    if (!is_there(fs, dir)) {
        return NULL;
    }
    struct item *item = find_item(fs, dir, name, false);
    if (item) {
        return item->node;
    }
    leaf->vertex = (struct vertex){fs, true};
    leaf->dir = dir;
    __builtin_memcpy(leaf->name, name.ptr, name.len);
    leaf->name[name.len] = '\0';
    if (dir->upper) {
        int rc = libos_stat(dir->upper, leaf->name, false, &leaf->stat);
        leaf->layer = UPPER;
        if (!is_missing(rc)) {
            WM_ASSERT(rc != 0 || leaf->stat.kind != LIBOS_KIND_DIR);
            return rc == 0 ? leaf : fail(fs, rc);
        }
    }
    if (is_whited(fs, dir, name)) {
        return NULL;
    }
    int rc = find_lower(fs, dir, dir->mask, name, leaf, &mask);
    if (rc != 0) {
        return rc == -LIBOS_ENOENT ? NULL : fail(fs, rc);
    }
    if (leaf->stat.kind != LIBOS_KIND_DIR) {
        return leaf;
    }
    struct node *node = enter_lower(fs, dir, name, leaf, mask);
    return node ? node : fail(fs, -LIBOS_ENOMEM);
}

static void *tree_lookup(void *dir, struct wm_view name)
{
    struct overlay *fs = ((struct node *)dir)->vertex.fs;
    /* After a failure nothing is found any more: the walk ends, and `failed` says why. */
    return fs->failed == 0 ? lookup(fs, dir, name) : NULL;
}

static void *tree_parent(void *dir)
{
    struct node *node = dir;
    return node == node->vertex.fs->root ? node : node->self.dir;
}

static enum libos_kind tree_kind(void *node)
{
    const struct vertex *vertex = node;
    return vertex->is_leaf ? ((const struct leaf *)node)->stat.kind : LIBOS_KIND_DIR;
}

static int64_t leaf_readlink(struct overlay *fs, const struct leaf *leaf, char *out,
                             size_t out_bytes)
{
    char path[LIBOS_PATH_MAX];
    if (leaf->layer == UPPER) {
        return libos_readlink(leaf->dir->upper, leaf->name, out, out_bytes);
    }
    return lower_path(leaf->dir, wm_view_str(leaf->name), path)
               ? libos_readlink(fs->lowers[leaf->layer], path, out, out_bytes)
               : -LIBOS_ENAMETOOLONG;
}

static struct wm_view tree_target(void *node)
{
    const struct leaf *leaf = node;
    struct overlay *fs = leaf->vertex.fs;
    if (!fs->target) {
        fs->target = libos_alloc(fs->os, LIBOS_PATH_MAX);
    }
    int64_t len = fs->target ? leaf_readlink(fs, leaf, fs->target, LIBOS_PATH_MAX) : -LIBOS_ENOMEM;
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

/* Where a path led. A directory that was only looked up stays until finish. */
struct found {
    struct libos_walk walk;
    struct node *dir;
    struct node *node; /* NULL: nothing there, or the leaf */
    bool is_leaf;
    struct leaf leaf;
};

static int walk(struct libos_file *start, const char *path, enum libos_follow follow,
                struct found *out)
{
    struct overlay *fs = handle_of(start)->fs;
    int rc = libos_path_walk(&tree, handle_of(start)->node, path, follow, &out->walk);
    if (fs->failed != 0) {
        return fs->failed;
    }
    if (rc != 0) {
        return rc;
    }
    struct vertex *vertex = out->walk.node;
    out->dir = out->walk.dir;
    out->is_leaf = vertex && vertex->is_leaf;
    out->node = vertex && !vertex->is_leaf ? out->walk.node : NULL;
    if (out->is_leaf) {
        out->leaf = fs->leaf;
    }
    return 0;
}

static int walk_existing(struct libos_file *start, const char *path, enum libos_follow follow,
                         struct found *out)
{
    int rc = walk(start, path, follow, out);
    return rc == 0 && !out->walk.node ? -LIBOS_ENOENT : rc;
}

static struct wm_view name_of(const struct found *found)
{
    return wm_view_of(found->walk.name, found->walk.name_len);
}

/* May a name be made where the walk ended? */
static int check_new_name(const struct overlay *fs, const struct found *found)
{
    if (found->walk.node || found->walk.last != LIBOS_LAST_NAME) {
        return -LIBOS_EEXIST;
    }
    return is_there(fs, found->dir) ? 0 : -LIBOS_ENOENT;
}

/* Going up. */

static int stat_lower_dir(const struct overlay *fs, const struct node *node, struct libos_stat *out)
{
    WM_ASSERT(node->mask);
    return libos_stat(fs->lowers[__builtin_ctz(node->mask)], lower_or_dot(node), false, out);
}

/* An upper directory for one whose parent has one. */
static int raise_one(struct overlay *fs, struct node *node)
{
    struct libos_stat stat;
    int rc;
    if (node == fs->root) {
        rc = libos_memfs_new(fs->os, &fs->limits, &node->upper);
        fs->changed = fs->changed || rc == 0;
        return rc;
    }
    struct libos_file *above = node->self.dir->upper;
    rc = stat_lower_dir(fs, node, &stat);
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
static int raise(struct overlay *fs, struct node *node)
{
    while (!node->upper) {
        struct node *top = node;
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
static int copy_file(struct overlay *fs, const struct leaf *leaf, const char *path)
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

static int copy_link(struct overlay *fs, const struct leaf *leaf)
{
    char *target = libos_alloc(fs->os, LIBOS_PATH_MAX);
    if (!target) {
        return -LIBOS_ENOMEM;
    }
    int64_t len = leaf_readlink(fs, leaf, target, LIBOS_PATH_MAX - 1);
    int rc = len < 0                     ? (int)len
             : len >= LIBOS_PATH_MAX - 1 ? -LIBOS_ENAMETOOLONG
                                         : libos_symlink(leaf->dir->upper, target, leaf->name);
    libos_free(fs->os, target, LIBOS_PATH_MAX);
    return rc;
}

/* Afterwards the leaf, which is in found->dir, is an upper one. 0, or nothing has changed. */
static int copy_up(struct overlay *fs, struct found *found)
{
    struct leaf *leaf = &found->leaf;
    char path[LIBOS_PATH_MAX];
    if (leaf->layer == UPPER) {
        return 0;
    }
    if (leaf->stat.kind != LIBOS_KIND_FILE && leaf->stat.kind != LIBOS_KIND_SYMLINK) {
        return -LIBOS_EPERM;
    }
    if (!lower_path(leaf->dir, wm_view_str(leaf->name), path)) {
        return -LIBOS_ENAMETOOLONG;
    }
    int rc = raise(fs, found->dir);
    if (rc == 0) {
        rc = leaf->stat.kind == LIBOS_KIND_FILE ? copy_file(fs, leaf, path) : copy_link(fs, leaf);
    }
    if (rc != 0) {
        return rc;
    }
    const struct libos_times times = {leaf->stat.atime_ns, leaf->stat.mtime_ns};
    leaf->layer = UPPER;
    rc = libos_set_times(found->dir->upper, leaf->name, false, &times);
    return rc != 0 ? rc : libos_stat(found->dir->upper, leaf->name, false, &leaf->stat);
}

/* A whiteout in hand, for a name that some lower directory has and that is not hidden yet; *out is
 * NULL when none is needed. commit_whiteout cannot fail after this. */
static int prepare_whiteout(struct overlay *fs, const struct node *dir, struct wm_view name,
                            struct whiteout **out)
{
    struct leaf below;
    uint32_t mask;
    *out = NULL;
    if (is_whited(fs, dir, name)) {
        return 0;
    }
    int rc = find_lower(fs, dir, dir->mask, name, &below, &mask);
    if (rc != 0) {
        return rc == -LIBOS_ENOENT ? 0 : rc;
    }
    if (fs->whiteout_count >= fs->whiteout_limit) {
        return -LIBOS_ENOSPC;
    }
    struct whiteout *whiteout = libos_alloc(fs->os, sizeof *whiteout + name.len + 1);
    if (!whiteout) {
        return -LIBOS_ENOMEM;
    }
    __builtin_memcpy(whiteout->name, name.ptr, name.len);
    whiteout->item.name = whiteout->name;
    whiteout->item.name_len = (uint32_t)name.len;
    *out = whiteout;
    return 0;
}

static void commit_whiteout(struct overlay *fs, struct node *dir, struct whiteout *whiteout)
{
    if (whiteout) {
        insert_item(fs, &whiteout->item, dir);
        whiteout->older = dir->whiteouts;
        dir->whiteouts = whiteout;
        fs->whiteout_count++;
        fs->changed = true;
    }
}

static void drop_whiteout(struct overlay *fs, struct whiteout *whiteout)
{
    if (whiteout) {
        libos_free(fs->os, whiteout, sizeof *whiteout + whiteout->item.name_len + 1);
    }
}

/* Takes a directory's name away; open handles keep the node. */
static void detach(struct overlay *fs, struct node *node)
{
    remove_item(fs, &node->self);
    libos_file_put(node->upper);
    node->upper = NULL;
    set_fresh(fs, node);
}

/* Listing. */

struct listing {
    struct overlay *fs;
    struct node *node;
    struct handle *handle; /* NULL: nobody will go on from here */
    libos_dirent_fn *emit;
    void *arg;
    size_t layer;
    uint64_t pass;
    struct place at; /* after the entry seen last */
    uint64_t skip_to;
    bool stopped;
    int rc;
};

static bool is_dots(const struct libos_dirent *entry)
{
    return entry->name[0] == '.' &&
           (entry->name_len == 1 || (entry->name_len == 2 && entry->name[1] == '.'));
}

/* What the union has under this name, when not what the layer being listed says. */
static int look_above(const struct listing *list, struct libos_dirent *entry)
{
    const struct item *item =
        find_item(list->fs, list->node, wm_view_of(entry->name, entry->name_len), false);
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
    return is_missing(rc) ? 0 : rc;
}

static bool pass_on(struct listing *list, struct libos_dirent *entry, uint64_t position)
{
    entry->next = (list->pass + 1) << COOKIE_SHIFT | position;
    list->stopped = !list->emit(list->arg, entry);
    return !list->stopped;
}

/* Lower entries come first, whatever lies above them, as long as they are not hidden: so one that
 * is copied up in the middle of a listing is still seen once. */
static bool list_lower(void *arg, const struct libos_dirent *found)
{
    struct listing *list = arg;
    struct libos_dirent entry = *found;
    struct wm_view name = wm_view_of(entry.name, entry.name_len);
    struct place before = list->at;
    list->at = (struct place){before.ordinal + 1, found->next};
    if (list->at.ordinal <= list->skip_to || is_dots(found) || name.len > LIBOS_NAME_MAX ||
        is_whited(list->fs, list->node, name)) {
        return true;
    }
    uint32_t above = list->node->mask & ((UINT32_C(1) << list->layer) - 1);
    if (above) {
        struct leaf leaf;
        uint32_t mask;
        int rc = find_lower(list->fs, list->node, above, name, &leaf, &mask);
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

static int list_lower_pass(struct listing *list, uint64_t position)
{
    const struct handle *handle = list->handle;
    struct libos_file *dir;
    list->skip_to = position;
    list->at = (struct place){0, 0};
    if (handle && handle->listed == list->layer && position > 0) {
        if (handle->after.ordinal == position) {
            list->at = handle->after;
        } else if (handle->before.ordinal == position) {
            list->at = handle->before;
        }
    }
    int rc = libos_open(list->fs->lowers[list->layer], lower_or_dot(list->node),
                        LIBOS_READ | LIBOS_DIRECTORY | LIBOS_NOFOLLOW, &dir);
    if (rc != 0) {
        return is_missing(rc) ? 0 : rc;
    }
    rc = libos_readdir(dir, list->at.native, list_lower, list);
    libos_file_put(dir);
    return rc != 0 ? rc : list->rc;
}

static bool list_upper(void *arg, const struct libos_dirent *found)
{
    struct listing *list = arg;
    struct libos_dirent entry = *found;
    struct wm_view name = wm_view_of(entry.name, entry.name_len);
    struct leaf leaf;
    uint32_t mask;
    if (is_dots(found)) {
        return true;
    }
    if (!is_whited(list->fs, list->node, name)) {
        int rc = find_lower(list->fs, list->node, list->node->mask, name, &leaf, &mask);
        if (rc != -LIBOS_ENOENT) {
            list->rc = rc;
            return rc == 0; /* it was listed already */
        }
    }
    const struct item *item = find_item(list->fs, list->node, name, false);
    if (item) {
        entry.ino = item->node->ino;
    }
    return pass_on(list, &entry, found->next & POSITION_MASK);
}

static int list_dots(struct listing *list, uint64_t cookie)
{
    for (uint64_t i = cookie; i < 2 && !list->stopped; i++) {
        /* Above the directory one holds is nothing one may know of: both are itself. */
        struct libos_dirent entry = {"..", (uint32_t)i + 1, list->node->ino, LIBOS_KIND_DIR, i + 1};
        list->stopped = !list->emit(list->arg, &entry);
    }
    return 0;
}

static int list(struct listing *list, uint64_t cookie)
{
    const struct overlay *fs = list->fs;
    uint64_t first = cookie >> COOKIE_SHIFT;
    uint64_t position = cookie & POSITION_MASK;
    int rc = 0;
    if (!is_there(fs, list->node)) {
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

static int check_empty(struct overlay *fs, struct node *node)
{
    bool any = false;
    struct listing empty = {.fs = fs, .node = node, .emit = see_any, .arg = &any};
    int rc = list(&empty, 0);
    return rc == 0 && any ? -LIBOS_ENOTEMPTY : rc;
}

/* The operations of a directory. Each ends with finish. */

static const struct libos_file_ops overlay_ops;

static int open_node(struct overlay *fs, struct node *node, uint32_t flags, struct libos_file **out)
{
    struct handle *handle = libos_alloc(fs->os, sizeof *handle);
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

static int create_file(struct overlay *fs, const struct found *found, uint32_t flags,
                       struct libos_file **out)
{
    int rc = check_new_name(fs, found);
    if (rc == 0) {
        rc = raise(fs, found->dir);
    }
    return rc != 0 ? rc
                   : libos_open(found->dir->upper, found->walk.name,
                                flags | LIBOS_CREATE | LIBOS_EXCLUSIVE, out);
}

/* To be cut to nothing at once: its content need not be copied. */
static int open_cut(struct overlay *fs, const struct found *found, uint32_t flags,
                    struct libos_file **out)
{
    if (found->leaf.stat.kind != LIBOS_KIND_FILE) {
        return -LIBOS_EPERM;
    }
    int rc = raise(fs, found->dir);
    return rc != 0 ? rc
                   : libos_open(found->dir->upper, found->leaf.name,
                                flags | LIBOS_CREATE | LIBOS_EXCLUSIVE, out);
}

static int open_leaf(struct overlay *fs, struct found *found, uint32_t flags,
                     struct libos_file **out)
{
    char path[LIBOS_PATH_MAX];
    const struct leaf *leaf = &found->leaf;
    if (leaf->stat.kind == LIBOS_KIND_SYMLINK) {
        return flags & LIBOS_DIRECTORY ? -LIBOS_ENOTDIR : -LIBOS_ELOOP;
    }
    if (flags & LIBOS_DIRECTORY) {
        return -LIBOS_ENOTDIR;
    }
    flags = (flags & ~(LIBOS_CREATE | LIBOS_EXCLUSIVE)) | LIBOS_NOFOLLOW;
    if (leaf->layer != UPPER && (flags & LIBOS_TRUNCATE)) {
        return open_cut(fs, found, flags, out);
    }
    if (leaf->layer != UPPER && (flags & LIBOS_WRITE)) {
        int rc = copy_up(fs, found);
        if (rc != 0) {
            return rc;
        }
    }
    if (leaf->layer == UPPER) {
        return libos_open(found->dir->upper, leaf->name, flags, out);
    }
    return lower_path(leaf->dir, wm_view_str(leaf->name), path)
               ? libos_open(fs->lowers[leaf->layer], path, flags, out)
               : -LIBOS_ENAMETOOLONG;
}

static int open_found(struct overlay *fs, struct found *found, uint32_t flags,
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
    return !fs->changed && ((const struct handle *)dir)->node == fs->root;
}

static int overlay_open(struct libos_file *dir, const char *path, uint32_t flags,
                        struct libos_file **out)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct found found;
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
    int rc = walk(dir, path, last, &found);
    return finish(fs, rc != 0 ? rc : open_found(fs, &found, flags, out));
}

static int stat_node(const struct overlay *fs, const struct node *node, struct libos_stat *out)
{
    int rc = 0;
    *out = (struct libos_stat){0};
    if (node->upper) {
        rc = libos_file_stat(node->upper, out);
    } else if (is_there(fs, node)) {
        rc = stat_lower_dir(fs, node, out);
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
    struct found found;
    if (is_plain(fs, dir) && libos_stat(fs->lowers[0], path, follow, out) == 0) {
        return 0;
    }
    int rc = walk_existing(dir, path, follow ? LIBOS_FOLLOW_LAST : LIBOS_FOLLOW_SLASH, &found);
    if (rc == 0 && found.is_leaf) {
        *out = found.leaf.stat;
    } else if (rc == 0) {
        rc = stat_node(fs, found.node, out);
    }
    return finish(fs, rc);
}

static int set_node_times(struct overlay *fs, struct node *node, const struct libos_times *times)
{
    int rc = is_there(fs, node) ? raise(fs, node) : -LIBOS_ENOENT;
    return rc != 0 ? rc : libos_file_set_times(node->upper, times);
}

static int overlay_set_times_at(struct libos_file *dir, const char *path, bool follow,
                                const struct libos_times *times)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct found found;
    int rc = walk_existing(dir, path, follow ? LIBOS_FOLLOW_LAST : LIBOS_FOLLOW_SLASH, &found);
    if (rc == 0 && !found.is_leaf) {
        rc = set_node_times(fs, found.node, times);
    } else if (rc == 0) {
        rc = copy_up(fs, &found);
        if (rc == 0) {
            rc = libos_set_times(found.dir->upper, found.leaf.name, false, times);
        }
    }
    return finish(fs, rc);
}

static int make_dir(struct overlay *fs, const struct found *found)
{
    struct libos_stat stat;
    int rc = check_new_name(fs, found);
    if (rc == 0) {
        rc = raise(fs, found->dir);
    }
    if (rc != 0) {
        return rc;
    }
    const char *name = found->walk.name;
    struct node *node = node_new(fs, "");
    if (!node) {
        return -LIBOS_ENOMEM;
    }
    set_fresh(fs, node); /* on a failure it goes with finish */
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
    insert_item(fs, &node->self, found->dir);
    return 0;
}

static int overlay_mkdir(struct libos_file *dir, const char *path)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct found found;
    int rc = walk(dir, path, LIBOS_FOLLOW_NEVER, &found);
    return finish(fs, rc != 0 ? rc : make_dir(fs, &found));
}

static int overlay_symlink(struct libos_file *dir, const char *target, const char *path)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct found found;
    int rc = walk(dir, path, LIBOS_FOLLOW_NEVER, &found);
    if (rc == 0 && !found.walk.node && found.walk.slash) {
        rc = -LIBOS_ENOENT;
    }
    if (rc == 0) {
        rc = check_new_name(fs, &found);
    }
    if (rc == 0) {
        rc = raise(fs, found.dir);
    }
    if (rc == 0) {
        rc = libos_symlink(found.dir->upper, target, found.walk.name);
    }
    return finish(fs, rc);
}

static int remove_dir(struct overlay *fs, const struct found *found)
{
    struct whiteout *whiteout;
    if (found->walk.last == LIBOS_LAST_DOT) {
        return -LIBOS_EINVAL;
    }
    if (found->is_leaf) {
        return -LIBOS_ENOTDIR;
    }
    int rc =
        found->walk.last == LIBOS_LAST_DOTDOT ? -LIBOS_ENOTEMPTY : check_empty(fs, found->node);
    if (rc == 0) {
        rc = prepare_whiteout(fs, found->dir, name_of(found), &whiteout);
    }
    if (rc != 0) {
        return rc;
    }
    if (found->node->upper) {
        rc = libos_remove(found->dir->upper, found->walk.name, true);
        if (rc != 0) {
            drop_whiteout(fs, whiteout);
            return rc;
        }
    }
    commit_whiteout(fs, found->dir, whiteout);
    detach(fs, found->node);
    return 0;
}

static int remove_leaf(struct overlay *fs, const struct found *found)
{
    struct whiteout *whiteout;
    int rc = !found->is_leaf     ? -LIBOS_EISDIR
             : found->walk.slash ? -LIBOS_ENOTDIR
                                 : prepare_whiteout(fs, found->dir, name_of(found), &whiteout);
    if (rc != 0) {
        return rc;
    }
    if (found->leaf.layer == UPPER) {
        rc = libos_remove(found->dir->upper, found->walk.name, false);
        if (rc != 0) {
            drop_whiteout(fs, whiteout);
            return rc;
        }
    }
    commit_whiteout(fs, found->dir, whiteout);
    return 0;
}

static int overlay_remove(struct libos_file *dir, const char *path, bool is_dir)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct found found;
    int rc = walk_existing(dir, path, LIBOS_FOLLOW_NEVER, &found);
    if (rc == 0) {
        rc = is_dir ? remove_dir(fs, &found) : remove_leaf(fs, &found);
    }
    return finish(fs, rc);
}

static bool lies_within(const struct node *dir, const struct node *ancestor)
{
    while (dir && dir != ancestor) {
        dir = dir->self.dir;
    }
    return dir != NULL;
}

/* As memfs' rules. */
static int check_rename(struct overlay *fs, const struct found *from, const struct found *to)
{
    const struct node *moved = from->node;
    struct node *target = to->node;
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
        int rc = check_empty(fs, target);
        if (rc != 0) {
            return rc;
        }
    }
    if (!moved && target) {
        return -LIBOS_EISDIR;
    }
    return is_there(fs, to->dir) ? 0 : -LIBOS_ENOENT;
}

static int rename_leaf(struct overlay *fs, struct found *from, const struct found *to)
{
    struct whiteout *whiteout;
    int rc = raise(fs, to->dir);
    if (rc == 0) {
        rc = copy_up(fs, from);
    }
    if (rc == 0) {
        rc = prepare_whiteout(fs, from->dir, name_of(from), &whiteout);
    }
    if (rc != 0) {
        return rc;
    }
    rc = libos_rename(from->dir->upper, from->walk.name, to->dir->upper, to->walk.name);
    if (rc != 0) {
        drop_whiteout(fs, whiteout);
        return rc;
    }
    commit_whiteout(fs, from->dir, whiteout);
    return 0;
}

static int rename_dir(struct overlay *fs, const struct found *from, const struct found *to)
{
    struct whiteout *whiteout;
    struct node *node = from->node;
    int rc = raise(fs, to->dir);
    if (rc == 0) {
        rc = raise(fs, node);
    }
    if (rc == 0) {
        rc = prepare_whiteout(fs, from->dir, name_of(from), &whiteout);
    }
    if (rc != 0) {
        return rc;
    }
    char *name = libos_alloc(fs->os, to->walk.name_len + 1);
    rc = name ? libos_rename(from->dir->upper, from->walk.name, to->dir->upper, to->walk.name)
              : -LIBOS_ENOMEM;
    if (rc != 0) {
        libos_free(fs->os, name, to->walk.name_len + 1);
        drop_whiteout(fs, whiteout);
        return rc;
    }
    commit_whiteout(fs, from->dir, whiteout);
    if (to->node) {
        detach(fs, to->node);
    }
    remove_item(fs, &node->self);
    free_own_name(fs, node);
    __builtin_memcpy(name, to->walk.name, to->walk.name_len);
    node->own_name = name;
    node->self.name = name;
    node->self.name_len = to->walk.name_len;
    insert_item(fs, &node->self, to->dir);
    return 0;
}

static int overlay_rename(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                          const char *new_path)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct found from, to;
    if (handle_of(new_dir)->fs != fs) {
        return -LIBOS_EXDEV;
    }
    int rc = walk(dir, path, LIBOS_FOLLOW_NEVER, &from);
    if (rc == 0) {
        rc = walk(new_dir, new_path, LIBOS_FOLLOW_NEVER, &to);
    }
    if (rc == 0) {
        rc = check_rename(fs, &from, &to);
    }
    if (rc != 0) {
        return finish(fs, rc);
    }
    bool same = from.node ? from.node == to.node
                          : to.is_leaf && from.leaf.stat.dev == to.leaf.stat.dev &&
                                from.leaf.stat.ino == to.leaf.stat.ino;
    if (same) {
        return finish(fs, 0); /* two names of one file: POSIX has both stay */
    }
    return finish(fs, from.node ? rename_dir(fs, &from, &to) : rename_leaf(fs, &from, &to));
}

static int overlay_link(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                        const char *new_path)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct found from, to;
    if (handle_of(new_dir)->fs != fs) {
        return -LIBOS_EXDEV;
    }
    int rc = walk_existing(dir, path, LIBOS_FOLLOW_SLASH, &from);
    if (rc == 0) {
        rc = walk(new_dir, new_path, LIBOS_FOLLOW_NEVER, &to);
    }
    if (rc == 0 && !to.walk.node && to.walk.slash) {
        rc = -LIBOS_ENOENT;
    }
    if (rc == 0) {
        rc = check_new_name(fs, &to);
    }
    if (rc == 0) {
        rc = from.node ? -LIBOS_EPERM : raise(fs, to.dir);
    }
    if (rc == 0) {
        rc = copy_up(fs, &from);
    }
    if (rc == 0) {
        rc = libos_link(from.dir->upper, from.leaf.name, to.dir->upper, to.walk.name);
    }
    return finish(fs, rc);
}

static int64_t overlay_readlink(struct libos_file *dir, const char *path, char *out,
                                size_t out_bytes)
{
    struct overlay *fs = handle_of(dir)->fs;
    struct found found;
    int64_t rc = walk_existing(dir, path, LIBOS_FOLLOW_SLASH, &found);
    if (rc == 0) {
        rc = found.is_leaf && found.leaf.stat.kind == LIBOS_KIND_SYMLINK
                 ? leaf_readlink(fs, &found.leaf, out, out_bytes)
                 : -LIBOS_EINVAL;
    }
    (void)finish(fs, 0);
    return rc;
}

static int overlay_readdir(struct libos_file *dir, uint64_t cookie, libos_dirent_fn *emit,
                           void *arg)
{
    struct handle *handle = handle_of(dir);
    struct listing all = {
        .fs = handle->fs, .node = handle->node, .handle = handle, .emit = emit, .arg = arg};
    return list(&all, cookie);
}

static int overlay_stat(struct libos_file *file, struct libos_stat *out)
{
    const struct handle *handle = handle_of(file);
    return stat_node(handle->fs, handle->node, out);
}

static int overlay_set_times(struct libos_file *file, const struct libos_times *times)
{
    struct overlay *fs = handle_of(file)->fs;
    return finish(fs, set_node_times(fs, handle_of(file)->node, times));
}

static void overlay_free(struct overlay *fs)
{
    while (fs->newest) {
        node_free(fs, fs->newest);
    }
    WM_ASSERT(fs->item_count == 0 && fs->whiteout_count == 0);
    for (size_t i = 0; i < fs->lower_count; i++) {
        libos_file_put(fs->lowers[i]);
    }
    libos_free(fs->os, fs->buckets, fs->bucket_count * sizeof(struct item *));
    libos_free(fs->os, fs, sizeof *fs);
}

static void overlay_close(struct libos_file *file)
{
    struct handle *handle = handle_of(file);
    struct overlay *fs = handle->fs;
    handle->node->refs--;
    free_unneeded(fs, handle->node);
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
    fs->buckets = libos_alloc(os, FIRST_BUCKETS * sizeof(struct item *));
    for (; fs->lower_count < config->lower_count; fs->lower_count++) {
        fs->lowers[fs->lower_count] = libos_file_get(config->lowers[fs->lower_count]);
    }
    fs->root = fs->buckets ? node_new(fs, "") : NULL;
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
    for (struct node *node = fs->newest; node; node = node->older) {
        if (node->self.dir) {
            remove_item(fs, &node->self);
        }
        libos_file_put(node->upper);
        node->upper = NULL;
        free_whiteouts(fs, node);
    }
    WM_ASSERT(fs->item_count == 0 && fs->whiteout_count == 0);
    /* The newest first: a home is older than what was found in it. */
    for (struct node *node = fs->newest, *older; node; node = older) {
        older = node->older;
        if (!is_needed(fs, node)) {
            node_free(fs, node);
        } else if (node->home) {
            free_own_name(fs, node);
            set_home_name(node);
            insert_item(fs, &node->self, node->home);
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
