/* suspend.c: the protocol of binaryen's asyncify pass.
 *
 * The pass makes every function able to stop in the middle: while the module's state is
 * "unwinding", functions save their locals to an area of memory and return; while it is
 * "rewinding", they load them and go back to where they were. The module exports the switches:
 *
 *     asyncify_start_unwind(area)  asyncify_stop_unwind()     area: where to write, where it ends
 *     asyncify_start_rewind(area)  asyncify_stop_rewind()
 *     asyncify_get_state() -> 0 running, 1 unwinding, 2 rewinding
 *
 * So the host function that is to be the place of the image starts unwinding and returns, the whole
 * program returns through `start`, and what is left is ordinary memory. The area is new memory at
 * the end, which the program does not know. */
#include "wasm/suspend.h"

#include <string.h>

#include "base/error.h"
#include "wasm/image.h"
#include "wasm/runtime.h"

#define AREA_PAGES 64u /* 4 MiB of saved locals: thousands of frames */

enum asyncify_state { RUNNING = 0, UNWINDING = 1, REWINDING = 2 };

static const struct {
    const char *name;
    uint32_t params, results; /* all i32 */
} switches[] = {
    {"asyncify_start_unwind", 1, 0}, {"asyncify_stop_unwind", 0, 0},
    {"asyncify_start_rewind", 1, 0}, {"asyncify_stop_rewind", 0, 0},
    {"asyncify_get_state", 0, 1},
};

bool wasm_suspendable(const struct wasm_object *object)
{
    uint32_t found = 0;
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, EXPORTS); i++) {
        const struct wasm_object_export *export = &object->at.EXPORTS[i];
        struct wm_view name = wasm_object_view(object, export->name);
        for (uint32_t j = 0; j < WM_COUNT_OF(switches); j++) {
            if (export->kind != WASM_EXTERN_FUNC || !wm_view_eq_str(name, switches[j].name)) {
                continue;
            }
            const struct wasm_object_type *type =
                &object->at.TYPES[object->at.FUNCS[export->idx].type_idx];
            found +=
                type->params.len == switches[j].params &&
                type->results.len == switches[j].results &&
                (type->params.len == 0 || object->at.STRINGS[type->params.offset] == WASM_I32) &&
                (type->results.len == 0 || object->at.STRINGS[type->results.offset] == WASM_I32);
        }
    }
    return found == WM_COUNT_OF(switches) && (object->header->memory_flags & 1);
}

static enum wasm_trap call_export(struct wasm_instance *instance, const char *name,
                                  union wasm_value *value)
{
    struct wasm_extern found;
    int rc = wasm_instance_export(instance, wm_view_str(name), &found);
    WM_ASSERT(rc == 0 && found.kind == WASM_EXTERN_FUNC); /* wasm_suspendable looked */
    return wasm_call(instance->store, found.func, value);
}

/* The function to run, which must take and return nothing. */
static const struct wasm_func *start_of(struct wasm_instance *instance, const char *start)
{
    struct wasm_extern found;
    if (wasm_instance_export(instance, wm_view_str(start), &found) != 0 ||
        found.kind != WASM_EXTERN_FUNC) {
        return NULL;
    }
    struct wasm_functype type = wasm_func_type(found.func);
    return type.param_count == 0 && type.result_count == 0 ? found.func : NULL;
}

static enum wasm_trap begin_unwind(struct wasm_instance *instance)
{
    struct wasm_memory *memory = instance->memory;
    uint32_t pages = wasm_memory_grow(memory, AREA_PAGES);
    if (pages == UINT32_MAX) {
        return WASM_TRAP_OUT_OF_MEMORY;
    }
    /* Not at the start of the new pages: in a memory that was empty that would be address 0, which
     * means that nothing is suspended. */
    uint32_t start = (uint32_t)(pages * WASM_PAGE_BYTES), area = start + 16;
    uint32_t bounds[2] = {area + 16, (uint32_t)(start + AREA_PAGES * WASM_PAGE_BYTES - 16)};
    if (!wasm_memory_write(memory, wasm_addr_of(area), bounds, sizeof bounds)) {
        WM_UNREACHABLE();
    }
    instance->suspend_addr = area;
    union wasm_value value = {.i32 = area};
    enum wasm_trap trap = call_export(instance, "asyncify_start_unwind", &value);
    if (trap == WASM_TRAP_NONE) {
        instance->store->suspend = WASM_SUSPEND_UNWINDING;
        trap = WASM_TRAP_SUSPENDED;
    }
    return trap;
}

