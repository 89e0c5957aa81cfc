/* validate_body.c: the validation algorithm of the core specification's appendix 7.3.
 *
 * One pass over a body with two stacks: the types of the operands, and the open blocks. After an
 * instruction that never falls through (br, return, unreachable...) the block's operands are
 * dropped and it becomes `unreachable`: popping below its height then gives values of type UNKNOWN,
 * which fits everything.
 *
 * Operand types are the binary format's own bytes, one each, exactly as parameters and results
 * stand in the module; so taking or leaving a thousand of them is one comparison or copy of bytes.
 * That keeps the work per byte of input small even for modules written to make it large.
 *
 * As in decode.c the first failure is kept (`err`), and what runs after it does nothing harmful:
 * popping never goes below the block's height, pushing never beyond what was reserved. */
#include "wasm/validate.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "wasm/instr.h"

#define UNKNOWN 0 /* no value type has this number */
#define RESERVE 8 /* no instruction pushes more single values than this */

enum frame_kind { FRAME_FUNC, FRAME_BLOCK, FRAME_LOOP, FRAME_IF, FRAME_ELSE };

struct types {
    uint32_t count;
    const uint8_t *types;
};

struct frame {
    struct types params, results;
    uint32_t height; /* of the operand stack below it */
    uint8_t kind;    /* enum frame_kind */
    bool unreachable;
};

struct checker {
    struct wasm_module *module;
    struct wasm_body *body;
    const struct wasm_functype *type;
    const struct wasm_instr *instr; /* at hand */
    struct wm_cursor code;
    uint8_t *stack; /* of operand types */
    uint32_t height, max_height;
    size_t stack_room;
    struct frame *frames; /* the innermost is frames[nesting - 1] */
    struct frame *frame;
    uint32_t nesting, max_nesting;
    size_t frames_room;
    uint32_t *run_ends; /* of each run of locals, the index after its last one */
    size_t runs_room;
    struct wm_arena scratch;
    struct wm_diag *diag;
    int err;
};

/* Failures */

static WM_NOINLINE WM_COLD void fail(struct checker *c, int code, const char *reason)
{
    if (!c->err) {
        c->err = wm_diag_set(c->diag, code, "offset 0x%x: %s: %s", c->instr->offset,
                             wasm_opcode_table[c->instr->op].name, reason);
    }
}

static void invalid(struct checker *c, const char *reason)
{
    fail(c, WM_E_INVALID, reason);
}

static WM_NOINLINE WM_COLD void unknown(struct checker *c, const char *what, uint32_t idx)
{
    if (!c->err) {
        c->err = wm_diag_set(c->diag, WM_E_INVALID, "offset 0x%x: %s: unknown %s %u",
                             c->instr->offset, wasm_opcode_table[c->instr->op].name, what, idx);
    }
}

static const char *type_name(uint8_t valtype)
{
    switch (valtype) {
    case WASM_I32: return "i32";
    case WASM_I64: return "i64";
    case WASM_F32: return "f32";
    case WASM_F64: return "f64";
    case WASM_V128: return "v128";
    case WASM_FUNCREF: return "funcref";
    case WASM_EXTERNREF: return "externref";
    default: return "any type";
    }
}

static WM_NOINLINE WM_COLD void mismatch(struct checker *c, uint8_t expected, const char *found)
{
    if (!c->err) {
        c->err = wm_diag_set(
            c->diag, WM_E_INVALID, "offset 0x%x: %s: type mismatch: expected %s, found %s",
            c->instr->offset, wasm_opcode_table[c->instr->op].name, type_name(expected), found);
    }
}

/* Room */

/* Makes *items hold `need` at least, keeping its content. Old arrays stay in the scratch arena: all
 * of them together are no larger than the last one. */
