/* validate.c: the rules of the core specification 2.0, chapter 3, for everything but function
 * bodies (validate_body.c). The order is that of dependence: types, index spaces, constant
 * expressions and with them the set of functions that may be referenced, then the bodies that ask
 * for it.
 *
 * Constant expressions see the imported, immutable globals only (3.4.10, note). */
#include "wasm/validate.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "wasm/constexpr.h"
#include "wasm/sort.h"

struct checker {
    struct wasm_module *module;
    struct wm_diag *diag;
};

/* Writes "WHAT N: reason". */
static int invalid(const struct checker *c, const char *what, uint32_t idx, const char *reason)
{
    return wm_diag_set(c->diag, WM_E_INVALID, "%s %u: %s", what, idx, reason);
}

static int no_memory(const struct checker *c)
{
    return wm_diag_set(c->diag, -ENOMEM, "not enough memory to validate the module");
}

/* Types and exports: finding equal ones */

static int order_types(const void *self, uint32_t a, uint32_t b)
{
    const struct wasm_module *module = self;
    const struct wasm_functype *left = &module->types[a], *right = &module->types[b];
    if (left->param_count != right->param_count) {
        return left->param_count < right->param_count ? -1 : 1;
    }
    if (left->result_count != right->result_count) {
        return left->result_count < right->result_count ? -1 : 1;
    }
    int order = memcmp(left->params, right->params, left->param_count);
    return order ? order : memcmp(left->results, right->results, left->result_count);
}

static int order_exports(const void *self, uint32_t a, uint32_t b)
{
    const struct wasm_module *module = self;
    struct wm_view left = module->exports[a].name, right = module->exports[b].name;
    if (left.len != right.len) {
        return left.len < right.len ? -1 : 1;
    }
    return left.len ? memcmp(left.ptr, right.ptr, left.len) : 0;
}

static int check_types(const struct checker *c, struct wm_arena *scratch)
{
    struct wasm_module *module = c->module;
    uint32_t count = module->type_count;
    struct wasm_keyed *items = WM_ARENA_ARRAY(scratch, struct wasm_keyed, count);
    struct wasm_keyed *spare = WM_ARENA_ARRAY(scratch, struct wasm_keyed, count);
    module->type_canon = WM_ARENA_ARRAY(module->arena, uint32_t, count);
    if (!items || !spare || !module->type_canon) {
        return no_memory(c);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct wasm_functype *type = &module->types[i];
        uint64_t hash = wasm_hash_bytes(type->param_count, type->params, type->param_count);
        hash = wasm_hash_bytes(hash, type->results, type->result_count);
        items[i] = (struct wasm_keyed){hash, i};
        module->uses_simd |= memchr(type->params, WASM_V128, type->param_count) != NULL ||
                             memchr(type->results, WASM_V128, type->result_count) != NULL;
    }
    wasm_sort_keyed(items, spare, count, order_types, module);
    for (uint32_t i = 0; i < count; i++) {
        bool same = i > 0 && items[i].hash == items[i - 1].hash &&
                    order_types(module, items[i].idx, items[i - 1].idx) == 0;
        /* Stable sorting put the lowest index of equal types first. */
        module->type_canon[items[i].idx] =
            same ? module->type_canon[items[i - 1].idx] : items[i].idx;
    }
    return 0;
}

static uint32_t index_space(const struct wasm_module *module, enum wasm_extern_kind kind)
{
    switch (kind) {
    case WASM_EXTERN_FUNC: return module->func_count;
    case WASM_EXTERN_TABLE: return module->table_count;
    case WASM_EXTERN_MEMORY: return module->memory_count;
    case WASM_EXTERN_GLOBAL: return module->global_count;
    }
    return 0;
}

static int check_exports(const struct checker *c, struct wm_arena *scratch)
{
    static const char *const unknown[] = {"unknown function", "unknown table", "unknown memory",
                                          "unknown global"};
    struct wasm_module *module = c->module;
    uint32_t count = module->export_count;
    struct wasm_keyed *items = WM_ARENA_ARRAY(scratch, struct wasm_keyed, count);
    struct wasm_keyed *spare = WM_ARENA_ARRAY(scratch, struct wasm_keyed, count);
    if (!items || !spare) {
        return no_memory(c);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct wasm_export *export = &module->exports[i];
        if (export->idx >= index_space(module, export->kind)) {
            return invalid(c, "export", i, unknown[export->kind]);
        }
        if (export->kind == WASM_EXTERN_FUNC) {
            module->func_declared[export->idx] = true;
        }
        items[i] = (struct wasm_keyed){wasm_hash_bytes(0, export->name.ptr, export->name.len), i};
    }
    wasm_sort_keyed(items, spare, count, order_exports, module);
    for (uint32_t i = 1; i < count; i++) {
        if (items[i].hash == items[i - 1].hash &&
            order_exports(module, items[i].idx, items[i - 1].idx) == 0) {
            char name[80];
            struct wm_view text = module->exports[items[i].idx].name;
            return wm_diag_set(c->diag, WM_E_INVALID, "export %u: duplicate export name \"%s\"",
                               items[i].idx, wm_diag_quote(name, sizeof name, text.ptr, text.len));
        }
    }
    return 0;
}

