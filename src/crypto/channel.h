/* channel.h: an encrypted, mutually authenticated connection between two nodes, as bytes in and
 * bytes out.
 *
 * Both sides hold the cluster's key (32 random bytes) and have a name; the initiator knows whom it
 * wants to reach. Three messages of fixed size, then records:
 *
 *     1  initiator  magic "WMC1", own name, X25519 public key, MAC
 *     2  responder  magic "WMC2", own name, X25519 public key, stream header, MAC
 *     3  initiator  stream header, MAC
 *     record        u32 bytes of the body, little-endian; body (secretstream, XChaCha20-Poly1305)
 *
 * A name is a byte of length and CHANNEL_NAME_BYTES_MAX bytes, zero after its end. The MAC of the
 * first message is keyed by the cluster key alone and covers the name that is to be reached, which
 * is not sent. Everything else is keyed by BLAKE2b of the cluster key, the secret that X25519 gives
 * and the transcript, with a label for each use and direction; the MACs of 2 and 3 cover all that
 * was sent before them. So:
 *
 *   - who does not hold the key can neither speak nor read; a recorded connection stays secret when
 *     the key is lost later (the X25519 keys are used once);
 *   - a message that was changed, replayed, reflected, or sent to another node is refused: the
 *     responder takes nobody for authenticated before message 3, which proves knowledge of secrets
 *     of this very connection;
 *   - records are accepted once, in order, whole, and up to one marked final: an end of the bytes
 *     without it is a truncation.
 *
 * Not promised: holders of the key are not kept from taking each other's names. Sizes and times of
 * records are visible.
 *
 * Pure, but for the stream headers, which libsodium draws from the kernel. All inputs are
 * untrusted. One thread at a time; the two directions of one channel may be used by two threads.
 * Secrets are wiped by channel_wipe and when a handshake ends either way. A channel whose
 * channel_open failed must not be used on. */
#ifndef WM_CRYPTO_CHANNEL_H
#define WM_CRYPTO_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"

#define CHANNEL_KEY_BYTES 32u
#define CHANNEL_NAME_BYTES_MAX 64u
#define CHANNEL_HELLO_BYTES (4u + 1u + CHANNEL_NAME_BYTES_MAX + 32u + 32u)
#define CHANNEL_ANSWER_BYTES (CHANNEL_HELLO_BYTES + 24u)
#define CHANNEL_CONFIRM_BYTES (24u + 32u)
#define CHANNEL_PLAIN_BYTES_MAX 65536u /* of one record */
#define CHANNEL_BODY_OVERHEAD 17u
#define CHANNEL_HEAD_BYTES 4u
#define CHANNEL_RECORD_BYTES(plain) (CHANNEL_HEAD_BYTES + (plain) + CHANNEL_BODY_OVERHEAD)

struct channel_stream { /* the library's state, opaque here */
    uint64_t state[8];
};

#define CHANNEL_BINDING_BYTES 32u

struct channel {
    struct channel_stream send, recv;
    bool send_ended, recv_ended;
    /* Known to the two ends of this connection and to nobody else, whoever knows the key: what an
     * end signs to prove an identity of its own inside the connection (channel_identity.h). */
    uint8_t binding[CHANNEL_BINDING_BYTES];
};

struct channel_handshake {
    uint8_t key[CHANNEL_KEY_BYTES];
    uint8_t secret[32]; /* X25519 */
    uint8_t own_name[1 + CHANNEL_NAME_BYTES_MAX];
    uint8_t peer_name[1 + CHANNEL_NAME_BYTES_MAX];
    uint8_t hello[CHANNEL_HELLO_BYTES];
    uint8_t confirm_key[32]; /* of the message that is expected, or sent, last */
    uint8_t transcript[64];
    struct channel_stream send;
    uint8_t recv_key[32];
    uint8_t binding[CHANNEL_BINDING_BYTES];
    uint8_t stage; /* 0: not begun, or over */
    bool initiator;
};

/* `peer`: whom the initiator wants to reach; empty: we are the responder. `random`: 32
 * unpredictable bytes, used once. WM_E_INVALID: a name that is empty, too long, or both the same.
 */
WM_MUST_CHECK int channel_begin(struct channel_handshake *handshake,
                                const uint8_t key[CHANNEL_KEY_BYTES], struct wm_view own,
                                struct wm_view peer, const uint8_t random[32],
                                struct wm_diag *diag);
void channel_hello(struct channel_handshake *handshake, uint8_t out[CHANNEL_HELLO_BYTES]);
/* WM_E_MALFORMED: not this protocol; WM_E_FORGED: wrong key, name, or a changed message. After
 * either the handshake is over. */
WM_MUST_CHECK int channel_answer(struct channel_handshake *handshake,
                                 const uint8_t hello[CHANNEL_HELLO_BYTES],
                                 uint8_t out[CHANNEL_ANSWER_BYTES], struct wm_diag *diag);
WM_MUST_CHECK int channel_finish(struct channel_handshake *handshake,
                                 const uint8_t answer[CHANNEL_ANSWER_BYTES],
                                 uint8_t out[CHANNEL_CONFIRM_BYTES], struct channel *channel,
                                 struct wm_diag *diag);
WM_MUST_CHECK int channel_accept(struct channel_handshake *handshake,
                                 const uint8_t confirm[CHANNEL_CONFIRM_BYTES],
                                 struct channel *channel, struct wm_diag *diag);
/* The responder's after channel_accept (before it, only what was claimed). Stays readable after the
 * handshake's end. */
struct wm_view channel_peer_name(const struct channel_handshake *handshake);
void channel_handshake_wipe(struct channel_handshake *handshake);

/* Writes CHANNEL_RECORD_BYTES(plain.len) bytes. plain.len <= CHANNEL_PLAIN_BYTES_MAX. Nothing may
 * be sealed after a final record. */
void channel_seal(struct channel *channel, struct wm_view plain, bool final, uint8_t *out);
/* Bytes of the body that follows this head. WM_E_MALFORMED, WM_E_LIMIT. */
WM_MUST_CHECK int channel_body_bytes(const uint8_t head[CHANNEL_HEAD_BYTES], uint32_t *bytes);
/* `body` is as long as its head said; out has room for CHANNEL_PLAIN_BYTES_MAX. WM_E_FORGED:
 * changed, replayed, out of order; WM_E_INVALID: something after the final record. */
WM_MUST_CHECK int channel_open(struct channel *channel, struct wm_view body, uint8_t *out,
                               uint32_t *bytes, bool *final);
void channel_wipe(struct channel *channel);

#endif
