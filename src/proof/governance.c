/* Proposals and votes. Proposals are pairs of the state, and so is the configuration that they
 * change. What stands in the state was written here, but whoever checks blame is given a state that
 * liars may have signed: what cannot be read is refused, never assumed away. */
#include "proof/governance.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/hash.h"
#include "proof/governance_internal.h"

#define NAME_PREFIX "governance."

_Static_assert(GOVERNANCE_MODULE_KEY_BYTES ==
                   sizeof GOVERNANCE_KEY_MODULE - 1 + LEDGER_HASH_BYTES + 4,
               "a module's key");
_Static_assert(GOVERNANCE_CHUNK_KEY_BYTES ==
                   sizeof GOVERNANCE_KEY_CHUNK - 1 + LEDGER_HASH_BYTES + 8,
               "a chunk's key");

/* --- Keys and values --- */

struct wm_view governance_key(uint8_t *room, const char *prefix, struct wm_view rest)
{
    size_t len = strlen(prefix);
    memcpy(room, prefix, len);
    if (rest.len > 0) {
        memcpy(room + len, rest.ptr, rest.len);
    }
    return wm_view_of(room, len + rest.len);
}

struct wm_view governance_key_number(uint8_t *room, const char *prefix, uint32_t number)
{
    number = __builtin_bswap32(number);
    return governance_key(room, prefix, wm_view_of(&number, sizeof number));
}

struct wm_view governance_configuration_key(void)
{
    return wm_view_str(GOVERNANCE_KEY_CONFIGURATION);
}

bool governance_encode(struct procedure_call *call, governance_put_fn *put, const void *what,
                       struct wm_view *out)
{
    struct cbor_writer counter = cbor_writer_of(NULL, 0);
    put(&counter, what);
    uint8_t *bytes = procedure_memory(call, counter.len);
    if (!bytes) {
        return false;
    }
    struct cbor_writer writer = cbor_writer_of(bytes, counter.len);
    put(&writer, what);
    *out = wm_view_of(bytes, writer.len);
    return true;
}

void governance_put_ids(struct cbor_writer *writer, const void *what)
{
    const struct governance_ids *ids = what;
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, ids->member);
    cbor_put_uint(writer, ids->replica);
    cbor_put_uint(writer, ids->proposal);
}

static bool ids_get(struct wm_view value, struct governance_ids *out)
{
    struct cbor_reader reader = cbor_reader_of(value);
    return cbor_array_of(&reader, 3) && cbor_uint(&reader, &out->member) &&
           cbor_uint(&reader, &out->replica) && cbor_uint(&reader, &out->proposal) &&
           cbor_end(&reader);
}

static void put_proposal(struct cbor_writer *writer, const void *what)
{
    const struct governance_proposal *proposal = what;
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, proposal->proposer);
    cbor_put_array(writer, proposal->vote_count);
    for (uint32_t i = 0; i < proposal->vote_count; i++) {
        cbor_put_uint(writer, proposal->votes[i]);
    }
    cbor_put_raw(writer, proposal->actions);
}

static bool proposal_get(struct wm_view value, struct governance_proposal *out)
{
    struct cbor_reader reader = cbor_reader_of(value);
    uint64_t votes;
    bool ok = cbor_array_of(&reader, 3) && cbor_uint32(&reader, &out->proposer) &&
              cbor_array(&reader, &votes) && votes <= LEDGER_MEMBERS_MAX;
    for (uint64_t i = 0; ok && i < votes; i++) {
        ok = cbor_uint32(&reader, &out->votes[i]) && (i == 0 || out->votes[i] > out->votes[i - 1]);
    }
    ok = ok && cbor_skip(&reader, &out->actions) && cbor_end(&reader) &&
         governance_actions_ok(out->actions);
    out->vote_count = ok ? (uint32_t)votes : 0;
    return ok;
}

/* --- The session of a call --- */

