/* blame_execution_test.c: batches executed again on what a file shows of the state: whoever signed
 * another result is blamed, and nobody for what is right, or cannot be told. */
#include "proof/blame.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "proof/statement.h"
#include "proof/test_service.h"

#define ID(position) (UINT64_C(1) << ((position) + 1)) /* replicas of configuration 0 */

static struct test_service *service;
static struct test_ledger *ledger;
static uint8_t file[1u << 21];
static struct cbor_writer writer;
static struct wm_view chain;
static uint64_t number;

static void begin(void)
{
    service = test_service_new(4, 4, 2);
    ledger = test_ledger_new(service);
    chain = wm_view_str("\x80"); /* no links */
    number = 100;
}

static void end(void)
{
    test_service_free(service);
}

static struct test_call put(const char *key, const char *value)
{
    return test_put(service, 1, number++, key, value);
}

static struct test_call get(const char *key)
{
    uint8_t bytes[128];
    struct cbor_writer arguments = cbor_writer_of(bytes, sizeof bytes);
    cbor_put_array(&arguments, 1);
    cbor_put_bytes(&arguments, wm_view_str(key));
    return test_request(service, test_client_key(2), number++, 0, "test.get",
                        wm_view_of(bytes, arguments.len));
}

static const struct test_batch *one(struct test_call call)
{
    return test_batch(ledger, &call, 1, NULL);
}

static const struct test_batch *lie(struct test_call call,
                                    void (*output)(void *, uint32_t, struct request_output *))
{
    const struct test_twist twist = {.output = output};
    return test_batch(ledger, &call, 1, &twist);
}

/* --- Files --- */

/* What a file leaves out or has wrong. */
struct omission {
    bool before, proofs, values, other_value, last;
    const struct test_batch *transactions_of;
    const struct test_batch *later; /* by way of it */
};

static bool seen_before(const struct test_batch *batch, uint32_t transaction, uint32_t touched)
{
    struct wm_view key = batch->transactions[transaction].touched[touched];
    for (uint32_t i = 0; i <= transaction; i++) {
        uint32_t count = i < transaction ? batch->transactions[i].touched_count : touched;
        for (uint32_t k = 0; k < count; k++) {
            if (wm_view_eq(batch->transactions[i].touched[k], key)) {
                return true;
            }
        }
    }
    return false;
}

/* Of a result that was lied about there is none to show. */
static bool is_lie(const struct test_batch *batch)
{
    const struct test_transaction *last = &batch->transactions[batch->claims.count - 1];
    ledger_hash hash;
    wm_sha256_once(last->result, hash);
    return last->result.len != last->output.result_len ||
           memcmp(hash, last->output.result, sizeof hash) != 0;
}

