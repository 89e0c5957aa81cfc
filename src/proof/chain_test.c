/* chain_test.c: governance chains of whole lives of a ledger; what is left out, put in, turned
 * round or lied about in them. */
#include "proof/chain.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "proof/test_service.h"

#define P 2u

static struct test_service *service;
static struct test_ledger *ledger;
static struct chain chain;
static struct wm_diag diag;
static uint64_t number;

static void begin(void)
{
    service = test_service_new(4, 4, P);
    ledger = test_ledger_new(service);
    number = 1;
    CHECK_INT(chain_begin(&chain, service->genesis_bytes, 0, NULL), ==, 0);
}

static void end(void)
{
    chain_fini(&chain);
    test_service_free(service);
}

static const struct test_batch *one(struct test_call call)
{
    return test_batch(ledger, &call, 1, NULL);
}

/* Proposed by 1, voted for by 2 and 3; the batch of the final vote. */
static const struct test_batch *pass(struct wm_view actions, uint32_t proposal)
{
    one(test_propose(service, 1, number++, actions));
    one(test_vote(service, 2, number++, proposal));
    return one(test_vote(service, 3, number++, proposal));
}

/* Of any kind: replica 5 is added, replica 2 removed, a module named. */
static void live(void)
{
    uint8_t bytes[512], action[128];
    one(test_put(service, 1, 1, "t/a", "1"));
    pass(test_add_replica(service, 5, 2), 1);
    test_reconfigure(ledger);
    one(test_put(service, 1, 2, "t/a", "2"));
    /* Not a link: an upload, and a vote that is refused. */
    struct governance_module module = {.length = 3};
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    wm_sha256_once(wm_view_str("abc"), module.sha256);
    cbor_put_array(&writer, 4);
    cbor_put_bytes(&writer, wm_view_of(module.sha256, sizeof module.sha256));
    cbor_put_uint(&writer, module.length);
    cbor_put_uint(&writer, 0);
    cbor_put_bytes(&writer, wm_view_str("abc"));
    one(test_request(service, test_member_key(4), number++, 0, "governance.upload",
                     wm_view_of(bytes, writer.len)));
    one(test_vote(service, 4, number++, 1));
    writer = cbor_writer_of(action, sizeof action);
    cbor_put_array(&writer, 1);
    cbor_put_array(&writer, 4);
    cbor_put_uint(&writer, GOVERNANCE_SET_PROCEDURE);
    cbor_put_text(&writer, wm_view_str("mine"));
    cbor_put_bytes(&writer, wm_view_of(module.sha256, sizeof module.sha256));
    cbor_put_uint(&writer, module.length);
    pass(wm_view_of(action, writer.len), 2);
    pass(test_remove_replica(service, 2), 3);
    test_reconfigure(ledger);
    one(test_put(service, 1, 3, "t/a", "3"));
}

/* The links of an encoded chain, one by one. */
static uint32_t split(struct wm_view encoded, struct wm_view links[32])
{
    struct cbor_reader reader = cbor_reader_of(encoded);
    uint64_t count = 0;
    CHECK(chain_get_head(&reader, &count) && count <= 32);
    for (uint64_t i = 0; i < count; i++) {
        CHECK(cbor_skip(&reader, &links[i]));
    }
    return (uint32_t)count;
}

static int add(struct wm_view link)
{
    diag = (struct wm_diag)WM_DIAG_INIT;
    return chain_add(&chain, link, &diag);
}

/* The chain as it is after so many links of the ledger's. */
static void go_to(struct wm_view links[32], uint32_t count)
{
    chain_fini(&chain);
    CHECK_INT(chain_begin(&chain, service->genesis_bytes, 0, NULL), ==, 0);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_INT(add(links[i]), ==, 0);
    }
}

