/* Client sockets: against servers of this process on loopback, and what hostile arguments get. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"
#include "port/file.h"
#include "port/machine.h"
#include "wasi/fake_guest.h"

#define MEMORY 65536u
#define OUT 1024u
#define ADDRESS 1280u
#define IOV 2048u
#define BUF 4096u
#define NAME 8192u

static struct fake_guest guest;
static struct libos os;
static struct libos_address asked; /* what the rule was asked about last */
static unsigned asked_count;
static bool answer;
static atomic_bool interrupt_now;

static bool allow(void *self, const struct libos_address *address, bool datagram)
{
    (void)self;
    (void)datagram;
    asked = *address;
    asked_count++;
    return answer;
}

static int64_t resolve(void *self, const char *name, struct libos_address *out, size_t most)
{
    (void)self;
    if (strcmp(name, "two.example") != 0) {
        return -LIBOS_ENOENT;
    }
    for (size_t i = 0; i < 2 && i < most; i++) {
        out[i] = (struct libos_address){.family = LIBOS_INET, .ip = {10, 0, 0, (uint8_t)(i + 1)}};
    }
    return 2;
}

static bool interrupted(void *arg)
{
    (void)arg;
    return interrupt_now;
}

static bool start(bool with_net)
{
    static const struct wasi_net net = {
        .socket = port_socket_new, .allow = allow, .resolve = resolve, .limit = 4};
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasi_config config = {.os = &os, .net = with_net ? &net : NULL};
    libos_init(&os, port_machine());
    os.interrupted = interrupted;
    interrupt_now = false;
    answer = true;
    asked_count = 0;
    return fake_guest_init(&guest, MEMORY) && wasi_new(&config, &guest.wasi, &diag) == 0;
}

static uint32_t get32(uint32_t at)
{
    uint32_t value;
    memcpy(&value, guest.memory.bytes + at, 4);
    return value;
}

static void set32(uint32_t at, uint32_t value)
{
    memcpy(guest.memory.bytes + at, &value, 4);
}

static void set_address(uint16_t family, const char *text, uint16_t port)
{
    uint8_t bytes[WASI_ADDRESS_BYTES] = {0};
    memcpy(bytes, &family, 2);
    memcpy(bytes + 2, &port, 2);
    inet_pton(family == WASI_AF_INET ? AF_INET : AF_INET6, text, bytes + 8);
    memcpy(guest.memory.bytes + ADDRESS, bytes, sizeof bytes);
}

static uint32_t new_socket(uint32_t family, uint32_t type)
{
    uint32_t rc = FAKE_CALL(&guest, "socket", family, type, 0, OUT);
    return rc == WASI_SUCCESS ? get32(OUT) : UINT32_MAX;
}

static uint32_t send_text(uint32_t fd, const char *text)
{
    memcpy(guest.memory.bytes + BUF, text, strlen(text));
    set32(IOV, BUF);
    set32(IOV + 4, (uint32_t)strlen(text));
    return FAKE_CALL(&guest, "sock_send", fd, IOV, 1, 0, OUT);
}

/* What came, as text; "-N" for an errno. */
static const char *receive(uint32_t fd)
{
    static char text[64];
    set32(IOV, BUF);
    set32(IOV + 4, sizeof text - 1);
    uint32_t rc = FAKE_CALL(&guest, "sock_recv", fd, IOV, 1, 0, OUT, OUT + 4);
    if (rc != WASI_SUCCESS) {
        snprintf(text, sizeof text, "-%u", rc);
        return text;
    }
    memcpy(text, guest.memory.bytes + BUF, get32(OUT));
    text[get32(OUT)] = '\0';
    return text;
}

/* A server: says what it heard, after "you said ", and ends. */
struct server {
    int fd;
    uint16_t port;
    bool datagram;
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *server = arg;
    char text[64] = "you said ";
    size_t len = strlen(text);
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    if (server->datagram) {
        ssize_t got = recvfrom(server->fd, text + len, sizeof text - len, 0,
                               (struct sockaddr *)&from, &from_len);
        if (got > 0) {
            (void)!sendto(server->fd, text, len + (size_t)got, 0, (struct sockaddr *)&from,
                          from_len);
        }
        return NULL;
    }
    int fd = accept(server->fd, NULL, NULL);
    ssize_t got = fd < 0 ? -1 : read(fd, text + len, sizeof text - len);
    if (got > 0) {
        (void)!write(fd, text, len + (size_t)got);
    }
    close(fd);
    return NULL;
}

