/* runtime_test.c: entering, leaving, traps, host calls, limits and interrupts, on hand-written code
 * (guest_object.S), so that every situation is reached exactly. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "wasm/guest_object.h"
#include "wasm/perfmap.h"
#include "wasm/runtime.h"
#include "wasm/typeid.h"

/* The module of all tests here; its memory is 1 page, at most 4. */
static struct guest_object made;

static void make_object(void)
{
    if (!made.object.header) {
        guest_object_make(&made, 'A', 1, 4);
    }
}

/* --- Host functions --- */

static enum wasm_trap host_double(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller;
    values[0].i32 *= 2;
    return WASM_TRAP_NONE;
}

static enum wasm_trap host_exit(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller;
    (void)values;
    return WASM_TRAP_EXIT;
}

/* Calls the function whose address is its env, once more for each level. */
static enum wasm_trap host_call_back(struct wasm_caller *caller, union wasm_value *values)
{
    uint32_t func_idx = *(uint32_t *)caller->env;
    return wasm_call(caller->store, wasm_instance_func(caller->instance, func_idx), values);
}

static enum wasm_trap host_call_back_and_look(struct wasm_caller *caller, union wasm_value *values)
{
    struct wasm_func *func = wasm_instance_func(caller->instance, FUNC_unreachable);
    enum wasm_trap trap = wasm_call(caller->store, func, values);
    const struct wasm_trap_report *report = wasm_store_report(caller->store);
    bool right = trap == WASM_TRAP_UNREACHABLE && report->frame_count == 2 &&
                 report->frames[0].func_idx == FUNC_unreachable &&
                 report->frames[1].func_idx == FUNC_call_host;
    values[0].i32 = right ? 2 : 0;
    return WASM_TRAP_NONE;
}

static enum wasm_trap host_recurse(struct wasm_caller *caller, union wasm_value *values)
{
    unsigned *levels = caller->env;
    ++*levels;
    return wasm_call(caller->store, wasm_instance_func(caller->instance, FUNC_call_host), values);
}

static enum wasm_trap host_use_stack(struct wasm_caller *caller, union wasm_value *values)
{
    /* What is promised, less what this frame and the calls below it take. */
    volatile char bytes[WASM_HOST_STACK_BYTES - 8192];
    for (size_t i = 0; i < sizeof bytes; i += 512) {
        bytes[i] = 1;
    }
    (void)caller;
    values[0].i32 = (uint32_t)bytes[0];
    return WASM_TRAP_NONE;
}

static enum wasm_trap host_sleep(struct wasm_caller *caller, union wasm_value *values)
{
    (void)values;
    while (wasm_store_interrupted(caller->store) == WASM_TRAP_NONE) {
        struct timespec long_time = {10, 0};
        nanosleep(&long_time, NULL);
    }
    return WASM_TRAP_HOST; /* the interrupt takes precedence only if we say so: here we do not */
}

static enum wasm_trap host_crash(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller;
    volatile uintptr_t nowhere = 8;
    *(volatile int *)nowhere = 1;
    values[0].i32 = 0;
    return WASM_TRAP_NONE;
}

struct guest {
    struct wasm_store *store;
    struct wasm_instance *instance;
    struct wasm_host_func host;
    void *env;
};

static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    struct guest *guest = self;
    if (!wm_view_eq_str(module, "host") || !wm_view_eq_str(name, "f") || kind != WASM_EXTERN_FUNC ||
        !guest->host.call) {
        return WM_E_NOT_FOUND;
    }
    *out = (struct wasm_extern){.kind = kind, .host = &guest->host, .host_env = guest->env};
    return 0;
}

static bool start(struct guest *guest, wasm_host_fn *call, void *env,
                  const struct wasm_store_limits *limits)
{
    make_object();
    struct wm_diag diag = WM_DIAG_INIT;
    *guest = (struct guest){.host = {"host", "f", "i:i", call}, .env = env};
    if (wasm_store_new(limits, &guest->store, &diag) != 0 ||
        wasm_instance_new(guest->store, &made.object, resolve, guest, &guest->instance, &diag) !=
            0) {
        wm_test_note("%s", wm_diag_text(&diag));
        return false;
    }
    return true;
}

