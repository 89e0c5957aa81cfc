/* streams.c: standard streams as files of the library OS. */
#include "faaslet/streams.h"

#include <string.h>

#include "base/alloc.h"
#include "base/view.h"
#include "faaslet/faaslet.h"
#include "libos/poll.h"

struct stream {
    struct libos_file file; /* first */
    struct faaslet_streams *streams;
};

struct faaslet_streams {
    struct stream streams[3];
    struct faaslet_thread *thread;
    struct faaslet_call *call; /* NULL between calls */
    uint64_t input_at;
    uint32_t line_len;
    char line[STREAMS_LINE_BYTES];
};

static struct faaslet_streams *streams_of(struct libos_file *file)
{
    return ((struct stream *)file)->streams;
}

static void stream_close(struct libos_file *file)
{
    (void)file; /* the memory is the Faaslet's */
}

static int64_t input_read(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    struct faaslet_streams *streams = streams_of(file);
    struct wm_view input = streams->call ? streams->call->input : wm_view_of(NULL, 0);
    int64_t done = 0;
    for (size_t i = 0; i < count && streams->input_at < input.len; i++) {
        size_t len = input.len - streams->input_at;
        len = len < iov[i].len ? len : iov[i].len;
        if (len != 0) {
            memcpy(iov[i].ptr, input.ptr + streams->input_at, len);
        }
        streams->input_at += len;
        done += (int64_t)len;
    }
    return done;
}

static uint64_t input_readable(struct libos_file *file)
{
    struct faaslet_streams *streams = streams_of(file);
    return streams->call ? streams->call->input.len - streams->input_at : 0;
}

static int64_t output_write(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    struct faaslet_streams *streams = streams_of(file);
    int64_t done = 0;
    for (size_t i = 0; i < count; i++) {
        if (!streams->call || iov[i].len > UINT32_MAX ||
            !faaslet_call_output(streams->call, iov[i].ptr, (uint32_t)iov[i].len)) {
            return -LIBOS_EFBIG;
        }
        done += (int64_t)iov[i].len;
    }
    return done;
}

static void flush_line(struct faaslet_streams *streams)
{
    struct faaslet_call *call = streams->call;
    uint32_t len = streams->line_len;
    streams->line_len = 0;
    if (!call) {
        return;
    }
    if (!streams->thread->log || call->logged_bytes + len >= FAASLET_LOG_BYTES_MAX) {
        call->logged_bytes = FAASLET_LOG_BYTES_MAX; /* and no line after it is even looked at */
        return;
    }
    call->logged_bytes += len + 1;
    streams->thread->log(streams->thread->log_self, call, wm_view_of(streams->line, len));
}

void faaslet_streams_log(struct faaslet_streams *streams, struct wm_view text)
{
    struct faaslet_call *call = streams->call;
    for (size_t i = 0; i < text.len && call && call->logged_bytes < FAASLET_LOG_BYTES_MAX; i++) {
        if (text.ptr[i] != '\n') {
            streams->line[streams->line_len++] = (char)text.ptr[i];
        }
        if (text.ptr[i] == '\n' || streams->line_len == STREAMS_LINE_BYTES) {
            flush_line(streams);
        }
    }
}

static int64_t error_write(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    int64_t done = 0;
    for (size_t i = 0; i < count; i++) {
        faaslet_streams_log(streams_of(file), wm_view_of(iov[i].ptr, iov[i].len));
        done += (int64_t)iov[i].len;
    }
    return done;
}

static int stream_stat(struct libos_file *file, struct libos_stat *out)
{
    *out = (struct libos_stat){.kind = file->kind, .mode = 0600, .links = 1};
    return 0;
}

static const struct libos_file_ops input_ops = {.close = stream_close,
                                                .read = input_read,
                                                .stat = stream_stat,
                                                .readable_bytes = input_readable};
static const struct libos_file_ops output_ops = {
    .close = stream_close, .write = output_write, .stat = stream_stat};
static const struct libos_file_ops error_ops = {
    .close = stream_close, .write = error_write, .stat = stream_stat};

int faaslet_streams_new(struct faaslet_thread *thread, struct faaslet_streams **out)
{
    static const struct libos_file_ops *const ops[3] = {&input_ops, &output_ops, &error_ops};
    struct faaslet_streams *streams = wm_alloc(sizeof *streams);
    if (!streams) {
        return -LIBOS_ENOMEM;
    }
    for (int i = 0; i < 3; i++) {
        libos_file_init(&streams->streams[i].file, &thread->os, ops[i], LIBOS_KIND_PIPE,
                        i == 0 ? LIBOS_READ : LIBOS_WRITE);
        streams->streams[i].streams = streams;
    }
    streams->thread = thread;
    streams->call = NULL;
    streams->input_at = 0;
    streams->line_len = 0;
    *out = streams;
    return 0;
}

void faaslet_streams_free(struct faaslet_streams *streams)
{
    wm_free(streams);
}

struct libos_file *faaslet_streams_file(struct faaslet_streams *streams, unsigned number)
{
    return &streams->streams[number].file;
}

void faaslet_streams_begin(struct faaslet_streams *streams, struct faaslet_call *call)
{
    streams->call = call;
    streams->input_at = 0;
    streams->line_len = 0;
}

void faaslet_streams_end(struct faaslet_streams *streams)
{
    if (streams->line_len != 0) {
        flush_line(streams);
    }
    streams->call = NULL;
}
