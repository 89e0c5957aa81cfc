/* cluster.c: the scheduler joined to peers, the global tier and the loop.
 *
 * The loop never waits for another node: sets in the global tier are changed and read by a thread
 * of their own (sync), whose findings come back by the mailbox; each call that is handed on has a
 * thread that waits for its result; peers are served by threads of peers.c, which wait for the
 * loop. */
#include "node/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/vec.h"
#include "crypto/hash.h"
#include "faaslet/schedule.h"
#include "faaslet/tier_rpc.h"
#include "host/file.h"
#include "host/process.h"
#include "node/cluster_key.h"
#include "node/handover.h"
#include "node/log.h"
#include "node/replicate.h"

#define TICK_MS 50u
#define EFFECTS 32u
#define WARM_KEPT 32u
#define VIEWS_MAX 4096u
#define VIEW_FRESH_MS 500
#define SYNC_QUEUE_MAX 4096u
#define SET_TTL_MS 10000u
#define HANDOVER_MESSAGE_BYTES 1024u
#define SETS_TENANT "_cluster" /* no tenant's name begins so */
#define CALLS_PER_CPU 8u
#define THREAD_STACK_BYTES (512u << 10)

/* What is known of a function's warm set. */
struct warm_view {
    uint64_t function;
    uint32_t nodes[WARM_KEPT], count;
    int64_t at_ms;
    bool asked;
};

struct task { /* of the sync thread */
    enum { TASK_ADD, TASK_REMOVE, TASK_LOOK } kind;
    bool available; /* of the available set, not of a function's */
    uint64_t function;
};

struct cluster {
    struct node *node;
    struct mailbox *mailbox;
    struct peers *peers;
    struct replicate *_Atomic replicate;
    const struct tier *local_tier;
    uint32_t own, name_count;
    const char *names[PEERS_MAX];
    char *name_texts[PEERS_MAX];
    void *schedule_memory;
    struct schedule *schedule;
    struct warm_view *views; /* by function, open addressing; VIEWS_MAX */
    uv_timer_t timer;
    bool timer_open;
    void (*start)(void *self, uint64_t id);
    void *start_self;
    _Atomic uint32_t handing;       /* calls that are handed on now */
    uint32_t handing_to[PEERS_MAX]; /* of them; the loop's */
    _Atomic bool serving, stopping;
    _Atomic uint32_t inside; /* requests of peers that are being served */
    /* The sync thread and its queue. */
    pthread_t sync;
    bool syncing;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    WM_VEC(struct task) tasks;
    uint64_t handed_on, hand_on_failed, served;
    _Atomic uint32_t load_running, load_queued, load_permille;
    _Atomic bool draining;
};

static uint64_t now_ms(void)
{
    return (uint64_t)(host_monotonic_ns() / 1000000);
}

uint64_t cluster_function(const struct function_version *version)
{
    /* The same on every node; of the digest of what runs, and of its name and version. */
    struct wm_sha256 hash;
    uint8_t out[WM_SHA256_BYTES];
    uint64_t number;
    wm_sha256_init(&hash);
    wm_sha256_add(&hash, wm_view_of(version->module_sha256, sizeof version->module_sha256));
    wm_sha256_add(&hash, wm_view_of(version->tenant, strlen(version->tenant) + 1));
    wm_sha256_add(&hash, wm_view_of(version->name, strlen(version->name) + 1));
    wm_sha256_add(&hash, wm_view_of(&version->version, sizeof version->version));
    wm_sha256_end(&hash, out);
    memcpy(&number, out, sizeof number);
    return number;
}

/* --- The sync thread: sets in the global tier --- */

static void push_task(struct cluster *cluster, struct task task)
{
    pthread_mutex_lock(&cluster->lock);
    /* What does not fit is soft state: it is said again by the next renewal. */
    if (cluster->tasks.count < SYNC_QUEUE_MAX && wm_vec_push(&cluster->tasks, task) == 0) {
        pthread_cond_signal(&cluster->wake);
    }
    pthread_mutex_unlock(&cluster->lock);
}

struct found {
    struct mailbox_letter letter;
    struct cluster *cluster;
    uint64_t function;
    uint32_t nodes[WARM_KEPT], count;
};

static struct warm_view *view_of(struct cluster *cluster, uint64_t function)
{
    for (uint32_t i = 0; i < 8; i++) {
        struct warm_view *view = &cluster->views[(function + i) % VIEWS_MAX];
        if (view->function == function || view->function == 0) {
            view->function = function;
            return view;
        }
    }
    struct warm_view *view = &cluster->views[function % VIEWS_MAX];
    *view = (struct warm_view){.function = function};
    return view;
}