static void put_file(const struct test_batch *batch, uint64_t who, const struct omission *omission)
{
    static struct blame_vouched vouched;
    static const struct omission none;
    const struct omission *no = omission ? omission : &none;
    uint64_t seqno = batch->claims.seqno;
    const struct test_batch *by = no->later ? no->later : batch;
    const struct test_batch *before = seqno > 1 ? ledger->batches[seqno - 2] : NULL;
    uint32_t pair_count = 0, proof_count = 0;
    vouched = (struct blame_vouched){.has_below = no->later != NULL};
    test_signatures(by, who, &vouched.signatures);
    if (no->later) {
        vouched.below = test_below(ledger, batch, no->later);
    }
    vouched.has_anchor = by->claims.cfg > 0;
    if (vouched.has_anchor) {
        vouched.anchor = test_anchor(ledger, by->claims.cfg, by);
    }
    struct blame_below below;
    if (before) {
        below = test_below(ledger, before, batch);
    }
    struct blame_last last;
    bool has_last =
        before && before->claims.count > 0 && !no->before && !no->last && !is_lie(before);
    if (has_last) {
        last = test_last(before);
    }
    for (uint32_t pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            writer = cbor_writer_of(file, sizeof file);
            blame_put_execution(
                &writer, service->service, chain, &vouched, before && !no->before ? &below : NULL,
                has_last ? &last : NULL,
                test_transactions(no->transactions_of ? no->transactions_of : batch), pair_count);
        }
        for (uint32_t i = 0; i < batch->claims.count; i++) {
            for (uint32_t k = 0; k < batch->transactions[i].touched_count; k++) {
                struct blame_pair pair = {.key = batch->transactions[i].touched[k]};
                const struct test_pair *found = test_state_find(batch->before, pair.key);
                if (!before || seen_before(batch, i, k)) {
                    continue;
                }
                proof_count += pass == 0 && !no->proofs;
                if (!found || no->values) {
                    continue;
                }
                pair.value = no->other_value ? wm_view_str("!") : found->value;
                pair_count += pass == 0;
                if (pass == 1) {
                    blame_pair_put(&writer, &pair);
                }
            }
        }
    }
    cbor_put_array(&writer, proof_count);
    for (uint32_t i = 0; i < batch->claims.count && proof_count > 0; i++) {
        for (uint32_t k = 0; k < batch->transactions[i].touched_count; k++) {
            static struct state_proof proof;
            if (!seen_before(batch, i, k)) {
                test_state_prove(batch->before, batch->transactions[i].touched[k], &proof);
                state_proof_put(&writer, &proof);
            }
        }
    }
    CHECK(cbor_fits(&writer));
}

static struct test_judgement judge(void)
{
    return test_judge(service, wm_view_of(file, writer.len));
}

static void check_blamed(uint64_t ids, const char *reason)
{
    struct test_judgement judgement = judge();
    CHECK_INT(judgement.rc, ==, 0);
    if (judgement.rc != 0) {
        wm_test_note("%s", judgement.diag.text);
    }
    CHECK_INT(judgement.ids, ==, ids);
    if (!wm_test_check(strstr(judgement.reason, reason) != NULL, __FILE__, __LINE__, reason)) {
        wm_test_note("%s", judgement.reason);
    }
}

static void check_nobody(int rc, const char *why)
{
    struct test_judgement judgement = judge();
    CHECK_INT(judgement.rc, ==, rc);
    if (!wm_test_check(strstr(judgement.diag.text, why) != NULL, __FILE__, __LINE__, why)) {
        wm_test_note("%s", judgement.rc == 0 ? judgement.reason : judgement.diag.text);
    }
}

/* --- What is right --- */

TEST(nobody_is_blamed_for_any_batch_of_an_honest_life)
{
    begin();
    static const char *const keys[] = {"t/a", "t/b", "t/c", "t/d", "t/e", "t/f"};
    uint32_t random = 1;
    for (uint32_t s = 0; s < 12; s++) {
        struct test_call calls[6];
        uint32_t count = s % 5;
        for (uint32_t i = 0; i < count; i++) {
            random = random * 1664525 + 1013904223;
            const char *key = keys[(random >> 24) % WM_COUNT_OF(keys)];
            calls[i] = (random >> 16) % 3 ? put(key, keys[s % 6]) : get(key);
        }
        if (count > 2) {
            calls[2] = calls[0]; /* sent again: a duplicate */
        }
        test_batch(ledger, calls, count, NULL);
    }
    one(test_propose(service, 1, 1, test_remove_replica(service, 2)));
    one(test_vote(service, 4, 1, 1));
    one(test_vote(service, 4, 2, 1)); /* refused */
    struct test_call two[] = {put("t/a", "x"), test_vote(service, 3, 1, 1)};
    test_batch(ledger, two, 2, NULL);
    test_reconfigure(ledger);
    one(put("t/a", "y"));
    one(test_request(service, test_client_key(3), 1, 0, "no.such", wm_view_str("")));
    one(put("t/b", "z"));
    chain = test_chain(ledger, ledger->head.batch_count);
    for (uint64_t seqno = 1; seqno <= ledger->head.batch_count; seqno++) {
        const struct test_batch *batch = ledger->batches[seqno - 1];
        put_file(batch, test_lowest(batch, batch->configuration->replica_count), NULL);
        check_nobody(WM_E_INVALID, "has the result that was signed");
        const struct omission no_last = {.last = true};
        put_file(batch, 0x7, &no_last);
        check_nobody(WM_E_INVALID, "has the result that was signed");
    }
    CHECK_INT(ledger->batches[ledger->head.batch_count - 1]->claims.cfg, ==, 1);
    end();
}

