/* The catalogue: rules, persistence, and a node that is killed at any moment. */
#include "node/catalogue.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"
#include "node/jsonx.h"
#include "store/kv.h"

#define ROUNDS 12

static const uint8_t key[32] = {9, 8, 7};
static char folder[64];
static struct kv *kv;
static struct catalogue *catalogue;
static struct wm_diag diag;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void reopen(void)
{
    if (catalogue) {
        catalogue_close(catalogue);
        kv_close(kv);
    }
    diag = (struct wm_diag)WM_DIAG_INIT;
    struct kv_config config = {.path = folder, .bytes_max = 64 << 20, .no_sync = true};
    int err = kv_open(&config, &kv, &diag);
    err = err ? err : catalogue_open(kv, key, &catalogue, &diag);
    if (err) {
        wm_test_note("%s", wm_diag_text(&diag));
        abort();
    }
}

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/catalogue_test.%d.XXXXXX", (int)getpid());
    if (!mkdtemp(folder)) {
        abort();
    }
    catalogue = NULL;
    reopen();
}

static void end(void)
{
    catalogue_close(catalogue);
    kv_close(kv);
    catalogue = NULL;
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define NOW(change_call)                                          \
    ({                                                            \
        struct catalogue_change *wm_change = NULL;                \
        struct catalogue_change **out = &wm_change;               \
        int wm_err = (change_call);                               \
        wm_err ? wm_err : catalogue_change_now(wm_change, &diag); \
    })

static int make_tenant(const char *name)
{
    struct tenant tenant = {.name = ""};
    snprintf(tenant.name, sizeof tenant.name, "%s", name);
    return NOW(catalogue_set_tenant(catalogue, &tenant, out, &diag));
}

static int make_version(const char *tenant, const char *name, uint64_t bytes, uint32_t *number)
{
    char *args[] = {"one", "two", NULL};
    struct function_version version = {.kind = FUNCTION_COMMAND, .args = args};
    snprintf(version.tenant, sizeof version.tenant, "%s", tenant);
    snprintf(version.name, sizeof version.name, "%s", name);
    version.module_sha256[0] = (uint8_t)bytes;
    version.module_bytes = bytes;
    version.limits.timeout_ms = 1234;
    version.idempotent = true;
    return NOW(catalogue_add_version(catalogue, &version, false, number, out, &diag));
}

static uint32_t version_of(const char *tenant, const char *function)
{
    struct function_version *version = catalogue_find(catalogue, tenant, function);
    uint32_t number = version ? version->version : 0;
    function_version_put(version);
    return number;
}

TEST(versions_and_aliases_last)
{
    uint32_t number = 0;
    begin();
    CHECK_INT(make_tenant("t"), ==, 0);
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK_INT(make_version("t", "f", 10 + i, &number), ==, 0);
        CHECK_INT(number, ==, i);
    }
    CHECK_INT(NOW(catalogue_set_alias(catalogue, "t", "f", "old", 1, out, &diag)), ==, 0);
    CHECK_INT(NOW(catalogue_rollback(catalogue, "t", "f", &number, out, &diag)), ==, 0);
    CHECK_INT(number, ==, 2);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(version_of("t", "f"), ==, 2);
        CHECK_INT(version_of("t", "f:old"), ==, 1);
        CHECK_INT(version_of("t", "f@3"), ==, 3);
        CHECK_INT(version_of("t", "f@4"), ==, 0);
        CHECK_INT(version_of("t", "f:none"), ==, 0);
        CHECK_INT(version_of("u", "f"), ==, 0);
        struct function_version *version = catalogue_find(catalogue, "t", "f");
        REQUIRE(version != NULL);
        CHECK_STR(version->args[1], "two");
        CHECK_INT(version->limits.timeout_ms, ==, 1234);
        CHECK_INT(version->module_bytes, ==, 12);
        CHECK(version->idempotent && version->kind == FUNCTION_COMMAND);
        function_version_put(version);
        reopen();
    }
    /* A removed function is gone, and its numbers begin anew. */
    CHECK_INT(NOW(catalogue_remove_function(catalogue, "t", "f", out, &diag)), ==, 0);
    CHECK_INT(version_of("t", "f"), ==, 0);
    reopen();
    CHECK_INT(version_of("t", "f"), ==, 0);
    CHECK_INT(NOW(catalogue_remove_function(catalogue, "t", "f", out, &diag)), ==, WM_E_NOT_FOUND);
    end();
}

static int freed;
static void count_free(struct function_version *version)
{
    (void)version;
    freed++;
}

