/* instance.h: linking, instantiating and calling.
 *
 * A linker-free design: the caller supplies one struct wasm_extern for each import, in the object's
 * import order (wasm_import_find helps); types are compared once, here, and never again. */
#ifndef WM_WASM_INSTANCE_H
#define WM_WASM_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "wasm/object.h"
#include "wasm/store.h"
#include "wasm/trap.h"
#include "wasm/types.h"

struct wasm_instance;
struct wasm_memory; /* memory.h */
struct wasm_table;
struct wasm_global_cell;

/* What a host function sees of its caller. Valid during the call. */
struct wasm_caller {
    struct wasm_store *store;
    struct wasm_instance *instance; /* that imported the function; its memory is the guest's */
    void *env;                      /* given at link time */
};

/* A host function: reads its arguments from `values` and leaves its results there. A value other
 * than WASM_TRAP_NONE ends the guest's call with that trap. Runs on the guest's stack with at least
 * WASM_HOST_STACK_BYTES left. May call back into wasm. */
typedef enum wasm_trap wasm_host_fn(struct wasm_caller *caller, union wasm_value *values);
#define WASM_HOST_STACK_BYTES (UINT64_C(256) << 10)

struct wasm_host_func {
    const char *module;
    const char *name;
    const char *signature; /* "iiI:i": parameters, colon, results; i i32, I i64, f f32, F f64, v
                              v128, r funcref, e externref */
    wasm_host_fn *call;
};

struct wasm_extern {
    enum wasm_extern_kind kind;
    union {
        const struct wasm_func *func; /* another instance's, or: */
        struct wasm_memory *memory;
        struct wasm_table *table;
        struct wasm_global_cell *global;
    };
    const struct wasm_host_func *host; /* FUNC: set instead of func */
    void *host_env;
};

/* Host-made entities, owned by the store. */
WM_MUST_CHECK int wasm_memory_new(struct wasm_store *store, uint32_t min_pages, uint32_t max_pages,
                                  struct wasm_memory **out, struct wm_diag *diag);
WM_MUST_CHECK int wasm_table_new(struct wasm_store *store, uint8_t elem_type, uint32_t min,
                                 uint32_t max, struct wasm_table **out, struct wm_diag *diag);
WM_MUST_CHECK int wasm_global_new(struct wasm_store *store, uint8_t valtype, bool is_mutable,
                                  union wasm_value value, struct wasm_global_cell **out,
                                  struct wm_diag *diag);

/* Looks imports up by module and name: 0 and fills *out, or WM_E_NOT_FOUND. */
typedef int wasm_resolve_fn(void *self, struct wm_view module, struct wm_view name,
                            enum wasm_extern_kind kind, struct wasm_extern *out);

/* Instantiates (4.5.4): resolves and checks each import (WM_E_UNLINKABLE names the import, what was
 * found and what to do), makes memory, tables, globals, runs active segments and the start
 * function. On WM_E_TRAP (WM_E_EXITED where the start function ended the program) the store's
 * report tells, and what happened until then stays. The object must outlive the store. */
WM_MUST_CHECK int wasm_instance_new(struct wasm_store *store, const struct wasm_object *object,
                                    wasm_resolve_fn *resolve, void *resolve_self,
                                    struct wasm_instance **out, struct wm_diag *diag);

const struct wasm_object *wasm_instance_object(const struct wasm_instance *instance);
struct wasm_store *wasm_instance_store(struct wasm_instance *instance);
struct wasm_memory *wasm_instance_memory(struct wasm_instance *instance); /* NULL: none */
/* 0 or WM_E_NOT_FOUND. */
WM_MUST_CHECK int wasm_instance_export(struct wasm_instance *instance, struct wm_view name,
                                       struct wasm_extern *out);

/* The type of a function: borrowed value types. */
struct wasm_functype wasm_func_type(const struct wasm_func *func);
/* Calls: `values` holds the arguments and receives the results, max(params, results) of them.
 * WASM_TRAP_NONE on return. Reentrant from host functions (nesting at most WASM_CALL_NESTING_MAX),
 * also into another store; but from there not back into this one: WASM_TRAP_HOST. */
enum wasm_trap wasm_call(struct wasm_store *store, const struct wasm_func *func,
                         union wasm_value *values);
#define WASM_CALL_NESTING_MAX 64

union wasm_value wasm_global_get(const struct wasm_global_cell *global);
void wasm_global_set(struct wasm_global_cell *global, union wasm_value value);

#endif
