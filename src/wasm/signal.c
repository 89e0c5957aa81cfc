/* signal.c: faults and interrupts that arrive while a guest runs.
 *
 * The handlers decide by the interrupted instruction alone: only when it is compiled code of the
 * store that this thread is running can the guest be to blame (or be interrupted). Everything else,
 * in our services and host functions too, is a bug of the process, and goes to whoever handled the
 * signal before us, by default to a core dump.
 *
 *     ud1 N(%eax),%eax in the text            trap N
 *     access in a memory's reservation        out of bounds memory access
 *     access in the guard of the stack        call stack exhausted
 *     bus error inside a memory               the machine had no page for it
 *
 * A handler changes nothing but a few words of the store and the saved registers, so that returning
 * from it continues in wasm_leave. It runs on a stack of its own: the guest's may be used up. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "wasm/runtime.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define ALT_STACK_HEADROOM (32u << 10)
#define PAGE_BYTES 4096u

/* One pointer's worth of static TLS, so that a handler's access never allocates. */
static _Thread_local struct wasm_thread here __attribute__((tls_model("initial-exec")));
static _Atomic unsigned generation = 1; /* of the process: a forked child has no timers */
static pthread_key_t thread_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int install_rc;
static struct sigaction previous_segv, previous_bus, previous_ill;

/* --- Faults --- */

static enum wasm_trap trap_number(uint8_t number)
{
#define NUMBER_CASE(name, value, text) \
    case value: return (enum wasm_trap)value;
    switch (number) {
        WASM_TRAP_TABLE(NUMBER_CASE)
    default: return WASM_TRAP_NONE;
    }
}

/* `ud1 N(%eax),%eax` in the forms that LLVM emits: 67 0f b9 40 NN, or without the address-size
 * prefix (ud1 N(%rax),%eax). */
static enum wasm_trap decode_trap(const uint8_t *at, const uint8_t *end)
{
    if (at < end && *at == 0x67) {
        at++;
    }
    if (end - at >= 4 && at[0] == 0x0f && at[1] == 0xb9 && at[2] == 0x40) {
        return trap_number(at[3]);
    }
    return WASM_TRAP_NONE;
}

/* Rewrites the interrupted registers so that the thread goes on in wasm_leave. */
static void leave_after(ucontext_t *context, struct wasm_store *store, enum wasm_trap trap)
{
    greg_t *regs = context->uc_mcontext.gregs;
    struct wasm_running *running = &store->running;
    running->pc = (uintptr_t)regs[REG_RIP];
    running->sp = (uintptr_t)regs[REG_RSP];
    running->fp = (uintptr_t)regs[REG_RBP];
    running->exact = 1;
    regs[REG_RDI] = (greg_t)running->act;
    regs[REG_RSI] = (greg_t)trap;
    regs[REG_RIP] = (greg_t)&wasm_leave;
}

/* The store whose compiled code this thread is in, or NULL. */
static struct wasm_store *store_in_guest(const ucontext_t *context, const struct wasm_range **range)
{
    struct wasm_activation *act = here.act;
    if (!act) {
        return NULL;
    }
    *range = wasm_ranges_find(&act->store->code, (uintptr_t)context->uc_mcontext.gregs[REG_RIP]);
    return *range ? act->store : NULL;
}

static enum wasm_trap classify(int signal, const siginfo_t *info, const ucontext_t *context,
                               struct wasm_store *store, const struct wasm_range *range)
{
    if (info->si_code <= 0) { /* sent by somebody, not caused by the instruction */
        return WASM_TRAP_NONE;
    }
    if (signal == SIGILL) {
        return decode_trap((const uint8_t *)context->uc_mcontext.gregs[REG_RIP],
                           (const uint8_t *)range->end);
    }
    uintptr_t addr = (uintptr_t)info->si_addr;
    const struct wasm_range *memory_range = wasm_ranges_find(&store->memories, addr);
    if (memory_range) {
        if (signal == SIGBUS) {
            return info->si_code == BUS_ADRERR ? WASM_TRAP_OUT_OF_MEMORY : WASM_TRAP_NONE;
        }
        store->running.fault_addr = addr - memory_range->start;
        return WASM_TRAP_MEMORY_BOUNDS;
    }
    if (signal == SIGSEGV && addr >= (uintptr_t)store->stack &&
        addr < wasm_store_stack_low(store)) {
        return WASM_TRAP_STACK_EXHAUSTED;
    }
    return WASM_TRAP_NONE;
}

