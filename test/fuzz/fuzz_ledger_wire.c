/* fuzz_ledger_wire.c: every format of a ledger, chosen by the first byte. What is read is written
 * again and must be the same bytes; what is refused has a reason. tools/vectors made the corpus. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/ledger_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0) {
        return 0;
    }
    const struct ledger_wire_format *format =
        &ledger_wire_formats[bytes[0] % ledger_wire_format_count];
    struct wm_view input = wm_view_of(bytes + 1, len - 1);
    uint8_t *again = malloc(len);
    struct cbor_writer writer = cbor_writer_of(again, len);
    struct wm_diag diag = WM_DIAG_INIT;
    if (!again) {
        return 0;
    }
    if (format->again(input, &writer, &diag)) {
        if (writer.len != input.len || memcmp(again, input.ptr, input.len) != 0) {
            abort();
        }
    } else if (!diag.text[0]) {
        abort();
    }
    free(again);
    return 0;
}
