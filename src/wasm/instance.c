/* instance.c: instantiation (core specification 4.5.4).
 *
 * In the order of the specification: imports are compared, then memory, tables and globals are
 * made, then element segments and data segments are copied in, then the start function runs. Up to
 * the segments nothing outside the new instance has changed, so a failure releases it; from there
 * on other instances may refer to its functions through a shared table, so that after a trap it
 * stays in the store, reachable by nothing else. */
#include "wasm/instance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "wasm/constexpr.h"
#include "wasm/runtime.h"
#include "wasm/typeid.h"

/* --- One block of memory for everything whose size the object tells --- */

struct carve {
    uint64_t at;
};

static uint64_t carve(struct carve *plan, uint64_t count, uint64_t len)
{
    uint64_t offset = plan->at; /* counts are bounded by wasm_object_check: no overflow */
    plan->at = (plan->at + count * len + 15) & ~UINT64_C(15);
    return offset;
}

static struct wasm_instance *allocate(struct wasm_store *store, const struct wasm_object *object,
                                      const uint32_t *type_ids)
{
    const struct wasm_object_header *header = object->header;
    uint64_t types = type_ids ? 0 : WASM_OBJECT_COUNT(object, TYPES);
    uint64_t tables = WASM_OBJECT_COUNT(object, TABLES);
    uint64_t globals = WASM_OBJECT_COUNT(object, GLOBALS);
    struct wasm_layout layout =
        wasm_abi_layout(header->imported_funcs, (uint32_t)tables, (uint32_t)globals);
    struct carve plan = {0};
    uint64_t self_at = carve(&plan, 1, sizeof(struct wasm_instance));
    uint64_t ctx_at = carve(&plan, 1, layout.total_bytes);
    uint64_t types_at = carve(&plan, types, sizeof(uint32_t));
    uint64_t bindings_at = carve(&plan, header->imported_funcs, sizeof(struct wasm_binding));
    uint64_t tables_at = carve(&plan, tables - header->imported_tables, sizeof(struct wasm_table));
    uint64_t cells_at = carve(&plan, globals, sizeof(struct wasm_global_cell));
    uint64_t data_at = carve(&plan, WASM_OBJECT_COUNT(object, DATAS), 1);
    uint64_t elem_at = carve(&plan, WASM_OBJECT_COUNT(object, ELEMS), 1);
    /* Last, and mostly untouched: zero pages that the kernel does not even make. */
    uint64_t funcs_at = carve(&plan, WASM_OBJECT_COUNT(object, FUNCS), sizeof(struct wasm_func));
    uint8_t *block = wm_alloc_zero(1, plan.at);
    if (!block) {
        return NULL;
    }
    struct wasm_instance *instance = (struct wasm_instance *)(block + self_at);
    instance->store = store;
    instance->object = object;
    instance->layout = layout;
    instance->ctx = (struct wasm_ctx *)(block + ctx_at);
    instance->type_ids = type_ids ? (uint32_t *)type_ids : (uint32_t *)(block + types_at);
    instance->bindings = (struct wasm_binding *)(block + bindings_at);
    instance->own_tables = (struct wasm_table *)(block + tables_at);
    instance->cells = (struct wasm_global_cell *)(block + cells_at);
    instance->data_dropped = block + data_at;
    instance->elem_dropped = block + elem_at;
    instance->funcs = (struct wasm_func *)(block + funcs_at);
    return instance;
}

/* --- Types, for people --- */

static const char *valtype_name(uint8_t valtype)
{
    switch ((enum wasm_valtype)valtype) {
    case WASM_I32: return "i32";
    case WASM_I64: return "i64";
    case WASM_F32: return "f32";
    case WASM_F64: return "f64";
    case WASM_V128: return "v128";
    case WASM_FUNCREF: return "funcref";
    case WASM_EXTERNREF: return "externref";
    }
    return "?";
}

#define TYPE_TEXT_BYTES 80

static void add_text(char text[TYPE_TEXT_BYTES], const char *more)
{
    size_t used = strlen(text), len = strlen(more);
    if (used + len < TYPE_TEXT_BYTES) {
        memcpy(text + used, more, len + 1);
    } else {
        memcpy(text + TYPE_TEXT_BYTES - 4, "...", 4);
    }
}

