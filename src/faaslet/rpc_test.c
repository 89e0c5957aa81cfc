/* rpc_test.c: requests over a socket, interrupted waits, and sides that break the form. */
#include "faaslet/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"

enum { ECHO = 1, SLOW_ECHO = 2, BIG = 3, PASS = 4, REFUSE = 5 };

/* The other end, on a thread. */
struct end {
    int fd;
    pthread_t thread;
    atomic_int served;
    atomic_bool hold; /* SLOW_ECHO waits for this to become false */
    int result;
};

static int handle(void *self, struct rpc_request *request)
{
    struct end *end = self;
    uint8_t *room;
    int err;
    switch (request->service) {
    case SLOW_ECHO:
        while (atomic_load(&end->hold)) {
            usleep(1000);
        }
        err = rpc_reply_add(request, request->body);
        break;
    case BIG: /* as many bytes as the request has, and 16 MiB more */
        err = rpc_reply_room(request, request->body.len + (16u << 20), &room);
        if (!err) {
            memset(room, 'b', request->body.len + (16u << 20));
        }
        break;
    case PASS: /* gives back the descriptor, and says what was in its file */
        err = rpc_reply_room(request, 4, &room);
        err = err ? err : pread(request->fd, room, 4, 0) == 4 ? 0 : -EIO;
        rpc_reply_pass(request, request->fd);
        request->fd = -1;
        break;
    case REFUSE: err = WM_E_DENIED; break;
    default: err = rpc_reply_add(request, request->body); break;
    }
    atomic_fetch_add(&end->served, 1);
    return err;
}

static void *serve(void *self)
{
    struct end *end = self;
    struct rpc_transport transport;
    end->result = rpc_socket_transport(end->fd, &transport);
    if (!end->result) {
        end->result = rpc_serve(&transport, handle, end, NULL);
    }
    return NULL;
}

static bool start(struct end *end, struct rpc_client **client)
{
    int fds[2];
    struct rpc_transport transport;
    *end = (struct end){0};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        return false;
    }
    end->fd = fds[1];
    return rpc_socket_transport(fds[0], &transport) == 0 &&
           rpc_client_new(&transport, client, NULL) == 0 &&
           pthread_create(&end->thread, NULL, serve, end) == 0;
}

static int ask(struct rpc_client *client, uint16_t service, const void *bytes, size_t len,
               struct rpc_reply *reply)
{
    struct iovec part = {(void *)(uintptr_t)bytes, len};
    return rpc_call(client, service, &part, 1, -1, reply, NULL);
}

static bool same(struct rpc_reply reply, const void *bytes, size_t len)
{
    return wm_view_eq(reply.body, wm_view_of(bytes, len)) && reply.fd == -1;
}

TEST(requests_of_any_size_come_back)
{
    struct end end;
    struct rpc_client *client;
    struct rpc_reply reply;
    REQUIRE(start(&end, &client));
    uint8_t *bytes = wm_alloc(RPC_BODY_BYTES_MAX);
    REQUIRE(bytes);
    memset(bytes, 'x', RPC_BODY_BYTES_MAX);
    const size_t sizes[] = {0, 1, 15, 4096, 1 << 20, RPC_BODY_BYTES_MAX, 3};
    for (size_t i = 0; i < WM_COUNT_OF(sizes); i++) {
        CHECK_INT(ask(client, ECHO, bytes, sizes[i], &reply), ==, 0);
        CHECK(same(reply, bytes, sizes[i]));
    }
    struct iovec parts[300]; /* more than the transport sends at once */
    for (size_t i = 0; i < WM_COUNT_OF(parts); i++) {
        parts[i] = (struct iovec){bytes, i % 5};
    }
    CHECK_INT(rpc_call(client, ECHO, parts, WM_COUNT_OF(parts), -1, &reply, NULL), ==, 0);
    CHECK(same(reply, bytes, 600));
    parts[0] = (struct iovec){bytes, RPC_BODY_BYTES_MAX};
    CHECK_INT(rpc_call(client, ECHO, parts, 2, -1, &reply, NULL), ==, WM_E_LIMIT);
    CHECK_INT(ask(client, ECHO, "still here", 10, &reply), ==, 0);
    rpc_client_free(client);
    pthread_join(end.thread, NULL);
    CHECK_INT(end.result, ==, 0);
    wm_free(bytes);
}

TEST(a_descriptor_goes_there_and_back)
{
    struct end end;
    struct rpc_client *client;
    struct rpc_reply reply;
    char text[4] = "";
    REQUIRE(start(&end, &client));
    int fd = memfd_create("passed", MFD_CLOEXEC);
    CHECK(write(fd, "memo", 4) == 4);
    CHECK_INT(rpc_call(client, PASS, NULL, 0, fd, &reply, NULL), ==, 0);
    CHECK(wm_view_eq_str(reply.body, "memo"));
    REQUIRE(reply.fd >= 0 && reply.fd != fd);
    CHECK(fcntl(reply.fd, F_GETFD) & FD_CLOEXEC);
    CHECK(pread(reply.fd, text, 4, 0) == 4 && memcmp(text, "memo", 4) == 0);
    close(reply.fd);
    close(fd);
    rpc_client_free(client);
    pthread_join(end.thread, NULL);
}

