/* fuzz_artefact.c: manifests of any content; nobody who lacks the key makes one that is taken. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "faaslet/artefact.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const uint8_t keys[1][SIGN_PUBLIC_BYTES] = {{0x58, [1 ... 31] = 0x66}};
    struct artefact_trust trust = {keys, 1};
    struct artefact artefact;
    struct wm_diag diag;
    if (artefact_check(wm_view_of(bytes, len), &trust, &artefact, &diag) == 0) {
        abort();
    }
    return 0;
}