static void take_found(void *self)
{
    struct found *found = self;
    struct warm_view *view = view_of(found->cluster, found->function);
    memcpy(view->nodes, found->nodes, sizeof view->nodes);
    view->count = found->count;
    view->at_ms = (int64_t)now_ms();
    view->asked = false;
    wm_free(found);
}

static bool take_member(void *self, struct wm_view name, uint64_t bytes)
{
    struct found *found = self;
    char text[PEERS_NAME_BYTES_MAX + 1];
    (void)bytes;
    if (name.len < sizeof text) {
        memcpy(text, name.ptr, name.len);
        text[name.len] = 0;
        uint32_t peer = peers_find(found->cluster->peers, text);
        if (peer != PEERS_NOBODY && peer != found->cluster->own) {
            found->nodes[found->count++] = peer;
        }
    }
    return found->count < WARM_KEPT;
}

static void do_task(struct cluster *cluster, const struct task *task)
{
    const struct tier *tier = cluster->node->tier;
    struct wm_diag diag = WM_DIAG_INIT;
    char text[32];
    if (task->available) {
        snprintf(text, sizeof text, "available");
    } else {
        snprintf(text, sizeof text, "warm/%016llx", (unsigned long long)task->function);
    }
    struct tier_key key = {wm_view_str(SETS_TENANT), wm_view_str(text)};
    struct wm_view own = wm_view_str(cluster->node->config->name);
    int rc = 0;
    switch (task->kind) {
    case TASK_ADD: rc = tier->ops->set_add(tier->self, key, own, SET_TTL_MS, &diag); break;
    case TASK_REMOVE: rc = tier->ops->set_remove(tier->self, key, own, &diag); break;
    case TASK_LOOK: {
        struct found *found = wm_alloc_zero(1, sizeof *found);
        if (found) {
            found->cluster = cluster;
            found->function = task->function;
            rc = tier->ops->set_members(tier->self, key, take_member, found, &diag);
            found->letter = (struct mailbox_letter){.run = take_found, .self = found};
            if (!mailbox_post(cluster->mailbox, &found->letter)) {
                wm_free(found);
            }
        }
        break;
    }
    }
    if (rc != 0 && rc != WM_E_NOT_FOUND) {
        char quoted[LOG_TEXT_BYTES];
        log_limited(LOG_DEBUG, "cluster", "event=sets why=%s",
                    log_text(quoted, wm_diag_text(&diag)));
    }
}

static void *sync_main(void *arg)
{
    struct cluster *cluster = arg;
    pthread_mutex_lock(&cluster->lock);
    while (!atomic_load(&cluster->stopping)) {
        if (cluster->tasks.count == 0) {
            pthread_cond_wait(&cluster->wake, &cluster->lock);
            continue;
        }
        struct task task = cluster->tasks.items[0];
        cluster->tasks.count--;
        memmove(cluster->tasks.items, cluster->tasks.items + 1,
                cluster->tasks.count * sizeof *cluster->tasks.items);
        pthread_mutex_unlock(&cluster->lock);
        do_task(cluster, &task);
        pthread_mutex_lock(&cluster->lock);
    }
    pthread_mutex_unlock(&cluster->lock);
    return NULL;
}

/* --- The scheduler --- */

static void share_load(struct cluster *cluster)
{
    struct schedule_stats stats;
    schedule_stats(cluster->schedule, &stats);
    atomic_store(&cluster->load_running, stats.running);
    atomic_store(&cluster->load_queued, stats.queued);
    atomic_store(&cluster->load_permille, stats.load);
}

static void take_effects(struct cluster *cluster, const struct schedule_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct schedule_effect *effect = &effects->items[i];
        switch (effect->kind) {
        case SCHEDULE_WARM_ADD:
            push_task(cluster, (struct task){TASK_ADD, false, effect->function});
            break;
        case SCHEDULE_WARM_REMOVE:
            push_task(cluster, (struct task){TASK_REMOVE, false, effect->function});
            break;
        case SCHEDULE_AVAILABLE_ADD: push_task(cluster, (struct task){TASK_ADD, true, 0}); break;
        case SCHEDULE_AVAILABLE_REMOVE:
            push_task(cluster, (struct task){TASK_REMOVE, true, 0});
            break;
        case SCHEDULE_RETIRE:
            break; /* slots are given up by their pools, the longest unused first */
        case SCHEDULE_START: cluster->start(cluster->start_self, effect->call); break;
        }
    }
}

