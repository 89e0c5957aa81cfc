/* hiredis formats small commands and parses replies. It would copy a large argument twice on its
 * way to the socket, and a large string twice on its way back; so those are moved here, between its
 * buffers being empty: hiredis' output buffer is flushed first, and its reader is bypassed only
 * while it holds no byte that it has not parsed. */
#include "store/redis.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"

#define CONNECTIONS_DEFAULT 8u
#define TIMEOUT_MS_DEFAULT 5000u
#define PORT_DEFAULT 6379
#define DIRECT_BYTES 16384u
#define ARGS_MAX 64u
#define HEAD_BYTES 32u /* of a string's reply: "$", a length, CR LF, and the first of its bytes */

struct redis_conn {
    struct redis *redis;
    struct redis_conn *next; /* free ones */
    redisContext *context;   /* NULL: not connected */
    redisReply *reply;
    uint64_t unanswered;
    bool broken;
};

struct redis {
    char *address, *password;
    struct timeval timeout;
    pthread_mutex_t lock;
    pthread_cond_t put;
    struct redis_conn *free;
    uint32_t count, limit; /* connections, also those that are taken */
};

/* --- Connections --- */

static int unreachable(const struct redis *redis, int err, const char *why, struct wm_diag *diag)
{
    return wm_diag_set(diag, err, "redis: %s: %s", redis->address, why);
}

static redisContext *connect_to(const struct redis *redis)
{
    if (strncmp(redis->address, "unix:", 5) == 0) {
        return redisConnectUnixWithTimeout(redis->address + 5, redis->timeout);
    }
    char host[256];
    const char *colon = strrchr(redis->address, ':');
    size_t len = colon ? (size_t)(colon - redis->address) : strlen(redis->address);
    long port = colon ? strtol(colon + 1, NULL, 10) : PORT_DEFAULT;
    if (len == 0 || len >= sizeof host || port < 1 || port > 65535) {
        return NULL;
    }
    memcpy(host, redis->address, len);
    host[len] = 0;
    return redisConnectWithTimeout(host, (int)port, redis->timeout);
}

static void disconnect(struct redis_conn *conn)
{
    if (conn->reply) {
        freeReplyObject(conn->reply);
        conn->reply = NULL;
    }
    if (conn->context) {
        redisFree(conn->context);
        conn->context = NULL;
    }
    conn->unanswered = 0;
    conn->broken = false;
}

static int make_connection(struct redis_conn *conn, struct wm_diag *diag)
{
    struct redis *redis = conn->redis;
    if (wm_fault_here(WM_FAULT_IO)) {
        return unreachable(redis, -EHOSTUNREACH, "injected", diag);
    }
    conn->context = connect_to(redis);
    if (!conn->context) {
        return unreachable(redis, -EHOSTUNREACH, "not an address: unix:PATH or HOST:PORT", diag);
    }
    if (conn->context->err) {
        int err = unreachable(redis, -EHOSTUNREACH, conn->context->errstr, diag);
        disconnect(conn);
        return err;
    }
    (void)redisSetTimeout(conn->context, redis->timeout);
    if (redis->password) {
        struct redis_value value;
        const struct wm_view args[] = {wm_view_str("AUTH"), wm_view_str(redis->password)};
        int err = redis_ask(conn, args, 2, &value, diag);
        if (err) {
            disconnect(conn);
            return err;
        }
    }
    return 0;
}

/* An idle connection has nothing to say, unless that the server has closed it. */
static bool has_died(const struct redis_conn *conn)
{
    struct pollfd fd = {conn->context->fd, POLLIN, 0};
    return poll(&fd, 1, 0) != 0;
}

int redis_take(struct redis *redis, struct redis_conn **out, struct wm_diag *diag)
{
    struct redis_conn *conn = NULL;
    pthread_mutex_lock(&redis->lock);
    while (!redis->free && redis->count == redis->limit) {
        pthread_cond_wait(&redis->put, &redis->lock);
    }
    if (redis->free) {
        conn = redis->free;
        redis->free = conn->next;
    } else {
        conn = wm_alloc_zero(1, sizeof *conn);
        if (conn) {
            conn->redis = redis;
            redis->count++;
        }
    }
    pthread_mutex_unlock(&redis->lock);
    if (!conn) {
        return unreachable(redis, -ENOMEM, "no memory", diag);
    }
    if (conn->context && has_died(conn)) {
        disconnect(conn);
    }
    int err = conn->context ? 0 : make_connection(conn, diag);
    if (err) {
        redis_put(conn);
        return err;
    }
    *out = conn;
    return 0;
}

