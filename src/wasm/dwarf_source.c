/* The module's own line table, as its toolchain left it in custom sections.
 *
 * Addresses count from the start of the code section's content. A linker that dropped a function
 * leaves its rows behind with a start address of 0 or -1 (and -2 in range lists), "tombstones"; no
 * function lies at 0, where the section keeps its count, so such sequences are told apart and left
 * out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "wasm/dwarf.h"

/* A name from a shared string table may be long and used often: what one module can make us write
 * is bounded here. Beyond, files have no name and further rows are left out. */
#define PATH_BYTES_MAX 4096
#define PATHS_BYTES_MAX ((size_t)32 << 20)
#define ROWS_MAX ((size_t)8 << 20)

struct source {
    uint32_t wasm_offset, line, file, order;
};

struct collected {
    const struct wasm_module *module;
    struct wm_arena *arena;
    uint64_t last_address; /* of the sequence */
    bool in_sequence, dropped;
    size_t path_bytes;
    WM_VEC(struct source) rows;
    WM_VEC(struct wm_view) files;
    size_t unit_first;  /* in `files`: of this unit */
    uint64_t unit_base; /* number of its first file: 0 or 1 */
};

static int take_unit(void *self, const struct wasm_dwarf_unit *unit)
{
    struct collected *collected = self;
    collected->unit_first = collected->files.count;
    collected->unit_base = unit->version >= 5 ? 0 : 1;
    collected->in_sequence = false;
    return 0;
}

static int take_file(void *self, uint64_t file, struct wm_view dir, struct wm_view name)
{
    struct collected *collected = self;
    (void)file; /* they come in order */
    bool alone = dir.len == 0 || (name.len && name.ptr[0] == '/');
    size_t len = alone ? name.len : dir.len + 1 + name.len;
    if (len > PATH_BYTES_MAX || len > PATHS_BYTES_MAX - collected->path_bytes) {
        return wm_vec_push(&collected->files, (struct wm_view){0});
    }
    collected->path_bytes += len;
    uint8_t *text = wm_arena_take(collected->arena, 1, len);
    if (!text) {
        return -ENOMEM;
    }
    size_t at = 0;
    if (!alone) {
        memcpy(text, dir.ptr, dir.len);
        text[dir.len] = '/';
        at = dir.len + 1;
    }
    if (name.len) {
        memcpy(text + at, name.ptr, name.len);
    }
    return wm_vec_push(&collected->files, wm_view_of(text, len));
}

static int take_row(void *self, const struct wasm_dwarf_row *row)
{
    struct collected *collected = self;
    uint64_t base = collected->module->code_section_offset;
    if (!collected->in_sequence) {
        collected->in_sequence = true;
        collected->dropped = row->address == 0;
    } else if (row->address < collected->last_address) {
        collected->dropped = true; /* addresses of a sequence ascend; this one is damaged */
    }
    collected->last_address = row->address;
    if (row->end) {
        collected->in_sequence = false;
    }
    if (collected->dropped || collected->rows.count == ROWS_MAX ||
        row->address > collected->module->bytes.len ||
        base + row->address > collected->module->bytes.len) {
        return 0;
    }
    uint64_t number = row->file - collected->unit_base;
    bool known = !row->end && row->line <= UINT32_MAX && row->file >= collected->unit_base &&
                 number < collected->files.count - collected->unit_first;
    struct source source = {
        .wasm_offset = (uint32_t)(base + row->address),
        .line = known ? (uint32_t)row->line : 0,
        .file = known ? (uint32_t)(collected->unit_first + number) : 0,
        .order = (uint32_t)collected->rows.count,
    };
    return wm_vec_push(&collected->rows, source);
}

/* At one place the last row counts, but a sequence's end gives way to the sequence that begins
 * there. */
static int compare_sources(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    if (x->wasm_offset != y->wasm_offset) {
        return x->wasm_offset > y->wasm_offset ? 1 : -1;
    }
    if ((x->line == 0) != (y->line == 0)) {
        return x->line == 0 ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

static struct wm_view custom(const struct wasm_module *module, const char *name)
{
    for (uint32_t i = 0; i < module->custom_count; i++) {
        if (wm_view_eq_str(module->customs[i].name, name)) {
            return module->customs[i].bytes;
        }
    }
    return (struct wm_view){0};
}

static int finish(struct collected *collected, struct wasm_dwarf_sources *out)
{
    size_t count = collected->rows.count;
    out->rows = WM_ARENA_ARRAY(collected->arena, struct wasm_dwarf_source, count);
    out->files = WM_ARENA_ARRAY(collected->arena, struct wm_view, collected->files.count);
    if (!out->rows || !out->files) {
        return -ENOMEM;
    }
    out->file_count = (uint32_t)collected->files.count;
    if (collected->files.count) {
        memcpy(out->files, collected->files.items, out->file_count * sizeof *out->files);
    }
    if (count) {
        qsort(collected->rows.items, count, sizeof *collected->rows.items, compare_sources);
    }
    for (size_t i = 0; i < count; i++) {
        const struct source *row = &collected->rows.items[i];
        struct wasm_dwarf_source *last = out->count ? &out->rows[out->count - 1] : NULL;
        if (i + 1 < count && row[1].wasm_offset == row->wasm_offset) {
            continue;
        }
        if (last && last->line == row->line && last->file == row->file) {
            continue;
        }
        out->rows[out->count++] = (struct wasm_dwarf_source){
            .wasm_offset = row->wasm_offset, .line = row->line, .file = row->file};
    }
    return 0;
}

int wasm_dwarf_sources(const struct wasm_module *module, struct wm_arena *arena,
                       struct wasm_dwarf_sources *out)
{
    struct collected collected = {.module = module, .arena = arena};
    const struct wasm_dwarf_sections sections = {
        .line = custom(module, ".debug_line"),
        .line_str = custom(module, ".debug_line_str"),
        .str = custom(module, ".debug_str"),
    };
    const struct wasm_dwarf_visitor visitor = {
        .unit = take_unit, .file = take_file, .row = take_row, .self = &collected};
    *out = (struct wasm_dwarf_sources){0};
    int err = wasm_dwarf_read(&sections, &visitor);
    err = err ? err : finish(&collected, out);
    wm_vec_fini(&collected.rows);
    wm_vec_fini(&collected.files);
    return err;
}

int wasm_dwarf_bodies(struct wasm_module *module, struct wm_arena *arena)
{
    struct wasm_dwarf_sources sources;
    bool *known = WM_ARENA_ARRAY(arena, bool, module->body_count);
    int err = known ? wasm_dwarf_sources(module, arena, &sources) : -ENOMEM;
    if (err) {
        return err;
    }
    uint32_t at = 0; /* bodies and rows both ascend */
    for (uint32_t i = 0; i < module->body_count; i++) {
        const struct wasm_body *body = &module->bodies[i];
        uint64_t end = body->code_offset + (uint64_t)body->code.len;
        while (at < sources.count && sources.rows[at].wasm_offset <= body->code_offset) {
            at++;
        }
        known[i] = at > 0 && sources.rows[at - 1].line != 0; /* the row in force where it begins */
        for (; at < sources.count && sources.rows[at].wasm_offset < end; at++) {
            known[i] = known[i] || sources.rows[at].line != 0;
        }
    }
    module->bodies_with_lines = known;
    return 0;
}
