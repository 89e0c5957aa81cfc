/* fuzz_ledger_receipt.c: receipts of a ledger: any bytes (first byte 0), or one that was right with
 * changes. None that differs from what was signed verifies. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "edit.h"
#include "proof/chain.h"
#include "proof/test_service.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct wm_view samples[3];
    static struct chain chain;
    struct ledger_receipt_facts facts;
    struct wm_diag diag = WM_DIAG_INIT;
    if (!samples[0].len) {
        struct test_service *service = test_service_new(4, 4, 2);
        struct test_ledger *ledger = test_ledger_new(service);
        struct test_call calls[] = {test_put(service, 1, 1, "t/a", "1"),
                                    test_put(service, 2, 1, "t/b", "2")};
        const struct test_batch *batch = test_batch(ledger, calls, 2, NULL);
        const struct test_batch *later = test_empty(ledger, 4);
        if (chain_begin(&chain, service->genesis_bytes, 0, NULL) != 0) {
            abort();
        }
        samples[0] = test_receipt(batch, 0, 0x7);
        samples[1] = test_receipt(batch, 1, 0xe);
        samples[2] = test_receipt_chained(ledger, batch, 1, later, 0xb);
    }
    if (len == 0) {
        return 0;
    }
    if (bytes[0] % 4 == 0) {
        if (chain_receipt(&chain, wm_view_of(bytes + 1, len - 1), &facts, &diag) == 0) {
            abort();
        }
        return 0;
    }
    struct wm_view sample = samples[bytes[0] % 4 - 1];
    size_t edited_len;
    uint8_t *edited = fuzz_edit(bytes + 1, len - 1, sample.ptr, sample.len, &edited_len);
    struct wm_view edited_view = wm_view_of(edited, edited_len);
    int rc = chain_receipt(&chain, edited_view, &facts, &diag);
    if ((rc == 0) != wm_view_eq(edited_view, sample) || (rc != 0 && diag.code != rc)) {
        abort();
    }
    free(edited);
    return 0;
}