static const char *type_text(char text[TYPE_TEXT_BYTES], struct wasm_functype type)
{
    text[0] = '\0';
    add_text(text, "(");
    for (uint32_t i = 0; i < type.param_count && i < 16; i++) {
        add_text(text, i ? " " : "");
        add_text(text, valtype_name(type.params[i]));
    }
    add_text(text, type.param_count > 16 ? " ...) -> (" : ") -> (");
    for (uint32_t i = 0; i < type.result_count && i < 16; i++) {
        add_text(text, i ? " " : "");
        add_text(text, valtype_name(type.results[i]));
    }
    add_text(text, type.result_count > 16 ? " ...)" : ")");
    return text;
}

static uint8_t valtype_of_letter(char letter)
{
    switch (letter) {
    case 'i': return WASM_I32;
    case 'I': return WASM_I64;
    case 'f': return WASM_F32;
    case 'F': return WASM_F64;
    case 'v': return WASM_V128;
    case 'r': return WASM_FUNCREF;
    case 'e': return WASM_EXTERNREF;
    default: return 0;
    }
}

static bool signature_is(const char *signature, struct wasm_functype type)
{
    const char *at = signature;
    for (uint32_t i = 0; i < type.param_count; i++, at++) {
        if (!*at || valtype_of_letter(*at) != type.params[i]) {
            return false;
        }
    }
    if (*at++ != ':') {
        return false;
    }
    for (uint32_t i = 0; i < type.result_count; i++, at++) {
        if (!*at || valtype_of_letter(*at) != type.results[i]) {
            return false;
        }
    }
    return *at == '\0';
}

static struct wasm_functype object_type(const struct wasm_object *object, uint32_t type_idx)
{
    const struct wasm_object_type *type = &object->at.TYPES[type_idx];
    return (struct wasm_functype){type->params.len, type->results.len,
                                  object->at.STRINGS + type->params.offset,
                                  object->at.STRINGS + type->results.offset};
}

/* --- Imports --- */

static const char *kind_name(uint32_t kind)
{
    static const char *const names[] = {"function", "table", "memory", "global"};
    return kind < WM_COUNT_OF(names) ? names[kind] : "thing";
}

/* Import matching of limits (core specification 3.4, "Import Subtyping"); `size` is the present
 * one. */
static bool limits_match(uint64_t size, uint32_t max, const struct wasm_object_import *import)
{
    return size >= import->min &&
           (import->max == UINT32_MAX || (max != UINT32_MAX && max <= import->max));
}

struct linking {
    struct wasm_instance *instance;
    const struct wasm_object_import *import;
    struct wm_diag *diag;
};

WM_COLD static int unlinkable(const struct linking *link, const char *found, const char *remedy)
{
    const struct wasm_object *object = link->instance->object;
    char module[48], name[64], wanted[TYPE_TEXT_BYTES + 1] = "";
    struct wm_view view = wasm_object_view(object, link->import->module);
    wm_diag_quote(module, sizeof module, view.ptr, view.len);
    view = wasm_object_view(object, link->import->name);
    wm_diag_quote(name, sizeof name, view.ptr, view.len);
    if (link->import->kind == WASM_EXTERN_FUNC) {
        wanted[0] = ' ';
        type_text(wanted + 1, object_type(object, object->at.FUNCS[link->import->idx].type_idx));
    }
    return wm_diag_set(link->diag, WM_E_UNLINKABLE, "import \"%s\" \"%s\" (%s%s): %s; %s", module,
                       name, kind_name(link->import->kind), wanted, found, remedy);
}

#define WRONG_TYPE "incompatible import type"

