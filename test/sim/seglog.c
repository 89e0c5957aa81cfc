/* seglog_sim: the log of src/store/seglog.h on a disk that loses what was not synced, fails, fills
 * up and rots (common/seglog_sim.h), against a model that is an array.
 *
 *     seglog_sim [--seed N] [--steps N] [TEST...]
 *
 * The rules: what a successful sync covered is there, in order, with its bytes; what was truncated,
 * or never appended, is not; what rots after it was durable is reported, and nothing is cut then;
 * a failure is told, and after one that leaves the disk in doubt nothing is accepted. Everything
 * follows from the seed, which is printed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/test.h"
#include "base/vec.h"
#include "common/seglog_sim.h"
#include "store/seglog.h"
#include "store/seglog_format.h"

#define SEGMENT_BYTES ((uint64_t)65536)
#define RECORD_MAX (SEGMENT_BYTES - 4 * 4096 - 9)
#define KEPT 600u /* records, about, before the oldest are removed */

static uint64_t seed = 1, steps = 20000;

struct model_record {
    uint64_t content; /* seed of kind and bytes */
    uint32_t len;
};

struct world {
    struct sim *sim;
    struct seglog_disk disk;
    struct seglog *log;
    uint64_t random;
    bool seal, bad; /* bad: stop */

    WM_VEC(struct model_record) records; /* by number; what was appended, or tried last */
    uint64_t first, first_most;          /* the log begins here, or, after a failure, up to there */
    uint64_t acked;                      /* records that are durable for certain */
    uint64_t truncated; /* one was tried and failed: this may be the end. UINT64_MAX: none */

    uint64_t appends, reopened, crashes, cuts, torn, full, rot; /* what happened */
};

static uint64_t below(struct world *world, uint64_t limit)
{
    return sim_random(&world->random) % limit;
}

static bool chance(struct world *world, unsigned percent)
{
    return below(world, 100) < percent;
}

#define MUST(world, condition)      \
    do {                            \
        bool must_ok = (condition); \
        CHECK(must_ok);             \
        if (!must_ok) {             \
            (world)->bad = true;    \
            return;                 \
        }                           \
    } while (0)

/* --- Records --- */

static uint8_t *content_of(const struct model_record *record, uint8_t *kind)
{
    static uint8_t bytes[SEGMENT_BYTES];
    uint64_t state = record->content;
    *kind = (uint8_t)sim_random(&state);
    for (uint32_t i = 0; i < record->len; i += 8) {
        uint64_t word = sim_random(&state);
        memcpy(bytes + i, &word, 8);
    }
    return bytes;
}

static struct model_record new_record(struct world *world)
{
    uint64_t most = chance(world, 2) ? RECORD_MAX + 1 : chance(world, 10) ? 20000 : 700;
    return (struct model_record){sim_random(&world->random), (uint32_t)below(world, most)};
}

static int append(struct world *world, const struct model_record *record, uint64_t *number)
{
    uint8_t kind;
    uint8_t *bytes = content_of(record, &kind);
    return seglog_append(world->log, kind, wm_view_of(bytes, record->len), number, NULL);
}

/* The code of seglog_read; *good: it gave what the model has. */
static int read_one(struct world *world, uint64_t number, bool *good)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wm_view bytes;
    uint8_t kind, wanted_kind;
    const struct model_record *record = &world->records.items[number];
    int err = seglog_read(world->log, number, &kind, &bytes, &diag);
    *good = false;
    if (!err) {
        const uint8_t *wanted = content_of(record, &wanted_kind);
        *good = kind == wanted_kind && bytes.len == record->len &&
                (bytes.len == 0 || memcmp(bytes.ptr, wanted, bytes.len) == 0);
    }
    return err;
}

static bool reads_well(struct world *world, uint64_t number)
{
    bool good;
    return read_one(world, number, &good) == 0 && good;
}

/* --- Opening --- */

static int open_log(struct world *world, struct seglog_opened *opened, struct wm_diag *diag)
{
    struct seglog_config config = {.path = "sim",
                                   .segment_bytes = SEGMENT_BYTES,
                                   .label = {7},
                                   .seal = world->seal,
                                   .disk = &world->disk};
    return seglog_open(&config, &world->log, opened, diag);
}

