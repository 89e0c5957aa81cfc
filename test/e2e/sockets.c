/* sockets.c: a client in C, as one would write it for POSIX.
 *     sockets get HOST PORT     an HTTP GET of / by getaddrinfo, poll, send and recv
 *     sockets name HOST         the addresses, by getaddrinfo and gethostbyname
 *     sockets udp HOST PORT     one datagram there and back
 *     sockets wait HOST PORT    connects, and waits for what never comes
 *     sockets refused           what a client may not do */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    return 1;
}

static int open_to(const char *host, const char *port, int type)
{
    struct addrinfo hints = {.ai_socktype = type}, *list, *at;
    int error = getaddrinfo(host, port, &hints, &list), fd = -1;
    if (error) {
        printf("%s: %s\n", host, gai_strerror(error));
        return -1;
    }
    for (at = list; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen)) {
            fail("connect");
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

static int get(const char *host, const char *port)
{
    char text[4096];
    int one = 1, got, error = -1;
    socklen_t len = sizeof error;
    int fd = open_to(host, port, SOCK_STREAM);
    if (fd < 0) {
        return 1;
    }
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) || error) {
        return fail("options");
    }
    struct sockaddr_in peer;
    len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) || len != sizeof peer) {
        return fail("getpeername");
    }
    printf("peer %s\n", inet_ntoa(peer.sin_addr));
    got = snprintf(text, sizeof text, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", host);
    if (send(fd, text, got, MSG_NOSIGNAL) != got || shutdown(fd, SHUT_WR)) {
        return fail("send");
    }
    struct pollfd item = {.fd = fd, .events = POLLIN};
    if (poll(&item, 1, 5000) != 1) {
        return fail("poll");
    }
    fd_set set;
    struct timeval limit = {5, 0};
    FD_ZERO(&set);
    FD_SET(fd, &set);
    if (select(fd + 1, &set, NULL, NULL, &limit) != 1) {
        return fail("select");
    }
    while ((got = recv(fd, text, sizeof text, 0)) > 0) {
        fwrite(text, 1, got, stdout);
    }
    close(fd);
    return got < 0 ? fail("recv") : 0;
}

static int name(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME}, *list, *at;
    int error = getaddrinfo(host, "http", &hints, &list);
    if (error) {
        printf("%s\n", gai_strerror(error));
        return 1;
    }
    for (at = list; at; at = at->ai_next) {
        char text[64], service[8];
        getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, service, sizeof service,
                    NI_NUMERICHOST);
        printf("%s %s %s\n", text, service, at->ai_canonname ? at->ai_canonname : "");
    }
    freeaddrinfo(list);
    struct hostent *found = gethostbyname(host);
    for (int i = 0; found && found->h_addr_list[i]; i++) {
        struct in_addr address;
        memcpy(&address, found->h_addr_list[i], sizeof address);
        printf("%s %s\n", found->h_name, inet_ntoa(address));
    }
    return 0;
}

static int udp(const char *host, const char *port)
{
    char text[64];
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list;
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int fd;
    if (getaddrinfo(host, port, &hints, &list) ||
        (fd = socket(list->ai_family, SOCK_DGRAM, 0)) < 0 ||
        sendto(fd, "ping", 4, 0, list->ai_addr, list->ai_addrlen) != 4) {
        return fail("sendto");
    }
    ssize_t got = recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &len);
    printf("%.*s\n", got < 0 ? 0 : (int)got, text);
    return got < 0;
}

static void tell(const char *what, int result)
{
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "it works");
}

static int refused(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fds[2], fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        return fail("socket");
    }
    tell("bind to anything", bind(fd, (struct sockaddr *)&any, sizeof any));
    any.sin_port = htons(8080);
    tell("bind", bind(fd, (struct sockaddr *)&any, sizeof any));
    tell("listen", listen(fd, 1));
    tell("accept", accept(fd, NULL, NULL));
    tell("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    tell("unix", socket(AF_UNIX, SOCK_STREAM, 0));
    tell("raw", socket(AF_INET, 3, 0));
    any.sin_addr.s_addr = inet_addr("192.0.2.1");
    tell("connect elsewhere", connect(fd, (struct sockaddr *)&any, sizeof any));
    tell("connect with a short address", connect(fd, (struct sockaddr *)&any, 3));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "get") == 0) {
        return get(argv[2], argv[3]);
    }
    if (argc > 2 && strcmp(argv[1], "name") == 0) {
        return name(argv[2]);
    }
    if (argc > 3 && strcmp(argv[1], "udp") == 0) {
        return udp(argv[2], argv[3]);
    }
    if (argc > 3 && strcmp(argv[1], "wait") == 0) {
        char byte;
        int fd = open_to(argv[2], argv[3], SOCK_STREAM);
        return fd < 0 ? 1 : (int)recv(fd, &byte, 1, 0);
    }
    return refused();
}
