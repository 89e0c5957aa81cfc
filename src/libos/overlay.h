/* overlay.h: a union of directories: read-global, write-local.
 *
 * Below lie one to LIBOS_OVERLAY_LOWERS_MAX read-only directories (a tenant's files over a common
 * runtime folder), above them a memory file system that takes what is written. For a name the
 * uppermost directory that has it counts; directories of one name are merged, from above down to
 * the first layer in which the name is no directory. What is opened for writing, truncated,
 * renamed, linked or given times is copied up first; what is removed and lies below is hidden by a
 * whiteout, a note in a table of ours that no guest sees as a file. A directory made where one was
 * removed starts empty. The upper file system is made at the first change.
 *
 * libos_overlay_reset forgets all changes, so that the next call of a function sees the lower
 * layers alone. It runs after every call: where nothing was changed it costs nothing.
 *
 * Bounds. `upper` limits what is copied up or written, as memfs.h does: -ENOSPC, and the union is
 * as it was before (a copy larger than what is left is not even begun). `whiteouts` limits removed
 * names of lower layers: -ENOSPC. Besides these the overlay keeps about 250 bytes for each changed
 * or open directory and those above it, and up to 4 KiB for its path below. A path of a lower
 * directory, from its root, has fewer than LIBOS_PATH_MAX bytes, whatever directory a guest starts
 * at; what lies deeper: -ENAMETOOLONG.
 *
 * Paths resolve within the union, by the rules of path.h: a symbolic link of one layer may lead to
 * what another has, and none leads out.
 *
 * What differs from one plain file system:
 * - A file opened for reading before it was copied up goes on reading the lower one. It cannot be
 *   given times through that descriptor (-EROFS): through its path it can.
 * - dev and ino of a file change when it is copied up (those of a directory do not), and its hard
 *   links below become files of their own.
 * - Removing what lies below does not change the times of its directory.
 * - Sockets, devices and FIFOs of a lower directory are opened as its driver opens them, and cannot
 *   be copied up (-EPERM).
 *
 * Trust: what lies below may be a tenant's; paths and all arguments are a hostile guest's. The
 * lower directories must be read-only of themselves (hostfs with PORT_READ_ONLY, a sealed memfs),
 * because a file opened for reading is handed through. When they change under an overlay, each
 * operation sees what is there at that moment.
 *
 * Threads: the owner thread. Freestanding. */
#ifndef WM_LIBOS_OVERLAY_H
#define WM_LIBOS_OVERLAY_H

#include "libos/memfs.h"

#define LIBOS_OVERLAY_LOWERS_MAX 8u

struct libos_overlay_config {
    struct libos_file *const *lowers; /* the uppermost first; a reference more is taken of each */
    size_t lower_count;
    struct libos_memfs_limits upper; /* 0: as memfs.h */
    uint64_t whiteouts;              /* 0: 65536 */
};

/* *root is given: the open root directory of the union, which lives as long as a directory of it
 * is open. 0, -EINVAL (no lower directory, too many, or one that is none), -ENOMEM. */
WM_MUST_CHECK int libos_overlay_new(struct libos *os, const struct libos_overlay_config *config,
                                    struct libos_file **root);
/* Forgets everything that was changed. Directories that are still open are again those of the
 * lower layers that they were when they were opened; those that were made above are as removed.
 * Files that are still open stay as they are, and are gone with their last descriptor. Cannot fail.
 * `dir`: any open directory of the union. */
void libos_overlay_reset(struct libos_file *dir);
bool libos_overlay_changed(struct libos_file *dir);
/* What the upper file system and the whiteouts take now. */
void libos_overlay_usage(struct libos_file *dir, struct libos_memfs_limits *upper,
                         uint64_t *whiteouts);

#endif
