/* state.c: compiled functions on the local tier: modules that share values by mapping, data
 * objects, and two threads that train one vector without locks.
 *
 *     state FOLDER     of the modules built from test/e2e/faaslet
 *
 * Engine, slots and state functions as a worker has them, on a global tier in this process. What is
 * read from the call (its input, its output) are the few functions at the top. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "common/engine.h"
#include "faaslet/guest.h"
#include "faaslet/state.h"
#include "faaslet/tier_fake.h"
#include "libos/libos.h"
#include "port/machine.h"
#include "wasi/wasi.h"
#include "wasm/instance.h"
#include "wasm/slot.h"

static const char *folder;
static struct tier_fake *fake;
static struct tier tier;
static struct local_tier *nodes[2];

struct function {
    struct wasm_object *object;
    struct wasm_image *image;
};

struct runner {
    struct faaslet_guest guest; /* first: the environment of its imports is the runner */
    struct libos os;
    struct wasi *wasi;
    struct wasm_pool *pool;
    struct call_usage usage;
    char input[16];
    double output[2];
    enum wasm_trap trap;
};

/* --- What a call has of its executor --- */

static enum wasm_trap input_read(struct wasm_caller *caller, union wasm_value *values)
{
    struct runner *runner = caller->env;
    values[0].i64 = (uint32_t)guest_copy_out(caller, wm_view_str(runner->input), values[0].i32,
                                             values[1].i32, values[2].i32);
    return WASM_TRAP_NONE;
}

static enum wasm_trap output_set(struct wasm_caller *caller, union wasm_value *values)
{
    struct runner *runner = caller->env;
    struct wm_view bytes;
    int32_t rc = guest_view(caller, values[0].i32, values[1].i32, &bytes);
    if (rc == 0 && bytes.len <= sizeof runner->output) {
        memcpy(runner->output, bytes.ptr, bytes.len);
    }
    values[0].i64 = (uint32_t)rc;
    return WASM_TRAP_NONE;
}

static const struct wasm_host_func call_funcs[] = {
    {"faaslet", "input_read", "iii:i", input_read},
    {"faaslet", "output_set", "ii:i", output_set},
};

static bool find(const struct wasm_host_func *funcs, size_t count, struct wm_view name,
                 struct wasm_extern *out, void *env)
{
    for (size_t i = 0; i < count; i++) {
        if (wm_view_eq_str(name, funcs[i].name)) {
            *out =
                (struct wasm_extern){.kind = WASM_EXTERN_FUNC, .host = &funcs[i], .host_env = env};
            return true;
        }
    }
    return false;
}

static int resolve(void *self, struct wm_view module, struct wm_view name,
                   enum wasm_extern_kind kind, struct wasm_extern *out)
{
    struct runner *runner = self;
    if (wm_view_eq_str(module, "faaslet") && kind == WASM_EXTERN_FUNC) {
        return find(call_funcs, WM_COUNT_OF(call_funcs), name, out, runner) ||
                       find(faaslet_state_funcs.funcs, faaslet_state_funcs.count, name, out, runner)
                   ? 0
                   : WM_E_NOT_FOUND;
    }
    return wasi_resolve(runner->wasi, module, name, kind, out);
}

static bool runner_init(struct runner *runner, struct local_tier *local)
{
    struct wm_diag diag = WM_DIAG_INIT;
    static const char *const args[] = {"function"};
    *runner = (struct runner){0};
    libos_init(&runner->os, port_machine());
    struct wasi_config config = {.os = &runner->os, .args = args, .arg_count = 1};
    struct wasm_pool_config pool = {.slots = 2, .limits = {.memory_bytes = UINT64_C(256) << 20}};
    if (wasi_new(&config, &runner->wasi, &diag) != 0 ||
        wasm_pool_new(&pool, &runner->pool, &diag) != 0 ||
        state_session_new(local, &runner->guest.state, &diag) != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
        return false;
    }
    return true;
}

static void runner_fini(struct runner *runner)
{
    wasm_pool_free(runner->pool);
    state_session_free(runner->guest.state);
    wasi_free(runner->wasi);
}

static int32_t enter(struct wasm_instance *instance, const char *name, enum wasm_trap *trap)
{
    struct wasm_extern function;
    union wasm_value values[1] = {{0}};
    *trap = WASM_TRAP_NONE;
    if (wasm_instance_export(instance, wm_view_str(name), &function) != 0) {
        return 0;
    }
    *trap = wasm_call(wasm_instance_store(instance), function.func, values);
    return (int32_t)values[0].i32;
}

