/* Spawning through posix_spawn, which shares our memory with the child until exec instead of
 * copying page tables: a process with thousands of reserved guest memories must not pay for a fork.
 */
#include "host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fault.h"

#define NS_PER_S UINT64_C(1000000000)

/* Puts the files in place. The sources were first copied above all targets: so no dup2 overwrites a
 * source that a later one needs. */
static int set_files(posix_spawn_file_actions_t *actions, const int *copies, int count)
{
    int err = 0;
    for (int i = 0; i < count && !err; i++) {
        err = posix_spawn_file_actions_adddup2(actions, copies[i], i);
    }
    return err ? err : posix_spawn_file_actions_addclosefrom_np(actions, count);
}

static int set_signals(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int err = posix_spawnattr_setsigmask(attr, &none);
    err = err ? err : posix_spawnattr_setsigdefault(attr, &all);
    return err ? err
               : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

int host_process_spawn(const struct host_spawn *spawn, struct host_process *out)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int copies[HOST_PROCESS_FDS_MAX];
    int copy_count = 0, err = 0;
    pid_t pid;

    WM_ASSERT(spawn->fd_count >= 0 && spawn->fd_count <= HOST_PROCESS_FDS_MAX);
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return -ENOMEM;
    }
    if (posix_spawnattr_init(&attr) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    for (; copy_count < spawn->fd_count; copy_count++) {
        int copy = wm_fault_here(WM_FAULT_IO)
                       ? (errno = EMFILE, -1)
                       : fcntl(spawn->fds[copy_count], F_DUPFD_CLOEXEC, HOST_PROCESS_FDS_MAX);
        if (copy < 0) {
            err = errno;
            goto out;
        }
        copies[copy_count] = copy;
    }
    err = set_files(&actions, copies, copy_count);
    err = err ? err : set_signals(&attr);
    if (err) {
        goto out;
    }
    err = wm_fault_here(WM_FAULT_IO)
              ? EAGAIN
              : posix_spawn(&pid, spawn->path, &actions, &attr, spawn->argv, spawn->envp);
    if (err) {
        goto out;
    }
    int pidfd = wm_fault_here(WM_FAULT_IO) ? (errno = EMFILE, -1) : pidfd_open(pid, 0);
    if (pidfd < 0) {
        err = errno;
        (void)kill(pid, SIGKILL); /* not yet reaped, so the number is still its own */
        (void)waitpid(pid, NULL, 0);
        goto out;
    }
    *out = (struct host_process){.pid = pid, .pidfd = pidfd};
out:
    while (copy_count > 0) {
        (void)close(copies[--copy_count]);
    }
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return -err;
}

int host_process_poll(const struct host_process *processes, unsigned count, int fd, int timeout_ms,
                      bool *ended, bool *readable)
{
    struct pollfd fds[HOST_PROCESS_POLL_MAX + 1];
    WM_ASSERT(count <= HOST_PROCESS_POLL_MAX);
    for (unsigned i = 0; i < count; i++) {
        /* A negative descriptor is passed over. */
        fds[i] = (struct pollfd){.fd = ended[i] ? -1 : processes[i].pidfd, .events = POLLIN};
    }
    fds[count] = (struct pollfd){.fd = fd, .events = POLLIN};
    *readable = false;
    int got = wm_fault_here(WM_FAULT_IO) ? (errno = EIO, -1) : poll(fds, count + 1, timeout_ms);
    if (got < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    for (unsigned i = 0; i < count; i++) {
        ended[i] = ended[i] || fds[i].revents != 0;
    }
    *readable = fds[count].revents != 0;
    return 0;
}

uint64_t host_process_cpu_ns(const struct host_process *process)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(process->pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

unsigned host_cpu_count(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (unsigned)count : 1;
}

void host_process_kill(const struct host_process *process)
{
    /* Can fail only when it has ended already. */
    (void)pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
}

int host_process_reap(struct host_process *process, struct host_process_end *out)
{
    struct rusage usage;
    int status = 0;
    pid_t got;
    do {
        got = wait4(process->pid, &status, 0, &usage);
    } while (got < 0 && errno == EINTR);
    int err = got < 0 ? -errno : 0;
    (void)close(process->pidfd);
    *process = (struct host_process){.pid = -1, .pidfd = -1};
    if (err) {
        return err;
    }
    uint64_t seconds = (uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec;
    uint64_t micros = (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
    *out = (struct host_process_end){
        .kind = WIFSIGNALED(status) ? HOST_END_SIGNALLED : HOST_END_EXITED,
        .status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
        .cpu_ns = seconds * NS_PER_S + micros * 1000,
        .peak_bytes = (uint64_t)usage.ru_maxrss * 1024,
    };
    return 0;
}

const char *host_signal_name(int signal_number)
{
    switch (signal_number) {
    case SIGABRT: return "SIGABRT";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGILL: return "SIGILL";
    case SIGKILL: return "SIGKILL";
    case SIGPIPE: return "SIGPIPE";
    case SIGSEGV: return "SIGSEGV";
    case SIGSYS: return "SIGSYS";
    case SIGTERM: return "SIGTERM";
    case SIGTRAP: return "SIGTRAP";
    case SIGXCPU: return "SIGXCPU";
    case SIGXFSZ: return "SIGXFSZ";
    default: return "signal";
    }
}
