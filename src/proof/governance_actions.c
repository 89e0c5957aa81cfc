/* What a proposal does once it has passed. Actions apply to a copy of the configuration, in order;
 * whether the result is one that may be in force is then asked of the reader of configurations,
 * which is the one place where those rules are. */
#include <string.h>

#include "proof/governance_internal.h"
#include "proof/statement.h"

struct action {
    enum governance_action kind;
    struct ledger_member member;
    struct ledger_replica replica;
    uint32_t id;
    struct wm_view text; /* an address or a name */
    struct wm_view endorsement;
    struct ledger_parameters parameters;
    struct ledger_rules rules;
    struct governance_module module;
};

/* --- Reading --- */

static bool module_get(struct cbor_reader *reader, struct governance_module *out)
{
    return cbor_bytes_of(reader, out->sha256, sizeof out->sha256) &&
           cbor_uint32(reader, &out->length) &&
           ((out->length > 0 && out->length <= GOVERNANCE_MODULE_BYTES_MAX) ||
            cbor_fail(reader, "a module's length is out of range"));
}

static bool name_get(struct cbor_reader *reader, struct wm_view *out)
{
    return cbor_text(reader, out) && ((out->len > 0 && out->len <= LEDGER_NAME_BYTES_MAX) ||
                                      cbor_fail(reader, "a name is empty or too long"));
}

static bool action_get(struct cbor_reader *reader, struct action *out)
{
    static const uint8_t items_of[] = {2, 2, 2, 2, 2, 3, 3, 2, 2, 4, 2, 3};
    uint64_t items;
    uint32_t kind;
    if (!cbor_array(reader, &items) || !cbor_uint32(reader, &kind)) {
        return false;
    }
    if (kind >= sizeof items_of || items != items_of[kind]) {
        return cbor_fail(reader, "there is no such action");
    }
    out->kind = (enum governance_action)kind;
    switch (out->kind) {
    case GOVERNANCE_ADD_MEMBER:
    case GOVERNANCE_SET_MEMBER: return ledger_member_get(reader, &out->member);
    case GOVERNANCE_ADD_REPLICA: return ledger_replica_get(reader, &out->replica);
    case GOVERNANCE_REMOVE_MEMBER:
    case GOVERNANCE_REMOVE_REPLICA: return cbor_uint32(reader, &out->id);
    case GOVERNANCE_SET_ADDRESS:
        return cbor_uint32(reader, &out->id) && cbor_text(reader, &out->text) &&
               (out->text.len <= GENESIS_ADDRESS_BYTES_MAX ||
                cbor_fail(reader, "an address is too long"));
    case GOVERNANCE_ENDORSE:
        return cbor_uint32(reader, &out->id) && cbor_skip(reader, &out->endorsement) &&
               (out->endorsement.len <= ENDORSEMENT_BYTES_MAX ||
                cbor_fail(reader, "an endorsement is too long"));
    case GOVERNANCE_SET_PARAMETERS: return ledger_parameters_get(reader, &out->parameters);
    case GOVERNANCE_SET_RULES: return ledger_rules_get(reader, &out->rules);
    case GOVERNANCE_SET_PROCEDURE:
        return name_get(reader, &out->text) && module_get(reader, &out->module);
    case GOVERNANCE_REMOVE_PROCEDURE: return name_get(reader, &out->text);
    case GOVERNANCE_REMOVE_MODULE: return module_get(reader, &out->module);
    }
    return false;
}

bool governance_actions_ok(struct wm_view actions)
{
    struct cbor_reader reader = cbor_reader_of(actions);
    uint64_t count;
    bool ok = cbor_array(&reader, &count) && count > 0 && count <= GOVERNANCE_ACTIONS_MAX;
    for (uint64_t i = 0; ok && i < count; i++) {
        struct action action;
        ok = action_get(&reader, &action);
    }
    return ok && cbor_end(&reader);
}

