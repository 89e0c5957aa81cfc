/* Frames over a stream: the client's side, the server's side, and the transport over a socket.
 *
 * Both sides treat the other one as hostile: a node serves workers that a guest may have taken
 * over, a worker asks a node on another machine. So each header is checked before anything is done
 * with its body, and the first thing that is out of form ends the connection. */
#include "faaslet/rpc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/fault.h"

#define HEADER_BYTES 16u
#define FLAG_FD 1u
#define FLAG_REPLY 2u
/* A buffer that one large body made larger than this is given back before the next wait. */
#define KEEP_BYTES (UINT32_C(2) << 20)
#define DROP_BYTES 65536u
#define PARTS_AT_ONCE 64

struct header {
    uint32_t body_bytes;
    uint16_t service, flags;
    uint64_t sequence;
};

static void encode(uint8_t out[HEADER_BYTES], const struct header *header)
{
    memcpy(out, &header->body_bytes, 4);
    memcpy(out + 4, &header->service, 2);
    memcpy(out + 6, &header->flags, 2);
    memcpy(out + 8, &header->sequence, 8);
}

static struct header decode(const uint8_t in[HEADER_BYTES])
{
    struct header header;
    memcpy(&header.body_bytes, in, 4);
    memcpy(&header.service, in + 4, 2);
    memcpy(&header.flags, in + 6, 2);
    memcpy(&header.sequence, in + 8, 8);
    return header;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* --- Buffers --- */

struct buffer {
    uint8_t *bytes;
    size_t len, room;
};

/* Room for `len` bytes in all; what is in it stays. */
static int buffer_reserve(struct buffer *buffer, size_t len)
{
    if (len <= buffer->room) {
        return 0;
    }
    size_t wanted = buffer->room ? buffer->room : 4096;
    while (wanted < len) {
        wanted *= 2;
    }
    uint8_t *grown = wm_realloc(buffer->bytes, wanted, 1);
    if (!grown) {
        return -ENOMEM;
    }
    buffer->bytes = grown;
    buffer->room = wanted;
    return 0;
}

static void buffer_fini(struct buffer *buffer)
{
    wm_free(buffer->bytes);
    *buffer = (struct buffer){0};
}

static void buffer_reset(struct buffer *buffer)
{
    buffer->len = 0;
    if (buffer->room > KEEP_BYTES) {
        buffer_fini(buffer);
    }
}

/* --- Client --- */

struct rpc_client {
    struct rpc_transport transport;
    uint64_t sequence;
    bool waiting;  /* a request was sent, in part or whole, whose reply has not been taken yet */
    bool in_body;  /* of that reply: its header was read, `left` bytes of its body are to come */
    uint32_t left; /* bytes */
    bool broken;
    struct buffer reply;
};

int rpc_client_new(const struct rpc_transport *transport, struct rpc_client **out,
                   struct wm_diag *diag)
{
    struct rpc_client *client = wm_alloc_zero(1, sizeof *client);
    if (!client) {
        transport->close(transport->self);
        return wm_diag_default(diag, -ENOMEM, "rpc");
    }
    client->transport = *transport;
    *out = client;
    return 0;
}

void rpc_client_free(struct rpc_client *client)
{
    if (client) {
        client->transport.close(client->transport.self);
        buffer_fini(&client->reply);
        wm_free(client);
    }
}

void rpc_client_interrupted(struct rpc_client *client, bool (*stop)(void *self), void *self)
{
    if (client->transport.interruptible) {
        client->transport.interruptible(client->transport.self, stop, self);
    }
}

bool rpc_client_usable(const struct rpc_client *client)
{
    return !client->broken;
}

/* -EINTR leaves the connection usable; everything else ends it. */
static int gone(struct rpc_client *client, int err, const char *what, struct wm_diag *diag)
{
    if (err != -EINTR) {
        client->broken = true;
    }
    return wm_diag_set(diag, err, "rpc: %s: %s", what,
                       err == -EPIPE ? "the other side has closed the connection"
                                     : wm_error_text(err));
}

/* The header of a reply to the request that is waited for. */
static int take_header(struct rpc_client *client, uint16_t service, int *fd, struct wm_diag *diag)
{
    uint8_t bytes[HEADER_BYTES];
    int err = client->transport.recv(client->transport.self, bytes, sizeof bytes, fd);
    if (err) {
        close_fd(fd);
        return gone(client, err, "waiting for a reply", diag);
    }
    struct header header = decode(bytes);
    bool has_fd = *fd >= 0;
    if (header.body_bytes > RPC_BODY_BYTES_MAX || header.sequence != client->sequence ||
        (service != 0 && header.service != service) ||
        header.flags != (FLAG_REPLY | (has_fd ? FLAG_FD : 0))) {
        close_fd(fd);
        return gone(client, WM_E_MALFORMED, "a reply", diag);
    }
    client->in_body = true;
    client->left = header.body_bytes;
    return 0;
}

static int drop_body(struct rpc_client *client, struct wm_diag *diag)
{
    uint8_t bytes[DROP_BYTES];
    while (client->left > 0) {
        uint32_t len = client->left < sizeof bytes ? client->left : (uint32_t)sizeof bytes;
        int err = client->transport.recv(client->transport.self, bytes, len, NULL);
        if (err) {
            return gone(client, err, "taking a late reply", diag);
        }
        client->left -= len;
    }
    client->in_body = client->waiting = false;
    return 0;
}

/* What an interrupted call left behind. */
static int finish_last(struct rpc_client *client, struct wm_diag *diag)
{
    int fd = -1;
    if (!client->waiting) {
        return 0;
    }
    int err = client->transport.send(client->transport.self, NULL, 0, -1);
    if (err) {
        return gone(client, err, "sending", diag);
    }
    if (!client->in_body) {
        err = take_header(client, 0, &fd, diag);
        close_fd(&fd);
        if (err) {
            return err;
        }
    }
    return drop_body(client, diag);
}

static int send_request(struct rpc_client *client, uint16_t service, const struct iovec *parts,
                        int count, int pass_fd, struct wm_diag *diag)
{
    struct iovec few[16], *all = few;
    uint8_t bytes[HEADER_BYTES];
    uint64_t body_bytes = 0;
    for (int i = 0; i < count; i++) {
        body_bytes += parts[i].iov_len;
        if (body_bytes > RPC_BODY_BYTES_MAX) {
            return wm_diag_set(diag, WM_E_LIMIT, "rpc: a request of more than %u bytes",
                               RPC_BODY_BYTES_MAX);
        }
    }
    if (count + 1 > (int)WM_COUNT_OF(few)) {
        all = wm_alloc_zero((size_t)count + 1, sizeof *all);
        if (!all) {
            return wm_diag_default(diag, -ENOMEM, "rpc");
        }
    }
    struct header header = {(uint32_t)body_bytes, service, pass_fd >= 0 ? FLAG_FD : 0,
                            ++client->sequence};
    encode(bytes, &header);
    all[0] = (struct iovec){bytes, sizeof bytes};
    if (count > 0) {
        memcpy(all + 1, parts, (size_t)count * sizeof *parts);
    }
    int err = client->transport.send(client->transport.self, all, count + 1, pass_fd);
    if (all != few) {
        wm_free(all);
    }
    client->waiting = !err || err == -EINTR; /* finish_last sends the rest of it */
    err = err == -ECANCELED ? -EINTR : err;
    return err ? gone(client, err, "sending", diag) : 0;
}

int rpc_call(struct rpc_client *client, uint16_t service, const struct iovec *parts, int count,
             int pass_fd, struct rpc_reply *out, struct wm_diag *diag)
{
    WM_ASSERT(service != 0 && count >= 0);
    int fd = -1;
    if (client->broken) {
        return gone(client, -EPIPE, "sending", diag);
    }
    int err = finish_last(client, diag);
    if (err) {
        return err;
    }
    buffer_reset(&client->reply);
    err = send_request(client, service, parts, count, pass_fd, diag);
    err = err ? err : take_header(client, service, &fd, diag);
    if (err) {
        return err;
    }
    uint32_t len = client->left;
    err = buffer_reserve(&client->reply, len);
    if (err) {
        close_fd(&fd);
        return wm_diag_set(diag, err, "rpc: no memory for a reply of %u bytes", len);
    }
    err = len ? client->transport.recv(client->transport.self, client->reply.bytes, len, NULL) : 0;
    if (err) {
        close_fd(&fd);
        return gone(client, err, "reading a reply", diag);
    }
    client->in_body = client->waiting = false;
    *out = (struct rpc_reply){wm_view_of(client->reply.bytes, len), fd};
    return 0;
}

/* --- Server --- */

struct rpc_server {
    const struct rpc_transport *transport;
    struct buffer in, reply;
    int pass_fd;
};

int rpc_reply_room(struct rpc_request *request, size_t len, uint8_t **out)
{
    struct buffer *reply = &request->server->reply;
    if (len > RPC_BODY_BYTES_MAX - reply->len) {
        return WM_E_LIMIT;
    }
    int err = buffer_reserve(reply, reply->len + len);
    if (err) {
        return err;
    }
    *out = reply->bytes + reply->len;
    reply->len += len;
    return 0;
}

int rpc_reply_add(struct rpc_request *request, struct wm_view bytes)
{
    uint8_t *room;
    if (bytes.len == 0) {
        return 0;
    }
    int err = rpc_reply_room(request, bytes.len, &room);
    if (!err) {
        memcpy(room, bytes.ptr, bytes.len);
    }
    return err;
}

size_t rpc_reply_bytes(const struct rpc_request *request)
{
    return request->server->reply.len;
}

uint8_t *rpc_reply_start(struct rpc_request *request)
{
    return request->server->reply.bytes;
}

void rpc_reply_cut(struct rpc_request *request, size_t len)
{
    WM_ASSERT(len <= request->server->reply.len);
    request->server->reply.len = len;
}

void rpc_reply_pass(struct rpc_request *request, int fd)
{
    close_fd(&request->server->pass_fd);
    request->server->pass_fd = fd;
}

static int send_reply(struct rpc_server *server, const struct header *request)
{
    uint8_t bytes[HEADER_BYTES];
    struct header header = {(uint32_t)server->reply.len, request->service,
                            (uint16_t)(FLAG_REPLY | (server->pass_fd >= 0 ? FLAG_FD : 0)),
                            request->sequence};
    encode(bytes, &header);
    const struct iovec parts[] = {{bytes, sizeof bytes}, {server->reply.bytes, server->reply.len}};
    return server->transport->send(server->transport->self, parts, server->reply.len > 0 ? 2 : 1,
                                   server->pass_fd);
}

/* One request. 1: the other side has closed. */
static int serve_one(struct rpc_server *server, uint64_t *sequence, rpc_handle_fn *handle,
                     void *self, struct wm_diag *diag)
{
    const struct rpc_transport *transport = server->transport;
    uint8_t bytes[HEADER_BYTES];
    int fd = -1;
    int err = transport->recv(transport->self, bytes, sizeof bytes, &fd);
    if (err) {
        close_fd(&fd);
        return err == -EPIPE ? 1 : wm_diag_default(diag, err, "rpc: waiting for a request");
    }
    struct header header = decode(bytes);
    if (header.body_bytes > RPC_BODY_BYTES_MAX || header.service == 0 ||
        header.flags != (fd >= 0 ? FLAG_FD : 0) || header.sequence <= *sequence) {
        close_fd(&fd);
        return wm_diag_set(diag, WM_E_MALFORMED,
                           "rpc: a request's header is out of form: %u bytes, service %u, flags "
                           "%u, number %llu after %llu, %s descriptor",
                           header.body_bytes, header.service, header.flags,
                           (unsigned long long)header.sequence, (unsigned long long)*sequence,
                           fd >= 0 ? "a" : "no");
    }
    *sequence = header.sequence;
    buffer_reset(&server->in);
    buffer_reset(&server->reply);
    err = buffer_reserve(&server->in, header.body_bytes);
    if (!err && header.body_bytes > 0) {
        err = transport->recv(transport->self, server->in.bytes, header.body_bytes, NULL);
    }
    if (err) {
        close_fd(&fd);
        return wm_diag_default(diag, err, "rpc: reading a request");
    }
    struct rpc_request request = {header.service, wm_view_of(server->in.bytes, header.body_bytes),
                                  fd, server};
    err = handle(self, &request);
    close_fd(&request.fd);
    if (err) {
        return wm_diag_default(diag, err, "rpc: serving a request");
    }
    err = send_reply(server, &header);
    close_fd(&server->pass_fd);
    return err ? wm_diag_default(diag, err, "rpc: replying") : 0;
}

int rpc_serve(const struct rpc_transport *transport, rpc_handle_fn *handle, void *self,
              struct wm_diag *diag)
{
    struct rpc_server server = {.transport = transport, .pass_fd = -1};
    uint64_t sequence = 0;
    int err = 0;
    while (!err) {
        err = serve_one(&server, &sequence, handle, self, diag);
    }
    close_fd(&server.pass_fd);
    buffer_fini(&server.in);
    buffer_fini(&server.reply);
    transport->close(transport->self);
    return err == 1 ? 0 : err;
}

/* --- Over a socket --- */

struct socket_transport {
    int fd;
    bool (*stop)(void *self);
    void *stop_self;
    struct buffer out; /* rest of an interrupted send, from out_at on */
    size_t out_at;
    struct buffer in; /* what an interrupted recv had taken, from in_at on */
    size_t in_at;
    int in_fd; /* and the descriptor that came with it */
};

static bool stopped(struct socket_transport *socket)
{
    return socket->stop && socket->stop(socket->stop_self);
}

/* Bytes sent, or a negative errno; -EINTR when stopped. */
static ssize_t send_some(struct socket_transport *socket, struct iovec *parts, size_t count,
                         int pass_fd)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    if (pass_fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &pass_fd, sizeof pass_fd);
    }
    for (;;) {
        ssize_t sent = wm_fault_here(WM_FAULT_IO) ? (errno = EIO, -1)
                                                  : sendmsg(socket->fd, &message, MSG_NOSIGNAL);
        if (sent >= 0) {
            return sent;
        }
        if (errno != EINTR) {
            return errno == ECONNRESET ? -EPIPE : -errno;
        }
        if (stopped(socket)) {
            return -EINTR;
        }
    }
}

