/* workers.c: classes, their processes, and calls on their way.
 *
 *     start_call -> class -> worker --(READY)--> loaded --(DONE)--> slot -> completion -> done
 *                             |  calls wait in loaded->waiting until the function is there,
 *                             |  and in worker->queue while all slots are out
 *                             +- died: everything that waits or is out ends as WORKER_DIED */
#include "node/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "crypto/hash.h"
#include "faaslet/executor.h"
#include "faaslet/link.h"
#include "host/file.h"
#include "node/log.h"
#include "node/logs.h"
#include "node/mailbox.h"
#include "node/objects.h"
#include "node/sandbox.h"
#include "node/service.h"

#define SWEEP_MS 5000u
#define IDLE_NS (INT64_C(300) * 1000000000)
#define YOUNG_NS INT64_C(2000000000)
#define PAUSE_NS_MAX INT64_C(5000000000)
#define EXECUTORS_EACH 32u
#define SLOTS_EACH 64u

enum loaded_state { LOADED_NEW, LOADED_OPENING, LOADED_SENT, LOADED_READY, LOADED_FAILED };

struct call_list {
    struct worker_call *first, **last;
};

/* One version of a function in one worker. */
struct loaded {
    struct loaded *next;
    struct workers *workers;
    struct worker *worker;            /* NULL: it died while files were opened */
    struct function_version *version; /* a reference */
    uint32_t handle;
    enum loaded_state state;
    uint64_t env_revision;
    struct call_list waiting;
    /* Files, opened in another thread. */
    uv_work_t work;
    int fds[2];
    int code;
    struct wm_diag diag;
};

/* A Proto-Faaslet that is being made; in the memory of the thread that waits for it. */
struct snapshot {
    struct snapshot *next;
    struct mailbox_call call;
    struct workers *workers;
    struct function_version *version;
    int fds[2];
    uint32_t handle;
    bool sent;
    int code;
    struct wm_diag diag;
};

struct worker {
    struct worker *next;
    struct workers *workers;
    struct class *class;
    struct link *link;
    struct service *service;
    struct sandbox_place *place;
    bool ready, closing, ring;
    int64_t started_ns, used_ns;
    uv_poll_t control, event;
    int handles_open; /* of libuv */
    uint32_t next_handle, out_count;
    struct loaded *loaded;
    struct snapshot *snapshots;
    struct call_list queue;
    struct worker_call *out[CHANNEL_SLOTS];
};

/* What a worker may reach is one tenant's: its files, allow-list, namespace, quota, and whose state
 * and functions its requests mean (service.h). So a class is a tenant, also where the catalogue
 * says that two trust each other: in one process the second would be given what is the first's. */
struct class
{
    struct class *next;
    struct worker *worker;
    int64_t pause_ns, again_ns; /* after deaths: not before again_ns */
    char name[CATALOGUE_NAME_BYTES_MAX + 1];
};

struct workers {
    struct node *node;
    struct mailbox *mailbox;
    struct sandbox *sandbox;
    struct class *classes;
    struct worker *list;
    uv_prepare_t prepare;
    uv_timer_t timer;
    struct workers_stats stats;
    uint32_t opening; /* files being opened in other threads */
    bool closed;
    uint64_t next_prefix;
    void (*report)(void *self, struct function_version *version,
                   const struct channel_report *report);
    void *report_self;
};

/* --- Lists of calls --- */

