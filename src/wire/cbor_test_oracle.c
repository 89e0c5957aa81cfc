/* libcbor, as cbor_test.c asks it. */
#include "wire/cbor_test_oracle.h"

#include <cbor.h>

bool oracle_copy(const uint8_t *bytes, size_t len, uint8_t *out, size_t room, size_t *out_len)
{
    struct cbor_load_result result;
    cbor_item_t *item = cbor_load(bytes, len, &result);
    if (!item) {
        return false;
    }
    bool whole = result.read == len;
    *out_len = cbor_serialize(item, out, room);
    cbor_decref(&item);
    return whole;
}
