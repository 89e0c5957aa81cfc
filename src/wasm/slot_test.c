/* slot_test.c: images, pools and regions: what a call leaves behind must be gone, in every way of
 * resetting, and one image's bytes must never show in another's slot. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "wasm/guest_object.h"
#include "wasm/image.h"
#include "wasm/pagescan.h"
#include "wasm/runtime.h"
#include "wasm/typeid.h"

#define SECRET "fkT9canary!w7"
#define PAGE 4096u

static struct guest_object module_a, module_b;

static enum wasm_trap host_add_one(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller;
    values[0].i32++;
    return WASM_TRAP_NONE;
}

static unsigned resolved;

static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    static const struct wasm_host_func host = {"host", "f", "i:i", host_add_one};
    (void)self;
    (void)module;
    (void)name;
    resolved++;
    *out = (struct wasm_extern){.kind = kind, .host = &host};
    return 0;
}

static enum wasm_trap call(struct wasm_instance *instance, uint32_t func_idx, uint32_t arg,
                           uint32_t *result)
{
    union wasm_value value = {.i32 = arg};
    enum wasm_trap trap =
        wasm_call(wasm_instance_store(instance), wasm_instance_func(instance, func_idx), &value);
    *result = value.i32;
    return trap;
}

/* An image of module `guest` after `init`: pages filled with `fill`, global 77, element 2 set. */
static struct wasm_image *make_image(struct guest_object *guest, uint8_t id, uint32_t pages,
                                     uint8_t fill)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_store *store = NULL;
    struct wasm_instance *instance = NULL;
    struct wasm_image *image = NULL;
    uint32_t result;
    guest_object_make(guest, id, pages, pages + 64);
    if (wasm_store_new(NULL, &store, &diag) == 0 &&
        wasm_instance_new(store, &guest->object, resolve, NULL, &instance, &diag) == 0) {
        struct wasm_memory *memory = wasm_instance_memory(instance);
        uint8_t *bytes;
        if (wasm_memory_window(memory, wasm_addr_of(0), (uint32_t)wasm_memory_bytes(memory),
                               &bytes)) {
            memset(bytes, fill, wasm_memory_bytes(memory));
        }
        if (call(instance, FUNC_set_global, 77, &result) != WASM_TRAP_NONE ||
            call(instance, FUNC_set_table, 2, &result) != WASM_TRAP_NONE ||
            wasm_image_take(instance, &image, &diag) != 0) {
            image = NULL;
        }
    }
    if (!image) {
        wm_test_note("%s", wm_diag_text(&diag));
    }
    wasm_store_free(store);
    return image;
}

/* Everything about the instance is as make_image left it. */
static bool is_pristine(struct wasm_instance *instance, uint32_t pages, uint8_t fill)
{
    const struct wasm_memory *memory = wasm_instance_memory(instance);
    const uint8_t *bytes;
    uint32_t result;
    bool right =
        wasm_memory_bytes(memory) == pages * WASM_PAGE_BYTES &&
        wasm_memory_view(memory, wasm_addr_of(0), (uint32_t)wasm_memory_bytes(memory), &bytes) &&
        bytes[0] == fill && memcmp(bytes, bytes + 1, wasm_memory_bytes(memory) - 1) == 0;
    right = right && call(instance, FUNC_get_global, 0, &result) == WASM_TRAP_NONE && result == 77;
    for (uint32_t i = 0; i < 4; i++) {
        right = right && call(instance, FUNC_get_table, i, &result) == WASM_TRAP_NONE &&
                result == (i == 2);
    }
    right = right && call(instance, FUNC_get_table, 4, &result) == WASM_TRAP_TABLE_BOUNDS;
    right = right && call(instance, FUNC_load, pages * 65536, &result) == WASM_TRAP_MEMORY_BOUNDS;
    right = right && !instance->data_dropped[0] && instance->suspend_addr == 0;
    struct wasm_store *store = wasm_instance_store(instance);
    return right && wasm_store_fuel(store) == INT64_MAX && wasm_store_deadline(store) == 0 &&
           wasm_store_interrupted(store) == WASM_TRAP_NONE;
}

/* Leaves the secret everywhere it can: memory old and grown, global, table, dropped segment, fuel.
 */