static void list_init(struct call_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static void list_push(struct call_list *list, struct worker_call *call)
{
    call->next = NULL;
    *list->last = call;
    list->last = &call->next;
}

static struct worker_call *list_pop(struct call_list *list)
{
    struct worker_call *call = list->first;
    if (call) {
        list->first = call->next;
        if (!list->first) {
            list->last = &list->first;
        }
    }
    return call;
}

static void end_call(struct worker_call *call, enum call_end end, const char *text)
{
    struct channel_result result = {.end = end};
    struct channel_views views = {.message = wm_view_str(text)};
    call->worker = NULL;
    call->done(call, &result, &views);
}

static void end_list(struct workers *workers, struct call_list *list, enum call_end end,
                     const char *text)
{
    struct worker_call *call;
    while ((call = list_pop(list))) {
        workers->stats.calls_waiting--;
        end_call(call, end, text);
    }
}

/* What waited, to the end of another list. */
static void list_move(struct workers *workers, struct call_list *to, struct call_list *from)
{
    struct worker_call *call;
    while ((call = list_pop(from))) {
        workers->stats.calls_waiting--;
        list_push(to, call);
    }
}

/* --- A worker's end --- */

static void free_loaded(struct loaded *loaded)
{
    if (loaded->version->worker_data == loaded) {
        loaded->version->worker_data = NULL;
    }
    function_version_put(loaded->version);
    wm_free(loaded);
}

static void end_snapshot(struct snapshot *snapshot, int code, const char *text)
{
    snapshot->code = code == 0 ? 0 : wm_diag_set(&snapshot->diag, code, "%s", text);
    mailbox_done(&snapshot->call);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct worker *worker = handle->data;
    if (--worker->handles_open == 0) {
        wm_free(worker);
    }
}

/* Ends the process and everything that depended on it. */
static void bury(struct worker *worker, const char *why)
{
    struct workers *workers = worker->workers;
    struct class *class = worker->class;
    if (worker->closing) {
        return;
    }
    worker->closing = true;
    class->worker = NULL;
    struct worker **at = &workers->list;
    while (*at != worker) {
        at = &(*at)->next;
    }
    *at = worker->next;
    workers->stats.processes--;
    workers->stats.starting -= !worker->ready;
    uv_poll_stop(&worker->control);
    uv_poll_stop(&worker->event);
    service_stop(worker->service); /* its threads end with the sockets */
    link_close(worker->link);
    sandbox_put(workers->sandbox, worker->place);
    /* First nothing leads to this worker any more, then its calls are told: some are started again
     * from within, in the next worker. */
    struct call_list ended;
    list_init(&ended);
    for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
        if (worker->out[i]) {
            list_push(&ended, worker->out[i]);
            worker->out[i] = NULL;
            workers->stats.calls_out--;
        }
    }
    list_move(workers, &ended, &worker->queue);
    while (worker->loaded) {
        struct loaded *loaded = worker->loaded;
        worker->loaded = loaded->next;
        list_move(workers, &ended, &loaded->waiting);
        if (loaded->version->worker_data == loaded) {
            loaded->version->worker_data = NULL;
        }
        if (loaded->state == LOADED_OPENING) {
            loaded->worker = NULL; /* freed when its files are open */
        } else {
            free_loaded(loaded);
        }
    }
    struct worker_call *call;
    while ((call = list_pop(&ended))) {
        end_call(call, CALL_END_WORKER_DIED, why);
    }
    while (worker->snapshots) {
        struct snapshot *snapshot = worker->snapshots;
        worker->snapshots = snapshot->next;
        end_snapshot(snapshot, WM_E_TRAP, why);
    }
    uv_close((uv_handle_t *)&worker->control, on_handle_closed);
    uv_close((uv_handle_t *)&worker->event, on_handle_closed);
}

static void died(struct worker *worker, const char *why)
{
    struct class *class = worker->class;
    int64_t now_ns = host_monotonic_ns();
    bool young = now_ns - worker->started_ns < YOUNG_NS;
    char quoted[LOG_TEXT_BYTES];
    log_limited(LOG_WARN, "workers", "class=%s event=died why=%s", class->name,
                log_text(quoted, why));
    worker->workers->stats.died++;
    class->pause_ns = !young ? 0 : class->pause_ns == 0 ? 50000000 : class->pause_ns * 2;
    class->pause_ns = class->pause_ns < PAUSE_NS_MAX ? class->pause_ns : PAUSE_NS_MAX;
    class->again_ns = now_ns + class->pause_ns;
    bury(worker, "the worker process that ran it ended");
}

/* --- Calls and slots --- */

