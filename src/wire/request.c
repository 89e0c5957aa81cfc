/* Requests and transactions as CBOR; doc/format/ledger.md. */
#include "wire/request.h"

#include "wire/item.h"

#define REQUEST_ITEMS 7u
#define OUTPUT_ITEMS 7u
#define TRANSACTION_ITEMS 5u

void request_claims_put(struct cbor_writer *writer, const struct request_claims *claims)
{
    item_put_begin(writer, REQUEST_ITEMS, COSE_TYPE_REQUEST);
    item_put_hash(writer, claims->service);
    cbor_put_uint(writer, claims->number);
    cbor_put_uint(writer, claims->minimum_index);
    cbor_put_text(writer, claims->procedure);
    cbor_put_uint(writer, claims->arguments_len);
}

static bool claims_get(struct cbor_reader *reader, struct request_claims *out)
{
    return item_begin(reader, REQUEST_ITEMS, COSE_TYPE_REQUEST) &&
           item_hash(reader, out->service) && cbor_uint(reader, &out->number) &&
           item_number(reader, &out->minimum_index) &&
           item_text(reader, 1, LEDGER_NAME_BYTES_MAX, &out->procedure) &&
           item_between(reader, 0, REQUEST_ARGUMENTS_BYTES_MAX, &out->arguments_len);
}

int request_get(struct wm_view bytes, struct request *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    if (bytes.len > REQUEST_BYTES_MAX) {
        cbor_fail(&reader, "it is too long");
    }
    if (!cose_sign1(&reader, &out->statement) || !cbor_end(&reader)) {
        return cbor_diag(&reader, "request", diag);
    }
    struct cbor_reader claims = cbor_inner(&reader, out->statement.claims);
    if (out->statement.tree || !out->statement.attached) {
        cbor_fail(&claims, "its payload, the hash of its arguments, is not attached");
    }
    if (!claims_get(&claims, &out->claims) || !cbor_end(&claims)) {
        return cbor_diag(&claims, "request", diag);
    }
    out->bytes = bytes;
    return 0;
}

void request_output_put(struct cbor_writer *writer, const struct request_output *output)
{
    cbor_put_array(writer, OUTPUT_ITEMS);
    cbor_put_uint(writer, output->code);
    item_put_hash(writer, output->result);
    cbor_put_uint(writer, output->result_len);
    item_put_hash(writer, output->procedure);
    cbor_put_uint(writer, output->fuel_version);
    item_put_hash(writer, output->reads);
    item_put_hash(writer, output->writes);
}

bool request_output_get(struct cbor_reader *reader, struct request_output *out)
{
    return cbor_array_of(reader, OUTPUT_ITEMS) && cbor_uint32(reader, &out->code) &&
           item_hash(reader, out->result) &&
           item_between(reader, 0, REQUEST_RESULT_BYTES_MAX, &out->result_len) &&
           item_hash(reader, out->procedure) && cbor_uint32(reader, &out->fuel_version) &&
           item_hash(reader, out->reads) && item_hash(reader, out->writes);
}

void transaction_put(struct cbor_writer *writer, uint64_t index, const ledger_hash request,
                     const struct request_output *output)
{
    item_put_begin(writer, TRANSACTION_ITEMS, COSE_TYPE_TRANSACTION);
    cbor_put_uint(writer, index);
    item_put_hash(writer, request);
    request_output_put(writer, output);
}