static void enter(struct world *world, bool seal, uint64_t salt)
{
    struct seglog_opened opened;
    *world = (struct world){.random = seed * 1000003 + salt, .truncated = UINT64_MAX, .seal = seal};
    world->sim = sim_new(seed * 7919 + salt, &world->disk);
    MUST(world, open_log(world, &opened, NULL) == 0);
    MUST(world, opened.first == 0 && opened.next == 0 && opened.cut_bytes == 0);
}

static void leave(struct world *world)
{
    seglog_close(world->log);
    sim_free(world->sim);
    wm_vec_fini(&world->records);
}

/* The log is what it may be, and the model knows from here on what it is. */
static void compare(struct world *world, const struct seglog_opened *opened)
{
    bool untouched = opened->next >= world->acked && opened->next <= world->records.count;
    MUST(world, untouched || opened->next == world->truncated);
    MUST(world, opened->first >= world->first && opened->first <= world->first_most);
    world->records.count = opened->next;
    world->acked = opened->next;
    world->first = world->first_most = opened->first;
    world->truncated = UINT64_MAX;
    world->torn += opened->cut_bytes > 0;
    uint64_t next = opened->first;
    for (uint64_t i = 0; i < seglog_segments(world->log); i++) {
        struct seglog_segment segment;
        seglog_segment(world->log, i, &segment);
        MUST(world, segment.first == next);
        next += segment.count;
        if (segment.sealed && chance(world, 10)) {
            MUST(world, seglog_check(world->log, i, NULL) == 0);
        }
        MUST(world, segment.sealed == (world->seal && i + 1 < seglog_segments(world->log)));
    }
    MUST(world, next == opened->next);
    /* Zeroes follow. */
    struct seglog_segment newest;
    char name[SEGLOG_NAME_BYTES] = "";
    for (unsigned i = 0; sim_name(world->sim, i); i++) {
        if (strstr(sim_name(world->sim, i), ".log")) {
            snprintf(name, sizeof name, "%s", sim_name(world->sim, i));
        }
    }
    struct wm_view file = sim_file(world->sim, name);
    seglog_segment(world->log, seglog_segments(world->log) - 1, &newest);
    MUST(world, file.len == SEGMENT_BYTES &&
                    seglog_all_zero(file.ptr + newest.bytes,
                                    (size_t)(seglog_records_end(SEGMENT_BYTES) - newest.bytes)));
    for (uint64_t i = opened->first; i < opened->next; i++) {
        MUST(world, reads_well(world, i));
    }
}

/* Closes, loses power or not, and opens again, which may fail, too, and be tried again. */
static void reopen(struct world *world, bool crash)
{
    struct seglog_opened opened;
    struct wm_diag diag = WM_DIAG_INIT;
    seglog_close(world->log);
    world->log = NULL;
    world->reopened++;
    for (int tries = 0;; tries++) {
        if (crash || sim_is_off(world->sim)) {
            sim_crash(world->sim);
            world->crashes++;
        }
        sim_fail(world->sim, 0, 0);
        sim_power_off_at(world->sim, 0);
        if (tries < 5 && chance(world, 40)) {
            uint64_t n = 1 + below(world, 30);
            if (chance(world, 50)) {
                sim_power_off_at(world->sim, n);
            } else {
                sim_fail(world->sim, n, -EIO);
            }
            crash = chance(world, 50);
        } else {
            crash = false;
        }
        int err = open_log(world, &opened, &diag);
        if (err == 0) {
            break;
        }
        world->log = NULL;
        if (err == -ENOSPC) { /* a sealed segment that is opened again becomes longer */
            sim_room(world->sim, 0);
        } else if (err != -EIO) {
            wm_test_note("opening: %s", wm_diag_text(&diag));
        }
        MUST(world, (err == -EIO || err == -ENOSPC) && tries < 5);
    }
    sim_fail(world->sim, 0, 0);
    sim_power_off_at(world->sim, 0);
    compare(world, &opened);
}

/* --- Steps --- */

/* After a failure: does the log go on? Then all of it is durable now. */
static bool goes_on(struct world *world, uint64_t records)
{
    if (seglog_sync(world->log, NULL) != 0) {
        return false;
    }
    world->records.count = records;
    world->acked = records;
    return true;
}

