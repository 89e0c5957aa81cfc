/* worker.c: functions in a real worker process: calls, ends, chains, resets, limits.
 *
 *     worker FOLDER       with the guests of test/e2e/faaslet, compiled
 *
 * In one order, since the tests share the worker: a bad call must not disturb the next. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "common/worker.h"
#include "host/file.h"

static const char *folder;
static struct link *worker;
enum { ECHO = 1, SLEEPER = 2, SMALL = 3, BAD = 4 };

static int load(const char *module, const char *name, enum function_kind kind, uint32_t handle,
                struct call_limits limits, struct wm_diag *diag)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.wasm", folder, module);
    struct test_function function = {.module = path,
                                     .tenant = "t",
                                     .name = name,
                                     .kind = kind,
                                     .handle = handle,
                                     .limits = limits,
                                     .secret = "KEY=hush"};
    return test_worker_load(worker, &function, diag);
}

TEST(functions_load)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct call_limits short_limits = {.timeout_ms = 300},
                       small = {.output_bytes = 1000, .depth = 5};
    CHECK_INT(load("echo", "echo", FUNCTION_FAASLET, ECHO, short_limits, &diag), ==, 0);
    CHECK_STR(wm_diag_text(&diag), wm_error_text(0));
    CHECK_INT(load("sleeper", "sleeper", FUNCTION_COMMAND, SLEEPER, short_limits, &diag), ==, 0);
    CHECK_INT(load("echo", "small", FUNCTION_FAASLET, SMALL, small, &diag), ==, 0);
}

TEST(the_wrong_kind_is_refused_with_the_right_one)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct call_limits limits = {0};
    CHECK_INT(load("sleeper", "bad", FUNCTION_FAASLET, BAD, limits, &diag), ==, WM_E_INVALID);
    CHECK(strstr(wm_diag_text(&diag), "upload it with kind=command"));
    CHECK_INT(load("sleeper", "bad", FUNCTION_SUSPENDED, BAD, limits, &diag), ==, WM_E_UNSUPPORTED);
}

TEST(input_comes_back)
{
    struct test_result got;
    CHECK_INT(test_worker_call(worker, ECHO, "hello", &got), ==, CALL_END_OK);
    CHECK_STR(got.output, "hello");
    CHECK_INT(test_worker_call(worker, ECHO, "", &got), ==, CALL_END_OK);
    CHECK_STR(got.output, "");
    CHECK_INT(test_worker_call(worker, SLEEPER, "plain", &got), ==, CALL_END_OK);
    CHECK_STR(got.output, "plain");
}

TEST(each_end_is_told)
{
    struct test_result got;
    CHECK_INT(test_worker_call(worker, ECHO, "R", &got), ==, CALL_END_FAILED);
    CHECK_INT(got.result.return_code, ==, 7);
    CHECK_INT(test_worker_call(worker, ECHO, "T", &got), ==, CALL_END_TRAP);
    CHECK_STR(got.message, "unreachable");
    CHECK_INT(got.result.backtrace_len, >, 0);
    CHECK_INT(test_worker_call(worker, ECHO, "L", &got), ==, CALL_END_TIMEOUT);
    CHECK_INT(got.result.usage.wall_ns, >=, 300000000);
    CHECK_INT(got.result.usage.wall_ns, <, 400000000);
    CHECK_INT(test_worker_call(worker, SMALL, "O", &got), ==, CALL_END_LIMIT);
    CHECK_INT(test_worker_call(worker, 999, "x", &got), ==, CALL_END_NOT_FOUND);
    CHECK_INT(test_worker_call(worker, ECHO, "still", &got), ==, CALL_END_OK);
}

TEST(nothing_of_a_call_is_left)
{
    struct test_result got;
    for (int i = 0; i < 20; i++) {
        CHECK_INT(test_worker_call(worker, ECHO, "N", &got), ==, CALL_END_OK);
        CHECK_STR(got.output, "clean");
    }
}

TEST(calls_chain)
{
    struct test_result got;
    CHECK_INT(test_worker_call(worker, ECHO, "C", &got), ==, CALL_END_OK);
    CHECK_STR(got.output, "0 42");
    CHECK_INT(test_worker_call(worker, ECHO, "F10", &got), ==, CALL_END_OK);
    CHECK_STR(got.output, "0 55");
    CHECK_INT(test_worker_call(worker, ECHO, "S", &got), ==, CALL_END_OK);
    CHECK_STR(got.output, "1 0");
}

TEST(depth_is_bounded)
{
    struct test_result got;
    CHECK_INT(test_worker_call(worker, SMALL, "F10", &got), ==, CALL_END_OK);
    CHECK_STR(got.output, "1 -1"); /* some call deep below could not chain, and failed */
}

