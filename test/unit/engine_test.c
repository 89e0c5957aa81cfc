/* The public interface as an embedding program uses it: only public headers, the library itself,
 * and the compiler process. The module, as text:
 *
 * (module
 *   (import "env" "add" (func $add (param i32 i64 f64) (result f64)))
 *   (import "env" "peek" (func $peek (param i32) (result i32)))
 *   (import "env" "fail" (func $fail))
 *   (memory (export "memory") 1 3)
 *   (data (i32.const 16) "hello")
 *   (func (export "call_add") (param i32 i64 f64) (result f64)
 *     (call $add (local.get 0) (local.get 1) (local.get 2)))
 *   (func (export "call_peek") (param i32) (result i32) (call $peek (local.get 0)))
 *   (func (export "call_fail") (call $fail))
 *   (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
 *   (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
 *   (func (export "spin") (loop (br 0)))
 *   (func (export "swap") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
 * )
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <wardmote/wardmote.h>

#include "base/test.h"

static const unsigned char module_bytes[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x17, 0x04, 0x60, 0x03, 0x7f, 0x7e, 0x7c,
    0x01, 0x7c, 0x60, 0x01, 0x7f, 0x01, 0x7f, 0x60, 0x00, 0x00, 0x60, 0x02, 0x7f, 0x7e, 0x02, 0x7e,
    0x7f, 0x02, 0x21, 0x03, 0x03, 0x65, 0x6e, 0x76, 0x03, 0x61, 0x64, 0x64, 0x00, 0x00, 0x03, 0x65,
    0x6e, 0x76, 0x04, 0x70, 0x65, 0x65, 0x6b, 0x00, 0x01, 0x03, 0x65, 0x6e, 0x76, 0x04, 0x66, 0x61,
    0x69, 0x6c, 0x00, 0x02, 0x03, 0x08, 0x07, 0x00, 0x01, 0x02, 0x01, 0x01, 0x02, 0x03, 0x05, 0x04,
    0x01, 0x01, 0x01, 0x03, 0x07, 0x49, 0x08, 0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00,
    0x08, 0x63, 0x61, 0x6c, 0x6c, 0x5f, 0x61, 0x64, 0x64, 0x00, 0x03, 0x09, 0x63, 0x61, 0x6c, 0x6c,
    0x5f, 0x70, 0x65, 0x65, 0x6b, 0x00, 0x04, 0x09, 0x63, 0x61, 0x6c, 0x6c, 0x5f, 0x66, 0x61, 0x69,
    0x6c, 0x00, 0x05, 0x04, 0x6c, 0x6f, 0x61, 0x64, 0x00, 0x06, 0x04, 0x67, 0x72, 0x6f, 0x77, 0x00,
    0x07, 0x04, 0x73, 0x70, 0x69, 0x6e, 0x00, 0x08, 0x04, 0x73, 0x77, 0x61, 0x70, 0x00, 0x09, 0x0a,
    0x36, 0x07, 0x0a, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0x10, 0x00, 0x0b, 0x06, 0x00, 0x20,
    0x00, 0x10, 0x01, 0x0b, 0x04, 0x00, 0x10, 0x02, 0x0b, 0x07, 0x00, 0x20, 0x00, 0x28, 0x02, 0x00,
    0x0b, 0x06, 0x00, 0x20, 0x00, 0x40, 0x00, 0x0b, 0x07, 0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x0b,
    0x06, 0x00, 0x20, 0x01, 0x20, 0x00, 0x0b, 0x0b, 0x0b, 0x01, 0x00, 0x41, 0x10, 0x0b, 0x05, 0x68,
    0x65, 0x6c, 0x6c, 0x6f};

static struct wm_engine *engine;
static char cache[] = "/tmp/wardmote-engine-test-XXXXXX";

static enum wm_host_end host_add(struct wm_caller *caller, void *env, union wm_value *values)
{
    (void)caller;
    ++*(int *)env;
    values[0].f64 = (double)values[0].i32 + (double)values[1].i64 + values[2].f64;
    return WM_HOST_OK;
}

static enum wm_host_end host_peek(struct wm_caller *caller, void *env, union wm_value *values)
{
    (void)env;
    char byte;
    if (!wm_memory_read(wm_caller_instance(caller), values[0].i32, &byte, 1)) {
        return WM_HOST_TRAP;
    }
    values[0].i32 = (unsigned char)byte;
    return WM_HOST_OK;
}

static enum wm_host_end host_fail(struct wm_caller *caller, void *env, union wm_value *values)
{
    (void)caller, (void)env, (void)values;
    return WM_HOST_TRAP;
}

static int host_calls;
static const struct wm_host_func funcs[] = {
    {"env", "add", "iIF:F", host_add, &host_calls},
    {"env", "peek", "i:i", host_peek, NULL},
    {"env", "fail", ":", host_fail, NULL},
};

static struct wm_module *load(const struct wm_module_options *options)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wm_module *module = NULL;
    if (wm_module_load_bytes(engine, module_bytes, sizeof module_bytes, options, &module, &diag)) {
        wm_test_note("%s", wm_diag_text(&diag));
    }
    return module;
}

static struct wm_instance *instantiate(struct wm_module *module, struct wm_instance_config config)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wm_instance *instance = NULL;
    config.funcs = funcs;
    config.func_count = WM_COUNT_OF(funcs);
    if (!module || wm_instance_new(module, &config, &instance, &diag)) {
        wm_test_note("%s", wm_diag_text(&diag));
    }
    return instance;
}

TEST(the_cache_remembers)
{
    struct wm_module_info first, second;
    struct wm_module *module = load(NULL);
    REQUIRE(module);
    wm_module_info(module, &first);
    wm_module_free(module);
    module = load(NULL);
    REQUIRE(module);
    wm_module_info(module, &second);
    wm_module_free(module);
    CHECK(!first.cached && first.compile_ns > 0);
    CHECK(second.cached && second.compile_ns == 0);
    CHECK_INT(second.tier, ==, WM_TIER_OPTIMISED);
    CHECK_INT(second.wasm_bytes, ==, sizeof module_bytes);
    CHECK(memcmp(first.sha256, second.sha256, 32) == 0);
}

TEST(bad_modules_are_errors)
{
    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } bad[] = {
        {"", 0, WM_E_MALFORMED},
        {"\0asm\1\0\0", 7, WM_E_MALFORMED},
        {"\0asm\x0d\0\1\0", 8, WM_E_UNSUPPORTED},
        /* a function () -> i32 with an empty body */
        {"\0asm\1\0\0\0\1\5\1\x60\0\1\x7f\3\2\1\0\x0a\4\1\2\0\x0b", 25, WM_E_INVALID},
    };
    for (size_t i = 0; i < WM_COUNT_OF(bad); i++) {
        struct wm_module *module = NULL;
        struct wm_diag diag = WM_DIAG_INIT;
        CHECK_INT(wm_module_load_bytes(engine, bad[i].bytes, bad[i].len, NULL, &module, &diag), ==,
                  bad[i].code);
        CHECK(!module && diag.text[0]);
        wm_test_note("%s", wm_diag_text(&diag));
    }
}

