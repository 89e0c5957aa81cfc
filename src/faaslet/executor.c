/* executor.c: threads, the queue of chained calls, one call from its slot to its result.
 *
 * What a warm call costs here: a number out of a ring, a reference on its function, a slot of its
 * image, two readings of the clock, and after the result is out the reset. Nothing is allocated. */
#include "faaslet/executor.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "crypto/hash.h"
#include "faaslet/call_rpc.h"
#include "faaslet/dl.h"
#include "faaslet/executor_internal.h"
#include "host/file.h"
#include "host/process.h"

/* Calls shorter than this are billed by the wall clock: reading a thread's own clock costs a system
 * call. */
#define SHORT_CALL_NS INT64_C(1000000)
/* More work than this in the ring wakes another executor. */
#define SHARE_NS INT64_C(100000)
/* While calls of one function wait that take less than this, the node is woken once for so many of
 * them: a wake-up costs both sides more than such a call does. */
#define BATCH_NS INT64_C(10000)
#define BATCH_CALLS 16u
/* Chained calls that wait in a worker: calls that start others and await none would otherwise end
 * it with all its memory. */
#define QUEUED_MAX 65536u

static void futex_wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static int64_t thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- Functions --- */

int executors_add_function(struct executors *executors, struct function *function)
{
    struct function *old = NULL;
    if (function->handle >= FUNCTIONS_MAX) {
        function_put(function);
        return WM_E_LIMIT;
    }
    pthread_mutex_lock(&executors->lock);
    if (function->handle >= executors->function_room) {
        uint32_t room =
            function->handle + 64 < FUNCTIONS_MAX ? function->handle + 64 : FUNCTIONS_MAX;
        struct function **grown = wm_realloc(executors->functions, room, sizeof(struct function *));
        if (!grown) {
            pthread_mutex_unlock(&executors->lock);
            function_put(function);
            return -ENOMEM;
        }
        memset(grown + executors->function_room, 0,
               (room - executors->function_room) * sizeof(struct function *));
        executors->functions = grown;
        executors->function_room = room;
    }
    old = executors->functions[function->handle];
    executors->functions[function->handle] = function;
    pthread_cond_broadcast(&executors->loaded);
    pthread_mutex_unlock(&executors->lock);
    function_put(old);
    return 0;
}

void executors_remove_function(struct executors *executors, uint32_t handle)
{
    struct function *old = NULL;
    pthread_mutex_lock(&executors->lock);
    if (handle < executors->function_room) {
        old = executors->functions[handle];
        executors->functions[handle] = NULL;
    }
    pthread_mutex_unlock(&executors->lock);
    function_put(old);
}

struct function *executors_function(struct executors *executors, uint32_t handle)
{
    struct function *function = NULL;
    pthread_mutex_lock(&executors->lock);
    if (handle < executors->function_room && executors->functions[handle]) {
        function = function_ref(executors->functions[handle]);
    }
    pthread_mutex_unlock(&executors->lock);
    return function;
}

static void remember_cancelled(struct executors *executors, uint64_t call_id)
{
    uint32_t at = executors->cancelled_next++ % CHANNEL_SLOTS;
    if (atomic_exchange(&executors->cancelled[at], call_id) == 0) {
        atomic_fetch_add(&executors->cancelled_count, 1);
    }
}

bool executors_take_cancelled(struct executors *executors, uint64_t call_id)
{
    if (WM_LIKELY(atomic_load_explicit(&executors->cancelled_count, memory_order_relaxed) == 0)) {
        return false;
    }
    for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
        uint64_t expected = call_id;
        if (atomic_compare_exchange_strong(&executors->cancelled[i], &expected, 0)) {
            atomic_fetch_sub(&executors->cancelled_count, 1);
            return true;
        }
    }
    return false;
}

void executors_cancel(struct executors *executors, uint64_t call_id)
{
    uint32_t threads = atomic_load(&executors->thread_count);
    bool any = false;
    for (uint32_t i = 0; i < threads; i++) {
        struct executor *executor = executors->items[i];
        pthread_mutex_lock(&executor->lock);
        bool found = false;
        for (uint32_t j = 0; j < executor->running_count; j++) {
            found = found || executor->running[j].call_id == call_id;
            if (found) {
                executor->running[j].deadline_ns = 0; /* the watchdog tells it again and again */
                wasm_store_kill(executor->running[j].store);
            }
        }
        pthread_mutex_unlock(&executor->lock);
        any = any || found;
    }
    if (!any && call_id != 0) {
        remember_cancelled(executors, call_id);
    }
}

