/* memory.h: a guest's linear memory, and the only way into it.
 *
 * A guest address is a struct that cannot be dereferenced. The host reaches guest bytes through the
 * functions below, each of which checks the whole range once. A window is a host pointer into guest
 * memory for the length of one host call: memory never moves, and it can only grow; but where
 * memory is shared with other threads its content may change while one looks, so what is decided
 * upon must be copied first (wasm_memory_read). */
#ifndef WM_WASM_MEMORY_H
#define WM_WASM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/view.h"

struct wasm_memory;

struct wasm_addr {
    uint32_t at;
};

static inline struct wasm_addr wasm_addr_of(uint32_t at)
{
    return (struct wasm_addr){at};
}

uint64_t wasm_memory_bytes(const struct wasm_memory *memory);
/* Old size in pages, or UINT32_MAX. */
uint32_t wasm_memory_grow(struct wasm_memory *memory, uint32_t delta_pages);
/* Largest size so far, for reports. */
uint64_t wasm_memory_peak_bytes(const struct wasm_memory *memory);

/* False when [addr, addr + len) is not all inside; then nothing was read or written. */
WM_MUST_CHECK bool wasm_memory_read(const struct wasm_memory *memory, struct wasm_addr addr,
                                    void *out, uint32_t len);
WM_MUST_CHECK bool wasm_memory_write(struct wasm_memory *memory, struct wasm_addr addr,
                                     const void *bytes, uint32_t len);
/* A window; false as above, and where a region is mapped for reading only (slot.h). A window of
 * length 0 is valid at any address up to the size. */
WM_MUST_CHECK bool wasm_memory_window(struct wasm_memory *memory, struct wasm_addr addr,
                                      uint32_t len, uint8_t **out);
/* A window to look through only; read-only regions too. */
WM_MUST_CHECK bool wasm_memory_view(const struct wasm_memory *memory, struct wasm_addr addr,
                                    uint32_t len, const uint8_t **out);

#endif
