/* Settings from a file and a command line; messages that help. */
#include "node/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"

static int parse(struct config *config, const char *yaml, struct wm_diag *diag)
{
    *diag = (struct wm_diag)WM_DIAG_INIT;
    config_init(config);
    return config_parse(config, wm_view_str(yaml), "f.yaml", diag);
}

static int args(struct config *config, struct wm_diag *diag, int argc, char **argv)
{
    enum config_action action;
    *diag = (struct wm_diag)WM_DIAG_INIT;
    config_init(config);
    int err = config_args(config, argc, argv, &action, diag);
    return err ? err : config_check(config, diag);
}
#define ARGS(config, diag, ...)                                                      \
    args(config, diag, (int)WM_COUNT_OF(((char *[]){"wardmote-node", __VA_ARGS__})), \
         (char *[]){"wardmote-node", __VA_ARGS__})

TEST(reads_a_file)
{
    struct config config;
    struct wm_diag diag;
    CHECK_INT(parse(&config,
                    "data: /srv/w\nlisten:\n  - 127.0.0.1:1\n  - '[::1]:2'\npeers: [a:1, b:2]\n"
                    "require-isolation: true\nthreads: 3\nbody-bytes: 1048576\n",
                    &diag),
              ==, 0);
    CHECK_STR(config.data, "/srv/w");
    CHECK_INT(config.listen.count, ==, 2);
    CHECK_STR(config.listen.items[1], "[::1]:2");
    CHECK_INT(config.peers.count, ==, 2);
    CHECK(config.require_isolation && config.threads == 3 && config.body_bytes == 1048576);
    config_fini(&config);
    CHECK_INT(parse(&config, "", &diag), ==, 0);
    config_fini(&config);
    CHECK_INT(parse(&config, "# nothing\n", &diag), ==, 0);
    config_fini(&config);
}

TEST(says_what_is_wrong_where)
{
    static const struct {
        const char *yaml, *text;
    } wrong[] = {
        {"data: /a\nlisen: x\n", "f.yaml:2: there is no setting lisen; did you mean listen?"},
        {"quux: 1\n", "f.yaml:1: there is no setting quux; see --help"},
        {"threads: many\n", "f.yaml:1: threads: many: not a number from 0 to 1024"},
        {"threads: 1025\n", "f.yaml:1: threads: 1025: not a number from 0 to 1024"},
        {"plain-http: perhaps\n", "f.yaml:1: plain-http: perhaps: neither true nor false"},
        {"data: /a\ndata: /b\n", "f.yaml:2: data is set twice"},
        {"data: {a: b}\n", "f.yaml:1: expected `setting: value` lines"},
        {"- a\n", "f.yaml:1: expected `setting: value` lines"},
        {"data: [a]\n", "f.yaml:1: expected `setting: value` lines"},
        {"data: &a x\nname: *a\n", "f.yaml:2: aliases are not supported"},
        {"data: ''\n", "f.yaml:1: data: is empty"},
    };
    for (size_t i = 0; i < WM_COUNT_OF(wrong); i++) {
        struct config config;
        struct wm_diag diag;
        CHECK(parse(&config, wrong[i].yaml, &diag) < 0);
        CHECK_STR(wm_diag_text(&diag), wrong[i].text);
        config_fini(&config);
    }
    struct config config;
    struct wm_diag diag;
    CHECK_INT(parse(&config, "data: 'a", &diag), ==, WM_E_MALFORMED);
    CHECK(strstr(wm_diag_text(&diag), "f.yaml:") != NULL);
    config_fini(&config);
}

TEST(command_line_wins)
{
    char path[] = "/tmp/config_test.XXXXXX";
    struct config config;
    struct wm_diag diag;
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    const char yaml[] = "data: /file\nlisten: [127.0.0.1:1, 127.0.0.1:2]\nthreads: 2\n";
    CHECK(write(fd, yaml, sizeof yaml - 1) == (ssize_t)sizeof yaml - 1);
    close(fd);
    CHECK_INT(ARGS(&config, &diag, "--listen", "127.0.0.1:0", "--config", path, "--data=/flag",
                   "--require-isolation"),
              ==, 0);
    CHECK_STR(config.data, "/flag");
    CHECK_INT(config.listen.count, ==, 1);
    CHECK_STR(config.listen.items[0], "127.0.0.1:0");
    CHECK(config.threads == 2 && config.require_isolation);
    config_fini(&config);
    unlink(path);
}

TEST(refuses_plain_http_off_loopback)
{
    struct config config;
    struct wm_diag diag;
    CHECK_INT(ARGS(&config, &diag, "--data", "/d", "--listen", "0.0.0.0:80"), ==, WM_E_DENIED);
    CHECK(strstr(wm_diag_text(&diag), "plain-http") != NULL);
    config_fini(&config);
    CHECK_INT(ARGS(&config, &diag, "--data", "/d", "--listen", ":80"), ==, WM_E_DENIED);
    config_fini(&config);
    CHECK_INT(ARGS(&config, &diag, "--data", "/d", "--listen", "0.0.0.0:80", "--plain-http"), ==,
              0);
    config_fini(&config);
    CHECK_INT(ARGS(&config, &diag, "--data", "/d", "--listen", "0.0.0.0:80", "--tls-cert", "c",
                   "--tls-key", "k"),
              ==, 0);
    config_fini(&config);
    CHECK(config_is_loopback("127.9.9.9") && config_is_loopback("::1") &&
          config_is_loopback("localhost") && !config_is_loopback("1.2.7.1") &&
          !config_is_loopback(""));
}

