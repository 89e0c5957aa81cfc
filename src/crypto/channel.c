/* The handshake: Noise's NNpsk0 in spirit, with names. Each MAC is keyed BLAKE2b over a label and
 * everything so far; the label tells the message, so that nothing fits in another's place. */
#include "crypto/channel.h"

#include <sodium.h>
#include <string.h>

#include "base/assert.h"

#define NAME_BYTES (1u + CHANNEL_NAME_BYTES_MAX)
#define MAC_BYTES 32u
#define HEADER_BYTES 24u

_Static_assert(sizeof(struct channel_stream) >= sizeof(crypto_secretstream_xchacha20poly1305_state),
               "room for the library's state");
_Static_assert(HEADER_BYTES == crypto_secretstream_xchacha20poly1305_HEADERBYTES, "header");
_Static_assert(CHANNEL_BODY_OVERHEAD == crypto_secretstream_xchacha20poly1305_ABYTES, "overhead");
_Static_assert(crypto_secretstream_xchacha20poly1305_KEYBYTES == 32, "key");
_Static_assert(crypto_scalarmult_BYTES == 32 && crypto_scalarmult_SCALARBYTES == 32, "X25519");

/* Offsets in messages 1 and 2. */
enum { AT_NAME = 4, AT_PUBLIC = AT_NAME + NAME_BYTES, AT_AFTER = AT_PUBLIC + 32 };

enum stage { OVER, BEGUN, HELLO_SENT, ANSWERED };

static crypto_secretstream_xchacha20poly1305_state *stream_of(struct channel_stream *stream)
{
    return (crypto_secretstream_xchacha20poly1305_state *)(void *)stream->state;
}

/* Keyed BLAKE2b over the parts, each of which has a fixed length. */
static void mix(uint8_t *out, size_t out_bytes, const uint8_t key[32], const char *label,
                const struct wm_view *parts, size_t count)
{
    crypto_generichash_state state;
    uint8_t tag[32] = {0};
    size_t len = strlen(label);
    WM_ASSERT(len < sizeof tag);
    memcpy(tag, label, len);
    crypto_generichash_init(&state, key, 32, out_bytes);
    crypto_generichash_update(&state, tag, sizeof tag);
    for (size_t i = 0; i < count; i++) {
        crypto_generichash_update(&state, parts[i].ptr, parts[i].len);
    }
    crypto_generichash_final(&state, out, out_bytes);
    sodium_memzero(&state, sizeof state);
}

static int fail(struct channel_handshake *h, int code, struct wm_diag *diag, const char *reason)
{
    channel_handshake_wipe(h);
    return wm_diag_set(diag, code, "connection between nodes: %s", reason);
}

static bool set_name(uint8_t out[NAME_BYTES], struct wm_view name)
{
    memset(out, 0, NAME_BYTES);
    if (name.len == 0 || name.len > CHANNEL_NAME_BYTES_MAX) {
        return false;
    }
    out[0] = (uint8_t)name.len;
    memcpy(out + 1, name.ptr, name.len);
    return true;
}

/* A name has one form only: its length is possible, and zeros follow. */
static bool name_is_well_formed(const uint8_t name[NAME_BYTES])
{
    if (name[0] == 0 || name[0] > CHANNEL_NAME_BYTES_MAX) {
        return false;
    }
    for (uint32_t i = 1u + name[0]; i < NAME_BYTES; i++) {
        if (name[i] != 0) {
            return false;
        }
    }
    return true;
}

int channel_begin(struct channel_handshake *h, const uint8_t key[CHANNEL_KEY_BYTES],
                  struct wm_view own, struct wm_view peer, const uint8_t random[32],
                  struct wm_diag *diag)
{
    int ok = sodium_init();
    WM_ASSERT(ok >= 0);
    memset(h, 0, sizeof *h);
    h->initiator = peer.len > 0;
    if (!set_name(h->own_name, own) || (h->initiator && !set_name(h->peer_name, peer))) {
        return fail(h, WM_E_INVALID, diag, "a node's name has 1 to 64 bytes");
    }
    if (wm_view_eq(own, peer)) {
        return fail(h, WM_E_INVALID, diag, "a node does not connect to itself");
    }
    memcpy(h->key, key, sizeof h->key);
    memcpy(h->secret, random, sizeof h->secret);
    h->stage = BEGUN;
    return 0;
}

