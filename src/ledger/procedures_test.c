/* What the built-in procedures do, refuse, and say about it; through the executor, as everybody
 * reaches them. */
#include <string.h>

#include "base/test.h"
#include "crypto/hash.h"
#include "ledger/builtin.h"
#include "ledger/ledger_fake.h"
#include "proof/receipt.h"
#include "proof/statement.h"

static struct fake_ledger ledger;
static struct fake_arguments arguments;

#define CALL(who, procedure, result, ...) \
    fake_call(&ledger, who, procedure, fake_array(&arguments, __VA_ARGS__), result)
#define BYTES(text) wm_view_str(text)

/* Is the result this one item? */
static bool is_bytes(struct wm_view result, const char *text)
{
    struct cbor_reader reader = cbor_reader_of(result);
    struct wm_view bytes;
    return cbor_bytes(&reader, &bytes) && cbor_end(&reader) && wm_view_eq_str(bytes, text);
}

static bool is_int(struct wm_view result, int64_t wanted)
{
    struct cbor_reader reader = cbor_reader_of(result);
    int64_t number = 0;
    return cbor_int(&reader, &number) && cbor_end(&reader) && number == wanted;
}

static bool is_byte(struct wm_view result, uint8_t byte)
{
    return result.len == 1 && result.ptr[0] == byte;
}

#define NULL_BYTE 0xf6
#define FALSE_BYTE 0xf4
#define TRUE_BYTE 0xf5

TEST(every_builtin_has_a_name_a_digest_and_strict_arguments)
{
    static const uint8_t junk[] = {0x80, 0x81, 0x82, 0x83, 0xa0, 0x01, 0xff, 0x40, 0x60};
    fake_start(&ledger, &(struct fake_options){0});
    uint32_t count = table_count(&ledger.table);
    CHECK_INT(count, ==, 4 + 4 + 2 + 8 + 2);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = table_name(&ledger.table, i);
        for (uint32_t k = 0; k < i; k++) {
            CHECK(strcmp(name, table_name(&ledger.table, k)) != 0);
        }
        if (strcmp(name, "echo") == 0) {
            continue;
        }
        for (uint32_t k = 0; k < sizeof junk; k++) {
            struct wm_view result;
            uint32_t code = fake_call(&ledger, 0, name, wm_view_of(&junk[k], 1), &result);
            CHECK_INT(code, ==, PROCEDURE_ARGUMENTS);
            CHECK_INT(result.len, ==, 0);
        }
    }
    struct transaction_item item;
    ledger_hash digest;
    CHECK_INT(fake_call(&ledger, 0, "echo", BYTES("x"), NULL), ==, PROCEDURE_DONE);
    kept_item(executor_batch(ledger.executor, executor_tip(ledger.executor)), 0, &item);
    wm_sha256_once(wm_view_str("wardmote:echo:1"), digest);
    CHECK(memcmp(item.output.procedure, digest, sizeof digest) == 0);
    CHECK_INT(item.output.fuel_version, ==, 0);
    CHECK_INT(fake_call(&ledger, 0, "nothing", BYTES("x"), NULL), ==, PROCEDURE_UNKNOWN);
    fake_stop(&ledger);
}

TEST(echo_and_empty)
{
    struct wm_view result;
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(fake_call(&ledger, 0, "echo", BYTES("any bytes"), &result), ==, PROCEDURE_DONE);
    CHECK(wm_view_eq_str(result, "any bytes"));
    CHECK_INT(fake_call(&ledger, 0, "empty", BYTES(""), &result), ==, PROCEDURE_DONE);
    CHECK_INT(result.len, ==, 0);
    CHECK_INT(fake_call(&ledger, 0, "empty", BYTES("x"), &result), ==, PROCEDURE_ARGUMENTS);
    fake_stop(&ledger);
}

