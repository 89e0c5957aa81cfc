/* workers.h: the node's worker processes, one for each trust class, and the functions in them.
 *
 * A tenant is a class of its own unless it was given the name of one that it shares. What a worker
 * asks of its node speaks for the tenant of the call (service.h); files, network and the quota of a
 * process are no call's own, so a class that several share has neither files nor sockets, and the
 * quota of a tenant for whom nothing was set. A tenant's functions that are loaded stay where they
 * are when its class is changed.
 *
 * A worker is started by the first call of its class, put into the class's control group and
 * network namespace, and ends when nothing was called for a while. A function is loaded into it by
 * its first call: its object comes out of the cache, its Proto-Faaslet out of images/, both
 * authenticated. A worker that dies takes its calls with it (CALL_END_WORKER_DIED) and nothing
 * else; the next call starts another one, after a pause that doubles while workers of the class die
 * young.
 *
 * Trust: what a worker says is hostile (channel.h, control.h). A worker that breaks the form is
 * killed.
 *
 * Threads: the loop's, except where said. */
#ifndef WM_NODE_WORKERS_H
#define WM_NODE_WORKERS_H

#include "faaslet/channel.h"
#include "node/catalogue.h"
#include "node/node.h"

struct workers;
struct worker;

/* One call on its way; the caller's memory until `done`. */
struct worker_call {
    uint64_t id;
    struct function_version *version; /* borrowed until done */
    struct wm_view input;
    const char *method, *path, *query; /* method NULL: not by a route */
    struct wm_view headers;
    uint32_t func_idx; /* UINT32_MAX: the entry */
    uint32_t timeout_ms, depth;
    /* The result, with views into the worker's windows, good during the call; where this returns
     * true, and the call has a worker, until workers_release. The message never lasts longer. */
    bool (*done)(struct worker_call *call, const struct channel_result *result,
                 const struct channel_views *views);
    /* The views that were kept end now: without workers_release. */
    void (*hurry)(struct worker_call *call);
    /* workers.c's. */
    struct worker_call *next;
    struct worker *worker;
    uint32_t slot;
};

WM_MUST_CHECK int workers_open(struct node *node, struct workers **out, struct wm_diag *diag);
/* Kills all workers: their calls end as WORKER_DIED. */
void workers_close(struct workers *workers);

/* `done` is called once: later, or before this returns where no worker can be had. */
void workers_start_call(struct workers *workers, struct worker_call *call);
void workers_release(struct worker *worker, uint32_t slot); /* of a call whose views were kept */
/* Ends it soon, where it runs already; `done` is called as always. */
void workers_cancel(struct workers *workers, struct worker_call *call);
/* The version is in its class's worker, or on its way there: its handle. */
WM_MUST_CHECK int workers_ensure(struct workers *workers, struct function_version *version,
                                 uint32_t *handle);
/* Any thread but the loop's; blocks: runs init and writes the image (node_hooks.snapshot). */
WM_MUST_CHECK int workers_snapshot(struct workers *workers, struct function_version *version,
                                   struct wm_diag *diag);
/* Names that calls of this tenant chain to mean something else from now on. */
void workers_forget_names(struct workers *workers, const char *tenant);

/* A tenant's quota is another one now. */
void workers_tenant_changed(struct workers *workers, const char *tenant);

/* A chained call that ended inside a worker; set once. */
void workers_on_report(struct workers *workers,
                       void (*report)(void *self, struct function_version *version,
                                      const struct channel_report *report),
                       void *self);

struct sandbox *workers_sandbox(struct workers *workers);
struct mailbox *workers_mailbox(struct workers *workers);

struct workers_stats {
    uint32_t processes, starting;
    uint64_t started, died, loads;
    uint32_t calls_out, calls_waiting;
};
void workers_stats(const struct workers *workers, struct workers_stats *out);

#endif
