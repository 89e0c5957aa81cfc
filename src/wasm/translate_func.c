/* translate_func.c: one function: operands, locals, control flow, calls, traps, fuel, frames.
 *
 * A wasm block becomes an LLVM block only when a branch goes to its end; values that a branch
 * carries become phis there. Code behind an unconditional branch is read and thrown away until the
 * `end` or `else` that can be reached again, so nothing that cannot run is built, whatever its
 * size.
 *
 * Fuel (doc/format/fuel.md). The count lives in an alloca, which the optimiser turns into a
 * register. A straight-line run subtracts its whole cost at its start; the amount is patched in
 * when the run's end is known. budget->fuel is brought up to date before anything that may end the
 * call by a fault or look at it (guest memory accesses in guard and det, calls, services, return);
 * explicit traps do it in their cold block. A negative count is looked for at function entry, at
 * loop heads, before calls that may leave this module, and in operations that are charged by
 * length.
 *
 * Frames (det). The function's entry block is left open until its body is read: only then it is
 * known whether the function calls anything, and one that does not need not write its frame down.
 */
#include "wasm/translate_internal.h"

#include <stddef.h>

#include "wasm/opcode.h"

static const uint8_t one_result[256] = {
#define SELF(type) [type] = (type)
    SELF(WASM_I32),  SELF(WASM_I64),     SELF(WASM_F32),       SELF(WASM_F64),
    SELF(WASM_V128), SELF(WASM_FUNCREF), SELF(WASM_EXTERNREF),
#undef SELF
};

/* Operands. */

void tl_push_flags(struct tl_func *f, uint8_t type, LLVMValueRef value, uint8_t flags)
{
    WM_ASSERT(f->stack.count < f->stack.room); /* max_height was counted by validation */
    f->stack.items[f->stack.count++] = (struct tl_operand){value, type, flags};
}

void tl_push(struct tl_func *f, uint8_t type, LLVMValueRef value)
{
    tl_push_flags(f, type, value, 0);
}

void tl_push_bool(struct tl_func *f, LLVMValueRef i1)
{
    tl_push_flags(f, WASM_I32, i1, TL_BOOL);
}

static struct tl_operand pop_operand(struct tl_func *f)
{
    WM_ASSERT(f->stack.count > 0);
    return f->stack.items[--f->stack.count];
}

static LLVMValueRef exact(struct tl_func *f, struct tl_operand operand)
{
    if (operand.flags & TL_BOOL) {
        return LLVMBuildZExt(f->tl->at, operand.value, f->tl->t.i32, "");
    }
    if (operand.flags & (TL_NAN32 | TL_NAN64)) {
        return tl_canonical(f, operand.value, operand.flags);
    }
    return operand.value;
}

LLVMValueRef tl_pop(struct tl_func *f)
{
    return exact(f, pop_operand(f));
}

LLVMValueRef tl_pop_number(struct tl_func *f)
{
    struct tl_operand operand = pop_operand(f);
    return operand.flags & TL_BOOL ? exact(f, operand) : operand.value;
}

static LLVMValueRef as_type(struct tl_func *f, LLVMValueRef value, LLVMTypeRef type)
{
    return LLVMTypeOf(value) == type ? value : LLVMBuildBitCast(f->tl->at, value, type, "");
}

/* Lanes that were integers, now floats. A constant stays one: who uses it sees that. */
static LLVMValueRef as_lanes(struct tl_func *f, LLVMValueRef value, LLVMTypeRef type)
{
    struct tl *tl = f->tl;
    bool may_fold = (type == tl->t.v4f32 || type == tl->t.v2f64) && tl_may_fold(tl, value);
    value = as_type(f, value, type);
    return may_fold && !LLVMIsConstant(value) ? tl_opaque(tl, value) : value;
}

LLVMValueRef tl_pop_as(struct tl_func *f, LLVMTypeRef type)
{
    return as_lanes(f, tl_pop(f), type);
}

LLVMValueRef tl_pop_number_as(struct tl_func *f, LLVMTypeRef type)
{
    struct tl_operand operand = pop_operand(f);
    uint8_t same = tl_nan_flag(f, type);
    /* Lanes of another width would show which NaN it is. */
    LLVMValueRef value = operand.flags & ~same ? exact(f, operand) : operand.value;
    return as_lanes(f, value, type);
}

LLVMValueRef tl_pop_bool(struct tl_func *f)
{
    struct tl_operand operand = pop_operand(f);
    if (operand.flags & TL_BOOL) {
        return operand.value;
    }
    return LLVMBuildICmp(f->tl->at, LLVMIntNE, operand.value, tl_i32(f->tl, 0), "");
}

/* As the callee, the caller or a global expects it: exact and of its declared type. */
static LLVMValueRef plain(struct tl_func *f, struct tl_operand operand)
{
    LLVMValueRef value = exact(f, operand);
    return operand.type == WASM_V128 ? as_type(f, value, f->tl->t.v2i64) : value;
}

/* The form in which a value crosses into a local or another block: besides, with nothing about it
 * left that a later fold could use to skip the quieting of a NaN. */
static LLVMValueRef settle(struct tl_func *f, struct tl_operand operand)
{
    LLVMValueRef value = exact(f, operand);
    if (operand.type == WASM_F32 || operand.type == WASM_F64) {
        value = tl_hidden(f->tl, value);
    } else if (operand.type == WASM_V128) {
        value =
            as_type(f, tl_may_fold(f->tl, value) ? tl_opaque(f->tl, value) : value, f->tl->t.v2i64);
    }
    return value;
}

static void settle_top(struct tl_func *f, uint32_t count)
{
    WM_ASSERT(f->stack.count >= count);
    for (size_t i = f->stack.count - count; i < f->stack.count; i++) {
        struct tl_operand *operand = &f->stack.items[i];
        operand->value = settle(f, *operand);
        operand->flags = 0;
    }
}

/* Traps. */

LLVMValueRef tl_context_field(struct tl_func *f, uint64_t offset, LLVMTypeRef type)
{
    return tl_invariant(f->tl, f->tl->entry, type, tl_offset(f->tl, f->tl->entry, f->ctx, offset));
}

LLVMValueRef tl_budget(struct tl_func *f)
{
    if (!f->budget) {
        f->budget = tl_context_field(f, offsetof(struct wasm_ctx, budget), f->tl->t.ptr);
    }
    return f->budget;
}

