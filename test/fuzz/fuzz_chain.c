/* fuzz_chain.c: links of a governance chain: any bytes (first byte 0), or one that was right, at
 * its place, with changes. None that differs from what was signed is taken. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "edit.h"
#include "proof/chain.h"
#include "proof/test_service.h"

#define LINKS 4u /* three transactions, the end of a configuration */

static struct test_service *service;
static struct wm_view links[LINKS];

static void make(void)
{
    service = test_service_new(4, 4, 2);
    struct test_ledger *ledger = test_ledger_new(service);
    struct test_call calls[] = {test_propose(service, 1, 1, test_add_replica(service, 5, 1)),
                                test_vote(service, 2, 1, 1), test_vote(service, 3, 1, 1)};
    for (size_t i = 0; i < 3; i++) {
        test_batch(ledger, &calls[i], 1, NULL);
    }
    test_reconfigure(ledger);
    struct cbor_reader reader = cbor_reader_of(test_chain(ledger, ledger->head.batch_count));
    uint64_t count;
    if (!chain_get_head(&reader, &count) || count != LINKS) {
        abort();
    }
    for (size_t i = 0; i < LINKS; i++) {
        if (!cbor_skip(&reader, &links[i])) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct chain chain;
    if (!service) {
        make();
    }
    if (len == 0 || chain_begin(&chain, service->genesis_bytes, 1u << 24, NULL) != 0) {
        return 0;
    }
    uint32_t at = bytes[0] % (LINKS + 1);
    if (at == 0) {
        (void)chain_add_all(&chain, wm_view_of(bytes + 1, len - 1), &diag);
        if (chain.links > 0) {
            abort();
        }
        chain_fini(&chain);
        return 0;
    }
    for (uint32_t i = 0; i + 1 < at; i++) {
        if (chain_add(&chain, links[i], NULL) != 0) {
            abort();
        }
    }
    size_t edited_len;
    struct wm_view sample = links[at - 1];
    uint8_t *edited = fuzz_edit(bytes + 1, len - 1, sample.ptr, sample.len, &edited_len);
    struct wm_view edited_view = wm_view_of(edited, edited_len);
    int rc = chain_add(&chain, edited_view, &diag);
    if ((rc == 0) != wm_view_eq(edited_view, sample)) {
        abort();
    }
    free(edited);
    chain_fini(&chain);
    return 0;
}
