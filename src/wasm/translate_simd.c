/* translate_simd.c: the vector instructions (core specification 4.3.8 and after), 236 of them.
 *
 * A v128 is kept as whatever vector type its last operation gave; bitcasts between them are free.
 * What LLVM's own vector operations define as WebAssembly does is written with them, so that the
 * optimiser understands it; where x86 has the very instruction and LLVM would have to guess it from
 * a pattern (swizzle, narrow, dot, the rounding multiply, pairwise sums) its intrinsic is used:
 * SSSE3 and SSE4.1 are in every level we compile for. */
#include "wasm/translate_internal.h"

#include "wasm/opcode.h"

static void push(struct tl_func *f, LLVMValueRef value)
{
    tl_push(f, WASM_V128, value);
}

static void push_float(struct tl_func *f, LLVMValueRef value)
{
    tl_push_flags(f, WASM_V128, value, tl_nan_flag(f, LLVMTypeOf(value)));
}

static unsigned lane_count(LLVMTypeRef type)
{
    return LLVMGetVectorSize(type);
}

static LLVMTypeRef lane_type(LLVMTypeRef type)
{
    return LLVMGetElementType(type);
}

static unsigned lane_bits(LLVMTypeRef type)
{
    return 128 / lane_count(type);
}

static LLVMValueRef splat_constant(LLVMTypeRef type, uint64_t number)
{
    LLVMValueRef lanes[16];
    for (unsigned i = 0; i < lane_count(type); i++) {
        lanes[i] = LLVMConstInt(lane_type(type), number, 0);
    }
    return LLVMConstVector(lanes, lane_count(type));
}

static LLVMValueRef splat(struct tl_func *f, LLVMTypeRef type, LLVMValueRef value)
{
    struct tl *tl = f->tl;
    LLVMValueRef one =
        LLVMBuildInsertElement(tl->at, LLVMGetPoison(type), value, tl_i32(tl, 0), "");
    LLVMValueRef mask = LLVMConstNull(LLVMVectorType(tl->t.i32, lane_count(type)));
    return LLVMBuildShuffleVector(tl->at, one, LLVMGetPoison(type), mask, "");
}

/* The value of a lane as the scalar that it travels as: i32 for i8 and i16. */
static LLVMValueRef narrow_to_lane(struct tl_func *f, LLVMTypeRef type, LLVMValueRef value)
{
    return LLVMTypeOf(value) == lane_type(type)
               ? value
               : LLVMBuildTrunc(f->tl->at, value, lane_type(type), "");
}

/* `count` lanes of one vector, from `first` on. */
static LLVMValueRef pick(struct tl_func *f, LLVMValueRef value, unsigned first, unsigned count)
{
    LLVMValueRef mask[16];
    for (unsigned i = 0; i < count; i++) {
        mask[i] = tl_i32(f->tl, first + i);
    }
    return LLVMBuildShuffleVector(f->tl->at, value, LLVMGetPoison(LLVMTypeOf(value)),
                                  LLVMConstVector(mask, count), "");
}

/* Two lanes and two zeroes. */
static LLVMValueRef fill_with_zero(struct tl_func *f, LLVMValueRef two)
{
    LLVMValueRef mask[4];
    for (unsigned i = 0; i < 4; i++) {
        mask[i] = tl_i32(f->tl, i);
    }
    return LLVMBuildShuffleVector(f->tl->at, two, LLVMConstNull(LLVMTypeOf(two)),
                                  LLVMConstVector(mask, 4), "");
}

static LLVMValueRef x86(struct tl_func *f, const char *name, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef args[2] = {a, b};
    return tl_intrinsic(f->tl, name, NULL, 0, args, 2);
}

/* Shapes of operations. */

static void binary(struct tl_func *f, LLVMTypeRef type, LLVMOpcode op)
{
    LLVMValueRef b = tl_pop_as(f, type);
    LLVMValueRef a = tl_pop_as(f, type);
    push(f, LLVMBuildBinOp(f->tl->at, op, a, b, ""));
}

static void binary_intrinsic(struct tl_func *f, LLVMTypeRef type, const char *name)
{
    LLVMValueRef args[2];
    args[1] = tl_pop_as(f, type);
    args[0] = tl_pop_as(f, type);
    push(f, tl_intrinsic(f->tl, name, &type, 1, args, 2));
}

static void compare(struct tl_func *f, LLVMTypeRef type, LLVMIntPredicate predicate)
{
    LLVMValueRef b = tl_pop_as(f, type);
    LLVMValueRef a = tl_pop_as(f, type);
    push(f, LLVMBuildSExt(f->tl->at, LLVMBuildICmp(f->tl->at, predicate, a, b, ""), type, ""));
}

