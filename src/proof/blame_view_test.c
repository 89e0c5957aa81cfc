/* blame_view_test.c: views that begin wrongly, and who is to blame for it: its primary, and who
 * signed on top of it; and that nobody is who began and entered views as he has to. */
#include "proof/blame.h"

#include <string.h>

#include "base/test.h"
#include "proof/test_service.h"

#define ID(position) (UINT64_C(1) << ((position) + 1)) /* replicas of configuration 0 */

static struct test_service *service;
static struct test_ledger *ledger, *other;
static uint8_t file[1u << 20];
static struct cbor_writer writer;
static struct wm_view chain;

/* Two ledgers that share their first two batches and have one more each, rivals in view 0. */
static void begin(void)
{
    service = test_service_new(4, 4, 2);
    ledger = test_ledger_new(service);
    test_empty(ledger, 2);
    other = test_ledger_fork(ledger, 2);
    struct test_call call = test_put(service, 1, 1, "t/a", "ours");
    test_batch(ledger, &call, 1, NULL);
    call = test_put(service, 1, 1, "t/a", "theirs");
    test_batch(other, &call, 1, NULL);
    chain = wm_view_str("\x80"); /* no links */
}

static void end(void)
{
    test_service_free(service);
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
    if (!wm_test_check(strstr(judgement.reason, reason) != NULL, __FILE__, __LINE__, reason)) {
        wm_test_note("%s", judgement.reason);
    }
}

static void check_nobody(int rc, const char *why)
{
    struct test_judgement judgement = judge();
    CHECK_INT(judgement.rc, ==, rc);
    if (!wm_test_check(strstr(judgement.diag.text, why) != NULL, __FILE__, __LINE__, why)) {
        wm_test_note("%s", judgement.diag.text);
    }
}

static const struct test_batch *at(const struct test_ledger *in, uint64_t seqno)
{
    return in->batches[seqno - 1];
}

static void put_alone(const struct test_view *view, const struct blame_place *anchor)
{
    writer = cbor_writer_of(file, sizeof file);
    blame_put_new_view(&writer, service->service, chain, view->entry, view->changes, anchor);
}

static uint32_t last_entries(const struct test_ledger *in, const struct test_batch *batch,
                             struct blame_entry tail[BLAME_TAIL_MAX])
{
    uint64_t size = batch->claims.ledger_size;
    uint32_t count = (uint32_t)(size < BLAME_TAIL_MAX ? size : BLAME_TAIL_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t leaf = size - count + i;
        tail[i].entry = in->entries[leaf];
        tail[i].place = test_place(in, leaf, size);
    }
    return count;
}

/* `batch` as signed by `who`, or by way of `later` as that was signed by them. */
static void put_tail_by(const struct test_ledger *in, const struct test_batch *batch,
                        const struct test_batch *later, uint64_t who, bool anchored)
{
    static struct blame_vouched vouched;
    struct blame_entry tail[BLAME_TAIL_MAX];
    const struct test_batch *by = later ? later : batch;
    vouched = (struct blame_vouched){.has_below = later != NULL};
    test_signatures(by, who, &vouched.signatures);
    if (later) {
        vouched.below = test_below(in, batch, later);
    }
    vouched.has_anchor = anchored && by->claims.cfg > 0;
    if (vouched.has_anchor) {
        vouched.anchor = test_anchor(in, by->claims.cfg, by);
    }
    writer = cbor_writer_of(file, sizeof file);
    blame_put_view_tail(&writer, service->service, chain, &vouched, tail,
                        last_entries(in, batch, tail));
}

static void put_tail(const struct test_ledger *in, const struct test_batch *batch, uint64_t who)
{
    put_tail_by(in, batch, NULL, who, true);
}

/* View 1 on this ledger, by view-changes with these tops of positions 0 to 2. */
static struct test_view begin_view(struct test_ledger *in, const struct test_batch *a,
                                   const struct test_batch *b, const struct test_batch *c,
                                   void (*twist)(struct newview_claims *claims))
{
    const struct test_change changes[] = {{0, a, 0}, {1, b, 0}, {2, c, 0}};
    return test_new_view(in, 1, changes, 3, twist);
}

