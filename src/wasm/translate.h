/* translate.h: validated module, or a part of it -> LLVM IR -> x86-64 relocatable ELF object in
 * memory.
 *
 * Linked into wardmote-wasmc only. Input has passed wasm_module_validate, so the translator asserts
 * instead of checking. Output refers to no symbol but functions of the module (the linker, elf.h,
 * refuses any other). What the code of a function is depends on the module alone, not on the part
 * that it is translated with. */
#ifndef WM_WASM_TRANSLATE_H
#define WM_WASM_TRANSLATE_H

#include "base/diag.h"
#include "base/view.h"
#include "wasm/module.h"
#include "wasm/options.h"

/* Bodies that become one file. */
struct wasm_translate_part {
    uint32_t first, end; /* bodies first ... end - 1 */
    bool thunks;         /* and all thunks of the module */
};

struct wasm_translate_progress {
    void (*step)(void *self, uint32_t done, uint32_t total); /* NULL allowed; bodies of the part */
    void *self;
};

/* Symbols in the ELF object; those of a part's own are defined, other functions may be referred to:
 *   f<N>  defined function N (index space)     e<T> / a<T>  entry and adapter thunk of canonical
 * type T All in one .text; constants in .rodata*; call frame information in .eh_frame
 * (synchronous); with options->lines each instruction's wasm offset as its line number in
 * .debug_line, for the bodies that module->bodies_with_lines names.
 *
 * *elf is an LLVM memory buffer, released by wasm_translate_release. 0, WM_E_LIMIT, WM_E_COMPILER.
 */
struct wasm_translation {
    struct wm_view elf;
    void *buffer;
};

WM_MUST_CHECK int wasm_translate(const struct wasm_module *module,
                                 const struct wasm_options *options,
                                 const struct wasm_translate_part *part,
                                 const struct wasm_translate_progress *progress,
                                 struct wasm_translation *out, struct wm_diag *diag);
void wasm_translate_release(struct wasm_translation *translation);

#endif