static bool listen_at(struct server *server, bool v6, bool datagram)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr *at = v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    socklen_t len = v6 ? sizeof six : sizeof four;
    server->datagram = datagram;
    server->fd = socket(v6 ? AF_INET6 : AF_INET, datagram ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (server->fd < 0 || bind(server->fd, at, len) != 0 ||
        (!datagram && listen(server->fd, 1) != 0) || getsockname(server->fd, at, &len) != 0) {
        close(server->fd);
        return false;
    }
    server->port = ntohs(v6 ? six.sin6_port : four.sin_port);
    return true;
}

static bool start_server(struct server *server, bool v6, bool datagram)
{
    return listen_at(server, v6, datagram) &&
           pthread_create(&server->thread, NULL, serve, server) == 0;
}

static void end_server(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->fd);
}

static void talk(uint16_t family, const char *text, bool datagram)
{
    struct server server;
    uint64_t value = 77;
    REQUIRE(start_server(&server, family == WASI_AF_INET6 && strcmp(text, "::1") == 0, datagram));
    uint32_t fd = new_socket(family, datagram ? WASI_SOCK_DGRAM : WASI_SOCK_STREAM);
    set_address(family, text, server.port);
    CHECK_INT(FAKE_CALL(&guest, "connect", fd, ADDRESS), ==, WASI_SUCCESS);
    CHECK_INT(asked.port, ==, server.port);
    CHECK_INT(FAKE_CALL(&guest, "getpeername", fd, ADDRESS), ==, WASI_SUCCESS);
    CHECK_INT(get32(ADDRESS), ==, family | (uint32_t)server.port << 16);
    CHECK_INT(FAKE_CALL(&guest, "getsockname", fd, ADDRESS), ==, WASI_SUCCESS);
    CHECK_INT(get32(ADDRESS) & 0xffff, ==, family);
    CHECK_INT(FAKE_CALL(&guest, "getsockopt", fd, LIBOS_SO_ERROR, OUT), ==, WASI_SUCCESS);
    memcpy(&value, guest.memory.bytes + OUT, 8);
    CHECK_INT(value, ==, 0);
    CHECK_INT(send_text(fd, "hello"), ==, WASI_SUCCESS);
    CHECK_STR(receive(fd), "you said hello");
    if (!datagram) {
        CHECK_STR(receive(fd), "");
        CHECK_INT(FAKE_CALL(&guest, "connect", fd, ADDRESS), ==, WASI_ISCONN);
    }
    CHECK_INT(FAKE_CALL(&guest, "fd_close", fd), ==, WASI_SUCCESS);
    end_server(&server);
}

TEST(clients_talk)
{
    REQUIRE(start(true));
    talk(WASI_AF_INET, "127.0.0.1", false);
    talk(WASI_AF_INET, "127.0.0.1", true);
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    if (probe >= 0) {
        close(probe);
        talk(WASI_AF_INET6, "::ffff:127.0.0.1", false);
        CHECK_INT(asked.family, ==, LIBOS_INET);
        CHECK_INT(asked.ip[0], ==, 127);
        talk(WASI_AF_INET6, "::1", false);
        CHECK_INT(asked.family, ==, LIBOS_INET6);
    }
    fake_guest_fini(&guest);
}