static int link_func(const struct linking *link, const struct wasm_extern *found, bool host_only)
{
    struct wasm_instance *instance = link->instance;
    const struct wasm_object *object = instance->object;
    uint32_t idx = link->import->idx;
    uint32_t type_idx = object->at.FUNCS[idx].type_idx;
    const struct wasm_object_type *type = &object->at.TYPES[type_idx];
    struct wasm_func *func = &instance->funcs[idx];
    if (found->host) {
        if (!signature_is(found->host->signature, object_type(object, type_idx))) {
            char text[64];
            snprintf(text, sizeof text, WRONG_TYPE ": the host has \"%s\"", found->host->signature);
            return unlinkable(link, text, "build the module for this host's interface");
        }
        struct wasm_binding *binding = &instance->bindings[idx];
        binding->abi.call = wasm_host_stub;
        binding->running = &instance->store->running;
        binding->call = found->host->call;
        binding->caller = (struct wasm_caller){instance->store, instance, found->host_env};
        *func = (struct wasm_func){
            .code = (void *)(object->text + type->adapter_offset),
            .ctx = binding,
            .type_id = instance->type_ids[type_idx],
            .entry = (wasm_entry_fn *)(uintptr_t)(object->text + type->entry_offset)};
    } else {
        if (host_only) {
            return wm_diag_set(link->diag, WM_E_UNSUPPORTED,
                               "image: the module imports a function of another instance, which a "
                               "slot cannot hold; bind it as a host function");
        }
        WM_ASSERT(found->func);
        if (found->func->type_id != instance->type_ids[type_idx]) {
            char text[TYPE_TEXT_BYTES + 48], type_buf[TYPE_TEXT_BYTES];
            snprintf(text, sizeof text, WRONG_TYPE ": found %s",
                     type_text(type_buf, wasm_typeid_type(found->func->type_id)));
            return unlinkable(link, text, "link a module that fits");
        }
        *func = *found->func;
        instance->calls_other_instances = true;
    }
    wasm_ctx_imports(instance)[idx] = (struct wasm_import_func){func->code, func->ctx};
    return 0;
}

static int link_one(const struct linking *link, const struct wasm_extern *found, bool host_only)
{
    struct wasm_instance *instance = link->instance;
    const struct wasm_object *object = instance->object;
    const struct wasm_object_import *import = link->import;
    char text[96];
    if (found->kind != import->kind) {
        snprintf(text, sizeof text, WRONG_TYPE ": found a %s", kind_name(found->kind));
        return unlinkable(link, text, "link a module that fits");
    }
    switch (found->kind) {
    case WASM_EXTERN_FUNC: return link_func(link, found, host_only);
    case WASM_EXTERN_TABLE: {
        struct wasm_table *table = found->table;
        const struct wasm_object_table *wanted = &object->at.TABLES[import->idx];
        if (table->elem_type != wanted->elem_type) {
            return unlinkable(link, WRONG_TYPE ": found a table of the other reference type",
                              "link a module that fits");
        }
        if (!limits_match(table->cells.size, table->max, import)) {
            snprintf(text, sizeof text, WRONG_TYPE ": found %llu elements, at most %u",
                     (unsigned long long)table->cells.size, table->max);
            return unlinkable(link, text, "give it a table within its limits");
        }
        wasm_ctx_tables(instance)[import->idx] = &table->cells;
        return 0;
    }
    case WASM_EXTERN_MEMORY:
        if (!limits_match(found->memory->cell.size_bytes / WASM_PAGE_BYTES,
                          found->memory->max_pages, import)) {
            snprintf(text, sizeof text, WRONG_TYPE ": found %llu pages, at most %u",
                     (unsigned long long)(found->memory->cell.size_bytes / WASM_PAGE_BYTES),
                     found->memory->max_pages);
            return unlinkable(link, text, "give it a memory within its limits");
        }
        instance->memory = found->memory;
        return 0;
    case WASM_EXTERN_GLOBAL: {
        const struct wasm_object_global *wanted = &object->at.GLOBALS[import->idx];
        if (found->global->valtype != wanted->valtype ||
            found->global->is_mutable != (wanted->is_mutable != 0)) {
            snprintf(text, sizeof text, WRONG_TYPE ": found %s %s",
                     found->global->is_mutable ? "a mutable" : "an immutable",
                     valtype_name(found->global->valtype));
            return unlinkable(link, text, "link a module that fits");
        }
        instance->cells[import->idx] = *found->global;
        wasm_ctx_globals(instance)[import->idx].i64 = (uint64_t)(uintptr_t)found->global->at;
        return 0;
    }
    }
    WM_UNREACHABLE();
}

