/* Call frame information, reduced to what a backtrace of wasm code needs.
 *
 * .eh_frame is a small program per function (DWARF 5 section 6.4, with the changes of the LSB,
 * "Exception Frames"). It is run here, once, at compile time, and leaves a table: at this offset
 * the caller's frame begins so far above rsp (or rbp), and rbp was saved there. The runtime's
 * unwinder is then a binary search and an addition, fit for a signal handler.
 *
 * Other saved registers are ignored: a backtrace does not need them, and traps leave through the
 * runtime's own saved state. A rule that does not fit the table (an expression, another register,
 * as LLVM uses inside the loop that probes a large frame) gives a row that says "no frame": the
 * backtrace stops there rather than guess. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/error.h"
#include "base/vec.h"
#include "wasm/elf_internal.h"

#define DW_RBP 6
#define DW_RSP 7
#define DW_RETURN_ADDRESS 16
#define STATES_MAX 16 /* nesting of remember_state; LLVM uses 1 */
#define CFA_RBP UINT32_C(0x80000000)
#define NO_FRAME UINT32_MAX
#define PROLOGUE_BYTES 256
/* Alignment of a frame can cost up to this beyond what is subtracted. */
#define REALIGN_BYTES 64

#define ENCODING_PCREL_SDATA4 0x1b
#define ENCODING_PCREL_SDATA8 0x1c

struct cie {
    uint64_t code_alignment;
    int64_t data_alignment;
    uint8_t encoding; /* of addresses */
    bool augmented;   /* 'z': FDEs have augmentation data */
    struct wm_view program;
};

struct fde {
    struct cie cie;
    uint64_t offset, len;
    struct wm_view program;
};

struct state {
    uint64_t cfa_register;
    int64_t cfa_offset;
    int64_t rbp_offset; /* 0: unchanged */
    bool known;         /* false: the CFA or rbp is given in a way that the table cannot hold */
};

struct run {
    const struct fde *fde;
    struct wm_cursor cursor;
    uint64_t at; /* offset in the image */
    struct state now, initial;
    struct state saved[STATES_MAX];
    unsigned saved_count;
    uint64_t frame_bytes;
    bool frame_in_rbp;
};

typedef WM_VEC(struct wasm_object_unwind) unwind_rows;

static bool uleb(struct wm_cursor *cursor, uint64_t *out)
{
    return wm_cursor_uleb(cursor, 64, out) == WM_LEB_OK;
}

static bool sleb(struct wm_cursor *cursor, int64_t *out)
{
    return wm_cursor_sleb(cursor, 64, out) == WM_LEB_OK;
}

static bool read_cie(struct wm_view entry, struct cie *out)
{
    struct wm_cursor cursor = wm_cursor_of(entry);
    uint32_t id;
    uint8_t version, letter;
    char augmentation[8];
    size_t letters = 0;
    *out = (struct cie){.encoding = 0};
    if (!wm_cursor_u32(&cursor, &id) || id != 0 || !wm_cursor_u8(&cursor, &version) ||
        version != 1) {
        return false;
    }
    do {
        if (!wm_cursor_u8(&cursor, &letter) || letters == sizeof augmentation) {
            return false;
        }
        augmentation[letters++] = (char)letter;
    } while (letter);
    uint8_t return_register;
    if (!uleb(&cursor, &out->code_alignment) || !sleb(&cursor, &out->data_alignment) ||
        !wm_cursor_u8(&cursor, &return_register) || return_register != DW_RETURN_ADDRESS) {
        return false;
    }
    if (strcmp(augmentation, "zR") == 0) {
        uint64_t len;
        struct wm_view data;
        if (!uleb(&cursor, &len) || !wm_cursor_bytes(&cursor, len, &data) || data.len < 1) {
            return false;
        }
        out->augmented = true;
        out->encoding = data.ptr[0];
    }
    if (out->encoding != ENCODING_PCREL_SDATA4 && out->encoding != ENCODING_PCREL_SDATA8) {
        return false;
    }
    out->program = wm_view_of(cursor.at, wm_cursor_left(&cursor));
    return true;
}

