/* Channels between replicas.
 *
 * One connection a pair, dialled by the larger id. Both ends prove their keys as the first thing
 * they say inside; who has none of a configuration that is known here is cut off. Messages are
 * frames (u32 length, little-endian) in a stream that channel records cut as they please. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/channel_identity.h"
#include "crypto/hash.h"
#include "node/config.h"
#include "node/replica_internal.h"

#define PURPOSE "ledger replica"
#define PEERS_MAX (2u * LEDGER_REPLICAS_MAX)
#define STRANGERS_MAX 64u /* connections that have proved nothing yet */
#define QUEUE_BYTES_MAX (64u << 20)
#define BACKOFF_MS 50u
#define BACKOFF_MAX_MS 2000u
#define HANDSHAKE_MS 5000u
#define IN_BYTES_MAX (4u * CHANNEL_RECORD_BYTES(CHANNEL_PLAIN_BYTES_MAX))

enum stage { STAGE_CONNECTING, STAGE_HELLO, STAGE_ANSWER, STAGE_CONFIRM, STAGE_PROOF, STAGE_OPEN };

struct link {
    struct stream stream;
    struct peers *peers;
    struct peer *peer; /* NULL: a stranger */
    struct link *next; /* of all */
    enum stage stage;
    bool dialled;
    uint64_t began_ms;
    uv_connect_t connect;
    struct channel_handshake handshake;
    struct channel channel;
    /* What came and is no whole message yet; what is to be sealed at the end of the turn. */
    uint8_t *in, *out;
    size_t in_len, in_room, out_len, out_room;
};

struct peer {
    uint32_t id;
    ledger_key key;
    char address[GENESIS_ADDRESS_BYTES_MAX + 1];
    struct link *link; /* open, or being dialled by us */
    bool in_force;
    uint64_t dial_ms, backoff_ms;
};

struct peers {
    struct replica *replica;
    uv_tcp_t listener;
    bool listening, shut;
    struct link *links;
    uint32_t strangers, count;
    uint64_t known_cfg, known_next; /* what the table was made from */
    bool known_has_next;
    struct peer peers[PEERS_MAX];
    uint8_t plain[CHANNEL_PLAIN_BYTES_MAX], sealed[CHANNEL_RECORD_BYTES(CHANNEL_PLAIN_BYTES_MAX)];
};

static size_t name_of(uint32_t id, char out[32])
{
    return (size_t)snprintf(out, 32, "replica %u", id);
}

static struct peer *find_peer(struct peers *peers, uint32_t id)
{
    for (uint32_t i = 0; i < peers->count; i++) {
        if (peers->peers[i].id == id) {
            return &peers->peers[i];
        }
    }
    return NULL;
}

/* --- Links --- */

static void on_gone(void *self)
{
    struct link *link = self;
    struct peers *peers = link->peers;
    struct link **at = &peers->links;
    while (*at != link) {
        at = &(*at)->next;
    }
    *at = link->next;
    peers->strangers -= !link->peer;
    if (link->peer && link->peer->link == link) {
        struct peer *peer = link->peer;
        if (link->stage == STAGE_OPEN) {
            replica_log_line(peers->replica, "peer %u: gone", peer->id);
        }
        peer->link = NULL;
        peer->dial_ms = uv_now(&peers->replica->loop) + peer->backoff_ms;
        peer->backoff_ms =
            peer->backoff_ms < BACKOFF_MAX_MS / 2 ? peer->backoff_ms * 2 : BACKOFF_MAX_MS;
    }
    channel_handshake_wipe(&link->handshake);
    channel_wipe(&link->channel);
    wm_free(link->in);
    wm_free(link->out);
    wm_free(link);
}

static bool grow(uint8_t **bytes, size_t *room, size_t wanted)
{
    size_t more = *room ? *room : 4096;
    if (wanted <= *room) {
        return true;
    }
    while (more < wanted) {
        more *= 2;
    }
    uint8_t *grown = wm_realloc(*bytes, more, 1);
    if (grown) {
        *bytes = grown;
        *room = more;
    }
    return grown;
}