TEST(a_running_call_keeps_its_version)
{
    uint32_t number;
    char *env[] = {"A=1", NULL};
    begin();
    CHECK_INT(make_tenant("t"), ==, 0);
    CHECK_INT(make_version("t", "f", 1, &number), ==, 0);
    struct function_version *running = catalogue_find(catalogue, "t", "f");
    REQUIRE(running != NULL);
    running->worker_free = count_free;
    CHECK_INT(NOW(catalogue_set_env(catalogue, "t", "f", env, NULL, 0, out, &diag)), ==, 0);
    CHECK(running->env[0] == NULL);
    struct function_version *next = catalogue_find(catalogue, "t", "f");
    REQUIRE(next != NULL);
    CHECK_STR(next->env[0], "A=1");
    CHECK(next->env_revision > running->env_revision);
    CHECK_INT(freed, ==, 0);
    function_version_put(running);
    CHECK_INT(freed, ==, 1);
    function_version_put(next);
    end();
}

TEST(tokens_are_known_by_their_hash)
{
    char text[CATALOGUE_TOKEN_BYTES + 1], id[CATALOGUE_ID_BYTES + 1];
    const char *tenant = NULL;
    begin();
    CHECK_INT(make_tenant("t"), ==, 0);
    CHECK_INT(NOW(catalogue_add_token(catalogue, "t", ROLE_DEPLOY, text, id, out, &diag)), ==, 0);
    CHECK_INT(strlen(text), ==, CATALOGUE_TOKEN_BYTES);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(catalogue_token(catalogue, wm_view_str(text), &tenant), ==, ROLE_DEPLOY);
        CHECK_STR(tenant, "t");
        reopen();
    }
    json_t *tokens = catalogue_show_tokens(catalogue, "t");
    char *dump = json_dumps(tokens, 0);
    CHECK(strstr(dump, id) && !strstr(dump, text + 4));
    free(dump);
    json_decref(tokens);
    text[10] ^= 1;
    CHECK_INT(catalogue_token(catalogue, wm_view_str(text), &tenant), ==, ROLE_NONE);
    text[10] ^= 1;
    CHECK_INT(catalogue_token(catalogue, wm_view_str(""), &tenant), ==, ROLE_NONE);
    CHECK_INT(NOW(catalogue_remove_token(catalogue, "u", id, out, &diag)), ==, WM_E_NOT_FOUND);
    CHECK_INT(NOW(catalogue_remove_token(catalogue, "t", id, out, &diag)), ==, 0);
    CHECK_INT(catalogue_token(catalogue, wm_view_str(text), &tenant), ==, ROLE_NONE);
    end();
}

/* Is the text anywhere in the store's files? */
static bool on_disk(const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    FILE *file = fopen(path, "rb");
    if (!file) {
        return false;
    }
    static char bytes[4 << 20];
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    return memmem(bytes, len, text, strlen(text)) != NULL;
}

TEST(secrets_are_not_readable_on_disk)
{
    uint32_t number;
    char **secrets = NULL;
    begin();
    CHECK_INT(make_tenant("t"), ==, 0);
    CHECK_INT(make_version("t", "visible-name", 1, &number), ==, 0);
    CHECK_INT(NOW(catalogue_set_secret(catalogue, "t", "visible-name", "TOKEN",
                                       wm_view_str("hidden-value"), out, &diag)),
              ==, 0);
    CHECK_INT(NOW(catalogue_set_secret(catalogue, "t", "visible-name", "EMPTY", wm_view_str(""),
                                       out, &diag)),
              ==, 0);
    CHECK(on_disk("visible-name"));
    CHECK(!on_disk("hidden-value"));
    reopen();
    REQUIRE(catalogue_secrets(catalogue, "t", "visible-name", &secrets, &diag) == 0);
    bool has_token = false, has_empty = false;
    for (size_t i = 0; secrets[i]; i++) {
        has_token |= strcmp(secrets[i], "TOKEN=hidden-value") == 0;
        has_empty |= strcmp(secrets[i], "EMPTY=") == 0;
    }
    CHECK(has_token && has_empty);
    catalogue_secrets_free(secrets);
    json_t *json = catalogue_show_function(catalogue, "t", "visible-name");
    char *dump = json_dumps(json, 0);
    CHECK(strstr(dump, "TOKEN") && !strstr(dump, "hidden"));
    free(dump);
    json_decref(json);
    CHECK_INT(NOW(catalogue_set_secret(catalogue, "t", "visible-name", "TOKEN", (struct wm_view){0},
                                       out, &diag)),
              ==, 0);
    CHECK_INT(NOW(catalogue_set_secret(catalogue, "t", "visible-name", "TOKEN", (struct wm_view){0},
                                       out, &diag)),
              ==, WM_E_NOT_FOUND);
    end();
}

