/* governance_test.c: who may change what, with how many votes; and what cannot be changed. */
#include "proof/governance.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "proof/statement.h"
#include "proof/test_service.h"

static struct test_service *service;
static struct test_ledger *ledger;
static uint64_t number; /* of the next request */

static void begin(uint32_t replicas, uint32_t members)
{
    service = test_service_new(replicas, members, 2);
    ledger = test_ledger_new(service);
    number = 1;
}

static void end(void)
{
    test_service_free(service);
}

/* Executes one call in a batch of its own, and what reconfiguration follows. */
static const struct test_transaction *run(struct test_call call)
{
    const struct test_batch *batch = test_batch(ledger, &call, 1, NULL);
    test_reconfigure(ledger);
    return &batch->transactions[0];
}

static enum procedure_code code_of(struct test_call call)
{
    return (enum procedure_code)run(call)->output.code;
}

static enum procedure_code propose(uint32_t member, struct wm_view actions)
{
    return code_of(test_propose(service, member, number++, actions));
}

static enum procedure_code vote(uint32_t member, uint32_t proposal)
{
    return code_of(test_vote(service, member, number++, proposal));
}

static enum procedure_code withdraw(uint32_t member, uint32_t proposal)
{
    uint8_t bytes[16];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    cbor_put_array(&writer, 1);
    cbor_put_uint(&writer, proposal);
    return code_of(test_request(service, test_member_key(member), number++, 0,
                                "governance.withdraw", wm_view_of(bytes, writer.len)));
}

static const struct configuration *now(void)
{
    return ledger->configurations[ledger->head.configuration_count - 1];
}

/* Has the state a pair under this key? */
static bool has(const char *key)
{
    return test_state_find(ledger->head.state, wm_view_str(key)) != NULL;
}

/* --- Actions --- */

static uint8_t action_bytes[65536];
static struct cbor_writer actions;

static struct cbor_writer *begin_actions(uint32_t count)
{
    actions = cbor_writer_of(action_bytes, sizeof action_bytes);
    cbor_put_array(&actions, count);
    return &actions;
}

static void put(uint32_t items, uint32_t kind)
{
    cbor_put_array(&actions, items);
    cbor_put_uint(&actions, kind);
}

static struct wm_view taken(void)
{
    return wm_view_of(action_bytes, actions.len);
}

static struct ledger_member member_of(uint32_t id, uint32_t key, uint32_t weight)
{
    struct ledger_member member = {.id = id, .name = wm_view_str("somebody"), .weight = weight};
    memcpy(member.key, test_member_key(key)->public_key, sizeof member.key);
    return member;
}

static void put_member(uint32_t kind, uint32_t id, uint32_t key, uint32_t weight)
{
    struct ledger_member member = member_of(id, key, weight);
    put(2, kind);
    ledger_member_put(&actions, &member);
}

static void put_replica(uint32_t id, uint32_t key, uint32_t member, struct wm_view endorsement)
{
    struct ledger_replica replica = {
        .id = id, .member = member, .address = wm_view_str("host:1"), .endorsement = endorsement};
    memcpy(replica.key, test_replica_key(key)->public_key, sizeof replica.key);
    put(2, GOVERNANCE_ADD_REPLICA);
    ledger_replica_put(&actions, &replica);
}

