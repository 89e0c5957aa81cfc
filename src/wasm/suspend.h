/* suspend.h: freezing a running program at a host call, to continue it many times.
 *
 * A program without an init function to call (CPython) is run until it first asks for input, there
 * unwound into its own memory by the code that binaryen's asyncify pass put into it, and taken as
 * an ordinary image: no native stack in it, so it is portable between machines and compilers. Each
 * instance made from the image is rewound into the host call, which then runs for real.
 *
 *     wasm-opt --asyncify in.wasm -o out.wasm            (`wardmote compile --suspendable`)
 *     the host function at which to stop returns WASM_TRAP_SUSPENDED from wasm_suspend_here()
 *     wasm_suspend_run(instance, start, &image)          runs _start; image at the first such call
 *     wasm_suspend_continue(instance of the image)       many times
 *
 * A module that was not so prepared is refused with WM_E_UNSUPPORTED. */
#ifndef WM_WASM_SUSPEND_H
#define WM_WASM_SUSPEND_H

#include "wasm/slot.h"

bool wasm_suspendable(const struct wasm_object *object);
/* Runs exported function `start` (no parameters, no results). 0 and *out when a host function
 * suspended; WM_E_EXITED when the program ended first; WM_E_TRAP. */
WM_MUST_CHECK int wasm_suspend_run(struct wasm_instance *instance, const char *start,
                                   struct wasm_image **out, struct wm_diag *diag);
/* Continues inside the host call at which the image was taken; returns as wasm_call does.
 * WASM_TRAP_HOST when the instance is not of a suspended image or has no such function. */
enum wasm_trap wasm_suspend_continue(struct wasm_instance *instance, const char *start);

/* For a host function: NONE: go on and do the work (a normal or a rewinding call); SUSPENDED:
 * return that at once, results ignored. Asks to stop only in wasm_suspend_run. */
enum wasm_trap wasm_suspend_here(struct wasm_caller *caller);

#endif
