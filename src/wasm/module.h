/* module.h: a WebAssembly module, decoded and validated; the one form that feeds everything else.
 *
 * wasm_module_decode reads the binary format (core specification 2.0 chapter 5, with extended
 * constant expressions and tail calls) and wasm_module_validate checks it against chapter 3. Input
 * is hostile: every failure names the byte offset and the reason, and work is linear in the input's
 * size within the limits below. Nothing may be translated, linked or stored that was not validated.
 *
 * Memory: everything lives in the caller's arena; names, bodies and data are views into the
 * caller's bytes, which must outlive the module. Pure: no I/O, no globals, any thread.
 *
 * A component (WASI 0.2 and later: layer 1 of the binary format) is recognised and refused with
 * WM_E_UNSUPPORTED and the way out: build for wasm32-wasi, or take the core module out of it. */
#ifndef WM_WASM_MODULE_H
#define WM_WASM_MODULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/view.h"
#include "wasm/types.h"

/* Implementation limits (core specification appendix 7.2), each at least the web embedding's. */
#define WASM_MODULE_BYTES_MAX (UINT64_C(1) << 30)
#define WASM_TYPES_MAX 1000000u
#define WASM_FUNCS_MAX 1000000u
#define WASM_IMPORTS_MAX 100000u
#define WASM_EXPORTS_MAX 100000u
#define WASM_GLOBALS_MAX 1000000u
#define WASM_TABLES_MAX 100u
#define WASM_TABLE_ELEMS_MAX 10000000u
#define WASM_SEGMENTS_MAX 100000u
#define WASM_CUSTOMS_MAX 100000u
#define WASM_PARAMS_MAX 1000u
#define WASM_RESULTS_MAX 1000u
#define WASM_LOCALS_MAX 50000u /* of one function, parameters included */
#define WASM_BODY_BYTES_MAX 7654321u
#define WASM_NESTING_MAX 50000u /* open blocks in one function */

struct wasm_import {
    struct wm_view module;
    struct wm_view name;
    enum wasm_extern_kind kind;
    uint32_t type_idx; /* FUNC */
    struct wasm_tabletype table;
    struct wasm_limits memory; /* in pages */
    struct wasm_globaltype global;
    uint32_t offset; /* in the module's bytes */
};

struct wasm_export {
    struct wm_view name;
    enum wasm_extern_kind kind;
    uint32_t idx; /* in the index space of its kind */
};

/* Constant expression (3.3.10, and the extended-const proposal). The common forms are one step; the
 * others stay bytes, evaluated by wasm_constexpr_eval in the runtime. */
enum wasm_constexpr_kind {
    WASM_CONST_VALUE,    /* numbers, v128, ref.null: `value` */
    WASM_CONST_FUNC,     /* ref.func `idx` */
    WASM_CONST_GLOBAL,   /* global.get `idx` */
    WASM_CONST_EXTENDED, /* `code`: the instructions with their final `end` */
};

struct wasm_constexpr {
    enum wasm_constexpr_kind kind;
    uint8_t valtype; /* of its result; of GLOBAL, FUNC and EXTENDED set by validation */
    uint32_t idx;
    union wasm_value value;
    struct wm_view code; /* always set */
};

struct wasm_global {
    struct wasm_globaltype type;
    struct wasm_constexpr init; /* defined globals only */
};

struct wasm_local_run { /* `count` locals of one type, as the binary format groups them */
    uint32_t count;
    uint8_t valtype;
};

struct wasm_body {
    uint32_t type_idx;
    struct wm_view code;  /* the instructions with the final `end`, without the locals */
    uint32_t code_offset; /* of the first instruction in the module's bytes */
    uint32_t local_run_count;
    struct wasm_local_run *local_runs;
    uint32_t local_count; /* declared locals, parameters not counted */
    /* Set by validation: */
    uint32_t max_height;  /* of the operand stack */
    uint32_t max_nesting; /* of open blocks, the function's own included */
    uint32_t instr_count; /* instructions in `code`, `end` and `else` included */
};

enum wasm_segment_mode { WASM_SEGMENT_ACTIVE, WASM_SEGMENT_PASSIVE, WASM_SEGMENT_DECLARATIVE };