TEST(a_handler_that_refuses_ends_the_connection)
{
    struct end end;
    struct rpc_client *client;
    struct rpc_reply reply;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(start(&end, &client));
    CHECK_INT(ask(client, REFUSE, "", 0, &reply), ==, -EPIPE);
    CHECK_INT(rpc_call(client, ECHO, NULL, 0, -1, &reply, &diag), ==, -EPIPE);
    CHECK_STR(diag.text, "rpc: sending: the other side has closed the connection");
    rpc_client_free(client);
    pthread_join(end.thread, NULL);
    CHECK_INT(end.result, ==, WM_E_DENIED);
}

/* --- Interrupted --- */

static void nothing(int signal)
{
    (void)signal;
}

struct poker {
    pthread_t victim;
    atomic_bool done;
};

static void *poke(void *self)
{
    struct poker *poker = self;
    while (!atomic_load(&poker->done)) {
        usleep(2000);
        pthread_kill(poker->victim, SIGUSR1);
    }
    return NULL;
}

static bool after_some(void *self)
{
    int *left = self;
    return --*left <= 0;
}

static void install_signal(void)
{
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGUSR1, &action, NULL);
}

TEST(an_interrupted_call_does_not_disturb_the_next)
{
    struct end end;
    struct rpc_client *client;
    struct rpc_reply reply;
    pthread_t thread;
    struct poker poker = {pthread_self(), false};
    install_signal();
    REQUIRE(start(&end, &client));
    uint8_t *bytes = wm_alloc(8u << 20);
    REQUIRE(bytes);
    memset(bytes, 'y', 8u << 20);
    REQUIRE(pthread_create(&thread, NULL, poke, &poker) == 0);
    int left, interrupted = 0;
    rpc_client_interrupted(client, after_some, &left);
    /* The other side does not answer: each call gives up, the first before its reply, the next ones
     * while they wait for that late reply. */
    atomic_store(&end.hold, true);
    for (int i = 0; i < 3; i++) {
        left = 2;
        CHECK_INT(ask(client, SLOW_ECHO, "late", 4, &reply), ==, -EINTR);
    }
    atomic_store(&end.hold, false);
    left = 1000000;
    CHECK_INT(ask(client, ECHO, "next", 4, &reply), ==, 0);
    CHECK(same(reply, "next", 4));
    CHECK_INT(atomic_load(&end.served), ==, 2); /* only the first of the three was ever sent */
    /* Large requests and replies, interrupted anywhere. */
    for (int i = 0; i < 60; i++) {
        left = 1 + i % 4;
        int err =
            i % 2 ? ask(client, ECHO, bytes, 8u << 20, &reply) : ask(client, BIG, bytes, 5, &reply);
        interrupted += err == -EINTR;
        CHECK(err == 0 || err == -EINTR);
        if (i % 7 == 0) {
            char text[8];
            snprintf(text, sizeof text, "%d", i);
            left = 1000000;
            CHECK_INT(ask(client, ECHO, text, strlen(text), &reply), ==, 0);
            CHECK(same(reply, text, strlen(text)));
        }
    }
    CHECK_INT(interrupted, >, 5);
    atomic_store(&poker.done, true);
    pthread_join(thread, NULL);
    rpc_client_free(client);
    pthread_join(end.thread, NULL);
    wm_free(bytes);
}

/* --- Broken forms --- */

struct frame {
    uint32_t body_bytes;
    uint16_t service, flags;
    uint64_t sequence;
};

static int serve_bytes(const void *bytes, size_t len, const int *fds, size_t fd_count)
{
    int pair[2];
    struct rpc_transport transport;
    struct end end = {0};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return -1;
    }
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(4 * sizeof(int))];
    } control = {0};
    struct iovec part = {(void *)(uintptr_t)bytes, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(fd_count * sizeof(int)),
            .cmsg_level = SOL_SOCKET,
            .cmsg_type = SCM_RIGHTS,
        };
        memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
    }
    ssize_t sent = sendmsg(pair[0], &message, 0);
    shutdown(pair[0], SHUT_WR);
    int err = sent == (ssize_t)len ? rpc_socket_transport(pair[1], &transport) : -EIO;
    err = err ? err : rpc_serve(&transport, handle, &end, NULL);
    close(pair[0]);
    return err;
}

static int lowest_free_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

