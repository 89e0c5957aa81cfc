/* item.h: what the ledger's formats are made of: the items that several of them have, once.
 *
 * Private to this folder's ledger formats (doc/format/ledger.md). As in cbor.h: a read that fails
 * stores why and where in the reader, and returns false. Pure. Any thread. */
#ifndef WM_WIRE_ITEM_H
#define WM_WIRE_ITEM_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/batch.h"

/* [TYPE, VERSION, ... of `items` in all. Type and version are read before the count is judged, so
 * that something of another version is refused as such, with both numbers. */
void item_put_begin(struct cbor_writer *writer, uint64_t items, enum cose_type type);
WM_MUST_CHECK bool item_begin(struct cbor_reader *reader, uint64_t items, enum cose_type type);

static inline void item_put_hash(struct cbor_writer *writer, const uint8_t *hash)
{
    cbor_put_bytes(writer, wm_view_of(hash, LEDGER_HASH_BYTES));
}
static inline void item_put_signature(struct cbor_writer *writer, const uint8_t *signature)
{
    cbor_put_bytes(writer, wm_view_of(signature, LEDGER_SIGNATURE_BYTES));
}
WM_MUST_CHECK static inline bool item_hash(struct cbor_reader *reader, uint8_t *out)
{
    return cbor_bytes_of(reader, out, LEDGER_HASH_BYTES);
}
WM_MUST_CHECK static inline bool item_signature(struct cbor_reader *reader, uint8_t *out)
{
    return cbor_bytes_of(reader, out, LEDGER_SIGNATURE_BYTES);
}

/* Something, or null. */
void item_put_hash_or_null(struct cbor_writer *writer, bool is_there, const uint8_t *hash);
WM_MUST_CHECK bool item_hash_or_null(struct cbor_reader *reader, bool *is_there, uint8_t *out);
void item_put_bytes_or_null(struct cbor_writer *writer, bool is_there, struct wm_view bytes);
WM_MUST_CHECK bool item_bytes_or_null(struct cbor_reader *reader, size_t len_max, bool *is_there,
                                      struct wm_view *out);

/* A byte string of `len_min` to `len_max` bytes, and a text. */
WM_MUST_CHECK bool item_bytes(struct cbor_reader *reader, size_t len_min, size_t len_max,
                              struct wm_view *out);
WM_MUST_CHECK bool item_text(struct cbor_reader *reader, size_t len_min, size_t len_max,
                             struct wm_view *out);

/* Seqnos, views, indices, sizes of the ledger: at most LEDGER_SEQNO_MAX. */
WM_MUST_CHECK bool item_number(struct cbor_reader *reader, uint64_t *out);
/* Of batches and transactions, which count from 1. */
WM_MUST_CHECK bool item_counted(struct cbor_reader *reader, uint64_t *out);
WM_MUST_CHECK bool item_between(struct cbor_reader *reader, uint32_t low, uint32_t high,
                                uint32_t *out);
/* Of a replica: below LEDGER_REPLICAS_MAX. */
WM_MUST_CHECK bool item_position(struct cbor_reader *reader, uint32_t *out);

/* A protected header in a byte string. It is not read: cose_header. */
WM_MUST_CHECK bool item_header(struct cbor_reader *reader, struct wm_view *out);

/* [header, payload, signature] */
void item_put_parts(struct cbor_writer *writer, const struct statement_parts *parts);
WM_MUST_CHECK bool item_parts(struct cbor_reader *reader, struct statement_parts *out);

/* [* hash] */
void item_put_path(struct cbor_writer *writer, const ledger_hash *path, uint32_t len);
WM_MUST_CHECK bool item_path(struct cbor_reader *reader, ledger_hash *path, uint32_t len_max,
                             uint32_t *len);

#endif