/* Compiles, runs constructors and the init function, takes the image. */
static bool function_load(struct function *function, const char *name)
{
    struct wm_diag diag = WM_DIAG_INIT;
    char path[4096];
    enum wasm_trap trap = WASM_TRAP_NONE;
    snprintf(path, sizeof path, "%s/%s.wasm", folder, name);
    struct wm_view bytes = test_file_read(path);
    struct wasm_options options = {
        .mode = WASM_MODE_GUARD, .tier = WASM_TIER_OPTIMISED, .cpu = wasm_cpu_of_this_machine()};
    struct wasm_store *store = NULL;
    struct wasm_instance *instance;
    struct wasm_extern table;
    struct runner runner;
    bool right =
        runner_init(&runner, nodes[0]) &&
        test_object_compile(bytes, &options, &function->object, &diag) == 0 &&
        wasm_store_new(NULL, &store, &diag) == 0 &&
        wasm_instance_new(store, function->object, resolve, &runner, &instance, &diag) == 0 &&
        (enter(instance, "_initialize", &trap), trap == WASM_TRAP_NONE) &&
        wasm_instance_export(instance, wm_view_str("__indirect_function_table"), &table) == 0 &&
        enter(instance, "faaslet_init", &trap) == 0 && trap == WASM_TRAP_NONE &&
        wasm_image_take(instance, &function->image, &diag) == 0;
    if (!right) {
        wm_test_note("%s: %s %s", name, wm_diag_text(&diag), trap ? wasm_trap_text(trap) : "");
    }
    if (store) {
        wasm_store_free(store);
    }
    free((void *)bytes.ptr);
    runner_fini(&runner);
    return right;
}

static void function_fini(struct function *function)
{
    wasm_image_put(function->image);
    wasm_object_close(function->object);
}

/* One call: its return code, or minus the trap. */
static int32_t call(struct runner *runner, struct function *function, const char *input)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_slot *slot;
    snprintf(runner->input, sizeof runner->input, "%s", input);
    runner->usage = (struct call_usage){0};
    if (wasm_pool_take(runner->pool, function->image, resolve, runner, &slot, &diag) != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
        return -1000;
    }
    state_session_begin(runner->guest.state, &tier, wm_view_str("alice"), &runner->usage, NULL,
                        NULL);
    int32_t rc = enter(wasm_slot_instance(slot), "faaslet_main", &runner->trap);
    if (rc != 0 && runner->trap == WASM_TRAP_NONE) {
        wm_test_note("%s gives %d; last error: %s", input, rc,
                     state_session_error(runner->guest.state));
    }
    state_session_end(runner->guest.state);
    wasm_pool_put(runner->pool, slot);
    return runner->trap != WASM_TRAP_NONE ? -(int32_t)runner->trap : rc;
}

static bool begin(void)
{
    struct wm_diag diag = WM_DIAG_INIT;
    fake = tier_fake_new();
    tier = tier_fake_tier(fake);
    for (int i = 0; i < 2; i++) {
        if (local_tier_new(&(struct local_tier_config){0}, &nodes[i], &diag) != 0) {
            wm_test_note("%s", wm_diag_text(&diag));
            return false;
        }
    }
    return true;
}

static void end(void)
{
    local_tier_free(nodes[0]);
    local_tier_free(nodes[1]);
    tier_fake_free(fake);
}

/* --- Tests --- */

TEST(two_modules_share_a_value_without_a_copy)
{
    struct function writer, reader;
    struct runner a, b, c;
    REQUIRE(begin() && function_load(&writer, "writer") && function_load(&reader, "reader"));
    REQUIRE(runner_init(&a, nodes[0]) && runner_init(&b, nodes[0]) && runner_init(&c, nodes[1]));
    CHECK_INT(call(&b, &reader, "check"), ==, 44); /* ENOENT, WASI's */
    CHECK_INT(call(&a, &writer, "grid"), ==, 0);
    CHECK_INT(a.usage.state_bytes_pushed, ==, 3 << 20);
    CHECK_INT(call(&b, &reader, "check"), ==, 0);
    CHECK_INT(b.usage.state_bytes_pulled, ==, 0);
    /* On another node: one chunk of the three megabytes, and the second call nothing. */
    CHECK_INT(call(&c, &reader, "check"), ==, 0);
    CHECK_INT(c.usage.state_bytes_pulled, ==, 65536);
    CHECK_INT(call(&c, &reader, "check"), ==, 0);
    CHECK_INT(c.usage.state_bytes_pulled, ==, 0);
    CHECK_INT(call(&a, &writer, "poke"), ==, 0);
    CHECK_INT(call(&b, &reader, "poked"), ==, 0);
    CHECK_INT(call(&c, &reader, "check"), ==, 0); /* not pushed, so not there */
    /* A write through a read-only mapping ends that call and nothing else. */
    CHECK_INT(call(&b, &reader, "trap"), ==, -(int32_t)WASM_TRAP_MEMORY_BOUNDS);
    CHECK_INT(call(&b, &reader, "poked"), ==, 0);
    CHECK_INT(call(&a, &writer, "nothing"), ==, 99);
    runner_fini(&a);
    runner_fini(&b);
    runner_fini(&c);
    function_fini(&writer);
    function_fini(&reader);
    end();
}

