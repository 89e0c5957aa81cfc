/* decode.c: the binary format, section by section (core specification 5.5).
 *
 *     magic, version
 *     { id, size, content } ...     each known section at most once, in the order of `ranks`;
 *                                   custom sections (id 0) anywhere
 *
 * Reading is through a decoder that remembers its first failure: after it every take_* gives zero
 * and moves nothing, so a section reads like its grammar and one look at `err` at its end is
 * enough. Loops look too, since their counts were taken before.
 *
 * Counts are compared with the bytes that are left before anything is allocated for them: an array
 * is never larger than a constant times the input that announces it.
 *
 * What is checked here is form alone. Indices may point nowhere and types may not fit until
 * validate.c has said otherwise; function bodies are cut out and their locals read, no more. */
#include "wasm/module.h"

#include <errno.h>

#include "base/error.h"
#include "wasm/instr.h"
#include "wasm/leb.h"
#include "wasm/utf8.h"

enum section {
    SECTION_CUSTOM,
    SECTION_TYPE,
    SECTION_IMPORT,
    SECTION_FUNCTION,
    SECTION_TABLE,
    SECTION_MEMORY,
    SECTION_GLOBAL,
    SECTION_EXPORT,
    SECTION_START,
    SECTION_ELEMENT,
    SECTION_CODE,
    SECTION_DATA,
    SECTION_DATA_COUNT,
    SECTION_COUNT,
};

struct decoder {
    struct wm_cursor cursor; /* `end` is that of the section at hand */
    struct wasm_module *module;
    struct wm_arena *arena;
    struct wm_diag *diag;
    const char *where; /* the section's name, for messages */
    int err;           /* the first failure */
    uint32_t declared_datas;
};

static void fail(struct decoder *d, int code, const char *reason)
{
    if (!d->err) {
        d->err = wm_diag_set(d->diag, code, "%s: offset 0x%zx: %s", d->where,
                             wm_cursor_offset(&d->cursor), reason);
    }
}

static void malformed(struct decoder *d, const char *reason)
{
    fail(d, WM_E_MALFORMED, reason);
}

static void *take_memory(struct decoder *d, size_t count, size_t len)
{
    void *memory = d->err ? NULL : wm_arena_take(d->arena, count, len);
    if (!memory) {
        fail(d, -ENOMEM, "not enough memory for the module's tables");
    }
    return memory;
}

static uint8_t take_u8(struct decoder *d)
{
    uint8_t value;
    if (d->err) {
        return 0;
    }
    if (!wm_cursor_u8(&d->cursor, &value)) {
        malformed(d, "unexpected end");
        return 0;
    }
    return value;
}

static uint32_t take_u32(struct decoder *d)
{
    uint64_t value;
    if (d->err) {
        return 0;
    }
    enum wm_leb leb = wm_cursor_uleb(&d->cursor, 32, &value);
    if (leb != WM_LEB_OK) {
        malformed(d, wasm_leb_text(leb));
        return 0;
    }
    return (uint32_t)value;
}

static struct wm_view take_bytes(struct decoder *d, uint32_t len)
{
    struct wm_view bytes = {NULL, 0};
    if (!d->err && !wm_cursor_bytes(&d->cursor, len, &bytes)) {
        malformed(d, "unexpected end: length out of bounds");
    }
    return bytes;
}

/* The count of a vector whose items take `item_bytes` of input each at least. */
static uint32_t take_count(struct decoder *d, size_t item_bytes, uint32_t max, const char *too_many)
{
    uint32_t count = take_u32(d);
    if (count > wm_cursor_left(&d->cursor) / item_bytes) {
        malformed(d, "unexpected end: length out of bounds");
    } else if (count > max) {
        fail(d, WM_E_LIMIT, too_many);
    }
    return d->err ? 0 : count;
}

static struct wm_view take_name(struct decoder *d)
{
    struct wm_view name = take_bytes(d, take_u32(d));
    if (!wasm_utf8_ok(name)) {
        malformed(d, "malformed UTF-8 encoding");
    }
    return name;
}

static uint8_t take_valtype(struct decoder *d)
{
    uint8_t byte = take_u8(d);
    if (!wasm_is_valtype(byte)) {
        malformed(d, "malformed value type");
    }
    return byte;
}

static uint8_t take_reftype(struct decoder *d)
{
    uint8_t byte = take_u8(d);
    if (!wasm_is_ref(byte)) {
        malformed(d, "malformed reference type");
    }
    return byte;
}