/* One record into the stream. */
static bool seal(struct link *link, struct wm_view plain)
{
    struct peers *peers = link->peers;
    if (stream_queued(&link->stream) + CHANNEL_RECORD_BYTES(plain.len) > QUEUE_BYTES_MAX) {
        return false;
    }
    channel_seal(&link->channel, plain, false, peers->sealed);
    return stream_put(&link->stream, wm_view_of(peers->sealed, CHANNEL_RECORD_BYTES(plain.len)),
                      wm_view_of(NULL, 0));
}

static void on_flushing(void *self)
{
    struct link *link = self;
    for (size_t at = 0; at < link->out_len;) {
        size_t len = link->out_len - at;
        len = len < CHANNEL_PLAIN_BYTES_MAX ? len : CHANNEL_PLAIN_BYTES_MAX;
        if (!seal(link, wm_view_of(link->out + at, len))) {
            stream_close(&link->stream); /* a record that was sealed and not sent ends a channel */
            return;
        }
        at += len;
    }
    link->out_len = 0;
}

static void put_message(struct link *link, struct wm_view message)
{
    uint32_t len = (uint32_t)message.len;
    size_t total = link->out_len + sizeof len + message.len;
    if (link->stage != STAGE_OPEN || link->stream.closed ||
        total + total / 1024 + stream_queued(&link->stream) > QUEUE_BYTES_MAX / 2 ||
        !grow(&link->out, &link->out_room, total)) {
        return; /* lost, as on a network */
    }
    memcpy(link->out + link->out_len, &len, sizeof len);
    memcpy(link->out + link->out_len + sizeof len, message.ptr, message.len);
    link->out_len = total;
    stream_touch(&link->stream);
}

/* --- Proof of key --- */

static bool send_proof(struct link *link)
{
    uint8_t proof[CHANNEL_PROOF_BYTES];
    channel_prove(&link->channel, link->dialled, PURPOSE, &link->peers->replica->folder.key, proof);
    link->stage = STAGE_PROOF;
    return seal(link, wm_view_of(proof, sizeof proof));
}

/* Whose key it is; where he has a connection already, the newer one counts: he knows better. */
static bool take_proof(struct link *link, struct wm_view proof)
{
    struct peers *peers = link->peers;
    uint8_t key[SIGN_PUBLIC_BYTES];
    if (!channel_proved(&link->channel, !link->dialled, PURPOSE, proof, key)) {
        return false;
    }
    if (link->dialled) {
        if (!link->peer || memcmp(link->peer->key, key, sizeof key) != 0) {
            return false;
        }
    } else {
        struct peer *peer = NULL;
        for (uint32_t i = 0; i < peers->count && !peer; i++) {
            if (memcmp(peers->peers[i].key, key, sizeof key) == 0) {
                peer = &peers->peers[i];
            }
        }
        if (!peer || peer->id < peers->replica->folder.id) {
            return false;
        }
        if (peer->link) {
            stream_close(&peer->link->stream);
        }
        peer->link = link;
        link->peer = peer;
        peers->strangers--;
    }
    link->peer->backoff_ms = BACKOFF_MS;
    link->stage = STAGE_OPEN;
    replica_log_line(peers->replica, "peer %u: connected", link->peer->id);
    return true;
}

/* --- Bytes in --- */

static bool take_messages(struct link *link)
{
    size_t at = 0;
    uint32_t len;
    while (link->in_len - at >= sizeof len) {
        memcpy(&len, link->in + at, sizeof len);
        if (len == 0 || len > PEER_MESSAGE_BYTES_MAX) {
            return false;
        }
        if (link->in_len - at - sizeof len < len) {
            break;
        }
        replica_step(link->peers->replica,
                     &(struct bft_event){.kind = BFT_EVENT_MESSAGE,
                                         .bytes = wm_view_of(link->in + at + sizeof len, len),
                                         .from = link->peer->id});
        at += sizeof len + len;
        if (link->stream.closed) {
            return true;
        }
    }
    if (at > 0) {
        link->in_len -= at;
        memmove(link->in, link->in + at, link->in_len);
    }
    return true;
}

