/* netns_test.c: all of it happens in a namespace of its own that plays the host, so that it touches
 * nothing of the machine and ip_forward can be switched on. */
#include "host/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"
#include "host/file.h"

#define MBIT 1000000ull
/* What a TCP stream of full packets with time stamps carries of what is on the wire. */
#define PAYLOAD (1448.0 / 1514.0)

static struct wm_diag diag;
static char why[300];

/* From here on this process is alone on its "host". */
static bool alone(void)
{
    static int state;
    if (state == 0) {
        state = -1;
        if (host_net_probe(&diag) != 0) {
            snprintf(why, sizeof why, "%s", diag.text);
        } else if (unshare(CLONE_NEWNET) == 0) {
            state = 1;
        }
    }
    return state == 1;
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static int ip(char *const *argv)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        execvp("ip", argv);
        _exit(127);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define IP(...) ip((char *[]){"ip", __VA_ARGS__, NULL})

/* --- threads that live in a namespace --- */

struct inside {
    int fd;
    int (*body)(void *arg);
    void *arg;
    int result;
};

static void *inside_main(void *arg)
{
    struct inside *inside = arg;
    inside->result = host_net_enter(inside->fd);
    inside->result = inside->result ? inside->result : inside->body(inside->arg);
    return NULL;
}

static int run_in(int fd, int (*body)(void *arg), void *arg)
{
    pthread_t thread;
    struct inside inside = {fd, body, arg, -1};
    if (pthread_create(&thread, NULL, inside_main, &inside) != 0) {
        return -1;
    }
    pthread_join(thread, NULL);
    return inside.result;
}

struct place_of_socket {
    uint32_t addr;
    uint16_t port;
    int type, fd, timeout_ms; /* 0: longer than TCP waits until it tries a second time */
};

static struct sockaddr_in sockaddr_of(uint32_t addr, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr)};
}

static int listens(void *arg)
{
    struct place_of_socket *at = arg;
    struct sockaddr_in addr = sockaddr_of(at->addr, at->port);
    int one = 1;
    at->fd = socket(AF_INET, at->type | SOCK_CLOEXEC, 0);
    setsockopt(at->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(at->fd, (struct sockaddr *)&addr, sizeof addr) != 0 ||
        (at->type == SOCK_STREAM && listen(at->fd, 5) != 0)) {
        return -errno;
    }
    return 0;
}

/* 0 or the error. */
static int connects(void *arg)
{
    struct place_of_socket *at = arg;
    struct sockaddr_in addr = sockaddr_of(at->addr, at->port);
    at->fd = socket(AF_INET, at->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(at->fd, (struct sockaddr *)&addr, sizeof addr) == 0) {
        return 0;
    }
    int err = errno;
    struct pollfd ready = {.fd = at->fd, .events = POLLOUT};
    socklen_t len = sizeof err;
    if (err == EINPROGRESS) {
        if (poll(&ready, 1, at->timeout_ms ? at->timeout_ms : 2500) == 0) {
            return -ETIMEDOUT;
        }
        getsockopt(at->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    }
    return -err;
}

static int sends_a_datagram(void *arg)
{
    struct place_of_socket *at = arg;
    struct sockaddr_in addr = sockaddr_of(at->addr, at->port);
    at->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ssize_t sent = sendto(at->fd, "x", 1, 0, (struct sockaddr *)&addr, sizeof addr);
    int err = sent == 1 ? 0 : -errno;
    close(at->fd);
    return err;
}

static bool arrives(int fd, int timeout_ms)
{
    char byte;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, timeout_ms) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) == 1;
}

/* --- pools --- */

static const struct host_net_options options = {
    .prefix = "wmtest", .count = 3, .ready = 2, .rate_bits = 1000 * MBIT, .host = true};

