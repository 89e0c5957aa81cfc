/* runtime.h: what the files of the runtime know of each other's structures.
 *
 * For store.c, call.c, instance.c, memory.c, table.c, services.c, signal.c, slot.c and their like;
 * nobody else includes it. A store's thread changes these; its signal handlers read some of them at
 * any instruction, which is said where it matters. */
#ifndef WM_WASM_RUNTIME_H
#define WM_WASM_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "wasm/activation.h"
#include "wasm/instance.h"
#include "wasm/memory.h"
#include "wasm/object.h"
#include "wasm/store.h"

/* --- Ranges of addresses that a signal handler on the store's own thread may look up --- */

struct wasm_range {
    uintptr_t start, end;
    const void *owner;
    uint32_t refs;
};

/* Append and remove in ordinary code, find in handlers; see range.c for why no lock is needed. */
struct wasm_ranges {
    struct wasm_range *items;
    uint32_t count, room;
};

WM_MUST_CHECK int
wasm_ranges_add(struct wasm_ranges *ranges, uintptr_t start, uintptr_t end,
                const void *owner); /* an owner that is there is counted once more */
void wasm_ranges_remove(struct wasm_ranges *ranges, const void *owner);
const struct wasm_range *wasm_ranges_find(const struct wasm_ranges *ranges, uintptr_t addr);
void wasm_ranges_fini(struct wasm_ranges *ranges);

/* --- Memory, tables, globals --- */

#define WASM_MEMORY_REGIONS_MAX 64

struct wasm_span { /* of guest addresses */
    uint64_t start, end;
};

struct wasm_memory {
    struct wasm_memory_cell cell;
    struct wasm_store *store;
    struct wasm_memory *next;
    uint32_t max_pages;   /* declared; UINT32_MAX: none */
    uint32_t limit_pages; /* what it may really grow to */
    uint64_t peak_bytes;
    /* Regions mapped in for reading only: the guest's writes to them fault and trap; ours must be
     * refused before they fault. */
    uint32_t read_only_count;
    struct wasm_span read_only[WASM_MEMORY_REGIONS_MAX];
    bool has_regions; /* of either kind */
};

/* Reserves the address space; size 0. */
WM_MUST_CHECK int wasm_memory_init(struct wasm_memory *memory, struct wasm_store *store,
                                   uint32_t max_pages, struct wm_diag *diag);
void wasm_memory_fini(struct wasm_memory *memory);
/* As wasm_memory_grow; *host_failed tells a limit from a machine without memory. */
uint32_t wasm_memory_grow_why(struct wasm_memory *memory, uint32_t delta_pages, bool *host_failed);
/* False where [start, start + len) touches a read-only region. */
bool wasm_memory_writable(const struct wasm_memory *memory, uint64_t start, uint64_t len);

struct wasm_table {
    struct wasm_table_cells cells;
    struct wasm_store *store;
    struct wasm_table *next;
    uint64_t reserved_bytes;
    uint64_t committed_bytes;
    uint32_t max;   /* declared; UINT32_MAX: none */
    uint32_t limit; /* what it may really grow to */
    uint8_t elem_type;
    bool dirty; /* changed since the last image was taken or put back */
};

WM_MUST_CHECK int wasm_table_init(struct wasm_table *table, struct wasm_store *store,
                                  uint8_t elem_type, uint32_t min, uint32_t max,
                                  struct wm_diag *diag);
void wasm_table_fini(struct wasm_table *table);
/* Elements [from, to) become null; gives large parts back to the machine. */
void wasm_table_null(struct wasm_table *table, uint64_t from, uint64_t to);
/* Sets the size without filling new elements, which are null. False: no memory. */
WM_MUST_CHECK bool wasm_table_resize(struct wasm_table *table, uint64_t size);
struct wasm_table_elem wasm_table_elem_of(const struct wasm_table *table, uint64_t ref);
uint64_t wasm_table_ref_of(const struct wasm_table *table, const struct wasm_table_elem *elem);

struct wasm_global_cell {
    union wasm_value *at;
    uint8_t valtype;
    bool is_mutable;
};

