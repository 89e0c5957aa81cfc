/* file.h: host descriptors as files of the library OS.
 *
 * What a descriptor is decides what it becomes: a regular file, a stream (pipe, terminal, harmless
 * character device) or a socket. Host directories are hostfs.h's.
 *
 * A stream or socket is never read or written in a way that could block without regard to
 * interruption: the call is tried without waiting (RWF_NOWAIT, MSG_DONTWAIT), then waited for by
 * poll. A descriptor that came from outside shares its open file description with other processes
 * (a shell's terminal), so its flags are left alone: LIBOS_NONBLOCK is our own matter.
 *
 * Threads: the owner thread. */
#ifndef WM_PORT_FILE_H
#define WM_PORT_FILE_H

#include <time.h>

#include "base/diag.h"
#include "libos/file.h"

struct stat;

/* Takes over `fd` (also on failure, when it is closed), of which `found` is the fstat. flags:
 * LIBOS_READ, LIBOS_WRITE, and the LIBOS_STATUS_FLAGS it was opened with. `frozen`: times and size
 * stay as they are. Block devices, and character devices other than terminals, null, zero, full,
 * random and urandom, are refused with -EACCES; a directory with -EISDIR. */
WM_MUST_CHECK int port_file_adopt(struct libos *os, int fd, const struct stat *found,
                                  uint32_t flags, bool frozen, struct libos_file **out);
/* A descriptor of this process, such as 0, 1, 2: duplicated, and left open. -EBADF: it is closed.
 */
WM_MUST_CHECK int port_file_share(struct libos *os, int fd, uint32_t flags,
                                  struct libos_file **out);

/* A listening TCP socket on "ADDRESS:PORT" ("127.0.0.1:8080", "[::1]:0"; numbers only, no names).
 * 0, a negative errno, or WM_E_USAGE; diag tells. */
WM_MUST_CHECK int port_listen(struct libos *os, const char *address, struct libos_file **out,
                              struct wm_diag *diag);
/* Where a socket of port_listen is bound, in the same spelling: 0 or negative. */
WM_MUST_CHECK int port_listen_address(struct libos_file *listener, char *out, size_t out_bytes);

/* A socket of TCP or UDP that is not connected yet, for a client: no host name, and nothing to
 * accept with. Which addresses it may be connected to is decided above (wasi.h). 0 or negative. */
WM_MUST_CHECK int port_socket_new(struct libos *os, enum libos_family family, bool datagram,
                                  struct libos_file **out);

/* The rest is for port/ itself. */

struct port_file {
    struct libos_file file;
    int fd;
    bool frozen;
    bool shared;      /* came from outside: a reader that hung up is told by SIGPIPE, as natively */
    bool never_waits; /* a stream of ours alone, with O_NONBLOCK: a plain call does not wait */
};

static inline struct port_file *port_file_of(struct libos_file *file)
{
    return (struct port_file *)file;
}

enum libos_kind port_kind(uint32_t mode);
void port_stat_from(const struct stat *from, struct libos_stat *out);
int port_file_stat(struct libos_file *file, struct libos_stat *out);
void port_file_close(struct libos_file *file);
void port_times_to(const struct libos_times *times, struct timespec out[2]);
void port_file_poll(struct libos_file *file, struct libos_poll_item *item);
/* Of pipes, terminals and sockets. */
int port_stream_set_flags(struct libos_file *file, uint32_t status_flags);
uint64_t port_stream_readable_bytes(struct libos_file *file);
/* Removes the first `done` bytes from the iovs; returns how many iovs are left, moved to the front.
 */
size_t port_iov_advance(struct libos_iov *iov, size_t count, size_t done);

extern const struct libos_file_ops port_stream_ops;   /* stream.c */
extern const struct libos_file_ops port_socket_ops;   /* socket.c */
extern const struct libos_file_ops port_listener_ops; /* socket.c */

#endif
