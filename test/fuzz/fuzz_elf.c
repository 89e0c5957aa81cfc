/* fuzz_elf.c: the linker on arbitrary files. It reads LLVM's output only, but LLVM is what it must
 * survive. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "wasm/elf.h"

static void link_files(const struct wm_view *files, uint32_t count)
{
    struct wm_arena arena;
    struct wasm_elf_image image;
    wm_arena_init(&arena, 64 << 20);
    if (wasm_elf_link(files, count, 4, 2, &arena, &image, NULL) == 0) {
        WM_ASSERT(image.code_bytes <= image.text_bytes);
        for (uint32_t i = 0; i < image.func_count; i++) {
            WM_ASSERT((uint64_t)image.funcs[i].offset + image.funcs[i].len <= image.code_bytes);
        }
        for (uint32_t i = 1; i < image.unwind_count; i++) {
            WM_ASSERT(image.unwind[i].code_offset > image.unwind[i - 1].code_offset);
        }
        for (uint32_t i = 1; i < image.line_count; i++) {
            WM_ASSERT(image.lines[i].code_offset > image.lines[i - 1].code_offset);
        }
    }
    wm_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const struct wm_view whole = wm_view_of(bytes, len);
    const struct wm_view halves[2] = {wm_view_of(bytes, len / 2),
                                      wm_view_of(bytes + len / 2, len - len / 2)};
    link_files(&whole, 1);
    link_files(halves, 2);
    return 0;
}
