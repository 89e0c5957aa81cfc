/* calls.c: admission, placement, retries, records: one call from its request to its result.
 *
 *     start -> known? drained? -> rate -> running < quota -> worker -> done -> record -> request's
 * done |                |            |              | worker died, idempotent: once more
 *                 +- refused       +- 429       +- waits in its tenant's queue, or 429
 *
 * Entries are kept in a free list: a warm call allocates nothing here. */
#include "node/calls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "crypto/hash.h"
#include "host/file.h"
#include "node/calls_internal.h"
#include "node/http.h"
#include "node/log.h"
#include "node/map.h"
#include "node/metrics.h"
#include "node/outbound.h"

#define RETRIES_MAX 2u
#define DEFAULT_RUNNING 256u
#define DEFAULT_QUEUED 1024u
#define RETRY_MS 200u /* what a full queue tells clients to wait */

/* --- Tenants' shares --- */

static struct share *share_of(struct node_calls *calls, const char *tenant)
{
    struct share *share = map_get(&calls->shares, wm_view_str(tenant));
    if (share || map_reserve(&calls->shares, 1) != 0) {
        return share;
    }
    share = wm_alloc_zero(1, sizeof *share);
    if (share) {
        snprintf(share->tenant, sizeof share->tenant, "%s", tenant);
        share->last = &share->first;
        share->refilled_ns = host_monotonic_ns();
        map_put(&calls->shares, wm_view_str(share->tenant), share);
    }
    return share;
}

/* A bucket of one second's worth of calls. False: empty, and how long until it is not. */
static bool take_rate(struct share *share, uint32_t per_s, uint32_t *retry_ms)
{
    if (per_s == 0) {
        return true;
    }
    int64_t now_ns = host_monotonic_ns();
    double filled = share->tokens + (double)(now_ns - share->refilled_ns) * per_s / 1e9;
    share->tokens = filled < per_s ? filled : per_s;
    share->refilled_ns = now_ns;
    if (share->tokens < 1) {
        *retry_ms = (uint32_t)(1000 * (1 - share->tokens) / per_s) + 1;
        return false;
    }
    share->tokens -= 1;
    return true;
}

/* --- Entries --- */

static struct entry *new_entry(struct node_calls *calls)
{
    struct entry *entry = calls->free;
    if (entry) {
        calls->free = entry->next;
    } else {
        entry = wm_alloc(sizeof *entry);
    }
    if (entry) {
        *entry = (struct entry){.calls = calls};
        entry->next = calls->all;
        entry->at = &calls->all;
        if (entry->next) {
            entry->next->at = &entry->next;
        }
        calls->all = entry;
    }
    return entry;
}

static void free_entry(struct entry *entry)
{
    struct node_calls *calls = entry->calls;
    *entry->at = entry->next;
    if (entry->next) {
        entry->next->at = entry->at;
    }
    entry->next = calls->free;
    calls->free = entry;
}

static void check_drained(struct node_calls *calls)
{
    if (calls->drained && calls->stats.running == 0 && calls->stats.queued == 0) {
        void (*drained)(void *self) = calls->drained;
        calls->drained = NULL;
        drained(calls->drained_self);
    }
}

static void copy_text(char *out, size_t room, struct wm_view from)
{
    size_t len = from.len < room - 1 ? from.len : room - 1;
    if (len != 0) {
        memcpy(out, from.ptr, len);
    }
    out[len] = 0;
}

/* Gives the result to who asked, and the entry back. */
static void finish(struct entry *entry, struct call_result *result)
{
    struct node_calls *calls = entry->calls;
    call_done_fn *done = entry->done;
    void *self = entry->self;
    uint64_t id = entry->work.id;
    calls->stats.ended[result->end]++;
    calls->stats.cold += result->cold;
    if (entry->work.version) {
        function_version_put(entry->work.version);
    }
    free_entry(entry);
    if (!result->node[0]) {
        copy_text(result->node, sizeof result->node, wm_view_str(calls->node->config->name));
    }
    done(self, id, result);
}

static void refuse(struct entry *entry, enum call_end end, uint32_t retry_ms, const char *text)
{
    struct call_result result = {.end = end, .message = text, .retry_after_ms = retry_ms};
    finish(entry, &result);
}

