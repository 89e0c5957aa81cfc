/* confine_worker_test.c: what a worker may do works, and each other thing dies or fails; every try
 * in a process of its own. */
#include "host/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"

enum outcome { DIED_SIGSYS = 1000, DIED_OTHERWISE = 2000 };

/* Opened before, as a worker's are; the folders hold a file "f" each. */
static char folder[] = "/tmp/wm-worker-test-XXXXXX";
static int read_dir = -1, write_dir = -1, other_dir = -1, code_fd = -1, pagemap_fd = -1,
           pair[2] = {-1, -1};
static struct host_worker_profile everything = {.sockets = true}, nothing;

static int in(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mkdir(path, 0777) != 0) {
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int file = openat(fd, "f", O_WRONLY | O_CREAT, 0666);
    if (file < 0 || write(file, "abc", 3) != 3 || chmod(path, 0777) != 0) {
        return -1;
    }
    close(file);
    return fd;
}

static bool ready(void)
{
    static bool done;
    if (!done) {
        /* endbr64? no: mov $42, %eax; ret */
        static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
        done = mkdtemp(folder) != NULL && chmod(folder, 0755) == 0;
        read_dir = in("r");
        write_dir = in("w");
        other_dir = in("other");
        code_fd = memfd_create("code", MFD_CLOEXEC);
        pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        done = done && read_dir >= 0 && write_dir >= 0 && other_dir >= 0 &&
               write(code_fd, code, sizeof code) == (ssize_t)sizeof code &&
               socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;
        everything.read_dirs = &read_dir;
        everything.write_dirs = &write_dir;
        everything.read_dir_count = everything.write_dir_count = 1;
    }
    return done;
}

static int outcome_of(pid_t pid)
{
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGSYS ? DIED_SIGSYS : DIED_OTHERWISE + WTERMSIG(status);
    }
    return WEXITSTATUS(status);
}

static int confined_by(const struct host_worker_profile *profile, int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        struct wm_diag diag = WM_DIAG_INIT;
        int err = host_confine_worker(profile, &diag);
        if (err) {
            (void)!write(2, diag.text, strlen(diag.text));
        }
        _exit(err ? 199 : body());
    }
    return outcome_of(pid);
}

static int confined(int (*body)(void))
{
    return confined_by(&everything, body);
}

static int errno_of(long result)
{
    return result < 0 ? errno : 0;
}

/* --- what goes on --- */

#define STEP(condition)     \
    do {                    \
        step++;             \
        if (!(condition)) { \
            return step;    \
        }                   \
    } while (0)

static int runs_code_from_a_file(void)
{
    int step = 0;
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, code_fd, 0);
    STEP(code != MAP_FAILED);
    int (*function)(void);
    memcpy(&function, &code, sizeof function);
    STEP(function() == 42);
    return 0;
}