struct wasm_elem {
    enum wasm_segment_mode mode;
    uint8_t valtype;
    uint32_t table_idx;
    struct wasm_constexpr offset;
    uint32_t count;
    const uint32_t *funcs; /* function indices; NULL when `exprs` is used */
    const struct wasm_constexpr *exprs;
};

struct wasm_data {
    enum wasm_segment_mode mode;
    uint32_t memory_idx;
    struct wasm_constexpr offset;
    struct wm_view bytes;
};

struct wasm_custom {
    struct wm_view name;
    struct wm_view bytes;
    uint32_t offset; /* of `bytes` in the module */
};

struct wasm_module {
    struct wm_view bytes;
    struct wm_arena *arena;

    uint32_t type_count;
    struct wasm_functype *types;
    uint32_t *type_canon; /* index of the first structurally equal type */

    uint32_t import_count;
    struct wasm_import *imports;
    /* Index spaces: imports come first. */
    uint32_t imported_funcs, func_count;
    uint32_t *func_types; /* type index of every function, imports included */
    bool *func_declared;  /* may be the operand of ref.func; also: may escape as a funcref */
    uint32_t imported_tables, table_count;
    struct wasm_tabletype *tables;
    uint32_t imported_memories, memory_count; /* at most 1 memory */
    struct wasm_limits memory;
    uint32_t imported_globals, global_count;
    struct wasm_global *globals;

    uint32_t export_count;
    struct wasm_export *exports;
    bool has_start;
    uint32_t start_func;
    uint32_t elem_count;
    struct wasm_elem *elems;
    uint32_t data_count;
    bool has_data_count; /* a data count section was present */
    struct wasm_data *datas;
    uint32_t body_count; /* == func_count - imported_funcs */
    struct wasm_body *bodies;
    uint32_t custom_count;
    struct wasm_custom *customs;
    uint32_t
        code_section_offset; /* of the code section's content: DWARF addresses count from here */

    /* [body_count]: the bodies that the module's own line table knows something of (dwarf.h:
     * wasm_dwarf_bodies). NULL: nobody looked, all may be. */
    const bool *bodies_with_lines;

    /* What the functions do, over all bodies; set by validation. Lets the translator treat a table
     * as constant, and so on. */
    bool uses_table_mutation; /* table.set/grow/fill/copy/init anywhere */
    bool *tables_closed;      /* [table_count]: holds functions defined here or null, for ever */
    bool uses_tail_calls;
    bool uses_simd;
    bool validated;
};

/* Reads the structure of `bytes`. 0, or WM_E_MALFORMED, WM_E_UNSUPPORTED, WM_E_LIMIT, -ENOMEM. */
WM_MUST_CHECK int wasm_module_decode(struct wm_view bytes, struct wm_arena *arena,
                                     struct wasm_module **out, struct wm_diag *diag);
/* Checks everything else. 0, or WM_E_MALFORMED (a body that is no expression), WM_E_INVALID,
 * WM_E_LIMIT, -ENOMEM. On success module->validated is true. The first failure ends it: a module
 * with several faults is called by the one found first, but a malformed body never merely invalid.
 */
WM_MUST_CHECK int wasm_module_validate(struct wasm_module *module, struct wm_diag *diag);

/* The name that a person knows function `func_idx` by: the name section's, else an export's, else
 * an import's "module.name", as printable ASCII (wm_diag_quote), cut to fit; else "func[N]". Linear
 * in the name section: for messages. out_bytes >= 32. Returns out. */
char *wasm_module_func_name(const struct wasm_module *module, uint32_t func_idx, char *out,
                            size_t out_bytes);
/* Reads the name section's function names into an array of func_count views (empty where there is
 * none) from the arena; a malformed name section gives no names and no error, as the
 * specification's appendix 7.4 asks. NULL when memory is short. */
WM_MUST_CHECK struct wm_view *wasm_module_func_names(const struct wasm_module *module,
                                                     struct wm_arena *arena);

static inline const struct wasm_functype *wasm_module_func_type(const struct wasm_module *module,
                                                                uint32_t func_idx)
{
    return &module->types[module->func_types[func_idx]];
}

#endif
