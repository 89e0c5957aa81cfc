/* The channel between nodes, against everything that stands between them. */
#include "crypto/channel.h"

#include <string.h>

#include "base/test.h"

static const uint8_t cluster_key[32] = {1, 2, 3, 4, 5, 6, 7, 8};

struct side {
    struct channel_handshake handshake;
    struct channel channel;
};

struct messages {
    uint8_t hello[CHANNEL_HELLO_BYTES];
    uint8_t answer[CHANNEL_ANSWER_BYTES];
    uint8_t confirm[CHANNEL_CONFIRM_BYTES];
};

static uint8_t fresh; /* makes each side's random bytes differ */

static int begin(struct side *side, const uint8_t key[32], const char *own, const char *peer)
{
    uint8_t random[32];
    memset(random, ++fresh, sizeof random);
    return channel_begin(&side->handshake, key, wm_view_str(own), wm_view_str(peer), random, NULL);
}

static bool connect_sides(struct side *a, struct side *b, struct messages *m)
{
    if (begin(a, cluster_key, "a", "b") != 0 || begin(b, cluster_key, "b", "") != 0) {
        return false;
    }
    channel_hello(&a->handshake, m->hello);
    return channel_answer(&b->handshake, m->hello, m->answer, NULL) == 0 &&
           channel_finish(&a->handshake, m->answer, m->confirm, &a->channel, NULL) == 0 &&
           channel_accept(&b->handshake, m->confirm, &b->channel, NULL) == 0;
}

static uint8_t record[CHANNEL_RECORD_BYTES(CHANNEL_PLAIN_BYTES_MAX)];
static uint8_t plain[CHANNEL_PLAIN_BYTES_MAX];

static size_t seal(struct side *side, const char *text, bool final, uint8_t *out)
{
    channel_seal(&side->channel, wm_view_str(text), final, out);
    return CHANNEL_RECORD_BYTES(strlen(text));
}

static int open_record(struct side *side, const uint8_t *bytes, size_t len, const char *expected,
                       bool *final)
{
    uint32_t body, plain_bytes;
    int rc = channel_body_bytes(bytes, &body);
    if (rc == 0 && body + CHANNEL_HEAD_BYTES != len) {
        return WM_E_MALFORMED;
    }
    if (rc == 0) {
        rc = channel_open(&side->channel, wm_view_of(bytes + CHANNEL_HEAD_BYTES, body), plain,
                          &plain_bytes, final);
    }
    if (rc == 0) {
        CHECK(wm_view_eq_str(wm_view_of(plain, plain_bytes), expected));
    }
    return rc;
}

TEST(both_directions)
{
    struct side a, b;
    struct messages m;
    bool final;
    REQUIRE(connect_sides(&a, &b, &m));
    CHECK(wm_view_eq_str(channel_peer_name(&b.handshake), "a"));
    CHECK(wm_view_eq_str(channel_peer_name(&a.handshake), "b"));
    for (int i = 0; i < 3; i++) {
        size_t len = seal(&a, "ping", false, record);
        CHECK(!memmem(record, len, "ping", 4));
        CHECK_INT(open_record(&b, record, len, "ping", &final), ==, 0);
        CHECK(!final);
        len = seal(&b, "", false, record);
        CHECK_INT(open_record(&a, record, len, "", &final), ==, 0);
    }
    memset(plain, 7, sizeof plain);
    channel_seal(&a.channel, wm_view_of(plain, sizeof plain), true, record);
    uint32_t body, bytes;
    CHECK_INT(channel_body_bytes(record, &body), ==, 0);
    CHECK_INT(channel_open(&b.channel, wm_view_of(record + 4, body), plain, &bytes, &final), ==, 0);
    CHECK_INT(bytes, ==, CHANNEL_PLAIN_BYTES_MAX);
    CHECK(final);
    /* After the end there is nothing more. */
    CHECK_INT(channel_open(&b.channel, wm_view_of(record + 4, body), plain, &bytes, &final), ==,
              WM_E_INVALID);
    /* Secrets do not outlive the handshake. */
    struct channel_handshake zero;
    memset(&zero, 0, sizeof zero);
    memcpy(zero.peer_name, a.handshake.peer_name, sizeof zero.peer_name);
    CHECK(memcmp(&zero, &a.handshake, sizeof zero) == 0);
    channel_wipe(&a.channel);
    channel_wipe(&b.channel);
}

