/* store.c: making and releasing stores, and the guest's stack.
 *
 *     stack               low        host_limit                    top
 *     | guard, no access | services | host functions' least | ... guest frames |
 *
 * Frames grow down from the top. Compiled code finds the end by faulting in the guard (frames over
 * a page probe page by page); C code called from it finds the limits by comparing (enter.S),
 * because a fault in C code is always a bug of ours. */
#include "wasm/store.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "base/fault.h"
#include "wasm/runtime.h"

#define DEFAULT_STACK_BYTES (UINT64_C(8) << 20)
#define DEFAULT_FRAME_BYTES (UINT64_C(256) << 20)
#define STACK_BYTES_MAX (UINT64_C(64) << 30)

/* For a module in det mode: its counted frames, and beside them the thunks and host functions of
 * every nested call, so that counting always ends the guest before the stack does. */
static uint64_t det_stack_bytes(const struct wasm_store *store)
{
    return store->limits.frame_bytes + WASM_SERVICE_STACK_BYTES + (UINT64_C(1) << 20) +
           WASM_CALL_NESTING_MAX * 2 * WASM_HOST_STACK_BYTES;
}

static int set_stack(struct wasm_store *store, uint64_t stack_bytes, struct wm_diag *diag)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint8_t *stack = MAP_FAILED;
    errno = ENOMEM;
    if (!wm_fault_here(WM_FAULT_IO)) {
        stack = mmap(NULL, WASM_STACK_GUARD_BYTES + stack_bytes, PROT_NONE, flags, -1, 0);
    }
    if (stack == MAP_FAILED) {
        return wm_diag_set(diag, -errno, "store: a guest stack of %llu bytes: %s",
                           (unsigned long long)stack_bytes, strerror(errno));
    }
    /* The guard is of the same kind as the unused part of a memory's reservation, which mostly lies
     * below it: the kernel makes one mapping of both. Tens of thousands of slots need that. */
    if (mmap(stack + WASM_STACK_GUARD_BYTES, stack_bytes, PROT_READ | PROT_WRITE,
             flags | MAP_STACK | MAP_FIXED, -1, 0) == MAP_FAILED) {
        int rc = -errno;
        munmap(stack, WASM_STACK_GUARD_BYTES + stack_bytes);
        return wm_diag_set(diag, rc, "store: a guest stack of %llu bytes: %s",
                           (unsigned long long)stack_bytes, strerror(-rc));
    }
    if (store->stack) {
        munmap(store->stack, WASM_STACK_GUARD_BYTES + store->stack_bytes);
    }
    store->stack = stack;
    store->stack_bytes = stack_bytes;
    store->running.service_limit = wasm_store_stack_low(store) + WASM_SERVICE_STACK_BYTES;
    store->running.host_limit = store->running.service_limit + WASM_HOST_STACK_BYTES;
    return 0;
}

int wasm_store_new(const struct wasm_store_limits *limits, struct wasm_store **out,
                   struct wm_diag *diag)
{
    int rc = wasm_signals_install();
    if (rc != 0) {
        return wm_diag_set(diag, rc, "store: installing signal handlers: %s", wm_error_text(rc));
    }
    struct wasm_store *store = wm_alloc_zero(1, sizeof *store);
    if (!store) {
        return wm_diag_set(diag, -ENOMEM, "store: %s", wm_error_text(-ENOMEM));
    }
    if (limits) {
        store->limits = *limits;
    }
    struct wasm_store_limits *filled = &store->limits;
    const uint64_t all_bytes = WASM_PAGES_MAX * WASM_PAGE_BYTES;
    filled->memory_bytes =
        wm_min_u64(filled->memory_bytes ? filled->memory_bytes : all_bytes, all_bytes);
    filled->table_elems =
        wm_min_u64(filled->table_elems ? filled->table_elems : WASM_TABLE_ELEMS_MAX, UINT32_MAX);
    uint64_t stack_bytes = filled->stack_bytes;
    if (filled->frame_bytes == 0) {
        filled->frame_bytes = stack_bytes ? stack_bytes : DEFAULT_FRAME_BYTES;
    }
    filled->frame_bytes = wm_min_u64(filled->frame_bytes, STACK_BYTES_MAX);
    stack_bytes = stack_bytes ? stack_bytes : DEFAULT_STACK_BYTES;
    stack_bytes = wm_min_u64(stack_bytes, STACK_BYTES_MAX);
    stack_bytes = wm_max_u64(stack_bytes, 2 * (WASM_SERVICE_STACK_BYTES + WASM_HOST_STACK_BYTES));
    stack_bytes = (stack_bytes + WASM_PAGE_BYTES - 1) & ~(WASM_PAGE_BYTES - 1);
    rc = set_stack(store, stack_bytes, diag);
    if (rc != 0) {
        wm_free(store);
        return rc;
    }
    store->running.fault_addr = UINT64_MAX;
    store->report.fault_addr = UINT64_MAX;
    store->budget.fuel = INT64_MAX;
    store->budget.frame_left = (int64_t)filled->frame_bytes;
    *out = store;
    return 0;
}

