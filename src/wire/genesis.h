/* genesis.h: who a ledger's members and replicas are, and by which rules they change, as bytes.
 *
 * doc/format/ledger.md, section Genesis. The SHA-256 of an encoded genesis names the service. A
 * configuration has the same members, replicas, parameters and rules, under a number: it is what a
 * genesis begins with and what governance changes.
 *
 * Views in a configuration are borrowed from the bytes that it was read from. Input is hostile;
 * reading is strict and checks all rules that do not need a signature: ids ascend and are distinct,
 * keys are distinct, members of replicas exist, weights have a sum of 1 to 2^32-1, limits.
 * Pure. Any thread. */
#ifndef WM_WIRE_GENESIS_H
#define WM_WIRE_GENESIS_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/batch.h"

#define GENESIS_SALT_BYTES 16u
#define GENESIS_ADDRESS_BYTES_MAX 255u
#define GENESIS_BYTES_MAX 65536u
#define ENDORSEMENT_BYTES_MAX 320u
#define GENESIS_CHECKPOINT_MIN 16u
#define GENESIS_CHECKPOINT_MAX 1048576u

struct ledger_member {
    uint32_t id;
    struct wm_view name;
    ledger_key key;
    uint32_t weight;
};

struct ledger_replica {
    uint32_t id;
    ledger_key key;
    uint32_t member;
    struct wm_view address;
    struct wm_view endorsement; /* COSE_Sign1 by the member */
};

struct ledger_parameters {
    uint32_t pipeline;            /* P, 1 to LEDGER_PIPELINE_MAX */
    uint32_t checkpoint_interval; /* C, GENESIS_CHECKPOINT_MIN to _MAX */
    uint32_t batch_max;           /* 1 to LEDGER_BATCH_MAX */
};

/* In percent of all weight, that the votes for a proposal must exceed: 0 to 99. */
struct ledger_rules {
    uint32_t members, replicas, parameters, procedures;
};

struct configuration {
    uint64_t number; /* cfg */
    uint32_t member_count, replica_count;
    struct ledger_member members[LEDGER_MEMBERS_MAX];
    struct ledger_replica replicas[LEDGER_REPLICAS_MAX];
    struct ledger_parameters parameters;
    struct ledger_rules rules;
};

struct genesis {
    struct wm_view name;
    uint8_t salt[GENESIS_SALT_BYTES];
    uint64_t time_s;
    struct configuration configuration; /* number 0 */
};

/* Single parts, as in all of these and in proposals. A replica's endorsement is read to be one;
 * whether it is of this replica, by its member, is proof/governance.h's. */
void ledger_member_put(struct cbor_writer *writer, const struct ledger_member *member);
WM_MUST_CHECK bool ledger_member_get(struct cbor_reader *reader, struct ledger_member *out);
void ledger_replica_put(struct cbor_writer *writer, const struct ledger_replica *replica);
WM_MUST_CHECK bool ledger_replica_get(struct cbor_reader *reader, struct ledger_replica *out);
void ledger_parameters_put(struct cbor_writer *writer, const struct ledger_parameters *parameters);
WM_MUST_CHECK bool ledger_parameters_get(struct cbor_reader *reader, struct ledger_parameters *out);
void ledger_rules_put(struct cbor_writer *writer, const struct ledger_rules *rules);
WM_MUST_CHECK bool ledger_rules_get(struct cbor_reader *reader, struct ledger_rules *out);

void genesis_put(struct cbor_writer *writer, const struct genesis *genesis);
/* The whole input is the genesis. */
WM_MUST_CHECK int genesis_get(struct wm_view bytes, struct genesis *out, struct wm_diag *diag);

/* The same parts as a value of the state: [26, 1, number, members, ...]. */
void configuration_put(struct cbor_writer *writer, const struct configuration *configuration);
WM_MUST_CHECK int configuration_get(struct wm_view bytes, struct configuration *out,
                                    struct wm_diag *diag);

/* f and Q of n replicas: f = (n - 1) / 3, Q = n - f. */
static inline uint32_t ledger_faulty(uint32_t replicas)
{
    return replicas == 0 ? 0 : (replicas - 1) / 3;
}
static inline uint32_t ledger_quorum(uint32_t replicas)
{
    return replicas - ledger_faulty(replicas);
}

struct endorsement_claims {
    uint8_t salt[GENESIS_SALT_BYTES];
    uint32_t replica, member; /* ids */
};
void endorsement_claims_put(struct cbor_writer *writer, const struct endorsement_claims *claims);
/* The whole COSE_Sign1. */
WM_MUST_CHECK int endorsement_get(struct wm_view bytes, struct cose_statement *statement,
                                  struct endorsement_claims *out, struct wm_diag *diag);

#endif
