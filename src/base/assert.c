#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void wm_assert_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "wardmote: internal error: %s:%d: %s\n", file, line, condition);
    abort();
}
