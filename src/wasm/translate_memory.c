/* translate_memory.c: loads and stores, bulk memory, tables.
 *
 * guard, det: the address is base + index + offset, with index and offset below 2^32 each, so it
 * lies inside the reservation (WASM_MEMORY_RESERVE_BYTES), of which only the memory itself can be
 * touched. Accesses are volatile: a load whose value nobody wants must still fault where it stands,
 * and no store may move across a fault; for LLVM plain loads are free to vanish. Volatile costs no
 * instruction. A store over the memory's last byte faults as a whole: the processor writes nothing
 * of it.
 *
 * check: each access is compared with the memory's size before. The size is an alloca that is
 * loaded anew after every call, so between calls it sits in a register. An access that a checked
 * one of the same index in the same straight line covers is not checked again: memories only grow.
 */
#include "wasm/translate_internal.h"

#include <stddef.h>

#include "wasm/opcode.h"

static LLVMValueRef memory_cell(struct tl_func *f)
{
    if (!f->memory_cell) {
        f->memory_cell = tl_context_field(f, offsetof(struct wasm_ctx, memory), f->tl->t.ptr);
    }
    return f->memory_cell;
}

static LLVMValueRef load_size(struct tl_func *f, LLVMBuilderRef at)
{
    struct tl *tl = f->tl;
    LLVMValueRef place =
        tl_offset(tl, at, memory_cell(f), offsetof(struct wasm_memory_cell, size_bytes));
    return tl_load(tl, at, tl->t.i64, place, TL_ALIAS_CELL);
}

LLVMValueRef tl_memory_bytes(struct tl_func *f)
{
    return load_size(f, f->tl->at);
}

void tl_refresh_size(struct tl_func *f, LLVMBuilderRef at)
{
    if (f->size_slot) {
        LLVMBuildStore(at, load_size(f, at), f->size_slot);
    }
}

void tl_begin_memory(struct tl_func *f)
{
    struct tl *tl = f->tl;
    f->size_slot = NULL;
    if (tl->check && tl->module->memory_count && !tl->memory_fixed_bytes) {
        f->size_slot = LLVMBuildAlloca(tl->entry, tl->t.i64, "");
        tl_refresh_size(f, tl->entry);
    }
}

static struct tl_checked *checked_slot(struct tl_func *f, LLVMValueRef index)
{
    uintptr_t hash = (uintptr_t)index >> 4;
    return &f->checked[(hash ^ (hash >> 8)) % TL_CHECKED_SLOTS];
}

/* Traps unless index + end <= size; end is offset + width, at most 2^32 + 15. */
static void check_bounds(struct tl_func *f, LLVMValueRef index, uint64_t end)
{
    struct tl *tl = f->tl;
    if (LLVMIsAConstantInt(index) &&
        LLVMConstIntGetZExtValue(index) + end <= tl->memory_least_bytes) {
        return;
    }
    struct tl_checked *known = checked_slot(f, index);
    if (known->value == index && known->epoch == f->epoch && known->end >= end) {
        return;
    }
    LLVMValueRef wide = LLVMBuildZExt(tl->at, index, tl->t.i64, "");
    LLVMValueRef bad;
    if (tl->memory_fixed_bytes >= end) {
        LLVMValueRef last = tl_i64(tl, tl->memory_fixed_bytes - end);
        bad = LLVMBuildICmp(tl->at, LLVMIntUGT, wide, last, "");
    } else {
        LLVMValueRef size = f->size_slot ? LLVMBuildLoad2(tl->at, tl->t.i64, f->size_slot, "")
                                         : tl_i64(tl, tl->memory_fixed_bytes);
        if (end <= tl->memory_least_bytes) {
            LLVMValueRef last = LLVMBuildNUWSub(tl->at, size, tl_i64(tl, end), "");
            bad = LLVMBuildICmp(tl->at, LLVMIntUGT, wide, last, "");
        } else {
            LLVMValueRef sum = LLVMBuildNUWAdd(tl->at, wide, tl_i64(tl, end), "");
            bad = LLVMBuildICmp(tl->at, LLVMIntUGT, sum, size, "");
        }
    }
    tl_trap_if(f, bad, WASM_TRAP_MEMORY_BOUNDS);
    *known = (struct tl_checked){index, end, f->epoch};
}

