/* Cron expressions: what is accepted, why others are not, and when they come; against a calendar
 * that is not ours (gmtime), minute by minute. */
#include "node/cron.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/test.h"

static int64_t at(int year, int month, int day, int hour, int minute)
{
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute};
    return (int64_t)timegm(&tm);
}

static int64_t next(const char *expression, int64_t after)
{
    struct cron cron;
    struct wm_diag diag = WM_DIAG_INIT;
    if (cron_parse(wm_view_str(expression), &cron, &diag) != 0) {
        wm_test_note("%s: %s", expression, wm_diag_text(&diag));
        return -1;
    }
    return cron_next(&cron, after);
}

TEST(known_times)
{
    int64_t t = at(2024, 2, 28, 23, 59);
    CHECK_INT(next("* * * * *", t), ==, t + 60);
    CHECK_INT(next("* * * * *", t + 59), ==, t + 60);
    CHECK_INT(next("* * * * *", t - 1), ==, t);
    CHECK_INT(next("0 0 29 2 *", t), ==, at(2024, 2, 29, 0, 0));
    CHECK_INT(next("0 0 29 2 *", at(2024, 2, 29, 0, 0)), ==, at(2028, 2, 29, 0, 0));
    CHECK_INT(next("0 0 29 feb *", at(2097, 1, 1, 0, 0)), ==, at(2104, 2, 29, 0, 0)); /* not 2100 */
    CHECK_INT(next("30 4 1,15 * 5", at(2024, 5, 1, 4, 30)), ==, at(2024, 5, 3, 4, 30)); /* Friday */
    CHECK_INT(next("0 12 13 * fri", at(2024, 9, 13, 12, 0)), ==, at(2024, 9, 20, 12, 0));
    CHECK_INT(next("0 0 */2 * mon", at(2024, 4, 1, 0, 0)), ==, at(2024, 4, 15, 0, 0)); /* both */
    CHECK_INT(next("*/15 8-18/2 * * 1-5", at(2024, 6, 7, 18, 45)), ==, at(2024, 6, 10, 8, 0));
    CHECK_INT(next("0 0 * * 7", at(2024, 6, 7, 0, 0)), ==, at(2024, 6, 9, 0, 0));
    CHECK_INT(next("0 0 * * 5-7", at(2024, 6, 8, 0, 0)), ==, at(2024, 6, 9, 0, 0));
    CHECK_INT(next(" 59\t23   31 12 * ", at(2023, 12, 31, 23, 59)), ==, at(2024, 12, 31, 23, 59));
    CHECK_INT(next("@hourly", at(2024, 1, 1, 0, 0)), ==, at(2024, 1, 1, 1, 0));
    CHECK_INT(next("@daily", at(2024, 12, 31, 1, 0)), ==, at(2025, 1, 1, 0, 0));
    CHECK_INT(next("@weekly", at(2024, 6, 7, 0, 0)), ==, at(2024, 6, 9, 0, 0));
    CHECK_INT(next("@monthly", at(2024, 1, 1, 0, 0)), ==, at(2024, 2, 1, 0, 0));
    CHECK_INT(next("@yearly", at(2024, 1, 1, 0, 0)), ==, at(2025, 1, 1, 0, 0));
    CHECK_INT(next("0 0 29 2 */7", at(2024, 3, 1, 0, 0)), ==, at(2032, 2, 29, 0, 0)); /* a Sunday */
    CHECK_INT(next("5 5 5 5 *", -1000), ==, 124 * 86400 + 5 * 3600 + 300);
    CHECK_INT(next("0 0 1 1 *", -1000), ==, 0);
    CHECK_INT(next("* * * * *", -1000), ==, -960);
}

TEST(there_is_no_daylight_saving)
{
    /* The nights of Europe's and America's changes in 2024: each has its 02:30 once. */
    CHECK_INT(next("30 2 * * *", at(2024, 3, 31, 0, 0)), ==, at(2024, 3, 31, 2, 30));
    CHECK_INT(next("30 2 * * *", at(2024, 10, 27, 2, 30)), ==, at(2024, 10, 28, 2, 30));
    CHECK_INT(next("30 2 * * *", at(2024, 3, 10, 0, 0)), ==, at(2024, 3, 10, 2, 30));
}