/* --- Other results than were signed --- */

static void another_code(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->code = PROCEDURE_REFUSED;
}

static void another_result(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->result[3] ^= 1;
}

static void another_length(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->result_len++;
}

static void other_reads(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->reads[0] ^= 1;
}

static void other_writes(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->writes[31] ^= 1;
}

static void another_digest(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->procedure[0] ^= 1;
}

static void another_version(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    wm_sha256_once(wm_view_str("wardmote:test.put:2"), output->procedure);
}

static void another_fuel(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->fuel_version = 1;
}

static void unknown(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    memset(output, 0, sizeof *output);
    output->code = PROCEDURE_UNKNOWN;
    wm_sha256_once(wm_view_of(NULL, 0), output->result);
    wm_sha256_once(wm_view_of(NULL, 0), output->reads);
    wm_sha256_once(wm_view_of(NULL, 0), output->writes);
}

TEST(who_signed_another_result_is_blamed)
{
    static const struct {
        void (*output)(void *self, uint32_t position, struct request_output *output);
        const char *reason;
    } cases[] = {
        {another_code, "has another end than they signed"},
        {another_result, "has another result"},
        {another_length, "has another result"},
        {other_reads, "has other reads"},
        {other_writes, "has other writes"},
        {another_digest, "has another procedure"},
    };
    begin();
    one(put("t/a", "1"));
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        const struct test_batch *batch = lie(put("t/a", "2"), cases[i].output);
        put_file(batch, 0x6, NULL);
        check_blamed(ID(test_primary(batch)) | ID(1) | ID(2), cases[i].reason);
        put_file(batch, 0x8, NULL); /* one signature and the primary's are enough */
        check_blamed(ID(0) | ID(3), "(test.put)");
    }
    /* The first batch of all, from the genesis. */
    struct test_ledger *second = ledger;
    ledger = test_ledger_fork(ledger, 0);
    put_file(lie(put("t/a", "1"), another_code), 0x2, NULL);
    check_blamed(ID(0) | ID(1), "batch 1: executing transaction 1 (test.put) has another end");
    ledger = second;
    end();
}

TEST(what_this_program_has_in_another_version_is_not_judged)
{
    begin();
    one(put("t/a", "1"));
    put_file(lie(put("t/a", "2"), another_version), 0x6, NULL);
    check_nobody(WM_E_UNSUPPORTED, "its procedure test.put was not of the version");
    put_file(lie(put("t/a", "2"), another_fuel), 0x6, NULL);
    check_nobody(WM_E_UNSUPPORTED, "test.put");
    put_file(lie(put("t/a", "2"), unknown), 0x6, NULL);
    check_nobody(WM_E_UNSUPPORTED, "test.put");
    /* But governance, which every version has. */
    put_file(lie(test_propose(service, 1, 1, test_remove_replica(service, 2)), unknown), 0x6, NULL);
    check_blamed(ID(0) | ID(1) | ID(2), "(governance.propose) has another end");
    CHECK_INT(blame_verify(wm_view_of(file, writer.len), service->genesis_bytes, NULL, 0,
                           &(struct blame_verdict){0}, NULL),
              ==, WM_E_UNSUPPORTED); /* no procedures at all */
    end();
}

static void other_state(void *self, struct preprepare_claims *claims)
{
    (void)self;
    claims->state_root[7] ^= 1;
}

