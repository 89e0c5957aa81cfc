/* tier_msg.h: the bodies of RPC_TIER's requests and replies, as bytes (doc/format/state.md).
 *
 * Both come from the other side, which may be a worker that a guest has taken over, or another
 * node: decoding checks every length against what is there, and copies nothing: views and ranges
 * point into the message. Pure; any thread. */
#ifndef WM_FAASLET_TIER_MSG_H
#define WM_FAASLET_TIER_MSG_H

#include "faaslet/tier.h"

#define TIER_REQUEST_BYTES 64u /* before tenant, key, text, ranges and bytes */
#define TIER_RANGE_BYTES 32u
#define TIER_REPLY_BYTES 24u /* before the sentence, entries or bytes */
#define TIER_ENTRY_BYTES 12u /* before an entry's name */

enum tier_op {
    TIER_OP_SIZE = 1,
    TIER_OP_CREATE,   /* a: bytes */
    TIER_OP_READ,     /* ranges */
    TIER_OP_WRITE,    /* a: bytes, b: token; ranges */
    TIER_OP_REMOVE,   /* */
    TIER_OP_LIST,     /* key: prefix; text: after */
    TIER_OP_APPEND,   /* text: element */
    TIER_OP_APPENDED, /* a: first, b: count */
    TIER_OP_COUNT,
    TIER_OP_CLEAR,
    TIER_OP_ADD,     /* a: delta */
    TIER_OP_LOCK,    /* owner, mode, ttl_ms, wait_ms */
    TIER_OP_RENEW,   /* owner, mode, a: token, ttl_ms */
    TIER_OP_UNLOCK,  /* owner, mode, a: token */
    TIER_OP_SET_ADD, /* text: member; ttl_ms */
    TIER_OP_SET_REMOVE,
    TIER_OP_SET_MEMBERS,
    TIER_OP_SHARE,   /* a: region, b: bytes; a memfd comes with it */
    TIER_OP_UNSHARE, /* a: region */
    TIER_OPS
};

/* A range of a read or write: its bytes are in the message (region 0), or in a shared region. */
struct tier_msg_range {
    uint64_t offset, len;
    uint32_t region;
    uint64_t region_offset;
};

struct tier_request {
    enum tier_op op;
    enum tier_lock_mode mode;
    uint32_t ttl_ms, wait_ms;
    uint64_t a, b;
    uint8_t owner[16];
    struct wm_view tenant, key, text;
    uint32_t range_count;
    struct wm_view ranges; /* range_count times TIER_RANGE_BYTES */
    struct wm_view bytes;  /* of a write's ranges without a region, one after the other */
};

/* The fixed part; tenant, key, text, ranges and bytes follow it. */
void tier_request_encode(const struct tier_request *request, uint8_t out[TIER_REQUEST_BYTES]);
void tier_range_encode(const struct tier_msg_range *range, uint8_t out[TIER_RANGE_BYTES]);
/* False: out of form. Lengths of names are those of tier.h at most; ranges are not checked against
 * the value's size here. */
WM_MUST_CHECK bool tier_request_decode(struct wm_view body, struct tier_request *out);
struct tier_msg_range tier_range_decode(const struct tier_request *request, uint32_t index);

struct tier_reply {
    int32_t code;         /* 0, or why not */
    bool more;            /* of entries: there are more after the last one */
    uint64_t a;           /* size, index, count, number or token */
    struct wm_view text;  /* the sentence */
    struct wm_view bytes; /* of a read's ranges without a region; or entries */
};

void tier_reply_encode(const struct tier_reply *reply, uint8_t out[TIER_REPLY_BYTES]);
WM_MUST_CHECK bool tier_reply_decode(struct wm_view body, struct tier_reply *out);
/* The next entry; false: there is none, or it is out of form (then *bad). */
void tier_entry_encode(uint64_t number, size_t name_bytes, uint8_t out[TIER_ENTRY_BYTES]);
WM_MUST_CHECK bool tier_entry_next(struct wm_cursor *cursor, struct wm_view *name, uint64_t *number,
                                   bool *bad);

#endif
