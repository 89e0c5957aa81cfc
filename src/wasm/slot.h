/* slot.h: pooled instances that start from an image in microseconds.
 *
 * An image is the state of an instance at one moment: memory, globals, tables, dropped segments.
 * Its memory lies in a sealed memfd and is mapped copy-on-write. A slot is a reservation (memory,
 * context, tables) that holds one instance at a time; after a call it is reset to the image by
 * copying back the pages that the guest wrote (Faasm section 5, "Proto-Faaslets"; pages found by
 * PAGEMAP_SCAN where the kernel has it: Linux 6.7), or, where many were written or the kernel
 * cannot tell, by a bounded copy and discarding the rest. A slot taken for another image is
 * re-mapped.
 *
 *     image = wasm_image_take(instance)                 once, after initialisation
 *     slot = wasm_pool_take(pool, image)                prefers one last used by the same image
 *     wasm_call(slot store, func, values)
 *     wasm_pool_put(pool, slot)                         resets, after the result was used
 *
 * What a caller may rely on: after wasm_pool_put nothing of the call remains in the slot (memory,
 * globals, tables, dropped segments, fuel, deadline); a slot never shows one image's bytes to
 * another. Host state (descriptors, environment) is not here: the host part of an embedding resets
 * it.
 *
 * A pool belongs to one thread; images may be shared by threads and are reference-counted. */
#ifndef WM_WASM_SLOT_H
#define WM_WASM_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "wasm/instance.h"

struct wasm_image;
struct wasm_pool;
struct wasm_slot;

/* How written pages are found; AUTO picks the first that the kernel has. */
enum wasm_reset { WASM_RESET_AUTO, WASM_RESET_PAGEMAP_SCAN, WASM_RESET_DISCARD };

/* Refuses (WM_E_UNSUPPORTED, with the reason) an instance with state that an image cannot hold:
 * imported memories, tables or mutable globals, references to another instance's functions. */
WM_MUST_CHECK int wasm_image_take(struct wasm_instance *instance, struct wasm_image **out,
                                  struct wm_diag *diag);
struct wasm_image *wasm_image_ref(struct wasm_image *image);
void wasm_image_put(struct wasm_image *image);
uint64_t wasm_image_memory_bytes(const struct wasm_image *image);
/* Memories made from it grow to no more than this, where a pool allows more. Before its first use.
 */
void wasm_image_limit_memory(struct wasm_image *image, uint64_t bytes);

/* Portable form (doc/format/image.md): bound to the module's SHA-256, zero pages left out,
 * checksummed. Reading checks everything and refuses an image of another module. */
WM_MUST_CHECK int wasm_image_write(const struct wasm_image *image, int fd, struct wm_diag *diag);
WM_MUST_CHECK int wasm_image_read(int fd, const struct wasm_object *object, struct wasm_image **out,
                                  struct wm_diag *diag);

struct wasm_pool_config {
    uint32_t slots; /* at most; address space 8 GiB and 4 mappings each. Fewer, from then on, where
                       the machine had no room for another while one was idle */
    enum wasm_reset reset;
    struct wasm_store_limits limits;
    /* A slot no longer uses the resolve_self that it was bound with: it is bound to another image,
     * or freed. NULL allowed. */
    void (*released)(void *self, void *resolve_self);
    void *released_self;
};

WM_MUST_CHECK int wasm_pool_new(const struct wasm_pool_config *config, struct wasm_pool **out,
                                struct wm_diag *diag);
void wasm_pool_free(struct wasm_pool *pool); /* no slot may be out */

/* WM_E_BUSY when all slots are out. Imports are resolved once per slot and image, kept while the
 * slot stays with the image. */
WM_MUST_CHECK int wasm_pool_take(struct wasm_pool *pool, struct wasm_image *image,
                                 wasm_resolve_fn *resolve, void *resolve_self,
                                 struct wasm_slot **out, struct wm_diag *diag);
struct wasm_instance *wasm_slot_instance(struct wasm_slot *slot);
/* The resolve_self of the take that bound it: the host's part of what lives in this slot. */
void *wasm_slot_env(const struct wasm_slot *slot);
/* A function of this slot's instance, by its index in the module; good while the slot stays with
 * its image. */
const struct wasm_func *wasm_slot_func(struct wasm_slot *slot, uint32_t func_idx);
/* What the image has in table 0 at `elem_idx`: a function index, or UINT32_MAX. */
uint32_t wasm_image_table_func(const struct wasm_image *image, uint32_t elem_idx);
void wasm_pool_put(struct wasm_pool *pool, struct wasm_slot *slot);

struct wasm_pool_stats {
    uint64_t warm, cold; /* takes */
    uint64_t pages_copied, pages_discarded;
    enum wasm_reset reset; /* in use */
};
struct wasm_pool_stats wasm_pool_stats(const struct wasm_pool *pool);

/* Shared regions: bytes that several memories map (Faasm section 3.3). */
struct wasm_region;
WM_MUST_CHECK int wasm_region_new(uint64_t bytes, struct wasm_region **out, struct wm_diag *diag);
void wasm_region_put(struct wasm_region *region);
uint8_t *wasm_region_bytes(struct wasm_region *region, uint64_t *bytes);
/* Grows `memory` by the region's size and maps it there; *out is its guest address. With read_only
 * a guest's write to it traps. Undone by the slot's reset. */
WM_MUST_CHECK int wasm_region_map(struct wasm_region *region, struct wasm_memory *memory,
                                  bool read_only, uint32_t *out, struct wm_diag *diag);
/* The same for the host pages that hold [offset, offset + len), inside the region; *out is the
 * guest address of the byte at `offset`. Memory grows by whole WebAssembly pages; what of them lies
 * behind the range is zero and private. WM_E_LIMIT: the memory's limit, or too many separate
 * read-only ranges (those mapped one after the other count as one). */
WM_MUST_CHECK int wasm_region_map_range(struct wasm_region *region, uint64_t offset, uint64_t len,
                                        struct wasm_memory *memory, bool read_only, uint32_t *out,
                                        struct wm_diag *diag);
/* Borrowed: to be passed to another process, which maps the same bytes and cannot change the size.
 */
int wasm_region_fd(const struct wasm_region *region);

#endif