/* An address relative to its own place. */
static bool read_pointer(struct wm_cursor *cursor, uint64_t address, uint8_t encoding,
                         bool relative, uint64_t *out)
{
    uint64_t place = address + wm_cursor_offset(cursor);
    if (encoding == ENCODING_PCREL_SDATA8) {
        if (!wm_cursor_u64(cursor, out)) {
            return false;
        }
    } else {
        uint32_t narrow;
        if (!wm_cursor_u32(cursor, &narrow)) {
            return false;
        }
        *out = (uint64_t)(int64_t)(int32_t)narrow;
    }
    *out += relative ? place : 0;
    return true;
}

/* Reads the entry at *cursor. *is_fde tells; false when the section is damaged. */
static bool read_entry(struct wm_view section, uint64_t address, struct wm_cursor *cursor,
                       struct fde *out, bool *is_fde, bool *end)
{
    uint32_t len, id;
    struct wm_view entry, cie_bytes;
    *is_fde = *end = false;
    if (!wm_cursor_u32(cursor, &len)) {
        return false;
    }
    if (len == 0) {
        *end = true;
        return true;
    }
    size_t start = wm_cursor_offset(cursor);
    if (len == UINT32_MAX || !wm_cursor_bytes(cursor, len, &entry) || entry.len < 4) {
        return false;
    }
    struct wm_cursor body = wm_cursor_of(entry);
    if (!wm_cursor_u32(&body, &id)) {
        return false;
    }
    if (id == 0) {
        return true; /* a CIE; read when an FDE refers to it */
    }
    /* `id` is the distance back to the CIE's length field. */
    if (id > start || !wm_view_slice(section, start - id, 4, &cie_bytes)) {
        return false;
    }
    uint32_t cie_len;
    memcpy(&cie_len, cie_bytes.ptr, 4);
    if (!wm_view_slice(section, start - id + 4, cie_len, &cie_bytes) ||
        !read_cie(cie_bytes, &out->cie)) {
        return false;
    }
    if (!read_pointer(&body, address + start, out->cie.encoding, true, &out->offset) ||
        !read_pointer(&body, 0, out->cie.encoding, false, &out->len)) {
        return false;
    }
    if (out->cie.augmented) {
        uint64_t skip;
        struct wm_view ignored;
        if (!uleb(&body, &skip) || !wm_cursor_bytes(&body, skip, &ignored)) {
            return false;
        }
    }
    out->program = wm_view_of(body.at, wm_cursor_left(&body));
    *is_fde = true;
    return true;
}

static struct wasm_object_unwind row_of(const struct state *state, uint64_t at)
{
    struct wasm_object_unwind row = {.code_offset = (uint32_t)at, .cfa = NO_FRAME};
    bool fits = state->known && state->cfa_offset >= 8 && state->cfa_offset < INT32_MAX &&
                state->rbp_offset > INT32_MIN && state->rbp_offset <= 0 &&
                (state->cfa_register == DW_RSP || state->cfa_register == DW_RBP);
    if (fits) {
        row.cfa = (uint32_t)state->cfa_offset | (state->cfa_register == DW_RBP ? CFA_RBP : 0);
        row.rbp_offset = (int32_t)state->rbp_offset;
    }
    return row;
}

/* Adds a row, in place of one at the same offset, unless it says what the one before it says. */
static int add_row(unwind_rows *rows, struct wasm_object_unwind row)
{
    if (rows->count && rows->items[rows->count - 1].code_offset == row.code_offset) {
        rows->count--;
    }
    if (rows->count) {
        const struct wasm_object_unwind *last = &rows->items[rows->count - 1];
        if (last->cfa == row.cfa && last->rbp_offset == row.rbp_offset) {
            return 0;
        }
    }
    return wm_vec_push(rows, row);
}

static int emit(struct run *run, unwind_rows *rows)
{
    const struct state *now = &run->now;
    if (now->cfa_register == DW_RBP) {
        run->frame_in_rbp = true;
    } else if (now->cfa_offset > 0) {
        run->frame_bytes = wm_max_u64(run->frame_bytes, (uint64_t)now->cfa_offset);
    }
    return add_row(rows, row_of(now, run->at));
}