/* --- What is right --- */

TEST(nobody_is_blamed_for_any_batch_of_an_honest_life)
{
    begin();
    struct test_call call = test_propose(service, 1, 1, test_add_replica(service, 5, 1));
    test_next_view(ledger, 1);
    test_empty(ledger, 4);
    test_next_view(ledger, 2);
    test_batch(ledger, &call, 1, NULL);
    test_next_view(ledger, 5); /* some were skipped */
    call = test_vote(service, 2, 1, 1);
    test_batch(ledger, &call, 1, NULL);
    call = test_vote(service, 3, 1, 1);
    test_batch(ledger, &call, 1, NULL);
    test_empty(ledger, 2);
    test_next_view(ledger, 6); /* while configurations change */
    test_empty(ledger, 2);
    test_next_view(ledger, 7); /* between their ends and beginnings */
    test_empty(ledger, 1);
    test_next_view(ledger, 8);
    test_reconfigure(ledger);
    test_empty(ledger, 3);
    chain = test_chain(ledger, ledger->head.batch_count);
    for (uint64_t seqno = 1; seqno <= ledger->head.batch_count; seqno++) {
        const struct test_batch *batch = at(ledger, seqno);
        put_tail(ledger, batch, test_lowest(batch, batch->configuration->replica_count));
        check_nobody(WM_E_INVALID, "leads into its view as it has to");
        if (batch->claims.cfg > 0) {
            put_tail_by(ledger, batch, NULL, 0xf, false);
            check_nobody(WM_E_INVALID, "has this configuration of the chain is not shown");
        }
    }
    CHECK(at(ledger, ledger->head.batch_count)->claims.cfg == 1);
    end();
}

TEST(a_view_may_begin_before_any_batch)
{
    begin();
    struct test_ledger *empty = test_ledger_fork(ledger, 0);
    struct test_view view = test_next_view(empty, 3);
    test_empty(empty, 1);
    put_alone(&view, NULL);
    check_nobody(WM_E_INVALID, "the new-view is right in itself");
    put_tail(empty, at(empty, 1), 0xf);
    check_nobody(WM_E_INVALID, "leads into its view");
    /* But not in the face of a certificate. */
    empty = test_ledger_fork(ledger, 0);
    view = begin_view(empty, NULL, NULL, at(ledger, 1), NULL);
    test_empty(empty, 1);
    put_alone(&view, NULL);
    check_blamed(ID(1), "it does not continue the largest");
    put_tail(empty, at(empty, 1), 0xd);
    check_blamed(ID(0) | ID(1) | ID(2) | ID(3), "they signed batch 1 in view 1: it does not "
                                                "continue the largest");
    end();
}

/* --- Choosing --- */

TEST(who_ignores_a_larger_certificate_is_blamed_with_all_who_follow)
{
    begin();
    struct test_ledger *shorter = test_ledger_fork(ledger, 2);
    struct test_view view = begin_view(shorter, at(ledger, 2), at(ledger, 3), at(ledger, 2), NULL);
    test_empty(shorter, 1);
    CHECK_INT(view.claims.base_seqno, ==, 2);
    put_alone(&view, NULL);
    check_blamed(ID(1), "it began view 1 with a new-view that is wrong: it does not continue the "
                        "largest");
    put_tail(shorter, at(shorter, 3), 0x4); /* position 2 prepared it; 1 is the primary */
    check_blamed(ID(1) | ID(2), "they signed batch 3 in view 1");
    /* Who signed only later, in the same view or after, has taken it over all the same. */
    test_empty(shorter, 2);
    put_tail_by(shorter, at(shorter, 3), at(shorter, 5), 0x8, false);
    check_blamed(ID(1) | ID(3), "they signed batch 3 in view 1");
    test_next_view(shorter, 2);
    test_empty(shorter, 10);
    put_tail_by(shorter, at(shorter, 3), at(shorter, 15), 0x1, false);
    check_blamed(ID(0) | ID(1) | ID(2), "batch 3"); /* the later primary, and the view's own */
    test_empty(shorter, 2);
    put_tail_by(shorter, at(shorter, 3), at(shorter, 17), 0x1, false);
    check_nobody(WM_E_INVALID, "may have begun with a checkpoint between the two");
    end();
}

