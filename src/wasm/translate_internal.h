/* translate_internal.h: what the files of the translator share. Names begin with tl_; nothing here
 * is seen outside translate*.c and llvm_util.c.
 *
 * One struct tl per module, one struct tl_func for the function being built. Operands of the wasm
 * stack are LLVM values; locals are allocas, made when first used and remembered within
 * straight-line code, so that most reads of locals build nothing. All loops here are iterative and
 * linear in the body: a body is hostile input that happens to be valid. */
#ifndef WM_WASM_TRANSLATE_INTERNAL_H
#define WM_WASM_TRANSLATE_INTERNAL_H

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/TargetMachine.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/diag.h"
#include "base/vec.h"
#include "base/view.h"
#include "wasm/abi.h"
#include "wasm/instr.h"
#include "wasm/module.h"
#include "wasm/options.h"
#include "wasm/translate.h"
#include "wasm/trap.h"

struct tl_types {
    LLVMTypeRef void_, i1, i8, i16, i32, i64, i128, f32, f64, ptr;
    LLVMTypeRef v16i8, v8i16, v4i32, v2i64, v4f32, v2f64, v8i8, v4i16, v2i32, v2f32;
};

/* Kinds of memory that never overlap; each is a TBAA type. */
enum tl_alias { TL_ALIAS_GUEST, TL_ALIAS_GLOBAL, TL_ALIAS_CELL, TL_ALIAS_BUDGET, TL_ALIAS_KINDS };

struct tl_table {
    bool fixed_size; /* limits.min elements, for ever */
};

#define TL_IN_MEMORY 0x80000000u

/* A function type as LLVM has it. places[i]: the LLVM parameter that wasm parameter i is, or
 * TL_IN_MEMORY + its place at more_params. */
struct tl_type {
    LLVMTypeRef llvm; /* NULL until used */
    uint32_t *places;
    uint32_t register_count; /* LLVM parameters that are wasm parameters */
    uint32_t memory_count;
};

/* A function of more instructions is compiled as in tier O0, in the optimised tier too: parts of
 * LLVM take time and memory that grow with the square of a function. The largest function of
 * CPython, its interpreter loop, has half as many. */
#define TL_OPTIMISE_INSTRS_MAX 100000u

struct tl {
    const struct wasm_module *module;
    struct wasm_options options;
    struct wasm_translate_part part;
    bool det, fuel, check, lines, optimise;
    struct wasm_layout layout;
    uint64_t memory_fixed_bytes; /* 0: the size must be loaded */
    uint64_t memory_least_bytes; /* the memory is never smaller */
    struct tl_table tables[WASM_TABLES_MAX];
    struct wm_diag *diag;
    const struct wasm_translate_progress *progress; /* NULL allowed */
    uint32_t written; /* functions and thunks in the object file so far */
    int failed;       /* what LLVM reported while it wrote */

    LLVMContextRef context;
    LLVMModuleRef llvm;
    LLVMBuilderRef at;    /* where code goes */
    LLVMBuilderRef entry; /* the end of the function's first block: allocas, invariants */
    LLVMTargetMachineRef machine;
    LLVMDIBuilderRef debug;
    LLVMMetadataRef debug_file, debug_unit, debug_type;
    struct tl_types t;
    LLVMTypeRef entry_type, entry_call_type; /* entry thunks; services and host calls */

    struct tl_type *types;            /* [type_count], by canonical type */
    LLVMValueRef *funcs;              /* [func_count]; NULL until used, and for imports */
    const struct tl_inline **inlines; /* [imported_funcs]; of the module `cp` */

    LLVMAttributeRef attrs[16];
    unsigned attr_count;
    LLVMAttributeRef attr_nomerge, attr_nounwind, attr_optnone, attr_noinline;
    unsigned md_invariant, md_tbaa, md_prof;
    LLVMValueRef md_empty, md_unlikely, md_alias[TL_ALIAS_KINDS];
};

/* How an operand is held. */
enum {
    TL_BOOL = 1,  /* an i1 that stands for an i32 */
    TL_NAN32 = 2, /* det: f32 lanes may hold a NaN that is not canonical */
    TL_NAN64 = 4, /* det: the same for f64 lanes */
};

struct tl_operand {
    LLVMValueRef value;
    uint8_t type; /* enum wasm_valtype */
    uint8_t flags;
};

enum tl_frame_kind { TL_FRAME_FUNC, TL_FRAME_BLOCK, TL_FRAME_LOOP, TL_FRAME_IF };

