/* fuzz_control.c: packets as a worker may send them; what is read can be written again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "faaslet/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct control_message message;
    static uint8_t again[CONTROL_BYTES_MAX];
    if (len > CONTROL_BYTES_MAX || control_decode(wm_view_of(bytes, len), &message, NULL) != 0) {
        return 0;
    }
    if (control_encode(&message, again) != (int64_t)len || memcmp(again, bytes, len) != 0) {
        abort();
    }
    return 0;
}
