/* fds.h: the descriptor table: numbers to open files.
 *
 * Knows nothing of rights: a slot has room for two words and a label of the face (WASI keeps its
 * base and inheriting rights and the name of a pre-opened directory there; Linux its close-on-exec
 * flag). Descriptors are given lowest first. A number out of range or not open is -EBADF or NULL,
 * never undefined: numbers come from guests.
 *
 * Pointers to slots are valid until the next insert. Threads: the owner thread. Freestanding. */
#ifndef WM_LIBOS_FDS_H
#define WM_LIBOS_FDS_H

#include "libos/file.h"

#define LIBOS_FDS_LIMIT 1024u /* unless told otherwise */
#define LIBOS_FDS_LIMIT_MAX (UINT32_C(1) << 20)

struct libos_fd {
    struct libos_file *file; /* NULL: free */
    uint64_t words[2];       /* the face's */
    const char *label;       /* the face's; borrowed for the table's life */
};

struct libos_fds {
    struct libos *os;
    struct libos_fd *slots;
    uint32_t slot_count; /* allocated */
    uint32_t limit;
    uint32_t lowest_free; /* no free slot below this */
    uint32_t open_count;
    uint32_t changes; /* counts what was opened, closed and moved, so that a face can tell whether
                         the table is still as it left it */
};

/* limit 0: LIBOS_FDS_LIMIT; more than LIBOS_FDS_LIMIT_MAX is cut to that. Takes no memory yet. */
void libos_fds_init(struct libos_fds *fds, struct libos *os, uint32_t limit);
void libos_fds_fini(struct libos_fds *fds); /* closes all */

/* The lowest free number; takes over the caller's reference on success only. -EMFILE, -ENOMEM. */
WM_MUST_CHECK int64_t libos_fds_insert(struct libos_fds *fds, const struct libos_fd *fd);
/* NULL: not open. */
struct libos_fd *libos_fds_at(struct libos_fds *fds, uint32_t number);
WM_MUST_CHECK int libos_fds_close(struct libos_fds *fds, uint32_t number);
/* The lowest number for the same open file. */
WM_MUST_CHECK int64_t libos_fds_dup(struct libos_fds *fds, uint32_t number);
/* Moves `from` to `to`, closing what `to` was: both must be open. */
WM_MUST_CHECK int libos_fds_renumber(struct libos_fds *fds, uint32_t from, uint32_t to);

#endif
