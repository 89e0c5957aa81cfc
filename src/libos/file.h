/* file.h: open files, and the contract of every file system driver.
 *
 * A struct libos_file is an open file description: a reference-counted object with operations. A
 * descriptor (fds.h) is a number that holds one reference. Directories are files too; paths are
 * always resolved beneath an open directory and never leave it: a `..` above it, an absolute path
 * and an absolute symbolic link all end in -EESCAPE. So whoever holds a directory holds that tree
 * and nothing else.
 *
 * A driver resolves whole paths, not components, because a driver on a real kernel can have that
 * done in one call (openat2), free of races. Drivers whose tree is in their own memory share
 * path.h.
 *
 * Faces call the libos_file_* functions, which check what every driver would have to check (access
 * mode, kind, total length, path length) and then call the driver. An operation a driver leaves
 * NULL does not apply to its files and gives the error named there.
 *
 * Threads: one owner thread per library OS. Freestanding. */
#ifndef WM_LIBOS_FILE_H
#define WM_LIBOS_FILE_H

#include "libos/errno.h"
#include "libos/libos.h"

#define LIBOS_PATH_MAX 4096u /* with the final NUL */
#define LIBOS_NAME_MAX 255u
#define LIBOS_IOV_MAX 1024u
#define LIBOS_SYMLINKS_MAX 40u

enum libos_kind {
    LIBOS_KIND_UNKNOWN,
    LIBOS_KIND_FILE,
    LIBOS_KIND_DIR,
    LIBOS_KIND_SYMLINK,
    LIBOS_KIND_CHAR,
    LIBOS_KIND_BLOCK,
    LIBOS_KIND_PIPE, /* also a named pipe */
    LIBOS_KIND_SOCKET_STREAM,
    LIBOS_KIND_SOCKET_DGRAM,
};

struct libos_stat {
    uint64_t dev;
    uint64_t ino;
    enum libos_kind kind;
    uint32_t mode; /* permission bits */
    uint64_t links;
    uint64_t bytes;
    int64_t atime_ns; /* of the wall clock */
    int64_t mtime_ns;
    int64_t ctime_ns;
};

struct libos_iov { /* laid out as Linux' struct iovec */
    void *ptr;
    size_t len;
};

/* What an open file is open for, and how it behaves. */
#define LIBOS_READ 0x001u
#define LIBOS_WRITE 0x002u
#define LIBOS_APPEND 0x004u   /* each write goes to the end */
#define LIBOS_NONBLOCK 0x008u /* -EAGAIN instead of waiting */
#define LIBOS_DSYNC 0x010u    /* each write waits for the disk: data */
#define LIBOS_SYNC 0x020u     /* data and metadata */
#define LIBOS_STATUS_FLAGS (LIBOS_APPEND | LIBOS_NONBLOCK | LIBOS_DSYNC | LIBOS_SYNC)
/* How to open; not kept. */
#define LIBOS_CREATE 0x100u
#define LIBOS_EXCLUSIVE 0x200u /* with CREATE: must not exist, not even as a symbolic link */
#define LIBOS_TRUNCATE 0x400u
#define LIBOS_DIRECTORY 0x800u /* must be a directory */
#define LIBOS_NOFOLLOW 0x1000u /* the last component must not be a symbolic link: -ELOOP */

enum libos_whence { LIBOS_SEEK_SET, LIBOS_SEEK_CUR, LIBOS_SEEK_END };

enum libos_advice {
    LIBOS_ADVICE_NORMAL,
    LIBOS_ADVICE_SEQUENTIAL,
    LIBOS_ADVICE_RANDOM,
    LIBOS_ADVICE_WILLNEED,
    LIBOS_ADVICE_DONTNEED,
    LIBOS_ADVICE_NOREUSE,
};

/* New times; LIBOS_TIME_OMIT leaves one, LIBOS_TIME_NOW sets it to the present. */
#define LIBOS_TIME_OMIT INT64_MIN
#define LIBOS_TIME_NOW (INT64_MIN + 1)
struct libos_times {
    int64_t atime_ns;
    int64_t mtime_ns;
};

struct libos_dirent {
    const char *name; /* borrowed during the call; not NUL-terminated */
    uint32_t name_len;
    uint64_t ino;
    enum libos_kind kind;
    uint64_t next; /* cookie of the entry after this one; never 0 */
};
/* Returns false to stop. */
typedef bool libos_dirent_fn(void *arg, const struct libos_dirent *entry);

struct libos_file;
struct libos_poll_item;

/* The tree below a directory. `path` is not empty, shorter than LIBOS_PATH_MAX, and relative to
 * `dir`. */
