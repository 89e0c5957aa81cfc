/* base_test.c: views, cursors, LEB128, arena, vectors, diagnostics, fault injection. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/arith.h"
#include "base/diag.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "base/vec.h"
#include "base/view.h"

TEST(view_slice_stays_inside)
{
    struct wm_view view = wm_view_str("abcdef"), out = {0};
    CHECK(wm_view_slice(view, 2, 3, &out));
    CHECK(wm_view_eq_str(out, "cde"));
    CHECK(wm_view_slice(view, 6, 0, &out));
    CHECK(!wm_view_slice(view, 7, 0, &out));
    CHECK(!wm_view_slice(view, 5, 2, &out));
    CHECK(!wm_view_slice(view, 1, SIZE_MAX, &out));
}

static enum wm_leb uleb(const char *bytes, size_t len, unsigned bits, uint64_t *out)
{
    struct wm_cursor cursor = wm_cursor_of(wm_view_of(bytes, len));
    return wm_cursor_uleb(&cursor, bits, out);
}

static enum wm_leb sleb(const char *bytes, size_t len, unsigned bits, int64_t *out)
{
    struct wm_cursor cursor = wm_cursor_of(wm_view_of(bytes, len));
    return wm_cursor_sleb(&cursor, bits, out);
}

TEST(leb128_follows_the_specification)
{
    uint64_t u = 0;
    int64_t s = 0;
    CHECK_INT(uleb("\xe5\x8e\x26", 3, 32, &u), ==, WM_LEB_OK);
    CHECK_INT(u, ==, 624485);
    CHECK_INT(uleb("\xff\xff\xff\xff\x0f", 5, 32, &u), ==, WM_LEB_OK);
    CHECK_INT(u, ==, UINT32_MAX);
    CHECK_INT(uleb("\xff\xff\xff\xff\x1f", 5, 32, &u), ==, WM_LEB_TOO_LARGE);
    CHECK_INT(uleb("\x80\x80\x80\x80\x80\x00", 6, 32, &u), ==, WM_LEB_TOO_LONG);
    CHECK_INT(uleb("\x80", 1, 32, &u), ==, WM_LEB_END);
    CHECK_INT(uleb("\x80\x00", 2, 32, &u), ==, WM_LEB_OK);
    CHECK_INT(u, ==, 0);
    CHECK_INT(sleb("\xc0\xbb\x78", 3, 32, &s), ==, WM_LEB_OK);
    CHECK_INT(s, ==, -123456);
    CHECK_INT(sleb("\x80\x80\x80\x80\x78", 5, 32, &s), ==, WM_LEB_OK);
    CHECK_INT(s, ==, INT32_MIN);
    CHECK_INT(sleb("\x80\x80\x80\x80\x08", 5, 32, &s), ==, WM_LEB_TOO_LARGE);
    CHECK_INT(sleb("\xff\xff\xff\xff\x0f", 5, 32, &s), ==, WM_LEB_TOO_LARGE);
    CHECK_INT(sleb("\x7f", 1, 64, &s), ==, WM_LEB_OK);
    CHECK_INT(s, ==, -1);
    CHECK_INT(sleb("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", 10, 64, &s), ==, WM_LEB_OK);
    CHECK(s == INT64_MIN);
    CHECK_INT(sleb("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7e", 10, 64, &s), ==, WM_LEB_TOO_LARGE);
    CHECK_INT(sleb("\x40", 1, 33, &s), ==, WM_LEB_OK);
    CHECK_INT(s, ==, -64);
}

TEST(cursor_failure_moves_nothing)
{
    struct wm_cursor cursor = wm_cursor_of(wm_view_of("\x80\x80", 2));
    uint64_t value;
    uint32_t word;
    CHECK_INT(wm_cursor_uleb(&cursor, 32, &value), ==, WM_LEB_END);
    CHECK(!wm_cursor_u32(&cursor, &word));
    CHECK_INT(wm_cursor_offset(&cursor), ==, 0);
    CHECK_INT(wm_cursor_left(&cursor), ==, 2);
}

TEST(arena_zeroes_aligns_and_limits)
{
    struct wm_arena arena;
    wm_arena_init(&arena, 1000000);
    for (size_t i = 1; i < 300; i++) {
        uint8_t *bytes = wm_arena_take(&arena, 1, i);
        REQUIRE(bytes);
        CHECK_INT((uintptr_t)bytes % 16, ==, 0);
        CHECK(bytes[0] == 0 && bytes[i - 1] == 0);
        memset(bytes, 0xff, i);
    }
    CHECK(wm_arena_take(&arena, 1, 1000000) == NULL);
    CHECK(wm_arena_take(&arena, SIZE_MAX / 2, 3) == NULL);
    CHECK(wm_arena_take(&arena, 0, 8) != NULL);
    wm_arena_fini(&arena);
    CHECK(wm_arena_take(&arena, 1, 500000) != NULL);
    wm_arena_fini(&arena);
}

TEST(arena_keeps_a_block_over_a_reset)
{
    struct wm_arena arena;
    wm_arena_init(&arena, 3000000);
    wm_arena_reset(&arena);
    uint8_t *first = wm_arena_take(&arena, 1, 100);
    REQUIRE(first);
    memset(first, 1, 100);
    wm_arena_reset(&arena);
    uint8_t *again = wm_arena_take(&arena, 1, 50);
    CHECK(again == first);
    CHECK(again && again[0] == 0 && again[49] == 0);
    for (int i = 0; i < 10; i++) { /* into more blocks, and back */
        CHECK(wm_arena_take(&arena, 1, 50000) != NULL);
    }
    wm_arena_reset(&arena);
    CHECK(wm_arena_take(&arena, 1, 2999000) != NULL); /* larger than what is kept */
    wm_arena_reset(&arena);
    CHECK(arena.newest == NULL);
    CHECK(wm_arena_take(&arena, 1, 2999000) != NULL);
    wm_arena_fini(&arena);
}