TEST(addresses_and_pool)
{
    if (!alone()) {
        SKIP("%s", why);
    }
    struct host_net *net;
    const struct host_netns *ns[4];
    REQUIRE(host_net_open(&options, &net, &diag) == 0);
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE(host_net_take(net, &ns[i], &diag) == 0);
        CHECK_INT(ns[i]->inside_addr, ==, HOST_NET_BASE + i * 256 + 2);
    }
    CHECK_STR(ns[2]->outside_name, "wmtest-2");
    CHECK_INT(host_net_take(net, &ns[3], &diag), ==, WM_E_LIMIT);
    CHECK(strstr(diag.text, "all 3 are taken"));

    /* Reaches the host, has a loopback of its own, and nobody else there. */
    struct place_of_socket server = {ns[1]->outside_addr, 7000, SOCK_STREAM, -1};
    CHECK_INT(listens(&server), ==, 0);
    struct place_of_socket client = {ns[1]->outside_addr, 7000, SOCK_STREAM, -1};
    CHECK_INT(run_in(ns[1]->fd, connects, &client), ==, 0);
    close(client.fd);
    client.addr = INADDR_LOOPBACK;
    CHECK_INT(run_in(ns[1]->fd, connects, &client), ==, -ECONNREFUSED);
    close(client.fd);
    /* Beyond the host: nothing without `forward`. */
    client.addr = 0x08080808;
    CHECK_INT(run_in(ns[1]->fd, connects, &client), ==, -EACCES);
    close(client.fd);
    client.addr = 0xa9fea9fe;
    CHECK_INT(run_in(ns[1]->fd, connects, &client), ==, -EACCES);
    close(client.fd);
    close(server.fd);

    host_net_put(net, ns[1]);
    CHECK_INT(if_nametoindex("wmtest-1"), ==, 0);
    REQUIRE(host_net_take(net, &ns[1], &diag) == 0);
    CHECK_INT(ns[1]->index, ==, 1);
    for (unsigned i = 0; i < 3; i++) {
        host_net_put(net, ns[i]);
    }
    CHECK_INT(host_net_refill(net, &diag), ==, 0);
    CHECK(if_nametoindex("wmtest-1") != 0 && if_nametoindex("wmtest-2") == 0);
    host_net_close(net);
    CHECK_INT(if_nametoindex("wmtest-0"), ==, 0);
}

TEST(cost)
{
    if (!alone()) {
        SKIP("%s", why);
    }
    enum { COUNT = 20 };
    struct host_net *net;
    struct host_net_options many = options;
    many.count = many.ready = COUNT;
    int64_t start = host_monotonic_ns();
    REQUIRE(host_net_open(&many, &net, &diag) == 0);
    int64_t made = host_monotonic_ns();
    const struct host_netns *ns;
    REQUIRE(host_net_take(net, &ns, &diag) == 0);
    int64_t taken = host_monotonic_ns();
    CHECK_INT(host_net_set_rate(net, ns, MBIT, MBIT, &diag), ==, 0);
    int64_t changed = host_monotonic_ns();
    host_net_put(net, ns);
    int64_t put = host_monotonic_ns();
    host_net_close(net);
    int64_t closed = host_monotonic_ns();
    int fd[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fd[i] = host_net_local(&diag);
        CHECK(fd[i] >= 0);
    }
    int64_t local = host_monotonic_ns();
    wm_test_note("with a veth pair: %.2f ms each to make, take %.1f us, change the rate %.1f us, "
                 "put %.2f ms, close %.2f ms each; local only: %.2f ms each",
                 (double)(made - start) / 1e6 / COUNT, (double)(taken - made) / 1e3,
                 (double)(changed - taken) / 1e3, (double)(put - changed) / 1e6,
                 (double)(closed - put) / 1e6 / (COUNT - 1),
                 (double)(local - closed) / 1e6 / COUNT);
    for (int i = 0; i < COUNT; i++) {
        close(fd[i]);
    }
}

/* --- rate --- */

struct stream {
    int fd;
    _Atomic bool stop;
};

static void *pushes(void *arg)
{
    struct stream *stream = arg;
    static const char block[65536];
    while (!stream->stop && send(stream->fd, block, sizeof block, MSG_NOSIGNAL) > 0) {
    }
    return NULL;
}