static void submit(struct worker *worker, struct worker_call *call, uint32_t slot)
{
    struct channel *channel = link_channel(worker->link);
    struct loaded *loaded = call->version->worker_data;
    struct channel_call sent = {
        .id = call->id,
        .function = loaded->handle,
        .func_idx = call->func_idx,
        .timeout_ms = call->timeout_ms,
        .depth = call->depth,
        .input_len = (uint32_t)call->input.len,
    };
    if (call->input.len != 0) {
        memcpy(channel_input(channel, slot), call->input.ptr, call->input.len);
    }
    if (call->method) {
        int len = snprintf((char *)channel_request_text(channel, slot), CHANNEL_TEXT_BYTES,
                           "%s%c%s%c%s%c%.*s", call->method, 0, call->path, 0,
                           call->query ? call->query : "", 0, (int)call->headers.len,
                           (const char *)call->headers.ptr);
        sent.request_len = len < 0                                  ? 0
                           : (uint32_t)len + 1 < CHANNEL_TEXT_BYTES ? (uint32_t)len + 1
                                                                    : CHANNEL_TEXT_BYTES;
    }
    call->slot = slot;
    worker->out[slot] = call;
    worker->out_count++;
    worker->workers->stats.calls_out++;
    channel_submit(channel, slot, &sent);
    worker->ring = true;
}

static void place(struct worker *worker, struct worker_call *call)
{
    uint32_t slot =
        worker->queue.first ? UINT32_MAX : channel_take_slot(link_channel(worker->link));
    if (slot != UINT32_MAX) {
        submit(worker, call, slot);
    } else {
        list_push(&worker->queue, call);
        worker->workers->stats.calls_waiting++;
    }
}

static void take_reports(struct worker *worker)
{
    struct workers *workers = worker->workers;
    struct channel_report report;
    int rc;
    while ((rc = channel_next_report(link_channel(worker->link), &report)) == 1) {
        for (struct loaded *loaded = worker->loaded; loaded; loaded = loaded->next) {
            if (loaded->handle == report.function && workers->report) {
                workers->report(workers->report_self, loaded->version, &report);
                break;
            }
        }
    }
    if (rc < 0) {
        died(worker, "a report that is none");
    }
}

static void take_completions(struct worker *worker)
{
    struct workers *workers = worker->workers;
    struct channel *channel = link_channel(worker->link);
    struct channel_result result;
    struct channel_views views;
    uint32_t slot;
    int rc;
    while ((rc = channel_next_completion(channel, &slot, &result, &views)) == 1) {
        struct worker_call *call = worker->out[slot];
        WM_ASSERT(call); /* the channel knows which slots are out */
        worker->out[slot] = NULL;
        worker->out_count--;
        workers->stats.calls_out--;
        call->worker = NULL;
        call->done(call, &result, &views);
        struct worker_call *next = list_pop(&worker->queue);
        if (next) {
            channel_free_slot(channel, slot);
            workers->stats.calls_waiting--;
            submit(worker, next, channel_take_slot(channel));
        } else {
            channel_free_slot(channel, slot);
        }
    }
    if (rc < 0) {
        died(worker, "a result that is none");
    }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct worker *worker = poll->data;
    (void)events;
    if (status == 0 && !worker->closing) {
        link_event_clear(worker->link);
        worker->used_ns = host_monotonic_ns();
        take_reports(worker);
        if (!worker->closing) {
            take_completions(worker);
        }
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct workers *workers = prepare->data;
    for (struct worker *worker = workers->list; worker; worker = worker->next) {
        if (worker->ring) {
            worker->ring = false;
            channel_ring(link_channel(worker->link));
        }
    }
}

/* --- Loading --- */

static struct loaded *loaded_by_handle(struct worker *worker, uint32_t handle)
{
    struct loaded *loaded = worker->loaded;
    while (loaded && loaded->handle != handle) {
        loaded = loaded->next;
    }
    return loaded;
}

static void fail_loaded(struct loaded *loaded, const char *text)
{
    loaded->state = LOADED_FAILED;
    end_list(loaded->worker->workers, &loaded->waiting, CALL_END_REFUSED, text);
}

static int add_strings(struct control_strings *out, char *const *from)
{
    for (; from && *from; from++) {
        if (out->count == CONTROL_STRINGS_MAX) {
            return WM_E_LIMIT;
        }
        out->items[out->count++] = wm_view_str(*from);
    }
    return 0;
}

/* The message that makes `version` a function of a worker, with its strings; sends it. */
static int send_function(struct worker *worker, enum control_kind kind, uint32_t handle,
                         const struct function_version *version, const int fds[2],
                         struct wm_diag *diag)
{
    struct control_message *message = wm_alloc_zero(1, sizeof *message);
    char **secrets = NULL;
    if (!message) {
        return wm_diag_set(diag, -ENOMEM, "%s: %s", version->name, wm_error_text(-ENOMEM));
    }
    message->kind = (uint16_t)kind;
    message->handle = handle;
    message->function_kind = version->kind;
    message->function_version = version->version;
    message->limits = version->limits;
    message->tenant = wm_view_str(version->tenant);
    message->name = wm_view_str(version->name);
    int rc = add_strings(&message->args, version->args);
    rc = rc ? rc : add_strings(&message->env, version->env);
    if (rc == 0 && kind == CONTROL_LOAD) {
        rc = catalogue_secrets(worker->workers->node->catalogue, version->tenant, version->name,
                               &secrets, diag);
        rc = rc ? rc : add_strings(&message->secrets, secrets);
    }
    if (rc == 0) {
        rc = link_send(worker->link, message, fds, 2);
    }
    if (secrets) {
        catalogue_secrets_free(secrets);
    }
    wm_free(message);
    return rc == 0 ? 0 : wm_diag_default(diag, rc, version->name);
}

static void open_files(uv_work_t *work)
{
    struct loaded *loaded = work->data;
    const struct function_version *version = loaded->version;
    const struct node *node = loaded->workers->node;
    loaded->fds[0] = loaded->fds[1] = -1;
    loaded->code = objects_open(node, version->module_sha256, version->fuel, false, &loaded->fds[0],
                                &loaded->diag);
    if (loaded->code == 0) {
        loaded->code = objects_open_image(node, version, &loaded->fds[1], &loaded->diag);
    }
}

/* After workers_close, with the last of its timer and of the files being opened. */
static void free_when_over(struct workers *workers)
{
    if (workers->closed && workers->opening == 0) {
        while (workers->classes) {
            struct class *class = workers->classes;
            workers->classes = class->next;
            wm_free(class);
        }
        wm_free(workers);
    }
}

static void close_files(int fds[2])
{
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
        fds[i] = -1;
    }
}

