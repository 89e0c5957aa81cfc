/* quorum.h: what leaves a ledger: quorums, receipts, the governance chain, state proofs, blame, as
 * bytes.
 *
 * doc/format/ledger.md, sections Receipts, Governance chain, State, Blame (IA-CCF, sections 4.2, 6,
 * 7). Encodings only: proof/ says whether one is true. Views are borrowed from the input; lists
 * stay encoded and are walked item by item, so nothing here needs memory of its own.
 *
 * Input is hostile; reading is strict. Pure. Any thread. */
#ifndef WM_WIRE_QUORUM_H
#define WM_WIRE_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/viewchange.h"

#define LEDGER_PATH_MAX 48u /* hashes in a path of the ledger's tree */
#define BATCH_PATH_MAX 12u  /* in one of a batch's: LEDGER_BATCH_MAX leaves */

/* Q replicas committed to one pre-prepare. */
struct quorum_share {
    uint32_t replica; /* position; ascending */
    ledger_signature signature;
    ledger_nonce nonce;
};
struct quorum {
    struct wm_view header; /* of the pre-prepare */
    bool has_root;         /* false: G follows from a transaction */
    ledger_hash root;
    ledger_signature signature;
    bool has_primary_nonce;
    ledger_nonce primary_nonce;
    uint32_t count;
    struct quorum_share shares[LEDGER_REPLICAS_MAX]; /* backups */
};
#define QUORUM_BYTES_MAX (COSE_PROTECTED_BYTES_MAX + 192u + LEDGER_REPLICAS_MAX * 112u)
void quorum_put(struct cbor_writer *writer, const struct quorum *quorum);
WM_MUST_CHECK bool quorum_get(struct cbor_reader *reader, struct quorum *out);

struct ledger_receipt {
    struct wm_view request;
    struct request_output output;
    uint64_t index;
    uint32_t position, path_len; /* in the batch's tree */
    ledger_hash path[BATCH_PATH_MAX];
    struct quorum quorum;
    bool chained; /* then `quorum` is of a later batch, and this is the transaction's own: */
    struct wm_view header;
    uint64_t leaf; /* of its pre-prepare entry in M */
    uint32_t chain_len;
    ledger_hash chain[LEDGER_PATH_MAX];
};
#define LEDGER_RECEIPT_BYTES_MAX 16384u
void ledger_receipt_put(struct cbor_writer *writer, const struct ledger_receipt *receipt);
/* The whole input is the receipt. */
WM_MUST_CHECK int ledger_receipt_get(struct wm_view bytes, struct ledger_receipt *out,
                                     struct wm_diag *diag);

/* --- The governance chain --- */

enum chain_link_kind {
    CHAIN_TRANSACTION = 0, /* receipt, arguments, result of a governance transaction */
    CHAIN_ENDED = 1,       /* quorum of an end-of-configuration batch, the P-th or a later one */
    CHAIN_ENDED_BY = 2,    /* its certificate, where a view change left it no quorum */
};
struct chain_link {
    enum chain_link_kind kind;
    struct wm_view receipt, arguments, result;
    struct quorum quorum;
    struct certificate certificate;
};
void chain_put_head(struct cbor_writer *writer, uint64_t links);
void chain_link_put(struct cbor_writer *writer, const struct chain_link *link);
WM_MUST_CHECK bool chain_get_head(struct cbor_reader *reader, uint64_t *links);
WM_MUST_CHECK bool chain_link_get(struct cbor_reader *reader, struct chain_link *out);

/* --- Proofs of the state (crypto/trie.h folds them) --- */

#define STATE_KEY_BYTES_MAX 256u
#define STATE_VALUE_BYTES_MAX 65536u
#define STATE_PATH_MAX 256u
struct state_step {
    uint8_t bit;
    ledger_hash sibling;
};
struct state_proof {
    bool empty; /* the state has no pairs at all */
    ledger_hash key_hash, value_hash;
    uint32_t path_len;
    struct state_step path[STATE_PATH_MAX]; /* from the pair upwards: bits descend */
};
void state_proof_put(struct cbor_writer *writer, const struct state_proof *proof);
WM_MUST_CHECK bool state_proof_get(struct cbor_reader *reader, struct state_proof *out);

/* --- Blame --- */

enum blame_kind {
    BLAME_EQUIVOCATION = 1,
    BLAME_FORK,
    BLAME_IMPLICIT,
    BLAME_ROLLBACK,
    BLAME_NEW_VIEW,
    BLAME_EXECUTION,
    BLAME_INDEX,
    BLAME_GOVERNANCE,
};
/* "equivocation"; NULL: no such kind. */
const char *blame_kind_text(enum blame_kind kind);

struct blame {
    ledger_hash service;
    struct wm_view chain; /* encoded */
    enum blame_kind kind;
    uint64_t parts;         /* how many items `encoded` has */
    struct wm_view encoded; /* them, one after the other */
};
void blame_put_head(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                    enum blame_kind kind, uint64_t parts); /* the parts follow */
WM_MUST_CHECK int blame_get(struct wm_view bytes, struct blame *out, struct wm_diag *diag);

#endif