static void pass_on(int signal, siginfo_t *info, void *context, const struct sigaction *previous)
{
    if (previous->sa_flags & SA_SIGINFO) {
        previous->sa_sigaction(signal, info, context);
        return;
    }
    if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN) {
        previous->sa_handler(signal);
        return;
    }
    if (previous->sa_handler == SIG_IGN && info->si_code <= 0) {
        return;
    }
    /* The default: the instruction faults again on return, and the process ends with its core. A
     * signal that somebody sent has to be sent again. */
    struct sigaction act = {.sa_handler = SIG_DFL};
    sigaction(signal, &act, NULL);
    if (info->si_code <= 0) {
        syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), signal);
    }
}

static void on_fault(int signal, siginfo_t *info, void *data)
{
    ucontext_t *context = data;
    int saved_errno = errno;
    const struct wasm_range *range;
    struct wasm_store *store = store_in_guest(context, &range);
    enum wasm_trap trap = store ? classify(signal, info, context, store, range) : WASM_TRAP_NONE;
    if (trap != WASM_TRAP_NONE) {
        leave_after(context, store, trap);
    } else {
        pass_on(signal, info, data,
                signal == SIGSEGV  ? &previous_segv
                : signal == SIGBUS ? &previous_bus
                                   : &previous_ill);
    }
    errno = saved_errno;
}

static void on_interrupt(int signal, siginfo_t *info, void *data)
{
    (void)signal;
    (void)info;
    int saved_errno = errno;
    struct wasm_thread *thread = &here;
    if (thread->act && wasm_interrupt_due(thread)) {
        const struct wasm_range *range;
        struct wasm_store *store = store_in_guest(data, &range);
        if (store) {
            leave_after(data, store, (enum wasm_trap)atomic_load(&store->running.pending));
        }
        /* Not obeyed yet, or only by the innermost call: the timer repeats from now on. */
        if (thread->armed_ns == 0 || thread->armed_ns > wasm_clock_ns()) {
            wasm_interrupt_arm(thread, wasm_clock_ns() + WASM_INTERRUPT_REPEAT_NS);
        }
    }
    errno = saved_errno;
}

/* --- The process and its threads --- */

static bool make_timer(struct wasm_thread *thread)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WASM_INTERRUPT_SIGNAL};
    event._sigev_un._tid = thread->tid;
    timer_t timer;
    if (wm_fault_here(WM_FAULT_IO) || timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        return false;
    }
    thread->timer = (void *)timer;
    return true;
}

/* In the child. A host function that forked goes on with its calls here, and their deadlines with
 * them; all else is made ready when it is first used. */
static void after_fork(void)
{
    struct wasm_thread *thread = &here;
    unsigned now = atomic_fetch_add(&generation, 1) + 1;
    if (!thread->act) {
        return;
    }
    thread->tid = (int)syscall(SYS_gettid);
    for (struct wasm_activation *act = thread->act; act; act = act->outer) {
        atomic_store(&act->store->running_tid, thread->tid);
    }
    thread->timer = NULL;
    if (make_timer(thread)) {
        thread->generation = now;
        wasm_interrupt_arm(thread, thread->armed_ns);
    }
}

unsigned wasm_process_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

