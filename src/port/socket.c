/* Sockets of the host: listeners that were opened for the guest, the connections they give, and
 * clients. All calls are made with MSG_DONTWAIT or on descriptors of our own with O_NONBLOCK;
 * waiting is poll's.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libos/poll.h"
#include "port/call.h"
#include "port/file.h"

/* Whether to try again after a failed call: 0, or the error to return. */
static int after_failure(struct libos_file *file, uint32_t events)
{
    if (errno == EINTR) {
        return libos_interrupted(file->os) ? -LIBOS_EINTR : 0;
    }
    if (errno != EAGAIN) {
        return -errno;
    }
    return file->flags & LIBOS_NONBLOCK ? -LIBOS_EAGAIN : libos_wait_for(file, events);
}

static int64_t receive_once(struct libos_file *file, const struct libos_iov *iov, size_t count,
                            int flags, bool *truncated)
{
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};
    for (;;) {
        ssize_t done = PORT_CALL(recvmsg(port_file_of(file)->fd, &message, flags | MSG_DONTWAIT));
        if (done >= 0) {
            *truncated = (message.msg_flags & MSG_TRUNC) != 0;
            return done;
        }
        int rc = after_failure(file, LIBOS_POLL_IN);
        if (rc != 0) {
            return rc;
        }
    }
}

static WM_NOINLINE int64_t receive_rest(struct libos_file *file, const struct libos_iov *iov,
                                        size_t count, int64_t done, uint64_t total)
{
    struct libos_iov left[LIBOS_IOV_MAX];
    bool truncated;
    __builtin_memcpy(left, iov, count * sizeof *iov);
    size_t left_count = port_iov_advance(left, count, (size_t)done);
    while ((uint64_t)done < total) {
        int64_t more = receive_once(file, left, left_count, 0, &truncated);
        if (more <= 0) {
            break;
        }
        done += more;
        left_count = port_iov_advance(left, left_count, (size_t)more);
    }
    return done;
}

static uint64_t total_of(const struct libos_iov *iov, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += iov[i].len;
    }
    return total;
}

static int64_t socket_recv(struct libos_file *file, const struct libos_iov *iov, size_t count,
                           uint32_t flags, bool *truncated)
{
    bool peek = flags & LIBOS_RECV_PEEK;
    int64_t done = receive_once(file, iov, count, peek ? MSG_PEEK : 0, truncated);
    bool all = (flags & LIBOS_RECV_ALL) && !peek && file->kind == LIBOS_KIND_SOCKET_STREAM;
    uint64_t total = total_of(iov, count);
    return all && done > 0 && (uint64_t)done < total ? receive_rest(file, iov, count, done, total)
                                                     : done;
}

static int64_t socket_read(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    bool truncated;
    return receive_once(file, iov, count, 0, &truncated);
}

static int64_t send_once(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    const struct port_file *port = port_file_of(file);
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};
    /* A client that hung up is an error of this call, not the end of the process. A standard stream
     * that is a socket is like one that is a pipe: machine.h tells. */
    int flags = MSG_DONTWAIT | (port->shared ? 0 : MSG_NOSIGNAL);
    for (;;) {
        ssize_t done = PORT_CALL(sendmsg(port->fd, &message, flags));
        if (done >= 0) {
            return done;
        }
        int rc = after_failure(file, LIBOS_POLL_OUT);
        if (rc != 0) {
            return rc;
        }
    }
}

static WM_NOINLINE int64_t send_rest(struct libos_file *file, const struct libos_iov *iov,
                                     size_t count, int64_t done, uint64_t total)
{
    struct libos_iov left[LIBOS_IOV_MAX];
    __builtin_memcpy(left, iov, count * sizeof *iov);
    size_t left_count = port_iov_advance(left, count, (size_t)done);
    while ((uint64_t)done < total) {
        int64_t more = send_once(file, left, left_count);
        if (more <= 0) {
            break;
        }
        done += more;
        left_count = port_iov_advance(left, left_count, (size_t)more);
    }
    return done;
}

static int64_t socket_send(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    uint64_t total = total_of(iov, count);
    int64_t done = send_once(file, iov, count);
    if (done < 0 || (uint64_t)done == total || (file->flags & LIBOS_NONBLOCK)) {
        return done;
    }
    return send_rest(file, iov, count, done, total);
}

static int socket_shutdown(struct libos_file *file, bool reading, bool writing)
{
    int how = reading && writing ? SHUT_RDWR : reading ? SHUT_RD : SHUT_WR;
    return PORT_CALL(shutdown(port_file_of(file)->fd, how)) != 0 ? -errno : 0;
}

