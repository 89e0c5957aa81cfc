#include "api/invoke.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"

static int parse(char letter, const char *text, union wm_value *out)
{
    return invoke_parse(letter, text, out, NULL);
}

TEST(integers_take_both_readings)
{
    union wm_value value;
    static const struct {
        const char *text;
        uint32_t value;
    } good[] = {
        {"0", 0},
        {"42", 42},
        {"-1", UINT32_MAX},
        {"4294967295", UINT32_MAX},
        {"-2147483648", UINT32_C(1) << 31},
        {"0x10", 16},
        {"-0x10", UINT32_MAX - 15},
        {"010", 10}, /* never octal */
    };
    for (size_t i = 0; i < WM_COUNT_OF(good); i++) {
        CHECK_INT(parse('i', good[i].text, &value), ==, 0);
        CHECK_INT(value.i32, ==, good[i].value);
    }
    CHECK_INT(parse('I', "-9223372036854775808", &value), ==, 0);
    CHECK(value.i64 == UINT64_C(1) << 63);
    CHECK_INT(parse('I', "18446744073709551615", &value), ==, 0);
    CHECK(value.i64 == UINT64_MAX);
}

TEST(what_is_no_number_is_refused)
{
    union wm_value value;
    static const char *const bad[] = {"",    " 1",         "1 ",          "--1", "+1", "0x",
                                      "1.5", "4294967296", "-2147483649", "abc", "1e3"};
    for (size_t i = 0; i < WM_COUNT_OF(bad); i++) {
        struct wm_diag diag = WM_DIAG_INIT;
        CHECK_INT(invoke_parse('i', bad[i], &value, &diag), ==, WM_E_USAGE);
        CHECK(strstr(diag.text, "not an i32") != NULL);
    }
    CHECK_INT(parse('I', "18446744073709551616", &value), ==, WM_E_USAGE);
    CHECK_INT(parse('I', "-9223372036854775809", &value), ==, WM_E_USAGE);
    CHECK_INT(parse('F', "", &value), ==, WM_E_USAGE);
    CHECK_INT(parse('F', "1.5x", &value), ==, WM_E_USAGE);
    CHECK_INT(parse('v', "1", &value), ==, WM_E_UNSUPPORTED);
    CHECK_INT(parse('e', "0", &value), ==, WM_E_UNSUPPORTED);
}

TEST(values_survive_text)
{
    static const struct {
        char letter;
        const char *text;
    } cases[] = {{'i', "-1"},
                 {'I', "-9223372036854775808"},
                 {'f', "0.100000001"},
                 {'F', "0.1"},
                 {'F', "inf"},
                 {'F', "-0"},
                 {'f', "3.40282347e+38"}};
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        union wm_value before, after;
        char text[64];
        REQUIRE(parse(cases[i].letter, cases[i].text, &before) == 0);
        REQUIRE(invoke_print(cases[i].letter, &before, text, sizeof text) > 0);
        REQUIRE(parse(cases[i].letter, text, &after) == 0);
        CHECK(memcmp(&before, &after, sizeof before) == 0);
    }
    union wm_value vector = {.v128 = {1, 2}};
    char text[64];
    CHECK_INT(invoke_print('v', &vector, text, sizeof text), ==, 34);
    CHECK_STR(text, "0x00000000000000020000000000000001");
}

TEST_MAIN(TEST_CASE(integers_take_both_readings), TEST_CASE(what_is_no_number_is_refused),
          TEST_CASE(values_survive_text))
