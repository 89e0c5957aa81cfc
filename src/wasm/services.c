/* services.c: what compiled code cannot do alone: grow, bulk operations, tables, references.
 *
 * Called through the stubs of enter.S, on the guest's stack. Operands are the guest's and checked
 * here; a violation leaves the guest's frames with a trap, so nothing may be held at that point.
 * Long operations go in chunks and stop between them when the call's time is up; what was done by
 * then stays, as with any trap (core specification 4.4). */
#include <string.h>

#include "base/arith.h"
#include "wasm/runtime.h"

_Static_assert(WASM_TRAP_STACK_EXHAUSTED == 10, "enter.S");

#define CHUNK_BYTES (UINT64_C(1) << 20)
#define CHUNK_ELEMS (CHUNK_BYTES / sizeof(struct wasm_table_elem))

static struct wasm_running *running_of(const struct wasm_ctx *ctx)
{
    return (struct wasm_running *)(uintptr_t)ctx->reserved[0];
}

WM_NORETURN WM_COLD static void leave(const struct wasm_ctx *ctx, enum wasm_trap trap)
{
    wasm_running_leave(running_of(ctx), trap);
}

static enum wasm_trap pending(const struct wasm_store *store)
{
    return (enum wasm_trap)atomic_load_explicit(&store->running.pending, memory_order_relaxed);
}

static void leave_if_pending(const struct wasm_ctx *ctx)
{
    enum wasm_trap trap = pending(ctx->instance->store);
    if (WM_UNLIKELY(trap != WASM_TRAP_NONE)) {
        leave(ctx, trap);
    }
}

static bool is_det(const struct wasm_ctx *ctx)
{
    return ctx->instance->object->header->key.mode == WASM_MODE_DET;
}

/* --- Memory --- */

/* Prototypes for the functions that enter.S jumps to: their types are those of struct
 * wasm_services, which the table at the end of this file asserts. */
uint32_t wasm_service_memory_grow(struct wasm_ctx *ctx, uint32_t delta_pages);
void wasm_service_memory_init(struct wasm_ctx *ctx, uint32_t data_idx, uint32_t dst, uint32_t src,
                              uint32_t len);
void wasm_service_memory_copy(struct wasm_ctx *ctx, uint32_t dst, uint32_t src, uint32_t len);
void wasm_service_memory_fill(struct wasm_ctx *ctx, uint32_t dst, uint32_t byte, uint32_t len);
void wasm_service_data_drop(struct wasm_ctx *ctx, uint32_t data_idx);
uint64_t wasm_service_table_get(struct wasm_ctx *ctx, uint32_t table_idx, uint32_t idx);
void wasm_service_table_set(struct wasm_ctx *ctx, uint32_t table_idx, uint32_t idx, uint64_t ref);
uint32_t wasm_service_table_grow(struct wasm_ctx *ctx, uint32_t table_idx, uint64_t ref,
                                 uint32_t delta);
void wasm_service_table_fill(struct wasm_ctx *ctx, uint32_t table_idx, uint32_t idx, uint64_t ref,
                             uint32_t len);
void wasm_service_table_copy(struct wasm_ctx *ctx, uint32_t dst_table, uint32_t src_table,
                             uint32_t dst, uint32_t src, uint32_t len);
void wasm_service_table_init(struct wasm_ctx *ctx, uint32_t elem_idx, uint32_t table_idx,
                             uint32_t dst, uint32_t src, uint32_t len);
void wasm_service_elem_drop(struct wasm_ctx *ctx, uint32_t elem_idx);
uint64_t wasm_service_ref_func(struct wasm_ctx *ctx, uint32_t func_idx);

uint32_t wasm_service_memory_grow(struct wasm_ctx *ctx, uint32_t delta_pages)
{
    bool host_failed;
    uint32_t old_pages = wasm_memory_grow_why(ctx->instance->memory, delta_pages, &host_failed);
    if (host_failed && is_det(ctx)) {
        /* -1 would make the result a property of this machine. */
        leave(ctx, WASM_TRAP_OUT_OF_MEMORY);
    }
    return old_pages;
}

/* The guest's bytes [dst, dst + len), which are about to be written. */
static uint8_t *writable(const struct wasm_ctx *ctx, uint32_t dst, uint32_t len)
{
    uint8_t *window;
    if (!wasm_memory_window(ctx->instance->memory, wasm_addr_of(dst), len, &window)) {
        leave(ctx, WASM_TRAP_MEMORY_BOUNDS);
    }
    return window;
}

void wasm_service_memory_fill(struct wasm_ctx *ctx, uint32_t dst, uint32_t byte, uint32_t len)
{
    uint8_t *at = writable(ctx, dst, len);
    while (WM_UNLIKELY(len > CHUNK_BYTES)) {
        memset(at, (int)(byte & 0xff), CHUNK_BYTES);
        at += CHUNK_BYTES;
        len -= (uint32_t)CHUNK_BYTES;
        leave_if_pending(ctx);
    }
    memset(at, (int)(byte & 0xff), len);
}