static int adopt_socket(struct libos *os, int fd, uint32_t flags, struct libos_file **out)
{
    struct stat found;
    if (PORT_CALL(fstat(fd, &found)) != 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return port_file_adopt(os, fd, &found, flags, false, out);
}

static int listener_accept(struct libos_file *file, uint32_t flags, struct libos_file **out)
{
    for (;;) {
        int fd =
            PORT_CALL(accept4(port_file_of(file)->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (fd >= 0) {
            return adopt_socket(file->os, fd, LIBOS_READ | LIBOS_WRITE | (flags & LIBOS_NONBLOCK),
                                out);
        }
        if (errno == ECONNABORTED) {
            continue; /* that one left before its turn; the next may be there */
        }
        int rc = after_failure(file, LIBOS_POLL_IN);
        if (rc != 0) {
            return rc;
        }
    }
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t address_to(const struct libos_address *from, union address *out)
{
    memset(out, 0, sizeof *out);
    if (from->family == LIBOS_INET) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(from->port);
        memcpy(&out->v4.sin_addr, from->ip, sizeof out->v4.sin_addr);
        return sizeof out->v4;
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(from->port);
    out->v6.sin6_scope_id = from->scope;
    memcpy(&out->v6.sin6_addr, from->ip, sizeof out->v6.sin6_addr);
    return sizeof out->v6;
}

static int address_from(const union address *from, struct libos_address *out)
{
    *out = (struct libos_address){0};
    if (from->any.sa_family == AF_INET) {
        out->family = LIBOS_INET;
        out->port = ntohs(from->v4.sin_port);
        memcpy(out->ip, &from->v4.sin_addr, sizeof from->v4.sin_addr);
        return 0;
    }
    if (from->any.sa_family == AF_INET6) {
        out->family = LIBOS_INET6;
        out->port = ntohs(from->v6.sin6_port);
        out->scope = from->v6.sin6_scope_id;
        memcpy(out->ip, &from->v6.sin6_addr, sizeof from->v6.sin6_addr);
        return 0;
    }
    return -LIBOS_EAFNOSUPPORT; /* a standard stream that is a socket of another kind */
}

static int socket_name(struct libos_file *file, bool peer, struct libos_address *out)
{
    union address where;
    socklen_t len = sizeof where;
    int fd = port_file_of(file)->fd;
    memset(&where, 0, sizeof where);
    int rc = peer ? PORT_CALL(getpeername(fd, &where.any, &len))
                  : PORT_CALL(getsockname(fd, &where.any, &len));
    return rc != 0 ? -errno : address_from(&where, out);
}

static void option_of(enum libos_socket_option option, int *level, int *name)
{
    static const struct {
        int level, name;
    } table[LIBOS_SO_OPTIONS] = {
        [LIBOS_SO_NODELAY] = {IPPROTO_TCP, TCP_NODELAY},
        [LIBOS_SO_KEEPALIVE] = {SOL_SOCKET, SO_KEEPALIVE},
        [LIBOS_SO_SNDBUF] = {SOL_SOCKET, SO_SNDBUF},
        [LIBOS_SO_RCVBUF] = {SOL_SOCKET, SO_RCVBUF},
        [LIBOS_SO_ERROR] = {SOL_SOCKET, SO_ERROR},
    };
    *level = table[option].level;
    *name = table[option].name;
}

static int socket_get_option(struct libos_file *file, enum libos_socket_option option,
                             uint64_t *out)
{
    int level, name, value = 0;
    socklen_t len = sizeof value;
    option_of(option, &level, &name);
    if (PORT_CALL(getsockopt(port_file_of(file)->fd, level, name, &value, &len)) != 0) {
        return -errno;
    }
    *out = value < 0 ? 0 : (uint64_t)value;
    return 0;
}

static int socket_set_option(struct libos_file *file, enum libos_socket_option option,
                             uint64_t value)
{
    int level, name;
    bool is_size = option == LIBOS_SO_SNDBUF || option == LIBOS_SO_RCVBUF;
    option_of(option, &level, &name);
    int number = is_size ? (int)(value < LIBOS_SOCKET_BUFFER_MAX ? value : LIBOS_SOCKET_BUFFER_MAX)
                         : value != 0;
    return PORT_CALL(setsockopt(port_file_of(file)->fd, level, name, &number, sizeof number)) != 0
               ? -errno
               : 0;
}

/* The descriptor has O_NONBLOCK: connect never waits in the kernel. Asked again after the wait, it
 * tells how the attempt ended, and only then counts the socket as connected. */
static int client_connect(struct libos_file *file, const struct libos_address *to)
{
    union address where;
    socklen_t len = address_to(to, &where);
    bool started = false;
    for (;;) {
        if (PORT_CALL(connect(port_file_of(file)->fd, &where.any, len)) == 0) {
            return 0;
        }
        bool waits = errno == EINPROGRESS || errno == EINTR || (errno == EALREADY && started);
        if (!waits) {
            return -errno;
        }
        if (file->flags & LIBOS_NONBLOCK) {
            return -LIBOS_EINPROGRESS;
        }
        started = true;
        int rc = libos_wait_for(file, LIBOS_POLL_OUT);
        if (rc != 0) {
            return rc;
        }
    }
}

static const struct libos_socket_ops connection_calls = {
    .recv = socket_recv,
    .send = socket_send,
    .shutdown = socket_shutdown,
    .name = socket_name,
    .get_option = socket_get_option,
    .set_option = socket_set_option,
};

static const struct libos_socket_ops client_calls = {
    .recv = socket_recv,
    .send = socket_send,
    .shutdown = socket_shutdown,
    .connect = client_connect,
    .name = socket_name,
    .get_option = socket_get_option,
    .set_option = socket_set_option,
};

static const struct libos_socket_ops listener_calls = {
    .accept = listener_accept,
    .name = socket_name,
};

const struct libos_file_ops port_socket_ops = {
    .close = port_file_close,
    .read = socket_read,
    .write = socket_send,
    .stat = port_file_stat,
    .set_flags = port_stream_set_flags,
    .poll = port_file_poll,
    .readable_bytes = port_stream_readable_bytes,
    .socket = &connection_calls,
};

static const struct libos_file_ops client_ops = {
    .close = port_file_close,
    .read = socket_read,
    .write = socket_send,
    .stat = port_file_stat,
    .set_flags = port_stream_set_flags,
    .poll = port_file_poll,
    .readable_bytes = port_stream_readable_bytes,
    .socket = &client_calls,
};

const struct libos_file_ops port_listener_ops = {
    .close = port_file_close,
    .stat = port_file_stat,
    .set_flags = port_stream_set_flags,
    .poll = port_file_poll,
    .socket = &listener_calls,
};

/* "1.2.3.4:80" or "[::1]:80". */
static bool parse_address(const char *text, union address *out, socklen_t *len)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    if (!colon || colon[1] < '0' || colon[1] > '9') {
        return false;
    }
    char *end;
    errno = 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end || errno || port > UINT16_MAX) {
        return false;
    }
    bool v6 = text[0] == '[';
    const char *start = v6 ? text + 1 : text;
    if (v6 && (colon == text || colon[-1] != ']')) {
        return false;
    }
    size_t host_len = (size_t)(colon - start) - (v6 ? 1 : 0);
    if (host_len >= sizeof host) {
        return false;
    }
    memcpy(host, start, host_len);
    host[host_len] = '\0';
    memset(out, 0, sizeof *out);
    if (v6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        *len = sizeof out->v6;
        return inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1;
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons((uint16_t)port);
    *len = sizeof out->v4;
    return inet_pton(AF_INET, host, &out->v4.sin_addr) == 1;
}

int port_socket_new(struct libos *os, enum libos_family family, bool datagram,
                    struct libos_file **out)
{
    int fd = PORT_CALL(socket(family == LIBOS_INET ? AF_INET : AF_INET6,
                              (datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK,
                              datagram ? IPPROTO_UDP : IPPROTO_TCP));
    if (fd < 0) {
        return -errno;
    }
    int rc = adopt_socket(os, fd, LIBOS_READ | LIBOS_WRITE, out);
    if (rc == 0) {
        (*out)->ops = &client_ops;
    }
    return rc;
}

int port_listen(struct libos *os, const char *address, struct libos_file **out,
                struct wm_diag *diag)
{
    union address where;
    socklen_t len;
    int one = 1;
    if (!parse_address(address, &where, &len)) {
        char quoted[64];
        return wm_diag_set(diag, WM_E_USAGE,
                           "%s: not an address: write it as 127.0.0.1:8080 or [::1]:8080",
                           wm_diag_quote(quoted, sizeof quoted, address, strlen(address)));
    }
    int fd = PORT_CALL(
        socket(where.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (fd < 0) {
        int code = -errno;
        return wm_diag_set(diag, code, "%s: cannot make a socket: %s", address,
                           wm_error_text(code));
    }
    if (PORT_CALL(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one)) != 0 ||
        PORT_CALL(bind(fd, &where.any, len)) != 0 || PORT_CALL(listen(fd, SOMAXCONN)) != 0) {
        int code = -errno;
        close(fd);
        return wm_diag_set(diag, code, "%s: cannot listen: %s", address, wm_error_text(code));
    }
    int rc = adopt_socket(os, fd, LIBOS_READ | LIBOS_WRITE, out);
    return rc != 0 ? wm_diag_set(diag, rc, "%s: cannot listen: %s", address, wm_error_text(rc)) : 0;
}

int port_listen_address(struct libos_file *listener, char *out, size_t out_bytes)
{
    union address where;
    socklen_t len = sizeof where;
    char host[INET6_ADDRSTRLEN];
    if (listener->ops != &port_listener_ops) {
        return -LIBOS_ENOTSOCK;
    }
    if (getsockname(port_file_of(listener)->fd, &where.any, &len) != 0) {
        return -errno;
    }
    bool v6 = where.any.sa_family == AF_INET6;
    const void *raw = v6 ? (const void *)&where.v6.sin6_addr : &where.v4.sin_addr;
    if (!inet_ntop(where.any.sa_family, raw, host, sizeof host)) {
        return -errno;
    }
    int written = snprintf(out, out_bytes, v6 ? "[%s]:%u" : "%s:%u", host,
                           ntohs(v6 ? where.v6.sin6_port : where.v4.sin_port));
    return written < 0 || (size_t)written >= out_bytes ? -LIBOS_ENAMETOOLONG : 0;
}
