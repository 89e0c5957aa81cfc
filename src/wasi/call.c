/* What the WASI functions share: guest memory, rights, translations. */
#include "wasi/call.h"

#include "base/arith.h"

enum wasi_errno wasi_errno_of(int libos_errno)
{
    switch ((enum libos_errno)libos_errno) {
    case LIBOS_EPERM: return WASI_PERM;
    case LIBOS_ENOENT: return WASI_NOENT;
    case LIBOS_ESRCH: return WASI_SRCH;
    case LIBOS_EINTR: return WASI_INTR;
    case LIBOS_EIO: return WASI_IO;
    case LIBOS_ENXIO: return WASI_NXIO;
    case LIBOS_E2BIG: return WASI_2BIG;
    case LIBOS_ENOEXEC: return WASI_NOEXEC;
    case LIBOS_EBADF: return WASI_BADF;
    case LIBOS_ECHILD: return WASI_CHILD;
    case LIBOS_EAGAIN: return WASI_AGAIN;
    case LIBOS_ENOMEM: return WASI_NOMEM;
    case LIBOS_EACCES: return WASI_ACCES;
    case LIBOS_EFAULT: return WASI_FAULT;
    case LIBOS_EBUSY: return WASI_BUSY;
    case LIBOS_EEXIST: return WASI_EXIST;
    case LIBOS_EXDEV: return WASI_XDEV;
    case LIBOS_ENODEV: return WASI_NODEV;
    case LIBOS_ENOTDIR: return WASI_NOTDIR;
    case LIBOS_EISDIR: return WASI_ISDIR;
    case LIBOS_EINVAL: return WASI_INVAL;
    case LIBOS_ENFILE: return WASI_NFILE;
    case LIBOS_EMFILE: return WASI_MFILE;
    case LIBOS_ENOTTY: return WASI_NOTTY;
    case LIBOS_ETXTBSY: return WASI_TXTBSY;
    case LIBOS_EFBIG: return WASI_FBIG;
    case LIBOS_ENOSPC: return WASI_NOSPC;
    case LIBOS_ESPIPE: return WASI_SPIPE;
    case LIBOS_EROFS: return WASI_ROFS;
    case LIBOS_EMLINK: return WASI_MLINK;
    case LIBOS_EPIPE: return WASI_PIPE;
    case LIBOS_EDOM: return WASI_DOM;
    case LIBOS_ERANGE: return WASI_RANGE;
    case LIBOS_EDEADLK: return WASI_DEADLK;
    case LIBOS_ENAMETOOLONG: return WASI_NAMETOOLONG;
    case LIBOS_ENOLCK: return WASI_NOLCK;
    case LIBOS_ENOSYS: return WASI_NOSYS;
    case LIBOS_ENOTEMPTY: return WASI_NOTEMPTY;
    case LIBOS_ELOOP: return WASI_LOOP;
    case LIBOS_ENOMSG: return WASI_NOMSG;
    case LIBOS_EIDRM: return WASI_IDRM;
    case LIBOS_ENOLINK: return WASI_NOLINK;
    case LIBOS_EPROTO: return WASI_PROTO;
    case LIBOS_EMULTIHOP: return WASI_MULTIHOP;
    case LIBOS_EBADMSG: return WASI_BADMSG;
    case LIBOS_EOVERFLOW: return WASI_OVERFLOW;
    case LIBOS_EILSEQ: return WASI_ILSEQ;
    case LIBOS_ENOTSOCK: return WASI_NOTSOCK;
    case LIBOS_EDESTADDRREQ: return WASI_DESTADDRREQ;
    case LIBOS_EMSGSIZE: return WASI_MSGSIZE;
    case LIBOS_EPROTOTYPE: return WASI_PROTOTYPE;
    case LIBOS_ENOPROTOOPT: return WASI_NOPROTOOPT;
    case LIBOS_EPROTONOSUPPORT: return WASI_PROTONOSUPPORT;
    case LIBOS_EOPNOTSUPP: return WASI_NOTSUP;
    case LIBOS_EAFNOSUPPORT: return WASI_AFNOSUPPORT;
    case LIBOS_EADDRINUSE: return WASI_ADDRINUSE;
    case LIBOS_EADDRNOTAVAIL: return WASI_ADDRNOTAVAIL;
    case LIBOS_ENETDOWN: return WASI_NETDOWN;
    case LIBOS_ENETUNREACH: return WASI_NETUNREACH;
    case LIBOS_ENETRESET: return WASI_NETRESET;
    case LIBOS_ECONNABORTED: return WASI_CONNABORTED;
    case LIBOS_ECONNRESET: return WASI_CONNRESET;
    case LIBOS_ENOBUFS: return WASI_NOBUFS;
    case LIBOS_EISCONN: return WASI_ISCONN;
    case LIBOS_ENOTCONN: return WASI_NOTCONN;
    case LIBOS_ETIMEDOUT: return WASI_TIMEDOUT;
    case LIBOS_ECONNREFUSED: return WASI_CONNREFUSED;
    case LIBOS_EHOSTUNREACH: return WASI_HOSTUNREACH;
    case LIBOS_EALREADY: return WASI_ALREADY;
    case LIBOS_EINPROGRESS: return WASI_INPROGRESS;
    case LIBOS_ESTALE: return WASI_STALE;
    case LIBOS_EDQUOT: return WASI_DQUOT;
    case LIBOS_ECANCELED: return WASI_CANCELED;
    case LIBOS_EOWNERDEAD: return WASI_OWNERDEAD;
    case LIBOS_ENOTRECOVERABLE: return WASI_NOTRECOVERABLE;
    case LIBOS_EESCAPE: return WASI_NOTCAPABLE;
    }
    return WASI_IO; /* an error of the machine that WASI has no word for */
}