TEST(every_changed_bit_of_the_handshake_is_refused)
{
    struct side a, b;
    struct messages m;
    for (size_t bit = 0; bit < CHANNEL_HELLO_BYTES * 8; bit++) {
        REQUIRE(begin(&a, cluster_key, "a", "b") == 0 && begin(&b, cluster_key, "b", "") == 0);
        channel_hello(&a.handshake, m.hello);
        m.hello[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = channel_answer(&b.handshake, m.hello, m.answer, NULL);
        CHECK(rc == WM_E_FORGED || rc == WM_E_MALFORMED);
    }
    for (size_t bit = 0; bit < CHANNEL_ANSWER_BYTES * 8; bit++) {
        REQUIRE(begin(&a, cluster_key, "a", "b") == 0 && begin(&b, cluster_key, "b", "") == 0);
        channel_hello(&a.handshake, m.hello);
        REQUIRE(channel_answer(&b.handshake, m.hello, m.answer, NULL) == 0);
        m.answer[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = channel_finish(&a.handshake, m.answer, m.confirm, &a.channel, NULL);
        CHECK(rc == WM_E_FORGED || rc == WM_E_MALFORMED);
    }
    for (size_t bit = 0; bit < CHANNEL_CONFIRM_BYTES * 8; bit++) {
        REQUIRE(begin(&a, cluster_key, "a", "b") == 0 && begin(&b, cluster_key, "b", "") == 0);
        channel_hello(&a.handshake, m.hello);
        REQUIRE(channel_answer(&b.handshake, m.hello, m.answer, NULL) == 0);
        REQUIRE(channel_finish(&a.handshake, m.answer, m.confirm, &a.channel, NULL) == 0);
        m.confirm[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_INT(channel_accept(&b.handshake, m.confirm, &b.channel, NULL), ==, WM_E_FORGED);
    }
}

TEST(every_changed_bit_of_a_record_is_refused)
{
    struct side a, b;
    struct messages m;
    for (size_t bit = 0; bit < CHANNEL_RECORD_BYTES(5) * 8; bit++) {
        bool final;
        REQUIRE(connect_sides(&a, &b, &m));
        size_t len = seal(&a, "hello", false, record);
        record[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(open_record(&b, record, len, "", &final) != 0);
    }
}

TEST(replay_reorder_drop_and_truncate)
{
    struct side a, b;
    struct messages m;
    uint8_t first[64], second[64];
    bool final;
    REQUIRE(connect_sides(&a, &b, &m));
    size_t len = seal(&a, "first", false, first);
    size_t len2 = seal(&a, "second", false, second);
    struct side other = b;
    CHECK_INT(open_record(&other, second, len2, "", &final), ==, WM_E_FORGED); /* out of order */
    other = b;
    CHECK_INT(open_record(&other, first, len, "first", &final), ==, 0);
    CHECK_INT(open_record(&other, first, len, "", &final), ==, WM_E_FORGED); /* again */
    other = b;
    for (uint32_t cut = 0; cut < len - CHANNEL_HEAD_BYTES; cut++) {
        uint32_t bytes;
        other = b;
        CHECK(channel_open(&other.channel, wm_view_of(first + 4, cut), plain, &bytes, &final) < 0);
    }
    /* A record sent back to its sender. */
    CHECK_INT(open_record(&a, first, len, "", &final), ==, WM_E_FORGED);
    /* Heads that cannot be. */
    uint32_t body;
    static const uint8_t small[4] = {16, 0, 0, 0}, large[4] = {18, 0, 1, 0},
                         most[4] = {17, 0, 1, 0};
    CHECK_INT(channel_body_bytes(small, &body), ==, WM_E_MALFORMED);
    CHECK_INT(channel_body_bytes(large, &body), ==, WM_E_LIMIT);
    CHECK_INT(channel_body_bytes(most, &body), ==, 0);
}

TEST(wrong_key_wrong_name)
{
    static const uint8_t other_key[32] = {9};
    struct side a, b;
    struct messages m;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(begin(&a, other_key, "a", "b") == 0 && begin(&b, cluster_key, "b", "") == 0);
    channel_hello(&a.handshake, m.hello);
    CHECK_INT(channel_answer(&b.handshake, m.hello, m.answer, &diag), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "cluster's key") != NULL);
    /* Meant for c, came to b: the relay of another node's connection. */
    REQUIRE(begin(&a, cluster_key, "a", "c") == 0 && begin(&b, cluster_key, "b", "") == 0);
    channel_hello(&a.handshake, m.hello);
    CHECK_INT(channel_answer(&b.handshake, m.hello, m.answer, NULL), ==, WM_E_FORGED);
    /* b's name is not the one that was expected: c answers what was meant for b, as b's neighbour
     * that holds the key could. */
    REQUIRE(begin(&a, cluster_key, "a", "b") == 0 && begin(&b, cluster_key, "b", "") == 0);
    channel_hello(&a.handshake, m.hello);
    REQUIRE(channel_answer(&b.handshake, m.hello, m.answer, NULL) == 0);
    m.answer[4 + 1] = 'c';
    diag = (struct wm_diag)WM_DIAG_INIT;
    CHECK_INT(channel_finish(&a.handshake, m.answer, m.confirm, &a.channel, &diag), ==,
              WM_E_FORGED);
    CHECK(strstr(diag.text, "\"c\"") != NULL);
    /* Names that cannot be. */
    char name[CHANNEL_NAME_BYTES_MAX + 2];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    CHECK_INT(begin(&a, cluster_key, name, "b"), ==, WM_E_INVALID);
    CHECK_INT(begin(&a, cluster_key, "", "b"), ==, WM_E_INVALID);
    CHECK_INT(begin(&a, cluster_key, "a", name), ==, WM_E_INVALID);
    CHECK_INT(begin(&a, cluster_key, "a", "a"), ==, WM_E_INVALID);
    name[CHANNEL_NAME_BYTES_MAX] = 0;
    CHECK_INT(begin(&a, cluster_key, name, "b"), ==, 0);
}

TEST(reflection_and_replayed_handshakes)
{
    struct side a, a2, b;
    struct messages m, old;
    REQUIRE(connect_sides(&a, &b, &old));
    /* a's own first message comes back to a as somebody's call. */
    REQUIRE(begin(&a2, cluster_key, "a", "") == 0);
    CHECK_INT(channel_answer(&a2.handshake, old.hello, m.answer, NULL), ==, WM_E_FORGED);
    /* The answer is a's own first message with the magic changed. */
    REQUIRE(begin(&a2, cluster_key, "a", "b") == 0);
    channel_hello(&a2.handshake, m.hello);
    memset(m.answer, 0, sizeof m.answer);
    memcpy(m.answer, m.hello, sizeof m.hello);
    memcpy(m.answer, "WMC2", 4);
    CHECK_INT(channel_finish(&a2.handshake, m.answer, m.confirm, &a2.channel, NULL), ==,
              WM_E_FORGED);
    /* An old connection's messages: the first is answered, but the last does not fit. */
    REQUIRE(begin(&b, cluster_key, "b", "") == 0);
    CHECK_INT(channel_answer(&b.handshake, old.hello, m.answer, NULL), ==, 0);
    CHECK_INT(channel_accept(&b.handshake, old.confirm, &b.channel, NULL), ==, WM_E_FORGED);
    /* And an old answer is none to a new first message. */
    REQUIRE(begin(&a, cluster_key, "a", "b") == 0);
    channel_hello(&a.handshake, m.hello);
    CHECK_INT(channel_finish(&a.handshake, old.answer, m.confirm, &a.channel, NULL), ==,
              WM_E_FORGED);
}

TEST(two_connections_do_not_mix)
{
    struct side a, b, c, d;
    struct messages m;
    bool final;
    REQUIRE(connect_sides(&a, &b, &m));
    REQUIRE(connect_sides(&c, &d, &m));
    size_t len = seal(&a, "x", false, record);
    CHECK_INT(open_record(&d, record, len, "", &final), ==, WM_E_FORGED);
}

/* Computed by another implementation; doc/format/peers.md shows it. */
TEST(known_first_message)
{
    static const uint8_t tail[] = {0x79, 0xa6, 0x31, 0xee, 0xde, 0x1b, 0xf9, 0xc9, 0x8f, 0x12, 0x03,
                                   0x2c, 0xde, 0xad, 0xd0, 0xe7, 0xa0, 0x79, 0x39, 0x8f, 0xc7, 0x86,
                                   0xb8, 0x8c, 0xc8, 0x46, 0xec, 0x89, 0xaf, 0x85, 0xa5, 0x1a, 0xcc,
                                   0x9b, 0x3d, 0x7e, 0x9d, 0x98, 0x52, 0xd7, 0x9a, 0x47, 0xd2, 0x6c,
                                   0x3c, 0x25, 0xc1, 0x2e, 0x5d, 0xd8, 0x48, 0x4f, 0x66, 0x26, 0x21,
                                   0xa7, 0xc3, 0x63, 0x84, 0x7a, 0x4f, 0xa6, 0x81, 0x68};
    uint8_t key[32], random[32], expected[CHANNEL_HELLO_BYTES] = "WMC1\003one",
                                 hello[CHANNEL_HELLO_BYTES];
    for (int i = 0; i < 32; i++) {
        key[i] = (uint8_t)i;
        random[i] = (uint8_t)(0x40 + i);
    }
    memcpy(expected + sizeof expected - sizeof tail, tail, sizeof tail);
    struct channel_handshake handshake;
    REQUIRE(channel_begin(&handshake, key, wm_view_str("one"), wm_view_str("two"), random, NULL) ==
            0);
    channel_hello(&handshake, hello);
    CHECK(memcmp(hello, expected, sizeof hello) == 0);
}

TEST_MAIN(TEST_CASE(known_first_message), TEST_CASE(both_directions),
          TEST_CASE(every_changed_bit_of_the_handshake_is_refused),
          TEST_CASE(every_changed_bit_of_a_record_is_refused),
          TEST_CASE(replay_reorder_drop_and_truncate), TEST_CASE(wrong_key_wrong_name),
          TEST_CASE(reflection_and_replayed_handshakes), TEST_CASE(two_connections_do_not_mix))