TEST(kv_keys_belong_to_who_signs)
{
    struct wm_view result;
    fake_start(&ledger, &(struct fake_options){0});
    struct wm_view owner = wm_view_of(fake_key(&ledger, 0), COSE_KEY_BYTES);
    CHECK_INT(CALL(0, "kv.put", &result, "bb", BYTES("k"), BYTES("mine")), ==, PROCEDURE_DONE);
    CHECK_INT(result.len, ==, 0);
    CHECK_INT(CALL(0, "kv.get", &result, "bn", BYTES("k")), ==, PROCEDURE_DONE);
    CHECK(is_bytes(result, "mine"));
    CHECK_INT(CALL(1, "kv.get", &result, "bn", BYTES("k")), ==, PROCEDURE_DONE);
    CHECK(is_byte(result, NULL_BYTE));
    CHECK_INT(CALL(1, "kv.get", &result, "bb", BYTES("k"), owner), ==, PROCEDURE_DONE);
    CHECK(is_bytes(result, "mine"));
    CHECK_INT(CALL(1, "kv.put", &result, "bb", BYTES("k"), BYTES("other")), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(0, "kv.get", &result, "bn", BYTES("k")), ==, PROCEDURE_DONE);
    CHECK(is_bytes(result, "mine"));
    CHECK_INT(CALL(1, "kv.remove", &result, "b", BYTES("k")), ==, PROCEDURE_DONE);
    CHECK(is_byte(result, TRUE_BYTE));
    CHECK_INT(CALL(1, "kv.remove", &result, "b", BYTES("k")), ==, PROCEDURE_DONE);
    CHECK(is_byte(result, FALSE_BYTE));
    CHECK_INT(CALL(1, "kv.get", &result, "bb", BYTES("k"), owner), ==, PROCEDURE_DONE);
    CHECK(is_bytes(result, "mine"));
    /* An owner is a key, and a key has a length. */
    CHECK_INT(CALL(1, "kv.get", &result, "bb", BYTES("k"), BYTES("short")), ==,
              PROCEDURE_ARGUMENTS);
    uint8_t longest[201] = {1};
    CHECK_INT(CALL(0, "kv.put", NULL, "bb", wm_view_of(longest, 200), BYTES("")), ==,
              PROCEDURE_DONE);
    CHECK_INT(CALL(0, "kv.put", NULL, "bb", wm_view_of(longest, 201), BYTES("")), ==,
              PROCEDURE_ARGUMENTS);
    CHECK_INT(CALL(0, "kv.put", NULL, "bb", BYTES(""), BYTES("")), ==, PROCEDURE_ARGUMENTS);
    fake_stop(&ledger);
}

TEST(kv_public_keys_are_everybody_s)
{
    struct wm_view result;
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(CALL(0, "kv.put", NULL, "bb", BYTES("public/k"), BYTES("1")), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(1, "kv.get", &result, "bn", BYTES("public/k")), ==, PROCEDURE_DONE);
    CHECK(is_bytes(result, "1"));
    CHECK_INT(CALL(1, "kv.put", NULL, "bb", BYTES("public/k"), BYTES("2")), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(0, "kv.get", &result, "bn", BYTES("public/k")), ==, PROCEDURE_DONE);
    CHECK(is_bytes(result, "2"));
    /* The bare prefix names nothing in it: it is a key of the client's own. */
    CHECK_INT(CALL(0, "kv.put", NULL, "bb", BYTES("public/"), BYTES("3")), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(1, "kv.get", &result, "bn", BYTES("public/")), ==, PROCEDURE_DONE);
    CHECK(is_byte(result, NULL_BYTE));
    fake_stop(&ledger);
}

TEST(kv_cas_swaps_what_is_as_expected)
{
    struct wm_view result;
    fake_start(&ledger, &(struct fake_options){0});
    struct wm_view key = BYTES("public/lock");
    CHECK_INT(CALL(0, "kv.cas", &result, "bbb", key, BYTES("0"), BYTES("1")), ==,
              PROCEDURE_REFUSED);
    CHECK(is_byte(result, NULL_BYTE));
    CHECK_INT(CALL(0, "kv.cas", &result, "bnb", key, BYTES("1")), ==, PROCEDURE_DONE);
    CHECK_INT(result.len, ==, 0);
    CHECK_INT(CALL(1, "kv.cas", &result, "bnb", key, BYTES("2")), ==, PROCEDURE_REFUSED);
    CHECK(is_bytes(result, "1"));
    CHECK_INT(CALL(1, "kv.cas", &result, "bbb", key, BYTES("1"), BYTES("")), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(1, "kv.cas", &result, "bnn", key), ==, PROCEDURE_REFUSED); /* "" is not null */
    CHECK(is_bytes(result, ""));
    CHECK_INT(CALL(1, "kv.cas", &result, "bbn", key, BYTES("")), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(1, "kv.cas", &result, "bnn", key), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(1, "kv.get", &result, "bn", key), ==, PROCEDURE_DONE);
    CHECK(is_byte(result, NULL_BYTE));
    fake_stop(&ledger);
}

