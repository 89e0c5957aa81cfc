#include "node/handover.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/test.h"

static uint8_t room[4096];

static bool same(struct wm_view a, struct wm_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static struct handover_call a_call(void)
{
    return (struct handover_call){.tenant = wm_view_str("tenant"),
                                  .function = wm_view_str("name@3"),
                                  .module_sha256 = {1, 2, 3},
                                  .timeout_ms = 4,
                                  .depth = 5,
                                  .hops = UINT32_MAX,
                                  .by_route = true,
                                  .method = wm_view_str("GET"),
                                  .path = wm_view_str("/x"),
                                  .query = wm_view_str("a=b"),
                                  .headers = wm_view_str("host: n\n"),
                                  .input = wm_view_of("\0\1\2", 3)};
}

static struct handover_result a_result(void)
{
    return (struct handover_result){.end = CALL_END_TRAP,
                                    .return_code = -1,
                                    .status = 404,
                                    .retry_after_ms = 7,
                                    .cold = true,
                                    .usage = {1, 2, 3, 4, 5, 6, 7, 8},
                                    .record_second = 9,
                                    .record_index = 10,
                                    .node = wm_view_str("n2"),
                                    .headers = wm_view_str("A: b\n"),
                                    .message = wm_view_str("unreachable"),
                                    .backtrace = wm_view_str("0: f"),
                                    .output = wm_view_of("\0out", 4)};
}

TEST(calls_are_read_as_written)
{
    struct handover_call call = a_call(), got;
    size_t len = handover_call_encode(&call, NULL);
    CHECK_INT(handover_call_encode(&call, room), ==, len);
    CHECK_INT(handover_call_decode(wm_view_of(room, len), &got, NULL), ==, 0);
    CHECK(same(got.tenant, call.tenant) && same(got.function, call.function));
    CHECK(memcmp(got.module_sha256, call.module_sha256, 32) == 0);
    CHECK(got.timeout_ms == 4 && got.depth == 5 && got.hops == UINT32_MAX);
    CHECK(got.by_route && !got.chained);
    CHECK(same(got.method, call.method) && same(got.path, call.path));
    CHECK(same(got.query, call.query) && same(got.headers, call.headers));
    CHECK(same(got.input, call.input));
}

TEST(results_are_read_as_written)
{
    struct handover_result result = a_result(), got;
    size_t len = handover_result_encode(&result, NULL);
    CHECK_INT(handover_result_encode(&result, room), ==, len);
    CHECK_INT(handover_result_decode(wm_view_of(room, len), &got, NULL), ==, 0);
    CHECK(got.end == CALL_END_TRAP && got.return_code == -1 && got.status == 404);
    CHECK(got.retry_after_ms == 7 && got.cold && got.record_second == 9 && got.record_index == 10);
    CHECK(memcmp(&got.usage, &result.usage, sizeof got.usage) == 0);
    CHECK(same(got.node, result.node) && same(got.headers, result.headers));
    CHECK(same(got.message, result.message) && same(got.backtrace, result.backtrace));
    CHECK(same(got.output, result.output));
}

TEST(every_shorter_or_longer_one_is_refused)
{
    struct handover_call call = a_call(), got_call;
    struct handover_result result = a_result(), got_result;
    size_t call_len = handover_call_encode(&call, room), taken = 0;
    for (size_t i = 0; i < call_len; i++) {
        uint8_t *cut = malloc(i ? i : 1);
        memcpy(cut, room, i);
        taken += handover_call_decode(wm_view_of(cut, i), &got_call, NULL) == 0;
        free(cut);
    }
    taken += handover_call_decode(wm_view_of(room, call_len + 1), &got_call, NULL) == 0;
    size_t result_len = handover_result_encode(&result, room);
    for (size_t i = 0; i < result_len; i++) {
        uint8_t *cut = malloc(i ? i : 1);
        memcpy(cut, room, i);
        taken += handover_result_decode(wm_view_of(cut, i), &got_result, NULL) == 0;
        free(cut);
    }
    taken += handover_result_decode(wm_view_of(room, result_len + 1), &got_result, NULL) == 0;
    CHECK_INT(taken, ==, 0);
}

static int call_rc(struct handover_call call)
{
    struct handover_call got;
    size_t len = handover_call_encode(&call, NULL);
    uint8_t *bytes = malloc(len);
    handover_call_encode(&call, bytes);
    int rc = handover_call_decode(wm_view_of(bytes, len), &got, NULL);
    free(bytes);
    return rc;
}

TEST(texts_that_cannot_be_are_refused)
{
    static uint8_t zeroes[CALL_INPUT_BYTES_MAX + 1];
    struct handover_call call = a_call();
    call.tenant = wm_view_of(NULL, 0);
    CHECK_INT(call_rc(call), ==, WM_E_MALFORMED);
    call = a_call();
    call.function = wm_view_of(NULL, 0);
    CHECK_INT(call_rc(call), ==, WM_E_MALFORMED);
    call = a_call();
    call.path = wm_view_of("/a\0b", 4);
    CHECK_INT(call_rc(call), ==, WM_E_MALFORMED);
    call = a_call();
    call.input = wm_view_of(zeroes, CALL_INPUT_BYTES_MAX);
    CHECK_INT(call_rc(call), ==, 0);
    call.input = wm_view_of(zeroes, sizeof zeroes);
    CHECK_INT(call_rc(call), ==, WM_E_MALFORMED);
    call = a_call();
    call.headers = wm_view_of(zeroes, HANDOVER_TEXT_BYTES_MAX + 1);
    CHECK_INT(call_rc(call), ==, WM_E_MALFORMED);
}

TEST(an_end_that_is_none_is_refused)
{
    struct handover_result result = a_result(), got;
    result.end = CALL_ENDS;
    size_t len = handover_result_encode(&result, room);
    CHECK_INT(handover_result_decode(wm_view_of(room, len), &got, NULL), ==, WM_E_MALFORMED);
}

TEST_MAIN(TEST_CASE(calls_are_read_as_written), TEST_CASE(results_are_read_as_written),
          TEST_CASE(every_shorter_or_longer_one_is_refused),
          TEST_CASE(texts_that_cannot_be_are_refused), TEST_CASE(an_end_that_is_none_is_refused))
