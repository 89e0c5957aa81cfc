/* translate.c: the driver: what is known of the module, the LLVM module, its passes, its object
 * file.
 *
 * One LLVM module for one wasm module, or for some of its functions: what is known of the wasm
 * module as a whole is the same for all. All that the code needs to know of the world stands in the
 * context, so nothing is declared but the functions themselves and LLVM's own intrinsics; no pass
 * runs that makes library calls of loops, and every function says no-builtins besides.
 *
 * LLVM may abort on what it does not like, or on want of memory. That ends the compiler process,
 * whose parent reports it (compile.h); nothing here tries to go on after it. */
#include "wasm/translate.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "wasm/translate_internal.h"

#define TRIPLE "x86_64-pc-linux-gnu"

/* Guest code has been through an optimiser already; what is left to do is what this translator
 * itself left (allocas, repeated loads, tests of tests). On SQLite, loop-invariant code motion and
 * value numbering on top of this, and code generation one level lower, made no difference that
 * could be measured. */
#define PASSES \
    "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,simplifycfg)"

LLVMTypeRef tl_valtype(const struct tl *tl, uint8_t valtype)
{
    switch (valtype) {
    case WASM_I32: return tl->t.i32;
    case WASM_I64:
    case WASM_EXTERNREF: return tl->t.i64;
    case WASM_F32: return tl->t.f32;
    case WASM_F64: return tl->t.f64;
    case WASM_V128: return tl->t.v2i64;
    case WASM_FUNCREF: return tl->t.ptr;
    default: WM_UNREACHABLE();
    }
}

const struct tl_type *tl_type(struct tl *tl, uint32_t type_idx)
{
    uint32_t canon = tl->module->type_canon[type_idx];
    struct tl_type *out = &tl->types[canon];
    if (out->llvm) {
        return out;
    }
    const struct wasm_functype *type = &tl->module->types[canon];
    out->places = wm_alloc_zero(type->param_count, sizeof *out->places);
    if (!out->places) {
        return NULL;
    }
    LLVMTypeRef params[1 + 5 + 8 + 2];
    unsigned count = 0;
    params[count++] = tl->t.ptr;
    struct wasm_places places = wasm_abi_places(type);
    bool more_params = places.more_params;
    for (uint32_t i = 0; i < type->param_count; i++) {
        if (wasm_abi_next(&places, type->params[i])) {
            out->places[i] = count;
            params[count++] = tl_valtype(tl, type->params[i]);
        } else {
            out->places[i] = TL_IN_MEMORY + out->memory_count++;
        }
    }
    out->register_count = count - 1;
    if (more_params) {
        params[count++] = tl->t.ptr;
    }
    if (type->result_count > 1) {
        params[count++] = tl->t.ptr;
    }
    LLVMTypeRef result = type->result_count ? tl_valtype(tl, type->results[0]) : tl->t.void_;
    out->llvm = LLVMFunctionType(result, params, count, 0);
    return out;
}

void tl_decorate(struct tl *tl, LLVMValueRef func)
{
    for (unsigned i = 0; i < tl->attr_count; i++) {
        LLVMAddAttributeAtIndex(func, LLVMAttributeFunctionIndex, tl->attrs[i]);
    }
    /* Hidden, so that calls between functions need no linkage table. */
    LLVMSetVisibility(func, LLVMHiddenVisibility);
}

LLVMValueRef tl_declare(struct tl *tl, uint32_t func_idx)
{
    WM_ASSERT(func_idx >= tl->module->imported_funcs);
    if (!tl->funcs[func_idx]) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%u", func_idx);
        const struct tl_type *type = tl_type(tl, tl->module->func_types[func_idx]);
        if (!type) {
            return NULL;
        }
        tl->funcs[func_idx] = LLVMAddFunction(tl->llvm, name, type->llvm);
        tl_decorate(tl, tl->funcs[func_idx]);
    }
    return tl->funcs[func_idx];
}

static void add_attr(struct tl *tl, LLVMAttributeRef attr)
{
    WM_ASSERT(tl->attr_count < WM_COUNT_OF(tl->attrs));
    tl->attrs[tl->attr_count++] = attr;
}

static const char *cpu_name(enum wasm_cpu cpu)
{
    switch (cpu) {
    case WASM_CPU_V2: return "x86-64-v2";
    case WASM_CPU_V3: return "x86-64-v3";
    case WASM_CPU_V4: return "x86-64-v4";
    }
    WM_UNREACHABLE();
}