static struct schedule_peer peer_of(struct cluster *cluster, uint32_t node)
{
    struct peers_info info;
    peers_info(cluster->peers, node, &info);
    return (struct schedule_peer){.node = node,
                                  .load = info.load.load,
                                  .age_ms = info.age_ms,
                                  .draining = info.load.draining,
                                  .suspect = info.state != PEERS_ALIVE};
}

struct cluster_decision cluster_place(struct cluster *cluster, struct cluster_ticket *ticket)
{
    struct schedule_peer warm[WARM_KEPT], available[PEERS_MAX];
    struct schedule_view view = {.known = true, .warm = warm, .available = available};
    struct warm_view *known = view_of(cluster, ticket->function);
    struct schedule_effect items[EFFECTS] = {0};
    struct schedule_effects effects = {items, EFFECTS, 0};
    uint64_t random;
    for (uint32_t i = 0; i < known->count; i++) {
        warm[view.warm_count++] = peer_of(cluster, known->nodes[i]);
    }
    for (uint32_t i = 0; i < peers_count(cluster->peers); i++) {
        if (i != cluster->own) {
            available[view.available_count++] = peer_of(cluster, i);
        }
    }
    if (!known->asked && (int64_t)now_ms() - known->at_ms > VIEW_FRESH_MS) {
        known->asked = true;
        push_task(cluster, (struct task){TASK_LOOK, false, ticket->function});
    }
    wm_random_bytes((uint8_t *)&random, sizeof random);
    struct schedule_call call = {ticket->id, ticket->function, ticket->hops, ticket->from};
    struct schedule_decision decided =
        schedule_arrive(cluster->schedule, &call, &view, random, now_ms(), &effects);
    struct cluster_decision decision = {.node = decided.node,
                                        .retry_after_ms = decided.retry_after_ms,
                                        .why = schedule_why_text(decided.why)};
    switch (decided.what) {
    case SCHEDULE_RUN:
    case SCHEDULE_COLD: decision.what = CLUSTER_RUN; break;
    case SCHEDULE_QUEUE: decision.what = CLUSTER_WAIT; break;
    case SCHEDULE_HAND_ON: decision.what = CLUSTER_HAND_ON; break;
    case SCHEDULE_REFUSE:
    case SCHEDULE_LOOK: decision.what = CLUSTER_REFUSE; break;
    }
    ticket->counted = decision.what == CLUSTER_RUN || decision.what == CLUSTER_WAIT;
    take_effects(cluster, &effects);
    share_load(cluster);
    return decision;
}

uint32_t cluster_less_busy(struct cluster *cluster, uint32_t waiting)
{
    uint32_t least = waiting, best = PEERS_NOBODY, count = peers_count(cluster->peers), first;
    wm_random_bytes((uint8_t *)&first, sizeof first);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t peer = (first % count + i) % count;
        struct peers_info info;
        peers_info(cluster->peers, peer, &info);
        if (peer == cluster->own || info.state != PEERS_ALIVE || info.load.draining ||
            cluster->handing_to[peer] >= PEERS_CONNECTIONS_MAX) {
            continue;
        }
        uint32_t told = info.load.running + info.load.queued;
        uint32_t busy = told > cluster->handing_to[peer] ? told : cluster->handing_to[peer];
        if (busy < least) {
            least = busy;
            best = peer;
        }
    }
    return best;
}

void cluster_ended(struct cluster *cluster, struct cluster_ticket *ticket, uint64_t service_ns,
                   bool lost)
{
    struct schedule_effect items[EFFECTS] = {0};
    struct schedule_effects effects = {items, EFFECTS, 0};
    if (ticket->counted) {
        ticket->counted = false;
        schedule_ended(cluster->schedule, ticket->function, service_ns / 1000, lost, now_ms(),
                       &effects);
        take_effects(cluster, &effects);
        share_load(cluster);
    }
}