/* --- The queue of chained calls --- */

static void queue_push(struct executors *executors, struct chained *chained)
{
    pthread_mutex_lock(&executors->lock);
    chained->next = NULL;
    chained->before = executors->queue_last;
    *(chained->before ? &chained->before->next : &executors->queue_first) = chained;
    executors->queue_last = chained;
    uint32_t queued = atomic_fetch_add(&executors->queued, 1) + 1;
    pthread_mutex_unlock(&executors->lock);
    /* The first is left for its parent, which most often awaits it at once, on this very thread;
     * the watchdog wakes others for it if not. From the second on there is work to share. */
    if (queued > 1) {
        channel_wake(executors->config.channel, 1);
    }
}

/* Under the lock. */
static void queue_unlink(struct executors *executors, struct chained *chained)
{
    *(chained->before ? &chained->before->next : &executors->queue_first) = chained->next;
    *(chained->next ? &chained->next->before : &executors->queue_last) = chained->before;
    atomic_fetch_sub(&executors->queued, 1);
    atomic_store_explicit(&chained->state, CHAINED_RUNNING, memory_order_release);
}

static struct chained *queue_pop(struct executors *executors)
{
    if (atomic_load_explicit(&executors->queued, memory_order_relaxed) == 0) {
        return NULL;
    }
    pthread_mutex_lock(&executors->lock);
    struct chained *chained = executors->queue_first;
    if (chained) {
        queue_unlink(executors, chained);
    }
    pthread_mutex_unlock(&executors->lock);
    return chained;
}

static bool queue_take(struct executors *executors, struct chained *chained)
{
    pthread_mutex_lock(&executors->lock);
    bool queued = atomic_load(&chained->state) == CHAINED_QUEUED;
    if (queued) {
        queue_unlink(executors, chained);
    }
    pthread_mutex_unlock(&executors->lock);
    return queued;
}

/* --- One call --- */

/* A slot gives its Faaslet back when it is bound to another image. */
static void released(void *self, void *env)
{
    struct executor *executor = self;
    struct faaslet *faaslet = env;
    function_put(faaslet->function);
    faaslet->function = NULL;
    faaslet->slot = NULL;
    faaslet->next = executor->spare;
    executor->spare = faaslet;
}

static int take_slot(struct executor *executor, struct faaslet_call *call, struct wasm_slot **slot,
                     struct wm_diag *diag)
{
    uint64_t files_bytes = call->function->limits.files_bytes;
    struct faaslet *candidate = executor->spare;
    if (candidate) {
        executor->spare = candidate->next;
        candidate->next = NULL;
    }
    if (candidate && candidate->files_bytes != files_bytes) {
        faaslet_free(candidate);
        candidate = NULL;
    }
    int rc = candidate ? 0 : faaslet_new(&executor->thread, files_bytes, &candidate, diag);
    if (rc != 0) {
        return rc;
    }
    rc = wasm_pool_take(executor->pool, call->function->image, faaslet_resolve, candidate, slot,
                        diag);
    if (rc == 0 && wasm_slot_env(*slot) == candidate) {
        candidate->function = function_ref(call->function);
        call->cold = true;
    } else {
        candidate->next = executor->spare;
        executor->spare = candidate;
    }
    return rc;
}

static void watch(struct executor *executor, struct faaslet_call *call, struct wasm_store *store)
{
    pthread_mutex_lock(&executor->lock);
    WM_ASSERT(executor->running_count < RUNNING_MAX);
    executor->running[executor->running_count++] = (struct running){
        .call_id = call->id,
        .store = store,
        .deadline_ns = call->deadline_ns,
        .cpu_limit_ns = (int64_t)call->function->limits.cpu_ms * 1000000,
        .cpu_at_ns = -1,
    };
    pthread_mutex_unlock(&executor->lock);
    if (atomic_load(&executor->executors->watchdog_asleep) != 0) {
        atomic_store(&executor->executors->watchdog_asleep, 0);
        futex_wake_all(&executor->executors->watchdog_asleep);
    }
}

static void unwatch(struct executor *executor)
{
    pthread_mutex_lock(&executor->lock);
    executor->running_count--;
    pthread_mutex_unlock(&executor->lock);
}

