/* constexpr.c: a stack machine for the dozen instructions that are constant. Every value carries
 * its type, so that bytes nobody validated end in an error and not in a reference made from a
 * number. */
#include "wasm/constexpr.h"

#include "wasm/instr.h"
#include "wasm/leb.h"

struct typed_value {
    uint8_t valtype;
    union wasm_value value;
};

struct machine {
    struct typed_value stack[WASM_CONSTEXPR_HEIGHT_MAX];
    uint32_t height;
    struct wm_diag *diag;
    uint32_t offset; /* of the instruction at hand */
};

static int invalid(const struct machine *machine, const char *reason)
{
    return wm_diag_set(machine->diag, WM_E_INVALID, "offset 0x%x: %s", machine->offset, reason);
}

static int push(struct machine *machine, uint8_t valtype, union wasm_value value)
{
    if (machine->height == WASM_CONSTEXPR_HEIGHT_MAX) {
        return wm_diag_set(machine->diag, WM_E_LIMIT,
                           "offset 0x%x: a constant expression with more than %u operands at once",
                           machine->offset, WASM_CONSTEXPR_HEIGHT_MAX);
    }
    machine->stack[machine->height++] = (struct typed_value){valtype, value};
    return 0;
}

/* add, sub and mul of i32 and i64; both wrap. */
static int arithmetic(struct machine *machine, enum wasm_opcode op)
{
    const struct wasm_opcode_info *info = &wasm_opcode_table[op];
    uint8_t valtype = info->results[0] == 'i' ? WASM_I32 : WASM_I64;
    if (machine->height < 2 || machine->stack[machine->height - 1].valtype != valtype ||
        machine->stack[machine->height - 2].valtype != valtype) {
        return invalid(machine, "type mismatch in a constant expression");
    }
    bool narrow = valtype == WASM_I32;
    machine->height--;
    union wasm_value *left = &machine->stack[machine->height - 1].value;
    const union wasm_value *right = &machine->stack[machine->height].value;
    uint64_t a = narrow ? left->i32 : left->i64, b = narrow ? right->i32 : right->i64, result;
    if (op == WASM_OP_I32_ADD || op == WASM_OP_I64_ADD) {
        result = a + b;
    } else if (op == WASM_OP_I32_SUB || op == WASM_OP_I64_SUB) {
        result = a - b;
    } else {
        result = a * b;
    }
    *left = (union wasm_value){.v128 = {narrow ? (uint32_t)result : result, 0}};
    return 0;
}

static int step(struct machine *machine, const struct wasm_instr *instr,
                const struct wasm_constexpr_env *env)
{
    union wasm_value value = {.v128 = {0, 0}};
    uint8_t valtype = WASM_FUNCREF;
    int err = 0;
    switch ((uint32_t)instr->op) {
    case WASM_OP_I32_CONST:
        value.i32 = (uint32_t)instr->i32;
        valtype = WASM_I32;
        break;
    case WASM_OP_I64_CONST:
        value.i64 = (uint64_t)instr->i64;
        valtype = WASM_I64;
        break;
    case WASM_OP_F32_CONST:
        value.f32_bits = instr->f32_bits;
        valtype = WASM_F32;
        break;
    case WASM_OP_F64_CONST:
        value.f64_bits = instr->f64_bits;
        valtype = WASM_F64;
        break;
    case WASM_OP_V128_CONST:
        __builtin_memcpy(value.v128, instr->v128, sizeof value.v128);
        valtype = WASM_V128;
        break;
    case WASM_OP_REF_NULL: valtype = instr->ref_type; break;
    case WASM_OP_REF_FUNC: err = env->func(env->self, instr->idx, &value, machine->diag); break;
    case WASM_OP_GLOBAL_GET:
        err = env->global(env->self, instr->idx, &valtype, &value, machine->diag);
        break;
    case WASM_OP_I32_ADD:
    case WASM_OP_I32_SUB:
    case WASM_OP_I32_MUL:
    case WASM_OP_I64_ADD:
    case WASM_OP_I64_SUB:
    case WASM_OP_I64_MUL: return arithmetic(machine, instr->op);
    default:
        return wm_diag_set(machine->diag, WM_E_INVALID,
                           "offset 0x%x: constant expression required: %s is not constant",
                           machine->offset, wasm_opcode_table[instr->op].name);
    }
    if (err) {
        wm_diag_prefix(machine->diag, "offset 0x%x", machine->offset);
        return err;
    }
    return push(machine, valtype, value);
}

int wasm_constexpr_eval(struct wm_cursor code, const struct wasm_constexpr_env *env,
                        uint8_t *valtype, union wasm_value *out, struct wm_diag *diag)
{
    struct machine machine;
    machine.height = 0;
    machine.diag = diag;
    for (;;) {
        struct wasm_instr instr;
        int err = wasm_instr_next(&code, &instr, diag);
        if (err) {
            return err;
        }
        machine.offset = instr.offset;
        if (instr.op == WASM_OP_END) {
            break;
        }
        err = step(&machine, &instr, env);
        if (err) {
            return err;
        }
    }
    if (!wm_cursor_done(&code)) {
        return wasm_malformed(&code, diag, "bytes after the end of a constant expression");
    }
    if (machine.height != 1) {
        return invalid(&machine, "type mismatch: a constant expression leaves one value");
    }
    *valtype = machine.stack[0].valtype;
    *out = machine.stack[0].value;
    return 0;
}
