/* service.c: threads that serve executors' streams.
 *
 * A service outlives its worker by the requests that are being served when it ends: it is counted,
 * by each of its threads and by the loop. What runs on the loop for a thread lies in that thread's
 * stack, and the thread waits for it. */
#include "node/service.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "faaslet/call_rpc.h"
#include "faaslet/executor.h"
#include "faaslet/http_session.h"
#include "faaslet/rpc.h"
#include "faaslet/tier_rpc.h"
#include "host/file.h"
#include "node/calls.h"
#include "node/catalogue.h"
#include "node/global.h"
#include "node/metrics.h"
#include "node/outbound.h"
#include "node/workers.h"

#define THREAD_STACK_BYTES (512u << 10)
#define REGIONS_MAX 8192u
#define REGIONS_BYTES_MAX (UINT64_C(8) << 30)
#define STOP UINT32_MAX                      /* among the numbers of streams */
#define KEPT_CALLS_MAX 4096u                 /* chained ones that the node runs for a worker */
#define KEPT_BYTES_MAX (UINT64_C(256) << 20) /* their inputs and outputs: the node's own memory */

/* A chained call that the node placed; the loop thread's. */
struct placed {
    struct placed *next;
    uint64_t id;
    bool ended, forgotten;
    int64_t wait_until_ns; /* of the waiter */
    enum call_end end;
    int32_t return_code;
    uint8_t *output;
    size_t input_len, output_len;
    struct asking *waiter;
    struct service *service;
    char name[CALL_RPC_NAME_BYTES_MAX + 1];
    uint8_t input[];
};

/* A tenant that the worker's requests may name: one whose functions it has been sent. */
struct admitted {
    struct admitted *next;
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
};

struct service {
    _Atomic uint32_t refs;
    struct node *node;
    struct workers *workers;
    struct mailbox *mailbox;
    pthread_mutex_t lock; /* of: */
    struct admitted *admitted;
    int epoll_fd, stop_fd[2];
    int sockets[EXECUTORS_MAX + 1]; /* copies, for shutting down; -1: not served */
    int waiting[EXECUTORS_MAX + 1]; /* streams on which no request has come; the watching thread's,
                                       -1: begun, or closed */
    uint32_t count;
    struct tier_regions *regions; /* replicas of the worker that this process maps */
    struct placed *placed;        /* the loop's */
    uint32_t placed_count;
    bool stopped; /* the loop's */
};

struct stream {
    struct service *service;
    int fd;
};

/* One question of a thread to the loop. */
struct asking {
    struct mailbox_call call;
    struct service *service;
    const struct call_rpc_request *request;
    const char *tenant; /* admitted; NULL with AWAIT and FORGET */
    struct call_rpc_reply reply;
    uint8_t *output; /* given to the thread with an AWAIT */
};

/* Services that exist, over all workers. */
static _Atomic uint32_t service_count;

static void put_service(struct service *service)
{
    if (atomic_fetch_sub(&service->refs, 1) != 1) {
        return;
    }
    for (uint32_t i = 0; i < service->count; i++) {
        if (service->sockets[i] >= 0) {
            close(service->sockets[i]);
        }
        if (service->waiting[i] >= 0) {
            close(service->waiting[i]);
        }
    }
    while (service->admitted) {
        struct admitted *next = service->admitted->next;
        wm_free(service->admitted);
        service->admitted = next;
    }
    pthread_mutex_destroy(&service->lock);
    tier_regions_free(service->regions);
    close(service->epoll_fd);
    close(service->stop_fd[0]);
    close(service->stop_fd[1]);
    wm_free(service);
    atomic_fetch_sub(&service_count, 1);
}

/* NULL: requests may not speak for it. What is returned stays as long as the service. */
static const char *find_admitted(struct service *service, struct wm_view tenant)
{
    pthread_mutex_lock(&service->lock);
    const struct admitted *at = service->admitted;
    while (at && !wm_view_eq(wm_view_str(at->tenant), tenant)) {
        at = at->next;
    }
    pthread_mutex_unlock(&service->lock);
    return at ? at->tenant : NULL;
}

