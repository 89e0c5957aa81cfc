/* translate_numeric.c: the numeric instructions on i32, i64, f32 and f64 (core specification 4.3).
 *
 * LLVM leaves open what WebAssembly defines, so each such place is closed here: shift counts are
 * masked, division is guarded, conversions are range-checked, min and max are built from
 * comparisons.
 *
 * NaNs. The specification wants results of arithmetic to be quiet; LLVM folds x * 1, x / 1, x - 0
 * and demote(promote x) to x, which hands a signalling NaN on, without optimisation too.
 * llvm.arithmetic.fence, which is no instruction, stops the fold. What has to go through it is
 * every float that LLVM may find to be a constant, now or after a few passes: constants where they
 * meet arithmetic (those that fold away) or are hidden from us (all: in locals, phis, choices and
 * functions of one operand), and what is made of integers, by conversion or by its bits, since the
 * integer may be anything. A float that is neither is the result of arithmetic on fenced operands,
 * or it comes from where LLVM cannot look: a call, a volatile load. Demotion fences its operand
 * itself. In det, which NaN an operation gives must not depend on the code around it: results carry
 * a flag until something looks at their bits, and are then made canonical, once for a whole
 * expression. */
#include "wasm/translate_internal.h"

#include "wasm/opcode.h"

static bool is_double(const struct tl *tl, LLVMTypeRef type)
{
    return type == tl->t.f64 || type == tl->t.v2f64;
}

static LLVMTypeRef int_of(const struct tl *tl, LLVMTypeRef type)
{
    return type == tl->t.f32     ? tl->t.i32
           : type == tl->t.f64   ? tl->t.i64
           : type == tl->t.v4f32 ? tl->t.v4i32
                                 : tl->t.v2i64;
}

uint8_t tl_nan_flag(const struct tl_func *f, LLVMTypeRef type)
{
    const struct tl_types *t = &f->tl->t;
    if (!f->tl->det) {
        return 0;
    }
    if (type == t->f32 || type == t->v4f32) {
        return TL_NAN32;
    }
    return type == t->f64 || type == t->v2f64 ? TL_NAN64 : 0;
}

LLVMValueRef tl_canonical(struct tl_func *f, LLVMValueRef value, uint8_t flags)
{
    struct tl *tl = f->tl;
    LLVMTypeRef type = LLVMTypeOf(value);
    LLVMTypeRef bits_type = int_of(tl, type);
    LLVMValueRef bits;
    if (type == tl->t.f32) {
        bits = tl_i32(tl, 0x7fc00000);
    } else if (type == tl->t.f64) {
        bits = tl_i64(tl, UINT64_C(0x7ff8000000000000));
    } else {
        LLVMValueRef lane =
            flags & TL_NAN32 ? tl_i32(tl, 0x7fc00000) : tl_i64(tl, UINT64_C(0x7ff8000000000000));
        LLVMValueRef lanes[4] = {lane, lane, lane, lane};
        bits = LLVMConstVector(lanes, LLVMGetVectorSize(bits_type));
    }
    LLVMValueRef nan = LLVMConstBitCast(bits, type);
    LLVMValueRef is_nan = LLVMBuildFCmp(tl->at, LLVMRealUNO, value, value, "");
    return LLVMBuildSelect(tl->at, is_nan, nan, value, "");
}

static bool is_float(const struct tl *tl, LLVMTypeRef type)
{
    return type == tl->t.f32 || type == tl->t.f64 || type == tl->t.v4f32 || type == tl->t.v2f64;
}

LLVMValueRef tl_opaque(struct tl *tl, LLVMValueRef value)
{
    /* det makes NaNs canonical, whatever was folded. */
    return tl->det ? value : tl_fence(tl, value);
}

LLVMValueRef tl_fence(struct tl *tl, LLVMValueRef value)
{
    LLVMTypeRef type = LLVMTypeOf(value);
    LLVMTypeRef fenced = is_float(tl, type) ? type : tl->t.v2f64;
    if (fenced != type) {
        value = LLVMBuildBitCast(tl->at, value, fenced, "");
    }
    value = tl_intrinsic(tl, "llvm.arithmetic.fence", &fenced, 1, &value, 1);
    return fenced == type ? value : LLVMBuildBitCast(tl->at, value, type, "");
}

