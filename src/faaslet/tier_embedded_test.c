/* tier_embedded_test.c: the contract, and what only this tier promises: exact times (with a clock
 * that the test sets), order among waiters, and what a restart keeps. */
#include "faaslet/tier_embedded.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "faaslet/tier_contract.h"

#define V(text) wm_view_str(text)
#define KEY(text) ((struct tier_key){V("tenant"), V(text)})

struct place {
    char root[64], path[80];
    struct kv *kv;
    struct tier tier;
    _Atomic int64_t now_ms;
    uint64_t quota; /* of the tenant "limited" */
};

static uint64_t place_quota(void *self, struct wm_view tenant)
{
    return wm_view_eq_str(tenant, "limited") ? ((struct place *)self)->quota : 0;
}

static int64_t place_now(void *self)
{
    return atomic_load(&((struct place *)self)->now_ms);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static bool start(struct place *place, bool own_clock)
{
    struct kv_config config = {place->path, 0, true};
    if (kv_open(&config, &place->kv, NULL) != 0) {
        return false;
    }
    struct tier_embedded_config tier = {place->kv, own_clock ? place_now : NULL, place, place_quota,
                                        place};
    return tier_embedded_new(&tier, &place->tier, NULL) == 0;
}

static void stop(struct place *place)
{
    place->tier.ops->close(place->tier.self);
    kv_close(place->kv);
}

static bool enter(struct place *place, bool own_clock)
{
    memset(place, 0, sizeof *place);
    snprintf(place->root, sizeof place->root, "/tmp/wm-tier-XXXXXX");
    if (!mkdtemp(place->root)) {
        return false;
    }
    snprintf(place->path, sizeof place->path, "%s/store", place->root);
    atomic_store(&place->now_ms, 1000);
    return start(place, own_clock);
}

static void leave(struct place *place)
{
    stop(place);
    (void)nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct place common;

static const struct tier *tier(void)
{
    if (!common.kv && !enter(&common, false)) {
        abort();
    }
    return &common.tier;
}

TIER_CONTRACT(embedded, tier())

TEST(embedded_threads)
{
    struct tier tiers[8];
    for (unsigned i = 0; i < 8; i++) {
        tiers[i] = *tier();
    }
    tier_contract_threads(tiers, 8, "threads");
}

TEST(done_with_the_common_one)
{
    struct tier_stats stats;
    tier_embedded_stats(tier(), &stats);
    CHECK_INT(stats.bytes_written, >, 0);
    CHECK_INT(stats.bytes_read, >, 0);
    CHECK_INT(stats.locks, >, 0);
    leave(&common);
    common.kv = NULL;
}

static struct tier_lock lock_of(uint8_t owner, enum tier_lock_mode mode)
{
    struct tier_lock lock = {.mode = mode};
    memset(lock.owner, owner, sizeof lock.owner);
    return lock;
}

static int take(struct place *place, const char *key, struct tier_lock *lock, uint32_t ttl_ms,
                uint32_t wait_ms)
{
    return place->tier.ops->lock(place->tier.self, KEY(key), lock, ttl_ms, wait_ms, NULL);
}

static int let_go(struct place *place, const char *key, const struct tier_lock *lock)
{
    return place->tier.ops->unlock(place->tier.self, KEY(key), lock, NULL);
}

static int fenced(struct place *place, const char *key, const struct tier_lock *lock)
{
    struct tier_range range = {0, 1, (uint8_t *)"x"};
    return place->tier.ops->write(place->tier.self, KEY(key), 1, &range, 1, lock->token, NULL);
}

static void pass(struct place *place, int64_t ms)
{
    atomic_fetch_add(&place->now_ms, ms);
    tier_embedded_wake(&place->tier);
}

TEST(a_lock_ends_to_the_millisecond)
{
    struct place place;
    struct tier_lock a = lock_of(1, TIER_LOCK_WRITE), b = lock_of(2, TIER_LOCK_WRITE);
    REQUIRE(enter(&place, true));
    CHECK_INT(take(&place, "k", &a, 500, 0), ==, 0);
    pass(&place, 499);
    CHECK_INT(fenced(&place, "k", &a), ==, 0);
    CHECK_INT(take(&place, "k", &b, 500, 0), ==, WM_E_BUSY);
    pass(&place, 1);
    CHECK_INT(fenced(&place, "k", &a), ==, WM_E_STALE);
    CHECK_INT(place.tier.ops->renew(place.tier.self, KEY("k"), &a, 500, NULL), ==, WM_E_STALE);
    CHECK_INT(take(&place, "k", &b, 500, 0), ==, 0);
    CHECK_INT(b.token, ==, a.token + 1);
    leave(&place);
}

TEST(a_restart_grants_nothing_twice)
{
    struct place place;
    struct tier_lock writer = lock_of(1, TIER_LOCK_WRITE), other = lock_of(2, TIER_LOCK_WRITE);
    struct tier_lock reader = lock_of(3, TIER_LOCK_READ), released = lock_of(4, TIER_LOCK_WRITE);
    REQUIRE(enter(&place, true));
    CHECK_INT(take(&place, "w", &writer, 1000, 0), ==, 0);
    CHECK_INT(take(&place, "r", &reader, 1000, 0), ==, 0);
    CHECK_INT(take(&place, "u", &released, 1000, 0), ==, 0);
    CHECK_INT(let_go(&place, "u", &released), ==, 0);
    pass(&place, 900);
    CHECK_INT(place.tier.ops->renew(place.tier.self, KEY("w"), &writer, 1000, NULL), ==, 0);
    stop(&place);
    atomic_fetch_add(&place.now_ms, 10);
    REQUIRE(start(&place, true));
    /* The renewal is not on disk, but it cannot last longer than the grant's time from now. */
    pass(&place, 999);
    CHECK_INT(take(&place, "w", &other, 1000, 0), ==, WM_E_BUSY);
    CHECK_INT(take(&place, "r", &other, 1000, 0), ==, WM_E_BUSY);
    CHECK_INT(take(&place, "u", &other, 1000, 0), ==, WM_E_BUSY);
    CHECK_INT(fenced(&place, "w", &writer), ==, 0); /* its holder goes on */
    CHECK_INT(fenced(&place, "r", &reader), ==, WM_E_STALE);
    pass(&place, 1);
    CHECK_INT(take(&place, "w", &other, 1000, 0), ==, 0);
    CHECK_INT(other.token, ==, writer.token + 1);
    CHECK_INT(fenced(&place, "w", &writer), ==, WM_E_STALE);
    CHECK_INT(take(&place, "u", &other, 1000, 0), ==, 0);
    CHECK_INT(other.token, ==, released.token + 1);
    /* A restored holder renews and releases as before, and a release holds. */
    CHECK_INT(let_go(&place, "u", &other), ==, 0);
    CHECK_INT(take(&place, "v", &writer, 1000, 0), ==, 0);
    stop(&place);
    REQUIRE(start(&place, true));
    CHECK_INT(place.tier.ops->renew(place.tier.self, KEY("v"), &writer, 2000, NULL), ==, 0);
    CHECK_INT(let_go(&place, "v", &writer), ==, 0);
    CHECK_INT(take(&place, "v", &other, 1000, 0), ==, 0);
    CHECK_INT(let_go(&place, "v", &other), ==, 0);
    CHECK_INT(take(&place, "w", &writer, 1000, 0), ==, WM_E_BUSY);
    leave(&place);
}

/* --- Order among waiters --- */

struct waiting {
    struct place *place;
    struct tier_lock lock;
    int err;
    atomic_int done;
    pthread_t thread;
};

static void *wait_for_lock(void *self)
{
    struct waiting *waiting = self;
    waiting->err = take(waiting->place, "q", &waiting->lock, 1000, 100000);
    atomic_store(&waiting->done, 1);
    return NULL;
}

static bool start_waiting(struct waiting *waiting, struct place *place, uint8_t owner,
                          enum tier_lock_mode mode)
{
    *waiting = (struct waiting){.place = place, .lock = lock_of(owner, mode)};
    return pthread_create(&waiting->thread, NULL, wait_for_lock, waiting) == 0;
}

TEST(a_writer_among_readers_gets_its_turn)
{
    struct place place;
    struct tier_lock first = lock_of(1, TIER_LOCK_READ), early = lock_of(9, TIER_LOCK_READ);
    struct waiting writer, reader;
    REQUIRE(enter(&place, true));
    CHECK_INT(take(&place, "q", &first, 100000, 0), ==, 0);
    REQUIRE(start_waiting(&writer, &place, 2, TIER_LOCK_WRITE));
    int err = 0; /* a reader is let in until the writer stands in the queue, and not after that */
    for (int i = 0; i < 1000 && !err; i++) {
        err = take(&place, "q", &early, 1000, 0);
        CHECK(err || let_go(&place, "q", &early) == 0);
        usleep(5000);
    }
    CHECK_INT(err, ==, WM_E_BUSY);
    REQUIRE(start_waiting(&reader, &place, 3, TIER_LOCK_READ));
    CHECK_INT(atomic_load(&writer.done), ==, 0);
    CHECK_INT(atomic_load(&reader.done), ==, 0);
    CHECK_INT(let_go(&place, "q", &first), ==, 0);
    pthread_join(writer.thread, NULL);
    CHECK_INT(writer.err, ==, 0);
    usleep(30000);
    CHECK_INT(atomic_load(&reader.done), ==, 0);
    pass(&place, 1000); /* the writer's time is over */
    pthread_join(reader.thread, NULL);
    CHECK_INT(reader.err, ==, 0);
    CHECK_INT(reader.lock.token, >, writer.lock.token);
    leave(&place);
}

TEST(one_who_gives_up_leaves_the_queue)
{
    struct place place;
    struct tier_lock first = lock_of(1, TIER_LOCK_READ), writer = lock_of(2, TIER_LOCK_WRITE);
    struct tier_lock late = lock_of(3, TIER_LOCK_READ);
    REQUIRE(enter(&place, false));
    CHECK_INT(take(&place, "q", &first, 60000, 0), ==, 0);
    CHECK_INT(take(&place, "q", &writer, 60000, 20), ==, WM_E_BUSY);
    CHECK_INT(take(&place, "q", &late, 60000, 0), ==, 0);
    leave(&place);
}

/* --- Quotas --- */

#define LIMITED(text) ((struct tier_key){V("limited"), V(text)})

static uint64_t usage(struct place *place)
{
    uint64_t bytes = 99;
    CHECK_INT(tier_embedded_usage(&place->tier, V("limited"), &bytes, NULL), ==, 0);
    return bytes;
}

TEST(a_tenant_has_no_more_than_its_quota)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    struct tier_lock lock = lock_of(1, TIER_LOCK_WRITE);
    uint64_t index = 0, count = 0;
    int64_t now = 0;
    REQUIRE(enter(&place, false));
    place.quota = 10000;
    const struct tier_ops *ops = place.tier.ops;
    void *self = place.tier.self;
    CHECK_INT(usage(&place), ==, 0);
    CHECK_INT(ops->create(self, LIMITED("v"), 9000, NULL), ==, 0);
    CHECK_INT(ops->create(self, LIMITED("v"), 9000, NULL), ==, 0); /* charged once */
    CHECK_INT(usage(&place), ==, 9256);
    CHECK_INT(ops->create(self, LIMITED("w"), 1000, &diag), ==, WM_E_LIMIT);
    CHECK_STR(diag.text, "state limited/w: the tenant has used up its quota of state");
    CHECK_INT(ops->size(self, LIMITED("w"), &count, NULL), ==, WM_E_NOT_FOUND);
    CHECK_INT(ops->create(self, KEY("w"), 1000000, NULL), ==, 0); /* others go on */
    struct tier_range range = {0, 1, (uint8_t *)"x"};
    CHECK_INT(ops->write(self, LIMITED("v"), 9000, &range, 1, 0, NULL), ==, 0);
    CHECK_INT(ops->append(self, LIMITED("l"), V("0123456789"), &index, NULL), ==, 0);
    CHECK_INT(ops->add(self, LIMITED("c"), 1, &now, NULL), ==, 0);
    CHECK_INT(usage(&place), ==, 9256 + 330 + 256);
    CHECK_INT(ops->add(self, LIMITED("c"), 1, &now, NULL), ==, 0);
    CHECK_INT(ops->lock(self, LIMITED("k"), &lock, 1000, 0, NULL), ==, WM_E_LIMIT);
    CHECK_INT(ops->append(self, LIMITED("l"), V("0123456789"), &index, NULL), ==, 0);
    CHECK_INT(ops->append(self, LIMITED("l"), V("0123456789"), &index, NULL), ==, 0);
    CHECK_INT(index, ==, 2);
    CHECK_INT(ops->append(self, LIMITED("l"), V("0123456789"), &index, NULL), ==, WM_E_LIMIT);
    CHECK_INT(ops->appended_count(self, LIMITED("l"), &count, NULL), ==, 0);
    CHECK_INT(count, ==, 3);
    place.quota = 1; /* who has too much may still give it back */
    CHECK_INT(ops->clear_appended(self, LIMITED("l"), NULL), ==, 0);
    CHECK_INT(usage(&place), ==, 9256 + 256);
    CHECK_INT(ops->remove(self, LIMITED("v"), NULL), ==, 0);
    CHECK_INT(ops->remove(self, LIMITED("c"), NULL), ==, 0);
    CHECK_INT(ops->remove(self, LIMITED("none"), NULL), ==, 0);
    CHECK_INT(usage(&place), ==, 0);
    place.quota = 300;
    for (int i = 0; i < 3; i++) {
        CHECK_INT(ops->lock(self, LIMITED("k"), &lock, 1000, 0, NULL), ==, 0);
        CHECK_INT(ops->unlock(self, LIMITED("k"), &lock, NULL), ==, 0);
        lock.token = 0;
    }
    CHECK_INT(usage(&place), ==, 256);
    leave(&place);
}

/* --- Large values, restarts, failures --- */

TEST(a_full_store_can_be_emptied)
{
    struct place place;
    static uint8_t data[300000];
    char key[16];
    unsigned count = 0;
    int err = 0;
    REQUIRE(enter(&place, false));
    stop(&place);
    struct kv_config config = {place.path, 4 << 20, true};
    REQUIRE(kv_open(&config, &place.kv, NULL) == 0);
    struct tier_embedded_config embedded = {.kv = place.kv};
    REQUIRE(tier_embedded_new(&embedded, &place.tier, NULL) == 0);
    struct tier_range range = {0, sizeof data, data};
    for (; count < 100 && !err; count++) {
        snprintf(key, sizeof key, "k%u", count);
        err = place.tier.ops->write(place.tier.self, KEY(key), sizeof data, &range, 1, 0, NULL);
    }
    CHECK_INT(err, ==, WM_E_LIMIT);
    CHECK_INT(count, >, 5);
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof key, "k%u", i);
        CHECK_INT(place.tier.ops->remove(place.tier.self, KEY(key), NULL), ==, 0);
    }
    CHECK_INT(place.tier.ops->write(place.tier.self, KEY("k"), sizeof data, &range, 1, 0, NULL), ==,
              0);
    leave(&place);
}