static bool serves(void *self, struct wm_view tenant)
{
    return find_admitted(self, tenant) != NULL;
}

int service_admit(struct service *service, const char *tenant)
{
    if (find_admitted(service, wm_view_str(tenant))) {
        return 0;
    }
    struct admitted *admitted = wm_alloc_zero(1, sizeof *admitted);
    if (!admitted) {
        return -ENOMEM;
    }
    snprintf(admitted->tenant, sizeof admitted->tenant, "%s", tenant);
    global_note_tenant(service->node, tenant);
    pthread_mutex_lock(&service->lock);
    admitted->next = service->admitted;
    service->admitted = admitted;
    pthread_mutex_unlock(&service->lock);
    return 0;
}

/* --- On the loop --- */

static void drop_placed(struct placed *placed)
{
    struct placed **at = &placed->service->placed;
    while (*at != placed) {
        at = &(*at)->next;
    }
    *at = placed->next;
    placed->service->placed_count--;
    wm_free(placed->output);
    wm_free(placed);
}

/* The waiter goes without the result. */
static void answer_none(struct placed *placed, int code)
{
    struct asking *asking = placed->waiter;
    placed->waiter = NULL;
    asking->reply.code = code;
    mailbox_done(&asking->call);
}

/* Whether so many bytes more may be kept for the worker. */
static bool has_room(const struct service *service, size_t len)
{
    uint64_t kept = len;
    for (const struct placed *at = service->placed; at; at = at->next) {
        kept += at->input_len + at->output_len;
    }
    return kept <= KEPT_BYTES_MAX;
}

static void answer_wait(struct placed *placed, struct asking *asking)
{
    asking->reply.code = 0;
    asking->reply.value = placed->end;
    asking->reply.return_code = placed->return_code;
    asking->output = placed->output;
    asking->reply.output = wm_view_of(placed->output, placed->output_len);
    placed->output = NULL;
    drop_placed(placed);
    mailbox_done(&asking->call);
}

static void placed_done(void *self, uint64_t id, const struct call_result *result)
{
    struct placed *placed = self;
    struct service *service = placed->service;
    (void)id;
    placed->ended = true;
    placed->end = result->end;
    placed->return_code = result->return_code;
    if (result->output.len != 0) {
        placed->output =
            has_room(service, result->output.len) ? wm_alloc(result->output.len) : NULL;
        if (placed->output) {
            memcpy(placed->output, result->output.ptr, result->output.len);
            placed->output_len = result->output.len;
        } else {
            placed->end = CALL_END_LIMIT;
        }
    }
    if (placed->waiter) {
        answer_wait(placed, placed->waiter);
    } else if (service->stopped || placed->forgotten) {
        drop_placed(placed);
    }
    put_service(service);
}

static void do_resolve(struct asking *asking)
{
    struct service *service = asking->service;
    char name[CALL_RPC_NAME_BYTES_MAX + 1];
    memcpy(name, asking->request->name.ptr ? asking->request->name.ptr : (const uint8_t *)"",
           asking->request->name.len);
    name[asking->request->name.len] = 0;
    struct function_version *version =
        catalogue_find(service->node->catalogue, asking->tenant, name);
    asking->reply.code = WM_E_NOT_FOUND;
    if (version) {
        asking->reply.code = workers_ensure(service->workers, version, &asking->reply.value);
        function_version_put(version);
    }
    mailbox_done(&asking->call);
}