TEST(of_rivals_that_tie_either_may_be_continued)
{
    begin();
    struct test_ledger *const ledgers[] = {ledger, other};
    for (uint32_t i = 0; i < 2; i++) {
        struct test_ledger *in = test_ledger_fork(ledgers[i], 3);
        struct test_view view = begin_view(in, at(ledger, 3), at(other, 3), at(ledger, 2), NULL);
        test_empty(in, 1);
        put_alone(&view, NULL);
        check_nobody(WM_E_INVALID, "the new-view is right in itself");
        put_tail(in, at(in, 4), 0xf);
        check_nobody(WM_E_INVALID, "leads into its view");
    }
    /* But none that nobody asked for. */
    struct test_ledger *in = test_ledger_fork(other, 3);
    struct test_view view = begin_view(in, at(ledger, 3), at(ledger, 3), at(ledger, 2), NULL);
    test_empty(in, 1);
    put_alone(&view, NULL); /* its primary's word alone can be of the right one */
    check_nobody(WM_E_INVALID, "right in itself");
    put_tail(in, at(in, 4), 0x4);
    check_blamed(ID(1) | ID(2), "is not one that its view's beginning continues");
    end();
}

TEST(a_later_view_beats_a_longer_ledger)
{
    begin();
    struct test_ledger *in = test_ledger_fork(ledger, 2);
    test_next_view(in, 1);
    test_empty(in, 1); /* (1, 3) against (0, 3) and what is longer */
    test_empty(ledger, 3);
    const struct test_change changes[] = {
        {0, at(ledger, 6), 0}, {2, at(in, 3), 0}, {3, at(ledger, 3), 0}};
    struct test_ledger *right = test_ledger_fork(in, 3), *wrong = test_ledger_fork(ledger, 6);
    struct test_view view = test_new_view(right, 2, changes, 3, NULL);
    test_empty(right, 1);
    put_alone(&view, NULL);
    check_nobody(WM_E_INVALID, "right in itself");
    put_tail(right, at(right, 4), 0xf);
    check_nobody(WM_E_INVALID, "leads into its view");
    view = test_new_view(wrong, 2, changes, 3, NULL);
    test_empty(wrong, 1);
    put_alone(&view, NULL);
    check_blamed(ID(2), "does not continue the largest");
    put_tail(wrong, at(wrong, 7), 0x1);
    check_blamed(ID(0) | ID(2), "does not continue the largest");
    end();
}

/* --- New-views that are wrong in themselves --- */

static void other_base(struct newview_claims *claims)
{
    claims->base_seqno++;
}

static void other_size(struct newview_claims *claims)
{
    claims->ledger_size++;
}

static void other_used(struct newview_claims *claims)
{
    claims->used ^= 0x9;
}

static void other_root(struct newview_claims *claims)
{
    claims->ledger_root[0] ^= 1;
}

TEST(what_a_new_view_says_has_to_follow_from_its_view_changes)
{
    begin();
    static const struct {
        void (*twist)(struct newview_claims *claims);
        bool in_itself;
        const char *why;
    } cases[] = {
        {other_base, true, "does not continue the largest"},
        {other_size, true, "does not continue the largest"},
        {other_used, true, "does not name those whose view-changes it has"},
        {other_root, false, "is for another view or another ledger"},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct test_ledger *in = test_ledger_fork(ledger, 3);
        struct test_view view = begin_view(in, at(ledger, 3), at(ledger, 2), NULL, cases[i].twist);
        test_empty(in, 1);
        put_alone(&view, NULL);
        if (cases[i].in_itself) {
            check_blamed(ID(1), cases[i].why);
        } else {
            check_nobody(WM_E_INVALID, "right in itself");
        }
        put_tail(in, at(in, 4), 0x8);
        check_blamed(ID(1) | ID(3), cases[i].twist == other_size ? "another view or another ledger"
                                                                 : cases[i].why);
    }
    end();
}