TEST(values_last)
{
    struct place place;
    static uint8_t data[200000], read[200000];
    uint64_t index, count = 0;
    int64_t now;
    REQUIRE(enter(&place, false));
    memset(data, 7, sizeof data);
    struct tier_range range = {1000, sizeof data, data};
    CHECK_INT(
        place.tier.ops->write(place.tier.self, KEY("v"), UINT64_C(2) << 30, &range, 1, 0, NULL), ==,
        0);
    CHECK_INT(kv_bytes(place.kv), <, 2 << 20); /* what was never written takes no room */
    CHECK_INT(place.tier.ops->append(place.tier.self, KEY("l"), V("e"), &index, NULL), ==, 0);
    CHECK_INT(place.tier.ops->add(place.tier.self, KEY("c"), 42, &now, NULL), ==, 0);
    stop(&place);
    REQUIRE(start(&place, false));
    range.bytes = read;
    CHECK_INT(place.tier.ops->read(place.tier.self, KEY("v"), &range, 1, NULL), ==, 0);
    CHECK(memcmp(read, data, sizeof data) == 0);
    CHECK_INT(place.tier.ops->appended_count(place.tier.self, KEY("l"), &count, NULL), ==, 0);
    CHECK_INT(count, ==, 1);
    CHECK_INT(place.tier.ops->add(place.tier.self, KEY("c"), 0, &now, NULL), ==, 0);
    CHECK_INT(now, ==, 42);
    leave(&place);
}

