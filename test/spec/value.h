/* value.h: values as the converted official suite writes them in JSON.
 *
 * Numbers are decimal strings of the bits, whatever the type; an expected float may be
 * "nan:canonical" or "nan:arithmetic" (core specification 4.3.3); v128 has a lane type and one
 * string a lane. A reference is "null" or, externref only, a number; an expected reference without
 * a value means: any but null. */
#ifndef WM_TEST_SPEC_VALUE_H
#define WM_TEST_SPEC_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "wasm/types.h"

/* False when `json` is not a value that can be passed. */
bool spec_value_read(const json_t *json, uint8_t *valtype, union wasm_value *out);
/* Does the result `got`, of a function that returns `valtype`, fit what is expected? */
bool spec_value_fits(const json_t *expected, uint8_t valtype, const union wasm_value *got);
/* For messages. Returns out. */
const char *spec_value_text(uint8_t valtype, const union wasm_value *value, char *out,
                            size_t out_bytes);

#endif
