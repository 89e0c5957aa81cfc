/* fuzz_channel.c: what a stranger may send to a node: handshake messages and records, and a
 * heartbeat. The first byte chooses the message; the rest is laid over a genuine one by XOR, so
 * that inputs near the truth are reached although they are authenticated: only zeros may be
 * accepted. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/channel.h"
#include "node/heartbeat.h"

static const uint8_t key[32] = {1};
static const uint8_t random_a[32] = {2}, random_b[32] = {3};

static bool lay(uint8_t *over, size_t room, const uint8_t *bytes, size_t len)
{
    bool changed = false;
    for (size_t i = 0; i < room && i < len; i++) {
        over[i] ^= bytes[i];
        changed = changed || bytes[i];
    }
    return changed;
}

static void heartbeat(const uint8_t *bytes, size_t len)
{
    struct peers_load load;
    uint64_t boot;
    uint8_t again[PEERS_HEARTBEAT_BYTES];
    if (peers_heartbeat_decode(wm_view_of(bytes, len), &load, &boot) == 0 && bytes[0] == 1) {
        peers_heartbeat_encode(&load, boot, again);
        WM_ASSERT(len == sizeof again && memcmp(again, bytes, len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct channel_handshake a, b;
    static struct channel ca, cb;
    static uint8_t plain[CHANNEL_PLAIN_BYTES_MAX];
    uint8_t hello[CHANNEL_HELLO_BYTES], answer[CHANNEL_ANSWER_BYTES];
    uint8_t confirm[CHANNEL_CONFIRM_BYTES], record[CHANNEL_RECORD_BYTES(64)] = {0};
    if (len == 0) {
        return 0;
    }
    unsigned which = bytes[0] % 5;
    bytes++;
    len--;
    if (which == 4) {
        heartbeat(bytes, len);
        return 0;
    }
    int rc = channel_begin(&a, key, wm_view_str("a"), wm_view_str("b"), random_a, NULL);
    WM_ASSERT(rc == 0);
    rc = channel_begin(&b, key, wm_view_str("b"), wm_view_str(""), random_b, NULL);
    WM_ASSERT(rc == 0);
    channel_hello(&a, hello);
    bool changed = which == 0 && lay(hello, sizeof hello, bytes, len);
    rc = channel_answer(&b, hello, answer, NULL);
    WM_ASSERT((rc == 0) == !changed);
    if (rc != 0) {
        return 0;
    }
    changed = which == 1 && lay(answer, sizeof answer, bytes, len);
    rc = channel_finish(&a, answer, confirm, &ca, NULL);
    WM_ASSERT((rc == 0) == !changed);
    if (rc != 0) {
        return 0;
    }
    changed = which == 2 && lay(confirm, sizeof confirm, bytes, len);
    rc = channel_accept(&b, confirm, &cb, NULL);
    WM_ASSERT((rc == 0) == !changed);
    if (rc != 0) {
        return 0;
    }
    channel_seal(&ca, wm_view_of(plain, 64), false, record);
    changed = which == 3 && lay(record, sizeof record, bytes, len);
    uint32_t body, out;
    bool final;
    if (channel_body_bytes(record, &body) == 0 && body <= sizeof record - CHANNEL_HEAD_BYTES) {
        rc = channel_open(&cb, wm_view_of(record + CHANNEL_HEAD_BYTES, body), plain, &out, &final);
        WM_ASSERT((rc == 0) == !changed);
    }
    return 0;
}
