/* stdlib.h: wasi-libc's, and what it leaves out. There is no shell: system(NULL) says so. */
#ifndef WARDMOTE_POSIX_STDLIB_H
#define WARDMOTE_POSIX_STDLIB_H

#include_next <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

int mkstemp(char *);
int mkostemp(char *, int);
int mkstemps(char *, int);
char *mkdtemp(char *);
char *realpath(const char *__restrict, char *__restrict);

#ifdef __cplusplus
}
#endif

#endif
