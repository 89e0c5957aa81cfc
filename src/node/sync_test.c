/* Two catalogues and what passes between them: revisions, tombstones, merging, hostile entries. */
#include "node/catalogue_sync.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"
#include "host/file.h"
#include "node/jsonx.h"
#include "node/sync_message.h"
#include "store/kv.h"

#define NODES 3

static const uint8_t key[32] = {9, 8, 7};
static struct wm_diag diag;
static struct node {
    char folder[64], name[8];
    struct kv *kv;
    struct catalogue *catalogue;
} nodes[NODES];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void open_node(struct node *node)
{
    struct kv_config config = {.path = node->folder, .bytes_max = 64 << 20, .no_sync = true};
    int err = kv_open(&config, &node->kv, &diag);
    err = err ? err : catalogue_open(node->kv, key, &node->catalogue, &diag);
    if (err) {
        wm_test_note("%s", wm_diag_text(&diag));
        abort();
    }
    catalogue_set_node(node->catalogue, node->name);
}

static void close_node(struct node *node)
{
    catalogue_close(node->catalogue);
    kv_close(node->kv);
}

#define NOW(change_call)                                                        \
    ({                                                                          \
        struct catalogue_change *wm_change = NULL;                              \
        struct catalogue_change **out = &wm_change;                             \
        int wm_err = (change_call);                                             \
        wm_err || !wm_change ? wm_err : catalogue_change_now(wm_change, &diag); \
    })

static int make_tenant(struct node *node, const char *name)
{
    struct tenant tenant = {.name = ""};
    snprintf(tenant.name, sizeof tenant.name, "%s", name);
    return NOW(catalogue_set_tenant(node->catalogue, &tenant, out, &diag));
}

static void begin(void)
{
    diag = (struct wm_diag)WM_DIAG_INIT;
    for (int i = 0; i < NODES; i++) {
        snprintf(nodes[i].folder, sizeof nodes[i].folder, "/tmp/sync_test.%d.XXXXXX",
                 (int)getpid());
        snprintf(nodes[i].name, sizeof nodes[i].name, "n%d", i + 1);
        if (!mkdtemp(nodes[i].folder)) {
            abort();
        }
        open_node(&nodes[i]);
    }
}

