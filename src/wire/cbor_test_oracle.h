/* cbor_test_oracle.h: libcbor's opinion of some bytes, for cbor_test.c; its names and ours do not
 * go into one file. */
#ifndef WM_WIRE_CBOR_TEST_ORACLE_H
#define WM_WIRE_CBOR_TEST_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Are they one well-formed item? Then `out` becomes what libcbor writes for it. */
bool oracle_copy(const uint8_t *bytes, size_t len, uint8_t *out, size_t room, size_t *out_len);

#endif