static void make_attrs(struct tl *tl)
{
    add_attr(tl, tl_enum_attr(tl, "nounwind", 0));
    add_attr(tl,
             tl_enum_attr(tl, "uwtable", 1)); /* synchronous: enough to walk from a trap or call */
    /* Guest addresses come from arithmetic; LLVM shall conclude nothing from their values. */
    add_attr(tl, tl_enum_attr(tl, "null_pointer_is_valid", 0));
    add_attr(tl, tl_text_attr(tl, "no-builtins", ""));
    add_attr(tl, tl_text_attr(tl, "probe-stack", "inline-asm"));
    add_attr(tl, tl_text_attr(tl, "target-cpu", cpu_name(tl->options.cpu)));
    tl->attr_optnone = tl_enum_attr(tl, "optnone", 0);
    tl->attr_noinline = tl_enum_attr(tl, "noinline", 0);
    tl->attr_nomerge = tl_enum_attr(tl, "nomerge", 0);
    tl->attr_nounwind = tl_enum_attr(tl, "nounwind", 0);
}

static void make_types(struct tl *tl)
{
    LLVMContextRef context = tl->context;
    struct tl_types *t = &tl->t;
    t->void_ = LLVMVoidTypeInContext(context);
    t->i1 = LLVMInt1TypeInContext(context);
    t->i8 = LLVMInt8TypeInContext(context);
    t->i16 = LLVMInt16TypeInContext(context);
    t->i32 = LLVMInt32TypeInContext(context);
    t->i64 = LLVMInt64TypeInContext(context);
    t->i128 = LLVMInt128TypeInContext(context);
    t->f32 = LLVMFloatTypeInContext(context);
    t->f64 = LLVMDoubleTypeInContext(context);
    t->ptr = LLVMPointerTypeInContext(context, 0);
    t->v16i8 = LLVMVectorType(t->i8, 16);
    t->v8i16 = LLVMVectorType(t->i16, 8);
    t->v4i32 = LLVMVectorType(t->i32, 4);
    t->v2i64 = LLVMVectorType(t->i64, 2);
    t->v4f32 = LLVMVectorType(t->f32, 4);
    t->v2f64 = LLVMVectorType(t->f64, 2);
    t->v8i8 = LLVMVectorType(t->i8, 8);
    t->v4i16 = LLVMVectorType(t->i16, 4);
    t->v2i32 = LLVMVectorType(t->i32, 2);
    t->v2f32 = LLVMVectorType(t->f32, 2);
    LLVMTypeRef pointers[3] = {t->ptr, t->ptr, t->ptr};
    tl->entry_type = LLVMFunctionType(t->void_, pointers, 3, 0);
    tl->entry_call_type = LLVMFunctionType(t->void_, pointers, 2, 0);
}

static LLVMMetadataRef md_text(struct tl *tl, const char *text)
{
    return LLVMMDStringInContext2(tl->context, text, strlen(text));
}

static LLVMValueRef md_node(struct tl *tl, LLVMMetadataRef *items, size_t count)
{
    return LLVMMetadataAsValue(tl->context, LLVMMDNodeInContext2(tl->context, items, count));
}

static unsigned md_kind(struct tl *tl, const char *name)
{
    return LLVMGetMDKindIDInContext(tl->context, name, (unsigned)strlen(name));
}

static void make_metadata(struct tl *tl)
{
    static const char *const names[TL_ALIAS_KINDS] = {"guest", "global", "cell", "budget"};
    tl->md_invariant = md_kind(tl, "invariant.load");
    tl->md_tbaa = md_kind(tl, "tbaa");
    tl->md_prof = md_kind(tl, "prof");
    tl->md_empty = md_node(tl, NULL, 0);
    LLVMMetadataRef weights[3] = {md_text(tl, "branch_weights"), LLVMValueAsMetadata(tl_i32(tl, 1)),
                                  LLVMValueAsMetadata(tl_i32(tl, 1u << 20))};
    tl->md_unlikely = md_node(tl, weights, 3);
    LLVMMetadataRef root_name = md_text(tl, "wasm");
    LLVMMetadataRef root = LLVMMDNodeInContext2(tl->context, &root_name, 1);
    LLVMMetadataRef zero = LLVMValueAsMetadata(tl_i64(tl, 0));
    for (unsigned i = 0; i < TL_ALIAS_KINDS; i++) {
        LLVMMetadataRef type_items[3] = {md_text(tl, names[i]), root, zero};
        LLVMMetadataRef type = LLVMMDNodeInContext2(tl->context, type_items, 3);
        LLVMMetadataRef tag[3] = {type, type, zero};
        tl->md_alias[i] = md_node(tl, tag, 3);
    }
}

