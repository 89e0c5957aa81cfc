/* Streams, sockets, clocks and waiting on this machine. */
#include "port/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "libos/poll.h"
#include "port/machine.h"

static struct libos os;

static int64_t put(struct libos_file *file, const void *bytes, size_t len)
{
    struct libos_iov iov = {(void *)bytes, len};
    return libos_file_write(file, &iov, 1);
}

static int64_t take(struct libos_file *file, void *bytes, size_t len)
{
    struct libos_iov iov = {bytes, len};
    return libos_file_read(file, &iov, 1);
}

/* A host pipe with one end shared as a file. */
static struct libos_file *share(int fd, uint32_t flags)
{
    struct libos_file *file = NULL;
    int rc = port_file_share(&os, fd, flags, &file);
    if (rc != 0) {
        wm_test_note("share: %s", wm_error_text(rc));
    }
    return file;
}

static uint64_t now_ns(void)
{
    uint64_t ns = 0;
    return libos_clock_read(&os, LIBOS_CLOCK_MONOTONIC, &ns) == 0 ? ns : 0;
}

/* Interruption as the engine does it: a signal every two milliseconds, without SA_RESTART. */
static atomic_bool asked;

static void on_alarm(int number)
{
    (void)number;
    atomic_store(&asked, true);
}

static bool is_asked(void *arg)
{
    (void)arg;
    return atomic_load(&asked);
}

static void interrupt_in(unsigned ms)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {.it_interval = {0, 2000}, .it_value = {0, (int)ms * 1000}};
    atomic_store(&asked, false);
    os.interrupted = is_asked;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void no_more_interrupts(void)
{
    struct itimerval timer = {0};
    setitimer(ITIMER_REAL, &timer, NULL);
    os.interrupted = NULL;
}

TEST(machine_gives_time_and_randomness)
{
    uint64_t ns, again;
    uint8_t a[300], b[300] = {0};
    libos_init(&os, port_machine());
    for (unsigned clock = 0; clock < LIBOS_CLOCKS; clock++) {
        CHECK_INT(libos_clock_read(&os, clock, &ns), ==, 0);
        CHECK_INT(libos_clock_read(&os, clock, &again), ==, 0);
        CHECK(again >= ns);
        CHECK_INT(libos_clock_resolution(&os, clock, &ns), ==, 0);
        CHECK_INT(ns, >, 0);
    }
    CHECK(libos_now(&os) > INT64_C(1600000000) * 1000000000);
    CHECK_INT(libos_random(&os, a, sizeof a), ==, 0);
    CHECK_INT(libos_random(&os, b, sizeof b), ==, 0);
    CHECK(memcmp(a, b, sizeof a) != 0);
    unsigned zeroes = 0;
    for (size_t i = 250; i < 300; i++) {
        zeroes += a[i] == 0;
    }
    CHECK_INT(zeroes, <, 10);
    ns = now_ns();
    CHECK_INT(libos_poll(&os, NULL, 0, ns + 3000000), ==, 0);
    CHECK(now_ns() - ns >= 3000000);
}

