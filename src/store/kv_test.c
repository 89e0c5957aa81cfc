/* kv_test.c: what is acknowledged is there, what fails changed nothing. */
#include "store/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

struct place {
    char root[64], path[80];
    struct kv *kv;
};

static bool reopen(struct place *place, uint64_t bytes_max)
{
    struct kv_config config = {place->path, bytes_max, true};
    struct wm_diag diag = WM_DIAG_INIT;
    if (kv_open(&config, &place->kv, &diag) != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
        return false;
    }
    return true;
}

static bool enter(struct place *place, uint64_t bytes_max)
{
    *place = (struct place){.root = "/tmp/wm-kv-XXXXXX"};
    if (!mkdtemp(place->root)) {
        return false;
    }
    snprintf(place->path, sizeof place->path, "%s/store", place->root);
    return reopen(place, bytes_max);
}

static void leave(struct place *place)
{
    kv_close(place->kv);
    (void)nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define V(text) wm_view_str(text)

static bool has(struct kv *kv, const char *table, const char *key, const char *value)
{
    struct kv_reader *reader;
    struct wm_view found;
    if (kv_read_begin(kv, &reader, NULL) != 0) {
        return false;
    }
    int err = kv_get(reader, table, V(key), &found);
    bool same = value ? !err && wm_view_eq_str(found, value) : err == WM_E_NOT_FOUND;
    kv_read_end(reader);
    return same;
}

TEST(keeps_what_was_committed)
{
    struct place place;
    struct kv_batch *batch;
    REQUIRE(enter(&place, 0));
    CHECK(has(place.kv, "a", "k", NULL));
    CHECK_INT(kv_put_one(place.kv, "a", V("k"), V("v"), NULL), ==, 0);
    REQUIRE(kv_batch_new(place.kv, &batch) == 0);
    CHECK_INT(kv_put(batch, "a", V("k2"), V("v2")), ==, 0);
    CHECK_INT(kv_put(batch, "b", V("k"), V("")), ==, 0);
    CHECK_INT(kv_remove(batch, "a", V("k")), ==, 0);
    CHECK_INT(kv_remove(batch, "none", V("k")), ==, 0);
    CHECK(has(place.kv, "a", "k", "v")); /* nothing is seen before */
    CHECK_INT(kv_commit(batch, NULL), ==, 0);
    for (int round = 0; round < 2; round++) {
        CHECK(has(place.kv, "a", "k", NULL));
        CHECK(has(place.kv, "a", "k2", "v2"));
        CHECK(has(place.kv, "b", "k", ""));
        kv_close(place.kv);
        REQUIRE(reopen(&place, 0));
    }
    leave(&place);
}

TEST(refuses_keys_and_names_that_do_not_fit)
{
    struct place place;
    struct kv_batch *batch;
    char key[KV_KEY_BYTES_MAX + 1];
    memset(key, 'k', sizeof key);
    REQUIRE(enter(&place, 0));
    REQUIRE(kv_batch_new(place.kv, &batch) == 0);
    CHECK_INT(kv_put(batch, "t", wm_view_of(key, KV_KEY_BYTES_MAX), V("v")), ==, 0);
    CHECK_INT(kv_put(batch, "t", wm_view_of(key, sizeof key), V("v")), ==, WM_E_INVALID);
    CHECK_INT(kv_put(batch, "t", V(""), V("v")), ==, WM_E_INVALID);
    CHECK_INT(kv_put(batch, "", V("k"), V("v")), ==, WM_E_INVALID);
    CHECK_INT(kv_put(batch, "a-name-of-more-than-thirty-two-by", V("k"), V("v")), ==, WM_E_INVALID);
    CHECK_INT(kv_commit(batch, NULL), ==, 0);
    leave(&place);
}

TEST(a_second_process_is_refused_by_name)
{
    struct place place;
    struct kv *second;
    struct wm_diag diag = WM_DIAG_INIT;
    char expected[32];
    REQUIRE(enter(&place, 0));
    struct kv_config config = {place.path, 0, true};
    CHECK_INT(kv_open(&config, &second, &diag), ==, -EBUSY);
    snprintf(expected, sizeof expected, "process %ld;", (long)getpid());
    CHECK(strstr(diag.text, expected) != NULL);
    pid_t child = fork();
    if (child == 0) {
        _exit(kv_open(&config, &second, NULL) == -EBUSY ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    leave(&place);
}

static int failing_update(void *self, struct kv_update *update)
{
    (void)self;
    CHECK_INT(kv_update_put(update, "t", V("from-update"), V("1")), ==, 0);
    return WM_E_DENIED;
}

static int copying_update(void *self, struct kv_update *update)
{
    struct wm_view value;
    (void)self;
    int err = kv_update_get(update, "t", V("source"), &value);
    char copy[8] = "";
    if (err || value.len >= sizeof copy) {
        return err ? err : WM_E_LIMIT;
    }
    memcpy(copy, value.ptr, value.len); /* the view ends at the next put */
    err = kv_update_put(update, "made-by-update", V("copy"), V(copy));
    return err ? err : kv_update_remove(update, "t", V("source"));
}

TEST(expectations_and_updates_decide_about_the_whole_batch)
{
    struct place place;
    struct kv_batch *batch;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(enter(&place, 0));
    REQUIRE(kv_put_one(place.kv, "t", V("source"), V("s"), NULL) == 0);
    const struct {
        const char *key, *value;
        bool absent;
        int expected;
    } cases[] = {
        {"source", "s", false, 0},          {"source", "x", false, WM_E_STALE},
        {"source", "", true, WM_E_STALE},   {"nothing", "", true, 0},
        {"nothing", "", false, WM_E_STALE},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        char key[8];
        snprintf(key, sizeof key, "c%zu", i);
        REQUIRE(kv_batch_new(place.kv, &batch) == 0);
        CHECK_INT(kv_put(batch, "t", V(key), V("1")), ==, 0);
        CHECK_INT(kv_expect(batch, "t", V(cases[i].key), V(cases[i].value), cases[i].absent), ==,
                  0);
        CHECK_INT(kv_commit(batch, &diag), ==, cases[i].expected);
        CHECK(has(place.kv, "t", key, cases[i].expected ? NULL : "1"));
    }
    REQUIRE(kv_batch_new(place.kv, &batch) == 0);
    kv_batch_update(batch, failing_update, NULL);
    CHECK_INT(kv_put(batch, "t", V("with-failing"), V("1")), ==, 0);
    CHECK_INT(kv_commit(batch, &diag), ==, WM_E_DENIED);
    CHECK(has(place.kv, "t", "from-update", NULL));
    CHECK(has(place.kv, "t", "with-failing", NULL));
    REQUIRE(kv_batch_new(place.kv, &batch) == 0);
    kv_batch_update(batch, copying_update, NULL);
    CHECK_INT(kv_commit(batch, &diag), ==, 0);
    CHECK(has(place.kv, "made-by-update", "copy", "s"));
    CHECK(has(place.kv, "t", "source", NULL));
    leave(&place);
}

/* --- Several threads --- */

#define THREADS 8
#define ROUNDS 200

static int add_one(void *self, struct kv_update *update)
{
    struct wm_view value;
    uint64_t count = 0, *seen = self;
    int err = kv_update_get(update, "t", V("counter"), &value);
    if (!err && value.len == sizeof count) {
        memcpy(&count, value.ptr, sizeof count);
    } else if (err != WM_E_NOT_FOUND) {
        return err ? err : WM_E_MALFORMED;
    }
    *seen = ++count;
    return kv_update_put(update, "t", V("counter"), wm_view_of(&count, sizeof count));
}

struct worker {
    struct kv *kv;
    unsigned id;
    int wrong;
};

static void *count_up(void *arg)
{
    struct worker *worker = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kv_batch *batch;
        uint64_t seen = 0;
        char key[32];
        if (kv_batch_new(worker->kv, &batch) != 0) {
            worker->wrong++;
            break;
        }
        kv_batch_update(batch, add_one, &seen);
        snprintf(key, sizeof key, "%u-%u", worker->id, i);
        bool doomed = i % 3 == 2; /* such a batch must take nobody else's along */
        int err = kv_put(batch, "t", V(key), V("x"));
        err = err ? err : doomed ? kv_expect(batch, "t", V("counter"), V("never"), false) : 0;
        worker->wrong += err != 0;
        err = kv_commit(batch, NULL);
        worker->wrong += err != (doomed ? WM_E_STALE : 0);
        worker->wrong += !has(worker->kv, "t", key, doomed ? NULL : "x");
    }
    return NULL;
}

static uint64_t counter_of(struct kv *kv)
{
    struct kv_reader *reader;
    struct wm_view value = {0};
    uint64_t count = 0;
    if (kv_read_begin(kv, &reader, NULL) == 0) {
        if (kv_get(reader, "t", V("counter"), &value) == 0 && value.len == sizeof count) {
            memcpy(&count, value.ptr, sizeof count);
        }
        kv_read_end(reader);
    }
    return count;
}

TEST(threads_share_commits_and_lose_nothing)
{
    struct place place;
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    REQUIRE(enter(&place, 0));
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){place.kv, i, 0};
        REQUIRE(pthread_create(&threads[i], NULL, count_up, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(workers[i].wrong, ==, 0);
    }
    CHECK_INT(counter_of(place.kv), ==, THREADS * (ROUNDS - ROUNDS / 3));
    leave(&place);
}

/* --- kill -9 --- */

/* Commits forever from several threads and tells the parent of each number after its commit. */
struct crasher {
    struct kv *kv;
    int fd;
    unsigned id;
};

static void *commit_and_tell(void *arg)
{
    struct crasher *crasher = arg;
    char value[3000];
    memset(value, 'v', sizeof value);
    for (uint32_t i = 0;; i++) {
        uint32_t told[2] = {crasher->id, i};
        struct kv_batch *batch;
        if (kv_batch_new(crasher->kv, &batch) != 0 ||
            kv_put(batch, "crash", wm_view_of(told, sizeof told),
                   wm_view_of(value, sizeof value)) ||
            kv_put(batch, "twin", wm_view_of(told, sizeof told), V("twin")) ||
            kv_commit(batch, NULL) != 0 || write(crasher->fd, told, sizeof told) < 0) {
            return NULL;
        }
    }
}

static void crash_child(const char *path, int fd)
{
    struct kv_config config = {path, 0, false};
    struct kv *kv;
    struct crasher crashers[4];
    pthread_t threads[4];
    if (kv_open(&config, &kv, NULL) != 0) {
        _exit(1);
    }
    for (unsigned i = 0; i < 4; i++) {
        crashers[i] = (struct crasher){kv, fd, i};
        if (pthread_create(&threads[i], NULL, commit_and_tell, &crashers[i]) != 0) {
            _exit(1);
        }
    }
    for (;;) {
        pause();
    }
}

static bool count_twin(void *self, struct wm_view key, struct wm_view value)
{
    (void)key, (void)value;
    ++*(uint64_t *)self;
    return true;
}

TEST(what_was_acknowledged_survives_kill_9)
{
    struct place place;
    REQUIRE(enter(&place, 0));
    kv_close(place.kv);
    for (int round = 0; round < 5; round++) {
        int ends[2];
        uint32_t told[2], first[2], acknowledged = 0, lost = 0;
        REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            crash_child(place.path, ends[1]);
        }
        close(ends[1]);
        REQUIRE(read(ends[0], first, sizeof first) == (ssize_t)sizeof first);
        usleep(50000 + 23000 * (unsigned)round);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        REQUIRE(reopen(&place, 0));
        struct kv_reader *reader;
        REQUIRE(kv_read_begin(place.kv, &reader, NULL) == 0);
        memcpy(told, first, sizeof told);
        do {
            struct wm_view value;
            acknowledged++;
            lost += kv_get(reader, "crash", wm_view_of(told, sizeof told), &value) != 0 ||
                    value.len != 3000;
        } while (read(ends[0], told, sizeof told) == (ssize_t)sizeof told);
        uint64_t entries = 0, twins = 0;
        CHECK_INT(kv_scan(reader, "crash", V(""), V(""), count_twin, &entries), ==, 0);
        CHECK_INT(kv_scan(reader, "twin", V(""), V(""), count_twin, &twins), ==, 0);
        CHECK_INT(entries, ==, twins); /* whole batches or nothing */
        kv_read_end(reader);
        CHECK_INT(acknowledged, >, 0);
        CHECK_INT(lost, ==, 0);
        close(ends[0]);
        kv_close(place.kv);
    }
    place.kv = NULL;
    leave(&place);
}

/* --- A full store --- */

TEST(a_full_store_refuses_and_can_be_emptied)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    static uint8_t value[60000];
    REQUIRE(enter(&place, 4 << 20));
    uint32_t count = 0;
    int err = 0;
    for (; count < 1000 && !err; count++) {
        err = kv_put_one(place.kv, "t", wm_view_of(&count, sizeof count),
                         wm_view_of(value, sizeof value), &diag);
    }
    CHECK_INT(err, ==, WM_E_LIMIT);
    CHECK(strstr(diag.text, "it is full (4194304 bytes); remove something") != NULL);
    CHECK_INT(count, >, 50);
    CHECK_INT(kv_bytes(place.kv), <=, (4 << 20) + (1 << 20));
    uint32_t some = 3; /* what is there may be changed */
    for (int i = 0; i < 50; i++) {
        CHECK_INT(kv_put_one(place.kv, "t", wm_view_of(&some, sizeof some),
                             wm_view_of(value, sizeof value - (size_t)i), &diag),
                  ==, 0);
    }
    for (int round = 0; round < 3; round++) { /* room comes back, however often */
        for (uint32_t i = 0; i < count; i++) {
            struct kv_batch *batch;
            REQUIRE(kv_batch_new(place.kv, &batch) == 0);
            CHECK_INT(kv_remove(batch, "t", wm_view_of(&i, sizeof i)), ==, 0);
            CHECK_INT(kv_commit(batch, &diag), ==, 0);
        }
        for (uint32_t i = 0; i < count * 3 / 4; i++) {
            CHECK_INT(kv_put_one(place.kv, "t", wm_view_of(&i, sizeof i),
                                 wm_view_of(value, sizeof value), &diag),
                      ==, 0);
        }
    }
    leave(&place);
}