static bool take_record(struct link *link, struct wm_view body)
{
    uint8_t *plain = link->peers->plain;
    uint32_t len;
    bool final;
    if (channel_open(&link->channel, body, plain, &len, &final) != 0 || final) {
        return false;
    }
    if (link->stage == STAGE_PROOF) {
        return take_proof(link, wm_view_of(plain, len));
    }
    if (!grow(&link->in, &link->in_room, link->in_len + len)) {
        return false;
    }
    memcpy(link->in + link->in_len, plain, len);
    link->in_len += len;
    return take_messages(link);
}

/* One handshake message of `in`; how much was used, 0: it is not whole yet, negative: refused. */
static ptrdiff_t shake(struct link *link, struct wm_view in)
{
    uint8_t out[CHANNEL_ANSWER_BYTES];
    struct wm_view none = wm_view_of(NULL, 0);
    switch (link->stage) {
    case STAGE_HELLO:
        if (in.len < CHANNEL_HELLO_BYTES) {
            return 0;
        }
        if (channel_answer(&link->handshake, in.ptr, out, NULL) != 0 ||
            !stream_put(&link->stream, wm_view_of(out, CHANNEL_ANSWER_BYTES), none)) {
            return -1;
        }
        link->stage = STAGE_CONFIRM;
        return CHANNEL_HELLO_BYTES;
    case STAGE_ANSWER:
        if (in.len < CHANNEL_ANSWER_BYTES) {
            return 0;
        }
        if (channel_finish(&link->handshake, in.ptr, out, &link->channel, NULL) != 0 ||
            !stream_put(&link->stream, wm_view_of(out, CHANNEL_CONFIRM_BYTES), none) ||
            !send_proof(link)) {
            return -1;
        }
        return CHANNEL_ANSWER_BYTES;
    case STAGE_CONFIRM:
        if (in.len < CHANNEL_CONFIRM_BYTES) {
            return 0;
        }
        if (channel_accept(&link->handshake, in.ptr, &link->channel, NULL) != 0 ||
            !send_proof(link)) {
            return -1;
        }
        return CHANNEL_CONFIRM_BYTES;
    case STAGE_CONNECTING:
    case STAGE_PROOF:
    case STAGE_OPEN: break;
    }
    return -1;
}

static ptrdiff_t on_got(void *self, struct wm_view in)
{
    struct link *link = self;
    size_t at = 0;
    while (!link->stream.closed) {
        struct wm_view left = wm_view_of(in.ptr + at, in.len - at);
        uint32_t body;
        if (link->stage < STAGE_PROOF) {
            ptrdiff_t used = shake(link, left);
            if (used <= 0) {
                return used < 0 ? used : (ptrdiff_t)at;
            }
            at += (size_t)used;
            continue;
        }
        if (left.len < CHANNEL_HEAD_BYTES) {
            break;
        }
        if (channel_body_bytes(left.ptr, &body) != 0) {
            return -1;
        }
        if (left.len - CHANNEL_HEAD_BYTES < body) {
            break;
        }
        if (!take_record(link, wm_view_of(left.ptr + CHANNEL_HEAD_BYTES, body))) {
            return -1;
        }
        at += CHANNEL_HEAD_BYTES + body;
    }
    return (ptrdiff_t)at;
}

static struct link *link_new(struct peers *peers, struct peer *peer)
{
    struct replica *replica = peers->replica;
    struct link *link = wm_alloc_zero(1, sizeof *link);
    char own[32], other[32];
    uint8_t random[32];
    if (!link) {
        return NULL;
    }
    link->peers = peers;
    link->peer = peer;
    link->dialled = peer;
    link->began_ms = uv_now(&replica->loop);
    link->stream.self = link;
    link->stream.got = on_got;
    link->stream.flushing = on_flushing;
    link->stream.gone = on_gone;
    if (stream_init(&link->stream, &replica->streams, IN_BYTES_MAX, QUEUE_BYTES_MAX) != 0) {
        wm_free(link);
        return NULL;
    }
    wm_random_bytes(random, sizeof random);
    struct wm_view to = peer ? wm_view_of(other, name_of(peer->id, other)) : wm_view_of(NULL, 0);
    int rc = channel_begin(&link->handshake, executor_service(replica->executor),
                           wm_view_of(own, name_of(replica->folder.id, own)), to, random, NULL);
    WM_ASSERT(rc == 0);
    link->next = peers->links;
    peers->links = link;
    peers->strangers += !peer;
    return link;
}

