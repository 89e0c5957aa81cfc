/* isolation_test.c: the parts together, as a node uses them: a process in its tenant's group and
 * namespace, confined, beside another tenant's. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "host/cgroup.h"
#include "host/confine.h"
#include "host/netns.h"
#include "host/sandbox.h"

static struct wm_diag diag;

struct tenant {
    struct host_cgroup group;
    const struct host_netns *ns;
    pid_t pid;
    int socket; /* to its worker, the node's end */
};

/* One order a byte; the answer is a byte: 0 or an errno. */
enum { CONNECT_HOST = 1, CONNECT_OTHER, BIND, TAKE_MEMORY, OPEN_PASSWD, END };

static uint32_t host_addr, other_addr;

static int connects(uint32_t to)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(7300), .sin_addr.s_addr = htonl(to)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), err = 0;
    socklen_t len = sizeof err;
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0 && errno != EINPROGRESS) {
        return errno;
    }
    if (poll(&polled, 1, 1000) != 1) {
        return ETIMEDOUT;
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    return err;
}

static int obeys(int order)
{
    enum { BYTES = 64 << 20 };
    struct sockaddr_in any = {.sin_family = AF_INET};
    switch (order) {
    case CONNECT_HOST: return connects(host_addr);
    case CONNECT_OTHER: return connects(other_addr);
    case BIND:
        return bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&any, sizeof any) == 0
                   ? 0
                   : errno;
    case TAKE_MEMORY: {
        char *block = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < BYTES; i += 4096) {
            block[i] = 1;
        }
        return 0;
    }
    case OPEN_PASSWD: return fopen("/etc/passwd", "re") ? 0 : errno;
    default: return 0;
    }
}

static void worker(const struct host_netns *ns, int socket)
{
    struct host_worker_profile profile = {.sockets = true, .uid = 65534, .gid = 65534};
    char order = 0, answer = 0;
    /* The node says when the group has been joined. */
    if (read(socket, &order, 1) != 1 || host_net_enter(ns->fd) != 0 ||
        host_confine_worker(&profile, &diag) != 0) {
        _exit(1);
    }
    while (read(socket, &order, 1) == 1 && order != END) {
        answer = (char)obeys(order);
        if (write(socket, &answer, 1) != 1) {
            break;
        }
    }
    _exit(0);
}

static bool start(const struct host_cgroups *cgroups, struct host_net *net, const char *name,
                  struct tenant *out)
{
    const struct host_cgroup_limits limits = {
        .cpu_weight = 100, .memory_bytes = 32 << 20, .pids = 16};
    int pair[2];
    char byte = 0;
    if (host_cgroup_make(cgroups, name, &limits, &out->group, &diag) != 0 ||
        host_net_take(net, &out->ns, &diag) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return false;
    }
    out->pid = fork();
    if (out->pid == 0) {
        close(pair[0]);
        worker(out->ns, pair[1]);
    }
    close(pair[1]);
    out->socket = pair[0];
    return host_cgroup_attach(cgroups, &out->group, out->pid, &diag) == 0 &&
           write(out->socket, &byte, 1) == 1;
}

static int tell(const struct tenant *tenant, int order)
{
    char byte = (char)order;
    return send(tenant->socket, &byte, 1, MSG_NOSIGNAL) == 1 && read(tenant->socket, &byte, 1) == 1
               ? byte
               : -1;
}

static int end(const struct host_cgroups *cgroups, struct host_net *net, struct tenant *tenant)
{
    char byte = END;
    int status = -1;
    ssize_t sent = send(tenant->socket, &byte, 1, MSG_NOSIGNAL);
    (void)sent;
    close(tenant->socket);
    waitpid(tenant->pid, &status, 0);
    CHECK_INT(host_cgroup_remove(cgroups, &tenant->group, &diag), ==, 0);
    host_net_put(net, tenant->ns);
    return status;
}

static int listens(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7300)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(fd, (const struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 5) == 0 ? fd : -1;
}

TEST(two_tenants)
{
    struct host_sandbox sandbox;
    host_sandbox_probe(NULL, &sandbox);
    if (host_sandbox_require(&sandbox, &diag) != 0) {
        SKIP("%s", diag.text);
    }
    REQUIRE(unshare(CLONE_NEWNET) == 0); /* a "host" of its own */
    char prefix[32];
    struct host_cgroups cgroups;
    struct host_net *net;
    struct tenant alice, bob;
    snprintf(prefix, sizeof prefix, "isolation-%d", (int)getpid());
    REQUIRE(host_cgroups_open(&(struct host_cgroup_options){.prefix = prefix}, &cgroups, &diag) ==
            0);
    REQUIRE(
        host_net_open(
            &(struct host_net_options){
                .prefix = "wmtest", .count = 2, .ready = 2, .rate_bits = 100000000, .host = true},
            &net, &diag) == 0);
    int server = listens();
    host_addr = HOST_NET_BASE + 1;
    other_addr = HOST_NET_BASE + 256 + 2;
    REQUIRE(server >= 0);
    REQUIRE(start(&cgroups, net, "alice", &alice) && start(&cgroups, net, "bob", &bob));

    CHECK_INT(tell(&alice, CONNECT_HOST), ==, 0);
    CHECK_INT(tell(&alice, CONNECT_OTHER), ==, EACCES);
    CHECK_INT(tell(&alice, BIND), ==, EPERM);
    CHECK_INT(tell(&alice, OPEN_PASSWD), ==, EACCES);
    struct host_cgroup_usage usage;
    CHECK_INT(host_cgroup_usage(&cgroups, &alice.group, &usage), ==, 0);
    CHECK_INT(usage.processes, ==, 1);
    /* One takes more memory than it has: it dies, the other lives. */
    CHECK_INT(tell(&alice, TAKE_MEMORY), ==, -1);
    CHECK_INT(tell(&bob, OPEN_PASSWD), ==, EACCES);
    CHECK_INT(end(&cgroups, net, &alice), ==, SIGKILL);
    CHECK_INT(end(&cgroups, net, &bob), ==, 0);
    close(server);
    host_net_close(net);
    host_cgroups_close(&cgroups);
}

TEST_MAIN(TEST_CASE(two_tenants))