/* --- Order, snapshots, backup --- */

struct seen {
    char text[256];
    size_t most;
};

static bool collect(void *self, struct wm_view key, struct wm_view value)
{
    struct seen *seen = self;
    (void)value;
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof seen->text - len, "%.*s ", (int)key.len,
             (const char *)key.ptr);
    return --seen->most > 0;
}

TEST(scans_in_order_from_a_key_within_a_prefix)
{
    struct place place;
    struct kv_reader *reader;
    const char *keys[] = {"b", "ab", "a", "abc", "abd", "ac", "c"};
    REQUIRE(enter(&place, 0));
    for (size_t i = 0; i < WM_COUNT_OF(keys); i++) {
        REQUIRE(kv_put_one(place.kv, "t", V(keys[i]), V("v"), NULL) == 0);
    }
    REQUIRE(kv_read_begin(place.kv, &reader, NULL) == 0);
    REQUIRE(kv_put_one(place.kv, "t", V("aa-later"), V("v"), NULL) == 0);
    REQUIRE(kv_put_one(place.kv, "u", V("later"), V("v"), NULL) == 0);
    const struct {
        const char *prefix, *from;
        size_t most;
        const char *expected;
    } cases[] = {
        {"", "", 99, "a ab abc abd ac b c "},
        {"ab", "", 99, "ab abc abd "},
        {"ab", "abc", 99, "abc abd "},
        {"ab", "a", 99, "ab abc abd "},
        {"ab", "b", 99, ""},
        {"", "abd", 2, "abd ac "},
        {"x", "", 99, ""},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct seen seen = {"", cases[i].most};
        CHECK_INT(kv_scan(reader, "t", V(cases[i].prefix), V(cases[i].from), collect, &seen), ==,
                  0);
        CHECK_STR(seen.text, cases[i].expected);
    }
    struct seen seen = {"", 99};
    struct wm_view value;
    CHECK_INT(kv_scan(reader, "u", V(""), V(""), collect, &seen), ==, 0);
    CHECK_STR(seen.text, ""); /* made after this reader began */
    CHECK_INT(kv_get(reader, "u", V("later"), &value), ==, WM_E_NOT_FOUND);
    kv_read_end(reader);
    leave(&place);
}