TEST(pipes_of_the_host)
{
    int fds[2];
    char text[8] = "";
    libos_init(&os, port_machine());
    REQUIRE(pipe(fds) == 0);
    struct libos_file *in = share(fds[0], LIBOS_READ), *out = share(fds[1], LIBOS_WRITE);
    REQUIRE(in && out);
    CHECK_INT(in->kind, ==, LIBOS_KIND_PIPE);
    CHECK(!in->terminal);
    CHECK_INT(put(out, "hello", 5), ==, 5);
    CHECK_INT(libos_file_readable_bytes(in), ==, 5);
    CHECK_INT(take(in, text, 3), ==, 3);
    CHECK_INT(take(in, text + 3, 5), ==, 2);
    CHECK_STR(text, "hello");
    CHECK_INT(put(in, "x", 1), ==, -LIBOS_EBADF);
    CHECK_INT(libos_file_set_flags(in, LIBOS_NONBLOCK), ==, 0);
    CHECK_INT(take(in, text, 1), ==, -LIBOS_EAGAIN);
    CHECK_INT(fcntl(fds[0], F_GETFL) & O_NONBLOCK, ==,
              0); /* the others' description is untouched */
    struct libos_poll_item item = {in, LIBOS_POLL_IN, 0, 0};
    CHECK_INT(libos_poll(&os, &item, 1, LIBOS_AT_ONCE), ==, 0);
    /* The far end goes: end of file here, EPIPE there, and no signal. */
    libos_file_put(out);
    close(fds[1]);
    CHECK_INT(libos_poll(&os, &item, 1, LIBOS_NEVER), ==, 1);
    CHECK(item.ready & LIBOS_POLL_HUP);
    CHECK_INT(take(in, text, 1), ==, 0);
    libos_file_put(in);
    close(fds[0]);
    REQUIRE(pipe(fds) == 0);
    out = share(fds[1], LIBOS_WRITE);
    close(fds[0]);
    CHECK_INT(put(out, "x", 1), ==, -LIBOS_EPIPE);
    libos_file_put(out);
    close(fds[1]);
    struct libos_file *none;
    CHECK_INT(port_file_share(&os, fds[1], LIBOS_READ, &none), ==, -LIBOS_EBADF);
}

static void *drain(void *arg)
{
    static char block[5000];
    int fd = *(int *)arg;
    uint64_t total = 0, sum = 0;
    ssize_t len;
    while ((len = read(fd, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < len; i++) {
            sum += (uint64_t)(uint8_t)block[i] * (total + (uint64_t)i + 1);
        }
        total += (uint64_t)len;
    }
    return (void *)(uintptr_t)sum;
}

/* More than the pipe holds, in many pieces: all of it arrives, in order. */
static int connect_to(const char *address)
{
    struct sockaddr_in where = {.sin_family = AF_INET};
    const char *colon = strrchr(address, ':');
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    where.sin_port = htons((uint16_t)atoi(colon + 1));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&where, sizeof where) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* A program with a handler for SIGPIPE is told of standard streams, pipes and sockets alike. */
TEST(who_handles_sigpipe_gets_it_of_streams_from_outside)
{
    struct sigaction action = {.sa_handler = count_signal}, old;
    int fds[2];
    libos_init(&os, port_machine());
    REQUIRE(sigaction(SIGPIPE, &action, &old) == 0);
    CHECK(old.sa_handler == SIG_IGN);
    for (int i = 0; i < 2; i++) {
        REQUIRE((i ? socketpair(AF_UNIX, SOCK_STREAM, 0, fds) : pipe(fds)) == 0);
        struct libos_file *out = share(fds[1], LIBOS_WRITE);
        close(fds[0]);
        CHECK_INT(put(out, "x", 1), ==, -LIBOS_EPIPE);
        CHECK_INT(signals, ==, i + 1);
        libos_file_put(out);
        close(fds[1]);
    }
    /* Not so of what the guest opened itself. */
    char address[64];
    struct libos_file *listener, *connection;
    REQUIRE(port_listen(&os, "127.0.0.1:0", &listener, NULL) == 0);
    REQUIRE(port_listen_address(listener, address, sizeof address) == 0);
    int peer = connect_to(address);
    REQUIRE(peer >= 0 && libos_accept(listener, 0, &connection) == 0);
    CHECK_INT(libos_shutdown(connection, false, true), ==, 0);
    CHECK_INT(put(connection, "x", 1), ==, -LIBOS_EPIPE);
    CHECK_INT(signals, ==, 2);
    close(peer);
    libos_file_put(connection);
    libos_file_put(listener);
    sigaction(SIGPIPE, &old, NULL);
}

TEST(large_write_goes_through)
{
    static uint8_t block[300000];
    int fds[2];
    pthread_t thread;
    void *sum;
    uint64_t expected = 0;
    libos_init(&os, port_machine());
    REQUIRE(pipe(fds) == 0);
    struct libos_file *out = share(fds[1], LIBOS_WRITE);
    REQUIRE(out && pthread_create(&thread, NULL, drain, &fds[0]) == 0);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = (uint8_t)(i * 31 >> 3);
        expected += (uint64_t)block[i] * (i + 1);
    }
    struct libos_iov iov[3] = {
        {block, 100}, {block + 100, 200000}, {block + 200100, sizeof block - 200100}};
    CHECK_INT(libos_file_write(out, iov, 3), ==, sizeof block);
    libos_file_put(out);
    close(fds[1]);
    pthread_join(thread, &sum);
    CHECK((uintptr_t)sum == expected);
    close(fds[0]);
}

