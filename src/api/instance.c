/* instance.c: a linked module that can be called: the engine's store, instance and host functions
 * behind one public handle.
 *
 * One store per instance: what it may use up (fuel, time, memory) is its own, and a trap in it
 * concerns nobody else. */
#include "api/instance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/diag.h"
#include "wasi/wasi.h"
#include "wasm/memory.h"

_Static_assert(sizeof(union wm_value) == sizeof(union wasm_value),
               "the public union is the engine's");
#define SAME_TRAP(name, number, text)                                                      \
    _Static_assert((int)WM_TRAP_##name == (int)WASM_TRAP_##name, "the public enum is the " \
                                                                 "engine's");
WM_TRAP_TABLE(SAME_TRAP)
#undef SAME_TRAP

static enum wasm_trap call_host(struct wasm_caller *caller, union wasm_value *values)
{
    struct api_binding *binding = caller->env;
    struct wm_caller public = {binding->instance};
    return binding->call(&public, binding->env, (union wm_value *)values) == WM_HOST_OK
               ? WASM_TRAP_NONE
               : WASM_TRAP_HOST;
}

struct wm_instance *wm_caller_instance(struct wm_caller *caller)
{
    return caller->instance;
}

static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    struct wm_instance *instance = self;
    if (kind != WASM_EXTERN_FUNC) {
        return WM_E_NOT_FOUND;
    }
    for (size_t i = 0; i < instance->func_count; i++) {
        const struct wasm_host_func *func = &instance->funcs[i];
        if (wm_view_eq_str(module, func->module) && wm_view_eq_str(name, func->name)) {
            *out = (struct wasm_extern){
                .kind = WASM_EXTERN_FUNC, .host = func, .host_env = &instance->bindings[i]};
            return 0;
        }
    }
    if (instance->os && guest_os_resolve(instance->os, module, name, out) == 0) {
        return 0;
    }
    if (!instance->unknown[0]) {
        const char *hint = wasi_hint(module, name);
        char quoted_module[48], quoted_name[64];
        snprintf(instance->unknown, sizeof instance->unknown, "import \"%s\" \"%s\": %s",
                 wm_diag_quote(quoted_module, sizeof quoted_module, module.ptr, module.len),
                 wm_diag_quote(quoted_name, sizeof quoted_name, name.ptr, name.len),
                 hint ? hint
                      : "nothing here provides it: link the module that does, or build "
                        "without it");
    }
    return WM_E_NOT_FOUND;
}

static int bind_funcs(struct wm_instance *instance, const struct wm_instance_config *config)
{
    instance->funcs = wm_alloc_zero(config->func_count, sizeof *instance->funcs);
    instance->bindings = wm_alloc_zero(config->func_count, sizeof *instance->bindings);
    if (!instance->funcs || !instance->bindings) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < config->func_count; i++) {
        const struct wm_host_func *func = &config->funcs[i];
        instance->funcs[i] =
            (struct wasm_host_func){func->module, func->name, func->signature, call_host};
        instance->bindings[i] = (struct api_binding){instance, func->call, func->env};
    }
    instance->func_count = config->func_count;
    return 0;
}

static void start_clock(struct wm_instance *instance)
{
    int64_t deadline = instance->deadline_ns;
    if (deadline == 0 && instance->timeout_ms > 0) {
        int64_t ns;
        if (__builtin_mul_overflow(instance->timeout_ms, INT64_C(1000000), &ns) ||
            __builtin_add_overflow(api_now_ns(), ns, &deadline)) {
            deadline = INT64_MAX;
        }
    }
    wasm_store_set_deadline(instance->store, deadline);
}

static int link_and_start(struct wm_instance *instance, const struct wm_instance_config *config,
                          struct wm_diag *diag)
{
    struct wasm_store_limits limits = {
        .memory_bytes = config->memory_bytes,
        .stack_bytes = config->stack_bytes,
    };
    int error = bind_funcs(instance, config);
    if (!error) {
        error = wasm_store_new(&limits, &instance->store, diag);
    }
    if (error) {
        return wm_diag_default(diag, error, "instance");
    }
    wm_instance_set_fuel(instance, config->fuel);
    if (config->wasi) {
        error = guest_os_new(config->wasi, &instance->os, diag);
        if (error) {
            return error;
        }
    }
    start_clock(instance);
    error = wasm_instance_new(instance->store, instance->module->object, resolve, instance,
                              &instance->wasm, diag);
    if (error == WM_E_UNLINKABLE && instance->unknown[0]) {
        wm_diag_set(diag, error, "%s", instance->unknown);
    }
    if (error == WM_E_TRAP) {
        instance->trap = wasm_store_report(instance->store)->trap;
        error = instance->trap == WASM_TRAP_EXIT ? WM_E_EXITED : WM_E_TRAP;
    }
    return error;
}