/* Message 1's MAC also covers whom it is for. */
static void hello_mac(const struct channel_handshake *h, const uint8_t *hello,
                      const uint8_t responder[NAME_BYTES], uint8_t out[MAC_BYTES])
{
    struct wm_view parts[] = {wm_view_of(hello, AT_AFTER), wm_view_of(responder, NAME_BYTES)};
    mix(out, MAC_BYTES, h->key, "wardmote channel 1: hello", parts, 2);
}

void channel_hello(struct channel_handshake *h, uint8_t out[CHANNEL_HELLO_BYTES])
{
    WM_ASSERT(h->stage == BEGUN && h->initiator);
    memcpy(out, "WMC1", 4);
    memcpy(out + AT_NAME, h->own_name, NAME_BYTES);
    crypto_scalarmult_base(out + AT_PUBLIC, h->secret);
    hello_mac(h, out, h->peer_name, out + AT_AFTER);
    memcpy(h->hello, out, CHANNEL_HELLO_BYTES);
    h->stage = HELLO_SENT;
}

struct keys {
    uint8_t to_responder[32], to_initiator[32];   /* streams */
    uint8_t responder_mac[32], initiator_mac[32]; /* messages 2 and 3 */
};

/* From the cluster key, the shared secret and both messages up to the responder's public key.
 * False: the peer's public key is of low order, which makes the secret known. */
static bool derive(struct channel_handshake *h, const uint8_t peer_public[32],
                   const uint8_t *answer, struct keys *keys)
{
    uint8_t shared[32], root[32];
    if (crypto_scalarmult(shared, h->secret, peer_public) != 0) {
        return false;
    }
    struct wm_view all[] = {wm_view_of(h->hello, CHANNEL_HELLO_BYTES),
                            wm_view_of(answer, AT_AFTER)};
    mix(h->transcript, sizeof h->transcript, h->key, "wardmote channel 1: transcript", all, 2);
    struct wm_view parts[] = {wm_view_of(shared, sizeof shared),
                              wm_view_of(h->transcript, sizeof h->transcript)};
    mix(root, sizeof root, h->key, "wardmote channel 1: root", parts, 2);
    mix(keys->to_responder, 32, root, "stream to the responder", NULL, 0);
    mix(keys->to_initiator, 32, root, "stream to the initiator", NULL, 0);
    mix(keys->responder_mac, 32, root, "message 2", NULL, 0);
    mix(keys->initiator_mac, 32, root, "message 3", NULL, 0);
    mix(h->binding, sizeof h->binding, root, "binding", NULL, 0);
    sodium_memzero(shared, sizeof shared);
    sodium_memzero(root, sizeof root);
    return true;
}

