/* ledger_wire.h: every format of src/wire's ledger as "read it, write it again", for the test of
 * the vectors and for the fuzzer. */
#ifndef WM_TEST_LEDGER_WIRE_H
#define WM_TEST_LEDGER_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"
#include "wire/cbor.h"

struct ledger_wire_format {
    const char *name;
    /* False: refused, with the reason in *diag (NULL allowed). Else what was read is written. */
    bool (*again)(struct wm_view bytes, struct cbor_writer *out, struct wm_diag *diag);
};

extern const struct ledger_wire_format ledger_wire_formats[];
extern const size_t ledger_wire_format_count;

#endif