LLVMValueRef tl_fuel_now(struct tl_func *f)
{
    if (f->fuel_epoch != f->epoch) {
        f->fuel_known = LLVMBuildLoad2(f->tl->at, f->tl->t.i64, f->fuel_slot, "");
        f->fuel_epoch = f->epoch;
    }
    return f->fuel_known;
}

static void set_fuel(struct tl_func *f, LLVMValueRef fuel)
{
    LLVMBuildStore(f->tl->at, fuel, f->fuel_slot);
    f->fuel_known = fuel;
    f->fuel_epoch = f->epoch;
}

static LLVMValueRef fuel_place(struct tl_func *f)
{
    LLVMValueRef budget = tl_budget(f);
    return tl_offset(f->tl, f->tl->at, budget, offsetof(struct wasm_budget, fuel));
}

/* Volatile: a fault is no use of memory that LLVM knows of. */
static void store_fuel(struct tl_func *f, LLVMValueRef fuel)
{
    LLVMValueRef place = fuel_place(f);
    LLVMSetVolatile(tl_store(f->tl, f->tl->at, fuel, place, TL_ALIAS_BUDGET), 1);
}

void tl_sync(struct tl_func *f)
{
    if (f->tl->fuel && f->fuel_stale) {
        store_fuel(f, tl_fuel_now(f));
        f->fuel_stale = false;
    }
}

void tl_after_call(struct tl_func *f)
{
    if (f->tl->fuel) {
        LLVMValueRef place = fuel_place(f);
        set_fuel(f, tl_load(f->tl, f->tl->at, f->tl->t.i64, place, TL_ALIAS_BUDGET));
        f->fuel_stale = false;
    }
    tl_refresh_size(f, f->tl->at);
}

/* The block that raises `trap`. One for each kind and function, so that a thousand checks cost one
 * block; with line numbers one for each check, since its address is all that tells where it was. */
static LLVMBasicBlockRef trap_block(struct tl_func *f, enum wasm_trap trap)
{
    struct tl *tl = f->tl;
    if (f->traps[trap] && !f->lines) {
        return f->traps[trap];
    }
    LLVMBasicBlockRef here = LLVMGetInsertBlock(tl->at);
    LLVMBasicBlockRef block = tl_block(f);
    LLVMPositionBuilderAtEnd(tl->at, block);
    if (tl->fuel) {
        store_fuel(f, LLVMBuildLoad2(tl->at, tl->t.i64, f->fuel_slot, ""));
    }
    LLVMValueRef number = LLVMConstInt(tl->t.i8, (unsigned)trap, 0);
    LLVMValueRef call = tl_intrinsic(tl, "llvm.ubsantrap", NULL, 0, &number, 1);
    if (f->lines) {
        LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex, tl->attr_nomerge);
    }
    LLVMBuildUnreachable(tl->at);
    LLVMPositionBuilderAtEnd(tl->at, here);
    f->traps[trap] = block;
    return block;
}

void tl_trap_if(struct tl_func *f, LLVMValueRef cond, enum wasm_trap trap)
{
    struct tl *tl = f->tl;
    if (LLVMIsAConstantInt(cond) && LLVMConstIntGetZExtValue(cond) == 0) {
        return;
    }
    LLVMBasicBlockRef bad = trap_block(f, trap);
    LLVMBasicBlockRef good = tl_block(f);
    tl_unlikely(tl, LLVMBuildCondBr(tl->at, cond, bad, good));
    LLVMPositionBuilderAtEnd(tl->at, good);
}

static void need_fuel(struct tl_func *f)
{
    if (f->tl->fuel) {
        LLVMValueRef negative =
            LLVMBuildICmp(f->tl->at, LLVMIntSLT, tl_fuel_now(f), tl_i64(f->tl, 0), "");
        tl_trap_if(f, negative, WASM_TRAP_OUT_OF_FUEL);
    }
}

void tl_charge(struct tl_func *f, LLVMValueRef amount_i64)
{
    if (f->tl->fuel) {
        set_fuel(f, LLVMBuildSub(f->tl->at, tl_fuel_now(f), amount_i64, ""));
        f->fuel_stale = true;
        need_fuel(f);
    }
}

static void end_run(struct tl_func *f)
{
    if (f->fuel_charge) {
        LLVMSetOperand(f->fuel_charge, 1, tl_i64(f->tl, f->fuel_run));
        f->fuel_charge = NULL;
    }
}

/* The builder folds nothing here: the first operand is no constant. */
static void begin_run(struct tl_func *f)
{
    if (f->tl->fuel) {
        end_run(f);
        f->fuel_charge = LLVMBuildSub(f->tl->at, tl_fuel_now(f), tl_i64(f->tl, 1), "");
        f->fuel_run = 0;
        set_fuel(f, f->fuel_charge);
        f->fuel_stale = true;
    }
}

/* Blocks. */

/* Goes on in a block that several paths lead to: nothing known on one of them holds here. */
static void begin_join(struct tl_func *f, LLVMBasicBlockRef block)
{
    LLVMMoveBasicBlockAfter(block, LLVMGetInsertBlock(f->tl->at)); /* the order of the wasm code */
    LLVMPositionBuilderAtEnd(f->tl->at, block);
    f->epoch++;
    f->fuel_stale = true;
    f->dead = false;
}

static void make_phis(struct tl_func *f, struct tl_frame *frame, uint32_t count,
                      const uint8_t *types)
{
    struct tl *tl = f->tl;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(tl->at);
    LLVMPositionBuilderAtEnd(tl->at, frame->target);
    for (uint32_t i = 0; i < count; i++) {
        LLVMValueRef phi = LLVMBuildPhi(tl->at, tl_valtype(tl, types[i]), "");
        if (i == 0) {
            frame->first_phi = phi;
        }
    }
    LLVMPositionBuilderAtEnd(tl->at, here);
}

static uint32_t branch_arity(const struct tl_frame *frame)
{
    return frame->kind == TL_FRAME_LOOP ? frame->param_count : frame->result_count;
}

