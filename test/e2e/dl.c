/* dl.c: calls of a program that loads libraries, each from one image, as a node makes them.
 *
 *     dl MODULE TIER CALLS WHAT NAME=LIBRARY...    CALLS calls of run(WHAT); the last one's result
 * is printed, then how much memory the process has taken since the hundredth call. CALLS 0: run(0)
 * while memory and the kernel fail
 *
 * Test code: what fails ends it, status 1. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "common/engine.h"
#include "faaslet/dl.h"
#include "libos/libos.h"
#include "port/file.h"
#include "port/machine.h"
#include "wasi/wasi.h"
#include "wasm/slot.h"
#include "wasm/table.h"
#include "wasm/typeid.h"

static struct wm_diag diag = WM_DIAG_INIT;
static struct faaslet_guest guest;
static struct wasi *wasi;
static struct {
    const char *name;
    size_t name_len;
    struct dl_library library;
} libraries[32];
static size_t library_count;

static void must(int rc, const char *what)
{
    if (rc != 0) {
        fprintf(stderr, "dl: %s: %s\n", what, wm_diag_text(&diag));
        exit(1);
    }
}

static struct wasm_object *load(const char *path, const char *tier, struct dylink *facts)
{
    struct wm_view bytes = test_file_read(path);
    struct wasm_options options = {.mode = WASM_MODE_GUARD,
                                   .tier = (enum wasm_tier)test_tier_of(tier),
                                   .cpu = wasm_cpu_of_this_machine()};
    struct wasm_object *object;
    must(test_object_compile(bytes, &options, &object, &diag), path);
    if (facts) {
        must(dylink_parse(bytes, facts, &diag), path);
    }
    free((void *)bytes.ptr);
    return object;
}

static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    (void)self;
    for (size_t i = 0; wm_view_eq_str(module, "faaslet") && i < faaslet_dl_funcs.count; i++) {
        if (wm_view_eq_str(name, faaslet_dl_funcs.funcs[i].name)) {
            *out = (struct wasm_extern){
                .kind = WASM_EXTERN_FUNC, .host = &faaslet_dl_funcs.funcs[i], .host_env = &guest};
            return 0;
        }
    }
    return wasi_resolve(wasi, module, name, kind, out);
}

/* "lib/NAME.wasm"; copyN is side. */
static int lookup(void *self, struct wm_view path, struct dl_library *out)
{
    (void)self;
    for (size_t i = 0; i < library_count; i++) {
        char text[64];
        snprintf(text, sizeof text, "lib/%.*s.wasm", (int)libraries[i].name_len, libraries[i].name);
        if (wm_view_eq_str(path, text) ||
            (i == 0 && path.len > 8 && memcmp(path.ptr, "lib/copy", 8) == 0)) {
            *out = libraries[i].library;
            return 0;
        }
    }
    return WM_E_NOT_FOUND;
}

static uint32_t table_elems(struct wasm_instance *instance)
{
    struct wasm_extern table;
    must(wasm_instance_export(instance, wm_view_str("__indirect_function_table"), &table), "table");
    return wasm_table_size(table.table);
}

static long resident_kb(void)
{
    char text[128];
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;
    if (file && fgets(text, sizeof text, file)) {
        char *end;
        strtol(text, &end, 10);
        pages = strtol(end, NULL, 10);
    }
    if (file) {
        fclose(file);
    }
    return pages * 4;
}