LLVMValueRef tl_hidden(struct tl *tl, LLVMValueRef value)
{
    return LLVMIsConstant(value) ? tl_opaque(tl, value) : value;
}

bool tl_may_fold(const struct tl *tl, LLVMValueRef value)
{
    while (LLVMIsABitCastInst(value)) {
        value = LLVMGetOperand(value, 0);
    }
    if (LLVMIsConstant(value)) {
        return true;
    }
    return !is_float(tl, LLVMTypeOf(value)) && !LLVMIsALoadInst(value) && !LLVMIsAPHINode(value) &&
           !LLVMIsAArgument(value);
}

static bool folds_away(LLVMValueRef constant)
{
    /* A lane of a constant that is no plain number (an undefined one, an expression) has none. */
    if (!constant || !LLVMIsAConstantFP(constant)) {
        return true;
    }
    LLVMBool loses;
    double number = LLVMConstRealGetDouble(constant, &loses);
    return number == 0 || number == 1 || number == -1;
}

LLVMValueRef tl_opaque_constant(struct tl *tl, LLVMValueRef value)
{
    if (LLVMIsAConstantFP(value)) {
        return folds_away(value) ? tl_opaque(tl, value) : value;
    }
    LLVMTypeRef type = LLVMTypeOf(value);
    if ((type != tl->t.v4f32 && type != tl->t.v2f64) || !LLVMIsConstant(value)) {
        return value;
    }
    for (unsigned i = 0; i < LLVMGetVectorSize(type); i++) {
        LLVMValueRef lane = LLVMGetAggregateElement(value, i);
        if (!lane || !LLVMIsAConstantFP(lane) || folds_away(lane)) {
            return tl_opaque(tl, value);
        }
    }
    return value;
}

LLVMValueRef tl_float_binary(struct tl_func *f, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b)
{
    a = tl_opaque_constant(f->tl, a);
    b = tl_opaque_constant(f->tl, b);
    return LLVMBuildBinOp(f->tl->at, op, a, b, "");
}

/* 4.3.3: a NaN from either side (quiet: a sum is), and -0 is less than +0. The two comparisons are
 * minss/maxss in both orders; where the operands differ they agree, and where both are zeroes the
 * bitwise or (and) of the two has the sign that is wanted. */
LLVMValueRef tl_float_min_max(struct tl_func *f, LLVMValueRef a, LLVMValueRef b, bool max)
{
    struct tl *tl = f->tl;
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMTypeRef bits = int_of(tl, type);
    bool chosen = LLVMIsConstant(a) || LLVMIsConstant(b);
    LLVMRealPredicate before = max ? LLVMRealOGT : LLVMRealOLT;
    LLVMValueRef a_first = LLVMBuildFCmp(tl->at, before, a, b, "");
    LLVMValueRef b_first = LLVMBuildFCmp(tl->at, before, b, a, "");
    LLVMValueRef one = LLVMBuildSelect(tl->at, a_first, a, b, "");
    LLVMValueRef two = LLVMBuildSelect(tl->at, b_first, b, a, "");
    LLVMValueRef one_bits = LLVMBuildBitCast(tl->at, one, bits, "");
    LLVMValueRef two_bits = LLVMBuildBitCast(tl->at, two, bits, "");
    LLVMValueRef both = max ? LLVMBuildAnd(tl->at, one_bits, two_bits, "")
                            : LLVMBuildOr(tl->at, one_bits, two_bits, "");
    LLVMValueRef number = LLVMBuildBitCast(tl->at, both, type, "");
    LLVMValueRef nan = tl_float_binary(f, LLVMFAdd, a, b);
    LLVMValueRef any_nan = LLVMBuildFCmp(tl->at, LLVMRealUNO, a, b, "");
    LLVMValueRef result = LLVMBuildSelect(tl->at, any_nan, nan, number, "");
    return chosen ? tl_opaque(tl, result) : result;
}

static void binary(struct tl_func *f, uint8_t type, LLVMOpcode op)
{
    LLVMValueRef b = tl_pop(f);
    LLVMValueRef a = tl_pop(f);
    tl_push(f, type, LLVMBuildBinOp(f->tl->at, op, a, b, ""));
}

