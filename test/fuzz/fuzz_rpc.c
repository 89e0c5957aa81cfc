/* Any bytes as requests to the server's side of rpc, and as replies to the client's.
 *
 * Input: a byte whose bits say which frames have a descriptor, then the stream. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "faaslet/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stream {
    const uint8_t *bytes;
    size_t left;
    unsigned fd_bits;
    size_t sent;
};

static int take(void *self, void *out, size_t len, int *passed_fd)
{
    struct stream *stream = self;
    if (stream->left < len) {
        int err = stream->left == 0 ? -EPIPE : -ECONNRESET;
        stream->left = 0;
        return err;
    }
    memcpy(out, stream->bytes, len);
    stream->bytes += len;
    stream->left -= len;
    if (passed_fd) {
        if (stream->fd_bits & 1) {
            *passed_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
        stream->fd_bits >>= 1;
    }
    return 0;
}

static int drop(void *self, const struct iovec *parts, int count, int pass_fd)
{
    struct stream *stream = self;
    (void)pass_fd;
    for (int i = 0; i < count; i++) {
        stream->sent += parts[i].iov_len;
    }
    return 0;
}

static void no_close(void *self)
{
    (void)self;
}

static int handle(void *self, struct rpc_request *request)
{
    uint8_t *room;
    uint32_t sum = 0;
    (void)self;
    for (size_t i = 0; i < request->body.len; i++) {
        sum += request->body.ptr[i];
    }
    if (request->service == 7 && request->fd >= 0) {
        rpc_reply_pass(request, request->fd);
        request->fd = -1;
    }
    int err = rpc_reply_add(request, request->body);
    err = err ? err : rpc_reply_room(request, sum % 512, &room);
    if (!err) {
        memset(room, 1, sum % 512);
        rpc_reply_cut(request, rpc_reply_bytes(request) / 2);
    }
    return sum % 64 == 63 ? -EIO : err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int lowest = dup(0);
    close(lowest);
    if (size < 1) {
        return 0;
    }
    struct stream stream = {data + 1, size - 1, data[0], 0};
    struct rpc_transport transport = {&stream, drop, take, no_close, NULL};
    struct wm_diag diag = WM_DIAG_INIT;
    (void)!rpc_serve(&transport, handle, NULL, &diag);

    struct rpc_client *client;
    stream = (struct stream){data + 1, size - 1, data[0], 0};
    if (rpc_client_new(&transport, &client, &diag) == 0) {
        for (unsigned i = 0; i < 8; i++) {
            struct iovec part = {(void *)(uintptr_t)data, size < 32 ? size : 32};
            struct rpc_reply reply;
            if (rpc_call(client, 1 + (i & 1), &part, 1, -1, &reply, &diag) == 0 && reply.fd >= 0) {
                close(reply.fd);
            }
        }
        rpc_client_free(client);
    }
    int now = dup(0);
    close(now);
    WM_ASSERT(now == lowest); /* no descriptor was left open */
    return 0;
}
