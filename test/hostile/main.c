/* hostile: guests that break one rule each, in one process, with a healthy neighbour between them.
 *
 *     hostile FOLDER      FOLDER holds the guests as .wasm
 *
 * For every mode and tier: each hostile guest gets a store of its own and must end in exactly the
 * trap (or the refusal) that the table below promises; after each, the neighbour, which lives
 * through the whole run, must give the right answer. One TAP line a guest. What the command line
 * promises about hostile guests (exit codes, messages, files) is shown by cli.sh beside this file.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "common/engine.h"
#include "wasm/instance.h"
#include "wasm/memory.h"
#include "wasm/store.h"

#define MEMORY_LIMIT (UINT64_C(1) << 30)
#define DEADLINE_NS INT64_C(30000000)
/* The promise is 10 ms. Time for which a loaded machine held the guest's thread itself back does
 * not count, and the best of some tries does. */
#define LATE_NS INT64_C(10000000)
#define TRIES 5

static const char *folder;
static unsigned test_count, failed_count;

/* --- reporting --- */

static struct wasm_options options;

WM_PRINTF(4, 5)
static void report(bool ok, const char *guest, const char *what, const char *format, ...)
{
    va_list args;
    test_count++;
    failed_count += !ok;
    printf("%s %u %s %s: %s %s\n", ok ? "ok" : "not ok", test_count, wasm_mode_name(options.mode),
           wasm_tier_name(options.tier), guest, what);
    if (!ok) {
        va_start(args, format);
        fputs("# ", stdout);
        vprintf(format, args);
        putchar('\n');
        va_end(args);
    }
    fflush(stdout);
}

/* --- one guest in a store of its own --- */

struct guest {
    struct wasm_object *object;
    struct wasm_store *store;
    struct wasm_instance *instance;
};

static enum wasm_trap host_nothing(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller;
    (void)values;
    /* Uses what the interface promises a host function. */
    volatile char stack[WASM_HOST_STACK_BYTES / 2];
    stack[0] = 1;
    stack[sizeof stack - 1] = stack[0];
    return WASM_TRAP_NONE;
}

static enum wasm_trap host_again(struct wasm_caller *caller, union wasm_value *values)
{
    struct wasm_extern found;
    if (wasm_instance_export(caller->instance, wm_view_str("through_host"), &found) != 0) {
        return WASM_TRAP_HOST;
    }
    return wasm_call(caller->store, found.func, values);
}

static const struct wasm_host_func host_funcs[] = {{"host", "nothing", ":", host_nothing},
                                                   {"host", "again", "i:I", host_again}};

static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    (void)self;
    for (size_t i = 0; i < WM_COUNT_OF(host_funcs); i++) {
        if (kind == WASM_EXTERN_FUNC && wm_view_eq_str(module, host_funcs[i].module) &&
            wm_view_eq_str(name, host_funcs[i].name)) {
            *out = (struct wasm_extern){.kind = WASM_EXTERN_FUNC, .host = &host_funcs[i]};
            return 0;
        }
    }
    return WM_E_NOT_FOUND;
}

static struct wasm_object *compile(const char *name)
{
    char path[4096];
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_object *object;
    snprintf(path, sizeof path, "%s/%s.wasm", folder, name);
    struct wm_view bytes = test_file_read(path);
    if (test_object_compile(bytes, &options, &object, &diag) != 0) {
        printf("Bail out! %s: %s\n", name, wm_diag_text(&diag));
        exit(1);
    }
    free((void *)(uintptr_t)bytes.ptr);
    return object;
}

static int guest_start(struct guest *guest, const struct wasm_store_limits *limits,
                       int64_t deadline_ns, struct wm_diag *diag)
{
    int rc = wasm_store_new(limits, &guest->store, diag);
    if (rc != 0) {
        printf("Bail out! store: %s\n", wm_diag_text(diag));
        exit(1);
    }
    wasm_store_set_deadline(guest->store, deadline_ns);
    return wasm_instance_new(guest->store, guest->object, resolve, NULL, &guest->instance, diag);
}