TEST(who_signed_another_state_is_blamed)
{
    begin();
    one(put("t/a", "1"));
    const struct test_twist twist = {.claims = other_state};
    struct test_call call = put("t/a", "2");
    put_file(test_batch(ledger, &call, 1, &twist), 0x6, NULL);
    check_blamed(ID(0) | ID(1) | ID(2), "executing it leaves another state than they signed");
    /* Also where nothing was executed. */
    one(put("t/a", "3"));
    put_file(test_batch(ledger, NULL, 0, &twist), 0x8, NULL);
    check_blamed(ID(0) | ID(3), "another state");
    end();
}

/* The output of a first execution, for one that is a duplicate. */
static struct request_output first_output;
static void as_before(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    *output = first_output;
}

static void second_as_first(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    if (position == 0) {
        first_output = *output;
    } else {
        *output = first_output;
    }
}

TEST(a_number_that_is_executed_twice_blames_the_signers)
{
    begin();
    one(put("t/a", "1"));
    struct test_call call = put("t/a", "2");
    first_output = one(call)->transactions[0].output;
    CHECK_INT(one(call)->transactions[0].output.code, ==, PROCEDURE_DUPLICATE);
    put_file(ledger->batches[2], 0x6, NULL);
    check_nobody(WM_E_INVALID, "has the result that was signed");
    put_file(lie(call, as_before), 0x6, NULL);
    check_blamed(ID(0) | ID(1) | ID(2), "has another end");
    /* And within one batch. */
    const struct test_twist twist = {.output = second_as_first};
    call = put("t/b", "1");
    struct test_call twice[] = {call, call};
    put_file(test_batch(ledger, twice, 2, &twist), 0x6, NULL);
    check_blamed(ID(0) | ID(1) | ID(2), "has another end");
    end();
}

/* --- Requests that no replica takes --- */

/* A batch of one right request and this one. */
static void check_request(struct test_call call, const char *reason)
{
    struct test_call two[] = {put("t/a", "1"), call};
    const struct test_batch *batch = test_batch(ledger, two, 2, NULL);
    const struct omission nothing = {.before = true, .proofs = true, .values = true};
    put_file(batch, 0x6, NULL);
    check_blamed(ID(0) | ID(1) | ID(2), reason);
    put_file(batch, 0x6, &nothing); /* it takes nothing of the state */
    check_blamed(ID(0) | ID(1) | ID(2), reason);
}

TEST(who_executed_what_is_no_request_is_blamed)
{
    begin();
    one(put("t/a", "0"));
    struct test_service *other = test_service_new(4, 3, 2);
    struct test_call call = put("t/a", "1");
    uint8_t bytes[REQUEST_BYTES_MAX];
    memcpy(bytes, call.request.ptr, call.request.len);
    bytes[call.request.len - 3] ^= 4;
    check_request(
        (struct test_call){test_keep(service, wm_view_of(bytes, call.request.len)), call.arguments},
        "executed transaction 3, whose request is not signed by the client that it names");
    check_request(test_request(other, test_client_key(1), 1, 0, "test.put", wm_view_str("")),
                  "whose request is for another service");
    check_request(test_request(service, test_client_key(1), number++, ledger->head.next_index + 2,
                               "test.put", wm_view_str("")),
                  "whose request asks for a larger index");
    test_service_free(other);
    end();
}

/* Signs a request with claims that are not those of its arguments. */
static struct test_call short_of_arguments(void)
{
    struct test_call call = put("t/a", "1");
    struct request request;
    struct cose_statement statement;
    uint8_t claims[COSE_CLAIMS_BYTES_MAX], header[COSE_PROTECTED_BYTES_MAX];
    uint8_t bytes[REQUEST_BYTES_MAX];
    struct cbor_writer inner = cbor_writer_of(claims, sizeof claims);
    struct cbor_writer whole = cbor_writer_of(bytes, sizeof bytes);
    CHECK_INT(request_get(call.request, &request, NULL), ==, 0);
    request.claims.arguments_len++;
    request_claims_put(&inner, &request.claims);
    statement_sign(test_client_key(1), false, wm_view_of(claims, inner.len),
                   request.statement.payload, header, &statement);
    cose_put_sign1(&whole, &statement);
    call.request = test_keep(service, wm_view_of(bytes, whole.len));
    return call;
}