void cluster_cancelled(struct cluster *cluster, struct cluster_ticket *ticket)
{
    struct schedule_effect items[EFFECTS] = {0};
    struct schedule_effects effects = {items, EFFECTS, 0};
    if (ticket->counted) {
        ticket->counted = false;
        (void)schedule_cancel(cluster->schedule, ticket->function, ticket->id, now_ms(), &effects);
        take_effects(cluster, &effects);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct cluster *cluster = timer->data;
    struct schedule_effect items[EFFECTS] = {0};
    for (int i = 0; i < 16; i++) {
        struct schedule_effects effects = {items, EFFECTS, 0};
        bool more = schedule_tick(cluster->schedule, now_ms(), &effects);
        take_effects(cluster, &effects);
        if (!more) {
            break;
        }
    }
    share_load(cluster);
}

void cluster_on_start(struct cluster *cluster, void (*start)(void *self, uint64_t id), void *self)
{
    cluster->start = start;
    cluster->start_self = self;
}

void cluster_drain(struct cluster *cluster)
{
    struct schedule_effect items[EFFECTS] = {0};
    struct schedule_effects effects = {items, EFFECTS, 0};
    atomic_store(&cluster->draining, true);
    schedule_drain(cluster->schedule, true, now_ms(), &effects);
    take_effects(cluster, &effects);
}

/* --- Handing on --- */

struct handing {
    struct mailbox_letter letter;
    struct cluster *cluster;
    uint32_t peer;
    uint8_t *request, *reply;
    size_t request_len, reply_len;
    int error;
    bool sent;
    cluster_done_fn *done;
    void *self;
};

static void free_handing(struct handing *handing)
{
    wm_free(handing->request);
    wm_free(handing->reply);
    wm_free(handing);
}

static void handed_back(void *self)
{
    struct handing *handing = self;
    struct cluster *cluster = handing->cluster;
    struct call_result result = {.message = ""};
    cluster->handing_to[handing->peer]--;
    char message[HANDOVER_MESSAGE_BYTES];
    atomic_fetch_sub(&cluster->handing, 1);
    if (handing->error == 0) {
        struct handover_result from;
        handing->error =
            handover_result_decode(wm_view_of(handing->reply, handing->reply_len), &from, NULL);
        if (handing->error == 0) {
            snprintf(message, sizeof message, "%.*s", (int)from.message.len,
                     (const char *)from.message.ptr);
            snprintf(result.node, sizeof result.node, "%.*s", (int)from.node.len,
                     (const char *)from.node.ptr);
            result.end = (enum call_end)from.end;
            result.return_code = from.return_code;
            result.status = from.status;
            result.retry_after_ms = from.retry_after_ms;
            result.cold = from.cold;
            result.usage = from.usage;
            result.record_second = from.record_second;
            result.record_index = from.record_index;
            result.headers = from.headers;
            result.backtrace = from.backtrace;
            result.output = from.output;
            result.message = message;
        }
    }
    cluster->hand_on_failed += handing->error != 0;
    handing->done(handing->self, handing->error, handing->sent, &result);
    free_handing(handing);
}

static void *hand_on_main(void *arg)
{
    struct handing *handing = arg;
    struct cluster *cluster = handing->cluster;
    struct wm_diag diag = WM_DIAG_INIT;
    struct rpc_client *client;
    int rc = peers_get(cluster->peers, handing->peer, &client, &diag);
    if (rc == 0) {
        struct iovec part = {handing->request, handing->request_len};
        struct rpc_reply reply;
        rc = rpc_call(client, RPC_RUN, &part, 1, -1, &reply, &diag);
        handing->sent = rc != WM_E_LIMIT;
        if (rc == 0) {
            handing->reply = wm_alloc(reply.body.len);
            if (handing->reply && reply.body.len != 0) {
                memcpy(handing->reply, reply.body.ptr, reply.body.len);
                handing->reply_len = reply.body.len;
            } else {
                rc = handing->reply ? WM_E_MALFORMED : -ENOMEM;
            }
        }
        peers_put(cluster->peers, handing->peer, client, rc != 0);
    }
    handing->error = rc;
    handing->letter = (struct mailbox_letter){.run = handed_back, .self = handing};
    if (!mailbox_post(cluster->mailbox, &handing->letter)) {
        atomic_fetch_sub(&cluster->handing, 1);
        free_handing(handing);
    }
    return NULL;
}

static int start_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    int rc = pthread_create(&thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    return -rc;
}

int cluster_hand_on(struct cluster *cluster, uint32_t peer, const struct function_version *version,
                    const struct call_request *request, cluster_done_fn *done, void *self)
{
    struct handing *handing = wm_alloc_zero(1, sizeof *handing);
    char name[2 * CATALOGUE_NAME_BYTES_MAX];
    snprintf(name, sizeof name, "%s@%u", version->name, version->version);
    struct handover_call call = {
        .tenant = wm_view_str(version->tenant),
        .function = wm_view_str(name),
        .timeout_ms = request->timeout_ms,
        .depth = request->depth,
        .hops = request->hops + 1,
        .chained = request->chained,
        .by_route = request->http != NULL,
        .input = request->input,
    };
    memcpy(call.module_sha256, version->module_sha256, sizeof call.module_sha256);
    if (request->http) {
        call.method = wm_view_str(request->http->method);
        call.path = wm_view_str(request->http->path);
        call.query = wm_view_str(request->http->query ? request->http->query : "");
        call.headers = request->http->headers;
    }
    if (!handing) {
        return -ENOMEM;
    }
    *handing = (struct handing){.cluster = cluster, .peer = peer, .done = done, .self = self};
    handing->request_len = handover_call_encode(&call, NULL);
    handing->request = wm_alloc(handing->request_len);
    int rc = handing->request ? 0 : -ENOMEM;
    if (rc == 0) {
        handover_call_encode(&call, handing->request);
        atomic_fetch_add(&cluster->handing, 1);
        rc = start_thread(hand_on_main, handing);
        if (rc != 0) {
            atomic_fetch_sub(&cluster->handing, 1);
        }
    }
    if (rc != 0) {
        free_handing(handing);
        return rc;
    }
    cluster->handed_on++;
    cluster->handing_to[peer]++;
    return 0;
}

/* --- Serving peers --- */

struct serving {
    struct mailbox_call call;
    struct cluster *cluster;
    uint32_t peer;
    struct handover_call from;
    char *texts; /* C strings of what the loop needs as such */
    uint8_t *reply;
    size_t reply_len;
    struct call_http http;
    bool stale;
};

static void served(void *self, uint64_t id, const struct call_result *result)
{
    struct serving *serving = self;
    struct handover_result reply = {
        .end = result->end,
        .return_code = result->return_code,
        .status = result->status,
        .retry_after_ms = result->retry_after_ms,
        .cold = result->cold,
        .usage = result->usage,
        .record_second = result->record_second,
        .record_index = result->record_index,
        .node = wm_view_str(result->node),
        .headers = result->headers,
        .message = wm_view_str(result->message ? result->message : ""),
        .backtrace = result->backtrace,
        .output = result->output,
    };
    (void)id;
    serving->reply_len = handover_result_encode(&reply, NULL);
    serving->reply = wm_alloc(serving->reply_len);
    if (serving->reply) {
        handover_result_encode(&reply, serving->reply);
    }
    mailbox_done(&serving->call);
}

static const char *text_of(char **at, struct wm_view from)
{
    char *text = *at;
    if (from.len != 0) {
        memcpy(text, from.ptr, from.len);
    }
    text[from.len] = 0;
    *at += from.len + 1;
    return text;
}

static void serve_on_loop(void *self)
{
    struct serving *serving = self;
    const struct handover_call *from = &serving->from;
    struct node *node = serving->cluster->node;
    char *at = serving->texts;
    const char *tenant = text_of(&at, from->tenant), *function = text_of(&at, from->function);
    serving->http = (struct call_http){.method = text_of(&at, from->method),
                                       .path = text_of(&at, from->path),
                                       .query = text_of(&at, from->query),
                                       .headers = from->headers};
    struct function_version *version = catalogue_find(node->catalogue, tenant, function);
    bool same = version && wm_bytes_equal(version->module_sha256, from->module_sha256,
                                          sizeof from->module_sha256);
    if (version) {
        function_version_put(version);
    }
    if (!same) {
        /* This node's catalogue is behind: the sender runs it, or places it again. */
        struct call_result result = {.end = CALL_END_NOT_FOUND,
                                     .message = "the other node does not have this version yet"};
        served(serving, 0, &result);
        return;
    }
    struct call_request request = {
        .tenant = tenant,
        .function = function,
        .input = from->input,
        .http = from->by_route ? &serving->http : NULL,
        .timeout_ms = from->timeout_ms,
        .depth = from->depth,
        .hops = from->hops,
        .from_peer = serving->peer,
        .func_idx = UINT32_MAX,
        .chained = from->chained,
        .done = served,
        .self = serving,
    };
    serving->cluster->served++;
    (void)node_calls_start(node, &request);
}

static int serve_run(struct cluster *cluster, uint32_t peer, struct rpc_request *request)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct serving serving = {.cluster = cluster, .peer = peer};
    int rc = handover_call_decode(request->body, &serving.from, &diag);
    if (rc != 0) {
        return rc;
    }
    const struct handover_call *from = &serving.from;
    serving.texts = wm_alloc(from->tenant.len + from->function.len + from->method.len +
                             from->path.len + from->query.len + 5);
    if (!serving.texts || !mailbox_call(cluster->mailbox, &serving.call, serve_on_loop, &serving)) {
        wm_free(serving.texts);
        return -ESHUTDOWN;
    }
    rc = serving.reply ? rpc_reply_add(request, wm_view_of(serving.reply, serving.reply_len))
                       : -ENOMEM;
    wm_free(serving.texts);
    wm_free(serving.reply);
    return rc;
}

