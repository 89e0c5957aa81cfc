/* slot.c: pools of reservations, bound to images and put back to them after each call.
 *
 * A slot's memory:
 *
 *     base             image                 size                     base + 8 GiB + 64 KiB
 *     | the image's file, private | grown by the call | no access ...................... |
 *
 * Putting back: what was grown loses its pages and its access; in the image's part the pages that
 * were written get the image's bytes again. Copying a page back costs a fraction of what the kernel
 * needs to throw it away and to fault it in again at the next call, so pages that calls write stay
 * with the slot, up to a bound; what is beyond is thrown away. Three ways to know the pages:
 *
 *   - PAGEMAP_SCAN tells (pagescan.h). When much of the image was read, a scan walks every page
 * that the reads mapped; a slot for which that is often dear is unmapped from time to time.
 *   - Without it: what calls usually write is learned through the old interface now and then, that
 * much is copied back unseen, and all the rest is thrown away, written or not.
 *   - WASM_RESET_DISCARD where even that is not available, or was tried and found wanting.
 *
 * Whatever is not copied is discarded, so a wrong guess costs time and nothing else. When the
 * kernel refuses a step, the slot is unbound: binding it again replaces everything in it. */
#include "wasm/slot.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "base/fault.h"
#include "wasm/image.h"
#include "wasm/pagescan.h"
#include "wasm/runtime.h"

#define PAGE_BYTES UINT64_C(4096)
#define COPY_PAGES_MAX 256u
#define RUNS_MAX 64u
#define DEAR_SCAN_NS 20000
#define DEAR_SCANS_MAX 16u
#define HOT_RUNS_MAX 6u
#define HOT_PAGES_MAX 32u
#define LEARN_EVERY 64u
#define STACK_KEPT_BYTES (UINT64_C(16) << 10)
#define TABLE_RESERVE_MIN 2048u /* elements: tables of most modules fit without a new mapping */

struct wasm_slot {
    struct wasm_pool *pool;
    struct wasm_store *store;
    struct wasm_instance *instance; /* NULL: not bound */
    struct wasm_image *image;       /* reference of ours while bound */
    void *env;                      /* resolve_self of the binding */
    struct wasm_memory memory;      /* base NULL: not reserved yet */
    uint64_t open_bytes;            /* from base on, what is mapped with access */
    struct wasm_table *tables;      /* reservations, which stay */
    uint32_t table_count;
    union wasm_value *values; /* globals as after binding, then imported globals' values */
    uint32_t dear_scans;
    uint32_t resets; /* since it was bound */
    uint32_t hot_count;
    struct wasm_page_run hot[HOT_RUNS_MAX]; /* guest addresses, ascending */
    uint32_t params;                        /* the most of a function of its image */
    bool proven; /* was bound once: it has all that it needs from the machine */
    bool out;
    bool used;                       /* a call may have run since its stack was wiped */
    struct wasm_slot *newer, *older; /* free slots, by when they were put */
    struct wasm_slot *chain;         /* free slots in the same bucket of images */
};

struct wasm_pool {
    struct wasm_pool_config config;
    struct wasm_pagescan scan;
    struct wasm_pool_stats stats;
    struct wasm_slot **slots;
    uint32_t slot_count, out_count;
    struct wasm_slot *newest, *oldest;
    struct wasm_slot **buckets;
    uint32_t bucket_mask;
};

/* --- The free slots --- */

static struct wasm_slot **bucket_of(const struct wasm_pool *pool, const struct wasm_image *image)
{
    uint64_t hash = (uint64_t)(uintptr_t)image * UINT64_C(0x9e3779b97f4a7c15);
    return &pool->buckets[(hash >> 40) & pool->bucket_mask];
}

static void free_list_remove(struct wasm_pool *pool, struct wasm_slot *slot)
{
    *(slot->newer ? &slot->newer->older : &pool->newest) = slot->older;
    *(slot->older ? &slot->older->newer : &pool->oldest) = slot->newer;
    slot->newer = slot->older = NULL;
    struct wasm_slot **link = bucket_of(pool, slot->image);
    while (*link != slot) {
        link = &(*link)->chain;
    }
    *link = slot->chain;
    slot->chain = NULL;
}

