/* Records, roots and receipts as CBOR; doc/format/record.md. */
#include "wire/record.h"

#define RECORD_ITEMS 26u
#define ROOT_ITEMS 9u
#define RECEIPT_ITEMS 4u

static void put_hash(struct cbor_writer *writer, bool is_there, const uint8_t *hash)
{
    if (is_there) {
        cbor_put_bytes(writer, wm_view_of(hash, RECORD_HASH_BYTES));
    } else {
        cbor_put_null(writer);
    }
}

void record_put(struct cbor_writer *writer, const struct record *record)
{
    cbor_put_array(writer, RECORD_ITEMS);
    cbor_put_uint(writer, COSE_TYPE_CALL_RECORD);
    cbor_put_uint(writer, RECORD_VERSION);
    cbor_put_bytes(writer, wm_view_of(record->salt, sizeof record->salt));
    cbor_put_uint(writer, record->call_id);
    cbor_put_text(writer, record->tenant);
    cbor_put_text(writer, record->function);
    cbor_put_uint(writer, record->version);
    put_hash(writer, true, record->module_sha256);
    put_hash(writer, record->has_image, record->image_sha256);
    put_hash(writer, true, record->input_sha256);
    put_hash(writer, record->has_output, record->output_sha256);
    cbor_put_text(writer, record->end);
    cbor_put_int(writer, record->return_code);
    cbor_put_bool(writer, record->cold);
    cbor_put_uint(writer, record->start_ns);
    cbor_put_uint(writer, record->wall_ns);
    cbor_put_uint(writer, record->cpu_ns);
    cbor_put_uint(writer, record->fuel);
    cbor_put_uint(writer, record->memory_peak_bytes);
    cbor_put_uint(writer, record->input_bytes);
    cbor_put_uint(writer, record->output_bytes);
    cbor_put_uint(writer, record->state_bytes_pulled);
    cbor_put_uint(writer, record->state_bytes_pushed);
    cbor_put_uint(writer, record->net_bytes_in);
    cbor_put_uint(writer, record->net_bytes_out);
    cbor_put_text(writer, record->node);
}

static bool name(struct cbor_reader *reader, size_t bytes_max, struct wm_view *out)
{
    struct wm_view text;
    if (!cbor_text(reader, &text)) {
        return false;
    }
    if (text.len == 0 || text.len > bytes_max) {
        return cbor_fail(reader, "a name is empty or too long");
    }
    *out = text;
    return true;
}

static bool hash_or_null(struct cbor_reader *reader, bool *is_there, uint8_t *out)
{
    *is_there = cbor_peek(reader) == CBOR_BYTES;
    return *is_there ? cbor_bytes_of(reader, out, RECORD_HASH_BYTES) : cbor_null(reader);
}

static bool return_code(struct cbor_reader *reader, int32_t *out)
{
    int64_t code;
    if (!cbor_int(reader, &code)) {
        return false;
    }
    if (code < INT32_MIN || code > INT32_MAX) {
        return cbor_fail(reader, "a return code is too large");
    }
    *out = (int32_t)code;
    return true;
}

bool record_get(struct cbor_reader *reader, struct record *out)
{
    struct record record = {0};
    bool ok =
        cbor_array_of(reader, RECORD_ITEMS) &&
        cbor_uint_is(reader, COSE_TYPE_CALL_RECORD, "this is not a record of a call (type 1)") &&
        cbor_uint_is(reader, RECORD_VERSION, "a record of another version than 1") &&
        cbor_bytes_of(reader, record.salt, sizeof record.salt) &&
        cbor_uint(reader, &record.call_id) && name(reader, RECORD_NAME_BYTES_MAX, &record.tenant) &&
        name(reader, RECORD_NAME_BYTES_MAX, &record.function) &&
        cbor_uint32(reader, &record.version) &&
        cbor_bytes_of(reader, record.module_sha256, RECORD_HASH_BYTES) &&
        hash_or_null(reader, &record.has_image, record.image_sha256) &&
        cbor_bytes_of(reader, record.input_sha256, RECORD_HASH_BYTES) &&
        hash_or_null(reader, &record.has_output, record.output_sha256) &&
        name(reader, RECORD_END_BYTES_MAX, &record.end) &&
        return_code(reader, &record.return_code) && cbor_bool(reader, &record.cold) &&
        cbor_uint(reader, &record.start_ns) && cbor_uint(reader, &record.wall_ns) &&
        cbor_uint(reader, &record.cpu_ns) && cbor_uint(reader, &record.fuel) &&
        cbor_uint(reader, &record.memory_peak_bytes) && cbor_uint(reader, &record.input_bytes) &&
        cbor_uint(reader, &record.output_bytes) && cbor_uint(reader, &record.state_bytes_pulled) &&
        cbor_uint(reader, &record.state_bytes_pushed) && cbor_uint(reader, &record.net_bytes_in) &&
        cbor_uint(reader, &record.net_bytes_out) &&
        name(reader, RECORD_NAME_BYTES_MAX, &record.node);
    if (ok) {
        *out = record;
    }
    return ok;
}

