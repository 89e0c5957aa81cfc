/* Interpreter of the JSON commands that wast2json writes. One store per script, since its modules
 * link with each other; a module table by script name and one by registered name. A module command
 * that fails counts as one failure and leaves no current module, so that what follows fails too
 * and says why. */
#include "spec/script.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/vec.h"
#include "common/engine.h"
#include "spec/value.h"
#include "wasm/instance.h"
#include "wasm/store.h"

#define CALL_LIMIT_NS INT64_C(60000000000)
#define VALUES_MAX 64

struct named {
    char *name;
    struct wasm_instance *instance;
};

struct script {
    const char *folder, *name;
    struct wasm_options options;
    struct spec_tally *tally;
    FILE *out;
    struct wasm_store *store;
    struct wasm_instance *current;
    WM_VEC(struct named) named;      /* by "$name" in the script */
    WM_VEC(struct named) registered; /* by import module name */
    /* The spectest module (the suite's interpreter/README, "spectest"). */
    struct wasm_global_cell *global_i32, *global_i64, *global_f32, *global_f64;
    struct wasm_table *table;
    struct wasm_memory *memory;
};

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

WM_PRINTF(2, 3) static void fail(struct script *script, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(script->out, "%s.wast:%u: ", script->name, script->tally->line);
    vfprintf(script->out, format, args);
    fputc('\n', script->out);
    fflush(script->out);
    va_end(args);
    script->tally->failed++;
}

static enum wasm_trap print(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller;
    (void)values;
    return WASM_TRAP_NONE;
}

static const struct wasm_host_func print_funcs[] = {
    {"spectest", "print", ":", print},          {"spectest", "print_i32", "i:", print},
    {"spectest", "print_i64", "I:", print},     {"spectest", "print_f32", "f:", print},
    {"spectest", "print_f64", "F:", print},     {"spectest", "print_i32_f32", "if:", print},
    {"spectest", "print_f64_f64", "FF:", print}};

static int resolve_spectest(struct script *script, struct wm_view name, struct wasm_extern *out)
{
    const struct {
        const char *name;
        struct wasm_global_cell *global;
    } globals[] = {{"global_i32", script->global_i32},
                   {"global_i64", script->global_i64},
                   {"global_f32", script->global_f32},
                   {"global_f64", script->global_f64}};
    *out = (struct wasm_extern){0};
    for (size_t i = 0; i < WM_COUNT_OF(print_funcs); i++) {
        if (wm_view_eq_str(name, print_funcs[i].name)) {
            out->kind = WASM_EXTERN_FUNC;
            out->host = &print_funcs[i];
            return 0;
        }
    }
    for (size_t i = 0; i < WM_COUNT_OF(globals); i++) {
        if (wm_view_eq_str(name, globals[i].name)) {
            out->kind = WASM_EXTERN_GLOBAL;
            out->global = globals[i].global;
            return 0;
        }
    }
    if (wm_view_eq_str(name, "table")) {
        out->kind = WASM_EXTERN_TABLE;
        out->table = script->table;
        return 0;
    }
    if (wm_view_eq_str(name, "memory")) {
        out->kind = WASM_EXTERN_MEMORY;
        out->memory = script->memory;
        return 0;
    }
    return WM_E_NOT_FOUND;
}

static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    struct script *script = self;
    (void)kind; /* another kind is the engine's to refuse */
    for (size_t i = script->registered.count; i-- > 0;) {
        if (wm_view_eq_str(module, script->registered.items[i].name)) {
            return wasm_instance_export(script->registered.items[i].instance, name, out);
        }
    }
    return wm_view_eq_str(module, "spectest") ? resolve_spectest(script, name, out)
                                              : WM_E_NOT_FOUND;
}

static struct wm_view module_bytes(struct script *script, const json_t *command)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s", script->folder, script->name,
             text_of(command, "filename"));
    return test_file_read(path);
}

static void release(struct wm_view bytes)
{
    free((void *)(uintptr_t)bytes.ptr);
}

