/* Clients' connections: what they ask, what is under way for them, and their replies.
 *
 * A request that waits for its batch is in a table by its hash, with the number of the connection
 * that asked, so that a connection may go at any time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/replica_internal.h"
#include "proof/agreement.h"
#include "proof/client_window.h"

#define CONNECTIONS_MAX 1024u
#define QUEUE_BYTES_MAX (8u << 20) /* to a client: a slower one is cut off */
#define FOLLOW_QUEUE_BYTES (1u << 20)
#define CHECKS_OF_CONNECTION 4096u
#define BUCKETS 16384u
#define RETRY_MS 20u

struct connection {
    struct stream stream;
    struct clients *clients;
    struct connection *next;
    uint64_t number;
    uint32_t checks;                /* requests at the signature thread */
    uint64_t said_view, said_seqno; /* of the newest REPLY */
    bool follows;
    uint64_t follow_seqno; /* the next batch */
};

struct waiting {
    struct waiting *next;
    ledger_hash hash;
    ledger_key client;
    uint64_t connection;
    bool wants_replyx;
};

struct clients {
    struct replica *replica;
    uv_tcp_t listener;
    bool listening;
    struct connection *connections;
    uint32_t count, waiting_count;
    uint64_t numbers;
    uint64_t replied_view, replied_seqno; /* the newest batch whose share may be said */
    struct waiting *buckets[BUCKETS];
    uint8_t out[CLIENT_MESSAGE_BYTES_MAX];
};

static struct connection *find_connection(struct clients *clients, uint64_t number)
{
    for (struct connection *c = clients->connections; c; c = c->next) {
        if (c->number == number) {
            return c->stream.closed ? NULL : c;
        }
    }
    return NULL;
}

static struct waiting **bucket_of(struct clients *clients, const ledger_hash hash)
{
    uint32_t at;
    memcpy(&at, hash, sizeof at);
    return &clients->buckets[at % BUCKETS];
}

/* --- Out --- */

static void say(struct connection *connection, const struct client_message *message)
{
    struct clients *clients = connection->clients;
    struct cbor_writer writer = cbor_writer_of(clients->out, sizeof clients->out);
    client_message_put(&writer, message);
    uint32_t len = (uint32_t)writer.len;
    if (!cbor_fits(&writer) || !stream_put(&connection->stream, wm_view_of(&len, sizeof len),
                                           wm_view_of(clients->out, writer.len))) {
        stream_close(&connection->stream);
    }
}

static void refuse(struct connection *connection, const ledger_hash request, int code,
                   const char *text)
{
    struct client_message message = {
        .kind = CLIENT_REFUSED,
        .refused = {.code = (uint32_t)abs(code),
                    .retry_ms = code == WM_E_LIMIT ? RETRY_MS : 0,
                    .text = wm_view_str(text)},
    };
    memcpy(message.refused.request, request, sizeof(ledger_hash));
    atomic_fetch_add_explicit(&connection->clients->replica->figures.refused, 1,
                              memory_order_relaxed);
    say(connection, &message);
}

static void say_hello(struct connection *connection)
{
    struct replica *replica = connection->clients->replica;
    struct client_message message = {.kind = CLIENT_HELLO};
    struct bft_status status;
    bft_status(replica->bft, &status);
    message.hello = (struct client_hello){
        .replica = replica->folder.id,
        .cfg = status.cfg,
        .view = status.view,
        .committed_seqno = status.committed_seqno,
        .next_index = status.next_index,
        .governance = executor_head(replica->executor)->governance,
        .primary = status.primary,
    };
    memcpy(message.hello.service, executor_service(replica->executor), sizeof(ledger_hash));
    say(connection, &message);
}

