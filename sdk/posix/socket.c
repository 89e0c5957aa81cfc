/* Client sockets for POSIX programs, over the import module "wardmote_socket" (src/wasi/wasi.h).
 *
 * Linked into a guest by `wardmote build`, as posix.c is; what is not used is dropped, imports too.
 * send, recv, shutdown, poll, select, read, write and close are wasi-libc's: the descriptor is an
 * ordinary one. */
#pragma clang diagnostic ignored "-Weverything" /* as in posix.c */
#pragma GCC visibility push(hidden) /* or --dlopen would keep all this, and its imports */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <wasi/api.h>

#define IMPORT(name) __attribute__((import_module("wardmote_socket"), import_name(#name)))

struct wire_address { /* WASI_ADDRESS_BYTES */
    uint16_t family;
    uint16_t port;
    uint32_t scope;
    uint8_t ip[16];
};
_Static_assert(sizeof(struct wire_address) == 24, "as the host has it");

enum { OPTION_NODELAY, OPTION_KEEPALIVE, OPTION_SNDBUF, OPTION_RCVBUF, OPTION_ERROR };
#define ADDRESSES_MAX 16

IMPORT(socket) uint32_t host_socket(uint32_t family, uint32_t type, uint32_t protocol, int *fd);
IMPORT(connect) uint32_t host_connect(int fd, const struct wire_address *address);
IMPORT(getsockname) uint32_t host_getsockname(int fd, struct wire_address *address);
IMPORT(getpeername) uint32_t host_getpeername(int fd, struct wire_address *address);
IMPORT(getsockopt) uint32_t host_getsockopt(int fd, uint32_t option, uint64_t *value);
IMPORT(setsockopt) uint32_t host_setsockopt(int fd, uint32_t option, uint64_t value);
IMPORT(resolve)
uint32_t host_resolve(const char *name, size_t name_len, struct wire_address *out, uint32_t most,
                      uint32_t *count);

static int fail(int error)
{
    errno = error;
    return -1;
}

static int result_of(uint32_t error)
{
    return error ? fail((int)error) : 0;
}

static int to_wire(const struct sockaddr *from, socklen_t len, struct wire_address *out)
{
    memset(out, 0, sizeof *out);
    if (!from || len < sizeof from->sa_family) {
        return fail(EINVAL);
    }
    out->family = from->sa_family;
    if (from->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)from;
        out->port = ntohs(in->sin_port);
        memcpy(out->ip, &in->sin_addr, 4);
        return 0;
    }
    if (from->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in = (const void *)from;
        out->port = ntohs(in->sin6_port);
        out->scope = in->sin6_scope_id;
        memcpy(out->ip, &in->sin6_addr, 16);
        return 0;
    }
    return fail(from->sa_family == AF_INET || from->sa_family == AF_INET6 ? EINVAL : EAFNOSUPPORT);
}