/* The block that a branch to `frame` goes to; the top operands, settled, go along from `from`. */
static LLVMBasicBlockRef join(struct tl_func *f, struct tl_frame *frame, LLVMBasicBlockRef from)
{
    if (!frame->target) {
        frame->target = tl_block(f);
        make_phis(f, frame, frame->result_count, frame->results);
    }
    uint32_t arity = branch_arity(frame);
    LLVMValueRef phi = frame->first_phi;
    for (size_t i = f->stack.count - arity; i < f->stack.count; i++) {
        LLVMAddIncoming(phi, &f->stack.items[i].value, &from, 1);
        phi = LLVMGetNextInstruction(phi);
    }
    return frame->target;
}

static struct tl_frame *frame_at(struct tl_func *f, uint32_t label)
{
    WM_ASSERT(label < f->frames.count);
    return &f->frames.items[f->frames.count - 1 - label];
}

static void go_dead(struct tl_func *f)
{
    end_run(f);
    f->dead = true;
    f->dead_depth = 0;
    f->stack.count = f->frames.items[f->frames.count - 1].height;
}

static void jump(struct tl_func *f, struct tl_frame *frame)
{
    settle_top(f, branch_arity(frame));
    LLVMBuildBr(f->tl->at, join(f, frame, LLVMGetInsertBlock(f->tl->at)));
}

static void push_phis(struct tl_func *f, const struct tl_frame *frame, uint32_t count,
                      const uint8_t *types)
{
    LLVMValueRef phi = frame->first_phi;
    for (uint32_t i = 0; i < count; i++) {
        tl_push(f, types[i], phi);
        phi = LLVMGetNextInstruction(phi);
    }
}

static int push_frame(struct tl_func *f, enum tl_frame_kind kind, const struct wasm_instr *instr)
{
    struct tl_frame frame = {.kind = kind};
    if (instr->block.has_type_idx) {
        const struct wasm_functype *type = &f->tl->module->types[instr->block.type_idx];
        frame.param_count = type->param_count;
        frame.params = type->params;
        frame.result_count = type->result_count;
        frame.results = type->results;
    } else if (instr->block.valtype != 0x40) {
        frame.result_count = 1;
        frame.results = &one_result[instr->block.valtype];
    }
    frame.height = f->stack.count - frame.param_count;
    return wm_vec_push(&f->frames, frame);
}

static int begin_block(struct tl_func *f, const struct wasm_instr *instr)
{
    return push_frame(f, TL_FRAME_BLOCK, instr);
}

static int begin_loop(struct tl_func *f, const struct wasm_instr *instr)
{
    int err = push_frame(f, TL_FRAME_LOOP, instr);
    if (err) {
        return err;
    }
    struct tl_frame *frame = frame_at(f, 0);
    frame->target = tl_block(f);
    make_phis(f, frame, frame->param_count, frame->params);
    end_run(f);
    jump(f, frame);
    begin_join(f, frame->target);
    f->stack.count = frame->height;
    push_phis(f, frame, frame->param_count, frame->params);
    begin_run(f);
    need_fuel(f);
    return 0;
}

static int begin_if(struct tl_func *f, const struct wasm_instr *instr)
{
    LLVMValueRef cond = tl_pop_bool(f);
    int err = push_frame(f, TL_FRAME_IF, instr);
    if (err) {
        return err;
    }
    struct tl_frame *frame = frame_at(f, 0);
    settle_top(f, frame->param_count);
    frame->saved = f->saved.count;
    for (uint32_t i = 0; i < frame->param_count; i++) {
        err = wm_vec_push(&f->saved, f->stack.items[frame->height + i]);
        if (err) {
            return err;
        }
    }
    LLVMBasicBlockRef then = tl_block(f);
    frame->otherwise = tl_block(f);
    end_run(f);
    LLVMBuildCondBr(f->tl->at, cond, then, frame->otherwise);
    LLVMPositionBuilderAtEnd(f->tl->at, then);
    begin_run(f);
    return 0;
}

static void begin_otherwise(struct tl_func *f, struct tl_frame *frame)
{
    begin_join(f, frame->otherwise);
    frame->otherwise = NULL;
    f->stack.count = frame->height;
    for (uint32_t i = 0; i < frame->param_count; i++) {
        struct tl_operand saved = f->saved.items[frame->saved + i];
        tl_push(f, saved.type, saved.value);
    }
    f->saved.count = frame->saved;
}

static void on_else(struct tl_func *f)
{
    struct tl_frame *frame = frame_at(f, 0);
    if (!f->dead) {
        end_run(f);
        jump(f, frame);
    }
    begin_otherwise(f, frame);
    begin_run(f);
}

/* Results, fuel and frame as the caller expects them; the first result is left on the stack. */
static void leave(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef first = NULL;
    for (uint32_t i = f->type->result_count; i-- > 0;) {
        LLVMValueRef value = plain(f, pop_operand(f));
        if (i == 0) {
            first = value;
        } else {
            LLVMValueRef place = tl_offset(tl, tl->at, f->more_results, 16 * (uint64_t)(i - 1));
            LLVMSetAlignment(LLVMBuildStore(tl->at, value, place), 8);
        }
    }
    tl_sync(f);
    if (first) {
        LLVMBuildRet(tl->at, first);
    } else {
        LLVMBuildRetVoid(tl->at);
    }
}

static void give_frame_back(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef place =
        tl_offset(tl, tl->at, tl_budget(f), offsetof(struct wasm_budget, frame_left));
    LLVMValueRef left = tl_load(tl, tl->at, tl->t.i64, place, TL_ALIAS_BUDGET);
    LLVMValueRef cost = tl_i64(tl, wasm_frame_cost(f->type, f->body));
    tl_store(tl, tl->at, LLVMBuildAdd(tl->at, left, cost, ""), place, TL_ALIAS_BUDGET);
}

static void on_function_end(struct tl_func *f, struct tl_frame *frame)
{
    end_run(f);
    if (frame->target) {
        if (!f->dead) {
            jump(f, frame);
        }
        begin_join(f, frame->target);
        f->stack.count = frame->height;
        push_phis(f, frame, frame->result_count, frame->results);
    }
    if (!f->dead) {
        if (f->tl->det && f->calls) {
            give_frame_back(f);
        }
        leave(f);
    }
}

