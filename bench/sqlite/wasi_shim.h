/* wasi_shim.h: declarations that SQLite's Unix layer names and Debian's wasi-libc lacks. The
 * benchmark's database is in memory, so none of it is reached; locks always succeed, ownership
 * never changes. */
#ifndef BENCH_WASI_SHIM_H
#define BENCH_WASI_SHIM_H

#include <fcntl.h>
#include <sys/types.h>

#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7

static inline int fchmod(int fd, mode_t mode)
{
    (void)fd;
    (void)mode;
    return 0;
}

static inline int fchown(int fd, uid_t owner, gid_t group)
{
    (void)fd;
    (void)owner;
    (void)group;
    return 0;
}

static inline uid_t geteuid(void)
{
    return 0;
}

#endif
