#include "faaslet/tier_contract.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/test.h"

#define V(text) wm_view_str(text)
#define KEY(text) ((struct tier_key){V(tenant), V(text)})

/* --- Short forms of the calls --- */

static int write_at(const struct tier *tier, struct tier_key key, uint64_t bytes, uint64_t offset,
                    const void *data, uint64_t len, uint64_t token)
{
    struct tier_range range = {offset, len, (uint8_t *)(uintptr_t)data};
    return tier->ops->write(tier->self, key, bytes, &range, 1, token, NULL);
}

static int read_at(const struct tier *tier, struct tier_key key, uint64_t offset, void *data,
                   uint64_t len)
{
    struct tier_range range = {offset, len, data};
    return tier->ops->read(tier->self, key, &range, 1, NULL);
}

static int size_of(const struct tier *tier, struct tier_key key, uint64_t *bytes)
{
    return tier->ops->size(tier->self, key, bytes, NULL);
}

static struct tier_lock lock_of(uint8_t owner, enum tier_lock_mode mode)
{
    struct tier_lock lock = {.mode = mode};
    memset(lock.owner, owner, sizeof lock.owner);
    return lock;
}

static int take(const struct tier *tier, struct tier_key key, struct tier_lock *lock,
                uint32_t ttl_ms, uint32_t wait_ms)
{
    return tier->ops->lock(tier->self, key, lock, ttl_ms, wait_ms, NULL);
}

