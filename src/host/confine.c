/* Resource limits and the seccomp filter of a process that only computes.
 *
 * The list is an allow-list: a system call that a later kernel adds is forbidden until somebody has
 * thought about it. The calls in `refused` have no effect outside the process even when tried, and
 * libraries try them as a matter of course, so they fail softly; anything else that is not allowed
 * is a sign that the process is no longer running our code, and ends it. */
#include "host/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"

#define CPU_GRACE_SECONDS 2

static int lower_limit(int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit limit;
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0) {
        return -errno;
    }
    limit.rlim_max = hard < limit.rlim_max ? hard : limit.rlim_max;
    limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
    return setrlimit((__rlimit_resource_t)resource, &limit) == 0 ? 0 : -errno;
}

int host_confine_limits(const struct host_limits *limits)
{
    int err = lower_limit(RLIMIT_CORE, 0, 0);
    if (!err && limits->memory_bytes) {
        err = lower_limit(RLIMIT_AS, limits->memory_bytes, limits->memory_bytes);
    }
    if (!err && limits->stack_bytes) {
        err = lower_limit(RLIMIT_STACK, limits->stack_bytes, limits->stack_bytes);
    }
    if (!err && limits->file_bytes) {
        err = lower_limit(RLIMIT_FSIZE, limits->file_bytes, limits->file_bytes);
    }
    if (!err && limits->open_files) {
        err = lower_limit(RLIMIT_NOFILE, limits->open_files, limits->open_files);
    }
    if (!err && limits->cpu_seconds) {
        err = lower_limit(RLIMIT_CPU, limits->cpu_seconds,
                          (uint64_t)limits->cpu_seconds + CPU_GRACE_SECONDS);
    }
    return err;
}

static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fstat),
    SCMP_SYS(close),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrusage),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

static const struct {
    int call, error;
} refused[] = {
    {SCMP_SYS(open), EACCES},       {SCMP_SYS(openat), EACCES},
    {SCMP_SYS(stat), EACCES},       {SCMP_SYS(lstat), EACCES},
    {SCMP_SYS(access), EACCES},     {SCMP_SYS(faccessat), EACCES},
    {SCMP_SYS(faccessat2), EACCES}, {SCMP_SYS(readlink), EACCES},
    {SCMP_SYS(readlinkat), EACCES}, {SCMP_SYS(statx), EACCES},
    {SCMP_SYS(getcwd), EACCES},     {SCMP_SYS(ioctl), ENOTTY},
    {SCMP_SYS(fcntl), EPERM},       {SCMP_SYS(uname), EPERM},
    {SCMP_SYS(sysinfo), EPERM},     {SCMP_SYS(sched_getaffinity), EPERM},
    {SCMP_SYS(prlimit64), EPERM},   {SCMP_SYS(getrlimit), EPERM},
    {SCMP_SYS(prctl), EPERM},       {SCMP_SYS(set_robust_list), ENOSYS},
    {SCMP_SYS(rseq), ENOSYS},
};

/* Rules that look at arguments. glibc's fstat is newfstatat with an empty path; a path that is not
 * empty would only tell whether a file exists, and takes a pointer that a filter cannot see. */
static int add_conditional(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    const struct scmp_arg_cmp by_descriptor =
        SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH);
    const struct scmp_arg_cmp to_itself = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);
    int err = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &not_executable);
    err = err ? err
              : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                       &not_executable);
    err = err ? err
              : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                                       &by_descriptor);
    /* abort() ends the process with a signal to itself. */
    return err ? err
               : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &to_itself);
}

int host_confine_compute(void)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    /* Not readable by other processes of the same user through /proc or ptrace. */
    if (prctl(PR_SET_DUMPABLE, 0) != 0) {
        return -errno;
    }
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter) {
        return -ENOMEM;
    }
    int err = 0;
    for (size_t i = 0; i < WM_COUNT_OF(allowed) && !err; i++) {
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    for (size_t i = 0; i < WM_COUNT_OF(refused) && !err; i++) {
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint16_t)refused[i].error), refused[i].call,
                               0);
    }
    err = err ? err : add_conditional(filter);
    if (!err) {
        err = seccomp_load(filter); /* sets no_new_privs too */
        if (err == -EINVAL || err == -ECANCELED || err == -ENOSYS) {
            err = WM_E_MISSING;
        }
    }
    seccomp_release(filter);
    return err;
}