/* --- Running --- */

static void start_next(struct share *share);

/* Where there are other nodes, the scheduler says where. */
static void place(struct entry *entry);
static void hand_on(struct entry *entry, uint32_t peer);

static void run(struct entry *entry)
{
    entry->share->running++;
    entry->calls->stats.running++;
    if (entry->away) {
        hand_on(entry, entry->to_peer);
    } else if (entry->calls->cluster && entry->work.func_idx == UINT32_MAX) {
        place(entry);
    } else {
        workers_start_call(entry->calls->workers, &entry->work);
    }
}

static void stop_running(struct entry *entry)
{
    entry->share->running--;
    entry->calls->stats.running--;
}

static bool has_output(enum call_end end)
{
    return end == CALL_END_OK || end == CALL_END_FAILED;
}

/* --- Ended calls --- */

/* The record's digests of what went in and what came out. Where that is more than a little, the
 * loop does it piece by piece, between everything else, and the result is given after it. */
struct hashing {
    struct hashing *next;
    struct entry *entry;
    struct channel_result from;
    struct call_result result;
    struct wm_view left[2]; /* of input, output */
    struct wm_sha256 hashes[2];
    char message[FAASLET_TEXT_BYTES];
};

#define HASH_AT_ONCE_BYTES (UINT32_C(64) << 10) /* about 50 us */

/* False: there is more to do. */
static bool hash_more(struct hashing *hashing, size_t most)
{
    for (int i = 0; i < 2; i++) {
        struct wm_view *left = &hashing->left[i];
        size_t len = left->len < most ? left->len : most;
        if (len != 0) {
            wm_sha256_add(&hashing->hashes[i], wm_view_of(left->ptr, len));
            *left = wm_view_of(left->ptr + len, left->len - len);
            most -= len;
        }
        if (left->len != 0) {
            return false;
        }
    }
    return true;
}

/* Records it and tells. */
static void conclude(struct hashing *hashing)
{
    struct entry *entry = hashing->entry;
    struct node_calls *calls = entry->calls;
    struct share *share = entry->share;
    struct call_result *result = &hashing->result;
    uint8_t input_sha256[WM_SHA256_BYTES], output_sha256[WM_SHA256_BYTES];
    wm_sha256_end(&hashing->hashes[0], input_sha256);
    wm_sha256_end(&hashing->hashes[1], output_sha256);
    calls_record(calls, entry->work.id, entry->work.version, input_sha256,
                 has_output(result->end) ? output_sha256 : NULL, entry->work.input.len,
                 result->output.len, &hashing->from, result->end, &result->record_second,
                 &result->record_index);
    stop_running(entry);
    finish(entry, result);
    start_next(share);
    check_drained(calls);
}

static void begin_hashing(struct hashing *hashing, struct entry *entry,
                          const struct channel_result *from, const struct channel_views *views)
{
    *hashing = (struct hashing){.entry = entry, .from = *from};
    hashing->result = (struct call_result){
        .end = entry->cancelled && !has_output((enum call_end)from->end) ? CALL_END_CANCELLED
                                                                         : (enum call_end)from->end,
        .return_code = from->return_code,
        .output = views->output,
        .status = from->status,
        .headers = views->headers,
        .message = "",
        .backtrace = views->backtrace,
        .usage = from->usage,
        .cold = from->cold != 0,
        .retry_after_ms = from->end == CALL_END_OVERLOADED ? RETRY_MS : 0,
    };
    if (views->message.len != 0) {
        copy_text(hashing->message, sizeof hashing->message, views->message);
        hashing->result.message = hashing->message;
    }
    hashing->left[0] = entry->work.input;
    hashing->left[1] = has_output(hashing->result.end) ? views->output : wm_view_of(NULL, 0);
    wm_sha256_init(&hashing->hashes[0]);
    wm_sha256_init(&hashing->hashes[1]);
}

static void unlink_hashing(struct node_calls *calls, struct hashing **at)
{
    struct hashing *hashing = *at;
    *at = hashing->next;
    if (!*at) {
        calls->hashing_last = at;
    }
}

