/* What a node knows of others: how long it is believed, and what it forgets. */
#include "faaslet/schedule_known.h"

#include <string.h>

#include "base/alloc.h"
#include "base/test.h"

static struct schedule_known *make(const struct schedule_known_config *config)
{
    size_t bytes = schedule_known_bytes(config);
    void *memory = bytes ? wm_alloc(bytes) : NULL;
    return memory ? schedule_known_init(memory, config) : NULL;
}

static struct schedule_sample sample_of(uint32_t a, uint32_t b)
{
    struct schedule_sample sample = {0};
    schedule_sample_add(&sample, a, 0);
    schedule_sample_add(&sample, b, 0);
    return sample;
}

TEST(sets_are_known_for_a_while)
{
    struct schedule_known *known = make(&(struct schedule_known_config){.functions = 1});
    REQUIRE(known);
    struct schedule_view_room room;
    struct schedule_sample warm = sample_of(3, 4), available = sample_of(5, 6);
    CHECK(!schedule_known_view(known, 9, SCHEDULE_NOBODY, 0, &room).known);
    schedule_known_sets(known, 9, &warm, &available, 1000);
    struct schedule_view view = schedule_known_view(known, 9, SCHEDULE_NOBODY, 1250, &room);
    CHECK(view.known && !view.state);
    REQUIRE(view.warm_count == 2 && view.available_count == 2);
    CHECK_INT(view.warm[0].node, ==, 3);
    CHECK_INT(view.warm[1].node, ==, 4);
    CHECK_INT(view.available[1].node, ==, 6);
    CHECK_INT(view.warm[0].age_ms, ==, 250);
    CHECK_INT(view.warm[0].load, ==, SCHEDULE_LOAD_FULL / 2);
    view = schedule_known_view(known, 9, 7, 1251, &room);
    CHECK(!view.known && view.warm_count == 0 && view.available_count == 0);
    REQUIRE(view.state);
    CHECK_INT(view.state->node, ==, 7);
    /* Another function takes the slot, and is not taken for the first one. */
    struct schedule_sample none = {0};
    schedule_known_sets(known, 10, &none, &none, 1300);
    CHECK(schedule_known_view(known, 10, SCHEDULE_NOBODY, 1300, &room).known);
    CHECK(!schedule_known_view(known, 9, SCHEDULE_NOBODY, 1300, &room).known);
    wm_free(known);
}

static struct schedule_peer seen(const struct schedule_known *known, uint32_t node, uint64_t now_ms)
{
    struct schedule_view_room room;
    return *schedule_known_view(known, 1, node, now_ms, &room).state;
}

TEST(loads_wear_off)
{
    struct schedule_known *known = make(&(struct schedule_known_config){.nodes = 4});
    REQUIRE(known);
    schedule_known_load(known, 1, 900, true, 100);
    CHECK_INT(seen(known, 1, 1600).load, ==, 900);
    CHECK(seen(known, 1, 1600).draining);
    CHECK_INT(seen(known, 1, 1601).load, ==, SCHEDULE_LOAD_FULL / 2);
    /* Calls handed on are added, and wear off with what they were added to. */
    schedule_known_load(known, 1, 100, false, 2000);
    schedule_known_handed_on(known, 1, 8, 2500);
    schedule_known_handed_on(known, 1, 8, 3000);
    CHECK_INT(seen(known, 1, 3000).load, ==, 350);
    CHECK(!seen(known, 1, 3000).draining);
    CHECK_INT(seen(known, 1, 3501).load, ==, SCHEDULE_LOAD_FULL / 2);
    schedule_known_handed_on(known, 2, 0, 3000);
    CHECK_INT(seen(known, 2, 4500).load, ==, 515);
    CHECK_INT(seen(known, 2, 4501).load, ==, 500);
    for (uint32_t i = 0; i < 100; i++) {
        schedule_known_handed_on(known, 3, 1, 3000);
    }
    CHECK_INT(seen(known, 3, 3000).load, ==, 100500);
    schedule_known_load(known, 3, UINT32_MAX, false, 3000);
    schedule_known_handed_on(known, 3, 1, 3000);
    CHECK_INT(seen(known, 3, 3000).load, >=, SCHEDULE_LOAD_FULL);
    /* 5 takes the slot of 1. */
    schedule_known_load(known, 5, 7, true, 5000);
    CHECK_INT(seen(known, 5, 5000).load, ==, 7);
    CHECK_INT(seen(known, 1, 5000).load, ==, 500);
    CHECK(!seen(known, 1, 5000).draining);
    wm_free(known);
}

TEST(suspicion_ends)
{
    struct schedule_known *known = make(&(struct schedule_known_config){.suspect_ms = 1000});
    REQUIRE(known);
    schedule_known_suspect(known, 1, 500);
    CHECK(seen(known, 1, 1500).suspect);
    CHECK(!seen(known, 1, 1501).suspect);
    CHECK(!seen(known, 2, 600).suspect);
    schedule_known_suspect(known, 1, 2000);
    schedule_known_load(known, 1, 0, false, 2100); /* it speaks */
    CHECK(!seen(known, 1, 2100).suspect);
    wm_free(known);
}

TEST(samples_are_fair)
{
    uint64_t random = 12345;
    uint32_t kept[64] = {0};
    for (int round = 0; round < 4000; round++) {
        struct schedule_sample sample = {0};
        for (uint32_t node = 0; node < 64; node++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            schedule_sample_add(&sample, node, random >> 20);
        }
        CHECK_INT(sample.count, ==, SCHEDULE_SAMPLE_MAX);
        CHECK_INT(sample.seen, ==, 64);
        for (uint32_t i = 0; i < sample.count; i++) {
            kept[sample.nodes[i]]++;
        }
    }
    for (uint32_t node = 0; node < 64; node++) { /* a quarter of 4,000, and six deviations */
        CHECK_INT(kept[node], >, 835);
        CHECK_INT(kept[node], <, 1165);
    }
}

TEST(configuration)
{
    CHECK_INT(schedule_known_bytes(&(struct schedule_known_config){.nodes = UINT32_MAX}), ==, 0);
    CHECK_INT(schedule_known_bytes(&(struct schedule_known_config){.functions = UINT32_MAX}), ==,
              0);
    CHECK_INT(schedule_known_bytes(&(struct schedule_known_config){0}), >, 0);
}

TEST_MAIN(TEST_CASE(sets_are_known_for_a_while), TEST_CASE(loads_wear_off),
          TEST_CASE(suspicion_ends), TEST_CASE(samples_are_fair), TEST_CASE(configuration))
