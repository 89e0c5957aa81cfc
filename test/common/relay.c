/* relay: a TCP link with the troubles of a real one, for tests of several nodes.
 *
 *     relay [--listen-ns NS] [--connect-ns NS] [--control PATH] [--seed N] ADDR:PORT ADDR:PORT
 *
 * Listens at the first address and forwards every connection to the second. NS is a name (as in
 * `ip netns`) or the path of a namespace; listening and connecting may be in two different ones, so
 * that a relay is the only way between them. Prints "listening ADDR:PORT" (port 0: any). Obeys
 * lines on standard input, and on connections to the Unix socket PATH; answers "ok", a value, or
 * "error: ...". Ends with its standard input.
 *
 *     delay MS [JITTER_MS]   each byte takes MS, up to JITTER_MS more or less; order is kept
 *     rate BITS              per second and direction, of payload; 0: no limit
 *     loss PERCENT [RTO_MS]  see below; RTO 200 ms when not given
 *     partition [up|down]    stops forwarding, both ways or one; connections live on, and what is
 *                            sent waits, as with a cable pulled out. (A connection made meanwhile
 *                            is accepted and silent: the kernel accepts for us. Over a real network
 *                            it would be in the making.)
 *     heal                   ends a partition: what waited arrives
 *     reset                  all present connections end with RST at both ends
 *     refuse | accept        new connections end with RST at once | no longer
 *     stats                  "connections N up BYTES down BYTES stalls N"
 *     quit
 *
 * up is towards the second address. Loss: a byte stream loses nothing; what the application sees
 * of a lost segment is a stall until TCP sends it again. So, of each 1448 bytes, PERCENT are
 * "lost": they and all after them wait for RTO_MS, twice as long if they are lost again, and so on
 * up to 60 s. That is the bad case of real loss (a retransmission time-out, no fast retransmit).
 *
 * Settings hold for bytes read from then on. Not delayed: the handshake and RST. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/compiler.h"

#define LINKS_MAX 1024
#define CONTROLS_MAX 16
#define CHUNK_BYTES 65536u
#define PACED_CHUNK_BYTES 8192u /* with a rate: small, so that time passes evenly */
#define QUEUE_BYTES (8u << 20)  /* in one direction of one connection */
#define SEGMENT_BYTES 1448u
#define RTO_MAX_NS 60000000000
#define MS 1000000
#define POLL_ERRORS (POLLERR | POLLHUP | POLLNVAL)

enum way { UP, DOWN, WAYS };

struct chunk {
    struct chunk *next;
    int64_t due_ns;
    size_t len, sent; /* len 0: the end of the stream */
    uint8_t bytes[];
};

struct stream {
    struct chunk *first, **last;
    size_t queued;
    int64_t last_due_ns;
    bool ended;  /* its end was read */
    bool closed; /* and passed on */
};

struct link {
    int fd[WAYS]; /* fd[UP]: the client's side, read for UP; fd[DOWN]: the server's */
    bool connecting;
    struct stream stream[WAYS];
};

struct control {
    int in, out;
    size_t len;
    char line[256];
};

static struct {
    int64_t delay_ns, jitter_ns, rto_ns;
    uint64_t rate_bits;
    double loss; /* of a segment, 0 to 1 */
    bool cut[WAYS], refuse, quit;
    int64_t line_free_ns[WAYS]; /* the wire is one for all connections */
    uint64_t bytes[WAYS], stalls, random;
} state = {.rto_ns = 200 * (int64_t)MS};

static struct link *links[LINKS_MAX];
static unsigned link_count;
static struct control controls[CONTROLS_MAX];
static unsigned control_count;
static int listen_fd = -1, control_fd = -1;
static struct sockaddr_in target;

