/* records_test.c: every call has a receipt; the chain goes on over restarts; what is lost shows. */
#include "node/records.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"
#include "proof/receipt.h"

#define S INT64_C(1000000000)
#define T0 (INT64_C(1700000000) * S)

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

struct place {
    char root[64], path[80];
    struct kv *kv;
    struct sign_key key;
    struct records_config config;
    struct records *records;
};

static bool enter(struct place *place)
{
    uint8_t seed[32] = {7};
    *place = (struct place){.root = "/tmp/wm-records-XXXXXX"};
    if (!mkdtemp(place->root)) {
        return false;
    }
    snprintf(place->path, sizeof place->path, "%s/store", place->root);
    struct kv_config config = {place->path, UINT64_C(1) << 30, true};
    sign_key_init(&place->key, seed);
    if (kv_open(&config, &place->kv, NULL) != 0) {
        return false;
    }
    place->config = (struct records_config){.kv = place->kv, .key = &place->key, .node = "node-a"};
    return records_open(&place->config, &place->records, NULL) == 0;
}

static bool reopen(struct place *place)
{
    return records_close(place->records, NULL) == 0 &&
           records_open(&place->config, &place->records, NULL) == 0;
}

static void leave(struct place *place)
{
    (void)records_close(place->records, NULL);
    kv_close(place->kv);
    (void)nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int add(struct place *place, uint64_t id, int64_t now_ns, uint64_t *second, uint32_t *index)
{
    static const uint8_t module[32] = {1}, image[32] = {2}, input[32] = {3}, output[32] = {4};
    struct records_call call = {
        .id = id,
        .tenant = "acme",
        .function = "resize",
        .version = 2,
        .module_sha256 = module,
        .image_sha256 = id % 2 ? image : NULL,
        .input_sha256 = input,
        .output_sha256 = id % 3 ? output : NULL,
        .end = id % 3 ? CALL_END_OK : CALL_END_TRAP,
        .start_ns = (uint64_t)now_ns - 1000,
        .input_bytes = 12,
        .output_bytes = 34,
        .usage = {.fuel = id, .cpu_ns = 900, .wall_ns = 1000, .memory_peak_bytes = 65536},
    };
    return records_add(place->records, &call, now_ns, second, index);
}

static int check_receipt(struct place *place, uint64_t second, uint32_t index, uint64_t id)
{
    uint8_t bytes[RECEIPT_BYTES_MAX];
    struct wm_diag diag = WM_DIAG_INIT;
    struct receipt receipt;
    size_t len;
    int rc = records_receipt(place->records, second, index, bytes, &len, &diag);
    if (rc != 0) {
        return rc;
    }
    rc = receipt_verify(wm_view_of(bytes, len), place->key.public_key, &receipt, &diag);
    if (rc != 0) {
        wm_test_note("%s", wm_diag_text(&diag));
        return rc;
    }
    CHECK_INT(receipt.record.call_id, ==, id);
    CHECK_INT(receipt.record.fuel, ==, id);
    CHECK_INT(receipt.root.second, ==, second);
    CHECK_INT(receipt.index, ==, index);
    CHECK_INT(receipt.record.has_output, ==, id % 3 != 0);
    CHECK(wm_view_eq_str(receipt.record.end, id % 3 ? "ok" : "trap"));
    return 0;
}

struct chain {
    uint64_t count, lost, records, runs_seen;
    struct signed_root last;
    uint8_t bytes[2][COSE_SIGN1_BYTES_MAX];
    bool ok;
};

static bool link_root(void *self, uint64_t second, struct wm_view bytes)
{
    struct chain *chain = self;
    struct signed_root root;
    uint8_t *copy = chain->bytes[chain->count % 2]; /* the last root's views stay good */
    memcpy(copy, bytes.ptr, bytes.len);
    chain->ok = chain->ok &&
                signed_root_verify(wm_view_of(copy, bytes.len), NULL, &root, NULL) == 0 &&
                root.root.second == second &&
                (chain->count == 0 || signed_root_follows(&chain->last, &root, NULL) == 0);
    chain->runs_seen += chain->count == 0 || root.root.run != chain->last.root.run;
    chain->lost += root.root.lost;
    chain->records += root.root.tree_size;
    chain->last = root;
    chain->count++;
    return chain->ok;
}

static struct chain chain_of(struct place *place)
{
    struct chain chain = {.ok = true};
    CHECK_INT(records_roots(place->records, 0, link_root, &chain, NULL), ==, 0);
    CHECK(chain.ok);
    return chain;
}

TEST(every_call_has_a_receipt_in_memory_and_from_the_store)
{
    struct place place;
    REQUIRE(enter(&place));
    static const uint32_t counts[] = {1, 2, 3, 700, 64, 1, 1500};
    uint64_t id = 0, second;
    uint32_t index;
    for (unsigned i = 0; i < WM_COUNT_OF(counts); i++) {
        for (uint32_t k = 0; k < counts[i]; k++) {
            REQUIRE(add(&place, id++, T0 + i * S + k, &second, &index) == 0);
            CHECK(second == 1700000000 + i && index == k);
        }
        CHECK_INT(check_receipt(&place, second, index, id - 1), ==, WM_E_BUSY);
        CHECK(records_turn(place.records, T0 + i * S + 5) == false);
        CHECK(records_turn(place.records, T0 + (i + 1) * S));
        CHECK_INT(check_receipt(&place, second, index, id - 1), ==, WM_E_BUSY);
        CHECK_INT(records_seal(place.records, NULL), ==, 0);
        CHECK_INT(records_sealed(place.records), ==, second);
        CHECK(!records_turn(place.records, T0 + (i + 1) * S));
    }
    for (int round = 0; round < 2; round++) {
        id = 0;
        for (unsigned i = 0; i < WM_COUNT_OF(counts); i++) {
            for (uint32_t k = 0; k < counts[i]; k += round == 0 || counts[i] < 100 ? 1 : 97) {
                CHECK_INT(check_receipt(&place, 1700000000 + i, k, id + k), ==, 0);
            }
            id += counts[i];
            CHECK_INT(check_receipt(&place, 1700000000 + i, counts[i], 0), ==, WM_E_NOT_FOUND);
        }
        CHECK(reopen(&place)); /* nothing is in memory after this */
    }
    CHECK_INT(check_receipt(&place, 1600000000, 0, 0), ==, WM_E_NOT_FOUND);
    CHECK_INT(check_receipt(&place, 1800000000, 0, 0), ==, WM_E_NOT_FOUND);
    struct chain chain = chain_of(&place);
    CHECK_INT(chain.count, ==, WM_COUNT_OF(counts));
    CHECK_INT(chain.records, ==, id);
    CHECK_INT(chain.lost, ==, 0);
    leave(&place);
}

TEST(the_chain_goes_on_over_restarts_and_shows_them)
{
    struct place place;
    REQUIRE(enter(&place));
    uint64_t second;
    uint32_t index;
    for (unsigned run = 0; run < 4; run++) {
        for (unsigned i = 0; i < 3; i++) {
            CHECK_INT(add(&place, i, T0 + (10 * run + i) * S, &second, &index), ==, 0);
        }
        CHECK(reopen(&place)); /* seals what is left */
        if (run == 1) {
            CHECK(reopen(&place)); /* a run without a call leaves no trace */
        }
    }
    struct chain chain = chain_of(&place);
    CHECK_INT(chain.count, ==, 12);
    CHECK_INT(chain.runs_seen, ==, 4);
    CHECK_INT(chain.last.root.run, ==, 3);
    CHECK_INT(chain.last.root.sequence, ==, 11);
    leave(&place);
}

TEST(a_clock_set_back_does_not_turn_the_chain_back)
{
    struct place place;
    REQUIRE(enter(&place));
    uint64_t second, last = 0;
    uint32_t index;
    static const int clock_s[] = {100, 100, 40, 41, 41, 42, 200, 199, 201, 202};
    for (unsigned i = 0; i < WM_COUNT_OF(clock_s); i++) {
        CHECK_INT(add(&place, i, T0 + clock_s[i] * S, &second, &index), ==, 0);
        bool same = i > 0 && clock_s[i] == clock_s[i - 1];
        CHECK(same ? second == last : second > last);
        last = second;
        CHECK_INT(records_seal(place.records, NULL), ==, 0);
    }
    CHECK_INT(last, ==, 1700000203); /* 200, 201 (199), 202 (201), 203 (202) */
    CHECK(reopen(&place));
    CHECK_INT(add(&place, 0, T0, &second, &index), ==, 0);
    CHECK_INT(second, ==, last + 1);
    CHECK(reopen(&place));
    struct chain chain = chain_of(&place);
    CHECK_INT(chain.records, ==, WM_COUNT_OF(clock_s) + 1);
    leave(&place);
}

TEST(what_found_no_room_is_counted_in_the_root)
{
    struct place place;
    REQUIRE(enter(&place));
    place.config.pending_bytes_max = 300000;
    REQUIRE(reopen(&place));
    uint64_t second, kept = 0, lost = 0;
    uint32_t index;
    for (unsigned i = 0; i < 2000; i++) {
        int rc = add(&place, i, T0, &second, &index);
        CHECK(rc == 0 || rc == WM_E_LIMIT);
        *(rc == 0 ? &kept : &lost) += 1;
    }
    CHECK(kept > 500 && lost > 500);
    CHECK(records_turn(place.records, T0 + S));
    CHECK_INT(records_seal(place.records, NULL), ==, 0);
    struct records_stats stats;
    records_stats(place.records, &stats);
    CHECK_INT(stats.added, ==, kept);
    CHECK_INT(stats.lost, ==, lost);
    CHECK_INT(stats.pending_bytes, ==, 0);
    CHECK_INT(add(&place, 9, T0 + S, &second, &index), ==, 0); /* and there is room again */
    CHECK(reopen(&place));
    struct chain chain = chain_of(&place);
    CHECK_INT(chain.lost, ==, lost);
    CHECK_INT(chain.records, ==, kept + 1);
    leave(&place);
}

TEST(old_seconds_are_pruned_by_age_and_by_size)
{
    struct place place;
    REQUIRE(enter(&place));
    place.config.keep_s = 50;
    place.config.keep_bytes = 40000;
    place.config.keep_roots_s = 80;
    place.config.recent_bytes_max = 1;
    REQUIRE(reopen(&place));
    uint64_t second;
    uint32_t index;
    struct records_stats stats;
    for (unsigned i = 0; i < 100; i++) {
        CHECK_INT(add(&place, i, T0 + i * S, &second, &index), ==, 0);
        CHECK(records_turn(place.records, T0 + (i + 1) * S));
        CHECK_INT(records_seal(place.records, NULL), ==, 0);
        CHECK_INT(check_receipt(&place, second, index, i), ==, 0);
    }
    records_stats(place.records, &stats);
    CHECK_INT(stats.recent_bytes, ==, 0);
    CHECK(stats.kept_bytes > 0 && stats.kept_bytes < 40000);
    CHECK_INT(check_receipt(&place, 1700000000 + 48, 0, 48), ==, WM_E_NOT_FOUND);
    CHECK_INT(check_receipt(&place, 1700000000 + 49, 0, 49), ==, 0);
    struct chain chain = chain_of(&place);
    CHECK_INT(chain.count, ==, 81);
    /* By size: a second of 40,000 bytes and more leaves only itself and what comes after. */
    for (unsigned i = 0; i < 300; i++) {
        CHECK_INT(add(&place, 1000 + i, T0 + 100 * S, &second, &index), ==, 0);
    }
    CHECK(reopen(&place));
    CHECK_INT(check_receipt(&place, 1700000099, 0, 99), ==, WM_E_NOT_FOUND);
    CHECK_INT(add(&place, 1, T0 + 101 * S, &second, &index), ==, 0);
    CHECK(reopen(&place));
    CHECK_INT(check_receipt(&place, 1700000100, 0, 1000), ==, WM_E_NOT_FOUND);
    CHECK_INT(check_receipt(&place, 1700000101, 0, 1), ==, 0);
    leave(&place);
}

TEST(a_failed_sealing_is_tried_again)
{
    struct place place;
    REQUIRE(enter(&place));
    uint64_t second, failed = 0, base_id = 0;
    uint32_t index;
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n); base_id += 10) {
            wm_fault_arm((enum wm_fault_kind)kind, 0);
            for (unsigned i = 0; i < 3; i++) {
                REQUIRE(add(&place, base_id + i, T0 + (int64_t)base_id * S, &second, &index) == 0);
            }
            CHECK(records_turn(place.records, T0 + (int64_t)(base_id + 1) * S));
            wm_fault_arm((enum wm_fault_kind)kind, n);
            struct wm_diag diag = WM_DIAG_INIT;
            int rc = records_seal(place.records, &diag);
            if (rc != 0) {
                failed++;
                CHECK(diag.code == rc);
                CHECK(wm_fault_fired((enum wm_fault_kind)kind));
                CHECK_INT(check_receipt(&place, second, 0, base_id), ==, WM_E_BUSY);
                CHECK(records_turn(place.records, T0 + (int64_t)(base_id + 1) * S));
                CHECK_INT(records_seal(place.records, NULL), ==, 0);
            }
            bool fired = wm_fault_fired((enum wm_fault_kind)kind);
            wm_fault_arm((enum wm_fault_kind)kind, 0);
            CHECK_INT(check_receipt(&place, second, 2, base_id + 2), ==, 0);
            if (fired) { /* tell wm_fault_next, whose fault we disarmed */
                wm_fault_arm((enum wm_fault_kind)kind, 1);
                CHECK(wm_fault_here((enum wm_fault_kind)kind));
            }
        }
        wm_fault_arm((enum wm_fault_kind)kind, 0);
    }
    CHECK_INT(failed, >, 3);
    struct chain chain = chain_of(&place);
    CHECK_INT(chain.records, ==, 3 * base_id / 10);
    leave(&place);
}

