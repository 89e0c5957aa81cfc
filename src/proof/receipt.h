/* receipt.h: is this receipt of a call genuine, and what does it say?
 *
 * A receipt (doc/format/record.md) is complete in itself: checking it takes the bytes and, to know
 * whose word it is, the public key of the node. It proves that the holder of that key stated the
 * record; whether the call really ran so is another matter (an audit runs it again).
 *
 * The bytes are hostile. Pure: no I/O, no clock, no globals, no memory of its own. Any thread. */
#ifndef WM_PROOF_RECEIPT_H
#define WM_PROOF_RECEIPT_H

#include <stdint.h>

#include "base/diag.h"
#include "crypto/sign.h"
#include "wire/record.h"

struct receipt {
    struct record record; /* views into the bytes that were checked */
    struct record_root root;
    uint64_t index;                 /* of the record among the second's */
    uint8_t key[SIGN_PUBLIC_BYTES]; /* who signed */
};

/* 0; WM_E_MALFORMED: these bytes are no receipt; WM_E_FORGED: it does not hold together (record,
 * path, root and signature do not belong to each other); WM_E_DENIED: it is whole, but signed by
 * another key than `key`. key NULL: any key, which the caller then judges. diag says which and why.
 * *out is set on 0 only. */
WM_MUST_CHECK int receipt_verify(struct wm_view bytes, const uint8_t key[SIGN_PUBLIC_BYTES],
                                 struct receipt *out, struct wm_diag *diag);

/* A signed root alone, as a node keeps and publishes it: a statement with its payload. The same
 * codes.
 */
struct signed_root {
    struct record_root root;         /* views into the bytes */
    uint8_t hash[RECORD_HASH_BYTES]; /* of the tree */
    uint8_t key[SIGN_PUBLIC_BYTES];
    uint8_t signed_sha256[RECORD_HASH_BYTES]; /* what the next root names as its previous one */
};
WM_MUST_CHECK int signed_root_verify(struct wm_view bytes, const uint8_t key[SIGN_PUBLIC_BYTES],
                                     struct signed_root *out, struct wm_diag *diag);

/* Does `next` follow `root` in the same chain, with nothing between? 0, or WM_E_FORGED with the
 * reason: a sequence number is missing, it names another previous root, time goes backwards. */
WM_MUST_CHECK int signed_root_follows(const struct signed_root *root,
                                      const struct signed_root *next, struct wm_diag *diag);

#endif
