/* hostfs.h: a directory of the host as a file system of the library OS.
 *
 * A guest that holds it reaches what lies beneath it, and nothing else, whatever the guest or
 * another process does to the tree meanwhile: each path is resolved by the kernel in one call,
 * openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS, starting at the open directory. A `..`
 * above it, an absolute path, a symbolic link that leads out (also one put there between two calls)
 * and the links of /proc that lead past the tree all end in -EESCAPE or -ELOOP. Where an operation
 * has no such form (mkdir, unlink, rename...) the parent is opened so, and the call is made on the
 * last component alone, without following it. Where the kernel has no openat2 (before Linux 5.6, or
 * a container that hides it) there is no host directory: WM_E_MISSING.
 *
 * What lies on a proc file system is not opened (-EACCES), nor is such a directory given: with
 * self/mem among its files, whoever may open them may write to us.
 *
 * Not a boundary against: other mounts below the directory (they are part of the tree), hard links
 * that others made to files elsewhere, and the host's disk filling up. A guest may create symbolic
 * links with relative targets that lead out; we do not follow them, but a program of the host that
 * walks the tree might. Absolute targets are refused (-EPERM) to make that harder.
 *
 * Opening never waits: a FIFO opens at once (for writing without a reader: -ENXIO). Block devices,
 * unknown character devices and sockets are refused (port/file.h).
 *
 * Threads: the owner thread. */
#ifndef WM_PORT_HOSTFS_H
#define WM_PORT_HOSTFS_H

#include "base/diag.h"
#include "libos/file.h"

#define PORT_READ_ONLY 1u /* everything that would change the tree: -EROFS */

/* Opens the host directory `path`, which is trusted: symbolic links in it are followed. *out is
 * given. 0, a negative errno, or WM_E_MISSING; diag names the directory and what to do. */
WM_MUST_CHECK int port_hostfs_open(struct libos *os, const char *path, uint32_t flags,
                                   struct libos_file **out, struct wm_diag *diag);

#endif