static void on_end(struct tl_func *f)
{
    struct tl_frame *frame = frame_at(f, 0);
    if (frame->kind == TL_FRAME_FUNC) {
        on_function_end(f, frame);
        f->frames.count--;
        return;
    }
    if (frame->kind == TL_FRAME_IF && frame->otherwise) {
        /* No `else`: there, the parameters are the results. */
        if (!f->dead) {
            end_run(f);
            jump(f, frame);
        }
        begin_otherwise(f, frame);
        jump(f, frame);
        f->dead = true;
    }
    /* Behind a loop, and behind a block that no branch leaves, the run goes on. */
    if (frame->kind != TL_FRAME_LOOP && frame->target) {
        if (!f->dead) {
            end_run(f);
            jump(f, frame);
        }
        begin_join(f, frame->target);
        f->stack.count = frame->height;
        push_phis(f, frame, frame->result_count, frame->results);
        begin_run(f);
    } else if (frame->kind == TL_FRAME_IF && !f->dead) {
        begin_run(f);
    }
    f->frames.count--;
    if (f->dead) {
        f->stack.count = frame_at(f, 0)->height;
    }
}

static void on_br_if(struct tl_func *f, uint32_t label)
{
    LLVMValueRef cond = tl_pop_bool(f);
    struct tl_frame *frame = frame_at(f, label);
    settle_top(f, branch_arity(frame));
    end_run(f);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(f->tl->at);
    LLVMBasicBlockRef there = join(f, frame, here);
    LLVMBasicBlockRef on = tl_block(f);
    LLVMBuildCondBr(f->tl->at, cond, there, on);
    LLVMPositionBuilderAtEnd(f->tl->at, on);
    begin_run(f);
}

/* Labels may be many and mostly the same. A label that carries values goes through a block of its
 * own, one for each different target, so that a phi has one entry for it and not one for each
 * label. */
static LLVMBasicBlockRef table_target(struct tl_func *f, struct tl_frame *frame)
{
    if (branch_arity(frame) == 0) {
        return join(f, frame, NULL);
    }
    if (frame->stamp != f->stamp) {
        frame->stamp = f->stamp;
        frame->stamp_block = tl_block(f);
        LLVMBasicBlockRef here = LLVMGetInsertBlock(f->tl->at);
        LLVMPositionBuilderAtEnd(f->tl->at, frame->stamp_block);
        LLVMBuildBr(f->tl->at, join(f, frame, frame->stamp_block));
        LLVMPositionBuilderAtEnd(f->tl->at, here);
    }
    return frame->stamp_block;
}

static void on_br_table(struct tl_func *f, const struct wasm_instr *instr)
{
    struct tl *tl = f->tl;
    LLVMValueRef index = tl_pop(f);
    f->stamp++;
    struct wm_view labels = instr->labels;
    uint32_t fallback = 0;
    for (uint32_t i = 0; i <= instr->count; i++) {
        fallback = wasm_instr_label(&labels);
    }
    struct tl_frame *last = frame_at(f, fallback);
    settle_top(f, branch_arity(last)); /* all labels carry as much */
    LLVMBasicBlockRef otherwise = table_target(f, last);
    LLVMValueRef choice = LLVMBuildSwitch(tl->at, index, otherwise, instr->count);
    labels = instr->labels;
    for (uint32_t i = 0; i < instr->count; i++) {
        struct tl_frame *frame = frame_at(f, wasm_instr_label(&labels));
        if (frame != last) {
            LLVMAddCase(choice, tl_i32(tl, i), table_target(f, frame));
        }
    }
    go_dead(f);
}

/* Calls. */

static int push_arg(struct tl_func *f, LLVMValueRef value)
{
    return wm_vec_push(&f->args, value);
}

static LLVMValueRef more_buffer(struct tl_func *f, uint32_t count)
{
    struct tl *tl = f->tl;
    if (f->more_room < count) { /* at least doubled, so that all of them together stay small */
        f->more_room = count > 2 * f->more_room ? count : 2 * f->more_room;
        LLVMTypeRef type = LLVMArrayType2(tl->t.v2i64, f->more_room);
        f->more_buffer = LLVMBuildAlloca(tl->entry, type, "");
        LLVMSetAlignment(f->more_buffer, 16);
    }
    return f->more_buffer;
}

/* Hands the arguments over: in registers, the rest at more_params. */
static int pass_args(struct tl_func *f, const struct wasm_functype *type,
                     const struct tl_type *places, LLVMValueRef ctx, bool tail)
{
    struct tl *tl = f->tl;
    uint32_t memory = places->memory_count, results = type->result_count;
    uint32_t more_results = results > 1 ? results - 1 : 0;
    LLVMValueRef buffer = NULL;
    if (tail && memory) {
        buffer = tl_offset(tl, tl->at, tl_budget(f), offsetof(struct wasm_budget, tail_params));
    } else if (!tail && (memory || more_results)) {
        /* One buffer for both: the callee has read its parameters when it writes results. */
        buffer = more_buffer(f, memory > more_results ? memory : more_results);
    }
    f->args.count = 0;
    int err = push_arg(f, ctx);
    size_t first = f->stack.count - type->param_count;
    for (uint32_t i = 0; !err && i < type->param_count; i++) {
        LLVMValueRef value = plain(f, f->stack.items[first + i]);
        if (places->places[i] < TL_IN_MEMORY) {
            err = push_arg(f, value);
        } else {
            uint64_t at = 16 * (uint64_t)(places->places[i] - TL_IN_MEMORY);
            LLVMSetAlignment(LLVMBuildStore(tl->at, value, tl_offset(tl, tl->at, buffer, at)), 8);
        }
    }
    f->stack.count = first;
    if (!err && memory) {
        err = push_arg(f, buffer);
    }
    if (!err && more_results) {
        err = push_arg(f, tail ? f->more_results : buffer);
    }
    return err;
}

/* A tail call is one because all its arguments are in registers, its result is the caller's, and
 * nothing stands between it and the return: LLVM then emits a jump, at every level of optimisation.
 * (musttail would promise the same, but for equal parameters or for tailcc only; see abi.h.) */
