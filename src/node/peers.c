/* One mutex guards everything that is shared; nothing slow happens under it. Each connection has,
 * beside the descriptor that its transport owns, a duplicate of ours (`ctl`): so another thread can
 * shut the connection down at any moment without racing against its close.
 *
 *     accept thread --> serving threads (struct served)
 *     beat thread of each peer: asks, and writes down when the peer answered
 *     judging thread: turns those times into states, reports changes, ends what is dead or idle */
#include "node/peers.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/fault.h"
#include "crypto/hash.h"
#include "faaslet/secure.h"
#include "host/file.h"

#define SERVED_MAX 1024u
#define STACK_BYTES (1u << 20)
#define HOST_BYTES_MAX 256u

struct connection {                 /* to a peer */
    bool used;                      /* this entry */
    bool lent;                      /* or being made */
    bool doomed;                    /* the peer died, or moved, or we stop */
    int ctl;                        /* -1: none yet */
    struct rpc_transport transport; /* owned by client */
    struct rpc_client *client;
    int64_t idle_ns; /* since when */
};

struct peer {
    struct peers *peers;
    char name[PEERS_NAME_BYTES_MAX + 1];
    char host[HOST_BYTES_MAX];
    uint16_t port;
    bool self;
    enum peers_state state; /* as reported last */
    bool answered;
    bool restarted; /* its boot number changed, not yet reported */
    int64_t answered_ns;
    uint64_t boot;
    struct peers_load load;
    struct connection *connections; /* connections_max of them */
    int beat_ctl;
    pthread_t beat;
    bool beat_runs;
};

struct served {
    struct peers *peers;
    pthread_t thread;
    bool used, done, known; /* known: the handshake is over */
    int fd, ctl;
    uint32_t peer;
};

struct peers {
    struct peers_config config; /* completed; its strings are not used */
    char name[PEERS_NAME_BYTES_MAX + 1];
    uint64_t boot;
    uint32_t count, self;
    struct peer *list;
    struct served *served;
    uint32_t served_max, served_count, strangers;
    int listener;
    uint16_t port;
    pthread_mutex_t lock;
    pthread_cond_t stop_cond; /* CLOCK_MONOTONIC */
    bool stopping;
    pthread_t accept, judge;
    bool accept_runs, judge_runs;
};

/* --- Connecting --- */

static int connect_address(const struct addrinfo *address, int64_t deadline_ns, int *out)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    int rc = wm_fault_here(WM_FAULT_IO)                                ? -EIO
             : connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0
                                                                       : -errno;
    while (rc == -EINPROGRESS || rc == -EINTR) {
        int64_t left = (deadline_ns - host_monotonic_ns()) / 1000000;
        struct pollfd item = {.fd = fd, .events = POLLOUT};
        int ready = left > 0 ? poll(&item, 1, (int)left) : 0;
        if (ready == 0) {
            rc = -ETIMEDOUT;
        } else if (ready > 0) {
            int error = 0;
            socklen_t len = sizeof error;
            rc = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? -error : -errno;
        } else if (errno != EINTR) {
            rc = -errno;
        }
    }
    if (rc != 0) {
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

static int connect_host(const char *host, uint16_t port, uint32_t ms, int *fd, struct wm_diag *diag)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0) {
        return wm_diag_set(diag, -EHOSTUNREACH, "%s: %s", host, gai_strerror(rc));
    }
    int64_t deadline_ns = host_monotonic_ns() + (int64_t)ms * 1000000;
    rc = -EHOSTUNREACH;
    for (const struct addrinfo *at = found; at && rc != 0; at = at->ai_next) {
        rc = connect_address(at, deadline_ns, fd);
    }
    freeaddrinfo(found);
    if (rc != 0) {
        return wm_diag_set(diag, rc, "connecting to %s port %u: %s", host, port, wm_error_text(rc));
    }
    return 0;
}

/* Connects to a peer and shakes hands. *ctl, which others read under the lock, is set as soon as
 * there is a socket; on failure it is -1 again. */
