/* worker.c: a worker's main thread: messages from the node. */
#include "faaslet/worker.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "faaslet/control.h"
#include "faaslet/executor.h"

struct worker {
    int control;
    struct channel *channel;
    struct executors *executors;
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
    struct pollfd writable = {.fd = worker->control, .events = POLLOUT};
    struct control_message *message = wm_alloc_zero(1, sizeof *message);
    if (message && poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT)) {
        message->kind = CONTROL_LOG;
        message->handle = call->function->handle;
        message->call_id = call->id;
        message->text = line;
        (void)!control_send(worker->control, message, NULL, 0);
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
    int rc = control_send(worker->control, message, NULL, 0);
    wm_free(message);
    return rc;
}

static int greet(struct worker *worker, struct wm_diag *diag)
{
    const struct control_message *hello = &worker->message;
    if (worker->greeted || hello->version != CONTROL_VERSION || worker->fd_count < 2) {
        return wm_diag_set(diag, WM_E_MALFORMED, "worker: a greeting of another version");
    }
    int rc = channel_attach(worker->fds[0], worker->fds[1], &worker->channel, diag);
    if (rc != 0) {
        return rc;
    }
    char files[PATH_MAX];
    if (hello->text.len >= sizeof files) {
        return wm_diag_set(diag, WM_E_MALFORMED, "worker: the path of its files is too long");
    }
    memcpy(files, hello->text.ptr ? hello->text.ptr : (const uint8_t *)"", hello->text.len);
    files[hello->text.len] = 0;
    struct executors_config config = {
        .files = files[0] ? files : NULL,
        .channel = worker->channel,
        .executors = hello->executors,
        .slots = hello->slots,
        .call_prefix = hello->call_prefix,
        .reports = true,
        .sockets = worker->fds + 2,
        .log = send_log,
        .log_self = worker,
    };
    if (worker->fd_count - 2 < hello->executors) {
        config.sockets = NULL;
    }
    rc = executors_new(&config, &worker->executors, diag);
    rc = rc ? rc : faaslet_thread_init(&worker->thread, config.files, diag);
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
