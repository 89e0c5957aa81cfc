/* fuzz_blame.c: blame: any bytes (first byte even), or a file put together from a story of honest
 * replicas and liars (proof/test_story.h), the second byte's worth of the input being its recipe
 * and the rest changes to it. Only liars are ever blamed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "edit.h"
#include "proof/test_story.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct test_story *story;
    if (!story) {
        story = test_story_new();
    }
    if (len < 2) {
        return 0;
    }
    if (bytes[0] % 2 == 0) {
        struct test_judgement judgement =
            test_judge(test_story_service(story), wm_view_of(bytes + 1, len - 1));
        if (judgement.rc == 0) {
            abort();
        }
        return 0;
    }
    size_t recipe_len = bytes[1] < len - 2 ? bytes[1] : len - 2, edited_len;
    struct wm_view file = test_story_file(story, wm_view_of(bytes + 2, recipe_len));
    uint8_t *edited =
        fuzz_edit(bytes + 2 + recipe_len, len - 2 - recipe_len, file.ptr, file.len, &edited_len);
    struct test_judgement judgement =
        test_judge(test_story_service(story), wm_view_of(edited, edited_len));
    if (judgement.rc == 0 && (judgement.ids & ~test_story_liars(story)) != 0) {
        abort();
    }
    free(edited);
    return 0;
}