static void compare(struct tl_func *f, LLVMIntPredicate predicate)
{
    LLVMValueRef b = tl_pop(f);
    LLVMValueRef a = tl_pop(f);
    tl_push_bool(f, LLVMBuildICmp(f->tl->at, predicate, a, b, ""));
}

static void is_zero(struct tl_func *f)
{
    LLVMValueRef a = tl_pop(f);
    tl_push_bool(f, LLVMBuildICmp(f->tl->at, LLVMIntEQ, a, LLVMConstNull(LLVMTypeOf(a)), ""));
}

static void is_false(struct tl_func *f)
{
    tl_push_bool(f, LLVMBuildNot(f->tl->at, tl_pop_bool(f), ""));
}

static void compare_float(struct tl_func *f, LLVMRealPredicate predicate)
{
    LLVMValueRef b = tl_pop_number(f);
    LLVMValueRef a = tl_pop_number(f);
    tl_push_bool(f, LLVMBuildFCmp(f->tl->at, predicate, a, b, ""));
}

static void shift(struct tl_func *f, uint8_t type, LLVMOpcode op)
{
    struct tl *tl = f->tl;
    LLVMValueRef count = tl_pop(f);
    LLVMValueRef value = tl_pop(f);
    LLVMValueRef mask = LLVMConstInt(LLVMTypeOf(count), type == WASM_I32 ? 31 : 63, 0);
    count = LLVMBuildAnd(tl->at, count, mask, "");
    tl_push(f, type, LLVMBuildBinOp(tl->at, op, value, count, ""));
}

static void rotate(struct tl_func *f, uint8_t type, const char *funnel)
{
    LLVMValueRef count = tl_pop(f);
    LLVMValueRef value = tl_pop(f);
    LLVMTypeRef llvm_type = LLVMTypeOf(value);
    LLVMValueRef args[3] = {value, value, count};
    tl_push(f, type, tl_intrinsic(f->tl, funnel, &llvm_type, 1, args, 3));
}

static void count_zeros(struct tl_func *f, uint8_t type, const char *name)
{
    LLVMValueRef value = tl_pop(f);
    LLVMTypeRef llvm_type = LLVMTypeOf(value);
    LLVMValueRef args[2] = {value, LLVMConstInt(f->tl->t.i1, 0, 0)}; /* defined for zero */
    tl_push(f, type, tl_intrinsic(f->tl, name, &llvm_type, 1, args, 2));
}

static void count_ones(struct tl_func *f, uint8_t type)
{
    LLVMValueRef value = tl_pop(f);
    LLVMTypeRef llvm_type = LLVMTypeOf(value);
    tl_push(f, type, tl_intrinsic(f->tl, "llvm.ctpop", &llvm_type, 1, &value, 1));
}

static LLVMValueRef equals(struct tl_func *f, LLVMValueRef value, uint64_t number)
{
    LLVMValueRef constant = LLVMConstInt(LLVMTypeOf(value), number, 0);
    return LLVMBuildICmp(f->tl->at, LLVMIntEQ, value, constant, "");
}

static void divide(struct tl_func *f, uint8_t type, LLVMOpcode op)
{
    struct tl *tl = f->tl;
    LLVMValueRef b = tl_pop(f);
    LLVMValueRef a = tl_pop(f);
    tl_trap_if(f, equals(f, b, 0), WASM_TRAP_DIVIDE_BY_ZERO);
    if (LLVMIsAConstantInt(b) && LLVMConstIntGetZExtValue(b) == 0) {
        b = LLVMConstInt(LLVMTypeOf(b), 1, 0); /* not reached; x / 0 would be poison */
    }
    LLVMValueRef minus_one =
        LLVMBuildICmp(tl->at, LLVMIntEQ, b, LLVMConstAllOnes(LLVMTypeOf(b)), "");
    if (op == LLVMSDiv) {
        uint64_t least = type == WASM_I32 ? UINT64_C(1) << 31 : UINT64_C(1) << 63;
        LLVMValueRef overflow = LLVMBuildAnd(tl->at, minus_one, equals(f, a, least), "");
        tl_trap_if(f, overflow, WASM_TRAP_INTEGER_OVERFLOW);
        if (LLVMIsAConstantInt(a) && LLVMIsAConstantInt(b) && LLVMIsAConstantInt(overflow) &&
            LLVMConstIntGetZExtValue(overflow)) {
            b = LLVMConstInt(LLVMTypeOf(b), 1, 0);
        }
    } else if (op == LLVMSRem) {
        /* The remainder by -1 is 0, as that by 1; the processor's instruction would fault. */
        b = LLVMBuildSelect(tl->at, minus_one, LLVMConstInt(LLVMTypeOf(b), 1, 0), b, "");
    }
    tl_push(f, type, LLVMBuildBinOp(tl->at, op, a, b, ""));
}

