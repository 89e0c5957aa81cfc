/* blame_test.c: the lies that signatures alone show, each blamed on exactly its liars; and what
 * looks like them and is honest. */
#include "proof/blame.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/test.h"
#include "proof/statement.h"
#include "proof/test_service.h"

#define ID(position) (UINT64_C(1) << ((position) + 1)) /* replicas of configuration 0 */

static struct test_service *service;
static struct test_ledger *ledger, *other;
static uint8_t file[1u << 20];
static struct cbor_writer writer;
static struct wm_view chain;

/* Two ledgers that share their first batch. */
static void begin(uint32_t replicas)
{
    service = test_service_new(replicas, 4, 2);
    ledger = test_ledger_new(service);
    struct test_call call = test_put(service, 1, 1, "t/a", "1");
    test_batch(ledger, &call, 1, NULL);
    other = test_ledger_fork(ledger, 1);
    for (uint64_t i = 0; i < 5; i++) {
        call = test_put(service, 1, 10 + i, "t/a", "ours");
        test_batch(ledger, &call, 1, NULL);
        call = test_put(service, 1, 10 + i, "t/a", "theirs");
        test_batch(other, &call, 1, NULL);
    }
    chain = wm_view_str("\x80"); /* no links */
}

static void end(void)
{
    test_service_free(service);
}

static struct cbor_writer *begin_file(void)
{
    writer = cbor_writer_of(file, sizeof file);
    return &writer;
}

static struct test_judgement judge(void)
{
    CHECK(cbor_fits(&writer));
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
    CHECK(strstr(judgement.reason, reason) != NULL);
}

static void check_nobody(int rc, const char *why)
{
    struct test_judgement judgement = judge();
    CHECK_INT(judgement.rc, ==, rc);
    CHECK(strncmp(judgement.diag.text, "blame: ", 7) == 0);
    if (!wm_test_check(strstr(judgement.diag.text, why) != NULL, __FILE__, __LINE__, why)) {
        wm_test_note("%s", judgement.diag.text);
    }
}

/* Every bit of the file matters: flipped, nobody is blamed. Some hundred of them. */
static void check_flips(void)
{
    size_t len = writer.len;
    uint8_t *bytes = wm_alloc(len);
    size_t step = 8 * len / 600 | 1;
    REQUIRE(bytes != NULL);
    memcpy(bytes, file, len);
    for (size_t bit = 0; bit < 8 * len; bit += step) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct test_judgement judgement = test_judge(service, wm_view_of(bytes, len));
        CHECK(judgement.rc != 0 && judgement.diag.code == judgement.rc);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK_INT(test_judge(service, wm_view_of(bytes, len - 1)).rc, ==, WM_E_MALFORMED);
    wm_free(bytes);
}

static const struct test_batch *at(const struct test_ledger *in, uint64_t seqno)
{
    return in->batches[seqno - 1];
}

/* --- Equivocation --- */

static void put_equivocation(const struct test_batch *a, uint32_t x, const struct test_batch *b,
                             uint32_t y)
{
    struct statement_parts first, second;
    test_statement(a, x, &first);
    test_statement(b, y, &second);
    blame_put_equivocation(begin_file(), service->service, chain, &first, &second);
}

TEST(who_signs_two_batches_for_one_place_is_blamed)
{
    begin(4);
    put_equivocation(at(ledger, 3), 2, at(other, 3), 2);
    check_blamed(ID(2), "two different batches for one place: configuration 0, view 0, batch 3");
    check_flips();
    put_equivocation(at(ledger, 3), 0, at(other, 3), 0); /* the primary, by its pre-prepares */
    check_blamed(ID(0), "it signed two");
    /* Honest look-alikes. */
    put_equivocation(at(ledger, 3), 2, at(ledger, 3), 2); /* said again after a restart */
    check_nobody(WM_E_INVALID, "both statements are for the same batch");
    put_equivocation(at(ledger, 3), 2, at(other, 3), 3);
    check_nobody(WM_E_INVALID, "by different replicas");
    put_equivocation(at(ledger, 3), 2, at(other, 4), 2);
    check_nobody(WM_E_INVALID, "for different places");
    struct test_ledger *later = test_ledger_fork(other, 2);
    test_next_view(later, 1);
    test_empty(later, 1); /* batch 3, in view 1 */
    put_equivocation(at(ledger, 3), 2, at(later, 3), 2);
    check_nobody(WM_E_INVALID, "for different places");
    end();
}

