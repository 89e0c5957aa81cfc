/* The story:
 *
 *     view 0   A1 A2 A3 A4             all sign
 *                 \- B3 B4 B5          the liars: a rival ledger
 *     view 1   A4 | A5 A6 A7           all; one liar says that A2 was all that he had prepared
 *                 |- C5 C6             the liars, on a view 2 that ignores A7
 *     view 2   A7 | A8 A9 A10          all: a proposal, a vote, the final vote
 *                 \- D8 D9             the liars: another batch 8
 *                           \- E11 E12 the liars: as if there had been no final vote
 *                     \- F10 F11 F12   the liars: the final vote in batch 11
 *              A11 to A16              all: the configuration ends, the next begins
 *              A17 to A20              all, and replica 5, which was added
 *                 \- G18 G19           the liars: a wrong execution, a request before its index
 *                     \- H19           the liars: a view that does not begin */
#include "proof/test_story.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"

#define LIARS 0x5u /* positions */
#define ALL 0x1fu  /* of any configuration here */
#define FILE_ROOM (1u << 21)
#define BATCHES_MAX 96u
#define CHANGES_MAX 32u

/* A batch, in a ledger that has it, and the positions that signed it. */
struct told {
    const struct test_ledger *ledger;
    const struct test_batch *batch;
    uint64_t who;
};

struct test_story {
    struct test_service *service;
    uint32_t told_count, change_count, view_count;
    struct told told[BATCHES_MAX];
    struct statement_parts changes[CHANGES_MAX]; /* view-changes */
    struct test_view views[8];
    struct wm_view chains[3];
    uint8_t *file;
    uint64_t number; /* of requests */
};

/* --- Telling it --- */

/* A ledger as it is now, the beginning of a view included. */
static struct test_ledger *clone(const struct test_ledger *ledger)
{
    struct test_ledger *copy = test_ledger_fork(ledger, ledger->head.batch_count);
    copy->head = ledger->head;
    return copy;
}

/* All batches of a ledger above seqno, as signed by `who`. */
static void tell(struct test_story *story, const struct test_ledger *ledger, uint64_t above,
                 uint64_t who)
{
    for (uint64_t s = above; s < ledger->head.batch_count; s++) {
        const struct test_batch *batch = ledger->batches[s];
        WM_ASSERT(story->told_count < BATCHES_MAX);
        story->told[story->told_count++] = (struct told){
            ledger, batch, who & test_lowest(batch, batch->configuration->replica_count)};
    }
}

static void put(struct test_story *story, struct test_ledger *ledger, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct test_call call = test_put(story->service, 1, story->number++, "t/a", "value");
        test_batch(ledger, &call, 1, NULL);
    }
}

static void one(struct test_ledger *ledger, struct test_call call)
{
    test_batch(ledger, &call, 1, NULL);
}

static void tell_view(struct test_story *story, struct test_ledger *ledger, uint64_t view,
                      const struct test_change *changes)
{
    const struct configuration *configuration = test_configuration(ledger);
    story->views[story->view_count++] = test_new_view(ledger, view, changes, 3, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        struct viewchange change;
        struct statement_parts *parts = &story->changes[story->change_count++];
        test_view_change(story->service, configuration, view, &changes[i], &change);
        parts->header = change.header;
        wm_sha256_once(change.certificate, parts->payload);
        memcpy(parts->signature, change.signature, sizeof parts->signature);
    }
}

static void wrong_output(void *self, uint32_t position, struct request_output *output)
{
    (void)self;
    (void)position;
    output->code = PROCEDURE_REFUSED;
}

static struct test_ledger *tell_views(struct test_story *story)
{
    struct test_ledger *a = test_ledger_new(story->service), *b, *c;
    put(story, a, 4);
    b = test_ledger_fork(a, 2);
    put(story, b, 3);
    const struct test_batch *a2 = a->batches[1], *a4 = a->batches[3];
    const struct test_change first[] = {{0, a2, 0, NULL}, {1, a4, 0, NULL}, {3, a4, 0, NULL}};
    tell_view(story, a, 1, first);
    put(story, a, 3);
    const struct test_batch *a7 = a->batches[6];
    const struct test_change ignored[] = {{0, a4, 0, NULL}, {2, a4, 0, NULL}, {3, a7, 0, NULL}};
    const struct test_change kept[] = {{0, a4, 0, NULL}, {1, a7, 0, NULL}, {3, a7, 0, NULL}};
    c = test_ledger_fork(a, 4);
    tell_view(story, c, 2, ignored);
    put(story, c, 2);
    tell_view(story, a, 2, kept);
    tell(story, a, 0, ALL);
    tell(story, b, 2, LIARS);
    tell(story, c, 4, LIARS);
    return a;
}