TEST(arguments_are_those_that_were_signed)
{
    begin();
    one(put("t/a", "0"));
    check_request(short_of_arguments(), "has arguments of another length than it says");
    /* Others in the file are the file's fault. */
    struct test_batch changed = *one(put("t/a", "1"));
    struct test_transaction transaction = changed.transactions[0];
    transaction.arguments = wm_view_str("\x80");
    changed.transactions = &transaction;
    struct omission wrong = {.transactions_of = &changed};
    put_file(ledger->batches[2], 0x6, &wrong);
    check_nobody(WM_E_FORGED, "the arguments are not the request's");
    end();
}

/* --- Governance, and what follows --- */

TEST(a_batch_ends_with_its_governance_transaction)
{
    begin();
    one(put("t/a", "0"));
    struct test_call two[] = {test_propose(service, 1, 1, test_remove_replica(service, 2)),
                              put("t/a", "1")};
    put_file(test_batch(ledger, two, 2, NULL), 0x6, NULL);
    check_blamed(ID(0) | ID(1) | ID(2),
                 "it goes on after transaction 2, which is one of governance");
    /* One that was refused does not end it. */
    one(put("t/a", "2"));
    two[0] = test_propose(service, 1, 2, wm_view_str("\x80"));
    put_file(test_batch(ledger, two, 2, NULL), 0x6, NULL);
    check_nobody(WM_E_INVALID, "has the result that was signed");
    end();
}

static void index_later(void *self, struct preprepare_claims *claims)
{
    (void)self;
    claims->first_index += 5;
}

static void no_governance(void *self, struct preprepare_claims *claims)
{
    (void)self;
    claims->governance = 0;
}

static void some_governance(void *self, struct preprepare_claims *claims)
{
    (void)self;
    claims->governance = 1;
}

/* An empty batch with this lie, signed by positions 0 and 3, in a ledger that then ends. */
static void put_empty(void (*claims)(void *self, struct preprepare_claims *claims),
                      const struct omission *omission)
{
    const struct test_twist twist = {.claims = claims};
    struct test_ledger *honest = ledger;
    ledger = test_ledger_fork(honest, honest->head.batch_count);
    ledger->head = honest->head;
    put_file(test_batch(ledger, NULL, 0, claims ? &twist : NULL), 0x9, omission);
    ledger = honest;
}

TEST(a_batch_follows_from_the_one_before)
{
    begin();
    const struct omission no_last = {.last = true};
    one(put("t/a", "0"));
    one(put("t/a", "1"));
    put_empty(index_later, NULL);
    check_blamed(ID(0) | ID(3), "and its first index does not follow");
    put_empty(some_governance, NULL);
    check_blamed(ID(0) | ID(3), "it names another governance transaction");
    one(test_propose(service, 1, 1, test_remove_replica(service, 2)));
    put_empty(NULL, NULL);
    check_nobody(WM_E_INVALID, "has the result that was signed");
    one(test_vote(service, 2, 1, 1));
    put_empty(no_governance, NULL); /* the vote is hidden from the chain */
    check_blamed(ID(0) | ID(3), "it names another governance transaction");
    ledger->head.governance = 3; /* the proposal's: as if the vote had not been one */
    put_empty(NULL, NULL);
    check_blamed(ID(0) | ID(3), "it names another governance transaction");
    put_empty(NULL, &no_last); /* the vote, which is not to be seen here */
    check_nobody(WM_E_INVALID, "has the result that was signed");
    end();
}