static enum wasm_trap call(struct guest *guest, uint32_t func_idx, uint32_t arg, uint32_t *result)
{
    union wasm_value value = {.i32 = arg};
    enum wasm_trap trap =
        wasm_call(guest->store, wasm_instance_func(guest->instance, func_idx), &value);
    *result = value.i32;
    return trap;
}

TEST(calls_return_and_trap)
{
    struct guest guest;
    uint32_t result;
    REQUIRE(start(&guest, host_double, NULL, NULL));
    CHECK_INT(call(&guest, FUNC_add_one, 41, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 42);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(call(&guest, FUNC_unreachable, 0, &result), ==, WASM_TRAP_UNREACHABLE);
        CHECK_INT(wasm_store_report(guest.store)->trap, ==, WASM_TRAP_UNREACHABLE);
        REQUIRE(wasm_store_report(guest.store)->frame_count == 1);
        CHECK_INT(wasm_store_report(guest.store)->frames[0].func_idx, ==, FUNC_unreachable);
        CHECK_INT(call(&guest, FUNC_add_one, 1, &result), ==, WASM_TRAP_NONE);
    }
    char text[200];
    CHECK_INT(call(&guest, FUNC_unreachable, 0, &result), ==, WASM_TRAP_UNREACHABLE);
    CHECK_INT(wasm_report_format(wasm_store_report(guest.store), text, sizeof text), ==,
              (int)strlen(text));
    CHECK_STR(text, "  at f\\x0a (wasm offset 0x66)\n");
    wasm_store_free(guest.store);
    CHECK_INT(wasm_typeid_count(), ==, 0);
}

TEST(fuel_left_is_no_debt)
{
    struct guest guest;
    REQUIRE(start(&guest, host_double, NULL, NULL));
    wasm_store_budget(guest.store)->fuel = -5; /* as a charge that was not paid leaves it */
    CHECK_INT(wasm_store_fuel(guest.store), ==, 0);
    wasm_store_set_fuel(guest.store, 5);
    CHECK_INT(wasm_store_fuel(guest.store), ==, 5);
    wasm_store_free(guest.store);
}