static void make_debug(struct tl *tl)
{
    LLVMMetadataRef dwarf = LLVMValueAsMetadata(tl_i32(tl, 4));
    LLVMMetadataRef version = LLVMValueAsMetadata(tl_i32(tl, LLVMDebugMetadataVersion()));
    LLVMAddModuleFlag(tl->llvm, LLVMModuleFlagBehaviorWarning, "Dwarf Version", 13, dwarf);
    LLVMAddModuleFlag(tl->llvm, LLVMModuleFlagBehaviorWarning, "Debug Info Version", 18, version);
    tl->debug = LLVMCreateDIBuilder(tl->llvm);
    tl->debug_file = LLVMDIBuilderCreateFile(tl->debug, "wasm", 4, "", 0);
    tl->debug_unit = LLVMDIBuilderCreateCompileUnit(
        tl->debug, LLVMDWARFSourceLanguageC99, tl->debug_file, "wardmote", 8, tl->optimise, "", 0,
        0, "", 0, LLVMDWARFEmissionLineTablesOnly, 0, 0, 0, "", 0, "", 0);
    tl->debug_type =
        LLVMDIBuilderCreateSubroutineType(tl->debug, tl->debug_file, NULL, 0, LLVMDIFlagZero);
}

/* What the module's shape lets the code take for granted. */

static bool exported(const struct wasm_module *module, enum wasm_extern_kind kind, uint32_t idx)
{
    for (uint32_t i = 0; i < module->export_count; i++) {
        if (module->exports[i].kind == kind && module->exports[i].idx == idx) {
            return true;
        }
    }
    return false;
}

static void study_tables(struct tl *tl)
{
    const struct wasm_module *module = tl->module;
    for (uint32_t i = 0; i < module->table_count; i++) {
        bool private_table =
            i >= module->imported_tables && !exported(module, WASM_EXTERN_TABLE, i);
        const struct wasm_limits *limits = &module->tables[i].limits;
        tl->tables[i].fixed_size = (limits->has_max && limits->min == limits->max) ||
                                   (private_table && !module->uses_table_mutation);
    }
}

static void study_memory(struct tl *tl)
{
    const struct wasm_module *module = tl->module;
    if (module->memory_count == 0) {
        return;
    }
    tl->memory_least_bytes = module->memory.min * WASM_PAGE_BYTES;
    /* Nothing else makes it constant: regions and a program's suspension append to memories that
     * nobody can name. */
    if (module->memory.has_max && module->memory.min == module->memory.max) {
        tl->memory_fixed_bytes = tl->memory_least_bytes;
    }
}

/* Functions imported from `cp` are code of ours; a name that is not known is an error here, since
 * nobody can supply it later. */
static int study_imports(struct tl *tl)
{
    const struct wasm_module *module = tl->module;
    uint32_t idx = 0;
    for (uint32_t i = 0; i < module->import_count; i++) {
        const struct wasm_import *import = &module->imports[i];
        if (import->kind != WASM_EXTERN_FUNC) {
            continue;
        }
        if (wm_view_eq_str(import->module, "cp")) {
            const struct wasm_functype *type = &module->types[import->type_idx];
            int err = tl_inline_find(tl, import, type, &tl->inlines[idx]);
            if (err) {
                return err;
            }
        }
        idx++;
    }
    return 0;
}

static int make_machine(struct tl *tl)
{
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(TRIPLE, &target, &message) != 0) {
        int err = wm_diag_set(tl->diag, WM_E_COMPILER, "LLVM: no x86-64 target: %s", message);
        LLVMDisposeMessage(message);
        return err;
    }
    LLVMTargetMachineOptionsRef options = LLVMCreateTargetMachineOptions();
    LLVMTargetMachineOptionsSetCPU(options, cpu_name(tl->options.cpu));
    LLVMTargetMachineOptionsSetRelocMode(options, LLVMRelocPIC);
    LLVMTargetMachineOptionsSetCodeModel(options, LLVMCodeModelSmall);
    LLVMTargetMachineOptionsSetCodeGenOptLevel(options, tl->optimise ? LLVMCodeGenLevelDefault
                                                                     : LLVMCodeGenLevelNone);
    tl->machine = LLVMCreateTargetMachineWithOptions(target, TRIPLE, options);
    LLVMDisposeTargetMachineOptions(options);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tl->machine);
    LLVMSetTarget(tl->llvm, TRIPLE);
    LLVMSetModuleDataLayout(tl->llvm, layout);
    LLVMDisposeTargetData(layout);
    return 0;
}

