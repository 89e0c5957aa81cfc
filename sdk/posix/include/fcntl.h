/* fcntl.h: wasi-libc's, and what it leaves out: record locks and F_DUPFD.
 *
 * A guest is one process, and a process never conflicts with its own locks: F_SETLK and F_SETLKW
 * succeed, F_GETLK finds none. They do NOT keep out anybody else: two programs that write one
 * database in a shared folder at the same time are not protected from each other. F_DUPFD gives
 * EINVAL. */
#ifndef WARDMOTE_POSIX_FCNTL_H
#define WARDMOTE_POSIX_FCNTL_H

#include_next <fcntl.h>

#ifndef F_RDLCK
#define F_DUPFD 0
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#endif
#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
#endif

#endif
