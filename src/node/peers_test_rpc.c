/* What peers_test needs of rpc.h, for a build that has no rpc.c: no interruptions, no descriptors.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "faaslet/rpc.h"

struct head {
    uint32_t bytes;
    uint16_t service, flags;
    uint64_t sequence;
};

struct rpc_client {
    struct rpc_transport transport;
    uint64_t sequence;
    uint8_t *reply;
};

struct rpc_server {
    uint8_t *reply;
    size_t len;
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
    client->transport.close(client->transport.self);
    wm_free(client->reply);
    wm_free(client);
}

static int take_body(const struct rpc_transport *transport, uint8_t **body, struct head *head)
{
    int rc = transport->recv(transport->self, head, sizeof *head, NULL);
    if (rc == 0 && head->bytes > RPC_BODY_BYTES_MAX) {
        rc = WM_E_MALFORMED;
    }
    if (rc == 0) {
        wm_free(*body);
        *body = wm_alloc(head->bytes + 1);
        rc = *body ? transport->recv(transport->self, *body, head->bytes, NULL) : -ENOMEM;
    }
    return rc;
}

int rpc_call(struct rpc_client *client, uint16_t service, const struct iovec *parts, int count,
             int pass_fd, struct rpc_reply *out, struct wm_diag *diag)
{
    struct head head = {.service = service, .sequence = ++client->sequence};
    struct iovec all[8] = {{&head, sizeof head}};
    (void)pass_fd;
    for (int i = 0; i < count && i < 7; i++) {
        all[i + 1] = parts[i];
        head.bytes += (uint32_t)parts[i].iov_len;
    }
    int rc = client->transport.send(client->transport.self, all, count + 1, -1);
    rc = rc == 0 ? take_body(&client->transport, &client->reply, &head) : rc;
    if (rc != 0) {
        return wm_diag_default(diag, rc, "rpc");
    }
    *out = (struct rpc_reply){.body = wm_view_of(client->reply, head.bytes), .fd = -1};
    return 0;
}

int rpc_reply_add(struct rpc_request *request, struct wm_view bytes)
{
    struct rpc_server *server = request->server;
    uint8_t *grown = wm_realloc(server->reply, server->len + bytes.len + 1, 1);
    if (!grown) {
        return -ENOMEM;
    }
    memcpy(grown + server->len, bytes.ptr, bytes.len);
    server->reply = grown;
    server->len += bytes.len;
    return 0;
}

int rpc_serve(const struct rpc_transport *transport, rpc_handle_fn *handle, void *self,
              struct wm_diag *diag)
{
    struct rpc_server server = {0};
    uint8_t *body = NULL;
    int rc = 0;
    while (rc == 0) {
        struct head head;
        rc = take_body(transport, &body, &head);
        if (rc == 0) {
            struct rpc_request request = {.service = head.service,
                                          .body = wm_view_of(body, head.bytes),
                                          .fd = -1,
                                          .server = &server};
            server.len = 0;
            rc = handle(self, &request);
        }
        if (rc == 0) {
            head.flags = 2;
            head.bytes = (uint32_t)server.len;
            struct iovec parts[] = {{&head, sizeof head}, {server.reply, server.len}};
            rc = transport->send(transport->self, parts, 2, -1);
        }
    }
    transport->close(transport->self);
    wm_free(body);
    wm_free(server.reply);
    return rc == -EPIPE ? 0 : wm_diag_default(diag, rc, "rpc");
}