void redis_put(struct redis_conn *conn)
{
    struct redis *redis = conn->redis;
    if (conn->broken || conn->unanswered > 0) {
        disconnect(conn);
    }
    if (conn->reply) {
        freeReplyObject(conn->reply);
        conn->reply = NULL;
    }
    pthread_mutex_lock(&redis->lock);
    conn->next = redis->free;
    redis->free = conn;
    pthread_cond_signal(&redis->put);
    pthread_mutex_unlock(&redis->lock);
}

int redis_open(const struct redis_config *config, struct redis **out, struct wm_diag *diag)
{
    struct redis *redis = wm_alloc_zero(1, sizeof *redis);
    struct redis_conn *conn;
    if (!redis) {
        return wm_diag_default(diag, -ENOMEM, "redis");
    }
    pthread_mutex_init(&redis->lock, NULL);
    pthread_cond_init(&redis->put, NULL);
    uint32_t timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS_DEFAULT;
    redis->timeout = (struct timeval){timeout_ms / 1000, timeout_ms % 1000 * 1000};
    redis->limit = config->connections ? config->connections : CONNECTIONS_DEFAULT;
    redis->address = wm_strdup(config->address);
    redis->password = config->password ? wm_strdup(config->password) : NULL;
    int err = redis->address && (redis->password || !config->password) ? 0 : -ENOMEM;
    err = err ? wm_diag_default(diag, err, "redis") : redis_take(redis, &conn, diag);
    if (err) {
        redis_close(redis);
        return err;
    }
    redis_put(conn);
    *out = redis;
    return 0;
}

void redis_close(struct redis *redis)
{
    if (!redis) {
        return;
    }
    while (redis->free) {
        struct redis_conn *conn = redis->free;
        redis->free = conn->next;
        disconnect(conn);
        wm_free(conn);
    }
    pthread_cond_destroy(&redis->put);
    pthread_mutex_destroy(&redis->lock);
    if (redis->password) {
        explicit_bzero(redis->password, strlen(redis->password));
    }
    wm_free(redis->password);
    wm_free(redis->address);
    wm_free(redis);
}

/* --- Commands --- */

static int broke(struct redis_conn *conn, int error, const char *what, struct wm_diag *diag)
{
    bool late = error == EAGAIN || error == EWOULDBLOCK || error == ETIMEDOUT;
    conn->broken = true;
    return wm_diag_set(diag, late ? -ETIMEDOUT : -EHOSTUNREACH, "redis: %s: %s: %s",
                       conn->redis->address, what,
                       late    ? "no answer in time"
                       : error ? wm_error_text(-error)
                               : "the connection was closed");
}

static int flush(struct redis_conn *conn, struct wm_diag *diag)
{
    int done = 0;
    if (wm_fault_here(WM_FAULT_IO)) {
        return broke(conn, EIO, "sending", diag);
    }
    while (!done) {
        if (redisBufferWrite(conn->context, &done) != REDIS_OK) {
            return broke(conn, conn->context->err == REDIS_ERR_IO ? errno : 0, "sending", diag);
        }
    }
    return 0;
}

