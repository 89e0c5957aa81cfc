/* call_funcs.c: the host interface of a call: its input, output, request, secrets, log. */
#include <string.h>
#include <strings.h>

#include "faaslet/faaslet.h"
#include "faaslet/streams.h"
#include "libos/errno.h"

static struct faaslet_call *call_of(struct wasm_caller *caller)
{
    return ((struct faaslet_guest *)caller->env)->call;
}

static enum wasm_trap give(union wasm_value *values, int32_t result)
{
    values[0].i64 = (uint32_t)result;
    return WASM_TRAP_NONE;
}

static enum wasm_trap input_size(struct wasm_caller *caller, union wasm_value *values)
{
    return give(values, (int32_t)call_of(caller)->input.len);
}

static enum wasm_trap input_read(struct wasm_caller *caller, union wasm_value *values)
{
    return give(values, guest_copy_out(caller, call_of(caller)->input, values[0].i32, values[1].i32,
                                       values[2].i32));
}

static int32_t add_output(struct wasm_caller *caller, uint32_t at, uint32_t len)
{
    struct wm_view bytes;
    int32_t rc = guest_view(caller, at, len, &bytes);
    if (rc != 0) {
        return rc;
    }
    return faaslet_call_output(call_of(caller), bytes.ptr, len) ? 0 : guest_errno(-LIBOS_EFBIG);
}

static enum wasm_trap output_append(struct wasm_caller *caller, union wasm_value *values)
{
    return give(values, add_output(caller, values[0].i32, values[1].i32));
}

static enum wasm_trap output_set(struct wasm_caller *caller, union wasm_value *values)
{
    struct faaslet_call *call = call_of(caller);
    uint32_t before = call->output_len;
    call->output_len = 0;
    int32_t rc = add_output(caller, values[0].i32, values[1].i32);
    if (rc != 0) {
        call->output_len = before;
    }
    return give(values, rc);
}

/* The n-th of the texts that the request consists of. */
static struct wm_view request_part(struct wm_view request, unsigned number)
{
    struct wm_view part = {NULL, 0};
    for (unsigned i = 0; i <= number; i++) {
        const uint8_t *end = request.len ? memchr(request.ptr, 0, request.len) : NULL;
        if (!end) {
            return wm_view_of(NULL, 0);
        }
        part = wm_view_of(request.ptr, (size_t)(end - request.ptr));
        request = wm_view_of(end + 1, request.len - part.len - 1);
    }
    return part;
}

static bool find_header(struct wm_view headers, const char *name, struct wm_view *out)
{
    size_t name_len = strlen(name);
    while (headers.len != 0) {
        const uint8_t *end = memchr(headers.ptr, '\n', headers.len);
        size_t len = end ? (size_t)(end - headers.ptr) : headers.len;
        if (len > name_len + 1 && headers.ptr[name_len] == ':' &&
            strncasecmp((const char *)headers.ptr, name, name_len) == 0) {
            size_t at = name_len + 1;
            at += at < len && headers.ptr[at] == ' ';
            *out = wm_view_of(headers.ptr + at, len - at);
            return true;
        }
        size_t skip = end ? len + 1 : len;
        headers = wm_view_of(headers.ptr + skip, headers.len - skip);
    }
    return false;
}

static bool find_request(const struct faaslet_call *call, const char *name, struct wm_view *out)
{
    static const char *const parts[] = {"method", "path", "query"};
    if (call->request.len == 0) {
        return false;
    }
    for (unsigned i = 0; i < WM_COUNT_OF(parts); i++) {
        if (strcmp(name, parts[i]) == 0) {
            *out = request_part(call->request, i);
            return true;
        }
    }
    return strncmp(name, "header:", 7) == 0 &&
           find_header(request_part(call->request, 3), name + 7, out);
}

/* What was found, cut to the guest's buffer; its whole length. */
static int32_t give_text(struct wasm_caller *caller, struct wm_view text, uint32_t at, uint32_t len)
{
    int32_t rc = guest_copy_out(caller, text, 0, at, len);
    return rc < 0 ? rc : (int32_t)text.len;
}