/* Index spaces */

static int check_functions(const struct checker *c)
{
    struct wasm_module *module = c->module;
    for (uint32_t i = 0; i < module->func_count; i++) {
        if (module->func_types[i] >= module->type_count) {
            return invalid(c, "function", i, "unknown type");
        }
    }
    module->func_declared = WM_ARENA_ARRAY(module->arena, bool, module->func_count);
    return module->func_declared ? 0 : no_memory(c);
}

static int check_tables(const struct checker *c)
{
    for (uint32_t i = 0; i < c->module->table_count; i++) {
        const struct wasm_limits *limits = &c->module->tables[i].limits;
        if (limits->has_max && limits->min > limits->max) {
            return invalid(c, "table", i, "size minimum must not be greater than maximum");
        }
        if (limits->min > WASM_TABLE_ELEMS_MAX) {
            return wm_diag_set(c->diag, WM_E_LIMIT, "table %u: more than %u elements", i,
                               WASM_TABLE_ELEMS_MAX);
        }
    }
    return 0;
}

static int check_memories(const struct checker *c)
{
    const struct wasm_limits *limits = &c->module->memory;
    if (c->module->memory_count == 0) {
        return 0;
    }
    if (c->module->memory_count > 1) {
        return invalid(c, "memory", 1, "multiple memories");
    }
    if (limits->min > WASM_PAGES_MAX || (limits->has_max && limits->max > WASM_PAGES_MAX)) {
        return invalid(c, "memory", 0, "memory size must be at most 65536 pages (4GiB)");
    }
    if (limits->has_max && limits->min > limits->max) {
        return invalid(c, "memory", 0, "size minimum must not be greater than maximum");
    }
    return 0;
}

/* Constant expressions */

static int const_global(void *self, uint32_t idx, uint8_t *valtype, union wasm_value *out,
                        struct wm_diag *diag)
{
    const struct wasm_module *module = self;
    if (idx >= module->imported_globals) {
        return wm_diag_set(diag, WM_E_INVALID,
                           idx < module->global_count
                               ? "unknown global %u: a constant expression sees imported ones only"
                               : "unknown global %u",
                           idx);
    }
    if (module->globals[idx].type.is_mutable) {
        return wm_diag_set(diag, WM_E_INVALID, "constant expression required: global %u is mutable",
                           idx);
    }
    *valtype = module->globals[idx].type.valtype;
    *out = (union wasm_value){.v128 = {0, 0}};
    return 0;
}

static int const_func(void *self, uint32_t idx, union wasm_value *out, struct wm_diag *diag)
{
    struct wasm_module *module = self;
    if (idx >= module->func_count) {
        return wm_diag_set(diag, WM_E_INVALID, "unknown function %u", idx);
    }
    module->func_declared[idx] = true;
    *out = (union wasm_value){.v128 = {0, 0}};
    return 0;
}

static int eval_types(const struct checker *c, struct wasm_constexpr *expr)
{
    const struct wasm_constexpr_env env = {c->module, const_global, const_func};
    struct wm_cursor code = wm_cursor_of(c->module->bytes);
    union wasm_value value;
    code.at = expr->code.ptr;
    code.end = expr->code.ptr + expr->code.len;
    return wasm_constexpr_eval(code, &env, &expr->valtype, &value, c->diag);
}

static int check_constexpr(const struct checker *c, struct wasm_constexpr *expr, uint8_t expected)
{
    struct wasm_module *module = c->module;
    union wasm_value value;
    int err = 0;
    if (expr->kind == WASM_CONST_EXTENDED) {
        err = eval_types(c, expr);
        if (err) {
            return err; /* its text has the offset of the instruction */
        }
    } else if (expr->kind == WASM_CONST_GLOBAL) {
        err = const_global(module, expr->idx, &expr->valtype, &value, c->diag);
    } else if (expr->kind == WASM_CONST_FUNC) {
        expr->valtype = WASM_FUNCREF;
        err = const_func(module, expr->idx, &value, c->diag);
    }
    if (!err && expr->valtype != expected) {
        err = wm_diag_set(c->diag, WM_E_INVALID, "type mismatch in a constant expression");
    }
    if (err) {
        wm_diag_prefix(c->diag, "offset 0x%zx", (size_t)(expr->code.ptr - module->bytes.ptr));
    }
    return err;
}

static int check_globals(const struct checker *c)
{
    struct wasm_module *module = c->module;
    for (uint32_t i = 0; i < module->global_count; i++) {
        struct wasm_global *global = &module->globals[i];
        module->uses_simd |= global->type.valtype == WASM_V128;
        if (i < module->imported_globals) {
            continue;
        }
        int err = check_constexpr(c, &global->init, global->type.valtype);
        if (err) {
            wm_diag_prefix(c->diag, "global %u", i);
            return err;
        }
    }
    return 0;
}

/* Segments */