static int serve_one(struct cluster *cluster, uint32_t peer, struct rpc_request *request)
{
    switch (request->service) {
    case RPC_TIER: {
        /* Keys of this node alone: a peer that sent a key to the wrong master is told, not helped.
         */
        struct tier_rpc_server server = {.tier = cluster->local_tier};
        return cluster->local_tier ? tier_rpc_handle(&server, request) : WM_E_UNSUPPORTED;
    }
    case RPC_RUN: return serve_run(cluster, peer, request);
    case RPC_CATALOGUE:
    case RPC_FILE: {
        struct replicate *replicate = atomic_load(&cluster->replicate);
        return replicate ? replicate_serve(replicate, peer, request) : -ESHUTDOWN;
    }
    default: return WM_E_UNSUPPORTED;
    }
}

static int serve_peer(void *self, uint32_t peer, struct rpc_request *request)
{
    struct cluster *cluster = self;
    /* First counted, then looked: who stops does it the other way round. */
    atomic_fetch_add(&cluster->inside, 1);
    int rc = atomic_load(&cluster->serving) ? serve_one(cluster, peer, request) : -ESHUTDOWN;
    atomic_fetch_sub(&cluster->inside, 1);
    return rc;
}

static void tell_load(void *self, struct peers_load *out)
{
    struct cluster *cluster = self;
    *out = (struct peers_load){.running = atomic_load(&cluster->load_running),
                               .queued = atomic_load(&cluster->load_queued),
                               .capacity = CALLS_PER_CPU * host_cpu_count(),
                               .load = atomic_load(&cluster->load_permille),
                               .draining = atomic_load(&cluster->draining)};
}