/* LLVM says when it has written a function (a remark of its assembly printer); that is where the
 * time goes, so that is what progress counts. Turning on the remarks of one pass, below, brings
 * some of all passes: the text tells which it is. Errors that LLVM reports instead of aborting are
 * kept for emit. */
static void on_diagnostic(LLVMDiagnosticInfoRef info, void *self)
{
    struct tl *tl = self;
    LLVMDiagnosticSeverity severity = LLVMGetDiagInfoSeverity(info);
    if (severity != LLVMDSRemark && severity != LLVMDSError) {
        return;
    }
    char *text = LLVMGetDiagInfoDescription(info);
    if (severity == LLVMDSError) {
        tl->failed =
            tl->failed ? tl->failed : wm_diag_set(tl->diag, WM_E_COMPILER, "LLVM: %s", text);
    } else if (strstr(text, " instructions in function") &&
               ++tl->written < tl->part.end - tl->part.first && tl->progress &&
               tl->progress->step) {
        tl->progress->step(tl->progress->self, tl->written, tl->part.end - tl->part.first);
    }
    LLVMDisposeMessage(text);
}

/* Once in a process: options are global to LLVM. */
static void set_llvm_options(void)
{
    static bool done;
    /* Not the assembly printer's own, which would also bring one of each basic block. */
    static const char *const args[] = {"wardmote-wasmc", "-pass-remarks-analysis=prologepilog"};
    if (!done) {
        LLVMParseCommandLineOptions((int)WM_COUNT_OF(args), args, NULL);
        done = true;
    }
}

static int init(struct tl *tl)
{
    const struct wasm_module *module = tl->module;
    tl->det = tl->options.mode == WASM_MODE_DET;
    tl->check = tl->options.mode == WASM_MODE_CHECK;
    tl->fuel = tl->options.fuel || tl->det;
    tl->lines = tl->options.lines;
    tl->optimise = tl->options.tier == WASM_TIER_OPTIMISED;
    tl->layout = wasm_abi_layout(module->imported_funcs, module->table_count, module->global_count);
    tl->types = wm_alloc_zero(module->type_count, sizeof *tl->types);
    tl->funcs = wm_alloc_zero(module->func_count, sizeof *tl->funcs);
    tl->inlines = wm_alloc_zero(module->imported_funcs, sizeof *tl->inlines);
    if (!tl->types || !tl->funcs || !tl->inlines) {
        return -ENOMEM;
    }
    int err = study_imports(tl);
    if (err) {
        return err;
    }
    study_tables(tl);
    study_memory(tl);

    set_llvm_options();
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    tl->context = LLVMContextCreate();
    LLVMContextSetDiscardValueNames(tl->context, 1);
    LLVMContextSetDiagnosticHandler(tl->context, on_diagnostic, tl);
    tl->llvm = LLVMModuleCreateWithNameInContext("wasm", tl->context);
    tl->at = LLVMCreateBuilderInContext(tl->context);
    tl->entry = LLVMCreateBuilderInContext(tl->context);
    make_types(tl);
    make_attrs(tl);
    make_metadata(tl);
    if (tl->lines) {
        make_debug(tl);
    }
    return make_machine(tl);
}

static void fini(struct tl *tl)
{
    if (tl->debug) {
        LLVMDisposeDIBuilder(tl->debug);
    }
    if (tl->context) {
        LLVMDisposeBuilder(tl->at);
        LLVMDisposeBuilder(tl->entry);
        LLVMDisposeModule(tl->llvm);
    }
    if (tl->machine) {
        LLVMDisposeTargetMachine(tl->machine);
    }
    if (tl->context) {
        LLVMContextDispose(tl->context);
    }
    for (uint32_t i = 0; tl->types && i < tl->module->type_count; i++) {
        wm_free(tl->types[i].places);
    }
    wm_free(tl->types);
    wm_free(tl->funcs);
    wm_free(tl->inlines);
}

