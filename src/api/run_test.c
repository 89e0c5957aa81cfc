/* Every allocation and every kernel call on the way of a whole run may fail: the run then ends in
 * an error with a sentence, or in a poorer but true report, and never in anything else. The module,
 * as text:
 *
 *     (module
 *       (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
 *       (memory (export "memory") 1)
 *       (func (export "_start") (call $exit (i32.const 7))))
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wardmote/run.h>

#include "base/fault.h"
#include "base/test.h"

static const unsigned char module_bytes[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x60, 0x01, 0x7f, 0x00, 0x60,
    0x00, 0x00, 0x02, 0x24, 0x01, 0x16, 0x77, 0x61, 0x73, 0x69, 0x5f, 0x73, 0x6e, 0x61, 0x70, 0x73,
    0x68, 0x6f, 0x74, 0x5f, 0x70, 0x72, 0x65, 0x76, 0x69, 0x65, 0x77, 0x31, 0x09, 0x70, 0x72, 0x6f,
    0x63, 0x5f, 0x65, 0x78, 0x69, 0x74, 0x00, 0x00, 0x03, 0x02, 0x01, 0x01, 0x05, 0x03, 0x01, 0x00,
    0x01, 0x07, 0x13, 0x02, 0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00, 0x06, 0x5f, 0x73,
    0x74, 0x61, 0x72, 0x74, 0x00, 0x01, 0x0a, 0x08, 0x01, 0x06, 0x00, 0x41, 0x07, 0x10, 0x00, 0x0b,
};

static char folder[] = "/tmp/wardmote-run-test-XXXXXX";
static char module_path[64], cache_path[64];

static struct wm_run_config config_of(void)
{
    static const char *const args[] = {"program", "one"};
    static const char *const env[] = {"A=1"};
    static struct wm_dir dirs[1];
    dirs[0] = (struct wm_dir){.host = folder, .guest = "/data"};
    return (struct wm_run_config){
        .module_path = module_path,
        .cache_path = cache_path,
        .wasi = {.args = args,
                 .arg_count = 2,
                 .env = env,
                 .env_count = 1,
                 .dirs = dirs,
                 .dir_count = 1},
    };
}

/* One run under an armed fault. True when it went as if nothing had happened. */
static bool run_once(const struct wm_run_config *config)
{
    struct wm_run_report report;
    struct wm_diag diag = WM_DIAG_INIT;
    int error = wm_run(config, &report, &diag);
    bool well = error == 0 && report.trap == WM_TRAP_NONE && report.exit_status == 7;
    CHECK(error <= 0);
    if (error) {
        CHECK(diag.text[0] && diag.code == error);
        CHECK(!report.backtrace && !report.results);
    }
    wm_run_report_fini(&report);
    return well;
}

static void every_failure(enum wm_fault_kind kind)
{
    struct wm_run_config config = config_of();
    bool well = run_once(&config); /* compiled and cached before: the loop is about running */
    REQUIRE(well);
    uint64_t rounds = 0;
    for (uint64_t n = 0; wm_fault_next(kind, &n); rounds++) {
        well = run_once(&config);
    }
    CHECK(well);
    CHECK(rounds > 5);
    wm_test_note("%llu operations could fail", (unsigned long long)rounds);
}

TEST(every_allocation_may_fail)
{
    every_failure(WM_FAULT_ALLOC);
}

TEST(every_kernel_call_may_fail)
{
    every_failure(WM_FAULT_IO);
}

TEST(what_is_given_must_be_there)
{
    static const char *const listen[] = {"127.0.0.1:0", "nowhere"};
    struct wm_run_report report;
    struct wm_diag diag = WM_DIAG_INIT;
    struct wm_run_config config = config_of();
    char missing[80];
    snprintf(missing, sizeof missing, "%s/missing", folder);
    ((struct wm_dir *)(uintptr_t)config.wasi.dirs)->host = missing;
    CHECK(wm_run(&config, &report, &diag) < 0);
    CHECK(strstr(diag.text, missing) != NULL);
    wm_run_report_fini(&report);

    config = config_of();
    config.wasi.listen = listen;
    config.wasi.listen_count = 2;
    CHECK(wm_run(&config, &report, &diag) < 0);
    CHECK(strstr(diag.text, "nowhere") != NULL);
    wm_run_report_fini(&report);

    config = config_of();
    config.module_path = missing;
    CHECK_INT(wm_run(&config, &report, &diag), ==, -ENOENT);
    CHECK(strstr(diag.text, missing) != NULL);
    wm_run_report_fini(&report);
}

TEST(times_follow_each_other)
{
    struct wm_run_config config = config_of();
    struct wm_run_report report;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(wm_run(&config, &report, &diag) == 0);
    CHECK(report.load_ns > 0 && report.load_ns <= report.first_instr_ns &&
          report.first_instr_ns <= report.total_ns);
    CHECK_INT(report.memory_peak_bytes, ==, 65536);
    CHECK(report.process_peak_bytes > 65536);
    wm_run_report_fini(&report);
    config.fuel = 1000;
    REQUIRE(wm_run(&config, &report, &diag) == 0);
    CHECK(report.fuel_used > 0 && report.fuel_used < 100);
    wm_run_report_fini(&report);
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {
        TEST_CASE(every_allocation_may_fail),
        TEST_CASE(every_kernel_call_may_fail),
        TEST_CASE(what_is_given_must_be_there),
        TEST_CASE(times_follow_each_other),
    };
    if (!mkdtemp(folder)) {
        return 1;
    }
    snprintf(module_path, sizeof module_path, "%s/exit.wasm", folder);
    snprintf(cache_path, sizeof cache_path, "%s/cache", folder);
    FILE *file = fopen(module_path, "wb");
    if (!file || fwrite(module_bytes, sizeof module_bytes, 1, file) != 1 || fclose(file) != 0) {
        return 1;
    }
    int status = wm_test_main(tests, WM_COUNT_OF(tests), argc, argv);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? status : 1;
}