TEST(the_rule_is_asked_about_what_is_reached)
{
    struct server server;
    REQUIRE(start(true) && listen_at(&server, false, false));
    answer = false;
    static const struct {
        uint16_t family;
        const char *text, *means;
    } spellings[] = {
        {WASI_AF_INET, "127.0.0.1", "127.0.0.1"},
        {WASI_AF_INET, "0.0.0.0", "127.0.0.1"},
        {WASI_AF_INET6, "::ffff:127.0.0.1", "127.0.0.1"},
        {WASI_AF_INET6, "::ffff:0.0.0.0", "127.0.0.1"},
        {WASI_AF_INET6, "::", "::1"},
    };
    uint32_t four = new_socket(WASI_AF_INET, WASI_SOCK_STREAM);
    uint32_t six = new_socket(WASI_AF_INET6, WASI_SOCK_STREAM);
    for (size_t i = 0; i < WM_COUNT_OF(spellings); i++) {
        char text[64];
        uint32_t fd = spellings[i].family == WASI_AF_INET ? four : six;
        if (fd == UINT32_MAX) {
            continue; /* a machine without IPv6 */
        }
        set_address(spellings[i].family, spellings[i].text, server.port);
        CHECK_INT(FAKE_CALL(&guest, "connect", fd, ADDRESS), ==, WASI_ACCES);
        CHECK_STR(
            inet_ntop(asked.family == LIBOS_INET ? AF_INET : AF_INET6, asked.ip, text, sizeof text),
            spellings[i].means);
        CHECK_INT(asked.port, ==, server.port);
    }
    /* Nobody came. */
    struct timeval soon = {0, 20000};
    setsockopt(server.fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    CHECK(accept(server.fd, NULL, NULL) < 0);
    close(server.fd);
    fake_guest_fini(&guest);
}

TEST(clients_only)
{
    REQUIRE(start(true));
    CHECK_INT(FAKE_CALL(&guest, "socket", 3, WASI_SOCK_STREAM, 0, OUT), ==, WASI_AFNOSUPPORT);
    CHECK_INT(FAKE_CALL(&guest, "socket", 16, WASI_SOCK_DGRAM, 0, OUT), ==, WASI_AFNOSUPPORT);
    CHECK_INT(FAKE_CALL(&guest, "socket", 1, 3, 0, OUT), ==, WASI_PROTOTYPE); /* raw */
    CHECK_INT(FAKE_CALL(&guest, "socket", 1, WASI_SOCK_STREAM, 1, OUT), ==, WASI_PROTONOSUPPORT);
    CHECK_INT(FAKE_CALL(&guest, "socket", 1, WASI_SOCK_STREAM, 17, OUT), ==, WASI_PROTONOSUPPORT);
    CHECK_INT(FAKE_CALL(&guest, "socket", 1, WASI_SOCK_STREAM, 0, MEMORY - 3), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "socket", 1, WASI_SOCK_STREAM, 0, UINT32_MAX), ==, WASI_FAULT);
    uint32_t fd = new_socket(WASI_AF_INET, WASI_SOCK_STREAM | WASI_SOCK_CLOEXEC);
    CHECK_INT(fd, ==, 3);
    CHECK_INT(FAKE_CALL(&guest, "sock_accept", fd, 0, OUT), ==, WASI_NOTCAPABLE);
    CHECK_INT(send_text(fd, "x"), ==, WASI_PIPE); /* as Linux */
    CHECK_STR(receive(fd), "-53");                /* NOTCONN */
    CHECK_INT(FAKE_CALL(&guest, "getpeername", fd, OUT), ==, WASI_NOTCONN);
    CHECK_INT(FAKE_CALL(&guest, "getpeername", fd, MEMORY - 23), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "connect", fd, MEMORY - 23), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "connect", fd, UINT32_MAX), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "connect", 1, ADDRESS), ==, WASI_AFNOSUPPORT);
    set_address(3, "1.2.3.4", 80);
    CHECK_INT(FAKE_CALL(&guest, "connect", fd, ADDRESS), ==, WASI_AFNOSUPPORT);
    set_address(0, "1.2.3.4", 80);
    CHECK_INT(FAKE_CALL(&guest, "connect", fd, ADDRESS), ==, WASI_AFNOSUPPORT);
    set_address(WASI_AF_INET, "1.2.3.4", 80);
    CHECK_INT(FAKE_CALL(&guest, "connect", 1, ADDRESS), ==, WASI_NOTSOCK);
    CHECK_INT(FAKE_CALL(&guest, "connect", 99, ADDRESS), ==, WASI_BADF);
    CHECK_INT(asked_count, ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "setsockopt", fd, LIBOS_SO_NODELAY, 1), ==, WASI_SUCCESS);
    CHECK_INT(FAKE_CALL(&guest, "getsockopt", fd, LIBOS_SO_NODELAY, OUT), ==, WASI_SUCCESS);
    CHECK_INT(get32(OUT), ==, 1);
    CHECK_INT(FAKE_CALL(&guest, "setsockopt", fd, LIBOS_SO_RCVBUF, UINT64_MAX), ==, WASI_SUCCESS);
    CHECK_INT(FAKE_CALL(&guest, "getsockopt", fd, LIBOS_SO_RCVBUF, OUT), ==, WASI_SUCCESS);
    CHECK_INT(get32(OUT), <=, 2 * LIBOS_SOCKET_BUFFER_MAX);
    CHECK_INT(FAKE_CALL(&guest, "setsockopt", fd, LIBOS_SO_ERROR, 1), ==, WASI_NOPROTOOPT);
    CHECK_INT(FAKE_CALL(&guest, "setsockopt", fd, 99, 1), ==, WASI_NOPROTOOPT);
    CHECK_INT(FAKE_CALL(&guest, "getsockopt", fd, UINT32_MAX, OUT), ==, WASI_NOPROTOOPT);
    CHECK_INT(FAKE_CALL(&guest, "getsockopt", fd, 0, MEMORY - 7), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "getsockopt", 1, 0, OUT), ==, WASI_NOTSOCK);
    /* The limit, and room again. */
    for (int i = 0; i < 3; i++) {
        CHECK_INT(new_socket(WASI_AF_INET, WASI_SOCK_DGRAM), !=, UINT32_MAX);
    }
    CHECK_INT(FAKE_CALL(&guest, "socket", 1, WASI_SOCK_STREAM, 0, OUT), ==, WASI_MFILE);
    CHECK_INT(FAKE_CALL(&guest, "fd_close", fd), ==, WASI_SUCCESS);
    CHECK_INT(new_socket(WASI_AF_INET, WASI_SOCK_DGRAM), ==, fd);
    fake_guest_fini(&guest);
}

