/* record.h: what a node states about the calls that it ran: records, roots, receipts, as bytes.
 *
 * doc/format/record.md is the contract. A record says everything about one call that its tenant can
 * be billed for or argue about. The records of one second are the leaves of a Merkle tree whose
 * root the node signs (a cose.h statement, whose claims are struct record_root). A receipt is one
 * record with the way to a signed root: complete in itself.
 *
 * Here are encodings only; proof/receipt.h checks. Texts and views are borrowed: from the caller
 * when writing, from the input when reading. Input is hostile: reading is strict (cbor.h), and a
 * record that was read keeps all limits below. Pure. Any thread. */
#ifndef WM_WIRE_RECORD_H
#define WM_WIRE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "wire/cose.h"

#define RECORD_VERSION 1u
#define RECORD_HASH_BYTES 32u
#define RECORD_SALT_BYTES 16u
#define RECORD_NAME_BYTES_MAX 64u /* of tenant, function, node */
#define RECORD_END_BYTES_MAX 16u
#define RECORD_BYTES_MAX 512u   /* of an encoded record */
#define RECEIPT_BYTES_MAX 1664u /* of an encoded receipt */
/* Leaves of one second. */
#define RECORD_SECOND_MAX (UINT32_C(1) << COSE_PATH_MAX)

struct record {
    /* Random, so that who holds a neighbour's receipt cannot guess this record from its hash. */
    uint8_t salt[RECORD_SALT_BYTES];
    uint64_t call_id;
    struct wm_view tenant, function; /* 1 to RECORD_NAME_BYTES_MAX */
    uint32_t version;                /* of the function */
    uint8_t module_sha256[RECORD_HASH_BYTES];
    bool has_image; /* it started from a Proto-Faaslet */
    uint8_t image_sha256[RECORD_HASH_BYTES];
    uint8_t input_sha256[RECORD_HASH_BYTES];
    bool has_output; /* it ended with one */
    uint8_t output_sha256[RECORD_HASH_BYTES];
    struct wm_view end; /* call_end_text: "ok", "trap"... 1 to RECORD_END_BYTES_MAX */
    int32_t return_code;
    bool cold;
    uint64_t start_ns; /* since 1970 */
    uint64_t wall_ns, cpu_ns, fuel;
    uint64_t memory_peak_bytes, input_bytes, output_bytes;
    uint64_t state_bytes_pulled, state_bytes_pushed, net_bytes_in, net_bytes_out;
    struct wm_view node; /* 1 to RECORD_NAME_BYTES_MAX */
};

/* Names must keep the limits; then it takes at most RECORD_BYTES_MAX. */
void record_put(struct cbor_writer *writer, const struct record *record);
WM_MUST_CHECK bool record_get(struct cbor_reader *reader, struct record *out);

/* The claims of a second's root. Type 2. */
struct record_root {
    struct wm_view node;
    uint64_t run;       /* of the node's process: grows with every start that sealed anything */
    uint64_t sequence;  /* 0, 1, 2... over all runs; seconds without calls have no root */
    uint64_t second;    /* since 1970; grows along the chain */
    uint64_t tree_size; /* 1 to RECORD_SECOND_MAX */
    uint64_t lost;      /* calls of this second that have no record, for want of memory */
    uint8_t previous[RECORD_HASH_BYTES]; /* SHA-256 of what was signed before; zeroes for 0 */
};

void record_root_put(struct cbor_writer *writer, const struct record_root *root);
/* `claims` as cose_sign1 gave them. */
WM_MUST_CHECK int record_root_get(struct wm_view claims, struct record_root *out,
                                  struct wm_diag *diag);

/* Type 3. */
struct record_receipt {
    struct wm_view record;      /* encoded */
    struct cose_statement root; /* included; not attached */
};
void record_receipt_put(struct cbor_writer *writer, const struct record_receipt *receipt);
/* The whole input is the receipt. */
WM_MUST_CHECK int record_receipt_get(struct wm_view bytes, struct record_receipt *out,
                                     struct wm_diag *diag);

#endif