TEST(secrets_are_there_in_calls)
{
    struct test_result got;
    CHECK_INT(test_worker_call(worker, ECHO, "X", &got), ==, CALL_END_OK);
    CHECK_STR(got.output, "4 hush");
}

TEST(many_at_once)
{
    struct test_result got;
    uint32_t out = 0, done = 0;
    for (; out < 200; out++) {
        test_worker_submit(worker, out % 2 ? ECHO : SMALL, wm_view_str("many"), 0);
    }
    for (; done < out; done++) {
        test_worker_wait(worker, &got);
        CHECK(got.result.end == CALL_END_OK && strcmp(got.output, "many") == 0);
    }
}

static void put_call(struct link *link, uint32_t handle, const char *input)
{
    struct channel *channel = link_channel(link);
    uint32_t slot = channel_take_slot(channel);
    memcpy(channel_input(channel, slot), input, strlen(input));
    struct channel_call call = {
        .id = 1, .function = handle, .func_idx = UINT32_MAX, .input_len = (uint32_t)strlen(input)};
    channel_submit(channel, slot, &call);
}

/* The node is woken once for a batch of short calls. A call after them that takes long must not
 * keep their results back: here they are on the one executor that there is. */
TEST(a_long_call_keeps_no_result_back)
{
    struct link_config config = {.executors = 1, .ready = 1, .slots = 4};
    struct link *shared = worker;
    struct call_limits limits = {.timeout_ms = 300};
    struct wm_diag diag = WM_DIAG_INIT;
    struct channel_result result;
    struct channel_views views;
    struct test_result got;
    uint32_t slot;
    worker = test_worker_start(&config);
    REQUIRE(load("echo", "echo", FUNCTION_FAASLET, ECHO, limits, &diag) == 0);
    for (int i = 0; i < 100; i++) { /* calls of this function are short */
        CHECK_INT(test_worker_call(worker, ECHO, "warm", &got), ==, CALL_END_OK);
    }
    struct channel *channel = link_channel(worker);
    CHECK_INT(channel_next_completion(channel, &slot, &result, &views), ==, 0);
    for (int i = 0; i < 8; i++) {
        put_call(worker, ECHO, i == 7 ? "L" : "short");
    }
    channel_ring(channel);
    int64_t until_ns = host_monotonic_ns() + 150000000; /* the long one takes 300 ms */
    for (int done = 0; done < 8;) {
        struct pollfd event = {.fd = link_event_fd(worker), .events = POLLIN};
        CHECK_INT(poll(&event, 1, 2000), ==, 1);
        link_event_clear(worker);
        while (channel_next_completion(channel, &slot, &result, &views) == 1) {
            CHECK_INT(result.end, ==, done == 7 ? CALL_END_TIMEOUT : CALL_END_OK);
            CHECK(done == 7 || host_monotonic_ns() < until_ns);
            channel_free_slot(channel, slot);
            done++;
        }
    }
    link_close(worker);
    worker = shared;
}

TEST(a_large_payload_passes)
{
    struct test_result got;
    uint8_t *large = malloc(60000);
    memset(large, 'z', 60000);
    test_worker_submit(worker, ECHO, wm_view_of(large, 60000), 0);
    test_worker_wait(worker, &got);
    CHECK_INT(got.result.end, ==, CALL_END_OK);
    CHECK_INT(got.result.output_len, ==, 60000);
    free(large);
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {
        TEST_CASE(functions_load),
        TEST_CASE(the_wrong_kind_is_refused_with_the_right_one),
        TEST_CASE(input_comes_back),
        TEST_CASE(each_end_is_told),
        TEST_CASE(nothing_of_a_call_is_left),
        TEST_CASE(calls_chain),
        TEST_CASE(depth_is_bounded),
        TEST_CASE(secrets_are_there_in_calls),
        TEST_CASE(many_at_once),
        TEST_CASE(a_long_call_keeps_no_result_back),
        TEST_CASE(a_large_payload_passes),
    };
    if (argc < 2) {
        fputs("worker FOLDER\n", stderr);
        return 2;
    }
    folder = argv[1];
    struct link_config config = {.executors = 8, .slots = 32};
    worker = test_worker_start(&config);
    int status = wm_test_main(tests, WM_COUNT_OF(tests), 1, argv);
    link_close(worker);
    return status;
}