static int emit_call(struct tl_func *f, uint32_t type_idx, LLVMValueRef code, LLVMValueRef ctx,
                     bool tail)
{
    struct tl *tl = f->tl;
    const struct wasm_functype *type = &tl->module->types[type_idx];
    const struct tl_type *places = tl_type(tl, type_idx);
    int err = places && code ? pass_args(f, type, places, ctx, tail) : -ENOMEM;
    if (err) {
        return err;
    }
    f->calls = true;
    tl_sync(f);
    if (tail && tl->det) {
        give_frame_back(f);
    }
    LLVMValueRef call =
        LLVMBuildCall2(tl->at, places->llvm, code, f->args.items, (unsigned)f->args.count, "");
    LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex, tl->attr_nounwind);
    if (tail) {
        LLVMSetTailCallKind(call, LLVMTailCallKindTail);
        if (type->result_count) {
            LLVMBuildRet(tl->at, call);
        } else {
            LLVMBuildRetVoid(tl->at);
        }
        go_dead(f);
        return 0;
    }
    tl_after_call(f);
    if (type->result_count) {
        tl_push(f, type->results[0], call);
    }
    for (uint32_t i = 1; i < type->result_count; i++) {
        LLVMValueRef place = tl_offset(tl, tl->at, f->more_buffer, 16 * (uint64_t)(i - 1));
        LLVMTypeRef result = tl_valtype(tl, type->results[i]);
        LLVMValueRef value = LLVMBuildLoad2(tl->at, result, place, "");
        LLVMSetAlignment(value, 8);
        tl_push(f, type->results[i], value);
    }
    return 0;
}

static int on_call(struct tl_func *f, uint32_t func_idx, bool tail)
{
    struct tl *tl = f->tl;
    const struct wasm_module *module = tl->module;
    uint32_t type_idx = module->func_types[func_idx];
    if (func_idx >= module->imported_funcs) {
        return emit_call(f, type_idx, tl_declare(tl, func_idx), f->ctx, tail);
    }
    if (tl->inlines[func_idx]) {
        tl->inlines[func_idx]->emit(f);
        if (tail) {
            jump(f, &f->frames.items[0]);
            go_dead(f);
        }
        return 0;
    }
    need_fuel(f);
    uint64_t at = tl->layout.imports + sizeof(struct wasm_import_func) * (uint64_t)func_idx;
    LLVMValueRef import = tl_offset(tl, tl->at, f->ctx, at);
    LLVMValueRef code = tl_invariant(tl, tl->at, tl->t.ptr, import);
    LLVMValueRef ctx_place = tl_offset(tl, tl->at, import, offsetof(struct wasm_import_func, ctx));
    LLVMValueRef ctx = tl_invariant(tl, tl->at, tl->t.ptr, ctx_place);
    return emit_call(f, type_idx, code, ctx, tail);
}

static int on_call_indirect(struct tl_func *f, uint32_t type_idx, uint32_t table_idx, bool tail)
{
    struct tl *tl = f->tl;
    uint32_t canon = tl->module->type_canon[type_idx];
    LLVMValueRef index = tl_pop(f);
    need_fuel(f);
    LLVMValueRef wide = LLVMBuildZExt(tl->at, index, tl->t.i64, "");
    LLVMValueRef cells = tl_table_cells(f, table_idx);
    LLVMValueRef size;
    if (tl->tables[table_idx].fixed_size) {
        size = tl_i64(tl, tl->module->tables[table_idx].limits.min);
    } else {
        LLVMValueRef place = tl_offset(tl, tl->at, cells, offsetof(struct wasm_table_cells, size));
        size = tl_load(tl, tl->at, tl->t.i64, place, TL_ALIAS_CELL);
    }
    LLVMValueRef outside = LLVMBuildICmp(tl->at, LLVMIntUGE, wide, size, "");
    tl_trap_if(f, outside, WASM_TRAP_UNDEFINED_ELEMENT);

    LLVMValueRef elems =
        tl_invariant(tl, tl->at, tl->t.ptr,
                     tl_offset(tl, tl->at, cells, offsetof(struct wasm_table_cells, elems)));
    LLVMValueRef scaled = LLVMBuildShl(tl->at, wide, tl_i64(tl, 5), "");
    LLVMValueRef elem = LLVMBuildGEP2(tl->at, tl->t.i8, elems, &scaled, 1, "");
    LLVMValueRef id_place = tl_offset(tl, tl->at, elem, offsetof(struct wasm_table_elem, type_id));
    LLVMValueRef id = tl_load(tl, tl->at, tl->t.i32, id_place, TL_ALIAS_CELL);
    if (!f->type_ids) {
        f->type_ids = tl_context_field(f, offsetof(struct wasm_ctx, type_ids), tl->t.ptr);
    }
    LLVMValueRef wanted = tl_invariant(tl, tl->at, tl->t.i32,
                                       tl_offset(tl, tl->at, f->type_ids, 4 * (uint64_t)canon));
    LLVMBasicBlockRef bad = tl_block(f);
    LLVMBasicBlockRef good = tl_block(f);
    LLVMValueRef differs = LLVMBuildICmp(tl->at, LLVMIntNE, id, wanted, "");
    tl_unlikely(tl, LLVMBuildCondBr(tl->at, differs, bad, good));
    LLVMPositionBuilderAtEnd(tl->at, bad);
    LLVMValueRef empty = LLVMBuildICmp(tl->at, LLVMIntEQ, id, tl_i32(tl, 0), "");
    LLVMBasicBlockRef missing = trap_block(f, WASM_TRAP_UNINITIALIZED_ELEMENT);
    LLVMBuildCondBr(tl->at, empty, missing, trap_block(f, WASM_TRAP_TYPE_MISMATCH));
    LLVMPositionBuilderAtEnd(tl->at, good);

    LLVMValueRef code = tl_load(tl, tl->at, tl->t.ptr, elem, TL_ALIAS_CELL);
    LLVMValueRef ctx = f->ctx;
    if (!tl->module->tables_closed[table_idx]) {
        LLVMValueRef place = tl_offset(tl, tl->at, elem, offsetof(struct wasm_table_elem, ctx));
        ctx = tl_load(tl, tl->at, tl->t.ptr, place, TL_ALIAS_CELL);
    }
    return emit_call(f, type_idx, code, ctx, tail);
}

LLVMValueRef tl_service(struct tl_func *f, size_t offset, LLVMTypeRef result, LLVMValueRef *args,
                        LLVMTypeRef *types, unsigned count)
{
    struct tl *tl = f->tl;
    if (!f->services) {
        f->services = tl_context_field(f, offsetof(struct wasm_ctx, services), tl->t.ptr);
    }
    tl_sync(f);
    LLVMValueRef code =
        tl_invariant(tl, tl->at, tl->t.ptr, tl_offset(tl, tl->at, f->services, offset));
    LLVMTypeRef type = LLVMFunctionType(result, types, count, 0);
    LLVMValueRef call = LLVMBuildCall2(tl->at, type, code, args, count, "");
    LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex, tl->attr_nounwind);
    return call;
}