/* Compiles and instantiates; the object stays mapped until the process ends, as the store needs. */
static int instantiate(struct script *script, const json_t *command, struct wasm_instance **out,
                       bool *compiled, struct wm_diag *diag)
{
    struct wasm_object *object = NULL;
    struct wm_view bytes = module_bytes(script, command);
    int rc = test_object_compile(bytes, &script->options, &object, diag);
    release(bytes);
    *compiled = rc == 0;
    if (rc != 0) {
        return rc;
    }
    wasm_store_set_deadline(script->store, test_now_ns() + CALL_LIMIT_NS);
    return wasm_instance_new(script->store, object, resolve, script, out, diag);
}

static struct wasm_instance *instance_of(struct script *script, const json_t *json, const char *key)
{
    const char *name = text_of(json, key);
    if (!name) {
        return script->current;
    }
    for (size_t i = script->named.count; i-- > 0;) {
        if (strcmp(script->named.items[i].name, name) == 0) {
            return script->named.items[i].instance;
        }
    }
    return NULL;
}

static void must_push(int rc)
{
    if (rc != 0) {
        fprintf(stderr, "spec_run: no memory\n");
        exit(2);
    }
}

static void do_module(struct script *script, const json_t *command)
{
    struct wm_diag diag = WM_DIAG_INIT;
    bool compiled;
    const char *name = text_of(command, "name");
    script->current = NULL;
    int rc = instantiate(script, command, &script->current, &compiled, &diag);
    if (rc != 0) {
        script->current = NULL;
        fail(script, "module %s: %s: %s", text_of(command, "filename"), wm_error_name(rc),
             wm_diag_text(&diag));
    }
    if (name) {
        struct named named = {strdup(name), script->current};
        must_push(wm_vec_push(&script->named, named));
    }
}

static void do_register(struct script *script, const json_t *command)
{
    struct named named = {strdup(text_of(command, "as")), instance_of(script, command, "name")};
    if (!named.instance) {
        fail(script, "register %s: no such module", named.name);
        return;
    }
    must_push(wm_vec_push(&script->registered, named));
}

struct outcome {
    bool possible; /* false: the action could not even be tried; the reason was reported */
    enum wasm_trap trap;
    uint32_t count;
    uint8_t types[VALUES_MAX];
    union wasm_value values[VALUES_MAX];
};

static void do_get(struct script *script, const struct wasm_extern *found, const json_t *command,
                   struct outcome *out)
{
    uint8_t valtype = 0;
    const json_t *expected = json_array_get(json_object_get(command, "expected"), 0);
    union wasm_value ignored;
    if (found->kind != WASM_EXTERN_GLOBAL || !expected) {
        fail(script, "get: not a global");
        return;
    }
    (void)spec_value_read(expected, &valtype, &ignored);
    out->possible = true;
    out->count = 1;
    out->types[0] = valtype;
    out->values[0] = wasm_global_get(found->global);
}

static void do_invoke(struct script *script, const struct wasm_extern *found, const json_t *action,
                      struct outcome *out)
{
    if (found->kind != WASM_EXTERN_FUNC || !found->func) {
        fail(script, "invoke: not a function of this module");
        return;
    }
    const json_t *args = json_object_get(action, "args");
    struct wasm_functype type = wasm_func_type(found->func);
    if (type.param_count != json_array_size(args) || type.param_count > VALUES_MAX ||
        type.result_count > VALUES_MAX) {
        fail(script, "invoke: wrong number of arguments");
        return;
    }
    for (uint32_t i = 0; i < type.param_count; i++) {
        uint8_t valtype;
        if (!spec_value_read(json_array_get(args, i), &valtype, &out->values[i]) ||
            valtype != type.params[i]) {
            fail(script, "invoke: argument %u has the wrong type", i);
            return;
        }
    }
    wasm_store_set_deadline(script->store, test_now_ns() + CALL_LIMIT_NS);
    wasm_store_set_fuel(script->store, INT64_MAX);
    out->possible = true;
    out->trap = wasm_call(script->store, found->func, out->values);
    out->count = out->trap == WASM_TRAP_NONE ? type.result_count : 0;
    memcpy(out->types, type.results, out->count);
}