static void files_open(uv_work_t *work, int status)
{
    struct loaded *loaded = work->data;
    struct worker *worker = loaded->worker;
    struct workers *workers = loaded->workers;
    (void)status;
    workers->opening--;
    if (!worker) {
        close_files(loaded->fds);
        free_loaded(loaded);
        free_when_over(workers);
        return;
    }
    if (loaded->code == 0) {
        loaded->code = send_function(worker, CONTROL_LOAD, loaded->handle, loaded->version,
                                     loaded->fds, &loaded->diag);
        loaded->env_revision = loaded->version->env_revision;
    }
    close_files(loaded->fds);
    if (loaded->code == 0) {
        loaded->state = LOADED_SENT;
        worker->workers->stats.loads++;
    } else {
        fail_loaded(loaded, wm_diag_text(&loaded->diag));
    }
}

static void begin_load(struct loaded *loaded)
{
    struct workers *workers = loaded->worker->workers;
    loaded->state = LOADED_OPENING;
    loaded->diag = (struct wm_diag)WM_DIAG_INIT;
    loaded->work.data = loaded;
    if (uv_queue_work(workers->node->loop, &loaded->work, open_files, files_open) == 0) {
        workers->opening++;
    } else {
        fail_loaded(loaded, "out of memory");
    }
}

static struct loaded *get_loaded(struct worker *worker, struct function_version *version)
{
    struct loaded *loaded = version->worker_data;
    if (loaded && loaded->worker == worker) {
        /* What failed may have been the machine's fault; environment and secrets may have changed.
         */
        if (loaded->state == LOADED_FAILED ||
            (loaded->state == LOADED_READY && loaded->env_revision != version->env_revision)) {
            loaded->state = LOADED_NEW;
        }
        return loaded;
    }
    loaded = wm_alloc_zero(1, sizeof *loaded);
    if (!loaded) {
        return NULL;
    }
    loaded->workers = worker->workers;
    loaded->worker = worker;
    loaded->version = version;
    version->refs++;
    loaded->handle = worker->next_handle++;
    list_init(&loaded->waiting);
    loaded->next = worker->loaded;
    worker->loaded = loaded;
    version->worker_data = loaded;
    return loaded;
}

