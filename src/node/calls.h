/* calls.h: calls of functions, from admission to the result: the node's heart.
 *
 * Whoever has a call to make (HTTP, a route, cron, a peer, a Faaslet that chains) gives it here. It
 * is admitted or refused at once (quota, back-pressure, drain), placed by the scheduler (here, or
 * on another node), run by a worker, recorded, and its result given to `done`.
 *
 * Threads: everything runs on the node's loop thread, `done` too. Results are borrowed for the
 * length of `done`. */
#ifndef WM_NODE_CALLS_H
#define WM_NODE_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "faaslet/call.h"

struct node;
struct node_calls;

struct call_http { /* of a call that came by a route; all borrowed until done */
    const char *method, *path, *query;
    struct wm_view headers; /* "name: value\n"..., names in lower case */
};

struct call_result {
    enum call_end end;
    int32_t return_code;      /* of OK and FAILED */
    struct wm_view output;    /* of OK and FAILED */
    uint32_t status;          /* given to response_status; 0: not given */
    struct wm_view headers;   /* given to response_header: "Name: value\n"... */
    const char *message;      /* a sentence for the other ends; "" else */
    struct wm_view backtrace; /* of TRAP */
    uint32_t retry_after_ms;  /* of OVERLOADED */
    struct call_usage usage;
    uint64_t record_second; /* which second's root its record is under; see records.h */
    uint32_t record_index;
    char node[64]; /* which node ran it */
    bool cold;     /* a slot was bound anew for it */
};

typedef void call_done_fn(void *self, uint64_t id, const struct call_result *result);

struct call_request {
    const char *tenant;
    const char *function;         /* "NAME", "NAME:ALIAS", "NAME@VERSION" */
    struct wm_view input;         /* borrowed until done */
    const struct call_http *http; /* NULL: not by a route */
    uint32_t timeout_ms;          /* 0: the function's own; never more than that */
    uint32_t depth;               /* 0: not chained */
    uint32_t hops;                /* nodes that handed it on */
    uint32_t from_peer;           /* the last of them (peers.h); of no meaning with hops 0 */
    uint32_t func_idx;            /* chain_this: table index; UINT32_MAX: the function's entry */
    bool chained;
    bool away; /* goes to to_peer (peers.h) first, whatever the scheduler would say */
    uint32_t to_peer;
    call_done_fn *done;
    void *self;
};

/* Sets node->calls; workers are started as they are needed. */
WM_MUST_CHECK int node_calls_open(struct node *node, struct wm_diag *diag);
/* After a drain, or when there is no time for one: running calls end as CANCELLED first. */
void node_calls_close(struct node *node);
/* From now on calls are refused (CALL_END_REFUSED); `drained` is called once none runs or waits,
 * perhaps before this returns. */
void node_calls_drain(struct node *node, void (*drained)(void *self), void *self);

/* Gives the call an id (unique over all nodes and restarts) and starts it. `done` is called exactly
 * once, perhaps before this returns (refusals). */
uint64_t node_calls_start(struct node *node, const struct call_request *request);
/* Of a call that a worker chained while `waiting` of its calls wait or run: starts it on another
 * node that has less to do, and gives its id; 0: there is none, and nothing was started. */
uint64_t node_calls_start_away(struct node *node, const struct call_request *request,
                               uint32_t waiting);
/* The caller is no longer interested: the call is ended as soon as possible; done is still called.
 */
void node_calls_cancel(struct node *node, uint64_t id);

struct node_calls_stats {
    uint64_t started, ended[CALL_ENDS], cold, handed_on, retried, chained;
    uint32_t running, queued;
};
void node_calls_stats(struct node *node, struct node_calls_stats *out);

#endif