TEST(failing_memory_loses_a_record_and_says_so)
{
    struct place place;
    REQUIRE(enter(&place));
    uint64_t second, lost = 0;
    uint32_t index;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        int rc = add(&place, 1, T0 + (int64_t)n * S, &second, &index);
        CHECK(rc == 0 || rc == -ENOMEM);
        lost += rc != 0;
    }
    CHECK_INT(lost, >=, 2);
    CHECK(reopen(&place));
    CHECK_INT(chain_of(&place).lost, ==, lost);
    leave(&place);
}

TEST(failing_memory_and_reads_fail_a_request_and_nothing_else)
{
    struct place place;
    REQUIRE(enter(&place));
    uint64_t second;
    uint32_t index;
    for (unsigned i = 0; i < 700; i++) {
        CHECK_INT(add(&place, i, T0, &second, &index), ==, 0);
    }
    CHECK(reopen(&place));
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            struct records *other = NULL;
            struct wm_diag diag = WM_DIAG_INIT;
            uint8_t bytes[RECEIPT_BYTES_MAX];
            size_t len;
            int rc = records_open(&place.config, &other, &diag);
            if (rc == 0) {
                rc = records_receipt(other, second, 600, bytes, &len, &diag);
                struct records *closing = other;
                other = NULL;
                CHECK_INT(records_close(closing, NULL), ==, 0);
            }
            CHECK(other == NULL && diag.code == rc);
            CHECK(rc == 0 || rc == -ENOMEM || rc == -EIO);
        }
        CHECK_INT(check_receipt(&place, second, 600, 600), ==, 0);
    }
    leave(&place);
}