static void dirty(struct wasm_instance *instance, uint32_t round)
{
    struct wasm_memory *memory = wasm_instance_memory(instance);
    uint32_t result, pages = (uint32_t)(wasm_memory_bytes(memory) / PAGE);
    uint32_t step = round % 3 == 0 ? 1 : round % 3 == 1 ? 7 : 61;
    for (uint32_t i = round % 5; i < pages; i += step) {
        CHECK(wasm_memory_write(memory, wasm_addr_of(i * PAGE + 100), SECRET, sizeof SECRET));
    }
    CHECK_INT(call(instance, FUNC_store, 8, &result), ==, WASM_TRAP_NONE);
    if (round % 2) {
        uint32_t old_size = (uint32_t)wasm_memory_bytes(memory), nulls = 0;
        const uint8_t *grown;
        CHECK_INT(call(instance, FUNC_grow, 20, &result), ==, WASM_TRAP_NONE);
        CHECK(wasm_memory_view(memory, wasm_addr_of(old_size), 20 * 65536, &grown) &&
              grown[0] == 0 && memcmp(grown, grown + 1, 20 * 65536 - 1) == 0);
        CHECK(wasm_memory_write(memory, wasm_addr_of((uint32_t)wasm_memory_bytes(memory) - 64),
                                SECRET, sizeof SECRET));
        CHECK_INT(call(instance, FUNC_grow_table, 600, &result), ==, WASM_TRAP_NONE);
        for (uint32_t i = 4; i < 604; i++) {
            nulls += call(instance, FUNC_get_table, i, &result) == WASM_TRAP_NONE && result == 0;
        }
        CHECK_INT(nulls, ==, 600);
        CHECK_INT(call(instance, FUNC_set_table, 603, &result), ==, WASM_TRAP_NONE);
    }
    CHECK_INT(call(instance, FUNC_set_global, 0x5ec3e7, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(call(instance, FUNC_set_table, round % 4, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(call(instance, FUNC_drop, 0, &result), ==, WASM_TRAP_NONE);
    wasm_store_set_fuel(wasm_instance_store(instance), 17);
    wasm_store_set_deadline(wasm_instance_store(instance), INT64_MAX);
    wasm_store_kill(wasm_instance_store(instance));
}

static struct wasm_pool *make_pool(uint32_t slots, enum wasm_reset reset)
{
    struct wasm_pool_config config = {.slots = slots, .reset = reset};
    struct wasm_pool *pool = NULL;
    struct wm_diag diag = WM_DIAG_INIT;
    if (wasm_pool_new(&config, &pool, &diag) != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
    }
    return pool;
}

static void resets_leave_nothing(enum wasm_reset reset)
{
    enum { PAGES_A = 20, PAGES_B = 3 }; /* A: more pages than are ever copied back */
    struct wasm_image *a = make_image(&module_a, 'A', PAGES_A, 0xa1);
    struct wasm_image *b = make_image(&module_b, 'B', PAGES_B, 0);
    struct wasm_pool *pool = make_pool(1, reset); /* one slot, so that it changes hands */
    REQUIRE(a && b && pool);
    CHECK_INT(wasm_pool_stats(pool).reset, ==, reset);
    for (uint32_t round = 0; round < 200; round++) {
        bool use_b = round % 7 == 3 || round % 7 == 4;
        struct wasm_slot *slot;
        struct wm_diag diag = WM_DIAG_INIT;
        int rc = wasm_pool_take(pool, use_b ? b : a, resolve, NULL, &slot, &diag);
        REQUIRE(rc == 0);
        CHECK(is_pristine(wasm_slot_instance(slot), use_b ? PAGES_B : PAGES_A, use_b ? 0 : 0xa1));
        dirty(wasm_slot_instance(slot), round);
        wasm_pool_put(pool, slot);
    }
    struct wasm_pool_stats stats = wasm_pool_stats(pool);
    CHECK_INT(stats.warm + stats.cold, ==, 200);
    CHECK_INT(stats.cold, >, 50);
    CHECK_INT(stats.pages_copied, >, 0);
    wasm_pool_free(pool);
    wasm_image_put(a);
    wasm_image_put(b);
    CHECK_INT(wasm_typeid_count(), ==, 0);
}

static bool kernel_scans(void)
{
    struct wasm_pagescan scan;
    struct wasm_store *store = NULL; /* installs what notices forks */
    bool can = wasm_store_new(NULL, &store, NULL) == 0;
    wasm_store_free(store);
    wasm_pagescan_init(&scan);
    can = can && scan.can_scan;
    wasm_pagescan_fini(&scan);
    return can;
}

TEST(reset_by_page_scan_leaves_nothing)
{
    if (!kernel_scans()) {
        SKIP("this kernel has no PAGEMAP_SCAN (Linux 6.7)");
    }
    resets_leave_nothing(WASM_RESET_PAGEMAP_SCAN);
}

TEST(reset_without_page_scan_leaves_nothing)
{
    resets_leave_nothing(WASM_RESET_DISCARD);
}

TEST(a_pool_prefers_the_slot_of_the_image)
{
    struct wasm_image *a = make_image(&module_a, 'A', 16, 1), *b = make_image(&module_b, 'B', 3, 2);
    struct wasm_pool *pool = make_pool(2, WASM_RESET_AUTO);
    struct wasm_slot *slots[3];
    REQUIRE(a && b && pool);
    resolved = 0;
    REQUIRE(wasm_pool_take(pool, a, resolve, NULL, &slots[0], NULL) == 0);
    REQUIRE(wasm_pool_take(pool, b, resolve, NULL, &slots[1], NULL) == 0);
    CHECK_INT(wasm_pool_take(pool, b, resolve, NULL, &slots[2], NULL), ==, WM_E_BUSY);
    wasm_pool_put(pool, slots[0]);
    wasm_pool_put(pool, slots[1]);
    for (int i = 0; i < 10; i++) {
        struct wasm_slot *again;
        REQUIRE(wasm_pool_take(pool, i % 2 ? a : b, resolve, NULL, &again, NULL) == 0);
        CHECK(again == slots[i % 2 ? 0 : 1]);
        wasm_pool_put(pool, again);
    }
    CHECK_INT(resolved, ==, 2); /* once for each slot and image */
    CHECK_INT(wasm_pool_stats(pool).warm, ==, 10);
    wasm_pool_free(pool);
    wasm_image_put(a);
    wasm_image_put(b);
}

TEST(written_pages_are_found_after_they_were_swapped_out)
{
    /* MADV_PAGEOUT is a request; where there is no swap it does nothing, and the test then only
     * shows that asking does no harm. */
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x3c);
    struct wasm_pool *pool = make_pool(1, WASM_RESET_AUTO);
    REQUIRE(a && pool);
    for (uint32_t round = 0; round < 4; round++) {
        struct wasm_slot *slot;
        REQUIRE(wasm_pool_take(pool, a, resolve, NULL, &slot, NULL) == 0);
        struct wasm_memory *memory = wasm_instance_memory(wasm_slot_instance(slot));
        CHECK(is_pristine(wasm_slot_instance(slot), 16, 0x3c));
        dirty(wasm_slot_instance(slot), round);
        madvise(memory->cell.base, memory->cell.size_bytes, MADV_PAGEOUT);
        wasm_pool_put(pool, slot);
    }
    wasm_pool_free(pool);
    wasm_image_put(a);
}

TEST(a_slot_that_the_kernel_does_not_reset_is_bound_anew)
{
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x77);
    REQUIRE(a != NULL);
    static const enum wasm_reset ways[] = {WASM_RESET_AUTO, WASM_RESET_DISCARD};
    for (size_t way = 0; way < WM_COUNT_OF(ways); way++) {
        uint64_t rounds = 0;
        for (uint64_t n = 0;; rounds++) {
            struct wasm_pool *pool = make_pool(1, ways[way]);
            struct wasm_slot *slot;
            REQUIRE(pool && wasm_pool_take(pool, a, resolve, NULL, &slot, NULL) == 0);
            dirty(wasm_slot_instance(slot), 1);
            bool more = wm_fault_next(WM_FAULT_IO, &n);
            wasm_pool_put(pool, slot);
            bool fired = wm_fault_fired(WM_FAULT_IO);
            wm_fault_arm(WM_FAULT_IO, 0);
            if (more) {
                REQUIRE(wasm_pool_take(pool, a, resolve, NULL, &slot, NULL) == 0);
                CHECK(is_pristine(wasm_slot_instance(slot), 16, 0x77));
                wasm_pool_put(pool, slot);
            }
            wasm_pool_free(pool);
            if (!more || !fired) {
                break;
            }
            wm_fault_arm(WM_FAULT_IO, 1); /* wm_fault_next goes by whether the last one fired */
            (void)wm_fault_here(WM_FAULT_IO);
        }
        CHECK_INT(rounds, >, 0);
    }
    wasm_image_put(a);
}

TEST(every_failing_operation_of_taking_is_survived)
{
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x10);
    REQUIRE(a != NULL);
    static const enum wm_fault_kind kinds[] = {WM_FAULT_ALLOC, WM_FAULT_IO};
    for (size_t i = 0; i < WM_COUNT_OF(kinds); i++) {
        uint64_t rounds = 0;
        for (uint64_t n = 0; wm_fault_next(kinds[i], &n); rounds++) {
            struct wasm_pool_config config = {.slots = 2};
            struct wasm_pool *pool = NULL;
            struct wasm_slot *slot;
            struct wm_diag diag = WM_DIAG_INIT;
            int rc = wasm_pool_new(&config, &pool, &diag);
            if (rc == 0) {
                rc = wasm_pool_take(pool, a, resolve, NULL, &slot, &diag);
                if (rc == 0) {
                    struct wasm_image *again = NULL;
                    rc = wasm_image_take(wasm_slot_instance(slot), &again, &diag);
                    wasm_image_put(rc == 0 ? again : NULL);
                    wasm_pool_put(pool, slot);
                }
                wasm_pool_free(pool);
            }
            CHECK(rc == 0 || (wm_fault_fired(kinds[i]) && diag.text[0]));
        }
        CHECK_INT(rounds, >, 4);
    }
    wasm_image_put(a);
    CHECK_INT(wasm_typeid_count(), ==, 0);
}

/* Where no new slot can be made, an idle one serves; no failure is the last. */
TEST(a_machine_without_room_uses_the_slots_that_there_are)
{
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x10);
    struct wasm_image *b = make_image(&module_b, 'B', 16, 0x20);
    REQUIRE(a && b);
    for (uint64_t n = 0, first = 1; wm_fault_next(WM_FAULT_IO, &n); first = 0) {
        struct wasm_pool *pool = NULL;
        struct wasm_slot *slot;
        struct wasm_pool_config config = {.slots = 8};
        if (wasm_pool_new(&config, &pool, NULL) != 0) {
            continue;
        }
        int rc = wasm_pool_take(pool, a, resolve, NULL, &slot, NULL);
        if (rc == 0) {
            wasm_pool_put(pool, slot);
            struct wm_diag diag = WM_DIAG_INIT;
            rc = wasm_pool_take(pool, b, resolve, NULL, &slot, &diag);
            CHECK_STR(rc == 0 ? "" : wm_diag_text(&diag), "");
            if (rc == 0) {
                CHECK(is_pristine(wasm_slot_instance(slot), 16, 0x20));
                wasm_pool_put(pool, slot);
            }
        }
        CHECK(rc == 0 || first || wm_fault_fired(WM_FAULT_IO));
        for (int again = 0; again < 4; again++) { /* and goes on */
            struct wasm_image *image = again % 2 ? a : b;
            REQUIRE(wasm_pool_take(pool, image, resolve, NULL, &slot, NULL) == 0);
            CHECK(is_pristine(wasm_slot_instance(slot), 16, again % 2 ? 0x10 : 0x20));
            wasm_pool_put(pool, slot);
        }
        wasm_pool_free(pool);
    }
    wasm_image_put(a);
    wasm_image_put(b);
    CHECK_INT(wasm_typeid_count(), ==, 0);
}

