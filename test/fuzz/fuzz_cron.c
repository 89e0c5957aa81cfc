/* fuzz_cron.c: cron expressions; what is accepted has a next time, which matches, and between now
 * and then nothing does. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "node/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct cron cron;
    struct wm_diag diag = WM_DIAG_INIT;
    uint32_t after = 0;
    if (len >= 4) { /* the last bytes choose the time, so that the text starts the input */
        len -= 4;
        __builtin_memcpy(&after, bytes + len, 4);
    }
    if (cron_parse(wm_view_of(bytes, len), &cron, &diag) != 0) {
        WM_ASSERT(diag.text[0]);
        return 0;
    }
    int64_t next = cron_next(&cron, after);
    WM_ASSERT(next > after && next % 60 == 0 && next != CRON_NEVER && cron_matches(&cron, next));
    for (int64_t at = (int64_t)(after - after % 60) + 60, steps = 0; at < next && steps < 200;
         at += 60, steps++) {
        WM_ASSERT(!cron_matches(&cron, at));
    }
    return 0;
}