static void shift(struct tl_func *f, LLVMTypeRef type, LLVMOpcode op)
{
    struct tl *tl = f->tl;
    LLVMValueRef count = tl_pop(f);
    count = LLVMBuildAnd(tl->at, count, tl_i32(tl, lane_bits(type) - 1), "");
    count = lane_type(type) == tl->t.i64 ? LLVMBuildZExt(tl->at, count, tl->t.i64, "")
                                         : narrow_to_lane(f, type, count);
    LLVMValueRef value = tl_pop_as(f, type);
    push(f, LLVMBuildBinOp(tl->at, op, value, splat(f, type, count), ""));
}

static void absolute(struct tl_func *f, LLVMTypeRef type)
{
    LLVMValueRef args[2] = {tl_pop_as(f, type), LLVMConstInt(f->tl->t.i1, 0, 0)};
    push(f, tl_intrinsic(f->tl, "llvm.abs", &type, 1, args, 2));
}

static void negate(struct tl_func *f, LLVMTypeRef type)
{
    push(f, LLVMBuildNeg(f->tl->at, tl_pop_as(f, type), ""));
}

/* One bit for each lane, as an integer of so many bits. */
static LLVMValueRef lane_mask(struct tl_func *f, LLVMTypeRef type, LLVMIntPredicate predicate)
{
    struct tl *tl = f->tl;
    LLVMValueRef bits =
        LLVMBuildICmp(tl->at, predicate, tl_pop_as(f, type), LLVMConstNull(type), "");
    return LLVMBuildBitCast(tl->at, bits, LLVMIntTypeInContext(tl->context, lane_count(type)), "");
}

static void all_true(struct tl_func *f, LLVMTypeRef type)
{
    LLVMValueRef mask = lane_mask(f, type, LLVMIntNE);
    LLVMValueRef all = LLVMConstAllOnes(LLVMTypeOf(mask));
    tl_push_bool(f, LLVMBuildICmp(f->tl->at, LLVMIntEQ, mask, all, ""));
}

static void bitmask(struct tl_func *f, LLVMTypeRef type)
{
    LLVMValueRef mask = lane_mask(f, type, LLVMIntSLT);
    tl_push(f, WASM_I32, LLVMBuildZExt(f->tl->at, mask, f->tl->t.i32, ""));
}

static void any_true(struct tl_func *f)
{
    LLVMValueRef all = LLVMBuildBitCast(f->tl->at, tl_pop(f), f->tl->t.i128, "");
    tl_push_bool(f, LLVMBuildICmp(f->tl->at, LLVMIntNE, all, LLVMConstNull(f->tl->t.i128), ""));
}

static void average(struct tl_func *f, LLVMTypeRef type)
{
    struct tl *tl = f->tl;
    unsigned lanes = lane_count(type);
    LLVMTypeRef wide = LLVMVectorType(lanes == 16 ? tl->t.i16 : tl->t.i32, lanes);
    LLVMValueRef b = LLVMBuildZExt(tl->at, tl_pop_as(f, type), wide, "");
    LLVMValueRef a = LLVMBuildZExt(tl->at, tl_pop_as(f, type), wide, "");
    LLVMValueRef one = splat_constant(wide, 1);
    LLVMValueRef sum = LLVMBuildAdd(tl->at, LLVMBuildAdd(tl->at, a, b, ""), one, "");
    push(f, LLVMBuildTrunc(tl->at, LLVMBuildLShr(tl->at, sum, one, ""), type, ""));
}

static LLVMTypeRef twice_as_wide(const struct tl *tl, LLVMTypeRef type)
{
    return type == tl->t.v16i8 ? tl->t.v8i16 : type == tl->t.v8i16 ? tl->t.v4i32 : tl->t.v2i64;
}

/* The low or high half of the lanes, each twice as wide. */
static LLVMValueRef extend_half(struct tl_func *f, LLVMTypeRef type, LLVMValueRef value, bool high,
                                bool is_signed)
{
    struct tl *tl = f->tl;
    unsigned half = lane_count(type) / 2;
    LLVMValueRef lanes = pick(f, value, high ? half : 0, half);
    LLVMTypeRef wide = twice_as_wide(tl, type);
    return is_signed ? LLVMBuildSExt(tl->at, lanes, wide, "")
                     : LLVMBuildZExt(tl->at, lanes, wide, "");
}

static void extend(struct tl_func *f, LLVMTypeRef type, bool high, bool is_signed)
{
    push(f, extend_half(f, type, tl_pop_as(f, type), high, is_signed));
}

static void multiply_extended(struct tl_func *f, LLVMTypeRef type, bool high, bool is_signed)
{
    LLVMValueRef b = extend_half(f, type, tl_pop_as(f, type), high, is_signed);
    LLVMValueRef a = extend_half(f, type, tl_pop_as(f, type), high, is_signed);
    push(f, LLVMBuildMul(f->tl->at, a, b, ""));
}

/* Sums of neighbours: multiply-and-add with ones. pmaddubsw takes its first operand as unsigned and
 * its second as signed; pmaddwd both as signed. */
