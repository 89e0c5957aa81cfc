/* overlay_internal.h: what the files of the union of directories share; for overlay*.c alone. */
#ifndef WM_LIBOS_OVERLAY_INTERNAL_H
#define WM_LIBOS_OVERLAY_INTERNAL_H

#include "libos/overlay.h"
#include "libos/path.h"

/* What path.h walks over: a node or a leaf. */
struct overlay_vertex {
    struct overlay *fs;
    bool is_leaf;
};

struct overlay_item {
    struct overlay_item *next; /* in its hash chain */
    struct overlay_node *dir;
    struct overlay_node *node; /* NULL: a whiteout */
    const char *name;          /* with NUL */
    uint32_t name_len;
    uint32_t hash;
};

struct overlay_whiteout {
    struct overlay_item item;
    struct overlay_whiteout *older; /* of the same directory */
    char name[];
};

struct overlay_node {
    struct overlay_vertex vertex;
    struct overlay_item self;  /* its present name; self.dir NULL: removed, or the root */
    struct overlay_node *home; /* the directory it was found in, NULL when it was made above */
    struct overlay_node *newer, *older; /* all nodes */
    struct overlay_node *next_fresh;
    struct libos_file *upper; /* NULL: none yet */
    struct overlay_whiteout *whiteouts;
    char *own_name; /* allocated, after a rename or for one that was made above */
    uint64_t dev, ino;
    uint32_t refs; /* open handles */
    uint32_t kept; /* nodes whose home this is */
    uint32_t mask; /* lower directories that it merges */
    bool is_fresh;
    size_t lower_len;
    char lower[]; /* its path in each of them; "" for the root */
};

#define OVERLAY_UPPER LIBOS_OVERLAY_LOWERS_MAX
struct overlay_leaf {
    struct overlay_vertex vertex;
    struct libos_stat stat;
    size_t layer; /* OVERLAY_UPPER or the number of a lower one */
    const struct overlay_node *dir;
    char name[LIBOS_NAME_MAX + 1];
};

struct overlay {
    struct libos *os;
    struct libos_file *lowers[LIBOS_OVERLAY_LOWERS_MAX];
    size_t lower_count;
    struct libos_memfs_limits limits;
    uint64_t whiteout_limit, whiteout_count;
    struct overlay_node *root;
    struct overlay_node *newest;
    struct overlay_node *fresh;
    struct overlay_item **buckets;
    size_t bucket_count; /* a power of two */
    size_t item_count;
    uint64_t opens; /* directory handles; the union goes with the last */
    bool changed;
    /* Of the operation that runs now. */
    int failed; /* why a lookup could not be made */
    char *target;
    struct overlay_leaf leaf;
};

/* A place in a lower directory's listing, by its ordinal and by its driver's cookie. */
struct overlay_place {
    uint64_t ordinal;
    uint64_t native;
};

struct overlay_handle {
    struct libos_file file;
    struct overlay *fs;
    struct overlay_node *node;
    size_t listed; /* the lower directory that `before` and `after` are places of */
    struct overlay_place before, after;
};

static inline struct overlay_handle *handle_of(struct libos_file *file)
{
    return (struct overlay_handle *)file;
}

/* Where a path led. A directory that was only looked up stays until finish. */
struct overlay_found {
    struct libos_walk walk;
    struct overlay_node *dir;
    struct overlay_node *node; /* NULL: nothing there, or the leaf */
    bool is_leaf;
    struct overlay_leaf leaf;
};

/* overlay_node.c: nodes, names, and what a path leads to. */

struct overlay_item *overlay_find_item(const struct overlay *fs, const struct overlay_node *dir,
                                       struct wm_view name, bool whiteout);
bool overlay_is_whited(const struct overlay *fs, const struct overlay_node *dir,
                       struct wm_view name);
void overlay_insert_item(struct overlay *fs, struct overlay_item *item, struct overlay_node *dir);
void overlay_remove_item(struct overlay *fs, struct overlay_item *item);
bool overlay_is_there(const struct overlay *fs, const struct overlay_node *node);
bool overlay_lower_path(const struct overlay_node *dir, struct wm_view name,
                        char out[LIBOS_PATH_MAX]);
const char *overlay_lower_or_dot(const struct overlay_node *node);
void overlay_set_home_name(struct overlay_node *node);
struct overlay_node *overlay_node_new(struct overlay *fs, const char *lower);
void overlay_free_own_name(struct overlay *fs, struct overlay_node *node);
void overlay_free_whiteouts(struct overlay *fs, struct overlay_node *node);
bool overlay_is_needed(const struct overlay *fs, const struct overlay_node *node);
struct overlay_node *overlay_node_free(struct overlay *fs, struct overlay_node *node);
void overlay_free_unneeded(struct overlay *fs, struct overlay_node *node);
void overlay_set_fresh(struct overlay *fs, struct overlay_node *node);
int overlay_finish(struct overlay *fs, int rc);
bool overlay_is_missing(int rc);
int overlay_find_lower(const struct overlay *fs, const struct overlay_node *dir, uint32_t among,
                       struct wm_view name, struct overlay_leaf *leaf, uint32_t *mask);
int64_t overlay_leaf_readlink(struct overlay *fs, const struct overlay_leaf *leaf, char *out,
                              size_t out_bytes);
int overlay_walk(struct libos_file *start, const char *path, enum libos_follow follow,
                 struct overlay_found *out);
int overlay_walk_existing(struct libos_file *start, const char *path, enum libos_follow follow,
                          struct overlay_found *out);
struct wm_view overlay_name_of(const struct overlay_found *found);
int overlay_check_new_name(const struct overlay *fs, const struct overlay_found *found);

/* overlay_copy.c: upper directories, copies and whiteouts. */

int overlay_stat_lower_dir(const struct overlay *fs, const struct overlay_node *node,
                           struct libos_stat *out);
int overlay_raise(struct overlay *fs, struct overlay_node *node);
int overlay_copy_up(struct overlay *fs, struct overlay_found *found);
int overlay_prepare_whiteout(struct overlay *fs, const struct overlay_node *dir,
                             struct wm_view name, struct overlay_whiteout **out);
void overlay_commit_whiteout(struct overlay *fs, struct overlay_node *dir,
                             struct overlay_whiteout *whiteout);
void overlay_drop_whiteout(struct overlay *fs, struct overlay_whiteout *whiteout);
void overlay_detach(struct overlay *fs, struct overlay_node *node);

/* overlay_list.c: merged listings. */

struct overlay_listing {
    struct overlay *fs;
    struct overlay_node *node;
    struct overlay_handle *handle; /* NULL: nobody will go on from here */
    libos_dirent_fn *emit;
    void *arg;
    size_t layer;
    uint64_t pass;
    struct overlay_place at; /* after the entry seen last */
    uint64_t skip_to;
    bool stopped;
    int rc;
};

int overlay_list(struct overlay_listing *list, uint64_t cookie);
int overlay_check_empty(struct overlay *fs, struct overlay_node *node);

#endif