static void step_append(struct world *world)
{
    for (uint64_t n = 1 + below(world, 12); n > 0; n--) {
        struct model_record record = new_record(world);
        uint64_t number = 0, count = world->records.count;
        MUST(world, wm_vec_push(&world->records, record) == 0);
        int err = append(world, &record, &number);
        world->appends++;
        if (err) {
            if (!goes_on(world, count)) {
                reopen(world, chance(world, 50));
            }
            return;
        }
        MUST(world, number == count);
    }
    if (chance(world, 50)) { /* reading it writes it, without a sync */
        bool good;
        int err = read_one(world, world->records.count - 1, &good);
        MUST(world, err == 0 ? good : sim_failed(world->sim));
        if (err && !goes_on(world, world->records.count)) {
            reopen(world, chance(world, 50));
        }
    }
}

static void step_sync(struct world *world)
{
    if (seglog_sync(world->log, NULL) != 0) {
        MUST(world, seglog_sync(world->log, NULL) == -EIO);
        MUST(world, seglog_cut(world->log, NULL) == -EIO);
        reopen(world, chance(world, 50));
        return;
    }
    world->acked = world->records.count;
}

static void step_sync_elsewhere(struct world *world)
{
    int fd, err = seglog_sync_begin(world->log, &fd, NULL);
    uint64_t covered = world->records.count;
    if (err) {
        reopen(world, chance(world, 50));
        return;
    }
    bool before = chance(world, 50);
    int result = before ? world->disk.ops->sync(world->disk.self, fd) : 0;
    bool failed = false;
    for (uint64_t n = below(world, 6); n > 0 && !failed; n--) {
        struct model_record record = new_record(world);
        uint64_t number = 0;
        MUST(world, wm_vec_push(&world->records, record) == 0);
        err = append(world, &record, &number);
        if (err == WM_E_BUSY) {
            world->records.count--;
            break;
        }
        failed = err != 0;
    }
    if (!failed && world->records.count > covered && chance(world, 50)) { /* writes them */
        bool good;
        err = read_one(world, world->records.count - 1, &good);
        MUST(world, err == 0 ? good : sim_failed(world->sim));
        failed = err != 0;
    }
    if (!before) {
        result = world->disk.ops->sync(world->disk.self, fd);
    }
    err = seglog_synced(world->log, result, NULL);
    MUST(world, !result || err == result);
    if (!err) {
        world->acked = covered;
    }
    if (err || failed) {
        reopen(world, chance(world, 50));
    }
}

static void step_cut(struct world *world)
{
    world->cuts++;
    if (seglog_cut(world->log, NULL) == 0) {
        world->acked = world->records.count;
    } else if (!goes_on(world, world->records.count)) {
        reopen(world, chance(world, 50));
    }
}

static void step_read(struct world *world)
{
    uint64_t count = world->records.count - world->first;
    if (count == 0) {
        return;
    }
    uint64_t number = world->first + below(world, count);
    for (uint64_t n = below(world, 5) + 1; n > 0 && number < world->records.count; n--) {
        bool good;
        int err = read_one(world, number, &good);
        MUST(world, err == 0 ? good : sim_failed(world->sim));
        if (err && !goes_on(world, world->records.count)) {
            reopen(world, chance(world, 50));
            return;
        }
        number += 1 + below(world, 3);
    }
    struct wm_view bytes;
    uint8_t kind;
    MUST(world,
         seglog_read(world->log, world->records.count, &kind, &bytes, NULL) == WM_E_NOT_FOUND);
}

static void step_truncate(struct world *world)
{
    uint64_t count = world->records.count - world->first;
    uint64_t back = chance(world, 70) ? 10 : count;
    uint64_t number = world->records.count - below(world, (back < count ? back : count) + 1);
    if (chance(world, 30)) { /* to where a segment begins */
        struct seglog_segment segment;
        seglog_segment(world->log, below(world, seglog_segments(world->log)), &segment);
        number = segment.first;
    }
    if (seglog_truncate(world->log, number, NULL) == 0) {
        if (number < world->records.count) {
            world->acked = number;
        }
        world->records.count = number;
    } else if (!goes_on(world, world->records.count)) {
        world->truncated = number;
        reopen(world, chance(world, 50));
    }
}

