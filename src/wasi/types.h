/* types.h: the numbers and layouts of WASI preview 1 (module wasi_snapshot_preview1).
 *
 * Everything is little-endian; structures are described by offsets, as they lie in guest memory and
 * are never overlaid with a C struct. Names follow the specification (its witx files, phase
 * "snapshot"). Freestanding. */
#ifndef WM_WASI_TYPES_H
#define WM_WASI_TYPES_H

#include <stdint.h>

#define WASI_MODULE "wasi_snapshot_preview1"

/* X(name, signature): every function of the module; parameters, a colon, results: i is i32, I is
 * i64. The host function table, its tests and the fuzz target are made from this list. */
#define WASI_FUNC_TABLE(X)                  \
    X(args_get, "ii:i")                     \
    X(args_sizes_get, "ii:i")               \
    X(environ_get, "ii:i")                  \
    X(environ_sizes_get, "ii:i")            \
    X(clock_res_get, "ii:i")                \
    X(clock_time_get, "iIi:i")              \
    X(fd_advise, "iIIi:i")                  \
    X(fd_allocate, "iII:i")                 \
    X(fd_close, "i:i")                      \
    X(fd_datasync, "i:i")                   \
    X(fd_fdstat_get, "ii:i")                \
    X(fd_fdstat_set_flags, "ii:i")          \
    X(fd_fdstat_set_rights, "iII:i")        \
    X(fd_filestat_get, "ii:i")              \
    X(fd_filestat_set_size, "iI:i")         \
    X(fd_filestat_set_times, "iIIi:i")      \
    X(fd_pread, "iiiIi:i")                  \
    X(fd_prestat_get, "ii:i")               \
    X(fd_prestat_dir_name, "iii:i")         \
    X(fd_pwrite, "iiiIi:i")                 \
    X(fd_read, "iiii:i")                    \
    X(fd_readdir, "iiiIi:i")                \
    X(fd_renumber, "ii:i")                  \
    X(fd_seek, "iIii:i")                    \
    X(fd_sync, "i:i")                       \
    X(fd_tell, "ii:i")                      \
    X(fd_write, "iiii:i")                   \
    X(path_create_directory, "iii:i")       \
    X(path_filestat_get, "iiiii:i")         \
    X(path_filestat_set_times, "iiiiIIi:i") \
    X(path_link, "iiiiiii:i")               \
    X(path_open, "iiiiiIIii:i")             \
    X(path_readlink, "iiiiii:i")            \
    X(path_remove_directory, "iii:i")       \
    X(path_rename, "iiiiii:i")              \
    X(path_symlink, "iiiii:i")              \
    X(path_unlink_file, "iii:i")            \
    X(poll_oneoff, "iiii:i")                \
    X(proc_exit, "i:")                      \
    X(proc_raise, "i:i")                    \
    X(sched_yield, ":i")                    \
    X(random_get, "ii:i")                   \
    X(sock_accept, "iii:i")                 \
    X(sock_recv, "iiiiii:i")                \
    X(sock_send, "iiiii:i")                 \
    X(sock_shutdown, "ii:i")
#define WASI_FUNC_COUNT 46u

/* Client sockets, which preview 1 does not have: a module of ours, in the same calling form, for
 * the same descriptors and with the same errors (doc: wasi.h). */
#define WASI_NET_MODULE "wardmote_socket"
#define WASI_NET_FUNC_TABLE(X) \
    X(socket, "iiii:i")        \
    X(connect, "ii:i")         \
    X(getsockname, "ii:i")     \
    X(getpeername, "ii:i")     \
    X(getsockopt, "iii:i")     \
    X(setsockopt, "iiI:i")     \
    X(resolve, "iiiii:i")
#define WASI_NET_FUNC_COUNT 7u

/* wasi-libc's numbers. */
#define WASI_AF_INET 1u
#define WASI_AF_INET6 2u
#define WASI_SOCK_DGRAM 5u
#define WASI_SOCK_STREAM 6u
#define WASI_SOCK_CLOEXEC 0x2000u /* nothing to close at */
#define WASI_SOCK_NONBLOCK 0x4000u
#define WASI_IPPROTO_TCP 6u
#define WASI_IPPROTO_UDP 17u
/* struct address: family u16 @0, port u16 @2 (a number, not in network order), scope u32 @4,
 * ip u8[16] @8 (in network order; IPv4 in the first four, the rest 0) */
#define WASI_ADDRESS_BYTES 24u