static void float_binary(struct tl_func *f, uint8_t type, LLVMOpcode op)
{
    LLVMValueRef b = tl_pop_number(f);
    LLVMValueRef a = tl_pop_number(f);
    LLVMValueRef result = tl_float_binary(f, op, a, b);
    tl_push_flags(f, type, result, tl_nan_flag(f, LLVMTypeOf(result)));
}

static void float_min_max(struct tl_func *f, uint8_t type, bool max)
{
    LLVMValueRef b = tl_pop_number(f);
    LLVMValueRef a = tl_pop_number(f);
    LLVMValueRef result = tl_float_min_max(f, a, b, max);
    tl_push_flags(f, type, result, tl_nan_flag(f, LLVMTypeOf(result)));
}

/* Rounding and the square root: as arithmetic, a NaN comes out quiet. */
static void float_unary(struct tl_func *f, uint8_t type, const char *name)
{
    LLVMValueRef value = tl_hidden(f->tl, tl_pop_number(f));
    LLVMTypeRef llvm_type = LLVMTypeOf(value);
    LLVMValueRef result = tl_intrinsic(f->tl, name, &llvm_type, 1, &value, 1);
    tl_push_flags(f, type, result, tl_nan_flag(f, llvm_type));
}

/* abs, neg and copysign work on bits: of a NaN too. */
static void float_abs(struct tl_func *f, uint8_t type)
{
    LLVMValueRef value = tl_hidden(f->tl, tl_pop(f));
    LLVMTypeRef llvm_type = LLVMTypeOf(value);
    tl_push(f, type, tl_intrinsic(f->tl, "llvm.fabs", &llvm_type, 1, &value, 1));
}

static void float_neg(struct tl_func *f, uint8_t type)
{
    tl_push(f, type, LLVMBuildFNeg(f->tl->at, tl_pop(f), ""));
}

static void float_copysign(struct tl_func *f, uint8_t type)
{
    LLVMValueRef sign = tl_pop(f);
    LLVMValueRef value = tl_hidden(f->tl, tl_pop(f));
    LLVMTypeRef llvm_type = LLVMTypeOf(value);
    LLVMValueRef args[2] = {value, sign};
    tl_push(f, type, tl_intrinsic(f->tl, "llvm.copysign", &llvm_type, 1, args, 2));
}

/* Float to integer with traps: the open interval of what truncates into range. The bounds are exact
 * in the source type; where one less than the least integer is not, the next float below it is. */
static void truncate_float(struct tl_func *f, uint8_t to, bool is_signed)
{
    struct tl *tl = f->tl;
    LLVMValueRef value = tl_pop_number(f);
    LLVMTypeRef from = LLVMTypeOf(value);
    double low, high;
    if (to == WASM_I32) {
        low = !is_signed ? -1.0 : is_double(tl, from) ? -2147483649.0 : -2147483904.0;
        high = is_signed ? 2147483648.0 : 4294967296.0;
    } else {
        low = !is_signed            ? -1.0
              : is_double(tl, from) ? -9223372036854777856.0
                                    : -9223373136366403584.0;
        high = is_signed ? 9223372036854775808.0 : 18446744073709551616.0;
    }
    LLVMValueRef above = LLVMBuildFCmp(tl->at, LLVMRealOGT, value, LLVMConstReal(from, low), "");
    LLVMValueRef below = LLVMBuildFCmp(tl->at, LLVMRealOLT, value, LLVMConstReal(from, high), "");
    LLVMValueRef fits = LLVMBuildAnd(tl->at, above, below, "");
    LLVMBasicBlockRef good = tl_block(f);
    LLVMBasicBlockRef bad = tl_block(f);
    LLVMValueRef branch = LLVMBuildCondBr(tl->at, LLVMBuildNot(tl->at, fits, ""), bad, good);
    tl_unlikely(tl, branch);
    LLVMPositionBuilderAtEnd(tl->at, bad);
    LLVMValueRef nan = LLVMBuildFCmp(tl->at, LLVMRealUNO, value, value, "");
    tl_trap_if(f, nan, WASM_TRAP_INVALID_CONVERSION);
    tl_trap_if(f, LLVMConstInt(tl->t.i1, 1, 0), WASM_TRAP_INTEGER_OVERFLOW);
    LLVMBuildUnreachable(tl->at);
    LLVMPositionBuilderAtEnd(tl->at, good);
    LLVMTypeRef wanted = tl_valtype(tl, to);
    tl_push(f, to,
            is_signed ? LLVMBuildFPToSI(tl->at, value, wanted, "")
                      : LLVMBuildFPToUI(tl->at, value, wanted, ""));
}