static void take_done(struct worker *worker, const struct control_message *message)
{
    char text[WM_DIAG_TEXT_BYTES];
    wm_diag_quote(text, sizeof text, message->text.ptr, message->text.len);
    for (struct snapshot **at = &worker->snapshots; *at; at = &(*at)->next) {
        struct snapshot *snapshot = *at;
        if (snapshot->handle == message->handle) {
            *at = snapshot->next;
            int code = message->code < 0 ? message->code : 0;
            end_snapshot(snapshot, code, text);
            return;
        }
    }
    struct loaded *loaded = loaded_by_handle(worker, message->handle);
    if (!loaded || loaded->state != LOADED_SENT) {
        return; /* of a function that was unloaded meanwhile */
    }
    if (message->code != 0) {
        fail_loaded(loaded, text);
        return;
    }
    loaded->state = LOADED_READY;
    struct worker_call *call;
    while ((call = list_pop(&loaded->waiting))) {
        worker->workers->stats.calls_waiting--;
        place(worker, call);
    }
}

static void send_snapshot(struct worker *worker, struct snapshot *snapshot)
{
    snapshot->sent = true;
    int rc = send_function(worker, CONTROL_SNAPSHOT, snapshot->handle, snapshot->version,
                           snapshot->fds, &snapshot->diag);
    if (rc != 0) {
        struct snapshot **at = &worker->snapshots;
        while (*at != snapshot) {
            at = &(*at)->next;
        }
        *at = snapshot->next;
        snapshot->code = rc;
        mailbox_done(&snapshot->call);
    }
}

static void became_ready(struct worker *worker)
{
    worker->ready = true;
    worker->workers->stats.starting--;
    for (struct loaded *loaded = worker->loaded; loaded; loaded = loaded->next) {
        if (loaded->state == LOADED_NEW) {
            begin_load(loaded);
        }
    }
    for (struct snapshot *snapshot = worker->snapshots, *next; snapshot; snapshot = next) {
        next = snapshot->next;
        send_snapshot(worker, snapshot);
    }
}

static void take_message(struct worker *worker, const struct control_message *message)
{
    enum control_kind kind = (enum control_kind)message->kind;
    struct loaded *loaded;
    if (kind == CONTROL_READY && !worker->ready) {
        became_ready(worker);
    } else if (kind == CONTROL_DONE) {
        take_done(worker, message);
    } else if (kind == CONTROL_LOG && (loaded = loaded_by_handle(worker, message->handle))) {
        logs_add(worker->workers->node->logs, loaded->version->tenant, loaded->version->name,
                 message->call_id, host_realtime_ns(), message->text);
    } else if (kind != CONTROL_LOG) {
        died(worker, "a message that workers do not send");
    }
}

static void on_control(uv_poll_t *poll, int status, int events)
{
    struct worker *worker = poll->data;
    struct wm_diag diag = WM_DIAG_INIT;
    const struct control_message *message;
    (void)events;
    (void)status;
    /* A bounded number at a time: a function that logs in a loop must not keep the loop busy. */
    for (int i = 0; i < 32 && !worker->closing; i++) {
        int rc = link_receive(worker->link, &message, &diag);
        if (rc == -EAGAIN) {
            return;
        }
        if (rc == 1) {
            take_message(worker, message);
        } else {
            died(worker, rc == 0 ? "the process ended" : wm_diag_text(&diag));
        }
    }
}

/* --- Processes --- */

static struct class *get_class(struct workers *workers, const char *name)
{
    struct class *class = workers->classes;
    while (class && strcmp(class->name, name) != 0) {
        class = class->next;
    }
    if (!class && (class = wm_alloc_zero(1, sizeof *class))) {
        snprintf(class->name, sizeof class->name, "%s", name);
        class->next = workers->classes;
        workers->classes = class;
    }
    return class;
}

static int spawned(void *self, int pid, struct wm_diag *diag)
{
    return sandbox_enter(self, pid, diag);
}