/* Variables. */

static uint8_t local_type(const struct tl_func *f, uint32_t idx)
{
    if (idx < f->type->param_count) {
        return f->type->params[idx];
    }
    /* The first run that ends behind it. */
    uint32_t wanted = idx - f->type->param_count;
    size_t low = 0, high = f->run_ends.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->run_ends.items[middle] <= wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    WM_ASSERT(low < f->run_ends.count);
    return f->body->local_runs[low].valtype;
}

/* Built at the end of the entry block, so before anything that could change more_params. */
static LLVMValueRef first_value(struct tl_func *f, uint32_t idx, LLVMTypeRef type)
{
    struct tl *tl = f->tl;
    if (idx >= f->type->param_count) {
        return LLVMConstNull(type);
    }
    uint32_t place = f->places->places[idx];
    if (place < TL_IN_MEMORY) {
        return LLVMGetParam(f->llvm, place);
    }
    uint64_t at = 16 * (uint64_t)(place - TL_IN_MEMORY);
    LLVMValueRef value =
        LLVMBuildLoad2(tl->entry, type, tl_offset(tl, tl->entry, f->more_params, at), "");
    LLVMSetAlignment(value, 8);
    return value;
}

/* A body of a few bytes may declare 50,000 locals: only those that it uses cost anything. */
static struct tl_local *local_at(struct tl_func *f, uint32_t idx)
{
    struct tl *tl = f->tl;
    struct tl_local *local = &f->locals[idx];
    if (!local->slot) {
        local->type = local_type(f, idx);
        LLVMTypeRef type = tl_valtype(tl, local->type);
        local->slot = LLVMBuildAlloca(tl->entry, type, "");
        LLVMValueRef value = first_value(f, idx, type);
        if (local->type == WASM_F32 || local->type == WASM_F64 || local->type == WASM_V128) {
            LLVMBuilderRef at = tl->at;
            tl->at = tl->entry;
            value = tl_hidden(tl, value); /* zero */
            tl->at = at;
        }
        LLVMBuildStore(tl->entry, value, local->slot);
        local->epoch = 0;
        if (wm_vec_push(&f->locals_used, idx) != 0) {
            f->short_of_memory = true;
        }
    }
    return local;
}

static void on_local_get(struct tl_func *f, uint32_t idx)
{
    struct tl_local *local = local_at(f, idx);
    if (local->epoch != f->epoch) {
        LLVMTypeRef type = tl_valtype(f->tl, local->type);
        local->known = LLVMBuildLoad2(f->tl->at, type, local->slot, "");
        local->epoch = f->epoch;
    }
    tl_push(f, local->type, local->known);
}

static void on_local_set(struct tl_func *f, uint32_t idx)
{
    struct tl_local *local = local_at(f, idx);
    local->known = settle(f, pop_operand(f));
    local->epoch = f->epoch;
    LLVMBuildStore(f->tl->at, local->known, local->slot);
}

static void on_local_tee(struct tl_func *f, uint32_t idx)
{
    on_local_set(f, idx);
    tl_push(f, f->locals[idx].type, f->locals[idx].known);
}

static bool global_constant(struct tl_func *f, uint32_t idx)
{
    struct tl *tl = f->tl;
    const struct wasm_global *global = &tl->module->globals[idx];
    if (global->type.is_mutable || idx < tl->module->imported_globals ||
        global->init.kind != WASM_CONST_VALUE || wasm_is_ref(global->type.valtype)) {
        return false;
    }
    const union wasm_value *value = &global->init.value;
    LLVMValueRef bits;
    switch (global->type.valtype) {
    case WASM_I32: bits = tl_i32(tl, value->i32); break;
    case WASM_F32: bits = LLVMConstBitCast(tl_i32(tl, value->f32_bits), tl->t.f32); break;
    case WASM_I64: bits = tl_i64(tl, value->i64); break;
    case WASM_F64: bits = LLVMConstBitCast(tl_i64(tl, value->f64_bits), tl->t.f64); break;
    default: {
        LLVMValueRef lanes[2] = {tl_i64(tl, value->v128[0]), tl_i64(tl, value->v128[1])};
        bits = LLVMConstVector(lanes, 2);
    }
    }
    tl_push(f, global->type.valtype, bits);
    return true;
}

static LLVMValueRef global_place(struct tl_func *f, uint32_t idx)
{
    struct tl *tl = f->tl;
    LLVMValueRef place = tl_offset(tl, tl->at, f->ctx, tl->layout.globals + 16 * (uint64_t)idx);
    if (idx < tl->module->imported_globals) {
        place = tl_invariant(tl, tl->at, tl->t.ptr, place);
    }
    return place;
}

static void on_global_get(struct tl_func *f, uint32_t idx)
{
    struct tl *tl = f->tl;
    const struct wasm_globaltype *global = &tl->module->globals[idx].type;
    if (global_constant(f, idx)) {
        return;
    }
    LLVMValueRef place = global_place(f, idx);
    LLVMTypeRef type = tl_valtype(tl, global->valtype);
    LLVMValueRef value = global->is_mutable ? tl_load(tl, tl->at, type, place, TL_ALIAS_GLOBAL)
                                            : tl_invariant(tl, tl->at, type, place);
    if (global->is_mutable && (global->valtype == WASM_F32 || global->valtype == WASM_F64 ||
                               global->valtype == WASM_V128)) {
        value = tl_opaque(tl, value); /* LLVM remembers what was stored */
    }
    tl_push(f, global->valtype, value);
}

static void on_global_set(struct tl_func *f, uint32_t idx)
{
    LLVMValueRef value = plain(f, pop_operand(f));
    LLVMValueRef place = global_place(f, idx);
    tl_store(f->tl, f->tl->at, value, place, TL_ALIAS_GLOBAL);
}

/* References and the parametric instructions. */

static LLVMTypeRef vector_of(const struct tl_operand *a, const struct tl_operand *b, struct tl *tl)
{
    return LLVMTypeOf(a->value) == LLVMTypeOf(b->value) ? LLVMTypeOf(a->value) : tl->t.v2i64;
}

