/* counter.h: a number that all nodes add to, each exactly once.
 *
 * 64 bits, 0 at first, wraps around. Kept in the global tier alone: each add is atomic, lasts when
 * it returns, and costs a round trip to the key's master. Sum up in the function and add once.
 *
 * Errors: as in faaslet.h, < 0. A reply that was lost may leave an add done though it failed. */
#ifndef FAASLET_COUNTER_H
#define FAASLET_COUNTER_H

#include <errno.h>
#include <faaslet.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 0, and the value after it in *now (NULL allowed). */
static inline int32_t ddo_counter_add(const char *key, int64_t delta, int64_t *now)
{
    int64_t value;
    size_t key_len = strlen(key);
    if (key_len == 0 || key_len > FAASLET_KEY_MAX) {
        return -EINVAL;
    }
    int32_t rc = faaslet_state_add(key, (uint32_t)key_len, delta, &value);
    if (rc == 0 && now) {
        *now = value;
    }
    return rc;
}

static inline int32_t ddo_counter_get(const char *key, int64_t *now)
{
    return ddo_counter_add(key, 0, now);
}

#ifdef __cplusplus
}
#endif

#endif