static void add_pairs(struct tl_func *f, enum wasm_opcode op)
{
    struct tl *tl = f->tl;
    LLVMTypeRef bytes = tl->t.v16i8, words = tl->t.v8i16;
    switch ((unsigned)op) {
    case WASM_OP_I16X8_EXTADD_PAIRWISE_I8X16_S:
        push(f, x86(f, "llvm.x86.ssse3.pmadd.ub.sw.128", splat_constant(bytes, 1),
                    tl_pop_as(f, bytes)));
        break;
    case WASM_OP_I16X8_EXTADD_PAIRWISE_I8X16_U:
        push(f, x86(f, "llvm.x86.ssse3.pmadd.ub.sw.128", tl_pop_as(f, bytes),
                    splat_constant(bytes, 1)));
        break;
    case WASM_OP_I32X4_EXTADD_PAIRWISE_I16X8_S:
        push(f, x86(f, "llvm.x86.sse2.pmadd.wd", tl_pop_as(f, words), splat_constant(words, 1)));
        break;
    default: {
        LLVMTypeRef wide = tl->t.v4i32;
        LLVMValueRef value = tl_pop_as(f, wide);
        LLVMValueRef low = LLVMBuildAnd(tl->at, value, splat_constant(wide, 0xffff), "");
        LLVMValueRef high = LLVMBuildLShr(tl->at, value, splat_constant(wide, 16), "");
        push(f, LLVMBuildAdd(tl->at, low, high, ""));
    }
    }
}

static void binary_x86(struct tl_func *f, LLVMTypeRef type, const char *name)
{
    LLVMValueRef b = tl_pop_as(f, type);
    LLVMValueRef a = tl_pop_as(f, type);
    push(f, x86(f, name, a, b));
}

/* pmulhrsw gives 0x8000 for -1 * -1 only, where 0x7fff is wanted: flip it. */
static void multiply_q15(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMTypeRef type = tl->t.v8i16;
    binary_x86(f, type, "llvm.x86.ssse3.pmul.hr.sw.128");
    LLVMValueRef product = tl_pop(f);
    LLVMValueRef over = LLVMBuildICmp(tl->at, LLVMIntEQ, product, splat_constant(type, 0x8000), "");
    push(f, LLVMBuildXor(tl->at, product, LLVMBuildSExt(tl->at, over, type, ""), ""));
}

/* pshufb gives zero for an index with its top bit set; adding 0x70 with saturation sets it for
 * every index from 16 on and leaves the low four bits of the others. */
static void swizzle(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMTypeRef type = tl->t.v16i8;
    LLVMValueRef args[2] = {tl_pop_as(f, type), splat_constant(type, 0x70)};
    LLVMValueRef index = tl_intrinsic(tl, "llvm.uadd.sat", &type, 1, args, 2);
    LLVMValueRef bytes = tl_pop_as(f, type);
    push(f, x86(f, "llvm.x86.ssse3.pshuf.b.128", bytes, index));
}

static void shuffle(struct tl_func *f, const struct wasm_instr *instr)
{
    struct tl *tl = f->tl;
    LLVMValueRef b = tl_pop_as(f, tl->t.v16i8);
    LLVMValueRef a = tl_pop_as(f, tl->t.v16i8);
    LLVMValueRef mask[16];
    for (unsigned i = 0; i < 16; i++) {
        mask[i] = tl_i32(tl, instr->v128[i]);
    }
    push(f, LLVMBuildShuffleVector(tl->at, a, b, LLVMConstVector(mask, 16), ""));
}

/* LLVM 19's instruction selection can combine integer vectors for ever when it meets constants that
 * no pass has folded before (test/fuzz/corpus/differential/andnot_of_constants.wat). At O0 no pass
 * runs, so there it must not see them. */
static void push_constant(struct tl_func *f, LLVMValueRef value)
{
    bool hide = !f->tl->optimise && LLVMIsConstant(value);
    push(f, hide ? tl_fence(f->tl, value) : value);
}

static void constant(struct tl_func *f, const struct wasm_instr *instr)
{
    uint64_t halves[2];
    __builtin_memcpy(halves, instr->v128, sizeof halves);
    LLVMValueRef lanes[2] = {tl_i64(f->tl, halves[0]), tl_i64(f->tl, halves[1])};
    push_constant(f, LLVMConstVector(lanes, 2));
}

static void bitselect(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef mask = tl_pop_as(f, tl->t.v2i64);
    LLVMValueRef b = tl_pop_as(f, tl->t.v2i64);
    LLVMValueRef a = tl_pop_as(f, tl->t.v2i64);
    LLVMValueRef from_a = LLVMBuildAnd(tl->at, a, mask, "");
    LLVMValueRef from_b = LLVMBuildAnd(tl->at, b, LLVMBuildNot(tl->at, mask, ""), "");
    push(f, LLVMBuildOr(tl->at, from_a, from_b, ""));
}

static void and_not(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef b = LLVMBuildNot(tl->at, tl_pop_as(f, tl->t.v2i64), "");
    LLVMValueRef a = tl_pop_as(f, tl->t.v2i64);
    push(f, LLVMBuildAnd(tl->at, a, b, ""));
}

