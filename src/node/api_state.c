/* State over HTTP: the global tier's values, which block and so are reached from other threads. */
#include <microhttpd.h>
#include <string.h>

#include "base/alloc.h"
#include "faaslet/tier.h"
#include "node/api.h"
#include "node/jsonx.h"

#define LIST_MAX 10000u
#define OCTETS "application/octet-stream"

struct state {
    const struct tier *tier;
    struct tier_key key;
    uint64_t offset, len, total, quota;
    bool has_len, has_offset;
    uint8_t *bytes;
    struct wm_view prefix, after;
    uint32_t limit;
    json_t *list;
};

static void state_free(void *data)
{
    struct state *state = data;
    wm_free(state->bytes);
    json_decref(state->list);
    wm_free(state);
}

/* NULL: answered. */
static struct state *begin(struct http_request *request)
{
    if (!request->node->tier) {
        http_error(request, 501, NULL, "this node has no global tier");
        return NULL;
    }
    if (!api_need_tenant(request)) {
        return NULL;
    }
    struct state *state = wm_alloc_zero(1, sizeof *state);
    if (!state) {
        http_error(request, 503, NULL, "no memory");
        return NULL;
    }
    request->data = state;
    request->data_free = state_free;
    state->tier = request->node->tier;
    state->key.tenant = wm_view_str(request->tenant);
    state->quota = catalogue_tenant(request->node->catalogue, request->tenant)->quota.state_bytes;
    if (request->args[0]) {
        state->key.key = wm_view_str(request->args[0]);
        if (state->key.key.len > TIER_KEY_BYTES_MAX) {
            http_error(request, 400, NULL, "a key has at most %u bytes", TIER_KEY_BYTES_MAX);
            return NULL;
        }
    }
    return state;
}

static void run_get(struct http_request *request)
{
    struct state *state = request->data;
    const struct tier *tier = state->tier;
    request->err = tier->ops->size(tier->self, state->key, &state->total, &request->diag);
    if (request->err) {
        return;
    }
    if (state->offset > state->total) {
        request->err = wm_diag_set(&request->diag, WM_E_USAGE, "offset: the value has %llu bytes",
                                   (unsigned long long)state->total);
        return;
    }
    uint64_t left = state->total - state->offset;
    state->len = state->has_len && state->len < left ? state->len : left;
    if (state->len > API_STATE_BYTES_MAX) {
        request->err = wm_diag_set(&request->diag, WM_E_LIMIT,
                                   "at most %llu bytes at once: use offset and len",
                                   (unsigned long long)API_STATE_BYTES_MAX);
        return;
    }
    state->bytes = wm_alloc(state->len);
    if (!state->bytes) {
        request->err = wm_diag_default(&request->diag, -ENOMEM, "state");
        return;
    }
    struct tier_range range = {state->offset, state->len, state->bytes};
    if (state->len) {
        request->err = tier->ops->read(tier->self, state->key, &range, 1, &request->diag);
    }
}

static void after_get(struct http_request *request)
{
    struct state *state = request->data;
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
        return;
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(
        state->len, state->len ? (void *)state->bytes : (void *)state, MHD_RESPMEM_PERSISTENT);
    if (response) {
        char total[24];
        (void)snprintf(total, sizeof total, "%llu", (unsigned long long)state->total);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, OCTETS);
        (void)MHD_add_response_header(response, "Wardmote-Value-Bytes", total);
    }
    request->answer_bytes = state->len;
    http_answer(request, 200, response);
}

void api_state_get(struct http_request *request)
{
    struct state *state = begin(request);
    if (!state) {
        return;
    }
    state->has_len = http_param(request, "len") != NULL;
    if (http_number(request, "offset", TIER_VALUE_BYTES_MAX, &state->offset) &&
        http_number(request, "len", TIER_VALUE_BYTES_MAX, &state->len)) {
        http_work(request, run_get, after_get);
    }
}

struct sum {
    struct wm_view without;
    uint64_t bytes;
};

static bool add_bytes(void *self, struct wm_view name, uint64_t bytes)
{
    struct sum *sum = self;
    sum->bytes += wm_view_eq(name, sum->without) ? 0 : bytes;
    return true;
}