TEST(signatures)
{
    struct wm_module *module = load(NULL);
    REQUIRE(module);
    char text[16], tiny[3];
    CHECK_INT(wm_module_signature(module, "call_add", text, sizeof text), ==, 0);
    CHECK_STR(text, "iIF:F");
    CHECK_INT(wm_module_signature(module, "swap", text, sizeof text), ==, 0);
    CHECK_STR(text, "iI:Ii");
    CHECK_INT(wm_module_signature(module, "call_fail", text, sizeof text), ==, 0);
    CHECK_STR(text, ":");
    CHECK_INT(wm_module_signature(module, "memory", text, sizeof text), ==, WM_E_NOT_FOUND);
    CHECK_INT(wm_module_signature(module, "call_add", tiny, sizeof tiny), ==, WM_E_LIMIT);
    wm_module_free(module);
}

static void call_everything(enum wm_mode mode)
{
    struct wm_module_options options = {.mode = mode};
    struct wm_module *module = load(&options);
    struct wm_instance *instance = instantiate(module, (struct wm_instance_config){0});
    REQUIRE(instance);
    union wm_value values[3] = {{.i32 = 1}, {.i64 = 2}, {.f64 = 0.5}};
    host_calls = 0;
    CHECK_INT(wm_instance_call(instance, "call_add", values, 3, NULL), ==, 0);
    CHECK(values[0].f64 == 3.5 && host_calls == 1);
    CHECK_INT(wm_instance_call(instance, "call_add", values, 2, NULL), ==, WM_E_USAGE);
    CHECK_INT(wm_instance_call(instance, "nothing", values, 3, NULL), ==, WM_E_NOT_FOUND);
    values[0].i32 = 5;
    values[1].i64 = UINT64_C(1) << 40;
    CHECK_INT(wm_instance_call(instance, "swap", values, 2, NULL), ==, 0);
    CHECK(values[0].i64 == UINT64_C(1) << 40 && values[1].i32 == 5);
    values[0].i32 = 17;
    CHECK_INT(wm_instance_call(instance, "call_peek", values, 1, NULL), ==, 0);
    CHECK_INT(values[0].i32, ==, 'e');

    char five[5];
    CHECK(wm_memory_read(instance, 16, five, 5) && memcmp(five, "hello", 5) == 0);
    CHECK(!wm_memory_read(instance, 65532, five, 5));
    CHECK(!wm_memory_read(instance, UINT32_MAX, five, 5));
    CHECK(wm_memory_write(instance, 65532, "abcd", 4));
    CHECK(!wm_memory_write(instance, 65533, "abcd", 4));
    values[0].i32 = 65532;
    CHECK_INT(wm_instance_call(instance, "load", values, 1, NULL), ==, 0);
    CHECK_INT(values[0].i32, ==, 0x64636261);

    struct wm_diag diag = WM_DIAG_INIT;
    char trace[256];
    values[0].i32 = 65533;
    CHECK_INT(wm_instance_call(instance, "load", values, 1, &diag), ==, WM_E_TRAP);
    CHECK_INT(wm_instance_trap(instance), ==, WM_TRAP_MEMORY_BOUNDS);
    CHECK(strstr(wm_diag_text(&diag), "out of bounds memory access") != NULL);
    CHECK(wm_instance_backtrace(instance, trace, sizeof trace) > 0 && strstr(trace, "load"));
    CHECK_INT(wm_instance_call(instance, "call_fail", NULL, 0, NULL), ==, WM_E_TRAP);
    CHECK_INT(wm_instance_trap(instance), ==, WM_TRAP_HOST);
    /* A trap ends the call, not the instance. */
    values[0].i32 = 1;
    CHECK_INT(wm_instance_call(instance, "grow", values, 1, NULL), ==, 0);
    CHECK_INT(values[0].i32, ==, 1);
    CHECK_INT(wm_instance_trap(instance), ==, WM_TRAP_NONE);
    CHECK_INT(wm_memory_bytes(instance), ==, 2 * 65536);
    CHECK_INT(wm_memory_peak_bytes(instance), ==, 2 * 65536);
    wm_instance_free(instance);
    wm_module_free(module);
}

