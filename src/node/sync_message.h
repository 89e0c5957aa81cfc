/* sync_message.h: what nodes say to each other about their catalogues (RPC_CATALOGUE) and files
 * (RPC_FILE), as bytes. doc/format/replication.md has the layout.
 *
 * Sent over an authenticated connection, but read as if a stranger had sent it: every length is
 * proved, texts hold no NUL, what is decoded is views into the input. Whether a document is one is
 * for catalogue_sync.h. Integers little-endian. Pure. */
#ifndef WM_NODE_SYNC_MESSAGE_H
#define WM_NODE_SYNC_MESSAGE_H

#include "base/view.h"
#include "crypto/hash.h"
#include "node/catalogue_sync.h"

#define SYNC_VERSION 1u
#define SYNC_BATCH_BYTES (1u << 20) /* of records together; a single one may be larger */
#define SYNC_BATCH_RECORDS 256u
#define SYNC_KEYS_MAX 1024u /* public keys of a cluster */
#define SYNC_FILE_BYTES (4u << 20)

enum sync_op {
    SYNC_HELLO = 1,  /* version -> public keys whose images are trusted, the node's own first */
    SYNC_DIGEST = 2, /* -> a digest of each kind's revisions */
    SYNC_LIST = 3,   /* kind, key -> revisions after that key, as records without documents */
    SYNC_GET = 4,    /* keys -> records */
    SYNC_PUT = 5,    /* records -> nothing */
};

struct sync_record {
    uint8_t kind; /* < ENTRY_KINDS */
    struct revision revision;
    struct wm_view key, text; /* text: empty in lists, and of removed ones */
};

size_t sync_record_bytes(const struct sync_record *record);
void sync_record_put(const struct sync_record *record, uint8_t *out);
/* The next one; false: there is none, or it is none: see wm_cursor_done. */
WM_MUST_CHECK bool sync_record_next(struct wm_cursor *cursor, struct sync_record *out);

#define SYNC_KEY_BYTES_MAX (2 + ENTRY_KEY_BYTES_MAX)
/* A kind and a key; the key may be empty (the start of a list). */
size_t sync_key_put(enum entry_kind kind, struct wm_view key, uint8_t out[SYNC_KEY_BYTES_MAX]);
WM_MUST_CHECK bool sync_key_next(struct wm_cursor *cursor, enum entry_kind *kind,
                                 struct wm_view *key);

/* Of all revisions of a kind: their number, and the exclusive or of their hashes, so that it can be
 * computed in any order. */
struct sync_digest {
    uint32_t count;
    uint8_t hash[WM_SHA256_BYTES];
};
#define SYNC_DIGESTS_BYTES (ENTRY_KINDS * (4u + WM_SHA256_BYTES))
void sync_digest_add(struct sync_digest *digest, struct wm_view key,
                     const struct revision *revision);
void sync_digests_put(const struct sync_digest digests[ENTRY_KINDS],
                      uint8_t out[SYNC_DIGESTS_BYTES]);
WM_MUST_CHECK bool sync_digests_get(struct wm_view bytes, struct sync_digest out[ENTRY_KINDS]);

enum sync_file { SYNC_MODULE = 1, SYNC_IMAGE = 2, SYNC_MANIFEST = 3 };
struct sync_file_request {
    enum sync_file kind;
    uint8_t sha256[WM_SHA256_BYTES];          /* of the file; of the image, for its manifest */
    uint8_t function_sha256[WM_SHA256_BYTES]; /* which manifest (images.h); else zero */
    uint64_t offset;
};
#define SYNC_FILE_REQUEST_BYTES (1 + 2 * WM_SHA256_BYTES + 8)
void sync_file_request_put(const struct sync_file_request *request,
                           uint8_t out[SYNC_FILE_REQUEST_BYTES]);
WM_MUST_CHECK bool sync_file_request_get(struct wm_view bytes, struct sync_file_request *out);
/* A reply: u8 found, u64 bytes of the whole file, the part. */
#define SYNC_FILE_REPLY_BYTES 9
struct sync_file_reply {
    bool found;
    uint64_t bytes;
    struct wm_view part;
};
void sync_file_reply_put(bool found, uint64_t bytes, uint8_t out[SYNC_FILE_REPLY_BYTES]);
/* Proves that the part lies inside the file, and is at most SYNC_FILE_BYTES; that it is not empty
 * before the file's end. */
WM_MUST_CHECK bool sync_file_reply_get(struct wm_view bytes, uint64_t offset,
                                       struct sync_file_reply *out);

#endif
