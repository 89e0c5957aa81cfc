/* The section "dylink.0" of any bytes: a result, and numbers within what dylink.h promises. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/error.h"
#include "faaslet/dylink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dylink out;
    struct wm_diag diag = WM_DIAG_INIT;
    int rc = dylink_parse(wm_view_of(data, size), &out, &diag);
    WM_ASSERT(rc == 0 || rc == WM_E_NOT_FOUND || rc == WM_E_MALFORMED || rc == WM_E_UNSUPPORTED);
    WM_ASSERT(diag.code == rc);
    return 0;
}