static void free_list_add(struct wasm_pool *pool, struct wasm_slot *slot)
{
    slot->older = pool->newest;
    *(pool->newest ? &pool->newest->newer : &pool->oldest) = slot;
    pool->newest = slot;
    struct wasm_slot **bucket = bucket_of(pool, slot->image);
    slot->chain = *bucket;
    *bucket = slot;
}

static struct wasm_slot *free_slot_of(const struct wasm_pool *pool, const struct wasm_image *image)
{
    struct wasm_slot *slot = *bucket_of(pool, image);
    while (slot && slot->image != image) {
        slot = slot->chain;
    }
    return slot;
}

/* --- Memory --- */

/* [start, start + len) of the slot's reservation becomes what it was at first: nothing. */
static bool close_memory(struct wasm_slot *slot, uint64_t start, uint64_t len)
{
    void *at = slot->memory.cell.base + start;
    return !wm_fault_here(WM_FAULT_IO) &&
           mmap(at, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                0) == at;
}

static bool discard(struct wasm_slot *slot, uint64_t start, uint64_t end)
{
    if (start == end) {
        return true;
    }
    slot->pool->stats.pages_discarded += (end - start) / PAGE_BYTES;
    return !wm_fault_here(WM_FAULT_IO) &&
           madvise(slot->memory.cell.base + start, end - start, MADV_DONTNEED) == 0;
}

static void copy_back(struct wasm_slot *slot, uint64_t start, uint64_t end)
{
    const struct wasm_image *image = slot->image;
    for (uint64_t at = start, next; at < end; at = next) {
        /* Zeroes are not read: the machine would have to keep a page of them for that. */
        bool stored = wasm_image_stores(image, at / PAGE_BYTES);
        next = at + PAGE_BYTES;
        while (next < end && wasm_image_stores(image, next / PAGE_BYTES) == stored) {
            next += PAGE_BYTES;
        }
        if (stored) {
            memcpy(slot->memory.cell.base + at, image->bytes + at, next - at);
        } else {
            memset(slot->memory.cell.base + at, 0, next - at);
        }
    }
    slot->pool->stats.pages_copied += (end - start) / PAGE_BYTES;
}

static bool reset_by_scan(struct wasm_slot *slot)
{
    uint64_t base = (uint64_t)(uintptr_t)slot->memory.cell.base, at = base;
    uint64_t end = base + slot->image->memory_bytes, left = COPY_PAGES_MAX;
    int64_t began = wasm_clock_ns();
    while (at < end) {
        struct wasm_page_run runs[RUNS_MAX];
        uint64_t looked;
        int count = wasm_pagescan_written(&slot->pool->scan, at, end, runs, RUNS_MAX, &looked);
        if (count < 0 || looked <= at) {
            return discard(slot, at - base, end - base);
        }
        for (int i = 0; i < count; i++) {
            uint64_t pages = (runs[i].end - runs[i].start) / PAGE_BYTES;
            if (pages > left) {
                return discard(slot, runs[i].start - base, end - base);
            }
            copy_back(slot, runs[i].start - base, runs[i].end - base);
            left -= pages;
        }
        at = looked;
    }
    if (wasm_clock_ns() - began > DEAR_SCAN_NS && ++slot->dear_scans == DEAR_SCANS_MAX) {
        slot->dear_scans = 0;
        return discard(slot, 0, slot->image->memory_bytes);
    }
    return true;
}