static void truncate_sat(struct tl_func *f, uint8_t to, const char *name)
{
    LLVMValueRef value = tl_pop_number(f);
    LLVMTypeRef types[2] = {tl_valtype(f->tl, to), LLVMTypeOf(value)};
    tl_push(f, to, tl_intrinsic(f->tl, name, types, 2, &value, 1));
}

static void convert(struct tl_func *f, uint8_t to, LLVMOpcode op)
{
    LLVMValueRef value = tl_pop(f);
    tl_push(f, to, LLVMBuildCast(f->tl->at, op, value, tl_valtype(f->tl, to), ""));
}

static void demote(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef value = tl_opaque(tl, tl_pop_number(f));
    LLVMValueRef result = LLVMBuildFPTrunc(tl->at, value, tl->t.f32, "");
    tl_push_flags(f, WASM_F32, result, tl_nan_flag(f, tl->t.f32));
}

static void promote(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef result = LLVMBuildFPExt(tl->at, tl_pop_number(f), tl->t.f64, "");
    tl_push_flags(f, WASM_F64, result, tl_nan_flag(f, tl->t.f64));
}

static void convert_to_float(struct tl_func *f, uint8_t to, LLVMOpcode op)
{
    struct tl *tl = f->tl;
    LLVMValueRef value = LLVMBuildCast(tl->at, op, tl_pop(f), tl_valtype(tl, to), "");
    tl_push(f, to, LLVMIsConstant(value) ? value : tl_opaque(tl, value));
}

static void extend_low(struct tl_func *f, uint8_t type, LLVMTypeRef low)
{
    struct tl *tl = f->tl;
    LLVMValueRef value = LLVMBuildTrunc(tl->at, tl_pop(f), low, "");
    tl_push(f, type, LLVMBuildSExt(tl->at, value, tl_valtype(tl, type), ""));
}

static void float_constant(struct tl_func *f, const struct wasm_instr *instr)
{
    struct tl *tl = f->tl;
    if ((unsigned)instr->op == WASM_OP_F32_CONST) {
        tl_push(f, WASM_F32, LLVMConstBitCast(tl_i32(tl, instr->f32_bits), tl->t.f32));
    } else {
        tl_push(f, WASM_F64, LLVMConstBitCast(tl_i64(tl, instr->f64_bits), tl->t.f64));
    }
}

#define BOTH_INTS(name, call)          \
    case WASM_OP_I32_##name: {         \
        const uint8_t type = WASM_I32; \
        call;                          \
        return true;                   \
    }                                  \
    case WASM_OP_I64_##name: {         \
        const uint8_t type = WASM_I64; \
        call;                          \
        return true;                   \
    }
#define BOTH_FLOATS(name, call)        \
    case WASM_OP_F32_##name: {         \
        const uint8_t type = WASM_F32; \
        call;                          \
        return true;                   \
    }                                  \
    case WASM_OP_F64_##name: {         \
        const uint8_t type = WASM_F64; \
        call;                          \
        return true;                   \
    }
#define BOTH_INT_COMPARES(name, predicate) \
    case WASM_OP_I32_##name:               \
    case WASM_OP_I64_##name:               \
        compare(f, predicate);             \
        return true;
#define BOTH_FLOAT_COMPARES(name, predicate) \
    case WASM_OP_F32_##name:                 \
    case WASM_OP_F64_##name: compare_float(f, predicate); return true;

