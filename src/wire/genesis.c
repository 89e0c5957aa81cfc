/* Genesis, configurations, endorsements as CBOR; doc/format/ledger.md. */
#include "wire/genesis.h"

#include <string.h>

#include "wire/item.h"

#define GENESIS_ITEMS 9u
#define CONFIGURATION_ITEMS 7u
#define ENDORSEMENT_ITEMS 5u
#define PERCENT_MAX 99u

void ledger_member_put(struct cbor_writer *writer, const struct ledger_member *member)
{
    cbor_put_array(writer, 4);
    cbor_put_uint(writer, member->id);
    cbor_put_text(writer, member->name);
    item_put_hash(writer, member->key);
    cbor_put_uint(writer, member->weight);
}

void ledger_replica_put(struct cbor_writer *writer, const struct ledger_replica *replica)
{
    cbor_put_array(writer, 5);
    cbor_put_uint(writer, replica->id);
    item_put_hash(writer, replica->key);
    cbor_put_uint(writer, replica->member);
    cbor_put_text(writer, replica->address);
    cbor_put_raw(writer, replica->endorsement);
}

void ledger_parameters_put(struct cbor_writer *writer, const struct ledger_parameters *parameters)
{
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, parameters->pipeline);
    cbor_put_uint(writer, parameters->checkpoint_interval);
    cbor_put_uint(writer, parameters->batch_max);
}

void ledger_rules_put(struct cbor_writer *writer, const struct ledger_rules *rules)
{
    cbor_put_array(writer, 4);
    cbor_put_uint(writer, rules->members);
    cbor_put_uint(writer, rules->replicas);
    cbor_put_uint(writer, rules->parameters);
    cbor_put_uint(writer, rules->procedures);
}

/* Members, replicas, parameters, rules: four items. */
static void parts_put(struct cbor_writer *writer, const struct configuration *configuration)
{
    cbor_put_array(writer, configuration->member_count);
    for (uint32_t i = 0; i < configuration->member_count; i++) {
        ledger_member_put(writer, &configuration->members[i]);
    }
    cbor_put_array(writer, configuration->replica_count);
    for (uint32_t i = 0; i < configuration->replica_count; i++) {
        ledger_replica_put(writer, &configuration->replicas[i]);
    }
    ledger_parameters_put(writer, &configuration->parameters);
    ledger_rules_put(writer, &configuration->rules);
}

bool ledger_member_get(struct cbor_reader *reader, struct ledger_member *out)
{
    return cbor_array_of(reader, 4) && cbor_uint32(reader, &out->id) &&
           item_text(reader, 1, LEDGER_NAME_BYTES_MAX, &out->name) && item_hash(reader, out->key) &&
           cbor_uint32(reader, &out->weight);
}

/* A COSE_Sign1 in the midst of others. */
static bool endorsement_read(struct cbor_reader *reader, struct cose_statement *statement,
                             struct endorsement_claims *out)
{
    if (!cose_sign1(reader, statement)) {
        return false;
    }
    struct cbor_reader claims = cbor_inner(reader, statement->claims);
    if (statement->tree || statement->attached) {
        cbor_fail(&claims, "its payload, the replica's key, is to be left out");
    }
    bool ok = item_begin(&claims, ENDORSEMENT_ITEMS, COSE_TYPE_ENDORSEMENT) &&
              cbor_bytes_of(&claims, out->salt, sizeof out->salt) &&
              cbor_uint32(&claims, &out->replica) && cbor_uint32(&claims, &out->member);
    return cbor_inner_end(reader, &claims) && ok;
}

bool ledger_replica_get(struct cbor_reader *reader, struct ledger_replica *out)
{
    struct cose_statement statement;
    struct endorsement_claims claims;
    if (!cbor_array_of(reader, 5) || !cbor_uint32(reader, &out->id) ||
        !item_hash(reader, out->key) || !cbor_uint32(reader, &out->member) ||
        !item_text(reader, 0, GENESIS_ADDRESS_BYTES_MAX, &out->address)) {
        return false;
    }
    const uint8_t *start = reader->cursor.at;
    if (!endorsement_read(reader, &statement, &claims)) {
        return false;
    }
    out->endorsement = wm_view_of(start, (size_t)(reader->cursor.at - start));
    return true;
}

bool ledger_parameters_get(struct cbor_reader *reader, struct ledger_parameters *out)
{
    return cbor_array_of(reader, 3) &&
           item_between(reader, 1, LEDGER_PIPELINE_MAX, &out->pipeline) &&
           item_between(reader, GENESIS_CHECKPOINT_MIN, GENESIS_CHECKPOINT_MAX,
                        &out->checkpoint_interval) &&
           item_between(reader, 1, LEDGER_BATCH_MAX, &out->batch_max);
}

bool ledger_rules_get(struct cbor_reader *reader, struct ledger_rules *out)
{
    return cbor_array_of(reader, 4) && item_between(reader, 0, PERCENT_MAX, &out->members) &&
           item_between(reader, 0, PERCENT_MAX, &out->replicas) &&
           item_between(reader, 0, PERCENT_MAX, &out->parameters) &&
           item_between(reader, 0, PERCENT_MAX, &out->procedures);
}

