/* fuzz_call_rpc.c: what a worker may ask its node about calls and for outbound HTTP. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "faaslet/call.h"
#include "faaslet/call_rpc.h"
#include "faaslet/http_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Every byte of it can be read. */
static unsigned sum(struct wm_view view)
{
    unsigned total = 0;
    for (size_t i = 0; i < view.len; i++) {
        total += view.ptr[i];
    }
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct call_rpc_request call;
    struct http_request_parts http;
    volatile unsigned total = 0;
    if (call_rpc_decode(wm_view_of(bytes, len), &call, NULL) == 0) {
        if (call.name.len > CALL_RPC_NAME_BYTES_MAX || call.input.len > CALL_INPUT_BYTES_MAX) {
            abort();
        }
        total += sum(call.name) + sum(call.input);
    }
    if (http_request_decode(wm_view_of(bytes, len), &http) == 0) {
        total += sum(http.method) + sum(http.url) + sum(http.headers) + sum(http.body);
    }
    return 0;
}
