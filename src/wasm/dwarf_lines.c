/* The line number program and the tables of names before it (DWARF 5 sections 6.2.4 and 6.2.5).
 *
 *     unit:  length | version | [address size, segment size] | header length | parameters |
 *            directories | files | program
 *
 * Every unit states its length and that of its header, so a damaged unit is left behind at its end
 * and the next one is read. */
#include "wasm/dwarf.h"

#include <string.h>

#include "base/vec.h"

struct line_unit {
    struct wasm_dwarf_unit base;
    uint8_t min_instruction_bytes, line_range, opcode_base;
    int8_t line_base;
    struct wm_view opcode_operands; /* [opcode_base - 1] */
    struct wm_view program;
};

static bool cursor_u16(struct wm_cursor *cursor, uint16_t *out)
{
    struct wm_view bytes;
    if (!wm_cursor_bytes(cursor, 2, &bytes)) {
        return false;
    }
    *out = (uint16_t)(bytes.ptr[0] | bytes.ptr[1] << 8);
    return true;
}

static bool uleb(struct wm_cursor *cursor, uint64_t *out)
{
    return wm_cursor_uleb(cursor, 64, out) == WM_LEB_OK;
}

static bool string(struct wm_cursor *cursor, struct wm_view *out)
{
    size_t left = wm_cursor_left(cursor);
    const uint8_t *end = left ? memchr(cursor->at, 0, left) : NULL;
    struct wm_view nul;
    return end && wm_cursor_bytes(cursor, (size_t)(end - cursor->at), out) &&
           wm_cursor_bytes(cursor, 1, &nul);
}

static bool read_unit(const struct wasm_dwarf_sections *sections, struct wm_view bytes,
                      struct line_unit *out)
{
    struct wm_cursor cursor = wm_cursor_of(bytes);
    uint8_t skipped, operands;
    uint32_t header_bytes;
    struct wm_view header;
    *out = (struct line_unit){.base = {.sections = sections}};
    if (!cursor_u16(&cursor, &out->base.version) || out->base.version < 2 ||
        out->base.version > 5) {
        return false;
    }
    if (out->base.version >= 5 &&
        (!wm_cursor_u8(&cursor, &skipped) || !wm_cursor_u8(&cursor, &skipped))) {
        return false;
    }
    if (!wm_cursor_u32(&cursor, &header_bytes) ||
        !wm_cursor_bytes(&cursor, header_bytes, &header)) {
        return false;
    }
    out->program = wm_view_of(cursor.at, wm_cursor_left(&cursor));
    cursor = wm_cursor_of(header);
    uint8_t line_base;
    if (!wm_cursor_u8(&cursor, &out->min_instruction_bytes) ||
        (out->base.version >= 4 && !wm_cursor_u8(&cursor, &skipped)) ||
        !wm_cursor_u8(&cursor, &skipped) || !wm_cursor_u8(&cursor, &line_base) ||
        !wm_cursor_u8(&cursor, &out->line_range) || out->line_range == 0 ||
        !wm_cursor_u8(&cursor, &out->opcode_base) || out->opcode_base == 0) {
        return false;
    }
    out->line_base = (int8_t)line_base;
    operands = (uint8_t)(out->opcode_base - 1);
    if (!wm_cursor_bytes(&cursor, operands, &out->opcode_operands)) {
        return false;
    }
    out->base.tables = wm_view_of(cursor.at, wm_cursor_left(&cursor));
    return true;
}

typedef WM_VEC(struct wm_view) name_list;

/* Files of versions 2 to 4, after their directories: strings, each list ended by an empty one.
 * Files count from 1, and directory 0 is the unit's own, which is not in the table. */
static int visit_files_v2(struct wm_cursor *cursor, const name_list *dirs,
                          const struct wasm_dwarf_visitor *visitor)
{
    struct wm_view name;
    for (uint64_t file = 1;; file++) {
        uint64_t dir, skipped;
        if (!string(cursor, &name) || !name.len || !uleb(cursor, &dir) || !uleb(cursor, &skipped) ||
            !uleb(cursor, &skipped) || dir > dirs->count) {
            return 0;
        }
        struct wm_view dir_name = dir ? dirs->items[dir - 1] : (struct wm_view){0};
        int stop = visitor->file(visitor->self, file, dir_name, name);
        if (stop) {
            return stop;
        }
    }
}

static int read_files_v2(const struct line_unit *unit, const struct wasm_dwarf_visitor *visitor)
{
    struct wm_cursor cursor = wm_cursor_of(unit->base.tables);
    name_list dirs = {0};
    struct wm_view dir;
    int stop = 0;
    bool whole;
    while ((whole = string(&cursor, &dir)) && dir.len && !stop) {
        stop = wm_vec_push(&dirs, dir);
    }
    if (!stop && whole) {
        stop = visit_files_v2(&cursor, &dirs, visitor);
    }
    wm_vec_fini(&dirs);
    return stop;
}