TEST(view_changes_that_are_none_make_no_new_view)
{
    begin();
    const struct test_batch *top = at(ledger, 3);
    const struct {
        struct test_change changes[4];
        uint32_t count;
        const char *why;
    } cases[] = {
        {{{0, top, 0}, {1, top, 0}}, 2, "are not a quorum to its view"},
        {{{0, top, 0}, {1, top, 0}, {2, top, 0}, {3, top, 0}}, 4, "are not a quorum"},
        {{{0, top, 0}, {1, top, 0x2}, {2, top, 0}}, 3, "is not genuine"}, /* too few prepares */
        {{{1, top, 0}, {0, top, 0}, {2, top, 0}}, 3, "or out of order"},
        {{{0, top, 0}, {1, top, 0}, {1, top, 0}}, 3, "or out of order"},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct test_ledger *in = test_ledger_fork(ledger, 3);
        struct test_view view = test_new_view(in, 1, cases[i].changes, cases[i].count, NULL);
        test_empty(in, 1);
        put_alone(&view, NULL);
        check_blamed(ID(1), cases[i].why);
        put_tail(in, at(in, 4), 0x4);
        check_blamed(ID(1) | ID(2), cases[i].why);
    }
    /* Of another view's: the entry is of view 2, stated as that of view 1. */
    struct test_ledger *in = test_ledger_fork(ledger, 3);
    struct test_view view = begin_view(in, top, top, top, NULL);
    struct test_ledger *twin = test_ledger_fork(ledger, 3);
    const struct test_change changes[] = {{0, top, 0}, {1, top, 0}, {2, top, 0}};
    struct test_view second = test_new_view(twin, 2, changes, 3, NULL);
    view.changes = second.changes;
    put_alone(&view, NULL);
    check_nobody(WM_E_FORGED, "not one of its view's primary over these view-changes");
    end();
}

/* --- Where views begin --- */

TEST(a_view_without_a_beginning_blames_who_signed_in_it)
{
    begin();
    struct test_ledger *in = test_ledger_fork(ledger, 3);
    in->head.view = 1;
    test_empty(in, 1);
    put_tail(in, at(in, 4), 0xc);
    check_blamed(ID(1) | ID(2) | ID(3), "its view has not begun: there is no new-view");
    in = test_ledger_fork(ledger, 0);
    in->head.view = 1;
    test_empty(in, 1);
    put_tail(in, at(in, 1), 0x1);
    check_blamed(ID(0) | ID(1), "its ledger is empty");
    end();
}

TEST(a_beginning_of_another_ledger_or_view_does_not_count)
{
    begin();
    struct test_ledger *right = test_ledger_fork(ledger, 3), *wrong = test_ledger_fork(other, 3);
    struct test_view view = begin_view(right, at(ledger, 3), at(ledger, 3), NULL, NULL);
    test_add_entry(wrong, view.changes);
    test_add_entry(wrong, view.entry);
    wrong->head.view = 1;
    test_empty(wrong, 1);
    CHECK_INT(wrong->head.entry_count, ==, right->head.entry_count + 1);
    put_tail(wrong, at(wrong, 4), 0xc); /* its primary signed the batch, too */
    check_blamed(ID(1) | ID(2) | ID(3), "is for another view or another ledger");
    /* By way of a later one: the primary of view 1 stated it for another ledger, and is not to
     * blame by that. */
    test_next_view(wrong, 2);
    test_empty(wrong, 1);
    put_tail_by(wrong, at(wrong, 4), at(wrong, 5), 0x8, false);
    check_blamed(ID(2) | ID(3), "is for another view or another ledger");
    /* The right one, for another view. */
    struct test_ledger *skipped = test_ledger_fork(ledger, 3);
    begin_view(skipped, at(ledger, 3), at(ledger, 3), NULL, NULL);
    skipped->head.view = 2;
    test_empty(skipped, 1);
    put_tail(skipped, at(skipped, 4), 0x8);
    check_blamed(ID(2) | ID(3), "is for another view or another ledger");
    /* Junk in its place. */
    struct test_ledger *junk = test_ledger_fork(ledger, 3);
    test_add_entry(junk, wm_view_str("\x82\x05\x01"));
    test_empty(junk, 1);
    put_tail(junk, at(junk, 4), 0x8);
    check_blamed(ID(0) | ID(3), "what lies below it is not the batch before it");
    /* A forged one. */
    struct test_ledger *forged = test_ledger_fork(ledger, 3);
    uint8_t bytes[NEWVIEW_ENTRY_BYTES_MAX];
    memcpy(bytes, view.entry.ptr, view.entry.len);
    bytes[view.entry.len - 1] ^= 1;
    test_add_entry(forged, view.changes);
    test_add_entry(forged, test_keep(service, wm_view_of(bytes, view.entry.len)));
    forged->head.view = 1;
    test_empty(forged, 1);
    test_next_view(forged, 2);
    test_empty(forged, 1);
    put_tail_by(forged, at(forged, 4), at(forged, 5), 0x8, false);
    check_blamed(ID(2) | ID(3), "is not one of its primary");
    end();
}

