/* request.h: what a client asks of a ledger, and what comes of it, as bytes.
 *
 * doc/format/ledger.md is the contract. A request is a COSE_Sign1 whose attached payload is the
 * hash of the arguments, which travel beside it; its own hash is over the whole COSE_Sign1. A
 * transaction, the leaf of a batch's tree, binds a request to its index and its output.
 *
 * Encodings only; views are borrowed. Input is hostile; reading is strict. Pure. Any thread. */
#ifndef WM_WIRE_REQUEST_H
#define WM_WIRE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "wire/cose.h"

#define LEDGER_VERSION 1u
#define LEDGER_HASH_BYTES 32u
#define LEDGER_NAME_BYTES_MAX 64u
#define REQUEST_BYTES_MAX 384u /* of an encoded request, without its arguments */
#define REQUEST_ARGUMENTS_BYTES_MAX 65536u
#define REQUEST_RESULT_BYTES_MAX 65536u
#define TRANSACTION_BYTES_MAX 256u /* of an encoded leaf */

typedef uint8_t ledger_hash[LEDGER_HASH_BYTES];

struct request_claims {
    ledger_hash service;
    uint64_t number;          /* the client's own: each is executed once */
    uint64_t minimum_index;   /* it must not be given a smaller one; at most 2^48 */
    struct wm_view procedure; /* 1 to LEDGER_NAME_BYTES_MAX bytes of text */
    uint32_t arguments_len;   /* at most REQUEST_ARGUMENTS_BYTES_MAX */
};
void request_claims_put(struct cbor_writer *writer, const struct request_claims *claims);

struct request {
    struct wm_view bytes; /* the whole COSE_Sign1: hash it for H(t) */
    struct cose_statement statement;
    struct request_claims claims;
};
/* The whole input is the request. The client is statement.key; the signature is not checked here.
 */
WM_MUST_CHECK int request_get(struct wm_view bytes, struct request *out, struct wm_diag *diag);

/* How it went. */
struct request_output {
    uint32_t code; /* enum of ledger/procedure.h; 0: done */
    uint32_t result_len;
    ledger_hash result; /* SHA-256 of the result's bytes */
    ledger_hash procedure;
    uint32_t fuel_version;
    ledger_hash reads, writes;
};
void request_output_put(struct cbor_writer *writer, const struct request_output *output);
WM_MUST_CHECK bool request_output_get(struct cbor_reader *reader, struct request_output *out);

/* The leaf of a batch's tree: merkle_leaf of these bytes. */
void transaction_put(struct cbor_writer *writer, uint64_t index, const ledger_hash request,
                     const struct request_output *output);

#endif
