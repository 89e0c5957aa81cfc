/* constexpr.h: constant expressions (core specification 3.3.10 with the extended-const proposal).
 *
 * One evaluator for both uses. The validator runs it with types and made-up values, the runtime
 * with real ones; so what was validated is what is evaluated. Safe on any bytes: the runtime's come
 * from an object file. Pure; bounded by the expression's length. */
#ifndef WM_WASM_CONSTEXPR_H
#define WM_WASM_CONSTEXPR_H

#include "base/diag.h"
#include "base/view.h"
#include "wasm/types.h"

#define WASM_CONSTEXPR_HEIGHT_MAX 256u /* operands at once */

/* Both return 0, or a negative code with a sentence in diag where an index may not be used. */
struct wasm_constexpr_env {
    void *self;
    int (*global)(void *self, uint32_t idx, uint8_t *valtype, union wasm_value *out,
                  struct wm_diag *diag);
    int (*func)(void *self, uint32_t idx, union wasm_value *out, struct wm_diag *diag);
};

/* Evaluates from `code` to the `end` that must be its last byte; offsets in messages count from
 * code.start. 0 with the value and its type, WM_E_MALFORMED, WM_E_INVALID, WM_E_LIMIT, or what env
 * returned. */
WM_MUST_CHECK int wasm_constexpr_eval(struct wm_cursor code, const struct wasm_constexpr_env *env,
                                      uint8_t *valtype, union wasm_value *out,
                                      struct wm_diag *diag);

#endif