static int open_connection(struct peer *peer, uint32_t io_ms, int *ctl,
                           struct rpc_transport *transport, struct rpc_client **out,
                           struct wm_diag *diag)
{
    struct peers *peers = peer->peers;
    char host[HOST_BYTES_MAX];
    pthread_mutex_lock(&peers->lock);
    memcpy(host, peer->host, sizeof host);
    uint16_t port = peer->port;
    pthread_mutex_unlock(&peers->lock);
    int fd;
    int rc = connect_host(host, port, peers->config.connect_ms, &fd, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "node %s", peer->name);
        return rc;
    }
    int duplicate = wm_fault_here(WM_FAULT_IO) ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) {
        rc = -EMFILE;
        close(fd);
        return wm_diag_set(diag, rc, "node %s: %s", peer->name, wm_error_text(rc));
    }
    pthread_mutex_lock(&peers->lock);
    *ctl = duplicate;
    bool stopping = peers->stopping;
    pthread_mutex_unlock(&peers->lock);
    if (stopping) {
        close(fd);
        rc = -ECANCELED;
    } else {
        struct secure_config config = {.key = peers->config.key,
                                       .name = peers->name,
                                       .peer = peer->name,
                                       .handshake_ms = peers->config.connect_ms,
                                       .io_ms = io_ms};
        rc = secure_transport(fd, &config, transport, NULL, diag);
        if (rc == 0) {
            rc = rpc_client_new(transport, out, diag);
        }
        if (rc != 0) {
            wm_diag_prefix(diag, "node %s", peer->name);
        }
    }
    if (rc != 0) {
        pthread_mutex_lock(&peers->lock);
        *ctl = -1;
        pthread_mutex_unlock(&peers->lock);
        close(duplicate);
    }
    return rc;
}

/* --- Lending --- */

/* Takes the entry's content out, under the lock; dispose_of it without. */
static struct connection take_out(struct connection *connection)
{
    struct connection taken = *connection;
    *connection = (struct connection){.ctl = -1};
    return taken;
}

static void dispose_of(struct connection *taken)
{
    if (taken->client) {
        rpc_client_free(taken->client);
    }
    if (taken->ctl >= 0) {
        close(taken->ctl);
    }
}

/* All connections to a peer end; lent ones fail and are disposed of by peers_put. Under the lock.
 */
static void doom(struct peer *peer, uint32_t max)
{
    for (uint32_t i = 0; i < max; i++) {
        struct connection *connection = &peer->connections[i];
        if (connection->used) {
            connection->doomed = true;
            if (connection->ctl >= 0) {
                (void)shutdown(connection->ctl, SHUT_RDWR);
            }
        }
    }
}

int peers_get(struct peers *peers, uint32_t number, struct rpc_client **out, struct wm_diag *diag)
{
    WM_ASSERT(number < peers->count);
    struct peer *peer = &peers->list[number];
    if (peer->self) {
        return wm_diag_set(diag, WM_E_INVALID, "node %s: it is this node", peer->name);
    }
    for (;;) {
        struct connection *best = NULL, *unused = NULL;
        pthread_mutex_lock(&peers->lock);
        if (peers->stopping || peer->state == PEERS_DEAD) {
            bool stopping = peers->stopping;
            pthread_mutex_unlock(&peers->lock);
            return wm_diag_set(diag, -EHOSTUNREACH, "node %s: %s", peer->name,
                               stopping ? "this node is stopping" : "it does not answer");
        }
        for (uint32_t i = 0; i < peers->config.connections_max; i++) {
            struct connection *connection = &peer->connections[i];
            if (!connection->used) {
                unused = unused ? unused : connection;
            } else if (!connection->lent && !connection->doomed &&
                       (!best || connection->idle_ns > best->idle_ns)) {
                best = connection; /* the one used last: the others may become idle enough to go */
            }
        }
        if (best && !secure_is_quiet(&best->transport)) {
            struct connection taken = take_out(best);
            pthread_mutex_unlock(&peers->lock);
            dispose_of(&taken);
            continue;
        }
        if (best) {
            best->lent = true;
            *out = best->client;
            pthread_mutex_unlock(&peers->lock);
            return 0;
        }
        if (unused) {
            *unused = (struct connection){.used = true, .lent = true, .ctl = -1};
        }
        pthread_mutex_unlock(&peers->lock);
        if (!unused) {
            return wm_diag_set(diag, WM_E_BUSY, "node %s: all %u connections to it are in use",
                               peer->name, peers->config.connections_max);
        }
        struct rpc_transport transport;
        struct rpc_client *client = NULL;
        int rc = open_connection(peer, 0, &unused->ctl, &transport, &client, diag);
        pthread_mutex_lock(&peers->lock);
        if (rc == 0 && !unused->doomed) {
            unused->transport = transport;
            unused->client = client;
            *out = client;
            pthread_mutex_unlock(&peers->lock);
            return 0;
        }
        struct connection taken = take_out(unused);
        pthread_mutex_unlock(&peers->lock);
        if (rc == 0) {
            taken.client = client;
            rc = wm_diag_set(diag, -EHOSTUNREACH, "node %s: it does not answer", peer->name);
        }
        dispose_of(&taken);
        return rc;
    }
}

