/* instance.h (api): the structure behind struct wm_instance. */
#ifndef WM_API_INSTANCE_H
#define WM_API_INSTANCE_H

#include "api/engine.h"
#include "api/guest_os.h"
#include "wasm/store.h"

struct api_binding { /* of one struct wm_host_func */
    struct wm_instance *instance;
    wm_host_call *call;
    void *env;
};

struct wm_instance {
    struct wm_module *module;
    struct wasm_store *store;
    struct wasm_instance *wasm;
    struct guest_os *os; /* NULL: it has no WASI functions */
    uint64_t timeout_ms; /* of each call */
    int64_t deadline_ns; /* not 0: of all calls instead */
    int64_t fuel_given;
    enum wasm_trap trap;              /* of the last call */
    char unknown[WM_DIAG_TEXT_BYTES]; /* the first import that nobody has, while linking */
    size_t func_count;
    struct wasm_host_func *funcs;
    struct api_binding *bindings; /* one for each of funcs */
};

struct wm_caller {
    struct wm_instance *instance;
};

#endif