static void peer_changed(void *self, uint32_t peer, enum peers_state state)
{
    static const char *const texts[] = {"suspect", "alive", "dead"};
    struct cluster *cluster = self;
    log_line(state == PEERS_DEAD ? LOG_WARN : LOG_INFO, "cluster", "peer=%s state=%s",
             cluster->names[peer], texts[state]);
    struct replicate *replicate = atomic_load(&cluster->replicate);
    if (replicate) {
        replicate_look(replicate);
    }
}

/* --- The whole --- */

/* NAME=HOST:PORT; the parts in `text`, which is cut up. */
static int parse_peer(char *text, struct peers_address *out, struct wm_diag *diag)
{
    char host[64], *equals = strchr(text, '=');
    if (!equals || equals == text || (size_t)(equals - text) > PEERS_NAME_BYTES_MAX ||
        config_split_address(equals + 1, host, &out->port) != 0 || !host[0] || out->port == 0) {
        return wm_diag_set(diag, WM_E_USAGE, "peers: %.80s: not of the form NAME=HOST:PORT", text);
    }
    *equals = 0;
    out->name = text;
    out->host = wm_strdup(host);
    return out->host ? 0 : wm_diag_set(diag, -ENOMEM, "peers: %s", wm_error_text(-ENOMEM));
}

static int start_peers(struct cluster *cluster, struct wm_diag *diag)
{
    const struct config *config = cluster->node->config;
    struct peers_address list[PEERS_MAX];
    struct peers_config peers = {.name = config->name,
                                 .list = list,
                                 .handle = serve_peer,
                                 .load = tell_load,
                                 .changed = peer_changed,
                                 .self = cluster};
    int rc = cluster_key_read(config->cluster_key, peers.key, diag);
    for (uint32_t i = 0; rc == 0 && i < config->peers.count && i < PEERS_MAX; i++) {
        list[i] = (struct peers_address){0};
        cluster->name_texts[i] = wm_strdup(config->peers.items[i]);
        rc = cluster->name_texts[i] ? parse_peer(cluster->name_texts[i], &list[i], diag) : -ENOMEM;
        peers.count++;
        cluster->names[i] = cluster->name_texts[i];
        cluster->name_count++;
        if (rc == 0 && strcmp(list[i].name, config->name) == 0) {
            cluster->own = i;
            peers.listen_host = list[i].host;
            peers.listen_port = list[i].port;
        }
    }
    if (rc == 0 && !peers.listen_host) {
        rc = wm_diag_set(diag, WM_E_USAGE,
                         "peers: this node's name, %s, is not among them: the list is the same for "
                         "all nodes; give each its --name",
                         config->name);
    }
    char listen_host[64];
    if (rc == 0 && config->peer_listen &&
        config_split_address(config->peer_listen, listen_host, &peers.listen_port) == 0) {
        peers.listen_host = listen_host[0] ? listen_host : "0.0.0.0";
    }
    rc = rc ? rc : peers_start(&peers, &cluster->peers, diag);
    for (uint32_t i = 0; i < peers.count; i++) {
        wm_free((void *)(uintptr_t)list[i].host);
    }
    explicit_bzero(peers.key, sizeof peers.key);
    return rc;
}