struct libos_dir_ops {
    /* `flags` of both groups above; *out is given to the caller. */
    int (*open)(struct libos_file *dir, const char *path, uint32_t flags, struct libos_file **out);
    int (*stat)(struct libos_file *dir, const char *path, bool follow, struct libos_stat *out);
    int (*set_times)(struct libos_file *dir, const char *path, bool follow,
                     const struct libos_times *times);
    int (*mkdir)(struct libos_file *dir, const char *path);
    /* rmdir when is_dir, else unlink. */
    int (*remove)(struct libos_file *dir, const char *path, bool is_dir);
    /* Both directories have the same ops table; another file system of the same driver: -EXDEV. */
    int (*rename)(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                  const char *new_path);
    /* A symbolic link as the source is linked itself, never followed. */
    int (*link)(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                const char *new_path);
    int (*symlink)(struct libos_file *dir, const char *target, const char *path);
    /* The length of the target, of which at most out_bytes were stored, without a NUL. */
    int64_t (*readlink)(struct libos_file *dir, const char *path, char *out, size_t out_bytes);
    /* Calls emit for the entries from cookie on (0: from the start), `.` and `..` among them, until
     * it returns false or there are no more. A cookie stays good while the directory changes:
     * entries that stay are seen exactly once. */
    int (*readdir)(struct libos_file *dir, uint64_t cookie, libos_dirent_fn *emit, void *arg);
};

/* An internet address and port. */
enum libos_family { LIBOS_INET = 4, LIBOS_INET6 = 6 };
struct libos_address {
    uint8_t family; /* enum libos_family */
    uint8_t ip[16]; /* in network order; LIBOS_INET: the first 4, the rest 0 */
    uint16_t port;  /* in the machine's order */
    uint32_t scope; /* LIBOS_INET6: interface of a link-local address, else 0 */
};

/* Options of a socket; all are numbers. */
enum libos_socket_option {
    LIBOS_SO_NODELAY,   /* 0 or 1 */
    LIBOS_SO_KEEPALIVE, /* 0 or 1 */
    LIBOS_SO_SNDBUF,    /* bytes, at most LIBOS_SOCKET_BUFFER_MAX */
    LIBOS_SO_RCVBUF,
    LIBOS_SO_ERROR, /* read only, and cleared by it: error of a connect that did not wait, or 0 */
    LIBOS_SO_OPTIONS,
};
#define LIBOS_SOCKET_BUFFER_MAX (UINT64_C(1) << 20)

struct libos_socket_ops {
    /* A new connection of a listener, given to the caller; flags: LIBOS_NONBLOCK or 0. */
    int (*accept)(struct libos_file *file, uint32_t flags, struct libos_file **out);
    /* flags: LIBOS_RECV_*; *truncated: the rest of a datagram was lost. */
    int64_t (*recv)(struct libos_file *file, const struct libos_iov *iov, size_t count,
                    uint32_t flags, bool *truncated);
    int64_t (*send)(struct libos_file *file, const struct libos_iov *iov, size_t count);
    int (*shutdown)(struct libos_file *file, bool reading, bool writing);
    /* Of clients. With LIBOS_NONBLOCK -EINPROGRESS: it goes on, and the socket is ready for writing
     * at its end. A datagram socket may be connected again, to another address. */
    int (*connect)(struct libos_file *file, const struct libos_address *to);
    int (*name)(struct libos_file *file, bool peer, struct libos_address *out);
    int (*get_option)(struct libos_file *file, enum libos_socket_option option, uint64_t *out);
    int (*set_option)(struct libos_file *file, enum libos_socket_option option, uint64_t value);
};
#define LIBOS_RECV_PEEK 1u
#define LIBOS_RECV_ALL 2u /* wait until all bytes are there, or the end */

struct libos_file_ops {
    /* Called at the last put; releases the object. */
    void (*close)(struct libos_file *file);
    /* At the file's own position, which moves. Bytes done; 0 at the end. NULL: -EINVAL. */
    int64_t (*read)(struct libos_file *file, const struct libos_iov *iov, size_t count);
    int64_t (*write)(struct libos_file *file, const struct libos_iov *iov, size_t count);
    /* At `offset`; the position stays. NULL: -ESPIPE. */
    int64_t (*pread)(struct libos_file *file, const struct libos_iov *iov, size_t count,
                     uint64_t offset);
    int64_t (*pwrite)(struct libos_file *file, const struct libos_iov *iov, size_t count,
                      uint64_t offset);
    int64_t (*seek)(struct libos_file *file, int64_t offset,
                    enum libos_whence whence);                                  /* -ESPIPE */
    int (*stat)(struct libos_file *file, struct libos_stat *out);               /* never NULL */
    int (*set_times)(struct libos_file *file, const struct libos_times *times); /* -EINVAL */
    int (*truncate)(struct libos_file *file, uint64_t bytes);                   /* -EINVAL */
    int (*allocate)(struct libos_file *file, uint64_t offset, uint64_t len);    /* -EOPNOTSUPP */
    int (*advise)(struct libos_file *file, uint64_t offset, uint64_t len,
                  enum libos_advice advice);              /* does nothing */
    int (*sync)(struct libos_file *file, bool data_only); /* does nothing */
    /* Called before file->flags takes the new LIBOS_STATUS_FLAGS. NULL: nothing to do. */
    int (*set_flags)(struct libos_file *file, uint32_t status_flags);
    /* Sets item->ready, or item->source when only the machine knows. NULL: always ready. */
    void (*poll)(struct libos_file *file, struct libos_poll_item *item);
    /* How many bytes a read would give at once, as far as is known. NULL: 0. */
    uint64_t (*readable_bytes)(struct libos_file *file);
    const struct libos_dir_ops *dir;       /* exactly for LIBOS_KIND_DIR */
    const struct libos_socket_ops *socket; /* NULL: -ENOTSOCK */
};