static void extract(struct tl_func *f, const struct wasm_instr *instr, LLVMTypeRef type,
                    uint8_t result, bool is_signed)
{
    struct tl *tl = f->tl;
    LLVMValueRef lane =
        LLVMBuildExtractElement(tl->at, tl_pop_as(f, type), tl_i32(tl, instr->lane), "");
    LLVMTypeRef wanted = tl_valtype(tl, result);
    if (LLVMTypeOf(lane) != wanted) {
        lane = is_signed ? LLVMBuildSExt(tl->at, lane, wanted, "")
                         : LLVMBuildZExt(tl->at, lane, wanted, "");
    }
    tl_push(f, result, lane);
}

static void replace(struct tl_func *f, const struct wasm_instr *instr, LLVMTypeRef type)
{
    struct tl *tl = f->tl;
    LLVMValueRef lane = narrow_to_lane(f, type, tl_pop(f));
    LLVMValueRef value = tl_pop_as(f, type);
    if (type == tl->t.v4f32 || type == tl->t.v2f64) {
        lane = tl_hidden(tl, lane);
        value = tl_hidden(tl, value);
    }
    push(f, LLVMBuildInsertElement(tl->at, value, lane, tl_i32(tl, instr->lane), ""));
}

static void make_splat(struct tl_func *f, LLVMTypeRef type)
{
    push_constant(f, splat(f, type, narrow_to_lane(f, type, tl_pop(f))));
}

/* Floats. */

static void float_binary(struct tl_func *f, LLVMTypeRef type, LLVMOpcode op)
{
    LLVMValueRef b = tl_pop_number_as(f, type);
    LLVMValueRef a = tl_pop_number_as(f, type);
    push_float(f, tl_float_binary(f, op, a, b));
}

static void float_min_max(struct tl_func *f, LLVMTypeRef type, bool max)
{
    LLVMValueRef b = tl_pop_number_as(f, type);
    LLVMValueRef a = tl_pop_number_as(f, type);
    push_float(f, tl_float_min_max(f, a, b, max));
}

/* pmin is b < a ? b : a, pmax a < b ? b : a: a choice, no arithmetic, NaNs included. */
static void float_choose(struct tl_func *f, LLVMTypeRef type, bool max)
{
    struct tl *tl = f->tl;
    LLVMValueRef b = tl_hidden(tl, tl_pop_as(f, type));
    LLVMValueRef a = tl_hidden(tl, tl_pop_as(f, type));
    LLVMValueRef second = max ? LLVMBuildFCmp(tl->at, LLVMRealOLT, a, b, "")
                              : LLVMBuildFCmp(tl->at, LLVMRealOLT, b, a, "");
    push(f, LLVMBuildSelect(tl->at, second, b, a, ""));
}

static void float_unary(struct tl_func *f, LLVMTypeRef type, const char *name)
{
    LLVMValueRef value = tl_hidden(f->tl, tl_pop_number_as(f, type));
    push_float(f, tl_intrinsic(f->tl, name, &type, 1, &value, 1));
}

static void float_abs(struct tl_func *f, LLVMTypeRef type)
{
    LLVMValueRef value = tl_hidden(f->tl, tl_pop_as(f, type));
    push(f, tl_intrinsic(f->tl, "llvm.fabs", &type, 1, &value, 1));
}

static void float_neg(struct tl_func *f, LLVMTypeRef type)
{
    push(f, LLVMBuildFNeg(f->tl->at, tl_pop_as(f, type), ""));
}

static void float_compare(struct tl_func *f, LLVMTypeRef type, LLVMRealPredicate predicate)
{
    struct tl *tl = f->tl;
    LLVMValueRef b = tl_pop_number_as(f, type);
    LLVMValueRef a = tl_pop_number_as(f, type);
    LLVMTypeRef bits = type == tl->t.v4f32 ? tl->t.v4i32 : tl->t.v2i64;
    push(f, LLVMBuildSExt(tl->at, LLVMBuildFCmp(tl->at, predicate, a, b, ""), bits, ""));
}

/* Conversions. */

static void truncate_sat(struct tl_func *f, LLVMTypeRef from, LLVMTypeRef to, const char *name)
{
    LLVMValueRef value = tl_pop_number_as(f, from);
    LLVMTypeRef types[2] = {to, from};
    LLVMValueRef result = tl_intrinsic(f->tl, name, types, 2, &value, 1);
    push(f, lane_count(to) == 2 ? fill_with_zero(f, result) : result);
}

static void convert(struct tl_func *f, LLVMOpcode op, LLVMTypeRef to)
{
    struct tl *tl = f->tl;
    LLVMValueRef value = tl_pop_as(f, tl->t.v4i32);
    if (lane_count(to) == 2) {
        value = pick(f, value, 0, 2);
    }
    value = LLVMBuildCast(tl->at, op, value, to, "");
    push(f, LLVMIsConstant(value) ? value : tl_opaque(tl, value));
}

