/* arith.h: arithmetic on sizes and addresses that come from outside.
 *
 * Each function returns false, leaving *result unspecified, when the exact result does not fit.
 * Freestanding. */
#ifndef WM_BASE_ARITH_H
#define WM_BASE_ARITH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

WM_MUST_CHECK static inline bool wm_add_u32(uint32_t a, uint32_t b, uint32_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

WM_MUST_CHECK static inline bool wm_add_u64(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

WM_MUST_CHECK static inline bool wm_mul_u64(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

WM_MUST_CHECK static inline bool wm_add_size(size_t a, size_t b, size_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

WM_MUST_CHECK static inline bool wm_mul_size(size_t a, size_t b, size_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

/* True when [offset, offset + len) lies in [0, total). Never overflows. */
WM_MUST_CHECK static inline bool wm_range_fits(uint64_t offset, uint64_t len, uint64_t total)
{
    return offset <= total && len <= total - offset;
}

/* The next multiple of `alignment`, a power of two. False when it does not fit. */
WM_MUST_CHECK static inline bool wm_align_up_u64(uint64_t value, uint64_t alignment,
                                                 uint64_t *result)
{
    uint64_t padded;
    if (__builtin_add_overflow(value, alignment - 1, &padded)) {
        return false;
    }
    *result = padded & ~(alignment - 1);
    return true;
}

static inline uint64_t wm_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t wm_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
