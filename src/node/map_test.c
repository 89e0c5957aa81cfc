/* The hash table against a list. */
#include "node/map.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/test.h"

#define KEYS 500

static char keys[KEYS][8];

static struct wm_view key_of(unsigned i)
{
    return wm_view_str(keys[i]);
}

TEST(agrees_with_a_list)
{
    struct map map;
    bool there[KEYS] = {0};
    unsigned seed = 12345, count = 0;
    map_init(&map);
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
    }
    for (unsigned step = 0; step < 20000; step++) {
        seed = seed * 1103515245 + 12345;
        unsigned i = (seed >> 8) % KEYS;
        if (seed & 0x80) {
            REQUIRE(map_reserve(&map, 1) == 0);
            void *before = map_put(&map, key_of(i), keys[i]);
            REQUIRE((before != NULL) == there[i]);
            count += !there[i];
            there[i] = true;
        } else {
            REQUIRE((map_remove(&map, key_of(i)) != NULL) == there[i]);
            count -= there[i];
            there[i] = false;
        }
    }
    for (unsigned i = 0; i < KEYS; i++) {
        CHECK(map_get(&map, key_of(i)) == (there[i] ? keys[i] : NULL));
    }
    CHECK_INT(map.count, ==, count);
    size_t at = 0, walked = 0;
    while (map_next(&map, &at)) {
        walked++;
    }
    CHECK_INT(walked, ==, count);
    map_fini(&map);
}

TEST(survives_no_memory)
{
    struct map map;
    map_init(&map);
    wm_fault_arm(WM_FAULT_ALLOC, 1);
    CHECK(map_reserve(&map, 1) != 0);
    wm_fault_arm(WM_FAULT_ALLOC, 0);
    CHECK(map_get(&map, wm_view_str("a")) == NULL);
    CHECK(map_remove(&map, wm_view_str("a")) == NULL);
    map_fini(&map);
}

TEST_MAIN(TEST_CASE(agrees_with_a_list), TEST_CASE(survives_no_memory))
