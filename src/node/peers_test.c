/* Nodes that watch each other over loopback: deaths, partitions, strangers, slow ones. Each node is
 * a `struct peers` of this process; heartbeats are faster than the default, and every wait has a
 * deadline far beyond what is expected, for busy machines. */
#include "node/peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"
#include "host/file.h"

#define NODES 3
#define BEAT_MS 100u
#define PATIENCE_MS 20000

static const char *const names[NODES] = {"one", "two", "three"};

struct test_node {
    struct peers *peers;
    _Atomic uint32_t running;
    _Atomic uint32_t died[NODES], lived[NODES];
    _Atomic int64_t slow_ms;
    _Atomic uint32_t served, from;
    uint16_t port;
};

static void sleep_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static int echo(void *self, uint32_t peer, struct rpc_request *request)
{
    struct test_node *node = self;
    atomic_fetch_add(&node->served, 1);
    atomic_store(&node->from, peer);
    if (node->slow_ms) {
        sleep_ms(node->slow_ms);
    }
    return rpc_reply_add(request, request->body);
}

static void load_of(void *self, struct peers_load *out)
{
    struct test_node *node = self;
    *out = (struct peers_load){
        .running = node->running, .capacity = 64, .draining = node->running > 5};
}

static void changed(void *self, uint32_t peer, enum peers_state state)
{
    struct test_node *node = self;
    if (state == PEERS_DEAD) {
        atomic_fetch_add(&node->died[peer], 1);
    } else if (state == PEERS_ALIVE) {
        atomic_fetch_add(&node->lived[peer], 1);
    }
}

static int start_keyed(struct test_node *node, const char *name, const uint16_t ports[NODES],
                       uint8_t key_byte, uint32_t connections, struct wm_diag *diag)
{
    struct peers_address list[NODES];
    for (int i = 0; i < NODES; i++) {
        list[i] = (struct peers_address){.name = names[i], .host = "127.0.0.1", .port = ports[i]};
    }
    struct peers_config config = {.name = name,
                                  .list = list,
                                  .count = NODES,
                                  .listen_port = node->port,
                                  .key = {key_byte},
                                  .heartbeat_ms = BEAT_MS,
                                  .missed_max = 5,
                                  .connect_ms = 1000,
                                  .connections_max = connections,
                                  .handle = echo,
                                  .load = load_of,
                                  .changed = changed,
                                  .self = node};
    int rc = peers_start(&config, &node->peers, diag);
    if (rc == 0) {
        node->port = peers_port(node->peers);
    }
    return rc;
}

static bool meet(struct test_node nodes[NODES])
{
    uint16_t ports[NODES] = {1, 1, 1};
    memset(nodes, 0, NODES * sizeof *nodes);
    for (int i = 0; i < NODES; i++) {
        struct wm_diag diag = WM_DIAG_INIT;
        if (start_keyed(&nodes[i], names[i], ports, 7, 4, &diag) != 0) {
            wm_test_note("%s", wm_diag_text(&diag));
            return false;
        }
    }
    for (uint32_t i = 0; i < NODES; i++) {
        for (uint32_t k = 0; k < NODES; k++) {
            if (i != k && peers_move(nodes[i].peers, k, "127.0.0.1", nodes[k].port) != 0) {
                return false;
            }
        }
    }
    return true;
}

static void part(struct test_node nodes[NODES])
{
    for (int i = 0; i < NODES; i++) {
        if (nodes[i].peers) {
            peers_stop(nodes[i].peers);
            nodes[i].peers = NULL;
        }
    }
}

static bool reaches(struct test_node *node, uint32_t peer, enum peers_state state)
{
    struct peers_info info;
    for (int64_t waited = 0; waited < PATIENCE_MS; waited += 10) {
        peers_info(node->peers, peer, &info);
        if (info.state == state) {
            return true;
        }
        sleep_ms(10);
    }
    wm_test_note("peer %s is in state %d, not %d", info.name, info.state, state);
    return false;
}