static struct wasm_limits take_limits(struct decoder *d)
{
    struct wasm_limits limits = {.max = UINT32_MAX};
    uint8_t flags = take_u8(d);
    if (flags > 1) {
        malformed(d, flags <= 7 ? "malformed limits flags (shared and 64-bit memories are not "
                                  "supported)"
                                : "malformed limits flags");
    }
    limits.min = take_u32(d);
    limits.has_max = flags == 1;
    if (limits.has_max) {
        limits.max = take_u32(d);
    }
    return limits;
}

static struct wasm_tabletype take_tabletype(struct decoder *d)
{
    struct wasm_tabletype table;
    table.elem = take_reftype(d);
    table.limits = take_limits(d);
    return table;
}

static struct wasm_globaltype take_globaltype(struct decoder *d)
{
    struct wasm_globaltype global;
    global.valtype = take_valtype(d);
    uint8_t mutability = take_u8(d);
    if (mutability > 1) {
        malformed(d, "malformed mutability");
    }
    global.is_mutable = mutability == 1;
    return global;
}

static void note_constant(struct wasm_constexpr *expr, const struct wasm_instr *instr)
{
    expr->kind = WASM_CONST_VALUE;
    switch ((uint32_t)instr->op) {
    case WASM_OP_I32_CONST:
        expr->value.i32 = (uint32_t)instr->i32;
        expr->valtype = WASM_I32;
        break;
    case WASM_OP_I64_CONST:
        expr->value.i64 = (uint64_t)instr->i64;
        expr->valtype = WASM_I64;
        break;
    case WASM_OP_F32_CONST:
        expr->value.f32_bits = instr->f32_bits;
        expr->valtype = WASM_F32;
        break;
    case WASM_OP_F64_CONST:
        expr->value.f64_bits = instr->f64_bits;
        expr->valtype = WASM_F64;
        break;
    case WASM_OP_V128_CONST:
        __builtin_memcpy(expr->value.v128, instr->v128, 16);
        expr->valtype = WASM_V128;
        break;
    case WASM_OP_REF_NULL: expr->valtype = instr->ref_type; break;
    case WASM_OP_REF_FUNC:
        expr->kind = WASM_CONST_FUNC;
        expr->idx = instr->idx;
        break;
    case WASM_OP_GLOBAL_GET:
        expr->kind = WASM_CONST_GLOBAL;
        expr->idx = instr->idx;
        break;
    default: expr->kind = WASM_CONST_EXTENDED; /* validation will say whether it is constant */
    }
}

/* Reads to the `end` that closes the expression. Any instruction is well-formed here, blocks too.
 */
static struct wasm_constexpr take_constexpr(struct decoder *d)
{
    struct wasm_constexpr expr = {.kind = WASM_CONST_EXTENDED};
    const uint8_t *first = d->cursor.at;
    uint32_t depth = 1, count = 0;
    while (!d->err && depth > 0) {
        struct wasm_instr instr;
        int err = wasm_instr_next(&d->cursor, &instr, d->diag);
        if (err) {
            wm_diag_prefix(d->diag, "%s", d->where);
            d->err = err;
            break;
        }
        if (instr.op == WASM_OP_END) {
            depth--;
        } else if (wasm_opcode_table[instr.op].imm == WASM_IMM_BLOCK) {
            depth++;
        }
        count++;
        if (count == 1) {
            note_constant(&expr, &instr);
        } else if (count == 2 && depth > 0) {
            expr = (struct wasm_constexpr){.kind = WASM_CONST_EXTENDED};
        }
    }
    expr.code = wm_view_of(first, (size_t)(d->cursor.at - first));
    return expr;
}

static void custom_section(struct decoder *d)
{
    struct wasm_custom custom = {.name = take_name(d)};
    custom.offset = (uint32_t)wm_cursor_offset(&d->cursor);
    custom.bytes = take_bytes(d, (uint32_t)wm_cursor_left(&d->cursor));
    if (!d->err) {
        d->module->customs[d->module->custom_count++] = custom;
    }
}

static void take_types(struct decoder *d, uint32_t max, const char *too_many, uint32_t *count,
                       const uint8_t **types)
{
    *count = take_count(d, 1, max, too_many);
    *types = d->cursor.at; /* a value type is a byte: the input itself is the array */
    for (uint32_t i = 0; i < *count && !d->err; i++) {
        (void)take_valtype(d);
    }
}