static void bill(struct executor *executor, struct faaslet_call *call,
                 struct wasm_instance *instance, int64_t start_ns, int64_t inlined_before_ns)
{
    struct wasm_store *store = wasm_instance_store(instance);
    struct call_usage *usage = &call->usage;
    int64_t wall_ns = host_monotonic_ns() - start_ns;
    int64_t inlined_ns = executor->inlined_ns - inlined_before_ns;
    int64_t own_ns = wall_ns - inlined_ns;
    usage->wall_ns = (uint64_t)wall_ns;
    executor->mean_ns += (wall_ns - executor->mean_ns) / 8;
    if (wall_ns < SHORT_CALL_NS) {
        executor->short_ns += own_ns;
        usage->cpu_ns = (uint64_t)own_ns;
    } else {
        int64_t now_ns = thread_cpu_ns(), used_ns = now_ns - executor->cpu_ns - executor->short_ns;
        executor->cpu_ns = now_ns;
        executor->short_ns = 0;
        used_ns = used_ns < own_ns ? used_ns : own_ns;
        usage->cpu_ns = used_ns > 0 ? (uint64_t)used_ns : 0;
    }
    executor->inlined_ns = inlined_before_ns + wall_ns;
    if (call->function->object->header->key.fuel) {
        usage->fuel = (uint64_t)(INT64_MAX - wasm_store_fuel(store));
    }
    struct wasm_memory *memory = wasm_instance_memory(instance);
    usage->memory_peak_bytes = memory ? wasm_memory_peak_bytes(memory) : 0;
}

/* Runs the call and gives its result to `publish`, after which the slot is reset. */
static void run_call(struct executor *executor, struct faaslet_call *call, uint32_t timeout_ms,
                     void (*publish)(struct executor *executor, struct faaslet_call *call,
                                     void *self),
                     void *self)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_slot *slot = NULL;
    const struct call_limits *limits = &call->function->limits;
    int64_t start_ns = host_monotonic_ns(), inlined_before_ns = executor->inlined_ns;
    timeout_ms =
        timeout_ms != 0 && timeout_ms < limits->timeout_ms ? timeout_ms : limits->timeout_ms;
    int64_t deadline_ns = start_ns + (int64_t)timeout_ms * 1000000;
    call->deadline_ns =
        call->deadline_ns != 0 && call->deadline_ns < deadline_ns ? call->deadline_ns : deadline_ns;
    call->executor = executor;
    int rc = take_slot(executor, call, &slot, &diag);
    if (rc != 0) {
        call->end = rc == WM_E_BUSY ? CALL_END_OVERLOADED : CALL_END_REFUSED;
        snprintf(call->message, sizeof call->message, "%s", wm_diag_text(&diag));
        publish(executor, call, self);
        return;
    }
    struct wasm_instance *instance = wasm_slot_instance(slot);
    struct faaslet *faaslet = wasm_slot_env(slot);
    faaslet_begin(faaslet, call, wasm_instance_store(instance));
    watch(executor, call, wasm_instance_store(instance));
    faaslet_run(faaslet, instance, slot, call);
    unwatch(executor);
    bill(executor, call, instance, start_ns, inlined_before_ns);
    publish(executor, call, self);
    chained_drop_all(call);
    faaslet_end(faaslet);
    wasm_pool_put(executor->pool, slot);
    dl_session_reset(faaslet->guest.dl); /* its instances went with the reset */
    while (call->library_count > 0) {
        function_put(call->libraries[--call->library_count]);
    }
    executor->calls++;
}

/* --- Calls of the channel --- */

void executor_pay_wake(struct executor *executor)
{
    if (atomic_exchange(&executor->owes_wake, false)) {
        channel_wake_node(executor->executors->config.channel);
    }
}

/* After a completion that found the node asleep, or after more of them. */
static void owe_wake(struct executor *executor, bool asleep)
{
    struct channel *channel = executor->executors->config.channel;
    bool owed = atomic_load_explicit(&executor->owes_wake, memory_order_relaxed);
    if (!asleep && !owed) {
        return;
    }
    executor->owed_for = owed ? executor->owed_for + 1 : 1;
    atomic_store(&executor->owes_wake, true);
    if (executor->owed_for >= BATCH_CALLS || executor->mean_ns > BATCH_NS ||
        channel_pending(channel) == 0) {
        executor_pay_wake(executor);
    }
}

struct channel_work {
    uint32_t slot;
    int64_t start_ns; /* of the wall clock */
};

static uint32_t put_text(uint8_t *text, uint32_t at, const void *from, uint32_t len)
{
    len = len < CHANNEL_TEXT_BYTES - at ? len : CHANNEL_TEXT_BYTES - at;
    memcpy(text + at, from, len);
    return len;
}