TEST(a_forked_child_resets_its_own_pages)
{
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x21);
    struct wasm_pool *pool = make_pool(1, WASM_RESET_AUTO);
    struct wasm_slot *slot;
    REQUIRE(a && pool && wasm_pool_take(pool, a, resolve, NULL, &slot, NULL) == 0);
    wasm_pool_put(pool, slot);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bool right = wasm_pool_take(pool, a, resolve, NULL, &slot, NULL) == 0;
        dirty(wasm_slot_instance(slot), 1);
        wasm_pool_put(pool, slot);
        right = right && wasm_pool_take(pool, a, resolve, NULL, &slot, NULL) == 0;
        _exit(right && is_pristine(wasm_slot_instance(slot), 16, 0x21) ? 7 : 8);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    wasm_pool_free(pool);
    wasm_image_put(a);
}

/* Every other page of the image is a hole of zeroes; what is put back to them must not fill them.
 */
TEST(holes_of_an_image_stay_holes)
{
    enum { PAGES = 16 };
    struct wasm_store *store = NULL;
    struct wasm_instance *instance = NULL;
    struct wasm_image *image = NULL;
    struct wasm_slot *slot;
    uint8_t *bytes;
    struct stat before, after;
    guest_object_make(&module_a, 'A', 1, 65);
    REQUIRE(wasm_store_new(NULL, &store, NULL) == 0);
    REQUIRE(wasm_instance_new(store, &module_a.object, resolve, NULL, &instance, NULL) == 0);
    REQUIRE(
        wasm_memory_window(wasm_instance_memory(instance), wasm_addr_of(0), PAGES * 4096, &bytes));
    memset(bytes, 0, PAGES * 4096);
    for (int page = 0; page < PAGES; page += 2) {
        memset(bytes + page * 4096, 0x40 + page, 4096);
    }
    REQUIRE(wasm_image_take(instance, &image, NULL) == 0);
    struct wasm_pool *pool = make_pool(1, WASM_RESET_AUTO);
    for (int round = 0; round < 100; round++) {
        REQUIRE(wasm_pool_take(pool, image, resolve, NULL, &slot, NULL) == 0);
        struct wasm_memory *memory = wasm_instance_memory(wasm_slot_instance(slot));
        REQUIRE(wasm_memory_window(memory, wasm_addr_of(0), PAGES * 4096, &bytes));
        for (int at = 0; at < PAGES * 4096; at++) {
            int page = at / 4096;
            if (bytes[at] != (page % 2 ? 0 : 0x40 + page)) {
                CHECK_INT(at, ==, -1);
                break;
            }
        }
        memset(bytes, 0xee, PAGES * 4096);
        REQUIRE(fstat(image->memfd, round == 0 ? &before : &after) == 0);
        wasm_pool_put(pool, slot);
    }
    /* Writing a page of a private mapping reads it first, which fills the hole; but only that. */
    CHECK_INT(after.st_blocks, ==, before.st_blocks);
    wasm_pool_free(pool);
    wasm_image_put(image);
    wasm_store_free(store);
}