static bool grow(struct checker *c, void **items, size_t *room, size_t need, size_t len)
{
    size_t wanted = *room * 2 > need ? *room * 2 : need;
    wanted = wanted < 64 ? 64 : wanted;
    void *grown = c->err ? NULL : wm_arena_take(&c->scratch, wanted, len);
    if (!grown) {
        if (!c->err) {
            c->err = wm_diag_set(c->diag, -ENOMEM, "not enough memory to validate a function");
        }
        return false;
    }
    if (*room) {
        memcpy(grown, *items, *room * len);
    }
    *items = grown;
    *room = wanted;
    return true;
}

/* After it, `count` types and RESERVE more fit. */
static inline bool reserve(struct checker *c, uint32_t count)
{
    size_t need = (size_t)c->height + count + RESERVE;
    if (WM_LIKELY(need <= c->stack_room)) {
        return true;
    }
    if (need > WASM_HEIGHT_MAX) {
        fail(c, WM_E_LIMIT, "too many operands on the stack");
        return false;
    }
    return grow(c, (void **)&c->stack, &c->stack_room, need, 1);
}

/* Operands */

static inline void push(struct checker *c, uint8_t valtype)
{
    c->stack[c->height++] = valtype;
    if (c->height > c->max_height) {
        c->max_height = c->height;
    }
}

static void push_types(struct checker *c, struct types types)
{
    if (types.count == 0 || !reserve(c, types.count)) {
        return;
    }
    memcpy(c->stack + c->height, types.types, types.count);
    c->height += types.count;
    if (c->height > c->max_height) {
        c->max_height = c->height;
    }
}

static inline uint8_t pop_any(struct checker *c)
{
    if (WM_UNLIKELY(c->height == c->frame->height)) {
        if (!c->frame->unreachable) {
            mismatch(c, UNKNOWN, "nothing on the stack");
        }
        return UNKNOWN;
    }
    return c->stack[--c->height];
}

static inline void pop(struct checker *c, uint8_t expected)
{
    if (WM_UNLIKELY(c->height == c->frame->height)) {
        if (!c->frame->unreachable) {
            mismatch(c, expected, "nothing on the stack");
        }
        return;
    }
    uint8_t found = c->stack[--c->height];
    if (WM_UNLIKELY(found != expected && found != UNKNOWN)) {
        mismatch(c, expected, type_name(found));
    }
}

/* Checks that `types`, one or more, lie on top, without taking them. Returns how many of them
 * really do, which is less only where the rest is UNKNOWN. */
static uint32_t match_types(struct checker *c, struct types types)
{
    uint32_t there = c->height - c->frame->height;
    uint32_t count = types.count < there ? types.count : there;
    const uint8_t *found = c->stack + c->height - count;
    const uint8_t *expected = types.types + (types.count - count);
    uint8_t bad = 0;
    for (uint32_t i = 0; i < count; i++) {
        bad |= (uint8_t)((found[i] != expected[i]) & (found[i] != UNKNOWN));
    }
    if (WM_UNLIKELY(bad)) {
        uint32_t i = 0;
        while (found[i] == expected[i] || found[i] == UNKNOWN) {
            i++;
        }
        mismatch(c, expected[i], type_name(found[i]));
    } else if (WM_UNLIKELY(count < types.count) && !c->frame->unreachable) {
        mismatch(c, types.types[types.count - count - 1], "nothing on the stack");
    }
    return count;
}

static inline void pop_types(struct checker *c, struct types types)
{
    if (types.count) {
        c->height -= match_types(c, types);
    }
}

/* Blocks */

static void push_frame(struct checker *c, enum frame_kind kind, struct types params,
                       struct types results)
{
    if (c->nesting == WASM_NESTING_MAX) {
        fail(c, WM_E_LIMIT, "blocks are nested too deeply");
        return;
    }
    if (c->nesting == c->frames_room &&
        !grow(c, (void **)&c->frames, &c->frames_room, (size_t)c->nesting + 1, sizeof *c->frames)) {
        return;
    }
    c->frame = &c->frames[c->nesting++];
    *c->frame = (struct frame){params, results, c->height, (uint8_t)kind, false};
    if (c->nesting > c->max_nesting) {
        c->max_nesting = c->nesting;
    }
    push_types(c, params);
}