/* Bits per second of payload at the receiver, after the first 300 ms. */
static double measure(int sender, int receiver, int ms)
{
    static char block[1 << 18];
    struct stream stream = {sender, false};
    pthread_t thread;
    if (pthread_create(&thread, NULL, pushes, &stream) != 0) {
        return 0;
    }
    /* From one arrival to another: what comes in lumps of 64 KiB would blur the ends. */
    int64_t start = host_monotonic_ns() + 300000000, now = 0, first = 0, last = 0;
    uint64_t bytes = 0;
    while ((now = host_monotonic_ns()) < start + (int64_t)ms * 1000000) {
        struct pollfd ready = {.fd = receiver, .events = POLLIN};
        ssize_t got = poll(&ready, 1, 100) == 1 ? recv(receiver, block, sizeof block, 0) : 0;
        if (now >= start && got > 0) {
            last = host_monotonic_ns();
            bytes += first ? (size_t)got : 0;
            first = first ? first : last;
        }
    }
    stream.stop = true;
    shutdown(receiver, SHUT_RDWR);
    pthread_join(thread, NULL);
    return last > first ? (double)bytes * 8 / ((double)(last - first) / 1e9) : 0;
}

/* A connection from inside to the host. */
static bool join(const struct host_netns *ns, uint16_t port, int *inside, int *outside)
{
    struct place_of_socket server = {ns->outside_addr, port, SOCK_STREAM, -1}, client = server;
    if (listens(&server) != 0 || run_in(ns->fd, connects, &client) != 0) {
        return false;
    }
    *inside = client.fd;
    *outside = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC);
    close(server.fd);
    fcntl(*inside, F_SETFL, 0);
    return *outside >= 0;
}

static void check_rate(const struct host_netns *ns, uint16_t port, bool out, uint64_t rate, int ms)
{
    int inside, outside;
    REQUIRE(join(ns, port, &inside, &outside));
    double got = out ? measure(inside, outside, ms) : measure(outside, inside, ms);
    double wire = got / PAYLOAD;
    wm_test_note("%s at %.0f Mbit/s: payload %.2f, on the wire %.2f (%+.1f %%)",
                 out ? "sends" : "receives", (double)rate / 1e6, got / 1e6, wire / 1e6,
                 (wire / (double)rate - 1) * 100);
    CHECK(wire > (double)rate * 0.95 && wire < (double)rate * 1.05);
    close(inside);
    close(outside);
}

TEST(rates_hold_in_both_directions)
{
    if (!alone()) {
        SKIP("%s", why);
    }
    struct host_net *net;
    const struct host_netns *ns;
    struct host_net_options one = options;
    one.rate_bits = 50 * MBIT;
    REQUIRE(host_net_open(&one, &net, &diag) == 0);
    REQUIRE(host_net_take(net, &ns, &diag) == 0);
    check_rate(ns, 7001, true, 50 * MBIT, 2000);
    check_rate(ns, 7002, false, 50 * MBIT, 2000);
    CHECK_INT(host_net_set_rate(net, ns, 400 * MBIT, 10 * MBIT, &diag), ==, 0);
    check_rate(ns, 7003, true, 10 * MBIT, 1500);
    check_rate(ns, 7004, false, 400 * MBIT, 1000);
    CHECK_INT(host_net_set_rate(net, ns, 1, 10 * MBIT, &diag), ==, WM_E_USAGE);
    host_net_put(net, ns);
    host_net_close(net);
}

/* --- walls --- */

/* Whether anything gets from a to b: by connection or by datagram, or by b answering a. */
static bool leaks(const struct host_netns *a, const struct host_netns *b, int *error)
{
    struct place_of_socket tcp = {b->inside_addr, 7100, SOCK_STREAM, -1},
                           udp = {b->inside_addr, 7100, SOCK_DGRAM, -1}, from = tcp, to = udp;
    from.timeout_ms = 700;
    CHECK_INT(run_in(b->fd, listens, &tcp), ==, 0);
    CHECK_INT(run_in(b->fd, listens, &udp), ==, 0);
    *error = run_in(a->fd, connects, &from);
    close(from.fd);
    int sent = run_in(a->fd, sends_a_datagram, &to);
    (void)sent;
    bool got = arrives(udp.fd, 200);
    close(tcp.fd);
    close(udp.fd);
    return *error == 0 || got;
}

