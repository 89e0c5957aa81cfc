/* image.c: the state of an instance, taken out of it.
 *
 * References become function indices, so that an image fits any instance of the same module
 * anywhere. Memory goes into a memfd that is sealed against every change: many slots and threads
 * map it copy-on-write, and none may see another's writes. Pages of zeroes stay holes. */
#include "wasm/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "wasm/runtime.h"
#include "wasm/typeid.h"

static uint64_t round16(uint64_t value)
{
    return (value + 15) & ~UINT64_C(15);
}

int wasm_image_new(const struct wasm_object *object, struct wasm_image **out, struct wm_diag *diag)
{
    uint64_t types = WASM_OBJECT_COUNT(object, TYPES), tables = WASM_OBJECT_COUNT(object, TABLES);
    uint64_t globals = WASM_OBJECT_COUNT(object, GLOBALS);
    uint64_t types_at = round16(sizeof(struct wasm_image));
    uint64_t globals_at = round16(types_at + types * sizeof(uint32_t));
    uint64_t tables_at = globals_at + globals * sizeof(union wasm_value);
    uint64_t data_at = round16(tables_at + tables * sizeof(struct wasm_image_table));
    uint64_t elem_at = data_at + WASM_OBJECT_COUNT(object, DATAS);
    uint8_t *block = wm_alloc_zero(1, elem_at + WASM_OBJECT_COUNT(object, ELEMS));
    if (!block) {
        return wm_diag_set(diag, -ENOMEM, "image: %s", wm_error_text(-ENOMEM));
    }
    struct wasm_image *image = (struct wasm_image *)block;
    image->refs = 1;
    image->object = object;
    image->memfd = -1;
    image->type_ids = (uint32_t *)(block + types_at);
    image->globals = (union wasm_value *)(block + globals_at);
    image->tables = (struct wasm_image_table *)(block + tables_at);
    image->data_dropped = block + data_at;
    image->elem_dropped = block + elem_at;
    for (uint64_t i = 0; i < types; i++) {
        const struct wasm_object_type *type = &object->at.TYPES[i];
        struct wasm_functype functype = {type->params.len, type->results.len,
                                         object->at.STRINGS + type->params.offset,
                                         object->at.STRINGS + type->results.offset};
        uint32_t id = wasm_typeid_take(&functype);
        if (id == 0) {
            wasm_image_put(image);
            return wm_diag_set(diag, -ENOMEM, "image: %s", wm_error_text(-ENOMEM));
        }
        image->type_ids[i] = id;
        image->type_ids_held++;
    }
    *out = image;
    return 0;
}

struct wasm_image *wasm_image_ref(struct wasm_image *image)
{
    atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
    return image;
}

void wasm_image_limit_memory(struct wasm_image *image, uint64_t bytes)
{
    image->memory_limit_bytes = bytes;
}

