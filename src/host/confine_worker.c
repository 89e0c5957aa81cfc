/* What a worker may do.
 *
 * Two filters lie on top of each other, and the kernel takes the harsher answer:
 *
 *     outer   ends the process for every system call that is on no list, and for those whose
 *             arguments show an attack (memory that can be written and executed, a new process)
 *     inner   answers EPERM, unless the call is allowed with these arguments
 *
 * A guest's own calls can lead to a refused argument (a socket of a kind that we do not have) but
 * never to an unlisted call, so a guest cannot end its worker this way.
 *
 * A filter cannot follow pointers, so it knows nothing of paths; that is Landlock's part. */
#include "host/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"

#define PAGEMAP_SCAN 0xc0606610u /* _IOWR('f', 16, struct pm_scan_arg), Linux 6.7 */

/* --- the filters --- */

static const int always[] = {
    /* what is open */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(preadv2),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(pwritev2),
    SCMP_SYS(lseek),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),
    SCMP_SYS(close),
    SCMP_SYS(close_range),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(memfd_create),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime),
    /* sockets that are open */
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    /* memory */
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(mincore),
    SCMP_SYS(msync),
    /* threads and time */
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_yield),
    SCMP_SYS(membarrier),
    SCMP_SYS(getcpu),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrusage),
    SCMP_SYS(times),
    SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(timer_create),
    SCMP_SYS(timer_settime),
    SCMP_SYS(timer_gettime),
    SCMP_SYS(timer_getoverrun),
    SCMP_SYS(timer_delete),
    SCMP_SYS(setitimer),
    SCMP_SYS(alarm),
    /* signals */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigsuspend),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* With folders of the host. */
static const int with_folders[] = {
    SCMP_SYS(openat2),    SCMP_SYS(newfstatat), SCMP_SYS(statx),     SCMP_SYS(getdents64),
    SCMP_SYS(readlinkat), SCMP_SYS(mkdirat),    SCMP_SYS(unlinkat),  SCMP_SYS(renameat),
    SCMP_SYS(renameat2),  SCMP_SYS(linkat),     SCMP_SYS(symlinkat), SCMP_SYS(utimensat),
    SCMP_SYS(faccessat2),
};

/* Tried by libraries as a matter of course, or by guests: an error that they understand. */
static const struct {
    int call, error;
} refused[] = {
    {SCMP_SYS(open), EACCES},          {SCMP_SYS(openat), EACCES},
    {SCMP_SYS(stat), EACCES},          {SCMP_SYS(lstat), EACCES},
    {SCMP_SYS(access), EACCES},        {SCMP_SYS(faccessat), EACCES},
    {SCMP_SYS(readlink), EACCES},      {SCMP_SYS(getcwd), EACCES},
    {SCMP_SYS(chdir), EACCES},         {SCMP_SYS(mkdir), EACCES},
    {SCMP_SYS(unlink), EACCES},        {SCMP_SYS(rmdir), EACCES},
    {SCMP_SYS(rename), EACCES},        {SCMP_SYS(statfs), EACCES},
    {SCMP_SYS(clone3), ENOSYS},        {SCMP_SYS(bind), EPERM},
    {SCMP_SYS(listen), EPERM},         {SCMP_SYS(accept), EPERM},
    {SCMP_SYS(accept4), EPERM},        {SCMP_SYS(socketpair), EPERM},
    {SCMP_SYS(uname), EPERM},          {SCMP_SYS(sysinfo), EPERM},
    {SCMP_SYS(getrlimit), EPERM},      {SCMP_SYS(fchmod), EPERM},
    {SCMP_SYS(fchown), EPERM},         {SCMP_SYS(flock), EPERM},
    {SCMP_SYS(setpriority), EPERM},    {SCMP_SYS(getpriority), EPERM},
    {SCMP_SYS(sched_getparam), EPERM}, {SCMP_SYS(sched_getscheduler), EPERM},
};

/* Allowed for some arguments only; all others are refused by the inner filter. */
static const int by_argument[] = {
    SCMP_SYS(fcntl),
    SCMP_SYS(ioctl),
    SCMP_SYS(prctl),
    SCMP_SYS(prlimit64),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(socket),
    SCMP_SYS(setsockopt),
    SCMP_SYS(connect),
};