/* An endorsement of any kind: of this replica and member, over and by these keys. */
static struct wm_view endorse(uint32_t id, uint32_t key, uint32_t member, uint32_t signer)
{
    struct cose_statement statement;
    struct endorsement_claims claims = {.replica = id, .member = member};
    uint8_t bytes[COSE_SIGN1_BYTES_MAX], encoded[64], header[COSE_PROTECTED_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(encoded, sizeof encoded);
    struct cbor_writer whole = cbor_writer_of(bytes, sizeof bytes);
    memcpy(claims.salt, service->genesis.salt, sizeof claims.salt);
    endorsement_claims_put(&writer, &claims);
    statement_sign(test_member_key(signer), false, wm_view_of(encoded, writer.len),
                   test_replica_key(key)->public_key, header, &statement);
    statement.attached = false;
    cose_put_sign1(&whole, &statement);
    return test_keep(service, wm_view_of(bytes, whole.len));
}

static void put_rules(uint32_t members, uint32_t replicas, uint32_t parameters, uint32_t procedures)
{
    const struct ledger_rules rules = {members, replicas, parameters, procedures};
    put(2, GOVERNANCE_SET_RULES);
    ledger_rules_put(&actions, &rules);
}

static struct wm_view set_parameters(uint32_t batch_max)
{
    const struct ledger_parameters parameters = {3, 32, batch_max};
    begin_actions(1);
    put(2, GOVERNANCE_SET_PARAMETERS);
    ledger_parameters_put(&actions, &parameters);
    return taken();
}

/* Proposes by member 1 and lets 2 and 3 vote: enough of four. The code of the last vote. */
static enum procedure_code pass(struct wm_view proposed)
{
    const struct test_transaction *made = run(test_propose(service, 1, number++, proposed));
    struct governance_answer answer;
    if (made->output.code != PROCEDURE_DONE) {
        return (enum procedure_code)made->output.code;
    }
    CHECK(governance_answer_get(made->result, &answer) && !answer.passed && !answer.reconfigures);
    CHECK_INT(vote(2, answer.proposal), ==, PROCEDURE_DONE);
    uint64_t cfg = now()->number;
    made = run(test_vote(service, 3, number++, answer.proposal));
    if (made->output.code != PROCEDURE_DONE) {
        struct governance_answer none;
        CHECK(!governance_answer_get(made->result, &none));
        CHECK_INT(withdraw(1, answer.proposal), ==, PROCEDURE_DONE);
        return (enum procedure_code)made->output.code;
    }
    CHECK(governance_answer_get(made->result, &answer) && answer.passed);
    CHECK(answer.reconfigures == (now()->number > cfg));
    CHECK(!answer.reconfigures || answer.cfg == now()->number);
    return PROCEDURE_DONE;
}

/* --- Votes --- */

TEST(a_proposal_passes_with_more_than_its_percentage)
{
    begin(4, 4);
    CHECK_INT(propose(1, set_parameters(7)), ==, PROCEDURE_DONE);
    CHECK_INT(now()->number, ==, 0);
    CHECK_INT(vote(2, 1), ==, PROCEDURE_DONE); /* 50 percent are not more than 50 */
    CHECK_INT(now()->number, ==, 0);
    CHECK_INT(vote(2, 1), ==, PROCEDURE_REFUSED);
    CHECK_INT(vote(1, 1), ==, PROCEDURE_REFUSED);
    CHECK_INT(vote(2, 2), ==, PROCEDURE_REFUSED); /* there is no such proposal */
    CHECK_INT(vote(4, 1), ==, PROCEDURE_DONE);
    CHECK_INT(now()->number, ==, 1);
    CHECK_INT(now()->parameters.batch_max, ==, 7);
    CHECK_INT(now()->parameters.pipeline, ==, 3);
    CHECK_INT(vote(3, 1), ==, PROCEDURE_REFUSED); /* it is over */
    CHECK_INT(propose(2, set_parameters(8)), ==, PROCEDURE_DONE);
    CHECK_INT(ledger->head.governance, ==, ledger->head.next_index - 1);
    end();
}

TEST(one_member_of_one_decides_and_weights_count)
{
    begin(1, 1);
    CHECK_INT(propose(1, set_parameters(7)), ==, PROCEDURE_DONE);
    CHECK_INT(now()->number, ==, 1);
    end();
    begin(4, 4);
    begin_actions(1);
    put_member(GOVERNANCE_SET_MEMBER, 4, 4, 4); /* of 7 */
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    CHECK_INT(propose(4, set_parameters(9)), ==, PROCEDURE_DONE);
    CHECK_INT(now()->number, ==, 2);
    begin_actions(1);
    put_member(GOVERNANCE_SET_MEMBER, 4, 4, 0); /* it may have none */
    CHECK_INT(propose(4, taken()), ==, PROCEDURE_DONE);
    CHECK_INT(propose(4, set_parameters(10)), ==, PROCEDURE_DONE);
    CHECK_INT(now()->number, ==, 3);
    end();
}

TEST(each_class_asks_for_its_own_percentage_and_the_largest_counts)
{
    begin(4, 4);
    begin_actions(1);
    put_rules(99, 75, 0, 0);
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    CHECK_INT(propose(1, set_parameters(5)), ==, PROCEDURE_DONE); /* a quarter is more than 0 */
    CHECK_INT(now()->parameters.batch_max, ==, 5);
    CHECK_INT(propose(1, test_add_replica(service, 5, 1)), ==, PROCEDURE_DONE);
    CHECK_INT(vote(2, 3) + vote(3, 3), ==, PROCEDURE_DONE);
    CHECK_INT(now()->replica_count, ==, 4); /* 75 percent are not more than 75 */
    CHECK_INT(vote(4, 3), ==, PROCEDURE_DONE);
    CHECK_INT(now()->replica_count, ==, 5);
    begin_actions(2); /* parameters ask for nothing, members for all */
    const struct ledger_parameters parameters = {1, 16, 1};
    put(2, GOVERNANCE_SET_PARAMETERS);
    ledger_parameters_put(&actions, &parameters);
    put_member(GOVERNANCE_ADD_MEMBER, 5, 5, 1);
    CHECK_INT(propose(1, taken()), ==, PROCEDURE_DONE);
    CHECK_INT(vote(2, 4) + vote(3, 4), ==, PROCEDURE_DONE);
    CHECK_INT(now()->member_count, ==, 4);
    CHECK_INT(vote(4, 4), ==, PROCEDURE_DONE);
    CHECK_INT(now()->member_count, ==, 5);
    CHECK_INT(now()->parameters.batch_max, ==, 1);
    end();
}

TEST(only_members_and_only_what_was_done_is_governance)
{
    begin(4, 4);
    struct wm_view proposed = test_keep(service, set_parameters(7));
    static const char *const names[] = {"governance.propose", "governance.vote",
                                        "governance.withdraw", "governance.upload"};
    uint8_t upload[256], one[2] = {0x81, 0x01};
    struct cbor_writer writer = cbor_writer_of(upload, sizeof upload);
    const ledger_hash module = {0};
    cbor_put_array(&writer, 4);
    cbor_put_bytes(&writer, wm_view_of(module, sizeof module));
    cbor_put_uint(&writer, 1);
    cbor_put_uint(&writer, 0);
    cbor_put_bytes(&writer, wm_view_str("x"));
    const struct wm_view arguments[] = {proposed, wm_view_of(one, 2), wm_view_of(one, 2),
                                        wm_view_of(upload, writer.len)};
    for (size_t i = 0; i < WM_COUNT_OF(names); i++) {
        struct test_call call =
            test_request(service, test_client_key(1), number++, 0, names[i], arguments[i]);
        struct request request;
        REQUIRE(request_get(call.request, &request, NULL) == 0);
        const struct test_transaction *done = run(call);
        CHECK_INT(done->output.code, ==, PROCEDURE_DENIED);
        CHECK(!governance_is_link(&request.claims, &done->output));
        CHECK_INT(code_of(test_request(service, test_member_key(1), number++, 0, names[i],
                                       wm_view_str("no"))),
                  ==, PROCEDURE_ARGUMENTS);
        struct request_output output = {.code = PROCEDURE_DONE};
        CHECK(governance_is_link(&request.claims, &output) == (i < 3));
    }
    CHECK_INT(ledger->head.governance, ==, 0);
    CHECK(governance_is(wm_view_str("governance.")) && governance_is(wm_view_str("governance.x")));
    CHECK(!governance_is(wm_view_str("governance")) && !governance_is(wm_view_str("kv.put")));
    /* A replica's key, a client's: members only. A removed member is none. */
    CHECK_INT(code_of(test_request(service, test_replica_key(1), number++, 0, names[0], proposed)),
              ==, PROCEDURE_DENIED);
    begin_actions(2);
    put(2, GOVERNANCE_REMOVE_MEMBER);
    cbor_put_uint(&actions, 4);
    put(2, GOVERNANCE_REMOVE_REPLICA);
    cbor_put_uint(&actions, 4);
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    CHECK_INT(propose(4, proposed), ==, PROCEDURE_DENIED);
    end();
}

TEST(who_proposed_withdraws_and_of_who_left_anybody)
{
    begin(4, 4);
    CHECK_INT(propose(4, set_parameters(7)), ==, PROCEDURE_DONE);
    CHECK_INT(withdraw(1, 1), ==, PROCEDURE_DENIED);
    CHECK_INT(withdraw(4, 2), ==, PROCEDURE_REFUSED);
    CHECK_INT(withdraw(4, 1), ==, PROCEDURE_DONE);
    CHECK_INT(vote(1, 1), ==, PROCEDURE_REFUSED);
    CHECK_INT(propose(4, set_parameters(8)), ==, PROCEDURE_DONE);
    CHECK_INT(vote(1, 2), ==, PROCEDURE_DONE);
    begin_actions(2);
    put(2, GOVERNANCE_REMOVE_MEMBER);
    cbor_put_uint(&actions, 4);
    put(2, GOVERNANCE_REMOVE_REPLICA);
    cbor_put_uint(&actions, 4);
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    CHECK_INT(now()->member_count, ==, 3);
    CHECK_INT(vote(2, 2), ==, PROCEDURE_DONE); /* with member 1: two of three, without 4's */
    CHECK_INT(now()->parameters.batch_max, ==, 8);
    end();
    begin(4, 4);
    CHECK_INT(propose(4, set_parameters(8)), ==, PROCEDURE_DONE);
    begin_actions(2);
    put(2, GOVERNANCE_REMOVE_MEMBER);
    cbor_put_uint(&actions, 4);
    put(2, GOVERNANCE_REMOVE_REPLICA);
    cbor_put_uint(&actions, 4);
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    CHECK_INT(vote(1, 1), ==, PROCEDURE_DONE); /* 4's vote is no longer one */
    CHECK_INT(now()->parameters.batch_max, ==, 100);
    CHECK_INT(withdraw(2, 1), ==, PROCEDURE_DONE);
    CHECK_INT(vote(2, 1), ==, PROCEDURE_REFUSED);
    end();
}

TEST(what_is_open_is_bounded)
{
    begin(4, 4);
    for (uint32_t i = 0; i < GOVERNANCE_OPEN_MAX; i++) {
        CHECK_INT(propose(1, set_parameters(7)), ==, PROCEDURE_DONE);
    }
    CHECK_INT(propose(1, set_parameters(7)), ==, PROCEDURE_REFUSED);
    CHECK_INT(propose(2, set_parameters(7)), ==, PROCEDURE_DONE);
    CHECK_INT(withdraw(1, 2), ==, PROCEDURE_DONE);
    CHECK_INT(propose(1, set_parameters(7)), ==, PROCEDURE_DONE);
    CHECK_INT(propose(1, set_parameters(7)), ==, PROCEDURE_REFUSED);
    /* Actions, too: none, one too many, and bytes. */
    begin_actions(0);
    CHECK_INT(propose(3, taken()), ==, PROCEDURE_ARGUMENTS);
    for (uint32_t extra = 0; extra < 2; extra++) {
        begin_actions(GOVERNANCE_ACTIONS_MAX + extra);
        for (uint32_t i = 0; i < GOVERNANCE_ACTIONS_MAX + extra; i++) {
            put(2, GOVERNANCE_REMOVE_PROCEDURE);
            cbor_put_text(&actions, wm_view_str("p"));
        }
        CHECK_INT(propose(3, taken()), ==, extra ? PROCEDURE_ARGUMENTS : PROCEDURE_DONE);
    }
    end();
}

/* --- Actions --- */

TEST(every_action_changes_what_it_says)
{
    begin(4, 4);
    begin_actions(1);
    put_member(GOVERNANCE_ADD_MEMBER, 9, 9, 5);
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    REQUIRE(now()->member_count == 5);
    CHECK(now()->members[4].id == 9 && now()->members[4].weight == 5);
    CHECK(memcmp(now()->members[4].key, test_member_key(9)->public_key, 32) == 0);
    /* 9 of weight: 1, 2 and 3 have three no more. */
    begin_actions(3);
    put(2, GOVERNANCE_REMOVE_MEMBER);
    cbor_put_uint(&actions, 9);
    put(3, GOVERNANCE_SET_ADDRESS);
    cbor_put_uint(&actions, 2);
    cbor_put_text(&actions, wm_view_str("elsewhere:9"));
    put_rules(50, 50, 50, 60);
    CHECK_INT(propose(9, taken()), ==, PROCEDURE_DONE); /* 5 of 9 */
    REQUIRE(now()->member_count == 4);
    CHECK(wm_view_eq_str(now()->replicas[1].address, "elsewhere:9"));
    CHECK_INT(now()->rules.procedures, ==, 60);
    /* Replacing a replica: remove and add. The key of a member, with a new endorsement. */
    begin_actions(2);
    put(2, GOVERNANCE_REMOVE_REPLICA);
    cbor_put_uint(&actions, 2);
    put_replica(7, 7, 3, test_endorsement(service, 7, 3));
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    REQUIRE(now()->replica_count == 4);
    CHECK(now()->replicas[3].id == 7 && now()->replicas[1].id == 3);
    CHECK_INT(now()->number, ==, 3);
    end();
}

TEST(ids_and_keys_are_never_used_twice)
{
    begin(4, 4);
    begin_actions(1);
    put_replica(4, 9, 1, test_endorsement(service, 4, 1)); /* an id in use */
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    CHECK_INT(pass(test_add_replica(service, 8, 1)), ==, PROCEDURE_DONE);
    CHECK_INT(pass(test_remove_replica(service, 8)), ==, PROCEDURE_DONE);
    CHECK_INT(pass(test_add_replica(service, 8, 1)), ==, PROCEDURE_REFUSED);
    CHECK_INT(pass(test_add_replica(service, 6, 1)), ==, PROCEDURE_REFUSED); /* below it */
    begin_actions(1);
    put_replica(9, 8, 1, wm_view_of(NULL, 0));
    CHECK_INT(pass(taken()), ==, PROCEDURE_ARGUMENTS); /* an endorsement is one item */
    begin_actions(1); /* the key of one that was removed; and of one of the genesis */
    put_replica(9, 8, 1, endorse(9, 8, 1, 1));
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    CHECK_INT(pass(test_remove_replica(service, 4)), ==, PROCEDURE_DONE);
    begin_actions(1);
    put_replica(10, 4, 1, endorse(10, 4, 1, 1));
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    CHECK_INT(pass(test_add_replica(service, 10, 1)), ==, PROCEDURE_DONE);
    begin_actions(1);
    put_member(GOVERNANCE_ADD_MEMBER, 6, 6, 1);
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    begin_actions(1);
    put(2, GOVERNANCE_REMOVE_MEMBER);
    cbor_put_uint(&actions, 6);
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    begin_actions(1);
    put_member(GOVERNANCE_ADD_MEMBER, 5, 6, 1);
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    begin_actions(1);
    put_member(GOVERNANCE_ADD_MEMBER, 7, 6, 1); /* a member's key may come back */
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    end();
}

TEST(what_breaks_a_configuration_is_refused_whole)
{
    begin(4, 4);
    begin_actions(1); /* its replica is still there */
    put(2, GOVERNANCE_REMOVE_MEMBER);
    cbor_put_uint(&actions, 4);
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    begin_actions(1); /* nobody of that id */
    put(2, GOVERNANCE_REMOVE_REPLICA);
    cbor_put_uint(&actions, 40);
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    begin_actions(1);
    put_member(GOVERNANCE_SET_MEMBER, 40, 9, 1);
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    begin_actions(1); /* the key of another member */
    put_member(GOVERNANCE_SET_MEMBER, 2, 3, 1);
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    begin_actions(4); /* no replica is left */
    for (uint32_t i = 1; i <= 4; i++) {
        put(2, GOVERNANCE_REMOVE_REPLICA);
        cbor_put_uint(&actions, i);
    }
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    begin_actions(4); /* nobody has weight */
    for (uint32_t i = 1; i <= 4; i++) {
        put_member(GOVERNANCE_SET_MEMBER, i, i, 0);
    }
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    begin_actions(2); /* the first one alone would do */
    put(3, GOVERNANCE_SET_ADDRESS);
    cbor_put_uint(&actions, 1);
    cbor_put_text(&actions, wm_view_str("new:1"));
    put(3, GOVERNANCE_SET_ADDRESS);
    cbor_put_uint(&actions, 40);
    cbor_put_text(&actions, wm_view_str("new:1"));
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    CHECK_INT(now()->number, ==, 0);
    CHECK(!wm_view_eq_str(now()->replicas[0].address, "new:1"));
    end();
}

TEST(a_replica_comes_with_its_members_word)
{
    begin(4, 4);
    struct test_service *other = test_service_new(4, 4, 2);
    memset(other->genesis.salt, 1, sizeof other->genesis.salt);
    const struct wm_view wrong[] = {
        endorse(6, 5, 1, 1),           /* of another replica */
        endorse(5, 5, 2, 1),           /* of another member */
        endorse(5, 6, 1, 1),           /* over another key */
        endorse(5, 5, 1, 2),           /* by another member's key */
        test_endorsement(other, 5, 1), /* for another service */
    };
    for (size_t i = 0; i < WM_COUNT_OF(wrong); i++) {
        begin_actions(1);
        put_replica(5, 5, 1, wrong[i]);
        CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    }
    begin_actions(1);
    put_replica(5, 5, 1, wm_view_of("\xf6", 1)); /* null: it is no action at all */
    CHECK_INT(pass(taken()), ==, PROCEDURE_ARGUMENTS);
    begin_actions(1);
    put_replica(5, 5, 9, test_endorsement(service, 5, 9)); /* there is no such member */
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    CHECK_INT(pass(test_add_replica(service, 5, 1)), ==, PROCEDURE_DONE);
    /* A member's new key: its replicas are endorsed anew, all of them. Its own id is 1, and the
     * key of 11 signs. */
    begin_actions(1);
    put_member(GOVERNANCE_SET_MEMBER, 1, 11, 1);
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    CHECK_INT(memcmp(now()->members[0].key, test_member_key(1)->public_key, 32), ==, 0);
    test_service_free(other);
    end();
}

TEST(a_members_new_key_comes_with_new_endorsements)
{
    begin(5, 4); /* replicas 1 and 5 are member 1's */
    for (uint32_t endorsed = 0; endorsed <= 2; endorsed++) {
        begin_actions(1 + endorsed);
        put_member(GOVERNANCE_SET_MEMBER, 1, 11, 1);
        for (uint32_t i = 0; i < endorsed; i++) {
            put(3, GOVERNANCE_ENDORSE);
            cbor_put_uint(&actions, i == 0 ? 1 : 5);
            uint32_t replica = i == 0 ? 1 : 5;
            cbor_put_raw(&actions, endorse(replica, replica, 1, 11));
        }
        CHECK_INT(pass(taken()), ==, endorsed == 2 ? PROCEDURE_DONE : PROCEDURE_REFUSED);
    }
    CHECK(memcmp(now()->members[0].key, test_member_key(11)->public_key, 32) == 0);
    CHECK_INT(propose(1, set_parameters(7)), ==, PROCEDURE_DENIED); /* the old key */
    CHECK_INT(propose(11, set_parameters(7)), ==, PROCEDURE_DONE);  /* signs as member 1 */
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(governance_endorsed(now(), service->genesis.salt, &diag), ==, 0);
    const uint8_t salt[GENESIS_SALT_BYTES] = {0};
    CHECK_INT(governance_endorsed(now(), salt, &diag), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "replica 1: endorsement: ") != NULL);
    end();
}

