/* guest.c: what the groups of host functions share: texts, windows, error numbers. */
#include "faaslet/guest.h"

#include <string.h>

#include "base/arith.h"
#include "base/error.h"
#include "wasi/call.h"

int32_t guest_take_text(struct wasm_caller *caller, uint32_t at, uint32_t len, uint32_t max,
                        unsigned which, struct wm_view *out)
{
    struct faaslet_guest *guest = caller->env;
    struct wasm_memory *memory = wasm_instance_memory(caller->instance);
    char *text = guest->name[which];
    if (len == 0 || len > max || max >= sizeof guest->name[0]) {
        return -WASI_INVAL;
    }
    if (!memory || !wasm_memory_read(memory, wasm_addr_of(at), text, len)) {
        return -WASI_FAULT;
    }
    text[len] = '\0';
    *out = wm_view_of(text, len);
    return 0;
}

int32_t guest_take_key(struct wasm_caller *caller, uint32_t at, uint32_t len, struct wm_view *out)
{
    return guest_take_text(caller, at, len, FAASLET_KEY_BYTES_MAX, 0, out);
}

int32_t guest_take_name(struct wasm_caller *caller, uint32_t at, uint32_t len, struct wm_view *out)
{
    return guest_take_text(caller, at, len, FAASLET_NAME_BYTES_MAX, 1, out);
}

int32_t guest_view(struct wasm_caller *caller, uint32_t at, uint32_t len, struct wm_view *out)
{
    struct wasm_memory *memory = wasm_instance_memory(caller->instance);
    const uint8_t *bytes;
    if (!memory || !wasm_memory_view(memory, wasm_addr_of(at), len, &bytes)) {
        return -WASI_FAULT;
    }
    *out = wm_view_of(bytes, len);
    return 0;
}

int32_t guest_window(struct wasm_caller *caller, uint32_t at, uint32_t len, uint8_t **out)
{
    struct wasm_memory *memory = wasm_instance_memory(caller->instance);
    return memory && wasm_memory_window(memory, wasm_addr_of(at), len, out) ? 0 : -WASI_FAULT;
}

int32_t guest_copy_out(struct wasm_caller *caller, struct wm_view from, uint64_t offset,
                       uint32_t at, uint32_t len)
{
    uint8_t *window;
    uint64_t left = offset < from.len ? from.len - offset : 0;
    uint32_t copied = (uint32_t)wm_min_u64(wm_min_u64(len, left), INT32_MAX);
    /* The whole buffer is proved, not only what is written: a length that lies is a mistake also
     * where nothing comes of it. */
    int32_t rc = guest_window(caller, at, len, &window);
    if (rc != 0) {
        return rc;
    }
    if (copied > 0) {
        memcpy(window, from.ptr + offset, copied);
    }
    return (int32_t)copied;
}

static enum wasi_errno errno_of(int code)
{
    switch (code) {
    case WM_E_MALFORMED:
    case WM_E_INVALID:
    case WM_E_USAGE: return WASI_INVAL;
    case WM_E_UNSUPPORTED: return WASI_NOTSUP;
    case WM_E_LIMIT: return WASI_DQUOT;
    case WM_E_FORGED:
    case WM_E_DENIED: return WASI_ACCES;
    case WM_E_STALE: return WASI_STALE;
    case WM_E_MISSING: return WASI_NOSYS;
    case WM_E_BUSY: return WASI_BUSY;
    case WM_E_NOT_FOUND: return WASI_NOENT;
    default:
        /* The library OS's numbers are Linux's; -4096 and below are ours. */
        return code > -4096 ? wasi_errno_of(-code) : WASI_IO;
    }
}

int32_t guest_errno(int code)
{
    return code >= 0 ? 0 : -(int32_t)errno_of(code);
}
