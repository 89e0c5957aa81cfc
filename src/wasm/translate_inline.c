/* translate_inline.c: functions of the reserved import module `cp`, emitted as code and never
 * called.
 *
 * A module imports them as it would import host functions; they cost what the instructions cost.
 * Each has a name, a signature in the letters of struct wasm_host_func, and an emitter that pops
 * its arguments off the operand stack and pushes its results. Another function is another line in
 * the table, and in that of instance.c: there are the same functions for references and exports.
 *
 *     cp.abi_version   :i    the WASM_ABI_VERSION that this code was compiled for
 *
 *     cp.fuel          :I    fuel left, after this run's charge; the largest i64 if not counted
 *
 *     cp.memory_bytes  :I    the memory's present size in bytes; 0 without a memory */
#include "wasm/translate_internal.h"

#include <stddef.h>

static void abi_version(struct tl_func *f)
{
    tl_push(f, WASM_I32, tl_i32(f->tl, WASM_ABI_VERSION));
}

static void fuel(struct tl_func *f)
{
    tl_push(f, WASM_I64, f->tl->fuel ? tl_fuel_now(f) : tl_i64(f->tl, INT64_MAX));
}

static void memory_bytes(struct tl_func *f)
{
    tl_push(f, WASM_I64, f->tl->module->memory_count ? tl_memory_bytes(f) : tl_i64(f->tl, 0));
}

static const struct tl_inline inlines[] = {
    {"abi_version", ":i", abi_version},
    {"fuel", ":I", fuel},
    {"memory_bytes", ":I", memory_bytes},
};

static uint8_t type_of_letter(char letter)
{
    switch (letter) {
    case 'i': return WASM_I32;
    case 'I': return WASM_I64;
    case 'f': return WASM_F32;
    case 'F': return WASM_F64;
    case 'v': return WASM_V128;
    case 'r': return WASM_FUNCREF;
    default: return WASM_EXTERNREF;
    }
}

static const char *match(const char *letters, const uint8_t *types, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, letters++) {
        if (*letters == '\0' || *letters == ':' || type_of_letter(*letters) != types[i]) {
            return NULL;
        }
    }
    return letters;
}

static bool has_signature(const struct wasm_functype *type, const char *signature)
{
    const char *at = match(signature, type->params, type->param_count);
    if (!at || *at != ':') {
        return false;
    }
    at = match(at + 1, type->results, type->result_count);
    return at && *at == '\0';
}

int tl_inline_find(struct tl *tl, const struct wasm_import *import,
                   const struct wasm_functype *type, const struct tl_inline **out)
{
    char name[64];
    wm_diag_quote(name, sizeof name, import->name.ptr, import->name.len);
    for (size_t i = 0; i < WM_COUNT_OF(inlines); i++) {
        if (!wm_view_eq_str(import->name, inlines[i].name)) {
            continue;
        }
        if (!has_signature(type, inlines[i].signature)) {
            return wm_diag_set(tl->diag, WM_E_INVALID,
                               "import cp.%s: its type must be %s (parameters:results)", name,
                               inlines[i].signature);
        }
        *out = &inlines[i];
        return 0;
    }
    return wm_diag_set(tl->diag, WM_E_INVALID,
                       "import cp.%s: the reserved module cp has no such function", name);
}