static int let_go(const struct tier *tier, struct tier_key key, const struct tier_lock *lock)
{
    return tier->ops->unlock(tier->self, key, lock, NULL);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- Values --- */

void tier_contract_values(const struct tier *tier, const char *tenant)
{
    uint64_t bytes = 0;
    char text[16] = "";
    static uint8_t zeroes[100], read[100];
    CHECK_INT(size_of(tier, KEY("v"), &bytes), ==, WM_E_NOT_FOUND);
    CHECK_INT(read_at(tier, KEY("v"), 0, text, 1), ==, WM_E_NOT_FOUND);
    CHECK_INT(tier->ops->create(tier->self, KEY("v"), 100, NULL), ==, 0);
    CHECK_INT(tier->ops->create(tier->self, KEY("v"), 100, NULL), ==, 0);
    CHECK_INT(tier->ops->create(tier->self, KEY("v"), 101, NULL), ==, WM_E_INVALID);
    CHECK_INT(size_of(tier, KEY("v"), &bytes), ==, 0);
    CHECK_INT(bytes, ==, 100);
    memset(read, 1, sizeof read);
    CHECK_INT(read_at(tier, KEY("v"), 0, read, 100), ==, 0);
    CHECK(memcmp(read, zeroes, 100) == 0);
    /* A value that the first write makes. */
    CHECK_INT(write_at(tier, KEY("w"), 10, 3, "abc", 3, 0), ==, 0);
    CHECK_INT(read_at(tier, KEY("w"), 0, text, 10), ==, 0);
    CHECK(memcmp(text, "\0\0\0abc\0\0\0\0", 10) == 0);
    CHECK_INT(write_at(tier, KEY("w"), 11, 0, "x", 1, 0), ==, WM_E_INVALID);
    /* Several ranges, in any order; of those that overlap the later one wins. */
    struct tier_range ranges[] = {
        {8, 2, (uint8_t *)"YZ"}, {0, 4, (uint8_t *)"0123"}, {2, 1, (uint8_t *)"+"}};
    CHECK_INT(tier->ops->write(tier->self, KEY("w"), 10, ranges, 3, 0, NULL), ==, 0);
    CHECK_INT(read_at(tier, KEY("w"), 0, text, 10), ==, 0);
    CHECK(memcmp(text, "01+3bc\0\0YZ", 10) == 0);
    uint8_t parts[2][2];
    struct tier_range wanted[] = {{8, 2, parts[0]}, {0, 2, parts[1]}, {3, 0, NULL}};
    CHECK_INT(tier->ops->read(tier->self, KEY("w"), wanted, 3, NULL), ==, 0);
    CHECK(memcmp(parts, "YZ01", 4) == 0);
    /* All or nothing. */
    ranges[2] = (struct tier_range){10, 1, (uint8_t *)"!"};
    ranges[1].bytes = (uint8_t *)"zzzz";
    CHECK_INT(tier->ops->write(tier->self, KEY("w"), 10, ranges, 3, 0, NULL), ==, WM_E_INVALID);
    CHECK_INT(read_at(tier, KEY("w"), 0, text, 10), ==, 0);
    CHECK(memcmp(text, "01+3bc\0\0YZ", 10) == 0);
    CHECK_INT(read_at(tier, KEY("w"), 9, text, 2), ==, WM_E_INVALID);
    CHECK_INT(read_at(tier, KEY("w"), UINT64_MAX, text, 2), ==, WM_E_INVALID);
    /* A write without ranges makes the value all the same. */
    CHECK_INT(tier->ops->write(tier->self, KEY("x"), 7, NULL, 0, 0, NULL), ==, 0);
    CHECK_INT(size_of(tier, KEY("x"), &bytes), ==, 0);
    CHECK_INT(bytes, ==, 7);
    CHECK_INT(tier->ops->remove(tier->self, KEY("w"), NULL), ==, 0);
    CHECK_INT(tier->ops->remove(tier->self, KEY("w"), NULL), ==, 0);
    CHECK_INT(size_of(tier, KEY("w"), &bytes), ==, WM_E_NOT_FOUND);
    CHECK_INT(write_at(tier, KEY("w"), 12, 0, "n", 1, 0), ==, 0);
    CHECK_INT(read_at(tier, KEY("w"), 0, text, 12), ==, 0);
    CHECK(memcmp(text, "n\0\0\0\0\0\0\0\0\0\0\0", 12) == 0); /* nothing of the old one shines */
    uint64_t other = 0;
    CHECK_INT(size_of(tier, (struct tier_key){V("other-tenant"), V("w")}, &other), ==,
              WM_E_NOT_FOUND);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Random writes and reads of ranges around the borders of chunks, against a copy in memory. */
void tier_contract_random_ranges(const struct tier *tier, const char *tenant, uint32_t seed)
{
    const uint64_t sizes[] = {1, 65535, 65536, 65537, 300000, 1u << 20};
    uint32_t state = seed;
    char name[32];
    for (size_t s = 0; s < WM_COUNT_OF(sizes); s++) {
        uint64_t bytes = sizes[s];
        uint8_t *model = wm_alloc_zero(bytes, 1), *data = wm_alloc(bytes), *read = wm_alloc(bytes);
        bool same = model && data && read;
        snprintf(name, sizeof name, "seed-%u-%zu", seed, s);
        for (int round = 0; same && round < 12; round++) {
            struct tier_range ranges[8];
            uint32_t count = 1 + next_random(&state) % 8;
            uint64_t at = 0;
            for (uint32_t i = 0; i < count; i++) {
                uint64_t near = next_random(&state) % 3 == 0 ? TIER_CHUNK_BYTES - 3 : 0;
                uint64_t offset = (near + next_random(&state)) % bytes;
                uint64_t most = bytes - offset < bytes - at ? bytes - offset : bytes - at;
                uint64_t len = most ? next_random(&state) % (most / count + 1) : 0;
                ranges[i] = (struct tier_range){offset, len, data + at};
                for (uint64_t k = 0; k < len; k++) {
                    data[at + k] = (uint8_t)next_random(&state);
                }
                memcpy(model + offset, data + at, len);
                at += len;
            }
            CHECK_INT(tier->ops->write(tier->self, KEY(name), bytes, ranges, count, 0, NULL), ==,
                      0);
            memset(read, 0xee, bytes);
            CHECK_INT(read_at(tier, KEY(name), 0, read, bytes), ==, 0);
            same = memcmp(read, model, bytes) == 0;
            uint64_t offset = next_random(&state) % bytes;
            uint64_t len = next_random(&state) % (bytes - offset + 1);
            CHECK_INT(read_at(tier, KEY(name), offset, read, len), ==, 0);
            same = same && memcmp(read, model + offset, len) == 0;
        }
        CHECK(same);
        wm_free(model);
        wm_free(data);
        wm_free(read);
    }
}

struct seen {
    char text[512];
    unsigned most;
};

static bool collect(void *self, struct wm_view name, uint64_t bytes)
{
    struct seen *seen = self;
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof seen->text - len, "%.*s:%llu ", (int)name.len,
             (const char *)name.ptr, (unsigned long long)bytes);
    return --seen->most > 0;
}

static const char *listed(const struct tier *tier, const char *tenant, const char *prefix,
                          const char *after, unsigned most, struct seen *seen)
{
    *seen = (struct seen){"", most};
    CHECK_INT(tier->ops->list(tier->self, V(tenant), V(prefix), V(after), collect, seen, NULL), ==,
              0);
    return seen->text;
}

void tier_contract_listing(const struct tier *tier, const char *tenant)
{
    const char *keys[] = {"b", "ab", "a", "abc", "b*", "a?"};
    struct seen seen;
    CHECK_STR(listed(tier, tenant, "", "", 99, &seen), "");
    for (size_t i = 0; i < WM_COUNT_OF(keys); i++) {
        CHECK_INT(write_at(tier, KEY(keys[i]), i + 1, 0, "x", 1, 0), ==, 0);
        CHECK_INT(write_at(tier, (struct tier_key){V("listing2"), V(keys[i])}, 1, 0, "x", 1, 0), ==,
                  0);
    }
    CHECK_STR(listed(tier, tenant, "", "", 99, &seen), "a:3 a?:6 ab:2 abc:4 b:1 b*:5 ");
    CHECK_STR(listed(tier, tenant, "", "ab", 99, &seen), "abc:4 b:1 b*:5 ");
    CHECK_STR(listed(tier, tenant, "", "aa", 99, &seen), "ab:2 abc:4 b:1 b*:5 ");
    CHECK_STR(listed(tier, tenant, "ab", "", 99, &seen), "ab:2 abc:4 ");
    CHECK_STR(listed(tier, tenant, "a", "ab", 99, &seen), "abc:4 ");
    CHECK_STR(listed(tier, tenant, "b", "a", 1, &seen), "b:1 ");
    CHECK_STR(listed(tier, tenant, "a", "b", 99, &seen), "");
    CHECK_STR(listed(tier, tenant, "a", "a?", 1, &seen), "ab:2 ");
    CHECK_INT(tier->ops->remove(tier->self, KEY("ab"), NULL), ==, 0);
    CHECK_STR(listed(tier, tenant, "ab", "", 99, &seen), "abc:4 ");
}

static const char *elements(const struct tier *tier, struct tier_key key, uint64_t first,
                            uint64_t count, unsigned most, struct seen *seen)
{
    *seen = (struct seen){"", most};
    CHECK_INT(tier->ops->appended(tier->self, key, first, count, collect, seen, NULL), ==, 0);
    return seen->text;
}

void tier_contract_lists(const struct tier *tier, const char *tenant)
{
    uint64_t index = 0, count = 99;
    struct seen seen;
    CHECK_INT(tier->ops->appended_count(tier->self, KEY("l"), &count, NULL), ==, 0);
    CHECK_INT(count, ==, 0);
    CHECK_STR(elements(tier, KEY("l"), 0, 10, 99, &seen), "");
    const char *texts[] = {"zero", "", "two"};
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_INT(tier->ops->append(tier->self, KEY("l"), V(texts[i]), &index, NULL), ==, 0);
        CHECK_INT(index, ==, i);
    }
    CHECK_INT(tier->ops->append(tier->self, KEY("l2"), V("other"), &index, NULL), ==, 0);
    CHECK_INT(tier->ops->appended_count(tier->self, KEY("l"), &count, NULL), ==, 0);
    CHECK_INT(count, ==, 3);
    CHECK_STR(elements(tier, KEY("l"), 0, UINT64_MAX, 99, &seen), "zero:0 :1 two:2 ");
    CHECK_STR(elements(tier, KEY("l"), 1, UINT64_MAX, 99, &seen), ":1 two:2 ");
    CHECK_STR(elements(tier, KEY("l"), 1, 1, 99, &seen), ":1 ");
    CHECK_STR(elements(tier, KEY("l"), 0, 9, 1, &seen), "zero:0 ");
    CHECK_STR(elements(tier, KEY("l"), 3, 9, 99, &seen), "");
    CHECK_STR(elements(tier, KEY("l"), UINT64_MAX, 9, 99, &seen), "");
    CHECK_STR(elements(tier, KEY("l"), 0, 0, 99, &seen), "");
    CHECK_INT(tier->ops->clear_appended(tier->self, KEY("l"), NULL), ==, 0);
    CHECK_INT(tier->ops->clear_appended(tier->self, KEY("none"), NULL), ==, 0);
    CHECK_STR(elements(tier, KEY("l"), 0, 9, 99, &seen), "");
    CHECK_INT(tier->ops->append(tier->self, KEY("l"), V("anew"), &index, NULL), ==, 0);
    CHECK_INT(index, ==, 0);
    CHECK_STR(elements(tier, KEY("l2"), 0, 9, 99, &seen), "other:0 ");
    uint8_t *large = wm_alloc_zero(TIER_ELEMENT_BYTES_MAX + 1, 1);
    CHECK(large != NULL);
    CHECK_INT(tier->ops->append(tier->self, KEY("l2"), wm_view_of(large, TIER_ELEMENT_BYTES_MAX),
                                &index, NULL),
              ==, 0);
    CHECK_INT(tier->ops->append(tier->self, KEY("l2"),
                                wm_view_of(large, TIER_ELEMENT_BYTES_MAX + 1), &index, NULL),
              ==, WM_E_LIMIT);
    wm_free(large);
    CHECK_INT(tier->ops->remove(tier->self, KEY("l2"), NULL), ==, 0);
    CHECK_INT(tier->ops->appended_count(tier->self, KEY("l2"), &count, NULL), ==, 0);
    CHECK_INT(count, ==, 0);
}

