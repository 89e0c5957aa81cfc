/* cose.h: signed statements: COSE_Sign1 (RFC 9052) in the one form that this project signs.
 *
 * A statement is a COSE_Sign1 with Ed25519 (algorithm -8). What is said is in the protected header:
 * an array, the claims, that begins with the statement's type and version, under a label of private
 * use. The payload is a digest of 32 bytes which whoever checks computes himself: the Merkle root
 * of what was stated, or the hash of a file. external_aad is empty. So any COSE library that knows
 * Ed25519 can check the signature, and one of type A is never one of type B.
 *
 *     18([ << {1: -8, 4: PUBLIC KEY, ? 395: 1, -65537: [TYPE, VERSION, ...]} >>,
 *          {? 396: {-1: [<< [TREE SIZE, INDEX, [HASH, ...]] >>]}},
 *          null / PAYLOAD,
 *          SIGNATURE ])
 *
 * A statement over a Merkle tree has 395 (the tree is RFC 9162's, with SHA-256); with 396, the way
 * from one leaf to the root, it is a COSE Receipt as RFC 9942 has it, and its payload is null.
 *
 * Reading is strict (cbor.h): exactly these entries, in this form; views point into the input.
 * Nothing here signs, checks a signature or hashes: crypto/sign.h, proof/receipt.h.
 *
 * Pure. Any thread. */
#ifndef WM_WIRE_COSE_H
#define WM_WIRE_COSE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/cbor.h"

#define COSE_KEY_BYTES 32u
#define COSE_PAYLOAD_BYTES 32u
#define COSE_SIGNATURE_BYTES 64u
#define COSE_HASH_BYTES 32u
#define COSE_PATH_MAX 24u /* hashes: trees of up to 2^24 leaves */
#define COSE_CLAIMS_BYTES_MAX 448u
#define COSE_PROTECTED_BYTES_MAX (COSE_CLAIMS_BYTES_MAX + 64u)
#define COSE_SIGNED_BYTES_MAX (COSE_PROTECTED_BYTES_MAX + 64u)
#define COSE_SIGN1_BYTES_MAX (COSE_PROTECTED_BYTES_MAX + 256u + COSE_PATH_MAX * 34u)

/* What was signed, the first item of the claims; also the first item of unsigned structures. A
 * number keeps its meaning for ever. */
enum cose_type {
    COSE_TYPE_CALL_RECORD = 1,  /* not signed itself: a leaf */
    COSE_TYPE_SECOND_ROOT = 2,  /* doc/format/record.md */
    COSE_TYPE_CALL_RECEIPT = 3, /* not signed itself: a record and its root */
    COSE_TYPE_ARTEFACT = 4,     /* doc/format/proto.md */
    /* doc/format/ledger.md: */
    COSE_TYPE_GENESIS = 16, /* not signed itself */
    COSE_TYPE_ENDORSEMENT = 17,
    COSE_TYPE_REQUEST = 18,
    COSE_TYPE_TRANSACTION = 19, /* not signed itself: a leaf */
    COSE_TYPE_PREPREPARE = 20,
    COSE_TYPE_PREPARE = 21,
    COSE_TYPE_VIEW_CHANGE = 22,
    COSE_TYPE_NEW_VIEW = 23,
    COSE_TYPE_LEDGER_RECEIPT = 24, /* not signed itself, nor are these: */
    COSE_TYPE_BLAME = 25,
    COSE_TYPE_CONFIGURATION = 26,
    COSE_TYPE_NEWEST = 27,
    COSE_TYPE_CHECKPOINT = 28,
    COSE_TYPE_PACKAGE_REQUEST = 29,
};

struct cose_inclusion { /* RFC 9162 section 2.1.3 */
    uint64_t tree_size, index;
    uint32_t path_len;
    uint8_t path[COSE_PATH_MAX][COSE_HASH_BYTES];
};

struct cose_statement {
    struct wm_view protected_header; /* the encoded map: what the signature covers */
    uint8_t key[COSE_KEY_BYTES];     /* Ed25519 public key of who signed, its own name (kid) */
    bool tree;                       /* the payload is the root of a tree */
    struct wm_view claims;           /* an encoded array */
    bool included;                   /* `inclusion` is there */
    struct cose_inclusion inclusion;
    bool attached; /* `payload` is there; never together with `included` */
    uint8_t payload[COSE_PAYLOAD_BYTES];
    uint8_t signature[COSE_SIGNATURE_BYTES];
};

/* The protected header, from key, tree and claims. */
void cose_put_protected(struct cbor_writer *writer, const uint8_t key[COSE_KEY_BYTES], bool tree,
                        struct wm_view claims);
/* The bytes that are signed: the Sig_structure of RFC 9052 section 4.4. */
void cose_put_signed(struct cbor_writer *writer, struct wm_view protected_header,
                     const uint8_t payload[COSE_PAYLOAD_BYTES]);
/* All fields but key, tree and claims, which are in protected_header already. */
void cose_put_sign1(struct cbor_writer *writer, const struct cose_statement *statement);

/* A protected header alone: sets key, tree and claims of *out, and protected_header; the rest is
 * zero. */
WM_MUST_CHECK bool cose_header(struct wm_view header, struct cose_statement *out);

/* One statement; false as cbor.h has it, and *out is then nothing to go by. Claims are checked to
 * be an encoded array, not read. */
WM_MUST_CHECK bool cose_sign1(struct cbor_reader *reader, struct cose_statement *out);

#endif
