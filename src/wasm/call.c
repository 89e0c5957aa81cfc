/* call.c: calling a wasm function from C, and C functions from wasm.
 *
 * Nested calls of one store go on below on the same guest stack; `running` then describes the inner
 * call, and what it said of the outer one is kept in this C frame. After a trap the guest's frames
 * are still in memory, and the report is read from them here, in ordinary code. */
#include <string.h>

#include "base/assert.h"
#include "wasm/runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

/* Where the calls around this one stand, for the report: a list through the C frames. */
struct call_frame {
    struct wasm_activation act; /* first */
    struct wasm_running saved;  /* of the call around it in the same store */
};

/* Address sanitizer must know which stack we are on. Nothing of ours runs at the moment of arriving
 * on the guest's, so it is left in the state "switching", in which it looks at the stack pointer
 * itself. A call into another store from a host function finds it in that state, and leaves it so
 * again. Returning from a guest forgets what abandoned C frames poisoned on the guest's stack. */
struct asan_switch {
    void *fake;
    const void *bottom; /* of the stack that we come from */
    size_t bytes;
    bool nested;
};

static void asan_to_guest(struct asan_switch *state, const struct wasm_store *store, bool nested)
{
#ifdef WITH_ASAN
    const void *low = (const void *)wasm_store_stack_low(store);
    state->nested = nested;
    if (nested) {
        __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
    }
    /* There and back, to learn the bounds of the present stack. */
    __sanitizer_start_switch_fiber(&state->fake, low, store->stack_bytes);
    __sanitizer_finish_switch_fiber(state->fake, &state->bottom, &state->bytes);
    __sanitizer_start_switch_fiber(&state->fake, low, store->stack_bytes);
#else
    (void)state;
    (void)store;
    (void)nested;
#endif
}

static void asan_from_guest(struct asan_switch *state)
{
#ifdef WITH_ASAN
    void *fake;
    __sanitizer_finish_switch_fiber(state->fake, NULL, NULL);
    __sanitizer_start_switch_fiber(&fake, state->bottom, state->bytes);
    if (!state->nested) {
        __sanitizer_finish_switch_fiber(fake, NULL, NULL);
    }
#else
    (void)state;
#endif
}

WM_NOINLINE static void asan_forget(const struct wasm_store *store, bool outermost)
{
#ifdef WITH_ASAN
    uintptr_t low = wasm_store_stack_low(store);
    uintptr_t top = outermost ? wasm_store_stack_top(store) : (uintptr_t)__builtin_frame_address(0);
    __asan_unpoison_memory_region((const void *)low, top - low);
#else
    (void)store;
    (void)outermost;
#endif
}

/* The frames of all calls of this store around `act`, innermost first. */
static uint32_t outer_stands(const struct wasm_store *store, const struct wasm_activation *act,
                             struct wasm_stand stands[WASM_CALL_NESTING_MAX])
{
    uint32_t count = 0;
    for (; act && count < WASM_CALL_NESTING_MAX; act = act->outer) {
        const struct call_frame *frame = (const struct call_frame *)act;
        if (act->store == store && frame->saved.act) {
            stands[count++] =
                (struct wasm_stand){frame->saved.pc, frame->saved.sp, frame->saved.fp, false};
        }
    }
    return count;
}

/* running->pc and its like tell where the guest stood last, innermost. */
WM_NOINLINE static enum wasm_trap report(struct wasm_store *store, enum wasm_trap trap,
                                         const struct wasm_activation *act)
{
    struct wasm_stand stands[WASM_CALL_NESTING_MAX];
    wasm_report_fill(store, trap, stands, outer_stands(store, act, stands));
    return trap;
}

static bool is_around(const struct wasm_activation *outer, const struct wasm_activation *act)
{
    while (act && act != outer) {
        act = act->outer;
    }
    return act != NULL;
}

enum wasm_trap wasm_call(struct wasm_store *store, const struct wasm_func *func,
                         union wasm_value *values)
{
    struct wasm_running *running = &store->running;
    struct wasm_thread *thread = wasm_thread_here();
    struct call_frame frame;
    bool outermost = running->act == NULL;

