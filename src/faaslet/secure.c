/* One record at a time in each direction: what is sent is gathered into records of up to 64 KiB, so
 * that a small request is one record and one packet; what is received is given out from the opened
 * record until that is empty. Closing sends the final record, so that the other side can tell an
 * end from a cut. */
#include "faaslet/secure.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "crypto/channel.h"
#include "crypto/hash.h"
#include "host/file.h"

_Static_assert(SECURE_KEY_BYTES == CHANNEL_KEY_BYTES, "key");
_Static_assert(SECURE_NAME_BYTES_MAX == CHANNEL_NAME_BYTES_MAX, "name");

struct secure {
    int fd;
    uint32_t io_ms;
    int broken; /* the error that ended it */
    struct channel channel;
    uint32_t plain_at, plain_len; /* of `plain`, not yet given out */
    uint8_t plain[CHANNEL_PLAIN_BYTES_MAX];
    uint8_t gathered[CHANNEL_PLAIN_BYTES_MAX];
    uint8_t sealed[CHANNEL_RECORD_BYTES(CHANNEL_PLAIN_BYTES_MAX)];
};

static int64_t deadline_after(uint32_t ms)
{
    return ms ? host_monotonic_ns() + (int64_t)ms * 1000000 : 0;
}

/* Waits for `events`. Deadline 0: none. */
static int wait_for(int fd, short events, int64_t deadline_ns)
{
    for (;;) {
        int timeout = -1;
        if (deadline_ns) {
            int64_t left = (deadline_ns - host_monotonic_ns() + 999999) / 1000000;
            if (left <= 0) {
                return -ETIMEDOUT;
            }
            timeout = left < 1000000 ? (int)left : 1000000;
        }
        struct pollfd item = {.fd = fd, .events = events};
        int rc = poll(&item, 1, timeout);
        if (rc > 0) {
            return 0;
        }
        if (rc < 0 && errno != EINTR) {
            return -errno;
        }
    }
}

