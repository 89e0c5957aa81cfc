/* Sends or receives through a socket as fast as it gets (test/e2e/bandwidth.py).
 *
 *     down ADDRESS PORT MS    receives for MS: "BYTES NS", from the first arrival after 500 ms to
 *                             the last one
 *     up ADDRESS PORT MS      sends for MS: how many bytes */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <faaslet.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WARM_NS 500000000

static char block[65536];

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int open_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM, 0);
    int rc = fd < 0 ? fd : connect(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return rc < 0 ? rc : fd;
}

FAASLET_MAIN
{
    char input[128], way[8], host[64], port[8], text[64];
    int ms = 0;
    int32_t len = faaslet_input(input, sizeof input - 1);
    input[len < 0 ? 0 : len] = 0;
    if (sscanf(input, "%7s %63s %7s %d", way, host, port, &ms) != 4) {
        return 2;
    }
    int fd = open_to(host, port);
    bool down = strcmp(way, "down") == 0;
    if (fd < 0 || send(fd, way, strlen(way) + 1, 0) < 0) {
        return errno;
    }
    int64_t start = now_ns(), now, first = 0, last = 0;
    uint64_t bytes = 0;
    while ((now = now_ns()) < start + (int64_t)ms * 1000000) {
        ssize_t moved = down ? recv(fd, block, sizeof block, 0) : send(fd, block, sizeof block, 0);
        if (moved <= 0) {
            return errno;
        }
        if (!down) {
            bytes += (uint64_t)moved;
        } else if (now >= start + WARM_NS) {
            last = now_ns();
            bytes += first ? (uint64_t)moved : 0;
            first = first ? first : last;
        }
    }
    close(fd);
    faaslet_output(text, (uint32_t)snprintf(text, sizeof text, "%llu %lld",
                                            (unsigned long long)bytes, (long long)(last - first)));
    return 0;
}
