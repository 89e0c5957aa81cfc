/* link.h: the node's side of one worker: its process, its channel, its control socket.
 *
 * Knows nothing of tenants' rights or of schedules: starts the process, loads what it is told to,
 * passes calls in and results out. Nothing here waits but link_ready and link_wait; the descriptors
 * to wait for are link_fds'. Used by the node, by tests and by benches.
 *
 * Threads: one; the executors' sockets (link_socket) are for service threads. */
#ifndef WM_FAASLET_LINK_H
#define WM_FAASLET_LINK_H

#include "faaslet/channel.h"
#include "faaslet/control.h"
#include "host/process.h"

struct link_config {
    const char *program; /* path of wardmote-worker; NULL: link_program's */
    uint32_t executors;  /* at most EXECUTORS_MAX; 0: 16 */
    uint32_t ready;      /* that run at once while none waits; 0: the processors */
    uint32_t slots;      /* of each executor; 0: 64 */
    uint64_t call_prefix;
    const char *files;  /* folder that calls read as "/"; NULL: none */
    int netns_fd;       /* network namespace to enter; 0: stay here */
    bool sockets;       /* calls may connect, within the namespace, to: */
    char *const *allow; /* addresses (egress.h); NULL-terminated; NULL: none */
    bool open;          /* for tests under a sanitizer: the worker does not confine itself */
    bool share;         /* chained calls may be given to the node: others are there */
    bool alone;         /* nobody will serve the executors' sockets: they get none */
    /* Called when the process exists and has not done anything yet: puts it into its control group.
     * NULL allowed; not 0: link_open fails with it. */
    int (*spawned)(void *self, int pid, struct wm_diag *diag);
    void *spawned_self;
};

struct link;

/* Beside the running program, else in the libexec folder; WARDMOTE_WORKER overrides, for tests. */
WM_MUST_CHECK int link_program(char *out, size_t out_bytes, struct wm_diag *diag);

/* Starts it and sends HELLO. */
WM_MUST_CHECK int link_open(const struct link_config *config, struct link **out,
                            struct wm_diag *diag);
/* Ends the process (kill) and releases everything. */
void link_close(struct link *link);
const struct host_process *link_process(const struct link *link);
struct channel *link_channel(struct link *link);
/* The node's ends of the worker's streams, one for each executor and one for what renews locks;
 * each is taken over by who first asks for it; -1: there is none (any more). */
int link_socket(struct link *link, uint32_t stream);

/* Descriptors to be watched for reading: of control messages, and of completions. */
int link_control_fd(const struct link *link);
int link_event_fd(const struct link *link);
/* Clears the event; then channel_next_completion until it gives 0. */
void link_event_clear(struct link *link);

/* Sends LOAD, SNAPSHOT, UNLOAD, FORGET, CANCEL; the answer comes as a message. Never waits: what
 * the worker has no room for now is kept (the descriptors too), in order, for link_flush.
 * -ENOBUFS beyond LINK_KEPT_MAX messages. */
#define LINK_KEPT_MAX 4096u
#define LINK_FDS_MAX 2u /* of one message */
WM_MUST_CHECK int link_send(struct link *link, const struct control_message *message,
                            const int *fds, uint32_t fd_count);
/* Sends what was kept as far as there is room: when the control descriptor can be written to. */
void link_flush(struct link *link);
/* Since when (monotonic clock) messages are kept; 0: none is. A worker that does not read what it
 * is sent is of no more use. */
int64_t link_kept_since(const struct link *link);
/* The next control message: 1; 0: it has ended; -EAGAIN: none now; WM_E_MALFORMED. Borrowed until
 * the next. */
WM_MUST_CHECK int link_receive(struct link *link, const struct control_message **out,
                               struct wm_diag *diag);
/* Waits for a message of `kind` (READY, DONE), passing over others; its code and text in diag. */
WM_MUST_CHECK int link_wait(struct link *link, enum control_kind kind, int timeout_ms,
                            struct wm_diag *diag);

#endif