/* What the votes for this kind of action must exceed. */
static uint32_t percent_of(const struct ledger_rules *rules, enum governance_action kind)
{
    switch (kind) {
    case GOVERNANCE_ADD_MEMBER:
    case GOVERNANCE_REMOVE_MEMBER:
    case GOVERNANCE_SET_MEMBER:
    case GOVERNANCE_SET_RULES: return rules->members;
    case GOVERNANCE_ADD_REPLICA:
    case GOVERNANCE_REMOVE_REPLICA:
    case GOVERNANCE_SET_ADDRESS:
    case GOVERNANCE_ENDORSE: return rules->replicas;
    case GOVERNANCE_SET_PARAMETERS: return rules->parameters;
    case GOVERNANCE_SET_PROCEDURE:
    case GOVERNANCE_REMOVE_PROCEDURE:
    case GOVERNANCE_REMOVE_MODULE: return rules->procedures;
    }
    return 99;
}

uint32_t governance_percent(const struct ledger_rules *rules, struct wm_view actions)
{
    struct cbor_reader reader = cbor_reader_of(actions);
    struct action action;
    uint64_t count;
    uint32_t percent = 0;
    for (bool ok = cbor_array(&reader, &count); ok && count > 0; count--) {
        ok = action_get(&reader, &action);
        uint32_t wanted = ok ? percent_of(rules, action.kind) : 99;
        percent = wanted > percent ? wanted : percent;
    }
    return percent;
}

/* --- Members and replicas --- */

static struct ledger_member *member_of(struct configuration *configuration, uint32_t id)
{
    for (uint32_t i = 0; i < configuration->member_count; i++) {
        if (configuration->members[i].id == id) {
            return &configuration->members[i];
        }
    }
    return NULL;
}

static struct ledger_replica *replica_of(struct configuration *configuration, uint32_t id)
{
    for (uint32_t i = 0; i < configuration->replica_count; i++) {
        if (configuration->replicas[i].id == id) {
            return &configuration->replicas[i];
        }
    }
    return NULL;
}

static enum procedure_code add_member(struct governance_session *session,
                                      const struct ledger_member *member)
{
    struct configuration *configuration = &session->configuration;
    if (configuration->member_count == LEDGER_MEMBERS_MAX || member->id < session->ids.member) {
        return PROCEDURE_REFUSED;
    }
    configuration->members[configuration->member_count++] = *member;
    session->ids.member = (uint64_t)member->id + 1;
    return PROCEDURE_DONE;
}

static enum procedure_code set_member(struct governance_session *session,
                                      const struct ledger_member *from)
{
    struct ledger_member *member = member_of(&session->configuration, from->id);
    if (!member) {
        return PROCEDURE_REFUSED;
    }
    *member = *from;
    return PROCEDURE_DONE;
}

static enum procedure_code remove_member(struct governance_session *session, uint32_t id)
{
    struct configuration *configuration = &session->configuration;
    struct ledger_member *member = member_of(configuration, id);
    if (!member) {
        return PROCEDURE_REFUSED;
    }
    size_t at = (size_t)(member - configuration->members);
    memmove(member, member + 1, (configuration->member_count - at - 1) * sizeof *member);
    configuration->member_count--;
    return PROCEDURE_DONE;
}

/* A key that no replica of this service ever had; from now on one did. */
static enum procedure_code use_key(struct governance_session *session, const ledger_key key)
{
    uint8_t room[GOVERNANCE_KEY_ROOM];
    struct wm_view value,
        name = governance_key(room, GOVERNANCE_KEY_USED, wm_view_of(key, LEDGER_KEY_BYTES));
    int used = procedure_get(session->call, name, &value);
    if (used != 0) {
        return used < 0 ? PROCEDURE_LIMIT : PROCEDURE_REFUSED;
    }
    return procedure_put(session->call, name, wm_view_of(NULL, 0)) == 0 ? PROCEDURE_DONE
                                                                        : PROCEDURE_LIMIT;
}