TEST(the_same_batch_with_another_commitment_is_no_second_batch)
{
    begin(4);
    struct statement_parts first, second;
    uint8_t bytes[COSE_PROTECTED_BYTES_MAX];
    struct statement_signed covered;
    const ledger_hash commitment = {7};
    const struct test_batch *batch = at(ledger, 3);
    const struct sign_key *key = test_replica_key(3);
    test_statement(batch, 2, &first);
    agreement_prepare_header(service->service, &batch->claims, batch->name, 2, key->public_key,
                             commitment, bytes, &second.header);
    memcpy(second.payload, batch->root, sizeof second.payload);
    statement_signed_bytes(second.header, second.payload, &covered);
    sign_bytes(key, wm_view_of(covered.bytes, covered.len), second.signature);
    blame_put_equivocation(begin_file(), service->service, chain, &first, &second);
    check_nobody(WM_E_INVALID, "both statements are for the same batch");
    end();
}

TEST(places_of_different_configurations_are_different)
{
    begin(4);
    struct test_ledger *changed = test_ledger_fork(ledger, 1);
    struct test_call call = test_propose(service, 1, 1, test_add_replica(service, 5, 1));
    test_batch(changed, &call, 1, NULL);
    for (uint32_t member = 2; member <= 3; member++) {
        call = test_vote(service, member, 1, 1);
        test_batch(changed, &call, 1, NULL);
    }
    test_reconfigure(changed);
    uint64_t seqno = changed->head.batch_count;
    CHECK_INT(at(changed, seqno)->claims.cfg, ==, 1);
    test_empty(ledger, (uint32_t)(seqno - ledger->head.batch_count));
    CHECK(at(ledger, seqno)->claims.cfg == 0 && at(ledger, seqno)->claims.view == 0);
    put_equivocation(at(ledger, seqno), 2, at(changed, seqno), 2);
    check_nobody(WM_E_NOT_FOUND, "configuration 1, which the governance chain in the file does");
    chain = test_chain(changed, seqno);
    put_equivocation(at(ledger, seqno), 2, at(changed, seqno), 2);
    check_nobody(WM_E_INVALID, "for different places");
    struct certificate a, b;
    test_signatures(at(ledger, seqno), 0xf, &a);
    test_signatures(at(changed, seqno), 0xf, &b);
    blame_put_two(begin_file(), service->service, chain, BLAME_FORK, &a, &b);
    check_nobody(WM_E_INVALID, "for different places");
    /* In one of them, it is the same as before. */
    struct test_ledger *twin = test_ledger_fork(changed, seqno - 1);
    twin->head.view = 0;
    const struct test_twist none = {0};
    twin->head.next_index++; /* something else */
    test_batch(twin, NULL, 0, &none);
    put_equivocation(at(twin, seqno), 4, at(changed, seqno), 4);
    check_blamed(UINT64_C(1) << 5, "configuration 1");
    end();
}

