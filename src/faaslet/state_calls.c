/* state_calls.c: the state_* imports of sdk/faaslet.h: from what a guest passed to state.h.
 *
 * Each function has its key copied and its pointers proved before anything happens. Bytes to be
 * written or read move between the guest's memory and the replica directly: they decide nothing. A
 * guest may pass a pointer into a mapping of the very replica: then the content is whatever the
 * order of the copy makes it, inside its own tenant's memory. */
#include <errno.h>

#include "base/error.h"
#include "faaslet/guest.h"
#include "faaslet/state.h"
#include "wasi/types.h"

/* X(name, signature), in the order of sdk/faaslet.h. The first two arguments of all but map_error
 * are the key. */
#define STATE_FUNC_TABLE(X)   \
    X(size, "ii:I")           \
    X(create, "iii:i")        \
    X(delete, "ii:i")         \
    X(map, "iiiii:i")         \
    X(map_error, ":i")        \
    X(dirty, "iiii:i")        \
    X(read, "iiiii:i")        \
    X(write, "iiiii:i")       \
    X(push, "iiii:i")         \
    X(push_masked, "iiiii:i") \
    X(pull, "iiii:i")         \
    X(append, "iiii:I")       \
    X(appended, "iiIii:i")    \
    X(appended_count, "ii:I") \
    X(clear_appended, "ii:i") \
    X(add, "iiIi:i")          \
    X(lock, "iiii:i")         \
    X(unlock, "ii:i")         \
    X(lock_global, "iiii:I")  \
    X(unlock_global, "ii:i")

struct state_call {
    struct wasm_caller *caller;
    struct state_session *session;
    struct wm_view key;
    bool interrupted;
};

/* For the guest. What the global tier failed with is its own affair: -EIO. */
static int32_t result_of(struct state_call *call, int code)
{
    switch (code) {
    case 0: return 0;
    case -EINTR: call->interrupted = true; return -WASI_INTR;
    case -ENOMEM:
    case -EFBIG:
    case -EDEADLK:
    case -ETIMEDOUT: return guest_errno(code);
    case WM_E_BUSY: return -WASI_TIMEDOUT;
    default: return code <= -4096 ? guest_errno(code) : -WASI_IO;
    }
}

/* A 64-bit number that must not look like an error. */
static int64_t number_of(struct state_call *call, int code, uint64_t number)
{
    if (code != 0) {
        return result_of(call, code);
    }
    return number <= INT64_MAX ? (int64_t)number : -WASI_OVERFLOW;
}

static int64_t call_size(struct state_call *call, const union wasm_value *args)
{
    uint64_t bytes = 0;
    (void)args;
    int rc = state_size(call->session, call->key, &bytes);
    return number_of(call, rc, bytes);
}

static int64_t call_create(struct state_call *call, const union wasm_value *args)
{
    return result_of(call, state_create(call->session, call->key, args[2].i32));
}

static int64_t call_delete(struct state_call *call, const union wasm_value *args)
{
    (void)args;
    return result_of(call, state_delete(call->session, call->key));
}

/* An address, so an error is 0 and told by map_error. */
static int64_t call_map(struct state_call *call, const union wasm_value *args)
{
    uint32_t at = 0;
    struct wasm_memory *memory = wasm_instance_memory(call->caller->instance);
    int rc =
        state_map(call->session, call->key, memory, args[2].i32, args[3].i32, args[4].i32, &at);
    state_set_map_error(call->session, result_of(call, rc));
    return rc == 0 ? at : 0;
}

static int64_t call_map_error(struct state_call *call, const union wasm_value *args)
{
    (void)args;
    return state_map_error(call->session);
}

static int64_t call_dirty(struct state_call *call, const union wasm_value *args)
{
    return result_of(call, state_dirty(call->session, call->key, args[2].i32, args[3].i32));
}

static int64_t call_read(struct state_call *call, const union wasm_value *args)
{
    uint8_t *out;
    uint64_t done = 0;
    if (args[4].i32 > INT32_MAX) {
        return -WASI_INVAL; /* the count could not be told */
    }
    int32_t fault = guest_window(call->caller, args[3].i32, args[4].i32, &out);
    if (fault != 0) {
        return fault;
    }
    int rc = state_read(call->session, call->key, args[2].i32, out, args[4].i32, &done);
    return number_of(call, rc, done);
}

static int64_t call_write(struct state_call *call, const union wasm_value *args)
{
    struct wm_view bytes;
    int32_t fault = guest_view(call->caller, args[3].i32, args[4].i32, &bytes);
    if (fault != 0) {
        return fault;
    }
    return result_of(call,
                     state_write(call->session, call->key, args[2].i32, bytes.ptr, bytes.len));
}

static int64_t call_push(struct state_call *call, const union wasm_value *args)
{
    return result_of(call, state_push(call->session, call->key, args[2].i32, args[3].i32));
}

