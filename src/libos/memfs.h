/* memfs.h: a file system in memory: files, directories, symbolic and hard links.
 *
 * Its contents may be a hostile guest's, so what it takes is bounded: `bytes` counts file contents
 * in units of LIBOS_MEMFS_CHUNK_BYTES and also names, nodes and tables; `nodes` counts files,
 * directories and links. At a limit: -ENOSPC. A file is at most `bytes` long (-EFBIG), holes take
 * no memory. No permissions are checked: whoever holds the directory may do everything, except that
 * a read-only file system gives -EROFS. Reading does not change access times.
 *
 * The file system lives as long as a file of it is open; its root directory is the first.
 * Threads: the owner thread. Freestanding. */
#ifndef WM_LIBOS_MEMFS_H
#define WM_LIBOS_MEMFS_H

#include "libos/file.h"

#define LIBOS_MEMFS_CHUNK_BYTES 4096u

struct libos_memfs_limits {
    uint64_t bytes; /* 0: 64 MiB */
    uint64_t nodes; /* 0: 65536 */
};

/* *root is given: the open, empty root directory. limits may be NULL. 0 or -ENOMEM. */
WM_MUST_CHECK int libos_memfs_new(struct libos *os, const struct libos_memfs_limits *limits,
                                  struct libos_file **root);
/* From now on nothing in it changes, whoever holds it. `file`: any open file of it. */
void libos_memfs_seal(struct libos_file *file);
/* What is in use now. */
void libos_memfs_usage(struct libos_file *file, struct libos_memfs_limits *used);

#endif