WM_NORETURN WM_PRINTF(1, 2) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("relay: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* 0 to 1, from the seed (xorshift64*). */
static double chance(void)
{
    state.random ^= state.random >> 12;
    state.random ^= state.random << 25;
    state.random ^= state.random >> 27;
    return (double)((state.random * 0x2545f4914f6cdd1dull) >> 11) / 9007199254740992.0;
}

/* --- one direction of one connection --- */

static void stream_free(struct stream *stream)
{
    while (stream->first) {
        struct chunk *chunk = stream->first;
        stream->first = chunk->next;
        wm_free(chunk);
    }
}

static int64_t stall_of(size_t len)
{
    int64_t stall = 0;
    for (size_t at = 0; at < len && state.loss > 0; at += SEGMENT_BYTES) {
        int64_t rto = state.rto_ns;
        for (; chance() < state.loss && stall < RTO_MAX_NS; rto *= 2) {
            stall += rto;
            state.stalls++;
        }
    }
    return stall;
}

static int64_t due_of(struct stream *stream, enum way way, size_t len)
{
    int64_t now = now_ns(), sent = now;
    if (state.rate_bits) {
        int64_t start = state.line_free_ns[way] > now ? state.line_free_ns[way] : now;
        sent = start + (int64_t)((double)len * 8e9 / (double)state.rate_bits);
        state.line_free_ns[way] = sent;
    }
    int64_t due = sent + state.delay_ns + stall_of(len);
    if (state.jitter_ns) {
        due += (int64_t)((chance() * 2 - 1) * (double)state.jitter_ns);
    }
    due = due < stream->last_due_ns ? stream->last_due_ns : due;
    stream->last_due_ns = due;
    return due;
}

static bool wants_to_read(const struct stream *stream, enum way way)
{
    /* With a rate nobody reads far ahead: the sender's buffers are to fill as behind a slow line.
     */
    bool line_busy = state.rate_bits && state.line_free_ns[way] > now_ns() + 20 * (int64_t)MS;
    return !stream->ended && !state.cut[way] && stream->queued < QUEUE_BYTES && !line_busy;
}

/* False: the connection is broken. */
static bool stream_read(struct stream *stream, enum way way, int fd)
{
    size_t want = state.rate_bits ? PACED_CHUNK_BYTES : CHUNK_BYTES;
    struct chunk *chunk = wm_alloc(sizeof *chunk + want);
    if (!chunk) {
        return false;
    }
    ssize_t got = recv(fd, chunk->bytes, want, MSG_DONTWAIT);
    if (got < 0) {
        wm_free(chunk);
        return errno == EAGAIN || errno == EINTR;
    }
    stream->ended = got == 0;
    *chunk = (struct chunk){.due_ns = due_of(stream, way, (size_t)got), .len = (size_t)got};
    stream->queued += (size_t)got;
    if (!stream->first) {
        stream->last = &stream->first;
    }
    *stream->last = chunk;
    stream->last = &chunk->next;
    return true;
}

static bool is_due(const struct stream *stream, enum way way, int64_t now)
{
    return stream->first && !state.cut[way] && stream->first->due_ns <= now;
}

static bool stream_write(struct stream *stream, enum way way, int fd)
{
    while (is_due(stream, way, now_ns())) {
        struct chunk *chunk = stream->first;
        if (chunk->len == 0) {
            stream->closed = true;
            shutdown(fd, SHUT_WR);
        } else {
            ssize_t sent = send(fd, chunk->bytes + chunk->sent, chunk->len - chunk->sent,
                                MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent < 0) {
                return errno == EAGAIN || errno == EINTR;
            }
            chunk->sent += (size_t)sent;
            stream->queued -= (size_t)sent;
            state.bytes[way] += (size_t)sent;
            if (chunk->sent < chunk->len) {
                return true;
            }
        }
        stream->first = chunk->next;
        wm_free(chunk);
    }
    return true;
}

/* --- connections --- */

static void close_with_reset(int fd)
{
    const struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

static void link_close(struct link *link, bool reset)
{
    for (int way = 0; way < WAYS; way++) {
        stream_free(&link->stream[way]);
        if (reset) {
            close_with_reset(link->fd[way]);
        } else {
            close(link->fd[way]);
        }
    }
    wm_free(link);
}

static void link_accept(void)
{
    const int one = 1;
    int client = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) {
        return;
    }
    struct link *link = NULL;
    int server = -1;
    if (!state.refuse && link_count < LINKS_MAX) {
        server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        link = wm_alloc_zero(1, sizeof *link);
    }
    if (!link || server < 0 ||
        (connect(server, (struct sockaddr *)&target, sizeof target) != 0 && errno != EINPROGRESS)) {
        wm_free(link);
        close_with_reset(client);
        if (server >= 0) {
            close(server);
        }
        return;
    }
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    link->fd[UP] = client;
    link->fd[DOWN] = server;
    link->connecting = true;
    links[link_count++] = link;
}

/* False: it is over; *reset tells how. */
static bool link_step(struct link *link, const struct pollfd *polled, bool *reset)
{
    *reset = true;
    if (link->connecting) {
        int err = 0;
        socklen_t len = sizeof err;
        if (!(polled[DOWN].revents & (POLLOUT | POLL_ERRORS))) {
            return true;
        }
        getsockopt(link->fd[DOWN], SOL_SOCKET, SO_ERROR, &err, &len);
        link->connecting = false;
        return err == 0;
    }
    for (int i = 0; i < WAYS; i++) {
        enum way way = (enum way)i;
        struct stream *stream = &link->stream[way];
        if ((polled[way].revents & (POLLIN | POLL_ERRORS)) && wants_to_read(stream, way) &&
            !stream_read(stream, way, link->fd[way])) {
            return false;
        }
        if (!stream_write(stream, way, link->fd[!way])) {
            return false;
        }
    }
    *reset = false;
    return !(link->stream[UP].closed && link->stream[DOWN].closed);
}

/* --- commands --- */

WM_PRINTF(2, 3) static void answer(const struct control *control, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vdprintf(control->out, format, args);
    va_end(args);
}

static bool number(const char *text, double max, double *out)
{
    char *end;
    if (!text) {
        return false;
    }
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= 0 && *out <= max;
}

static void obey(struct control *control, char *line)
{
    char *rest = line;
    const char *verb = strsep(&rest, " "), *first = rest ? strsep(&rest, " ") : NULL,
               *second = rest ? strsep(&rest, " ") : NULL;
    double a = 0, b = 0;
    bool ok = !rest;
    if (strcmp(verb, "delay") == 0) {
        ok = ok && number(first, 1e6, &a) && (!second || number(second, 1e6, &b));
        if (ok) {
            state.delay_ns = (int64_t)(a * MS);
            state.jitter_ns = (int64_t)((b < a ? b : a) * MS);
        }
    } else if (strcmp(verb, "rate") == 0) {
        ok = ok && !second && number(first, 1e12, &a);
        if (ok) {
            state.rate_bits = (uint64_t)a;
            state.line_free_ns[UP] = state.line_free_ns[DOWN] = 0;
        }
    } else if (strcmp(verb, "loss") == 0) {
        ok = ok && number(first, 100, &a) && (!second || number(second, 60000, &b));
        if (ok) {
            state.loss = a / 100;
            state.rto_ns = second ? (int64_t)(b * MS) : 200 * (int64_t)MS;
        }
    } else if (strcmp(verb, "partition") == 0) {
        bool up = !first || strcmp(first, "up") == 0, down = !first || strcmp(first, "down") == 0;
        ok = ok && !second && (up || down);
        if (ok) {
            state.cut[UP] |= up;
            state.cut[DOWN] |= down;
        }
    } else if (strcmp(verb, "heal") == 0) {
        state.cut[UP] = state.cut[DOWN] = false;
    } else if (strcmp(verb, "reset") == 0) {
        while (link_count > 0) {
            link_close(links[--link_count], true);
        }
    } else if (strcmp(verb, "refuse") == 0 || strcmp(verb, "accept") == 0) {
        state.refuse = verb[0] == 'r';
    } else if (strcmp(verb, "stats") == 0) {
        answer(control, "connections %u up %llu down %llu stalls %llu\n", link_count,
               (unsigned long long)state.bytes[UP], (unsigned long long)state.bytes[DOWN],
               (unsigned long long)state.stalls);
        return;
    } else if (strcmp(verb, "quit") == 0) {
        state.quit = true;
    } else {
        ok = false;
    }
    answer(control, ok ? "ok\n" : "error: see the head of relay.c for the commands\n");
}

/* False: this one has ended. */
static bool control_step(struct control *control)
{
    ssize_t got =
        read(control->in, control->line + control->len, sizeof control->line - 1 - control->len);
    if (got <= 0) {
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
    control->len += (size_t)got;
    for (char *end; (end = memchr(control->line, '\n', control->len)) != NULL;) {
        size_t len = (size_t)(end + 1 - control->line);
        *end = '\0';
        obey(control, control->line);
        control->len -= len;
        memmove(control->line, control->line + len, control->len);
    }
    return control->len < sizeof control->line - 1;
}

/* --- start and loop --- */

static struct sockaddr_in parse_addr(const char *text)
{
    char addr[64];
    const char *colon = strrchr(text, ':');
    struct sockaddr_in out = {.sin_family = AF_INET};
    double port;
    if (!colon || (size_t)(colon - text) >= sizeof addr || !number(colon + 1, 65535, &port)) {
        die("%s: not ADDR:PORT", text);
    }
    memcpy(addr, text, (size_t)(colon - text));
    addr[colon - text] = '\0';
    if (inet_pton(AF_INET, addr, &out.sin_addr) != 1) {
        die("%s: not an IPv4 address", text);
    }
    out.sin_port = htons((uint16_t)port);
    return out;
}

static int open_ns(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, strchr(name, '/') ? "%s" : "/run/netns/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        die("%s: %s", path, strerror(errno));
    }
    return fd;
}

static void enter(int ns_fd, const char *what)
{
    if (setns(ns_fd, CLONE_NEWNET) != 0) {
        die("entering the namespace for %s: %s", what, strerror(errno));
    }
}

static void start_listening(struct sockaddr_in addr)
{
    const int one = 1;
    char text[INET_ADDRSTRLEN];
    socklen_t len = sizeof addr;
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listen_fd, (struct sockaddr *)&addr, sizeof addr) != 0 ||
        listen(listen_fd, 128) != 0 ||
        getsockname(listen_fd, (struct sockaddr *)&addr, &len) != 0) {
        die("listening: %s", strerror(errno));
    }
    inet_ntop(AF_INET, &addr.sin_addr, text, sizeof text);
    printf("listening %s:%d\n", text, ntohs(addr.sin_port));
    fflush(stdout);
}