/* A page that is a hole and was never written by a call is not stored by a reset or a look. */
TEST(a_reset_stores_nothing)
{
    struct wasm_image *image = make_image(&module_a, 'A', 4, 0);
    struct wasm_pool *pool = make_pool(1, WASM_RESET_AUTO);
    struct wasm_slot *slot;
    struct stat before, after;
    REQUIRE(image && pool && fstat(image->memfd, &before) == 0);
    for (uint64_t page = 0; page < image->memory_bytes / 4096; page++) {
        CHECK(!wasm_image_stores(image, page));
    }
    for (int round = 0; round < 70; round++) {
        REQUIRE(wasm_pool_take(pool, image, resolve, NULL, &slot, NULL) == 0);
        wasm_pool_put(pool, slot);
    }
    REQUIRE(fstat(image->memfd, &after) == 0);
    CHECK_INT(after.st_blocks, ==, before.st_blocks);
    wasm_pool_free(pool);
    wasm_image_put(image);
}

/* --- Images --- */

TEST(another_image_finds_nothing_on_the_stack)
{
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x55);
    struct wasm_image *b = make_image(&module_b, 'B', 16, 0xaa);
    struct wasm_pool *pool = make_pool(1, WASM_RESET_AUTO);
    struct wasm_slot *slot;
    struct wm_diag diag = WM_DIAG_INIT;
    uint32_t result;
    REQUIRE(a && b && pool && wasm_pool_take(pool, a, resolve, NULL, &slot, &diag) == 0);
    struct wasm_store *store = wasm_instance_store(wasm_slot_instance(slot));
    CHECK_INT(call(wasm_slot_instance(slot), FUNC_call_host, 5, &result), ==, WASM_TRAP_NONE);
    uint8_t *low = (uint8_t *)wasm_store_stack_low(store);
    uint64_t depths[] = {16, 4096, 16000, 17000, 65000, 66000, 200000, store->stack_bytes};
    for (size_t i = 0; i < WM_COUNT_OF(depths); i++) {
        memcpy(low + store->stack_bytes - depths[i], SECRET, sizeof SECRET);
    }
    uint32_t params = 0; /* the most that a function of A takes: A's code writes no further */
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(&module_a.object, TYPES); i++) {
        uint32_t len = module_a.object.at.TYPES[i].params.len;
        params = params < len ? len : params;
    }
    REQUIRE(params > 0);
    memcpy(&store->budget.tail_params[params - 1], SECRET, sizeof SECRET);
    wasm_pool_put(pool, slot);
    REQUIRE(wasm_pool_take(pool, b, resolve, NULL, &slot, &diag) == 0);
    CHECK(wasm_instance_store(wasm_slot_instance(slot)) == store);
    uint64_t found = 0;
    for (uint64_t at = 0; at < store->stack_bytes; at++) {
        found += low[at] != 0;
    }
    for (size_t at = 0; at < sizeof store->budget.tail_params; at++) {
        found += ((uint8_t *)store->budget.tail_params)[at] != 0;
    }
    CHECK_INT(found, ==, 0);
    wasm_pool_put(pool, slot);
    wasm_pool_free(pool);
    wasm_image_put(a);
    wasm_image_put(b);
}

