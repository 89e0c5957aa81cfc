/* link.c: starting a worker and talking with it. */
#include "faaslet/link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "faaslet/executor.h"
#include "host/file.h"

#define DEFAULT_EXECUTORS 16u
#define DEFAULT_SLOTS 64u

struct kept {
    struct kept *next;
    uint32_t len, fd_count;
    int fds[LINK_FDS_MAX];
    uint8_t packet[];
};

struct link {
    struct host_process process;
    struct channel *channel;
    int channel_fd, event_fd, control;
    uint32_t streams;
    int sockets[EXECUTORS_MAX + 1]; /* ours */
    uint8_t packet[CONTROL_BYTES_MAX];
    struct control_message message;
    int fds[CONTROL_FDS_MAX];
    struct kept *kept, **kept_last;
    uint32_t kept_count;
    int64_t kept_since_ns;
};

static bool runnable(const char *path)
{
    return access(path, X_OK) == 0;
}

int link_program(char *out, size_t out_bytes, struct wm_diag *diag)
{
    const char *chosen = getenv("WARDMOTE_WORKER");
    char folder[PATH_MAX];
    if (chosen) {
        snprintf(out, out_bytes, "%s", chosen);
        return 0;
    }
    ssize_t len = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[len > 0 ? len : 0] = 0;
    char *slash = strrchr(folder, '/');
    if (slash) {
        *slash = 0;
        snprintf(out, out_bytes, "%.*s/wardmote-worker", (int)out_bytes - 20, folder);
        if (runnable(out)) {
            return 0;
        }
    }
    snprintf(out, out_bytes, "%s/wardmote-worker", FAASLET_LIBEXEC_DIR);
    return runnable(out) ? 0
                         : wm_diag_set(diag, WM_E_MISSING,
                                       "wardmote-worker: neither beside this program nor in %s: "
                                       "install Wardmote as a whole",
                                       FAASLET_LIBEXEC_DIR);
}

static int spawn(struct link *link, const char *program, int control, struct wm_diag *diag)
{
    char *argv[] = {(char *)"wardmote-worker", NULL}, *envp[] = {NULL};
    struct host_spawn spawn = {
        .path = program, .argv = argv, .envp = envp, .fd_count = 3, .fds = {control, 2, 2}};
    int rc = host_process_spawn(&spawn, &link->process);
    return rc == 0 ? 0
                   : wm_diag_set(diag, rc, "worker: %s cannot be started: %s", program,
                                 wm_error_text(rc));
}

static uint32_t executors_of(const struct link_config *config)
{
    uint32_t executors = config->executors ? config->executors : DEFAULT_EXECUTORS;
    return executors < EXECUTORS_MAX ? executors : EXECUTORS_MAX;
}

static int greet(struct link *link, const struct link_config *config, const int *sockets,
                 struct wm_diag *diag)
{
    int fds[CONTROL_FDS_MAX] = {link->channel_fd, link->event_fd};
    uint32_t fd_count = 2;
    struct control_message *hello = wm_alloc_zero(1, sizeof *hello);
    if (!hello) {
        return wm_diag_set(diag, -ENOMEM, "worker: %s", wm_error_text(-ENOMEM));
    }
    hello->kind = CONTROL_HELLO;
    hello->version = CONTROL_VERSION;
    hello->executors = executors_of(config);
    hello->slots = config->slots ? config->slots : DEFAULT_SLOTS;
    hello->call_prefix = config->call_prefix;
    hello->text = wm_view_str(config->files ? config->files : "");
    hello->ready = config->ready;
    for (char *const *allow = config->allow;
         allow && *allow && hello->args.count < CONTROL_STRINGS_MAX; allow++) {
        hello->args.items[hello->args.count++] = wm_view_str(*allow);
    }
    hello->flags = (config->sockets ? CONTROL_FLAG_SOCKETS : 0u) |
                   (config->open ? 0u : CONTROL_FLAG_CONFINE) |
                   (config->share ? CONTROL_FLAG_SHARE : 0u);
    if (config->netns_fd > 0) {
        hello->flags |= CONTROL_FLAG_NETNS;
        fds[fd_count++] = config->netns_fd;
    }
    memcpy(fds + fd_count, sockets, link->streams * sizeof *fds);
    int rc = control_send(link->control, hello, fds, link->streams + fd_count, false);
    wm_free(hello);
    return rc == 0 ? 0 : wm_diag_set(diag, rc, "worker: greeting: %s", wm_error_text(rc));
}