TEST(nothing_unless_given)
{
    REQUIRE(start(false));
    CHECK_INT(FAKE_CALL(&guest, "socket", 1, WASI_SOCK_STREAM, 0, OUT), ==, WASI_ACCES);
    memcpy(guest.memory.bytes + NAME, "name127.0.0.1", 13);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 4, BUF, 4, OUT), ==, WASI_ACCES);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME + 4, 9, BUF, 4, OUT), ==, WASI_SUCCESS);
    fake_guest_fini(&guest);
}

TEST(names)
{
    REQUIRE(start(true));
    memcpy(guest.memory.bytes + NAME, "two.example", 12);
    set32(BUF + 24 + 24, 0x55555555);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 11, BUF, 4, OUT), ==, WASI_SUCCESS);
    CHECK_INT(get32(OUT), ==, 2);
    CHECK_INT(get32(BUF + 24), ==, WASI_AF_INET);
    CHECK_INT(get32(BUF + 24 + 8), ==, 0x0200000a);
    CHECK_INT(get32(BUF + 24 + 24), ==, 0x55555555);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 11, BUF, 1, OUT), ==, WASI_SUCCESS);
    CHECK_INT(get32(OUT), ==, 1);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 11, BUF, 0, OUT), ==, WASI_SUCCESS);
    CHECK_INT(get32(OUT), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 11, BUF, UINT32_MAX, OUT), ==, WASI_SUCCESS);
    CHECK_INT(get32(OUT), ==, 2);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 10, BUF, 4, OUT), ==, WASI_NOENT);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 12, BUF, 4, OUT), ==, WASI_INVAL); /* a NUL */
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 0, BUF, 4, OUT), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 254, BUF, 4, OUT), ==, WASI_NAMETOOLONG);
    CHECK_INT(FAKE_CALL(&guest, "resolve", MEMORY - 3, 4, BUF, 4, OUT), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 11, MEMORY - 95, 4, OUT), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 11, BUF, 4, MEMORY - 3), ==, WASI_FAULT);
    memcpy(guest.memory.bytes + NAME, "::1", 4);
    CHECK_INT(FAKE_CALL(&guest, "resolve", NAME, 3, BUF, 4, OUT), ==, WASI_SUCCESS);
    CHECK_INT(get32(BUF), ==, WASI_AF_INET6);
    fake_guest_fini(&guest);
}

TEST(refused_and_in_progress)
{
    struct server server;
    REQUIRE(start(true) && listen_at(&server, false, false));
    /* Without waiting. */
    uint32_t fd = new_socket(WASI_AF_INET, WASI_SOCK_STREAM | WASI_SOCK_NONBLOCK);
    set_address(WASI_AF_INET, "127.0.0.1", server.port);
    uint32_t rc = FAKE_CALL(&guest, "connect", fd, ADDRESS);
    CHECK(rc == WASI_INPROGRESS || rc == WASI_SUCCESS);
    memset(guest.memory.bytes + BUF, 0, 48);
    guest.memory.bytes[BUF + 8] = WASI_EVENT_FD_WRITE;
    set32(BUF + 16, fd);
    CHECK_INT(FAKE_CALL(&guest, "poll_oneoff", BUF, BUF + 512, 1, OUT), ==, WASI_SUCCESS);
    CHECK_INT(get32(OUT), ==, 1);
    CHECK_INT(FAKE_CALL(&guest, "getsockopt", fd, LIBOS_SO_ERROR, OUT), ==, WASI_SUCCESS);
    CHECK_INT(get32(OUT), ==, 0);
    CHECK_STR(receive(fd), "-6"); /* AGAIN */
    close(server.fd);
    uint32_t other = new_socket(WASI_AF_INET, WASI_SOCK_STREAM);
    CHECK_INT(FAKE_CALL(&guest, "connect", other, ADDRESS), ==, WASI_CONNREFUSED);
    fake_guest_fini(&guest);
}

