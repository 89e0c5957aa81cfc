/* process.h: one child process with chosen files, watched to its end.
 *
 * The child gets exactly the descriptors that it is given (as 0, 1, 2, ... in their order), default
 * signal actions and an empty signal mask, and nothing else of ours but the environment passed. It
 * is held by a pidfd, so a kill can never reach another process that took its number over.
 * Any thread; a child belongs to the thread that waits for it. */
#ifndef WM_HOST_PROCESS_H
#define WM_HOST_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

#define HOST_PROCESS_FDS_MAX 16

struct host_spawn {
    const char *path; /* of the executable; not searched for */
    char *const *argv;
    char *const *envp;
    int fd_count;
    int fds[HOST_PROCESS_FDS_MAX]; /* become 0, 1, 2, ...; borrowed */
};

struct host_process {
    pid_t pid;
    int pidfd;
};

enum host_end { HOST_END_EXITED, HOST_END_SIGNALLED };

struct host_process_end {
    enum host_end kind;
    int status;                  /* the exit status, or the signal's number */
    uint64_t cpu_ns, peak_bytes; /* used by the child */
};

/* 0 or a negative errno; that of exec too. */
WM_MUST_CHECK int host_process_spawn(const struct host_spawn *spawn, struct host_process *out);
/* Waits until one of the `count` (at most HOST_PROCESS_POLL_MAX) children has ended, `fd`
 * (negative: none) has something to read or its other end was closed, or timeout_ms has passed.
 * *readable and ended[i] tell; children whose ended[i] is true already are not waited for. 0 or
 * -errno. */
#define HOST_PROCESS_POLL_MAX 16
WM_MUST_CHECK int host_process_poll(const struct host_process *processes, unsigned count, int fd,
                                    int timeout_ms, bool *ended, bool *readable);
/* Processor time that a child that is not reaped has used so far; 0 where it cannot be told. */
uint64_t host_process_cpu_ns(const struct host_process *process);
/* Processors that this process may run on; at least 1. */
unsigned host_cpu_count(void);
void host_process_kill(const struct host_process *process);
/* Blocks until the child has ended, takes its status and releases it. 0 or a negative errno
 * (-ECHILD where the embedding program ignores SIGCHLD); released in either case. */
WM_MUST_CHECK int host_process_reap(struct host_process *process, struct host_process_end *out);

/* "SIGSEGV" and the like; "signal" for unknown ones. Static. */
const char *host_signal_name(int signal_number);

#endif