TEST(what_is_not_genuine_blames_nobody)
{
    begin(4);
    struct statement_parts first, second;
    test_statement(at(ledger, 3), 2, &first);
    test_statement(at(other, 3), 2, &second);
    second.signature[5] ^= 1;
    blame_put_equivocation(begin_file(), service->service, chain, &first, &second);
    check_nobody(WM_E_FORGED, "it is not one of the replica at position 2");
    test_statement(at(other, 3), 3, &second);
    test_statement(at(other, 3), 2, &first);
    second.header = first.header; /* another's signature under this header */
    blame_put_equivocation(begin_file(), service->service, chain, &first, &second);
    check_nobody(WM_E_FORGED, "position 2");
    /* Of another service: its genesis is another one. */
    struct test_service *elsewhere = test_service_new(4, 3, 2);
    put_equivocation(at(ledger, 3), 2, at(other, 3), 2);
    CHECK_INT(test_judge(elsewhere, wm_view_of(file, writer.len)).rc, ==, WM_E_INVALID);
    test_statement(at(ledger, 3), 2, &first);
    test_statement(at(other, 3), 2, &second);
    blame_put_equivocation(begin_file(), elsewhere->service, chain, &first, &second);
    CHECK_INT(test_judge(elsewhere, wm_view_of(file, writer.len)).rc, ==, WM_E_FORGED);
    test_service_free(elsewhere);
    /* Forms. */
    blame_put_head(begin_file(), service->service, chain, BLAME_FORK, 1);
    cbor_put_null(&writer);
    check_nobody(WM_E_MALFORMED, "does not have as many parts as its kind");
    blame_put_head(begin_file(), service->service, chain, BLAME_FORK, 2);
    cbor_put_null(&writer);
    cbor_put_null(&writer);
    check_nobody(WM_E_MALFORMED, "there are none");
    blame_put_head(begin_file(), service->service, wm_view_str("\x81\x80"), BLAME_FORK, 2);
    cbor_put_null(&writer);
    cbor_put_null(&writer);
    check_nobody(WM_E_MALFORMED, "governance chain");
    end();
}

/* --- Forks --- */

static void put_two(enum blame_kind kind, const struct test_batch *a, uint64_t x,
                    const struct test_batch *b, uint64_t y)
{
    struct certificate first, second;
    test_signatures(a, x, &first);
    test_signatures(b, y, &second);
    blame_put_two(begin_file(), service->service, chain, kind, &first, &second);
}

TEST(two_quorums_for_one_place_blame_those_in_both)
{
    begin(4);
    put_two(BLAME_FORK, at(ledger, 4), 0x7, at(other, 4), 0xd);
    check_blamed(ID(0) | ID(2), "they signed two different batches for one place");
    check_flips();
    put_two(BLAME_FORK, at(ledger, 4), 0x7, at(other, 4), 0x9); /* the primary is always in both */
    check_blamed(ID(0), "batch 4");
    put_two(BLAME_FORK, at(ledger, 4), 0x7, at(ledger, 4), 0xd);
    check_nobody(WM_E_INVALID, "both are the same batch");
    put_two(BLAME_FORK, at(ledger, 4), 0x7, at(other, 5), 0xd);
    check_nobody(WM_E_INVALID, "for different places");
    end();
    begin(7);
    put_two(BLAME_FORK, at(ledger, 4), 0x1f, at(other, 4), 0x79);
    check_blamed(ID(0) | ID(3) | ID(4), "batch 4");
    /* From a quorum and from evidence, as auditors have them. */
    struct quorum quorum;
    struct certificate a, b;
    struct preprepare_entry entry = {.header = at(other, 2)->header};
    struct evidence evidence;
    test_quorum(at(ledger, 2), 0x1f, &quorum);
    blame_signatures_of_quorum(&quorum, quorum.root, &a);
    memcpy(entry.root, at(other, 2)->root, sizeof entry.root);
    bool found = false;
    for (uint32_t i = 0; i < other->head.entry_count; i++) {
        found |= entry_kind_of(other->entries[i]) == ENTRY_EVIDENCE &&
                 evidence_get(other->entries[i], &evidence, NULL) && evidence.seqno == 2;
        if (found) {
            break;
        }
    }
    REQUIRE(found && blame_signatures_of_evidence(&entry, &evidence, &b));
    blame_put_two(begin_file(), service->service, chain, BLAME_FORK, &a, &b);
    check_blamed(0x3e, "batch 2"); /* replicas 1 to 5 */
    evidence.count--;
    CHECK(!blame_signatures_of_evidence(&entry, &evidence, &b));
    end();
}

