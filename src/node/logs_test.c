/* Lines of functions: numbers, limits, and who sees what. */
#include "node/logs.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"
#include "node/jsonx.h"

static size_t lines_of(struct logs *logs, const char *tenant, const char *function, uint64_t since,
                       uint32_t limit, uint64_t *first)
{
    json_t *json = logs_show(logs, tenant, function, since, limit);
    const json_t *list = json_object_get(json, "lines");
    size_t count = json_array_size(list);
    *first = (uint64_t)json_integer_value(json_object_get(json_array_get(list, 0), "seq"));
    json_decref(json);
    return count;
}

TEST(numbers_lines)
{
    struct logs *logs;
    uint64_t first;
    REQUIRE(logs_new(&logs) == 0);
    logs_add(logs, "t", "f:latest", 7, 1, wm_view_str("one\ntwo\nthree"));
    logs_add(logs, "t", "f", 8, 2, wm_view_str("four\n"));
    CHECK_INT(lines_of(logs, "t", "f", 0, 100, &first), ==, 4);
    CHECK_INT(first, ==, 1);
    CHECK_INT(lines_of(logs, "t", "f@3", 3, 100, &first), ==, 2);
    CHECK_INT(first, ==, 3);
    CHECK_INT(lines_of(logs, "t", "f", 0, 1, &first), ==, 1);
    CHECK_INT(first, ==, 4);
    CHECK_INT(lines_of(logs, "u", "f", 0, 100, &first), ==, 0);
    logs_remove(logs, "t", "f");
    CHECK_INT(lines_of(logs, "t", "f", 0, 100, &first), ==, 0);
    logs_free(logs);
}

TEST(keeps_the_newest)
{
    static char line[2 * LOGS_LINE_BYTES_MAX];
    struct logs *logs;
    uint64_t first;
    memset(line, 'x', sizeof line);
    REQUIRE(logs_new(&logs) == 0);
    for (int i = 0; i < 1000; i++) {
        logs_add(logs, "t", "f", 1, i, wm_view_of(line, sizeof line));
    }
    size_t count = lines_of(logs, "t", "f", 0, LOGS_LINES_MAX, &first);
    CHECK(count > 0 && count * LOGS_LINE_BYTES_MAX <= LOGS_FUNCTION_BYTES);
    CHECK_INT(first + count, ==, 1001);
    logs_free(logs);
}

/* A tenant with many functions loses the quiet ones; another tenant loses nothing. */
TEST(bounds_a_tenant)
{
    static char line[LOGS_LINE_BYTES_MAX];
    struct logs *logs;
    uint64_t first;
    unsigned kept = 0;
    memset(line, 'x', sizeof line);
    REQUIRE(logs_new(&logs) == 0);
    logs_add(logs, "other", "f", 1, 0, wm_view_str("mine"));
    for (int f = 0; f < 40; f++) {
        char name[8];
        snprintf(name, sizeof name, "f%d", f);
        for (int i = 0; i < 100; i++) {
            logs_add(logs, "t", name, 1, f * 100 + i, wm_view_of(line, sizeof line));
        }
    }
    for (int f = 0; f < 40; f++) {
        char name[8];
        snprintf(name, sizeof name, "f%d", f);
        kept += lines_of(logs, "t", name, 0, LOGS_LINES_MAX, &first) > 0;
    }
    CHECK(kept >= 10 && kept <= LOGS_TENANT_BYTES / LOGS_FUNCTION_BYTES + 1);
    CHECK(lines_of(logs, "t", "f39", 0, LOGS_LINES_MAX, &first) > 0);
    CHECK_INT(lines_of(logs, "other", "f", 0, 9, &first), ==, 1);
    logs_free(logs);
}

TEST(any_bytes_become_json)
{
    struct logs *logs;
    REQUIRE(logs_new(&logs) == 0);
    logs_add(logs, "t", "f", 1, 1, wm_view_of("a\xff\0\x1b[31m", 8));
    json_t *json = logs_show(logs, "t", "f", 0, 10);
    const json_t *line = json_array_get(json_object_get(json, "lines"), 0);
    CHECK_STR(jsonx_text(line, "text"), "a\\xff\\x00\x1b[31m");
    json_decref(json);
    logs_free(logs);
}

TEST_MAIN(TEST_CASE(numbers_lines), TEST_CASE(keeps_the_newest), TEST_CASE(bounds_a_tenant),
          TEST_CASE(any_bytes_become_json))