static void demote(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef value = tl_opaque(tl, tl_pop_number_as(f, tl->t.v2f64));
    value = fill_with_zero(f, LLVMBuildFPTrunc(tl->at, value, tl->t.v2f32, ""));
    push_float(f, tl_opaque(tl, value));
}

static void promote(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef low = pick(f, tl_pop_number_as(f, tl->t.v4f32), 0, 2);
    push_float(f, LLVMBuildFPExt(tl->at, low, tl->t.v2f64, ""));
}

/* Memory. */

static LLVMValueRef load_scalar(struct tl_func *f, const struct wasm_instr *instr, LLVMTypeRef type)
{
    LLVMValueRef index = tl_pop(f);
    uint32_t bytes = wasm_opcode_table[instr->op].bytes;
    return tl_guest_load(f, index, instr->mem_offset, type, bytes);
}

static void load_extend(struct tl_func *f, const struct wasm_instr *instr, LLVMTypeRef from,
                        LLVMTypeRef to, bool is_signed)
{
    struct tl *tl = f->tl;
    LLVMValueRef value = LLVMBuildBitCast(tl->at, load_scalar(f, instr, tl->t.i64), from, "");
    push(f,
         is_signed ? LLVMBuildSExt(tl->at, value, to, "") : LLVMBuildZExt(tl->at, value, to, ""));
}

static void load_splat(struct tl_func *f, const struct wasm_instr *instr, LLVMTypeRef type)
{
    push(f, splat(f, type, load_scalar(f, instr, lane_type(type))));
}

static void load_zero(struct tl_func *f, const struct wasm_instr *instr, LLVMTypeRef type)
{
    struct tl *tl = f->tl;
    LLVMValueRef value = load_scalar(f, instr, lane_type(type));
    push(f, LLVMBuildInsertElement(tl->at, LLVMConstNull(type), value, tl_i32(tl, 0), ""));
}

static void load_lane(struct tl_func *f, const struct wasm_instr *instr, LLVMTypeRef type)
{
    struct tl *tl = f->tl;
    LLVMValueRef vector = tl_pop_as(f, type);
    LLVMValueRef value = load_scalar(f, instr, lane_type(type));
    push(f, LLVMBuildInsertElement(tl->at, vector, value, tl_i32(tl, instr->mem_lane), ""));
}

static void store_lane(struct tl_func *f, const struct wasm_instr *instr, LLVMTypeRef type)
{
    struct tl *tl = f->tl;
    LLVMValueRef vector = tl_pop_as(f, type);
    LLVMValueRef value = LLVMBuildExtractElement(tl->at, vector, tl_i32(tl, instr->mem_lane), "");
    LLVMValueRef index = tl_pop(f);
    tl_guest_store(f, index, instr->mem_offset, value, wasm_opcode_table[instr->op].bytes);
}

static bool memory(struct tl_func *f, const struct wasm_instr *instr)
{
    const struct tl_types *t = &f->tl->t;
    switch ((unsigned)instr->op) {
    case WASM_OP_V128_LOAD: push(f, load_scalar(f, instr, t->v2i64)); return true;
    case WASM_OP_V128_LOAD8X8_S: load_extend(f, instr, t->v8i8, t->v8i16, true); return true;
    case WASM_OP_V128_LOAD8X8_U: load_extend(f, instr, t->v8i8, t->v8i16, false); return true;
    case WASM_OP_V128_LOAD16X4_S: load_extend(f, instr, t->v4i16, t->v4i32, true); return true;
    case WASM_OP_V128_LOAD16X4_U: load_extend(f, instr, t->v4i16, t->v4i32, false); return true;
    case WASM_OP_V128_LOAD32X2_S: load_extend(f, instr, t->v2i32, t->v2i64, true); return true;
    case WASM_OP_V128_LOAD32X2_U: load_extend(f, instr, t->v2i32, t->v2i64, false); return true;
    case WASM_OP_V128_LOAD8_SPLAT: load_splat(f, instr, t->v16i8); return true;
    case WASM_OP_V128_LOAD16_SPLAT: load_splat(f, instr, t->v8i16); return true;
    case WASM_OP_V128_LOAD32_SPLAT: load_splat(f, instr, t->v4f32); return true;
    case WASM_OP_V128_LOAD64_SPLAT: load_splat(f, instr, t->v2f64); return true;
    case WASM_OP_V128_LOAD32_ZERO: load_zero(f, instr, t->v4i32); return true;
    case WASM_OP_V128_LOAD64_ZERO: load_zero(f, instr, t->v2i64); return true;
    case WASM_OP_V128_LOAD8_LANE: load_lane(f, instr, t->v16i8); return true;
    case WASM_OP_V128_LOAD16_LANE: load_lane(f, instr, t->v8i16); return true;
    case WASM_OP_V128_LOAD32_LANE: load_lane(f, instr, t->v4i32); return true;
    case WASM_OP_V128_LOAD64_LANE: load_lane(f, instr, t->v2i64); return true;
    case WASM_OP_V128_STORE8_LANE: store_lane(f, instr, t->v16i8); return true;
    case WASM_OP_V128_STORE16_LANE: store_lane(f, instr, t->v8i16); return true;
    case WASM_OP_V128_STORE32_LANE: store_lane(f, instr, t->v4i32); return true;
    case WASM_OP_V128_STORE64_LANE: store_lane(f, instr, t->v2i64); return true;
    case WASM_OP_V128_STORE: {
        LLVMValueRef value = tl_pop(f);
        LLVMValueRef index = tl_pop(f);
        tl_guest_store(f, index, instr->mem_offset, value, 16);
        return true;
    }
    default: return false;
    }
}

