/* memory.c: reservations of address space, growth, and checked access.
 *
 *     base                 size                              base + 8 GiB + 64 KiB
 *     | readable, writable | no access ...................... |
 *
 * Everything a 32-bit index plus a 32-bit offset can reach lies in the reservation, so an access
 * beyond the size faults there and nowhere else. Growing is a change of protection: pages get
 * memory when they are first touched, and never move. */
#include "wasm/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "base/fault.h"
#include "wasm/runtime.h"

int wasm_memory_init(struct wasm_memory *memory, struct wasm_store *store, uint32_t max_pages,
                     struct wm_diag *diag)
{
    *memory = (struct wasm_memory){.store = store, .max_pages = max_pages};
    uint64_t limit_pages = store->limits.memory_bytes / WASM_PAGE_BYTES;
    limit_pages = wm_min_u64(limit_pages, wm_min_u64(max_pages, WASM_PAGES_MAX));
    memory->limit_pages = (uint32_t)limit_pages;
    void *base = MAP_FAILED;
    errno = ENOMEM;
    if (!wm_fault_here(WM_FAULT_IO)) {
        base = mmap(NULL, WASM_MEMORY_RESERVE_BYTES, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (base == MAP_FAILED) {
        return wm_diag_set(diag, -errno,
                           "memory: reserving 8 GiB of address space: %s; is there a limit on "
                           "virtual memory (ulimit -v)?",
                           strerror(errno));
    }
    int rc = wasm_ranges_add(&store->memories, (uintptr_t)base,
                             (uintptr_t)base + WASM_MEMORY_RESERVE_BYTES, memory);
    if (rc != 0) {
        munmap(base, WASM_MEMORY_RESERVE_BYTES);
        return wm_diag_set(diag, rc, "memory: %s", wm_error_text(rc));
    }
    memory->cell.base = base;
    return 0;
}

void wasm_memory_fini(struct wasm_memory *memory)
{
    wasm_ranges_remove(&memory->store->memories, memory);
    munmap(memory->cell.base, WASM_MEMORY_RESERVE_BYTES);
    memory->cell = (struct wasm_memory_cell){0};
}

uint32_t wasm_memory_grow_why(struct wasm_memory *memory, uint32_t delta_pages, bool *host_failed)
{
    uint64_t old_bytes = memory->cell.size_bytes;
    uint32_t old_pages = (uint32_t)(old_bytes / WASM_PAGE_BYTES);
    *host_failed = false;
    if ((uint64_t)old_pages + delta_pages > memory->limit_pages) {
        return UINT32_MAX;
    }
    uint64_t delta_bytes = delta_pages * WASM_PAGE_BYTES;
    if (delta_bytes != 0) {
        if (wm_fault_here(WM_FAULT_IO) ||
            mprotect(memory->cell.base + old_bytes, delta_bytes, PROT_READ | PROT_WRITE) != 0) {
            *host_failed = true;
            return UINT32_MAX;
        }
        memory->cell.size_bytes = old_bytes + delta_bytes;
        memory->peak_bytes = wm_max_u64(memory->peak_bytes, memory->cell.size_bytes);
    }
    return old_pages;
}

uint32_t wasm_memory_grow(struct wasm_memory *memory, uint32_t delta_pages)
{
    bool host_failed;
    return wasm_memory_grow_why(memory, delta_pages, &host_failed);
}

int wasm_memory_new(struct wasm_store *store, uint32_t min_pages, uint32_t max_pages,
                    struct wasm_memory **out, struct wm_diag *diag)
{
    struct wasm_memory *memory = wm_alloc(sizeof *memory);
    if (!memory) {
        return wm_diag_set(diag, -ENOMEM, "memory: %s", wm_error_text(-ENOMEM));
    }
    int rc = wasm_memory_init(memory, store, max_pages, diag);
    if (rc != 0) {
        wm_free(memory);
        return rc;
    }
    if (wasm_memory_grow(memory, min_pages) == UINT32_MAX) {
        wasm_memory_fini(memory);
        wm_free(memory);
        return wm_diag_set(diag, WM_E_LIMIT, "memory: %u pages at start are over the limit",
                           min_pages);
    }
    memory->next = store->host_memories;
    store->host_memories = memory;
    *out = memory;
    return 0;
}

uint64_t wasm_memory_bytes(const struct wasm_memory *memory)
{
    return memory->cell.size_bytes;
}

uint64_t wasm_memory_peak_bytes(const struct wasm_memory *memory)
{
    return memory->peak_bytes;
}

bool wasm_memory_writable(const struct wasm_memory *memory, uint64_t start, uint64_t len)
{
    for (uint32_t i = 0; i < memory->read_only_count; i++) {
        if (len != 0 && start < memory->read_only[i].end &&
            memory->read_only[i].start < start + len) {
            return false;
        }
    }
    return true;
}

bool wasm_memory_read(const struct wasm_memory *memory, struct wasm_addr addr, void *out,
                      uint32_t len)
{
    if (!wm_range_fits(addr.at, len, memory->cell.size_bytes)) {
        return false;
    }
    if (len != 0) {
        memcpy(out, memory->cell.base + addr.at, len);
    }
    return true;
}

bool wasm_memory_write(struct wasm_memory *memory, struct wasm_addr addr, const void *bytes,
                       uint32_t len)
{
    uint8_t *window;
    if (!wasm_memory_window(memory, addr, len, &window)) {
        return false;
    }
    if (len != 0) {
        memcpy(window, bytes, len);
    }
    return true;
}

bool wasm_memory_window(struct wasm_memory *memory, struct wasm_addr addr, uint32_t len,
                        uint8_t **out)
{
    if (!wm_range_fits(addr.at, len, memory->cell.size_bytes) ||
        (WM_UNLIKELY(memory->read_only_count) && !wasm_memory_writable(memory, addr.at, len))) {
        return false;
    }
    *out = memory->cell.base + addr.at;
    return true;
}

bool wasm_memory_view(const struct wasm_memory *memory, struct wasm_addr addr, uint32_t len,
                      const uint8_t **out)
{
    if (!wm_range_fits(addr.at, len, memory->cell.size_bytes)) {
        return false;
    }
    *out = memory->cell.base + addr.at;
    return true;
}