TEST(a_final_vote_is_followed_by_the_end_of_the_configuration)
{
    begin();
    one(put("t/a", "0"));
    one(test_propose(service, 1, 1, test_remove_replica(service, 2)));
    one(test_vote(service, 2, 1, 1));
    const struct test_batch *final = one(test_vote(service, 3, 1, 1));
    uint64_t at = final->claims.seqno;
    struct test_ledger *honest = ledger;
    CHECK(final->reconfigures);
    /* As if nothing had been voted; and as if something had. */
    ledger = test_ledger_fork(honest, at);
    ledger->head.reconfigured_at = 0;
    put_empty(NULL, NULL);
    check_blamed(ID(0) | ID(3), "it is of another kind, phase or configuration");
    ledger = test_ledger_fork(honest, at - 1);
    ledger->head.reconfigured_at = at - 1;
    ledger->head.reconfigured_pipeline = 2;
    put_empty(NULL, NULL);
    check_blamed(ID(0) | ID(3), "it is of another kind, phase or configuration");
    /* A batch of the end that is made twice, at each place; and one of the beginning. */
    ledger = test_ledger_fork(honest, at);
    for (uint32_t k = 1; k <= 6; k++) {
        test_empty(ledger, 1);
        chain = test_chain(ledger, at + k);
        put_empty(NULL, NULL);
        check_nobody(WM_E_INVALID, "has the result that was signed");
        struct test_head head = ledger->head;
        ledger->head.reconfigured_at = at + 1;
        ledger->head.reconfigured_pipeline = 2;
        ledger->head.cfg -= k == 5; /* whose first batch begins it */
        put_empty(NULL, NULL);
        /* Positions 0 and 3 are replicas 1 and 4 before; after, position 3 is nobody. */
        check_blamed(k < 5 ? ID(0) | ID(3) : ID(0), "it is of another kind, phase or");
        ledger->head = head;
    }
    end();
}

TEST(who_may_have_begun_with_a_checkpoint_is_not_asked_what_was_before)
{
    begin();
    one(put("t/a", "0"));
    test_empty(ledger, 15);
    put_empty(some_governance, NULL); /* batch 16 may have been somebody's first */
    check_nobody(WM_E_INVALID, "has the result that was signed");
    test_empty(ledger, 1);
    put_empty(some_governance, NULL);
    check_blamed(ID(0) | ID(3), "it names another governance transaction");
    /* What it executed itself is another matter, also by way of a later batch. */
    const struct test_batch *batch = lie(put("t/a", "1"), another_code);
    test_empty(ledger, 20);
    struct omission by = {.later = ledger->batches[24]};
    put_file(batch, 0x9, &by);
    check_blamed(ID(0) | ID(3), "has another end");
    by.later = ledger->batches[35];
    put_file(batch, 0x9, &by);
    check_nobody(WM_E_INVALID, "may have begun with a checkpoint between the two");
    end();
}

/* --- Files that leave something out --- */

TEST(what_a_file_does_not_show_is_not_judged)
{
    begin();
    one(put("t/a", "0"));
    one(put("t/b", "0"));
    const struct test_batch *batch = lie(put("t/a", "1"), another_code);
    struct omission omission = {.before = true, .proofs = true};
    put_file(batch, 0x6, &omission);
    check_nobody(WM_E_INVALID, "of the state nothing is shown");
    omission = (struct omission){.proofs = true};
    put_file(batch, 0x6, &omission);
    check_nobody(WM_E_NOT_FOUND, "does not show what the state has under \"client/");
    omission = (struct omission){.values = true};
    put_file(batch, 0x6, &omission);
    check_nobody(WM_E_NOT_FOUND, "does not show what the state has under \"client/");
    omission = (struct omission){.other_value = true};
    put_file(batch, 0x6, &omission);
    check_nobody(WM_E_NOT_FOUND, "does not show what the state has");
    omission = (struct omission){.before = true};
    put_file(batch, 0x6, &omission);
    check_nobody(WM_E_MALFORMED, "there are proofs, and not the batch before");
    omission = (struct omission){.transactions_of = ledger->batches[1]};
    put_file(batch, 0x6, &omission);
    check_nobody(WM_E_FORGED, "these are not the transactions that were signed");
    struct test_batch relabelled = *batch; /* right but for the number */
    relabelled.claims.seqno++;
    omission = (struct omission){.transactions_of = &relabelled};
    put_file(batch, 0x6, &omission);
    check_nobody(WM_E_FORGED, "these are not the transactions that were signed");
    put_file(batch, 0x6, NULL);
    check_blamed(ID(0) | ID(1) | ID(2), "has another end");
    /* Values of reads: what was not there needs its proof as well. */
    batch = lie(get("t/none"), another_result);
    put_file(batch, 0x6, NULL);
    check_blamed(ID(0) | ID(1) | ID(2), "has another result");
    end();
}

