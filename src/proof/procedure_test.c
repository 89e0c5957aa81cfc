/* procedure_test.c: what an execution is bound to, its limits, and that memory which lacks is never
 * taken for a result. */
#include "proof/procedure.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "proof/client_window.h"
#include "proof/test_service.h"

/* --- A state of a few pairs, and a procedure that does what it is told --- */

static struct {
    const char *key, *value;
} pairs[] = {{"a", "1"}, {"b", "22"}, {"empty", ""}};
static bool unknown; /* the state cannot tell */

static int state_get(void *self, struct wm_view key, struct wm_view *value)
{
    (void)self;
    if (unknown && wm_view_eq_str(key, "?")) {
        return WM_E_NOT_FOUND;
    }
    for (size_t i = 0; i < WM_COUNT_OF(pairs); i++) {
        if (wm_view_eq_str(key, pairs[i].key)) {
            *value = wm_view_str(pairs[i].value);
            return 1;
        }
    }
    return 0;
}

typedef enum procedure_code script(struct procedure_call *call, struct wm_view *result);
static script *running;
static int found = 1;

static enum procedure_code run(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    return running(call, result);
}

static int find(void *self, struct procedure_call *call, struct wm_view name, struct procedure *out)
{
    (void)self;
    (void)call;
    (void)name;
    *out = (struct procedure){.run = run, .digest = {0xd1}, .fuel_version = 7};
    return found;
}

static struct wm_arena arena = {.limit_bytes = SIZE_MAX};

static int execute(script *what, bool duplicate, struct procedure_done *done)
{
    const struct procedure_table table = {.find = find};
    const struct procedure_state state = {.get = state_get};
    const ledger_hash hash = {0};
    struct request request = {.claims.procedure = wm_view_str("x")};
    running = what;
    return procedure_execute(&table, &state, &request, hash, wm_view_str("arguments"), 5, duplicate,
                             &arena, done);
}

static struct wm_view key(const char *text)
{
    return wm_view_str(text);
}

/* H of [key, value / null], one after the other; value NULL: null. */
static void expect(const char *const items[][2], size_t count, const ledger_hash actual)
{
    uint8_t bytes[512];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    ledger_hash hash;
    for (size_t i = 0; i < count; i++) {
        cbor_put_array(&writer, 2);
        cbor_put_bytes(&writer, wm_view_str(items[i][0]));
        if (items[i][1]) {
            cbor_put_bytes(&writer, wm_view_str(items[i][1]));
        } else {
            cbor_put_null(&writer);
        }
    }
    wm_sha256_once(wm_view_of(bytes, writer.len), hash);
    CHECK(memcmp(hash, actual, sizeof hash) == 0);
}
#define EXPECT(actual, ...)                                  \
    do {                                                     \
        static const char *const items[][2] = {__VA_ARGS__}; \
        expect(items, WM_COUNT_OF(items), actual);           \
    } while (0)

/* --- What is bound --- */

static enum procedure_code reads_and_writes(struct procedure_call *call, struct wm_view *result)
{
    struct wm_view value;
    CHECK_INT(call->index, ==, 5);
    CHECK(wm_view_eq_str(call->arguments, "arguments"));
    CHECK_INT(procedure_get(call, key("b"), &value), ==, 1);
    CHECK(wm_view_eq_str(value, "22"));
    CHECK_INT(procedure_get(call, key("none"), &value), ==, 0);
    CHECK_INT(procedure_put(call, key("z"), key("first")), ==, 0);
    CHECK_INT(procedure_get(call, key("z"), &value), ==, 1); /* its own: not read from the state */
    CHECK(wm_view_eq_str(value, "first"));
    CHECK_INT(procedure_put(call, key("z"), key("last")), ==, 0);
    CHECK_INT(procedure_remove(call, key("a")), ==, 0);
    CHECK_INT(procedure_get(call, key("a"), &value), ==, 0); /* removed by this call */
    CHECK_INT(procedure_get(call, key("empty"), &value), ==, 1);
    CHECK_INT(value.len, ==, 0);
    CHECK_INT(procedure_put(call, key("b"), key("")), ==, 0); /* read, then written */
    CHECK_INT(procedure_get(call, key("b"), &value), ==, 1);
    CHECK_INT(value.len, ==, 0);
    CHECK_INT(procedure_put(call, key("ab"), key("x")), ==, 0);
    uint8_t *memory = procedure_memory(call, 2);
    CHECK(memory != NULL);
    memcpy(memory, "ok", 2);
    *result = wm_view_of(memory, 2);
    return PROCEDURE_DONE;
}

