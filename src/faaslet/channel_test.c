#include "faaslet/channel.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/test.h"

/* The layout of channel.c, as a worker that means no good knows it: what a hostile one writes is
 * written through this. */
struct ends {
    _Alignas(64) _Atomic uint32_t head;
    _Alignas(64) _Atomic uint32_t tail;
};
struct record {
    union {
        struct channel_call call;
        struct channel_result result;
    };
};
struct raw {
    struct ends submitted, completed, reported;
    _Alignas(64) _Atomic uint32_t doorbell;
    _Alignas(64) _Atomic uint32_t sleepers;
    _Alignas(64) _Atomic uint32_t submissions[CHANNEL_SLOTS];
    _Atomic uint32_t completions[CHANNEL_SLOTS];
    _Alignas(64) struct record slots[CHANNEL_SLOTS];
    struct channel_report reports[CHANNEL_REPORTS];
};

static struct channel *node, *worker;
static struct raw *raw;
static int fd, event_fd;

static void open_both(void)
{
    struct wm_diag diag = WM_DIAG_INIT;
    event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK_INT(channel_create(&node, &fd, &diag), ==, 0);
    CHECK_INT(channel_attach(fd, event_fd, &worker, &diag), ==, 0);
    raw = mmap(NULL, sizeof *raw, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(raw != MAP_FAILED);
}

static void close_both(void)
{
    munmap(raw, sizeof *raw);
    channel_close(worker);
    channel_close(node);
    close(fd);
    close(event_fd);
}

static uint32_t submit(uint64_t id)
{
    uint32_t slot = channel_take_slot(node);
    CHECK(slot != UINT32_MAX);
    struct channel_call call = {.id = id, .input_len = 4};
    memcpy(channel_input(node, slot), "ping", 4);
    channel_submit(node, slot, &call);
    channel_ring(node);
    return slot;
}

static void complete(uint32_t slot, struct channel_result result)
{
    if (channel_complete(worker, slot, &result)) {
        channel_wake_node(worker);
    }
}

static int next(uint32_t *slot, struct channel_result *result)
{
    struct channel_views views;
    return channel_next_completion(node, slot, result, &views);
}

TEST(calls_go_in_and_results_come_out)
{
    struct channel_call call;
    struct channel_result result;
    struct channel_views views;
    uint32_t slot, back;
    open_both();
    CHECK_INT(next(&back, &result), ==, 0);
    CHECK(!channel_take(worker, &slot, &call));
    uint32_t sent = submit(7);
    CHECK_INT(channel_pending(worker), ==, 1);
    CHECK(channel_take(worker, &slot, &call));
    CHECK_INT(slot, ==, sent);
    CHECK_INT(call.id, ==, 7);
    CHECK(wm_view_eq_str(channel_input_view(worker, slot, call.input_len), "ping"));
    memcpy(channel_output(worker, slot), "pong", 4);
    memcpy(channel_result_text(worker, slot), "A: b\nnodeep", 11);
    complete(slot, (struct channel_result){
                       .output_len = 4, .headers_len = 5, .message_len = 2, .backtrace_len = 4});
    uint64_t count = 0;
    CHECK_INT(read(event_fd, &count, sizeof count), ==, 8); /* the node had seen everything */
    CHECK_INT(channel_next_completion(node, &back, &result, &views), ==, 1);
    CHECK_INT(back, ==, slot);
    CHECK(wm_view_eq_str(views.output, "pong") && wm_view_eq_str(views.headers, "A: b\n"));
    CHECK(wm_view_eq_str(views.message, "no") && wm_view_eq_str(views.backtrace, "deep"));
    channel_free_slot(node, back);
    close_both();
}

TEST(all_slots_can_be_out_and_no_more)
{
    struct channel_call call;
    struct channel_result result;
    uint32_t slot;
    open_both();
    for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
        submit(i);
    }
    CHECK_INT(channel_take_slot(node), ==, UINT32_MAX);
    for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
        CHECK(channel_take(worker, &slot, &call));
        CHECK_INT(call.id, ==, i); /* first in, first out */
        complete(slot, (struct channel_result){0});
    }
    for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
        CHECK_INT(next(&slot, &result), ==, 1);
        channel_free_slot(node, slot);
    }
    CHECK_INT(next(&slot, &result), ==, 0);
    close_both();
}

