/* errno.h: the error numbers of the library OS.
 *
 * Numbers are those of Linux on x86-64 (and of every architecture that uses the generic table), so
 * that a driver on plain Linux passes the kernel's own through and the Linux face returns them as
 * they are. Functions return them negative. Only the ones this code produces or translates are
 * named. Freestanding. */
#ifndef WM_LIBOS_ERRNO_H
#define WM_LIBOS_ERRNO_H

/* X(NAME, number) */
#define LIBOS_ERRNO_TABLE(X)                                                                       \
    X(EPERM, 1)                                                                                    \
    X(ENOENT, 2)                                                                                   \
    X(ESRCH, 3)                                                                                    \
    X(EINTR, 4)                                                                                    \
    X(EIO, 5)                                                                                      \
    X(ENXIO, 6)                                                                                    \
    X(E2BIG, 7)                                                                                    \
    X(ENOEXEC, 8)                                                                                  \
    X(EBADF, 9)                                                                                    \
    X(ECHILD, 10)                                                                                  \
    X(EAGAIN, 11)                                                                                  \
    X(ENOMEM, 12)                                                                                  \
    X(EACCES, 13)                                                                                  \
    X(EFAULT, 14)                                                                                  \
    X(EBUSY, 16)                                                                                   \
    X(EEXIST, 17)                                                                                  \
    X(EXDEV, 18)                                                                                   \
    X(ENODEV, 19)                                                                                  \
    X(ENOTDIR, 20)                                                                                 \
    X(EISDIR, 21)                                                                                  \
    X(EINVAL, 22)                                                                                  \
    X(ENFILE, 23)                                                                                  \
    X(EMFILE, 24)                                                                                  \
    X(ENOTTY, 25)                                                                                  \
    X(ETXTBSY, 26)                                                                                 \
    X(EFBIG, 27)                                                                                   \
    X(ENOSPC, 28)                                                                                  \
    X(ESPIPE, 29)                                                                                  \
    X(EROFS, 30)                                                                                   \
    X(EMLINK, 31)                                                                                  \
    X(EPIPE, 32)                                                                                   \
    X(EDOM, 33)                                                                                    \
    X(ERANGE, 34)                                                                                  \
    X(EDEADLK, 35)                                                                                 \
    X(ENAMETOOLONG, 36)                                                                            \
    X(ENOLCK, 37)                                                                                  \
    X(ENOSYS, 38)                                                                                  \
    X(ENOTEMPTY, 39)                                                                               \
    X(ELOOP, 40)                                                                                   \
    X(ENOMSG, 42)                                                                                  \
    X(EIDRM, 43)                                                                                   \
    X(ENOLINK, 67)                                                                                 \
    X(EPROTO, 71)                                                                                  \
    X(EMULTIHOP, 72)                                                                               \
    X(EBADMSG, 74)                                                                                 \
    X(EOVERFLOW, 75)                                                                               \
    X(EILSEQ, 84)                                                                                  \
    X(ENOTSOCK, 88)                                                                                \
    X(EDESTADDRREQ, 89)                                                                            \
    X(EMSGSIZE, 90)                                                                                \
    X(EPROTOTYPE, 91)                                                                              \
    X(ENOPROTOOPT, 92)                                                                             \
    X(EPROTONOSUPPORT, 93)                                                                         \
    X(EOPNOTSUPP, 95)                                                                              \
    X(EAFNOSUPPORT, 97)                                                                            \
    X(EADDRINUSE, 98)                                                                              \
    X(EADDRNOTAVAIL, 99)                                                                           \
    X(ENETDOWN, 100)                                                                               \
    X(ENETUNREACH, 101)                                                                            \
    X(ENETRESET, 102)                                                                              \
    X(ECONNABORTED, 103)                                                                           \
    X(ECONNRESET, 104)                                                                             \
    X(ENOBUFS, 105)                                                                                \
    X(EISCONN, 106)                                                                                \
    X(ENOTCONN, 107)                                                                               \
    X(ETIMEDOUT, 110)                                                                              \
    X(ECONNREFUSED, 111)                                                                           \
    X(EHOSTUNREACH, 113)                                                                           \
    X(EALREADY, 114)                                                                               \
    X(EINPROGRESS, 115)                                                                            \
    X(ESTALE, 116)                                                                                 \
    X(EDQUOT, 122)                                                                                 \
    X(ECANCELED, 125)                                                                              \
    X(EOWNERDEAD, 130)                                                                             \
    X(ENOTRECOVERABLE, 131)                                                                        \
    /* Ours, where Linux keeps numbers that never reach a program (512 and up): the path leads out \
     * of the directory beneath which it had to stay. Each face translates it (WASI: NOTCAPABLE).  \
     */                                                                                            \
    X(EESCAPE, 600)

#define LIBOS_ERRNO_ENUM(name, number) LIBOS_##name = number,
enum libos_errno { LIBOS_ERRNO_TABLE(LIBOS_ERRNO_ENUM) };
#undef LIBOS_ERRNO_ENUM

#endif
