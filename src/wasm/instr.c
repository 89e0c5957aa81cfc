/* instr.c: the binary layout of instructions (core specification 5.4), table driven.
 *
 * Everything here is about form. A number may be anything that its encoding allows; whether the
 * local, label or lane exists is asked by the validator, which knows the module. A br_table is
 * walked to its end here, once, so that nobody after this has to think of labels cut off. */
#include "wasm/instr.h"

#include "base/assert.h"
#include "wasm/leb.h"
#include "wasm/types.h"

void wasm_malformed_text(const struct wm_cursor *cursor, struct wm_diag *diag, const char *reason)
{
    (void)wm_diag_set(diag, WM_E_MALFORMED, "offset 0x%zx: %s", wm_cursor_offset(cursor), reason);
}

const char *wasm_leb_text(enum wm_leb why)
{
    return why == WM_LEB_END        ? "unexpected end"
           : why == WM_LEB_TOO_LONG ? "integer representation too long"
                                    : "integer too large";
}

static int read_opcode(struct wm_cursor *cursor, enum wasm_opcode *out, struct wm_diag *diag)
{
    struct wm_cursor first = *cursor; /* messages name the prefix's offset */
    uint8_t byte;
    int err = wasm_read_u8(cursor, &byte, diag);
    if (err) {
        return err;
    }
    uint32_t code = byte;
    if (byte == 0xfc || byte == 0xfd) {
        uint32_t sub;
        err = wasm_read_u32(cursor, &sub, diag);
        if (err) {
            return err;
        }
        if (sub > 0xff) {
            return wasm_malformed(&first, diag, "illegal opcode");
        }
        code = (byte == 0xfc ? 0x100 : 0x200) + sub;
    }
    if (WM_UNLIKELY(!wasm_opcode_table[code].name)) {
        return wasm_malformed(&first, diag, "illegal opcode");
    }
    *out = (enum wasm_opcode)code;
    return 0;
}

/* 5.4.1: one byte for a value type or nothing, else a type index as a positive s33. */
static int read_block_type(struct wm_cursor *cursor, struct wasm_instr *out, struct wm_diag *diag)
{
    if (cursor->at != cursor->end && (*cursor->at == 0x40 || wasm_is_valtype(*cursor->at))) {
        out->block.has_type_idx = false;
        out->block.valtype = *cursor->at++;
        return 0;
    }
    struct wm_cursor first = *cursor;
    int64_t type_idx;
    int err = wasm_read_sleb(cursor, 33, &type_idx, diag);
    if (err) {
        return err;
    }
    if (type_idx < 0) {
        return wasm_malformed(&first, diag, "malformed block type");
    }
    out->block.has_type_idx = true;
    out->block.type_idx = (uint32_t)type_idx;
    return 0;
}

static int read_br_table(struct wm_cursor *cursor, struct wasm_instr *out, struct wm_diag *diag)
{
    uint32_t count;
    int err = wasm_read_u32(cursor, &count, diag);
    if (err) {
        return err;
    }
    /* A label takes a byte at least, and the default is one more than counted. */
    if (count >= wm_cursor_left(cursor)) {
        return wasm_malformed(cursor, diag, "unexpected end");
    }
    const uint8_t *first = cursor->at;
    for (uint64_t i = 0; i <= count; i++) {
        uint32_t label;
        err = wasm_read_u32(cursor, &label, diag);
        if (err) {
            return err;
        }
    }
    out->count = count;
    out->labels = wm_view_of(first, (size_t)(cursor->at - first));
    return 0;
}

static int read_select_types(struct wm_cursor *cursor, struct wasm_instr *out, struct wm_diag *diag)
{
    uint32_t count;
    int err = wasm_read_u32(cursor, &count, diag);
    if (err) {
        return err;
    }
    struct wm_view types;
    if (!wm_cursor_bytes(cursor, count, &types)) {
        return wasm_malformed(cursor, diag, "unexpected end");
    }
    for (size_t i = 0; i < types.len; i++) {
        if (!wasm_is_valtype(types.ptr[i])) {
            return wasm_malformed(cursor, diag, "malformed value type");
        }
    }
    out->select_count = count;
    out->select_type = count ? types.ptr[0] : 0;
    return 0;
}

/* Where version 2.0 has one memory only, its index is the byte 0 and no other spelling of zero. */
static int read_zero_byte(struct wm_cursor *cursor, struct wm_diag *diag)
{
    uint8_t byte;
    int err = wasm_read_u8(cursor, &byte, diag);
    if (err) {
        return err;
    }
    if (byte != 0) {
        cursor->at--;
        return wasm_malformed(cursor, diag, "zero byte expected");
    }
    return 0;
}

static int read_two_idx(struct wm_cursor *cursor, struct wasm_instr *out, struct wm_diag *diag)
{
    int err = wasm_read_u32(cursor, &out->idx, diag);
    return err ? err : wasm_read_u32(cursor, &out->idx2, diag);
}

