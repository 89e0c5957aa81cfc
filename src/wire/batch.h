/* batch.h: what replicas sign about a batch, and how it stands in the ledger, as bytes.
 *
 * doc/format/ledger.md is the contract (IA-CCF, section 4: pre-prepare, prepare, commit by nonce,
 * evidence). A pre-prepare's payload is the root G of the batch's transactions, everything else is
 * in its claims; its name, the SHA-256 of what its signature covers, is what prepares refer to.
 *
 * Encodings only; views are borrowed from the caller or the input. Input is hostile; reading is
 * strict, and what was read keeps all limits below (whether it is true is for bft/ and proof/).
 * Pure. Any thread. */
#ifndef WM_WIRE_BATCH_H
#define WM_WIRE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "wire/cose.h"
#include "wire/request.h"

#define LEDGER_REPLICAS_MAX 64u
#define LEDGER_MEMBERS_MAX 64u
#define LEDGER_PIPELINE_MAX 16u
#define LEDGER_BATCH_MAX 4096u
#define LEDGER_NONCE_BYTES 32u
#define LEDGER_SIGNATURE_BYTES COSE_SIGNATURE_BYTES
#define LEDGER_KEY_BYTES COSE_KEY_BYTES
#define LEDGER_SEQNO_MAX (UINT64_C(1) << 48) /* of seqnos, views, indices: sums cannot overflow */

typedef uint8_t ledger_nonce[LEDGER_NONCE_BYTES];
typedef uint8_t ledger_signature[LEDGER_SIGNATURE_BYTES];
typedef uint8_t ledger_key[LEDGER_KEY_BYTES];

enum batch_kind { BATCH_NORMAL = 0, BATCH_END = 1, BATCH_START = 2 };

struct preprepare_claims {
    ledger_hash service;
    uint64_t cfg, view, seqno;
    enum batch_kind kind;
    uint32_t phase; /* 0 when normal; else 1 to 2P, 1 to P */
    uint64_t first_index;
    uint32_t count; /* of transactions; 0 unless normal */
    uint64_t ledger_size;
    ledger_hash ledger_root;   /* of M before this entry */
    ledger_hash state_root;    /* after this batch */
    ledger_hash commitment;    /* H(nonce) of the primary */
    uint64_t evidence;         /* bitmap; 0: no evidence entry before this one, as in batch 1 */
    uint64_t governance;       /* index of the newest governance transaction before this batch */
    uint64_t checkpoint_seqno; /* before this batch; 0: none, and its root is zeroes */
    ledger_hash checkpoint_root;
    bool has_committed_root; /* exactly where kind is BATCH_END */
    ledger_hash committed_root;
};
#define PREPREPARE_CLAIMS_BYTES_MAX 384u
void preprepare_claims_put(struct cbor_writer *writer, const struct preprepare_claims *claims);
WM_MUST_CHECK int preprepare_claims_get(struct wm_view claims, struct preprepare_claims *out,
                                        struct wm_diag *diag);

struct prepare_claims {
    ledger_hash service;
    uint64_t cfg, view, seqno;
    uint32_t replica;       /* position */
    ledger_hash preprepare; /* its name */
    ledger_hash commitment;
};
#define PREPARE_CLAIMS_BYTES_MAX 192u
void prepare_claims_put(struct cbor_writer *writer, const struct prepare_claims *claims);
WM_MUST_CHECK int prepare_claims_get(struct wm_view claims, struct prepare_claims *out,
                                     struct wm_diag *diag);

/* A statement in pieces: header (the encoded protected header), payload, signature. How statements
 * lie in entries, certificates and receipts, where their payload is known or follows. */
struct statement_parts {
    struct wm_view header;
    ledger_hash payload;
    ledger_signature signature;
};

/* --- Entries: leaves of the ledger's tree --- */

enum entry_kind {
    ENTRY_EVIDENCE = 1,
    ENTRY_PREPREPARE = 2,
    ENTRY_VIEW_CHANGES = 3,
    ENTRY_NEW_VIEW = 4,
    ENTRY_TRANSACTIONS = 5, /* not a leaf */
};
/* The kind of an encoded entry; 0: not one. */
uint32_t entry_kind_of(struct wm_view entry);

/* Who committed to batch `seqno`. One share a bit of the bitmap, in its order. */
struct evidence_share {
    bool primary; /* then only the nonce: its signature is the pre-prepare's */
    ledger_hash commitment;
    ledger_signature signature;
    ledger_nonce nonce;
};
struct evidence {
    uint64_t seqno;
    uint64_t bitmap; /* not 0 */
    ledger_signature preprepare_signature;
    uint32_t count; /* bits of the bitmap */
    struct evidence_share shares[LEDGER_REPLICAS_MAX];
};
#define EVIDENCE_BYTES_MAX (128u + LEDGER_REPLICAS_MAX * 140u)
void evidence_put(struct cbor_writer *writer, const struct evidence *evidence);
WM_MUST_CHECK bool evidence_get(struct wm_view entry, struct evidence *out, struct wm_diag *diag);

struct preprepare_entry {
    struct wm_view header;
    ledger_hash root; /* G */
};
#define PREPREPARE_ENTRY_BYTES_MAX (COSE_PROTECTED_BYTES_MAX + 64u)
void preprepare_entry_put(struct cbor_writer *writer, const struct preprepare_entry *entry);
WM_MUST_CHECK bool preprepare_entry_get(struct wm_view bytes, struct preprepare_entry *out,
                                        struct wm_diag *diag);

/* Transactions of a batch: the head, then `count` of transaction_item_put. Read likewise. */
struct transaction_item {
    struct wm_view request;
    bool has_arguments; /* false: erased */
    struct wm_view arguments;
    struct request_output output;
    bool has_result;
    struct wm_view result;
};
void transactions_put_head(struct cbor_writer *writer, uint64_t seqno, uint32_t count);
void transaction_item_put(struct cbor_writer *writer, const struct transaction_item *item);
WM_MUST_CHECK bool transactions_get_head(struct cbor_reader *reader, uint64_t *seqno,
                                         uint32_t *count);
WM_MUST_CHECK bool transaction_item_get(struct cbor_reader *reader, struct transaction_item *out);

#endif