void wasm_image_put(struct wasm_image *image)
{
    if (!image || atomic_fetch_sub_explicit(&image->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < image->type_ids_held; i++) {
        wasm_typeid_put(image->type_ids[i]);
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(image->object, TABLES); i++) {
        wm_free(image->tables[i].funcs);
    }
    if (image->bytes) {
        munmap((void *)image->bytes, image->memory_bytes);
    }
    if (image->memfd >= 0) {
        close(image->memfd);
    }
    wm_free(image->stored);
    wm_free(image);
}

uint64_t wasm_image_memory_bytes(const struct wasm_image *image)
{
    return image->memory_bytes;
}

int wasm_image_set_table(struct wasm_image *image, uint32_t table_idx, uint32_t size)
{
    uint32_t *funcs = wm_alloc_zero(size, sizeof *funcs);
    if (!funcs) {
        return -ENOMEM;
    }
    image->tables[table_idx] = (struct wasm_image_table){size, funcs};
    return 0;
}

/* --- Memory --- */

bool wasm_image_page_is_zero(const uint8_t *page)
{
    /* The first word decides nearly always; then the page against itself, shifted. */
    uint64_t first;
    memcpy(&first, page, sizeof first);
    return first == 0 &&
           memcmp(page, page + sizeof first, WASM_IMAGE_PAGE_BYTES - sizeof first) == 0;
}

int wasm_image_begin_memory(struct wasm_image *image, uint64_t bytes, struct wm_diag *diag)
{
    image->memory_bytes = bytes;
    if (bytes == 0) {
        return 0;
    }
    uint64_t pages = (bytes + WASM_IMAGE_PAGE_BYTES - 1) / WASM_IMAGE_PAGE_BYTES;
    image->stored = wm_alloc_zero((pages + 63) / 64, sizeof *image->stored);
    if (!image->stored) {
        return wm_diag_set(diag, -ENOMEM, "image: %s", wm_error_text(-ENOMEM));
    }
    errno = ENOMEM;
    image->memfd = wm_fault_here(WM_FAULT_IO)
                       ? -1
                       : memfd_create("wardmote-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (image->memfd < 0 || ftruncate(image->memfd, (off_t)bytes) != 0) {
        int rc = -errno;
        return wm_diag_set(diag, rc, "image: a file in memory of %llu bytes: %s",
                           (unsigned long long)bytes, strerror(-rc));
    }
    return 0;
}

int wasm_image_write_memory(struct wasm_image *image, uint64_t offset, const uint8_t *bytes,
                            uint64_t len, struct wm_diag *diag)
{
    for (uint64_t page = offset / WASM_IMAGE_PAGE_BYTES;
         page * WASM_IMAGE_PAGE_BYTES < offset + len; page++) {
        image->stored[page / 64] |= UINT64_C(1) << (page % 64);
    }
    while (len > 0) {
        errno = ENOSPC;
        ssize_t done =
            wm_fault_here(WM_FAULT_IO) ? -1 : pwrite(image->memfd, bytes, len, (off_t)offset);
        if (done < 0) {
            if (errno == EINTR) {
                continue;
            }
            int rc = -errno;
            return wm_diag_set(diag, rc, "image: writing memory: %s", strerror(-rc));
        }
        offset += (uint64_t)done;
        bytes += done;
        len -= (uint64_t)done;
    }
    return 0;
}

int wasm_image_end_memory(struct wasm_image *image, struct wm_diag *diag)
{
    if (image->memory_bytes == 0) {
        return 0;
    }
    const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    void *map = MAP_FAILED;
    errno = ENOMEM;
    /* Private, although nobody writes: older kernels refuse shared mappings of a sealed file. */
    if (wm_fault_here(WM_FAULT_IO) || fcntl(image->memfd, F_ADD_SEALS, seals) != 0 ||
        (map = mmap(NULL, image->memory_bytes, PROT_READ, MAP_PRIVATE, image->memfd, 0)) ==
            MAP_FAILED) {
        int rc = -errno;
        return wm_diag_set(diag, rc, "image: sealing and mapping memory: %s", strerror(-rc));
    }
    image->bytes = map;
    return 0;
}

static int take_memory(struct wasm_image *image, const struct wasm_memory *memory,
                       struct wm_diag *diag)
{
    uint64_t bytes = memory->cell.size_bytes;
    const uint8_t *from = memory->cell.base;
    int rc = wasm_image_begin_memory(image, bytes, diag);
    for (uint64_t at = 0; rc == 0 && at < bytes;) {
        uint64_t end = at;
        while (end < bytes && end - at < (UINT64_C(16) << 20) &&
               !wasm_image_page_is_zero(from + end)) {
            end += WASM_IMAGE_PAGE_BYTES;
        }
        if (end > at) {
            rc = wasm_image_write_memory(image, at, from + at, end - at, diag);
            at = end;
        } else {
            at += WASM_IMAGE_PAGE_BYTES;
        }
    }
    return rc ? rc : wasm_image_end_memory(image, diag);
}

/* --- References and the rest --- */

bool wasm_image_func_of(const struct wasm_instance *instance, const struct wasm_func *func,
                        uint32_t *out)
{
    uint64_t count = WASM_OBJECT_COUNT(instance->object, FUNCS);
    if (!func) {
        *out = 0;
        return true;
    }
    if ((uintptr_t)func < (uintptr_t)instance->funcs ||
        (uintptr_t)func >= (uintptr_t)(instance->funcs + count)) {
        return false;
    }
    *out = (uint32_t)(func - instance->funcs) + 1;
    return true;
}

static int refuse(struct wm_diag *diag, const char *why)
{
    return wm_diag_set(diag, WM_E_UNSUPPORTED, "image: %s", why);
}

static int take_globals(struct wasm_image *image, struct wasm_instance *instance,
                        struct wm_diag *diag)
{
    for (uint32_t i = 0; i < WASM_OBJECT_COUNT(image->object, GLOBALS); i++) {
        const struct wasm_global_cell *cell = wasm_instance_cell(instance, i);
        image->globals[i] = *cell->at;
        if (i < image->object->header->imported_globals && cell->is_mutable) {
            return refuse(diag, "the module imports a mutable global, whose value is another's");
        }
        if (cell->valtype == WASM_FUNCREF) {
            uint32_t func;
            if (!wasm_image_func_of(instance, cell->at->funcref, &func)) {
                return refuse(diag, "a global refers to another instance's function");
            }
            image->globals[i] = (union wasm_value){.i64 = func};
        } else if (cell->valtype == WASM_EXTERNREF && cell->at->externref != 0) {
            return refuse(diag, "a global holds a reference of the host's");
        }
    }
    return 0;
}

static int take_tables(struct wasm_image *image, struct wasm_instance *instance,
                       struct wm_diag *diag)
{
    for (uint32_t i = 0; i < WASM_OBJECT_COUNT(image->object, TABLES); i++) {
        const struct wasm_table *table = wasm_instance_table(instance, i);
        int rc = wasm_image_set_table(image, i, (uint32_t)table->cells.size);
        if (rc != 0) {
            return wm_diag_set(diag, rc, "image: %s", wm_error_text(rc));
        }
        for (uint64_t at = 0; at < table->cells.size; at++) {
            const struct wasm_table_elem *elem = &table->cells.elems[at];
            if (table->elem_type == WASM_EXTERNREF
                    ? elem->code != NULL
                    : !wasm_image_func_of(instance, elem->func, &image->tables[i].funcs[at])) {
                return refuse(diag, table->elem_type == WASM_EXTERNREF
                                        ? "a table holds a reference of the host's"
                                        : "a table refers to another instance's function");
            }
        }
    }
    return 0;
}

int wasm_image_take(struct wasm_instance *instance, struct wasm_image **out, struct wm_diag *diag)
{
    const struct wasm_object *object = instance->object;
    if (instance->calls_other_instances) {
        return refuse(diag, "the module imports a function of another instance");
    }
    if (object->header->imported_tables != 0) {
        return refuse(diag, "the module imports a table");
    }
    if (object->header->memory_flags & 2) {
        return refuse(diag, "the module imports its memory");
    }
    if (instance->memory && instance->memory->has_regions) {
        return refuse(diag, "a shared region is mapped into the memory");
    }
    struct wasm_image *image;
    int rc = wasm_image_new(object, &image, diag);
    if (rc != 0) {
        return rc;
    }
    if ((rc = take_globals(image, instance, diag)) != 0 ||
        (rc = take_tables(image, instance, diag)) != 0 ||
        (instance->memory && (rc = take_memory(image, instance->memory, diag)) != 0)) {
        wasm_image_put(image);
        return rc;
    }
    memcpy(image->data_dropped, instance->data_dropped, WASM_OBJECT_COUNT(object, DATAS));
    memcpy(image->elem_dropped, instance->elem_dropped, WASM_OBJECT_COUNT(object, ELEMS));
    *out = image;
    return 0;
}