static int takes_the_wall_inside_away(void *arg)
{
    const struct host_netns *ns = arg;
    char gateway[INET_ADDRSTRLEN];
    struct in_addr addr = {htonl(ns->outside_addr)};
    IP("route", "del", "prohibit", "default");
    inet_ntop(AF_INET, &addr, gateway, sizeof gateway);
    IP("route", "add", "default", "via", gateway);
    return IP("route", "del", "prohibit", "10.200.0.0/13");
}

static void check_walls(bool forward)
{
    struct host_net *net;
    const struct host_netns *a, *b;
    struct host_net_options two = options;
    int error;
    two.forward = forward;
    REQUIRE(host_net_open(&two, &net, &diag) == 0);
    REQUIRE(host_net_take(net, &a, &diag) == 0 && host_net_take(net, &b, &diag) == 0);
    /* After the pool was made, as an administrator or a container engine would. */
    CHECK(write_file("/proc/sys/net/ipv4/ip_forward", "1"));

    CHECK(!leaks(a, b, &error));
    CHECK_INT(error, ==, -EACCES); /* at once, not after minutes */
    CHECK(!leaks(b, a, &error));

    /* The rule alone: a tenant that got rid of the routes. */
    int rc = run_in(a->fd, takes_the_wall_inside_away, (void *)a);
    if (rc == 127) {
        wm_test_note("no `ip` here: the walls were not tried one by one");
    } else {
        CHECK_INT(rc, ==, 0);
        CHECK(!leaks(a, b, &error));
        CHECK_INT(run_in(b->fd, takes_the_wall_inside_away, (void *)b), ==, 0);
        CHECK(!leaks(a, b, &error));
        CHECK(!leaks(b, a, &error));

        /* Without either wall there is a leak: this test can see one. */
        CHECK_INT(IP("rule", "del", "iif", (char *)a->outside_name, "prohibit"), ==, 0);
        CHECK_INT(IP("rule", "del", "iif", (char *)b->outside_name, "prohibit"), ==, 0);
        CHECK(leaks(a, b, &error));
    }
    CHECK(write_file("/proc/sys/net/ipv4/ip_forward", "0"));
    host_net_put(net, a);
    host_net_put(net, b);
    host_net_close(net);
}

TEST(nothing_passes_between_two)
{
    if (!alone()) {
        SKIP("%s", why);
    }
    check_walls(false);
    check_walls(true);
}

/* An uplink of this "host" with somebody behind it. */
static int answers_beyond(void *arg)
{
    struct place_of_socket *at = arg;
    if (IP("addr", "add", "192.0.2.2/24", "dev", "far") || IP("link", "set", "far", "up") ||
        IP("route", "add", "default", "via", "192.0.2.1")) {
        return 127;
    }
    return listens(at);
}

TEST(beyond_the_host_only_with_forward)
{
    if (!alone()) {
        SKIP("%s", why);
    }
    char path[64];
    int far = host_net_local(&diag);
    REQUIRE(far >= 0);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), far);
    if (IP("link", "add", "uplink", "type", "veth", "peer", "name", "far", "netns", path) != 0 ||
        IP("addr", "add", "192.0.2.1/24", "dev", "uplink") || IP("link", "set", "uplink", "up")) {
        close(far);
        SKIP("no `ip` here to make an uplink with");
    }
    struct place_of_socket server = {0xc0000202, 7200, SOCK_STREAM, -1};
    CHECK_INT(run_in(far, answers_beyond, &server), ==, 0);
    CHECK(write_file("/proc/sys/net/ipv4/ip_forward", "1"));
    for (int round = 0; round < 4; round++) {
        struct host_net *net;
        const struct host_netns *ns;
        struct host_net_options one = options;
        bool forward = round & 1;
        one.forward = forward;
        one.host = round & 2;
        REQUIRE(host_net_open(&one, &net, &diag) == 0);
        CHECK(write_file("/proc/sys/net/ipv4/ip_forward", "1"));
        REQUIRE(host_net_take(net, &ns, &diag) == 0);
        struct place_of_socket client = {server.addr, server.port, SOCK_STREAM, -1};
        int err = run_in(ns->fd, connects, &client);
        CHECK(forward ? err == 0 : err != 0);
        close(client.fd);
        /* The host itself, by its address on that uplink and by the gateway's. */
        struct place_of_socket local = {INADDR_ANY, 7201, SOCK_STREAM, -1};
        CHECK_INT(listens(&local), ==, 0);
        for (int i = 0; i < 2; i++) {
            client =
                (struct place_of_socket){i ? 0xc0000201 : ns->outside_addr, 7201, SOCK_STREAM, -1};
            CHECK_INT(run_in(ns->fd, connects, &client), ==, one.host ? 0 : -EACCES);
            close(client.fd);
        }
        close(local.fd);
        host_net_put(net, ns);
        host_net_close(net);
    }
    close(server.fd);
    IP("link", "del", "uplink");
    CHECK(write_file("/proc/sys/net/ipv4/ip_forward", "0"));
    close(far);
}