static void tell_votes(struct test_story *story, struct test_ledger *a)
{
    struct test_service *service = story->service;
    struct test_ledger *d = clone(a), *e, *f;
    struct test_call final = test_vote(service, 3, 1, 1);
    put(story, d, 2);
    one(a, test_propose(service, 1, 1, test_add_replica(service, 5, 1)));
    one(a, test_vote(service, 2, 1, 1));
    f = clone(a);
    put(story, f, 1);
    one(f, final);
    test_empty(f, 2);
    one(a, final);
    e = clone(a);
    e->head.reconfigured_at = 0;
    put(story, e, 2);
    test_reconfigure(a);
    put(story, a, 4);
    tell(story, a, 7, ALL);
    tell(story, d, 7, LIARS);
    tell(story, e, 10, LIARS);
    tell(story, f, 9, LIARS);
}

static void tell_lies(struct test_story *story, const struct test_ledger *a)
{
    struct test_service *service = story->service;
    const struct test_twist twist = {.output = wrong_output};
    struct test_ledger *g = test_ledger_fork(a, 17), *h;
    struct test_call call = test_put(service, 2, 1, "t/b", "1");
    test_batch(g, &call, 1, &twist);
    one(g, test_request(service, test_client_key(2), 2, 1000, "test.put", wm_view_str("")));
    h = test_ledger_fork(g, 18);
    h->head.view = 5; /* whose primary is a liar: position 0 of five */
    test_empty(h, 1);
    tell(story, g, 17, LIARS);
    tell(story, h, 18, LIARS);
}

struct test_story *test_story_new(void)
{
    struct test_story *story = wm_alloc_zero(1, sizeof *story);
    WM_ASSERT(story);
    story->file = wm_alloc(FILE_ROOM);
    WM_ASSERT(story->file);
    story->service = test_service_new(4, 4, 2);
    story->number = 100;
    struct test_ledger *a = tell_views(story);
    tell_votes(story, a);
    tell_lies(story, a);
    story->chains[0] = test_keep(story->service, wm_view_str("\x80"));
    story->chains[1] = test_chain(a, 10);
    story->chains[2] = test_chain(a, a->head.batch_count);
    return story;
}

void test_story_free(struct test_story *story)
{
    test_service_free(story->service);
    wm_free(story->file);
    wm_free(story);
}

const struct test_service *test_story_service(const struct test_story *story)
{
    return story->service;
}

uint64_t test_story_liars(const struct test_story *story)
{
    (void)story;
    return 1u << 1 | 1u << 3; /* positions 0 and 2 of both configurations */
}

/* --- Picking from it --- */

struct picker {
    struct test_story *story;
    const uint8_t *at, *end;
};

static uint32_t pick(struct picker *from, uint32_t count)
{
    return from->at < from->end ? *from->at++ % count : 0;
}

static const struct told *pick_told(struct picker *from)
{
    return &from->story->told[pick(from, from->story->told_count)];
}

/* Another batch of the same ledger, above or below: of all that it has. */
static const struct told *pick_near(struct picker *from, const struct told *told)
{
    struct test_story *story = from->story;
    uint32_t start = pick(from, story->told_count);
    for (uint32_t i = 0; i < story->told_count; i++) {
        const struct told *other = &story->told[(start + i) % story->told_count];
        uint64_t seqno = other->batch->claims.seqno;
        if (seqno <= told->ledger->head.batch_count &&
            told->ledger->batches[seqno - 1] == other->batch) {
            return other;
        }
    }
    return told;
}

static uint32_t pick_position(struct picker *from, uint64_t who)
{
    uint32_t wanted = pick(from, 64);
    for (uint32_t i = 0; i < 64; i++) {
        if (who >> (wanted + i) % 64 & 1) {
            return (wanted + i) % 64;
        }
    }
    return 0;
}