static enum wasm_trap guest_call(struct guest *guest, const char *export, union wasm_value *values)
{
    struct wasm_extern found;
    if (wasm_instance_export(guest->instance, wm_view_str(export), &found) != 0 ||
        found.kind != WASM_EXTERN_FUNC) {
        printf("Bail out! no export %s\n", export);
        exit(1);
    }
    return wasm_call(guest->store, found.func, values);
}

static const struct wasm_store_limits limits = {.memory_bytes = MEMORY_LIMIT};

static void must_start(struct guest *guest, const char *name)
{
    struct wm_diag diag = WM_DIAG_INIT;
    if (guest_start(guest, &limits, 0, &diag) != 0) {
        printf("Bail out! %s: %s\n", name, wm_diag_text(&diag));
        exit(1);
    }
}

/* --- the neighbour --- */

static struct {
    struct guest guest;
    uint64_t calls;
} neighbour;

static void neighbour_start(void)
{
    union wasm_value values[1];
    neighbour.guest.object = compile("healthy");
    neighbour.calls = 0;
    must_start(&neighbour.guest, "healthy");
    if (guest_call(&neighbour.guest, "fill", values) != WASM_TRAP_NONE) {
        printf("Bail out! the neighbour cannot even start\n");
        exit(1);
    }
}

/* The same computation in C. */
static bool neighbour_well(void)
{
    union wasm_value values[1] = {{.i64 = 0x1234 + neighbour.calls}};
    uint64_t expected = values[0].i64 + ++neighbour.calls;
    for (uint64_t at = 0; at < 262144; at += 8) {
        uint64_t mixed = (expected ^ at) * UINT64_C(0x9e3779b97f4a7c15);
        expected = mixed << 29 | mixed >> 35;
    }
    return guest_call(&neighbour.guest, "answer", values) == WASM_TRAP_NONE &&
           values[0].i64 == expected;
}

static void neighbour_end(void)
{
    wasm_store_free(neighbour.guest.store);
    wasm_object_close(neighbour.guest.object);
}

/* --- guests that end at once: the table --- */

#define PAGE 65536u
struct row {
    const char *module;
    const char *export; /* takes an i32, returns an i64 */
    uint32_t arg;
    enum wasm_trap trap;
};

