/* Parts of blame as CBOR; doc/format/ledger.md. */
#include "wire/blame.h"

#include "wire/item.h"

bool blame_maybe(struct cbor_reader *reader, bool *is_there)
{
    *is_there = cbor_peek(reader) != CBOR_SIMPLE;
    return *is_there || cbor_null(reader);
}

void blame_statement_put(struct cbor_writer *writer, const struct statement_parts *statement)
{
    item_put_parts(writer, statement);
}

bool blame_statement_get(struct cbor_reader *reader, struct statement_parts *out)
{
    return item_parts(reader, out);
}

void blame_place_put(struct cbor_writer *writer, const struct blame_place *place)
{
    cbor_put_array(writer, 2);
    cbor_put_uint(writer, place->leaf);
    item_put_path(writer, place->path, place->path_len);
}

bool blame_place_get(struct cbor_reader *reader, struct blame_place *out)
{
    return cbor_array_of(reader, 2) && item_number(reader, &out->leaf) &&
           item_path(reader, out->path, LEDGER_PATH_MAX, &out->path_len);
}

void blame_below_put(struct cbor_writer *writer, const struct blame_below *below)
{
    cbor_put_array(writer, 3);
    cbor_put_bytes(writer, below->header);
    item_put_hash(writer, below->root);
    blame_place_put(writer, &below->place);
}

bool blame_below_get(struct cbor_reader *reader, struct blame_below *out)
{
    return cbor_array_of(reader, 3) && item_header(reader, &out->header) &&
           item_hash(reader, out->root) && blame_place_get(reader, &out->place);
}

void blame_vouched_put(struct cbor_writer *writer, const struct blame_vouched *vouched)
{
    cbor_put_array(writer, 3);
    certificate_put(writer, &vouched->signatures);
    if (vouched->has_below) {
        blame_below_put(writer, &vouched->below);
    } else {
        cbor_put_null(writer);
    }
    if (vouched->has_anchor) {
        blame_place_put(writer, &vouched->anchor);
    } else {
        cbor_put_null(writer);
    }
}

bool blame_vouched_get(struct cbor_reader *reader, struct blame_vouched *out)
{
    return cbor_array_of(reader, 3) && certificate_get(reader, &out->signatures) &&
           blame_maybe(reader, &out->has_below) &&
           (!out->has_below || blame_below_get(reader, &out->below)) &&
           blame_maybe(reader, &out->has_anchor) &&
           (!out->has_anchor || blame_place_get(reader, &out->anchor));
}

void blame_entry_put(struct cbor_writer *writer, const struct blame_entry *entry)
{
    cbor_put_array(writer, 2);
    cbor_put_bytes(writer, entry->entry);
    blame_place_put(writer, &entry->place);
}

bool blame_entry_get(struct cbor_reader *reader, struct blame_entry *out)
{
    return cbor_array_of(reader, 2) && cbor_bytes(reader, &out->entry) &&
           blame_place_get(reader, &out->place);
}

void blame_last_put(struct cbor_writer *writer, const struct blame_last *last)
{
    cbor_put_array(writer, 4);
    cbor_put_bytes(writer, last->request);
    request_output_put(writer, &last->output);
    cbor_put_bytes(writer, last->result);
    item_put_path(writer, last->path, last->path_len);
}

bool blame_last_get(struct cbor_reader *reader, struct blame_last *out)
{
    return cbor_array_of(reader, 4) && item_bytes(reader, 1, REQUEST_BYTES_MAX, &out->request) &&
           request_output_get(reader, &out->output) &&
           item_bytes(reader, 0, REQUEST_RESULT_BYTES_MAX, &out->result) &&
           item_path(reader, out->path, BATCH_PATH_MAX, &out->path_len);
}

void blame_pair_put(struct cbor_writer *writer, const struct blame_pair *pair)
{
    cbor_put_array(writer, 2);
    cbor_put_bytes(writer, pair->key);
    cbor_put_bytes(writer, pair->value);
}

bool blame_pair_get(struct cbor_reader *reader, struct blame_pair *out)
{
    return cbor_array_of(reader, 2) && item_bytes(reader, 1, STATE_KEY_BYTES_MAX, &out->key) &&
           item_bytes(reader, 0, STATE_VALUE_BYTES_MAX, &out->value);
}
