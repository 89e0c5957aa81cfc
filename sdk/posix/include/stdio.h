/* stdio.h: wasi-libc's, and what it leaves out. popen fails with ENOSYS; tmpfile is made in
 * $TMPDIR, in /tmp or in the present folder, whichever the guest was given. */
#ifndef WARDMOTE_POSIX_STDIO_H
#define WARDMOTE_POSIX_STDIO_H

/* wasi-libc declares what it does not have only to warn of it. */
#define tmpfile __wasilibc_no_tmpfile
#include_next <stdio.h>
#undef tmpfile

#ifdef __cplusplus
extern "C" {
#endif

FILE *tmpfile(void);
FILE *popen(const char *, const char *);
int pclose(FILE *);

#ifdef __cplusplus
}
#endif

#endif