static void type_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    uint32_t count = take_count(d, 3, WASM_TYPES_MAX, "too many types");
    module->types = take_memory(d, count, sizeof *module->types);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        struct wasm_functype *type = &module->types[i];
        if (take_u8(d) != 0x60) {
            malformed(d, "malformed function type");
        }
        take_types(d, WASM_PARAMS_MAX, "too many parameters", &type->param_count, &type->params);
        take_types(d, WASM_RESULTS_MAX, "too many results", &type->result_count, &type->results);
    }
    module->type_count = count;
}

static void import_desc(struct decoder *d, struct wasm_import *import)
{
    struct wasm_module *module = d->module;
    uint8_t kind = take_u8(d);
    import->kind = (enum wasm_extern_kind)kind;
    switch (kind) {
    case WASM_EXTERN_FUNC:
        import->type_idx = take_u32(d);
        module->imported_funcs++;
        break;
    case WASM_EXTERN_TABLE:
        import->table = take_tabletype(d);
        module->imported_tables++;
        break;
    case WASM_EXTERN_MEMORY:
        import->memory = take_limits(d);
        if (module->imported_memories++ == 0) {
            module->memory = import->memory;
        }
        break;
    case WASM_EXTERN_GLOBAL:
        import->global = take_globaltype(d);
        module->imported_globals++;
        break;
    default: malformed(d, "malformed import kind");
    }
}

static void import_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    uint32_t count = take_count(d, 4, WASM_IMPORTS_MAX, "too many imports");
    module->imports = take_memory(d, count, sizeof *module->imports);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        struct wasm_import *import = &module->imports[i];
        import->offset = (uint32_t)wm_cursor_offset(&d->cursor);
        import->module = take_name(d);
        import->name = take_name(d);
        import_desc(d, import);
    }
    module->import_count = d->err ? 0 : count;
}

/* The three make an index space: what was imported, then room for `defined`. They run when the
 * section is met, or at the end for a module without it. */

static void make_funcs(struct decoder *d, uint32_t defined)
{
    struct wasm_module *module = d->module;
    module->func_count = module->imported_funcs + defined;
    if (module->func_count > WASM_FUNCS_MAX) {
        fail(d, WM_E_LIMIT, "too many functions");
    }
    module->func_types = take_memory(d, module->func_count, sizeof *module->func_types);
    uint32_t at = 0;
    for (uint32_t i = 0; i < module->import_count && !d->err; i++) {
        if (module->imports[i].kind == WASM_EXTERN_FUNC) {
            module->func_types[at++] = module->imports[i].type_idx;
        }
    }
}

static void make_tables(struct decoder *d, uint32_t defined)
{
    struct wasm_module *module = d->module;
    module->table_count = module->imported_tables + defined;
    if (module->table_count > WASM_TABLES_MAX) {
        fail(d, WM_E_LIMIT, "too many tables");
    }
    module->tables = take_memory(d, module->table_count, sizeof *module->tables);
    uint32_t at = 0;
    for (uint32_t i = 0; i < module->import_count && !d->err; i++) {
        if (module->imports[i].kind == WASM_EXTERN_TABLE) {
            module->tables[at++] = module->imports[i].table;
        }
    }
}

static void make_globals(struct decoder *d, uint32_t defined)
{
    struct wasm_module *module = d->module;
    module->global_count = module->imported_globals + defined;
    if (module->global_count > WASM_GLOBALS_MAX) {
        fail(d, WM_E_LIMIT, "too many globals");
    }
    module->globals = take_memory(d, module->global_count, sizeof *module->globals);
    uint32_t at = 0;
    for (uint32_t i = 0; i < module->import_count && !d->err; i++) {
        if (module->imports[i].kind == WASM_EXTERN_GLOBAL) {
            module->globals[at++].type = module->imports[i].global;
        }
    }
}

static void function_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    uint32_t count = take_count(d, 1, WASM_FUNCS_MAX, "too many functions");
    make_funcs(d, count);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        module->func_types[module->imported_funcs + i] = take_u32(d);
    }
}

static void table_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    uint32_t count = take_count(d, 3, WASM_TABLES_MAX, "too many tables");
    make_tables(d, count);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        module->tables[module->imported_tables + i] = take_tabletype(d);
    }
}