TEST(memory_faults_become_traps_with_addresses)
{
    struct guest guest;
    uint32_t result;
    REQUIRE(start(&guest, host_double, NULL, NULL));
    CHECK_INT(call(&guest, FUNC_store, 65532, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(call(&guest, FUNC_load, 65532, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 42);
    CHECK_INT(call(&guest, FUNC_load, 65533, &result), ==, WASM_TRAP_MEMORY_BOUNDS);
    CHECK_INT(wasm_store_report(guest.store)->fault_addr, ==, 65536);
    CHECK_INT(call(&guest, FUNC_load_far, UINT32_MAX, &result), ==, WASM_TRAP_MEMORY_BOUNDS);
    CHECK_INT(wasm_store_report(guest.store)->fault_addr, ==, 2 * (int64_t)UINT32_MAX);
    CHECK_INT(call(&guest, FUNC_store, 65536 * 3, &result), ==, WASM_TRAP_MEMORY_BOUNDS);
    CHECK_INT(call(&guest, FUNC_grow, 3, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 1);
    CHECK_INT(call(&guest, FUNC_store, 65536 * 3, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(call(&guest, FUNC_grow, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, UINT32_MAX);
    CHECK_INT(call(&guest, FUNC_fill, 65536 * 4, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(call(&guest, FUNC_load, 0, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 0x07070707);
    CHECK_INT(call(&guest, FUNC_fill, 65536 * 4 + 1, &result), ==, WASM_TRAP_MEMORY_BOUNDS);
    REQUIRE(wasm_store_report(guest.store)->frame_count == 1);
    CHECK_INT(wasm_store_report(guest.store)->frames[0].func_idx, ==, FUNC_fill);
    CHECK_INT(wasm_memory_peak_bytes(wasm_instance_memory(guest.instance)), ==, 4 * 65536);
    wasm_store_free(guest.store);
}

TEST(growth_stops_at_the_stores_limit)
{
    struct guest guest;
    uint32_t result;
    struct wasm_store_limits limits = {.memory_bytes = 2 * WASM_PAGE_BYTES};
    REQUIRE(start(&guest, host_double, NULL, &limits));
    CHECK_INT(call(&guest, FUNC_grow, 2, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, UINT32_MAX);
    CHECK_INT(call(&guest, FUNC_grow, UINT32_MAX, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, UINT32_MAX);
    CHECK_INT(call(&guest, FUNC_grow, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 1);
    /* A machine that refuses: -1, but in det mode the end of the call. */
    wasm_store_free(guest.store);
    REQUIRE(start(&guest, host_double, NULL, NULL));
    wm_fault_arm(WM_FAULT_IO, 1);
    CHECK_INT(call(&guest, FUNC_grow, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, UINT32_MAX);
    made.header.key.mode = WASM_MODE_DET;
    wm_fault_arm(WM_FAULT_IO, 1);
    CHECK_INT(call(&guest, FUNC_grow, 1, &result), ==, WASM_TRAP_OUT_OF_MEMORY);
    made.header.key.mode = WASM_MODE_GUARD;
    wm_fault_arm(WM_FAULT_IO, 0);
    wasm_store_free(guest.store);
}

TEST(stack_exhaustion_is_a_trap)
{
    struct guest guest;
    uint32_t result;
    struct wasm_store_limits limits = {.stack_bytes = 1 << 20};
    REQUIRE(start(&guest, host_double, NULL, &limits));
    CHECK_INT(call(&guest, FUNC_recurse, 20000, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(call(&guest, FUNC_recurse, UINT32_MAX, &result), ==, WASM_TRAP_STACK_EXHAUSTED);
    const struct wasm_trap_report *report = wasm_store_report(guest.store);
    CHECK_INT(report->frame_count, ==, WASM_BACKTRACE_MAX);
    CHECK(report->truncated);
    CHECK_INT(report->frames[40].func_idx, ==, FUNC_recurse);
    CHECK_INT(wasm_report_format(report, NULL, 0), >, 64 * 10);
    CHECK_INT(call(&guest, FUNC_recurse, 3, &result), ==, WASM_TRAP_NONE);
    wasm_store_free(guest.store);
}

TEST(in_det_frames_end_before_the_stack_whatever_was_chosen)
{
    static const uint64_t chosen[] = {0, 1 << 20, 64 << 20};
    make_object();
    for (size_t i = 0; i < WM_COUNT_OF(chosen); i++) {
        struct wasm_store_limits limits = {.stack_bytes = chosen[i]};
        uint64_t frames = chosen[i] ? chosen[i] : 256 << 20;
        struct wm_diag diag = WM_DIAG_INIT;
        struct wasm_store *store;
        REQUIRE(wasm_store_new(&limits, &store, &diag) == 0);
        made.header.key.mode = WASM_MODE_DET;
        CHECK_INT(wasm_store_fit_stack(store, &made.object, &diag), ==, 0);
        made.header.key.mode = WASM_MODE_GUARD;
        CHECK_INT(store->budget.frame_left, ==, frames);
        CHECK_INT(store->stack_bytes, >, frames + WASM_HOST_STACK_BYTES);
        wasm_store_free(store);
    }
}

TEST(host_functions_have_their_stack_or_the_guest_ends)
{
    struct guest guest;
    uint32_t result;
    struct wasm_store_limits limits = {.stack_bytes = 1 << 20};
    REQUIRE(start(&guest, host_use_stack, NULL, &limits));
    unsigned reached = 0, refused = 0;
    /* Every depth around the limit and the guard: never a fault in the host function. */
    for (uint32_t depth = 1000; depth < 140000; depth += 37) {
        enum wasm_trap trap = call(&guest, FUNC_deep_host, depth, &result);
        reached += trap == WASM_TRAP_NONE;
        refused += trap == WASM_TRAP_STACK_EXHAUSTED;
        if (trap != WASM_TRAP_NONE && trap != WASM_TRAP_STACK_EXHAUSTED) {
            CHECK_INT(trap, ==, WASM_TRAP_NONE);
        }
    }
    CHECK_INT(reached, >, 100);
    CHECK_INT(refused, >, 100);
    wasm_store_free(guest.store);
}

TEST(host_calls_pass_values_traps_and_nest)
{
    struct guest guest;
    uint32_t result, func_idx = FUNC_unreachable;
    REQUIRE(start(&guest, host_double, NULL, NULL));
    CHECK_INT(call(&guest, FUNC_call_host, 21, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 42);
    CHECK_INT(call(&guest, FUNC_host, 4, &result), ==, WASM_TRAP_NONE); /* the import itself */
    CHECK_INT(result, ==, 8);
    wasm_store_free(guest.store);

    REQUIRE(start(&guest, host_exit, NULL, NULL));
    CHECK_INT(call(&guest, FUNC_call_host, 21, &result), ==, WASM_TRAP_EXIT);
    CHECK_INT(wasm_store_report(guest.store)->frame_count, ==, 1);
    wasm_store_free(guest.store);

    REQUIRE(start(&guest, host_call_back, &func_idx, NULL));
    CHECK_INT(call(&guest, FUNC_call_host, 0, &result), ==, WASM_TRAP_UNREACHABLE);
    REQUIRE(wasm_store_report(guest.store)->frame_count == 1); /* the outer call ended last */
    CHECK_INT(wasm_store_report(guest.store)->frames[0].func_idx, ==, FUNC_call_host);
    func_idx = FUNC_add_one;
    CHECK_INT(call(&guest, FUNC_call_host, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 2);
    wasm_store_free(guest.store);

    REQUIRE(start(&guest, host_call_back_and_look, NULL, NULL));
    CHECK_INT(call(&guest, FUNC_call_host, 0, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 2); /* frames: the inner call's and the outer's */
    wasm_store_free(guest.store);

    unsigned levels = 0;
    REQUIRE(start(&guest, host_recurse, &levels, NULL));
    CHECK_INT(call(&guest, FUNC_call_host, 0, &result), ==, WASM_TRAP_STACK_EXHAUSTED);
    CHECK_INT(levels, >, 10);
    CHECK_INT(levels, <=, WASM_CALL_NESTING_MAX);
    CHECK(guest.store->running.act == NULL);
    wasm_store_free(guest.store);
}

/* --- Two stores on one thread --- */

struct pair {
    struct guest inner;
    enum wasm_trap inner_trap;
    uint32_t inner_func;
};

static enum wasm_trap host_other_store(struct wasm_caller *caller, union wasm_value *values)
{
    struct pair *pair = caller->env;
    pair->inner_trap = call(&pair->inner, pair->inner_func, values[0].i32, &values[0].i32);
    return WASM_TRAP_NONE;
}

/* From the inner store's host function back into the outer store, whose guest waits. */
static enum wasm_trap host_back(struct wasm_caller *caller, union wasm_value *values)
{
    struct guest *outer = caller->env;
    return call(outer, FUNC_add_one, 1, &values[0].i32);
}

TEST(calls_back_into_a_store_that_waits_are_refused)
{
    struct guest outer;
    struct pair pair = {.inner_func = FUNC_call_host};
    uint32_t result;
    REQUIRE(start(&outer, host_other_store, &pair, NULL));
    REQUIRE(start(&pair.inner, host_back, &outer, NULL));
    CHECK_INT(call(&outer, FUNC_call_host, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(pair.inner_trap, ==, WASM_TRAP_HOST);
    CHECK(outer.store->running.act == NULL && pair.inner.store->running.act == NULL);
    CHECK_INT(call(&outer, FUNC_add_one, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 2);
    wasm_store_free(outer.store);
    wasm_store_free(pair.inner.store);
}

TEST(a_host_function_may_run_another_store)
{
    struct guest outer;
    struct pair pair = {.inner_func = FUNC_add_one};
    uint32_t result;
    REQUIRE(start(&pair.inner, host_double, NULL, NULL));
    REQUIRE(start(&outer, host_other_store, &pair, NULL));
    CHECK_INT(call(&outer, FUNC_call_host, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 2);
    pair.inner_func = FUNC_unreachable;
    CHECK_INT(call(&outer, FUNC_call_host, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(pair.inner_trap, ==, WASM_TRAP_UNREACHABLE);
    /* The outer call's deadline ends both. */
    pair.inner_func = FUNC_loop;
    wasm_store_set_deadline(outer.store, wasm_clock_ns() + 20000000);
    CHECK_INT(call(&outer, FUNC_call_host, 1, &result), ==, WASM_TRAP_DEADLINE);
    CHECK_INT(pair.inner_trap, ==, WASM_TRAP_DEADLINE);
    wasm_store_set_deadline(outer.store, 0);
    pair.inner_func = FUNC_add_one;
    CHECK_INT(call(&outer, FUNC_call_host, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(pair.inner_trap, ==, WASM_TRAP_NONE);
    wasm_store_free(outer.store);
    wasm_store_free(pair.inner.store);
}

/* --- Interrupts --- */

TEST(deadlines_reach_every_loop)
{
    static const uint32_t loops[] = {FUNC_loop, FUNC_call_host_forever, FUNC_fill_forever};
    struct guest guest;
    uint32_t result;
    REQUIRE(start(&guest, host_double, NULL, NULL));
    made.header.memory_max = 4;
    for (size_t i = 0; i < WM_COUNT_OF(loops); i++) {
        for (int round = 0; round < 5; round++) {
            int64_t deadline = wasm_clock_ns() + 5000000;
            wasm_store_set_deadline(guest.store, deadline);
            enum wasm_trap trap = call(&guest, loops[i], 0, &result);
            int64_t late = wasm_clock_ns() - deadline;
            if (loops[i] == FUNC_fill_forever) { /* 64 MiB do not fit: traps at once */
                CHECK_INT(trap, ==, WASM_TRAP_MEMORY_BOUNDS);
                continue;
            }
            CHECK_INT(trap, ==, WASM_TRAP_DEADLINE);
            CHECK_INT(late, >=, 0);
            CHECK_INT(late, <, 100000000); /* other programs run here too; the bench is stricter */
        }
    }
    /* Passed already: the guest does not run at all, and a later call without one does. */
    wasm_store_set_deadline(guest.store, 1);
    CHECK_INT(call(&guest, FUNC_loop, 0, &result), ==, WASM_TRAP_DEADLINE);
    wasm_store_set_deadline(guest.store, 0);
    CHECK_INT(call(&guest, FUNC_add_one, 1, &result), ==, WASM_TRAP_NONE);
    wasm_store_free(guest.store);
}

TEST(long_services_are_interrupted)
{
    struct guest guest;
    uint32_t result;
    made.header.memory_max = 1024;
    REQUIRE(start(&guest, host_double, NULL, NULL));
    made.header.memory_max = 4;
    CHECK_INT(call(&guest, FUNC_grow, 1023, &result), ==, WASM_TRAP_NONE);
    wasm_store_set_deadline(guest.store, wasm_clock_ns() + 5000000);
    CHECK_INT(call(&guest, FUNC_fill_forever, 0, &result), ==, WASM_TRAP_DEADLINE);
    wasm_store_free(guest.store);
}

TEST(blocking_host_calls_are_interrupted)
{
    struct guest guest;
    uint32_t result;
    REQUIRE(start(&guest, host_sleep, NULL, NULL));
    wasm_store_set_deadline(guest.store, wasm_clock_ns() + 20000000);
    int64_t before = wasm_clock_ns();
    CHECK_INT(call(&guest, FUNC_call_host, 0, &result), ==, WASM_TRAP_HOST);
    CHECK_INT(wasm_clock_ns() - before, <, 2000000000);
    wasm_store_free(guest.store);
}

static void *kill_soon(void *data)
{
    struct timespec soon = {0, 3000000};
    nanosleep(&soon, NULL);
    wasm_store_kill(data);
    return NULL;
}

TEST(kill_ends_the_running_call_or_the_next)
{
    struct guest guest;
    uint32_t result;
    REQUIRE(start(&guest, host_sleep, NULL, NULL));
    static const uint32_t loops[] = {FUNC_loop, FUNC_call_host};
    for (size_t i = 0; i < 2 * WM_COUNT_OF(loops); i++) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, kill_soon, guest.store) == 0);
        enum wasm_trap trap = call(&guest, loops[i % 2], 0, &result);
        CHECK_INT(trap, ==, i % 2 ? WASM_TRAP_HOST : WASM_TRAP_KILLED);
        pthread_join(thread, NULL);
        if (i % 2) { /* the host function answered with a trap of its own: the kill is still due */
            CHECK_INT(call(&guest, FUNC_add_one, 0, &result), ==, WASM_TRAP_KILLED);
        }
        CHECK_INT(call(&guest, FUNC_add_one, 0, &result), ==, WASM_TRAP_NONE);
    }
    wasm_store_kill(guest.store);
    CHECK_INT(call(&guest, FUNC_add_one, 0, &result), ==, WASM_TRAP_KILLED);
    CHECK_INT(call(&guest, FUNC_add_one, 0, &result), ==, WASM_TRAP_NONE);
    wasm_store_free(guest.store);
}

static void *run_in_thread(void *data)
{
    struct guest *guest = data;
    uint32_t result, wrong = 0;
    for (int i = 0; i < 200; i++) {
        wasm_store_set_deadline(guest->store, wasm_clock_ns() + 100000 + i * 1000);
        wrong += call(guest, i % 2 ? FUNC_loop : FUNC_call_host_forever, 0, &result) !=
                 WASM_TRAP_DEADLINE;
        wrong += call(guest, FUNC_unreachable, 0, &result) == WASM_TRAP_NONE;
    }
    wasm_store_set_deadline(guest->store, 0);
    wrong += call(guest, FUNC_recurse, UINT32_MAX, &result) != WASM_TRAP_STACK_EXHAUSTED;
    return (void *)(uintptr_t)wrong;
}

TEST(threads_have_their_own_timers_and_stacks)
{
    enum { THREADS = 4 };
    struct guest guests[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(start(&guests[i], host_double, NULL, NULL));
        REQUIRE(pthread_create(&threads[i], NULL, run_in_thread, &guests[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        CHECK_INT((uintptr_t)wrong, ==, 0);
        wasm_store_free(guests[i].store);
    }
}

/* --- Our own bugs stay crashes --- */

static int status_of_child(wasm_host_fn *host, uint32_t func_idx)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct guest guest;
        uint32_t result;
        freopen("/dev/null", "w", stderr);
        signal(SIGSEGV, SIG_DFL); /* before the handlers are installed: also a sanitizer's goes */
        if (start(&guest, host, NULL, NULL)) {
            (void)call(&guest, func_idx, 5, &result);
        }
        _exit(7);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

TEST(faults_outside_guest_code_crash_as_before)
{
    int status = status_of_child(host_crash, FUNC_call_host);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = status_of_child(host_double, FUNC_null_call);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = status_of_child(host_double, FUNC_add_one);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

TEST(a_forked_child_has_deadlines_too)
{
    struct guest guest;
    uint32_t result;
    REQUIRE(start(&guest, host_double, NULL, NULL));
    CHECK_INT(call(&guest, FUNC_add_one, 0, &result), ==, WASM_TRAP_NONE);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        wasm_store_set_deadline(guest.store, wasm_clock_ns() + 1000000);
        _exit(call(&guest, FUNC_loop, 0, &result) == WASM_TRAP_DEADLINE ? 7 : 8);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    wasm_store_free(guest.store);
}

/* In the child goes on with a call of its own; in the parent waits for it. */
static enum wasm_trap host_fork(struct wasm_caller *caller, union wasm_value *values)
{
    int *status = caller->env;
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        *status = -1;
        return wasm_call(caller->store, wasm_instance_func(caller->instance, FUNC_loop), values);
    }
    while (waitpid(child, status, 0) < 0 && errno == EINTR) {
        /* the deadline is the parent's too */
    }
    return WASM_TRAP_NONE;
}

TEST(a_child_forked_in_a_host_function_keeps_its_deadline)
{
    struct guest guest;
    uint32_t result;
    int status = 0;
    REQUIRE(start(&guest, host_fork, &status, NULL));
    wasm_store_set_deadline(guest.store, wasm_clock_ns() + 300000000);
    fflush(stdout);
    enum wasm_trap trap = call(&guest, FUNC_call_host, 0, &result);
    if (status == -1) { /* only the child sees this */
        wasm_store_set_deadline(guest.store, wasm_clock_ns() + 1000000);
        bool again = call(&guest, FUNC_loop, 0, &result) == WASM_TRAP_DEADLINE;
        _exit(trap == WASM_TRAP_DEADLINE && again ? 7 : 8);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    wasm_store_free(guest.store);
}

/* --- Failures of the machine --- */

TEST(every_failing_operation_of_linking_is_survived)
{
    make_object();
    static const enum wm_fault_kind kinds[] = {WM_FAULT_ALLOC, WM_FAULT_IO};
    for (size_t i = 0; i < WM_COUNT_OF(kinds); i++) {
        uint64_t rounds = 0;
        for (uint64_t n = 0; wm_fault_next(kinds[i], &n); rounds++) {
            struct wm_diag diag = WM_DIAG_INIT;
            struct guest guest = {.host = {"host", "f", "i:i", host_double}};
            int rc = wasm_store_new(NULL, &guest.store, &diag);
            if (rc == 0) {
                rc = wasm_instance_new(guest.store, &made.object, resolve, &guest, &guest.instance,
                                       &diag);
                if (rc == 0) {
                    uint32_t result;
                    enum wasm_trap trap = call(&guest, FUNC_add_one, 1, &result);
                    CHECK(trap == WASM_TRAP_NONE || wm_fault_fired(kinds[i]));
                }
                wasm_store_free(guest.store);
            }
            CHECK(rc == 0 || (wm_fault_fired(kinds[i]) && diag.text[0]));
        }
        CHECK_INT(rounds, >, 1);
    }
    CHECK_INT(wasm_typeid_count(), ==, 0);
}

TEST(unlinkable_imports_say_what_to_do)
{
    make_object();
    struct wm_diag diag = WM_DIAG_INIT;
    struct guest guest = {.host = {"host", "f", "iI:i", host_double}};
    REQUIRE(wasm_store_new(NULL, &guest.store, &diag) == 0);
    CHECK_INT(wasm_instance_new(guest.store, &made.object, resolve, &guest, &guest.instance, &diag),
              ==, WM_E_UNLINKABLE);
    CHECK_STR(wm_diag_text(&diag),
              "import \"host\" \"f\" (function (i32) -> (i32)): incompatible import type: the host "
              "has \"iI:i\"; build the module for this host's interface");
    guest.host.call = NULL;
    CHECK_INT(wasm_instance_new(guest.store, &made.object, resolve, &guest, &guest.instance, &diag),
              ==, WM_E_UNLINKABLE);
    CHECK_STR(wm_diag_text(&diag),
              "import \"host\" \"f\" (function (i32) -> (i32)): unknown import: nothing here "
              "provides it; link the module that does, or build without it");
    CHECK(guest.store->instances == NULL);
    wasm_store_free(guest.store);
}

TEST(perf_map_names_functions)
{
    make_object();
    struct wm_diag diag = WM_DIAG_INIT;
    char path[64], wanted[100], text[8192] = "";
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    unlink(path);
    REQUIRE(symlink("/tmp/nowhere", path) == 0); /* somebody's trap */
    CHECK_INT(wasm_perfmap_add(&made.object, &diag), ==, -ELOOP);
    unlink(path);
    CHECK_INT(wasm_perfmap_add(&made.object, &diag), ==, 0);
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL);
    CHECK(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    const struct wasm_object_func *func = &made.funcs[FUNC_loop];
    snprintf(wanted, sizeof wanted, "\n%llx %x wasm:f\\x0a\n",
             (unsigned long long)(uintptr_t)(made.object.text + func->code_offset), func->code_len);
    CHECK(strstr(text, wanted) != NULL);
    unlink(path);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        int rc = wasm_perfmap_add(&made.object, &diag);
        CHECK(rc == 0 || wm_fault_fired(WM_FAULT_IO));
    }
    unlink(path);
}

TEST(type_ids_are_shared_counted_and_used_again)
{
    uint8_t many[WASM_PARAMS_MAX];
    uint32_t ids[300];
    memset(many, WASM_I32, sizeof many);
    for (uint32_t i = 0; i < 300; i++) {
        struct wasm_functype type = {.param_count = i, .params = many};
        ids[i] = wasm_typeid_take(&type);
        REQUIRE(ids[i] != 0);
        for (uint32_t j = 0; j < i; j++) {
            if (ids[i] == ids[j]) {
                CHECK(false);
            }
        }
    }
    struct wasm_functype type = {.param_count = 7, .params = many};
    CHECK_INT(wasm_typeid_take(&type), ==, ids[7]);
    CHECK_INT(wasm_typeid_type(ids[7]).param_count, ==, 7);
    struct wasm_functype result = {.result_count = 7, .results = many};
    uint32_t other = wasm_typeid_take(&result);
    CHECK_INT(other, !=, ids[7]);
    wasm_typeid_put(other);
    wasm_typeid_put(ids[7]);
    for (uint32_t i = 0; i < 300; i++) {
        wasm_typeid_put(ids[i]);
    }
    CHECK_INT(wasm_typeid_count(), ==, 0);
    CHECK_INT(wasm_typeid_take(&type), <=, 300);
    uint32_t again = wasm_typeid_take(&type);
    wasm_typeid_put(again);
    wasm_typeid_put(again);
}

TEST_MAIN(TEST_CASE(calls_return_and_trap), TEST_CASE(fuel_left_is_no_debt),
          TEST_CASE(memory_faults_become_traps_with_addresses),
          TEST_CASE(growth_stops_at_the_stores_limit), TEST_CASE(stack_exhaustion_is_a_trap),
          TEST_CASE(in_det_frames_end_before_the_stack_whatever_was_chosen),
          TEST_CASE(host_functions_have_their_stack_or_the_guest_ends),
          TEST_CASE(host_calls_pass_values_traps_and_nest),
          TEST_CASE(a_host_function_may_run_another_store),
          TEST_CASE(calls_back_into_a_store_that_waits_are_refused),
          TEST_CASE(deadlines_reach_every_loop), TEST_CASE(long_services_are_interrupted),
          TEST_CASE(blocking_host_calls_are_interrupted),
          TEST_CASE(kill_ends_the_running_call_or_the_next),
          TEST_CASE(threads_have_their_own_timers_and_stacks),
          TEST_CASE(faults_outside_guest_code_crash_as_before),
          TEST_CASE(a_forked_child_has_deadlines_too),
          TEST_CASE(a_child_forked_in_a_host_function_keeps_its_deadline),
          TEST_CASE(every_failing_operation_of_linking_is_survived),
          TEST_CASE(unlinkable_imports_say_what_to_do), TEST_CASE(perf_map_names_functions),
          TEST_CASE(type_ids_are_shared_counted_and_used_again))