enum procedure_code governance_session(struct procedure_call *call, struct governance_session **out)
{
    struct governance_session *session = procedure_memory(call, sizeof *session);
    struct wm_view configuration, salt, ids;
    if (!session) {
        return PROCEDURE_LIMIT;
    }
    int there = procedure_get(call, governance_configuration_key(), &configuration);
    if (there > 0) {
        there = procedure_get(call, wm_view_str(GOVERNANCE_KEY_SALT), &salt);
    }
    if (there > 0) {
        there = procedure_get(call, wm_view_str(GOVERNANCE_KEY_IDS), &ids);
    }
    if (there < 0) {
        return PROCEDURE_LIMIT;
    }
    session->call = call;
    if (there == 0 || configuration_get(configuration, &session->configuration, NULL) != 0 ||
        salt.len != sizeof session->salt || !ids_get(ids, &session->ids)) {
        return PROCEDURE_REFUSED; /* a state without governance */
    }
    memcpy(session->salt, salt.ptr, sizeof session->salt);
    for (uint32_t i = 0; i < session->configuration.member_count; i++) {
        const struct ledger_member *member = &session->configuration.members[i];
        if (memcmp(member->key, call->request->statement.key, sizeof member->key) == 0) {
            session->member = member;
        }
    }
    *out = session;
    return session->member ? PROCEDURE_DONE : PROCEDURE_DENIED;
}

static bool is_member(const struct configuration *configuration, uint32_t id)
{
    for (uint32_t i = 0; i < configuration->member_count; i++) {
        if (configuration->members[i].id == id) {
            return true;
        }
    }
    return false;
}

/* --- What is open --- */

struct open {
    uint32_t proposal, proposer;
};
struct open_list {
    uint32_t count;
    struct open open[GOVERNANCE_OPEN_ALL_MAX];
};

static void put_open(struct cbor_writer *writer, const void *what)
{
    const struct open_list *list = what;
    cbor_put_array(writer, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        cbor_put_array(writer, 2);
        cbor_put_uint(writer, list->open[i].proposal);
        cbor_put_uint(writer, list->open[i].proposer);
    }
}

static enum procedure_code open_get(struct procedure_call *call, struct open_list *out)
{
    struct wm_view value;
    uint64_t count = 0;
    int there = procedure_get(call, wm_view_str(GOVERNANCE_KEY_OPEN), &value);
    out->count = 0;
    if (there <= 0) {
        return there < 0 ? PROCEDURE_LIMIT : PROCEDURE_DONE;
    }
    struct cbor_reader reader = cbor_reader_of(value);
    bool ok = cbor_array(&reader, &count) && count <= GOVERNANCE_OPEN_ALL_MAX;
    for (uint64_t i = 0; ok && i < count; i++) {
        ok = cbor_array_of(&reader, 2) && cbor_uint32(&reader, &out->open[i].proposal) &&
             cbor_uint32(&reader, &out->open[i].proposer);
    }
    out->count = (uint32_t)count;
    return ok && cbor_end(&reader) ? PROCEDURE_DONE : PROCEDURE_REFUSED;
}

static enum procedure_code open_set(struct procedure_call *call, const struct open_list *list)
{
    struct wm_view value;
    return governance_encode(call, put_open, list, &value) &&
                   procedure_put(call, wm_view_str(GOVERNANCE_KEY_OPEN), value) == 0
               ? PROCEDURE_DONE
               : PROCEDURE_LIMIT;
}

static enum procedure_code open_add(struct governance_session *session)
{
    struct open_list list;
    const struct governance_proposal *proposal = &session->proposal;
    enum procedure_code code = open_get(session->call, &list);
    uint32_t own = 0;
    if (code != PROCEDURE_DONE) {
        return code;
    }
    for (uint32_t i = 0; i < list.count; i++) {
        own += list.open[i].proposer == proposal->proposer;
    }
    if (own >= GOVERNANCE_OPEN_MAX || list.count == GOVERNANCE_OPEN_ALL_MAX) {
        return PROCEDURE_REFUSED;
    }
    list.open[list.count++] = (struct open){proposal->number, proposal->proposer};
    return open_set(session->call, &list);
}

