/* confine_test.c: each forbidden thing, tried by a process of its own that confined itself first.
 */
#include "host/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/test.h"

enum outcome { DIED_SIGSYS = 1000, DIED_OTHERWISE = 2000 };

/* Runs `body` in a confined child: its return value, or how it died. */
static int confined(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        int err = host_confine_compute();
        _exit(err ? 99 : body());
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGSYS ? DIED_SIGSYS : DIED_OTHERWISE + WTERMSIG(status);
    }
    return WEXITSTATUS(status);
}

static int errno_of(long result)
{
    return result < 0 ? errno : 0;
}

static int computes(void)
{
    char *block = malloc(10 << 20);
    if (!block) {
        return 1;
    }
    memset(block, 1, 10 << 20);
    block = realloc(block, 40 << 20);
    void *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct timespec now;
    struct stat st;
    bool ok = block && map != MAP_FAILED && clock_gettime(CLOCK_MONOTONIC, &now) == 0 &&
              fstat(2, &st) == 0 && munmap(map, 1 << 20) == 0;
    return ok ? 0 : 1;
}

static int aborts(void)
{
    abort();
}

static int opens(void)
{
    return errno_of(open("/etc/passwd", O_RDONLY));
}

static int creates(void)
{
    return errno_of(open("/tmp/wm-confine-escape", O_WRONLY | O_CREAT, 0600));
}

static int looks_at_a_terminal(void)
{
    return isatty(2) ? 1 : errno;
}

static int maps_executable(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return 0;
}

static int makes_executable(void)
{
    static char page[8192];
    mprotect((void *)(((size_t)page + 4095) & ~(size_t)4095), 4096, PROT_READ | PROT_EXEC);
    return 0;
}

static int executes(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return 0;
}

static int forks(void)
{
    return fork() == 0 ? 0 : 0;
}

static int connects(void)
{
    socket(AF_INET, SOCK_STREAM, 0);
    return 0;
}

static int traces(void)
{
    ptrace(PTRACE_ATTACH, getppid(), 0, 0);
    return 0;
}

static int kills_its_parent(void)
{
    kill(getppid(), SIGTERM);
    return 0;
}

static int signals_another_thread_group(void)
{
    syscall(SYS_tgkill, getppid(), getppid(), 0);
    return 0;
}

static int unlinks(void)
{
    unlink("/tmp/wm-confine-none");
    return 0;
}

static int makes_a_memory_file(void)
{
    syscall(SYS_memfd_create, "x", 0);
    return 0;
}

static int uses_io_uring(void)
{
    syscall(425 /* io_uring_setup */, 1, NULL);
    return 0;
}

TEST(computing_goes_on)
{
    CHECK_INT(confined(computes), ==, 0);
    CHECK_INT(confined(aborts), ==, DIED_OTHERWISE + SIGABRT);
}

TEST(habits_of_libraries_fail_softly)
{
    CHECK_INT(confined(opens), ==, EACCES);
    CHECK_INT(confined(creates), ==, EACCES);
    CHECK_INT(confined(looks_at_a_terminal), ==, ENOTTY);
    CHECK(access("/tmp/wm-confine-escape", F_OK) != 0);
}

TEST(everything_else_ends_the_process)
{
    CHECK_INT(confined(maps_executable), ==, DIED_SIGSYS);
    CHECK_INT(confined(makes_executable), ==, DIED_SIGSYS);
    CHECK_INT(confined(executes), ==, DIED_SIGSYS);
    CHECK_INT(confined(forks), ==, DIED_SIGSYS);
    CHECK_INT(confined(connects), ==, DIED_SIGSYS);
    CHECK_INT(confined(traces), ==, DIED_SIGSYS);
    CHECK_INT(confined(kills_its_parent), ==, DIED_SIGSYS);
    CHECK_INT(confined(signals_another_thread_group), ==, DIED_SIGSYS);
    CHECK_INT(confined(unlinks), ==, DIED_SIGSYS);
    CHECK_INT(confined(makes_a_memory_file), ==, DIED_SIGSYS);
    CHECK_INT(confined(uses_io_uring), ==, DIED_SIGSYS);
}

/* Limits cannot be raised again, so these too run in children. */
static int limited(const struct host_limits *limits, int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        int err = host_confine_limits(limits);
        _exit(err ? 99 : body());
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    return WIFSIGNALED(status) ? DIED_OTHERWISE + WTERMSIG(status) : WEXITSTATUS(status);
}

static int takes_memory(void)
{
    void *block = mmap(NULL, 1 << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? errno : 0;
}

static int burns_time(void)
{
    for (volatile unsigned i = 0;; i++) {
    }
    return 0;
}

static int writes_much(void)
{
    char page[4096] = {0};
    int fd = memfd_create("x", 0);
    for (int i = 0; i < 100; i++) {
        if (write(fd, page, sizeof page) < 0) {
            return errno;
        }
    }
    return 0;
}

TEST(limits_hold)
{
    const struct host_limits memory = {.memory_bytes = 512 << 20}, time = {.cpu_seconds = 1},
                             file = {.file_bytes = 40960}, none = {.stack_bytes = 1 << 20};
    CHECK_INT(limited(&memory, takes_memory), ==, ENOMEM);
    CHECK_INT(limited(&none, takes_memory), ==, 0);
    CHECK_INT(limited(&time, burns_time), ==, DIED_OTHERWISE + SIGXCPU);
    CHECK_INT(limited(&file, writes_much), ==, DIED_OTHERWISE + SIGXFSZ);
}

TEST_MAIN(TEST_CASE(computing_goes_on), TEST_CASE(habits_of_libraries_fail_softly),
          TEST_CASE(everything_else_ends_the_process), TEST_CASE(limits_hold))