static bool advance(struct run *run, uint64_t delta, unwind_rows *rows, int *err)
{
    uint64_t step;
    *err = emit(run, rows);
    if (*err || !wm_mul_u64(delta, run->fde->cie.code_alignment, &step) ||
        step > run->fde->offset + run->fde->len - run->at) {
        return false;
    }
    run->at += step;
    return true;
}

static bool set_saved(struct run *run, uint64_t reg, int64_t factored)
{
    int64_t offset;
    if (__builtin_mul_overflow(factored, run->fde->cie.data_alignment, &offset)) {
        return false;
    }
    if (reg == DW_RBP) {
        run->now.rbp_offset = offset;
        run->now.known = run->now.known && offset < 0;
    }
    return true;
}

/* One instruction whose operation is in the low six bits. False: damaged. */
static bool step_extended(struct run *run, uint8_t op, unwind_rows *rows, int *err)
{
    struct wm_cursor *cursor = &run->cursor;
    struct state *now = &run->now;
    struct wm_view bytes;
    uint64_t reg, number, skip;
    int64_t signed_number;
    switch (op) {
    case 0x00: return true; /* nop */
    case 0x02: {            /* advance_loc1 */
        uint8_t delta;
        return wm_cursor_u8(cursor, &delta) && advance(run, delta, rows, err);
    }
    case 0x03: /* advance_loc2 */
        return wm_cursor_bytes(cursor, 2, &bytes) &&
               advance(run, (uint64_t)(bytes.ptr[0] | bytes.ptr[1] << 8), rows, err);
    case 0x04: { /* advance_loc4 */
        uint32_t delta;
        return wm_cursor_u32(cursor, &delta) && advance(run, delta, rows, err);
    }
    case 0x05: /* offset_extended */
        return uleb(cursor, &reg) && uleb(cursor, &number) && number <= INT32_MAX &&
               set_saved(run, reg, (int64_t)number);
    case 0x11: /* offset_extended_sf */
        return uleb(cursor, &reg) && sleb(cursor, &signed_number) &&
               set_saved(run, reg, signed_number);
    case 0x06: /* restore_extended */
        if (!uleb(cursor, &reg)) {
            return false;
        }
        now->rbp_offset = reg == DW_RBP ? run->initial.rbp_offset : now->rbp_offset;
        return true;
    case 0x08: /* same_value */
        if (!uleb(cursor, &reg)) {
            return false;
        }
        now->rbp_offset = reg == DW_RBP ? 0 : now->rbp_offset;
        return true;
    case 0x07: /* undefined */
        if (!uleb(cursor, &reg)) {
            return false;
        }
        now->known = now->known && reg != DW_RBP && reg != DW_RETURN_ADDRESS;
        return true;
    case 0x09: /* register */
    case 0x14: /* val_offset */
    case 0x2f: /* GNU_negative_offset_extended */
        if (!uleb(cursor, &reg) || !uleb(cursor, &number)) {
            return false;
        }
        now->known = now->known && reg != DW_RBP && reg != DW_RETURN_ADDRESS;
        return true;
    case 0x15: /* val_offset_sf */
        if (!uleb(cursor, &reg) || !sleb(cursor, &signed_number)) {
            return false;
        }
        now->known = now->known && reg != DW_RBP && reg != DW_RETURN_ADDRESS;
        return true;
    case 0x0a: /* remember_state */
        if (run->saved_count == STATES_MAX) {
            return false;
        }
        run->saved[run->saved_count++] = *now;
        return true;
    case 0x0b: /* restore_state */
        if (run->saved_count == 0) {
            return false;
        }
        *now = run->saved[--run->saved_count];
        return true;
    case 0x0c: /* def_cfa */
        if (!uleb(cursor, &reg) || !uleb(cursor, &number) || number > INT32_MAX) {
            return false;
        }
        now->cfa_register = reg;
        now->cfa_offset = (int64_t)number;
        return true;
    case 0x12: /* def_cfa_sf */
        if (!uleb(cursor, &reg) || !sleb(cursor, &signed_number)) {
            return false;
        }
        now->cfa_register = reg;
        return !__builtin_mul_overflow(signed_number, run->fde->cie.data_alignment,
                                       &now->cfa_offset);
    case 0x0d: /* def_cfa_register */ return uleb(cursor, &now->cfa_register);
    case 0x0e: /* def_cfa_offset */
        if (!uleb(cursor, &number) || number > INT32_MAX) {
            return false;
        }
        now->cfa_offset = (int64_t)number;
        return true;
    case 0x13: /* def_cfa_offset_sf */
        return sleb(cursor, &signed_number) &&
               !__builtin_mul_overflow(signed_number, run->fde->cie.data_alignment,
                                       &now->cfa_offset);
    case 0x0f: /* def_cfa_expression */
        now->known = false;
        return uleb(cursor, &skip) && wm_cursor_bytes(cursor, skip, &bytes);
    case 0x10: /* expression */
    case 0x16: /* val_expression */
        if (!uleb(cursor, &reg) || !uleb(cursor, &skip) || !wm_cursor_bytes(cursor, skip, &bytes)) {
            return false;
        }
        now->known = now->known && reg != DW_RBP && reg != DW_RETURN_ADDRESS;
        return true;
    case 0x2e: /* GNU_args_size: for exceptions only */ return uleb(cursor, &number);
    default: return false;
    }
}

