/* chain.h: who could sign for a ledger, at any time of its life: the governance chain, checked
 * forwards from the genesis.
 *
 * IA-CCF section 6. The sub-ledger of governance transactions is far shorter than the ledger. Here
 * each of its links is checked under the configuration that the links before it gave: a
 * transaction's receipt, its execution (again, on the pairs that governance has:
 * proof/governance.h), and that it names the link before, so that none can be left out; and for
 * each change of configuration that the old replicas signed its end. So whoever follows
 * the chain believes the members' votes, each with its signature, and not only the replicas.
 *
 *     struct chain chain;
 *     chain_begin(&chain, genesis, 0, &diag)
 *     chain_add(&chain, link, &diag) ...            one after the other, as they come
 *     chain_receipt(&chain, bytes, &facts, &diag)   a receipt of any transaction
 *
 * What ends a configuration is a quorum for a batch of its end, the P-th or a later one: it commits
 * the final vote. Where a view change left such a batch without a quorum of its own, its
 * certificate does, but only of a batch that holds evidence: for a certificate alone commits
 * nothing, and could be of a ledger that was left again; its evidence is of a batch at or after the
 * final vote, and was checked by whoever signed.
 *
 * Everything is hostile. A link that is refused changes nothing; after WM_E_LIMIT or -ENOMEM the
 * chain is of no use any more. Memory: an arena of the chain's own, bounded by bytes_max; what it
 * keeps are configurations, pairs of governance, and indices. Pure. One thread at a time. */
#ifndef WM_PROOF_CHAIN_H
#define WM_PROOF_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/vec.h"
#include "proof/agreement.h"
#include "proof/ledger_receipt.h"

struct chain_pair {
    struct wm_view key, value;
};

/* A configuration that is or was in force. */
struct chain_configuration {
    const struct configuration *configuration;
    /* The leaf of the ledger by which its final vote is known: the entry of that batch's
     * pre-prepare. Who has it in his ledger has this configuration under this number. Not of
     * configuration 0. */
    ledger_hash vote;
};

/* A governance transaction. */
struct chain_vote {
    uint64_t index, cfg; /* the configuration that it was executed under */
    bool final;          /* it made the next one */
};

struct chain {
    struct wm_arena arena;
    ledger_hash service;
    struct wm_view genesis_bytes;
    const struct genesis *genesis;
    WM_VEC(struct chain_configuration) configurations; /* by number, from 0 */
    WM_VEC(struct chain_vote) votes;                   /* indices ascend */
    WM_VEC(struct chain_pair) pairs;                   /* the state, as far as governance reads */
    uint64_t links;
    /* A final vote whose configuration has not ended yet; NULL: none. */
    const struct configuration *pending;
    uint64_t pending_seqno;
    ledger_hash pending_vote;
};

/* bytes_max 0: 256 MiB. WM_E_MALFORMED, WM_E_FORGED (an endorsement), -ENOMEM; then there is
 * nothing to be freed. */
WM_MUST_CHECK int chain_begin(struct chain *chain, struct wm_view genesis, uint64_t bytes_max,
                              struct wm_diag *diag);
void chain_fini(struct chain *chain);

/* One encoded link. WM_E_MALFORMED; WM_E_FORGED: it does not hold; WM_E_INVALID: it does not follow
 * here; WM_E_LIMIT, -ENOMEM. */
WM_MUST_CHECK int chain_add(struct chain *chain, struct wm_view link, struct wm_diag *diag);
/* An encoded array of links: all of those after the ones that are here. */
WM_MUST_CHECK int chain_add_all(struct chain *chain, struct wm_view links, struct wm_diag *diag);

struct agreement_configurations chain_configurations(const struct chain *chain);
/* The newest configuration that is in force as far as the chain goes. */
const struct configuration *chain_configuration(const struct chain *chain);
/* Index of the newest governance transaction; 0: none. */
uint64_t chain_newest(const struct chain *chain);

/* May a batch with these claims be of its configuration, by the governance transaction that it
 * names? 0; WM_E_NOT_FOUND: it is newer than the chain's end: fetch the rest; WM_E_FORGED: there is
 * none of that index, or another configuration was in force after it. */
WM_MUST_CHECK int chain_covers(const struct chain *chain, const struct preprepare_claims *claims,
                               struct wm_diag *diag);
/* A receipt as ledger_receipt_verify checks it, with the configurations of the chain, which must
 * cover it. */
WM_MUST_CHECK int chain_receipt(const struct chain *chain, struct wm_view bytes,
                                struct ledger_receipt_facts *out, struct wm_diag *diag);

#endif