struct wasm_host_global { /* a global that belongs to no instance */
    union wasm_value value;
    struct wasm_global_cell cell;
    struct wasm_host_global *next;
};

/* --- Instances --- */

struct wasm_binding {
    struct wasm_host_binding abi;
    struct wasm_running *running; /* WASM_BINDING_RUNNING */
    wasm_host_fn *call;
    struct wasm_caller caller;
};
_Static_assert(offsetof(struct wasm_binding, running) == WASM_BINDING_RUNNING, "enter.S");

struct wasm_instance {
    struct wasm_store *store;
    const struct wasm_object *object;
    struct wasm_instance *next;
    struct wasm_ctx *ctx;
    struct wasm_layout layout;
    uint32_t *type_ids;
    uint32_t type_ids_held;         /* how many of them are references of ours */
    struct wasm_func *funcs;        /* index space; filled on first use, see wasm_instance_func */
    struct wasm_binding *bindings;  /* of imported functions */
    struct wasm_table *own_tables;  /* of defined tables */
    struct wasm_global_cell *cells; /* index space; at NULL until first use */
    uint8_t *data_dropped, *elem_dropped;
    bool dropped_dirty;         /* changed since the last image was taken or put back */
    bool calls_other_instances; /* an imported function is another instance's */
    struct wasm_memory *memory; /* NULL: none */
    struct wasm_memory own_memory;
    bool has_own_memory;   /* own_memory is to be released */
    uint32_t suspend_addr; /* suspend.c: where the program lies unwound; 0: it does not */
};

/* Allocates, links imports, fills context and type ids; memory, tables and globals are not yet
 * made. */
WM_MUST_CHECK int wasm_instance_link(struct wasm_store *store, const struct wasm_object *object,
                                     const uint32_t *type_ids, wasm_resolve_fn *resolve,
                                     void *resolve_self, bool host_only, struct wasm_instance **out,
                                     struct wm_diag *diag);
/* Unlinks it from its store and releases it. */
void wasm_instance_free(struct wasm_instance *instance);
struct wasm_func *wasm_instance_func(struct wasm_instance *instance, uint32_t func_idx);
struct wasm_global_cell *wasm_instance_cell(struct wasm_instance *instance, uint32_t global_idx);
/* WM_E_INVALID only for an EXTENDED expression that does not decode: a damaged object. */
WM_MUST_CHECK int wasm_init_eval(struct wasm_instance *instance,
                                 const struct wasm_object_init *init, union wasm_value *out,
                                 struct wm_diag *diag);

static inline struct wasm_table_cells **wasm_ctx_tables(const struct wasm_instance *instance)
{
    return (struct wasm_table_cells **)((uint8_t *)instance->ctx + instance->layout.tables);
}

static inline struct wasm_import_func *wasm_ctx_imports(const struct wasm_instance *instance)
{
    return (struct wasm_import_func *)((uint8_t *)instance->ctx + instance->layout.imports);
}

static inline union wasm_value *wasm_ctx_globals(const struct wasm_instance *instance)
{
    return (union wasm_value *)((uint8_t *)instance->ctx + instance->layout.globals);
}

static inline struct wasm_table *wasm_instance_table(const struct wasm_instance *instance,
                                                     uint32_t table_idx)
{
    return WM_CONTAINER_OF(wasm_ctx_tables(instance)[table_idx], struct wasm_table, cells);
}

/* Shared by instantiation and the services. WASM_TRAP_NONE, MEMORY_BOUNDS, TABLE_BOUNDS, or, when
 * `interruptible`, the interrupt that came meanwhile. */
enum wasm_trap wasm_data_init(struct wasm_instance *instance, uint32_t data_idx, uint32_t dst,
                              uint32_t src, uint32_t len, bool interruptible);
enum wasm_trap wasm_elem_init(struct wasm_instance *instance, uint32_t elem_idx, uint32_t table_idx,
                              uint32_t dst, uint32_t src, uint32_t len, bool interruptible);

/* --- Store --- */