static void start_control(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path) {
        die("%s: too long for a socket's path", path);
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    unlink(path);
    control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(control_fd, (struct sockaddr *)&addr, sizeof addr) != 0 ||
        listen(control_fd, CONTROLS_MAX) != 0) {
        die("%s: %s", path, strerror(errno));
    }
}

/* What to wait for on one connection, and until when. */
static void link_wait(const struct link *link, struct pollfd *polled, int64_t now, int64_t *wake)
{
    for (int i = 0; i < WAYS; i++) {
        enum way way = (enum way)i;
        const struct stream *from = &link->stream[way], *to = &link->stream[!way];
        bool writes = is_due(to, (enum way) !way, now);
        polled[way] = (struct pollfd){.fd = link->fd[way]};
        if (link->connecting) {
            polled[way].fd = way == DOWN ? link->fd[way] : -1;
            polled[way].events = POLLOUT;
            continue;
        }
        polled[way].events =
            (short)((wants_to_read(from, way) ? POLLIN : 0) | (writes ? POLLOUT : 0));
        if (!polled[way].events) {
            polled[way].fd = -1; /* else poll would return for a hang-up again and again */
        }
        if (from->first && !state.cut[way] && from->first->due_ns > now &&
            from->first->due_ns < *wake) {
            *wake = from->first->due_ns;
        }
        if (!from->ended && !state.cut[way] && state.rate_bits &&
            state.line_free_ns[way] - 20 * (int64_t)MS > now &&
            state.line_free_ns[way] - 20 * (int64_t)MS < *wake) {
            *wake = state.line_free_ns[way] - 20 * (int64_t)MS;
        }
    }
}

