/* jsonx.h: what we do with jansson again and again. Any thread, each value on one at a time. */
#ifndef WM_NODE_JSONX_H
#define WM_NODE_JSONX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/view.h"

/* The text of a member, or NULL where there is none, or it is none. */
const char *jsonx_text(const json_t *object, const char *name);
/* What jsonx_text gave, with its NUL, into out[room]; false: NULL, or longer: *out is as it was. */
WM_MUST_CHECK bool jsonx_copy(char *out, size_t room, const char *text);
/* A whole number of 0 to max; false: it is there, but is none. *out stays where it is not there. */
WM_MUST_CHECK bool jsonx_u64(const json_t *object, const char *name, uint64_t max, uint64_t *out);
WM_MUST_CHECK bool jsonx_u32(const json_t *object, const char *name, uint32_t max, uint32_t *out);
WM_MUST_CHECK bool jsonx_bool(const json_t *object, const char *name, bool *out);
/* Takes `value` over, also when it fails; NULL fails. Where a member may as well be missing, the
 * result is not looked at. */
int jsonx_set(json_t *object, const char *name, json_t *value);
/* Bytes as a string: as they are where they are UTF-8 without NUL, else with \xNN for others. */
json_t *jsonx_bytes(struct wm_view bytes);
/* A member that `object` does not expect ("" where the list has them all): its name. `known` ends
 * with NULL. */
const char *jsonx_unknown(const json_t *object, const char *const *known);

void jsonx_hex(char *out, const uint8_t *bytes, size_t len); /* 2 * len + 1 */
/* Exactly `len` bytes, in lower case. */
WM_MUST_CHECK bool jsonx_unhex(const char *text, size_t text_len, uint8_t *out, size_t len);

#endif