static bool reaches_count(_Atomic uint32_t *count, uint32_t at_least)
{
    for (int64_t waited = 0; waited < PATIENCE_MS && *count < at_least; waited += 10) {
        sleep_ms(10);
    }
    return *count >= at_least;
}

static bool all_alive(struct test_node nodes[NODES])
{
    for (uint32_t i = 0; i < NODES; i++) {
        for (uint32_t k = 0; k < NODES; k++) {
            if (!reaches(&nodes[i], k, PEERS_ALIVE)) {
                return false;
            }
        }
    }
    return true;
}

static int say(struct test_node *node, uint32_t peer, const char *text)
{
    struct rpc_client *client;
    struct rpc_reply reply;
    int rc = peers_get(node->peers, peer, &client, NULL);
    if (rc != 0) {
        return rc;
    }
    struct iovec body = {(void *)(uintptr_t)text, strlen(text)};
    rc = rpc_call(client, RPC_CALL, &body, 1, -1, &reply, NULL);
    if (rc == 0 && !wm_view_eq_str(reply.body, text)) {
        rc = WM_E_MALFORMED;
    }
    peers_put(node->peers, peer, client, rc != 0);
    return rc;
}

static int64_t now_ms(void)
{
    return host_monotonic_ns() / 1000000;
}

static int open_files(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

TEST(nodes_meet_and_talk)
{
    static struct test_node nodes[NODES];
    int files = open_files();
    REQUIRE(meet(nodes));
    CHECK(all_alive(nodes));
    CHECK_INT(peers_self(nodes[1].peers), ==, 1);
    CHECK_INT(peers_find(nodes[1].peers, "three"), ==, 2);
    CHECK_INT(peers_find(nodes[1].peers, "four"), ==, PEERS_NOBODY);
    CHECK_INT(peers_count(nodes[1].peers), ==, NODES);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(say(&nodes[0], 1, "hello"), ==, 0);
        CHECK_INT(say(&nodes[2], 1, "there"), ==, 0);
    }
    CHECK_INT(nodes[1].served, ==, 40);
    CHECK_INT(nodes[1].from, ==, 2);
    struct peers_info info;
    peers_info(nodes[0].peers, 1, &info);
    CHECK_INT(info.connections, ==, 1); /* reused */
    /* Its load comes with the heartbeats. */
    nodes[1].running = 6;
    for (int i = 0; i < PATIENCE_MS / 10 && info.load.running != 6; i++) {
        sleep_ms(10);
        peers_info(nodes[0].peers, 1, &info);
    }
    CHECK_INT(info.load.running, ==, 6);
    CHECK_INT(info.load.capacity, ==, 64);
    CHECK(info.load.draining);
    struct rpc_client *client;
    CHECK_INT(peers_get(nodes[0].peers, 0, &client, NULL), ==, WM_E_INVALID);
    part(nodes);
    CHECK_INT(open_files(), ==, files); /* nothing is left open */
}

TEST(failing_calls_leave_nothing_behind)
{
    static struct test_node nodes[NODES];
    REQUIRE(meet(nodes));
    REQUIRE(all_alive(nodes));
    for (enum wm_fault_kind kind = 0; kind < WM_FAULT_KINDS; kind++) {
        uint64_t rounds = 0;
        for (uint64_t n = 0; wm_fault_next(kind, &n);) {
            struct peers_info info;
            int rc = say(&nodes[0], 1, "hello");
            bool fired = wm_fault_fired(kind);
            CHECK(rc == 0 || fired);
            peers_info(nodes[0].peers, 1, &info);
            CHECK_INT(info.connections, ==, rc == 0);
            /* The next round makes a new one. */
            CHECK_INT(peers_move(nodes[0].peers, 1, "127.0.0.1", nodes[1].port), ==, 0);
            for (int i = 0; i < PATIENCE_MS / 10 && info.connections; i++) {
                sleep_ms(10);
                peers_info(nodes[0].peers, 1, &info);
            }
            rounds++;
        }
        CHECK_INT(rounds, >=, 3);
    }
    part(nodes);
}