int wasi_window(struct wasi_call *call, uint32_t at, uint32_t len, uint8_t **out)
{
    return call->memory && wasm_memory_window(call->memory, wasm_addr_of(at), len, out)
               ? WASI_SUCCESS
               : WASI_FAULT;
}

int wasi_view(struct wasi_call *call, uint32_t at, uint32_t len, const uint8_t **out)
{
    return call->memory && wasm_memory_view(call->memory, wasm_addr_of(at), len, out) ? WASI_SUCCESS
                                                                                      : WASI_FAULT;
}

int wasi_take_iov(struct wasi_call *call, uint32_t at, uint32_t count,
                  enum wasi_direction direction)
{
    uint64_t total = 0;
    const uint8_t *array;
    if (count > LIBOS_IOV_MAX) {
        return WASI_INVAL;
    }
    int rc = wasi_view(call, at, count * WASI_IOVEC_BYTES, &array);
    for (uint32_t i = 0; rc == WASI_SUCCESS && i < count; i++) {
        /* One copy of each pair: it is checked and used, whatever guest memory holds afterwards. */
        uint8_t pair[WASI_IOVEC_BYTES];
        __builtin_memcpy(pair, array + i * WASI_IOVEC_BYTES, sizeof pair);
        uint32_t len = wasi_u32(pair + 4);
        union {
            uint8_t *into;
            const uint8_t *from; /* files only read through it: struct libos_iov serves both ways */
        } bytes = {NULL};
        rc = direction == WASI_INTO_GUEST ? wasi_window(call, wasi_u32(pair), len, &bytes.into)
                                          : wasi_view(call, wasi_u32(pair), len, &bytes.from);
        if (rc == WASI_SUCCESS) {
            call->wasi->scratch->iov[i] = (struct libos_iov){bytes.into, len};
            total += len;
        }
    }
    /* The result is a u32. */
    return rc == WASI_SUCCESS && total > UINT32_MAX ? WASI_INVAL : rc;
}