TEST(far_away)
{
    struct cron cron;
    REQUIRE(cron_parse(wm_view_str("* * * * *"), &cron, NULL) == 0);
    CHECK(cron_next(&cron, INT64_MAX) == CRON_NEVER);
    CHECK(cron_next(&cron, INT64_MIN) == CRON_NEVER);
    CHECK(cron_next(&cron, CRON_SECONDS_MAX) != CRON_NEVER);
    CHECK(cron_next(&cron, -CRON_SECONDS_MAX) != CRON_NEVER);
    CHECK(!cron_matches(&cron, INT64_MIN));
}

TEST(invalid_ones_say_why)
{
    static const struct {
        const char *text, *field, *reason;
    } cases[] = {
        {"", "minute", "missing"},
        {"   ", "minute", "missing"},
        {"* * * *", "weekday", "missing"},
        {"* * * * * *", "", "more than five"},
        {"60 * * * *", "minute", "out of range"},
        {"* 24 * * *", "hour", "out of range"},
        {"* * 0 * *", "day of month", "out of range"},
        {"* * 32 * *", "day of month", "out of range"},
        {"* * * 13 *", "month", "out of range"},
        {"* * * 0 *", "month", "out of range"},
        {"* * * * 8", "weekday", "out of range"},
        {"99999999999 * * * *", "minute", "out of range"},
        {"-1 * * * *", "minute", "missing"},
        {"5- * * * *", "minute", "missing"},
        {"5,,6 * * * *", "minute", "missing"},
        {"5, * * * *", "minute", "missing"},
        {"10-5 * * * *", "minute", "ends before"},
        {"* * * * fri-mon", "weekday", "ends before"},
        {"5/2 * * * *", "minute", "step needs"},
        {"*/0 * * * *", "minute", "at least 1"},
        {"*/ * * * *", "minute", "at least 1"},
        {"*/99 * * * *", "minute", "within"},
        {"*/99999999 * * * *", "minute", "within"},
        {"** * * * *", "minute", "left over"},
        {"*5 * * * *", "minute", "left over"},
        {"1-2-3 * * * *", "minute", "left over"},
        {"jan * * * *", "minute", "not a number"},
        {"* * * fri *", "month", "not a number"},
        {"* * * january *", "month", "left over"},
        {"* * * * mo", "weekday", "not a number"},
        {"? * * * *", "minute", "not a number"},
        {"* * L * *", "day of month", "not a number"},
        {"* * 30 2 *", "day of month", "no such day"},
        {"* * 31 4,6,9,11 *", "day of month", "no such day"},
        {"@reboot", "@reboot", "is not one of"},
        {"@", "@", "is not one of"},
        {"@daily x", "@daily x", "is not one of"},
        {"* * *\n* *", "day of month", "left over"},
        {"\x01\x1b[2J * * * *", "minute", "\\x1b"},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct cron cron;
        struct wm_diag diag = WM_DIAG_INIT;
        CHECK_INT(cron_parse(wm_view_str(cases[i].text), &cron, &diag), ==, WM_E_INVALID);
        bool says = strstr(diag.text, cases[i].field) && strstr(diag.text, cases[i].reason);
        CHECK(says);
        if (!says) {
            wm_test_note("\"%s\" gives \"%s\"", cases[i].text, wm_diag_text(&diag));
        }
    }
    char longer[CRON_BYTES_MAX + 1];
    memset(longer, ' ', sizeof longer);
    memcpy(longer, "* * * * *", 9);
    struct cron cron;
    CHECK_INT(cron_parse(wm_view_of(longer, sizeof longer), &cron, NULL), ==, WM_E_LIMIT);
    CHECK_INT(cron_parse(wm_view_of(longer, sizeof longer - 1), &cron, NULL), ==, 0);
    CHECK_INT(cron_parse((struct wm_view){NULL, 0}, &cron, NULL), ==, WM_E_INVALID);
}

/* The oracle: the fields as lists of numbers that the generator chose, and the C library's
 * calendar. */
struct chosen {
    bool in[5][64];
    bool open[5];
    char text[CRON_BYTES_MAX];
};

