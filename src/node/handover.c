/* handover.c: fields one after the other; the same walk writes, measures and reads. */
#include "node/handover.h"

#include <string.h>

#include "base/error.h"

#define NAME_BYTES_MAX 160u

/* One direction of the walk. */
struct walk {
    uint8_t *out; /* writing: NULL only measures */
    size_t written;
    struct wm_cursor *from; /* reading */
    bool failed;
};

static void bytes(struct walk *walk, void *field, size_t len)
{
    struct wm_view view;
    if (!walk->from) {
        if (walk->out) {
            memcpy(walk->out + walk->written, field, len);
        }
        walk->written += len;
    } else if (!walk->failed && wm_cursor_bytes(walk->from, len, &view)) {
        memcpy(field, view.ptr, len);
    } else {
        walk->failed = true;
    }
}

static void flag(struct walk *walk, bool *field)
{
    uint8_t byte = *field;
    bytes(walk, &byte, 1);
    walk->failed = walk->failed || byte > 1;
    *field = byte == 1;
}

static void string(struct walk *walk, struct wm_view *field, uint32_t most)
{
    uint32_t len = (uint32_t)field->len;
    bytes(walk, &len, sizeof len);
    if (!walk->from) {
        if (walk->out && len != 0) {
            memcpy(walk->out + walk->written, field->ptr, len);
        }
        walk->written += len;
    } else if (walk->failed || len > most || !wm_cursor_bytes(walk->from, len, field)) {
        walk->failed = true;
    }
}

static void walk_call(struct walk *walk, struct handover_call *call)
{
    string(walk, &call->tenant, NAME_BYTES_MAX);
    string(walk, &call->function, NAME_BYTES_MAX);
    bytes(walk, call->module_sha256, sizeof call->module_sha256);
    bytes(walk, &call->timeout_ms, sizeof call->timeout_ms);
    bytes(walk, &call->depth, sizeof call->depth);
    bytes(walk, &call->hops, sizeof call->hops);
    flag(walk, &call->chained);
    flag(walk, &call->by_route);
    string(walk, &call->method, NAME_BYTES_MAX);
    string(walk, &call->path, HANDOVER_TEXT_BYTES_MAX);
    string(walk, &call->query, HANDOVER_TEXT_BYTES_MAX);
    string(walk, &call->headers, HANDOVER_TEXT_BYTES_MAX);
    string(walk, &call->input, CALL_INPUT_BYTES_MAX);
}

static void walk_result(struct walk *walk, struct handover_result *result)
{
    struct call_usage *usage = &result->usage;
    bytes(walk, &result->end, sizeof result->end);
    bytes(walk, &result->return_code, sizeof result->return_code);
    bytes(walk, &result->status, sizeof result->status);
    bytes(walk, &result->retry_after_ms, sizeof result->retry_after_ms);
    flag(walk, &result->cold);
    bytes(walk, &usage->fuel, 8);
    bytes(walk, &usage->cpu_ns, 8);
    bytes(walk, &usage->wall_ns, 8);
    bytes(walk, &usage->memory_peak_bytes, 8);
    bytes(walk, &usage->state_bytes_pulled, 8);
    bytes(walk, &usage->state_bytes_pushed, 8);
    bytes(walk, &usage->net_bytes_in, 8);
    bytes(walk, &usage->net_bytes_out, 8);
    bytes(walk, &result->record_second, 8);
    bytes(walk, &result->record_index, 4);
    string(walk, &result->node, NAME_BYTES_MAX);
    string(walk, &result->headers, HANDOVER_TEXT_BYTES_MAX);
    string(walk, &result->message, HANDOVER_TEXT_BYTES_MAX);
    string(walk, &result->backtrace, HANDOVER_TEXT_BYTES_MAX);
    string(walk, &result->output, CALL_OUTPUT_BYTES_MAX);
}

size_t handover_call_encode(const struct handover_call *call, uint8_t *out)
{
    struct handover_call copy = *call;
    struct walk walk = {.out = out};
    walk_call(&walk, &copy);
    return walk.written;
}

/* Texts become C strings further on. */
static bool has_nul(struct wm_view text)
{
    return text.len != 0 && memchr(text.ptr, 0, text.len) != NULL;
}

int handover_call_decode(struct wm_view from, struct handover_call *out, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(from);
    struct walk walk = {.from = &cursor};
    *out = (struct handover_call){0};
    walk_call(&walk, out);
    if (walk.failed || !wm_cursor_done(&cursor) || out->tenant.len == 0 || out->function.len == 0 ||
        has_nul(out->tenant) || has_nul(out->function) || has_nul(out->method) ||
        has_nul(out->path) || has_nul(out->query)) {
        return wm_diag_set(diag, WM_E_MALFORMED, "handed-on call: not of the form");
    }
    return 0;
}

size_t handover_result_encode(const struct handover_result *result, uint8_t *out)
{
    struct handover_result copy = *result;
    struct walk walk = {.out = out};
    walk_result(&walk, &copy);
    return walk.written;
}

int handover_result_decode(struct wm_view from, struct handover_result *out, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(from);
    struct walk walk = {.from = &cursor};
    *out = (struct handover_result){0};
    walk_result(&walk, out);
    if (walk.failed || !wm_cursor_done(&cursor) || out->end >= CALL_ENDS) {
        return wm_diag_set(diag, WM_E_MALFORMED, "result of a handed-on call: not of the form");
    }
    return 0;
}
