/* replica_stream.h: a TCP connection as a replica uses it: bytes in until somebody takes them,
 * bytes out once a turn, both bounded.
 *
 * What is put during a turn of the loop leaves in one write at its end (streams_flush). A stream
 * that was closed lives until the loop has let go of it; then `gone` is called, last. */
#ifndef WM_NODE_REPLICA_STREAM_H
#define WM_NODE_REPLICA_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/diag.h"
#include "base/view.h"

struct stream;

struct streams {
    uv_loop_t *loop;
    struct stream *dirty; /* with something to be written at the end of the turn */
};

struct stream {
    uv_tcp_t tcp;
    struct streams *streams;
    void *self;
    /* There are new bytes: how many of `in` were used; negative: close it. */
    ptrdiff_t (*got)(void *self, struct wm_view in);
    /* Before what was put leaves: more can be put. NULL: nothing. */
    void (*flushing)(void *self);
    void (*gone)(void *self); /* the last call */
    uint8_t *in, *out;
    size_t in_len, in_room, in_max;
    size_t out_len, out_room, out_max, writing;
    bool closed, reading, listed;
    struct stream *next;
};

/* -ENOMEM or libuv's code: gone is not called. */
WM_MUST_CHECK int stream_init(struct stream *stream, struct streams *streams, size_t in_max,
                              size_t out_max);
void stream_start(struct stream *stream); /* reading; it is connected */
/* False: it is closed, or the queue is full or memory is short, and nothing was put. */
WM_MUST_CHECK bool stream_put(struct stream *stream, struct wm_view head, struct wm_view bytes);
size_t stream_queued(const struct stream *stream);
void stream_touch(struct stream *stream); /* `flushing` is to be called at the end of the turn */
void stream_close(struct stream *stream); /* again: nothing */
void streams_flush(struct streams *streams);

/* Binds and listens; `address` "HOST:PORT", HOST numeric. `shown` gets the real one. */
WM_MUST_CHECK int stream_listen(uv_loop_t *loop, uv_tcp_t *tcp, const char *address,
                                uv_connection_cb connected, char *shown, size_t shown_bytes,
                                struct wm_diag *diag);

#endif
