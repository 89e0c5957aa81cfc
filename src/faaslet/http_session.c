/* http_session.c: the host functions of outbound HTTP, and the form of their requests. */
#include "faaslet/http_session.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/error.h"
#include "faaslet/executor.h"
#include "faaslet/faaslet.h"

#define REQUEST_BYTES_MAX (UINT32_C(16) << 20)

struct answer {
    uint32_t status;
    uint8_t *bytes; /* headers, then body */
    struct wm_view headers, body;
};

struct http_session {
    uint32_t count;
    struct answer answers[HTTP_ANSWERS_MAX];
};

int http_session_new(struct http_session **out)
{
    *out = wm_alloc_zero(1, sizeof **out);
    return *out ? 0 : -ENOMEM;
}

void http_session_end(struct http_session *session)
{
    while (session->count > 0) {
        wm_free(session->answers[--session->count].bytes);
    }
}

void http_session_free(struct http_session *session)
{
    if (session) {
        http_session_end(session);
        wm_free(session);
    }
}

static bool take_string(struct wm_cursor *cursor, struct wm_view *out)
{
    uint32_t len;
    return wm_cursor_u32(cursor, &len) && wm_cursor_bytes(cursor, len, out);
}

int http_request_decode(struct wm_view bytes, struct http_request_parts *out)
{
    struct wm_cursor cursor = wm_cursor_of(bytes);
    return take_string(&cursor, &out->tenant) && take_string(&cursor, &out->method) &&
                   take_string(&cursor, &out->url) && take_string(&cursor, &out->headers) &&
                   take_string(&cursor, &out->body) && wm_cursor_done(&cursor)
               ? 0
               : WM_E_MALFORMED;
}

static int add_string(struct rpc_request *request, struct wm_view text)
{
    uint32_t len = (uint32_t)text.len;
    int rc = rpc_reply_add(request, wm_view_of(&len, sizeof len));
    return rc ? rc : rpc_reply_add(request, text);
}

int http_request_answer(struct rpc_request *request, int code, uint32_t status,
                        struct wm_view headers, struct wm_view body)
{
    int32_t head[2] = {code, (int32_t)status};
    int rc = rpc_reply_add(request, wm_view_of(head, sizeof head));
    rc = rc ? rc : add_string(request, headers);
    return rc ? rc : add_string(request, body);
}

/* Keeps a reply as the next answer: its handle, or a negative code. */
static int32_t keep(struct http_session *session, struct wm_view reply)
{
    struct wm_cursor cursor = wm_cursor_of(reply);
    struct answer *answer = &session->answers[session->count];
    uint32_t code, status;
    struct wm_view headers, body;
    if (!wm_cursor_u32(&cursor, &code) || !wm_cursor_u32(&cursor, &status) ||
        !take_string(&cursor, &headers) || !take_string(&cursor, &body)) {
        return guest_errno(-EIO);
    }
    if (code != 0) {
        return (int32_t)code == WM_E_LIMIT ? guest_errno(-EFBIG) : guest_errno((int32_t)code);
    }
    uint8_t *copy = wm_alloc(headers.len + body.len);
    if (!copy) {
        return guest_errno(-ENOMEM);
    }
    if (headers.len != 0) {
        memcpy(copy, headers.ptr, headers.len);
    }
    if (body.len != 0) {
        memcpy(copy + headers.len, body.ptr, body.len);
    }
    *answer = (struct answer){.status = status,
                              .bytes = copy,
                              .headers = wm_view_of(copy, headers.len),
                              .body = wm_view_of(copy + headers.len, body.len)};
    return (int32_t)session->count++;
}

static int32_t fetch(struct wasm_caller *caller, struct faaslet_call *call,
                     struct http_session *session, struct wm_view line, struct wm_view headers,
                     struct wm_view body)
{
    struct rpc_client *rpc = executor_rpc(call->executor);
    const uint8_t *blank = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
    struct wm_diag diag = WM_DIAG_INIT;
    struct rpc_reply reply;
    (void)caller;
    if (!blank) {
        return guest_errno(-EINVAL);
    }
    struct wm_view method = wm_view_of(line.ptr, (size_t)(blank - line.ptr));
    struct wm_view url = wm_view_of(blank + 1, line.len - method.len - 1);
    struct wm_view texts[5] = {wm_view_str(call->function->tenant), method, url, headers, body};
    uint32_t lens[5];
    struct iovec parts[10];
    for (int i = 0; i < 5; i++) {
        lens[i] = (uint32_t)texts[i].len;
        parts[2 * i] = (struct iovec){&lens[i], sizeof lens[i]};
        parts[2 * i + 1] = (struct iovec){(void *)(uintptr_t)texts[i].ptr, texts[i].len};
    }
    executor_block_begin(call->executor);
    int rc = rpc_call(rpc, RPC_HTTP, parts, 10, -1, &reply, &diag);
    executor_block_end(call->executor);
    return rc == 0 ? keep(session, reply.body) : guest_errno(rc);
}