TEST(a_backup_is_a_store)
{
    struct place place, copy;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(enter(&place, 0));
    REQUIRE(kv_put_one(place.kv, "t", V("k"), V("v"), NULL) == 0);
    copy = place;
    snprintf(copy.path, sizeof copy.path, "%s/copy", place.root);
    CHECK_INT(kv_backup(place.kv, copy.path, &diag), ==, 0);
    CHECK_INT(kv_backup(place.kv, copy.path, &diag), ==, -EEXIST);
    REQUIRE(kv_put_one(place.kv, "t", V("k"), V("newer"), NULL) == 0);
    REQUIRE(reopen(&copy, 0));
    CHECK(has(copy.kv, "t", "k", "v"));
    kv_close(copy.kv);
    leave(&place);
}

struct pair_writer {
    struct kv *kv;
    atomic_bool stop;
    unsigned failed;
};

static void *write_pairs(void *self)
{
    struct pair_writer *writer = self;
    static const uint8_t value[20000];
    for (uint32_t i = 0; !atomic_load(&writer->stop); i++) {
        struct kv_batch *batch;
        struct wm_view key = wm_view_of(&i, sizeof i);
        if (kv_batch_new(writer->kv, &batch) != 0) {
            writer->failed++;
            break;
        }
        int err = kv_put(batch, "crash", key, wm_view_of(value, sizeof value));
        err = err ? err : kv_put(batch, "twin", key, V("twin"));
        err = err ? err : i % 2 ? 0 : kv_remove(batch, "twin", wm_view_of("none", 4));
        err = err ? (kv_batch_drop(batch), err) : kv_commit(batch, NULL);
        writer->failed += err != 0;
    }
    return NULL;
}