static void do_action(struct script *script, const json_t *command, struct outcome *out)
{
    const json_t *action = json_object_get(command, "action");
    const json_t *field = json_object_get(action, "field");
    struct wasm_instance *instance = instance_of(script, action, "module");
    struct wm_view name = wm_view_of(json_string_value(field), json_string_length(field));
    struct wasm_extern found;
    memset(out, 0, sizeof *out);
    if (!instance) {
        fail(script, "action: there is no module to act on");
        return;
    }
    if (wasm_instance_export(instance, name, &found) != 0) {
        fail(script, "action: no export \"%s\"", json_string_value(field));
        return;
    }
    if (strcmp(text_of(action, "type"), "get") == 0) {
        do_get(script, &found, command, out);
    } else {
        do_invoke(script, &found, action, out);
    }
}

static void pass(struct script *script)
{
    script->tally->passed++;
}

static void assert_return(struct script *script, const json_t *command)
{
    struct outcome got;
    const json_t *expected = json_object_get(command, "expected");
    do_action(script, command, &got);
    if (!got.possible) {
        return;
    }
    if (got.trap != WASM_TRAP_NONE) {
        fail(script, "expected a result, got trap \"%s\"", wasm_trap_text(got.trap));
        return;
    }
    if (got.count != json_array_size(expected)) {
        fail(script, "expected %zu results, got %u", json_array_size(expected), got.count);
        return;
    }
    for (uint32_t i = 0; i < got.count; i++) {
        const json_t *wanted = json_array_get(expected, i);
        if (!spec_value_fits(wanted, got.types[i], &got.values[i])) {
            char text[80];
            char *json = json_dumps(wanted, JSON_COMPACT);
            fail(script, "%s: result %u is %s, expected %s",
                 text_of(json_object_get(command, "action"), "field"), i,
                 spec_value_text(got.types[i], &got.values[i], text, sizeof text), json);
            free(json);
            return;
        }
    }
    pass(script);
}

/* The suite compares by prefix; it also knows texts longer than the rule's name ("uninitialized
 * element 2"), so either may be the prefix. */
static bool trap_fits(enum wasm_trap trap, const char *expected)
{
    const char *text = wasm_trap_text(trap);
    size_t len = strlen(text) < strlen(expected) ? strlen(text) : strlen(expected);
    return trap != WASM_TRAP_NONE && strncmp(text, expected, len) == 0;
}

static void assert_trap(struct script *script, const json_t *command)
{
    struct outcome got;
    const char *expected = text_of(command, "text");
    do_action(script, command, &got);
    if (!got.possible) {
        return;
    }
    if (!trap_fits(got.trap, expected)) {
        fail(script, "%s: expected trap \"%s\", got %s%s",
             text_of(json_object_get(command, "action"), "field"), expected,
             got.trap == WASM_TRAP_NONE ? "a result" : "trap ",
             got.trap == WASM_TRAP_NONE ? "" : wasm_trap_text(got.trap));
        return;
    }
    pass(script);
}

static void assert_refused(struct script *script, const json_t *command, int wanted)
{
    struct wm_diag diag = WM_DIAG_INIT;
    const char *type = text_of(command, "module_type");
    if (type && strcmp(type, "text") == 0) {
        script->tally->skipped++;
        return;
    }
    struct wm_view bytes = module_bytes(script, command);
    int rc = test_module_check(bytes, &diag);
    release(bytes);
    if (rc != wanted) {
        fail(script, "%s: expected %s (%s), got %s: %s", text_of(command, "filename"),
             wm_error_name(wanted), text_of(command, "text"), rc ? wm_error_name(rc) : "a module",
             wm_diag_text(&diag));
    } else if (!diag.text[0]) {
        fail(script, "%s: refused without a word", text_of(command, "filename"));
    } else {
        pass(script);
    }
}

static void assert_not_linked(struct script *script, const json_t *command, int wanted)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_instance *instance;
    bool compiled;
    int rc = instantiate(script, command, &instance, &compiled, &diag);
    if (rc != wanted || !compiled) {
        fail(script, "%s: expected %s (%s), got %s: %s", text_of(command, "filename"),
             wm_error_name(wanted), text_of(command, "text"),
             rc ? wm_error_name(rc) : "an instance", wm_diag_text(&diag));
        return;
    }
    enum wasm_trap trap = wasm_store_report(script->store)->trap;
    if (wanted == WM_E_TRAP && !trap_fits(trap, text_of(command, "text"))) {
        fail(script, "%s: expected trap \"%s\", got \"%s\"", text_of(command, "filename"),
             text_of(command, "text"), wasm_trap_text(trap));
        return;
    }
    pass(script);
}