static int read_mem(struct wm_cursor *cursor, struct wasm_instr *out, struct wm_diag *diag)
{
    int err = wasm_read_u32(cursor, &out->align_log2, diag);
    return err ? err : wasm_read_u32(cursor, &out->mem_offset, diag);
}

static int read_v128(struct wm_cursor *cursor, struct wasm_instr *out, struct wm_diag *diag)
{
    struct wm_view bytes;
    if (!wm_cursor_bytes(cursor, sizeof out->v128, &bytes)) {
        return wasm_malformed(cursor, diag, "unexpected end");
    }
    __builtin_memcpy(out->v128, bytes.ptr, sizeof out->v128);
    return 0;
}

static int read_ref_type(struct wm_cursor *cursor, struct wasm_instr *out, struct wm_diag *diag)
{
    int err = wasm_read_u8(cursor, &out->ref_type, diag);
    if (err) {
        return err;
    }
    if (!wasm_is_ref(out->ref_type)) {
        cursor->at--;
        return wasm_malformed(cursor, diag, "malformed reference type");
    }
    return 0;
}

static int read_number(struct wm_cursor *cursor, enum wasm_imm imm, struct wasm_instr *out,
                       struct wm_diag *diag)
{
    int err = 0;
    bool fits = true;
    int64_t value;
    if (imm == WASM_IMM_I32) {
        err = wasm_read_sleb(cursor, 32, &value, diag);
        if (!err) {
            out->i32 = (int32_t)value;
        }
    } else if (imm == WASM_IMM_I64) {
        err = wasm_read_sleb(cursor, 64, &out->i64, diag);
    } else if (imm == WASM_IMM_F32) {
        fits = wm_cursor_u32(cursor, &out->f32_bits);
    } else {
        fits = wm_cursor_u64(cursor, &out->f64_bits);
    }
    return fits ? err : wasm_malformed(cursor, diag, "unexpected end");
}

int wasm_instr_next(struct wm_cursor *cursor, struct wasm_instr *out, struct wm_diag *diag)
{
    out->offset = (uint32_t)wm_cursor_offset(cursor);
    int err = read_opcode(cursor, &out->op, diag);
    if (err) {
        return err;
    }
    enum wasm_imm imm = (enum wasm_imm)wasm_opcode_table[out->op].imm;
    switch (imm) {
    case WASM_IMM_NONE: return 0;
    case WASM_IMM_LOCAL:
    case WASM_IMM_GLOBAL:
    case WASM_IMM_LABEL:
    case WASM_IMM_FUNC:
    case WASM_IMM_TABLE:
    case WASM_IMM_ELEM:
    case WASM_IMM_DATA: return wasm_read_u32(cursor, &out->idx, diag);
    case WASM_IMM_MEM: return read_mem(cursor, out, diag);
    case WASM_IMM_I32:
    case WASM_IMM_I64:
    case WASM_IMM_F32:
    case WASM_IMM_F64: return read_number(cursor, imm, out, diag);
    case WASM_IMM_BLOCK: return read_block_type(cursor, out, diag);
    case WASM_IMM_BR_TABLE: return read_br_table(cursor, out, diag);
    case WASM_IMM_SELECT: return read_select_types(cursor, out, diag);
    case WASM_IMM_CALL_INDIRECT:
    case WASM_IMM_TABLE_INIT:
    case WASM_IMM_TABLE_COPY: return read_two_idx(cursor, out, diag);
    case WASM_IMM_MEMORY: return read_zero_byte(cursor, diag);
    case WASM_IMM_MEMORY_INIT:
        err = wasm_read_u32(cursor, &out->idx, diag);
        out->idx2 = 0;
        return err ? err : read_zero_byte(cursor, diag);
    case WASM_IMM_MEMORY_COPY:
        err = read_zero_byte(cursor, diag);
        return err ? err : read_zero_byte(cursor, diag);
    case WASM_IMM_MEM_LANE:
        err = read_mem(cursor, out, diag);
        return err ? err : wasm_read_u8(cursor, &out->mem_lane, diag);
    case WASM_IMM_LANE: return wasm_read_u8(cursor, &out->lane, diag);
    case WASM_IMM_SHUFFLE:
    case WASM_IMM_V128: return read_v128(cursor, out, diag);
    case WASM_IMM_REF_TYPE: return read_ref_type(cursor, out, diag);
    }
    WM_UNREACHABLE();
}

uint32_t wasm_instr_label(struct wm_view *labels)
{
    struct wm_cursor cursor = wm_cursor_of(*labels);
    uint32_t label = 0;
    int err = wasm_read_u32(&cursor, &label, NULL);
    WM_ASSERT(!err); /* wasm_instr_next has read all labels once */
    *labels = wm_view_of(cursor.at, wm_cursor_left(&cursor));
    return label;
}
