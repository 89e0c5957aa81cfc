/* sys/stat.h: wasi-libc's, and what it leaves out. WASI files have no permission bits: chmod
 * succeeds when the file is there, and changes nothing; umask only remembers. */
#ifndef WARDMOTE_POSIX_SYS_STAT_H
#define WARDMOTE_POSIX_SYS_STAT_H

#include_next <sys/stat.h>

#ifdef __cplusplus
extern "C" {
#endif

int chmod(const char *, mode_t);
int fchmod(int, mode_t);
int fchmodat(int, const char *, mode_t, int);
mode_t umask(mode_t);

#ifdef __cplusplus
}
#endif

#endif
