/* redis.h: a Redis server: a pool of connections, commands in pipelines, replies.
 *
 * The only file that includes hiredis' header. Replies come from the server, which is trusted with
 * the data but not with this process: their kinds and lengths are checked. Large arguments are sent
 * from where they lie and large strings received to where they are wanted, without a copy between.
 *
 * A connection that failed is closed, and the next take makes a new one; so a server that comes
 * back is used again without more ado. Nothing is sent twice: whether a command whose connection
 * broke was carried out is not known, and that is the caller's to judge.
 *
 * Errors: -EHOSTUNREACH (no connection, or it broke), -ETIMEDOUT, WM_E_DENIED (password),
 * WM_E_LIMIT (the server's memory is full), -EAGAIN (it is loading its data), WM_E_MALFORMED (a
 * reply of a kind that the command does not have), -EIO (any other error reply); diag names the
 * server's address.
 *
 * Threads: any; a connection belongs to one thread from take to put. */
#ifndef WM_STORE_REDIS_H
#define WM_STORE_REDIS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"

struct redis;
struct redis_conn;

struct redis_config {
    const char *address;  /* "unix:/path", "host:port" or "host" (port 6379) */
    const char *password; /* NULL: none */
    uint32_t connections; /* at most; 0: 8. One more thread waits for one that is put back. */
    uint32_t timeout_ms;  /* of connecting, and of each read and write; 0: 5,000 */
};

/* Makes one connection, so that a wrong address is found at once. */
WM_MUST_CHECK int redis_open(const struct redis_config *config, struct redis **out,
                             struct wm_diag *diag);
void redis_close(struct redis *redis); /* all connections were put back */

WM_MUST_CHECK int redis_take(struct redis *redis, struct redis_conn **out, struct wm_diag *diag);
/* Closes it where replies are left or it failed. */
void redis_put(struct redis_conn *conn);

enum redis_kind { REDIS_NIL, REDIS_INTEGER, REDIS_TEXT, REDIS_ARRAY, REDIS_ERROR };
struct redis_value {
    enum redis_kind kind;
    int64_t integer;
    struct wm_view text; /* of a text or error */
    size_t count;        /* of an array */
};

/* Queues a command: sent with the next receive at the latest. Arguments larger than 16 KiB are sent
 * at once, and must be there only until this returns. */
WM_MUST_CHECK int redis_send(struct redis_conn *conn, const struct wm_view *args, uint32_t count,
                             struct wm_diag *diag);
/* The reply to the oldest command without one; views into it last until the next receive or put. An
 * error reply is a value here (REDIS_ERROR). */
WM_MUST_CHECK int redis_receive(struct redis_conn *conn, struct redis_value *out,
                                struct wm_diag *diag);
/* An element of the array received last. Elements that are arrays themselves are REDIS_ARRAY
 * without a way in. */
struct redis_value redis_item(struct redis_conn *conn, size_t index);
/* The same for a string of at most `len` bytes, put into `out`: *got of them, 0 for nil. */
WM_MUST_CHECK int redis_receive_into(struct redis_conn *conn, uint8_t *out, size_t len, size_t *got,
                                     struct wm_diag *diag);
/* The code for an error reply, with a sentence. */
int redis_failed(struct redis_conn *conn, const struct redis_value *error, struct wm_diag *diag);
/* send and receive; error replies as codes. */
WM_MUST_CHECK int redis_ask(struct redis_conn *conn, const struct wm_view *args, uint32_t count,
                            struct redis_value *out, struct wm_diag *diag);

#endif