enum wasi_errno {
    WASI_SUCCESS = 0,
    WASI_2BIG,
    WASI_ACCES,
    WASI_ADDRINUSE,
    WASI_ADDRNOTAVAIL,
    WASI_AFNOSUPPORT,
    WASI_AGAIN,
    WASI_ALREADY,
    WASI_BADF,
    WASI_BADMSG,
    WASI_BUSY,
    WASI_CANCELED,
    WASI_CHILD,
    WASI_CONNABORTED,
    WASI_CONNREFUSED,
    WASI_CONNRESET,
    WASI_DEADLK,
    WASI_DESTADDRREQ,
    WASI_DOM,
    WASI_DQUOT,
    WASI_EXIST,
    WASI_FAULT,
    WASI_FBIG,
    WASI_HOSTUNREACH,
    WASI_IDRM,
    WASI_ILSEQ,
    WASI_INPROGRESS,
    WASI_INTR,
    WASI_INVAL,
    WASI_IO,
    WASI_ISCONN,
    WASI_ISDIR,
    WASI_LOOP,
    WASI_MFILE,
    WASI_MLINK,
    WASI_MSGSIZE,
    WASI_MULTIHOP,
    WASI_NAMETOOLONG,
    WASI_NETDOWN,
    WASI_NETRESET,
    WASI_NETUNREACH,
    WASI_NFILE,
    WASI_NOBUFS,
    WASI_NODEV,
    WASI_NOENT,
    WASI_NOEXEC,
    WASI_NOLCK,
    WASI_NOLINK,
    WASI_NOMEM,
    WASI_NOMSG,
    WASI_NOPROTOOPT,
    WASI_NOSPC,
    WASI_NOSYS,
    WASI_NOTCONN,
    WASI_NOTDIR,
    WASI_NOTEMPTY,
    WASI_NOTRECOVERABLE,
    WASI_NOTSOCK,
    WASI_NOTSUP,
    WASI_NOTTY,
    WASI_NXIO,
    WASI_OVERFLOW,
    WASI_OWNERDEAD,
    WASI_PERM,
    WASI_PIPE,
    WASI_PROTO,
    WASI_PROTONOSUPPORT,
    WASI_PROTOTYPE,
    WASI_RANGE,
    WASI_ROFS,
    WASI_SPIPE,
    WASI_SRCH,
    WASI_STALE,
    WASI_TIMEDOUT,
    WASI_TXTBSY,
    WASI_XDEV,
    WASI_NOTCAPABLE,
};
_Static_assert(WASI_NOTCAPABLE == 76, "the numbers are alphabetical but for the last");

/* What a descriptor may be used for. */
#define WASI_RIGHT_FD_DATASYNC (UINT64_C(1) << 0)
#define WASI_RIGHT_FD_READ (UINT64_C(1) << 1)
#define WASI_RIGHT_FD_SEEK (UINT64_C(1) << 2) /* implies FD_TELL */
#define WASI_RIGHT_FD_FDSTAT_SET_FLAGS (UINT64_C(1) << 3)
#define WASI_RIGHT_FD_SYNC (UINT64_C(1) << 4)
#define WASI_RIGHT_FD_TELL (UINT64_C(1) << 5)
#define WASI_RIGHT_FD_WRITE (UINT64_C(1) << 6)
#define WASI_RIGHT_FD_ADVISE (UINT64_C(1) << 7)
#define WASI_RIGHT_FD_ALLOCATE (UINT64_C(1) << 8)
#define WASI_RIGHT_PATH_CREATE_DIRECTORY (UINT64_C(1) << 9)
#define WASI_RIGHT_PATH_CREATE_FILE (UINT64_C(1) << 10)
#define WASI_RIGHT_PATH_LINK_SOURCE (UINT64_C(1) << 11)
#define WASI_RIGHT_PATH_LINK_TARGET (UINT64_C(1) << 12)
#define WASI_RIGHT_PATH_OPEN (UINT64_C(1) << 13)
#define WASI_RIGHT_FD_READDIR (UINT64_C(1) << 14)
#define WASI_RIGHT_PATH_READLINK (UINT64_C(1) << 15)
#define WASI_RIGHT_PATH_RENAME_SOURCE (UINT64_C(1) << 16)
#define WASI_RIGHT_PATH_RENAME_TARGET (UINT64_C(1) << 17)
#define WASI_RIGHT_PATH_FILESTAT_GET (UINT64_C(1) << 18)
#define WASI_RIGHT_PATH_FILESTAT_SET_SIZE (UINT64_C(1) << 19)
#define WASI_RIGHT_PATH_FILESTAT_SET_TIMES (UINT64_C(1) << 20)
#define WASI_RIGHT_FD_FILESTAT_GET (UINT64_C(1) << 21)
#define WASI_RIGHT_FD_FILESTAT_SET_SIZE (UINT64_C(1) << 22)
#define WASI_RIGHT_FD_FILESTAT_SET_TIMES (UINT64_C(1) << 23)
#define WASI_RIGHT_PATH_SYMLINK (UINT64_C(1) << 24)
#define WASI_RIGHT_PATH_REMOVE_DIRECTORY (UINT64_C(1) << 25)
#define WASI_RIGHT_PATH_UNLINK_FILE (UINT64_C(1) << 26)
#define WASI_RIGHT_POLL_FD_READWRITE (UINT64_C(1) << 27)
#define WASI_RIGHT_SOCK_SHUTDOWN (UINT64_C(1) << 28)
#define WASI_RIGHT_SOCK_ACCEPT (UINT64_C(1) << 29)
#define WASI_RIGHTS_ALL ((UINT64_C(1) << 30) - 1)