/* The reserved module `cp`: calls of its functions are code (translate_inline.c), but a module may
 * also export them or take references to them. These do the same. */
static enum wasm_trap cp_abi_version(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller;
    values[0].i32 = WASM_ABI_VERSION;
    return WASM_TRAP_NONE;
}

static enum wasm_trap cp_fuel(struct wasm_caller *caller, union wasm_value *values)
{
    bool counted = caller->instance->object->header->key.fuel != 0;
    values[0].i64 = counted ? (uint64_t)caller->store->budget.fuel : (uint64_t)INT64_MAX;
    return WASM_TRAP_NONE;
}

static enum wasm_trap cp_memory_bytes(struct wasm_caller *caller, union wasm_value *values)
{
    const struct wasm_memory *memory = caller->instance->memory;
    values[0].i64 = memory ? memory->cell.size_bytes : 0;
    return WASM_TRAP_NONE;
}

static int resolve_reserved(struct wm_view name, enum wasm_extern_kind kind,
                            struct wasm_extern *out)
{
    static const struct wasm_host_func funcs[] = {
        {"cp", "abi_version", ":i", cp_abi_version},
        {"cp", "fuel", ":I", cp_fuel},
        {"cp", "memory_bytes", ":I", cp_memory_bytes},
    };
    for (size_t i = 0; kind == WASM_EXTERN_FUNC && i < WM_COUNT_OF(funcs); i++) {
        if (wm_view_eq_str(name, funcs[i].name)) {
            *out = (struct wasm_extern){.kind = kind, .host = &funcs[i]};
            return 0;
        }
    }
    return WM_E_NOT_FOUND;
}

