/* test_story.h: one story of a service with honest replicas and liars, and blame files put together
 * from whatever was signed in it.
 *
 * Four replicas; those at positions 0 and 2 lie, together with nobody's help: they sign rival
 * ledgers, forget what they had prepared, begin a view wrongly, execute wrongly, vote something
 * else away. Those at positions 1 and 3 keep to the rules of doc/format/ledger.md, section Blame,
 * and what they sign is in the story, too. A recipe is any bytes: it picks a kind of blame,
 * statements, entries and proofs out of all that, right or wrong, and so is what an auditor could
 * make of it at his worst. Whatever it is, nobody but the liars may be blamed.
 *
 * For tests only. */
#ifndef WM_PROOF_TEST_STORY_H
#define WM_PROOF_TEST_STORY_H

#include "proof/test_service.h"

struct test_story;

struct test_story *test_story_new(void);
void test_story_free(struct test_story *story);
const struct test_service *test_story_service(const struct test_story *story);
uint64_t test_story_liars(const struct test_story *story); /* ids, as bits */

/* A file after the recipe; views into the story until the next one. */
struct wm_view test_story_file(struct test_story *story, struct wm_view recipe);

#endif
