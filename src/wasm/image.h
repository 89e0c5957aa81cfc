/* image.h: what an image holds; for image.c, image_file.c, slot.c and suspend.c. */
#ifndef WM_WASM_IMAGE_H
#define WM_WASM_IMAGE_H

#include <stdatomic.h>
#include <stdint.h>

#include "wasm/object.h"
#include "wasm/slot.h"

struct wasm_image_table {
    uint32_t size;
    uint32_t *funcs; /* function index + 1; 0: null. All null for a table of externrefs */
};

struct wasm_image {
    _Atomic uint32_t refs;
    const struct wasm_object *object;
    uint32_t *type_ids; /* references of ours, shared by all instances in slots */
    uint32_t type_ids_held;
    int memfd; /* sealed; -1: no bytes of memory */
    uint64_t memory_bytes;
    uint64_t memory_limit_bytes; /* 0: the pool's alone */
    const uint8_t *bytes;        /* the same, mapped read-only; what pages are copied back from */
    uint64_t *stored; /* a bit for each page: 0, a hole. Reading it in `bytes` would fill it */
    union wasm_value *globals;       /* index space; a funcref as function index + 1 */
    struct wasm_image_table *tables; /* defined ones: all */
    uint8_t *data_dropped, *elem_dropped;
    bool suspended;
    uint32_t suspend_addr; /* guest address of the area that the program unwound into */
};

/* An empty image of `object`, with its arrays in one block; everything else is to be filled in. */
WM_MUST_CHECK int wasm_image_new(const struct wasm_object *object, struct wasm_image **out,
                                 struct wm_diag *diag);
/* Tables are allocated as their sizes become known. */
WM_MUST_CHECK int wasm_image_set_table(struct wasm_image *image, uint32_t table_idx, uint32_t size);
/* A memfd of `bytes` to be written to, then sealed and mapped. */
WM_MUST_CHECK int wasm_image_begin_memory(struct wasm_image *image, uint64_t bytes,
                                          struct wm_diag *diag);
WM_MUST_CHECK int wasm_image_write_memory(struct wasm_image *image, uint64_t offset,
                                          const uint8_t *bytes, uint64_t len, struct wm_diag *diag);
WM_MUST_CHECK int wasm_image_end_memory(struct wasm_image *image, struct wm_diag *diag);

/* True and *out the function index + 1 where `func` is NULL or one of this instance's own. */
bool wasm_image_func_of(const struct wasm_instance *instance, const struct wasm_func *func,
                        uint32_t *out);

#define WASM_IMAGE_PAGE_BYTES 4096u
static inline bool wasm_image_stores(const struct wasm_image *image, uint64_t page)
{
    return image->stored[page / 64] >> (page % 64) & 1;
}
bool wasm_image_page_is_zero(const uint8_t *page);

#endif
