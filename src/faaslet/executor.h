/* executor.h: the threads of a worker that run calls, and what they share.
 *
 * An executor has a pool of slots. It takes a call (from the channel, or from the worker's own
 * queue of chained ones), takes a slot that was last used by the same function where there is one,
 * runs the call, publishes the result, and then resets the slot: the reset is not on the caller's
 * path (Faasm section 5.2). While a call waits (for a chained one, for state), another executor is
 * started where there are calls to run, up to the most that the node allows.
 *
 * Limits on time are kept by a watchdog thread, which looks at what runs every few milliseconds and
 * costs short calls nothing. A call ends within 10 ms of its limit. */
#ifndef WM_FAASLET_EXECUTOR_H
#define WM_FAASLET_EXECUTOR_H

#include <pthread.h>

#include "faaslet/chain.h"
#include "faaslet/channel.h"
#include "faaslet/rpc.h"

#define EXECUTORS_MAX 60u
#define FUNCTIONS_MAX 65536u /* handles of one worker */
#define WATCHDOG_PERIOD_NS INT64_C(5000000)

struct executor;

/* How a worker asks its node; NULL functions: it has none to ask (tests, benches). */
struct executors_config {
    struct channel *channel; /* borrowed */
    uint32_t executors;      /* at most, up to EXECUTORS_MAX */
    uint32_t ready;          /* that run at once while none waits; 0: processors of this machine */
    uint32_t slots;          /* of each */
    uint64_t call_prefix;    /* upper bits of the ids given to chained calls */
    bool reports;            /* chained calls that ended are told to the node (channel_report) */
    bool share;              /* there are other nodes: chained calls may go to ours */
    const char *files;       /* folder of the host that all calls read as "/"; NULL: none */
    struct egress *egress;   /* where calls may connect to; borrowed; NULL: nowhere */
    struct worker_state *state; /* NULL: no state; needs sockets */
    const int *sockets;         /* one for each, to the node; taken over; NULL: none */
    void (*log)(void *self, const struct faaslet_call *call, struct wm_view line);
    void *log_self;
};

struct worker_state; /* worker_state.h */
struct executors;
WM_MUST_CHECK int executors_new(const struct executors_config *config, struct executors **out,
                                struct wm_diag *diag);
/* Starts the watchdog and the first executors; the rest when they are needed. */
WM_MUST_CHECK int executors_start(struct executors *executors, struct wm_diag *diag);
/* Ends running calls and all threads. */
void executors_free(struct executors *executors);

/* Takes over one reference. Replaces what had the handle before. */
WM_MUST_CHECK int executors_add_function(struct executors *executors, struct function *function);
void executors_remove_function(struct executors *executors, uint32_t handle);
/* The call is killed where it runs; one of the channel's that has not begun ends when its turn
 * comes. One thread. */
void executors_cancel(struct executors *executors, uint64_t call_id);
/* Names are looked up anew by the next chained call. */
void executors_forget_names(struct executors *executors);

struct executors_stats {
    uint64_t calls, chained, inlined, warm, cold;
    uint32_t threads, blocked, queued;
};
void executors_stats(struct executors *executors, struct executors_stats *out);

/* --- For host functions, on the executor's thread --- */

/* Starts a call of `name`, or (NULL) of the caller's own function at func_idx. 0 and *out, which
 * the call's list holds; WM_E_NOT_FOUND, WM_E_LIMIT, -ENOMEM, or what the node says. */
WM_MUST_CHECK int executor_chain(struct faaslet_call *call, const char *name, uint32_t func_idx,
                                 struct wm_view input, struct chained **out);
/* Waits, running it here where that is possible. 0; -ETIMEDOUT; -EINTR: the waiting call is to end.
 */
WM_MUST_CHECK int executor_await(struct faaslet_call *call, struct chained *chained,
                                 uint32_t timeout_ms, struct wasm_store *store);
/* A library of the call's tenant; the call holds a reference until its slot was reset. */
WM_MUST_CHECK int executor_library(struct faaslet_call *call, const char *name,
                                   const struct function **out);
/* The call that started it has ended: the node need not keep its result (REMOTE). */
void executor_forget(struct executor *executor, const struct chained *chained);
/* Around anything that may wait: another executor may be started meanwhile. */
void executor_block_begin(struct executor *executor);
void executor_block_end(struct executor *executor);
/* This executor's connection to the node; NULL: none. */
struct rpc_client *executor_rpc(struct executor *executor);

#endif