static int start_link(struct workers *workers, struct worker *worker, const struct tenant *tenant,
                      struct wm_diag *diag)
{
    const struct node *node = workers->node;
    char files[PATH_MAX];
    int rc = sandbox_take(workers->sandbox, worker->class->name, tenant, &worker->place, diag);
    if (rc != 0) {
        return rc;
    }
    snprintf(files, sizeof files, "%s/%s/%s", node->config->data, NODE_FILES, tenant->name);
    struct link_config config = {
        .executors = EXECUTORS_EACH,
        .ready = node->config->threads,
        .slots = SLOTS_EACH,
        .call_prefix = workers->next_prefix++ << 40,
        .files = access(files, R_OK | X_OK) == 0 ? files : NULL,
        .netns_fd = sandbox_netns(worker->place),
        .sockets = sandbox_connects(worker->place),
        .allow = tenant->allow,
        .spawned = spawned,
        .spawned_self = worker->place,
    };
    rc = link_open(&config, &worker->link, diag);
    if (rc == 0) {
        rc = service_start(workers->node, workers, workers->mailbox, tenant->name, worker->link,
                           &worker->service, diag);
    }
    return rc;
}

static struct worker *start_worker(struct workers *workers, struct class *class,
                                   const struct tenant *tenant, struct wm_diag *diag)
{
    struct worker *worker = wm_alloc_zero(1, sizeof *worker);
    if (!worker) {
        wm_diag_set(diag, -ENOMEM, "worker: %s", wm_error_text(-ENOMEM));
        return NULL;
    }
    worker->workers = workers;
    worker->class = class;
    list_init(&worker->queue);
    int rc = start_link(workers, worker, tenant, diag);
    if (rc == 0) {
        rc = uv_poll_init(workers->node->loop, &worker->control, link_control_fd(worker->link));
        if (rc == 0) {
            rc = uv_poll_init(workers->node->loop, &worker->event, link_event_fd(worker->link));
            WM_ASSERT(rc == 0); /* both are fresh descriptors of kinds that epoll takes */
        }
    }
    if (rc != 0) {
        wm_diag_default(diag, rc, "worker");
        service_stop(worker->service);
        link_close(worker->link);
        sandbox_put(workers->sandbox, worker->place);
        wm_free(worker);
        return NULL;
    }
    worker->control.data = worker->event.data = worker;
    worker->handles_open = 2;
    uv_poll_start(&worker->control, UV_READABLE, on_control);
    uv_poll_start(&worker->event, UV_READABLE, on_event);
    worker->started_ns = worker->used_ns = host_monotonic_ns();
    worker->next = workers->list;
    workers->list = worker;
    class->worker = worker;
    workers->stats.processes++;
    workers->stats.starting++;
    workers->stats.started++;
    return worker;
}

/* The worker for a tenant's calls; NULL with a code. */
static struct worker *worker_of(struct workers *workers, const char *tenant_name,
                                enum call_end *end, struct wm_diag *diag)
{
    const struct tenant *tenant = catalogue_tenant(workers->node->catalogue, tenant_name);
    *end = CALL_END_REFUSED;
    if (!tenant) {
        wm_diag_set(diag, WM_E_NOT_FOUND, "tenant %s: there is none", tenant_name);
        return NULL;
    }
    struct class *class = get_class(workers, tenant->name);
    if (!class) {
        wm_diag_set(diag, -ENOMEM, "worker: %s", wm_error_text(-ENOMEM));
        return NULL;
    }
    if (!class->worker && host_monotonic_ns() < class->again_ns) {
        *end = CALL_END_OVERLOADED;
        wm_diag_set(diag, WM_E_BUSY, "its worker processes keep ending; another is started soon");
        return NULL;
    }
    return class->worker ? class->worker : start_worker(workers, class, tenant, diag);
}

void workers_start_call(struct workers *workers, struct worker_call *call)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct loaded *loaded = call->version->worker_data;
    enum call_end end = CALL_END_REFUSED;
    /* The way of nearly all calls: it is loaded, and nothing of it has changed. */
    if (loaded && loaded->state == LOADED_READY &&
        loaded->env_revision == call->version->env_revision) {
        call->worker = loaded->worker;
        place(loaded->worker, call);
        return;
    }
    struct worker *worker = worker_of(workers, call->version->tenant, &end, &diag);
    loaded = worker ? get_loaded(worker, call->version) : NULL;
    if (!loaded) {
        end_call(call, end, wm_diag_text(&diag));
        return;
    }
    call->worker = worker;
    list_push(&loaded->waiting, call);
    workers->stats.calls_waiting++;
    if (worker->ready && loaded->state == LOADED_NEW) {
        begin_load(loaded);
    }
}