/* Of all of the tenant's values but this one. The tier itself keeps no account of tenants. */
static int sum_others(struct http_request *request, uint64_t *bytes)
{
    struct state *state = request->data;
    struct sum sum = {.without = state->key.key};
    int err = state->tier->ops->list(state->tier->self, state->key.tenant, (struct wm_view){0},
                                     (struct wm_view){0}, add_bytes, &sum, &request->diag);
    *bytes = sum.bytes;
    return err;
}

/* Without an offset the value becomes the body: one of another size is removed first. */
static void run_put(struct http_request *request)
{
    struct state *state = request->data;
    const struct tier *tier = state->tier;
    uint64_t end = state->offset + request->body_len, present = 0;
    int err = tier->ops->size(tier->self, state->key, &present, &request->diag);
    if (err && err != WM_E_NOT_FOUND) {
        request->err = err;
        return;
    }
    if (err == 0 && state->has_offset && end > present) {
        request->err = wm_diag_set(&request->diag, WM_E_INVALID,
                                   "the value has %llu bytes; this would write beyond",
                                   (unsigned long long)present);
        return;
    }
    uint64_t others = 0;
    if (err || !state->has_offset) { /* else it grows nothing */
        request->err = sum_others(request, &others);
        if (request->err) {
            return;
        }
    }
    if (others + end > state->quota || end > TIER_VALUE_BYTES_MAX) {
        request->err =
            wm_diag_set(&request->diag, WM_E_LIMIT, "more than the tenant's state_bytes");
        return;
    }
    if (err == 0 && !state->has_offset && present != end) {
        err = tier->ops->remove(tier->self, state->key, &request->diag);
        if (err && err != WM_E_NOT_FOUND) {
            request->err = err;
            return;
        }
    }
    struct tier_range range = {state->offset, request->body_len, request->body};
    uint64_t bytes = state->has_offset && present ? present : end;
    request->err =
        request->body_len
            ? tier->ops->write(tier->self, state->key, bytes, &range, 1, 0, &request->diag)
            : tier->ops->create(tier->self, state->key, bytes, &request->diag);
}

static void after_change(struct http_request *request)
{
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
    } else {
        http_answer_empty(request);
    }
}

void api_state_put(struct http_request *request)
{
    struct state *state = begin(request);
    if (!state) {
        return;
    }
    state->has_offset = http_param(request, "offset") != NULL;
    if (http_number(request, "offset", TIER_VALUE_BYTES_MAX, &state->offset)) {
        http_work(request, run_put, after_change);
    }
}

static void run_delete(struct http_request *request)
{
    struct state *state = request->data;
    request->err = state->tier->ops->remove(state->tier->self, state->key, &request->diag);
}

void api_state_delete(struct http_request *request)
{
    if (begin(request)) {
        http_work(request, run_delete, after_change);
    }
}

static bool emit(void *self, struct wm_view name, uint64_t bytes)
{
    struct state *state = self;
    json_t *one = json_pack("{s:o, s:I}", "key", jsonx_bytes(name), "bytes", (json_int_t)bytes);
    return one && json_array_append_new(state->list, one) == 0 &&
           json_array_size(state->list) < state->limit;
}

static void run_list(struct http_request *request)
{
    struct state *state = request->data;
    state->list = json_array();
    request->err = state->limit
                       ? state->tier->ops->list(state->tier->self, state->key.tenant, state->prefix,
                                                state->after, emit, state, &request->diag)
                       : 0;
}

static void after_list(struct http_request *request)
{
    struct state *state = request->data;
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
        return;
    }
    http_answer_json(request, 200, json_pack("{s:O}", "keys", state->list));
}

void api_state_list(struct http_request *request)
{
    uint64_t limit = 1000;
    struct state *state = begin(request);
    const char *prefix = http_param(request, "prefix"), *after = http_param(request, "after");
    if (!state || !http_number(request, "limit", LIST_MAX, &limit)) {
        return;
    }
    state->limit = (uint32_t)limit;
    state->prefix = wm_view_str(prefix ? prefix : "");
    state->after = wm_view_str(after ? after : "");
    http_work(request, run_list, after_list);
}
