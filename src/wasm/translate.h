/* translate.h: validated module -> LLVM IR -> x86-64 relocatable ELF object in memory.
 *
 * Linked into wardmote-wasmc only. Input has passed wasm_module_validate, so the translator asserts
 * instead of checking. Output refers to no symbol outside itself (the linker, elf.h, refuses one
 * that does). */
#ifndef WM_WASM_TRANSLATE_H
#define WM_WASM_TRANSLATE_H

#include "base/diag.h"
#include "base/view.h"
#include "wasm/module.h"
#include "wasm/options.h"

struct wasm_translate_progress {
    void (*step)(void *self, uint32_t done, uint32_t total); /* NULL allowed */
    void *self;
};

/* Symbols in the ELF object:
 *   f<N>  defined function N (index space)     e<T> / a<T>  entry and adapter thunk of canonical type T
 * All in one .text; constants in .rodata*; call frame information in .eh_frame (synchronous);
 * with options->lines each instruction's wasm offset as its line number in .debug_line, for the
 * bodies that module->bodies_with_lines names.
 *
 * *elf is an LLVM memory buffer, released by wasm_translate_release. 0, WM_E_LIMIT, WM_E_COMPILER. */
struct wasm_translation {
    struct wm_view elf;
    void *buffer;
};

WM_MUST_CHECK int wasm_translate(const struct wasm_module *module,
                                 const struct wasm_options *options,
                                 const struct wasm_translate_progress *progress,
                                 struct wasm_translation *out, struct wm_diag *diag);
void wasm_translate_release(struct wasm_translation *translation);

#endif