/* Relative ones are made whole; without one it is where the client looks. */
TEST(finds_its_folder)
{
    static char *const same[] = {"w", "./w", ".//./w"};
    struct config config;
    struct wm_diag diag;
    char here[4000], want[4096];
    REQUIRE(getcwd(here, sizeof here) != NULL);
    snprintf(want, sizeof want, "%s/w", here);
    for (size_t i = 0; i < WM_COUNT_OF(same); i++) {
        CHECK_INT(ARGS(&config, &diag, "--data", same[i]), ==, 0);
        CHECK_STR(config.data, want);
        CHECK(!config.data_is_default);
        config_fini(&config);
    }
    CHECK_INT(ARGS(&config, &diag, "--data", "./"), ==, 0);
    CHECK_STR(config.data, here);
    config_fini(&config);

    setenv("XDG_STATE_HOME", "/state", 1);
    CHECK_INT(ARGS(&config, &diag, "--listen", "127.0.0.1:0"), ==, 0);
    CHECK_STR(config.data, "/state/wardmote");
    CHECK(config.data_is_default);
    config_fini(&config);
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/home/w", 1);
    CHECK_INT(ARGS(&config, &diag, "--listen", "127.0.0.1:0"), ==, 0);
    CHECK_STR(config.data, geteuid() == 0 ? "/var/lib/wardmote" : "/home/w/.local/state/wardmote");
    config_fini(&config);
    unsetenv("HOME");
    int err = ARGS(&config, &diag, "--listen", "127.0.0.1:0");
    CHECK_INT(err, ==, geteuid() == 0 ? 0 : WM_E_USAGE);
    config_fini(&config);
}

TEST(checks_what_goes_together)
{
    struct config config;
    struct wm_diag diag;
    CHECK_INT(ARGS(&config, &diag, "--data", "/d", "--tls-cert", "c"), ==, WM_E_USAGE);
    config_fini(&config);
    CHECK_INT(ARGS(&config, &diag, "--data", "/d", "--peers", "a:1,b:2"), ==, WM_E_USAGE);
    config_fini(&config);
    CHECK_INT(ARGS(&config, &diag, "--data", "/d", "--peer", "a:1", "--peer", "b:2",
                   "--cluster-key", "k"),
              ==, 0);
    CHECK_INT(config.peers.count, ==, 2);
    config_fini(&config);
    CHECK_INT(ARGS(&config, &diag, "--data", "/d", "--tier", "memcached"), ==, WM_E_USAGE);
    config_fini(&config);
    CHECK_INT(ARGS(&config, &diag, "--data", "/d", "--listen", "127.0.0.1"), ==, WM_E_USAGE);
    config_fini(&config);
    CHECK_INT(ARGS(&config, &diag, "--data"), ==, WM_E_USAGE);
    config_fini(&config);
    CHECK_INT(ARGS(&config, &diag, "--dta", "/d"), ==, WM_E_USAGE);
    CHECK_STR(wm_diag_text(&diag), "command line: there is no setting --dta; did you mean --data?");
    config_fini(&config);
}

TEST(what_is_printed_reads_back)
{
    struct config config, again;
    struct wm_diag diag;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    REQUIRE(out != NULL);
    CHECK_INT(
        ARGS(&config, &diag, "--data", "/a \"b\"\\", "--peers", "x:1,y:2", "--cluster-key", "k"),
        ==, 0);
    config_print(&config, out);
    fclose(out);
    CHECK_INT(parse(&again, text, &diag), ==, 0);
    CHECK_STR(again.data, config.data);
    CHECK_INT(again.peers.count, ==, 2);
    CHECK_INT(again.store_bytes, ==, config.store_bytes);
    free(text);
    config_fini(&config);
    config_fini(&again);
}

TEST(survives_no_memory)
{
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct config config;
        struct wm_diag diag;
        int err = ARGS(&config, &diag, "--data", "/d", "--peers", "x:1,y:2", "--cluster-key", "k");
        CHECK(err == 0 || err == -ENOMEM);
        config_fini(&config);
    }
}

TEST_MAIN(TEST_CASE(reads_a_file), TEST_CASE(says_what_is_wrong_where),
          TEST_CASE(command_line_wins), TEST_CASE(refuses_plain_http_off_loopback),
          TEST_CASE(finds_its_folder), TEST_CASE(checks_what_goes_together),
          TEST_CASE(what_is_printed_reads_back), TEST_CASE(survives_no_memory))