/* More than one memory is well-formed, and invalid: count them, keep the first. */
static void memory_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    uint32_t count = take_count(d, 2, UINT32_MAX, "too many memories");
    for (uint32_t i = 0; i < count && !d->err; i++) {
        struct wasm_limits limits = take_limits(d);
        if (module->imported_memories == 0 && i == 0) {
            module->memory = limits;
        }
    }
    module->memory_count = count;
}

static void global_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    uint32_t count = take_count(d, 3, WASM_GLOBALS_MAX, "too many globals");
    make_globals(d, count);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        struct wasm_global *global = &module->globals[module->imported_globals + i];
        global->type = take_globaltype(d);
        global->init = take_constexpr(d);
    }
}

static void export_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    uint32_t count = take_count(d, 3, WASM_EXPORTS_MAX, "too many exports");
    module->exports = take_memory(d, count, sizeof *module->exports);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        module->exports[i].name = take_name(d);
        uint8_t kind = take_u8(d);
        if (kind > WASM_EXTERN_GLOBAL) {
            malformed(d, "malformed export kind");
        }
        module->exports[i].kind = (enum wasm_extern_kind)kind;
        module->exports[i].idx = take_u32(d);
    }
    module->export_count = count;
}

static void start_section(struct decoder *d)
{
    d->module->has_start = true;
    d->module->start_func = take_u32(d);
}

static void elem_funcs(struct decoder *d, struct wasm_elem *elem)
{
    elem->count = take_count(d, 1, WASM_TABLE_ELEMS_MAX, "too many elements in a segment");
    uint32_t *funcs = take_memory(d, elem->count, sizeof *funcs);
    for (uint32_t i = 0; i < elem->count && !d->err; i++) {
        funcs[i] = take_u32(d);
    }
    elem->funcs = funcs;
}

static void elem_exprs(struct decoder *d, struct wasm_elem *elem)
{
    /* A constant expression without an instruction is one byte long: `end`. */
    elem->count = take_count(d, 1, WASM_TABLE_ELEMS_MAX, "too many elements in a segment");
    struct wasm_constexpr *exprs = take_memory(d, elem->count, sizeof *exprs);
    for (uint32_t i = 0; i < elem->count && !d->err; i++) {
        exprs[i] = take_constexpr(d);
    }
    elem->exprs = exprs;
}

/* 5.5.12. Bit 0: passive or declarative; bit 1: declarative if bit 0, else the table is named;
 * bit 2: elements are expressions. A kind byte stands where bit 0 or 1 is set. */
static void elem_segment(struct decoder *d, struct wasm_elem *elem)
{
    uint32_t flags = take_u32(d);
    if (flags > 7) {
        malformed(d, "malformed elements segment kind");
        return;
    }
    if (flags & 1) {
        elem->mode = flags & 2 ? WASM_SEGMENT_DECLARATIVE : WASM_SEGMENT_PASSIVE;
    } else {
        elem->mode = WASM_SEGMENT_ACTIVE;
        elem->table_idx = flags & 2 ? take_u32(d) : 0;
        elem->offset = take_constexpr(d);
    }
    elem->valtype = WASM_FUNCREF;
    if ((flags & 3) && (flags & 4)) {
        elem->valtype = take_reftype(d);
    } else if ((flags & 3) && take_u8(d) != 0) {
        malformed(d, "malformed element kind");
    }
    if (flags & 4) {
        elem_exprs(d, elem);
    } else {
        elem_funcs(d, elem);
    }
}

static void element_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    uint32_t count = take_count(d, 3, WASM_SEGMENTS_MAX, "too many element segments");
    module->elems = take_memory(d, count, sizeof *module->elems);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        elem_segment(d, &module->elems[i]);
    }
    module->elem_count = count;
}

static void data_count_section(struct decoder *d)
{
    d->module->has_data_count = true;
    d->declared_datas = take_u32(d);
}

static void body_locals(struct decoder *d, struct wasm_body *body)
{
    /* A function has fewer than 2^32 locals (5.5.13), whatever its runs add up to. */
    uint64_t total = 0;
    body->local_run_count =
        take_count(d, 2, WASM_BODY_BYTES_MAX, "too many groups of locals in a function");
    body->local_runs = take_memory(d, body->local_run_count, sizeof *body->local_runs);
    for (uint32_t i = 0; i < body->local_run_count && !d->err; i++) {
        body->local_runs[i].count = take_u32(d);
        body->local_runs[i].valtype = take_valtype(d);
        total += body->local_runs[i].count; /* at most 2^23 runs of less than 2^32: fits */
    }
    if (total > UINT32_MAX) {
        malformed(d, "too many locals");
    } else if (total > WASM_LOCALS_MAX) {
        fail(d, WM_E_LIMIT, "too many locals in a function");
    }
    body->local_count = (uint32_t)total;
}