static void do_chain(struct asking *asking)
{
    struct service *service = asking->service;
    const struct call_rpc_request *request = asking->request;
    char name[CALL_RPC_NAME_BYTES_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)request->name.len, (const char *)request->name.ptr);
    struct function_version *version =
        catalogue_find(service->node->catalogue, asking->tenant, name);
    if (!version) {
        asking->reply.code = WM_E_NOT_FOUND;
        mailbox_done(&asking->call);
        return;
    }
    function_version_put(version);
    /* What the request points to is the thread's, which goes on at once. */
    struct placed *placed = wm_alloc_zero(1, sizeof *placed + request->input.len);
    asking->reply.code = -ENOMEM;
    if (placed && service->placed_count < KEPT_CALLS_MAX && has_room(service, request->input.len)) {
        placed->input_len = request->input.len;
        snprintf(placed->name, sizeof placed->name, "%s", name);
        if (request->input.len != 0) {
            memcpy(placed->input, request->input.ptr, request->input.len);
        }
        struct call_request call = {
            .tenant = asking->tenant,
            .function = placed->name,
            .input = wm_view_of(placed->input, request->input.len),
            .timeout_ms = request->timeout_ms,
            .depth = request->depth,
            .func_idx = UINT32_MAX,
            .chained = true,
            .done = placed_done,
            .self = placed,
        };
        placed->service = service;
        placed->next = service->placed;
        service->placed = placed;
        service->placed_count++;
        atomic_fetch_add(&service->refs, 1);
        /* What has no better place is the worker's: there it can run in its parent's thread, so
         * that calls that wait for each other never wait for threads. */
        placed->id = node_calls_start_away(service->node, &call, (uint32_t)request->id);
        asking->reply.id = placed->id;
        asking->reply.code = 0;
        if (placed->id == 0) {
            asking->reply.code = -EAGAIN;
            drop_placed(placed);
            atomic_fetch_sub(&service->refs, 1); /* not the last: this thread of it waits */
        }
    } else {
        wm_free(placed);
    }
    mailbox_done(&asking->call);
}

static struct placed *find_placed(struct service *service, uint64_t id)
{
    struct placed *placed = service->placed;
    while (placed && (placed->id != id || placed->forgotten)) {
        placed = placed->next;
    }
    return placed;
}

static void do_await(struct asking *asking)
{
    struct placed *placed = find_placed(asking->service, asking->request->id);
    uint32_t wait_ms = asking->request->timeout_ms;
    if (!placed || placed->waiter) {
        asking->reply.code = -ECHILD;
        mailbox_done(&asking->call);
    } else if (placed->ended) {
        answer_wait(placed, asking);
    } else if (wait_ms == 0 || asking->service->stopped) {
        asking->reply.code = -EAGAIN;
        mailbox_done(&asking->call);
    } else {
        wait_ms = wait_ms < CALL_RPC_WAIT_MS_MAX ? wait_ms : CALL_RPC_WAIT_MS_MAX;
        placed->wait_until_ns = host_monotonic_ns() + (int64_t)wait_ms * 1000000;
        placed->waiter = asking;
    }
}

static void do_forget(struct asking *asking)
{
    struct placed *placed = find_placed(asking->service, asking->request->id);
    asking->reply.code = placed && !placed->waiter ? 0 : -ECHILD;
    if (placed && !placed->waiter) {
        placed->forgotten = true;
        if (placed->ended) {
            drop_placed(placed);
        }
    }
    mailbox_done(&asking->call);
}

void service_tick(struct service *service)
{
    struct placed *placed = service ? service->placed : NULL;
    int64_t now_ns = placed ? host_monotonic_ns() : 0;
    for (; placed; placed = placed->next) {
        if (placed->waiter && now_ns >= placed->wait_until_ns) {
            answer_none(placed, -EAGAIN);
        }
    }
}

static void on_loop(void *self)
{
    struct asking *asking = self;
    switch (asking->request->operation) {
    case CALL_RPC_RESOLVE: do_resolve(asking); return;
    case CALL_RPC_CHAIN: do_chain(asking); return;
    case CALL_RPC_AWAIT: do_await(asking); return;
    case CALL_RPC_FORGET: do_forget(asking); return;
    case CALL_RPC_OPERATIONS: break;
    }
    WM_UNREACHABLE();
}

/* --- In a stream's thread --- */