static void no_evidence(void *self, struct preprepare_claims *claims)
{
    (void)self;
    claims->evidence = 0;
}

TEST(evidence_is_named_where_it_lies)
{
    begin();
    const struct test_twist twist = {.claims = no_evidence};
    test_empty(ledger, 1);
    CHECK(at(ledger, 4)->claims.evidence != 0);
    test_batch(ledger, NULL, 0, &twist);
    put_tail(ledger, at(ledger, 5), 0x8);
    check_blamed(ID(0) | ID(3), "the evidence that it names is not what lies below it");
    end();
}

/* --- What is not known for sure --- */

TEST(a_view_change_of_a_configuration_that_the_chain_lacks_is_believed)
{
    begin();
    /* Signed as of configuration 1, by a replica that is in both; the chain here has 0 only. */
    struct configuration next = service->genesis.configuration;
    next.number = 1;
    const struct test_change surpassed[2][3] = {
        {{0, at(ledger, 3), 0, NULL}, {1, at(ledger, 2), 0, &next}, {2, NULL, 0, NULL}},
        {{0, at(ledger, 3), 0, &next}, {1, at(ledger, 2), 0, NULL}, {2, at(other, 3), 0, NULL}}};
    for (uint32_t i = 0; i < 2; i++) {
        /* It continues batch 2, in the face of a certificate for batch 3 that is surely there. */
        struct test_ledger *in = test_ledger_fork(ledger, 2);
        struct test_view view = test_new_view(in, 1, surpassed[i], 3, NULL);
        test_empty(in, 1);
        put_alone(&view, NULL);
        check_blamed(ID(1), "does not continue the largest");
        put_tail(in, at(in, 3), 0x8);
        check_blamed(ID(1) | ID(3), "does not continue the largest");
    }
    /* Where nothing is for sure larger, nobody is blamed: what is continued is believed. */
    const struct test_change believed[] = {
        {0, at(ledger, 3), 0, &next}, {1, at(ledger, 2), 0, NULL}, {2, NULL, 0, NULL}};
    struct test_ledger *in = test_ledger_fork(ledger, 3);
    struct test_view view = test_new_view(in, 1, believed, 3, NULL);
    test_empty(in, 1);
    put_alone(&view, NULL);
    check_nobody(WM_E_INVALID, "right in itself");
    put_tail(in, at(in, 4), 0xf);
    check_nobody(WM_E_INVALID, "leads into its view");
    end();
}

TEST(after_a_change_of_configuration_the_ledger_has_to_be_the_chains)
{
    begin();
    struct test_call call = test_propose(service, 1, 1, test_remove_replica(service, 2));
    test_batch(ledger, &call, 1, NULL);
    for (uint32_t member = 2; member <= 3; member++) {
        call = test_vote(service, member, 1, 1);
        test_batch(ledger, &call, 1, NULL);
    }
    test_reconfigure(ledger);
    const struct test_batch *newest = test_empty(ledger, 2);
    uint64_t seqno = newest->claims.seqno;
    chain = test_chain(ledger, seqno);
    struct test_ledger *in = test_ledger_fork(ledger, seqno - 1);
    const struct test_change changes[] = {
        {0, at(ledger, seqno - 1), 0}, {1, newest, 0}, {2, NULL, 0}};
    struct test_view view = test_new_view(in, 1, changes, 3, NULL);
    test_empty(in, 1);
    CHECK_INT(view.claims.cfg, ==, 1);
    put_alone(&view, NULL);
    check_nobody(WM_E_INVALID, "has this configuration of the chain is not shown");
    struct blame_place anchor =
        test_place(in, at(ledger, 6)->claims.ledger_size, view.claims.ledger_size);
    CHECK(at(ledger, 6)->reconfigures);
    put_alone(&view, &anchor);
    check_blamed(UINT64_C(1) << 3, "does not continue the largest"); /* position 1 is replica 3 */
    anchor = test_place(in, at(ledger, 5)->claims.ledger_size, view.claims.ledger_size);
    put_alone(&view, &anchor);
    check_nobody(WM_E_FORGED, "does not have the chain's final vote");
    put_tail(in, at(in, seqno), 0x4); /* position 2 is replica 4 */
    check_blamed(UINT64_C(1) << 3 | UINT64_C(1) << 4, "does not continue the largest");
    end();
}