static void code_body(struct decoder *d, struct wasm_body *body)
{
    struct wm_view bytes = take_bytes(d, take_u32(d));
    if (bytes.len > WASM_BODY_BYTES_MAX) {
        fail(d, WM_E_LIMIT, "a function is too large");
    }
    if (d->err) {
        return;
    }
    struct wm_cursor after = d->cursor;
    d->cursor.at = bytes.ptr;
    d->cursor.end = bytes.ptr + bytes.len;
    body_locals(d, body);
    body->code_offset = (uint32_t)wm_cursor_offset(&d->cursor);
    body->code = wm_view_of(d->cursor.at, wm_cursor_left(&d->cursor));
    if (!d->err) {
        d->cursor = after;
    }
}

static void code_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    module->code_section_offset = (uint32_t)wm_cursor_offset(&d->cursor);
    uint32_t count = take_count(d, 3, WASM_FUNCS_MAX, "too many functions");
    if (count != module->func_count - module->imported_funcs) {
        malformed(d, "function and code section have inconsistent lengths");
    }
    module->bodies = take_memory(d, count, sizeof *module->bodies);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        module->bodies[i].type_idx = module->func_types[module->imported_funcs + i];
        code_body(d, &module->bodies[i]);
    }
    module->body_count = count;
}

static void data_segment(struct decoder *d, struct wasm_data *data)
{
    uint32_t flags = take_u32(d);
    if (flags > 2) {
        malformed(d, "malformed data segment kind");
        return;
    }
    data->mode = flags == 1 ? WASM_SEGMENT_PASSIVE : WASM_SEGMENT_ACTIVE;
    data->memory_idx = flags == 2 ? take_u32(d) : 0;
    if (data->mode == WASM_SEGMENT_ACTIVE) {
        data->offset = take_constexpr(d);
    }
    data->bytes = take_bytes(d, take_u32(d));
}

static void data_section(struct decoder *d)
{
    struct wasm_module *module = d->module;
    uint32_t count = take_count(d, 2, WASM_SEGMENTS_MAX, "too many data segments");
    module->datas = take_memory(d, count, sizeof *module->datas);
    for (uint32_t i = 0; i < count && !d->err; i++) {
        data_segment(d, &module->datas[i]);
    }
    module->data_count = count;
}

static const struct {
    const char *name;
    void (*decode)(struct decoder *d);
    uint8_t rank; /* the order in which they may stand: the data count comes before the code */
} sections[SECTION_COUNT] = {
    [SECTION_CUSTOM] = {"custom section", custom_section, 0},
    [SECTION_TYPE] = {"type section", type_section, 1},
    [SECTION_IMPORT] = {"import section", import_section, 2},
    [SECTION_FUNCTION] = {"function section", function_section, 3},
    [SECTION_TABLE] = {"table section", table_section, 4},
    [SECTION_MEMORY] = {"memory section", memory_section, 5},
    [SECTION_GLOBAL] = {"global section", global_section, 6},
    [SECTION_EXPORT] = {"export section", export_section, 7},
    [SECTION_START] = {"start section", start_section, 8},
    [SECTION_ELEMENT] = {"element section", element_section, 9},
    [SECTION_DATA_COUNT] = {"data count section", data_count_section, 10},
    [SECTION_CODE] = {"code section", code_section, 11},
    [SECTION_DATA] = {"data section", data_section, 12},
};

/* Magic and version (5.5.16). The version's upper half is the layer of the component model. */
static void preamble(struct decoder *d)
{
    static const uint8_t magic[4] = {0x00, 'a', 's', 'm'};
    struct wm_view bytes = d->module->bytes, start;
    if (!wm_view_slice(bytes, 0, 8, &start)) {
        bool fits = bytes.len < 4 || __builtin_memcmp(bytes.ptr, magic, 4) == 0;
        malformed(d, fits ? "unexpected end: shorter than a module's header"
                          : "magic header not detected: this is no WebAssembly module");
        return;
    }
    if (__builtin_memcmp(start.ptr, magic, 4) != 0) {
        malformed(d, start.ptr[0] == '(' ? "magic header not detected: this looks like the text "
                                           "format; convert it with wat2wasm first"
                                         : "magic header not detected: this is no WebAssembly "
                                           "module");
        return;
    }
    d->cursor.at += 4;
    uint32_t version = 0;
    if (!wm_cursor_u32(&d->cursor, &version)) {
        malformed(d, "unexpected end");
    } else if (version >> 16 == 1 && (version & 0xffff) != 0) {
        fail(d, WM_E_UNSUPPORTED,
             "this is a component, not a module: build the program for wasm32-wasi "
             "(preview 1), or take the core module out of it with "
             "`wasm-tools component unbundle`");
    } else if (version != 1) {
        d->cursor.at -= 4;
        malformed(d, "unknown binary version (only version 1 is known)");
    }
}

