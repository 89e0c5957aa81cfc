/* validate.h: inside of validation. validate.c checks the module and calls this for its functions;
 * everybody else uses module.h. */
#ifndef WM_WASM_VALIDATE_H
#define WM_WASM_VALIDATE_H

#include "wasm/module.h"

/* Operands that one function may have on its stack at once. A call of two bytes can push a
 * thousand, so the size of the body alone does not bound it. */
#define WASM_HEIGHT_MAX 1000000u

/* Types all bodies (3.3, 3.4.1) and sets their and the module's facts. module->func_declared must
 * be complete. 0, WM_E_MALFORMED, WM_E_INVALID, WM_E_LIMIT, -ENOMEM. */
WM_MUST_CHECK int wasm_validate_bodies(struct wasm_module *module, struct wm_diag *diag);

#endif