TEST(waiting_is_interrupted)
{
    int fds[2];
    char byte;
    static uint8_t block[200000];
    libos_init(&os, port_machine());
    REQUIRE(pipe(fds) == 0);
    struct libos_file *in = share(fds[0], LIBOS_READ), *out = share(fds[1], LIBOS_WRITE);
    struct libos_file *listener = NULL;
    struct libos_file *connection;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(in && out && port_listen(&os, "127.0.0.1:0", &listener, &diag) == 0);
    for (int i = 0; i < 4; i++) {
        uint64_t start = now_ns();
        int64_t rc = 0;
        interrupt_in(5);
        switch (i) {
        case 0: rc = take(in, &byte, 1); break;
        case 1: rc = libos_poll(&os, NULL, 0, LIBOS_NEVER); break;
        case 2: rc = libos_accept(listener, 0, &connection); break;
        default:
            rc = put(out, block,
                     sizeof block); /* what fits is reported, the rest is not waited for */
            CHECK_INT(rc, >, 0);
            CHECK_INT(rc, <, sizeof block);
            rc = -LIBOS_EINTR;
        }
        no_more_interrupts();
        CHECK_INT(rc, ==, -LIBOS_EINTR);
        CHECK(now_ns() - start >= 4000000);
        CHECK(now_ns() - start < UINT64_C(1000000000));
    }
    libos_file_put(listener);
    libos_file_put(in);
    libos_file_put(out);
    close(fds[0]);
    close(fds[1]);
}

/* A signal that nobody means as an end is waited through. */
TEST(other_signals_do_not_end_a_wait)
{
    libos_init(&os, port_machine());
    interrupt_in(1);
    os.interrupted = NULL;
    uint64_t start = now_ns();
    CHECK_INT(libos_poll(&os, NULL, 0, start + 10000000), ==, 0);
    CHECK(now_ns() - start >= 10000000);
    no_more_interrupts();
}

TEST(listener_and_connection)
{
    struct libos_file *listener, *connection;
    struct wm_diag diag = WM_DIAG_INIT;
    char address[64], text[16] = "";
    bool truncated;
    struct libos_iov iov = {text, sizeof text - 1};
    libos_init(&os, port_machine());
    REQUIRE(port_listen(&os, "127.0.0.1:0", &listener, &diag) == 0);
    REQUIRE(port_listen_address(listener, address, sizeof address) == 0);
    CHECK(strncmp(address, "127.0.0.1:", 10) == 0 && strcmp(address, "127.0.0.1:0") != 0);
    CHECK_INT(port_listen_address(listener, address, 4), ==, -LIBOS_ENAMETOOLONG);
    REQUIRE(port_listen_address(listener, address, sizeof address) == 0);
    CHECK_INT(libos_file_set_flags(listener, LIBOS_NONBLOCK), ==, 0);
    CHECK_INT(libos_accept(listener, 0, &connection), ==, -LIBOS_EAGAIN);
    CHECK_INT(take(listener, text, 1), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_recv(listener, &iov, 1, 0, &truncated), ==, -LIBOS_ENOTCONN);
    int peer = connect_to(address);
    REQUIRE(peer >= 0);
    struct libos_poll_item item = {listener, LIBOS_POLL_IN, 0, 0};
    CHECK_INT(libos_poll(&os, &item, 1, LIBOS_NEVER), ==, 1);
    REQUIRE(libos_accept(listener, 0, &connection) == 0);
    CHECK_INT(connection->kind, ==, LIBOS_KIND_SOCKET_STREAM);
    CHECK_INT(write(peer, "ping", 4), ==, 4);
    CHECK_INT(libos_recv(connection, &iov, 1, LIBOS_RECV_PEEK, &truncated), ==, 4);
    struct libos_iov parts[2] = {{text, 2}, {text + 2, 2}};
    CHECK_INT(libos_recv(connection, parts, 2, LIBOS_RECV_ALL, &truncated), ==, 4);
    CHECK_STR(text, "ping");
    CHECK_INT(put(connection, "pong", 4), ==, 4);
    CHECK_INT(libos_send(connection, parts, 2), ==, 4);
    CHECK_INT(read(peer, text, 8), ==, 8);
    CHECK(memcmp(text, "pongping", 8) == 0);
    CHECK_INT(libos_shutdown(connection, false, false), ==, -LIBOS_EINVAL);
    CHECK_INT(libos_shutdown(connection, false, true), ==, 0);
    CHECK_INT(read(peer, text, 1), ==, 0);
    CHECK_INT(put(connection, "x", 1), ==, -LIBOS_EPIPE);
    close(peer);
    CHECK_INT(take(connection, text, 1), ==, 0);
    libos_file_put(connection);
    libos_file_put(listener);
}