static int link_imports(struct wasm_instance *instance, wasm_resolve_fn *resolve,
                        void *resolve_self, bool host_only, struct wm_diag *diag)
{
    const struct wasm_object *object = instance->object;
    uint64_t count = WASM_OBJECT_COUNT(object, IMPORTS);
    for (uint64_t i = 0; i < count; i++) {
        const struct wasm_object_import *import = &object->at.IMPORTS[i];
        if (host_only && import->kind != WASM_EXTERN_FUNC) {
            continue; /* an image holds the values of imported globals; other kinds it refuses */
        }
        struct linking link = {instance, import, diag};
        struct wasm_extern found = {0};
        struct wm_view module = wasm_object_view(object, import->module);
        struct wm_view name = wasm_object_view(object, import->name);
        enum wasm_extern_kind kind = (enum wasm_extern_kind)import->kind;
        int rc = wm_view_eq_str(module, "cp") ? resolve_reserved(name, kind, &found)
                 : resolve                    ? resolve(resolve_self, module, name, kind, &found)
                                              : WM_E_NOT_FOUND;
        if (rc == WM_E_NOT_FOUND) {
            return unlinkable(&link, "unknown import: nothing here provides it",
                              "link the module that does, or build without it");
        }
        if (rc == 0) {
            rc = link_one(&link, &found, host_only);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int wasm_instance_link(struct wasm_store *store, const struct wasm_object *object,
                       const uint32_t *type_ids, wasm_resolve_fn *resolve, void *resolve_self,
                       bool host_only, struct wasm_instance **out, struct wm_diag *diag)
{
    int rc = wasm_store_fit_stack(store, object, diag);
    if (rc != 0) {
        return rc;
    }
    struct wasm_instance *instance = allocate(store, object, type_ids);
    rc = instance
             ? wasm_ranges_add(&store->code, (uintptr_t)object->text,
                               (uintptr_t)object->text + object->header->text_code_bytes, object)
             : -ENOMEM;
    if (rc != 0) {
        wm_free(instance);
        return wm_diag_set(diag, rc, "instance: %s", wm_error_text(rc));
    }
    instance->next = store->instances;
    store->instances = instance;
    if (!type_ids) {
        for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, TYPES); i++) {
            struct wasm_functype type = object_type(object, (uint32_t)i);
            uint32_t id = wasm_typeid_take(&type);
            if (id == 0) {
                wasm_instance_free(instance);
                return wm_diag_set(diag, -ENOMEM, "instance: %s", wm_error_text(-ENOMEM));
            }
            instance->type_ids[i] = id;
            instance->type_ids_held++;
        }
    }
    struct wasm_ctx *ctx = instance->ctx;
    ctx->services = &wasm_services;
    ctx->type_ids = instance->type_ids;
    ctx->budget = &store->budget;
    ctx->instance = instance;
    ctx->reserved[0] = (uint64_t)(uintptr_t)&store->running;
    rc = link_imports(instance, resolve, resolve_self, host_only, diag);
    if (rc != 0) {
        wasm_instance_free(instance);
        return wm_diag_default(diag, rc, "instance: imports");
    }
    *out = instance;
    return 0;
}

void wasm_instance_free(struct wasm_instance *instance)
{
    struct wasm_store *store = instance->store;
    struct wasm_instance **link = &store->instances;
    while (*link != instance) {
        link = &(*link)->next;
    }
    *link = instance->next;
    uint64_t own_tables =
        WASM_OBJECT_COUNT(instance->object, TABLES) - instance->object->header->imported_tables;
    for (uint64_t i = 0; i < own_tables; i++) {
        wasm_table_fini(&instance->own_tables[i]);
    }
    if (instance->has_own_memory) {
        wasm_memory_fini(&instance->own_memory);
    }
    for (uint32_t i = 0; i < instance->type_ids_held; i++) {
        wasm_typeid_put(instance->type_ids[i]);
    }
    wasm_ranges_remove(&store->code, instance->object);
    wm_free(instance);
}

/* --- What the module defines --- */

struct wasm_func *wasm_instance_func(struct wasm_instance *instance, uint32_t func_idx)
{
    struct wasm_func *func = &instance->funcs[func_idx];
    if (func->type_id == 0) { /* defined here: imported ones are filled when linked */
        const struct wasm_object *object = instance->object;
        const struct wasm_object_func *record = &object->at.FUNCS[func_idx];
        const struct wasm_object_type *type = &object->at.TYPES[record->type_idx];
        *func = (struct wasm_func){
            .code = (void *)(object->text + record->code_offset),
            .ctx = instance->ctx,
            .type_id = instance->type_ids[record->type_idx],
            .entry = (wasm_entry_fn *)(uintptr_t)(object->text + type->entry_offset)};
    }
    return func;
}

static int expr_global(void *self, uint32_t idx, uint8_t *valtype, union wasm_value *out,
                       struct wm_diag *diag)
{
    struct wasm_instance *instance = self;
    if (idx >= WASM_OBJECT_COUNT(instance->object, GLOBALS)) {
        return wm_diag_set(diag, WM_E_INVALID, "constant expression: no global %u", idx);
    }
    const struct wasm_global_cell *cell = wasm_instance_cell(instance, idx);
    *valtype = cell->valtype;
    *out = *cell->at;
    return 0;
}

static int expr_func(void *self, uint32_t idx, union wasm_value *out, struct wm_diag *diag)
{
    struct wasm_instance *instance = self;
    if (idx >= WASM_OBJECT_COUNT(instance->object, FUNCS)) {
        return wm_diag_set(diag, WM_E_INVALID, "constant expression: no function %u", idx);
    }
    *out = (union wasm_value){.funcref = wasm_instance_func(instance, idx)};
    return 0;
}

int wasm_init_eval(struct wasm_instance *instance, const struct wasm_object_init *init,
                   union wasm_value *out, struct wm_diag *diag)
{
    switch ((enum wasm_constexpr_kind)init->kind) {
    case WASM_CONST_VALUE: *out = init->value; return 0;
    case WASM_CONST_FUNC:
        *out = (union wasm_value){.funcref = wasm_instance_func(instance, init->idx)};
        return 0;
    case WASM_CONST_GLOBAL: *out = *wasm_instance_cell(instance, init->idx)->at; return 0;
    case WASM_CONST_EXTENDED: break;
    }
    struct wasm_constexpr_env env = {instance, expr_global, expr_func};
    uint8_t valtype;
    struct wm_view code = wasm_object_view(instance->object, init->code);
    return wasm_constexpr_eval(wm_cursor_of(code), &env, &valtype, out, diag);
}

static int make_memory(struct wasm_instance *instance, struct wm_diag *diag)
{
    const struct wasm_object_header *header = instance->object->header;
    if (!(header->memory_flags & 1) || (header->memory_flags & 2)) {
        return 0;
    }
    int rc = wasm_memory_init(&instance->own_memory, instance->store, header->memory_max, diag);
    if (rc != 0) {
        return rc;
    }
    instance->has_own_memory = true;
    bool host_failed;
    if (wasm_memory_grow_why(&instance->own_memory, header->memory_min, &host_failed) ==
        UINT32_MAX) {
        uint64_t limit = instance->own_memory.limit_pages * WASM_PAGE_BYTES;
        return host_failed
                   ? wm_diag_set(diag, -ENOMEM, "memory: %u pages: %s", header->memory_min,
                                 wm_error_text(-ENOMEM))
                   : wm_diag_set(
                         diag, WM_E_LIMIT,
                         "memory: the module starts with %llu bytes, more than the limit of "
                         "%llu; raise the limit",
                         (unsigned long long)(header->memory_min * WASM_PAGE_BYTES),
                         (unsigned long long)limit);
    }
    instance->memory = &instance->own_memory;
    return 0;
}

static void point_at_memory(struct wasm_instance *instance)
{
    if (instance->memory) {
        instance->ctx->memory = &instance->memory->cell;
        instance->ctx->memory_base = instance->memory->cell.base;
    }
}

static int make_tables(struct wasm_instance *instance, struct wm_diag *diag)
{
    const struct wasm_object *object = instance->object;
    uint32_t imported = object->header->imported_tables;
    for (uint32_t i = imported; i < WASM_OBJECT_COUNT(object, TABLES); i++) {
        const struct wasm_object_table *record = &object->at.TABLES[i];
        struct wasm_table *table = &instance->own_tables[i - imported];
        int rc = wasm_table_init(table, instance->store, (uint8_t)record->elem_type, record->min,
                                 record->max, diag);
        if (rc != 0) {
            return rc;
        }
        wasm_ctx_tables(instance)[i] = &table->cells;
    }
    return 0;
}

static int make_globals(struct wasm_instance *instance, struct wm_diag *diag)
{
    const struct wasm_object *object = instance->object;
    for (uint32_t i = object->header->imported_globals; i < WASM_OBJECT_COUNT(object, GLOBALS);
         i++) {
        int rc = wasm_init_eval(instance, &object->at.GLOBALS[i].init,
                                &wasm_ctx_globals(instance)[i], diag);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int segment_trap(struct wasm_instance *instance, enum wasm_trap trap, const char *kind,
                        uint64_t idx, struct wm_diag *diag)
{
    struct wasm_store *store = instance->store;
    uintptr_t pc = store->running.pc;
    store->running.pc = 0; /* no guest function has run: no frames */
    wasm_report_fill(store, trap, NULL, 0);
    store->running.pc = pc;
    return wm_diag_set(diag, WM_E_TRAP, "instance: %s segment %llu: %s", kind,
                       (unsigned long long)idx, wasm_trap_text(trap));
}

/* Copies active segments in, in order; each is dropped after its use, declarative ones at once. */
static int run_segments(struct wasm_instance *instance, struct wm_diag *diag)
{
    const struct wasm_object *object = instance->object;
    for (uint32_t i = 0; i < WASM_OBJECT_COUNT(object, ELEMS); i++) {
        const struct wasm_object_elem *elem = &object->at.ELEMS[i];
        if (elem->mode == WASM_SEGMENT_PASSIVE) {
            continue;
        }
        if (elem->mode == WASM_SEGMENT_ACTIVE) {
            union wasm_value offset;
            int rc = wasm_init_eval(instance, &elem->offset, &offset, diag);
            if (rc != 0) {
                return rc;
            }
            enum wasm_trap trap =
                wasm_elem_init(instance, i, elem->table_idx, offset.i32, 0, elem->count, false);
            if (trap != WASM_TRAP_NONE) {
                return segment_trap(instance, trap, "element", i, diag);
            }
        }
        instance->elem_dropped[i] = 1;
    }
    for (uint32_t i = 0; i < WASM_OBJECT_COUNT(object, DATAS); i++) {
        const struct wasm_object_data *data = &object->at.DATAS[i];
        if (data->mode == WASM_SEGMENT_PASSIVE) {
            continue;
        }
        union wasm_value offset;
        int rc = wasm_init_eval(instance, &data->offset, &offset, diag);
        if (rc != 0) {
            return rc;
        }
        enum wasm_trap trap = data->len > UINT32_MAX ? WASM_TRAP_MEMORY_BOUNDS
                                                     : wasm_data_init(instance, i, offset.i32, 0,
                                                                      (uint32_t)data->len, false);
        if (trap != WASM_TRAP_NONE) {
            return segment_trap(instance, trap, "data", i, diag);
        }
        instance->data_dropped[i] = 1;
    }
    return 0;
}

int wasm_instance_new(struct wasm_store *store, const struct wasm_object *object,
                      wasm_resolve_fn *resolve, void *resolve_self, struct wasm_instance **out,
                      struct wm_diag *diag)
{
    struct wasm_instance *instance;
    int rc = wasm_instance_link(store, object, NULL, resolve, resolve_self, false, &instance, diag);
    if (rc != 0) {
        return rc;
    }
    if ((rc = make_memory(instance, diag)) != 0 || (rc = make_tables(instance, diag)) != 0 ||
        (rc = make_globals(instance, diag)) != 0) {
        wasm_instance_free(instance);
        return rc;
    }
    point_at_memory(instance);
    rc = run_segments(instance, diag);
    if (rc != 0) {
        return rc;
    }
    if (object->header->start_func != UINT32_MAX) {
        enum wasm_trap trap =
            wasm_call(store, wasm_instance_func(instance, object->header->start_func), NULL);
        if (trap != WASM_TRAP_NONE) {
            return wm_diag_set(diag, trap == WASM_TRAP_EXIT ? WM_E_EXITED : WM_E_TRAP,
                               "instance: start function: %s", wasm_trap_text(trap));
        }
    }
    *out = instance;
    return 0;
}

/* --- Looking at an instance --- */

const struct wasm_object *wasm_instance_object(const struct wasm_instance *instance)
{
    return instance->object;
}

struct wasm_store *wasm_instance_store(struct wasm_instance *instance)
{
    return instance->store;
}

struct wasm_memory *wasm_instance_memory(struct wasm_instance *instance)
{
    return instance->memory;
}

static int compare_names(struct wm_view a, struct wm_view b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

int wasm_instance_export(struct wasm_instance *instance, struct wm_view name,
                         struct wasm_extern *out)
{
    const struct wasm_object *object = instance->object;
    uint64_t low = 0, high = WASM_OBJECT_COUNT(object, EXPORTS);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct wasm_object_export *export = &object->at.EXPORTS[middle];
        int order = compare_names(wasm_object_view(object, export->name), name);
        if (order < 0) {
            low = middle + 1;
        } else if (order > 0) {
            high = middle;
        } else {
            *out = (struct wasm_extern){.kind = (enum wasm_extern_kind) export->kind};
            switch (out->kind) {
            case WASM_EXTERN_FUNC: out->func = wasm_instance_func(instance, export->idx); break;
            case WASM_EXTERN_TABLE: out->table = wasm_instance_table(instance, export->idx); break;
            case WASM_EXTERN_MEMORY: out->memory = instance->memory; break;
            case WASM_EXTERN_GLOBAL: out->global = wasm_instance_cell(instance, export->idx); break;
            }
            return 0;
        }
    }
    return WM_E_NOT_FOUND;
}

struct wasm_functype wasm_func_type(const struct wasm_func *func)
{
    return wasm_typeid_type(func->type_id);
}