void tier_contract_counters(const struct tier *tier, const char *tenant)
{
    int64_t now = 99;
    CHECK_INT(tier->ops->add(tier->self, KEY("c"), 0, &now, NULL), ==, 0);
    CHECK_INT(now, ==, 0);
    CHECK_INT(tier->ops->add(tier->self, KEY("c"), 5, &now, NULL), ==, 0);
    CHECK_INT(tier->ops->add(tier->self, KEY("c"), -7, &now, NULL), ==, 0);
    CHECK_INT(now, ==, -2);
    CHECK_INT(tier->ops->add(tier->self, KEY("c"), INT64_MIN, &now, NULL), ==, -ERANGE);
    CHECK_INT(tier->ops->add(tier->self, KEY("c"), INT64_MAX, &now, NULL), ==, 0);
    CHECK_INT(now, ==, INT64_MAX - 2);
    CHECK_INT(tier->ops->add(tier->self, KEY("c"), 3, &now, NULL), ==, -ERANGE);
    CHECK_INT(tier->ops->add(tier->self, KEY("c"), 0, &now, NULL), ==, 0);
    CHECK_INT(now, ==, INT64_MAX - 2);
    CHECK_INT(tier->ops->remove(tier->self, KEY("c"), NULL), ==, 0);
    CHECK_INT(tier->ops->add(tier->self, KEY("c"), 0, &now, NULL), ==, 0);
    CHECK_INT(now, ==, 0);
}