struct libos_file { /* the first member of each driver's own struct */
    const struct libos_file_ops *ops;
    struct libos *os;
    uint32_t refs;
    uint32_t flags; /* LIBOS_READ, LIBOS_WRITE, LIBOS_STATUS_FLAGS */
    enum libos_kind kind;
    bool terminal; /* a person sits at it */
};

/* For drivers: one reference, the caller's. */
void libos_file_init(struct libos_file *file, struct libos *os, const struct libos_file_ops *ops,
                     enum libos_kind kind, uint32_t flags);
struct libos_file *libos_file_get(struct libos_file *file); /* one more reference; returns file */
void libos_file_put(struct libos_file *file);               /* one less; NULL allowed */

/* For faces. */
WM_MUST_CHECK int64_t libos_file_read(struct libos_file *file, const struct libos_iov *iov,
                                      size_t count);
WM_MUST_CHECK int64_t libos_file_write(struct libos_file *file, const struct libos_iov *iov,
                                       size_t count);
WM_MUST_CHECK int64_t libos_file_pread(struct libos_file *file, const struct libos_iov *iov,
                                       size_t count, uint64_t offset);
WM_MUST_CHECK int64_t libos_file_pwrite(struct libos_file *file, const struct libos_iov *iov,
                                        size_t count, uint64_t offset);
WM_MUST_CHECK int64_t libos_file_seek(struct libos_file *file, int64_t offset, unsigned whence);
WM_MUST_CHECK int libos_file_stat(struct libos_file *file, struct libos_stat *out);
WM_MUST_CHECK int libos_file_set_times(struct libos_file *file, const struct libos_times *times);
WM_MUST_CHECK int libos_file_truncate(struct libos_file *file, uint64_t bytes);
WM_MUST_CHECK int libos_file_allocate(struct libos_file *file, uint64_t offset, uint64_t len);
WM_MUST_CHECK int libos_file_advise(struct libos_file *file, uint64_t offset, uint64_t len,
                                    unsigned advice);
WM_MUST_CHECK int libos_file_sync(struct libos_file *file, bool data_only);
WM_MUST_CHECK int libos_file_set_flags(struct libos_file *file, uint32_t status_flags);
uint64_t libos_file_readable_bytes(struct libos_file *file);

WM_MUST_CHECK int libos_open(struct libos_file *dir, const char *path, uint32_t flags,
                             struct libos_file **out);
WM_MUST_CHECK int libos_stat(struct libos_file *dir, const char *path, bool follow,
                             struct libos_stat *out);
WM_MUST_CHECK int libos_set_times(struct libos_file *dir, const char *path, bool follow,
                                  const struct libos_times *times);
WM_MUST_CHECK int libos_mkdir(struct libos_file *dir, const char *path);
WM_MUST_CHECK int libos_remove(struct libos_file *dir, const char *path, bool is_dir);
WM_MUST_CHECK int libos_rename(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                               const char *new_path);
WM_MUST_CHECK int libos_link(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                             const char *new_path);
WM_MUST_CHECK int libos_symlink(struct libos_file *dir, const char *target, const char *path);
WM_MUST_CHECK int64_t libos_readlink(struct libos_file *dir, const char *path, char *out,
                                     size_t out_bytes);
WM_MUST_CHECK int libos_readdir(struct libos_file *dir, uint64_t cookie, libos_dirent_fn *emit,
                                void *arg);

WM_MUST_CHECK int libos_accept(struct libos_file *file, uint32_t flags, struct libos_file **out);
WM_MUST_CHECK int64_t libos_recv(struct libos_file *file, const struct libos_iov *iov, size_t count,
                                 uint32_t flags, bool *truncated);
WM_MUST_CHECK int64_t libos_send(struct libos_file *file, const struct libos_iov *iov,
                                 size_t count);
WM_MUST_CHECK int libos_shutdown(struct libos_file *file, bool reading, bool writing);
WM_MUST_CHECK int libos_connect(struct libos_file *file, const struct libos_address *to);
WM_MUST_CHECK int libos_socket_name(struct libos_file *file, bool peer, struct libos_address *out);
WM_MUST_CHECK int libos_get_option(struct libos_file *file, unsigned option, uint64_t *out);
WM_MUST_CHECK int libos_set_option(struct libos_file *file, unsigned option, uint64_t value);

#endif