int wasm_store_fit_stack(struct wasm_store *store, const struct wasm_object *object,
                         struct wm_diag *diag)
{
    uint64_t wanted = det_stack_bytes(store);
    if (object->header->key.mode != WASM_MODE_DET || store->stack_bytes >= wanted) {
        return 0;
    }
    if (store->running.act) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "store: a module in det mode needs a larger stack, which cannot be made "
                           "while a call is running; instantiate it before the call");
    }
    return set_stack(store, (wanted + WASM_PAGE_BYTES - 1) & ~(WASM_PAGE_BYTES - 1), diag);
}

void wasm_store_clear(struct wasm_store *store, struct wasm_instance *keep)
{
    WM_ASSERT(!store->running.act);
    for (struct wasm_instance *at = store->instances, *next; at; at = next) {
        next = at->next;
        if (at != keep) {
            wasm_instance_free(at);
        }
    }
    while (store->host_memories) {
        struct wasm_memory *memory = store->host_memories;
        store->host_memories = memory->next;
        wasm_memory_fini(memory);
        wm_free(memory);
    }
    while (store->host_tables) {
        struct wasm_table *table = store->host_tables;
        store->host_tables = table->next;
        wasm_table_fini(table);
        wm_free(table);
    }
    while (store->host_globals) {
        struct wasm_host_global *global = store->host_globals;
        store->host_globals = global->next;
        wm_free(global);
    }
    atomic_store(&store->running.pending, WASM_TRAP_NONE);
    store->deadline_ns = 0;
    store->suspend = WASM_SUSPEND_OFF;
    store->budget.fuel = INT64_MAX;
    store->budget.frame_left = (int64_t)store->limits.frame_bytes;
    store->report.trap = WASM_TRAP_NONE;
    store->report.frame_count = 0;
    store->report.truncated = false;
    store->report.fault_addr = UINT64_MAX;
}

void wasm_store_free(struct wasm_store *store)
{
    if (!store) {
        return;
    }
    wasm_store_clear(store, NULL);
    wasm_ranges_fini(&store->code);
    wasm_ranges_fini(&store->memories);
    munmap(store->stack, WASM_STACK_GUARD_BYTES + store->stack_bytes);
    wm_free(store);
}

struct wasm_budget *wasm_store_budget(struct wasm_store *store)
{
    return &store->budget;
}

void wasm_store_set_fuel(struct wasm_store *store, int64_t fuel)
{
    store->budget.fuel = fuel;
}

int64_t wasm_store_fuel(const struct wasm_store *store)
{
    /* The charge that could not be paid leaves a debt in the budget. */
    return store->budget.fuel > 0 ? store->budget.fuel : 0;
}

void wasm_store_set_deadline(struct wasm_store *store, int64_t deadline_ns)
{
    WM_ASSERT(!store->running.act);
    store->deadline_ns = deadline_ns;
}

int64_t wasm_store_deadline(const struct wasm_store *store)
{
    return store->deadline_ns;
}

const struct wasm_trap_report *wasm_store_report(const struct wasm_store *store)
{
    return &store->report;
}