static int uses_memory(void)
{
    int step = 0;
    char *block = malloc(10 << 20);
    STEP(block && (block = realloc(block, 40 << 20)));
    int fd = memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    STEP(fd >= 0 && ftruncate(fd, 1 << 20) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    char *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    STEP(map != MAP_FAILED);
    STEP(mprotect(map, 4096, PROT_READ) == 0 && madvise(map, 1 << 20, MADV_DONTNEED) == 0);
    STEP(mremap(map, 1 << 20, 1 << 19, MREMAP_MAYMOVE) != MAP_FAILED);
    STEP(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    STEP(copy >= 0 && dup(fd) >= 0 && close(copy) == 0);
    char region[96] = {0};
    uint64_t size = sizeof region;
    memcpy(region, &size, sizeof size);
    STEP(pagemap_fd < 0 || ioctl(pagemap_fd, 0xc0606610u, region) >= 0 || errno != EPERM);
    return 0;
}

static void *adds(void *arg)
{
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    pthread_setname_np(pthread_self(), "executor");
    return (char *)arg + 1;
}

static volatile sig_atomic_t signals;

static void counts(int number)
{
    signals += number == SIGRTMIN;
}

static int uses_threads_timers_and_signals(void)
{
    int step = 0;
    pthread_t thread[4];
    for (size_t i = 0; i < 4; i++) {
        STEP(pthread_create(&thread[i], NULL, adds, NULL) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *result;
        STEP(pthread_join(thread[i], &result) == 0 && result == (char *)NULL + 1);
    }
    struct sigaction action = {.sa_handler = counts};
    STEP(sigaction(SIGRTMIN, &action, NULL) == 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    timer_t timer;
    STEP(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    STEP(timer_settime(timer, 0, &soon, NULL) == 0);
    for (int i = 0; i < 1000 && !signals; i++) {
        struct timespec wait = {0, 1000000};
        nanosleep(&wait, NULL);
    }
    STEP(signals == 1 && timer_delete(timer) == 0);
    STEP(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGRTMIN) == 0 && signals == 2);
    STEP(raise(SIGRTMIN) == 0 && signals == 3);
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    STEP(sigaltstack(&stack, NULL) == 0);
    cpu_set_t set;
    STEP(sched_getaffinity(0, sizeof set, &set) == 0 &&
         sched_setaffinity(0, sizeof set, &set) == 0);
    struct rlimit limit;
    STEP(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    struct timespec now;
    char random[8];
    STEP(clock_gettime(CLOCK_REALTIME, &now) == 0 && clock_getres(CLOCK_MONOTONIC, &now) == 0);
    STEP(syscall(SYS_getrandom, random, sizeof random, 0) == sizeof random);
    return 0;
}

static int talks_to_the_node(void)
{
    int step = 0, waiting = 0;
    char buffer[8];
    struct iovec iov = {(char[]){"hello"}, 5};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    STEP(sendmsg(pair[0], &message, MSG_NOSIGNAL) == 5 && writev(pair[0], &iov, 1) == 5);
    struct pollfd poller = {.fd = pair[1], .events = POLLIN};
    STEP(poll(&poller, 1, 0) == 1 && ioctl(pair[1], FIONREAD, &waiting) == 0 && waiting == 10);
    iov = (struct iovec){buffer, 5};
    STEP(recvmsg(pair[1], &message, 0) == 5 && read(pair[1], buffer, 5) == 5);
    int epoll = epoll_create1(EPOLL_CLOEXEC), event = eventfd(1, EFD_CLOEXEC);
    struct epoll_event want = {.events = EPOLLIN}, got;
    STEP(epoll >= 0 && event >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, event, &want) == 0);
    STEP(epoll_wait(epoll, &got, 1, 0) == 1);
    return 0;
}

static int open_in(int dir, const char *path, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC, .mode = flags & O_CREAT ? 0600 : 0, .resolve = RESOLVE_BENEATH};
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

static int uses_its_folders(void)
{
    int step = 0;
    struct stat st;
    char text[4096];
    int fd = open_in(read_dir, "f", O_RDONLY);
    STEP(fd >= 0 && fstat(fd, &st) == 0 && pread(fd, text, 3, 0) == 3);
    STEP(fstatat(read_dir, "f", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 3);
    STEP(syscall(SYS_getdents64, read_dir, text, sizeof text) > 0);
    fd = open_in(write_dir, "new", O_RDWR | O_CREAT | O_EXCL);
    STEP(fd >= 0 && pwrite(fd, "x", 1, 0) == 1 && ftruncate(fd, 0) == 0 && fsync(fd) == 0);
    STEP(mkdirat(write_dir, "d", 0700) == 0 && renameat(write_dir, "new", write_dir, "d/n") == 0);
    STEP(symlinkat("d/n", write_dir, "l") == 0 && readlinkat(write_dir, "l", text, 9) == 3);
    STEP(unlinkat(write_dir, "l", 0) == 0 && unlinkat(write_dir, "d/n", 0) == 0);
    STEP(unlinkat(write_dir, "d", AT_REMOVEDIR) == 0);
    return 0;
}

static int server_fd = -1;
static struct sockaddr_in server_addr;

static int connects_out(void)
{
    int step = 0, one = 1, err = 1;
    socklen_t len = sizeof err;
    struct sockaddr_in self;
    socklen_t self_len = sizeof self;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    STEP(fd >= 0 && setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one) == 0);
    STEP(connect(fd, (struct sockaddr *)&server_addr, sizeof server_addr) == 0 ||
         errno == EINPROGRESS);
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    STEP(poll(&poller, 1, 1000) == 1);
    STEP(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == 0);
    STEP(getsockname(fd, (struct sockaddr *)&self, &self_len) == 0);
    STEP(getpeername(fd, (struct sockaddr *)&self, &self_len) == 0);
    STEP(send(fd, "x", 1, MSG_NOSIGNAL) == 1 && shutdown(fd, SHUT_WR) == 0);
    STEP(socket(AF_INET6, SOCK_DGRAM, 0) >= 0 || errno == EAFNOSUPPORT);
    return 0;
}

TEST(what_a_worker_does_works)
{
    REQUIRE(ready());
    CHECK_INT(confined(runs_code_from_a_file), ==, 0);
    CHECK_INT(confined(uses_memory), ==, 0);
    CHECK_INT(confined(uses_threads_timers_and_signals), ==, 0);
    CHECK_INT(confined(talks_to_the_node), ==, 0);
    CHECK_INT(confined(uses_its_folders), ==, 0);
    CHECK_INT(confined_by(&nothing, runs_code_from_a_file), ==, 0);
    CHECK_INT(confined_by(&nothing, uses_memory), ==, 0);
    CHECK_INT(confined_by(&nothing, uses_threads_timers_and_signals), ==, 0);
    CHECK_INT(confined_by(&nothing, talks_to_the_node), ==, 0);
}

/* --- sockets --- */

static int binds(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return errno_of(bind(fd, (struct sockaddr *)&any, sizeof any));
}

static int listens(void)
{
    return errno_of(listen(socket(AF_INET, SOCK_STREAM, 0), 1)); /* needs no bind */
}

static int accepts(void)
{
    return errno_of(accept4(server_fd, NULL, NULL, SOCK_NONBLOCK));
}

static int opens_raw(void)
{
    return errno_of(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int opens_ping(void)
{
    return errno_of(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
}

static int opens_unix(void)
{
    return errno_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int opens_netlink(void)
{
    return errno_of(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int opens_packet(void)
{
    return errno_of(socket(AF_PACKET, SOCK_RAW, 0));
}

static int opens_vsock(void)
{
    return errno_of(socket(40, SOCK_STREAM, 0));
}

static int opens_multipath(void)
{
    return errno_of(socket(AF_INET, SOCK_STREAM, 262));
}

static int opens_inet(void)
{
    return errno_of(socket(AF_INET, SOCK_STREAM, 0));
}

/* The upper half of a register does not count for the kernel: it must not hide anything. */
static int opens_unix_with_high_bits(void)
{
    return errno_of(syscall(SYS_socket, (long)AF_UNIX | 1l << 40, SOCK_STREAM, 0));
}

static int chooses_its_address(void)
{
    int one = 1;
    return errno_of(setsockopt(socket(AF_INET, SOCK_STREAM, 0), IPPROTO_IP, 15 /* IP_FREEBIND */,
                               &one, sizeof one));
}

TEST(sockets_are_clients_only)
{
    socklen_t len = sizeof server_addr;
    REQUIRE(ready());
    server_addr =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    server_fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(server_fd, (struct sockaddr *)&server_addr, sizeof server_addr) == 0 &&
            listen(server_fd, 5) == 0 &&
            getsockname(server_fd, (struct sockaddr *)&server_addr, &len) == 0);
    CHECK_INT(confined(connects_out), ==, 0);
    CHECK_INT(confined(binds), ==, EPERM);
    CHECK_INT(confined(listens), ==, EPERM);
    CHECK_INT(confined(accepts), ==, EPERM);
    CHECK_INT(confined(opens_raw), ==, EPERM);
    CHECK_INT(confined(opens_ping), ==, EPERM);
    CHECK_INT(confined(opens_unix), ==, EPERM);
    CHECK_INT(confined(opens_unix_with_high_bits), ==, EPERM);
    CHECK_INT(confined(opens_netlink), ==, EPERM);
    CHECK_INT(confined(opens_packet), ==, EPERM);
    CHECK_INT(confined(opens_vsock), ==, EPERM);
    CHECK_INT(confined(opens_multipath), ==, EPERM);
    CHECK_INT(confined(chooses_its_address), ==, EPERM);
    CHECK_INT(confined_by(&nothing, opens_inet), ==, EPERM);
    close(server_fd);
}

/* --- paths --- */

static int opens_passwd(void)
{
    return errno_of(open("/etc/passwd", O_RDONLY));
}

static int opens_passwd_with_openat2(void)
{
    struct open_how how = {.flags = O_RDONLY};
    return errno_of(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how));
}

static int climbs_out_of_its_folder(void)
{
    struct open_how how = {.flags = O_RDONLY};
    return errno_of(syscall(SYS_openat2, read_dir, "../other/f", &how, sizeof how));
}

static int opens_another_folder(void)
{
    return errno_of(open_in(other_dir, "f", O_RDONLY));
}

static int writes_what_it_may_read(void)
{
    return errno_of(open_in(read_dir, "f", O_RDWR));
}

static int makes_in_what_it_may_read(void)
{
    return errno_of(mkdirat(read_dir, "d", 0700));
}

static int unlinks_elsewhere(void)
{
    return errno_of(unlinkat(other_dir, "f", 0));
}

static int makes_a_device(void)
{
    syscall(SYS_mknodat, write_dir, "dev", S_IFCHR | 0600, 0x0103);
    return 0;
}

static int looks_around(void)
{
    struct stat st;
    return errno_of(fstatat(AT_FDCWD, "/etc/passwd", &st, 0));
}

static int opens_in_a_folder(void)
{
    return errno_of(open_in(read_dir, "f", O_RDONLY));
}

static int unlinks_in_a_folder(void)
{
    return errno_of(unlinkat(write_dir, "none", 0));
}

TEST(paths_stay_beneath_the_folders)
{
    REQUIRE(ready());
    CHECK_INT(confined(opens_passwd), ==, EACCES);
    CHECK_INT(confined(makes_a_device), ==, DIED_SIGSYS);
    CHECK_INT(confined_by(&nothing, opens_in_a_folder), ==, EPERM);
    CHECK_INT(confined_by(&nothing, unlinks_in_a_folder), ==, EPERM);
    CHECK_INT(confined_by(&nothing, looks_around), ==, EPERM);
    if (!host_confine_has_landlock()) {
        SKIP("this kernel has no Landlock");
    }
    CHECK_INT(confined(opens_passwd_with_openat2), ==, EACCES);
    CHECK_INT(confined(climbs_out_of_its_folder), ==, EACCES);
    CHECK_INT(confined(opens_another_folder), ==, EACCES);
    CHECK_INT(confined(writes_what_it_may_read), ==, EACCES);
    CHECK_INT(confined(makes_in_what_it_may_read), ==, EACCES);
    CHECK_INT(confined(unlinks_elsewhere), ==, EACCES);
}

/* --- taken over --- */

static int forks(void)
{
    return errno_of(fork());
}

static int clones_into_namespaces(void)
{
    return errno_of(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

static int clones_anew(void)
{
    char args[88] = {0};
    return errno_of(syscall(SYS_clone3, args, sizeof args));
}

static int vforks(void)
{
    return errno_of(syscall(SYS_vfork));
}

static int executes(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return 0;
}

static int executes_a_descriptor(void)
{
    syscall(SYS_execveat, code_fd, "", NULL, NULL, AT_EMPTY_PATH);
    return 0;
}

static int maps_anonymous_code(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return 0;
}

static int maps_writable_code(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, code_fd, 0);
    return 0;
}

static int maps_shared_code(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, code_fd, 0);
    return 0;
}

static int makes_executable(void)
{
    static char page[8192];
    mprotect((void *)(((size_t)page + 4095) & ~(size_t)4095), 4096, PROT_READ | PROT_EXEC);
    return 0;
}

static int makes_executable_by_key(void)
{
    syscall(SYS_pkey_mprotect, 0, 4096, PROT_EXEC, -1);
    return 0;
}

static int kills_its_parent(void)
{
    kill(getppid(), 0);
    return 0;
}

static int signals_another_thread_group(void)
{
    syscall(SYS_tgkill, getppid(), getppid(), 0);
    return 0;
}

static int signals_with_data(void)
{
    sigqueue(getppid(), SIGRTMIN, (union sigval){0});
    return 0;
}

static int signals_through_a_socket(void)
{
    return errno_of(fcntl(pair[0], F_SETOWN, getppid()));
}

static int signals_through_an_ioctl(void)
{
    pid_t pid = getppid();
    return errno_of(ioctl(pair[0], 0x8901 /* FIOSETOWN */, &pid));
}

static int types_into_the_terminal(void)
{
    return errno_of(ioctl(0, 0x5412 /* TIOCSTI */, "x"));
}

static int traces(void)
{
    ptrace(PTRACE_ATTACH, getppid(), 0, 0);
    return 0;
}

static int reads_its_parent(void)
{
    struct iovec iov = {0};
    syscall(SYS_process_vm_readv, getppid(), &iov, 1, &iov, 1, 0);
    return 0;
}

static int mounts(void)
{
    mount("none", "/tmp", "tmpfs", 0, NULL);
    return 0;
}

static int unshares(void)
{
    unshare(CLONE_NEWUSER);
    return 0;
}

static int enters_a_namespace(void)
{
    setns(code_fd, CLONE_NEWNET);
    return 0;
}

static int changes_root(void)
{
    (void)!chroot("/tmp");
    return 0;
}

static int uses_keys(void)
{
    syscall(SYS_keyctl, 0, -1, 0);
    return 0;
}

static int uses_bpf(void)
{
    syscall(SYS_bpf, 0, NULL, 0);
    return 0;
}

static int uses_io_uring(void)
{
    syscall(SYS_io_uring_setup, 1, NULL);
    return 0;
}

static int uses_userfaultfd(void)
{
    syscall(SYS_userfaultfd, 0);
    return 0;
}

static int uses_perf(void)
{
    syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);
    return 0;
}

static int opens_a_process(void)
{
    syscall(SYS_pidfd_open, getppid(), 0);
    return 0;
}

static int takes_a_descriptor(void)
{
    syscall(SYS_pidfd_getfd, 3, 0, 0);
    return 0;
}

static int becomes_root(void)
{
    (void)!setuid(0);
    return 0;
}

static int becomes_dumpable(void)
{
    return errno_of(prctl(PR_SET_DUMPABLE, 1));
}

static int raises_its_limits(void)
{
    const struct rlimit limit = {1, 1};
    return errno_of(setrlimit(RLIMIT_NOFILE, &limit));
}

static int limits_its_parent(void)
{
    struct rlimit limit;
    return errno_of(prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit));
}

static int loads_a_filter(void)
{
    return errno_of(syscall(SYS_seccomp, 1, 0, NULL));
}

static int uses_the_other_abi(void)
{
    syscall(0x40000000 | SYS_getpid); /* x32 */
    return 0;
}

/* `int $0x80`: execve has number 11 there, and getpid's number is another's. */
static int uses_the_32_bit_abi(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
    return 0;
}

static int is_harmless(void)
{
    char name[16];
    return errno_of(prctl(PR_GET_NAME, name));
}

TEST(whoever_takes_it_over_gains_nothing)
{
    static const struct {
        int (*body)(void);
        int expected;
        const char *name;
    } tries[] = {
#define TRY(body, expected) {body, expected, #body}
        TRY(forks, DIED_SIGSYS),
        TRY(clones_into_namespaces, DIED_SIGSYS),
        TRY(clones_anew, ENOSYS),
        TRY(vforks, DIED_SIGSYS),
        TRY(executes, DIED_SIGSYS),
        TRY(executes_a_descriptor, DIED_SIGSYS),
        TRY(maps_anonymous_code, DIED_SIGSYS),
        TRY(maps_writable_code, DIED_SIGSYS),
        TRY(maps_shared_code, DIED_SIGSYS),
        TRY(makes_executable, DIED_SIGSYS),
        TRY(makes_executable_by_key, DIED_SIGSYS),
        TRY(kills_its_parent, DIED_SIGSYS),
        TRY(signals_another_thread_group, DIED_SIGSYS),
        TRY(signals_with_data, DIED_SIGSYS),
        TRY(signals_through_a_socket, EPERM),
        TRY(signals_through_an_ioctl, EPERM),
        TRY(types_into_the_terminal, EPERM),
        TRY(traces, DIED_SIGSYS),
        TRY(reads_its_parent, DIED_SIGSYS),
        TRY(mounts, DIED_SIGSYS),
        TRY(unshares, DIED_SIGSYS),
        TRY(enters_a_namespace, DIED_SIGSYS),
        TRY(changes_root, DIED_SIGSYS),
        TRY(uses_keys, DIED_SIGSYS),
        TRY(uses_bpf, DIED_SIGSYS),
        TRY(uses_io_uring, DIED_SIGSYS),
        TRY(uses_userfaultfd, DIED_SIGSYS),
        TRY(uses_perf, DIED_SIGSYS),
        TRY(opens_a_process, DIED_SIGSYS),
        TRY(takes_a_descriptor, DIED_SIGSYS),
        TRY(becomes_root, DIED_SIGSYS),
        TRY(becomes_dumpable, EPERM),
        TRY(raises_its_limits, EPERM),
        TRY(limits_its_parent, EPERM),
        TRY(loads_a_filter, EPERM),
        TRY(uses_the_other_abi, DIED_SIGSYS),
        TRY(uses_the_32_bit_abi, DIED_SIGSYS),
        TRY(is_harmless, 0),
    };
    REQUIRE(ready());
    for (size_t i = 0; i < WM_COUNT_OF(tries); i++) {
        int outcome = confined(tries[i].body);
        CHECK_INT(outcome, ==, tries[i].expected);
        if (outcome != tries[i].expected) {
            wm_test_note("%s", tries[i].name);
        }
    }
}

/* --- who it is --- */

static int sleeps(void)
{
    char byte;
    (void)!read(pair[0], &byte, 1); /* until it is killed */
    return 0;
}

static const char *status_line(pid_t pid, const char *key)
{
    static char line[256];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        found = strncmp(line, key, strlen(key)) == 0;
    }
    if (file) {
        fclose(file);
    }
    return found ? line + strlen(key) : "";
}

TEST(it_is_nobody_and_has_no_capabilities)
{
    REQUIRE(ready());
    struct host_worker_profile profile = everything;
    bool root = geteuid() == 0;
    profile.uid = root ? 65534 : 0;
    profile.gid = root ? 65533 : 0;
    profile.limits.open_files = 100;
    pid_t pid = fork();
    if (pid == 0) {
        struct wm_diag diag = WM_DIAG_INIT;
        _exit(host_confine_worker(&profile, &diag) ? 1 : sleeps());
    }
    for (int i = 0; i < 1000 && strncmp(status_line(pid, "Seccomp_filters:\t"), "2", 1) != 0; i++) {
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    CHECK_STR(status_line(pid, "CapEff:\t"), "0000000000000000\n");
    CHECK_STR(status_line(pid, "CapPrm:\t"), "0000000000000000\n");
    CHECK_STR(status_line(pid, "CapInh:\t"), "0000000000000000\n");
    CHECK_STR(status_line(pid, "CapAmb:\t"), "0000000000000000\n");
    CHECK_STR(status_line(pid, "NoNewPrivs:\t"), "1\n");
    CHECK_STR(status_line(pid, "Seccomp:\t"), "2\n");
    if (root) {
        CHECK_STR(status_line(pid, "CapBnd:\t"), "0000000000000000\n");
        CHECK_STR(status_line(pid, "Uid:\t"), "65534\t65534\t65534\t65534\n");
        CHECK_STR(status_line(pid, "Gid:\t"), "65533\t65533\t65533\t65533\n");
        CHECK_STR(status_line(pid, "Groups:\t"), " \n");
    }
    /* Not dumpable: its files in /proc are root's. */
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    CHECK(stat(path, &st) == 0 && st.st_uid == 0);
    kill(pid, SIGKILL);
    CHECK_INT(outcome_of(pid), ==, DIED_OTHERWISE + SIGKILL);
}

static int opens_many(void)
{
    int fd, last = 0;
    while ((fd = dup(pair[0])) >= 0) {
        last = fd;
    }
    return last;
}

TEST(limits_apply)
{
    REQUIRE(ready());
    struct host_worker_profile profile = nothing;
    profile.limits.open_files = 40;
    CHECK_INT(confined_by(&profile, opens_many), ==, 39);
}

static int fails_everywhere(void)
{
    /* In a child, since each round confines it a little. */
    int rounds = 0;
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        for (uint64_t n = 1; n < 40; n++) {
            pid_t pid = fork();
            if (pid == 0) {
                struct wm_diag diag = WM_DIAG_INIT;
                wm_fault_arm((enum wm_fault_kind)kind, n);
                int err = host_confine_worker(&everything, &diag);
                bool fired = wm_fault_fired((enum wm_fault_kind)kind);
                _exit(fired ? (err && diag.text[0] ? 1 : 3) : err ? 3 : 2);
            }
            int outcome = outcome_of(pid);
            if (outcome == 2) {
                rounds++;
                break;
            }
            if (outcome != 1) {
                return -1;
            }
        }
    }
    return rounds;
}

TEST(no_failure_leaves_it_unconfined_in_silence)
{
    REQUIRE(ready());
    CHECK_INT(fails_everywhere(), ==, WM_FAULT_KINDS);
}

TEST(the_folder_is_removed)
{
    static const char *const names[] = {"r", "w", "other"};
    int dirs[] = {read_dir, write_dir, other_dir};
    char path[256];
    REQUIRE(ready());
    for (int i = 0; i < 3; i++) {
        CHECK(unlinkat(dirs[i], "f", 0) == 0); /* still there, all three */
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        CHECK(rmdir(path) == 0);
    }
    CHECK(rmdir(folder) == 0);
}

TEST_MAIN(TEST_CASE(what_a_worker_does_works), TEST_CASE(sockets_are_clients_only),
          TEST_CASE(paths_stay_beneath_the_folders), TEST_CASE(whoever_takes_it_over_gains_nothing),
          TEST_CASE(it_is_nobody_and_has_no_capabilities), TEST_CASE(limits_apply),
          TEST_CASE(no_failure_leaves_it_unconfined_in_silence), TEST_CASE(the_folder_is_removed))