TEST(a_chain_gives_the_configurations_of_a_ledger)
{
    struct wm_view links[32];
    begin();
    live();
    uint32_t count = split(test_chain(ledger, ledger->head.batch_count), links);
    CHECK_INT(count, ==, 3 + 1 + 3 + 3 + 1);
    CHECK_INT(chain_add_all(&chain, test_chain(ledger, ledger->head.batch_count), &diag), ==, 0);
    CHECK_INT(chain.links, ==, count);
    CHECK_INT(chain_newest(&chain), ==, ledger->head.governance);
    REQUIRE(chain.configurations.count == 3);
    struct agreement_configurations configurations = chain_configurations(&chain);
    for (uint64_t cfg = 0; cfg < 3; cfg++) {
        const struct configuration *from = configurations.get(configurations.self, cfg);
        const struct configuration *want = ledger->configurations[cfg];
        uint8_t a[GENESIS_BYTES_MAX], b[GENESIS_BYTES_MAX];
        struct cbor_writer x = cbor_writer_of(a, sizeof a), y = cbor_writer_of(b, sizeof b);
        REQUIRE(from != NULL);
        configuration_put(&x, from);
        configuration_put(&y, want);
        CHECK(x.len == y.len && memcmp(a, b, x.len) == 0);
    }
    CHECK(configurations.get(configurations.self, 3) == NULL);
    CHECK_INT(chain_configuration(&chain)->replica_count, ==, 4);
    CHECK_INT(chain_configuration(&chain)->replicas[3].id, ==, 5);
    /* By the batch of the final vote, configurations are told apart. */
    merkle_hash leaf;
    merkle_leaf(ledger->batches[3]->entry, leaf);
    CHECK(ledger->batches[3]->reconfigures);
    CHECK(memcmp(chain.configurations.items[1].vote, leaf, sizeof leaf) == 0);
    /* Every batch of the ledger is covered, by all of the chain and by what had to be known. */
    uint32_t known = 0;
    go_to(links, 0);
    for (uint64_t s = 1; s <= ledger->head.batch_count; s++) {
        const struct preprepare_claims *claims = &ledger->batches[s - 1]->claims;
        while (chain_covers(&chain, claims, &diag) == WM_E_NOT_FOUND) {
            CHECK(strstr(diag.text, "fetch the rest of it") != NULL);
            REQUIRE(known < count && add(links[known]) == 0);
            known++;
        }
        CHECK_INT(chain_covers(&chain, claims, &diag), ==, 0);
    }
    CHECK_INT(known, ==, count);
    for (uint64_t s = 1; s <= ledger->head.batch_count; s++) {
        CHECK_INT(chain_covers(&chain, &ledger->batches[s - 1]->claims, &diag), ==, 0);
    }
    /* What is covered by nothing: another index, a configuration at the wrong time. */
    struct preprepare_claims claims = ledger->batches[1]->claims;
    claims.governance = 1;
    CHECK_INT(chain_covers(&chain, &claims, &diag), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "at index 1, and there is none") != NULL);
    claims = ledger->batches[0]->claims;
    claims.cfg = 1;
    CHECK_INT(chain_covers(&chain, &claims, &diag), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "did not sign such a batch") != NULL);
    claims = ledger->batches[4]->claims; /* the first of the end, as if nothing had been voted */
    CHECK_INT(claims.kind, ==, BATCH_END);
    claims.kind = BATCH_NORMAL;
    CHECK_INT(chain_covers(&chain, &claims, &diag), ==, WM_E_FORGED);
    claims.governance = 0;
    claims.kind = BATCH_END;
    CHECK_INT(chain_covers(&chain, &claims, &diag), ==, WM_E_FORGED);
    end();
}

TEST(a_link_that_does_not_follow_is_refused_and_changes_nothing)
{
    struct wm_view links[32];
    begin();
    live();
    uint32_t count = split(test_chain(ledger, ledger->head.batch_count), links);
    for (uint32_t at = 0; at < count; at++) {
        go_to(links, at);
        for (uint32_t other = 0; other < count; other++) {
            if (other != at) {
                int rc = add(links[other]);
                CHECK(rc == WM_E_INVALID || rc == WM_E_FORGED || rc == WM_E_NOT_FOUND);
                CHECK(strncmp(diag.text, "governance chain: link ", 23) == 0);
            }
        }
        CHECK_INT(chain.links, ==, at);
        CHECK_INT(add(links[at]), ==, 0);
    }
    /* The end of a configuration cannot be left out. */
    go_to(links, 3);
    CHECK(chain.pending != NULL);
    CHECK_INT(add(links[4]), ==, WM_E_INVALID);
    CHECK(strstr(diag.text, "a configuration has to end before it") != NULL);
    CHECK_INT(chain_add_all(&chain, wm_view_str("\x80"), &diag), ==, 0);
    CHECK_INT(chain_add_all(&chain, wm_view_str("\x81\x80"), &diag), ==, WM_E_MALFORMED);
    CHECK_INT(chain_add_all(&chain, wm_view_str("\x01"), &diag), ==, WM_E_MALFORMED);
    CHECK_INT(chain_add_all(&chain, wm_view_str("\x80\x80"), &diag), ==, WM_E_MALFORMED);
    end();
}