static uint32_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static void choose(struct chosen *c, uint64_t *state)
{
    static const int lows[5] = {0, 0, 1, 1, 0}, highs[5] = {59, 23, 28, 12, 7};
    size_t used = 0;
    memset(c, 0, sizeof *c);
    for (int f = 0; f < 5; f++) {
        int low = lows[f], high = highs[f], count = 1 + (int)draw(state) % 3;
        for (int part = 0; part < count; part++) {
            char item[32];
            int kind = (int)draw(state) % 5;
            int a = low + (int)draw(state) % (high - low + 1);
            int b = a + (int)draw(state) % (high - a + 1);
            int step = 1 + (int)draw(state) % (high > 9 ? 9 : high);
            if (kind == 0 || (kind == 1 && f > 1)) {
                snprintf(item, sizeof item, "*");
                a = low;
                b = f == 2 ? 31 : high;
                step = 1;
            } else if (kind == 1) {
                snprintf(item, sizeof item, "*/%d", step);
                a = low;
                b = high;
            } else if (kind == 2) {
                snprintf(item, sizeof item, "%d-%d/%d", a, b, step);
            } else if (kind == 3) {
                snprintf(item, sizeof item, "%d-%d", a, b);
                step = 1;
            } else {
                snprintf(item, sizeof item, "%d", a);
                b = a;
            }
            c->open[f] = c->open[f] || (part == 0 && item[0] == '*');
            for (int v = a; v <= b; v += step) {
                c->in[f][f == 4 ? v % 7 : v] = true;
            }
            used += (size_t)snprintf(c->text + used, sizeof c->text - used, "%s%s",
                                     part ? ","
                                     : f  ? " "
                                          : "",
                                     item);
        }
    }
}

static bool oracle(const struct chosen *c, int64_t minute)
{
    time_t t = (time_t)(minute * 60);
    struct tm tm;
    gmtime_r(&t, &tm);
    bool day = c->in[2][tm.tm_mday], weekday = c->in[4][tm.tm_wday];
    bool days = !c->open[2] && !c->open[4] ? day || weekday : day && weekday;
    return c->in[0][tm.tm_min] && c->in[1][tm.tm_hour] && c->in[3][tm.tm_mon + 1] && days;
}

TEST(agrees_with_stepping_by_minutes)
{
    uint64_t state = 20260101;
    int reached = 0;
    for (int round = 0; round < 400; round++) {
        struct chosen c;
        struct cron cron;
        struct wm_diag diag = WM_DIAG_INIT;
        choose(&c, &state);
        if (cron_parse(wm_view_str(c.text), &cron, &diag) != 0) {
            wm_test_note("%s: %s", c.text, wm_diag_text(&diag));
            CHECK(false);
            continue;
        }
        int64_t after = (int64_t)draw(&state) * 2 - 1000000000;
        int64_t minute = after >= 0 ? after / 60 : -((-after + 59) / 60);
        int64_t found = cron_next(&cron, after);
        int64_t expected = CRON_NEVER;
        for (int64_t m = minute + 1; m < minute + 15000; m++) {
            if (oracle(&c, m) != cron_matches(&cron, m * 60 + 17)) {
                wm_test_note("%s at minute %lld", c.text, (long long)m);
                CHECK(false);
                break;
            }
            if (expected == CRON_NEVER && oracle(&c, m)) {
                expected = m * 60;
                reached++;
            }
        }
        if (expected == CRON_NEVER ? found < (minute + 15000) * 60 : found != expected) {
            wm_test_note("%s after %lld: %lld, not %lld", c.text, (long long)after,
                         (long long)found, (long long)expected);
            CHECK(false);
        }
        /* Beyond the window it must still match, and nothing but a match was skipped. */
        CHECK(cron_matches(&cron, found) && oracle(&c, found / 60));
    }
    CHECK_INT(reached, >, 200);
}

TEST_MAIN(TEST_CASE(known_times), TEST_CASE(there_is_no_daylight_saving), TEST_CASE(far_away),
          TEST_CASE(invalid_ones_say_why), TEST_CASE(agrees_with_stepping_by_minutes))