/* Checks what the innermost block leaves behind: its results and nothing else. */
static void leave_frame(struct checker *c)
{
    pop_types(c, c->frame->results);
    if (c->height != c->frame->height) {
        invalid(c, "type mismatch: values remain on the stack at the end of the block");
    }
}

static void set_unreachable(struct checker *c)
{
    c->height = c->frame->height;
    c->frame->unreachable = true;
}

/* One value type as a sequence of types. */
static struct types single(uint8_t valtype)
{
    static const uint8_t all[] = {0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77,
                                  0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f};
    return (struct types){1, &all[valtype - 0x6f]};
}

static struct types params_of(const struct wasm_functype *type)
{
    return (struct types){type->param_count, type->params};
}

static struct types results_of(const struct wasm_functype *type)
{
    return (struct types){type->result_count, type->results};
}

static void enter_block(struct checker *c, enum frame_kind kind)
{
    const struct wasm_instr *instr = c->instr;
    struct types params = {0, NULL}, results = {0, NULL};
    if (instr->block.has_type_idx) {
        if (instr->block.type_idx >= c->module->type_count) {
            unknown(c, "type", instr->block.type_idx);
            return;
        }
        const struct wasm_functype *type = &c->module->types[instr->block.type_idx];
        params = params_of(type);
        results = results_of(type);
    } else if (instr->block.valtype != 0x40) {
        results = single(instr->block.valtype);
    }
    if (kind == FRAME_IF) {
        pop(c, WASM_I32);
    }
    pop_types(c, params);
    push_frame(c, kind, params, results);
}

static void check_else(struct checker *c)
{
    if (c->frame->kind != FRAME_IF) {
        fail(c, WM_E_MALFORMED, "no `if` to go with it");
        return;
    }
    leave_frame(c);
    c->frame->kind = FRAME_ELSE;
    c->frame->unreachable = false;
    c->height = c->frame->height;
    push_types(c, c->frame->params);
}

static void check_end(struct checker *c)
{
    struct frame ended = *c->frame;
    leave_frame(c);
    if (ended.kind == FRAME_IF &&
        (ended.params.count != ended.results.count ||
         (ended.params.count &&
          memcmp(ended.params.types, ended.results.types, ended.params.count) != 0))) {
        /* Without an else the parameters fall through. */
        invalid(c, "type mismatch: an `if` without `else` leaves what it took");
    }
    c->nesting--;
    if (c->nesting && !c->err) {
        c->frame = &c->frames[c->nesting - 1];
        push_types(c, ended.results);
    }
}

/* Branches */

static struct types label_types(struct checker *c, uint32_t label)
{
    if (label >= c->nesting) {
        unknown(c, "label", label);
        return (struct types){0, NULL};
    }
    const struct frame *frame = &c->frames[c->nesting - 1 - label];
    return frame->kind == FRAME_LOOP ? frame->params : frame->results;
}

static void check_br_table(struct checker *c)
{
    pop(c, WASM_I32);
    struct wm_view labels = c->instr->labels;
    struct types types = {0, NULL};
    for (uint64_t i = 0; i <= c->instr->count && !c->err; i++) { /* the last one is the default */
        struct types last = types;
        types = label_types(c, wasm_instr_label(&labels));
        if (i > 0 && types.count != last.count) {
            invalid(c, "type mismatch: its labels differ in their number of values");
        } else if (types.count) {
            (void)match_types(c, types);
        }
    }
    set_unreachable(c);
}

/* Calls */

static void check_callee(struct checker *c, const struct wasm_functype *type, bool is_tail)
{
    pop_types(c, params_of(type));
    if (!is_tail) {
        push_types(c, results_of(type));
        return;
    }
    c->module->uses_tail_calls = true;
    if (type->result_count != c->type->result_count ||
        (type->result_count && memcmp(type->results, c->type->results, type->result_count) != 0)) {
        invalid(c, "type mismatch: results differ from those of the calling function");
    }
    set_unreachable(c);
}