enum wasi_filetype {
    WASI_FILETYPE_UNKNOWN,
    WASI_FILETYPE_BLOCK_DEVICE,
    WASI_FILETYPE_CHARACTER_DEVICE,
    WASI_FILETYPE_DIRECTORY,
    WASI_FILETYPE_REGULAR_FILE,
    WASI_FILETYPE_SOCKET_DGRAM,
    WASI_FILETYPE_SOCKET_STREAM,
    WASI_FILETYPE_SYMBOLIC_LINK,
};

enum wasi_clockid {
    WASI_CLOCK_REALTIME,
    WASI_CLOCK_MONOTONIC,
    WASI_CLOCK_PROCESS_CPUTIME,
    WASI_CLOCK_THREAD_CPUTIME,
};

#define WASI_FDFLAG_APPEND 1u
#define WASI_FDFLAG_DSYNC 2u
#define WASI_FDFLAG_NONBLOCK 4u
#define WASI_FDFLAG_RSYNC 8u
#define WASI_FDFLAG_SYNC 16u
#define WASI_FDFLAGS_ALL 31u

#define WASI_OFLAG_CREAT 1u
#define WASI_OFLAG_DIRECTORY 2u
#define WASI_OFLAG_EXCL 4u
#define WASI_OFLAG_TRUNC 8u
#define WASI_OFLAGS_ALL 15u

#define WASI_LOOKUP_SYMLINK_FOLLOW 1u

#define WASI_FST_ATIM 1u
#define WASI_FST_ATIM_NOW 2u
#define WASI_FST_MTIM 4u
#define WASI_FST_MTIM_NOW 8u
#define WASI_FST_ALL 15u

#define WASI_RI_RECV_PEEK 1u
#define WASI_RI_RECV_WAITALL 2u
#define WASI_RO_RECV_DATA_TRUNCATED 1u
#define WASI_SD_RD 1u
#define WASI_SD_WR 2u

enum wasi_eventtype { WASI_EVENT_CLOCK, WASI_EVENT_FD_READ, WASI_EVENT_FD_WRITE };
#define WASI_SUBCLOCK_ABSTIME 1u
#define WASI_EVENT_HANGUP 1u

/* struct iovec, ciovec: buf u32 @0, len u32 @4 */
#define WASI_IOVEC_BYTES 8u
/* struct fdstat: filetype u8 @0, flags u16 @2, base u64 @8, inheriting u64 @16 */
#define WASI_FDSTAT_BYTES 24u
/* struct filestat: dev u64 @0, ino u64 @8, filetype u8 @16, nlink u64 @24, size u64 @32,
 * atim u64 @40, mtim u64 @48, ctim u64 @56 */
#define WASI_FILESTAT_BYTES 64u
/* struct prestat: tag u8 @0 (0: directory), name_len u32 @4 */
#define WASI_PRESTAT_BYTES 8u
/* struct dirent: next u64 @0, ino u64 @8, namlen u32 @16, type u8 @20; the name follows */
#define WASI_DIRENT_BYTES 24u
/* struct subscription: userdata u64 @0, tag u8 @8; clock: id u32 @16, timeout u64 @24,
 * precision u64 @32, flags u16 @40; fd_read, fd_write: fd u32 @16 */
#define WASI_SUBSCRIPTION_BYTES 48u
/* struct event: userdata u64 @0, error u16 @8, type u8 @10, nbytes u64 @16, flags u16 @24 */
#define WASI_EVENT_BYTES 32u

#endif