int wm_instance_new(struct wm_module *module, const struct wm_instance_config *config,
                    struct wm_instance **out, struct wm_diag *diag)
{
    static const struct wm_instance_config defaults;
    if (!config) {
        config = &defaults;
    }
    if (config->fuel && !module->info.fuel) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "instance: a fuel limit needs a module loaded with options.fuel");
    }
    struct wm_instance *instance = wm_alloc_zero(1, sizeof *instance);
    if (!instance) {
        return wm_diag_set(diag, -ENOMEM, "instance: out of memory");
    }
    instance->module = module;
    instance->timeout_ms = config->timeout_ms;
    int error = link_and_start(instance, config, diag);
    if (error && !instance->store) {
        wm_instance_free(instance);
        return error;
    }
    /* A start function's trap or exit is told by an instance that cannot be called. */
    if (error && error != WM_E_TRAP && error != WM_E_EXITED) {
        wm_instance_free(instance);
        return wm_diag_default(diag, error, "instance");
    }
    *out = instance;
    return error;
}

void wm_instance_free(struct wm_instance *instance)
{
    if (!instance) {
        return;
    }
    if (instance->store) {
        wasm_store_free(instance->store);
    }
    guest_os_free(instance->os);
    wm_free(instance->funcs);
    wm_free(instance->bindings);
    wm_free(instance);
}

int wm_instance_call(struct wm_instance *instance, const char *name, union wm_value *values,
                     size_t value_count, struct wm_diag *diag)
{
    struct wasm_extern found;
    if (!instance->wasm) {
        return wm_diag_set(diag, WM_E_USAGE, "%s: the instance did not start", name);
    }
    if (wasm_instance_export(instance->wasm, wm_view_str(name), &found) ||
        found.kind != WASM_EXTERN_FUNC) {
        return wm_diag_set(diag, WM_E_NOT_FOUND, "%s: no such exported function", name);
    }
    struct wasm_functype type = wasm_func_type(found.func);
    uint32_t need = type.param_count > type.result_count ? type.param_count : type.result_count;
    if (value_count < need) {
        return wm_diag_set(diag, WM_E_USAGE, "%s: needs room for %u values, got %zu", name, need,
                           value_count);
    }
    start_clock(instance);
    instance->trap = wasm_call(instance->store, found.func, (union wasm_value *)values);
    if (instance->trap == WASM_TRAP_NONE) {
        return 0;
    }
    if (instance->trap == WASM_TRAP_EXIT) {
        return wm_diag_set(diag, WM_E_EXITED, "%s: ended by itself with status %u", name,
                           wm_instance_exit_status(instance));
    }
    return wm_diag_set(diag, WM_E_TRAP, "%s: trap: %s", name, wasm_trap_text(instance->trap));
}

void wm_instance_kill(struct wm_instance *instance)
{
    wasm_store_kill(instance->store);
}

enum wm_trap wm_instance_trap(const struct wm_instance *instance)
{
    return instance->trap == WASM_TRAP_EXIT ? WM_TRAP_NONE : (enum wm_trap)instance->trap;
}

const char *wm_trap_text(enum wm_trap trap)
{
    return wasm_trap_text((enum wasm_trap)trap);
}

int wm_instance_backtrace(const struct wm_instance *instance, char *out, size_t out_bytes)
{
    return wasm_report_format(wasm_store_report(instance->store), out, out_bytes);
}

uint32_t wm_instance_exit_status(const struct wm_instance *instance)
{
    return instance->os ? guest_os_exit_status(instance->os) : 0;
}

void wm_instance_set_fuel(struct wm_instance *instance, uint64_t left)
{
    instance->fuel_given = left == 0 || left > INT64_MAX ? INT64_MAX : (int64_t)left;
    wasm_store_set_fuel(instance->store, instance->fuel_given);
}

uint64_t wm_instance_fuel_used(const struct wm_instance *instance)
{
    return (uint64_t)(instance->fuel_given - wasm_store_fuel(instance->store));
}

static struct wasm_memory *memory_of(struct wm_instance *instance)
{
    return instance->wasm ? wasm_instance_memory(instance->wasm) : NULL;
}

uint64_t wm_memory_bytes(struct wm_instance *instance)
{
    struct wasm_memory *memory = memory_of(instance);
    return memory ? wasm_memory_bytes(memory) : 0;
}

uint64_t wm_memory_peak_bytes(struct wm_instance *instance)
{
    struct wasm_memory *memory = memory_of(instance);
    return memory ? wasm_memory_peak_bytes(memory) : 0;
}

bool wm_memory_read(struct wm_instance *instance, uint32_t addr, void *out, uint32_t len)
{
    struct wasm_memory *memory = memory_of(instance);
    return memory && wasm_memory_read(memory, wasm_addr_of(addr), out, len);
}

bool wm_memory_write(struct wm_instance *instance, uint32_t addr, const void *bytes, uint32_t len)
{
    struct wasm_memory *memory = memory_of(instance);
    return memory && wasm_memory_write(memory, wasm_addr_of(addr), bytes, len);
}
