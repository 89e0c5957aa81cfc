/* The encrypted transport over socket pairs: whole messages, ends, cuts, dripping handshakes. */
#include "faaslet/secure.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/test.h"
#include "crypto/channel.h"
#include "host/file.h"

static const uint8_t key[SECURE_KEY_BYTES] = {42};

struct opening {
    int fd;
    struct secure_config config;
    struct rpc_transport transport;
    char peer[SECURE_NAME_BYTES_MAX + 1];
    struct wm_diag diag;
    int rc;
    pthread_t thread;
};

static void *open_thread(void *argument)
{
    struct opening *opening = argument;
    opening->rc = secure_transport(opening->fd, &opening->config, &opening->transport,
                                   opening->peer, &opening->diag);
    return NULL;
}

/* Both ends; each rc tells. */
static void open_both(struct opening *a, struct opening *b)
{
    int fds[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    a->fd = fds[0];
    b->fd = fds[1];
    CHECK_INT(pthread_create(&b->thread, NULL, open_thread, b), ==, 0);
    (void)open_thread(a);
    pthread_join(b->thread, NULL);
}

static bool open_pair(struct opening *a, struct opening *b)
{
    *a = (struct opening){.config = {.key = key, .name = "a", .peer = "b"}};
    *b = (struct opening){.config = {.key = key, .name = "b"}};
    open_both(a, b);
    CHECK_INT(a->rc, ==, 0);
    CHECK_INT(b->rc, ==, 0);
    return a->rc == 0 && b->rc == 0;
}

static int send_bytes(struct opening *o, const void *bytes, size_t len)
{
    struct iovec part = {(void *)(uintptr_t)bytes, len};
    return o->transport.send(o->transport.self, &part, 1, -1);
}

static int recv_bytes(struct opening *o, void *out, size_t len)
{
    int fd = -7;
    int rc = o->transport.recv(o->transport.self, out, len, &fd);
    CHECK_INT(fd, ==, -7);
    return rc;
}

static void close_end(struct opening *o)
{
    o->transport.close(o->transport.self);
}

#define BULK (3u * 1000 * 1000)

static void *bulk_thread(void *argument)
{
    struct opening *o = argument;
    uint8_t *bytes = wm_alloc(BULK);
    for (uint32_t i = 0; bytes && i < BULK; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    }
    /* In parts of every kind: empty, small, over a record's size. */
    struct iovec parts[] = {{bytes, 1},           {bytes + 1, 0},           {bytes + 1, 65535},
                            {bytes + 65536, 100}, {bytes + 65636, 1000000}, {bytes + 1065636, 0}};
    parts[5].iov_len = BULK - 1065636;
    o->rc = bytes ? o->transport.send(o->transport.self, parts, 6, -1) : -ENOMEM;
    wm_free(bytes);
    return NULL;
}

TEST(bytes_arrive)
{
    static struct opening a, b;
    char text[16] = {0};
    REQUIRE(open_pair(&a, &b));
    CHECK_STR(b.peer, "a");
    CHECK_STR(a.peer, "b");
    CHECK(secure_is_quiet(&a.transport) && secure_is_quiet(&b.transport));
    CHECK_INT(send_bytes(&a, "hello world", 11), ==, 0);
    CHECK(!secure_is_quiet(&b.transport));
    CHECK_INT(recv_bytes(&b, text, 5), ==, 0);
    CHECK(!secure_is_quiet(&b.transport)); /* opened, not yet taken */
    CHECK_INT(recv_bytes(&b, text + 5, 6), ==, 0);
    CHECK_STR(text, "hello world");
    CHECK(secure_is_quiet(&b.transport));
    struct iovec part = {text, 4};
    CHECK_INT(a.transport.send(a.transport.self, &part, 1, 0), ==, -EOPNOTSUPP);
    CHECK_INT(a.transport.send(a.transport.self, &part, 0, -1), ==, 0);

    uint8_t *bytes = wm_alloc(BULK);
    REQUIRE(bytes);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, bulk_thread, &a) == 0);
    CHECK_INT(recv_bytes(&b, bytes, BULK), ==, 0);
    pthread_join(thread, NULL);
    CHECK_INT(a.rc, ==, 0);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < BULK; i++) {
        wrong += bytes[i] != (uint8_t)(i * 7 + i / 251);
    }
    CHECK_INT(wrong, ==, 0);
    wm_free(bytes);
    close_end(&a);
    CHECK(!secure_is_quiet(&b.transport));
    CHECK_INT(recv_bytes(&b, text, 1), ==, -EPIPE); /* a proper end */
    CHECK_INT(recv_bytes(&b, text, 1), ==, -EPIPE);
    CHECK_INT(send_bytes(&b, "x", 1), ==, -EPIPE);
    close_end(&b);
}