int channel_answer(struct channel_handshake *h, const uint8_t hello[CHANNEL_HELLO_BYTES],
                   uint8_t out[CHANNEL_ANSWER_BYTES], struct wm_diag *diag)
{
    WM_ASSERT(h->stage == BEGUN && !h->initiator);
    if (memcmp(hello, "WMC1", 4) != 0 || !name_is_well_formed(hello + AT_NAME)) {
        return fail(h, WM_E_MALFORMED, diag, "the other side does not speak this protocol");
    }
    uint8_t mac[MAC_BYTES];
    hello_mac(h, hello, h->own_name, mac);
    if (sodium_memcmp(mac, hello + AT_AFTER, MAC_BYTES) != 0) {
        return fail(h, WM_E_FORGED, diag,
                    "its first message was not made with this cluster's key for this node's name");
    }
    if (memcmp(hello + AT_NAME, h->own_name, NAME_BYTES) == 0) {
        return fail(h, WM_E_FORGED, diag, "it uses this node's own name");
    }
    memcpy(h->peer_name, hello + AT_NAME, NAME_BYTES);
    memcpy(h->hello, hello, CHANNEL_HELLO_BYTES);

    memcpy(out, "WMC2", 4);
    memcpy(out + AT_NAME, h->own_name, NAME_BYTES);
    crypto_scalarmult_base(out + AT_PUBLIC, h->secret);
    struct keys keys;
    if (!derive(h, hello + AT_PUBLIC, out, &keys)) {
        return fail(h, WM_E_FORGED, diag, "its public key is not a usable one");
    }
    crypto_secretstream_xchacha20poly1305_init_push(stream_of(&h->send), out + AT_AFTER,
                                                    keys.to_initiator);
    struct wm_view parts[] = {wm_view_of(h->transcript, sizeof h->transcript),
                              wm_view_of(out + AT_AFTER, HEADER_BYTES)};
    mix(out + AT_AFTER + HEADER_BYTES, MAC_BYTES, keys.responder_mac, "mac", parts, 2);
    /* The header becomes part of what message 3's MAC covers. */
    mix(h->transcript, sizeof h->transcript, keys.initiator_mac, "transcript 2", parts, 2);
    memcpy(h->confirm_key, keys.initiator_mac, 32);
    memcpy(h->recv_key, keys.to_responder, 32);
    sodium_memzero(&keys, sizeof keys);
    sodium_memzero(h->secret, sizeof h->secret);
    h->stage = ANSWERED;
    return 0;
}

int channel_finish(struct channel_handshake *h, const uint8_t answer[CHANNEL_ANSWER_BYTES],
                   uint8_t out[CHANNEL_CONFIRM_BYTES], struct channel *channel,
                   struct wm_diag *diag)
{
    WM_ASSERT(h->stage == HELLO_SENT);
    if (memcmp(answer, "WMC2", 4) != 0 || !name_is_well_formed(answer + AT_NAME)) {
        return fail(h, WM_E_MALFORMED, diag, "the other side does not speak this protocol");
    }
    if (memcmp(answer + AT_NAME, h->peer_name, NAME_BYTES) != 0) {
        char quoted[80];
        wm_diag_quote(quoted, sizeof quoted, answer + AT_NAME + 1, answer[AT_NAME]);
        channel_handshake_wipe(h);
        return wm_diag_set(diag, WM_E_FORGED,
                           "connection between nodes: the other side is named \"%s\", not as "
                           "expected; compare the peers' names and addresses",
                           quoted);
    }
    struct keys keys;
    if (!derive(h, answer + AT_PUBLIC, answer, &keys)) {
        return fail(h, WM_E_FORGED, diag, "its public key is not a usable one");
    }
    uint8_t mac[MAC_BYTES];
    struct wm_view parts[] = {wm_view_of(h->transcript, sizeof h->transcript),
                              wm_view_of(answer + AT_AFTER, HEADER_BYTES)};
    mix(mac, sizeof mac, keys.responder_mac, "mac", parts, 2);
    if (sodium_memcmp(mac, answer + AT_AFTER + HEADER_BYTES, MAC_BYTES) != 0) {
        sodium_memzero(&keys, sizeof keys);
        return fail(h, WM_E_FORGED, diag, "its answer was not made with this cluster's key");
    }
    memset(channel, 0, sizeof *channel);
    crypto_secretstream_xchacha20poly1305_init_push(stream_of(&channel->send), out,
                                                    keys.to_responder);
    memcpy(channel->binding, h->binding, sizeof channel->binding);
    /* Cannot fail: it only derives. */
    (void)crypto_secretstream_xchacha20poly1305_init_pull(stream_of(&channel->recv),
                                                          answer + AT_AFTER, keys.to_initiator);
    mix(h->transcript, sizeof h->transcript, keys.initiator_mac, "transcript 2", parts, 2);
    struct wm_view last[] = {wm_view_of(h->transcript, sizeof h->transcript),
                             wm_view_of(out, HEADER_BYTES)};
    mix(out + HEADER_BYTES, MAC_BYTES, keys.initiator_mac, "mac", last, 2);
    sodium_memzero(&keys, sizeof keys);
    channel_handshake_wipe(h);
    return 0;
}