/* --- Connecting --- */

static void on_connection(uv_stream_t *listener, int status)
{
    struct peers *peers = listener->data;
    struct link *link = status == 0 ? link_new(peers, NULL) : NULL;
    if (!link) {
        return;
    }
    link->stage = STAGE_HELLO;
    if (uv_accept(listener, (uv_stream_t *)&link->stream.tcp) != 0 ||
        peers->strangers > STRANGERS_MAX) {
        stream_close(&link->stream);
    } else {
        stream_start(&link->stream);
    }
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct link *link = connect->data;
    uint8_t hello[CHANNEL_HELLO_BYTES];
    if (status != 0 || link->stream.closed) {
        stream_close(&link->stream);
        return;
    }
    link->stage = STAGE_ANSWER;
    channel_hello(&link->handshake, hello);
    if (!stream_put(&link->stream, wm_view_of(hello, sizeof hello), wm_view_of(NULL, 0))) {
        stream_close(&link->stream);
        return;
    }
    stream_start(&link->stream);
}

struct lookup {
    uv_getaddrinfo_t request;
    struct peers *peers;
    uint32_t id;
};

static void on_address(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = request->data;
    struct peers *peers = lookup->peers;
    struct peer *peer = peers->shut ? NULL : find_peer(peers, lookup->id);
    struct link *link = status == 0 && peer && !peer->link ? link_new(peers, peer) : NULL;
    if (link) {
        peer->link = link;
        link->connect.data = link;
        if (uv_tcp_connect(&link->connect, &link->stream.tcp, found->ai_addr, on_connected) != 0) {
            stream_close(&link->stream);
        }
    }
    uv_freeaddrinfo(found);
    wm_free(lookup);
}

static void dial(struct peers *peers, struct peer *peer)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char host[64], port_text[8];
    uint16_t port;
    peer->dial_ms = uv_now(&peers->replica->loop) + BACKOFF_MAX_MS;
    struct lookup *lookup =
        config_split_address(peer->address, host, &port) == 0 ? wm_alloc(sizeof *lookup) : NULL;
    if (!lookup) {
        return;
    }
    lookup->peers = peers;
    lookup->id = peer->id;
    lookup->request.data = lookup;
    (void)snprintf(port_text, sizeof port_text, "%u", port);
    if (uv_getaddrinfo(&peers->replica->loop, &lookup->request, on_address, host, port_text,
                       &hints) != 0) {
        wm_free(lookup);
    }
}

/* --- Who there is --- */

static void learn(struct peers *peers, const struct configuration *configuration)
{
    for (uint32_t i = 0; configuration && i < configuration->replica_count; i++) {
        const struct ledger_replica *replica = &configuration->replicas[i];
        struct peer *peer = find_peer(peers, replica->id);
        if (replica->id == peers->replica->folder.id) {
            continue;
        }
        if (!peer) {
            for (uint32_t k = 0; k < peers->count && !peer; k++) {
                if (!peers->peers[k].in_force && !peers->peers[k].link) {
                    peer = &peers->peers[k];
                }
            }
            if (!peer && peers->count == PEERS_MAX) {
                continue;
            }
            peer = peer ? peer : &peers->peers[peers->count++];
            *peer = (struct peer){.id = replica->id, .backoff_ms = BACKOFF_MS};
        }
        memcpy(peer->key, replica->key, sizeof peer->key);
        (void)snprintf(peer->address, sizeof peer->address, "%.*s", (int)replica->address.len,
                       (const char *)replica->address.ptr);
        peer->in_force = true;
    }
}