static bool integer(struct tl_func *f, const struct wasm_instr *instr)
{
    const struct tl_types *t = &f->tl->t;
    switch ((unsigned)instr->op) {
    case WASM_OP_I32_CONST: tl_push(f, WASM_I32, tl_i32(f->tl, (uint32_t)instr->i32)); return true;
    case WASM_OP_I64_CONST: tl_push(f, WASM_I64, tl_i64(f->tl, (uint64_t)instr->i64)); return true;
    case WASM_OP_I32_EQZ: is_false(f); return true;
    case WASM_OP_I64_EQZ:
        is_zero(f);
        return true;
        BOTH_INT_COMPARES(EQ, LLVMIntEQ)
        BOTH_INT_COMPARES(NE, LLVMIntNE)
        BOTH_INT_COMPARES(LT_S, LLVMIntSLT)
        BOTH_INT_COMPARES(LT_U, LLVMIntULT)
        BOTH_INT_COMPARES(GT_S, LLVMIntSGT)
        BOTH_INT_COMPARES(GT_U, LLVMIntUGT)
        BOTH_INT_COMPARES(LE_S, LLVMIntSLE)
        BOTH_INT_COMPARES(LE_U, LLVMIntULE)
        BOTH_INT_COMPARES(GE_S, LLVMIntSGE)
        BOTH_INT_COMPARES(GE_U, LLVMIntUGE)
        BOTH_INTS(CLZ, count_zeros(f, type, "llvm.ctlz"))
        BOTH_INTS(CTZ, count_zeros(f, type, "llvm.cttz"))
        BOTH_INTS(POPCNT, count_ones(f, type))
        BOTH_INTS(ADD, binary(f, type, LLVMAdd))
        BOTH_INTS(SUB, binary(f, type, LLVMSub))
        BOTH_INTS(MUL, binary(f, type, LLVMMul))
        BOTH_INTS(DIV_S, divide(f, type, LLVMSDiv))
        BOTH_INTS(DIV_U, divide(f, type, LLVMUDiv))
        BOTH_INTS(REM_S, divide(f, type, LLVMSRem))
        BOTH_INTS(REM_U, divide(f, type, LLVMURem))
        BOTH_INTS(AND, binary(f, type, LLVMAnd))
        BOTH_INTS(OR, binary(f, type, LLVMOr))
        BOTH_INTS(XOR, binary(f, type, LLVMXor))
        BOTH_INTS(SHL, shift(f, type, LLVMShl))
        BOTH_INTS(SHR_S, shift(f, type, LLVMAShr))
        BOTH_INTS(SHR_U, shift(f, type, LLVMLShr))
        BOTH_INTS(ROTL, rotate(f, type, "llvm.fshl"))
        BOTH_INTS(ROTR, rotate(f, type, "llvm.fshr"))
        BOTH_INTS(EXTEND8_S, extend_low(f, type, t->i8))
        BOTH_INTS(EXTEND16_S, extend_low(f, type, t->i16))
    case WASM_OP_I64_EXTEND32_S: extend_low(f, WASM_I64, t->i32); return true;
    case WASM_OP_I32_WRAP_I64: convert(f, WASM_I32, LLVMTrunc); return true;
    case WASM_OP_I64_EXTEND_I32_S: convert(f, WASM_I64, LLVMSExt); return true;
    case WASM_OP_I64_EXTEND_I32_U: convert(f, WASM_I64, LLVMZExt); return true;
    default: return false;
    }
}

static bool floating(struct tl_func *f, const struct wasm_instr *instr)
{
    switch ((unsigned)instr->op) {
    case WASM_OP_F32_CONST:
    case WASM_OP_F64_CONST:
        float_constant(f, instr);
        return true;
        BOTH_FLOAT_COMPARES(EQ, LLVMRealOEQ)
        BOTH_FLOAT_COMPARES(NE, LLVMRealUNE)
        BOTH_FLOAT_COMPARES(LT, LLVMRealOLT)
        BOTH_FLOAT_COMPARES(GT, LLVMRealOGT)
        BOTH_FLOAT_COMPARES(LE, LLVMRealOLE)
        BOTH_FLOAT_COMPARES(GE, LLVMRealOGE)
        BOTH_FLOATS(ABS, float_abs(f, type))
        BOTH_FLOATS(NEG, float_neg(f, type))
        BOTH_FLOATS(COPYSIGN, float_copysign(f, type))
        BOTH_FLOATS(CEIL, float_unary(f, type, "llvm.ceil"))
        BOTH_FLOATS(FLOOR, float_unary(f, type, "llvm.floor"))
        BOTH_FLOATS(TRUNC, float_unary(f, type, "llvm.trunc"))
        BOTH_FLOATS(NEAREST, float_unary(f, type, "llvm.roundeven"))
        BOTH_FLOATS(SQRT, float_unary(f, type, "llvm.sqrt"))
        BOTH_FLOATS(ADD, float_binary(f, type, LLVMFAdd))
        BOTH_FLOATS(SUB, float_binary(f, type, LLVMFSub))
        BOTH_FLOATS(MUL, float_binary(f, type, LLVMFMul))
        BOTH_FLOATS(DIV, float_binary(f, type, LLVMFDiv))
        BOTH_FLOATS(MIN, float_min_max(f, type, false))
        BOTH_FLOATS(MAX, float_min_max(f, type, true))
    default: return false;
    }
}