/* F_SETOWN and F_SETSIG are not here: they send signals to others. */
static const int fcntl_commands[] = {F_DUPFD,     F_DUPFD_CLOEXEC, F_GETFD,     F_SETFD,
                                     F_GETFL,     F_SETFL,         F_ADD_SEALS, F_GET_SEALS,
                                     F_OFD_SETLK, F_OFD_GETLK,     F_GETPIPE_SZ};

static const uint32_t ioctl_requests[] = {FIONREAD, PAGEMAP_SCAN};

/* No raw, no ICMP, no SCTP, no multipath. */
static const struct {
    int domain, type, protocol;
} socket_kinds[] = {
    {AF_INET, SOCK_STREAM, 0},  {AF_INET, SOCK_STREAM, IPPROTO_TCP},
    {AF_INET, SOCK_DGRAM, 0},   {AF_INET, SOCK_DGRAM, IPPROTO_UDP},
    {AF_INET6, SOCK_STREAM, 0}, {AF_INET6, SOCK_STREAM, IPPROTO_TCP},
    {AF_INET6, SOCK_DGRAM, 0},  {AF_INET6, SOCK_DGRAM, IPPROTO_UDP},
};
#define SOCK_TYPE_BITS 15

/* Not IPPROTO_IP: IP_FREEBIND and IP_TRANSPARENT choose addresses that are not ours. */
static const int socket_option_levels[] = {SOL_SOCKET, IPPROTO_TCP};

static int allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++) {
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    }
    return err;
}

static int allow_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp condition)
{
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &condition);
}

/* The kernel looks at the low half of an int argument only, so the filter does too. */
static struct scmp_arg_cmp int_is(unsigned arg, uint32_t value)
{
    return (struct scmp_arg_cmp){arg, SCMP_CMP_MASKED_EQ, UINT32_MAX, value};
}

/* Both filters have these. Code is mapped from files and cannot be written; processes are not
 * made, threads are. */
static int allow_guarded(scmp_filter_ctx filter)
{
    const scmp_datum_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    const scmp_datum_t never = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                               CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE |
                               CLONE_VFORK;
    const struct scmp_arg_cmp code[] = {
        {2, SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, PROT_EXEC},
        {3, SCMP_CMP_MASKED_EQ, MAP_PRIVATE | MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE},
    };
    const struct scmp_arg_cmp data = {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0};
    int err = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, code);
    err = err ? err : allow_if(filter, SCMP_SYS(mmap), data);
    err = err ? err : allow_if(filter, SCMP_SYS(mprotect), data);
    err = err ? err
              : allow_if(filter, SCMP_SYS(clone),
                         (struct scmp_arg_cmp){0, SCMP_CMP_MASKED_EQ, thread | never, thread});
    return err ? err : allow_if(filter, SCMP_SYS(tgkill), int_is(0, (uint32_t)getpid()));
}

static int allow_by_argument(scmp_filter_ctx filter, const struct host_worker_profile *profile)
{
    int err = 0;
    for (size_t i = 0; i < WM_COUNT_OF(fcntl_commands) && !err; i++) {
        err = allow_if(filter, SCMP_SYS(fcntl), int_is(1, (uint32_t)fcntl_commands[i]));
    }
    for (size_t i = 0; i < WM_COUNT_OF(ioctl_requests) && !err; i++) {
        err = allow_if(filter, SCMP_SYS(ioctl), int_is(1, ioctl_requests[i]));
    }
    err = err ? err : allow_if(filter, SCMP_SYS(prctl), int_is(0, PR_SET_NAME));
    err = err ? err : allow_if(filter, SCMP_SYS(prctl), int_is(0, PR_GET_NAME));
    /* Its own limits may be read, and a thread may choose its processors. */
    const struct scmp_arg_cmp read_own[] = {int_is(0, 0), {2, SCMP_CMP_EQ, 0, 0}};
    err = err ? err
              : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, read_own);
    err = err ? err : allow_if(filter, SCMP_SYS(sched_setaffinity), int_is(0, 0));
    if (!profile->sockets) {
        return err;
    }
    for (size_t i = 0; i < WM_COUNT_OF(socket_kinds) && !err; i++) {
        const struct scmp_arg_cmp kind[] = {
            int_is(0, (uint32_t)socket_kinds[i].domain),
            {1, SCMP_CMP_MASKED_EQ, UINT32_MAX & ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK),
             (scmp_datum_t)socket_kinds[i].type},
            int_is(2, (uint32_t)socket_kinds[i].protocol),
        };
        err = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, kind);
    }
    for (size_t i = 0; i < WM_COUNT_OF(socket_option_levels) && !err; i++) {
        err = allow_if(filter, SCMP_SYS(setsockopt), int_is(1, (uint32_t)socket_option_levels[i]));
    }
    const int connect_call = SCMP_SYS(connect);
    return err ? err : allow(filter, &connect_call, 1);
}

