/* blame.h: what the parts of a blame file are made of, as bytes.
 *
 * doc/format/ledger.md, section Blame, has which kind has which parts; wire/quorum.h the file
 * around them. Encodings only: proof/blame.h says whether anybody is to blame. Views are borrowed
 * from the input.
 *
 * Input is hostile; reading is strict. Pure. Any thread. */
#ifndef WM_WIRE_BLAME_H
#define WM_WIRE_BLAME_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/quorum.h"

/* [header, payload, signature]: a pre-prepare, a prepare or a view-change. */
void blame_statement_put(struct cbor_writer *writer, const struct statement_parts *statement);
WM_MUST_CHECK bool blame_statement_get(struct cbor_reader *reader, struct statement_parts *out);

/* Where an entry lies in the ledger that a batch stands on: [leaf, [* hash]]. */
struct blame_place {
    uint64_t leaf;
    uint32_t path_len;
    ledger_hash path[LEDGER_PATH_MAX];
};
void blame_place_put(struct cbor_writer *writer, const struct blame_place *place);
WM_MUST_CHECK bool blame_place_get(struct cbor_reader *reader, struct blame_place *out);

/* A batch in the ledger of another one: [header, G, place]. */
struct blame_below {
    struct wm_view header;
    ledger_hash root;
    struct blame_place place;
};
void blame_below_put(struct cbor_writer *writer, const struct blame_below *below);
WM_MUST_CHECK bool blame_below_get(struct cbor_reader *reader, struct blame_below *out);

/* A batch and those who answer for it: [signatures, below / null, anchor / null]. `signatures` has
 * the form of a certificate, with any number of prepares. The batch is theirs or, with `below`, one
 * in their ledger; the anchor is there where that has to be shown to be the chain's. */
struct blame_vouched {
    struct certificate signatures;
    bool has_below, has_anchor;
    struct blame_below below;
    struct blame_place anchor;
};
void blame_vouched_put(struct cbor_writer *writer, const struct blame_vouched *vouched);
WM_MUST_CHECK bool blame_vouched_get(struct cbor_reader *reader, struct blame_vouched *out);

/* An entry with its place: [entry, place]. */
struct blame_entry {
    struct wm_view entry;
    struct blame_place place;
};
void blame_entry_put(struct cbor_writer *writer, const struct blame_entry *entry);
WM_MUST_CHECK bool blame_entry_get(struct cbor_reader *reader, struct blame_entry *out);

/* The last transaction of a batch: [request, output, result, [* hash]]. */
struct blame_last {
    struct wm_view request, result;
    struct request_output output;
    uint32_t path_len;
    ledger_hash path[BATCH_PATH_MAX];
};
void blame_last_put(struct cbor_writer *writer, const struct blame_last *last);
WM_MUST_CHECK bool blame_last_get(struct cbor_reader *reader, struct blame_last *out);

/* A pair of the state: [key, value]. */
struct blame_pair {
    struct wm_view key, value;
};
void blame_pair_put(struct cbor_writer *writer, const struct blame_pair *pair);
WM_MUST_CHECK bool blame_pair_get(struct cbor_reader *reader, struct blame_pair *out);

/* null, or what follows; then *is_there. */
WM_MUST_CHECK bool blame_maybe(struct cbor_reader *reader, bool *is_there);

#endif