TEST(a_ledger_that_denies_what_one_signed_blames_him)
{
    begin(4);
    struct certificate a, b;
    test_signatures(at(ledger, 3), 0x7, &a);
    test_signatures(at(other, 5), 0xd, &b);
    struct blame_below below = test_below(other, at(other, 3), at(other, 5));
    blame_put_implicit(begin_file(), service->service, chain, &a, &b, &below);
    check_blamed(ID(0) | ID(2), "in view 0 they signed batch 3, and then batch 5 on a ledger that "
                                "has another batch 3");
    check_flips();
    /* On one's own ledger. */
    test_signatures(at(ledger, 5), 0xd, &b);
    below = test_below(ledger, at(ledger, 3), at(ledger, 5));
    blame_put_implicit(begin_file(), service->service, chain, &a, &b, &below);
    check_nobody(WM_E_INVALID, "the second batch stands on the first one");
    below = test_below(ledger, at(ledger, 2), at(ledger, 5));
    blame_put_implicit(begin_file(), service->service, chain, &a, &b, &below);
    check_nobody(WM_E_INVALID, "the entry is of batch 2");
    below = test_below(ledger, at(ledger, 3), at(ledger, 5));
    below.place.leaf--;
    blame_put_implicit(begin_file(), service->service, chain, &a, &b, &below);
    check_nobody(WM_E_FORGED, "it is not in the ledger of batch 5");
    /* In a later view, what was not committed may be gone. */
    struct test_ledger *later = test_ledger_fork(other, 3);
    test_next_view(later, 1);
    test_empty(later, 2);
    test_signatures(at(later, 5), 0xd, &b);
    below = test_below(later, at(later, 3), at(later, 5));
    blame_put_implicit(begin_file(), service->service, chain, &a, &b, &below);
    check_nobody(WM_E_INVALID, "not a later one of the same view");
    /* Before what he signed; and nobody in both. */
    test_signatures(at(ledger, 3), 0x6, &a);
    test_signatures(at(other, 3), 0x8, &b);
    below = test_below(other, at(other, 2), at(other, 3));
    blame_put_implicit(begin_file(), service->service, chain, &a, &b, &below);
    check_nobody(WM_E_INVALID, "not a later one of the same view");
    end();
}

TEST(across_a_view_change_a_rival_chain_in_one_view_is_found)
{
    /* View 1 begins on batch 2 in one ledger, and on another batch 2 in the other: replicas that
     * sign in both are blamed, by batch 3 of the first. */
    begin(4);
    struct test_ledger *a_ledger = test_ledger_fork(ledger, 2),
                       *b_ledger = test_ledger_fork(other, 2);
    test_next_view(a_ledger, 1);
    test_next_view(b_ledger, 1);
    test_empty(a_ledger, 2);
    struct test_call call = test_put(service, 1, 70, "t/a", "more");
    test_batch(b_ledger, &call, 1, NULL);
    test_empty(b_ledger, 2);
    struct certificate a, b;
    test_signatures(at(a_ledger, 3), 0xa, &a); /* primary is 1; and 3 */
    test_signatures(at(b_ledger, 5), 0xf, &b);
    struct blame_below below = test_below(b_ledger, at(b_ledger, 3), at(b_ledger, 5));
    blame_put_implicit(begin_file(), service->service, chain, &a, &b, &below);
    check_blamed(ID(1) | ID(3), "in view 1 they signed batch 3");
    end();
}

/* --- Rollback --- */

static void put_rollback(const struct test_batch *batch, uint32_t position,
                         const struct configuration *configuration, uint64_t view,
                         uint32_t changing, const struct test_batch *top)
{
    struct statement_parts statement, parts;
    struct viewchange change;
    ledger_nonce nonce;
    test_statement(batch, position, &statement);
    test_nonce(batch, position, nonce);
    test_view_change(service, configuration, view,
                     &(struct test_change){.position = changing, .top = top}, &change);
    parts.header = change.header;
    wm_sha256_once(change.certificate, parts.payload);
    memcpy(parts.signature, change.signature, sizeof parts.signature);
    blame_put_rollback(begin_file(), service->service, chain, &statement, nonce, &parts);
}