static void say_state(struct connection *connection)
{
    static const char *const modes[] = {[BFT_SILENT] = "silent",
                                        [BFT_NORMAL] = "normal",
                                        [BFT_VIEW_CHANGE] = "view change",
                                        [BFT_LEARNER] = "learner",
                                        [BFT_HALTED] = "halted"};
    struct replica *replica = connection->clients->replica;
    const struct seglog *log = replica->disk.ledger.log;
    struct client_message message = {.kind = CLIENT_STATE};
    struct bft_status status;
    bft_status(replica->bft, &status);
    message.state = (struct client_state){
        .mode = status.mode,
        .mode_text = wm_view_str(modes[status.mode]),
        .cfg = status.cfg,
        .view = status.view,
        .head_seqno = status.head_seqno,
        .committed_seqno = status.committed_seqno,
        .next_index = status.next_index,
        .governance = executor_head(replica->executor)->governance,
        .primary = status.primary,
        .pool_requests = status.pool_requests,
        .checkpoint_seqno = replica->disk.checkpoint_seqno,
        .state_pairs = vmap_count(executor_state(replica->executor)),
        .state_bytes = vmap_bytes(executor_state(replica->executor)),
    };
    for (uint64_t i = 0; i < seglog_segments(log); i++) {
        struct seglog_segment segment;
        seglog_segment(log, i, &segment);
        message.state.ledger_bytes += segment.bytes;
    }
    message.state.peer_count = replica_peers_state(replica, message.state.peers);
    say(connection, &message);
}

/* --- Replies --- */

static void say_replyx(struct connection *connection, const struct kept_batch *batch,
                       uint32_t position, const struct bft_share *share)
{
    struct client_message message = {.kind = CLIENT_REPLYX};
    struct client_replyx *replyx = &message.replyx;
    struct transaction_item item;
    kept_item(batch, position, &item);
    memcpy(replyx->request, batch->requests[position], sizeof replyx->request);
    replyx->preprepare = share->preprepare;
    replyx->index = batch->first_index + position;
    replyx->position = position;
    replyx->path_len = merkle_path(batch->hashes, batch->count, position, replyx->path);
    replyx->output = item.output;
    replyx->has_result = item.has_result;
    replyx->result = item.result;
    say(connection, &message);
}

static void say_reply(struct connection *connection, const struct kept_batch *batch,
                      const struct bft_share *share)
{
    struct client_message message = {.kind = CLIENT_REPLY};
    if (connection->said_view == batch->view && connection->said_seqno == batch->seqno) {
        return;
    }
    connection->said_view = batch->view;
    connection->said_seqno = batch->seqno;
    message.reply = (struct client_reply){.cfg = batch->cfg,
                                          .view = batch->view,
                                          .seqno = batch->seqno,
                                          .position = share->position,
                                          .primary = share->primary};
    agreement_name(share->preprepare.header, share->preprepare.payload, message.reply.preprepare);
    memcpy(message.reply.signature, share->signature, sizeof message.reply.signature);
    memcpy(message.reply.nonce, share->nonce, sizeof message.reply.nonce);
    say(connection, &message);
}

/* Of one transaction in a batch, to whoever waits for it. The replica whose position its hash
 * chooses says the rest of the receipt. */
static void reply_one(struct clients *clients, const struct kept_batch *batch, uint32_t position,
                      const struct bft_share *share, uint32_t replicas)
{
    uint64_t chosen;
    memcpy(&chosen, batch->requests[position], sizeof chosen);
    for (struct waiting *w = *bucket_of(clients, batch->requests[position]); w; w = w->next) {
        if (memcmp(w->hash, batch->requests[position], sizeof w->hash) != 0) {
            continue;
        }
        struct connection *connection = find_connection(clients, w->connection);
        if (connection) {
            say_reply(connection, batch, share);
            if (w->wants_replyx || chosen % replicas == share->position) {
                say_replyx(connection, batch, position, share);
            }
        }
    }
}

/* The batch, if it is still the one of that view, and our share in it. */
static const struct kept_batch *shared(struct replica *replica, uint64_t view, uint64_t seqno,
                                       struct bft_share *share, uint32_t *replicas)
{
    const struct kept_batch *batch = executor_batch(replica->executor, seqno);
    if (!batch || !bft_share(replica->bft, view, seqno, share) ||
        memcmp(batch->root, share->preprepare.payload, sizeof batch->root) != 0) {
        return NULL;
    }
    const struct configuration *configuration =
        executor_configuration(replica->executor, batch->cfg);
    *replicas = configuration->replica_count;
    return batch;
}