static int build_functions(struct tl *tl)
{
    const struct wasm_module *module = tl->module;
    struct tl_func f = {.tl = tl};
    uint32_t most_locals = 1;
    for (uint32_t i = tl->part.first; i < tl->part.end; i++) {
        uint32_t params = module->types[module->bodies[i].type_idx].param_count;
        uint32_t count = params + module->bodies[i].local_count;
        most_locals = count > most_locals ? count : most_locals;
    }
    f.locals = wm_alloc_zero(most_locals, sizeof *f.locals);
    int err = f.locals ? 0 : -ENOMEM;
    for (uint32_t i = tl->part.first; !err && i < tl->part.end; i++) {
        err = tl_function(&f, i);
    }
    wm_free(f.locals);
    wm_vec_fini(&f.stack);
    wm_vec_fini(&f.saved);
    wm_vec_fini(&f.frames);
    wm_vec_fini(&f.locals_used);
    wm_vec_fini(&f.run_ends);
    wm_vec_fini(&f.args);
    return err;
}

/* One pair of thunks for each canonical type, whether or not this module calls through it: a host
 * may call any function whose type the module names. */
static int build_thunks(struct tl *tl)
{
    int err = 0;
    for (uint32_t i = 0; tl->part.thunks && !err && i < tl->module->type_count; i++) {
        if (tl->module->type_canon[i] == i) {
            err = tl_thunks(tl, i);
        }
    }
    return err;
}

static int run_passes(struct tl *tl)
{
    if (!tl->optimise) {
        return 0;
    }
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(tl->llvm, PASSES, tl->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (error) {
        char *message = LLVMGetErrorMessage(error);
        int err = wm_diag_set(tl->diag, WM_E_COMPILER, "LLVM: passes: %s", message);
        LLVMDisposeErrorMessage(message);
        return err;
    }
    return 0;
}

static int emit(struct tl *tl, struct wasm_translation *out)
{
    char *message = NULL;
    LLVMMemoryBufferRef buffer = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(tl->machine, tl->llvm, LLVMObjectFile, &message,
                                            &buffer) != 0) {
        int err = wm_diag_set(tl->diag, WM_E_COMPILER, "LLVM: %s", message);
        LLVMDisposeMessage(message);
        return err;
    }
    if (tl->failed) {
        LLVMDisposeMemoryBuffer(buffer);
        return tl->failed;
    }
    out->buffer = buffer;
    out->elf = wm_view_of(LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
    return 0;
}

static int verify(struct tl *tl)
{
    char *message = NULL;
    int err = 0;
    if (LLVMVerifyModule(tl->llvm, LLVMReturnStatusAction, &message) != 0) {
        err = wm_diag_set(tl->diag, WM_E_COMPILER, "LLVM: verifier: %s", message);
    }
    LLVMDisposeMessage(message);
    return err;
}

int wasm_translate(const struct wasm_module *module, const struct wasm_options *options,
                   const struct wasm_translate_part *part,
                   const struct wasm_translate_progress *progress, struct wasm_translation *out,
                   struct wm_diag *diag)
{
    WM_ASSERT(module->validated && part->first <= part->end && part->end <= module->body_count);
    struct tl tl = {
        .module = module, .options = *options, .part = *part, .diag = diag, .progress = progress};
    int err = init(&tl);
    if (!err) {
        err = build_functions(&tl);
    }
    if (!err) {
        err = build_thunks(&tl);
    }
    if (!err) {
        if (tl.debug) {
            LLVMDIBuilderFinalize(tl.debug);
        }
        /* Both tiers are given the same code, so one of them is enough to find our mistakes; at O0
         * the verifier would be a tenth of the time. */
        err = tl.optimise ? verify(&tl) : 0;
    }
    if (!err) {
        err = run_passes(&tl);
    }
    if (!err) {
        err = emit(&tl, out);
    }
    if (!err && progress && progress->step) {
        progress->step(progress->self, part->end - part->first, part->end - part->first);
    }
    fini(&tl);
    return err ? wm_diag_default(diag, err, "translate") : 0;
}

void wasm_translate_release(struct wasm_translation *translation)
{
    if (translation->buffer) {
        LLVMDisposeMemoryBuffer(translation->buffer);
    }
    *translation = (struct wasm_translation){0};
}