TEST(who_forgets_what_he_had_prepared_is_blamed)
{
    begin(4);
    const struct configuration *configuration = &service->genesis.configuration;
    put_rollback(at(ledger, 4), 2, configuration, 1, 2, at(ledger, 3));
    check_blamed(ID(2),
                 "it opened its nonce for batch 4 of view 0, which it had prepared then, and "
                 "left for view 1 with a smaller one as its newest");
    check_flips();
    put_rollback(at(ledger, 4), 0, configuration, 3, 0, NULL); /* the primary's pre-prepare */
    check_blamed(ID(0), "left for view 3 with none");
    put_rollback(at(ledger, 4), 2, configuration, 1, 2, at(other, 4));
    check_blamed(ID(2), "with another batch in its place");
    /* Who did not. */
    put_rollback(at(ledger, 4), 2, configuration, 1, 2, at(ledger, 4));
    check_nobody(WM_E_INVALID, "a top that is not below the batch");
    put_rollback(at(ledger, 4), 2, configuration, 1, 2, at(ledger, 5));
    check_nobody(WM_E_INVALID, "a top that is not below the batch");
    put_rollback(at(ledger, 4), 2, configuration, 1, 3, at(ledger, 3));
    check_nobody(WM_E_INVALID, "of different replicas");
    struct test_ledger *later = test_ledger_fork(ledger, 3);
    test_next_view(later, 1);
    test_empty(later, 1);
    /* A smaller batch, but of a later view: batch 4 of view 0 did not commit. */
    struct test_ledger *shorter = test_ledger_fork(ledger, 2);
    test_next_view(shorter, 1);
    test_empty(shorter, 1);
    put_rollback(at(ledger, 4), 2, configuration, 2, 2, at(shorter, 3));
    check_nobody(WM_E_INVALID, "a top that is not below the batch");
    /* Asked for view 1 before it prepared in it, with what it had then. */
    put_rollback(at(later, 4), 2, configuration, 1, 2, at(ledger, 3));
    check_nobody(WM_E_INVALID, "not to a later view");
    end();
}

TEST(a_nonce_counts_only_where_it_opens)
{
    begin(4);
    const struct configuration *configuration = &service->genesis.configuration;
    struct statement_parts statement, parts;
    struct viewchange change;
    ledger_nonce nonce;
    test_statement(at(ledger, 4), 2, &statement);
    test_nonce(at(ledger, 4), 3, nonce); /* another's */
    test_view_change(service, configuration, 1, &(struct test_change){.position = 2}, &change);
    parts.header = change.header;
    wm_sha256_once(change.certificate, parts.payload);
    memcpy(parts.signature, change.signature, sizeof parts.signature);
    blame_put_rollback(begin_file(), service->service, chain, &statement, nonce, &parts);
    check_nobody(WM_E_FORGED, "the nonce does not open the commitment");
    parts.signature[0] ^= 1;
    blame_put_rollback(begin_file(), service->service, chain, &statement, nonce, &parts);
    check_nobody(WM_E_FORGED, "it is not one of the replica at position 2");
    end();
}

/* A ledger in which replica 2 was removed; the batch of the final vote is 4. */
static struct test_ledger *without_two(void)
{
    struct test_ledger *changed = test_ledger_fork(ledger, 1);
    struct test_call call = test_propose(service, 1, 1, test_remove_replica(service, 2));
    test_batch(changed, &call, 1, NULL);
    for (uint32_t member = 2; member <= 3; member++) {
        call = test_vote(service, member, 1, 1);
        test_batch(changed, &call, 1, NULL);
    }
    test_reconfigure(changed);
    chain = test_chain(changed, changed->head.batch_count);
    return changed;
}

TEST(a_replica_is_known_by_its_key_wherever_it_stands)
{
    begin(4);
    struct test_ledger *changed = without_two();
    const struct configuration *now = test_configuration(changed);
    CHECK(now->number == 1 && now->replicas[1].id == 3);
    const struct test_batch *old = at(changed, 5);
    CHECK_INT(old->claims.cfg, ==, 0);
    put_rollback(old, 2, now, 1, 1, at(changed, 4)); /* replica 3, at position 1 now */
    check_blamed(ID(2), "batch 5 of view 0");
    put_rollback(old, 2, now, 1, 2, at(changed, 4)); /* position 2 is replica 4's */
    check_nobody(WM_E_INVALID, "of different replicas");
    end();
}

/* --- Two ends of a configuration --- */