static void step_remove(struct world *world)
{
    if (world->records.count - world->first < KEPT && !chance(world, 20)) {
        return;
    }
    uint64_t number = world->first + below(world, world->records.count - world->first + 1);
    struct seglog_segment segment;
    uint64_t expected = world->first;
    for (uint64_t i = 0; i < seglog_segments(world->log); i++) {
        seglog_segment(world->log, i, &segment);
        expected = segment.first <= number ? segment.first : expected;
    }
    world->first_most = expected;
    if (seglog_remove_before(world->log, number, NULL) == 0) {
        world->first = expected;
        seglog_segment(world->log, 0, &segment);
        MUST(world, segment.first == expected);
    } else {
        reopen(world, chance(world, 50));
    }
}

static void step_full_disk(struct world *world)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; sim_name(world->sim, i); i++) {
        bytes += sim_file(world->sim, sim_name(world->sim, i)).len;
    }
    sim_room(world->sim, bytes + below(world, SEGMENT_BYTES));
    world->full++;
    for (int i = 0; i < 20 && !world->bad; i++) {
        step_append(world);
    }
    sim_room(world->sim, 0);
}

/* What was durable rots: it is seen, nothing is changed, and all is well when it is undone. */
static void step_rot(struct world *world)
{
    struct seglog_opened opened;
    struct seglog_name name;
    char file[SEGLOG_NAME_BYTES];
    unsigned files = 0;
    reopen(world, chance(world, 50)); /* what is there is durable, and noted */
    if (world->bad) {
        return;
    }
    while (sim_name(world->sim, files)) {
        files++;
    }
    snprintf(file, sizeof file, "%s", sim_name(world->sim, (unsigned)below(world, files)));
    if (!seglog_name_get(file, &name)) {
        return;
    }
    struct seglog_segment segment;
    uint64_t which = 0, oldest = 0;
    seglog_segment(world->log, 0, &segment);
    for (unsigned i = 0; i < files; i++) {
        struct seglog_name other;
        if (seglog_name_get(sim_name(world->sim, i), &other)) {
            oldest = i == 0 || other.segment < oldest ? other.segment : oldest;
        }
    }
    which = name.segment - oldest;
    seglog_segment(world->log, which, &segment);
    MUST(world, segment.sealed == name.sealed);
    uint64_t offset = below(world, segment.bytes);
    uint8_t bits = (uint8_t)(1u << below(world, 8));
    world->rot++;
    seglog_close(world->log);
    world->log = NULL;
    struct wm_view before = sim_file(world->sim, file);
    uint8_t *copy = malloc(before.len);
    MUST(world, copy != NULL);
    memcpy(copy, before.ptr, before.len);
    sim_flip(world->sim, file, offset, bits);
    struct wm_diag diag = WM_DIAG_INIT;
    int err = open_log(world, &opened, &diag);
    if (!name.sealed) {
        CHECK_INT(err, ==, WM_E_FORGED);
        CHECK(strstr(wm_diag_text(&diag), "damaged at byte") != NULL);
        world->log = err ? NULL : world->log;
        sim_flip(world->sim, file, offset, bits);
        struct wm_view after = sim_file(world->sim, file);
        CHECK(after.len == before.len && memcmp(after.ptr, copy, after.len) == 0);
        err = err == WM_E_FORGED ? open_log(world, &opened, NULL) : -1;
        free(copy);
        MUST(world, err == 0);
    } else {
        uint8_t kind;
        struct wm_view bytes;
        bool seen = false;
        if (err) {
            free(copy);
            MUST(world, err == 0);
        }
        CHECK_INT(seglog_check(world->log, which, NULL), ==, WM_E_FORGED);
        for (uint64_t i = segment.first; i < segment.first + segment.count && !seen; i++) {
            seen = seglog_read(world->log, i, &kind, &bytes, NULL) == WM_E_FORGED;
            CHECK(seen || reads_well(world, i));
        }
        CHECK_INT(seen, ==,
                  offset >= SEGLOG_PAGE_BYTES && offset < segment.bytes - SEGLOG_FOOTER_BYTES);
        copy[0] ^= 1;
        CHECK_INT(seglog_repair(world->log, which, wm_view_of(copy, before.len), NULL), ==,
                  WM_E_FORGED);
        copy[0] ^= 1;
        CHECK_INT(seglog_repair(world->log, which, wm_view_of(copy, before.len), NULL), ==, 0);
        CHECK_INT(seglog_check(world->log, which, NULL), ==, 0);
        free(copy);
    }
    compare(world, &opened);
}

