/* elf_internal.h: what the files of the linker (elf_link.c, elf_unwind.c, elf_lines.c) share. */
#ifndef WM_WASM_ELF_INTERNAL_H
#define WM_WASM_ELF_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/view.h"
#include "wasm/elf.h"

/* A function as .eh_frame describes it. */
struct elf_fde {
    uint32_t offset, len; /* of the code, in the image */
    uint32_t frame_bytes; /* the largest frame, return address included; UINT32_MAX: not known */
};

/* An .eh_frame with its relocations applied as if it lay at image offset `address`. */
struct elf_frames {
    struct wm_view bytes;
    uint64_t address;
};

/* Reads all `frames` and fills image->unwind. *fdes: sorted by offset, from the arena. */
WM_MUST_CHECK int elf_read_unwind(const struct elf_frames *frames, uint32_t count,
                                  struct wm_arena *arena, struct wasm_elf_image *image,
                                  struct elf_fde **fdes, uint32_t *fde_count, struct wm_diag *diag);

/* Reads `tables`, each a .debug_line with its relocations applied (addresses are image offsets,
 * lines are wasm offsets), and fills image->lines. Damaged tables give fewer lines, never an error;
 * only -ENOMEM is one. */
WM_MUST_CHECK int elf_read_lines(const struct wm_view *tables, uint32_t count,
                                 struct wm_arena *arena, struct wasm_elf_image *image);

#endif
