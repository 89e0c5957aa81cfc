/* mount.h: which directory serves which absolute path.
 *
 * A table of (path, directory). An absolute path is normalised by its text (`.` and `..` removed,
 * as in Plan 9, not by walking: a `..` never depends on where a symbolic link led), then the
 * longest mounted prefix gives the directory, and the rest of the path is resolved beneath it by
 * its driver. A symbolic link therefore cannot lead from one mount into another: -EESCAPE.
 *
 * Threads: the owner thread. Freestanding. */
#ifndef WM_LIBOS_MOUNT_H
#define WM_LIBOS_MOUNT_H

#include "libos/file.h"

#define LIBOS_MOUNTS_MAX 64u

struct libos_mount {
    char *path; /* normalised, with NUL */
    size_t path_len;
    struct libos_file *dir;
};

struct libos_mounts {
    struct libos *os;
    size_t count;
    struct libos_mount items[LIBOS_MOUNTS_MAX];
};

void libos_mounts_init(struct libos_mounts *mounts, struct libos *os);
void libos_mounts_fini(struct libos_mounts *mounts); /* drops its references */
/* Takes a reference of its own to dir. -EINVAL: not an absolute path, or not a directory; -EEXIST;
 * -ENOSPC: the table is full. */
WM_MUST_CHECK int libos_mount_add(struct libos_mounts *mounts, const char *path,
                                  struct libos_file *dir);
/* The directory that serves `path` (borrowed), and in `rest` the path beneath it, `.` for the mount
 * itself; a trailing slash is kept. -ENOENT: nothing is mounted there. */
WM_MUST_CHECK int libos_mount_find(const struct libos_mounts *mounts, const char *path,
                                   struct libos_file **dir, char rest[LIBOS_PATH_MAX]);

#endif
