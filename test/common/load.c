/* load: a client that calls a node as fast as it answers, and looks at every answer.
 *
 *     load SOCKET CALLS [CLIENTS [SEED]]
 *
 * CLIENTS (8) connections to the node's socket, on each one call after the other, CALLS in all. Of
 * 100 calls (functions: chaos.c as "small", relay.c as "relay", both of test/e2e/faaslet):
 *
 *      2  trap                              500
 *      4  add 1 to the counter "total"      its value
 *      2  push a page of state              ok and the number of the push
 *     12  chain one call                    its output
 *      2  chain twenty                      none of them failed
 *     78  ask for the module's mark         the mark
 *
 * Ends with "calls N adds N seconds S"; at the first wrong answer with that, and 1. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"

#define CLIENTS_MAX 1024u
#define ANSWER_MS 60000
#define MARK "@@MARK@@00000000000000000000000000000000"

struct client {
    int fd;
    unsigned number;
    uint64_t done, random;
    /* The call under way. */
    const char *function;
    char body[64];
    int status;
    char output[64]; /* expected; "#": a number */
    size_t len;
    char answer[8192];
};

static uint64_t left, calls, adds;

WM_NORETURN WM_PRINTF(1, 2) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static char random_digit(struct client *client)
{
    client->random ^= client->random << 13;
    client->random ^= client->random >> 7;
    client->random ^= client->random << 17;
    return "0123456789abcdef"[client->random >> 60];
}

WM_PRINTF(5, 6)
static void choose(struct client *client, const char *function, int status, const char *output,
                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(client->body, sizeof client->body, format, args);
    va_end(args);
    client->function = function;
    client->status = status;
    snprintf(client->output, sizeof client->output, "%s", output);
}

static void next_call(struct client *client)
{
    uint64_t way = client->done % 100;
    if (way < 2) {
        choose(client, "small", 500, "", "X");
    } else if (way < 6) {
        choose(client, "small", 200, "#", "C total 1");
    } else if (way < 8) {
        char ok[32];
        snprintf(ok, sizeof ok, "ok %" PRIu64, client->done);
        choose(client, "small", 200, ok, "P p%u 4096 %" PRIu64, client->number, client->done);
    } else if (way < 20) {
        const char digit[2] = {random_digit(client)};
        choose(client, "relay", 200, digit, "small\nE %s", digit);
    } else if (way < 22) {
        choose(client, "relay", 200, "started 20 failed 0", "*20 small\nE x");
    } else {
        choose(client, "small", 200, MARK, "M");
    }
}

static void send_call(struct client *client)
{
    char request[256];
    next_call(client);
    int len = snprintf(request, sizeof request,
                       "POST /v1/call/%s HTTP/1.1\r\nHost: node\r\nContent-Length: %zu\r\n\r\n%s",
                       client->function, strlen(client->body), client->body);
    if (send(client->fd, request, (size_t)len, MSG_NOSIGNAL) != len) {
        die("sending: %s", strerror(errno));
    }
    client->len = 0;
    left--;
}

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

static void check(const struct client *client, int status, const char *output)
{
    bool right =
        status == client->status &&
        (status != 200 ||
         (client->output[0] == '#' ? is_number(output) : strcmp(output, client->output) == 0));
    if (!right) {
        die("%s answered %d %.300s; wanted %d %s", client->body, status, output, client->status,
            client->output);
    }
}

/* False: there is more to come of the answer. */
static bool take_answer(struct client *client)
{
    static const char length[] = "\r\nContent-Length:";
    ssize_t got = recv(client->fd, client->answer + client->len,
                       sizeof client->answer - 1 - client->len, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return false;
        }
        die("%s: %s", client->body, got ? strerror(errno) : "the connection was closed");
    }
    client->len += (size_t)got;
    client->answer[client->len] = 0;
    char *body = strstr(client->answer, "\r\n\r\n");
    if (!body) {
        return false;
    }
    *body = 0;
    body += 4;
    const char *told = strcasestr(client->answer, length);
    size_t want = told ? strtoul(told + sizeof length - 1, NULL, 10) : SIZE_MAX,
           have = client->len - (size_t)(body - client->answer);
    if (!told || want >= sizeof client->answer || have > want) {
        die("%s: an answer out of form: %s", client->body, client->answer);
    }
    if (have < want) {
        body[-4] = '\r';
        return false;
    }
    check(client, (int)strtol(client->answer + strlen("HTTP/1.1 "), NULL, 10), body);
    return true;
}

static int open_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path) {
        die("%s: too long for a socket's path", path);
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        die("%s: %s", path, strerror(errno));
    }
    return fd;
}

static void run(int polled, unsigned running)
{
    while (running > 0) {
        struct epoll_event events[64];
        int count = epoll_wait(polled, events, 64, ANSWER_MS);
        if (count == 0) {
            die("no answer for %d s", ANSWER_MS / 1000);
        }
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!take_answer(client)) {
                continue;
            }
            calls++;
            adds += client->output[0] == '#';
            client->done++;
            if (left > 0) {
                send_call(client);
            } else {
                running--;
            }
        }
    }
}

int main(int argc, char **argv)
{
    static struct client clients[CLIENTS_MAX];
    if (argc < 3) {
        die("usage: load SOCKET CALLS [CLIENTS [SEED]]");
    }
    unsigned long count = argc > 3 ? strtoul(argv[3], NULL, 10) : 8;
    uint64_t seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
    left = strtoull(argv[2], NULL, 10);
    if (count == 0 || count > CLIENTS_MAX || left < count) {
        die("1 to %u clients, and a call for each", CLIENTS_MAX);
    }
    int polled = epoll_create1(EPOLL_CLOEXEC);
    double begun = now_s();
    for (unsigned i = 0; i < count; i++) {
        struct client *client = &clients[i];
        *client = (struct client){
            .fd = open_socket(argv[1]), .number = i, .random = (seed + i) * 2654435761u | 1};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        if (epoll_ctl(polled, EPOLL_CTL_ADD, client->fd, &event) != 0) {
            die("epoll: %s", strerror(errno));
        }
        send_call(client);
    }
    run(polled, (unsigned)count);
    printf("calls %" PRIu64 " adds %" PRIu64 " seconds %.3f\n", calls, adds, now_s() - begun);
    return 0;
}
