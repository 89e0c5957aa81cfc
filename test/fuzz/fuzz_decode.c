/* fuzz_decode.c: any bytes through decoding and validation.
 *
 * Beyond not crashing: memory stays in proportion to the input, every refusal has a code of the
 * contract and a sentence, and what was accepted keeps the promises that the translator and the
 * object writer build on. */
#include <errno.h>

#include "base/assert.h"
#include "base/error.h"
#include "wasm/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(struct wasm_module *module)
{
    char name[40];
    WM_ASSERT(module->validated);
    WM_ASSERT(module->body_count == module->func_count - module->imported_funcs);
    WM_ASSERT(module->memory_count <= 1);
    for (uint32_t i = 0; i < module->type_count; i++) {
        WM_ASSERT(module->type_canon[i] <= i);
        WM_ASSERT(module->type_canon[module->type_canon[i]] == module->type_canon[i]);
    }
    for (uint32_t i = 0; i < module->func_count; i++) {
        WM_ASSERT(module->func_types[i] < module->type_count);
    }
    for (uint32_t i = 0; i < module->body_count; i++) {
        const struct wasm_body *body = &module->bodies[i];
        WM_ASSERT(body->max_nesting >= 1 && body->max_nesting <= WASM_NESTING_MAX);
        WM_ASSERT(body->instr_count >= 1 && body->instr_count <= body->code.len);
        WM_ASSERT(body->code.ptr[body->code.len - 1] == 0x0b);
    }
    if (module->func_count) {
        (void)wasm_module_func_name(module, module->func_count - 1, name, sizeof name);
    }
    WM_ASSERT(wasm_module_func_names(module, module->arena) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wm_arena arena;
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_module *module;
    wm_arena_init(&arena, 0);
    int err = wasm_module_decode(wm_view_of(data, size), &arena, &module, &diag);
    if (!err) {
        err = wasm_module_validate(module, &diag);
    }
    WM_ASSERT(arena.total_bytes <= 100 * size + 8192);
    if (!err) {
        check_accepted(module);
    } else {
        WM_ASSERT(err == WM_E_MALFORMED || err == WM_E_INVALID || err == WM_E_UNSUPPORTED ||
                  err == WM_E_LIMIT);
        WM_ASSERT(diag.code == err && diag.text[0]);
    }
    wm_arena_fini(&arena);
    return 0;
}