static int send_all(int fd, const uint8_t *bytes, size_t len, int64_t deadline_ns)
{
    while (len > 0) {
        if (wm_fault_here(WM_FAULT_IO)) {
            return -EIO;
        }
        ssize_t rc = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (rc >= 0) {
            bytes += rc;
            len -= (size_t)rc;
            continue;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno != EAGAIN) {
            return -errno;
        }
        int code = wait_for(fd, POLLOUT, deadline_ns);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* -EPIPE: the other side ended before the first byte; -ECONNRESET: after it. */
static int recv_all(int fd, uint8_t *bytes, size_t len, int64_t deadline_ns)
{
    size_t done = 0;
    while (done < len) {
        if (wm_fault_here(WM_FAULT_IO)) {
            return -EIO;
        }
        ssize_t rc = recv(fd, bytes + done, len - done, MSG_DONTWAIT);
        if (rc > 0) {
            done += (size_t)rc;
            continue;
        }
        if (rc == 0) {
            return done ? -ECONNRESET : -EPIPE;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno != EAGAIN) {
            return -errno;
        }
        int code = wait_for(fd, POLLIN, deadline_ns);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

static int send_record(struct secure *s, struct wm_view plain, bool final)
{
    channel_seal(&s->channel, plain, final, s->sealed);
    return send_all(s->fd, s->sealed, CHANNEL_RECORD_BYTES(plain.len), deadline_after(s->io_ms));
}

static int secure_send(void *self, const struct iovec *parts, int count, int pass_fd)
{
    struct secure *s = self;
    if (pass_fd >= 0) {
        return -EOPNOTSUPP;
    }
    if (s->broken) {
        return s->broken;
    }
    size_t used = 0;
    int rc = 0;
    for (int i = 0; i < count && rc == 0; i++) {
        const uint8_t *from = parts[i].iov_base;
        size_t left = parts[i].iov_len;
        while (left > 0 && rc == 0) {
            if (used == 0 && left >= sizeof s->gathered) {
                rc = send_record(s, wm_view_of(from, sizeof s->gathered), false);
                from += sizeof s->gathered;
                left -= sizeof s->gathered;
                continue;
            }
            size_t part = sizeof s->gathered - used;
            part = part < left ? part : left;
            memcpy(s->gathered + used, from, part);
            used += part;
            from += part;
            left -= part;
            if (used == sizeof s->gathered) {
                rc = send_record(s, wm_view_of(s->gathered, used), false);
                used = 0;
            }
        }
    }
    if (rc == 0 && used > 0) {
        rc = send_record(s, wm_view_of(s->gathered, used), false);
    }
    s->broken = rc;
    return rc;
}

static int recv_record(struct secure *s)
{
    uint8_t head[CHANNEL_HEAD_BYTES];
    uint32_t body;
    bool final;
    int64_t deadline_ns = deadline_after(s->io_ms);
    int rc = recv_all(s->fd, head, sizeof head, deadline_ns);
    if (rc == -EPIPE) {
        rc = -ECONNRESET; /* no final record came: it was cut */
    }
    if (rc == 0) {
        rc = channel_body_bytes(head, &body);
    }
    if (rc == 0) {
        /* sealed is the sending side's; one thread at a time, and nothing waits in it. */
        rc = recv_all(s->fd, s->sealed, body, deadline_ns);
        rc = rc == -EPIPE ? -ECONNRESET : rc;
    }
    if (rc == 0) {
        rc =
            channel_open(&s->channel, wm_view_of(s->sealed, body), s->plain, &s->plain_len, &final);
    }
    if (rc != 0) {
        return rc;
    }
    s->plain_at = 0;
    return final ? -EPIPE : 0;
}

static int secure_recv(void *self, void *out, size_t len, int *passed_fd)
{
    struct secure *s = self;
    uint8_t *to = out;
    (void)passed_fd; /* left alone: none comes */
    if (s->broken) {
        return s->broken;
    }
    while (len > 0) {
        size_t part = s->plain_len - s->plain_at;
        if (part == 0) {
            int rc = recv_record(s);
            if (rc != 0) {
                s->broken = rc == -EPIPE && to != out ? -ECONNRESET : rc;
                return s->broken;
            }
            continue;
        }
        part = part < len ? part : len;
        memcpy(to, s->plain + s->plain_at, part);
        s->plain_at += (uint32_t)part;
        to += part;
        len -= part;
    }
    return 0;
}

static void secure_close(void *self)
{
    struct secure *s = self;
    if (!s->broken) {
        /* Not waited for: a full socket loses it, and the other side sees a cut. */
        channel_seal(&s->channel, (struct wm_view){NULL, 0}, true, s->sealed);
        (void)!send(s->fd, s->sealed, CHANNEL_RECORD_BYTES(0), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    close(s->fd);
    channel_wipe(&s->channel);
    explicit_bzero(s, sizeof *s);
    wm_free(s);
}

static int set_options(int fd, uint32_t user_timeout_ms)
{
    int one = 1, idle = 5, interval = 2, count = 3;
    unsigned timeout = user_timeout_ms;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return -errno;
    }
    /* Of a socket that is not TCP (a test's pair) these are refused, which does no harm. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    return 0;
}

static int shake_hands(struct secure *s, struct channel_handshake *h, bool initiator,
                       int64_t deadline_ns, struct wm_diag *diag)
{
    uint8_t hello[CHANNEL_HELLO_BYTES], answer[CHANNEL_ANSWER_BYTES];
    uint8_t confirm[CHANNEL_CONFIRM_BYTES];
    int rc;
    if (initiator) {
        channel_hello(h, hello);
        rc = send_all(s->fd, hello, sizeof hello, deadline_ns);
        rc = rc == 0 ? recv_all(s->fd, answer, sizeof answer, deadline_ns) : rc;
        rc = rc == 0 ? channel_finish(h, answer, confirm, &s->channel, diag) : rc;
        return rc == 0 ? send_all(s->fd, confirm, sizeof confirm, deadline_ns) : rc;
    }
    rc = recv_all(s->fd, hello, sizeof hello, deadline_ns);
    rc = rc == 0 ? channel_answer(h, hello, answer, diag) : rc;
    rc = rc == 0 ? send_all(s->fd, answer, sizeof answer, deadline_ns) : rc;
    rc = rc == 0 ? recv_all(s->fd, confirm, sizeof confirm, deadline_ns) : rc;
    return rc == 0 ? channel_accept(h, confirm, &s->channel, diag) : rc;
}

int secure_transport(int fd, const struct secure_config *config, struct rpc_transport *out,
                     char peer_name[SECURE_NAME_BYTES_MAX + 1], struct wm_diag *diag)
{
    struct secure *s = wm_alloc_zero(1, sizeof *s);
    if (!s) {
        close(fd);
        return wm_diag_set(diag, -ENOMEM, "connection between nodes: out of memory");
    }
    s->fd = fd;
    struct channel_handshake handshake;
    struct wm_view peer = config->peer ? wm_view_str(config->peer) : (struct wm_view){NULL, 0};
    uint8_t random[32];
    wm_random_bytes(random, sizeof random);
    int rc = set_options(fd, config->user_timeout_ms ? config->user_timeout_ms : 10000);
    if (rc == 0) {
        rc = channel_begin(&handshake, config->key, wm_view_str(config->name), peer, random, diag);
    }
    if (rc == 0) {
        int64_t deadline_ns = deadline_after(config->handshake_ms ? config->handshake_ms : 2000);
        rc = shake_hands(s, &handshake, config->peer != NULL, deadline_ns, diag);
        if (rc == 0 && peer_name) {
            struct wm_view name = channel_peer_name(&handshake);
            memcpy(peer_name, name.ptr, name.len);
            peer_name[name.len] = 0;
        }
        channel_handshake_wipe(&handshake);
    }
    explicit_bzero(random, sizeof random);
    if (rc != 0) {
        if (rc == -EPIPE || rc == -ECONNRESET) {
            (void)wm_diag_set(diag, rc,
                              "connection between nodes: the other side closed it during the "
                              "handshake; do both have the same cluster key, and each other's "
                              "names?");
        } else if (rc == -ETIMEDOUT) {
            (void)wm_diag_set(diag, rc,
                              "connection between nodes: the handshake was not over in time");
        } else {
            (void)wm_diag_default(diag, rc, "connection between nodes");
        }
        close(fd);
        channel_wipe(&s->channel);
        wm_free(s);
        return rc;
    }
    s->io_ms = config->io_ms;
    *out = (struct rpc_transport){
        .self = s, .send = secure_send, .recv = secure_recv, .close = secure_close};
    return 0;
}

bool secure_is_quiet(const struct rpc_transport *transport)
{
    const struct secure *s = transport->self;
    uint8_t byte;
    if (s->broken || s->plain_at != s->plain_len) {
        return false;
    }
    return recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

int secure_key_read(const char *path, uint8_t key[SECURE_KEY_BYTES], struct wm_diag *diag)
{
    struct host_file_info info;
    uint8_t *bytes = NULL;
    size_t len = 0;
    int fd = host_file_open(AT_FDCWD, path);
    if (fd < 0) {
        return wm_diag_set(diag, fd, "cluster key %s: %s", path, wm_error_text(fd));
    }
    int rc = host_file_info(fd, &info);
    if (rc == 0 && (info.mode & 077)) {
        rc = wm_diag_set(diag, WM_E_DENIED,
                         "cluster key %s: others than its owner may read it; chmod 600 %s", path,
                         path);
        goto out;
    }
    if (rc == 0) {
        rc = host_file_read_all(fd, SECURE_KEY_BYTES, &bytes, &len);
    }
    if (rc == WM_E_LIMIT || (rc == 0 && len != SECURE_KEY_BYTES)) {
        rc = wm_diag_set(diag, WM_E_MALFORMED,
                         "cluster key %s: it must have exactly %u bytes; make one with: head -c %u "
                         "/dev/urandom",
                         path, SECURE_KEY_BYTES, SECURE_KEY_BYTES);
        goto out;
    }
    if (rc != 0) {
        (void)wm_diag_set(diag, rc, "cluster key %s: %s", path, wm_error_text(rc));
        goto out;
    }
    memcpy(key, bytes, SECURE_KEY_BYTES);
out:
    if (bytes) {
        explicit_bzero(bytes, len);
        wm_free(bytes);
    }
    host_file_close(fd);
    return rc;
}
