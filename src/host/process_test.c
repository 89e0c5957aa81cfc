/* process_test.c: children get the files that they are given, and are seen to their end. */
#include "host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"

/* Runs a shell line with `fds`; the shell's end. */
static int run(const char *line, const int *fds, int count, struct host_process_end *end)
{
    char shell[] = "sh", option[] = "-c", text[256];
    char *argv[] = {shell, option, text, NULL}, *envp[] = {NULL};
    struct host_spawn spawn = {.path = "/bin/sh", .argv = argv, .envp = envp, .fd_count = count};
    struct host_process process;
    strncpy(text, line, sizeof text - 1);
    text[sizeof text - 1] = 0;
    memcpy(spawn.fds, fds, (size_t)count * sizeof *fds);
    int err = host_process_spawn(&spawn, &process);
    return err ? err : host_process_reap(&process, end);
}

TEST(files_arrive_in_their_order)
{
    struct host_process_end end;
    int a = memfd_create("a", MFD_CLOEXEC), b = memfd_create("b", MFD_CLOEXEC);
    REQUIRE(a >= 0 && b >= 0);
    REQUIRE(write(a, "from a", 6) == 6 && lseek(a, 0, SEEK_SET) == 0);
    /* The same file twice, and numbers that are each other's targets. */
    int low_a = dup2(a, 1 + 2), low_b = dup2(b, 2 + 2);
    const int fds[] = {low_a, low_b, low_b, low_b};
    CHECK_INT(run("cat; echo >&3 three; test ! -e /proc/self/fd/4", fds, 4, &end), ==, 0);
    CHECK_INT(end.kind, ==, HOST_END_EXITED);
    CHECK_INT(end.status, ==, 0);
    char text[32] = {0};
    CHECK_INT(pread(b, text, sizeof text - 1, 0), ==, 12);
    CHECK_STR(text, "from athree\n");
    close(a);
    close(b);
    close(low_a);
    close(low_b);
}

TEST(ends_are_told_apart)
{
    struct host_process_end end;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int fds[] = {null, null, null};
    REQUIRE(null >= 0);
    CHECK_INT(run("exit 7", fds, 3, &end), ==, 0);
    CHECK_INT(end.kind, ==, HOST_END_EXITED);
    CHECK_INT(end.status, ==, 7);
    CHECK_INT(run("kill -SEGV $$", fds, 3, &end), ==, 0);
    CHECK_INT(end.kind, ==, HOST_END_SIGNALLED);
    CHECK_INT(end.status, ==, SIGSEGV);
    CHECK_STR(host_signal_name(end.status), "SIGSEGV");
    CHECK(end.peak_bytes > 0);
    close(null);
}

TEST(a_program_that_is_not_there_is_an_error)
{
    char name[] = "none";
    char *argv[] = {name, NULL}, *envp[] = {NULL};
    const struct host_spawn spawn = {.path = "/nowhere/none", .argv = argv, .envp = envp};
    struct host_process process;
    CHECK_INT(host_process_spawn(&spawn, &process), ==, -ENOENT);
}

TEST(poll_sees_output_and_kill_ends)
{
    int ends[2];
    char shell[] = "sh", option[] = "-c", text[] = "echo ready; exec sleep 100";
    char *argv[] = {shell, option, text, NULL}, *envp[] = {NULL};
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const struct host_spawn spawn = {
        .path = "/bin/sh", .argv = argv, .envp = envp, .fd_count = 2, .fds = {ends[0], ends[1]}};
    struct host_process process;
    struct host_process_end end;
    bool ended = false, readable;
    REQUIRE(host_process_spawn(&spawn, &process) == 0);
    close(ends[1]);
    do {
        REQUIRE(host_process_poll(&process, 1, ends[0], 5000, &ended, &readable) == 0);
    } while (!ended && !readable);
    CHECK(readable && !ended);
    char line[16];
    CHECK_INT(read(ends[0], line, sizeof line), ==, 6);
    CHECK_INT(host_process_poll(&process, 1, -1, 1, &ended, &readable), ==, 0);
    CHECK(!ended && !readable);
    host_process_kill(&process);
    CHECK_INT(host_process_reap(&process, &end), ==, 0);
    CHECK_INT(end.kind, ==, HOST_END_SIGNALLED);
    CHECK_INT(end.status, ==, SIGKILL);
    close(ends[0]);
}

TEST(spawning_survives_every_failure)
{
    struct host_process_end end;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int fds[] = {null, null, null};
    REQUIRE(null >= 0);
    int before = dup(null);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        int err = run("exit 0", fds, 3, &end);
        CHECK(wm_fault_fired(WM_FAULT_IO) ? err < 0 : err == 0);
    }
    int after = dup(null);
    CHECK_INT(after, ==, before + 1); /* no descriptor was lost */
    close(before);
    close(after);
    close(null);
}

TEST_MAIN(TEST_CASE(files_arrive_in_their_order), TEST_CASE(ends_are_told_apart),
          TEST_CASE(a_program_that_is_not_there_is_an_error),
          TEST_CASE(poll_sees_output_and_kill_ends), TEST_CASE(spawning_survives_every_failure))