static int no_ipv6_addresses(void *arg)
{
    char line[128];
    int count = 0;
    (void)arg;
    FILE *file = fopen("/proc/thread-self/net/if_inet6", "re");
    while (file && fgets(line, sizeof line, file)) {
        count += strstr(line, " lo\n") == NULL;
    }
    if (file) {
        fclose(file);
    }
    return count;
}

TEST(no_ipv6_between)
{
    if (!alone()) {
        SKIP("%s", why);
    }
    struct host_net *net;
    const struct host_netns *ns;
    REQUIRE(host_net_open(&options, &net, &diag) == 0);
    REQUIRE(host_net_take(net, &ns, &diag) == 0);
    CHECK_INT(run_in(ns->fd, no_ipv6_addresses, NULL), ==, 0);
    CHECK_INT(no_ipv6_addresses(NULL), ==, 0);
    host_net_put(net, ns);
    host_net_close(net);
}

/* --- the dead and the wrong --- */

TEST(leftovers_of_a_dead_node)
{
    if (!alone()) {
        SKIP("%s", why);
    }
    int orphan[2];
    REQUIRE(pipe(orphan) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct host_net *net;
        const struct host_netns *ns;
        int err = host_net_open(&options, &net, &diag);
        err = err ? err : host_net_take(net, &ns, &diag);
        if (!err && fork() == 0) { /* a worker that outlives its node */
            err = host_net_enter(ns->fd);
            char byte;
            close(orphan[1]);
            _exit(err || read(orphan[0], &byte, 1));
        }
        _exit(err ? 1 : 0); /* without closing anything */
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_INT(status, ==, 0);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    CHECK(if_nametoindex("wmtest-0") != 0);
    struct host_net *net, *other;
    CHECK_INT(host_net_open(&options, &net, &diag), ==, 0);
    CHECK(if_nametoindex("wmtest-0") != 0);

    /* A node of another name in the same range is told so; in another range it is welcome. */
    struct host_net_options second = options;
    second.prefix = "wmtest2";
    CHECK_INT(host_net_open(&second, &other, &diag), ==, WM_E_BUSY);
    wm_test_note("%s", diag.text);
    CHECK(strstr(diag.text, "from 10.200.0.0 on"));
    second.base = 0x0ac81000;
    CHECK_INT(host_net_open(&second, &other, &diag), ==, 0);
    CHECK(if_nametoindex("wmtest-0") != 0 && if_nametoindex("wmtest2-0") != 0);
    host_net_close(other);
    host_net_close(net);
    /* `ip rule` shows the three of every machine, and none of ours. */
    FILE *file = popen("ip rule list | wc -l", "r");
    int rules = 0;
    if (file && fscanf(file, "%d", &rules) == 1 && rules > 0) {
        CHECK_INT(rules, ==, 3);
    }
    if (file) {
        pclose(file);
    }
    close(orphan[0]);
    close(orphan[1]);
}

TEST(wrong_options)
{
    static const struct host_net_options wrong[] = {
        {.prefix = "", .count = 1, .rate_bits = MBIT},
        {.prefix = "ninechars", .count = 1, .rate_bits = MBIT},
        {.prefix = "a-b", .count = 1, .rate_bits = MBIT},
        {.prefix = "a", .count = 0, .rate_bits = MBIT},
        {.prefix = "a", .count = 2049, .rate_bits = MBIT},
        {.prefix = "a", .count = 1, .ready = 2, .rate_bits = MBIT},
        {.prefix = "a", .count = 1, .rate_bits = 7999},
        {.prefix = "a", .count = 1, .rate_bits = 33000000000},
        {.prefix = "a", .count = 1, .rate_bits = MBIT, .base = 0x0ac80001},
        {.prefix = "a", .count = 1, .rate_bits = MBIT, .base = 0xe0000000},
        {.prefix = "a", .count = 9, .rate_bits = MBIT, .base = 0xdfffff00},
    };
    struct host_net *net;
    for (size_t i = 0; i < WM_COUNT_OF(wrong); i++) {
        CHECK_INT(host_net_open(&wrong[i], &net, &diag), ==, WM_E_USAGE);
    }
}

TEST(every_kernel_call_can_fail)
{
    if (!alone()) {
        SKIP("%s", why);
    }
    struct host_net_options one = options;
    one.count = 1;
    one.ready = 0;
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            struct host_net *net;
            const struct host_netns *ns;
            one.forward = n & 1;
            one.host = n & 2;
            if (host_net_open(&one, &net, &diag) != 0) {
                continue;
            }
            if (host_net_take(net, &ns, &diag) == 0) {
                int err = host_net_set_rate(net, ns, MBIT, MBIT, &diag);
                (void)err;
                host_net_put(net, ns);
            }
            host_net_close(net);
            CHECK_INT(if_nametoindex("wmtest-0"), ==, 0);
        }
    }
    struct host_net *net;
    CHECK_INT(host_net_open(&options, &net, &diag), ==, 0);
    host_net_close(net);
}

