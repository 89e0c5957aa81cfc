/* state_test.c: the state_* functions as a guest calls them, on real memories and slots, over a
 * global tier that fails when it is told to. Two local tiers on one global tier are two nodes. */
#include "faaslet/state.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "faaslet/guest.h"
#include "faaslet/pause.h"
#include "faaslet/tier_fake.h"
#include "wasi/types.h"
#include "wasm/guest_object.h"
#include "wasm/instance.h"
#include "wasm/memory.h"
#include "wasm/slot.h"

#define CHUNK 65536u
#define PAGES 4u
#define KEYS 0u        /* in guest memory: where keys are put */
#define BUFFER 131072u /* and data */

static struct guest_object module;
static struct tier_fake *fake;
static struct tier tier;

/* One executor: a slot with a guest in it, and its session. */
struct runner {
    struct wasm_pool *pool;
    struct wasm_slot *slot;
    struct wasm_memory *memory;
    struct faaslet_guest guest;
    struct call_usage usage;
};

static struct wasm_image *image;

static enum wasm_trap host_f(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller, (void)values;
    return WASM_TRAP_NONE;
}

static int resolve(void *self, struct wm_view module_name, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    static const struct wasm_host_func f = {"host", "f", "i:i", host_f};
    (void)self, (void)module_name, (void)name, (void)kind;
    *out = (struct wasm_extern){.kind = WASM_EXTERN_FUNC, .host = &f};
    return 0;
}

/* Once for all tests. */
static bool begin_world(void)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_store *store;
    struct wasm_instance *instance;
    if (!image) {
        guest_object_make(&module, 'S', PAGES, 65536);
        if (wasm_store_new(NULL, &store, &diag) != 0 ||
            wasm_instance_new(store, &module.object, resolve, NULL, &instance, &diag) != 0 ||
            wasm_image_take(instance, &image, &diag) != 0) {
            wm_test_note("%s", wm_diag_text(&diag));
            return false;
        }
        wasm_store_free(store);
    }
    fake = tier_fake_new();
    tier = fake ? tier_fake_tier(fake) : tier;
    return fake;
}

static void end_world(void)
{
    tier_fake_free(fake);
    fake = NULL;
}

static bool stop_never(void *self)
{
    (void)self;
    return false;
}

static void runner_begin_as(struct runner *runner, const char *tenant)
{
    runner->usage = (struct call_usage){0};
    state_session_begin(runner->guest.state, &tier, wm_view_str(tenant), &runner->usage, stop_never,
                        NULL);
}

static bool runner_init(struct runner *runner, struct local_tier *local)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_pool_config config = {.slots = 1};
    *runner = (struct runner){0};
    if (wasm_pool_new(&config, &runner->pool, &diag) != 0 ||
        wasm_pool_take(runner->pool, image, resolve, NULL, &runner->slot, &diag) != 0 ||
        state_session_new(local, &runner->guest.state, &diag) != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
        return false;
    }
    runner->memory = wasm_instance_memory(wasm_slot_instance(runner->slot));
    runner_begin_as(runner, "alice");
    return true;
}

static void runner_fini(struct runner *runner)
{
    state_session_end(runner->guest.state);
    wasm_pool_put(runner->pool, runner->slot);
    state_session_free(runner->guest.state);
    wasm_pool_free(runner->pool);
}

/* The next call of the same Faaslet. */
static bool runner_next(struct runner *runner)
{
    struct wm_diag diag = WM_DIAG_INIT;
    state_session_end(runner->guest.state);
    wasm_pool_put(runner->pool, runner->slot);
    if (wasm_pool_take(runner->pool, image, resolve, NULL, &runner->slot, &diag) != 0) {
        return false;
    }
    runner_begin_as(runner, "alice");
    return true;
}

static struct local_tier *node_new(const struct local_tier_config *config)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct local_tier *local = NULL;
    if (local_tier_new(config ? config : &(struct local_tier_config){0}, &local, &diag) != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
    }
    return local;
}

static const struct wasm_host_func *func_of(const char *name)
{
    for (size_t i = 0; i < faaslet_state_funcs.count; i++) {
        if (strcmp(faaslet_state_funcs.funcs[i].name, name) == 0) {
            return &faaslet_state_funcs.funcs[i];
        }
    }
    return NULL;
}

static int64_t call_raw(struct runner *runner, const char *name, const uint64_t *args, size_t count)
{
    const struct wasm_host_func *func = func_of(name);
    union wasm_value values[8] = {0};
    if (!func || strcspn(func->signature, ":") != count) {
        wm_test_note("%s: no such function, or another number of arguments", name);
        return INT64_MIN;
    }
    for (size_t i = 0; i < count; i++) {
        /* The upper half of an i32's place may hold anything. */
        values[i].i64 = UINT64_C(0xdeadbeef00000000);
        if (func->signature[i] == 'i') {
            values[i].i32 = (uint32_t)args[i];
        } else {
            values[i].i64 = args[i];
        }
    }
    struct wasm_instance *instance = wasm_slot_instance(runner->slot);
    struct wasm_caller caller = {wasm_instance_store(instance), instance, &runner->guest};
    if (func->call(&caller, values) != WASM_TRAP_NONE) {
        return INT64_MIN;
    }
    return func->signature[count + 1] == 'I' ? (int64_t)values[0].i64 : (int32_t)values[0].i32;
}

static uint64_t put_text(struct runner *runner, uint32_t at, const char *text)
{
    CHECK(wasm_memory_write(runner->memory, wasm_addr_of(at), text, (uint32_t)strlen(text)));
    return strlen(text);
}

