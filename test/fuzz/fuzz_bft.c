/* fuzz_bft.c: three correct replicas, and a fourth that sends what the input makes of its messages.
 *
 * The input is a list of changes to what replica 3 sends: message number (one byte, counted from
 * the change before), what to do (drop, cut, overwrite, exchange with an earlier message, or
 * replace by raw bytes), where, and bytes. Everything else is a run from one seed, so an input that
 * finds something is the run. The other three must not die, and must agree; they go on to commit
 * what clients ask for. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bft/test_agreement.h"

#define LIAR 3u
#define KEPT 16u

struct changes {
    const uint8_t *at, *end;
    uint32_t until_next; /* messages of the liar before the next change */
    struct {
        uint8_t *bytes;
        size_t len;
    } kept[KEPT];
    uint32_t count;
};

static uint8_t take(struct changes *changes)
{
    return changes->at < changes->end ? *changes->at++ : 0;
}

static bool change(void *self, uint32_t from, uint32_t to, uint8_t **bytes, size_t *len)
{
    struct changes *changes = self;
    (void)to;
    if (from != LIAR) {
        return true;
    }
    uint32_t slot = changes->count++ % KEPT;
    free(changes->kept[slot].bytes);
    changes->kept[slot].bytes = malloc(*len + 1);
    memcpy(changes->kept[slot].bytes, *bytes, *len);
    changes->kept[slot].len = *len;
    if (changes->at >= changes->end) {
        return true;
    }
    if (changes->until_next-- > 0) {
        return true;
    }
    uint8_t what = take(changes) % 5;
    size_t where = *len ? (take(changes) | (size_t)take(changes) << 8) % *len : 0;
    uint8_t count = take(changes);
    changes->until_next = take(changes);
    switch (what) {
    case 0: return false;
    case 1: *len = where; return true;
    case 2:
        for (uint32_t i = 0; i < count && where + i < *len; i++) {
            (*bytes)[where + i] ^= take(changes);
        }
        return true;
    case 3: {
        uint32_t other = count % KEPT;
        if (changes->kept[other].bytes) {
            free(*bytes);
            *len = changes->kept[other].len;
            *bytes = malloc(*len + 1);
            memcpy(*bytes, changes->kept[other].bytes, *len);
        }
        return true;
    }
    default: {
        size_t left = (size_t)(changes->end - changes->at);
        *len = count < left ? count : left;
        free(*bytes);
        *bytes = malloc(*len + 1);
        memcpy(*bytes, changes->at, *len);
        changes->at += *len;
        return true;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct changes changes = {.at = bytes, .end = bytes + len};
    uint8_t plan = take(&changes);
    struct agreement *all = agreement_new(1 + plan % 3);
    agreement_on_way(all, change, &changes);
    changes.until_next = take(&changes);
    agreement_submit(all, 15);
    agreement_run(all, 20);
    if (plan & 0x40) { /* the first primary goes, so that views change */
        agreement_close(all, 0, false);
        agreement_submit(all, 5);
        agreement_run(all, 800);
        agreement_open(all, 0);
    }
    agreement_submit(all, 5);
    agreement_run(all, 1500);
    WM_ASSERT(agreement_holds(all, LIAR));
    for (uint32_t r = 0; r < LIAR; r++) {
        struct bft_status status;
        bft_status(agreement_bft(all, r), &status);
        WM_ASSERT(status.mode != BFT_HALTED);
        WM_ASSERT(status.next_index > 20);
    }
    agreement_free(all);
    for (uint32_t i = 0; i < KEPT; i++) {
        free(changes.kept[i].bytes);
    }
    return 0;
}
