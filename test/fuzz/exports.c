/* exports --mode MODE --tier TIER MODULE.wasm: calls every exported function without parameters, in
 * order, and prints what happened in the words of wabt's `wasm-interp --run-all-exports
 * --dummy-import-func`, so that tools/fuzz can compare the two. Imported functions print their
 * arguments and return zeroes.
 *
 * Lines that start with # hold what wabt does not print: the exact bits of results and globals, and
 * a hash of the memory after each call. Between our own tiers and modes they must agree too. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "common/engine.h"
#include "wasm/instance.h"
#include "wasm/memory.h"
#include "wasm/module.h"

#define IMPORTS_MAX 1000
#define VALUES_MAX 1000

/* wabt's text of a trap, up to the detail that it adds. */
static const char *wabt_text(enum wasm_trap trap)
{
    switch (trap) {
    case WASM_TRAP_UNREACHABLE: return "unreachable executed";
    case WASM_TRAP_UNDEFINED_ELEMENT: return "undefined table index";
    case WASM_TRAP_UNINITIALIZED_ELEMENT: return "uninitialized table element";
    case WASM_TRAP_TYPE_MISMATCH: return "indirect call signature mismatch";
    case WASM_TRAP_MEMORY_BOUNDS: return "out of bounds memory access";
    case WASM_TRAP_TABLE_BOUNDS: return "out of bounds table access";
    case WASM_TRAP_DIVIDE_BY_ZERO:
    case WASM_TRAP_INTEGER_OVERFLOW:
    case WASM_TRAP_INVALID_CONVERSION:
    case WASM_TRAP_STACK_EXHAUSTED:
    case WASM_TRAP_OUT_OF_FUEL:
    case WASM_TRAP_DEADLINE:
    case WASM_TRAP_KILLED:
    case WASM_TRAP_HOST:
    case WASM_TRAP_EXIT:
    case WASM_TRAP_SUSPENDED:
    case WASM_TRAP_OUT_OF_MEMORY:
    case WASM_TRAP_NONE: return wasm_trap_text(trap);
    }
    return "?";
}

static void print_value(uint8_t valtype, const union wasm_value *value)
{
    switch (valtype) {
    case WASM_I32: printf("i32:%" PRIu32, value->i32); break;
    case WASM_I64: printf("i64:%" PRIu64, value->i64); break;
    case WASM_F32: printf("f32:%f", (double)value->f32); break;
    case WASM_F64: printf("f64:%f", value->f64); break;
    case WASM_V128: {
        uint32_t lanes[4];
        memcpy(lanes, value, 16);
        printf("v128 i32x4:0x%08x 0x%08x 0x%08x 0x%08x", lanes[0], lanes[1], lanes[2], lanes[3]);
        break;
    }
    default: printf("ref:%s", value->i64 ? "some" : "null");
    }
}

static void print_values(const uint8_t *valtypes, uint32_t count, const union wasm_value *values)
{
    for (uint32_t i = 0; i < count; i++) {
        printf("%s", i ? ", " : "");
        print_value(valtypes[i], &values[i]);
    }
}

struct import {
    struct wasm_host_func host;
    const struct wasm_functype *type;
    char name[256];
    char signature[2048];
};

static struct import imports[IMPORTS_MAX];
static uint32_t import_count;

static enum wasm_trap called(struct wasm_caller *caller, union wasm_value *values)
{
    const struct import *import = caller->env;
    printf("called host %s(", import->name);
    print_values(import->type->params, import->type->param_count, values);
    memset(values, 0, import->type->result_count * sizeof *values);
    printf(") =>%s", import->type->result_count ? " " : "");
    print_values(import->type->results, import->type->result_count, values);
    putchar('\n');
    return WASM_TRAP_NONE;
}

static char letter(uint8_t valtype)
{
    static const struct {
        uint8_t valtype;
        char letter;
    } letters[] = {{WASM_I32, 'i'}, {WASM_I64, 'I'},  {WASM_F32, 'f'},
                   {WASM_F64, 'F'}, {WASM_V128, 'v'}, {WASM_FUNCREF, 'r'}};
    for (size_t i = 0; i < WM_COUNT_OF(letters); i++) {
        if (letters[i].valtype == valtype) {
            return letters[i].letter;
        }
    }
    return 'e';
}

static void add_import(const struct wasm_module *module, const struct wasm_import *from)
{
    struct import *import = &imports[import_count++];
    const struct wasm_functype *type = &module->types[from->type_idx];
    size_t at = 0;
    for (uint32_t i = 0; i < type->param_count && at < 1000; i++) {
        import->signature[at++] = letter(type->params[i]);
    }
    import->signature[at++] = ':';
    for (uint32_t i = 0; i < type->result_count && at < 2000; i++) {
        import->signature[at++] = letter(type->results[i]);
    }
    snprintf(import->name, sizeof import->name, "%.*s.%.*s", (int)from->module.len,
             (const char *)from->module.ptr, (int)from->name.len, (const char *)from->name.ptr);
    import->type = type;
    import->host = (struct wasm_host_func){.signature = import->signature, .call = called};
}