static enum procedure_code add_replica(struct governance_session *session,
                                       const struct ledger_replica *replica)
{
    struct configuration *configuration = &session->configuration;
    if (configuration->replica_count == LEDGER_REPLICAS_MAX || replica->id < session->ids.replica) {
        return PROCEDURE_REFUSED;
    }
    configuration->replicas[configuration->replica_count++] = *replica;
    session->ids.replica = (uint64_t)replica->id + 1;
    return use_key(session, replica->key);
}

static enum procedure_code remove_replica(struct governance_session *session, uint32_t id)
{
    struct configuration *configuration = &session->configuration;
    struct ledger_replica *replica = replica_of(configuration, id);
    if (!replica) {
        return PROCEDURE_REFUSED;
    }
    size_t at = (size_t)(replica - configuration->replicas);
    memmove(replica, replica + 1, (configuration->replica_count - at - 1) * sizeof *replica);
    configuration->replica_count--;
    return PROCEDURE_DONE;
}

static enum procedure_code change_replica(struct governance_session *session,
                                          const struct action *action)
{
    struct ledger_replica *replica = replica_of(&session->configuration, action->id);
    if (!replica) {
        return PROCEDURE_REFUSED;
    }
    if (action->kind == GOVERNANCE_SET_ADDRESS) {
        replica->address = action->text;
    } else {
        replica->endorsement = action->endorsement;
    }
    return PROCEDURE_DONE;
}

int governance_endorsed(const struct configuration *configuration,
                        const uint8_t salt[GENESIS_SALT_BYTES], struct wm_diag *diag)
{
    for (uint32_t i = 0; i < configuration->replica_count; i++) {
        const struct ledger_replica *replica = &configuration->replicas[i];
        const struct ledger_member *member =
            member_of((struct configuration *)configuration, replica->member);
        struct cose_statement statement;
        struct endorsement_claims claims;
        int rc = endorsement_get(replica->endorsement, &statement, &claims, diag);
        if (rc == 0) {
            rc = statement_verify(&statement, replica->key, member->key, "endorsement", diag);
        }
        if (rc == 0 && (claims.replica != replica->id || claims.member != replica->member ||
                        memcmp(claims.salt, salt, sizeof claims.salt) != 0)) {
            rc = wm_diag_set(diag, WM_E_INVALID,
                             "endorsement: it is of another replica, member or service");
        }
        if (rc != 0) {
            wm_diag_prefix(diag, "replica %u", replica->id);
            return WM_E_FORGED;
        }
    }
    return 0;
}

/* --- Procedures --- */

static void put_module(struct cbor_writer *writer, const void *what)
{
    const struct governance_module *module = what;
    cbor_put_array(writer, 2);
    cbor_put_bytes(writer, wm_view_of(module->sha256, sizeof module->sha256));
    cbor_put_uint(writer, module->length);
}

static enum procedure_code set_procedure(struct governance_session *session,
                                         const struct action *action)
{
    uint8_t room[GOVERNANCE_KEY_ROOM];
    struct wm_view key = governance_key(room, GOVERNANCE_KEY_PROCEDURE, action->text), value;
    if (governance_is(action->text)) {
        return PROCEDURE_REFUSED;
    }
    int whole = governance_module_is_whole(session->call, &action->module);
    if (whole <= 0) {
        return whole < 0 ? PROCEDURE_LIMIT : PROCEDURE_REFUSED;
    }
    return governance_encode(session->call, put_module, &action->module, &value) &&
                   procedure_put(session->call, key, value) == 0
               ? PROCEDURE_DONE
               : PROCEDURE_LIMIT;
}

static enum procedure_code remove_procedure(struct governance_session *session, struct wm_view name)
{
    uint8_t room[GOVERNANCE_KEY_ROOM];
    struct wm_view key = governance_key(room, GOVERNANCE_KEY_PROCEDURE, name), value;
    int there = procedure_get(session->call, key, &value);
    if (there <= 0) {
        return there < 0 ? PROCEDURE_LIMIT : PROCEDURE_REFUSED;
    }
    return procedure_remove(session->call, key) == 0 ? PROCEDURE_DONE : PROCEDURE_LIMIT;
}

