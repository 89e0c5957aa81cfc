/* fuzz_handover.c: calls and results as another node may send them; what is read can be written
 * again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/handover.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct handover_call call;
    struct handover_result result;
    uint8_t *again = malloc(len + 1);
    if (handover_call_decode(wm_view_of(bytes, len), &call, NULL) == 0 &&
        (handover_call_encode(&call, NULL) != len || handover_call_encode(&call, again) != len ||
         memcmp(again, bytes, len) != 0)) {
        abort();
    }
    if (handover_result_decode(wm_view_of(bytes, len), &result, NULL) == 0 &&
        (handover_result_encode(&result, NULL) != len ||
         handover_result_encode(&result, again) != len || memcmp(again, bytes, len) != 0)) {
        abort();
    }
    free(again);
    return 0;
}
