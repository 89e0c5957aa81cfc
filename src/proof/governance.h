/* governance.h: how members change a ledger: who they are, who replicates it, what it runs.
 *
 * IA-CCF section 6: members propose and vote in ordinary transactions. The rules are declarative:
 * each class of actions has a percentage of all weight that the votes for a proposal must exceed.
 * Here governance is a set of built-in procedures over procedure.h, so the same code runs in
 * replicas, on the whole state, and in whoever checks a governance chain, on the few pairs that
 * governance has.
 *
 *     governance.propose  [* action]          -> [proposal: uint, passed: bool, cfg: uint / null]
 *     governance.vote     [proposal: uint]    -> the same
 *     governance.withdraw [proposal: uint]    -> the same
 *     governance.upload   [module: hash, length: uint, chunk: uint, bytes] -> [complete: bool]
 *
 * doc/format/ledger.md, section Governance, has actions, pairs, limits and codes. Proposing is
 * voting for it. A proposal passes with the vote that brings it above what each of its classes
 * asks; its actions then apply together or, where they no longer can, not at all (the vote is
 * REFUSED and leaves nothing). One that changes members, replicas, parameters or rules makes the
 * next configuration; the protocol installs it before anything else is executed. Ids of members and
 * replicas and keys of replicas are never used twice, and every replica's endorsement is by its
 * member's present key: who changes a member's key endorses its replicas anew in the same proposal.
 *
 * What is proposed, voted for and withdrawn makes the governance chain (proof/chain.h). Uploads do
 * not: a module is long, and who checks a chain asks who could sign, not what was run. So he takes
 * every module that a passed proposal names for uploaded, as the quorum that signed the vote says;
 * that it lied is shown as any other wrong execution is.
 *
 * Requests are signed by a member's present key; others are DENIED. Arguments are hostile, and so
 * is the state where blame is checked. Pure. */
#ifndef WM_PROOF_GOVERNANCE_H
#define WM_PROOF_GOVERNANCE_H

#include "base/diag.h"
#include "proof/procedure.h"
#include "wire/genesis.h"

#define GOVERNANCE_ACTIONS_MAX 64u
#define GOVERNANCE_OPEN_MAX 4u        /* proposals that a member may have open */
#define GOVERNANCE_OPEN_ALL_MAX 512u  /* with those of members who were removed */
#define GOVERNANCE_CHUNK_BYTES 61440u /* of a module; the last one is shorter or as long */
#define GOVERNANCE_MODULE_BYTES_MAX (16u * 1024u * 1024u)
#define GOVERNANCE_MODULES_MAX 16u /* that a member may have uploaded, of those not removed */

/* Kinds of actions: the first item of each. */
enum governance_action {
    GOVERNANCE_ADD_MEMBER = 0,        /* [0, member] */
    GOVERNANCE_REMOVE_MEMBER = 1,     /* [1, id] */
    GOVERNANCE_SET_MEMBER = 2,        /* [2, member]: name, key and weight of that id */
    GOVERNANCE_ADD_REPLICA = 3,       /* [3, replica] */
    GOVERNANCE_REMOVE_REPLICA = 4,    /* [4, id] */
    GOVERNANCE_SET_ADDRESS = 5,       /* [5, id, address] */
    GOVERNANCE_ENDORSE = 6,           /* [6, id of a replica, endorsement] */
    GOVERNANCE_SET_PARAMETERS = 7,    /* [7, parameters] */
    GOVERNANCE_SET_RULES = 8,         /* [8, rules] */
    GOVERNANCE_SET_PROCEDURE = 9,     /* [9, name, module, length] */
    GOVERNANCE_REMOVE_PROCEDURE = 10, /* [10, name] */
    GOVERNANCE_REMOVE_MODULE = 11,    /* [11, module, length] */
};

/* Is it a name that only these procedures have: "governance." and more? */
bool governance_is(struct wm_view procedure);
/* Was this a governance transaction? It then ends its batch, is named by `governance` of the
 * pre-prepares after it and is a link of the governance chain: a proposal, vote or withdrawal that
 * was done. So nobody but members can end batches or make the chain longer. */
bool governance_is_link(const struct request_claims *claims, const struct request_output *output);
/* struct procedure_table's find for them: 1, or 0: another name. */
int governance_find(struct procedure_call *call, struct wm_view name, struct procedure *out);

/* The pairs with which a state begins; emit is called for each. Any order. 0, or what emit
 * returned; -ENOMEM. */
WM_MUST_CHECK int
governance_begin(const struct genesis *genesis,
                 int (*emit)(void *self, struct wm_view key, struct wm_view value), void *self);

/* The configuration that a governance transaction made: the encoded value, borrowed from done's
 * writes. False: it made none. */
bool governance_made(const struct procedure_done *done, struct wm_view *configuration);
/* What a governance transaction answered: its result. False: it is none. */
struct governance_answer {
    uint32_t proposal;
    bool passed;
    bool reconfigures; /* it made this configuration: */
    uint64_t cfg;
};
WM_MUST_CHECK bool governance_answer_get(struct wm_view result, struct governance_answer *out);
/* The configuration that is in force, or will be before the next transaction: where the state has
 * it. */
struct wm_view governance_configuration_key(void);

/* Are all endorsements of a configuration by its members' keys? WM_E_FORGED names the replica. */
WM_MUST_CHECK int governance_endorsed(const struct configuration *configuration,
                                      const uint8_t salt[GENESIS_SALT_BYTES], struct wm_diag *diag);

/* --- Modules of procedures that members installed --- */

struct governance_module {
    ledger_hash sha256;
    uint32_t length; /* 1 to GOVERNANCE_MODULE_BYTES_MAX */
};
static inline uint32_t governance_chunks(uint32_t length)
{
    return (length + GOVERNANCE_CHUNK_BYTES - 1) / GOVERNANCE_CHUNK_BYTES;
}

/* The module that a name stands for, read through the call, so that it is among its reads, which
 * bind the code thereby: its bytes need not be. 1, 0, negative. */
WM_MUST_CHECK int governance_procedure(struct procedure_call *call, struct wm_view name,
                                       struct governance_module *module);
/* Where the state has that a module is whole (an empty value), and its chunks. */
#define GOVERNANCE_MODULE_KEY_BYTES (11u + LEDGER_HASH_BYTES + 4u)
#define GOVERNANCE_CHUNK_KEY_BYTES (10u + LEDGER_HASH_BYTES + 8u)
void governance_module_key(const struct governance_module *module,
                           uint8_t out[GOVERNANCE_MODULE_KEY_BYTES]);
void governance_chunk_key(const struct governance_module *module, uint32_t chunk,
                          uint8_t out[GOVERNANCE_CHUNK_KEY_BYTES]);
/* Is it a key as governance_module_key makes them? What a chain takes for present. */
bool governance_is_module_key(struct wm_view key);

#endif
