/* region.c: bytes that several guests' memories map at once.
 *
 * A region is a memfd of fixed size: no holder can shrink it under another, which would turn reads
 * into bus errors. Mapping appends it to a memory, so it lies inside the memory's size and compiled
 * code needs no other check for it. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "base/fault.h"
#include "wasm/runtime.h"
#include "wasm/slot.h"

struct wasm_region {
    int memfd;
    uint64_t bytes; /* a multiple of WASM_PAGE_BYTES */
    uint8_t *map;
};

int wasm_region_new(uint64_t bytes, struct wasm_region **out, struct wm_diag *diag)
{
    uint64_t rounded;
    if (bytes == 0 || !wm_align_up_u64(bytes, WASM_PAGE_BYTES, &rounded) ||
        rounded > WASM_PAGES_MAX * WASM_PAGE_BYTES) {
        return wm_diag_set(diag, WM_E_USAGE, "region: %llu bytes is not a size between 1 and 4 GiB",
                           (unsigned long long)bytes);
    }
    struct wasm_region *region = wm_alloc(sizeof *region);
    if (!region) {
        return wm_diag_set(diag, -ENOMEM, "region: %s", wm_error_text(-ENOMEM));
    }
    *region = (struct wasm_region){-1, rounded, MAP_FAILED};
    errno = ENOMEM;
    if (wm_fault_here(WM_FAULT_IO) ||
        (region->memfd = memfd_create("wardmote-region", MFD_CLOEXEC | MFD_ALLOW_SEALING)) < 0 ||
        ftruncate(region->memfd, (off_t)rounded) != 0 ||
        fcntl(region->memfd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0 ||
        (region->map = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_SHARED, region->memfd, 0)) ==
            MAP_FAILED) {
        int rc = -errno;
        wasm_region_put(region);
        return wm_diag_set(diag, rc, "region: %llu bytes: %s", (unsigned long long)bytes,
                           strerror(-rc));
    }
    *out = region;
    return 0;
}

void wasm_region_put(struct wasm_region *region)
{
    if (!region) {
        return;
    }
    if (region->map != MAP_FAILED) {
        munmap(region->map, region->bytes);
    }
    if (region->memfd >= 0) {
        close(region->memfd);
    }
    wm_free(region);
}

uint8_t *wasm_region_bytes(struct wasm_region *region, uint64_t *bytes)
{
    *bytes = region->bytes;
    return region->map;
}

int wasm_region_map(struct wasm_region *region, struct wasm_memory *memory, bool read_only,
                    uint32_t *out, struct wm_diag *diag)
{
    uint64_t at = memory->cell.size_bytes, end = at + region->bytes;
    if (end > memory->limit_pages * WASM_PAGE_BYTES) {
        return wm_diag_set(diag, WM_E_LIMIT,
                           "region: its %llu bytes do not fit below the memory's limit",
                           (unsigned long long)region->bytes);
    }
    if (read_only && memory->read_only_count == WASM_MEMORY_REGIONS_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "region: %u read-only regions are mapped already",
                           WASM_MEMORY_REGIONS_MAX);
    }
    errno = ENOMEM;
    if (wm_fault_here(WM_FAULT_IO) ||
        mmap(memory->cell.base + at, region->bytes, read_only ? PROT_READ : PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, region->memfd, 0) == MAP_FAILED) {
        int rc = -errno;
        return wm_diag_set(diag, rc, "region: mapping: %s", strerror(-rc));
    }
    if (read_only) {
        memory->read_only[memory->read_only_count++] = (struct wasm_span){at, end};
    }
    memory->has_regions = true;
    memory->cell.size_bytes = end;
    memory->peak_bytes = wm_max_u64(memory->peak_bytes, end);
    *out = (uint32_t)at;
    return 0;
}