static enum wasm_trap http_fetch(struct wasm_caller *caller, union wasm_value *values)
{
    struct faaslet_guest *guest = caller->env;
    struct faaslet_call *call = guest->call;
    struct wm_view line, headers, body;
    int32_t rc = guest_view(caller, values[0].i32, values[1].i32, &line);
    rc = rc ? rc : guest_view(caller, values[2].i32, values[3].i32, &headers);
    rc = rc ? rc : guest_view(caller, values[4].i32, values[5].i32, &body);
    if (rc == 0 &&
        (call->initialising || !guest->http || !call->executor || !executor_rpc(call->executor))) {
        rc = guest_errno(-EACCES);
    } else if (rc == 0 &&
               (line.len > 8192 || headers.len > 65536 || body.len > REQUEST_BYTES_MAX)) {
        rc = guest_errno(-EFBIG);
    } else if (rc == 0 && guest->http->count == HTTP_ANSWERS_MAX) {
        rc = guest_errno(-EMFILE);
    }
    if (rc == 0) {
        rc = fetch(caller, call, guest->http, line, headers, body);
    }
    values[0].i64 = (uint32_t)rc;
    enum wasm_trap trap = wasm_store_interrupted(caller->store);
    return rc == guest_errno(-EINTR) && trap != WASM_TRAP_NONE ? trap : WASM_TRAP_NONE;
}

static const struct answer *answer_of(struct wasm_caller *caller, uint32_t handle)
{
    struct faaslet_guest *guest = caller->env;
    return guest->http && handle < guest->http->count ? &guest->http->answers[handle] : NULL;
}

static enum wasm_trap give(union wasm_value *values, int32_t result)
{
    values[0].i64 = (uint32_t)result;
    return WASM_TRAP_NONE;
}

static enum wasm_trap http_status(struct wasm_caller *caller, union wasm_value *values)
{
    const struct answer *answer = answer_of(caller, values[0].i32);
    return give(values, answer ? (int32_t)answer->status : guest_errno(-EBADF));
}

static enum wasm_trap http_body_size(struct wasm_caller *caller, union wasm_value *values)
{
    const struct answer *answer = answer_of(caller, values[0].i32);
    return give(values, answer ? (int32_t)answer->body.len : guest_errno(-EBADF));
}

static enum wasm_trap http_body_read(struct wasm_caller *caller, union wasm_value *values)
{
    const struct answer *answer = answer_of(caller, values[0].i32);
    return give(values, answer ? guest_copy_out(caller, answer->body, values[1].i32, values[2].i32,
                                                values[3].i32)
                               : guest_errno(-EBADF));
}

/* Names are in lower case there. */
static bool find_header(struct wm_view headers, struct wm_view name, struct wm_view *out)
{
    while (headers.len != 0) {
        const uint8_t *end = memchr(headers.ptr, '\n', headers.len);
        size_t len = end ? (size_t)(end - headers.ptr) : headers.len;
        if (len >= name.len + 2 && headers.ptr[name.len] == ':' &&
            strncasecmp((const char *)headers.ptr, (const char *)name.ptr, name.len) == 0) {
            *out = wm_view_of(headers.ptr + name.len + 2, len - name.len - 2);
            return true;
        }
        size_t skip = end ? len + 1 : len;
        headers = wm_view_of(headers.ptr + skip, headers.len - skip);
    }
    return false;
}

static enum wasm_trap http_header(struct wasm_caller *caller, union wasm_value *values)
{
    const struct answer *answer = answer_of(caller, values[0].i32);
    struct wm_view name, value;
    int32_t rc = guest_take_name(caller, values[1].i32, values[2].i32, &name);
    if (rc == 0 && !answer) {
        rc = guest_errno(-EBADF);
    } else if (rc == 0 && !find_header(answer->headers, name, &value)) {
        rc = guest_errno(-ENOENT);
    } else if (rc == 0) {
        rc = guest_copy_out(caller, value, 0, values[3].i32, values[4].i32);
        rc = rc < 0 ? rc : (int32_t)value.len;
    }
    return give(values, rc);
}

#define FUNC(name, signature, call)      \
    {                                    \
        "faaslet", name, signature, call \
    }
static const struct wasm_host_func funcs[] = {
    FUNC("http_fetch", "iiiiii:i", http_fetch),    FUNC("http_status", "i:i", http_status),
    FUNC("http_body_size", "i:i", http_body_size), FUNC("http_body_read", "iiii:i", http_body_read),
    FUNC("http_header", "iiiii:i", http_header),
};

const struct faaslet_host_table faaslet_http_funcs = {funcs, WM_COUNT_OF(funcs)};
