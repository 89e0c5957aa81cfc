/* table.c: tables of references, reserved at their largest so that they never move.
 *
 * A funcref element is a copy of the function instance (abi.h): call_indirect loads it from the
 * table alone. An element of zeroes is null, which is what fresh pages hold. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "base/fault.h"
#include "wasm/runtime.h"
#include "wasm/table.h"

#define PAGE_BYTES UINT64_C(4096)

int wasm_table_init(struct wasm_table *table, struct wasm_store *store, uint8_t elem_type,
                    uint32_t min, uint32_t max, struct wm_diag *diag)
{
    uint32_t limit = (uint32_t)wm_min_u64(store->limits.table_elems, max);
    if (min > limit) {
        return wm_diag_set(diag, WM_E_LIMIT, "table: %u elements at start are over the limit of %u",
                           min, limit);
    }
    uint64_t bytes = sizeof(struct wasm_table_elem) * (uint64_t)limit;
    bytes = wm_max_u64((bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1), PAGE_BYTES);
    *table = (struct wasm_table){.store = store,
                                 .max = max,
                                 .limit = limit,
                                 .elem_type = elem_type,
                                 .reserved_bytes = bytes};
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *elems = MAP_FAILED;
    errno = ENOMEM;
    if (!wm_fault_here(WM_FAULT_IO)) {
        /* With access from the start, since what is never touched takes no memory: one mapping and
         * not two, and it is one with the stack that mostly lies below it (MAP_STACK: no huge
         * pages). Where the machine does not promise more than it has, part by part. */
        elems = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_STACK, -1, 0);
        if (elems != MAP_FAILED) {
            table->committed_bytes = bytes;
        } else {
            elems = mmap(NULL, bytes, PROT_NONE, flags, -1, 0);
        }
    }
    if (elems == MAP_FAILED) {
        return wm_diag_set(diag, -errno, "table: reserving %llu bytes of address space: %s",
                           (unsigned long long)bytes, strerror(errno));
    }
    table->cells.elems = elems;
    if (!wasm_table_resize(table, min)) {
        wasm_table_fini(table);
        return wm_diag_set(diag, -ENOMEM, "table: %u elements: %s", min, wm_error_text(-ENOMEM));
    }
    return 0;
}

void wasm_table_fini(struct wasm_table *table)
{
    if (table->cells.elems) {
        munmap(table->cells.elems, table->reserved_bytes);
        table->cells = (struct wasm_table_cells){0};
    }
}

bool wasm_table_resize(struct wasm_table *table, uint64_t size)
{
    WM_ASSERT(size <= table->limit);
    uint64_t bytes = sizeof(struct wasm_table_elem) * size;
    bytes = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    if (bytes > table->committed_bytes) {
        uint8_t *start = (uint8_t *)table->cells.elems + table->committed_bytes;
        if (wm_fault_here(WM_FAULT_IO) ||
            mprotect(start, bytes - table->committed_bytes, PROT_READ | PROT_WRITE) != 0) {
            return false;
        }
        table->committed_bytes = bytes;
    }
    table->cells.size = size;
    return true;
}

void wasm_table_null(struct wasm_table *table, uint64_t from, uint64_t to)
{
    struct wasm_table_elem *start = table->cells.elems + from, *end = table->cells.elems + to;
    uintptr_t page = ((uintptr_t)start + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1);
    uintptr_t last = (uintptr_t)end & ~(uintptr_t)(PAGE_BYTES - 1);
    /* Private anonymous pages come back as zeroes. */
    if (last > page && last - page >= 16 * PAGE_BYTES &&
        madvise((void *)page, last - page, MADV_DONTNEED) == 0) {
        memset(start, 0, page - (uintptr_t)start);
        memset((void *)last, 0, (uintptr_t)end - last);
    } else if (from < to) {
        memset(start, 0, (to - from) * sizeof *start);
    }
}

struct wasm_table_elem wasm_table_elem_of(const struct wasm_table *table, uint64_t ref)
{
    if (ref == 0) {
        return (struct wasm_table_elem){0};
    }
    if (table->elem_type == WASM_EXTERNREF) {
        return (struct wasm_table_elem){.code = (void *)(uintptr_t)ref};
    }
    const struct wasm_func *func = (const struct wasm_func *)(uintptr_t)ref;
    return (struct wasm_table_elem){
        .code = func->code, .ctx = func->ctx, .type_id = func->type_id, .func = func};
}

uint64_t wasm_table_ref_of(const struct wasm_table *table, const struct wasm_table_elem *elem)
{
    return table->elem_type == WASM_EXTERNREF ? (uint64_t)(uintptr_t)elem->code
                                              : (uint64_t)(uintptr_t)elem->func;
}

int wasm_table_new(struct wasm_store *store, uint8_t elem_type, uint32_t min, uint32_t max,
                   struct wasm_table **out, struct wm_diag *diag)
{
    WM_ASSERT(wasm_is_ref(elem_type));
    struct wasm_table *table = wm_alloc(sizeof *table);
    if (!table) {
        return wm_diag_set(diag, -ENOMEM, "table: %s", wm_error_text(-ENOMEM));
    }
    int rc = wasm_table_init(table, store, elem_type, min, max, diag);
    if (rc != 0) {
        wm_free(table);
        return rc;
    }
    table->next = store->host_tables;
    store->host_tables = table;
    *out = table;
    return 0;
}

uint32_t wasm_table_size(const struct wasm_table *table)
{
    return (uint32_t)table->cells.size;
}

uint32_t wasm_table_grow(struct wasm_table *table, uint32_t delta)
{
    uint64_t old_size = table->cells.size;
    if (old_size + delta > table->limit || !wasm_table_resize(table, old_size + delta)) {
        return UINT32_MAX;
    }
    table->dirty = true;
    return (uint32_t)old_size;
}

void wasm_table_set(struct wasm_table *table, uint32_t index, const struct wasm_func *func)
{
    WM_ASSERT(table->elem_type == WASM_FUNCREF && index < table->cells.size);
    table->dirty = true;
    table->cells.elems[index] = wasm_table_elem_of(table, (uint64_t)(uintptr_t)func);
}

uint32_t wasm_table_find(const struct wasm_table *table, uint32_t from,
                         const struct wasm_func *func)
{
    for (uint64_t i = from; i < table->cells.size; i++) {
        if (table->cells.elems[i].func == func) {
            return (uint32_t)i;
        }
    }
    return UINT32_MAX;
}
