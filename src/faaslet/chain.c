/* chain.c: chained calls as objects, and the host functions on them. */
#include "faaslet/chain.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "faaslet/executor.h"
#include "libos/errno.h"

struct chained *chained_find(struct faaslet_call *call, int64_t id)
{
    for (struct chained *chained = call->children; chained; chained = chained->sibling) {
        if (chained->id == (uint64_t)id) {
            return chained;
        }
    }
    return NULL;
}

void chained_put(struct chained *chained)
{
    if (chained && atomic_fetch_sub_explicit(&chained->refs, 1, memory_order_acq_rel) == 1) {
        function_put(chained->function);
        wm_free(chained->input);
        wm_free(chained->output);
        wm_free(chained);
    }
}

void chained_drop_all(struct faaslet_call *call)
{
    while (call->children) {
        struct chained *chained = call->children;
        call->children = chained->sibling;
        if (atomic_load_explicit(&chained->state, memory_order_relaxed) == CHAINED_REMOTE) {
            executor_forget(call->executor, chained);
        }
        chained_put(chained);
    }
    call->child_count = 0;
}

static struct faaslet_call *call_of(struct wasm_caller *caller)
{
    return ((struct faaslet_guest *)caller->env)->call;
}

/* Ids are 63 bits, so that a guest's signed number has room for errors. */
static enum wasm_trap give_id(union wasm_value *values, int rc, const struct chained *chained)
{
    values[0].i64 = rc == 0 ? chained->id : (uint64_t)(int64_t)guest_errno(rc);
    return WASM_TRAP_NONE;
}

static enum wasm_trap chain(struct wasm_caller *caller, union wasm_value *values)
{
    struct faaslet_call *call = call_of(caller);
    struct wm_view name, input;
    struct chained *chained = NULL;
    int32_t rc =
        guest_take_text(caller, values[0].i32, values[1].i32, FAASLET_KEY_BYTES_MAX, 0, &name);
    rc = rc == 0 ? guest_view(caller, values[2].i32, values[3].i32, &input) : rc;
    if (rc != 0) {
        values[0].i64 = (uint64_t)(int64_t)rc;
        return WASM_TRAP_NONE;
    }
    int error = call->initialising || !call->executor
                    ? -LIBOS_EACCES
                    : executor_chain(call, (const char *)name.ptr, UINT32_MAX, input, &chained);
    return give_id(values, error, chained);
}

static enum wasm_trap chain_this(struct wasm_caller *caller, union wasm_value *values)
{
    struct faaslet_call *call = call_of(caller);
    struct wm_view input;
    struct chained *chained = NULL;
    uint32_t elem_idx = values[0].i32;
    int32_t rc = guest_view(caller, values[1].i32, values[2].i32, &input);
    if (rc != 0 || call->initialising || !call->executor) {
        values[0].i64 = (uint64_t)(int64_t)(rc != 0 ? rc : guest_errno(-LIBOS_EACCES));
        return WASM_TRAP_NONE;
    }
    /* As the Proto-Faaslet has the table: that is where the chained call starts from. */
    uint32_t func_idx = wasm_image_table_func(call->function->image, elem_idx);
    const struct wasm_object *object = call->function->object;
    int error = WM_E_NOT_FOUND;
    if (func_idx != UINT32_MAX) {
        const struct wasm_object_type *type =
            &object->at.TYPES[object->at.FUNCS[func_idx].type_idx];
        error = type->params.len == 0 && type->results.len == 1 &&
                        object->at.STRINGS[type->results.offset] == WASM_I32
                    ? executor_chain(call, NULL, func_idx, input, &chained)
                    : -LIBOS_EINVAL;
    }
    return give_id(values, error, chained);
}

static enum wasm_trap await(struct wasm_caller *caller, union wasm_value *values)
{
    struct faaslet_call *call = call_of(caller);
    struct chained *chained = chained_find(call, (int64_t)values[0].i64);
    int rc = chained ? executor_await(call, chained, values[1].i32, caller->store) : -LIBOS_ECHILD;
    if (rc == -EINTR) {
        enum wasm_trap trap = wasm_store_interrupted(caller->store);
        return trap != WASM_TRAP_NONE ? trap : WASM_TRAP_KILLED;
    }
    int32_t result = rc == 0 ? chained->return_code & 255 : guest_errno(rc);
    if (rc == 0 && chained->end != CALL_END_OK && chained->end != CALL_END_FAILED) {
        result = guest_errno(chained->end == CALL_END_NODE_DIED ? -LIBOS_EHOSTUNREACH
                                                                : -LIBOS_ECANCELED);
    }
    values[0].i64 = (uint32_t)result;
    return WASM_TRAP_NONE;
}

/* The output of one that has ended: 0 or an errno. */
static int32_t ended_output(struct wasm_caller *caller, int64_t id, struct wm_view *out)
{
    struct chained *chained = chained_find(call_of(caller), id);
    if (!chained) {
        return guest_errno(-LIBOS_ECHILD);
    }
    if (atomic_load_explicit(&chained->state, memory_order_acquire) != CHAINED_DONE) {
        return guest_errno(-LIBOS_EAGAIN);
    }
    *out = wm_view_of(chained->output, chained->output_len);
    return 0;
}

static enum wasm_trap output_size(struct wasm_caller *caller, union wasm_value *values)
{
    struct wm_view output = {NULL, 0};
    int32_t rc = ended_output(caller, (int64_t)values[0].i64, &output);
    values[0].i64 = (uint32_t)(rc == 0 ? (int32_t)output.len : rc);
    return WASM_TRAP_NONE;
}

static enum wasm_trap output_read(struct wasm_caller *caller, union wasm_value *values)
{
    struct wm_view output;
    int32_t rc = ended_output(caller, (int64_t)values[0].i64, &output);
    if (rc == 0) {
        rc = guest_copy_out(caller, output, values[1].i32, values[2].i32, values[3].i32);
    }
    values[0].i64 = (uint32_t)rc;
    return WASM_TRAP_NONE;
}

#define FUNC(name, signature, call)      \
    {                                    \
        "faaslet", name, signature, call \
    }
static const struct wasm_host_func funcs[] = {
    FUNC("chain", "iiii:I", chain),
    FUNC("chain_this", "iii:I", chain_this),
    FUNC("await", "Ii:i", await),
    FUNC("chained_output_size", "I:i", output_size),
    FUNC("chained_output_read", "Iiii:i", output_read),
};

const struct faaslet_host_table faaslet_chain_funcs = {funcs, WM_COUNT_OF(funcs)};
