#include "wasm/translate_internal.h"
bool tl_simd(struct tl_func *f, const struct wasm_instr *instr)
{
    (void)f; (void)instr;
    return false;
}
