#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/fault.h"

void *wm_alloc(size_t len)
{
    return wm_fault_here(WM_FAULT_ALLOC) ? NULL : malloc(len ? len : 1);
}

void *wm_alloc_zero(size_t count, size_t len)
{
    return wm_fault_here(WM_FAULT_ALLOC) ? NULL : calloc(count ? count : 1, len ? len : 1);
}

void *wm_realloc(void *old, size_t count, size_t len)
{
    size_t total;
    if (!wm_mul_size(count, len, &total) || wm_fault_here(WM_FAULT_ALLOC)) {
        return NULL;
    }
    return realloc(old, total ? total : 1);
}

char *wm_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = wm_alloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void wm_free(void *ptr)
{
    free(ptr);
}