static int put_route(const char *name, const char *method, const char *path)
{
    struct route route = {.function = "f"};
    snprintf(route.name, sizeof route.name, "%s", name);
    snprintf(route.method, sizeof route.method, "%s", method);
    snprintf(route.path, sizeof route.path, "%s", path);
    return NOW(catalogue_set_route(catalogue, "t", &route, out, &diag));
}

static const char *leads_to(const char *method, const char *path)
{
    bool known;
    const struct route *route = catalogue_route(catalogue, "t", method, path, &known);
    return route ? route->name : known ? "405" : "404";
}

TEST(the_most_exact_route_wins)
{
    begin();
    CHECK_INT(make_tenant("t"), ==, 0);
    CHECK_INT(put_route("all", "*", "/*"), ==, 0);
    CHECK_INT(put_route("shop", "GET", "/shop/*"), ==, 0);
    CHECK_INT(put_route("cart", "*", "/shop/cart/*"), ==, 0);
    CHECK_INT(put_route("pay", "POST", "/shop/cart/pay"), ==, 0);
    CHECK_INT(put_route("root", "GET", "/"), ==, 0);
    CHECK_INT(put_route("same", "*", "/*"), ==, WM_E_BUSY);
    for (int round = 0; round < 2; round++) {
        CHECK_STR(leads_to("GET", "/"), "root");
        CHECK_STR(leads_to("PUT", "/"), "all");
        CHECK_STR(leads_to("GET", "/shop"), "shop");
        CHECK_STR(leads_to("GET", "/shop/x/y"), "shop");
        CHECK_STR(leads_to("POST", "/shop/x"), "all");
        CHECK_STR(leads_to("GET", "/shopping"), "all");
        CHECK_STR(leads_to("POST", "/shop/cart/pay"), "pay");
        CHECK_STR(leads_to("GET", "/shop/cart/pay"), "cart");
        reopen();
    }
    CHECK_INT(NOW(catalogue_remove_route(catalogue, "t", "all", out, &diag)), ==, 0);
    CHECK_STR(leads_to("POST", "/shop/x"), "405");
    CHECK_STR(leads_to("GET", "/nowhere"), "404");
    CHECK_INT(put_route("bad", "GET", "shop"), ==, WM_E_USAGE);
    CHECK_INT(put_route("bad", "GET", "/a/../b"), ==, WM_E_USAGE);
    CHECK_INT(put_route("bad", "GET", "/a*/b"), ==, WM_E_USAGE);
    CHECK_INT(put_route("bad", "GET", "/*/b"), ==, WM_E_USAGE);
    CHECK_INT(put_route("bad", "FETCH", "/b"), ==, WM_E_USAGE);
    end();
}

TEST(rules_of_names_and_limits)
{
    uint32_t number;
    struct tenant tenant = {.name = "q", .quota = {.modules_bytes = 100}};
    char *allow[] = {"example.org:443", "*.example.org:80", NULL};
    char *bad_allow[] = {"EXAMPLE.org", NULL};
    char *bad_env[] = {"1A=x", NULL};
    begin();
    CHECK_INT(make_tenant("../x"), ==, WM_E_USAGE);
    CHECK_INT(make_tenant(""), ==, WM_E_USAGE);
    tenant.allow = allow;
    CHECK_INT(NOW(catalogue_set_tenant(catalogue, &tenant, out, &diag)), ==, 0);
    tenant.allow = bad_allow;
    CHECK_INT(NOW(catalogue_set_tenant(catalogue, &tenant, out, &diag)), ==, WM_E_USAGE);
    const struct tenant *kept = catalogue_tenant(catalogue, "q");
    REQUIRE(kept != NULL);
    CHECK_STR(kept->allow[1], "*.example.org:80");
    CHECK_STR(kept->trust_class, "q");
    CHECK_INT(kept->quota.calls_running, ==, 256);
    CHECK_INT(make_version("q", "f", 60, &number), ==, 0);
    CHECK_INT(make_version("q", "g", 60, &number), ==, 0); /* the same file: once */
    CHECK_INT(make_version("q", "g", 61, &number), ==, WM_E_LIMIT);
    CHECK_INT(make_version("nobody", "g", 60, &number), ==, WM_E_NOT_FOUND);
    CHECK_INT(NOW(catalogue_set_env(catalogue, "q", "f", bad_env, NULL, 0, out, &diag)), ==,
              WM_E_USAGE);
    CHECK_INT(NOW(catalogue_rollback(catalogue, "q", "f", &number, out, &diag)), ==, WM_E_BUSY);
    /* With the tenant goes everything it has. */
    CHECK_INT(NOW(catalogue_remove_tenant(catalogue, "q", out, &diag)), ==, 0);
    CHECK_INT(version_of("q", "f"), ==, 0);
    reopen();
    CHECK(catalogue_tenant(catalogue, "q") == NULL);
    CHECK_INT(version_of("q", "f"), ==, 0);
    end();
}