TEST(a_backup_under_load_is_one_moment)
{
    struct place place, copy;
    pthread_t thread;
    REQUIRE(enter(&place, 0));
    struct pair_writer writer = {.kv = place.kv};
    REQUIRE(pthread_create(&thread, NULL, write_pairs, &writer) == 0);
    for (int i = 0; i < 5; i++) {
        uint64_t entries = 0, twins = 0;
        struct kv_reader *reader;
        usleep(10000);
        copy = place;
        snprintf(copy.path, sizeof copy.path, "%s/copy%d", place.root, i);
        CHECK_INT(kv_backup(place.kv, copy.path, NULL), ==, 0);
        if (!reopen(&copy, 0)) {
            CHECK(false);
            continue;
        }
        CHECK_INT(kv_read_begin(copy.kv, &reader, NULL), ==, 0);
        CHECK_INT(kv_scan(reader, "crash", V(""), V(""), count_twin, &entries), ==, 0);
        CHECK_INT(kv_scan(reader, "twin", V(""), V(""), count_twin, &twins), ==, 0);
        CHECK_INT(entries, ==, twins);
        kv_read_end(reader);
        kv_close(copy.kv);
    }
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    CHECK_INT(writer.failed, ==, 0);
    leave(&place);
}

TEST(a_folder_that_others_may_write_to_is_refused)
{
    struct place place;
    struct kv *kv;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(enter(&place, 0));
    kv_close(place.kv);
    struct kv_config config = {place.path, 0, true};
    CHECK(chmod(place.path, 0770) == 0);
    CHECK_INT(kv_open(&config, &kv, &diag), ==, WM_E_DENIED);
    CHECK(strstr(diag.text, "others may write to") != NULL);
    CHECK(chmod(place.path, 0700) == 0);
    REQUIRE(reopen(&place, 0));
    leave(&place);
}