static void check_call(struct checker *c, bool is_tail)
{
    if (c->instr->idx >= c->module->func_count) {
        unknown(c, "function", c->instr->idx);
        return;
    }
    check_callee(c, wasm_module_func_type(c->module, c->instr->idx), is_tail);
}

static void check_call_indirect(struct checker *c, bool is_tail)
{
    if (c->instr->idx2 >= c->module->table_count) {
        unknown(c, "table", c->instr->idx2);
    } else if (c->instr->idx >= c->module->type_count) {
        unknown(c, "type", c->instr->idx);
    } else if (c->module->tables[c->instr->idx2].elem != WASM_FUNCREF) {
        invalid(c, "type mismatch: the table holds no functions");
    } else {
        pop(c, WASM_I32);
        check_callee(c, &c->module->types[c->instr->idx], is_tail);
    }
}

/* Parametric, variables, tables, references */

static void check_select(struct checker *c)
{
    pop(c, WASM_I32);
    uint8_t b = pop_any(c), a = pop_any(c);
    if (wasm_is_ref(a) || wasm_is_ref(b)) {
        invalid(c, "type mismatch: references need the form that names their type");
    } else if (a != b && a != UNKNOWN && b != UNKNOWN) {
        mismatch(c, a, type_name(b));
    }
    push(c, a == UNKNOWN ? b : a);
}

static void check_select_typed(struct checker *c)
{
    if (c->instr->select_count != 1) {
        invalid(c, "invalid result arity");
        return;
    }
    pop(c, WASM_I32);
    pop(c, c->instr->select_type);
    pop(c, c->instr->select_type);
    push(c, c->instr->select_type);
}

static uint8_t local_type(struct checker *c)
{
    uint32_t idx = c->instr->idx;
    if (idx < c->type->param_count) {
        return c->type->params[idx];
    }
    idx -= c->type->param_count;
    if (idx >= c->body->local_count) {
        unknown(c, "local", c->instr->idx);
        return UNKNOWN;
    }
    /* Not expanded to one type each: fifty thousand locals cost four bytes of input. */
    uint32_t low = 0, high = c->body->local_run_count - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (idx < c->run_ends[middle]) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return c->body->local_runs[low].valtype;
}

static void check_local(struct checker *c)
{
    uint8_t valtype = local_type(c);
    if (c->instr->op != WASM_OP_LOCAL_GET) {
        pop(c, valtype);
    }
    if (c->instr->op != WASM_OP_LOCAL_SET) {
        push(c, valtype);
    }
}

static void check_global(struct checker *c)
{
    if (c->instr->idx >= c->module->global_count) {
        unknown(c, "global", c->instr->idx);
        return;
    }
    struct wasm_globaltype type = c->module->globals[c->instr->idx].type;
    if (c->instr->op == WASM_OP_GLOBAL_GET) {
        push(c, type.valtype);
        return;
    }
    if (!type.is_mutable) {
        invalid(c, "global is immutable");
    }
    pop(c, type.valtype);
}

static void check_table(struct checker *c)
{
    if (c->instr->idx >= c->module->table_count) {
        unknown(c, "table", c->instr->idx);
        return;
    }
    uint8_t elem = c->module->tables[c->instr->idx].elem;
    if (c->instr->op == WASM_OP_TABLE_GET) {
        pop(c, WASM_I32);
        push(c, elem);
        return;
    }
    c->module->uses_table_mutation = true;
    if (c->instr->op == WASM_OP_TABLE_SET) {
        pop(c, elem);
        pop(c, WASM_I32);
    } else if (c->instr->op == WASM_OP_TABLE_GROW) {
        pop(c, WASM_I32);
        pop(c, elem);
        push(c, WASM_I32);
    } else {
        WM_ASSERT(c->instr->op == WASM_OP_TABLE_FILL);
        pop(c, WASM_I32);
        pop(c, elem);
        pop(c, WASM_I32);
    }
}

