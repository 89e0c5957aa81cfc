/* ledger_vectors_make.h: for ledger_vectors_test.c: each type of vector from its fields.
 *
 * Failures are CHECKs of the test that is running. */
#ifndef WM_TEST_LEDGER_VECTORS_MAKE_H
#define WM_TEST_LEDGER_VECTORS_MAKE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/cbor.h"

/* What the views of one vector point into; a test sets `used` to 0 before each. */
extern uint8_t vector_memory[1 << 20];
extern size_t vector_memory_used;

/* Of a hexadecimal string; empty otherwise. */
struct wm_view vector_bytes(const json_t *value);

struct vector_kind {
    const char *name;
    void (*put)(const json_t *fields, struct cbor_writer *out);
};
extern const struct vector_kind vector_kinds[];
extern const size_t vector_kind_count;

#endif
