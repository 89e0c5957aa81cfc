/* run.c: one program from its file to its exit.
 *
 * A "command" (it exports _start) is called there; a "reactor" is initialised and one function of
 * it is called by name (WASI's application ABI). However the guest ends is a report; only what
 * keeps it from running at all is an error. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <wardmote/run.h>

#include "api/instance.h"
#include "api/invoke.h"
#include "base/alloc.h"
#include "base/diag.h"

#define CALL_VALUES_MAX 64

/* Names of exported functions, for a message: as many as fit. */
static void list_exports(const struct wm_module *module, char *out, size_t out_bytes)
{
    static const char more[] = ", ...";
    const struct wasm_object *object = module->object;
    size_t at = 0;
    out[0] = 0;
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, EXPORTS); i++) {
        const struct wasm_object_export *export = &object->at.EXPORTS[i];
        if (export->kind != WASM_EXTERN_FUNC) {
            continue;
        }
        struct wm_view name = wasm_object_view(object, export->name);
        char quoted[48];
        wm_diag_quote(quoted, sizeof quoted, name.ptr, name.len);
        size_t need = strlen(quoted) + 2;
        if (at + need + sizeof more > out_bytes) {
            memcpy(out + at, more, sizeof more);
            return;
        }
        at += (size_t)snprintf(out + at, out_bytes - at, "%s%s", at ? ", " : "", quoted);
    }
}

static int no_such_function(const struct wm_run_config *config, const struct wm_module *module,
                            struct wm_diag *diag)
{
    char exports[128];
    list_exports(module, exports, sizeof exports);
    const char *has = exports[0] ? exports : "no function";
    if (config->invoke) {
        return wm_diag_set(diag, WM_E_NOT_FOUND, "%s: exports no function %s; it exports %s",
                           config->module_path, config->invoke, has);
    }
    return wm_diag_set(diag, WM_E_NOT_FOUND,
                       "%s: not a program: exports no _start; it exports %s: call one with "
                       "--invoke NAME",
                       config->module_path, has);
}

/* What will be called, with its arguments: known before anything of the guest runs. */
struct plan {
    const char *name;
    char signature[CALL_VALUES_MAX * 2 + 2];
    const char *results; /* in signature */
    union wm_value values[CALL_VALUES_MAX];
    bool initialize;
};

static int make_plan(const struct wm_run_config *config, const struct wm_module *module,
                     struct plan *plan, struct wm_diag *diag)
{
    char other[CALL_VALUES_MAX];
    *plan = (struct plan){.name = config->invoke ? config->invoke : "_start"};
    int error = wm_module_signature(module, plan->name, plan->signature, sizeof plan->signature);
    if (error == WM_E_NOT_FOUND) {
        return no_such_function(config, module, diag);
    }
    char *colon = error ? NULL : strchr(plan->signature, ':');
    if (error || colon - plan->signature > CALL_VALUES_MAX || strlen(colon + 1) > CALL_VALUES_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "%s: %s has more than %d parameters or results",
                           config->module_path, plan->name, CALL_VALUES_MAX);
    }
    plan->results = colon + 1;
    size_t params = (size_t)(colon - plan->signature);
    if (!config->invoke) {
        return strcmp(plan->signature, ":") == 0
                   ? 0
                   : wm_diag_set(diag, WM_E_INVALID, "%s: _start has parameters or results",
                                 config->module_path);
    }
    if (config->invoke_arg_count != params) {
        return wm_diag_set(diag, WM_E_USAGE, "%s: %s takes %zu arguments, got %zu",
                           config->module_path, plan->name, params, config->invoke_arg_count);
    }
    for (size_t i = 0; i < params; i++) {
        error = invoke_parse(plan->signature[i], config->invoke_args[i], &plan->values[i], diag);
        if (error) {
            wm_diag_prefix(diag, "%s: %s: argument %zu", config->module_path, plan->name, i + 1);
            return error;
        }
    }
    plan->initialize = strcmp(plan->name, "_initialize") != 0 &&
                       wm_module_signature(module, "_initialize", other, sizeof other) == 0;
    return 0;
}

