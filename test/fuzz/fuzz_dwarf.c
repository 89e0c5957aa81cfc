/* fuzz_dwarf.c: a module's own line table. The first byte says where the input divides into
 * .debug_line and .debug_line_str. Nothing in it may be an error, only fewer lines. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "wasm/dwarf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0) {
        return 0;
    }
    size_t at = 1 + (len - 1) * bytes[0] / 255;
    struct wasm_custom customs[] = {
        {.name = wm_view_str(".debug_line"), .bytes = wm_view_of(bytes + 1, at - 1)},
        {.name = wm_view_str(".debug_line_str"), .bytes = wm_view_of(bytes + at, len - at)},
        {.name = wm_view_str(".debug_str"), .bytes = wm_view_of(bytes + at, len - at)},
    };
    const struct wasm_module module = {.bytes = {.ptr = bytes, .len = 1 << 20},
                                       .customs = customs,
                                       .custom_count = 3,
                                       .code_section_offset = 64};
    struct wasm_dwarf_sources sources;
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    int err = wasm_dwarf_sources(&module, &arena, &sources);
    WM_ASSERT(err == 0);
    for (uint32_t i = 0; i < sources.count; i++) {
        WM_ASSERT(sources.rows[i].line == 0 || sources.rows[i].file < sources.file_count);
        WM_ASSERT(i == 0 || sources.rows[i].wasm_offset > sources.rows[i - 1].wasm_offset);
    }
    wm_arena_fini(&arena);
    return 0;
}