static unsigned open_files(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

static struct wasm_image *take_image(const struct wasm_object *object)
{
    struct wasm_store *store;
    struct wasm_instance *instance;
    struct wasm_extern start;
    struct wasm_image *image;
    union wasm_value none[1];
    must(wasm_store_new(NULL, &store, &diag), "store");
    must(wasm_instance_new(store, object, resolve, NULL, &instance, &diag), "instance");
    must(wasm_instance_export(instance, wm_view_str("_initialize"), &start), "_initialize");
    must(wasm_call(store, start.func, none), "running _initialize");
    must(wasm_image_take(instance, &image, &diag), "image");
    wasm_store_free(store);
    return image;
}

/* A library that is loaded cannot become part of an image. */
static void check_refused(const struct wasm_object *object)
{
    struct wasm_store *store;
    struct wasm_instance *instance;
    struct wasm_extern start;
    struct wasm_image *image;
    union wasm_value values[1] = {{.i32 = 0}};
    must(wasm_store_new(NULL, &store, &diag), "store");
    must(wasm_instance_new(store, object, resolve, NULL, &instance, &diag), "instance");
    must(wasm_instance_export(instance, wm_view_str("run"), &start), "run");
    must(wasm_call(store, start.func, values), "run");
    struct wm_diag why = WM_DIAG_INIT;
    must(wasm_image_take(instance, &image, &why) == 0, "an image was taken of a loaded library");
    wasm_store_free(store);
    dl_session_reset(guest.dl);
    printf("%s\n", wm_diag_text(&why));
}

static enum wasm_trap call_once(struct wasm_pool *pool, struct wasm_image *image,
                                enum wm_fault_kind kind, uint64_t nth, bool *fired,
                                uint32_t *result)
{
    struct wasm_slot *slot;
    struct wasm_extern run;
    union wasm_value values[1] = {{.i32 = 0}};
    must(wasm_pool_take(pool, image, resolve, NULL, &slot, &diag), "slot");
    struct wasm_instance *instance = wasm_slot_instance(slot);
    must(wasm_instance_export(instance, wm_view_str("run"), &run), "run");
    wm_fault_arm(kind, nth);
    enum wasm_trap trap = wasm_call(wasm_instance_store(instance), run.func, values);
    *fired = wm_fault_fired(kind);
    wm_fault_arm(kind, 0);
    wasm_pool_put(pool, slot);
    dl_session_reset(guest.dl);
    *result = values[0].i32;
    return trap;
}

/* The n-th allocation, then the n-th call to the kernel, fails while libraries are loaded: the call
 * says so or ends, and the next one is as any. */
static void fail_in_turn(struct wasm_pool *pool, struct wasm_image *image)
{
    for (enum wm_fault_kind kind = WM_FAULT_ALLOC; kind < WM_FAULT_KINDS; kind++) {
        bool fired = true, ignored;
        uint32_t result, rounds = 0;
        for (uint64_t n = 1; fired && n < 1000; n++, rounds++) {
            enum wasm_trap trap = call_once(pool, image, kind, n, &fired, &result);
            must(fired ? 0 : trap || result, "no fault, and yet it failed");
            must(call_once(pool, image, kind, 0, &ignored, &result) || result, "after a fault");
        }
        printf("%s: %u rounds\n", kind == WM_FAULT_ALLOC ? "memory" : "kernel", rounds - 1);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5 || test_tier_of(argv[2]) < 0) {
        fprintf(stderr, "usage: dl MODULE TIER CALLS WHAT NAME=LIBRARY...\n");
        return 2;
    }
    struct libos os;
    struct libos_file *out;
    libos_init(&os, port_machine());
    must(port_file_share(&os, 1, LIBOS_WRITE, &out), "standard output");
    struct wasi_config config = {.os = &os, .stdio = {NULL, out, out}};
    must(wasi_new(&config, &wasi, &diag), "wasi");
    for (int i = 5; i < argc; i++) {
        libraries[library_count].name = argv[i];
        libraries[library_count].name_len = strcspn(argv[i], "=");
        libraries[library_count].library.object =
            load(strchr(argv[i], '=') + 1, argv[2], &libraries[library_count].library.facts);
        library_count++;
    }
    static const struct dl_config dl = {.lookup = lookup, .resolve = resolve};
    must(dl_session_new(&dl, &guest.dl), "session");
    struct wasm_object *object = load(argv[1], argv[2], NULL);
    struct wasm_image *image = take_image(object);
    struct wasm_pool_config pool_config = {.slots = 1, .limits = {.memory_bytes = 64 << 20}};
    struct wasm_pool *pool;
    must(wasm_pool_new(&pool_config, &pool, &diag), "pool");
    long calls = strtol(argv[3], NULL, 10), begin_kb = 0;
    int64_t begin = test_now_ns();
    unsigned begin_files = 0, begin_types = 0;
    uint32_t first_elems = 0;
    for (long i = 0; i < calls; i++) {
        struct wasm_slot *slot;
        struct wasm_extern run;
        union wasm_value values[1] = {{.i32 = (uint32_t)strtol(argv[4], NULL, 10)}};
        must(wasm_pool_take(pool, image, resolve, NULL, &slot, &diag), "slot");
        struct wasm_instance *instance = wasm_slot_instance(slot);
        must(wasm_instance_export(instance, wm_view_str("run"), &run), "run");
        struct wasm_store *store = wasm_instance_store(instance);
        wasm_store_set_deadline(store, test_now_ns() + INT64_C(5000000000));
        enum wasm_trap trap = wasm_call(store, run.func, values);
        uint64_t bytes = wasm_memory_bytes(wasm_instance_memory(instance));
        uint32_t elems = table_elems(instance);
        wasm_pool_put(pool, slot);
        dl_session_reset(guest.dl);
        must(wasm_memory_bytes(wasm_instance_memory(instance)) > bytes,
             "memory was not given back");
        must(i == 0 ? 0 : table_elems(instance) != first_elems, "the table was not put back");
        first_elems = table_elems(instance);
        must(elems < first_elems, "the table is larger than it was in the call");
        if (i == calls - 1) {
            printf("%s %d\n", trap ? wasm_trap_text(trap) : "returned",
                   trap ? 0 : (int)values[0].i32);
        }
        if (i == 100) {
            begin_kb = resident_kb();
            begin_files = open_files();
            begin_types = wasm_typeid_count();
            begin = test_now_ns();
        }
    }
    if (calls == 0) {
        fail_in_turn(pool, image);
    }
    if (calls > 101) {
        printf("%ld kB, %d descriptors, %d types more\n", resident_kb() - begin_kb,
               (int)(open_files() - begin_files), (int)(wasm_typeid_count() - begin_types));
        fprintf(stderr, "%lld us each\n",
                (long long)((test_now_ns() - begin) / 1000 / (calls - 101)));
        check_refused(object);
    }
    wasm_pool_free(pool);
    wasm_image_put(image);
    wasm_object_close(object);
    for (size_t i = 0; i < library_count; i++) {
        wasm_object_close((struct wasm_object *)libraries[i].library.object);
    }
    dl_session_free(guest.dl);
    wasi_free(wasi);
    libos_file_put(out);
    return 0;
}