void peers_put(struct peers *peers, uint32_t number, struct rpc_client *client, bool broken)
{
    WM_ASSERT(number < peers->count);
    struct peer *peer = &peers->list[number];
    struct connection taken = {.ctl = -1};
    pthread_mutex_lock(&peers->lock);
    uint32_t i = 0;
    while (i < peers->config.connections_max && peer->connections[i].client != client) {
        i++;
    }
    WM_ASSERT(i < peers->config.connections_max && peer->connections[i].lent);
    struct connection *connection = &peer->connections[i];
    if (broken || connection->doomed) {
        taken = take_out(connection);
    } else {
        connection->lent = false;
        connection->idle_ns = host_monotonic_ns();
    }
    pthread_mutex_unlock(&peers->lock);
    dispose_of(&taken);
}

/* --- Heartbeats --- */

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* Sleeps; under the lock. False: stopping. */
static bool sleep_until(struct peers *peers, int64_t until_ns)
{
    struct timespec until = timespec_of(until_ns);
    while (!peers->stopping && host_monotonic_ns() < until_ns) {
        (void)pthread_cond_timedwait(&peers->stop_cond, &peers->lock, &until);
    }
    return !peers->stopping;
}

static void own_load(struct peers *peers, struct peers_load *load)
{
    *load = (struct peers_load){0};
    if (peers->config.load) {
        peers->config.load(peers->config.self, load);
    }
}

static int ask(struct peer *peer, struct rpc_client *client)
{
    struct peers *peers = peer->peers;
    struct peers_load load;
    uint8_t body[PEERS_HEARTBEAT_BYTES];
    own_load(peers, &load);
    peers_heartbeat_encode(&load, peers->boot, body);
    struct iovec part = {body, sizeof body};
    struct rpc_reply reply;
    uint64_t boot;
    int rc = rpc_call(client, RPC_NODE, &part, 1, -1, &reply, NULL);
    if (rc == 0) {
        if (reply.fd >= 0) {
            close(reply.fd);
        }
        rc = peers_heartbeat_decode(reply.body, &load, &boot);
    }
    if (rc != 0) {
        return rc;
    }
    pthread_mutex_lock(&peers->lock);
    peer->restarted = peer->restarted || (peer->answered && peer->boot != boot);
    peer->boot = boot;
    peer->load = load;
    peer->answered = true;
    peer->answered_ns = host_monotonic_ns();
    pthread_mutex_unlock(&peers->lock);
    return 0;
}

static void *beat_thread(void *argument)
{
    struct peer *peer = argument;
    struct peers *peers = peer->peers;
    struct rpc_client *client = NULL;
    struct rpc_transport transport;
    bool going = true;
    while (going) {
        int64_t next_ns = host_monotonic_ns() + (int64_t)peers->config.heartbeat_ms * 1000000;
        if (!client) {
            /* An answer later than this comes from a peer that is dead by then. */
            (void)!open_connection(peer, peers->config.heartbeat_ms * peers->config.missed_max,
                                   &peer->beat_ctl, &transport, &client, NULL);
        }
        if (client && ask(peer, client) != 0) {
            pthread_mutex_lock(&peers->lock);
            struct connection taken = {.ctl = peer->beat_ctl, .client = client};
            peer->beat_ctl = -1;
            pthread_mutex_unlock(&peers->lock);
            dispose_of(&taken);
            client = NULL;
        }
        pthread_mutex_lock(&peers->lock);
        going = sleep_until(peers, next_ns);
        pthread_mutex_unlock(&peers->lock);
    }
    if (client) {
        pthread_mutex_lock(&peers->lock);
        struct connection taken = {.ctl = peer->beat_ctl, .client = client};
        peer->beat_ctl = -1;
        pthread_mutex_unlock(&peers->lock);
        dispose_of(&taken);
    }
    return NULL;
}