TEST(a_slot_that_was_taken_in_vain_is_given_back)
{
    open_both();
    for (uint32_t i = 0; i < 3 * CHANNEL_SLOTS; i++) {
        uint32_t slot = channel_take_slot(node);
        CHECK(slot != UINT32_MAX);
        channel_free_slot(node, slot);
    }
    close_both();
}

/* --- What a hostile worker may write --- */

static int after(void (*break_it)(uint32_t slot))
{
    struct channel_call call;
    struct channel_result result = {0};
    uint32_t slot;
    open_both();
    submit(1);
    CHECK(channel_take(worker, &slot, &call));
    break_it(slot);
    int rc = next(&slot, &result);
    close_both();
    return rc;
}

static void bad_number(uint32_t slot)
{
    (void)slot;
    complete(0, (struct channel_result){0});
    raw->completions[0] = CHANNEL_SLOTS;
}

static void never_out(uint32_t slot)
{
    complete((slot + 1) % CHANNEL_SLOTS, (struct channel_result){0});
}

static void tail_too_far(uint32_t slot)
{
    complete(slot, (struct channel_result){0});
    raw->completed.tail = CHANNEL_SLOTS + 1;
}

static void tail_behind(uint32_t slot)
{
    (void)slot;
    raw->completed.tail = UINT32_MAX;
}

static void bad_end(uint32_t slot)
{
    complete(slot, (struct channel_result){.end = CALL_ENDS});
}

static void long_output(uint32_t slot)
{
    complete(slot, (struct channel_result){.output_len = CALL_OUTPUT_BYTES_MAX + 1});
}

static void long_headers(uint32_t slot)
{
    complete(slot, (struct channel_result){.headers_len = UINT32_MAX});
}

static void long_message(uint32_t slot)
{
    complete(slot, (struct channel_result){.headers_len = 1, .message_len = CHANNEL_TEXT_BYTES});
}

static void long_backtrace(uint32_t slot)
{
    complete(slot, (struct channel_result){.headers_len = 1,
                                           .message_len = CHANNEL_TEXT_BYTES - 2,
                                           .backtrace_len = 2});
}

TEST(results_out_of_form_are_refused)
{
    CHECK_INT(after(bad_number), ==, WM_E_MALFORMED);
    CHECK_INT(after(never_out), ==, WM_E_MALFORMED);
    CHECK_INT(after(tail_too_far), ==, WM_E_MALFORMED);
    CHECK_INT(after(tail_behind), ==, WM_E_MALFORMED);
    CHECK_INT(after(bad_end), ==, WM_E_MALFORMED);
    CHECK_INT(after(long_output), ==, WM_E_MALFORMED);
    CHECK_INT(after(long_headers), ==, WM_E_MALFORMED);
    CHECK_INT(after(long_message), ==, WM_E_MALFORMED);
    CHECK_INT(after(long_backtrace), ==, WM_E_MALFORMED);
}

TEST(a_call_ends_once)
{
    struct channel_call call;
    struct channel_result result;
    uint32_t slot, back;
    open_both();
    submit(1);
    CHECK(channel_take(worker, &slot, &call));
    complete(slot, (struct channel_result){0});
    complete(slot, (struct channel_result){0});
    CHECK_INT(next(&back, &result), ==, 1);
    CHECK_INT(next(&back, &result), ==, WM_E_MALFORMED);
    close_both();
}

TEST(reports_are_kept_until_they_are_read)
{
    struct channel_report report = {.id = 1}, got;
    open_both();
    CHECK_INT(channel_next_report(node, &got), ==, 0);
    for (uint32_t i = 0; i < 5 * CHANNEL_REPORTS; i++) {
        report.id = i;
        channel_report(worker, &report);
        if (i >= 10) { /* the ring is never empty */
            CHECK_INT(channel_next_report(node, &got), ==, 1);
            CHECK_INT(got.id, ==, i - 10);
        }
    }
    close_both();
}