/* By key; the other arguments follow. */
#define CALL(runner, name, key, ...)                                                   \
    call_raw((runner), (name),                                                         \
             (const uint64_t[]){KEYS, put_text((runner), KEYS, (key)), ##__VA_ARGS__}, \
             sizeof((const uint64_t[]){0, 0, ##__VA_ARGS__}) / 8)

static int64_t write_bytes(struct runner *runner, const char *key, uint32_t offset,
                           const void *bytes, uint32_t len)
{
    CHECK(wasm_memory_write(runner->memory, wasm_addr_of(BUFFER), bytes, len));
    return CALL(runner, "state_write", key, offset, BUFFER, len);
}

static int64_t read_bytes(struct runner *runner, const char *key, uint32_t offset, void *bytes,
                          uint32_t len)
{
    int64_t got = CALL(runner, "state_read", key, offset, BUFFER, len);
    if (got > 0) {
        CHECK(wasm_memory_read(runner->memory, wasm_addr_of(BUFFER), bytes, (uint32_t)got));
    }
    return got;
}

/* What a mapping's holder does with a pointer. */
static uint8_t *mapped(struct runner *runner, uint32_t at, uint32_t len)
{
    uint8_t *window = NULL;
    CHECK(at != 0 && wasm_memory_window(runner->memory, wasm_addr_of(at), len, &window));
    return window;
}

static void global_put(const char *key, uint64_t bytes, uint64_t offset, const void *from,
                       uint64_t len)
{
    struct tier_key name = {wm_view_str("alice"), wm_view_str(key)};
    struct tier_range range = {offset, len, (uint8_t *)(uintptr_t)from};
    CHECK_INT(tier.ops->write(tier.self, name, bytes, &range, 1, 0, NULL), ==, 0);
}

static bool global_get(const char *key, uint64_t offset, void *to, uint64_t len)
{
    struct tier_key name = {wm_view_str("alice"), wm_view_str(key)};
    struct tier_range range = {offset, len, to};
    return tier.ops->read(tier.self, name, &range, 1, NULL) == 0;
}

/* --- One node --- */

TEST(a_value_is_written_read_pushed_and_shared)
{
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL), *other = node_new(NULL);
    struct runner a, b, c;
    char got[32] = {0};
    REQUIRE(node && other && runner_init(&a, node) && runner_init(&b, node) &&
            runner_init(&c, other));
    CHECK_INT(CALL(&a, "state_size", "k"), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_read", "k", 0, BUFFER, 1), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_push", "k", 0, 0), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_pull", "k", 0, 0), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_dirty", "k", 0, 1), ==, -WASI_NOENT);
    CHECK_INT(write_bytes(&a, "k", 3, "hello", 5), ==, 0);
    CHECK_INT(CALL(&a, "state_size", "k"), ==, 8);
    /* The node sees it at once, others after a push. */
    CHECK_INT(read_bytes(&b, "k", 0, got, sizeof got), ==, 8);
    CHECK(memcmp(got, "\0\0\0hello", 8) == 0);
    CHECK_INT(read_bytes(&b, "k", 5, got, 2), ==, 2);
    CHECK(memcmp(got, "ll", 2) == 0);
    CHECK_INT(read_bytes(&b, "k", 8, got, 5), ==, 0);
    CHECK_INT(read_bytes(&b, "k", 9, got, 5), ==, -WASI_INVAL);
    CHECK_INT(CALL(&c, "state_size", "k"), ==, -WASI_NOENT);
    CHECK_INT(CALL(&b, "state_push", "k", 0, 0), ==, 0);
    CHECK_INT(read_bytes(&c, "k", 0, got, sizeof got), ==, 8);
    CHECK(memcmp(got + 3, "hello", 5) == 0);
    CHECK_INT(b.usage.state_bytes_pushed, ==, 5);
    CHECK_INT(c.usage.state_bytes_pulled, ==, 8);
    /* Beyond the end, sizes, creation. */
    CHECK_INT(write_bytes(&a, "k", 8, "x", 1), ==, -WASI_INVAL);
    CHECK_INT(write_bytes(&a, "k", 7, "x", 1), ==, 0);
    CHECK_INT(CALL(&a, "state_create", "k", 8), ==, 0);
    CHECK_INT(CALL(&a, "state_create", "k", 9), ==, -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_create", "z", 0), ==, -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_create", "z", 0x80000001u), ==, -WASI_FBIG);
    CHECK_INT(CALL(&a, "state_write", "z", 0x80000000u, BUFFER, 1), ==, -WASI_FBIG);
    /* A new value is made global by its first push, written or not. */
    CHECK_INT(CALL(&a, "state_create", "new", 100), ==, 0);
    CHECK_INT(CALL(&c, "state_size", "new"), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_push", "new", 0, 0), ==, 0);
    CHECK_INT(CALL(&c, "state_size", "new"), ==, 100);
    /* Another tenant's key of the same name is another value. */
    state_session_end(c.guest.state);
    runner_begin_as(&c, "bob");
    CHECK_INT(CALL(&c, "state_size", "k"), ==, -WASI_NOENT);
    /* Delete: both copies. */
    CHECK_INT(CALL(&a, "state_delete", "k"), ==, 0);
    CHECK_INT(CALL(&b, "state_size", "k"), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_delete", "k"), ==, 0);
    CHECK_INT(CALL(&a, "state_create", "local", 10), ==, 0);
    CHECK_INT(CALL(&a, "state_delete", "local"), ==, 0);
    runner_fini(&a);
    runner_fini(&b);
    runner_fini(&c);
    local_tier_free(node);
    local_tier_free(other);
    end_world();
}

TEST(mappings_are_shared_pulled_lazily_and_made_once)
{
    static uint8_t content[10 * CHUNK];
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a, b;
    REQUIRE(node && runner_init(&a, node) && runner_init(&b, node));
    for (uint32_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i / 251 + i);
    }
    global_put("m", sizeof content, 0, content, sizeof content);
    uint64_t before = wasm_memory_bytes(a.memory);
    /* Two bytes across a chunk's end: two chunks are pulled, one page of 64 KiB is added. */
    uint32_t at = (uint32_t)CALL(&a, "state_map", "m", 2 * CHUNK - 1, 2, 0);
    uint8_t *here = mapped(&a, at, 2);
    CHECK_INT(at % 4096, ==, 4095);
    CHECK(memcmp(here, content + 2 * CHUNK - 1, 2) == 0);
    CHECK_INT(wasm_memory_bytes(a.memory), ==, before + 65536);
    CHECK_INT(a.usage.state_bytes_pulled, ==, 2 * CHUNK);
    CHECK_INT(tier_fake_stats(fake).reads, ==, 1);
    /* The same and what lies in it: no new mapping. Another kind of mapping is one. */
    CHECK_INT(CALL(&a, "state_map", "m", 2 * CHUNK - 1, 2, 0), ==, at);
    CHECK_INT(CALL(&a, "state_map", "m", 2 * CHUNK, 1, 0), ==, at + 1);
    CHECK_INT(wasm_memory_bytes(a.memory), ==, before + 65536);
    uint32_t read_only = (uint32_t)CALL(&a, "state_map", "m", 2 * CHUNK, 1, STATE_MAP_READ_ONLY);
    CHECK(read_only != at + 1);
    uint8_t *window;
    CHECK(!wasm_memory_window(a.memory, wasm_addr_of(read_only), 1, &window));
    /* As a buffer to read into it is refused. */
    CHECK_INT(CALL(&a, "state_read", "m", 0, read_only, 1), ==, -WASI_FAULT);
    CHECK_INT(a.usage.state_bytes_pulled, ==, 2 * CHUNK);
    /* Another Faaslet: the same bytes, nothing pulled. */
    uint32_t there = (uint32_t)CALL(&b, "state_map", "m", 2 * CHUNK, 10, 0);
    uint8_t *seen = mapped(&b, there, 10);
    seen[0] = 0xaa;
    CHECK_INT(here[1], ==, 0xaa);
    CHECK_INT(b.usage.state_bytes_pulled, ==, 0);
    /* Told to be dirty, it is pushed: that byte and no other. */
    CHECK_INT(CALL(&b, "state_dirty", "m", 2 * CHUNK, 1), ==, 0);
    CHECK_INT(CALL(&b, "state_push", "m", 0, 0), ==, 0);
    CHECK_INT(b.usage.state_bytes_pushed, ==, 1);
    uint8_t byte = 0;
    CHECK(global_get("m", 2 * CHUNK, &byte, 1) && byte == 0xaa);
    /* The whole: what is missing is pulled, once, in as few ranges as there are. */
    at = (uint32_t)CALL(&a, "state_map", "m", 0, 0, STATE_MAP_READ_ONLY);
    CHECK_INT(a.usage.state_bytes_pulled, ==, sizeof content);
    CHECK_INT(call_raw(&a, "state_map_error", NULL, 0), ==, 0);
    const uint8_t *all;
    CHECK(wasm_memory_view(a.memory, wasm_addr_of(at), sizeof content, &all));
    content[2 * CHUNK] = 0xaa;
    CHECK(memcmp(all, content, sizeof content) == 0);
    /* Errors have their number. */
    CHECK_INT(CALL(&a, "state_map", "m", 0, sizeof content + 1, 0), ==, 0);
    CHECK_INT(call_raw(&a, "state_map_error", NULL, 0), ==, -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_map", "m", sizeof content, 0, 0), ==, 0);
    CHECK_INT(call_raw(&a, "state_map_error", NULL, 0), ==, -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_map", "m", 0, 1, 4), ==, 0);
    CHECK_INT(CALL(&a, "state_map", "none", 0, 1, 0), ==, 0);
    CHECK_INT(call_raw(&a, "state_map_error", NULL, 0), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_map", "", 0, 1, 0), ==, 0);
    CHECK_INT(call_raw(&a, "state_map_error", NULL, 0), ==, -WASI_INVAL);
    /* The next call has none of it. */
    REQUIRE(runner_next(&a));
    CHECK_INT(wasm_memory_bytes(a.memory), ==, before);
    struct local_tier_stats stats;
    local_tier_stats(node, &stats);
    CHECK_INT(stats.bytes_pulled, ==, sizeof content);
    CHECK_INT(stats.bytes_pushed, ==, 1);
    CHECK_INT(stats.replicas, ==, 1);
    runner_fini(&a);
    runner_fini(&b);
    local_tier_free(node);
    end_world();
}

TEST(no_two_values_lie_in_one_page)
{
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a;
    REQUIRE(node && runner_init(&a, node));
    CHECK_INT(write_bytes(&a, "one", 0, "1111", 4), ==, 0);
    CHECK_INT(write_bytes(&a, "two", 0, "2222", 4), ==, 0);
    uint32_t at = (uint32_t)CALL(&a, "state_map", "one", 0, 0, 0);
    const uint8_t *page;
    REQUIRE(wasm_memory_view(a.memory, wasm_addr_of(at), 65536, &page));
    CHECK(memcmp(page, "1111", 4) == 0);
    for (uint32_t i = 4; i < 65536; i++) {
        REQUIRE(page[i] == 0);
    }
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

TEST(a_lazy_pull_leaves_what_was_written)
{
    static uint8_t content[2 * CHUNK + 100];
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a;
    uint8_t got[8];
    REQUIRE(node && runner_init(&a, node));
    memset(content, 'g', sizeof content);
    global_put("k", sizeof content, 0, content, sizeof content);
    /* Written before anything was pulled: nothing is pulled for it. */
    CHECK_INT(write_bytes(&a, "k", CHUNK + 10, "LL", 2), ==, 0);
    CHECK_INT(a.usage.state_bytes_pulled, ==, 0);
    CHECK_INT(read_bytes(&a, "k", CHUNK + 8, got, 6), ==, 6);
    CHECK(memcmp(got, "ggLLgg", 6) == 0);
    CHECK_INT(a.usage.state_bytes_pulled, ==, CHUNK);
    CHECK_INT(CALL(&a, "state_push", "k", CHUNK, 11), ==, 0);
    CHECK_INT(a.usage.state_bytes_pushed, ==, 1);
    /* An explicit pull takes the rest back. */
    CHECK_INT(CALL(&a, "state_pull", "k", CHUNK + 11, 1), ==, 0);
    CHECK_INT(read_bytes(&a, "k", CHUNK + 8, got, 6), ==, 6);
    CHECK(memcmp(got, "ggLggg", 6) == 0);
    CHECK_INT(CALL(&a, "state_push", "k", 0, 0), ==, 0);
    CHECK_INT(a.usage.state_bytes_pushed, ==, 1);
    /* A pull of all counts as pulled. */
    uint64_t before = tier_fake_stats(fake).reads;
    CHECK_INT(CALL(&a, "state_pull", "k", 0, 0), ==, 0);
    CHECK_INT(read_bytes(&a, "k", sizeof content - 2, got, 6), ==, 2);
    CHECK_INT(tier_fake_stats(fake).reads, ==, before + 1);
    CHECK_INT(CALL(&a, "state_pull", "k", 1, sizeof content), ==, -WASI_INVAL);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

/* Somebody fills a part through a mapping that was not pulled, while others read beside it. */
TEST(what_is_being_written_whole_is_not_undone)
{
    static uint8_t content[4 * CHUNK], got[CHUNK];
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a, b;
    REQUIRE(node && runner_init(&a, node) && runner_init(&b, node));
    memset(content, 'g', sizeof content);
    global_put("k", sizeof content, 0, content, sizeof content);
    uint32_t from = CHUNK / 2, len = 2 * CHUNK + CHUNK / 2;
    uint32_t at = (uint32_t)CALL(&a, "state_map", "k", from, len, STATE_MAP_NO_PULL);
    uint8_t *bytes = mapped(&a, at, len);
    REQUIRE(bytes);
    CHECK_INT(a.usage.state_bytes_pulled, ==, CHUNK); /* the one that it covers in part */
    memset(bytes, 'a', len);
    for (uint32_t chunk = 0; chunk < 4; chunk++) {
        CHECK_INT(read_bytes(&b, "k", chunk * CHUNK, got, CHUNK), ==, CHUNK);
        CHECK_INT(got[0], ==, chunk == 1 || chunk == 2 ? 'a' : 'g');
        CHECK_INT(got[CHUNK - 1], ==, chunk == 3 ? 'g' : 'a');
    }
    CHECK_INT(b.usage.state_bytes_pulled, ==, CHUNK);
    CHECK(bytes[0] == 'a' && memcmp(bytes, bytes + 1, len - 1) == 0);
    CHECK_INT(CALL(&a, "state_dirty", "k", from, len), ==, 0);
    CHECK_INT(CALL(&a, "state_push", "k", 0, 0), ==, 0);
    CHECK_INT(a.usage.state_bytes_pushed, ==, len);
    REQUIRE(global_get("k", 0, content, sizeof content));
    CHECK(content[from - 1] == 'g' && content[from] == 'a' && content[3 * CHUNK] == 'g');
    REQUIRE(runner_next(&a));
    CHECK_INT(read_bytes(&b, "k", CHUNK, got, CHUNK), ==, CHUNK);
    CHECK_INT(b.usage.state_bytes_pulled, ==, CHUNK); /* nothing again */
    /* One that ends without a word has written nothing, as far as anybody knows. */
    memset(content, 'g', sizeof content);
    global_put("dead", sizeof content, 0, content, sizeof content);
    at = (uint32_t)CALL(&a, "state_map", "dead", 0, 0, STATE_MAP_NO_PULL);
    uint8_t *dead = mapped(&a, at, sizeof content);
    REQUIRE(dead);
    memset(dead, 'x', sizeof content);
    CHECK_INT(a.usage.state_bytes_pulled, ==, 0);
    REQUIRE(runner_next(&a));
    for (uint32_t chunk = 0; chunk < 4; chunk++) {
        CHECK_INT(read_bytes(&b, "dead", chunk * CHUNK, got, CHUNK), ==, CHUNK);
        CHECK(got[0] == 'g' && memcmp(got, got + 1, CHUNK - 1) == 0);
    }
    /* Written whole by a copy: nothing is left to be pulled. */
    global_put("copy", sizeof content, 0, content, sizeof content);
    CHECK_INT(write_bytes(&a, "copy", CHUNK, content, CHUNK), ==, 0);
    CHECK_INT(read_bytes(&a, "copy", CHUNK, got, CHUNK), ==, CHUNK);
    CHECK_INT(a.usage.state_bytes_pulled, ==, 0);
    runner_fini(&a);
    runner_fini(&b);
    local_tier_free(node);
    end_world();
}

/* Two nodes write every other byte of the same value: with anything coarser than bytes one of them
 * would overwrite the other. More runs than one write may have. */
TEST(pushes_of_two_nodes_do_not_touch_each_other)
{
    enum { BYTES = 300000 };
    REQUIRE(begin_world());
    struct local_tier *nodes[2] = {node_new(NULL), node_new(NULL)};
    struct runner runners[2];
    static uint8_t all[BYTES];
    REQUIRE(nodes[0] && nodes[1] && runner_init(&runners[0], nodes[0]) &&
            runner_init(&runners[1], nodes[1]));
    global_put("k", BYTES, 0, all, BYTES);
    for (uint32_t n = 0; n < 2; n++) {
        uint32_t at = (uint32_t)CALL(&runners[n], "state_map", "k", 0, 0, 0);
        uint8_t *bytes = mapped(&runners[n], at, BYTES);
        REQUIRE(bytes);
        struct wm_view key = wm_view_str("k");
        for (uint32_t i = n; i < BYTES; i += 2) {
            bytes[i] = (uint8_t)(n + 1);
            REQUIRE(state_dirty(runners[n].guest.state, key, i, 1) == 0);
        }
    }
    for (uint32_t n = 0; n < 2; n++) {
        CHECK_INT(CALL(&runners[n], "state_push", "k", 0, 0), ==, 0);
        CHECK_INT(runners[n].usage.state_bytes_pushed, ==, BYTES / 2);
    }
    REQUIRE(global_get("k", 0, all, BYTES));
    for (uint32_t i = 0; i < BYTES; i++) {
        REQUIRE(all[i] == i % 2 + 1);
    }
    for (uint32_t n = 0; n < 2; n++) {
        runner_fini(&runners[n]);
        local_tier_free(nodes[n]);
    }
    end_world();
}

TEST(a_masked_push_moves_what_the_mask_names)
{
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a;
    enum { BYTES = 4 * CHUNK + 7 };
    static uint8_t all[BYTES];
    REQUIRE(node && runner_init(&a, node));
    CHECK_INT(CALL(&a, "state_create", "w", BYTES), ==, 0);
    CHECK_INT(CALL(&a, "state_create", "mask", BYTES), ==, 0);
    CHECK_INT(CALL(&a, "state_create", "short", BYTES - 1), ==, 0);
    uint8_t *value = mapped(&a, (uint32_t)CALL(&a, "state_map", "w", 0, 0, 0), BYTES);
    uint8_t *mask = mapped(&a, (uint32_t)CALL(&a, "state_map", "mask", 0, 0, 0), BYTES);
    REQUIRE(value && mask);
    memset(value, 'v', BYTES);
    uint64_t len = put_text(&a, 100, "mask");
    CHECK_INT(CALL(&a, "state_push_masked", "w", 100, len, 2), ==, -WASI_INVAL);
    mask[9] = 1;         /* unit [8, 12) */
    mask[12] = 1;        /* and [12, 16): one run with it */
    mask[CHUNK * 3] = 1; /* far away */
    mask[BYTES - 1] = 1; /* the last 3 bytes are no unit: this one alone */
    uint64_t ranges = tier_fake_ranges_written(fake);
    CHECK_INT(CALL(&a, "state_push_masked", "w", 100, len, 0), ==, 0);
    CHECK_INT(tier_fake_ranges_written(fake), ==, ranges + 3);
    CHECK_INT(a.usage.state_bytes_pushed, ==, 4 + 4 + 4 + 1);
    REQUIRE(global_get("w", 0, all, BYTES));
    for (uint32_t i = 0; i < BYTES; i++) {
        bool sent = (i >= 8 && i < 16) || (i >= CHUNK * 3 && i < CHUNK * 3 + 4) || i == BYTES - 1;
        REQUIRE(all[i] == (sent ? 'v' : 0));
        REQUIRE(mask[i] == 0);
    }
    mask[20] = mask[22] = 0x80;
    CHECK_INT(CALL(&a, "state_push_masked", "w", 100, len, STATE_MASK_BYTES), ==, 0);
    CHECK_INT(a.usage.state_bytes_pushed, ==, 13 + 2);
    /* A push that fails leaves the mask set. */
    mask[40] = 1;
    tier_fake_fail(fake, 1, -EHOSTUNREACH);
    CHECK_INT(CALL(&a, "state_push_masked", "w", 100, len, 0), ==, -WASI_IO);
    CHECK(mask[40] && mask[43] && !mask[39] && !mask[44]);
    CHECK_INT(CALL(&a, "state_push_masked", "w", 100, len, 0), ==, 0);
    CHECK(global_get("w", 40, all, 4) && memcmp(all, "vvvv", 4) == 0 && !mask[40]);
    /* Of another size, itself, absent. */
    CHECK_INT(CALL(&a, "state_push_masked", "w", 100, put_text(&a, 100, "short"), 0), ==,
              -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_push_masked", "w", 100, put_text(&a, 100, "w"), 0), ==, -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_push_masked", "w", 100, put_text(&a, 100, "no"), 0), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_push_masked", "w", 100, 0, 0), ==, -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_push_masked", "w", UINT32_MAX, 4, 0), ==, -WASI_FAULT);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

TEST(lists_and_counters)
{
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a;
    int64_t now = 0;
    char got[16] = {0};
    REQUIRE(node && runner_init(&a, node));
    CHECK_INT(CALL(&a, "state_appended_count", "l"), ==, 0);
    put_text(&a, BUFFER, "firstsecond");
    CHECK_INT(CALL(&a, "state_append", "l", BUFFER, 5), ==, 0);
    CHECK_INT(CALL(&a, "state_append", "l", BUFFER + 5, 6), ==, 1);
    CHECK_INT(CALL(&a, "state_append", "l", BUFFER, 0), ==, 2);
    CHECK_INT(CALL(&a, "state_append", "l", 0, TIER_ELEMENT_BYTES_MAX + 1), ==, -WASI_FAULT);
    CHECK_INT(CALL(&a, "state_appended_count", "l"), ==, 3);
    CHECK_INT(CALL(&a, "state_appended", "l", 1, BUFFER + 100, 3), ==, 6);
    CHECK(wasm_memory_read(a.memory, wasm_addr_of(BUFFER + 100), got, 4));
    CHECK(memcmp(got, "sec\0", 4) == 0);
    CHECK_INT(CALL(&a, "state_appended", "l", 2, BUFFER, 3), ==, 0);
    CHECK_INT(CALL(&a, "state_appended", "l", 3, BUFFER, 3), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_appended", "l", UINT64_MAX, BUFFER, 3), ==, -WASI_NOENT);
    CHECK_INT(CALL(&a, "state_clear_appended", "l"), ==, 0);
    CHECK_INT(CALL(&a, "state_appended_count", "l"), ==, 0);
    CHECK_INT(CALL(&a, "state_add", "c", 40, BUFFER), ==, 0);
    CHECK_INT(CALL(&a, "state_add", "c", (uint64_t)-42, BUFFER), ==, 0);
    CHECK(wasm_memory_read(a.memory, wasm_addr_of(BUFFER), &now, sizeof now));
    CHECK_INT(now, ==, -2);
    /* A result that cannot be told is found out before anything is added. */
    CHECK_INT(CALL(&a, "state_add", "c", 1, PAGES * 65536 - 7), ==, -WASI_FAULT);
    CHECK_INT(CALL(&a, "state_add", "c", 0, PAGES * 65536 - 8), ==, 0);
    CHECK(wasm_memory_read(a.memory, wasm_addr_of(PAGES * 65536 - 8), &now, sizeof now));
    CHECK_INT(now, ==, -2);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

/* --- Locks --- */

TEST(local_locks_belong_to_calls)
{
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a, b;
    REQUIRE(node && runner_init(&a, node) && runner_init(&b, node));
    CHECK_INT(CALL(&a, "state_unlock", "k"), ==, -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_lock", "k", 2, 0), ==, -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_lock", "k", STATE_LOCK_READ, 0), ==, 0);
    CHECK_INT(CALL(&a, "state_lock", "k", STATE_LOCK_READ, 0), ==, -WASI_DEADLK);
    CHECK_INT(CALL(&a, "state_lock", "k", STATE_LOCK_WRITE, 0), ==, -WASI_DEADLK);
    CHECK_INT(CALL(&b, "state_lock", "k", STATE_LOCK_READ, 0), ==, 0);
    CHECK_INT(CALL(&b, "state_unlock", "k"), ==, 0);
    CHECK_INT(CALL(&b, "state_lock", "k", STATE_LOCK_WRITE, 0), ==, -WASI_TIMEDOUT);
    int64_t begin = pause_clock_ns();
    CHECK_INT(CALL(&b, "state_lock", "k", STATE_LOCK_WRITE, 30), ==, -WASI_TIMEDOUT);
    CHECK_INT(pause_clock_ns() - begin, >=, 30000000);
    /* The end of the call, whatever it was, is the end of the lock. */
    REQUIRE(runner_next(&a));
    CHECK_INT(CALL(&b, "state_lock", "k", STATE_LOCK_WRITE, 0), ==, 0);
    CHECK_INT(CALL(&a, "state_lock", "k", STATE_LOCK_READ, 0), ==, -WASI_TIMEDOUT);
    CHECK_INT(CALL(&b, "state_unlock", "k"), ==, 0);
    CHECK_INT(CALL(&a, "state_lock", "k", STATE_LOCK_WRITE, 0), ==, 0);
    CHECK_INT(CALL(&a, "state_unlock", "k"), ==, 0);
    /* So many, and no more. */
    char key[16];
    for (uint32_t i = 0; i < STATE_LOCKS_MAX; i++) {
        snprintf(key, sizeof key, "k%u", i);
        CHECK_INT(CALL(&a, "state_lock", key, STATE_LOCK_WRITE, 0), ==, 0);
    }
    CHECK_INT(CALL(&a, "state_lock", "more", STATE_LOCK_WRITE, 0), ==, -WASI_DQUOT);
    CHECK_INT(CALL(&a, "state_unlock", "k7"), ==, 0);
    CHECK_INT(CALL(&a, "state_lock", "more", STATE_LOCK_WRITE, 0), ==, 0);
    runner_fini(&a);
    runner_fini(&b);
    local_tier_free(node);
    end_world();
}

static bool stop_flag(void *self)
{
    return atomic_load((atomic_bool *)self);
}

static void *raise_flag(void *self)
{
    usleep(20000);
    atomic_store((atomic_bool *)self, true);
    return NULL;
}

TEST(a_call_that_is_to_end_stops_waiting)
{
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a, b;
    REQUIRE(node && runner_init(&a, node) && runner_init(&b, node));
    CHECK_INT(CALL(&a, "state_lock", "k", STATE_LOCK_WRITE, 0), ==, 0);
    CHECK(CALL(&a, "state_lock_global", "k", STATE_LOCK_WRITE, 0) > 0);
    for (int kind = 0; kind < 2; kind++) {
        atomic_bool stop = false;
        pthread_t thread;
        state_session_end(b.guest.state);
        state_session_begin(b.guest.state, &tier, wm_view_str("alice"), NULL, stop_flag, &stop);
        REQUIRE(pthread_create(&thread, NULL, raise_flag, &stop) == 0);
        int64_t begin = pause_clock_ns();
        const char *name = kind == 0 ? "state_lock" : "state_lock_global";
        CHECK_INT(CALL(&b, name, "k", STATE_LOCK_WRITE, UINT32_MAX), ==, -WASI_INTR);
        CHECK_INT(pause_clock_ns() - begin, <, 5000000000);
        pthread_join(thread, NULL);
    }
    runner_fini(&a);
    runner_fini(&b);
    local_tier_free(node);
    end_world();
}

TEST(global_locks_fence_and_are_renewed)
{
    REQUIRE(begin_world());
    struct local_tier_config config = {.renewals = &tier, .lock_ttl_ms = 150};
    struct local_tier *node = node_new(&config), *other = node_new(NULL);
    struct runner a, b;
    REQUIRE(node && other && runner_init(&a, node) && runner_init(&b, other));
    CHECK_INT(CALL(&a, "state_unlock_global", "k"), ==, -WASI_INVAL);
    int64_t first = CALL(&a, "state_lock_global", "k", STATE_LOCK_WRITE, 0);
    CHECK_INT(first, >, 0);
    CHECK_INT(CALL(&a, "state_lock_global", "k", STATE_LOCK_READ, 0), ==, -WASI_DEADLK);
    CHECK_INT(CALL(&b, "state_lock_global", "k", STATE_LOCK_READ, 20), ==, -WASI_TIMEDOUT);
    CHECK_INT(write_bytes(&a, "k", 0, "abc", 3), ==, 0);
    /* Held for longer than its time: the thread renews it. */
    usleep(400000);
    CHECK_INT(tier_fake_renewals(fake), >=, 2);
    CHECK_INT(CALL(&a, "state_push", "k", 0, 0), ==, 0);
    CHECK_INT(CALL(&b, "state_lock_global", "k", STATE_LOCK_READ, 0), ==, -WASI_TIMEDOUT);
    CHECK_INT(CALL(&a, "state_unlock_global", "k"), ==, 0);
    int64_t second = CALL(&b, "state_lock_global", "k", STATE_LOCK_READ, 0);
    CHECK_INT(second, >, first);
    CHECK_INT(CALL(&b, "state_unlock_global", "k"), ==, 0);
    /* Lost behind our back: the tier refuses the push, and from then on we know. */
    CHECK(CALL(&a, "state_lock_global", "k", STATE_LOCK_WRITE, 0) > second);
    CHECK_INT(write_bytes(&a, "k", 0, "xyz", 3), ==, 0);
    tier_fake_drop_locks(fake);
    CHECK(CALL(&b, "state_lock_global", "k", STATE_LOCK_WRITE, 0) > 0);
    CHECK_INT(CALL(&a, "state_push", "k", 0, 0), ==, -WASI_STALE);
    CHECK_INT(CALL(&a, "state_push", "k", 0, 0), ==, -WASI_STALE);
    char got[3];
    CHECK(global_get("k", 0, got, 3) && memcmp(got, "abc", 3) == 0);
    CHECK_INT(CALL(&a, "state_unlock_global", "k"), ==, -WASI_STALE);
    CHECK_INT(CALL(&a, "state_unlock_global", "k"), ==, -WASI_INVAL);
    CHECK_INT(CALL(&b, "state_unlock_global", "k"), ==, 0);
    /* Renewal that fails until the end: lost by our own clock, also without asking. */
    CHECK(CALL(&a, "state_lock_global", "k", STATE_LOCK_READ, 0) > 0);
    tier_fake_refuse_renewals(fake, NULL, -EHOSTUNREACH);
    usleep(300000);
    uint64_t writes = tier_fake_stats(fake).writes;
    CHECK_INT(CALL(&a, "state_push", "k", 0, 0), ==, -WASI_STALE);
    CHECK_INT(tier_fake_stats(fake).writes, ==, writes);
    struct local_tier_stats stats;
    local_tier_stats(node, &stats);
    CHECK_INT(stats.locks_lost, >=, 2);
    tier_fake_refuse_renewals(fake, NULL, 0);
    /* The end of a call gives its locks back. */
    REQUIRE(runner_next(&a));
    CHECK(CALL(&a, "state_lock_global", "k", STATE_LOCK_WRITE, 0) > 0);
    REQUIRE(runner_next(&a));
    CHECK(CALL(&b, "state_lock_global", "k", STATE_LOCK_WRITE, 0) > 0);
    runner_fini(&a);
    runner_fini(&b);
    local_tier_free(node);
    local_tier_free(other);
    end_world();
}

TEST(a_lock_that_cannot_be_renewed_costs_no_other)
{
    REQUIRE(begin_world());
    struct local_tier_config config = {.renewals = &tier, .lock_ttl_ms = 400};
    struct local_tier *node = node_new(&config);
    struct runner a;
    REQUIRE(node && runner_init(&a, node));
    /* Both end at about the same time, the one that fails first. */
    tier_fake_refuse_renewals(fake, "gone", -EHOSTUNREACH);
    CHECK(CALL(&a, "state_lock_global", "gone", STATE_LOCK_WRITE, 0) > 0);
    CHECK(CALL(&a, "state_lock_global", "kept", STATE_LOCK_WRITE, 0) > 0);
    usleep(1000000);
    CHECK_INT(CALL(&a, "state_unlock_global", "gone"), ==, -WASI_STALE);
    CHECK_INT(CALL(&a, "state_unlock_global", "kept"), ==, 0);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

TEST(an_unlock_that_fails_after_the_locks_end_says_so)
{
    REQUIRE(begin_world());
    struct local_tier_config config = {.lock_ttl_ms = 150};
    struct local_tier *node = node_new(&config);
    struct runner a;
    REQUIRE(node && runner_init(&a, node));
    CHECK(CALL(&a, "state_lock_global", "k", STATE_LOCK_WRITE, 0) > 0);
    tier_fake_fail(fake, 1, -EHOSTUNREACH);
    CHECK_INT(CALL(&a, "state_unlock_global", "k"), ==, -WASI_IO);
    tier_fake_drop_locks(fake);
    CHECK(CALL(&a, "state_lock_global", "k", STATE_LOCK_WRITE, 0) > 0);
    tier_fake_fail(fake, 1, -EHOSTUNREACH);
    tier_fake_delay(fake, 200000);
    CHECK_INT(CALL(&a, "state_unlock_global", "k"), ==, -WASI_STALE);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

TEST(locks_are_given_back_while_they_are_renewed)
{
    REQUIRE(begin_world());
    struct local_tier_config config = {.renewals = &tier, .lock_ttl_ms = 60};
    struct local_tier *node = node_new(&config);
    struct runner a;
    char key[8];
    REQUIRE(node && runner_init(&a, node));
    tier_fake_delay(fake, 2000); /* a renewal lasts about as long as a lock is held */
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%u", i % 3);
        CHECK(CALL(&a, "state_lock_global", key, STATE_LOCK_WRITE, 1000) > 0);
        usleep(18000 + i % 8 * 500);
        /* On a busy machine it may be lost; then it is said. */
        int64_t rc = CALL(&a, "state_unlock_global", key);
        CHECK(rc == 0 || rc == -WASI_STALE);
    }
    CHECK_INT(tier_fake_renewals(fake), >, 0);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

/* --- Limits --- */

TEST(quotas_and_eviction)
{
    REQUIRE(begin_world());
    struct local_tier_config config = {
        .bytes_max = 8 * CHUNK, .tenant_bytes_max = 4 * CHUNK, .keys_max = 6};
    struct local_tier *node = node_new(&config);
    struct local_tier_stats stats;
    struct runner a, b;
    REQUIRE(node && runner_init(&a, node) && runner_init(&b, node));
    /* Not pushed: never dropped, so the fifth does not fit. */
    CHECK_INT(write_bytes(&a, "k0", 0, "0", 1), ==, 0);
    CHECK_INT(CALL(&a, "state_create", "k1", 3 * CHUNK + 1), ==, -WASI_DQUOT);
    CHECK_INT(CALL(&a, "state_create", "k1", 3 * CHUNK), ==, 0);
    CHECK_INT(write_bytes(&a, "k2", 0, "2", 1), ==, -WASI_DQUOT);
    CHECK(strstr(state_session_error(a.guest.state), "tenant's limit"));
    /* Another tenant has a quota of its own. */
    state_session_end(b.guest.state);
    runner_begin_as(&b, "bob");
    CHECK_INT(CALL(&b, "state_create", "k1", 3 * CHUNK), ==, 0);
    /* Pushed, but mapped: not dropped either. */
    CHECK_INT(CALL(&a, "state_push", "k1", 0, 0), ==, 0);
    CHECK(CALL(&a, "state_map", "k1", 0, 1, 0) != 0);
    CHECK_INT(write_bytes(&a, "k2", 0, "2", 1), ==, -WASI_DQUOT);
    REQUIRE(runner_next(&a));
    CHECK_INT(write_bytes(&a, "k2", 0, "2", 1), ==, 0);
    local_tier_stats(node, &stats);
    CHECK_INT(stats.evictions, ==, 1);
    char got[2];
    CHECK_INT(read_bytes(&a, "k0", 0, got, 2), ==, 1); /* still there, and dirty */
    CHECK_INT(got[0], ==, '0');
    /* Keys: those with replicas that are not pushed stay, too. k0, k2 and bob's k1 are. */
    char key[8];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "n%d", i);
        CHECK_INT(CALL(&a, "state_size", key), ==, -WASI_NOENT);
    }
    local_tier_stats(node, &stats);
    CHECK_INT(stats.keys, ==, 3);
    CHECK_INT(stats.replica_bytes, ==, 5 * CHUNK);
    /* A deleted value counts as long as it is mapped. */
    CHECK(CALL(&b, "state_map", "k1", 0, 1, 0) != 0);
    CHECK_INT(CALL(&b, "state_delete", "k1"), ==, 0);
    CHECK_INT(CALL(&b, "state_create", "k1", 3 * CHUNK), ==, -WASI_DQUOT);
    state_session_end(b.guest.state);
    runner_begin_as(&b, "bob");
    CHECK_INT(CALL(&b, "state_create", "k1", 3 * CHUNK), ==, 0);
    runner_fini(&a);
    runner_fini(&b);
    local_tier_free(node);
    end_world();
}

/* Another process that maps the replicas: it must never know an address that is no replica. */
struct sharer {
    pthread_mutex_t mutex;
    uint32_t count, made, errors, interrupts;
    bool refuse;
    struct {
        uint32_t id;
        const uint8_t *base;
        uint64_t bytes;
    } shares[64];
};

static int sharer_share(void *self, struct tier *through, uint32_t id, int memfd, const void *base,
                        uint64_t bytes)
{
    struct sharer *sharer = self;
    struct stat st;
    const uint8_t *at = base;
    pthread_mutex_lock(&sharer->mutex);
    sharer->errors +=
        !through || id == 0 || fstat(memfd, &st) != 0 || (uint64_t)st.st_size != bytes;
    for (uint32_t i = 0; i < sharer->count; i++) {
        sharer->errors +=
            sharer->shares[i].id == id || (at < sharer->shares[i].base + sharer->shares[i].bytes &&
                                           sharer->shares[i].base < at + bytes);
    }
    if (!sharer->refuse && sharer->count < WM_COUNT_OF(sharer->shares)) {
        sharer->shares[sharer->count].id = id;
        sharer->shares[sharer->count].base = at;
        sharer->shares[sharer->count++].bytes = bytes;
        sharer->made++;
    }
    pthread_mutex_unlock(&sharer->mutex);
    return sharer->refuse ? WM_E_LIMIT : 0;
}

static int sharer_unshare(void *self, struct tier *through, uint32_t id)
{
    struct sharer *sharer = self;
    int rc = WM_E_NOT_FOUND;
    pthread_mutex_lock(&sharer->mutex);
    if (sharer->interrupts > 0) {
        sharer->interrupts--;
        rc = -EINTR;
    }
    for (uint32_t i = 0; rc != -EINTR && i < sharer->count; i++) {
        if (sharer->shares[i].id == id) {
            volatile const uint8_t *base = sharer->shares[i].base;
            (void)base[sharer->shares[i].bytes - 1]; /* still there, or this is the end */
            sharer->shares[i] = sharer->shares[--sharer->count];
            rc = 0;
            break;
        }
    }
    sharer->errors += !through || rc == WM_E_NOT_FOUND;
    pthread_mutex_unlock(&sharer->mutex);
    return rc;
}

TEST(shared_regions_are_told_before_their_memory_goes)
{
    REQUIRE(begin_world());
    static struct sharer sharer;
    sharer = (struct sharer){.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct local_tier_sharing sharing = {&sharer, sharer_share, sharer_unshare};
    struct local_tier_config config = {.bytes_max = 4 * CHUNK, .sharing = &sharing};
    struct local_tier *node = node_new(&config);
    struct local_tier_stats stats;
    struct runner a;
    char key[8];
    REQUIRE(node && runner_init(&a, node));
    /* Each evicts an older one. */
    for (uint32_t i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%u", i);
        CHECK_INT(write_bytes(&a, key, 0, "x", 1), ==, 0);
        CHECK_INT(CALL(&a, "state_push", key, 0, 0), ==, 0);
        CHECK_INT(sharer.count, <=, 4);
    }
    CHECK_INT(sharer.made, ==, 200);
    local_tier_stats(node, &stats);
    CHECK_INT(stats.replicas, ==, 4);
    /* Deleted, but mapped: told when the call ends. */
    CHECK(CALL(&a, "state_map", "k199", 0, 0, 0) != 0);
    CHECK_INT(CALL(&a, "state_delete", "k199"), ==, 0);
    CHECK_INT(sharer.count, ==, 4);
    REQUIRE(runner_next(&a));
    CHECK_INT(sharer.count, ==, 3);
    /* Interrupted: told later, and its bytes count until then. */
    sharer.interrupts = 1;
    CHECK_INT(CALL(&a, "state_delete", "k198"), ==, 0);
    local_tier_stats(node, &stats);
    CHECK_INT(sharer.count, ==, 3);
    CHECK_INT(stats.replica_bytes, ==, 3 * CHUNK);
    CHECK_INT(CALL(&a, "state_size", "k198"), ==, -WASI_NOENT);
    CHECK_INT(sharer.count, ==, 2);
    /* Refused: works all the same. */
    sharer.refuse = true;
    CHECK_INT(write_bytes(&a, "alone", 0, "x", 1), ==, 0);
    CHECK_INT(CALL(&a, "state_push", "alone", 0, 0), ==, 0);
    CHECK_INT(CALL(&a, "state_delete", "alone"), ==, 0);
    CHECK_INT(sharer.errors, ==, 0);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

TEST(mapping_without_end_is_an_error)
{
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a;
    int64_t at = 0;
    uint32_t made = 0;
    REQUIRE(node && runner_init(&a, node));
    CHECK_INT(CALL(&a, "state_create", "k", 2000 * 4096), ==, 0);
    for (uint32_t i = 0; i < 2000; i++, made++) {
        at = CALL(&a, "state_map", "k", i * 4096, 1, i % 2 ? STATE_MAP_READ_ONLY : 0);
        if (at == 0) {
            break;
        }
    }
    CHECK_INT(made, ==, 129); /* alternating, so each read-only one is a span of its own: 64 */
    CHECK_INT(call_raw(&a, "state_map_error", NULL, 0), ==, -WASI_DQUOT);
    REQUIRE(runner_next(&a));
    for (made = 0; made < 2000; made++) {
        if (CALL(&a, "state_map", "k", made * 4096, 1, STATE_MAP_READ_ONLY) == 0) {
            break;
        }
    }
    CHECK_INT(made, ==, STATE_MAPPINGS_MAX);
    REQUIRE(runner_next(&a));
    /* A memory that is full. */
    struct wasm_memory *memory = a.memory;
    CHECK(wasm_memory_grow(memory, 65536 - PAGES) != UINT32_MAX);
    CHECK_INT(CALL(&a, "state_map", "k", 0, 1, 0), ==, 0);
    CHECK_INT(call_raw(&a, "state_map_error", NULL, 0), ==, -WASI_DQUOT);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

TEST(two_gigabytes_are_a_value)
{
    REQUIRE(begin_world());
    struct local_tier_config config = {.bytes_max = UINT64_C(5) << 30};
    struct local_tier *node = node_new(&config);
    struct runner a;
    REQUIRE(node && runner_init(&a, node));
    CHECK_INT(CALL(&a, "state_create", "big", 0x80000000u), ==, 0);
    CHECK_INT(CALL(&a, "state_create", "mask", 0x80000000u), ==, 0);
    CHECK_INT(CALL(&a, "state_create", "third", 0x80000000u), ==, -WASI_DQUOT);
    CHECK_INT(CALL(&a, "state_size", "big"), ==, INT64_C(0x80000000));
    uint32_t at = (uint32_t)CALL(&a, "state_map", "big", 0, 0, 0);
    uint8_t *last = mapped(&a, at + 0x7fffffffu, 1);
    REQUIRE(last);
    *last = 'z';
    CHECK_INT(CALL(&a, "state_dirty", "big", 0x7fffffffu, 1), ==, 0);
    CHECK_INT(CALL(&a, "state_dirty", "big", 0x7fffffffu, 2), ==, -WASI_INVAL);
    CHECK_INT(CALL(&a, "state_dirty", "big", UINT32_MAX, UINT32_MAX), ==, -WASI_INVAL);
    char got[4];
    CHECK_INT(read_bytes(&a, "big", 0x7ffffffeu, got, 4), ==, 2);
    CHECK(got[0] == 0 && got[1] == 'z');
    CHECK_INT(CALL(&a, "state_read", "big", 0, BUFFER, 0x80000000u), ==, -WASI_INVAL);
    /* A mask of which one word was touched is looked through without making the rest of it. */
    at = (uint32_t)CALL(&a, "state_map", "mask", 0x7ffffff0u, 4, 0);
    mapped(&a, at, 4)[1] = 1;
    struct stat before, after;
    struct replica *replica = NULL;
    struct local_key *key;
    struct tier_key name = {wm_view_str("alice"), wm_view_str("mask")};
    REQUIRE(local_tier_take(node, name, &key, NULL) == 0 && (replica = local_key_peek(key)));
    int fd = wasm_region_fd(replica_region(replica));
    CHECK(fstat(fd, &before) == 0);
    CHECK_INT(CALL(&a, "state_push_masked", "big", 100, put_text(&a, 100, "mask"), 0), ==, 0);
    CHECK_INT(a.usage.state_bytes_pushed, ==, 4);
    CHECK(fstat(fd, &after) == 0 && after.st_blocks == before.st_blocks);
    replica_put(replica);
    local_tier_put(key);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

/* --- Hostile --- */

TEST(every_pointer_at_every_edge)
{
    static const uint32_t edges[] = {
        0,          1,          BUFFER,         PAGES * 65536 - 1, PAGES * 65536, PAGES * 65536 + 1,
        0x7fffffff, 0x80000000, UINT32_MAX - 1, UINT32_MAX};
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a;
    REQUIRE(node && runner_init(&a, node));
    uint64_t rounds = 0, refused = 0;
    for (size_t f = 0; f < faaslet_state_funcs.count; f++) {
        const struct wasm_host_func *func = &faaslet_state_funcs.funcs[f];
        size_t count = strcspn(func->signature, ":");
        /* Each pair of arguments takes each pair of edges, the others are drawn. */
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < count; k++) {
                for (uint32_t e = 0; e < WM_COUNT_OF(edges) * WM_COUNT_OF(edges); e++) {
                    uint64_t args[8];
                    for (size_t x = 0; x < count; x++) {
                        args[x] = x == 1 ? 3 : (rounds * 7919 + x) % 300;
                    }
                    args[i] = edges[e % WM_COUNT_OF(edges)];
                    args[k] = edges[e / WM_COUNT_OF(edges)];
                    if (strstr(func->name, "lock")) {
                        args[3] = 0; /* no waiting */
                    }
                    int64_t rc = call_raw(&a, func->name, args, count);
                    REQUIRE(rc > INT32_MIN);
                    rounds++;
                    refused += rc < 0;
                }
            }
            REQUIRE(runner_next(&a));
        }
    }
    wm_test_note("%llu calls, %llu refused", (unsigned long long)rounds,
                 (unsigned long long)refused);
    CHECK_INT(refused, >, rounds / 4);
    /* Without a global tier there is no state. */
    struct state_session *session = a.guest.state;
    a.guest.state = NULL;
    CHECK_INT(CALL(&a, "state_size", "k"), ==, -WASI_NOSYS);
    CHECK_INT(CALL(&a, "state_map", "k", 0, 0, 0), ==, 0);
    CHECK_INT(call_raw(&a, "state_map_error", NULL, 0), ==, -WASI_NOSYS);
    a.guest.state = session;
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

TEST(keys_are_any_bytes)
{
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a;
    uint8_t key[257];
    REQUIRE(node && runner_init(&a, node));
    memset(key, 0xff, sizeof key);
    key[0] = 0;
    CHECK(wasm_memory_write(a.memory, wasm_addr_of(KEYS), key, sizeof key));
    CHECK_INT(call_raw(&a, "state_create", (const uint64_t[]){KEYS, 256, 5}, 3), ==, 0);
    CHECK_INT(call_raw(&a, "state_create", (const uint64_t[]){KEYS, 255, 6}, 3), ==, 0);
    CHECK_INT(call_raw(&a, "state_create", (const uint64_t[]){KEYS, 257, 6}, 3), ==, -WASI_INVAL);
    CHECK_INT(call_raw(&a, "state_create", (const uint64_t[]){KEYS, 1, 7}, 3), ==, 0);
    CHECK_INT(call_raw(&a, "state_size", (const uint64_t[]){KEYS, 256}, 2), ==, 5);
    CHECK_INT(call_raw(&a, "state_size", (const uint64_t[]){KEYS, 255}, 2), ==, 6);
    CHECK_INT(call_raw(&a, "state_size", (const uint64_t[]){KEYS, 1}, 2), ==, 7);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

/* The key lies in a shared mapping, where another Faaslet changes it all the time. */
struct flipper {
    uint8_t *at;
    atomic_bool stop;
};

static void *flip(void *self)
{
    struct flipper *flipper = self;
    for (uint8_t i = 0; !atomic_load_explicit(&flipper->stop, memory_order_relaxed); i++) {
        __atomic_store_n(&flipper->at[i % 4], (uint8_t)('a' + i % 3), __ATOMIC_RELAXED);
    }
    return NULL;
}

TEST(a_key_that_changes_while_it_is_read_is_one_key)
{
    REQUIRE(begin_world());
    struct local_tier_config config = {.keys_max = 100};
    struct local_tier *node = node_new(&config);
    struct runner a, b;
    struct flipper flipper = {0};
    pthread_t thread;
    REQUIRE(node && runner_init(&a, node) && runner_init(&b, node));
    CHECK_INT(CALL(&a, "state_create", "shared", 4), ==, 0);
    uint32_t at = (uint32_t)CALL(&a, "state_map", "shared", 0, 4, 0);
    uint32_t there = (uint32_t)CALL(&b, "state_map", "shared", 0, 4, 0);
    flipper.at = mapped(&b, there, 4);
    REQUIRE(flipper.at);
    memcpy(flipper.at, "aaaa", 4);
    REQUIRE(pthread_create(&thread, NULL, flip, &flipper) == 0);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        /* Sizes tell the keys apart: none may be made under one name and found under another. */
        int64_t rc = call_raw(&a, "state_create", (const uint64_t[]){at, 4, 8}, 3);
        wrong += rc != 0;
        rc = call_raw(&a, "state_lock", (const uint64_t[]){at, 4, i & 1, 0}, 4);
        wrong += rc != 0 && rc != -WASI_DEADLK && rc != -WASI_DQUOT;
        rc = call_raw(&a, "state_unlock", (const uint64_t[]){at, 4}, 2);
        wrong += rc != 0 && rc != -WASI_INVAL;
    }
    atomic_store(&flipper.stop, true);
    pthread_join(thread, NULL);
    CHECK_INT(wrong, ==, 0);
    runner_fini(&a);
    runner_fini(&b);
    struct local_tier_stats stats;
    local_tier_stats(node, &stats);
    CHECK_INT(stats.keys, <=, 1 + 81);
    local_tier_free(node);
    end_world();
}

/* --- Failures --- */

/* A bit of everything; stops at the first error. */
static int64_t scenario(struct runner *a, struct runner *b)
{
    int64_t rc;
    char got[8];
    uint64_t mask_len = 4;
#define STEP(call)               \
    do {                         \
        if ((rc = (call)) < 0) { \
            return rc;           \
        }                        \
    } while (0)
    STEP(write_bytes(a, "s", CHUNK - 2, "abcd", 4));
    STEP(CALL(a, "state_push", "s", CHUNK, 0));
    STEP(CALL(a, "state_push", "s", 0, 0));
    STEP(CALL(b, "state_size", "s"));
    STEP(write_bytes(b, "s", 0, "zz", 2));
    STEP(read_bytes(b, "s", CHUNK - 2, got, 4));
    if (memcmp(got, "abcd", 4) != 0) {
        return -1000;
    }
    int64_t at = CALL(b, "state_map", "s", 100, 10, 0);
    if (at == 0) {
        return call_raw(b, "state_map_error", NULL, 0);
    }
    STEP(CALL(b, "state_dirty", "s", 100, 10));
    STEP(CALL(b, "state_lock_global", "s", STATE_LOCK_WRITE, 10));
    STEP(CALL(b, "state_lock", "s", STATE_LOCK_READ, 10));
    STEP(CALL(b, "state_push", "s", 0, 0));
    STEP(CALL(b, "state_unlock_global", "s"));
    STEP(CALL(a, "state_create", "mask", CHUNK + 2));
    uint32_t mask = (uint32_t)CALL(a, "state_map", "mask", 0, 0, 0);
    if (mask == 0) {
        return call_raw(a, "state_map_error", NULL, 0);
    }
    mapped(a, mask, 5)[4] = 1;
    put_text(a, 100, "mask");
    STEP(CALL(a, "state_push_masked", "s", 100, mask_len, 0));
    STEP(CALL(a, "state_pull", "s", 0, 0));
    STEP(read_bytes(a, "s", 0, got, 2));
    if (memcmp(got, "zz", 2) != 0) {
        return -1001;
    }
    STEP(CALL(a, "state_append", "s", BUFFER, 3));
    STEP(CALL(a, "state_appended", "s", 0, BUFFER, 3));
    STEP(CALL(a, "state_add", "s", 1, BUFFER));
    STEP(CALL(a, "state_delete", "mask"));
#undef STEP
    return 0;
}

/* One round: the first failure is told with a number, nothing is lost by it, and doing it all again
 * works. */
static void survive(int64_t (*arm)(uint64_t n), uint64_t n, bool *fired)
{
    struct local_tier *nodes[2] = {node_new(NULL), node_new(NULL)};
    struct runner a, b;
    REQUIRE(nodes[0] && nodes[1] && runner_init(&a, nodes[0]) && runner_init(&b, nodes[1]));
    arm(n);
    int64_t rc = scenario(&a, &b);
    *fired =
        wm_fault_fired(WM_FAULT_ALLOC) || wm_fault_fired(WM_FAULT_IO) || tier_fake_failed(fake);
    arm(0);
    if (rc != (*fired ? rc : 0) || rc <= -1000) {
        wm_test_note("failure %llu: %lld", (unsigned long long)n, (long long)rc);
    }
    CHECK(*fired || rc == 0);
    CHECK(rc > -1000);
    /* The slots too: a failed mapping left nothing behind. A lock that could not be given back ends
     * by itself. */
    tier_fake_drop_locks(fake);
    REQUIRE(runner_next(&a) && runner_next(&b));
    CHECK_INT(scenario(&a, &b), ==, 0);
    runner_fini(&a);
    runner_fini(&b);
    local_tier_free(nodes[0]);
    local_tier_free(nodes[1]);
}

static int64_t arm_alloc(uint64_t n)
{
    wm_fault_arm(WM_FAULT_ALLOC, n);
    return 0;
}

static int64_t arm_io(uint64_t n)
{
    wm_fault_arm(WM_FAULT_IO, n);
    return 0;
}

static int64_t arm_tier(uint64_t n)
{
    tier_fake_fail(fake, n, -ECONNRESET);
    return 0;
}

TEST(each_failing_step_is_survived)
{
    int64_t (*const arms[])(uint64_t n) = {arm_alloc, arm_io, arm_tier};
    for (size_t k = 0; k < WM_COUNT_OF(arms); k++) {
        bool fired = true;
        uint64_t n;
        for (n = 1; fired && n < 1000; n++) {
            REQUIRE(begin_world());
            survive(arms[k], n, &fired);
            end_world();
        }
        wm_test_note("kind %zu: %llu failures", k, (unsigned long long)n - 2);
        CHECK_INT(n, >, 8);
    }
}

TEST(a_failed_transfer_changes_nothing)
{
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct runner a;
    char got[8] = {0};
    REQUIRE(node && runner_init(&a, node));
    global_put("k", 6, 0, "global", 6);
    CHECK_INT(write_bytes(&a, "k", 1, "L", 1), ==, 0);
    tier_fake_fail(fake, 1, -EPIPE);
    CHECK_INT(CALL(&a, "state_push", "k", 0, 0), ==, -WASI_IO);
    tier_fake_fail(fake, 1, -EPIPE);
    CHECK_INT(CALL(&a, "state_pull", "k", 0, 0), ==, -WASI_IO);
    tier_fake_fail(fake, 1, -EPIPE);
    CHECK_INT(CALL(&a, "state_read", "k", 0, BUFFER, 6), ==, -WASI_IO);
    CHECK_INT(read_bytes(&a, "k", 0, got, 6), ==, 6);
    CHECK(memcmp(got, "gLobal", 6) == 0);
    CHECK_INT(CALL(&a, "state_push", "k", 0, 0), ==, 0);
    CHECK_INT(a.usage.state_bytes_pushed, ==, 1);
    CHECK(global_get("k", 0, got, 6) && memcmp(got, "gLobal", 6) == 0);
    /* Deleted and made anew elsewhere, of another size: the first pull says so, then it is seen. */
    struct tier_key name = {wm_view_str("alice"), wm_view_str("k")};
    CHECK_INT(tier.ops->remove(tier.self, name, NULL), ==, 0);
    global_put("k", 3, 0, "new", 3);
    CHECK_INT(CALL(&a, "state_pull", "k", 0, 0), ==, -WASI_INVAL);
    CHECK_INT(read_bytes(&a, "k", 0, got, 6), ==, 3);
    CHECK(memcmp(got, "new", 3) == 0);
    runner_fini(&a);
    local_tier_free(node);
    end_world();
}

/* --- Threads --- */

enum { WORKERS = 4, ROUNDS = 150, SHARED = 3 * CHUNK + 500 };

struct worker {
    struct runner runner;
    pthread_t thread;
    uint32_t number;
    uint32_t errors;
};

static void *work(void *self)
{
    struct worker *worker = self;
    struct state_session *session = worker->runner.guest.state;
    struct wm_view key = wm_view_str("shared");
    uint8_t bytes[64], got[64];
    uint32_t step = (SHARED - 64) / ROUNDS;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        /* Its own quarter of each 64 bytes: lines are shared, bytes are not. */
        uint64_t done, at = (uint64_t)i * step / 64 * 64 + worker->number * 16;
        memset(bytes, (int)(1 + worker->number + i % 60 * 4), 16);
        worker->errors += state_write(session, key, at, bytes, 16) != 0;
        worker->errors += state_push(session, key, i % 3 ? 0 : at, i % 3 ? 0 : 16) != 0;
        worker->errors += state_read(session, key, at, got, 16, &done) != 0 || done != 16;
        /* Whole towards each other: no half of a write is read. */
        worker->errors += memcmp(got, got + 1, 15) != 0;
        if (i % 10 == worker->number) {
            /* A byte that nobody writes, in the chunk that all do. */
            uint64_t quiet = at / CHUNK * CHUNK + CHUNK - 1;
            worker->errors += state_pull(session, key, quiet, 1) != 0;
        }
    }
    worker->errors += state_push(session, key, 0, 0) != 0;
    return NULL;
}

TEST(four_threads_push_pull_and_write)
{
    static uint8_t zeros[SHARED], global[SHARED], local[SHARED];
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    struct worker workers[WORKERS] = {0};
    global_put("shared", SHARED, 0, zeros, SHARED);
    tier_fake_delay(fake, 50);
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i].number = i;
        REQUIRE(runner_init(&workers[i].runner, node));
        REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        CHECK_INT(workers[i].errors, ==, 0);
    }
    tier_fake_delay(fake, 0);
    /* Everything was pushed: what is here is what is there, though nobody pulled at the end. */
    uint64_t done;
    REQUIRE(state_read(workers[0].runner.guest.state, wm_view_str("shared"), 0, local, SHARED,
                       &done) == 0);
    REQUIRE(global_get("shared", 0, global, SHARED));
    CHECK(memcmp(local, global, SHARED) == 0);
    for (uint32_t n = 0; n < WORKERS; n++) {
        for (uint32_t i = 0; i < ROUNDS; i++) {
            uint32_t at = i * ((SHARED - 64) / ROUNDS) / 64 * 64 + n * 16;
            CHECK_INT(global[at], !=, 0);
        }
        runner_fini(&workers[n].runner);
    }
    local_tier_free(node);
    end_world();
}

/* HOGWILD: nobody locks; each sets the value, then its mask. No update may be lost. */
struct hogwild {
    struct runner runner;
    pthread_t thread;
    uint32_t number;
    _Atomic uint32_t *values, *mask;
    uint32_t errors;
};
enum { UNITS = 20000 };

static void *train(void *self)
{
    struct hogwild *worker = self;
    for (uint32_t i = 0; i < 60000; i++) {
        uint32_t unit = (i * 7919 + worker->number) % UNITS;
        atomic_fetch_add_explicit(&worker->values[unit], 1, memory_order_relaxed);
        atomic_store_explicit(&worker->mask[unit], 1, memory_order_release);
        if (i % 2000 == 0) {
            worker->errors += state_push_masked(worker->runner.guest.state, wm_view_str("w"),
                                                wm_view_str("mask"), 0) != 0;
        }
    }
    worker->errors += state_push_masked(worker->runner.guest.state, wm_view_str("w"),
                                        wm_view_str("mask"), 0) != 0;
    return NULL;
}

TEST(hogwild_loses_no_update)
{
    static uint32_t global[UNITS];
    REQUIRE(begin_world());
    struct local_tier *node = node_new(NULL);
    static struct hogwild workers[WORKERS];
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct hogwild *worker = &workers[i];
        *worker = (struct hogwild){.number = i};
        REQUIRE(runner_init(&worker->runner, node));
        CHECK_INT(CALL(&worker->runner, "state_create", "w", UNITS * 4), ==, 0);
        CHECK_INT(CALL(&worker->runner, "state_create", "mask", UNITS * 4), ==, 0);
        uint32_t at = (uint32_t)CALL(&worker->runner, "state_map", "w", 0, 0, 0);
        worker->values = (void *)mapped(&worker->runner, at, UNITS * 4);
        at = (uint32_t)CALL(&worker->runner, "state_map", "mask", 0, 0, 0);
        worker->mask = (void *)mapped(&worker->runner, at, UNITS * 4);
        REQUIRE(worker->values && worker->mask);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        REQUIRE(pthread_create(&workers[i].thread, NULL, train, &workers[i]) == 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        CHECK_INT(workers[i].errors, ==, 0);
    }
    REQUIRE(global_get("w", 0, global, sizeof global));
    CHECK(memcmp(global, (const void *)workers[0].values, sizeof global) == 0);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < UNITS; i++) {
        sum += global[i];
    }
    CHECK_INT(sum, ==, WORKERS * 60000);
    for (uint32_t i = 0; i < WORKERS; i++) {
        runner_fini(&workers[i].runner);
    }
    local_tier_free(node);
    end_world();
}

TEST_MAIN(TEST_CASE(a_value_is_written_read_pushed_and_shared),
          TEST_CASE(mappings_are_shared_pulled_lazily_and_made_once),
          TEST_CASE(no_two_values_lie_in_one_page), TEST_CASE(a_lazy_pull_leaves_what_was_written),
          TEST_CASE(what_is_being_written_whole_is_not_undone),
          TEST_CASE(pushes_of_two_nodes_do_not_touch_each_other),
          TEST_CASE(a_masked_push_moves_what_the_mask_names), TEST_CASE(lists_and_counters),
          TEST_CASE(local_locks_belong_to_calls), TEST_CASE(a_call_that_is_to_end_stops_waiting),
          TEST_CASE(global_locks_fence_and_are_renewed),
          TEST_CASE(a_lock_that_cannot_be_renewed_costs_no_other),
          TEST_CASE(an_unlock_that_fails_after_the_locks_end_says_so),
          TEST_CASE(locks_are_given_back_while_they_are_renewed), TEST_CASE(quotas_and_eviction),
          TEST_CASE(shared_regions_are_told_before_their_memory_goes),
          TEST_CASE(mapping_without_end_is_an_error), TEST_CASE(two_gigabytes_are_a_value),
          TEST_CASE(every_pointer_at_every_edge), TEST_CASE(keys_are_any_bytes),
          TEST_CASE(a_key_that_changes_while_it_is_read_is_one_key),
          TEST_CASE(each_failing_step_is_survived), TEST_CASE(a_failed_transfer_changes_nothing),
          TEST_CASE(four_threads_push_pull_and_write), TEST_CASE(hogwild_loses_no_update))