void replica_clients_reply(struct replica *replica, uint64_t view, uint64_t seqno)
{
    struct clients *clients = replica->clients;
    struct bft_share share;
    uint32_t replicas;
    if (!clients) {
        return;
    }
    clients->replied_view = view;
    clients->replied_seqno = seqno;
    const struct kept_batch *batch = shared(replica, view, seqno, &share, &replicas);
    for (uint32_t i = 0; batch && i < batch->count; i++) {
        reply_one(clients, batch, i, &share, replicas);
    }
}

void replica_clients_committed(struct replica *replica, uint64_t seqno)
{
    struct clients *clients = replica->clients;
    const struct kept_batch *batch = executor_batch(replica->executor, seqno);
    for (uint32_t i = 0; clients && batch && i < batch->count; i++) {
        struct waiting **at = bucket_of(clients, batch->requests[i]);
        while (*at) {
            struct waiting *w = *at;
            if (memcmp(w->hash, batch->requests[i], sizeof w->hash) == 0) {
                *at = w->next;
                wm_free(w);
                clients->waiting_count--;
            } else {
                at = &w->next;
            }
        }
    }
}

/* --- Requests --- */

static void submit(struct connection *connection, const struct client_submit *submit)
{
    struct clients *clients = connection->clients;
    struct replica *replica = clients->replica;
    struct request request;
    struct bft_status status;
    ledger_hash hash;
    wm_sha256_once(submit->request, hash);
    int rc = request_get(submit->request, &request, NULL);
    if (rc != 0) {
        refuse(connection, hash, WM_E_INVALID, "the request is not one");
        return;
    }
    if (memcmp(request.claims.service, executor_service(replica->executor), sizeof(ledger_hash)) !=
        0) {
        refuse(connection, hash, WM_E_INVALID, "the request is for another service");
        return;
    }
    if (request.claims.arguments_len != submit->arguments.len) {
        refuse(connection, hash, WM_E_INVALID, "the arguments have another length");
        return;
    }
    bft_status(replica->bft, &status);
    size_t len = submit->request.len + submit->arguments.len;
    struct check_item *item = NULL;
    if (status.mode != BFT_SILENT && status.mode != BFT_HALTED &&
        status.pool_requests < replica->folder.limits.requests &&
        clients->waiting_count < replica->folder.limits.requests &&
        connection->checks < CHECKS_OF_CONNECTION) {
        item = wm_alloc(sizeof *item + len);
    }
    if (!item) {
        refuse(connection, hash, WM_E_LIMIT, "the replica has as much to do as it can take");
        return;
    }
    *item = (struct check_item){.connection = connection->number,
                                .wants_replyx = submit->wants_replyx,
                                .number = request.claims.number,
                                .request_len = submit->request.len,
                                .arguments_len = submit->arguments.len};
    memcpy(item->client, request.statement.key, sizeof item->client);
    memcpy(item->bytes, submit->request.ptr, submit->request.len);
    if (submit->arguments.len > 0) {
        memcpy(item->bytes + submit->request.len, submit->arguments.ptr, submit->arguments.len);
    }
    connection->checks++;
    replica_check(replica, item);
}

static bool number_is_new(struct replica *replica, const struct check_item *item)
{
    uint8_t key[CLIENT_WINDOW_KEY_BYTES], unused[CLIENT_WINDOW_BYTES];
    struct wm_view value = wm_view_of(NULL, 0);
    client_window_key(item->client, key);
    if (!vmap_get(executor_state(replica->executor), wm_view_of(key, sizeof key), &value)) {
        value = wm_view_of(NULL, 0);
    }
    return client_window_use(value, item->number, unused);
}

/* How many of this client wait already; whether this very request of this connection does. */
static bool await(struct clients *clients, const struct check_item *item)
{
    struct waiting **bucket = bucket_of(clients, item->hash);
    for (struct waiting *w = *bucket; w; w = w->next) {
        if (w->connection == item->connection && memcmp(w->hash, item->hash, sizeof w->hash) == 0) {
            return true;
        }
    }
    struct waiting *w = wm_alloc(sizeof *w);
    if (!w) {
        return false;
    }
    *w = (struct waiting){
        .next = *bucket, .connection = item->connection, .wants_replyx = item->wants_replyx};
    memcpy(w->hash, item->hash, sizeof w->hash);
    memcpy(w->client, item->client, sizeof w->client);
    *bucket = w;
    clients->waiting_count++;
    return true;
}