static LLVMValueRef address(struct tl_func *f, LLVMValueRef index, uint32_t offset, uint32_t bytes)
{
    struct tl *tl = f->tl;
    if (!f->base) {
        f->base = tl_context_field(f, offsetof(struct wasm_ctx, memory_base), tl->t.ptr);
    }
    if (tl->check) {
        check_bounds(f, index, (uint64_t)offset + bytes);
    } else {
        tl_sync(f);
    }
    LLVMValueRef wide = LLVMBuildZExt(tl->at, index, tl->t.i64, "");
    if (offset) {
        wide = LLVMBuildNUWAdd(tl->at, wide, tl_i64(tl, offset), "");
    }
    return LLVMBuildGEP2(tl->at, tl->t.i8, f->base, &wide, 1, "");
}

LLVMValueRef tl_guest_load(struct tl_func *f, LLVMValueRef index, uint32_t offset, LLVMTypeRef type,
                           uint32_t bytes)
{
    struct tl *tl = f->tl;
    LLVMValueRef load = tl_load(tl, tl->at, type, address(f, index, offset, bytes), TL_ALIAS_GUEST);
    LLVMSetAlignment(load, 1);
    /* Floats in check too: LLVM is not to know a number from what was stored there; see
     * translate_numeric.c. */
    bool may_be_float = type == tl->t.f32 || type == tl->t.f64 || type == tl->t.v2i64;
    LLVMSetVolatile(load, !tl->check || may_be_float);
    return load;
}

void tl_guest_store(struct tl_func *f, LLVMValueRef index, uint32_t offset, LLVMValueRef value,
                    uint32_t bytes)
{
    struct tl *tl = f->tl;
    LLVMValueRef store =
        tl_store(tl, tl->at, value, address(f, index, offset, bytes), TL_ALIAS_GUEST);
    LLVMSetAlignment(store, 1);
    LLVMSetVolatile(store, !tl->check);
}

static void load(struct tl_func *f, const struct wasm_instr *instr, uint8_t type,
                 LLVMTypeRef memory_type, bool is_signed)
{
    struct tl *tl = f->tl;
    uint32_t bytes = wasm_opcode_table[instr->op].bytes;
    LLVMValueRef index = tl_pop(f);
    LLVMValueRef value = tl_guest_load(f, index, instr->mem_offset, memory_type, bytes);
    LLVMTypeRef wanted = tl_valtype(tl, type);
    if (memory_type != wanted) {
        value = is_signed ? LLVMBuildSExt(tl->at, value, wanted, "")
                          : LLVMBuildZExt(tl->at, value, wanted, "");
    }
    tl_push(f, type, value);
}

static void store(struct tl_func *f, const struct wasm_instr *instr, LLVMTypeRef memory_type)
{
    struct tl *tl = f->tl;
    LLVMValueRef value = tl_pop(f);
    if (LLVMTypeOf(value) != memory_type) {
        value = LLVMBuildTrunc(tl->at, value, memory_type, "");
    }
    LLVMValueRef index = tl_pop(f);
    tl_guest_store(f, index, instr->mem_offset, value, wasm_opcode_table[instr->op].bytes);
}

/* Bulk operations: `units` of length make one unit of fuel, paid before the operation looks at its
 * operands, so that a length past the end is paid too. */
static void charge_length(struct tl_func *f, LLVMValueRef length, unsigned log2_units)
{
    struct tl *tl = f->tl;
    if (tl->fuel) {
        LLVMValueRef wide = LLVMBuildZExt(tl->at, length, tl->t.i64, "");
        LLVMValueRef round = tl_i64(tl, (UINT64_C(1) << log2_units) - 1);
        LLVMValueRef sum = LLVMBuildAdd(tl->at, wide, round, "");
        tl_charge(f, LLVMBuildLShr(tl->at, sum, tl_i64(tl, log2_units), ""));
    }
}

#define FUEL_LOG2_BYTES 6u  /* 64 bytes of memory */
#define FUEL_LOG2_ELEMS 3u  /* 8 table elements */
#define FUEL_PER_PAGE 1024u /* a page of 64 KiB as 64 bytes each */

static void memory_size(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef bytes = tl_memory_bytes(f);
    LLVMValueRef pages = LLVMBuildLShr(tl->at, bytes, tl_i64(tl, 16), "");
    tl_push(f, WASM_I32, LLVMBuildTrunc(tl->at, pages, tl->t.i32, ""));
}