static void *interrupt_soon(void *arg)
{
    pthread_t target = *(pthread_t *)arg;
    struct timespec pause = {0, 30000000};
    nanosleep(&pause, NULL);
    interrupt_now = true;
    /* As the store's timer does: again until it was seen. */
    pause.tv_nsec = 2000000;
    for (int i = 0; i < 200 && interrupt_now; i++) {
        pthread_kill(target, SIGUSR1);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void on_signal(int number)
{
    (void)number;
}

/* What a full queue of a listener does to the next client: its connect waits. */
static uint32_t fill_queue(const struct server *server)
{
    int fds[8];
    uint32_t count = 0;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(server->port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (; count < 8; count++) {
        fds[count] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[count], (struct sockaddr *)&to, sizeof to);
    }
    return count; /* they stay open until the process ends */
}

TEST(waiting_ends_when_interrupted)
{
    struct server server;
    pthread_t self = pthread_self(), thread;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    REQUIRE(start(true) && listen_at(&server, false, false));
    uint32_t fd = new_socket(WASI_AF_INET, WASI_SOCK_STREAM);
    set_address(WASI_AF_INET, "127.0.0.1", server.port);
    CHECK_INT(FAKE_CALL(&guest, "connect", fd, ADDRESS), ==, WASI_SUCCESS);
    guest.store.interrupted = WASM_TRAP_DEADLINE;
    REQUIRE(pthread_create(&thread, NULL, interrupt_soon, &self) == 0);
    CHECK_STR(receive(fd), "-4294967295");
    CHECK_INT(guest.trap, ==, WASM_TRAP_DEADLINE);
    interrupt_now = false;
    pthread_join(thread, NULL);
    guest.store.interrupted = WASM_TRAP_NONE;
    CHECK_INT(fill_queue(&server), ==, 8);
    uint32_t other = new_socket(WASI_AF_INET, WASI_SOCK_STREAM);
    set_address(WASI_AF_INET, "127.0.0.1", server.port);
    guest.store.interrupted = WASM_TRAP_DEADLINE;
    REQUIRE(pthread_create(&thread, NULL, interrupt_soon, &self) == 0);
    CHECK_INT(FAKE_CALL(&guest, "connect", other, ADDRESS), ==, UINT32_MAX);
    CHECK_INT(guest.trap, ==, WASM_TRAP_DEADLINE);
    interrupt_now = false;
    pthread_join(thread, NULL);
    close(server.fd);
    fake_guest_fini(&guest);
}

TEST(every_call_to_the_kernel_may_fail)
{
    struct server server;
    unsigned rounds = 0;
    REQUIRE(listen_at(&server, false, false));
    REQUIRE(fcntl(server.fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        REQUIRE(start(true));
        uint32_t fd = new_socket(WASI_AF_INET, WASI_SOCK_STREAM);
        if (fd != UINT32_MAX) {
            set_address(WASI_AF_INET, "127.0.0.1", server.port);
            uint32_t rc = FAKE_CALL(&guest, "connect", fd, ADDRESS);
            CHECK(rc == WASI_SUCCESS || rc == WASI_IO);
            rc = FAKE_CALL(&guest, "getpeername", fd, ADDRESS);
            CHECK(rc == WASI_SUCCESS || wm_fault_fired(WM_FAULT_IO));
        }
        fake_guest_fini(&guest);
        int client = accept(server.fd, NULL, NULL);
        if (client >= 0) {
            close(client);
        }
        rounds++;
        if (rounds > 100) {
            break;
        }
    }
    CHECK(rounds > 3 && rounds < 100);
    close(server.fd);
}

TEST(every_allocation_may_fail)
{
    unsigned rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n) && rounds < 100; rounds++) {
        if (!start(true)) {
            fake_guest_fini(&guest);
            continue;
        }
        uint32_t rc = FAKE_CALL(&guest, "socket", 1, WASI_SOCK_STREAM, 0, OUT);
        CHECK(rc == WASI_SUCCESS || (rc == WASI_NOMEM && wm_fault_fired(WM_FAULT_ALLOC)));
        fake_guest_fini(&guest);
    }
    CHECK(rounds > 3 && rounds < 100);
    int next = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(next, <, 40); /* none was left open */
    close(next);
}

TEST_MAIN(TEST_CASE(every_allocation_may_fail), TEST_CASE(clients_talk),
          TEST_CASE(the_rule_is_asked_about_what_is_reached), TEST_CASE(clients_only),
          TEST_CASE(nothing_unless_given), TEST_CASE(names), TEST_CASE(refused_and_in_progress),
          TEST_CASE(waiting_ends_when_interrupted), TEST_CASE(every_call_to_the_kernel_may_fail))