TEST(every_flipped_bit_of_a_link_is_refused)
{
    struct wm_view links[32];
    begin();
    live();
    uint32_t count = split(test_chain(ledger, ledger->head.batch_count), links), refused = 0;
    for (uint32_t at = 0; at < count; at += 3) { /* votes, and both ends */
        uint8_t *bytes = wm_alloc(links[at].len);
        REQUIRE(bytes != NULL);
        memcpy(bytes, links[at].ptr, links[at].len);
        go_to(links, at);
        for (size_t bit = 0; bit < 8 * links[at].len; bit += 3) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(add(wm_view_of(bytes, links[at].len)) != 0);
            CHECK(diag.code != 0 && strlen(diag.text) > 20);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            refused++;
        }
        CHECK_INT(add(wm_view_of(bytes, links[at].len)), ==, 0);
        wm_free(bytes);
    }
    CHECK(refused > 4000);
    end();
}

/* --- Lies of a whole quorum --- */

static void say_done(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->code = PROCEDURE_DONE;
}

static void say_other_writes(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->writes[0] ^= 1;
}

static void say_other_reads(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->reads[0] ^= 1;
}

static void say_other_result(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->result[0] ^= 1;
}

static struct wm_view link_of(const struct test_batch *batch, uint32_t position)
{
    static uint8_t bytes[1u << 17];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct chain_link link = {.kind = CHAIN_TRANSACTION,
                              .receipt = test_receipt(batch, position, test_quorum_who(batch)),
                              .arguments = batch->transactions[position].arguments,
                              .result = batch->transactions[position].result};
    chain_link_put(&writer, &link);
    CHECK(cbor_fits(&writer));
    return wm_view_of(bytes, writer.len);
}

TEST(members_are_believed_and_not_replicas)
{
    begin();
    struct wm_view actions = test_keep(service, test_add_replica(service, 5, 1));
    static const struct test_twist twists[] = {
        {.output = say_other_writes}, {.output = say_other_reads}, {.output = say_other_result}};
    for (size_t i = 0; i < WM_COUNT_OF(twists); i++) {
        struct test_ledger *fork = test_ledger_fork(ledger, 0);
        struct test_call call = test_propose(service, 1, 1, actions);
        const struct test_batch *batch = test_batch(fork, &call, 1, &twists[i]);
        CHECK_INT(add(link_of(batch, 0)), ==, WM_E_FORGED);
        CHECK(strstr(diag.text, "than its execution has") != NULL);
    }
    /* Four replicas say that somebody who is no member proposed, and that it was done. */
    const struct test_twist done = {.output = say_done};
    struct test_ledger *fork = test_ledger_fork(ledger, 0);
    struct test_call call =
        test_request(service, test_client_key(1), 1, 0, "governance.propose", actions);
    CHECK_INT(add(link_of(test_batch(fork, &call, 1, &done), 0)), ==, WM_E_FORGED);
    /* That a second vote counted twice. */
    one(test_propose(service, 1, number++, actions));
    CHECK_INT(add(link_of(ledger->batches[0], 0)), ==, 0);
    call = test_vote(service, 1, number++, 1);
    fork = test_ledger_fork(ledger, 1);
    CHECK_INT(add(link_of(test_batch(fork, &call, 1, &done), 0)), ==, WM_E_FORGED);
    /* What was refused is no link, nor is what did not end its batch, nor an upload. */
    fork = test_ledger_fork(ledger, 1);
    CHECK_INT(add(link_of(test_batch(fork, &call, 1, NULL), 0)), ==, WM_E_INVALID);
    struct test_call two[] = {test_vote(service, 2, number++, 1), test_put(service, 1, 1, "t", "")};
    fork = test_ledger_fork(ledger, 1);
    CHECK_INT(add(link_of(test_batch(fork, two, 2, NULL), 0)), ==, WM_E_INVALID);
    CHECK(strstr(diag.text, "that ends a batch") != NULL);
    CHECK_INT(add(link_of(one(test_vote(service, 2, number++, 1)), 0)), ==, 0);
    end();
}

