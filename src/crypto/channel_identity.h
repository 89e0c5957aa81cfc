/* channel_identity.h: which key is at the other end of a channel.
 *
 * A channel (channel.h) is between two who know one key. Where that key is known to many, as the
 * name of a ledger's service is, it keeps out nobody; what it gives is a connection whose two ends
 * share a secret that nobody in between can have with both. So each end proves who it is by a
 * signature over that secret (the channel's binding), as the first thing that it says inside. One
 * in the middle has two channels with two bindings, and can hand on neither signature.
 *
 *     proof = public key (32 bytes), Ed25519 signature (64)
 *         over "wardmote identity 1", a zero byte, the purpose's length (1 byte) and text, 'I' or
 * 'R' (who signs: initiator or responder), the binding
 *
 * The purpose (1 to 64 bytes) tells what the key is used for here; a proof for one is none for
 * another.
 *
 * Pure. Proofs are hostile. Any thread. */
#ifndef WM_CRYPTO_CHANNEL_IDENTITY_H
#define WM_CRYPTO_CHANNEL_IDENTITY_H

#include "crypto/channel.h"
#include "crypto/sign.h"

#define CHANNEL_PROOF_BYTES (SIGN_PUBLIC_BYTES + SIGN_SIGNATURE_BYTES)
#define CHANNEL_PURPOSE_BYTES_MAX 64u

void channel_prove(const struct channel *channel, bool initiator, const char *purpose,
                   const struct sign_key *key, uint8_t out[CHANNEL_PROOF_BYTES]);
/* The other end's proof. False: it is none; else `key` is whose. `initiator`: whether the other end
 * is. */
WM_MUST_CHECK bool channel_proved(const struct channel *channel, bool initiator,
                                  const char *purpose, struct wm_view proof,
                                  uint8_t key[SIGN_PUBLIC_BYTES]);

#endif