struct tl_frame {
    enum tl_frame_kind kind;
    uint32_t param_count, result_count;
    const uint8_t *params, *results;
    size_t height;               /* of the operand stack below the parameters */
    LLVMBasicBlockRef target;    /* of branches; NULL until there is one (a loop: always) */
    LLVMValueRef first_phi;      /* one for each value a branch carries, in order; NULL without */
    LLVMBasicBlockRef otherwise; /* IF: where `else` begins; NULL once begun */
    size_t saved;                /* IF: its parameters in tl_func.saved */
    uint32_t stamp;              /* of the br_table that last came by, see tl_br_table */
    LLVMBasicBlockRef stamp_block;
};

struct tl_local {
    LLVMValueRef slot;  /* alloca; NULL until used */
    LLVMValueRef known; /* its value, while `epoch` is the function's */
    uint64_t epoch;
    uint8_t type;
};

struct tl_checked { /* check: index `value` plus `end` was found to be inside */
    LLVMValueRef value;
    uint64_t end;
    uint64_t epoch;
};
#define TL_CHECKED_SLOTS 64u

struct tl_func {
    struct tl *tl;
    const struct wasm_body *body;
    const struct wasm_functype *type;
    const struct tl_type *places;
    uint32_t func_idx;
    LLVMValueRef llvm;
    bool lines; /* of this function */
    LLVMMetadataRef debug_scope;
    LLVMBasicBlockRef entry_block, body_block;
    LLVMValueRef ctx, more_params, more_results;
    LLVMValueRef base, budget, services, memory_cell, type_ids; /* invariants; NULL until used */

    WM_VEC(struct tl_operand) stack;
    WM_VEC(struct tl_operand) saved;
    WM_VEC(struct tl_frame) frames;
    struct tl_local *locals; /* room for the largest function */
    WM_VEC(uint32_t) locals_used;
    WM_VEC(uint32_t) run_ends; /* of body->local_runs: the first local behind each */
    WM_VEC(LLVMValueRef) args;
    uint64_t epoch; /* changes where control paths meet; counts on over all functions */
    struct tl_checked checked[TL_CHECKED_SLOTS];
    bool dead;           /* the code being read cannot be reached... */
    uint32_t dead_depth; /* ...nor can this many blocks opened since */
    uint32_t stamp;
    bool calls; /* det: it needs its frame counted in memory */
    bool short_of_memory;

    LLVMBasicBlockRef traps[32]; /* by enum wasm_trap */
    LLVMValueRef size_slot; /* check: alloca with the memory's size in bytes; NULL: not wanted */
    LLVMValueRef fuel_slot;
    LLVMValueRef fuel_known;
    uint64_t fuel_epoch;
    LLVMValueRef fuel_charge; /* the subtraction at the start of the present run */
    uint64_t fuel_run;        /* its amount so far */
    bool fuel_stale;          /* budget->fuel does not yet have it */
    LLVMValueRef more_buffer; /* parameters and results that callees have in memory */
    uint32_t more_room;
    uint32_t offset; /* of the present instruction in the module */
};

/* An import of the module `cp` (translate_inline.c). Pops its arguments, pushes its results. */
struct tl_inline {
    const char *name;
    const char *signature; /* as in struct wasm_host_func */
    void (*emit)(struct tl_func *f);
};

/* translate.c */
/* NULL: out of memory. */
const struct tl_type *tl_type(struct tl *tl, uint32_t type_idx);
LLVMValueRef tl_declare(struct tl *tl, uint32_t func_idx); /* NULL: out of memory */
LLVMTypeRef tl_valtype(const struct tl *tl, uint8_t valtype);
void tl_decorate(struct tl *tl, LLVMValueRef func);

/* translate_func.c */
WM_MUST_CHECK int tl_function(struct tl_func *f, uint32_t body_idx);
void tl_push(struct tl_func *f, uint8_t type, LLVMValueRef value);
void tl_push_flags(struct tl_func *f, uint8_t type, LLVMValueRef value, uint8_t flags);
void tl_push_bool(struct tl_func *f, LLVMValueRef i1);
/* The operand as a value of its own type, every bit as the specification has it. */
LLVMValueRef tl_pop(struct tl_func *f);
/* For operations to which one NaN is as good as another. */
LLVMValueRef tl_pop_number(struct tl_func *f);
/* v128 as `type`. */
LLVMValueRef tl_pop_as(struct tl_func *f, LLVMTypeRef type);
LLVMValueRef tl_pop_number_as(struct tl_func *f, LLVMTypeRef type);
LLVMValueRef tl_pop_bool(struct tl_func *f); /* i1: not zero */
void tl_trap_if(struct tl_func *f, LLVMValueRef cond, enum wasm_trap trap);
/* What is about to run may end the call or look at the budget: fuel must be in memory. */
void tl_sync(struct tl_func *f);
void tl_after_call(struct tl_func *f);
void tl_charge(struct tl_func *f, LLVMValueRef amount_i64); /* and trap when there is not enough */
LLVMValueRef tl_service(struct tl_func *f, size_t offset, LLVMTypeRef result, LLVMValueRef *args,
                        LLVMTypeRef *types, unsigned count);