/* Which pages this call wrote, as far as a few runs hold them. */
static void learn(struct wasm_slot *slot)
{
    struct wasm_page_run runs[HOT_RUNS_MAX];
    uint64_t base = (uint64_t)(uintptr_t)slot->memory.cell.base, looked, pages = 0;
    slot->hot_count = 0;
    if (slot->pool->scan.fd < 0) {
        return;
    }
    int count = wasm_pagescan_read(&slot->pool->scan, base, base + slot->image->memory_bytes, runs,
                                   HOT_RUNS_MAX, &looked);
    for (int i = 0; i < count; i++) {
        pages += (runs[i].end - runs[i].start) / PAGE_BYTES;
        if (pages > HOT_PAGES_MAX) {
            return;
        }
        slot->hot[slot->hot_count++] =
            (struct wasm_page_run){runs[i].start - base, runs[i].end - base};
    }
}

static bool reset_unseen(struct wasm_slot *slot)
{
    if (slot->resets % LEARN_EVERY == 0) {
        learn(slot);
    }
    uint64_t at = 0;
    bool done = true;
    for (uint32_t i = 0; i < slot->hot_count; i++) {
        done = done && discard(slot, at, slot->hot[i].start);
        copy_back(slot, slot->hot[i].start, slot->hot[i].end);
        at = slot->hot[i].end;
    }
    return done && discard(slot, at, slot->image->memory_bytes);
}

static bool reset_memory(struct wasm_slot *slot)
{
    struct wasm_memory *memory = &slot->memory;
    uint64_t image_bytes = slot->image->memory_bytes, size = memory->cell.size_bytes;
    if (size > image_bytes) {
        if (!close_memory(slot, image_bytes, size - image_bytes)) {
            return false;
        }
        memory->cell.size_bytes = image_bytes;
        slot->open_bytes = image_bytes;
    }
    memory->peak_bytes = image_bytes;
    memory->read_only_count = 0;
    memory->has_regions = false;
    if (image_bytes == 0) {
        return true;
    }
    bool done = slot->pool->stats.reset == WASM_RESET_PAGEMAP_SCAN ? reset_by_scan(slot)
                                                                   : reset_unseen(slot);
    slot->resets++;
    return done;
}

static int bind_memory(struct wasm_slot *slot, struct wasm_image *image, struct wm_diag *diag)
{
    struct wasm_memory *memory = &slot->memory;
    const struct wasm_object_header *header = image->object->header;
    uint64_t bytes = image->memory_bytes;
    int rc = 0;
    if (!memory->cell.base) {
        rc = wasm_memory_init(memory, slot->store, header->memory_max, diag);
        if (rc != 0) {
            memory->cell.base = NULL;
            return rc;
        }
    }
    memory->max_pages = header->memory_max;
    uint64_t limit_bytes = slot->store->limits.memory_bytes;
    if (image->memory_limit_bytes != 0) {
        limit_bytes = wm_min_u64(limit_bytes, image->memory_limit_bytes);
    }
    memory->limit_pages = (uint32_t)wm_min_u64(limit_bytes / WASM_PAGE_BYTES,
                                               wm_min_u64(header->memory_max, WASM_PAGES_MAX));
    if (bytes > memory->limit_pages * WASM_PAGE_BYTES) {
        return wm_diag_set(diag, WM_E_LIMIT,
                           "image: its %llu bytes of memory are more than the limit",
                           (unsigned long long)bytes);
    }
    uint64_t open_bytes = wm_max_u64(slot->open_bytes, memory->cell.size_bytes);
    memory->cell.size_bytes = 0;
    slot->open_bytes = open_bytes;
    if (bytes > 0) {
        errno = ENOMEM;
        if (wm_fault_here(WM_FAULT_IO) ||
            mmap(memory->cell.base, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, image->memfd, 0) == MAP_FAILED) {
            rc = -errno;
            return wm_diag_set(diag, rc, "slot: mapping an image: %s", strerror(-rc));
        }
        slot->open_bytes = wm_max_u64(open_bytes, bytes);
    }
    if (open_bytes > bytes && !close_memory(slot, bytes, open_bytes - bytes)) {
        return wm_diag_set(diag, -ENOMEM, "slot: unmapping an image: %s", wm_error_text(-ENOMEM));
    }
    slot->open_bytes = bytes;
    memory->cell.size_bytes = bytes;
    memory->peak_bytes = bytes;
    memory->read_only_count = 0;
    memory->has_regions = false;
    return 0;
}