#define V5_FIELDS_MAX 16
#define LNCT_PATH 1
#define LNCT_DIRECTORY 2

struct v5_format {
    unsigned count;
    struct {
        uint64_t content, form;
    } fields[V5_FIELDS_MAX];
};

static bool read_format(struct wm_cursor *cursor, struct v5_format *out)
{
    uint8_t count;
    if (!wm_cursor_u8(cursor, &count) || count > V5_FIELDS_MAX) {
        return false;
    }
    out->count = count;
    for (unsigned i = 0; i < count; i++) {
        if (!uleb(cursor, &out->fields[i].content) || !uleb(cursor, &out->fields[i].form)) {
            return false;
        }
    }
    return true;
}

static bool string_in(struct wm_view table, uint32_t offset, struct wm_view *out)
{
    struct wm_view rest;
    if (offset > table.len || !wm_view_slice(table, offset, table.len - offset, &rest)) {
        return false;
    }
    struct wm_cursor cursor = wm_cursor_of(rest);
    return string(&cursor, out);
}

/* One field: a string or a number, by its form (7.5.6). */
static bool read_form(const struct line_unit *unit, struct wm_cursor *cursor, uint64_t form,
                      struct wm_view *text, uint64_t *number)
{
    struct wm_view bytes;
    uint64_t len;
    uint32_t offset;
    uint8_t byte;
    uint16_t half;
    switch (form) {
    case 0x08: /* string */ return string(cursor, text);
    case 0x1f: /* line_strp */
        return wm_cursor_u32(cursor, &offset) &&
               string_in(unit->base.sections->line_str, offset, text);
    case 0x0e: /* strp */
        return wm_cursor_u32(cursor, &offset) && string_in(unit->base.sections->str, offset, text);
    case 0x0b: /* data1 */
        if (!wm_cursor_u8(cursor, &byte)) {
            return false;
        }
        *number = byte;
        return true;
    case 0x05: /* data2 */
        if (!cursor_u16(cursor, &half)) {
            return false;
        }
        *number = half;
        return true;
    case 0x0f: /* udata */ return uleb(cursor, number);
    case 0x06: /* data4 */ return wm_cursor_bytes(cursor, 4, &bytes);
    case 0x07: /* data8 */ return wm_cursor_bytes(cursor, 8, &bytes);
    case 0x1e: /* data16 */ return wm_cursor_bytes(cursor, 16, &bytes);
    case 0x09: /* block */ return uleb(cursor, &len) && wm_cursor_bytes(cursor, len, &bytes);
    default: return false;
    }
}

/* One entry. An entry of no bytes would let a count stand for endless work. */
static bool read_entry(const struct line_unit *unit, struct wm_cursor *cursor,
                       const struct v5_format *format, struct wm_view *path, uint64_t *dir)
{
    size_t before = wm_cursor_left(cursor);
    *path = (struct wm_view){0};
    *dir = 0;
    for (unsigned i = 0; i < format->count; i++) {
        struct wm_view text = {0};
        uint64_t number = 0;
        if (!read_form(unit, cursor, format->fields[i].form, &text, &number)) {
            return false;
        }
        if (format->fields[i].content == LNCT_PATH) {
            *path = text;
        } else if (format->fields[i].content == LNCT_DIRECTORY) {
            *dir = number;
        }
    }
    return wm_cursor_left(cursor) < before;
}

/* Files count from 0, and so do directories; the first of each is the unit's own. */
static int visit_files_v5(const struct line_unit *unit, struct wm_cursor *cursor,
                          const name_list *dirs, const struct wasm_dwarf_visitor *visitor)
{
    struct v5_format format;
    struct wm_view path;
    uint64_t count, dir;
    if (!read_format(cursor, &format) || !uleb(cursor, &count)) {
        return 0;
    }
    for (uint64_t file = 0; file < count; file++) {
        if (!read_entry(unit, cursor, &format, &path, &dir) || dir >= dirs->count) {
            return 0;
        }
        struct wm_view dir_name = dir ? dirs->items[dir] : (struct wm_view){0};
        int stop = visitor->file(visitor->self, file, dir_name, path);
        if (stop) {
            return stop;
        }
    }
    return 0;
}

static int read_files_v5(const struct line_unit *unit, const struct wasm_dwarf_visitor *visitor)
{
    struct wm_cursor cursor = wm_cursor_of(unit->base.tables);
    name_list dirs = {0};
    struct v5_format format;
    struct wm_view path;
    uint64_t count, skipped;
    int stop = 0;
    if (!read_format(&cursor, &format) || !uleb(&cursor, &count)) {
        return 0;
    }
    while (count && !stop && read_entry(unit, &cursor, &format, &path, &skipped)) {
        stop = wm_vec_push(&dirs, path);
        count--;
    }
    if (!stop && !count) {
        stop = visit_files_v5(unit, &cursor, &dirs, visitor);
    }
    wm_vec_fini(&dirs);
    return stop;
}