TEST(a_proposal_that_can_no_longer_apply_is_refused_and_stays)
{
    begin(4, 4);
    CHECK_INT(propose(1, test_add_replica(service, 5, 1)), ==, PROCEDURE_DONE);
    CHECK_INT(propose(2, test_add_replica(service, 5, 2)), ==, PROCEDURE_DONE);
    CHECK_INT(vote(3, 1) + vote(4, 1), ==, PROCEDURE_DONE);
    CHECK_INT(now()->replica_count, ==, 5);
    CHECK_INT(vote(3, 2), ==, PROCEDURE_DONE);
    uint64_t governance = ledger->head.governance;
    CHECK_INT(vote(4, 2), ==, PROCEDURE_REFUSED);
    CHECK_INT(ledger->head.governance, ==, governance); /* and nobody asks for its link */
    CHECK_INT(vote(4, 2), ==, PROCEDURE_REFUSED);       /* it was not counted */
    CHECK_INT(withdraw(2, 2), ==, PROCEDURE_DONE);
    CHECK_INT(now()->number, ==, 1);
    end();
}

TEST(actions_of_any_other_form_are_refused)
{
    begin(4, 4);
    CHECK_INT(propose(1, set_parameters(5000)), ==, PROCEDURE_ARGUMENTS); /* out of range */
    begin_actions(1);
    put(2, GOVERNANCE_REMOVE_MODULE + 1);
    cbor_put_uint(&actions, 1);
    CHECK_INT(propose(1, taken()), ==, PROCEDURE_ARGUMENTS);
    begin_actions(1);
    put(3, GOVERNANCE_REMOVE_MEMBER); /* one item too many */
    cbor_put_uint(&actions, 1);
    cbor_put_uint(&actions, 1);
    CHECK_INT(propose(1, taken()), ==, PROCEDURE_ARGUMENTS);
    begin_actions(1);
    put(3, GOVERNANCE_SET_ADDRESS);
    cbor_put_uint(&actions, 1);
    static char address[GENESIS_ADDRESS_BYTES_MAX + 2];
    memset(address, 'a', sizeof address - 1);
    cbor_put_text(&actions, wm_view_str(address));
    CHECK_INT(propose(1, taken()), ==, PROCEDURE_ARGUMENTS);
    begin_actions(1);
    put(2, GOVERNANCE_REMOVE_PROCEDURE);
    cbor_put_text(&actions, wm_view_str(""));
    CHECK_INT(propose(1, taken()), ==, PROCEDURE_ARGUMENTS);
    begin_actions(2); /* fewer than announced; more */
    put(2, GOVERNANCE_REMOVE_MEMBER);
    cbor_put_uint(&actions, 1);
    CHECK_INT(propose(1, taken()), ==, PROCEDURE_ARGUMENTS);
    begin_actions(1);
    put(2, GOVERNANCE_REMOVE_MEMBER);
    cbor_put_uint(&actions, 1);
    cbor_put_uint(&actions, 1);
    CHECK_INT(propose(1, taken()), ==, PROCEDURE_ARGUMENTS);
    end();
}