static int write_all(struct redis_conn *conn, struct iovec *parts, size_t count,
                     struct wm_diag *diag)
{
    while (count > 0) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t sent = sendmsg(conn->context->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return broke(conn, errno, "sending", diag);
        }
        while (count > 0 && (size_t)sent >= parts->iov_len) {
            sent -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
    return 0;
}

/* The protocol's form of a command: *COUNT, then for each argument $BYTES and the argument, each
 * line ended by CR LF. */
static int send_direct(struct redis_conn *conn, const struct wm_view *args, uint32_t count,
                       struct wm_diag *diag)
{
    char heads[ARGS_MAX][40];
    struct iovec parts[2 * ARGS_MAX + 1];
    int err = flush(conn, diag);
    if (err) {
        return err;
    }
    for (uint32_t i = 0; i < count; i++) {
        int len = i == 0
                      ? snprintf(heads[i], sizeof heads[i], "*%u\r\n$%zu\r\n", count, args[i].len)
                      : snprintf(heads[i], sizeof heads[i], "\r\n$%zu\r\n", args[i].len);
        parts[2 * i] = (struct iovec){heads[i], (size_t)len};
        parts[2 * i + 1] = (struct iovec){(void *)(uintptr_t)args[i].ptr, args[i].len};
    }
    parts[2 * count] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
    return write_all(conn, parts, 2 * count + 1, diag);
}

int redis_send(struct redis_conn *conn, const struct wm_view *args, uint32_t count,
               struct wm_diag *diag)
{
    const char *texts[ARGS_MAX];
    size_t lens[ARGS_MAX];
    bool large = false;
    if (count == 0 || count > ARGS_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "redis: a command of %u arguments", count);
    }
    if (conn->broken) {
        return broke(conn, 0, "sending", diag);
    }
    for (uint32_t i = 0; i < count; i++) {
        texts[i] = (const char *)args[i].ptr;
        lens[i] = args[i].len;
        large = large || args[i].len > DIRECT_BYTES;
    }
    if (large) {
        int err = send_direct(conn, args, count, diag);
        if (err) {
            return err;
        }
    } else if (redisAppendCommandArgv(conn->context, (int)count, texts, lens) != REDIS_OK) {
        conn->broken = true;
        return unreachable(conn->redis, -ENOMEM, "no memory", diag);
    }
    conn->unanswered++;
    return 0;
}

/* --- Replies --- */

static struct redis_value value_of(const redisReply *reply)
{
    struct redis_value value = {0};
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        value.kind = REDIS_INTEGER;
        value.integer = reply->integer;
        break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        value.kind = REDIS_TEXT;
        value.text = wm_view_of(reply->str, reply->len);
        break;
    case REDIS_REPLY_ERROR:
        value.kind = REDIS_ERROR;
        value.text = wm_view_of(reply->str, reply->len);
        break;
    case REDIS_REPLY_ARRAY:
        value.kind = REDIS_ARRAY;
        value.count = reply->elements;
        break;
    default: value.kind = REDIS_NIL; break;
    }
    return value;
}

int redis_receive(struct redis_conn *conn, struct redis_value *out, struct wm_diag *diag)
{
    void *reply = NULL;
    if (conn->reply) {
        freeReplyObject(conn->reply);
        conn->reply = NULL;
    }
    if (conn->broken || conn->unanswered == 0) {
        return broke(conn, 0, "receiving", diag);
    }
    if (wm_fault_here(WM_FAULT_IO)) {
        return broke(conn, EIO, "receiving", diag);
    }
    if (redisGetReply(conn->context, &reply) != REDIS_OK || !reply) {
        return broke(conn, conn->context->err == REDIS_ERR_IO ? errno : 0, "receiving", diag);
    }
    conn->unanswered--;
    conn->reply = reply;
    *out = value_of(conn->reply);
    return 0;
}

struct redis_value redis_item(struct redis_conn *conn, size_t index)
{
    const redisReply *reply = conn->reply;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || index >= reply->elements ||
        !reply->element[index]) {
        return (struct redis_value){0};
    }
    return value_of(reply->element[index]);
}

int redis_failed(struct redis_conn *conn, const struct redis_value *error, struct wm_diag *diag)
{
    static const struct {
        const char *start;
        int err;
    } known[] = {
        {"OOM", WM_E_LIMIT},     {"NOAUTH", WM_E_DENIED}, {"WRONGPASS", WM_E_DENIED},
        {"NOPERM", WM_E_DENIED}, {"LOADING", -EAGAIN},    {"BUSY", -EAGAIN},
        {"MISCONF", -EIO},       {"READONLY", -EROFS},
    };
    char text[160];
    int err = -EIO;
    if (error->kind != REDIS_ERROR) {
        conn->broken = true;
        return unreachable(conn->redis, WM_E_MALFORMED, "a reply of another kind than expected",
                           diag);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t len = strlen(known[i].start);
        if (error->text.len >= len && memcmp(error->text.ptr, known[i].start, len) == 0) {
            err = known[i].err;
            break;
        }
    }
    return unreachable(conn->redis, err,
                       wm_diag_quote(text, sizeof text, error->text.ptr, error->text.len), diag);
}

