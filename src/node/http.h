/* http.h: HTTP on libmicrohttpd, driven by the loop: connections, requests, answers.
 *
 * One libmicrohttpd daemon for each address and one for DIR/node.sock; each has an epoll descriptor
 * that the loop watches. A request is matched against api_routes (api.h), authenticated, its body
 * read up to the route's limit, and given to the route's handler, which answers at once or later
 * (the connection is suspended meanwhile): exactly once, on the loop thread.
 *
 * Everything that arrives is a stranger's. Bounded are: connections, in all and of an address; the
 * head (16 KiB); its time; the body, its memory over all requests, and its rate; the time an answer
 * may take to be read. A client that is gone while its call runs is noticed within a second or two.
 *
 * Threads: the loop thread, but for the functions run by http_work. */
#ifndef WM_NODE_HTTP_H
#define WM_NODE_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/diag.h"
#include "base/view.h"
#include "crypto/hash.h"
#include "node/catalogue.h"
#include "node/node.h"
#include "node/uri.h"

struct http;
struct http_connection;
struct http_request;
struct MHD_Response;
struct MHD_Connection;

#define HTTP_ARGS_MAX 3u /* names in a route's path */

enum http_access {
    ACCESS_ANYBODY,
    ACCESS_KNOWN,   /* any token, or none on loopback */
    ACCESS_METRICS, /* the node's administrator, or anybody on loopback */
    ACCESS_ROUTE,   /* decided by the tenant's route */
    ACCESS_INVOKE,
    ACCESS_DEPLOY,
    ACCESS_ADMIN,
    ACCESS_NODE, /* the node's administrator */
};

enum http_body { BODY_NONE, BODY_MEMORY, BODY_FILE };

typedef void http_handler(struct http_request *request);
typedef int api_make_fn(struct http_request *request, struct catalogue_change **out,
                        struct wm_diag *diag); /* see api_change */

struct http_route {
    const char *method; /* "*": any */
    const char *path;   /* "/v1/functions/{name}"; "{name...}" at the end: the rest, with slashes */
    enum http_access access;
    http_handler *handle;
    enum http_body body;
    uint64_t body_max;
    const char *summary; /* for the OpenAPI document */
    const char *query;   /* names of parameters, with blanks between; others are refused */
};

enum http_request_state { REQUEST_HEAD, REQUEST_BODY, REQUEST_RUNNING, REQUEST_ANSWERED };

#define HTTP_SMALL_BYTES 512u

struct http_request {
    struct http_request *next; /* of the free list, or of a queue while it runs */
    struct node *node;
    struct MHD_Connection *connection;
    struct http_connection *from;
    const struct http_route *route;
    enum http_request_state state;
    bool suspended, lingers, is_head, too_large, orphan, head_is_wrong;
    const char *method;
    char *path, *query; /* of the line; the query is cut up where it was decoded */
    char *args[HTTP_ARGS_MAX];
    const char *authorization, *content_length, *transfer_encoding; /* headers; NULL: none */
    uint32_t param_count;
    enum role role;
    const char *tenant; /* whom it concerns; "" where that is nobody */
    char tenant_name[CATALOGUE_NAME_BYTES_MAX + 1];
    bool node_admin;
    /* The body: in memory, or in a nameless file of DATA/tmp. */
    uint8_t *body;
    size_t body_len, body_room;
    int body_fd; /* -1: none */
    struct wm_sha256 body_hash;
    struct MHD_Response *response;
    uint32_t status;
    int64_t started_ns;
    uint64_t call;         /* runs for it, 0: none */
    uint64_t answer_bytes; /* set with a large answer: the client gets time for it */
    /* The handler's own; freed by `data_free` with the request. */
    void *data;
    void (*data_free)(void *data);
    /* Called once the answer was sent (or not). */
    void (*sent)(struct http_request *request, bool whole);
    uv_work_t work;
    void (*work_run)(struct http_request *request);
    void (*work_after)(struct http_request *request);
    api_make_fn *change_make;
    http_handler *change_done;
    int err;
    struct wm_diag diag;
    char *line; /* line_small, or from wm_alloc */
    /* From here on nothing is cleared for a new request. */
    struct uri_param params[URI_PARAMS_MAX];
    char line_small[HTTP_SMALL_BYTES];
    uint8_t body_small[HTTP_SMALL_BYTES];
};

/* Opens the listeners of node->config and the socket in the data folder; sets node->http. */
WM_MUST_CHECK int http_open(struct node *node, struct wm_diag *diag);
/* All requests must have been answered: see http_running. */
void http_close(struct http *http);
uint32_t http_running(const struct http *http); /* requests that are not answered yet */
/* "http://127.0.0.1:8300"; NULL beyond the last. */
const char *http_address(const struct http *http, unsigned idx);

/* A parameter of the query; NULL: not given. */
const char *http_param(const struct http_request *request, const char *name);
bool http_flag(const struct http_request *request, const char *name); /* "1" or "true" */
/* False: it is given but is no number of at most max (answered with 400). *out stays where it is
 * not given. */
WM_MUST_CHECK bool http_number(struct http_request *request, const char *name, uint64_t max,
                               uint64_t *out);

/* Answers. Texts are copied. */
void http_answer(struct http_request *request, unsigned status, struct MHD_Response *response);
void http_answer_bytes(struct http_request *request, unsigned status, const char *type,
                       struct wm_view bytes);
void http_answer_json(struct http_request *request, unsigned status,
                      struct json_t *json);           /* given */
void http_answer_empty(struct http_request *request); /* 204 */
void http_error(struct http_request *request, unsigned status, const char *code, const char *format,
                ...) WM_PRINTF(4, 5);
/* With the members of `detail` (given, may be NULL) beside code and message. */
void http_error_detail(struct http_request *request, unsigned status, const char *code,
                       const char *message, struct json_t *detail);
/* The status and code that go with one of our error codes. What only concerns this machine (paths,
 * errno) is logged and not told. */
void http_error_diag(struct http_request *request, int err, const struct wm_diag *diag);
struct MHD_Response *http_response_copy(struct wm_view bytes);
/* Without a copy of its own where it fits: it takes the place of the request's body, which nobody
 * may need any more. */
struct MHD_Response *http_response_in_place(struct http_request *request, struct wm_view bytes);

/* Runs `run` in another thread, then `after` on the loop's. */
void http_work(struct http_request *request, void (*run)(struct http_request *request),
               void (*after)(struct http_request *request));

const char *http_status_code(unsigned status); /* "not-found" and the like */

#endif