TEST(damage_in_the_store_is_found)
{
    struct place place;
    REQUIRE(enter(&place));
    uint64_t second;
    uint32_t index;
    for (unsigned i = 0; i < 5; i++) {
        CHECK_INT(add(&place, i, T0, &second, &index), ==, 0);
    }
    CHECK(reopen(&place));
    struct kv_reader *reader;
    struct wm_view value;
    static uint8_t copy[65536];
    uint8_t key[12] = {0};
    for (unsigned i = 0; i < 8; i++) {
        key[i] = (uint8_t)(second >> 8 * (7 - i));
    }
    REQUIRE(kv_read_begin(place.kv, &reader, NULL) == 0);
    REQUIRE(kv_get(reader, "records", wm_view_of(key, 12), &value) == 0);
    size_t len = value.len;
    memcpy(copy, value.ptr, len);
    kv_read_end(reader);
    for (size_t at = 3; at < len; at += 101) {
        copy[at] ^= 4;
        CHECK_INT(kv_put_one(place.kv, "records", wm_view_of(key, 12), wm_view_of(copy, len), NULL),
                  ==, 0);
        int rc = check_receipt(&place, second, 3, 3);
        CHECK(rc == WM_E_MALFORMED || rc == WM_E_NOT_FOUND);
        copy[at] ^= 4;
    }
    CHECK_INT(kv_put_one(place.kv, "records", wm_view_of(key, 12), wm_view_of(copy, len), NULL), ==,
              0);
    CHECK_INT(check_receipt(&place, second, 3, 3), ==, 0);
    /* The head: no start on a damaged chain. */
    REQUIRE(kv_read_begin(place.kv, &reader, NULL) == 0);
    REQUIRE(kv_get(reader, "records_meta", wm_view_str("head"), &value) == 0);
    len = value.len;
    memcpy(copy, value.ptr, len);
    kv_read_end(reader);
    copy[len - 1] ^= 1;
    CHECK_INT(
        kv_put_one(place.kv, "records_meta", wm_view_str("head"), wm_view_of(copy, len), NULL), ==,
        0);
    struct records *again;
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(records_open(&place.config, &again, &diag), ==, WM_E_FORGED);
    CHECK(strstr(wm_diag_text(&diag), "last root") != NULL);
    leave(&place);
}