int wasi_take_path(struct wasi_call *call, uint32_t at, uint32_t len, unsigned which)
{
    char *path = call->wasi->scratch->path[which];
    if (len >= LIBOS_PATH_MAX) {
        return WASI_NAMETOOLONG;
    }
    if (!call->memory || !wasm_memory_read(call->memory, wasm_addr_of(at), path, len)) {
        return WASI_FAULT;
    }
    path[len] = '\0';
    /* A shorter path than the guest meant would name another file. */
    return __builtin_strlen(path) == len ? WASI_SUCCESS : WASI_INVAL;
}

int wasi_fd(struct wasi_call *call, uint32_t number, uint64_t rights, struct libos_fd **out)
{
    struct libos_fd *fd = libos_fds_at(&call->wasi->fds, number);
    if (!fd) {
        return WASI_BADF;
    }
    if ((fd->words[0] & rights) != rights) {
        return WASI_NOTCAPABLE;
    }
    *out = fd;
    return WASI_SUCCESS;
}

enum wasi_filetype wasi_filetype_of(enum libos_kind kind)
{
    switch (kind) {
    case LIBOS_KIND_FILE: return WASI_FILETYPE_REGULAR_FILE;
    case LIBOS_KIND_DIR: return WASI_FILETYPE_DIRECTORY;
    case LIBOS_KIND_SYMLINK: return WASI_FILETYPE_SYMBOLIC_LINK;
    case LIBOS_KIND_CHAR: return WASI_FILETYPE_CHARACTER_DEVICE;
    case LIBOS_KIND_BLOCK: return WASI_FILETYPE_BLOCK_DEVICE;
    case LIBOS_KIND_SOCKET_STREAM: return WASI_FILETYPE_SOCKET_STREAM;
    case LIBOS_KIND_SOCKET_DGRAM: return WASI_FILETYPE_SOCKET_DGRAM;
    case LIBOS_KIND_PIPE:
    case LIBOS_KIND_UNKNOWN: break;
    }
    return WASI_FILETYPE_UNKNOWN;
}

/* WASI counts time from 1970 without a sign. */
static uint64_t timestamp(int64_t ns)
{
    return ns < 0 ? 0 : (uint64_t)ns;
}

void wasi_put_filestat(uint8_t out[WASI_FILESTAT_BYTES], const struct libos_stat *stat)
{
    __builtin_memset(out, 0, WASI_FILESTAT_BYTES);
    wasi_put_u64(out, stat->dev);
    wasi_put_u64(out + 8, stat->ino);
    out[16] = (uint8_t)wasi_filetype_of(stat->kind);
    wasi_put_u64(out + 24, stat->links);
    wasi_put_u64(out + 32, stat->bytes);
    wasi_put_u64(out + 40, timestamp(stat->atime_ns));
    wasi_put_u64(out + 48, timestamp(stat->mtime_ns));
    wasi_put_u64(out + 56, timestamp(stat->ctime_ns));
}

int wasi_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct libos_times *out)
{
    const uint32_t both_atim = WASI_FST_ATIM | WASI_FST_ATIM_NOW;
    const uint32_t both_mtim = WASI_FST_MTIM | WASI_FST_MTIM_NOW;
    if ((flags & ~WASI_FST_ALL) || (flags & both_atim) == both_atim ||
        (flags & both_mtim) == both_mtim || ((flags & WASI_FST_ATIM) && atim > INT64_MAX) ||
        ((flags & WASI_FST_MTIM) && mtim > INT64_MAX)) {
        return WASI_INVAL;
    }
    *out = (struct libos_times){LIBOS_TIME_OMIT, LIBOS_TIME_OMIT};
    if (flags & both_atim) {
        out->atime_ns = flags & WASI_FST_ATIM ? (int64_t)atim : LIBOS_TIME_NOW;
    }
    if (flags & both_mtim) {
        out->mtime_ns = flags & WASI_FST_MTIM ? (int64_t)mtim : LIBOS_TIME_NOW;
    }
    return WASI_SUCCESS;
}