/* --- Failures --- */

static int one_change(struct kv *kv)
{
    struct kv_batch *batch;
    uint64_t seen;
    int err = kv_batch_new(kv, &batch);
    if (err) {
        return err;
    }
    kv_batch_update(batch, add_one, &seen);
    err = kv_put(batch, "t", V("k"), V("new"));
    if (err) {
        kv_batch_drop(batch);
        return err;
    }
    return kv_commit(batch, NULL);
}

TEST(each_failure_leaves_the_store_as_it_was)
{
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        struct place place;
        REQUIRE(enter(&place, 0));
        REQUIRE(kv_put_one(place.kv, "t", V("k"), V("old"), NULL) == 0);
        bool fired = true;
        for (uint64_t n = 1; fired; n++) {
            wm_fault_arm((enum wm_fault_kind)kind, n);
            int err = one_change(place.kv);
            fired = wm_fault_fired((enum wm_fault_kind)kind);
            wm_fault_arm((enum wm_fault_kind)kind, 0);
            CHECK_INT(err == 0, ==, !fired);
            CHECK(has(place.kv, "t", "k", fired ? "old" : "new"));
            CHECK_INT(counter_of(place.kv), ==, fired ? 0 : 1);
        }
        kv_close(place.kv);
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            struct kv_config config = {place.path, 0, true};
            struct kv *kv = NULL;
            int err = kv_open(&config, &kv, NULL);
            CHECK_INT(err == 0, ==, !wm_fault_fired((enum wm_fault_kind)kind));
            if (!err) {
                kv_close(kv);
            }
        }
        place.kv = NULL;
        leave(&place);
    }
}

TEST_MAIN(TEST_CASE(keeps_what_was_committed), TEST_CASE(refuses_keys_and_names_that_do_not_fit),
          TEST_CASE(a_second_process_is_refused_by_name),
          TEST_CASE(expectations_and_updates_decide_about_the_whole_batch),
          TEST_CASE(threads_share_commits_and_lose_nothing),
          TEST_CASE(what_was_acknowledged_survives_kill_9),
          TEST_CASE(a_full_store_refuses_and_can_be_emptied),
          TEST_CASE(scans_in_order_from_a_key_within_a_prefix), TEST_CASE(a_backup_is_a_store),
          TEST_CASE(a_backup_under_load_is_one_moment),
          TEST_CASE(a_folder_that_others_may_write_to_is_refused),
          TEST_CASE(each_failure_leaves_the_store_as_it_was))