TEST(reports_out_of_form_are_refused)
{
    struct channel_report report = {.result.end = CALL_ENDS}, got;
    open_both();
    channel_report(worker, &report);
    CHECK_INT(channel_next_report(node, &got), ==, WM_E_MALFORMED);
    close_both();
    open_both();
    raw->reported.tail = CHANNEL_REPORTS + 1;
    CHECK_INT(channel_next_report(node, &got), ==, WM_E_MALFORMED);
    close_both();
}

TEST(large_windows_are_given_back)
{
    struct channel_call call = {.input_len = CALL_INPUT_BYTES_MAX}, taken;
    struct channel_result result;
    struct stat before, after_all;
    uint32_t slot, back;
    open_both();
    for (int i = 0; i < 3; i++) {
        slot = channel_take_slot(node);
        memset(channel_input(node, slot), 1, CALL_INPUT_BYTES_MAX);
        channel_submit(node, slot, &call);
        CHECK(channel_take(worker, &slot, &taken));
        memset(channel_output(worker, slot), 2, CALL_OUTPUT_BYTES_MAX);
        complete(slot, (struct channel_result){.output_len = CALL_OUTPUT_BYTES_MAX});
        CHECK_INT(next(&back, &result), ==, 1);
        raw->slots[slot].result.output_len = 0; /* what was told is what counts */
        CHECK_INT(fstat(fd, &before), ==, 0);
        channel_free_slot(node, back);
        CHECK_INT(fstat(fd, &after_all), ==, 0);
        CHECK_INT(before.st_blocks, >=, (CALL_INPUT_BYTES_MAX + CALL_OUTPUT_BYTES_MAX) / 512);
        CHECK_INT(after_all.st_blocks, <, (1 << 20) / 512);
    }
    close_both();
}

TEST(another_file_is_refused)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct channel *channel;
    int other = memfd_create("other", MFD_CLOEXEC);
    CHECK_INT(ftruncate(other, 4096), ==, 0);
    CHECK_INT(channel_attach(other, -1, &channel, &diag), ==, WM_E_MALFORMED);
    close(other);
}

/* --- Both at once --- */

#define ROUNDS 20000u

static void *executor(void *arg)
{
    uint32_t slot;
    struct channel_call call;
    _Atomic bool *stop = arg;
    while (!atomic_load(stop)) {
        uint32_t seen = channel_doorbell(worker);
        if (channel_take(worker, &slot, &call)) {
            memcpy(channel_output(worker, slot), &call.id, sizeof call.id);
            complete(slot, (struct channel_result){.output_len = sizeof call.id});
        } else if (!atomic_load(stop)) {
            channel_wait(worker, seen);
        }
    }
    return NULL;
}

TEST(several_threads_take_and_complete)
{
    pthread_t threads[3];
    _Atomic bool stop = false;
    static uint64_t ids[CHANNEL_SLOTS];
    struct channel_result result;
    struct channel_views views;
    uint32_t slot, out = 0, done = 0, wrong = 0;
    open_both();
    for (int i = 0; i < 3; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, executor, &stop), ==, 0);
    }
    for (uint64_t id = 1; done < ROUNDS;) {
        while (out < 40 && id <= ROUNDS) {
            slot = channel_take_slot(node);
            ids[slot] = id;
            struct channel_call call = {.id = id++};
            channel_submit(node, slot, &call);
            out++;
        }
        channel_ring(node);
        while (channel_next_completion(node, &slot, &result, &views) == 1) {
            uint64_t got;
            memcpy(&got, views.output.ptr, sizeof got);
            wrong += got != ids[slot];
            channel_free_slot(node, slot);
            out--;
            done++;
        }
    }
    CHECK_INT(wrong, ==, 0);
    atomic_store(&stop, true);
    channel_wake(worker, INT32_MAX);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    close_both();
}

TEST_MAIN(TEST_CASE(calls_go_in_and_results_come_out), TEST_CASE(all_slots_can_be_out_and_no_more),
          TEST_CASE(a_slot_that_was_taken_in_vain_is_given_back),
          TEST_CASE(results_out_of_form_are_refused), TEST_CASE(a_call_ends_once),
          TEST_CASE(reports_are_kept_until_they_are_read),
          TEST_CASE(reports_out_of_form_are_refused), TEST_CASE(large_windows_are_given_back),
          TEST_CASE(another_file_is_refused), TEST_CASE(several_threads_take_and_complete))