/* Old versions without a name make room. */
TEST(versions_are_bounded)
{
    uint32_t number;
    begin();
    CHECK_INT(make_tenant("t"), ==, 0);
    CHECK_INT(make_version("t", "f", 1, &number), ==, 0);
    CHECK_INT(NOW(catalogue_set_alias(catalogue, "t", "f", "first", 1, out, &diag)), ==, 0);
    for (uint32_t i = 0; i < CATALOGUE_VERSIONS_MAX + 5; i++) {
        CHECK_INT(make_version("t", "f", 1, &number), ==, 0);
    }
    CHECK_INT(version_of("t", "f:first"), ==, 1);
    CHECK_INT(version_of("t", "f@2"), ==, 0);
    CHECK_INT(version_of("t", "f"), ==, CATALOGUE_VERSIONS_MAX + 6);
    end();
}

TEST(a_failed_commit_changes_nothing)
{
    begin();
    CHECK_INT(make_tenant("t"), ==, 0);
    struct tenant tenant = {.name = "u"};
    struct catalogue_change *change = NULL;
    REQUIRE(catalogue_set_tenant(catalogue, &tenant, &change, &diag) == 0);
    catalogue_change_apply(change, false);
    CHECK(catalogue_tenant(catalogue, "u") == NULL);
    CHECK_INT(make_tenant("u"), ==, 0);
    end();
}

TEST(survives_no_memory)
{
    uint32_t number;
    begin();
    CHECK_INT(make_tenant("t"), ==, 0);
    CHECK_INT(make_version("t", "f", 1, &number), ==, 0);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        char *env[] = {"A=1", "B=2", NULL};
        int err = NOW(catalogue_set_env(catalogue, "t", "f", env, NULL, 0, out, &diag));
        CHECK(err == 0 || err == -ENOMEM);
    }
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        int err = make_version("t", "f", 1, &number);
        CHECK(err == 0 || err == -ENOMEM);
    }
    CHECK(version_of("t", "f") >= 2);
    reopen();
    CHECK(version_of("t", "f") >= 2);
    end();
}

/* A child makes versions and tells each that was acknowledged; it is killed; none may be lost. */
TEST(nothing_acknowledged_is_lost_by_a_kill)
{
    volatile uint32_t *told =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(told != MAP_FAILED);
    begin();
    CHECK_INT(make_tenant("t"), ==, 0);
    unsigned seed = (unsigned)getpid();
    wm_test_note("seed %u", seed);
    for (int round = 0; round < ROUNDS; round++) {
        catalogue_close(catalogue);
        kv_close(kv);
        catalogue = NULL;
        pid_t child = fork();
        if (child == 0) {
            reopen();
            for (;;) {
                uint32_t number;
                if (make_version("t", "f", 1, &number) == 0) {
                    *told = number;
                }
            }
        }
        REQUIRE(child > 0);
        usleep(1000 + (useconds_t)(rand_r(&seed) % 30000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        reopen();
        uint32_t latest = version_of("t", "f");
        CHECK(latest >= *told && latest <= *told + 1);
        *told = latest;
    }
    CHECK(*told > 0);
    end();
    munmap((void *)told, 4096);
}

TEST_MAIN(TEST_CASE(versions_and_aliases_last), TEST_CASE(a_running_call_keeps_its_version),
          TEST_CASE(tokens_are_known_by_their_hash), TEST_CASE(secrets_are_not_readable_on_disk),
          TEST_CASE(the_most_exact_route_wins), TEST_CASE(rules_of_names_and_limits),
          TEST_CASE(versions_are_bounded), TEST_CASE(a_failed_commit_changes_nothing),
          TEST_CASE(survives_no_memory), TEST_CASE(nothing_acknowledged_is_lost_by_a_kill))