static bool lanes(struct tl_func *f, const struct wasm_instr *instr)
{
    struct tl *tl = f->tl;
    const struct tl_types *t = &tl->t;
    switch ((unsigned)instr->op) {
    case WASM_OP_V128_CONST: constant(f, instr); return true;
    case WASM_OP_I8X16_SHUFFLE: shuffle(f, instr); return true;
    case WASM_OP_I8X16_SWIZZLE: swizzle(f); return true;
    case WASM_OP_I8X16_SPLAT: make_splat(f, t->v16i8); return true;
    case WASM_OP_I16X8_SPLAT: make_splat(f, t->v8i16); return true;
    case WASM_OP_I32X4_SPLAT: make_splat(f, t->v4i32); return true;
    case WASM_OP_I64X2_SPLAT: make_splat(f, t->v2i64); return true;
    case WASM_OP_F32X4_SPLAT: make_splat(f, t->v4f32); return true;
    case WASM_OP_F64X2_SPLAT: make_splat(f, t->v2f64); return true;
    case WASM_OP_I8X16_EXTRACT_LANE_S: extract(f, instr, t->v16i8, WASM_I32, true); return true;
    case WASM_OP_I8X16_EXTRACT_LANE_U: extract(f, instr, t->v16i8, WASM_I32, false); return true;
    case WASM_OP_I16X8_EXTRACT_LANE_S: extract(f, instr, t->v8i16, WASM_I32, true); return true;
    case WASM_OP_I16X8_EXTRACT_LANE_U: extract(f, instr, t->v8i16, WASM_I32, false); return true;
    case WASM_OP_I32X4_EXTRACT_LANE: extract(f, instr, t->v4i32, WASM_I32, false); return true;
    case WASM_OP_I64X2_EXTRACT_LANE: extract(f, instr, t->v2i64, WASM_I64, false); return true;
    case WASM_OP_F32X4_EXTRACT_LANE: extract(f, instr, t->v4f32, WASM_F32, false); return true;
    case WASM_OP_F64X2_EXTRACT_LANE: extract(f, instr, t->v2f64, WASM_F64, false); return true;
    case WASM_OP_I8X16_REPLACE_LANE: replace(f, instr, t->v16i8); return true;
    case WASM_OP_I16X8_REPLACE_LANE: replace(f, instr, t->v8i16); return true;
    case WASM_OP_I32X4_REPLACE_LANE: replace(f, instr, t->v4i32); return true;
    case WASM_OP_I64X2_REPLACE_LANE: replace(f, instr, t->v2i64); return true;
    case WASM_OP_F32X4_REPLACE_LANE: replace(f, instr, t->v4f32); return true;
    case WASM_OP_F64X2_REPLACE_LANE: replace(f, instr, t->v2f64); return true;
    case WASM_OP_V128_NOT: push(f, LLVMBuildNot(tl->at, tl_pop_as(f, t->v2i64), "")); return true;
    case WASM_OP_V128_AND: binary(f, t->v2i64, LLVMAnd); return true;
    case WASM_OP_V128_ANDNOT: and_not(f); return true;
    case WASM_OP_V128_OR: binary(f, t->v2i64, LLVMOr); return true;
    case WASM_OP_V128_XOR: binary(f, t->v2i64, LLVMXor); return true;
    case WASM_OP_V128_BITSELECT: bitselect(f); return true;
    case WASM_OP_V128_ANY_TRUE: any_true(f); return true;
    default: return false;
    }
}

/* Operations that exist alike for several shapes. */
#define FOR(SHAPE_NAME, type_, NAME, call) \
    case WASM_OP_##SHAPE_NAME##_##NAME: {  \
        LLVMTypeRef type = (type_);        \
        call;                              \
        return true;                       \
    }
#define FOR_I8_I16(NAME, call) FOR(I8X16, t->v16i8, NAME, call) FOR(I16X8, t->v8i16, NAME, call)
#define FOR_I8_I16_I32(NAME, call) FOR_I8_I16(NAME, call) FOR(I32X4, t->v4i32, NAME, call)
#define FOR_INTS(NAME, call) FOR_I8_I16_I32(NAME, call) FOR(I64X2, t->v2i64, NAME, call)
#define FOR_FLOATS(NAME, call) FOR(F32X4, t->v4f32, NAME, call) FOR(F64X2, t->v2f64, NAME, call)