/* --- Modules --- */

static uint8_t module_bytes[3 * GOVERNANCE_CHUNK_BYTES];

static struct governance_module module_of(uint32_t length, uint8_t fill)
{
    struct governance_module module = {.length = length};
    memset(module_bytes, fill, sizeof module_bytes);
    wm_sha256_once(wm_view_of(module_bytes, length), module.sha256);
    return module;
}

/* Uploads what is in module_bytes; 1: complete, 0: not, negative: the code. */
static int upload(uint32_t member, const struct governance_module *module, uint32_t chunk)
{
    static uint8_t bytes[REQUEST_ARGUMENTS_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    uint32_t at = chunk * GOVERNANCE_CHUNK_BYTES, left = module->length - at;
    cbor_put_array(&writer, 4);
    cbor_put_bytes(&writer, wm_view_of(module->sha256, sizeof module->sha256));
    cbor_put_uint(&writer, module->length);
    cbor_put_uint(&writer, chunk);
    cbor_put_bytes(&writer,
                   wm_view_of(module_bytes + at,
                              left < GOVERNANCE_CHUNK_BYTES ? left : GOVERNANCE_CHUNK_BYTES));
    CHECK(cbor_fits(&writer));
    const struct test_transaction *done =
        run(test_request(service, test_member_key(member), number++, 0, "governance.upload",
                         wm_view_of(bytes, writer.len)));
    struct cbor_reader reader = cbor_reader_of(done->result);
    bool complete = false;
    if (done->output.code != PROCEDURE_DONE) {
        return -(int)done->output.code;
    }
    CHECK(cbor_array_of(&reader, 1) && cbor_bool(&reader, &complete) && cbor_end(&reader));
    return complete;
}

static void put_procedure(const char *name, const struct governance_module *module)
{
    put(4, GOVERNANCE_SET_PROCEDURE);
    cbor_put_text(&actions, wm_view_str(name));
    cbor_put_bytes(&actions, wm_view_of(module->sha256, sizeof module->sha256));
    cbor_put_uint(&actions, module->length);
}

/* How many pairs of the state begin so? */
static uint32_t pairs_with(const char *prefix)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ledger->head.state->count; i++) {
        struct wm_view key = ledger->head.state->pairs[i].key, head;
        count += wm_view_slice(key, 0, strlen(prefix), &head) && wm_view_eq_str(head, prefix);
    }
    return count;
}