static void check_ref_is_null(struct checker *c)
{
    uint8_t found = pop_any(c);
    if (found != UNKNOWN && !wasm_is_ref(found)) {
        invalid(c, "type mismatch: expected a reference");
    }
    push(c, WASM_I32);
}

static void check_ref_func(struct checker *c)
{
    if (c->instr->idx >= c->module->func_count) {
        unknown(c, "function", c->instr->idx);
        return;
    }
    if (!c->module->func_declared[c->instr->idx]) {
        invalid(c, "undeclared function reference");
    }
    push(c, WASM_FUNCREF);
}

/* Instructions whose types depend on more than their opcode: "*" in the table. */
static void check_special(struct checker *c)
{
    switch ((uint32_t)c->instr->op) {
    case WASM_OP_UNREACHABLE: set_unreachable(c); break;
    case WASM_OP_BLOCK: enter_block(c, FRAME_BLOCK); break;
    case WASM_OP_LOOP: enter_block(c, FRAME_LOOP); break;
    case WASM_OP_IF: enter_block(c, FRAME_IF); break;
    case WASM_OP_ELSE: check_else(c); break;
    case WASM_OP_END: check_end(c); break;
    case WASM_OP_BR:
        pop_types(c, label_types(c, c->instr->idx));
        set_unreachable(c);
        break;
    case WASM_OP_BR_IF: {
        pop(c, WASM_I32);
        struct types types = label_types(c, c->instr->idx);
        pop_types(c, types);
        push_types(c, types);
        break;
    }
    case WASM_OP_BR_TABLE: check_br_table(c); break;
    case WASM_OP_RETURN:
        pop_types(c, results_of(c->type));
        set_unreachable(c);
        break;
    case WASM_OP_CALL: check_call(c, false); break;
    case WASM_OP_RETURN_CALL: check_call(c, true); break;
    case WASM_OP_CALL_INDIRECT: check_call_indirect(c, false); break;
    case WASM_OP_RETURN_CALL_INDIRECT: check_call_indirect(c, true); break;
    case WASM_OP_DROP: (void)pop_any(c); break;
    case WASM_OP_SELECT: check_select(c); break;
    case WASM_OP_SELECT_TYPED: check_select_typed(c); break;
    case WASM_OP_LOCAL_GET:
    case WASM_OP_LOCAL_SET:
    case WASM_OP_LOCAL_TEE: check_local(c); break;
    case WASM_OP_GLOBAL_GET:
    case WASM_OP_GLOBAL_SET: check_global(c); break;
    case WASM_OP_TABLE_GET:
    case WASM_OP_TABLE_SET:
    case WASM_OP_TABLE_GROW:
    case WASM_OP_TABLE_FILL: check_table(c); break;
    case WASM_OP_REF_NULL: push(c, c->instr->ref_type); break;
    case WASM_OP_REF_IS_NULL: check_ref_is_null(c); break;
    case WASM_OP_REF_FUNC: check_ref_func(c); break;
    default: WM_UNREACHABLE(); /* a "*" line in opcode.h without a case here */
    }
}

/* Immediates of instructions with fixed types */

static void check_memory(struct checker *c)
{
    if (c->module->memory_count == 0) {
        unknown(c, "memory", 0);
    }
}

static void check_access(struct checker *c, const struct wasm_opcode_info *info)
{
    check_memory(c);
    if (c->instr->align_log2 > 4 || 1u << c->instr->align_log2 > info->bytes) {
        invalid(c, "alignment must not be larger than natural");
    }
}

static void check_lane(struct checker *c, const struct wasm_opcode_info *info, uint8_t lane)
{
    if (lane >= 16 / info->bytes) {
        invalid(c, "invalid lane index");
    }
}

static void check_shuffle(struct checker *c)
{
    for (size_t i = 0; i < 16; i++) {
        if (c->instr->v128[i] >= 32) {
            invalid(c, "invalid lane index");
        }
    }
}

static void check_data_idx(struct checker *c)
{
    if (c->instr->idx >= c->module->data_count) {
        unknown(c, "data segment", c->instr->idx);
    } else if (!c->module->has_data_count) {
        /* A matter of form (5.5.16): code is read before the data, in one pass. */
        fail(c, WM_E_MALFORMED, "data count section required");
    }
}