static int make_schedule(struct cluster *cluster, struct wm_diag *diag)
{
    struct schedule_config config = {.node = cluster->own,
                                     .capacity = CALLS_PER_CPU * host_cpu_count(),
                                     .queue_max = 4096,
                                     .functions_max = 4096};
    size_t bytes = schedule_bytes(&config);
    WM_ASSERT(bytes != 0);
    cluster->schedule_memory = wm_alloc_zero(1, bytes);
    cluster->views = wm_alloc_zero(VIEWS_MAX, sizeof *cluster->views);
    if (!cluster->schedule_memory || !cluster->views) {
        return wm_diag_set(diag, -ENOMEM, "cluster: %s", wm_error_text(-ENOMEM));
    }
    cluster->schedule = schedule_init(cluster->schedule_memory, &config, now_ms());
    return 0;
}

int cluster_open(struct node *node, struct cluster **out, struct wm_diag *diag)
{
    *out = NULL;
    if (node->config->peers.count == 0) {
        return 0;
    }
    struct cluster *cluster = wm_alloc_zero(1, sizeof *cluster);
    if (!cluster) {
        return wm_diag_set(diag, -ENOMEM, "cluster: %s", wm_error_text(-ENOMEM));
    }
    cluster->node = node;
    pthread_mutex_init(&cluster->lock, NULL);
    pthread_cond_init(&cluster->wake, NULL);
    int rc = start_peers(cluster, diag);
    rc = rc ? rc : make_schedule(cluster, diag);
    if (rc != 0) {
        cluster_close(cluster);
        return wm_diag_default(diag, rc, "cluster");
    }
    *out = cluster;
    return 0;
}

int cluster_start(struct cluster *cluster, struct mailbox *mailbox, struct trust *trust,
                  struct wm_diag *diag)
{
    struct replicate *replicate;
    cluster->mailbox = mailbox;
    int rc = replicate_open(cluster->node, cluster->peers, trust, mailbox, &replicate, diag);
    if (rc != 0) {
        return rc;
    }
    atomic_store(&cluster->replicate, replicate);
    rc = -pthread_create(&cluster->sync, NULL, sync_main, cluster);
    if (rc != 0) {
        return wm_diag_set(diag, rc, "cluster: a thread: %s", wm_error_text(rc));
    }
    cluster->syncing = true;
    uv_timer_init(cluster->node->loop, &cluster->timer);
    cluster->timer.data = cluster;
    uv_timer_start(&cluster->timer, on_tick, TICK_MS, TICK_MS);
    uv_unref((uv_handle_t *)&cluster->timer);
    cluster->timer_open = true;
    atomic_store(&cluster->serving, true);
    return 0;
}