static void close_all(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

int link_open(const struct link_config *config, struct link **out, struct wm_diag *diag)
{
    char program[PATH_MAX];
    int pair[2] = {-1, -1}, theirs[EXECUTORS_MAX + 1];
    uint32_t executors = executors_of(config);
    struct link *link = wm_alloc_zero(1, sizeof *link);
    if (!link) {
        return wm_diag_set(diag, -ENOMEM, "worker: %s", wm_error_text(-ENOMEM));
    }
    link->kept_last = &link->kept;
    link->process.pidfd = link->channel_fd = link->event_fd = link->control = -1;
    int rc = config->program ? 0 : link_program(program, sizeof program, diag);
    rc = rc ? rc : channel_create(&link->channel, &link->channel_fd, diag);
    if (rc == 0 && ((link->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
                    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)) {
        rc = wm_diag_set(diag, -errno, "worker: sockets: %s", wm_error_text(-errno));
    }
    link->control = pair[0];
    /* One for each, and one for what renews locks. */
    while (rc == 0 && !config->alone && link->streams < executors + 1) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
            rc = wm_diag_set(diag, -errno, "worker: sockets: %s", wm_error_text(-errno));
            break;
        }
        link->sockets[link->streams] = ends[0];
        theirs[link->streams++] = ends[1];
    }
    rc = rc ? rc : spawn(link, config->program ? config->program : program, pair[1], diag);
    if (rc == 0 && config->spawned) {
        rc = config->spawned(config->spawned_self, link->process.pid, diag);
    }
    rc = rc ? rc : greet(link, config, theirs, diag);
    close_all(theirs, link->streams);
    close_all(&pair[1], 1);
    if (rc != 0) {
        link_close(link);
        return rc;
    }
    *out = link;
    return 0;
}

static void drop_first(struct link *link)
{
    struct kept *kept = link->kept;
    link->kept = kept->next;
    if (!link->kept) {
        link->kept_last = &link->kept;
    }
    link->kept_count--;
    close_all(kept->fds, kept->fd_count);
    explicit_bzero(kept->packet, kept->len); /* secrets are among what is sent */
    wm_free(kept);
}

void link_close(struct link *link)
{
    if (!link) {
        return;
    }
    while (link->kept) {
        drop_first(link);
    }
    if (link->process.pidfd >= 0) {
        struct host_process_end end;
        host_process_kill(&link->process);
        (void)!host_process_reap(&link->process, &end);
    }
    channel_close(link->channel);
    close_all(&link->channel_fd, 1);
    close_all(&link->event_fd, 1);
    close_all(&link->control, 1);
    close_all(link->sockets, link->streams);
    wm_free(link);
}

const struct host_process *link_process(const struct link *link)
{
    return &link->process;
}

struct channel *link_channel(struct link *link)
{
    return link->channel;
}

int link_socket(struct link *link, uint32_t stream)
{
    int fd = stream < link->streams ? link->sockets[stream] : -1;
    if (fd >= 0) {
        link->sockets[stream] = -1;
    }
    return fd;
}

int link_control_fd(const struct link *link)
{
    return link->control;
}

int link_event_fd(const struct link *link)
{
    return link->event_fd;
}

void link_event_clear(struct link *link)
{
    uint64_t count;
    struct iovec part = {&count, sizeof count};
    /* The flag of the descriptor that says not to wait is the worker's too, who may take it away
     * and the count with it. */
    (void)!preadv2(link->event_fd, &part, 1, -1, RWF_NOWAIT);
}