/* Through hiredis' reader. */
static int receive_copied(struct redis_conn *conn, uint8_t *out, size_t len, size_t *got,
                          struct wm_diag *diag)
{
    struct redis_value value;
    int err = redis_receive(conn, &value, diag);
    if (err) {
        return err;
    }
    if (value.kind == REDIS_NIL) {
        *got = 0;
        return 0;
    }
    if (value.kind != REDIS_TEXT || value.text.len > len) {
        return redis_failed(conn, &value, diag);
    }
    if (value.text.len > 0) {
        memcpy(out, value.text.ptr, value.text.len);
    }
    *got = value.text.len;
    return 0;
}

static int read_exactly(struct redis_conn *conn, uint8_t *out, size_t len, struct wm_diag *diag)
{
    while (len > 0) {
        ssize_t count = recv(conn->context->fd, out, len, MSG_WAITALL);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return broke(conn, count < 0 ? errno : 0, "receiving", diag);
        }
        out += count;
        len -= (size_t)count;
    }
    return 0;
}

/* The length in "$LENGTH\r\n" at the start of `head`, and how long that is; false: none, or not
 * whole. */
static bool parse_head(const uint8_t *head, size_t bytes, size_t *len, size_t *head_len)
{
    size_t at = 1, value = 0;
    if (bytes < 1 || head[0] != '$') {
        return false;
    }
    for (; at < bytes && head[at] >= '0' && head[at] <= '9' && at < 12; at++) {
        value = value * 10 + (size_t)(head[at] - '0');
    }
    if (at == 1 || at + 2 > bytes || head[at] != '\r' || head[at + 1] != '\n') {
        return false;
    }
    *len = value;
    *head_len = at + 2;
    return true;
}

int redis_receive_into(struct redis_conn *conn, uint8_t *out, size_t len, size_t *got,
                       struct wm_diag *diag)
{
    uint8_t head[HEAD_BYTES];
    size_t text_len = 0, head_len = 0;
    const redisReader *reader = conn->context ? conn->context->reader : NULL;
    if (conn->broken || !reader || len < DIRECT_BYTES || reader->pos != reader->len) {
        return receive_copied(conn, out, len, got, diag);
    }
    int err = flush(conn, diag);
    if (err) {
        return err;
    }
    ssize_t count;
    do {
        count = recv(conn->context->fd, head, sizeof head, 0);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) {
        return broke(conn, count < 0 ? errno : 0, "receiving", diag);
    }
    /* Anything but a large string whose head came whole goes the usual way. */
    if (!parse_head(head, (size_t)count, &text_len, &head_len) || text_len <= HEAD_BYTES) {
        if (redisReaderFeed(conn->context->reader, (char *)head, (size_t)count) != REDIS_OK) {
            return broke(conn, ENOMEM, "receiving", diag);
        }
        return receive_copied(conn, out, len, got, diag);
    }
    if (text_len > len) {
        conn->broken = true;
        return unreachable(conn->redis, WM_E_MALFORMED, "a reply longer than what was asked for",
                           diag);
    }
    size_t first = (size_t)count - head_len; /* less than text_len */
    uint8_t end[2];
    memcpy(out, head + head_len, first);
    err = read_exactly(conn, out + first, text_len - first, diag);
    err = err ? err : read_exactly(conn, end, sizeof end, diag);
    if (!err && (end[0] != '\r' || end[1] != '\n')) {
        conn->broken = true;
        err = unreachable(conn->redis, WM_E_MALFORMED, "a string without its end", diag);
    }
    conn->unanswered--;
    *got = text_len;
    return err;
}

int redis_ask(struct redis_conn *conn, const struct wm_view *args, uint32_t count,
              struct redis_value *out, struct wm_diag *diag)
{
    int err = redis_send(conn, args, count, diag);
    err = err ? err : redis_receive(conn, out, diag);
    return !err && out->kind == REDIS_ERROR ? redis_failed(conn, out, diag) : err;
}