static enum peers_state judged(const struct peers *peers, const struct peer *peer, int64_t now_ns)
{
    int64_t beat_ns = (int64_t)peers->config.heartbeat_ms * 1000000;
    int64_t age_ns = now_ns - peer->answered_ns;
    if (age_ns > beat_ns * peers->config.missed_max) {
        return PEERS_DEAD;
    }
    return age_ns > beat_ns * 3 / 2 || !peer->answered ? PEERS_SUSPECT : PEERS_ALIVE;
}

static void report(struct peers *peers, uint32_t number, enum peers_state state)
{
    if (peers->config.changed) {
        peers->config.changed(peers->config.self, number, state);
    }
}

static void judge_peer(struct peers *peers, uint32_t number)
{
    struct peer *peer = &peers->list[number];
    int64_t now_ns = host_monotonic_ns();
    pthread_mutex_lock(&peers->lock);
    enum peers_state before = peer->state;
    enum peers_state after = judged(peers, peer, now_ns);
    bool died = before != PEERS_DEAD && (after == PEERS_DEAD || peer->restarted);
    bool again = before != after || peer->restarted;
    peer->restarted = false;
    peer->state = after;
    if (died) {
        doom(peer, peers->config.connections_max);
    }
    /* Idle ones that are old, or doomed: one a round, so that little is done under the lock. */
    struct connection taken = {.ctl = -1};
    for (uint32_t i = 0; i < peers->config.connections_max; i++) {
        struct connection *connection = &peer->connections[i];
        if (connection->used && !connection->lent &&
            (connection->doomed ||
             now_ns - connection->idle_ns > (int64_t)peers->config.idle_ms * 1000000)) {
            taken = take_out(connection);
            break;
        }
    }
    pthread_mutex_unlock(&peers->lock);
    dispose_of(&taken);
    if (died) {
        report(peers, number, PEERS_DEAD);
    }
    if (again && !(died && after == PEERS_DEAD)) {
        report(peers, number, after);
    }
}

/* --- Serving --- */

static void reap(struct peers *peers)
{
    for (uint32_t i = 0; i < peers->served_max; i++) {
        struct served *served = &peers->served[i];
        pthread_mutex_lock(&peers->lock);
        bool over = served->used && served->done;
        pthread_mutex_unlock(&peers->lock);
        if (over) {
            pthread_join(served->thread, NULL);
            close(served->ctl);
            pthread_mutex_lock(&peers->lock);
            served->used = false;
            peers->served_count--;
            pthread_mutex_unlock(&peers->lock);
        }
    }
}

static void *judge_thread(void *argument)
{
    struct peers *peers = argument;
    int64_t step_ns = (int64_t)peers->config.heartbeat_ms * 1000000 / 4;
    bool going = true;
    while (going) {
        for (uint32_t i = 0; i < peers->count; i++) {
            if (!peers->list[i].self) {
                judge_peer(peers, i);
            }
        }
        reap(peers);
        pthread_mutex_lock(&peers->lock);
        going = sleep_until(peers, host_monotonic_ns() + step_ns);
        pthread_mutex_unlock(&peers->lock);
    }
    return NULL;
}

static int handle(void *self, struct rpc_request *request)
{
    struct served *served = self;
    struct peers *peers = served->peers;
    if (request->service != RPC_NODE) {
        return peers->config.handle
                   ? peers->config.handle(peers->config.self, served->peer, request)
                   : WM_E_UNSUPPORTED;
    }
    struct peers_load load;
    uint64_t boot;
    uint8_t body[PEERS_HEARTBEAT_BYTES];
    int rc = peers_heartbeat_decode(request->body, &load, &boot);
    if (rc != 0) {
        return rc;
    }
    own_load(peers, &load);
    peers_heartbeat_encode(&load, peers->boot, body);
    return rpc_reply_add(request, wm_view_of(body, sizeof body));
}

