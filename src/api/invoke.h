/* invoke.h: arguments of a call from text, and its results to text. */
#ifndef WM_API_INVOKE_H
#define WM_API_INVOKE_H

#include <stddef.h>

#include <wardmote/engine.h>

#include "base/diag.h"

/* One value of the type `letter` (as in wm_module_signature): integers decimal or 0x, signed or
 * not; floats as strtod takes them. WM_E_USAGE with the reason. */
WM_MUST_CHECK int invoke_parse(char letter, const char *text, union wm_value *out,
                               struct wm_diag *diag);
/* Writes the value so that invoke_parse reads the same one back. Returns the length, as snprintf.
 */
int invoke_print(char letter, const union wm_value *value, char *out, size_t out_bytes);

#endif
