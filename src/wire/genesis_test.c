/* Genesis and configurations: limits; the bytes are compared by ledger_vectors_test.c. */
#include "wire/genesis.h"

#include <string.h>

#include "base/test.h"

static char name[LEDGER_NAME_BYTES_MAX + 1], address[GENESIS_ADDRESS_BYTES_MAX + 1];
static uint8_t endorsements[LEDGER_REPLICAS_MAX][ENDORSEMENT_BYTES_MAX];
static struct genesis genesis, genesis_read;

static struct wm_view endorsement_of(uint32_t i, uint32_t id)
{
    uint8_t claims[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    struct endorsement_claims said = {.replica = id, .member = id};
    struct cose_statement statement = {0};
    struct cbor_writer inner = cbor_writer_of(claims, sizeof claims);
    struct cbor_writer around = cbor_writer_of(header, sizeof header);
    struct cbor_writer writer = cbor_writer_of(endorsements[i], sizeof endorsements[i]);
    endorsement_claims_put(&inner, &said);
    cose_put_protected(&around, statement.key, false, wm_view_of(claims, inner.len));
    statement.protected_header = wm_view_of(header, around.len);
    cose_put_sign1(&writer, &statement);
    CHECK(cbor_fits(&writer));
    return wm_view_of(endorsements[i], writer.len);
}

/* As large as one may be. */
static void fill(void)
{
    struct configuration *configuration = &genesis.configuration;
    memset(name, 'n', sizeof name - 1);
    memset(address, 'a', sizeof address - 1);
    genesis.name = wm_view_str(name);
    genesis.time_s = UINT64_MAX;
    configuration->member_count = LEDGER_MEMBERS_MAX;
    configuration->replica_count = LEDGER_REPLICAS_MAX;
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t id = UINT32_MAX - 63 + i;
        configuration->members[i] = (struct ledger_member){
            .id = id, .name = wm_view_str(name), .weight = UINT32_MAX / 64, .key = {1, (uint8_t)i}};
        configuration->replicas[i] = (struct ledger_replica){.id = id,
                                                             .key = {2, (uint8_t)i},
                                                             .member = id,
                                                             .address = wm_view_str(address),
                                                             .endorsement = endorsement_of(i, id)};
    }
    configuration->parameters =
        (struct ledger_parameters){LEDGER_PIPELINE_MAX, GENESIS_CHECKPOINT_MAX, LEDGER_BATCH_MAX};
    configuration->rules = (struct ledger_rules){99, 99, 99, 99};
}

TEST(the_largest_genesis_fits)
{
    static uint8_t bytes[GENESIS_BYTES_MAX], again[GENESIS_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct wm_diag diag = WM_DIAG_INIT;
    fill();
    genesis_put(&writer, &genesis);
    REQUIRE(cbor_fits(&writer));
    CHECK_INT(genesis_get(wm_view_of(bytes, writer.len), &genesis_read, &diag), ==, 0);
    CHECK_STR(wm_diag_text(&diag), "no error");
    struct cbor_writer writer_again = cbor_writer_of(again, sizeof again);
    genesis_put(&writer_again, &genesis_read);
    CHECK(writer_again.len == writer.len && memcmp(again, bytes, writer.len) == 0);
    CHECK_INT(genesis_read.configuration.number, ==, 0);

    static struct configuration configuration;
    genesis.configuration.number = LEDGER_SEQNO_MAX;
    writer = cbor_writer_of(bytes, sizeof bytes);
    configuration_put(&writer, &genesis.configuration);
    REQUIRE(cbor_fits(&writer));
    CHECK_INT(configuration_get(wm_view_of(bytes, writer.len), &configuration, NULL), ==, 0);
    CHECK(configuration.number == LEDGER_SEQNO_MAX);
    CHECK(configuration.replicas[63].id == UINT32_MAX);
}

static void refused(const char *why)
{
    static uint8_t bytes[GENESIS_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct wm_diag diag = WM_DIAG_INIT;
    genesis_put(&writer, &genesis);
    CHECK(cbor_fits(&writer));
    CHECK_INT(genesis_get(wm_view_of(bytes, writer.len), &genesis_read, &diag), ==, WM_E_MALFORMED);
    if (!wm_test_check(strstr(wm_diag_text(&diag), why) != NULL, __FILE__, __LINE__, "says why")) {
        wm_test_note("%s, not %s", wm_diag_text(&diag), why);
    }
    fill();
}

TEST(rules_between_the_parts)
{
    struct configuration *configuration = &genesis.configuration;
    fill();
    configuration->members[7].weight += UINT32_MAX % 64 + 1;
    refused("weights have no sum");
    memcpy(configuration->members[9].key, configuration->members[3].key, LEDGER_KEY_BYTES);
    refused("two members have one key");
    configuration->members[5].id = configuration->members[6].id;
    refused("ids of members do not ascend");
    memcpy(configuration->replicas[9].key, configuration->replicas[63].key, LEDGER_KEY_BYTES);
    refused("two replicas have one key");
    memcpy(configuration->replicas[9].key, configuration->members[63].key, LEDGER_KEY_BYTES);
    refused("a replica has the key of a member");
    configuration->replicas[4].member = 1;
    refused("a replica's member does not exist");
    configuration->replicas[4].endorsement = wm_view_str("\xf6");
    refused("not a tag, where one must be");
}

TEST(quorums)
{
    /* N >= 3f + 1, Q = N - f, and two quorums have a correct replica in common. */
    for (uint32_t n = 1; n <= LEDGER_REPLICAS_MAX; n++) {
        uint32_t f = ledger_faulty(n), q = ledger_quorum(n);
        CHECK(n >= 3 * f + 1 && n < 3 * (f + 1) + 1);
        CHECK(q + f == n && 2 * q - n > f);
    }
    CHECK_INT(ledger_faulty(0), ==, 0);
}

TEST_MAIN(TEST_CASE(the_largest_genesis_fits), TEST_CASE(rules_between_the_parts),
          TEST_CASE(quorums))