/* --- Locks --- */

void tier_contract_locks(const struct tier *tier, const char *tenant)
{
    struct tier_lock a = lock_of(1, TIER_LOCK_WRITE), b = lock_of(2, TIER_LOCK_WRITE);
    struct tier_lock r1 = lock_of(3, TIER_LOCK_READ), r2 = lock_of(4, TIER_LOCK_READ);
    CHECK_INT(take(tier, KEY("k"), &a, 60000, 0), ==, 0);
    CHECK_INT(a.token, >, 0);
    CHECK_INT(take(tier, KEY("k"), &b, 60000, 0), ==, WM_E_BUSY);
    CHECK_INT(take(tier, KEY("k"), &r1, 60000, 0), ==, WM_E_BUSY);
    int64_t start = now_ms();
    CHECK_INT(take(tier, KEY("k"), &b, 60000, 60), ==, WM_E_BUSY);
    CHECK_INT(now_ms() - start, >=, 55);
    CHECK_INT(take(tier, KEY("k2"), &b, 60000, 0), ==, 0); /* another key */
    CHECK_INT(let_go(tier, KEY("k2"), &b), ==, 0);
    /* Asking again gives the same one: the answer may have been lost. */
    struct tier_lock again = lock_of(1, TIER_LOCK_WRITE);
    CHECK_INT(take(tier, KEY("k"), &again, 60000, 0), ==, 0);
    CHECK_INT(again.token, ==, a.token);
    /* Only the holder renews and releases. */
    struct tier_lock liar = a;
    liar.owner[0] ^= 1;
    CHECK_INT(let_go(tier, KEY("k"), &liar), ==, WM_E_STALE);
    CHECK_INT(tier->ops->renew(tier->self, KEY("k"), &liar, 10, NULL), ==, WM_E_STALE);
    liar = a;
    liar.token++;
    CHECK_INT(let_go(tier, KEY("k"), &liar), ==, WM_E_STALE);
    liar.token = 0;
    CHECK_INT(let_go(tier, KEY("k"), &liar), ==, WM_E_STALE);
    CHECK_INT(let_go(tier, KEY("k"), &a), ==, 0);
    CHECK_INT(let_go(tier, KEY("k"), &a), ==, WM_E_STALE);
    /* Readers together, no writer among them. */
    CHECK_INT(take(tier, KEY("k"), &r1, 60000, 0), ==, 0);
    CHECK_INT(take(tier, KEY("k"), &r2, 60000, 0), ==, 0);
    CHECK_INT(r1.token, >, a.token);
    CHECK_INT(r2.token, >, r1.token);
    CHECK_INT(take(tier, KEY("k"), &b, 60000, 0), ==, WM_E_BUSY);
    CHECK_INT(let_go(tier, KEY("k"), &r1), ==, 0);
    CHECK_INT(take(tier, KEY("k"), &b, 60000, 0), ==, WM_E_BUSY);
    CHECK_INT(let_go(tier, KEY("k"), &r2), ==, 0);
    CHECK_INT(take(tier, KEY("k"), &b, 60000, 0), ==, 0);
    CHECK_INT(b.token, >, r2.token);
    CHECK_INT(let_go(tier, KEY("k"), &b), ==, 0);
    /* Expiry frees it; renewal prevents that. */
    CHECK_INT(take(tier, KEY("k"), &a, 600, 0), ==, 0);
    for (int i = 0; i < 4; i++) {
        usleep(200000);
        CHECK_INT(tier->ops->renew(tier->self, KEY("k"), &a, 600, NULL), ==, 0);
    }
    start = now_ms();
    CHECK_INT(take(tier, KEY("k"), &b, 60000, 5000), ==, 0);
    CHECK_INT(now_ms() - start, >=, 500);
    CHECK_INT(now_ms() - start, <, 4000);
    CHECK_INT(b.token, >, a.token);
    CHECK_INT(tier->ops->renew(tier->self, KEY("k"), &a, 600, NULL), ==, WM_E_STALE);
    CHECK_INT(let_go(tier, KEY("k"), &a), ==, WM_E_STALE);
    CHECK_INT(let_go(tier, KEY("k"), &b), ==, 0);
    /* A longer renewal than the grant. */
    CHECK_INT(take(tier, KEY("k"), &a, 500, 0), ==, 0);
    CHECK_INT(tier->ops->renew(tier->self, KEY("k"), &a, 60000, NULL), ==, 0);
    usleep(600000);
    CHECK_INT(take(tier, KEY("k"), &b, 60000, 0), ==, WM_E_BUSY);
    CHECK_INT(let_go(tier, KEY("k"), &a), ==, 0);
}