TEST(frames_out_of_form_end_the_connection)
{
    const struct {
        struct frame first, second;
        int expected;
    } cases[] = {
        {{0, ECHO, 0, 1}, {0, ECHO, 0, 2}, 0},
        {{0, ECHO, 0, 5}, {0, ECHO, 0, UINT64_MAX}, 0},
        {{0, ECHO, 0, 2}, {0, ECHO, 0, 2}, WM_E_MALFORMED},
        {{0, ECHO, 0, 2}, {0, ECHO, 0, 1}, WM_E_MALFORMED},
        {{0, ECHO, 0, 1}, {0, 0, 0, 2}, WM_E_MALFORMED},
        {{0, ECHO, 0, 1}, {0, ECHO, 1, 2}, WM_E_MALFORMED}, /* the descriptor is missing */
        {{0, ECHO, 0, 1}, {0, ECHO, 2, 2}, WM_E_MALFORMED},
        {{0, ECHO, 0, 1}, {0, ECHO, 4, 2}, WM_E_MALFORMED},
        {{0, ECHO, 0, 1}, {RPC_BODY_BYTES_MAX + 1, ECHO, 0, 2}, WM_E_MALFORMED},
        {{0, ECHO, 0, 1}, {1, ECHO, 0, 2}, -EPIPE}, /* its body does not come */
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        CHECK_INT(serve_bytes(&cases[i].first, 2 * sizeof(struct frame), NULL, 0), ==,
                  cases[i].expected);
    }
    struct frame frame = {4, ECHO, 0, 1};
    CHECK_INT(serve_bytes(&frame, 7, NULL, 0), ==, -ECONNRESET);
    /* Descriptors that nobody announced, or too many, are not left open. */
    int before = lowest_free_fd();
    const int fds[] = {0, 0, 0, 0};
    frame = (struct frame){0, ECHO, 0, 1};
    CHECK_INT(serve_bytes(&frame, sizeof frame, fds, 1), ==, WM_E_MALFORMED);
    CHECK_INT(serve_bytes(&frame, sizeof frame, fds, 4), ==, WM_E_MALFORMED);
    frame.flags = 1;
    CHECK_INT(serve_bytes(&frame, sizeof frame, fds, 1), ==, 0);
    CHECK_INT(serve_bytes(&frame, sizeof frame, fds, 4), ==, 0);
    CHECK_INT(lowest_free_fd(), ==, before);
}

TEST(replies_out_of_form_end_the_client)
{
    const struct frame cases[] = {
        {0, ECHO, 0, 1}, {0, BIG, 2, 1},  {0, ECHO, 2, 0},
        {0, ECHO, 2, 2}, {0, ECHO, 3, 1}, {RPC_BODY_BYTES_MAX + 1, ECHO, 2, 1},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        int pair[2];
        struct rpc_transport transport;
        struct rpc_client *client;
        struct rpc_reply reply;
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        REQUIRE(rpc_socket_transport(pair[0], &transport) == 0);
        REQUIRE(rpc_client_new(&transport, &client, NULL) == 0);
        CHECK(write(pair[1], &cases[i], sizeof cases[i]) == (ssize_t)sizeof cases[i]);
        CHECK_INT(ask(client, ECHO, "", 0, &reply), ==, WM_E_MALFORMED);
        CHECK_INT(ask(client, ECHO, "", 0, &reply), ==, -EPIPE);
        rpc_client_free(client);
        close(pair[1]);
    }
}

TEST(failures_end_calls_and_leak_nothing)
{
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        bool fired = true;
        int before = lowest_free_fd();
        for (uint64_t n = 1; fired; n++) {
            struct end end;
            struct rpc_client *client = NULL;
            struct rpc_reply reply;
            REQUIRE(start(&end, &client));
            wm_fault_arm((enum wm_fault_kind)kind, n);
            int err = ask(client, ECHO, "abcd", 4, &reply);
            fired = wm_fault_fired((enum wm_fault_kind)kind);
            wm_fault_arm((enum wm_fault_kind)kind, 0);
            CHECK_INT(err == 0, ==, !fired);
            /* Out of memory loses a reply, not the connection. */
            CHECK_INT(ask(client, ECHO, "e", 1, &reply), ==,
                      fired && kind == WM_FAULT_IO ? -EPIPE : 0);
            rpc_client_free(client);
            pthread_join(end.thread, NULL);
            CHECK_INT(lowest_free_fd(), ==, before);
        }
    }
}

TEST_MAIN(TEST_CASE(requests_of_any_size_come_back), TEST_CASE(a_descriptor_goes_there_and_back),
          TEST_CASE(a_handler_that_refuses_ends_the_connection),
          TEST_CASE(an_interrupted_call_does_not_disturb_the_next),
          TEST_CASE(frames_out_of_form_end_the_connection),
          TEST_CASE(replies_out_of_form_end_the_client),
          TEST_CASE(failures_end_calls_and_leak_nothing))