/* One piece of the first that waits. */
static void on_hash_idle(uv_idle_t *idle)
{
    struct node_calls *calls = idle->data;
    struct hashing *hashing = calls->hashing;
    if (!hashing) {
        uv_idle_stop(idle);
    } else if (hash_more(hashing, HASH_AT_ONCE_BYTES)) {
        struct worker *worker = hashing->entry->work.worker;
        uint32_t slot = hashing->entry->work.slot;
        unlink_hashing(calls, &calls->hashing);
        conclude(hashing);
        wm_free(hashing);
        if (worker) {
            workers_release(worker, slot);
        }
    }
}

/* The views of this one end. */
static void hurry(struct worker_call *work)
{
    struct entry *entry = WM_CONTAINER_OF(work, struct entry, work);
    struct hashing **at = &entry->calls->hashing;
    while ((*at)->entry != entry) {
        at = &(*at)->next;
    }
    struct hashing *hashing = *at;
    unlink_hashing(entry->calls, at);
    (void)hash_more(hashing, SIZE_MAX);
    conclude(hashing);
    wm_free(hashing);
}

static bool work_done(struct worker_call *work, const struct channel_result *from,
                      const struct channel_views *views)
{
    struct entry *entry = WM_CONTAINER_OF(work, struct entry, work);
    struct node_calls *calls = entry->calls;
    if (calls->cluster) {
        cluster_ended(calls->cluster, &entry->ticket, from->usage.wall_ns,
                      from->end == CALL_END_WORKER_DIED);
    }
    if (from->end == CALL_END_WORKER_DIED && work->version->idempotent && !entry->cancelled &&
        entry->retries++ < RETRIES_MAX) {
        stop_running(entry);
        work->worker = NULL;
        calls->stats.retried++;
        run(entry);
        return false;
    }
    struct hashing now, *later = NULL;
    begin_hashing(&now, entry, from, views);
    if (now.left[0].len + now.left[1].len > HASH_AT_ONCE_BYTES && (later = wm_alloc(sizeof now))) {
        *later = now;
        if (now.result.message[0]) {
            later->result.message = later->message;
        }
        *calls->hashing_last = later;
        calls->hashing_last = &later->next;
        uv_idle_start(&calls->hash_idle, on_hash_idle);
        return true;
    }
    (void)hash_more(&now, SIZE_MAX);
    conclude(&now);
    return false;
}

static void start_next(struct share *share)
{
    /* A call that ends at once (no worker can be had) comes back here from within: the loop below
     * goes on with the next, however many wait, and the stack stays flat. */
    if (share->starting) {
        return;
    }
    share->starting = true;
    while (share->first && share->running < share->running_max) {
        struct entry *entry = share->first;
        share->first = entry->waiting;
        if (!share->first) {
            share->last = &share->first;
        }
        share->queued--;
        entry->calls->stats.queued--;
        entry->queued = false;
        run(entry);
    }
    share->starting = false;
}

/* --- Placement among nodes --- */

/* Whether a call that was handed on is to run here: it did not run there, or may run twice. */
static bool comes_back(const struct entry *entry, int error, bool sent, enum call_end end)
{
    if (entry->cancelled) {
        return false;
    }
    if (error != 0) {
        return !sent || entry->work.version->idempotent;
    }
    /* The other node's catalogue is behind ours, or it takes no more. A part of a call that runs
     * already is not refused for want of room. */
    return end == CALL_END_NOT_FOUND ||
           (entry->chained && (end == CALL_END_OVERLOADED || end == CALL_END_REFUSED));
}

static void handed_back(void *self, int error, bool sent, const struct call_result *from)
{
    struct entry *entry = self;
    struct node_calls *calls = entry->calls;
    struct share *share = entry->share;
    struct call_result result = *from;
    entry->away = false;
    if (comes_back(entry, error, sent, result.end)) {
        calls->stats.retried += error != 0 && sent;
        workers_start_call(calls->workers, &entry->work);
        return;
    }
    stop_running(entry);
    if (error != 0) {
        result = (struct call_result){
            .end = entry->cancelled ? CALL_END_CANCELLED : CALL_END_NODE_DIED,
            .message = "the node that it was handed on to did not answer; whether it ran is not "
                       "known, and the function is not declared idempotent"};
    }
    finish(entry, &result);
    start_next(share);
    check_drained(calls);
}