TEST(images_refuse_what_they_cannot_hold)
{
    guest_object_make(&module_a, 'A', 1, 65);
    struct wasm_store *store = NULL;
    struct wasm_instance *one = NULL, *two = NULL;
    struct wasm_image *image = NULL;
    struct wasm_region *region = NULL;
    struct wm_diag diag = WM_DIAG_INIT;
    uint32_t at;
    REQUIRE(wasm_store_new(NULL, &store, &diag) == 0);
    REQUIRE(wasm_instance_new(store, &module_a.object, resolve, NULL, &one, &diag) == 0);
    REQUIRE(wasm_instance_new(store, &module_a.object, resolve, NULL, &two, &diag) == 0);
    struct wasm_table *table = wasm_instance_table(one, 0);
    table->cells.elems[1] =
        wasm_table_elem_of(table, (uint64_t)(uintptr_t)wasm_instance_func(two, FUNC_add_one));
    CHECK_INT(wasm_image_take(one, &image, &diag), ==, WM_E_UNSUPPORTED);
    CHECK_STR(wm_diag_text(&diag), "image: a table refers to another instance's function");
    REQUIRE(wasm_region_new(1, &region, &diag) == 0);
    REQUIRE(wasm_region_map(region, wasm_instance_memory(two), false, &at, &diag) == 0);
    CHECK_INT(wasm_image_take(two, &image, &diag), ==, WM_E_UNSUPPORTED);
    wasm_region_put(region);
    wasm_store_free(store);
    CHECK_INT(wasm_typeid_count(), ==, 0);
}

TEST(image_memory_is_sealed)
{
    struct wasm_image *a = make_image(&module_a, 'A', 1, 0x99);
    REQUIRE(a != NULL);
    CHECK_INT(pwrite(a->memfd, "x", 1, 0), ==, -1);
    CHECK_INT(ftruncate(a->memfd, 0), ==, -1);
    CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, a->memfd, 0) == MAP_FAILED);
    wasm_image_put(a);
}