static void step(struct world *world)
{
    uint64_t what = below(world, 100);
    if (chance(world, 3)) { /* trouble ahead */
        uint64_t n = 1 + below(world, 40);
        switch (below(world, 3)) {
        case 0: sim_power_off_at(world->sim, n); break;
        case 1: sim_fail(world->sim, n, -EIO); break;
        default: sim_fail(world->sim, n, -ENOSPC);
        }
    }
    if (what < 45) {
        step_append(world);
    } else if (what < 60) {
        step_sync(world);
    } else if (what < 68) {
        step_sync_elsewhere(world);
    } else if (what < 72) {
        step_cut(world);
    } else if (what < 85) {
        step_read(world);
    } else if (what < 90) {
        step_truncate(world);
    } else if (what < 95) {
        step_remove(world);
    } else if (what < 96) {
        step_full_disk(world);
    } else if (what < 97) {
        step_rot(world);
    } else {
        reopen(world, chance(world, 70));
    }
}

static void run(bool seal, uint64_t salt)
{
    static struct world world;
    enter(&world, seal, salt);
    for (uint64_t i = 0; i < steps && !world.bad; i++) {
        step(&world);
        if (world.bad) {
            wm_test_note("seed %llu, step %llu", (unsigned long long)seed, (unsigned long long)i);
        }
    }
    wm_test_note("%llu appends, %llu times opened, %llu crashes, %llu torn tails, %llu cuts, "
                 "%llu times full, %llu times rotten",
                 (unsigned long long)world.appends, (unsigned long long)world.reopened,
                 (unsigned long long)world.crashes, (unsigned long long)world.torn,
                 (unsigned long long)world.cuts, (unsigned long long)world.full,
                 (unsigned long long)world.rot);
    CHECK(world.appends > 0);
    leave(&world);
}

TEST(a_journal_against_its_model)
{
    run(false, 1);
}

TEST(a_sealed_log_against_its_model)
{
    run(true, 2);
}

/* --- One scenario, with every operation failing once --- */

/* Before the one that failed is tried again. */
static bool settled(struct world *world, int err, uint64_t records)
{
    return err == 0 || (goes_on(world, records) && !sim_is_off(world->sim));
}

/* Until the log refuses; true: it never did. What fails and leaves the log usable is tried again.
 */
static bool scenario(struct world *world)
{
    int err;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 8; i++) {
            struct model_record record = {1000 * round + i, 1000 + 1200 * i};
            uint64_t number, count = world->records.count;
            do {
                if (wm_vec_push(&world->records, record) != 0) {
                    return false;
                }
                err = append(world, &record, &number);
                if (!settled(world, err, count)) {
                    return false;
                }
            } while (err);
        }
        if (seglog_sync(world->log, NULL) != 0) {
            return false;
        }
        world->acked = world->records.count;
        for (err = -1; round == 0 && err;) {
            err = seglog_cut(world->log, NULL);
            if (!settled(world, err, world->records.count)) {
                return false;
            }
        }
    }
    /* Into a segment that was full, and was sealed. */
    for (unsigned i = 0; i < 2; i++) {
        uint64_t number = world->records.count - (i == 0 ? 2 : 9);
        do {
            err = seglog_truncate(world->log, number, NULL);
            if (!settled(world, err, world->records.count)) {
                world->truncated = number;
                return false;
            }
        } while (err);
        world->records.count = world->acked = number;
    }
    world->first_most = world->records.count;
    if (seglog_remove_before(world->log, world->records.count, NULL) != 0) {
        return false;
    }
    struct seglog_segment segment;
    seglog_segment(world->log, 0, &segment);
    world->first = world->first_most = segment.first;
    return true;
}

/* True: the n-th operation was reached. `after`: at that operation of opening again, the power
 * goes; *after_too: that one was reached. */