void tier_contract_fences(const struct tier *tier, const char *tenant)
{
    struct tier_lock a = lock_of(1, TIER_LOCK_WRITE), b = lock_of(2, TIER_LOCK_WRITE);
    struct tier_lock r = lock_of(3, TIER_LOCK_READ);
    char byte = 0;
    CHECK_INT(write_at(tier, KEY("f"), 1, 0, "0", 1, 1), ==, WM_E_STALE); /* never granted */
    uint64_t bytes = 0;
    CHECK_INT(size_of(tier, KEY("f"), &bytes), ==, WM_E_NOT_FOUND);
    CHECK_INT(take(tier, KEY("f"), &a, 700, 0), ==, 0);
    CHECK_INT(write_at(tier, KEY("f"), 1, 0, "a", 1, a.token), ==, 0);
    CHECK_INT(write_at(tier, KEY("f"), 1, 0, "x", 1, a.token + 1), ==, WM_E_STALE);
    usleep(800000);
    CHECK_INT(write_at(tier, KEY("f"), 1, 0, "x", 1, a.token), ==, WM_E_STALE); /* expired */
    CHECK_INT(take(tier, KEY("f"), &b, 60000, 0), ==, 0);
    CHECK_INT(write_at(tier, KEY("f"), 1, 0, "b", 1, b.token), ==, 0);
    CHECK_INT(write_at(tier, KEY("f"), 1, 0, "x", 1, a.token), ==, WM_E_STALE); /* overtaken */
    CHECK_INT(let_go(tier, KEY("f"), &b), ==, 0);
    CHECK_INT(write_at(tier, KEY("f"), 1, 0, "x", 1, b.token), ==, WM_E_STALE); /* released */
    CHECK_INT(take(tier, KEY("f"), &r, 60000, 0), ==, 0);
    CHECK_INT(write_at(tier, KEY("f"), 1, 0, "x", 1, r.token), ==, WM_E_STALE); /* a reader's */
    CHECK_INT(let_go(tier, KEY("f"), &r), ==, 0);
    CHECK_INT(read_at(tier, KEY("f"), 0, &byte, 1), ==, 0);
    CHECK_INT(byte, ==, 'b');
    CHECK_INT(write_at(tier, KEY("f"), 1, 0, "c", 1, 0), ==, 0); /* without a fence */
}