    if (WM_UNLIKELY(!thread)) {
        return report(store, WASM_TRAP_OUT_OF_MEMORY, running->act);
    }
    if (WM_UNLIKELY(store->depth >= WASM_CALL_NESTING_MAX)) {
        return report(store, WASM_TRAP_STACK_EXHAUSTED, running->act);
    }
    void *stack = NULL;
    if (outermost) {
        stack = (void *)wasm_store_stack_top(store);
    } else {
        /* A host function of this store called us, so we stand on its guest's stack; or one of
         * another store, which that guest called, and then there is no stack for this call. If
         * neither, two threads use one store. */
        uintptr_t here = (uintptr_t)__builtin_frame_address(0);
        if (WM_UNLIKELY(!thread->act || thread->act->store != store)) {
            WM_ASSERT(is_around(running->act, thread->act));
            return report(store, WASM_TRAP_HOST, running->act);
        }
        WM_ASSERT(here > wasm_store_stack_low(store) && here < wasm_store_stack_top(store));
        if (here < running->host_limit) {
            return report(store, WASM_TRAP_STACK_EXHAUSTED, running->act);
        }
    }
    frame.act.outer = thread->act;
    frame.act.store = store;
    frame.saved.act = running->act;
    frame.saved.pc = running->pc;
    frame.saved.sp = running->sp;
    frame.saved.fp = running->fp;
    int64_t frame_left = store->budget.frame_left;
    int64_t armed_before = thread->armed_ns;

    running->act = &frame.act;
    store->depth++;
    atomic_signal_fence(memory_order_seq_cst);
    thread->act = &frame.act;
    atomic_signal_fence(memory_order_seq_cst);
    if (outermost) {
        /* From here on wasm_store_kill finds the thread; what came before it left in `pending`,
         * which the entry of this call looks at. Sequentially consistent on both sides. */
        atomic_store(&store->running_tid, thread->tid);
        if (store->deadline_ns != 0 && (armed_before == 0 || store->deadline_ns < armed_before)) {
            wasm_interrupt_arm(thread, store->deadline_ns);
        }
    }
    enum wasm_trap trap = (enum wasm_trap)atomic_load(&running->pending);
    if (WM_LIKELY(trap == WASM_TRAP_NONE)) {
        struct asan_switch state = {0};
        if (outermost) {
            asan_to_guest(&state, store, frame.act.outer != NULL);
        }
        trap = wasm_enter(&frame.act, stack, func->ctx, func->code, values, func->entry);
        if (outermost) {
            asan_from_guest(&state);
        }
    } else {
        running->pc = running->sp = running->fp = 0;
    }
    thread->act = frame.act.outer;
    atomic_signal_fence(memory_order_seq_cst);
    if (outermost) {
        atomic_store(&store->running_tid, 0);
        if (thread->armed_ns != armed_before) { /* by us, or by a kill that repeats */
            wasm_interrupt_arm(thread, armed_before);
            if (frame.act.outer && wasm_interrupt_due(thread)) {
                wasm_interrupt_arm(thread, wasm_clock_ns() + WASM_INTERRUPT_REPEAT_NS);
            }
        }
        /* Obeyed, or too late. A kill that this call did not obey is for the next one. */
        uint32_t deadline = WASM_TRAP_DEADLINE, obeyed = (uint32_t)trap;
        (void)atomic_compare_exchange_strong(&running->pending, &deadline, WASM_TRAP_NONE);
        if (trap == WASM_TRAP_KILLED) {
            (void)atomic_compare_exchange_strong(&running->pending, &obeyed, WASM_TRAP_NONE);
        }
    }
    if (WM_UNLIKELY(trap != WASM_TRAP_NONE)) {
        report(store, trap, &frame.act);
        store->budget.frame_left = frame_left;
        asan_forget(store, outermost);
    }
    running->act = frame.saved.act;
    running->pc = frame.saved.pc;
    running->sp = frame.saved.sp;
    running->fp = frame.saved.fp;
    store->depth--;
    return trap;
}

/* enter.S jumps here from the stub that every binding's adapter calls. */
void wasm_host_call(struct wasm_binding *binding, union wasm_value *values);

void wasm_host_call(struct wasm_binding *binding, union wasm_value *values)
{
    struct wasm_running *running = binding->running;
    enum wasm_trap trap = binding->call(&binding->caller, values);
    if (WM_UNLIKELY(trap != WASM_TRAP_NONE) &&
        !(trap == WASM_TRAP_SUSPENDED &&
          binding->caller.store->suspend == WASM_SUSPEND_UNWINDING)) {
        wasm_running_leave(running, trap);
    }
    uint32_t pending = atomic_load_explicit(&running->pending, memory_order_relaxed);
    if (WM_UNLIKELY(pending != WASM_TRAP_NONE)) {
        wasm_running_leave(running, (enum wasm_trap)pending);
    }
}