static int write_twice(struct place *place, const char *key, char byte)
{
    uint8_t data[2] = {(uint8_t)byte, (uint8_t)byte};
    struct tier_range ranges[] = {{10, 1, data}, {TIER_CHUNK_BYTES + 10, 1, data + 1}};
    return place->tier.ops->write(place->tier.self, KEY(key), 2 * TIER_CHUNK_BYTES, ranges, 2, 0,
                                  NULL);
}

TEST(a_failure_changes_nothing)
{
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        struct place place;
        bool fired = true;
        REQUIRE(enter(&place, false));
        REQUIRE(write_twice(&place, "v", 'a') == 0);
        for (uint64_t n = 1; fired; n++) {
            uint8_t read[2] = {0};
            struct tier_range ranges[] = {{10, 1, read}, {TIER_CHUNK_BYTES + 10, 1, read + 1}};
            wm_fault_arm((enum wm_fault_kind)kind, n);
            int err = write_twice(&place, "v", 'b');
            fired = wm_fault_fired((enum wm_fault_kind)kind);
            wm_fault_arm((enum wm_fault_kind)kind, 0);
            CHECK_INT(err == 0, ==, !fired);
            CHECK_INT(place.tier.ops->read(place.tier.self, KEY("v"), ranges, 2, NULL), ==, 0);
            CHECK(memcmp(read, fired ? "aa" : "bb", 2) == 0);
        }
        /* A lock whose grant failed is free. */
        fired = true;
        for (uint64_t n = 1; fired; n++) {
            struct tier_lock a = lock_of(1, TIER_LOCK_WRITE), b = lock_of(2, TIER_LOCK_WRITE);
            wm_fault_arm((enum wm_fault_kind)kind, n);
            int err = take(&place, "k", &a, 60000, 0);
            fired = wm_fault_fired((enum wm_fault_kind)kind);
            wm_fault_arm((enum wm_fault_kind)kind, 0);
            CHECK_INT(err == 0, ==, !fired);
            CHECK_INT(take(&place, "k", &b, 60000, 0), ==, fired ? 0 : WM_E_BUSY);
            CHECK_INT(let_go(&place, "k", fired ? &b : &a), ==, 0);
        }
        leave(&place);
    }
}

TEST_MAIN(TIER_CONTRACT_CASES(embedded), TEST_CASE(embedded_threads),
          TEST_CASE(done_with_the_common_one), TEST_CASE(a_lock_ends_to_the_millisecond),
          TEST_CASE(a_restart_grants_nothing_twice),
          TEST_CASE(a_writer_among_readers_gets_its_turn),
          TEST_CASE(one_who_gives_up_leaves_the_queue),
          TEST_CASE(a_tenant_has_no_more_than_its_quota), TEST_CASE(a_full_store_can_be_emptied),
          TEST_CASE(values_last), TEST_CASE(a_failure_changes_nothing))