struct asking {
    struct test_node *node;
    pthread_t thread;
    uint32_t peer;
    int rc;
    int64_t took_ms;
};

static void *ask_thread(void *argument)
{
    struct asking *asking = argument;
    int64_t before = now_ms();
    asking->rc = say(asking->node, asking->peer, "question");
    asking->took_ms = now_ms() - before;
    return NULL;
}

TEST(a_death_is_noticed_and_ends_the_wait)
{
    static struct test_node nodes[NODES];
    REQUIRE(meet(nodes));
    REQUIRE(all_alive(nodes));
    CHECK_INT(say(&nodes[0], 2, "idle connection"), ==, 0);
    peers_stop(nodes[2].peers);
    nodes[2].peers = NULL;
    CHECK(reaches_count(&nodes[0].died[2], 1));
    CHECK(reaches_count(&nodes[1].died[2], 1));
    CHECK_INT(nodes[0].died[1], ==, 0);
    CHECK_INT(say(&nodes[0], 2, "anybody"), ==, -EHOSTUNREACH);
    CHECK_INT(say(&nodes[0], 1, "still here"), ==, 0);
    /* It comes back at the same port. */
    uint16_t ports[NODES] = {nodes[0].port, nodes[1].port, nodes[2].port};
    CHECK_INT(start_keyed(&nodes[2], names[2], ports, 7, 4, NULL), ==, 0);
    CHECK(reaches(&nodes[0], 2, PEERS_ALIVE));
    CHECK_INT(say(&nodes[0], 2, "welcome"), ==, 0);
    part(nodes);
}

TEST(a_fast_restart_is_reported_as_a_death)
{
    static struct test_node nodes[NODES];
    REQUIRE(meet(nodes));
    REQUIRE(all_alive(nodes));
    uint16_t ports[NODES] = {nodes[0].port, nodes[1].port, nodes[2].port};
    peers_stop(nodes[2].peers);
    CHECK_INT(start_keyed(&nodes[2], names[2], ports, 7, 4, NULL), ==, 0);
    CHECK(reaches_count(&nodes[0].died[2], 1));
    CHECK(reaches_count(&nodes[0].lived[2], 2));
    CHECK(reaches(&nodes[0], 2, PEERS_ALIVE));
    part(nodes);
}

/* A relay between two nodes, which can stop passing bytes without closing anything. */
struct relay {
    int listener;
    uint16_t port, to;
    _Atomic bool cut, stop;
    pthread_t thread;
};