enum wasm_trap wasm_suspend_here(struct wasm_caller *caller)
{
    struct wasm_store *store = caller->store;
    union wasm_value value = {0};
    if (store->suspend != WASM_SUSPEND_OFF && !wasm_suspendable(caller->instance->object)) {
        return WASM_TRAP_HOST; /* called by a linked instance, which cannot unwind itself */
    }
    switch (store->suspend) {
    case WASM_SUSPEND_ASKED: return begin_unwind(caller->instance);
    case WASM_SUSPEND_REWINDING:
        store->suspend = WASM_SUSPEND_OFF;
        return call_export(caller->instance, "asyncify_stop_rewind", &value);
    case WASM_SUSPEND_OFF:
    case WASM_SUSPEND_UNWINDING: break;
    }
    return WASM_TRAP_NONE;
}

int wasm_suspend_run(struct wasm_instance *instance, const char *start, struct wasm_image **out,
                     struct wm_diag *diag)
{
    struct wasm_store *store = instance->store;
    union wasm_value value = {0};
    if (!wasm_suspendable(instance->object)) {
        return wm_diag_set(diag, WM_E_UNSUPPORTED,
                           "suspend: the module was not prepared; compile it with --suspendable");
    }
    const struct wasm_func *func = start_of(instance, start);
    if (!func) {
        return wm_diag_set(diag, WM_E_NOT_FOUND,
                           "suspend: no exported function \"%s\" without parameters and results",
                           start);
    }
    store->suspend = WASM_SUSPEND_ASKED;
    enum wasm_trap trap = wasm_call(store, func, &value);
    bool unwound = store->suspend == WASM_SUSPEND_UNWINDING;
    store->suspend = WASM_SUSPEND_OFF;
    if (trap == WASM_TRAP_EXIT || (trap == WASM_TRAP_NONE && !unwound)) {
        return wm_diag_set(diag, WM_E_EXITED,
                           "suspend: the program ended before it asked for anything to wait for");
    }
    if (trap == WASM_TRAP_NONE) {
        trap = call_export(instance, "asyncify_get_state", &value);
    }
    if (trap == WASM_TRAP_NONE && value.i32 != UNWINDING) {
        return wm_diag_set(diag, WM_E_INVALID, "suspend: the program did not unwind itself");
    }
    if (trap == WASM_TRAP_NONE) {
        trap = call_export(instance, "asyncify_stop_unwind", &value);
    }
    if (trap != WASM_TRAP_NONE) {
        return wm_diag_set(diag, WM_E_TRAP, "suspend: %s", wasm_trap_text(trap));
    }
    int rc = wasm_image_take(instance, out, diag);
    if (rc == 0) {
        (*out)->suspended = true;
        (*out)->suspend_addr = instance->suspend_addr;
    }
    return rc;
}

enum wasm_trap wasm_suspend_continue(struct wasm_instance *instance, const char *start)
{
    struct wasm_store *store = instance->store;
    const struct wasm_func *func = start_of(instance, start);
    if (!func || instance->suspend_addr == 0 || !wasm_suspendable(instance->object)) {
        return WASM_TRAP_HOST; /* not suspended, or by another function: whose image is this? */
    }
    union wasm_value value = {.i32 = instance->suspend_addr};
    enum wasm_trap trap = call_export(instance, "asyncify_start_rewind", &value);
    if (trap == WASM_TRAP_NONE) {
        store->suspend = WASM_SUSPEND_REWINDING;
        trap = wasm_call(store, func, &value);
        store->suspend = WASM_SUSPEND_OFF;
    }
    return trap;
}