TEST(reads_in_order_and_writes_by_key_are_hashed)
{
    struct procedure_done done;
    ledger_hash hash;
    CHECK_INT(execute(reads_and_writes, false, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_DONE);
    CHECK_INT(done.output.fuel_version, ==, 7);
    CHECK_INT(done.output.procedure[0], ==, 0xd1);
    CHECK(wm_view_eq_str(done.result, "ok"));
    CHECK_INT(done.output.result_len, ==, 2);
    wm_sha256_once(wm_view_str("ok"), hash);
    CHECK(memcmp(hash, done.output.result, sizeof hash) == 0);
    EXPECT(done.output.reads, {"b", "22"}, {"none", NULL}, {"empty", ""});
    EXPECT(done.output.writes, {"a", NULL}, {"ab", "x"}, {"b", ""}, {"z", "last"});
    REQUIRE(done.read_count == 3 && done.write_count == 4);
    CHECK(wm_view_eq_str(done.reads[1], "none"));
    CHECK(wm_view_eq_str(done.writes[0].key, "a") && done.writes[0].removed);
    CHECK(wm_view_eq_str(done.writes[3].key, "z") && !done.writes[3].removed);
    CHECK(wm_view_eq_str(done.writes[3].value, "last"));
    wm_arena_fini(&arena);
}

static enum procedure_code refuses(struct procedure_call *call, struct wm_view *result)
{
    struct wm_view value;
    CHECK_INT(procedure_get(call, key("a"), &value), ==, 1);
    CHECK_INT(procedure_put(call, key("a"), key("9")), ==, 0);
    *result = wm_view_str("why");
    return PROCEDURE_REFUSED;
}

TEST(what_fails_leaves_its_reads_and_its_result_but_no_writes)
{
    struct procedure_done done;
    CHECK_INT(execute(refuses, false, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_REFUSED);
    CHECK(wm_view_eq_str(done.result, "why"));
    CHECK_INT(done.write_count, ==, 0);
    EXPECT(done.output.reads, {"a", "1"});
    expect(NULL, 0, done.output.writes);
    wm_arena_fini(&arena);
}

TEST(a_duplicate_and_an_unknown_procedure_run_nothing)
{
    struct procedure_done done;
    static const ledger_hash none;
    CHECK_INT(execute(NULL, true, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_DUPLICATE);
    CHECK(memcmp(done.output.procedure, none, sizeof none) == 0 && done.output.fuel_version == 0);
    expect(NULL, 0, done.output.reads);
    expect(NULL, 0, done.output.writes);
    found = 0;
    CHECK_INT(execute(NULL, false, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_UNKNOWN);
    CHECK(memcmp(done.output.procedure, none, sizeof none) == 0 && done.output.fuel_version == 0);
    found = WM_E_UNSUPPORTED; /* the table cannot tell */
    CHECK_INT(execute(NULL, false, &done), ==, WM_E_UNSUPPORTED);
    found = 1;
    CHECK_STR(procedure_code_text(PROCEDURE_DENIED), "the client may not do this");
    CHECK_STR(procedure_code_text(99), "an unknown code");
    wm_arena_fini(&arena);
}

/* --- Limits --- */

static uint32_t touches;
static enum procedure_code touches_many(struct procedure_call *call, struct wm_view *result)
{
    *result = wm_view_str("lost");
    for (uint32_t i = 0; i < touches; i++) {
        uint32_t number = i * 2654435761u;
        if (procedure_put(call, wm_view_of(&number, sizeof number), wm_view_str("v")) != 0) {
            return PROCEDURE_DONE; /* whatever it says */
        }
    }
    return PROCEDURE_DONE;
}

static struct wm_view wide_key, wide_value;
static enum procedure_code writes_wide(struct procedure_call *call, struct wm_view *result)
{
    (void)result;
    return procedure_put(call, wide_key, wide_value) == 0 ? PROCEDURE_DONE : PROCEDURE_TRAP;
}

static enum procedure_code writes_again(struct procedure_call *call, struct wm_view *result)
{
    (void)result;
    for (uint32_t i = 0; i < touches; i++) {
        if (procedure_put(call, key("k"), wide_value) != 0) {
            break;
        }
    }
    return PROCEDURE_DONE;
}

static enum procedure_code answers_long(struct procedure_call *call, struct wm_view *result)
{
    (void)call;
    *result = wide_value;
    return PROCEDURE_DONE;
}

TEST(each_limit_holds_and_one_below_it_is_allowed)
{
    static uint8_t bytes[REQUEST_RESULT_BYTES_MAX + 1];
    struct procedure_done done;
    touches = PROCEDURE_TOUCHES_MAX;
    CHECK_INT(execute(touches_many, false, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_DONE);
    CHECK_INT(done.write_count, ==, PROCEDURE_TOUCHES_MAX);
    for (uint32_t i = 1; i < done.write_count; i++) {
        REQUIRE(memcmp(done.writes[i - 1].key.ptr, done.writes[i].key.ptr, 4) < 0);
    }
    touches++;
    CHECK_INT(execute(touches_many, false, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_LIMIT);
    CHECK_INT(done.write_count + done.result.len, ==, 0);
    wm_arena_fini(&arena);

    static const struct {
        size_t key, value;
        enum procedure_code code;
    } cases[] = {
        {PROCEDURE_KEY_BYTES_MAX, PROCEDURE_VALUE_BYTES_MAX, PROCEDURE_DONE},
        {PROCEDURE_KEY_BYTES_MAX + 1, 0, PROCEDURE_LIMIT},
        {1, PROCEDURE_VALUE_BYTES_MAX + 1, PROCEDURE_LIMIT},
        {0, 0, PROCEDURE_LIMIT},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        wide_key = wm_view_of(bytes, cases[i].key);
        wide_value = wm_view_of(bytes, cases[i].value);
        CHECK_INT(execute(writes_wide, false, &done), ==, 0);
        CHECK_INT(done.output.code, ==, cases[i].code);
    }
    wide_value = wm_view_of(bytes, REQUEST_RESULT_BYTES_MAX);
    CHECK_INT(execute(answers_long, false, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_DONE);
    wide_value.len++;
    CHECK_INT(execute(answers_long, false, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_LIMIT);
    CHECK_INT(done.result.len, ==, 0);

    /* Memory, too: what is written again and again counts each time; the key once. */
    wide_value = wm_view_of(bytes, PROCEDURE_VALUE_BYTES_MAX);
    touches = PROCEDURE_TOUCHED_BYTES_MAX / PROCEDURE_VALUE_BYTES_MAX - 1;
    CHECK_INT(execute(writes_again, false, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_DONE);
    wm_arena_fini(&arena);
    touches++;
    CHECK_INT(execute(writes_again, false, &done), ==, 0);
    CHECK_INT(done.output.code, ==, PROCEDURE_LIMIT);
    wm_arena_fini(&arena);
}

/* --- What is not the procedure's fault --- */

static enum procedure_code asks(struct procedure_call *call, struct wm_view *result)
{
    struct wm_view value;
    (void)result;
    CHECK_INT(procedure_get(call, key("?"), &value), ==, WM_E_NOT_FOUND);
    CHECK(procedure_put(call, key("k"), key("v")) < 0); /* nothing goes on after it */
    return PROCEDURE_DONE;
}

TEST(a_state_that_cannot_tell_ends_the_execution)
{
    struct procedure_done done;
    unknown = true;
    CHECK_INT(execute(asks, false, &done), ==, WM_E_NOT_FOUND);
    unknown = false;
    wm_arena_fini(&arena);
}

static enum procedure_code needs_memory(struct procedure_call *call, struct wm_view *result)
{
    struct wm_view value;
    *result = wm_view_str("r");
    /* Larger than a block of the arena: each takes one of its own. */
    void *memory = procedure_memory(call, 200000);
    if (!memory || procedure_get(call, key("a"), &value) < 0 ||
        procedure_put(call, key("k"), wide_value) != 0) {
        return PROCEDURE_REFUSED; /* it may say what it likes */
    }
    return PROCEDURE_DONE;
}

TEST(memory_that_lacks_is_never_a_result)
{
    static uint8_t bytes[PROCEDURE_VALUE_BYTES_MAX];
    uint64_t rounds = 0, failed = 0;
    wide_value = wm_view_of(bytes, sizeof bytes);
    wm_arena_init(&arena, 0);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct procedure_done done;
        int rc = execute(needs_memory, false, &done);
        CHECK(rc == -ENOMEM || (rc == 0 && done.output.code == PROCEDURE_DONE));
        failed += rc == -ENOMEM;
        rounds++;
        wm_arena_fini(&arena);
    }
    CHECK(failed > 0 && failed + 1 == rounds);
    /* A limit of the arena is the same. */
    for (size_t limit = 1; limit < 300000; limit += 3331) {
        struct procedure_done done;
        wm_arena_init(&arena, limit);
        int rc = execute(needs_memory, false, &done);
        CHECK(rc == -ENOMEM || (rc == 0 && done.output.code == PROCEDURE_DONE));
        wm_arena_fini(&arena);
    }
    wm_arena_init(&arena, 0);
}

/* --- Numbers of clients --- */

TEST(each_number_of_a_client_counts_once_within_the_window)
{
    uint8_t value[CLIENT_WINDOW_BYTES], next[CLIENT_WINDOW_BYTES], name[CLIENT_WINDOW_KEY_BYTES];
    const ledger_key client = {1, 2, 3};
    bool used[512] = {false};
    uint64_t highest = 0, random = 1;
    struct wm_view before = wm_view_of(NULL, 0);
    client_window_key(client, name);
    CHECK(memcmp(name, "client/\1\2\3", 10) == 0);
    for (int i = 0; i < 4000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t number = (highest > 80 ? highest - 80 : 0) + (random >> 40) % 90;
        if (number >= WM_COUNT_OF(used)) {
            break;
        }
        bool expected = !used[number] && (before.len == 0 || number + 64 > highest);
        REQUIRE(client_window_use(before, number, next) == expected);
        if (expected) {
            used[number] = true;
            highest = before.len == 0 || number > highest ? number : highest;
            memcpy(value, next, sizeof value);
            before = wm_view_of(value, sizeof value);
        }
    }
    CHECK(highest > 400);
    /* Far ahead, to the end of numbers. */
    CHECK(client_window_use(before, UINT64_MAX, value));
    CHECK(!client_window_use(before, UINT64_MAX, next));
    CHECK(client_window_use(before, UINT64_MAX - 63, next));
    CHECK(!client_window_use(before, UINT64_MAX - 64, next));
    static const uint8_t bytes[CLIENT_WINDOW_BYTES] = {[7] = 9, [15] = 5}; /* 9; 9 and 7 used */
    before = wm_view_of(bytes, sizeof bytes);
    CHECK(!client_window_use(before, 9, next) && !client_window_use(before, 7, next));
    REQUIRE(client_window_use(before, 8, next));
    CHECK(next[7] == 9 && next[15] == 7);
}

TEST_MAIN(TEST_CASE(reads_in_order_and_writes_by_key_are_hashed),
          TEST_CASE(what_fails_leaves_its_reads_and_its_result_but_no_writes),
          TEST_CASE(a_duplicate_and_an_unknown_procedure_run_nothing),
          TEST_CASE(each_limit_holds_and_one_below_it_is_allowed),
          TEST_CASE(a_state_that_cannot_tell_ends_the_execution),
          TEST_CASE(memory_that_lacks_is_never_a_result),
          TEST_CASE(each_number_of_a_client_counts_once_within_the_window))
