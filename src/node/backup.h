/* backup.h: a consistent copy of a node's data folder, and a folder made from one.
 *
 * A backup is a folder: manifest (one line a file: SHA-256, size, path), and store, modules,
 * images, files and the keys, in the data folder's layout. The cache is not part of it: objects are
 * compiled again. It holds the keys under which secrets are sealed and records signed: keep it
 * as you keep those.
 *
 * The store is copied first, at one moment; modules and images are named by their content and are
 * written before the store names them, so every one that this moment's store names is there.
 *
 * Blocks; any thread. */
#ifndef WM_NODE_BACKUP_H
#define WM_NODE_BACKUP_H

#include "base/diag.h"

struct kv;
#define BACKUP_MANIFEST "manifest"

/* Into `path`, which must not be there or be an empty folder. */
WM_MUST_CHECK int backup_write(int dir_fd, struct kv *kv, const char *path, struct wm_diag *diag);
/* Checks the manifest first; `data` must not be there or be an empty folder. */
WM_MUST_CHECK int backup_restore(const char *from, const char *data, struct wm_diag *diag);

#endif
