/* guest.h: what the host interface sees of one Faaslet: the seam between its groups of functions.
 *
 * The functions that a guest imports from "faaslet" (sdk/faaslet.h) are in groups: call, state,
 * modules loaded at run time, outbound HTTP. Each group is one file with one table of
 * struct wasm_host_func; a struct faaslet_guest is the environment (wasm_caller.env) of them all.
 *
 * Writing a host function:
 *
 *     static enum wasm_trap state_size(struct wasm_caller *caller, union wasm_value *values)
 *     {
 *         struct faaslet_guest *guest = caller->env;
 *         struct wm_view key;
 *         int64_t result = guest_take_key(caller, values[0].i32, values[1].i32, &key);
 *         if (result == 0) { ... }
 *         values[0].i64 = (uint64_t)result;
 *         return WASM_TRAP_NONE;
 *     }
 *
 * Everything from the guest is copied and checked before anything is done; guest memory that is
 * only data (bytes of state, input, output) is reached through a window, once checked. Regions are
 * shared with other Faaslets, so what a decision is taken upon is copied first.
 *
 * Results for the guest are >= 0, or minus a WASI errno (guest_errno). */
#ifndef WM_FAASLET_GUEST_H
#define WM_FAASLET_GUEST_H

#include <stdint.h>

#include "base/view.h"
#include "wasm/instance.h"
#include "wasm/memory.h"

struct faaslet_call;  /* call.h: input, output, limits of the call that runs now */
struct state_session; /* state.h: the local tier as one call sees it: its mappings, its locks */
struct dl_session;    /* dl.h: modules that this call has loaded */
struct http_session;  /* outbound.h: answers that this call has fetched */

#define FAASLET_KEY_BYTES_MAX 256u
#define FAASLET_NAME_BYTES_MAX 64u

struct faaslet_guest {
    struct faaslet_call *call;   /* never NULL while the guest runs */
    struct state_session *state; /* NULL: this worker has no global tier: calls give -ENOSYS */
    struct dl_session *dl;
    struct http_session *http;
    /* Of the import that runs now; here because stack arrays are zeroed at each call. */
    char name[2][FAASLET_KEY_BYTES_MAX + 1];
};

/* A string of 1 to FAASLET_KEY_BYTES_MAX (or _NAME_) bytes, copied into guest->name[which] and
 * ended by NUL; 0 or a negative WASI errno. */
WM_MUST_CHECK int32_t guest_take_text(struct wasm_caller *caller, uint32_t at, uint32_t len,
                                      uint32_t max, unsigned which, struct wm_view *out);
WM_MUST_CHECK int32_t guest_take_key(struct wasm_caller *caller, uint32_t at, uint32_t len,
                                     struct wm_view *out);
WM_MUST_CHECK int32_t guest_take_name(struct wasm_caller *caller, uint32_t at, uint32_t len,
                                      struct wm_view *out);
/* Windows into the guest's memory for the length of this host call; 0 or -EFAULT. */
WM_MUST_CHECK int32_t guest_view(struct wasm_caller *caller, uint32_t at, uint32_t len,
                                 struct wm_view *out);
WM_MUST_CHECK int32_t guest_window(struct wasm_caller *caller, uint32_t at, uint32_t len,
                                   uint8_t **out);
/* Copies min(len, from.len - offset) bytes out: how many, or -EFAULT. */
int32_t guest_copy_out(struct wasm_caller *caller, struct wm_view from, uint64_t offset,
                       uint32_t at, uint32_t len);
/* Minus the WASI errno for one of our codes or a negative Linux errno; 0 for 0. */
int32_t guest_errno(int code);

struct faaslet_host_table {
    const struct wasm_host_func *funcs;
    size_t count;
};
extern const struct faaslet_host_table faaslet_call_funcs, faaslet_chain_funcs, faaslet_state_funcs,
    faaslet_dl_funcs, faaslet_http_funcs;

#endif