static void *serve_thread(void *argument)
{
    struct served *served = argument;
    struct peers *peers = served->peers;
    struct secure_config config = {
        .key = peers->config.key, .name = peers->name, .handshake_ms = peers->config.connect_ms};
    struct rpc_transport transport;
    char name[SECURE_NAME_BYTES_MAX + 1];
    int rc = secure_transport(served->fd, &config, &transport, name, NULL);
    if (rc == 0) {
        served->peer = peers_find(peers, name);
    }
    pthread_mutex_lock(&peers->lock);
    served->known = true;
    peers->strangers--;
    bool stopping = peers->stopping;
    pthread_mutex_unlock(&peers->lock);
    if (rc == 0 && (served->peer == PEERS_NOBODY || stopping)) {
        transport.close(transport.self);
    } else if (rc == 0) {
        (void)!rpc_serve(&transport, handle, served, NULL); /* closes it */
    }
    pthread_mutex_lock(&peers->lock);
    served->done = true;
    pthread_mutex_unlock(&peers->lock);
    return NULL;
}

/* Gives an accepted connection a thread; closes it where that cannot be. */
static void serve(struct peers *peers, int fd)
{
    struct served *served = NULL;
    uint32_t strangers_max = peers->served_max / 4 > 16 ? peers->served_max / 4 : 16;
    int ctl = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    pthread_mutex_lock(&peers->lock);
    if (ctl >= 0 && !peers->stopping && peers->strangers < strangers_max) {
        for (uint32_t i = 0; i < peers->served_max && !served; i++) {
            served = peers->served[i].used ? NULL : &peers->served[i];
        }
    }
    if (served) {
        *served = (struct served){
            .peers = peers, .used = true, .fd = fd, .ctl = ctl, .peer = PEERS_NOBODY};
        peers->served_count++;
        peers->strangers++;
    }
    pthread_mutex_unlock(&peers->lock);
    if (served) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, STACK_BYTES);
        int rc = pthread_create(&served->thread, &attributes, serve_thread, served);
        pthread_attr_destroy(&attributes);
        if (rc == 0) {
            return;
        }
        pthread_mutex_lock(&peers->lock);
        served->used = false;
        peers->served_count--;
        peers->strangers--;
        pthread_mutex_unlock(&peers->lock);
    }
    close(fd);
    if (ctl >= 0) {
        close(ctl);
    }
}

static void *accept_thread(void *argument)
{
    struct peers *peers = argument;
    bool going = true;
    while (going) {
        int fd = accept4(peers->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            serve(peers, fd);
        }
        pthread_mutex_lock(&peers->lock);
        /* Out of descriptors or memory: not at once again. */
        bool tired = fd < 0 && errno != EINTR && errno != ECONNABORTED;
        going = tired ? sleep_until(peers, host_monotonic_ns() + 20000000) : !peers->stopping;
        pthread_mutex_unlock(&peers->lock);
    }
    return NULL;
}

/* --- Life --- */

static int listen_on(struct peers *peers, const char *host, uint16_t port, struct wm_diag *diag)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0) {
        return wm_diag_set(diag, WM_E_INVALID, "listening for nodes on %s: %s", host,
                           gai_strerror(rc));
    }
    int one = 1;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rc = 0;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        rc = -errno;
    }
    freeaddrinfo(found);
    if (rc != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return wm_diag_set(diag, rc, "listening for nodes on %s port %u: %s", host, port,
                           wm_error_text(rc));
    }
    peers->listener = fd;
    peers->port =
        ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&bound)->sin6_port
                                          : ((struct sockaddr_in *)(void *)&bound)->sin_port);
    return 0;
}

static bool copy_name(char *out, size_t room, const char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len == 0 || len >= room) {
        return false;
    }
    memcpy(out, name, len + 1);
    return true;
}