static const struct row rows[] = {
    {"bounds", "load8", PAGE, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load8", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load16", PAGE - 1, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load16", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load32", PAGE - 3, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load32", UINT32_MAX - 2, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load64", PAGE - 7, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load64", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load128", PAGE - 15, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load128", PAGE - 1, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "load128", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "store8", PAGE, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "store16", PAGE - 1, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "store32", PAGE - 3, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "store64", PAGE - 7, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "store64", UINT32_MAX - 7, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "store128", PAGE - 15, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "store128", UINT32_MAX - 15, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "far_load8", 0, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "far_load8", 1, WASM_TRAP_MEMORY_BOUNDS}, /* wraps to 0 in 32 bits */
    {"bounds", "far_load8", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "far_load64", 1, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "far_load64", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "far_load128", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "far_store128", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "far_store128", 1, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "mid_store64", 0x80000000u, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "dead_load8", PAGE, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "dead_load32", PAGE - 3, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "dead_load64", PAGE - 7, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "dead_load128", PAGE - 15, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "dead_load128", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "dead_in_loop", PAGE, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "fill", 1, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "fill", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "copy_to", 1, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "copy_from", 0, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "copy_from", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "init", PAGE - 3, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "init_from", 1, WASM_TRAP_MEMORY_BOUNDS},
    {"bounds", "init_from", UINT32_MAX, WASM_TRAP_MEMORY_BOUNDS},
    /* Inside, the same accesses are right: the rows above test the edge, not a broken guest. */
    {"bounds", "load128", PAGE - 16, WASM_TRAP_NONE},
    {"bounds", "store64", PAGE - 8, WASM_TRAP_NONE},
    {"bounds", "fill", 0, WASM_TRAP_NONE},

    {"table", "call_i", 0, WASM_TRAP_NONE},
    {"table", "call_i", 1, WASM_TRAP_TYPE_MISMATCH},
    {"table", "call_i", 2, WASM_TRAP_TYPE_MISMATCH},
    {"table", "call_i", 3, WASM_TRAP_TYPE_MISMATCH},
    {"table", "call_i", 4, WASM_TRAP_UNINITIALIZED_ELEMENT},
    {"table", "call_i", 8, WASM_TRAP_UNDEFINED_ELEMENT},
    {"table", "call_i", 16, WASM_TRAP_UNDEFINED_ELEMENT},
    {"table", "call_i", 0x08000000u, WASM_TRAP_UNDEFINED_ELEMENT}, /* * 32 wraps to 0 */
    {"table", "call_i", UINT32_MAX, WASM_TRAP_UNDEFINED_ELEMENT},
    {"table", "call_wide", 0, WASM_TRAP_TYPE_MISMATCH},
    {"table", "call_wide", 3, WASM_TRAP_NONE},
    {"table", "call_wide", 7, WASM_TRAP_UNINITIALIZED_ELEMENT},
    {"table", "get", 8, WASM_TRAP_TABLE_BOUNDS},
    {"table", "get", UINT32_MAX, WASM_TRAP_TABLE_BOUNDS},
    {"table", "get_extern", 4, WASM_TRAP_TABLE_BOUNDS},
    {"table", "set", 8, WASM_TRAP_TABLE_BOUNDS},
    {"table", "set", 0x08000001u, WASM_TRAP_TABLE_BOUNDS},
    {"table", "fill", 1, WASM_TRAP_TABLE_BOUNDS},
    {"table", "fill", UINT32_MAX, WASM_TRAP_TABLE_BOUNDS},
    {"table", "copy", 0, WASM_TRAP_TABLE_BOUNDS},
    {"table", "init", 7, WASM_TRAP_TABLE_BOUNDS},
    {"table", "init_dropped", 1, WASM_TRAP_TABLE_BOUNDS},
    {"table", "init_dropped", 0, WASM_TRAP_NONE},
    {"table", "call_past_grown", 0, WASM_TRAP_UNDEFINED_ELEMENT},
    {"table", "call_past_grown", 8, WASM_TRAP_UNDEFINED_ELEMENT},
    {"table", "call_past_grown", 9, WASM_TRAP_UNDEFINED_ELEMENT},

    {"stack", "plain", 0, WASM_TRAP_STACK_EXHAUSTED},
    {"stack", "ping", 0, WASM_TRAP_STACK_EXHAUSTED},
    {"stack", "indirect", 0, WASM_TRAP_STACK_EXHAUSTED},
    {"stack", "wide", 0, WASM_TRAP_STACK_EXHAUSTED},
    {"stack", "host_at_each", 0, WASM_TRAP_STACK_EXHAUSTED},
    {"stack", "through_host", 0, WASM_TRAP_STACK_EXHAUSTED},
    {"stack", "bulk_at_each", 0, WASM_TRAP_STACK_EXHAUSTED},
    {"frames", "deep", 0, WASM_TRAP_STACK_EXHAUSTED},
    {"params", "deep", 0, WASM_TRAP_STACK_EXHAUSTED},

    {"arithmetic", "div_zero32", 0, WASM_TRAP_DIVIDE_BY_ZERO},
    {"arithmetic", "rem_zero64", 0, WASM_TRAP_DIVIDE_BY_ZERO},
    {"arithmetic", "dead_division", 0, WASM_TRAP_DIVIDE_BY_ZERO},
    {"arithmetic", "min_by_minus_one32", 0, WASM_TRAP_INTEGER_OVERFLOW},
    {"arithmetic", "min_by_minus_one64", 0, WASM_TRAP_INTEGER_OVERFLOW},
    {"arithmetic", "rem_min_by_minus_one", 0, WASM_TRAP_NONE},
    {"arithmetic", "nan_to_int", 0, WASM_TRAP_INVALID_CONVERSION},
    {"arithmetic", "large_to_int", 0, WASM_TRAP_INTEGER_OVERFLOW},
    {"arithmetic", "dead_conversion", 0, WASM_TRAP_INTEGER_OVERFLOW},
    {"arithmetic", "unreachable", 0, WASM_TRAP_UNREACHABLE},
};

static void run_rows(void)
{
    struct wasm_object *object = NULL;
    const char *loaded = "";
    for (size_t i = 0; i < WM_COUNT_OF(rows); i++) {
        const struct row *row = &rows[i];
        char what[64];
        if (strcmp(loaded, row->module) != 0) {
            if (object) {
                wasm_object_close(object);
            }
            object = compile(row->module);
            loaded = row->module;
        }
        struct guest guest = {.object = object};
        union wasm_value values[1] = {{.i32 = row->arg}};
        must_start(&guest, row->module);
        enum wasm_trap trap = guest_call(&guest, row->export, values);
        const struct wasm_trap_report *seen = wasm_store_report(guest.store);
        bool told = trap == WASM_TRAP_NONE || (seen->trap == trap && seen->frame_count > 0);
        wasm_store_free(guest.store);
        bool well = neighbour_well();
        snprintf(what, sizeof what, "%s(0x%" PRIx32 ")", row->export, row->arg);
        report(trap == row->trap && well && told, row->module, what, "trap %s, wanted %s%s%s",
               trap ? wasm_trap_text(trap) : "none", row->trap ? wasm_trap_text(row->trap) : "none",
               well ? "" : "; the neighbour is harmed", told ? "" : "; the report does not fit");
    }
    wasm_object_close(object);
}

/* --- loops --- */

static const char *const loops[] = {"empty",        "count",         "global",      "memory",
                                    "vector",       "float",         "divide",      "nested",
                                    "table",        "calls",         "tail",        "tree",
                                    "host",         "grow_nothing",  "small_fills", "large_fills",
                                    "large_copies", "one_huge_fill", "table_fills"};

static _Atomic int64_t killed_ns;

static void *kill_later(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = DEADLINE_NS}, NULL);
    killed_ns = test_now_ns();
    wasm_store_kill(arg);
    return NULL;
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Runs the loop until it is stopped, by its deadline or by another thread; *late_ns: how much too
 * late. */