struct wasm_store {
    struct wasm_running running;
    struct wasm_budget budget;
    struct wasm_store_limits limits; /* no zeroes: defaults filled in */
    uint8_t *stack;                  /* mapping: guard, then stack_bytes */
    uint64_t stack_bytes;
    int64_t deadline_ns;     /* 0: none */
    _Atomic int running_tid; /* thread in the outermost call; 0: none */
    uint32_t depth;          /* of nested calls */
    enum wasm_suspend_state {
        WASM_SUSPEND_OFF,
        WASM_SUSPEND_ASKED,     /* the next host function that can is to stop */
        WASM_SUSPEND_UNWINDING, /* one did: its stub returns, and the program unwinds itself */
        WASM_SUSPEND_REWINDING, /* on the way back into that host function */
    } suspend;
    struct wasm_ranges code;         /* owner: struct wasm_object */
    struct wasm_ranges memories;     /* owner: struct wasm_memory */
    struct wasm_instance *instances; /* newest first */
    struct wasm_memory *host_memories;
    struct wasm_table *host_tables;
    struct wasm_host_global *host_globals;
    struct wasm_trap_report report;
};

#define WASM_STACK_GUARD_BYTES (UINT64_C(64) << 10)
/* What services (services.c) and the handlers' bookkeeping may use of the guest's stack. */
#define WASM_SERVICE_STACK_BYTES (UINT64_C(32) << 10)

static inline uintptr_t wasm_store_stack_low(const struct wasm_store *store)
{
    return (uintptr_t)store->stack + WASM_STACK_GUARD_BYTES;
}

static inline uintptr_t wasm_store_stack_top(const struct wasm_store *store)
{
    return wasm_store_stack_low(store) + store->stack_bytes;
}

/* Makes the stack at least big enough for `object`; no call may be running if it must change. */
WM_MUST_CHECK int wasm_store_fit_stack(struct wasm_store *store, const struct wasm_object *object,
                                       struct wm_diag *diag);
/* Everything but `keep` that was made in it, fuel, deadline, kill, report: as new. */
void wasm_store_clear(struct wasm_store *store, struct wasm_instance *keep);

/* --- Threads and interrupts --- */

struct wasm_thread {
    struct wasm_activation *act; /* innermost; read by handlers */
    int64_t armed_ns;            /* the timer's time; 0: not armed */
    void *timer;                 /* timer_t */
    int tid;
    unsigned generation; /* of the process: fork leaves timers behind */
    void *alt_stack;     /* our mapping; NULL: the thread has a good one of its own */
    size_t alt_stack_bytes;
};

/* This thread's, made ready on first use; NULL when the machine refuses (memory, timers). */
struct wasm_thread *wasm_thread_here(void);
/* Changes with every fork. */
unsigned wasm_process_generation(void);
/* Installs the process's handlers, once. 0 or negative errno. */
WM_MUST_CHECK int wasm_signals_install(void);

/* The timer fires at deadline_ns, then every WASM_INTERRUPT_REPEAT_NS; 0 stops it. */
void wasm_interrupt_arm(struct wasm_thread *thread, int64_t deadline_ns);
/* Marks what is due on this thread; true when the innermost activation is to end. In handlers. */
bool wasm_interrupt_due(struct wasm_thread *thread);
#define WASM_INTERRUPT_REPEAT_NS INT64_C(2000000)
/* The one signal that we take for ourselves. */
#define WASM_INTERRUPT_SIGNAL (SIGRTMIN + 12)
int64_t wasm_clock_ns(void);

/* Leaves the guest frames that called the service or host function that we are in. */
WM_NORETURN static inline void wasm_running_leave(struct wasm_running *running, enum wasm_trap trap)
{
    wasm_leave(running->act, trap);
}

/* Fills store->report from where the guest stood; `outer` marks describe the calls around this one.
 */
struct wasm_stand {
    uintptr_t pc, sp, fp;
    bool exact;
};
void wasm_report_fill(struct wasm_store *store, enum wasm_trap trap, const struct wasm_stand *outer,
                      uint32_t outer_count);

#endif
