/* executor_internal.h: the structures of executors, for executor.c, watchdog.c and names.c. */
#ifndef WM_FAASLET_EXECUTOR_INTERNAL_H
#define WM_FAASLET_EXECUTOR_INTERNAL_H

#include "faaslet/executor.h"
#include "faaslet/worker_state.h"

#define RUNNING_MAX (CALL_DEPTH_MAX + 1)

/* A call that runs on an executor's thread; the innermost last. */
struct running {
    uint64_t call_id;
    struct wasm_store *store;
    int64_t deadline_ns;
    int64_t cpu_limit_ns;
    int64_t
        cpu_at_ns; /* the thread's processor time when the watchdog first saw it; -1: it has not */
};

struct executor {
    struct executors *executors;
    uint32_t index;
    pthread_t id;
    struct wasm_pool *pool;
    struct faaslet_thread thread;
    struct faaslet *spare;
    struct rpc_client *rpc;
    struct state_way way; /* to the global tier; of no use without rpc */
    pthread_mutex_t lock; /* of what runs: the watchdog looks */
    uint32_t running_count;
    struct running running[RUNNING_MAX];
    struct faaslet_call channel_call; /* of the outermost call */
    char backtrace[8192];
    /* Billing: the thread's own clock at the last look, what short calls took since, and what calls
     * that were run inside others took in all. */
    int64_t cpu_ns, short_ns, inlined_ns;
    int64_t mean_ns; /* of a call's wall time, lately */
    /* The node is owed a wake-up for completions, of so many calls; the watchdog gives it where a
     * call takes longer than was thought. */
    _Atomic bool owes_wake;
    uint32_t owed_for;
    uint32_t last_function; /* that the channel asked for */
    uint64_t calls, chained, inlined;
};

struct name_entry;

struct executors {
    struct executors_config config;
    pthread_mutex_t lock; /* of functions, names, queue and threads */
    pthread_cond_t loaded;
    struct function **functions; /* by handle */
    uint32_t function_room;
    struct chained *queue_first, *queue_last;
    _Atomic uint32_t queued, blocked, thread_count, awaiting;
    _Atomic bool stopping;
    _Atomic uint64_t next_id;
    _Atomic int64_t realtime_offset_ns;
    uint32_t made;
    struct executor *items[EXECUTORS_MAX];
    struct name_entry *names;
    uint64_t names_forgotten; /* how often */
    pthread_t watchdog;
    bool watching;
    _Atomic uint32_t watchdog_asleep; /* a futex word */
    /* Calls that were cancelled and did not run then: they have not begun, or had ended, which
     * nobody can tell. As many as may be out; the newest replace the oldest. 0: none. */
    _Atomic uint64_t cancelled[CHANNEL_SLOTS];
    _Atomic uint32_t cancelled_count;
    uint32_t cancelled_next; /* of who cancels */
};

/* Whether the call was cancelled before it began; says so once. Any thread. */
bool executors_take_cancelled(struct executors *executors, uint64_t call_id);

/* A reference, or NULL. */
struct function *executors_function(struct executors *executors, uint32_t handle);
/* Wakes the node if this executor owes it that. Any thread. */
void executor_pay_wake(struct executor *executor);
/* names.c: which function of its tenant a call means; a reference. */
WM_MUST_CHECK int executors_find_name(struct executor *executor, const char *tenant,
                                      const char *name, struct function **out);

WM_MUST_CHECK int watchdog_start(struct executors *executors);
/* Kills what runs until all executors have ended. */
void watchdog_stop(struct executors *executors);

#endif
