/* blame_internal.h: what the files of blame share.
 *
 *     blame.c             the file, genuine parts, the kinds that need no more
 *     blame_view.c        how views begin
 *     blame_execution.c   batches executed again
 *     blame_make.c        making files */
#ifndef WM_PROOF_BLAME_INTERNAL_H
#define WM_PROOF_BLAME_INTERNAL_H

#include "proof/blame.h"

/* A blame file under examination. */
struct blame_case {
    const struct chain *chain;
    const struct procedure_table *procedures;
    uint64_t bytes_max;
    struct cbor_reader parts;
    uint64_t part_count;
    struct blame_verdict *verdict;
    struct wm_diag *diag;
};

/* A batch and the positions in its configuration whose signatures on it are right. */
struct blame_batch {
    const struct configuration *configuration;
    struct preprepare_claims claims;
    ledger_hash name, root;
    uint64_t who;
};

/* A batch and those who answer for it. */
struct blame_answer {
    struct blame_batch batch;   /* `who`: meaningless where `signers` is of a later one */
    struct blame_batch signers; /* the same, or a later one */
    bool anchored;              /* the configuration of both is surely the chain's */
};

/* The next parts, read and found genuine. 0; WM_E_MALFORMED, WM_E_FORGED, WM_E_INVALID,
 * WM_E_NOT_FOUND. */
WM_MUST_CHECK int blame_batch(struct blame_case *at, struct blame_batch *out);
WM_MUST_CHECK int blame_answer(struct blame_case *at, struct blame_answer *out);
/* Certificates as parts; what was read from somewhere. */
WM_MUST_CHECK int blame_check_signatures(struct blame_case *at,
                                         const struct certificate *signatures,
                                         struct blame_batch *out);

/* Is this an entry of the ledger that has this root at this size? */
WM_MUST_CHECK bool blame_lies_at(struct wm_view entry, const struct blame_place *place,
                                 uint64_t size, const ledger_hash root);
/* Does the ledger have the final vote that made configuration cfg of the chain? */
WM_MUST_CHECK bool blame_is_anchored(const struct blame_case *at, uint64_t cfg,
                                     const struct blame_place *anchor, uint64_t size,
                                     const ledger_hash root);
/* The pre-prepare that an entry is, without its signature. */
WM_MUST_CHECK int blame_preprepare_of(struct blame_case *at, struct wm_view header,
                                      const ledger_hash root, struct preprepare_claims *claims,
                                      ledger_hash name);
void blame_entry_bytes(struct wm_view header, const ledger_hash root,
                       uint8_t bytes[PREPREPARE_ENTRY_BYTES_MAX], struct wm_view *out);

/* Everything was read, and nothing more is there: after the last part. */
WM_MUST_CHECK int blame_parts_end(struct blame_case *at);

/* Puts those of `who` on the list, each key once. */
void blame_add(struct blame_case *at, const struct configuration *configuration, uint64_t who);
/* Nobody is to blame: WM_E_INVALID with the sentence. */
int blame_nobody(struct blame_case *at, const char *format, ...) WM_PRINTF(2, 3);
/* What they did. */
void blame_because(struct blame_case *at, const char *format, ...) WM_PRINTF(2, 3);

/* The kinds that have files of their own. */
WM_MUST_CHECK int blame_new_view(struct blame_case *at);
WM_MUST_CHECK int blame_execution(struct blame_case *at);

#endif