static void turn(void)
{
    static struct pollfd polled[2 + CONTROLS_MAX + WAYS * LINKS_MAX];
    unsigned used = 0;
    int64_t now = now_ns(), wake = now + 3600 * (int64_t)1000000000;
    polled[used++] = (struct pollfd){.fd = listen_fd, .events = POLLIN};
    polled[used++] = (struct pollfd){.fd = control_fd, .events = POLLIN};
    unsigned had_controls = control_count, had_links = link_count;
    for (unsigned i = 0; i < had_controls; i++) {
        polled[used++] = (struct pollfd){.fd = controls[i].in, .events = POLLIN};
    }
    for (unsigned i = 0; i < had_links; i++, used += WAYS) {
        link_wait(links[i], &polled[used], now, &wake);
    }
    struct timespec wait = {(wake - now) / 1000000000, (wake - now) % 1000000000};
    if (ppoll(polled, used, &wait, NULL) < 0 && errno != EINTR) {
        die("poll: %s", strerror(errno));
    }
    for (unsigned i = had_links; i-- > 0;) {
        bool reset;
        if (!link_step(links[i], &polled[2 + had_controls + WAYS * i], &reset)) {
            link_close(links[i], reset);
            links[i] = links[--link_count];
        }
    }
    for (unsigned i = had_controls; i-- > 0;) {
        if (polled[2 + i].revents && !control_step(&controls[i])) {
            state.quit |= i == 0; /* standard input */
            if (i > 0) {
                close(controls[i].in);
                controls[i] = controls[--control_count];
            }
        }
    }
    if (polled[1].revents) {
        int fd = accept4(control_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && control_count < CONTROLS_MAX) {
            controls[control_count++] = (struct control){.in = fd, .out = fd};
        } else if (fd >= 0) {
            close(fd);
        }
    }
    if (polled[0].revents) {
        link_accept();
    }
}

