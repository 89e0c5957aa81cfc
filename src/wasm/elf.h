/* elf.h: from the translator's relocatable ELF files to one flat text image and its tables.
 *
 * Linked into wardmote-wasmc only. Lays .text and the constant sections out, resolves the
 * PC-relative relocations between them and between the files, refuses every other kind and every
 * undefined symbol by name, and turns .eh_frame into unwind records and .debug_line into line
 * records. */
#ifndef WM_WASM_ELF_H
#define WM_WASM_ELF_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/view.h"
#include "wasm/object.h"

struct wasm_elf_symbol {
    uint32_t offset, len; /* in the image */
};

struct wasm_elf_image {
    uint8_t *text; /* arena; code first, then constants */
    uint64_t text_bytes;
    uint64_t code_bytes;
    uint32_t func_count; /* arrays by function index and by type index; len 0: absent */
    struct wasm_elf_symbol *funcs;
    uint32_t type_count;
    struct wasm_elf_symbol *entries, *adapters;
    uint32_t unwind_count;
    struct wasm_object_unwind *unwind;
    uint32_t line_count;
    struct wasm_object_line *lines;
    uint32_t frame_max;    /* the largest native frame, bytes */
    uint32_t *frame_bytes; /* of each function: [func_count] */
};

/* Links the `count` files, in this order: all their code, then all their constants. */
WM_MUST_CHECK int wasm_elf_link(const struct wm_view *elfs, uint32_t count, uint32_t func_count,
                                uint32_t type_count, struct wm_arena *arena,
                                struct wasm_elf_image *out, struct wm_diag *diag);

/* Writes the object for `module` with `image` to fd. options and sha256 become its key. */
WM_MUST_CHECK int wasm_object_write(int fd, const struct wasm_module *module,
                                    const uint8_t sha256[32], const struct wasm_options *options,
                                    const struct wasm_elf_image *image, struct wm_arena *arena,
                                    struct wm_diag *diag);

#endif