/* Imports are asked for by name; several of one name have one type here, or linking fails, as it
 * should. */
static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    char wanted[256];
    (void)self;
    snprintf(wanted, sizeof wanted, "%.*s.%.*s", (int)module.len, (const char *)module.ptr,
             (int)name.len, (const char *)name.ptr);
    for (uint32_t i = 0; kind == WASM_EXTERN_FUNC && i < import_count; i++) {
        if (strcmp(imports[i].name, wanted) == 0) {
            *out = (struct wasm_extern){
                .kind = WASM_EXTERN_FUNC, .host = &imports[i].host, .host_env = &imports[i]};
            return 0;
        }
    }
    return WM_E_NOT_FOUND;
}

static uint64_t memory_hash(struct wasm_instance *instance)
{
    struct wasm_memory *memory = wasm_instance_memory(instance);
    uint64_t hash = 14695981039346656037u, bytes = memory ? wasm_memory_bytes(memory) : 0;
    for (uint64_t at = 0; at < bytes; at += 8) {
        uint64_t word;
        if (!wasm_memory_read(memory, wasm_addr_of((uint32_t)at), &word, 8)) {
            return 0;
        }
        hash = (hash ^ word) * 1099511628211u;
    }
    return hash;
}

static void call_export(struct wasm_store *store, struct wasm_instance *instance,
                        struct wm_view name)
{
    static union wasm_value values[VALUES_MAX];
    struct wasm_extern found;
    if (wasm_instance_export(instance, name, &found) != 0 || found.kind != WASM_EXTERN_FUNC) {
        return;
    }
    struct wasm_functype type = wasm_func_type(found.func);
    if (type.param_count > 0 || type.result_count > VALUES_MAX) {
        return;
    }
    wasm_store_set_deadline(store, test_now_ns() + INT64_C(10000000000));
    enum wasm_trap trap = wasm_call(store, found.func, values);
    printf("%.*s() =>", (int)name.len, (const char *)name.ptr);
    if (trap != WASM_TRAP_NONE) {
        printf(" error: %s\n", wabt_text(trap));
    } else {
        printf(type.result_count ? " " : "");
        print_values(type.results, type.result_count, values);
        putchar('\n');
        for (uint32_t i = 0; i < type.result_count; i++) {
            bool wide = type.results[i] == WASM_V128;
            bool ref = wasm_is_ref(type.results[i]);
            uint64_t low = type.results[i] == WASM_I32 || type.results[i] == WASM_F32
                               ? values[i].i32
                               : values[i].i64;
            printf("# 0x%" PRIx64 " 0x%" PRIx64 "\n", ref ? low != 0 : low,
                   wide ? values[i].v128[1] : 0);
        }
    }
    printf("# memory 0x%" PRIx64 "\n", memory_hash(instance));
}

static int run(const struct wasm_module *module, struct wasm_object *object)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_store *store;
    struct wasm_instance *instance;
    if (wasm_store_new(&(struct wasm_store_limits){0}, &store, &diag) != 0) {
        printf("store: %s\n", wm_diag_text(&diag));
        return 1;
    }
    int rc = wasm_instance_new(store, object, resolve, NULL, &instance, &diag);
    if (rc == WM_E_TRAP) {
        printf("error initializing module: %s\n", wabt_text(wasm_store_report(store)->trap));
        return 0;
    }
    if (rc != 0) {
        printf("instantiate: %s\n", wm_diag_text(&diag));
        return 1;
    }
    for (uint32_t i = 0; i < module->export_count; i++) {
        if (module->exports[i].kind == WASM_EXTERN_FUNC) {
            call_export(store, instance, module->exports[i].name);
        }
    }
    wasm_store_free(store);
    return 0;
}

int main(int argc, char **argv)
{
    struct wasm_options options = {.cpu = wasm_cpu_of_this_machine()};
    if (argc != 4 || test_mode_of(argv[1]) < 0 || test_tier_of(argv[2]) < 0) {
        fputs("usage: exports MODE TIER MODULE.wasm\n", stderr);
        return 2;
    }
    options.mode = (enum wasm_mode)test_mode_of(argv[1]);
    options.tier = (enum wasm_tier)test_tier_of(argv[2]);
    struct wm_view bytes = test_file_read(argv[3]);
    struct wm_diag diag = WM_DIAG_INIT;
    struct wm_arena arena;
    struct wasm_module *module = NULL;
    struct wasm_object *object = NULL;
    wm_arena_init(&arena, 0);
    if (wasm_module_decode(bytes, &arena, &module, &diag) != 0 ||
        wasm_module_validate(module, &diag) != 0 ||
        test_object_compile(bytes, &options, &object, &diag) != 0) {
        printf("compile: %s\n", wm_diag_text(&diag));
        return 1;
    }
    for (uint32_t i = 0; i < module->import_count && import_count < IMPORTS_MAX; i++) {
        if (module->imports[i].kind == WASM_EXTERN_FUNC) {
            add_import(module, &module->imports[i]);
        }
    }
    int status = run(module, object);
    wasm_object_close(object);
    wm_arena_fini(&arena);
    free((void *)(uintptr_t)bytes.ptr);
    return status;
}