/* Takes a section's id and size; the cursor is left with the content alone. */
static void section_header(struct decoder *d, enum section *id, const uint8_t **end)
{
    uint8_t byte = take_u8(d);
    if (byte >= SECTION_COUNT) {
        d->cursor.at--;
        malformed(d, "malformed section id");
        byte = 0;
    }
    *id = (enum section)byte;
    uint32_t len = take_u32(d);
    if (len > wm_cursor_left(&d->cursor)) {
        malformed(d, "unexpected end: length out of bounds");
        len = 0;
    }
    *end = d->cursor.at + len;
}

/* Custom sections are counted first, so that they fit one array. */
static void make_customs(struct decoder *d)
{
    struct wm_cursor first = d->cursor;
    size_t count = 0;
    d->where = "section header";
    while (!d->err && !wm_cursor_done(&d->cursor)) {
        enum section id;
        section_header(d, &id, &d->cursor.at);
        count += id == SECTION_CUSTOM;
    }
    if (count > WASM_CUSTOMS_MAX) {
        fail(d, WM_E_LIMIT, "too many custom sections");
    }
    d->module->customs = take_memory(d, count, sizeof *d->module->customs);
    d->cursor = first;
}

static void all_sections(struct decoder *d)
{
    const uint8_t *module_end = d->cursor.end;
    uint8_t last_rank = 0;
    while (!d->err && !wm_cursor_done(&d->cursor)) {
        enum section id;
        const uint8_t *end;
        struct wm_cursor first = d->cursor;
        section_header(d, &id, &end); /* cannot fail: all were read once */
        d->where = sections[id].name;
        if (id != SECTION_CUSTOM && sections[id].rank <= last_rank) {
            d->cursor = first;
            malformed(d, sections[id].rank == last_rank
                             ? "unexpected content after last section: a second one"
                             : "unexpected content after last section: out of order");
            return;
        }
        last_rank = id == SECTION_CUSTOM ? last_rank : sections[id].rank;
        d->cursor.end = end;
        sections[id].decode(d);
        if (!d->err && !wm_cursor_done(&d->cursor)) {
            malformed(d, "section size mismatch: bytes are left over");
        }
        d->cursor.end = module_end;
    }
}

/* What spans sections, and what an absent section leaves to be made. */
static void finish(struct decoder *d)
{
    struct wasm_module *module = d->module;
    d->where = "module";
    if (!module->func_types) {
        make_funcs(d, 0);
    }
    if (!module->tables) {
        make_tables(d, 0);
    }
    if (!module->globals) {
        make_globals(d, 0);
    }
    module->memory_count += module->imported_memories;
    if (module->body_count != module->func_count - module->imported_funcs) {
        malformed(d, "function and code section have inconsistent lengths");
    }
    if (module->has_data_count && module->data_count != d->declared_datas) {
        malformed(d, "data count and data section have inconsistent lengths");
    }
}

int wasm_module_decode(struct wm_view bytes, struct wm_arena *arena, struct wasm_module **out,
                       struct wm_diag *diag)
{
    struct decoder d = {.cursor = wm_cursor_of(bytes), .arena = arena, .diag = diag};
    d.where = "module";
    d.module = take_memory(&d, 1, sizeof *d.module);
    if (d.err) {
        return d.err;
    }
    d.module->bytes = bytes;
    d.module->arena = arena;
    if (bytes.len > WASM_MODULE_BYTES_MAX) {
        fail(&d, WM_E_LIMIT, "larger than 1 GiB");
        return d.err;
    }
    preamble(&d);
    if (!d.err) {
        make_customs(&d);
    }
    all_sections(&d);
    if (!d.err) {
        finish(&d);
    }
    if (!d.err) {
        *out = d.module;
    }
    return d.err;
}