/* governance_procedure as the procedure "look": found, or refused. */
static int found;
static struct governance_module looked_up;
static enum procedure_code look(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    (void)result;
    found = governance_procedure(call, call->arguments, &looked_up);
    return PROCEDURE_DONE;
}

static int find_look(void *self, struct procedure_call *call, struct wm_view name,
                     struct procedure *out)
{
    (void)self;
    (void)call;
    (void)name;
    *out = (struct procedure){.run = look};
    return 1;
}

static int get_pair(void *self, struct wm_view key, struct wm_view *value)
{
    const struct test_pair *pair = test_state_find(self, key);
    if (pair) {
        *value = pair->value;
    }
    return pair != NULL;
}

static int look_up(const char *name)
{
    const struct procedure_table table = {.find = find_look};
    const struct procedure_state state = {.self = (void *)ledger->head.state, .get = get_pair};
    const ledger_hash hash = {0};
    struct request request = {.claims.procedure = wm_view_str("look")};
    struct procedure_done done;
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    CHECK_INT(procedure_execute(&table, &state, &request, hash, wm_view_str(name), 1, false, &arena,
                                &done),
              ==, 0);
    wm_arena_fini(&arena);
    return found;
}

TEST(a_module_is_uploaded_named_and_removed)
{
    begin(4, 4);
    struct governance_module module = module_of(2 * GOVERNANCE_CHUNK_BYTES + 5, 0xa1);
    uint64_t governance = ledger->head.governance;
    CHECK_INT(upload(1, &module, 1), ==, -(int)PROCEDURE_REFUSED); /* in order */
    CHECK_INT(upload(1, &module, 0), ==, 0);
    CHECK_INT(upload(1, &module, 2), ==, -(int)PROCEDURE_REFUSED);
    CHECK_INT(upload(1, &module, 1), ==, 0);
    begin_actions(1);
    put_procedure("mine", &module);
    struct wm_view proposed = test_keep(service, taken());
    CHECK_INT(pass(proposed), ==, PROCEDURE_REFUSED); /* it is not whole yet */
    CHECK_INT(upload(1, &module, 2), ==, 1);
    CHECK_INT(upload(2, &module, 0), ==, 1); /* it is there */
    CHECK_INT(pairs_with("gov/chunk/"), ==, 3);
    CHECK_INT(pairs_with("gov/upload/"), ==, 0);
    CHECK_INT(look_up("mine"), ==, 0);
    uint64_t cfg = now()->number;
    CHECK_INT(pass(proposed), ==, PROCEDURE_DONE);
    CHECK(now()->number == cfg && ledger->head.reconfigured_at == 0);
    CHECK(ledger->head.governance > governance);
    CHECK_INT(look_up("mine"), ==, 1);
    CHECK(memcmp(&looked_up, &module, sizeof module) == 0);
    uint8_t key[GOVERNANCE_CHUNK_KEY_BYTES], whole[GOVERNANCE_MODULE_KEY_BYTES];
    governance_chunk_key(&module, 2, key);
    const struct test_pair *chunk =
        test_state_find(ledger->head.state, wm_view_of(key, sizeof key));
    CHECK(chunk && chunk->value.len == 5 && chunk->value.ptr[4] == 0xa1);
    governance_module_key(&module, whole);
    CHECK(governance_is_module_key(wm_view_of(whole, sizeof whole)));
    CHECK(!governance_is_module_key(wm_view_of(whole, sizeof whole - 1)));
    CHECK(!governance_is_module_key(wm_view_of(key, sizeof whole)));
    begin_actions(1);
    put_procedure("governance.mine", &module);
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    /* Removed: the name is then of nothing. And may be given to another one. */
    begin_actions(1);
    put(3, GOVERNANCE_REMOVE_MODULE);
    cbor_put_bytes(&actions, wm_view_of(module.sha256, sizeof module.sha256));
    cbor_put_uint(&actions, module.length);
    CHECK_INT(pass(test_keep(service, taken())), ==, PROCEDURE_DONE);
    CHECK_INT(pass(taken()), ==, PROCEDURE_REFUSED);
    CHECK_INT(pairs_with("gov/chunk/") + pairs_with("gov/module/"), ==, 0);
    CHECK_INT(look_up("mine"), ==, 0);
    for (uint32_t i = 0; i < 2; i++) {
        begin_actions(1);
        put(2, GOVERNANCE_REMOVE_PROCEDURE);
        cbor_put_text(&actions, wm_view_str("mine"));
        CHECK_INT(pass(taken()), ==, i == 0 ? PROCEDURE_DONE : PROCEDURE_REFUSED);
    }
    CHECK(!has("gov/procedure/mine"));
    end();
}

