/* Guests' headers: what is passed on, and what is not. */
#include "node/cgi.h"

#include <string.h>

#include "base/test.h"

static struct cgi_answer parse(const char *text)
{
    struct cgi_answer answer;
    cgi_parse(wm_view_str(text), &answer);
    return answer;
}

TEST(takes_a_header_block)
{
    struct cgi_answer answer =
        parse("Status: 404 Not here\r\nContent-Type: text/html\r\nX-A:  b \r\n\r\nbody\n");
    struct cgi_header header;
    CHECK_INT(answer.status, ==, 404);
    CHECK(wm_view_eq_str(answer.body, "body\n"));
    REQUIRE(cgi_next(&answer.lines, &header));
    CHECK_STR(header.name, "Content-Type");
    CHECK_STR(header.value, "text/html");
    REQUIRE(cgi_next(&answer.lines, &header));
    CHECK_STR(header.name, "X-A");
    CHECK_STR(header.value, "b");
    CHECK(!cgi_next(&answer.lines, &header));
    answer = parse("Location: /elsewhere\n\n");
    CHECK_INT(answer.status, ==, 302);
    CHECK_INT(answer.body.len, ==, 0);
}

TEST(anything_else_is_body)
{
    static const char *const bodies[] = {"",
                                         "hello",
                                         "\n\nStatus: 200\n\n",
                                         "X-First: not a CGI header\n\nbody",
                                         "Status: 200\nno end",
                                         "Content-Type: a\nnot a header\n\nbody",
                                         "Content-Type: a\nB\x01: c\n\nbody",
                                         "Content-Type: a\x02\n\nbody"};
    for (size_t i = 0; i < WM_COUNT_OF(bodies); i++) {
        struct cgi_answer answer = parse(bodies[i]);
        CHECK(answer.status == 0 && answer.lines.len == 0);
        CHECK(wm_view_eq_str(answer.body, bodies[i]));
    }
    CHECK_INT(parse("Status: 99\n\n").status, ==, 0);
    CHECK_INT(parse("Status: 600\n\n").status, ==, 0);
    CHECK_INT(parse("Status: 2000\n\n").status, ==, 0);
    CHECK_INT(parse("Status: 100\n\n").status, ==, 0);
}

TEST(keeps_what_is_the_servers)
{
    struct wm_view lines = wm_view_str("Connection: close\nContent-Length: 5\nWardmote-Call: 1\n"
                                       "transfer-encoding: chunked\nBad Name: x\nNo colon\n"
                                       ": empty\nSplit: a\rSet-Cookie: b\nGood: yes");
    struct cgi_header header;
    REQUIRE(cgi_next(&lines, &header));
    CHECK_STR(header.name, "Good");
    CHECK_STR(header.value, "yes");
    CHECK(!cgi_next(&lines, &header));
}

TEST(bounds_lengths)
{
    static char text[CGI_HEAD_BYTES_MAX + 4096];
    struct cgi_answer answer;
    struct cgi_header header;
    memset(text, 'a', sizeof text);
    memcpy(text, "Content-Type: ", 14);
    memcpy(text + 14 + CGI_VALUE_BYTES_MAX, "\n\n", 2);
    cgi_parse(wm_view_of(text, sizeof text), &answer);
    CHECK(answer.lines.len > 0);
    CHECK(cgi_next(&answer.lines, &header));
    text[14 + CGI_VALUE_BYTES_MAX] = 'a';
    memcpy(text + 15 + CGI_VALUE_BYTES_MAX, "\n\n", 2);
    cgi_parse(wm_view_of(text, sizeof text), &answer);
    CHECK_INT(answer.lines.len, ==, 0);
}

TEST_MAIN(TEST_CASE(takes_a_header_block), TEST_CASE(anything_else_is_body),
          TEST_CASE(keeps_what_is_the_servers), TEST_CASE(bounds_lengths))