/* --- Tables and globals --- */

static bool fill_table(struct wasm_slot *slot, uint32_t table_idx)
{
    struct wasm_table *table = &slot->tables[table_idx];
    const struct wasm_image_table *from = &slot->image->tables[table_idx];
    uint64_t old_size = table->cells.size;
    if (!wasm_table_resize(table, from->size)) {
        return false;
    }
    for (uint32_t i = 0; i < from->size; i++) {
        table->cells.elems[i] = (struct wasm_table_elem){0};
        if (from->funcs[i]) {
            const struct wasm_func *func = wasm_instance_func(slot->instance, from->funcs[i] - 1);
            table->cells.elems[i] = wasm_table_elem_of(table, (uint64_t)(uintptr_t)func);
        }
    }
    if (old_size > from->size) { /* growing again must find nulls */
        wasm_table_null(table, from->size, old_size);
    }
    table->dirty = false;
    return true;
}

static int bind_tables(struct wasm_slot *slot, struct wm_diag *diag)
{
    const struct wasm_object *object = slot->image->object;
    uint32_t count = (uint32_t)WASM_OBJECT_COUNT(object, TABLES);
    if (count > slot->table_count) {
        struct wasm_table *grown = wm_realloc(slot->tables, count, sizeof *grown);
        if (!grown) {
            return wm_diag_set(diag, -ENOMEM, "slot: %s", wm_error_text(-ENOMEM));
        }
        memset(grown + slot->table_count, 0, (count - slot->table_count) * sizeof *grown);
        slot->tables = grown;
        slot->table_count = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct wasm_object_table *record = &object->at.TABLES[i];
        struct wasm_table *table = &slot->tables[i];
        uint64_t limit = wm_min_u64(slot->store->limits.table_elems, record->max);
        if (limit * sizeof(struct wasm_table_elem) > table->reserved_bytes) {
            uint32_t room = (uint32_t)wm_max_u64(limit, TABLE_RESERVE_MIN);
            uint64_t allowed = slot->store->limits.table_elems;
            wasm_table_fini(table);
            *table = (struct wasm_table){0};
            slot->store->limits.table_elems = room; /* a reservation is not yet a table */
            int rc = wasm_table_init(table, slot->store, (uint8_t)record->elem_type, 0, room, diag);
            slot->store->limits.table_elems = allowed;
            if (rc != 0) {
                *table = (struct wasm_table){0};
                return rc;
            }
        }
        table->elem_type = (uint8_t)record->elem_type;
        table->max = record->max;
        /* Emptied under the old limit, so that nothing of the last image stays beyond the new. */
        wasm_table_null(table, 0, table->cells.size);
        table->cells.size = 0;
        table->limit = (uint32_t)limit;
        if (slot->image->tables[i].size > limit) {
            return wm_diag_set(diag, WM_E_LIMIT,
                               "image: a table of %u elements is more than this pool's limit",
                               slot->image->tables[i].size);
        }
        wasm_ctx_tables(slot->instance)[i] = &table->cells;
        if (!fill_table(slot, i)) {
            return wm_diag_set(diag, -ENOMEM, "slot: table: %s", wm_error_text(-ENOMEM));
        }
    }
    return 0;
}

