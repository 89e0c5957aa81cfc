/* Asynchronous calls.
 *
 *     accepted            ended                    read, or expired
 *     meta + input  --->  meta + output, - input   --->  nothing
 *
 * Each arrow is part of one commit of the store. While a commit is under way further changes are
 * collected in the next batch, so that the disk is written as often as it can be and no more. */
#include "node/async.h"

#include <errno.h>
#include <string.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/vec.h"
#include "crypto/hash.h"
#include "host/file.h"
#include "node/calls.h"
#include "node/catalogue.h"
#include "node/jsonx.h"
#include "node/log.h"
#include "node/map.h"
#include "node/metrics.h"
#include "node/node.h"
#include "store/kv.h"

#define TABLE_META "async"
#define TABLE_INPUT "async_in"
#define TABLE_OUTPUT "async_out"
#define TICK_MS 20u
#define SLOW_TICK_MS 10000u
#define RETRY_MS 100u
#define NS_PER_MS INT64_C(1000000)
#define MESSAGE_BYTES_MAX 1024u

struct usage { /* of one tenant */
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    uint64_t bytes;
};

struct async_call {
    struct async *async;
    uint8_t id[ASYNC_ID_BYTES];
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    char function[2 * CATALOGUE_NAME_BYTES_MAX + 2];
    enum async_state state;
    bool idempotent, started, forgotten;
    bool stored; /* its result too, where it has one */
    uint32_t timeout_ms;
    int64_t created_ns, ended_ns, retry_at_ms;
    uint8_t *input; /* while it is pending */
    size_t input_len;
    uint64_t bytes; /* that count for its tenant */
    enum call_end end;
    int32_t return_code;
    char *message; /* NULL: none */
    uint64_t wall_ns, output_len;
    bool cold;
    uint64_t record_second;
    uint32_t record_index;
    async_accepted_fn *accepted;
    void *accepted_self;
};

struct waiter {
    uint8_t id[ASYNC_ID_BYTES];
    int64_t deadline_ms;
    void (*woken)(void *self);
    void *self;
};

enum after { AFTER_ACCEPTED, AFTER_RESULT, AFTER_FORGOTTEN };
struct written { /* to be told when the batch is on the disk */
    struct async_call *call;
    enum after what;
};

typedef WM_VEC(struct written) written_list;

struct async {
    struct node *node;
    struct map calls, usage;
    WM_VEC(struct waiter) waiters;
    struct kv_batch *batch; /* collecting; NULL: nothing yet */
    written_list collecting, committing;
    struct kv_batch *at_work;
    bool busy;
    int commit_err;
    struct wm_diag commit_diag;
    uv_work_t work;
    uv_timer_t timer;
    bool timer_open;
    WM_VEC(struct async_call *) retries; /* calls that wait for a place */
    int64_t next_expire_ms;
    uint64_t pending, kept;
};

static void flush(struct async *async);
static void run_call(struct async_call *call);

static int64_t now_ms(const struct async *async)
{
    return (int64_t)uv_now(async->node->loop);
}

/* Accounts */

static struct usage *usage_of(struct async *async, const char *tenant)
{
    struct usage *usage = map_get(&async->usage, wm_view_str(tenant));
    if (usage) {
        return usage;
    }
    usage = wm_alloc_zero(1, sizeof *usage);
    if (!usage || map_reserve(&async->usage, 1) != 0) {
        wm_free(usage);
        return NULL;
    }
    memcpy(usage->tenant, tenant, strlen(tenant) + 1);
    (void)map_put(&async->usage, wm_view_str(usage->tenant), usage);
    return usage;
}

static void set_bytes(struct async_call *call, uint64_t bytes)
{
    struct usage *usage = usage_of(call->async, call->tenant);
    if (usage) {
        usage->bytes += bytes - call->bytes;
        call->bytes = bytes;
    }
}

static uint64_t quota_of(struct async *async, const char *name)
{
    const struct tenant *tenant = catalogue_tenant(async->node->catalogue, name);
    return tenant ? tenant->quota.results_bytes : 0;
}

/* Records */