TEST(calls_in_guard)
{
    call_everything(WM_MODE_GUARD);
}

TEST(calls_in_check)
{
    call_everything(WM_MODE_CHECK);
}

TEST(calls_in_det)
{
    call_everything(WM_MODE_DET);
}

TEST(limits_of_memory)
{
    struct wm_module *module = load(NULL);
    struct wm_instance *instance =
        instantiate(module, (struct wm_instance_config){.memory_bytes = 2 * 65536});
    REQUIRE(instance);
    union wm_value value = {.i32 = 2};
    CHECK_INT(wm_instance_call(instance, "grow", &value, 1, NULL), ==, 0);
    CHECK_INT(value.i32, ==, UINT32_MAX);
    value.i32 = 1;
    CHECK_INT(wm_instance_call(instance, "grow", &value, 1, NULL), ==, 0);
    CHECK_INT(value.i32, ==, 1);
    wm_instance_free(instance);
    wm_module_free(module);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

TEST(deadline_ends_a_loop)
{
    struct wm_module *module = load(NULL);
    struct wm_instance *instance =
        instantiate(module, (struct wm_instance_config){.timeout_ms = 50});
    REQUIRE(instance);
    double start = seconds();
    CHECK_INT(wm_instance_call(instance, "spin", NULL, 0, NULL), ==, WM_E_TRAP);
    double took = seconds() - start;
    CHECK_INT(wm_instance_trap(instance), ==, WM_TRAP_DEADLINE);
    CHECK(took > 0.045 && took < 1.0);
    /* Each call has a time of its own. */
    union wm_value value = {.i32 = 16};
    CHECK_INT(wm_instance_call(instance, "load", &value, 1, NULL), ==, 0);
    wm_instance_free(instance);
    wm_module_free(module);
}

TEST(fuel_ends_a_loop)
{
    struct wm_module_options options = {.fuel = true};
    struct wm_module *module = load(&options), *without = load(NULL);
    struct wm_instance *instance = instantiate(module, (struct wm_instance_config){.fuel = 10000});
    REQUIRE(instance);
    CHECK_INT(wm_instance_call(instance, "spin", NULL, 0, NULL), ==, WM_E_TRAP);
    CHECK_INT(wm_instance_trap(instance), ==, WM_TRAP_OUT_OF_FUEL);
    CHECK(wm_instance_fuel_used(instance) <= 10000 && wm_instance_fuel_used(instance) > 9000);
    wm_instance_set_fuel(instance, 1000);
    union wm_value value = {.i32 = 16};
    CHECK_INT(wm_instance_call(instance, "load", &value, 1, NULL), ==, 0);
    CHECK(wm_instance_fuel_used(instance) > 0 && wm_instance_fuel_used(instance) < 100);
    wm_instance_free(instance);

    struct wm_instance_config config = {
        .fuel = 1, .funcs = funcs, .func_count = WM_COUNT_OF(funcs)};
    CHECK_INT(wm_instance_new(without, &config, &instance, NULL), ==, WM_E_USAGE);
    wm_module_free(module);
    wm_module_free(without);
}

static void *kill_soon(void *instance)
{
    usleep(20000);
    wm_instance_kill(instance);
    return NULL;
}

TEST(killed_from_another_thread)
{
    struct wm_module *module = load(NULL);
    struct wm_instance *instance = instantiate(module, (struct wm_instance_config){0});
    REQUIRE(instance);
    pthread_t killer;
    REQUIRE(pthread_create(&killer, NULL, kill_soon, instance) == 0);
    CHECK_INT(wm_instance_call(instance, "spin", NULL, 0, NULL), ==, WM_E_TRAP);
    CHECK_INT(wm_instance_trap(instance), ==, WM_TRAP_KILLED);
    pthread_join(killer, NULL);
    wm_instance_free(instance);
    wm_module_free(module);
}

TEST(what_does_not_link_is_named)
{
    struct wm_module *module = load(NULL);
    REQUIRE(module);
    struct wm_instance *instance = NULL;
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(wm_instance_new(module, NULL, &instance, &diag), ==, WM_E_UNLINKABLE);
    CHECK(strstr(diag.text, "env") && strstr(diag.text, "add"));
    static const struct wm_host_func wrong[] = {
        {"env", "add", "i:i", host_peek, NULL},
        {"env", "peek", "i:i", host_peek, NULL},
        {"env", "fail", ":", host_fail, NULL},
    };
    struct wm_instance_config config = {.funcs = wrong, .func_count = WM_COUNT_OF(wrong)};
    CHECK_INT(wm_instance_new(module, &config, &instance, &diag), ==, WM_E_UNLINKABLE);
    CHECK(!instance);
    wm_module_free(module);
}

TEST(a_cache_that_others_may_write_to)
{
    char path[sizeof cache + 8];
    snprintf(path, sizeof path, "%s/open", cache);
    struct wm_engine *other = NULL;
    struct wm_engine_config config = {.cache_path = path};
    REQUIRE(wm_engine_new(&config, &other, NULL) == 0);
    wm_engine_free(other);
    char command[sizeof path + 16];
    snprintf(command, sizeof command, "chmod 777 %s", path);
    REQUIRE(system(command) == 0);
    CHECK_INT(wm_engine_new(&config, &other, NULL), ==, WM_E_DENIED);
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {
        TEST_CASE(the_cache_remembers),
        TEST_CASE(bad_modules_are_errors),
        TEST_CASE(signatures),
        TEST_CASE(calls_in_guard),
        TEST_CASE(calls_in_check),
        TEST_CASE(calls_in_det),
        TEST_CASE(limits_of_memory),
        TEST_CASE(deadline_ends_a_loop),
        TEST_CASE(fuel_ends_a_loop),
        TEST_CASE(killed_from_another_thread),
        TEST_CASE(what_does_not_link_is_named),
        TEST_CASE(a_cache_that_others_may_write_to),
    };
    if (!mkdtemp(cache)) {
        return 1;
    }
    struct wm_engine_config config = {.cache_path = cache};
    struct wm_diag diag = WM_DIAG_INIT;
    if (wm_engine_new(&config, &engine, &diag)) {
        fprintf(stderr, "%s\n", wm_diag_text(&diag));
        return 1;
    }
    int status = wm_test_main(tests, WM_COUNT_OF(tests), argc, argv);
    wm_engine_free(engine);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", cache);
    return system(command) == 0 ? status : 1;
}
