/* client.h: what clients of a ledger and its replicas say to each other, as bytes.
 *
 * doc/format/ledger.md, section Clients (IA-CCF sections 3 and 4.2: reply from every replica, one
 * replyx with the batch's header and path from a designated one). One message is one deterministic
 * CBOR array that begins with its kind, in a frame of u32 little-endian length. A client need not
 * believe the connection: what it keeps is signed, or folds to what is signed.
 *
 * Encodings only; views are borrowed. Input is hostile on both sides; reading is strict. Pure. Any
 * thread. */
#ifndef WM_WIRE_CLIENT_H
#define WM_WIRE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/quorum.h"

#define CLIENT_MESSAGE_BYTES_MAX (1024u * 1024u)
#define CLIENT_TEXT_BYTES_MAX 240u

enum client_kind {
    CLIENT_HELLO = 1,     /* replica: who it is, and where its ledger stands */
    CLIENT_SUBMIT = 2,    /* client: a request and its arguments */
    CLIENT_REFUSED = 3,   /* replica: not taken, and why; nothing was ordered because of it */
    CLIENT_REPLY = 4,     /* replica: its share in a batch that holds requests of this client */
    CLIENT_REPLYX = 5,    /* replica: the rest of a receipt: pre-prepare, place, output, result */
    CLIENT_FIND = 6,      /* client: the receipt of a request, by its hash or index */
    CLIENT_RECEIPT = 7,   /* replica: it, whole; or that there is none */
    CLIENT_CHAIN = 8,     /* client: governance links after so many that it has */
    CLIENT_LINKS = 9,     /* replica: them */
    CLIENT_READ = 10,     /* client: a state value, with proof */
    CLIENT_VALUE = 11,    /* replica: value, proof, and the quorum whose state root it is under */
    CLIENT_FOLLOW = 12,   /* client: committed transactions from an index on, as they come */
    CLIENT_FOLLOWED = 13, /* replica: one batch of them: entries as in the ledger */
    CLIENT_STATUS = 14,   /* client: how are you */
    CLIENT_STATE = 15,    /* replica: struct client_state */
};

/* Kind 1. */
struct client_hello {
    ledger_hash service;
    uint32_t replica; /* id */
    uint64_t cfg, view, committed_seqno, next_index, governance;
    uint32_t primary; /* id */
};
/* Kind 2. The replica answers, some time, with REPLY, or at once with REFUSED. */
struct client_submit {
    struct wm_view request, arguments;
    bool wants_replyx; /* ask this replica, whichever is designated */
};
/* Kind 3. Codes: wm_error numbers without their sign: LIMIT (try again after retry_ms), INVALID,
 * FORGED, DENIED, STALE (executed before: FIND has the receipt). */
struct client_refused {
    ledger_hash request;
    uint32_t code, retry_ms;
    struct wm_view text; /* 0 to CLIENT_TEXT_BYTES_MAX */
};
/* Kind 4. One for all requests of this client in the batch. */
struct client_reply {
    uint64_t cfg, view, seqno;
    uint32_t position;
    bool primary;
    ledger_hash preprepare; /* its name */
    ledger_signature signature;
    ledger_nonce nonce;
};
/* Kind 5. */
struct client_replyx {
    ledger_hash request;
    struct statement_parts preprepare; /* payload: G */
    uint64_t index;
    uint32_t position, path_len;
    ledger_hash path[BATCH_PATH_MAX];
    struct request_output output;
    bool has_result;
    struct wm_view result;
};
/* Kind 6. */
struct client_find {
    bool by_index;
    uint64_t index;
    ledger_hash request;
};
/* Kind 7. `receipt` empty: there is none (text says why). */
struct client_receipt {
    ledger_hash request;
    struct wm_view receipt;
    bool has_arguments, has_result; /* false: erased */
    struct wm_view arguments, result, text;
};
/* Kinds 8 and 9. `links`: encoded items, one after the other. */
struct client_chain {
    uint64_t have;
};
struct client_links {
    uint64_t have, count, total;
    struct wm_view links;
};
/* Kinds 10 and 11. */
struct client_read {
    uint64_t number; /* the client's own, comes back */
    struct wm_view key;
};
struct client_value {
    uint64_t number;
    bool present;
    struct wm_view value;
    struct wm_view proof;  /* encoded state_proof; seen to be one, as is */
    struct wm_view quorum; /* encoded */
};
/* Kinds 12 and 13. */
struct client_follow {
    uint64_t from_index;
};
struct client_followed {
    uint64_t seqno;
    struct wm_view preprepare, transactions; /* entries */
};
/* Kind 15. */
struct client_peer_state {
    uint32_t replica;
    bool connected, suspected;
    uint64_t view, committed_seqno;
};
struct client_state {
    uint32_t mode; /* enum bft_mode's number, and its text */
    struct wm_view mode_text;
    uint64_t cfg, view, head_seqno, committed_seqno, next_index, governance;
    uint32_t primary, pool_requests;
    uint64_t checkpoint_seqno, ledger_bytes, state_pairs, state_bytes;
    uint32_t peer_count;
    struct client_peer_state peers[LEDGER_REPLICAS_MAX];
};

struct client_message {
    enum client_kind kind;
    union {
        struct client_hello hello;
        struct client_submit submit;
        struct client_refused refused;
        struct client_reply reply;
        struct client_replyx replyx;
        struct client_find find;
        struct client_receipt receipt;
        struct client_chain chain;
        struct client_links links;
        struct client_read read;
        struct client_value value;
        struct client_follow follow;
        struct client_followed followed;
        struct client_state state;
    };
};
void client_message_put(struct cbor_writer *writer, const struct client_message *message);
/* The whole input is the message. */
WM_MUST_CHECK int client_message_get(struct wm_view bytes, struct client_message *out,
                                     struct wm_diag *diag);

#endif
