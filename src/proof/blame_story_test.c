/* blame_story_test.c: files put together at random from all that was signed in a story of honest
 * replicas and liars: many of them blame somebody, and none of them anybody but the liars. */
#include <string.h>

#include "base/test.h"
#include "proof/test_story.h"

#define FILES 4000u

TEST(whatever_is_put_together_only_liars_are_blamed)
{
    struct test_story *story = test_story_new();
    const uint64_t liars = test_story_liars(story);
    uint32_t blamed[BLAME_GOVERNANCE + 1] = {0}, refused = 0;
    uint64_t random = 7;
    wm_test_note("seed 7, %u files", FILES);
    for (uint32_t i = 0; i < FILES; i++) {
        uint8_t recipe[24];
        for (size_t k = 0; k < sizeof recipe; k++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            recipe[k] = (uint8_t)(random >> 56);
        }
        struct wm_view file = test_story_file(story, wm_view_of(recipe, sizeof recipe));
        struct test_judgement judgement = test_judge(test_story_service(story), file);
        if (judgement.rc != 0) {
            CHECK(strlen(judgement.diag.text) > 20);
            refused++;
            continue;
        }
        CHECK(judgement.ids != 0);
        if (!wm_test_check((judgement.ids & ~liars) == 0, __FILE__, __LINE__, "only liars")) {
            wm_test_note("file %u: ids %llx: %s", i, (unsigned long long)judgement.ids,
                         judgement.reason);
        }
        blamed[1 + recipe[0] % BLAME_GOVERNANCE]++;
    }
    for (uint32_t kind = BLAME_EQUIVOCATION; kind <= BLAME_GOVERNANCE; kind++) {
        wm_test_note("%s: %u", blame_kind_text((enum blame_kind)kind), blamed[kind]);
        CHECK((blamed[kind] > 0) == (kind != BLAME_INDEX)); /* it takes a quorum: more liars */
    }
    CHECK(refused > FILES / 2);
    test_story_free(story);
}

TEST_MAIN(TEST_CASE(whatever_is_put_together_only_liars_are_blamed))