static int serve_call(struct service *service, struct rpc_request *request)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct call_rpc_request asked;
    int rc = call_rpc_decode(request->body, &asked, &diag);
    if (rc != 0) {
        return rc;
    }
    struct asking asking = {
        .service = service, .request = &asked, .tenant = find_admitted(service, asked.tenant)};
    if (!asking.tenant &&
        (asked.operation == CALL_RPC_RESOLVE || asked.operation == CALL_RPC_CHAIN)) {
        asking.reply.code = WM_E_DENIED;
        return call_rpc_answer(request, &asking.reply);
    }
    if (!mailbox_call(service->mailbox, &asking.call, on_loop, &asking)) {
        return -ESHUTDOWN;
    }
    rc = call_rpc_answer(request, &asking.reply);
    wm_free(asking.output);
    return rc;
}

struct allow_copy {
    struct mailbox_call call;
    struct service *service;
    const char *tenant;
    char **list; /* NULL-terminated; NULL: no memory */
};

/* The tenant's list as it is now; a fetch may take longer than it stays so. */
static void copy_allow(void *self)
{
    struct allow_copy *copy = self;
    const struct tenant *tenant = catalogue_tenant(copy->service->node->catalogue, copy->tenant);
    char **from = tenant ? tenant->allow : NULL;
    size_t count = 0;
    while (from && from[count]) {
        count++;
    }
    copy->list = wm_alloc_zero(count + 1, sizeof *copy->list);
    for (size_t i = 0; copy->list && i < count; i++) {
        copy->list[i] = wm_strdup(from[i]);
        if (!copy->list[i]) {
            break; /* shorter: fewer hosts are allowed */
        }
    }
    mailbox_done(&copy->call);
}

static char *copy_text(struct wm_view from)
{
    char *text = wm_alloc(from.len + 1);
    if (text) {
        if (from.len != 0) {
            memcpy(text, from.ptr, from.len);
        }
        text[from.len] = 0;
    }
    return text;
}

static int serve_http(struct service *service, struct rpc_request *request)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct http_request_parts parts;
    struct outbound_limits limits = {0};
    struct outbound_answer answer = {0};
    struct allow_copy allow = {.service = service};
    int rc = http_request_decode(request->body, &parts);
    if (rc != 0) {
        return rc;
    }
    allow.tenant = find_admitted(service, parts.tenant);
    if (!allow.tenant) {
        return http_request_answer(request, WM_E_DENIED, 0, wm_view_of(NULL, 0),
                                   wm_view_of(NULL, 0));
    }
    if (!mailbox_call(service->mailbox, &allow.call, copy_allow, &allow)) {
        return -ESHUTDOWN;
    }
    char *method = copy_text(parts.method), *url = copy_text(parts.url);
    int code = -ENOMEM;
    if (allow.list && method && url) {
        code = outbound_fetch(allow.list, method, url, parts.headers, parts.body, &limits, &answer,
                              &diag);
        metrics_add(service->node->metrics, METRICS_OUTBOUND, 1);
        if (code == WM_E_DENIED) {
            metrics_add(service->node->metrics, METRICS_OUTBOUND_DENIED, 1);
        }
    }
    rc = http_request_answer(request, code, answer.status,
                             wm_view_of(answer.headers, answer.headers_len),
                             wm_view_of(answer.body, answer.body_len));
    outbound_answer_free(&answer);
    for (size_t i = 0; allow.list && allow.list[i]; i++) {
        wm_free(allow.list[i]);
    }
    wm_free(allow.list);
    wm_free(method);
    wm_free(url);
    return rc;
}

static int handle(void *self, struct rpc_request *request)
{
    struct stream *stream = self;
    struct service *service = stream->service;
    switch (request->service) {
    case RPC_TIER: {
        struct tier_rpc_server server = {.tier = service->node->tier,
                                         .serves = serves,
                                         .self = service,
                                         .regions = service->regions};
        return service->node->tier ? tier_rpc_handle(&server, request) : WM_E_UNSUPPORTED;
    }
    case RPC_CALL: return serve_call(service, request);
    case RPC_HTTP: return serve_http(service, request);
    default: return WM_E_UNSUPPORTED;
    }
}

