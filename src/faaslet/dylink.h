/* dylink.h: what a module for run-time loading says of itself: its custom section "dylink.0".
 *
 * The format is the tool conventions' (WebAssembly/tool-conventions, DynamicLinking.md), as
 * wasm-ld -shared writes it. Read once, at upload, from the module's bytes, which are untrusted;
 * the compiled object does not keep custom sections. Pure. */
#ifndef WM_FAASLET_DYLINK_H
#define WM_FAASLET_DYLINK_H

#include "base/diag.h"
#include "base/view.h"

struct dylink {
    uint32_t memory_bytes; /* of static data */
    uint32_t table_elems;  /* function pointers that it makes of its own functions */
};

/* 0; WM_E_NOT_FOUND: the module has no such section, so it is no library; WM_E_MALFORMED;
 * WM_E_UNSUPPORTED: it asks for other libraries to be loaded with it, for data aligned to more than
 * 64 KiB, or for an aligned place in the table. */
WM_MUST_CHECK int dylink_parse(struct wm_view module, struct dylink *out, struct wm_diag *diag);

#endif