static bool integers(struct tl_func *f, const struct wasm_instr *instr)
{
    const struct tl_types *t = &f->tl->t;
    switch ((unsigned)instr->op) {
        FOR_INTS(EQ, compare(f, type, LLVMIntEQ))
        FOR_INTS(NE, compare(f, type, LLVMIntNE))
        FOR_INTS(LT_S, compare(f, type, LLVMIntSLT))
        FOR_INTS(GT_S, compare(f, type, LLVMIntSGT))
        FOR_INTS(LE_S, compare(f, type, LLVMIntSLE))
        FOR_INTS(GE_S, compare(f, type, LLVMIntSGE))
        FOR_I8_I16_I32(LT_U, compare(f, type, LLVMIntULT))
        FOR_I8_I16_I32(GT_U, compare(f, type, LLVMIntUGT))
        FOR_I8_I16_I32(LE_U, compare(f, type, LLVMIntULE))
        FOR_I8_I16_I32(GE_U, compare(f, type, LLVMIntUGE))
        FOR_INTS(ABS, absolute(f, type))
        FOR_INTS(NEG, negate(f, type))
        FOR_INTS(ALL_TRUE, all_true(f, type))
        FOR_INTS(BITMASK, bitmask(f, type))
        FOR_INTS(SHL, shift(f, type, LLVMShl))
        FOR_INTS(SHR_S, shift(f, type, LLVMAShr))
        FOR_INTS(SHR_U, shift(f, type, LLVMLShr))
        FOR_INTS(ADD, binary(f, type, LLVMAdd))
        FOR_INTS(SUB, binary(f, type, LLVMSub))
        FOR(I16X8, t->v8i16, MUL, binary(f, type, LLVMMul))
        FOR(I32X4, t->v4i32, MUL, binary(f, type, LLVMMul))
        FOR(I64X2, t->v2i64, MUL, binary(f, type, LLVMMul))
        FOR_I8_I16_I32(MIN_S, binary_intrinsic(f, type, "llvm.smin"))
        FOR_I8_I16_I32(MIN_U, binary_intrinsic(f, type, "llvm.umin"))
        FOR_I8_I16_I32(MAX_S, binary_intrinsic(f, type, "llvm.smax"))
        FOR_I8_I16_I32(MAX_U, binary_intrinsic(f, type, "llvm.umax"))
        FOR_I8_I16(ADD_SAT_S, binary_intrinsic(f, type, "llvm.sadd.sat"))
        FOR_I8_I16(ADD_SAT_U, binary_intrinsic(f, type, "llvm.uadd.sat"))
        FOR_I8_I16(SUB_SAT_S, binary_intrinsic(f, type, "llvm.ssub.sat"))
        FOR_I8_I16(SUB_SAT_U, binary_intrinsic(f, type, "llvm.usub.sat"))
        FOR_I8_I16(AVGR_U, average(f, type))
    case WASM_OP_I8X16_POPCNT: {
        LLVMTypeRef type = t->v16i8;
        LLVMValueRef value = tl_pop_as(f, type);
        push(f, tl_intrinsic(f->tl, "llvm.ctpop", &type, 1, &value, 1));
        return true;
    }
    case WASM_OP_I16X8_EXTADD_PAIRWISE_I8X16_S:
    case WASM_OP_I16X8_EXTADD_PAIRWISE_I8X16_U:
    case WASM_OP_I32X4_EXTADD_PAIRWISE_I16X8_S:
    case WASM_OP_I32X4_EXTADD_PAIRWISE_I16X8_U: add_pairs(f, instr->op); return true;
    case WASM_OP_I16X8_Q15MULR_SAT_S: multiply_q15(f); return true;
    case WASM_OP_I32X4_DOT_I16X8_S: binary_x86(f, t->v8i16, "llvm.x86.sse2.pmadd.wd"); return true;
    case WASM_OP_I8X16_NARROW_I16X8_S:
        binary_x86(f, t->v8i16, "llvm.x86.sse2.packsswb.128");
        return true;
    case WASM_OP_I8X16_NARROW_I16X8_U:
        binary_x86(f, t->v8i16, "llvm.x86.sse2.packuswb.128");
        return true;
    case WASM_OP_I16X8_NARROW_I32X4_S:
        binary_x86(f, t->v4i32, "llvm.x86.sse2.packssdw.128");
        return true;
    case WASM_OP_I16X8_NARROW_I32X4_U:
        binary_x86(f, t->v4i32, "llvm.x86.sse41.packusdw");
        return true;
    default: return false;
    }
}