static void hand_on(struct entry *entry, uint32_t peer)
{
    struct node_calls *calls = entry->calls;
    struct call_request request = {
        .input = entry->work.input,
        .http = entry->by_route ? &entry->http : NULL,
        .timeout_ms = entry->work.timeout_ms,
        .depth = entry->work.depth,
        .hops = entry->ticket.hops,
        .chained = entry->chained,
    };
    if (cluster_hand_on(calls->cluster, peer, entry->work.version, &request, handed_back, entry) ==
        0) {
        calls->stats.handed_on++;
    } else {
        workers_start_call(calls->workers, &entry->work); /* no memory for it: here, then */
    }
}

static void place(struct entry *entry)
{
    struct node_calls *calls = entry->calls;
    struct cluster_decision decision = cluster_place(calls->cluster, &entry->ticket);
    switch (decision.what) {
    case CLUSTER_RUN: workers_start_call(calls->workers, &entry->work); return;
    case CLUSTER_WAIT:
        if (entry->chained) {
            /* It does not wait for a place: who has one may be waiting for it. */
            cluster_cancelled(calls->cluster, &entry->ticket);
            workers_start_call(calls->workers, &entry->work);
            return;
        }
        entry->placed = true;
        return;
    case CLUSTER_HAND_ON: hand_on(entry, decision.node); return;
    case CLUSTER_REFUSE: break;
    }
    struct share *share = entry->share;
    stop_running(entry);
    refuse(entry, CALL_END_OVERLOADED, decision.retry_after_ms, decision.why);
    start_next(share);
    check_drained(calls);
}

/* The scheduler's: a call that waited runs now. */
static void start_placed(void *self, uint64_t id)
{
    struct node_calls *calls = self;
    for (struct entry *entry = calls->all; entry; entry = entry->next) {
        if (entry->work.id == id && entry->placed) {
            entry->placed = false;
            workers_start_call(calls->workers, &entry->work);
            return;
        }
    }
}

/* --- Admission --- */

/* Of a request as its function is given it; workers.c, submit. */
static size_t text_bytes(const struct call_http *http)
{
    return strlen(http->method) + strlen(http->path) + (http->query ? strlen(http->query) : 0) +
           http->headers.len + 4;
}

static void admit(struct entry *entry, const struct call_request *request)
{
    struct node_calls *calls = entry->calls;
    const struct tenant *tenant = catalogue_tenant(calls->node->catalogue, request->tenant);
    uint32_t retry_ms = 0;
    if (calls->draining) {
        refuse(entry, CALL_END_REFUSED, 0, "the node is being drained: ask another one");
        return;
    }
    entry->work.version =
        catalogue_find(calls->node->catalogue, request->tenant, request->function);
    if (!tenant || !entry->work.version) {
        refuse(entry, CALL_END_NOT_FOUND, 0,
               "there is no such function: `wardmote fn put` puts one there");
        return;
    }
    if (entry->work.version->kind == FUNCTION_LIBRARY) {
        refuse(entry, CALL_END_REFUSED, 0, "a library is loaded by functions, not called");
        return;
    }
    if (request->depth > CALL_DEPTH_MAX) {
        refuse(entry, CALL_END_REFUSED, 0, "calls are chained too deeply");
        return;
    }
    if (request->http && text_bytes(request->http) > CHANNEL_TEXT_BYTES) {
        refuse(entry, CALL_END_REFUSED, 0, "the request's path, query and headers are too long");
        return;
    }
    if (request->input.len > CALL_INPUT_BYTES_MAX) {
        refuse(entry, CALL_END_REFUSED, 0, "the input is too long");
        return;
    }
    if (calls->cluster) {
        entry->ticket.function = cluster_function(entry->work.version);
    }
    struct share *share = entry->share = share_of(calls, request->tenant);
    if (!share) {
        refuse(entry, CALL_END_OVERLOADED, RETRY_MS, "out of memory");
        return;
    }
    const struct tenant_quota *quota = &tenant->quota;
    share->running_max = quota->calls_running ? quota->calls_running : DEFAULT_RUNNING;
    /* A chained call is part of one that was admitted. */
    if (!request->chained && !take_rate(share, quota->calls_per_s, &retry_ms)) {
        refuse(entry, CALL_END_OVERLOADED, retry_ms, "the tenant's rate of calls is used up");
        return;
    }
    /* Nor does it wait behind others: they may be waiting for it. */
    if (request->chained || (share->running < share->running_max && !share->first)) {
        run(entry);
        return;
    }
    if (share->queued >= (quota->calls_queued ? quota->calls_queued : DEFAULT_QUEUED)) {
        refuse(entry, CALL_END_OVERLOADED, RETRY_MS, "as many calls of the tenant wait as may");
        return;
    }
    entry->waiting = NULL;
    entry->queued = true;
    *share->last = entry;
    share->last = &entry->waiting;
    share->queued++;
    calls->stats.queued++;
}

