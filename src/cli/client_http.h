/* client_http.h: one request to the node and its answer, over TCP, TLS or a Unix socket.
 *
 * Answers are hostile: sizes are bounded (an answer that is kept in memory to CLIENT_ANSWER_MAX, an
 * error's to 1 MiB), redirects and proxies are not followed, so that a token goes to the node that
 * was named and nowhere else. A request is repeated only when the node refused it (429, or 503 with
 * Retry-After) and --retry allows: one that may have been carried out never is.
 *
 * Threads: one. */
#ifndef WM_CLI_CLIENT_HTTP_H
#define WM_CLI_CLIENT_HTTP_H

#include "cli/client.h"
#include "cli/client_url.h"

#define CLIENT_ANSWER_MAX (UINT64_C(64) << 20)

/* Told that a good answer begins; gives the descriptor for its bytes, or -1 (the message is
 * printed). */
typedef int client_sink_fn(void *self);

struct client_request {
    const char *method; /* "GET", "PUT", "POST", "DELETE" */
    struct client_url *url;
    const char *type; /* Content-Type of the body */
    struct client_body body;
    const char *what;     /* for the progress bar and messages: "hello" */
    const char *waiting;  /* what the node does after the upload: "compiling"; NULL: no bar */
    client_sink_fn *sink; /* NULL: the answer is kept in memory */
    void *sink_self;
    bool quiet; /* an HTTP status that is no success is no message: the caller looks at it */
    bool probe; /* that no node is there is no message either */
};

struct client_answer {
    long status;          /* of HTTP; 0: none came */
    char *body;           /* NUL after its end; NULL where it went to the sink */
    size_t len;           /* also of what went to the sink */
    char call[96];        /* Wardmote-Call; only letters, digits, - _ . : are taken */
    char record[96];      /* its `record`, likewise: where its record is */
    uint64_t value_bytes; /* Wardmote-Value-Bytes: of the whole value of which this is a part */
    bool has_value_bytes;
    int64_t return_code;
    uint64_t time_us, total_us, retry_after_s;
    bool has_return_code, has_time, has_retry_after, cold, has_cold, sunk;
    bool unreachable; /* nobody listens there */
};

/* 0: the status is 2xx (or `quiet`). Else an exit status, and the message is printed. The answer is
 * to be freed either way. */
WM_MUST_CHECK int client_send(struct client *client, const struct client_request *request,
                              struct client_answer *answer);
void client_answer_free(struct client_answer *answer);
/* Prints what a status that is no success means; gives the exit status. */
int client_say_error(const struct client *client, const struct client_request *request,
                     const struct client_answer *answer);

/* A request without body whose answer nobody needs but for its status. Frees the url. */
WM_MUST_CHECK int client_simple(struct client *client, const char *method, struct client_url *url,
                                const char *what);
/* One with a JSON text as its body. */
WM_MUST_CHECK int client_send_json(struct client *client, const char *method,
                                   struct client_url *url, const char *what, const char *text,
                                   struct client_answer *answer);

void client_http_free(struct client_http *http);

#endif
