/* Path resolution: one component after the other, symbolic links spliced into what remains.
 *
 * `rest` holds what is still to be walked. A link in the middle puts its target in front of the
 * rest, within the one buffer, so the cost of a hostile chain of links is bounded by
 * LIBOS_SYMLINKS_MAX times LIBOS_PATH_MAX bytes, and nothing recurses. */
#include "libos/path.h"

struct rest {
    char text[LIBOS_PATH_MAX];
    size_t at;
    size_t len; /* text[len] is NUL */
};

static void skip_slashes(struct rest *rest)
{
    while (rest->at < rest->len && rest->text[rest->at] == '/') {
        rest->at++;
    }
}

/* Takes the next component; *slash: it was followed by one. */
static struct wm_view next_component(struct rest *rest, bool *slash)
{
    size_t start = rest->at;
    while (rest->at < rest->len && rest->text[rest->at] != '/') {
        rest->at++;
    }
    struct wm_view name = wm_view_of(rest->text + start, rest->at - start);
    *slash = rest->at < rest->len;
    skip_slashes(rest);
    return name;
}

/* target + "/" + what is left. */
static int splice(struct rest *rest, struct wm_view target, bool slash)
{
    size_t left = rest->len - rest->at;
    size_t joint = slash ? 1 : 0;
    if (target.len >= LIBOS_PATH_MAX || left + joint >= LIBOS_PATH_MAX - target.len) {
        return -LIBOS_ENAMETOOLONG;
    }
    __builtin_memmove(rest->text + target.len + joint, rest->text + rest->at, left);
    __builtin_memcpy(rest->text, target.ptr, target.len);
    if (slash) {
        rest->text[target.len] = '/';
    }
    rest->at = 0;
    rest->len = target.len + joint + left;
    rest->text[rest->len] = '\0';
    return 0;
}

int libos_path_walk(const struct libos_tree *tree, void *start, const char *path,
                    enum libos_follow follow, struct libos_walk *out)
{
    struct rest rest;
    void *dir = start;
    unsigned links = 0;
    rest.at = 0;
    rest.len = __builtin_strlen(path);
    if (rest.len >= LIBOS_PATH_MAX) {
        return -LIBOS_ENAMETOOLONG;
    }
    __builtin_memcpy(rest.text, path, rest.len + 1);
    out->name_len = 0;
    out->name[0] = '\0';
    for (;;) {
        if (rest.at < rest.len && rest.text[rest.at] == '/') {
            /* Only at the front, of the path or of a link's target. */
            return -LIBOS_EESCAPE;
        }
        bool slash;
        struct wm_view name = next_component(&rest, &slash);
        bool is_last = rest.at == rest.len;
        if (name.len > LIBOS_NAME_MAX) {
            return -LIBOS_ENAMETOOLONG;
        }
        void *node;
        enum libos_last kind = LIBOS_LAST_NAME;
        if (name.len == 0 || wm_view_eq_str(name, ".")) {
            node = dir;
            kind = LIBOS_LAST_DOT;
        } else if (wm_view_eq_str(name, "..")) {
            if (dir == start) {
                return -LIBOS_EESCAPE;
            }
            node = tree->parent(dir);
            if (!node) {
                return -LIBOS_ENOENT;
            }
            kind = LIBOS_LAST_DOTDOT;
        } else {
            node = tree->lookup(dir, name);
        }
        if (is_last && slash && kind == LIBOS_LAST_NAME && follow == LIBOS_FOLLOW_CREATE) {
            return -LIBOS_EISDIR; /* only directories end in a slash, and they are made by mkdir */
        }
        if (node && kind == LIBOS_LAST_NAME && tree->kind(node) == LIBOS_KIND_SYMLINK &&
            (!is_last || follow == LIBOS_FOLLOW_LAST || follow == LIBOS_FOLLOW_CREATE ||
             (slash && follow == LIBOS_FOLLOW_SLASH))) {
            if (++links > LIBOS_SYMLINKS_MAX) {
                return -LIBOS_ELOOP;
            }
            struct wm_view target = tree->target(node);
            if (target.len == 0) {
                return -LIBOS_ENOENT;
            }
            int rc = splice(&rest, target, slash);
            if (rc != 0) {
                return rc;
            }
            continue;
        }
        if (is_last) {
            out->dir = dir;
            out->node = node;
            out->last = kind;
            out->slash = slash;
            out->name_len = (uint32_t)name.len;
            __builtin_memcpy(out->name, name.ptr, name.len);
            out->name[name.len] = '\0';
            return follow != LIBOS_FOLLOW_NEVER && node && slash &&
                           tree->kind(node) != LIBOS_KIND_DIR
                       ? -LIBOS_ENOTDIR
                       : 0;
        }
        if (!node) {
            return -LIBOS_ENOENT;
        }
        if (tree->kind(node) != LIBOS_KIND_DIR) {
            return -LIBOS_ENOTDIR;
        }
        dir = node;
    }
}
