/* assert.h: WM_ASSERT, for our own mistakes.
 *
 * A failed assertion is a bug of Wardmote, never the effect of an input, a peer or a failing disk;
 * those are error codes (error.h) or values. Assertions stay on in release builds: a process that
 * no longer holds its invariants must not go on confining other people's code. */
#ifndef WM_BASE_ASSERT_H
#define WM_BASE_ASSERT_H

#include "base/compiler.h"

#define WM_ASSERT(condition) \
    (WM_LIKELY(condition) ? (void)0 : wm_assert_fail(__FILE__, __LINE__, #condition))
#define WM_UNREACHABLE() wm_assert_fail(__FILE__, __LINE__, "unreachable")

/* Prints one line to standard error and aborts. Freestanding builds supply their own. */
WM_NORETURN WM_COLD void wm_assert_fail(const char *file, int line, const char *condition);

#endif
