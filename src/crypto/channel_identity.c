/* Signatures over a channel's binding. */
#include "crypto/channel_identity.h"

#include <string.h>

#include "base/assert.h"

static const char label[] = "wardmote identity 1"; /* with its zero byte */

#define COVERED_BYTES_MAX (sizeof label + 1 + CHANNEL_PURPOSE_BYTES_MAX + 1 + CHANNEL_BINDING_BYTES)

static size_t cover(const struct channel *channel, bool initiator, const char *purpose,
                    uint8_t out[COVERED_BYTES_MAX])
{
    size_t len = strlen(purpose);
    uint8_t *at = out;
    WM_ASSERT(len > 0 && len <= CHANNEL_PURPOSE_BYTES_MAX);
    memcpy(at, label, sizeof label);
    at += sizeof label;
    *at++ = (uint8_t)len;
    memcpy(at, purpose, len);
    at += len;
    *at++ = initiator ? 'I' : 'R';
    memcpy(at, channel->binding, sizeof channel->binding);
    at += sizeof channel->binding;
    return (size_t)(at - out);
}

void channel_prove(const struct channel *channel, bool initiator, const char *purpose,
                   const struct sign_key *key, uint8_t out[CHANNEL_PROOF_BYTES])
{
    uint8_t covered[COVERED_BYTES_MAX];
    size_t len = cover(channel, initiator, purpose, covered);
    memcpy(out, key->public_key, SIGN_PUBLIC_BYTES);
    sign_bytes(key, wm_view_of(covered, len), out + SIGN_PUBLIC_BYTES);
    sign_wipe(covered, sizeof covered);
}

bool channel_proved(const struct channel *channel, bool initiator, const char *purpose,
                    struct wm_view proof, uint8_t key[SIGN_PUBLIC_BYTES])
{
    uint8_t covered[COVERED_BYTES_MAX];
    if (proof.len != CHANNEL_PROOF_BYTES) {
        return false;
    }
    size_t len = cover(channel, initiator, purpose, covered);
    bool valid = sign_verify(proof.ptr, wm_view_of(covered, len), proof.ptr + SIGN_PUBLIC_BYTES);
    sign_wipe(covered, sizeof covered);
    if (valid) {
        memcpy(key, proof.ptr, SIGN_PUBLIC_BYTES);
    }
    return valid;
}
