/* sys/socket.h: wasi-libc's, and what it leaves out: sockets of a client, TCP and UDP over IPv4 and
 * IPv6.
 *
 * Which addresses may be reached is decided where the guest runs: connect fails with EACCES for
 * others, socket where none are allowed. bind succeeds where it asks for nothing in particular (any
 * address, port 0); listen and socketpair fail with EOPNOTSUPP. A datagram socket knows one address
 * at a time: sendto to another connects it anew. Calls that wait end with the guest's deadline;
 * SO_RCVTIMEO and SO_SNDTIMEO are not there (ENOPROTOOPT): poll has a time limit. There is no
 * SIGPIPE. */
#ifndef WARDMOTE_POSIX_SYS_SOCKET_H
#define WARDMOTE_POSIX_SYS_SOCKET_H

#include_next <sys/socket.h>

#ifndef PF_INET
#define PF_UNSPEC AF_UNSPEC
#define PF_INET AF_INET
#define PF_INET6 AF_INET6
#define PF_UNIX AF_UNIX
#define AF_LOCAL AF_UNIX
#define PF_LOCAL AF_UNIX
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef SOMAXCONN
#define SOMAXCONN 128
#endif
#ifndef SO_ERROR
#define SO_REUSEADDR 2 /* accepted, without effect: a client binds to nothing */
#define SO_ERROR 4
#define SO_BROADCAST 6
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define SO_KEEPALIVE 9
#define SO_LINGER 13
#define SO_RCVTIMEO 20
#define SO_SNDTIMEO 21
#endif

#ifdef __cplusplus
extern "C" {
#endif

int socket(int, int, int);
int socketpair(int, int, int, int[2]);
int connect(int, const struct sockaddr *, socklen_t);
int bind(int, const struct sockaddr *, socklen_t);
int listen(int, int);
int getsockname(int, struct sockaddr *__restrict, socklen_t *__restrict);
int getpeername(int, struct sockaddr *__restrict, socklen_t *__restrict);
int setsockopt(int, int, int, const void *, socklen_t);
ssize_t sendto(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
ssize_t recvfrom(int, void *__restrict, size_t, int, struct sockaddr *__restrict,
                 socklen_t *__restrict);

#ifdef __cplusplus
}
#endif

#endif