void tier_contract_sets(const struct tier *tier, const char *tenant)
{
    struct seen seen = {"", 99};
    CHECK_INT(tier->ops->set_members(tier->self, KEY("s"), collect, &seen, NULL), ==, 0);
    CHECK_STR(seen.text, "");
    const char *members[] = {"n3", "n1", "n2", "n1"};
    for (size_t i = 0; i < WM_COUNT_OF(members); i++) {
        CHECK_INT(tier->ops->set_add(tier->self, KEY("s"), V(members[i]), 60000, NULL), ==, 0);
    }
    CHECK_INT(tier->ops->set_add(tier->self, KEY("s"), V("brief"), 50, NULL), ==, 0);
    CHECK_INT(tier->ops->set_remove(tier->self, KEY("s"), V("n2"), NULL), ==, 0);
    CHECK_INT(tier->ops->set_remove(tier->self, KEY("s"), V("none"), NULL), ==, 0);
    usleep(100000);
    CHECK_INT(tier->ops->set_members(tier->self, KEY("s"), collect, &seen, NULL), ==, 0);
    CHECK_STR(seen.text, "n1:0 n3:0 ");
    seen = (struct seen){"", 1};
    CHECK_INT(tier->ops->set_members(tier->self, KEY("s"), collect, &seen, NULL), ==, 0);
    CHECK_STR(seen.text, "n1:0 ");
}

