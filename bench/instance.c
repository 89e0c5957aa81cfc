/* instance.c: what one call costs in a pooled slot whose image has 16 MiB of state, and one host
 * call.
 *
 *   warm   the slot was last used by the same function: take, call a function that does nothing,
 *          put back (which resets it)
 *   cold   the slot was last used by another function: the same, with the image re-mapped
 *   17 pages  warm, but the function writes one byte on each of 17 pages: what the reset copies
 *             back
 *   reset16   what putting the slot back takes alone, after 16 pages were written
 *   host call one call from the guest to a host function that does nothing, in a loop of them
 *
 * Wall time of the thread, the median of many. The peer is what isolation by copying would cost:
 * one memcpy of the 16 MiB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/view.h"
#include "bench.h"
#include "wasm/cache.h"
#include "wasm/slot.h"

#define STATE_BYTES ((size_t)16 << 20)
#define HOST_CALLS 100000
#define DIRTY_PAGES 17
#define RESET_PAGES 16

static enum wasm_trap host(struct wasm_caller *caller, union wasm_value *values)
{
    (void)caller;
    values[0].i32++;
    return WASM_TRAP_NONE;
}

static const struct wasm_host_func host_func = {"bench", "host", "i:i", host};

static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    (void)self, (void)module, (void)name;
    if (kind != WASM_EXTERN_FUNC) {
        return WM_E_NOT_FOUND;
    }
    *out = (struct wasm_extern){.kind = kind, .host = &host_func};
    return 0;
}

static void call(struct wasm_instance *instance, const char *name, uint32_t argument,
                 uint32_t expected)
{
    struct wasm_extern export;
    union wasm_value values[1] = {{.i32 = argument}};
    if (wasm_instance_export(instance, wm_view_of(name, strlen(name)), &export) != 0) {
        bench_die("%s: no such export", name);
    }
    enum wasm_trap trap = wasm_call(wasm_instance_store(instance), export.func, values);
    if (trap != WASM_TRAP_NONE || (expected != 0 && values[0].i32 != expected)) {
        bench_die("%s(%u): trap %d, result %u", name, argument, (int)trap, values[0].i32);
    }
}

static struct wasm_image *image_of(const struct wasm_object *object)
{
    struct wm_diag diag = {0};
    struct wasm_store *store;
    struct wasm_instance *instance;
    struct wasm_image *image;
    struct wasm_store_limits limits = {0};
    if (wasm_store_new(&limits, &store, &diag) != 0 ||
        wasm_instance_new(store, object, resolve, NULL, &instance, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    call(instance, "init", 0, 0);
    if (wasm_image_take(instance, &image, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    wasm_store_free(store);
    return image;
}

/* One take, call and put, in microseconds; *put_us of the put alone. */
static double turn_us(struct wasm_pool *pool, struct wasm_image *image, const char *name,
                      uint32_t argument, uint32_t expected, double *put_us)
{
    struct wm_diag diag = {0};
    struct wasm_slot *slot;
    int64_t start = bench_now_ns(BENCH_WALL);
    if (wasm_pool_take(pool, image, resolve, NULL, &slot, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    call(wasm_slot_instance(slot), name, argument, expected);
    int64_t called = bench_now_ns(BENCH_WALL);
    wasm_pool_put(pool, slot);
    int64_t end = bench_now_ns(BENCH_WALL);
    if (put_us) {
        *put_us = (double)(end - called) / 1e3;
    }
    return (double)(end - start) / 1e3;
}

static void figure(const struct bench_config *config, const char *name, double *values, double goal,
                   const char *unit, const char *peer, double peer_value)
{
    struct bench_stat stat = bench_stat(values, (size_t)config->rounds);
    struct bench_figure line = {.name = name,
                                .value = stat.median,
                                .unit = unit,
                                .goal = goal,
                                .peer = peer,
                                .peer_value = peer_value,
                                .spread = stat.q3 - stat.q1,
                                .runs = stat.count};
    bench_figure_write(config, &line);
}

static struct wasm_pool *pool_of(enum wasm_reset reset)
{
    struct wasm_pool *pool;
    struct wm_diag diag = {0};
    struct wasm_pool_config config = {.slots = 1, .reset = reset};
    if (wasm_pool_new(&config, &pool, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    return pool;
}

int main(int argc, char **argv)
{
    struct bench_config config = bench_start(argc, argv, 2001);
    static double warm[BENCH_ROUNDS_MAX], cold[BENCH_ROUNDS_MAX], dirty[BENCH_ROUNDS_MAX];
    static double copy[BENCH_ROUNDS_MAX], host_ns[BENCH_ROUNDS_MAX], discard[BENCH_ROUNDS_MAX];
    static double reset[BENCH_ROUNDS_MAX], few[BENCH_ROUNDS_MAX];
    char *wasm = bench_path(&config, "instance/guest.wasm");
    struct bench_process process;
    struct wasm_cache *cache;
    struct wasm_object *object;
    struct wm_diag diag = {0};
    uint8_t sha256[32];
    struct wasm_options options = {.mode = WASM_MODE_GUARD,
                                   .tier = WASM_TIER_OPTIMISED,
                                   .cpu = wasm_cpu_of_this_machine(),
                                   .lines = true}; /* as the library asks for it */

    if (config.wardmote == NULL) {
        bench_die("%s/wardmote: not built", config.build);
    }
    char *compile[] = {(char *)config.wardmote, "compile", wasm, NULL};
    bench_process_must(compile, &process);
    if (wasm_cache_open(NULL, &cache, &diag) != 0 ||
        wasm_cache_module_hash(cache, wasm, sha256, &diag) != 0 ||
        wasm_cache_find(cache, sha256, &options, &object, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    struct wasm_image *image = image_of(object), *other = image_of(object);
    struct wasm_pool *pool = pool_of(WASM_RESET_AUTO), *plain = pool_of(WASM_RESET_DISCARD);
    uint8_t *from = malloc(STATE_BYTES), *to = malloc(STATE_BYTES);
    if (from == NULL || to == NULL) {
        bench_die("out of memory");
    }
    memset(from, 1, STATE_BYTES);
    memset(to, 2, STATE_BYTES);
    for (int r = -20; r < config.rounds; r++) { /* the first rounds only warm up */
        int at = r < 0 ? 0 : r;
        warm[at] = turn_us(pool, image, "noop", 1, 2, NULL);
        dirty[at] = turn_us(pool, image, "touch", DIRTY_PAGES, DIRTY_PAGES, NULL);
        turn_us(pool, image, "touch", RESET_PAGES, RESET_PAGES, &reset[at]);
        int64_t began_ns = bench_now_ns(BENCH_WALL);
        memcpy(to, from, RESET_PAGES * 4096);
        __asm__ volatile("" : : "r"(to) : "memory");
        few[at] = (double)(bench_now_ns(BENCH_WALL) - began_ns) / 1e3;
        discard[at] = turn_us(plain, image, "touch", DIRTY_PAGES, DIRTY_PAGES, NULL);
    }
    for (int r = -20; r < config.rounds; r++) {
        turn_us(pool, image, "noop", 1, 2, NULL);
        cold[r < 0 ? 0 : r] = turn_us(pool, other, "noop", 1, 2, NULL);
    }
    int copies = config.rounds < 101 ? config.rounds : 101;
    for (int r = 0; r < copies; r++) {
        int64_t start = bench_now_ns(BENCH_WALL);
        memcpy(to, from, STATE_BYTES);
        copy[r] = (double)(bench_now_ns(BENCH_WALL) - start) / 1e3;
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    struct wasm_slot *slot;
    if (wasm_pool_take(pool, image, resolve, NULL, &slot, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    int calls_rounds = config.rounds < 51 ? config.rounds : 51;
    for (int r = 0; r < calls_rounds; r++) {
        int64_t start = bench_now_ns(BENCH_WALL);
        call(wasm_slot_instance(slot), "calls", HOST_CALLS, HOST_CALLS);
        host_ns[r] = (double)(bench_now_ns(BENCH_WALL) - start) / HOST_CALLS;
    }
    wasm_pool_put(pool, slot);
    struct wasm_pool_stats stats = wasm_pool_stats(pool);
    printf("reset by %s; %llu warm takes, %llu cold, %llu pages copied back, %llu discarded\n",
           stats.reset == WASM_RESET_PAGEMAP_SCAN ? "PAGEMAP_SCAN" : "discarding",
           (unsigned long long)stats.warm, (unsigned long long)stats.cold,
           (unsigned long long)stats.pages_copied, (unsigned long long)stats.pages_discarded);

    double copy_us = bench_stat(copy, (size_t)copies).median;
    figure(&config, "engine.instance.p50_us", warm, 5, "us", "memcpy of 16 MiB", copy_us);
    figure(&config, "engine.instance.cold_p50_us", cold, 10, "us", "memcpy of 16 MiB", copy_us);
    figure(&config, "engine.instance.dirty17_p50_us", dirty, 0, "us", "memcpy of 16 MiB", copy_us);
    figure(&config, "engine.instance.dirty17_discard_p50_us", discard, 0, "us", NULL, 0);
    double few_us = bench_stat(few, (size_t)config.rounds).median;
    figure(&config, "faaslet.reset16_us", reset, 3, "us", "memcpy of 16 pages", few_us);
    config.rounds = calls_rounds;
    figure(&config, "engine.instance.host_call_ns", host_ns, 0, "ns", NULL, 0);

    wasm_pool_free(pool);
    wasm_pool_free(plain);
    wasm_image_put(image);
    wasm_image_put(other);
    wasm_object_close(object);
    wasm_cache_close(cache);
    free(from);
    free(to);
    return 0;
}
