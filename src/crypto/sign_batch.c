/* Which path, and how many signatures at a time. */
#include "crypto/sign_batch.h"

#include "base/assert.h"
#ifdef SIGN_IFMA /* the compiler knows the instructions */
#include "crypto/sign_ifma.h"
#else
static bool sign_ifma_supported(void)
{
    return false;
}

static void sign_ifma_verify(struct sign_item *items, size_t count)
{
    (void)items, (void)count;
    WM_UNREACHABLE();
}
#endif

/* Eight lanes take a little longer than one signature by libsodium, however many of them are used
 * (bench/crypto.c): one that is left over goes there. */
#define IFMA_COUNT_MIN 2u

static void verify_singly(struct sign_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        items[i].valid = sign_verify(items[i].public_key, items[i].bytes, items[i].signature);
    }
}

static void verify_by_lanes(struct sign_item *items, size_t count, size_t count_min)
{
    while (count >= count_min && count > 0) {
        size_t lanes = count < SIGN_LANES ? count : SIGN_LANES;
        sign_ifma_verify(items, lanes);
        items += lanes;
        count -= lanes;
    }
    verify_singly(items, count);
}

bool sign_verify_batch_by(enum sign_path path, struct sign_item *items, size_t count)
{
    bool ifma = sign_ifma_supported();
    switch (path) {
    case SIGN_PATH_BEST:
        if (ifma) {
            verify_by_lanes(items, count, IFMA_COUNT_MIN);
        } else {
            verify_singly(items, count);
        }
        return true;
    case SIGN_PATH_LIBSODIUM: verify_singly(items, count); return true;
    case SIGN_PATH_IFMA:
        if (ifma) {
            verify_by_lanes(items, count, 1);
        }
        return ifma;
    }
    WM_UNREACHABLE();
}

void sign_verify_batch(struct sign_item *items, size_t count)
{
    bool done = sign_verify_batch_by(SIGN_PATH_BEST, items, count);
    WM_ASSERT(done);
}

const char *sign_batch_path(void)
{
    return sign_ifma_supported() ? "ifma" : "libsodium";
}