TEST(arguments_and_results_are_those_that_were_signed)
{
    begin();
    struct test_call call = test_propose(service, 1, 1, test_add_replica(service, 5, 1));
    const struct test_batch *batch = test_batch(ledger, &call, 1, NULL);
    uint8_t bytes[1u << 14], longer[64];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct chain_link link = {.kind = CHAIN_TRANSACTION,
                              .receipt = test_receipt(batch, 0, 0x7),
                              .arguments = test_remove_replica(service, 1),
                              .result = batch->transactions[0].result};
    chain_link_put(&writer, &link);
    CHECK_INT(add(wm_view_of(bytes, writer.len)), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "its arguments are not the request's") != NULL);
    writer = cbor_writer_of(bytes, sizeof bytes);
    link.arguments = batch->transactions[0].arguments;
    memcpy(longer, link.result.ptr, link.result.len);
    longer[link.result.len] = 0;
    link.result = wm_view_of(longer, link.result.len + 1);
    chain_link_put(&writer, &link);
    CHECK_INT(add(wm_view_of(bytes, writer.len)), ==, WM_E_FORGED);
    end();
}

/* --- Ends of configurations --- */

static struct wm_view end_link(const struct test_batch *batch, uint64_t who, bool certificate)
{
    static uint8_t bytes[1u << 14];
    struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
    struct chain_link link = {.kind = certificate ? CHAIN_ENDED_BY : CHAIN_ENDED};
    if (certificate) {
        test_signatures(batch, who, &link.certificate);
    } else {
        test_quorum(batch, who, &link.quorum);
    }
    chain_link_put(&writer, &link);
    CHECK(cbor_fits(&writer));
    return wm_view_of(bytes, writer.len);
}

TEST(a_configuration_ends_with_its_own_replicas_word)
{
    struct wm_view links[32];
    begin();
    pass(test_add_replica(service, 5, 1), 1);
    test_reconfigure(ledger);
    CHECK_INT(split(test_chain(ledger, 3), links), ==, 3);
    CHECK_INT(ledger->head.batch_count, ==, 3 + 3 * P);
    for (uint32_t k = 1; k <= 3 * P; k++) {
        const struct test_batch *batch = ledger->batches[2 + k];
        bool ends = k >= P && k <= 2 * P;
        go_to(links, 3);
        int rc = add(end_link(batch, test_quorum_who(batch), false));
        CHECK((rc == 0) == ends);
        CHECK_INT(chain.configurations.count, ==, ends ? 2 : 1);
        go_to(links, 3);
        CHECK_INT(add(end_link(batch, test_lowest(batch, 2), false)), ==,
                  batch->claims.cfg == 0 ? WM_E_FORGED : WM_E_INVALID);
        /* A certificate: Q-1 prepares; and of a batch with evidence. */
        rc = add(end_link(batch, 0x7, true));
        CHECK((rc == 0) == ends);
        CHECK(!ends || batch->claims.evidence != 0);
    }
    go_to(links, 2);
    CHECK_INT(add(end_link(ledger->batches[4], 0x7, false)), ==, WM_E_INVALID);
    CHECK(strstr(diag.text, "no final vote came before it") != NULL);
    end();
}

TEST(a_certificate_without_evidence_commits_nothing)
{
    struct wm_view links[32];
    begin();
    const struct test_batch *final = pass(test_add_replica(service, 5, 1), 1);
    test_empty(ledger, 1); /* the first of the end; then the view changes */
    test_next_view(ledger, 1);
    const struct test_batch *second = test_empty(ledger, 1), *third = test_empty(ledger, 1),
                            *fourth = test_empty(ledger, 1);
    CHECK_INT(second->claims.seqno, ==, final->claims.seqno + P);
    CHECK(second->claims.evidence == 0 && third->claims.evidence == 0);
    CHECK(fourth->claims.evidence != 0 && fourth->claims.phase == 2 * P);
    CHECK_INT(split(test_chain(ledger, 3), links), ==, 3);
    go_to(links, 3);
    CHECK_INT(test_primary(second), ==, 1);
    CHECK_INT(add(end_link(second, 0x5, true)), ==, WM_E_INVALID);
    CHECK(strstr(diag.text, "holds no evidence") != NULL);
    CHECK_INT(add(end_link(third, 0x5, true)), ==, WM_E_INVALID);
    CHECK_INT(add(end_link(fourth, 0x1, true)), ==, WM_E_INVALID); /* too few */
    CHECK_INT(add(end_link(fourth, 0x9, true)), ==, 0);
    go_to(links, 3);
    CHECK_INT(add(end_link(second, 0xd, false)), ==, 0); /* a quorum commits */
    end();
}

