/* global.c: global cells, and the constant expressions that initialise them.
 *
 * A cell says where a global's value lies: in the context of the instance that defines it, or, for
 * one made by the host, in a place of its own. */
#include <errno.h>

#include "base/alloc.h"
#include "base/error.h"
#include "wasm/runtime.h"

int wasm_global_new(struct wasm_store *store, uint8_t valtype, bool is_mutable,
                    union wasm_value value, struct wasm_global_cell **out, struct wm_diag *diag)
{
    struct wasm_host_global *global = wm_alloc_zero(1, sizeof *global);
    if (!global) {
        return wm_diag_set(diag, -ENOMEM, "global: %s", wm_error_text(-ENOMEM));
    }
    global->value = value;
    global->cell = (struct wasm_global_cell){&global->value, valtype, is_mutable};
    global->next = store->host_globals;
    store->host_globals = global;
    *out = &global->cell;
    return 0;
}

union wasm_value wasm_global_get(const struct wasm_global_cell *global)
{
    return *global->at;
}

void wasm_global_set(struct wasm_global_cell *global, union wasm_value value)
{
    *global->at = value;
}

struct wasm_global_cell *wasm_instance_cell(struct wasm_instance *instance, uint32_t global_idx)
{
    struct wasm_global_cell *cell = &instance->cells[global_idx];
    if (!cell->at) { /* defined here: imported ones are filled when linked */
        const struct wasm_object_global *global = &instance->object->at.GLOBALS[global_idx];
        *cell = (struct wasm_global_cell){&wasm_ctx_globals(instance)[global_idx],
                                          (uint8_t)global->valtype, global->is_mutable != 0};
    }
    return cell;
}