static void check_elem_idx(struct checker *c)
{
    if (c->instr->idx >= c->module->elem_count) {
        unknown(c, "elem segment", c->instr->idx);
    }
}

static void check_table_init(struct checker *c)
{
    check_elem_idx(c);
    if (c->instr->idx2 >= c->module->table_count) {
        unknown(c, "table", c->instr->idx2);
    } else if (!c->err &&
               c->module->elems[c->instr->idx].valtype != c->module->tables[c->instr->idx2].elem) {
        invalid(c, "type mismatch: segment and table hold different references");
    }
    c->module->uses_table_mutation = true;
}

static void check_table_copy(struct checker *c)
{
    uint32_t to = c->instr->idx, from = c->instr->idx2, count = c->module->table_count;
    if (to >= count || from >= count) {
        unknown(c, "table", to >= count ? to : from);
    } else if (c->module->tables[to].elem != c->module->tables[from].elem) {
        invalid(c, "type mismatch: the tables hold different references");
    }
    c->module->uses_table_mutation = true;
}

static void check_immediates(struct checker *c, const struct wasm_opcode_info *info)
{
    switch ((enum wasm_imm)info->imm) {
    case WASM_IMM_MEM: check_access(c, info); break;
    case WASM_IMM_MEM_LANE:
        check_access(c, info);
        check_lane(c, info, c->instr->mem_lane);
        break;
    case WASM_IMM_LANE: check_lane(c, info, c->instr->lane); break;
    case WASM_IMM_SHUFFLE: check_shuffle(c); break;
    case WASM_IMM_MEMORY:
    case WASM_IMM_MEMORY_COPY: check_memory(c); break;
    case WASM_IMM_MEMORY_INIT:
        check_memory(c);
        check_data_idx(c);
        break;
    case WASM_IMM_DATA: check_data_idx(c); break;
    case WASM_IMM_ELEM: check_elem_idx(c); break;
    case WASM_IMM_TABLE: /* table.size; the others are special */
        if (c->instr->idx >= c->module->table_count) {
            unknown(c, "table", c->instr->idx);
        }
        break;
    case WASM_IMM_TABLE_INIT: check_table_init(c); break;
    case WASM_IMM_TABLE_COPY: check_table_copy(c); break;
    case WASM_IMM_NONE:
    case WASM_IMM_V128:
    case WASM_IMM_I32:
    case WASM_IMM_I64:
    case WASM_IMM_F32:
    case WASM_IMM_F64: break;
    case WASM_IMM_BLOCK:
    case WASM_IMM_LABEL:
    case WASM_IMM_BR_TABLE:
    case WASM_IMM_FUNC:
    case WASM_IMM_CALL_INDIRECT:
    case WASM_IMM_SELECT:
    case WASM_IMM_LOCAL:
    case WASM_IMM_GLOBAL:
    case WASM_IMM_REF_TYPE: WM_UNREACHABLE(); /* these come with "*" */
    }
}

static inline void check_instr(struct checker *c)
{
    static const uint8_t valtypes[128] = {
        ['i'] = WASM_I32, ['I'] = WASM_I64, ['f'] = WASM_F32, ['F'] = WASM_F64, ['v'] = WASM_V128};
    const struct wasm_opcode_info *info = &wasm_opcode_table[c->instr->op];
    if (info->params[0] == '*') {
        check_special(c);
        return;
    }
    if (info->imm != WASM_IMM_NONE) {
        check_immediates(c, info);
    }
    /* The last letter is on top of the stack. */
    if (info->params[0]) {
        if (info->params[1]) {
            if (info->params[2]) {
                pop(c, valtypes[(uint8_t)info->params[2]]);
            }
            pop(c, valtypes[(uint8_t)info->params[1]]);
        }
        pop(c, valtypes[(uint8_t)info->params[0]]);
    }
    if (info->results[0]) {
        push(c, valtypes[(uint8_t)info->results[0]]);
    }
}