static void end(void)
{
    for (int i = 0; i < NODES; i++) {
        close_node(&nodes[i]);
        nftw(nodes[i].folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
}

struct carrying {
    struct kv_reader *reader;
    struct catalogue_import *import;
    enum entry_kind kind;
    int err;
};

static bool carry_one(void *self, struct wm_view entry, const struct revision *revision)
{
    struct carrying *carrying = self;
    struct revision read;
    struct wm_view text;
    carrying->err = catalogue_export(carrying->reader, carrying->kind, entry, &read, &text);
    if (!carrying->err) {
        carrying->err = revision_compare(revision, &read);
    }
    if (!carrying->err) {
        carrying->err =
            catalogue_import_add(carrying->import, carrying->kind, entry, revision, text, &diag);
    }
    return carrying->err == 0;
}

/* Everything of one node to another. *changed: something was new there. */
static int carry(struct node *from, struct node *to, int64_t now_ns, bool *changed)
{
    struct carrying carrying = {.import = catalogue_import_new()};
    struct catalogue_change *change = NULL;
    *changed = false;
    int err = carrying.import ? kv_read_begin(from->kv, &carrying.reader, &diag) : -ENOMEM;
    if (err) {
        catalogue_import_free(carrying.import);
        return err;
    }
    for (unsigned i = 0; i < ENTRY_KINDS && !err; i++) {
        carrying.kind = (enum entry_kind)i;
        err = catalogue_each_revision(carrying.reader, carrying.kind, (struct wm_view){0}, now_ns,
                                      carry_one, &carrying);
        err = err ? err : carrying.err;
    }
    kv_read_end(carrying.reader);
    err =
        err ? err : catalogue_import_change(to->catalogue, carrying.import, now_ns, &change, &diag);
    catalogue_import_free(carrying.import);
    *changed = change != NULL;
    return err || !change ? err : catalogue_change_now(change, &diag);
}

static bool digest_one(void *self, struct wm_view entry, const struct revision *revision)
{
    sync_digest_add(self, entry, revision);
    return true;
}

static struct sync_digest digest_of(struct node *node, enum entry_kind kind)
{
    struct sync_digest digest = {0};
    struct kv_reader *reader;
    if (kv_read_begin(node->kv, &reader, &diag) != 0 ||
        catalogue_each_revision(reader, kind, (struct wm_view){0}, host_realtime_ns(), digest_one,
                                &digest) != 0) {
        abort();
    }
    kv_read_end(reader);
    return digest;
}

static bool agree(void)
{
    for (int i = 1; i < NODES; i++) {
        for (unsigned kind = 0; kind < ENTRY_KINDS; kind++) {
            struct sync_digest a = digest_of(&nodes[0], (enum entry_kind)kind);
            struct sync_digest b = digest_of(&nodes[i], (enum entry_kind)kind);
            if (memcmp(&a, &b, sizeof a) != 0) {
                return false;
            }
        }
    }
    return true;
}

/* All to all, in an order of `seed`, until nobody learns anything; false: never. */
static bool settle(unsigned seed)
{
    for (int round = 0; round < 12; round++) {
        bool any = false;
        for (unsigned i = 0; i < NODES * NODES; i++) {
            unsigned pair = (i * 7 + seed) % (NODES * NODES);
            bool changed;
            if (pair / NODES != pair % NODES) {
                if (carry(&nodes[pair / NODES], &nodes[pair % NODES], host_realtime_ns(),
                          &changed) != 0) {
                    wm_test_note("%s", wm_diag_text(&diag));
                    return false;
                }
                any |= changed;
            }
        }
        if (!any) {
            return agree();
        }
    }
    return false;
}

static int upload(struct node *node, const char *name, uint8_t module, uint32_t *number)
{
    struct function_version version = {.tenant = "acme", .kind = FUNCTION_FAASLET};
    snprintf(version.name, sizeof version.name, "%s", name);
    version.module_sha256[0] = module;
    version.module_bytes = 1;
    return NOW(catalogue_add_version(node->catalogue, &version, false, number, out, &diag));
}

/* The module that a name means: its first byte; 0: none. */
static uint8_t means(struct node *node, const char *function)
{
    struct function_version *version = catalogue_find(node->catalogue, "acme", function);
    uint8_t module = version ? version->module_sha256[0] : 0;
    function_version_put(version);
    return module;
}

static size_t version_count(struct node *node, const char *function)
{
    json_t *shown = catalogue_show_function(node->catalogue, "acme", function);
    size_t count = json_array_size(json_object_get(shown, "versions"));
    json_decref(shown);
    return count;
}

static bool has_module(struct node *node, const char *function, uint8_t module)
{
    for (uint32_t i = 1; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s@%u", function, i);
        if (means(node, name) == module) {
            return true;
        }
    }
    return false;
}

TEST(revisions_are_ordered_and_never_go_back)
{
    struct revision a = {5, false, "n1"}, b = {5, false, "n2"}, c = {6, true, "n1"}, read;
    uint8_t bytes[REVISION_BYTES_MAX];
    CHECK(revision_compare(&a, &b) < 0 && revision_compare(&b, &c) < 0);
    CHECK(revision_compare(&a, &a) == 0);
    CHECK(revision_next(10, 20) == 20 && revision_next(20, 10) == 21 && revision_next(7, -5) == 8);
    size_t len = revision_encode(&c, bytes);
    CHECK(revision_decode(wm_view_of(bytes, len), &read) && revision_compare(&read, &c) == 0);
    CHECK(read.removed);
    CHECK(!revision_decode(wm_view_of(bytes, 8), &read));
    bytes[8] = 2;
    CHECK(!revision_decode(wm_view_of(bytes, len), &read));
}

TEST(the_last_writer_wins_and_all_agree)
{
    begin();
    struct tenant tenant = {.name = "acme", .quota.calls_per_s = 1};
    CHECK(NOW(catalogue_set_tenant(nodes[0].catalogue, &tenant, out, &diag)) == 0);
    tenant.quota.calls_per_s = 2;
    CHECK(NOW(catalogue_set_tenant(nodes[1].catalogue, &tenant, out, &diag)) == 0);
    CHECK(settle(3));
    for (int i = 0; i < NODES; i++) {
        CHECK(catalogue_tenant(nodes[i].catalogue, "acme")->quota.calls_per_s == 2);
    }
    /* Also after a restart. */
    close_node(&nodes[2]);
    open_node(&nodes[2]);
    CHECK(agree());
    end();
}

TEST(what_is_there_by_default_undoes_nothing)
{
    begin();
    struct tenant tenant = {.name = "acme", .quota.calls_per_s = 7};
    CHECK(NOW(catalogue_set_tenant(nodes[0].catalogue, &tenant, out, &diag)) == 0);
    catalogue_defaults(nodes[1].catalogue, true);
    CHECK(make_tenant(&nodes[1], "acme") == 0);
    catalogue_defaults(nodes[1].catalogue, false);
    CHECK(settle(0));
    CHECK(catalogue_tenant(nodes[1].catalogue, "acme")->quota.calls_per_s == 7);
    end();
}

TEST(removals_spread_and_are_forgotten)
{
    begin();
    bool changed;
    CHECK(make_tenant(&nodes[0], "acme") == 0 && settle(0));
    CHECK(NOW(catalogue_remove_tenant(nodes[1].catalogue, "acme", out, &diag)) == 0);
    CHECK(settle(5));
    for (int i = 0; i < NODES; i++) {
        CHECK(!catalogue_tenant(nodes[i].catalogue, "acme"));
        CHECK(digest_of(&nodes[i], ENTRY_TENANT).count == 1);
    }
    int64_t later = host_realtime_ns() + TOMBSTONE_NS + 1000000000;
    CHECK(NOW(catalogue_forget(nodes[0].catalogue, host_realtime_ns(), out, &diag)) == 0);
    CHECK(digest_of(&nodes[0], ENTRY_TENANT).count == 1);
    CHECK(NOW(catalogue_forget(nodes[0].catalogue, later, out, &diag)) == 0);
    CHECK(digest_of(&nodes[0], ENTRY_TENANT).count == 0);
    /* One that still has it does not bring it back then. */
    CHECK(carry(&nodes[1], &nodes[0], later, &changed) == 0 && !changed);
    end();
}

TEST(no_upload_is_lost_whatever_the_order)
{
    for (unsigned seed = 0; seed < 9; seed++) {
        begin();
        uint32_t number;
        CHECK(make_tenant(&nodes[0], "acme") == 0);
        CHECK(upload(&nodes[0], "f", 1, &number) == 0 && number == 1 && settle(0));
        for (int i = 0; i < NODES; i++) {
            CHECK(upload(&nodes[i], "f", (uint8_t)(10 + i), &number) == 0 && number == 2);
        }
        CHECK(upload(&nodes[1], "f", 20, &number) == 0 && number == 3);
        CHECK(NOW(catalogue_set_alias(nodes[2].catalogue, "acme", "f", "mine", 2, out, &diag)) ==
              0);
        bool settled = settle(seed);
        if (!settled) {
            wm_test_note("seed %u", seed);
        }
        CHECK(settled);
        for (int i = 0; i < NODES; i++) {
            CHECK(version_count(&nodes[i], "f") == 5);
            CHECK(has_module(&nodes[i], "f", 10) && has_module(&nodes[i], "f", 11));
            CHECK(has_module(&nodes[i], "f", 12) && has_module(&nodes[i], "f", 20));
            CHECK(means(&nodes[i], "f@2") == 10); /* the first keeps its number */
            CHECK(means(&nodes[i], "f:mine") == 12 && means(&nodes[i], "f") == 12);
        }
        end();
    }
}

TEST(a_function_made_anew_keeps_nothing_of_the_former)
{
    begin();
    uint32_t number;
    bool changed;
    CHECK(make_tenant(&nodes[0], "acme") == 0);
    CHECK(upload(&nodes[0], "f", 1, &number) == 0 && settle(0));
    CHECK(NOW(catalogue_remove_function(nodes[0].catalogue, "acme", "f", out, &diag)) == 0);
    CHECK(upload(&nodes[0], "f", 2, &number) == 0 && number == 1);
    /* n2 did not see the removal, and has changed the former one meanwhile. */
    CHECK(NOW(catalogue_set_alias(nodes[1].catalogue, "acme", "f", "old", 1, out, &diag)) == 0);
    CHECK(carry(&nodes[1], &nodes[0], host_realtime_ns(), &changed) == 0);
    CHECK(settle(4));
    for (int i = 0; i < NODES; i++) {
        CHECK(version_count(&nodes[i], "f") == 1 && has_module(&nodes[i], "f", 2));
        CHECK(means(&nodes[i], "f:old") == 0);
    }
    end();
}

TEST(versions_stay_bounded_when_merged)
{
    begin();
    uint32_t number;
    CHECK(make_tenant(&nodes[0], "acme") == 0 && settle(0));
    for (int i = 0; i < 2; i++) {
        for (unsigned j = 0; j < CATALOGUE_VERSIONS_MAX; j++) {
            CHECK(upload(&nodes[i], "f", (uint8_t)(1 + i * 64 + (int)j), &number) == 0);
        }
    }
    CHECK(settle(2));
    CHECK(version_count(&nodes[2], "f") == CATALOGUE_VERSIONS_MAX);
    CHECK(means(&nodes[2], "f") == 128);
    end();
}

static int set_route(struct node *node, const char *name, const char *path)
{
    struct route route = {.method = "*", .function = "f"};
    snprintf(route.name, sizeof route.name, "%s", name);
    snprintf(route.path, sizeof route.path, "%s", path);
    return NOW(catalogue_set_route(node->catalogue, "acme", &route, out, &diag));
}

static size_t route_count(struct node *node)
{
    json_t *shown = catalogue_show_routes(node->catalogue, "acme");
    size_t count = json_array_size(shown);
    for (size_t i = 0; i < count; i++) {
        CHECK(!json_object_get(json_array_get(shown, i), "changed_ns"));
    }
    json_decref(shown);
    return count;
}

TEST(routes_and_crons_are_merged_by_name)
{
    begin();
    bool known;
    CHECK(make_tenant(&nodes[0], "acme") == 0 && settle(0));
    CHECK(set_route(&nodes[0], "kept", "/kept") == 0 && set_route(&nodes[0], "gone", "/gone") == 0);
    CHECK(settle(1));
    CHECK(set_route(&nodes[0], "a", "/a/*") == 0 && set_route(&nodes[1], "b", "/a/b") == 0);
    CHECK(NOW(catalogue_remove_route(nodes[2].catalogue, "acme", "gone", out, &diag)) == 0);
    struct cron_trigger cron = {.name = "x", .schedule = "* * * * *", .function = "f", .input = ""};
    CHECK(NOW(catalogue_set_cron(nodes[0].catalogue, "acme", &cron, out, &diag)) == 0);
    cron.name[0] = 'y';
    CHECK(NOW(catalogue_set_cron(nodes[1].catalogue, "acme", &cron, out, &diag)) == 0);
    CHECK(settle(6));
    for (int i = 0; i < NODES; i++) {
        CHECK(route_count(&nodes[i]) == 3);
        const struct route *route =
            catalogue_route(nodes[i].catalogue, "acme", "GET", "/a/b", &known);
        CHECK(route && strcmp(route->name, "b") == 0); /* the most exact first, still */
        json_t *crons = catalogue_show_crons(nodes[i].catalogue, "acme");
        CHECK(json_array_size(crons) == 2);
        json_decref(crons);
    }
    /* One path on two nodes: one of them stays, the same everywhere. */
    CHECK(set_route(&nodes[0], "p", "/same") == 0 && set_route(&nodes[1], "q", "/same") == 0);
    CHECK(settle(7));
    CHECK(route_count(&nodes[0]) == 4 && route_count(&nodes[2]) == 4);
    end();
}

TEST(secrets_are_sealed_anew_for_a_cluster)
{
    begin();
    static const uint8_t other[32] = {1};
    uint32_t number;
    char **secrets = NULL;
    CHECK(make_tenant(&nodes[0], "acme") == 0 && upload(&nodes[0], "f", 1, &number) == 0);
    CHECK(NOW(catalogue_set_secret(nodes[0].catalogue, "acme", "f", "WORD", wm_view_str("sesame"),
                                   out, &diag)) == 0);
    catalogue_close(nodes[0].catalogue);
    CHECK(catalogue_open(nodes[0].kv, other, &nodes[0].catalogue, &diag) == 0);
    catalogue_set_node(nodes[0].catalogue, "n1");
    CHECK(catalogue_secrets(nodes[0].catalogue, "acme", "f", &secrets, &diag) == WM_E_FORGED);
    CHECK(NOW(catalogue_reseal(nodes[0].catalogue, key, out, &diag)) == 0);
    CHECK(catalogue_secrets(nodes[0].catalogue, "acme", "f", &secrets, &diag) == 0);
    CHECK(secrets && strcmp(secrets[0], "WORD=sesame") == 0);
    catalogue_secrets_free(secrets);
    /* Nothing is left to do. */
    struct catalogue_change *change = NULL;
    CHECK(catalogue_reseal(nodes[0].catalogue, key, &change, &diag) == 0 && !change);
    end();
}

static int offer(enum entry_kind kind, const char *name, size_t name_len, uint64_t time_ns,
                 const char *text)
{
    struct catalogue_import *import = catalogue_import_new();
    struct revision revision = {time_ns, false, "evil"};
    struct catalogue_change *change = NULL;
    int err = catalogue_import_add(import, kind, wm_view_of(name, name_len), &revision,
                                   wm_view_str(text), &diag);
    if (!err) {
        err =
            catalogue_import_change(nodes[0].catalogue, import, host_realtime_ns(), &change, &diag);
        err = err ? err : change ? catalogue_change_now(change, &diag) : WM_E_STALE;
    }
    catalogue_import_free(import);
    return err;
}

TEST(hostile_entries_are_refused)
{
    begin();
    uint64_t now = (uint64_t)host_realtime_ns();
    const char *route = "[{\"name\":\"r\",\"method\":\"*\",\"path\":\"/x\",\"function\":\"f\","
                        "\"public\":false}]";
    const char *two = "[{\"name\":\"r\",\"method\":\"*\",\"path\":\"/x\",\"function\":\"f\","
                      "\"public\":false},{\"name\":\"r\",\"method\":\"*\",\"path\":\"/y\","
                      "\"function\":\"f\",\"public\":false}]";
    CHECK(offer(ENTRY_ROUTES, "acme", 4, now, route) == 0);
    CHECK(offer(ENTRY_ROUTES, "acme", 4, now + (uint64_t)REVISION_AHEAD_NS * 2, "[]") ==
          WM_E_STALE);
    CHECK(offer(ENTRY_ROUTES, "acme", 4, now - 1000, route) == WM_E_STALE); /* older, nothing new */
    CHECK(offer(ENTRY_ROUTES, "other", 5, now, two) == WM_E_MALFORMED);
    CHECK(offer(ENTRY_ROUTES, "../etc", 6, now, route) == WM_E_MALFORMED);
    CHECK(offer(ENTRY_TENANT, "x", 1, now,
                "{\"name\":\"x\",\"trust_class\":\"../../x\",\"allow\":[]}") == WM_E_MALFORMED);
    CHECK(offer(ENTRY_TENANT, "../x", 4, now,
                "{\"name\":\"../x\",\"trust_class\":\"x\",\"allow\":[]}") == WM_E_MALFORMED);
    CHECK(offer(ENTRY_TENANT, "x", 1, now,
                "{\"name\":\"x\",\"trust_class\":\"x\",\"allow\":[\"no port\"]}") ==
          WM_E_MALFORMED);
    CHECK(offer(ENTRY_TOKEN, "short", 5, now, "{}") == WM_E_MALFORMED);
    const char *empty = "{\"next_version\":1,\"env_revision\":0,\"env\":[],\"versions\":[],"
                        "\"aliases\":{},\"secrets\":{}}";
    const char *alias = "{\"next_version\":1,\"env_revision\":0,\"env\":[],\"versions\":[],"
                        "\"aliases\":{\"latest\":4},\"secrets\":{}}";
    CHECK(offer(ENTRY_FUNCTION, "acme\0f", 6, now, empty) == 0);
    CHECK(offer(ENTRY_FUNCTION, "acme\0g", 6, now, alias) == WM_E_MALFORMED);
    CHECK(offer(ENTRY_FUNCTION, "acme\0.", 6, now, empty) == WM_E_MALFORMED);
    CHECK(offer(ENTRY_FUNCTION, "acmef", 5, now, empty) == WM_E_MALFORMED);
    CHECK(offer(ENTRY_FUNCTION, "acme\0h", 6, now, "{") == WM_E_MALFORMED);
    CHECK(offer(ENTRY_FUNCTION, "acme\0h", 6, 0, empty) == WM_E_MALFORMED);
    end();
}

TEST(messages_go_through_unchanged_and_cut_ones_do_not)
{
    uint8_t bytes[256];
    struct sync_record record = {.kind = ENTRY_ROUTES,
                                 .revision = {77, false, "n1"},
                                 .key = wm_view_str("acme"),
                                 .text = wm_view_str("[]")},
                       read;
    size_t len = sync_record_bytes(&record);
    sync_record_put(&record, bytes);
    for (size_t cut = 0; cut <= len; cut++) {
        struct wm_cursor cursor = wm_cursor_of(wm_view_of(bytes, cut));
        CHECK(sync_record_next(&cursor, &read) == (cut == len));
    }
    CHECK(wm_view_eq_str(read.text, "[]") &&
          revision_compare(&read.revision, &record.revision) == 0);
    uint8_t reply[SYNC_FILE_REPLY_BYTES + 4] = {0};
    struct sync_file_reply got;
    sync_file_reply_put(true, 10, reply);
    CHECK(sync_file_reply_get(wm_view_of(reply, sizeof reply), 6, &got) && got.part.len == 4);
    CHECK(!sync_file_reply_get(wm_view_of(reply, sizeof reply), 7, &got)); /* beyond the end */
    CHECK(
        !sync_file_reply_get(wm_view_of(reply, SYNC_FILE_REPLY_BYTES), 6, &got)); /* no progress */
    CHECK(sync_file_reply_get(wm_view_of(reply, SYNC_FILE_REPLY_BYTES), 10, &got));
}

TEST(an_import_survives_no_memory)
{
    begin();
    uint32_t number;
    bool changed;
    CHECK(make_tenant(&nodes[0], "acme") == 0 && settle(0));
    CHECK(upload(&nodes[0], "f", 1, &number) == 0 && upload(&nodes[1], "f", 2, &number) == 0);
    CHECK(set_route(&nodes[0], "a", "/a") == 0 && set_route(&nodes[1], "b", "/b") == 0);
    unsigned tries = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n); tries++) {
        int err = carry(&nodes[0], &nodes[1], host_realtime_ns(), &changed);
        CHECK(err == 0 || err == -ENOMEM || err == WM_E_MALFORMED);
    }
    CHECK(tries > 10);
    CHECK(settle(0) && version_count(&nodes[1], "f") == 2);
    end();
}

TEST_MAIN(TEST_CASE(revisions_are_ordered_and_never_go_back),
          TEST_CASE(the_last_writer_wins_and_all_agree),
          TEST_CASE(what_is_there_by_default_undoes_nothing),
          TEST_CASE(removals_spread_and_are_forgotten),
          TEST_CASE(no_upload_is_lost_whatever_the_order),
          TEST_CASE(a_function_made_anew_keeps_nothing_of_the_former),
          TEST_CASE(versions_stay_bounded_when_merged),
          TEST_CASE(routes_and_crons_are_merged_by_name),
          TEST_CASE(secrets_are_sealed_anew_for_a_cluster), TEST_CASE(hostile_entries_are_refused),
          TEST_CASE(messages_go_through_unchanged_and_cut_ones_do_not),
          TEST_CASE(an_import_survives_no_memory))
