/* engine.h: what every test program outside the unit tests does with the engine: bytes of a module
 * in, a mapped object out.
 *
 * Compiles in the compiler process, as users do, without a cache. Test code: allocation failures
 * end the program. */
#ifndef WM_TEST_COMMON_ENGINE_H
#define WM_TEST_COMMON_ENGINE_H

#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "wasm/object.h"
#include "wasm/options.h"

/* The whole file; released by free. Ends the program when it cannot be read. */
struct wm_view test_file_read(const char *path);

/* 0 and *out (wasm_object_close), or wasm_compile's code. The object was checked in full. */
WM_MUST_CHECK int test_object_compile(struct wm_view module, const struct wasm_options *options,
                                      struct wasm_object **out, struct wm_diag *diag);

/* Decodes and validates in this process: 0 or wasm_module_decode's or _validate's code. */
WM_MUST_CHECK int test_module_check(struct wm_view module, struct wm_diag *diag);

/* "guard", "check", "det"; "O0", "optimised"; -1 otherwise. */
int test_mode_of(const char *name);
int test_tier_of(const char *name);

int64_t test_now_ns(void); /* CLOCK_MONOTONIC */

#endif
