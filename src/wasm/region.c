/* region.c: bytes that several guests' memories map at once.
 *
 * A region is a memfd of fixed size: no holder can shrink it under another, which would turn reads
 * into bus errors. Mapping appends it to a memory, so it lies inside the memory's size and compiled
 * code needs no other check for it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "base/fault.h"
#include "wasm/runtime.h"
#include "wasm/slot.h"

#define HOST_PAGE_BYTES 4096u

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
    *region = (struct wasm_region){.memfd = -1, .bytes = rounded, .map = MAP_FAILED};
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

int wasm_region_fd(const struct wasm_region *region)
{
    return region->memfd;
}

int wasm_region_map(struct wasm_region *region, struct wasm_memory *memory, bool read_only,
                    uint32_t *out, struct wm_diag *diag)
{
    return wasm_region_map_range(region, 0, region->bytes, memory, read_only, out, diag);
}

/* Regions that lie behind each other count as one span, so reading a value in many small parts does
 * not use the table up. */
static bool remember_read_only(struct wasm_memory *memory, uint64_t start, uint64_t end)
{
    uint32_t count = memory->read_only_count;
    if (count > 0 && memory->read_only[count - 1].end == start) {
        memory->read_only[count - 1].end = end;
        return true;
    }
    if (count == WASM_MEMORY_REGIONS_MAX) {
        return false;
    }
    memory->read_only[memory->read_only_count++] = (struct wasm_span){start, end};
    return true;
}

/*     memory      ...| size                                              new size |
 *     mapped         | host pages of the region that hold the range | private |
 *
 * A memory grows by whole WebAssembly pages of 64 KiB, the range by host pages: what is between
 * them is the guest's own, zero, and never a hole. */
int wasm_region_map_range(struct wasm_region *region, uint64_t offset, uint64_t len,
                          struct wasm_memory *memory, bool read_only, uint32_t *out,
                          struct wm_diag *diag)
{
    if (len == 0 || !wm_range_fits(offset, len, region->bytes)) {
        return wm_diag_set(
            diag, WM_E_USAGE, "region: %llu bytes from %llu on are not inside its %llu bytes",
            (unsigned long long)len, (unsigned long long)offset, (unsigned long long)region->bytes);
    }
    uint64_t first = offset & ~(uint64_t)(HOST_PAGE_BYTES - 1);
    uint64_t shared = ((offset + len + HOST_PAGE_BYTES - 1) & ~(uint64_t)(HOST_PAGE_BYTES - 1));
    shared -= first;
    uint64_t grown = (shared + WASM_PAGE_BYTES - 1) & ~(uint64_t)(WASM_PAGE_BYTES - 1);
    uint64_t at = memory->cell.size_bytes, end = at + grown;
    if (end > memory->limit_pages * WASM_PAGE_BYTES) {
        return wm_diag_set(diag, WM_E_LIMIT,
                           "region: its %llu bytes do not fit below the memory's limit",
                           (unsigned long long)grown);
    }
    uint32_t spans = memory->read_only_count;
    struct wasm_span last = spans > 0 ? memory->read_only[spans - 1] : (struct wasm_span){0, 0};
    if (read_only && !remember_read_only(memory, at, end)) {
        return wm_diag_set(diag, WM_E_LIMIT, "region: %u read-only regions are mapped already",
                           WASM_MEMORY_REGIONS_MAX);
    }
    int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    uint8_t *to = memory->cell.base + at;
    errno = ENOMEM;
    bool tail_open = false;
    if (wm_fault_here(WM_FAULT_IO) ||
        (grown > shared && mprotect(to + shared, grown - shared, protection) != 0) ||
        (tail_open = grown > shared, wm_fault_here(WM_FAULT_IO)) ||
        mmap(to, shared, protection, MAP_SHARED | MAP_FIXED, region->memfd, (off_t)first) ==
            MAP_FAILED) {
        int rc = -errno;
        if (tail_open) {
            /* Joins what it was split from: that needs no memory, so it does not fail. */
            (void)!mprotect(to + shared, grown - shared, PROT_NONE);
        }
        memory->read_only_count = spans;
        if (spans > 0) {
            memory->read_only[spans - 1] = last;
        }
        return wm_diag_set(diag, rc, "region: mapping: %s", strerror(-rc));
    }
    memory->has_regions = true;
    memory->cell.size_bytes = end;
    memory->peak_bytes = wm_max_u64(memory->peak_bytes, end);
    *out = (uint32_t)(at + (offset - first));
    return 0;
}