static int bind_globals(struct wasm_slot *slot, struct wm_diag *diag)
{
    const struct wasm_object *object = slot->image->object;
    uint32_t count = (uint32_t)WASM_OBJECT_COUNT(object, GLOBALS);
    uint32_t imported = object->header->imported_globals;
    slot->values = wm_alloc_zero((size_t)count + imported, sizeof *slot->values);
    if (!slot->values) {
        return wm_diag_set(diag, -ENOMEM, "slot: %s", wm_error_text(-ENOMEM));
    }
    union wasm_value *own = slot->values + count;
    for (uint32_t i = 0; i < count; i++) {
        const struct wasm_object_global *global = &object->at.GLOBALS[i];
        union wasm_value value = slot->image->globals[i];
        if (global->valtype == WASM_FUNCREF) {
            value.funcref =
                value.i64 ? wasm_instance_func(slot->instance, (uint32_t)value.i64 - 1) : NULL;
        }
        if (i < imported) { /* immutable: the value of when the image was taken */
            own[i] = value;
            slot->instance->cells[i] =
                (struct wasm_global_cell){&own[i], (uint8_t)global->valtype, false};
            value = (union wasm_value){.i64 = (uint64_t)(uintptr_t)&own[i]};
        }
        slot->values[i] = value;
    }
    return 0;
}

/* Globals and dropped segments as the image has them. */
static void fill_small_state(struct wasm_slot *slot)
{
    struct wasm_instance *instance = slot->instance;
    const struct wasm_object *object = instance->object;
    memcpy(wasm_ctx_globals(instance), slot->values,
           WASM_OBJECT_COUNT(object, GLOBALS) * sizeof *slot->values);
    if (instance->dropped_dirty) {
        memcpy(instance->data_dropped, slot->image->data_dropped, WASM_OBJECT_COUNT(object, DATAS));
        memcpy(instance->elem_dropped, slot->image->elem_dropped, WASM_OBJECT_COUNT(object, ELEMS));
        instance->dropped_dirty = false;
    }
    instance->suspend_addr = slot->image->suspended ? slot->image->suspend_addr : 0;
}

/* --- Binding --- */

/* Leaves memory and tables as they are: the next binding replaces them, and until then no instance
 * refers to them. */
static void unbind(struct wasm_slot *slot)
{
    if (slot->instance) {
        wasm_instance_free(slot->instance);
        slot->instance = NULL;
    }
    wm_free(slot->values);
    slot->values = NULL;
    wasm_image_put(slot->image);
    slot->image = NULL;
    if (slot->env) {
        void *env = slot->env;
        slot->env = NULL;
        if (slot->pool->config.released) {
            slot->pool->config.released(slot->pool->config.released_self, env);
        }
    }
}

static uint32_t params_most(const struct wasm_object *object)
{
    uint32_t most = 0;
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, TYPES); i++) {
        most = most < object->at.TYPES[i].params.len ? object->at.TYPES[i].params.len : most;
    }
    return most;
}

/* What calls of the last image left behind that no call can read: the next has no business with it,
 * even through a mistake of ours. The top of the stack, which every call uses, keeps its pages. Of
 * the room for parameters only what a function of that image could fill is touched: it is four
 * pages, which idle slots can do without. */
static bool wipe(struct wasm_store *store, uint32_t params)
{
    uint64_t kept = wm_min_u64(store->stack_bytes, STACK_KEPT_BYTES);
    uint8_t *low = store->stack + WASM_STACK_GUARD_BYTES;
    memset(low + store->stack_bytes - kept, 0, kept);
    memset(
        store->budget.tail_params, 0,
        wm_min_u64(params * sizeof *store->budget.tail_params, sizeof store->budget.tail_params));
    return !wm_fault_here(WM_FAULT_IO) &&
           madvise(low, store->stack_bytes - kept, MADV_DONTNEED) == 0;
}

static int bind(struct wasm_slot *slot, struct wasm_image *image, wasm_resolve_fn *resolve,
                void *resolve_self, struct wm_diag *diag)
{
    const struct wasm_object *object = image->object;
    unbind(slot);
    if (slot->used && !wipe(slot->store, slot->params)) {
        return wm_diag_set(diag, -ENOMEM, "slot: wiping the stack: %s", wm_error_text(-ENOMEM));
    }
    slot->used = false;
    slot->params = params_most(object);
    slot->image = wasm_image_ref(image);
    slot->dear_scans = slot->resets = slot->hot_count = 0;
    int rc = wasm_instance_link(slot->store, object, image->type_ids, resolve, resolve_self, true,
                                &slot->instance, diag);
    if (rc == 0 && (object->header->memory_flags & 1)) {
        rc = bind_memory(slot, image, diag);
        slot->instance->memory = &slot->memory;
        slot->instance->ctx->memory = &slot->memory.cell;
        slot->instance->ctx->memory_base = slot->memory.cell.base;
    }
    if (rc == 0) {
        rc = bind_tables(slot, diag);
    }
    if (rc == 0) {
        rc = bind_globals(slot, diag);
    }
    if (rc != 0) {
        unbind(slot);
        return rc;
    }
    slot->env = resolve_self;
    slot->proven = true;
    slot->instance->dropped_dirty = true;
    fill_small_state(slot);
    return 0;
}