TEST(the_end_of_another_history_does_not_fit)
{
    struct wm_view links[32];
    begin();
    pass(test_add_replica(service, 5, 1), 1);
    CHECK_INT(split(test_chain(ledger, 3), links), ==, 3);
    struct test_ledger *fork = test_ledger_fork(ledger, 2);
    test_empty(fork, 1);
    struct test_call call = test_vote(service, 3, number++, 1);
    test_batch(fork, &call, 1, NULL); /* the same vote, one batch later */
    test_empty(fork, 2 * P);
    go_to(links, 3);
    for (uint32_t k = P; k <= 2 * P; k++) {
        CHECK_INT(add(end_link(fork->batches[3 + k], 0x7, false)), ==, WM_E_INVALID);
    }
    end();
}

/* --- Beginning; memory --- */

TEST(a_genesis_has_genuine_endorsements)
{
    begin();
    struct chain other;
    uint8_t bytes[GENESIS_BYTES_MAX];
    /* A bit of the signature in the last replica's endorsement. */
    struct wm_view endorsement = service->genesis.configuration.replicas[3].endorsement;
    memcpy(bytes, service->genesis_bytes.ptr, service->genesis_bytes.len);
    uint8_t *in = memmem(bytes, service->genesis_bytes.len, endorsement.ptr, endorsement.len);
    REQUIRE(in != NULL);
    in[endorsement.len - 1] ^= 1;
    struct wm_view genesis = wm_view_of(bytes, service->genesis_bytes.len);
    CHECK_INT(chain_begin(&other, genesis, 0, &diag), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "genesis: replica 4: endorsement: ") != NULL);
    CHECK_INT(chain_begin(&other, wm_view_str("\x80"), 0, &diag), ==, WM_E_MALFORMED);
    CHECK_INT(chain_newest(&chain), ==, 0);
    CHECK_INT(chain_configuration(&chain)->number, ==, 0);
    CHECK(memcmp(chain.service, service->service, sizeof chain.service) == 0);
    end();
}

TEST(memory_that_lacks_is_said)
{
    begin();
    pass(test_add_replica(service, 5, 2), 1);
    test_reconfigure(ledger);
    struct wm_view encoded = test_chain(ledger, ledger->head.batch_count);
    uint64_t failed = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct chain other;
        int rc = chain_begin(&other, service->genesis_bytes, 0, NULL);
        if (rc == 0) {
            rc = chain_add_all(&other, encoded, NULL);
            chain_fini(&other);
        }
        CHECK(rc == 0 || rc == -ENOMEM || rc == WM_E_LIMIT);
        failed += rc != 0;
    }
    CHECK(failed > 5);
    for (uint64_t limit = 1; limit < 200000; limit += 4999) {
        struct chain other;
        int rc = chain_begin(&other, service->genesis_bytes, limit, NULL);
        if (rc == 0) {
            rc = chain_add_all(&other, encoded, NULL);
            chain_fini(&other);
        }
        CHECK(rc == 0 || rc == -ENOMEM || rc == WM_E_LIMIT);
    }
    end();
}

TEST_MAIN(TEST_CASE(a_chain_gives_the_configurations_of_a_ledger),
          TEST_CASE(a_link_that_does_not_follow_is_refused_and_changes_nothing),
          TEST_CASE(every_flipped_bit_of_a_link_is_refused),
          TEST_CASE(members_are_believed_and_not_replicas),
          TEST_CASE(arguments_and_results_are_those_that_were_signed),
          TEST_CASE(a_configuration_ends_with_its_own_replicas_word),
          TEST_CASE(a_certificate_without_evidence_commits_nothing),
          TEST_CASE(the_end_of_another_history_does_not_fit),
          TEST_CASE(a_genesis_has_genuine_endorsements), TEST_CASE(memory_that_lacks_is_said))