TEST(entries_that_are_not_the_last_are_refused)
{
    begin();
    struct test_ledger *in = test_ledger_fork(ledger, 3);
    in->head.view = 1;
    const struct test_batch *batch = test_empty(in, 1);
    struct blame_vouched vouched = {0};
    struct blame_entry tail[BLAME_TAIL_MAX];
    test_signatures(batch, 0xf, &vouched.signatures);
    uint32_t count = last_entries(in, batch, tail);
    writer = cbor_writer_of(file, sizeof file);
    blame_put_view_tail(&writer, service->service, chain, &vouched, tail + 1, count - 1);
    check_nobody(WM_E_MALFORMED, "these are not the last entries");
    struct blame_entry first = tail[0];
    tail[0] = tail[1];
    tail[1] = first;
    writer = cbor_writer_of(file, sizeof file);
    blame_put_view_tail(&writer, service->service, chain, &vouched, tail, count);
    check_nobody(WM_E_FORGED, "does not end with these entries");
    tail[1] = tail[0];
    tail[0] = first;
    tail[0].entry = in->entries[0];
    writer = cbor_writer_of(file, sizeof file);
    blame_put_view_tail(&writer, service->service, chain, &vouched, tail, count);
    check_nobody(WM_E_FORGED, "does not end with these entries");
    end();
}

TEST(every_flipped_bit_blames_nobody_else)
{
    begin();
    struct test_ledger *shorter = test_ledger_fork(ledger, 2);
    struct test_view view = begin_view(shorter, at(ledger, 2), at(ledger, 3), at(ledger, 2), NULL);
    test_empty(shorter, 1);
    for (uint32_t form = 0; form < 2; form++) {
        if (form == 0) {
            put_alone(&view, NULL);
        } else {
            put_tail(shorter, at(shorter, 3), 0x4);
        }
        check_blamed(form == 0 ? ID(1) : ID(1) | ID(2), "does not continue the largest");
        size_t step = 8 * writer.len / 700 | 1;
        for (size_t bit = 0; bit < 8 * writer.len; bit += step) {
            file[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(judge().rc != 0);
            file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    end();
}

TEST_MAIN(TEST_CASE(nobody_is_blamed_for_any_batch_of_an_honest_life),
          TEST_CASE(a_view_may_begin_before_any_batch),
          TEST_CASE(who_ignores_a_larger_certificate_is_blamed_with_all_who_follow),
          TEST_CASE(of_rivals_that_tie_either_may_be_continued),
          TEST_CASE(a_later_view_beats_a_longer_ledger),
          TEST_CASE(what_a_new_view_says_has_to_follow_from_its_view_changes),
          TEST_CASE(view_changes_that_are_none_make_no_new_view),
          TEST_CASE(a_view_without_a_beginning_blames_who_signed_in_it),
          TEST_CASE(a_beginning_of_another_ledger_or_view_does_not_count),
          TEST_CASE(evidence_is_named_where_it_lies),
          TEST_CASE(a_view_change_of_a_configuration_that_the_chain_lacks_is_believed),
          TEST_CASE(after_a_change_of_configuration_the_ledger_has_to_be_the_chains),
          TEST_CASE(entries_that_are_not_the_last_are_refused),
          TEST_CASE(every_flipped_bit_blames_nobody_else))