/* --- Registers --- */

struct reg_seen {
    uint64_t epoch, moves;
    struct wm_view holder, root, successor, owner;
};

static bool read_register(struct wm_view result, struct reg_seen *out)
{
    struct cbor_reader reader = cbor_reader_of(result);
    *out = (struct reg_seen){0};
    return cbor_array_of(&reader, 6) && cbor_uint(&reader, &out->epoch) &&
           cbor_uint(&reader, &out->moves) && cbor_bytes(&reader, &out->holder) &&
           cbor_bytes(&reader, &out->root) &&
           (cbor_peek(&reader) == CBOR_BYTES ? cbor_bytes(&reader, &out->successor)
                                             : cbor_null(&reader)) &&
           (cbor_peek(&reader) == CBOR_BYTES ? cbor_bytes(&reader, &out->owner)
                                             : cbor_null(&reader)) &&
           cbor_end(&reader);
}

static const uint8_t id_bytes[16] = "an enclave's id";
static uint8_t roots[4][32] = {{1}, {2}, {3}, {4}};
#define ID wm_view_of(id_bytes, sizeof id_bytes)
#define ROOT(k) wm_view_of(roots[k], sizeof roots[k])
#define KEY(who) wm_view_of(fake_key(&ledger, who), COSE_KEY_BYTES)
#define U(number) ((uint64_t)(number))

/* Does the register, as this result has it, have these? */
#define CHECK_REGISTER(result, epoch_, moves_, holder_, root_) \
    do {                                                       \
        struct reg_seen reg;                                   \
        REQUIRE(read_register(result, &reg));                  \
        CHECK_INT(reg.epoch, ==, epoch_);                      \
        CHECK_INT(reg.moves, ==, moves_);                      \
        CHECK(wm_view_eq(reg.holder, KEY(holder_)));           \
        CHECK(wm_view_eq(reg.root, ROOT(root_)));              \
    } while (0)

