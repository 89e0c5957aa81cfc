/* wardmote/engine.h: WebAssembly modules inside your own program.
 *
 *     struct wm_engine *engine;
 *     struct wm_module *module;
 *     struct wm_instance *instance;
 *     union wm_value values[2] = {{.i32 = 6}, {.i32 = 7}};
 *     struct wm_diag diag = WM_DIAG_INIT;
 *
 *     wm_engine_new(NULL, &engine, &diag)
 *     wm_module_load(engine, "mul.wasm", NULL, &module, &diag)
 *     wm_instance_new(module, NULL, &instance, &diag)
 *     wm_instance_call(instance, "mul", values, 2, &diag)        now values[0].i32 is 42
 *     wm_instance_free(instance); wm_module_free(module); wm_engine_free(engine);
 *
 * Modules are hostile: whatever is in one, loading it ends in an error or in a confined instance.
 * They are decoded, checked and compiled in a process of its own (wardmote-wasmc) and
 * kept, compiled, in a cache folder of the user's; loading what is there already takes
 * microseconds.
 *
 * A guest that misbehaves ends its call, never your program: wm_instance_call returns WM_E_TRAP and
 * the instance tells why. Traps are found by signals (SIGSEGV, SIGBUS, SIGILL, and a real-time
 * signal for deadlines and kills); the library installs its handlers with the first instance and
 * passes on what is not its own to the handlers that were there before. Handlers of your own for
 * signals that may come while a guest runs need SA_ONSTACK: without it the kernel puts their frame
 * on the guest's stack, and ends the process where a guest has left no room there.
 *
 * Threads: an engine and a module may be used by one thread at a time; an instance belongs to the
 * thread that made it. wm_instance_kill may come from any thread.
 *
 * Memory: NULL-terminated strings and arrays passed in are borrowed for the call, except where
 * "kept" is said. What a _new or _load gave is released by the matching _free, in the reverse order
 * of its making. */
#ifndef WARDMOTE_ENGINE_H
#define WARDMOTE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wardmote/error.h>
#include <wardmote/wasi.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wm_engine;
struct wm_module;
struct wm_instance;
struct wm_caller;

/* --- engine: a cache and a way to compile --- */

/* Told while a compilation is waited for, about ten times a second: functions done and in all. */
typedef void wm_progress(void *self, uint32_t done, uint32_t total);

struct wm_engine_config {
    const char *cache_path; /* NULL: $XDG_CACHE_HOME/wardmote, else ~/.cache/wardmote */
    wm_progress *progress;  /* NULL allowed */
    void *progress_self;
};

/* config NULL: all defaults. Makes the cache folder where it is missing; WM_E_DENIED when the
 * folder belongs to somebody else or others may write to it. */
WM_EXPORT WM_MUST_CHECK int wm_engine_new(const struct wm_engine_config *config,
                                          struct wm_engine **out, struct wm_diag *diag);
WM_EXPORT void wm_engine_free(struct wm_engine *engine);

/* --- module: compiled code --- */

enum wm_mode {
    WM_MODE_GUARD, /* out-of-bounds accesses fault in a guard region: fastest */
    WM_MODE_CHECK, /* an explicit comparison before every access */
    WM_MODE_DET, /* results, traps and fuel are a function of the wasm code and its inputs alone */
};

enum wm_tier {
    WM_TIER_O0,        /* compiled fast */
    WM_TIER_OPTIMISED, /* runs fast */
};

enum wm_when {
    /* What is in the cache, the optimised tier first. Else a small module is compiled optimised; a
     * large one at O0, at once, while a process in the background compiles the optimised tier for
     * the next start. */
    WM_WHEN_SOON,
    WM_WHEN_OPTIMISED, /* the optimised tier, however long it takes */
    WM_WHEN_O0,        /* the O0 tier, and nothing in the background */
};

struct wm_module_options {
    enum wm_mode mode;
    enum wm_when when;
    bool fuel; /* count it; WM_MODE_DET always does */
};