void workers_cancel(struct workers *workers, struct worker_call *call)
{
    (void)workers;
    struct control_message *message = call->worker ? wm_alloc_zero(1, sizeof *message) : NULL;
    if (message) {
        message->kind = CONTROL_CANCEL;
        message->call_id = call->id;
        (void)!link_send(call->worker->link, message, NULL, 0);
        wm_free(message);
    }
}

int workers_ensure(struct workers *workers, struct function_version *version, uint32_t *handle)
{
    struct wm_diag diag = WM_DIAG_INIT;
    enum call_end end;
    struct worker *worker = worker_of(workers, version->tenant, &end, &diag);
    struct loaded *loaded = worker ? get_loaded(worker, version) : NULL;
    if (!loaded) {
        return WM_E_BUSY;
    }
    if (worker->ready && loaded->state == LOADED_NEW) {
        begin_load(loaded);
    }
    *handle = loaded->handle;
    return 0;
}

void workers_forget_names(struct workers *workers, const char *tenant)
{
    for (struct worker *worker = workers->list; worker; worker = worker->next) {
        if (worker->ready && strcmp(worker->class->name, tenant) == 0) {
            struct control_message *message = wm_alloc_zero(1, sizeof *message);
            if (message) {
                message->kind = CONTROL_FORGET;
                (void)!link_send(worker->link, message, NULL, 0);
                wm_free(message);
            }
        }
    }
}

/* --- Proto-Faaslets --- */

static void begin_snapshot(void *self)
{
    struct snapshot *snapshot = self;
    enum call_end end;
    struct worker *worker =
        worker_of(snapshot->workers, snapshot->version->tenant, &end, &snapshot->diag);
    if (!worker) {
        snapshot->code = snapshot->diag.code;
        mailbox_done(&snapshot->call);
        return;
    }
    snapshot->handle = worker->next_handle++;
    snapshot->next = worker->snapshots;
    worker->snapshots = snapshot;
    if (worker->ready) {
        send_snapshot(worker, snapshot);
    }
}

/* Gives the nameless file its name, which is its content's. */
static int keep_image(struct node *node, int fd, struct function_version *version,
                      struct wm_diag *diag)
{
    char name[NODE_FILE_NAME_BYTES], from[64];
    uint8_t *bytes;
    size_t len;
    int rc = lseek(fd, 0, SEEK_SET) < 0 ? -errno
                                        : host_file_read_all(fd, UINT64_C(8) << 30, &bytes, &len);
    if (rc == 0) {
        wm_sha256_once(wm_view_of(bytes, len), version->image_sha256);
        version->image_bytes = len;
        wm_free(bytes);
        node_file_name(name, NODE_IMAGES, version->image_sha256);
        snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
        if (fdatasync(fd) != 0 ||
            (linkat(AT_FDCWD, from, node->dir_fd, name, AT_SYMLINK_FOLLOW) != 0 &&
             errno != EEXIST)) {
            rc = -errno;
        }
    }
    return rc == 0 ? 0
                   : wm_diag_set(diag, rc, "%s: keeping its Proto-Faaslet: %s", version->name,
                                 wm_error_text(rc));
}