void tier_contract_refusals(const struct tier *tier, const char *tenant)
{
    static char text[TIER_KEY_BYTES_MAX + 2];
    uint64_t bytes = 0;
    struct tier_lock lock = lock_of(1, TIER_LOCK_WRITE);
    memset(text, 'k', TIER_KEY_BYTES_MAX + 1);
    struct wm_view longest = wm_view_of(text, TIER_KEY_BYTES_MAX);
    struct wm_view too_long = wm_view_of(text, TIER_KEY_BYTES_MAX + 1);
    CHECK_INT(write_at(tier, (struct tier_key){V(tenant), longest}, 1, 0, "x", 1, 0), ==, 0);
    const struct tier_key bad[] = {
        {V(tenant), too_long}, {V(tenant), V("")}, {V(""), V("k")}, {too_long, V("k")}};
    for (size_t i = 0; i < WM_COUNT_OF(bad); i++) {
        CHECK_INT(size_of(tier, bad[i], &bytes), ==, WM_E_INVALID);
        CHECK_INT(write_at(tier, bad[i], 1, 0, "x", 1, 0), ==, WM_E_INVALID);
        CHECK_INT(tier->ops->remove(tier->self, bad[i], NULL), ==, WM_E_INVALID);
        CHECK_INT(take(tier, bad[i], &lock, 10, 0), ==, WM_E_INVALID);
        CHECK_INT(tier->ops->set_add(tier->self, bad[i], V("m"), 10, NULL), ==, WM_E_INVALID);
    }
    CHECK_INT(tier->ops->create(tier->self, KEY("z"), 0, NULL), ==, WM_E_INVALID);
    CHECK_INT(tier->ops->create(tier->self, KEY("z"), TIER_VALUE_BYTES_MAX + 1, NULL), ==,
              WM_E_LIMIT);
    CHECK_INT(take(tier, KEY("z"), &lock, 0, 0), ==, WM_E_INVALID);
    CHECK_INT(tier->ops->set_add(tier->self, KEY("z"), V(""), 10, NULL), ==, WM_E_INVALID);
    CHECK_INT(tier->ops->set_add(tier->self, KEY("z"), too_long, 10, NULL), ==, WM_E_INVALID);
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(tier->ops->size(tier->self, KEY("no\nsuch"), &bytes, &diag), ==, WM_E_NOT_FOUND);
    CHECK(strstr(diag.text, "no\\x0asuch: there is no such key") != NULL);
    if (diag.code != 0 && !strstr(diag.text, "there is no such key")) {
        wm_test_note("%s", diag.text);
    }
}

/* --- Threads --- */

#define ROUNDS 25

struct worker {
    const struct tier *tier;
    const char *tenant;
    unsigned id;
    int wrong;
    uint64_t indices[ROUNDS];
    atomic_int *readers, *writers;
};