void record_root_put(struct cbor_writer *writer, const struct record_root *root)
{
    cbor_put_array(writer, ROOT_ITEMS);
    cbor_put_uint(writer, COSE_TYPE_SECOND_ROOT);
    cbor_put_uint(writer, RECORD_VERSION);
    cbor_put_text(writer, root->node);
    cbor_put_uint(writer, root->run);
    cbor_put_uint(writer, root->sequence);
    cbor_put_uint(writer, root->second);
    cbor_put_uint(writer, root->tree_size);
    cbor_put_uint(writer, root->lost);
    cbor_put_bytes(writer, wm_view_of(root->previous, sizeof root->previous));
}

int record_root_get(struct wm_view claims, struct record_root *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(claims);
    struct record_root root = {0};
    bool ok =
        cbor_array_of(&reader, ROOT_ITEMS) &&
        cbor_uint_is(&reader, COSE_TYPE_SECOND_ROOT, "this is not the root of a second (type 2)") &&
        cbor_uint_is(&reader, RECORD_VERSION, "a root of another version than 1") &&
        name(&reader, RECORD_NAME_BYTES_MAX, &root.node) && cbor_uint(&reader, &root.run) &&
        cbor_uint(&reader, &root.sequence) && cbor_uint(&reader, &root.second) &&
        cbor_uint(&reader, &root.tree_size) && cbor_uint(&reader, &root.lost) &&
        cbor_bytes_of(&reader, root.previous, sizeof root.previous) &&
        (root.tree_size - 1 < RECORD_SECOND_MAX ||
         cbor_fail(&reader, "the size of the tree is not from 1 to 2^24"));
    if (!ok || !cbor_end(&reader)) {
        return cbor_diag(&reader, "root", diag);
    }
    *out = root;
    return 0;
}

void record_receipt_put(struct cbor_writer *writer, const struct record_receipt *receipt)
{
    cbor_put_array(writer, RECEIPT_ITEMS);
    cbor_put_uint(writer, COSE_TYPE_CALL_RECEIPT);
    cbor_put_uint(writer, RECORD_VERSION);
    cbor_put_bytes(writer, receipt->record);
    cose_put_sign1(writer, &receipt->root);
}

int record_receipt_get(struct wm_view bytes, struct record_receipt *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct record_receipt receipt;
    if (bytes.len > RECEIPT_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_MALFORMED, "receipt: %zu bytes; a receipt has at most %u",
                           bytes.len, RECEIPT_BYTES_MAX);
    }
    bool ok = cbor_array_of(&reader, RECEIPT_ITEMS) &&
              cbor_uint_is(&reader, COSE_TYPE_CALL_RECEIPT, "this is not a receipt (type 3)") &&
              cbor_uint_is(&reader, RECORD_VERSION, "a receipt of another version than 1") &&
              cbor_bytes(&reader, &receipt.record) && cose_sign1(&reader, &receipt.root) &&
              (receipt.root.included || cbor_fail(&reader, "the inclusion proof is missing"));
    if (!ok || !cbor_end(&reader)) {
        return cbor_diag(&reader, "receipt", diag);
    }
    *out = receipt;
    return 0;
}