TEST(wrong_chunks_begin_again_and_what_is_left_unfinished_is_bounded)
{
    begin(4, 4);
    struct governance_module module = module_of(2 * GOVERNANCE_CHUNK_BYTES, 1), other;
    CHECK_INT(upload(1, &module, 0), ==, 0);
    module_bytes[GOVERNANCE_CHUNK_BYTES] = 9; /* not what was announced */
    CHECK_INT(upload(1, &module, 1), ==, 0);
    CHECK_INT(pairs_with("gov/chunk/") + pairs_with("gov/upload/"), ==, 0);
    CHECK_INT(upload(1, &module, 1), ==, -(int)PROCEDURE_REFUSED);
    module = module_of(2 * GOVERNANCE_CHUNK_BYTES, 1);
    CHECK_INT(upload(1, &module, 0), ==, 0);
    /* Another begins in its place. */
    other = module_of(GOVERNANCE_CHUNK_BYTES + 1, 2);
    CHECK_INT(upload(1, &other, 0), ==, 0);
    CHECK_INT(pairs_with("gov/chunk/"), ==, 1);
    CHECK_INT(upload(1, &other, 1), ==, 1);
    /* Two at once: who comes second finds it done, and forgets nothing of it. */
    module = module_of(2 * GOVERNANCE_CHUNK_BYTES, 1);
    CHECK_INT(upload(1, &module, 0), ==, 0);
    CHECK_INT(upload(2, &module, 0), ==, 0);
    CHECK_INT(upload(2, &module, 1), ==, 1);
    CHECK_INT(upload(1, &module, 1), ==, 1);
    struct governance_module third = module_of(GOVERNANCE_CHUNK_BYTES + 1, 3);
    CHECK_INT(upload(1, &third, 0), ==, 0);
    CHECK_INT(pairs_with("gov/chunk/"), ==, 5);
    CHECK_INT(pairs_with("gov/module/"), ==, 2);
    /* The same bytes under another length are another module. */
    struct governance_module shorter = module_of(GOVERNANCE_CHUNK_BYTES, 1);
    memcpy(shorter.sha256, module.sha256, sizeof shorter.sha256);
    CHECK_INT(upload(3, &shorter, 0), ==, 0);
    CHECK_INT(pairs_with("gov/module/"), ==, 2);
    CHECK_INT(pairs_with("gov/chunk/"), ==, 5);
    /* Lengths that there are not. */
    third.length = 0;
    CHECK_INT(upload(1, &third, 0), ==, -(int)PROCEDURE_ARGUMENTS);
    third.length = GOVERNANCE_MODULE_BYTES_MAX + 1;
    CHECK_INT(upload(1, &third, 0), ==, -(int)PROCEDURE_ARGUMENTS);
    end();
}