/* The proposal is over: it is removed. */
static enum procedure_code close_proposal(struct governance_session *session)
{
    struct open_list list;
    struct procedure_call *call = session->call;
    uint8_t room[GOVERNANCE_KEY_ROOM];
    struct wm_view key =
        governance_key_number(room, GOVERNANCE_KEY_PROPOSAL, session->proposal.number);
    enum procedure_code code = open_get(call, &list);
    if (code != PROCEDURE_DONE) {
        return code;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        if (list.open[i].proposal != session->proposal.number) {
            list.open[kept++] = list.open[i];
        }
    }
    list.count = kept;
    return procedure_remove(call, key) == 0 ? open_set(call, &list) : PROCEDURE_LIMIT;
}

/* --- Deciding --- */

static void put_answer(struct cbor_writer *writer, const void *what)
{
    const struct governance_answer *answer = what;
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, answer->proposal);
    cbor_put_bool(writer, answer->passed);
    if (answer->reconfigures) {
        cbor_put_uint(writer, answer->cfg);
    } else {
        cbor_put_null(writer);
    }
}

bool governance_answer_get(struct wm_view result, struct governance_answer *out)
{
    struct cbor_reader reader = cbor_reader_of(result);
    *out = (struct governance_answer){0};
    if (!cbor_array_of(&reader, 3) || !cbor_uint32(&reader, &out->proposal) ||
        !cbor_bool(&reader, &out->passed)) {
        return false;
    }
    out->reconfigures = cbor_peek(&reader) == CBOR_UINT;
    return (out->reconfigures ? cbor_uint(&reader, &out->cfg) : cbor_null(&reader)) &&
           cbor_end(&reader);
}

/* Do the votes exceed what each class of the proposal's actions asks? Votes of those who are no
 * members any more do not count, and weights are those of now. */
static bool has_passed(const struct governance_session *session)
{
    const struct configuration *configuration = &session->configuration;
    const struct governance_proposal *proposal = &session->proposal;
    uint64_t total = 0, votes = 0;
    for (uint32_t i = 0; i < configuration->member_count; i++) {
        const struct ledger_member *member = &configuration->members[i];
        total += member->weight;
        for (uint32_t j = 0; j < proposal->vote_count; j++) {
            votes += proposal->votes[j] == member->id ? member->weight : 0;
        }
    }
    /* Both sums are below 2^32. */
    return votes * 100 > total * governance_percent(&configuration->rules, proposal->actions);
}

/* A vote of the caller was added: the proposal passes, or waits for others. */
static enum procedure_code decide(struct governance_session *session, struct wm_view *result)
{
    struct procedure_call *call = session->call;
    struct governance_answer answer = {.proposal = session->proposal.number,
                                       .passed = has_passed(session)};
    enum procedure_code code;
    if (answer.passed) {
        code = close_proposal(session);
        code = code == PROCEDURE_DONE ? governance_apply(session) : code;
        answer.reconfigures = session->reconfigures;
        answer.cfg = session->configuration.number; /* the one that was made */
    } else {
        uint8_t room[GOVERNANCE_KEY_ROOM];
        struct wm_view value;
        code = governance_encode(call, put_proposal, &session->proposal, &value) &&
                       procedure_put(call,
                                     governance_key_number(room, GOVERNANCE_KEY_PROPOSAL,
                                                           session->proposal.number),
                                     value) == 0
                   ? PROCEDURE_DONE
                   : PROCEDURE_LIMIT;
    }
    if (code == PROCEDURE_DONE && !governance_encode(call, put_answer, &answer, result)) {
        return PROCEDURE_LIMIT;
    }
    return code;
}

static bool add_vote(struct governance_proposal *proposal, uint32_t member)
{
    uint32_t at = 0;
    while (at < proposal->vote_count && proposal->votes[at] < member) {
        at++;
    }
    if ((at < proposal->vote_count && proposal->votes[at] == member) ||
        proposal->vote_count == LEDGER_MEMBERS_MAX) {
        return false;
    }
    memmove(&proposal->votes[at + 1], &proposal->votes[at],
            (proposal->vote_count - at) * sizeof *proposal->votes);
    proposal->votes[at] = member;
    proposal->vote_count++;
    return true;
}