/* The low or the high half of shape FROM, extended to shape TO. */
#define HALVES(TO, FROM, type)                                                             \
    case WASM_OP_##TO##_EXTEND_LOW_##FROM##_S: extend(f, type, false, true); return true;  \
    case WASM_OP_##TO##_EXTEND_HIGH_##FROM##_S: extend(f, type, true, true); return true;  \
    case WASM_OP_##TO##_EXTEND_LOW_##FROM##_U: extend(f, type, false, false); return true; \
    case WASM_OP_##TO##_EXTEND_HIGH_##FROM##_U: extend(f, type, true, false); return true; \
    case WASM_OP_##TO##_EXTMUL_LOW_##FROM##_S: multiply_extended(f, type, false, true);    \
        return true;                                                                       \
    case WASM_OP_##TO##_EXTMUL_HIGH_##FROM##_S: multiply_extended(f, type, true, true);    \
        return true;                                                                       \
    case WASM_OP_##TO##_EXTMUL_LOW_##FROM##_U:                                             \
        multiply_extended(f, type, false, false);                                          \
        return true;                                                                       \
    case WASM_OP_##TO##_EXTMUL_HIGH_##FROM##_U:                                            \
        multiply_extended(f, type, true, false);                                           \
        return true;

static bool halves(struct tl_func *f, const struct wasm_instr *instr)
{
    const struct tl_types *t = &f->tl->t;
    switch ((unsigned)instr->op) {
        HALVES(I16X8, I8X16, t->v16i8)
        HALVES(I32X4, I16X8, t->v8i16)
        HALVES(I64X2, I32X4, t->v4i32)
    default: return false;
    }
}

static bool floats(struct tl_func *f, const struct wasm_instr *instr)
{
    const struct tl_types *t = &f->tl->t;
    switch ((unsigned)instr->op) {
        FOR_FLOATS(EQ, float_compare(f, type, LLVMRealOEQ))
        FOR_FLOATS(NE, float_compare(f, type, LLVMRealUNE))
        FOR_FLOATS(LT, float_compare(f, type, LLVMRealOLT))
        FOR_FLOATS(GT, float_compare(f, type, LLVMRealOGT))
        FOR_FLOATS(LE, float_compare(f, type, LLVMRealOLE))
        FOR_FLOATS(GE, float_compare(f, type, LLVMRealOGE))
        FOR_FLOATS(CEIL, float_unary(f, type, "llvm.ceil"))
        FOR_FLOATS(FLOOR, float_unary(f, type, "llvm.floor"))
        FOR_FLOATS(TRUNC, float_unary(f, type, "llvm.trunc"))
        FOR_FLOATS(NEAREST, float_unary(f, type, "llvm.roundeven"))
        FOR_FLOATS(SQRT, float_unary(f, type, "llvm.sqrt"))
        FOR_FLOATS(ABS, float_abs(f, type))
        FOR_FLOATS(NEG, float_neg(f, type))
        FOR_FLOATS(ADD, float_binary(f, type, LLVMFAdd))
        FOR_FLOATS(SUB, float_binary(f, type, LLVMFSub))
        FOR_FLOATS(MUL, float_binary(f, type, LLVMFMul))
        FOR_FLOATS(DIV, float_binary(f, type, LLVMFDiv))
        FOR_FLOATS(MIN, float_min_max(f, type, false))
        FOR_FLOATS(MAX, float_min_max(f, type, true))
        FOR_FLOATS(PMIN, float_choose(f, type, false))
        FOR_FLOATS(PMAX, float_choose(f, type, true))
    case WASM_OP_I32X4_TRUNC_SAT_F32X4_S:
        truncate_sat(f, t->v4f32, t->v4i32, "llvm.fptosi.sat");
        return true;
    case WASM_OP_I32X4_TRUNC_SAT_F32X4_U:
        truncate_sat(f, t->v4f32, t->v4i32, "llvm.fptoui.sat");
        return true;
    case WASM_OP_I32X4_TRUNC_SAT_F64X2_S_ZERO:
        truncate_sat(f, t->v2f64, t->v2i32, "llvm.fptosi.sat");
        return true;
    case WASM_OP_I32X4_TRUNC_SAT_F64X2_U_ZERO:
        truncate_sat(f, t->v2f64, t->v2i32, "llvm.fptoui.sat");
        return true;
    case WASM_OP_F32X4_CONVERT_I32X4_S: convert(f, LLVMSIToFP, t->v4f32); return true;
    case WASM_OP_F32X4_CONVERT_I32X4_U: convert(f, LLVMUIToFP, t->v4f32); return true;
    case WASM_OP_F64X2_CONVERT_LOW_I32X4_S: convert(f, LLVMSIToFP, t->v2f64); return true;
    case WASM_OP_F64X2_CONVERT_LOW_I32X4_U: convert(f, LLVMUIToFP, t->v2f64); return true;
    case WASM_OP_F32X4_DEMOTE_F64X2_ZERO: demote(f); return true;
    case WASM_OP_F64X2_PROMOTE_LOW_F32X4: promote(f); return true;
    default: return false;
    }
}

bool tl_simd(struct tl_func *f, const struct wasm_instr *instr)
{
    return memory(f, instr) || lanes(f, instr) || integers(f, instr) || halves(f, instr) ||
           floats(f, instr);
}