int workers_snapshot(struct workers *workers, struct function_version *version,
                     struct wm_diag *diag)
{
    struct node *node = workers->node;
    struct snapshot snapshot = {.workers = workers, .version = version, .fds = {-1, -1}};
    int rc =
        objects_open(node, version->module_sha256, version->fuel, false, &snapshot.fds[0], diag);
    if (rc == 0) {
        snapshot.fds[1] = openat(node->dir_fd, NODE_IMAGES, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (snapshot.fds[1] < 0) {
            rc = wm_diag_set(diag, -errno, "%s: a file for its Proto-Faaslet: %s", version->name,
                             wm_error_text(-errno));
        }
    }
    if (rc == 0 && !mailbox_call(workers->mailbox, &snapshot.call, begin_snapshot, &snapshot)) {
        rc = wm_diag_set(diag, WM_E_BUSY, "%s: the node is stopping", version->name);
    } else if (rc == 0 && snapshot.code != 0) {
        rc = wm_diag_set(diag, snapshot.code, "%s", wm_diag_text(&snapshot.diag));
    }
    rc = rc ? rc : keep_image(node, snapshot.fds[1], version, diag);
    close_files(snapshot.fds);
    return rc;
}

/* --- The whole --- */

static void unload(struct worker *worker, struct loaded **at)
{
    struct loaded *loaded = *at;
    struct control_message *message = wm_alloc_zero(1, sizeof *message);
    if (message) {
        message->kind = CONTROL_UNLOAD;
        message->handle = loaded->handle;
        (void)!link_send(worker->link, message, NULL, 0);
        wm_free(message);
        *at = loaded->next;
        free_loaded(loaded);
    }
}

static void on_sweep(uv_timer_t *timer)
{
    struct workers *workers = timer->data;
    int64_t now_ns = host_monotonic_ns();
    for (struct worker *worker = workers->list, *next; worker; worker = next) {
        next = worker->next;
        /* Versions that nobody but the worker has were removed from the catalogue. */
        for (struct loaded **at = &worker->loaded; *at;) {
            struct loaded *loaded = *at;
            bool unused = loaded->version->refs == 1 && !loaded->waiting.first &&
                          (loaded->state == LOADED_READY || loaded->state == LOADED_FAILED);
            if (unused && worker->ready) {
                unload(worker, at);
            }
            if (*at == loaded) {
                at = &loaded->next;
            }
        }
        if (worker->ready && worker->out_count == 0 && !worker->queue.first && !worker->snapshots &&
            now_ns - worker->used_ns > IDLE_NS) {
            bury(worker, "its worker was idle");
        }
    }
}

int workers_open(struct node *node, struct workers **out, struct wm_diag *diag)
{
    struct workers *workers = wm_alloc_zero(1, sizeof *workers);
    if (!workers) {
        return wm_diag_set(diag, -ENOMEM, "workers: %s", wm_error_text(-ENOMEM));
    }
    workers->node = node;
    /* Ids of chained calls: 23 bits of the process, 40 of a counter, and never one twice, whatever
     * happened before a restart. */
    uint32_t random;
    wm_random_bytes((uint8_t *)&random, sizeof random);
    workers->next_prefix = random >> 10;
    int rc = mailbox_open(node->loop, &workers->mailbox);
    if (rc != 0) {
        wm_free(workers);
        return wm_diag_set(diag, rc, "workers: %s", wm_error_text(rc));
    }
    rc = sandbox_open(node->config, &workers->sandbox, diag);
    if (rc != 0) {
        mailbox_close(workers->mailbox);
        wm_free(workers);
        return rc;
    }
    uv_prepare_init(node->loop, &workers->prepare);
    uv_timer_init(node->loop, &workers->timer);
    workers->prepare.data = workers->timer.data = workers;
    uv_prepare_start(&workers->prepare, on_prepare);
    uv_timer_start(&workers->timer, on_sweep, SWEEP_MS, SWEEP_MS);
    uv_unref((uv_handle_t *)&workers->prepare);
    uv_unref((uv_handle_t *)&workers->timer);
    *out = workers;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct workers *workers = handle->data;
    workers->closed = true;
    free_when_over(workers);
}

void workers_close(struct workers *workers)
{
    if (!workers) {
        return;
    }
    while (workers->list) {
        bury(workers->list, "the node is stopping");
    }
    mailbox_close(workers->mailbox); /* nobody waits for the loop any more */
    service_wait_all();
    sandbox_close(workers->sandbox);
    uv_close((uv_handle_t *)&workers->prepare, NULL);
    uv_close((uv_handle_t *)&workers->timer, on_timer_closed);
}

void workers_on_report(struct workers *workers,
                       void (*report)(void *self, struct function_version *version,
                                      const struct channel_report *report),
                       void *self)
{
    workers->report = report;
    workers->report_self = self;
}

void workers_stats(const struct workers *workers, struct workers_stats *out)
{
    *out = workers->stats;
}

struct sandbox *workers_sandbox(struct workers *workers)
{
    return workers->sandbox;
}

struct mailbox *workers_mailbox(struct workers *workers)
{
    return workers->mailbox;
}
