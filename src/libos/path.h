/* path.h: path resolution for drivers that keep their tree in memory of their own.
 *
 * The rules are Linux' for openat2 with RESOLVE_BENEATH, so that such a driver and a host directory
 * behave alike: never above the start, no absolute path, no absolute symbolic link (-EESCAPE); at
 * most LIBOS_SYMLINKS_MAX links (-ELOOP); names to LIBOS_NAME_MAX bytes (-ENAMETOOLONG); a trailing
 * slash demands a directory. All steps of one walk see the same tree, as one thread owns it.
 * Freestanding. */
#ifndef WM_LIBOS_PATH_H
#define WM_LIBOS_PATH_H

#include "base/view.h"
#include "libos/file.h"

/* A driver's tree; nodes are the driver's own pointers. */
struct libos_tree {
    /* The entry `name` of directory `dir`, or NULL. */
    void *(*lookup)(void *dir, struct wm_view name);
    /* The directory above, NULL when `dir` has been removed. */
    void *(*parent)(void *dir);
    enum libos_kind (*kind)(void *node);
    /* Of a symbolic link; borrowed. */
    struct wm_view (*target)(void *node);
};

enum libos_last {
    LIBOS_LAST_NAME,
    LIBOS_LAST_DOT,    /* the path ends in `.`, or in nothing but slashes */
    LIBOS_LAST_DOTDOT, /* the path ends in `..` */
};

struct libos_walk {
    void *dir;  /* in which the last component was looked up */
    void *node; /* what it names, or NULL: nothing there (dir is then valid all the same) */
    enum libos_last last;
    bool slash; /* the path ended in a slash */
    uint32_t name_len;
    char name[LIBOS_NAME_MAX + 1]; /* the last component, of the path that symbolic links led to */
};

/* What to do with a symbolic link that is the last component. */
enum libos_follow {
    LIBOS_FOLLOW_LAST,
    LIBOS_FOLLOW_SLASH,  /* only where the path ends in a slash */
    LIBOS_FOLLOW_CREATE, /* as FOLLOW_LAST, for a file to be made if need be: a slash: -EISDIR */
    LIBOS_FOLLOW_NEVER,  /* the name itself is wanted, to be made, taken away or moved */
};

/* Resolves `path` beneath `start`. A missing last component is no error: node is NULL. A path that
 * ends in a slash but names no directory: -ENOTDIR, except with LIBOS_FOLLOW_NEVER, where the
 * caller looks at `slash`. 0 or negative. */
WM_MUST_CHECK int libos_path_walk(const struct libos_tree *tree, void *start, const char *path,
                                  enum libos_follow follow, struct libos_walk *out);

#endif