uint32_t wasi_status_flags(uint32_t fdflags)
{
    uint32_t flags = 0;
    flags |= fdflags & WASI_FDFLAG_APPEND ? LIBOS_APPEND : 0;
    flags |= fdflags & WASI_FDFLAG_NONBLOCK ? LIBOS_NONBLOCK : 0;
    flags |= fdflags & WASI_FDFLAG_DSYNC ? LIBOS_DSYNC : 0;
    flags |= fdflags & (WASI_FDFLAG_SYNC | WASI_FDFLAG_RSYNC) ? LIBOS_SYNC : 0;
    return flags;
}

#define RIGHTS_STREAM                                                            \
    (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_FDSTAT_SET_FLAGS | \
     WASI_RIGHT_FD_FILESTAT_GET | WASI_RIGHT_POLL_FD_READWRITE)
#define RIGHTS_FILE                                                                     \
    (RIGHTS_STREAM | WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_SYNC | \
     WASI_RIGHT_FD_TELL | WASI_RIGHT_FD_ADVISE | WASI_RIGHT_FD_ALLOCATE |               \
     WASI_RIGHT_FD_FILESTAT_SET_SIZE | WASI_RIGHT_FD_FILESTAT_SET_TIMES)
/* FD_READ, so that reading a directory is ISDIR and not a missing right. */
#define RIGHTS_DIR                                                                             \
    (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_SYNC |                \
     WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_ADVISE | WASI_RIGHT_PATH_CREATE_DIRECTORY |        \
     WASI_RIGHT_PATH_CREATE_FILE | WASI_RIGHT_PATH_LINK_SOURCE | WASI_RIGHT_PATH_LINK_TARGET | \
     WASI_RIGHT_PATH_OPEN | WASI_RIGHT_FD_READDIR | WASI_RIGHT_PATH_READLINK |                 \
     WASI_RIGHT_PATH_RENAME_SOURCE | WASI_RIGHT_PATH_RENAME_TARGET |                           \
     WASI_RIGHT_PATH_FILESTAT_GET | WASI_RIGHT_PATH_FILESTAT_SET_SIZE |                        \
     WASI_RIGHT_PATH_FILESTAT_SET_TIMES | WASI_RIGHT_FD_FILESTAT_GET |                         \
     WASI_RIGHT_FD_FILESTAT_SET_TIMES | WASI_RIGHT_PATH_SYMLINK |                              \
     WASI_RIGHT_PATH_REMOVE_DIRECTORY | WASI_RIGHT_PATH_UNLINK_FILE |                          \
     WASI_RIGHT_POLL_FD_READWRITE)
#define RIGHTS_CONNECTION (RIGHTS_STREAM | WASI_RIGHT_SOCK_SHUTDOWN)
#define RIGHTS_LISTENER                                                                 \
    (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_FILESTAT_GET | \
     WASI_RIGHT_POLL_FD_READWRITE | WASI_RIGHT_SOCK_ACCEPT)

void wasi_rights_of(const struct libos_file *file, uint64_t *base, uint64_t *inheriting)
{
    *base = RIGHTS_STREAM;
    *inheriting = 0;
    if (file->kind == LIBOS_KIND_DIR) {
        *base = RIGHTS_DIR;
        /* Every one: programs ask for all there are, and get those that apply to what they open. */
        *inheriting = WASI_RIGHTS_ALL;
        return;
    }
    if (file->ops->socket && file->ops->socket->accept) {
        *base = RIGHTS_LISTENER;
        *inheriting = RIGHTS_CONNECTION;
        return;
    }
    if (file->ops->socket) {
        *base = RIGHTS_CONNECTION;
    } else if (file->kind == LIBOS_KIND_FILE) {
        *base = RIGHTS_FILE;
    } else if (file->kind == LIBOS_KIND_CHAR && !file->terminal) {
        /* wasi-libc's isatty takes a character device that cannot seek for a terminal. */
        *base |= WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_TELL;
    }
    if (!(file->flags & LIBOS_READ)) {
        *base &= ~WASI_RIGHT_FD_READ;
    }
    if (!(file->flags & LIBOS_WRITE)) {
        *base &= ~(WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE);
    }
}