static bool conversion(struct tl_func *f, const struct wasm_instr *instr)
{
    switch ((unsigned)instr->op) {
    case WASM_OP_I32_TRUNC_F32_S:
    case WASM_OP_I32_TRUNC_F64_S: truncate_float(f, WASM_I32, true); return true;
    case WASM_OP_I32_TRUNC_F32_U:
    case WASM_OP_I32_TRUNC_F64_U: truncate_float(f, WASM_I32, false); return true;
    case WASM_OP_I64_TRUNC_F32_S:
    case WASM_OP_I64_TRUNC_F64_S: truncate_float(f, WASM_I64, true); return true;
    case WASM_OP_I64_TRUNC_F32_U:
    case WASM_OP_I64_TRUNC_F64_U: truncate_float(f, WASM_I64, false); return true;
    case WASM_OP_I32_TRUNC_SAT_F32_S:
    case WASM_OP_I32_TRUNC_SAT_F64_S: truncate_sat(f, WASM_I32, "llvm.fptosi.sat"); return true;
    case WASM_OP_I32_TRUNC_SAT_F32_U:
    case WASM_OP_I32_TRUNC_SAT_F64_U: truncate_sat(f, WASM_I32, "llvm.fptoui.sat"); return true;
    case WASM_OP_I64_TRUNC_SAT_F32_S:
    case WASM_OP_I64_TRUNC_SAT_F64_S: truncate_sat(f, WASM_I64, "llvm.fptosi.sat"); return true;
    case WASM_OP_I64_TRUNC_SAT_F32_U:
    case WASM_OP_I64_TRUNC_SAT_F64_U: truncate_sat(f, WASM_I64, "llvm.fptoui.sat"); return true;
    case WASM_OP_F32_CONVERT_I32_S:
    case WASM_OP_F32_CONVERT_I64_S: convert_to_float(f, WASM_F32, LLVMSIToFP); return true;
    case WASM_OP_F32_CONVERT_I32_U:
    case WASM_OP_F32_CONVERT_I64_U: convert_to_float(f, WASM_F32, LLVMUIToFP); return true;
    case WASM_OP_F64_CONVERT_I32_S:
    case WASM_OP_F64_CONVERT_I64_S: convert_to_float(f, WASM_F64, LLVMSIToFP); return true;
    case WASM_OP_F64_CONVERT_I32_U:
    case WASM_OP_F64_CONVERT_I64_U: convert_to_float(f, WASM_F64, LLVMUIToFP); return true;
    case WASM_OP_F32_DEMOTE_F64: demote(f); return true;
    case WASM_OP_F64_PROMOTE_F32: promote(f); return true;
    case WASM_OP_I32_REINTERPRET_F32: convert(f, WASM_I32, LLVMBitCast); return true;
    case WASM_OP_I64_REINTERPRET_F64: convert(f, WASM_I64, LLVMBitCast); return true;
    case WASM_OP_F32_REINTERPRET_I32: convert_to_float(f, WASM_F32, LLVMBitCast); return true;
    case WASM_OP_F64_REINTERPRET_I64: convert_to_float(f, WASM_F64, LLVMBitCast); return true;
    default: return false;
    }
}

bool tl_numeric(struct tl_func *f, const struct wasm_instr *instr)
{
    return integer(f, instr) || floating(f, instr) || conversion(f, instr);
}
