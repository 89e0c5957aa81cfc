/* name.c: what people call a function (core specification appendix 7.4).
 *
 * The name section is a convenience that any tool may have written or mangled. It is read to its
 * end before one name of it is believed; if anything in it is malformed, there are no names. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "wasm/leb.h"
#include "wasm/module.h"
#include "wasm/utf8.h"

#define SUBSECTION_FUNCTIONS 1

struct seer { /* is shown each name in the section */
    void (*see)(void *self, uint32_t func_idx, struct wm_view name);
    void *self;
};

static bool walk_functions(struct wm_cursor cursor, const struct seer *seer)
{
    uint32_t count;
    if (wasm_read_u32(&cursor, &count, NULL)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) { /* ends with the input, whatever the count says */
        uint32_t idx, len;
        struct wm_view name;
        if (wasm_read_u32(&cursor, &idx, NULL) || wasm_read_u32(&cursor, &len, NULL) ||
            !wm_cursor_bytes(&cursor, len, &name) || !wasm_utf8_ok(name)) {
            return false;
        }
        seer->see(seer->self, idx, name);
    }
    return wm_cursor_done(&cursor);
}

/* False when the section is malformed; what was seen until then is not to be used. */
static bool walk_section(struct wm_view bytes, const struct seer *seer)
{
    struct wm_cursor cursor = wm_cursor_of(bytes);
    while (!wm_cursor_done(&cursor)) {
        uint8_t id;
        uint32_t len;
        struct wm_view content;
        if (!wm_cursor_u8(&cursor, &id) || wasm_read_u32(&cursor, &len, NULL) ||
            !wm_cursor_bytes(&cursor, len, &content)) {
            return false;
        }
        if (id == SUBSECTION_FUNCTIONS && !walk_functions(wm_cursor_of(content), seer)) {
            return false;
        }
    }
    return true;
}

/* True when there is one name section or several, all well-formed. */
static bool walk_names(const struct wasm_module *module, const struct seer *seer)
{
    bool any = false;
    for (uint32_t i = 0; i < module->custom_count; i++) {
        if (wm_view_eq_str(module->customs[i].name, "name")) {
            if (!walk_section(module->customs[i].bytes, seer)) {
                return false;
            }
            any = true;
        }
    }
    return any;
}

struct all_names {
    uint32_t func_count;
    struct wm_view *names;
};

static void keep_all(void *self, uint32_t func_idx, struct wm_view name)
{
    struct all_names *all = self;
    if (func_idx < all->func_count) {
        all->names[func_idx] = name;
    }
}

struct wm_view *wasm_module_func_names(const struct wasm_module *module, struct wm_arena *arena)
{
    struct all_names all = {module->func_count,
                            WM_ARENA_ARRAY(arena, struct wm_view, module->func_count)};
    if (all.names && !walk_names(module, &(struct seer){keep_all, &all})) {
        memset(all.names, 0, module->func_count * sizeof *all.names);
    }
    return all.names;
}

struct one_name {
    uint32_t func_idx;
    struct wm_view name;
};

static void keep_one(void *self, uint32_t func_idx, struct wm_view name)
{
    struct one_name *one = self;
    if (func_idx == one->func_idx) {
        one->name = name;
    }
}

static const struct wasm_import *imported_func(const struct wasm_module *module, uint32_t func_idx)
{
    uint32_t at = 0;
    for (uint32_t i = 0; func_idx < module->imported_funcs && i < module->import_count; i++) {
        if (module->imports[i].kind == WASM_EXTERN_FUNC && at++ == func_idx) {
            return &module->imports[i];
        }
    }
    return NULL;
}

char *wasm_module_func_name(const struct wasm_module *module, uint32_t func_idx, char *out,
                            size_t out_bytes)
{
    WM_ASSERT(out_bytes >= 32);
    struct one_name one = {.func_idx = func_idx};
    if (walk_names(module, &(struct seer){keep_one, &one}) && one.name.len) {
        return wm_diag_quote(out, out_bytes, one.name.ptr, one.name.len);
    }
    for (uint32_t i = 0; i < module->export_count; i++) {
        const struct wasm_export *export = &module->exports[i];
        if (export->kind == WASM_EXTERN_FUNC && export->idx == func_idx && export->name.len) {
            return wm_diag_quote(out, out_bytes, export->name.ptr, export->name.len);
        }
    }
    const struct wasm_import *import = imported_func(module, func_idx);
    if (!import) {
        (void)snprintf(out, out_bytes, "func[%u]", func_idx);
        return out;
    }
    /* Half of the room for the module, so that the dot and the name are seen. */
    wm_diag_quote(out, out_bytes / 2, import->module.ptr, import->module.len);
    size_t used = strlen(out);
    out[used++] = '.';
    wm_diag_quote(out + used, out_bytes - used, import->name.ptr, import->name.len);
    return out;
}