TEST(images_survive_their_file_and_no_change_of_it)
{
    guest_object_make(&module_a, 'A', 16, 80);
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x42), *again = NULL;
    struct wm_diag diag = WM_DIAG_INIT;
    int fd = memfd_create("image", MFD_CLOEXEC);
    REQUIRE(a && fd >= 0);
    REQUIRE(wasm_image_write(a, fd, &diag) == 0);
    REQUIRE(wasm_image_read(fd, &module_a.object, &again, &diag) == 0);
    struct wasm_pool *pool = make_pool(1, WASM_RESET_AUTO);
    struct wasm_slot *slot;
    REQUIRE(wasm_pool_take(pool, again, resolve, NULL, &slot, &diag) == 0);
    CHECK(is_pristine(wasm_slot_instance(slot), 16, 0x42));
    wasm_pool_put(pool, slot);
    wasm_pool_free(pool);
    wasm_image_put(again);

    /* Another module's. */
    guest_object_make(&module_b, 'B', 3, 67);
    CHECK_INT(wasm_image_read(fd, &module_b.object, &again, &diag), ==, WM_E_STALE);

    /* Every byte of the part that is not memory, and some of that; then every length. */
    struct stat stat;
    REQUIRE(fstat(fd, &stat) == 0);
    unsigned accepted = 0;
    for (off_t at = 0; at < stat.st_size; at += at < 256 ? 1 : 65521) {
        uint8_t byte;
        REQUIRE(pread(fd, &byte, 1, at) == 1);
        for (unsigned bit = 0; bit < 8; bit += 3) {
            uint8_t changed = byte ^ (uint8_t)(1u << bit);
            REQUIRE(pwrite(fd, &changed, 1, at) == 1);
            if (wasm_image_read(fd, &module_a.object, &again, NULL) == 0) {
                accepted++;
                wasm_image_put(again);
            }
        }
        REQUIRE(pwrite(fd, &byte, 1, at) == 1);
    }
    CHECK_INT(accepted, ==, 0);
    CHECK_INT(wasm_image_read(fd, &module_a.object, &again, NULL), ==, 0);
    wasm_image_put(again);
    for (off_t len = stat.st_size - 1; len >= 0; len = len > 200 ? len - 70001 : len - 1) {
        REQUIRE(ftruncate(fd, len) == 0);
        if (wasm_image_read(fd, &module_a.object, &again, NULL) == 0) {
            accepted++;
        }
    }
    CHECK_INT(accepted, ==, 0);
    close(fd);

    static const enum wm_fault_kind kinds[] = {WM_FAULT_ALLOC, WM_FAULT_IO};
    for (size_t i = 0; i < WM_COUNT_OF(kinds); i++) {
        for (uint64_t n = 0; wm_fault_next(kinds[i], &n);) {
            struct wm_diag why = WM_DIAG_INIT;
            fd = memfd_create("image", MFD_CLOEXEC);
            int rc = wasm_image_write(a, fd, &why);
            rc = rc ? rc : wasm_image_read(fd, &module_a.object, &again, &why);
            wasm_image_put(rc == 0 ? again : NULL);
            CHECK(rc == 0 || (wm_fault_fired(kinds[i]) && why.text[0]));
            close(fd);
        }
    }
    wasm_image_put(a);
    CHECK_INT(wasm_typeid_count(), ==, 0);
}

/* Code that calls through a closed table does not look at an element's context. */
TEST(an_image_cannot_put_an_import_into_a_closed_table)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_store *store;
    struct wasm_instance *instance;
    struct wasm_image *image, *again;
    guest_object_make(&module_a, 'A', 1, 1);
    REQUIRE(wasm_store_new(NULL, &store, &diag) == 0);
    REQUIRE(wasm_instance_new(store, &module_a.object, resolve, NULL, &instance, &diag) == 0);
    for (uint32_t closed = 0; closed < 2; closed++) {
        for (uint32_t func = FUNC_host; func <= FUNC_host + 1; func++) {
            struct wasm_table *table = wasm_instance_table(instance, 0);
            const struct wasm_func *ref = wasm_instance_func(instance, func);
            table->cells.elems[1] = wasm_table_elem_of(table, (uint64_t)(uintptr_t)ref);
            int fd = memfd_create("image", MFD_CLOEXEC);
            REQUIRE(wasm_image_take(instance, &image, &diag) == 0);
            REQUIRE(wasm_image_write(image, fd, &diag) == 0);
            module_a.tables[0].closed = closed;
            int rc = wasm_image_read(fd, &module_a.object, &again, &diag);
            CHECK_INT(rc, ==, closed && func == FUNC_host ? WM_E_MALFORMED : 0);
            wasm_image_put(rc == 0 ? again : NULL);
            wasm_image_put(image);
            close(fd);
        }
    }
    wasm_store_free(store);
}

/* --- Regions --- */

