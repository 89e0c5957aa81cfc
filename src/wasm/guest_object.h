/* guest_object.h: an object in memory, made by hand, for the runtime's own tests.
 *
 * Its functions are those of guest_object.S, so that a test reaches each situation exactly and
 * needs no compiler. It is the module
 *
 *     (import "host" "f" (func (param i32) (result i32)))   function 0
 *     (memory min max) (table 4 1000 funcref) (global (mut i32) (i32.const 5))
 *     (data passive "wxyz")
 *     and the functions below, all (param i32) (result i32), named "f\n" */
#ifndef WM_WASM_GUEST_OBJECT_H
#define WM_WASM_GUEST_OBJECT_H

#include "wasm/object.h"

#define GUEST_FUNCS(X)   \
    X(add_one)           \
    X(unreachable)       \
    X(loop)              \
    X(recurse)           \
    X(load)              \
    X(load_far)          \
    X(store)             \
    X(call_host)         \
    X(call_host_forever) \
    X(deep_host)         \
    X(grow)              \
    X(fill)              \
    X(fill_forever)      \
    X(null_call)         \
    X(set_global)        \
    X(get_global)        \
    X(set_table)         \
    X(get_table)         \
    X(grow_table)        \
    X(drop)              \
    X(init)

#define GUEST_FUNC_NUMBER(name) FUNC_##name,
enum { FUNC_host, GUEST_FUNCS(GUEST_FUNC_NUMBER) FUNC_COUNT };
#undef GUEST_FUNC_NUMBER

struct guest_object {
    struct wasm_object object;
    struct wasm_object_header header;
    struct wasm_object_type types[1];
    struct wasm_object_import imports[1];
    struct wasm_object_table tables[1];
    struct wasm_object_global globals[1];
    struct wasm_object_func funcs[FUNC_COUNT];
    struct wasm_object_data datas[1];
    struct wasm_object_unwind unwind[8];
};

/* `id` makes modules differ in their hash. The struct must stay where it is. */
void guest_object_make(struct guest_object *guest, uint8_t id, uint32_t memory_min,
                       uint32_t memory_max);

#endif