static int set_up(struct peers *peers, const struct peers_config *given, struct wm_diag *diag)
{
    struct peers_config *c = &peers->config;
    *c = *given;
    c->heartbeat_ms = c->heartbeat_ms ? c->heartbeat_ms : 500;
    c->missed_max = c->missed_max ? c->missed_max : 3;
    c->connect_ms = c->connect_ms ? c->connect_ms : 2000;
    c->connections_max = c->connections_max ? c->connections_max : PEERS_CONNECTIONS_MAX;
    c->connections_max =
        c->connections_max < PEERS_CONNECTIONS_MAX ? c->connections_max : PEERS_CONNECTIONS_MAX;
    c->idle_ms = c->idle_ms ? c->idle_ms : 30000;
    if (c->count > PEERS_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "peers: %u nodes; at most %u are supported", c->count,
                           PEERS_MAX);
    }
    if (!copy_name(peers->name, sizeof peers->name, c->name)) {
        return wm_diag_set(diag, WM_E_INVALID, "peers: this node's name must have 1 to %u bytes",
                           PEERS_NAME_BYTES_MAX);
    }
    wm_random_bytes((uint8_t *)&peers->boot, sizeof peers->boot);
    peers->self = PEERS_NOBODY;
    /* As many as all peers may use, their heartbeats, and some that are just being closed. */
    peers->served_max = c->count * (c->connections_max + 1) + 16;
    peers->served_max = peers->served_max < SERVED_MAX ? peers->served_max : SERVED_MAX;
    peers->served = wm_alloc_zero(peers->served_max, sizeof *peers->served);
    peers->list = wm_alloc_zero(c->count ? c->count : 1, sizeof *peers->list);
    if (!peers->served || !peers->list) {
        return wm_diag_set(diag, -ENOMEM, "peers: out of memory");
    }
    int64_t now_ns = host_monotonic_ns();
    for (uint32_t i = 0; i < c->count; i++) {
        struct peer *peer = &peers->list[i];
        if (!copy_name(peer->name, sizeof peer->name, c->list[i].name) ||
            !copy_name(peer->host, sizeof peer->host, c->list[i].host)) {
            return wm_diag_set(diag, WM_E_INVALID,
                               "peers: node %u of the list: a name has 1 to %u bytes, an address 1 "
                               "to %u",
                               i + 1, PEERS_NAME_BYTES_MAX, HOST_BYTES_MAX - 1);
        }
        if (peers_find(peers, peer->name) != PEERS_NOBODY) {
            return wm_diag_set(diag, WM_E_INVALID, "peers: node %s is in the list twice",
                               peer->name);
        }
        peer->peers = peers;
        peer->port = c->list[i].port;
        peer->self = strcmp(peer->name, peers->name) == 0;
        peer->answered_ns = now_ns;
        peer->beat_ctl = -1;
        peer->connections = wm_alloc_zero(c->connections_max, sizeof *peer->connections);
        if (!peer->connections) {
            return wm_diag_set(diag, -ENOMEM, "peers: out of memory");
        }
        for (uint32_t k = 0; k < c->connections_max; k++) {
            peer->connections[k].ctl = -1;
        }
        if (peer->self) {
            peers->self = i;
            peer->state = PEERS_ALIVE;
        }
        peers->count = i + 1;
    }
    return 0;
}

static int start_threads(struct peers *peers)
{
    peers->accept_runs = pthread_create(&peers->accept, NULL, accept_thread, peers) == 0;
    peers->judge_runs =
        peers->accept_runs && pthread_create(&peers->judge, NULL, judge_thread, peers) == 0;
    bool all = peers->judge_runs;
    for (uint32_t i = 0; i < peers->count && all; i++) {
        struct peer *peer = &peers->list[i];
        if (!peer->self) {
            all = pthread_create(&peer->beat, NULL, beat_thread, peer) == 0;
            peer->beat_runs = all;
        }
    }
    return all ? 0 : -EAGAIN;
}

int peers_start(const struct peers_config *config, struct peers **out, struct wm_diag *diag)
{
    struct peers *peers = wm_alloc_zero(1, sizeof *peers);
    if (!peers) {
        return wm_diag_set(diag, -ENOMEM, "peers: out of memory");
    }
    pthread_condattr_t attributes;
    peers->listener = -1;
    pthread_mutex_init(&peers->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&peers->stop_cond, &attributes);
    pthread_condattr_destroy(&attributes);
    int rc = set_up(peers, config, diag);
    if (rc == 0) {
        rc = listen_on(peers, config->listen_host ? config->listen_host : "127.0.0.1",
                       config->listen_port, diag);
    }
    if (rc == 0) {
        rc = start_threads(peers);
        (void)(rc != 0 && wm_diag_set(diag, rc, "peers: no more threads can be started"));
    }
    if (rc != 0) {
        peers_stop(peers);
        return rc;
    }
    *out = peers;
    return 0;
}