static void publish_channel(struct executor *executor, struct faaslet_call *call, void *self)
{
    struct channel_work *work = self;
    struct channel *channel = executor->executors->config.channel;
    struct channel_result result = {
        .end = call->end,
        .return_code = call->return_code,
        .output_len =
            call->end == CALL_END_OK || call->end == CALL_END_FAILED ? call->output_len : 0,
        .status = call->status,
        .headers_len = call->headers_len,
        .cold = call->cold,
        .usage = call->usage,
        .start_ns = work->start_ns,
    };
    if (WM_UNLIKELY(call->message[0])) {
        uint8_t *text = channel_result_text(channel, work->slot);
        result.message_len =
            put_text(text, call->headers_len, call->message, (uint32_t)strlen(call->message));
        result.backtrace_len = put_text(text, call->headers_len + result.message_len,
                                        executor->backtrace, call->backtrace_len);
    }
    owe_wake(executor, channel_complete(channel, work->slot, &result));
}

static void run_channel(struct executor *executor, uint32_t slot, const struct channel_call *from)
{
    struct executors *executors = executor->executors;
    struct channel *channel = executors->config.channel;
    struct channel_work work = {
        slot, host_monotonic_ns() +
                  atomic_load_explicit(&executors->realtime_offset_ns, memory_order_relaxed)};
    struct faaslet_call *call = &executor->channel_call;
    *call = (struct faaslet_call){
        .id = from->id,
        .function = executors_function(executors, from->function),
        .func_idx = UINT32_MAX,
        .depth = from->depth,
        .input = channel_input_view(channel, slot, from->input_len),
        .request = channel_request_view(channel, slot, from->request_len),
        .output = channel_output(channel, slot),
        .output_room = CALL_OUTPUT_BYTES_MAX,
        .headers = channel_result_text(channel, slot),
        .backtrace = executor->backtrace,
        .backtrace_room = sizeof executor->backtrace,
    };
    if (!call->function) {
        call->end = CALL_END_NOT_FOUND;
        snprintf(call->message, sizeof call->message, "the worker has no such function loaded");
        publish_channel(executor, call, &work);
        return;
    }
    if (executors_take_cancelled(executors, from->id)) {
        call->end = CALL_END_CANCELLED;
        publish_channel(executor, call, &work);
        function_put(call->function);
        return;
    }
    if (from->func_idx != UINT32_MAX) {
        call->func_idx = wasm_image_table_func(call->function->image, from->func_idx);
    }
    run_call(executor, call, from->timeout_ms, publish_channel, &work);
    function_put(call->function);
}

/* --- Chained calls --- */

static bool more_output(struct faaslet_call *call, uint32_t wanted)
{
    uint64_t room = wm_max_u64(wanted, wm_max_u64(256, (uint64_t)call->output_room * 2));
    room = wm_min_u64(room, call->function->limits.output_bytes);
    uint8_t *grown = wm_realloc(call->output, 1, room);
    if (!grown) {
        return false;
    }
    call->output = grown;
    call->output_room = (uint32_t)room;
    return true;
}

static void report_chained(struct executor *executor, const struct faaslet_call *call,
                           const struct chained *chained)
{
    struct executors *executors = executor->executors;
    struct channel_report report = {
        .id = chained->id,
        .parent = chained->parent,
        .function = call->function->handle,
        .result = {.end = call->end,
                   .return_code = call->return_code,
                   .output_len = call->output_len,
                   .cold = call->cold,
                   .usage = call->usage},
        .input_len = chained->input_len,
    };
    report.result.start_ns = host_monotonic_ns() - (int64_t)call->usage.wall_ns +
                             atomic_load(&executors->realtime_offset_ns);
    wm_sha256_once(call->input, report.input_sha256);
    wm_sha256_once(wm_view_of(call->output, call->output_len), report.output_sha256);
    channel_report(executors->config.channel, &report);
}

static void publish_chained(struct executor *executor, struct faaslet_call *call, void *self)
{
    struct chained *chained = self;
    bool kept = call->end == CALL_END_OK || call->end == CALL_END_FAILED;
    if (executor->executors->config.reports) {
        report_chained(executor, call, chained);
    }
    chained->output = call->output;
    chained->output_len = kept ? call->output_len : 0;
    chained->end = call->end;
    chained->return_code = call->return_code;
    /* The waiter may look at all of it from here on. */
    atomic_store_explicit(&chained->state, CHAINED_DONE, memory_order_seq_cst);
    if (atomic_load(&executor->executors->awaiting) != 0) {
        futex_wake_all(&chained->state);
    }
}

