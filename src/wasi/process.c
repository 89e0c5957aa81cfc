/* Arguments, environment, clocks, randomness, and the end of the program. */
#include "base/arith.h"
#include "wasi/call.h"

/* Between two looks at the store's deadline. */
#define RANDOM_PIECE_BYTES (UINT32_C(1) << 20)

static int get_sizes(struct wasi_call *call, const struct wasi_strings *strings, uint32_t count_at,
                     uint32_t bytes_at)
{
    uint8_t *count, *bytes;
    int rc = wasi_window(call, count_at, 4, &count);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, bytes_at, 4, &bytes);
    }
    if (rc == WASI_SUCCESS) {
        wasi_put_u32(count, strings->count);
        wasi_put_u32(bytes, strings->bytes);
    }
    return rc;
}

static int get_strings(struct wasi_call *call, const struct wasi_strings *strings,
                       uint32_t pointers_at, uint32_t text_at)
{
    uint8_t *pointers, *text;
    int rc = wasi_window(call, pointers_at, strings->count * 4, &pointers);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, text_at, strings->bytes, &text);
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    for (uint32_t i = 0; i < strings->count; i++) {
        wasi_put_u32(pointers + i * 4, text_at + strings->starts[i]);
    }
    __builtin_memcpy(text, strings->text, strings->bytes);
    return WASI_SUCCESS;
}

int wasi_args_get(struct wasi_call *call, const union wasm_value *args)
{
    return get_strings(call, call->wasi->args, args[0].i32, args[1].i32);
}

int wasi_args_sizes_get(struct wasi_call *call, const union wasm_value *args)
{
    return get_sizes(call, call->wasi->args, args[0].i32, args[1].i32);
}

int wasi_environ_get(struct wasi_call *call, const union wasm_value *args)
{
    return get_strings(call, call->wasi->env, args[0].i32, args[1].i32);
}

int wasi_environ_sizes_get(struct wasi_call *call, const union wasm_value *args)
{
    return get_sizes(call, call->wasi->env, args[0].i32, args[1].i32);
}

/* The two enumerations have the same order. */
_Static_assert((int)WASI_CLOCK_REALTIME == LIBOS_CLOCK_REALTIME &&
                   (int)WASI_CLOCK_MONOTONIC == LIBOS_CLOCK_MONOTONIC &&
                   (int)WASI_CLOCK_PROCESS_CPUTIME == LIBOS_CLOCK_PROCESS_CPU &&
                   (int)WASI_CLOCK_THREAD_CPUTIME == LIBOS_CLOCK_THREAD_CPU,
               "clocks");

int wasi_clock_res_get(struct wasi_call *call, const union wasm_value *args)
{
    uint8_t *out;
    uint64_t ns;
    int rc = wasi_window(call, args[1].i32, 8, &out);
    if (rc == WASI_SUCCESS) {
        rc = libos_clock_resolution(call->wasi->os, args[0].i32, &ns);
    }
    if (rc == WASI_SUCCESS) {
        wasi_put_u64(out, ns);
    }
    return rc;
}

int wasi_clock_time_get(struct wasi_call *call, const union wasm_value *args)
{
    uint8_t *out;
    uint64_t ns;
    int rc = wasi_window(call, args[2].i32, 8, &out);
    if (rc == WASI_SUCCESS) {
        rc = libos_clock_read(call->wasi->os, args[0].i32, &ns);
    }
    if (rc == WASI_SUCCESS) {
        wasi_put_u64(out, ns);
    }
    return rc;
}

int wasi_random_get(struct wasi_call *call, const union wasm_value *args)
{
    uint8_t *out;
    uint32_t left = args[1].i32;
    int rc = wasi_window(call, args[0].i32, left, &out);
    while (rc == WASI_SUCCESS && left > 0) {
        uint32_t part = left < RANDOM_PIECE_BYTES ? left : RANDOM_PIECE_BYTES;
        rc = libos_random(call->wasi->os, out, part);
        out += part;
        left -= part;
        if (rc == WASI_SUCCESS && left > 0 && libos_interrupted(call->wasi->os)) {
            rc = -LIBOS_EINTR;
        }
    }
    return rc;
}

int wasi_sched_yield(struct wasi_call *call, const union wasm_value *args)
{
    (void)args;
    libos_yield(call->wasi->os);
    return WASI_SUCCESS;
}

int wasi_proc_exit(struct wasi_call *call, const union wasm_value *args)
{
    call->wasi->exit_status = args[0].i32;
    call->trap = WASM_TRAP_EXIT;
    return WASI_SUCCESS;
}

/* There are no signals, hence no handlers: what would be ignored by default is, what would end the
 * program ends it with the status a shell shows. WASI's numbers, with Linux' own for the status. */
int wasi_proc_raise(struct wasi_call *call, const union wasm_value *args)
{
    enum {
        NONE = 0,
        HUP = 1,
        PIPE = 13,
        ALRM = 14,
        TERM = 15,
        CHLD = 16,
        CONT = 17,
        STOP = 18,
        TSTP = 19,
        TTIN = 20,
        TTOU = 21,
        URG = 22,
        XCPU = 23,
        WINCH = 27,
        SYS = 30
    };
    uint32_t signal = args[0].i32;
    if (signal > SYS) {
        return WASI_INVAL;
    }
    switch (signal) {
    case NONE:
    case CHLD:
    case CONT:
    case URG:
    case WINCH: return WASI_SUCCESS;
    case STOP:
    case TSTP:
    case TTIN:
    case TTOU: return WASI_NOTSUP;
    default: break;
    }
    /* From CHLD on Linux' numbers are one higher (it has STKFLT as 16). */
    call->wasi->exit_status = 128 + signal + (signal >= CHLD ? 1 : 0);
    call->trap = WASM_TRAP_EXIT;
    return WASI_SUCCESS;
}