static int flush(struct socket_transport *socket)
{
    while (socket->out_at < socket->out.len) {
        struct iovec rest = {socket->out.bytes + socket->out_at, socket->out.len - socket->out_at};
        ssize_t sent = send_some(socket, &rest, 1, -1);
        if (sent < 0) {
            return (int)sent;
        }
        socket->out_at += (size_t)sent;
    }
    socket->out_at = 0;
    buffer_reset(&socket->out);
    return 0;
}

/* Keeps what is to be sent of `parts` after the first `done` bytes. */
static int keep_rest(struct socket_transport *socket, const struct iovec *parts, int count,
                     size_t done)
{
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        total += parts[i].iov_len;
    }
    int err = buffer_reserve(&socket->out, total - done);
    if (err) {
        return err;
    }
    for (int i = 0; i < count; i++) {
        size_t skipped = done < parts[i].iov_len ? done : parts[i].iov_len;
        size_t left = parts[i].iov_len - skipped;
        done -= skipped;
        if (left > 0) {
            memcpy(socket->out.bytes + socket->out.len, (uint8_t *)parts[i].iov_base + skipped,
                   left);
            socket->out.len += left;
        }
    }
    return -EINTR;
}

static int socket_send(void *self, const struct iovec *parts, int count, int pass_fd)
{
    struct socket_transport *socket = self;
    size_t done = 0, at = 0; /* bytes sent; of them, in parts[i] */
    int err = flush(socket);
    if (err) {
        return err;
    }
    for (int i = 0; i < count;) {
        struct iovec some[PARTS_AT_ONCE];
        size_t used = 0;
        for (int k = i; k < count && used < PARTS_AT_ONCE; k++, used++) {
            size_t skipped = used == 0 ? at : 0;
            some[used] =
                (struct iovec){(uint8_t *)parts[k].iov_base + skipped, parts[k].iov_len - skipped};
        }
        ssize_t sent = send_some(socket, some, used, done == 0 ? pass_fd : -1);
        if (sent == -EINTR) {
            return done > 0 ? keep_rest(socket, parts, count, done) : -ECANCELED;
        }
        if (sent < 0) {
            return (int)sent;
        }
        done += (size_t)sent;
        at += (size_t)sent;
        while (i < count && at >= parts[i].iov_len) {
            at -= parts[i++].iov_len;
        }
        if (i < count && stopped(socket)) { /* a signal that came after a part was sent */
            return keep_rest(socket, parts, count, done);
        }
    }
    return 0;
}