TEST(every_failing_allocation_is_survived)
{
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n); rounds++) {
        WM_VEC(int) numbers = {0};
        struct wm_arena arena;
        wm_arena_init(&arena, 0);
        int pushed = 0;
        for (int i = 0; i < 100; i++) {
            pushed += wm_vec_push(&numbers, i) == 0;
        }
        void *taken = wm_arena_take(&arena, 1, 100);
        CHECK_INT((int)numbers.count, ==, pushed);
        CHECK(wm_fault_fired(WM_FAULT_ALLOC) || (taken && pushed == 100));
        wm_vec_fini(&numbers);
        wm_arena_fini(&arena);
    }
    CHECK_INT(rounds, >, 2);
}

TEST(diag_prefixes_and_cuts)
{
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(wm_diag_set(&diag, WM_E_MALFORMED, "offset %d: bad magic", 0), ==, WM_E_MALFORMED);
    wm_diag_prefix(&diag, "%s", "a.wasm");
    CHECK_STR(wm_diag_text(&diag), "a.wasm: offset 0: bad magic");
    for (int i = 0; i < 100; i++) {
        wm_diag_prefix(&diag, "level %d", i);
    }
    CHECK_INT(strlen(diag.text), ==, sizeof diag.text - 1);
    CHECK_STR(diag.text + sizeof diag.text - 4, "...");
    CHECK_INT(wm_diag_set(NULL, -ENOENT, "nobody listens"), ==, -ENOENT);
    struct wm_diag empty = WM_DIAG_INIT;
    CHECK_INT(wm_diag_default(&empty, -ENOENT, "open"), ==, -ENOENT);
    CHECK_STR(wm_diag_text(&empty), "open: No such file or directory");
    char quoted[12];
    CHECK_STR(wm_diag_quote(quoted, sizeof quoted, "a\n\x1b[31m", 7), "a\\x0a...");
}

TEST(error_names_cover_both_ranges)
{
    CHECK_STR(wm_error_name(WM_E_FORGED), "WM_E_FORGED");
    CHECK_STR(wm_error_name(-ENOMEM), "ENOMEM");
    CHECK_STR(wm_error_name(-999999), "unknown");
    CHECK_STR(wm_error_text(WM_E_LIMIT), "a limit was reached");
}

TEST(ranges_never_overflow)
{
    uint64_t out;
    CHECK(wm_range_fits(0, 0, 0));
    CHECK(wm_range_fits(5, 5, 10));
    CHECK(!wm_range_fits(6, 5, 10));
    CHECK(!wm_range_fits(UINT64_MAX, 2, 10));
    CHECK(wm_align_up_u64(4097, 4096, &out) && out == 8192);
    CHECK(!wm_align_up_u64(UINT64_MAX, 4096, &out));
}

TEST_MAIN(TEST_CASE(view_slice_stays_inside), TEST_CASE(leb128_follows_the_specification),
          TEST_CASE(cursor_failure_moves_nothing), TEST_CASE(arena_zeroes_aligns_and_limits),
          TEST_CASE(arena_keeps_a_block_over_a_reset),
          TEST_CASE(every_failing_allocation_is_survived), TEST_CASE(diag_prefixes_and_cuts),
          TEST_CASE(error_names_cover_both_ranges), TEST_CASE(ranges_never_overflow))