static void learn_all(struct peers *peers)
{
    const struct executor *executor = peers->replica->executor;
    uint64_t cfg = executor_head(executor)->cfg;
    const struct configuration *next = executor_configuration(executor, cfg + 1);
    if (peers->count > 0 && peers->known_cfg == cfg && peers->known_has_next == (next != NULL)) {
        return;
    }
    peers->known_cfg = cfg;
    peers->known_has_next = next;
    for (uint32_t i = 0; i < peers->count; i++) {
        peers->peers[i].in_force = false;
    }
    learn(peers, executor_configuration(executor, cfg));
    learn(peers, next);
    for (uint32_t i = 0; i < peers->count; i++) {
        if (!peers->peers[i].in_force && peers->peers[i].link) {
            stream_close(&peers->peers[i].link->stream);
        }
    }
}

void replica_peers_tick(struct replica *replica)
{
    struct peers *peers = replica->peers;
    uint64_t now_ms = uv_now(&replica->loop);
    uint32_t open = 0;
    learn_all(peers);
    for (uint32_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->peers[i];
        open += peer->link && peer->link->stage == STAGE_OPEN;
        if (peer->in_force && !peer->link && peer->id < replica->folder.id &&
            now_ms >= peer->dial_ms) {
            dial(peers, peer);
        }
    }
    for (struct link *link = peers->links; link; link = link->next) {
        if (link->stage != STAGE_OPEN && now_ms - link->began_ms > HANDSHAKE_MS) {
            stream_close(&link->stream);
        }
    }
    atomic_store_explicit(&replica->figures.peers, open, memory_order_relaxed);
}

/* --- For the others --- */

void replica_peers_send(struct replica *replica, uint32_t to, struct wm_view message)
{
    struct peer *peer = replica->peers ? find_peer(replica->peers, to) : NULL;
    if (peer && peer->link) {
        put_message(peer->link, message);
    }
}

void replica_peers_broadcast(struct replica *replica, struct wm_view message)
{
    struct peers *peers = replica->peers;
    for (uint32_t i = 0; peers && i < peers->count; i++) {
        if (peers->peers[i].link && peers->peers[i].in_force) {
            put_message(peers->peers[i].link, message);
        }
    }
}

uint32_t replica_peers_state(struct replica *replica,
                             struct client_peer_state out[LEDGER_REPLICAS_MAX])
{
    struct peers *peers = replica->peers;
    uint32_t count = 0;
    for (uint32_t i = 0; i < peers->count && count < LEDGER_REPLICAS_MAX; i++) {
        const struct peer *peer = &peers->peers[i];
        if (peer->in_force) {
            out[count++] = (struct client_peer_state){
                .replica = peer->id, .connected = peer->link && peer->link->stage == STAGE_OPEN};
        }
    }
    return count;
}

int replica_peers_open(struct replica *replica, struct wm_diag *diag)
{
    struct peers *peers = wm_alloc_zero(1, sizeof *peers);
    if (!peers) {
        return wm_diag_default(diag, -ENOMEM, "peers");
    }
    replica->peers = peers;
    peers->replica = replica;
    peers->listener.data = peers;
    peers->listening = true;
    const char *address =
        replica->config.peer_listen ? replica->config.peer_listen : replica->folder.peer_listen;
    int rc = stream_listen(&replica->loop, &peers->listener, address, on_connection,
                           replica->peer_address, sizeof replica->peer_address, diag);
    peers->listening = rc == 0 || peers->listener.loop;
    learn_all(peers);
    return rc;
}

void replica_peers_shut(struct replica *replica)
{
    struct peers *peers = replica->peers;
    if (!peers) {
        return;
    }
    peers->shut = true;
    if (peers->listening) {
        uv_close((uv_handle_t *)&peers->listener, NULL);
    }
    for (struct link *link = peers->links; link; link = link->next) {
        stream_close(&link->stream);
    }
}

void replica_peers_free(struct replica *replica)
{
    wm_free(replica->peers);
}