/* A procedure that still names it is then one that there is not. */
static enum procedure_code remove_module(struct governance_session *session,
                                         const struct governance_module *module)
{
    int whole = governance_module_is_whole(session->call, module);
    if (whole <= 0) {
        return whole < 0 ? PROCEDURE_LIMIT : PROCEDURE_REFUSED;
    }
    return governance_module_remove(session->call, module) == 0 ? PROCEDURE_DONE : PROCEDURE_LIMIT;
}

int governance_procedure(struct procedure_call *call, struct wm_view name,
                         struct governance_module *module)
{
    uint8_t room[GOVERNANCE_KEY_ROOM];
    struct wm_view value;
    if (name.len > LEDGER_NAME_BYTES_MAX) {
        return 0;
    }
    int there = procedure_get(call, governance_key(room, GOVERNANCE_KEY_PROCEDURE, name), &value);
    if (there <= 0) {
        return there;
    }
    struct cbor_reader reader = cbor_reader_of(value);
    if (!cbor_array_of(&reader, 2) || !module_get(&reader, module) || !cbor_end(&reader)) {
        return 0;
    }
    return governance_module_is_whole(call, module);
}

/* --- All of them --- */

static enum procedure_code apply(struct governance_session *session, const struct action *action)
{
    session->reconfigures |= action->kind < GOVERNANCE_SET_PROCEDURE;
    switch (action->kind) {
    case GOVERNANCE_ADD_MEMBER: return add_member(session, &action->member);
    case GOVERNANCE_REMOVE_MEMBER: return remove_member(session, action->id);
    case GOVERNANCE_SET_MEMBER: return set_member(session, &action->member);
    case GOVERNANCE_ADD_REPLICA: return add_replica(session, &action->replica);
    case GOVERNANCE_REMOVE_REPLICA: return remove_replica(session, action->id);
    case GOVERNANCE_SET_ADDRESS:
    case GOVERNANCE_ENDORSE: return change_replica(session, action);
    case GOVERNANCE_SET_PARAMETERS:
        session->configuration.parameters = action->parameters;
        return PROCEDURE_DONE;
    case GOVERNANCE_SET_RULES: session->configuration.rules = action->rules; return PROCEDURE_DONE;
    case GOVERNANCE_SET_PROCEDURE: return set_procedure(session, action);
    case GOVERNANCE_REMOVE_PROCEDURE: return remove_procedure(session, action->text);
    case GOVERNANCE_REMOVE_MODULE: return remove_module(session, &action->module);
    }
    return PROCEDURE_REFUSED;
}

static void put_configuration(struct cbor_writer *writer, const void *what)
{
    configuration_put(writer, what);
}

enum procedure_code governance_apply(struct governance_session *session)
{
    struct procedure_call *call = session->call;
    struct cbor_reader reader = cbor_reader_of(session->proposal.actions);
    struct action action;
    uint64_t count;
    if (!cbor_array(&reader, &count)) {
        return PROCEDURE_REFUSED;
    }
    for (uint64_t i = 0; i < count; i++) {
        enum procedure_code code =
            action_get(&reader, &action) ? apply(session, &action) : PROCEDURE_REFUSED;
        if (code != PROCEDURE_DONE) {
            return code;
        }
    }
    if (!session->reconfigures) {
        return PROCEDURE_DONE;
    }
    struct wm_view encoded, ids;
    struct configuration *made = procedure_memory(call, sizeof *made);
    session->configuration.number++;
    if (!made || !governance_encode(call, put_configuration, &session->configuration, &encoded) ||
        !governance_encode(call, governance_put_ids, &session->ids, &ids)) {
        return PROCEDURE_LIMIT;
    }
    if (configuration_get(encoded, made, NULL) != 0 ||
        governance_endorsed(made, session->salt, NULL) != 0) {
        return PROCEDURE_REFUSED;
    }
    return procedure_put(call, governance_configuration_key(), encoded) == 0 &&
                   procedure_put(call, wm_view_str(GOVERNANCE_KEY_IDS), ids) == 0
               ? PROCEDURE_DONE
               : PROCEDURE_LIMIT;
}