/* Those who are no members any more lose their votes: so there is always room for a member's. */
static void drop_votes(struct governance_session *session)
{
    struct governance_proposal *proposal = &session->proposal;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < proposal->vote_count; i++) {
        if (is_member(&session->configuration, proposal->votes[i])) {
            proposal->votes[kept++] = proposal->votes[i];
        }
    }
    proposal->vote_count = kept;
}

/* --- The calls --- */

static enum procedure_code propose(void *self, struct procedure_call *call, struct wm_view *result)
{
    struct governance_session *session;
    struct wm_view ids;
    (void)self;
    if (!governance_actions_ok(call->arguments) ||
        call->arguments.len > PROCEDURE_VALUE_BYTES_MAX - 1024) { /* it is kept with its votes */
        return PROCEDURE_ARGUMENTS;
    }
    enum procedure_code code = governance_session(call, &session);
    if (code != PROCEDURE_DONE) {
        return code;
    }
    if (session->ids.proposal > UINT32_MAX) {
        return PROCEDURE_REFUSED;
    }
    session->proposal = (struct governance_proposal){.number = (uint32_t)session->ids.proposal,
                                                     .proposer = session->member->id,
                                                     .actions = call->arguments,
                                                     .vote_count = 1,
                                                     .votes = {session->member->id}};
    session->ids.proposal++;
    if (!governance_encode(call, governance_put_ids, &session->ids, &ids) ||
        procedure_put(call, wm_view_str(GOVERNANCE_KEY_IDS), ids) != 0) {
        return PROCEDURE_LIMIT;
    }
    code = open_add(session);
    return code == PROCEDURE_DONE ? decide(session, result) : code;
}

/* The session, with the proposal that the arguments name. */
static enum procedure_code named(struct procedure_call *call, struct governance_session **out)
{
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    uint32_t number;
    uint8_t room[GOVERNANCE_KEY_ROOM];
    struct wm_view value;
    if (!cbor_array_of(&reader, 1) || !cbor_uint32(&reader, &number) || !cbor_end(&reader)) {
        return PROCEDURE_ARGUMENTS;
    }
    enum procedure_code code = governance_session(call, out);
    if (code != PROCEDURE_DONE) {
        return code;
    }
    int there =
        procedure_get(call, governance_key_number(room, GOVERNANCE_KEY_PROPOSAL, number), &value);
    if (there < 0) {
        return PROCEDURE_LIMIT;
    }
    (*out)->proposal.number = number;
    return there > 0 && proposal_get(value, &(*out)->proposal) ? PROCEDURE_DONE : PROCEDURE_REFUSED;
}

static enum procedure_code vote(void *self, struct procedure_call *call, struct wm_view *result)
{
    struct governance_session *session;
    enum procedure_code code = named(call, &session);
    (void)self;
    if (code != PROCEDURE_DONE) {
        return code;
    }
    drop_votes(session);
    return add_vote(&session->proposal, session->member->id) ? decide(session, result)
                                                             : PROCEDURE_REFUSED;
}

/* By who proposed it; of one who is no member any more, by any. */
static enum procedure_code withdraw(void *self, struct procedure_call *call, struct wm_view *result)
{
    struct governance_session *session;
    enum procedure_code code = named(call, &session);
    (void)self;
    if (code != PROCEDURE_DONE) {
        return code;
    }
    const struct governance_proposal *proposal = &session->proposal;
    struct governance_answer answer = {.proposal = proposal->number};
    if (proposal->proposer != session->member->id &&
        is_member(&session->configuration, proposal->proposer)) {
        return PROCEDURE_DENIED;
    }
    code = close_proposal(session);
    if (code == PROCEDURE_DONE && !governance_encode(call, put_answer, &answer, result)) {
        return PROCEDURE_LIMIT;
    }
    return code;
}