static void on_select(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMValueRef cond = tl_pop_bool(f);
    struct tl_operand b = pop_operand(f);
    struct tl_operand a = pop_operand(f);
    if (a.flags != b.flags) {
        a.value = exact(f, a);
        b.value = exact(f, b);
        a.flags = 0;
    }
    if (a.type == WASM_V128) {
        LLVMTypeRef type = a.flags ? LLVMTypeOf(a.value) : vector_of(&a, &b, tl);
        a.value = as_type(f, a.value, type);
        b.value = as_type(f, b.value, type);
    }
    if (a.type == WASM_F32 || a.type == WASM_F64 || a.type == WASM_V128) {
        a.value = tl_hidden(tl, a.value);
        b.value = tl_hidden(tl, b.value);
    }
    tl_push_flags(f, a.type, LLVMBuildSelect(tl->at, cond, a.value, b.value, ""), a.flags);
}

static void on_ref_func(struct tl_func *f, uint32_t func_idx)
{
    struct tl *tl = f->tl;
    LLVMValueRef args[2] = {f->ctx, tl_i32(tl, func_idx)};
    LLVMTypeRef types[2] = {tl->t.ptr, tl->t.i32};
    LLVMValueRef bits =
        tl_service(f, offsetof(struct wasm_services, ref_func), tl->t.i64, args, types, 2);
    tl_push(f, WASM_FUNCREF, LLVMBuildIntToPtr(tl->at, bits, tl->t.ptr, ""));
}

static void on_ref_is_null(struct tl_func *f)
{
    tl_push_bool(f, LLVMBuildIsNull(f->tl->at, tl_pop(f), ""));
}

/* Cost of one instruction; doc/format/fuel.md, version 1. */
static uint64_t cost_of(enum wasm_opcode op)
{
    unsigned code = op;
    return code == WASM_OP_NOP || code == WASM_OP_BLOCK || code == WASM_OP_LOOP ||
                   code == WASM_OP_ELSE || code == WASM_OP_END || code == WASM_OP_DROP
               ? 0
               : 1;
}

/* True when `instr` lies in code that cannot be reached and is done with. */
static bool skip(struct tl_func *f, const struct wasm_instr *instr)
{
    if (!f->dead) {
        return false;
    }
    switch ((unsigned)instr->op) {
    case WASM_OP_BLOCK:
    case WASM_OP_LOOP:
    case WASM_OP_IF: f->dead_depth++; return true;
    case WASM_OP_ELSE: return f->dead_depth > 0;
    case WASM_OP_END:
        if (f->dead_depth > 0) {
            f->dead_depth--;
            return true;
        }
        return false;
    default: return true;
    }
}

static int other(struct tl_func *f, const struct wasm_instr *instr)
{
    bool done = (unsigned)instr->op >= 0x200 ? tl_simd(f, instr)
                                             : tl_memory(f, instr) || tl_numeric(f, instr);
    WM_ASSERT(done); /* validated, so a known instruction */
    return 0;
}

static int translate(struct tl_func *f, const struct wasm_instr *instr)
{
    struct tl *tl = f->tl;
    switch ((unsigned)instr->op) {
    case WASM_OP_UNREACHABLE:
        LLVMBuildBr(tl->at, trap_block(f, WASM_TRAP_UNREACHABLE));
        go_dead(f);
        return 0;
    case WASM_OP_NOP: return 0;
    case WASM_OP_BLOCK: return begin_block(f, instr);
    case WASM_OP_LOOP: return begin_loop(f, instr);
    case WASM_OP_IF: return begin_if(f, instr);
    case WASM_OP_ELSE: on_else(f); return 0;
    case WASM_OP_END: on_end(f); return 0;
    case WASM_OP_BR:
        jump(f, frame_at(f, instr->idx));
        go_dead(f);
        return 0;
    case WASM_OP_BR_IF: on_br_if(f, instr->idx); return 0;
    case WASM_OP_BR_TABLE: on_br_table(f, instr); return 0;
    case WASM_OP_RETURN:
        jump(f, &f->frames.items[0]);
        go_dead(f);
        return 0;
    case WASM_OP_CALL: return on_call(f, instr->idx, false);
    case WASM_OP_RETURN_CALL: return on_call(f, instr->idx, true);
    case WASM_OP_CALL_INDIRECT: return on_call_indirect(f, instr->idx, instr->idx2, false);
    case WASM_OP_RETURN_CALL_INDIRECT: return on_call_indirect(f, instr->idx, instr->idx2, true);
    case WASM_OP_DROP: (void)pop_operand(f); return 0;
    case WASM_OP_SELECT:
    case WASM_OP_SELECT_TYPED: on_select(f); return 0;
    case WASM_OP_LOCAL_GET: on_local_get(f, instr->idx); return 0;
    case WASM_OP_LOCAL_SET: on_local_set(f, instr->idx); return 0;
    case WASM_OP_LOCAL_TEE: on_local_tee(f, instr->idx); return 0;
    case WASM_OP_GLOBAL_GET: on_global_get(f, instr->idx); return 0;
    case WASM_OP_GLOBAL_SET: on_global_set(f, instr->idx); return 0;
    case WASM_OP_REF_NULL:
        tl_push(f, instr->ref_type, LLVMConstNull(tl_valtype(tl, instr->ref_type)));
        return 0;
    case WASM_OP_REF_IS_NULL: on_ref_is_null(f); return 0;
    case WASM_OP_REF_FUNC: on_ref_func(f, instr->idx); return 0;
    default: return other(f, instr);
    }
}

static void set_location(struct tl_func *f)
{
    struct tl *tl = f->tl;
    LLVMMetadataRef place =
        LLVMDIBuilderCreateDebugLocation(tl->context, f->offset, 0, f->debug_scope, NULL);
    LLVMSetCurrentDebugLocation2(tl->at, place);
}

static void begin_debug(struct tl_func *f)
{
    struct tl *tl = f->tl;
    size_t len;
    const char *name = LLVMGetValueName2(f->llvm, &len);
    f->debug_scope = LLVMDIBuilderCreateFunction(
        tl->debug, tl->debug_unit, name, len, name, len, tl->debug_file, f->body->code_offset,
        tl->debug_type, 1, 1, f->body->code_offset, LLVMDIFlagZero, tl->optimise);
    LLVMSetSubprogram(f->llvm, f->debug_scope);
    set_location(f);
    LLVMSetCurrentDebugLocation2(tl->entry, LLVMGetCurrentDebugLocation2(tl->at));
}

