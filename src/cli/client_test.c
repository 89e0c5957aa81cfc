/* client_test.c: the pure parts of the client: texts, paths, tables, pages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test.h"
#include "cli/client_json.h"
#include "cli/client_table.h"
#include "cli/client_url.h"
#include "cli/text.h"

static void check_clean(const char *text, size_t len, const char *want)
{
    char *clean = cli_text_clean(text, len);
    REQUIRE(clean);
    CHECK_STR(clean, want);
    free(clean);
}

#define CLEAN(literal, want) check_clean(literal, sizeof(literal) - 1, want)

TEST(text_escapes_what_a_terminal_obeys)
{
    CLEAN("plain", "plain");
    CLEAN("", "");
    CLEAN("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
          "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    CLEAN("\x1b[2J\r\n\t\x7f", "\\x1b[2J\\x0d\\x0a\\x09\\x7f");
    CLEAN("a\0b", "a\\x00b");
    CLEAN("\xc2\x9b"
          "31m",
          "\\xc2\\x9b31m");
    CLEAN("\x9b"
          "31m",
          "\\x9b31m");
    CLEAN("\xe2\x80\xae"
          "abc",
          "\\xe2\\x80\\xaeabc");
    CLEAN("\xe2\x81\xa6", "\\xe2\\x81\\xa6");
    CLEAN("\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80", "\\xc0\\x80\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80");
    CLEAN("cut \xe2\x82", "cut \\xe2\\x82");
}

TEST(text_columns)
{
    CHECK_INT(cli_text_columns("abc"), ==, 3);
    CHECK_INT(cli_text_columns("\xc3\xbc"), ==, 1);
    CHECK_INT(cli_text_columns("e\xcc\x81"), ==, 1);
    CHECK_INT(cli_text_columns("\xe6\xbc\xa2\xe5\xad\x97"), ==, 4);
    CHECK_INT(cli_text_fitting("\xe6\xbc\xa2\xe5\xad\x97", 3), ==, 3);
    CHECK_INT(cli_text_fitting("abc", 2), ==, 2);
    CHECK_INT(cli_text_fitting("abc", 9), ==, 3);
}

TEST(url_encodes_every_piece)
{
    struct client_url url = client_url_begin("/v1/state");
    client_url_segment(&url, "a/b?c=d&e%f g#\xff~-_.");
    client_url_query(&url, "prefix", "x&y=z");
    client_url_number(&url, "limit", UINT64_MAX);
    CHECK_STR(client_url_text(&url),
              "/v1/state/a%2Fb%3Fc%3Dd%26e%25f%20g%23%FF~-_.?prefix=x%26y%3Dz"
              "&limit=18446744073709551615");
    client_url_free(&url);
    static const char *const dots[][2] = {
        {".", "/x/%2E"}, {"..", "/x/%2E%2E"}, {"...", "/x/..."}, {".a", "/x/.a"}, {"", "/x/"}};
    for (size_t i = 0; i < WM_COUNT_OF(dots); i++) {
        url = client_url_begin("/x");
        client_url_segment(&url, dots[i][0]);
        CHECK_STR(client_url_text(&url), dots[i][1]);
        client_url_free(&url);
    }
    url = client_url_begin("/x");
    client_url_segment_bytes(&url, "\0\r\n", 3);
    CHECK_STR(client_url_text(&url), "/x/%00%0D%0A");
    client_url_free(&url);
}

static char *print_table(const struct client_table *table, size_t width)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    CHECK_INT(client_table_print(table, out, width), ==, 0);
    fclose(out);
    return text;
}

TEST(table_fits)
{
    struct client_table table = {0};
    client_table_column(&table, "NAME", false);
    client_table_column(&table, "EMPTY", false);
    client_table_column(&table, "N", true);
    client_table_row(&table, (const char *const[]){"short", NULL, "1"}, 3);
    client_table_row(&table, (const char *const[]){"a name that is long", "", "1234"}, 3);
    char *text = print_table(&table, 0);
    CHECK_STR(text,
              "NAME                    N\nshort                   1\na name that is long  1234\n");
    free(text);
    text = print_table(&table, 16);
    CHECK_STR(text, "NAME           N\nshort          1\na name th\xe2\x80\xa6  1234\n");
    free(text);
    text = print_table(&table, 1);
    CHECK(strstr(text, "a nam\xe2\x80\xa6"));
    free(text);
    client_table_free(&table);
}

static char *page_of(const char *json)
{
    const char *message;
    json_t *value = client_json_parse(json, strlen(json), &message);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    CHECK(value);
    client_json_page(value, out, 0);
    fclose(out);
    json_decref(value);
    return text;
}

TEST(page_shows_units)
{
    char *text =
        page_of("{\"a_bytes\": 1536, \"b_bytes\": 1000, \"c_bytes\": 268435456, \"t_ms\": 5, "
                "\"on\": true, \"none\": null, \"list\": [1, \"x\"], \"d_bytes\": -5}");
    CHECK(strstr(text, "a_bytes  1536\n"));
    CHECK(strstr(text, "b_bytes  1000\n"));
    CHECK(strstr(text, "c_bytes  256m\n"));
    CHECK(strstr(text, "d_bytes  -5\n"));
    CHECK(strstr(text, "t_ms     5 ms\n"));
    CHECK(strstr(text, "on       yes\n"));
    CHECK(strstr(text, "list     1, x\n"));
    free(text);
    text = page_of("[9223372036854775807, 20480, 1.5]");
    CHECK_STR(text, "9223372036854775807, 20480, 1.5\n");
    free(text);
}

TEST(error_documents)
{
    struct client_error error;
    static const char *const none[] = {"",
                                       "{",
                                       "[]",
                                       "3",
                                       "{\"error\": 3}",
                                       "{\"error\": {}}",
                                       "{\"error\": {\"message\": 3}}",
                                       "{\"error\": {\"message\": \"\"}}"};
    for (size_t i = 0; i < WM_COUNT_OF(none); i++) {
        CHECK(!client_json_error(none[i], strlen(none[i]), &error));
    }
    static const char good[] = "{\"error\": {\"code\": \"trap\", \"message\": \"a\\nb\\u001b\", "
                               "\"detail\": [\"  at f\\nat g\", 3, \"\", \"at h\\u0000\"]}}";
    REQUIRE(client_json_error(good, sizeof good - 1, &error));
    CHECK_STR(error.code, "trap");
    CHECK_STR(error.message, "a\\x0ab\\x1b");
    CHECK_STR(error.detail, "  at f\n  at g\n  at h");
    client_error_free(&error);
    CHECK(!client_json_error(NULL, 0, &error));
}

TEST(files_are_whole_or_not_there)
{
    char folder[] = "/tmp/client_test-XXXXXX", path[64];
    struct client_file file;
    struct stat info;
    REQUIRE(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/f", folder);
    REQUIRE(client_file_open(&file, path, 0600) == 0);
    CHECK_INT(client_write_all(file.fd, "half", 4), ==, 0);
    CHECK_INT(access(path, F_OK), ==, -1);
    client_file_drop(&file);
    CHECK_INT(access(path, F_OK), ==, -1);
    REQUIRE(client_file_open(&file, path, 0600) == 0);
    CHECK_INT(client_write_all(file.fd, "whole", 5), ==, 0);
    CHECK_INT(client_file_keep(&file), ==, 0);
    CHECK(stat(path, &info) == 0 && info.st_size == 5 && (info.st_mode & 0777) == 0600);
    CHECK_INT(unlink(path), ==, 0);
    CHECK_INT(rmdir(folder), ==, 0); /* nothing else was left */
}

TEST_MAIN(TEST_CASE(text_escapes_what_a_terminal_obeys), TEST_CASE(text_columns),
          TEST_CASE(url_encodes_every_piece), TEST_CASE(table_fits), TEST_CASE(page_shows_units),
          TEST_CASE(error_documents), TEST_CASE(files_are_whole_or_not_there))