TEST(the_batch_before_is_that_of_the_signed_ledger)
{
    begin();
    one(put("t/a", "0"));
    const struct test_batch *batch = lie(put("t/a", "1"), another_code);
    struct test_ledger *right = ledger, *wrong = test_ledger_fork(ledger, 0);
    struct test_call call = put("t/a", "9");
    test_batch(wrong, &call, 1, NULL);
    test_batch(wrong, NULL, 0, NULL);
    ledger = wrong; /* its batch 1, with its place in its own ledger */
    put_file(batch, 0x6, NULL);
    check_nobody(WM_E_FORGED, "the ledger below it does not have this batch before it");
    ledger = right;
    end();
}

TEST(flipped_bits_blame_nobody_else)
{
    begin();
    one(put("t/a", "0"));
    one(put("t/b", "0"));
    put_file(lie(put("t/a", "1"), another_code), 0x6, NULL);
    size_t step = 8 * writer.len / 2000 | 1;
    for (size_t bit = 0; bit < 8 * writer.len; bit += step) {
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* Of the result nothing is asked here, since its hash is what was signed. */
        struct test_judgement judgement = judge();
        CHECK(judgement.rc != 0 || judgement.ids == (ID(0) | ID(1) | ID(2)));
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    end();
}

TEST(memory_that_lacks_blames_nobody)
{
    begin();
    one(put("t/a", "0"));
    put_file(lie(put("t/a", "1"), another_code), 0x6, NULL);
    static struct blame_verdict verdict;
    uint64_t failed = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        int rc = blame_verify(wm_view_of(file, writer.len), service->genesis_bytes,
                              &test_procedures, 0, &verdict, NULL);
        CHECK(rc == 0 || rc == -ENOMEM || rc == WM_E_LIMIT);
        failed += rc != 0;
        if (rc == 0) {
            CHECK_INT(verdict.count, ==, 3);
            blame_fini(&verdict);
        }
    }
    CHECK(failed > 3);
    for (uint64_t limit = 1000; limit < 150000; limit += 1777) {
        int rc = blame_verify(wm_view_of(file, writer.len), service->genesis_bytes,
                              &test_procedures, limit, &verdict, NULL);
        CHECK(rc == 0 || rc == -ENOMEM || rc == WM_E_LIMIT);
        if (rc == 0) {
            blame_fini(&verdict);
        }
    }
    end();
}

TEST_MAIN(TEST_CASE(nobody_is_blamed_for_any_batch_of_an_honest_life),
          TEST_CASE(who_signed_another_result_is_blamed),
          TEST_CASE(what_this_program_has_in_another_version_is_not_judged),
          TEST_CASE(who_signed_another_state_is_blamed),
          TEST_CASE(a_number_that_is_executed_twice_blames_the_signers),
          TEST_CASE(who_executed_what_is_no_request_is_blamed),
          TEST_CASE(arguments_are_those_that_were_signed),
          TEST_CASE(a_batch_ends_with_its_governance_transaction),
          TEST_CASE(a_batch_follows_from_the_one_before),
          TEST_CASE(a_final_vote_is_followed_by_the_end_of_the_configuration),
          TEST_CASE(who_may_have_begun_with_a_checkpoint_is_not_asked_what_was_before),
          TEST_CASE(what_a_file_does_not_show_is_not_judged),
          TEST_CASE(the_batch_before_is_that_of_the_signed_ledger),
          TEST_CASE(flipped_bits_blame_nobody_else), TEST_CASE(memory_that_lacks_blames_nobody))