static enum wasm_trap stop_loop(struct guest *guest, const char *export, bool by_kill,
                                int64_t *late_ns)
{
    union wasm_value values[1] = {{.i32 = 1}};
    pthread_t thread;
    int64_t begun = test_now_ns(), cpu = cpu_ns();
    wasm_store_set_deadline(guest->store, by_kill ? 0 : begun + DEADLINE_NS);
    if (by_kill && pthread_create(&thread, NULL, kill_later, guest->store) != 0) {
        printf("Bail out! pthread_create\n");
        exit(1);
    }
    enum wasm_trap trap = guest_call(guest, export, values);
    int64_t ended = test_now_ns();
    cpu = cpu_ns() - cpu;
    if (by_kill) {
        pthread_join(thread, NULL);
    }
    int64_t until = by_kill ? killed_ns : begun + DEADLINE_NS;
    int64_t late_cpu = cpu - (until - begun);
    *late_ns = ended - until < late_cpu ? ended - until : late_cpu;
    return trap;
}

static void run_loops(void)
{
    struct guest guest = {.object = compile("loops")};
    for (size_t i = 0; i < 2 * WM_COUNT_OF(loops); i++) {
        const char *export = loops[i / 2];
        bool by_kill = i % 2;
        enum wasm_trap wanted = by_kill ? WASM_TRAP_KILLED : WASM_TRAP_DEADLINE, trap;
        int64_t late = INT64_MAX;
        char what[64];
        for (int try = 0; try < TRIES && late > LATE_NS; try++) {
            must_start(&guest, "loops");
            trap = stop_loop(&guest, export, by_kill, &late);
            wasm_store_free(guest.store);
            if (trap != wanted) {
                break;
            }
        }
        bool well = neighbour_well();
        snprintf(what, sizeof what, "%s, %s", export, by_kill ? "killed" : "deadline");
        report(trap == wanted && late <= LATE_NS && well, "loops", what,
               "trap %s, %" PRId64 " us late%s", trap ? wasm_trap_text(trap) : "none", late / 1000,
               well ? "" : "; the neighbour is harmed");
    }
    wasm_object_close(guest.object);
}