/* --- Slots and pools --- */

static void slot_free(struct wasm_slot *slot)
{
    unbind(slot);
    for (uint32_t i = 0; i < slot->table_count; i++) {
        wasm_table_fini(&slot->tables[i]);
    }
    wm_free(slot->tables);
    if (slot->memory.cell.base) {
        wasm_memory_fini(&slot->memory);
    }
    wasm_store_free(slot->store);
    wm_free(slot);
}

static int slot_new(struct wasm_pool *pool, struct wasm_slot **out, struct wm_diag *diag)
{
    struct wasm_slot *slot = wm_alloc_zero(1, sizeof *slot);
    if (!slot) {
        return wm_diag_set(diag, -ENOMEM, "slot: %s", wm_error_text(-ENOMEM));
    }
    slot->pool = pool;
    int rc = wasm_store_new(&pool->config.limits, &slot->store, diag);
    if (rc != 0) {
        wm_free(slot);
        return rc;
    }
    *out = slot;
    return 0;
}

int wasm_pool_new(const struct wasm_pool_config *config, struct wasm_pool **out,
                  struct wm_diag *diag)
{
    int rc = wasm_signals_install(); /* also what notices forks */
    if (rc != 0) {
        return wm_diag_set(diag, rc, "pool: installing signal handlers: %s", wm_error_text(rc));
    }
    if (config->slots == 0) {
        return wm_diag_set(diag, WM_E_USAGE, "pool: it needs at least one slot");
    }
    uint32_t buckets = 16;
    while (buckets < config->slots && buckets < 1u << 20) {
        buckets *= 2;
    }
    struct wasm_pool *pool = wm_alloc_zero(1, sizeof *pool);
    if (!pool || !(pool->slots = wm_alloc_zero(config->slots, sizeof(struct wasm_slot *))) ||
        !(pool->buckets = wm_alloc_zero(buckets, sizeof(struct wasm_slot *)))) {
        if (pool) {
            wm_free(pool->slots);
        }
        wm_free(pool);
        return wm_diag_set(diag, -ENOMEM, "pool: %s", wm_error_text(-ENOMEM));
    }
    pool->config = *config;
    pool->bucket_mask = buckets - 1;
    wasm_pagescan_init(&pool->scan);
    pool->stats.reset = WASM_RESET_DISCARD;
    if (config->reset != WASM_RESET_DISCARD && pool->scan.can_scan) {
        pool->stats.reset = WASM_RESET_PAGEMAP_SCAN;
    } else if (config->reset == WASM_RESET_PAGEMAP_SCAN) {
        wasm_pool_free(pool);
        return wm_diag_set(diag, WM_E_MISSING,
                           "pool: this kernel does not list written pages (PAGEMAP_SCAN, Linux 6.7 "
                           "and later); let the pool choose");
    }
    *out = pool;
    return 0;
}

void wasm_pool_free(struct wasm_pool *pool)
{
    if (!pool) {
        return;
    }
    WM_ASSERT(pool->out_count == 0);
    for (uint32_t i = 0; i < pool->slot_count; i++) {
        slot_free(pool->slots[i]);
    }
    wasm_pagescan_fini(&pool->scan);
    wm_free(pool->slots);
    wm_free(pool->buckets);
    wm_free(pool);
}

/* A slot that nobody uses, the best for `image`: one of the same image, a new one, the one put
 * longest ago. */
