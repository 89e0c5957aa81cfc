/* Items that several of the ledger's formats have. */
#include "wire/item.h"

void item_put_begin(struct cbor_writer *writer, uint64_t items, enum cose_type type)
{
    cbor_put_array(writer, items);
    cbor_put_uint(writer, type);
    cbor_put_uint(writer, LEDGER_VERSION);
}

bool item_begin(struct cbor_reader *reader, uint64_t items, enum cose_type type)
{
    uint64_t count;
    return cbor_array(reader, &count) &&
           cbor_uint_is(reader, type, "it is of another type than it must be") &&
           cbor_uint_is(reader, LEDGER_VERSION, "it is of a version that is not known here") &&
           (count == items || cbor_fail(reader, "it has too many or too few items"));
}

void item_put_hash_or_null(struct cbor_writer *writer, bool is_there, const uint8_t *hash)
{
    item_put_bytes_or_null(writer, is_there, wm_view_of(hash, LEDGER_HASH_BYTES));
}

bool item_hash_or_null(struct cbor_reader *reader, bool *is_there, uint8_t *out)
{
    *is_there = cbor_peek(reader) == CBOR_BYTES;
    return *is_there ? item_hash(reader, out) : cbor_null(reader);
}

void item_put_bytes_or_null(struct cbor_writer *writer, bool is_there, struct wm_view bytes)
{
    if (is_there) {
        cbor_put_bytes(writer, bytes);
    } else {
        cbor_put_null(writer);
    }
}

bool item_bytes_or_null(struct cbor_reader *reader, size_t len_max, bool *is_there,
                        struct wm_view *out)
{
    *out = wm_view_of(NULL, 0);
    *is_there = cbor_peek(reader) == CBOR_BYTES;
    return *is_there ? item_bytes(reader, 0, len_max, out) : cbor_null(reader);
}

bool item_bytes(struct cbor_reader *reader, size_t len_min, size_t len_max, struct wm_view *out)
{
    return cbor_bytes(reader, out) && ((out->len >= len_min && out->len <= len_max) ||
                                       cbor_fail(reader, "a byte string is too short or too long"));
}

bool item_text(struct cbor_reader *reader, size_t len_min, size_t len_max, struct wm_view *out)
{
    return cbor_text(reader, out) && ((out->len >= len_min && out->len <= len_max) ||
                                      cbor_fail(reader, "a text is too short or too long"));
}

bool item_number(struct cbor_reader *reader, uint64_t *out)
{
    return cbor_uint(reader, out) &&
           (*out <= LEDGER_SEQNO_MAX || cbor_fail(reader, "a number is larger than 2^48"));
}

bool item_counted(struct cbor_reader *reader, uint64_t *out)
{
    return item_number(reader, out) &&
           (*out != 0 || cbor_fail(reader, "a number is 0, where counting begins with 1"));
}

bool item_between(struct cbor_reader *reader, uint32_t low, uint32_t high, uint32_t *out)
{
    return cbor_uint32(reader, out) &&
           ((*out >= low && *out <= high) || cbor_fail(reader, "a number is out of its range"));
}

bool item_position(struct cbor_reader *reader, uint32_t *out)
{
    return cbor_uint32(reader, out) &&
           (*out < LEDGER_REPLICAS_MAX || cbor_fail(reader, "a position is larger than 63"));
}

bool item_header(struct cbor_reader *reader, struct wm_view *out)
{
    return item_bytes(reader, 1, COSE_PROTECTED_BYTES_MAX, out);
}

void item_put_parts(struct cbor_writer *writer, const struct statement_parts *parts)
{
    cbor_put_array(writer, 3);
    cbor_put_bytes(writer, parts->header);
    item_put_hash(writer, parts->payload);
    item_put_signature(writer, parts->signature);
}

bool item_parts(struct cbor_reader *reader, struct statement_parts *out)
{
    return cbor_array_of(reader, 3) && item_header(reader, &out->header) &&
           item_hash(reader, out->payload) && item_signature(reader, out->signature);
}

void item_put_path(struct cbor_writer *writer, const ledger_hash *path, uint32_t len)
{
    cbor_put_array(writer, len);
    for (uint32_t i = 0; i < len; i++) {
        item_put_hash(writer, path[i]);
    }
}

bool item_path(struct cbor_reader *reader, ledger_hash *path, uint32_t len_max, uint32_t *len)
{
    uint64_t count;
    *len = 0;
    if (!cbor_array(reader, &count)) {
        return false;
    }
    if (count > len_max) {
        return cbor_fail(reader, "a path is too long");
    }
    for (uint64_t i = 0; i < count; i++) {
        if (!item_hash(reader, path[i])) {
            return false;
        }
    }
    *len = (uint32_t)count;
    return true;
}
