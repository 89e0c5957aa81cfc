/* guest_os.h: the library OS of one WASI program: what struct wm_wasi_config promises, built.
 *
 * One per instance. Joins port/ (folders, sockets, clocks of this machine), libos/ (descriptors)
 * and wasi/ (the functions that the guest imports). */
#ifndef WM_API_GUEST_OS_H
#define WM_API_GUEST_OS_H

#include <wardmote/wasi.h>

#include "base/diag.h"
#include "wasm/instance.h"

struct guest_os;

/* Opens the folders and binds the sockets; diag names the one that could not be. */
WM_MUST_CHECK int guest_os_new(const struct wm_wasi_config *config, struct guest_os **out,
                               struct wm_diag *diag);
void guest_os_free(struct guest_os *os);
/* As wasm_resolve_fn. */
WM_MUST_CHECK int guest_os_resolve(struct guest_os *os, struct wm_view module, struct wm_view name,
                                   struct wasm_extern *out);
/* Given to proc_exit; 0 before. */
uint32_t guest_os_exit_status(const struct guest_os *os);

#endif
