/* fuzz_receipt.c: receipts and signed roots of any content. What is read is written again, and must
 * be the same bytes; nobody who lacks the key makes one that verifies. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/merkle.h"
#include "proof/receipt.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const uint8_t key[SIGN_PUBLIC_BYTES] = {0x58, 0x66, [2 ... 31] = 0x66};
    struct wm_view input = wm_view_of(bytes, len);
    struct record_receipt parts;
    struct receipt receipt;
    struct signed_root root;
    struct record record;
    struct wm_diag diag;
    uint8_t again[RECEIPT_BYTES_MAX];
    if (record_receipt_get(input, &parts, &diag) == 0) {
        struct cbor_writer writer = cbor_writer_of(again, sizeof again);
        record_receipt_put(&writer, &parts);
        if (writer.len != len || memcmp(again, bytes, len) != 0) {
            abort();
        }
    }
    struct cbor_reader reader = cbor_reader_of(input);
    if (record_get(&reader, &record) && cbor_end(&reader)) {
        struct cbor_writer writer = cbor_writer_of(again, sizeof again);
        record_put(&writer, &record);
        if (len > RECORD_BYTES_MAX || writer.len != len || memcmp(again, bytes, len) != 0) {
            abort();
        }
    }
    if (receipt_verify(input, key, &receipt, &diag) == 0 ||
        signed_root_verify(input, key, &root, &diag) == 0) {
        abort();
    }
    (void)receipt_verify(input, NULL, &receipt, NULL);
    /* And the path's arithmetic on numbers of any size. */
    if (len >= 16 + 32) {
        uint64_t index, count;
        merkle_hash out;
        memcpy(&index, bytes, 8);
        memcpy(&count, bytes + 8, 8);
        uint32_t path_len = (uint32_t)((len - 48) / 32);
        (void)merkle_path_root(bytes + 16, index, count, (const merkle_hash *)(bytes + 48),
                               path_len, out);
        (void)merkle_path_root(bytes + 16, index % 64, count % 64,
                               (const merkle_hash *)(bytes + 48), path_len, out);
    }
    return 0;
}
