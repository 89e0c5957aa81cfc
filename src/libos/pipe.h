/* pipe.h: bytes from a writer to a reader, and the file that is nothing.
 *
 * A pipe holds LIBOS_PIPE_BYTES. A write of at most LIBOS_PIPE_ATOMIC_BYTES goes in whole or not at
 * all. With one task per library OS nobody else can fill an empty pipe: a read that has to wait
 * ends only by an interruption, so a host fills a pipe before it starts the guest, or closes the
 * writing end.
 *
 * Threads: the owner thread. Freestanding. */
#ifndef WM_LIBOS_PIPE_H
#define WM_LIBOS_PIPE_H

#include "libos/file.h"

#define LIBOS_PIPE_BYTES 65536u
#define LIBOS_PIPE_ATOMIC_BYTES 4096u

/* Both ends are given. 0 or -ENOMEM. */
WM_MUST_CHECK int libos_pipe_new(struct libos *os, struct libos_file **reader,
                                 struct libos_file **writer);
/* Reads end at once, writes vanish. 0 or -ENOMEM. */
WM_MUST_CHECK int libos_null_new(struct libos *os, struct libos_file **out);

#endif
