/* The mount table: normalise by text, then the longest prefix wins. */
#include "libos/mount.h"

/* Into out, with a leading slash, without a trailing one (but for "/"). Returns the length. */
static int64_t normalise(const char *path, char out[LIBOS_PATH_MAX])
{
    size_t len = 0;
    if (path[0] != '/') {
        return -LIBOS_EINVAL;
    }
    for (const char *at = path; *at;) {
        while (*at == '/') {
            at++;
        }
        const char *end = at;
        while (*end && *end != '/') {
            end++;
        }
        size_t part = (size_t)(end - at);
        if (part == 2 && at[0] == '.' && at[1] == '.') {
            while (len > 0 && out[--len] != '/') {
            }
        } else if (part > 0 && !(part == 1 && at[0] == '.')) {
            if (part + 1 >= LIBOS_PATH_MAX - len) {
                return -LIBOS_ENAMETOOLONG;
            }
            out[len++] = '/';
            __builtin_memcpy(out + len, at, part);
            len += part;
        }
        at = end;
    }
    if (len == 0) {
        out[len++] = '/';
    }
    out[len] = '\0';
    return (int64_t)len;
}

void libos_mounts_init(struct libos_mounts *mounts, struct libos *os)
{
    mounts->os = os;
    mounts->count = 0;
}

void libos_mounts_fini(struct libos_mounts *mounts)
{
    for (size_t i = 0; i < mounts->count; i++) {
        libos_free(mounts->os, mounts->items[i].path, mounts->items[i].path_len + 1);
        libos_file_put(mounts->items[i].dir);
    }
    mounts->count = 0;
}

int libos_mount_add(struct libos_mounts *mounts, const char *path, struct libos_file *dir)
{
    char normal[LIBOS_PATH_MAX];
    int64_t len = normalise(path, normal);
    if (len < 0) {
        return (int)len;
    }
    if (dir->kind != LIBOS_KIND_DIR) {
        return -LIBOS_EINVAL;
    }
    for (size_t i = 0; i < mounts->count; i++) {
        if (mounts->items[i].path_len == (size_t)len &&
            __builtin_memcmp(mounts->items[i].path, normal, (size_t)len) == 0) {
            return -LIBOS_EEXIST;
        }
    }
    if (mounts->count == LIBOS_MOUNTS_MAX) {
        return -LIBOS_ENOSPC;
    }
    char *copy = libos_alloc(mounts->os, (size_t)len + 1);
    if (!copy) {
        return -LIBOS_ENOMEM;
    }
    __builtin_memcpy(copy, normal, (size_t)len + 1);
    mounts->items[mounts->count++] = (struct libos_mount){copy, (size_t)len, libos_file_get(dir)};
    return 0;
}

/* Whether `path` is the mount or lies below it; *beneath: where the rest starts. */
static bool covers(const struct libos_mount *mount, const char *path, size_t len, size_t *beneath)
{
    if (mount->path_len == 1) {
        *beneath = 1;
        return true;
    }
    if (len < mount->path_len || __builtin_memcmp(path, mount->path, mount->path_len) != 0 ||
        (len > mount->path_len && path[mount->path_len] != '/')) {
        return false;
    }
    *beneath = len > mount->path_len ? mount->path_len + 1 : len;
    return true;
}

int libos_mount_find(const struct libos_mounts *mounts, const char *path, struct libos_file **dir,
                     char rest[LIBOS_PATH_MAX])
{
    char normal[LIBOS_PATH_MAX];
    int64_t len = normalise(path, normal);
    if (len < 0) {
        return (int)len;
    }
    const struct libos_mount *best = NULL;
    size_t best_beneath = 0;
    for (size_t i = 0; i < mounts->count; i++) {
        size_t beneath;
        if ((!best || mounts->items[i].path_len > best->path_len) &&
            covers(&mounts->items[i], normal, (size_t)len, &beneath)) {
            best = &mounts->items[i];
            best_beneath = beneath;
        }
    }
    if (!best) {
        return -LIBOS_ENOENT;
    }
    *dir = best->dir;
    size_t rest_len = (size_t)len - best_beneath;
    if (rest_len == 0) {
        rest[0] = '.';
        rest[1] = '\0';
        return 0;
    }
    __builtin_memcpy(rest, normal + best_beneath, rest_len + 1);
    if (path[__builtin_strlen(path) - 1] == '/' && rest_len + 1 < LIBOS_PATH_MAX) {
        rest[rest_len] = '/';
        rest[rest_len + 1] = '\0';
    }
    return 0;
}
