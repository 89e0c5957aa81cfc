/* seglog_disk.h: what a log (seglog.h) asks of a disk: one folder of files.
 *
 * Two implementations: seglog_files_open below, a real folder; and test/common/seglog_sim.h, which
 * loses what was not synced, fills up, and fails when a test wants it to.
 *
 * What is promised is little, so that much can be simulated. Bytes that were written are read back
 * at once, but last only when a sync of the file that began later has returned 0; after a crash,
 * each sector of 512 bytes that was not synced is the old one or a new one, whatever its neighbours
 * are (a sector is never a mixture: the only thing asked of the hardware beyond a working flush).
 * What changes names and sizes (finish, rename, unlink) lasts when it returns 0, and when a crash
 * or an error comes first, was done or was not; the exception is a file that open made: before its
 * rename it may be gone after a crash. When a sync fails, or the process ends before it, nothing is
 * known about what was not synced: it can be read, and need not last, and after a failure a later
 * sync that succeeds says nothing about it either. The same holds for names, until list.
 *
 * Functions return 0 or a negative errno. Files are descriptors, 0 or more; fdatasync of one, where
 * the disk is a real one, is what sync does. One thread. */
#ifndef WM_STORE_SEGLOG_DISK_H
#define WM_STORE_SEGLOG_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"

enum seglog_disk_open {
    SEGLOG_DISK_READ,
    SEGLOG_DISK_WRITE,  /* and read; a finished file becomes an ordinary one again */
    SEGLOG_DISK_CREATE, /* a new, empty one; what had the name is gone */
};

/* Called for each file's name, in any order; false stops. */
typedef bool seglog_disk_name_fn(void *to, const char *name);

struct seglog_disk_ops {
    /* What it shows lasts, though who made it so may have ended before it did. */
    int (*list)(void *self, seglog_disk_name_fn *each, void *to);
    int (*open)(void *self, const char *name, enum seglog_disk_open how, int *file,
                uint64_t *bytes);
    void (*close)(void *self, int file);
    /* *got < len: the file ends there. */
    int (*read)(void *self, int file, uint64_t offset, uint8_t *out, size_t len, size_t *got);
    /* All or an error, after which any part may have been written. */
    int (*write)(void *self, int file, uint64_t offset, struct wm_view bytes);
    /* Writes zeroes, real ones: no hole, no extent that is only promised to be zero; and begins to
     * move them to the disk, so that a sync later has less to wait for. */
    int (*zero)(void *self, int file, uint64_t offset, uint64_t len);
    int (*sync)(void *self, int file);
    /* Syncs, ends the file after `bytes` and makes it read-only. */
    int (*finish)(void *self, int file, uint64_t bytes);
    /* Replaces what has the name `to`. -ENOSPC: was not done. */
    int (*rename)(void *self, const char *from, const char *to);
    int (*unlink)(void *self, const char *name);
};

struct seglog_disk {
    const struct seglog_disk_ops *ops;
    void *self;
};

/* The folder `path`, made (0700) where it is missing, and locked: -EBUSY where another process, or
 * this one, has it. WM_E_DENIED where others may write to it. no_sync: nothing lasts for certain.
 */
struct seglog_files;
WM_MUST_CHECK int seglog_files_open(const char *path, bool no_sync, struct seglog_files **out,
                                    struct seglog_disk *disk, struct wm_diag *diag);
void seglog_files_close(struct seglog_files *files); /* NULL allowed; no files open */

#endif