static void memory_grow(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef delta = tl_pop(f);
    if (tl->fuel) {
        LLVMValueRef wide = LLVMBuildZExt(tl->at, delta, tl->t.i64, "");
        tl_charge(f, LLVMBuildMul(tl->at, wide, tl_i64(tl, FUEL_PER_PAGE), ""));
    }
    LLVMValueRef args[2] = {f->ctx, delta};
    LLVMTypeRef types[2] = {tl->t.ptr, tl->t.i32};
    LLVMValueRef old =
        tl_service(f, offsetof(struct wasm_services, memory_grow), tl->t.i32, args, types, 2);
    tl_refresh_size(f, tl->at);
    tl_push(f, WASM_I32, old);
}

#define SERVICE_ARGS_MAX 6u

/* A service that takes the context, `fixed` indices and the top `popped` operands. */
static LLVMValueRef serve(struct tl_func *f, size_t service, LLVMTypeRef result,
                          const uint32_t *fixed, unsigned fixed_count, unsigned popped)
{
    struct tl *tl = f->tl;
    LLVMValueRef args[SERVICE_ARGS_MAX];
    LLVMTypeRef types[SERVICE_ARGS_MAX];
    unsigned count = 1 + fixed_count + popped;
    WM_ASSERT(count <= SERVICE_ARGS_MAX);
    for (unsigned i = count; i-- > 1 + fixed_count;) {
        args[i] = tl_pop(f);
        if (LLVMTypeOf(args[i]) == tl->t.ptr) { /* a funcref: its bits */
            args[i] = LLVMBuildPtrToInt(tl->at, args[i], tl->t.i64, "");
        }
    }
    args[0] = f->ctx;
    for (unsigned i = 0; i < fixed_count; i++) {
        args[1 + i] = tl_i32(tl, fixed[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        types[i] = LLVMTypeOf(args[i]);
    }
    return tl_service(f, service, result, args, types, count);
}

/* The length is the topmost operand of every bulk operation. */
static void bulk(struct tl_func *f, size_t service, const uint32_t *fixed, unsigned fixed_count,
                 unsigned popped, unsigned log2_units)
{
    if (f->tl->fuel) {
        LLVMValueRef length = tl_pop(f);
        charge_length(f, length, log2_units);
        tl_push(f, WASM_I32, length);
    }
    serve(f, service, f->tl->t.void_, fixed, fixed_count, popped);
}

static void ref_result(struct tl_func *f, uint32_t table_idx, LLVMValueRef bits)
{
    uint8_t type = f->tl->module->tables[table_idx].elem;
    if (type == WASM_FUNCREF) {
        bits = LLVMBuildIntToPtr(f->tl->at, bits, f->tl->t.ptr, "");
    }
    tl_push(f, type, bits);
}

LLVMValueRef tl_table_cells(struct tl_func *f, uint32_t table_idx)
{
    struct tl *tl = f->tl;
    uint64_t at = tl->layout.tables + sizeof(void *) * (uint64_t)table_idx;
    return tl_invariant(tl, tl->at, tl->t.ptr, tl_offset(tl, tl->at, f->ctx, at));
}

static void table_size(struct tl_func *f, uint32_t table_idx)
{
    struct tl *tl = f->tl;
    LLVMValueRef place = tl_offset(tl, tl->at, tl_table_cells(f, table_idx),
                                   offsetof(struct wasm_table_cells, size));
    LLVMValueRef size = tl_load(tl, tl->at, tl->t.i64, place, TL_ALIAS_CELL);
    tl_push(f, WASM_I32, LLVMBuildTrunc(tl->at, size, tl->t.i32, ""));
}

#define SERVICE(name) offsetof(struct wasm_services, name)

static bool bulk_memory(struct tl_func *f, const struct wasm_instr *instr)
{
    const uint32_t fixed[1] = {instr->idx};
    switch ((unsigned)instr->op) {
    case WASM_OP_MEMORY_INIT:
        bulk(f, SERVICE(memory_init), fixed, 1, 3, FUEL_LOG2_BYTES);
        return true;
    case WASM_OP_MEMORY_COPY:
        bulk(f, SERVICE(memory_copy), NULL, 0, 3, FUEL_LOG2_BYTES);
        return true;
    case WASM_OP_MEMORY_FILL:
        bulk(f, SERVICE(memory_fill), NULL, 0, 3, FUEL_LOG2_BYTES);
        return true;
    case WASM_OP_DATA_DROP: serve(f, SERVICE(data_drop), f->tl->t.void_, fixed, 1, 0); return true;
    default: return false;
    }
}

static bool table(struct tl_func *f, const struct wasm_instr *instr)
{
    struct tl *tl = f->tl;
    const uint32_t fixed[2] = {instr->idx, instr->idx2};
    switch ((unsigned)instr->op) {
    case WASM_OP_TABLE_GET:
        ref_result(f, instr->idx, serve(f, SERVICE(table_get), tl->t.i64, fixed, 1, 1));
        return true;
    case WASM_OP_TABLE_SET: serve(f, SERVICE(table_set), tl->t.void_, fixed, 1, 2); return true;
    case WASM_OP_TABLE_SIZE: table_size(f, instr->idx); return true;
    case WASM_OP_TABLE_GROW: {
        LLVMValueRef delta = tl_pop(f);
        charge_length(f, delta, FUEL_LOG2_ELEMS);
        tl_push(f, WASM_I32, delta);
        tl_push(f, WASM_I32, serve(f, SERVICE(table_grow), tl->t.i32, fixed, 1, 2));
        return true;
    }
    case WASM_OP_TABLE_FILL:
        bulk(f, SERVICE(table_fill), fixed, 1, 3, FUEL_LOG2_ELEMS);
        return true;
    case WASM_OP_TABLE_COPY:
        bulk(f, SERVICE(table_copy), fixed, 2, 3, FUEL_LOG2_ELEMS);
        return true;
    case WASM_OP_TABLE_INIT:
        bulk(f, SERVICE(table_init), fixed, 2, 3, FUEL_LOG2_ELEMS);
        return true;
    case WASM_OP_ELEM_DROP: serve(f, SERVICE(elem_drop), tl->t.void_, fixed, 1, 0); return true;
    default: return false;
    }
}

bool tl_memory(struct tl_func *f, const struct wasm_instr *instr)
{
    const struct tl_types *t = &f->tl->t;
    switch ((unsigned)instr->op) {
    case WASM_OP_I32_LOAD: load(f, instr, WASM_I32, t->i32, false); return true;
    case WASM_OP_I64_LOAD: load(f, instr, WASM_I64, t->i64, false); return true;
    case WASM_OP_F32_LOAD: load(f, instr, WASM_F32, t->f32, false); return true;
    case WASM_OP_F64_LOAD: load(f, instr, WASM_F64, t->f64, false); return true;
    case WASM_OP_I32_LOAD8_S: load(f, instr, WASM_I32, t->i8, true); return true;
    case WASM_OP_I32_LOAD8_U: load(f, instr, WASM_I32, t->i8, false); return true;
    case WASM_OP_I32_LOAD16_S: load(f, instr, WASM_I32, t->i16, true); return true;
    case WASM_OP_I32_LOAD16_U: load(f, instr, WASM_I32, t->i16, false); return true;
    case WASM_OP_I64_LOAD8_S: load(f, instr, WASM_I64, t->i8, true); return true;
    case WASM_OP_I64_LOAD8_U: load(f, instr, WASM_I64, t->i8, false); return true;
    case WASM_OP_I64_LOAD16_S: load(f, instr, WASM_I64, t->i16, true); return true;
    case WASM_OP_I64_LOAD16_U: load(f, instr, WASM_I64, t->i16, false); return true;
    case WASM_OP_I64_LOAD32_S: load(f, instr, WASM_I64, t->i32, true); return true;
    case WASM_OP_I64_LOAD32_U: load(f, instr, WASM_I64, t->i32, false); return true;
    case WASM_OP_I32_STORE: store(f, instr, t->i32); return true;
    case WASM_OP_I64_STORE: store(f, instr, t->i64); return true;
    case WASM_OP_F32_STORE: store(f, instr, t->f32); return true;
    case WASM_OP_F64_STORE: store(f, instr, t->f64); return true;
    case WASM_OP_I32_STORE8:
    case WASM_OP_I64_STORE8: store(f, instr, t->i8); return true;
    case WASM_OP_I32_STORE16:
    case WASM_OP_I64_STORE16: store(f, instr, t->i16); return true;
    case WASM_OP_I64_STORE32: store(f, instr, t->i32); return true;
    case WASM_OP_MEMORY_SIZE: memory_size(f); return true;
    case WASM_OP_MEMORY_GROW: memory_grow(f); return true;
    default: return bulk_memory(f, instr) || table(f, instr);
    }
}