struct count {
    uint64_t records, bytes;
};
static bool count_one(void *self, uint64_t second, uint32_t index, struct wm_view record)
{
    struct count *count = self;
    struct cbor_reader reader = cbor_reader_of(record);
    struct record got;
    (void)second, (void)index;
    CHECK(record_get(&reader, &got) && cbor_end(&reader));
    count->records++;
    count->bytes += got.input_bytes;
    return true;
}

TEST(a_bill_reads_a_range_of_seconds)
{
    struct place place;
    REQUIRE(enter(&place));
    uint64_t second;
    uint32_t index;
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned k = 0; k <= i; k++) {
            CHECK_INT(add(&place, k, T0 + i * S, &second, &index), ==, 0);
        }
    }
    CHECK(reopen(&place));
    struct count count = {0};
    CHECK_INT(records_scan(place.records, 1700000003, 1700000005, count_one, &count, NULL), ==, 0);
    CHECK_INT(count.records, ==, 4 + 5 + 6);
    CHECK_INT(count.bytes, ==, 15 * 12);
    leave(&place);
}

static atomic_bool stop;
static atomic_uint seal_errors; /* CHECK is for the test's own thread */
static void *seal_all(void *self)
{
    struct place *place = self;
    while (!atomic_load(&stop)) {
        seal_errors += records_seal(place->records, NULL) != 0;
        struct records_stats stats;
        records_stats(place->records, &stats);
    }
    return NULL;
}