static double number(uint32_t row, uint32_t column)
{
    return (double)((row * 31 + column * 17) % 101) - 50;
}

TEST(data_objects_hold_what_was_put)
{
    struct function objects;
    struct runner a, b;
    double dense = 0, sparse = 0;
    REQUIRE(begin() && function_load(&objects, "objects"));
    REQUIRE(runner_init(&a, nodes[0]) && runner_init(&b, nodes[1]));
    CHECK_INT(call(&a, &objects, "fill"), ==, 0);
    /* Twenty of 600 columns, on the other node. */
    for (uint32_t column = 250; column < 270; column++) {
        for (uint32_t row = 0; row < 1000; row++) {
            dense += number(row, column) * column;
        }
        for (uint32_t i = 0; column % 7 && i < 3; i++) {
            sparse += number(column + i * 10, column) * (column + i * 10 + 1);
        }
    }
    CHECK_INT(call(&b, &objects, "part"), ==, 0);
    CHECK(b.output[0] == dense && b.output[1] == sparse);
    /* 160,000 bytes of columns lie in four chunks; the sparse keys are smaller than one each. */
    CHECK_INT(b.usage.state_bytes_pulled, >=, 160000);
    CHECK_INT(b.usage.state_bytes_pulled, <=, 4 * 65536 + 3 * 600 * 12 + 601 * 4 + 12);
    CHECK_INT(call(&b, &objects, "part"), ==, 0);
    CHECK(b.output[0] == dense && b.output[1] == sparse);
    CHECK_INT(b.usage.state_bytes_pulled, ==, 0);
    CHECK_INT(call(&b, &objects, "others"), ==, 0);
    CHECK_INT(call(&b, &objects, "refusals"), ==, 0);
    runner_fini(&a);
    runner_fini(&b);
    function_fini(&objects);
    end();
}

TEST(the_headers_are_cxx_too)
{
    struct function all;
    struct runner a;
    REQUIRE(begin() && function_load(&all, "all") && runner_init(&a, nodes[0]));
    CHECK_INT(call(&a, &all, ""), ==, 0);
    CHECK_INT(a.usage.state_bytes_pushed, ==, 8);
    runner_fini(&a);
    function_fini(&all);
    end();
}

struct trainer {
    struct runner runner;
    struct function *function;
    pthread_t thread;
    const char *input;
    int32_t rc;
};

static void *train(void *self)
{
    struct trainer *trainer = self;
    trainer->rc = call(&trainer->runner, trainer->function, trainer->input);
    return NULL;
}

/* The distance of the global weights from the solution. */
static double distance(void)
{
    static double weights[2000];
    double worst = 0;
    struct tier_key key = {wm_view_str("alice"), wm_view_str("weights")};
    struct tier_range range = {0, sizeof weights, (uint8_t *)weights};
    if (tier.ops->read(tier.self, key, &range, 1, NULL) != 0) {
        return 1e9;
    }
    for (uint32_t i = 0; i < 2000; i++) {
        double truth = (double)(i % 21) / 10 - 1;
        worst = fmax(worst, fabs(weights[i] - truth));
    }
    return worst;
}

TEST(hogwild_on_two_threads_converges)
{
    struct function hogwild;
    struct trainer trainers[2] = {{.input = "0"}, {.input = "1"}};
    REQUIRE(begin() && function_load(&hogwild, "hogwild"));
    for (int i = 0; i < 2; i++) {
        REQUIRE(runner_init(&trainers[i].runner, nodes[0]));
        trainers[i].function = &hogwild;
    }
    CHECK_INT(call(&trainers[0].runner, &hogwild, "g"), ==, 0);
    for (int i = 0; i < 2; i++) {
        REQUIRE(pthread_create(&trainers[i].thread, NULL, train, &trainers[i]) == 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(trainers[i].thread, NULL);
        CHECK_INT(trainers[i].rc, ==, 0);
    }
    double after = distance();
    wm_test_note("furthest weight is %g off; %llu bytes pushed", after,
                 (unsigned long long)(trainers[0].runner.usage.state_bytes_pushed +
                                      trainers[1].runner.usage.state_bytes_pushed));
    CHECK(after < 0.05);
    for (int i = 0; i < 2; i++) {
        runner_fini(&trainers[i].runner);
    }
    function_fini(&hogwild);
    end();
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {TEST_CASE(two_modules_share_a_value_without_a_copy),
                                           TEST_CASE(data_objects_hold_what_was_put),
                                           TEST_CASE(the_headers_are_cxx_too),
                                           TEST_CASE(hogwild_on_two_threads_converges)};
    if (argc < 2) {
        fprintf(stderr, "usage: state FOLDER [TEST...]\n");
        return 2;
    }
    folder = argv[1];
    return wm_test_main(tests, WM_COUNT_OF(tests), argc - 1, argv + 1);
}