TEST(a_member_has_so_many_modules_and_no_more)
{
    begin(4, 4);
    struct governance_module module;
    for (uint8_t i = 0; i < GOVERNANCE_MODULES_MAX; i++) {
        module = module_of(10, i);
        CHECK_INT(upload(1, &module, 0), ==, 1);
    }
    module = module_of(10, 99);
    CHECK_INT(upload(1, &module, 0), ==, -(int)PROCEDURE_REFUSED);
    CHECK_INT(upload(2, &module, 0), ==, 1); /* others may */
    struct governance_module removed = module_of(10, 3);
    begin_actions(1);
    put(3, GOVERNANCE_REMOVE_MODULE);
    cbor_put_bytes(&actions, wm_view_of(removed.sha256, sizeof removed.sha256));
    cbor_put_uint(&actions, removed.length);
    CHECK_INT(pass(taken()), ==, PROCEDURE_DONE);
    module = module_of(10, 98);
    CHECK_INT(upload(1, &module, 0), ==, 1);
    module = module_of(10, 97);
    CHECK_INT(upload(1, &module, 0), ==, -(int)PROCEDURE_REFUSED);
    end();
}

TEST(the_largest_module_can_be_completed)
{
    /* What the last chunk reads stays within a call's limits. */
    CHECK(GOVERNANCE_MODULE_BYTES_MAX + 4u * 65536u < PROCEDURE_TOUCHED_BYTES_MAX);
    CHECK(governance_chunks(GOVERNANCE_MODULE_BYTES_MAX) + 64u < PROCEDURE_TOUCHES_MAX);
    CHECK_INT(governance_chunks(1), ==, 1);
    CHECK_INT(governance_chunks(GOVERNANCE_CHUNK_BYTES), ==, 1);
    CHECK_INT(governance_chunks(GOVERNANCE_CHUNK_BYTES + 1), ==, 2);
}

/* --- States that liars signed, and memory that lacks --- */

/* A pair whose value is another one. */
struct bent {
    const struct test_state *state;
    struct wm_view key, value;
};

static int bent_get(void *self, struct wm_view key, struct wm_view *value)
{
    const struct bent *bent = self;
    if (wm_view_eq(key, bent->key)) {
        *value = bent->value;
        return 1;
    }
    return get_pair((void *)bent->state, key, value);
}