static void pick_signatures(struct picker *from, const struct told *told, struct certificate *out)
{
    uint64_t who = told->who & pick(from, 256);
    test_signatures(told->batch, who ? who : told->who, out);
}

/* A batch of the ledger in which `above` is, as an entry below that one. */
static struct blame_below pick_below(struct picker *from, const struct told *above)
{
    struct blame_below below = {.header = above->batch->header};
    uint64_t seqno = above->batch->claims.seqno;
    if (seqno > 1) {
        uint64_t back = 1 + pick(from, (uint32_t)(seqno - 1));
        below = test_below(above->ledger, above->ledger->batches[seqno - 1 - back], above->batch);
    }
    return below;
}

static bool pick_anchor(struct picker *from, const struct told *told, struct blame_place *out)
{
    uint64_t cfg = told->batch->claims.cfg;
    if (cfg == 0 || pick(from, 8) == 0) {
        return false;
    }
    *out = test_anchor(told->ledger, cfg, told->batch);
    return true;
}

/* The batch in question; those who answer for it are picked. */
static const struct told *pick_vouched(struct picker *from, struct blame_vouched *out)
{
    const struct told *told = pick_told(from), *by = told;
    memset(out, 0, sizeof *out);
    if (pick(from, 2)) {
        const struct told *near = pick_near(from, told);
        if (near->batch->claims.seqno > told->batch->claims.seqno) {
            out->has_below = true;
            out->below = test_below(near->ledger, told->batch, near->batch);
            by = near;
        }
    }
    pick_signatures(from, by, &out->signatures);
    out->has_anchor = pick_anchor(from, by, &out->anchor);
    return told;
}

/* --- Files --- */

static void write_execution(struct picker *from, struct cbor_writer *writer, struct wm_view chain)
{
    static struct blame_vouched vouched;
    static struct state_proof proof;
    const struct told *told = pick_vouched(from, &vouched);
    const struct test_batch *batch = told->batch;
    struct blame_below before;
    bool has_before = batch->claims.seqno > 1;
    uint32_t pair_count = 0, proof_count = 0;
    if (has_before) {
        before =
            pick(from, 8) == 0
                ? pick_below(from, told)
                : test_below(told->ledger, told->ledger->batches[batch->claims.seqno - 2], batch);
    }
    uint32_t left_out = pick(from, 64); /* a proof */
    for (uint32_t i = 0; i < batch->claims.count && has_before; i++) {
        for (uint32_t k = 0; k < batch->transactions[i].touched_count; k++) {
            pair_count += test_state_find(batch->before, batch->transactions[i].touched[k]) != NULL;
            proof_count++;
        }
    }
    struct blame_last last;
    const struct test_batch *previous =
        has_before ? told->ledger->batches[batch->claims.seqno - 2] : NULL;
    bool has_last = previous && previous->claims.count > 0 && pick(from, 2);
    if (has_last) {
        last = test_last(previous);
    }
    blame_put_execution(writer, from->story->service->service, chain, &vouched,
                        has_before ? &before : NULL, has_last ? &last : NULL,
                        test_transactions(pick(from, 8) == 0 ? pick_told(from)->batch : batch),
                        pair_count);
    for (uint32_t i = 0; i < batch->claims.count && has_before; i++) {
        for (uint32_t k = 0; k < batch->transactions[i].touched_count; k++) {
            const struct test_pair *found =
                test_state_find(batch->before, batch->transactions[i].touched[k]);
            if (found) {
                blame_pair_put(writer, &(struct blame_pair){found->key, found->value});
            }
        }
    }
    bool drop = left_out < proof_count;
    cbor_put_array(writer, proof_count - drop);
    for (uint32_t i = 0; i < batch->claims.count && has_before; i++) {
        for (uint32_t k = 0; k < batch->transactions[i].touched_count; k++) {
            if (drop && left_out-- == 0) {
                drop = false;
                continue;
            }
            test_state_prove(batch->before, batch->transactions[i].touched[k], &proof);
            state_proof_put(writer, &proof);
        }
    }
}

