/* guest.c: taking things from a guest, and giving them to it. */
#include "faaslet/guest.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "wasi/call.h"

int32_t guest_errno(int code)
{
    if (code == 0) {
        return 0;
    }
    if (code > -4096) {
        return -(int32_t)wasi_errno_of(-code);
    }
    switch (code) {
    case WM_E_NOT_FOUND: return -(int32_t)WASI_NOENT;
    case WM_E_DENIED: return -(int32_t)WASI_ACCES;
    case WM_E_LIMIT: return -(int32_t)WASI_DQUOT;
    case WM_E_STALE: return -(int32_t)WASI_STALE;
    case WM_E_BUSY: return -(int32_t)WASI_TIMEDOUT;
    case WM_E_INVALID: return -(int32_t)WASI_INVAL;
    case WM_E_UNSUPPORTED: return -(int32_t)WASI_NOSYS;
    default: return -(int32_t)WASI_IO;
    }
}

int32_t guest_view(struct wasm_caller *caller, uint32_t at, uint32_t len, struct wm_view *out)
{
    struct wasm_memory *memory = wasm_instance_memory(caller->instance);
    const uint8_t *bytes;
    if (!memory || !wasm_memory_view(memory, wasm_addr_of(at), len, &bytes)) {
        return guest_errno(-EFAULT);
    }
    *out = wm_view_of(bytes, len);
    return 0;
}

int32_t guest_window(struct wasm_caller *caller, uint32_t at, uint32_t len, uint8_t **out)
{
    struct wasm_memory *memory = wasm_instance_memory(caller->instance);
    return memory && wasm_memory_window(memory, wasm_addr_of(at), len, out) ? 0
                                                                            : guest_errno(-EFAULT);
}

int32_t guest_take_text(struct wasm_caller *caller, uint32_t at, uint32_t len, uint32_t max,
                        unsigned which, struct wm_view *out)
{
    struct faaslet_guest *guest = caller->env;
    struct wasm_memory *memory = wasm_instance_memory(caller->instance);
    char *copy = guest->name[which];
    if (len == 0 || len > max || len > FAASLET_KEY_BYTES_MAX) {
        return guest_errno(len == 0 ? -EINVAL : -ENAMETOOLONG);
    }
    if (!memory || !wasm_memory_read(memory, wasm_addr_of(at), copy, len)) {
        return guest_errno(-EFAULT);
    }
    copy[len] = 0;
    *out = wm_view_of(copy, len);
    return 0;
}

int32_t guest_take_key(struct wasm_caller *caller, uint32_t at, uint32_t len, struct wm_view *out)
{
    return guest_take_text(caller, at, len, FAASLET_KEY_BYTES_MAX, 0, out);
}

int32_t guest_take_name(struct wasm_caller *caller, uint32_t at, uint32_t len, struct wm_view *out)
{
    return guest_take_text(caller, at, len, FAASLET_NAME_BYTES_MAX, 0, out);
}

int32_t guest_copy_out(struct wasm_caller *caller, struct wm_view from, uint64_t offset,
                       uint32_t at, uint32_t len)
{
    uint8_t *out;
    uint64_t left = offset < from.len ? from.len - offset : 0;
    uint32_t moved = left < len ? (uint32_t)left : len;
    int32_t rc = guest_window(caller, at, moved, &out);
    if (rc != 0) {
        return rc;
    }
    if (moved != 0) {
        memcpy(out, from.ptr + offset, moved);
    }
    return (int32_t)moved;
}
