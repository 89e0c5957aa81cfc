/* utf8.h: is this text UTF-8? (RFC 3629; core specification 5.2.4 asks it of every name.) Pure. */
#ifndef WM_WASM_UTF8_H
#define WM_WASM_UTF8_H

#include <stdbool.h>

#include "base/view.h"

/* No overlong forms, no surrogates, nothing above U+10FFFF. */
bool wasm_utf8_ok(struct wm_view text);

#endif