TEST(a_configuration_that_ends_twice_in_a_view_blames_who_signed_both)
{
    begin(4);
    struct test_ledger *changed = without_two();
    struct test_ledger *rival = test_ledger_fork(changed, 3);
    test_empty(rival, 1);
    struct test_call call = test_vote(service, 3, 1, 1);
    test_batch(rival, &call, 1, NULL); /* the same vote, in batch 5 */
    test_empty(rival, 4);
    CHECK(at(changed, 6)->claims.kind == BATCH_END && at(rival, 7)->claims.kind == BATCH_END);
    chain = wm_view_str("\x80");
    put_two(BLAME_GOVERNANCE, at(changed, 6), 0x7, at(rival, 7), 0xd);
    check_blamed(ID(0) | ID(2), "they ended configuration 0 after a final vote in batch 4, and "
                                "after another one in batch 5");
    check_flips();
    put_two(BLAME_GOVERNANCE, at(changed, 6), 0x7, at(rival, 6), 0xd); /* at one seqno */
    check_blamed(ID(0) | ID(2), "final vote in batch 4");
    put_two(BLAME_GOVERNANCE, at(changed, 6), 0x7, at(changed, 8), 0xd);
    check_nobody(WM_E_INVALID, "both batches are after the same final vote");
    put_two(BLAME_GOVERNANCE, at(changed, 6), 0x7, at(changed, 3), 0xd);
    check_nobody(WM_E_INVALID, "not both batches are of the end");
    /* In a later view another vote may be the one that counts. */
    struct test_ledger *later = test_ledger_fork(changed, 3);
    test_next_view(later, 1);
    test_empty(later, 1);
    test_batch(later, &call, 1, NULL);
    test_empty(later, 2);
    put_two(BLAME_GOVERNANCE, at(changed, 6), 0x7, at(later, 7), 0xf);
    check_nobody(WM_E_INVALID, "of different configurations or views");
    /* The same batch number, and other content: told by the root of the final vote. */
    struct test_ledger *content = test_ledger_fork(changed, 3);
    struct test_call two[] = {test_put(service, 3, 1, "t/b", ""), call};
    test_batch(content, two, 2, NULL);
    test_empty(content, 2);
    put_two(BLAME_GOVERNANCE, at(changed, 6), 0x7, at(content, 6), 0xd);
    check_blamed(ID(0) | ID(2), "final vote in batch 4");
    end();
}

/* --- The index rule --- */

/* Appends a batch whose one request asks for an index that is `more` than what it is given. */
static const struct test_batch *early(struct test_ledger *in, uint64_t more)
{
    struct test_call call = test_request(service, test_client_key(2), 500 + in->head.batch_count,
                                         in->head.next_index + more, "test.put", wm_view_str(""));
    return test_batch(in, &call, 1, NULL);
}

TEST(a_request_before_its_index_blames_all_who_signed_its_batch)
{
    begin(4);
    const struct test_batch *batch = early(ledger, 1);
    blame_put_index(begin_file(), service->service, chain, test_receipt(batch, 0, 0xe), NULL);
    check_blamed(ID(0) | ID(1) | ID(2) | ID(3), "they gave index 7 to a request that asks for one "
                                                "of at least 8");
    check_flips();
    blame_put_index(begin_file(), service->service, chain, test_receipt(batch, 0, 0x7), NULL);
    check_blamed(ID(0) | ID(1) | ID(2), "batch 7");
    blame_put_index(begin_file(), service->service, chain, test_receipt(batch, 0, 0x6), NULL);
    check_nobody(WM_E_FORGED, "it takes 3");
    batch = early(ledger, 0);
    blame_put_index(begin_file(), service->service, chain, test_receipt(batch, 0, 0xe), NULL);
    check_nobody(WM_E_INVALID, "the request asks for an index of at least 8, and has 8");
    end();
}

