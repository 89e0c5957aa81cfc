/* pagescan.c: the kernel's two interfaces, declared from their documentation.
 *
 * Debian 12's headers are older than PAGEMAP_SCAN, so its structures stand here, as
 * Documentation/admin-guide/mm/pagemap.rst gives them. Whether the running kernel does what we need
 * is tried, not derived from a version number. */
#include "wasm/pagescan.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "wasm/runtime.h"

#define PAGE_BYTES 4096u

struct page_region {
    uint64_t start, end, categories;
};

struct pm_scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define IOCTL_PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define CATEGORY_FILE (UINT64_C(1) << 2)
#define CATEGORY_PRESENT (UINT64_C(1) << 3)
#define CATEGORY_SWAPPED (UINT64_C(1) << 4)

/* Bits of an entry of /proc/self/pagemap. */
#define ENTRY_FILE (UINT64_C(1) << 61)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_PRESENT (UINT64_C(1) << 63)

#define RUNS_MAX 64u

static bool reopened(struct wasm_pagescan *scan)
{
    if (WM_UNLIKELY(scan->generation != wasm_process_generation())) {
        if (scan->fd >= 0) {
            close(scan->fd);
        }
        scan->generation = wasm_process_generation();
        scan->fd =
            wm_fault_here(WM_FAULT_IO) ? -1 : open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    }
    return scan->fd >= 0;
}

int wasm_pagescan_written(struct wasm_pagescan *scan, uint64_t start, uint64_t end,
                          struct wasm_page_run *runs, uint32_t max, uint64_t *looked)
{
    struct page_region found[RUNS_MAX];
    struct pm_scan_arg arg = {
        .size = sizeof arg,
        .start = start,
        .end = end,
        .vec = (uint64_t)(uintptr_t)found,
        .vec_len = max < RUNS_MAX ? max : RUNS_MAX,
        /* not of the file, and present or swapped out */
        .category_inverted = CATEGORY_FILE,
        .category_mask = CATEGORY_FILE,
        .category_anyof_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED,
        .return_mask = CATEGORY_PRESENT,
    };
    if (!reopened(scan)) {
        return -EBADF;
    }
    int count = ioctl(scan->fd, IOCTL_PAGEMAP_SCAN, &arg);
    if (count < 0) {
        return -errno;
    }
    for (int i = 0; i < count; i++) {
        runs[i] = (struct wasm_page_run){found[i].start, found[i].end};
    }
    *looked = arg.walk_end;
    return count;
}

int wasm_pagescan_read(struct wasm_pagescan *scan, uint64_t start, uint64_t end,
                       struct wasm_page_run *runs, uint32_t max, uint64_t *looked)
{
    uint64_t entries[512];
    uint32_t count = 0;
    if (!reopened(scan)) {
        return -EBADF;
    }
    for (uint64_t at = start; at < end;) {
        uint64_t wanted = (end - at) / PAGE_BYTES;
        wanted = wanted < 512 ? wanted : 512;
        ssize_t got = pread(scan->fd, entries, wanted * sizeof entries[0],
                            (off_t)(at / PAGE_BYTES * sizeof entries[0]));
        if (got <= 0) {
            return got < 0 ? -errno : -EIO;
        }
        for (uint64_t i = 0; i < (uint64_t)got / sizeof entries[0]; i++, at += PAGE_BYTES) {
            if ((entries[i] & ENTRY_FILE) || !(entries[i] & (ENTRY_PRESENT | ENTRY_SWAPPED))) {
                continue;
            }
            if (count > 0 && runs[count - 1].end == at) {
                runs[count - 1].end += PAGE_BYTES;
            } else if (count < max) {
                runs[count++] = (struct wasm_page_run){at, at + PAGE_BYTES};
            } else {
                *looked = at;
                return (int)count;
            }
        }
    }
    *looked = end;
    return (int)count;
}

/* Four pages of a file mapped privately: one read, one written. Exactly the written one must show.
 */
static bool tells_written_pages(struct wasm_pagescan *scan)
{
    bool right = false;
    int fd = memfd_create("wardmote-probe", MFD_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    if (ftruncate(fd, 4 * PAGE_BYTES) == 0) {
        volatile uint8_t *map =
            mmap(NULL, 4 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED) {
            struct wasm_page_run runs[4];
            uint64_t start = (uint64_t)(uintptr_t)map, looked;
            (void)map[0];
            map[2 * PAGE_BYTES] = 1;
            int count =
                wasm_pagescan_written(scan, start, start + 4 * PAGE_BYTES, runs, 4, &looked);
            right = count == 1 && runs[0].start == start + 2 * PAGE_BYTES &&
                    runs[0].end == start + 3 * PAGE_BYTES && looked == start + 4 * PAGE_BYTES;
            munmap((void *)(uintptr_t)start, 4 * PAGE_BYTES);
        }
    }
    close(fd);
    return right;
}

void wasm_pagescan_init(struct wasm_pagescan *scan)
{
    *scan = (struct wasm_pagescan){.fd = -1};
    if (reopened(scan)) {
        scan->can_scan = tells_written_pages(scan);
    }
}

void wasm_pagescan_fini(struct wasm_pagescan *scan)
{
    if (scan->fd >= 0) {
        close(scan->fd);
    }
    *scan = (struct wasm_pagescan){.fd = -1};
}