static void run_chained(struct executor *executor, struct chained *chained)
{
    struct faaslet_call call = {
        .id = chained->id,
        .function = chained->function,
        .func_idx = chained->func_idx,
        .depth = chained->depth,
        .input = wm_view_of(chained->input, chained->input_len),
        .more = more_output,
        .deadline_ns = chained->deadline_ns,
    };
    if (host_monotonic_ns() < chained->deadline_ns) {
        run_call(executor, &call, 0, publish_chained, chained);
    } else {
        call.end = CALL_END_TIMEOUT; /* what a call left that is over */
        publish_chained(executor, &call, chained);
    }
    executor->chained++;
    chained_put(chained);
}

/* function NULL: the node has it, and so has its input. */
static int new_chained(struct faaslet_call *call, struct function *function, uint32_t func_idx,
                       struct wm_view input, struct chained **out)
{
    struct executors *executors = call->executor->executors;
    struct chained *chained = wm_alloc_zero(1, sizeof *chained);
    uint8_t *copy = input.len ? wm_alloc(input.len) : NULL;
    if (!chained || (input.len && !copy)) {
        wm_free(chained);
        wm_free(copy);
        function_put(function);
        return -ENOMEM;
    }
    if (input.len) {
        memcpy(copy, input.ptr, input.len);
    }
    chained->id = executors->config.call_prefix | atomic_fetch_add(&executors->next_id, 1);
    chained->parent = call->id;
    atomic_init(&chained->refs, function ? 2 : 1); /* the parent's list, and the queue */
    atomic_init(&chained->state, function ? CHAINED_QUEUED : CHAINED_REMOTE);
    chained->function = function;
    chained->func_idx = func_idx;
    chained->depth = call->depth + 1;
    chained->deadline_ns = call->deadline_ns;
    chained->input = copy;
    chained->input_len = (uint32_t)input.len;
    chained->sibling = call->children;
    call->children = chained;
    call->child_count++;
    *out = chained;
    return 0;
}

/* --- Chained calls on other nodes --- */

/* Whether this worker has more to do than its processors will have done soon. A part of the
 * executors never waits for other nodes: whatever those wait for in turn, it runs here. */
static bool worth_sharing(const struct executor *executor)
{
    struct executors *executors = executor->executors;
    return executors->config.share && executor->rpc &&
           atomic_load_explicit(&executors->queued, memory_order_relaxed) >=
               2 * executors->config.ready &&
           atomic_load_explicit(&executors->blocked, memory_order_relaxed) < executors->made / 2;
}

static int ask_node(struct executor *executor, const struct call_rpc_request *request,
                    struct call_rpc_reply *reply)
{
    struct wm_diag diag = WM_DIAG_INIT;
    executor_block_begin(executor);
    int rc = call_rpc_ask(executor->rpc, request, reply, &diag);
    executor_block_end(executor);
    return rc ? rc : reply->code;
}

/* 0: another node has it; anything else: it is ours. */
static int chain_remote(struct faaslet_call *call, const char *name, struct wm_view input,
                        struct chained **out)
{
    struct executors *executors = call->executor->executors;
    struct call_rpc_request request = {
        .operation = CALL_RPC_CHAIN,
        .depth = call->depth + 1,
        .id = atomic_load(&executors->queued) + executors->config.ready,
        .tenant = wm_view_str(call->function->tenant),
        .name = wm_view_str(name),
        .input = input,
    };
    struct call_rpc_reply reply;
    int rc = new_chained(call, NULL, UINT32_MAX, wm_view_of(NULL, 0), out);
    if (rc != 0) {
        return rc;
    }
    rc = ask_node(call->executor, &request, &reply);
    if (rc != 0) {
        call->children = (*out)->sibling;
        call->child_count--;
        chained_put(*out);
        return rc;
    }
    (*out)->remote_id = reply.id;
    return 0;
}

static int take_remote(struct chained *chained, const struct call_rpc_reply *reply)
{
    chained->end = reply->value < CALL_ENDS ? (enum call_end)reply->value : CALL_END_NODE_DIED;
    chained->return_code = reply->return_code;
    if (reply->output.len != 0) {
        chained->output = wm_alloc(reply->output.len);
        if (chained->output) {
            memcpy(chained->output, reply->output.ptr, reply->output.len);
            chained->output_len = (uint32_t)reply->output.len;
        } else {
            chained->end = CALL_END_LIMIT;
        }
    }
    atomic_store_explicit(&chained->state, CHAINED_DONE, memory_order_release);
    return 0;
}