static json_t *encode(const struct async_call *call)
{
    json_t *json = json_pack("{s:s, s:s, s:b, s:b, s:b, s:I, s:I, s:I}", "tenant", call->tenant,
                             "function", call->function, "done", call->state == ASYNC_DONE,
                             "idempotent", call->idempotent, "started", call->started, "timeout_ms",
                             (json_int_t)call->timeout_ms, "created_ns",
                             (json_int_t)call->created_ns, "ended_ns", (json_int_t)call->ended_ns);
    if (json && call->state == ASYNC_DONE) {
        int err = jsonx_set(json, "end", json_string(call_end_text(call->end)));
        err |= jsonx_set(json, "return_code", json_integer(call->return_code));
        err |= jsonx_set(json, "wall_us", json_integer((json_int_t)(call->wall_ns / 1000)));
        err |= jsonx_set(json, "output_bytes", json_integer((json_int_t)call->output_len));
        err |= jsonx_set(json, "cold", json_boolean(call->cold));
        err |= jsonx_set(json, "record_second", json_integer((json_int_t)call->record_second));
        err |= jsonx_set(json, "record_index", json_integer(call->record_index));
        if (call->message) {
            err |= jsonx_set(json, "message", jsonx_bytes(wm_view_str(call->message)));
        }
        if (err) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

static bool decode(struct async_call *call, const json_t *json)
{
    uint64_t created = 0, ended = 0, wall_us = 0;
    bool done = false;
    if (!jsonx_copy(call->tenant, sizeof call->tenant, jsonx_text(json, "tenant")) ||
        !jsonx_copy(call->function, sizeof call->function, jsonx_text(json, "function")) ||
        !jsonx_bool(json, "done", &done) || !jsonx_bool(json, "idempotent", &call->idempotent) ||
        !jsonx_bool(json, "started", &call->started) || !jsonx_bool(json, "cold", &call->cold) ||
        !jsonx_u32(json, "timeout_ms", UINT32_MAX, &call->timeout_ms) ||
        !jsonx_u64(json, "created_ns", INT64_MAX, &created) ||
        !jsonx_u64(json, "ended_ns", INT64_MAX, &ended) ||
        !jsonx_u64(json, "wall_us", INT64_MAX / 1000, &wall_us) ||
        !jsonx_u64(json, "output_bytes", CALL_OUTPUT_BYTES_MAX, &call->output_len) ||
        !jsonx_u64(json, "record_second", INT64_MAX, &call->record_second) ||
        !jsonx_u32(json, "record_index", UINT32_MAX, &call->record_index)) {
        return false;
    }
    call->created_ns = (int64_t)created;
    call->ended_ns = (int64_t)ended;
    call->wall_ns = wall_us * 1000;
    call->state = done ? ASYNC_DONE : ASYNC_QUEUED;
    call->return_code = (int32_t)json_integer_value(json_object_get(json, "return_code"));
    const char *end = jsonx_text(json, "end"), *message = jsonx_text(json, "message");
    for (unsigned i = 0; end && i < CALL_ENDS; i++) {
        if (strcmp(end, call_end_text((enum call_end)i)) == 0) {
            call->end = (enum call_end)i;
        }
    }
    call->message = message ? wm_strdup(message) : NULL;
    return true;
}

static void call_free(struct async_call *call)
{
    set_bytes(call, 0);
    wm_free(call->input);
    wm_free(call->message);
    wm_free(call);
}

static struct async_call *find(struct async *async, const uint8_t id[ASYNC_ID_BYTES])
{
    struct async_call *call = map_get(&async->calls, wm_view_of(id, ASYNC_ID_BYTES));
    return call && !call->forgotten ? call : NULL;
}

/* Writing */

static int need_batch(struct async *async)
{
    return async->batch ? 0 : kv_batch_new(async->node->kv, &async->batch);
}

static struct wm_view id_of(const struct async_call *call)
{
    return wm_view_of(call->id, ASYNC_ID_BYTES);
}

static int put_meta(struct async_call *call)
{
    json_t *json = encode(call);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    int err =
        text ? kv_put(call->async->batch, TABLE_META, id_of(call), wm_view_str(text)) : -ENOMEM;
    free(text);
    return err;
}

static void drop_call(struct async_call *call)
{
    (void)map_remove(&call->async->calls, id_of(call));
    call_free(call);
}

static void wake(struct async *async, const uint8_t id[ASYNC_ID_BYTES])
{
    for (size_t i = 0; i < async->waiters.count;) {
        struct waiter waiter = async->waiters.items[i];
        if (memcmp(waiter.id, id, ASYNC_ID_BYTES) == 0) {
            async->waiters.items[i] = async->waiters.items[--async->waiters.count];
            waiter.woken(waiter.self);
        } else {
            i++;
        }
    }
}

static void was_written(struct async_call *call, enum after what, int err,
                        const struct wm_diag *diag)
{
    struct async *async = call->async;
    char text[2 * ASYNC_ID_BYTES + 1];
    jsonx_hex(text, call->id, ASYNC_ID_BYTES);
    switch (what) {
    case AFTER_ACCEPTED:
        if (err) {
            call->accepted(call->accepted_self, NULL, err, diag);
            async->pending--;
            drop_call(call);
            return;
        }
        call->stored = true;
        metrics_add(async->node->metrics, METRICS_ASYNC, 1);
        call->accepted(call->accepted_self, text, 0, NULL);
        run_call(call);
        return;
    case AFTER_RESULT:
        if (err) {
            char shown[LOG_TEXT_BYTES];
            log_line(LOG_ERROR, "async", "call=%s result=lost %s", text,
                     log_text(shown, wm_diag_text(diag)));
            call->end = CALL_END_NODE_DIED;
            call->output_len = 0;
        }
        wm_free(call->input);
        call->input = NULL;
        call->state = ASYNC_DONE;
        async->pending--;
        async->kept++;
        wake(async, call->id);
        return;
    case AFTER_FORGOTTEN:
        async->kept--;
        drop_call(call);
        return;
    default: return;
    }
}

static void commit_run(uv_work_t *work)
{
    struct async *async = work->data;
    async->commit_diag = (struct wm_diag)WM_DIAG_INIT;
    async->commit_err = kv_commit(async->at_work, &async->commit_diag);
}

static void commit_after(uv_work_t *work, int status)
{
    struct async *async = work->data;
    written_list list = async->committing;
    (void)status;
    async->committing = (written_list){0};
    async->busy = false;
    flush(async); /* the disk goes on while we tell */
    for (size_t i = 0; i < list.count; i++) {
        was_written(list.items[i].call, list.items[i].what, async->commit_err, &async->commit_diag);
    }
    wm_vec_fini(&list);
}

static void flush(struct async *async)
{
    if (async->busy || !async->batch) {
        return;
    }
    async->busy = true;
    async->at_work = async->batch;
    async->batch = NULL;
    async->committing = async->collecting;
    async->collecting = (written_list){0};
    async->work.data = async;
    int err = uv_queue_work(async->node->loop, &async->work, commit_run, commit_after);
    WM_ASSERT(err == 0);
}

/* Room in the list comes first, so that nothing fails once the batch has the change. */
static int reserve_written(struct async *async)
{
    int err = need_batch(async);
    return err ? err : wm_vec_reserve_one(&async->collecting);
}

static void will_be_written(struct async_call *call, enum after what)
{
    struct async *async = call->async;
    async->collecting.items[async->collecting.count++] = (struct written){call, what};
    flush(async);
}

/* Running */

static void set_timer(struct async *async);

static int retry_later(struct async_call *call, uint32_t after_ms)
{
    int err = wm_vec_push(&call->async->retries, call);
    if (!err) {
        call->state = ASYNC_QUEUED;
        call->retry_at_ms = now_ms(call->async) + (after_ms ? after_ms : RETRY_MS);
        set_timer(call->async);
    }
    return err;
}

static void call_done(void *self, uint64_t id, const struct call_result *result)
{
    struct async_call *call = self;
    struct async *async = call->async;
    bool stopping = async->node->state != NODE_RUNNING;
    (void)id;
    int64_t waited_ns = host_realtime_ns() - call->created_ns;
    if (result->end == CALL_END_OVERLOADED && !stopping &&
        waited_ns < (int64_t)async->node->config->keep_s * 1000 * NS_PER_MS &&
        retry_later(call, result->retry_after_ms) == 0) {
        return;
    }
    int err = reserve_written(async);
    if (stopping && (result->end == CALL_END_REFUSED || result->end == CALL_END_OVERLOADED)) {
        call->started = false; /* so the next start of the node runs it, whatever it is */
        call->state = ASYNC_QUEUED;
        if (!err && put_meta(call) == 0) {
            flush(async);
        }
        return;
    }
    if (stopping && result->end == CALL_END_CANCELLED) {
        call->state = ASYNC_QUEUED; /* the next start decides */
        return;
    }
    metrics_call(async->node->metrics, call->tenant, call->function, result->end, result->cold,
                 result->usage.wall_ns);
    call->end = result->end;
    call->return_code = result->return_code;
    call->ended_ns = host_realtime_ns();
    call->wall_ns = result->usage.wall_ns;
    call->cold = result->cold;
    call->record_second = result->record_second;
    call->record_index = result->record_index;
    struct wm_view output = result->output;
    const char *message = result->message && *result->message ? result->message : NULL;
    const struct usage *usage = usage_of(async, call->tenant);
    uint64_t others = usage ? usage->bytes - call->bytes : 0;
    if (others + output.len + ASYNC_EXTRA_BYTES > quota_of(async, call->tenant)) {
        call->end = CALL_END_LIMIT;
        output = (struct wm_view){0};
        message = "the output does not fit the tenant's results_bytes; read and so remove others";
    }
    if (message) {
        call->message = wm_alloc_zero(1, MESSAGE_BYTES_MAX);
        if (call->message) {
            (void)snprintf(call->message, MESSAGE_BYTES_MAX, "%s", message);
        }
    }
    call->output_len = output.len;
    set_bytes(call, output.len + ASYNC_EXTRA_BYTES);
    call->state = ASYNC_DONE; /* in the record; it is seen once that is written */
    err = err ? err : put_meta(call);
    err = err ? err : kv_put(async->batch, TABLE_OUTPUT, id_of(call), output);
    err = err ? err : kv_remove(async->batch, TABLE_INPUT, id_of(call));
    call->state = ASYNC_RUNNING;
    if (err) {
        struct wm_diag diag = WM_DIAG_INIT;
        wm_diag_default(&diag, err, "async");
        was_written(call, AFTER_RESULT, err, &diag);
    } else {
        will_be_written(call, AFTER_RESULT);
    }
}

static void run_call(struct async_call *call)
{
    call->state = ASYNC_RUNNING;
    call->started = true;
    (void)node_calls_start(call->async->node, &(struct call_request){
                                                  .tenant = call->tenant,
                                                  .function = call->function,
                                                  .input = wm_view_of(call->input, call->input_len),
                                                  .timeout_ms = call->timeout_ms,
                                                  .func_idx = UINT32_MAX,
                                                  .done = call_done,
                                                  .self = call,
                                              });
}

static int make(struct async *async, const struct call_request *request, struct async_call **out,
                struct wm_diag *diag)
{
    char shown[80];
    struct function_version *version =
        catalogue_find(async->node->catalogue, request->tenant, request->function);
    if (!version) {
        return wm_diag_set(
            diag, WM_E_NOT_FOUND, "function %s: there is none; upload it with PUT /v1/functions/",
            wm_diag_quote(shown, sizeof shown, request->function, strlen(request->function)));
    }
    bool idempotent = version->idempotent;
    function_version_put(version);
    uint64_t bytes = request->input.len + ASYNC_EXTRA_BYTES;
    const struct usage *usage = usage_of(async, request->tenant);
    if (!usage || usage->bytes + bytes > quota_of(async, request->tenant)) {
        return wm_diag_set(diag, WM_E_LIMIT,
                           "tenant %s: pending calls and unread results fill its results_bytes; "
                           "read some",
                           request->tenant);
    }
    struct async_call *call = wm_alloc_zero(1, sizeof *call);
    int err = call ? map_reserve(&async->calls, 1) : -ENOMEM;
    if (!err && request->input.len) {
        call->input = wm_alloc(request->input.len);
        err = call->input ? 0 : -ENOMEM;
    }
    if (!err && (!jsonx_copy(call->tenant, sizeof call->tenant, request->tenant) ||
                 !jsonx_copy(call->function, sizeof call->function, request->function))) {
        err = WM_E_USAGE;
    }
    if (err) {
        if (call) {
            wm_free(call->input);
            wm_free(call);
        }
        return wm_diag_default(diag, err, "asynchronous call");
    }
    call->async = async;
    wm_random_bytes(call->id, sizeof call->id);
    call->state = ASYNC_QUEUED;
    call->idempotent = idempotent;
    call->started = true;
    call->timeout_ms = request->timeout_ms;
    call->created_ns = host_realtime_ns();
    call->input_len = request->input.len;
    if (call->input_len) {
        memcpy(call->input, request->input.ptr, call->input_len);
    }
    set_bytes(call, bytes);
    *out = call;
    return 0;
}

void async_start(struct async *async, const struct call_request *request,
                 async_accepted_fn *accepted, void *self)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct async_call *call = NULL;
    int err = make(async, request, &call, &diag);
    if (!err) {
        err = reserve_written(async);
        err = err ? err : put_meta(call);
        err = err ? err
                  : kv_put(async->batch, TABLE_INPUT, id_of(call),
                           wm_view_of(call->input, call->input_len));
        if (err) {
            wm_diag_default(&diag, err, "asynchronous call");
            call_free(call);
        }
    }
    if (err) {
        accepted(self, NULL, err, &diag);
        return;
    }
    call->accepted = accepted;
    call->accepted_self = self;
    (void)map_put(&async->calls, id_of(call), call);
    async->pending++;
    will_be_written(call, AFTER_ACCEPTED);
}

/* Asking */

bool async_id_parse(const char *text, uint8_t id[ASYNC_ID_BYTES])
{
    return jsonx_unhex(text, strlen(text), id, ASYNC_ID_BYTES);
}

enum async_state async_state(struct async *async, const char *tenant,
                             const uint8_t id[ASYNC_ID_BYTES])
{
    const struct async_call *call = find(async, id);
    return call && call->stored && strcmp(call->tenant, tenant) == 0 ? call->state : ASYNC_UNKNOWN;
}

json_t *async_show(struct async *async, const char *tenant, const uint8_t id[ASYNC_ID_BYTES])
{
    static const char *const states[] = {"unknown", "queued", "running", "done"};
    const struct async_call *call = find(async, id);
    json_t *json = call && strcmp(call->tenant, tenant) == 0 ? encode(call) : NULL;
    if (json) {
        (void)json_object_del(json, "tenant");
        (void)json_object_del(json, "done");
        (void)json_object_del(json, "started");
        jsonx_set(json, "state", json_string(states[call->state]));
    }
    return json;
}

bool async_record(struct async *async, const uint8_t id[ASYNC_ID_BYTES], uint64_t *second,
                  uint32_t *index)
{
    const struct async_call *call = find(async, id);
    if (!call || call->state != ASYNC_DONE) {
        return false;
    }
    *second = call->record_second;
    *index = call->record_index;
    return true;
}

int async_wait(struct async *async, const uint8_t id[ASYNC_ID_BYTES], uint32_t wait_ms,
               void (*woken)(void *self), void *self)
{
    struct waiter waiter = {.deadline_ms = now_ms(async) + wait_ms, .woken = woken, .self = self};
    memcpy(waiter.id, id, ASYNC_ID_BYTES);
    int err = wm_vec_push(&async->waiters, waiter);
    if (!err) {
        set_timer(async);
    }
    return err;
}

void async_wake(struct async *async)
{
    while (async->waiters.count) {
        struct waiter waiter = async->waiters.items[--async->waiters.count];
        waiter.woken(waiter.self);
    }
}

int async_output(struct async *async, const uint8_t id[ASYNC_ID_BYTES], uint8_t **out, size_t *len,
                 struct wm_diag *diag)
{
    struct kv_reader *reader;
    struct wm_view value;
    int err = kv_read_begin(async->node->kv, &reader, diag);
    if (err) {
        return err;
    }
    err = kv_get(reader, TABLE_OUTPUT, wm_view_of(id, ASYNC_ID_BYTES), &value);
    if (!err) {
        *out = wm_alloc(value.len);
        *len = value.len;
        err = *out ? 0 : -ENOMEM;
    }
    if (!err && value.len) {
        memcpy(*out, value.ptr, value.len);
    }
    kv_read_end(reader);
    return wm_diag_default(diag, err, "output");
}

void async_forget(struct async *async, const uint8_t id[ASYNC_ID_BYTES])
{
    struct async_call *call = find(async, id);
    if (!call || call->state != ASYNC_DONE) {
        return;
    }
    int err = reserve_written(async);
    err = err ? err : kv_remove(async->batch, TABLE_META, id_of(call));
    err = err ? err : kv_remove(async->batch, TABLE_OUTPUT, id_of(call));
    if (!err) { /* else it stays until it expires */
        call->forgotten = true;
        will_be_written(call, AFTER_FORGOTTEN);
    }
}

uint64_t async_pending(const struct async *async)
{
    return async->pending;
}

uint64_t async_kept(const struct async *async)
{
    return async->kept;
}

/* Time */

/* Those that ended before limit_ns, of this tenant or (NULL) of all. */
static void forget_older(struct async *async, const char *tenant, int64_t limit_ns)
{
    WM_VEC(struct async_call *) old = {0};
    size_t at = 0;
    for (struct async_call *call; (call = map_next(&async->calls, &at));) {
        if (call->state == ASYNC_DONE && !call->forgotten && call->ended_ns < limit_ns &&
            (!tenant || strcmp(call->tenant, tenant) == 0)) {
            (void)wm_vec_push(&old, call);
        }
    }
    for (size_t i = 0; i < old.count; i++) {
        async_forget(async, old.items[i]->id);
    }
    wm_vec_fini(&old);
}

static void expire(struct async *async)
{
    int64_t keep_ns = (int64_t)async->node->config->keep_s * 1000 * NS_PER_MS;
    forget_older(async, NULL, host_realtime_ns() - keep_ns);
}

void async_forget_tenant(struct async *async, const char *tenant)
{
    forget_older(async, tenant, INT64_MAX);
}

static void retry(struct async *async)
{
    int64_t now = now_ms(async);
    size_t count = async->retries.count; /* those that come back meanwhile have their time */
    for (size_t i = 0; i < count;) {
        struct async_call *call = async->retries.items[i];
        if (call->retry_at_ms > now) {
            i++;
            continue;
        }
        count--;
        memmove(&async->retries.items[i], &async->retries.items[i + 1],
                (--async->retries.count - i) * sizeof call);
        run_call(call);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct async *async = timer->data;
    int64_t now = now_ms(async);
    for (size_t i = 0; i < async->waiters.count;) {
        struct waiter waiter = async->waiters.items[i];
        if (waiter.deadline_ms <= now) {
            async->waiters.items[i] = async->waiters.items[--async->waiters.count];
            waiter.woken(waiter.self);
        } else {
            i++;
        }
    }
    retry(async);
    if (async->next_expire_ms <= now) { /* it looks at all calls */
        async->next_expire_ms = now + SLOW_TICK_MS;
        expire(async);
    }
    set_timer(async);
}

static void set_timer(struct async *async)
{
    uint64_t ms = async->waiters.count || async->retries.count ? TICK_MS : SLOW_TICK_MS;
    if (!uv_is_active((uv_handle_t *)&async->timer) || uv_timer_get_due_in(&async->timer) > ms) {
        (void)uv_timer_start(&async->timer, on_timer, ms, 0);
    }
}

/* Opening */

struct loading {
    struct async *async;
    struct kv_reader *reader;
    int err;
};

static bool load_one(void *self, struct wm_view key, struct wm_view value)
{
    struct loading *loading = self;
    struct async *async = loading->async;
    struct wm_view input;
    struct async_call *call = wm_alloc_zero(1, sizeof *call);
    json_t *json = json_loadb((const char *)value.ptr, value.len, 0, NULL);
    loading->err = !call ? -ENOMEM : map_reserve(&async->calls, 1);
    if (!loading->err && (key.len != ASYNC_ID_BYTES || !json || !decode(call, json))) {
        loading->err = WM_E_MALFORMED;
    }
    if (!loading->err) {
        call->async = async;
        call->stored = true;
        memcpy(call->id, key.ptr, ASYNC_ID_BYTES);
        set_bytes(call, call->output_len + ASYNC_EXTRA_BYTES);
    }
    if (!loading->err && call->state != ASYNC_DONE &&
        kv_get(loading->reader, TABLE_INPUT, key, &input) == 0 && input.len) {
        call->input = wm_alloc(input.len);
        loading->err = call->input ? 0 : -ENOMEM;
        if (call->input) {
            memcpy(call->input, input.ptr, input.len);
            call->input_len = input.len;
            set_bytes(call, input.len + ASYNC_EXTRA_BYTES);
        }
    }
    json_decref(json);
    if (loading->err) {
        if (call) {
            wm_free(call->input);
            wm_free(call->message);
            wm_free(call);
        }
        return false;
    }
    (void)map_put(&async->calls, id_of(call), call);
    async->pending += call->state != ASYNC_DONE;
    async->kept += call->state == ASYNC_DONE;
    return true;
}

int async_open(struct node *node, struct async **out, struct wm_diag *diag)
{
    struct async *async = wm_alloc_zero(1, sizeof *async);
    if (!async) {
        return wm_diag_default(diag, -ENOMEM, "async");
    }
    async->node = node;
    map_init(&async->calls);
    map_init(&async->usage);
    (void)uv_timer_init(node->loop, &async->timer);
    async->timer.data = async;
    async->timer_open = true;
    struct loading loading = {.async = async};
    int err = kv_read_begin(node->kv, &loading.reader, diag);
    if (!err) {
        err = kv_scan(loading.reader, TABLE_META, (struct wm_view){0}, (struct wm_view){0},
                      load_one, &loading);
        kv_read_end(loading.reader);
        err = err == WM_E_NOT_FOUND ? 0 : err;
        err = err ? err : loading.err;
        wm_diag_default(diag, err, "asynchronous calls");
    }
    if (err) {
        async_close(async);
        return err;
    }
    set_timer(async);
    *out = async;
    return 0;
}

void async_resume(struct async *async)
{
    WM_VEC(struct async_call *) list = {0};
    size_t at = 0;
    for (struct async_call *call; (call = map_next(&async->calls, &at));) {
        if (call->state == ASYNC_QUEUED) {
            (void)wm_vec_push(&list, call);
        }
    }
    for (size_t i = 0; i < list.count; i++) {
        struct async_call *call = list.items[i];
        if (call->idempotent || !call->started) {
            run_call(call);
        } else {
            call_done(call, 0,
                      &(struct call_result){
                          .end = CALL_END_NODE_DIED,
                          .message = "the node ended while the call ran; declare the function "
                                     "idempotent to have such calls run again"});
        }
    }
    wm_vec_fini(&list);
}

static void on_closed(uv_handle_t *handle)
{
    struct async *async = uv_handle_get_data(handle);
    async->timer_open = false;
}

void async_close(struct async *async)
{
    if (!async) {
        return;
    }
    for (size_t i = 0; i < async->retries.count; i++) {
        struct async_call *call = async->retries.items[i];
        if (reserve_written(async) == 0) {
            call->started = false; /* waited for its turn: the next start of the node runs it */
            int err = put_meta(call);
            (void)err; /* then it counts as started */
        }
    }
    flush(async);
    while (async->busy) {
        (void)uv_run(async->node->loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&async->timer, on_closed);
    while (async->timer_open) {
        (void)uv_run(async->node->loop, UV_RUN_ONCE);
    }
    if (async->batch) {
        kv_batch_drop(async->batch);
    }
    size_t at = 0;
    for (struct async_call *call; (call = map_next(&async->calls, &at));) {
        call_free(call);
    }
    at = 0;
    for (struct usage *usage; (usage = map_next(&async->usage, &at));) {
        wm_free(usage);
    }
    map_fini(&async->calls);
    map_fini(&async->usage);
    wm_vec_fini(&async->waiters);
    wm_vec_fini(&async->retries);
    wm_vec_fini(&async->collecting);
    wm_free(async);
}