static int execute(const struct procedure_state *state, struct test_call call,
                   struct wm_arena *arena, struct procedure_done *done)
{
    const ledger_hash hash = {0};
    struct request request;
    int rc = request_get(call.request, &request, NULL);
    return rc != 0 ? rc
                   : procedure_execute(&test_procedures, state, &request, hash, call.arguments, 1,
                                       false, arena, done);
}

static struct test_call some_calls[4];
static void make_calls(void)
{
    uint8_t one[2] = {0x81, 0x01};
    some_calls[0] = test_vote(service, 3, number++, 1);
    some_calls[1] = test_propose(service, 3, number++, test_add_replica(service, 8, 3));
    some_calls[2] = test_request(service, test_member_key(1), number++, 0, "governance.withdraw",
                                 wm_view_of(one, 2));
    struct governance_module module = module_of(GOVERNANCE_CHUNK_BYTES + 7, 4);
    static uint8_t bytes[256];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    cbor_put_array(&writer, 4);
    cbor_put_bytes(&writer, wm_view_of(module.sha256, sizeof module.sha256));
    cbor_put_uint(&writer, module.length);
    cbor_put_uint(&writer, 1);
    cbor_put_bytes(&writer, wm_view_of(module_bytes, 7));
    some_calls[3] = test_request(service, test_member_key(1), number++, 0, "governance.upload",
                                 wm_view_of(bytes, writer.len));
    CHECK_INT(propose(1, test_add_replica(service, 5, 1)), ==, PROCEDURE_DONE);
    CHECK_INT(vote(2, 1), ==, PROCEDURE_DONE);
    CHECK_INT(upload(1, &module, 0), ==, 0);
}

TEST(any_value_in_the_state_is_read_without_harm)
{
    begin(4, 4);
    make_calls();
    uint32_t refused = 0, done_count = 0;
    for (uint32_t i = 0; i < ledger->head.state->count; i++) {
        const struct test_pair *pair = &ledger->head.state->pairs[i];
        size_t step = pair->value.len > 256 ? pair->value.len / 64 : 1;
        for (size_t at = 0; at <= pair->value.len; at += step) {
            uint8_t *value = wm_alloc(pair->value.len + 1);
            struct bent bent = {ledger->head.state, pair->key, {value, pair->value.len}};
            const struct procedure_state state = {.self = &bent, .get = bent_get};
            REQUIRE(value != NULL);
            if (pair->value.len > 0) {
                memcpy(value, pair->value.ptr, pair->value.len);
            }
            if (at < pair->value.len) {
                value[at] ^= (uint8_t)(1u << at % 8);
            } else {
                bent.value.len /= 2;
            }
            for (size_t call = 0; call < WM_COUNT_OF(some_calls); call++) {
                struct procedure_done done;
                struct wm_arena arena;
                wm_arena_init(&arena, 0);
                REQUIRE(execute(&state, some_calls[call], &arena, &done) == 0);
                refused += done.output.code == PROCEDURE_REFUSED;
                done_count += done.output.code == PROCEDURE_DONE;
                wm_arena_fini(&arena);
            }
            wm_free(value);
        }
    }
    wm_test_note("%u refused, %u done", refused, done_count);
    CHECK(refused > 200 && done_count > 200);
    end();
}

TEST(memory_that_lacks_gives_no_output)
{
    begin(4, 4);
    make_calls();
    for (size_t call = 0; call < WM_COUNT_OF(some_calls); call++) {
        const struct procedure_state state = {.self = (void *)ledger->head.state, .get = get_pair};
        for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
            struct procedure_done done;
            struct wm_arena arena;
            wm_arena_init(&arena, 0);
            int rc = execute(&state, some_calls[call], &arena, &done);
            CHECK(rc == -ENOMEM || (rc == 0 && done.output.code == PROCEDURE_DONE));
            wm_arena_fini(&arena);
        }
        for (size_t limit = 1000; limit < 400000; limit += 4999) {
            struct procedure_done done;
            struct wm_arena arena;
            wm_arena_init(&arena, limit);
            int rc = execute(&state, some_calls[call], &arena, &done);
            CHECK(rc == -ENOMEM || (rc == 0 && done.output.code == PROCEDURE_DONE));
            wm_arena_fini(&arena);
        }
    }
    end();
}

TEST_MAIN(TEST_CASE(a_proposal_passes_with_more_than_its_percentage),
          TEST_CASE(one_member_of_one_decides_and_weights_count),
          TEST_CASE(each_class_asks_for_its_own_percentage_and_the_largest_counts),
          TEST_CASE(only_members_and_only_what_was_done_is_governance),
          TEST_CASE(who_proposed_withdraws_and_of_who_left_anybody),
          TEST_CASE(what_is_open_is_bounded), TEST_CASE(every_action_changes_what_it_says),
          TEST_CASE(ids_and_keys_are_never_used_twice),
          TEST_CASE(what_breaks_a_configuration_is_refused_whole),
          TEST_CASE(a_replica_comes_with_its_members_word),
          TEST_CASE(a_members_new_key_comes_with_new_endorsements),
          TEST_CASE(a_proposal_that_can_no_longer_apply_is_refused_and_stays),
          TEST_CASE(actions_of_any_other_form_are_refused),
          TEST_CASE(a_module_is_uploaded_named_and_removed),
          TEST_CASE(wrong_chunks_begin_again_and_what_is_left_unfinished_is_bounded),
          TEST_CASE(a_member_has_so_many_modules_and_no_more),
          TEST_CASE(the_largest_module_can_be_completed),
          TEST_CASE(any_value_in_the_state_is_read_without_harm),
          TEST_CASE(memory_that_lacks_gives_no_output))