static int check_elem_items(const struct checker *c, struct wasm_elem *elem)
{
    for (uint32_t i = 0; elem->funcs && i < elem->count; i++) {
        union wasm_value value;
        int err = const_func(c->module, elem->funcs[i], &value, c->diag);
        if (err) {
            return err;
        }
    }
    for (uint32_t i = 0; elem->exprs && i < elem->count; i++) {
        /* Ours to change: the array is const to readers of a validated module. */
        struct wasm_constexpr *expr = (struct wasm_constexpr *)&elem->exprs[i];
        int err = check_constexpr(c, expr, elem->valtype);
        if (err) {
            return err;
        }
    }
    return 0;
}

static int check_elem(const struct checker *c, struct wasm_elem *elem)
{
    if (elem->mode == WASM_SEGMENT_ACTIVE) {
        if (elem->table_idx >= c->module->table_count) {
            return wm_diag_set(c->diag, WM_E_INVALID, "unknown table");
        }
        if (c->module->tables[elem->table_idx].elem != elem->valtype) {
            return wm_diag_set(c->diag, WM_E_INVALID,
                               "type mismatch: the table holds other references");
        }
        int err = check_constexpr(c, &elem->offset, WASM_I32);
        if (err) {
            return err;
        }
    }
    return check_elem_items(c, elem);
}

static int check_elems(const struct checker *c)
{
    for (uint32_t i = 0; i < c->module->elem_count; i++) {
        int err = check_elem(c, &c->module->elems[i]);
        if (err) {
            wm_diag_prefix(c->diag, "element segment %u", i);
            return err;
        }
    }
    return 0;
}

static int check_datas(const struct checker *c)
{
    for (uint32_t i = 0; i < c->module->data_count; i++) {
        struct wasm_data *data = &c->module->datas[i];
        if (data->mode != WASM_SEGMENT_ACTIVE) {
            continue;
        }
        if (data->memory_idx >= c->module->memory_count) {
            return invalid(c, "data segment", i, "unknown memory");
        }
        int err = check_constexpr(c, &data->offset, WASM_I32);
        if (err) {
            wm_diag_prefix(c->diag, "data segment %u", i);
            return err;
        }
    }
    return 0;
}

static int check_start(const struct checker *c)
{
    const struct wasm_module *module = c->module;
    if (!module->has_start) {
        return 0;
    }
    if (module->start_func >= module->func_count) {
        return wm_diag_set(c->diag, WM_E_INVALID, "start function: unknown function");
    }
    const struct wasm_functype *type = wasm_module_func_type(module, module->start_func);
    if (type->param_count || type->result_count) {
        return wm_diag_set(c->diag, WM_E_INVALID,
                           "start function: it takes parameters or has results");
    }
    return 0;
}

static bool holds_own_functions(const struct wasm_module *module, const struct wasm_elem *elem)
{
    for (uint32_t i = 0; i < elem->count; i++) {
        const struct wasm_constexpr *expr = elem->funcs ? NULL : &elem->exprs[i];
        bool own = !expr                           ? elem->funcs[i] >= module->imported_funcs
                   : expr->kind == WASM_CONST_FUNC ? expr->idx >= module->imported_funcs
                                                   : expr->kind == WASM_CONST_VALUE; /* null */
        if (!own) {
            return false;
        }
    }
    return true;
}

/* Which tables nobody but active segments of this module's own functions ever writes to. */
static int find_closed_tables(const struct checker *c)
{
    struct wasm_module *module = c->module;
    bool *closed = WM_ARENA_ARRAY(module->arena, bool, module->table_count);
    if (!closed) {
        return wm_diag_default(c->diag, -ENOMEM, "module");
    }
    for (uint32_t i = 0; i < module->table_count; i++) {
        closed[i] = i >= module->imported_tables && !module->uses_table_mutation;
    }
    for (uint32_t i = 0; i < module->export_count; i++) {
        if (module->exports[i].kind == WASM_EXTERN_TABLE) {
            closed[module->exports[i].idx] = false;
        }
    }
    for (uint32_t i = 0; i < module->elem_count; i++) {
        const struct wasm_elem *elem = &module->elems[i];
        if (elem->mode == WASM_SEGMENT_ACTIVE && closed[elem->table_idx]) {
            closed[elem->table_idx] = holds_own_functions(module, elem);
        }
    }
    module->tables_closed = closed;
    return 0;
}

int wasm_module_validate(struct wasm_module *module, struct wm_diag *diag)
{
    const struct checker c = {module, diag};
    struct wm_arena scratch;
    wm_arena_init(&scratch, 0);
    int err = check_types(&c, &scratch);
    err = err ? err : check_functions(&c);
    err = err ? err : check_tables(&c);
    err = err ? err : check_memories(&c);
    err = err ? err : check_globals(&c);
    err = err ? err : check_exports(&c, &scratch);
    err = err ? err : check_start(&c);
    err = err ? err : check_elems(&c);
    err = err ? err : check_datas(&c);
    err = err ? err : wasm_validate_bodies(module, diag);
    err = err ? err : find_closed_tables(&c);
    wm_arena_fini(&scratch);
    module->validated = !err;
    return err;
}