struct wm_module_info {
    enum wm_mode mode;
    enum wm_tier tier;
    bool fuel;
    bool cached;         /* nothing had to be compiled */
    bool background;     /* the optimised tier is being compiled in the background */
    uint64_t wasm_bytes; /* of the module's file */
    uint64_t code_bytes; /* of machine code */
    uint64_t compile_ns; /* waited for the compiler */
    uint8_t sha256[32];  /* of the module's file */
};

/* options NULL: guard, soon, no fuel. Fails with WM_E_MALFORMED, WM_E_INVALID (diag names the byte
 * offset), WM_E_UNSUPPORTED, WM_E_LIMIT, WM_E_COMPILER, WM_E_MISSING (no wardmote-wasmc), or errno.
 */
WM_EXPORT WM_MUST_CHECK int wm_module_load(struct wm_engine *engine, const char *path,
                                           const struct wm_module_options *options,
                                           struct wm_module **out, struct wm_diag *diag);
/* The same from memory. */
WM_EXPORT WM_MUST_CHECK int wm_module_load_bytes(struct wm_engine *engine, const void *bytes,
                                                 size_t len,
                                                 const struct wm_module_options *options,
                                                 struct wm_module **out, struct wm_diag *diag);
WM_EXPORT void wm_module_free(struct wm_module *module);
/* Adds its functions to /tmp/perf-PID.map, so that Linux perf shows their names for this process.
 */
WM_EXPORT WM_MUST_CHECK int wm_module_perf_map(const struct wm_module *module,
                                               struct wm_diag *diag);
WM_EXPORT void wm_module_info(const struct wm_module *module, struct wm_module_info *out);

/* Of an exported function: parameters, colon, results, one letter each, NUL-terminated: i i32, I
 * i64, f f32, F f64, v v128, r funcref, e externref. 0; WM_E_NOT_FOUND; WM_E_LIMIT when out is too
 * small. */
WM_EXPORT WM_MUST_CHECK int wm_module_signature(const struct wm_module *module, const char *name,
                                                char *out, size_t out_bytes);

/* --- values and host functions --- */

union wm_value {
    uint32_t i32;
    uint64_t i64;
    float f32;
    double f64;
    uint64_t v128[2];
    uint64_t ref; /* externref: a token of your own, 0 for null; funcref: opaque, not to be kept */
};

enum wm_host_end {
    WM_HOST_OK,   /* results are in values; the guest goes on */
    WM_HOST_TRAP, /* the guest's call ends with a trap */
};

/* A function that guests may import: arguments in, results out in `values`. Guest pointers are
 * numbers: reach what they mean through wm_memory_read and wm_memory_write of the caller's
 * instance. May not leave by longjmp or a C++ exception. */
typedef enum wm_host_end wm_host_call(struct wm_caller *caller, void *env, union wm_value *values);
/* The instance that called; valid during the call. */
WM_EXPORT struct wm_instance *wm_caller_instance(struct wm_caller *caller);

struct wm_host_func {
    const char *module; /* import's module and name; kept until the instance is freed, all four */
    const char *name;
    const char *signature; /* as wm_module_signature writes it */
    wm_host_call *call;
    void *env;
};

/* --- instance --- */

struct wm_instance_config {
    uint64_t memory_bytes; /* most that its memory may grow to; 0: 4 GiB */
    uint64_t stack_bytes;  /* of native stack; 0: 8 MiB. In det: of counted frames; 0: 256 MiB */
    uint64_t fuel;       /* for all its calls together; 0: not limited. Needs a module with fuel */
    uint64_t timeout_ms; /* of each call; 0: none */
    const struct wm_host_func *funcs;
    size_t func_count;
    const struct wm_wasi_config *wasi; /* NULL: the module gets no WASI functions */
};

/* config NULL: all defaults. Links, and runs the start function. WM_E_UNLINKABLE names the import
 * that could not be satisfied. WM_E_TRAP or WM_E_EXITED when the start function ended so: then, and
 * only then, *out is set on an error too, to an instance that tells why and cannot be called. */
WM_EXPORT WM_MUST_CHECK int wm_instance_new(struct wm_module *module,
                                            const struct wm_instance_config *config,
                                            struct wm_instance **out, struct wm_diag *diag);