TEST(regions_are_shared_and_gone_after_reset)
{
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x55);
    struct wasm_pool *pool = make_pool(2, WASM_RESET_AUTO);
    struct wasm_region *region = NULL;
    struct wasm_slot *slots[2];
    struct wm_diag diag = WM_DIAG_INIT;
    uint32_t at[2], result;
    uint64_t bytes;
    REQUIRE(a && pool && wasm_region_new(100000, &region, &diag) == 0);
    uint8_t *host = wasm_region_bytes(region, &bytes);
    CHECK_INT(bytes, ==, 131072);
    for (int i = 0; i < 2; i++) {
        REQUIRE(wasm_pool_take(pool, a, resolve, NULL, &slots[i], &diag) == 0);
        struct wasm_memory *memory = wasm_instance_memory(wasm_slot_instance(slots[i]));
        REQUIRE(wasm_region_map(region, memory, i == 1, &at[i], &diag) == 0);
        CHECK_INT(at[i], ==, 16 * 65536);
        CHECK_INT(wasm_memory_bytes(memory), ==, 18 * 65536);
    }
    struct wasm_instance *writer = wasm_slot_instance(slots[0]);
    struct wasm_instance *reader = wasm_slot_instance(slots[1]);
    CHECK_INT(call(writer, FUNC_store, at[0] + 8, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(host[8], ==, 42);
    CHECK_INT(call(reader, FUNC_load, at[1] + 8, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 42);
    /* Reading only: for the guest's own stores, for services and for the host alike. */
    CHECK_INT(call(reader, FUNC_store, at[1] + 8, &result), ==, WASM_TRAP_MEMORY_BOUNDS);
    CHECK_INT(wasm_store_report(wasm_instance_store(reader))->fault_addr, ==, at[1] + 8);
    CHECK_INT(call(reader, FUNC_fill, at[1] + 1, &result), ==, WASM_TRAP_MEMORY_BOUNDS);
    CHECK_INT(call(reader, FUNC_fill, at[1], &result), ==, WASM_TRAP_NONE);
    struct wasm_memory *memory = wasm_instance_memory(reader);
    uint8_t *window;
    const uint8_t *view;
    CHECK(!wasm_memory_write(memory, wasm_addr_of(at[1]), "x", 1));
    CHECK(!wasm_memory_window(memory, wasm_addr_of(at[1] - 8), 16, &window));
    CHECK(wasm_memory_window(memory, wasm_addr_of(at[1] - 8), 8, &window));
    CHECK(wasm_memory_view(memory, wasm_addr_of(at[1]), 16, &view) && view[8] == 42);
    /* Growing goes on behind it. */
    CHECK_INT(call(writer, FUNC_grow, 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(result, ==, 18);
    for (int i = 0; i < 2; i++) {
        wasm_pool_put(pool, slots[i]);
        struct wasm_slot *slot;
        REQUIRE(wasm_pool_take(pool, a, resolve, NULL, &slot, &diag) == 0);
        CHECK(is_pristine(wasm_slot_instance(slot), 16, 0x55));
        struct wasm_instance *instance = wasm_slot_instance(slot);
        CHECK_INT(call(instance, FUNC_load, at[0], &result), ==, WASM_TRAP_MEMORY_BOUNDS);
        CHECK_INT(call(instance, FUNC_grow, 2, &result), ==, WASM_TRAP_NONE);
        CHECK_INT(call(instance, FUNC_load, at[0] + 8, &result), ==, WASM_TRAP_NONE);
        CHECK_INT(result, ==, 0);
        wasm_pool_put(pool, slot);
    }
    CHECK_INT(host[8], ==, 42);
    wasm_region_put(region);
    CHECK_INT(wasm_region_new(0, &region, &diag), ==, WM_E_USAGE);
    CHECK_INT(wasm_region_new((UINT64_C(4) << 30) + 1, &region, &diag), ==, WM_E_USAGE);
    wasm_pool_free(pool);
    wasm_image_put(a);
}

TEST(a_part_of_a_region_takes_its_pages_alone)
{
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x55);
    struct wasm_pool *pool = make_pool(1, WASM_RESET_AUTO);
    struct wasm_region *region = NULL;
    struct wasm_slot *slot;
    struct wm_diag diag = WM_DIAG_INIT;
    uint32_t at, again, result;
    uint64_t bytes;
    REQUIRE(a && pool && wasm_region_new(4 * 65536, &region, &diag) == 0);
    uint8_t *host = wasm_region_bytes(region, &bytes);
    for (uint64_t i = 0; i < bytes; i++) {
        host[i] = (uint8_t)(i >> 12 | 0x80);
    }
    REQUIRE(wasm_pool_take(pool, a, resolve, NULL, &slot, &diag) == 0);
    struct wasm_instance *instance = wasm_slot_instance(slot);
    struct wasm_memory *memory = wasm_instance_memory(instance);
    const uint8_t *view;
    uint8_t *window;
    /* Two bytes across a page: two host pages are there, and zeros of the guest's own behind. */
    REQUIRE(wasm_region_map_range(region, 0x4fff, 2, memory, false, &at, &diag) == 0);
    CHECK_INT(at, ==, 16 * 65536 + 0xfff);
    CHECK_INT(wasm_memory_bytes(memory), ==, 17 * 65536);
    REQUIRE(wasm_memory_view(memory, wasm_addr_of(16 * 65536), 65536, &view));
    CHECK(view[0] == 0x84 && view[0xfff] == 0x84 && view[0x1000] == 0x85 && view[0x1fff] == 0x85);
    for (uint32_t i = 0x2000; i < 65536; i++) {
        REQUIRE(view[i] == 0);
    }
    CHECK_INT(call(instance, FUNC_store, at + 1, &result), ==, WASM_TRAP_NONE);
    CHECK_INT(host[0x5000], ==, 42);
    CHECK_INT(call(instance, FUNC_store, 17 * 65536 - 8, &result), ==, WASM_TRAP_NONE);
    /* Read-only parts behind each other are one span, and their rest is read-only, too. */
    for (uint32_t i = 0; i < 20; i++) {
        REQUIRE(wasm_region_map_range(region, 0, 1, memory, true, &again, &diag) == 0);
    }
    CHECK_INT(memory->read_only_count, ==, 1);
    CHECK_INT(call(instance, FUNC_store, again, &result), ==, WASM_TRAP_MEMORY_BOUNDS);
    CHECK_INT(call(instance, FUNC_store, again + 0x8000, &result), ==, WASM_TRAP_MEMORY_BOUNDS);
    CHECK(!wasm_memory_window(memory, wasm_addr_of(again + 0x8000), 1, &window));
    /* What cannot be mapped. */
    CHECK_INT(wasm_region_map_range(region, 0, 0, memory, false, &at, &diag), ==, WM_E_USAGE);
    CHECK_INT(wasm_region_map_range(region, bytes, 1, memory, false, &at, &diag), ==, WM_E_USAGE);
    CHECK_INT(wasm_region_map_range(region, UINT64_MAX, 2, memory, false, &at, &diag), ==,
              WM_E_USAGE);
    /* A failure in any step leaves the memory as it was: beyond its end there is nothing. */
    uint64_t before = wasm_memory_bytes(memory);
    int failures = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_IO, &n);) {
        int rc = wasm_region_map_range(region, 0, 1, memory, true, &at, &diag);
        if (rc != 0) {
            failures++;
            CHECK_INT(wasm_memory_bytes(memory), ==, before);
            CHECK_INT(memory->read_only[0].end, ==, before);
            CHECK_INT(call(instance, FUNC_load, (uint32_t)before, &result), ==,
                      WASM_TRAP_MEMORY_BOUNDS);
            CHECK_INT(call(instance, FUNC_load, (uint32_t)before + 0x8000, &result), ==,
                      WASM_TRAP_MEMORY_BOUNDS);
        }
    }
    CHECK_INT(failures, ==, 2);
    wasm_pool_put(pool, slot);
    REQUIRE(wasm_pool_take(pool, a, resolve, NULL, &slot, &diag) == 0);
    CHECK(is_pristine(wasm_slot_instance(slot), 16, 0x55));
    wasm_pool_put(pool, slot);
    /* Its descriptor maps the same bytes, and cannot change the size. */
    int fd = wasm_region_fd(region);
    uint8_t *mine = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(mine != MAP_FAILED);
    CHECK(mine[0x5000] == 42 && ftruncate(fd, 4096) != 0 && ftruncate(fd, 1 << 20) != 0);
    munmap(mine, bytes);
    wasm_region_put(region);
    wasm_pool_free(pool);
    wasm_image_put(a);
}

TEST(a_pool_honours_its_limits)
{
    struct wasm_image *a = make_image(&module_a, 'A', 16, 0x55);
    struct wasm_pool_config config = {.slots = 1, .limits = {.memory_bytes = 15 * 65536}};
    struct wasm_pool *pool;
    struct wasm_slot *slot;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(a && wasm_pool_new(&config, &pool, &diag) == 0);
    CHECK_INT(wasm_pool_take(pool, a, resolve, NULL, &slot, &diag), ==, WM_E_LIMIT);
    wasm_pool_free(pool);
    wasm_image_put(a);
    config.slots = 0;
    CHECK_INT(wasm_pool_new(&config, &pool, &diag), ==, WM_E_USAGE);
}

TEST_MAIN(TEST_CASE(reset_by_page_scan_leaves_nothing),
          TEST_CASE(reset_without_page_scan_leaves_nothing),
          TEST_CASE(a_pool_prefers_the_slot_of_the_image),
          TEST_CASE(written_pages_are_found_after_they_were_swapped_out),
          TEST_CASE(a_slot_that_the_kernel_does_not_reset_is_bound_anew),
          TEST_CASE(every_failing_operation_of_taking_is_survived),
          TEST_CASE(a_machine_without_room_uses_the_slots_that_there_are),
          TEST_CASE(a_forked_child_resets_its_own_pages), TEST_CASE(holes_of_an_image_stay_holes),
          TEST_CASE(a_reset_stores_nothing), TEST_CASE(another_image_finds_nothing_on_the_stack),
          TEST_CASE(images_refuse_what_they_cannot_hold), TEST_CASE(image_memory_is_sealed),
          TEST_CASE(images_survive_their_file_and_no_change_of_it),
          TEST_CASE(an_image_cannot_put_an_import_into_a_closed_table),
          TEST_CASE(regions_are_shared_and_gone_after_reset),
          TEST_CASE(a_part_of_a_region_takes_its_pages_alone), TEST_CASE(a_pool_honours_its_limits))
