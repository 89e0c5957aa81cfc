/* .debug_line of our own code: the translator gives each instruction its wasm byte offset as its
 * line number, so the rows are a map from code to wasm as they come. */
#include <errno.h>
#include <stdlib.h>

#include "base/vec.h"
#include "wasm/dwarf.h"
#include "wasm/elf_internal.h"

struct line {
    uint32_t code_offset, wasm_offset;
    uint32_t order; /* among rows at the same place the last one counts */
};

struct collected {
    uint64_t code_bytes;
    WM_VEC(struct line) lines;
    bool sorted;
};

static int take_row(void *self, const struct wasm_dwarf_row *row)
{
    struct collected *collected = self;
    if (row->address > collected->code_bytes || row->line > UINT32_MAX) {
        return 0;
    }
    struct line line = {
        .code_offset = (uint32_t)row->address,
        .wasm_offset = row->end ? 0 : (uint32_t)row->line,
        .order = (uint32_t)collected->lines.count,
    };
    if (collected->lines.count &&
        collected->lines.items[collected->lines.count - 1].code_offset > line.code_offset) {
        collected->sorted = false;
    }
    return wm_vec_push(&collected->lines, line);
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->code_offset != y->code_offset) {
        return x->code_offset > y->code_offset ? 1 : -1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

int elf_read_lines(const struct wm_view *tables, uint32_t count, struct wm_arena *arena,
                   struct wasm_elf_image *image)
{
    struct collected collected = {.code_bytes = image->code_bytes, .sorted = true};
    const struct wasm_dwarf_visitor visitor = {.row = take_row, .self = &collected};
    int err = 0;
    for (uint32_t i = 0; i < count && !err; i++) {
        const struct wasm_dwarf_sections sections = {.line = tables[i]};
        err = wasm_dwarf_read(&sections, &visitor);
    }
    if (!err && !collected.sorted) {
        qsort(collected.lines.items, collected.lines.count, sizeof *collected.lines.items,
              compare_lines);
    }
    if (!err) {
        image->lines = WM_ARENA_ARRAY(arena, struct wasm_object_line, collected.lines.count);
        err = image->lines ? 0 : -ENOMEM;
    }
    for (size_t i = 0; i < collected.lines.count && !err; i++) {
        const struct line *line = &collected.lines.items[i];
        if (i + 1 < collected.lines.count && line[1].code_offset == line->code_offset) {
            continue;
        }
        if (image->line_count &&
            image->lines[image->line_count - 1].wasm_offset == line->wasm_offset) {
            continue;
        }
        image->lines[image->line_count++] = (struct wasm_object_line){
            .code_offset = line->code_offset, .wasm_offset = line->wasm_offset};
    }
    wm_vec_fini(&collected.lines);
    return err;
}