/* What must hold between the parts; NULL, or why it does not. */
static const char *rules_broken(const struct configuration *configuration)
{
    uint64_t weight = 0;
    for (uint32_t i = 0; i < configuration->member_count; i++) {
        const struct ledger_member *member = &configuration->members[i];
        weight += member->weight;
        if (i > 0 && member->id <= configuration->members[i - 1].id) {
            return "ids of members do not ascend";
        }
        for (uint32_t j = 0; j < i; j++) {
            if (memcmp(member->key, configuration->members[j].key, sizeof member->key) == 0) {
                return "two members have one key";
            }
        }
    }
    if (weight == 0 || weight > UINT32_MAX) {
        return "the members' weights have no sum of 1 to 4,294,967,295";
    }
    for (uint32_t i = 0; i < configuration->replica_count; i++) {
        const struct ledger_replica *replica = &configuration->replicas[i];
        bool known = false;
        if (i > 0 && replica->id <= configuration->replicas[i - 1].id) {
            return "ids of replicas do not ascend";
        }
        for (uint32_t j = 0; j < i; j++) {
            if (memcmp(replica->key, configuration->replicas[j].key, sizeof replica->key) == 0) {
                return "two replicas have one key";
            }
        }
        for (uint32_t j = 0; j < configuration->member_count; j++) {
            known |= configuration->members[j].id == replica->member;
            if (memcmp(replica->key, configuration->members[j].key, sizeof replica->key) == 0) {
                return "a replica has the key of a member";
            }
        }
        if (!known) {
            return "a replica's member does not exist";
        }
    }
    return NULL;
}

static bool parts_get(struct cbor_reader *reader, struct configuration *out)
{
    uint64_t members, replicas;
    if (!cbor_array(reader, &members)) {
        return false;
    }
    if (members == 0 || members > LEDGER_MEMBERS_MAX) {
        return cbor_fail(reader, "there are no members, or more than 64");
    }
    out->member_count = (uint32_t)members;
    for (uint32_t i = 0; i < out->member_count; i++) {
        if (!ledger_member_get(reader, &out->members[i])) {
            return false;
        }
    }
    if (!cbor_array(reader, &replicas)) {
        return false;
    }
    if (replicas == 0 || replicas > LEDGER_REPLICAS_MAX) {
        return cbor_fail(reader, "there are no replicas, or more than 64");
    }
    out->replica_count = (uint32_t)replicas;
    for (uint32_t i = 0; i < out->replica_count; i++) {
        if (!ledger_replica_get(reader, &out->replicas[i])) {
            return false;
        }
    }
    if (!ledger_parameters_get(reader, &out->parameters) ||
        !ledger_rules_get(reader, &out->rules)) {
        return false;
    }
    const char *broken = rules_broken(out);
    return !broken || cbor_fail(reader, broken);
}

void genesis_put(struct cbor_writer *writer, const struct genesis *genesis)
{
    item_put_begin(writer, GENESIS_ITEMS, COSE_TYPE_GENESIS);
    cbor_put_text(writer, genesis->name);
    cbor_put_bytes(writer, wm_view_of(genesis->salt, sizeof genesis->salt));
    cbor_put_uint(writer, genesis->time_s);
    parts_put(writer, &genesis->configuration);
}

int genesis_get(struct wm_view bytes, struct genesis *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    if (bytes.len > GENESIS_BYTES_MAX) {
        cbor_fail(&reader, "it is too long");
    }
    bool ok = item_begin(&reader, GENESIS_ITEMS, COSE_TYPE_GENESIS) &&
              item_text(&reader, 1, LEDGER_NAME_BYTES_MAX, &out->name) &&
              cbor_bytes_of(&reader, out->salt, sizeof out->salt) &&
              cbor_uint(&reader, &out->time_s) && parts_get(&reader, &out->configuration);
    out->configuration.number = 0;
    return ok && cbor_end(&reader) ? 0 : cbor_diag(&reader, "genesis", diag);
}

void configuration_put(struct cbor_writer *writer, const struct configuration *configuration)
{
    item_put_begin(writer, CONFIGURATION_ITEMS, COSE_TYPE_CONFIGURATION);
    cbor_put_uint(writer, configuration->number);
    parts_put(writer, configuration);
}

int configuration_get(struct wm_view bytes, struct configuration *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    if (bytes.len > GENESIS_BYTES_MAX) {
        cbor_fail(&reader, "it is too long");
    }
    bool ok = item_begin(&reader, CONFIGURATION_ITEMS, COSE_TYPE_CONFIGURATION) &&
              item_number(&reader, &out->number) && parts_get(&reader, out);
    return ok && cbor_end(&reader) ? 0 : cbor_diag(&reader, "configuration", diag);
}

void endorsement_claims_put(struct cbor_writer *writer, const struct endorsement_claims *claims)
{
    item_put_begin(writer, ENDORSEMENT_ITEMS, COSE_TYPE_ENDORSEMENT);
    cbor_put_bytes(writer, wm_view_of(claims->salt, sizeof claims->salt));
    cbor_put_uint(writer, claims->replica);
    cbor_put_uint(writer, claims->member);
}

int endorsement_get(struct wm_view bytes, struct cose_statement *statement,
                    struct endorsement_claims *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    if (bytes.len > ENDORSEMENT_BYTES_MAX) {
        cbor_fail(&reader, "it is too long");
    }
    return endorsement_read(&reader, statement, out) && cbor_end(&reader)
               ? 0
               : cbor_diag(&reader, "endorsement", diag);
}