static void run_command(struct script *script, const json_t *command)
{
    const char *type = text_of(command, "type");
    script->tally->line = (uint32_t)json_integer_value(json_object_get(command, "line"));
    if (strcmp(type, "module") == 0) {
        do_module(script, command);
    } else if (strcmp(type, "register") == 0) {
        do_register(script, command);
    } else if (strcmp(type, "action") == 0) {
        struct outcome got;
        do_action(script, command, &got);
        if (got.trap != WASM_TRAP_NONE) {
            fail(script, "action: trap \"%s\"", wasm_trap_text(got.trap));
        }
    } else if (strcmp(type, "assert_return") == 0) {
        assert_return(script, command);
    } else if (strcmp(type, "assert_trap") == 0 || strcmp(type, "assert_exhaustion") == 0) {
        assert_trap(script, command);
    } else if (strcmp(type, "assert_invalid") == 0) {
        assert_refused(script, command, WM_E_INVALID);
    } else if (strcmp(type, "assert_malformed") == 0) {
        assert_refused(script, command, WM_E_MALFORMED);
    } else if (strcmp(type, "assert_unlinkable") == 0) {
        assert_not_linked(script, command, WM_E_UNLINKABLE);
    } else if (strcmp(type, "assert_uninstantiable") == 0) {
        assert_not_linked(script, command, WM_E_TRAP);
    } else {
        fail(script, "unknown command %s", type);
    }
    script->tally->commands++;
}

static json_t *load(const char *folder, const char *name, json_error_t *error)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s.json", folder, name, name);
    return json_load_file(path, JSON_ALLOW_NUL, error);
}

static int make_spectest(struct script *script, struct wm_diag *diag)
{
    union wasm_value value = {0};
    value.i32 = 666;
    int rc = wasm_global_new(script->store, WASM_I32, false, value, &script->global_i32, diag);
    value.i64 = 666;
    rc =
        rc ? rc : wasm_global_new(script->store, WASM_I64, false, value, &script->global_i64, diag);
    value.f32 = 666.6f;
    rc =
        rc ? rc : wasm_global_new(script->store, WASM_F32, false, value, &script->global_f32, diag);
    value.f64 = 666.6;
    rc =
        rc ? rc : wasm_global_new(script->store, WASM_F64, false, value, &script->global_f64, diag);
    rc = rc ? rc : wasm_table_new(script->store, WASM_FUNCREF, 10, 20, &script->table, diag);
    return rc ? rc : wasm_memory_new(script->store, 1, 2, &script->memory, diag);
}

void spec_script_run(const char *folder, const char *name, const struct wasm_options *options,
                     struct spec_tally *tally, FILE *out)
{
    struct script script = {
        .folder = folder, .name = name, .options = *options, .tally = tally, .out = out};
    struct wm_diag diag = WM_DIAG_INIT;
    json_error_t error;
    json_t *json = load(folder, name, &error);
    if (!json) {
        fail(&script, "%s at line %d", error.text, error.line);
        return;
    }
    int rc = wasm_store_new(&(struct wasm_store_limits){0}, &script.store, &diag);
    if (rc == 0) {
        rc = make_spectest(&script, &diag);
    }
    if (rc != 0) {
        fail(&script, "no store: %s", wm_diag_text(&diag));
        json_decref(json);
        return;
    }
    size_t idx;
    json_t *command;
    json_array_foreach(json_object_get(json, "commands"), idx, command)
    {
        run_command(&script, command);
    }
    wasm_store_free(script.store);
    json_decref(json);
}

uint32_t spec_script_assertions(const char *folder, const char *name)
{
    json_error_t error;
    json_t *json = load(folder, name, &error);
    uint32_t count = 0;
    size_t idx;
    json_t *command;
    json_array_foreach(json_object_get(json, "commands"), idx, command)
    {
        count += strncmp(text_of(command, "type"), "assert_", 7) == 0;
    }
    json_decref(json);
    return count;
}