TEST(addresses_are_checked)
{
    static const char *const wrong[] = {
        "",           "80",         "127.0.0.1", "127.0.0.1:",  ":80",
        "::1:80",     "[::1:80",    "[::1]80",   "host:80",     "1.2.3.4:65536",
        "1.2.3.4:-1", "1.2.3.4:8x", "1.2.3:80",  "[1.2.3.4]:80"};
    struct libos_file *listener;
    libos_init(&os, port_machine());
    for (size_t i = 0; i < WM_COUNT_OF(wrong); i++) {
        struct wm_diag diag = WM_DIAG_INIT;
        CHECK_INT(port_listen(&os, wrong[i], &listener, &diag), ==, WM_E_USAGE);
        CHECK(strstr(wm_diag_text(&diag), "not an address"));
    }
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(port_listen(&os, "203.0.113.1:80", &listener, &diag), ==, -EADDRNOTAVAIL);
    CHECK(strstr(wm_diag_text(&diag), "203.0.113.1:80: cannot listen"));
    if (port_listen(&os, "[::1]:0", &listener, &diag) == 0) {
        char address[64];
        CHECK_INT(port_listen_address(listener, address, sizeof address), ==, 0);
        CHECK(strncmp(address, "[::1]:", 6) == 0);
        libos_file_put(listener);
    }
}

TEST(io_failures_are_errors)
{
    int fds[2];
    char text[4];
    struct wm_diag diag = WM_DIAG_INIT;
    libos_init(&os, port_machine());
    REQUIRE(pipe(fds) == 0);
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n); rounds++) {
        struct libos_file *in = NULL, *out = NULL, *listener = NULL;
        int failed = 0;
        failed += port_file_share(&os, fds[0], LIBOS_READ, &in) != 0;
        failed += port_file_share(&os, fds[1], LIBOS_WRITE, &out) != 0;
        failed += port_listen(&os, "127.0.0.1:0", &listener, &diag) != 0;
        if (in && out) {
            int64_t done = put(out, "abc", 3);
            failed += done != 3;
            if (done == 3 && take(in, text, 4) != 3) {
                failed++;
                CHECK_INT(read(fds[0], text, 4), ==, 3); /* nothing was lost */
            }
        }
        CHECK_INT(failed, ==, wm_fault_fired(WM_FAULT_IO));
        libos_file_put(in);
        libos_file_put(out);
        libos_file_put(listener);
    }
    CHECK_INT(rounds, >, 8);
    close(fds[0]);
    close(fds[1]);
}

TEST_MAIN(TEST_CASE(machine_gives_time_and_randomness), TEST_CASE(pipes_of_the_host),
          TEST_CASE(who_handles_sigpipe_gets_it_of_streams_from_outside),
          TEST_CASE(large_write_goes_through), TEST_CASE(waiting_is_interrupted),
          TEST_CASE(other_signals_do_not_end_a_wait), TEST_CASE(listener_and_connection),
          TEST_CASE(addresses_are_checked), TEST_CASE(io_failures_are_errors))
