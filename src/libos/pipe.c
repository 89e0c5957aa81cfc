/* A pipe: a ring of bytes that its two ends share. Positions only grow; their difference is what
 * the pipe holds. The ring goes with the last end. */
#include "libos/pipe.h"

#include "libos/poll.h"

struct ring {
    uint64_t written;
    uint64_t read;
    bool reader_open;
    bool writer_open;
    uint8_t bytes[LIBOS_PIPE_BYTES];
};

struct pipe_end {
    struct libos_file file;
    struct ring *ring;
};

static struct pipe_end *end_of(struct libos_file *file)
{
    return (struct pipe_end *)file;
}

static void pipe_close(struct libos_file *file)
{
    struct pipe_end *end = end_of(file);
    struct libos *os = file->os;
    if (file->flags & LIBOS_READ) {
        end->ring->reader_open = false;
    } else {
        end->ring->writer_open = false;
    }
    if (!end->ring->reader_open && !end->ring->writer_open) {
        libos_free(os, end->ring, sizeof *end->ring);
    }
    libos_free(os, end, sizeof *end);
}

static size_t held(const struct ring *ring)
{
    return (size_t)(ring->written - ring->read);
}

static int64_t pipe_read(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    struct ring *ring = end_of(file)->ring;
    size_t wanted = 0;
    for (size_t i = 0; i < count; i++) {
        wanted += iov[i].len;
    }
    if (wanted == 0) {
        return 0;
    }
    while (held(ring) == 0) {
        if (!ring->writer_open) {
            return 0;
        }
        if (file->flags & LIBOS_NONBLOCK) {
            return -LIBOS_EAGAIN;
        }
        int rc = libos_wait_for(file, LIBOS_POLL_IN);
        if (rc != 0) {
            return rc;
        }
    }
    int64_t done = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t *to = iov[i].ptr;
        size_t left = iov[i].len;
        while (left > 0 && held(ring) > 0) {
            size_t at = (size_t)(ring->read % LIBOS_PIPE_BYTES);
            size_t part = LIBOS_PIPE_BYTES - at;
            part = part < held(ring) ? part : held(ring);
            part = part < left ? part : left;
            __builtin_memcpy(to, ring->bytes + at, part);
            ring->read += part;
            to += part;
            left -= part;
            done += (int64_t)part;
        }
    }
    return done;
}

static void put_bytes(struct ring *ring, const uint8_t *from, size_t len)
{
    while (len > 0) {
        size_t at = (size_t)(ring->written % LIBOS_PIPE_BYTES);
        size_t part = LIBOS_PIPE_BYTES - at;
        part = part < len ? part : len;
        __builtin_memcpy(ring->bytes + at, from, part);
        ring->written += part;
        from += part;
        len -= part;
    }
}

static int64_t pipe_write(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    struct ring *ring = end_of(file)->ring;
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += iov[i].len;
    }
    size_t needed = total <= LIBOS_PIPE_ATOMIC_BYTES ? total : 1;
    int64_t done = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = iov[i].ptr;
        size_t left = iov[i].len;
        while (left > 0) {
            if (!ring->reader_open) {
                return done ? done : -LIBOS_EPIPE;
            }
            size_t room = LIBOS_PIPE_BYTES - held(ring);
            if (room < needed) {
                if (file->flags & LIBOS_NONBLOCK) {
                    return done ? done : -LIBOS_EAGAIN;
                }
                int rc = libos_wait_for(file, LIBOS_POLL_OUT);
                if (rc != 0) {
                    return done ? done : rc;
                }
                continue;
            }
            needed = 1;
            size_t part = room < left ? room : left;
            put_bytes(ring, from, part);
            from += part;
            left -= part;
            done += (int64_t)part;
        }
    }
    return done;
}

static int pipe_stat(struct libos_file *file, struct libos_stat *out)
{
    *out =
        (struct libos_stat){.kind = file->kind,
                            .mode = 0600,
                            .links = 1,
                            .bytes = file->kind == LIBOS_KIND_PIPE ? held(end_of(file)->ring) : 0};
    return 0;
}

static void pipe_poll(struct libos_file *file, struct libos_poll_item *item)
{
    const struct ring *ring = end_of(file)->ring;
    if (file->flags & LIBOS_READ) {
        if (held(ring) > 0) {
            item->ready |= item->events & LIBOS_POLL_IN;
        }
        if (!ring->writer_open) {
            item->ready |= LIBOS_POLL_HUP;
        }
        return;
    }
    /* Ready to write means a write of LIBOS_PIPE_ATOMIC_BYTES would go through. */
    if (LIBOS_PIPE_BYTES - held(ring) >= LIBOS_PIPE_ATOMIC_BYTES) {
        item->ready |= item->events & LIBOS_POLL_OUT;
    }
    if (!ring->reader_open) {
        item->ready |= LIBOS_POLL_ERR;
    }
}

static uint64_t pipe_readable_bytes(struct libos_file *file)
{
    return file->flags & LIBOS_READ ? held(end_of(file)->ring) : 0;
}

static const struct libos_file_ops pipe_ops = {
    .close = pipe_close,
    .read = pipe_read,
    .write = pipe_write,
    .stat = pipe_stat,
    .poll = pipe_poll,
    .readable_bytes = pipe_readable_bytes,
};

int libos_pipe_new(struct libos *os, struct libos_file **reader, struct libos_file **writer)
{
    struct ring *ring = libos_alloc(os, sizeof *ring);
    struct pipe_end *in = libos_alloc(os, sizeof *in);
    struct pipe_end *out = libos_alloc(os, sizeof *out);
    if (!ring || !in || !out) {
        libos_free(os, ring, sizeof *ring);
        libos_free(os, in, sizeof *in);
        libos_free(os, out, sizeof *out);
        return -LIBOS_ENOMEM;
    }
    ring->reader_open = ring->writer_open = true;
    libos_file_init(&in->file, os, &pipe_ops, LIBOS_KIND_PIPE, LIBOS_READ);
    libos_file_init(&out->file, os, &pipe_ops, LIBOS_KIND_PIPE, LIBOS_WRITE);
    in->ring = out->ring = ring;
    *reader = &in->file;
    *writer = &out->file;
    return 0;
}

static void null_close(struct libos_file *file)
{
    libos_free(file->os, file, sizeof *file);
}

static int64_t null_read(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    (void)file;
    (void)iov;
    (void)count;
    return 0;
}

static int64_t null_write(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    int64_t total = 0;
    (void)file;
    for (size_t i = 0; i < count; i++) {
        total += (int64_t)iov[i].len;
    }
    return total;
}

static const struct libos_file_ops null_ops = {
    .close = null_close,
    .read = null_read,
    .write = null_write,
    .stat = pipe_stat,
};

int libos_null_new(struct libos *os, struct libos_file **out)
{
    struct libos_file *file = libos_alloc(os, sizeof *file);
    if (!file) {
        return -LIBOS_ENOMEM;
    }
    libos_file_init(file, os, &null_ops, LIBOS_KIND_CHAR, LIBOS_READ | LIBOS_WRITE);
    *out = file;
    return 0;
}