static int loopback_socket(uint16_t port, bool listening, uint16_t *bound)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int rc = listening ? bind(fd, (struct sockaddr *)&address, len)
                       : connect(fd, (struct sockaddr *)&address, len);
    rc = rc == 0 && listening ? listen(fd, 64) : rc;
    if (rc == 0 && bound) {
        rc = getsockname(fd, (struct sockaddr *)&address, &len);
        *bound = ntohs(address.sin_port);
    }
    if (rc != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void *relay_thread(void *argument)
{
    struct relay *relay = argument;
    struct pollfd items[65] = {{.fd = relay->listener, .events = POLLIN}};
    int pairs = 0;
    while (!relay->stop) {
        int count = 1 + 2 * pairs;
        if (relay->cut) {
            sleep_ms(5);
            continue;
        }
        if (poll(items, (nfds_t)count, 20) <= 0) {
            continue;
        }
        for (int i = 1; i < count; i++) {
            uint8_t bytes[4096];
            if (items[i].fd < 0 || !(items[i].revents & (POLLIN | POLLHUP | POLLERR))) {
                continue;
            }
            int other = items[((i - 1) ^ 1) + 1].fd;
            ssize_t len = recv(items[i].fd, bytes, sizeof bytes, MSG_DONTWAIT);
            if (len > 0) {
                (void)!send(other, bytes, (size_t)len, MSG_NOSIGNAL);
            } else if (len == 0 || errno != EAGAIN) {
                close(items[i].fd);
                close(other);
                items[i].fd = items[((i - 1) ^ 1) + 1].fd = -1;
            }
        }
        if ((items[0].revents & POLLIN) && pairs < 32) {
            int in = accept(relay->listener, NULL, NULL);
            int out = loopback_socket(relay->to, false, NULL);
            if (in >= 0 && out >= 0) {
                items[1 + 2 * pairs] = (struct pollfd){.fd = in, .events = POLLIN};
                items[2 + 2 * pairs] = (struct pollfd){.fd = out, .events = POLLIN};
                pairs++;
            }
        }
    }
    for (int i = 1; i < 1 + 2 * pairs; i++) {
        if (items[i].fd >= 0) {
            close(items[i].fd);
        }
    }
    return NULL;
}

TEST(a_partition_is_seen_by_whom_it_cuts_off)
{
    static struct test_node nodes[NODES];
    static struct relay relay;
    REQUIRE(meet(nodes));
    REQUIRE(all_alive(nodes));
    memset(&relay, 0, sizeof relay);
    relay.to = nodes[1].port;
    relay.listener = loopback_socket(0, true, &relay.port);
    REQUIRE(relay.listener >= 0);
    REQUIRE(pthread_create(&relay.thread, NULL, relay_thread, &relay) == 0);
    CHECK_INT(peers_move(nodes[0].peers, 1, "127.0.0.1", relay.port), ==, 0);
    sleep_ms(BEAT_MS * 2);
    CHECK(reaches(&nodes[0], 1, PEERS_ALIVE));
    CHECK_INT(say(&nodes[0], 1, "through the relay"), ==, 0);
    uint32_t died = nodes[0].died[1], others = nodes[2].died[1];
    /* Somebody waits for a slow reply when the bytes stop. */
    nodes[1].slow_ms = 200;
    struct asking asking = {.node = &nodes[0], .peer = 1};
    REQUIRE(pthread_create(&asking.thread, NULL, ask_thread, &asking) == 0);
    sleep_ms(50);
    relay.cut = true;
    CHECK(reaches_count(&nodes[0].died[1], died + 1));
    pthread_join(asking.thread, NULL);
    CHECK(asking.rc != 0);
    CHECK_INT(asking.took_ms, <, PATIENCE_MS);
    CHECK_INT(nodes[2].died[1], ==, others); /* node three sees it well */
    CHECK_INT(say(&nodes[2], 1, "still here"), ==, 0);
    nodes[1].slow_ms = 0;
    relay.cut = false;
    CHECK(reaches(&nodes[0], 1, PEERS_ALIVE));
    CHECK_INT(say(&nodes[0], 1, "again"), ==, 0);
    relay.stop = true;
    pthread_join(relay.thread, NULL);
    close(relay.listener);
    part(nodes);
}

TEST(a_slow_peer_does_not_block_others)
{
    static struct test_node nodes[NODES];
    static struct asking asking[5];
    REQUIRE(meet(nodes));
    REQUIRE(all_alive(nodes));
    nodes[1].slow_ms = 1500;
    for (int i = 0; i < 4; i++) { /* all connections that may be */
        asking[i] = (struct asking){.node = &nodes[0], .peer = 1};
        REQUIRE(pthread_create(&asking[i].thread, NULL, ask_thread, &asking[i]) == 0);
    }
    CHECK(reaches_count(&nodes[1].served, 4));
    int64_t before = now_ms();
    struct rpc_client *client;
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(peers_get(nodes[0].peers, 1, &client, &diag), ==, WM_E_BUSY);
    CHECK(strstr(diag.text, "node two: all 4 connections") != NULL);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(say(&nodes[0], 2, "quick"), ==, 0);
    }
    CHECK_INT(now_ms() - before, <, 1400);
    struct peers_info info;
    peers_info(nodes[0].peers, 1, &info);
    CHECK_INT(info.state, ==, PEERS_ALIVE); /* its heartbeats are not behind its work */
    for (int i = 0; i < 4; i++) {
        pthread_join(asking[i].thread, NULL);
        CHECK_INT(asking[i].rc, ==, 0);
    }
    CHECK_INT(nodes[0].died[1], ==, 0);
    nodes[1].slow_ms = 0;
    part(nodes);
}