static int64_t call_push_masked(struct state_call *call, const union wasm_value *args)
{
    struct wm_view mask;
    int32_t fault =
        guest_take_text(call->caller, args[2].i32, args[3].i32, FAASLET_KEY_BYTES_MAX, 1, &mask);
    if (fault != 0) {
        return fault;
    }
    return result_of(call, state_push_masked(call->session, call->key, mask, args[4].i32));
}

static int64_t call_pull(struct state_call *call, const union wasm_value *args)
{
    return result_of(call, state_pull(call->session, call->key, args[2].i32, args[3].i32));
}

static int64_t call_append(struct state_call *call, const union wasm_value *args)
{
    struct wm_view element;
    uint64_t index = 0;
    int32_t fault = guest_view(call->caller, args[2].i32, args[3].i32, &element);
    if (fault != 0) {
        return fault;
    }
    int rc = state_append(call->session, call->key, element, &index);
    return number_of(call, rc, index);
}

static int64_t call_appended(struct state_call *call, const union wasm_value *args)
{
    uint8_t *out;
    uint64_t len = 0;
    int32_t fault = guest_window(call->caller, args[3].i32, args[4].i32, &out);
    if (fault != 0) {
        return fault;
    }
    int rc = state_appended(call->session, call->key, args[2].i64, out, args[4].i32, &len);
    if (rc == 0 && len > INT32_MAX) {
        return -WASI_OVERFLOW;
    }
    return number_of(call, rc, len);
}

static int64_t call_appended_count(struct state_call *call, const union wasm_value *args)
{
    uint64_t count = 0;
    (void)args;
    int rc = state_appended_count(call->session, call->key, &count);
    return number_of(call, rc, count);
}

static int64_t call_clear_appended(struct state_call *call, const union wasm_value *args)
{
    (void)args;
    return result_of(call, state_clear_appended(call->session, call->key));
}

static int64_t call_add(struct state_call *call, const union wasm_value *args)
{
    uint8_t *out;
    int64_t now = 0;
    int32_t fault = guest_window(call->caller, args[3].i32, sizeof now, &out);
    if (fault != 0) {
        return fault;
    }
    int rc = state_add(call->session, call->key, (int64_t)args[2].i64, &now);
    if (rc == 0) {
        __builtin_memcpy(out, &now, sizeof now);
    }
    return result_of(call, rc);
}

static int64_t call_lock(struct state_call *call, const union wasm_value *args)
{
    return result_of(call, state_lock(call->session, call->key, args[2].i32, args[3].i32));
}

static int64_t call_unlock(struct state_call *call, const union wasm_value *args)
{
    (void)args;
    return result_of(call, state_unlock(call->session, call->key));
}

static int64_t call_lock_global(struct state_call *call, const union wasm_value *args)
{
    uint64_t token = 0;
    int rc = state_lock_global(call->session, call->key, args[2].i32, args[3].i32, &token);
    return number_of(call, rc, token);
}

static int64_t call_unlock_global(struct state_call *call, const union wasm_value *args)
{
    (void)args;
    return result_of(call, state_unlock_global(call->session, call->key));
}

typedef int64_t state_fn(struct state_call *call, const union wasm_value *args);

static enum wasm_trap enter(struct wasm_caller *caller, union wasm_value *values,
                            state_fn *function, const char *signature)
{
    struct faaslet_guest *guest = caller->env;
    struct state_call call = {.caller = caller, .session = guest->state};
    bool has_key = signature[0] != ':';
    int64_t result = -WASI_NOSYS;
    if (call.session) {
        result = has_key ? guest_take_key(caller, values[0].i32, values[1].i32, &call.key) : 0;
        /* A mapping's error has a place of its own. */
        if (result != 0 && function == call_map) {
            state_set_map_error(call.session, (int32_t)result);
            result = 0;
        } else if (result == 0) {
            result = function(&call, values);
        }
    } else if (function == call_map) {
        result = 0;
    }
    if (call.interrupted) {
        enum wasm_trap trap = wasm_store_interrupted(caller->store);
        if (trap != WASM_TRAP_NONE) {
            return trap;
        }
    }
    bool wide = signature[__builtin_strlen(signature) - 1] == 'I';
    values[0].i64 = wide ? (uint64_t)result : (uint32_t)result;
    return WASM_TRAP_NONE;
}

#define STATE_ENTRY(name, signature)                                                         \
    static enum wasm_trap enter_##name(struct wasm_caller *caller, union wasm_value *values) \
    {                                                                                        \
        return enter(caller, values, call_##name, signature);                                \
    }
STATE_FUNC_TABLE(STATE_ENTRY)
#undef STATE_ENTRY

#define STATE_HOST_FUNC(name, signature) {"faaslet", "state_" #name, signature, enter_##name},
static const struct wasm_host_func funcs[] = {STATE_FUNC_TABLE(STATE_HOST_FUNC)};
#undef STATE_HOST_FUNC

const struct faaslet_host_table faaslet_state_funcs = {funcs, sizeof funcs / sizeof funcs[0]};