/* The recipe: lock, pull, change, push with the fence, unlock. */
static void *work(void *self)
{
    struct worker *worker = self;
    const char *tenant = worker->tenant;
    const struct tier *tier = worker->tier;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t counter = 0;
        struct tier_lock lock = lock_of((uint8_t)(worker->id + 1), TIER_LOCK_WRITE);
        lock.owner[1] = (uint8_t)i;
        if (take(tier, KEY("counted"), &lock, 20000, 20000) != 0) {
            worker->wrong++;
            continue;
        }
        worker->wrong += atomic_fetch_add(worker->writers, 1) != 0;
        worker->wrong += atomic_load(worker->readers) != 0;
        int err = read_at(tier, KEY("counted"), 0, &counter, sizeof counter);
        worker->wrong += err != 0 && err != WM_E_NOT_FOUND;
        counter++;
        worker->wrong += write_at(tier, KEY("counted"), sizeof counter, 0, &counter, sizeof counter,
                                  lock.token) != 0;
        atomic_fetch_sub(worker->writers, 1);
        worker->wrong += let_go(tier, KEY("counted"), &lock) != 0;
        lock.mode = TIER_LOCK_READ;
        if (take(tier, KEY("counted"), &lock, 20000, 20000) == 0) {
            atomic_fetch_add(worker->readers, 1);
            worker->wrong += atomic_load(worker->writers) != 0;
            atomic_fetch_sub(worker->readers, 1);
            worker->wrong += let_go(tier, KEY("counted"), &lock) != 0;
        } else {
            worker->wrong++;
        }
        int64_t now;
        worker->wrong += tier->ops->append(tier->self, KEY("appended"),
                                           wm_view_of(&worker->id, sizeof worker->id),
                                           &worker->indices[i], NULL) != 0;
        worker->wrong += tier->ops->add(tier->self, KEY("added"), 3, &now, NULL) != 0;
    }
    return NULL;
}

struct tally {
    uint64_t next;
    unsigned of_thread[16];
    bool wrong;
};

static bool tally_element(void *self, struct wm_view element, uint64_t index)
{
    struct tally *tally = self;
    unsigned id = 99;
    if (element.len == sizeof id) {
        memcpy(&id, element.ptr, sizeof id);
    }
    tally->wrong = tally->wrong || index != tally->next++ || id >= 16;
    if (id < 16) {
        tally->of_thread[id]++;
    }
    return true;
}

void tier_contract_threads(const struct tier *tiers, unsigned count, const char *tenant)
{
    pthread_t threads[16];
    static struct worker workers[16];
    atomic_int readers = 0, writers = 0;
    bool seen[16 * ROUNDS] = {false};
    for (unsigned i = 0; i < count; i++) {
        workers[i] = (struct worker){
            .tier = &tiers[i], .tenant = tenant, .id = i, .readers = &readers, .writers = &writers};
        REQUIRE(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(workers[i].wrong, ==, 0);
        for (unsigned k = 0; k < ROUNDS; k++) {
            uint64_t index = workers[i].indices[k];
            CHECK(index < count * ROUNDS && !seen[index]);
            seen[index < count * ROUNDS ? index : 0] = true;
        }
    }
    uint64_t counter = 0;
    int64_t added = 0;
    CHECK_INT(read_at(&tiers[0], KEY("counted"), 0, &counter, sizeof counter), ==, 0);
    CHECK_INT(counter, ==, count * ROUNDS);
    CHECK_INT(tiers[0].ops->add(tiers[0].self, KEY("added"), 0, &added, NULL), ==, 0);
    CHECK_INT(added, ==, 3 * count * ROUNDS);
    struct tally tally = {0};
    CHECK_INT(tiers[0].ops->appended(tiers[0].self, KEY("appended"), 0, UINT64_MAX, tally_element,
                                     &tally, NULL),
              ==, 0);
    CHECK(!tally.wrong);
    CHECK_INT(tally.next, ==, count * ROUNDS);
    for (unsigned i = 0; i < count; i++) {
        CHECK_INT(tally.of_thread[i], ==, ROUNDS);
    }
}
