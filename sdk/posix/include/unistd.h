/* unistd.h: wasi-libc's, and what it leaves out.
 *
 * A guest has one user, number 1000, who is not root, and no other processes. What would need one
 * (fork, exec, pipe) or a second number for an open file (dup) fails with ENOSYS: a program that
 * has another way takes it. chown succeeds only where it changes nothing. */
#ifndef WARDMOTE_POSIX_UNISTD_H
#define WARDMOTE_POSIX_UNISTD_H

#include_next <unistd.h>

#define F_ULOCK 0
#define F_LOCK 1
#define F_TLOCK 2
#define F_TEST 3

#ifdef __cplusplus
extern "C" {
#endif

uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
int getgroups(int, gid_t[]);
int setuid(uid_t);
int setgid(gid_t);
int seteuid(uid_t);
int setegid(gid_t);
pid_t getppid(void);
pid_t getpgrp(void);
char *getlogin(void);
int gethostname(char *, size_t);
int getpagesize(void);
int brk(void *); /* the break only grows: lower than it is, ENOMEM */
void *sbrk(intptr_t);
int chown(const char *, uid_t, gid_t);
int fchown(int, uid_t, gid_t);
int lchown(const char *, uid_t, gid_t);
int fchownat(int, const char *, uid_t, gid_t, int);
int lockf(int, int, off_t); /* as fcntl.h's locks */
void sync(void);
char *ttyname(int);

int dup(int);
int dup2(int, int);
int pipe(int[2]);
pid_t fork(void);
pid_t vfork(void);
int execv(const char *, char *const[]);
int execve(const char *, char *const[], char *const[]);
int execvp(const char *, char *const[]);

#ifdef __cplusplus
}
#endif

#endif