TEST(register_refuses_an_old_disk)
{
    struct wm_view result;
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(CALL(0, "register.read", &result, "b", ID), ==, PROCEDURE_DONE);
    CHECK(is_byte(result, NULL_BYTE));
    CHECK_INT(CALL(0, "register.claim", &result, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_REFUSED);
    CHECK(is_byte(result, NULL_BYTE));
    CHECK_INT(CALL(0, "register.claim", &result, "bubn", ID, U(0), ROOT(0)), ==, PROCEDURE_DONE);
    CHECK_REGISTER(result, 1, 0, 0, 0);
    CHECK_INT(CALL(0, "register.advance", &result, "bubb", ID, U(1), ROOT(0), ROOT(1)), ==,
              PROCEDURE_DONE);
    CHECK_REGISTER(result, 1, 0, 0, 1);
    /* A copy of the disk as it was before. */
    CHECK_INT(CALL(0, "register.claim", &result, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_REFUSED);
    CHECK_REGISTER(result, 1, 0, 0, 1);
    CHECK_INT(CALL(0, "register.advance", &result, "bubb", ID, U(1), ROOT(0), ROOT(2)), ==,
              PROCEDURE_REFUSED);
    CHECK_REGISTER(result, 1, 0, 0, 1);
    /* Restarted with the newest one. */
    CHECK_INT(CALL(0, "register.claim", &result, "bubn", ID, U(1), ROOT(1)), ==, PROCEDURE_DONE);
    CHECK_REGISTER(result, 2, 0, 0, 1);
    /* The one that ran before is out. */
    CHECK_INT(CALL(0, "register.advance", &result, "bubb", ID, U(1), ROOT(1), ROOT(2)), ==,
              PROCEDURE_REFUSED);
    CHECK_REGISTER(result, 2, 0, 0, 1);
    CHECK_INT(CALL(0, "register.claim", &result, "bubn", ID, U(0), ROOT(1)), ==, PROCEDURE_REFUSED);
    fake_stop(&ledger);
}

TEST(register_is_held_by_one)
{
    struct wm_view result;
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(CALL(0, "register.claim", NULL, "bubn", ID, U(0), ROOT(0)), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(1, "register.claim", &result, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_REFUSED);
    CHECK_REGISTER(result, 1, 0, 0, 0);
    CHECK_INT(CALL(1, "register.advance", NULL, "bubb", ID, U(1), ROOT(0), ROOT(1)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(1, "register.release", NULL, "bubb", ID, U(1), ROOT(0), KEY(1)), ==,
              PROCEDURE_REFUSED);
    /* It moves: once offered it stands still. */
    CHECK_INT(CALL(0, "register.release", &result, "bubb", ID, U(1), ROOT(0), KEY(1)), ==,
              PROCEDURE_DONE);
    CHECK_REGISTER(result, 1, 0, 0, 0);
    CHECK_INT(CALL(0, "register.advance", NULL, "bubb", ID, U(1), ROOT(0), ROOT(1)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(2, "register.claim", NULL, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_REFUSED);
    CHECK_INT(CALL(1, "register.claim", &result, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_DONE);
    CHECK_REGISTER(result, 2, 1, 1, 0);
    /* Too late to take it back. */
    CHECK_INT(CALL(0, "register.claim", &result, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "register.claim", &result, "bubn", ID, U(2), ROOT(0)), ==, PROCEDURE_REFUSED);
    CHECK_INT(CALL(1, "register.advance", &result, "bubb", ID, U(2), ROOT(0), ROOT(1)), ==,
              PROCEDURE_DONE);
    CHECK_REGISTER(result, 2, 1, 1, 1);
    fake_stop(&ledger);
}

TEST(register_taken_back_stays)
{
    struct wm_view result;
    struct reg_seen seen;
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(CALL(0, "register.claim", NULL, "bubn", ID, U(0), ROOT(0)), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(0, "register.release", &result, "bubb", ID, U(1), ROOT(0), KEY(1)), ==,
              PROCEDURE_DONE);
    REQUIRE(read_register(result, &seen));
    CHECK(wm_view_eq(seen.successor, KEY(1)));
    CHECK_INT(CALL(0, "register.claim", &result, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_DONE);
    CHECK_REGISTER(result, 2, 0, 0, 0);
    REQUIRE(read_register(result, &seen));
    CHECK_INT(seen.successor.len, ==, 0);
    CHECK_INT(CALL(1, "register.claim", &result, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_REFUSED);
    CHECK_INT(CALL(1, "register.claim", &result, "bubn", ID, U(2), ROOT(0)), ==, PROCEDURE_REFUSED);
    fake_stop(&ledger);
}

TEST(register_owner_replaces_a_lost_holder)
{
    struct wm_view result;
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(CALL(0, "register.claim", NULL, "bubb", ID, U(0), ROOT(0), KEY(3)), ==,
              PROCEDURE_DONE);
    /* An owner is named at the first claim only. */
    CHECK_INT(CALL(0, "register.claim", NULL, "bubb", ID, U(1), ROOT(0), KEY(2)), ==,
              PROCEDURE_ARGUMENTS);
    CHECK_INT(CALL(3, "register.claim", NULL, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_REFUSED);
    CHECK_INT(CALL(3, "register.advance", NULL, "bubb", ID, U(1), ROOT(0), ROOT(1)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(3, "register.release", NULL, "bubb", ID, U(1), ROOT(1), KEY(2)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(3, "register.release", NULL, "bubb", ID, U(1), ROOT(0), KEY(2)), ==,
              PROCEDURE_DONE);
    CHECK_INT(CALL(2, "register.claim", &result, "bubn", ID, U(1), ROOT(0)), ==, PROCEDURE_DONE);
    CHECK_REGISTER(result, 2, 1, 2, 0);
    /* Ids have a length. */
    CHECK_INT(CALL(0, "register.read", NULL, "b", wm_view_of(id_bytes, 15)), ==,
              PROCEDURE_ARGUMENTS);
    uint8_t longest[65] = {0};
    CHECK_INT(CALL(0, "register.read", NULL, "b", wm_view_of(longest, 64)), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(0, "register.read", NULL, "b", wm_view_of(longest, 65)), ==,
              PROCEDURE_ARGUMENTS);
    fake_stop(&ledger);
}

/* --- Anchors --- */

struct root_bytes {
    uint8_t bytes[COSE_SIGN1_BYTES_MAX];
    size_t len;
    uint8_t name[32];
};

/* A signed root after `previous` (NULL: another chain). */
static struct wm_view make_root(const struct sign_key *key, uint64_t run, uint64_t sequence,
                                uint64_t second, const struct root_bytes *previous,
                                struct root_bytes *out)
{
    struct record_root root = {.node = wm_view_str("node"),
                               .run = run,
                               .sequence = sequence,
                               .second = second,
                               .tree_size = 1};
    uint8_t claims[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX],
        payload[COSE_PAYLOAD_BYTES] = {(uint8_t)sequence};
    struct cbor_writer writer = cbor_writer_of(claims, sizeof claims);
    struct cose_statement statement;
    struct signed_root read;
    struct wm_diag diag = WM_DIAG_INIT;
    memset(root.previous, sequence > 0 ? 0xee : 0, sizeof root.previous);
    if (previous) {
        memcpy(root.previous, previous->name, sizeof root.previous);
    }
    record_root_put(&writer, &root);
    statement_sign(key, true, wm_view_of(claims, writer.len), payload, header, &statement);
    writer = cbor_writer_of(out->bytes, sizeof out->bytes);
    cose_put_sign1(&writer, &statement);
    out->len = writer.len;
    struct wm_view bytes = wm_view_of(out->bytes, out->len);
    if (signed_root_verify(bytes, NULL, &read, &diag) != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
        CHECK(!"a root that verifies");
    }
    memcpy(out->name, read.signed_sha256, sizeof out->name);
    return bytes;
}

/* run, sequence of an anchor in a result */
static bool is_anchor(struct wm_view result, uint64_t run, uint64_t sequence)
{
    struct cbor_reader reader = cbor_reader_of(result);
    uint64_t got_run = 0, got_sequence = 0;
    return cbor_array_of(&reader, 6) && cbor_uint(&reader, &got_run) &&
           cbor_uint(&reader, &got_sequence) && got_run == run && got_sequence == sequence;
}

TEST(anchor_keeps_the_newest_root_of_a_node)
{
    static struct root_bytes first, second, other, later;
    struct sign_key key, another;
    struct wm_view result;
    fake_start(&ledger, &(struct fake_options){0});
    sign_key_init(&key, (const uint8_t[32]){5});
    sign_key_init(&another, (const uint8_t[32]){6});
    struct wm_view node = wm_view_of(key.public_key, sizeof key.public_key);
    CHECK_INT(CALL(0, "anchor.get", &result, "b", node), ==, PROCEDURE_DONE);
    CHECK(is_byte(result, NULL_BYTE));

    make_root(&key, 1, 7, 100, NULL, &first);
    CHECK_INT(fake_call(&ledger, 0, "anchor.put", wm_view_of(first.bytes, first.len), &result), ==,
              PROCEDURE_DONE);
    CHECK(is_anchor(result, 1, 7));
    /* The next one has to name it... */
    CHECK_INT(
        fake_call(&ledger, 0, "anchor.put", make_root(&key, 1, 8, 101, NULL, &other), &result), ==,
        PROCEDURE_REFUSED);
    CHECK(is_anchor(result, 1, 7));
    CHECK_INT(
        fake_call(&ledger, 0, "anchor.put", make_root(&key, 1, 8, 101, &first, &second), &result),
        ==, PROCEDURE_DONE);
    CHECK(is_anchor(result, 1, 8));
    /* ... an old one, and another of that number, come too late ... */
    CHECK_INT(fake_call(&ledger, 0, "anchor.put", wm_view_of(first.bytes, first.len), &result), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(fake_call(&ledger, 0, "anchor.put", wm_view_of(other.bytes, other.len), &result), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(fake_call(&ledger, 0, "anchor.put", wm_view_of(second.bytes, second.len), &result),
              ==, PROCEDURE_REFUSED);
    /* ... and one further on must not go back in time, or to an earlier run. */
    CHECK_INT(
        fake_call(&ledger, 0, "anchor.put", make_root(&key, 1, 20, 101, NULL, &later), &result), ==,
        PROCEDURE_REFUSED);
    CHECK_INT(
        fake_call(&ledger, 0, "anchor.put", make_root(&key, 0, 20, 200, NULL, &later), &result), ==,
        PROCEDURE_REFUSED);
    CHECK_INT(
        fake_call(&ledger, 0, "anchor.put", make_root(&key, 2, 20, 200, NULL, &later), &result), ==,
        PROCEDURE_DONE);
    CHECK(is_anchor(result, 2, 20));
    /* Another node has its own. */
    CHECK_INT(
        fake_call(&ledger, 0, "anchor.put", make_root(&another, 1, 1, 1, NULL, &other), &result),
        ==, PROCEDURE_DONE);
    CHECK_INT(CALL(0, "anchor.get", &result, "b", node), ==, PROCEDURE_DONE);
    CHECK(is_anchor(result, 2, 20));
    /* One flipped bit is not a root. */
    later.bytes[later.len - 1] ^= 1;
    CHECK_INT(fake_call(&ledger, 0, "anchor.put", wm_view_of(later.bytes, later.len), &result), ==,
              PROCEDURE_ARGUMENTS);
    fake_stop(&ledger);
}

/* --- SmallBank --- */

#define I(number) ((int64_t)(number))

static int64_t balance_of(uint64_t account)
{
    struct wm_view result;
    int64_t balance = -999;
    if (CALL(0, "smallbank.balance", &result, "u", account) == PROCEDURE_DONE) {
        struct cbor_reader reader = cbor_reader_of(result);
        CHECK(cbor_int(&reader, &balance) && cbor_end(&reader));
    }
    return balance;
}

TEST(smallbank_operations)
{
    struct wm_view result;
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(CALL(0, "smallbank.create_account", NULL, "uii", U(1), I(100), I(50)), ==,
              PROCEDURE_DONE);
    CHECK_INT(CALL(0, "smallbank.create_account", NULL, "uii", U(1), I(1), I(1)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.create_account", NULL, "uii", U(2), I(10), I(5)), ==,
              PROCEDURE_DONE);
    CHECK_INT(CALL(0, "smallbank.balance", &result, "u", U(1)), ==, PROCEDURE_DONE);
    CHECK(is_int(result, 150));
    CHECK_INT(CALL(0, "smallbank.balance", NULL, "u", U(3)), ==, PROCEDURE_REFUSED);

    CHECK_INT(CALL(0, "smallbank.deposit_checking", NULL, "uu", U(1), U(7)), ==, PROCEDURE_DONE);
    CHECK_INT(balance_of(1), ==, 157);
    CHECK_INT(CALL(0, "smallbank.deposit_checking", NULL, "ui", U(1), I(-7)), ==,
              PROCEDURE_ARGUMENTS);

    CHECK_INT(CALL(0, "smallbank.transact_savings", NULL, "ui", U(1), I(-50)), ==, PROCEDURE_DONE);
    CHECK_INT(CALL(0, "smallbank.transact_savings", NULL, "ui", U(1), I(-1)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.transact_savings", NULL, "ui", U(1), I(3)), ==, PROCEDURE_DONE);
    CHECK_INT(balance_of(1), ==, 110); /* 107 and 3 */

    CHECK_INT(CALL(0, "smallbank.send_payment", NULL, "uuu", U(1), U(2), U(108)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.send_payment", NULL, "uuu", U(1), U(1), U(1)), ==,
              PROCEDURE_ARGUMENTS);
    CHECK_INT(CALL(0, "smallbank.send_payment", NULL, "uuu", U(1), U(9), U(1)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.send_payment", NULL, "uuu", U(1), U(2), U(7)), ==, PROCEDURE_DONE);
    CHECK_INT(balance_of(1), ==, 103);
    CHECK_INT(balance_of(2), ==, 22);

    CHECK_INT(CALL(0, "smallbank.write_check", NULL, "uu", U(1), U(103)), ==, PROCEDURE_DONE);
    CHECK_INT(balance_of(1), ==, 0);
    CHECK_INT(CALL(0, "smallbank.write_check", NULL, "uu", U(1), U(10)), ==, PROCEDURE_DONE);
    CHECK_INT(balance_of(1), ==, -11); /* with the penalty */

    CHECK_INT(CALL(0, "smallbank.amalgamate", NULL, "uu", U(2), U(1)), ==, PROCEDURE_DONE);
    CHECK_INT(balance_of(1), ==, 11);
    CHECK_INT(balance_of(2), ==, 0);
    fake_stop(&ledger);
}

TEST(smallbank_sums_do_not_wrap)
{
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(CALL(0, "smallbank.create_account", NULL, "uii", U(1), INT64_MAX, I(1)), ==,
              PROCEDURE_DONE);
    CHECK_INT(CALL(0, "smallbank.create_account", NULL, "uii", U(2), INT64_MIN, I(-1)), ==,
              PROCEDURE_DONE);
    CHECK_INT(CALL(0, "smallbank.create_account", NULL, "uii", U(3), I(5), INT64_MAX), ==,
              PROCEDURE_DONE);
    static const char *const refused[] = {"smallbank.balance", "smallbank.deposit_checking"};
    for (uint64_t account = 1; account <= 2; account++) {
        CHECK_INT(CALL(0, refused[0], NULL, "u", account), ==, PROCEDURE_REFUSED);
    }
    CHECK_INT(CALL(0, refused[1], NULL, "uu", U(1), U(1)), ==, PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.transact_savings", NULL, "ui", U(3), I(1)), ==, PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.amalgamate", NULL, "uu", U(3), U(1)), ==, PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.send_payment", NULL, "uuu", U(3), U(1), U(1)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.write_check", NULL, "uu", U(2), U(1)), ==, PROCEDURE_REFUSED);
    /* The largest numbers are numbers. */
    CHECK_INT(CALL(0, "smallbank.write_check", NULL, "ui", U(3), INT64_MAX), ==, PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.balance", NULL, "u", UINT64_MAX), ==, PROCEDURE_ARGUMENTS);
    fake_stop(&ledger);
}

TEST(smallbank_loads_many_accounts_at_once)
{
    fake_start(&ledger, &(struct fake_options){0});
    CHECK_INT(CALL(0, "smallbank.load", NULL, "uui", U(10), U(1000), I(77)), ==, PROCEDURE_DONE);
    CHECK_INT(balance_of(10), ==, 154);
    CHECK_INT(balance_of(1009), ==, 154);
    CHECK_INT(balance_of(1010), ==, -999);
    CHECK_INT(CALL(0, "smallbank.load", NULL, "uui", U(2000), U(1001), I(1)), ==,
              PROCEDURE_ARGUMENTS);
    CHECK_INT(CALL(0, "smallbank.load", NULL, "uui", U(2000), U(0), I(1)), ==, PROCEDURE_ARGUMENTS);
    /* One that is there already: none is made. */
    CHECK_INT(CALL(0, "smallbank.load", NULL, "uui", U(1009 - 99), U(200), I(1)), ==,
              PROCEDURE_REFUSED);
    CHECK_INT(CALL(0, "smallbank.load", NULL, "uui", U(1005), U(10), I(1)), ==, PROCEDURE_REFUSED);
    CHECK_INT(balance_of(1012), ==, -999);
    fake_stop(&ledger);
}

/* --- Procedures of users --- */

static enum procedure_code run_module(void *self, struct procedure_call *call,
                                      struct wm_view *result)
{
    uint8_t key[PROCEDURE_KEY_BYTES_MAX];
    size_t len;
    (void)result;
    CHECK(table_module_key(*(struct wm_view *)self, BYTES("k"), key, &len));
    return procedure_put(call, wm_view_of(key, len), call->arguments) == 0 ? PROCEDURE_DONE
                                                                           : PROCEDURE_LIMIT;
}

static struct wm_view module_name;

static int find_module(void *self, struct procedure_call *call, struct wm_view name,
                       const struct governance_module *module, struct procedure *out)
{
    ledger_hash wanted;
    (void)self;
    (void)call;
    wm_sha256_once(wm_view_str("a module"), wanted);
    CHECK(memcmp(module->sha256, wanted, sizeof wanted) == 0);
    CHECK_INT(module->length, ==, 8);
    module_name = name;
    *out = (struct procedure){.run = run_module, .self = &module_name, .fuel_version = 3};
    return 0;
}

static void install_module(void)
{
    ledger_hash digest;
    uint8_t bytes[256];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    wm_sha256_once(wm_view_str("a module"), digest);
    CHECK_INT(CALL(FAKE_CLIENTS, "governance.upload", NULL, "buub",
                   wm_view_of(digest, sizeof digest), U(8), U(0), BYTES("a module")),
              ==, PROCEDURE_DONE);
    cbor_put_array(&writer, 1);
    cbor_put_array(&writer, 4);
    cbor_put_uint(&writer, 9);
    cbor_put_text(&writer, BYTES("my.procedure"));
    cbor_put_bytes(&writer, wm_view_of(digest, sizeof digest));
    cbor_put_uint(&writer, 8);
    fake_govern(&ledger, wm_view_of(bytes, writer.len));
}

TEST(installed_modules_are_found_by_their_digest)
{
    static const struct table_modules modules = {NULL, find_module};
    struct transaction_item item;
    struct wm_view value;
    ledger_hash digest;
    fake_start(&ledger, &(struct fake_options){.modules = &modules});
    CHECK_INT(fake_call(&ledger, 0, "my.procedure", BYTES("v"), NULL), ==, PROCEDURE_UNKNOWN);
    install_module();
    CHECK_INT(fake_call(&ledger, 0, "my.procedure", BYTES("v"), NULL), ==, PROCEDURE_DONE);
    kept_item(executor_batch(ledger.executor, executor_tip(ledger.executor)), 0, &item);
    wm_sha256_once(wm_view_str("a module"), digest);
    CHECK(memcmp(item.output.procedure, digest, sizeof digest) == 0);
    CHECK_INT(item.output.fuel_version, ==, 3);
    CHECK(vmap_get(executor_state(ledger.executor), BYTES("mod/\014my.procedurek"), &value) &&
          wm_view_eq_str(value, "v"));
    fake_stop(&ledger);
}

TEST(who_cannot_run_a_module_says_nothing)
{
    struct bft_executed executed;
    fake_start(&ledger, &(struct fake_options){0});
    install_module();
    fake_ask(&ledger, 0, "my.procedure", BYTES("v"));
    CHECK_INT(fake_execute(&ledger, &executed), ==, WM_E_NOT_FOUND);
    fake_drop_requests(&ledger);
    CHECK_INT(fake_call(&ledger, 0, "echo", BYTES("v"), NULL), ==, PROCEDURE_DONE);
    fake_stop(&ledger);
}

TEST(module_keys_stay_under_their_name)
{
    uint8_t key[PROCEDURE_KEY_BYTES_MAX], longest[PROCEDURE_KEY_BYTES_MAX] = {0};
    size_t len;
    CHECK(table_module_key(BYTES("n"), BYTES("a/b"), key, &len));
    CHECK(wm_view_eq_str(wm_view_of(key, len), "mod/\001na/b"));
    CHECK(!table_module_key(BYTES("n"), BYTES(""), key, &len));
    CHECK(!table_module_key(BYTES(""), BYTES("k"), key, &len));
    CHECK(table_module_key(wm_view_of(longest, LEDGER_NAME_BYTES_MAX),
                           wm_view_of(longest, TABLE_MODULE_KEY_BYTES_MAX), key, &len));
    CHECK_INT(len, ==, PROCEDURE_KEY_BYTES_MAX);
    CHECK(!table_module_key(BYTES("n"), wm_view_of(longest, TABLE_MODULE_KEY_BYTES_MAX + 1), key,
                            &len));
}

TEST_MAIN(TEST_CASE(every_builtin_has_a_name_a_digest_and_strict_arguments),
          TEST_CASE(echo_and_empty), TEST_CASE(kv_keys_belong_to_who_signs),
          TEST_CASE(kv_public_keys_are_everybody_s), TEST_CASE(kv_cas_swaps_what_is_as_expected),
          TEST_CASE(register_refuses_an_old_disk), TEST_CASE(register_is_held_by_one),
          TEST_CASE(register_taken_back_stays), TEST_CASE(register_owner_replaces_a_lost_holder),
          TEST_CASE(anchor_keeps_the_newest_root_of_a_node), TEST_CASE(smallbank_operations),
          TEST_CASE(smallbank_sums_do_not_wrap), TEST_CASE(smallbank_loads_many_accounts_at_once),
          TEST_CASE(installed_modules_are_found_by_their_digest),
          TEST_CASE(who_cannot_run_a_module_says_nothing),
          TEST_CASE(module_keys_stay_under_their_name))
