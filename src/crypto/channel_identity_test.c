/* Who is at the other end, when the channel's key is known to all. */
#include "crypto/channel_identity.h"

#include <string.h>

#include "base/test.h"

static const uint8_t known_key[32] = {42};

/* Two ends of one channel. */
static bool connected(uint8_t seed, struct channel *initiator, struct channel *responder)
{
    struct channel_handshake a, b;
    uint8_t hello[CHANNEL_HELLO_BYTES], answer[CHANNEL_ANSWER_BYTES];
    uint8_t confirm[CHANNEL_CONFIRM_BYTES], random_a[32] = {0, seed, 1},
                                            random_b[32] = {0, seed, 2};
    if (channel_begin(&a, known_key, wm_view_str("a"), wm_view_str("b"), random_a, NULL) != 0 ||
        channel_begin(&b, known_key, wm_view_str("b"), wm_view_str(""), random_b, NULL) != 0) {
        return false;
    }
    channel_hello(&a, hello);
    return channel_answer(&b, hello, answer, NULL) == 0 &&
           channel_finish(&a, answer, confirm, initiator, NULL) == 0 &&
           channel_accept(&b, confirm, responder, NULL) == 0;
}

static struct sign_key key_of(uint8_t seed)
{
    struct sign_key key;
    uint8_t bytes[32] = {seed};
    sign_key_init(&key, bytes);
    return key;
}

TEST(both_ends_prove_themselves)
{
    struct channel initiator, responder;
    uint8_t proof[CHANNEL_PROOF_BYTES], found[SIGN_PUBLIC_BYTES];
    struct sign_key key = key_of(1);
    REQUIRE(connected(1, &initiator, &responder));
    channel_prove(&initiator, true, "ledger replica", &key, proof);
    struct wm_view view = wm_view_of(proof, sizeof proof);
    CHECK(channel_proved(&responder, true, "ledger replica", view, found));
    CHECK(memcmp(found, key.public_key, sizeof found) == 0);
    channel_prove(&responder, false, "ledger replica", &key, proof);
    CHECK(channel_proved(&initiator, false, "ledger replica", view, found));
}

TEST(a_proof_is_for_one_end_of_one_channel_and_one_purpose)
{
    struct channel initiator, responder, other_initiator, other_responder;
    uint8_t proof[CHANNEL_PROOF_BYTES], found[SIGN_PUBLIC_BYTES];
    struct sign_key key = key_of(1);
    REQUIRE(connected(1, &initiator, &responder));
    REQUIRE(connected(2, &other_initiator, &other_responder));
    channel_prove(&initiator, true, "ledger replica", &key, proof);
    struct wm_view view = wm_view_of(proof, sizeof proof);
    CHECK(!channel_proved(&responder, false, "ledger replica", view, found)); /* reflected */
    CHECK(!channel_proved(&responder, true, "ledger client", view, found));
    CHECK(!channel_proved(&responder, true, "ledger replic", view, found));
    CHECK(!channel_proved(&other_responder, true, "ledger replica", view, found)); /* handed on */
    CHECK(!channel_proved(&responder, true, "ledger replica", wm_view_of(proof, 95), found));
    for (size_t bit = 0; bit < 8 * sizeof proof; bit++) {
        proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!channel_proved(&responder, true, "ledger replica", view, found));
        proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

TEST_MAIN(TEST_CASE(both_ends_prove_themselves),
          TEST_CASE(a_proof_is_for_one_end_of_one_channel_and_one_purpose))