/* Fuel ends the same loops, at the same count on every run. */
static void run_fuel(void)
{
    struct wasm_options with_fuel = options;
    with_fuel.fuel = true;
    struct wasm_options saved = options;
    options = with_fuel;
    struct guest guest = {.object = compile("loops")};
    options = saved;
    for (size_t i = 0; i < WM_COUNT_OF(loops); i++) {
        union wasm_value values[1] = {{.i32 = 1}};
        must_start(&guest, "loops");
        wasm_store_set_fuel(guest.store, 1000000);
        /* one_huge_fill ends by itself where bulk operations cost no fuel; it has a deadline too.
         */
        wasm_store_set_deadline(guest.store, test_now_ns() + INT64_C(20000000000));
        enum wasm_trap trap = guest_call(&guest, loops[i], values);
        int64_t left = wasm_store_fuel(guest.store);
        wasm_store_free(guest.store);
        bool well = neighbour_well();
        bool ends_itself = strcmp(loops[i], "one_huge_fill") == 0 && options.mode != WASM_MODE_DET;
        bool spent = trap == WASM_TRAP_OUT_OF_FUEL && left == 0;
        char what[64];
        snprintf(what, sizeof what, "%s, out of fuel", loops[i]);
        report((spent || (ends_itself && trap == WASM_TRAP_NONE)) && well, "loops", what,
               "trap %s, %" PRId64 " left", trap ? wasm_trap_text(trap) : "none", left);
    }
    wasm_object_close(guest.object);
}

/* --- growth, instantiation --- */

static void run_growth(void)
{
    const struct wasm_store_limits small = {.memory_bytes = UINT64_C(100) * PAGE,
                                            .table_elems = 5000};
    struct wm_diag diag = WM_DIAG_INIT;
    struct guest guest = {.object = compile("growth")};
    static const struct {
        const char *export;
        uint32_t step;
        uint64_t result;
        enum wasm_trap trap;
    } cases[] = {{"pages", 1, 100, WASM_TRAP_NONE},        {"pages", 98, 99, WASM_TRAP_NONE},
                 {"pages", 100, 1, WASM_TRAP_NONE},        {"pages", 0xffff, 1, WASM_TRAP_NONE},
                 {"elems", 1, 5000, WASM_TRAP_NONE},       {"elems", 4998, 4999, WASM_TRAP_NONE},
                 {"elems", UINT32_MAX, 1, WASM_TRAP_NONE}, {"past", 0, 0, WASM_TRAP_MEMORY_BOUNDS}};
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        char what[64];
        union wasm_value values[1] = {{.i32 = cases[i].step}};
        if (guest_start(&guest, &small, 0, &diag) != 0) {
            printf("Bail out! growth: %s\n", wm_diag_text(&diag));
            exit(1);
        }
        enum wasm_trap trap = guest_call(&guest, cases[i].export, values);
        uint64_t result = trap == WASM_TRAP_NONE ? values[0].i64 : 0;
        wasm_store_free(guest.store);
        bool well = neighbour_well();
        snprintf(what, sizeof what, "%s by %" PRIu32, cases[i].export, cases[i].step);
        report(trap == cases[i].trap && result == cases[i].result && well, "growth", what,
               "trap %s, result %" PRIu64, trap ? wasm_trap_text(trap) : "none", result);
    }
    wasm_object_close(guest.object);
    /* loops asks for 1,024 pages from the start. */
    guest.object = compile("loops");
    int rc = guest_start(&guest, &small, 0, &diag);
    report(rc == WM_E_LIMIT, "growth", "a memory that starts above the limit", "%s: %s",
           wm_error_name(rc), wm_diag_text(&diag));
    wasm_store_free(guest.store);
    wasm_object_close(guest.object);
}

