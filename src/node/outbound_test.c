/* Outbound HTTP against a server of our own on loopback, which the list must name literally. */
#include "node/outbound.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/test.h"

static struct MHD_Daemon *server;
static uint16_t port;
static char own[64], local[64], big_url[64];
static char last_authorization[64];

static enum MHD_Result serve(void *self, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_len, void **context)
{
    static char seen[256];
    static size_t seen_len;
    static int first;
    static char big[100000];
    (void)self;
    (void)version;
    if (!*context) {
        *context = &first;
        seen_len = 0;
        return MHD_YES;
    }
    if (*upload_len) {
        seen_len = *upload_len < sizeof seen ? *upload_len : sizeof seen;
        memcpy(seen, upload, seen_len);
        *upload_len = 0;
        return MHD_YES;
    }
    const char *authorization =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    snprintf(last_authorization, sizeof last_authorization, "%s",
             authorization ? authorization : "");
    char text[512], target[128];
    unsigned status = 200;
    struct MHD_Response *response;
    int len = snprintf(text, sizeof text, "%s %s %.*s", method, url, (int)seen_len, seen);
    if (strcmp(url, "/big") == 0) {
        response = MHD_create_response_from_buffer(sizeof big, big, MHD_RESPMEM_PERSISTENT);
    } else {
        response = MHD_create_response_from_buffer((size_t)len, text, MHD_RESPMEM_MUST_COPY);
    }
    MHD_add_response_header(response, "X-Seen", "yes");
    if (strcmp(url, "/slow") == 0) {
        usleep(1500000);
    } else if (strcmp(url, "/here") == 0 || strcmp(url, "/away") == 0 ||
               strcmp(url, "/loop") == 0 || strcmp(url, "/file") == 0) {
        status = 302;
        if (url[1] == 'f') {
            snprintf(target, sizeof target, "file:///etc/passwd");
        } else {
            snprintf(target, sizeof target, "http://%s:%u/%s",
                     url[1] == 'a' ? "127.0.0.2" : "127.0.0.1", port,
                     url[1] == 'l' ? "loop" : "end");
        }
        MHD_add_response_header(response, "Location", target);
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static int fetch(char *const *allow, const char *method, const char *path, const char *body,
                 struct outbound_answer *answer)
{
    char url[128];
    struct wm_diag diag = WM_DIAG_INIT;
    struct outbound_limits limits = {.body_bytes = 50000, .timeout_ms = 500};
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    *answer = (struct outbound_answer){0};
    return outbound_fetch(allow, method, url,
                          wm_view_str("X-Mine: 1\nAuthorization: Bearer guest\n"),
                          wm_view_str(body), &limits, answer, &diag);
}

static void begin(void)
{
    if (server) {
        return;
    }
    struct wm_diag diag = WM_DIAG_INIT;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (outbound_init(&diag) != 0) {
        return;
    }
    server = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, serve, NULL,
                              MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    port = MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT)->port;
    snprintf(own, sizeof own, "127.0.0.1:%u", port);
    snprintf(local, sizeof local, "localhost:%u", port);
    snprintf(big_url, sizeof big_url, "http://localhost:%u/", port);
}

TEST(fetches_what_is_allowed)
{
    begin();
    char *allow[] = {own, NULL};
    struct outbound_answer answer;
    CHECK_INT(fetch(allow, "POST", "/a", "hello", &answer), ==, 0);
    CHECK_INT(answer.status, ==, 200);
    CHECK(wm_view_eq_str(wm_view_of(answer.body, answer.body_len), "POST /a hello"));
    CHECK(answer.headers && memmem(answer.headers, answer.headers_len, "x-seen: yes\n", 12));
    CHECK_STR(last_authorization, "Bearer guest");
    outbound_answer_free(&answer);
    CHECK_INT(fetch(allow, "HEAD", "/a", "", &answer), ==, 0);
    CHECK_INT(answer.body_len, ==, 0);
    outbound_answer_free(&answer);
}

TEST(refuses_what_is_not)
{
    begin();
    char other[] = "127.0.0.1:1", *none[] = {NULL}, *allow[] = {other, NULL}, *mine[] = {own, NULL};
    struct outbound_answer answer;
    struct wm_diag diag = WM_DIAG_INIT;
    struct outbound_limits limits = {0};
    CHECK_INT(fetch(none, "GET", "/a", "", &answer), ==, WM_E_DENIED);
    CHECK_INT(fetch(allow, "GET", "/a", "", &answer), ==, WM_E_DENIED);
    CHECK_INT(fetch(mine, "TRACE", "/a", "", &answer), ==, WM_E_USAGE);
    static const char *const urls[] = {"file:///etc/passwd",
                                       "ftp://127.0.0.1/",
                                       "http://user:pw@127.0.0.1/",
                                       "gopher://x",
                                       "",
                                       "http://"};
    for (size_t i = 0; i < WM_COUNT_OF(urls); i++) {
        CHECK(outbound_fetch(mine, "GET", urls[i], (struct wm_view){0}, (struct wm_view){0},
                             &limits, &answer, &diag) < 0);
    }
}

/* A name on the list that resolves to an inner address (here localhost, as after DNS rebinding). */
TEST(a_name_does_not_lead_inside)
{
    begin();
    char *by_name[] = {local, NULL}, *both[] = {local, own, NULL};
    struct outbound_answer answer;
    struct wm_diag diag = WM_DIAG_INIT;
    struct outbound_limits limits = {0};
    CHECK_INT(outbound_fetch(by_name, "GET", big_url, (struct wm_view){0}, (struct wm_view){0},
                             &limits, &answer, &diag),
              ==, WM_E_DENIED);
    CHECK_INT(outbound_fetch(both, "GET", big_url, (struct wm_view){0}, (struct wm_view){0},
                             &limits, &answer, &diag),
              ==, 0);
    outbound_answer_free(&answer);
}

TEST(checks_each_hop)
{
    begin();
    char *allow[] = {own, NULL};
    struct outbound_answer answer;
    CHECK_INT(fetch(allow, "GET", "/here", "", &answer), ==, 0);
    CHECK(wm_view_eq_str(wm_view_of(answer.body, answer.body_len), "GET /end "));
    CHECK_STR(last_authorization, "");
    outbound_answer_free(&answer);
    CHECK_INT(fetch(allow, "GET", "/away", "", &answer), ==, WM_E_DENIED);
    CHECK_INT(fetch(allow, "GET", "/file", "", &answer), ==, WM_E_DENIED);
    CHECK_INT(fetch(allow, "GET", "/loop", "", &answer), ==, WM_E_LIMIT);
}

TEST(bounds_size_and_time)
{
    begin();
    char *allow[] = {own, NULL};
    struct outbound_answer answer;
    CHECK_INT(fetch(allow, "GET", "/big", "", &answer), ==, WM_E_LIMIT);
    CHECK_INT(fetch(allow, "GET", "/slow", "", &answer), ==, WM_E_LIMIT);
}

TEST(lists_and_addresses)
{
    char a[] = "example.org:443", b[] = "*.sub.org:80", *allow[] = {a, b, NULL};
    CHECK(outbound_allowed(allow, "example.org", 443));
    CHECK(outbound_allowed(allow, "EXAMPLE.org.", 443));
    CHECK(!outbound_allowed(allow, "example.org", 80));
    CHECK(!outbound_allowed(allow, "xexample.org", 443));
    CHECK(!outbound_allowed(allow, "a.example.org", 443));
    CHECK(outbound_allowed(allow, "a.sub.org", 80) && outbound_allowed(allow, "a.b.sub.org", 80));
    CHECK(!outbound_allowed(allow, "sub.org", 80) && !outbound_allowed(allow, ".sub.org", 80));
    CHECK(!outbound_allowed(allow, "", 80) && !outbound_allowed(NULL, "a", 80));
    static const char *const inner[] = {"127.0.0.1",   "10.1.2.3",  "172.31.0.1", "192.168.1.1",
                                        "169.254.1.1", "0.0.0.0",   "224.0.0.1",  "255.255.255.255",
                                        "100.64.0.1",  "198.19.0.1"};
    static const char *const inner6[] = {"::1",
                                         "::",
                                         "fe80::1",
                                         "fc00::1",
                                         "ff02::1",
                                         "::ffff:127.0.0.1",
                                         "64:ff9b::10.0.0.1",
                                         "2002:a00:1::",
                                         "2001:db8::1"};
    for (size_t i = 0; i < WM_COUNT_OF(inner); i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        CHECK(inet_pton(AF_INET, inner[i], &v4.sin_addr) == 1);
        CHECK(!outbound_is_public((struct sockaddr *)&v4));
    }
    for (size_t i = 0; i < WM_COUNT_OF(inner6); i++) {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        CHECK(inet_pton(AF_INET6, inner6[i], &v6.sin6_addr) == 1);
        CHECK(!outbound_is_public((struct sockaddr *)&v6));
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x01010101)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    CHECK(inet_pton(AF_INET6, "2606:4700::1", &v6.sin6_addr) == 1);
    CHECK(outbound_is_public((struct sockaddr *)&v4));
    CHECK(outbound_is_public((struct sockaddr *)&v6));
}

TEST_MAIN(TEST_CASE(fetches_what_is_allowed), TEST_CASE(refuses_what_is_not),
          TEST_CASE(a_name_does_not_lead_inside), TEST_CASE(checks_each_hop),
          TEST_CASE(bounds_size_and_time), TEST_CASE(lists_and_addresses))