TEST(who_signed_later_answers_only_for_what_he_surely_executed)
{
    begin(4);
    const struct test_batch *batch = early(ledger, 1); /* batch 7 */
    test_empty(ledger, 12);
    for (uint64_t seqno = 8; seqno <= 19; seqno++) {
        const struct test_batch *later = at(ledger, seqno);
        blame_put_index(begin_file(), service->service, chain,
                        test_receipt_chained(ledger, batch, 0, later, 0x7), NULL);
        /* Batch 16 can be a checkpoint, with which somebody began who never saw batch 7. */
        if (seqno <= 16) {
            check_blamed(ID(0) | ID(1) | ID(2), "batch 7: they gave index 7");
        } else {
            check_nobody(WM_E_INVALID, "may have begun with a checkpoint between the two");
        }
    }
    end();
    begin(4);
    struct test_ledger *changed = without_two();
    batch = early(changed, 1);
    const struct test_batch *later = test_empty(changed, 1);
    CHECK(batch->claims.cfg == 1 && batch->claims.seqno == 11);
    chain = test_chain(changed, changed->head.batch_count);
    struct wm_view direct = test_receipt(batch, 0, 0x7),
                   chained = test_receipt_chained(changed, batch, 0, later, 0x7);
    struct blame_place anchor = test_anchor(changed, 1, later);
    blame_put_index(begin_file(), service->service, chain, direct, NULL);
    check_blamed(ID(0) | ID(2) | ID(3), "batch 11");
    blame_put_index(begin_file(), service->service, chain, chained, NULL);
    check_nobody(WM_E_INVALID, "has this configuration of the chain is not shown");
    blame_put_index(begin_file(), service->service, chain, chained, &anchor);
    check_blamed(ID(0) | ID(2) | ID(3), "batch 11");
    check_flips();
    anchor = test_below(changed, at(changed, 5), later).place; /* of another batch */
    blame_put_index(begin_file(), service->service, chain, chained, &anchor);
    check_nobody(WM_E_FORGED, "does not have the chain's final vote where the file says");
    /* By way of a later configuration: nobody. */
    struct test_ledger *before = test_ledger_fork(ledger, 1);
    batch = early(before, 1);
    struct test_call call = test_propose(service, 1, 1, test_remove_replica(service, 2));
    test_batch(before, &call, 1, NULL);
    for (uint32_t member = 2; member <= 3; member++) {
        call = test_vote(service, member, 1, 1);
        test_batch(before, &call, 1, NULL);
    }
    test_reconfigure(before);
    later = test_empty(before, 1);
    chain = test_chain(before, before->head.batch_count);
    anchor = test_anchor(before, 1, later);
    blame_put_index(begin_file(), service->service, chain,
                    test_receipt_chained(before, batch, 0, later, 0x7), &anchor);
    check_nobody(WM_E_INVALID, "of another configuration");
    end();
}

TEST(memory_that_lacks_blames_nobody)
{
    begin(4);
    put_two(BLAME_FORK, at(ledger, 4), 0x7, at(other, 4), 0xd);
    uint64_t failed = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        static struct blame_verdict verdict;
        int rc = blame_verify(wm_view_of(file, writer.len), service->genesis_bytes, NULL, 0,
                              &verdict, NULL);
        CHECK(rc == 0 || rc == -ENOMEM || rc == WM_E_LIMIT);
        if (rc == 0) {
            CHECK_INT(verdict.count, ==, 2);
            CHECK_INT(verdict.blamed[1].position, ==, 2);
            CHECK_INT(verdict.blamed[1].member->id, ==, 3);
            CHECK_INT(verdict.kind, ==, BLAME_FORK);
            blame_fini(&verdict);
        }
        failed += rc != 0;
    }
    CHECK(failed > 2);
    end();
}

TEST_MAIN(TEST_CASE(who_signs_two_batches_for_one_place_is_blamed),
          TEST_CASE(the_same_batch_with_another_commitment_is_no_second_batch),
          TEST_CASE(places_of_different_configurations_are_different),
          TEST_CASE(what_is_not_genuine_blames_nobody),
          TEST_CASE(two_quorums_for_one_place_blame_those_in_both),
          TEST_CASE(a_ledger_that_denies_what_one_signed_blames_him),
          TEST_CASE(across_a_view_change_a_rival_chain_in_one_view_is_found),
          TEST_CASE(who_forgets_what_he_had_prepared_is_blamed),
          TEST_CASE(a_nonce_counts_only_where_it_opens),
          TEST_CASE(a_replica_is_known_by_its_key_wherever_it_stands),
          TEST_CASE(a_configuration_that_ends_twice_in_a_view_blames_who_signed_both),
          TEST_CASE(a_request_before_its_index_blames_all_who_signed_its_batch),
          TEST_CASE(who_signed_later_answers_only_for_what_he_surely_executed),
          TEST_CASE(memory_that_lacks_blames_nobody))
