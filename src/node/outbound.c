/* libcurl's easy interface, one handle a request, redirects followed by us.
 *
 * libcurl would follow redirects itself, but then the list would have to be checked in a callback
 * that sees no host. Each hop here is a request of its own: parsed, checked, fetched. The address
 * check sits in CURLOPT_OPENSOCKETFUNCTION, where libcurl hands over what it is about to connect
 * to, after resolution. */
#include "node/outbound.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/file.h"
#include "node/cgi.h"
#include "node/text.h"

#define BODY_DEFAULT (UINT64_C(6) << 20)
#define TIMEOUT_DEFAULT 30000u
#define HOST_BYTES_MAX 256u

struct fetch {
    char *const *allow;
    uint16_t port;
    bool denied_address, too_large, head_too_large;
    uint64_t body_max;
    struct text headers, body;
};

int outbound_init(struct wm_diag *diag)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
               ? 0
               : wm_diag_set(diag, WM_E_MISSING, "outbound HTTP: libcurl does not start");
}

/* The list's entry without its port: its length; 0 where the port is another one. */
static size_t entry_host(const char *entry, uint16_t port)
{
    const char *colon = strrchr(entry, ':');
    char wanted[8];
    (void)snprintf(wanted, sizeof wanted, "%u", port);
    return colon && strcmp(colon + 1, wanted) == 0 ? (size_t)(colon - entry) : 0;
}