TEST(sealing_beside_the_loop)
{
    struct place place;
    pthread_t thread;
    uint64_t second = 0;
    uint32_t index;
    REQUIRE(enter(&place));
    REQUIRE(pthread_create(&thread, NULL, seal_all, &place) == 0);
    for (unsigned i = 0; i < 20000; i++) {
        CHECK_INT(add(&place, i, T0 + i / 100 * S, &second, &index), ==, 0);
        if (i % 1000 == 999) {
            uint64_t sealed = records_sealed(place.records);
            if (sealed) {
                CHECK_INT(check_receipt(&place, sealed, 7, (sealed - 1700000000) * 100 + 7), ==, 0);
            }
        }
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    CHECK_INT(seal_errors, ==, 0);
    CHECK(reopen(&place));
    struct chain chain = chain_of(&place);
    CHECK_INT(chain.count, ==, 200);
    CHECK_INT(chain.records, ==, 20000);
    leave(&place);
}

/* A node is killed at some moment: what it had sealed is there, the chain is whole, the run shows.
 */
TEST(a_killed_node_loses_only_what_was_not_sealed)
{
    struct place place;
    uint64_t told = 0, tolds = 0;
    REQUIRE(enter(&place));
    for (unsigned round = 0; round < 12; round++) {
        int pipes[2];
        (void)records_close(place.records, NULL);
        kv_close(place.kv);
        REQUIRE(pipe(pipes) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            struct kv_config config = {place.path, UINT64_C(1) << 30, false};
            uint64_t second;
            uint32_t index;
            if (kv_open(&config, &place.kv, NULL) != 0) {
                _exit(1);
            }
            place.config.kv = place.kv;
            if (records_open(&place.config, &place.records, NULL) != 0) {
                _exit(2);
            }
            for (int64_t s = 1000 * round;; s++) {
                for (unsigned i = 0; i < 40; i++) {
                    (void)add(&place, i, T0 + s * S, &second, &index);
                }
                (void)records_turn(place.records, T0 + (s + 1) * S);
                if (records_seal(place.records, NULL) == 0) {
                    second = records_sealed(place.records);
                    (void)!write(pipes[1], &second, sizeof second);
                }
            }
        }
        close(pipes[1]);
        for (unsigned i = 0; i < 5 + round; i++) {
            REQUIRE(read(pipes[0], &told, sizeof told) == sizeof told);
            tolds++;
        }
        struct timespec pause = {0, 131000L * round};
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        CHECK(waitpid(pid, NULL, 0) == pid);
        while (read(pipes[0], &told, sizeof told) == sizeof told) {
            tolds++;
        }
        close(pipes[0]);
        struct kv_config config = {place.path, UINT64_C(1) << 30, true};
        REQUIRE(kv_open(&config, &place.kv, NULL) == 0);
        place.config.kv = place.kv;
        REQUIRE(records_open(&place.config, &place.records, NULL) == 0);
        for (unsigned i = 0; i < 40; i += 13) {
            CHECK_INT(check_receipt(&place, told, i, i), ==, 0);
        }
        struct chain chain = chain_of(&place);
        CHECK_INT(chain.runs_seen, ==, round + 1);
        CHECK(chain.count >= tolds && chain.count <= tolds + round + 1);
        CHECK_INT(chain.records, ==, 40 * chain.count);
    }
    leave(&place);
}

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

TEST(a_hundred_thousand_calls_in_a_second)
{
    enum { COUNT = 100000 };
    struct place place;
    REQUIRE(enter(&place));
    uint64_t second;
    uint32_t index;
    double from = cpu_ns();
    for (unsigned i = 0; i < COUNT; i++) {
        if (add(&place, i, T0, &second, &index) != 0) {
            CHECK(false);
        }
    }
    double added = cpu_ns();
    CHECK(records_turn(place.records, T0 + S));
    double middle = cpu_ns();
    CHECK_INT(records_seal(place.records, NULL), ==, 0);
    double sealed = cpu_ns();
    CHECK_INT(check_receipt(&place, second, 77777, 77777), ==, 0);
    double recent = cpu_ns();
    CHECK(reopen(&place));
    double reopened = cpu_ns();
    CHECK_INT(check_receipt(&place, second, 77777, 77777), ==, 0);
    double stored = cpu_ns();
    CHECK_INT(check_receipt(&place, second, 99999, 99999), ==, 0);
    double again = cpu_ns();
    struct records_stats stats;
    records_stats(place.records, &stats);
    wm_test_note("per call: adding %.0f ns on the loop, sealing %.0f ns, %llu bytes on disk",
                 (added - from) / COUNT, (sealed - middle) / COUNT,
                 (unsigned long long)stats.kept_bytes / COUNT);
    wm_test_note(
        "a receipt made and checked: %.0f us from memory, %.0f us from the store, then %.0f",
        (recent - sealed) / 1e3, (stored - reopened) / 1e3, (again - stored) / 1e3);
    CHECK((added - from) / COUNT < 20000);
    leave(&place);
}

TEST_MAIN(TEST_CASE(every_call_has_a_receipt_in_memory_and_from_the_store),
          TEST_CASE(the_chain_goes_on_over_restarts_and_shows_them),
          TEST_CASE(a_clock_set_back_does_not_turn_the_chain_back),
          TEST_CASE(what_found_no_room_is_counted_in_the_root),
          TEST_CASE(old_seconds_are_pruned_by_age_and_by_size),
          TEST_CASE(a_failed_sealing_is_tried_again),
          TEST_CASE(failing_memory_loses_a_record_and_says_so),
          TEST_CASE(failing_memory_and_reads_fail_a_request_and_nothing_else),
          TEST_CASE(damage_in_the_store_is_found), TEST_CASE(a_bill_reads_a_range_of_seconds),
          TEST_CASE(sealing_beside_the_loop),
          TEST_CASE(a_killed_node_loses_only_what_was_not_sealed),
          TEST_CASE(a_hundred_thousand_calls_in_a_second))
