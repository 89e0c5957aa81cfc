/* Request lines that are meant well, and others. */
#include "node/uri.h"

#include <string.h>

#include "base/error.h"
#include "base/test.h"

TEST(splits_and_decodes)
{
    char line[] = "/a%2Fb/c?x=1&y=a+b%20c&flag&=v&z=", *path, *query;
    struct uri_param params[URI_PARAMS_MAX];
    REQUIRE(uri_split(line, &path, &query));
    CHECK_STR(path, "/a%2Fb/c");
    REQUIRE(uri_params(query, params) == 5);
    CHECK_STR(params[0].name, "x");
    CHECK_STR(params[0].value, "1");
    CHECK_STR(params[1].value, "a b c");
    CHECK_STR(params[2].name, "flag");
    CHECK_STR(params[2].value, "");
    CHECK_STR(params[4].value, "");
    CHECK(uri_decode(path, false));
    CHECK_STR(path, "/a/b/c");
}

TEST(refuses_what_hides_something)
{
    static const char *const broken[] = {"%", "%1", "%zz", "a%00b", "%0"};
    for (size_t i = 0; i < WM_COUNT_OF(broken); i++) {
        char text[16];
        memcpy(text, broken[i], strlen(broken[i]) + 1);
        CHECK(!uri_decode(text, false));
    }
    char star[] = "*", absolute[] = "http://a/", *path, *query;
    CHECK(!uri_split(star, &path, &query));
    CHECK(!uri_split(absolute, &path, &query));
    char plus[] = "a+b";
    CHECK(uri_decode(plus, false));
    CHECK_STR(plus, "a+b");
}

TEST(limits_parameters)
{
    struct uri_param params[URI_PARAMS_MAX];
    char query[4 * URI_PARAMS_MAX + 8] = "";
    for (unsigned i = 0; i < URI_PARAMS_MAX; i++) {
        memcpy(query + 2 * i, "a&", 3);
    }
    CHECK_INT(uri_params(query, params), ==, URI_PARAMS_MAX);
    for (unsigned i = 0; i <= URI_PARAMS_MAX; i++) {
        memcpy(query + 2 * i, "a&", 3);
    }
    CHECK_INT(uri_params(query, params), ==, WM_E_LIMIT);
}

TEST(names_and_numbers)
{
    uint64_t number;
    char longest[66];
    memset(longest, 'a', 64);
    longest[64] = 0;
    CHECK(uri_name_ok(longest));
    longest[64] = 'a';
    longest[65] = 0;
    CHECK(!uri_name_ok(longest));
    CHECK(uri_name_ok("a-b_c.1") && uri_name_ok("0"));
    CHECK(!uri_name_ok("") && !uri_name_ok(".a") && !uri_name_ok("-a") && !uri_name_ok("a/b") &&
          !uri_name_ok("a b") && !uri_name_ok("\xc3\xa4"));
    CHECK(uri_number("18446744073709551615", UINT64_MAX, &number) && number == UINT64_MAX);
    CHECK(!uri_number("18446744073709551616", UINT64_MAX, &number));
    CHECK(!uri_number("", 9, &number) && !uri_number("-1", 9, &number) &&
          !uri_number("1 ", 9, &number) && !uri_number("10", 9, &number) &&
          !uri_number("+1", 9, &number) && !uri_number("0x1", 9, &number));
}

TEST_MAIN(TEST_CASE(splits_and_decodes), TEST_CASE(refuses_what_hides_something),
          TEST_CASE(limits_parameters), TEST_CASE(names_and_numbers))
