/* perfmap.h: names of compiled functions for Linux perf.
 *
 * perf reads /tmp/perf-PID.map (tools/perf/Documentation/jit-interface.txt in the kernel's tree):
 * one line "START SIZE name" for each function, in hexadecimal. On request only: it is a file that
 * names what runs. Any thread; lines of several objects do not mix. */
#ifndef WM_WASM_PERFMAP_H
#define WM_WASM_PERFMAP_H

#include "base/diag.h"
#include "wasm/object.h"

/* Adds the functions of `object` to this process's map. */
WM_MUST_CHECK int wasm_perfmap_add(const struct wasm_object *object, struct wm_diag *diag);

#endif
