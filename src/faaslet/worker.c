/* worker.c: a worker's main thread: messages from the node. */
#include "faaslet/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "faaslet/control.h"
#include "faaslet/egress.h"
#include "faaslet/executor.h"
#include "faaslet/worker_state.h"
#include "host/confine.h"

struct worker {
    int control;
    struct channel *channel;
    struct executors *executors;
    struct worker_state *state;
    struct egress egress;
    struct faaslet_thread thread; /* for Proto-Faaslets, which this thread makes */
    bool greeted;
    uint8_t packet[CONTROL_BYTES_MAX];
    struct control_message message;
    int fds[CONTROL_FDS_MAX];
    uint32_t fd_count;
};

/* From any executor's thread. A log is not worth waiting for: what does not fit is lost. */
static void send_log(void *self, const struct faaslet_call *call, struct wm_view line)
{
    struct worker *worker = self;
    struct control_message *message = wm_alloc_zero(1, sizeof *message);
    if (message) {
        message->kind = CONTROL_LOG;
        message->handle = call->function->handle;
        message->call_id = call->id;
        message->text = line;
        (void)!control_send(worker->control, message, NULL, 0, false);
    }
    wm_free(message);
}

static int answer(struct worker *worker, uint16_t kind, uint32_t handle, int code,
                  const struct wm_diag *diag)
{
    struct control_message *message = wm_alloc_zero(1, sizeof *message);
    if (!message) {
        return -ENOMEM;
    }
    message->kind = kind;
    message->handle = handle;
    message->code = code;
    if (code != 0) {
        message->text = wm_view_str(wm_diag_text(diag));
    }
    int rc = control_send(worker->control, message, NULL, 0, true);
    wm_free(message);
    return rc;
}

/* Ends what this process could do beyond running guests; everything it needs is open. */
static int confine(const struct control_message *hello, const char *files, struct wm_diag *diag)
{
    int dir = files ? open(files, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    struct host_worker_profile profile = {
        .read_dirs = &dir,
        .read_dir_count = dir >= 0,
        .sockets = hello->flags & CONTROL_FLAG_SOCKETS,
    };
    int rc = host_confine_worker(&profile, diag);
    if (dir >= 0) {
        close(dir);
    }
    return rc;
}

static int greet(struct worker *worker, struct wm_diag *diag)
{
    const struct control_message *hello = &worker->message;
    const uint32_t first =
        hello->flags & CONTROL_FLAG_NETNS ? 3 : 2; /* of the executors' sockets */
    char text[PATH_MAX], *files = NULL;
    if (worker->greeted || hello->version != CONTROL_VERSION || worker->fd_count < first ||
        (worker->fd_count > first && worker->fd_count - first < hello->executors + 1) ||
        hello->text.len >= sizeof text) {
        return wm_diag_set(diag, WM_E_MALFORMED, "worker: a greeting of another version");
    }
    if (hello->text.len != 0) {
        memcpy(text, hello->text.ptr, hello->text.len);
        text[hello->text.len] = 0;
        files = text;
    }
    if (first == 3) {
        int rc = setns(worker->fds[2], CLONE_NEWNET) == 0 ? 0 : -errno;
        if (rc != 0) {
            return wm_diag_set(diag, rc, "worker: entering its network namespace: %s",
                               wm_error_text(rc));
        }
        close(worker->fds[2]);
        worker->fds[2] = -1;
    }
    int rc = channel_attach(worker->fds[0], worker->fds[1], &worker->channel, diag);
    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < hello->args.count; i++) {
        (void)egress_add(&worker->egress, hello->args.items[i]); /* names: for outbound HTTP */
    }
    struct executors_config config = {
        .egress = hello->flags & CONTROL_FLAG_SOCKETS ? &worker->egress : NULL,
        .channel = worker->channel,
        .executors = hello->executors,
        .ready = hello->ready,
        .slots = hello->slots,
        .call_prefix = hello->call_prefix,
        .reports = true,
        .share = hello->flags & CONTROL_FLAG_SHARE,
        .files = files,
        .sockets = worker->fd_count > first ? worker->fds + first : NULL,
        .log = send_log,
        .log_self = worker,
    };
    if (config.sockets) {
        rc = worker_state_new(config.sockets[hello->executors], 0, &worker->state, diag);
        config.state = worker->state;
    }
    rc = rc ? rc : executors_new(&config, &worker->executors, diag);
    rc = rc ? rc : faaslet_thread_init(&worker->thread, files, diag);
    if (rc == 0 && (hello->flags & CONTROL_FLAG_CONFINE)) {
        rc = confine(hello, files, diag); /* before there are threads: it would not bind those */
    }
    if (rc == 0) {
        worker->thread.log = send_log;
        worker->thread.log_self = worker;
        rc = executors_start(worker->executors, diag);
    }
    worker->greeted = rc == 0;
    worker->fd_count = 0; /* kept */
    return rc ? rc : answer(worker, CONTROL_READY, 0, 0, diag);
}

