/* The few functions of the engine that the WASI functions use, over a block of heap. */
#include "wasi/fake_guest.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "wasm/memory.h"
#include "wasm/suspend.h"

enum wasm_trap fake_suspend_answer;
unsigned fake_suspend_asked;

struct wasm_memory *wasm_instance_memory(struct wasm_instance *instance)
{
    return instance->memory;
}

enum wasm_trap wasm_store_interrupted(const struct wasm_store *store)
{
    return store->interrupted;
}

enum wasm_trap wasm_suspend_here(struct wasm_caller *caller)
{
    (void)caller;
    fake_suspend_asked++;
    return fake_suspend_answer;
}

bool wasm_memory_window(struct wasm_memory *memory, struct wasm_addr addr, uint32_t len,
                        uint8_t **out)
{
    if (!wm_range_fits(addr.at, len, memory->len)) {
        return false;
    }
    *out = memory->bytes + addr.at;
    return true;
}

bool wasm_memory_view(const struct wasm_memory *memory, struct wasm_addr addr, uint32_t len,
                      const uint8_t **out)
{
    if (!wm_range_fits(addr.at, len, memory->len)) {
        return false;
    }
    *out = memory->bytes + addr.at;
    return true;
}

bool wasm_memory_read(const struct wasm_memory *memory, struct wasm_addr addr, void *out,
                      uint32_t len)
{
    if (!wm_range_fits(addr.at, len, memory->len)) {
        return false;
    }
    memcpy(out, memory->bytes + addr.at, len);
    return true;
}

bool fake_guest_init(struct fake_guest *guest, uint32_t memory_bytes)
{
    *guest = (struct fake_guest){.memory = {calloc(1, memory_bytes), memory_bytes}};
    guest->instance.memory = &guest->memory;
    return guest->memory.bytes != NULL;
}

void fake_guest_fini(struct fake_guest *guest)
{
    wasi_free(guest->wasi);
    free(guest->memory.bytes);
}

uint32_t fake_call(struct fake_guest *guest, const char *name, const uint64_t *args, size_t count)
{
    union wasm_value values[16] = {0};
    struct wasm_extern found;
    if (count > 16 || (wasi_resolve(guest->wasi, wm_view_str(WASI_MODULE), wm_view_str(name),
                                    WASM_EXTERN_FUNC, &found) != 0 &&
                       wasi_resolve(guest->wasi, wm_view_str(WASI_NET_MODULE), wm_view_str(name),
                                    WASM_EXTERN_FUNC, &found) != 0)) {
        return UINT32_MAX;
    }
    const char *signature = found.host->signature;
    for (size_t i = 0; i < count; i++) {
        /* An i32 has only the lower half of its place; the rest may be anything. */
        values[i].i64 = signature[i] == 'i' ? args[i] | UINT64_C(0xdead) << 48 : args[i];
        if (signature[i] == 'i') {
            values[i].i32 = (uint32_t)args[i];
        }
    }
    if (strcspn(signature, ":") != count) {
        return UINT32_MAX;
    }
    struct wasm_caller caller = {&guest->store, &guest->instance, found.host_env};
    guest->trap = found.host->call(&caller, values);
    return guest->trap == WASM_TRAP_NONE ? values[0].i32 : UINT32_MAX;
}
