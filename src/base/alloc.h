/* alloc.h: memory from the C library, through one gate that tests can make fail.
 *
 * Pure folders do not call these: they take an arena or the caller's buffers. Every function may
 * return NULL, and every caller handles it. Thread-safe. */
#ifndef WM_BASE_ALLOC_H
#define WM_BASE_ALLOC_H

#include <stddef.h>

#include "base/compiler.h"

/* len 0 gives a unique pointer. Released by wm_free. */
WM_MUST_CHECK void *wm_alloc(size_t len);
WM_MUST_CHECK void *wm_alloc_zero(size_t count,
                                  size_t len); /* NULL also when the product overflows */
/* On failure the old block stays valid. */
WM_MUST_CHECK void *wm_realloc(void *old, size_t count, size_t len);
WM_MUST_CHECK char *wm_strdup(const char *text);
void wm_free(void *ptr); /* NULL allowed */

#endif