/* It was executed already: whoever asks again gets our share, if it may be said, or will. */
static void again(struct connection *connection, const struct check_item *item)
{
    struct clients *clients = connection->clients;
    struct replica *replica = clients->replica;
    struct bft_share share;
    uint32_t position, replicas;
    const struct kept_batch *batch = executor_batch_with(replica->executor, item->hash, &position);
    if (!batch) {
        refuse(connection, item->hash, WM_E_STALE,
               "the client's number was used before; ask for its receipt");
        return;
    }
    if (batch->seqno > executor_head(replica->executor)->seqno && !await(clients, item)) {
        refuse(connection, item->hash, WM_E_LIMIT, "the replica is short of memory");
        return;
    }
    if (batch->view != clients->replied_view || batch->seqno > clients->replied_seqno) {
        if (batch->seqno <= executor_head(replica->executor)->seqno) {
            refuse(connection, item->hash, WM_E_STALE,
                   "the client's number was used before; ask for its receipt");
        }
        return;
    }
    batch = shared(replica, batch->view, batch->seqno, &share, &replicas);
    if (batch) {
        connection->said_seqno = 0; /* it may have been lost */
        say_reply(connection, batch, &share);
        say_replyx(connection, batch, position, &share);
    } else {
        refuse(connection, item->hash, WM_E_STALE,
               "the client's number was used before; ask for its receipt");
    }
}

void replica_checked(struct replica *replica, struct check_item *item)
{
    struct clients *clients = replica->clients;
    struct connection *connection = find_connection(clients, item->connection);
    if (!connection || replica->code != 0) {
        return;
    }
    connection->checks--;
    if (!item->valid) {
        refuse(connection, item->hash, WM_E_FORGED, "the signature is not right");
        return;
    }
    if (!number_is_new(replica, item)) {
        again(connection, item);
        return;
    }
    if (!await(clients, item)) {
        refuse(connection, item->hash, WM_E_LIMIT, "the replica is short of memory");
        return;
    }
    struct bft_event event = {.kind = BFT_EVENT_REQUEST};
    event.request.request = wm_view_of(item->bytes, item->request_len);
    event.request.arguments = wm_view_of(item->bytes + item->request_len, item->arguments_len);
    event.request.checked = true;
    replica_step(replica, &event);
}

/* --- Questions --- */

static void answer(struct connection *connection, const struct client_message *ask)
{
    struct replica *replica = connection->clients->replica;
    struct client_message message = {.kind = CLIENT_RECEIPT};
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    if (ask->kind == CLIENT_FIND) {
        replica_find(replica, &ask->find, &arena, &message.receipt);
    } else if (ask->kind == CLIENT_CHAIN) {
        message.kind = CLIENT_LINKS;
        replica_chain(replica, &ask->chain, &arena, &message.links);
    } else {
        message.kind = CLIENT_VALUE;
        replica_read_state(replica, &ask->read, &arena, &message.value);
    }
    say(connection, &message);
    wm_arena_fini(&arena);
}

static bool take(struct connection *connection, struct wm_view bytes)
{
    struct replica *replica = connection->clients->replica;
    struct client_message message;
    if (client_message_get(bytes, &message, NULL) != 0) {
        return false;
    }
    enum client_kind kind = message.kind;
    if (kind == CLIENT_SUBMIT) {
        submit(connection, &message.submit);
    } else if (kind == CLIENT_FIND || kind == CLIENT_CHAIN || kind == CLIENT_READ) {
        answer(connection, &message);
    } else if (kind == CLIENT_STATUS) {
        say_state(connection);
    } else if (kind == CLIENT_FOLLOW) {
        uint64_t from = message.follow.from_index ? message.follow.from_index : 1;
        uint64_t seqno = replica_index_batch_of(&replica->index, from);
        connection->follows = true;
        connection->follow_seqno = seqno ? seqno : replica_index_seqno(&replica->index) + 1;
    } else {
        return false; /* a replica's */
    }
    return true;
}