TEST(wrong_key_and_unknown_names_are_refused)
{
    static struct test_node nodes[NODES], liar, stranger;
    REQUIRE(meet(nodes));
    REQUIRE(all_alive(nodes));
    uint16_t ports[NODES] = {nodes[0].port, nodes[1].port, nodes[2].port};
    memset(&liar, 0, sizeof liar);
    memset(&stranger, 0, sizeof stranger);
    REQUIRE(start_keyed(&liar, names[2], ports, 8, 4, NULL) == 0);   /* not the cluster's key */
    REQUIRE(start_keyed(&stranger, "four", ports, 7, 4, NULL) == 0); /* the key, not in the list */
    CHECK_INT(peers_self(stranger.peers), ==, PEERS_NOBODY);
    uint32_t served = nodes[0].served;
    struct wm_diag diag = WM_DIAG_INIT;
    struct rpc_client *client;
    int rc = peers_get(liar.peers, 0, &client, &diag);
    CHECK(rc == -EPIPE || rc == -ECONNRESET || rc == -EHOSTUNREACH);
    CHECK(strstr(diag.text, "node one") != NULL);
    CHECK(say(&stranger, 0, "let me in") != 0);
    CHECK(reaches(&liar, 0, PEERS_DEAD));
    CHECK(reaches(&stranger, 0, PEERS_DEAD));
    CHECK_INT(nodes[0].served, ==, served);
    CHECK_INT(say(&nodes[1], 0, "it works for us"), ==, 0);
    peers_stop(liar.peers);
    peers_stop(stranger.peers);
    part(nodes);
}

TEST(strangers_do_not_keep_peers_out)
{
    static struct test_node nodes[NODES];
    int fds[64];
    REQUIRE(meet(nodes));
    REQUIRE(all_alive(nodes));
    for (size_t i = 0; i < WM_COUNT_OF(fds); i++) {
        static const uint8_t noise[300] = {'W', 'M', 'C', '1', 3};
        fds[i] = loopback_socket(nodes[1].port, false, NULL);
        CHECK(fds[i] >= 0);
        /* Some say nothing, some a part, some too much. */
        (void)!send(fds[i], noise, i % 3 * 140, MSG_NOSIGNAL);
    }
    CHECK_INT(say(&nodes[0], 2, "others are not concerned"), ==, 0);
    /* Theirs is a place each for as long as a handshake may take. */
    int rc = -1;
    for (int i = 0; i < 100 && rc != 0; i++) {
        rc = say(&nodes[0], 1, "nor is this one, for long");
        sleep_ms(rc != 0 ? 100 : 0);
    }
    CHECK_INT(rc, ==, 0);
    for (size_t i = 0; i < WM_COUNT_OF(fds); i++) {
        uint8_t byte;
        struct pollfd item = {.fd = fds[i], .events = POLLIN};
        CHECK_INT(poll(&item, 1, PATIENCE_MS), ==, 1);
        CHECK(recv(fds[i], &byte, 1, MSG_DONTWAIT) <= 0); /* closed, without a word */
        close(fds[i]);
    }
    part(nodes);
}

TEST(configuration)
{
    struct peers *peers;
    struct wm_diag diag = WM_DIAG_INIT;
    struct peers_address twice[] = {{"a", "127.0.0.1", 1}, {"a", "127.0.0.1", 2}};
    struct peers_config config = {.name = "a", .list = twice, .count = 2};
    CHECK_INT(peers_start(&config, &peers, &diag), ==, WM_E_INVALID);
    CHECK(strstr(diag.text, "node a is in the list twice") != NULL);
    config = (struct peers_config){.name = "", .list = twice, .count = 1};
    CHECK_INT(peers_start(&config, &peers, &diag), ==, WM_E_INVALID);
    config = (struct peers_config){.name = "b", .listen_host = "not an address"};
    CHECK_INT(peers_start(&config, &peers, &diag), ==, WM_E_INVALID);
    config = (struct peers_config){.name = "b", .list = twice, .count = PEERS_MAX + 1};
    CHECK_INT(peers_start(&config, &peers, &diag), ==, WM_E_LIMIT);
    /* Two at one port: the second is told which. */
    config = (struct peers_config){.name = "b"};
    REQUIRE(peers_start(&config, &peers, &diag) == 0);
    config.listen_port = peers_port(peers);
    struct peers *second;
    CHECK_INT(peers_start(&config, &second, &diag), ==, -EADDRINUSE);
    CHECK(strstr(diag.text, "listening for nodes on 127.0.0.1 port") != NULL);
    peers_stop(peers);
}