struct machine {
    const struct line_unit *unit;
    struct wm_cursor cursor;
    struct wasm_dwarf_row now;
};

static void reset(struct machine *machine)
{
    machine->now = (struct wasm_dwarf_row){.file = 1, .line = 1};
}

static void advance(struct machine *machine, uint64_t steps)
{
    machine->now.address +=
        steps * machine->unit->min_instruction_bytes; /* wraps, as addresses do */
}

/* Standard and extended opcodes. *emit: a row is complete. False: damaged. */
static bool step(struct machine *machine, uint8_t op, bool *emit)
{
    struct wm_cursor *cursor = &machine->cursor;
    const struct line_unit *unit = machine->unit;
    uint64_t number;
    int64_t delta;
    uint16_t half;
    switch (op) {
    case 0: { /* extended */
        struct wm_view body;
        uint8_t sub;
        if (!uleb(cursor, &number) || !wm_cursor_bytes(cursor, number, &body)) {
            return false;
        }
        struct wm_cursor inner = wm_cursor_of(body);
        if (!wm_cursor_u8(&inner, &sub)) {
            return false;
        }
        if (sub == 1) { /* end_sequence */
            machine->now.end = *emit = true;
        } else if (sub == 2) { /* set_address */
            uint32_t narrow;
            if (wm_cursor_left(&inner) == 4 && wm_cursor_u32(&inner, &narrow)) {
                machine->now.address = narrow;
            } else if (!wm_cursor_u64(&inner, &machine->now.address)) {
                return false;
            }
        }
        return true;
    }
    case 1: /* copy */ *emit = true; return true;
    case 2: /* advance_pc */
        if (!uleb(cursor, &number)) {
            return false;
        }
        advance(machine, number);
        return true;
    case 3: /* advance_line */
        if (wm_cursor_sleb(cursor, 64, &delta) != WM_LEB_OK) {
            return false;
        }
        machine->now.line += (uint64_t)delta;
        return true;
    case 4: /* set_file */ return uleb(cursor, &machine->now.file);
    case 8: /* const_add_pc */
        advance(machine, (uint64_t)((255 - unit->opcode_base) / unit->line_range));
        return true;
    case 9: /* fixed_advance_pc */
        if (!cursor_u16(cursor, &half)) {
            return false;
        }
        machine->now.address += half;
        return true;
    default: /* one that does not matter here: skip its operands */
        for (unsigned i = 0; i < unit->opcode_operands.ptr[op - 1]; i++) {
            if (!uleb(cursor, &number)) {
                return false;
            }
        }
        return true;
    }
}

static int run(const struct line_unit *unit, const struct wasm_dwarf_visitor *visitor)
{
    struct machine machine = {.unit = unit, .cursor = wm_cursor_of(unit->program)};
    uint8_t op;
    reset(&machine);
    while (wm_cursor_u8(&machine.cursor, &op)) {
        bool emit = false;
        if (op >= unit->opcode_base) {
            unsigned adjusted = (unsigned)op - unit->opcode_base;
            advance(&machine, adjusted / unit->line_range);
            machine.now.line += (uint64_t)(int64_t)unit->line_base + adjusted % unit->line_range;
            emit = true;
        } else if (!step(&machine, op, &emit)) {
            return 0;
        }
        if (emit) {
            int stop = visitor->row(visitor->self, &machine.now);
            if (stop) {
                return stop;
            }
            if (machine.now.end) {
                reset(&machine);
            }
        }
    }
    return 0;
}

int wasm_dwarf_read(const struct wasm_dwarf_sections *sections,
                    const struct wasm_dwarf_visitor *visitor)
{
    struct wm_cursor cursor = wm_cursor_of(sections->line);
    uint32_t len;
    struct wm_view bytes;
    int stop = 0;
    /* 0xffffffff would begin the 64-bit form, which no wasm32 toolchain writes; it does not fit. */
    while (!stop && wm_cursor_u32(&cursor, &len) && wm_cursor_bytes(&cursor, len, &bytes)) {
        struct line_unit unit;
        if (!read_unit(sections, bytes, &unit)) {
            continue;
        }
        stop = visitor->unit ? visitor->unit(visitor->self, &unit.base) : 0;
        if (!stop && visitor->file) {
            stop = unit.base.version >= 5 ? read_files_v5(&unit, visitor)
                                          : read_files_v2(&unit, visitor);
        }
        stop = stop ? stop : run(&unit, visitor);
    }
    return stop;
}