static int make_room(struct tl_func *f)
{
    size_t wanted = (size_t)f->body->max_height + 1;
    if (f->stack.room < wanted) {
        struct tl_operand *items = wm_realloc(f->stack.items, wanted, sizeof *items);
        if (!items) {
            return -ENOMEM;
        }
        f->stack.items = items;
        f->stack.room = wanted;
    }
    f->run_ends.count = 0;
    uint32_t end = 0;
    int err = 0;
    for (uint32_t i = 0; !err && i < f->body->local_run_count; i++) {
        end += f->body->local_runs[i].count;
        err = wm_vec_push(&f->run_ends, end);
    }
    return err;
}

static int begin(struct tl_func *f, uint32_t body_idx)
{
    struct tl *tl = f->tl;
    f->body = &tl->module->bodies[body_idx];
    f->type = &tl->module->types[f->body->type_idx];
    f->func_idx = tl->module->imported_funcs + body_idx;
    f->llvm = tl_declare(tl, f->func_idx);
    f->places = tl_type(tl, f->body->type_idx);
    if (!f->llvm || !f->places) {
        return -ENOMEM;
    }
    if (f->body->instr_count > TL_OPTIMISE_INSTRS_MAX) {
        LLVMAddAttributeAtIndex(f->llvm, LLVMAttributeFunctionIndex, tl->attr_optnone);
        LLVMAddAttributeAtIndex(f->llvm, LLVMAttributeFunctionIndex, tl->attr_noinline);
    }
    f->offset = f->body->code_offset;
    f->ctx = LLVMGetParam(f->llvm, 0);
    uint32_t next = 1 + f->places->register_count;
    f->more_params = f->places->memory_count ? LLVMGetParam(f->llvm, next++) : NULL;
    f->more_results = f->type->result_count > 1 ? LLVMGetParam(f->llvm, next) : NULL;
    f->base = f->budget = f->services = f->memory_cell = f->type_ids = NULL;
    f->stack.count = f->saved.count = f->frames.count = 0;
    f->epoch++;
    f->dead = f->calls = f->fuel_stale = f->short_of_memory = false;
    __builtin_memset(f->traps, 0, sizeof f->traps);
    f->fuel_slot = f->fuel_charge = f->more_buffer = NULL;
    f->fuel_epoch = 0;
    f->more_room = 0;

    f->entry_block = tl_block(f);
    f->body_block = tl_block(f);
    LLVMPositionBuilderAtEnd(tl->entry, f->entry_block);
    LLVMPositionBuilderAtEnd(tl->at, f->body_block);
    const bool *known = tl->module->bodies_with_lines;
    f->lines = tl->lines && (!known || known[body_idx]);
    if (f->lines) {
        begin_debug(f);
    } else if (tl->lines) {
        LLVMSetCurrentDebugLocation2(tl->at, NULL);
        LLVMSetCurrentDebugLocation2(tl->entry, NULL);
    }
    struct tl_frame frame = {
        .kind = TL_FRAME_FUNC, .result_count = f->type->result_count, .results = f->type->results};
    int err = make_room(f);
    if (!err) {
        err = wm_vec_push(&f->frames, frame);
    }
    tl_begin_memory(f);
    if (!err && tl->fuel) {
        f->fuel_slot = LLVMBuildAlloca(tl->entry, tl->t.i64, "");
        LLVMValueRef place =
            tl_offset(tl, tl->entry, tl_budget(f), offsetof(struct wasm_budget, fuel));
        LLVMBuildStore(tl->entry, tl_load(tl, tl->entry, tl->t.i64, place, TL_ALIAS_BUDGET),
                       f->fuel_slot);
        begin_run(f);
        need_fuel(f);
    }
    return err;
}

/* Closes the entry block: det counts the frame there. */
static void finish(struct tl_func *f)
{
    struct tl *tl = f->tl;
    if (tl->det) {
        LLVMValueRef budget = tl_budget(f);
        LLVMValueRef cost = tl_i64(tl, wasm_frame_cost(f->type, f->body));
        LLVMBasicBlockRef bad = trap_block(f, WASM_TRAP_STACK_EXHAUSTED);
        LLVMPositionBuilderAtEnd(tl->at, f->entry_block);
        LLVMValueRef place =
            tl_offset(tl, tl->at, budget, offsetof(struct wasm_budget, frame_left));
        LLVMValueRef left = tl_load(tl, tl->at, tl->t.i64, place, TL_ALIAS_BUDGET);
        LLVMValueRef after = LLVMBuildSub(tl->at, left, cost, "");
        LLVMValueRef negative = LLVMBuildICmp(tl->at, LLVMIntSLT, after, tl_i64(tl, 0), "");
        LLVMBasicBlockRef good = f->body_block;
        if (f->calls) {
            good = LLVMInsertBasicBlockInContext(tl->context, f->body_block, "");
        }
        tl_unlikely(tl, LLVMBuildCondBr(tl->at, negative, bad, good));
        if (f->calls) {
            LLVMPositionBuilderAtEnd(tl->at, good);
            tl_store(tl, tl->at, after, place, TL_ALIAS_BUDGET);
            LLVMBuildBr(tl->at, f->body_block);
        }
    } else {
        LLVMBuildBr(tl->entry, f->body_block);
    }
    for (size_t i = 0; i < f->locals_used.count; i++) {
        f->locals[f->locals_used.items[i]].slot = NULL;
    }
    f->locals_used.count = 0;
}

int tl_function(struct tl_func *f, uint32_t body_idx)
{
    int err = begin(f, body_idx);
    struct wm_cursor cursor = wm_cursor_of(f->body->code);
    while (!err && f->frames.count) {
        struct wasm_instr instr;
        err = wasm_instr_next(&cursor, &instr, f->tl->diag);
        WM_ASSERT(!err); /* validation has read it all */
        if (skip(f, &instr)) {
            continue;
        }
        if (f->lines) {
            f->offset = f->body->code_offset + instr.offset;
            set_location(f);
        }
        f->fuel_run += f->dead ? 0 : cost_of(instr.op);
        err = translate(f, &instr);
        if (f->short_of_memory) {
            err = -ENOMEM;
        }
    }
    if (!err) {
        finish(f);
    }
    return err;
}