static bool one_failure(uint64_t n, bool power, int code, uint64_t after, bool *after_too,
                        uint64_t salt)
{
    static struct world world;
    struct seglog_opened opened;
    enter(&world, true, salt);
    if (power) {
        sim_power_off_at(world.sim, n);
    } else {
        sim_fail(world.sim, n, code);
    }
    bool whole = scenario(&world);
    bool reached = sim_failed(world.sim);
    CHECK(whole || reached);
    if (after > 0) {
        seglog_close(world.log);
        sim_fail(world.sim, 0, 0);
        sim_power_off_at(world.sim, after);
        world.log = NULL;
        int err = open_log(&world, &opened, NULL);
        *after_too = sim_failed(world.sim);
        CHECK(err == 0 || (err == -EIO && *after_too));
    }
    reopen(&world, power || n % 2 == 0 || after > 0);
    if (world.bad) {
        wm_test_note("operation %llu, then %llu, salt %llu", (unsigned long long)n,
                     (unsigned long long)after, (unsigned long long)salt);
    }
    leave(&world);
    return reached;
}

TEST(every_operation_fails_once)
{
    uint64_t n = 0;
    for (uint64_t salt = 0; salt < 4; salt++) {
        for (n = 1; one_failure(n, false, -EIO, 0, NULL, 100 + n * 8 + salt); n++) {
        }
        for (n = 1; one_failure(n, false, -ENOSPC, 0, NULL, 100 + n * 8 + salt); n++) {
        }
        for (n = 1; one_failure(n, true, 0, 0, NULL, 100 + n * 8 + salt); n++) {
        }
    }
    wm_test_note("%llu operations", (unsigned long long)n - 1);
    CHECK(n > 50);
}

/* What a failing sync left behind in the kernel's memory alone is what the next process finds. */
TEST(every_operation_fails_and_the_next_process_dies_anywhere)
{
    bool reached = true, after_too = true;
    uint64_t pairs = 0;
    for (uint64_t n = 1; reached; n++) {
        after_too = true;
        for (uint64_t after = 1; after_too; after++) {
            after_too = false;
            reached = one_failure(n, false, -EIO, after, &after_too, 100 + n * 1000 + after);
            pairs++;
        }
    }
    wm_test_note("%llu pairs", (unsigned long long)pairs);
    CHECK(pairs > 500);
}

/* --- Marks --- */

/* With one of the two marks gone, what rots before the other one is seen all the same; with both,
 * the log is not opened; and what rots after the last one is a torn tail. */
TEST(one_mark_is_enough)
{
    static const char name[] = "0000000000000000.log";
    static struct world world;
    struct seglog_opened opened;
    uint64_t number, ends[4] = {0};
    enter(&world, false, 5);
    for (unsigned i = 0; i < 4; i++) {
        struct model_record record = {i, 600};
        struct seglog_segment segment;
        REQUIRE(append(&world, &record, &number) == 0);
        REQUIRE(i == 3 || seglog_sync(world.log, NULL) == 0);
        seglog_segment(world.log, 0, &segment);
        ends[i] = segment.bytes;
    }
    uint8_t kind;
    struct wm_view bytes;
    REQUIRE(seglog_read(world.log, 3, &kind, &bytes, NULL) == 0); /* written, not synced */
    seglog_close(world.log);
    world.log = NULL;
    /* The marks say, in this order: two records, three. */
    const uint64_t marks[2] = {seglog_mark_offset(SEGMENT_BYTES, 1),
                               seglog_mark_offset(SEGMENT_BYTES, 0)};
    for (unsigned gone = 0; gone < 4; gone++) {
        for (unsigned i = 0; i < 2; i++) {
            if (gone & 1u << i) {
                sim_flip(world.sim, name, marks[i] + 3, 1);
            }
        }
        unsigned known =
            gone == 0 || gone == 1 ? 3 : 2; /* durable records, as far as one can see */
        for (unsigned i = 0; i < known; i++) {
            sim_flip(world.sim, name, ends[i] - 1, 0x10);
            CHECK_INT(open_log(&world, &opened, NULL), ==, WM_E_FORGED);
            sim_flip(world.sim, name, ends[i] - 1, 0x10);
        }
        if (gone == 3) {
            CHECK_INT(open_log(&world, &opened, NULL), ==, WM_E_FORGED);
        }
        for (unsigned i = 0; i < 2; i++) {
            if (gone & 1u << i) {
                sim_flip(world.sim, name, marks[i] + 3, 1);
            }
        }
    }
    sim_flip(world.sim, name, ends[3] - 1, 0x10);
    REQUIRE(open_log(&world, &opened, NULL) == 0);
    CHECK_INT(opened.next, ==, 3);
    CHECK_INT(opened.cut_bytes, ==, 609);
    leave(&world);
}