TEST(memory_may_run_out_while_starting)
{
    struct peers_address list[] = {{"a", "127.0.0.1", 1}, {"b", "127.0.0.1", 1}};
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct peers_config config = {.name = "a", .list = list, .count = 2};
        struct peers *peers = NULL;
        int rc = peers_start(&config, &peers, NULL);
        CHECK_INT(rc, ==, wm_fault_fired(WM_FAULT_ALLOC) ? -ENOMEM : 0);
        if (rc == 0) {
            peers_stop(peers);
        }
        rounds++;
    }
    CHECK_INT(rounds, >=, 5);
}

TEST(heartbeats_are_read_strictly)
{
    uint8_t bytes[PEERS_HEARTBEAT_BYTES + 1] = {0};
    struct peers_load load = {
        .running = 3, .queued = 4, .capacity = 5, .load = 0x1234, .draining = true};
    struct peers_load read;
    uint64_t boot;
    peers_heartbeat_encode(&load, 0x1122334455667788, bytes);
    REQUIRE(peers_heartbeat_decode(wm_view_of(bytes, PEERS_HEARTBEAT_BYTES), &read, &boot) == 0);
    CHECK_INT(read.load, ==, 0x1234);
    CHECK(read.running == 3 && read.queued == 4 && read.capacity == 5 && read.draining);
    CHECK(boot == 0x1122334455667788);
    static const uint8_t vector[PEERS_HEARTBEAT_BYTES] = {
        1, 1, 0x34, 0x12, 3,    0,    0,    0,    4,    0,    0,    0,
        5, 0, 0,    0,    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    CHECK(memcmp(vector, bytes, sizeof vector) == 0);
    for (size_t len = 0; len < PEERS_HEARTBEAT_BYTES; len++) {
        CHECK_INT(peers_heartbeat_decode(wm_view_of(bytes, len), &read, &boot), ==, WM_E_MALFORMED);
    }
    CHECK_INT(peers_heartbeat_decode(wm_view_of(bytes, sizeof bytes), &read, &boot), ==,
              WM_E_MALFORMED);
    bytes[0] = 2; /* a later version may be longer */
    CHECK_INT(peers_heartbeat_decode(wm_view_of(bytes, sizeof bytes), &read, &boot), ==, 0);
    for (int at = 0; at < 2; at++) {
        uint8_t kept = bytes[at];
        bytes[at] = at == 0 ? 0 : 2;
        CHECK_INT(peers_heartbeat_decode(wm_view_of(bytes, PEERS_HEARTBEAT_BYTES), &read, &boot),
                  ==, WM_E_MALFORMED);
        bytes[at] = kept;
    }
}

TEST_MAIN(TEST_CASE(nodes_meet_and_talk), TEST_CASE(failing_calls_leave_nothing_behind),
          TEST_CASE(a_death_is_noticed_and_ends_the_wait),
          TEST_CASE(a_fast_restart_is_reported_as_a_death),
          TEST_CASE(a_partition_is_seen_by_whom_it_cuts_off),
          TEST_CASE(a_slow_peer_does_not_block_others),
          TEST_CASE(wrong_key_and_unknown_names_are_refused),
          TEST_CASE(strangers_do_not_keep_peers_out), TEST_CASE(configuration),
          TEST_CASE(memory_may_run_out_while_starting), TEST_CASE(heartbeats_are_read_strictly))
