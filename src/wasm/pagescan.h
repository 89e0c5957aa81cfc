/* pagescan.h: which pages of a private file mapping this process has written.
 *
 * A page of a MAP_PRIVATE mapping is the file's own until it is written, then an anonymous copy.
 * Linux 6.7's PAGEMAP_SCAN lists the pages that are present or swapped out and not the file's, and
 * skips quickly what was never touched. Older kernels give the same bits page by page in
 * /proc/self/pagemap (since 3.5), at a cost for each page of the range. */
#ifndef WM_WASM_PAGESCAN_H
#define WM_WASM_PAGESCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct wasm_pagescan {
    int fd;              /* /proc/self/pagemap; -1: not available */
    bool can_scan;       /* PAGEMAP_SCAN works, tried on a real mapping */
    unsigned generation; /* of the process: after a fork the file would show the parent's pages */
};

struct wasm_page_run {
    uint64_t start, end; /* addresses */
};

/* Never fails: what does not work is marked as such. */
void wasm_pagescan_init(struct wasm_pagescan *scan);
void wasm_pagescan_fini(struct wasm_pagescan *scan);

/* The first runs of written pages in [start, end), at most `max`; *looked is how far the answer is
 * complete. The count, or negative errno. Needs can_scan. */
WM_MUST_CHECK int wasm_pagescan_written(struct wasm_pagescan *scan, uint64_t start, uint64_t end,
                                        struct wasm_page_run *runs, uint32_t max, uint64_t *looked);
/* The same through the old interface. Needs fd. */
WM_MUST_CHECK int wasm_pagescan_read(struct wasm_pagescan *scan, uint64_t start, uint64_t end,
                                     struct wasm_page_run *runs, uint32_t max, uint64_t *looked);

#endif