/* --- By name --- */

static const struct {
    const char *name;
    procedure_fn *run;
    bool link; /* of the chain */
} procedures[] = {
    {NAME_PREFIX "propose", propose, true},
    {NAME_PREFIX "vote", vote, true},
    {NAME_PREFIX "withdraw", withdraw, true},
    {NAME_PREFIX "upload", governance_upload, false},
};

bool governance_is(struct wm_view procedure)
{
    return procedure.len >= sizeof NAME_PREFIX - 1 &&
           memcmp(procedure.ptr, NAME_PREFIX, sizeof NAME_PREFIX - 1) == 0;
}

bool governance_is_link(const struct request_claims *claims, const struct request_output *output)
{
    for (size_t i = 0; i < WM_COUNT_OF(procedures); i++) {
        if (wm_view_eq_str(claims->procedure, procedures[i].name)) {
            return procedures[i].link && output->code == PROCEDURE_DONE;
        }
    }
    return false;
}

int governance_find(struct procedure_call *call, struct wm_view name, struct procedure *out)
{
    (void)call;
    for (size_t i = 0; i < WM_COUNT_OF(procedures); i++) {
        if (wm_view_eq_str(name, procedures[i].name)) {
            struct wm_sha256 hash;
            *out = (struct procedure){.run = procedures[i].run};
            wm_sha256_init(&hash);
            wm_sha256_add(&hash, wm_view_str("wardmote:"));
            wm_sha256_add(&hash, name);
            wm_sha256_add(&hash, wm_view_str(":1"));
            wm_sha256_end(&hash, out->digest);
            return 1;
        }
    }
    return 0;
}

/* --- Where a state begins --- */

int governance_begin(const struct genesis *genesis,
                     int (*emit)(void *self, struct wm_view key, struct wm_view value), void *self)
{
    const struct configuration *configuration = &genesis->configuration;
    struct governance_ids ids = {
        .member = (uint64_t)configuration->members[configuration->member_count - 1].id + 1,
        .replica = (uint64_t)configuration->replicas[configuration->replica_count - 1].id + 1,
        .proposal = 1,
    };
    uint8_t encoded[64], room[GOVERNANCE_KEY_ROOM];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    governance_put_ids(&writer, &ids);
    WM_ASSERT(cbor_fits(&writer));
    int rc = emit(self, wm_view_str(GOVERNANCE_KEY_IDS), wm_view_of(encoded, writer.len));
    if (rc == 0) {
        rc = emit(self, wm_view_str(GOVERNANCE_KEY_SALT),
                  wm_view_of(genesis->salt, sizeof genesis->salt));
    }
    for (uint32_t i = 0; rc == 0 && i < configuration->replica_count; i++) {
        struct wm_view key = wm_view_of(configuration->replicas[i].key, LEDGER_KEY_BYTES);
        rc = emit(self, governance_key(room, GOVERNANCE_KEY_USED, key), wm_view_of(NULL, 0));
    }
    if (rc != 0) {
        return rc;
    }
    struct cbor_writer counter = cbor_writer_of(NULL, 0);
    struct wm_arena arena;
    configuration_put(&counter, configuration);
    wm_arena_init(&arena, 0);
    uint8_t *bytes = wm_arena_take(&arena, counter.len, 1);
    rc = -ENOMEM;
    if (bytes) {
        struct cbor_writer whole = cbor_writer_of(bytes, counter.len);
        configuration_put(&whole, configuration);
        rc = emit(self, governance_configuration_key(), wm_view_of(bytes, whole.len));
    }
    wm_arena_fini(&arena);
    return rc;
}

bool governance_made(const struct procedure_done *done, struct wm_view *configuration)
{
    for (uint32_t i = 0; i < done->write_count; i++) {
        if (wm_view_eq(done->writes[i].key, governance_configuration_key())) {
            *configuration = done->writes[i].value;
            return true;
        }
    }
    return false;
}
