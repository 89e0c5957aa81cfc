/* blame.h: does this file prove that replicas broke the protocol, and which?
 *
 * IA-CCF section 4 (its universal proofs of misbehaviour). A blame file has signed statements that
 * no replica makes that follows the protocol, and all that it takes to see that: the checker
 * believes the genesis, which names the service, and nothing else; the governance chain in the file
 * says whose keys the signatures are. Replicas are blamed by key, and their members answer for
 * them, since they endorsed those keys.
 *
 * Never blamed is who followed the protocol, however many others lied and whatever an auditor puts
 * together: doc/format/ledger.md, section Blame, states what a replica has to keep to (it is what
 * bft/ does), and for each kind why its statements can then not be among the parts.
 *
 * What it takes to find contradictions is not here (ledger/audit): this is the judge's part, and
 * the making of files from what was found.
 *
 * The bytes are hostile. No I/O, no clock; memory within bytes_max. One thread. */
#ifndef WM_PROOF_BLAME_H
#define WM_PROOF_BLAME_H

#include "proof/chain.h"
#include "proof/procedure.h"
#include "wire/blame.h"

/* Somebody who is to blame, in the configuration of what he signed. */
struct blamed {
    uint64_t cfg;
    uint32_t position;
    const struct ledger_replica *replica;
    const struct ledger_member *member; /* who endorsed the replica */
};

struct blame_verdict {
    struct chain chain; /* of the file; `blamed` points into it */
    enum blame_kind kind;
    uint32_t count; /* 1 or more */
    struct blamed blamed[LEDGER_REPLICAS_MAX];
    struct wm_diag reason; /* what they did, a sentence */
};

/* `procedures`: for BLAME_EXECUTION; NULL: that kind is not checked. bytes_max 0: 256 MiB.
 * 0: *verdict is set, to be freed by blame_fini. Else there is nothing to be freed, and:
 *   WM_E_MALFORMED     it is no blame file
 *   WM_E_FORGED        a part of it is not genuine
 *   WM_E_INVALID       all is genuine, and nobody is to blame by it; or it is of another service
 *   WM_E_NOT_FOUND     something is missing: links of the chain, a key's proof
 *   WM_E_UNSUPPORTED   a procedure was executed that `procedures` does not have
 *   WM_E_LIMIT, -ENOMEM */
WM_MUST_CHECK int blame_verify(struct wm_view bytes, struct wm_view genesis,
                               const struct procedure_table *procedures, uint64_t bytes_max,
                               struct blame_verdict *verdict, struct wm_diag *diag);
void blame_fini(struct blame_verdict *verdict);

/* --- Making files --- */

/* Whole files of the kinds whose parts are few: `chain` is the encoded governance chain, as far as
 * it takes. */
void blame_put_equivocation(struct cbor_writer *writer, const ledger_hash service,
                            struct wm_view chain, const struct statement_parts *a,
                            const struct statement_parts *b);
/* BLAME_FORK and BLAME_GOVERNANCE. */
void blame_put_two(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                   enum blame_kind kind, const struct certificate *a, const struct certificate *b);
/* `b` is of a later batch of the same view, in whose ledger `below` is. */
void blame_put_implicit(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                        const struct certificate *a, const struct certificate *b,
                        const struct blame_below *below);
/* The view-change's payload is the hash of its certificate. */
void blame_put_rollback(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                        const struct statement_parts *statement, const ledger_nonce nonce,
                        const struct statement_parts *viewchange);
/* A new-view that is wrong in itself; anchor NULL: of configuration 0. */
void blame_put_new_view(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                        struct wm_view newview, struct wm_view viewchanges,
                        const struct blame_place *anchor);
/* A batch whose view does not begin, or go on, as it has to: the last entries of its ledger. */
#define BLAME_TAIL_MAX 3u
void blame_put_view_tail(struct cbor_writer *writer, const ledger_hash service,
                         struct wm_view chain, const struct blame_vouched *batch,
                         const struct blame_entry *tail, uint32_t count);
/* anchor NULL: not needed. */
void blame_put_index(struct cbor_writer *writer, const ledger_hash service, struct wm_view chain,
                     struct wm_view receipt, const struct blame_place *anchor);

/* The head of BLAME_EXECUTION; `pair_count` blame_pair_put follow, then cbor_put_array of the
 * proofs, and each (state_proof_put). before NULL: the batch is the first; last NULL: not shown. */
void blame_put_execution(struct cbor_writer *writer, const ledger_hash service,
                         struct wm_view chain, const struct blame_vouched *batch,
                         const struct blame_below *before, const struct blame_last *last,
                         struct wm_view transactions, uint32_t pair_count);

/* Signatures out of a quorum (a receipt's, with G as it follows from it), and out of the evidence
 * of the batch that an entry is. False: bits of the evidence and its shares do not fit. */
void blame_signatures_of_quorum(const struct quorum *quorum, const ledger_hash root,
                                struct certificate *out);
WM_MUST_CHECK bool blame_signatures_of_evidence(const struct preprepare_entry *entry,
                                                const struct evidence *evidence,
                                                struct certificate *out);

#endif