void cluster_stop(struct cluster *cluster)
{
    atomic_store(&cluster->serving, false);
    atomic_store(&cluster->stopping, true);
    if (cluster->syncing) {
        pthread_mutex_lock(&cluster->lock);
        pthread_cond_broadcast(&cluster->wake);
        pthread_mutex_unlock(&cluster->lock);
    }
    /* Who waits for a peer's answer is not kept waiting. */
    peers_abort(cluster->peers);
    if (atomic_load(&cluster->replicate)) {
        replicate_stop(cluster->replicate);
    }
    while (atomic_load(&cluster->handing) != 0) {
        uv_run(cluster->node->loop, UV_RUN_NOWAIT);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (cluster->syncing) {
        pthread_join(cluster->sync, NULL);
        cluster->syncing = false;
    }
}

void cluster_wait(struct cluster *cluster)
{
    while (atomic_load(&cluster->inside) != 0) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct cluster *cluster = handle->data;
    cluster->timer_open = false;
    cluster_close(cluster);
}

void cluster_close(struct cluster *cluster)
{
    if (!cluster) {
        return;
    }
    if (cluster->peers) {
        peers_stop(cluster->peers);
        cluster->peers = NULL;
    }
    replicate_close(cluster->replicate);
    cluster->replicate = NULL;
    if (cluster->timer_open) {
        uv_close((uv_handle_t *)&cluster->timer, on_timer_closed);
        return;
    }
    for (uint32_t i = 0; i < cluster->name_count; i++) {
        wm_free(cluster->name_texts[i]);
    }
    wm_vec_fini(&cluster->tasks);
    wm_free(cluster->views);
    wm_free(cluster->schedule_memory);
    pthread_cond_destroy(&cluster->wake);
    pthread_mutex_destroy(&cluster->lock);
    wm_free(cluster);
}

const char *const *cluster_names(const struct cluster *cluster, uint32_t *count, uint32_t *own)
{
    *count = cluster->name_count;
    *own = cluster->own;
    return cluster->names;
}

int cluster_peer_get(void *self, const char *node, struct rpc_client **out, struct wm_diag *diag)
{
    struct cluster *cluster = self;
    uint32_t peer = peers_find(cluster->peers, node);
    return peer == PEERS_NOBODY ? wm_diag_set(diag, WM_E_NOT_FOUND, "node %s: not a peer", node)
                                : peers_get(cluster->peers, peer, out, diag);
}

void cluster_peer_put(void *self, const char *node, struct rpc_client *client, bool usable)
{
    struct cluster *cluster = self;
    peers_put(cluster->peers, peers_find(cluster->peers, node), client, !usable);
}

void cluster_set_local_tier(struct cluster *cluster, const struct tier *tier)
{
    cluster->local_tier = tier;
}

struct replicate *cluster_replicate(struct cluster *cluster)
{
    return atomic_load(&cluster->replicate);
}

bool cluster_owns(struct cluster *cluster, const char *tenant, const char *name)
{
    uint64_t best = 0;
    uint32_t owner = PEERS_NOBODY;
    for (uint32_t i = 0; i < peers_count(cluster->peers); i++) {
        struct wm_sha256 hash;
        uint8_t out[WM_SHA256_BYTES];
        uint64_t rank;
        struct peers_info info;
        peers_info(cluster->peers, i, &info);
        if (i != cluster->own && (info.state == PEERS_DEAD || info.load.draining)) {
            continue;
        }
        wm_sha256_init(&hash);
        wm_sha256_add(&hash, wm_view_of(info.name, strlen(info.name) + 1));
        wm_sha256_add(&hash, wm_view_of(tenant, strlen(tenant) + 1));
        wm_sha256_add(&hash, wm_view_of(name, strlen(name) + 1));
        wm_sha256_end(&hash, out);
        memcpy(&rank, out, sizeof rank);
        if (owner == PEERS_NOBODY || rank > best) {
            best = rank;
            owner = i;
        }
    }
    return owner == cluster->own;
}

void cluster_describe(struct cluster *cluster, json_t *object)
{
    static const char *const texts[] = {"suspect", "alive", "dead"};
    struct schedule_stats stats;
    json_t *peers = json_array(), *scheduler = json_object();
    for (uint32_t i = 0; i < peers_count(cluster->peers); i++) {
        struct peers_info info;
        json_t *peer = json_object();
        peers_info(cluster->peers, i, &info);
        json_object_set_new(peer, "name", json_string(info.name));
        json_object_set_new(peer, "state",
                            json_string(i == cluster->own ? "this node" : texts[info.state]));
        json_object_set_new(peer, "load", json_integer(info.load.load));
        json_object_set_new(peer, "running", json_integer(info.load.running));
        json_object_set_new(peer, "draining", json_boolean(info.load.draining));
        json_array_append_new(peers, peer);
    }
    schedule_stats(cluster->schedule, &stats);
    json_object_set_new(scheduler, "running", json_integer(stats.running));
    json_object_set_new(scheduler, "queued", json_integer(stats.queued));
    json_object_set_new(scheduler, "handed_on", json_integer((json_int_t)cluster->handed_on));
    json_object_set_new(scheduler, "hand_on_failed",
                        json_integer((json_int_t)cluster->hand_on_failed));
    json_object_set_new(scheduler, "served", json_integer((json_int_t)cluster->served));
    if (atomic_load(&cluster->replicate)) {
        struct replicate_stats counts;
        replicate_stats(cluster->replicate, &counts);
        json_object_set_new(
            object, "replication",
            json_pack("{s:I, s:I, s:I, s:I, s:I}", "pushed", (json_int_t)counts.pushed, "pulled",
                      (json_int_t)counts.pulled, "taken", (json_int_t)counts.taken, "failed",
                      (json_int_t)counts.failed, "fetched", (json_int_t)counts.fetched));
    }
    json_object_set_new(object, "peers", peers);
    json_object_set_new(object, "scheduler", scheduler);
}