uint64_t node_calls_start(struct node *node, const struct call_request *request)
{
    struct node_calls *calls = node->calls;
    struct entry *entry = new_entry(calls);
    uint64_t id = calls->id_prefix | ++calls->id_count;
    calls->stats.started++;
    if (!entry) {
        struct call_result result = {
            .end = CALL_END_OVERLOADED, .message = "out of memory", .retry_after_ms = RETRY_MS};
        calls->stats.ended[result.end]++;
        request->done(request->self, id, &result);
        return id;
    }
    entry->done = request->done;
    entry->self = request->self;
    entry->work = (struct worker_call){
        .id = id,
        .input = request->input,
        .func_idx = request->func_idx,
        .timeout_ms = request->timeout_ms,
        .depth = request->depth,
        .done = work_done,
        .hurry = hurry,
    };
    entry->chained = request->chained;
    entry->away = request->away;
    entry->to_peer = request->to_peer;
    entry->ticket = (struct cluster_ticket){
        .id = id, .hops = request->hops, .from = request->hops ? request->from_peer : PEERS_NOBODY};
    if (request->http) {
        entry->by_route = true;
        entry->http = *request->http;
        entry->work.method = request->http->method;
        entry->work.path = request->http->path;
        entry->work.query = request->http->query;
        entry->work.headers = request->http->headers;
    }
    admit(entry, request);
    return id;
}

uint64_t node_calls_start_away(struct node *node, const struct call_request *request,
                               uint32_t waiting)
{
    struct node_calls *calls = node->calls;
    struct call_request away = *request;
    away.away = true;
    away.to_peer = calls->cluster && !calls->draining ? cluster_less_busy(calls->cluster, waiting)
                                                      : PEERS_NOBODY;
    return away.to_peer == PEERS_NOBODY ? 0 : node_calls_start(node, &away);
}

void node_calls_cancel(struct node *node, uint64_t id)
{
    struct node_calls *calls = node->calls;
    for (struct entry *entry = calls->all; entry; entry = entry->next) {
        if (entry->work.id != id) {
            continue;
        }
        entry->cancelled = true;
        if (entry->placed) {
            struct share *share = entry->share;
            entry->placed = false;
            cluster_cancelled(calls->cluster, &entry->ticket);
            stop_running(entry);
            refuse(entry, CALL_END_CANCELLED, 0, "its caller is gone");
            start_next(share);
            check_drained(calls);
            return;
        }
        if (!entry->queued) {
            workers_cancel(calls->workers, &entry->work);
            return;
        }
        struct share *share = entry->share;
        struct entry **at = &share->first;
        while (*at != entry) {
            at = &(*at)->waiting;
        }
        *at = entry->waiting;
        if (!*at) {
            share->last = at;
        }
        share->queued--;
        calls->stats.queued--;
        refuse(entry, CALL_END_CANCELLED, 0, "its caller is gone");
        check_drained(calls);
        return;
    }
}

void node_calls_drain(struct node *node, void (*drained)(void *self), void *self)
{
    struct node_calls *calls = node->calls;
    calls->draining = true;
    if (calls->cluster) {
        cluster_drain(calls->cluster);
    }
    calls->drained = drained;
    calls->drained_self = self;
    check_drained(calls);
}

void node_calls_stats(struct node *node, struct node_calls_stats *out)
{
    *out = node->calls->stats;
}

/* --- The whole --- */

