/* dwarf.h: line tables (DWARF 2 to 5, section 6.2): which address came from which file and line.
 *
 * One reader for two tables: the one that LLVM writes for our own code (elf_lines.c), and the one
 * that a guest module carries in its custom sections (dwarf_source.c). The second is hostile input,
 * and it only serves messages: whatever is damaged yields fewer rows, never an error. Work is
 * linear in the input. Only .debug_line and the string tables that it names are read; the rest of
 * DWARF, some hundred times as much format, is not needed for file and line. That is why this is
 * not a library's work: one that reads all of DWARF would bring its whole surface for these two
 * tables. */
#ifndef WM_WASM_DWARF_H
#define WM_WASM_DWARF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/view.h"
#include "wasm/module.h"

struct wasm_dwarf_sections {
    struct wm_view line, line_str, str; /* empty where there is none */
};

struct wasm_dwarf_row { /* from `address` on, until the next row of its sequence */
    uint64_t address, line, file;
    bool end; /* of a sequence: nothing is at `address` */
};

/* A unit of the table, while it is being read. */
struct wasm_dwarf_unit {
    const struct wasm_dwarf_sections *sections;
    uint16_t version;
    struct wm_view tables; /* of directories and files */
};

/* Each returns 0 to go on; anything else ends the reading and is returned by wasm_dwarf_read. */
struct wasm_dwarf_visitor {
    int (*unit)(void *self, const struct wasm_dwarf_unit *unit);
    int (*row)(void *self, const struct wasm_dwarf_row *row);
    int (*file)(void *self, uint64_t file, struct wm_view dir, struct wm_view name);
    void *self;
};

/* Visits every unit and every row, in file order. `unit` and `file` may be NULL; `file` is called
 * for each file of a unit, after `unit` and before its rows. `dir` is empty for the unit's own
 * folder. */
WM_MUST_CHECK int wasm_dwarf_read(const struct wasm_dwarf_sections *sections,
                                  const struct wasm_dwarf_visitor *visitor);

struct wasm_dwarf_source {
    uint32_t wasm_offset, line; /* line 0: nothing is known from here on */
    uint32_t file;              /* in `files` */
};
struct wasm_dwarf_sources {
    uint32_t count;
    struct wasm_dwarf_source *rows; /* strictly ascending by wasm_offset */
    uint32_t file_count;
    struct wm_view *files;
};

/* The line table of a module: offsets are those of the module's bytes. 0 with no rows when it has
 * none or a damaged one; -ENOMEM. */
WM_MUST_CHECK int wasm_dwarf_sources(const struct wasm_module *module, struct wm_arena *arena,
                                     struct wasm_dwarf_sources *out);

/* Sets module->bodies_with_lines from that table. Keeping the lines of a body costs as much as
 * compiling it fast, and most modules know those of their C library only. 0 or -ENOMEM. */
WM_MUST_CHECK int wasm_dwarf_bodies(struct wasm_module *module, struct wm_arena *arena);

#endif