bool outbound_allowed(char *const *allow, const char *host, uint16_t port)
{
    size_t host_len = strlen(host);
    if (host_len && host[host_len - 1] == '.') { /* the root's dot says the same */
        host_len--;
    }
    for (size_t i = 0; allow && allow[i] && host_len; i++) {
        const char *entry = allow[i];
        size_t len = entry_host(entry, port);
        if (len > 2 && entry[0] == '*' && entry[1] == '.') {
            /* At least one letter before the dot. */
            if (host_len > len - 1 &&
                strncasecmp(host + host_len - (len - 1), entry + 1, len - 1) == 0) {
                return true;
            }
        } else if (len == host_len && strncasecmp(entry, host, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool v4_public(uint32_t a)
{
    static const struct {
        uint32_t net;
        unsigned bits;
    } inner[] = {
        {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},  {0xa9fe0000, 16},
        {0xac100000, 12}, {0xc0000000, 24}, {0xc0000200, 24}, {0xc0586300, 24}, {0xc0a80000, 16},
        {0xc6120000, 15}, {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 3},
    };
    for (unsigned i = 0; i < WM_COUNT_OF(inner); i++) {
        if ((a ^ inner[i].net) >> (32 - inner[i].bits) == 0) {
            return false;
        }
    }
    return true;
}

bool outbound_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        return v4_public(
            ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    }
    if (address->sa_family != AF_INET6) {
        return false;
    }
    const uint8_t *a = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    uint32_t last = (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0) {
        return v4_public(last);
    }
    if (a[0] == 0x20 && a[1] == 0x02) { /* 6to4 holds an IPv4 address */
        return v4_public((uint32_t)a[2] << 24 | (uint32_t)a[3] << 16 | (uint32_t)a[4] << 8 | a[5]);
    }
    bool documentation = a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8;
    bool teredo = a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 && a[3] == 0;
    return (a[0] & 0xe0) == 0x20 && !documentation && !teredo; /* global unicast: 2000::/3 */
}

/* Does the list name this very address? IPv6 in brackets. */
static bool named(char *const *allow, const struct sockaddr *address, uint16_t port)
{
    char text[INET6_ADDRSTRLEN + 2];
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        return inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text) &&
               outbound_allowed(allow, text, port);
    }
    const struct sockaddr_in6 *v6 = (const void *)address;
    text[0] = '[';
    if (address->sa_family != AF_INET6 ||
        !inet_ntop(AF_INET6, &v6->sin6_addr, text + 1, sizeof text - 2)) {
        return false;
    }
    size_t len = strlen(text);
    memcpy(text + len, "]", 2);
    return outbound_allowed(allow, text, port);
}

static curl_socket_t open_socket(void *self, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetch *fetch = self;
    if (purpose != CURLSOCKTYPE_IPCXN || (!outbound_is_public(&address->addr) &&
                                          !named(fetch->allow, &address->addr, fetch->port))) {
        fetch->denied_address = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take_header(char *bytes, size_t one, size_t count, void *self)
{
    struct fetch *fetch = self;
    size_t len = one * count;
    struct cgi_header header;
    struct wm_view line = wm_view_of(bytes, len);
    if (len >= 5 && memcmp(bytes, "HTTP/", 5) == 0) { /* a new head: 100 Continue came before */
        fetch->headers.len = 0;
        return len;
    }
    if (fetch->headers.len + len > OUTBOUND_HEADERS_BYTES_MAX) {
        fetch->head_too_large = true;
        return 0;
    }
    if (cgi_next(&line, &header)) {
        for (char *at = header.name; *at; at++) {
            *at = *at >= 'A' && *at <= 'Z' ? (char)(*at | 0x20) : *at;
        }
        text_format(&fetch->headers, "%s: %s\n", header.name, header.value);
    }
    return len;
}

static size_t take_body(char *bytes, size_t one, size_t count, void *self)
{
    struct fetch *fetch = self;
    size_t len = one * count;
    if (fetch->body.len + len > fetch->body_max) {
        fetch->too_large = true;
        return 0;
    }
    text_add(&fetch->body, bytes, len);
    return fetch->body.failed ? 0 : len;
}

/* Is the URL one that we fetch, and its host on the list? */
static int check_url(struct fetch *fetch, const char *url, struct wm_diag *diag)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    char shown[HOST_BYTES_MAX];
    int err = 0;
    CURLU *parts = curl_url();
    if (!parts) {
        return wm_diag_default(diag, -ENOMEM, "outbound HTTP");
    }
    if (strlen(url) > OUTBOUND_URL_BYTES_MAX || curl_url_set(parts, CURLUPART_URL, url, 0) != 0 ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != 0) {
        err = wm_diag_set(diag, WM_E_USAGE, "outbound HTTP: not a URL");
    } else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        err = wm_diag_set(diag, WM_E_DENIED, "outbound HTTP: only http and https");
    } else if (curl_url_get(parts, CURLUPART_HOST, &host, 0) != 0 ||
               curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != 0) {
        err = wm_diag_set(diag, WM_E_USAGE, "outbound HTTP: not a URL");
    } else if (curl_url_get(parts, CURLUPART_USER, &user, 0) == 0) {
        err = wm_diag_set(diag, WM_E_DENIED, "outbound HTTP: no user in the URL");
    } else {
        unsigned number = 0;
        for (const char *at = port; *at >= '0' && *at <= '9' && number < 65536; at++) {
            number = number * 10 + (unsigned)(*at - '0');
        }
        fetch->port = (uint16_t)number;
        if (number > 65535 || !outbound_allowed(fetch->allow, host, fetch->port)) {
            err = wm_diag_set(diag, WM_E_DENIED,
                              "outbound HTTP: %s:%u is not on the tenant's allow-list",
                              wm_diag_quote(shown, sizeof shown - 100, host, strlen(host)), number);
        }
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(parts);
    return err;
}

static int build_headers(struct wm_view lines, struct curl_slist **out)
{
    struct cgi_header header;
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    int err = list ? 0 : -ENOMEM;
    for (unsigned i = 0; i < OUTBOUND_HEADERS_MAX && !err && cgi_next(&lines, &header); i++) {
        char line[CGI_NAME_BYTES_MAX + CGI_VALUE_BYTES_MAX + 4];
        if (strcasecmp(header.name, "host") == 0 || strncasecmp(header.name, "proxy-", 6) == 0) {
            continue;
        }
        /* A semicolon is curl's way to send a header without a value. */
        (void)snprintf(line, sizeof line, *header.value ? "%s: %s" : "%s;", header.name,
                       header.value);
        struct curl_slist *longer = curl_slist_append(list, line);
        err = longer ? 0 : -ENOMEM;
        list = longer ? longer : list;
    }
    *out = list;
    return err;
}

static int set_options(CURL *curl, struct fetch *fetch, const char *method, const char *url,
                       struct wm_view body, struct curl_slist *headers, int64_t left_ms)
{
    static const char nothing[1];
    CURLcode bad = CURLE_OK;
#define OPTION(name, value) bad = bad ? bad : curl_easy_setopt(curl, CURLOPT_##name, value)
    OPTION(URL, url);
    OPTION(PROTOCOLS_STR, "http,https");
    OPTION(FOLLOWLOCATION, 0L);
    OPTION(PROXY, "");
    OPTION(NETRC, (long)CURL_NETRC_IGNORED);
    OPTION(NOSIGNAL, 1L);
    OPTION(TIMEOUT_MS, (long)left_ms);
    OPTION(USERAGENT, "wardmote");
    OPTION(HTTPHEADER, headers);
    OPTION(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    OPTION(OPENSOCKETFUNCTION, open_socket);
    OPTION(OPENSOCKETDATA, fetch);
    OPTION(HEADERFUNCTION, take_header);
    OPTION(HEADERDATA, fetch);
    OPTION(WRITEFUNCTION, take_body);
    OPTION(WRITEDATA, fetch);
    OPTION(CUSTOMREQUEST, method);
    if (strcmp(method, "HEAD") == 0) {
        OPTION(NOBODY, 1L);
    } else if (body.len || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        OPTION(POST, 1L);
        OPTION(CUSTOMREQUEST, method);
        OPTION(POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        OPTION(POSTFIELDS, body.len ? (const char *)body.ptr : nothing);
    }
#undef OPTION
    return bad == CURLE_OK ? 0 : bad == CURLE_OUT_OF_MEMORY ? -ENOMEM : WM_E_USAGE;
}

static int error_of(const struct fetch *fetch, CURLcode code, struct wm_diag *diag)
{
    if (fetch->denied_address) {
        return wm_diag_set(diag, WM_E_DENIED,
                           "outbound HTTP: the name leads to an address that is not public, and "
                           "that the allow-list does not name");
    }
    if (fetch->too_large || fetch->head_too_large) {
        return wm_diag_set(diag, WM_E_LIMIT, "outbound HTTP: the answer is too large");
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return wm_diag_set(diag, WM_E_LIMIT, "outbound HTTP: no whole answer in time");
    }
    return wm_diag_set(diag, code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EHOSTUNREACH,
                       "outbound HTTP: %s", curl_easy_strerror(code));
}

/* One hop. *next: where a redirect leads, for wm_free; NULL: this was the last one. */
static int fetch_one(struct fetch *fetch, const char *method, const char *url,
                     struct wm_view headers, struct wm_view body, int64_t left_ms, long *status,
                     char **next, struct wm_diag *diag)
{
    struct curl_slist *list = NULL;
    char *location = NULL;
    *next = NULL;
    fetch->headers.len = fetch->body.len = 0;
    int err = check_url(fetch, url, diag);
    CURL *curl = err ? NULL : curl_easy_init();
    if (!err) {
        err = curl ? build_headers(headers, &list) : -ENOMEM;
        err = err ? err : set_options(curl, fetch, method, url, body, list, left_ms);
        wm_diag_default(diag, err, "outbound HTTP");
    }
    if (!err) {
        CURLcode code = curl_easy_perform(curl);
        err = code == CURLE_OK ? 0 : error_of(fetch, code, diag);
    }
    if (!err) {
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
        (void)curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location);
        bool redirect =
            *status == 301 || *status == 302 || *status == 303 || *status == 307 || *status == 308;
        if (redirect && location) {
            *next = wm_strdup(location);
            err = *next ? 0 : wm_diag_default(diag, -ENOMEM, "outbound HTTP");
        }
    }
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    return err;
}

static bool method_ok(const char *method)
{
    static const char *const methods[] = {"GET",    "HEAD",  "POST",   "PUT",
                                          "DELETE", "PATCH", "OPTIONS"};
    for (unsigned i = 0; i < WM_COUNT_OF(methods); i++) {
        if (strcmp(method, methods[i]) == 0) {
            return true;
        }
    }
    return false;
}

int outbound_fetch(char *const *allow, const char *method, const char *url, struct wm_view headers,
                   struct wm_view body, const struct outbound_limits *limits,
                   struct outbound_answer *out, struct wm_diag *diag)
{
    uint32_t timeout_ms = limits->timeout_ms ? limits->timeout_ms : TIMEOUT_DEFAULT;
    int64_t deadline_ns = host_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    struct fetch fetch = {.allow = allow,
                          .body_max = limits->body_bytes ? limits->body_bytes : BODY_DEFAULT};
    char *at =
        method_ok(method) && headers.len <= OUTBOUND_HEADERS_BYTES_MAX ? wm_strdup(url) : NULL;
    int err =
        at ? 0 : wm_diag_set(diag, WM_E_USAGE, "outbound HTTP: its method or headers cannot be");
    long status = 0;
    for (unsigned hop = 0; !err; hop++) {
        char *next;
        int64_t left_ms = (deadline_ns - host_monotonic_ns()) / 1000000;
        if (left_ms <= 0) {
            err = wm_diag_set(diag, WM_E_LIMIT, "outbound HTTP: no whole answer in time");
            break;
        }
        err = fetch_one(&fetch, method, at, headers, body, left_ms, &status, &next, diag);
        if (err || !next) {
            break;
        }
        if (hop == OUTBOUND_HOPS_MAX) {
            wm_free(next);
            err = wm_diag_set(diag, WM_E_LIMIT, "outbound HTTP: more than %u redirects",
                              OUTBOUND_HOPS_MAX);
            break;
        }
        wm_free(at);
        at = next;
        if (status != 307 && status != 308 && strcmp(method, "HEAD") != 0) {
            method = "GET"; /* as all clients do, RFC 9110 section 15.4 */
            body = (struct wm_view){0};
        }
        headers = (struct wm_view){0}; /* may hold credentials meant for the first host */
    }
    wm_free(at);
    if (!err && (fetch.headers.failed || fetch.body.failed)) {
        err = wm_diag_default(diag, -ENOMEM, "outbound HTTP");
    }
    if (err) {
        text_fini(&fetch.headers);
        text_fini(&fetch.body);
        return err;
    }
    *out = (struct outbound_answer){
        .status = (uint32_t)status,
        .headers = (uint8_t *)fetch.headers.at,
        .headers_len = fetch.headers.len,
        .body = (uint8_t *)fetch.body.at,
        .body_len = fetch.body.len,
    };
    return 0;
}

void outbound_answer_free(struct outbound_answer *answer)
{
    wm_free(answer->headers);
    wm_free(answer->body);
    *answer = (struct outbound_answer){0};
}