void wasm_service_memory_copy(struct wasm_ctx *ctx, uint32_t dst, uint32_t src, uint32_t len)
{
    const uint8_t *from;
    if (!wasm_memory_view(ctx->instance->memory, wasm_addr_of(src), len, &from)) {
        leave(ctx, WASM_TRAP_MEMORY_BOUNDS);
    }
    uint8_t *to = writable(ctx, dst, len);
    if (to <= from) {
        while (WM_UNLIKELY(len > CHUNK_BYTES)) {
            memmove(to, from, CHUNK_BYTES);
            to += CHUNK_BYTES;
            from += CHUNK_BYTES;
            len -= (uint32_t)CHUNK_BYTES;
            leave_if_pending(ctx);
        }
    } else {
        while (WM_UNLIKELY(len > CHUNK_BYTES)) { /* from the end: the ranges may overlap */
            len -= (uint32_t)CHUNK_BYTES;
            memmove(to + len, from + len, CHUNK_BYTES);
            leave_if_pending(ctx);
        }
    }
    memmove(to, from, len);
}

enum wasm_trap wasm_data_init(struct wasm_instance *instance, uint32_t data_idx, uint32_t dst,
                              uint32_t src, uint32_t len, bool interruptible)
{
    const struct wasm_object_data *data = &instance->object->at.DATAS[data_idx];
    uint64_t data_len = instance->data_dropped[data_idx] ? 0 : data->len;
    uint8_t *to;
    if (!wm_range_fits(src, len, data_len) ||
        !wasm_memory_window(instance->memory, wasm_addr_of(dst), len, &to)) {
        return WASM_TRAP_MEMORY_BOUNDS;
    }
    const uint8_t *from = instance->object->at.DATA + data->first + src;
    while (len > 0) {
        uint32_t part = len < CHUNK_BYTES ? len : (uint32_t)CHUNK_BYTES;
        memcpy(to, from, part);
        to += part;
        from += part;
        len -= part;
        if (interruptible && len > 0 && pending(instance->store) != WASM_TRAP_NONE) {
            return pending(instance->store);
        }
    }
    return WASM_TRAP_NONE;
}

void wasm_service_memory_init(struct wasm_ctx *ctx, uint32_t data_idx, uint32_t dst, uint32_t src,
                              uint32_t len)
{
    enum wasm_trap trap = wasm_data_init(ctx->instance, data_idx, dst, src, len, true);
    if (WM_UNLIKELY(trap != WASM_TRAP_NONE)) {
        leave(ctx, trap);
    }
}

void wasm_service_data_drop(struct wasm_ctx *ctx, uint32_t data_idx)
{
    ctx->instance->data_dropped[data_idx] = 1;
    ctx->instance->dropped_dirty = true;
}

/* --- Tables --- */

uint64_t wasm_service_table_get(struct wasm_ctx *ctx, uint32_t table_idx, uint32_t idx)
{
    const struct wasm_table *table = wasm_instance_table(ctx->instance, table_idx);
    if (idx >= table->cells.size) {
        leave(ctx, WASM_TRAP_TABLE_BOUNDS);
    }
    return wasm_table_ref_of(table, &table->cells.elems[idx]);
}

void wasm_service_table_set(struct wasm_ctx *ctx, uint32_t table_idx, uint32_t idx, uint64_t ref)
{
    struct wasm_table *table = wasm_instance_table(ctx->instance, table_idx);
    if (idx >= table->cells.size) {
        leave(ctx, WASM_TRAP_TABLE_BOUNDS);
    }
    table->dirty = true;
    table->cells.elems[idx] = wasm_table_elem_of(table, ref);
}

static void fill(const struct wasm_ctx *ctx, struct wasm_table *table, uint64_t idx, uint64_t ref,
                 uint64_t len)
{
    struct wasm_table_elem elem = wasm_table_elem_of(table, ref);
    for (uint64_t i = 0; i < len; i++) {
        table->cells.elems[idx + i] = elem;
        if (i % CHUNK_ELEMS == CHUNK_ELEMS - 1) {
            leave_if_pending(ctx);
        }
    }
}

uint32_t wasm_service_table_grow(struct wasm_ctx *ctx, uint32_t table_idx, uint64_t ref,
                                 uint32_t delta)
{
    struct wasm_table *table = wasm_instance_table(ctx->instance, table_idx);
    uint64_t old_size = table->cells.size;
    if (old_size + delta > table->limit) {
        return UINT32_MAX;
    }
    if (!wasm_table_resize(table, old_size + delta)) {
        if (is_det(ctx)) {
            leave(ctx, WASM_TRAP_OUT_OF_MEMORY);
        }
        return UINT32_MAX;
    }
    table->dirty = true;
    /* Elements beyond the size were never written, or were nulled when it shrank (slot.c). */
    if (ref != 0) {
        fill(ctx, table, old_size, ref, delta);
    }
    return (uint32_t)old_size;
}