TEST(cuts_are_told_from_ends)
{
    static struct opening a, b;
    char text[16];
    REQUIRE(open_pair(&a, &b));
    CHECK_INT(send_bytes(&a, "abc", 3), ==, 0);
    (void)shutdown(a.fd, SHUT_RDWR);
    CHECK_INT(recv_bytes(&b, text, 3), ==, 0);
    CHECK_INT(recv_bytes(&b, text, 1), ==, -ECONNRESET); /* no final record */
    close_end(&a);
    close_end(&b);
    /* An end inside of what was asked for. */
    REQUIRE(open_pair(&a, &b));
    CHECK_INT(send_bytes(&a, "abc", 3), ==, 0);
    close_end(&a);
    CHECK_INT(recv_bytes(&b, text, 5), ==, -ECONNRESET);
    close_end(&b);
    /* Bytes of somebody else on the wire. */
    REQUIRE(open_pair(&a, &b));
    static const uint8_t forged[4 + 20] = {20};
    CHECK_INT(send(a.fd, forged, sizeof forged, 0), ==, sizeof forged);
    CHECK_INT(recv_bytes(&b, text, 1), ==, WM_E_FORGED);
    CHECK_INT(send_bytes(&b, "x", 1), ==, WM_E_FORGED); /* and nothing goes on */
    close_end(&a);
    close_end(&b);
    REQUIRE(open_pair(&a, &b));
    static const uint8_t huge[4] = {0, 0, 0, 0x40};
    CHECK_INT(send(a.fd, huge, sizeof huge, 0), ==, sizeof huge);
    CHECK_INT(recv_bytes(&b, text, 1), ==, WM_E_LIMIT);
    close_end(&a);
    close_end(&b);
}

TEST(strangers)
{
    static struct opening a, b;
    static const uint8_t other[SECURE_KEY_BYTES] = {43};
    a = (struct opening){.config = {.key = other, .name = "a", .peer = "b"}};
    b = (struct opening){.config = {.key = key, .name = "b"}};
    open_both(&a, &b);
    CHECK_INT(b.rc, ==, WM_E_FORGED);
    CHECK(a.rc == -EPIPE || a.rc == -ECONNRESET);
    CHECK(strstr(a.diag.text, "same cluster key") != NULL);
    a = (struct opening){.config = {.key = key, .name = "a", .peer = "c"}};
    b = (struct opening){.config = {.key = key, .name = "b"}};
    open_both(&a, &b);
    CHECK_INT(b.rc, ==, WM_E_FORGED);
    CHECK(a.rc != 0);
    a = (struct opening){.config = {.key = key, .name = "", .peer = "b", .handshake_ms = 50}};
    b = (struct opening){.config = {.key = key, .name = "b", .handshake_ms = 50}};
    open_both(&a, &b);
    CHECK_INT(a.rc, ==, WM_E_INVALID);
    CHECK(b.rc != 0);
}

static void *drip_thread(void *argument)
{
    struct timespec pause = {.tv_nsec = 20000000};
    int fd = *(int *)argument;
    for (int i = 0; i < 50; i++) {
        if (send(fd, "W", 1, MSG_NOSIGNAL) < 0) {
            break;
        }
        nanosleep(&pause, NULL);
    }
    return NULL;
}