static void chained_ended(void *self, struct function_version *version,
                          const struct channel_report *report)
{
    struct node_calls *calls = self;
    enum call_end end = (enum call_end)report->result.end;
    metrics_add(calls->node->metrics, METRICS_CHAINED, 1);
    uint64_t second;
    uint32_t index;
    calls->stats.chained++;
    calls_record(calls, report->id, version, report->input_sha256,
                 has_output(end) ? report->output_sha256 : NULL, report->input_len,
                 report->result.output_len, &report->result, end, &second, &index);
}

static void on_own_closed(uv_handle_t *handle)
{
    struct node_calls *calls = handle->data;
    if (--calls->handles_open == 0) {
        wm_free(calls);
    }
}

int node_calls_open(struct node *node, struct wm_diag *diag)
{
    struct node_calls *calls = wm_alloc_zero(1, sizeof *calls);
    uint32_t random;
    if (!calls) {
        return wm_diag_set(diag, -ENOMEM, "calls: %s", wm_error_text(-ENOMEM));
    }
    calls->node = node;
    calls->hashing_last = &calls->hashing;
    map_init(&calls->shares);
    /* Ids of this run of the node: 22 random bits, apart from those of workers by bit 62. */
    wm_random_bytes((uint8_t *)&random, sizeof random);
    calls->id_prefix = UINT64_C(1) << 62 | (uint64_t)(random >> 10) << 40;
    int rc = outbound_init(diag);
    rc = rc ? rc : calls_records_open(calls, diag);
    rc = rc ? rc : cluster_open(node, &calls->cluster, diag);
    rc = rc ? rc : global_open(node, calls->cluster, &calls->global, diag);
    rc = rc ? rc : workers_open(node, &calls->workers, diag);
    if (rc != 0) {
        global_close(node, calls->global);
        cluster_close(calls->cluster);
        calls_records_close(calls);
        map_fini(&calls->shares);
        if (calls->has_key) {
            calls->handles_open = 1;
            uv_close((uv_handle_t *)&calls->seal_timer, on_own_closed);
        } else {
            wm_free(calls);
        }
        return rc;
    }
    uv_idle_init(node->loop, &calls->hash_idle);
    calls->hash_idle.data = calls;
    workers_on_report(calls->workers, chained_ended, calls);
    calls_hooks(calls);
    node->calls = calls;
    if (calls->cluster) {
        cluster_on_start(calls->cluster, start_placed, calls);
        rc = cluster_start(calls->cluster, workers_mailbox(calls->workers), calls->trust, diag);
    }
    return rc;
}

void node_calls_close(struct node *node)
{
    struct node_calls *calls = node->calls;
    size_t at = 0;
    struct share *share;
    if (!calls) {
        return;
    }
    calls->draining = true;
    node->hooks = (struct node_hooks){0};
    for (struct entry *entry = calls->all; entry; entry = entry->next) {
        entry->cancelled = true; /* none is run again */
    }
    /* Each that is told may end others, or let the next one start. */
    for (struct entry *entry = calls->all; entry;) {
        if (entry->queued || entry->placed) {
            node_calls_cancel(node, entry->work.id);
            entry = calls->all;
        } else {
            entry = entry->next;
        }
    }
    if (calls->cluster) {
        cluster_stop(calls->cluster);
    }
    workers_close(calls->workers); /* ends all that run */
    while (calls->hashing) {
        hurry(&calls->hashing->entry->work);
    }
    WM_ASSERT(!calls->all);
    if (calls->cluster) {
        cluster_wait(calls->cluster);
    }
    /* Requests for state that are under way in other threads use the global tier. */
    while (node->http && http_running(node->http)) {
        (void)uv_run(node->loop, UV_RUN_ONCE);
    }
    global_close(node, calls->global);
    cluster_close(calls->cluster);
    calls_records_close(calls);
    while ((share = map_next(&calls->shares, &at))) {
        wm_free(share);
    }
    map_fini(&calls->shares);
    while (calls->free) {
        struct entry *entry = calls->free;
        calls->free = entry->next;
        wm_free(entry);
    }
    node->calls = NULL;
    node->hooks = (struct node_hooks){0}; /* a change may still be on its way to the disk */
    calls->handles_open = 2;
    uv_close((uv_handle_t *)&calls->seal_timer, on_own_closed);
    uv_close((uv_handle_t *)&calls->hash_idle, on_own_closed);
}