int main(int argc, char **argv)
{
    const char *listen_ns = NULL, *connect_ns = NULL, *control = NULL;
    int at = 1;
    state.random = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--listen-ns") == 0) {
            listen_ns = argv[at + 1];
        } else if (strcmp(argv[at], "--connect-ns") == 0) {
            connect_ns = argv[at + 1];
        } else if (strcmp(argv[at], "--control") == 0) {
            control = argv[at + 1];
        } else if (strcmp(argv[at], "--seed") == 0) {
            state.random = strtoull(argv[at + 1], NULL, 10) | 1ull << 63;
        } else {
            die("%s: unknown option", argv[at]);
        }
    }
    if (argc - at != 2) {
        die("usage: relay [--listen-ns NS] [--connect-ns NS] [--control PATH] [--seed N] "
            "ADDR:PORT ADDR:PORT");
    }
    struct sockaddr_in source = parse_addr(argv[at]);
    target = parse_addr(argv[at + 1]);
    signal(SIGPIPE, SIG_IGN);
    controls[control_count++] = (struct control){.in = 0, .out = 1};
    if (control) {
        start_control(control);
    }
    int home = open_ns("/proc/self/ns/net");
    int to = connect_ns ? open_ns(connect_ns) : -1;
    if (listen_ns) {
        enter(open_ns(listen_ns), "listening");
    }
    start_listening(source);
    if (connect_ns || listen_ns) {
        enter(connect_ns ? to : home, "connecting");
    }
    while (!state.quit) {
        turn();
    }
    if (control) {
        unlink(control);
    }
    return 0;
}