static bool run_program(struct run *run, struct wm_view program, unwind_rows *rows, int *err)
{
    run->cursor = wm_cursor_of(program);
    uint8_t byte;
    while (wm_cursor_u8(&run->cursor, &byte)) {
        uint8_t low = byte & 0x3f;
        bool ok;
        uint64_t number;
        switch (byte >> 6) {
        case 1: ok = advance(run, low, rows, err); break;
        case 2:
            ok = uleb(&run->cursor, &number) && number <= INT32_MAX &&
                 set_saved(run, low, (int64_t)number);
            break;
        case 3:
            run->now.rbp_offset = low == DW_RBP ? run->initial.rbp_offset : run->now.rbp_offset;
            ok = true;
            break;
        default: ok = step_extended(run, low, rows, err); break;
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* How much a function with a frame pointer takes: call frame information no longer says once the
 * CFA is counted from rbp, so its prologue's instructions are looked at. Every byte offset is
 * tried, and the largest number wins, so the answer can be too large but, where the instruction
 * lies within the first PROLOGUE_BYTES, not too small. 0: not found. */
static uint64_t frame_from_prologue(struct wm_view code)
{
    static const uint8_t sub_imm8[] = {0x48, 0x83, 0xec}, sub_imm32[] = {0x48, 0x81, 0xec},
                         lea_r11[] = {0x4c, 0x8d, 0x9c, 0x24}; /* lea r11, [rsp + disp32] */
    size_t end = code.len < PROLOGUE_BYTES ? code.len : PROLOGUE_BYTES;
    uint64_t most = 0;
    for (size_t i = 0; i + 8 <= end; i++) {
        const uint8_t *at = code.ptr + i;
        int32_t number;
        if (memcmp(at, sub_imm8, 3) == 0 && at[3] < 0x80) {
            most = wm_max_u64(most, at[3]);
        } else if (memcmp(at, sub_imm32, 3) == 0) {
            memcpy(&number, at + 3, 4);
            most = number > 0 ? wm_max_u64(most, (uint64_t)number) : most;
        } else if (memcmp(at, lea_r11, 4) == 0) {
            memcpy(&number, at + 4, 4);
            most = number < 0 ? wm_max_u64(most, (uint64_t) - (int64_t)number) : most;
        }
    }
    return most;
}

static int run_fde(const struct fde *fde, const struct wasm_elf_image *image, unwind_rows *rows,
                   struct elf_fde *out)
{
    struct run run = {.fde = fde, .at = fde->offset, .now = {.known = true}};
    int err = 0;
    bool ok = run_program(&run, fde->cie.program, rows, &err);
    run.initial = run.now;
    ok = ok && run_program(&run, fde->program, rows, &err);
    if (err) {
        return err;
    }
    if (!ok) {
        run.now.known = false; /* from here on: no frame */
    }
    err = emit(&run, rows);
    uint64_t frame = ok ? run.frame_bytes : UINT32_MAX;
    if (ok && run.frame_in_rbp) {
        uint64_t taken =
            frame_from_prologue(wm_view_of(image->text + fde->offset, (size_t)fde->len));
        frame = taken ? frame + taken + REALIGN_BYTES : UINT32_MAX;
    }
    *out = (struct elf_fde){.offset = (uint32_t)fde->offset,
                            .len = (uint32_t)fde->len,
                            .frame_bytes = (uint32_t)wm_min_u64(frame, UINT32_MAX)};
    return err;
}

static int compare_fdes(const void *a, const void *b)
{
    uint64_t x = ((const struct fde *)a)->offset, y = ((const struct fde *)b)->offset;
    return (x > y) - (x < y);
}

static int damaged(struct wm_diag *diag)
{
    return wm_diag_set(diag, WM_E_COMPILER, "compiled code: its call frame information is damaged");
}

/* Runs the sorted functions; between them and after the last there is no frame. */
static int run_all(const struct fde *fdes, size_t count, const struct wasm_elf_image *image,
                   unwind_rows *rows, struct elf_fde *out, struct wm_diag *diag)
{
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        if (fdes[i].offset < end) {
            return damaged(diag); /* two functions in one place */
        }
        int err = run_fde(&fdes[i], image, rows, &out[i]);
        end = fdes[i].offset + fdes[i].len;
        if (!err) {
            err = add_row(
                rows, (struct wasm_object_unwind){.code_offset = (uint32_t)end, .cfa = NO_FRAME});
        }
        if (err) {
            return wm_diag_default(diag, err, "compiled code");
        }
    }
    return 0;
}

typedef WM_VEC(struct fde) fde_list;

static int read_frames(const struct elf_frames *frames, uint64_t code_bytes, fde_list *fdes,
                       struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(frames->bytes);
    while (!wm_cursor_done(&cursor)) {
        struct fde fde = {.offset = 0};
        bool is_fde, end;
        if (!read_entry(frames->bytes, frames->address, &cursor, &fde, &is_fde, &end) ||
            (is_fde && (!fde.len || !wm_range_fits(fde.offset, fde.len, code_bytes)))) {
            return damaged(diag);
        }
        if (end) {
            break;
        }
        if (is_fde && wm_vec_push(fdes, fde) != 0) {
            return wm_diag_default(diag, -ENOMEM, "compiled code");
        }
    }
    return 0;
}

int elf_read_unwind(const struct elf_frames *frames, uint32_t count, struct wm_arena *arena,
                    struct wasm_elf_image *image, struct elf_fde **fdes_out, uint32_t *fde_count,
                    struct wm_diag *diag)
{
    fde_list fdes = {0};
    unwind_rows rows = {0};
    int err = 0;
    for (uint32_t i = 0; i < count; i++) {
        err = read_frames(&frames[i], image->code_bytes, &fdes, diag);
        if (err) {
            goto out;
        }
    }
    if (fdes.count) {
        qsort(fdes.items, fdes.count, sizeof *fdes.items, compare_fdes);
    }
    struct elf_fde *list = WM_ARENA_ARRAY(arena, struct elf_fde, fdes.count);
    if (!list) {
        err = wm_diag_default(diag, -ENOMEM, "compiled code");
        goto out;
    }
    err = run_all(fdes.items, fdes.count, image, &rows, list, diag);
    if (err) {
        goto out;
    }
    image->unwind = WM_ARENA_ARRAY(arena, struct wasm_object_unwind, rows.count);
    if (!image->unwind) {
        err = wm_diag_default(diag, -ENOMEM, "compiled code");
        goto out;
    }
    if (rows.count) {
        memcpy(image->unwind, rows.items, rows.count * sizeof *rows.items);
    }
    image->unwind_count = (uint32_t)rows.count;
    *fdes_out = list;
    *fde_count = (uint32_t)fdes.count;
out:
    wm_vec_fini(&rows);
    wm_vec_fini(&fdes);
    return err;
}
