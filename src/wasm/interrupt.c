/* interrupt.c: deadlines and kills.
 *
 * Each thread has one POSIX timer whose signal goes to that thread. It is armed for the earliest
 * deadline of the calls running there and repeats until they have ended, so that a signal that
 * arrives at a bad moment (in C code, between a check and a system call) is never the last.
 *
 * `pending` in struct wasm_running is the order to stop: compiled code obeys at once (signal.c),
 * the stubs of services and host functions before and after each call, long services between
 * chunks, and the entry of the next call. wasm_store_kill first writes it and then looks for the
 * running thread; wasm_call first publishes the thread and then looks at it: one of the two sees
 * the other. */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "wasm/runtime.h"

int64_t wasm_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void wasm_interrupt_arm(struct wasm_thread *thread, int64_t deadline_ns)
{
    struct itimerspec spec = {0};
    thread->armed_ns = deadline_ns;
    if (WM_UNLIKELY(thread->generation != wasm_process_generation())) {
        return; /* a child of a fork for which the machine had no timer */
    }
    atomic_signal_fence(memory_order_seq_cst);
    if (deadline_ns != 0) {
        int64_t at = deadline_ns > 0 ? deadline_ns : 1; /* all zeroes would stop the timer */
        spec.it_value.tv_sec = at / 1000000000;
        spec.it_value.tv_nsec = at % 1000000000;
        spec.it_interval.tv_nsec = WASM_INTERRUPT_REPEAT_NS;
    }
    int rc = timer_settime((timer_t)thread->timer, TIMER_ABSTIME, &spec, NULL);
    WM_ASSERT(rc == 0);
}

bool wasm_interrupt_due(struct wasm_thread *thread)
{
    struct wasm_activation *outermost_due = NULL;
    int64_t now = 0;
    for (struct wasm_activation *act = thread->act; act; act = act->outer) {
        struct wasm_store *store = act->store;
        uint32_t none = WASM_TRAP_NONE;
        if (atomic_load(&store->running.pending) == WASM_TRAP_NONE && store->deadline_ns != 0) {
            now = now ? now : wasm_clock_ns();
            if (now >= store->deadline_ns) {
                (void)atomic_compare_exchange_strong(&store->running.pending, &none,
                                                     WASM_TRAP_DEADLINE);
            }
        }
        if (atomic_load(&store->running.pending) != WASM_TRAP_NONE) {
            outermost_due = act;
        }
    }
    if (!outermost_due) {
        return false;
    }
    /* What was called from the call that must end has to end first. */
    for (struct wasm_activation *act = thread->act; act != outermost_due; act = act->outer) {
        uint32_t none = WASM_TRAP_NONE;
        (void)atomic_compare_exchange_strong(&act->store->running.pending, &none,
                                             WASM_TRAP_DEADLINE);
    }
    return true;
}

void wasm_store_kill(struct wasm_store *store)
{
    atomic_store(&store->running.pending, WASM_TRAP_KILLED);
    int tid = atomic_load(&store->running_tid);
    if (tid != 0) {
        /* The thread may just have ended its call, or itself: then there is nothing to interrupt.
         */
        syscall(SYS_tgkill, getpid(), tid, WASM_INTERRUPT_SIGNAL);
    }
}

enum wasm_trap wasm_store_interrupted(const struct wasm_store *store)
{
    uint32_t pending = atomic_load(&store->running.pending);
    if (pending == WASM_TRAP_NONE && store->deadline_ns != 0 &&
        wasm_clock_ns() >= store->deadline_ns) {
        return WASM_TRAP_DEADLINE;
    }
    return (enum wasm_trap)pending;
}