/* Bytes received, 0 at the end, or a negative errno. A descriptor that came along is put into *fd;
 * a second one is nobody's. */
static ssize_t recv_some(struct socket_transport *socket, void *out, size_t len, int *fd)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {out, len};
    for (;;) {
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof control.bytes};
        ssize_t got = wm_fault_here(WM_FAULT_IO)
                          ? (errno = EIO, -1)
                          : recvmsg(socket->fd, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL);
        if (got < 0 && errno == EINTR) {
            if (stopped(socket)) {
                return -EINTR;
            }
            continue;
        }
        if (got < 0) {
            return errno == ECONNRESET ? -EPIPE : -errno;
        }
        for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
             header = CMSG_NXTHDR(&message, header)) {
            if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
                continue;
            }
            size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; i++) {
                int passed;
                memcpy(&passed, CMSG_DATA(header) + i * sizeof passed, sizeof passed);
                if (*fd < 0) {
                    *fd = passed;
                } else {
                    close(passed);
                }
            }
        }
        return got;
    }
}

static int keep_taken(struct socket_transport *socket, const uint8_t *taken, size_t len, int *fd)
{
    WM_ASSERT(socket->in.len == socket->in_at); /* a recv that waits has taken all of it */
    socket->in.len = socket->in_at = 0;
    if (len > 0) {
        int err = buffer_reserve(&socket->in, len);
        if (err) {
            return err;
        }
        memcpy(socket->in.bytes, taken, len);
        socket->in.len = len;
    }
    if (*fd >= 0) {
        close_fd(&socket->in_fd);
        socket->in_fd = *fd;
        *fd = -1;
    }
    return -EINTR;
}