void wasm_service_table_fill(struct wasm_ctx *ctx, uint32_t table_idx, uint32_t idx, uint64_t ref,
                             uint32_t len)
{
    struct wasm_table *table = wasm_instance_table(ctx->instance, table_idx);
    if (!wm_range_fits(idx, len, table->cells.size)) {
        leave(ctx, WASM_TRAP_TABLE_BOUNDS);
    }
    table->dirty = true;
    fill(ctx, table, idx, ref, len);
}

void wasm_service_table_copy(struct wasm_ctx *ctx, uint32_t dst_table, uint32_t src_table,
                             uint32_t dst, uint32_t src, uint32_t len)
{
    struct wasm_table *to = wasm_instance_table(ctx->instance, dst_table);
    const struct wasm_table *from = wasm_instance_table(ctx->instance, src_table);
    if (!wm_range_fits(src, len, from->cells.size) || !wm_range_fits(dst, len, to->cells.size)) {
        leave(ctx, WASM_TRAP_TABLE_BOUNDS);
    }
    to->dirty = true;
    struct wasm_table_elem *to_elems = to->cells.elems + dst;
    const struct wasm_table_elem *from_elems = from->cells.elems + src;
    bool forward = to_elems <= from_elems;
    for (uint64_t done = 0; done < len;) {
        uint64_t part = wm_min_u64(len - done, CHUNK_ELEMS);
        uint64_t at = forward ? done : len - done - part;
        memmove(to_elems + at, from_elems + at, part * sizeof *to_elems);
        done += part;
        if (done < len) {
            leave_if_pending(ctx);
        }
    }
}

enum wasm_trap wasm_elem_init(struct wasm_instance *instance, uint32_t elem_idx, uint32_t table_idx,
                              uint32_t dst, uint32_t src, uint32_t len, bool interruptible)
{
    const struct wasm_object_elem *elem = &instance->object->at.ELEMS[elem_idx];
    struct wasm_table *table = wasm_instance_table(instance, table_idx);
    uint64_t elem_len = instance->elem_dropped[elem_idx] ? 0 : elem->count;
    if (!wm_range_fits(src, len, elem_len) || !wm_range_fits(dst, len, table->cells.size)) {
        return WASM_TRAP_TABLE_BOUNDS;
    }
    table->dirty = true;
    const struct wasm_object_init *inits = instance->object->at.ELEM_INITS + elem->first + src;
    for (uint32_t i = 0; i < len; i++) {
        union wasm_value value = {0};
        /* References have no arithmetic, so these are never of the EXTENDED kind. */
        int rc = wasm_init_eval(instance, &inits[i], &value, NULL);
        WM_ASSERT(rc == 0);
        table->cells.elems[dst + i] = wasm_table_elem_of(table, value.i64);
        if (interruptible && i % 4096 == 4095 && pending(instance->store) != WASM_TRAP_NONE) {
            return pending(instance->store);
        }
    }
    return WASM_TRAP_NONE;
}

void wasm_service_table_init(struct wasm_ctx *ctx, uint32_t elem_idx, uint32_t table_idx,
                             uint32_t dst, uint32_t src, uint32_t len)
{
    enum wasm_trap trap = wasm_elem_init(ctx->instance, elem_idx, table_idx, dst, src, len, true);
    if (WM_UNLIKELY(trap != WASM_TRAP_NONE)) {
        leave(ctx, trap);
    }
}

void wasm_service_elem_drop(struct wasm_ctx *ctx, uint32_t elem_idx)
{
    ctx->instance->elem_dropped[elem_idx] = 1;
    ctx->instance->dropped_dirty = true;
}

uint64_t wasm_service_ref_func(struct wasm_ctx *ctx, uint32_t func_idx)
{
    return (uint64_t)(uintptr_t)wasm_instance_func(ctx->instance, func_idx);
}

#define SAME_TYPE(name)                                                                         \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&wasm_service_##name),               \
                                                __typeof__(((struct wasm_services *)0)->name)), \
                   #name " has the type that compiled code calls it with")
SAME_TYPE(memory_grow);
SAME_TYPE(memory_init);
SAME_TYPE(memory_copy);
SAME_TYPE(memory_fill);
SAME_TYPE(data_drop);
SAME_TYPE(table_get);
SAME_TYPE(table_set);
SAME_TYPE(table_grow);
SAME_TYPE(table_fill);
SAME_TYPE(table_copy);
SAME_TYPE(table_init);
SAME_TYPE(elem_drop);
SAME_TYPE(ref_func);
_Static_assert(sizeof(struct wasm_services) == 13 * sizeof(void *), "enter.S has 13 stubs");