int channel_accept(struct channel_handshake *h, const uint8_t confirm[CHANNEL_CONFIRM_BYTES],
                   struct channel *channel, struct wm_diag *diag)
{
    WM_ASSERT(h->stage == ANSWERED);
    uint8_t mac[MAC_BYTES];
    struct wm_view parts[] = {wm_view_of(h->transcript, sizeof h->transcript),
                              wm_view_of(confirm, HEADER_BYTES)};
    mix(mac, sizeof mac, h->confirm_key, "mac", parts, 2);
    if (sodium_memcmp(mac, confirm + HEADER_BYTES, MAC_BYTES) != 0) {
        return fail(h, WM_E_FORGED, diag, "its last message does not belong to this connection");
    }
    memset(channel, 0, sizeof *channel);
    channel->send = h->send;
    memcpy(channel->binding, h->binding, sizeof channel->binding);
    (void)crypto_secretstream_xchacha20poly1305_init_pull(stream_of(&channel->recv), confirm,
                                                          h->recv_key);
    channel_handshake_wipe(h);
    return 0;
}

struct wm_view channel_peer_name(const struct channel_handshake *h)
{
    return wm_view_of(h->peer_name + 1, h->peer_name[0]);
}

void channel_handshake_wipe(struct channel_handshake *h)
{
    uint8_t name[NAME_BYTES];
    memcpy(name, h->peer_name, sizeof name);
    sodium_memzero(h, sizeof *h);
    memcpy(h->peer_name, name, sizeof name);
}

static void put_u32(uint8_t out[4], uint32_t value)
{
    memcpy(out, &value, 4);
}

void channel_seal(struct channel *channel, struct wm_view plain, bool final, uint8_t *out)
{
    WM_ASSERT(plain.len <= CHANNEL_PLAIN_BYTES_MAX && !channel->send_ended);
    put_u32(out, (uint32_t)plain.len + CHANNEL_BODY_OVERHEAD);
    crypto_secretstream_xchacha20poly1305_push(
        stream_of(&channel->send), out + CHANNEL_HEAD_BYTES, NULL, plain.ptr, plain.len, out,
        CHANNEL_HEAD_BYTES,
        final ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
              : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
    channel->send_ended = final;
}

int channel_body_bytes(const uint8_t head[CHANNEL_HEAD_BYTES], uint32_t *bytes)
{
    uint32_t value;
    memcpy(&value, head, 4);
    if (value < CHANNEL_BODY_OVERHEAD) {
        return WM_E_MALFORMED;
    }
    if (value > CHANNEL_PLAIN_BYTES_MAX + CHANNEL_BODY_OVERHEAD) {
        return WM_E_LIMIT;
    }
    *bytes = value;
    return 0;
}

int channel_open(struct channel *channel, struct wm_view body, uint8_t *out, uint32_t *bytes,
                 bool *final)
{
    if (channel->recv_ended) {
        return WM_E_INVALID;
    }
    if (body.len < CHANNEL_BODY_OVERHEAD ||
        body.len > CHANNEL_PLAIN_BYTES_MAX + CHANNEL_BODY_OVERHEAD) {
        return WM_E_MALFORMED;
    }
    uint8_t head[CHANNEL_HEAD_BYTES];
    put_u32(head, (uint32_t)body.len);
    unsigned char tag;
    unsigned long long plain;
    if (crypto_secretstream_xchacha20poly1305_pull(stream_of(&channel->recv), out, &plain, &tag,
                                                   body.ptr, body.len, head, sizeof head) != 0) {
        return WM_E_FORGED;
    }
    if (tag != crypto_secretstream_xchacha20poly1305_TAG_MESSAGE &&
        tag != crypto_secretstream_xchacha20poly1305_TAG_FINAL) {
        return WM_E_INVALID;
    }
    *bytes = (uint32_t)plain;
    *final = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    channel->recv_ended = *final;
    return 0;
}

void channel_wipe(struct channel *channel)
{
    sodium_memzero(channel, sizeof *channel);
    channel->send_ended = channel->recv_ended = true;
}