static char *format_results(const struct plan *plan)
{
    size_t room = strlen(plan->results) * 64 + 1, at = 0;
    char *text = wm_alloc(room);
    if (!text) {
        return NULL;
    }
    text[0] = 0;
    for (size_t i = 0; plan->results[i]; i++) {
        at += (size_t)invoke_print(plan->results[i], &plan->values[i], text + at, room - at);
        at += (size_t)snprintf(text + at, room - at, "\n");
    }
    return text;
}

static char *format_backtrace(const struct wm_instance *instance)
{
    int len = wm_instance_backtrace(instance, NULL, 0);
    if (len <= 0) {
        return NULL;
    }
    char *text = wm_alloc((size_t)len + 1);
    if (text) {
        wm_instance_backtrace(instance, text, (size_t)len + 1);
        if (text[len - 1] == '\n') {
            text[len - 1] = 0;
        }
    }
    return text; /* NULL: a report without it is better than none */
}

static int execute(const struct wm_run_config *config, struct wm_module *module, struct plan *plan,
                   int64_t start_ns, struct wm_run_report *out, struct wm_diag *diag)
{
    struct wm_instance_config limits = {
        .memory_bytes = config->memory_bytes,
        .stack_bytes = config->stack_bytes,
        .fuel = config->fuel,
        .timeout_ms = config->timeout_ms,
        .wasi = &config->wasi,
    };
    struct wm_instance *instance = NULL;
    int error = wm_instance_new(module, &limits, &instance, diag);
    if (!instance) {
        wm_diag_prefix(diag, "%s", config->module_path);
        return error;
    }
    /* What counts for each call of an embedder counts for the whole of a run: start function,
     * _initialize and _start would else have the time that was given three times. */
    instance->deadline_ns = wasm_store_deadline(instance->store);
    out->first_instr_ns = (uint64_t)(api_now_ns() - start_ns);
    if (!error && plan->initialize) {
        error = wm_instance_call(instance, "_initialize", NULL, 0, diag);
    }
    if (!error) {
        error = wm_instance_call(instance, plan->name, plan->values, CALL_VALUES_MAX, diag);
    }
    out->total_ns = (uint64_t)(api_now_ns() - start_ns);
    out->trap = wm_instance_trap(instance);
    out->exit_status = wm_instance_exit_status(instance);
    out->memory_peak_bytes = wm_memory_peak_bytes(instance);
    out->fuel_used = module->info.fuel ? wm_instance_fuel_used(instance) : 0;
    if (error == WM_E_TRAP) {
        out->backtrace = format_backtrace(instance);
    } else if (!error && config->invoke) {
        out->results = format_results(plan);
    }
    wm_instance_free(instance);
    if (error == WM_E_TRAP || error == WM_E_EXITED) {
        error = 0;
    }
    return error;
}

int wm_run(const struct wm_run_config *config, struct wm_run_report *out, struct wm_diag *diag)
{
    int64_t start_ns = api_now_ns();
    *out = (struct wm_run_report){0};
    struct wm_engine_config engine_config = {config->cache_path, config->progress,
                                             config->progress_self};
    struct wm_module_options options = config->options;
    options.fuel = options.fuel || config->fuel > 0;
    struct wm_engine *engine = NULL;
    struct wm_module *module = NULL;
    struct plan plan;
    int error = wm_engine_new(&engine_config, &engine, diag);
    if (!error) {
        error = wm_module_load(engine, config->module_path, &options, &module, diag);
    }
    if (!error) {
        out->load_ns = (uint64_t)(api_now_ns() - start_ns);
        wm_module_info(module, &out->module);
        error = make_plan(config, module, &plan, diag);
    }
    if (!error && config->perf_map) {
        error = wm_module_perf_map(module, diag);
    }
    if (!error) {
        error = execute(config, module, &plan, start_ns, out, diag);
    }
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        out->process_peak_bytes = (uint64_t)usage.ru_maxrss << 10;
    }
    wm_module_free(module);
    wm_engine_free(engine);
    return error;
}

void wm_run_report_fini(struct wm_run_report *report)
{
    wm_free(report->backtrace);
    wm_free(report->results);
    *report = (struct wm_run_report){0};
}