static void *takes_and_puts(void *arg)
{
    struct host_net *net = arg;
    struct wm_diag own = WM_DIAG_INIT;
    const struct host_netns *ns;
    for (size_t failures = 0, i = 0; i < 4; i++) {
        int err = host_net_take(net, &ns, &own);
        if (err && (err != WM_E_LIMIT || ++failures > 1000)) {
            return arg;
        }
        if (err) {
            i--;
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            continue;
        }
        err = host_net_set_rate(net, ns, MBIT, (1 + ns->index) * MBIT, &own);
        if (err || ns->rate_out != (1 + ns->index) * MBIT) {
            return arg;
        }
        host_net_put(net, ns);
    }
    return NULL;
}

TEST(many_threads_share_a_pool)
{
    if (!alone()) {
        SKIP("%s", why);
    }
    struct host_net *net;
    pthread_t thread[5];
    REQUIRE(host_net_open(&options, &net, &diag) == 0);
    for (size_t i = 0; i < WM_COUNT_OF(thread); i++) {
        REQUIRE(pthread_create(&thread[i], NULL, takes_and_puts, net) == 0);
    }
    for (size_t i = 0; i < WM_COUNT_OF(thread); i++) {
        void *failed;
        CHECK(pthread_join(thread[i], &failed) == 0 && !failed);
    }
    host_net_close(net);
    CHECK(if_nametoindex("wmtest-0") == 0 && if_nametoindex("wmtest-2") == 0);
}

static int is_refused(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)) {
            _exit(2);
        }
        int err = host_net_probe(&diag);
        _exit(err == -EPERM && strstr(diag.text, "run the node as root") ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

TEST(without_rights_it_says_so)
{
    if (geteuid() != 0) {
        SKIP("not root, so there are no rights to give up");
    }
    CHECK_INT(is_refused(), ==, 0);
}

TEST_MAIN(TEST_CASE(addresses_and_pool), TEST_CASE(cost), TEST_CASE(rates_hold_in_both_directions),
          TEST_CASE(nothing_passes_between_two), TEST_CASE(beyond_the_host_only_with_forward),
          TEST_CASE(no_ipv6_between), TEST_CASE(leftovers_of_a_dead_node), TEST_CASE(wrong_options),
          TEST_CASE(every_kernel_call_can_fail), TEST_CASE(many_threads_share_a_pool),
          TEST_CASE(without_rights_it_says_so))
