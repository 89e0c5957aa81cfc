/* diag.h: the sentence that goes with an error code.
 *
 * Who calls passes a struct wm_diag from its own stack (or NULL) as the last argument; who fails
 * fills it; each level on the way up may prefix what it was doing, so that the final text reads
 * "object: operation: cause". Fixed size: reporting never allocates and so never fails. Text that
 * does not fit is cut and ends in "...".
 *
 * struct wm_diag itself and wm_diag_text are in the public wardmote/error.h.
 *
 * Guest- or peer-controlled text must go through %s of wm_diag_set's own escaping helper
 * (wm_diag_quote) when it may hold control characters. */
#ifndef WM_BASE_DIAG_H
#define WM_BASE_DIAG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/error.h"

/* Replaces the content. Returns `code`, so that `return wm_diag_set(diag, code, ...)` reads as one
 * step. diag may be NULL. */
int wm_diag_set(struct wm_diag *diag, int code, const char *format, ...) WM_PRINTF(3, 4);
/* Puts "prefix: " before the present text; keeps the code. diag may be NULL. */
void wm_diag_prefix(struct wm_diag *diag, const char *format, ...) WM_PRINTF(2, 3);
/* Fills in "what: <text of code>" when nothing deeper did. Returns code. */
int wm_diag_default(struct wm_diag *diag, int code, const char *what);

/* Copies `len` bytes of untrusted text into out, as printable ASCII: other bytes become \xNN. Cuts
 * to fit and always terminates. Returns out. out_bytes >= 8. */
char *wm_diag_quote(char *out, size_t out_bytes, const void *text, size_t len);

#endif