static void write_new_view(struct picker *from, struct cbor_writer *writer, struct wm_view chain)
{
    static struct blame_vouched vouched;
    struct test_story *story = from->story;
    struct blame_entry tail[BLAME_TAIL_MAX];
    if (pick(from, 4) == 0) {
        const struct test_view *view = &story->views[pick(from, story->view_count)];
        const struct test_view *other = &story->views[pick(from, story->view_count)];
        blame_put_new_view(writer, story->service->service, chain, view->entry,
                           pick(from, 4) ? view->changes : other->changes, NULL);
        return;
    }
    const struct told *told = pick_vouched(from, &vouched);
    uint64_t size = told->batch->claims.ledger_size;
    uint32_t count = (uint32_t)(size < BLAME_TAIL_MAX ? size : BLAME_TAIL_MAX);
    for (uint32_t i = 0; i < count; i++) {
        tail[i].entry = told->ledger->entries[size - count + i];
        tail[i].place = test_place(told->ledger, size - count + i, size);
    }
    blame_put_view_tail(writer, story->service->service, chain, &vouched, tail, count);
}

static void write_index(struct picker *from, struct cbor_writer *writer, struct wm_view chain)
{
    const struct told *told = pick_told(from), *later = pick_near(from, told);
    struct blame_place anchor;
    while (told->batch->claims.count == 0) {
        told = later = &from->story->told[0];
    }
    bool chained = later->batch->claims.seqno > told->batch->claims.seqno;
    uint64_t who = chained ? later->who : told->who;
    bool has_anchor = pick_anchor(from, chained ? later : told, &anchor);
    blame_put_index(writer, from->story->service->service, chain,
                    chained ? test_receipt_chained(later->ledger, told->batch, 0, later->batch, who)
                            : test_receipt(told->batch, 0, who),
                    has_anchor ? &anchor : NULL);
}

static void write_two(struct picker *from, struct cbor_writer *writer, struct wm_view chain,
                      enum blame_kind kind)
{
    static struct certificate a, b;
    const struct told *first = pick_told(from), *second = pick_told(from);
    pick_signatures(from, first, &a);
    pick_signatures(from, second, &b);
    if (kind != BLAME_IMPLICIT) {
        blame_put_two(writer, from->story->service->service, chain, kind, &a, &b);
        return;
    }
    struct blame_below below = pick_below(from, second);
    blame_put_implicit(writer, from->story->service->service, chain, &a, &b, &below);
}

static void write_statements(struct picker *from, struct cbor_writer *writer, struct wm_view chain,
                             bool rollback)
{
    const struct told *first = pick_told(from), *second = pick_told(from);
    struct statement_parts a, b;
    ledger_nonce nonce;
    uint32_t position = pick_position(from, first->who);
    test_statement(first->batch, position, &a);
    if (rollback) {
        test_nonce(first->batch, position, nonce);
        blame_put_rollback(writer, from->story->service->service, chain, &a, nonce,
                           &from->story->changes[pick(from, from->story->change_count)]);
        return;
    }
    test_statement(second->batch, pick_position(from, second->who), &b);
    blame_put_equivocation(writer, from->story->service->service, chain, &a, &b);
}

struct wm_view test_story_file(struct test_story *story, struct wm_view recipe)
{
    struct picker from = {story, recipe.ptr, recipe.len ? recipe.ptr + recipe.len : recipe.ptr};
    struct cbor_writer writer = cbor_writer_of(story->file, FILE_ROOM);
    /* What is made on the way goes when the file is done. */
    const struct wm_arena kept = story->service->arena;
    wm_arena_init(&story->service->arena, 0);
    enum blame_kind kind = (enum blame_kind)(BLAME_EQUIVOCATION + pick(&from, 8));
    struct wm_view chain = story->chains[2 - pick(&from, 3)];
    switch (kind) {
    case BLAME_EQUIVOCATION: write_statements(&from, &writer, chain, false); break;
    case BLAME_ROLLBACK: write_statements(&from, &writer, chain, true); break;
    case BLAME_FORK:
    case BLAME_IMPLICIT:
    case BLAME_GOVERNANCE: write_two(&from, &writer, chain, kind); break;
    case BLAME_NEW_VIEW: write_new_view(&from, &writer, chain); break;
    case BLAME_EXECUTION: write_execution(&from, &writer, chain); break;
    case BLAME_INDEX: write_index(&from, &writer, chain); break;
    }
    WM_ASSERT(cbor_fits(&writer));
    wm_arena_fini(&story->service->arena);
    story->service->arena = kept;
    return wm_view_of(story->file, writer.len);
}