static int load(struct worker *worker)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct function *function = NULL;
    const struct control_message *message = &worker->message;
    int rc = worker->fd_count == 2
                 ? function_new(message, worker->fds[0], worker->fds[1], &function, &diag)
                 : wm_diag_set(&diag, WM_E_MALFORMED, "worker: a load without its files");
    rc = rc ? rc : executors_add_function(worker->executors, function);
    return answer(worker, CONTROL_DONE, message->handle, rc, &diag);
}

static int snapshot(struct worker *worker)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct function *function = NULL;
    const struct control_message *message = &worker->message;
    int rc = worker->fd_count == 2
                 ? function_new(message, worker->fds[0], -1, &function, &diag)
                 : wm_diag_set(&diag, WM_E_MALFORMED, "worker: a snapshot without its files");
    rc = rc ? rc : faaslet_snapshot(function, &worker->thread, worker->fds[1], &diag);
    function_put(function);
    return answer(worker, CONTROL_DONE, message->handle, rc, &diag);
}

static int serve(struct worker *worker, struct wm_diag *diag)
{
    enum control_kind kind = (enum control_kind)worker->message.kind;
    if (!worker->greeted && kind != CONTROL_HELLO) {
        return wm_diag_set(diag, WM_E_MALFORMED, "worker: no greeting came first");
    }
    switch (kind) {
    case CONTROL_HELLO: return greet(worker, diag);
    case CONTROL_LOAD: return load(worker);
    case CONTROL_SNAPSHOT: return snapshot(worker);
    case CONTROL_UNLOAD:
        executors_remove_function(worker->executors, worker->message.handle);
        return 0;
    case CONTROL_FORGET: executors_forget_names(worker->executors); return 0;
    case CONTROL_CANCEL: executors_cancel(worker->executors, worker->message.call_id); return 0;
    case CONTROL_READY:
    case CONTROL_DONE:
    case CONTROL_LOG:
    case CONTROL_KINDS: break;
    }
    return wm_diag_set(diag, WM_E_MALFORMED, "worker: a message of kind %d", (int)kind);
}

int worker_main(int control, struct wm_diag *diag)
{
    struct worker *worker = wm_alloc_zero(1, sizeof *worker);
    if (!worker) {
        return wm_diag_set(diag, -ENOMEM, "worker: %s", wm_error_text(-ENOMEM));
    }
    worker->control = control;
    int rc;
    do {
        rc = control_receive(control, worker->packet, &worker->message, worker->fds,
                             &worker->fd_count, diag);
        if (rc == 1) {
            int error = serve(worker, diag);
            while (worker->fd_count > 0) {
                close(worker->fds[--worker->fd_count]);
            }
            rc = error ? error : 1;
        }
    } while (rc == 1);
    /* The process ends here: what still runs ends with it. */
    return rc;
}