LLVMValueRef tl_context_field(struct tl_func *f, uint64_t offset, LLVMTypeRef type);
LLVMValueRef tl_budget(struct tl_func *f);
LLVMValueRef tl_fuel_now(struct tl_func *f);

/* translate_memory.c: true when `instr` was one of theirs */
bool tl_memory(struct tl_func *f, const struct wasm_instr *instr);
LLVMValueRef tl_guest_load(struct tl_func *f, LLVMValueRef index, uint32_t offset, LLVMTypeRef type,
                           uint32_t bytes);
void tl_guest_store(struct tl_func *f, LLVMValueRef index, uint32_t offset, LLVMValueRef value,
                    uint32_t bytes);
void tl_begin_memory(struct tl_func *f);
/* check: after anything that may have grown the memory. */
void tl_refresh_size(struct tl_func *f, LLVMBuilderRef at);
LLVMValueRef tl_memory_bytes(struct tl_func *f); /* i64 */
LLVMValueRef tl_table_cells(struct tl_func *f, uint32_t table_idx);

/* translate_numeric.c, translate_simd.c */
bool tl_numeric(struct tl_func *f, const struct wasm_instr *instr);
bool tl_simd(struct tl_func *f, const struct wasm_instr *instr);
LLVMValueRef tl_float_min_max(struct tl_func *f, LLVMValueRef a, LLVMValueRef b, bool max);
LLVMValueRef tl_float_binary(struct tl_func *f, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef tl_canonical(struct tl_func *f, LLVMValueRef value, uint8_t flags);
/* Keep LLVM from folding in a way that hands a signalling NaN on (translate_numeric.c): any float
 * or vector, a constant that may fold away, any constant. */
LLVMValueRef tl_opaque(struct tl *tl, LLVMValueRef value);
/* The value, and nothing that LLVM could know about it: floats, and vectors of any kind. */
LLVMValueRef tl_fence(struct tl *tl, LLVMValueRef value);
LLVMValueRef tl_opaque_constant(struct tl *tl, LLVMValueRef value);
LLVMValueRef tl_hidden(struct tl *tl, LLVMValueRef value);
/* Whether a vector's lanes, seen as floats, may turn out to be constant. */
bool tl_may_fold(const struct tl *tl, LLVMValueRef value);
uint8_t tl_nan_flag(const struct tl_func *f, LLVMTypeRef type);

/* translate_thunk.c */
WM_MUST_CHECK int tl_thunks(struct tl *tl, uint32_t type_idx);

/* translate_inline.c: 0, or WM_E_INVALID naming the import */
WM_MUST_CHECK int tl_inline_find(struct tl *tl, const struct wasm_import *import,
                                 const struct wasm_functype *type, const struct tl_inline **out);

/* llvm_util.c */
LLVMValueRef tl_i32(const struct tl *tl, uint32_t value);
LLVMValueRef tl_i64(const struct tl *tl, uint64_t value);
LLVMValueRef tl_offset(const struct tl *tl, LLVMBuilderRef at, LLVMValueRef ptr, uint64_t bytes);
LLVMValueRef tl_load(const struct tl *tl, LLVMBuilderRef at, LLVMTypeRef type, LLVMValueRef ptr,
                     enum tl_alias alias);
LLVMValueRef tl_store(const struct tl *tl, LLVMBuilderRef at, LLVMValueRef value, LLVMValueRef ptr,
                      enum tl_alias alias);
/* Loads what never changes once the instance is made. */
LLVMValueRef tl_invariant(struct tl *tl, LLVMBuilderRef at, LLVMTypeRef type, LLVMValueRef ptr);
LLVMValueRef tl_intrinsic(struct tl *tl, const char *name, LLVMTypeRef *types, unsigned type_count,
                          LLVMValueRef *args, unsigned arg_count);
LLVMBasicBlockRef tl_block(struct tl_func *f);
void tl_unlikely(struct tl *tl, LLVMValueRef branch);
LLVMAttributeRef tl_enum_attr(struct tl *tl, const char *name, uint64_t value);
LLVMAttributeRef tl_text_attr(struct tl *tl, const char *name, const char *value);

#endif