static void *serve_stream(void *arg)
{
    struct stream *stream = arg;
    struct wm_diag diag = WM_DIAG_INIT;
    struct rpc_transport transport;
    if (rpc_socket_transport(stream->fd, &transport) == 0) {
        (void)!rpc_serve(&transport, handle, stream, &diag);
    } else {
        close(stream->fd);
    }
    put_service(stream->service);
    wm_free(stream);
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

static void begin_stream(struct service *service, int fd)
{
    struct stream *stream = wm_alloc_zero(1, sizeof *stream);
    if (!stream) {
        close(fd);
        return;
    }
    *stream = (struct stream){service, fd};
    atomic_fetch_add(&service->refs, 1);
    if (start_thread(serve_stream, stream) != 0) {
        put_service(service);
        close(fd);
        wm_free(stream);
    }
}

/* Waits for first requests. */
static void *watch_streams(void *arg)
{
    struct service *service = arg;
    for (;;) {
        struct epoll_event event;
        int count = epoll_wait(service->epoll_fd, &event, 1, -1);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count != 1 || event.data.u32 == STOP) {
            put_service(service);
            return NULL;
        }
        uint32_t index = event.data.u32;
        int fd = service->waiting[index];
        service->waiting[index] = -1;
        epoll_ctl(service->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        if (event.events & EPOLLHUP) {
            close(fd); /* nobody is there to be answered */
        } else {
            begin_stream(service, fd);
        }
    }
}

int service_start(struct node *node, struct workers *workers, struct mailbox *mailbox,
                  struct link *link, struct service **out, struct wm_diag *diag)
{
    struct service *service = wm_alloc_zero(1, sizeof *service);
    if (!service) {
        return wm_diag_set(diag, -ENOMEM, "worker: %s", wm_error_text(-ENOMEM));
    }
    service->node = node;
    service->workers = workers;
    service->mailbox = mailbox;
    pthread_mutex_init(&service->lock, NULL);
    atomic_init(&service->refs, 2); /* the loop's, and the watching thread's */
    errno = 0;
    service->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (service->epoll_fd < 0 ||
        tier_regions_new(REGIONS_MAX, REGIONS_BYTES_MAX, &service->regions) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, service->stop_fd) != 0) {
        int rc = errno != 0 ? -errno : -ENOMEM;
        wm_diag_set(diag, rc, "worker: %s", wm_error_text(rc));
        if (service->epoll_fd >= 0) {
            close(service->epoll_fd);
        }
        tier_regions_free(service->regions);
        wm_free(service);
        return rc;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = STOP};
    epoll_ctl(service->epoll_fd, EPOLL_CTL_ADD, service->stop_fd[0], &event);
    for (int fd; service->count < WM_COUNT_OF(service->sockets) &&
                 (fd = link_socket(link, service->count)) >= 0;) {
        event = (struct epoll_event){.events = EPOLLIN, .data.u32 = service->count};
        service->sockets[service->count] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        service->waiting[service->count++] = fd;
        epoll_ctl(service->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    atomic_fetch_add(&service_count, 1);
    int rc = start_thread(watch_streams, service);
    if (rc != 0) {
        put_service(service);
        put_service(service);
        return wm_diag_set(diag, rc, "worker: a thread: %s", wm_error_text(rc));
    }
    *out = service;
    return 0;
}

void service_stop(struct service *service)
{
    if (!service) {
        return;
    }
    service->stopped = true;
    shutdown(service->stop_fd[0], SHUT_RDWR);
    for (uint32_t i = 0; i < service->count; i++) {
        if (service->sockets[i] >= 0) {
            shutdown(service->sockets[i], SHUT_RDWR);
        }
    }
    for (struct placed *placed = service->placed, *next; placed; placed = next) {
        next = placed->next;
        if (placed->waiter) {
            answer_none(placed, -ESHUTDOWN);
        }
        if (placed->ended) {
            drop_placed(placed);
        }
    }
    put_service(service);
}

void service_wait_all(void)
{
    while (atomic_load(&service_count) != 0) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}