static void run_start(const char *name, int64_t limit_ns, enum wasm_trap wanted)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct guest guest = {.object = compile(name)};
    int64_t begun = test_now_ns();
    int rc = guest_start(&guest, &limits, limit_ns ? begun + limit_ns : 0, &diag);
    enum wasm_trap trap = wasm_store_report(guest.store)->trap;
    wasm_store_free(guest.store);
    wasm_object_close(guest.object);
    bool well = neighbour_well();
    report(rc == WM_E_TRAP && trap == wanted && well, name, "at instantiation", "%s, trap %s: %s",
           wm_error_name(rc), wasm_trap_text(trap), wm_diag_text(&diag));
}

/* --- det: what another tier must agree on --- */

static const char *const recursions[] = {"plain", "ping",         "indirect",
                                         "wide",  "host_at_each", "bulk_at_each"};

static uint64_t depth_of(const char *export)
{
    struct guest guest = {.object = compile("stack")};
    struct wasm_extern depth;
    union wasm_value values[1] = {{.i32 = 0}};
    must_start(&guest, "stack");
    (void)guest_call(&guest, export, values);
    int rc = wasm_instance_export(guest.instance, wm_view_str("depth"), &depth);
    uint64_t reached = rc == 0 ? wasm_global_get(depth.global).i64 : 0;
    wasm_store_free(guest.store);
    wasm_object_close(guest.object);
    return reached;
}

static void run_depths(void)
{
    for (size_t i = 0; i < WM_COUNT_OF(recursions); i++) {
        options.tier = WASM_TIER_O0;
        uint64_t slow = depth_of(recursions[i]);
        options.tier = WASM_TIER_OPTIMISED;
        uint64_t fast = depth_of(recursions[i]);
        report(slow == fast && slow > 0, "stack", recursions[i],
               "depth %" PRIu64 " at O0, %" PRIu64 " optimised", slow, fast);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: hostile FOLDER [MODE TIER]\n");
        return 2;
    }
    folder = argv[1];
    for (int mode = WASM_MODE_GUARD; mode <= WASM_MODE_DET; mode++) {
        for (int tier = WASM_TIER_O0; tier <= WASM_TIER_OPTIMISED; tier++) {
            if (argc == 4 && (mode != test_mode_of(argv[2]) || tier != test_tier_of(argv[3]))) {
                continue;
            }
            options = (struct wasm_options){.mode = (enum wasm_mode)mode,
                                            .tier = (enum wasm_tier)tier,
                                            .cpu = wasm_cpu_of_this_machine()};
            neighbour_start();
            run_rows();
            run_loops();
            run_fuel();
            run_growth();
            run_start("start", DEADLINE_NS, WASM_TRAP_DEADLINE);
            run_start("start_trap", 0, WASM_TRAP_STACK_EXHAUSTED);
            run_start("segment", 0, WASM_TRAP_MEMORY_BOUNDS);
            if (mode == WASM_MODE_DET && tier == WASM_TIER_OPTIMISED) {
                run_depths();
            }
            neighbour_end();
        }
    }
    printf("1..%u\n", test_count);
    return failed_count != 0;
}
