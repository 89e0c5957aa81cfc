/* governance_internal.h: what the files of governance share.
 *
 *     governance.c           the calls: propose, vote, withdraw; proposals and votes
 *     governance_actions.c   what a proposal that has passed does
 *     governance_module.c    uploads */
#ifndef WM_PROOF_GOVERNANCE_INTERNAL_H
#define WM_PROOF_GOVERNANCE_INTERNAL_H

#include "proof/governance.h"

#define GOVERNANCE_KEY_ROOM (16u + LEDGER_NAME_BYTES_MAX) /* of any key that is put together */

/* What was never used yet. Wider than what they count, so that they cannot come round. */
struct governance_ids {
    uint64_t member, replica, proposal;
};

struct governance_proposal {
    uint32_t number, proposer;
    struct wm_view actions; /* encoded array */
    uint32_t vote_count;
    uint32_t votes[LEDGER_MEMBERS_MAX]; /* ids, ascending */
};

/* What a call works on: in its arena, as it is large. */
struct governance_session {
    struct procedure_call *call;
    struct configuration configuration;
    uint8_t salt[GENESIS_SALT_BYTES];
    struct governance_ids ids;
    const struct ledger_member *member; /* who signed */
    struct governance_proposal proposal;
    bool reconfigures; /* the actions that were applied make a configuration */
};

/* Reads what every call needs, and who calls. */
enum procedure_code governance_session(struct procedure_call *call,
                                       struct governance_session **out);

/* PREFIX and what follows it, written to `room`. */
struct wm_view governance_key(uint8_t *room, const char *prefix, struct wm_view rest);
/* PREFIX and a number of 4 bytes, big-endian. */
struct wm_view governance_key_number(uint8_t *room, const char *prefix, uint32_t number);

/* Encodes into memory of the call; false: there is none, and the call must return. */
typedef void governance_put_fn(struct cbor_writer *writer, const void *what);
bool governance_encode(struct procedure_call *call, governance_put_fn *put, const void *what,
                       struct wm_view *out);
void governance_put_ids(struct cbor_writer *writer, const void *ids);

/* An encoded proposal's actions: read, without looking at the state. */
WM_MUST_CHECK bool governance_actions_ok(struct wm_view actions);
/* The largest percentage that any of its actions asks for. */
uint32_t governance_percent(const struct ledger_rules *rules, struct wm_view actions);
/* Applies them in order, and writes the configuration that they make. */
enum procedure_code governance_apply(struct governance_session *session);

/* 1: the module is whole; 0, negative. */
WM_MUST_CHECK int governance_module_is_whole(struct procedure_call *call,
                                             const struct governance_module *module);
/* Removes what makes it whole, and its chunks. */
WM_MUST_CHECK int governance_module_remove(struct procedure_call *call,
                                           const struct governance_module *module);
procedure_fn governance_upload;

#define GOVERNANCE_KEY_CONFIGURATION "gov/configuration"
#define GOVERNANCE_KEY_SALT "gov/salt"
#define GOVERNANCE_KEY_IDS "gov/ids"              /* [next member, next replica, next proposal] */
#define GOVERNANCE_KEY_OPEN "gov/open"            /* [* [proposal, proposer]] */
#define GOVERNANCE_KEY_PROPOSAL "gov/proposal/"   /* and its number */
#define GOVERNANCE_KEY_USED "gov/key/"            /* and a replica's key: it was used */
#define GOVERNANCE_KEY_PROCEDURE "gov/procedure/" /* and a name: [module, length] */
#define GOVERNANCE_KEY_MODULE "gov/module/"       /* and SHA-256, length: it is whole */
#define GOVERNANCE_KEY_CHUNK "gov/chunk/"         /* and SHA-256, length, number: bytes */
#define GOVERNANCE_KEY_UPLOAD "gov/upload/"       /* and a member's id: what is on its way */
#define GOVERNANCE_KEY_MODULES "gov/modules/"     /* and a member's id: what it uploaded */

#endif