static int socket_recv(void *self, void *out, size_t len, int *passed_fd)
{
    struct socket_transport *socket = self;
    uint8_t *bytes = out;
    size_t taken = 0;
    int fd = socket->in_fd;
    socket->in_fd = -1;
    if (socket->in_at < socket->in.len) {
        taken = socket->in.len - socket->in_at;
        taken = taken < len ? taken : len;
        memcpy(bytes, socket->in.bytes + socket->in_at, taken);
        socket->in_at += taken;
    }
    while (taken < len) {
        ssize_t got = recv_some(socket, bytes + taken, len - taken, &fd);
        if (got > 0 && (size_t)got < len - taken && stopped(socket)) {
            taken += (size_t)got; /* a signal that came after a part was taken */
            got = -EINTR;
        }
        if (got == -EINTR) {
            int err = keep_taken(socket, bytes, taken, &fd);
            close_fd(&fd);
            return err;
        }
        if (got <= 0) {
            close_fd(&fd);
            return got < 0 ? (int)got : taken == 0 ? -EPIPE : -ECONNRESET;
        }
        taken += (size_t)got;
    }
    if (socket->in_at == socket->in.len) {
        socket->in_at = 0;
        buffer_reset(&socket->in);
    }
    if (passed_fd && fd >= 0) {
        *passed_fd = fd;
        fd = -1;
    }
    close_fd(&fd);
    return 0;
}

static void socket_close(void *self)
{
    struct socket_transport *socket = self;
    close_fd(&socket->fd);
    close_fd(&socket->in_fd);
    buffer_fini(&socket->out);
    buffer_fini(&socket->in);
    wm_free(socket);
}

static void socket_interruptible(void *self, bool (*stop)(void *stop_self), void *stop_self)
{
    struct socket_transport *socket = self;
    socket->stop = stop;
    socket->stop_self = stop_self;
}

int rpc_socket_transport(int fd, struct rpc_transport *out)
{
    struct socket_transport *socket = wm_alloc_zero(1, sizeof *socket);
    if (!socket) {
        return -ENOMEM;
    }
    socket->fd = fd;
    socket->in_fd = -1;
    *out = (struct rpc_transport){socket, socket_send, socket_recv, socket_close,
                                  socket_interruptible};
    return 0;
}