static bool has_folders(const struct host_worker_profile *profile)
{
    return profile->read_dir_count + profile->write_dir_count > 0;
}

/* Looking at what a descriptor is: glibc's fstat is newfstatat with an empty path. */
static int allow_folders(scmp_filter_ctx filter, const struct host_worker_profile *profile)
{
    if (has_folders(profile)) {
        return allow(filter, with_folders, WM_COUNT_OF(with_folders));
    }
    const struct scmp_arg_cmp empty = {3, SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH};
    return allow_if(filter, SCMP_SYS(newfstatat), empty);
}

static int build_outer(scmp_filter_ctx filter)
{
    int err = allow(filter, always, WM_COUNT_OF(always));
    err = err ? err : allow(filter, with_folders, WM_COUNT_OF(with_folders));
    err = err ? err : allow(filter, by_argument, WM_COUNT_OF(by_argument));
    const int more_filters = SCMP_SYS(seccomp); /* the inner one comes after, and refuses it */
    err = err ? err : allow(filter, &more_filters, 1);
    for (size_t i = 0; i < WM_COUNT_OF(refused) && !err; i++) {
        err = allow(filter, &refused[i].call, 1);
    }
    return err ? err : allow_guarded(filter);
}

static int build_inner(scmp_filter_ctx filter, const struct host_worker_profile *profile)
{
    int err = allow(filter, always, WM_COUNT_OF(always));
    err = err ? err : allow_folders(filter, profile);
    err = err ? err : allow_by_argument(filter, profile);
    for (size_t i = 0; i < WM_COUNT_OF(refused) && !err; i++) {
        /* EPERM is the default, and libseccomp takes no rule that says the same. */
        if (refused[i].error != EPERM) {
            err = seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint16_t)refused[i].error),
                                   refused[i].call, 0);
        }
    }
    return err ? err : allow_guarded(filter);
}

static int load(const struct host_worker_profile *profile, bool outer)
{
    scmp_filter_ctx filter =
        wm_fault_here(WM_FAULT_ALLOC)
            ? NULL
            : seccomp_init(outer ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM));
    if (!filter) {
        return -ENOMEM;
    }
    /* A tree instead of a list: the last call is found in 8 steps, not 120. */
    int err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    err = err ? err : outer ? build_outer(filter) : build_inner(filter, profile);
    err = err ? err : wm_fault_here(WM_FAULT_IO) ? -EIO : seccomp_load(filter);
    seccomp_release(filter);
    return err;
}

/* --- paths --- */

/* Bits of later kernels than the build machine's headers know. */
#define RIGHT_TRUNCATE (1ull << 14)  /* version 3 */
#define RIGHT_IOCTL_DEV (1ull << 15) /* version 5 */
#define NET_BIND_TCP 1ull            /* version 4 */
#define NET_CONNECT_TCP 2ull
#define SCOPE_ABSTRACT_UNIX 1ull /* version 6 */
#define SCOPE_SIGNAL 2ull
#define VERSION_FLAG 1u

#define RIGHTS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RIGHTS_WRITE                                                                              \
    (RIGHTS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | \
     LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | RIGHT_TRUNCATE)

struct ruleset { /* struct landlock_ruleset_attr, version 6 */
    uint64_t fs, net, scoped;
};

