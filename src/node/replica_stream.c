/* A TCP connection with bounded queues. */
#include "node/replica_stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "node/config.h"

#define READ_BYTES 65536u

struct write_out {
    uv_write_t write;
    struct stream *stream;
    size_t len;
    uint8_t bytes[];
};

static void on_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;
    wm_free(stream->in);
    wm_free(stream->out);
    stream->in = stream->out = NULL;
    stream->gone(stream->self);
}

void stream_close(struct stream *stream)
{
    if (stream->closed) {
        return;
    }
    stream->closed = true;
    if (stream->listed) {
        struct stream **at = &stream->streams->dirty;
        while (*at != stream) {
            at = &(*at)->next;
        }
        *at = stream->next;
        stream->listed = false;
    }
    uv_close((uv_handle_t *)&stream->tcp, on_closed);
}

int stream_init(struct stream *stream, struct streams *streams, size_t in_max, size_t out_max)
{
    int rc = uv_tcp_init(streams->loop, &stream->tcp);
    stream->streams = streams;
    stream->tcp.data = stream;
    stream->in_max = in_max;
    stream->out_max = out_max;
    return rc;
}

/* Room for `more` bytes behind `len`, by doubling. */
static bool grow(uint8_t **bytes, size_t *room, size_t len, size_t more)
{
    if (*room - len >= more) {
        return true;
    }
    size_t wanted = *room ? *room : 4096;
    while (wanted - len < more) {
        wanted *= 2;
    }
    uint8_t *grown = wm_realloc(*bytes, wanted, 1);
    if (!grown) {
        return false;
    }
    *bytes = grown;
    *room = wanted;
    return true;
}

/* --- In --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct stream *stream = handle->data;
    (void)suggested;
    *buf = uv_buf_init(NULL, 0);
    size_t more = stream->in_max - stream->in_len;
    more = more < READ_BYTES ? more : READ_BYTES;
    if (more > 0 && grow(&stream->in, &stream->in_room, stream->in_len, more)) {
        *buf = uv_buf_init((char *)stream->in + stream->in_len, (unsigned)more);
    }
}

static void on_read(uv_stream_t *handle, ssize_t len, const uv_buf_t *buf)
{
    struct stream *stream = handle->data;
    (void)buf;
    if (len < 0) { /* its end, or no memory, or a message larger than any may be */
        stream_close(stream);
        return;
    }
    stream->in_len += (size_t)len;
    ptrdiff_t used = stream->got(stream->self, wm_view_of(stream->in, stream->in_len));
    if (used < 0) {
        stream_close(stream);
    } else if (!stream->closed && used > 0) {
        stream->in_len -= (size_t)used;
        memmove(stream->in, stream->in + used, stream->in_len);
    }
}

void stream_start(struct stream *stream)
{
    (void)uv_tcp_nodelay(&stream->tcp, 1);
    if (uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read) != 0) {
        stream_close(stream);
    }
}

/* --- Out --- */

size_t stream_queued(const struct stream *stream)
{
    return stream->out_len + stream->writing;
}

void stream_touch(struct stream *stream)
{
    if (!stream->listed && !stream->closed) {
        stream->listed = true;
        stream->next = stream->streams->dirty;
        stream->streams->dirty = stream;
    }
}

bool stream_put(struct stream *stream, struct wm_view head, struct wm_view bytes)
{
    size_t more = head.len + bytes.len;
    if (stream->closed || more > stream->out_max ||
        stream_queued(stream) > stream->out_max - more ||
        !grow(&stream->out, &stream->out_room, stream->out_len, more)) {
        return false;
    }
    if (head.len > 0) {
        memcpy(stream->out + stream->out_len, head.ptr, head.len);
    }
    if (bytes.len > 0) {
        memcpy(stream->out + stream->out_len + head.len, bytes.ptr, bytes.len);
    }
    stream->out_len += more;
    stream_touch(stream);
    return true;
}

static void on_written(uv_write_t *write, int status)
{
    struct write_out *out = WM_CONTAINER_OF(write, struct write_out, write);
    out->stream->writing -= out->len;
    if (status != 0) {
        stream_close(out->stream);
    }
    wm_free(out);
}

static void flush(struct stream *stream)
{
    if (stream->out_len == 0) {
        return;
    }
    uv_buf_t buf = uv_buf_init((char *)stream->out, (unsigned)stream->out_len);
    /* Most of the time the socket takes all at once. */
    int done = stream->writing == 0 ? uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1) : 0;
    size_t sent = done > 0 ? (size_t)done : 0, left = stream->out_len - sent;
    if (done < 0 && done != UV_EAGAIN) {
        stream_close(stream);
        return;
    }
    struct write_out *out = left > 0 ? wm_alloc(sizeof *out + left) : NULL;
    if (left > 0 && !out) {
        stream_close(stream);
        return;
    }
    stream->out_len = 0;
    if (!out) {
        return;
    }
    out->stream = stream;
    out->len = left;
    memcpy(out->bytes, stream->out + sent, left);
    buf = uv_buf_init((char *)out->bytes, (unsigned)left);
    stream->writing += left;
    if (uv_write(&out->write, (uv_stream_t *)&stream->tcp, &buf, 1, on_written) != 0) {
        stream->writing -= left;
        wm_free(out);
        stream_close(stream);
    }
}

void streams_flush(struct streams *streams)
{
    while (streams->dirty) {
        struct stream *stream = streams->dirty;
        if (stream->flushing) {
            stream->flushing(stream->self);
        }
        if (stream->closed) { /* and so unlisted */
            continue;
        }
        struct stream **at = &streams->dirty;
        while (*at != stream) { /* flushing may have listed others */
            at = &(*at)->next;
        }
        *at = stream->next;
        stream->listed = false;
        flush(stream);
    }
}

/* --- Listening --- */

int stream_listen(uv_loop_t *loop, uv_tcp_t *tcp, const char *address, uv_connection_cb connected,
                  char *shown, size_t shown_bytes, struct wm_diag *diag)
{
    char host[64];
    uint16_t port;
    struct sockaddr_storage at;
    int at_len = sizeof at;
    int rc = config_split_address(address, host, &port);
    if (rc != 0) {
        return wm_diag_set(diag, WM_E_USAGE, "%s: not an address of the form ADDRESS:PORT",
                           address);
    }
    rc = uv_tcp_init(loop, tcp);
    if (rc != 0) {
        return wm_diag_default(diag, rc, address);
    }
    memset(&at, 0, sizeof at);
    rc = uv_ip4_addr(host[0] ? host : "0.0.0.0", port, (struct sockaddr_in *)&at);
    if (rc != 0) {
        rc = uv_ip6_addr(host, port, (struct sockaddr_in6 *)&at);
    }
    rc = rc ? rc : uv_tcp_bind(tcp, (const struct sockaddr *)&at, 0);
    rc = rc ? rc : uv_listen((uv_stream_t *)tcp, 128, connected);
    rc = rc ? rc : uv_tcp_getsockname(tcp, (struct sockaddr *)&at, &at_len);
    if (rc != 0) {
        return wm_diag_set(diag, rc, "%s: cannot listen: %s", address, uv_strerror(rc));
    }
    char name[64] = "";
    if (at.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&at;
        (void)uv_ip4_name(in, name, sizeof name);
        (void)snprintf(shown, shown_bytes, "%s:%u", name, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&at;
        (void)uv_ip6_name(in, name, sizeof name);
        (void)snprintf(shown, shown_bytes, "[%s]:%u", name, ntohs(in->sin6_port));
    }
    return 0;
}
