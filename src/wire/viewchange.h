/* viewchange.h: how replicas leave a view and enter the next, as bytes.
 *
 * doc/format/ledger.md, section View changes (IA-CCF, section 5; chain continuation as
 * doc/adr/0016-ledger-protocol.md has it). Encodings only; views are borrowed. Input is hostile;
 * reading is strict. Pure. Any thread. */
#ifndef WM_WIRE_VIEWCHANGE_H
#define WM_WIRE_VIEWCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/batch.h"

struct viewchange_claims {
    ledger_hash service;
    uint64_t cfg, view;           /* the view that is asked for */
    uint32_t replica;             /* position */
    bool has_top;                 /* false: nothing was ever prepared here */
    uint64_t top_view, top_seqno; /* of an earlier view than `view` */
    ledger_hash top;              /* name of its pre-prepare */
};
#define VIEWCHANGE_CLAIMS_BYTES_MAX 160u
void viewchange_claims_put(struct cbor_writer *writer, const struct viewchange_claims *claims);
WM_MUST_CHECK int viewchange_claims_get(struct wm_view claims, struct viewchange_claims *out,
                                        struct wm_diag *diag);

/* That a batch was prepared: the pre-prepare and Q-1 prepares of backups. The payload of a
 * view-change is the SHA-256 of its encoding; `null` is the encoding of none. */
struct certificate_prepare {
    uint32_t replica;
    ledger_hash commitment;
    ledger_signature signature;
};
struct certificate {
    bool is_there;
    struct statement_parts preprepare;
    uint32_t count;
    struct certificate_prepare prepares[LEDGER_REPLICAS_MAX]; /* ascending, distinct replicas */
};
#define CERTIFICATE_BYTES_MAX (COSE_PROTECTED_BYTES_MAX + 256u + LEDGER_REPLICAS_MAX * 112u)
void certificate_put(struct cbor_writer *writer, const struct certificate *certificate);
WM_MUST_CHECK bool certificate_get(struct cbor_reader *reader, struct certificate *out);

/* A view-change as it lies in an entry: [header, signature, certificate]. */
struct viewchange {
    struct wm_view header;
    ledger_signature signature;
    struct wm_view certificate; /* encoded; viewchange_get has seen that it is one */
};
#define VIEWCHANGE_BYTES_MAX (COSE_PROTECTED_BYTES_MAX + 128u + CERTIFICATE_BYTES_MAX)
void viewchange_put(struct cbor_writer *writer, const struct viewchange *viewchange);
WM_MUST_CHECK bool viewchange_get(struct cbor_reader *reader, struct viewchange *out);

#define VIEWCHANGES_BYTES_MAX (64u + LEDGER_REPLICAS_MAX * VIEWCHANGE_BYTES_MAX)
/* The entry that holds those that a new primary used: the head, then `count` viewchanges, in
 * ascending order of replicas. */
void viewchanges_put_head(struct cbor_writer *writer, uint64_t view, uint32_t count);
WM_MUST_CHECK bool viewchanges_get_head(struct cbor_reader *reader, uint64_t *view,
                                        uint32_t *count);

struct newview_claims {
    ledger_hash service;
    uint64_t cfg, view;
    uint64_t ledger_size; /* of M with the view-change entry */
    ledger_hash ledger_root;
    uint64_t base_seqno; /* the batch that is continued; the first one of the view is the next */
    uint64_t used;       /* bitmap of the view-changes */
};
#define NEWVIEW_CLAIMS_BYTES_MAX 160u
void newview_claims_put(struct cbor_writer *writer, const struct newview_claims *claims);
WM_MUST_CHECK int newview_claims_get(struct wm_view claims, struct newview_claims *out,
                                     struct wm_diag *diag);

/* The entry; payload: SHA-256 of the view-change entry, not stored. */
struct newview_entry {
    struct wm_view header;
    ledger_signature signature;
};
#define NEWVIEW_ENTRY_BYTES_MAX (COSE_PROTECTED_BYTES_MAX + 96u)
void newview_entry_put(struct cbor_writer *writer, const struct newview_entry *entry);
WM_MUST_CHECK bool newview_entry_get(struct wm_view bytes, struct newview_entry *out,
                                     struct wm_diag *diag);

#endif