WM_EXPORT void wm_instance_free(struct wm_instance *instance);

/* Calls an exported function. `values`, value_count of them (at least the larger number of its
 * parameters and results), hold the arguments and receive the results. 0; WM_E_NOT_FOUND,
 * WM_E_USAGE (too few values); WM_E_TRAP: see wm_instance_trap; WM_E_EXITED: it called proc_exit,
 * see wm_instance_exit_status. After a trap the instance may be called again, but what the guest
 * was in the middle of stays as it was; most embedders free it. */
WM_EXPORT WM_MUST_CHECK int wm_instance_call(struct wm_instance *instance, const char *name,
                                             union wm_value *values, size_t value_count,
                                             struct wm_diag *diag);
/* From any thread, also while no call runs: the running or the next call ends with the trap
 * "killed". */
WM_EXPORT void wm_instance_kill(struct wm_instance *instance);

/* X(NAME, number, text). The first ten texts are the specification's. */
#define WM_TRAP_TABLE(X)                                      \
    X(UNREACHABLE, 1, "unreachable")                          \
    X(DIVIDE_BY_ZERO, 2, "integer divide by zero")            \
    X(INTEGER_OVERFLOW, 3, "integer overflow")                \
    X(INVALID_CONVERSION, 4, "invalid conversion to integer") \
    X(MEMORY_BOUNDS, 5, "out of bounds memory access")        \
    X(TABLE_BOUNDS, 6, "out of bounds table access")          \
    X(UNDEFINED_ELEMENT, 7, "undefined element")              \
    X(UNINITIALIZED_ELEMENT, 8, "uninitialized element")      \
    X(TYPE_MISMATCH, 9, "indirect call type mismatch")        \
    X(STACK_EXHAUSTED, 10, "call stack exhausted")            \
    X(OUT_OF_FUEL, 16, "out of fuel")                         \
    X(DEADLINE, 17, "deadline passed")                        \
    X(KILLED, 18, "killed")                                   \
    X(HOST, 19, "a host function failed")                     \
    X(OUT_OF_MEMORY, 22, "the machine has no memory for this guest")

#define WM_TRAP_ENUM(name, number, text) WM_TRAP_##name = number,
enum wm_trap { WM_TRAP_NONE = 0, WM_TRAP_TABLE(WM_TRAP_ENUM) };
#undef WM_TRAP_ENUM

/* Why the last call ended; WM_TRAP_NONE when it did not trap. */
WM_EXPORT enum wm_trap wm_instance_trap(const struct wm_instance *instance);
WM_EXPORT const char *wm_trap_text(enum wm_trap trap); /* borrowed, static */
/* Of the last trap: one line per frame, innermost first, "  at NAME (FILE:LINE)", made safe to
 * print. Returns the length of the whole, as snprintf does. */
WM_EXPORT int wm_instance_backtrace(const struct wm_instance *instance, char *out,
                                    size_t out_bytes);
/* Of proc_exit; 0 when it was not called. */
WM_EXPORT uint32_t wm_instance_exit_status(const struct wm_instance *instance);

/* Used so far; 0 where fuel is not counted. */
WM_EXPORT uint64_t wm_instance_fuel_used(const struct wm_instance *instance);
WM_EXPORT void wm_instance_set_fuel(struct wm_instance *instance, uint64_t left);

/* --- guest memory: the instance's own or imported one --- */

WM_EXPORT uint64_t wm_memory_bytes(struct wm_instance *instance); /* 0: it has none */
WM_EXPORT uint64_t wm_memory_peak_bytes(struct wm_instance *instance);
/* False when [addr, addr + len) is not all inside; then nothing was copied. */
WM_EXPORT WM_MUST_CHECK bool wm_memory_read(struct wm_instance *instance, uint32_t addr, void *out,
                                            uint32_t len);
WM_EXPORT WM_MUST_CHECK bool wm_memory_write(struct wm_instance *instance, uint32_t addr,
                                             const void *bytes, uint32_t len);

#ifdef __cplusplus
}
#endif

#endif