static void thread_end(void *data)
{
    struct wasm_thread *thread = data;
    if (thread->timer && thread->generation == atomic_load(&generation)) {
        timer_delete((timer_t)thread->timer);
    }
    if (thread->alt_stack) {
        stack_t off = {.ss_flags = SS_DISABLE};
        sigaltstack(&off, NULL);
        munmap(thread->alt_stack, thread->alt_stack_bytes);
    }
    *thread = (struct wasm_thread){0};
}

static int install_one(int signal, void (*handler)(int, siginfo_t *, void *),
                       struct sigaction *previous)
{
    /* Without SA_RESTART: a blocking host call has to return when its guest's time is up. Faults
     * keep the interrupt out until they have been dealt with. */
    struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&act.sa_mask);
    sigaddset(&act.sa_mask, WASM_INTERRUPT_SIGNAL);
    return wm_fault_here(WM_FAULT_IO) || sigaction(signal, &act, previous) != 0 ? -errno : 0;
}

static void install(void)
{
    struct sigaction ignored;
    if ((install_rc = -pthread_key_create(&thread_key, thread_end)) != 0 ||
        (install_rc = -pthread_atfork(NULL, NULL, after_fork)) != 0 ||
        (install_rc = install_one(WASM_INTERRUPT_SIGNAL, on_interrupt, &ignored)) != 0 ||
        (install_rc = install_one(SIGSEGV, on_fault, &previous_segv)) != 0 ||
        (install_rc = install_one(SIGBUS, on_fault, &previous_bus)) != 0 ||
        (install_rc = install_one(SIGILL, on_fault, &previous_ill)) != 0) {
        return;
    }
}

int wasm_signals_install(void)
{
    pthread_once(&once, install);
    return install_rc;
}

static bool make_alt_stack(struct wasm_thread *thread)
{
    size_t need = (size_t)getauxval(AT_MINSIGSTKSZ);
    need = (need < 2048 ? 2048 : need) + ALT_STACK_HEADROOM;
    need = (need + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
    stack_t present;
    if (sigaltstack(NULL, &present) == 0 && !(present.ss_flags & SS_DISABLE) &&
        present.ss_size >= need - ALT_STACK_HEADROOM / 2) {
        return true;
    }
    size_t bytes = need + PAGE_BYTES; /* the lowest page is the guard */
    uint8_t *map = wm_fault_here(WM_FAULT_IO)
                       ? MAP_FAILED
                       : mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED) {
        return false;
    }
    stack_t stack = {.ss_sp = map + PAGE_BYTES, .ss_size = need};
    if (mprotect(map, PAGE_BYTES, PROT_NONE) != 0 || sigaltstack(&stack, NULL) != 0) {
        munmap(map, bytes);
        return false;
    }
    thread->alt_stack = map;
    thread->alt_stack_bytes = bytes;
    return true;
}

WM_NOINLINE static struct wasm_thread *make_thread(void)
{
    struct wasm_thread *thread = &here;
    sigset_t set;
    if (wasm_signals_install() != 0) {
        return NULL;
    }
    /* After a fork the alternate stack came along, the timer did not. An activation is that of the
     * forking thread, which goes on here. */
    thread->timer = NULL;
    thread->armed_ns = 0;
    thread->tid = (int)syscall(SYS_gettid);
    if ((!thread->alt_stack && !make_alt_stack(thread)) || !make_timer(thread)) {
        return NULL;
    }
    sigemptyset(&set);
    sigaddset(&set, WASM_INTERRUPT_SIGNAL);
    sigaddset(&set, SIGSEGV);
    sigaddset(&set, SIGBUS);
    sigaddset(&set, SIGILL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    if (pthread_setspecific(thread_key, thread) != 0) {
        timer_delete((timer_t)thread->timer);
        thread->timer = NULL;
        return NULL;
    }
    thread->generation = atomic_load(&generation);
    return thread;
}

struct wasm_thread *wasm_thread_here(void)
{
    if (WM_LIKELY(here.generation == atomic_load_explicit(&generation, memory_order_relaxed))) {
        return &here;
    }
    return make_thread();
}