TEST(time_limits)
{
    static struct opening a, b;
    int fds[2];
    /* A byte at a time does not move the deadline. */
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, drip_thread, &fds[0]) == 0);
    b = (struct opening){.fd = fds[1], .config = {.key = key, .name = "b", .handshake_ms = 200}};
    int64_t before = host_monotonic_ns();
    (void)open_thread(&b);
    int64_t took_ms = (host_monotonic_ns() - before) / 1000000;
    CHECK_INT(b.rc, ==, -ETIMEDOUT);
    CHECK(strstr(b.diag.text, "in time") != NULL);
    CHECK_INT(took_ms, >=, 190);
    CHECK_INT(took_ms, <, 900);
    pthread_join(thread, NULL);
    close(fds[0]);
    /* io_ms bounds a wait for a reply. */
    a = (struct opening){.config = {.key = key, .name = "a", .peer = "b", .io_ms = 100}};
    b = (struct opening){.config = {.key = key, .name = "b"}};
    open_both(&a, &b);
    REQUIRE(a.rc == 0 && b.rc == 0);
    char byte;
    CHECK_INT(recv_bytes(&a, &byte, 1), ==, -ETIMEDOUT);
    close_end(&a);
    CHECK_INT(recv_bytes(&b, &byte, 1), ==, -ECONNRESET);
    close_end(&b);
}

TEST(failing_calls)
{
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        static struct opening a;
        int fds[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        close(fds[1]);
        a = (struct opening){.fd = fds[0], .config = {.key = key, .name = "a", .peer = "b"}};
        (void)open_thread(&a);
        CHECK(a.rc < 0);
        CHECK(fcntl(fds[0], F_GETFD) < 0); /* taken over, also by what failed */
    }
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        static struct opening a, b;
        a = (struct opening){.config = {.key = key, .name = "a", .peer = "b", .handshake_ms = 500}};
        b = (struct opening){.config = {.key = key, .name = "b", .handshake_ms = 500}};
        open_both(&a, &b);
        if (a.rc == 0) {
            close_end(&a);
        }
        if (b.rc == 0) {
            close_end(&b);
        }
        CHECK(wm_fault_fired(WM_FAULT_IO) ? a.rc != 0 : a.rc == 0 && b.rc == 0);
    }
}

static int write_key(const char *path, size_t len, mode_t mode)
{
    uint8_t bytes[64];
    memset(bytes, 5, sizeof bytes);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || fchmod(fd, mode) != 0) {
        return -1;
    }
    return close(fd);
}

TEST(key_files)
{
    char folder[] = "/tmp/secure_test.XXXXXX", path[64];
    uint8_t read[SECURE_KEY_BYTES];
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/key", folder);
    CHECK_INT(secure_key_read(path, read, &diag), ==, -ENOENT);
    REQUIRE(write_key(path, 32, 0600) == 0);
    CHECK_INT(secure_key_read(path, read, &diag), ==, 0);
    CHECK_INT(read[31], ==, 5);
    REQUIRE(write_key(path, 31, 0600) == 0);
    CHECK_INT(secure_key_read(path, read, &diag), ==, WM_E_MALFORMED);
    REQUIRE(write_key(path, 33, 0600) == 0);
    CHECK_INT(secure_key_read(path, read, &diag), ==, WM_E_MALFORMED);
    CHECK(strstr(diag.text, "exactly 32 bytes") != NULL);
    REQUIRE(write_key(path, 32, 0640) == 0);
    CHECK_INT(secure_key_read(path, read, &diag), ==, WM_E_DENIED);
    CHECK(strstr(diag.text, "chmod 600") != NULL);
    unlink(path);
    rmdir(folder);
}

TEST_MAIN(TEST_CASE(bytes_arrive), TEST_CASE(cuts_are_told_from_ends), TEST_CASE(strangers),
          TEST_CASE(time_limits), TEST_CASE(failing_calls), TEST_CASE(key_files))
