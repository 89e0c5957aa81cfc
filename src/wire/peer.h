/* peer.h: what replicas say to each other, as bytes.
 *
 * doc/format/ledger.md, section Messages. One message is one deterministic CBOR array that begins
 * with its kind; it travels inside a channel (crypto/channel.h) that says who sent it. Only what
 * the ledger keeps is signed; a message is a wrapping for that.
 *
 * Encodings only; views are borrowed. Input is hostile; reading is strict. Pure. Any thread. */
#ifndef WM_WIRE_PEER_H
#define WM_WIRE_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/quorum.h"
#include "wire/viewchange.h"

#define PEER_MESSAGE_BYTES_MAX (8u * 1024u * 1024u)
#define PEER_FETCH_BYTES_MAX \
    (1024u * 1024u) /* of entries in one answer, more than one batch aside */

enum peer_kind {
    PEER_REQUEST = 1,
    PEER_PREPREPARE = 2,
    PEER_PREPARE = 3,
    PEER_COMMIT = 4,
    PEER_VIEW_CHANGE = 5,
    PEER_NEW_VIEW = 6,
    PEER_FETCH_REQUESTS = 7,
    PEER_FETCH_ENTRIES = 8,
    PEER_ENTRIES = 9,
    PEER_STATUS = 10,
    PEER_ASK_NEWEST = 11,
    PEER_NEWEST = 12,
    PEER_FETCH_CHECKPOINT = 13, /* reserved, like the next: refused when read, never written */
    PEER_CHECKPOINT = 14,
};

/* A request on its way, its arguments with it: kind 1. */
struct peer_request {
    struct wm_view request, arguments;
};
/* Kind 2. */
struct peer_preprepare {
    struct statement_parts statement;
    struct wm_view evidence; /* the evidence entry; empty: none */
    uint32_t count;
    struct wm_view requests; /* count * LEDGER_HASH_BYTES */
};
/* Kind 3. */
struct peer_prepare {
    struct statement_parts statement; /* payload: G */
};
/* Kind 4. */
struct peer_commit {
    uint64_t cfg, view, seqno;
    uint32_t replica;
    ledger_nonce nonce;
};
/* Kind 6. */
struct peer_newview {
    struct newview_entry entry;
    struct wm_view viewchanges; /* the view-change entry */
};
/* Kind 7: hashes of requests that a pre-prepare names and that are not here. */
struct peer_fetch_requests {
    uint32_t count;
    struct wm_view requests; /* count * LEDGER_HASH_BYTES */
};
/* Kind 8: entries of the ledger from batch `seqno` on, as the batch `name` at its end has them (all
 * zeroes: as you have them). */
struct peer_fetch_entries {
    uint64_t from_seqno;
    ledger_hash name;
};
/* Kind 9: whole batches of one configuration and what stands between them, in order; each entry as
 * a byte string. Where no name was asked for, with the quorum that committed the last one. None:
 * they cannot be had here any more. */
struct peer_entries {
    uint64_t from_seqno;
    ledger_hash name; /* as asked */
    uint64_t count;
    struct wm_view entries; /* encoded byte strings, one after the other */
    bool has_quorum;
    struct quorum quorum;
};
/* Kind 10: said when connecting, when idle and when asked: where one stands. */
struct peer_status {
    uint64_t cfg, view;
    bool in_view; /* false: it has asked for this view, and waits for its new-view */
    uint64_t prepared_seqno, committed_seqno;
    uint64_t evidenced_seqno;  /* up to it, it has the shares of a quorum of each batch */
    uint64_t checkpoint_seqno; /* newest complete one that can be had here; 0: none */
};
/* Kind 11, and kind 12: the newest statements of the asker that the answerer holds; statement
 * parts, empty header: none. */
struct peer_ask_newest {
    ledger_nonce challenge;
};
struct peer_newest {
    ledger_nonce challenge;
    struct statement_parts batch; /* its newest pre-prepare or prepare */
    struct statement_parts view;  /* its newest view-change or new-view */
};

struct peer_message {
    enum peer_kind kind;
    union {
        struct peer_request request;
        struct peer_preprepare preprepare;
        struct peer_prepare prepare;
        struct peer_commit commit;
        struct viewchange viewchange;
        struct peer_newview newview;
        struct peer_fetch_requests fetch_requests;
        struct peer_fetch_entries fetch_entries;
        struct peer_entries entries;
        struct peer_status status;
        struct peer_ask_newest ask_newest;
        struct peer_newest newest;
    };
};
void peer_message_put(struct cbor_writer *writer, const struct peer_message *message);
WM_MUST_CHECK int peer_message_get(struct wm_view bytes, struct peer_message *out,
                                   struct wm_diag *diag);

#endif