static void note_locals(struct checker *c)
{
    const struct wasm_body *body = c->body;
    if (c->type->param_count + body->local_count > WASM_LOCALS_MAX) {
        c->err = wm_diag_set(c->diag, WM_E_LIMIT, "too many locals");
        return;
    }
    if (body->local_run_count > c->runs_room && !grow(c, (void **)&c->run_ends, &c->runs_room,
                                                      body->local_run_count, sizeof *c->run_ends)) {
        return;
    }
    uint32_t end = 0;
    for (uint32_t i = 0; i < body->local_run_count; i++) {
        end += body->local_runs[i].count;
        c->run_ends[i] = end;
        c->module->uses_simd |= body->local_runs[i].valtype == WASM_V128;
    }
}

/* The code of a body; offsets in messages count from the module's first byte. */
static struct wm_cursor code_of(const struct checker *c, const struct wasm_body *body)
{
    struct wm_cursor code = wm_cursor_of(c->module->bytes);
    code.at = body->code.ptr;
    code.end = body->code.ptr + body->code.len;
    return code;
}

static int no_end(struct checker *c, const struct wm_cursor *code)
{
    return wm_diag_set(c->diag, WM_E_MALFORMED, "offset 0x%zx: unexpected end: END opcode expected",
                       wm_cursor_offset(code));
}

/* Of a body that broke a rule: is it an expression at all? A malformed one has no types to be
 * wrong, and is called malformed, although its first fault on the way was another. */
static void check_form(struct checker *c)
{
    struct wm_cursor code = code_of(c, c->body);
    struct wasm_instr instr;
    uint32_t depth = 1;
    while (depth > 0) {
        int err =
            wm_cursor_done(&code) ? no_end(c, &code) : wasm_instr_next(&code, &instr, c->diag);
        if (err) {
            c->err = err;
            return;
        }
        if (instr.op == WASM_OP_END) {
            depth--;
        } else if (wasm_opcode_table[instr.op].imm == WASM_IMM_BLOCK) {
            depth++;
        }
    }
}

static void check_body(struct checker *c, struct wasm_body *body)
{
    struct wasm_instr instr = {.op = WASM_OP_END, .offset = body->code_offset};
    c->instr = &instr;
    c->body = body;
    c->type = &c->module->types[body->type_idx];
    c->code = code_of(c, body);
    c->height = c->max_height = c->nesting = c->max_nesting = 0;
    note_locals(c);
    push_frame(c, FRAME_FUNC, (struct types){0, NULL}, results_of(c->type));
    uint32_t count = 0; /* each takes a byte at least: cannot overflow */
    while (!c->err && c->nesting > 0) {
        if (wm_cursor_done(&c->code)) {
            c->err = no_end(c, &c->code);
            return;
        }
        c->err = wasm_instr_next(&c->code, &instr, c->diag);
        if (c->err) {
            return;
        }
        count++;
        c->module->uses_simd |= (uint32_t)instr.op >= 0x200;
        if (reserve(c, 0)) {
            check_instr(c);
        }
    }
    if (!c->err && !wm_cursor_done(&c->code)) {
        fail(c, WM_E_MALFORMED, "section size mismatch: bytes after the end of the function");
    }
    body->max_height = c->max_height;
    body->max_nesting = c->max_nesting;
    body->instr_count = count;
}

int wasm_validate_bodies(struct wasm_module *module, struct wm_diag *diag)
{
    struct checker c = {.module = module, .diag = diag};
    wm_arena_init(&c.scratch, 0);
    for (uint32_t i = 0; i < module->body_count && !c.err; i++) {
        check_body(&c, &module->bodies[i]);
        if (c.err == WM_E_INVALID) {
            check_form(&c);
        }
        if (c.err) {
            wm_diag_prefix(diag, "func[%u]", module->imported_funcs + i);
        }
    }
    wm_arena_fini(&c.scratch);
    return c.err;
}