static int choose_slot(struct wasm_pool *pool, struct wasm_image *image, struct wasm_slot **out,
                       struct wm_diag *diag)
{
    struct wasm_slot *slot = free_slot_of(pool, image);
    if (!slot && pool->slot_count < pool->config.slots) {
        int rc = slot_new(pool, &slot, diag);
        if (rc == 0) {
            pool->slots[pool->slot_count++] = *out = slot;
            return 0;
        }
        if (!pool->oldest) {
            return rc;
        }
        pool->config.slots = pool->slot_count; /* see no_room_for */
    }
    slot = slot ? slot : pool->oldest;
    if (!slot) {
        return wm_diag_set(diag, WM_E_BUSY, "pool: all %u slots are in use", pool->config.slots);
    }
    free_list_remove(pool, slot);
    *out = slot;
    return 0;
}

/* The newest slot found no room on this machine (memory, or mappings, of which a process has
 * vm.max_map_count) while others are idle: from here on the pool does with those. True when it
 * did. */
static bool no_room_for(struct wasm_pool *pool, struct wasm_slot *slot)
{
    if (slot != pool->slots[pool->slot_count - 1] || slot->proven || !pool->oldest) {
        return false;
    }
    pool->slots[--pool->slot_count] = NULL;
    pool->config.slots = pool->slot_count;
    slot_free(slot);
    return true;
}

int wasm_pool_take(struct wasm_pool *pool, struct wasm_image *image, wasm_resolve_fn *resolve,
                   void *resolve_self, struct wasm_slot **out, struct wm_diag *diag)
{
    struct wasm_slot *slot;
    int rc = choose_slot(pool, image, &slot, diag);
    if (rc != 0) {
        return rc;
    }
    bool warm = slot->image == image;
    if (!warm) {
        rc = bind(slot, image, resolve, resolve_self, diag);
        if (rc == -ENOMEM && no_room_for(pool, slot) &&
            (rc = choose_slot(pool, image, &slot, diag)) == 0) {
            rc = bind(slot, image, resolve, resolve_self, diag);
        }
        if (rc != 0) {
            free_list_add(pool, slot);
            return rc;
        }
    }
    pool->stats.warm += warm;
    pool->stats.cold += !warm;
    pool->out_count++;
    slot->out = slot->used = true;
    *out = slot;
    return 0;
}

struct wasm_instance *wasm_slot_instance(struct wasm_slot *slot)
{
    return slot->instance;
}

void *wasm_slot_env(const struct wasm_slot *slot)
{
    return slot->env;
}

const struct wasm_func *wasm_slot_func(struct wasm_slot *slot, uint32_t func_idx)
{
    return wasm_instance_func(slot->instance, func_idx);
}

uint32_t wasm_image_table_func(const struct wasm_image *image, uint32_t elem_idx)
{
    if (WASM_OBJECT_COUNT(image->object, TABLES) == 0 || elem_idx >= image->tables[0].size ||
        image->tables[0].funcs[elem_idx] == 0) {
        return UINT32_MAX;
    }
    return image->tables[0].funcs[elem_idx] - 1;
}

void wasm_pool_put(struct wasm_pool *pool, struct wasm_slot *slot)
{
    WM_ASSERT(slot->pool == pool && slot->out);
    bool clean = true;
    wasm_store_clear(slot->store, slot->instance);
    if (slot->instance->memory) {
        clean = reset_memory(slot);
    }
    for (uint32_t i = 0; clean && i < WASM_OBJECT_COUNT(slot->image->object, TABLES); i++) {
        if (slot->tables[i].dirty) {
            clean = fill_table(slot, i);
        }
    }
    if (clean) {
        fill_small_state(slot);
    } else {
        unbind(slot);
    }
    slot->out = false;
    pool->out_count--;
    free_list_add(pool, slot);
}

struct wasm_pool_stats wasm_pool_stats(const struct wasm_pool *pool)
{
    return pool->stats;
}