static enum wasm_trap request_read(struct wasm_caller *caller, union wasm_value *values)
{
    struct wm_view name, text;
    int32_t rc = guest_take_name(caller, values[0].i32, values[1].i32, &name);
    if (rc == 0) {
        rc = find_request(call_of(caller), (const char *)name.ptr, &text)
                 ? give_text(caller, text, values[2].i32, values[3].i32)
                 : guest_errno(-LIBOS_ENOENT);
    }
    return give(values, rc);
}

static enum wasm_trap response_status(struct wasm_caller *caller, union wasm_value *values)
{
    uint32_t status = values[0].i32;
    if (status < 200 || status > 599) {
        return give(values, guest_errno(-LIBOS_EINVAL));
    }
    call_of(caller)->status = status;
    return give(values, 0);
}

/* A header is a token, its value has no control characters: nobody splits a response (RFC 9110
 * section 5). */
static bool is_header(struct wm_view name, struct wm_view value)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (!letter && !(c >= '0' && c <= '9') && (c == 0 || !strchr(others, c))) {
            return false;
        }
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < 32 || value.ptr[i] == 127) {
            return false;
        }
    }
    return name.len != 0;
}

static enum wasm_trap response_header(struct wasm_caller *caller, union wasm_value *values)
{
    struct faaslet_call *call = call_of(caller);
    struct wm_view name, value;
    int32_t rc = guest_take_name(caller, values[0].i32, values[1].i32, &name);
    rc = rc == 0 ? guest_view(caller, values[2].i32, values[3].i32, &value) : rc;
    if (rc != 0) {
        return give(values, rc);
    }
    uint64_t len = (uint64_t)name.len + 2 + value.len + 1;
    if (len > FAASLET_HEADERS_BYTES - call->headers_len) {
        return give(values, guest_errno(-LIBOS_EFBIG));
    }
    if (call->headers) { /* copied first: others may write to a shared value meanwhile */
        uint8_t *at = call->headers + call->headers_len;
        memcpy(at, name.ptr, name.len);
        memcpy(at + name.len, ": ", 2);
        memcpy(at + name.len + 2, value.ptr ? value.ptr : at, value.len);
        at[len - 1] = '\n';
        if (!is_header(name, wm_view_of(at + name.len + 2, value.len))) {
            return give(values, guest_errno(-LIBOS_EINVAL));
        }
        call->headers_len += (uint32_t)len;
    }
    return give(values, 0);
}

static enum wasm_trap secret_read(struct wasm_caller *caller, union wasm_value *values)
{
    struct faaslet_call *call = call_of(caller);
    struct wm_view name;
    int32_t rc = guest_take_name(caller, values[0].i32, values[1].i32, &name);
    if (rc == 0 && call->initialising) {
        rc = guest_errno(-LIBOS_EACCES);
    }
    if (rc == 0) {
        const char *secret = function_secret(call->function, (const char *)name.ptr);
        rc = secret ? give_text(caller, wm_view_str(secret), values[2].i32, values[3].i32)
                    : guest_errno(-LIBOS_ENOENT);
    }
    return give(values, rc);
}

static enum wasm_trap log_line(struct wasm_caller *caller, union wasm_value *values)
{
    struct faaslet_guest *guest = caller->env;
    struct faaslet *faaslet = WM_CONTAINER_OF(guest, struct faaslet, guest);
    struct wm_view text;
    int32_t rc = guest_view(caller, values[0].i32, values[1].i32, &text);
    if (rc == 0) {
        faaslet_streams_log(faaslet->streams, text);
        faaslet_streams_log(faaslet->streams, wm_view_str("\n"));
    }
    return give(values, rc);
}

#define FUNC(name, signature, call)      \
    {                                    \
        "faaslet", name, signature, call \
    }
static const struct wasm_host_func funcs[] = {
    FUNC("input_size", ":i", input_size),
    FUNC("input_read", "iii:i", input_read),
    FUNC("output_set", "ii:i", output_set),
    FUNC("output_append", "ii:i", output_append),
    FUNC("request_read", "iiii:i", request_read),
    FUNC("response_status", "i:i", response_status),
    FUNC("response_header", "iiii:i", response_header),
    FUNC("secret_read", "iiii:i", secret_read),
    FUNC("log", "ii:i", log_line),
};

const struct faaslet_host_table faaslet_call_funcs = {funcs, WM_COUNT_OF(funcs)};