static int await_remote(struct faaslet_call *call, struct chained *chained, uint32_t timeout_ms,
                        struct wasm_store *store)
{
    const bool patient = timeout_ms == UINT32_MAX;
    int64_t until_ns = host_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    struct call_rpc_request request = {.operation = CALL_RPC_AWAIT,
                                       .timeout_ms = patient ? CALL_RPC_WAIT_MS_MAX : 0,
                                       .id = chained->remote_id};
    struct call_rpc_reply reply;
    for (;;) {
        int rc = ask_node(call->executor, &request, &reply);
        if (rc == 0) {
            return take_remote(chained, &reply);
        }
        if (rc == -EINTR || wasm_store_interrupted(store) != WASM_TRAP_NONE) {
            return -EINTR;
        }
        if (rc != -EAGAIN) { /* the node does not know it, or is gone */
            reply = (struct call_rpc_reply){.value = CALL_END_NODE_DIED};
            return take_remote(chained, &reply);
        }
        if (!patient && host_monotonic_ns() >= until_ns) {
            return -ETIMEDOUT;
        }
        if (!patient) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
}

void executor_forget(struct executor *executor, const struct chained *chained)
{
    struct call_rpc_request request = {.operation = CALL_RPC_FORGET, .id = chained->remote_id};
    struct call_rpc_reply reply;
    (void)!ask_node(executor, &request, &reply);
}

int executor_chain(struct faaslet_call *call, const char *name, uint32_t func_idx,
                   struct wm_view input, struct chained **out)
{
    struct executors *executors = call->executor->executors;
    const struct call_limits *limits = &call->function->limits;
    if (call->depth >= limits->depth || call->child_count >= limits->chained) {
        return -EDQUOT;
    }
    if (input.len > CALL_INPUT_BYTES_MAX) {
        return -EFBIG;
    }
    struct function *function = NULL;
    int rc = 0;
    if (name && worth_sharing(call->executor) && chain_remote(call, name, input, out) == 0) {
        return 0;
    }
    if (atomic_load_explicit(&executors->queued, memory_order_relaxed) >= QUEUED_MAX) {
        return -EAGAIN;
    }
    if (name) {
        rc = executors_find_name(call->executor, call->function->tenant, name, &function);
    } else {
        function = function_ref(call->function);
    }
    if (rc == 0 && function->kind == FUNCTION_LIBRARY) {
        function_put(function);
        return -ENOEXEC;
    }
    rc = rc ? rc : new_chained(call, function, func_idx, input, out);
    if (rc == 0) {
        queue_push(executors, *out);
    }
    return rc;
}

int executor_library(struct faaslet_call *call, const char *name, const struct function **out)
{
    struct function *found;
    if (call->library_count == FAASLET_LIBRARIES_MAX) {
        return -ENOMEM;
    }
    int rc = executors_find_name(call->executor, call->function->tenant, name, &found);
    if (rc != 0) {
        return rc;
    }
    if (found->kind != FUNCTION_LIBRARY) {
        function_put(found);
        return -ENOEXEC;
    }
    call->libraries[call->library_count++] = found;
    *out = found;
    return 0;
}

static int wait_chained(struct faaslet_call *call, struct chained *chained, uint32_t timeout_ms,
                        struct wasm_store *store)
{
    struct executor *executor = call->executor;
    int64_t until_ns = host_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    int rc = 0;
    executor_block_begin(executor);
    atomic_fetch_add(&executor->executors->awaiting, 1);
    if (atomic_load(&chained->state) == CHAINED_QUEUED) {
        channel_wake(executor->executors->config.channel, 1); /* see queue_push */
    }
    for (;;) {
        uint32_t state = atomic_load(&chained->state);
        if (state == CHAINED_DONE) {
            break;
        }
        if (wasm_store_interrupted(store) != WASM_TRAP_NONE) {
            rc = -EINTR;
            break;
        }
        int64_t left_ns =
            timeout_ms == UINT32_MAX ? INT64_C(1000000000) : until_ns - host_monotonic_ns();
        if (left_ns <= 0) {
            rc = -ETIMEDOUT;
            break;
        }
        struct timespec wait = {left_ns / 1000000000, left_ns % 1000000000};
        syscall(SYS_futex, &chained->state, FUTEX_WAIT_PRIVATE, state, &wait, NULL, 0);
    }
    atomic_fetch_sub(&executor->executors->awaiting, 1);
    executor_block_end(executor);
    return rc;
}

int executor_await(struct faaslet_call *call, struct chained *chained, uint32_t timeout_ms,
                   struct wasm_store *store)
{
    struct executor *executor = call->executor;
    if (atomic_load_explicit(&chained->state, memory_order_acquire) == CHAINED_DONE) {
        return 0;
    }
    if (atomic_load_explicit(&chained->state, memory_order_relaxed) == CHAINED_REMOTE) {
        return await_remote(call, chained, timeout_ms, store);
    }
    /* Run here what nobody has begun: no thread has to be woken or waited for. Only without a limit
     * on the wait, since it would last as long as the call does. */
    if (timeout_ms == UINT32_MAX && executor->running_count < executor->executors->config.slots &&
        executor->running_count < RUNNING_MAX && queue_take(executor->executors, chained)) {
        run_chained(executor, chained);
        executor->inlined++;
        return 0;
    }
    return wait_chained(call, chained, timeout_ms, store);
}

/* --- Threads --- */

static int start_thread(struct executors *executors);

void executor_block_begin(struct executor *executor)
{
    struct executors *executors = executor->executors;
    executor_pay_wake(executor);
    uint32_t blocked = atomic_fetch_add(&executors->blocked, 1) + 1;
    if (atomic_load(&executors->thread_count) - blocked < executors->config.ready) {
        pthread_mutex_lock(&executors->lock);
        (void)!start_thread(executors);
        pthread_mutex_unlock(&executors->lock);
    }
}

void executor_block_end(struct executor *executor)
{
    atomic_fetch_sub(&executor->executors->blocked, 1);
}

struct rpc_client *executor_rpc(struct executor *executor)
{
    return executor->rpc;
}

/* Whether what waits is worth another thread: a hand-over costs more than a short call takes. */
static void share_work(struct executor *executor)
{
    struct channel *channel = executor->executors->config.channel;
    int64_t waiting_ns = channel_pending(channel) * executor->mean_ns;
    if (waiting_ns > SHARE_NS && channel_has_sleepers(channel)) {
        channel_wake(channel, 1);
    }
}

static void *executor_main(void *arg)
{
    struct executor *executor = arg;
    struct executors *executors = executor->executors;
    struct channel *channel = executors->config.channel;
    executor->cpu_ns = thread_cpu_ns();
    while (!atomic_load_explicit(&executors->stopping, memory_order_relaxed)) {
        uint32_t seen = channel_doorbell(channel), slot;
        struct channel_call call;
        struct chained *chained = queue_pop(executors);
        if (chained) {
            executor_pay_wake(executor);
            run_chained(executor, chained);
        } else if (channel_take(channel, &slot, &call)) {
            share_work(executor);
            if (call.function != executor->last_function) {
                executor_pay_wake(executor); /* how long that takes is not known */
                executor->last_function = call.function;
            }
            run_channel(executor, slot, &call);
        } else if (!atomic_load(&executors->stopping)) {
            executor_pay_wake(executor);
            channel_wait(channel, seen);
        }
    }
    return NULL;
}

static void executor_fini(struct executor *executor)
{
    rpc_client_free(executor->rpc);
    wasm_pool_free(executor->pool);
    while (executor->spare) {
        struct faaslet *faaslet = executor->spare;
        executor->spare = faaslet->next;
        faaslet_free(faaslet);
    }
    if (executor->thread.scratch) {
        faaslet_thread_fini(&executor->thread);
    }
    pthread_mutex_destroy(&executor->lock);
    wm_free(executor);
}

/* Waits on it end when the call that waits is to end. */
static bool rpc_must_stop(void *self)
{
    struct executor *executor = self;
    return executor->running_count != 0 &&
           wasm_store_interrupted(executor->running[executor->running_count - 1].store) !=
               WASM_TRAP_NONE;
}

static int connect_node(struct executor *executor, int socket, struct wm_diag *diag)
{
    struct rpc_transport transport;
    int rc = rpc_socket_transport(socket, &transport);
    if (rc == 0) {
        rc = rpc_client_new(&transport, &executor->rpc, diag);
        if (rc != 0) {
            transport.close(transport.self);
            return rc;
        }
        rpc_client_interrupted(executor->rpc, rpc_must_stop, executor);
    }
    return rc == 0 ? 0 : wm_diag_set(diag, rc, "executor: %s", wm_error_text(rc));
}

static int new_executor(struct executors *executors, uint32_t index, struct executor **out,
                        struct wm_diag *diag)
{
    struct executor *executor = wm_alloc_zero(1, sizeof *executor);
    if (!executor) {
        return wm_diag_set(diag, -ENOMEM, "executor: %s", wm_error_text(-ENOMEM));
    }
    executor->executors = executors;
    executor->index = index;
    pthread_mutex_init(&executor->lock, NULL);
    struct wasm_pool_config pool = {
        .slots = executors->config.slots,
        .released = released,
        .released_self = executor,
    };
    int rc = wasm_pool_new(&pool, &executor->pool, diag);
    rc = rc ? rc : faaslet_thread_init(&executor->thread, executors->config.files, diag);
    if (rc == 0 && executors->config.sockets) {
        rc = connect_node(executor, executors->config.sockets[index], diag);
    }
    if (rc != 0) {
        executor_fini(executor);
        return rc;
    }
    if (executors->config.state && executor->rpc) {
        worker_state_way(executors->config.state, executor->rpc, &executor->way);
        executor->thread.local = worker_state_local(executors->config.state);
        executor->thread.tier = &executor->way.tier;
    }
    executor->thread.egress = executors->config.egress;
    executor->thread.log = executors->config.log;
    executor->thread.log_self = executors->config.log_self;
    *out = executor;
    return 0;
}

/* One more, under the lock. Its pool opens files, so it is made before the worker is confined. */
static int start_thread(struct executors *executors)
{
    uint32_t index = atomic_load(&executors->thread_count);
    if (index >= executors->made || atomic_load(&executors->stopping)) {
        return WM_E_LIMIT;
    }
    struct executor *executor = executors->items[index];
    int rc = -pthread_create(&executor->id, NULL, executor_main, executor);
    if (rc == 0) {
        atomic_fetch_add(&executors->thread_count, 1);
    }
    return rc;
}

int executors_new(const struct executors_config *config, struct executors **out,
                  struct wm_diag *diag)
{
    struct executors *executors = wm_alloc_zero(1, sizeof *executors);
    if (!executors) {
        return wm_diag_set(diag, -ENOMEM, "executors: %s", wm_error_text(-ENOMEM));
    }
    executors->config = *config;
    pthread_mutex_init(&executors->lock, NULL);
    pthread_cond_init(&executors->loaded, NULL);
    if (executors->config.ready == 0) {
        executors->config.ready = host_cpu_count();
    }
    uint32_t wanted = config->executors < EXECUTORS_MAX ? config->executors : EXECUTORS_MAX;
    wanted = wanted > 0 ? wanted : 1;
    atomic_init(&executors->next_id, 1);
    atomic_init(&executors->realtime_offset_ns, host_realtime_ns() - host_monotonic_ns());
    int rc = 0;
    while (rc == 0 && executors->made < wanted) {
        rc = new_executor(executors, executors->made, &executors->items[executors->made], diag);
        executors->made += rc == 0;
    }
    if (rc != 0) {
        executors_free(executors);
        return rc;
    }
    *out = executors;
    return 0;
}

int executors_start(struct executors *executors, struct wm_diag *diag)
{
    int rc = watchdog_start(executors);
    pthread_mutex_lock(&executors->lock);
    uint32_t first =
        executors->config.ready < executors->made ? executors->config.ready : executors->made;
    for (uint32_t i = 0; rc == 0 && i < first; i++) {
        rc = start_thread(executors);
    }
    pthread_mutex_unlock(&executors->lock);
    return rc == 0 ? 0 : wm_diag_set(diag, rc, "executors: threads: %s", wm_error_text(rc));
}

void executors_free(struct executors *executors)
{
    if (!executors) {
        return;
    }
    atomic_store(&executors->stopping, true);
    if (executors->config.channel) {
        channel_wake(executors->config.channel, INT_MAX);
    }
    watchdog_stop(executors); /* it goes on killing what runs until the threads have ended */
    for (uint32_t i = 0; i < executors->made; i++) {
        executor_fini(executors->items[i]);
    }
    for (struct chained *chained = executors->queue_first, *next; chained; chained = next) {
        next = chained->next;
        chained_put(chained);
    }
    for (uint32_t i = 0; i < executors->function_room; i++) {
        function_put(executors->functions[i]);
    }
    wm_free(executors->functions);
    executors_forget_names(executors);
    pthread_cond_destroy(&executors->loaded);
    pthread_mutex_destroy(&executors->lock);
    wm_free(executors);
}

void executors_stats(struct executors *executors, struct executors_stats *out)
{
    *out = (struct executors_stats){.threads = atomic_load(&executors->thread_count),
                                    .blocked = atomic_load(&executors->blocked),
                                    .queued = atomic_load(&executors->queued)};
    for (uint32_t i = 0; i < executors->made; i++) {
        const struct executor *executor = executors->items[i];
        struct wasm_pool_stats pool = wasm_pool_stats(executor->pool);
        out->calls += executor->calls;
        out->chained += executor->chained;
        out->inlined += executor->inlined;
        out->warm += pool.warm;
        out->cold += pool.cold;
    }
}