int peers_move(struct peers *peers, uint32_t number, const char *host, uint16_t port)
{
    WM_ASSERT(number < peers->count);
    struct peer *peer = &peers->list[number];
    size_t len = strlen(host);
    if (len == 0 || len >= sizeof peer->host) {
        return WM_E_INVALID;
    }
    pthread_mutex_lock(&peers->lock);
    memcpy(peer->host, host, len + 1);
    peer->port = port;
    doom(peer, peers->config.connections_max);
    if (peer->beat_ctl >= 0) {
        (void)shutdown(peer->beat_ctl, SHUT_RDWR);
    }
    pthread_mutex_unlock(&peers->lock);
    return 0;
}

void peers_stop(struct peers *peers)
{
    pthread_mutex_lock(&peers->lock);
    peers->stopping = true;
    pthread_cond_broadcast(&peers->stop_cond);
    if (peers->listener >= 0) {
        (void)shutdown(peers->listener, SHUT_RDWR); /* wakes accept */
    }
    for (uint32_t i = 0; i < peers->count; i++) {
        if (peers->list[i].beat_ctl >= 0) {
            (void)shutdown(peers->list[i].beat_ctl, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&peers->lock);
    if (peers->accept_runs) {
        pthread_join(peers->accept, NULL);
    }
    for (uint32_t i = 0; i < peers->count; i++) {
        if (peers->list[i].beat_runs) {
            pthread_join(peers->list[i].beat, NULL);
        }
    }
    if (peers->judge_runs) {
        pthread_join(peers->judge, NULL);
    }
    /* Nobody accepts any more. */
    pthread_mutex_lock(&peers->lock);
    for (uint32_t i = 0; peers->served && i < peers->served_max; i++) {
        if (peers->served[i].used) {
            (void)shutdown(peers->served[i].ctl, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&peers->lock);
    for (uint32_t i = 0; peers->served && i < peers->served_max; i++) {
        if (peers->served[i].used) {
            pthread_join(peers->served[i].thread, NULL);
            close(peers->served[i].ctl);
        }
    }
    for (uint32_t i = 0; i < peers->count; i++) {
        for (uint32_t k = 0; k < peers->config.connections_max; k++) {
            struct connection *connection = &peers->list[i].connections[k];
            WM_ASSERT(!connection->lent);
            dispose_of(connection);
        }
    }
    for (uint32_t i = 0; peers->list && i < peers->config.count; i++) {
        wm_free(peers->list[i].connections);
    }
    if (peers->listener >= 0) {
        close(peers->listener);
    }
    wm_free(peers->list);
    wm_free(peers->served);
    pthread_cond_destroy(&peers->stop_cond);
    pthread_mutex_destroy(&peers->lock);
    explicit_bzero(peers, sizeof *peers);
    wm_free(peers);
}

uint16_t peers_port(const struct peers *peers)
{
    return peers->port;
}

uint32_t peers_count(const struct peers *peers)
{
    return peers->count;
}

uint32_t peers_self(const struct peers *peers)
{
    return peers->self;
}

uint32_t peers_find(const struct peers *peers, const char *name)
{
    for (uint32_t i = 0; i < peers->count; i++) {
        if (strcmp(peers->list[i].name, name) == 0) {
            return i;
        }
    }
    return PEERS_NOBODY;
}

void peers_info(struct peers *peers, uint32_t number, struct peers_info *out)
{
    WM_ASSERT(number < peers->count);
    struct peer *peer = &peers->list[number];
    *out = (struct peers_info){.name = peer->name, .age_ms = UINT32_MAX};
    if (peer->self) {
        out->state = PEERS_ALIVE;
        out->age_ms = 0;
        own_load(peers, &out->load);
        return;
    }
    pthread_mutex_lock(&peers->lock);
    out->state = peer->state;
    out->load = peer->load;
    if (peer->answered) {
        int64_t ms = (host_monotonic_ns() - peer->answered_ns) / 1000000;
        out->age_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    }
    for (uint32_t i = 0; i < peers->config.connections_max; i++) {
        out->connections += peer->connections[i].used;
    }
    pthread_mutex_unlock(&peers->lock);
}

void peers_abort(struct peers *peers)
{
    pthread_mutex_lock(&peers->lock);
    for (uint32_t i = 0; i < peers->count; i++) {
        if (!peers->list[i].self) {
            doom(&peers->list[i], peers->config.connections_max);
        }
    }
    pthread_mutex_unlock(&peers->lock);
}