/* --- The same records and cuts: the same sealed segments --- */

#define AGREED 2000u

static bool cut_here(const struct model_record *agreed, uint64_t number)
{
    return number > 0 && agreed[number].content % 97 == 0;
}

/* Appends what was agreed upon, with the cuts; with `noise`, among syncs, crashes, failures, and
 * records that are taken back. */
static void follow(struct world *world, const struct model_record *agreed, bool noise)
{
    uint64_t kept = 0; /* of what the log has; the rest was never agreed upon */
    struct seglog_opened opened;
    while (kept < AGREED) {
        struct seglog_segment newest;
        int err = 0;
        uint64_t number;
        seglog_segment(world->log, seglog_segments(world->log) - 1, &newest);
        if (noise && chance(world, 10)) {
            if (chance(world, 50)) {
                sim_power_off_at(world->sim, 1 + below(world, 15));
            } else {
                sim_fail(world->sim, 1 + below(world, 15), chance(world, 50) ? -EIO : -ENOSPC);
            }
        }
        if (cut_here(agreed, kept) && newest.first < kept) {
            err = seglog_cut(world->log, NULL);
        }
        if (!err && noise && chance(world, 15)) {
            for (uint64_t n = 1 + below(world, 20); !err && n > 0; n--) {
                struct model_record record = new_record(world);
                err = append(world, &record, &number);
            }
            err = err || chance(world, 80) ? err : seglog_sync(world->log, NULL);
            err = err ? err : seglog_truncate(world->log, kept, NULL);
        }
        if (!err && noise && chance(world, 10)) {
            err = seglog_sync(world->log, NULL);
        }
        if (!err) {
            err = append(world, &agreed[kept], &number);
            kept += err == 0;
        }
        if (err || (noise && chance(world, 1))) {
            seglog_close(world->log);
            if (sim_is_off(world->sim) || chance(world, 50)) {
                sim_crash(world->sim);
            }
            sim_fail(world->sim, 0, 0);
            sim_power_off_at(world->sim, 0);
            world->log = NULL;
            MUST(world, open_log(world, &opened, NULL) == 0);
            kept = opened.next < kept ? opened.next : kept;
            MUST(world, seglog_truncate(world->log, kept, NULL) == 0);
        }
    }
}

TEST(the_same_records_and_cuts_seal_the_same)
{
    static struct world plain, noisy;
    static struct model_record agreed[AGREED];
    unsigned sealed = 0;
    enter(&plain, true, 3);
    enter(&noisy, true, 4);
    for (unsigned i = 0; i < AGREED; i++) {
        agreed[i] = new_record(&plain);
    }
    follow(&plain, agreed, false);
    follow(&noisy, agreed, true);
    for (unsigned i = 0; sim_name(plain.sim, i) && !noisy.bad; i++) {
        const char *name = sim_name(plain.sim, i);
        struct seglog_name parsed;
        if (seglog_name_get(name, &parsed) && parsed.sealed) {
            sealed++;
            CHECK(wm_view_eq(sim_file(plain.sim, name), sim_file(noisy.sim, name)));
        }
    }
    CHECK_INT(seglog_segments(plain.log), ==, seglog_segments(noisy.log));
    CHECK_INT(sealed, ==, seglog_segments(plain.log) - 1);
    wm_test_note("%u sealed segments", sealed);
    CHECK(sealed > 30);
    leave(&plain);
    leave(&noisy);
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {
        TEST_CASE(a_journal_against_its_model),
        TEST_CASE(a_sealed_log_against_its_model),
        TEST_CASE(every_operation_fails_once),
        TEST_CASE(every_operation_fails_and_the_next_process_dies_anywhere),
        TEST_CASE(one_mark_is_enough),
        TEST_CASE(the_same_records_and_cuts_seal_the_same),
    };
    int left = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
            steps = strtoull(argv[++i], NULL, 0);
        } else {
            argv[left++] = argv[i];
        }
    }
    printf("# --seed %llu --steps %llu\n", (unsigned long long)seed, (unsigned long long)steps);
    return wm_test_main(tests, WM_COUNT_OF(tests), left, argv);
}