static int landlock_version(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);
}

bool host_confine_has_landlock(void)
{
    return landlock_version() >= 1;
}

static int allow_beneath(int ruleset, const int *dirs, unsigned count, uint64_t rights)
{
    for (unsigned i = 0; i < count; i++) {
        const struct landlock_path_beneath_attr beneath = {rights, dirs[i]};
        if (wm_fault_here(WM_FAULT_IO)) {
            return -EIO;
        }
        if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0) {
            return -errno;
        }
    }
    return 0;
}

static int restrict_paths(const struct host_worker_profile *profile)
{
    int version = landlock_version();
    if (version < 1) {
        return 0;
    }
    uint64_t handled = (1ull << 13) - 1;
    handled |= version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    handled |= version >= 3 ? RIGHT_TRUNCATE : 0;
    handled |= version >= 5 ? RIGHT_IOCTL_DEV : 0;
    const struct ruleset attr = {
        .fs = handled,
        .net = version >= 4 ? NET_BIND_TCP | (profile->sockets ? 0 : NET_CONNECT_TCP) : 0,
        .scoped = version >= 6 ? SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL : 0,
    };
    size_t bytes = version >= 6   ? sizeof attr
                   : version >= 4 ? offsetof(struct ruleset, scoped)
                                  : offsetof(struct ruleset, net);
    int ruleset = wm_fault_here(WM_FAULT_IO)
                      ? (errno = EIO, -1)
                      : (int)syscall(SYS_landlock_create_ruleset, &attr, bytes, 0);
    if (ruleset < 0) {
        return -errno;
    }
    int err =
        allow_beneath(ruleset, profile->read_dirs, profile->read_dir_count, RIGHTS_READ & handled);
    err = err ? err
              : allow_beneath(ruleset, profile->write_dirs, profile->write_dir_count,
                              RIGHTS_WRITE & handled);
    if (!err && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
        err = -errno;
    }
    close(ruleset);
    return err;
}

/* --- who it is --- */

static int become(const struct host_worker_profile *profile)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    if ((profile->uid || profile->gid) && setgroups(0, NULL) != 0) {
        return -errno;
    }
    if (profile->gid && setresgid(profile->gid, profile->gid, profile->gid) != 0) {
        return -errno;
    }
    if (profile->uid && setresuid(profile->uid, profile->uid, profile->uid) != 0) {
        return -errno;
    }
    return 0;
}

/* The bounding set can be emptied only by who has CAP_SETPCAP; who has not has nothing to gain from
 * it either, with no_new_privs. */
static void empty_bounding_set(void)
{
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
            return;
        }
    }
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    const struct __user_cap_data_struct none[2] = {{0}, {0}};
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
        return -errno;
    }
    return syscall(SYS_capset, &header, none) == 0 ? 0 : -errno;
}

bool host_confine_has_seccomp(void)
{
    const uint32_t action = SECCOMP_RET_KILL_PROCESS;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int host_confine_worker(const struct host_worker_profile *profile, struct wm_diag *diag)
{
    if (!host_confine_has_seccomp()) {
        return wm_diag_set(diag, WM_E_MISSING,
                           "worker: this kernel has no seccomp filters: guests would run without "
                           "confinement (CONFIG_SECCOMP_FILTER)");
    }
    const char *what = "setting its resource limits";
    int err = host_confine_limits(&profile->limits);
    if (!err) {
        what = "becoming its user";
        empty_bounding_set();
        err = become(profile);
    }
    if (!err) {
        what = "dropping capabilities";
        err = drop_capabilities();
    }
    if (!err) {
        /* After the change of user, which sets it anew. */
        what = "hiding its memory from others";
        err = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -errno;
    }
    if (!err) {
        what = "renouncing new privileges";
        err = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno;
    }
    if (!err) {
        what = "restricting paths (Landlock)";
        err = restrict_paths(profile);
    }
    if (!err) {
        what = "loading the system call filters";
        err = load(profile, true);
        err = err ? err : load(profile, false);
    }
    return err ? wm_diag_set(diag, err, "worker: %s: %s: it does not run guests unconfined", what,
                             wm_error_text(err))
               : 0;
}