static ptrdiff_t on_got(void *self, struct wm_view in)
{
    struct connection *connection = self;
    size_t at = 0;
    uint32_t len;
    while (in.len - at >= sizeof len && !connection->stream.closed) {
        memcpy(&len, in.ptr + at, sizeof len);
        if (len == 0 || len > CLIENT_MESSAGE_BYTES_MAX) {
            return -1;
        }
        if (in.len - at - sizeof len < len) {
            break;
        }
        if (!take(connection, wm_view_of(in.ptr + at + sizeof len, len))) {
            return -1;
        }
        at += sizeof len + len;
    }
    return (ptrdiff_t)at;
}

/* --- Followers --- */

static void follow(struct connection *connection)
{
    struct replica *replica = connection->clients->replica;
    while (connection->follow_seqno <= replica_index_seqno(&replica->index) &&
           stream_queued(&connection->stream) < FOLLOW_QUEUE_BYTES && !connection->stream.closed) {
        struct client_message message = {.kind = CLIENT_FOLLOWED};
        struct bft_entries entries;
        struct wm_arena arena;
        wm_arena_init(&arena, 0);
        if (replica_entries(replica, connection->follow_seqno, &arena, &entries, NULL) == 0) {
            message.followed.seqno = connection->follow_seqno++;
            message.followed.preprepare = entries.preprepare;
            message.followed.transactions = entries.transactions;
            say(connection, &message);
        } else {
            stream_close(&connection->stream);
        }
        wm_arena_fini(&arena);
    }
}

void replica_clients_tick(struct replica *replica)
{
    struct clients *clients = replica->clients;
    for (struct connection *c = clients->connections; c; c = c->next) {
        if (c->follows) {
            follow(c);
        }
    }
    atomic_store_explicit(&replica->figures.clients, clients->count, memory_order_relaxed);
}

/* --- Connections --- */

static void on_gone(void *self)
{
    struct connection *connection = self;
    struct clients *clients = connection->clients;
    struct connection **at = &clients->connections;
    while (*at != connection) {
        at = &(*at)->next;
    }
    *at = connection->next;
    clients->count--;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        for (struct waiting **w = &clients->buckets[i]; *w;) {
            struct waiting *waiting = *w;
            if (waiting->connection == connection->number) {
                *w = waiting->next;
                wm_free(waiting);
                clients->waiting_count--;
            } else {
                w = &waiting->next;
            }
        }
    }
    wm_free(connection);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct clients *clients = listener->data;
    struct connection *connection = status == 0 ? wm_alloc_zero(1, sizeof *connection) : NULL;
    if (!connection) {
        return;
    }
    connection->clients = clients;
    connection->number = ++clients->numbers;
    connection->stream.self = connection;
    connection->stream.got = on_got;
    connection->stream.gone = on_gone;
    if (stream_init(&connection->stream, &clients->replica->streams,
                    CLIENT_MESSAGE_BYTES_MAX + sizeof(uint32_t), QUEUE_BYTES_MAX) != 0) {
        wm_free(connection);
        return;
    }
    connection->next = clients->connections;
    clients->connections = connection;
    clients->count++;
    if (uv_accept(listener, (uv_stream_t *)&connection->stream.tcp) != 0 ||
        clients->count > CONNECTIONS_MAX) {
        stream_close(&connection->stream);
        return;
    }
    stream_start(&connection->stream);
    say_hello(connection);
}

int replica_clients_open(struct replica *replica, struct wm_diag *diag)
{
    struct clients *clients = wm_alloc_zero(1, sizeof *clients);
    if (!clients) {
        return wm_diag_default(diag, -ENOMEM, "clients");
    }
    replica->clients = clients;
    clients->replica = replica;
    const char *address = replica->config.client_listen ? replica->config.client_listen
                                                        : replica->folder.client_listen;
    clients->listener.data = clients;
    int rc = stream_listen(&replica->loop, &clients->listener, address, on_connection,
                           replica->client_address, sizeof replica->client_address, diag);
    clients->listening = rc == 0 || clients->listener.loop;
    return rc;
}

void replica_clients_shut(struct replica *replica)
{
    struct clients *clients = replica->clients;
    if (!clients) {
        return;
    }
    if (clients->listening) {
        uv_close((uv_handle_t *)&clients->listener, NULL);
    }
    for (struct connection *c = clients->connections; c; c = c->next) {
        stream_close(&c->stream);
    }
}

void replica_clients_free(struct replica *replica)
{
    wm_free(replica->clients);
}