static int keep(struct link *link, struct wm_view packet, const int *fds, uint32_t fd_count)
{
    if (link->kept_count == LINK_KEPT_MAX) {
        return -ENOBUFS;
    }
    struct kept *kept = wm_alloc(sizeof *kept + packet.len);
    if (!kept) {
        return -ENOMEM;
    }
    *kept = (struct kept){.len = (uint32_t)packet.len};
    memcpy(kept->packet, packet.ptr, packet.len);
    while (kept->fd_count < fd_count) {
        int copy = fcntl(fds[kept->fd_count], F_DUPFD_CLOEXEC, 3);
        if (copy < 0) {
            int rc = -errno;
            close_all(kept->fds, kept->fd_count);
            wm_free(kept);
            return rc;
        }
        kept->fds[kept->fd_count++] = copy;
    }
    if (!link->kept) {
        link->kept_since_ns = host_monotonic_ns();
    }
    *link->kept_last = kept;
    link->kept_last = &kept->next;
    link->kept_count++;
    return 0;
}

int link_send(struct link *link, const struct control_message *message, const int *fds,
              uint32_t fd_count)
{
    WM_ASSERT(fd_count <= LINK_FDS_MAX);
    uint8_t packet[CONTROL_BYTES_MAX];
    int64_t len = control_encode(message, packet);
    if (len < 0) {
        return (int)len;
    }
    struct wm_view view = wm_view_of(packet, (size_t)len);
    link_flush(link);
    int rc = link->kept ? -EAGAIN : control_send_packet(link->control, view, fds, fd_count, false);
    rc = rc == -EAGAIN ? keep(link, view, fds, fd_count) : rc;
    explicit_bzero(packet, (size_t)len);
    return rc;
}

void link_flush(struct link *link)
{
    while (link->kept) {
        const struct kept *kept = link->kept;
        int rc = control_send_packet(link->control, wm_view_of(kept->packet, kept->len), kept->fds,
                                     kept->fd_count, false);
        if (rc == -EAGAIN) {
            return;
        }
        drop_first(link); /* another error: it has ended, which is noticed by reading */
        link->kept_since_ns = host_monotonic_ns();
    }
}

int64_t link_kept_since(const struct link *link)
{
    return link->kept ? link->kept_since_ns : 0;
}

int link_receive(struct link *link, const struct control_message **out, struct wm_diag *diag)
{
    struct pollfd readable = {.fd = link->control, .events = POLLIN};
    uint32_t fd_count;
    if (poll(&readable, 1, 0) != 1) {
        return -EAGAIN;
    }
    int rc =
        control_receive(link->control, link->packet, &link->message, link->fds, &fd_count, diag);
    if (rc == 1) {
        close_all(link->fds, fd_count); /* workers have none to give */
        *out = &link->message;
    }
    return rc;
}

int link_wait(struct link *link, enum control_kind kind, int timeout_ms, struct wm_diag *diag)
{
    int64_t until_ns = host_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        const struct control_message *message;
        link_flush(link);
        int rc = link_receive(link, &message, diag);
        if (rc == 1 && message->kind == kind) {
            char text[WM_DIAG_TEXT_BYTES];
            wm_diag_quote(text, sizeof text, message->text.ptr, message->text.len);
            return message->code == 0 ? 0 : wm_diag_set(diag, message->code, "%s", text);
        }
        int64_t left_ms = (until_ns - host_monotonic_ns()) / 1000000;
        if (rc == 0 || (rc < 0 && rc != -EAGAIN)) {
            return wm_diag_set(diag, WM_E_COMPILER, "worker: it ended before it answered");
        }
        if (left_ms <= 0) {
            return wm_diag_set(diag, -ETIMEDOUT, "worker: no answer in %d ms", timeout_ms);
        }
        if (rc == -EAGAIN) {
            struct pollfd either = {.fd = link->control,
                                    .events = link->kept ? POLLIN | POLLOUT : POLLIN};
            (void)poll(&either, 1, (int)left_ms);
        }
    }
}