static socklen_t from_wire(const struct wire_address *from, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (from->family == AF_INET) {
        struct sockaddr_in *in = (void *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(from->port);
        memcpy(&in->sin_addr, from->ip, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in = (void *)out;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(from->port);
    in->sin6_scope_id = from->scope;
    memcpy(&in->sin6_addr, from->ip, 16);
    return sizeof *in;
}
_Static_assert(sizeof(struct sockaddr_in6) <= sizeof(struct sockaddr_storage), "both fit");

int socket(int family, int type, int protocol)
{
    int fd = -1;
    return result_of(host_socket((uint32_t)family, (uint32_t)type, (uint32_t)protocol, &fd)) ? -1
                                                                                             : fd;
}

int socketpair(int family, int type, int protocol, int fds[2])
{
    return fail(EOPNOTSUPP);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    struct wire_address to;
    return to_wire(address, len, &to) ? -1 : result_of(host_connect(fd, &to));
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
    static const uint8_t any[16];
    struct wire_address at;
    if (to_wire(address, len, &at)) {
        return -1;
    }
    return at.port == 0 && memcmp(at.ip, any, sizeof any) == 0 ? 0 : fail(EOPNOTSUPP);
}

int listen(int fd, int backlog)
{
    return fail(EOPNOTSUPP);
}

static int give_name(uint32_t error, const struct wire_address *from, struct sockaddr *out,
                     socklen_t *len)
{
    struct sockaddr_storage full;
    if (error) {
        return fail((int)error);
    }
    socklen_t full_len = from_wire(from, &full);
    memcpy(out, &full, *len < full_len ? *len : full_len);
    *len = full_len;
    return 0;
}

int getsockname(int fd, struct sockaddr *__restrict out, socklen_t *__restrict len)
{
    struct wire_address name;
    return give_name(host_getsockname(fd, &name), &name, out, len);
}

int getpeername(int fd, struct sockaddr *__restrict out, socklen_t *__restrict len)
{
    struct wire_address name;
    return give_name(host_getpeername(fd, &name), &name, out, len);
}

static int option_of(int level, int name)
{
    if (level == IPPROTO_TCP && name == TCP_NODELAY) {
        return OPTION_NODELAY;
    }
    if (level == SOL_SOCKET) {
        switch (name) {
        case SO_KEEPALIVE: return OPTION_KEEPALIVE;
        case SO_SNDBUF: return OPTION_SNDBUF;
        case SO_RCVBUF: return OPTION_RCVBUF;
        case SO_ERROR: return OPTION_ERROR;
        }
    }
    return -1;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    int option = option_of(level, name), number;
    if (level == SOL_SOCKET && name == SO_REUSEADDR) {
        return 0;
    }
    if (option < 0) {
        return fail(ENOPROTOOPT);
    }
    if (len < sizeof number) {
        return fail(EINVAL);
    }
    memcpy(&number, value, sizeof number);
    return result_of(host_setsockopt(fd, (uint32_t)option, number < 0 ? 0 : (uint64_t)number));
}

int getsockopt(int fd, int level, int name, void *__restrict out, socklen_t *__restrict len)
{
    uint64_t value = 0;
    int option = option_of(level, name), number;
    if (level == SOL_SOCKET && name == SO_TYPE) {
        __wasi_fdstat_t stat;
        __wasi_errno_t error = __wasi_fd_fdstat_get((__wasi_fd_t)fd, &stat);
        if (error) {
            return fail(error);
        }
        if (stat.fs_filetype != SOCK_STREAM && stat.fs_filetype != SOCK_DGRAM) {
            return fail(ENOTSOCK);
        }
        value = stat.fs_filetype;
    } else if (option < 0) {
        return fail(ENOPROTOOPT);
    } else if (result_of(host_getsockopt(fd, (uint32_t)option, &value))) {
        return -1;
    }
    number = (int)value;
    *len = *len < sizeof number ? *len : sizeof number;
    memcpy(out, &number, *len);
    return 0;
}

ssize_t sendto(int fd, const void *data, size_t data_len, int flags, const struct sockaddr *to,
               socklen_t len)
{
    __wasi_fdstat_t stat;
    if (to && __wasi_fd_fdstat_get((__wasi_fd_t)fd, &stat) == 0 && stat.fs_filetype == SOCK_DGRAM &&
        connect(fd, to, len)) {
        return -1;
    }
    return send(fd, data, data_len, flags);
}

ssize_t recvfrom(int fd, void *__restrict out, size_t out_len, int flags,
                 struct sockaddr *__restrict from, socklen_t *__restrict len)
{
    ssize_t got = recv(fd, out, out_len, flags);
    if (got >= 0 && from && len && getpeername(fd, from, len)) {
        return -1;
    }
    return got;
}

/* Addresses as text. */

int inet_aton(const char *text, struct in_addr *out)
{
    return inet_pton(AF_INET, text, out) == 1;
}

in_addr_t inet_addr(const char *text)
{
    struct in_addr address;
    return inet_pton(AF_INET, text, &address) == 1 ? address.s_addr : INADDR_NONE;
}

char *inet_ntoa(struct in_addr address)
{
    static char text[INET_ADDRSTRLEN];
    return (char *)inet_ntop(AF_INET, &address, text, sizeof text);
}

/* Names. */

int h_errno;

static const struct {
    char name[8];
    uint16_t port;
} services[] = {{"http", 80},  {"https", 443}, {"ftp", 21},    {"ssh", 22},
                {"smtp", 25},  {"domain", 53}, {"pop3", 110},  {"ntp", 123},
                {"imap", 143}, {"imaps", 993}, {"redis", 6379}};

/* The port, or -1. */
static int service_port(const char *service, int flags)
{
    char *end;
    if (!service || !service[0]) {
        return 0;
    }
    unsigned long number = strtoul(service, &end, 10);
    if (!*end && service[0] >= '0' && service[0] <= '9') {
        return number <= 65535 ? (int)number : -1;
    }
    for (size_t i = 0; !(flags & AI_NUMERICSERV) && i < sizeof services / sizeof *services; i++) {
        if (strcmp(service, services[i].name) == 0) {
            return services[i].port;
        }
    }
    return -1;
}

static int eai_of(uint32_t error)
{
    switch (error) {
    case ENOENT:
    case EACCES:
    case EINVAL:
    case ENAMETOOLONG: return EAI_NONAME;
    case EAGAIN:
    case ETIMEDOUT: return EAI_AGAIN;
    case ENOMEM: return EAI_MEMORY;
    default: errno = (int)error; return EAI_SYSTEM;
    }
}

static int look_up(const char *name, int flags, struct wire_address *out, uint32_t *count)
{
    struct in6_addr digits;
    memset(out, 0, ADDRESSES_MAX * sizeof *out);
    if (!name) {
        out[0].family = AF_INET6;
        out[1].family = AF_INET;
        if (!(flags & AI_PASSIVE)) {
            out[0].ip[15] = 1;
            out[1].ip[0] = 127;
            out[1].ip[3] = 1;
        }
        *count = 2;
        return 0;
    }
    if (inet_pton(AF_INET, name, &digits) == 1 || inet_pton(AF_INET6, name, &digits) == 1) {
        *count = 1;
        out->family = strchr(name, ':') ? AF_INET6 : AF_INET;
        memcpy(out->ip, &digits, out->family == AF_INET ? 4 : 16);
        return 0;
    }
    if (flags & AI_NUMERICHOST) {
        return EAI_NONAME;
    }
    uint32_t error = host_resolve(name, strlen(name), out, ADDRESSES_MAX, count);
    return error ? eai_of(error) : *count ? 0 : EAI_NONAME;
}

/* One result: the structure, the address and the name in one block. */
struct found {
    struct addrinfo info;
    struct sockaddr_storage address;
    char name[];
};

static int add_result(struct addrinfo ***tail, const struct wire_address *address, int type,
                      const char *canonical)
{
    size_t name_bytes = canonical ? strlen(canonical) + 1 : 0;
    struct found *found = calloc(1, sizeof *found + name_bytes);
    if (!found) {
        return EAI_MEMORY;
    }
    found->info = (struct addrinfo){
        .ai_family = address->family,
        .ai_socktype = type,
        .ai_protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP,
        .ai_addrlen = from_wire(address, &found->address),
        .ai_addr = (struct sockaddr *)&found->address,
    };
    if (canonical) {
        found->info.ai_canonname = memcpy(found->name, canonical, name_bytes);
    }
    **tail = &found->info;
    *tail = &found->info.ai_next;
    return 0;
}

int getaddrinfo(const char *__restrict name, const char *__restrict service,
                const struct addrinfo *__restrict hints, struct addrinfo **__restrict out)
{
    static const struct addrinfo none;
    const struct addrinfo *wanted = hints ? hints : &none;
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    struct wire_address addresses[ADDRESSES_MAX];
    uint32_t count;
    struct addrinfo *first = NULL, **tail = &first;
    if (!name && !service) {
        return EAI_NONAME;
    }
    if (wanted->ai_family != AF_UNSPEC && wanted->ai_family != AF_INET &&
        wanted->ai_family != AF_INET6) {
        return EAI_FAMILY;
    }
    if (wanted->ai_socktype != 0 && wanted->ai_socktype != SOCK_STREAM &&
        wanted->ai_socktype != SOCK_DGRAM) {
        return EAI_SOCKTYPE;
    }
    int port = service_port(service, wanted->ai_flags);
    if (port < 0) {
        return EAI_SERVICE;
    }
    int error = look_up(name, wanted->ai_flags, addresses, &count);
    const char *canonical = wanted->ai_flags & AI_CANONNAME ? name : NULL;
    for (uint32_t i = 0; !error && i < count; i++) {
        addresses[i].port = (uint16_t)port;
        for (int kind = 0; !error && kind < 2; kind++) {
            if ((wanted->ai_family == AF_UNSPEC || wanted->ai_family == addresses[i].family) &&
                (wanted->ai_socktype == 0 || wanted->ai_socktype == types[kind])) {
                error = add_result(&tail, &addresses[i], types[kind], canonical);
                canonical = NULL;
            }
        }
    }
    if (!error && !first) {
        error = EAI_NODATA;
    }
    if (error) {
        freeaddrinfo(first);
        return error;
    }
    *out = first;
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    while (info) {
        struct addrinfo *next = info->ai_next;
        free(info);
        info = next;
    }
}

const char *gai_strerror(int error)
{
    switch (error) {
    case 0: return "no error";
    case EAI_BADFLAGS: return "invalid flags";
    case EAI_NONAME: return "name does not resolve";
    case EAI_AGAIN: return "try again";
    case EAI_FAIL: return "unrecoverable error";
    case EAI_NODATA: return "name has no usable address";
    case EAI_FAMILY: return "unsupported family";
    case EAI_SOCKTYPE: return "unsupported socket type";
    case EAI_SERVICE: return "unknown service";
    case EAI_MEMORY: return "out of memory";
    case EAI_SYSTEM: return "system error";
    case EAI_OVERFLOW: return "buffer too small";
    default: return "unknown error";
    }
}

int getnameinfo(const struct sockaddr *__restrict address, socklen_t len, char *__restrict host,
                socklen_t host_len, char *__restrict service, socklen_t service_len, int flags)
{
    struct wire_address wire;
    if (to_wire(address, len, &wire)) {
        return EAI_FAMILY;
    }
    if (flags & NI_NAMEREQD) {
        return EAI_NONAME;
    }
    if (host && host_len && !inet_ntop(wire.family, wire.ip, host, host_len)) {
        return EAI_OVERFLOW;
    }
    if (service && service_len &&
        snprintf(service, service_len, "%u", wire.port) >= (int)service_len) {
        return EAI_OVERFLOW;
    }
    return 0;
}

struct hostent *gethostbyname(const char *name)
{
    static struct hostent host;
    static char text[254];
    static struct in_addr found[ADDRESSES_MAX];
    static char *list[ADDRESSES_MAX + 1], *aliases[1];
    struct wire_address addresses[ADDRESSES_MAX];
    uint32_t count, used = 0;
    int error = look_up(name, 0, addresses, &count);
    if (error) {
        h_errno = error == EAI_AGAIN    ? TRY_AGAIN
                  : error == EAI_NONAME ? HOST_NOT_FOUND
                                        : NO_RECOVERY;
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (addresses[i].family == AF_INET) {
            memcpy(&found[used], addresses[i].ip, sizeof found[used]);
            list[used] = (char *)&found[used];
            used++;
        }
    }
    if (used == 0) {
        h_errno = NO_DATA;
        return NULL;
    }
    list[used] = NULL;
    snprintf(text, sizeof text, "%s", name);
    host = (struct hostent){text, aliases, AF_INET, sizeof(struct in_addr), list};
    return &host;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
    static struct servent service;
    static char *aliases[1];
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        if (strcmp(name, services[i].name) == 0) {
            service = (struct servent){(char *)services[i].name, aliases, htons(services[i].port),
                                       (char *)(protocol ? protocol : "tcp")};
            return &service;
        }
    }
    return NULL;
}

const char *hstrerror(int error)
{
    return error == HOST_NOT_FOUND ? "host not found"
           : error == TRY_AGAIN    ? "try again"
           : error == NO_DATA      ? "no address"
                                   : "unrecoverable error";
}
